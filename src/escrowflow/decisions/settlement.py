"""
Dividing what is held: every ending goes through here.

A settlement is a division: the parts add up to what is held, by construction.
What goes back, goes back to the payments it came from, the newest first.
"""

from __future__ import annotations

from typing import Final

from ..errors import LedgerError
from ..events import Event, OrderCancelled, OrderCompleted, OrderExpired
from ..inputs import Text
from ..money import NOTHING, Money, Payment, Share
from ..parties import Role
from ..parts import Deadline, Ending, RefundPart, Settlement
from .case import Case, Step, deadline
from .figures import of_cancellation

__all__ = [
    "ORDER_CAP",
    "cancelled",
    "completed",
    "expired",
    "refund_parts",
    "returned",
    "to_platform",
    "to_seller",
]


# Why an order ends, or has to be ruled on, that reached its longest life.
ORDER_CAP: Final = "order_cap"


def estimate(case: Case, payment: Payment, amount: Money) -> RefundPart:
    """
    Return what goes back on a payment, and when the buyer will see it (R46, R47).
    """
    policies = case.policies
    return RefundPart(
        payment=payment,
        amount=amount,
        estimate=policies.refund_timing.estimate(
            payment.method, case.now, zone=policies.time.zone
        ),
    )


def refund_parts(case: Case, amount: Money) -> tuple[RefundPart, ...]:
    """
    Return how much of *amount* goes back on which payment, newest first.

    Raises:
        LedgerError: If less came in than shall go back.
    """
    parts = []
    for payment in reversed(case.order.payments):
        part = min(payment.amount - payment.refunded, amount)
        if part:
            parts.append(estimate(case, payment.payment, part))
            amount = amount - part
    if amount:
        raise LedgerError(f"nothing left to refund {amount} from")
    return tuple(parts)


def returned(case: Case, *, responsible: Role | None = None) -> Settlement:
    """
    Everything goes back, fees and tip included (R49), but for what the buyer bears.

    Args:
        responsible: Whose doing it is.
    """
    held = case.order.ledger.held
    kept = _borne(case, responsible)
    zero = Money.zero(held.currency)
    return Settlement(
        to_buyer=refund_parts(case, held - kept), to_seller=zero, kept=kept
    )


def _borne(case: Case, responsible: Role | None) -> Money:
    """
    Return what of the fees on top does not go back: of an order that was never paid
    whole, or charged whole, nothing.
    """
    order = case.order
    held = order.ledger.held
    charged = all(hold.status == "charged" for hold in order.holds)
    if responsible is not Role.BUYER or order.paid_at is None or not charged:
        return Money.zero(held.currency)
    borne = case.policies.fees.borne_by_buyer(order.work)
    return min(borne, order.fees, held)


def to_seller(case: Case, *, to_buyer: Money | None = None) -> Settlement:
    """
    So much to the buyer, the platform's fees, and the rest to the seller.
    """
    order = case.order
    held = order.ledger.held
    back = to_buyer if to_buyer is not None else Money.zero(held.currency)
    rest = held - back
    # Where fees are divided too, what is left may be less than they were (C20).
    on_top = min(order.fees, rest)
    gross = rest - on_top
    fee = _seller_fee(case, gross)
    return Settlement(
        to_buyer=refund_parts(case, back),
        to_seller=gross - fee,
        kept=on_top + fee,
    )


def _seller_fee(case: Case, gross: Money) -> Money:
    """
    Return what is taken of what the seller gets: nothing of a tip, and what went
    back came off the work.
    """
    order = case.order
    for_work = min(order.work, gross - min(order.tip, gross))
    # A host's own fees may be more than there is.
    return min(case.policies.fees.of_seller(for_work), for_work)


def shared(case: Case, share: Share, *, responsible: Role | None = None) -> Settlement:
    """
    The seller keeps a share of the work; the rest goes back, fees included, but for
    what the buyer bears.
    """
    if share == NOTHING:
        return returned(case, responsible=responsible)
    order = case.order
    held = order.ledger.held
    gross = share.of(held - min(order.fees, held))
    fee = _seller_fee(case, gross)
    borne = _borne(case, responsible)
    return Settlement(
        to_buyer=refund_parts(case, held - gross - borne),
        to_seller=gross - fee,
        kept=fee + borne,
    )


def to_platform(case: Case) -> Settlement:
    """
    The platform keeps everything (R99).
    """
    held = case.order.ledger.held
    return Settlement(to_seller=Money.zero(held.currency), kept=held)


def cancelled(
    case: Case,
    *earlier: Event,
    cause: str,
    trigger: str,
    settlement: Settlement | None = None,
    responsible: Role | None = None,
    public: bool = False,
    reason: Text | None = None,
    outcome: str = "",
) -> Step:
    """
    Return the step that cancels the order; everything goes back unless said.
    """
    ending = Ending(
        cause=cause,
        trigger=trigger,
        responsible=responsible,
        public=public,
        reason=reason if reason is not None else Text(),
        statistics=of_cancellation(case.order),
    )
    return Step(
        events=(
            *earlier,
            OrderCancelled(
                ending=ending,
                settlement=settlement
                if settlement is not None
                else returned(case, responsible=responsible),
            ),
        ),
        outcome=outcome,
        arm=_talk(case, completed=False),
    )


def completed(
    case: Case,
    *earlier: Event,
    cause: str,
    trigger: str,
    settlement: Settlement | None = None,
    outcome: str = "",
) -> Step:
    """
    Return the step that completes the order; the seller is paid unless said.
    """
    return Step(
        events=(
            *earlier,
            OrderCompleted(
                ending=Ending(cause=cause, trigger=trigger),
                settlement=settlement if settlement is not None else to_seller(case),
            ),
        ),
        outcome=outcome,
        arm=_talk(case, completed=True),
    )


def expired(*, trigger: str, settlement: Settlement) -> Step:
    """
    Return the step that ends an order at its longest life.
    """
    return Step(
        events=(
            OrderExpired(
                ending=Ending(cause=ORDER_CAP, trigger=trigger),
                settlement=settlement,
            ),
        )
    )


def _talk(case: Case, *, completed: bool) -> tuple[Deadline, ...]:
    """
    Return the wait after which the conversation closes (R41, R95).
    """
    closes_at = case.policies.conversation.closes_at(
        completed=completed,
        ended_at=case.now,
        delivered_at=case.order.delivered_at,
        time=case.policies.time,
    )
    return () if closes_at is None else tuple(deadline("conversation", closes_at))
