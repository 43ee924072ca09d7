"""
The checker: what the built-in processes can never do, and that it would find it.
"""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.checker import Finding, Report, Story, check, reported
from escrowflow.checker.configurations import Abstraction, Configuration
from escrowflow.checker.exploring import START, Graph, explored
from escrowflow.clock import FakeClock
from escrowflow.decisions import forecast, next_due, settle
from escrowflow.decisions.case import Step, decides
from escrowflow.engine import Engine
from escrowflow.errors import InvalidInputError, ProcessError
from escrowflow.events import OrderAccepted
from escrowflow.parties import Buyer
from escrowflow.processes import recommended, vendor_consolidation
from escrowflow.states import Gap, Process, State
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import FullRefund, Terms
from escrowflow.testing import Bed
from tests.given import COMEUP, an_order, eur, paid
from tests.wander import Wanderer

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPPED = COMEUP.with_policies(lifetime={"order_cap": "P5M"})
DELIVERS = COMEUP.with_policies(delivery={"deliver_during_cancel_request": True})
RULED = COMEUP.with_policies(
    lifetime={"order_cap": "P5M"},
    dispute={"ruling_window": "P10D", "default_ruling": FullRefund()},
)
PROCESSES = {
    "comeup": COMEUP,
    "vendor_consolidation": vendor_consolidation(),
    "capped": CAPPED,
    "delivers": DELIVERS,
    "ruled": RULED,
    "C8": COMEUP.with_policies(revision={"revision_needs_seller_answer": False}),
    "C11": COMEUP.with_policies(cancellation={"late_cancel": "request_auto_accepted"}),
    "recommended": recommended(),
}


@cache
def report(name: str) -> Report:
    """
    Return what is found about a process; once for all tests.
    """
    return reported(graph(name, is_paid=False))


def found(name: str, severity: str) -> set[tuple[str, str]]:
    """
    Return the codes and places of what is found.
    """
    return {
        (finding.code, finding.where)
        for finding in report(name).findings
        if finding.severity == severity
    }


def gaps(process: Process[Any], *without: str) -> set[tuple[str, str]]:
    """
    Return what a process declares.
    """
    return {(gap.code, gap.where) for gap in process.gaps if gap.code not in without}


def stories(name: str) -> Iterable[tuple[Finding, Story]]:
    """
    Yield the findings that have a story, with it.
    """
    for finding in report(name).findings:
        if finding.story is not None:
            yield finding, finding.story


@cache
def graph(name: str, *, is_paid: bool) -> Graph:
    """
    Return all that an order of a process can come to; once for all tests.
    """
    order = an_order(payment=paid() if is_paid else None)
    return explored(PROCESSES[name], order, 20_000)


def check_story(story: Story) -> None:
    """
    Hold a story against an engine that plays it, as a host would: the same events, at
    the same instants, and the same order at the end.
    """
    clock = FakeClock(START)
    engine = Engine(story.process, MemoryStorage(), clock=clock)
    engine.place(story.placed, by=Buyer("ana"), order_id="o1")
    for step in story.steps:
        clock.advance_to(step.at)
        engine.execute("o1", step.command, by=step.by)
    clock.advance_to(story.until)
    engine.run_due()
    assert [(one.name, one.effective_at) for one in engine.history("o1")] == [
        (one.name, one.effective_at) for one in story.history
    ]
    assert engine.order("o1").ledger == story.order.ledger


