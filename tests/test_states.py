"""
States: a process proves itself when it is built, and moves orders by its table.

Each check has its own broken process here: the data of ComeUp with one change, so
that exactly one finding shows.
"""

from __future__ import annotations

import enum
from itertools import product
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import transitions

from escrowflow import commands as c
from escrowflow.commands import Command
from escrowflow.decisions import Case, Decides, Refusal, Step, decides
from escrowflow.errors import InvalidInputError, ProcessError
from escrowflow.events import Event
from escrowflow.history import fold
from escrowflow.inputs import Text, as_text
from escrowflow.parties import Role
from escrowflow.processes import comeup, recommended, vendor_consolidation
from escrowflow.refusals import Blocker
from escrowflow.rows import steps_of
from escrowflow.states import (
    BACK,
    STAY,
    DeadlineKind,
    Gap,
    Process,
    Row,
    State,
    Urgency,
    _machine_of,
)
from escrowflow.storage.codec import encode_order
from escrowflow.storage.memory import MemoryStorage
from tests.given import ANA, COMEUP, LUC, OPS, an_engine, an_order, brought_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from escrowflow.engine import Engine

RECOMMENDED = recommended()

B, S, M, O, Y = Role.BUYER, Role.SELLER, Role.MEDIATOR, Role.OPERATOR, Role.SYSTEM  # noqa: E741


def changed(
    command: type[Command], state: str | None = None, **fields: Any
) -> tuple[Row, ...]:
    """
    Return the rows of ComeUp, those of one command changed.
    """
    return tuple(
        attrs.evolve(row, **fields)
        if row.command is command and (state is None or state in row.states)
        else row
        for row in COMEUP.rows
    )


def without(*commands: type[Command]) -> tuple[Row, ...]:
    """
    Return the rows of ComeUp without those of some commands.
    """
    return tuple(row for row in COMEUP.rows if row.command not in commands)


def waits(name: str, **fields: Any) -> tuple[DeadlineKind, ...]:
    """
    Return the deadlines of ComeUp, one of them changed.
    """
    return tuple(
        attrs.evolve(kind, **fields) if kind.name == name else kind
        for kind in COMEUP.deadlines
    )


def _reason(value: str) -> Text:
    return as_text(value, "reason")


@attrs.frozen(kw_only=True)
class PauseOrder(Command):
    """
    Wait a while.
    """

    reason: Text = attrs.field(converter=_reason)


@attrs.frozen(kw_only=True)
class ResumeOrder(Command):
    """
    Go on.
    """


@attrs.frozen(kw_only=True)
class WakeOrder(Command):
    """
    It waited long enough.
    """


@attrs.frozen(kw_only=True)
class OrderPaused(Event):
    """
    It waits.
    """

    reason: Text

    def fold_extra(self, extra: Any) -> Any:
        """
        Count how often.
        """
        return {**extra, "pauses": extra.get("pauses", 0) + 1}


@attrs.frozen(kw_only=True)
class OrderResumed(Event):
    """
    It goes on.
    """


class Own(enum.StrEnum):
    """
    A host's own states.
    """

    PAUSED = "paused"


@decides(PauseOrder, version="1")
def pause_order(case: Case, command: PauseOrder) -> Iterable[Step]:
    """
    For a day at most.
    """
    from escrowflow.decisions.case import deadline

    yield Step(
        events=(OrderPaused(reason=command.reason),),
        arm=deadline("pause", case.now.add(days=1)),
    )


@pause_order.unless
def _(case: Case) -> Iterable[Blocker]:
    if case.order.extra.get("pauses", 0) >= 2:
        yield Blocker(code="claim_open")


@decides(ResumeOrder, version="1")
def resume_order(case: Case, command: ResumeOrder) -> Iterable[Step]:
    """
    Where it was.
    """
    yield Step(events=(OrderResumed(),), resume=("paused",))


@decides(WakeOrder, version="1")
def wake_order(case: Case, command: WakeOrder) -> Iterable[Step]:
    """
    Where it was, by itself.
    """
    yield Step(events=(OrderResumed(),), resume=("paused",))


