"""
At the very end: what is kept is altered, and that shows; somebody's words are erased, and
nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import attrs

from ...engine import Engine
from ...errors import OrdersRunningError
from ...storage import StoredEffect, StoredEvent, StoredText
from .world import World

__all__ = ["Evidence"]

_PAGE: Final = 500


def _flipped(body: bytes, place: int) -> bytes:
    """
    Return bytes of which one is another.
    """
    place %= len(body)
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


def _edited(events: list[StoredEvent], place: int, where: int) -> None:
    body = _flipped(events[place].body, where)
    events[place] = attrs.evolve(events[place], body=body)


def _dated_back(events: list[StoredEvent], place: int, where: int) -> None:
    at = events[place].effective_at - 1
    events[place] = attrs.evolve(events[place], effective_at=at)


def _written_later(events: list[StoredEvent], place: int, where: int) -> None:
    at = events[place].recorded_at + 1
    events[place] = attrs.evolve(events[place], recorded_at=at)


def _taken_out(events: list[StoredEvent], place: int, where: int) -> None:
    del events[place]


def _swapped(events: list[StoredEvent], place: int, where: int) -> None:
    first, second = events[place - 1], events[place]
    events[place - 1] = attrs.evolve(second, seq=first.seq)
    events[place] = attrs.evolve(first, seq=second.seq)


# What somebody may do to a history who gets at the tables.
_FORGERIES: Final[Mapping[str, Callable[[list[StoredEvent], int, int], None]]] = {
    "edited": _edited,
    "dated back": _dated_back,
    "written later": _written_later,
    "taken out": _taken_out,
    "swapped": _swapped,
}


@final
class _Altered:
    """
    A storage in which one thing of one order is not what was written.

    Implements: `Storage`, as far as it is read.
    """

    def __init__(
        self,
        inner: Any,
        order_id: str,
        *,
        events: Sequence[StoredEvent],
        effects: Sequence[StoredEffect],
        texts: Sequence[StoredText],
    ) -> None:
        self._inner = inner
        self._order_id = order_id
        self._events = events
        self._kept: Mapping[str, Any] = {"effects": effects, "texts": texts}

    def __getattr__(self, verb: str) -> Any:
        inner = getattr(self._inner, verb)
        kept = self._kept.get(verb)
        if kept is None:
            return inner
        return lambda order_id: kept if order_id == self._order_id else inner(order_id)

    def load(self, *values: Any) -> Any:
        """
        Return an order, as it is.
        """
        return self._inner.load(*values)

    def events(
        self, order_id: str, after: int = 0, limit: int = _PAGE
    ) -> Sequence[StoredEvent]:
        """
        Return the journal of an order, altered.
        """
        if order_id != self._order_id:
            found: Sequence[StoredEvent] = self._inner.events(order_id, after, limit)
            return found
        return [event for event in self._events if event.seq > after][:limit]


@final
class Evidence:
    """
    What becomes of a world that somebody gets at, and of somebody's words.

    Args:
        engine: The engine that is asked.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine
        self._fail = world.auditor.fail

    def holds(self) -> None:
        """
        Alter one thing, and forget one person.
        """
        written = [
            name
            for name, shadow in sorted(self._world.auditor.orders.items())
            if shadow.version
        ]
        if written:
            self._world.tape.section("evidence")
            kept = [*written, *self._wallets()]
            self._is_noticed(self._world.tape.pick("altered", kept))
            self._is_forgotten(written)

    def _wallets(self) -> Sequence[str]:
        """
        Return the wallets in which there is something to alter.
        """
        purses = self._world.auditor.purses
        if not self._world.withdraws:
            return ()
        return [name for name in purses.ids if purses.head(name)[0] > 1]

    def _is_noticed(self, order_id: str) -> None:
        """
        I33: whatever is altered shows.
        """
        tape, inner = self._world.tape, self._world.inner
        events: list[StoredEvent] = []
        while page := inner.events(order_id, len(events), _PAGE):
            events += page
        effects, texts = [*inner.effects(order_id)], [*inner.texts(order_id)]
        what = tape.choose("what", 8)
        where = tape.choose("where", 10_000)
        if what == 0 and effects:
            place = tape.choose("effect", len(effects))
            body = _flipped(effects[place].body, where)
            effects[place] = attrs.evolve(effects[place], body=body)
            how = "an effect"
        elif what == 1 and texts:
            place = tape.choose("text", len(texts))
            text = attrs.evolve(texts[place], text=f"{texts[place].text}.")
            texts[place] = text
            how = "a text"
        else:
            how = tape.pick("how", [*_FORGERIES])
            place = tape.choose("place", len(events) - 1) + 1
            _FORGERIES[how](events, place, where)
        altered: Any = _Altered(
            inner, order_id, events=events, effects=effects, texts=texts
        )
        engine = self._world.engine(self._world.nodes[0], altered)
        self._world.count["altered"] += 1
        if not engine.verify(order_id).faults:
            self._fail("I33", f"nobody notices what was done to it: {how}", order_id)

    def _is_forgotten(self, written: Sequence[str]) -> None:
        """
        I32: of somebody who is erased no word stays, and every history proves itself.
        """
        orders = self._world.auditor.orders
        people = sorted(
            {
                name
                for one in written
                for name in (orders[one].buyer_id, orders[one].seller_id)
            }
        )
        subject = self._world.tape.pick("forgotten", people)
        try:
            words = self._engine.erase(subject)
        except OrdersRunningError:
            self._world.count["too early to erase"] += 1
            return
        self._world.count["erased"] += bool(words)
        for order_id in written:
            texts = self._world.inner.texts(order_id)
            if any(text.subject_id == subject for text in texts):
                self._fail("I32", "words of somebody who was erased stay", order_id)
        theirs = [
            one
            for one in written
            if subject in (orders[one].buyer_id, orders[one].seller_id)
        ]
        for fault in self._engine.verify(theirs[0]).faults:
            self._fail("I32", f"after an erasure: {fault.problem}", theirs[0])
