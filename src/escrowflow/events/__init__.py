"""
What happened to an order, for ever.

An event is in the past tense, `OrderAccepted`.  It is a plain fact: everything a
rule worked out (an instant, an amount, who gets what) is written into it, so that
an old history replays without the rules of its day.

`Recorded` is an event as the history keeps it: its number, who caused it, when it
counts, when it was written, and where it left the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final, final

import attrs
from pendulum import DateTime

from ..inputs import FrozenDict, Text
from ..money import Money, Payment
from ..parties import Actor
from ..parts import Ending, RefundPart, Settlement, Standing
from ..terms import AddOn, Ruling, Terms
from .base import Event
from .charging import (
    ChargeAsked,
    ChargeFailed,
    ChargePaid,
    ChargeSent,
    HoldReleased,
    PaymentHeld,
)
from .reports import (
    ChargebackClosed,
    ChargebackCovered,
    ChargebackOpened,
    PayoutFailed,
    PayoutPaid,
    PayoutRedirected,
    PayoutSent,
    RefundFailed,
    RefundPaid,
    RefundSent,
)

__all__ = [
    "AcceptanceReminded",
    "AddOnBought",
    "AnswerExpired",
    "BriefSubmitted",
    "CancellationAccepted",
    "CancellationExcused",
    "CancellationRefused",
    "CancellationRequested",
    "CancellationWithdrawn",
    "ChargeAsked",
    "ChargeFailed",
    "ChargePaid",
    "ChargeSent",
    "ChargebackClosed",
    "ChargebackCovered",
    "ChargebackOpened",
    "ClaimConverted",
    "ClaimEdited",
    "ClaimFiled",
    "ClaimRejected",
    "ClaimWithdrawn",
    "ConversationClosed",
    "ConversationLeft",
    "CouponRequested",
    "DeadlinesExtended",
    "DeliveryApproved",
    "DeliveryExtended",
    "DisputeOpened",
    "DisputeRuled",
    "DisputeUnlocked",
    "Event",
    "ExtensionAccepted",
    "ExtensionRefused",
    "ExtensionRequested",
    "ExtensionWithdrawn",
    "HoldReleased",
    "MediatorAlerted",
    "MediatorAnswered",
    "MediatorAssigned",
    "MessageSent",
    "OfferExpired",
    "OfferPaid",
    "OfferRefused",
    "OfferSent",
    "OfferWithdrawn",
    "OrderAccepted",
    "OrderCancelled",
    "OrderCompleted",
    "OrderDelivered",
    "OrderExpired",
    "OrderFrozen",
    "OrderMarkedLate",
    "OrderMigrated",
    "OrderPaid",
    "OrderPlaced",
    "OrderRelaunched",
    "OrderUnfrozen",
    "PartialRefundAccepted",
    "PartialRefundProposed",
    "PartialRefundRefused",
    "PartialRefundWithdrawn",
    "PartiesAsked",
    "PaymentBooked",
    "PaymentHeld",
    "PaymentReturned",
    "PayoutFailed",
    "PayoutPaid",
    "PayoutRedirected",
    "PayoutSent",
    "Recorded",
    "RefundFailed",
    "RefundPaid",
    "RefundSent",
    "ReviewLeft",
    "ReviewRemoved",
    "ReviewReplied",
    "RevisionAccepted",
    "RevisionRefused",
    "RevisionRequested",
    "VerificationReminded",
]


# --- placing and paying -----------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class OrderPlaced(Event):
    """
    An order exists; nothing is held yet.

    Attributes:
        fees: Fees on top of the price that the buyer pays with it.

        amount_due: Everything the buyer has to pay: price, tip, add-ons, fees.

        full_window: The delivery time, windows of add-ons included.
    """

    order_id: str
    buyer_id: str
    seller_id: str
    process: str
    fingerprint: str
    price: Money
    tip: Money
    add_ons: tuple[AddOn, ...]
    fees: Money
    amount_due: Money
    terms: Terms
    full_window: timedelta
    listing_id: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=FrozenDict)


@final
@attrs.frozen(kw_only=True)
class PaymentBooked(Event):
    """
    Money that was owed arrived and is held.

    Attributes:
        item: What it is for: `"order"`, or the id of an add-on or offer.
    """

    payment: Payment
    item: str


@final
@attrs.frozen(kw_only=True)
class PaymentReturned(Event):
    """
    Money that was not owed arrived; it goes back whole, to where it came from.

    Attributes:
        why: Why it was not owed, as a stable code.

        key: The key of the charge by which it came; empty if there was none.
    """

    refund: RefundPart
    item: str
    why: str
    key: str = ""


@final
@attrs.frozen(kw_only=True)
class OrderPaid(Event):
    """
    Everything owed for the order is held; the seller may accept (R2).
    """


@final
@attrs.frozen(kw_only=True)
class BriefSubmitted(Event):
    """
    The buyer handed over what the seller needs (R7).
    """

    text: Text
    files: tuple[str, ...]


# --- acceptance -------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class AcceptanceReminded(Event):
    """
    The buyer was reminded of the brief (R8).
    """


@final
@attrs.frozen(kw_only=True)
class OrderAccepted(Event):
    """
    The seller started (R9).
    """


# --- delivery ---------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class OrderMarkedLate(Event):
    """
    The delivery deadline passed undelivered (R26).
    """


@final
@attrs.frozen(kw_only=True)
class OrderDelivered(Event):
    """
    The seller handed over the work (R50).
    """

    files: tuple[str, ...]
    note: Text


@final
@attrs.frozen(kw_only=True)
class VerificationReminded(Event):
    """
    The buyer was reminded to verify (R54).
    """


@final
@attrs.frozen(kw_only=True)
class DeliveryApproved(Event):
    """
    The buyer said that the work is right (R52).
    """


# --- extension --------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class ExtensionRequested(Event):
    """
    The seller asked the buyer for a later date (R24).

    Attributes:
        due_at: When the work will be there.
    """

    due_at: DateTime
    reason: Text


@final
@attrs.frozen(kw_only=True)
class ExtensionWithdrawn(Event):
    """
    The seller took the request back.
    """


@final
@attrs.frozen(kw_only=True)
class ExtensionAccepted(Event):
    """
    The buyer agreed to the later date.
    """


@final
@attrs.frozen(kw_only=True)
class ExtensionRefused(Event):
    """
    The buyer did not agree to the later date.
    """


# --- revision ---------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class RevisionRequested(Event):
    """
    The buyer asked for changes (R56).

    Attributes:
        over_limit: Whether more were asked for than agreed (R58, soft limit).

        accepted: Whether it counts at once, without the seller's answer (C8).
    """

    reason: Text
    over_limit: bool = False
    accepted: bool = False


@final
@attrs.frozen(kw_only=True)
class RevisionAccepted(Event):
    """
    The seller will make the changes (R57).
    """


@final
@attrs.frozen(kw_only=True)
class RevisionRefused(Event):
    """
    The seller will not make the changes (R61).
    """

    reason: Text


# --- cancellation -----------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class CancellationRequested(Event):
    """
    The buyer asked the seller to agree to a cancellation (R31).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class CancellationWithdrawn(Event):
    """
    The buyer took the request back.
    """