PAUSES: Any = {
    "states": Own,
    "rows": [
        Row(PauseOrder, S, State.IN_PROGRESS, "paused", away=True),
        Row(ResumeOrder, B | S, "paused", BACK),
        Row(WakeOrder, Y, "paused", BACK),
    ],
    "deadlines": [
        DeadlineKind("pause", WakeOrder, "paused", urgency=Urgency.UNLOCKING),
        attrs.evolve(
            COMEUP.kinds["delivery"],
            stops=(*COMEUP.kinds["delivery"].stops, "paused"),
        ),
    ],
    "events": [OrderPaused, OrderResumed],
    "decisions": [pause_order, resume_order, wake_order],
    "gaps": [Gap("no_timed_exit", "paused", "it goes back to a state with the same")],
}


def pausing() -> Process[Any]:
    """
    Return ComeUp with pauses.
    """
    return COMEUP.extend(name="pausing", **PAUSES)


class _Hostile:
    """
    A decision of a host's own, without a version.
    """

    command = c.AcceptOrder
    version = ""


class _Silent:
    """
    A decision of a host's own that says nothing of a version.
    """

    command = c.AcceptOrder


class _Pinned:
    """
    A decision of a host's own that can be pinned.
    """

    command = c.AcceptOrder
    version = "1"


class _Bare:
    """
    A host's own bundle, with no policy in it.
    """

    canonical: Mapping[str, Any] = {}

    def replacing(self, **changes: Any) -> _Bare:
        """
        There is nothing to replace.
        """
        return self


# --- each check ---------------------------------------------------------------------

