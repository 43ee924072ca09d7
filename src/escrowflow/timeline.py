"""
An order's story for people: who did what, when, and where the money stood.

A pure fold over the history: nothing is stored for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import attrs
from pendulum import DateTime

from .events import Recorded
from .history import evolve
from .ledger import Ledger
from .order import Order
from .parties import Actor

__all__ = ["Moment", "timeline"]

# The fields in which an event carries what somebody said.
_WORDS = ("reason", "text", "note")


@final
@attrs.frozen(kw_only=True)
class Moment:
    """
    One event of an order, as people tell it.

    Attributes:
        at: When it counts.

        recorded_at: When it was written down.

        by: Who caused it; the system for due deadlines.

        event: The name of the event: `order_accepted`.

        said: What somebody said with it; empty if nothing, or if it was erased.

        state: The state after it.

        late: Whether the order was late after it.

        ledger: The books after it.
    """

    at: DateTime
    recorded_at: DateTime
    by: Actor
    event: str
    said: str
    state: str
    late: bool
    ledger: Ledger


def timeline(history: Iterable[Recorded]) -> tuple[Moment, ...]:
    """
    Return the story of an order, oldest first.

    Args:
        history: The whole history, from `order_placed` on.
    """
    order: Order | None = None
    moments = []
    for recorded in history:
        order = evolve(order, recorded)
        event = recorded.event
        parts = (event, getattr(event, "ending", None))
        said = (getattr(part, name, "") for part in parts for name in _WORDS)
        moments.append(
            Moment(
                at=recorded.effective_at,
                recorded_at=recorded.recorded_at,
                by=recorded.by,
                event=event.name,
                said=str(next(filter(None, said), "")),
                state=order.state,
                late=order.late,
                ledger=order.ledger,
            )
        )
    return tuple(moments)