@final
@attrs.frozen(kw_only=True)
class CancellationAccepted(Event):
    """
    The seller agreed (R32).
    """


@final
@attrs.frozen(kw_only=True)
class CancellationRefused(Event):
    """
    The seller did not agree (R33).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class CancellationExcused(Event):
    """
    Staff hid the cancellation from the seller's profile (R43).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class DisputeUnlocked(Event):
    """
    A request stayed unanswered; the buyer may go to a mediator (R34, R65).

    Attributes:
        request: `"cancellation"` or `"revision"`.
    """

    request: str


@final
@attrs.frozen(kw_only=True)
class AnswerExpired(Event):
    """
    A request stayed unanswered, and silence counts as a yes.

    Attributes:
        request: `"cancellation"` or `"revision"`.
    """

    request: str


# --- dispute ----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class ClaimFiled(Event):
    """
    One side asked for a mediator (R69).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class ClaimEdited(Event):
    """
    The filer said it better (R70).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class ClaimWithdrawn(Event):
    """
    The filer took the claim back (R70).
    """


@final
@attrs.frozen(kw_only=True)
class ClaimRejected(Event):
    """
    The mediator did not keep the claim (R71).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class ClaimConverted(Event):
    """
    The mediator turned the claim into a dispute (R72).
    """


@final
@attrs.frozen(kw_only=True)
class MediatorAssigned(Event):
    """
    Somebody mediates (R76).
    """

    mediator_id: str


@final
@attrs.frozen(kw_only=True)
class MediatorAlerted(Event):
    """
    Nobody mediates yet (C23).
    """


@final
@attrs.frozen(kw_only=True)
class DisputeOpened(Event):
    """
    Everything stands still until a mediator rules (R73).

    Attributes:
        cause: What led here: `revision_refused`, `claim`, `staff` ...
    """

    cause: str
    reason: Text


@final
@attrs.frozen(kw_only=True)
class PartiesAsked(Event):
    """
    The mediator asked both sides.
    """

    text: Text


@final
@attrs.frozen(kw_only=True)
class MediatorAnswered(Event):
    """
    One side told the mediator something.
    """

    text: Text
    files: tuple[str, ...]


@final
@attrs.frozen(kw_only=True)
class DisputeRuled(Event):
    """
    It is decided (R78 to R82).

    Attributes:
        by_default: Whether nobody ruled, and the ruling agreed for that case did.
    """

    ruling: Ruling
    reason: Text
    by_default: bool = False


@final
@attrs.frozen(kw_only=True)
class OrderRelaunched(Event):
    """
    The mediator sent the order back to work (R80).
    """


# --- partial refunds --------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class PartialRefundProposed(Event):
    """
    One side proposed that part of the money goes back (R86).
    """

    amount: Money
    reason: Text


@final
@attrs.frozen(kw_only=True)
class PartialRefundWithdrawn(Event):
    """
    The proposer took it back (R87).
    """


@final
@attrs.frozen(kw_only=True)
class PartialRefundAccepted(Event):
    """
    The other side agreed: part of the money goes back (R88).
    """

    to_buyer: tuple[RefundPart, ...]


@final
@attrs.frozen(kw_only=True)
class PartialRefundRefused(Event):
    """
    The other side did not agree (R89).
    """

    reason: Text


# --- extras -----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class AddOnBought(Event):
    """
    The buyer bought an option on the running order (R17).

    Attributes:
        add_on_id: What `ConfirmPayment.item` calls it.

        fees: Fees on top that the buyer pays with it.

    """

    add_on_id: str
    title: Text
    price: Money
    fees: Money
    extra_window: timedelta | None = None


@final
@attrs.frozen(kw_only=True)
class DeliveryExtended(Event):
    """
    An extra that was paid brings its own delivery time.

    Attributes:
        full_window: The whole delivery time from now on.
    """

    full_window: timedelta


@final
@attrs.frozen(kw_only=True)
class OfferSent(Event):
    """
    The seller offered extra work (R18).
    """

    offer_id: str
    title: Text
    price: Money
    delivery_window: timedelta | None


@final
@attrs.frozen(kw_only=True)
class OfferWithdrawn(Event):
    """
    The seller took the offer back (R20).
    """

    offer_id: str


@final
@attrs.frozen(kw_only=True)
class OfferRefused(Event):
    """
    The buyer turned the offer down (R20).
    """

    offer_id: str


@final
@attrs.frozen(kw_only=True)
class OfferExpired(Event):
    """
    The offer was not answered (R19).
    """

    offer_id: str


@final
@attrs.frozen(kw_only=True)
class OfferPaid(Event):
    """
    Everything owed for the offer is held: the extra work is agreed (R21).

    Attributes:
        fees: Fees on top that the buyer paid with it.
    """

    offer_id: str
    fees: Money


# --- reviews and conversation -----------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class ReviewLeft(Event):
    """
    The buyer said publicly how it went (R53, R96).
    """

    rating: int
    text: Text


@final
@attrs.frozen(kw_only=True)
class ReviewReplied(Event):
    """
    The seller used the right of reply (R97).
    """

    text: Text


@final
@attrs.frozen(kw_only=True)
class ReviewRemoved(Event):
    """
    Staff took the review down (R98).
    """

    cause: str


@final
@attrs.frozen(kw_only=True)
class MessageSent(Event):
    """
    One side wrote to the other.
    """

    reference: str


@final
@attrs.frozen(kw_only=True)
class ConversationLeft(Event):
    """
    One side left: the conversation is closed (C14).
    """


@final
@attrs.frozen(kw_only=True)
class ConversationClosed(Event):
    """
    The days to talk are over (R41, R95).
    """


# --- staff ------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class OrderFrozen(Event):
    """
    Staff stopped everything for checks (R84).
    """

    reason: Text


@final
@attrs.frozen(kw_only=True)
class OrderUnfrozen(Event):
    """
    Staff let the order go on.
    """


@final
@attrs.frozen(kw_only=True)
class DeadlinesExtended(Event):
    """
    Staff moved all running deadlines later.
    """

    window: timedelta
    reason: Text


@final
@attrs.frozen(kw_only=True)
class OrderMigrated(Event):
    """
    Staff moved the order to other rules.

    Attributes:
        process: The name of their process.

        fingerprint: Which they are.

        consents: The parties that had agreed.
    """

    process: str
    fingerprint: str
    consents: tuple[str, ...] = ()


@final
@attrs.frozen(kw_only=True)
class CouponRequested(Event):
    """
    The buyer asked for a coupon (R100).

    Attributes:
        amount: What was paid, less tax and bank fee; never cash.
    """

    amount: Money


# --- endings ----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class OrderCancelled(Event):
    """
    The order ended without the work being taken (R39).
    """

    settles: ClassVar[bool] = True

    ending: Ending
    settlement: Settlement


@final
@attrs.frozen(kw_only=True)
class OrderCompleted(Event):
    """
    The order ended and the seller is paid (R91).
    """

    settles: ClassVar[bool] = True

    ending: Ending
    settlement: Settlement


@final
@attrs.frozen(kw_only=True)
class OrderExpired(Event):
    """
    The order reached its longest life (R99).
    """

    settles: ClassVar[bool] = True

    ending: Ending
    settlement: Settlement


@final
@attrs.frozen(kw_only=True)
class Recorded:
    """
    An event as the history of an order keeps it.

    Attributes:
        seq: 1 for the first event of an order, without gaps.

        event: What happened.

        by: Who caused it; the system for due deadlines.

        effective_at: When it counts.  A deadline counts at its own instant,
            however late a worker came to write it down.

        recorded_at: When it was written; never before *effective_at*.

        standing: Where it left the order; `None` if it moved nothing.
    """

    seq: int
    event: Event
    by: Actor
    effective_at: DateTime
    recorded_at: DateTime
    standing: Standing | None = attrs.field(default=None, repr=False)

    @property
    def name(self) -> str:
        """
        The name of the event: `order_accepted`.
        """
        return self.event.name

    @property
    def data(self) -> Mapping[str, Any]:
        """
        The facts of the event, by name.
        """
        return FrozenDict(attrs.asdict(self.event, recurse=False))


# Every event of the library, by the name a history calls it.
EVENTS: Final[Mapping[str, type[Event]]] = {
    event.name: event for event in Event.__subclasses__()
}
