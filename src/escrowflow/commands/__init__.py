"""
What an actor asks for.

A command is an imperative, `AcceptOrder`: somebody wants something.  It is
checked by itself when it is built; whether it may happen depends on the order
and is decided later.  The snake_case of its class is its name everywhere: in
the table of a process, in options, in the history and on the command line.

The chapters stand in the order of an order's life; what became of its money, and
the moves of the system, lie beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import WindowLike, as_utc, as_window
from ..errors import InvalidInputError
from ..inputs import (
    FrozenDict,
    Text,
    as_id,
    as_ids,
    as_metadata,
    as_text,
    kind_of,
)
from ..money import Money, Payment, as_amount
from ..terms import (
    AddOn,
    FullRefund,
    PaySeller,
    Relaunch,
    Ruling,
    Split,
    Terms,
    as_add_ons,
    as_payments,
)
from .base import Command, as_one_of, as_reason, as_word
from .reports import (
    RedirectPayout,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
from .system import (
    AlertMediator,
    CloseConversation,
    CompleteSilently,
    DefaultRuling,
    EscalateClaim,
    ExpireAcceptance,
    ExpireAnswer,
    ExpireBrief,
    ExpireDelivery,
    ExpireHold,
    ExpireOffer,
    ExpireOrder,
    ExpirePayment,
    MarkLate,
    RemindAcceptance,
    RemindVerification,
    UnlockDispute,
)

__all__ = [
    "AcceptCancellation",
    "AcceptExtension",
    "AcceptOrder",
    "AcceptPartialRefund",
    "AcceptRevision",
    "AlertMediator",
    "AnswerMediator",
    "ApproveDelivery",
    "AskParties",
    "AssignMediator",
    "BuyAddOn",
    "CancelOrder",
    "CloseConversation",
    "Command",
    "CompleteSilently",
    "ConfirmPayment",
    "ConvertClaim",
    "DefaultRuling",
    "DeliverOrder",
    "EditClaim",
    "EscalateClaim",
    "ExcuseCancellation",
    "ExpireAcceptance",
    "ExpireAnswer",
    "ExpireBrief",
    "ExpireDelivery",
    "ExpireHold",
    "ExpireOffer",
    "ExpireOrder",
    "ExpirePayment",
    "ExtendDeadlines",
    "FileClaim",
    "FreezeOrder",
    "LeaveConversation",
    "LeaveReview",
    "MarkLate",
    "OpenDispute",
    "PayOffer",
    "PlaceOrder",
    "ProposePartialRefund",
    "RedirectPayout",
    "RefuseCancellation",
    "RefuseExtension",
    "RefuseOffer",
    "RefuseOrder",
    "RefusePartialRefund",
    "RefuseRevision",
    "RejectClaim",
    "RemindAcceptance",
    "RemindVerification",
    "RemoveReview",
    "ReplyToReview",
    "ReportCharge",
    "ReportChargeback",
    "ReportPayout",
    "ReportRefund",
    "RequestCancellation",
    "RequestCoupon",
    "RequestExtension",
    "RequestRevision",
    "RuleDispute",
    "SendMessage",
    "SendOffer",
    "SubmitBrief",
    "UnfreezeOrder",
    "UnlockDispute",
    "WithdrawCancellation",
    "WithdrawClaim",
    "WithdrawExtension",
    "WithdrawOffer",
    "WithdrawPartialRefund",
]

Payments: TypeAlias = Payment | Sequence[Payment] | None
RemovalCause: TypeAlias = Literal["unlawful", "sensitive", "buyer_wish"]

RATINGS: Final = (1, 5)
REMOVAL_CAUSES: Final = ("unlawful", "sensitive", "buyer_wish")


# What commands have in common: one small function a field, so that the error
# names it and a type checker sees what may be passed.


def _seller_id(value: object) -> str:
    return as_id(value, "seller_id")


def _mediator_id(value: object) -> str:
    return as_id(value, "mediator_id")


def _offer_id(value: object) -> str:
    return as_id(value, "offer_id")


def _item(value: object) -> str:
    return as_id(value, "item")


def _reference(value: object) -> str:
    return as_id(value, "reference")


def _listing_id(value: object) -> str:
    return "" if value == "" else as_id(value, "listing_id")


def _metadata(value: Mapping[str, str]) -> Mapping[str, str]:
    return as_metadata(value, "metadata")


def _price(value: Money) -> Money:
    return as_amount(value, "price")


def _amount(value: Money) -> Money:
    return as_amount(value, "amount")


def _tip(value: Money | None) -> Money | None:
    return None if value is None else as_amount(value, "tip")


def _payments(value: Payments) -> tuple[Payment, ...]:
    return as_payments(value)


def _arrived(value: Payments) -> tuple[Payment, ...]:
    payments = as_payments(value)
    if any(payment.held_until is not None for payment in payments):
        raise InvalidInputError(
            "payment.held_until", "only an order itself is paid by a hold"
        )
    return payments


def _one_payment(value: Payments) -> tuple[Payment, ...]:
    payments = as_payments(value)
    if len(payments) != 1:
        raise InvalidInputError("payment", f"one Payment, not {len(payments)}")
    return payments


def _terms(value: Terms) -> Terms:
    if not isinstance(value, Terms):
        raise InvalidInputError("terms", f"Terms, not {kind_of(value)}")
    return value


def _text(value: str) -> Text:
    return as_text(value, "text", required=True)


def _maybe_text(value: str) -> Text:
    return as_text(value, "text")


def _title(value: str) -> Text:
    return as_text(value, "title", required=True)


def _note(value: str) -> Text:
    return as_text(value, "note")


def _files(value: Sequence[str]) -> tuple[str, ...]:
    return as_ids(value, "files")


def _due_at(value: datetime | str) -> DateTime:
    return as_utc(value, "due_at")


def _extra_window(value: WindowLike | None) -> timedelta | None:
    return None if value is None else as_window(value, "extra_window")


def _delivery_window(value: WindowLike | None) -> timedelta | None:
    return None if value is None else as_window(value, "delivery_window")


def _window(value: WindowLike) -> timedelta:
    return as_window(value, "window")


def _ruling(value: Ruling) -> Ruling:
    if not isinstance(value, (FullRefund, Split, Relaunch, PaySeller)):
        raise InvalidInputError(
            "ruling", f"FullRefund, Split, Relaunch or PaySeller, not {kind_of(value)}"
        )
    return value


def _rating(value: int) -> int:
    if type(value) is not int or not RATINGS[0] <= value <= RATINGS[1]:
        raise InvalidInputError("rating", "a whole number from 1 to 5")
    return value


def _removal_cause(value: RemovalCause) -> Any:
    return as_one_of(value, REMOVAL_CAUSES, "cause")


# --- placing and paying -----------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class PlaceOrder(Command):
    """
    Order a service, and pay for it now or soon (R2).

    Attributes:
        seller_id: Who shall do the work.

        price: The price of the service, fees not included.

        payment: What was paid: one `Payment`, a list of them, each with its
            amount, or `None` when the word of the payment provider is still to
            come.  You vouch that it arrived.

        terms: What was agreed.

        tip: Given with the order, at most `Extras.tip_max` of price and
            add-ons (R4).

        add_ons: Options bought with the order.

        listing_id: The service, as the host names it.

        metadata: The host's own labels, text to text; never personal data.
    """

    vouched: ClassVar[tuple[str, ...]] = ("price", "payment", "terms", "add_ons")

    seller_id: str = attrs.field(converter=_seller_id)
    price: Money = attrs.field(converter=_price)
    payment: tuple[Payment, ...] = attrs.field(converter=_payments)
    terms: Terms = attrs.field(converter=_terms)
    tip: Money | None = attrs.field(default=None, converter=_tip)
    add_ons: tuple[AddOn, ...] = attrs.field(default=(), converter=as_add_ons)
    listing_id: str = attrs.field(default="", converter=_listing_id)
    metadata: Mapping[str, str] = attrs.field(factory=FrozenDict, converter=_metadata)


@final
@attrs.frozen(kw_only=True)
class ConfirmPayment(Command):
    """
    Say that money arrived; sent for the payment provider or by staff.

    What is owed is held, anything else is booked and refunded whole.  It is refused
    only if a bank held another amount under this reference.

    Attributes:
        payment: What arrived, or what the buyer's bank holds.

        item: What it is for: `"order"`, or the id of an add-on or offer.
    """

    payment: tuple[Payment, ...] = attrs.field(
        converter=_one_payment, metadata={"maximum": 1}
    )
    item: str = attrs.field(default="order", converter=_item)

    def __attrs_post_init__(self) -> None:
        if self.item != "order":
            _arrived(self.payment)


@final
@attrs.frozen(kw_only=True)
class SubmitBrief(Command):
    """
    Hand over what the seller needs to start (R7).  The window keeps running.
    """

    one_of: ClassVar[tuple[str, ...]] = ("text", "files")

    text: Text = attrs.field(default=Text(), converter=_maybe_text)
    files: tuple[str, ...] = attrs.field(default=(), converter=_files)


# --- acceptance -------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class AcceptOrder(Command):
    """
    Start the work; the delivery time begins now (R9).
    """


@final
@attrs.frozen(kw_only=True)
class RefuseOrder(Command):
    """
    Turn the order down before it began; everything goes back (R11).
    """

    reason: Text = attrs.field(converter=as_reason)


# --- cancellation -----------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class CancelOrder(Command):
    """
    End the order alone, where the rules give that right (R12, R27, R36).
    """

    reason: Text = attrs.field(default=Text(), converter=as_word)


@final
@attrs.frozen(kw_only=True)
class RequestCancellation(Command):
    """
    Ask the seller to agree to a cancellation (R31).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class WithdrawCancellation(Command):
    """
    Take a request for cancellation back before it was answered.
    """


