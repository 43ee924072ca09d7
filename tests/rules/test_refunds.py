"""
Partial refunds by agreement: R85 to R90.
"""

from __future__ import annotations

import pytest

import escrowflow as ef
from tests.story import (
    ANA,
    APPROVE,
    ASSIGN,
    CANCEL,
    CLAIM,
    DISPUTE,
    FREEZE,
    IN,
    LUC,
    MIA,
    Story,
    delivered,
    euros,
    in_progress,
    pending,
)

OPEN = [
    "pending",
    "in_progress",
    "cancellation_requested",
    "delivered",
    "revision_requested",
    "revision_refused",
]

FEES = {
    "fees": {
        "buyer_fee": ef.Fee(bps=500),
        "seller_fee": ef.Fee(bps=1000),
        "bank_fee": ef.Fee(flat=euros("0.30")),
    }
}


def propose(amount: str) -> ef.ProposePartialRefund:
    """
    Propose so many euros back.
    """
    return ef.ProposePartialRefund(amount=euros(amount), reason="part of it")


class TestProposing:
    """
    One side proposes.
    """

    def test_r85_older_variant(self) -> None:
        """
        R85: where the feature is absent, the way is a claim (R74).
        """
        story = in_progress(
            policies={"partial_refunds": {"partial_refund": "mediator_only"}}
        )

        (blocker,) = story.option(LUC, ef.ProposePartialRefund).blockers

        assert blocker.code == "mediator_only"
        assert [way.command for way in blocker.unblocked_by] == ["file_claim"]
        # Before it is accepted, there is nothing to claim.
        (before,) = (
            pending(policies={"partial_refunds": {"partial_refund": "mediator_only"}})
            .option(ANA, ef.ProposePartialRefund)
            .blockers
        )
        assert before.unblocked_by == ()
        story.seller(CLAIM).mediator(ASSIGN, ef.ConvertClaim())
        story.mediator(
            ef.RuleDispute(ruling=ef.Split(to_buyer=euros("30")), reason="agreed")
        )
        assert story.books == "0/30/70/0"

    @pytest.mark.parametrize("state", OPEN)
    @pytest.mark.parametrize("actor", [ANA, LUC], ids=str)
    def test_r86_either_side(self, state: str, actor: ef.Actor) -> None:
        """
        R86: either side, any time before completion; nothing moves yet.
        """
        story = IN[state]()
        standing = story.order.standing

        story.by(actor, propose("30"))

        order = story.order
        assert order.standing == standing
        assert story.books == "100/0/0/0"
        assert order.partial_refund is not None
        assert order.partial_refund.by is actor.role
        assert str(order.partial_refund.reason) == "part of it"
        assert story.told("partial_refund_proposed") == (
            {"buyer", "seller"} - {actor.role.text}
        )

    @pytest.mark.parametrize("state", sorted(set(IN) - set(OPEN)))
    def test_r86_not_here(self, state: str) -> None:
        """
        R86: not before payment, not in others' hands, not after the end.
        """
        story = IN[state]()

        assert {"not_in_this_state", "order_ended"} & set(
            story.refused(ANA, propose("30"))
        )

    def test_r86_no_limit_in_time(self) -> None:
        """
        R86: a proposal stays open as long as the order runs.
        """
        story = in_progress(delivery="P300D").buyer(propose("30")).after(days=200)

        story.seller(ef.AcceptPartialRefund())

        assert story.books == "70/30/0/0"

    def test_gap_one_open(self) -> None:
        """
        Gap: one open proposal an order, whoever made it.
        """
        story = in_progress().buyer(propose("30"))

        assert story.refused(ANA, propose("20")) == ("proposal_open",)
        assert story.refused(LUC, propose("20")) == ("proposal_open",)
        (blocker,) = story.option(LUC, ef.ProposePartialRefund).blockers
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("withdraw_partial_refund", ANA.role)
        ]

    @pytest.mark.parametrize(
        ("amount", "allowed"), [("0.01", True), ("99.99", True), ("100", False)]
    )
    def test_r90_less_than_held(self, amount: str, allowed: bool) -> None:
        """
        R90: more than nothing and less than what is held; all of it is a cancellation.
        """
        story = in_progress()

        if allowed:
            assert story.buyer(propose(amount)).order.partial_refund is not None
        else:
            assert story.refused(ANA, propose(amount)) == ("amount_above_maximum",)

    def test_r90_nothing(self) -> None:
        """
        R90: a proposal of nothing is wrong by itself.
        """
        with pytest.raises(ef.InvalidInputError):
            propose("0")

    def test_r90_nothing_less(self) -> None:
        """
        R90: of a single cent no part can go back: all of it is a cancellation.
        """
        story = in_progress(price="0.01")

        assert story.refused(ANA, propose("0.01")) == (
            "nothing_to_refund",
            "amount_above_maximum",
        )

    def test_c20_cap(self) -> None:
        """
        C20: the fees on top are not divided, and the refusal names the maximum.
        """
        story = in_progress(policies=FEES)
        assert story.books == "105.3/0/0/0"

        answer = story.engine.attempt(story.id, propose("100.01"), by=ANA)

        assert isinstance(answer, ef.Refusal)
        assert answer.blockers[0].params["maximum"] == euros("100")
        assert story.buyer(propose("100")).order.partial_refund is not None


