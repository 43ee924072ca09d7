"""
Add-ons and custom offers: R17 to R22.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pendulum import DateTime

import escrowflow as ef
from escrowflow.money import AMOUNT_MAX
from escrowflow.policies import TimePolicy
from tests.story import (
    ANA,
    ASK_CANCELLATION,
    ASK_REVISION,
    ASSIGN,
    CANCEL,
    DELIVER,
    DISPUTE,
    FREEZE,
    IN,
    LUC,
    Story,
    Why,
    delivered,
    euros,
    in_progress,
    late,
    revision_refused,
    revision_requested,
)

FEES = {"fees": {"buyer_fee": ef.Fee(bps=500), "bank_fee": ef.Fee(flat=euros("0.30"))}}


def buy(
    price: str = "20", window: str | None = None, amount: str | None = None
) -> ef.BuyAddOn:
    """
    Buy an option and pay it.
    """
    money = None if amount is None else euros(amount)
    return ef.BuyAddOn(
        title="Vector file",
        price=euros(price),
        payment=ef.Payment("card", "pay-2", money),
        extra_window=window,
    )


def offer(price: str = "30", window: str | None = None) -> ef.SendOffer:
    """
    Send a custom offer.
    """
    return ef.SendOffer(title="Poster", price=euros(price), delivery_window=window)


def pay(offer_id: str = "offer-1", amount: str | None = None) -> ef.PayOffer:
    """
    Pay an offer.
    """
    money = None if amount is None else euros(amount)
    return ef.PayOffer(offer_id=offer_id, payment=ef.Payment("card", "pay-3", money))


class TestAddOn:
    """
    Options on a running order.
    """

    @pytest.mark.parametrize(
        "state", ["in_progress", "revision_requested", "revision_refused"]
    )
    def test_r17_bought(self, state: str) -> None:
        """
        R17: the price joins what is held; the state stays.
        """
        story = IN[state]()
        standing = story.order.standing

        story.buyer(buy())

        assert story.books == "120/0/0/0"
        assert story.order.standing == standing
        assert [(item.title, item.paid) for item in story.order.add_ons] == [
            ("Vector file", True)
        ]

    def test_r17_with_fees(self) -> None:
        """
        R17: an option brings its part of the fees, the flat part only once.
        """
        story = in_progress(policies=FEES)

        story.buyer(buy())

        assert story.books == "126.3/0/0/0"
        assert story.order.fees == euros("6.30")

    def test_r17_fees_are_reckoned_on_the_whole(self) -> None:
        """
        R17: fees are rounded on the whole, so many small options cost no more.
        """
        story = in_progress(policies={"fees": {"buyer_fee": ef.Fee(bps=500)}})
        for number in range(10):
            story.buyer(
                ef.BuyAddOn(
                    title="Dot",
                    price=euros("0.10"),
                    payment=ef.Payment("card", f"dot-{number}"),
                )
            )

        # 5 % of 101.00 are 5.05; of each 0.10 alone it would have been 0.01.
        assert story.order.fees == euros("5.05")

    def test_confirmed_later(self) -> None:
        """
        R17: bought without a payment, it counts once its payment is confirmed.
        """
        story = in_progress().buyer(
            ef.BuyAddOn(title="Vector file", price=euros("20"), payment=None)
        )
        assert story.books == "100/0/0/0"

        story.provider(
            ef.ConfirmPayment(payment=ef.Payment("card", "pay-2"), item="addon-1")
        )

        assert story.books == "120/0/0/0"
        assert story.order.add_ons[0].paid

    @pytest.mark.parametrize("amount", ["19.99", "20.01"])
    def test_whole_in_one_go(self, amount: str) -> None:
        """
        R17: any other amount is refused, and the money goes back.
        """
        story = in_progress()

        assert story.refused(ANA, buy(amount=amount)) == ("payment_differs",)

        assert story.order.add_ons == ()
        assert story.refunds == [("pay-2", amount.rstrip("0"))]

    def test_what_would_be_right(self) -> None:
        """
        R17: the refusal names the full price, fees included; several payments that do
        not add up are told the same.
        """
        story = in_progress(policies=FEES)
        halves = [
            ef.Payment("card", "a", euros("10")),
            ef.Payment("card", "b", euros("9")),
        ]
        twice = ef.BuyAddOn(title="x", price=euros("20"), payment=halves)

        differs: Why = ("payment_differs", {"amount": euros("21")}, [])

        assert story.why(ANA, buy(amount="20")) == [differs]
        assert story.why(ANA, twice) == [differs]
        whole = ef.Payment("card", "c", euros("21"))
        story.buyer(ef.BuyAddOn(title="x", price=euros("20"), payment=whole))

    def test_confirmed_with_another_amount(self) -> None:
        """
        R17: a confirmation of another amount goes back whole, too.
        """
        story = in_progress().buyer(
            ef.BuyAddOn(title="Vector file", price=euros("20"), payment=None)
        )

        story.provider(
            ef.ConfirmPayment(
                payment=ef.Payment("card", "pay-2", euros("19")), item="addon-1"
            )
        )

        assert story.books == "100/19/0/0"
        assert not story.order.add_ons[0].paid

    def test_confirmed_after_the_end(self) -> None:
        """
        Gap: an option confirmed after the end goes back whole.
        """
        story = in_progress().buyer(
            ef.BuyAddOn(title="Vector file", price=euros("20"), payment=None)
        )
        story.seller(CANCEL)

        story.provider(
            ef.ConfirmPayment(payment=ef.Payment("card", "pay-2"), item="addon-1")
        )

        assert story.books == "0/120/0/0"

    def test_paid_twice(self) -> None:
        """
        Gap: an option that is paid already is not paid again.
        """
        story = in_progress().buyer(buy())

        story.provider(
            ef.ConfirmPayment(payment=ef.Payment("card", "pay-9"), item="addon-1")
        )

        assert story.books == "120/20/0/0"
        assert story.refunds == [("pay-9", "20")]

    def test_counted_reference(self) -> None:
        """
        Gap: a payment that counted for the order does not buy an option as well.
        """
        story = in_progress()

        codes = story.refused(
            ANA,
            ef.BuyAddOn(
                title="x", price=euros("20"), payment=ef.Payment("paypal", "pay-1")
            ),
        )

        assert codes == ("payment_counted",)
        assert story.books == "100/0/0/0"

    def test_several_payments(self) -> None:
        """
        R17: an option may be paid by several payments that add up.
        """
        story = in_progress().buyer(
            ef.BuyAddOn(
                title="x",
                price=euros("20"),
                payment=[
                    ef.Payment("wallet", "a", euros("5")),
                    ef.Payment("card", "b", euros("15")),
                ],
            )
        )

        story.seller(CANCEL)

        assert story.refunds == [("b", "15"), ("a", "5"), ("pay-1", "100")]

    def test_gap_own_method(self) -> None:
        """
        Gap: cancelled with the order, each payment goes back to its own method.
        """
        story = in_progress().buyer(buy())

        story.seller(CANCEL)

        methods = {
            refund.payment.reference: refund.payment.method
            for refund in story.order.refunds
        }
        assert methods == {"pay-1": "paypal", "pay-2": "card"}

    def test_not_sold(self) -> None:
        """
        R17: a service without options says so, and the money goes back.
        """
        story = in_progress(terms={"add_ons": False})

        assert story.refused(ANA, buy()) == ("add_ons_not_sold",)
        assert story.books == "100/20/0/0"

    def test_released_with_the_rest(self) -> None:
        """
        R17: on completion the seller is paid for options, too.
        """
        story = in_progress(policies={"fees": {"seller_fee": ef.Fee(bps=1000)}})

        story.buyer(buy()).seller(DELIVER).buyer(ef.ApproveDelivery())

        assert story.books == "0/0/108/12"


class TestOffer:
    """
    Custom offers inside the order.
    """

    @pytest.mark.parametrize(
        "state", ["in_progress", "revision_requested", "revision_refused"]
    )
    def test_r18_paid(self, state: str) -> None:
        """
        R18: sent by the seller, paid by the buyer, held with the rest.
        """
        story = IN[state]().seller(offer())
        assert story.books == "100/0/0/0"
        assert story.told("offer_sent") == {"buyer"}
        assert story.order.offers[0].title == "Poster"

        story.buyer(pay())

        assert story.books == "130/0/0/0"
        assert story.told("offer_paid") == {"seller"}
        assert "offer" not in [name for name, _ in story.waits]

    def test_r18_with_fees(self) -> None:
        """
        R18: an offer brings its part of the fees.
        """
        story = in_progress(policies=FEES).seller(offer())

        story.buyer(pay())

        assert story.books == "136.8/0/0/0"

    @pytest.mark.parametrize(("amount", "right"), [("30", False), ("31.5", True)])
    def test_r18_the_full_price(self, amount: str, right: bool) -> None:
        """
        R18: it is paid whole, fees included.
        """
        story = in_progress(policies=FEES).seller(offer())

        if right:
            assert story.buyer(pay(amount=amount)).books == "136.8/0/0/0"
        else:
            assert story.why(ANA, pay(amount=amount)) == [
                ("payment_differs", {"amount": euros("31.50")}, [])
            ]

    def test_r18_may_be_confirmed_later(self) -> None:
        """
        R18, R21: pressing the button without money leaves it open until confirmed.
        """
        story = in_progress().seller(offer())
        story.buyer(ef.PayOffer(offer_id="offer-1", payment=None))
        assert story.order.offers[0].status == "open"

        story.provider(
            ef.ConfirmPayment(payment=ef.Payment("card", "pay-3"), item="offer-1")
        )

        assert story.books == "130/0/0/0"
        assert story.order.offers[0].status == "paid"

    def test_r19_unanswered(self) -> None:
        """
        R19: unanswered for seven days it is over, and nothing moved.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", delivery="P30D").seller(
            offer()
        )
        assert ("offer", "2026-06-08T12:00:00+02:00") in story.waits

        story.at("06-08 12:00").sweep()

        assert story.order.offers[0].status == "expired"
        assert story.books == "100/0/0/0"
        assert story.told("offer_expired") == {"seller"}
        assert story.refused(ANA, pay()) == ("no_open_offer", "offer_closed")
        assert story.refunds == [("pay-3", "30")]

    @pytest.mark.parametrize(
        ("actor", "command", "status"),
        [
            (ANA, ef.RefuseOffer(offer_id="offer-1"), "refused"),
            (LUC, ef.WithdrawOffer(offer_id="offer-1"), "withdrawn"),
        ],
        ids=["refuse", "withdraw"],
    )
    def test_r20_gone(self, actor: ef.Actor, command: ef.Command, status: str) -> None:
        """
        R20: refused or withdrawn it is gone for good; a new one may be sent.
        """
        story = in_progress().seller(offer())

        story.by(actor, command)

        assert story.order.offers[0].status == status
        assert "offer" not in [name for name, _ in story.waits]
        assert story.refused(ANA, pay()) == ("no_open_offer", "offer_closed")
        story.seller(offer("25")).buyer(
            ef.PayOffer(offer_id="offer-2", payment=ef.Payment("card", "pay-4"))
        )
        assert story.books == "125/30/0/0"

    def test_r20_another_one_open(self) -> None:
        """
        R20: where another offer is open, the refusal is about this one.
        """
        story = in_progress().seller(offer(), offer("25"))
        story.buyer(ef.RefuseOffer(offer_id="offer-1"))

        assert story.why(ANA, pay()) == [
            ("offer_closed", {"offer": "offer-1", "status": "refused"}, [])
        ]
        assert story.why(ANA, pay("offer-7", "5")) == [
            ("no_such_offer", {"offer": "offer-7"}, [])
        ]

    @pytest.mark.parametrize(
        ("begin", "ways"), [(in_progress, ["seller send_offer"]), (delivered, [])]
    )
    @pytest.mark.parametrize(
        ("actor", "command"),
        [(ANA, ef.PayOffer), (ANA, ef.RefuseOffer), (LUC, ef.WithdrawOffer)],
    )
    def test_r20_none_at_all(
        self, begin: Any, ways: list[str], actor: ef.Actor, command: type[ef.Command]
    ) -> None:
        """
        R20: where no offer is open, one can be sent; if it can be sent here.
        """
        assert begin().blocked(actor, command) == [("no_open_offer", {}, ways)]

    def test_r21_only_once(self) -> None:
        """
        R21: a paid offer is consumed; a second payment goes back.
        """
        story = in_progress().seller(offer()).buyer(pay())

        again = ef.PayOffer(offer_id="offer-1", payment=ef.Payment("card", "pay-9"))

        assert story.refused(ANA, again) == ("no_open_offer", "offer_closed")
        assert story.books == "130/30/0/0"

    @pytest.mark.parametrize("amount", ["29.99", "30.01"])
    def test_r21_whole(self, amount: str) -> None:
        """
        R21: any other amount is refused, and goes back.
        """
        story = in_progress().seller(offer())

        assert story.refused(ANA, pay(amount=amount)) == ("payment_differs",)

        assert story.refunds == [("pay-3", amount)]
        assert story.order.offers[0].status == "open"

    def test_r22_the_terms_say_no(self) -> None:
        """
        R22: a seller whose terms take no offers cannot send any.
        """
        story = in_progress(terms={"offers": False})

        assert story.refused(LUC, offer()) == ("offers_not_taken",)

    @pytest.mark.parametrize(
        "begin", [in_progress, delivered, revision_requested, revision_refused]
    )
    def test_answered_in_any_running_state(self, begin: Any) -> None:
        """
        The grid: an open offer may be paid wherever the order runs.
        """
        story = in_progress().seller(offer())
        if begin is not in_progress:
            story.seller(DELIVER)
        if begin in (revision_requested, revision_refused):
            story.buyer(ASK_REVISION)
        if begin is revision_refused:
            story.seller(ef.RefuseRevision(reason="no"))

        story.buyer(pay())

        assert story.books == "130/0/0/0"

    @pytest.mark.parametrize("command", [DISPUTE, FREEZE], ids=lambda c: c.name)
    def test_paused_with_the_order(self, command: ef.Command) -> None:
        """
        The grid: in a dispute or a freeze an offer is neither paid nor over.
        """
        story = in_progress().seller(offer()).staff(command).after(days=30)

        assert story.refused(ANA, pay()) == ("not_in_this_state",)
        assert story.order.offers[0].status == "open"
        assert story.refunds == [("pay-3", "30")]

    def test_dies_with_the_order(self) -> None:
        """
        An open offer cannot be paid after the end.
        """
        story = in_progress().seller(offer(), CANCEL)

        assert story.refused(ANA, pay()) == ("order_ended",)
        assert story.books == "0/130/0/0"