@final
@attrs.frozen(kw_only=True)
class AcceptCancellation(Command):
    """
    Agree to the cancellation; everything goes back (R32).
    """


@final
@attrs.frozen(kw_only=True)
class RefuseCancellation(Command):
    """
    Turn the request for cancellation down (R33).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class ExcuseCancellation(Command):
    """
    Staff: hide the seller's cancellation from the public profile (R43).
    """

    reason: Text = attrs.field(converter=as_reason)


# --- delivery ---------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class DeliverOrder(Command):
    """
    Hand over the work (R50).
    """

    one_of: ClassVar[tuple[str, ...]] = ("files", "note")

    files: tuple[str, ...] = attrs.field(default=(), converter=_files)
    note: Text = attrs.field(default=Text(), converter=_note)


@final
@attrs.frozen(kw_only=True)
class ApproveDelivery(Command):
    """
    Say that the work is right; the seller is paid (R52, R62).
    """


# --- extension --------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class RequestExtension(Command):
    """
    Ask the buyer for a later date (R24): in `recommended`.

    Attributes:
        due_at: When the work will be there.
    """

    due_at: DateTime = attrs.field(converter=_due_at)
    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class AcceptExtension(Command):
    """
    Agree to the later date: the delivery is due then.
    """


@final
@attrs.frozen(kw_only=True)
class RefuseExtension(Command):
    """
    Do not agree to it: the delivery is due as before.
    """


@final
@attrs.frozen(kw_only=True)
class WithdrawExtension(Command):
    """
    Take the request for a later date back.
    """


# --- revision ---------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class RequestRevision(Command):
    """
    Ask for changes to the work (R56).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class AcceptRevision(Command):
    """
    Agree to make the changes; the work begins again (R57).
    """


