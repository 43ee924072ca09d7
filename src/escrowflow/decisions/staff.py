"""
Staff: freezing, moving deadlines, and what is left of an expired order (R84, R99
to R101).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..commands import (
    ExpireOrder,
    ExtendDeadlines,
    FreezeOrder,
    RequestCoupon,
    UnfreezeOrder,
)
from ..events import CouponRequested, DeadlinesExtended, OrderFrozen, OrderUnfrozen
from ..inputs import Text
from ..money import Money
from ..refusals import Blocker
from .case import Case, Step, decides
from .charging import under_way
from .dispute import dispute
from .settlement import ORDER_CAP, cancelled, expired, returned, to_platform, to_seller

__all__ = ["CHAPTER"]


@decides(FreezeOrder)
def freeze_order(case: Case, command: FreezeOrder) -> Iterable[Step]:
    """
    Every running deadline stands still (R84).
    """
    yield Step(events=(OrderFrozen(reason=command.reason),))


freeze_order.unless(under_way)


@decides(UnfreezeOrder)
def unfreeze_order(case: Case, command: UnfreezeOrder) -> Iterable[Step]:
    """
    Back to where the order was, each deadline with its time left.
    """
    yield Step(events=(OrderUnfrozen(),), resume=(case.order.state,))


@decides(ExtendDeadlines)
def extend_deadlines(case: Case, command: ExtendDeadlines) -> Iterable[Step]:
    """
    Every running deadline later, by the same length, but those that nobody may move.
    """
    yield Step(
        events=(DeadlinesExtended(window=command.window, reason=command.reason),),
        arm=tuple(
            attrs.evolve(
                wait, due_at=case.policies.time.end(wait.due_at, command.window)
            )
            for wait in case.order.deadlines
            if not case.process.kinds[wait.name].fixed
        ),
    )


@decides(ExpireOrder)
def expire_order(case: Case, command: ExpireOrder) -> Iterable[Step]:
    """
    The longest life is over (R99, C24).
    """
    beneficiary = case.policies.lifetime.expiry_beneficiary
    if beneficiary == "mediator":
        yield _to_the_mediator(case, command)
        return
    if beneficiary == "buyer":
        settlement = returned(case)
    elif beneficiary == "seller":
        settlement = to_seller(case)
    else:
        settlement = to_platform(case)
    yield expired(trigger=command.name, settlement=settlement)


def _to_the_mediator(case: Case, command: ExpireOrder) -> Step:
    """
    Return the step by which a mediator has to end the order; what the seller never
    accepted goes back.
    """
    if case.order.accepted_at is None:
        return cancelled(
            case, cause=ORDER_CAP, trigger=command.name, outcome="cancelled"
        )
    return dispute(case, cause=ORDER_CAP, reason=Text(), outcome="disputed")


def _coupon(case: Case) -> Money:
    """
    Return what the platform kept, less tax and bank fee (R100).
    """
    order = case.order
    kept = order.ledger.kept
    return kept - min(case.policies.fees.not_for_coupon(order.work), kept)


@decides(RequestCoupon)
def request_coupon(case: Case, command: RequestCoupon) -> Iterable[Step]:
    """
    Never cash (R100).
    """
    yield Step(events=(CouponRequested(amount=_coupon(case)),))


@request_coupon.unless
def _(case: Case) -> Iterable[Blocker]:
    if case.order.coupon is not None:
        yield Blocker(code="coupon_requested")
    elif not _coupon(case):
        yield Blocker(code="nothing_kept")


CHAPTER = (freeze_order, unfreeze_order, extend_deadlines, expire_order, request_coupon)
