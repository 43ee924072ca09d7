"""
Orders in one SQLite file, with nothing but the standard library.

- A change is safe by the version check; the schema refuses, even to raw SQL, what
  must not become history.
- One writer at a time: threads queue for a lock, processes for SQLite's.
- Each thread has its own connection, opened when it is first needed; a connection
  never crosses a fork.

`sqlite3` is known here and nowhere else; its errors do not leave this module.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from threading import Lock, local
from types import SimpleNamespace
from typing import Any, Final, Self, TypeAlias, TypeVar, final
from urllib.parse import parse_qsl, unquote, urlsplit
from weakref import WeakSet

import attrs

from ..errors import InvalidInputError, OutcomeUnknownError, StorageError
from . import (
    Capability,
    Change,
    Claim,
    CommitResult,
    Due,
    Found,
    Loaded,
    Page,
    Receipt,
    StoredEffect,
    StoredEvent,
)
from .checks import NEVER, RESULTS, after_text, check_changes, check_limit, place_after

__all__ = ["SqliteStorage"]

_T = TypeVar("_T")
_Cursor: TypeAlias = sqlite3.Cursor
_Rows: TypeAlias = list[tuple[Any, ...]]

_IN_MEMORY: Final = ":memory:"

# A day: whoever waits longer for a lock is not waiting but stuck.
_TIMEOUT_MAX: Final = 86_400.0

# What SQLite calls them.
_LEVELS: Final = {"full": "FULL", "relaxed": "NORMAL"}

# How often somebody else may be in the way of the switch to a write-ahead log.
_SWITCHES_MAX: Final = 100

# Pages of the log after which it is written back: 16 MB.  SQLite's own 1000 would
# write the same pages back four times as often, and wait for the disk each time;
# above 4062 the log's index needs a second block.
_LOG_PAGES: Final = 4000

# What sqlite3 raises, also for values it cannot bind.
_FOREIGN: Final = (sqlite3.Error, OverflowError, UnicodeEncodeError)

# --- the schema -------------------------------------------------------------------

_SCHEMA_VERSION: Final = 1

# Each statement is written as SQLite keeps it, so that what is there can be compared
# to it, to the letter.
#
# - STRICT tables turn away what is not a whole number; a plain INTEGER column would
#   take 'abc' and 1.5 as they are.
# - A trigger costs only those statements that set its columns.
# - `parties` is only compared, to see whether the table of parties is up to date.
# - Events lie beside those of their order; effects are appended.
_DDL: Final = """\
CREATE TABLE escrowflow_meta (
    name TEXT PRIMARY KEY, value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE escrowflow_order (
    order_id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version >= 1),
    process TEXT NOT NULL, state TEXT NOT NULL,
    due_at INTEGER, parked_until INTEGER, lease_until INTEGER,
    unassigned INTEGER NOT NULL CHECK (unassigned IN (0, 1)),
    parties TEXT NOT NULL, snapshot BLOB NOT NULL
) STRICT;
CREATE TABLE escrowflow_event (
    order_id TEXT NOT NULL REFERENCES escrowflow_order,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    name TEXT NOT NULL,
    effective_at INTEGER NOT NULL CHECK (effective_at >= 0),
    recorded_at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (order_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE escrowflow_effect (
    place INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL, seq INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    moves_money INTEGER NOT NULL CHECK (moves_money IN (0, 1)),
    status TEXT NOT NULL DEFAULT 'waiting'
        CHECK (status IN ('waiting', 'claimed', 'done', 'parked')),
    attempts INTEGER NOT NULL DEFAULT 0, token INTEGER NOT NULL DEFAULT 0,
    ready_at INTEGER NOT NULL,
    body BLOB NOT NULL, result BLOB NOT NULL DEFAULT x'',
    FOREIGN KEY (order_id, seq) REFERENCES escrowflow_event
) STRICT;
CREATE TABLE escrowflow_receipt (
    order_id TEXT NOT NULL REFERENCES escrowflow_order, key TEXT NOT NULL,
    fingerprint TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (order_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE escrowflow_party (
    order_id TEXT NOT NULL REFERENCES escrowflow_order,
    role TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (order_id, role, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE escrowflow_text (
    order_id TEXT NOT NULL REFERENCES escrowflow_order,
    ref TEXT NOT NULL PRIMARY KEY,
    subject_id TEXT NOT NULL, salt BLOB NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE INDEX escrowflow_order_due ON escrowflow_order (due_at, order_id)
    WHERE due_at IS NOT NULL;
CREATE INDEX escrowflow_order_held ON escrowflow_order (order_id)
    WHERE parked_until IS NOT NULL OR lease_until IS NOT NULL;
CREATE INDEX escrowflow_order_unassigned ON escrowflow_order (order_id)
    WHERE unassigned = 1;
CREATE INDEX escrowflow_effect_order ON escrowflow_effect (order_id, seq);
CREATE INDEX escrowflow_effect_ready ON escrowflow_effect (ready_at)
    WHERE status IN ('waiting', 'claimed');
CREATE UNIQUE INDEX escrowflow_party_order ON escrowflow_party (id, order_id, role);
CREATE INDEX escrowflow_text_order ON escrowflow_text (order_id);
CREATE TRIGGER escrowflow_order_grows
BEFORE UPDATE OF order_id, version ON escrowflow_order
WHEN NEW.version < OLD.version OR NEW.order_id <> OLD.order_id
BEGIN SELECT RAISE(ABORT, 'the version of an order only grows'); END;
CREATE TRIGGER escrowflow_order_stays BEFORE DELETE ON escrowflow_order
BEGIN SELECT RAISE(ABORT, 'an order is never deleted'); END;
CREATE TRIGGER escrowflow_event_follows BEFORE INSERT ON escrowflow_event
WHEN NOT ifnull((
    SELECT NEW.seq = seq + 1 AND NEW.effective_at >= effective_at
    FROM escrowflow_event WHERE order_id = NEW.order_id ORDER BY seq DESC LIMIT 1
), NEW.seq = 1)
BEGIN SELECT RAISE(ABORT, 'an event follows the last one, in number and time'); END;
CREATE TRIGGER escrowflow_event_fixed BEFORE UPDATE ON escrowflow_event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER escrowflow_event_stays BEFORE DELETE ON escrowflow_event
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
CREATE TRIGGER escrowflow_effect_fixed
BEFORE UPDATE OF place, order_id, seq, key, kind, moves_money, body ON escrowflow_effect
BEGIN SELECT RAISE(ABORT, 'what an effect asks for is never changed'); END;
CREATE TRIGGER escrowflow_effect_fenced
BEFORE UPDATE OF status, token ON escrowflow_effect
WHEN OLD.status = 'done' OR NEW.token < OLD.token
BEGIN SELECT RAISE(ABORT, 'an effect is done once, and its token only grows'); END;
CREATE TRIGGER escrowflow_effect_stays BEFORE DELETE ON escrowflow_effect
WHEN OLD.status <> 'done'
BEGIN SELECT RAISE(ABORT, 'an effect is never deleted before it is done'); END;
"""
_SCHEMA: Final = _DDL.split(";\n")[:-1]

# --- the statements ---------------------------------------------------------------

# One statement, so that all of it is of one moment.
_LOAD: Final = """
SELECT o.version, o.snapshot, r.fingerprint, r.first, r.last
FROM escrowflow_order o
LEFT JOIN escrowflow_receipt r ON r.order_id = o.order_id AND r.key = ?2
WHERE o.order_id = ?1
UNION ALL
SELECT NULL, ref, text, NULL, NULL FROM escrowflow_text WHERE order_id = ?1
"""

_INSERT_ORDER: Final = """
INSERT INTO escrowflow_order (
    version, process, state, due_at, parked_until, unassigned, snapshot,
    order_id, parties
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (order_id) DO NOTHING
"""
_UPDATE_ORDER: Final = """
UPDATE escrowflow_order SET
    version = ?, process = ?, state = ?, due_at = ?, parked_until = ?,
    lease_until = NULL, unassigned = ?, snapshot = ?
WHERE order_id = ? AND parties = ? AND version = ?
"""
_SET_PARTIES: Final = """
UPDATE escrowflow_order SET parties = ? WHERE order_id = ? AND version = ?
"""
_DELETE_PARTIES: Final = "DELETE FROM escrowflow_party WHERE order_id = ?"
_INSERT_PARTY: Final = "INSERT INTO escrowflow_party VALUES (?, ?, ?)"
_INSERT_EVENT: Final = "INSERT INTO escrowflow_event VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_EFFECT: Final = """
INSERT INTO escrowflow_effect (order_id, seq, key, kind, moves_money, ready_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_SETTLE_EFFECT: Final = """
UPDATE escrowflow_effect SET status = ?, ready_at = ?, result = ?
WHERE key = ? AND token = ? AND order_id = ? AND status <> 'done'
"""
_INSERT_RECEIPT: Final = """
INSERT INTO escrowflow_receipt VALUES (?, ?, ?, ?, ?)
ON CONFLICT (order_id, key) DO NOTHING
"""
_INSERT_TEXT: Final = """
INSERT INTO escrowflow_text VALUES (?, ?, ?, ?, ?) ON CONFLICT (ref) DO NOTHING
"""

# The values of these statements; of all but the first, behind the order's id.
_of_order: Final = attrgetter(
    *("version", "process", "state", "due_at", "parked_until", "unassigned"),
    *("snapshot", "order_id"),
)
_of_event: Final = attrgetter("seq", "name", "effective_at", "recorded_at", "body")
_of_effect: Final = attrgetter("seq", "key", "kind", "moves_money", "ready_at", "body")
_of_result: Final = attrgetter("status", "ready_at", "body", "key", "token")
_of_receipt: Final = attrgetter("key", "fingerprint", "first", "last")
_of_text: Final = attrgetter("ref", "subject_id", "salt", "text")

_EVENT: Final = tuple(field.name for field in attrs.fields(StoredEvent))
_EVENTS: Final = f"""
SELECT {", ".join(_EVENT)} FROM escrowflow_event
WHERE order_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""
_EFFECT: Final = tuple(field.name for field in attrs.fields(StoredEffect))
_EFFECTS: Final = f"""
SELECT {", ".join(_EFFECT)} FROM escrowflow_effect
WHERE order_id = ? ORDER BY seq, place
"""
_READY_EFFECTS: Final = f"""
SELECT {", ".join(_EFFECT)}, token FROM escrowflow_effect
WHERE status IN ('waiting', 'claimed') AND ready_at <= :now{{wanted}}
ORDER BY ready_at, order_id, seq, place LIMIT :limit
"""
_CLAIM_EFFECT: Final = """
UPDATE escrowflow_effect
SET status = 'claimed', attempts = attempts + 1, token = token + 1, ready_at = ?
WHERE key = ?
"""
_CLAIM_DUE: Final = """
UPDATE escrowflow_order SET lease_until = ?2 WHERE order_id IN (
    SELECT order_id FROM escrowflow_order
    WHERE due_at <= ?1
        AND (lease_until IS NULL OR lease_until <= ?1)
        AND (parked_until IS NULL OR parked_until <= ?1)
    ORDER BY due_at, order_id LIMIT ?3
) RETURNING due_at, order_id, version
"""
# Few orders are held back; of the others the index knows the first.
_NEXT_DUE: Final = """
SELECT min(instant) FROM (
    SELECT * FROM (
        SELECT due_at AS instant FROM escrowflow_order
        WHERE due_at IS NOT NULL AND parked_until IS NULL AND lease_until IS NULL
        ORDER BY due_at LIMIT 1
    )
    UNION ALL
    SELECT max(due_at, ifnull(parked_until, 0), ifnull(lease_until, 0))
    FROM escrowflow_order
    WHERE due_at IS NOT NULL AND (parked_until IS NOT NULL OR lease_until IS NOT NULL)
)
"""
_TEXT: Final = "SELECT ref, text FROM escrowflow_text WHERE ref = ?"
_TEXTS: Final = "SELECT ref, text FROM escrowflow_text WHERE order_id = ?"
_ERASE_TEXT: Final = "DELETE FROM escrowflow_text WHERE ref = ?"

# The parts of what is found, each in the order of an index: which orders, in which
# order, and which of them lie behind the last page.
_BY_ID: Final = (("TRUE", "order_id", "o.order_id > :order_id"),)
_BY_DUE: Final = (
    ("due_at NOTNULL", "due_at, order_id", "(due_at, o.order_id) > (:due, :order_id)"),
    ("due_at ISNULL", "order_id", f"({NEVER}, o.order_id) > (:due, :order_id)"),
)

# --- connections ------------------------------------------------------------------


class _TooLate(Exception):  # noqa: N818
    """
    The change at hand conflicts.  What it wrote must be rolled back.
    """


@final
class _Link:
    """
    One connection.  Whoever uses it holds its lock.

    It closes itself when its thread ends, but never in a process that was forked
    from its own: there it would drop the locks of the parent, and could write an
    old log into the file.

    Source: https://www.sqlite.org/howtocorrupt.html, section 2.6.
    """

    def __init__(self, connection: sqlite3.Connection, writer: Lock) -> None:
        self._pid = os.getpid()
        self.connection = connection
        self.cursor = connection.cursor()
        self.lock = Lock()
        self.writer = writer

    def __del__(self) -> None:
        if self._pid == os.getpid():
            self.connection.close()
            return
        # One reference too many: it is never closed, not even at the exit.  (At the
        # exit itself nothing can be imported any more.)
        with suppress(ImportError):
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))


@final
class _Home:
    """
    What one process has opened.
    """

    def __init__(self, *, shared: bool) -> None:
        self.pid = os.getpid()
        # Threads that write wait here, in turn, instead of polling SQLite's lock.
        self.writer = Lock()
        self.lock = Lock()
        self.links: WeakSet[_Link] = WeakSet()
        # The link of each thread; for a database in memory, the one of all.
        self.own: Any = SimpleNamespace() if shared else local()


def _as_path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidInputError("path", "the path of a file, or ':memory:'")
    # A later change of directory must not lead to another file.
    return text if text == _IN_MEMORY else str(Path(text).absolute())


def _as_durability(durability: str) -> str:
    if durability in _LEVELS:
        return durability
    raise InvalidInputError("durability", f"one of {', '.join(_LEVELS)}")


def _as_seconds(window: timedelta | float) -> float:
    if isinstance(window, timedelta):
        window = window.total_seconds()
    if type(window) in (int, float) and 0 <= window <= _TIMEOUT_MAX:
        return float(window)
    raise InvalidInputError("busy_timeout", "seconds, or a `timedelta`; at most a day")


# --- the storage ------------------------------------------------------------------


@final
@attrs.define(eq=False)
class SqliteStorage:
    """
    Keeps orders in one SQLite file, for any number of threads and processes on one
    machine.

    Nothing is opened before it is used, so it may be built at import and before a
    fork.  The file, and the tables in it, are made when they are first needed.

    Implements: `Storage`

    Attributes:
        path: The file; `":memory:"` for a database that only this object sees.

        durability: `"full"`: what was committed survives a loss of power.
            `"relaxed"`: the last commits may be lost then, whole and from the end;
            not when the process dies.

        busy_timeout: How long a write waits for the writers before it, in seconds
            or as a `timedelta`.

    Raises:
        InvalidInputError: If an argument is none of these.

    Source: https://www.sqlite.org/wal.html, "Performance Considerations".
    """

    path: str = attrs.field(converter=_as_path)
    durability: str = attrs.field(
        default="full", converter=_as_durability, kw_only=True
    )
    busy_timeout: float = attrs.field(default=5.0, converter=_as_seconds, kw_only=True)
    _connection: type[sqlite3.Connection] = attrs.field(
        default=sqlite3.Connection, init=False, repr=False
    )
    _home: _Home = attrs.field(init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False, repr=False)

    @_home.default
    def _new_home(self) -> _Home:
        return _Home(shared=self.path == _IN_MEMORY)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """
        Return the storage a URL names.

        Args:
            url: `"sqlite:///orders.db"` (relative), `"sqlite:////var/orders.db"`
                (absolute), `"sqlite://"` (in memory); then `?durability=relaxed`,
                if wanted.  Special characters of a path are percent-encoded.

        Raises:
            InvalidInputError: If it is none of these.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise InvalidInputError("url", str(error)) from error
        if parts.scheme != "sqlite" or parts.netloc or parts.fragment:
            raise InvalidInputError(
                "url",
                "'sqlite:///orders.db' is relative, 'sqlite:////orders.db' absolute",
            )
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        if names not in ([], ["durability"]):
            raise InvalidInputError("url", "only `durability` can be asked for, once")
        durability = parts.query.partition("=")[2] if names else "full"
        path = unquote(parts.path)
        return cls(path[1:] if path else _IN_MEMORY, durability=durability)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs: nothing, in memory.
        """
        if self.path == _IN_MEMORY:
            return frozenset()
        return frozenset({Capability.DURABLE, Capability.SHARED})

    # --- one order ----------------------------------------------------------------

    def load(self, order_id: str, key: str | None = None) -> Loaded:
        """
        Return an order, and the receipt of a key, in one trip.

        Raises:
            StorageError: If it could not be read.
        """
        rows = self._read(_LOAD, (order_id, key))
        if not rows:
            return Loaded()
        # The order comes first; what follows are its texts.
        version, snapshot, fingerprint, first, last = rows[0]
        return Loaded(
            version=version,
            snapshot=snapshot,
            receipt=None
            if key is None or fingerprint is None
            else Receipt(key=key, fingerprint=fingerprint, first=first, last=last),
            texts={ref: text for _, ref, text, *_ in rows[1:]},
        )

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write changes, each all or nothing; the batch is not.

        Raises:
            InvalidInputError: If there are more than 50, or two of one order.

            StorageError: If it failed, or the schema refuses a change.  Nothing of
                the batch was written.

            OutcomeUnknownError: If it cannot be said whether it was written.
        """
        check_changes(changes)
        if len(changes) == 1:
            change = changes[0]
            try:
                # The transaction is savepoint enough.
                self._write(lambda db: _put(db, change), changes)
            except _TooLate:
                return (CommitResult.CONFLICT,)
            return (CommitResult.DONE,)
        return self._commit_many(changes) if changes else ()

    def _commit_many(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        done: list[Change] = []

        def write(db: _Cursor) -> None:
            for change in changes:
                db.execute("SAVEPOINT change")
                try:
                    _put(db, change)
                    done.append(change)
                except _TooLate:
                    db.execute("ROLLBACK TO change")
                db.execute("RELEASE change")

        self._write(write, done)
        written = {change.order_id for change in done}
        return tuple(
            CommitResult.DONE if change.order_id in written else CommitResult.CONFLICT
            for change in changes
        )

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        Return the journal after number *after*, oldest first; empty if unknown.
        """
        check_limit(limit)
        rows = self._read(_EVENTS, (order_id, after, limit))
        return tuple(StoredEvent(**dict(zip(_EVENT, row, strict=True))) for row in rows)

    def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        Return all effects of an order, in the order they were asked for.
        """
        return tuple(_effect(row) for row in self._read(_EFFECTS, (order_id,)))

    # --- what is next -------------------------------------------------------------

    def claim_due(self, now: int, until: int, limit: int) -> Sequence[Due]:
        """
        Return orders due by *now*, most overdue first, at most *limit*.

        An order that is parked, or was handed out, is not returned before that
        is over.
        """
        check_limit(limit)
        rows = self._write(
            lambda db: db.execute(_CLAIM_DUE, (now, until, limit)).fetchall()
        )
        return tuple(
            Due(order_id=order_id, version=version, due_at=due_at)
            for due_at, order_id, version in sorted(rows)
        )

    def next_due(self) -> int | None:
        """
        Return the earliest instant at which an order is due; `None` for none.

        An order that is parked, or was handed out, is due when that is over.
        """
        instant: int | None = self._read(_NEXT_DUE)[0][0]
        return instant

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
        wanted, values = _among("kind", kinds)
        sql = _READY_EFFECTS.format(wanted=wanted)
        values |= {"now": now, "limit": limit}

        def claim(db: _Cursor) -> _Rows:
            rows = db.execute(sql, values).fetchall()
            db.executemany(_CLAIM_EFFECT, [(until, row[1]) for row in rows])
            return rows

        return tuple(
            Claim(
                effect=_effect((*row[:5], "claimed", row[6] + 1, until, row[8])),
                token=row[9] + 1,
            )
            for row in self._write(claim)
        )

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
        wanted, values = _among("state", states)
        sql = _search(party, role) + wanted
        sql += " AND unassigned = 1" if unassigned else ""
        sql += " AND parked_until IS NOT NULL" if parked else ""
        values |= {"party": party, "role": role, "limit": limit + 1}
        if place is not None:
            values["due"], values["order_id"] = place
        parts = [
            f"SELECT * FROM ({sql} AND {where} AND {behind if place else 'TRUE'}"
            f" ORDER BY {order} LIMIT :limit)"
            for where, order, behind in (_BY_DUE if by_due else _BY_ID)
        ]
        rows = self._read(" UNION ALL ".join(parts), values)
        rows.sort(key=lambda row: (row[3] if by_due else NEVER, row[0]))
        items = tuple(
            Found(
                order_id=order_id,
                version=version,
                snapshot=snapshot,
                texts=dict(self._read(_TEXTS, (order_id,))),
            )
            for order_id, version, snapshot, _ in rows[:limit]
        )
        if len(rows) <= limit:
            return Page(items=items)
        last = rows[limit - 1]
        return Page(items=items, after=after_text(last[3], last[0], by_due=by_due))

    # --- personal texts -----------------------------------------------------------

    def texts(self, refs: Sequence[str]) -> Mapping[str, str]:
        """
        Return the texts that still exist, by ref.
        """
        return dict(row for ref in refs for row in self._read(_TEXT, (ref,)))

    def erase_texts(self, refs: Sequence[str]) -> int:
        """
        Erase texts for good; return how many there were.

        Their bytes are overwritten in the file.  They leave its log, too, unless
        somebody else was reading all the time; then when the last one closes it.
        """
        erased = self._write(
            lambda db: db.executemany(_ERASE_TEXT, [(ref,) for ref in refs]).rowcount
        )
        self._read("PRAGMA wal_checkpoint(TRUNCATE)")
        return max(erased, 0)

    # --- the storage itself -------------------------------------------------------

    def migrate(self) -> None:
        """
        Bring the schema up to date; safe to call by several at once.

        Raises:
            StorageError: If the schema is newer than this release, or damaged.
        """
        self._link()

    def close(self) -> None:
        """
        Close the connections of this process.  Harmless when done twice.
        """
        self._closed = True
        home = self._home
        if home.pid == os.getpid():
            with home.lock:
                for link in list(home.links):
                    # Who is at work finishes it.
                    with link.lock:
                        link.connection.close()

    # --- below the verbs ----------------------------------------------------------

    def _read(
        self, sql: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> _Rows:
        link = self._link()
        with link.lock:
            try:
                return link.cursor.execute(sql, values).fetchall()
            except UnicodeEncodeError:
                # What no text can be, no text in here is.
                return []
            except _FOREIGN as error:
                raise self._failed(error) from error

    def _write(
        self, work: Callable[[_Cursor], _T], changes: Sequence[Change] = ()
    ) -> _T:
        """
        Do some work in one transaction: all of it, or nothing if it raises.

        Args:
            changes: What shows that it happened, if COMMIT itself fails.
        """
        link = self._link()
        with link.lock:
            if not link.writer.acquire(timeout=self.busy_timeout):
                raise StorageError(f"{self.path}: other threads write all the time")
            db = link.cursor
            try:
                db.execute("BEGIN IMMEDIATE")
                done = work(db)
                try:
                    db.execute("COMMIT")
                except sqlite3.Error as error:
                    self._doubt(link, changes, error)
                return done
            except BaseException as error:
                with suppress(sqlite3.Error):
                    link.connection.rollback()
                if isinstance(error, _FOREIGN):
                    raise self._failed(error) from error
                raise
            finally:
                link.writer.release()

    def _doubt(
        self, link: _Link, changes: Sequence[Change], error: sqlite3.Error
    ) -> None:
        """
        Return if a COMMIT that failed has happened all the same.
        """
        try:
            # A transaction that is still open was not committed.
            still_open = link.connection.in_transaction
            happened = False if still_open else _happened(link.cursor, changes)
        except sqlite3.Error:
            happened = None
        if happened is None:
            raise OutcomeUnknownError(
                f"{self.path}: {error}; whether it was written is not known: "
                "repeat with the same key"
            ) from error
        if not happened:
            raise error

    def _failed(self, error: Exception) -> StorageError:
        return StorageError(f"{self.path}: {error}")

    def _link(self) -> _Link:
        """
        Return the connection of this thread in this process.
        """
        if self._closed:
            raise StorageError("this storage is closed: open another one")
        home = self._home
        if home.pid != os.getpid():
            if self.path == _IN_MEMORY and home.links:
                raise StorageError("a database in memory does not survive a fork")
            home = self._home = self._new_home()
        try:
            link: _Link = home.own.link
        except AttributeError:
            with home.lock:
                link = self._opened(home)
        return link

    def _opened(self, home: _Home) -> _Link:
        # Another thread may have been faster, where they share one.
        link: _Link | None = getattr(home.own, "link", None)
        if link is not None:
            return link
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self.busy_timeout,
                isolation_level=None,
                check_same_thread=False,
                factory=self._connection,
            )
            link = _Link(connection, home.writer)
            try:
                self._prepare(link.cursor)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from error
        home.links.add(link)
        home.own.link = link
        return link

    def _prepare(self, db: _Cursor) -> None:
        """
        Make a new connection keep its promises, and the schema be there.
        """
        if self.path != _IN_MEMORY:
            _set_wal(db)
        db.execute(f"PRAGMA synchronous = {_LEVELS[self.durability]}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
        db.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten with zeros: personal texts.
        db.execute("PRAGMA secure_delete = ON").fetchall()
        if not _schema_of(db):
            db.execute("BEGIN IMMEDIATE")
            # Somebody else may have been faster.
            if not _schema_of(db):
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute(
                    "INSERT INTO escrowflow_meta VALUES ('schema', ?)",
                    (_SCHEMA_VERSION,),
                )
            db.execute("COMMIT")
        self._inspect(db)

    def _inspect(self, db: _Cursor) -> None:
        """
        Raise unless the schema is the one this release knows, to the letter.
        """
        there = _schema_of(db)
        if "escrowflow_meta" in there:
            versions = db.execute(
                "SELECT value FROM escrowflow_meta WHERE name = 'schema'"
            ).fetchall()
            if versions != [(_SCHEMA_VERSION,)]:
                version = versions[0][0] if versions else "unknown"
                raise StorageError(
                    f"{self.path}: schema version {version}, but this release knows "
                    f"version {_SCHEMA_VERSION}: use the release that wrote it"
                )
        lacking = [sql for sql in _SCHEMA if sql not in there.values()]
        if lacking:
            raise StorageError(
                f"{self.path}: its schema was changed: {len(lacking)} parts are not as "
                f"they were made, such as {lacking[0]}"
            )


# --- inside a transaction ---------------------------------------------------------


def _put(db: _Cursor, change: Change) -> None:
    """
    Write a change.

    Raises:
        _TooLate: If it conflicts.
    """
    order_id = change.order_id
    expected = change.expected_version
    parties = repr(change.parties)
    values = (*_of_order(change), parties)
    if not expected:
        if not db.execute(_INSERT_ORDER, values).rowcount:
            raise _TooLate
        _put_parties(db, change)
    elif not db.execute(_UPDATE_ORDER, (*values, expected)).rowcount:
        # Too late; or, once or twice in the life of an order, other parties.
        if not db.execute(_SET_PARTIES, (parties, order_id, expected)).rowcount:
            raise _TooLate
        db.execute(_UPDATE_ORDER, (*values, expected))
        db.execute(_DELETE_PARTIES, (order_id,))
        _put_parties(db, change)
    # What can conflict comes before what the schema could refuse.
    for result in change.results:
        if result.status not in RESULTS:
            raise StorageError(
                f"order {order_id!r}: {result.status!r} is no result of an effect"
            )
        if not db.execute(_SETTLE_EFFECT, (*_of_result(result), order_id)).rowcount:
            raise _TooLate
    receipt = change.receipt
    if receipt is not None:
        row = (order_id, *_of_receipt(receipt))
        if not db.execute(_INSERT_RECEIPT, row).rowcount:
            raise _TooLate
    for event in change.events:
        db.execute(_INSERT_EVENT, (order_id, *_of_event(event)))
    for effect in change.effects:
        db.execute(_INSERT_EFFECT, (order_id, *_of_effect(effect)))
    for text in change.texts:
        db.execute(_INSERT_TEXT, (order_id, *_of_text(text)))


def _put_parties(db: _Cursor, change: Change) -> None:
    rows = {(change.order_id, role, name) for role, name in change.parties}
    db.executemany(_INSERT_PARTY, rows)


def _happened(db: _Cursor, changes: Sequence[Change]) -> bool | None:
    """
    Say whether a transaction with these changes was committed; `None`: who knows.

    One change that moves its order tells, because a version never comes back.
    """
    for change in changes:
        if change.version > change.expected_version:
            rows = db.execute(_LOAD, (change.order_id, None)).fetchall()
            version, snapshot = rows[0][:2] if rows else (0, b"")
            if version == change.expected_version:
                return False
            if (version, snapshot) == (change.version, change.snapshot):
                return True
    return None


# --- small parts ------------------------------------------------------------------


def _search(party: str | None, role: str | None) -> str:
    if party is not None:
        # From the party to its orders: CROSS JOIN keeps SQLite from turning round.
        # Each of them once, whatever the number of roles.
        source = "escrowflow_party p CROSS JOIN escrowflow_order o USING (order_id)"
        where = "p.id = :party AND " + (
            "p.role = :role"
            if role is not None
            else "NOT EXISTS (SELECT 1 FROM escrowflow_party q WHERE q.id = p.id"
            " AND q.order_id = p.order_id AND q.role < p.role)"
        )
    else:
        source = "escrowflow_order o"
        where = "TRUE"
        if role is not None:
            where = (
                "EXISTS (SELECT 1 FROM escrowflow_party q WHERE q.order_id = o.order_id"
                " AND q.role = :role)"
            )
    return (
        f"SELECT o.order_id, version, snapshot, ifnull(due_at, {NEVER})"
        f" FROM {source} WHERE {where}"
    )


def _among(
    column: str, values: Collection[str] | None
) -> tuple[str, dict[str, object]]:
    if values is None:
        return "", {}
    named: dict[str, object] = {f"{column}{n}": value for n, value in enumerate(values)}
    return f" AND {column} IN ({', '.join(f':{name}' for name in named)})", named


def _effect(row: Sequence[Any]) -> StoredEffect:
    fields = dict(zip(_EFFECT, row, strict=True))
    return StoredEffect(**{**fields, "moves_money": bool(fields["moves_money"])})


def _set_wal(db: _Cursor) -> None:
    """
    Switch the file to a write-ahead log, for good.

    SQLite does not wait for others when it switches.  So we do: whoever is in the
    way holds the lock that we ask for.
    """
    for _ in range(_SWITCHES_MAX):
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError:
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
            continue
        if mode != [("wal",)]:
            raise sqlite3.OperationalError("there can be no write-ahead log here")
        return
    raise sqlite3.OperationalError("somebody is always in the way of a write-ahead log")


def _schema_of(db: _Cursor) -> dict[str, str]:
    """
    Return what of ours is in the schema: its name, and the SQL that made it.
    """
    return dict(
        db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE name GLOB 'escrowflow_*'"
        ).fetchall()
    )
