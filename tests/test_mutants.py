"""
The checker notices what is missing: each way by which time, or somebody, gets an order
out of a state that holds money is taken away, one after the other, and each time that
is reported.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from escrowflow.checker import CONFIGURATIONS_MAX, Report
from escrowflow.checker import reported as report_of
from escrowflow.checker.exploring import Graph, explored
from escrowflow.checker.ways import Place, Way, ways_out
from escrowflow.commands import RuleDispute
from escrowflow.errors import ProcessError
from escrowflow.parties import Role
from escrowflow.states import DeadlineKind, Process, Row, Urgency
from tests.given import COMEUP, an_order
from tests.test_checker import check_story

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.proof

# With every wait that policies can arm.
ARMED: Final = COMEUP.with_policies(
    lifetime={"order_cap": "P5M"},
    dispute={"ruling_window": "P14D", "default_ruling": "by_delivery"},
)

_ENDS: Final = (
    *(Urgency.EXPIRY, Urgency.CANCELLATION),
    *(Urgency.COMPLETION, Urgency.RULING),
)


def exits(process: Process[Any]) -> Iterator[tuple[DeadlineKind, str]]:
    """
    Yield each deadline that decides about money, with each state in which it does.
    """
    for kind in process.deadlines:
        if kind.urgency in _ENDS and process.armed(kind):
            for state in kind.runs:
                row = process.row(state, kind.command, Role.SYSTEM)
                if row is not None and row.leads(process.policies):
                    yield kind, state


def without(process: Process[Any], kind: DeadlineKind, state: str) -> Process[Any]:
    """
    Return a process in which a deadline does not run in a state.

    Raises:
        ProcessError: If that shows while it is built.
    """
    runs = tuple(other for other in kind.runs if other != state)
    waits = [
        attrs.evolve(one, runs=runs) if one is kind else one
        for one in process.deadlines
        if one is not kind or runs
    ]
    sent = {(one.command, other) for one in waits for other in one.runs}
    rows = []
    for row in process.rows:
        states = tuple(
            other
            for other in row.states
            if Role.SYSTEM not in row.by or (row.command, other) in sent
        )
        if states:
            rows.append(attrs.evolve(row, states=states))
    return attrs.evolve(
        process, name="mutant", rows=tuple(rows), deadlines=tuple(waits)
    )


def graph(process: Process[Any]) -> Graph:
    """
    Return all that an order of a process can come to.
    """
    return explored(process, an_order(payment=None), CONFIGURATIONS_MAX)


@cache
def whole(process: Process[Any]) -> Graph:
    """
    Return the same of a process from which things are taken away; once for all tests.
    """
    return graph(process)


@cache
def had(process: Process[Any]) -> dict[Place, dict[str, Way]]:
    """
    Return the ways out that there are before anything is taken away.
    """
    return ways_out(whole(process))


@cache
def reported(process: Process[Any]) -> frozenset[tuple[str, str]]:
    """
    Return what is found about a process.
    """
    report = report_of(graph(process))
    bounds = {
        ("bound", name)
        for name in ("rests_within", "lives_within")
        if getattr(report, name) is not None
    }
    lost = {("rests_within", "lost"), ("lives_within", "lost")}
    return frozenset(
        {(one.code, one.where) for one in report.findings}
        | {one for one in lost if ("bound", one[0]) not in bounds}
    )


def is_noticed(process: Process[Any], kind: DeadlineKind, state: str) -> bool:
    """
    Whether the loss of a timed exit is reported: when the process is built, or by what
    is found then and was not found before.
    """
    try:
        mutant = without(process, kind, state)
    except ProcessError:
        return True
    return bool(reported(mutant) - reported(process))


@pytest.mark.parametrize(
    ("kind", "state"),
    list(exits(ARMED)),
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_comeup(kind: DeadlineKind, state: str) -> None:
    """
    Each timed exit of the published rules.
    """
    assert is_noticed(ARMED, kind, state)


# --- escapes ------------------------------------------------------------------------


def escapes(process: Process[Any]) -> Iterator[tuple[Row, str, Role]]:
    """
    Yield each row, state and role by which somebody gets out of a state with money.
    """
    for row in process.rows:
        for state in map(str, row.states):
            for role in row.by & ~(Role.SYSTEM | Role.PROVIDER):
                if row.command.name in had(process).get((state, role), {}):
                    yield row, state, role


def last_escapes(process: Process[Any]) -> Iterator[tuple[Row, str, Role]]:
    """
    Yield those beside which the same role has no other, nor time.
    """
    for row, state, role in escapes(process):
        if len(had(process)[state, role]) == 1 and not had(process)[state, None]:
            yield row, state, role


def without_row(
    process: Process[Any], taken: Row, state: str, role: Role
) -> Process[Any]:
    """
    Return a process in which a role lacks a row in a state.

    Raises:
        ProcessError: If that shows while it is built.
    """
    rows: list[Row] = []
    for row in process.rows:
        if row is not taken:
            rows.append(row)
            continue
        others = tuple(other for other in row.states if other != state)
        if others:
            rows.append(attrs.evolve(row, states=others))
        if row.by & ~role:
            rows.append(attrs.evolve(row, states=(state,), by=row.by & ~role))
    return attrs.evolve(process, name="mutant", rows=tuple(rows))


def shut_in(process: Process[Any], row: Row, state: str, role: Role) -> Report | None:
    """
    Return what is found once an escape is taken away; `None` if the process cannot be
    built without it.
    """
    try:
        mutant = without_row(process, row, state, role)
    except ProcessError:
        return None
    return report_of(graph(mutant), whole(process))


def unnoticed(
    report: Report | None, process: Process[Any], row: Row, state: str, role: Role
) -> str:
    """
    Return what is wrong with how the loss of an escape is reported; nothing if it is
    reported as it should be.

    - Held against the process before, it is always told, with what is left: rows that
      the table has, or deadlines that run there.
    - If nothing of the kind is left, that is an error, and found without a process to
      hold it against, too.
    """
    if report is None:
        return ""
    mutant = without_row(process, row, state, role)
    name, where = row.command.name, f"{role.text} in {state}"
    told = [
        one
        for one in report.findings
        if (one.code, one.where) == ("way_lost", where)
        and name in one.params["commands"]
    ]
    if not told:
        return "it is not told"
    (finding,) = told
    left, waits = finding.params["left"] or (), finding.params["waits"] or ()
    if any(mutant.row(state, mutant.commands[one], role) is None for one in left):
        return f"the table does not have what is left: {left}"
    if any(state not in mutant.kinds[one].runs for one in waits):
        return f"no such deadline runs there: {waits}"
    if left or waits:
        return "" if finding.severity == "note" else "it is an error, and need not be"
    if finding.severity != "error":
        return "nothing is left, and it is no error"
    found = {(one.code, one.where) for one in report.findings} - reported(process)
    if not {code for code, _ in found} & {"at_mercy", "claim_unheard", "no_exit"}:
        return "it is not found without the process before"
    return ""


# Whoever gets no answer after he asked for a revision calls a mediator; a mediator takes
# up a claim, and rules.
LAST: Final = (
    ("open_dispute", "revision_requested", Role.BUYER),
    ("convert_claim", "in_progress", Role.MEDIATOR),
    ("convert_claim", "cancellation_requested", Role.MEDIATOR),
    ("convert_claim", "revision_requested", Role.MEDIATOR),
    ("rule_dispute", "disputed", Role.MEDIATOR),
)


@pytest.mark.parametrize(
    "cell", LAST, ids=lambda cell: f"{cell[0]}-{cell[1]}-{cell[2].text}"
)
def test_last_escapes(cell: tuple[str, str, Role]) -> None:
    """
    Each escape of the published rules beside which nothing of the kind is left; the
    long run takes away all the others, too, of every process.
    """
    name, state, role = cell
    row = COMEUP.row(state, COMEUP.commands[name], role)
    assert row is not None

    report = shut_in(COMEUP, row, state, role)

    assert not unnoticed(report, COMEUP, row, state, role)
    assert report is not None
    for finding in report.findings:
        if finding.severity == "error" and finding.story is not None:
            check_story(finding.story)


def test_there_are_no_other_last_ones() -> None:
    """
    The list above is all of them.
    """
    found = {
        (row.command.name, state, role) for row, state, role in last_escapes(COMEUP)
    }

    assert found == {*LAST}


def test_a_ruling_beside_time() -> None:
    """
    Where time rules, the absence of a ruling leaves nobody without an end.
    """
    (cell,) = (
        one
        for one in escapes(ARMED)
        if one[0].command is RuleDispute and one[2] is Role.MEDIATOR
    )

    found = reported(without_row(ARMED, *cell)) - reported(ARMED)

    assert ("no_exit", "disputed") not in found


def test_there_are_enough() -> None:
    """
    Each state in which money is held has one.
    """
    assert {str(state) for _, state in exits(ARMED)} == {
        str(state) for state in ARMED.states if state not in (*ARMED.endings, "frozen")
    }
