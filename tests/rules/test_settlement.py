"""
Dividing what is held: R39, R42, R45 to R49, R78 to R81, R91, R92 and R117.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest

import escrowflow as ef
from escrowflow.rules import Alone, No, Right, Situation
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
    MIA,
    REVIEW,
    Story,
    awaiting_payment,
    cells,
    completed,
    delivered,
    disputed,
    euros,
    expired,
    in_progress,
    late,
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


class TestEndings:
    """
    What an ending leaves behind.
    """

    @pytest.mark.parametrize(("end", "days"), [("completed", 3), ("cancelled", 5)])
    def test_r41_r95_time_to_talk(self, end: str, days: int) -> None:
        """
        R41, R95: after each kind of ending its own time to talk.
        """
        windows = {"chat_after_completed": "P3D", "chat_after_cancelled": "P5D"}
        story = IN[end](policies={"conversation": windows})

        closed_at = story.order.closed_at
        assert closed_at is not None
        assert story.waits == [("conversation", paris(closed_at.add(days=days)))]

    def test_r99_the_longest_life(self) -> None:
        """
        R99: the platform keeps what is held, and the ending says what brought it about.
        """
        story = expired()
        story.sweep()

        assert story.row == ("expired + late", "", "0/0/0/100")
        assert story.ending == ("order_cap", "expire_order", "", False)

    def test_without_a_reason(self) -> None:
        """
        Who gave no reason has said nothing: that is an empty text.
        """
        story = in_progress().buyer(ef.RequestCancellation(reason="x"))

        story.seller(ef.AcceptCancellation())

        assert story.order.ending is not None
        assert story.order.ending.reason == ""


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


class TestWhoBearsFees:
    """
    Fees on top of an order that is cancelled: 100 of work, 10 of tip, 5 of buyer's fee,
    0.30 of bank fee, 20 of tax.
    """

    FEES: ClassVar[dict[str, Any]] = {
        "buyer_fee": ef.Fee(bps=500),
        "bank_fee": ef.Fee(flat=euros("0.30")),
        "tax": ef.Fee(bps=2000),
        "seller_fee": ef.Fee(bps=1000),
    }

    def told(self, begin: Any, *borne: str, **policies: Any) -> Story:
        """
        Return a story whose buyer bears these fees.
        """
        fees = {**self.FEES, "buyer_bears": frozenset(borne)}
        story: Story = begin(tip=euros("10"), policies={"fees": fees, **policies})
        return story

    @pytest.mark.parametrize(
        ("borne", "books"),
        [
            ((), "0/135.3/0/0"),
            (("bank_fee",), "0/135/0/0.3"),
            (("buyer_fee",), "0/130.3/0/5"),
            (("tax",), "0/115.3/0/20"),
            (("bank_fee", "buyer_fee", "tax"), "0/110/0/25.3"),
        ],
        ids=str,
    )
    def test_r49_buyer_withdraws(self, borne: tuple[str, ...], books: str) -> None:
        """
        R45, R49: to cancel costs nothing, unless the policy says what the buyer bears.
        """
        story = self.told(pending, *borne)

        story.buyer(CANCEL)

        assert story.books == books

    @pytest.mark.parametrize("how", ["seller", "silence", "late", "consent", "ruling"])
    def test_never_for_another_ones_doing(self, how: str) -> None:
        """
        What the seller does or leaves undone, what both agree on and what is ruled
        costs the buyer nothing.
        """
        begin = {"silence": pending, "late": late, "ruling": disputed}
        story = self.told(begin.get(how, in_progress), "bank_fee", "buyer_fee", "tax")
        if how == "seller":
            story.seller(CANCEL)
        elif how == "silence":
            story.after(days=2).sweep()
        elif how == "late":
            story.buyer(CANCEL)
        elif how == "consent":
            story.buyer(ef.RequestCancellation(reason="x"))
            story.seller(ef.AcceptCancellation())
        else:
            story.mediator(rule(ef.FullRefund()))

        assert story.books == "0/135.3/0/0"

    def test_no_brief_is_the_buyers_doing(self) -> None:
        """
        R109: an order that lapses because the buyer gave no brief.
        """
        story = self.told(pending, "tax", acceptance={"brief_required": True})

        story.after(days=2).sweep()

        assert story.books == "0/115.3/0/20"

    def test_not_before_it_was_paid(self) -> None:
        """
        Of what was paid in part everything goes back.
        """
        story = self.told(awaiting_payment, "bank_fee", "buyer_fee", "tax")
        story.provider(ef.ConfirmPayment(payment=ef.Payment("card", "a", euros("40"))))

        story.buyer(CANCEL)

        assert story.books == "0/40/0/0"

    def test_at_most_what_is_held(self) -> None:
        """
        Whatever went back in part before.
        """
        story = self.told(
            pending, "tax", partial_refunds={"partial_refund_base": "all"}
        )
        story.buyer(ef.ProposePartialRefund(amount=euros("130"), reason="x"))
        story.seller(ef.AcceptPartialRefund())

        story.buyer(CANCEL)

        assert story.books == "0/130/0/5.3"

    def test_with_extras(self) -> None:
        """
        Fees of add-ons that were paid count like the others, newest payment first.
        """
        add_on = ef.AddOn(title="Logo", price=euros("50"))
        fees = {**self.FEES, "buyer_bears": {"buyer_fee"}}
        story = pending(policies={"fees": fees}, add_ons=[add_on])
        assert story.books == "187.8/0/0/0"

        story.buyer(CANCEL)

        assert story.books == "0/180.3/0/7.5"

    def test_rights_of_a_host(self) -> None:
        """
        Beside a share for the seller: half of the work, his fee taken, and the tax.
        """
        story = self.told(in_progress, "tax", cancellation=HalfBack())

        story.buyer(CANCEL)

        assert story.books == "0/60.3/50.5/24.5"

    @pytest.mark.parametrize(
        "value", ["tax", {"seller_fee"}, {"tip"}, 5, None], ids=repr
    )
    def test_what_it_cannot_be(self, value: Any) -> None:
        """
        Names of the fees on top, and nothing else.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            pending(policies={"fees": {"buyer_bears": value}})

        assert caught.value.field == "buyer_bears"


