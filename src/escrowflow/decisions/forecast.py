"""
Forecast: what happens to an order if nobody acts any more.
"""

from __future__ import annotations

from typing import final

import attrs
from pendulum import DateTime

from ..errors import LedgerError
from ..money import Money
from ..order import Order
from ..parts import Ending
from ..rules import Policies
from ..states import Process
from .moves import Move, moved
from .settling import MOVES_MAX, due_move, next_due

__all__ = ["Coming", "Forecast", "forecast"]


@final
@attrs.frozen(kw_only=True)
class Coming:
    """
    What the system will do at one instant.

    Attributes:
        at: When.

        deadline: The name of the deadline that ends then.

        subject: What it is about, where there can be several: an offer's id.

        command: The name of what the system does: `complete_silently`.

        state: The state after it.

        late: Whether the order is late after it.

        moved: The money it moves.
    """

    at: DateTime
    deadline: str
    subject: str = ""
    command: str
    state: str
    late: bool
    moved: tuple[Move, ...] = ()


@final
@attrs.frozen(kw_only=True)
class Forecast:
    """
    What happens if nobody acts any more.

    Attributes:
        steps: What the system will do, soonest first.

        state: The state in which the order comes to rest.

        ends_at: When it ends; `None` if it does not end by itself, or has ended.

        ending: Why it ends; `None` if it does not end by itself.

        held: What is still held then: money that waits for a person.
    """

    steps: tuple[Coming, ...]
    state: str
    ends_at: DateTime | None = None
    ending: Ending | None = None
    held: Money


def forecast(process: Process[Policies], order: Order) -> Forecast:
    """
    Return what happens if nobody acts any more.

    Args:
        order: The order, everything that is due already settled.
    """
    ended = order.ending is not None
    steps: list[Coming] = []
    ends_at: DateTime | None = None
    for _ in range(MOVES_MAX):
        found = next_due(process, order)
        if found is None:
            return Forecast(
                steps=tuple(steps),
                state=str(order.state),
                ends_at=ends_at,
                ending=order.ending,
                held=order.ledger.held,
            )
        armed_at, wait = found
        case = due_move(
            process, order, armed_at, wait, recorded_at=max(armed_at, order.recorded_at)
        )
        after = case.order
        steps.append(
            Coming(
                at=case.now,
                deadline=wait.name,
                subject=wait.subject,
                command=process.kinds[wait.name].command.name,
                state=str(after.state),
                late=after.late,
                moved=moved(order, after),
            )
        )
        if not ended and ends_at is None and after.ending is not None:
            ends_at = case.now
        order = after
    raise LedgerError(f"order {order.id!r}: deadlines without an end")
