"""
Authorise first, charge later: what the buyer's bank holds until the seller accepts
(F37, F44; docs/reference/rules.md).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.decisions import Decided, decide
from escrowflow.decisions.reports import later_keys
from escrowflow.effects import Charge, Notify, PayOut, Refund, ReleaseHold
from escrowflow.engine import Engine, Retries
from escrowflow.errors import CommandRefusedError, InvalidInputError, LedgerError
from escrowflow.events import (
    ChargeFailed,
    ChargePaid,
    ChargeSent,
    HoldReleased,
    PaymentReturned,
)
from escrowflow.money import Fee, Payment
from escrowflow.order import Order
from escrowflow.parties import SYSTEM, Role
from escrowflow.states import BACK, Row, State
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import FullRefund, PaySeller, Split
from escrowflow.testing import PROFILES, SimulatedGateway
from escrowflow.testing.gateways import (
    ERROR,
    KILLED_AFTER,
    KILLED_BEFORE,
    LOST,
    PENDING,
    REFUSED,
    UNANSWERED,
    Killed,
    Trouble,
    late,
)
from escrowflow.testing.invariants import check_history, check_money
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    OPS,
    STRIPE,
    T0,
    an_engine,
    an_order,
    eur,
    paid,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

# The buyer is charged once the seller accepts; his bank holds the money for a week.
LATER: Final = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})
UNTIL: Final = "2026-05-12T10:00:00+02:00"
CARD: Final = Payment("card", "pi_1", eur(60), UNTIL)
PAYPAL: Final = Payment("paypal", "pp_1", eur(40), UNTIL)
ALL: Final = Payment("card", "pi_1", eur(100), UNTIL)


def engine_with(*payment: Payment, state: str = "pending") -> Engine:
    """
    Return an engine with order o1 of 100 euros, paid in a way, waiting for the seller.
    """
    engine = an_engine(MemoryStorage(), LATER)
    engine.place(an_order(payment=payment or ALL), by=ANA, order_id="o1")
    if state == "charging":
        engine.execute("o1", c.AcceptOrder(), by=LUC)
    elif state == "frozen":
        engine.execute("o1", c.FreezeOrder(reason="checks"), by=OPS)
    return engine


def tell(engine: Engine, by: Any = STRIPE, /, **fields: Any) -> Order:
    """
    Send what became of a charge; return the order, everything that must hold held.
    """
    fields = {"reference": "pi_1", **fields}
    order = engine.execute("o1", c.ReportCharge(**fields), by=by).order
    check_history(LATER, engine.history("o1"))
    assert engine.verify().faults == ()
    return order


def asked(engine: Engine, kind: type[Any]) -> list[Any]:
    """
    Return the effects of a kind that were asked for and are still to be done.
    """
    return [
        one.effect
        for one in engine.effects("o1")
        if isinstance(one.effect, kind) and one.status in ("waiting", "parked")
    ]


def codes(engine: Engine, command: c.Command, by: Any) -> tuple[str, ...]:
    """
    Return what a command is refused with.
    """
    before = engine.storage.load("o1").version
    with pytest.raises(CommandRefusedError) as caught:
        engine.execute("o1", command, by=by)
    assert engine.storage.load("o1").version == before
    return tuple(blocker.code for blocker in caught.value.blockers)


def said(engine: Engine, command: c.Command, by: Any) -> list[tuple[str, Any]]:
    """
    Return what a command is refused with: codes, and the parts of each.
    """
    with pytest.raises(CommandRefusedError) as caught:
        engine.execute("o1", command, by=by)
    return [(blocker.code, blocker.params) for blocker in caught.value.blockers]


def last(engine: Engine, kind: type[Any]) -> Any:
    """
    Return the last event of a kind.
    """
    return [
        recorded.event
        for recorded in engine.history("o1")
        if isinstance(recorded.event, kind)
    ][-1]


class TestHolding:
    """
    A bank holds the money: the seller may accept, and nothing is in the books.
    """

    def test_pays_for_the_order(self) -> None:
        """
        The order waits for the seller, and for the end of the hold; we have nothing.
        """
        order = engine_with().order("o1")

        assert order.state == "pending"
        assert not order.amount_due
        assert not order.ledger.paid_in
        assert not order.ledger.held
        (hold,) = order.holds
        assert (hold.status, hold.amount, hold.payment) == ("held", eur(100), ALL)
        wait = order.deadline("hold")
        assert wait is not None
        assert wait.due_at == ALL.held_until

    def test_beside_money_that_arrived(self) -> None:
        """
        A part is held here, a part by a bank: both pay.
        """
        order = engine_with(CARD, paid("w_1", eur(40))).order("o1")

        assert order.state == "pending"
        assert order.ledger.held == eur(40)
        assert [hold.amount for hold in order.holds] == [eur(60)]

    def test_in_parts(self) -> None:
        """
        The first hold to end is the deadline; the order waits until all is held.
        """
        engine = engine_with(CARD)
        assert engine.order("o1").state == "awaiting_payment"

        sooner = Payment("paypal", "pp_1", eur(40), "2026-05-08T10:00:00+02:00")
        engine.execute("o1", c.ConfirmPayment(payment=sooner), by=STRIPE)

        order = engine.order("o1")
        assert order.state == "pending"
        wait = order.deadline("hold")
        assert wait is not None
        assert wait.due_at == sooner.held_until

    def test_twice(self) -> None:
        """
        A webhook that comes twice changes nothing.
        """
        engine = engine_with()

        outcome = engine.execute("o1", c.ConfirmPayment(payment=ALL), by=STRIPE)

        assert outcome.events == ()

    def test_twice_with_another_amount(self) -> None:
        """
        A bank that now says to hold another amount contradicts the books: refused,
        before it is charged and after (F44).
        """
        engine = engine_with()
        held = attrs.evolve(ALL, amount=eur("99.99"))
        arrived = attrs.evolve(held, held_until=None)

        assert codes(engine, c.ConfirmPayment(payment=held), STRIPE) == (
            "amount_differs",
        )
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        order = tell(engine, status="paid")
        for payment in (held, arrived):
            again = c.ConfirmPayment(payment=payment)
            assert codes(engine, again, STRIPE) == ("amount_differs",)
        assert engine.order("o1").version == order.version

    def test_not_by_default(self) -> None:
        """
        Where an order is paid at once, a hold does not pay, now or later: it is no
        money, and nobody here lets it go.
        """
        engine = an_engine(MemoryStorage(), COMEUP)
        with pytest.raises(CommandRefusedError) as caught:
            engine.place(an_order(payment=ALL), by=ANA, order_id="o1")
        assert [blocker.code for blocker in caught.value.blockers] == [
            "holds_not_taken"
        ]
        engine.place(an_order(payment=None), by=ANA, order_id="o1")

        confirm = c.ConfirmPayment(payment=ALL)
        assert codes(engine, confirm, STRIPE) == ("holds_not_taken",)
        assert not asked(engine, ReleaseHold)

    def test_over_already(self) -> None:
        """
        What is over when it is told of does not pay.
        """
        engine = an_engine(MemoryStorage(), LATER)
        engine.place(an_order(payment=None), by=ANA, order_id="o1")
        over = attrs.evolve(ALL, held_until=T0)

        order = engine.execute("o1", c.ConfirmPayment(payment=over), by=STRIPE).order

        assert order.state == "awaiting_payment"
        assert [hold.status for hold in order.holds] == ["released"]
        assert last(engine, HoldReleased).why == "hold_over"
        with pytest.raises(CommandRefusedError, match="held anew") as caught:
            engine.place(an_order(payment=over), by=ANA, order_id="o2")
        (blocker,) = caught.value.blockers
        assert blocker.params == {"held_until": over.held_until}
        later = attrs.evolve(over, held_until=engine.clock.now().add(microseconds=1))
        placed = engine.place(an_order(payment=later), by=ANA, order_id="o2")
        assert placed.order.state == "pending"

    @pytest.mark.parametrize("amount", [eur(101), eur(1)])
    def test_not_owed(self, amount: Any) -> None:
        """
        More than is owed, or for an order that has its money: it is let go.
        """
        engine = engine_with(paid()) if amount == eur(1) else engine_with(CARD)
        other = Payment("card", "pi_9", amount, UNTIL)

        order = engine.execute("o1", c.ConfirmPayment(payment=other), by=STRIPE).order

        hold = order.hold("pi_9")
        assert hold is not None
        assert hold.status == "released"
        assert [effect.payment for effect in asked(engine, ReleaseHold)] == [other]
        released = last(engine, HoldReleased)
        assert (released.item, released.why) == ("order", "not_owed")

    def test_only_for_the_order(self) -> None:
        """
        Extras are paid at once: their work may begin at once.
        """
        extra: Iterable[Any] = (
            lambda: c.BuyAddOn(title="x", price=eur(1), payment=CARD),
            lambda: c.PayOffer(offer_id="offer-1", payment=CARD),
            lambda: c.ConfirmPayment(payment=CARD, item="addon-1"),
        )
        for make in extra:
            with pytest.raises(InvalidInputError, match=r"payment\.held_until"):
                make()

    @pytest.mark.parametrize("until", [5, "soon", "2026-05-12T10:00:00", object()])
    def test_no_instant(self, until: Any) -> None:
        """
        What is no instant, or nobody knows where, is refused by its name.
        """
        with pytest.raises(InvalidInputError, match="held_until"):
            Payment("card", "pi_1", eur(1), until)


class TestCharging:
    """
    The seller accepts, the money comes, and then he begins.
    """

    def test_accept(self) -> None:
        """
        Nothing begins before the money is here.
        """
        engine = engine_with()

        order = engine.execute("o1", c.AcceptOrder(), by=LUC).order

        assert order.state == "pending"
        assert order.accepted_at is None
        assert [wait.name for wait in order.deadlines] == ["hold"]
        (effect,) = asked(engine, Charge)
        assert (effect.amount, effect.payment) == (eur(100), ALL)
        assert effect.key == order.holds[0].key

    def test_begins(self) -> None:
        """
        Charged: the money is held, the delivery time begins.
        """
        engine = engine_with(state="charging")
        engine.clock.advance(hours=3)  # type: ignore[attr-defined]

        order = tell(engine, status="paid", reference="pi_1", amount=eur(100))

        assert order.state == "in_progress"
        assert order.ledger.held == eur(100)
        assert order.accepted_at == order.effective_at
        assert order.due_at == order.effective_at.add(days=5)
        assert [wait.name for wait in order.deadlines] == ["delivery"]
        assert [payment.payment for payment in order.payments] == [
            attrs.evolve(ALL, held_until=None)
        ]
        assert not asked(engine, Charge)

    def test_in_parts(self) -> None:
        """
        Two holds: the seller begins with the last of them.
        """
        engine = engine_with(CARD, PAYPAL, state="charging")

        order = tell(engine, status="paid")
        assert (order.state, order.ledger.held) == ("pending", eur(60))

        order = tell(engine, status="paid", reference="pp_1")
        assert (order.state, order.ledger.held) == ("in_progress", eur(100))

    def test_by_the_word_of_the_provider(self) -> None:
        """
        "It has arrived" says the same as "it was charged", also before anybody asked.
        """
        arrived = attrs.evolve(ALL, held_until=None)
        engine = engine_with(state="charging")
        order = engine.execute("o1", c.ConfirmPayment(payment=arrived), by=STRIPE).order
        assert (order.state, order.ledger.held) == ("in_progress", eur(100))

        engine = engine_with()
        order = engine.execute("o1", c.ConfirmPayment(payment=arrived), by=STRIPE).order
        assert (order.state, order.ledger.held) == ("pending", eur(100))
        assert order.deadline("hold") is None
        order = engine.execute("o1", c.AcceptOrder(), by=LUC).order
        assert order.state == "in_progress"

    @pytest.mark.parametrize("state", ["pending", "charging", "frozen"])
    @pytest.mark.parametrize("how", ["report", "confirm"])
    def test_a_part_of_it(self, state: str, how: str) -> None:
        """
        Less than was agreed is booked and goes back whole; the order is over (F44).
        """
        engine = engine_with(state=state)
        if how == "report":
            order = tell(engine, status="paid", amount=eur(90))
        else:
            part = Payment("card", "pi_1", eur(90))
            confirm = c.ConfirmPayment(payment=part)
            order = engine.execute("o1", confirm, by=STRIPE).order

        assert order.state == "cancelled"
        assert order.ledger.paid_in == order.ledger.refunded == eur(90)
        assert not asked(engine, Charge)
        returned = last(engine, PaymentReturned)
        assert (returned.item, returned.why) == ("order", "amount_differs")
        assert order.ending is not None
        assert (order.ending.cause, order.ending.trigger) == (
            "charge_failed",
            "report_charge",
        )
        assert order.ending.responsible is Role.BUYER
        assert tell(engine, status="paid", amount=eur(90)).version == order.version

    def test_a_part_of_it_before_the_rest(self) -> None:
        """
        As long as there is time to pay, it may be paid anew.
        """
        engine = engine_with(CARD)
        part = Payment("card", "pi_1", eur(1))

        order = engine.execute("o1", c.ConfirmPayment(payment=part), by=STRIPE).order

        assert order.state == "awaiting_payment"
        assert order.amount_due == eur(100)
        assert order.ledger.refundable == 100
        assert order.deadline("hold") is None

    def test_more_than_is_held(self) -> None:
        """
        More than was held is refused, for a human to look at (F44).
        """
        engine = engine_with(state="charging")
        other = eur("100.01")

        differs = [("amount_differs", {"amount": other, "expected": eur(100)})]
        report = c.ReportCharge(reference="pi_1", status="paid", amount=other)
        assert said(engine, report, STRIPE) == differs
        confirm = c.ConfirmPayment(payment=Payment("card", "pi_1", other))
        assert said(engine, confirm, STRIPE) == differs

    def test_taken_back(self) -> None:
        """
        While a bank has taken a payment back nobody begins, and the seller who waits
        for it is not at fault.
        """
        engine = engine_with(CARD, paid("pi_2", eur(40)))
        opened = c.ReportChargeback(
            chargeback_id="dp_1", payment_reference="pi_2", status="opened"
        )
        engine.execute("o1", opened, by=STRIPE)

        assert codes(engine, c.AcceptOrder(), LUC) == ("payment_taken_back",)
        engine.clock.advance(days=3)  # type: ignore[attr-defined]
        engine.run_due()
        ending = engine.order("o1").ending
        assert ending is not None
        assert ending.responsible is Role.BUYER

    @pytest.mark.parametrize("name", ["accept_order", "refuse_order", "cancel_order"])
    def test_others_wait(self, name: str) -> None:
        """
        Until that is known nobody accepts, refuses or cancels; staff does not freeze.
        """
        engine = engine_with(state="charging")
        command: c.Command = {
            "accept_order": c.AcceptOrder(),
            "refuse_order": c.RefuseOrder(reason="busy"),
            "cancel_order": c.CancelOrder(),
        }[name]

        by = ANA if name == "cancel_order" else LUC
        assert codes(engine, command, by) == ("charge_under_way",)
        freeze = c.FreezeOrder(reason="checks")
        assert codes(engine, freeze, OPS) == ("charge_under_way",)

    def test_again(self) -> None:
        """
        What was proved not to have happened is charged under the next key.
        """
        engine = engine_with(state="charging")
        (first,) = asked(engine, Charge)

        order = tell(engine, key=first.key, status="failed", reason="x", again=True)

        (second,) = asked(engine, Charge)
        assert order.state == "pending"
        assert order.holds[0].epoch == 1
        assert second.key == order.holds[0].key != first.key
        assert codes(engine, c.ReportCharge(key=first.key, status="paid"), STRIPE) == (
            "nothing_owed_by_that_name",
        )

    def test_a_key_that_was_given_up(self) -> None:
        """
        Said once more that nothing was charged under the first key, the second goes on,
        though both are called like the payment; what has come has come.
        """
        engine = engine_with(state="charging")
        (first,) = asked(engine, Charge)
        tell(engine, key=first.key, status="failed", reason="x", again=True)
        (second,) = asked(engine, Charge)
        before = tell(engine, key=second.key, status="sent")

        late = c.ReportCharge(key=first.key, reference="pi_1", status="failed")
        assert codes(engine, late, STRIPE) == ("nothing_owed_by_that_name",)
        assert engine.order("o1").holds == before.holds

        assert tell(engine, key=first.key, status="paid").state == "in_progress"

    def test_forgotten_while_another_is_under_way(self) -> None:
        """
        That a charge failed which a restored backup has forgotten is no end of the one
        that is on its way.
        """
        engine = engine_with(state="charging")
        (charge,) = asked(engine, Charge)
        order = tell(engine, key=charge.key, status="sent", reference="ch_2")
        (later, *_) = later_keys(order, order.holds[0])

        old = c.ReportCharge(key=later, reference="ch_1", status="failed")
        assert said(engine, old, STRIPE) == [
            ("nothing_owed_by_that_name", {"name": later})
        ]

        order = tell(engine, key=charge.key, status="paid", reference="ch_2")
        assert order.holds[0].status == "charged"

    def test_refused_by_the_bank(self) -> None:
        """
        Then the order is over: what was charged goes back, the rest is let go.
        """
        engine = engine_with(CARD, PAYPAL, state="charging")
        tell(engine, status="paid")

        order = tell(engine, status="failed", reference="pp_1", reason="no funds")

        assert order.state == "cancelled"
        assert order.ending is not None
        assert order.ending.cause == "charge_failed"
        assert order.ledger.refundable == 6000
        assert not order.payouts
        assert [effect.payment for effect in asked(engine, ReleaseHold)] == [PAYPAL]
        assert [effect.amount for effect in asked(engine, Refund)] == [eur(60)]

    def test_twice(self) -> None:
        """
        Whatever is said again, or comes late, changes nothing.
        """
        engine = engine_with(state="charging")
        tell(engine, status="sent", reference="ch_1", key=asked(engine, Charge)[0].key)
        order = tell(engine, status="paid")

        for status in ("sent", "paid", "sent"):
            assert tell(engine, status=status).version == order.version
        failed = c.ReportCharge(reference="pi_1", status="failed")
        assert said(engine, failed, STRIPE) == [
            ("charge_was_paid", {"amount": eur(100)})
        ]

    def test_what_the_provider_said(self) -> None:
        """
        Its names and its reasons are on record: of a charge on its way, of one that was
        done, and of one that failed.
        """
        engine = engine_with(CARD, PAYPAL, state="charging")
        card, paypal = (charge.key for charge in asked(engine, Charge))

        tell(engine, status="sent", reference="ch_1", key=card)
        tell(engine, status="paid", reference="ch_2", key=card)
        tell(engine, status="failed", reference="ch_3", key=paypal, reason="no funds")

        sent, paid_, failed = (
            last(engine, kind) for kind in (ChargeSent, ChargePaid, ChargeFailed)
        )
        assert (sent.payment_reference, sent.key, sent.reference) == (
            "pi_1",
            card,
            "ch_1",
        )
        assert (paid_.payment_reference, paid_.key, paid_.reference) == (
            "pi_1",
            card,
            "ch_2",
        )
        assert (failed.payment_reference, failed.key) == ("pp_1", paypal)
        assert failed.next_key not in ("", card, paypal)
        assert (str(failed.reason), failed.again) == ("no funds", False)

    def test_then_it_is_money_like_any_other(self) -> None:
        """
        It goes back to the payment it was, or a bank takes it back.
        """
        engine = engine_with(state="charging")
        tell(engine, status="paid")
        opened = c.ReportChargeback(
            chargeback_id="dp_1", payment_reference="pi_1", status="opened"
        )
        order = engine.execute("o1", opened, by=STRIPE).order
        assert order.ledger.receivable == -10_000
        won = attrs.evolve(opened, status="won")
        engine.execute("o1", won, by=STRIPE)

        order = engine.execute("o1", c.CancelOrder(reason="ill"), by=LUC).order

        (refund,) = order.refunds
        assert refund.payment == attrs.evolve(ALL, held_until=None)

    def test_nothing_was_held(self) -> None:
        """
        Of an order without a hold nothing is charged.
        """
        engine = engine_with(paid())
        report = c.ReportCharge(reference="pi_1", status="paid")

        assert codes(engine, report, STRIPE) == (
            "no_hold",
            "nothing_owed_by_that_name",
        )


class TestEnds:
    """
    Nobody waits for longer than the bank does, and no money is left behind.
    """

    @pytest.mark.parametrize("state", ["pending", "charging", "frozen"])
    def test_the_hold_is_over(self, state: str) -> None:
        """
        The order is over with it; a bank does not wait for our checks.
        """
        engine = engine_with(CARD, paid("w_1", eur(40)), state=state)
        clock: Any = engine.clock
        # The seller has no time left by then, unless he accepted or staff stopped it.
        clock.advance_to(UNTIL)
        engine.run_due()

        order = engine.order("o1")
        assert order.state == "cancelled"
        assert order.ending is not None
        expected = "acceptance_expired" if state == "pending" else "hold_expired"
        assert order.ending.cause == expected
        assert order.ledger.refundable == 4000
        check_history(LATER, engine.history("o1"))

    def test_not_paid_in_time(self) -> None:
        """
        A part was held, and the rest never came: the bank lets go.
        """
        engine = engine_with(CARD)
        engine.clock.advance(days=1, seconds=1)  # type: ignore[attr-defined]
        engine.run_due()

        assert engine.order("o1").state == "cancelled"
        assert [effect.payment for effect in asked(engine, ReleaseHold)] == [CARD]

    def test_while_the_rest_is_awaited(self) -> None:
        """
        The bank holds nothing any longer: it may be paid in another way.
        """
        engine = engine_with(CARD)

        order = tell(engine, status="failed", reason="the card was blocked")

        assert order.state == "awaiting_payment"
        assert order.amount_due == eur(100)
        assert order.deadline("hold") is None
        assert not asked(engine, ReleaseHold)
        engine.execute("o1", c.ConfirmPayment(payment=paid("pi_2")), by=STRIPE)
        assert engine.order("o1").state == "pending"

    @pytest.mark.parametrize("charged", [False, True])
    def test_fees_that_the_buyer_bears(self, charged: bool) -> None:
        """
        They are kept of an order that was charged whole, and of no other.
        """
        fees = {"buyer_fee": Fee(flat=eur(5)), "buyer_bears": {"buyer_fee"}}
        engine = an_engine(MemoryStorage(), LATER.with_policies(fees=fees))
        wallet = paid("w_1", eur(40))
        card = Payment("card", "pi_1", eur(65), UNTIL)
        engine.place(an_order(payment=(wallet, card)), by=ANA, order_id="o1")
        if charged:
            arrived = c.ConfirmPayment(payment=attrs.evolve(card, held_until=None))
            engine.execute("o1", arrived, by=STRIPE)

        order = engine.execute("o1", c.CancelOrder(), by=ANA).order

        assert order.ledger.kept == (eur(5) if charged else eur(0))

    @pytest.mark.parametrize("state", ["pending", "frozen"])
    def test_the_bank_lets_go(self, state: str) -> None:
        """
        The order was paid by it: it is over.
        """
        engine = engine_with(state=state)

        order = tell(engine, status="failed", reason="the card was blocked")

        assert order.state == "cancelled"
        assert not asked(engine, ReleaseHold)

    @pytest.mark.parametrize(
        ("by", "command"),
        [(ANA, c.CancelOrder()), (LUC, c.RefuseOrder(reason="busy"))],
        ids=["buyer", "seller"],
    )
    def test_people_end_it(self, by: Any, command: c.Command) -> None:
        """
        Before the seller accepts: nothing was charged, nothing goes back.
        """
        engine = engine_with()

        order = engine.execute("o1", command, by=by).order

        assert order.state == "cancelled"
        assert not order.ledger.paid_in
        assert not order.refunds
        assert [effect.payment for effect in asked(engine, ReleaseHold)] == [ALL]

    def test_frozen(self) -> None:
        """
        Staff may give back, and divide nothing that is not here; its window for the
        seller stands still, the bank's does not.
        """
        engine = engine_with(state="frozen")
        for ruling in (PaySeller(), Split(to_buyer=eur(1))):
            rule = c.RuleDispute(ruling=ruling, reason="x")
            assert "hold_not_charged" in codes(engine, rule, OPS)
        dispute = c.OpenDispute(reason="x")
        assert codes(engine, dispute, OPS) == ("never_accepted",)

        rule = c.RuleDispute(ruling=FullRefund(), reason="x")
        order = engine.execute("o1", rule, by=OPS).order

        assert order.state == "cancelled"
        assert [effect.payment for effect in asked(engine, ReleaseHold)] == [ALL]

    def test_staff_cannot_move_it(self) -> None:
        """
        Deadlines are extended; what the bank said stays.
        """
        engine = engine_with()
        extend = c.ExtendDeadlines(window="P3D", reason="an outage")

        order = engine.execute("o1", extend, by=OPS).order

        hold, acceptance = order.deadline("hold"), order.deadline("acceptance")
        assert hold is not None
        assert acceptance is not None
        assert hold.due_at == ALL.held_until
        assert acceptance.due_at == order.placed_at.add(days=5)

    @pytest.mark.parametrize("when", ["sent", "asked"])
    def test_charged_all_the_same(self, when: str) -> None:
        """
        A charge that was done when the order was over goes back whole.
        """
        engine = engine_with(state="charging")
        if when == "sent":
            tell(engine, status="sent")
        engine.clock.advance(days=30)  # type: ignore[attr-defined]
        engine.run_due()
        assert engine.order("o1").state == "cancelled"

        (charge,) = asked(engine, Charge)
        order = tell(engine, status="paid")

        assert not asked(engine, Charge)
        assert order.refunds[0].key != charge.key
        assert order.holds[0].status == "charged"
        assert order.ledger.paid_in == order.ledger.refunded == eur(100)
        assert [effect.amount for effect in asked(engine, Refund)] == [eur(100)]
        returned = last(engine, PaymentReturned)
        assert (returned.item, returned.why) == ("order", "not_owed")
        assert tell(engine, status="paid").version == order.version

    def test_never_charged(self) -> None:
        """
        What nobody began to charge before the end is not charged, and let go.
        """
        engine = engine_with(state="charging")
        clock: Any = engine.clock
        clock.advance(days=30)
        engine.run_due()
        gateway = SimulatedGateway("bare", clock)

        engine.run_effects(
            payments.handlers(gateway, clock=clock), kinds=["charge", "release_hold"]
        )

        assert gateway.requests == []
        assert engine.order("o1").holds[0].status == "failed"
        assert gateway.held("pi_1") == "over"
        assert engine.stuck() == ()

    def test_six_happenings_in_any_order(self) -> None:
        """
        The seller accepts, the charge is sent, done, told of twice, the order ends, the
        provider says it failed: in each of 720 orders all money is accounted for.
        """
        placed = engine_with().order("o1")
        key_of = {c.ReportCharge: "pi_1"}
        happenings: tuple[tuple[Any, c.Command], ...] = (
            (LUC, c.AcceptOrder()),
            (STRIPE, c.ReportCharge(reference=key_of[c.ReportCharge], status="sent")),
            (STRIPE, c.ReportCharge(reference="pi_1", status="paid")),
            (STRIPE, c.ConfirmPayment(payment=paid("pi_1", eur(100)))),
            (ANA, c.CancelOrder()),
            (STRIPE, c.ReportCharge(reference="pi_1", status="failed", reason="x")),
        )
        ends = set()
        for way in itertools.permutations(happenings):
            order = placed
            for by, command in way:
                answer = decide(LATER, order, command, by=by, now=order.effective_at)
                assert answer.order is not None
                order = answer.order
                check_money(order)
            charged = order.holds[0].status == "charged"
            assert bool(order.ledger.paid_in) == charged
            if order.state == "cancelled":
                assert order.ledger.refunded == order.ledger.paid_in
            ends.add((str(order.state), order.holds[0].status))
        assert ends == {("in_progress", "charged"), ("cancelled", "charged")}


class TestProof:
    """
    A host's own rules cannot make anybody work for money that is not here.
    """

    def test_no_other_state(self) -> None:
        """
        An order that would go on with a hold is stopped.
        """
        opened = Row(c.UnfreezeOrder, OPS.role, "frozen", BACK)
        assert opened.to == {"": BACK}
        order = engine_with().order("o1")
        working = attrs.evolve(
            order, standing=attrs.evolve(order.standing, state=State.IN_PROGRESS)
        )

        with pytest.raises(LedgerError, match="money that a bank still holds"):
            decide(
                LATER,
                working,
                c.DeliverOrder(note="here"),
                by=LUC,
                now=order.effective_at,
            )


# --- through gateways ---------------------------------------------------------------

TROUBLES: Final = (
    LOST,
    UNANSWERED,
    ERROR,
    REFUSED,
    PENDING,
    KILLED_BEFORE,
    KILLED_AFTER,
    late("PT1M"),
    late("PT10M"),
)


class TestGateways:
    """
    Each profile, whatever goes wrong: charged once or not at all, and known.
    """

    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize("trouble", TROUBLES, ids=str)
    def test_charged_once(self, profile: str, trouble: Trouble) -> None:
        """
        The order begins with the money, or ends without it; what a gateway cannot say
        is for a human, who looks and reports.
        """
        engine = engine_with(state="charging")
        clock: Any = engine.clock
        gateway = SimulatedGateway(profile, clock)
        gateway.holds(ALL)
        gateway.next(trouble)
        mail: list[Any] = []
        handlers = {
            **payments.handlers(gateway, clock=clock),
            Notify: mail.append,
        }

        def work(rounds: int) -> None:
            for _ in range(rounds):
                try:
                    engine.run_effects(handlers)
                except Killed:
                    clock.advance_to(clock.now().add(minutes=1))
                clock.advance(minutes=10)
                engine.run_due()
                for order_id, command in gateway.reports():
                    engine.attempt(order_id, command, by=STRIPE)

        work(20)
        done = {one.reference: one for one in gateway.applied if one.kind == "charge"}
        for one in done.values():
            if one.status == "pending":
                gateway.finish(one.reference)
        work(10)
        for stuck in engine.stuck():
            # Nobody else can say: staff looks at the gateway's page.
            assert not gateway.capabilities.look_up
            status: Any = "paid" if done else "failed"
            report = c.ReportCharge(key=stuck.key, status=status, reason="seen")
            engine.execute("o1", report, by=OPS)
        work(3)
        order = engine.order("o1")
        charges = [one for one in gateway.applied if one.kind == "charge"]
        assert len(charges) <= 1
        assert order.ledger.paid_in == (eur(100) if charges else eur(0))
        assert order.state == ("in_progress" if charges else "cancelled")
        assert engine.stuck() == ()
        assert gateway.held("pi_1") in ("charged", "released")
        assert engine.verify().faults == ()

    @pytest.mark.parametrize("trouble", [LOST, UNANSWERED, ERROR], ids=str)
    def test_let_go(self, trouble: Trouble) -> None:
        """
        A hold is let go until the bank has heard it.
        """
        engine = engine_with()
        clock: Any = engine.clock
        gateway = SimulatedGateway("bare", clock)
        gateway.holds(ALL)
        engine.execute("o1", c.CancelOrder(), by=ANA)
        gateway.next(trouble)
        handlers = payments.handlers(gateway, clock=clock)

        for _ in range(3):
            engine.run_effects(handlers, kinds=["release_hold"])
            clock.advance(minutes=1)

        assert gateway.held("pi_1") == "released"
        assert engine.stuck() == ()

    @pytest.mark.parametrize("profile", PROFILES)
    def test_nobody_is_charged_for_what_is_over(self, profile: str) -> None:
        """
        A charge that never arrived is not sent again once the order is over: what can
        be asked is asked, of any other the bank lets go.
        """
        engine = engine_with(state="charging")
        clock: Any = engine.clock
        gateway = SimulatedGateway(profile, clock)
        gateway.holds(attrs.evolve(ALL, held_until="2027-01-01T00:00:00Z"))
        gateway.next(LOST)
        handlers = payments.handlers(gateway, clock=clock)
        engine.run_effects(handlers, kinds=["charge"])
        clock.advance(days=7)
        engine.run_due()

        for _ in range(10):
            engine.run_effects(handlers, kinds=["charge", "release_hold"])
            clock.advance(hours=1)

        assert gateway.applied == ()
        assert engine.order("o1").holds[0].status == "failed"
        assert gateway.held("pi_1") == "released"
        assert engine.stuck() == ()

    @pytest.mark.parametrize("profile", ["checkout", "bare"])
    def test_what_cannot_be_let_go_was_charged(self, profile: str) -> None:
        """
        A charge that was done and not answered is known by that, and goes back.
        """
        engine = engine_with(state="charging")
        clock: Any = engine.clock
        gateway = SimulatedGateway(profile, clock)
        gateway.holds(attrs.evolve(ALL, held_until="2027-01-01T00:00:00Z"))
        gateway.next(UNANSWERED)
        handlers = payments.handlers(gateway, clock=clock)
        engine.run_effects(handlers, kinds=["charge"])
        clock.advance(days=7)
        engine.run_due()

        for _ in range(10):
            engine.run_effects(handlers, kinds=["charge", "release_hold", "refund"])
            clock.advance(hours=1)

        order = engine.order("o1")
        assert order.holds[0].status == "charged"
        assert order.ledger.buyer == 10_000
        assert engine.stuck() == ()

    def test_charged_before_the_backup(self) -> None:
        """
        What a lost worker charged is found after a restored backup, and goes back.
        """
        engine = engine_with(state="charging")
        clock: Any = engine.clock
        gateway = SimulatedGateway("stripe_v1", clock)
        backup = list(engine.export())
        engine.run_effects(payments.handlers(gateway, clock=clock), kinds=["charge"])
        restored = an_engine(MemoryStorage(), LATER, clock=clock)
        restored.restore(backup)
        clock.advance(days=7)
        restored.run_due()
        handlers = payments.handlers(gateway, clock=clock, restored_at=clock.now())

        for _ in range(5):
            restored.run_effects(handlers, kinds=["charge", "release_hold", "refund"])
            clock.advance(hours=1)

        order = restored.order("o1")
        assert order.state == "cancelled"
        assert order.ledger.buyer == 10_000
        assert restored.stuck() == ()

    def test_a_gateway_that_cannot(self) -> None:
        """
        Given to a gateway without the verbs, a charge is for a human, and so is what
        is to be let go.
        """

        class Wallets:
            name = "wallets"
            capabilities = SimulatedGateway("perfect", FakeClock(T0)).capabilities

            def refund(self, effect: Refund) -> Any:
                raise AssertionError(effect)

            def pay_out(self, effect: PayOut) -> Any:
                raise AssertionError(effect)

            def look_up(self, effect: Any) -> None:
                return None

        engine = engine_with(state="charging")
        clock: Any = engine.clock
        handlers = payments.handlers(Wallets(), clock=clock)
        engine.run_effects(handlers, kinds=["charge", "release_hold"])
        (stuck,) = engine.stuck()
        assert stuck.kind == "charge"
        assert "no HoldingGateway" in stuck.reason
        assert engine.order("o1").state == "pending"
        engine = engine_with()
        engine.execute("o1", c.CancelOrder(), by=ANA)
        engine.run_effects(handlers, kinds=["charge", "release_hold"])
        (stuck,) = engine.stuck()
        assert stuck.kind == "release_hold"

    def test_handlers_are_asked_for(self) -> None:
        """
        Where buyers are charged later, a worker without a handler does not start;
        where they are not, none is needed.
        """
        without = {Refund: print, PayOut: print, Notify: print}

        an_engine(MemoryStorage(), COMEUP).check_handlers(without)
        later = Engine(LATER, MemoryStorage(), retries=Retries())
        with pytest.raises(InvalidInputError, match="charge, release_hold"):
            later.check_handlers(without)


def test_fits() -> None:
    """
    A life beyond the hold is refused by name, with the numbers.
    """
    clock = FakeClock(T0)
    week = SimulatedGateway("stripe_v1", clock)
    assert payments.fits(LATER, week) == ()

    slow = LATER.with_policies(acceptance={"acceptance_window": "P7D"})
    (misfit,) = payments.fits(slow, week)
    assert (misfit.code, misfit.refused) == ("hold_life", True)
    assert "acceptance_window=P7D" in misfit.asked
    assert misfit.offered == "hold_life=P7D"

    week.capabilities = attrs.evolve(week.capabilities, hold_life=None)
    (misfit,) = payments.fits(LATER, week)
    assert (misfit.code, misfit.refused) == ("holds", True)


def test_decided() -> None:
    """
    A preview of the acceptance says that nothing begins yet.
    """
    order = engine_with().order("o1")
    answer = decide(LATER, order, c.AcceptOrder(), by=LUC, now=order.effective_at)

    assert isinstance(answer, Decided)
    assert [recorded.name for recorded in answer.recorded] == ["charge_asked"]


def test_only_what_is_held_ends() -> None:
    """
    The end of a hold comes to an order with one, and to no other.
    """
    held, whole = engine_with().order("o1"), engine_with(paid()).order("o1")

    for order, possible in ((held, True), (whole, False)):
        answer = decide(LATER, order, c.ExpireHold(), by=SYSTEM, now=order.effective_at)
        assert isinstance(answer, Decided) == possible