NO_WAY = "add a deadline, or declare Gap('no_timed_exit', "

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "unknown state in a row": (
        {"rows": changed(c.AcceptOrder, to="in_progres", chosen_by={})},
        "accept_order: unknown state 'in_progres'",
    ),
    "unknown place of a row": (
        {"rows": changed(c.AcceptOrder, states=("pending", "waiting"))},
        "accept_order: unknown state 'waiting'",
    ),
    "unknown initial state": (
        {"initial": "cart"},
        "unknown state 'cart': it cannot be the initial one",
    ),
    "unknown ending": (
        {"endings": (*COMEUP.endings, "lost")},
        "unknown state 'lost' among the endings",
    ),
    "unknown state of a deadline": (
        {"deadlines": waits("offer", stops=("disputed", "asleep"))},
        "deadline offer: unknown state 'asleep'",
    ),
    "unknown state of a policy": (
        {
            "policies": COMEUP.policies.replacing(
                cancellation={"seller_cancel_states": {"pending", "shipped"}}
            )
        },
        "policy cancellation.seller_cancel_states: unknown state 'shipped'",
    ),
    "a row for nobody": (
        {"rows": changed(c.AcceptOrder, by=Role(0))},
        "accept_order: a row needs a role, a state and an outcome",
    ),
    "a row nowhere": (
        {"rows": (*COMEUP.rows, Row(c.AcceptOrder, S, (), "in_progress"))},
        "accept_order: a row needs a role, a state and an outcome",
    ),
    "a row without an outcome": (
        {"rows": changed(c.AcceptOrder, to={})},
        "accept_order: a row needs a role, a state and an outcome",
    ),
    "a choice of an outcome that is not there": (
        {"rows": changed(c.DeliverOrder, chosen_by={"later": bool})},
        "deliver_order: no outcome later to choose",
    ),
    "two deadlines of one name": (
        {"deadlines": (*COMEUP.deadlines, COMEUP.kinds["offer"])},
        "two deadlines have the same name",
    ),
    "two commands of one name": (
        {
            "decisions": (
                *COMEUP.decisions,
                Decides(
                    attrs.make_class("AcceptOrder", [], bases=(Command,)),
                    lambda case, command: (),
                    version="1",
                ),
            )
        },
        "two commands have the same name",
    ),
    "two commands of one name in rows": (
        {
            "rows": (
                Row(
                    attrs.make_class("AcceptOrder", [], bases=(Command,)),
                    B,
                    "pending",
                    STAY,
                ),
                *COMEUP.rows,
            )
        },
        "two commands have the same name",
    ),
    "a shadowed row": (
        {"rows": (*COMEUP.rows, Row(c.SubmitBrief, B, "pending", STAY))},
        "submit_brief in pending: two rows for buyer; the second would never be used",
    ),
    "a shadowed row behind another": (
        {
            "rows": (
                *COMEUP.rows,
                Row(c.SubmitBrief, S, "pending", STAY),
                Row(c.SubmitBrief, B | M, "pending", STAY),
            )
        },
        "submit_brief in pending: two rows for buyer; the second would never be used",
    ),
    "what is no row": (
        {"rows": (*COMEUP.rows, 5)},
        "a Row, not int",
    ),
    "what is no deadline": (
        {"deadlines": (*COMEUP.deadlines, "offer")},
        "a DeadlineKind, not str",
    ),
    "a policy that arms a wait the table lacks": (
        {"policies": COMEUP.policies.replacing(delivery={"late_window": "P7D"})},
        "delivery.late_window needs a deadline 'delay': `recommended` has one",
    ),
    "an own decision that says nothing of a version": (
        {
            "decisions": (
                *(d for d in COMEUP.decisions if d.command is not c.AcceptOrder),
                _Silent(),
            )
        },
        "accept_order: a decision of your own needs `version`",
    ),
    "rows that disagree": (
        {"rows": (*COMEUP.rows, Row(c.SubmitBrief, S, "pending", "in_progress"))},
        "submit_brief in pending: rows with different outcomes",
    ),
    "an undecided command": (
        {"rows": (*COMEUP.rows, Row(PauseOrder, S, "pending", STAY))},
        "pause_order: nothing decides it",
    ),
    "a deadline the system may not send": (
        {"deadlines": waits("mediator", runs=("disputed", "frozen"))},
        "deadline mediator: the system may not send alert_mediator in frozen",
    ),
    "a deadline that runs and stops": (
        {"deadlines": waits("offer", stops=("disputed", "frozen", "delivered"))},
        "deadline offer both runs and stops in delivered",
    ),
    "a deadline that runs and sleeps": (
        {"deadlines": waits("lifetime", sleeps=("disputed", "delivered"))},
        "deadline lifetime both runs and stops in delivered",
    ),
    "a system row no deadline sends": (
        {"rows": (*COMEUP.rows, Row(c.MarkLate, Y, "frozen", STAY))},
        "mark_late: no deadline sends it in frozen",
    ),
    "an own decision without a version": (
        {
            "decisions": (
                *(d for d in COMEUP.decisions if d.command is not c.AcceptOrder),
                _Hostile(),
            )
        },
        "accept_order: a decision of your own needs `version`",
    ),
    "nothing to go back to": (
        {"rows": changed(c.WithdrawClaim, to=BACK, states=("pending",))},
        "withdraw_claim in pending: nothing to go back to",
    ),
    "an unreachable state": (
        {
            "rows": tuple(
                attrs.evolve(row, to=STAY)
                if row.command in (c.OpenDispute, c.ConvertClaim)
                else attrs.evolve(row, to="expired", chosen_by={})
                if row.command is c.ExpireOrder
                else attrs.evolve(row, to={"go_on": BACK})
                if row.command is c.RefuseCancellation
                else row
                for row in COMEUP.rows
            )
        },
        "nothing leads to disputed",
    ),
    "a dead end": (
        {
            "rows": tuple(
                row
                for row in COMEUP.rows
                if row.command is not c.DefaultRuling
                and (row.states != ("disputed",) or row.command is not c.RuleDispute)
            ),
            "deadlines": tuple(
                kind for kind in COMEUP.deadlines if kind.name != "ruling"
            ),
        },
        "disputed is a dead end: nothing leads out of it",
    ),
    "an ending with a way out": (
        {"rows": changed(c.ExcuseCancellation, to="pending")},
        "cancelled is an ending, and yet something leads out of it",
    ),
    "an ending that keeps money": (
        {"rows": changed(c.AcceptCancellation, settles=False)},
        "accept_cancellation leads to cancelled and leaves money held",
    ),
    "a settlement without an end": (
        {"rows": changed(c.DeliverOrder, settles=True)},
        "deliver_order settles, and yet the order goes on",
    ),
    "a gap nobody declared": (
        {"gaps": tuple(gap for gap in COMEUP.gaps if gap.where != "in_progress")},
        f"in_progress holds money and nothing ends it by itself: {NO_WAY}"
        "'in_progress', reason)",
    ),
    "a gap without a reason": (
        {"gaps": (*COMEUP.gaps, Gap("no_timed_exit", "pending", ""))},
        "gap no_timed_exit at pending: give the reason",
    ),
}


