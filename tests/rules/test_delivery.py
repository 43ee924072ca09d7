"""
Delivery, lateness and silence: R15, R23, R26 to R28, R50 to R55; and how deadlines
behave.
"""

from __future__ import annotations

from typing import Any

import pytest

import escrowflow as ef
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASK_CANCELLATION,
    ASK_REVISION,
    CANCEL,
    DELIVER,
    DISPUTE,
    HELLO,
    LUC,
    OPS,
    REVIEW,
    cancellation_requested,
    completed,
    delivered,
    in_progress,
    late,
    paris,
    pending,
    revision_refused,
    revision_requested,
)


class TestWork:
    """
    From acceptance to delivery.
    """

    def test_r15_after_acceptance(self) -> None:
        """
        R15: held, both talk, and a deadline runs.
        """
        story = in_progress()

        assert (story.state, story.books) == ("in_progress", "100/0/0/0")
        assert story.order.conversation.open
        assert [name for name, _ in story.waits] == ["delivery"]

    def test_r15_after_an_accepted_revision(self) -> None:
        """
        R15: an accepted revision is work again, with a deadline again.
        """
        story = revision_requested().seller(ef.AcceptRevision())

        assert (story.state, story.books) == ("in_progress", "100/0/0/0")
        assert story.order.conversation.open
        assert [name for name, _ in story.waits] == ["delivery"]

    def test_r23_no_extension(self) -> None:
        """
        R23, R24: no command of the parties moves a deadline; nor does a message.
        """
        story = in_progress()
        due = story.due

        story.seller(HELLO).buyer(HELLO)

        assert story.due == due
        for actor in (ANA, LUC):
            names = {option.name for option in story.engine.options(story.id, by=actor)}
            assert not any("extend" in name or "extension" in name for name in names)
        assert story.refused(LUC, ef.ExtendDeadlines(window="P1D", reason="x")) == (
            "not_your_command",
        )

    def test_r26_late(self) -> None:
        """
        R26: the time over, the order is late; held, open, and both are told.
        """
        story = in_progress("2026-06-01T10:00:00+02:00")

        story.at("06-06 12:00").sweep()

        assert story.row == (
            "in_progress + late",
            "2026-06-06T12:00:00+02:00",
            "100/0/0/0",
        )
        assert story.order.ever_late
        assert story.told("order_marked_late") == {"buyer", "seller"}

    def test_r26_no_further_limit(self) -> None:
        """
        R26: a late order waits for months.
        """
        story = late().after(days=300)

        story.sweep()

        assert story.state == "in_progress + late"
        assert story.books == "100/0/0/0"

    def test_r28_delivered_late(self) -> None:
        """
        R28: late work may be delivered, and is late for ever.
        """
        story = late().seller(DELIVER)
        assert story.state == "delivered + late"

        story.buyer(APPROVE)

        assert story.books == "0/0/100/0"
        assert story.order.ever_late
        assert story.order.deliveries[0].late

    def test_gap_late_is_cleared_by_a_new_deadline(self) -> None:
        """
        Gap: a new, later deadline clears `late`, never `ever_late`.
        """
        story = late().seller(DELIVER).buyer(ASK_REVISION)
        before = story.state

        story.seller(ef.AcceptRevision())

        assert (before, story.state) == ("revision_requested + late", "in_progress")
        assert story.order.ever_late
        assert story.refused(ANA, CANCEL) == ("consent_needed",)

    def test_gap_due_stays_once_passed(self) -> None:
        """
        Gap: `due_at` keeps showing a passed end, `deadlines` only what is to come.
        """
        story = in_progress()
        due = story.due

        story.after(days=30)

        assert story.due == due
        assert story.waits == []

    @pytest.mark.parametrize("empty", [{}, {"note": "  "}, {"files": ()}])
    def test_gap_empty_delivery(self, empty: dict[str, Any]) -> None:
        """
        Gap: a delivery with neither file nor note is wrong by itself.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.DeliverOrder(**empty)

    @pytest.mark.parametrize(
        "command", [ef.DeliverOrder(note="done"), ef.DeliverOrder(files=("a",))]
    )
    def test_gap_file_or_note(self, command: ef.DeliverOrder) -> None:
        """
        Gap: a file or a note is enough.
        """
        story = in_progress()

        assert story.seller(command).state == "delivered"
        (delivery,) = story.order.deliveries
        assert (delivery.files, str(delivery.note)) == (
            command.files,
            str(command.note),
        )

    def test_c6_an_open_request_comes_first(self) -> None:
        """
        C6: where nobody delivers while a cancellation is asked for, either side can
        make an end of the asking.
        """
        story = cancellation_requested(
            policies={"delivery": {"deliver_during_cancel_request": False}}
        )
        both = ["seller refuse_cancellation", "buyer withdraw_cancellation"]

        assert story.blocked(LUC, ef.DeliverOrder) == [
            ("cancellation_unanswered", {}, both)
        ]


class TestVerification:
    """
    The buyer has seven days.
    """

    def test_r50_delivered(self) -> None:
        """
        R50: the delivery time stops, seven days start, nobody may write.
        """
        story = in_progress().at("06-03 12:00").seller(DELIVER)

        assert story.row == ("delivered", "2026-06-10T12:00:00+02:00", "100/0/0/0")
        assert "delivery" not in [name for name, _ in story.waits]
        assert not story.order.conversation.open
        assert story.refused(ANA, HELLO) == ("not_in_this_state",)
        assert story.refused(LUC, HELLO) == ("not_in_this_state",)
        assert story.told("order_delivered") == {"buyer"}

    def test_r50_delivery_stops_lateness(self) -> None:
        """
        R50: what was delivered in time does not turn late while it is looked at.
        """
        story = delivered().after(days=6, hours=23)

        assert story.state == "delivered"
        assert not story.order.ever_late

    def test_r51_cannot_be_prolonged(self) -> None:
        """
        R51: neither party has a command that buys time, but a revision request.
        """
        story = delivered()
        allowed = {entry for entry in story.allowed if entry[0] in "BS"}

        assert allowed == {
            "B approve_delivery",
            "B leave_review",
            "B request_revision",
            "B file_claim",
            "S file_claim",
            "B propose_partial_refund",
            "S propose_partial_refund",
        }

    def test_r51_a_claim_buys_no_time(self) -> None:
        """
        R51: a claim and a proposal leave the seven days as they are.
        """
        story = delivered()
        due = story.due

        story.buyer(ef.FileClaim(reason="look"))
        story.buyer(ef.ProposePartialRefund(amount=ef.Money.of("5", "EUR"), reason="x"))

        assert story.due == due

    def test_r52_approved(self) -> None:
        """
        R52: approved, the seller is paid, and the seven days to talk begin.
        """
        story = delivered().buyer(APPROVE)

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending == ("approved", "approve_delivery", "", False)
        assert story.names[-2:] == ["delivery_approved", "order_completed"]
        assert story.order.conversation.open
        assert [name for name, _ in story.waits] == ["conversation"]
        assert story.option(ANA, ef.LeaveReview).allowed

    def test_c13_a_review_is_what_completes(self) -> None:
        """
        C13: there, who wants to approve is told to leave a review.
        """
        story = delivered(policies={"completion": {"completion_triggers": {"review"}}})

        assert story.why(ANA, APPROVE) == [
            ("review_completes", {}, ["buyer leave_review"])
        ]

    def test_r53_reviewed(self) -> None:
        """
        R53: a review completes as well.
        """
        story = delivered().buyer(REVIEW)

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending == ("reviewed", "leave_review", "", False)

    def test_r54_silence(self) -> None:
        """
        R54: seven days of silence pay the seller.
        """
        story = in_progress().at("06-03 12:00").seller(DELIVER)

        story.at("06-20 12:00").sweep()

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending == ("silence", "complete_silently", "", False)
        assert paris(story.order.closed_at) == "2026-06-10T12:00:00+02:00"

    def test_r64_silence_after_a_refusal(self) -> None:
        """
        R64: so do seven days of silence after a refused revision, and they are told
        apart.
        """
        story = revision_refused().after(days=7)

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.ending == ("choice_expired", "complete_silently", "", False)

    def test_r54_reminders(self) -> None:
        """
        R54: the buyer is reminded three days and one day before.
        """
        story = in_progress().at("06-03 12:00").seller(DELIVER)

        assert story.waits == [
            ("verification_reminder", "2026-06-07T12:00:00+02:00"),
            ("verification_reminder", "2026-06-09T12:00:00+02:00"),
            ("verification", "2026-06-10T12:00:00+02:00"),
        ]
        story.at("06-09 12:00").sweep()
        assert story.names.count("verification_reminded") == 2
        assert story.told("verification_reminded") == {"buyer"}

    @pytest.mark.parametrize(
        "command", [CANCEL, ASK_CANCELLATION, ASK_REVISION, APPROVE, DISPUTE]
    )
    def test_r55_over(self, command: ef.Command) -> None:
        """
        R55: after completion nothing is refunded or reopened.
        """
        story = completed()

        assert story.refused(ANA, command)[-1] == "order_ended"
        assert story.books == "0/0/100/0"

    def test_r55_staff_neither(self) -> None:
        """
        R55: not even staff reopens a completed order.
        """
        story = completed()

        for command in (DISPUTE, ef.FreezeOrder(reason="x"), ef.UnfreezeOrder()):
            assert story.refused(OPS, command)[-1] == "order_ended"


class TestDeadlines:
    """
    How deadlines behave, whatever they are about.
    """

    def test_gap_exact_instant(self) -> None:
        """
        Gap: before the deadline an act is in time, at the deadline the timer wins.
        """
        story = delivered().after(days=7, microseconds=-1)
        assert story.option(ANA, ef.RequestRevision).allowed

        story.after(microseconds=1)

        assert story.refused(ANA, ASK_REVISION)[0] == "deadline_passed"
        assert story.state == "completed"

    def test_gap_order_of_due_instants(self) -> None:
        """
        Gap: what fell due while nobody ran comes in the order of its instants.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", delivery="P1D")
        story.seller(ef.SendOffer(title="More", price=ef.Money.of("5", "EUR")))
        story.buyer(ASK_CANCELLATION)

        report = story.after(days=30).sweep()

        assert story.names[-3:] == [
            "order_marked_late",
            "dispute_unlocked",
            "offer_expired",
        ]
        assert report.moves == 3

    def test_gap_ties_by_urgency(self) -> None:
        """
        Gap: at one instant: an ending before flags, flags before side objects.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", delivery="P7D")
        story.seller(ef.SendOffer(title="More", price=ef.Money.of("5", "EUR")))
        story.after(days=5).buyer(ASK_CANCELLATION)

        story.after(days=30).sweep()

        # Late, unlocked and the offer's end: all on 06-08 at 12:00.
        moments = {
            recorded.name: recorded.effective_at
            for recorded in story.engine.history(story.id)[-3:]
        }
        assert len(set(moments.values())) == 1
        assert story.names[-3:] == [
            "order_marked_late",
            "dispute_unlocked",
            "offer_expired",
        ]

    def test_gap_expiry_comes_first(self) -> None:
        """
        Gap: at one instant the expiry of the order comes before everything.
        """
        story = pending(policies={"lifetime": {"order_cap": "PT48H"}})

        story.after(hours=48).sweep()

        assert story.state == "expired"
        assert "order_cancelled" not in story.names

    def test_gap_completion_before_reminders(self) -> None:
        """
        Gap: a reminder due at the very end of the window is not recorded after it.
        """
        story = delivered(policies={"completion": {"verification_window": "PT24H"}})
        assert [name for name, _ in story.waits] == ["verification"]

        story.after(days=1).sweep()

        assert story.names[-1] == "order_completed"

    def test_settled_before_any_command(self) -> None:
        """
        A refused command, too, first settles what is due, at its own instant.
        """
        story = in_progress("2026-06-01T10:00:00+02:00").at("06-20 12:00")

        story.refused(OPS, ef.UnfreezeOrder())

        last = story.engine.history(story.id)[-1]
        assert last.name == "order_marked_late"
        assert paris(last.effective_at) == "2026-06-06T12:00:00+02:00"
        assert last.recorded_at == story.clock.now()

    def test_reading_writes_nothing(self) -> None:
        """
        Reading shows what is due as applied, and records nothing.
        """
        story = delivered()
        written = len(story.names)

        story.after(days=7)

        assert story.state == "completed"
        assert len(story.names) == written
        assert story.engine.next_due_at() is not None

    def test_second_order_is_its_own(self) -> None:
        """
        What happens to one order does not touch another of the same people.
        """
        story = pending()
        other = story.engine.place(
            ef.PlaceOrder(
                seller_id="luc",
                price=ef.Money.of("7", "EUR"),
                payment=ef.Payment("card", "pay-1"),
                terms=ef.Terms(delivery_window="P5D"),
            ),
            by=ANA,
        ).order

        story.seller(ACCEPT)

        assert story.engine.order(other.id).state == "pending"
