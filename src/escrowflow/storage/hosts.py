"""
The verbs inside a transaction of the host's own: its rows and the order are
committed together, or not at all.

- Every statement goes through the host's own `execute`: below it, a connection may
  not be in the transaction yet.
- Nothing here begins, commits, rolls back or repeats a transaction.  Only where
  SQLite's driver would begin one by itself, later and without a lock, it is begun
  at once, with it.
- No statement fails because somebody was faster; what fails all the same is a
  `StorageError` that says what to do with the transaction.

No driver is imported here: whoever has a handle has imported it.
"""

from __future__ import annotations

import abc
import enum
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeAlias, TypeVar, final
from weakref import WeakSet, ref

import attrs

from ..errors import InvalidInputError, NoTransactionError, StorageError
from ..inputs import kind_of
from . import AsyncStorage, Capability, Storage, StoredEffect, StoredOrder
from .driven import AsyncSqlStorage, SqlStorage
from .sql import Asking, Row, SqlVerbs

__all__ = [
    "DjangoHost",
    "Failure",
    "Joined",
    "failure_of",
    "joined",
    "joined_async",
    "no_claims",
    "no_migration",
    "unsaid",
]

_T = TypeVar("_T")
_Any: TypeAlias = SqlStorage | AsyncSqlStorage

_INT_MAX: Final = 2**63 - 1

# How many statements are remembered as a driver writes them.
_STATEMENTS_MAX: Final = 1000

# Writes nothing, and takes the lock of the writer.
_LOCK: Final = "DELETE FROM escrowflow_schema WHERE FALSE"

# The storages whose schema was looked at through a host's connection.
_INSPECTED: Final[WeakSet[_Any]] = WeakSet()


def joined(storage: SqlStorage, handle: Any) -> Storage:
    """
    Return a storage whose verbs run in the host's transaction.  No I/O.

    Args:
        handle: A SQLAlchemy `Session` or `Connection`, the alias of a Django
            database, a `psycopg.Connection` or a `sqlite3.Connection`.

    Raises:
        InvalidInputError: If it is none of these, or of another database.
    """
    _check_storage(storage)
    host = _host(handle)
    if host is None:
        _refuse(handle, awaited=False)
    _check_database(storage, host)
    return Joined(storage, host)


def joined_async(storage: _Any, handle: Any) -> AsyncStorage:
    """
    Return a storage whose verbs are awaited, in the host's transaction.  No I/O.

    Args:
        handle: A SQLAlchemy `AsyncSession` or `AsyncConnection`, or a
            `psycopg.AsyncConnection`.

    Raises:
        InvalidInputError: If it is none of these, or of another database.
    """
    _check_storage(storage)
    host = _async_host(handle)
    if host is None:
        _refuse(handle, awaited=True)
    _check_database(storage, host)
    return _AsyncJoined(storage, host)


# --- which handle it is -----------------------------------------------------------


def _is(handle: Any, module: str, *names: str) -> bool:
    """
    Whether it is an instance of a class that was imported by somebody else.
    """
    there = sys.modules.get(module)
    kinds = tuple(getattr(there, name) for name in names if hasattr(there, name))
    return isinstance(handle, kinds)


def _host(handle: Any) -> _Host | None:
    if isinstance(handle, str):
        return DjangoHost(handle)
    if _is(handle, "sqlalchemy.orm", "scoped_session"):
        handle = handle()
    if _is(handle, "sqlalchemy.orm", "Session"):
        return _AlchemyHost(handle)
    if _is(handle, "sqlalchemy", "Connection"):
        return _AlchemyHost(handle)
    if _is(handle, "psycopg", "Connection"):
        return _PsycopgHost(handle)
    if _is(handle, "sqlite3", "Connection"):
        return _Sqlite3Host(handle)
    return None