@final
@attrs.frozen(kw_only=True)
class RefuseRevision(Command):
    """
    Turn the changes down and say why (R61).
    """

    reason: Text = attrs.field(converter=as_reason)


# --- dispute ----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class FileClaim(Command):
    """
    Ask for a mediator; the order goes on meanwhile (R69).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class EditClaim(Command):
    """
    Say it better, as long as no mediator has looked at it (R70).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class WithdrawClaim(Command):
    """
    Take the claim back, as long as no mediator has looked at it (R70).
    """


@final
@attrs.frozen(kw_only=True)
class RejectClaim(Command):
    """
    Mediator: the claim is not admissible, the order goes on (R71).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class ConvertClaim(Command):
    """
    Mediator: the claim becomes a dispute (R72).
    """


@final
@attrs.frozen(kw_only=True)
class OpenDispute(Command):
    """
    Stop everything and let a mediator decide (R63, R73).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class AssignMediator(Command):
    """
    Say who mediates: a mediator himself, or staff anybody (R76).
    """

    mediator_id: str = attrs.field(converter=_mediator_id)


@final
@attrs.frozen(kw_only=True)
class AskParties(Command):
    """
    Mediator: ask both sides a question (R76).
    """

    text: Text = attrs.field(converter=_text)


@final
@attrs.frozen(kw_only=True)
class AnswerMediator(Command):
    """
    Tell the mediator something, in the only thread a dispute leaves open.
    """

    text: Text = attrs.field(converter=_text)
    files: tuple[str, ...] = attrs.field(default=(), converter=_files)


