"""
Revision: the buyer asks for changes, the seller answers (R56 to R67).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from ..commands import AcceptRevision, OpenDispute, RefuseRevision, RequestRevision
from ..events import Event, RevisionAccepted, RevisionRefused, RevisionRequested
from ..order import Order
from ..parties import Role
from ..parts import Deadline
from ..refusals import Blocker
from .case import Case, Step, deadline, decides, way

__all__ = ["CHAPTER", "begun", "refusals"]


def refusals(order: Order) -> int:
    """
    Return how often the seller refused: revisions, and cancellations too (C4).
    """
    return order.revisions_refused + order.cancellations_refused


def _agreed(case: Case) -> str:
    agreed = case.order.terms.revisions
    assert agreed is not None
    return case.policies.revision.request(used=case.order.revisions_used, agreed=agreed)


@decides(RequestRevision)
def request_revision(case: Case, command: RequestRevision) -> Iterable[Step]:
    """
    The seller answers within his window, or the work begins again at once (C8).
    """
    policy = case.policies.revision
    over = _agreed(case) == "over"
    if not policy.revision_needs_seller_answer:
        asked = RevisionRequested(reason=command.reason, over_limit=over, accepted=True)
        yield begun(case, asked, outcome="begun")
        return
    yield Step(
        events=(RevisionRequested(reason=command.reason, over_limit=over),),
        outcome="asked",
        arm=deadline("answer", case.after(policy.answer_window)),
    )


@request_revision.unless
def _(case: Case) -> Iterable[Blocker]:
    order = case.order
    if _agreed(case) == "refused":
        yield Blocker(
            code="revision_limit_reached",
            params={"limit": order.terms.revisions, "used": order.revisions_used},
        )
    # After a refusal the choice is to finish or to go to a mediator; asking again
    # is one only as long as the mediator is not reached yet (R61, C4).
    refused = order.deadline("choice")
    if refused is not None and case.policies.revision.disputes_after(refusals(order)):
        yield Blocker(
            code="revision_refused", unblocked_by=way(OpenDispute, Role.BUYER)
        )


@decides(AcceptRevision)
def accept_revision(case: Case, command: AcceptRevision) -> Iterable[Step]:
    """
    The work begins again; late answers count (R57).
    """
    yield begun(case, RevisionAccepted())


@decides(RefuseRevision)
def refuse_revision(case: Case, command: RefuseRevision) -> Iterable[Step]:
    """
    The buyer has a window to choose; asking again did not start it anew (R61, C4).
    """
    begun = case.order.deadline("choice") is not None
    arm: tuple[Deadline, ...] = ()
    if not begun:
        arm = deadline("choice", case.end(case.policies.revision.choice_window))
    yield Step(
        events=(RevisionRefused(reason=command.reason),),
        arm=arm,
        resume=(case.order.state,),
    )


def begun(case: Case, event: Event, outcome: str = "") -> Step:
    """
    Return the step back to work, with the time there is to deliver again (C9).
    """
    left = case.time_left("delivery")
    window = case.policies.delivery.after_revision(
        full=case.order.full_window, left=left
    )
    if window is None:
        return Step(events=(event,), outcome=outcome, drop=("delivery",), late=False)
    if window == "resume":
        wait = case.order.deadline("delivery")
        if wait is None or wait.passed:
            # Nothing is left of it: the order is late as it was.
            return Step(events=(event,), outcome=outcome)
        due_at = case.after(left)
    else:
        assert isinstance(window, timedelta)
        due_at = case.end(window)
    return Step(
        events=(event,),
        outcome=outcome,
        arm=deadline("delivery", due_at),
        late=False,
    )


CHAPTER = (request_revision, accept_revision, refuse_revision)