def _async_host(handle: Any) -> _AsyncHost | None:
    if _is(handle, "sqlalchemy.ext.asyncio", "async_scoped_session"):
        handle = handle()
    if _is(handle, "sqlalchemy.ext.asyncio", "AsyncSession", "AsyncConnection"):
        return _AsyncAlchemyHost(handle)
    if _is(handle, "psycopg", "AsyncConnection"):
        return _AsyncPsycopgHost(handle)
    return None


def _refuse(handle: Any, *, awaited: bool) -> NoReturn:
    kind = "a Django alias" if isinstance(handle, str) else kind_of(handle)
    if awaited:
        fitting = "an `AsyncSession`, `AsyncConnection` or `psycopg.AsyncConnection`"
        # A text is nobody's alias without Django.
        if isinstance(handle, str) or _host(handle) is not None:
            raise InvalidInputError(
                "handle",
                f"{kind} blocks, and this engine is awaited: pass {fitting}, or use "
                "an `Engine`",
            )
    else:
        fitting = (
            "a SQLAlchemy `Session` or `Connection`, the alias of a Django database, "
            "a `psycopg.Connection` or a `sqlite3.Connection`"
        )
        if _async_host(handle) is not None:
            raise InvalidInputError(
                "handle",
                f"{kind} is awaited, and this engine blocks: use an `AsyncEngine`, or "
                f"pass {fitting}",
            )
    raise InvalidInputError("handle", f"{fitting}, not {kind}")


def _check_storage(storage: _Any) -> None:
    if Capability.WITHIN not in storage.capabilities:
        raise InvalidInputError(
            "handle",
            "no transaction of yours reaches this storage: keep the orders in the "
            "database of your own tables",
        )


def _check_database(storage: _Any, host: _Host | _AsyncHost) -> None:
    wanted = storage._verbs.database
    if host.database != wanted:
        raise InvalidInputError(
            "handle",
            f"a connection to {host.database}, and the orders are kept in {wanted}: "
            "both must be one database",
        )


# --- what is said besides the verb ------------------------------------------------


class _Transaction(enum.Enum):
    """
    How far the host's transaction is.
    """

    # Begun, or begun by the driver together with our first statement.
    OPEN = enum.auto()
    # SQLite's driver would begin it, but only when something is written.
    LATENT = enum.auto()


def _within(
    storage: _Any, host: _Host | _AsyncPsycopgHost, asking: Asking[_T]
) -> Asking[_T]:
    """
    Ask a verb, once the transaction is there to ask it in.
    """
    transaction = host.transaction()
    verbs = storage._verbs
    if verbs.database == "sqlite":
        # Who reads first and writes later finds that somebody else wrote in
        # between, and can then neither write nor wait: so the lock comes first.
        if transaction is _Transaction.LATENT:
            yield "BEGIN IMMEDIATE", ()
            host.transaction()
        else:
            yield _LOCK, ()
    # A storage whose commits may be lost accepts that of the host's, too.
    own: SqlVerbs = getattr(storage, "_own", verbs)
    if not host.checked:
        # Each handle is a session of its own, with settings of its own.
        yield from own.check_session()
        host.checked = True
    if storage not in _INSPECTED:
        yield from _inspected(own)
        _INSPECTED.add(storage)
    return (yield from asking)


def _inspected(verbs: SqlVerbs) -> Asking[None]:
    there = yield from verbs.inspect()
    if not there:
        raise StorageError(
            "the orders are not kept in this database: call storage.migrate() first, "
            "or pass a handle of the database they are kept in"
        )


def _whole(storage: _Any, asking: Asking[_T]) -> Asking[_T]:
    """
    Ask a verb that writes: all of it is written, or nothing.
    """
    if storage._verbs.database != "sqlite":
        # One statement each, and after a failure nothing can be committed.
        return (yield from asking)
    yield "SAVEPOINT escrowflow", ()
    try:
        done = yield from asking
    except BaseException:
        # Some failures end the whole transaction, and the savepoint with it.
        with suppress(Exception):
            yield "ROLLBACK TO escrowflow", ()
            yield "RELEASE escrowflow", ()
        raise
    yield "RELEASE escrowflow", ()
    return done


