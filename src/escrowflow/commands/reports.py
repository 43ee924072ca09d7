"""
What became of the money: said by the payment provider, or by staff.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, TypeAlias, final

import attrs

from ..errors import InvalidInputError
from ..inputs import Text, as_id, kind_of
from ..money import Money, as_amount
from .base import Command, as_one_of, as_reason, as_word

__all__ = [
    "RedirectPayout",
    "ReportCharge",
    "ReportChargeback",
    "ReportPayout",
    "ReportRefund",
]

ReportStatus: TypeAlias = Literal["sent", "paid", "failed"]
ChargebackStatus: TypeAlias = Literal["opened", "won", "lost"]

REPORT_STATUSES: Final = ("sent", "paid", "failed")
CHARGEBACK_STATUSES: Final = ("opened", "won", "lost")


def _report_status(value: ReportStatus) -> Any:
    return as_one_of(value, REPORT_STATUSES, "status")


def _chargeback_status(value: ChargebackStatus) -> Any:
    return as_one_of(value, CHARGEBACK_STATUSES, "status")


def _maybe_key(value: object) -> str:
    return "" if value == "" else as_id(value, "key")


def _maybe_reference(value: object) -> str:
    return "" if value == "" else as_id(value, "reference")


def _maybe_amount(value: Money | None) -> Money | None:
    return None if value is None else as_amount(value, "amount")


def _again(value: bool) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError("again", f"true or false, not {kind_of(value)}")
    return value


def _effect_key(value: object) -> str:
    return as_id(value, "key")


def _payee_id(value: object) -> str:
    return as_id(value, "payee_id")


def _chargeback_id(value: object) -> str:
    return as_id(value, "chargeback_id")


def _payment_reference(value: object) -> str:
    return as_id(value, "payment_reference")


@attrs.frozen(kw_only=True)
class _Report:
    """
    What the provider says of money that we asked it to move; one of those below.

    Repeated, or overtaken by what is known already, it changes nothing.

    Attributes:
        status: `"sent"`: under way; `"paid"`; `"failed"`: it did not happen, for
            sure, or it came back.

        key: The key of the effect: it went to the provider as idempotency key.

        reference: What the provider calls it; once said it may stand for the key.

        amount: What was moved; refused unless it is what was asked for.

        reason: Why it failed.

        again: Whether it is sent again by itself; otherwise a human must look.
    """

    one_of: ClassVar[tuple[str, ...]] = ("key", "reference")

    status: ReportStatus = attrs.field(converter=_report_status)
    key: str = attrs.field(default="", converter=_maybe_key)
    reference: str = attrs.field(default="", converter=_maybe_reference)
    amount: Money | None = attrs.field(default=None, converter=_maybe_amount)
    reason: Text = attrs.field(default=Text(), converter=as_word)
    again: bool = attrs.field(default=False, converter=_again)


@final
@attrs.frozen(kw_only=True)
class ReportRefund(_Report, Command):
    """
    Provider: say what became of a refund.
    """


@final
@attrs.frozen(kw_only=True)
class ReportPayout(_Report, Command):
    """
    Provider: say what became of a payout.
    """


@final
@attrs.frozen(kw_only=True)
class ReportCharge(_Report, Command):
    """
    Provider: say what became of a charge, or that the bank holds it no longer.

    The reference of the payment may stand for the key, too.
    """


@final
@attrs.frozen(kw_only=True)
class ReportChargeback(Command):
    """
    Provider: say that a bank took a payment back, or what it decided.

    Attributes:
        chargeback_id: What the provider calls it.

        payment_reference: The reference of the payment.

        status: `"opened"`, `"won"`: it was given back; `"lost"`.

        amount: How much was taken, or is lost for good; `None` for all of the
            payment, or all that was taken.
    """

    chargeback_id: str = attrs.field(converter=_chargeback_id)
    payment_reference: str = attrs.field(converter=_payment_reference)
    status: ChargebackStatus = attrs.field(converter=_chargeback_status)
    amount: Money | None = attrs.field(default=None, converter=_maybe_amount)


@final
@attrs.frozen(kw_only=True)
class RedirectPayout(Command):
    """
    Staff: have somebody else paid in the seller's place, when his account is closed.

    Attributes:
        key: The key of the payout: `order.payouts[i].key`.

        payee_id: Who is paid.
    """

    key: str = attrs.field(converter=_effect_key)
    payee_id: str = attrs.field(converter=_payee_id)
    reason: Text = attrs.field(converter=as_reason)