class TestProof:
    """
    What contradicts itself is never built.
    """

    @pytest.mark.parametrize(("changes", "finding"), BROKEN.values(), ids=BROKEN)
    def test_finding(self, changes: dict[str, Any], finding: str) -> None:
        """
        One change, one sentence, and the name of the process.
        """
        with pytest.raises(ProcessError) as caught:
            attrs.evolve(COMEUP, name="broken", **changes)

        assert set(caught.value.findings) == {finding}
        assert caught.value.process == "broken"
        assert str(caught.value).startswith("process 'broken': ")

    @pytest.mark.parametrize("name", ["", "a b", "1st", "na\u00efve", 5])
    def test_a_name(self, name: Any) -> None:
        """
        A name is one word, in letters that every system knows.
        """
        with pytest.raises(ProcessError) as caught:
            attrs.evolve(COMEUP, name=name)

        assert caught.value.findings == (
            "a name has letters, digits and _, and no digit first",
        )

    def test_an_own_decision_is_pinned(self) -> None:
        """
        A decision of any class will do that says which command, and its version.
        """
        others = (d for d in COMEUP.decisions if d.command is not c.AcceptOrder)

        process = attrs.evolve(COMEUP, decisions=(*others, _Pinned()))

        assert process.fingerprint != COMEUP.fingerprint

    def test_an_own_bundle(self) -> None:
        """
        A bundle of a host's own need not have every policy of ours: what it lacks arms
        nothing.
        """
        bare: Any = _Bare()
        process: Process[Any] = attrs.evolve(
            COMEUP,
            policies=bare,
            rows=tuple(
                Row(row.command, row.by, row.states, row.to, settles=row.settles,
                    away=row.away)
                for row in COMEUP.rows
            ),
        )  # fmt: skip

        assert process.with_policies(anything=1).policies is process.policies
        assert not process.armed(process.kinds["lifetime"])

    def test_endless_deadlines(self) -> None:
        """
        Deadlines that lead round in a circle would settle for ever.
        """

        def nap(name: str, command: type[Command], state: str) -> DeadlineKind:
            return DeadlineKind(name, command, state, urgency=Urgency.UNLOCKING)

        class Rest(enum.StrEnum):
            DAY = "day"
            NIGHT = "night"

        rows = [
            Row(PauseOrder, S, "in_progress", "day"),
            Row(ResumeOrder, Y, "day", "night"),
            Row(WakeOrder, Y, "night", {"again": "day", "up": "in_progress"}),
        ]
        gaps = [Gap("no_timed_exit", state, "tired") for state in Rest]

        with pytest.raises(ProcessError) as caught:
            COMEUP.extend(
                name="tired",
                states=Rest,
                rows=rows,
                deadlines=[
                    nap("evening", ResumeOrder, "day"),
                    nap("morning", WakeOrder, "night"),
                ],
                decisions=PAUSES["decisions"],
                gaps=gaps,
            )

        assert set(caught.value.findings) == {
            "deadlines lead from day round and back, for ever",
            "deadlines lead from night round and back, for ever",
        }

    def test_everything_is_said_at_once(self) -> None:
        """
        Nobody repairs a table one sentence at a time.
        """
        with pytest.raises(ProcessError) as caught:
            attrs.evolve(
                COMEUP,
                rows=changed(c.AcceptCancellation, settles=False),
                gaps=(*COMEUP.gaps, Gap("claim_dies", "claim", "")),
            )

        assert len(caught.value.findings) == 2

    def test_a_gap_is_closed_by_a_deadline(self) -> None:
        """
        With a longest life, only dispute and freeze are left to declare.
        """
        capped = COMEUP.with_policies(lifetime={"order_cap": "P5M"})
        needed = {"disputed", "frozen"}

        built = attrs.evolve(
            capped, gaps=tuple(gap for gap in capped.gaps if gap.where in needed)
        )

        assert len(built.gaps) == 2
        with pytest.raises(ProcessError) as caught:
            attrs.evolve(COMEUP, gaps=built.gaps)
        assert [f.split()[0] for f in caught.value.findings] == [
            "in_progress",
            "cancellation_requested",
            "revision_requested",
        ]

    def test_the_built_in_ones_are_fine(self) -> None:
        """
        Both processes build, and are not the same.
        """
        first, second = comeup(), vendor_consolidation()

        assert (first.name, second.name) == ("comeup", "vendor_consolidation")
        assert first.fingerprint != second.fingerprint
        assert repr(first) == f"<process {first.fingerprint}>"


# --- what a process knows -----------------------------------------------------------


