"""
An order and its parts: values, as of one instant, never updated in place.

What makes them is in `history.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar, final

import attrs
from pendulum import DateTime

from .inputs import FrozenDict, Text
from .ledger import Ledger
from .money import Money, Payment
from .parties import Role
from .parts import Deadline, Ending, Estimate, Standing, Talk
from .terms import Ruling, Terms

__all__ = [
    "BookedPayment",
    "BoughtAddOn",
    "Brief",
    "CancellationRequest",
    "Chargeback",
    "Claim",
    "Delivery",
    "Dispute",
    "Extension",
    "Hold",
    "Offer",
    "Order",
    "OwedPayout",
    "OwedRefund",
    "PartialRefund",
    "Review",
    "Revision",
    "changed",
    "seen",
]

_T = TypeVar("_T")
_Changes: TypeAlias = dict[str, Any]


# --- the parts of an order --------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class BookedPayment:
    """
    Money that came in.

    Attributes:
        item: What it was for: `"order"`, or the id of an add-on or offer.

        refunded: How much of it is owed or paid back.

        returned: Whether it was not owed, and went straight back.
    """

    method: str
    reference: str
    amount: Money
    item: str
    booked_at: DateTime
    refunded: Money
    returned: bool = False

    @property
    def payment(self) -> Payment:
        """
        The payment, as an effect names it.
        """
        return Payment(self.method, self.reference, self.amount)


@final
@attrs.frozen(kw_only=True)
class Hold:
    """
    Money that the buyer's bank holds for us, until it is charged.

    Attributes:
        status: `"held"`; `"asked"`: it is being charged; `"sent"`: it may have been;
            `"charged"`: it is among the payments; `"failed"`: it was not charged, for
            sure; `"released"`: the bank was asked to let it go.

        key: The key of the effect that charges it; empty as long as nobody asked.

        seq: The number of the event that asked for it, or let it go.

        epoch: How often it did not happen, for sure.

        reference: What the provider calls the charge, as far as it said.
    """

    payment: Payment
    status: str = "held"
    key: str = ""
    seq: int = 0
    epoch: int = 0
    reference: str = ""

    @property
    def amount(self) -> Money:
        """
        How much.
        """
        assert self.payment.amount is not None
        return self.payment.amount

    @property
    def under_way(self) -> bool:
        """
        Whether it is being charged.
        """
        return self.status in ("asked", "sent")

    @property
    def open(self) -> bool:
        """
        Whether it may still come to us.
        """
        return self.status == "held" or self.under_way


@final
@attrs.frozen(kw_only=True)
class Brief:
    """
    What the buyer handed over so far; each submission is kept in the history.
    """

    text: Text
    files: tuple[str, ...]
    submitted_at: DateTime


@final
@attrs.frozen(kw_only=True)
class Delivery:
    """
    The work, handed over once.
    """

    files: tuple[str, ...]
    note: Text
    delivered_at: DateTime
    late: bool


@final
@attrs.frozen(kw_only=True)
class Revision:
    """
    One request for changes.

    Attributes:
        over_limit: Whether more were asked for than agreed.

        unlocked: Whether it stayed unanswered long enough for a dispute.

        answer: `""`, `"accepted"` or `"refused"`.
    """

    reason: Text
    requested_at: DateTime
    over_limit: bool = False
    unlocked: bool = False
    answer: str = ""
    answered_at: DateTime | None = None


@final
@attrs.frozen(kw_only=True)
class CancellationRequest:
    """
    An open request for cancellation.

    Attributes:
        unlocked: Whether it stayed unanswered long enough for a dispute.
    """

    reason: Text
    requested_at: DateTime
    unlocked: bool = False


@final
@attrs.frozen(kw_only=True)
class Claim:
    """
    An open claim.

    Attributes:
        by: The role of the filer.
    """

    by: Role
    reason: Text
    filed_at: DateTime


@final
@attrs.frozen(kw_only=True)
class Dispute:
    """
    The last dispute of the order.

    Attributes:
        cause: What led to it.

        by: The role of who opened it.

        alerted: Whether it waited too long for a mediator.

        ruling: What was ruled; `None` while it is open.
    """

    cause: str
    by: Role
    reason: Text
    opened_at: DateTime
    alerted: bool = False
    ruling: Ruling | None = None
    ruled_at: DateTime | None = None
    by_default: bool = False


@final
@attrs.frozen(kw_only=True)
class PartialRefund:
    """
    An open proposal that part of the money goes back.

    Attributes:
        by: The role of the proposer.
    """

    by: Role
    amount: Money
    reason: Text
    proposed_at: DateTime


@final
@attrs.frozen(kw_only=True)
class Extension:
    """
    An open request of the seller for a later date.

    Attributes:
        due_at: When the work will be there.
    """

    due_at: DateTime
    reason: Text
    requested_at: DateTime


@final
@attrs.frozen(kw_only=True)
class Offer:
    """
    Extra work at a price.

    Attributes:
        status: `"open"`, `"paid"`, `"refused"`, `"withdrawn"` or `"expired"`.
    """

    id: str
    title: Text
    price: Money
    delivery_window: timedelta | None
    sent_at: DateTime
    status: str = "open"


@final
@attrs.frozen(kw_only=True)
class BoughtAddOn:
    """
    An option of this order.

    Attributes:
        fees: Fees on top that the buyer pays with it; none for an option bought
            with the order, whose fees are the order's.

        paid: Whether everything owed for it is held.
    """

    id: str
    title: Text
    price: Money
    fees: Money
    extra_window: timedelta | None
    bought_at: DateTime
    paid: bool


@final
@attrs.frozen(kw_only=True)
class Review:
    """
    What the buyer said publicly, and the seller's one reply.

    Attributes:
        removed: Why staff took it down; empty as long as it stands.
    """

    rating: int
    text: Text
    left_at: DateTime
    reply: Text | None = None
    replied_at: DateTime | None = None
    removed: str = ""


@final
@attrs.frozen(kw_only=True)
class OwedRefund:
    """
    Money that goes back to one payment.

    Attributes:
        key: The key of the effect that pays it.

        amount: How much; less once a chargeback has paid a part of it.

        seq: The number of the event that owes it.

        status: `"owed"`; `"sent"`: it may have left; `"paid"`; `"failed"`: it did not
            happen and a human must look; `"covered"`: the buyer's bank paid it.

        estimate: When the buyer will see it: the earliest and the latest.

        epoch: How often it did not happen, for sure.

        reference: What the provider calls it, as far as it said.
    """

    key: str
    payment: Payment
    amount: Money
    estimate: Estimate
    seq: int
    status: str = "owed"
    epoch: int = 0
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class OwedPayout:
    """
    Money the seller earned.

    Attributes: as those of `OwedRefund`, and

        payee_id: Who is paid: the seller, or whom staff named in his place.
    """

    key: str
    seller_id: str
    payee_id: str
    amount: Money
    seq: int
    status: str = "owed"
    epoch: int = 0
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class Chargeback:
    """
    A payment that a bank took back.

    Attributes:
        id: What the provider calls it.

        payment_reference: The reference of the payment.

        amount: How much was taken.

        lost: How much stays taken; `None` as long as the bank has not decided.

        covered: How much of that was made good by what had not left yet.
    """

    id: str
    payment_reference: str
    amount: Money
    opened_at: DateTime
    lost: Money | None = None
    covered: Money
    closed_at: DateTime | None = None

    @property
    def open(self) -> bool:
        """
        Whether the bank has not decided yet.
        """
        return self.lost is None

    @property
    def missing(self) -> Money:
        """
        How much the platform is out of pocket: what was lost and is not covered.
        """
        if self.lost is None:
            return Money.zero(self.amount.currency)
        return self.lost - self.covered


# --- the order --------------------------------------------------------------------


@final
# Without slots, so that `evolve` can copy forty fields in one step.
@attrs.frozen(kw_only=True, slots=False)
class Order:
    """
    One order, as of one instant.

    Attributes:
        id: Its id.

        process: The name of the process it runs on.

        fingerprint: The exact version of that process: pinned for life.

        version: How many events are recorded, due moves included.

        standing: Where it stands: state, deadlines, conversation.

        ever_late: Whether it was ever late; never cleared (R28).

        charge: What the buyer pays for the order itself: price, tip, add-ons
            bought with it, fees on top.

        fees: The fees on top that are held, for the order and its extras.

        payments: All money that came in, oldest first.

        holds: All money that a bank held for us, oldest first.

        deliveries: All deliveries, oldest first.

        revisions: All requests for changes, oldest first.

        extension: The seller's open request for a later date.

        revisions_used: How many of them the seller agreed to.

        revisions_refused: How many of them the seller turned down.

        cancellations_refused: How many requests for cancellation he turned down.

        full_window: The delivery time, windows of extras included.

        offers: All offers, oldest first.

        add_ons: All options, oldest first.

        refunds: All money that goes back, oldest first.

        payouts: All money the seller earned.

        chargebacks: All payments that a bank took back, oldest first.

        ending: Why it ended; `None` while it runs.

        extra: A host's own data.

        as_of: The instant this reading is true for; not part of the record.
    """

    id: str
    process: str
    fingerprint: str
    version: int
    standing: Standing
    ever_late: bool = False
    buyer_id: str
    seller_id: str
    mediator_id: str | None = None
    listing_id: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=FrozenDict)
    price: Money
    tip: Money
    terms: Terms
    charge: Money
    fees: Money
    ledger: Ledger
    payments: tuple[BookedPayment, ...] = ()
    holds: tuple[Hold, ...] = ()
    brief: Brief | None = None
    placed_at: DateTime
    paid_at: DateTime | None = None
    accepted_at: DateTime | None = None
    delivered_at: DateTime | None = None
    closed_at: DateTime | None = None
    effective_at: DateTime
    recorded_at: DateTime
    deliveries: tuple[Delivery, ...] = ()
    revisions: tuple[Revision, ...] = ()
    revisions_used: int = 0
    revisions_refused: int = 0
    cancellations_refused: int = 0
    full_window: timedelta
    claim: Claim | None = None
    dispute: Dispute | None = None
    cancellation: CancellationRequest | None = None
    partial_refund: PartialRefund | None = None
    extension: Extension | None = None
    offers: tuple[Offer, ...] = ()
    add_ons: tuple[BoughtAddOn, ...] = ()
    review: Review | None = None
    refunds: tuple[OwedRefund, ...] = ()
    payouts: tuple[OwedPayout, ...] = ()
    chargebacks: tuple[Chargeback, ...] = ()
    coupon: Money | None = None
    ending: Ending | None = None
    extra: Mapping[str, Any] = attrs.field(factory=FrozenDict)
    as_of: DateTime | None = attrs.field(default=None, eq=False)

    def __repr__(self) -> str:
        # All of it is some kilobytes, with what people wrote in it: too much for a log.
        due_at = "" if self.due_at is None else f", due_at={self.due_at.isoformat()}"
        return (
            f"<Order {self.id!r} {self.state}, version {self.version}: "
            f"buyer {self.buyer_id!r}, seller {self.seller_id!r}, price {self.price}, "
            f"held {self.ledger.held}{due_at}>"
        )

    @property
    def state(self) -> str:
        """
        The state: a member of the process's enum, which is its stored text.
        """
        return self.standing.state

    @property
    def late(self) -> bool:
        """
        Whether the current delivery deadline passed undelivered.
        """
        return self.standing.late

    @property
    def due_at(self) -> DateTime | None:
        """
        The end of the current state's own window; stays once it has passed, and is
        `None` while something holds it up.
        """
        return self.standing.due_at

    @property
    def deadlines(self) -> tuple[Deadline, ...]:
        """
        What is to come if nobody acts, soonest first; empty if nothing is.
        """
        return tuple(
            sorted(
                (wait for wait in self.standing.deadlines if wait.runs),
                key=lambda wait: (wait.due_at, wait.name, wait.subject),
            )
        )

    @property
    def conversation(self) -> Talk:
        """
        Whether the two sides may write to each other, and until when.
        """
        return self.standing.conversation

    @property
    def currency(self) -> str:
        """
        The one currency of the order.
        """
        return self.price.currency

    @property
    def brief_owed(self) -> bool:
        """
        Whether the seller needs a brief, and the buyer has not submitted any (R5);
        whoever has delivered did without.
        """
        needed = self.terms.brief_required and not self.deliveries
        return bool(needed) and self.brief is None

    @property
    def amount_due(self) -> Money:
        """
        What the buyer still has to pay for the order itself; what his bank holds for
        it is paid.
        """
        due = self.charge
        for payment in self.payments:
            if payment.item == "order" and not payment.returned:
                due = due - payment.amount
        for hold in self.holds:
            if hold.open:
                due = due - hold.amount
        return due

    @property
    def work(self) -> Money:
        """
        Price, add-ons and offers that are paid: what fees are reckoned on.
        """
        work = self.price
        for add_on in self.add_ons:
            if add_on.paid:
                work = work + add_on.price
        for offer in self.offers:
            if offer.status == "paid":
                work = work + offer.price
        return work

    def deadline(self, name: str, subject: str = "") -> Deadline | None:
        """
        Return the wait of this name, running, stopped or passed.
        """
        for wait in self.standing.deadlines:
            if wait.name == name and wait.subject == subject:
                return wait
        return None

    def offer(self, offer_id: str) -> Offer | None:
        """
        Return the offer with this id.
        """
        return next((offer for offer in self.offers if offer.id == offer_id), None)

    def add_on(self, add_on_id: str) -> BoughtAddOn | None:
        """
        Return the option with this id.
        """
        return next((item for item in self.add_ons if item.id == add_on_id), None)

    def payment(self, reference: str) -> BookedPayment | None:
        """
        Return the payment with this reference.
        """
        return next((one for one in self.payments if one.reference == reference), None)

    def hold(self, reference: str) -> Hold | None:
        """
        Return what a bank held under this payment's reference.
        """
        return next(
            (one for one in self.holds if one.payment.reference == reference), None
        )

    def charged(self, key: str) -> Hold | None:
        """
        Return what is charged under this key.
        """
        return next((hold for hold in self.holds if hold.key == key), None)

    def refund(self, key: str) -> OwedRefund | None:
        """
        Return the refund that is owed under this key.
        """
        return next((owed for owed in self.refunds if owed.key == key), None)

    def payout(self, key: str) -> OwedPayout | None:
        """
        Return the payout that is owed under this key.
        """
        return next((owed for owed in self.payouts if owed.key == key), None)

    def chargeback(self, chargeback_id: str) -> Chargeback | None:
        """
        Return the chargeback with this id.
        """
        return next((one for one in self.chargebacks if one.id == chargeback_id), None)

    def counted(self, reference: str) -> bool:
        """
        Whether a payment with this reference was booked before, or held.
        """
        return self.payment(reference) is not None or self.hold(reference) is not None

    @property
    def references(self) -> tuple[str, ...]:
        """
        The references of the payments that were booked, or held.
        """
        booked = (payment.reference for payment in self.payments)
        held = (hold.reference for hold in self.holds)
        return tuple(dict.fromkeys((*booked, *held)))

    def role_of(self, actor_id: str) -> Role:
        """
        Return the parts this id plays in the order; no role if it plays none.
        """
        roles = Role(0)
        if actor_id == self.buyer_id:
            roles |= Role.BUYER
        if actor_id == self.seller_id:
            roles |= Role.SELLER
        if actor_id == self.mediator_id:
            roles |= Role.MEDIATOR
        return roles


def changed(order: Order, changes: Mapping[str, Any]) -> Order:
    """
    Return the order with some fields changed: forty fields copied in one step.
    """
    fields = order.__dict__.copy()
    fields.update(changes)
    copy = object.__new__(Order)
    # The whole dictionary at once: filling an empty one takes three times as long.
    object.__setattr__(copy, "__dict__", fields)
    return copy


def seen(order: Order, as_of: DateTime) -> Order:
    """
    Return the order with the instant its reading is true for.
    """
    return changed(order, {"as_of": as_of})