class TestClosing:
    """
    What becomes of a proposal.
    """

    def test_r87_withdrawn(self) -> None:
        """
        R87: the proposer takes it back; nothing moved.
        """
        story = in_progress().seller(propose("30"))

        story.seller(ef.WithdrawPartialRefund())

        assert story.order.partial_refund is None
        assert story.books == "100/0/0/0"
        assert story.refused(ANA, ef.AcceptPartialRefund()) == ("no_proposal",)

    def test_r87_only_the_proposer(self) -> None:
        """
        R87: the other side answers, it does not withdraw.
        """
        story = in_progress().seller(propose("30"))

        assert story.refused(ANA, ef.WithdrawPartialRefund()) == ("not_the_proposer",)
        (blocker,) = story.option(ANA, ef.WithdrawPartialRefund).blockers
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("refuse_partial_refund", ANA.role)
        ]

    @pytest.mark.parametrize("state", OPEN)
    def test_r88_accepted(self, state: str) -> None:
        """
        R88: it goes back at once, free; the order and its timers stay untouched.
        """
        story = IN[state](policies=FEES).buyer(propose("30"))
        standing = story.order.standing

        story.seller(ef.AcceptPartialRefund())

        assert story.books == "75.3/30/0/0"
        assert story.order.standing == standing
        assert story.money_moves() == [("refund", "30")]

    def test_r88_statistics_untouched(self) -> None:
        """
        R88: the order then completes like any other; no rate is touched.
        """
        story = delivered().buyer(propose("30")).seller(ef.AcceptPartialRefund())

        story.buyer(APPROVE)

        assert story.books == "0/30/70/0"
        assert story.order.ending is not None
        assert story.order.ending.statistics == ()

    @pytest.mark.parametrize(
        "command", [ef.AcceptPartialRefund(), ef.RefusePartialRefund()]
    )
    def test_r88_not_the_proposer(self, command: ef.Command) -> None:
        """
        R88, R89: nobody answers his own proposal.
        """
        story = in_progress().buyer(propose("30"))

        assert story.refused(ANA, command) == ("own_proposal",)
        (blocker,) = story.option(ANA, type(command)).blockers
        assert [(way.command, way.by) for way in blocker.unblocked_by] == [
            ("withdraw_partial_refund", ANA.role)
        ]

    def test_r88_several_in_a_row(self) -> None:
        """
        R88: another may follow, of what is still held.
        """
        story = in_progress()
        for amount in ("30", "30"):
            story.buyer(propose(amount)).seller(ef.AcceptPartialRefund())

        assert story.refused(ANA, propose("40")) == ("amount_above_maximum",)
        story.buyer(propose("39.99")).seller(ef.AcceptPartialRefund())

        assert story.books == "0.01/99.99/0/0"

    def test_r89_refused(self) -> None:
        """
        R89: refused, with or without a reason, the proposal is closed.
        """
        story = in_progress().buyer(propose("30"))

        story.seller(ef.RefusePartialRefund(reason="it is all done"))

        assert story.order.partial_refund is None
        assert story.books == "100/0/0/0"
        assert story.told("partial_refund_refused") == {"buyer"}
        assert story.reasons[-1] == "it is all done"

    def closed_by(self, how: str) -> Story:
        """
        Return a story with a proposal that something else closed.
        """
        story = in_progress().buyer(propose("30"))
        if how == "dispute":
            return story.staff(DISPUTE).mediator(
                ASSIGN, ef.RuleDispute(ruling=ef.Relaunch(), reason="go on")
            )
        if how == "freeze":
            return story.staff(FREEZE, ef.UnfreezeOrder())
        return story.seller(CANCEL)

    @pytest.mark.parametrize("how", ["dispute", "freeze", "ending"])
    def test_gap_closed(self, how: str) -> None:
        """
        Gap: a dispute, a freeze or an ending closes it for good.
        """
        story = self.closed_by(how)

        assert story.order.partial_refund is None
        assert story.refused(LUC, ef.AcceptPartialRefund())[-1] in (
            "no_proposal",
            "order_ended",
        )

    def test_gap_later_cancellation(self) -> None:
        """
        Gap: after a partial refund, a cancellation returns only what is left.
        """
        story = pending().buyer(propose("30")).seller(ef.AcceptPartialRefund())

        story.buyer(CANCEL)

        assert story.books == "0/100/0/0"
        assert story.refunds == [("pay-1", "30"), ("pay-1", "70")]