class TestTable:
    """
    Questions that are answered from the table.
    """

    def test_rows_by_role(self) -> None:
        """
        A row is found by state, command and role.
        """
        row = COMEUP.row("in_progress", c.CancelOrder, B)

        assert row is not None
        assert row.by == B | S
        assert COMEUP.row("delivered", c.CancelOrder, B) is None
        assert COMEUP.row("nowhere", c.CancelOrder, B) is None
        assert COMEUP.roles("delivered", c.CancelOrder) == S
        assert COMEUP.roles("frozen", c.CancelOrder) == Role(0)

    @pytest.mark.parametrize("process", [COMEUP, RECOMMENDED], ids=lambda one: one.name)
    def test_roles(self, process: Process[Any]) -> None:
        """
        Who may send a command somewhere has a row for it there, and nobody else has.
        """
        for state, command in product(process.members, process.commands.values()):
            roles = process.roles(state, command)
            for role in Role:
                found = process.row(state, command, role)
                assert (role in roles) is (found is not None)

    def test_talking(self) -> None:
        """
        Where the two sides may write to each other, if staff lets them.
        """
        silent = {"delivered", "disputed", "frozen", "expired"}

        assert COMEUP.talking == set(COMEUP.members) - silent

    def test_held(self) -> None:
        """
        What of an order makes one of its deadlines stand still.
        """
        assert COMEUP.held == frozenset()
        assert RECOMMENDED.held == {"brief_owed", "claim"}

    def test_leads(self) -> None:
        """
        The outcomes that come up under a process's policies; none where they close
        the row.
        """
        row = COMEUP.row("delivered", c.RequestRevision, B)
        again = COMEUP.row("revision_refused", c.RequestRevision, B)
        at_once = COMEUP.policies.replacing(
            revision={"revision_needs_seller_answer": False}
        )
        assert row is not None
        assert again is not None

        assert row.leads(COMEUP.policies) == {"asked": State.REVISION_REQUESTED}
        assert row.leads(at_once) == {"begun": State.IN_PROGRESS}
        assert again.leads(COMEUP.policies) == {}

    def test_leads_where_nobody_chooses(self) -> None:
        """
        An outcome that no policy is asked about may come up under any.
        """
        row = Row(
            *(c.AcceptOrder, S, State.PENDING),
            {"one": State.IN_PROGRESS, "other": State.CANCELLED},
            chosen_by={"other": lambda policies: False},
        )

        assert row.leads(COMEUP.policies) == {"one": State.IN_PROGRESS}

    def test_roles_of_several_rows(self) -> None:
        """
        A cell may have a row for each side.
        """
        buyers = Row(c.WithdrawOffer, B, State.IN_PROGRESS, STAY)
        both = COMEUP.extend(name="both", rows=[buyers])

        assert both.roles("in_progress", c.WithdrawOffer) == B | S

    def test_steps(self) -> None:
        """
        Each step knows its row, and begins and ends where that says.
        """
        for step in steps_of(COMEUP.rows):
            assert step.row in COMEUP.rows
            assert step.state in step.row.states
            if step.row.to == {"": STAY}:
                assert step.to == step.state

    def test_armed(self) -> None:
        """
        A deadline that waits for a policy is armed with it.
        """
        capped = COMEUP.with_policies(lifetime={"order_cap": "P5M"})

        assert not COMEUP.armed(COMEUP.kinds["lifetime"])
        assert capped.armed(capped.kinds["lifetime"])
        assert COMEUP.armed(COMEUP.kinds["delivery"])

    def test_places(self) -> None:
        """
        Where a role may send a command, in the order of the states.
        """
        assert COMEUP.places(c.OpenDispute, B) == (
            State.CANCELLATION_REQUESTED,
            State.REVISION_REQUESTED,
            State.REVISION_REFUSED,
        )
        assert COMEUP.places(c.OpenDispute, S) == ()

    def test_commands(self) -> None:
        """
        What a role could ever send, once each.
        """
        commands = COMEUP.commands_of(M)

        assert [command.name for command in commands] == [
            "assign_mediator",
            "reject_claim",
            "convert_claim",
            "ask_parties",
            "rule_dispute",
        ]

    def test_states_are_members(self) -> None:
        """
        A stored text is a member of the enum again; an unknown one stays text.
        """
        assert COMEUP.state("pending") is State.PENDING
        assert COMEUP.state("cart") == "cart"
        assert COMEUP.ended("expired")
        assert not COMEUP.ended("frozen")

    def test_every_state_is_its_text(self) -> None:
        """
        The text is what is stored: it never changes.
        """
        assert [str(state) for state in State] == [
            "awaiting_payment",
            "pending",
            "in_progress",
            "cancellation_requested",
            "delivered",
            "revision_requested",
            "revision_refused",
            "disputed",
            "frozen",
            "completed",
            "cancelled",
            "expired",
        ]


