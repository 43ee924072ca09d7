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
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from threading import Lock, local
from types import SimpleNamespace
from typing import Any, Final, Self, TypeVar, final
from urllib.parse import parse_qsl, unquote
from weakref import WeakSet

import attrs

from ..errors import InvalidInputError, OutcomeUnknownError, StorageError
from . import Capability, Change, CommitResult, Storage
from .checks import check_changes
from .driven import SqlStorage
from .sql import (
    EFFECT_COLUMNS,
    EVENT_COLUMNS,
    MOVES_ON,
    NOT_HERE,
    ORDER_COLUMNS,
    RECEIPT_COLUMNS,
    RESULT_COLUMNS,
    TEXT_COLUMNS,
    Asking,
    Dialect,
    Migration,
    SqlVerbs,
    effect_values,
    event_values,
    is_name,
    order_values,
    receipt_values,
    result_values,
    tables,
    text_values,
)

__all__ = ["SqliteStorage", "SqliteVerbs"]

_T = TypeVar("_T")

_IN_MEMORY: Final = ":memory:"

# A path or none, then a query or none; nowhere a control character.
_PLAIN: Final = r"\x00-\x1f\x7f-\x9f#"
_URL: Final = re.compile(rf"sqlite://(/[^?{_PLAIN}]*)?(?:\?([^{_PLAIN}]*))?")

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

# STRICT tables turn away what is not a whole number; a plain INTEGER column would
# take 'abc' and 1.5 as they are.
_WORDS: Final = {
    "text": "TEXT",
    "int": "INTEGER",
    "blob": "BLOB",
    "strict": " STRICT",
    # The row lies in its key: one page to write, not two.
    "clustered": " STRICT, WITHOUT ROWID",
    # The key of the row is a part of it anyway.
    "ready": "ready_at",
}

# A trigger costs only those statements that set its columns.
_TRIGGERS: Final = (
    """\
CREATE TRIGGER escrowflow_order_grows
BEFORE UPDATE OF order_id, version ON escrowflow_order
WHEN NEW.version < OLD.version OR NEW.order_id <> OLD.order_id
BEGIN SELECT RAISE(ABORT, 'the version of an order only grows'); END""",
    """\
CREATE TRIGGER escrowflow_order_stays BEFORE DELETE ON escrowflow_order
BEGIN SELECT RAISE(ABORT, 'an order is never deleted'); END""",
    """\
CREATE TRIGGER escrowflow_event_follows BEFORE INSERT ON escrowflow_event
WHEN NOT ifnull((
    SELECT NEW.seq = seq + 1 AND NEW.effective_at >= effective_at
    FROM escrowflow_event WHERE order_id = NEW.order_id ORDER BY seq DESC LIMIT 1
), NEW.seq = 1)
BEGIN SELECT RAISE(ABORT, 'an event follows the last one, in number and time'); END""",
    """\
CREATE TRIGGER escrowflow_event_fixed BEFORE UPDATE ON escrowflow_event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END""",
    """\
CREATE TRIGGER escrowflow_event_stays BEFORE DELETE ON escrowflow_event
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END""",
    """\
CREATE TRIGGER escrowflow_effect_fixed
BEFORE UPDATE OF order_id, key, seq, place, kind, moves_money, body
ON escrowflow_effect
BEGIN SELECT RAISE(ABORT, 'what an effect asks for is never changed'); END""",
    """\
CREATE TRIGGER escrowflow_effect_fenced
BEFORE UPDATE OF status, token ON escrowflow_effect
WHEN OLD.status = 'done' OR NEW.token < OLD.token
BEGIN SELECT RAISE(ABORT, 'an effect is done once, and its token only grows'); END""",
    """\
CREATE TRIGGER escrowflow_effect_stays BEFORE DELETE ON escrowflow_effect
WHEN OLD.status <> 'done'
BEGIN SELECT RAISE(ABORT, 'an effect is never deleted before it is done'); END""",
    """\
CREATE TRIGGER escrowflow_receipt_fixed BEFORE UPDATE ON escrowflow_receipt
BEGIN SELECT RAISE(ABORT, 'a receipt is never changed'); END""",
    """\
CREATE TRIGGER escrowflow_receipt_stays BEFORE DELETE ON escrowflow_receipt
BEGIN SELECT RAISE(ABORT, 'a receipt is never deleted'); END""",
)

_MIGRATIONS: Final = (
    Migration(version=1, oldest=1, statements=(*tables(**_WORDS), *_TRIGGERS)),
)

# --- the verbs --------------------------------------------------------------------

_DIALECT: Final = Dialect(
    pairs="json_group_object({})",
    greatest="max",
    each="SELECT value FROM json_each(?)",
    # The writer is alone.
    lock="",
    # It keeps SQLite from turning round.
    join="CROSS JOIN",
)


