"""
The checker notices what is missing: each way by which time ends a wait for money is
taken away, one after the other, and each time that is reported.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from escrowflow.checker import check
from escrowflow.commands import RuleDispute
from escrowflow.errors import ProcessError
from escrowflow.parties import Role
from escrowflow.states import DeadlineKind, Process, Urgency
from tests.given import COMEUP, an_order

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@cache
def reported(process: Process[Any]) -> frozenset[tuple[str, str]]:
    """
    Return what is found about a process.
    """
    report = check(process, order=an_order(payment=None))
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


@pytest.mark.parametrize("process", [COMEUP, ARMED], ids=["published", "armed"])
def test_the_only_escape(process: Process[Any]) -> None:
    """
    Where nothing but a ruling ends a dispute, its absence is reported, and not covered
    by the gap that the process declares.
    """
    rows = tuple(
        row
        for row in process.rows
        if row.command is not RuleDispute or Role.OPERATOR in row.by
    )
    mutant = attrs.evolve(process, name="mutant", rows=rows)

    found = reported(mutant) - reported(process)

    if process is COMEUP:
        assert ("no_exit", "disputed") in found
    else:
        # There, time rules.
        assert ("no_exit", "disputed") not in found


def test_there_are_enough() -> None:
    """
    Each state in which money is held has one.
    """
    assert {str(state) for _, state in exits(ARMED)} == {
        str(state) for state in ARMED.states if state not in (*ARMED.endings, "frozen")
    }