class AtOnce:
    """
    A host's own answer to what an extra does to the deadline: it is due at once.
    """

    version = "1"
    offer_window = timedelta(days=7)
    tip_max = ef.Share.percent(20)

    def extended(self, window: timedelta, extra: timedelta) -> timedelta:
        """
        As long as before.
        """
        return window

    def moved(
        self, due_at: DateTime, *, now: DateTime, extra: timedelta, time: TimePolicy
    ) -> DateTime:
        """
        Now.
        """
        return now


def minor(amount: int) -> ef.Money:
    """
    Return an amount in cents.
    """
    return ef.Money(amount, "EUR")


def sold(story: Story, price: int, *, paid: bool) -> Story:
    """
    Let the buyer take an option for so many cents.
    """
    payment = ef.Payment("card", "pay-2") if paid else None
    return story.buyer(ef.BuyAddOn(title="x", price=minor(price), payment=payment))


def field_of(option: ef.Option, name: str) -> ef.Field:
    """
    Return what a form says of one of its fields.
    """
    return next(field for field in option.fields if field.name == name)


def most_of(story: Story) -> ef.Money:
    """
    Return the highest price that a form takes: the same of options and of offers.
    """
    most = field_of(story.option(ANA, ef.BuyAddOn), "price").maximum
    assert most == field_of(story.option(LUC, ef.SendOffer), "price").maximum
    assert isinstance(most, ef.Money)
    return most


