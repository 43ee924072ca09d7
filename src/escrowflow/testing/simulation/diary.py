"""
What happened in a seed, a line each: what is shown of one that fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, final

import attrs

from ...clock import from_micros

__all__ = ["Diary"]

# So many lines are shown of what happened last.
_LAST: Final = 40

# So much of what happened in one step: the quiet is one.
_SHOWN: Final = 6


@final
@attrs.define
class _Line:
    """
    Something that happened in a step: how often in a row, and when last.
    """

    step: int
    what: str
    at: int
    times: int = 1

    @property
    def text(self) -> str:
        return self.what if self.times == 1 else f"{self.what} ({self.times} times)"


@final
class Diary:
    """
    Keeps what is said; the same thing twice in a row is one line.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []

    def say(self, step: int, at: int, what: str) -> None:
        """
        Write down what happens in a step.

        Args:
            at: When, in microseconds.
        """
        last = self._lines[-1] if self._lines else None
        if last is not None and (last.step, last.what) == (step, what):
            last.at = at
            last.times += 1
        else:
            self._lines.append(_Line(step, what, at))

    @property
    def last(self) -> tuple[str, ...]:
        """
        What happened last, a line each.
        """
        return tuple(
            f"{one.step:5} {from_micros(one.at).isoformat()} {one.text}"
            for one in self._lines[-_LAST:]
        )

    @property
    def script(self) -> Mapping[int, str]:
        """
        Every step in which something happened, by its number.
        """
        return {
            step: _joined([one.text for one in lines])
            for step, lines in groupby(self._lines, lambda one: one.step)
        }


def _joined(texts: Sequence[str]) -> str:
    """
    Return what happened in a step; of much only the end.
    """
    left_out = len(texts) - _SHOWN
    if left_out <= 1:
        return "; ".join(texts)
    return "; ".join([f"({left_out} more)", *texts[-_SHOWN:]])
