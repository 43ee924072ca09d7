"""
What a bank holds for us, and charging it.
"""

from __future__ import annotations

from typing import final

import attrs

from ..inputs import Text
from ..money import Payment
from .base import Event

__all__ = [
    "ChargeAsked",
    "ChargeFailed",
    "ChargePaid",
    "ChargeSent",
    "HoldReleased",
    "PaymentHeld",
]


@final
@attrs.frozen(kw_only=True)
class PaymentHeld(Event):
    """
    The buyer's bank holds what he owes: it is charged once the seller accepts.
    """

    payment: Payment


@final
@attrs.frozen(kw_only=True)
class HoldReleased(Event):
    """
    What the buyer's bank holds was not owed, and is let go at once.

    Attributes:
        item: What it was meant for.

        why: The code of what was in the way.
    """

    payment: Payment
    item: str
    why: str


@final
@attrs.frozen(kw_only=True)
class ChargeAsked(Event):
    """
    The seller accepted: what the bank holds is charged, and then he begins.
    """


@final
@attrs.frozen(kw_only=True)
class ChargeSent(Event):
    """
    A charge is on its way, or may be: how it ends is not known yet.

    Attributes:
        payment_reference: The reference of the payment.

        key: The key of its effect.

        reference: What the provider calls it; empty as long as it did not say.
    """

    payment_reference: str
    key: str
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class ChargePaid(Event):
    """
    What the bank held has arrived: we hold it now.

    Attributes: see `ChargeSent`; the key is empty if nobody had asked for it.
    """

    payment_reference: str
    key: str = ""
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class ChargeFailed(Event):
    """
    A charge did not happen, for sure, or the bank holds nothing any longer.

    Attributes: see `ChargePaid`, and

        next_key: The key under which it is sent again, if it is.

        again: Whether it is sent again by itself.
    """

    payment_reference: str
    key: str = ""
    next_key: str
    reason: Text
    again: bool = False
