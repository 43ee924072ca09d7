"""
What a sentence is: a text with parts, or two that change with a number.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, final

__all__ = ["Counted", "Sentence"]


@final
class Counted(NamedTuple):
    """
    A sentence that changes with a number.

    Attributes:
        by: Which part is the number.

        one: The sentence for one.

        many: The sentence for any other number, in English.
    """

    by: str
    one: str
    many: str


Sentence: TypeAlias = str | Counted
