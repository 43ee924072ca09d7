"""
Dividing what is held: R39, R42, R45 to R49, R78 to R81, R91, R92 and R117.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import escrowflow as ef
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASSIGN,
    CANCEL,
    DELIVER,
    DISPUTE,
    IN,
    LUC,
    REVIEW,
    Story,
    cells,
    completed,
    delivered,
    disputed,
    euros,
    in_progress,
    paris,
    pending,
)


def rule(ruling: Any) -> ef.RuleDispute:
    """
    Rule, with a reason.
    """
    return ef.RuleDispute(ruling=ruling, reason="seen everything")


class TestRefundTiming:
    """
    When the buyer sees his money: an estimate.
    """

    @pytest.mark.parametrize("method", ["wallet", "paypal"])
    def test_r46_at_once(self, method: str) -> None:
        """
        R46: wallet and PayPal show it at once.
        """
        story = pending(method=method).buyer(CANCEL)

        (refund,) = story.order.refunds
        assert refund.estimate == (story.clock.now(), story.clock.now())
        assert refund.status == "owed"

    def test_r47_card(self) -> None:
        """
        R47: ordered at once, shown after three to five business days.
        """
        story = pending("2026-06-05T10:00:00+02:00", method="card").buyer(CANCEL)

        (refund,) = story.order.refunds
        assert [paris(instant) for instant in refund.estimate] == [
            "2026-06-10T10:00:00+02:00",
            "2026-06-12T10:00:00+02:00",
        ]
        assert story.money_moves() == [("refund", "100")]

    def test_r47_told_to_the_host(self) -> None:
        """
        R47: the effect carries when the buyer should see it at the latest.
        """
        story = pending("2026-06-05T10:00:00+02:00", method="card").buyer(CANCEL)

        (effect,) = [
            status.effect
            for status in story.engine.effects(story.id)
            if isinstance(status.effect, ef.Refund)
        ]
        assert paris(effect.expected_by) == "2026-06-12T10:00:00+02:00"

    def test_other_methods_like_the_slowest(self) -> None:
        """
        R47: a host's own method is estimated like the slowest that is known.
        """
        story = pending("2026-06-05T10:00:00+02:00", method="cheque").buyer(CANCEL)

        (refund,) = story.order.refunds
        assert paris(refund.estimate[1]) == "2026-06-12T10:00:00+02:00"

    def test_r49_where_it_came_from(self) -> None:
        """
        R49: each payment goes back to its own method, fees and tip included.
        """
        story = in_progress(
            tip=euros("10"),
            policies={"fees": {"buyer_fee": ef.Fee(bps=500)}},
            payment=[
                ef.Payment("wallet", "a", euros("15")),
                ef.Payment("card", "b", euros("100")),
            ],
        )

        story.seller(CANCEL)

        assert [
            (refund.payment.method, refund.amount) for refund in story.order.refunds
        ] == [("card", euros("100")), ("wallet", euros("15"))]


class TestRelease:
    """
    Paying the seller.
    """

    @pytest.mark.parametrize("how", ["approve", "review", "silence", "ruling"])
    def test_r91_released_once(self, how: str) -> None:
        """
        R91: completed, however, what is left of the held money goes to the seller.
        """
        story = delivered()
        if how == "approve":
            story.buyer(APPROVE)
        elif how == "review":
            story.buyer(REVIEW)
        elif how == "silence":
            story.after(days=7).sweep()
        else:
            story.staff(DISPUTE).mediator(ASSIGN, rule(ef.PaySeller()))

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.money_moves() == [("pay_out", "100")]
        (payout,) = story.order.payouts
        assert (payout.seller_id, payout.amount) == ("luc", euros("100"))

    def test_r92_at_once(self) -> None:
        """
        R92: the payout is asked for with the completion, at most seven days after
        the delivery.
        """
        story = delivered().after(days=7)

        story.sweep()

        delivered_at = story.order.delivered_at
        assert delivered_at is not None
        assert story.order.closed_at == delivered_at.add(days=7)
        assert story.money_moves() == [("pay_out", "100")]

    @pytest.mark.parametrize(
        ("fees", "books"),
        [
            ({}, "0/0/110/0"),
            ({"seller_fee": ef.Fee(bps=2000)}, "0/0/90/20"),
            ({"seller_fee": ef.Fee(flat=euros("3"), bps=1000)}, "0/0/97/13"),
            ({"buyer_fee": ef.Fee(bps=500)}, "0/0/110/5"),
            ({"bank_fee": ef.Fee(flat=euros("0.35"))}, "0/0/110/0.35"),
            ({"tax": ef.Fee(bps=2000)}, "0/0/110/20"),
            (
                {
                    "seller_fee": ef.Fee(bps=1000),
                    "buyer_fee": ef.Fee(flat=euros("1"), bps=250),
                    "bank_fee": ef.Fee(flat=euros("0.35"), bps=140),
                    "tax": ef.Fee(bps=2000),
                },
                "0/0/100/35.25",
            ),
            # More than there is: the seller's fee is at most his work.
            ({"seller_fee": ef.Fee(flat=euros("500"))}, "0/0/10/100"),
        ],
        ids=["none", "seller", "flat+bps", "buyer", "bank", "tax", "all", "capped"],
    )
    def test_fees(self, fees: dict[str, ef.Fee], books: str) -> None:
        """
        Fees on top are kept, the seller's is taken off; a tip is never charged for.
        """
        story = delivered(tip=euros("10"), policies={"fees": fees})

        story.buyer(APPROVE)

        assert story.books == books

    @pytest.mark.parametrize(
        ("price", "bps", "fee"),
        [("0.01", 5000, "0.01"), ("0.05", 1000, "0.01"), ("0.04", 1000, "0")],
    )
    def test_rounded_half_up(self, price: str, bps: int, fee: str) -> None:
        """
        Half a cent is a cent for the platform, never lost between the two.
        """
        story = completed(
            price=price, policies={"fees": {"seller_fee": ef.Fee(bps=bps)}}
        )

        assert story.order.ledger.kept == euros(fee)
        assert story.order.ledger.released == euros(price) - euros(fee)

    def test_after_a_partial_refund(self) -> None:
        """
        A fee is reckoned on what is released, not on what went back.
        """
        story = delivered(policies={"fees": {"seller_fee": ef.Fee(bps=1000)}})
        story.buyer(ef.ProposePartialRefund(amount=euros("40"), reason="x"))
        story.seller(ef.AcceptPartialRefund())

        story.buyer(APPROVE)

        assert story.books == "0/40/54/6"


class TestRulings:
    """
    What a ruling makes of the money, with every fee there is.
    """

    FEES: ClassVar[dict[str, Any]] = {
        "fees": {
            "buyer_fee": ef.Fee(bps=500),
            "bank_fee": ef.Fee(flat=euros("0.30")),
            "seller_fee": ef.Fee(bps=1000),
        }
    }

    @pytest.mark.parametrize(
        ("ruling", "books"),
        [
            (ef.FullRefund(), "0/115.3/0/0"),
            (ef.PaySeller(), "0/0/100/15.3"),
            (ef.Split(to_buyer=euros("10")), "0/10/91/14.3"),
            (ef.Split(to_buyer=euros("60")), "0/60/46/9.3"),
            (ef.Split(to_buyer=euros("110")), "0/110/0/5.3"),
        ],
        ids=["refund", "pay", "tip only", "60", "all but fees"],
    )
    def test_r78_to_r81(self, ruling: Any, books: str) -> None:
        """
        R78 to R81: 100 of work, 10 of tip, 5.30 on top, divided to the last cent.
        """
        story = disputed(tip=euros("10"), policies=self.FEES)
        assert story.books == "115.3/0/0/0"

        story.mediator(rule(ruling))

        assert story.books == books

    @pytest.mark.parametrize(
        ("amount", "books"), [("115.29", "0/115.29/0/0.01"), ("50", "0/50/55/10.3")]
    )
    def test_c20_all(self, amount: str, books: str) -> None:
        """
        C20, `all`: the fees on top may go back as well.
        """
        policies = {**self.FEES, "partial_refunds": {"partial_refund_base": "all"}}
        story = disputed(tip=euros("10"), policies=policies)

        story.mediator(rule(ef.Split(to_buyer=euros(amount))))

        assert story.books == books


class TestProtection:
    """
    R117: what neither the other side nor time can do.
    """

    @pytest.mark.parametrize("state", ["in_progress", "delivered", "revision_refused"])
    def test_r117_buyer(self, state: str) -> None:
        """
        R117: on time and answering, no act of the buyer's alone returns money.
        """
        story = IN[state](delivery="P30D")
        answers: list[ef.Command] = [
            ACCEPT, DELIVER, CANCEL, APPROVE, REVIEW, DISPUTE,
            ef.RequestCancellation(reason="x"), ef.AcceptCancellation(),
            ef.RequestRevision(reason="x"), ef.FileClaim(reason="x"),
            ef.ProposePartialRefund(amount=euros("5"), reason="x"),
            ef.AcceptPartialRefund(), ef.RequestCoupon(), ef.ExcuseCancellation(reason="x"),
            rule(ef.FullRefund()), ef.UnfreezeOrder(), ef.WithdrawCancellation(),
        ]  # fmt: skip

        for command in answers:
            answer = story.engine.preview(story.id, command, by=ANA)
            order = answer.order
            assert order is not None
            assert order.ledger.refunded == euros("0"), command.name

    @pytest.mark.parametrize(
        "state",
        ["in_progress", "delivered", "revision_requested", "disputed", "frozen"],
    )
    def test_r117_time(self, state: str) -> None:
        """
        R117: once accepted, no timer returns money to the buyer.
        """
        story = IN[state]().after(days=1000)

        story.sweep()

        assert story.order.ledger.refunded == euros("0")

    def test_r117_seller_silent_is_another_thing(self) -> None:
        """
        R117: before acceptance, time does return it.
        """
        story = pending().after(days=2)

        assert story.books == "0/100/0/0"


class TestAmounts:
    """
    Nothing is lost, whatever the number.
    """

    @pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
    @pytest.mark.parametrize("minor", [1, 99, 899_999_999_999])
    @pytest.mark.parametrize("bps", [1, 333, 1000])
    def test_adds_up(self, currency: str, minor: int, bps: int) -> None:
        """
        From one unit to the largest, what was paid in is what came out.
        """
        fees = {"seller_fee": ef.Fee(bps=bps), "buyer_fee": ef.Fee(bps=bps)}
        price = str(ef.Money(minor, currency).amount)
        story = Story(price=price, currency=currency, policies={"fees": fees})

        story.seller(ACCEPT, DELIVER).buyer(APPROVE)

        ledger = story.order.ledger
        assert ledger.held.is_zero
        assert ledger.paid_in == ledger.released + ledger.kept

    def test_largest_is_checked_at_the_door(self) -> None:
        """
        An order worth too much is wrong by itself.
        """
        with pytest.raises(ef.InvalidInputError):
            Story(price="10000000000.01")

    def test_statistics_of_a_completion(self) -> None:
        """
        R42: a completion touches no rate.
        """
        story = completed()

        assert story.order.ending is not None
        assert story.order.ending.statistics == ()
        assert cells("S accept_order").isdisjoint(story.allowed)
        assert story.refused(LUC, ACCEPT) == ("order_ended",)
