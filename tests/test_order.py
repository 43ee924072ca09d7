"""
Orders: what a history adds up to, and histories that are none.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pendulum
import pytest

from escrowflow import commands as c
from escrowflow import events as e
from escrowflow.errors import LedgerError
from escrowflow.events import EVENTS, Recorded
from escrowflow.history import evolve, fold
from escrowflow.inputs import Text
from escrowflow.money import Money
from escrowflow.order import Order, seen
from escrowflow.parties import SYSTEM, Role
from escrowflow.parts import Ending, RefundPart, Settlement, Standing, Talk
from escrowflow.storage.codec import encode_order
from escrowflow.storage.memory import MemoryStorage
from tests.given import (
    ANA,
    LUC,
    MIA,
    OPS,
    STRIPE,
    WAY,
    an_engine,
    brought_to,
    eur,
    paid,
)
from tests.lives import VARIANTS, Life

if TYPE_CHECKING:
    from escrowflow.engine import Engine

NOW = pendulum.datetime(2027, 1, 1)


@pytest.fixture
def engine() -> Engine:
    """
    An engine on a new memory storage.
    """
    return an_engine(MemoryStorage())


def history_of(state: str, **changes: Any) -> tuple[Recorded, ...]:
    """
    Return the history of an order that was taken to a state.
    """
    engine = an_engine(MemoryStorage())
    brought_to(engine, state, **changes)
    return engine.history("o1")


def then(order: Order, event: e.Event, standing: Standing | None = None) -> Order:
    """
    Return an order after one more event.
    """
    recorded = Recorded(
        seq=order.version + 1,
        event=event,
        by=SYSTEM,
        effective_at=NOW,
        recorded_at=NOW,
        standing=standing,
    )
    return evolve(order, recorded)


def all_to(order: Order, *, seller: bool) -> Settlement:
    """
    Return a division that gives one side everything.
    """
    held, zero = order.ledger.held, Money.zero("EUR")
    if seller:
        return Settlement(to_seller=held, kept=zero)
    part = RefundPart(payment=paid("pi_1", held), amount=held, estimate=(NOW, NOW))
    return Settlement(to_buyer=(part,), to_seller=zero, kept=zero)


def completed(settlement: Settlement) -> e.OrderCompleted:
    """
    Return the event that ends an order.
    """
    ending = Ending(cause="approved", trigger="approve_delivery")
    return e.OrderCompleted(ending=ending, settlement=settlement)


class TestShown:
    """
    What a log or a failing test shows of an order.
    """

    def test_one_short_line(self, engine: Engine) -> None:
        """
        It says which order, where it stands and what is held; nothing that anybody wrote.
        """
        brought_to(engine, "disputed")
        order = engine.order("o1")

        shown = repr(order)

        assert len(shown) < 250
        assert "\n" not in shown
        for part in (order.id, order.state, str(order.ledger.held), order.buyer_id):
            assert part in shown
        assert order.dispute is not None
        assert order.dispute.reason not in shown


class TestReplay:
    """
    I15: the history is the truth; what it adds up to is the order.
    """

    @pytest.mark.parametrize("state", ["awaiting_payment", *WAY])
    def test_of_every_state(self, engine: Engine, state: str) -> None:
        """
        The live order and the one folded from its history are equal.
        """
        brought_to(engine, state)

        folded = fold(engine.history("o1"))

        assert folded == engine.order("o1")
        assert folded.state == state
        assert encode_order(folded) == engine.storage.load("o1").snapshot

    @pytest.mark.parametrize("variant", VARIANTS)
    @pytest.mark.parametrize("seed", [1, 2])
    def test_of_whole_lives(self, variant: str, seed: int) -> None:
        """
        At every step of a random life, a prefix of the history is the order then.
        """
        life = Life(rng=random.Random(seed), process=VARIANTS[variant], previewed=0)
        orders = {}
        for _ in range(25):
            life.step()
            stored = life.stored()
            orders[stored.version] = stored

        history = life.engine.history(life.order_id)

        for version, order in orders.items():
            assert fold(history[:version]) == order

    def test_step_by_step(self) -> None:
        """
        Folding is evolving, one event after the other.
        """
        history = history_of("completed")

        order: Order | None = None
        for recorded in history:
            order = evolve(order, recorded)
            assert order.version == recorded.seq

        assert order == fold(iter(history))

    def test_reads_no_rules(self) -> None:
        """
        A history needs no process to be folded: amounts and instants are in it.
        """
        history = history_of("cancelled")
        first = history[0]
        placed: Any = first.event
        event = attrs.evolve(placed, fingerprint="gone:1", process="gone")

        order = fold((attrs.evolve(first, event=event), *history[1:]))

        assert (order.state, order.process) == ("cancelled", "gone")
        assert order.ledger.refunded == eur(100)

    def test_every_event_has_a_fold(self) -> None:
        """
        Nothing the library records is folded as a host's own.
        """
        from escrowflow import history

        folded: Any = vars(history).get("_FOLDS", {})

        mine = {
            kind for kind in EVENTS.values() if kind.__module__.startswith(e.__name__)
        }
        assert set(folded) == mine - {e.OrderPlaced}


class TestBroken:
    """
    A history that cannot be is refused; the order before stays as it was.
    """

    def test_empty(self) -> None:
        """
        Nothing happened to no order.
        """
        with pytest.raises(LedgerError, match="an empty history is not an order"):
            fold(())

    def test_does_not_begin_with_placing(self) -> None:
        """
        A history with its head cut off is no history.
        """
        history = history_of("in_progress")

        with pytest.raises(LedgerError, match="begins with order_placed, not payment"):
            fold(history[1:])

    def test_begins_nowhere(self) -> None:
        """
        The first event says where the order stands.
        """
        first = history_of("pending")[0]

        with pytest.raises(LedgerError, match="begins with order_placed"):
            fold([attrs.evolve(first, standing=None)])

    @pytest.mark.parametrize("state", ["completed", "cancelled"])
    def test_a_second_settlement(self, state: str) -> None:
        """
        An order is settled once (I4).
        """
        order = fold(history_of(state))
        zero = Settlement(to_seller=eur(0), kept=eur(0))

        with pytest.raises(LedgerError, match="is settled already"):
            then(order, completed(zero))

    @pytest.mark.parametrize("amount", [eur("99.99"), eur("100.01")])
    def test_a_settlement_of_something_else(self, amount: Money) -> None:
        """
        It divides exactly what is held.
        """
        order = fold(history_of("delivered"))
        parts = Settlement(to_seller=amount, kept=eur(0))

        with pytest.raises(LedgerError, match="must sum to zero"):
            then(order, completed(parts))

    def test_a_refund_twice(self) -> None:
        """
        No payment gives back more than it brought.
        """
        small = paid("p", eur(40))
        order = fold(history_of("in_progress", payment=(small, paid("q", eur(60)))))
        part = RefundPart(payment=small, amount=eur(30), estimate=(NOW, NOW))
        once = then(order, e.PartialRefundAccepted(to_buyer=(part,)))

        with pytest.raises(LedgerError, match="payment 'p' refunded twice"):
            then(once, e.PartialRefundAccepted(to_buyer=(part,)))

        assert once.ledger.refunded == eur(30)
        assert once.payments[0].refunded == eur(30)

    def test_a_refund_of_nothing(self) -> None:
        """
        Money goes back to a payment that is there.
        """
        order = fold(history_of("in_progress"))
        part = RefundPart(
            payment=paid("pi_9", eur(5)), amount=eur(5), estimate=(NOW, NOW)
        )

        with pytest.raises(LedgerError, match="refunds without a payment"):
            then(order, e.PartialRefundAccepted(to_buyer=(part,)))

    def test_a_refund_of_more_than_is_held(self) -> None:
        """
        What was released cannot be given back.
        """
        order = fold(history_of("completed"))
        part = RefundPart(
            payment=paid("pi_1", eur(100)), amount=eur(5), estimate=(NOW, NOW)
        )

        with pytest.raises(LedgerError, match="escrow would be -500 EUR"):
            then(order, e.PartialRefundAccepted(to_buyer=(part,)))

    @pytest.mark.parametrize(
        "event",
        [
            e.CancellationExcused(reason=Text()),
            e.ClaimEdited(reason=Text()),
            e.MediatorAlerted(),
            e.ReviewReplied(text=Text()),
            e.ReviewRemoved(cause="unlawful"),
            e.DisputeUnlocked(request="cancellation"),
        ],
        ids=lambda event: event.name,
    )
    def test_about_something_that_is_not_there(self, event: e.Event) -> None:
        """
        Nothing is said about a claim, a review or a dispute that never was.
        """
        order = fold(history_of("in_progress"))

        with pytest.raises(LedgerError, match="names something that is not there"):
            then(order, event)

    def test_a_payment_without_an_amount(self) -> None:
        """
        A booked payment knows how much it is.
        """
        order = fold(history_of("awaiting_payment"))

        with pytest.raises(LedgerError):
            then(order, e.PaymentBooked(payment=paid(), item="order"))


class TestSettlements:
    """
    What an ending does to the books.
    """

    @pytest.mark.parametrize("seller", [True, False])
    def test_one_side_gets_all(self, seller: bool) -> None:
        """
        Nothing is held any more, and what is owed is listed.
        """
        order = fold(history_of("delivered"))

        ended = then(order, completed(all_to(order, seller=seller)))

        assert ended.ledger.held == eur(0)
        assert ended.closed_at == NOW
        assert (len(ended.payouts), len(ended.refunds)) == (
            (1, 0) if seller else (0, 1)
        )
        owed: Any = (*ended.payouts, *ended.refunds)
        assert [(item.amount, item.status, item.seq) for item in owed] == [
            (eur(100), "owed", ended.version)
        ]
        assert order.ledger.held == eur(100)


class TestOrder:
    """
    What a reader of an order sees.
    """

    def test_frozen(self, engine: Engine) -> None:
        """
        An order is a value: it changes by what happens, and then it is another.
        """
        brought_to(engine, "delivered")
        order: Any = engine.order("o1")

        for field in ("state", "price", "ledger", "version", "anything"):
            with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
                setattr(order, field, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            order.deliveries[0].late = True
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            del order.price

    def test_the_instant_of_reading_is_no_part_of_it(self, engine: Engine) -> None:
        """
        Two readings of one order are equal.
        """
        brought_to(engine, "pending")
        order = engine.order("o1")

        later = seen(order, NOW)

        assert later == order
        assert (later.as_of, order.as_of) == (NOW, engine.clock.now())

    def test_roles(self, engine: Engine) -> None:
        """
        Who plays which part.
        """
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
        order = engine.order("o1")

        assert order.role_of("ana") is Role.BUYER
        assert order.role_of("luc") is Role.SELLER
        assert order.role_of("mia") is Role.MEDIATOR
        assert order.role_of("ops") == Role(0)
        assert order.role_of("") == Role(0)

    def test_what_is_due(self, engine: Engine) -> None:
        """
        What the buyer still has to pay shrinks with every payment, and never grows.
        """
        brought_to(engine, "awaiting_payment")
        dues = [engine.order("o1").amount_due]
        for number, amount in enumerate((30, 70, 5)):
            payment = paid(f"p{number}", eur(amount))
            engine.execute("o1", c.ConfirmPayment(payment=payment), by=STRIPE)
            dues.append(engine.order("o1").amount_due)

        assert dues == [eur(100), eur(70), eur(0), eur(0)]
        order = engine.order("o1")
        assert [payment.returned for payment in order.payments] == [False, False, True]
        assert order.payments[0].payment == paid("p0", eur(30))
        assert order.counted("p2")
        assert not order.counted("p3")

    def test_things_by_their_id(self, engine: Engine) -> None:
        """
        Offers, options and waits are found by their names.
        """
        brought_to(engine, "in_progress")
        engine.execute("o1", c.SendOffer(title="x", price=eur(5)), by=LUC)
        option = c.BuyAddOn(title="y", price=eur(7), payment=paid("p"))
        engine.execute("o1", option, by=ANA)
        offer = c.PayOffer(offer_id="offer-1", payment=paid("q"))
        order = engine.execute("o1", offer, by=ANA).order

        found = order.offer("offer-1"), order.add_on("addon-1")

        assert [item.title for item in found if item is not None] == ["x", "y"]
        assert (order.offer("offer-2"), order.add_on("addon-2")) == (None, None)
        assert order.work == eur(112)
        delivery = order.deadline("delivery")
        assert delivery is not None
        assert delivery.due_at == order.due_at
        assert order.deadline("delivery", "offer-1") is None
        assert order.currency == "EUR"

    def test_what_is_to_come(self, engine: Engine) -> None:
        """
        Deadlines come soonest first; stopped and passed ones are not to come.
        """
        brought_to(engine, "delivered")
        order = engine.order("o1")
        names = [wait.name for wait in order.deadlines]

        assert names == ["verification_reminder"] * 2 + ["verification"]
        dues = [wait.due_at for wait in order.deadlines]
        assert dues == sorted(dues)
        delivery = order.deadline("delivery")
        assert delivery is not None
        assert (delivery.stopped_in, delivery.left) == ("delivered", timedelta(days=5))
        engine.execute("o1", c.FreezeOrder(reason="x"), by=OPS)
        assert engine.order("o1").deadlines == ()

    def test_late_for_ever(self, engine: Engine) -> None:
        """
        What was once late was late, also when it no longer is (R28).
        """
        brought_to(engine, "in_progress")
        engine.clock.advance(days=6)  # type: ignore[attr-defined]
        late = engine.order("o1")
        for by, command in (
            (LUC, c.DeliverOrder(note="x")),
            (ANA, c.RequestRevision(reason="x")),
            (LUC, c.AcceptRevision()),
        ):
            engine.execute("o1", command, by=by)
        again = engine.order("o1")

        assert (late.late, late.ever_late) == (True, True)
        assert (again.late, again.ever_late) == (False, True)
        assert again.deliveries[0].late

    def test_conversation(self) -> None:
        """
        Whether both sides may talk is part of where an order stands.
        """
        delivered = fold(history_of("delivered"))
        cancelled = fold(history_of("cancelled"))

        assert delivered.conversation == Talk(open=False)
        assert cancelled.conversation.open
        assert cancelled.closed_at is not None
        assert cancelled.conversation.closes_at == cancelled.closed_at.add(days=7)
