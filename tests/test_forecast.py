"""
What is forecast is what happens, if nobody acts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.decisions import forecast, next_due, settle
from escrowflow.decisions.moves import moved
from escrowflow.errors import CommandRefusedError, OrderNotFoundError
from escrowflow.parties import Buyer
from escrowflow.storage.memory import MemoryStorage
from escrowflow.timeline import timeline
from tests.given import (
    ANA,
    LUC,
    MIA,
    OPS,
    T0,
    WAY,
    an_engine,
    brought_to,
    eur,
)
from tests.lives import VARIANTS
from tests.wander import wanderers

if TYPE_CHECKING:
    from escrowflow.decisions import Forecast
    from escrowflow.engine import Engine
    from escrowflow.order import Order
    from escrowflow.rules import Policies
    from escrowflow.states import Process

# Where `brought_to` does not lead under some rules.
UNREACHED = {
    ("disputed", "C4"),
    ("disputed", "C4 thrice"),
    ("disputed", "C8"),
    ("disputed", "cap for the seller"),
    ("revision_refused", "C8"),
}


def idle_run(process: Process[Policies], order: Order) -> list[tuple[Any, ...]]:
    """
    Let time pass from deadline to deadline; return what happened at each.
    """
    steps = []
    while (found := next_due(process, order)) is not None:
        before, (at, wait) = order, found
        # One microsecond at a time would do the same.
        settled = settle(process, order, now=at, recorded_at=at)
        order = settled.order
        steps.append((wait.name, wait.subject, order, moved(before, order)))
    return steps


def held_against_an_idle_run(process: Process[Policies], order: Order) -> Forecast:
    """
    Hold the forecast of an order against what then happens.
    """
    said = forecast(process, order)
    steps = idle_run(process, order)

    last = steps[-1][2] if steps else order
    assert (said.state, said.held) == (last.state, last.ledger.held)
    assert said.ending == last.ending
    ends = None if order.ending is not None else last.closed_at
    assert said.ends_at == ends
    # What is due at one instant is settled at once, and told one by one.
    instants = {step.at for step in said.steps}
    assert len(steps) <= len(said.steps)
    assert {one[2].effective_at for one in steps} <= instants
    if len(steps) == len(said.steps):
        for step, (name, subject, after, money) in zip(said.steps, steps, strict=True):
            assert (step.deadline, step.subject) == (name, subject)
            assert (step.state, step.late) == (after.state, after.late)
            assert step.moved == money
    return said


class TestForecast:
    """
    Each coming instant, what the system will do, to whose money, and the end.
    """

    def test_it_is_what_happens(self) -> None:
        """
        Wherever an order gets, under whatever rules: the same as an idle run.
        """
        ends = set()
        rests = set()
        for wanderer in wanderers("forecast", 260):
            said = held_against_an_idle_run(wanderer.process, wanderer.order)
            if said.ends_at is not None and said.ending is not None:
                ends.add(said.ending.cause)
            elif said.held:
                rests.add(said.state)

        assert ends >= {"silence", "acceptance_expired", "choice_expired", "order_cap"}
        assert rests >= {"in_progress", "disputed", "frozen", "revision_requested"}

    @pytest.mark.parametrize("state", WAY)
    @pytest.mark.parametrize("name", VARIANTS)
    def test_an_engine_does_it(self, state: str, name: str) -> None:
        """
        An engine that is woken when it asks to be records just that.
        """
        clock = FakeClock(T0)
        engine = an_engine(MemoryStorage(), VARIANTS[name], clock=clock)
        try:
            brought_to(engine, state)
        except CommandRefusedError:
            # These rules lead elsewhere.
            assert (state, name) in UNREACHED
            return
        assert (state, name) not in UNREACHED
        said = engine.forecast("o1")
        before = engine.order("o1").version

        while (wakes := engine.next_due_at()) is not None:
            clock.advance_to(wakes)
            engine.run_due()

        history = engine.history("o1")[before:]
        assert [step.at for step in said.steps] == [
            recorded.effective_at
            for recorded in history
            if recorded.standing is not None
        ]
        order = engine.order("o1")
        assert (said.state, said.held) == (order.state, order.ledger.held)
        assert said.ending == order.ending

    def test_silence(self) -> None:
        """
        A delivered order: two reminders, then the seller is paid, then the
        conversation closes.
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, "delivered")

        said = engine.forecast("o1")

        assert [step.command for step in said.steps] == [
            "remind_verification",
            "remind_verification",
            "complete_silently",
            "close_conversation",
        ]
        paid = said.steps[2]
        (move,) = paid.moved
        assert (move.to, move.least, move.most) == ("seller", eur(100), eur(100))
        assert (said.ends_at, said.state) == (paid.at, "completed")
        assert said.ending is not None
        assert said.ending.cause == "silence"
        assert not said.held

    def test_money_that_waits_for_a_person(self) -> None:
        """
        A dispute that nobody rules: an alert, and the money stays (a declared gap).
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, "disputed")

        said = engine.forecast("o1")

        assert [step.command for step in said.steps] == ["alert_mediator"]
        assert (said.ends_at, said.ending, said.held) == (None, None, eur(100))

    def test_for_whom_it_is(self) -> None:
        """
        Who may not read the order learns nothing of it.
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, "pending")

        assert engine.forecast("o1", by=LUC) == engine.forecast("o1")
        for by in (Buyer("eve"), MIA):
            with pytest.raises(OrderNotFoundError):
                engine.forecast("o1", by=by)
        with pytest.raises(OrderNotFoundError):
            engine.forecast("o2")


