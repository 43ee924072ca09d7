"""
Cancellation: alone where there is a right to it, otherwise by consent (R12, R27,
R31 to R43).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from pendulum import DateTime

from ..commands import (
    AcceptCancellation,
    CancelOrder,
    ExcuseCancellation,
    ExpireAnswer,
    RefuseCancellation,
    RequestCancellation,
    RequestRevision,
    UnlockDispute,
    WithdrawCancellation,
)
from ..events import (
    AnswerExpired,
    CancellationAccepted,
    CancellationExcused,
    CancellationRefused,
    CancellationRequested,
    CancellationWithdrawn,
    DisputeUnlocked,
    Event,
)
from ..parties import Role
from ..refusals import Blocker, Way
from ..rules import Alone, ByConsent, No, Situation
from .case import Case, Step, deadline, decides, way
from .charging import under_way
from .dispute import dispute, returned_unless_claimed
from .revision import begun
from .settlement import cancelled, shared

__all__ = ["CHAPTER"]


def _situation(case: Case) -> Situation:
    return Situation(
        state=str(case.order.standing.state),
        role=case.by.role,
        # Lateness counts while work is owed.
        late=case.order.late and case.work_owed,
        delivered=case.delivered,
    )


@decides(CancelOrder)
def cancel_order(case: Case, command: CancelOrder) -> Iterable[Step]:
    """
    Everything goes back, or as the rights say (R39).
    """
    right = case.policies.cancellation.cancel(_situation(case))
    assert isinstance(right, Alone)
    order = case.order
    seller = case.by.role is Role.SELLER
    earlier: tuple[Event, ...] = ()
    responsible: Role | None = case.by.role
    public = False
    if order.accepted_at is None:
        cause = "refused" if seller else "buyer_withdrew"
    elif not seller:
        cause = "late" if order.late else "buyer_cancelled"
        responsible = Role.SELLER if order.late else Role.BUYER
    elif order.cancellation is not None:
        # The buyer asked for it: the request is closed as accepted (SC20).
        cause, responsible = "by_consent", None
        earlier = (CancellationAccepted(),)
    else:
        # R43: without a justification it shows on the profile.
        cause, public = "seller_cancelled", True
    yield cancelled(
        case,
        *earlier,
        cause=cause,
        trigger=command.name,
        settlement=shared(case, right.to_seller, responsible=responsible),
        responsible=responsible,
        public=public,
        reason=command.reason,
    )


@cancel_order.unless
def _(case: Case) -> Iterable[Blocker]:
    situation = _situation(case)
    right = case.policies.cancellation.cancel(situation)
    if not isinstance(right, Alone):
        yield from _without_right(case, situation, right)
    yield from under_way(case)


def _without_right(
    case: Case, situation: Situation, right: ByConsent | No
) -> Iterable[Blocker]:
    asked = case.order.cancellation is not None
    if isinstance(right, ByConsent):
        # Two ways out: ask, or wait until the order is late (R16, R27).
        yield Blocker(
            code="consent_needed",
            unblocked_by=(
                way(AcceptCancellation, Role.SELLER)
                if asked
                else _asking(case, situation)
            ),
            unblocked_at=_free_from(case, situation),
        )
        return
    ways: tuple[Way, ...] = ()
    if right.code == "buyer_must_act_first":
        ways = way(RequestRevision, Role.BUYER)
    elif right.code == "request_cancellation_instead":
        # Where a request is open already, it is made anew.
        ways = (
            way(WithdrawCancellation, Role.BUYER) if asked else _asking(case, situation)
        )
    yield Blocker(code=right.code, unblocked_by=ways)


def _asking(case: Case, situation: Situation) -> tuple[Way, ...]:
    if isinstance(case.policies.cancellation.request(situation), No):
        return ()
    return way(RequestCancellation, Role.BUYER)


def _free_from(case: Case, situation: Situation) -> DateTime | None:
    """
    Return from when lateness will give the right to leave alone, if it will.
    """
    wait = case.order.deadline("delivery")
    if wait is None or not wait.runs:
        return None
    once_late = attrs.evolve(situation, late=True)
    if not isinstance(case.policies.cancellation.cancel(once_late), Alone):
        return None
    return case.policies.time.armed_at(wait.due_at)


@decides(RequestCancellation)
def request_cancellation(case: Case, command: RequestCancellation) -> Iterable[Step]:
    """
    The seller answers within his window; the delivery time runs on (R31).
    """
    policy = case.policies.cancellation
    asked = CancellationRequested(reason=command.reason)
    right = policy.request(_situation(case))
    if isinstance(right, Alone):
        # C11: on a late order, asking is enough.
        yield cancelled(
            case,
            asked,
            cause="late" if case.order.late else "by_consent",
            trigger=command.name,
            settlement=shared(case, right.to_seller),
            responsible=Role.SELLER if case.order.late else None,
            reason=command.reason,
            outcome="cancelled",
        )
        return
    yield Step(
        events=(asked,),
        outcome="asked",
        arm=deadline("answer", case.after(policy.answer_window)),
    )


@request_cancellation.unless
def _(case: Case) -> Iterable[Blocker]:
    situation = _situation(case)
    right = case.policies.cancellation.request(situation)
    if isinstance(right, No):
        yield from _without_right(case, situation, right)


@decides(WithdrawCancellation)
def withdraw_cancellation(case: Case, command: WithdrawCancellation) -> Iterable[Step]:
    """
    Back to where the order was; what stood still goes on.
    """
    yield Step(events=(CancellationWithdrawn(),), resume=(case.order.state,))


@decides(AcceptCancellation)
def accept_cancellation(case: Case, command: AcceptCancellation) -> Iterable[Step]:
    """
    Everything goes back; late answers count (R32).
    """
    yield cancelled(
        case, CancellationAccepted(), cause="by_consent", trigger=command.name
    )


@decides(RefuseCancellation)
def refuse_cancellation(case: Case, command: RefuseCancellation) -> Iterable[Step]:
    """
    The order goes on, or the last refusal opens a dispute (R33, R35).
    """
    refused = CancellationRefused(reason=command.reason)
    if case.policies.cancellation.disputes_after(
        case.order.cancellations_refused + 1, delivered=case.delivered
    ):
        yield dispute(
            case,
            refused,
            cause="cancellations_refused",
            reason=command.reason,
            outcome="dispute",
        )
        return
    yield Step(events=(refused,), outcome="go_on", resume=(case.order.state,))


@decides(UnlockDispute)
def unlock_dispute(case: Case, command: UnlockDispute) -> Iterable[Step]:
    """
    A request stays as it is, and the buyer may go to a mediator (R34, R65).
    """
    asked = "revision" if case.order.cancellation is None else "cancellation"
    yield Step(events=(DisputeUnlocked(request=asked),))


@decides(ExpireAnswer)
def expire_answer(case: Case, command: ExpireAnswer) -> Iterable[Step]:
    """
    Silence counts as a yes: the order is cancelled, or the work begins again.
    """
    if case.order.cancellation is None:
        yield begun(case, AnswerExpired(request="revision"))
        return
    yield returned_unless_claimed(
        case,
        AnswerExpired(request="cancellation"),
        cause="cancellation_unanswered",
        trigger=command.name,
        responsible=Role.SELLER,
    )


@decides(ExcuseCancellation)
def excuse_cancellation(case: Case, command: ExcuseCancellation) -> Iterable[Step]:
    """
    It no longer shows on the seller's profile (R43).
    """
    yield Step(events=(CancellationExcused(reason=command.reason),))


@excuse_cancellation.unless
def _(case: Case) -> Iterable[Blocker]:
    ending = case.order.ending
    if ending is None or not ending.public:
        yield Blocker(code="nothing_to_excuse")


CHAPTER = (
    cancel_order,
    request_cancellation,
    withdraw_cancellation,
    accept_cancellation,
    refuse_cancellation,
    unlock_dispute,
    expire_answer,
    excuse_cancellation,
)