def _insert(table: str, *columns: str, rest: str = "") -> str:
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}){rest}"


_INSERT_ORDER: Final = _insert(
    "escrowflow_order",
    *ORDER_COLUMNS,
    "head",
    "order_id",
    rest=" ON CONFLICT (order_id) DO NOTHING RETURNING 1",
)
_UPDATE_ORDER: Final = f"""
UPDATE escrowflow_order SET {", ".join(f"{name} = ?" for name in ORDER_COLUMNS)},
    head = ifnull(?, head){{moves_on}}
WHERE order_id = ? AND version = ?{{gates}} RETURNING 1
"""
# Whatever can conflict does so before anything is written.
_NO_RECEIPT: Final = (
    " AND NOT EXISTS (SELECT 1 FROM escrowflow_receipt r"
    " WHERE r.order_id = escrowflow_order.order_id AND r.key = ?)"
)
_CURRENT: Final = (
    " AND EXISTS (SELECT 1 FROM escrowflow_effect e"
    " WHERE e.order_id = escrowflow_order.order_id AND e.key = ? AND e.token = ?"
    " AND e.status <> 'done')"
)
_DELETE_PARTIES: Final = "DELETE FROM escrowflow_party WHERE order_id = ?"
_INSERT_PARTY: Final = _insert("escrowflow_party", "order_id", "role", "id")
_INSERT_EVENT: Final = _insert("escrowflow_event", "order_id", *EVENT_COLUMNS)
_INSERT_EFFECT: Final = _insert(
    "escrowflow_effect", "order_id", "place", "token", *EFFECT_COLUMNS
)
_SETTLE_EFFECT: Final = f"""
UPDATE escrowflow_effect SET {", ".join(f"{name} = ?" for name in RESULT_COLUMNS)}
WHERE order_id = ? AND key = ?
"""
_INSERT_RECEIPT: Final = _insert("escrowflow_receipt", "order_id", *RECEIPT_COLUMNS)
_INSERT_TEXT: Final = _insert(
    "escrowflow_text",
    "order_id",
    *TEXT_COLUMNS,
    rest=" ON CONFLICT (order_id, ref) DO NOTHING",
)


class SqliteVerbs(SqlVerbs):
    """
    The verbs, as SQLite says them.  Those that write need a transaction that no
    other writer can be in.
    """

    database = "sqlite"
    words = _WORDS

    def __init__(self) -> None:
        super().__init__(_DIALECT, _MIGRATIONS)

    def commit(self, changes: Sequence[Change]) -> Asking[Sequence[CommitResult]]:
        """
        See `Storage.commit`.
        """
        check_changes(changes)
        results = []
        for change in changes:
            results.append((yield from _put(change)))
        return tuple(results)

    def parts(self) -> Asking[Mapping[str, str]]:
        """
        Return what is there of ours: its name, and the SQL that made it.
        """
        rows = yield (
            "SELECT name, sql FROM sqlite_schema WHERE name GLOB 'escrowflow_*'",
            (),
        )
        return {name: sql for name, sql in rows}

    def lacking(self, there: Mapping[str, str], *, exact: bool) -> Sequence[str]:
        """
        Return the parts that are not as they were made.
        """
        return [
            sql
            for name, sql in _made(self).items()
            if (there.get(name) != sql if exact else name not in there)
        ]


@cache
def _update(moves_on: bool, gates: str) -> str:
    return _UPDATE_ORDER.format(moves_on=MOVES_ON if moves_on else "", gates=gates)


def _put(change: Change) -> Asking[CommitResult]:
    """
    Write a change, or find that it conflicts before anything is written.
    """
    order_id = change.order_id
    head = change.events[-1].hash if change.events else None
    values = (*order_values(change), head, order_id)
    receipt = change.receipt
    results = change.results
    if change.expected_version:
        gates = "" if receipt is None else _NO_RECEIPT
        values = (*values, change.expected_version)
        if receipt is not None:
            values = (*values, receipt.key)
        for result in results:
            gates += _CURRENT
            values = (*values, result.key, result.token)
        rows = yield _update(bool(change.events), gates), values
    else:
        # An order that does not exist has no effect to speak of.
        rows = () if results else (yield _INSERT_ORDER, values)
    if not rows:
        return CommitResult.CONFLICT
    if change.parties is not None:
        if change.expected_version:
            yield _DELETE_PARTIES, (order_id,)
        for party in dict.fromkeys(change.parties):
            yield _INSERT_PARTY, (order_id, *party)
    if receipt is not None:
        yield _INSERT_RECEIPT, (order_id, *receipt_values(receipt))
    for event in change.events:
        yield _INSERT_EVENT, (order_id, *event_values(event))
    for place, effect in enumerate(change.effects):
        yield _INSERT_EFFECT, (order_id, place, 0, *effect_values(effect))
    for result in results:
        yield _SETTLE_EFFECT, (*result_values(result), order_id, result.key)
    for text in change.texts:
        yield _INSERT_TEXT, (order_id, *text_values(text))
    return CommitResult.DONE


