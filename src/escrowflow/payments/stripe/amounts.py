"""
Amounts as Stripe counts them: mostly as ISO 4217 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...errors import InvalidInputError
from ...money import CURRENCIES, Money

__all__ = ["from_stripe", "to_stripe"]

# Where Stripe counts in other units than ISO 4217 (docs.stripe.com/currencies).
_DIGITS: Final[Mapping[str, int]] = {"ISK": 2, "MGA": 0, "UGX": 2}

# What a bank is paid in whole units only, though cards are not.
_WHOLE_TO_BANKS: Final = ("HUF", "TWD")


def _digits(currency: str) -> int:
    return _DIGITS.get(currency, CURRENCIES[currency])


def _power(digits: int) -> int:
    return int(10**digits)


def to_stripe(amount: Money, *, to_bank: bool = False) -> int:
    """
    Return an amount as Stripe counts it; nothing is ever rounded.

    Args:
        to_bank: Whether it is paid to a bank account.

    Raises:
        InvalidInputError: If Stripe cannot move that amount: of a currency with three
            decimals the last one is zero, and some currencies have only whole units
            there.
    """
    ours, theirs = CURRENCIES[amount.currency], _digits(amount.currency)
    if theirs > 3:
        raise InvalidInputError("amount", f"Stripe moves no {amount.currency}")
    minor, lost = divmod(amount.minor * _power(theirs), _power(ours))
    step = 10 if theirs == 3 else 1
    if to_bank and amount.currency in _WHOLE_TO_BANKS:
        step = 100
    if lost or minor % step:
        unit = Money(_power(max(ours - theirs, 0)) * step, amount.currency)
        raise InvalidInputError(
            "amount", f"Stripe moves multiples of {unit}, and {amount} is none"
        )
    return minor


def from_stripe(minor: int, currency: str) -> Money:
    """
    Return an amount that Stripe names.

    Args:
        minor: Whole units of Stripe's.

        currency: The ISO 4217 code, in small letters as Stripe writes it.

    Raises:
        InvalidInputError: If it is no amount of a currency, or a part of a unit that
            ISO 4217 does not have.
    """
    if not isinstance(currency, str) or currency.upper() not in CURRENCIES:
        raise InvalidInputError("currency", "a currency of ISO 4217")
    if type(minor) is not int or minor < 0:
        raise InvalidInputError("amount", "whole units, from zero up")
    code = currency.upper()
    whole, rest = divmod(minor * _power(CURRENCIES[code]), _power(_digits(code)))
    if rest:
        raise InvalidInputError("amount", f"{code} has no such part of a unit")
    return Money(whole, code)