def half_up(part: int, whole: int) -> int:
    """
    Return a share in whole cents, a half upwards.
    """
    return (2 * part + whole) // (2 * whole)


class TestWorth:
    """
    What one order may be worth at most, whatever it is made of.
    """

    @pytest.mark.parametrize("less", range(1, 14))
    def test_the_last_cents(self, less: int) -> None:
        """
        Where little room is left, and half of it is for fees, the form is right all
        the same.
        """
        worth = minor(AMOUNT_MAX * 2 // 3 - less)
        story = in_progress(
            price=str(worth.amount), policies={"fees": {"buyer_fee": ef.Fee(bps=5000)}}
        )
        most = most_of(story)

        over = ef.SendOffer(title="x", price=minor(most.minor + 1))
        assert story.refused(LUC, over) == ("order_worth_too_much",)
        story.buyer(ef.BuyAddOn(title="x", price=most, payment=None))

    def test_the_last_cent(self) -> None:
        """
        There may be room for just one, in an option or in an offer.
        """
        story = in_progress(price=str(minor(AMOUNT_MAX - 1).amount))
        assert most_of(story) == minor(1)

        story.seller(ef.SendOffer(title="x", price=minor(1)))
        story.seller(ef.WithdrawOffer(offer_id="offer-1"))

        sold(story, 1, paid=False)

    @pytest.mark.parametrize("command", [ef.BuyAddOn, ef.PayOffer])
    def test_one_payment(self, command: type[ef.Command]) -> None:
        """
        The form asks for one payment, of the full price, by a reference not used yet.
        """
        story = in_progress().seller(offer())

        payment = field_of(story.option(ANA, command), "payment")

        assert payment.maximum == 1
        assert [field.name for field in payment.fields] == ["method", "reference"]
        assert payment.fields[1].excludes == ("pay-1",)

    @pytest.mark.parametrize(
        ("build", "taken", "base"),
        [
            (in_progress, 10_000, 10_000),
            (lambda **more: in_progress(tip=euros("20"), **more), 12_000, 10_000),
            (lambda **more: sold(in_progress(**more), 700, paid=True), 10_700, 10_700),
            (lambda **more: sold(in_progress(**more), 700, paid=False), 10_700, 10_700),
            (lambda **more: in_progress(**more).seller(offer()), 13_000, 10_000),
            (
                lambda **more: in_progress(**more).seller(offer()).buyer(pay()),
                13_000,
                13_000,
            ),
            (
                lambda **more: in_progress(**more).seller(
                    offer(), ef.WithdrawOffer(offer_id="offer-1")
                ),
                10_000,
                10_000,
            ),
        ],
        ids=["price", "tip", "paid", "bought", "offered", "taken", "withdrawn"],
    )
    @pytest.mark.parametrize("bps", [0, 500])
    def test_to_the_cent(self, build: Any, taken: int, base: int, bps: int) -> None:
        """
        The form says how much more there may be, fees included; a cent more is refused,
        of an option and of an offer.

        Fees are on what was bought, paid or not, and on no tip; on an offer once it is
        taken.
        """
        story = build(policies={"fees": {"buyer_fee": ef.Fee(bps=bps)}})
        room = AMOUNT_MAX - taken - base * bps // 10_000
        most = most_of(story)

        assert most.minor + half_up(most.minor * bps, 10_000) <= room
        assert most.minor + 1 + half_up((most.minor + 1) * bps, 10_000) > room
        over = minor(most.minor + 1)
        full: list[Why] = [("order_worth_too_much", {"maximum": minor(AMOUNT_MAX)}, [])]
        unpaid = ef.BuyAddOn(title="x", price=over, payment=None)
        assert story.why(ANA, unpaid) == full
        assert story.why(LUC, ef.SendOffer(title="x", price=over)) == full
        story.buyer(ef.BuyAddOn(title="x", price=most, payment=None))
        if not bps:
            assert story.blocked(ANA, ef.BuyAddOn) == full
            assert story.blocked(LUC, ef.SendOffer) == full


def with_deadline(value: str, **kwargs: Any) -> Story:
    """
    Accepted on 06-01 at 12:00 for five days, under one value of `addon_deadline`.
    """
    policies = {"extras": {"addon_deadline": value}}
    return in_progress("2026-06-01T10:00:00+02:00", policies=policies, **kwargs)


class TestDeliveryTime:
    """
    Gap: what an extra's own delivery time does, for each `addon_deadline`.
    """

    @pytest.mark.parametrize(
        ("value", "due"),
        [
            ("none", "2026-06-06T12:00:00+02:00"),
            ("add_days", "2026-06-09T12:00:00+02:00"),
            ("max", "2026-06-06T12:00:00+02:00"),
        ],
    )
    @pytest.mark.parametrize("kind", ["add-on", "offer"])
    def test_three_days_more(self, kind: str, value: str, due: str) -> None:
        """
        Gap: three days more: not at all, added, or longer than what is left.
        """
        story = with_deadline(value)

        if kind == "add-on":
            story.buyer(buy(window="P3D"))
        else:
            story.seller(offer(window="P3D")).buyer(pay())

        assert story.due == due

    @pytest.mark.parametrize(
        ("value", "due"),
        [
            ("none", "2026-06-06T12:00:00+02:00"),
            ("add_days", "2026-06-09T12:00:00+02:00"),
            ("max", "2026-06-08T12:00:00+02:00"),
        ],
    )
    def test_a_day_before_the_end(self, value: str, due: str) -> None:
        """
        Gap: `max` is counted from now, `add_days` from the deadline.
        """
        story = with_deadline(value).at("06-05 12:00")

        story.buyer(buy(window="P3D"))

        assert story.due == due

    @pytest.mark.parametrize(
        ("value", "is_late", "due"),
        [
            ("none", True, "2026-06-06T12:00:00+02:00"),
            ("add_days", False, "2026-06-11T12:00:00+02:00"),
            ("max", False, "2026-06-11T12:00:00+02:00"),
        ],
    )
    @pytest.mark.parametrize("kind", ["add-on", "offer"])
    def test_once_late(self, kind: str, value: str, is_late: bool, due: str) -> None:
        """
        Gap: late, time is added from now, and a new later deadline clears `late`.
        """
        story = with_deadline(value).at("06-08 12:00")
        assert story.order.late

        if kind == "add-on":
            story.buyer(buy(window="P3D"))
        else:
            story.seller(offer(window="P3D")).buyer(pay())

        assert story.order.late is is_late
        assert story.order.ever_late
        assert story.due == due

    @pytest.mark.parametrize(
        ("value", "days"), [("none", 5), ("add_days", 8), ("max", 6)]
    )
    @pytest.mark.parametrize("when", ["placed", "running"])
    def test_part_of_the_full_time(self, value: str, days: int, when: str) -> None:
        """
        Gap: a redelivery has the full window, windows of extras included.
        """
        window = "P3D" if value == "add_days" else "P6D"
        if when == "placed":
            item = ef.AddOn(title="More", price=euros("5"), extra_window=window)
            story = with_deadline(value, add_ons=[item])
        else:
            story = with_deadline(value).buyer(buy(window=window))
        story.at("06-02 12:00").seller(DELIVER).buyer(ASK_REVISION)

        story.at("06-03 12:00").seller(ef.AcceptRevision())

        assert story.due == f"2026-06-{3 + days:02}T12:00:00+02:00"

    def test_no_deadline_is_made_to_pass(self) -> None:
        """
        Gap: whatever a host's policy says, an extra makes nobody late, and takes
        lateness from nobody who has no time for it.
        """
        story = in_progress(policies={"extras": AtOnce()})
        due = story.due

        assert story.buyer(buy(window="P3D")).row == ("in_progress", due, "120/0/0/0")
        late_one = late(policies={"extras": AtOnce()})
        assert late_one.buyer(buy(window="P3D")).state == "in_progress + late"

    def test_bought_while_stopped(self) -> None:
        """
        Gap: bought in a revision, the time is there once work goes on.
        """
        story = in_progress(
            "2026-06-01T10:00:00+02:00",
            policies={
                "extras": {"addon_deadline": "add_days"},
                "delivery": {"revision_deadline": "remaining"},
            },
        )
        story.at("06-02 12:00").seller(DELIVER).buyer(ASK_REVISION)
        story.buyer(buy(window="P3D"))

        story.at("06-03 12:00").seller(ef.AcceptRevision())

        # Four of five days were left, and three are added.
        assert story.due == "2026-06-10T12:00:00+02:00"

    def test_without_a_window(self) -> None:
        """
        Gap: an option without a delivery time moves nothing.
        """
        story = with_deadline("add_days")

        story.buyer(buy())

        assert story.due == "2026-06-06T12:00:00+02:00"

    def test_unpaid_moves_nothing(self) -> None:
        """
        Gap: only what is paid counts.
        """
        story = with_deadline("add_days")

        story.buyer(
            ef.BuyAddOn(title="x", price=euros("5"), payment=None, extra_window="P3D")
        )

        assert story.due == "2026-06-06T12:00:00+02:00"

    def test_late_buyer_right_ends(self) -> None:
        """
        Gap: once `late` is cleared, the buyer cannot leave alone any more.
        """
        story = late(policies={"extras": {"addon_deadline": "add_days"}})
        assert story.option(ANA, ef.CancelOrder).allowed

        story.buyer(buy(window="P3D"))

        assert story.refused(ANA, CANCEL) == ("consent_needed",)

    def test_handed_over_late(self) -> None:
        """
        Gap, C12: what was handed over late is not due again while the buyer asks to
        cancel; the time is there for the next delivery.
        """
        story = late(
            policies={
                "extras": {"addon_deadline": "add_days"},
                "cancellation": {"cancel_request_states": {"in_progress", "delivered"}},
            }
        )
        story.seller(offer(window="P3D"), DELIVER).buyer(ASK_CANCELLATION)

        story.buyer(pay())

        assert story.state == "cancellation_requested + late"
        assert [wait.name for wait in story.order.deadlines] == ["answer"]
        story.buyer(ef.WithdrawCancellation(), ASK_REVISION).seller(ef.AcceptRevision())
        assert story.order.due_at == story.clock.now().add(days=8)

    def test_paid_while_frozen(self) -> None:
        """
        Gap: paid while staff looks at a late order, the time is there afterwards.
        """
        story = late(policies={"extras": {"addon_deadline": "add_days"}})
        story.buyer(
            ef.BuyAddOn(title="x", price=euros("5"), payment=None, extra_window="P3D")
        ).staff(FREEZE)
        paid = ef.ConfirmPayment(
            payment=ef.Payment("card", "pay-9", euros("5")), item="addon-1"
        )

        story.after(days=1).provider(paid).after(days=1).staff(ef.UnfreezeOrder())

        assert story.state == "in_progress"
        assert story.order.due_at == story.clock.now().add(days=3)

    def test_frozen_once_handed_over(self) -> None:
        """
        Gap, C12: nor is what was handed over late due again after a freeze.
        """
        story = late(
            policies={
                "extras": {"addon_deadline": "add_days"},
                "cancellation": {"cancel_request_states": {"in_progress", "delivered"}},
            }
        ).buyer(
            ef.BuyAddOn(title="x", price=euros("5"), payment=None, extra_window="P3D")
        )
        story.seller(DELIVER).buyer(ASK_CANCELLATION).staff(FREEZE)
        paid = ef.ConfirmPayment(
            payment=ef.Payment("card", "pay-9", euros("5")), item="addon-1"
        )

        story.provider(paid).staff(ef.UnfreezeOrder())

        assert story.state == "cancellation_requested + late"
        assert [wait.name for wait in story.order.deadlines] == ["answer"]

    def test_stopped_by_a_dispute(self) -> None:
        """
        Gap: after a relaunch the extra's time is part of what is left.
        """
        story = with_deadline("add_days").buyer(buy(window="P3D")).at("06-02 12:00")
        story.staff(DISPUTE).mediator(ASSIGN).at("06-20 12:00")

        story.mediator(ef.RuleDispute(ruling=ef.Relaunch(), reason="go on"))

        assert story.due == "2026-06-27T12:00:00+02:00"
