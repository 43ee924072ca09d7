"""
Stories: how an order comes to a configuration, played with the code that runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import final

import attrs
from pendulum import DateTime

from ..commands import Command, PlaceOrder
from ..decisions import place
from ..decisions.settling import due_move
from ..events import Recorded
from ..order import Order
from ..parties import Actor, Role
from ..rules import Policies
from ..states import Process
from ..timeline import Line, as_lines, as_text, timeline
from .configurations import Abstraction
from .exploring import START, Edge, acted, next_end, people, settled

__all__ = ["Step", "Story", "told"]

_MICROSECOND = timedelta(microseconds=1)


@final
@attrs.frozen(kw_only=True)
class Step:
    """
    One thing that somebody does.

    Attributes:
        at: When.

        by: Who.

        command: What.
    """

    at: DateTime
    by: Actor
    command: Command


@final
@attrs.frozen(kw_only=True)
class Story:
    """
    What people did, when, and what came of it.

    Attributes:
        process: The process it is about.

        placed: How it begins: the buyer places an order at `START`.

        steps: What people do.

        until: When it ends.

        history: Everything that happened, deadlines included.

        order: The order at the end of it.
    """

    process: Process[Policies] = attrs.field(repr=False)
    placed: PlaceOrder
    steps: tuple[Step, ...]
    until: DateTime
    history: tuple[Recorded, ...] = attrs.field(repr=False, eq=False)
    order: Order = attrs.field(repr=False, eq=False)

    def lines(self, *, locale: str = "en", width: int | None = None) -> list[Line]:
        """
        Return it as the lines of a timeline, in UTC.
        """
        (lines,) = as_lines([timeline(self.history)], locale=locale, width=width)
        return lines

    def text(self, *, locale: str = "en", zone: str = "UTC") -> str:
        """
        Return it as a timeline, a line for each thing that happened.
        """
        return as_text(timeline(self.history), locale=locale, zone=zone)


def told(process: Process[Policies], placed: PlaceOrder, way: Iterable[Edge]) -> Story:
    """
    Return the story of a way through the graph.
    """
    abstraction = Abstraction(process)
    everybody = people(placed)
    buyer = everybody[Role.BUYER]
    first = place(process, placed, by=buyer, order_id="o1", now=START)
    assert first.order is not None
    order, now, history = first.order, START, list(first.recorded)
    steps: list[Step] = []

    def settle(until: DateTime) -> None:
        nonlocal order
        found = settled(process, order, until)
        order = found.order
        history.extend(found.recorded)

    for edge in way:
        end = next_end(process, abstraction, order)
        if edge.when == "expiry":
            life = abstraction.life(order)
            assert life is not None
            case = due_move(process, order, now, life, recorded_at=now)
            order = case.order
            history += case.recorded
            continue
        if edge.by is not None and edge.command is not None:
            if edge.when == "before":
                assert end is not None
                now = end - _MICROSECOND
                settle(now)
            by = everybody[edge.by]
            steps.append(Step(at=now, by=by, command=edge.command))
            case = acted(process, order, by, edge.command, now)
            order = case.order
            history += case.recorded
        if edge.when != "now":
            assert end is not None
            now = end
        settle(now)
    return Story(
        process=process,
        placed=placed,
        steps=tuple(steps),
        until=now,
        history=tuple(history),
        order=order,
    )
