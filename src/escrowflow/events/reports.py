"""
What became of the money.
"""

from __future__ import annotations

from typing import final

import attrs

from ..inputs import Text
from ..money import Money
from ..parts import Covered
from .base import Event

__all__ = [
    "ChargebackClosed",
    "ChargebackCovered",
    "ChargebackOpened",
    "PayoutFailed",
    "PayoutPaid",
    "PayoutRedirected",
    "PayoutSent",
    "RefundFailed",
    "RefundPaid",
    "RefundSent",
]


@final
@attrs.frozen(kw_only=True)
class RefundSent(Event):
    """
    A refund is on its way, or may be: how it ends is not known yet.

    Attributes:
        key: The key of its effect.

        reference: What the provider calls it; empty as long as it did not say.
    """

    key: str
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class RefundPaid(Event):
    """
    A refund was paid: the buyer has it, or his bank.
    """

    key: str
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class RefundFailed(Event):
    """
    A refund did not happen, for sure, or it came back: it is owed again.

    Attributes:
        key: The key of its effect; under this one nothing is ever sent again.

        next_key: The key under which it is owed from now on.

        again: Whether it is sent again by itself; otherwise a human must look.

        caught_up: Whether it was given up before, and a restored backup has forgotten
            it: nobody is told once more.
    """

    key: str
    next_key: str
    reason: Text
    again: bool = False
    caught_up: bool = False


@final
@attrs.frozen(kw_only=True)
class PayoutSent(Event):
    """
    A payout is on its way, or may be: how it ends is not known yet.
    """

    key: str
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class PayoutPaid(Event):
    """
    A payout was paid: the seller has it, or his bank.
    """

    key: str
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class PayoutFailed(Event):
    """
    A payout did not happen, for sure, or it came back: it is owed again.

    Attributes: see `RefundFailed`.
    """

    key: str
    next_key: str
    reason: Text
    again: bool = False
    caught_up: bool = False


@final
@attrs.frozen(kw_only=True)
class PayoutRedirected(Event):
    """
    Staff named somebody else who is paid in the seller's place.

    Attributes:
        payee_id: Who: another account of the seller's, an heir, a liquidator.
    """

    key: str
    next_key: str
    payee_id: str
    reason: Text


@final
@attrs.frozen(kw_only=True)
class ChargebackOpened(Event):
    """
    A bank took a payment back; the platform may answer.

    Attributes:
        chargeback_id: What the provider calls it.

        payment_reference: The reference of the payment.

        amount: How much was taken.
    """

    chargeback_id: str
    payment_reference: str
    amount: Money


@final
@attrs.frozen(kw_only=True)
class ChargebackClosed(Event):
    """
    The bank decided.

    Attributes:
        lost: How much stays taken: nothing if it was won.
    """

    chargeback_id: str
    lost: Money


@final
@attrs.frozen(kw_only=True)
class ChargebackCovered(Event):
    """
    What a bank took for good is made good by what had not left yet.

    Attributes:
        held: What was still held.

        refunds: What was owed to the buyer on that payment: he has it from his bank.

        payouts: What was owed to the seller.
    """

    chargeback_id: str
    held: Money
    refunds: tuple[Covered, ...] = ()
    payouts: tuple[Covered, ...] = ()
