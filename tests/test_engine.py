"""
The engine: what is judged first, what is written, and what a second call gets.

Everything here runs on each storage.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import attrs
import pendulum
import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock, SystemClock
from escrowflow.decisions import Decides, Refusal, Step
from escrowflow.effects import Refund
from escrowflow.engine import Engine, Outcome, SweepReport
from escrowflow.errors import (
    CommandRefusedError,
    InvalidInputError,
    KeyReusedError,
    LedgerError,
    OrderChangedError,
    OrderExistsError,
    OrderNotFoundError,
    StorageError,
    UnknownProcessError,
)
from escrowflow.events import MessageSent
from escrowflow.history import fold
from escrowflow.money import AMOUNT_MAX, Fee, Money
from escrowflow.parties import (
    SYSTEM,
    Actor,
    Buyer,
    Mediator,
    Operator,
    Provider,
    Seller,
)
from escrowflow.states import Process
from escrowflow.storage import (
    Books,
    Change,
    CommitResult,
    Storage,
    StoredOrder,
)
from escrowflow.storage.codec import encode_order
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import AddOn, FullRefund, Relaunch, Split
from escrowflow.testing.given import LAST
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    T0,
    WAY,
    a_storage,
    an_engine,
    an_order,
    brought_to,
    eur,
    paid,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from escrowflow.rules import Policies

HOUR = timedelta(hours=1)
STATES = ["awaiting_payment", *WAY]


def contents(storage: Storage, order_id: str = "o1") -> Any:
    """
    Return all that a storage holds of an order.
    """
    loaded = storage.load(order_id)
    events = tuple(storage.events(order_id))
    return loaded, events, tuple(storage.effects(order_id)), storage.next_due(0, LAST)


def names(outcome: Any) -> list[str]:
    """
    Return what happened, in words.
    """
    recorded = outcome if isinstance(outcome, tuple) else outcome.events
    return [item.name for item in recorded]


# --- placing ------------------------------------------------------------------------


class TestPlace:
    """
    An order comes into being.
    """

    def test_paid(self, engine: Engine) -> None:
        """
        A paid order is pending, everything is held, and the seller is told.
        """
        outcome = engine.place(an_order(), by=ANA, order_id="o1")

        order = outcome.order
        assert names(outcome) == ["order_placed", "payment_booked", "order_paid"]
        assert (order.id, order.state, order.version) == ("o1", "pending", 3)
        assert order.ledger.held == eur(100)
        assert order.as_of == engine.clock.now()
        assert [effect.name for effect in outcome.effects] == ["notify"]
        assert not outcome.replayed
        assert engine.order("o1") == order

    def test_by_key(self, engine: Engine) -> None:
        """
        The same key and content give the same order, and one order.
        """
        first = engine.place(an_order(), by=ANA, key="checkout-17")

        second = engine.place(an_order(), by=ANA, key="checkout-17")

        assert second.replayed
        assert second.order == first.order
        assert second.events == first.events
        assert second.effects == first.effects

    def test_the_id_of_a_key(self, storage: Storage, engine: Engine) -> None:
        """
        The id is derived from process, buyer and key, and from nothing else.
        """
        other = an_engine(a_storage("memory", None))  # type: ignore[arg-type]
        twin = COMEUP.extend(name="twin")

        first = engine.place(an_order(), by=ANA, key="k").order.id

        assert other.place(an_order(price=eur(7)), by=ANA, key="k").order.id == first
        ids = {
            first,
            engine.place(an_order(), by=ANA, key="l").order.id,
            engine.place(an_order(), by=Buyer("eva"), key="k").order.id,
            an_engine(storage, twin).place(an_order(), by=ANA, key="k").order.id,
        }
        assert len(ids) == 4

    def test_a_key_with_other_content(self, engine: Engine, storage: Storage) -> None:
        """
        A key stands for one order; another one under it is a mistake.
        """
        order_id = engine.place(an_order(), by=ANA, key="k").order.id
        before = contents(storage, order_id)

        with pytest.raises(KeyReusedError) as caught:
            engine.place(an_order(price=eur(7)), by=ANA, key="k")

        assert caught.value.key == "k"
        assert contents(storage, order_id) == before

    @pytest.mark.parametrize("key", [None, "other"])
    def test_an_id_that_is_taken(
        self, engine: Engine, storage: Storage, key: str | None
    ) -> None:
        """
        An id is given once, whoever asks.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        before = contents(storage)

        with pytest.raises(OrderExistsError) as caught:
            engine.place(an_order(), by=Buyer("eva"), order_id=" o1 ", key=key)

        assert caught.value.order_id == "o1"
        assert contents(storage) == before

    def test_an_id_and_a_key(self, engine: Engine) -> None:
        """
        With both, the id is the order's, and the key makes it idempotent.
        """
        engine.place(an_order(), by=ANA, order_id="o1", key="k")

        again = engine.place(an_order(), by=ANA, order_id="o1", key="k")

        assert (again.order.id, again.replayed) == ("o1", True)

    def test_without_either(self, storage: Storage) -> None:
        """
        Two calls without a key are two orders.
        """
        ids = iter(["a", "b"])
        engine = an_engine(storage, new_id=lambda: next(ids))

        engine.place(an_order(), by=ANA)
        engine.place(an_order(), by=ANA)

        assert engine.order("a").id == "a"
        assert engine.order("b").id == "b"
        assert len(an_engine(storage).place(an_order(), by=ANA).order.id) == 24

    def test_a_refusal_leaves_nothing(self, engine: Engine, storage: Storage) -> None:
        """
        What the policies refuse is not placed, and its key is free.
        """
        with pytest.raises(CommandRefusedError) as caught:
            engine.place(an_order(tip=eur(21)), by=ANA, order_id="o1", key="k")

        assert [blocker.code for blocker in caught.value.blockers] == ["tip_above_cap"]
        assert caught.value.order is None
        assert storage.load("o1") == StoredOrder(order_id="o1")
        assert not engine.place(an_order(), by=ANA, order_id="o1", key="k").replayed

    @pytest.mark.parametrize(
        ("by", "changes", "field"),
        [
            (LUC, {}, "by"),
            (OPS, {}, "by"),
            (SYSTEM, {}, "by"),
            ("ana", {}, "by"),
            (ANA, {"seller_id": "ana"}, "seller_id"),
            (Buyer("\u00e9 "), {"seller_id": " e\u0301"}, "seller_id"),
            (Buyer(7), {"seller_id": "7"}, "seller_id"),
            (ANA, {"payment": paid("p", Money(1, "USD"))}, "payment"),
            (ANA, {"tip": Money(1, "USD")}, "tip"),
            (ANA, {"add_ons": [AddOn(title="x", price=Money(1, "USD"))]}, "add_ons"),
            (
                ANA,
                {"payment": [paid("p", eur(1)), paid("q", Money(1, "JPY"))]},
                "payment",
            ),
            (
                ANA,
                {
                    "price": Money(AMOUNT_MAX, "EUR"),
                    "add_ons": [AddOn(title="x", price=eur("0.01"))],
                },
                "price",
            ),
            (
                ANA,
                {"price": Money(AMOUNT_MAX, "EUR"), "tip": eur("0.01")},
                "price",
            ),
        ],
    )
    def test_malformed(
        self,
        engine: Engine,
        storage: Storage,
        by: Any,
        changes: dict[str, Any],
        field: str,
    ) -> None:
        """
        What is wrong by itself is said first, and nothing is written.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.place(an_order(**changes), by=by, order_id="o1", key="k")

        assert caught.value.field == field
        assert storage.load("o1") == StoredOrder(order_id="o1")

    def test_fees_count_for_the_limit(self, storage: Storage) -> None:
        """
        An order is worth what the buyer pays for it, fees included.
        """
        process = COMEUP.with_policies(fees={"buyer_fee": Fee(bps=1)})
        price = Money(AMOUNT_MAX, "EUR")

        with pytest.raises(InvalidInputError, match="price: one order is worth"):
            an_engine(storage, process).place(an_order(price=price), by=ANA)

        engine = an_engine(storage)
        assert engine.place(an_order(price=price), by=ANA).order.ledger.held == price

    @pytest.mark.parametrize("order_id", ["", 1.5, "x" * 300, "a\u200bb", "\ud800"])
    def test_a_bad_id(self, engine: Engine, order_id: Any) -> None:
        """
        An id that is none names its argument.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.place(an_order(), by=ANA, order_id=order_id)

        assert caught.value.field == "order_id"

    @pytest.mark.parametrize("key", ["", 1.5, True, "x" * 300, "a\u200bb"])
    def test_a_bad_key(self, engine: Engine, key: Any) -> None:
        """
        So does a key, here and with every command.
        """
        engine.place(an_order(), by=ANA, order_id="o1")

        with pytest.raises(InvalidInputError) as caught:
            engine.place(an_order(), by=ANA, key=key)
        with pytest.raises(InvalidInputError) as second:
            engine.execute("o1", c.AcceptOrder(), by=LUC, key=key)

        assert {caught.value.field, second.value.field} == {"key"}

    def test_something_else(self, engine: Engine) -> None:
        """
        Only `PlaceOrder` places an order.
        """
        command: Any = c.AcceptOrder()

        with pytest.raises(InvalidInputError, match="command: a PlaceOrder, not"):
            engine.place(command, by=ANA)


