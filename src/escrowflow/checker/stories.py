"""
Stories: how an order comes to a configuration, played with the code that runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, final

import attrs
from pendulum import DateTime

from ..clock import window_text
from ..commands import Command, PlaceOrder
from ..decisions import place
from ..decisions.settling import due_move
from ..events import Recorded
from ..forms import form_of, plain
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

        abridged: Whether the end of the order's longest life is told without the
            months before it.

        beyond: How many of its steps come after that.
    """

    process: Process[Policies] = attrs.field(repr=False)
    placed: PlaceOrder
    steps: tuple[Step, ...]
    until: DateTime
    history: tuple[Recorded, ...] = attrs.field(repr=False, eq=False)
    order: Order = attrs.field(repr=False, eq=False)
    abridged: bool = False
    beyond: int = 0

    def lines(self, *, locale: str = "en", width: int | None = None) -> list[Line]:
        """
        Return it as the lines of a timeline, in UTC.
        """
        (lines,) = as_lines([timeline(self.history)], locale=locale, width=width)
        return lines

    def code(self, name: str = "story") -> str:
        """
        Return it as a test, to be run on `escrowflow.testing.Bed`.

        Args:
            name: What the test is called: `test_story`.
        """
        return "".join(f"{line}\n" for line in self._code(name))

    def _code(self, name: str) -> Iterator[str]:
        yield f"def test_{name}(process):"
        yield f'    """{self.process.name}, as its checker tells it."""'
        yield f'    bed = Bed(process, start="{START.isoformat()}")'
        yield f"    bed.place({_said(self.placed)})"
        whole = len(self.steps) - self.beyond
        for line in self._played(START, self.steps[:whole]):
            yield f"    {line}"
        if self.abridged:
            yield "    # ... until the longest life of the order ends."
            # What comes then cannot be played without the months before it.
            since = self.steps[whole - 1].at if whole else START
            for line in self._played(since, self.steps[whole:]):
                yield f"    # {line}"
            return
        now = self.steps[-1].at if self.steps else START
        if self.until > now:
            yield f'    bed.wait("{window_text(self.until - now)}")'
        ledger = self.order.ledger
        sums = ", ".join(
            f'{part}="{getattr(ledger, part)}"'
            for part in ("held", "refunded", "released", "kept")
        )
        yield f'    bed.expect("{self.order.state}", late={self.order.late}, {sums})'

    @staticmethod
    def _played(now: DateTime, steps: Iterable[Step]) -> Iterator[str]:
        for step in steps:
            if step.at > now:
                yield f'bed.wait("{window_text(step.at - now)}")'
                now = step.at
            who = _PLAYERS[step.by.role]
            if _worth_saying(step.command):
                yield f"bed.send({_said(step.command)}, by=bed.{who}.actor)"
            else:
                yield f"bed.{who}.{step.command.name}()"

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
    lived: int | None = None

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
            lived = len(steps)
            continue
        if edge.by is not None and edge.command is not None:
            if edge.when == "before":
                assert end is not None
                now = end - _MICROSECOND
                settle(now)
            elif edge.when == "later":
                now = datetime.__add__(now, edge.after)
                settle(now)
            by = everybody[edge.by]
            steps.append(Step(at=now, by=by, command=edge.command))
            case = acted(process, order, by, edge.command, now)
            order = case.order
            history += case.recorded
        if edge.when in ("before", "wait"):
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
        abridged=lived is not None,
        beyond=0 if lived is None else len(steps) - lived,
    )


# What a test bed calls them.
_PLAYERS: Final = {
    Role.BUYER: "buyer",
    Role.SELLER: "seller",
    Role.MEDIATOR: "mediator",
    Role.OPERATOR: "staff",
    Role.PROVIDER: "provider",
}


def _said(command: Command) -> str:
    """
    Return a command as the code that makes it.
    """
    return f"bed.process.parse({command.name!r}, {_worth_saying(command)!r})"


def _worth_saying(command: Command) -> dict[str, Any]:
    """
    Return the fields of a command that a test has to say.
    """
    data: dict[str, Any] = plain(command)
    found, words = {}, {}
    for field in form_of(type(command)):
        value = data[field.name]
        if isinstance(value, dict):
            value = {name: one for name, one in value.items() if one not in _NOTHING}
        if field.kind == "text" and value == "-" and field.required:
            words[field.name] = value
        elif field.required or value not in _NOTHING:
            found[field.name] = value
    # Where words are all there is, the bed fills them in.
    return {**found, **words} if found else {}


_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
