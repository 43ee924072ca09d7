"""
Reading: an order as of now, its options, its future and its story.

Nothing is written.  What has become due counts, as if it had been settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs
from pendulum import DateTime

from ..casefile import CaseFile, case_file
from ..decisions import Forecast, Option, forecast, options
from ..errors import CorruptJournalError, InvalidInputError
from ..events import (
    CancellationExcused,
    ChargeFailed,
    ClaimFiled,
    ClaimRejected,
    Event,
    OrderFrozen,
    PayoutFailed,
    PayoutRedirected,
    Recorded,
    RefundFailed,
)
from ..inputs import Text, as_id
from ..order import Order
from ..parties import Actor, Role, as_actor
from ..storage import Page, Query, StoredOrder, StoredText
from ..storage.codec import decode_event
from ..timeline import timeline
from .answers import OrderPage, View
from .core import Asking, Core, naming

__all__ = [
    "read_case_file",
    "read_forecast",
    "read_history",
    "read_options",
    "read_order",
    "read_orders",
    "read_view",
]


def _loaded(order_id: str) -> Asking[StoredOrder]:
    loaded: StoredOrder = yield "load", (as_id(order_id, "order_id"),)
    return loaded


def read_order(core: Core, order_id: str, by: Actor | None) -> Asking[Order]:
    """
    See `Engine.order`.
    """
    by = None if by is None else as_actor(by)
    loaded = yield from _loaded(order_id)
    return core.reading(loaded, by).order


def read_orders(
    core: Core, query: Query, after: str | None, limit: int
) -> Asking[OrderPage]:
    """
    See `Engine.orders`.
    """
    known = sorted({name for p in core.processes.values() for name in p.members})
    for state in query.states or ():
        if state not in known:
            raise InvalidInputError(
                "states", f"no state {state!r}: one of {', '.join(known)}"
            )
    page: Page[StoredOrder] = yield "find", (query, after, limit)
    items, unreadable = [], []
    for loaded in page.items:
        try:
            items.append(core.reading(loaded, None).order)
        except CorruptJournalError:
            # One that is damaged must not hide the others.
            unreadable.append(loaded.order_id)
    return OrderPage(tuple(items), page.after, tuple(unreadable))


def read_options(core: Core, order_id: str, by: Actor) -> Asking[tuple[Option, ...]]:
    """
    See `Engine.options`.
    """
    by = as_actor(by)
    loaded = yield from _loaded(order_id)
    return (yield from _options(core, loaded, core.reading(loaded, by).order, by))


def _options(
    core: Core, loaded: StoredOrder, order: Order, by: Actor
) -> Asking[tuple[Option, ...]]:
    process = core.process_of(order)
    unwritable = yield from core.flood(loaded, by, 1)
    return options(process, order, by=by, now=_instant(order), unwritable=unwritable)


def _instant(order: Order) -> DateTime:
    """
    Return the instant an order was read as of.
    """
    assert order.as_of is not None
    return order.as_of


def read_forecast(core: Core, order_id: str, by: Actor | None) -> Asking[Forecast]:
    """
    See `Engine.forecast`.
    """
    by = None if by is None else as_actor(by)
    loaded = yield from _loaded(order_id)
    order = core.reading(loaded, by).order
    return forecast(core.process_of(order), order)


def read_history(
    core: Core, order_id: str, by: Actor | None
) -> Asking[tuple[Recorded, ...]]:
    """
    See `Engine.history`.
    """
    by = None if by is None else as_actor(by)
    loaded = yield from _loaded(order_id)
    core.reading(loaded, by)
    history = yield from core.recorded(loaded)
    return _for_reader(history, by)


def read_view(core: Core, order_id: str, by: Actor | None) -> Asking[View]:
    """
    See `Engine.view`.
    """
    by = None if by is None else as_actor(by)
    loaded = yield from _loaded(order_id)
    due = core.reading(loaded, by)
    order = due.order
    history = yield from core.recorded(loaded)
    found = () if by is None else (yield from _options(core, loaded, order, by))
    return View(
        order=order,
        options=found,
        forecast=forecast(core.process_of(order), order),
        timeline=timeline(_for_reader((*history, *due.recorded), by)),
        as_of=_instant(order),
    )


def read_case_file(core: Core, order_id: str, by: Actor | None) -> Asking[CaseFile]:
    """
    See `Engine.case_file`.
    """
    by = None if by is None else as_actor(by)
    if by is not None and by.role not in Role.MEDIATOR | Role.OPERATOR:
        raise InvalidInputError(
            "by",
            "a case file is for the mediator of the order and for staff: "
            f"a {by.role.text} reads what is for him with view(order_id, by=)",
        )
    loaded = yield from _loaded(order_id)
    due = core.reading(loaded, by)
    journal = yield from core.journal(loaded.order_id, loaded.version)
    # With their salts; one that is erased meanwhile is erased here, too.
    found: Iterable[StoredText] = yield "texts", (loaded.order_id,)
    texts = tuple(found)
    words = {text.ref: text.text for text in texts}
    with naming(loaded.order_id):
        history = tuple(decode_event(one, words, core.events) for one in journal)
    return case_file(
        due.order, history, journal, texts, due=due.recorded, head=loaded.head
    )


def _for_reader(history: Iterable[Recorded], by: Actor | None) -> tuple[Recorded, ...]:
    """
    Return a history as somebody may read it: what is for one side only is told to no
    other, but to those who must know everything.
    """
    if by is None or by.role in Role.MEDIATOR | Role.OPERATOR:
        return tuple(history)
    filer = Role(0)
    found = []
    for recorded in history:
        event = recorded.event
        if isinstance(event, ClaimFiled):
            filer = recorded.by.role
        # Why a mediator did not keep a claim is for its filer (R71).
        readers = (
            filer if isinstance(event, ClaimRejected) else _READERS.get(type(event))
        )
        if readers is not None and by.role not in readers:
            silent = attrs.evolve(event, **{"reason": Text()})
            recorded = attrs.evolve(recorded, event=silent)
        found.append(recorded)
    return tuple(found)


# Whose business it is why: what staff and banks say of one side is not told to the
# other, and what staff suspect to neither.
_READERS: Final[Mapping[type[Event], Role]] = {
    ChargeFailed: Role.BUYER,
    RefundFailed: Role.BUYER,
    PayoutFailed: Role.SELLER,
    PayoutRedirected: Role.SELLER,
    OrderFrozen: Role(0),
    CancellationExcused: Role.SELLER,
}
