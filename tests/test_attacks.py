"""
What an attacker, or an unlucky host, once got through; each stays closed.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import escrowflow as ef
from escrowflow.inputs import FrozenDict, Text
from escrowflow.processes import comeup
from escrowflow.storage import open_storage
from tests.story import (
    ACCEPT,
    ANA,
    ASK_CANCELLATION,
    CANCEL,
    DELIVER,
    LUC,
    MIA,
    OPS,
    Story,
    cancellation_requested,
    delivered,
    euros,
    frozen,
    in_progress,
)


class Choice(str, enum.Enum):  # noqa: UP042
    """
    A text enum of the old kind: it prints its name, not its text.
    """

    EXCLUSIVE = "exclusive"
    CARD = "card"


def refusal(story: Story, actor: ef.Actor, command: ef.Command) -> ef.Refusal:
    """
    Return why a command may not be.
    """
    answer = story.engine.attempt(story.id, command, by=actor)
    assert isinstance(answer, ef.Refusal)
    return answer


def ways(blocker: ef.Blocker) -> list[str]:
    """
    Return the commands a blocker names as its way out.
    """
    return [way.command for way in blocker.unblocked_by]


class TestMoney:
    """
    Nobody loses a cent, and nothing gets stuck.
    """

    def test_a_fee_in_another_currency_is_refused_at_once(self) -> None:
        """
        A seller fee that could never be taken is refused when the order is placed.
        """
        fees = {"fees": {"seller_fee": ef.Fee(flat=euros("0.30"))}}

        with pytest.raises(ef.InvalidInputError):
            Story(policies=fees, currency="USD")

    def test_c20_fees_are_left_out_however_often_it_is_refunded(self) -> None:
        """
        C20: a second partial refund cannot reach the fees that the first one spared.
        """
        story = Story(policies={"fees": {"bank_fee": ef.Fee(flat=euros("6.30"))}})
        story.seller(ACCEPT)
        story.buyer(ef.ProposePartialRefund(amount=euros("100"), reason="r"))
        story.seller(ef.AcceptPartialRefund())

        command = ef.ProposePartialRefund(amount=euros("0.01"), reason="r")

        assert story.refused(ANA, command) == (
            "nothing_to_refund",
            "amount_above_maximum",
        )

    def test_the_seller_pays_no_fee_on_a_tip(self) -> None:
        """
        What went back came off the work: the fee is on the rest of it, not on a tip.
        """
        fees = {"fees": {"seller_fee": ef.Fee(bps=1000)}}
        story = Story(policies=fees, tip=euros("20")).seller(ACCEPT)
        story.buyer(ef.ProposePartialRefund(amount=euros("30"), reason="r"))
        story.seller(ef.AcceptPartialRefund(), DELIVER)

        story.buyer(ef.ApproveDelivery())

        assert story.books == "0/30/83/7"

    @pytest.mark.parametrize(
        ("price", "tip", "allowed"), [(3, 1, False), (4, 1, False), (5, 1, True)]
    )
    def test_r4_a_cap_is_never_exceeded(
        self, price: int, tip: int, allowed: bool
    ) -> None:
        """
        R4: a fifth of three yen is nothing, and not one yen.
        """
        engine = ef.Engine(comeup(), open_storage("memory://"), clock=ef.FakeClock())
        command = ef.PlaceOrder(
            seller_id="luc",
            price=ef.Money(price, "JPY"),
            tip=ef.Money(tip, "JPY"),
            payment=None,
            terms=ef.Terms(delivery_window="P5D"),
        )

        answer = engine.preview(None, command, by=ANA)

        assert isinstance(answer, ef.Refusal) is not allowed

    def test_a_payment_beyond_the_limit_of_an_order_comes_back(self) -> None:
        """
        An option that an order cannot hold is refused, and its payment returned.
        """
        story = in_progress()
        price = ef.Money(10**12, "EUR")
        command = ef.BuyAddOn(
            title="x", price=price, payment=ef.Payment("card", "big", price)
        )

        answer = refusal(story, ANA, command)

        assert [blocker.code for blocker in answer.blockers] == ["order_worth_too_much"]
        assert story.order.ledger.refunded == price


class TestTexts:
    """
    A text belongs to the order it was written for.
    """

    def test_terms_of_an_old_order_serve_a_new_one(self, tmp_path: Path) -> None:
        """
        The same terms again are stored again, and read again after a restart.
        """
        storage = open_storage(f"sqlite:///{tmp_path / 'orders.db'}")
        clock = ef.FakeClock()

        def command(terms: ef.Terms, reference: str) -> ef.PlaceOrder:
            return ef.PlaceOrder(
                seller_id="luc",
                price=euros("100"),
                payment=ef.Payment("card", reference),
                terms=terms,
            )

        with storage:
            engine = ef.Engine(comeup(), storage, clock=clock)
            first = engine.place(
                command(ef.Terms(delivery_window="P5D", title="A logo"), "p1"), by=ANA
            )
            again = engine.place(command(first.order.terms, "p2"), by=ANA)
            restarted = ef.Engine(comeup(), storage, clock=clock)

            assert restarted.order(again.order.id).terms.title == "A logo"
            placed = restarted.history(again.order.id)[0]
            assert placed.data["terms"].title == "A logo"

    def test_an_erased_text_is_no_reason(self) -> None:
        """
        A text that is gone cannot be sent where words are asked for.
        """
        story = Story()
        command = ef.RefuseOrder(reason=Text("", erased=True))

        with pytest.raises(ef.InvalidInputError) as error:
            story.engine.execute(story.id, command, by=LUC)

        assert error.value.field == "reason"

    def test_r71_why_a_claim_was_not_kept_is_for_its_filer(self) -> None:
        """
        R71: the other party learns that it was not kept, and no more.
        """
        story = in_progress().buyer(ef.FileClaim(reason="He is rude"))
        story.mediator(ef.AssignMediator(mediator_id=MIA.id))
        story.mediator(ef.RejectClaim(reason="Rudeness is not a claim"))

        def reason(by: ef.Actor | None) -> str:
            last = story.engine.history(story.id, by=by)[-1]
            assert last.name == "claim_rejected"
            return str(last.data["reason"])

        assert reason(ANA) == reason(OPS) == reason(None) == "Rudeness is not a claim"
        assert reason(LUC) == ""


class TestValues:
    """
    What is handed out cannot be changed by whoever holds it.
    """

    def test_labels_cannot_be_changed_in_place(self) -> None:
        """
        A host's labels are its own copy of nothing: they cannot be written to.
        """
        labels: Any = Story().order.metadata

        with pytest.raises(TypeError):
            labels["x"] = "y"
        with pytest.raises(TypeError):
            labels.update(x="y")
        assert isinstance(labels, FrozenDict)
        assert hash(labels) == hash(FrozenDict())

    @pytest.mark.parametrize("member", [Choice.EXCLUSIVE])
    def test_an_enum_counts_as_its_text(self, member: Any) -> None:
        """
        A text enum of any kind is read as the text it holds.
        """
        time = ef.TimeRules(deadline_boundary=member)

        assert time == ef.TimeRules()
        assert ef.Payment(Choice.CARD, "p").method == "card"
        assert ef.Buyer(Choice.CARD).id == "card"

    @pytest.mark.parametrize(
        "make",
        [
            lambda huge: ef.ConfirmPayment(payment=huge),
            lambda huge: ef.Terms(delivery_window="P5D", offers=huge),
            lambda huge: ef.RuleDispute(ruling=huge, reason="r"),
            lambda huge: ef.RevisionLimit(revision_needs_seller_answer=huge),
            lambda huge: ef.Engine(huge, open_storage("memory://")),
            lambda huge: ef.Engine(comeup(), open_storage("memory://"), also=huge),
            lambda huge: ef.Engine(comeup(), huge),
            lambda huge: ef.Policies(time=huge),
            lambda huge: ef.RefundTiming(business_calendar=huge),
            lambda huge: ef.RefundTiming(refund_eta={"card": huge}),
            lambda huge: ef.DisputeRules(dispute_entry={huge: "direct"}),
            lambda huge: ef.Statistics(score_weights={huge: 1, "a": 2}),
        ],
    )
    def test_a_wrong_type_is_one_clear_error(self, make: Any) -> None:
        """
        A number too long to print, or a thing of another kind, is refused by name.
        """
        with pytest.raises(ef.InvalidInputError):
            make(10**5000)

    @pytest.mark.parametrize("days", ["1", float("nan"), None])
    def test_a_clock_turns_by_numbers(self, days: Any) -> None:
        """
        What is no length of time does not move the fake clock, and says so.
        """
        clock = ef.FakeClock()
        before = clock.now()

        with pytest.raises(ef.InvalidInputError):
            clock.advance(days=days)

        assert clock.now() == before

    def test_files_are_things_not_kinds(self) -> None:
        """
        A class where a sequence is wanted is refused by name.
        """
        kind: Any = list

        with pytest.raises(ef.InvalidInputError) as error:
            ef.DeliverOrder(files=kind)

        assert error.value.field == "files"

    @pytest.mark.parametrize("state", ["disputed", "frozen", "completed"])
    def test_c2_never_means_never(self, state: str) -> None:
        """
        C2: no policy lets anybody cancel what a mediator or staff holds, or the past.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.CancellationRights(seller_cancel_states=frozenset({state}))

    def test_a_process_has_a_name_that_can_stand_anywhere(self) -> None:
        """
        A name with a space is refused, and so is a row that is none.
        """
        with pytest.raises(ef.ProcessError):
            comeup().extend(name="x y")
        with pytest.raises(ef.ProcessError):
            comeup().extend(name="x", rows=[1])  # type: ignore[list-item]