# --- the order of judgement ---------------------------------------------------------


class TestJudgement:
    """
    Malformed, then unknown, then what is due, then the command.
    """

    @pytest.mark.parametrize(
        ("command", "field"),
        [
            ("accept_order", "command"),
            (None, "command"),
            (c.AcceptOrder, "command"),
            (an_order(), "command"),
        ],
    )
    def test_no_command(
        self, engine: Engine, storage: Storage, command: Any, field: str
    ) -> None:
        """
        Something that is no command for an order is refused at the door.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        before = contents(storage)

        for send in (engine.attempt, engine.preview):
            with pytest.raises(InvalidInputError) as caught:
                send("o1", command, by=LUC)
            assert caught.value.field == field

        assert contents(storage) == before

    @pytest.mark.parametrize("by", [SYSTEM, Actor("luc"), "luc", None, Seller])
    def test_no_actor(self, engine: Engine, by: Any) -> None:
        """
        The system can be nobody's caller, and a text is nobody.
        """
        engine.place(an_order(), by=ANA, order_id="o1")

        for ask in (
            lambda: engine.attempt("o1", c.AcceptOrder(), by=by),
            lambda: engine.preview("o1", c.AcceptOrder(), by=by),
            lambda: engine.options("o1", by=by),
        ):
            with pytest.raises(InvalidInputError) as caught:
                ask()
            assert caught.value.field == "by"

    @pytest.mark.parametrize("if_version", ["3", 3.0, True])
    def test_no_version(self, engine: Engine, if_version: Any) -> None:
        """
        A version is a whole number.
        """
        engine.place(an_order(), by=ANA, order_id="o1")

        with pytest.raises(InvalidInputError) as caught:
            engine.execute("o1", c.AcceptOrder(), by=LUC, if_version=if_version)

        assert caught.value.field == "if_version"

    @pytest.mark.parametrize(
        ("state", "by", "command", "field"),
        [
            (
                "in_progress",
                ANA,
                c.BuyAddOn(title="x", price=Money(5, "USD"), payment=None),
                "price",
            ),
            (
                "in_progress",
                ANA,
                c.BuyAddOn(title="x", price=eur(5), payment=paid("p", Money(5, "USD"))),
                "payment",
            ),
            (
                "in_progress",
                LUC,
                c.SendOffer(title="x", price=Money(5, "JPY")),
                "price",
            ),
            (
                "in_progress",
                ANA,
                c.PayOffer(offer_id="offer-1", payment=paid("p", Money(5, "USD"))),
                "payment",
            ),
            (
                "pending",
                ANA,
                c.ProposePartialRefund(amount=Money(5, "USD"), reason="x"),
                "amount",
            ),
            (
                "frozen",
                OPS,
                c.RuleDispute(ruling=Split(to_buyer=Money(5, "USD")), reason="x"),
                "ruling",
            ),
            (
                "cancelled",
                STRIPE,
                c.ConfirmPayment(payment=paid("p", Money(5, "USD"))),
                "payment",
            ),
            (
                "cancelled",
                STRIPE,
                c.ConfirmPayment(payment=paid("p"), item="offer-7"),
                "payment.amount",
            ),
        ],
    )
    def test_malformed_for_this_order(
        self,
        engine: Engine,
        storage: Storage,
        state: str,
        by: Actor,
        command: c.Command,
        field: str,
    ) -> None:
        """
        A second currency, a sum beyond all limits: nothing is written.
        """
        brought_to(engine, state)
        before = contents(storage)

        for send in (engine.attempt, engine.preview):
            with pytest.raises(InvalidInputError) as caught:
                send("o1", command, by=by)
            assert caught.value.field == field

        assert contents(storage) == before

    def test_the_limit_counts_what_is_bought(self, engine: Engine) -> None:
        """
        Up to the limit an extra can be sold, an option of the order counting once.
        """
        half = Money(AMOUNT_MAX * 2 // 5, "EUR")
        brought_to(
            engine, "in_progress", price=half, add_ons=[AddOn(title="x", price=half)]
        )

        engine.execute(
            "o1",
            c.SendOffer(title="y", price=Money(AMOUNT_MAX - 2 * half.minor, "EUR")),
            by=LUC,
        )

        refusal = engine.attempt(
            "o1", c.SendOffer(title="z", price=eur("0.01")), by=LUC
        )

        assert isinstance(refusal, Refusal)
        assert [blocker.code for blocker in refusal.blockers] == [
            "order_worth_too_much"
        ]

    def test_the_limit_forgets_offers_that_are_gone(self, engine: Engine) -> None:
        """
        What was turned down is no part of what an order is worth.
        """
        brought_to(engine, "in_progress")
        large = Money(AMOUNT_MAX * 3 // 5, "EUR")
        engine.execute("o1", c.SendOffer(title="y", price=large), by=LUC)
        engine.execute("o1", c.RefuseOffer(offer_id="offer-1"), by=ANA)

        outcome = engine.execute("o1", c.SendOffer(title="z", price=large), by=LUC)

        assert names(outcome) == ["offer_sent"]

    @pytest.mark.parametrize(
        "by",
        [
            Buyer("luc"),
            Seller("ana"),
            Buyer("eve"),
            Seller("eve"),
            Mediator("ana"),
            Mediator("mia"),
        ],
    )
    def test_unknown_and_foreign_are_one(
        self, engine: Engine, storage: Storage, clock: FakeClock, by: Actor
    ) -> None:
        """
        Nobody learns whether an order exists, and nothing is written, due or not.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)
        before = contents(storage)
        asks: list[Callable[[str], object]] = [
            lambda o: engine.attempt(o, c.AcceptOrder(), by=by),
            lambda o: engine.attempt(o, c.AcceptOrder(), by=by, key="k", if_version=1),
            lambda o: engine.attempt(o, c.AssignMediator(mediator_id="mia"), by=by),
            lambda o: engine.attempt(o, c.RequestCoupon(), by=by),
            lambda o: engine.preview(o, c.AcceptOrder(), by=by),
            lambda o: engine.options(o, by=by),
            lambda o: engine.order(o, by=by),
            lambda o: engine.history(o, by=by),
        ]

        for ask in asks:
            with pytest.raises(OrderNotFoundError) as foreign:
                ask("o1")
            with pytest.raises(OrderNotFoundError) as unknown:
                ask("o2")
            assert type(foreign.value) is type(unknown.value)
            assert str(foreign.value).replace("o1", "o2") == str(unknown.value)

        assert contents(storage) == before

    def test_unknown_to_the_host(self, engine: Engine) -> None:
        """
        The host reads everything there is, and no more.
        """
        for ask in (engine.order, engine.history, engine.effects):
            with pytest.raises(OrderNotFoundError) as caught:
                ask("o2")
            assert caught.value.order_id == "o2"

    def test_due_comes_first(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        A refused command leaves what was due settled and committed, at its instant.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)

        with pytest.raises(CommandRefusedError) as caught:
            engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        order = caught.value.order
        assert [blocker.code for blocker in caught.value.blockers] == [
            "deadline_passed",
            "order_ended",
        ]
        assert (order.state, order.ledger.refunded) == ("cancelled", eur(100))
        assert engine.history("o1")[-1].effective_at == pendulum.parse(
            "2026-05-07T10:00:00+02:00"
        )
        assert engine.history("o1")[-1].recorded_at == clock.now()
        assert storage.load("o1").version == order.version == 5
        assert storage.load("o1", "seller:luc\x1fk").receipt is None

    def test_due_and_done_in_one(self, engine: Engine, clock: FakeClock) -> None:
        """
        What was due before a command is history, not its doing.
        """
        brought_to(engine, "in_progress")
        clock.advance(days=6)

        outcome = engine.execute("o1", c.CancelOrder(), by=ANA)

        assert names(outcome) == ["order_cancelled"]
        assert names(engine.history("o1"))[-2:] == [
            "order_marked_late",
            "order_cancelled",
        ]
        assert {effect.seq for effect in outcome.effects} == {outcome.order.version}

    def test_malformed_before_due(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        What is wrong by itself does not even settle what is due.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)
        before = contents(storage)
        command = c.ConfirmPayment(payment=paid("p", Money(5, "USD")))

        with pytest.raises(InvalidInputError):
            engine.attempt("o1", command, by=STRIPE)

        assert contents(storage) == before

    def test_a_refusal_is_an_answer(self, engine: Engine, storage: Storage) -> None:
        """
        `attempt` returns what `execute` raises; nothing was written.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        before = contents(storage)

        answer = engine.attempt("o1", c.ApproveDelivery(), by=ANA)

        assert isinstance(answer, Refusal)
        assert [blocker.code for blocker in answer.blockers] == ["not_in_this_state"]
        assert answer.order == engine.order("o1")
        assert contents(storage) == before


# --- keys ---------------------------------------------------------------------------


class TestKeys:
    """
    The same content under the same key gives the same answer (I17).
    """

    def test_once(self, engine: Engine, storage: Storage) -> None:
        """
        A command that is repeated happened once.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        first = engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")
        before = contents(storage)

        second = engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        assert (first.replayed, second.replayed) == (False, True)
        assert second.order == first.order
        assert second.events == first.events
        assert second.effects == first.effects
        assert contents(storage) == before

    def test_longest_key(self, storage: Storage, clock: FakeClock) -> None:
        """
        Who has the longest id there may be has keys of his own as everybody has, also
        the longest.
        """
        longest = "\U0001f600" * 255
        somebody = Seller(longest)
        engine = an_engine(storage, clock=clock)
        command = an_order(seller_id=longest)
        buyer, key = Buyer(longest[1:] + "b"), longest[1:] + "k"
        order_id = engine.place(command, by=buyer, key=key).order.id

        first = engine.execute(order_id, c.AcceptOrder(), by=somebody, key=longest)
        second = engine.execute(order_id, c.AcceptOrder(), by=somebody, key=longest)

        assert (first.replayed, second.replayed) == (False, True)
        with pytest.raises(KeyReusedError) as caught:
            engine.execute(order_id, c.DeliverOrder(note="x"), by=somebody, key=longest)
        assert caught.value.key == longest
        # Each has room beside the id of an order in one key of an index.
        kept = [receipt.key for receipt in storage.receipts(order_id)]
        assert len(kept) == 2
        assert all(len(key.encode()) <= 100 for key in kept)
        assert engine.place(command, by=buyer, key=key).replayed

    def test_after_later_changes(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        The answer is that of the day, whatever happened or is due since.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        first = engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")
        engine.execute("o1", c.DeliverOrder(note="x"), by=LUC)
        clock.advance(days=9)
        before = contents(storage)

        second = engine.attempt("o1", c.AcceptOrder(), by=LUC, key="k")

        assert isinstance(second, Outcome)
        assert second.replayed
        assert (second.order, second.events) == (first.order, first.events)
        assert second.effects == first.effects
        assert contents(storage) == before

    def test_before_the_version(self, engine: Engine) -> None:
        """
        A command that went through is not told that the page is out of date.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        engine.execute("o1", c.AcceptOrder(), by=LUC, key="k", if_version=3)

        assert engine.execute(
            "o1", c.AcceptOrder(), by=LUC, key="k", if_version=3
        ).replayed

    def test_of_one_who_left(self, engine: Engine) -> None:
        """
        A mediator whose work is done still gets the answer to his last command.
        """
        brought_to(engine, "in_progress")
        engine.execute("o1", c.FileClaim(reason="bad"), by=ANA)
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
        first = engine.execute("o1", c.RejectClaim(reason="no"), by=MIA, key="k")

        second = engine.execute("o1", c.RejectClaim(reason="no"), by=MIA, key="k")

        assert second.replayed
        assert second.order == first.order
        with pytest.raises(OrderNotFoundError):
            engine.execute("o1", c.RejectClaim(reason="no"), by=MIA, key="l")

    def test_with_what_became_due_at_once(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        What a command itself made due belongs to its answer, both times.
        """
        process = COMEUP.with_policies(conversation={"chat_grace_from": "delivery"})
        engine = an_engine(engine.storage, process, clock)
        brought_to(engine, "delivered", terms=terms(verification_window="P20D"))
        clock.advance(days=8)

        first = engine.execute("o1", c.ApproveDelivery(), by=ANA, key="k")
        second = engine.execute("o1", c.ApproveDelivery(), by=ANA, key="k")

        assert names(first)[-1] == "conversation_closed"
        assert not first.order.conversation.open
        assert (second.order, second.events) == (first.order, first.events)
        assert second.effects == first.effects

    @pytest.mark.parametrize(
        "other",
        [
            c.RefuseOrder(reason="Because"),
            c.AcceptOrder(),
            c.CancelOrder(reason="because"),
        ],
    )
    def test_other_content(
        self, engine: Engine, storage: Storage, other: c.Command
    ) -> None:
        """
        Another command, or the same in other words, is another command.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        engine.execute("o1", c.RefuseOrder(reason="because"), by=LUC, key="k")
        before = contents(storage)

        with pytest.raises(KeyReusedError) as caught:
            engine.execute("o1", other, by=LUC, key="k")

        assert caught.value.key == "k"
        assert contents(storage) == before

    def test_the_same_content_in_other_spelling(self, engine: Engine) -> None:
        """
        What is cleaned at the door is the same content.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        engine.execute("o1", c.RefuseOrder(reason="tr\u00e8s tard"), by=LUC, key="k")

        again = engine.execute(
            "o1", c.RefuseOrder(reason=" tre\u0300s tard\n"), by=LUC, key=" k "
        )

        assert again.replayed

    def test_scope_is_the_actor_and_the_order(self, engine: Engine) -> None:
        """
        Two people, and two orders, may use the same key.
        """
        for order_id in ("o1", "o2"):
            engine.place(an_order(), by=ANA, order_id=order_id, key="k")
        message = c.SendMessage(reference="m")

        outcomes = [
            engine.execute("o1", message, by=LUC, key="k"),
            engine.execute("o2", message, by=LUC, key="k"),
            engine.execute("o1", message, by=ANA, key="l"),
        ]

        assert [outcome.replayed for outcome in outcomes] == [False] * 3
        with pytest.raises(KeyReusedError):
            engine.execute("o1", message, by=ANA, key="k")

    def test_a_role_is_another_actor(self, engine: Engine) -> None:
        """
        Staff and provider of one name are two.
        """
        engine.place(an_order(payment=None), by=ANA, order_id="o1")
        first = c.ConfirmPayment(payment=paid("p", eur(40)))
        second = c.ConfirmPayment(payment=paid("q", eur(60)))

        engine.execute("o1", first, by=Operator("x"), key="k")
        outcome = engine.execute("o1", second, by=Provider("x"), key="k")

        assert outcome.order.state == "pending"

    def test_a_refusal_leaves_no_receipt(self, engine: Engine) -> None:
        """
        Trying again is judged anew.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        deliver = c.DeliverOrder(note="x")
        assert isinstance(engine.attempt("o1", deliver, by=LUC, key="k"), Refusal)
        engine.execute("o1", c.AcceptOrder(), by=LUC)

        outcome = engine.execute("o1", deliver, by=LUC, key="k")

        assert not outcome.replayed
        assert outcome.order.state == "delivered"

    def test_what_did_nothing_did_it_once(
        self, engine: Engine, storage: Storage
    ) -> None:
        """
        A command without events leaves a receipt, and no new version.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        twice = c.ConfirmPayment(payment=paid("pi_1"))

        first = engine.execute("o1", twice, by=STRIPE, key="k")
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        second = engine.execute("o1", twice, by=STRIPE, key="k")

        assert (first.events, first.order.version) == ((), 3)
        assert second.replayed
        assert (second.events, second.order) == ((), first.order)
        with pytest.raises(KeyReusedError):
            engine.execute(
                "o1", c.ConfirmPayment(payment=paid("p")), by=STRIPE, key="k"
            )


# --- versions -----------------------------------------------------------------------


class TestVersions:
    """
    A caller says what he saw.
    """

    def test_the_page_is_current(self, engine: Engine) -> None:
        """
        At the version that was seen, the command is judged.
        """
        order = engine.place(an_order(), by=ANA, order_id="o1").order

        outcome = engine.execute(
            "o1", c.AcceptOrder(), by=LUC, if_version=order.version
        )

        assert outcome.order.version == order.version + 1

    def test_the_page_is_old(self, engine: Engine, storage: Storage) -> None:
        """
        Somebody was faster; nothing was executed.
        """
        seen = engine.place(an_order(), by=ANA, order_id="o1").order.version
        engine.execute("o1", c.SubmitBrief(text="blue"), by=ANA)
        before = contents(storage)

        with pytest.raises(OrderChangedError) as caught:
            engine.execute("o1", c.CancelOrder(), by=ANA, if_version=seen)

        error = caught.value
        assert (error.order_id, error.expected, error.actual) == ("o1", seen, seen + 1)
        assert contents(storage) == before

    def test_due_moves_are_counted(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        What is due is recorded first, so the number that was read is stable.
        """
        brought_to(engine, "in_progress")
        stored = storage.load("o1").version
        clock.advance(days=6)
        seen = engine.order("o1").version

        with pytest.raises(OrderChangedError) as caught:
            engine.execute("o1", c.CancelOrder(), by=ANA, if_version=stored)
        outcome = engine.execute("o1", c.CancelOrder(), by=ANA, if_version=seen)

        assert (caught.value.expected, caught.value.actual) == (stored, seen)
        assert seen == stored + 1
        assert outcome.order.version == seen + 1

    def test_a_payment_with_an_old_page(self, engine: Engine, storage: Storage) -> None:
        """
        A command that was not executed books nothing: it is sent again.
        """
        brought_to(engine, "in_progress")
        before = contents(storage)
        command = c.BuyAddOn(title="x", price=eur(5), payment=paid("pi_2"))

        with pytest.raises(OrderChangedError):
            engine.execute("o1", command, by=ANA, if_version=1)

        assert contents(storage) == before


# --- several processes --------------------------------------------------------------


class TestProcesses:
    """
    An order runs for life on the rules it was placed under.
    """

    OLD = COMEUP.with_policies(acceptance={"acceptance_window": "PT12H"})

    def test_side_by_side(self, storage: Storage, clock: FakeClock) -> None:
        """
        New orders take the new process, old ones keep theirs.
        """
        an_engine(storage, self.OLD, clock).place(an_order(), by=ANA, order_id="old")
        engine = an_engine(storage, clock=clock, also=(self.OLD,))
        engine.place(an_order(), by=ANA, order_id="new")

        clock.advance(hours=12)

        assert engine.order("old").state == "cancelled"
        assert engine.order("new").state == "pending"
        assert engine.run_due().orders == 1
        assert engine.order("new").fingerprint == COMEUP.fingerprint

    def test_unknown(self, storage: Storage, clock: FakeClock) -> None:
        """
        Without its process an order can be read, and nothing else.
        """
        an_engine(storage, self.OLD, clock).place(an_order(), by=ANA, order_id="o1")
        engine = an_engine(storage, clock=clock)
        clock.advance(days=3)
        before = contents(storage)

        order = engine.order("o1", by=ANA)
        assert order.state == "pending"
        # True when it was last written; what became due since, nobody here knows.
        assert order.as_of == order.effective_at == FakeClock(T0).now()
        assert engine.orders().items[0].as_of == order.as_of
        assert len(engine.history("o1", by=LUC)) == 3
        assert len(engine.effects("o1")) == 1
        for ask in (
            lambda: engine.execute("o1", c.AcceptOrder(), by=LUC),
            lambda: engine.preview("o1", c.AcceptOrder(), by=LUC),
            lambda: engine.options("o1", by=LUC),
        ):
            with pytest.raises(UnknownProcessError) as caught:
                ask()
            assert caught.value.fingerprint == self.OLD.fingerprint
        assert contents(storage) == before

    def test_unknown_and_foreign(self, storage: Storage) -> None:
        """
        To a stranger it is no order at all.
        """
        an_engine(storage, self.OLD).place(an_order(), by=ANA, order_id="o1")
        engine = an_engine(storage)

        for by in (Buyer("eve"), MIA):
            with pytest.raises(OrderNotFoundError):
                engine.attempt("o1", c.AcceptOrder(), by=by)
            with pytest.raises(OrderNotFoundError):
                engine.order("o1", by=by)

    def test_unknown_in_a_sweep(self, storage: Storage, clock: FakeClock) -> None:
        """
        A sweep names it each time, leaves it alone, and goes on.
        """
        an_engine(storage, self.OLD, clock).place(an_order(), by=ANA, order_id="old")
        engine = an_engine(storage, clock=clock)
        engine.place(an_order(), by=ANA, order_id="new")
        clock.advance(days=3)

        first, second = engine.run_due(), engine.run_due()

        assert first.unknown == (("old", self.OLD.fingerprint),)
        assert (first.orders, first.parked) == (1, ())
        assert second == SweepReport(unknown=first.unknown)
        loaded = storage.load("old")
        assert (loaded.version, loaded.parked) == (3, None)
        # It waits for its own orders only.
        due_at = engine.next_due_at()
        assert due_at is not None
        assert due_at > clock.now()

    def test_found_again(self, storage: Storage, clock: FakeClock) -> None:
        """
        Once the process is passed in, the order goes on where it was.
        """
        old = an_engine(storage, self.OLD, clock)
        old.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)
        an_engine(storage, clock=clock).run_due()
        engine = an_engine(storage, clock=clock, also=[self.OLD])

        report = engine.run_due()

        assert (report.orders, report.unknown) == (1, ())
        assert engine.order("o1").state == "cancelled"

    def test_not_a_process(self, storage: Storage) -> None:
        """
        A process is handed over, not the function that makes one.
        """
        process: Any = type

        with pytest.raises(InvalidInputError) as caught:
            Engine(process, storage)

        assert caught.value.field == "process"

    def test_the_wall_clock(self, storage: Storage) -> None:
        """
        Unless said otherwise, it is the time on the wall.
        """
        assert isinstance(Engine(COMEUP, storage).clock, SystemClock)


# --- how much one person can write --------------------------------------------------


TEXTS_MAX = 500


def flooded(engine: Engine, by: Actor = ANA, count: int = TEXTS_MAX) -> None:
    """
    Have one person write so many texts on an order, in a claim and its edits.
    """
    brought_to(engine, "in_progress")
    engine.execute("o1", c.FileClaim(reason="0"), by=by)
    for number in range(1, count):
        engine.execute("o1", c.EditClaim(reason=str(number)), by=by)


class TestManyTexts:
    """
    Every reader of an order carries all of its texts: nobody writes without end.
    """

    MORE = c.EditClaim(reason="once more")

    def test_the_last_and_the_first_too_many(self, engine: Engine) -> None:
        """
        The 500th text of a person is taken, the next one refused, also beforehand;
        who has a key gets its answer again.
        """
        flooded(engine, count=TEXTS_MAX - 1)
        assert isinstance(engine.preview("o1", self.MORE, by=ANA), Outcome)
        last = engine.execute("o1", self.MORE, by=ANA, key="last")
        before = engine.history("o1")

        refusal = engine.attempt("o1", self.MORE, by=ANA)

        assert isinstance(refusal, Refusal)
        (blocker,) = refusal.blockers
        assert (blocker.code, blocker.params) == (
            "too_many_texts",
            {"maximum": TEXTS_MAX},
        )
        assert refusal.recorded == ()
        assert engine.preview("o1", self.MORE, by=ANA) == refusal
        again = engine.execute("o1", self.MORE, by=ANA, key="last")
        assert (again.replayed, again.events) == (True, last.events)
        assert engine.history("o1") == before
        assert engine.verify().faults == ()

    def test_nobody_else_is_in_the_way(self, engine: Engine) -> None:
        """
        What one person wrote does not silence another; who has written enough may
        do everything that takes no words.
        """
        flooded(engine)

        engine.execute("o1", c.DeliverOrder(note="here"), by=LUC)
        engine.execute("o1", c.WithdrawClaim(), by=ANA)
        engine.execute("o1", c.ApproveDelivery(), by=ANA)
        refusal = engine.attempt("o1", c.LeaveReview(rating=1, text="and"), by=ANA)

        assert isinstance(refusal, Refusal)
        assert [blocker.code for blocker in refusal.blockers] == ["too_many_texts"]
        engine.execute("o1", c.LeaveReview(rating=1), by=ANA)
        assert engine.order("o1").state == "completed"

    def test_with_everything_else(self, engine: Engine) -> None:
        """
        It is named after whatever else is in the way.
        """
        flooded(engine)

        refusal = engine.attempt("o1", c.FileClaim(reason="again"), by=ANA)

        assert isinstance(refusal, Refusal)
        assert [blocker.code for blocker in refusal.blockers] == [
            "claim_open",
            "too_many_texts",
        ]

    def test_a_payment_goes_back(self, engine: Engine) -> None:
        """
        Money that comes with one text too many is booked and returned whole.
        """
        flooded(engine)
        engine.execute("o1", c.WithdrawClaim(), by=ANA)
        bought = c.BuyAddOn(
            title="faster", price=eur(10), payment=paid("pi_2", eur(10))
        )

        refusal = engine.attempt("o1", bought, by=ANA)

        assert isinstance(refusal, Refusal)
        assert names(refusal.recorded) == ["payment_returned"]
        assert refusal.recorded[0].data["why"] == "too_many_texts"
        (refund,) = [
            one.effect for one in engine.effects("o1") if isinstance(one.effect, Refund)
        ]
        assert (refund.payment.reference, refund.amount) == ("pi_2", eur(10))
        assert engine.verify().faults == ()


# --- several at once ----------------------------------------------------------------


class Meddling:
    """
    A storage that lets something happen between a load and the next commit.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.meddle: list[Callable[[], object]] = []

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._storage, verb)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Let somebody else go first.
        """
        if self.meddle:
            self.meddle.pop(0)()
        return self._storage.commit(changes)


class Failing(Meddling):
    """
    A storage whose commit fails, before or after it was done.
    """

    after = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Fail once.
        """
        if self.meddle:
            self.meddle.clear()
            if self.after:
                self._storage.commit(changes)
            raise StorageError("the disk is full")
        return self._storage.commit(changes)


class TestAtOnce:
    """
    Who commits first, wins; the other is judged anew (I18).
    """

    @pytest.fixture
    def meddling(self, storage: Storage) -> Any:
        """
        A storage that meddles.
        """
        return Meddling(storage)

    def test_the_loser_is_judged_anew(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        Cancel and accept at once: the second sees what the first did (SC8).
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        slow = an_engine(meddling, clock=clock)
        meddling.meddle = [lambda: engine.execute("o1", c.AcceptOrder(), by=LUC)]

        answer = slow.attempt("o1", c.CancelOrder(), by=ANA)

        assert isinstance(answer, Refusal)
        assert answer.blockers[0].code == "consent_needed"
        assert engine.order("o1").state == "in_progress"
        assert engine.order("o1").ledger.held == eur(100)

    def test_both_may_win(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        Two commands that do not exclude each other are both recorded.
        """
        brought_to(engine, "pending")
        slow = an_engine(meddling, clock=clock)
        meddling.meddle = [
            lambda: engine.execute("o1", c.SendMessage(reference="1"), by=ANA),
            lambda: engine.execute("o1", c.SendMessage(reference="2"), by=ANA),
        ]

        outcome = slow.execute("o1", c.SendMessage(reference="3"), by=LUC)

        said = [
            recorded.event.reference
            for recorded in engine.history("o1")
            if isinstance(recorded.event, MessageSent)
        ]
        assert said == ["1", "2", "3"]
        assert outcome.order.version == 6

    def test_with_a_version(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        Who said what he saw is told that it is no longer so.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        slow = an_engine(meddling, clock=clock)
        meddling.meddle = [lambda: engine.execute("o1", c.AcceptOrder(), by=LUC)]

        with pytest.raises(OrderChangedError) as caught:
            slow.execute("o1", c.CancelOrder(), by=ANA, if_version=3)

        assert (caught.value.expected, caught.value.actual) == (3, 4)

    def test_the_same_call_twice(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        A retry that overtakes its first try is the one that counts.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        slow = an_engine(meddling, clock=clock)

        def retry() -> Outcome:
            return engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        meddling.meddle = [retry]

        outcome = slow.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        assert outcome.replayed
        assert names(engine.history("o1")).count("order_accepted") == 1

    def test_placed_twice(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        Two tries to place one order place one.
        """
        slow = an_engine(meddling, clock=clock)
        meddling.meddle = [lambda: engine.place(an_order(), by=ANA, key="k")]

        outcome = slow.place(an_order(), by=ANA, key="k")

        assert outcome.replayed

    def test_another_took_the_id(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        Two orders of one id: the second is told, with a key or without.
        """
        slow = an_engine(meddling, clock=clock)
        for order_id, key in (("o1", None), ("o2", "k")):

            def first(order_id: str = order_id) -> None:
                engine.place(an_order(), by=Buyer("eva"), order_id=order_id)

            meddling.meddle = [first]
            with pytest.raises(OrderExistsError):
                slow.place(an_order(), by=ANA, order_id=order_id, key=key)

    def test_a_crowd_without_end(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        Who is overtaken again and again is told in the end; he wrote nothing.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        slow = an_engine(meddling, clock=clock)

        def faster() -> None:
            engine.execute("o1", c.SendMessage(reference="m"), by=ANA)

        meddling.meddle = [faster] * 64

        with pytest.raises(OrderChangedError) as caught:
            slow.execute("o1", c.AcceptOrder(), by=LUC)

        assert caught.value.actual is None
        assert engine.order("o1").state == "pending"
        assert engine.order("o1").version == 3 + 64

    def test_a_sweep_that_is_overtaken(
        self, engine: Engine, meddling: Any, clock: FakeClock
    ) -> None:
        """
        What somebody else settled meanwhile is settled once, and reported so.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)
        slow = an_engine(meddling, clock=clock)
        meddling.meddle = [lambda: engine.attempt("o1", c.AcceptOrder(), by=LUC)]

        report = slow.run_due()

        assert (report.orders, report.moves, report.faster) == (0, 0, 1)
        assert names(engine.history("o1")).count("order_cancelled") == 1

    def test_eight_threads(self, engine: Engine) -> None:
        """
        A crowd on one order loses nothing, and no number is given twice.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        start = Barrier(8)
        failed: list[BaseException] = []

        def talk(number: int) -> None:
            try:
                start.wait()
                for i in range(5):
                    by = ANA if number % 2 else LUC
                    message = c.SendMessage(reference=f"{number}.{i}")
                    engine.execute("o1", message, by=by, key=f"{number}.{i}")
            except BaseException as error:
                failed.append(error)

        threads = [Thread(target=talk, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failed == []
        history = engine.history("o1")
        assert [recorded.seq for recorded in history] == list(range(1, 44))
        said = [r.event.reference for r in history if isinstance(r.event, MessageSent)]
        assert sorted(said) == sorted(f"{n}.{i}" for n in range(8) for i in range(5))
        assert encode_order(fold(history)) == engine.storage.load("o1").snapshot

    def test_one_of_eight_accepts(self, engine: Engine) -> None:
        """
        Of eight who do the same, one does it.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        start = Barrier(8)
        answers: list[object] = []

        def cancel(number: int) -> None:
            start.wait()
            by: Actor = ANA if number % 2 else LUC
            answers.append(engine.attempt("o1", c.CancelOrder(), by=by))

        threads = [Thread(target=cancel, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sum(isinstance(answer, Outcome) for answer in answers) == 1
        assert engine.order("o1").ledger.refunded == eur(100)

    @pytest.mark.parametrize("after", [False, True])
    def test_a_commit_that_fails(
        self, storage: Storage, clock: FakeClock, after: bool
    ) -> None:
        """
        The error reaches the host; the same key then does it, once.
        """
        failing: Any = Failing(storage)
        engine = an_engine(failing, clock=clock)
        engine.place(an_order(), by=ANA, order_id="o1")
        failing.after, failing.meddle = after, [print]

        with pytest.raises(StorageError, match="the disk is full"):
            engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")
        outcome = engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        assert outcome.replayed is after
        assert names(engine.history("o1")).count("order_accepted") == 1


# --- payments of refused commands ---------------------------------------------------


class TestReturnedPayments:
    """
    Money that arrived is never refused into nowhere (idea 8).
    """

    @pytest.mark.parametrize("state", STATES)
    def test_in_any_state(self, engine: Engine, state: str) -> None:
        """
        A command that is refused still books its payment, and it goes back whole.
        """
        brought_to(engine, state)
        before = engine.order("o1")
        command = c.PayOffer(offer_id="offer-9", payment=paid("pi_9", eur(7)))

        answer = engine.attempt("o1", command, by=ANA, key="k")

        assert isinstance(answer, Refusal)
        assert names(answer.recorded) == ["payment_returned"]
        order = engine.order("o1")
        assert order == answer.order
        assert order.ledger.held == before.ledger.held
        assert order.ledger.refunded == before.ledger.refunded + eur(7)
        assert order.state == before.state
        refund = answer.effects[0]
        assert (refund.name, refund.order_id, refund.seq) == (
            "refund",
            "o1",
            order.version,
        )

    def test_once(self, engine: Engine, storage: Storage) -> None:
        """
        The same refused command again adds nothing: the money came once.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        command = c.BuyAddOn(title="x", price=eur(7), payment=paid("pi_9"))
        engine.attempt("o1", command, by=ANA, key="k")
        before = contents(storage)

        again = engine.attempt("o1", command, by=ANA, key="k")

        assert isinstance(again, Refusal)
        assert again.recorded == ()
        assert contents(storage) == before
        refunds = engine.order("o1").refunds
        assert [refund.amount for refund in refunds] == [eur(7)]

    def test_together_with_what_was_due(self, engine: Engine, clock: FakeClock) -> None:
        """
        What was due comes first, in one commit with the payment.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)
        command = c.BuyAddOn(title="x", price=eur(7), payment=paid("pi_9"))

        with pytest.raises(CommandRefusedError) as caught:
            engine.execute("o1", command, by=ANA)

        assert names(engine.history("o1"))[-2:] == [
            "order_cancelled",
            "payment_returned",
        ]
        assert caught.value.order.ledger.refunded == eur(107)

    def test_several(self, engine: Engine) -> None:
        """
        Of several payments, each goes back to where it came from.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        payments = (paid("a", eur(3)), paid("pi_1", eur(4)), paid("b", eur(5)))
        command = c.BuyAddOn(title="x", price=eur(12), payment=payments)

        answer = engine.attempt("o1", command, by=ANA)

        assert isinstance(answer, Refusal)
        references = [
            effect.payment.reference  # type: ignore[attr-defined]
            for effect in answer.effects
            if effect.moves_money
        ]
        assert references == ["a", "b"]

    def test_of_a_stranger(self, engine: Engine, storage: Storage) -> None:
        """
        Somebody who is no party has no payment here.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        before = contents(storage)
        command = c.BuyAddOn(title="x", price=eur(7), payment=paid("pi_9"))

        with pytest.raises(OrderNotFoundError):
            engine.attempt("o1", command, by=Buyer("eve"))

        assert contents(storage) == before


# --- preview and reading ------------------------------------------------------------


class TestPreview:
    """
    The same answer, and nothing written.
    """

    @pytest.mark.parametrize("days", [0, 3, 6])
    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize(
        ("by", "command"),
        [
            (ANA, c.CancelOrder(reason="x")),
            (LUC, c.DeliverOrder(note="x")),
            (ANA, c.LeaveReview(rating=4, text="x")),
            (ANA, c.BuyAddOn(title="x", price=eur(5), payment=paid("pi_2"))),
            (OPS, c.FreezeOrder(reason="x")),
        ],
        ids=lambda value: getattr(value, "name", ""),
    )
    def test_is_what_happens(
        self,
        engine: Engine,
        storage: Storage,
        clock: FakeClock,
        state: str,
        by: Actor,
        command: c.Command,
        days: int,
    ) -> None:
        """
        What was said beforehand is what the command does.
        """
        brought_to(engine, state)
        clock.advance(days=days)
        before = contents(storage)

        said = engine.preview("o1", command, by=by)

        assert contents(storage) == before
        assert engine.attempt("o1", command, by=by) == said

    def test_of_an_order(self, engine: Engine, storage: Storage) -> None:
        """
        Placing can be previewed, too; the id is a stand-in.
        """
        said = engine.preview(None, an_order(), by=ANA)
        done = engine.place(an_order(), by=ANA)

        assert isinstance(said, Outcome)
        assert storage.load("preview") == StoredOrder(order_id="preview")
        assert names(said) == names(done)
        assert said.order.ledger == done.order.ledger
        refused = engine.preview(None, an_order(tip=eur(50)), by=ANA)
        assert isinstance(refused, Refusal)
        assert refused.order is None

    def test_needs_an_order(self, engine: Engine) -> None:
        """
        Any other command is about an order.
        """
        with pytest.raises(InvalidInputError, match="order_id"):
            engine.preview(None, c.AcceptOrder(), by=LUC)


class TestReading:
    """
    Who may see what, as of now.
    """

    @pytest.mark.parametrize("by", [None, ANA, LUC, OPS, STRIPE])
    def test_parties_and_staff(
        self, engine: Engine, storage: Storage, clock: FakeClock, by: Actor | None
    ) -> None:
        """
        Both sides, staff and the host see the order with what is due applied.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(days=3)
        before = contents(storage)

        order = engine.order("o1", by=by)

        assert (order.state, order.version) == ("cancelled", 5)
        assert order.as_of == clock.now()
        assert len(engine.history("o1", by=by)) == 3
        assert contents(storage) == before

    def test_history(self, engine: Engine) -> None:
        """
        What was recorded, oldest first, with who and when.
        """
        brought_to(engine, "in_progress")

        history = engine.history("o1")

        assert names(history) == [
            "order_placed",
            "payment_booked",
            "order_paid",
            "order_accepted",
        ]
        assert [str(recorded.by) for recorded in history] == [
            *["buyer:ana"] * 3,
            "seller:luc",
        ]
        assert history[1].data["payment"] == paid("pi_1", eur(100))

    def test_a_long_history(self, engine: Engine) -> None:
        """
        It comes in pages, and is read whole.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        for number in range(510):
            engine.execute("o1", c.SendMessage(reference=str(number)), by=ANA)

        assert len(engine.history("o1")) == 513

    def test_effects(self, engine: Engine) -> None:
        """
        What the host has to do, in the order it was asked, none of it done.
        """
        brought_to(engine, "completed")

        found = engine.effects("o1")

        assert {status.status for status in found} == {"waiting"}
        assert {status.attempts for status in found} == {0}
        keys = [status.effect.key for status in found]
        assert len(set(keys)) == len(keys)
        seqs = [status.effect.seq for status in found]
        assert seqs == sorted(seqs)
        assert [s.effect.name for s in found if s.effect.moves_money] == ["pay_out"]

    def test_options(self, engine: Engine) -> None:
        """
        Every command of the role, allowed or with what is in the way.
        """
        brought_to(engine, "delivered")

        found = {option.name: option for option in engine.options("o1", by=ANA)}

        assert found["approve_delivery"].allowed
        assert not found["cancel_order"].allowed
        assert set(found) == {command.name for command in COMEUP.commands_of(ANA.role)}


class TestMediators:
    """
    An order that looks for a mediator can be found by one.
    """

    @pytest.mark.parametrize("state", ["claim", "disputed"])
    def test_any_may_look(self, engine: Engine, state: str) -> None:
        """
        Any mediator who is neither party reads it, and may name himself.
        """
        self._looking(engine, state)
        for by in (MIA, Mediator("max")):
            assert engine.order("o1", by=by).id == "o1"
            assert engine.history("o1", by=by)
            allowed = [o.name for o in engine.options("o1", by=by) if o.allowed]
            assert allowed == ["assign_mediator"]
            said = engine.preview("o1", c.AssignMediator(mediator_id=by.id), by=by)
            assert isinstance(said, Outcome)

        outcome = engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)

        assert outcome.order.mediator_id == "mia"

    @pytest.mark.parametrize("state", ["claim", "disputed"])
    @pytest.mark.parametrize(
        "command",
        [
            c.AskParties(text="x"),
            c.RejectClaim(reason="x"),
            c.ConvertClaim(),
            c.RuleDispute(ruling=FullRefund(), reason="x"),
            c.RuleDispute(ruling=Relaunch(), reason="x"),
            c.AcceptOrder(),
        ],
        ids=lambda command: command.name,
    )
    def test_and_nothing_else(
        self, engine: Engine, storage: Storage, state: str, command: c.Command
    ) -> None:
        """
        As long as he is not assigned, he has no part in it.
        """
        self._looking(engine, state)
        before = contents(storage)

        for send in (engine.attempt, engine.preview):
            with pytest.raises(OrderNotFoundError):
                send("o1", command, by=MIA)

        assert contents(storage) == before

    @pytest.mark.parametrize("state", ["claim", "disputed"])
    @pytest.mark.parametrize("identifier", ["ana", "luc"])
    def test_not_a_party(self, engine: Engine, state: str, identifier: str) -> None:
        """
        Buyer and seller are no mediators of their own order (I20).
        """
        self._looking(engine, state)
        by = Mediator(identifier)

        with pytest.raises(OrderNotFoundError):
            engine.order("o1", by=by)
        with pytest.raises(OrderNotFoundError):
            engine.attempt("o1", c.AssignMediator(mediator_id=identifier), by=by)
        staff = engine.attempt("o1", c.AssignMediator(mediator_id=identifier), by=OPS)
        assert isinstance(staff, Refusal)
        assert staff.blockers[0].code == "mediator_is_a_party"

    @pytest.mark.parametrize("state", ["claim", "disputed"])
    def test_only_himself(self, engine: Engine, state: str) -> None:
        """
        A mediator names himself; staff names anybody.
        """
        self._looking(engine, state)
        command = c.AssignMediator(mediator_id="max")

        answer = engine.attempt("o1", command, by=MIA)

        assert isinstance(answer, Refusal)
        assert [blocker.code for blocker in answer.blockers] == ["only_oneself"]
        assert engine.execute("o1", command, by=OPS).order.mediator_id == "max"

    @pytest.mark.parametrize("state", ["claim", "disputed"])
    def test_once_somebody_is_assigned(self, engine: Engine, state: str) -> None:
        """
        Then the order is his, and nobody else's.
        """
        self._looking(engine, state)
        engine.execute("o1", c.AssignMediator(mediator_id="max"), by=OPS)

        with pytest.raises(OrderNotFoundError):
            engine.order("o1", by=MIA)
        with pytest.raises(OrderNotFoundError):
            engine.attempt("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
        again = engine.attempt(
            "o1", c.AssignMediator(mediator_id="max"), by=Mediator("max")
        )
        assert isinstance(again, Refusal)
        assert again.blockers[0].code == "mediator_assigned"

    @pytest.mark.parametrize("state", sorted({*STATES} - {"disputed"}))
    def test_nobody_is_looked_for(self, engine: Engine, state: str) -> None:
        """
        Without a claim and without a dispute there is nothing to see.
        """
        brought_to(engine, state)

        with pytest.raises(OrderNotFoundError):
            engine.order("o1", by=MIA)

    def _looking(self, engine: Engine, state: str) -> None:
        brought_to(engine, "in_progress" if state == "claim" else state)
        if state == "claim":
            engine.execute("o1", c.FileClaim(reason="bad"), by=ANA)


# --- time ---------------------------------------------------------------------------


class TestRunDue:
    """
    A worker comes by.
    """

    def test_nothing(self, engine: Engine) -> None:
        """
        Where nothing is due, nothing happens.
        """
        assert engine.run_due() == SweepReport()
        assert engine.next_due_at() is None
        engine.place(an_order(), by=ANA, order_id="o1")
        assert engine.run_due() == SweepReport()

    def test_next(self, engine: Engine, clock: FakeClock) -> None:
        """
        The next instant to wake is the earliest of all orders.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.advance(hours=1)
        engine.place(an_order(), by=ANA, order_id="o2")
        first = pendulum.parse("2026-05-06T10:00:00+02:00")
        assert engine.next_due_at() == first

        clock.advance_to("2026-05-06T10:00:00+02:00")
        report = engine.run_due()

        assert (report.orders, report.moves) == (1, 1)
        assert engine.next_due_at() == pendulum.parse("2026-05-06T11:00:00+02:00")

    def test_in_batches(self, engine: Engine, clock: FakeClock) -> None:
        """
        However many are due, each is settled once, at its own instant.
        """
        for number in range(120):
            engine.place(an_order(), by=ANA, order_id=f"o{number}")
        clock.advance(days=60)

        report = engine.run_due()

        # Reminded, cancelled, and the days to talk are over.
        assert (report.orders, report.moves) == (120, 360)
        assert (report.faster, report.unknown, report.parked) == (0, (), ())
        assert engine.next_due_at() is None
        assert engine.run_due() == SweepReport()
        last = engine.history("o119")[-1]
        assert (last.name, last.by) == ("conversation_closed", SYSTEM)
        assert last.effective_at == pendulum.parse("2026-05-14T10:00:00+02:00")

    def test_a_limit(self, engine: Engine, clock: FakeClock) -> None:
        """
        A sweep may be told to stop early; the most overdue go first.
        """
        for number in range(7):
            engine.place(an_order(), by=ANA, order_id=f"o{number}")
            clock.advance(hours=1)
        clock.advance(days=3)

        report = engine.run_due(limit=3)

        assert report.orders == 3
        states = [engine.storage.load(f"o{number}").version for number in range(7)]
        assert states == [5, 5, 5, 3, 3, 3, 3]
        assert engine.run_due(limit=100).orders == 4

    @pytest.mark.parametrize("limit", [0, -1, 1.0, True, "5", None])
    def test_a_bad_limit(self, engine: Engine, limit: Any) -> None:
        """
        A limit is a whole number above zero.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.run_due(limit)

        assert caught.value.field == "limit"

    def test_two_workers(self, storage: Storage, clock: FakeClock) -> None:
        """
        On any number of hosts each order is settled once.
        """
        engine = an_engine(storage, clock=clock)
        for number in range(40):
            engine.place(an_order(), by=ANA, order_id=f"o{number}")
        clock.advance(days=3)
        start = Barrier(4)
        reports: list[SweepReport] = []

        def sweep() -> None:
            start.wait()
            reports.append(an_engine(storage, clock=clock).run_due())

        threads = [Thread(target=sweep) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sum(report.orders for report in reports) == 40
        assert {storage.load(f"o{number}").version for number in range(40)} == {5}

    def test_one_that_fails(self, storage: Storage, clock: FakeClock) -> None:
        """
        What cannot be settled is parked and named; the others are settled.
        """

        def broken(case: Any, command: Any) -> list[Step]:
            raise LedgerError("the books are wrong")

        engine = self._with(storage, clock, broken)
        engine.place(an_order(), by=ANA, order_id="bad")
        good = an_engine(storage, clock=clock)
        good.place(an_order(), by=ANA, order_id="good")
        both = an_engine(storage, clock=clock, also=[engine.process])
        clock.advance(days=3)

        first, second = both.run_due(), both.run_due()

        assert first.parked == (("bad", "the books are wrong"),)
        assert (first.orders, first.moves) == (1, 2)
        assert second == SweepReport()
        assert both.order("good").state == "cancelled"
        clock.advance(hours=1)
        assert both.run_due().parked == first.parked

    def test_one_that_breaks(self, storage: Storage, clock: FakeClock) -> None:
        """
        A mistake in a host's own rules starves nobody either.
        """

        def broken(case: Any, command: Any) -> list[Step]:
            raise ZeroDivisionError("in the rules of a host")

        engine = self._with(storage, clock, broken)
        engine.place(an_order(), by=ANA, order_id="bad")
        clock.advance(minutes=1)
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="good")
        both = an_engine(storage, clock=clock, also=[engine.process])
        clock.advance(days=3)

        report = both.run_due()

        assert [order_id for order_id, _ in report.parked] == ["bad"]
        assert report.orders == 1

    def test_one_that_cannot_be_read(self, storage: Storage, clock: FakeClock) -> None:
        """
        A snapshot that was damaged starves nobody either.
        """
        engine = an_engine(storage, clock=clock)
        engine.place(an_order(), by=ANA, order_id="bad")
        clock.advance(minutes=1)
        engine.place(an_order(), by=ANA, order_id="good")
        self._damage(storage, "bad")
        clock.advance(days=3)

        report = engine.run_due()

        assert [order_id for order_id, _ in report.parked] == ["bad"]
        assert report.orders == 1
        assert engine.order("good").state == "cancelled"

    def _with(self, storage: Storage, clock: FakeClock, act: Any) -> Engine:
        process: Process[Policies] = COMEUP.extend(
            name="broken", decisions=[Decides(c.ExpireAcceptance, act, version="1")]
        )
        return an_engine(storage, process, clock)

    def _damage(self, storage: Storage, order_id: str) -> None:
        order = an_engine(storage).order(order_id)
        change = Change(
            order_id=order_id,
            expected_version=order.version,
            version=order.version,
            process=order.process,
            fingerprint=order.fingerprint,
            state=str(order.state),
            books=Books(
                currency="EUR",
                price=0,
                paid_in=0,
                held=0,
                refunded=0,
                released=0,
                kept=0,
            ),
            snapshot=b"{}",
            due_at=1,
        )
        assert storage.commit((change,)) == (CommitResult.DONE,)


class Wandering:
    """
    A clock that somebody sets.
    """

    def __init__(self, start: str) -> None:
        self.at = FakeClock(start).now()

    def now(self) -> Any:
        """
        What somebody set it to.
        """
        return self.at

    def back(self, window: timedelta) -> None:
        """
        Set it back.
        """
        self.at = datetime.__sub__(self.at, window)


class TestClockGoesBack:
    """
    Time as an order sees it never does (I13, I24).
    """

    def test_instants_do_not(self, storage: Storage) -> None:
        """
        An event never counts before the one it follows.
        """
        clock: Any = Wandering(T0)
        engine = Engine(COMEUP, storage, clock=clock)
        placed = engine.place(an_order(), by=ANA, order_id="o1").order.effective_at
        clock.back(timedelta(days=400))

        said = engine.preview("o1", c.AcceptOrder(), by=LUC)
        outcome = engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        assert said == outcome
        assert outcome.order.accepted_at == placed
        assert outcome.order.as_of == placed
        assert outcome.order.due_at == placed.add(days=5)
        assert engine.order("o1").as_of == placed
        assert engine.execute("o1", c.AcceptOrder(), by=LUC, key="k").replayed
        assert engine.options("o1", by=LUC)
        assert engine.run_due() == SweepReport()

    def test_nothing_is_undone(self, storage: Storage) -> None:
        """
        What was due yesterday stays settled when yesterday comes again.
        """
        clock: Any = Wandering(T0)
        engine = Engine(COMEUP, storage, clock=clock)
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.at = clock.at.add(days=3)
        engine.run_due()
        clock.back(timedelta(days=3))

        answer = engine.attempt("o1", c.AcceptOrder(), by=LUC)

        assert isinstance(answer, Refusal)
        assert engine.order("o1").state == "cancelled"

    def test_when_it_was_written_does_not_go_back(self, storage: Storage) -> None:
        """
        Nor does the instant of writing.
        """
        clock: Any = Wandering(T0)
        engine = Engine(COMEUP, storage, clock=clock)
        engine.place(an_order(), by=ANA, order_id="o1")
        clock.at = clock.at.add(days=3)
        engine.run_due()
        written = engine.history("o1")[-1].recorded_at
        clock.back(HOUR)

        engine.execute("o1", c.SendMessage(reference="m"), by=ANA)

        last = engine.history("o1")[-1]
        assert last.recorded_at == written
        assert last.effective_at <= last.recorded_at


class TestClosing:
    """
    Nothing is left open.
    """

    def test_as_a_context(self, tmp_path: Path) -> None:
        """
        Leaving the block closes the storage; what was written stays.
        """
        with an_engine(a_storage("sqlite", tmp_path)) as engine:
            engine.place(an_order(), by=ANA, order_id="o1")

        with an_engine(a_storage("sqlite", tmp_path)) as engine:
            assert engine.order("o1").state == "pending"

    def test_twice(self, storage: Storage) -> None:
        """
        Closing twice is harmless, and a closed storage says so.
        """
        engine = an_engine(storage)
        engine.place(an_order(), by=ANA, order_id="o1")

        engine.close()
        engine.close()

        with pytest.raises(StorageError):
            engine.order("o1")

    def test_an_error_goes_through(self) -> None:
        """
        An exception in the block is the host's.
        """
        with pytest.raises(KeyError), an_engine(MemoryStorage()):
            raise KeyError("x")

    def test_nothing_is_opened_before_it_is_used(self, tmp_path: Path) -> None:
        """
        An engine may be built at import, before a fork or a loop.
        """
        storage = a_storage("sqlite", tmp_path)

        Engine(COMEUP, storage)

        assert list(tmp_path.iterdir()) == []


def test_outcomes_are_values() -> None:
    """
    What an engine hands out cannot be changed.
    """
    outcome: Any = an_engine(MemoryStorage()).place(an_order(), by=ANA)

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        outcome.replayed = True
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        outcome.order.price = eur(1)
