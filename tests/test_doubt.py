"""
A commit whose outcome nobody knows: the engine reads before it says anything.

The storage here does everything that a lost connection can do: what it was sent is
lost, or was written, or is written a little later, when somebody looks already.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.decisions import Refusal
from escrowflow.effects import Notify, PayOut, Refund
from escrowflow.errors import (
    InvalidInputError,
    OrderExistsError,
    OutcomeUnknownError,
    StorageError,
)
from tests.given import (
    ANA,
    LUC,
    an_engine,
    an_order,
    brought_to,
    eur,
    paid,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from escrowflow.engine import Engine
    from escrowflow.storage import Change, CommitResult, EffectResult, Storage

LOST: Final = "lost"
WRITTEN: Final = "written"
LATER: Final = "later"
FATES: Final = (LOST, WRITTEN, LATER)


class Doubtful:
    """
    A storage that loses its connection while it writes.

    Attributes:
        fates: What becomes of the next writes, one each; then all is well.

        down: Whether it cannot be read any more after the first loss.
    """

    def __init__(self, storage: Storage, *fates: str, down: bool = False) -> None:
        self._storage = storage
        self._in_flight: list[Callable[[], object]] = []
        self.fates = list(fates)
        self.down = down
        self.lost = 0

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._storage, verb)

    def load(self, order_id: str, key: str | None = None) -> Any:
        """
        Read, if there is a connection.
        """
        if self.down and self.lost:
            raise StorageError("no connection")
        return self._storage.load(order_id, key)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write, and perhaps not say so.
        """
        done: Sequence[CommitResult] = self._fated(
            lambda: self._storage.commit(changes)
        )
        return done

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        Write what became of an effect, and perhaps not say so.
        """
        done: bool = self._fated(lambda: self._storage.settle_effect(order_id, result))
        return done

    def _fated(self, write: Callable[[], Any]) -> Any:
        # What was on its way arrives before anything that was sent after it.
        while self._in_flight:
            self._in_flight.pop()()
        if not self.fates:
            return write()
        fate = self.fates.pop(0)
        if fate == WRITTEN:
            write()
        elif fate == LATER:
            self._in_flight.append(write)
        self.lost += 1
        raise OutcomeUnknownError("the connection was lost")


def doubting(storage: Storage, clock: FakeClock, *fates: str, **how: Any) -> Engine:
    """
    Return an engine on a storage that loses its connection.
    """
    lossy: Any = Doubtful(storage, *fates, **how)
    return an_engine(lossy, clock=clock)


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("key", ["k", None])
class TestCommands:
    """
    Whatever became of it: the command was executed once, and that is the answer.
    """

    def test_place(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        One order, and its buyer knows of it.
        """
        engine = doubting(storage, clock, fate)

        outcome = engine.place(an_order(), by=ANA, key=key)

        assert outcome.order == an_engine(storage, clock=clock).order(outcome.order.id)
        assert len(engine.orders().items) == 1
        assert engine.verify().faults == ()

    def test_execute(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        A command that would be refused the second time is not refused.
        """
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, fate)

        outcome = engine.execute("o1", c.AcceptOrder(), by=LUC, key=key)

        assert outcome.order.state == "in_progress"
        assert [event.name for event in outcome.events] == ["order_accepted"]
        assert [effect.name for effect in outcome.effects] == ["notify"]
        assert len(engine.history("o1")) == outcome.order.version

    def test_said_once(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        A command that could be repeated is not.
        """
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, fate)

        engine.execute("o1", c.SendMessage(reference="m"), by=LUC, key=key)

        said = [event.name for event in engine.history("o1")]
        assert said.count("message_sent") == 1

    def test_somebody_else_in_between(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        What others did meanwhile does not hide what was done here.
        """
        sure = an_engine(storage, clock=clock)
        sure.place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, fate)
        lossy: Any = engine.storage
        load = lossy.load

        def meddling(order_id: str, key: str | None = None) -> Any:
            if lossy.lost:
                lossy.lost = 0
                sure.execute("o1", c.SendMessage(reference="other"), by=ANA)
            return load(order_id, key)

        lossy.load = meddling

        engine.execute("o1", c.SendMessage(reference="m"), by=LUC, key=key)

        said = [event.name for event in engine.history("o1")]
        assert said.count("message_sent") == 2

    def test_refusal_with_a_payment(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        The payment of a refused command is booked and returned once.
        """
        brought_to(an_engine(storage, clock=clock), "cancelled")
        engine = doubting(storage, clock, fate)
        command = c.BuyAddOn(title="x", price=eur(10), payment=paid("pi_2"))

        answer = engine.attempt("o1", command, by=ANA, key=key)

        assert isinstance(answer, Refusal)
        assert [event.name for event in answer.recorded][-1] == "payment_returned"
        order = engine.order("o1")
        assert order.ledger.refunded == eur(110)
        assert order.ledger.paid_in == eur(110)

    @pytest.mark.parametrize("then", FATES)
    def test_twice_in_a_row(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None, then: str
    ) -> None:
        """
        Nor does a second loss change that.
        """
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, fate, then)

        outcome = engine.execute("o1", c.SendMessage(reference="m"), by=LUC, key=key)

        said = [event.name for event in engine.history("o1")]
        assert said.count("message_sent") == 1
        assert outcome.order.version == len(said)

    def test_storage_that_stays_away(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        If it cannot be read either, that is the answer; nothing is claimed.
        """
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, fate, down=True)

        with pytest.raises(OutcomeUnknownError, match="repeat with the same key"):
            engine.execute("o1", c.AcceptOrder(), by=LUC, key=key)

    def test_storage_that_never_says(
        self, storage: Storage, clock: FakeClock, fate: str, key: str | None
    ) -> None:
        """
        It is not tried for ever; and what was written is noticed if it is seen.
        """
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, *[fate] * 20)

        if fate == LOST:
            with pytest.raises(OutcomeUnknownError):
                engine.execute("o1", c.AcceptOrder(), by=LUC, key=key)
        else:
            engine.execute("o1", c.AcceptOrder(), by=LUC, key=key)
            assert len(engine.history("o1")) == engine.order("o1").version


class TestOthers:
    """
    What is not a command.
    """

    def test_a_taken_id_is_still_taken(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        A lost connection does not make somebody else's order mine.
        """
        an_engine(storage, clock=clock).place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, LOST)

        with pytest.raises(OrderExistsError):
            engine.place(an_order(price=eur(7)), by=ANA, order_id="o1")

    @pytest.mark.parametrize("fate", FATES)
    def test_sweep(self, storage: Storage, clock: FakeClock, fate: str) -> None:
        """
        A sweep that may have settled says nothing of it; the next one finds out.
        """
        sure = an_engine(storage, clock=clock)
        for number in range(7):
            sure.place(an_order(), by=ANA, order_id=f"o{number}")
        clock.advance(days=3)
        engine = doubting(storage, clock, fate)

        first = engine.run_due()
        clock.advance(timedelta(minutes=2))
        second = engine.run_due()

        assert (first.orders, first.faster) == (0, 7)
        assert second.orders in (0, 7)
        assert {order.state for order in engine.orders().items} == {"cancelled"}
        assert {storage.load(f"o{number}").version for number in range(7)} == {5}

    @pytest.mark.parametrize("fate", FATES)
    def test_effects(self, storage: Storage, clock: FakeClock, fate: str) -> None:
        """
        What was carried out is noted, once, and not carried out again.
        """
        brought_to(an_engine(storage, clock=clock), "cancelled")
        engine = doubting(storage, clock, fate, fate)
        carried_out: list[str] = []

        def handler(effect: Any) -> None:
            carried_out.append(effect.key)

        handlers = dict.fromkeys((Refund, PayOut, Notify), handler)
        engine.run_effects(handlers)
        clock.advance(days=1)
        engine.run_effects(handlers)

        assert len(carried_out) == len(set(carried_out)) > 0
        assert {effect.status for effect in engine.effects("o1")} == {"done"}

    def test_effects_of_a_storage_that_never_says(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        What became of an effect is not known: it is handed out again, later.
        """
        brought_to(an_engine(storage, clock=clock), "cancelled")
        engine = doubting(storage, clock, *[LOST] * 5)
        handlers = dict.fromkeys((Refund, PayOut, Notify), lambda effect: None)

        with pytest.raises(OutcomeUnknownError):
            engine.run_effects(handlers)
        clock.advance(days=1)
        engine.run_effects(handlers)

        assert {effect.status for effect in engine.effects("o1")} == {"done"}


class TestNothingIsClaimed:
    """
    As long as something may still arrive, nothing is said that it would belie.
    """

    def test_place_that_meets_itself(self, storage: Storage, clock: FakeClock) -> None:
        """
        Four losses, then a conflict with what arrived after all: that is the answer.
        """
        engine = doubting(storage, clock, LOST, LOST, LOST, LATER)

        outcome = engine.place(an_order(), by=ANA, order_id="o1")

        assert outcome.order.id == "o1"
        assert engine.history("o1") == outcome.events

    def test_refused_in_the_meantime(self, storage: Storage, clock: FakeClock) -> None:
        """
        What would now be refused may have been written before: nobody knows.
        """
        sure = an_engine(storage, clock=clock)
        sure.place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, LATER)
        lossy: Any = engine.storage
        load = lossy.load

        def too_late(*values: Any) -> Any:
            if lossy.lost:
                lossy.lost = 0
                sure.execute("o1", c.CancelOrder(), by=ANA)
            return load(*values)

        lossy.load = too_late

        with pytest.raises(OutcomeUnknownError):
            engine.execute("o1", c.AcceptOrder(), by=LUC)

    @pytest.mark.parametrize("key", ["k", None])
    def test_a_crowd_and_a_loss(
        self, storage: Storage, clock: FakeClock, key: str | None
    ) -> None:
        """
        Whoever was too slow for too long, and lost a connection, knows nothing.
        """
        sure = an_engine(storage, clock=clock)
        sure.place(an_order(), by=ANA, order_id="o1")
        engine = doubting(storage, clock, LOST)
        lossy: Any = engine.storage
        commit = lossy.commit

        def crowded(changes: Any) -> Any:
            if not lossy.fates:
                sure.execute("o1", c.SendMessage(reference="other"), by=ANA)
            return commit(changes)

        lossy.commit = crowded

        with pytest.raises(OutcomeUnknownError):
            engine.execute("o1", c.SendMessage(reference="m"), by=LUC, key=key)


class TestArguments:
    """
    What an engine is made of is looked at when it is made, or when it is used.
    """

    @pytest.mark.parametrize(
        ("field", "options"),
        [
            ("new_id", {"new_id": 5}),
            ("new_id", {"new_id": lambda: ""}),
            ("new_id", {"new_id": lambda: "a\0b"}),
            ("new_id", {"new_id": lambda: "x" * 300}),
            ("salt", {"salt": 5}),
            ("salt", {"salt": lambda: b""}),
            ("salt", {"salt": lambda: "sixteen letters!"}),
            ("salt", {"salt": lambda: b"x" * 65}),
            ("publish", {"publish": "no"}),
            ("retries", {"retries": 5}),
        ],
    )
    def test_rubbish(
        self, storage: Storage, clock: FakeClock, field: str, options: dict[str, Any]
    ) -> None:
        """
        The argument is named, and nothing is written.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_engine(storage, clock=clock, **options).place(
                an_order(terms=terms(text="x")), by=ANA
            )

        assert caught.value.field == field
        assert an_engine(storage).orders().items == ()


class Overtaken:
    """
    A storage that loses what it is sent first, after somebody else was faster.
    """

    def __init__(self, storage: Storage, meanwhile: Callable[[], object]) -> None:
        self._storage = storage
        self._meanwhile: Callable[[], object] | None = meanwhile

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._storage, verb)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Lose the first one.
        """
        if self._meanwhile is None:
            return self._storage.commit(changes)
        meanwhile, self._meanwhile = self._meanwhile, None
        meanwhile()
        raise OutcomeUnknownError("the connection was lost")


def test_a_twin_is_no_proof(storage: Storage, clock: FakeClock) -> None:
    """
    What somebody wrote at the same instant, word for word the same, under another key:
    whoever is in doubt is not told that it was his (I17).
    """
    engine = an_engine(storage, clock=clock)
    order_id = "o1"
    brought_to(engine, "in_progress", order_id)
    message = c.SendMessage(reference="m-1")
    lossy: Any = Overtaken(
        storage, lambda: engine.execute(order_id, message, by=ANA, key="one")
    )

    mine = an_engine(lossy, clock=clock).execute(order_id, message, by=ANA, key="two")

    again = engine.execute(order_id, message, by=ANA, key="two")
    assert again.replayed
    assert again.events == mine.events
    assert [event.name for event in engine.history(order_id)].count("message_sent") == 2