@final
@attrs.frozen(kw_only=True)
class RuleDispute(Command):
    """
    Decide, firm and final (R78 to R82).
    """

    ruling: Ruling = attrs.field(converter=_ruling)
    reason: Text = attrs.field(converter=as_reason)


# --- partial refunds --------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class ProposePartialRefund(Command):
    """
    Propose that part of the money goes back and the order goes on (R86).
    """

    amount: Money = attrs.field(converter=_amount)
    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class WithdrawPartialRefund(Command):
    """
    Take one's own proposal back (R87).
    """


@final
@attrs.frozen(kw_only=True)
class AcceptPartialRefund(Command):
    """
    Agree to the other side's proposal (R88).
    """


@final
@attrs.frozen(kw_only=True)
class RefusePartialRefund(Command):
    """
    Turn the other side's proposal down (R89).
    """

    reason: Text = attrs.field(default=Text(), converter=as_word)


# --- extras -----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class BuyAddOn(Command):
    """
    Buy an option on the running order (R17).  You vouch for all of it.
    """

    vouched: ClassVar[tuple[str, ...]] = ("title", "price", "payment", "extra_window")

    title: Text = attrs.field(converter=_title)
    price: Money = attrs.field(converter=_price)
    payment: tuple[Payment, ...] = attrs.field(
        converter=_arrived, metadata={"without": ("held_until",)}
    )
    extra_window: timedelta | None = attrs.field(default=None, converter=_extra_window)


@final
@attrs.frozen(kw_only=True)
class SendOffer(Command):
    """
    Offer extra work at a price (R18).
    """

    title: Text = attrs.field(converter=_title)
    price: Money = attrs.field(converter=_price)
    delivery_window: timedelta | None = attrs.field(
        default=None, converter=_delivery_window
    )


@final
@attrs.frozen(kw_only=True)
class WithdrawOffer(Command):
    """
    Take an offer back, for good (R20).
    """

    offer_id: str = attrs.field(converter=_offer_id)


@final
@attrs.frozen(kw_only=True)
class RefuseOffer(Command):
    """
    Turn an offer down, for good (R20).
    """

    offer_id: str = attrs.field(converter=_offer_id)


@final
@attrs.frozen(kw_only=True)
class PayOffer(Command):
    """
    Take an offer and pay for it, once (R21).  You vouch that the money arrived.
    """

    vouched: ClassVar[tuple[str, ...]] = ("payment",)

    offer_id: str = attrs.field(converter=_offer_id)
    payment: tuple[Payment, ...] = attrs.field(
        converter=_arrived, metadata={"without": ("held_until",)}
    )


# --- reviews and conversation -----------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class LeaveReview(Command):
    """
    Say publicly how it went; completes a delivered order (R53, R96).
    """

    rating: int = attrs.field(
        converter=_rating, metadata={"minimum": RATINGS[0], "maximum": RATINGS[1]}
    )
    text: Text = attrs.field(default=Text(), converter=_maybe_text)


@final
@attrs.frozen(kw_only=True)
class ReplyToReview(Command):
    """
    Use the one right of reply (R97).
    """

    text: Text = attrs.field(converter=_text)


@final
@attrs.frozen(kw_only=True)
class RemoveReview(Command):
    """
    Staff: take a review down, for one of the causes that count (R98).
    """

    cause: RemovalCause = attrs.field(converter=_removal_cause)


@final
@attrs.frozen(kw_only=True)
class SendMessage(Command):
    """
    Write to the other side; the host keeps the words, we keep the reference.
    """

    reference: str = attrs.field(converter=_reference)


@final
@attrs.frozen(kw_only=True)
class LeaveConversation(Command):
    """
    Close the conversation of a finished order (C14).
    """


# --- staff ------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class FreezeOrder(Command):
    """
    Staff: stop everything for checks (R84).
    """

    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class UnfreezeOrder(Command):
    """
    Staff: go on where the order was stopped.
    """


@final
@attrs.frozen(kw_only=True)
class ExtendDeadlines(Command):
    """
    Staff: move all running deadlines later, after an outage and the like.
    """

    window: timedelta = attrs.field(converter=_window)
    reason: Text = attrs.field(converter=as_reason)


@final
@attrs.frozen(kw_only=True)
class RequestCoupon(Command):
    """
    Buyer: ask for a coupon for an expired order, once (R100).
    """