class TestSteps:
    """
    Every state change goes through the machine.
    """

    @pytest.mark.parametrize(
        ("state", "command", "outcome", "left", "to"),
        [
            ("pending", "accept_order", "", (), "in_progress"),
            ("awaiting_payment", "confirm_payment", "", (), "awaiting_payment"),
            ("awaiting_payment", "confirm_payment", "paid", (), "pending"),
            ("pending", "submit_brief", "", (), "pending"),
            ("frozen", "unfreeze_order", "", ("delivered",), "delivered"),
            (
                "cancellation_requested",
                "refuse_cancellation",
                "go_on",
                ("delivered",),
                "delivered",
            ),
            (
                "frozen",
                "unfreeze_order",
                "",
                ("in_progress", "cancellation_requested"),
                "cancellation_requested",
            ),
        ],
    )
    def test_leads_to(
        self, state: str, command: str, outcome: str, left: Any, to: str
    ) -> None:
        """
        The table says where an outcome leads.
        """
        assert COMEUP.step(state, command, outcome, left) == to
        assert type(COMEUP.step(state, command, outcome, left)) is State

    @pytest.mark.parametrize(
        ("state", "command", "outcome", "left"),
        [
            ("completed", "accept_order", "", ()),
            ("pending", "to_completed", "", ()),
            ("pending", "accept_order", "paid", ()),
            ("frozen", "unfreeze_order", "", ()),
            ("frozen", "unfreeze_order", "", ("completed",)),
            ("nowhere", "accept_order", "", ()),
        ],
    )
    def test_a_step_the_table_lacks(
        self, state: str, command: str, outcome: str, left: Any
    ) -> None:
        """
        A decision that takes a step of its own is a mistake of the process.
        """
        with pytest.raises(ProcessError, match="took a step the table lacks") as caught:
            COMEUP.step(state, command, outcome, left)

        assert caught.value.process == "comeup"

    def test_the_machine_has_the_table_and_no_more(self) -> None:
        """
        No automatic triggers: each is a command of the table.
        """
        triggers = COMEUP._machine.events

        commands = {name.partition("@")[0].partition(".")[0] for name in triggers}

        assert commands == {row.command.name for row in COMEUP.rows}
        assert COMEUP._machine.initial == COMEUP.initial
        assert set(COMEUP._machine.states) == set(COMEUP.members)
        assert COMEUP._machine.models == []

    def test_stock_and_lean_agree(self) -> None:
        """
        The stock machine and ours agree on every trigger from every state.
        """
        stock = _machine_of(COMEUP, transitions.Machine)
        lean = COMEUP._machine

        assert set(stock.events) == set(lean.events)
        for trigger, state in product(stock.events, COMEUP.members):
            answers = []
            for machine in (stock, lean):
                cursor = _Cursor(state)
                try:
                    moved = machine.events[trigger].trigger(cursor)
                    answers.append((moved, str(cursor.state)))
                except transitions.MachineError:
                    answers.append((False, "refused"))
            assert answers[0] == answers[1]


class _Cursor:
    def __init__(self, state: str) -> None:
        self.state = state


# --- extending ----------------------------------------------------------------------


