"""
Whatever happens to money, it adds up to the last unit (I1, I2, I25, I34).
"""

from __future__ import annotations

import pytest

from tests.sequences import led

pytestmark = pytest.mark.proof

# 10,000 in all; a million in `make soak`.
PARTS = 8
EACH = 1_250


@pytest.mark.parametrize("part", range(PARTS))
def test_money_adds_up(part: int) -> None:
    """
    Payments, fees, tips, extras, refunds, splits, failures and chargebacks, in any
    order and three currencies: accounts sum to zero, none below zero, nobody is
    paid twice.
    """
    moved = sum(led(part, number) for number in range(EACH))

    # Most steps are refused; those that are not must be many.
    assert moved > EACH * 2
