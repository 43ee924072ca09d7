"""
Reviews: R44, R53, R62 and R96 to R98.
"""

from __future__ import annotations

import pytest

import escrowflow as ef
from tests.story import (
    ANA,
    IN,
    LUC,
    OPS,
    REVIEW,
    Story,
    cancelled,
    completed,
    delivered,
)

REPLY = ef.ReplyToReview(text="thank you")


def reviewed() -> Story:
    """
    An order that a review completed.
    """
    return delivered().buyer(REVIEW)


class TestReview:
    """
    The buyer's word.
    """

    def test_r44_cancelled(self) -> None:
        """
        R44: a cancelled order is not reviewed.
        """
        assert cancelled().refused(ANA, REVIEW) == ("order_ended",)

    def test_r44_expired(self) -> None:
        """
        R44: nor is an expired one.
        """
        assert "order_ended" in IN["expired"]().refused(ANA, REVIEW)

    @pytest.mark.parametrize("rating", [1, 5])
    def test_r53_published(self, rating: int) -> None:
        """
        R53, R62: a good or bad review completes, is published, and the seller told.
        """
        story = delivered().buyer(ef.LeaveReview(rating=rating, text="so"))

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.order.review is not None
        assert (story.order.review.rating, story.order.review.text) == (rating, "so")
        assert story.told("review_left") == {"seller"}
        assert story.ending == ("reviewed", "leave_review", "", False)

    def test_c13_approval_completes(self) -> None:
        """
        C13: where a review completes nothing, the delivery is approved first.
        """
        policies = {"completion": {"completion_triggers": {"approve"}}}
        (blocker,) = delivered(policies=policies).option(ANA, ef.LeaveReview).blockers

        assert blocker.code == "approval_completes"
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("approve_delivery", ANA.role)
        ]

    @pytest.mark.parametrize("rating", [0, 6, 3.5, True, "5"])
    def test_rating_is_one_to_five(self, rating: object) -> None:
        """
        A rating is a whole number from 1 to 5.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.LeaveReview(rating=rating)  # type: ignore[arg-type]

    def test_r96_late_review(self) -> None:
        """
        R96: after completion it may follow, once; the money stays.
        """
        story = completed().after(days=60)

        story.buyer(REVIEW)

        assert story.books == "0/0/100/0"
        assert story.refused(ANA, REVIEW) == ("review_left",)

    def test_r96_after_silence(self) -> None:
        """
        R96: also where silence completed the order.
        """
        story = delivered().after(days=7)

        assert story.buyer(REVIEW).order.review is not None

    def test_r96_six_months(self) -> None:
        """
        R96: six calendar months, to the microsecond.
        """
        story = Story("2026-06-01T10:00:00+02:00").seller(ef.AcceptOrder())
        story.seller(ef.DeliverOrder(note="done")).at("06-02 09:00")
        story.buyer(ef.ApproveDelivery())

        story.at("2026-12-02T08:59:59.999999+01:00")
        assert story.option(ANA, ef.LeaveReview).allowed
        story.at("2026-12-02T09:00:00+01:00")

        assert story.refused(ANA, REVIEW) == ("review_window_over",)


class TestReply:
    """
    The seller's word.
    """

    def test_r97_nothing_to_reply_to(self) -> None:
        """
        R97: before there is a review, the buyer would have to leave one; of one that
        was removed it is told why.
        """
        (none,) = completed().option(LUC, ef.ReplyToReview).blockers
        story = reviewed().staff(ef.RemoveReview(cause="unlawful"))
        (removed,) = story.option(LUC, ef.ReplyToReview).blockers

        assert none.code == "no_review"
        assert [(way.command, way.by) for way in none.unblocked_by] == [
            ("leave_review", ANA.role)
        ]
        assert (removed.code, removed.params) == (
            "review_removed",
            {"cause": "unlawful"},
        )

    def test_r97_once(self) -> None:
        """
        R97: one right of reply; the buyer is told.
        """
        story = reviewed().seller(REPLY)

        assert story.order.review is not None
        assert story.order.review.reply == "thank you"
        assert story.told("review_replied") == {"buyer"}
        assert story.refused(LUC, REPLY) == ("replied",)

    def test_r97_needs_a_review(self) -> None:
        """
        R97: without a review there is nothing to reply to.
        """
        assert completed().refused(LUC, REPLY) == ("no_review",)

    def test_r97_at_any_time(self) -> None:
        """
        R97: the reply may come years later.
        """
        story = reviewed().after(days=900)

        assert story.seller(REPLY).state == "completed"


class TestRemoval:
    """
    Staff takes a review down.
    """

    @pytest.mark.parametrize("cause", ["unlawful", "sensitive", "buyer_wish"])
    def test_r98_causes(self, cause: str) -> None:
        """
        R98: unlawful, sensitive, or at the buyer's own wish.
        """
        story = reviewed()

        story.staff(ef.RemoveReview(cause=cause))  # type: ignore[arg-type]

        assert story.order.review is not None
        assert story.order.review.removed == cause
        assert story.refused(OPS, ef.RemoveReview(cause="unlawful")) == (
            "review_removed",
        )

    @pytest.mark.parametrize("cause", ["seller_wish", "", None])
    def test_r98_never_at_the_sellers_wish(self, cause: object) -> None:
        """
        R98: there is no such cause as the seller's wish, and no button of his.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.RemoveReview(cause=cause)  # type: ignore[arg-type]

        story = reviewed()
        assert story.refused(LUC, ef.RemoveReview(cause="sensitive")) == (
            "not_your_command",
        )

    def test_r98_no_second_review(self) -> None:
        """
        R96, R98: a removed review was the one review of the order.
        """
        story = reviewed().staff(ef.RemoveReview(cause="sensitive"))

        assert story.refused(ANA, REVIEW) == ("review_left",)
        assert story.refused(LUC, REPLY) == ("review_removed",)