class TestExtend:
    """
    A host's own states, commands, events and decisions.
    """

    @pytest.fixture
    def engine(self) -> Engine:
        """
        An engine for orders that can be paused.
        """
        return an_engine(MemoryStorage(), pausing())

    def test_runs(self, engine: Engine) -> None:
        """
        It runs on the same engine: settle, refuse, fold, store.
        """
        brought_to(engine, "in_progress")
        due_at = engine.order("o1").due_at
        assert due_at is not None

        paused = engine.execute("o1", PauseOrder(reason="ill"), by=LUC, key="k").order
        engine.clock.advance(hours=6)  # type: ignore[attr-defined]
        resumed = engine.execute("o1", ResumeOrder(), by=ANA).order

        assert (paused.state, paused.extra) == ("paused", {"pauses": 1})
        assert [wait.name for wait in paused.deadlines] == ["pause"]
        assert resumed.state is engine.process.state("in_progress")
        assert resumed.due_at == due_at.add(hours=6)
        history = engine.history("o1")
        assert [recorded.name for recorded in history][-2:] == [
            "order_paused",
            "order_resumed",
        ]
        assert history[-2].data["reason"] == "ill"
        assert encode_order(fold(history)) == engine.storage.load("o1").snapshot
        assert engine.execute("o1", PauseOrder(reason="ill"), by=LUC, key="k").replayed

    def test_wakes(self, engine: Engine) -> None:
        """
        Its deadline is settled like any other, exactly when it is due.
        """
        brought_to(engine, "in_progress")
        engine.execute("o1", PauseOrder(reason="ill"), by=LUC)
        engine.clock.advance(days=3)  # type: ignore[attr-defined]

        assert engine.order("o1").state == "in_progress"
        assert engine.run_due().moves == 1
        assert engine.history("o1")[-1].by.role is Role.SYSTEM

    def test_refuses(self, engine: Engine) -> None:
        """
        Its refusals come with options, the role and the state like any other.
        """
        brought_to(engine, "in_progress")
        for _ in range(2):
            engine.execute("o1", PauseOrder(reason="ill"), by=LUC)
            engine.execute("o1", ResumeOrder(), by=LUC)

        answer = engine.attempt("o1", PauseOrder(reason="ill"), by=LUC)
        foreign = engine.attempt("o1", PauseOrder(reason="ill"), by=ANA)
        options = {option.name: option for option in engine.options("o1", by=LUC)}

        assert isinstance(answer, Refusal)
        assert isinstance(foreign, Refusal)
        assert [blocker.code for blocker in answer.blockers] == ["claim_open"]
        assert foreign.blockers[0].code == "not_your_command"
        assert not options["pause_order"].allowed
        assert options["resume_order"].blockers[0].code == "not_in_this_state"

    def test_in_another_state(self, engine: Engine) -> None:
        """
        What is not in the table there is refused there.
        """
        brought_to(engine, "in_progress")
        engine.execute("o1", PauseOrder(reason="ill"), by=LUC)

        answer = engine.attempt("o1", c.DeliverOrder(note="x"), by=LUC)

        assert isinstance(answer, Refusal)
        assert answer.blockers[0].code == "not_in_this_state"

    def test_a_decision_of_ones_own(self) -> None:
        """
        One for a command that has one takes its place.
        """

        @decides(c.FreezeOrder, version="2")
        def freeze(case: Case, command: c.FreezeOrder) -> Iterable[Step]:
            return ()

        engine = an_engine(
            MemoryStorage(), COMEUP.extend(name="mine", decisions=[freeze])
        )
        engine.place(an_order(), by=ANA, order_id="o1")

        outcome = engine.execute("o1", c.FreezeOrder(reason="x"), by=OPS)

        assert outcome.events == ()
        assert len(engine.process.decisions) == len(COMEUP.decisions)

    def test_commands_without_a_row(self) -> None:
        """
        A command nobody may send is a mistake.
        """
        with pytest.raises(ProcessError) as caught:
            COMEUP.extend(name="mine", commands=[WakeOrder, PauseOrder, c.CancelOrder])

        assert caught.value.process == "mine"
        assert caught.value.findings == (
            "commands without a row: pause_order, wake_order",
        )
        assert pausing().commands["pause_order"] is PauseOrder

    def test_states(self) -> None:
        """
        With states of one's own there is one enum of all; without, the one there was.
        """
        assert repr(pausing().state("paused")) == "<State.PAUSED: 'paused'>"
        assert list(pausing().states) == [*COMEUP.members, "paused"]
        assert pausing().name == "pausing"
        assert COMEUP.extend(name="mine").states is State

    def test_money_is_heard_of_anywhere(self) -> None:
        """
        What became of money is reported in a state of an extension, too; nothing else
        of ours may be sent there.
        """
        ours = {
            row.command.name
            for row in COMEUP.rows
            if pausing().roles("paused", row.command)
        }

        assert ours == {
            "redirect_payout",
            "report_charge",
            "report_chargeback",
            "report_payout",
            "report_refund",
        }

    def test_is_checked_as_a_whole(self) -> None:
        """
        What does not fit is found when it is built.
        """
        for part, finding in {
            "deadlines": "wake_order: no deadline sends it in paused",
            "decisions": "pause_order: nothing decides it",
            "gaps": f"paused holds money and nothing ends it by itself: {NO_WAY}"
            "'paused', reason)",
        }.items():
            with pytest.raises(ProcessError) as caught:
                COMEUP.extend(name="mine", **{**PAUSES, part: []})
            assert finding in caught.value.findings

    def test_an_own_ending(self) -> None:
        """
        An ending is an ending, whoever adds it.
        """
        with pytest.raises(ProcessError) as caught:
            COMEUP.extend(name="mine", **{**PAUSES, "endings": ["paused"]})

        assert "paused is an ending, and yet something leads out of it" in (
            caught.value.findings
        )


