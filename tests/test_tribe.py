"""
The checker on processes that are not ours: the weaknesses of eight published ones.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import attrs
import pytest

from escrowflow.checker import Finding, Report, Story, check
from escrowflow.checker.configurations import Abstraction, Wait
from escrowflow.checker.exploring import START, explored
from escrowflow.clock import FakeClock
from escrowflow.decisions import Refusal
from escrowflow.parties import Role
from escrowflow.states import Gap
from escrowflow.storage.memory import MemoryStorage
from tests.given import ANA, LUC, an_engine, an_order, eur
from tests.test_checker import check_story
from tests.tribe import BOOKINGS, NEGOTIATION, STARTED, TRIBE, last, process_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from escrowflow.commands import Command
    from escrowflow.engine import Engine


def command(name: str) -> Command:
    """
    Return a command of the negotiation.
    """
    return process_of(NEGOTIATION).commands[name]()


def negotiated(*, delivered_on: int) -> tuple[Engine, FakeClock]:
    """
    Return an engine with an order, paid on day 0 and delivered so many days later.
    """
    clock = FakeClock(START)
    engine = an_engine(MemoryStorage(), process_of(NEGOTIATION), clock)
    engine.place(an_order(payment=None), by=ANA, order_id="o1")
    engine.execute("o1", command("make_offer"), by=LUC)
    engine.execute("o1", command("request_payment_to_accept_offer"), by=ANA)
    engine.execute("o1", command("confirm_payment"), by=ANA)
    clock.advance(days=delivered_on)
    engine.execute("o1", command("deliver"), by=LUC)
    return engine, clock


@cache
def report(name: str) -> Report:
    """
    Return what is found about one of them; once for all tests.
    """
    return check(process_of(TRIBE[name]))


def errors(name: str) -> set[tuple[str, str]]:
    """
    Return the codes and places of what is wrong.
    """
    return {(finding.code, finding.where) for finding in report(name).errors}


def the(name: str, code: str, where: str) -> Finding:
    """
    Return the one finding of a code at a place.
    """
    (finding,) = (
        one for one in report(name).findings if (one.code, one.where) == (code, where)
    )
    return finding


def stories(name: str) -> Iterator[Story]:
    """
    Yield the stories there are.
    """
    for finding in report(name).findings:
        if finding.story is not None:
            yield finding.story


def told(story: Story | None) -> list[tuple[float, str, str]]:
    """
    Return who did what, on which day after the beginning.
    """
    assert story is not None
    return [
        (
            (step.at - START).total_seconds() / 86_400,
            step.by.role.text,
            step.command.name,
        )
        for step in story.steps
    ]


class TestFacts:
    """
    What was written down is what is published.
    """

    @pytest.mark.parametrize(
        ("name", "counts"),
        [
            ("default_negotiation", (17, 47, 7)),
            ("default_purchase", (12, 25, 8)),
            ("default_download", (8, 14, 4)),
            ("default_booking", (12, 20, 6)),
            ("instant_booking", (9, 16, 5)),
            ("negotiated_booking", (13, 24, 8)),
            ("automatic_off_session_payment", (12, 20, 7)),
            ("default_inquiry", (1, 1, 0)),
        ],
    )
    def test_counts(self, name: str, counts: tuple[int, int, int]) -> None:
        """
        As many states, transitions, and automatic transitions among them.
        """
        tribe = TRIBE[name]

        found = len(tribe.states), len(tribe.transitions), len(tribe.automatic)
        assert found == counts

    @pytest.mark.parametrize("name", TRIBE)
    def test_commands_are_named_as_they_are(self, name: str) -> None:
        """
        A command has the name of its transition, and begins an order of ours nowhere.
        """
        process = process_of(TRIBE[name])

        assert set(process.commands) == {one.name for one in TRIBE[name].transitions}
        assert process.initial == STARTED

    @pytest.mark.parametrize("name", TRIBE)
    def test_they_are_explored_whole(self, name: str) -> None:
        """
        Every configuration; and no money waits for ever: that was never their fault.
        """
        assert report(name).complete
        assert report(name).rests_within is not None
        assert not [one for one in report(name).findings if one.severity == "declared"]


class TestNegotiation:
    """
    Work that is delivered, changed, and paid.
    """

    def test_day_75(self) -> None:
        """
        Delivered on day 62, changes requested on day 75: the automatic cancellation is
        already overdue, everything goes back, and the seller has no move left.
        """
        assert errors("default_negotiation") == {("trap", "seller")}
        trap = the("default_negotiation", "trap", "seller")
        story = trap.story
        assert story is not None

        assert told(story) == [
            (0, "seller", "make_offer"),
            (0, "buyer", "request_payment_to_accept_offer"),
            (0, "buyer", "confirm_payment"),
            (62, "seller", "deliver"),
            (75, "buyer", "request_changes"),
        ]
        assert story.until == story.steps[-1].at
        assert story.order.ledger.refunded == eur(100)
        assert trap.params["state"] == "delivered"
        assert trap.params["cause"] == "auto_cancel_from_changes_requested"

    def test_the_seller_can_only_watch(self) -> None:
        """
        From his delivery on there is nothing he could do, on any day.
        """
        engine, clock = negotiated(delivered_on=62)

        for _ in range(13):
            assert not [one.name for one in engine.options("o1", by=LUC) if one.allowed]
            clock.advance(days=1)
        ordered = engine.execute("o1", command("request_changes"), by=ANA)

        assert str(ordered.order.state) == "canceled"
        assert ordered.order.ledger.refunded == eur(100)

    def test_a_day_earlier_he_is_paid(self) -> None:
        """
        Day 62 is the first one: what was delivered on day 61 is accepted on day 75.
        """
        engine, clock = negotiated(delivered_on=61)
        clock.advance(days=14)

        assert engine.order("o1").ledger.released == eur(100)
        assert isinstance(
            engine.attempt("o1", command("request_changes"), by=ANA), Refusal
        )

    def test_it_is_closed_by_counting_anew(self) -> None:
        """
        Where the time for changes counts from the request for them, there is no trap.
        """
        repaired = attrs.evolve(
            NEGOTIATION,
            transitions=tuple(
                attrs.evolve(one, at=last("changes_requested", days=14))
                if one.name == "auto_cancel_from_changes_requested"
                else one
                for one in NEGOTIATION.transitions
            ),
        )

        assert check(process_of(repaired)).sound

    def test_what_is_overdue_is_no_answer(self) -> None:
        """
        Who is told in the last second what happens at once could do nothing about it.
        """
        nodes = explored(process_of(NEGOTIATION), an_order(payment=None), 1000).nodes
        edges = [edge for node in nodes for edge in node.edges if edge.when == "before"]
        requests = [
            edge for edge in edges if edge.command == command("request_changes")
        ]
        cancelled = [edge for edge in requests if nodes[edge.to].over]

        assert cancelled
        assert not any(edge.leaves for edge in cancelled)
        assert any(edge.leaves for edge in requests)

    def test_overdue_is_overdue(self) -> None:
        """
        For how long something has been overdue, unheeded, makes no difference.
        """
        process = process_of(NEGOTIATION)
        engine, clock = negotiated(delivered_on=74)
        clock.advance(days=3)
        one = Abstraction(process).of(engine.order("o1"), clock.now())
        other = Abstraction(process).of(engine.order("o1"), clock.advance(days=2))

        name = "auto_cancel_from_changes_requested"
        assert Wait(name, 0, "asleep") in one.waits
        assert Wait(name, 0, "asleep") in other.waits


class TestMuteStates:
    """
    Money is held, and neither side can do anything.
    """

    @pytest.mark.parametrize(
        ("name", "state", "days", "cause"),
        [
            ("default_purchase", "disputed", 60, "auto_cancel_from_disputed"),
            ("default_download", "reported", 60, "auto_cancel"),
            ("default_booking", "accepted", 14, "complete"),
            ("instant_booking", "booked", 12, "complete"),
            ("negotiated_booking", "accepted", 12, "complete"),
            ("automatic_off_session_payment", "paid", 3, "complete"),
        ],
    )
    def test_states(self, name: str, state: str, days: int, cause: str) -> None:
        """
        Each is found, with what becomes of the money if nobody else acts, and when.
        """
        mute = the(name, "mute_state", state)
        tribe = TRIBE[name]

        assert mute.severity == "error"
        assert mute.params["cause"] == cause
        # An automatic payment comes five minutes after the day begins.
        late = timedelta(minutes=5 if state == "paid" else 0)
        assert mute.params["window"] == timedelta(days=days) - late
        assert not [
            one
            for one in tribe.transitions
            if one.source == state and one.by in (Role.BUYER, Role.SELLER)
        ]
        assert mute.story is not None
        assert mute.story.order.ending is not None
        assert [one.code for one in report(name).errors].count("mute_state") == 1

    def test_sixty_days_of_silence(self) -> None:
        """
        A dispute that the operator does not look at goes to the buyer, whole: a trap
        for the seller who delivered at once.
        """
        assert errors("default_purchase") == {
            ("mute_state", "disputed"),
            ("trap", "seller"),
        }
        story = the("default_purchase", "trap", "seller").story
        assert story is not None

        assert told(story)[-2:] == [
            (0, "seller", "mark_delivered"),
            (0, "buyer", "dispute"),
        ]
        assert story.until - START == timedelta(days=60)
        assert story.order.ledger.refunded == eur(100)

    @pytest.mark.parametrize("name", BOOKINGS)
    def test_who_booked_can_only_watch(self, name: str) -> None:
        """
        Once the money is held, the buyer cannot keep it from going to the seller.
        """
        assert ("trap", "buyer") in errors(name)
        assert {code for code, _ in errors(name)} == {"trap", "mute_state"}
        trap = the(name, "trap", "buyer")
        assert trap.story is not None

        assert (
            trap.params["state"] == the(name, "mute_state", trap.params["state"]).where
        )
        assert trap.story.order.ledger.released == eur(100)

    def test_nothing_is_wrong_where_nothing_is_paid(self) -> None:
        """
        Who only asks something risks nothing.
        """
        assert report("default_inquiry").sound

    def test_in_words(self) -> None:
        """
        It is told with its window, in both languages.
        """
        mute = the("default_purchase", "mute_state", "disputed")

        assert "neither side can do anything there" in mute.message()
        assert "after 60 days: “auto cancel from disputed”." in mute.message()
        assert "au bout de 60 jours" in mute.message("fr")

    def test_it_can_be_declared(self) -> None:
        """
        Whose staff looks at each dispute in time may say so.
        """
        process = process_of(TRIBE["default_purchase"])
        gap = Gap("mute_state", "disputed", "our staff answers within a week")
        told = check(process.extend(name="staffed", gaps=[gap]))

        assert [(one.code, one.where) for one in told.errors] == [("trap", "seller")]
        assert [one.code for one in told.findings if one.severity == "declared"] == [
            "mute_state"
        ]


class TestPlacing:
    """
    What an order needs of a process that is not ours.
    """

    def test_without_a_payment_to_wait_for(self) -> None:
        """
        Where a process has no such deadline, an order waits for nothing.
        """
        engine = an_engine(MemoryStorage(), process_of(NEGOTIATION))
        order = engine.place(an_order(payment=None), by=ANA, order_id="o1").order

        assert order.deadlines == ()
        assert order.due_at is None
        assert engine.next_due_at() is None


class TestStories:
    """
    Every story is true: played through an engine, it ends as it is told.
    """

    @pytest.mark.parametrize("name", TRIBE)
    def test_they_happen(self, name: str) -> None:
        """
        The same events, at the same instants, and the same order at the end.
        """
        for story in stories(name):
            check_story(story)