def _shredded(storage: _Any, asking: Asking[_T]) -> Asking[_T]:
    """
    Ask a verb that deletes personal texts: their bytes are overwritten.
    """
    if storage._verbs.database != "sqlite":
        return (yield from asking)
    ((before,),) = yield "PRAGMA secure_delete", ()
    yield "PRAGMA secure_delete = ON", ()
    try:
        return (yield from asking)
    finally:
        with suppress(Exception):
            yield f"PRAGMA secure_delete = {_SECURE[before]}", ()


_SECURE: Final = ("OFF", "ON", "FAST")


def no_claims() -> NoReturn:
    """
    Refuse a claim inside the transaction of a host.
    """
    raise InvalidInputError(
        "handle",
        "nothing is claimed inside your transaction: others must see a claim at once, "
        "and what was carried out cannot be rolled back; ask the engine outside of it",
    )


def no_migration() -> NoReturn:
    """
    Refuse to change the schema inside the transaction of a host.
    """
    raise InvalidInputError(
        "handle",
        "the schema is not changed inside your transaction: call storage.migrate() "
        "outside of it",
    )


# --- the storages -----------------------------------------------------------------


@final
class Joined(SqlStorage):
    """
    A storage inside the host's transaction.

    Implements: `Storage`
    """

    def __init__(self, storage: SqlStorage, host: _Host) -> None:
        self._storage = storage
        self._host = host
        self._verbs = storage._verbs

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs: it cannot be joined again, nor say what time
        it is.
        """
        return self._storage.capabilities - {Capability.WITHIN, Capability.CLOCK}

    def _read(self, asking: Asking[_T]) -> _T:
        return self._host.drive(self._storage, asking)

    def _write(self, asking: Asking[_T]) -> _T:
        return self._read(_whole(self._storage, asking))

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        Refuse: see `Storage.claim_due`.
        """
        no_claims()

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredEffect]:
        """
        Refuse: see `Storage.claim_effects`.
        """
        no_claims()

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        erasing = self._verbs.erase_texts(subject_id, order_ids)
        return self._write(_shredded(self._storage, erasing))

    def migrate(self) -> None:
        """
        Refuse: see `Storage.migrate`.
        """
        no_migration()

    def close(self) -> None:
        """
        Do nothing: the connection is the host's.
        """


@final
class _AsyncJoined(AsyncSqlStorage):
    """
    A storage inside the host's transaction, awaited.

    Implements: `AsyncStorage`
    """

    def __init__(self, storage: _Any, host: _AsyncHost) -> None:
        self._storage = storage
        self._host = host
        self._verbs = storage._verbs

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs: it cannot be joined again, nor say what time
        it is.
        """
        return self._storage.capabilities - {Capability.WITHIN, Capability.CLOCK}

    async def _read(self, asking: Asking[_T]) -> _T:
        return await self._host.drive(self._storage, asking)

    async def _write(self, asking: Asking[_T]) -> _T:
        return await self._read(_whole(self._storage, asking))

    async def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        Refuse: see `Storage.claim_due`.
        """
        no_claims()

    async def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredEffect]:
        """
        Refuse: see `Storage.claim_effects`.
        """
        no_claims()

    async def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        erasing = self._verbs.erase_texts(subject_id, order_ids)
        return await self._write(_shredded(self._storage, erasing))

    async def migrate(self) -> None:
        """
        Refuse: see `Storage.migrate`.
        """
        no_migration()

    async def close(self) -> None:
        """
        Do nothing: the connection is the host's.
        """


# --- statements -------------------------------------------------------------------


@lru_cache(_STATEMENTS_MAX)
def _as_format(sql: str) -> str:
    """
    Return a statement with `%s` for each value: for psycopg and Django.
    """
    return sql.replace("?", "%s")