class TestFaithful:
    """
    What is known of the published rules is found, and nothing else.
    """

    def test_comeup(self) -> None:
        """
        It has exactly the gaps it declares, and one trap.
        """
        assert found("comeup", "declared") == gaps(COMEUP, "money_to_platform")
        assert found("comeup", "error") == {("trap", "seller")}
        assert report("comeup").complete
        assert not report("comeup").sound
        assert report("comeup").rests_within is None

    def test_with_the_cap(self) -> None:
        """
        With the five months, only disputes and freezes wait for ever, and the platform
        gets what is held (R99).
        """
        assert found("capped", "declared") == {
            ("claim_dies", "claim"),
            ("money_to_platform", "expired"),
            ("no_timed_exit", "disputed"),
            ("no_timed_exit", "frozen"),
        }
        assert found("capped", "error") == {("trap", "seller")}

    def test_vendor_consolidation(self) -> None:
        """
        The sister site has the same gaps, and the same trap.
        """
        assert found("vendor_consolidation", "declared") == found("comeup", "declared")
        assert found("vendor_consolidation", "error") == {("trap", "seller")}

    def test_a_mediator_who_never_rules(self) -> None:
        """
        With a default ruling, a dispute ends by itself.
        """
        assert ("no_timed_exit", "disputed") not in found("ruled", "declared")
        assert ("no_timed_exit", "frozen") in found("ruled", "declared")

    def test_what_policies_close_is_a_note(self) -> None:
        """
        A command without a place under these policies is no error.
        """
        closed = {
            where
            for code, where in found("vendor_consolidation", "note")
            if code == "closed_command"
        }

        assert "approve_delivery" in closed
        assert "propose_partial_refund" in closed
        assert "accept_order" not in closed