class Brackets:
    """
    A host's own fees: whoever buys for more pays a smaller part, and a seller 30 euros.
    """

    version = "1"

    def on_top(self, base: ef.Money) -> ef.Money:
        """
        Ten per cent below 150 euros, and five from there on.
        """
        return ef.Fee(bps=1000 if base < euros("150") else 500).of(base)

    def of_seller(self, base: ef.Money) -> ef.Money:
        """
        The same, whatever there is.
        """
        return euros("30")

    def borne_by_buyer(self, base: ef.Money) -> ef.Money:
        """
        Nothing.
        """
        return euros("0")

    def not_for_coupon(self, base: ef.Money) -> ef.Money:
        """
        Nothing.
        """
        return euros("0")


class TestFeesOfAHost:
    """
    Fees that a host reckons himself never keep money from moving.
    """

    def test_at_most_what_there_is(self) -> None:
        """
        Of a seller no more is taken than he gets.
        """
        story = delivered(policies={"fees": Brackets()})
        story.buyer(ef.ProposePartialRefund(amount=euros("90"), reason="x"))
        story.seller(ef.AcceptPartialRefund())

        story.buyer(APPROVE)

        assert story.books == "0/90/0/20"

    def test_no_less_than_before(self) -> None:
        """
        An extra that leads to a lower fee on the whole costs no fee, and nothing comes
        back.
        """
        story = in_progress(policies={"fees": Brackets()})
        payment = ef.Payment("card", "pay-9", euros("80"))

        story.buyer(ef.BuyAddOn(title="x", price=euros("80"), payment=payment))

        assert story.books == "190/0/0/0"
        assert story.order.fees == euros("10")


class HalfBack:
    """
    Whoever cancels, the seller keeps half of the work.
    """

    version = "1"
    answer_window = timedelta(hours=48)

    def cancel(self, situation: Situation) -> Right:
        """
        Anybody may.
        """
        return Alone(to_seller=ef.Share.percent(50))

    def request(self, situation: Situation) -> Right:
        """
        Nobody need ask.
        """
        return No("request_cancellation_instead")

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        """
        Never.
        """
        return False


