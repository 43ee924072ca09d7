"""
Revisions: R56 to R58, R61 to R65, R67 and R68.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pendulum import DateTime

import escrowflow as ef
from escrowflow.policies import TimePolicy
from tests.story import (
    ANA,
    APPROVE,
    ASK_REVISION,
    CANCEL,
    CLAIM,
    DELIVER,
    DISPUTE,
    HELLO,
    LUC,
    REFUSE_REVISION,
    REVIEW,
    Story,
    delivered,
    euros,
    in_progress,
    late,
    paris,
    revision_refused,
    revision_requested,
)


class TwiceWhatWasLeft:
    """
    A host's own answer to how long a redelivery may take.
    """

    version = "1"
    deliver_during_cancel_request = False
    late_window = None
    relaunch_takes_date = False

    def after_revision(self, *, full: timedelta, left: timedelta) -> timedelta:
        """
        Twice what was left at the delivery.
        """
        return 2 * left

    def after_relaunch(
        self, *, now: DateTime, full: timedelta, left: timedelta, time: TimePolicy
    ) -> DateTime:
        """
        The same after a ruling.
        """
        return time.end(now, 2 * left)


class TestRequest:
    """
    The buyer asks for changes.
    """

    def test_r56_requested(self) -> None:
        """
        R56: the seven days stop, 48 hours to answer start, both may talk again.
        """
        story = in_progress().at("06-03 12:00").seller(DELIVER)

        story.at("06-05 12:00").buyer(ASK_REVISION)

        assert story.row == (
            "revision_requested",
            "2026-06-07T12:00:00+02:00",
            "100/0/0/0",
        )
        assert [name for name, _ in story.waits] == ["answer"]
        assert story.order.conversation.open
        assert story.told("revision_requested") == {"seller"}

    def test_r56_first_a_revision_then_a_dispute(self) -> None:
        """
        R56: an unsatisfied buyer cannot open a dispute in `delivered`.
        """
        story = delivered()

        codes = story.refused(ANA, DISPUTE)

        assert codes == ("not_in_this_state",)
        (blocker,) = story.option(ANA, ef.OpenDispute).blockers
        assert "request_revision" in [way.command for way in blocker.unblocked_by]

    def test_r56_within_seven_days(self) -> None:
        """
        R56: after the seven days there is no revision.
        """
        story = delivered().after(days=7)

        assert story.refused(ANA, ASK_REVISION) == ("deadline_passed", "order_ended")

    @pytest.mark.parametrize("agreed", [0, 1, 2])
    def test_r58_over_the_limit(self, agreed: int) -> None:
        """
        R58, gap: a request over the number agreed is possible, and marked.
        """
        story = delivered(terms={"revisions": agreed})
        for _ in range(agreed):
            story.buyer(ASK_REVISION).seller(ef.AcceptRevision(), DELIVER)

        story.buyer(ASK_REVISION)

        marks = [asked.over_limit for asked in story.order.revisions]
        assert marks == [False] * agreed + [True]
        assert story.seller(REFUSE_REVISION).state == "revision_refused"

    @pytest.mark.parametrize("agreed", [None, "unlimited"])
    def test_r58_no_limit(self, agreed: str | None) -> None:
        """
        R58: where none is set no request is over the limit; a refusal needs a reason.
        """
        story = delivered(terms={"revisions": agreed})

        for _ in range(12):
            story.buyer(ASK_REVISION).seller(ef.AcceptRevision(), DELIVER)
        story.buyer(ASK_REVISION)

        assert not any(asked.over_limit for asked in story.order.revisions)
        assert story.seller(REFUSE_REVISION).state == "revision_refused"

    def test_r58_refused_requests_use_none_up(self) -> None:
        """
        R58: only a revision the seller agreed to counts.
        """
        story = delivered(
            terms={"revisions": 1},
            policies={"revision": {"dispute_after_revision_refusals": 2}},
        )

        story.buyer(ASK_REVISION).seller(REFUSE_REVISION)
        story.buyer(ASK_REVISION)

        assert story.order.revisions_used == 0
        assert not story.order.revisions[-1].over_limit

    def test_r58_the_limit_is_told(self) -> None:
        """
        R58: where the limit is firm, the refusal says how many there were.
        """
        story = delivered(
            terms={"revisions": 1},
            policies={"revision": {"revision_limit_mode": "hard"}},
        )
        story.buyer(ASK_REVISION).seller(ef.AcceptRevision(), DELIVER)

        assert story.why(ANA, ASK_REVISION) == [
            ("revision_limit_reached", {"limit": 1, "used": 1}, [])
        ]

    @pytest.mark.parametrize("is_late", [False, True])
    @pytest.mark.parametrize(
        ("deadline", "dues"),
        [
            (
                "restart_full",
                ("2026-06-10T12:00:00+02:00", "2026-06-17T12:00:00+02:00"),
            ),
            ("remaining", ("2026-06-09T12:00:00+02:00", "2026-06-06T12:00:00+02:00")),
            ("none", ("", "")),
        ],
    )
    def test_c8_c9_begun_at_once(
        self, deadline: str, dues: tuple[str, str], is_late: bool
    ) -> None:
        """
        C8, C9: where nobody has to agree, the work begins again with the request, with
        the time that there is for it; what was late stays late if nothing is left.
        """
        story = in_progress(
            "2026-06-01T10:00:00+02:00",
            terms={"revisions": 0},
            policies={
                "revision": {"revision_needs_seller_answer": False},
                "delivery": {"revision_deadline": deadline},
            },
        )
        story.at("06-09 12:00" if is_late else "06-02 12:00").seller(DELIVER)

        story.at("06-12 12:00" if is_late else "06-05 12:00").buyer(ASK_REVISION)

        stays = is_late and deadline == "remaining"
        state = "in_progress + late" if stays else "in_progress"
        assert story.row == (state, dues[is_late], "100/0/0/0")
        assert story.reasons == ["the blue is too dark"]
        assert [asked.over_limit for asked in story.order.revisions] == [True]


class TestAnswer:
    """
    The seller answers.
    """

    def test_r57_accepted(self) -> None:
        """
        R57: back to work with the whole delivery time, from the acceptance.
        """
        story = in_progress("2026-06-01T10:00:00+02:00").at("06-03 12:00")
        story.seller(DELIVER).at("06-04 12:00").buyer(ASK_REVISION)

        story.at("06-05 13:00").seller(ef.AcceptRevision())

        assert story.row == ("in_progress", "2026-06-10T13:00:00+02:00", "100/0/0/0")
        assert story.order.revisions_used == 1
        assert story.told("revision_accepted") == {"buyer"}

    def test_r57_buyer_cannot_cancel_alone(self) -> None:
        """
        R57: again on time, the buyer again cannot leave alone.
        """
        story = late().seller(DELIVER).buyer(ASK_REVISION)

        story.seller(ef.AcceptRevision())

        assert story.refused(ANA, CANCEL) == ("consent_needed",)

    def test_gap_restart_full_with_extras(self) -> None:
        """
        Gap: the full delivery time includes the windows of add-ons.
        """
        story = in_progress(
            "2026-06-01T10:00:00+02:00",
            add_ons=[ef.AddOn(title="More", price=euros("5"), extra_window="P3D")],
            policies={"extras": {"addon_deadline": "add_days"}},
        )
        assert story.due == "2026-06-09T12:00:00+02:00"
        story.seller(DELIVER).buyer(ASK_REVISION)

        story.at("06-02 12:00").seller(ef.AcceptRevision())

        assert story.due == "2026-06-10T12:00:00+02:00"

    def test_c9_a_policy_of_ones_own(self) -> None:
        """
        C9: a host's policy is told what was left when the work was handed over.
        """
        story = in_progress(
            "2026-06-01T10:00:00+02:00", policies={"delivery": TwiceWhatWasLeft()}
        )
        story.at("06-03 12:00").seller(DELIVER).buyer(ASK_REVISION)

        story.at("06-04 12:00").seller(ef.AcceptRevision())

        assert story.due == "2026-06-10T12:00:00+02:00"

    def test_r61_refused(self) -> None:
        """
        R61: refused, the buyer has seven days to choose, and both may talk.
        """
        story = revision_requested("2026-06-01T10:00:00+02:00").at("06-04 12:00")

        story.seller(REFUSE_REVISION)

        assert story.row == (
            "revision_refused",
            "2026-06-11T12:00:00+02:00",
            "100/0/0/0",
        )
        assert story.order.conversation.open
        assert story.told("revision_refused") == {"buyer"}
        assert story.reasons == ["the blue is too dark", "not in the offer"]
        assert story.why(ANA, ASK_REVISION) == [
            ("revision_refused", {}, ["buyer open_dispute"])
        ]

    def test_r61_asking_again_buys_no_time(self) -> None:
        """
        R61, C4: where it takes two refusals, the buyer may ask again; the seven days to
        choose are those of the first.
        """
        story = revision_requested(
            policies={"revision": {"dispute_after_revision_refusals": 2}}
        )
        story.seller(REFUSE_REVISION)
        due = story.due

        story.after(days=2).buyer(ASK_REVISION).seller(REFUSE_REVISION)

        assert story.state == "revision_refused"
        assert story.due == due

    @pytest.mark.parametrize(
        "answer", [ef.AcceptRevision(), REFUSE_REVISION], ids=lambda c: c.name
    )
    def test_gap_late_answer(self, answer: ef.Command) -> None:
        """
        Gap: a late answer is heard until a dispute exists.
        """
        story = revision_requested().after(days=20)

        story.seller(answer)

        assert story.state in ("in_progress", "revision_refused")

    def test_gap_no_answer_once_disputed(self) -> None:
        """
        Gap: once a dispute exists, the answer comes too late.
        """
        story = revision_requested().after(hours=48).buyer(DISPUTE)

        assert story.refused(LUC, ef.AcceptRevision()) == ("not_in_this_state",)

    def test_r65_unanswered(self) -> None:
        """
        R65: 48 hours unanswered, the request stays and a dispute is possible.
        """
        story = revision_requested()
        assert story.refused(ANA, DISPUTE) == ("answer_still_due",)

        story.after(hours=48).sweep()

        assert story.state == "revision_requested"
        assert story.order.revisions[-1].unlocked
        assert story.told("dispute_unlocked") == {"buyer", "seller"}
        assert story.buyer(DISPUTE).state == "disputed"

    def test_seller_cancels_instead(self) -> None:
        """
        R36: asked for a revision, the seller may cancel instead.
        """
        story = revision_requested().seller(CANCEL)

        assert story.books == "0/100/0/0"


class TestChoice:
    """
    After a refusal: finish, or go to a mediator.
    """

    @pytest.mark.parametrize(
        ("command", "cause"), [(APPROVE, "approved"), (REVIEW, "reviewed")]
    )
    def test_r62_finish(self, command: ef.Command, cause: str) -> None:
        """
        R62: the buyer gives in, the seller is paid; a bad review is possible.
        """
        story = revision_refused().buyer(command)

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending[0] == cause

    def test_r63_dispute(self) -> None:
        """
        R63: the buyer goes to a mediator at once, and everything stands still.
        """
        story = revision_refused().buyer(DISPUTE)

        assert story.row == ("disputed", "", "100/0/0/0")
        assert [name for name, _ in story.waits] == ["mediator"]

    def test_r63_not_by_the_seller(self) -> None:
        """
        R63, R73: the seller's way to a mediator is a claim.
        """
        story = revision_refused()

        assert story.refused(LUC, DISPUTE) == ("not_your_command",)
        assert story.seller(CLAIM).order.claim is not None

    def test_r64_silence(self) -> None:
        """
        R64: seven days without a choice pay the seller.
        """
        story = revision_refused().after(days=7)

        story.sweep()

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending[0] == "choice_expired"


class TestAgain:
    """
    Delivering again, and more work.
    """

    def test_r67_redelivery(self) -> None:
        """
        R67: a new delivery brings new seven days, and blocks the conversation.
        """
        story = revision_requested().at("06-04 12:00").seller(ef.AcceptRevision())

        story.at("06-05 12:00").seller(DELIVER)

        assert story.row == ("delivered", "2026-06-12T12:00:00+02:00", "100/0/0/0")
        assert not story.order.conversation.open
        assert len(story.order.deliveries) == 2
        assert paris(story.order.delivered_at) == "2026-06-05T12:00:00+02:00"

    def test_r67_reminders_anew(self) -> None:
        """
        R67: the reminders belong to the new window, the old ones are gone.
        """
        story = revision_requested().seller(ef.AcceptRevision())

        story.at("06-05 12:00").seller(DELIVER)

        assert [name for name, _ in story.waits] == [
            "verification_reminder",
            "verification_reminder",
            "verification",
        ]

    @pytest.mark.parametrize("begin", [revision_requested, revision_refused])
    def test_r68_extra_work(self, begin: Callable[[], Story]) -> None:
        """
        R68: what is more than a revision is an option or an offer, in either state.
        """
        story = begin()

        story.buyer(
            ef.BuyAddOn(
                title="Dark version", price=euros("15"), payment=ef.Payment("card", "a")
            )
        )
        story.seller(ef.SendOffer(title="Poster", price=euros("30")))
        story.buyer(ef.PayOffer(offer_id="offer-1", payment=ef.Payment("card", "b")))

        assert story.books == "145/0/0/0"

    def test_r66_silent_buyer(self) -> None:
        """
        R66: no details after an accepted revision pause nothing: it turns late.
        """
        story = revision_requested().seller(ef.AcceptRevision())
        story.seller(HELLO)

        story.after(days=5)

        assert story.state == "in_progress + late"
