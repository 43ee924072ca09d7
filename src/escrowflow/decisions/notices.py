"""
Who is told of what, and what the message is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..effects import Fact, Notify, effect_key
from ..events import (
    AcceptanceReminded,
    AddOnBought,
    AnswerExpired,
    BriefSubmitted,
    CancellationExcused,
    CancellationRefused,
    CancellationRequested,
    CancellationWithdrawn,
    ChargebackClosed,
    ChargebackOpened,
    ChargeFailed,
    ClaimFiled,
    ClaimRejected,
    ClaimWithdrawn,
    CouponRequested,
    DeadlinesExtended,
    DisputeOpened,
    DisputeRuled,
    DisputeUnlocked,
    Event,
    ExtensionAccepted,
    ExtensionRefused,
    ExtensionRequested,
    ExtensionWithdrawn,
    HoldReleased,
    MediatorAlerted,
    MediatorAnswered,
    MediatorAssigned,
    MessageSent,
    OfferExpired,
    OfferPaid,
    OfferRefused,
    OfferSent,
    OfferWithdrawn,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
    OrderDelivered,
    OrderExpired,
    OrderFrozen,
    OrderMarkedLate,
    OrderMigrated,
    OrderPaid,
    OrderRelaunched,
    OrderUnfrozen,
    PartialRefundAccepted,
    PartialRefundProposed,
    PartialRefundRefused,
    PartialRefundWithdrawn,
    PartiesAsked,
    PaymentReturned,
    PayoutFailed,
    Recorded,
    RefundFailed,
    ReviewLeft,
    ReviewRemoved,
    ReviewReplied,
    RevisionAccepted,
    RevisionRefused,
    RevisionRequested,
    VerificationReminded,
)
from ..inputs import FrozenDict
from ..money import Money
from ..order import Order, OwedPayout, OwedRefund
from ..parties import Role
from ..parts import RefundPart
from ..terms import RULINGS

__all__ = ["NOTICES", "notices"]

_BOTH: Final = Role.BUYER | Role.SELLER
_STAFF: Final = Role.OPERATOR

# Who is told of what, if it is news to them (below).
NOTICES: Final[Mapping[type[Event], Role]] = {
    OrderPaid: Role.SELLER,  # R2
    BriefSubmitted: Role.SELLER,  # R7
    MessageSent: _BOTH,  # R7
    AcceptanceReminded: Role.BUYER,  # R8
    OrderAccepted: Role.BUYER,
    ChargeFailed: Role.BUYER | _STAFF,
    HoldReleased: Role.BUYER,
    OrderMarkedLate: _BOTH,
    OrderDelivered: Role.BUYER,
    VerificationReminded: Role.BUYER,  # R54
    RevisionRequested: Role.SELLER,
    RevisionAccepted: Role.BUYER,
    RevisionRefused: Role.BUYER,
    CancellationRequested: Role.SELLER,  # R31
    CancellationWithdrawn: Role.SELLER,
    CancellationRefused: Role.BUYER,
    DisputeUnlocked: _BOTH,
    AnswerExpired: _BOTH,
    ExtensionRequested: Role.BUYER,  # R24
    ExtensionWithdrawn: Role.BUYER,
    ExtensionAccepted: Role.SELLER,
    ExtensionRefused: Role.SELLER,
    ClaimFiled: _BOTH | _STAFF,  # R69
    ClaimWithdrawn: _BOTH,
    ClaimRejected: _BOTH,  # R71
    DisputeOpened: _BOTH | _STAFF,
    OrderRelaunched: _BOTH,  # R80
    MediatorAssigned: _BOTH | Role.MEDIATOR,
    MediatorAlerted: _STAFF,  # C23
    PartiesAsked: _BOTH,
    MediatorAnswered: Role.MEDIATOR,
    DisputeRuled: _BOTH,
    PartialRefundProposed: _BOTH,
    PartialRefundWithdrawn: _BOTH,
    PartialRefundAccepted: _BOTH,
    PartialRefundRefused: _BOTH,
    AddOnBought: Role.SELLER,  # R17
    OfferSent: Role.BUYER,
    OfferWithdrawn: Role.BUYER,
    OfferRefused: Role.SELLER,
    OfferExpired: Role.SELLER,
    OfferPaid: Role.SELLER,
    OrderFrozen: _BOTH,
    OrderMigrated: _BOTH,
    OrderUnfrozen: _BOTH,
    DeadlinesExtended: _BOTH,
    ReviewLeft: Role.SELLER,
    ReviewReplied: Role.BUYER,
    ReviewRemoved: Role.BUYER,  # R98
    CancellationExcused: Role.SELLER,  # R43
    PaymentReturned: Role.BUYER,
    OrderCancelled: _BOTH,
    OrderCompleted: _BOTH,
    OrderExpired: _BOTH,
    CouponRequested: _STAFF,  # R100
    RefundFailed: Role.BUYER | _STAFF,
    PayoutFailed: Role.SELLER | _STAFF,
    ChargebackOpened: Role.SELLER | _STAFF,
    ChargebackClosed: Role.SELLER | _STAFF,
}

# The waits a message tells of: the first of them that runs, if any does.
_TOLD_WAITS: Final[Mapping[type[Event], tuple[str, ...]]] = {
    OrderPaid: ("acceptance",),
    AcceptanceReminded: ("acceptance",),
    BriefSubmitted: ("delivery",),
    # A delivery waits for a brief that is owed.
    OrderAccepted: ("delivery", "brief"),
    OrderMarkedLate: ("delay",),
    ExtensionAccepted: ("delivery",),
    ExtensionRefused: ("delivery",),
    AnswerExpired: ("delivery",),
    ClaimFiled: ("claim",),
    OrderDelivered: ("verification",),
    VerificationReminded: ("verification",),
    RevisionRequested: ("answer", "delivery"),
    RevisionAccepted: ("delivery",),
    RevisionRefused: ("choice",),
    CancellationRequested: ("answer",),
    CancellationWithdrawn: ("delivery",),
    DisputeOpened: ("ruling",),
    MediatorAssigned: ("ruling",),
    MediatorAlerted: ("ruling",),
    AddOnBought: ("delivery",),
    OrderRelaunched: ("delivery",),
    OfferSent: ("offer",),
    **dict.fromkeys(
        (DeadlinesExtended, OrderMigrated, OrderUnfrozen),
        (
            *("acceptance", "answer", "verification", "choice", "ruling", "claim"),
            *("delivery", "brief", "delay"),
        ),
    ),
}

# A reminder is useless once what it reminds of is over.
_REMINDERS: Final = (AcceptanceReminded, VerificationReminded)

_ENDINGS: Final = (OrderCancelled, OrderCompleted, OrderExpired)

_REFUSED_AGAIN: Final = "cancellations_refused"

# What goes wrong with money that is owed, and may be sent again by itself.
_FAILURES: Final = (RefundFailed, PayoutFailed)

_TOLD: Final = {
    event: tuple((role, role.text) for role in roles)
    for event, roles in NOTICES.items()
}


def notices(order: Order, recorded: Recorded) -> Iterable[Notify]:
    """
    Yield whom an event makes the host tell.

    Args:
        order: The order after the event.

        recorded: The event.
    """
    event = recorded.event
    told = _TOLD.get(type(event))
    if told is None:
        return
    about = _about(order, event)
    useless_after = about.get("due_at") if isinstance(event, _REMINDERS) else None
    for role, text in told:
        recipient = _recipient(order, role)
        if recipient is None or not _is_news(order, recorded, role):
            continue
        yield Notify(
            order_id=order.id,
            seq=recorded.seq,
            key=effect_key(order.id, recorded.seq, "notify", text),
            kind=event.name,
            to=text,
            recipient_id=recipient,
            params=FrozenDict(about, **_own(order, recorded.seq, role)),
            useless_after=useless_after,
        )


def _is_news(order: Order, recorded: Recorded, role: Role) -> bool:
    """
    Whether an event is news to somebody: who did it has the answer on the page.
    """
    event = recorded.event
    if role is recorded.by.role:
        # R35: who refused once more did not ask for a dispute.
        return isinstance(event, DisputeOpened) and event.cause == _REFUSED_AGAIN
    if isinstance(event, AnswerExpired) and event.request == "cancellation":
        # What came of it is told.
        return False
    if role is Role.SELLER and isinstance(event, _ENDINGS):
        # Of what was never paid the seller never heard.
        return order.paid_at is not None
    if role is Role.OPERATOR and isinstance(event, DisputeOpened):
        # Staff is to find a mediator.
        return order.mediator_id is None
    return True


def _recipient(order: Order, role: Role) -> str | None:
    if role is Role.BUYER:
        return order.buyer_id
    if role is Role.SELLER:
        return order.seller_id
    return order.mediator_id if role is Role.MEDIATOR else ""


# --- what it is about -------------------------------------------------------------


def _about(order: Order, event: Event) -> dict[str, Any]:
    """
    Return what everybody may know of an event: never what somebody wrote.
    """
    about: dict[str, Any] = {"state": str(order.state)}
    for name in _TOLD_WAITS.get(type(event), ()):
        subject = event.offer_id if isinstance(event, OfferSent) else ""
        wait = order.deadline(name, subject)
        if wait is not None and wait.runs:
            about.update(deadline=name, due_at=wait.due_at)
            break
    facts = _FACTS.get(type(event))
    if facts is not None:
        about.update(facts(order, event))
    return about


def _ending(_: Order, event: Any) -> Mapping[str, Fact]:
    return {"cause": event.ending.cause}


def _price_of_offer(order: Order, event: Any) -> Mapping[str, Fact]:
    offer = order.offer(event.offer_id)
    assert offer is not None
    return {"price": offer.price}


def _ruling(_: Order, event: Any) -> Mapping[str, Fact]:
    name = "default_ruling" if event.by_default else "ruling"
    return {
        name: next(name for name, kind in RULINGS.items() if kind is type(event.ruling))
    }


def _failed(order: Order, event: Any) -> Mapping[str, Fact]:
    owed: tuple[OwedRefund | OwedPayout, ...] = (*order.refunds, *order.payouts)
    amount = next(one.amount for one in owed if one.key == event.next_key)
    return {"resent" if event.again else "amount": amount}


def _charge_failed(order: Order, event: Any) -> Mapping[str, Fact]:
    reference = event.payment_reference
    holds = (hold for hold in order.holds if hold.payment.reference == reference)
    return {"amount": next(holds).amount}


def _decided(order: Order, event: Any) -> Mapping[str, Fact]:
    if event.lost:
        return {"lost": event.lost}
    taken = (one for one in order.chargebacks if one.id == event.chargeback_id)
    return {"won": next(taken).amount}


# What a sentence is told with, by the event: `words/notices.py` asks for it.
_FACTS: Final[Mapping[type[Event], Callable[[Order, Any], Mapping[str, Fact]]]] = {
    OrderPaid: lambda order, _: {"price": order.price},
    ChargeFailed: _charge_failed,
    HoldReleased: lambda _, event: {"amount": event.payment.amount},
    DisputeOpened: lambda _, event: {"cause": event.cause},
    DisputeRuled: _ruling,
    ExtensionRequested: lambda _, event: {"asked_for": event.due_at},
    PartialRefundProposed: lambda _, event: {"amount": event.amount},
    PartialRefundAccepted: lambda order, event: {
        "amount": _sum(order.currency, event.to_buyer)
    },
    AddOnBought: lambda _, event: {"price": event.price},
    ReviewRemoved: lambda _, event: {"cause": event.cause},
    OfferSent: lambda _, event: {"price": event.price},
    OfferPaid: _price_of_offer,
    PaymentReturned: lambda _, event: {"cause": event.why},
    OrderCancelled: _ending,
    OrderCompleted: _ending,
    OrderExpired: _ending,
    CouponRequested: lambda _, event: {"amount": event.amount},
    RefundFailed: _failed,
    PayoutFailed: _failed,
    ChargebackOpened: lambda _, event: {"amount": event.amount},
    ChargebackClosed: _decided,
}


def _own(order: Order, seq: int, role: Role) -> Mapping[str, Fact]:
    """
    Return what moves of somebody's own money since an event: no business of others.
    """
    if role is Role.BUYER:
        back = [refund for refund in order.refunds if refund.seq == seq]
        if back:
            by = max(refund.estimate[1] for refund in back)
            return {"refund": _sum(order.currency, back), "refund_by": by}
    elif role is Role.SELLER:
        earned = [payout for payout in order.payouts if payout.seq == seq]
        if earned:
            return {"payout": _sum(order.currency, earned)}
    return {}


def _sum(currency: str, parts: Iterable[RefundPart | OwedRefund | OwedPayout]) -> Money:
    return sum((part.amount for part in parts), Money.zero(currency))
