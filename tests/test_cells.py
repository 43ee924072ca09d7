"""
A test of many cells fails for each that is broken, and says which they are.
"""

from __future__ import annotations

import pytest

from escrowflow.parties import Role
from tests.cells import hold


def even(number: int, _: Role) -> None:
    """
    Hold for every second number.
    """
    assert number % 2 == 0


def test_all_broken_ones_are_named() -> None:
    """
    One that is broken does not hide the others.
    """
    cells = [(number, Role.BUYER) for number in range(5)]

    with pytest.raises(ExceptionGroup, match="2 of 5 cells: 1-buyer, 3-buyer") as found:
        hold(even, cells)

    assert [error.__notes__ for error in found.value.exceptions] == [
        ["in the cell 1-buyer"],
        ["in the cell 3-buyer"],
    ]


def test_a_check_that_gives_up_is_broken() -> None:
    """
    What pytest raises for a failure is no ordinary exception, and counts all the same.
    """

    def give_up(_: int) -> None:
        pytest.fail("no")

    with pytest.raises(BaseExceptionGroup, match="1 of 1 cells: 7"):
        hold(give_up, [(7,)])


def test_sound_ones_are_counted() -> None:
    """
    Who holds says how often.
    """
    assert hold(even, [(0, Role.BUYER), (2, Role.SELLER)]) == 2
