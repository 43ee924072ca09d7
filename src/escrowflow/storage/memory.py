"""
The reference: orders in dictionaries, behind one lock.

What another storage does in a better way, this one does in the plainest one.
Nothing survives the process, and nothing that is handed out can change it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter
from threading import Lock
from typing import Any, Final, Self, final

import attrs

from ..errors import InvalidInputError, StorageError
from . import (
    Books,
    Capability,
    Change,
    CommitResult,
    EffectResult,
    NewEffect,
    NewEvent,
    Page,
    Parked,
    Query,
    Receipt,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
    Summary,
)
from .checks import (
    NEVER,
    after_text,
    check_changes,
    check_history,
    check_ids,
    check_limit,
    check_result,
    check_values,
    effect_after,
    effect_place,
    lease_end,
    place_after,
)

__all__ = [
    "MemoryStorage",
]

# What a worker may claim: a claim whose time is over is claimed again.
_CLAIMABLE: Final = frozenset({"waiting", "claimed"})


@attrs.define
class _Order:
    """
    An order, with the journal and all that hangs on it.
    """

    version: int = 0
    process: str = ""
    fingerprint: str = ""
    state: str = ""
    late: bool = False
    books: Books | None = None
    snapshot: bytes = b""
    head: bytes = b""
    parties: frozenset[tuple[str, str]] = frozenset()
    due_at: int | None = None
    parked: Parked | None = None
    lease_until: int | None = None
    unassigned: bool = False
    events: list[StoredEvent] = attrs.field(factory=list)
    # By key, in the order they were asked for.
    effects: dict[str, StoredEffect] = attrs.field(factory=dict)
    receipts: dict[str, Receipt] = attrs.field(factory=dict)
    texts: dict[str, StoredText] = attrs.field(factory=dict)

    def wakes_at(self, now: int, until: int) -> int:
        """
        Return the first instant at which the order may be handed out to whoever asks
        for leases as long as from *now* to *until*.
        """
        if self.due_at is None:
            return NEVER
        free = max(self.due_at, 0 if self.parked is None else self.parked.until)
        lease = 0 if self.lease_until is None else self.lease_until
        if lease - (lease_end(now, until) - now) > max(free, now):
            # Of a clock that is wrong.
            return free
        return max(free, lease)

    def is_known(self, known: Collection[str] | None) -> bool:
        """
        Whether its process has one of these fingerprints.
        """
        return known is None or self.fingerprint in known

    def is_current(self, result: EffectResult) -> bool:
        """
        Whether the claim that came to this is the last one.
        """
        effect = self.effects.get(result.key)
        return (
            effect is not None
            and effect.status != "done"
            and effect.token == result.token
        )

    def settle(self, result: EffectResult) -> None:
        """
        Note what became of an effect.
        """
        self.effects[result.key] = attrs.evolve(
            self.effects[result.key],
            status=result.status,
            attempts=result.attempts,
            ready_at=result.ready_at,
            result=result.body,
        )

    def stored(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Return the order as it is handed out.
        """
        return StoredOrder(
            order_id=order_id,
            version=self.version,
            snapshot=self.snapshot,
            head=self.head,
            due_at=self.due_at,
            parked=self.parked,
            receipt=None if key is None else self.receipts.get(key),
            texts={text.ref: text.text for text in self.texts.values()},
        )


