"""
Cancellation: R12, R16, R27, R31 to R43 and R45.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import escrowflow as ef
from escrowflow.events import DisputeUnlocked
from escrowflow.rules import Alone, ByConsent, No, Right, Situation
from tests.rules.test_settlement import HalfBack
from tests.story import (
    ACCEPT,
    ANA,
    ASK_CANCELLATION,
    CANCEL,
    DELIVER,
    DISPUTE,
    HELLO,
    IN,
    LUC,
    OPS,
    REFUSE_CANCELLATION,
    awaiting_payment,
    cancellation_requested,
    cancelled,
    delivered,
    euros,
    in_progress,
    late,
    paris,
    pending,
    revision_refused,
    revision_requested,
)


class Granted(HalfBack):
    """
    Asking is enough, and the seller keeps three tenths.
    """

    def request(self, situation: Situation) -> Right:
        """
        Always.
        """
        return Alone(to_seller=ef.Share.percent(30))


class Stay(HalfBack):
    """
    The buyer needs a consent that he cannot ask for.
    """

    def cancel(self, situation: Situation) -> Right:
        """
        With the seller's consent.
        """
        return ByConsent()

    def request(self, situation: Situation) -> Right:
        """
        Not before something was delivered.
        """
        return (
            ByConsent() if situation.delivered else No("request_cancellation_instead")
        )


FEES = {
    "fees": {
        "buyer_fee": ef.Fee(bps=500),
        "seller_fee": ef.Fee(bps=1000),
        "bank_fee": ef.Fee(flat=euros("0.30")),
    }
}


class TestBuyer:
    """
    What the buyer may do alone.
    """

    @pytest.mark.parametrize("hours", [0, 1, 47.999])
    def test_r12_any_time_in_pending(self, hours: float) -> None:
        """
        R12: before acceptance he may leave at any time, with everything, at once.
        """
        story = pending().after(hours=hours)

        story.buyer(CANCEL)

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.ending == ("buyer_withdrew", "cancel_order", "buyer", False)
        assert story.money_moves() == [("refund", "100")]

    def test_r12_statistics(self) -> None:
        """
        R12: the seller's acceptance rate and visibility suffer all the same.
        """
        story = pending().buyer(CANCEL)

        assert story.order.ending is not None
        assert story.order.ending.statistics == ("acceptance_rate", "visibility")

    def test_r16_on_time(self) -> None:
        """
        R16: on time, the buyer cannot cancel alone; he learns what he can do, and when.
        """
        story = in_progress("2026-06-01T10:00:00+02:00")

        codes = story.refused(ANA, CANCEL)

        assert codes == ("consent_needed",)
        assert story.books == "100/0/0/0"
        (blocker,) = story.option(ANA, ef.CancelOrder).blockers
        assert [way.command for way in blocker.unblocked_by] == ["request_cancellation"]
        assert paris(blocker.unblocked_at) == "2026-06-06T12:00:00+02:00"

    def test_r27_late(self) -> None:
        """
        R27: late, the buyer leaves alone, and the seller gets nothing.
        """
        story = late()

        story.buyer(CANCEL)

        assert story.books == "0/100/0/0"
        assert story.ending == ("late", "cancel_order", "seller", False)
        assert story.order.ending is not None
        assert story.order.ending.statistics == ("completion_rate",)

    def test_r27_late_with_an_open_request(self) -> None:
        """
        R27: also while a request of his is open.
        """
        story = cancellation_requested().after(days=6)

        story.buyer(CANCEL)

        assert story.books == "0/100/0/0"

    @pytest.mark.parametrize(
        "state", ["delivered", "revision_requested", "revision_refused", "disputed"]
    )
    def test_not_by_the_buyer_alone(self, state: str) -> None:
        """
        R16, R56: once delivered, the buyer has other ways.
        """
        story = IN[state]()

        assert "not_in_this_state" in story.refused(ANA, CANCEL)
        assert story.books == "100/0/0/0"

    def test_r12_with_a_reason(self) -> None:
        """
        R12: what he writes is kept with the ending.
        """
        story = pending().buyer(ef.CancelOrder(reason="changed my mind"))

        assert story.order.ending is not None
        assert story.order.ending.reason == "changed my mind"

    def test_r16_while_a_request_is_open(self) -> None:
        """
        R16: once he has asked, it is the seller who can say yes.
        """
        story = cancellation_requested()

        (blocker,) = story.option(ANA, ef.CancelOrder).blockers

        assert blocker.code == "consent_needed"
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("accept_cancellation", LUC.role)
        ]

    def test_a_right_of_the_hosts_own(self) -> None:
        """
        A host may let the buyer leave on time, and share what is held; that is the
        buyer's doing then.
        """
        story = in_progress(policies={"cancellation": HalfBack()}).buyer(CANCEL)

        assert story.books == "0/50/50/0"
        assert story.ending == ("buyer_cancelled", "cancel_order", "buyer", False)

    def test_a_right_of_the_hosts_own_when_late(self) -> None:
        """
        The same once it is late: that is the seller's doing.
        """
        fees = {"buyer_fee": ef.Fee(bps=500), "buyer_bears": {"buyer_fee"}}
        story = late(policies={"cancellation": HalfBack(), "fees": fees})

        story.buyer(CANCEL)

        assert story.books == "0/55/50/0"
        assert story.ending == ("late", "cancel_order", "seller", False)


class TestAskingIsEnough:
    """
    C11, `request_auto_accepted`: on a late order, and where a host says so.
    """

    POLICIES: ClassVar[dict[str, Any]] = {
        "cancellation": {"late_cancel": "request_auto_accepted"}
    }

    def test_c11_late(self) -> None:
        """
        C11: who asks on a late order has everything back at once, for the delay.
        """
        story = late(policies=self.POLICIES)

        story.buyer(ef.RequestCancellation(reason="too late"))

        assert story.row == ("cancelled + late", "", "0/100/0/0")
        assert story.ending == ("late", "request_cancellation", "seller", False)
        assert story.order.ending is not None
        assert story.order.ending.reason == "too late"
        assert story.names[-2:] == ["cancellation_requested", "order_cancelled"]

    def test_c11_not_alone(self) -> None:
        """
        C11: he has to ask; that is what he is told.
        """
        (blocker,) = late(policies=self.POLICIES).option(ANA, ef.CancelOrder).blockers

        assert blocker.code == "request_cancellation_instead"
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("request_cancellation", ANA.role)
        ]

    def test_c11_an_open_request_is_made_anew(self) -> None:
        """
        C11: a request that was made on time is withdrawn first.
        """
        story = cancellation_requested(policies=self.POLICIES).after(days=6)

        (blocker,) = story.option(ANA, ef.CancelOrder).blockers

        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("withdraw_cancellation", ANA.role)
        ]
        story.buyer(ef.WithdrawCancellation(), ASK_CANCELLATION)
        assert story.books == "0/100/0/0"

    @pytest.mark.parametrize(
        ("begin", "ending", "books"),
        [
            (
                in_progress,
                ("by_consent", "request_cancellation", "", False),
                "0/70/30/0",
            ),
            (late, ("late", "request_cancellation", "seller", False), "0/70/30/0"),
        ],
        ids=["on time", "late"],
    )
    def test_a_right_of_the_hosts_own(
        self, begin: Any, ending: tuple[str, str, str, bool], books: str
    ) -> None:
        """
        A host may take any request for a cancellation, and share what is held.
        """
        story = begin(policies={"cancellation": Granted()})

        story.buyer(ASK_CANCELLATION)

        assert story.ending == ending
        assert story.books == books

    def test_nobody_need_ask(self) -> None:
        """
        Where there is no right to ask, that is said, with no way out.
        """
        story = in_progress(policies={"cancellation": Stay()})

        (blocker,) = story.option(ANA, ef.CancelOrder).blockers
        assert (blocker.code, blocker.unblocked_by) == ("consent_needed", ())
        (blocker,) = story.option(ANA, ef.RequestCancellation).blockers
        assert blocker.code == "request_cancellation_instead"
        assert blocker.unblocked_by == ()


class TestRequest:
    """
    Asking for a cancellation.
    """

    def test_r31_request(self) -> None:
        """
        R31: the seller has 48 hours, is told, and the delivery time runs on.
        """
        story = in_progress("2026-06-01T10:00:00+02:00").at("06-02 09:00")

        story.buyer(ASK_CANCELLATION)

        assert story.row == (
            "cancellation_requested",
            "2026-06-04T09:00:00+02:00",
            "100/0/0/0",
        )
        assert ("delivery", "2026-06-06T12:00:00+02:00") in story.waits
        assert story.told("cancellation_requested") == {"seller"}
        assert story.order.conversation.open

    def test_r31_with_reason(self) -> None:
        """
        R31: a request has a reason.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.RequestCancellation(reason="")

    @pytest.mark.parametrize("state", ["pending", "delivered", "revision_refused"])
    def test_r31_only_at_work(self, state: str) -> None:
        """
        R31, C12: by default there is nothing to ask for elsewhere.
        """
        story = IN[state]()

        assert story.refused(ANA, ASK_CANCELLATION)

    def test_r32_accepted(self) -> None:
        """
        R32: accepted, everything paid goes back at once, to the method used.
        """
        story = cancellation_requested(tip=euros("20"), policies=FEES)

        story.seller(ef.AcceptCancellation())

        assert story.row == ("cancelled", "", "0/125.3/0/0")
        assert story.ending == ("by_consent", "accept_cancellation", "", False)
        assert story.names[-2:] == ["cancellation_accepted", "order_cancelled"]
        assert story.order.refunds[0].payment.method == "paypal"
        assert story.order.ending is not None
        assert story.order.ending.statistics == ("completion_rate",)

    def test_r33_refused(self) -> None:
        """
        R33: refused with a reason, the order goes on as it was.
        """
        story = cancellation_requested("2026-06-01T10:00:00+02:00")

        story.after(hours=5).seller(REFUSE_CANCELLATION)

        assert story.row == ("in_progress", "2026-06-06T12:00:00+02:00", "100/0/0/0")
        assert [name for name, _ in story.waits] == ["delivery"]
        assert story.order.cancellation is None
        assert story.reasons == [ASK_CANCELLATION.reason, REFUSE_CANCELLATION.reason]
        # He may go on, or call a mediator (newer pages).
        assert story.option(ANA, ef.FileClaim).allowed

    def test_r33_with_reason(self) -> None:
        """
        R33: a refusal has a reason.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.RefuseCancellation(reason="")

    def test_r34_unanswered(self) -> None:
        """
        R34: 48 hours unanswered, the request stays and a dispute is possible.
        """
        story = cancellation_requested(delivery="P20D")

        story.after(hours=48).sweep()

        assert story.state == "cancellation_requested"
        assert story.order.cancellation is not None
        assert story.order.cancellation.unlocked
        unlocked = story.engine.history(story.id)[-1].event
        assert isinstance(unlocked, DisputeUnlocked)
        assert unlocked.request == "cancellation"
        assert story.buyer(DISPUTE).state == "disputed"

    def test_r34_not_before(self) -> None:
        """
        R34: before, the buyer is told from when on.
        """
        story = cancellation_requested("2026-06-01T10:00:00+02:00")

        (blocker,) = story.option(ANA, ef.OpenDispute).blockers

        assert blocker.code == "answer_still_due"
        assert paris(blocker.unblocked_at) == "2026-06-03T13:00:00+02:00"

    def test_r35_second_refusal(self) -> None:
        """
        R35: the second refusal opens a dispute, in one step.
        """
        story = cancellation_requested().seller(REFUSE_CANCELLATION)
        story.buyer(ASK_CANCELLATION)

        story.seller(REFUSE_CANCELLATION)

        assert story.row == ("disputed", "", "100/0/0/0")
        assert story.order.dispute is not None
        assert story.order.dispute.cause == "cancellations_refused"
        assert story.order.dispute.reason == REFUSE_CANCELLATION.reason
        assert story.order.cancellations_refused == 2

    def test_r35_not_once_delivered(self) -> None:
        """
        R35: where something was delivered, refusals open nothing by themselves.
        """
        story = cancellation_requested().seller(REFUSE_CANCELLATION, DELIVER)
        story.buyer(ef.RequestRevision(reason="blue")).seller(ef.AcceptRevision())

        story.buyer(ASK_CANCELLATION).seller(REFUSE_CANCELLATION)

        assert story.state == "in_progress"

    @pytest.mark.parametrize(
        "answer", [ef.AcceptCancellation(), REFUSE_CANCELLATION], ids=lambda c: c.name
    )
    def test_gap_late_answer(self, answer: ef.Command) -> None:
        """
        Gap: a late answer is heard until a dispute exists.
        """
        story = cancellation_requested(delivery="P30D").after(days=10)

        story.seller(answer)

        assert story.state in ("cancelled", "in_progress")

    def test_gap_no_answer_once_disputed(self) -> None:
        """
        Gap: once a dispute exists, the answer comes too late.
        """
        story = cancellation_requested().after(hours=48).buyer(DISPUTE)

        assert story.refused(LUC, ef.AcceptCancellation()) == ("not_in_this_state",)

    def test_gap_withdrawn(self) -> None:
        """
        Gap: the buyer may withdraw until it is answered; the delivery time ran on.
        """
        story = cancellation_requested("2026-06-01T10:00:00+02:00").after(days=3)

        story.buyer(ef.WithdrawCancellation())

        assert story.row == ("in_progress", "2026-06-06T12:00:00+02:00", "100/0/0/0")
        assert story.order.cancellations_refused == 0
        assert story.refused(ANA, ef.WithdrawCancellation()) == ("not_in_this_state",)

    def test_gap_late_during_the_request(self) -> None:
        """
        Gap: the delivery time keeps running, and the order turns late meanwhile.
        """
        story = cancellation_requested("2026-06-01T10:00:00+02:00")

        story.at("06-06 12:00")

        assert story.state == "cancellation_requested + late"
        assert story.seller(REFUSE_CANCELLATION).row == (
            "in_progress + late",
            "2026-06-06T12:00:00+02:00",
            "100/0/0/0",
        )

    def test_gap_no_delivery_meanwhile(self) -> None:
        """
        Gap: while a request is open, nothing can be delivered.
        """
        story = cancellation_requested()

        assert story.refused(LUC, DELIVER) == ("cancellation_unanswered",)

    @pytest.mark.parametrize("before", ["delivered", "revision_refused"])
    @pytest.mark.parametrize("meanwhile", [False, True])
    def test_gap_nothing_to_deliver(self, before: str, meanwhile: bool) -> None:
        """
        Gap, C12: what was handed over is not handed over again, to be rid of a request
        or of the buyer's choice.
        """
        policies = {
            "cancellation": {
                "cancel_request_states": {"delivered", "revision_refused"}
            },
            "delivery": {"deliver_during_cancel_request": meanwhile},
        }
        story = IN[before](policies=policies).buyer(ASK_CANCELLATION)

        assert story.refused(LUC, DELIVER) == ("not_in_this_state",)
        assert story.blocked(LUC, ef.DeliverOrder) == [
            (
                "not_in_this_state",
                {
                    "command": "deliver_order",
                    "state": before,
                    "states": ("in_progress",),
                },
                [],
            )
        ]

        assert story.buyer(ef.WithdrawCancellation()).state == before

    @pytest.mark.parametrize(
        ("before", "after"),
        [("delivered", "2026-06-11"), ("revision_refused", "2026-06-11")],
    )
    @pytest.mark.parametrize("ending", ["withdrawn", "refused"])
    def test_gap_window_stood_still(self, before: str, after: str, ending: str) -> None:
        """
        Gap, C12: from there the window stood still, and goes on with its time left.
        """
        policies = {
            "cancellation": {
                "cancel_request_states": {
                    "in_progress",
                    "delivered",
                    "revision_refused",
                }
            }
        }
        story = IN[before]("2026-06-01T10:00:00+02:00", policies=policies)
        left = story.order.due_at
        assert left is not None

        story.buyer(ASK_CANCELLATION).after(days=2)
        assert story.state == "cancellation_requested"
        if ending == "withdrawn":
            story.buyer(ef.WithdrawCancellation())
        else:
            story.seller(REFUSE_CANCELLATION)

        assert story.state == before
        assert story.order.due_at == left.add(days=2)
        assert story.due.startswith(after)

    def test_gap_at_least_a_day(self) -> None:
        """
        Gap, C12: what goes on has at least 24 hours left.
        """
        policies = {"cancellation": {"cancel_request_states": {"delivered"}}}
        story = delivered("2026-06-01T10:00:00+02:00", policies=policies)
        story.at("06-09 11:00").buyer(ASK_CANCELLATION)

        story.at("06-10 12:00").buyer(ef.WithdrawCancellation())

        assert story.row == ("delivered", "2026-06-11T12:00:00+02:00", "100/0/0/0")


class TestSeller:
    """
    What the seller may do alone.
    """

    @pytest.mark.parametrize(
        "state",
        [
            "pending",
            "in_progress",
            "cancellation_requested",
            "revision_requested",
            "revision_refused",
        ],
    )
    def test_r36_alone(self, state: str) -> None:
        """
        R36: without the buyer's consent, everything back, nothing for the seller.
        """
        story = IN[state](tip=euros("20"), policies=FEES)

        story.seller(CANCEL)

        assert story.row == ("cancelled", "", "0/125.3/0/0")

    @pytest.mark.parametrize("state", ["delivered", "disputed", "frozen"])
    def test_r37_button_hidden(self, state: str) -> None:
        """
        R37: where the buyer or others must act first, there is no button.
        """
        story = IN[state]()

        assert not story.option(LUC, ef.CancelOrder).allowed

    def test_r37_the_buyer_first(self) -> None:
        """
        R37: once delivered, it is the buyer who opens it again, by asking for changes.
        """
        codes = delivered().refused(LUC, CANCEL)
        (blocker,) = delivered().option(LUC, ef.CancelOrder).blockers

        assert codes == (blocker.code,) == ("buyer_must_act_first",)
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("request_revision", ANA.role)
        ]

    def test_r11_before_acceptance(self) -> None:
        """
        R11: before it was accepted, his cancellation is a refusal.
        """
        story = pending().seller(ef.CancelOrder(reason="no time"))

        assert story.ending == ("refused", "cancel_order", "seller", False)
        assert story.order.ending is not None
        assert story.order.ending.reason == "no time"

    def test_r38_after_a_refused_revision(self) -> None:
        """
        R38: after a refused revision he may, and his completion rate falls.
        """
        story = revision_refused().seller(CANCEL)

        assert story.order.ending is not None
        assert story.order.ending.statistics == ("completion_rate",)

    def test_request_closed_as_accepted(self) -> None:
        """
        R36: with an open request, his cancellation is the answer to it.
        """
        story = cancellation_requested().seller(CANCEL)

        assert "cancellation_accepted" in story.names
        assert story.ending == ("by_consent", "cancel_order", "", False)


ENDINGS: list[tuple[str, ef.Actor, ef.Command]] = [
    ("pending", ANA, CANCEL),
    ("pending", LUC, ef.RefuseOrder(reason="no time")),
    ("in_progress", LUC, CANCEL),
    ("cancellation_requested", LUC, ef.AcceptCancellation()),
    ("revision_requested", LUC, CANCEL),
]
each_ending = pytest.mark.parametrize(
    ("state", "actor", "command"), ENDINGS, ids=lambda value: str(value)[:30]
)


class TestCancelled:
    """
    After a cancellation.
    """

    @each_ending
    def test_r39_all_of_it_at_once(
        self, state: str, actor: ef.Actor, command: ef.Command
    ) -> None:
        """
        R39: everything goes back automatically, at the instant of the cancellation.
        """
        story = IN[state](tip=euros("20"), policies=FEES)

        outcome = story.by(actor, command)

        assert story.books == "0/125.3/0/0"
        assert outcome.closed_at == story.clock.now()
        assert story.money_moves() == [("refund", "125.3")]
        assert [wait.name for wait in outcome.deadlines] == ["conversation"]

    def test_r39_cannot_be_reactivated(self) -> None:
        """
        R39: nobody brings it back, staff included.
        """
        story = cancelled()

        for actor in (ANA, LUC, OPS):
            for option in story.engine.options(story.id, by=actor):
                row = story.process.row("cancelled", option.command, actor.role)
                assert row is None or not option.allowed or row.to.keys() == {""}
        assert story.state == "cancelled"
        assert "order_ended" in story.refused(LUC, DELIVER)
        assert "order_ended" in story.refused(OPS, ef.UnfreezeOrder())

    def test_r40_no_pay_for_work_done(self) -> None:
        """
        R40: nothing on the cancelled order pays the seller; a new one does.
        """
        story = cancelled().seller(HELLO)

        again = story.engine.place(
            ef.PlaceOrder(
                seller_id="luc",
                price=euros("30"),
                payment=ef.Payment("card", "pay-1"),
                terms=ef.Terms(delivery_window="P1D"),
            ),
            by=ANA,
        )

        assert again.order.ledger.held == euros("30")
        assert story.order.ledger.released == euros("0")
        assert "order_ended" in story.refused(
            LUC, ef.SendOffer(title="what I did", price=euros("30"))
        )

    def test_r41_a_week_to_talk(self) -> None:
        """
        R41: the conversation is open for seven days, then it closes.
        """
        story = cancelled().after(days=7, microseconds=-1).seller(HELLO)

        story.after(microseconds=1)

        assert not story.order.conversation.open
        assert story.refused(LUC, HELLO) == ("conversation_closed",)

    @each_ending
    def test_r42_a_rate_falls(
        self, state: str, actor: ef.Actor, command: ef.Command
    ) -> None:
        """
        R42: any cause, any fault: acceptance or completion rate is touched.
        """
        story = IN[state]()

        story.by(actor, command)

        assert story.order.ending is not None
        before = state == "pending"
        assert story.order.ending.statistics == (
            ("acceptance_rate", "visibility") if before else ("completion_rate",)
        )

    def test_r43_shows_on_the_profile(self) -> None:
        """
        R43: a cancellation by the seller alone shows, until staff excuses it.
        """
        story = cancelled()
        assert story.ending == ("seller_cancelled", "cancel_order", "seller", True)

        story.staff(ef.ExcuseCancellation(reason="flood"))

        assert story.ending == ("seller_cancelled", "cancel_order", "seller", False)
        assert story.reasons[-1] == "flood"
        assert story.books == "0/100/0/0"

    @pytest.mark.parametrize(
        ("state", "actor", "command"),
        [
            case
            for case in ENDINGS
            if case[0] not in ("in_progress", "revision_requested")
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_r43_nothing_to_excuse(
        self, state: str, actor: ef.Actor, command: ef.Command
    ) -> None:
        """
        R43: other cancellations do not show, so there is nothing to excuse.
        """
        story = IN[state]()
        story.by(actor, command)

        codes = story.refused(OPS, ef.ExcuseCancellation(reason="flood"))

        assert codes == ("nothing_to_excuse",)

    def test_r43_only_staff(self) -> None:
        """
        R43: the seller does not excuse himself.
        """
        story = cancelled()

        assert story.refused(LUC, ef.ExcuseCancellation(reason="flood")) == (
            "not_your_command",
        )

    @each_ending
    def test_r45_free_of_charge(
        self, state: str, actor: ef.Actor, command: ef.Command
    ) -> None:
        """
        R45: a cancellation costs nobody anything.
        """
        story = IN[state](policies=FEES)

        story.by(actor, command)

        assert story.order.ledger.kept == euros("0")
        assert story.order.ledger.refunded == story.order.ledger.paid_in


class TestProtection:
    """
    What each side can rely on.
    """

    def test_unpaid_is_free(self) -> None:
        """
        Gap "awaiting payment": who has paid nothing leaves without a trace of money.
        """
        story = awaiting_payment().buyer(CANCEL)

        assert story.books == "0/0/0/0"

    @pytest.mark.parametrize("answered", [True, False])
    def test_request_does_not_stop_the_seller(self, answered: bool) -> None:
        """
        R36: a request answered with no leaves the seller his own right.
        """
        story = cancellation_requested()
        if answered:
            story.seller(REFUSE_CANCELLATION)

        story.seller(CANCEL)

        assert story.ending[3] is answered

    def test_r117_protected(self) -> None:
        """
        R117: accepted and answered in time, nobody but the seller gives money back.
        """
        story: Any = pending(delivery="P10D").seller(ACCEPT)

        story.after(days=9, hours=23).seller(DELIVER)
        story.after(days=6, hours=23).buyer(ef.RequestRevision(reason="blue"))
        story.after(hours=47).seller(ef.RefuseRevision(reason="not included"))
        blocked = (CANCEL, ASK_CANCELLATION, ef.AcceptCancellation())
        for command in blocked:
            story.refused(ANA, command)
        story.after(days=7).sweep()

        assert story.row == ("completed", "", "0/0/100/0")


def test_revision_unanswered_is_no_cancellation() -> None:
    """
    R65: an unanswered revision gives no money back by itself.
    """
    story = revision_requested().after(days=60)

    story.sweep()

    assert story.row[0] == "revision_requested"
    assert story.books == "100/0/0/0"


class TestAfterLateDelivery:
    """
    C12: asking to cancel after a delivery.
    """

    def test_late_delivery_does_not_free_the_buyer(self) -> None:
        """
        C12: an order handed over late still needs the seller's consent to cancel.
        """
        policies = {
            "cancellation": {"cancel_request_states": {"in_progress", "delivered"}}
        }
        story = late(policies=policies).seller(DELIVER).buyer(ASK_CANCELLATION)

        refusal = story.refused(ANA, CANCEL)

        assert story.state == "cancellation_requested + late"
        assert refusal == ("consent_needed",)
        (blocker,) = story.option(ANA, ef.CancelOrder).blockers
        assert blocker.unblocked_at is None

    def test_no_delivery_is_waited_for(self) -> None:
        """
        C12: who asks after a delivery is not told to wait until the order is late.
        """
        policies = {"cancellation": {"cancel_request_states": {"delivered"}}}
        story = delivered(policies=policies).buyer(ASK_CANCELLATION)

        (blocker,) = story.option(ANA, ef.CancelOrder).blockers

        assert (blocker.code, blocker.unblocked_at) == ("consent_needed", None)

    def test_c2_narrowed_states(self) -> None:
        """
        C2: a seller without the right to cancel is not told to wait for the buyer.
        """
        policies = {"cancellation": {"seller_cancel_states": {"pending"}}}
        story = in_progress(policies=policies)

        assert story.refused(LUC, CANCEL) == ("no_right_to_cancel",)
