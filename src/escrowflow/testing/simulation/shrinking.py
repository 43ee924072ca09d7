"""
Shrinking: the least of a seed that is still wrong in the same way.

What is left out of a seed changes little about the rest, which is chosen as before (see
the tape): so what matters is found by leaving out the rest.  First the faults, then orders, then steps: all
that are alike, then those in a row, in halves, quarters and so on (Zeller and Hildebrandt, "Simplifying and isolating
failure-inducing input", 2002).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

import attrs

from .running import Ran, run
from .world import FAULTS, Setting, Without

__all__ = ["shrunk"]

_ORDER: Final = re.compile(r"order-\d+")
_NUMBER: Final = re.compile(r"\d+")

# So many steps are run again for each that a seed has: what has become small is tried
# more often than what is large.
_TIMES_MAX: Final = 120

# What a run costs that has no step at all, as steps: the quiet after it.
_QUIET: Final = 20


class _Shrinker:
    """
    Leaves out what it can.
    """

    def __init__(self, setting: Setting, ran: Ran) -> None:
        self._setting = setting
        self._wrong = ran.violations[0].invariant
        self.ran = ran
        self.without = Without(steps=frozenset(range(1, max(ran.script) + 1)))
        self._left = _TIMES_MAX * len(self._kept)

    def tries(self, without: Without) -> bool:
        """
        Leave something out, if the rest is wrong in the same way.
        """
        if self._left <= 0:
            return False
        self._left -= _QUIET + len(without.steps or ())
        again = run(self._setting, self.ran.seed, without, self.ran.choices)
        if not again.violations or again.violations[0].invariant != self._wrong:
            return False
        self.ran, self.without = again, without
        return True

    def faults(self) -> None:
        """
        Leave out all faults, or one after the other.
        """
        if self.tries(attrs.evolve(self.without, faults=frozenset(FAULTS))):
            return
        for name in sorted(self.ran.faults):
            fewer = self.without.faults | {name}
            self.tries(attrs.evolve(self.without, faults=fewer))

    def orders(self) -> None:
        """
        Leave out orders.
        """
        for count in range(1, min(self._setting.orders, 4)):
            if self.tries(attrs.evolve(self.without, orders=count)):
                return

    def kinds(self, alike: Callable[[str], str]) -> None:
        """
        Leave out all steps that are alike, the most frequent first.
        """
        script = self.ran.script
        kinds = Counter(alike(script.get(step, "")) for step in self._kept)
        for kind, _ in kinds.most_common():
            self._keeps([s for s in self._kept if alike(script.get(s, "")) != kind])

    def steps(self) -> None:
        """
        Leave out steps: in halves, quarters and so on, down to one at a time.
        """
        size = max(1, len(self._kept) // 2)
        while self._left > 0:
            before = len(self._kept)
            # Whatever says nothing is rarely needed.
            self._keeps([step for step in self._kept if step in self.ran.script])
            first = 0
            while first < len(self._kept) and self._left > 0:
                kept = self._kept
                if not self._keeps([*kept[:first], *kept[first + size :]]):
                    first += size
            if size == 1 and len(self._kept) == before:
                return
            size = max(1, size // 2)

    @property
    def _kept(self) -> list[int]:
        return sorted(self.without.steps or ())

    def _keeps(self, steps: list[int]) -> bool:
        """
        Leave out all other steps, if that is still wrong.
        """
        return self.tries(attrs.evolve(self.without, steps=frozenset(steps)))


def _whose(line: str) -> str:
    """
    Return which order a step is about.
    """
    found = _ORDER.search(line)
    return "" if found is None else found[0]


def _what(line: str) -> str:
    """
    Return what a step does, whatever its numbers.
    """
    return _NUMBER.sub("#", line)


def shrunk(setting: Setting, ran: Ran) -> tuple[Without, Ran]:
    """
    Return the least of a seed that is wrong in the same way, as far as it is found with
    a bounded number of steps; and that run.
    """
    shrinker = _Shrinker(setting, ran)
    shrinker.faults()
    shrinker.orders()
    shrinker.kinds(_whose)
    shrinker.kinds(_what)
    shrinker.steps()
    return shrinker.without, shrinker.ran
