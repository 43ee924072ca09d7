"""
The pure decision step: rules, events, effects and folding, without any I/O.

Beside it, doing far less: a bare dictionary, and a bare trigger of `transitions`
on one shared machine.
"""

from __future__ import annotations

import transitions

import escrowflow as ef
from escrowflow.clock import as_utc
from escrowflow.decisions import Decided, decide, options, place
from escrowflow.processes import comeup

from .life import BUYER, STEPS, TABLE, placing
from .rounds import run, timed

__all__ = ["measure"]

ORDERS = 400
NOW = as_utc("2026-05-05T10:00:00+02:00", "now")


class _Model:
    state = "pending"


def measure() -> None:
    """
    Print the step, and what it costs to say what an actor may do.
    """
    process = comeup()
    placed = place(process, placing(), by=BUYER, order_id="o-1", now=NOW)
    assert isinstance(placed, Decided)
    running, delivered = placed.order, placed.order
    for command, by in STEPS[:2]:
        answer = decide(process, delivered, command, by=by, now=NOW)
        assert isinstance(answer, Decided)
        running, delivered = delivered, answer.order
    states = sorted({state for _, *pair in TABLE for state in pair})
    machine = transitions.Machine(
        model=None,
        states=states,
        initial="pending",
        auto_transitions=False,
        transitions=[[event, source, to] for event, source, to in set(TABLE)],
    )
    table = {(source, event): to for event, source, to in TABLE}

    def bare_table() -> None:
        for _ in range(ORDERS):
            state = "pending"
            for event, _source, _to in TABLE:
                state = table[state, event]

    def bare_trigger() -> None:
        for _ in range(ORDERS):
            model = _Model()
            for event, _source, _to in TABLE:
                machine.events[event].trigger(model)

    def ours() -> None:
        for _ in range(ORDERS):
            order: ef.Order = placed.order
            for command, by in STEPS:
                answer = decide(process, order, command, by=by, now=NOW)
                assert isinstance(answer, Decided)
                order = answer.order

    def offered(order: ef.Order) -> None:
        for _ in range(ORDERS):
            options(process, order, by=BUYER, now=NOW)

    steps = ORDERS * len(STEPS)
    print("## The decision step, no I/O\n")
    run(
        {
            "transitions, bare trigger": lambda: timed(steps, bare_trigger),
            "a dictionary": lambda: timed(steps, bare_table),
            "escrowflow, decide": lambda: timed(steps, ours),
            "escrowflow, all options of a buyer, in progress": lambda: timed(
                ORDERS, lambda: offered(running)
            ),
            "escrowflow, all options of a buyer, delivered": lambda: timed(
                ORDERS, lambda: offered(delivered)
            ),
        },
        limit="transitions, bare trigger",
    )
