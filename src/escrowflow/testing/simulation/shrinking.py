"""
Shrinking: the least of a seed that is still wrong in the same way.

Whatever is left out of a seed changes nothing about the rest (see the tape): so what
matters is found by leaving out the rest.  First the faults, then orders, then steps, in
halves, quarters and so on (Zeller and Hildebrandt, "Simplifying and isolating
failure-inducing input", 2002).
"""

from __future__ import annotations

from typing import Final

import attrs

from .running import Ran, run
from .world import FAULTS, Setting, Without

__all__ = ["shrunk"]

# So many times a seed is run again.
_RUNS_MAX: Final = 160


class _Shrinker:
    """
    Leaves out what it can.
    """

    def __init__(self, setting: Setting, ran: Ran) -> None:
        self._setting = setting
        self._wrong = ran.violations[0].invariant
        self._left = _RUNS_MAX
        self.ran = ran
        self.without = Without(steps=frozenset(range(1, max(ran.script) + 1)))

    def tries(self, without: Without) -> bool:
        """
        Leave something out, if the rest is wrong in the same way.
        """
        if self._left <= 0:
            return False
        self._left -= 1
        again = run(self._setting, self.ran.seed, without)
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

    def steps(self) -> None:
        """
        Leave out steps: in halves, quarters and so on.
        """
        parts = 2
        while self._left > 0:
            steps = sorted(self.without.steps or ())
            if len(steps) < 2:
                return
            size = max(1, len(steps) // parts)
            smaller = False
            for first in range(0, len(steps), size):
                kept = frozenset((*steps[:first], *steps[first + size :]))
                if self.tries(attrs.evolve(self.without, steps=kept)):
                    smaller = True
                    break
            if not smaller:
                if size == 1:
                    return
                parts = min(len(steps), parts * 2)


def shrunk(setting: Setting, ran: Ran) -> tuple[Without, Ran]:
    """
    Return the least of a seed that is wrong in the same way, as far as it is found with
    a bounded number of runs; and that run.
    """
    shrinker = _Shrinker(setting, ran)
    shrinker.faults()
    shrinker.orders()
    shrinker.steps()
    return shrinker.without, shrinker.ran
