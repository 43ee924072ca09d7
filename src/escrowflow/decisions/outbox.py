"""
What an event makes the host do: its effects, and nothing else does (I5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from ..effects import (
    Charge,
    Effect,
    Notify,
    PayOut,
    Refund,
    ReleaseHold,
    effect_key,
)
from ..events import (
    AcceptanceReminded,
    BriefSubmitted,
    CancellationRefused,
    CancellationRequested,
    CancellationWithdrawn,
    ChargeAsked,
    ChargebackClosed,
    ChargebackCovered,
    ChargebackOpened,
    ChargeFailed,
    ChargePaid,
    ClaimFiled,
    ClaimRejected,
    ClaimWithdrawn,
    CouponRequested,
    DeadlinesExtended,
    DisputeOpened,
    DisputeRuled,
    DisputeUnlocked,
    Event,
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
    OrderUnfrozen,
    PartialRefundAccepted,
    PartialRefundProposed,
    PartialRefundRefused,
    PartialRefundWithdrawn,
    PartiesAsked,
    PaymentReturned,
    PayoutFailed,
    PayoutPaid,
    PayoutRedirected,
    Recorded,
    RefundFailed,
    RefundPaid,
    ReviewLeft,
    ReviewReplied,
    RevisionAccepted,
    RevisionRefused,
    RevisionRequested,
    VerificationReminded,
)
from ..inputs import FrozenDict
from ..order import Hold, Order, OwedPayout, OwedRefund
from ..parties import Role

__all__ = ["NOTICES", "effects_of", "over_keys"]

_BOTH: Final = Role.BUYER | Role.SELLER
_STAFF: Final = Role.OPERATOR

# Who is told of what; never the one who did it.
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
    ClaimFiled: _BOTH | _STAFF,  # R69
    ClaimWithdrawn: _BOTH,
    ClaimRejected: _BOTH,  # R71
    DisputeOpened: _BOTH | _STAFF,
    MediatorAssigned: _BOTH | Role.MEDIATOR,
    MediatorAlerted: _STAFF,  # C23
    PartiesAsked: _BOTH,
    MediatorAnswered: Role.MEDIATOR,
    DisputeRuled: _BOTH,
    PartialRefundProposed: _BOTH,
    PartialRefundWithdrawn: _BOTH,
    PartialRefundAccepted: _BOTH,
    PartialRefundRefused: _BOTH,
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
    PaymentReturned: Role.BUYER,
    OrderCancelled: _BOTH,
    OrderCompleted: _BOTH,
    OrderExpired: _BOTH,
    CouponRequested: _STAFF,  # R100
    RefundFailed: _STAFF,
    PayoutFailed: Role.SELLER | _STAFF,
    ChargebackOpened: Role.SELLER | _STAFF,
    ChargebackClosed: Role.SELLER | _STAFF,
}

# The window whose end makes a reminder useless.
_REMINDS_OF: Final[Mapping[type[Event], str]] = {
    AcceptanceReminded: "acceptance",
    VerificationReminded: "verification",
}


# The events by which somebody is owed money that he was not owed before.
_OWES: Final = (
    PaymentReturned,
    PartialRefundAccepted,
    ChargeAsked,
    OrderCancelled,
    OrderCompleted,
    OrderExpired,
)

# The events by which money is owed under another key.
_NEXT: Final = (RefundFailed, PayoutFailed, PayoutRedirected, ChargeFailed)

# All by which money is to move.
_MOVING: Final = frozenset({*_OWES, *_NEXT, ChargebackCovered, HoldReleased})

_Owed = TypeVar("_Owed", OwedRefund, OwedPayout, Hold)

_TOLD: Final = {
    event: tuple((role, role.text) for role in roles)
    for event, roles in NOTICES.items()
}


def effects_of(order: Order, recorded: Recorded) -> Iterable[Effect]:
    """
    Yield what the host must now do, money first.

    Args:
        order: The order after the event.

        recorded: The event.
    """
    kind = type(recorded.event)
    if kind in _MOVING:
        yield from _movements(order, recorded)
    told = _TOLD.get(kind)
    if told is not None and not _is_quiet(order, recorded.event):
        yield from _notices(order, recorded, told)


def _is_quiet(order: Order, event: Event) -> bool:
    """
    Whether nobody need hear of it: it is charged again, or nobody wants it any more.
    """
    return isinstance(event, ChargeFailed) and (event.again or order.ending is not None)


def _movements(order: Order, recorded: Recorded) -> Iterable[Effect]:
    """
    Yield what money is to move since this event.
    """
    for refund in _owed(order.refunds, recorded):
        yield Refund(
            order_id=order.id,
            seq=recorded.seq,
            key=refund.key,
            payment=refund.payment,
            amount=refund.amount,
            expected_by=refund.estimate[1],
            asked_at=recorded.recorded_at,
            parked=refund.status == "failed",
        )
    for payout in _owed(order.payouts, recorded):
        yield PayOut(
            order_id=order.id,
            seq=recorded.seq,
            key=payout.key,
            seller_id=payout.seller_id,
            payee_id=payout.payee_id,
            amount=payout.amount,
            asked_at=recorded.recorded_at,
            parked=payout.status == "failed",
        )
    for hold in _owed(order.holds, recorded):
        if hold.status == "asked":
            yield Charge(
                order_id=order.id,
                seq=recorded.seq,
                key=hold.key,
                payment=hold.payment,
                amount=hold.amount,
                asked_at=recorded.recorded_at,
            )
    for hold in order.holds:
        if _let_go(hold, recorded):
            reference = hold.payment.reference
            yield ReleaseHold(
                order_id=order.id,
                seq=recorded.seq,
                key=effect_key(order.id, recorded.seq, ReleaseHold.name, reference),
                payment=hold.payment,
            )


def _let_go(hold: Hold, recorded: Recorded) -> bool:
    """
    Whether a bank is to let a hold go since this event.
    """
    if hold.status == "released":
        return hold.seq == recorded.seq
    event = recorded.event
    return (
        isinstance(event, ChargeFailed)
        and not event.again
        # What nobody had asked for, the bank does not hold any more.
        and bool(event.key)
        and event.payment_reference == hold.payment.reference
    )


def _owed(owed: Iterable[_Owed], recorded: Recorded) -> Iterable[_Owed]:
    """
    Yield what is owed, or owed under another key, since this event.
    """
    event = recorded.event
    if isinstance(event, _OWES):
        return [one for one in owed if one.seq == recorded.seq]
    keys = {key for key in _next_keys(event) if key}
    return [one for one in owed if one.key in keys] if keys else ()


def _next_keys(event: Event) -> Iterable[str]:
    """
    Yield the keys under which money is owed since this event, in place of others.
    """
    if isinstance(event, _NEXT):
        yield event.next_key
    elif isinstance(event, ChargebackCovered):
        for part in (*event.refunds, *event.payouts):
            yield part.next_key


# The events by which nothing more is sent under a key.
_MOVED: Final = (
    RefundPaid,
    PayoutPaid,
    ChargePaid,
    RefundFailed,
    PayoutFailed,
    ChargeFailed,
    PayoutRedirected,
)


def over_keys(event: Event) -> Iterable[str]:
    """
    Yield the keys under which nothing is to be sent any more since this event.
    """
    if isinstance(event, _MOVED):
        yield event.key
    elif isinstance(event, PaymentReturned) and event.key:
        # The charge by which it came.
        yield event.key
    elif isinstance(event, ChargebackCovered):
        for part in (*event.refunds, *event.payouts):
            yield part.key


def _notices(
    order: Order, recorded: Recorded, told: tuple[tuple[Role, str], ...]
) -> Iterable[Notify]:
    event = recorded.event
    window = _REMINDS_OF.get(type(event))
    ends = order.deadline(window) if window is not None else None
    doer = recorded.by.role
    for role, text in told:
        recipient = _recipient(order, role)
        if role is doer or recipient is None:
            continue
        yield Notify(
            order_id=order.id,
            seq=recorded.seq,
            key=effect_key(order.id, recorded.seq, "notify", text),
            kind=event.name,
            to=text,
            recipient_id=recipient,
            params=FrozenDict(state=str(order.state)),
            useless_after=ends.due_at if ends is not None else None,
        )


def _recipient(order: Order, role: Role) -> str | None:
    if role is Role.BUYER:
        return order.buyer_id
    if role is Role.SELLER:
        return order.seller_id
    return order.mediator_id if role is Role.MEDIATOR else ""
