"""
Delivery: lateness, handing over the work, approval, silence (R26 to R28, R50 to
R54).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..commands import (
    ApproveDelivery,
    CompleteSilently,
    DeliverOrder,
    ExpireDelivery,
    LeaveReview,
    MarkLate,
    RefuseCancellation,
    RemindVerification,
    WithdrawCancellation,
)
from ..events import (
    DeliveryApproved,
    OrderDelivered,
    OrderMarkedLate,
    VerificationReminded,
)
from ..parties import Role
from ..refusals import Blocker
from .case import Case, Step, deadline, decides, reminders, way
from .dispute import returned_unless_claimed
from .settlement import completed

__all__ = ["CHAPTER"]


@decides(DeliverOrder)
def deliver_order(case: Case, command: DeliverOrder) -> Iterable[Step]:
    """
    The buyer has a window to look, a new one each time (R50, R67).
    """
    window = case.order.terms.verification_window
    assert window is not None
    ends = case.end(window)
    yield Step(
        events=(OrderDelivered(files=command.files, note=command.note),),
        arm=(
            *deadline("verification", ends),
            *reminders(
                case,
                "verification_reminder",
                case.policies.completion.reminders,
                ends,
            ),
        ),
    )


@deliver_order.unless
def _(case: Case) -> Iterable[Blocker]:
    if case.order.cancellation is None:
        return
    # A request made once the work was handed over leaves nothing to hand over: whoever
    # delivered again would be rid of it, and of the buyer's choice (C12).
    process, here = case.process, case.order.state
    if process.row(case.base, DeliverOrder, Role.SELLER) is None:
        places = process.places(DeliverOrder, Role.SELLER)
        yield Blocker(
            code="not_in_this_state",
            params={
                "command": DeliverOrder.name,
                "state": str(case.base),
                "states": tuple(str(place) for place in places if place != here),
            },
        )
    elif not case.policies.delivery.deliver_during_cancel_request:
        yield Blocker(
            code="cancellation_unanswered",
            unblocked_by=(
                *way(RefuseCancellation, Role.SELLER),
                *way(WithdrawCancellation, Role.BUYER),
            ),
        )


@decides(ApproveDelivery)
def approve_delivery(case: Case, command: ApproveDelivery) -> Iterable[Step]:
    """
    The seller is paid (R52, R62).
    """
    yield completed(case, DeliveryApproved(), cause="approved", trigger=command.name)


@approve_delivery.unless
def _(case: Case) -> Iterable[Blocker]:
    if not case.policies.completion.completes("approve"):
        # C13: there, leaving a review is what completes an order.
        yield Blocker(
            code="review_completes", unblocked_by=way(LeaveReview, Role.BUYER)
        )


@decides(MarkLate)
def mark_late(case: Case, command: MarkLate) -> Iterable[Step]:
    """
    Late from now on, whoever is at fault (R26).
    """
    window = case.policies.delivery.late_window
    yield Step(
        events=(OrderMarkedLate(),),
        arm=() if window is None else deadline("delay", case.end(window)),
        late=True,
    )


@decides(ExpireDelivery)
def expire_delivery(case: Case, command: ExpireDelivery) -> Iterable[Step]:
    """
    So late that nobody waits any longer: everything goes back.
    """
    yield returned_unless_claimed(
        case, cause="not_delivered", trigger=command.name, responsible=Role.SELLER
    )


@decides(RemindVerification)
def remind_verification(case: Case, command: RemindVerification) -> Iterable[Step]:
    """
    The buyer is told that silence will count as a yes (R54).
    """
    yield Step(events=(VerificationReminded(),))


@decides(CompleteSilently)
def complete_silently(case: Case, command: CompleteSilently) -> Iterable[Step]:
    """
    Silence after a delivery, or after a refused revision, pays the seller
    (R54, R64).
    """
    refused = case.due is not None and case.due.name == "choice"
    yield completed(
        case,
        cause="choice_expired" if refused else "silence",
        trigger=command.name,
    )


CHAPTER = (
    deliver_order,
    approve_delivery,
    mark_late,
    expire_delivery,
    remind_verification,
    complete_silently,
)