class TestView:
    """
    One reading, one instant.
    """

    @pytest.fixture
    def engine(self) -> Engine:
        """
        An engine in memory.
        """
        return an_engine(MemoryStorage(), clock=FakeClock(T0))

    @pytest.mark.parametrize("state", WAY)
    @pytest.mark.parametrize("by", [ANA, LUC, OPS], ids=lambda by: by.role.text)
    def test_all_of_one_piece(self, engine: Engine, state: str, by: Any) -> None:
        """
        What it says is what each part says for itself.
        """
        brought_to(engine, state)

        view = engine.view("o1", by=by)

        assert view.order == engine.order("o1", by=by)
        assert view.options == engine.options("o1", by=by)
        assert view.forecast == engine.forecast("o1", by=by)
        assert view.timeline == timeline(engine.history("o1", by=by))
        assert view.as_of == engine.clock.now()

    def test_what_became_due(self, engine: Engine) -> None:
        """
        What is over counts, in every part of it, though nobody has written it down.
        """
        brought_to(engine, "delivered")
        clock: Any = engine.clock
        clock.advance(days=8)

        view = engine.view("o1", by=ANA)

        assert view.order.state == "completed"
        assert view.timeline[-1].event == "order_completed"
        assert view.timeline[-1].state == "completed"
        assert [step.command for step in view.forecast.steps] == ["close_conversation"]
        assert engine.history("o1")[-1].name == "order_delivered"

    def test_without_a_reader(self, engine: Engine) -> None:
        """
        Who is nobody can do nothing, and is told everything.
        """
        brought_to(engine, "pending")

        view = engine.view("o1")

        assert view.options == ()
        assert view.timeline == timeline(engine.history("o1"))

    def test_a_claim_that_was_not_kept(self, engine: Engine) -> None:
        """
        Why a claim was rejected is for its filer only, here too (R71).
        """
        brought_to(engine, "in_progress")
        engine.execute("o1", c.FileClaim(reason="he is rude"), by=ANA)
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
        engine.execute("o1", c.RejectClaim(reason="that is no reason"), by=MIA)

        said = {
            by.role.text: engine.view("o1", by=by).timeline[-1].said
            for by in (ANA, LUC)
        }

        assert said["buyer"] == "that is no reason"
        assert said["seller"] == ""
