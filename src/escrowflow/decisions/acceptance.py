"""
Acceptance: the seller starts, turns the order down, or lets the window pass
(R9 to R14).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..commands import (
    AcceptOrder,
    ExpireAcceptance,
    ExpireBrief,
    RefuseOrder,
    RemindAcceptance,
)
from ..events import AcceptanceReminded, ChargeAsked, OrderAccepted
from ..parties import Role
from ..refusals import Blocker
from .case import Case, Step, decides
from .charging import holds, under_way, work_begins
from .dispute import returned_unless_claimed
from .settlement import cancelled

__all__ = ["CHAPTER"]


@decides(AcceptOrder)
def accept_order(case: Case, command: AcceptOrder) -> Iterable[Step]:
    """
    The delivery time begins now, complete brief or not (R9, R10); or once what the
    buyer's bank holds is here.
    """
    if holds(case.order):
        yield Step(
            events=(ChargeAsked(),),
            outcome="charging",
            drop=("acceptance", "acceptance_reminder"),
        )
        return
    yield Step(
        events=(OrderAccepted(),),
        arm=work_begins(case),
    )


@decides(ExpireBrief)
def expire_brief(case: Case, command: ExpireBrief) -> Iterable[Step]:
    """
    Nothing to begin with, and nothing delivered without it: everything goes back.
    """
    yield returned_unless_claimed(
        case, cause="brief_missing", trigger=command.name, responsible=Role.BUYER
    )


@accept_order.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from under_way(case)
    if _taken_back(case):
        # Nobody works for money that is not here.
        yield Blocker(code="payment_taken_back")


def _taken_back(case: Case) -> bool:
    """
    Whether a bank took money of this order back, and it is missing.
    """
    return any(one.open or one.missing for one in case.order.chargebacks)


@decides(RefuseOrder)
def refuse_order(case: Case, command: RefuseOrder) -> Iterable[Step]:
    """
    Everything goes back; it counts against the seller (R11).
    """
    yield cancelled(
        case,
        cause="refused",
        trigger=command.name,
        responsible=Role.SELLER,
        reason=command.reason,
    )


refuse_order.unless(under_way)


@decides(RemindAcceptance)
def remind_acceptance(case: Case, command: RemindAcceptance) -> Iterable[Step]:
    """
    The buyer is told that the brief is missing (R8).
    """
    yield Step(events=(AcceptanceReminded(),))


@decides(ExpireAcceptance)
def expire_acceptance(case: Case, command: ExpireAcceptance) -> Iterable[Step]:
    """
    Not accepted in time: everything goes back (R13).
    """
    order = case.order
    # A seller who was never given the brief he needs did not let it lapse (R5).
    waiting = (order.terms.brief_required and order.brief is None) or _taken_back(case)
    yield cancelled(
        case,
        cause="acceptance_expired",
        trigger=command.name,
        responsible=Role.BUYER if waiting else Role.SELLER,
    )


CHAPTER = (
    accept_order,
    refuse_order,
    remind_acceptance,
    expire_acceptance,
    expire_brief,
)
