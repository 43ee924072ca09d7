"""
Orders in an LMDB folder: a storage for escrowflow on a key-value store.

- One write transaction a call: all of it is there afterwards, or nothing.
- Records are JSON, with their bytes behind it; what is looked for in some order
  has an index whose keys sort that way.
- An environment is opened once a process, however many storages use it: LMDB's
  locks do not survive a second one.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice, takewhile
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self, TypeVar, final
from urllib.parse import unquote, urlsplit

import attrs
import lmdb

from escrowflow.errors import InvalidInputError, OutcomeUnknownError, StorageError
from escrowflow.storage import (
    Books,
    Capability,
    Change,
    CommitResult,
    EffectResult,
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
from escrowflow.storage.checks import (
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

__all__ = ["LmdbStorage"]

_T = TypeVar("_T")

# The tables.  `due` has every order, by its deadline; `wake` those that have one, by
# the first instant they may be handed out; `leased` those in a lease; `ready` the
# effects that may be claimed.
_TABLES: Final = (
    *("order", "event", "effect", "receipt", "text"),
    *("due", "wake", "leased", "party", "key", "ready", "aside", "subject"),
)
_SIZE: Final = 2**30
_READERS: Final = 1024
_CLAIMABLE: Final = frozenset({"waiting", "claimed"})


# --- keys -------------------------------------------------------------------------

# A key of LMDB has at most 511 bytes, and an id up to 255 characters of 4 bytes.  Of
# a longer one the beginning sorts, and a hash tells it from the others.
_PREFIX: Final = 200
_DIGEST: Final = 16


def _digest(text: str) -> bytes:
    # Half a character is found nowhere: nothing is ever written under it.
    encoded = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(encoded).digest()[:_DIGEST]


def _prefix(order_id: str) -> bytes:
    """
    Return bytes that sort as ids do; no two short ids have the same ones.
    """
    escaped = order_id.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff")
    return escaped[:_PREFIX].rstrip(b"\0") + b"\0\0"


def _name(order_id: str) -> bytes:
    return _prefix(order_id) + _digest(order_id)


def _at(instant: int | None) -> bytes:
    # Shifted, so that what is below zero sorts first.
    return struct.pack(">Q", (NEVER if instant is None else instant) + 2**63)


def _instant(key: bytes) -> int:
    shifted: int = struct.unpack_from(">Q", key)[0]
    return shifted - 2**63


# --- records ----------------------------------------------------------------------


def _packed(fields: Any, *blobs: bytes) -> bytes:
    head = json.dumps([fields, [len(blob) for blob in blobs]]).encode()
    return b"".join((struct.pack(">I", len(head)), head, *blobs))


def _unpacked(record: bytes) -> tuple[Any, list[bytes]]:
    start = 4 + struct.unpack_from(">I", record)[0]
    fields, sizes = json.loads(record[4:start])
    blobs = []
    for size in sizes:
        blobs.append(record[start : start + size])
        start += size
    return fields, blobs


def _of(value: Any, *blobs: str) -> bytes:
    """
    Return the record of a value, some of whose fields are bytes.
    """
    fields = attrs.asdict(value, filter=lambda field, _: field.name not in blobs)
    return _packed(fields, *(getattr(value, name) for name in blobs))


def _to(kind: Callable[..., _T], record: bytes, *blobs: str) -> _T:
    fields, found = _unpacked(record)
    return kind(**fields, **dict(zip(blobs, found, strict=True)))


@attrs.define(kw_only=True)
class _Order:
    """
    An order, with what the next change of it is judged by.
    """

    order_id: str
    version: int = 0
    process: str = ""
    fingerprint: str = ""
    state: str = ""
    late: bool = False
    books: dict[str, Any] = attrs.field(factory=dict)
    parties: list[list[str]] = attrs.field(factory=list)
    unassigned: bool = False
    due_at: int | None = None
    lease_until: int | None = None
    parked: dict[str, Any] | None = None
    # The last event, whether one of them settles, and how many effects there are.
    last_at: int = 0
    settled: bool = False
    effects: int = 0
    head: bytes = b""
    snapshot: bytes = b""

    def free_at(self) -> int | None:
        """
        Return when it could be handed out if nobody had a lease.
        """
        if self.due_at is None:
            return None
        return max(self.due_at, self.parked["until"] if self.parked else 0)

    def wakes_at(self) -> int | None:
        free = self.free_at()
        return None if free is None else max(free, self.lease_until or 0)

    def wakes_for(self, now: int, until: int) -> int | None:
        """
        Return when it is handed out to whoever asks for leases as long as from *now*
        to *until*: those of a clock that is wrong do not count.
        """
        free = self.free_at()
        if free is None or self.lease_until is None:
            return free
        wrong = self.lease_until - (lease_end(now, until) - now) > max(free, now)
        return free if wrong else max(free, self.lease_until)

    def is_known(self, known: Collection[str] | None) -> bool:
        return known is None or self.fingerprint in known

    def fits(self, query: Query) -> bool:
        return (
            (query.states is None or self.state in query.states)
            and (not query.unassigned or self.unassigned)
            and (not query.parked or self.parked is not None)
            and (not query.holding or self.books.get("held", 0) > 0)
            and (
                query.due_by is None
                or (self.due_at is not None and self.due_at <= query.due_by)
            )
            and (query.unknown_to is None or self.fingerprint not in query.unknown_to)
            and (
                (query.party is None and query.role is None)
                or any(
                    query.role in (None, role) and query.party in (None, party)
                    for role, party in self.parties
                )
            )
        )


# --- one transaction --------------------------------------------------------------


@final
class _Tables:
    """
    The tables inside one transaction.
    """

    def __init__(self, txn: lmdb.Transaction, tables: dict[str, Any]) -> None:
        self.txn = txn
        self.tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        found = self.txn.get(key, db=self.tables[table])
        return None if found is None else bytes(found)

    def put(self, table: str, key: bytes, value: bytes = b"-") -> None:
        self.txn.put(key, value, db=self.tables[table])

    def delete(self, table: str, key: bytes) -> None:
        self.txn.delete(key, db=self.tables[table])

    def walk(
        self, table: str, start: bytes = b"", within: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """
        Yield keys and values from a key on, as long as they begin with *within*.
        """
        with self.txn.cursor(self.tables[table]) as cursor:
            if cursor.set_range(max(start, within)):
                for found, value in cursor:
                    key = bytes(found)
                    if not key.startswith(within):
                        return
                    yield key, bytes(value)

    # --- orders -------------------------------------------------------------------

    def order(self, order_id: str) -> _Order | None:
        return self.named(_name(order_id))

    def named(self, name: bytes) -> _Order | None:
        record = self.get("order", name)
        return None if record is None else _to(_Order, record, "head", "snapshot")

    def write(self, order: _Order) -> None:
        """
        Write an order, and move it in the indexes.
        """
        name = _name(order.order_id)
        before = self.named(name)
        if before is not None:
            self.delete("due", _at(before.due_at) + name)
            self.delete("wake", _at(before.wakes_at()) + name)
            self.delete("leased", name)
            for _, party in before.parties:
                self.delete("party", _digest(party) + name)
        self.put("order", name, _of(order, "head", "snapshot"))
        self.put("due", _at(order.due_at) + name)
        if order.due_at is not None:
            self.put("wake", _at(order.wakes_at()) + name)
        if order.lease_until is not None:
            self.put("leased", name)
        for _, party in order.parties:
            self.put("party", _digest(party) + name)

    def stored(self, order: _Order, key: str | None = None) -> StoredOrder:
        return StoredOrder(
            order_id=order.order_id,
            version=order.version,
            snapshot=order.snapshot,
            head=order.head,
            due_at=order.due_at,
            parked=Parked(**order.parked) if order.parked else None,
            receipt=None if key is None else self.receipt(order.order_id, key),
            texts={text.ref: text.text for text in self.texts(order.order_id)},
        )

    def receipt(self, order_id: str, key: str) -> Receipt | None:
        record = self.get("receipt", _name(order_id) + _digest(key))
        return None if record is None else _to(Receipt, record)

    def texts(self, order_id: str) -> Iterator[StoredText]:
        for _, record in self.walk("text", within=_name(order_id)):
            yield _to(StoredText, record, "salt")

    # --- effects ------------------------------------------------------------------

    def effect(self, place: bytes) -> StoredEffect:
        record = self.get("effect", place)
        assert record is not None
        return _to(StoredEffect, record, "body", "result")

    def write_effect(self, place: bytes, effect: StoredEffect) -> None:
        """
        Write an effect, and move it in the indexes.
        """
        if self.get("effect", place) is not None:
            self.delete("ready", _at(self.effect(place).ready_at) + place)
            self.delete("aside", place)
        self.put("effect", place, _of(effect, "body", "result"))
        if effect.status in _CLAIMABLE:
            self.put("ready", _at(effect.ready_at) + place)
        elif effect.status == "parked":
            self.put("aside", place)

    def current(self, order_id: str, result: EffectResult) -> bytes | None:
        """
        Return the place of an effect, if a result is of its last claim.
        """
        place = self.get("key", _name(order_id) + _digest(result.key))
        if place is None:
            return None
        effect = self.effect(place)
        fits = effect.status != "done" and effect.token == result.token
        return place if fits else None

    def settle(self, place: bytes, result: EffectResult) -> None:
        effect = attrs.evolve(
            self.effect(place),
            status=result.status,
            attempts=result.attempts,
            ready_at=result.ready_at,
            result=result.body,
        )
        self.write_effect(place, effect)

    # --- a change -----------------------------------------------------------------

    def commit(self, change: Change) -> CommitResult:
        """
        Write a change, or find that it conflicts before anything is written.
        """
        order_id, name = change.order_id, _name(change.order_id)
        order = self.order(order_id) or _Order(order_id=order_id)
        places = [self.current(order_id, result) for result in change.results]
        if (
            order.version != change.expected_version
            or None in places
            or (change.receipt and self.receipt(order_id, change.receipt.key))
        ):
            return CommitResult.CONFLICT
        check_values(order_id, change, change.books, *change.events, *change.texts)
        check_values(order_id, *change.effects, *change.results)
        if change.receipt is not None:
            check_values(order_id, change.receipt)
        check_history(
            change,
            last_at=order.last_at,
            settled=order.settled,
            keys={
                effect.key
                for effect in change.effects
                if self.get("key", name + _digest(effect.key)) is not None
            },
        )
        for event in change.events:
            stored = StoredEvent(**attrs.asdict(event))
            self.put("event", name + _at(event.seq), _of(stored, "body", "hash"))
            order.head, order.last_at = event.hash, event.effective_at
            order.settled = order.settled or event.settles
        for effect in change.effects:
            place = name + _at(effect.seq) + _at(order.effects)
            order.effects += 1
            self.put("key", name + _digest(effect.key), place)
            fresh = StoredEffect(order_id=order_id, token=0, **attrs.asdict(effect))
            self.write_effect(place, fresh)
        for found, result in zip(places, change.results, strict=True):
            assert found is not None
            self.settle(found, result)
        if change.receipt is not None:
            key = name + _digest(change.receipt.key)
            self.put("receipt", key, _of(change.receipt))
        for text in change.texts:
            key = name + _digest(text.ref)
            if self.get("text", key) is None:
                self.put("text", key, _of(text, "salt"))
                # By value: two names would not fit into one key.
                whose = _digest(text.subject_id) + hashlib.sha256(key).digest()
                self.put("subject", whose, key)
        if change.events:
            order.parked = order.lease_until = None
        if change.parties is not None:
            order.parties = [list(party) for party in dict.fromkeys(change.parties)]
        order.version, order.process = change.version, change.process
        order.fingerprint, order.state = change.fingerprint, change.state
        order.late, order.unassigned = change.late, change.unassigned
        order.books, order.snapshot = attrs.asdict(change.books), change.snapshot
        order.due_at = change.due_at
        self.write(order)
        return CommitResult.DONE

    # --- many orders --------------------------------------------------------------

    def found(
        self, query: Query, place: tuple[int, str] | None
    ) -> Iterator[tuple[tuple[int, str], _Order]]:
        """
        Yield the orders that fit a query behind a place, each with its own.
        """
        for order in self._candidates(query, place):
            due_at = NEVER if order.due_at is None else order.due_at
            here = (due_at if query.by_due else NEVER, order.order_id)
            if (place is None or here > place) and order.fits(query):
                yield here, order

    def _candidates(
        self, query: Query, place: tuple[int, str] | None
    ) -> Iterable[_Order]:
        if query.party is not None or query.subject is not None:
            # Those of one person are few: they are sorted here.
            chosen: set[bytes] | None = None
            if query.party is not None:
                whose = _digest(query.party)
                chosen = {
                    key[len(whose) :] for key, _ in self.walk("party", within=whose)
                }
            if query.subject is not None:
                texts = self.walk("subject", within=_digest(query.subject))
                keep = {key[:-_DIGEST] for _, key in texts}
                chosen = keep if chosen is None else chosen & keep
            orders = map(self.there, chosen or ())
            return sorted(orders, key=_by_due if query.by_due else _by_id)
        table, skip, start = "order", 0, b""
        if query.by_due:
            table, skip = "due", 8
        if place is not None:
            start = (_at(place[0]) if query.by_due else b"") + _prefix(place[1])
        # Ids that are equal as far as the key goes are put in order here.
        alike = groupby(
            (key for key, _ in self.walk(table, start)),
            key=lambda key: key[:-_DIGEST],
        )
        return (
            order
            for _, keys in alike
            for order in sorted((self.there(key[skip:]) for key in keys), key=_by_id)
        )

    def there(self, name: bytes) -> _Order:
        order = self.named(name)
        assert order is not None
        return order


def _by_id(order: _Order) -> str:
    return order.order_id


def _by_due(order: _Order) -> tuple[int, str]:
    return NEVER if order.due_at is None else order.due_at, order.order_id


# --- environments -----------------------------------------------------------------


@attrs.define
class _Home:
    """
    An environment that this process has open, and how many storages use it.
    """

    env: lmdb.Environment
    tables: dict[str, Any]
    users: int = 0


_HOMES: Final[dict[tuple[int, str], _Home]] = {}
_HOMES_LOCK: Final = Lock()


def _opened(path: str, size: int, *, sync: bool) -> _Home:
    """
    Return the environment of a folder; one a process, and none across a fork.
    """
    with _HOMES_LOCK:
        home = _HOMES.get((os.getpid(), path))
        if home is None:
            Path(path).mkdir(parents=True, exist_ok=True)
            env = lmdb.open(
                path,
                map_size=size,
                max_dbs=len(_TABLES),
                max_readers=_READERS,
                sync=sync,
            )
            tables = {name: env.open_db(name.encode()) for name in _TABLES}
            home = _HOMES[os.getpid(), path] = _Home(env, tables)
        home.users += 1
        return home


def _let_go(path: str) -> None:
    with _HOMES_LOCK:
        # In a process that was forked there is nothing of its own to close.
        home = _HOMES.get((os.getpid(), path))
        if home is not None:
            home.users -= 1
            if not home.users:
                del _HOMES[os.getpid(), path]
                home.env.close()


# --- the storage ------------------------------------------------------------------


@final
class LmdbStorage:
    """
    Keeps orders in an LMDB folder, for any number of threads and processes on one
    machine.  Nothing is opened before it is used.

    Implements: `escrowflow.storage.Storage`

    Args:
        path: The folder.

        size: How large it may become, in bytes.

        sync: Whether a commit waits for the disk.  Without it the last ones may be
            lost with the power, not with the process.
    """

    capabilities: Final = frozenset({Capability.DURABLE, Capability.SHARED})

    def __init__(
        self, path: str | os.PathLike[str], *, size: int = _SIZE, sync: bool = True
    ) -> None:
        self.path = str(Path(path).absolute())
        self.size = size
        self.sync = sync
        self._lock = Lock()
        self._home: _Home | None = None
        self._pid = 0
        self._closed = False

    @classmethod
    def from_url(cls, url: str) -> Self:
        """
        Return the storage a URL names: `"lmdb:///relative"`, `"lmdb:////absolute"`.

        Raises:
            InvalidInputError: If it is none of these.
        """
        parts = urlsplit(url)
        path = unquote(parts.path)[1:]
        if parts.scheme != "lmdb" or parts.netloc or parts.query or not path:
            raise InvalidInputError(
                "url", "'lmdb:///orders' is relative, 'lmdb:////orders' absolute"
            )
        return cls(path)

    def __repr__(self) -> str:
        return f"LmdbStorage({self.path!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[_Tables]:
        """
        Begin a transaction; it is committed at the end, or nothing of it is there.
        """
        try:
            home = self._opened()
            txn = home.env.begin(write=write)
            try:
                yield _Tables(txn, home.tables)
            except BaseException:
                txn.abort()
                raise
            try:
                txn.commit()
            except lmdb.MapFullError:
                raise
            except lmdb.Error as error:
                raise OutcomeUnknownError(f"{self.path}: {error}") from error
        except lmdb.Error as error:
            raise StorageError(f"{self.path}: {error}") from error

    def _opened(self) -> _Home:
        with self._lock:
            if self._closed:
                raise StorageError("this storage is closed: open another one")
            if self._home is None or self._pid != os.getpid():
                self._home = _opened(self.path, self.size, sync=self.sync)
                self._pid = os.getpid()
            return self._home

    def migrate(self) -> None:
        """
        Open the folder: a key-value store has no schema.
        """
        self._opened()

    def close(self) -> None:
        """
        Let go of the folder.  Harmless when done twice.
        """
        with self._lock:
            self._closed = True
            if self._home is not None and self._pid == os.getpid():
                _let_go(self.path)
            self._home = None

    # --- one order ----------------------------------------------------------------

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        See `Storage.load`.
        """
        with self._transaction() as tables:
            order = tables.order(order_id)
            if order is None:
                return StoredOrder(order_id=order_id)
            return tables.stored(order, key)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        See `Storage.commit`.
        """
        check_changes(changes)
        with self._transaction(write=True) as tables:
            return tuple(tables.commit(change) for change in changes)

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        See `Storage.events`.
        """
        check_limit(limit)
        name = _name(order_id)
        with self._transaction() as tables:
            found = tables.walk("event", name + _at(after + 1), within=name)
            return tuple(
                _to(StoredEvent, record, "body", "hash")
                for _, record in islice(found, limit)
            )

    def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        See `Storage.effects`.
        """
        with self._transaction() as tables:
            found = tables.walk("effect", within=_name(order_id))
            return tuple(tables.effect(place) for place, _ in found)

    def summary(self, order_id: str) -> Summary | None:
        """
        See `Storage.summary`.
        """
        with self._transaction() as tables:
            order = tables.order(order_id)
        if order is None:
            return None
        return Summary(
            process=order.process,
            fingerprint=order.fingerprint,
            state=order.state,
            late=order.late,
            books=Books(**order.books),
            parties=tuple(sorted((role, party) for role, party in order.parties)),
            unassigned=order.unassigned,
        )

    def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        See `Storage.receipts`.
        """
        with self._transaction() as tables:
            found = tables.walk("receipt", within=_name(order_id))
            receipts = [_to(Receipt, record) for _, record in found]
        return tuple(sorted(receipts, key=lambda receipt: receipt.key))

    def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        See `Storage.texts`.
        """
        with self._transaction() as tables:
            texts = list(tables.texts(order_id))
        return tuple(sorted(texts, key=lambda text: text.ref))

    # --- what is next -------------------------------------------------------------

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        See `Storage.claim_due`.
        """
        check_limit(limit)
        with self._transaction(write=True) as tables:
            due: list[_Order] = []
            for here, order in tables.found(Query(by_due=True), None):
                if here[0] > now or order.due_at is None or len(due) == limit:
                    break
                wakes_at = order.wakes_for(now, until)
                if wakes_at is not None and wakes_at <= now and order.is_known(known):
                    due.append(order)
            for order in due:
                order.lease_until = until
                tables.write(order)
            return tuple(tables.stored(order) for order in due)

    def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        See `Storage.park`.
        """
        with self._transaction(write=True) as tables:
            order = tables.order(order_id)
            if order is None or order.version != version:
                return False
            if parked is not None:
                check_values(order_id, parked)
            order.parked = None if parked is None else attrs.asdict(parked)
            order.lease_until = None
            tables.write(order)
            return True

    def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        See `Storage.next_due`.
        """
        with self._transaction() as tables:
            soonest = (
                _instant(key)
                for key, _ in tables.walk("wake")
                if known is None or tables.there(key[8:]).is_known(known)
            )
            # Few are leased, and some of their leases may not count.
            leased = (tables.there(name) for name, _ in tables.walk("leased"))
            instants = [
                next(soonest, None),
                *(o.wakes_for(now, until) for o in leased if o.is_known(known)),
            ]
            return min((at for at in instants if at is not None), default=None)

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredEffect]:
        """
        See `Storage.claim_effects`.
        """
        check_limit(limit)
        with self._transaction(write=True) as tables:
            found = self._ready(tables, now, until, kinds, known)
            ready = (
                (place, effect) for instant, place, effect in found if instant <= now
            )
            claimed = []
            for place, effect in list(islice(ready, limit)):
                mine = attrs.evolve(
                    effect,
                    status="claimed",
                    attempts=effect.attempts + 1,
                    token=effect.token + 1,
                    ready_at=until,
                )
                tables.write_effect(place, mine)
                claimed.append(mine)
            claimed.sort(key=lambda effect: (effect.order_id, effect.seq, effect.key))
            return tuple(claimed)

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        See `Storage.settle_effect`.
        """
        check_result(order_id, result)
        with self._transaction(write=True) as tables:
            place = tables.current(order_id, result)
            if place is None:
                return False
            check_values(order_id, result)
            tables.settle(place, result)
            return True

    def next_effect(
        self,
        now: int,
        until: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> int | None:
        """
        See `Storage.next_effect`.
        """
        with self._transaction() as tables:
            found = self._ready(tables, now, until, kinds, known)
            return min((instant for instant, _, _ in found), default=None)

    @staticmethod
    def _ready(
        tables: _Tables,
        now: int,
        until: int,
        kinds: Collection[str] | None,
        known: Collection[str] | None,
    ) -> Iterator[tuple[int, bytes, StoredEffect]]:
        """
        Yield the effects that are ready, longest ready first, then the one that is
        next; then those whose claim is of a clock that is wrong.
        """

        def wanted(effect: StoredEffect) -> bool:
            order = None if known is None else tables.order(effect.order_id)
            return (kinds is None or effect.kind in kinds) and (
                order is None or order.is_known(known)
            )

        end = lease_end(now, until)
        for key, _ in tables.walk("ready"):
            effect = tables.effect(key[8:])
            wrong = effect.status == "claimed" and _instant(key) > end
            if not wrong and wanted(effect):
                yield _instant(key), key[8:], effect
                if _instant(key) > now:
                    break
        for key, _ in tables.walk("ready", _at(end + 1)):
            effect = tables.effect(key[8:])
            if effect.status == "claimed" and wanted(effect):
                yield now, key[8:], effect

    # --- many orders --------------------------------------------------------------

    def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        See `Storage.stuck_effects`.
        """
        check_limit(limit)
        place = ("", "") if after is None else effect_place(after)
        # They wait for a person, so there are few.
        with self._transaction() as tables:
            found = [tables.effect(key) for key, _ in tables.walk("aside")]
            late = tables.walk("ready", _at(beyond + 1))
            found += [tables.effect(key[8:]) for key, _ in late]
            # What is in both is listed once.
            until = _at(min(overdue, beyond + 1))
            past = takewhile(lambda row: row[0] < until, tables.walk("ready"))
            lying = (tables.effect(key[8:]) for key, _ in past)
            found += [effect for effect in lying if effect.moves_money]
        hits = sorted(
            (
                effect
                for effect in found
                if after is None or (effect.order_id, effect.key) > place
            ),
            key=lambda effect: (effect.order_id, effect.key),
        )
        items = tuple(hits[:limit])
        return Page(items, effect_after(items[-1]) if len(hits) > limit else None)

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        See `Storage.find`.
        """
        check_limit(limit)
        place = place_after(after, by_due=query.by_due)
        with self._transaction() as tables:
            hits = list(islice(tables.found(query, place), limit + 1))
            items = tuple(tables.stored(order) for _, order in hits[:limit])
        if len(hits) <= limit:
            return Page(items)
        return Page(items, after_text(*hits[limit - 1][0], by_due=query.by_due))

    # --- personal texts -----------------------------------------------------------

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        check_ids(order_ids)
        whose, names = _digest(subject_id), set(map(_name, order_ids))
        with self._transaction(write=True) as tables:
            found = [
                (entry, key)
                for entry, key in tables.walk("subject", within=whose)
                if key[:-_DIGEST] in names
            ]
            for entry, key in found:
                tables.delete("subject", entry)
                tables.delete("text", key)
            return len(found)