@pytest.mark.proof
class TestRecommended:
    """
    The process that we advise.
    """

    def test_nothing_is_found(self) -> None:
        """
        No gap, and no trap: nobody loses who does everything in time (R117 is proved),
        and every order that is paid is over after 89 days, whatever people do.
        """
        assert found("recommended", "error") == set()
        assert found("recommended", "declared") == set()
        assert report("recommended").complete
        assert report("recommended").sound
        assert report("recommended").lives_within == timedelta(days=89)
        assert {code for code, _ in found("recommended", "note")} == {
            "closed_command",
            "decided_by_mediator",
        }

    def test_the_published_rules_have_no_bound(self) -> None:
        """
        An order can be drawn out there, even with the five months.
        """
        assert report("comeup").lives_within is None
        assert report("capped").lives_within is None

    @pytest.mark.parametrize(
        ("policies", "expected"),
        [
            (
                {"delivery": {"deliver_during_cancel_request": False}},
                {("trap", "seller")},
            ),
            ({"lifetime": {"order_cap": None}}, {("no_timed_exit", "frozen")}),
            (
                {"dispute": {"dispute_openers": {"seller"}}},
                {("trap", "buyer")},
            ),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_what_each_rule_is_for(
        self, policies: dict[str, Any], expected: set[tuple[str, str]]
    ) -> None:
        """
        Without one of its rules it is found what that rule is there for.
        """
        try:
            errors = check(recommended().with_policies(**policies)).errors
        except ProcessError as error:
            told = " ".join(error.findings)
            assert all(where in told for _, where in expected)
        else:
            assert {(one.code, one.where) for one in errors} >= expected


class TestTraps:
    """
    Who does everything in time, and loses.
    """

    def test_r117(self) -> None:
        """
        R117 is refuted: a cancellation asked for in the last second makes the order
        late before the seller can answer, and a late order the buyer cancels alone.
        """
        (trap,) = (one for one in report("comeup").findings if one.code == "trap")
        assert trap.story is not None

        story = [(step.by.role.text, step.command.name) for step in trap.story.steps]
        asked, cancelled = trap.story.steps[-2:]

        assert story == [
            ("provider", "confirm_payment"),
            ("seller", "accept_order"),
            ("buyer", "request_cancellation"),
            ("buyer", "cancel_order"),
        ]
        assert cancelled.at - asked.at == timedelta(microseconds=1)
        assert trap.story.order.ledger.refunded == eur(100)
        assert trap.params["cause"] == "late"
        assert "Cancellation requested" in trap.message()
        assert "Annulation demandée" in trap.message("fr")

    def test_r117_is_proved_where_a_request_stops_nobody(self) -> None:
        """
        C12 closes it: who may deliver while a request is open delivers.
        """
        assert found("delivers", "error") == set()
        assert report("delivers").sound

    def test_buyers_have_none(self) -> None:
        """
        A buyer who acts in time gets to a mediator, whatever the process.
        """
        for name in PROCESSES:
            assert ("trap", "buyer") not in found(name, "error")

    def test_buyers_without_a_mediator_do(self) -> None:
        """
        Whoever may not ask for a revision and not call a mediator has lost once
        something is delivered.
        """
        process = COMEUP.with_policies(revision={"revision_limit_mode": "hard"})
        order = an_order(payment=None, terms=Terms(delivery_window="P5D", revisions=0))

        found = {(one.code, one.where) for one in check(process, order=order).errors}

        assert found == {("trap", "seller"), ("trap", "buyer")}


class TestStories:
    """
    Every story is true: played through an engine, it ends as it is told.
    """

    @pytest.mark.parametrize("name", PROCESSES)
    def test_they_happen(self, name: str) -> None:
        """
        The same events, at the same instants, and the same order at the end.
        """
        checked = 0
        for _, story in stories(name):
            if story.abridged:
                continue
            check_story(story)
            checked += 1
        # Where nothing is wrong there is little to tell.
        assert checked >= (1 if report(name).sound else 3)

    @pytest.mark.parametrize("name", PROCESSES)
    def test_money_that_waits_for_somebody(self, name: str) -> None:
        """
        Where no timed exit is, the forecast says so: money is held, and nothing comes.
        """
        for finding, story in stories(name):
            if finding.code == "no_timed_exit":
                told = forecast(story.process, story.order)
                assert told.ends_at is None
                assert told.held
                assert str(story.order.state) == finding.where

    @pytest.mark.parametrize("name", PROCESSES)
    def test_as_tests(self, name: str) -> None:
        """
        Each is a test, too, that passes.
        """
        for _, story in stories(name):
            code = story.code("told")
            names: dict[str, Any] = {"Bed": Bed}
            exec(compile(code, "<story>", "exec"), names)
            names["test_told"](story.process)
            assert ("bed.expect" in code) is not story.abridged

    def test_in_words(self) -> None:
        """
        A report is told to people, errors with their story, and to programs.
        """
        text = report("comeup").text()

        assert text.startswith("comeup: ")
        assert "Error: Trap for the seller" in text
        assert text.count("Order placed") == 1
        assert report("comeup").text(stories=True).count("Order placed") > 5
        assert "Erreur\N{NO-BREAK SPACE}: Piège" in report("comeup").text(locale="fr")
        assert "Nothing was found that is not declared." in report("delivers").text()

    def test_as_json(self) -> None:
        """
        Plain data, the story event by event.
        """
        told = report("comeup").to_json(locale="fr")
        (trap,) = (one for one in told["findings"] if one["code"] == "trap")

        assert (told["sound"], told["complete"]) == (False, True)
        assert trap["severity"] == "error"
        assert trap["story"][-1]["event"] == "order_cancelled"
        assert trap["story"][-1]["label"] == "Commande annulée"


class TestForecast:
    """
    What is foretold is what happens, wherever an order can be.
    """

    @pytest.mark.parametrize("name", ["comeup", "vendor_consolidation"])
    def test_everywhere(self, name: str) -> None:
        """
        In every configuration of a built-in process, the forecast is the idle run.
        """
        process = PROCESSES[name]
        nodes = graph(name, is_paid=False).nodes
        for node in nodes:
            told = forecast(process, node.order)
            order, steps = node.order, []
            while (due := next_due(process, order)) is not None:
                order = settle(process, order, now=due[0], recorded_at=due[0]).order
                steps += [due[0]]
            assert told.state == str(order.state)
            assert told.held == order.ledger.held
            assert told.ending == order.ending
            assert {step.at for step in told.steps} == set(steps)
        assert len(nodes) > 400


@pytest.mark.proof
class TestItBites:
    """
    What is taken out of a process is missed.
    """

    @pytest.mark.parametrize(
        ("wait", "state"),
        [
            ("acceptance", "pending"),
            ("verification", "delivered"),
            ("choice", "revision_refused"),
        ],
    )
    def test_a_timed_exit_is_gone(self, wait: str, state: str) -> None:
        """
        Where a deadline only reminds, and ends nothing any more, the checker finds it,
        with its story; what the table alone shows is not even built.
        """
        kind = COMEUP.kinds[wait]
        rows = (
            attrs.evolve(row, states=_without(row.states, state))
            if row.command is kind.command
            else attrs.evolve(row, states=(*_without(row.states, state), State(state)))
            if row.command is c.RemindVerification
            else row
            for row in COMEUP.rows
        )
        changes: dict[str, Any] = {
            "name": "mutant",
            "deadlines": tuple(
                attrs.evolve(one, command=c.RemindVerification) if one is kind else one
                for one in COMEUP.deadlines
            ),
            "rows": tuple(row for row in rows if row.states),
        }
        gap = Gap("no_timed_exit", State(state), "to see it found")
        if wait != "acceptance":
            # There a bank's hold would end it, says the table.
            with pytest.raises(ProcessError, match=f"{state} holds money"):
                attrs.evolve(COMEUP, **changes)
            changes["gaps"] = (*COMEUP.gaps, gap)
        mutant = attrs.evolve(COMEUP, **changes)

        missing = [
            one
            for one in check(mutant).findings
            if (one.code, one.where) == ("no_timed_exit", state)
        ]

        assert len(missing) == 1
        assert missing[0].story is not None
        assert str(missing[0].story.order.state) == state

    def test_a_decision_that_keeps_the_money(self) -> None:
        """
        An ending that would keep money is refused when it happens, and found before.
        """

        @decides(c.RefuseOrder, version="careless")
        def careless(case: Any, command: c.RefuseOrder) -> Iterable[Step]:
            yield Step(events=(OrderAccepted(),))

        process = COMEUP.extend(name="careless", decisions=[careless])

        (failing,) = (
            one for one in check(process).errors if one.code == "decision_fails"
        )

        assert failing.where == "pending"
        assert "still held" in failing.params["error"]

    @pytest.mark.parametrize("deciding", [True, False])
    def test_a_hosts_own_errors(self, deciding: bool) -> None:
        """
        What a host's own code raises is a finding, not an error of the checker's.
        """

        @decides(c.RefuseOrder, version="broken")
        def broken(case: Any, command: c.RefuseOrder) -> Iterable[Step]:
            raise ZeroDivisionError("by zero.")

        if not deciding:

            @broken.unless
            def _(case: Any) -> Iterable[ef.Blocker]:
                raise KeyError("colour")

        process = COMEUP.extend(name="broken", decisions=[broken])
        (failing,) = check(process).errors[:1]

        assert failing.where == "pending"
        assert (failing.code, failing.params["error"]) == (
            ("decision_fails", "ZeroDivisionError: by zero")
            if deciding
            else ("options_fail", "KeyError: 'colour'")
        )

    def test_a_deadline_that_there_is_not(self) -> None:
        """
        A decision that arms what the process lacks is found, with the way out.
        """
        kind = COMEUP.kinds["choice"]
        rows = (
            attrs.evolve(row, states=_without(row.states, "revision_refused"))
            if row.command is kind.command
            else row
            for row in COMEUP.rows
        )
        gap = Gap("no_timed_exit", State.REVISION_REFUSED, "to see it found")
        process = attrs.evolve(
            COMEUP,
            name="unarmed",
            deadlines=tuple(one for one in COMEUP.deadlines if one is not kind),
            rows=tuple(rows),
            gaps=(*COMEUP.gaps, gap),
        )

        failing = next(
            one for one in check(process).errors if one.code == "decision_fails"
        )

        assert failing.where == "revision_requested"
        assert "arms 'choice'" in failing.message()

    def test_a_command_that_nobody_can_send(self) -> None:
        """
        A row in a state that nothing leads into is an error, unless policies close it.
        """

        @decides(c.SendMessage, version="never")
        def never(case: Any, command: c.SendMessage) -> Iterable[Step]:
            yield Step(events=(OrderAccepted(),))

        @never.unless
        def _(case: Any) -> Iterable[ef.Blocker]:
            yield ef.Blocker(code="conversation_closed")

        process = COMEUP.extend(name="mute", decisions=[never])

        closed = {
            one.where
            for one in check(process).findings
            if one.code in ("closed_command", "impossible_command")
        }

        assert "send_message" in closed

    def test_rounds_without_an_end(self) -> None:
        """
        Where revisions begin at once (C8), the rounds are those of the work itself.
        """
        assert found("C8", "error") == {
            ("trap", "seller"),
            ("unbounded_rounds", "in_progress"),
        }

    def test_too_large(self) -> None:
        """
        What cannot be explored whole is said, with how far it came.
        """
        small = check(COMEUP, most=100)

        assert not small.complete
        assert not small.sound
        assert ("too_large", "comeup") in {(f.code, f.where) for f in small.findings}
        assert small.configurations == 100
        assert "100 configurations" in small.text()

    @pytest.mark.parametrize("most", [100, 400, 500, 800])
    @pytest.mark.parametrize("process", [COMEUP, recommended()], ids=str)
    def test_too_large_to_accuse(self, process: Any, most: int) -> None:
        """
        What was left out might have been the way out: nothing is said to lack one that
        has it.
        """
        whole = {(one.code, one.where) for one in check(process).findings}
        some = {(one.code, one.where) for one in check(process, most=most).findings}

        assert some - whole <= {("too_large", process.name)}


@pytest.mark.proof
class TestWhole:
    """
    Nothing that an order can come to is left out.
    """

    @pytest.mark.parametrize("name", ["comeup", "C8", "C11", "delivers", "capped"])
    def test_random_lives_come_to_nothing_new(self, name: str) -> None:
        """
        Wherever people get who act at any instant, the checker was there: but for side
        matters, and how long the waits still take, it knows every configuration.
        """
        process = PROCESSES[name]
        known = Abstraction(process)
        seen, there = set(), set()
        for is_paid in (False, True):
            whole = graph(name, is_paid=is_paid)
            there |= {shape(node.configuration) for node in whole.nodes}
            for number in range(80):
                rng = random.Random(f"{name} {is_paid} {number}")
                wanderer = Wanderer(process, rng, whole.placed)
                for _ in range(30):
                    seen.add(shape(known.of(wanderer.order, wanderer.now)))
                    wanderer.step()

        assert len(seen) > 40
        assert seen <= there


def shape(configuration: Configuration) -> Configuration:
    """
    Return a configuration without side matters, and how long its waits still take.
    """
    bare = configuration.bare
    if bare.cause:
        # Who got money tells a part that went back before.
        bare = bare._replace(answers=())
    waits = {wait._replace(seconds=0, after=0) for wait in bare.waits}
    return bare._replace(waits=tuple(sorted(waits)))


class TestAsked:
    """
    What is checked, and what cannot be.
    """

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"process": "comeup"}, "process"),
            ({"process": None}, "process"),
            ({"process": COMEUP, "order": "cheap"}, "order"),
            ({"process": COMEUP, "most": 0}, "most"),
            ({"process": COMEUP, "most": True}, "most"),
            ({"process": COMEUP, "apart_by": "state"}, "apart_by"),
            ({"process": COMEUP, "apart_by": lambda order: []}, "apart_by"),
            (
                {"process": COMEUP, "order": an_order(payment=None, tip=eur(90))},
                "order",
            ),
        ],
    )
    def test_bad_input(self, arguments: Any, field: str) -> None:
        """
        One typed error, that names what is wrong.
        """
        with pytest.raises(InvalidInputError) as caught:
            check(**arguments)

        assert caught.value.field == field

    def test_terms_of_an_order(self) -> None:
        """
        An order's own terms count: with ten minutes to deliver there is a trap, too.
        """
        order = an_order(
            seller_id="ana", payment=None, terms=Terms(delivery_window="PT10M")
        )

        assert {one.code for one in check(COMEUP, order=order).errors} == {"trap"}

    def test_it_is_the_same_every_time(self) -> None:
        """
        The same process, the same findings in the same order.
        """
        once, again = check(vendor_consolidation()), report("vendor_consolidation")

        assert once == again
        assert once.text(stories=True) == again.text(stories=True)


def _without(states: tuple[str, ...], state: str) -> tuple[str, ...]:
    return tuple(one for one in states if one != state)
