"""
The pure decision step: rules, events, effects and folding, without any I/O.

Beside it, doing far less: a bare dictionary, and a bare trigger of `transitions`
on one shared machine.
"""

from __future__ import annotations

from typing import Final

import transitions

import escrowflow as ef
from escrowflow.clock import as_utc
from escrowflow.decisions import Decided, decide, options, place
from escrowflow.processes import comeup

from .life import BUYER, STEPS, TABLE, placing
from .rounds import Figures, run, timed

__all__ = ["BARE", "DECIDE", "OPTIONS", "measure"]

BARE: Final = "transitions, bare trigger"
DECIDE: Final = "escrowflow, decide"
OPTIONS: Final = "escrowflow, all options of a buyer, in progress"

ORDERS = 400
NOW = as_utc("2026-05-05T10:00:00+02:00", "now")


class _Model:
    state = "pending"


def measure(*, quick: bool) -> Figures:
    """
    Return the step, and what it costs to say what an actor may do.
    """
    orders = ORDERS // 10 if quick else ORDERS
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
        for _ in range(orders):
            state = "pending"
            for event, _source, _to in TABLE:
                state = table[state, event]

    def bare_trigger() -> None:
        for _ in range(orders):
            model = _Model()
            for event, _source, _to in TABLE:
                machine.events[event].trigger(model)

    def ours() -> None:
        for _ in range(orders):
            order: ef.Order = placed.order
            for command, by in STEPS:
                answer = decide(process, order, command, by=by, now=NOW)
                assert isinstance(answer, Decided)
                order = answer.order

    def offered(order: ef.Order) -> None:
        for _ in range(orders):
            options(process, order, by=BUYER, now=NOW)

    steps = orders * len(STEPS)
    return run(
        {
            BARE: lambda: timed(steps, bare_trigger),
            "a dictionary": lambda: timed(steps, bare_table),
            DECIDE: lambda: timed(steps, ours),
            OPTIONS: lambda: timed(orders, lambda: offered(running)),
            "escrowflow, all options of a buyer, delivered": lambda: timed(
                orders, lambda: offered(delivered)
            ),
        },
        rounds=1 if quick else 9,
    )