@lru_cache(_STATEMENTS_MAX)
def _as_text(sql: str) -> tuple[Any, tuple[str, ...]]:
    """
    Return a statement as SQLAlchemy's `text`, and the names of its values.
    """
    first, *rest = sql.replace(":", "\\:").split("?")
    names = tuple(f"p{number}" for number in range(len(rest)))
    parts = (f":{name}{part}" for name, part in zip(names, rest, strict=True))
    return sys.modules["sqlalchemy"].text(first + "".join(parts)), names


def _sayable(values: Sequence[Any], *, nul: bool) -> bool:
    """
    Whether a database can be told these values.  Some drivers would tell it all the
    same, and it would fail, and the transaction with it.

    Args:
        nul: Whether its texts may contain NUL.
    """
    for value in values:
        if isinstance(value, str):
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    return False
            if "\0" in value and not nul:
                return False
        elif isinstance(value, int):
            if not -_INT_MAX <= value <= _INT_MAX:
                return False
        elif isinstance(value, list) and not _sayable(value, nul=nul):
            return False
    return True


# --- what fails -------------------------------------------------------------------

# What to do, by the code of the database.
_WAYS_OUT: Final = {
    "25P02": "your transaction failed before: roll it back",
    "40001": "somebody else changed the same order: roll your transaction back, and "
    "repeat all of it",
    "40P01": "two transactions waited for one another: roll yours back, and repeat "
    "all of it",
    "42P01": "call storage.migrate() first",
    "55P03": "somebody else holds a lock: roll your transaction back, and repeat all "
    "of it",
    "SQLITE_BUSY": "somebody else is writing: roll your transaction back, and repeat "
    "all of it; begin it with BEGIN IMMEDIATE, which waits",
    "SQLITE_BUSY_SNAPSHOT": "somebody else wrote since your transaction first read: "
    "roll it back, and repeat all of it; begin it with BEGIN IMMEDIATE, which waits",
}

# What was in the way passes by itself: the whole transaction may be repeated.
_PASSING: Final = frozenset(
    {"40001", "40P01", "55P03", "57P01", "57P02", "57P03"}
    | {"SQLITE_BUSY", "SQLITE_BUSY_RECOVERY", "SQLITE_BUSY_SNAPSHOT"}
)


@final
@attrs.frozen
class Failure:
    """
    What a driver, or what lies above it, says of a statement that failed.

    Attributes:
        said: Its first line: the others quote statements, and what people wrote.

        code: What the database calls it; empty if it did not say.

        repeat: Whether what was in the way passes by itself, or the connection is
            gone, and the transaction with it.
    """

    said: str
    code: str
    repeat: bool


def failure_of(error: BaseException) -> Failure:
    """
    Return what went wrong, by what the database itself said.
    """
    inner = error
    while (below := getattr(inner, "orig", None) or inner.__cause__) is not None:
        inner = below
    code = getattr(inner, "sqlstate", None)
    code = code or getattr(inner, "sqlite_errorname", None) or ""
    said = str(inner).partition("\n")[0].partition(" with text ")[0]
    if said.startswith("no such table"):
        code = "42P01"
    # With the connection the transaction is gone, and only the host could commit it.
    lost = code.startswith("08") or (
        not code and _is(inner, "psycopg", "OperationalError")
    )
    return Failure(said, code, lost or code in _PASSING)


def _failed(error: BaseException) -> StorageError:
    """
    Return a host's error as one of ours.  It is raised `from None`: the text of the
    other has the values of the statement, or of the row, and whoever logs the error
    would print what people wrote.
    """
    failure = failure_of(error)
    way_out = _WAYS_OUT.get(failure.code, "roll your transaction back")
    if failure.repeat and failure.code not in _WAYS_OUT:
        way_out += ", and repeat all of it"
    return StorageError(
        f"inside the transaction of the host: {failure.said}; {way_out}",
        repeat=failure.repeat,
    )