_VERBS: Final = SqliteVerbs()


@cache
def _made(verbs: SqlVerbs) -> Mapping[str, str]:
    """
    Return the parts of a schema that was made just now, in a database of its own.
    """
    connection = sqlite3.connect(":memory:")
    try:
        for statement in verbs.ddl():
            connection.execute(statement)
        return drive(connection.cursor(), verbs.parts())
    finally:
        connection.close()


def drive(db: sqlite3.Cursor, asking: Asking[_T]) -> _T:
    """
    Return what a verb returns, on a cursor.
    """
    execute = db.execute
    rows: list[Any] | None = None
    try:
        while True:
            sql, values = next(asking) if rows is None else asking.send(rows)
            try:
                rows = execute(sql, values).fetchall()
            except UnicodeEncodeError:
                # What no text can be, no text in here is.
                if not sql.startswith("SELECT"):
                    raise
                rows = []
    except StopIteration as stop:
        done: _T = stop.value
        return done


# --- connections ------------------------------------------------------------------


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
    if not isinstance(text, str) or not text or not is_name(text):
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
@attrs.define(eq=False, slots=False)
class SqliteStorage(SqlStorage):
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

        create: Whether the file and the tables are made when they are first needed;
            otherwise only by `migrate()`.

    Raises:
        InvalidInputError: If an argument is none of these.

    Source: https://www.sqlite.org/wal.html, "Performance Considerations".
    """

    path: str = attrs.field(converter=_as_path)
    durability: str = attrs.field(
        default="full", converter=_as_durability, kw_only=True
    )
    busy_timeout: float = attrs.field(default=5.0, converter=_as_seconds, kw_only=True)
    create: bool = attrs.field(default=True, converter=bool, kw_only=True, repr=False)
    _verbs: SqliteVerbs = attrs.field(default=_VERBS, init=False, repr=False)
    _connection: type[sqlite3.Connection] = attrs.field(
        default=sqlite3.Connection, init=False, repr=False
    )
    _home: _Home = attrs.field(init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False, repr=False)

    @_home.default
    def _new_home(self) -> _Home:
        return _Home(shared=self.path == _IN_MEMORY)

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> Self:
        """
        Return the storage a URL names.

        Args:
            url: `"sqlite:///orders.db"` (relative), `"sqlite:////var/orders.db"`
                (absolute), `"sqlite://"` (in memory); then `?durability=relaxed`,
                if wanted.  Special characters of a path are percent-encoded.

            create: As the attribute.

        Raises:
            InvalidInputError: If it is none of these.
        """
        # Not `urlsplit`: what it drops or forgives would lead to another file.
        match = _URL.fullmatch(url)
        if match is None:
            raise InvalidInputError(
                "url",
                "'sqlite:///orders.db' is relative, 'sqlite:////orders.db' absolute",
            )
        path, query = match.groups(default="")
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        if names not in ([], ["durability"]):
            raise InvalidInputError("url", "only `durability` can be asked for, once")
        durability = query.partition("=")[2] if names else "full"
        # What is no UTF-8 is refused with the path.
        path = unquote(path, errors="surrogateescape")
        path = path[1:] if path else _IN_MEMORY
        return cls(path, durability=durability, create=create)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs: nothing, in memory; and a file has no clock but
        that of its host.
        """
        if self.path == _IN_MEMORY:
            return frozenset()
        return frozenset(Capability) - {Capability.CLOCK}

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        Erase the texts of a person in these orders for good; return how many there
        were.

        The file is written anew without them, which takes as long as copying it, and
        nobody else writes meanwhile: to overwrite what is deleted is not enough, since
        SQLite leaves copies of a row behind when it moves rows between pages.  They
        leave its log, too, unless somebody else was reading all the time; then when
        the last one closes it.

        Raises:
            StorageError: Also if they are erased and the file could not be written
                anew: then repeat it.

        Source: https://www.sqlite.org/lang_vacuum.html
        """
        erased = super().erase_texts(subject_id, order_ids)
        # Always: it may have been erased before a crash.
        if self.path != _IN_MEMORY:
            self._read(_written_anew(), alone=True)
        return erased

    def migrate(self) -> None:
        """
        Bring the schema up to date; safe to call by several at once.

        Raises:
            StorageError: If the schema is newer than this release, or damaged.
        """
        self._link(migrate=True)

    def ddl(self) -> tuple[str, ...]:
        """
        Return every statement that makes the schema in an empty database.
        """
        return self._verbs.ddl()

    def within(self, handle: Any) -> Storage:
        """
        Return the storage inside a transaction of the host's own.

        Args:
            handle: A SQLAlchemy `Session` or `Connection`, the alias of a Django
                database, or a `sqlite3.Connection`.
        """
        from .hosts import joined

        return joined(self, handle)

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

    def _read(self, asking: Asking[_T], *, alone: bool = False) -> _T:
        """
        Drive a verb without a transaction.

        Args:
            alone: Whether no other thread may write meanwhile.
        """
        link = self._link()
        with link.lock, self._writing(link) if alone else nullcontext():
            try:
                return drive(link.cursor, asking)
            except _FOREIGN as error:
                raise self._failed(error) from error

    @contextmanager
    def _writing(self, link: _Link) -> Iterator[None]:
        """
        Be the one thread that writes.
        """
        if not link.writer.acquire(timeout=self.busy_timeout):
            raise StorageError(
                f"{self.path}: other threads write all the time", repeat=True
            )
        try:
            yield
        finally:
            link.writer.release()

    def _write(self, asking: Asking[_T]) -> _T:
        link = self._link()
        with link.lock, self._writing(link):
            db = link.cursor
            try:
                db.execute("BEGIN IMMEDIATE")
                done = drive(db, asking)
                try:
                    db.execute("COMMIT")
                except sqlite3.Error as error:
                    # A transaction that is still open was not committed.  Of a closed
                    # connection nobody knows.
                    with suppress(sqlite3.ProgrammingError):
                        if link.connection.in_transaction:
                            raise
                    raise OutcomeUnknownError(
                        f"{self.path}: {error}; whether it was written is not known: "
                        "repeat with the same key"
                    ) from error
                return done
            except BaseException as error:
                with suppress(sqlite3.Error):
                    link.connection.rollback()
                if isinstance(error, _FOREIGN):
                    raise self._failed(error) from error
                raise

    def _failed(self, error: Exception) -> StorageError:
        # Who waited in vain for somebody else's lock has written nothing.
        name = getattr(error, "sqlite_errorname", None) or ""
        busy = name.startswith("SQLITE_BUSY")
        way = ""
        if name.startswith("SQLITE_CANTOPEN"):
            way = (
                ": is its folder there, and may you write in it?"
                if self.create
                else ": is it there, and may you write in it?"
            )
        return StorageError(f"{self.path}: {error}{way}", repeat=busy)

    def _link(self, *, migrate: bool = False) -> _Link:
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
                link = self._opened(home, migrate=migrate)
        return link

    def _opened(self, home: _Home, *, migrate: bool) -> _Link:
        # Another thread may have been faster, where they share one.
        link: _Link | None = getattr(home.own, "link", None)
        if link is not None:
            return link
        try:
            made = self.create or migrate or self.path == _IN_MEMORY
            connection = sqlite3.connect(
                # Only by a URI SQLite can be told to make no file.
                self.path if made else f"{Path(self.path).as_uri()}?mode=rw",
                uri=not made,
                timeout=self.busy_timeout,
                isolation_level=None,
                check_same_thread=False,
                factory=self._connection,
            )
            # One text that is none must not stop the orders around it; `verify` finds
            # it.
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            link = _Link(connection, home.writer)
            try:
                self._prepare(link.cursor, migrate=migrate)
            except BaseException:
                connection.close()
                raise
        except _FOREIGN as error:
            raise self._failed(error) from error
        home.links.add(link)
        home.own.link = link
        return link

    def _prepare(self, db: sqlite3.Cursor, *, migrate: bool) -> None:
        """
        Make a new connection keep its promises, and the schema be there.
        """
        # First of all: a file of somebody else's is left as it is.
        if not (self.create or migrate or drive(db, self._verbs.parts())):
            raise StorageError(f"{self.path}: {NOT_HERE}")
        if self.path != _IN_MEMORY:
            _set_wal(db)
        db.execute(f"PRAGMA synchronous = {_LEVELS[self.durability]}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
        db.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten with zeros: personal texts.
        db.execute("PRAGMA secure_delete = ON").fetchall()
        try:
            if migrate or not drive(db, self._verbs.inspect()):
                db.execute("BEGIN IMMEDIATE")
                # Somebody else may have been faster.
                drive(db, self._verbs.migrate())
                db.execute("COMMIT")
                drive(db, self._verbs.inspect())
        except StorageError as error:
            raise StorageError(f"{self.path}: {error}") from error


# --- small parts ------------------------------------------------------------------


def _written_anew() -> Asking[None]:
    """
    Write the whole file anew, without what was deleted; then write the log back, and
    empty it.
    """
    yield "VACUUM", ()
    yield "PRAGMA wal_checkpoint(TRUNCATE)", ()


def _set_wal(db: sqlite3.Cursor) -> None:
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
