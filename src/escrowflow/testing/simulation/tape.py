"""
The tape: the only source of choice of a simulation.

Every choice belongs to a section, and depends on the seed, the section and its place in
it, and on nothing else.  That is what makes a seed a story.

What there is to choose from may depend on other sections, though: if one is left out, six
can go on instead of seven.  So whoever leaves something out replays the rest: what was
chosen is chosen again, by its name, and where it is not there the rest of that section is
left out, too.  That is what makes a story shrinkable.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, final

__all__ = ["Choice", "GoneError", "Tape"]

_T = TypeVar("_T")

# SplitMix64, whose numbers are the same in every release of Python.  (Steele, Lea and
# Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.)
_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB


class Choice(NamedTuple):
    """
    A choice that was made: what for, of how many, which; and its name, if it has one.
    """

    label: str
    n: int
    chosen: int
    name: str = ""


class GoneError(Exception):
    """
    What is to be chosen again is not there.
    """


@final
class Tape:
    """
    Choices, by section.

    Args:
        seed: What they depend on.

        replay: Choices that were recorded: they are made again, label by label.  Beyond
            them the first of all possibilities is chosen, and nothing comes by chance.

    Attributes:
        seed: The seed.

        recorded: Every choice that was made so far, by section.
    """

    def __init__(
        self,
        seed: int,
        *,
        replay: Mapping[str, Sequence[Choice]] | None = None,
    ) -> None:
        self.seed = seed
        self.recorded: dict[str, list[Choice]] = {}
        self._replay = replay
        self.section("")

    def section(self, name: str) -> None:
        """
        Begin a section; one that is begun again goes on from its beginning.
        """
        text = f"{self.seed}\x1f{name}".encode()
        self._state = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
        self._made = self.recorded[name] = []
        self._left: dict[str, deque[Choice]] = defaultdict(deque)
        if self._replay is not None:
            for one in self._replay.get(name, ()):
                self._left[one.label].append(one)

    def choose(self, label: str, n: int) -> int:
        """
        Return a number from 0 to *n* - 1, each as likely as the others.

        Args:
            label: What for; it is recorded, and does not matter otherwise.
        """
        if n < 1:
            raise ValueError(f"{label}: there is nothing to choose from")
        if self._replay is None:
            chosen = self._drawn(n)
        else:
            recorded = self._next(label)
            chosen = 0 if recorded is None else min(recorded.chosen, n - 1)
        self._made.append(Choice(label, n, chosen))
        return chosen

    def _drawn(self, n: int) -> int:
        self._state = mixed = (self._state + _GOLDEN) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _MASK
        # More bits than any range needs: no end of it is likelier than the other.
        return ((mixed ^ (mixed >> 31)) * n) >> 64

    def _next(self, label: str) -> Choice | None:
        left = self._left[label]
        return left.popleft() if left else None

    def pick(self, label: str, items: Sequence[_T]) -> _T:
        """
        Return one of several, each as likely as the others.

        Raises:
            GoneError: If it has a name, is to be chosen again, and is not there.
        """
        again = self._left[label]
        if again and again[0].name:
            names = _names(items)
            if again[0].name not in names:
                raise GoneError(label)
            again[0] = again[0]._replace(chosen=names.index(again[0].name))
        chosen = self.choose(label, len(items))
        self._made[-1] = self._made[-1]._replace(name=_names(items)[chosen])
        return items[chosen]

    def weighted(
        self, label: str, weights: Sequence[int], names: Sequence[str] = ()
    ) -> int:
        """
        Return the place of one of several, each as likely as its weight says.

        Args:
            names: What they are called, if their places may change.

        Raises:
            GoneError: If it is to be chosen again, and is not there or weighs nothing.
        """
        names = names or [str(place) for place in range(len(weights))]
        again = self._left[label]
        if again:
            weight = dict(zip(names, weights, strict=True)).get(again[0].name)
            if not weight:
                raise GoneError(label)
            place = names.index(again[0].name)
            again[0] = again[0]._replace(chosen=sum(weights[:place]))
        left = self.choose(label, sum(weights))
        for name, weight in zip(names, weights, strict=True):
            left -= weight
            if left < 0:
                self._made[-1] = self._made[-1]._replace(name=name)
                return names.index(name)
        raise AssertionError("the weights are not negative")

    def chance(self, label: str, in_a_thousand: int) -> bool:
        """
        Return true so many times in a thousand.
        """
        if self._replay is not None and not self._left[label]:
            return False
        return self.choose(label, 1000) < in_a_thousand


def _names(items: Sequence[object]) -> list[str]:
    """
    Return what each is called, the second of a name otherwise than the first; nothing
    for what has no name.
    """
    seen: Counter[str] = Counter()
    names = []
    for item in items:
        name = item if isinstance(item, str) else getattr(item, "name", "")
        if not isinstance(name, str):
            name = ""
        seen[name] += 1
        names.append(f"{name} {seen[name]}" if name else "")
    return names