def _autocommit(way_out: str) -> NoTransactionError:
    return NoTransactionError(
        f"the connection is in autocommit, there is no transaction to join: {way_out}"
    )


# --- the hosts, blocking ----------------------------------------------------------


class _Host(abc.ABC):
    """
    How a statement reaches the transaction of the host.

    Attributes:
        database: `"sqlite"`, `"postgresql"`, or what the host calls another one.

        errors: What it raises when a statement fails.

        checked: Whether the settings of its session were looked at.
    """

    database: str
    errors: tuple[type[Exception], ...]
    checked = False

    @abc.abstractmethod
    def transaction(self) -> _Transaction:
        """
        Return how far the transaction is.

        Raises:
            NoTransactionError: If there is none, and will be none.
        """

    @abc.abstractmethod
    def execute(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """
        Return the rows of a statement; empty if it has none.
        """

    def drive(self, storage: _Any, asking: Asking[_T]) -> _T:
        """
        Return what a verb returns.

        Raises:
            StorageError: If a statement failed.
        """
        steps = _within(storage, self, asking)
        try:
            step = next(steps)
            while True:
                try:
                    rows = unsaid(self.database, *step)
                    if rows is None:
                        rows = self.execute(*step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(rows)
        except StopIteration as stop:
            done: _T = stop.value
            return done
        except self.errors as error:
            raise _failed(error) from None


class _AsyncHost(abc.ABC):
    """
    How a statement reaches the transaction of the host, awaited; see `_Host`.
    """

    database: str

    @abc.abstractmethod
    async def drive(self, storage: _Any, asking: Asking[_T]) -> _T:
        """
        Return what a verb returns; see `_Host.drive`.
        """


def unsaid(database: str, sql: str, values: Sequence[Any]) -> Sequence[Row] | None:
    """
    Return the rows of a statement that cannot be sent; `None` if it can.

    Raises:
        StorageError: If it would write what cannot be stored.
    """
    if _sayable(values, nul=database == "sqlite"):
        return None
    if sql.startswith("SELECT"):
        # What no text can be, no text in there is.
        return ()
    raise StorageError(
        "a text with NUL or half a character, or "
        "a number beyond 64 bits, cannot be stored; nothing was sent"
    )


_NO_AUTOCOMMIT: Final = "take a connection without isolation_level='AUTOCOMMIT'"
_IN_ATOMIC: Final = "use `with transaction.atomic():`"

# What drivers let through from below.
_BELOW: Final = (OSError, OverflowError, UnicodeError)


def _of_sqlite(raw: Any, way_out: str) -> _Transaction:
    """
    Return how far the transaction of a `sqlite3.Connection` is, or of its like.
    """
    if raw.in_transaction:
        return _Transaction.OPEN
    if raw.isolation_level is None or getattr(raw, "autocommit", None) is True:
        raise _autocommit(way_out)
    # Its own BEGIN would come before the first write, not before the first read.
    return _Transaction.LATENT


@final
class _Sqlite3Host(_Host):
    """
    A `sqlite3.Connection`.
    """

    database = "sqlite"

    def __init__(self, connection: Any) -> None:
        self._sqlite3 = sys.modules["sqlite3"]
        self._connection = connection
        self.errors = (self._sqlite3.Error, *_BELOW)

    def transaction(self) -> _Transaction:
        return _of_sqlite(self._connection, "execute BEGIN IMMEDIATE first")

    def execute(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        # A cursor of our own, whatever the host's would make of a row or a text.
        connection = self._connection
        factory = connection.text_factory
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            cursor = self._sqlite3.Cursor(connection)
            rows: list[Any] = cursor.execute(sql, values).fetchall()
            return rows
        finally:
            connection.text_factory = factory


@final
class _PsycopgHost(_Host):
    """
    A `psycopg.Connection`.
    """

    database = "postgresql"

    def __init__(self, connection: Any) -> None:
        self._psycopg = sys.modules["psycopg"]
        self._connection = connection
        self.errors = (self._psycopg.Error, *_BELOW)

    def transaction(self) -> _Transaction:
        return _of_psycopg(self._psycopg, self._connection)

    def execute(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        # Tuples, whatever the host's own cursors return.
        psycopg = self._psycopg
        plain = psycopg.rows.tuple_row
        with psycopg.Cursor(self._connection, row_factory=plain) as cursor:
            cursor.execute(_as_format(sql), values)
            # Every statement has rows; a pipeline knows of them only when asked.
            rows: Sequence[Row] = cursor.fetchall()
            return rows


def _of_psycopg(psycopg: Any, connection: Any) -> _Transaction:
    status = psycopg.pq.TransactionStatus
    begun = (status.INTRANS, status.INERROR)
    if connection.autocommit and connection.info.transaction_status not in begun:
        raise _autocommit("use `with connection.transaction():`")
    return _Transaction.OPEN


def _dialect(handle: Any) -> str:
    """
    Return the database of a SQLAlchemy `Session`, `Connection` or `Engine`.
    """
    if _is(handle, "sqlalchemy.orm", "Session"):
        try:
            handle = handle.get_bind()
        except sys.modules["sqlalchemy.exc"].SQLAlchemyError as error:
            raise InvalidInputError(
                "handle",
                "a session of no database, or of several: pass a connection to the one "
                "with the orders",
            ) from error
    name: str = handle.dialect.name
    return name


@final
class _AlchemyHost(_Host):
    """
    A SQLAlchemy `Session` or `Connection`.
    """

    # Where a connection remembers the transaction that was seen to be a real one.
    _SEEN: Final = "escrowflow"

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._is_session = _is(handle, "sqlalchemy.orm", "Session")
        self.errors = (sys.modules["sqlalchemy.exc"].SQLAlchemyError, *_BELOW)
        self.database = _dialect(handle)

    def transaction(self) -> _Transaction:
        handle = self._handle
        if self._is_session and not (handle.in_transaction() or handle.autobegin):
            raise _autocommit("use `with session.begin():`")
        connection = self._connection()
        if self.database == "sqlite":
            return self._of_sqlite(connection)
        if connection.connection.dbapi_connection.autocommit is True:
            raise _autocommit(_NO_AUTOCOMMIT)
        return _Transaction.OPEN

    def _of_sqlite(self, connection: Any) -> _Transaction:
        """
        Return how far the transaction is, unless it may be none.

        To SQLite a savepoint that comes first is the transaction, and the end of the
        savepoint its commit.  SQLAlchemy lets that happen with the driver as it
        comes, and afterwards it cannot be told from a savepoint in a transaction.
        """
        raw = connection.connection.driver_connection
        # aiosqlite shows less than it has.
        raw = getattr(raw, "_conn", raw)
        found = _of_sqlite(raw, _NO_AUTOCOMMIT)
        root = connection.get_transaction()
        seen = connection.info.get(self._SEEN)
        if (
            connection.in_nested_transaction()
            and raw.isolation_level is not None
            and getattr(raw, "autocommit", None) is not False
            and (seen is None or seen() is not root)
        ):
            raise NoTransactionError(
                "on SQLite, a savepoint that comes first is committed when it ends, "
                "whatever becomes of the transaction: use the orders once before "
                "begin_nested(), or let SQLAlchemy begin transactions itself, see "
                '"Transactions with SQLite and the sqlite3 driver" in its manual'
            )
        if root is not None and found is _Transaction.OPEN:
            connection.info[self._SEEN] = ref(root)
        return found

    def execute(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        text, names = _as_text(sql)
        # A cursor in the server cannot write.
        result = self._connection().execute(
            text,
            dict(zip(names, values, strict=True)),
            execution_options={"stream_results": False, "yield_per": None},
        )
        rows: Sequence[Row] = result.fetchall() if result.returns_rows else ()
        return rows

    def _connection(self) -> Any:
        # Not `session.execute`: the host's own objects are flushed when it says so.
        return self._handle.connection() if self._is_session else self._handle


@final
class DjangoHost(_Host):
    """
    The alias of a Django database; its connection is the one of the thread.
    """

    def __init__(self, alias: str) -> None:
        known: tuple[str, ...] = ()
        # There may be no Django, or no settings, which it says in a way of its own.
        with suppress(Exception):
            known = tuple(sys.modules["django.db"].connections)
        if alias not in known:
            raise InvalidInputError(
                "handle",
                f"a text is the alias of a Django database, one of {known}, not {alias!r}",
            )
        django = sys.modules["django.db"]
        unsafe = sys.modules["django.core.exceptions"].SynchronousOnlyOperation
        self.errors = (django.Error, unsafe, *_BELOW)
        self._alias = alias
        self._connections = django.connections
        self.database = self._connections[alias].vendor

    def transaction(self) -> _Transaction:
        connection = self._connections[self._alias]
        in_block = connection.in_atomic_block
        if not in_block and connection.get_autocommit():
            raise _autocommit(_IN_ATOMIC)
        if self.database != "sqlite":
            return _Transaction.OPEN
        connection.ensure_connection()
        raw = connection.connection
        if in_block and raw.isolation_level is not None:
            raise NoTransactionError(
                "on SQLite, with autocommit switched off, atomic() is a savepoint, which "
                "is committed when it ends: leave autocommit on"
            )
        return _of_sqlite(raw, _IN_ATOMIC)

    def execute(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        with self._connections[self._alias].cursor() as cursor:
            cursor.execute(_as_format(sql), values)
            return cursor.fetchall() if cursor.description else ()


# --- the hosts, awaited -----------------------------------------------------------


@final
class _AsyncPsycopgHost(_AsyncHost):
    """
    A `psycopg.AsyncConnection`.
    """

    database = "postgresql"
    checked = False

    def __init__(self, connection: Any) -> None:
        self._psycopg = sys.modules["psycopg"]
        self._connection = connection
        self._errors = (self._psycopg.Error, *_BELOW)

    def transaction(self) -> _Transaction:
        return _of_psycopg(self._psycopg, self._connection)

    async def drive(self, storage: _Any, asking: Asking[_T]) -> _T:
        steps = _within(storage, self, asking)
        try:
            step = next(steps)
            while True:
                try:
                    rows = unsaid(self.database, *step)
                    if rows is None:
                        rows = await self._execute(*step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(rows)
        except StopIteration as stop:
            done: _T = stop.value
            return done
        except self._errors as error:
            raise _failed(error) from None

    async def _execute(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        psycopg = self._psycopg
        plain = psycopg.rows.tuple_row
        async with psycopg.AsyncCursor(self._connection, row_factory=plain) as cursor:
            await cursor.execute(_as_format(sql), values)
            rows: Sequence[Row] = await cursor.fetchall()
            return rows


@final
class _AsyncAlchemyHost(_AsyncHost):
    """
    A SQLAlchemy `AsyncSession` or `AsyncConnection`: its blocking twin, which
    awaits below.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._errors = (sys.modules["sqlalchemy.exc"].SQLAlchemyError, *_BELOW)
        # A connection that was not opened yet has no twin.
        twin = getattr(handle, "sync_session", None)
        self.database = _dialect(handle.sync_engine if twin is None else twin)
        self._twin: _AlchemyHost | None = None

    async def drive(self, storage: _Any, asking: Asking[_T]) -> _T:
        def drive(twin: Any) -> _T:
            if self._twin is None:
                self._twin = _AlchemyHost(twin)
            return self._twin.drive(storage, asking)

        try:
            done: _T = await self._handle.run_sync(drive)
            return done
        except self._errors as error:
            raise _failed(error) from None