class TestTime:
    """
    Instants at the edges.
    """

    def test_c9_nothing_remains_when_it_was_delivered_at_the_last_instant(self) -> None:
        """
        C9: with the end itself in time, no time is left, and the order turns late.
        """
        policies = {
            "time": {"deadline_boundary": "inclusive"},
            "delivery": {"revision_deadline": "remaining"},
        }
        story = in_progress(policies=policies)
        due = story.order.due_at
        assert due is not None
        story.clock.advance_to(due)
        story.seller(DELIVER).buyer(ef.RequestRevision(reason="r"))

        story.seller(ef.AcceptRevision()).after(seconds=1)

        assert story.order.late
        assert story.buyer(CANCEL).state == "cancelled + late"

    @pytest.mark.parametrize("how", ["add_on", "staff"])
    def test_days_are_counted_on_the_calendar_everywhere(self, how: str) -> None:
        """
        Two civil days over the change of clocks end at the same time of day.
        """
        policies = {
            "time": {"day_arithmetic": "civil"},
            "extras": {"addon_deadline": "add_days"},
        }
        story = Story("2026-03-24T10:00:00+01:00", policies=policies, delivery="P4D")
        story.seller(ACCEPT)
        before = story.due

        if how == "add_on":
            extra = ef.BuyAddOn(
                title="x",
                price=euros("1"),
                payment=ef.Payment("card", "more"),
                extra_window="P2D",
            )
            story.buyer(extra)
        else:
            story.staff(ef.ExtendDeadlines(window="P2D", reason="outage"))

        assert (before[5:16], story.due[5:16]) == ("03-28T10:00", "03-30T10:00")

    def test_the_end_of_time_is_a_typed_error(self) -> None:
        """
        A window that leads beyond the year 9999 is refused, not a crash.
        """
        with pytest.raises(ef.EscrowflowError):
            Story("9999-12-31T10:00:00+00:00")


