"""
The reference: orders in dictionaries, behind one lock.

What another storage does in a better way, this one does in the plainest one.
Nothing survives the process, and nothing that is handed out can change it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import Final, Self, final

import attrs

from ..errors import StorageError
from . import (
    Capability,
    Change,
    Claim,
    CommitResult,
    Due,
    EffectResult,
    Found,
    Loaded,
    NewText,
    Page,
    Receipt,
    StoredEffect,
    StoredEvent,
)
from .checks import NEVER, RESULTS, after_text, check_changes, check_limit, place_after

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
    state: str = ""
    snapshot: bytes = b""
    parties: frozenset[tuple[str, str]] = frozenset()
    due_at: int | None = None
    parked_until: int | None = None
    lease_until: int | None = None
    unassigned: bool = False
    events: list[StoredEvent] = attrs.field(factory=list)
    effects: list[_Effect] = attrs.field(factory=list)
    receipts: dict[str, Receipt] = attrs.field(factory=dict)
    texts: dict[str, NewText] = attrs.field(factory=dict)

    def wakes_at(self) -> int:
        """
        Return the first instant at which the order may be handed out.
        """
        if self.due_at is None:
            return NEVER
        return max(self.due_at, self.parked_until or 0, self.lease_until or 0)

    def words(self) -> dict[str, str]:
        """
        Return the texts of the order, by ref.
        """
        return {text.ref: text.text for text in self.texts.values()}


@attrs.define
class _Effect:
    stored: StoredEffect
    token: int = 0


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
        self._effects: dict[str, _Effect] = {}
        # Whose text a ref is: refs are unique across orders.
        self._refs: dict[str, _Order] = {}
        self._closed = False

    def __repr__(self) -> str:
        return "MemoryStorage()"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- one order ----------------------------------------------------------------

    def load(self, order_id: str, key: str | None = None) -> Loaded:
        """
        Return an order, and the receipt of a key, in one trip.
        """
        with self._open():
            order = self._orders.get(order_id)
            if order is None:
                return Loaded()
            return Loaded(
                version=order.version,
                snapshot=order.snapshot,
                receipt=None if key is None else order.receipts.get(key),
                texts=order.words(),
            )

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
            keys = set(self._effects)
            for change, result in zip(changes, results, strict=True):
                if result is CommitResult.DONE:
                    self._check(change, keys)
            for change, result in zip(changes, results, strict=True):
                if result is CommitResult.DONE:
                    self._write(change)
            return results

    def _result_of(self, change: Change) -> CommitResult:
        order = self._orders.get(change.order_id)
        fits = (
            (0 if order is None else order.version) == change.expected_version
            and not (order and change.receipt and change.receipt.key in order.receipts)
            and all(self._is_current(change, result) for result in change.results)
        )
        return CommitResult.DONE if fits else CommitResult.CONFLICT

    def _is_current(self, change: Change, result: EffectResult) -> bool:
        effect = self._effects.get(result.key)
        return (
            effect is not None
            and effect.stored.order_id == change.order_id
            and effect.stored.status != "done"
            and effect.token == result.token
        )

    def _check(self, change: Change, keys: set[str]) -> None:
        """
        Raise if the change must not become part of the history.

        Args:
            keys: The keys that are taken; those of the change are added.
        """
        _check_types(change)
        order = self._orders.get(change.order_id)
        before = order.events[-1].effective_at if order else 0
        for event in change.events:
            if event.effective_at < before:
                raise _refused(change, f"event {event.seq} is before the one before it")
            before = event.effective_at
        for effect in change.effects:
            if effect.key in keys:
                raise _refused(change, f"the key of effect {effect.key!r} is taken")
            if not 1 <= effect.seq <= change.version:
                raise _refused(change, f"effect {effect.key!r} has no event")
            keys.add(effect.key)

    def _write(self, change: Change) -> None:
        order = self._orders.setdefault(change.order_id, _Order())
        order.version = change.version
        order.state = change.state
        order.snapshot = change.snapshot
        order.parties = frozenset(change.parties)
        order.due_at = change.due_at
        order.parked_until = change.parked_until
        order.lease_until = None
        order.unassigned = change.unassigned
        for event in change.events:
            order.events.append(
                StoredEvent(
                    seq=event.seq,
                    name=event.name,
                    effective_at=event.effective_at,
                    recorded_at=event.recorded_at,
                    body=event.body,
                )
            )
        for new in change.effects:
            effect = _Effect(
                StoredEffect(
                    order_id=change.order_id,
                    key=new.key,
                    kind=new.kind,
                    seq=new.seq,
                    moves_money=new.moves_money,
                    status="waiting",
                    attempts=0,
                    ready_at=new.ready_at,
                    body=new.body,
                )
            )
            order.effects.append(effect)
            self._effects[new.key] = effect
        for result in change.results:
            effect = self._effects[result.key]
            effect.stored = attrs.evolve(
                effect.stored, status=result.status, ready_at=result.ready_at
            )
        if change.receipt is not None:
            order.receipts[change.receipt.key] = change.receipt
        for text in change.texts:
            if text.ref not in self._refs:
                self._refs[text.ref] = order
                order.texts[text.ref] = text

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
            stored = [effect.stored for effect in order.effects]
            return tuple(sorted(stored, key=lambda effect: effect.seq))

    # --- what is next -------------------------------------------------------------

    def claim_due(self, now: int, until: int, limit: int) -> Sequence[Due]:
        """
        Return orders due by *now*, most overdue first, at most *limit*.

        An order that is parked, or was handed out, is not returned before that
        is over.
        """
        check_limit(limit)
        with self._open():
            due = sorted(
                (order.due_at, order_id)
                for order_id, order in self._orders.items()
                if order.due_at is not None and order.wakes_at() <= now
            )
            claimed = []
            for due_at, order_id in due[:limit]:
                order = self._orders[order_id]
                order.lease_until = until
                claimed.append(
                    Due(order_id=order_id, version=order.version, due_at=due_at)
                )
            return tuple(claimed)

    def next_due(self) -> int | None:
        """
        Return the earliest instant at which an order is due; `None` for none.

        An order that is parked, or was handed out, is due when that is over.
        """
        with self._open():
            earliest = min(
                (order.wakes_at() for order in self._orders.values()), default=NEVER
            )
            return None if earliest == NEVER else earliest

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
    ) -> Sequence[Claim]:
        """
        Return effects that are ready by *now*, each with a fencing token.

        Longest ready first.  Until *until* they count as not ready.
        """
        check_limit(limit)
        with self._open():
            ready = [
                effect
                for order in self._orders.values()
                for effect in sorted(order.effects, key=lambda e: e.stored.seq)
                if effect.stored.status in _CLAIMABLE
                and effect.stored.ready_at <= now
                and (kinds is None or effect.stored.kind in kinds)
            ]
            ready.sort(
                key=lambda e: (e.stored.ready_at, e.stored.order_id, e.stored.seq)
            )
            claims = []
            for effect in ready[:limit]:
                effect.token += 1
                effect.stored = attrs.evolve(
                    effect.stored,
                    status="claimed",
                    attempts=effect.stored.attempts + 1,
                    ready_at=until,
                )
                claims.append(Claim(effect=effect.stored, token=effect.token))
            return tuple(claims)

    # --- many orders --------------------------------------------------------------

    def find(
        self,
        *,
        party: str | None = None,
        role: str | None = None,
        states: Collection[str] | None = None,
        unassigned: bool = False,
        parked: bool = False,
        by_due: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        """
        Return orders, newest id last or soonest due first.

        Soonest due first ends with the orders that wait for nothing.
        """
        check_limit(limit)
        place = place_after(after, by_due=by_due)
        with self._open():
            hits = sorted(
                (order.due_at if by_due and order.due_at is not None else NEVER, name)
                for name, order in self._orders.items()
                if _takes_part(order, party, role)
                and (states is None or order.state in states)
                and (not unassigned or order.unassigned)
                and (not parked or order.parked_until is not None)
            )
            hits = [hit for hit in hits if place is None or hit > place]
            items = tuple(
                Found(
                    order_id=name,
                    version=self._orders[name].version,
                    snapshot=self._orders[name].snapshot,
                    texts=self._orders[name].words(),
                )
                for _, name in hits[:limit]
            )
        if len(hits) <= limit:
            return Page(items=items)
        return Page(items=items, after=after_text(*hits[limit - 1], by_due=by_due))

    # --- personal texts -----------------------------------------------------------

    def texts(self, refs: Sequence[str]) -> Mapping[str, str]:
        """
        Return the texts that still exist, by ref.
        """
        with self._open():
            return {
                ref: self._refs[ref].texts[ref].text
                for ref in refs
                if ref in self._refs
            }

    def erase_texts(self, refs: Sequence[str]) -> int:
        """
        Erase texts for good; return how many there were.
        """
        with self._open():
            known = {ref for ref in refs if ref in self._refs}
            for ref in known:
                del self._refs.pop(ref).texts[ref]
            return len(known)

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
            self._effects = {}
            self._refs = {}

    def _open(self) -> Lock:
        if self._closed:
            raise StorageError("this storage is closed: open another one")
        return self._lock


def _takes_part(order: _Order, party: str | None, role: str | None) -> bool:
    return (party is None and role is None) or any(
        party in (None, name) and role in (None, part) for part, name in order.parties
    )


# --- what a schema would check ----------------------------------------------------

_KINDS: Final[Mapping[object, tuple[type, ...]]] = {
    "str": (str,),
    "bytes": (bytes,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
}


def _check_types(change: Change) -> None:
    for part in (
        change,
        *change.events,
        *change.effects,
        *change.results,
        *([change.receipt] if change.receipt else ()),
        *change.texts,
    ):
        for field in attrs.fields(type(part)):
            value = getattr(part, field.name)
            if not isinstance(value, _KINDS.get(field.type, object)):
                raise _refused(change, f"{field.name} is not {field.type}")
            _check_value(change, field.name, value)
    for role, party in change.parties:
        _check_value(change, "parties", role)
        _check_value(change, "parties", party)
    for result in change.results:
        if result.status not in RESULTS:
            raise _refused(change, f"{result.status!r} is no result of an effect")


def _check_value(change: Change, name: str, value: object) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _refused(change, f"{name} is not Unicode") from error
    if isinstance(value, int) and not -NEVER <= value <= NEVER:
        raise _refused(change, f"{name} has more than 64 bits")


def _refused(change: Change, problem: str) -> StorageError:
    return StorageError(f"order {change.order_id!r}: {problem}")