class TestSeveralPayments:
    """
    Gap: with several payments, the newest goes back first.
    """

    def paid_twice(self, **kwargs: object) -> Story:
        """
        Paid by wallet and by card, and later 20 more by PayPal.
        """
        story = in_progress(
            payment=[
                ef.Payment("wallet", "a", euros("30")),
                ef.Payment("card", "b", euros("70")),
            ],
            **kwargs,
        )
        return story.buyer(
            ef.BuyAddOn(
                title="More", price=euros("20"), payment=ef.Payment("paypal", "c")
            )
        )

    @pytest.mark.parametrize(
        ("amount", "refunds"),
        [
            ("15", [("c", "15")]),
            ("20", [("c", "20")]),
            ("50", [("c", "20"), ("b", "30")]),
            ("95", [("c", "20"), ("b", "70"), ("a", "5")]),
        ],
    )
    def test_newest_first(self, amount: str, refunds: list[tuple[str, str]]) -> None:
        """
        Gap: a partial refund takes the newest payment first, each to its method.
        """
        story = self.paid_twice().buyer(propose(amount))

        story.seller(ef.AcceptPartialRefund())

        assert story.refunds == refunds

    def test_then_the_rest(self) -> None:
        """
        Gap: a later cancellation returns to every payment what is left of it.
        """
        story = self.paid_twice().buyer(propose("50")).seller(ef.AcceptPartialRefund())

        story.seller(CANCEL)

        assert story.refunds[2:] == [("b", "40"), ("a", "30")]
        assert {
            refund.payment.reference: refund.payment.method
            for refund in story.order.refunds
        } == {"a": "wallet", "b": "card", "c": "paypal"}

    def test_returned_money_is_not_drawn_on(self) -> None:
        """
        A payment that went straight back is no source of a refund.
        """
        story = self.paid_twice()
        story.provider(ef.ConfirmPayment(payment=ef.Payment("card", "d", euros("500"))))

        story.buyer(propose("30")).seller(ef.AcceptPartialRefund())

        assert story.refunds == [("d", "500"), ("c", "20"), ("b", "10")]

    def test_split_newest_first(self) -> None:
        """
        Gap: a mediator's split follows the same order.
        """
        story = self.paid_twice().staff(DISPUTE).mediator(ASSIGN)

        story.by(
            MIA, ef.RuleDispute(ruling=ef.Split(to_buyer=euros("50")), reason="half")
        )

        assert story.refunds == [("c", "20"), ("b", "30")]
        assert story.books == "0/50/70/0"

    def test_tested_again_at_acceptance(self) -> None:
        """
        Gap: what could be proposed is tested again when it is accepted.
        """
        story = self.paid_twice().buyer(propose("119.99"))

        assert story.option(LUC, ef.AcceptPartialRefund).allowed
        story.seller(ef.AcceptPartialRefund())

        assert story.books == "0.01/119.99/0/0"

    def test_less_is_held_by_then(self) -> None:
        """
        Gap: what a bank took back in between cannot be given back again.
        """
        story = in_progress().buyer(propose("80"))

        story.provider(
            ef.ReportChargeback(
                chargeback_id="dp_1",
                payment_reference="pay-1",
                status="lost",
                amount=euros("50"),
            )
        )

        assert story.refused(LUC, ef.AcceptPartialRefund()) == ("amount_above_maximum",)
