"""
The checker on what hosts add: it is walked like the rest, and what cannot be is said.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.checker import check
from escrowflow.checker.exploring import explored
from escrowflow.commands import Command
from escrowflow.decisions.case import Step, deadline, decides
from escrowflow.decisions.settlement import cancelled, returned, to_platform
from escrowflow.events import OrderMarkedLate
from escrowflow.parties import Role
from escrowflow.states import STAY, DeadlineKind, Row, State, Urgency
from escrowflow.terms import FullRefund, Terms
from tests.given import COMEUP, an_order

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.proof

WEEK: Final = timedelta(days=7)

# Without the trap of the published rules.
SAFE: Final = COMEUP.with_policies(delivery={"deliver_during_cancel_request": True})


class Paused(enum.StrEnum):
    """
    A state of a host.
    """

    PAUSED = "paused"


@attrs.frozen(kw_only=True)
class Pause(Command):
    """
    Stop the clock.
    """


@attrs.frozen(kw_only=True)
class Look(Command):
    """
    Look again.
    """


@attrs.frozen(kw_only=True)
class TakeBack(Command):
    """
    Take all of it back, with a proof that no form tells.
    """

    proof: object


@attrs.frozen(kw_only=True)
class Withhold(Command):
    """
    End it, harshly or not.
    """

    harsh: bool


@decides(Pause, version="1")
def pause(case: Any, command: Pause) -> Iterable[Step]:
    """
    Wait a week.
    """
    yield Step(events=(OrderMarkedLate(),), arm=deadline("look", case.after(WEEK)))


@decides(Look, version="1")
def look(case: Any, command: Look) -> Iterable[Step]:
    """
    And another one, for ever.
    """
    again = deadline("look", case.after(WEEK))
    yield Step(events=(OrderMarkedLate(),), outcome="again", arm=again)


@decides(TakeBack, version="1")
def take_back(case: Any, command: TakeBack) -> Iterable[Step]:
    """
    Everything goes back.
    """
    yield cancelled(case, cause="by_consent", trigger=command.name)


@decides(Withhold, version="1")
def withhold(case: Any, command: Withhold) -> Iterable[Step]:
    """
    Everything goes back, or nothing does.
    """
    settlement = to_platform(case) if command.harsh else returned(case)
    yield cancelled(case, cause="ruled", trigger=command.name, settlement=settlement)


def errors(process: Any, **arguments: Any) -> set[tuple[str, str]]:
    """
    Return the codes and places of what is wrong with a process.
    """
    return {(one.code, one.where) for one in check(process, **arguments).errors}


def test_a_wait_that_begins_anew_for_ever() -> None:
    """
    A deadline that only arms itself again is no way out, whatever its row says.
    """
    outcomes: Any = {"again": STAY, "done": State.COMPLETED}
    process = SAFE.extend(
        name="pausing",
        states=Paused,
        rows=[
            Row(Pause, Role.BUYER, State.DELIVERED, "paused", away=True),
            Row(Look, Role.SYSTEM, "paused", outcomes, settles=True),
        ],
        deadlines=[DeadlineKind("look", Look, "paused", urgency=Urgency.COMPLETION)],
        decisions=[pause, look],
    )

    assert errors(process) == {("no_exit", "paused"), ("no_timed_exit", "paused")}


def test_a_command_that_no_form_tells() -> None:
    """
    What could not be tried is an error: nobody knows what it does.
    """
    row = Row(TakeBack, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)
    process = SAFE.extend(name="h", rows=[row], decisions=[take_back])

    assert errors(process) == {("unexplored_command", "take_back")}


def test_both_sides_of_a_flag() -> None:
    """
    A yes or no that a command asks for is tried both ways.
    """
    row = Row(Withhold, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)
    process = SAFE.extend(name="h", rows=[row], decisions=[withhold])

    assert errors(process) == {("money_to_platform", "cancelled"), ("trap", "seller")}


def test_a_message_that_does_more() -> None:
    """
    What moves nothing is left alone only as long as nobody else decides it.
    """

    @decides(c.SubmitBrief, version="1")
    def submitted(case: Any, command: c.SubmitBrief) -> Iterable[Step]:
        for step in SAFE.decider[c.SubmitBrief].act(case, command):
            yield attrs.evolve(step, drop=("acceptance",))

    process = SAFE.extend(name="h", decisions=[submitted])

    assert ("no_timed_exit", "pending") in errors(process)


def test_what_tells_orders_apart() -> None:
    """
    What only a host's own code asks of an order has to be said.
    """

    @decides(c.DeliverOrder, version="1")
    def delivered(case: Any, command: c.DeliverOrder) -> Iterable[Step]:
        third = len(case.order.deliveries) >= 2
        for step in SAFE.decider[c.DeliverOrder].act(case, command):
            yield attrs.evolve(step, arm=()) if third else step

    process = SAFE.extend(name="h", decisions=[delivered])

    found = errors(process, apart_by=lambda order: min(len(order.deliveries), 3))

    assert ("no_timed_exit", "delivered") in found


@pytest.mark.parametrize("agreed", [1, 13])
def test_limits_of_any_size(agreed: int) -> None:
    """
    However many revisions are agreed: once they are used up, the buyer is caught.
    """
    process = SAFE.with_policies(revision={"revision_limit_mode": "hard"})
    terms = Terms(delivery_window="P1D", revisions=agreed)

    order = an_order(payment=None, terms=terms)

    assert errors(process, order=order) == {("trap", "buyer")}


def test_charged_later() -> None:
    """
    Where the buyer's bank holds the money first, that is walked, too.
    """
    process = SAFE.with_policies(acceptance={"charge_at": "acceptance"})
    graph = explored(process, an_order(payment=None), 20_000)
    edges = [edge for node in graph.nodes for edge in node.edges]

    told = {
        (edge.command.name, getattr(edge.command, "status", ""))
        for edge in edges
        if edge.command is not None
    }

    assert {("report_charge", "paid"), ("report_charge", "failed")} <= told
    assert any("hold" in edge.ended for edge in edges)


def test_fees_that_the_buyer_bears() -> None:
    """
    A fee that the policy keeps is not what belongs to a side.
    """
    fees = {"buyer_fee": ef.Fee(bps=500), "buyer_bears": {"buyer_fee"}}

    assert errors(SAFE.with_policies(fees=fees)) == set()


def test_how_long_an_order_lives() -> None:
    """
    What only the longest life of an order ends takes that long.
    """
    process = SAFE.with_policies(
        lifetime={"order_cap": "P150D"},
        dispute={"ruling_window": "P10D", "default_ruling": FullRefund()},
    )

    @decides(c.FreezeOrder, version="never")
    def never(case: Any, command: c.FreezeOrder) -> Iterable[Step]:
        raise AssertionError("it is always refused")

    @never.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        # Staff would have all the time it wants.
        yield ef.Blocker(code="never_accepted")

    report = check(process.extend(name="quick", decisions=[never]))

    assert report.sound
    assert report.rests_within == timedelta(days=150)
    assert "within 150 days" in report.text()
