"""
The worked scenarios of the rules, row by row, through an engine and a fake clock.

A row reads as on the page: the instant, who did what, the state and its due
instant, the money as held/refunded/released/kept, and everything that is allowed
next, by anybody.
"""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

import attrs
import pytest

import escrowflow as ef
from escrowflow.clock import end_of, local_date
from tests.story import (
    A_CANC,
    A_CREQ,
    A_DELIV,
    A_DISP,
    A_DISP_UNASSIGNED,
    A_DONE,
    A_LATE,
    A_PEND,
    A_PROG,
    A_REVIEWED,
    A_RREF,
    A_RREQ,
    ACCEPT,
    ANA,
    APPROVE,
    ASK_CANCELLATION,
    ASK_REVISION,
    ASSIGN,
    CANCEL,
    DELIVER,
    DISPUTE,
    HELLO,
    IN,
    LUC,
    MIA,
    OPS,
    REFUSE_REVISION,
    REVIEW,
    Story,
    cells,
    euros,
    paris,
)

BRIEF = ef.SubmitBrief(text="a blue logo")


def paid_in_june(**kwargs: Any) -> Story:
    """
    An order paid on Tuesday 2026-06-02 at 10:00.
    """
    return Story("2026-06-02T10:00:00+02:00", **kwargs)


def accepted_in_june(**kwargs: Any) -> Story:
    """
    An order accepted on Tuesday 2026-06-02 at 12:00.
    """
    return paid_in_june(**kwargs).at("06-02 12:00").seller(ACCEPT)