# --- pinning ------------------------------------------------------------------------


def _evolved(**fields: Any) -> Callable[[], Process[Any]]:
    return lambda: attrs.evolve(COMEUP, **fields)


class TestFingerprint:
    """
    Whatever can change an outcome changes the fingerprint.
    """

    def test_is_the_same_twice(self) -> None:
        """
        The same data has the same fingerprint, in every process of the machine.
        """
        assert comeup().fingerprint == COMEUP.fingerprint
        assert COMEUP.fingerprint.startswith("comeup:")

    @pytest.mark.parametrize(
        "change",
        [
            _evolved(name="other"),
            _evolved(states=enum.StrEnum("State", {s.name: s.value for s in State})),
            _evolved(gaps=(*COMEUP.gaps, Gap("x", "y", "z"))),
            _evolved(rows=changed(c.AcceptOrder, chosen_by={})),
        ],
        ids=["name", "states with the same texts", "gaps", "what is ever chosen"],
    )
    def test_what_changes_nothing(self, change: Callable[[], Process[Any]]) -> None:
        """
        A name is read beside it; words about a process are no rules.
        """
        other = change().fingerprint

        assert other.partition(":")[2] == COMEUP.fingerprint.partition(":")[2]

    @pytest.mark.parametrize(
        "change",
        [
            pausing,
            _evolved(rows=changed(c.AcceptOrder, by=S | O)),
            _evolved(rows=changed(c.ExtendDeadlines, states=("pending",))),
            _evolved(rows=changed(c.ExtendDeadlines, to={"x": STAY})),
            _evolved(rows=changed(c.RequestRevision, away=True)),
            _evolved(rows=without(c.SendMessage)),
            _evolved(deadlines=waits("offer", stops=())),
            _evolved(deadlines=waits("offer", sleeps=("disputed",), stops="frozen")),
            _evolved(deadlines=waits("offer", urgency=Urgency.REMINDER)),
            _evolved(deadlines=waits("offer", window_of="disputed")),
            _evolved(deadlines=waits("verification", stops="frozen")),
            lambda: COMEUP.with_policies(revision={"answer_window": "PT47H"}),
            lambda: COMEUP.with_policies(time={"zone": "Europe/Lisbon"}),
            lambda: COMEUP.extend(
                name="comeup",
                decisions=[Decides(c.AcceptOrder, lambda case, x: (), version="1")],
            ),
            lambda: COMEUP.extend(
                name="comeup",
                decisions=[Decides(c.AcceptOrder, lambda case, x: (), version="2")],
            ),
        ],
    )
    def test_what_changes_it(self, change: Callable[[], Process[Any]]) -> None:
        """
        Rows, roles, states, outcomes, deadlines, policies, decisions: each counts.
        """
        other = change().fingerprint

        assert other.partition(":")[2] != COMEUP.fingerprint.partition(":")[2]

    def test_all_different(self) -> None:
        """
        Two versions of a host's decision are two processes.
        """
        prints = {
            COMEUP.extend(
                name="comeup",
                decisions=[Decides(c.AcceptOrder, lambda case, x: (), version=version)],
            ).fingerprint
            for version in ("1", "2", "3")
        }

        assert len(prints) == 3


class TestPolicies:
    """
    Other policies, same table.
    """

    def test_fields(self) -> None:
        """
        Fields of the present policy are replaced, the rest stays.
        """
        process = COMEUP.with_policies(revision={"revision_limit_mode": "hard"})

        assert process.policies.revision.request(used=1, agreed=1) == "refused"
        assert process.rows == COMEUP.rows

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"revisions": {}}, "revisions"),
            ({"revision": {"mode": "hard"}}, "revision.mode"),
            ({"revision": {"revision_limit_mode": "harder"}}, "revision_limit_mode"),
        ],
    )
    def test_unknown(self, changes: dict[str, Any], field: str) -> None:
        """
        An unknown name is refused, and named.
        """
        with pytest.raises(InvalidInputError) as caught:
            COMEUP.with_policies(**changes)

        assert caught.value.field == field
