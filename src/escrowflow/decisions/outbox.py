"""
What an event makes the host do: its effects, and nothing else does (I5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from ..effects import (
    Charge,
    Effect,
    PayOut,
    Refund,
    ReleaseHold,
    effect_key,
)
from ..events import (
    ChargeAsked,
    ChargebackCovered,
    ChargeFailed,
    ChargePaid,
    Event,
    HoldReleased,
    OrderCancelled,
    OrderCompleted,
    OrderExpired,
    PartialRefundAccepted,
    PaymentReturned,
    PayoutFailed,
    PayoutPaid,
    PayoutRedirected,
    Recorded,
    RefundFailed,
    RefundPaid,
)
from ..order import Hold, Order, OwedPayout, OwedRefund
from .notices import notices

__all__ = ["effects_of", "over_keys"]

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
    if not _is_quiet(order, recorded.event):
        yield from notices(order, recorded)


def _is_quiet(order: Order, event: Event) -> bool:
    """
    Whether nobody need hear of it: it is charged again, or nobody wants it any more; or
    it was told before a backup was restored.
    """
    if isinstance(event, (RefundFailed, PayoutFailed)):
        return event.caught_up
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