class TestSC1:
    """
    The happy path, with a review.
    """

    def test_happy_path_with_review(self) -> None:
        """
        SC1: paid, briefed, accepted, delivered and reviewed, row by row.
        """
        story = Story("2026-05-05T10:00:00+02:00")

        assert story.row == ("pending", "2026-05-07T10:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_PEND

        story.at("05-05 10:20").buyer(BRIEF)

        assert story.row == ("pending", "2026-05-07T10:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_PEND

        story.at("05-05 15:00").seller(ACCEPT)

        assert story.row == ("in_progress", "2026-05-10T15:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_PROG

        story.at("05-09 09:30").seller(DELIVER)

        assert story.row == ("delivered", "2026-05-16T09:30:00+02:00", "100/0/0/0")
        assert not story.order.conversation.open
        assert story.allowed == A_DELIV

        story.at("05-09 10:00")

        assert "not_in_this_state" in story.refused(LUC, HELLO)
        assert story.row == ("delivered", "2026-05-16T09:30:00+02:00", "100/0/0/0")
        assert story.allowed == A_DELIV

        story.at("05-11 18:00").buyer(REVIEW)

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.allowed == A_REVIEWED
        # The seller's wallet is the host's: it is paid at once (R92).
        assert story.money_moves() == [("pay_out", "100")]

        story.at("05-18 18:00").sweep()

        assert story.row == ("completed", "", "0/0/100/0")
        assert not story.order.conversation.open
        assert story.names[-1] == "conversation_closed"
        assert story.allowed == A_REVIEWED - cells("BS send_message")


class TestSC2:
    """
    Silence at the exact seventh day.
    """

    @pytest.fixture
    def story(self) -> Story:
        """
        Delivered on Saturday 2026-05-09 at 09:30.
        """
        story = Story("2026-05-05T10:00:00+02:00").at("05-05 15:00").seller(ACCEPT)
        return story.at("05-09 09:30").seller(DELIVER)

    def test_revision_one_second_before(self, story: Story) -> None:
        """
        SC2 a: a second before the end, a revision is in time.
        """
        story.at("05-16 09:29:59").buyer(ASK_REVISION)

        assert story.row == (
            "revision_requested",
            "2026-05-18T09:29:59+02:00",
            "100/0/0/0",
        )
        assert story.allowed == A_RREQ

    def test_silence_pays_at_the_end(self, story: Story) -> None:
        """
        SC2 b: at the end the system completes, and the conversation reopens.
        """
        story.at("05-16 09:30").sweep()

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending == ("silence", "complete_silently", "", False)
        assert story.allowed == A_DONE
        talk = story.order.conversation
        assert talk.open
        assert paris(talk.closes_at) == "2026-05-23T09:30:00+02:00"

    def test_at_the_end_the_deadline_wins(self, story: Story) -> None:
        """
        SC2 c: no worker ran, and yet a revision at the end comes too late.
        """
        story.at("05-16 09:30")

        assert story.refused(ANA, ASK_REVISION)[0] == "deadline_passed"
        assert story.row == ("completed", "", "0/0/100/0")
        assert "order_completed" in story.names

    @pytest.mark.parametrize(
        "command",
        [CANCEL, ASK_CANCELLATION, ASK_REVISION],
        ids=lambda command: command.name,
    )
    def test_nothing_brings_it_back(self, story: Story, command: ef.Command) -> None:
        """
        SC2, the day after: neither cancellation nor revision is heard any more.
        """
        story.at("05-16 09:30").sweep()

        story.at("05-17 09:00")

        assert "order_ended" in story.refused(ANA, command)
        assert story.books == "0/0/100/0"

    def test_partial_refund_is_over_too(self, story: Story) -> None:
        """
        SC2, the day after: there is no refund any more, not even in part.
        """
        story.at("05-17 09:00")

        proposal = ef.ProposePartialRefund(amount=euros("10"), reason="please")

        assert "order_ended" in story.refused(ANA, proposal)
        assert "order_ended" in story.refused(LUC, proposal)

    def test_review_within_six_months(self, story: Story) -> None:
        """
        SC2: a review is possible until 2026-11-16 09:30 +01:00, exclusive.
        """
        story.at("2026-11-16T09:29:59.999999+01:00")
        assert story.option(ANA, ef.LeaveReview).allowed

        story.at("2026-11-16T09:30:00+01:00")

        assert story.refused(ANA, REVIEW) == ("review_window_over",)


@attrs.frozen
class Holidays:
    """
    Weekdays, without the days a country takes off.
    """

    off: frozenset[date]

    version: ClassVar[str] = "1"

    def is_business_day(self, day: date) -> bool:
        """
        Return whether banks work on *day*.
        """
        return day.weekday() < 5 and day not in self.off


FRANCE = frozenset(
    date(2026, month, day)
    for month, day in [(1, 1), (4, 6), (5, 1), (5, 8), (5, 14), (5, 25), (12, 25)]
)
ALSACE = FRANCE | {date(2026, 4, 3), date(2026, 12, 26)}


class TestSC6:
    """
    Card refunds over public holidays; a display, never a state.
    """

    @pytest.mark.parametrize(
        ("cancelled_at", "off", "third", "fifth"),
        [
            ("2026-04-30T16:00:00+02:00", FRANCE, (5, 6), (5, 11)),
            ("2026-04-02T16:00:00+02:00", FRANCE, (4, 8), (4, 10)),
            ("2026-04-02T16:00:00+02:00", ALSACE, (4, 9), (4, 13)),
            ("2026-05-13T16:00:00+02:00", FRANCE, (5, 19), (5, 21)),
            ("2026-12-23T16:00:00+01:00", FRANCE, (12, 29), (12, 31)),
        ],
        ids=["labour day", "easter", "alsace", "ascension", "christmas"],
    )
    def test_card(
        self,
        cancelled_at: str,
        off: frozenset[date],
        third: tuple[int, int],
        fifth: tuple[int, int],
    ) -> None:
        """
        SC6: the money is owed at once, and shows after 3 to 5 business days.
        """
        timing = ef.RefundTiming(business_calendar=Holidays(off))
        story = Story(cancelled_at, method="card", policies={"refund_timing": timing})

        story.buyer(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")
        (refund,) = story.order.refunds
        assert [local_date(instant, "Europe/Paris") for instant in refund.estimate] == [
            date(2026, *third),
            date(2026, *fifth),
        ]

    @pytest.mark.parametrize("method", ["paypal", "wallet"])
    def test_at_once(self, method: str) -> None:
        """
        SC6: PayPal and the wallet show it at the same instant.
        """
        story = Story("2026-04-30T16:00:00+02:00", method=method)

        story.buyer(CANCEL)

        (refund,) = story.order.refunds
        assert refund.estimate == (story.clock.now(), story.clock.now())


class TestSC7:
    """
    The buyer cancels before acceptance.
    """

    def test_buyer_cancels_in_pending(self) -> None:
        """
        SC7: all goes back at once, the seller comes too late, a week to talk.
        """
        story = Story("2026-06-01T10:00:00+02:00", method="wallet")

        assert story.row == ("pending", "2026-06-03T10:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_PEND

        story.at("06-01 11:00").buyer(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.allowed == A_CANC
        assert story.money_moves() == [("refund", "100")]
        assert paris(story.order.refunds[0].estimate[1]) == "2026-06-01T11:00:00+02:00"

        story.at("06-01 11:00:01")

        assert "order_ended" in story.refused(LUC, ACCEPT)
        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.allowed == A_CANC

        story.at("06-08 11:00").sweep()

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.allowed == A_CANC - cells("BS send_message")
        assert story.order.ending is not None
        assert story.order.ending.statistics == ("acceptance_rate", "visibility")


class TestSC8:
    """
    Two people at the same instant: the first commit decides.
    """

    @pytest.fixture
    def story(self) -> Story:
        """
        Paid on Monday 2026-06-01 at 10:00, looked at on Tuesday at noon.
        """
        return Story("2026-06-01T10:00:00+02:00").at("06-02 12:00")

    def test_cancel_then_accept(self, story: Story) -> None:
        """
        SC8: cancelled first, the acceptance finds another version; one movement.
        """
        seen = story.order.version
        story.by(ANA, CANCEL, if_version=seen)

        with pytest.raises(ef.OrderChangedError):
            story.by(LUC, ACCEPT, if_version=seen)

        assert "order_ended" in story.refused(LUC, ACCEPT)
        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.allowed == A_CANC
        assert story.money_moves() == [("refund", "100")]

    def test_accept_then_cancel(self, story: Story) -> None:
        """
        SC8: accepted first, the cancellation is refused, and no request by itself.
        """
        seen = story.order.version
        story.by(LUC, ACCEPT, if_version=seen)

        with pytest.raises(ef.OrderChangedError):
            story.by(ANA, CANCEL, if_version=seen)

        assert story.refused(ANA, CANCEL) == ("consent_needed",)
        assert story.row == ("in_progress", "2026-06-07T12:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_PROG
        assert story.money_moves() == []

    def test_expiry_against_accept(self, story: Story) -> None:
        """
        SC8: at the end of 48 hours the expiry wins over an acceptance, once.
        """
        seen = story.order.version
        story.at("06-03 10:00")

        with pytest.raises(ef.OrderChangedError):
            story.by(LUC, ACCEPT, if_version=seen)
        assert story.refused(LUC, ACCEPT)[0] == "deadline_passed"
        story.sweep()

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.ending[0] == "acceptance_expired"
        assert story.money_moves() == [("refund", "100")]

    def test_accept_against_expiry(self, story: Story) -> None:
        """
        SC8: accepted a microsecond before, nothing is left to expire.
        """
        story.at("06-03 09:59:59.999999").seller(ACCEPT)

        story.at("06-03 10:00").sweep()

        assert story.state == "in_progress"
        assert story.money_moves() == []

    def test_approve_against_silence(self, story: Story) -> None:
        """
        SC8: approval at the end of the window and the timer release once.
        """
        story.seller(ACCEPT).seller(DELIVER).at("06-09 12:00")

        refusal = story.refused(ANA, APPROVE)
        story.sweep()

        assert refusal[0] == "deadline_passed"
        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending[0] == "silence"
        assert story.money_moves() == [("pay_out", "100")]

    def test_silence_against_approve(self, story: Story) -> None:
        """
        SC8: approved just before the end, the timer finds nothing to release.
        """
        story.seller(ACCEPT).seller(DELIVER).at("06-09 11:59:59.999").buyer(APPROVE)

        story.at("06-09 12:00").sweep()

        assert story.ending[0] == "approved"
        assert story.money_moves() == [("pay_out", "100")]

    def test_two_workers(self, story: Story) -> None:
        """
        SC8: two sweeps of the same instant settle once.
        """
        story.seller(ACCEPT).seller(DELIVER).at("06-09 12:00")
        other = ef.Engine(story.process, story.storage, clock=story.clock)

        reports = (story.sweep(), other.run_due())

        assert [report.orders for report in reports] == [1, 0]
        assert story.money_moves() == [("pay_out", "100")]


class TestSC9:
    """
    A late order.
    """

    @pytest.fixture
    def story(self) -> Story:
        """
        Accepted on Tuesday 2026-06-02 at 12:00, due on Sunday at 12:00.
        """
        return accepted_in_june()

    def test_on_time(self, story: Story) -> None:
        """
        SC9: a second before the end, the buyer may not cancel alone.
        """
        story.at("06-07 11:59:59")

        assert story.refused(ANA, CANCEL) == ("consent_needed",)
        assert story.row == ("in_progress", "2026-06-07T12:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_PROG

    def test_marked_late(self, story: Story) -> None:
        """
        SC9: at the end the order is late, and its due instant stays.
        """
        story.at("06-07 12:00").sweep()

        assert story.row == (
            "in_progress + late",
            "2026-06-07T12:00:00+02:00",
            "100/0/0/0",
        )
        assert story.allowed == A_LATE
        assert story.waits == []

    def test_buyer_cancels(self, story: Story) -> None:
        """
        SC9 a: at the end, worker or not, the buyer may leave with everything.
        """
        story.at("06-07 12:00").buyer(CANCEL)

        assert story.row == ("cancelled + late", "", "0/100/0/0")
        assert story.allowed == A_CANC
        assert story.ending == ("late", "cancel_order", "seller", False)

    def test_seller_delivers_first(self, story: Story) -> None:
        """
        SC9 b: delivered late, it stays marked, and the buyer may not cancel.
        """
        story.at("06-07 12:00:30").seller(DELIVER)

        assert story.row == (
            "delivered + late",
            "2026-06-14T12:00:30+02:00",
            "100/0/0/0",
        )
        assert story.order.deliveries[0].late
        assert story.allowed == A_DELIV
        assert story.refused(ANA, CANCEL) == ("not_in_this_state",)

    def test_agreed_in_the_chat(self, story: Story) -> None:
        """
        SC9 c: what is agreed by message moves no deadline (R23).
        """
        story.at("06-05 12:00").seller(HELLO).buyer(HELLO)
        assert story.due == "2026-06-07T12:00:00+02:00"

        story.at("06-08 12:00").buyer(CANCEL)

        assert story.books == "0/100/0/0"


class TestSC11:
    """
    A request for cancellation and its 48 hours.
    """

    @pytest.fixture
    def story(self) -> Story:
        """
        Requested on Wednesday 2026-06-03 at 09:00, of a delivery time of 20 days.
        """
        return (
            accepted_in_june(delivery="P20D").at("06-03 09:00").buyer(ASK_CANCELLATION)
        )

    def test_answered_late(self, story: Story) -> None:
        """
        SC11: the dispute unlocks at 48 hours; a late answer still counts.
        """
        asked = ("cancellation_requested", "2026-06-05T09:00:00+02:00", "100/0/0/0")

        assert story.row == asked
        assert story.allowed == A_CREQ

        story.at("06-05 08:59:59")

        assert story.refused(ANA, DISPUTE) == ("answer_still_due",)
        assert story.row == asked
        assert story.allowed == A_CREQ

        story.at("06-05 09:00").sweep()

        assert story.row == asked
        assert story.allowed == A_CREQ | cells("B open_dispute")

        story.at("06-05 09:30").seller(ef.AcceptCancellation())

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.allowed == A_CANC

    def test_disputed_first(self, story: Story) -> None:
        """
        SC11, branch: once a dispute exists, the seller's answer is refused.
        """
        story.at("06-05 09:10").buyer(DISPUTE)

        assert story.row == ("disputed", "", "100/0/0/0")
        assert story.allowed == A_DISP_UNASSIGNED
        story.at("06-05 09:30")
        assert story.refused(LUC, ef.AcceptCancellation()) == ("not_in_this_state",)

    def test_no_branch_refunds_by_itself(self, story: Story) -> None:
        """
        SC11: an unanswered request stays what it is, for months.
        """
        story.at("09-05 09:00").sweep()

        assert story.state == "cancellation_requested + late"
        assert story.books == "100/0/0/0"


class TestSC12:
    """
    A limit of two revisions.
    """

    def twice_revised(self, revisions: int | str = 2, **policy: Any) -> Story:
        """
        Two revisions accepted, delivered again on Tuesday 2026-06-09 at 13:00.
        """
        story = accepted_in_june(
            terms={"revisions": revisions}, policies={"revision": policy}
        )
        story.at("06-04 12:00").seller(DELIVER)
        story.at("06-05 12:00").buyer(ASK_REVISION)
        story.at("06-05 18:00").seller(ef.AcceptRevision())
        story.at("06-07 18:00").seller(DELIVER)
        story.at("06-08 12:00").buyer(ASK_REVISION)
        story.at("06-08 13:00").seller(ef.AcceptRevision())
        return story.at("06-09 13:00").seller(DELIVER)

    def test_soft(self) -> None:
        """
        SC12: the third request is marked, refused, and the buyer gives in.
        """
        story = accepted_in_june(terms={"revisions": 2})

        story.at("06-04 12:00").seller(DELIVER)

        assert story.row == ("delivered", "2026-06-11T12:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_DELIV

        story.at("06-05 12:00").buyer(ASK_REVISION)

        assert story.row == (
            "revision_requested",
            "2026-06-07T12:00:00+02:00",
            "100/0/0/0",
        )
        assert story.allowed == A_RREQ

        story.at("06-05 18:00").seller(ef.AcceptRevision())

        assert story.row == ("in_progress", "2026-06-10T18:00:00+02:00", "100/0/0/0")
        assert story.order.revisions_used == 1
        assert story.allowed == A_PROG

        story.at("06-07 18:00").seller(DELIVER)

        assert story.row == ("delivered", "2026-06-14T18:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_DELIV

        story.at("06-08 12:00").buyer(ASK_REVISION)
        story.at("06-08 13:00").seller(ef.AcceptRevision())

        assert story.row == ("in_progress", "2026-06-13T13:00:00+02:00", "100/0/0/0")
        assert story.order.revisions_used == 2
        assert story.allowed == A_PROG

        story.at("06-09 13:00").seller(DELIVER)

        assert story.row == ("delivered", "2026-06-16T13:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_DELIV

        story.at("06-10 12:00").buyer(ASK_REVISION)

        assert story.row == (
            "revision_requested",
            "2026-06-12T12:00:00+02:00",
            "100/0/0/0",
        )
        assert [asked.over_limit for asked in story.order.revisions] == [
            False,
            False,
            True,
        ]
        assert story.allowed == A_RREQ

        story.at("06-10 14:00").seller(REFUSE_REVISION)

        assert story.row == (
            "revision_refused",
            "2026-06-17T14:00:00+02:00",
            "100/0/0/0",
        )
        assert story.allowed == A_RREF

        story.at("06-11 09:00").buyer(APPROVE)

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.allowed == A_DONE

    def test_hard(self) -> None:
        """
        SC12, `hard`: the third request is refused, the order stays delivered.
        """
        story = self.twice_revised(revision_limit_mode="hard")

        story.at("06-10 12:00")

        assert story.refused(ANA, ASK_REVISION) == ("revision_limit_reached",)
        assert story.row == ("delivered", "2026-06-16T13:00:00+02:00", "100/0/0/0")
        assert story.allowed == A_DELIV - cells("B request_revision")

    def test_unlimited(self) -> None:
        """
        SC12, no limit in the service: the third request is like any other.
        """
        story = self.twice_revised("unlimited", revision_limit_mode="hard")

        story.at("06-10 12:00").buyer(ASK_REVISION)

        assert story.state == "revision_requested"
        assert not story.order.revisions[-1].over_limit

    @pytest.mark.parametrize("leaves", [True, False])
    def test_late_redelivery(self, leaves: bool) -> None:
        """
        SC12: a late redelivery lets the buyer cancel, unless C10 says no.
        """
        story = accepted_in_june(
            terms={"revisions": 2},
            policies={"cancellation": {"late_cancel_after_first_delivery": leaves}},
        )
        story.at("06-04 12:00").seller(DELIVER)
        story.at("06-05 12:00").buyer(ASK_REVISION)
        story.at("06-05 18:00").seller(ef.AcceptRevision())

        story.at("06-10 18:00")

        assert story.row == (
            "in_progress + late",
            "2026-06-10T18:00:00+02:00",
            "100/0/0/0",
        )
        assert story.allowed == (A_LATE if leaves else A_PROG)
        if leaves:
            assert story.buyer(CANCEL).books == "0/100/0/0"
        else:
            assert story.refused(ANA, CANCEL) == ("consent_needed",)


class TestSC14:
    """
    A refused revision, and seven days to choose.
    """

    @pytest.fixture
    def story(self) -> Story:
        """
        Refused on Tuesday 2026-06-09 at 14:00.
        """
        story = accepted_in_june().at("06-04 12:00").seller(DELIVER)
        story.at("06-09 12:00").buyer(ASK_REVISION)
        return story.at("06-09 14:00").seller(REFUSE_REVISION)

    def test_refused(self, story: Story) -> None:
        """
        SC14: refused with a reason, the buyer has until Tuesday 06-16 14:00.
        """
        assert story.row == (
            "revision_refused",
            "2026-06-16T14:00:00+02:00",
            "100/0/0/0",
        )
        assert story.allowed == A_RREF

    def test_a_reason_is_needed(self) -> None:
        """
        SC14: a refusal without a reason cannot even be built.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            ef.RefuseRevision(reason=" ")

        assert caught.value.field == "reason"

    def test_dispute_one_second_before(self, story: Story) -> None:
        """
        SC14 a: a second before the end, the buyer may still go to a mediator.
        """
        story.at("06-16 13:59:59").buyer(DISPUTE)

        assert story.row == ("disputed", "", "100/0/0/0")
        assert story.allowed == A_DISP_UNASSIGNED
        assert story.mediator(ASSIGN).allowed == A_DISP

    def test_silence(self, story: Story) -> None:
        """
        SC14 b: at the end, silence pays the seller.
        """
        story.at("06-16 14:00").sweep()

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending == ("choice_expired", "complete_silently", "", False)
        assert story.allowed == A_DONE

    def test_seller_cancels(self, story: Story) -> None:
        """
        SC14 c: the seller may give up, and it shows on his profile.
        """
        story.at("06-10 09:00").seller(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.ending == ("seller_cancelled", "cancel_order", "seller", True)
        assert story.allowed == A_CANC | cells("O excuse_cancellation")


class TestSC15:
    """
    A mediator divides, with fees.
    """

    @pytest.fixture
    def story(self) -> Story:
        """
        Disputed on Saturday 2026-06-06: 120.00 of work, 6.00 and 0.30 on top.
        """
        story = Story(
            "2026-06-01T10:00:00+02:00",
            add_ons=[ef.AddOn(title="Vector file", price=euros("20"))],
            policies={
                "fees": {
                    "buyer_fee": ef.Fee(bps=500),
                    "bank_fee": ef.Fee(flat=euros("0.30")),
                }
            },
        )
        story.at("06-01 11:00").seller(ACCEPT)
        story.at("06-04 11:00").seller(DELIVER)
        story.at("06-05 09:00").buyer(ASK_REVISION)
        story.at("06-05 10:00").seller(REFUSE_REVISION)
        return story

    def ruled(self, story: Story, ruling: Any) -> Story:
        """
        Let the mediator rule on Tuesday 2026-06-09.
        """
        story.at("06-06 09:00").buyer(DISPUTE)
        story.at("06-08 09:00").mediator(ASSIGN)
        story.at("06-09 09:00")
        return story.mediator(
            ef.RuleDispute(ruling=ruling, reason="half of it is good")
        )

    def test_split(self, story: Story) -> None:
        """
        SC15: 45.00 back, the seller gets the rest of the work, fees are kept.
        """
        assert story.books == "126.3/0/0/0"
        assert story.state == "revision_refused"
        assert story.allowed == A_RREF

        story.at("06-06 09:00").buyer(DISPUTE)

        assert story.row == ("disputed", "", "126.3/0/0/0")
        assert story.allowed == A_DISP_UNASSIGNED

        story.at("06-08 09:00").mediator(ASSIGN)

        assert story.row == ("disputed", "", "126.3/0/0/0")
        assert story.allowed == A_DISP

        story.at("06-09 09:00").mediator(
            ef.RuleDispute(ruling=ef.Split(to_buyer=euros("45")), reason="half")
        )

        assert story.row == ("completed", "", "0/45/75/6.3")
        assert story.allowed == A_DONE

    def test_above_the_cap(self, story: Story) -> None:
        """
        SC15: 120.01 is a cent more than there is to divide; 120.00 is not.
        """
        story.at("06-06 09:00").buyer(DISPUTE).mediator(ASSIGN)

        too_much = ef.RuleDispute(ruling=ef.Split(to_buyer=euros("120.01")), reason="x")

        assert story.refused(MIA, too_much) == ("amount_above_maximum",)
        assert story.row == ("disputed", "", "126.3/0/0/0")
        story.mediator(
            ef.RuleDispute(ruling=ef.Split(to_buyer=euros("120")), reason="x")
        )
        assert story.books == "0/120/0/6.3"

    def test_full_refund(self, story: Story) -> None:
        """
        SC15: a full refund gives the fees back too.
        """
        self.ruled(story, ef.FullRefund())

        assert story.row == ("cancelled", "", "0/126.3/0/0")
        assert story.allowed == A_CANC

    def test_pay_seller(self, story: Story) -> None:
        """
        SC15: the seller gets all of the work, the platform its fees.
        """
        self.ruled(story, ef.PaySeller())

        assert story.row == ("completed", "", "0/0/120/6.3")
        assert story.allowed == A_DONE

    @pytest.mark.parametrize(
        "ruling",
        [ef.Split(to_buyer=euros("45")), ef.FullRefund(), ef.PaySeller()],
        ids=lambda ruling: type(ruling).__name__,
    )
    def test_second_decision(self, story: Story, ruling: Any) -> None:
        """
        SC15: a ruling is final, whatever it was.
        """
        books = self.ruled(story, ruling).books

        again = ef.RuleDispute(ruling=ef.FullRefund(), reason="on second thoughts")

        assert "order_ended" in story.refused(MIA, again)
        assert story.books == books


class TestSC17:
    """
    A partial refund by agreement.
    """

    def propose(self, amount: str) -> ef.ProposePartialRefund:
        """
        Propose so many euros back.
        """
        return ef.ProposePartialRefund(amount=euros(amount), reason="part of it")

    def test_agreed(self) -> None:
        """
        SC17: proposed, withdrawn, proposed again, accepted; the order goes on.
        """
        story = accepted_in_june()
        on_time = "2026-06-07T12:00:00+02:00"
        proposed = A_PROG - cells("BS propose_partial_refund") | cells(
            "B withdraw_partial_refund",
            "S accept_partial_refund",
            "S refuse_partial_refund",
        )

        story.at("06-03 09:00").buyer(self.propose("30"))

        assert story.row == ("in_progress", on_time, "100/0/0/0")
        assert story.allowed == proposed

        story.at("06-03 09:05").buyer(ef.WithdrawPartialRefund())

        assert story.row == ("in_progress", on_time, "100/0/0/0")
        assert story.allowed == A_PROG

        story.at("06-03 09:06").buyer(self.propose("25"))

        assert story.row == ("in_progress", on_time, "100/0/0/0")
        assert story.allowed == proposed

        story.at("06-03 10:00").seller(ef.AcceptPartialRefund())

        assert story.row == ("in_progress", on_time, "75/25/0/0")
        assert story.allowed == A_PROG

        story.at("06-03 10:01")

        assert story.refused(LUC, self.propose("80")) == ("amount_above_maximum",)
        assert story.row == ("in_progress", on_time, "75/25/0/0")
        assert story.allowed == A_PROG

        story.at("06-05 12:00").seller(DELIVER)
        story.at("06-06 12:00").buyer(APPROVE)

        assert story.row == ("completed", "", "0/25/75/0")
        assert story.allowed == A_DONE
        assert story.money_moves() == [("refund", "25"), ("pay_out", "75")]

    def test_cancelled_afterwards(self) -> None:
        """
        SC17, branch: only what is still held goes back a second time.
        """
        story = accepted_in_june().buyer(self.propose("25"))
        story.seller(ef.AcceptPartialRefund())

        story.at("06-04 09:00").seller(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.money_moves() == [("refund", "25"), ("refund", "75")]

    def test_mediator_only(self) -> None:
        """
        SC17, `mediator_only`: every proposal is refused, by either side.
        """
        story = accepted_in_june(
            policies={"partial_refunds": {"partial_refund": "mediator_only"}}
        )

        assert story.refused(ANA, self.propose("30")) == ("mediator_only",)
        assert story.refused(LUC, self.propose("30")) == ("mediator_only",)
        assert story.allowed == A_PROG - cells("BS propose_partial_refund")


CANCELS = {
    "pending": ("refused", "seller", False, ("acceptance_rate", "visibility")),
    "in_progress": ("seller_cancelled", "seller", True, ("completion_rate",)),
    "cancellation_requested": ("by_consent", "", False, ("completion_rate",)),
    "revision_requested": ("seller_cancelled", "seller", True, ("completion_rate",)),
    "revision_refused": ("seller_cancelled", "seller", True, ("completion_rate",)),
}
WITH_DELIVERED = {
    "cancellation": {"seller_cancel_states": {*CANCELS, "delivered"}},
}


class TestSC20:
    """
    Where the seller may cancel, and what is final.
    """

    @pytest.mark.parametrize("state", sorted(CANCELS))
    @pytest.mark.parametrize(
        "policies", [{}, WITH_DELIVERED], ids=["default", "with delivered"]
    )
    def test_cancels(self, state: str, policies: dict[str, Any]) -> None:
        """
        SC20: the seller cancels alone; everything goes back, a rate falls.
        """
        cause, whose, public, statistics = CANCELS[state]
        story = IN[state](policies=policies)

        story.seller(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.ending == (cause, "cancel_order", whose, public)
        assert story.order.ending is not None
        assert story.order.ending.statistics == statistics
        assert story.order.cancellation is None

    def test_cancels_late(self) -> None:
        """
        SC20: lateness does not matter to the seller's right.
        """
        story = accepted_in_june().at("06-08 12:00")

        story.seller(CANCEL)

        assert story.books == "0/100/0/0"
        assert story.ending == ("seller_cancelled", "cancel_order", "seller", True)

    def test_delivered_default(self) -> None:
        """
        SC20: once delivered, the buyer must act first.
        """
        story = IN["delivered"]()

        refusal = story.refused(LUC, CANCEL)

        assert refusal == ("buyer_must_act_first",)
        assert story.books == "100/0/0/0"
        (blocker,) = story.option(LUC, ef.CancelOrder).blockers
        assert [way.command for way in blocker.unblocked_by] == ["request_revision"]

    def test_delivered_added(self) -> None:
        """
        SC20, seed004 literally: the seller may cancel a delivered order too.
        """
        story = IN["delivered"](policies=WITH_DELIVERED)

        story.seller(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")

    @pytest.mark.parametrize(
        "state", ["disputed", "frozen", "completed", "cancelled", "expired"]
    )
    @pytest.mark.parametrize(
        "policies", [{}, WITH_DELIVERED], ids=["default", "with delivered"]
    )
    def test_never(self, state: str, policies: dict[str, Any]) -> None:
        """
        SC20: neither in others' hands nor after the end; the books stay.
        """
        story = IN[state](policies=policies)
        before = story.row

        refusal = story.refused(LUC, CANCEL)

        ended = state in ("completed", "cancelled", "expired")
        assert refusal[-1] == ("order_ended" if ended else "not_in_this_state")
        assert story.row == before

    def test_cancelled_is_final(self) -> None:
        """
        SC20: from `cancelled` nothing leads out, for nobody, staff included.
        """
        story = IN["cancelled"]()

        assert story.allowed == A_CANC | cells("O excuse_cancellation")
        leaving = {
            str(to)
            for (state, _), rows in story.process.by_cell.items()
            if state == "cancelled"
            for row in rows
            for to in row.to.values()
            if isinstance(to, str)
        }
        assert leaving == set()

    def test_what_remains_of_cancelled(self) -> None:
        """
        SC20: money that comes is booked and returned; staff may excuse, once.
        """
        story = IN["cancelled"]()

        story.provider(
            ef.ConfirmPayment(payment=ef.Payment("card", "pay-2", euros("100")))
        )
        story.staff(ef.ExcuseCancellation(reason="flood"))

        assert story.row == ("cancelled", "", "0/200/0/0")
        assert story.ending == ("seller_cancelled", "cancel_order", "seller", False)
        assert story.refused(OPS, ef.ExcuseCancellation(reason="again")) == (
            "nothing_to_excuse",
        )

    def test_the_last_message(self) -> None:
        """
        SC20: a message is possible until a millisecond before seven days.
        """
        story = IN["cancelled"]()
        closes_at = end_of(story.clock.now(), ef.Conversation().chat_after_cancelled)

        story.after(days=6, hours=23, minutes=59, seconds=59, milliseconds=999)
        story.seller(HELLO).buyer(HELLO)
        story.after(milliseconds=1)

        assert story.clock.now() == closes_at
        assert story.refused(ANA, HELLO) == ("conversation_closed",)
        assert story.refused(LUC, HELLO) == ("conversation_closed",)
