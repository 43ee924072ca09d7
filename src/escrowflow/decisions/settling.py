"""
Settling: what becomes due is applied at its own instant, before anybody is heard.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ..commands import ExpireOffer
from ..effects import Effect
from ..errors import LedgerError
from ..events import Recorded
from ..order import Order, seen
from ..parties import SYSTEM
from ..parts import Deadline
from ..rules import Policies
from ..states import Process
from .case import Case

__all__ = ["MOVES_MAX", "Decided", "as_of", "due_move", "next_due", "settle"]

# More deadlines than any order can have due at once: a process that needs more
# goes round in circles.
MOVES_MAX: Final = 1000

_Process: TypeAlias = Process[Policies]


@final
@attrs.frozen(kw_only=True)
class Decided:
    """
    What a command does.

    Attributes:
        order: The order after it.

        recorded: What happened, in order; empty if nothing had to.

        effects: What the host must now do.
    """

    order: Order
    recorded: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()


def next_due(process: _Process, order: Order) -> tuple[DateTime, Deadline] | None:
    """
    Return the deadline that comes first, and the instant it is acted on.
    """
    armed_at = process.policies.time.armed_at
    first: tuple[DateTime, Deadline] | None = None
    for wait in order.standing.deadlines:
        if wait.stopped_in or wait.passed:
            continue
        at = armed_at(wait.due_at)
        if (
            first is None
            or at < first[0]
            or (at == first[0] and _rank(process, wait) < _rank(process, first[1]))
        ):
            first = at, wait
    return first


def _rank(process: _Process, wait: Deadline) -> tuple[int, str, str]:
    return process.kinds[wait.name].urgency, wait.name, wait.subject


def settle(
    process: _Process, order: Order, *, now: DateTime, recorded_at: DateTime
) -> Decided:
    """
    Apply every deadline that has passed by *now*, each at its own instant.

    In the order of due instants; what is due at one instant in the order of
    urgency (docs/reference/rules.md).
    """
    recorded: list[Recorded] = []
    effects: list[Effect] = []
    for _ in range(MOVES_MAX):
        found = next_due(process, order)
        if found is None or found[0] > now:
            return Decided(
                order=order, recorded=tuple(recorded), effects=tuple(effects)
            )
        case = due_move(process, order, *found, recorded_at=recorded_at)
        order = case.order
        recorded += case.recorded
        effects += case.effects
    raise LedgerError(f"order {order.id!r}: deadlines without an end")


def due_move(
    process: _Process,
    order: Order,
    armed_at: DateTime,
    wait: Deadline,
    *,
    recorded_at: DateTime,
    kind: type[Case] = Case,
) -> Case:
    """
    Return what the system does at the end of one deadline.

    Args:
        kind: What the case is made as: the checker asks for no effects.
    """
    case = kind(
        process=process,
        order=order,
        by=SYSTEM,
        # A wait that was over when it began counts when it began.
        now=max(armed_at, order.effective_at),
        recorded_at=recorded_at,
        due=wait,
    )
    command = process.kinds[wait.name].command
    case.act(command(offer_id=wait.subject) if command is ExpireOffer else command())
    return case


def as_of(process: _Process, order: Order, now: DateTime) -> Decided:
    """
    Return the order as it is at *now*: what is due applied, nothing written.
    """
    now = max(now, order.effective_at)
    due = settle(process, order, now=now, recorded_at=now)
    return attrs.evolve(due, order=seen(due.order, now))
