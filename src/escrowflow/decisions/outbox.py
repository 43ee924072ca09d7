"""
What an event makes the host do: its effects, and nothing else does (I5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ..effects import Effect, Notify, PayOut, Refund, effect_key
from ..events import (
    AcceptanceReminded,
    BriefSubmitted,
    CancellationRefused,
    CancellationRequested,
    CancellationWithdrawn,
    ClaimFiled,
    ClaimRejected,
    ClaimWithdrawn,
    CouponRequested,
    DeadlinesExtended,
    DisputeOpened,
    DisputeRuled,
    DisputeUnlocked,
    Event,
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
    OrderPaid,
    OrderUnfrozen,
    PartialRefundAccepted,
    PartialRefundProposed,
    PartialRefundRefused,
    PartialRefundWithdrawn,
    PartiesAsked,
    PaymentReturned,
    Recorded,
    RefundPart,
    ReviewLeft,
    ReviewReplied,
    RevisionAccepted,
    RevisionRefused,
    RevisionRequested,
    VerificationReminded,
)
from ..inputs import FrozenDict
from ..order import Order
from ..parties import Role

__all__ = ["NOTICES", "effects_of"]

_BOTH: Final = Role.BUYER | Role.SELLER
_STAFF: Final = Role.OPERATOR

# Who is told of what; never the one who did it.
NOTICES: Final[Mapping[type[Event], Role]] = {
    OrderPaid: Role.SELLER,  # R2
    BriefSubmitted: Role.SELLER,  # R7
    MessageSent: _BOTH,  # R7
    AcceptanceReminded: Role.BUYER,  # R8
    OrderAccepted: Role.BUYER,
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
    OrderUnfrozen: _BOTH,
    DeadlinesExtended: _BOTH,
    ReviewLeft: Role.SELLER,
    ReviewReplied: Role.BUYER,
    PaymentReturned: Role.BUYER,
    OrderCancelled: _BOTH,
    OrderCompleted: _BOTH,
    OrderExpired: _BOTH,
    CouponRequested: _STAFF,  # R100
}

# The window whose end makes a reminder useless.
_REMINDS_OF: Final[Mapping[type[Event], str]] = {
    AcceptanceReminded: "acceptance",
    VerificationReminded: "verification",
}


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
    event = recorded.event
    if isinstance(event, PaymentReturned):
        yield _refund(order, recorded, event.refund)
    elif isinstance(event, PartialRefundAccepted):
        for part in event.to_buyer:
            yield _refund(order, recorded, part)
    elif isinstance(event, (OrderCancelled, OrderCompleted, OrderExpired)):
        for part in event.settlement.to_buyer:
            yield _refund(order, recorded, part)
        if event.settlement.to_seller:
            yield PayOut(
                order_id=order.id,
                seq=recorded.seq,
                key=effect_key(order.id, recorded.seq, "pay_out", order.seller_id),
                seller_id=order.seller_id,
                amount=event.settlement.to_seller,
            )
    told = _TOLD.get(type(event))
    if told is not None:
        yield from _notices(order, recorded, told)


def _refund(order: Order, recorded: Recorded, part: RefundPart) -> Refund:
    return Refund(
        order_id=order.id,
        seq=recorded.seq,
        key=effect_key(order.id, recorded.seq, "refund", part.payment.reference),
        payment=part.payment,
        amount=part.amount,
        expected_by=part.estimate[1],
    )


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