@final
class MemoryStorage:
    """
    Keeps orders for as long as the process lives: for tests and for trying out.

    May be used by any number of threads.

    Implements: `Storage`
    """

    capabilities: Final[frozenset[Capability]] = frozenset()

    def __init__(self) -> None:
        self._lock = Lock()
        self._orders: dict[str, _Order] = {}
        self._closed = False

    @classmethod
    def from_url(cls, _: str, *, create: bool = True) -> Self:
        """
        Return a new one, whatever follows `memory://`.

        Raises:
            InvalidInputError: If it must be there already.
        """
        if not create:
            raise InvalidInputError("url", "what is in memory is always made anew")
        return cls()

    def __repr__(self) -> str:
        return "MemoryStorage()"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- one order ----------------------------------------------------------------

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Return an order, and the receipt of a key, in one trip.
        """
        with self._open():
            order = self._orders.get(order_id)
            if order is None:
                return StoredOrder(order_id=order_id)
            return order.stored(order_id, key)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write changes, each all or nothing; the batch is not.

        Raises:
            InvalidInputError: If there are more than 50, or two of one order.

            StorageError: If a change contradicts itself or the journal.  Nothing
                of the batch was written.
        """
        check_changes(changes)
        with self._open():
            # First look at all, then write: what is refused leaves no trace.
            results = tuple(self._result_of(change) for change in changes)
            for change, result in zip(changes, results, strict=True):
                if result is CommitResult.DONE:
                    self._check(change)
            for change, result in zip(changes, results, strict=True):
                if result is CommitResult.DONE:
                    self._write(change)
            return results

    def _result_of(self, change: Change) -> CommitResult:
        order = self._orders.get(change.order_id)
        fits = (
            (0 if order is None else order.version) == change.expected_version
            and not (order and change.receipt and change.receipt.key in order.receipts)
            and all(
                order is not None and order.is_current(result)
                for result in change.results
            )
        )
        return CommitResult.DONE if fits else CommitResult.CONFLICT

    def _check(self, change: Change) -> None:
        """
        Raise if the change must not become part of the history.
        """
        check_values(
            change.order_id,
            change,
            change.books,
            *change.events,
            *change.effects,
            *change.results,
            *([change.receipt] if change.receipt else ()),
            *change.texts,
        )
        order = self._orders.get(change.order_id, _Order())
        check_history(
            change,
            last_at=order.events[-1].effective_at if order.events else 0,
            settled=any(event.settles for event in order.events),
            keys=order.effects,
        )

    def _write(self, change: Change) -> None:
        order = self._orders.setdefault(change.order_id, _Order())
        order.version = change.version
        order.process = change.process
        order.fingerprint = change.fingerprint
        order.state = change.state
        order.late = change.late
        order.books = change.books
        order.snapshot = change.snapshot
        if change.parties is not None:
            order.parties = frozenset(change.parties)
        order.due_at = change.due_at
        if change.events:
            order.parked = None
            order.lease_until = None
        order.unassigned = change.unassigned
        for event in change.events:
            order.head = event.hash
            order.events.append(StoredEvent(**_fields(event)))
        for effect in change.effects:
            order.effects[effect.key] = StoredEffect(
                order_id=change.order_id, token=0, **_fields(effect)
            )
        for result in change.results:
            order.settle(result)
        if change.receipt is not None:
            order.receipts[change.receipt.key] = change.receipt
        for text in change.texts:
            order.texts.setdefault(text.ref, text)

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        Return the journal after number *after*, oldest first; empty if unknown.
        """
        check_limit(limit)
        with self._open():
            order = self._orders.get(order_id, _Order())
            later = [event for event in order.events if event.seq > after]
            return tuple(later[:limit])

    def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        Return all effects of an order, in the order they were asked for.
        """
        with self._open():
            order = self._orders.get(order_id, _Order())
            return tuple(sorted(order.effects.values(), key=attrgetter("seq")))

    def summary(self, order_id: str) -> Summary | None:
        """
        Return what is kept of an order beside its snapshot; `None` if unknown.
        """
        with self._open():
            order = self._orders.get(order_id)
            if order is None or order.books is None:
                return None
            return Summary(
                process=order.process,
                fingerprint=order.fingerprint,
                state=order.state,
                late=order.late,
                books=order.books,
                parties=tuple(sorted(order.parties)),
                unassigned=order.unassigned,
            )

    def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        Return what the keys of an order stand for, by key.
        """
        with self._open():
            order = self._orders.get(order_id, _Order())
            return tuple(sorted(order.receipts.values(), key=attrgetter("key")))

    def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        Return the texts of an order that still exist, by ref.
        """
        with self._open():
            order = self._orders.get(order_id, _Order())
            return tuple(sorted(order.texts.values(), key=attrgetter("ref")))

    # --- what is next -------------------------------------------------------------

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        Return orders due by *now*, most overdue first, at most *limit*.

        An order that is parked, or was handed out, is not returned before that
        is over.
        """
        check_limit(limit)
        with self._open():
            due = sorted(
                (order.due_at or 0, name)
                for name, order in self._orders.items()
                if order.wakes_at(now, until) <= now and order.is_known(known)
            )
            for _, name in due[:limit]:
                self._orders[name].lease_until = until
            return tuple(self._orders[name].stored(name) for _, name in due[:limit])

    def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        Keep an order from being swept for a while, or no longer.
        """
        with self._open():
            order = self._orders.get(order_id)
            if order is None or order.version != version:
                return False
            if parked is not None:
                check_values(order_id, parked)
            order.parked = parked
            order.lease_until = None
            return True

    def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        Return when `claim_due` would next return an order; `None` for never.
        """
        with self._open():
            earliest = min(
                (
                    order.wakes_at(now, until)
                    for order in self._orders.values()
                    if order.is_known(known)
                ),
                default=NEVER,
            )
            return None if earliest == NEVER else earliest

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredEffect]:
        """
        Return effects that are ready by *now*, each with a new token.

        Those that have been ready longest; until *until* they count as not ready.
        """
        check_limit(limit)
        with self._open():
            ready = sorted(
                (
                    effect
                    for effect in self._claimable(kinds, known)
                    if _ready_at(effect, now, until) <= now
                ),
                key=attrgetter("ready_at", "order_id", "seq", "key"),
            )
            claimed = [
                attrs.evolve(
                    effect,
                    status="claimed",
                    attempts=effect.attempts + 1,
                    token=effect.token + 1,
                    ready_at=until,
                )
                for effect in ready[:limit]
            ]
            for effect in claimed:
                self._orders[effect.order_id].effects[effect.key] = effect
            return tuple(sorted(claimed, key=attrgetter("order_id", "seq", "key")))

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        Write what became of a claimed effect, when no event comes of it.
        """
        check_result(order_id, result)
        with self._open():
            order = self._orders.get(order_id)
            if order is None or not order.is_current(result):
                return False
            check_values(order_id, result)
            order.settle(result)
            return True

    def next_effect(
        self,
        now: int,
        until: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> int | None:
        """
        Return when `claim_effects` would next return one; `None` for never.
        """
        with self._open():
            return min(
                (
                    _ready_at(effect, now, until)
                    for effect in self._claimable(kinds, known)
                ),
                default=None,
            )

    def _claimable(
        self, kinds: Collection[str] | None, known: Collection[str] | None
    ) -> Iterator[StoredEffect]:
        for order in self._orders.values():
            for effect in order.effects.values() if order.is_known(known) else ():
                if effect.status in _CLAIMABLE and (
                    kinds is None or effect.kind in kinds
                ):
                    yield effect

    # --- many orders --------------------------------------------------------------

    def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        Return the effects that do not come back by themselves, of all orders, by
        order and key.
        """
        check_limit(limit)
        place = None if after is None else effect_place(after)
        with self._open():
            hits = sorted(
                (
                    effect
                    for order in self._orders.values()
                    for effect in order.effects.values()
                    if (place is None or (effect.order_id, effect.key) > place)
                    and (
                        effect.status == "parked"
                        or (
                            effect.status in _CLAIMABLE
                            and (
                                effect.ready_at > beyond
                                or (effect.moves_money and effect.ready_at < overdue)
                            )
                        )
                    )
                ),
                key=attrgetter("order_id", "key"),
            )
        items = tuple(hits[:limit])
        return Page(items, effect_after(items[-1]) if len(hits) > limit else None)

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        Return the orders that fit a query.
        """
        check_limit(limit)
        place = place_after(after, by_due=query.by_due)
        with self._open():
            hits = sorted(
                (
                    order.due_at
                    if query.by_due and order.due_at is not None
                    else NEVER,
                    name,
                )
                for name, order in self._orders.items()
                if _fits(order, query)
            )
            hits = [hit for hit in hits if place is None or hit > place]
            items = tuple(self._orders[name].stored(name) for _, name in hits[:limit])
        if len(hits) <= limit:
            return Page(items)
        return Page(items, after_text(*hits[limit - 1], by_due=query.by_due))

    # --- personal texts -----------------------------------------------------------

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        Erase the texts of a person in these orders for good; return how many there
        were.
        """
        check_ids(order_ids)
        with self._open():
            erased = 0
            for name in self._orders.keys() & set(order_ids):
                order = self._orders[name]
                kept = {
                    ref: text
                    for ref, text in order.texts.items()
                    if text.subject_id != subject_id
                }
                erased += len(order.texts) - len(kept)
                order.texts = kept
            return erased

    # --- the storage itself -------------------------------------------------------

    def migrate(self) -> None:
        """
        Do nothing: there is no schema.
        """
        self._open()

    def close(self) -> None:
        """
        Let go of everything.  Harmless when done twice.
        """
        with self._lock:
            self._closed = True
            self._orders = {}

    def _open(self) -> Lock:
        if self._closed:
            raise StorageError("this storage is closed: open another one")
        return self._lock


def _ready_at(effect: StoredEffect, now: int, until: int) -> int:
    """
    Return when an effect may be claimed; at once, if its claim is of a clock that is
    wrong.
    """
    wrong = effect.status == "claimed" and effect.ready_at > lease_end(now, until)
    return now if wrong else effect.ready_at


def _fits(order: _Order, query: Query) -> bool:
    party, role = query.party, query.role
    return (
        (query.states is None or order.state in query.states)
        and (not query.unassigned or order.unassigned)
        and (not query.parked or order.parked is not None)
        and (not query.holding or (order.books is not None and order.books.held > 0))
        and (
            query.due_by is None
            or (order.due_at is not None and order.due_at <= query.due_by)
        )
        and (query.unknown_to is None or order.fingerprint not in query.unknown_to)
        and (
            query.subject is None
            or any(text.subject_id == query.subject for text in order.texts.values())
        )
        and (
            (party is None and role is None)
            or any(
                party in (None, name) and role in (None, part)
                for part, name in order.parties
            )
        )
    )


def _fields(value: NewEvent | NewEffect) -> dict[str, Any]:
    return attrs.asdict(value, recurse=False)
