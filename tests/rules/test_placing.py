"""
Placing, paying, the brief: R2 to R8, and money that comes late, twice or in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import escrowflow as ef
from escrowflow.events import PaymentReturned
from escrowflow.processes import recommended
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    BANK,
    CANCEL,
    DELIVER,
    HELLO,
    IN,
    LUC,
    OPS,
    Story,
    awaiting_payment,
    completed,
    delivered,
    euros,
    in_progress,
    paris,
    pending,
)

FEES = {
    "fees": {
        "buyer_fee": ef.Fee(bps=500),
        "bank_fee": ef.Fee(flat=euros("0.30")),
        "tax": ef.Fee(bps=100),
    }
}


def confirm(
    amount: str | None, reference: str = "pay-2", item: str = "order"
) -> ef.ConfirmPayment:
    """
    Say that so many euros arrived by card.
    """
    money = None if amount is None else euros(amount)
    return ef.ConfirmPayment(payment=ef.Payment("card", reference, money), item=item)


def order_of(
    price: ef.Money,
    payment: ef.Payment | Sequence[ef.Payment] | None,
    tip: ef.Money | None = None,
    add_ons: tuple[ef.AddOn, ...] = (),
) -> ef.PlaceOrder:
    """
    An order of the seller's.
    """
    return ef.PlaceOrder(
        seller_id="luc",
        price=price,
        payment=payment,
        tip=tip,
        add_ons=add_ons,
        terms=ef.Terms(delivery_window="P5D"),
    )


class TestPaid:
    """
    An order that comes with its payment.
    """

    def test_r2_paid(self) -> None:
        """
        R2: everything is held, the seller is told, both may talk, 48 hours run.
        """
        story = pending("2026-06-01T10:00:00+02:00")

        assert story.row == ("pending", "2026-06-03T10:00:00+02:00", "100/0/0/0")
        assert story.told("order_paid") == {"seller"}
        assert story.order.conversation.open

    @pytest.mark.parametrize(
        "state", ["pending", "in_progress", "delivered", "revision_refused", "disputed"]
    )
    def test_r2_seller_cannot_touch_it(self, state: str) -> None:
        """
        R2: before completion nothing is released, wherever the order is.
        """
        story = IN[state]()

        assert story.books == "100/0/0/0"
        assert story.money_moves() == []

    def test_r2_window_from_the_payment(self) -> None:
        """
        R2: the 48 hours begin when the payment is validated, not when ordered.
        """
        story = awaiting_payment("2026-06-01T10:00:00+02:00")

        story.at("06-01 20:00").provider(confirm("100"))

        assert story.row == ("pending", "2026-06-03T20:00:00+02:00", "100/0/0/0")
        assert paris(story.order.paid_at) == "2026-06-01T20:00:00+02:00"

    def test_r3_everything_paid_is_held(self) -> None:
        """
        R3: what is held includes the tip, the fees and the tax.
        """
        story = pending(
            tip=euros("20"),
            add_ons=[ef.AddOn(title="Vector file", price=euros("20"))],
            policies=FEES,
        )

        # 120 of work, 20 of tip, 6.00 + 0.30 + 1.20 on top.
        assert story.books == "147.5/0/0/0"
        assert story.order.amount_due == euros("0")

    def test_r3_cap_runs_from_the_payment(self) -> None:
        """
        R3: the longest life is counted from the payment, not from the order.
        """
        story = awaiting_payment(
            "2026-06-01T10:00:00+02:00", policies={"lifetime": {"order_cap": "P5M"}}
        )
        assert [name for name, _ in story.waits] == ["payment"]

        story.at("06-02 09:00").provider(confirm("100"))

        # 48 hours to accept, and a reminder of the brief a day before their end.
        assert story.waits == [
            ("acceptance_reminder", "2026-06-03T09:00:00+02:00"),
            ("acceptance", "2026-06-04T09:00:00+02:00"),
            ("lifetime", "2026-11-02T09:00:00+01:00"),
        ]


class TestTip:
    """
    A tip, held with the rest.
    """

    @pytest.mark.parametrize(
        ("tip", "options", "allowed"),
        [
            ("20.00", (), True),
            ("20.01", (), False),
            ("24.00", ("20",), True),
            ("24.01", ("20",), False),
        ],
    )
    def test_r4_cap(self, tip: str, options: tuple[str, ...], allowed: bool) -> None:
        """
        R4: at most 20 % of service and options; fees and tax do not count.
        """
        story = pending(policies=FEES)
        add_ons = tuple(ef.AddOn(title="More", price=euros(text)) for text in options)
        command = order_of(euros("100"), None, euros(tip), add_ons)

        answer = story.engine.preview(None, command, by=ANA)

        if allowed:
            assert isinstance(answer, ef.Outcome)
        else:
            assert isinstance(answer, ef.Refusal)
            (blocker,) = answer.blockers
            cap = euros("24" if options else "20")
            assert (blocker.code, blocker.params) == ("tip_above_cap", {"maximum": cap})
            assert answer.order is None

    def test_r4_refused_order_is_not_written(self) -> None:
        """
        R4: an order with too high a tip does not exist afterwards.
        """
        engine = pending().engine

        with pytest.raises(ef.CommandRefusedError) as caught:
            engine.place(
                order_of(euros("100"), ef.Payment("card", "p"), euros("50")),
                by=ANA,
                order_id="order-2",
            )

        assert caught.value.order is None
        with pytest.raises(ef.OrderNotFoundError):
            engine.order("order-2")

    def test_r4_released_on_completion(self) -> None:
        """
        R4: the seller gets the tip with the rest, and pays no fee on it.
        """
        story = completed(
            tip=euros("20"), policies={"fees": {"seller_fee": ef.Fee(bps=1000)}}
        )

        assert story.books == "0/0/110/10"

    def test_r4_refunded_on_cancellation(self) -> None:
        """
        R4: any cancellation gives the tip back.
        """
        story = in_progress(tip=euros("20"))

        story.seller(CANCEL)

        assert story.books == "0/120/0/0"


class TestBrief:
    """
    What the buyer hands over.
    """

    def test_r5_brief_required_is_shown(self) -> None:
        """
        R5: whether a brief is needed stands in the terms, and blocks nobody.
        """
        story = pending(terms={"brief_required": True})

        assert story.order.terms.brief_required is True
        assert story.seller(ACCEPT).state == "in_progress"

    def test_r7_window_keeps_running(self) -> None:
        """
        R7: brief, files and messages leave the window as it is; the seller is told.
        """
        story = pending("2026-06-01T10:00:00+02:00")

        story.at("06-02 10:00").buyer(ef.SubmitBrief(text="blue", files=("a.png",)))
        story.buyer(HELLO)

        assert story.due == "2026-06-03T10:00:00+02:00"
        assert story.told("brief_submitted") == {"seller"}
        assert story.told("message_sent") == {"seller"}

    def test_r8_reminder(self) -> None:
        """
        R8: a day before the end the buyer is reminded, once.
        """
        story = pending("2026-06-01T10:00:00+02:00")

        story.at("06-02 10:00").sweep()
        story.at("06-03 09:00").sweep()

        assert story.names.count("acceptance_reminded") == 1
        assert story.told("acceptance_reminded") == {"buyer"}

    def test_r8_no_reminder_after_the_brief(self) -> None:
        """
        R8: whoever has submitted something is not reminded.
        """
        story = pending().buyer(ef.SubmitBrief(text="blue"))

        story.after(hours=47).sweep()

        assert "acceptance_reminded" not in story.names

    def test_r8_a_message_is_no_brief(self) -> None:
        """
        R8: a chat message alone does not stop the reminder.
        """
        story = pending().buyer(HELLO)

        story.after(hours=24).sweep()

        assert "acceptance_reminded" in story.names

    @pytest.mark.parametrize("required", [False, True])
    def test_not_once_it_is_agreed(self, required: bool) -> None:
        """
        Where a brief may follow after acceptance, only one that was asked for and is
        missing does; anything else is for a message.
        """
        story = in_progress(process=recommended(), terms={"brief_required": required})

        if required:
            story.buyer(ef.SubmitBrief(text="blue", files=("plan.pdf",)))
            assert story.order.brief is not None
            assert story.order.brief.text == "blue"
            assert story.order.brief.files == ("plan.pdf",)
        assert story.why(ANA, ef.SubmitBrief(text="green")) == [
            ("brief_not_owed", {}, ["buyer send_message"])
        ]

    def test_r8_brief_while_awaiting_payment(self) -> None:
        """
        R8: a brief given before the payment counts as well.
        """
        story = awaiting_payment().buyer(ef.SubmitBrief(text="blue"))

        story.provider(confirm("100"))

        assert [name for name, _ in story.waits] == ["acceptance"]

    @pytest.mark.parametrize(("window", "armed"), [("PT24H", False), ("PT25H", True)])
    def test_gap_reminder_after_the_start(self, window: str, armed: bool) -> None:
        """
        Gap: a reminder that would not fall after the window's start is not armed.
        """
        story = pending(terms={"acceptance_window": window})

        names = [name for name, _ in story.waits]

        assert ("acceptance_reminder" in names) is armed

    def test_gap_overdue_reminder_is_useless(self) -> None:
        """
        Gap: a reminder nobody ran is recorded, and its message says it is useless.
        """
        story = pending("2026-06-01T10:00:00+02:00")

        story.at("06-05 10:00").sweep()

        assert story.names[-2:] == ["acceptance_reminded", "order_cancelled"]
        (notice,) = [
            status.effect
            for status in story.engine.effects(story.id)
            if isinstance(status.effect, ef.Notify)
            and status.effect.kind == "acceptance_reminded"
        ]
        assert paris(notice.useless_after) == "2026-06-03T10:00:00+02:00"


class TestAwaitingPayment:
    """
    Gap: an order placed without a payment, or with part of it.
    """

    def test_nothing_held(self) -> None:
        """
        Gap "awaiting payment": nothing is held, and there are 24 hours to pay.
        """
        story = awaiting_payment("2026-06-01T10:00:00+02:00")

        assert story.row == (
            "awaiting_payment",
            "2026-06-02T10:00:00+02:00",
            "0/0/0/0",
        )
        assert story.order.paid_at is None

    def test_in_parts(self) -> None:
        """
        Gap "awaiting payment": only what was confirmed is held; pending once all is.
        """
        story = awaiting_payment()

        story.provider(confirm("30", "a"))
        assert (story.state, story.books) == ("awaiting_payment", "30/0/0/0")
        assert story.order.amount_due == euros("70")
        story.staff(confirm("70", "b"))

        assert (story.state, story.books) == ("pending", "100/0/0/0")

    def test_open_amount_is_the_full_price(self) -> None:
        """
        A confirmation without an amount is for the full price, extras included.
        """
        story = awaiting_payment(
            tip=euros("10"),
            add_ons=[ef.AddOn(title="More", price=euros("20"))],
            policies=FEES,
        )

        story.provider(confirm(None))

        assert (story.state, story.books) == ("pending", "137.5/0/0/0")

    def test_placed_with_part_of_it(self) -> None:
        """
        A payment that does not cover everything leaves the order awaiting the rest.
        """
        story = pending(payment=ef.Payment("card", "a", euros("40")))

        assert (story.state, story.books) == ("awaiting_payment", "40/0/0/0")

    def test_placed_with_several(self) -> None:
        """
        Several payments that add up pay the order at once.
        """
        story = pending(
            payment=[
                ef.Payment("wallet", "a", euros("40")),
                ef.Payment("card", "b", euros("60")),
            ]
        )

        assert (story.state, story.books) == ("pending", "100/0/0/0")

    def test_placed_with_too_much(self) -> None:
        """
        An order is refused whole if more came with it than it costs.
        """
        engine = pending().engine

        answer = engine.preview(
            None,
            order_of(euros("100"), ef.Payment("card", "p", euros("100.01"))),
            by=ANA,
        )

        assert isinstance(answer, ef.Refusal)
        (blocker,) = answer.blockers
        assert blocker.code == "payment_exceeds_price"
        assert blocker.params == {"maximum": euros("100")}

    def test_more_than_owed_goes_back_whole(self) -> None:
        """
        A confirmation of more than is owed is not taken in part: it all goes back.
        """
        story = awaiting_payment().provider(confirm("30", "a"))

        story.provider(confirm("70.01", "b"))

        assert (story.state, story.books) == ("awaiting_payment", "30/70.01/0/0")
        assert story.refunds == [("b", "70.01")]

    def test_buyer_cancels(self) -> None:
        """
        Gap "awaiting payment": the buyer may leave, and gets what was held.
        """
        story = awaiting_payment().provider(confirm("30", "a"))

        story.buyer(CANCEL)

        assert (story.state, story.books) == ("cancelled", "0/30/0/0")
        assert story.order.ending is not None
        assert story.order.ending.statistics == ()

    @pytest.mark.parametrize(("part", "books"), [("", "0/0/0/0"), ("30", "0/30/0/0")])
    def test_not_paid_in_time(self, part: str, books: str) -> None:
        """
        Gap "awaiting payment": after 24 hours it is cancelled, in no statistics.
        """
        story = awaiting_payment("2026-06-01T10:00:00+02:00")
        if part:
            story.provider(confirm(part, "a"))

        story.at("06-02 10:00").sweep()

        assert (story.state, story.books) == ("cancelled", books)
        assert story.ending == ("payment_expired", "expire_payment", "", False)
        assert story.order.ending is not None
        assert story.order.ending.statistics == ()

    def test_seller_waits(self) -> None:
        """
        Gap "awaiting payment": nothing can be accepted before everything is held.
        """
        story = awaiting_payment().provider(confirm("99.99", "a"))

        assert story.refused(LUC, ACCEPT) == ("not_in_this_state",)
        assert story.refused(LUC, CANCEL) == ("not_in_this_state",)


PAYS_NOTHING = sorted(set(IN) - {"awaiting_payment"})


class TestMoneyTooLate:
    """
    Gap: money that arrives too late, twice, or for nothing, is never lost.
    """

    @pytest.mark.parametrize("state", PAYS_NOTHING)
    @pytest.mark.parametrize("item", ["order", "addon-7", "offer-7"])
    def test_second_payment(self, state: str, item: str) -> None:
        """
        A payment that is not owed is booked and goes back whole, in any state.
        """
        story = IN[state]()
        before = story.order

        story.provider(confirm("42", item=item))

        after = story.order
        assert after.ledger.paid_in == before.ledger.paid_in + euros("42")
        assert after.ledger.refunded == before.ledger.refunded + euros("42")
        assert after.ledger.held == before.ledger.held
        assert after.standing == before.standing
        refund = after.refunds[-1]
        assert (refund.payment.method, refund.payment.reference) == ("card", "pay-2")

    @pytest.mark.parametrize("state", PAYS_NOTHING)
    def test_same_reference_again(self, state: str) -> None:
        """
        A reference counts once: the same webhook again changes nothing at all.
        """
        story = IN[state]()
        before = story.order

        story.provider(confirm("100", "pay-1"))

        assert story.order == before

    @pytest.mark.parametrize("state", PAYS_NOTHING)
    @pytest.mark.parametrize("amount", ["99.99", "100.01", "1"])
    def test_same_reference_with_another_amount(self, state: str, amount: str) -> None:
        """
        What contradicts the books is refused, in any state: whatever is behind it, a
        human should see it (F44).
        """
        story = IN[state]()
        before = story.order

        answer = story.engine.attempt(story.id, confirm(amount, "pay-1"), by=BANK)

        assert isinstance(answer, ef.Refusal)
        (blocker,) = answer.blockers
        assert blocker.code == "amount_differs"
        assert blocker.params == {"amount": euros(amount), "expected": euros("100")}
        assert story.order == before

    @pytest.mark.parametrize(
        ("first", "second", "held", "back"),
        [
            ("100", "60", "100", "0"),
            ("60", "100", "60", "0"),
            ("100", "140", "100", "0"),
            ("140", "100", "0", "140"),
            ("60", None, "60", "0"),
            (None, "60", "100", "0"),
        ],
    )
    def test_the_first_one_counts(
        self, first: str | None, second: str | None, held: str, back: str
    ) -> None:
        """
        Of two amounts under one reference the first one is booked, and the other one
        refused, whichever it is; an open one is the full price.
        """
        story = awaiting_payment().provider(confirm(first))
        before = story.order

        codes = story.refused(BANK, confirm(second))
        story.provider(confirm(first))

        assert codes == ("amount_differs",)
        assert story.order == before
        assert (before.ledger.held, before.ledger.refunded) == (
            euros(held),
            euros(back),
        )

    def test_another_currency(self) -> None:
        """
        An order has one currency: another one is malformed, known reference or not.
        """
        story = awaiting_payment().provider(confirm("60"))
        dollars = ef.Payment("card", "pay-2", ef.Money.of("60.00", "USD"))

        with pytest.raises(ef.InvalidInputError, match="EUR, not USD"):
            story.provider(ef.ConfirmPayment(payment=dollars))

        assert story.books == "60/0/0/0"

    def test_an_extra_again(self) -> None:
        """
        What was paid for an extra is said again without an amount: nothing happens,
        whatever was bought since.
        """
        fees = {"fees": {"buyer_fee": ef.Fee(bps=333), "tax": ef.Fee(bps=171)}}
        story = in_progress(policies=fees)
        for number in ("1", "2", "3"):
            story.seller(ef.SendOffer(title="More", price=euros("10.37")))
            story.provider(confirm(None, f"extra-{number}", f"offer-{number}"))
        before = story.order
        assert {offer.status for offer in before.offers} == {"paid"}

        for number in ("1", "2", "3"):
            story.provider(confirm(None, f"extra-{number}", f"offer-{number}"))

        assert story.order == before

    def test_returned_reference_again(self) -> None:
        """
        A payment that went back already does not go back twice.
        """
        story = IN["completed"]().provider(confirm("42"))

        story.provider(confirm("42"))

        assert story.refunds == [("pay-2", "42")]

    def test_staff_may_confirm(self) -> None:
        """
        Staff may enter a payment by hand, too.
        """
        story = IN["cancelled"]()

        story.staff(confirm("42"))

        assert story.refunds[-1] == ("pay-2", "42")

    def test_buyer_may_not_confirm(self) -> None:
        """
        A buyer's word is no payment: what he sends is returned like any other.
        """
        story = awaiting_payment()

        codes = story.refused(ANA, confirm("100"))

        assert codes == ("not_your_command",)
        assert (story.state, story.order.ledger.held) == (
            "awaiting_payment",
            euros("0"),
        )

    @pytest.mark.parametrize(
        "state",
        sorted(set(IN) - {"in_progress", "revision_requested", "revision_refused"}),
    )
    def test_refused_command_with_a_payment(self, state: str) -> None:
        """
        A refused add-on books its payment and gives it back, fees included.
        """
        story = IN[state](policies=FEES) if state != "expired" else IN[state]()
        on_top = euros("0") if state == "expired" else euros("3")
        before = story.order.ledger
        add_on = ef.BuyAddOn(
            title="Vector file", price=euros("50"), payment=ef.Payment("card", "late")
        )

        story.refused(ANA, add_on)

        after = story.order.ledger
        # 50 and 6 % on top; the flat part is paid already.
        assert after.refunded == before.refunded + euros("50") + on_top
        assert after.held == before.held
        assert story.refunds[-1][0] == "late"

    def test_refused_command_with_several_payments(self) -> None:
        """
        Each payment of a refused command goes back to its own method.
        """
        story = IN["completed"]()

        story.refused(
            ANA,
            ef.BuyAddOn(
                title="x",
                price=euros("20"),
                payment=[
                    ef.Payment("wallet", "a", euros("5")),
                    ef.Payment("card", "b", euros("15")),
                ],
            ),
        )

        assert story.refunds == [("a", "5"), ("b", "15")]
        keys = [status.effect.key for status in story.engine.effects(story.id)]
        assert len(set(keys)) == len(keys)

    @pytest.mark.parametrize(
        ("actor", "command", "item", "why"),
        [
            (BANK, confirm("42"), "order", "not_owed"),
            (BANK, confirm("42", item="addon-7"), "addon-7", "not_owed"),
            (ANA, confirm("42", item="addon-7"), "addon-7", "not_your_command"),
            (
                ANA,
                ef.BuyAddOn(
                    title="x", price=euros("20"), payment=ef.Payment("card", "late")
                ),
                "buy_add_on",
                "order_ended",
            ),
            (
                ANA,
                ef.PayOffer(
                    offer_id="offer-7",
                    payment=ef.Payment("card", "late", euros("20")),
                ),
                "offer-7",
                "order_ended",
            ),
        ],
        ids=["order", "confirmed", "not by him", "option", "offer"],
    )
    def test_what_it_was_for(
        self, actor: ef.Actor, command: ef.Command, item: str, why: str
    ) -> None:
        """
        What goes back says what it was meant for, and why it was not kept.
        """
        story = completed()

        story.engine.attempt(story.id, command, by=actor)

        returned = story.engine.history(story.id)[-1].event
        assert isinstance(returned, PaymentReturned)
        assert (returned.item, returned.why) == (item, why)

    def test_what_can_be_confirmed(self) -> None:
        """
        The form names what may be paid for, and asks for one new payment.
        """
        story = in_progress().seller(ef.SendOffer(title="More", price=euros("30")))
        story.buyer(ef.BuyAddOn(title="x", price=euros("20"), payment=None))

        option = story.option(BANK, ef.ConfirmPayment)
        fields = {field.name: field for field in option.fields}

        assert fields["item"].choices == ("order", "addon-1", "offer-1")
        assert fields["payment"].maximum == 1
        inside = {field.name: field for field in fields["payment"].fields}
        assert set(inside) == {"method", "reference", "amount"}
        assert inside["reference"].excludes == ("pay-1",)

    def test_expired_offer_has_its_price(self) -> None:
        """
        A payment without an amount for an expired offer comes back at its price.
        """
        story = in_progress(delivery="P30D")
        story.seller(ef.SendOffer(title="More", price=euros("30")))
        story.after(days=7)

        pay = ef.PayOffer(offer_id="offer-1", payment=ef.Payment("card", "late"))
        codes = story.refused(ANA, pay)

        assert codes == ("no_open_offer", "offer_closed")
        assert story.refunds == [("late", "30")]

    def test_an_open_amount_has_its_fees(self) -> None:
        """
        An offer or an option that is confirmed without an amount is paid with its fees.
        """
        story = in_progress(policies=FEES)
        story.seller(ef.SendOffer(title="More", price=euros("30")))
        story.buyer(ef.BuyAddOn(title="x", price=euros("20"), payment=None))
        assert story.books == "106.3/0/0/0"

        story.provider(confirm(None, item="offer-1"))
        assert story.books == "138.1/0/0/0"

        story.provider(confirm(None, item="addon-1", reference="pay-3"))
        assert story.books == "159.3/0/0/0"

    def test_unknown_item_needs_an_amount(self) -> None:
        """
        For something nobody knows, an open amount cannot be worked out.
        """
        story = in_progress()

        with pytest.raises(ef.InvalidInputError) as caught:
            story.provider(confirm(None, item="offer-9"))

        assert caught.value.field == "payment.amount"
        assert story.books == "100/0/0/0"

    def test_operator_told_nothing_is_lost(self) -> None:
        """
        The buyer is told of a payment that went back.
        """
        story = completed()

        story.by(OPS, confirm("42"))

        assert story.told("payment_returned") == {"buyer"}


class TestCurrencies:
    """
    One currency an order; as many decimals as it has.
    """

    @pytest.mark.parametrize(
        ("currency", "price", "tip", "books"),
        [
            ("EUR", "99.99", "19.99", "119.98/0/0/0"),
            ("JPY", "9999", "1999", "11998/0/0/0"),
            ("KWD", "99.999", "19.999", "119.998/0/0/0"),
        ],
    )
    def test_held(self, currency: str, price: str, tip: str, books: str) -> None:
        """
        Cents, whole yen and thousandths of a dinar are held to the last unit.
        """
        story = pending(price=price, currency=currency, tip=ef.Money.of(tip, currency))

        assert story.books == books

    @pytest.mark.parametrize(
        ("currency", "price", "books"),
        [
            # 12.5 % of the work, rounded half up to a whole minor unit.
            ("EUR", "99.99", "0/0/87.49/12.5"),
            ("JPY", "9999", "0/0/8749/1250"),
            ("KWD", "99.999", "0/0/87.499/12.5"),
        ],
    )
    def test_released(self, currency: str, price: str, books: str) -> None:
        """
        A fee is rounded to what the currency has, and nothing is lost.
        """
        policies: dict[str, Any] = {"fees": {"seller_fee": ef.Fee(bps=1250)}}
        story = delivered(price=price, currency=currency, policies=policies)

        story.buyer(APPROVE)

        assert story.books == books

    def test_second_currency(self) -> None:
        """
        A second currency is wrong by itself, and nothing is written.
        """
        story = in_progress()
        version = story.order.version

        with pytest.raises(ef.InvalidInputError):
            story.buyer(
                ef.BuyAddOn(title="More", price=ef.Money.of("5", "USD"), payment=None)
            )

        assert story.order.version == version

    def test_second_currency_of_a_payment(self) -> None:
        """
        An order in euros is not paid in dollars.
        """
        with pytest.raises(ef.InvalidInputError):
            Story(payment=ef.Payment("card", "p", ef.Money.of("100", "USD")))

    def test_delivered_has_no_currency(self) -> None:
        """
        What carries no money is possible whatever the currency.
        """
        story = in_progress(currency="JPY", price="500")

        assert story.seller(DELIVER).state == "delivered"