class TestWaysOut:
    """
    What a blocker promises is true.
    """

    def test_c10_waiting_does_not_help_after_a_first_delivery(self) -> None:
        """
        C10: where lateness will not free the buyer, no instant is named.
        """
        policies = {"cancellation": {"late_cancel_after_first_delivery": False}}
        story = delivered(policies=policies).buyer(ef.RequestRevision(reason="r"))
        story.seller(ef.AcceptRevision())

        (blocker,) = refusal(story, ANA, CANCEL).blockers

        assert (blocker.code, blocker.unblocked_at) == ("consent_needed", None)

    def test_c11_an_open_request_is_withdrawn_first(self) -> None:
        """
        C11: with a request open, the way is to take it back and ask anew.
        """
        policies = {"cancellation": {"late_cancel": "request_auto_accepted"}}
        story = cancellation_requested(policies=policies).after(days=6)

        (blocker,) = refusal(story, ANA, CANCEL).blockers

        assert blocker.code == "request_cancellation_instead"
        assert ways(blocker) == ["withdraw_cancellation"]
        story.buyer(ef.WithdrawCancellation(), ASK_CANCELLATION)
        assert story.state == "cancelled + late"

    def test_a_frozen_order_names_its_thaw(self) -> None:
        """
        In a frozen order the way out is staff, who lets it go on.
        """
        story = frozen()

        (blocker,) = refusal(story, LUC, DELIVER).blockers

        assert "unfreeze_order" in ways(blocker)

    def test_deadline_passed_names_the_deadline(self) -> None:
        """
        It says when the deadline was, whatever happened to the order since.
        """
        story = delivered()
        due = story.order.due_at
        story.after(days=8).buyer(ef.SendMessage(reference="m-1"))

        first, *_ = refusal(story, ANA, ef.RequestRevision(reason="r")).blockers

        assert first.code == "deadline_passed"
        assert first.params["due_at"] == due

    def test_nothing_came_too_late_that_never_was(self) -> None:
        """
        C2: a seller who could not cancel before the deadline was not late for it.
        """
        story = delivered().after(days=8)

        codes = [blocker.code for blocker in refusal(story, LUC, CANCEL).blockers]

        assert codes == ["order_ended"]

    def test_all_that_is_in_the_way_is_said(self) -> None:
        """
        What the state forbids and what the payload does wrong are told together.
        """
        story = in_progress()
        story.buyer(ef.ProposePartialRefund(amount=euros("10"), reason="r"))

        codes = story.refused(
            ANA, ef.ProposePartialRefund(amount=euros("500"), reason="r")
        )

        assert codes == ("proposal_open", "amount_above_maximum")


class TestJudgement:
    """
    What is malformed is said first.
    """

    def test_a_malformed_actor_comes_before_an_unknown_order(self) -> None:
        """
        Who asks is looked at before what is asked for.
        """
        engine = Story().engine
        nobody: Any = "ana"

        with pytest.raises(ef.InvalidInputError):
            engine.order("nope", by=nobody)
        with pytest.raises(ef.InvalidInputError):
            engine.history("nope", by=nobody)

    def test_a_seller_learns_nothing_from_a_taken_key(self) -> None:
        """
        Placing as a seller is malformed, whether or not the order exists.
        """
        engine = ef.Engine(comeup(), open_storage("memory://"), clock=ef.FakeClock())
        command = ef.PlaceOrder(
            seller_id="luc",
            price=euros("1"),
            payment=None,
            terms=ef.Terms(delivery_window=timedelta(days=1)),
        )
        engine.place(command, by=ANA, order_id="o-1")
        seller: Any = ef.Seller("ana")

        with pytest.raises(ef.InvalidInputError) as error:
            engine.place(command, by=seller, key="k", order_id="o-1")

        assert error.value.field == "by"