class TestEverySplit:
    """
    Everything at once: several payments with a method of their own each, a tip, an
    add-on and an offer paid on the running order, and every fee there is.
    """

    FEES: ClassVar[dict[str, ef.Fee]] = TestWhoBearsFees.FEES

    def told(self, **policies: Any) -> Story:
        """
        Return an order of 100 with a tip of 10, to which 20 and 30 came: fees on top
        are 25.30, 5 and 7.50.
        """
        story = in_progress(
            tip=euros("10"),
            policies={"fees": self.FEES, **policies},
            payment=[
                ef.Payment("card", "card-1", euros("100")),
                ef.Payment("paypal", "paypal-1", euros("35.30")),
            ],
        )
        add_on = ef.Payment("wallet", "wallet-1", euros("25"))
        story.buyer(ef.BuyAddOn(title="More", price=euros("20"), payment=add_on))
        story.seller(ef.SendOffer(title="Even more", price=euros("30")))
        offer = ef.Payment("card", "card-2", euros("37.50"))
        story.buyer(ef.PayOffer(offer_id="offer-1", payment=offer))
        assert story.books == "197.8/0/0/0"
        return story

    def test_completed(self) -> None:
        """
        The seller gets work and tip, a tenth of the work taken; the platform the rest.
        """
        story = self.told()

        story.seller(DELIVER).buyer(APPROVE)

        assert story.books == "0/0/145/52.8"

    def test_cancelled(self) -> None:
        """
        Each payment goes back whole, to its own method, the newest first.
        """
        story = self.told()

        story.seller(CANCEL)

        assert story.books == "0/197.8/0/0"
        assert story.refunds == [
            ("card-2", "37.5"),
            ("wallet-1", "25"),
            ("paypal-1", "35.3"),
            ("card-1", "100"),
        ]

    def test_partial_then_split(self) -> None:
        """
        A partial refund takes of the newest payments; a ruling goes on where it ended.
        """
        story = self.told()
        story.buyer(ef.ProposePartialRefund(amount=euros("50"), reason="x"))
        story.seller(ef.AcceptPartialRefund())
        assert story.refunds == [("card-2", "37.5"), ("wallet-1", "12.5")]

        story.staff(DISPUTE).mediator(ASSIGN, rule(ef.Split(to_buyer=euros("40"))))

        assert story.refunds[2:] == [("wallet-1", "12.5"), ("paypal-1", "27.5")]
        # 147.80 were held; 40 back, 37.80 on top, 60 of work with 10 of tip.
        assert story.books == "0/90/64/43.8"

    @pytest.mark.parametrize(
        ("base", "most", "books"),
        [
            ("all_but_fees", "160", "0/160/0/37.8"),
            ("all", "197.79", "0/197.79/0/0.01"),
        ],
    )
    def test_c20_to_the_last_cent(self, base: str, most: str, books: str) -> None:
        """
        C20: a ruling may give back all but the fees, or all but a cent.
        """
        story = self.told(partial_refunds={"partial_refund_base": base})
        story.staff(DISPUTE).mediator(ASSIGN)
        above = euros(most) + euros("0.01")

        assert story.refused(MIA, rule(ef.Split(to_buyer=above))) == (
            "amount_above_maximum",
        )
        story.mediator(rule(ef.Split(to_buyer=euros(most))))

        assert story.books == books

    @pytest.mark.parametrize("end", ["completed", "cancelled"])
    def test_a_top_up_that_comes_too_late(self, end: str) -> None:
        """
        An add-on and an offer that are paid after the settlement go back whole, fees
        included, to their own methods.
        """
        story = self.told()
        story.seller(ef.SendOffer(title="Last", price=euros("10")))
        if end == "completed":
            story.seller(DELIVER).buyer(APPROVE)
        else:
            story.seller(CANCEL)
        before = story.order.ledger

        more = ef.Payment("paypal", "late-1", euros("12.50"))
        story.refused(ANA, ef.PayOffer(offer_id="offer-2", payment=more))
        more = ef.Payment("wallet", "late-2")
        story.refused(
            ANA, ef.BuyAddOn(title="Too late", price=euros("8"), payment=more)
        )

        assert story.refunds[-2:] == [("late-1", "12.5"), ("late-2", "10")]
        after = story.order.ledger
        assert (after.released, after.kept) == (before.released, before.kept)
        assert after.refunded == before.refunded + euros("22.50")


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
