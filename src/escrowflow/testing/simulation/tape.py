"""
The tape: the only source of choice of a simulation.

Every choice belongs to a section, and depends on the seed, the section and its place in
it, and on nothing else: a section that is left out changes no other one.  That is what
makes a seed a story, and a story shrinkable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, final

__all__ = ["Choice", "Tape"]

_T = TypeVar("_T")

# SplitMix64, whose numbers are the same in every release of Python.  (Steele, Lea and
# Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.)
_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB


class Choice(NamedTuple):
    """
    A choice that was made: what for, of how many, and which.
    """

    label: str
    n: int
    chosen: int


@final
class Tape:
    """
    Choices, by section.

    Args:
        seed: What they depend on.

        replay: Choices that were recorded: they are made again.  Beyond them the first
            of all possibilities is chosen.

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
        if self._replay is not None:
            self._left = iter(self._replay.get(name, ()))

    def choose(self, label: str, n: int) -> int:
        """
        Return a number from 0 to *n* - 1, each as likely as the others.

        Args:
            label: What for; it is recorded, and does not matter otherwise.
        """
        if n < 1:
            raise ValueError(f"{label}: there is nothing to choose from")
        chosen = self._drawn(n) if self._replay is None else self._replayed(n)
        self._made.append(Choice(label, n, chosen))
        return chosen

    def _drawn(self, n: int) -> int:
        self._state = mixed = (self._state + _GOLDEN) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _MASK
        # More bits than any range needs: no end of it is likelier than the other.
        return ((mixed ^ (mixed >> 31)) * n) >> 64

    def _replayed(self, n: int) -> int:
        recorded = next(self._left, None)
        return 0 if recorded is None else min(recorded.chosen, n - 1)

    def pick(self, label: str, items: Sequence[_T]) -> _T:
        """
        Return one of several, each as likely as the others.
        """
        return items[self.choose(label, len(items))]

    def weighted(self, label: str, weights: Sequence[int]) -> int:
        """
        Return the place of one of several, each as likely as its weight says.
        """
        left = self.choose(label, sum(weights))
        for place, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return place
        raise AssertionError("the weights are not negative")

    def chance(self, label: str, in_a_thousand: int) -> bool:
        """
        Return true so many times in a thousand.
        """
        return self.choose(label, 1000) < in_a_thousand
