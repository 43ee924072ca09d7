"""
Reviews: one of the order, one reply, removal by staff (R44, R53, R96 to R98).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..commands import ApproveDelivery, LeaveReview, RemoveReview, ReplyToReview
from ..events import ReviewLeft, ReviewRemoved, ReviewReplied
from ..parties import Role
from ..refusals import Blocker
from .case import Case, Step, decides, way
from .settlement import completed

__all__ = ["CHAPTER"]


@decides(LeaveReview)
def leave_review(case: Case, command: LeaveReview) -> Iterable[Step]:
    """
    Completes a delivered order; later it is only a review (R53, R62, R96).
    """
    left = ReviewLeft(rating=command.rating, text=command.text)
    if case.order.closed_at is None:
        yield completed(case, left, cause="reviewed", trigger=command.name)
    else:
        yield Step(events=(left,))


@leave_review.unless
def _(case: Case) -> Iterable[Blocker]:
    order, policies = case.order, case.policies
    if order.closed_at is None:
        if not policies.completion.completes("review"):
            # C13: there, a review follows the completion.
            yield Blocker(
                code="approval_completes",
                unblocked_by=way(ApproveDelivery, Role.BUYER),
            )
        return
    if order.review is not None:
        yield Blocker(code="review_left")
    ends = policies.time.end(order.closed_at, policies.reviews.review_window)
    if policies.time.over(ends, case.now):
        yield Blocker(code="review_window_over", params={"ended_at": ends})


@decides(ReplyToReview)
def reply_to_review(case: Case, command: ReplyToReview) -> Iterable[Step]:
    """
    One right of reply (R97).
    """
    yield Step(events=(ReviewReplied(text=command.text),))


@reply_to_review.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _no_review(case)
    review = case.order.review
    if review is not None and review.reply is not None:
        yield Blocker(code="replied")


@decides(RemoveReview)
def remove_review(case: Case, command: RemoveReview) -> Iterable[Step]:
    """
    Never at the seller's wish alone (R98).
    """
    yield Step(events=(ReviewRemoved(cause=command.cause),))


@remove_review.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _no_review(case)


def _no_review(case: Case) -> Iterable[Blocker]:
    review = case.order.review
    if review is None:
        yield Blocker(code="no_review", unblocked_by=way(LeaveReview, Role.BUYER))
    elif review.removed:
        yield Blocker(code="review_removed", params={"cause": review.removed})


CHAPTER = (leave_review, reply_to_review, remove_review)
