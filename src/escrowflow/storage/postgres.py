"""
Orders in PostgreSQL, through psycopg 3.

- Each verb is one statement on a connection in autocommit: a commit is one round
  trip, and nothing is left in a session, so that PgBouncer may stand in between.
- A change is safe by locks and by what is checked under them, at any isolation
  level; the schema refuses, even to raw SQL, what must not become history.
- Connections are opened when they are first needed, and never cross a fork.

`psycopg` is known here and nowhere else; its errors do not leave this module.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import lru_cache
from threading import Lock
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar, final
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import attrs
import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from ..errors import InvalidInputError, OutcomeUnknownError, StorageError
from . import AsyncStorage, Capability, Change, CommitResult, Storage
from .driven import AsyncSqlStorage, SqlStorage
from .pgsql import MIGRATION_LOCK, PostgresVerbs
from .sql import NOT_HERE, Asking, Row, SqlVerbs

__all__ = ["AsyncPostgresStorage", "PostgresStorage", "PostgresVerbs"]

_T = TypeVar("_T")
_Row: TypeAlias = tuple[Any, ...]
_Link: TypeAlias = psycopg.Connection[_Row]
_AsyncLink: TypeAlias = psycopg.AsyncConnection[_Row]
_Threshold: TypeAlias = int | Literal["auto"] | None

_LEVELS: Final = ("full", "relaxed")

# A day: whoever waits longer for a connection is not waiting but stuck.
_TIMEOUT_MAX: Final = 86_400.0
_CONNECTIONS_MAX: Final = 10_000

# After so many refusals in a row, nobody's turn has come: 8 racers for one order
# need three or four.
_ATTEMPTS_MAX: Final = 20
# Seconds; doubled each time, up to the last.
_PAUSE: Final = 0.001
_PAUSE_MAX: Final = 0.1

# Nothing was written, and the same statement may succeed the next time: it could not
# be put in a row with others, or waited for somebody who waited for it.
_AGAIN: Final = frozenset({"40001", "40P01"})

# A lock that was waited for in vain.
_LOCKED: Final = "55P03"

# What psycopg raises, also for values it cannot send.
_FOREIGN: Final = (psycopg.Error, OverflowError, UnicodeEncodeError)

_STATEMENTS_MAX: Final = 2000

# A statement is prepared when it was sent so many times, where that is safe.
_PREPARED_AFTER: Final = 5


def _adapters() -> AdaptersMap:
    """
    Return how values are sent: as they are, without a detour by text.

    A number always has the type of the columns, however small it is: otherwise each
    size would be another prepared statement.
    """
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(list, ListBinaryDumper)
    return adapters


_ADAPTERS: Final = _adapters()


# --- what is passed in ------------------------------------------------------------


def _as_dsn(dsn: str) -> str:
    if not isinstance(dsn, str):
        raise InvalidInputError("dsn", "a text such as 'host=db dbname=orders'")
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error as error:
        # Its message may quote the password.
        raise InvalidInputError(
            "dsn", "a text such as 'host=db dbname=orders', or a URL"
        ) from error
    return dsn


def _as_shown(dsn: str) -> str:
    parts = conninfo_to_dict(dsn)
    secrets = {name: "..." for name in ("password", "sslpassword") if parts.get(name)}
    return repr(make_conninfo(dsn, **secrets))


def _as_durability(durability: str) -> str:
    if durability in _LEVELS:
        return durability
    raise InvalidInputError("durability", f"one of {', '.join(_LEVELS)}")


def _as_threshold(threshold: _Threshold) -> _Threshold:
    if threshold in (None, "auto") or (type(threshold) is int and threshold >= 0):
        return threshold
    raise InvalidInputError(
        "prepare_threshold", "'auto', a whole number from 0, or `None`"
    )


def _as_connections(connections: int) -> int:
    if type(connections) is int and 1 <= connections <= _CONNECTIONS_MAX:
        return connections
    raise InvalidInputError("connections", f"1 to {_CONNECTIONS_MAX}")


def _as_seconds(window: timedelta | float) -> float:
    if isinstance(window, timedelta):
        window = window.total_seconds()
    if type(window) in (int, float) and 0 < window <= _TIMEOUT_MAX:
        return float(window)
    raise InvalidInputError("timeout", "seconds, or a `timedelta`; at most a day")


def _options(url: str) -> tuple[str, dict[str, Any]]:
    """
    Return what a URL says to libpq, and what it says to us.
    """
    problem = "'postgresql://user@host/database', with `?durability=relaxed` if wanted"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInputError("url", problem) from error
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise InvalidInputError("url", problem)
    # Not put together again by the standard library: it drops slashes.
    base, _, query = url.partition("?")
    ours: dict[str, Any] = {}
    theirs = []
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name not in _OURS:
            theirs.append(pair)
        elif name in ours:
            raise InvalidInputError("url", f"`{name}` twice")
        else:
            ours[name] = _read_option(name, unquote(value))
    return "?".join([base, *(["&".join(theirs)] if theirs else [])]), ours


_OURS: Final = ("durability", "prepare_threshold", "connections", "timeout")


def _read_option(name: str, value: str) -> Any:
    if name == "durability":
        return value
    if name == "prepare_threshold" and value in ("none", "auto"):
        return None if value == "none" else value
    try:
        return float(value) if name == "timeout" else int(value)
    except ValueError as error:
        raise InvalidInputError(name, f"a number, not {value!r}") from error


# --- what both storages are -------------------------------------------------------

_VERBS: Final = PostgresVerbs()
_LENIENT: Final = PostgresVerbs(lenient=True)
_RELAXED: Final = PostgresVerbs(lenient=True, relaxed=True)


@attrs.define(eq=False, slots=False)
class _Settings:
    """
    What both storages are made of.

    Attributes:
        dsn: The database, as libpq reads it: `"host=db dbname=orders"`, or a URL.

        durability: `"full"`: what was committed survives a loss of power, as far as
            the server's own settings go.  `"relaxed"`: commits do not wait for the
            disk, and the last ones may be lost then, whole and from the end.

        prepare_threshold: A statement is prepared when it was sent so many times;
            `None`: never.  `"auto"`: never where something like PgBouncer shares
            connections to the server among its clients, which is found out on each
            one that is opened; five times elsewhere.

        connections: How many there are at most, in each process.

        timeout: How long a verb waits for one of them, in seconds or as a
            `timedelta`.

        create: Whether the tables are made when they are first needed; otherwise
            only by `migrate()`.

    Raises:
        InvalidInputError: If an argument is none of these.
    """

    dsn: str = attrs.field(converter=_as_dsn, repr=_as_shown)
    durability: str = attrs.field(
        default="full", converter=_as_durability, kw_only=True
    )
    prepare_threshold: _Threshold = attrs.field(
        default="auto", converter=_as_threshold, kw_only=True
    )
    connections: int = attrs.field(default=10, converter=_as_connections, kw_only=True)
    timeout: float = attrs.field(default=30.0, converter=_as_seconds, kw_only=True)
    create: bool = attrs.field(default=True, converter=bool, kw_only=True, repr=False)
    _verbs: SqlVerbs = attrs.field(init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False, repr=False)

    @_verbs.default
    def _as_durable(self) -> SqlVerbs:
        # What a host says of its own transaction holds for what we write in it.
        return _LENIENT if self.durability == "relaxed" else _VERBS

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> Self:
        """
        Return the storage a URL names.

        Args:
            url: `"postgresql://user@host/database"`, as libpq reads it; then, if
                wanted, `?durability=relaxed`, `prepare_threshold=none`,
                `connections=20`, `timeout=5`, joined by `&`.

            create: As the attribute.

        Raises:
            InvalidInputError: If it is none of these.
        """
        dsn, ours = _options(url)
        return cls(dsn, **ours, create=create)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs: everything.
        """
        return frozenset(Capability)

    def ddl(self) -> tuple[str, ...]:
        """
        Return every statement that makes the schema in an empty database.
        """
        return _VERBS.ddl()

    @property
    def _own(self) -> PostgresVerbs:
        """
        The verbs on connections of our own.  Inside a host's transaction nothing is
        relaxed: all that the host writes in it would be.
        """
        return _RELAXED if self.durability == "relaxed" else _VERBS

    def _named(self, cursors: type) -> dict[str, Any]:
        """
        Return how a connection is opened.
        """
        return {
            "autocommit": True,
            "context": _ADAPTERS,
            "cursor_factory": cursors,
            "prepare_threshold": None if self._looks else self.prepare_threshold,
            "client_encoding": "utf8",
            "fallback_application_name": "escrowflow",
        }

    @property
    def _looks(self) -> bool:
        """
        Whether each connection is looked at, for somebody who shares it.  Where the
        first one led says nothing of the next: PgBouncer may have been put in between,
        or another server has taken over.
        """
        return self.prepare_threshold == "auto"

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("this storage is closed: open another one")


# --- one statement ----------------------------------------------------------------


@lru_cache(_STATEMENTS_MAX)
def _numbered(sql: str) -> bytes:
    """
    Return a statement with `$1`, `$2`, ... for its values: nothing is left to parse.
    """
    first, *rest = sql.split("?")
    parts = (f"${number}{part}" for number, part in enumerate(rest, 1))
    return (first + "".join(parts)).encode()


def _said(error: BaseException) -> str:
    """
    Return what went wrong, in one line, and without what people wrote.
    """
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return str(error).partition("\n")[0]


def _failure(
    error: Exception, link: psycopg.BaseConnection[Any], *, writes: bool
) -> StorageError | None:
    """
    Return what a failed statement means; `None` if it is to be sent again.

    Whoever lost the connection does not know what became of the statement, whatever
    was said before the end: even a server that goes down in good order may have
    committed.  Only one that goes on talking has refused.
    """
    if link.closed:
        if not writes:
            return None
        return OutcomeUnknownError(
            f"PostgreSQL: {_said(error)}; whether it was written is not known: repeat "
            "with the same key"
        )
    if isinstance(error, psycopg.Error) and error.sqlstate in _AGAIN:
        return None
    locked = isinstance(error, psycopg.Error) and error.sqlstate == _LOCKED
    return StorageError(f"PostgreSQL: {_said(error)}", repeat=locked)


def _unreached(error: psycopg.Error) -> StorageError:
    """
    Return what it means that there is no connection: nothing was sent, unless the
    server has said what is wrong.
    """
    lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return StorageError(f"PostgreSQL: {_said(error)}", repeat=lost)


def _unsaid(error: Exception, sql: str) -> bool:
    """
    Whether a query asked for a text that no text in the database can be.
    """
    return (
        not isinstance(error, psycopg.Error) or error.diag.sqlstate is None
    ) and sql.startswith("SELECT")


_WHO_ANSWERS: Final = b"SELECT pg_backend_pid()"


def _threshold(link: psycopg.BaseConnection[Any], rows: Sequence[Row]) -> int | None:
    """
    Return when a statement is prepared on a connection.

    Who shares a connection to the server with others would find theirs under the names
    of his own, and run them with his values.  Whoever stands in between has told us
    another process than the one that answers.

    Args:
        rows: What was answered to `_WHO_ANSWERS`.

    Source: https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
    """
    ((answering,),) = rows
    return _PREPARED_AFTER if answering == link.info.backend_pid else None


def _is_stale(link: psycopg.BaseConnection[Any]) -> bool:
    """
    Whether the server has hung up while nobody was asking.

    An idle connection has nothing to say.  What it says all the same is read: news
    come to an end, and the end is an error.
    """
    poll = select.poll()
    poll.register(link.pgconn.socket, select.POLLIN)
    try:
        while poll.poll(0):
            link.pgconn.consume_input()
    except psycopg.Error:
        return True
    return False


def _pauses() -> Iterator[float]:
    """
    Yield how long to wait before each further attempt, in seconds.
    """
    pause = _PAUSE
    for _ in range(_ATTEMPTS_MAX):
        yield random.uniform(0, pause)
        pause = min(2 * pause, _PAUSE_MAX)


def _tired(error: Exception) -> StorageError:
    return StorageError(
        f"PostgreSQL: {_said(error)}, {_ATTEMPTS_MAX} times; nothing was written: "
        "try again later",
        repeat=True,
    )


def _preparing(verbs: PostgresVerbs, *, migrate: bool, create: bool) -> Asking[None]:
    """
    Ask whether the schema is there, and make it or bring it up to date.

    Raises:
        StorageError: If it is missing and is not to be made.
    """
    if not (create or migrate or (yield from verbs.parts())):
        raise StorageError(f"PostgreSQL: {NOT_HERE}")
    yield from verbs.check_session()
    if migrate or not (yield from verbs.inspect()):
        # Who has waited for the lock sees what the other one has made, whatever the
        # level of isolation is by default.
        yield "BEGIN ISOLATION LEVEL READ COMMITTED", ()
        yield MIGRATION_LOCK
        yield from verbs.migrate()
        yield "COMMIT", ()
        yield from verbs.inspect()


# --- the storage ------------------------------------------------------------------

_Pool: TypeAlias = ConnectionPool[_Link]
_AsyncPool: TypeAlias = AsyncConnectionPool[_AsyncLink]

# What was inherited from a parent process: whoever collected it as garbage would
# talk to the parent's server in the parent's name.
_INHERITED: Final[list[Any]] = []


@final
class _Home:
    """
    What one process has opened.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = Lock()
        self.pool: _Pool | None = None


@final
@attrs.define(eq=False, slots=False)
class PostgresStorage(_Settings, SqlStorage):
    """
    Keeps orders in PostgreSQL, for any number of threads, processes and machines.

    Nothing is opened before it is used, so it may be built at import and before a
    fork.  The tables of an empty database are made when they are first needed.

    Implements: `Storage`

    Source: https://www.postgresql.org/docs/current/transaction-iso.html
    """

    _home: _Home = attrs.field(factory=_Home, init=False, repr=False)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write changes in one statement; see `Storage.commit`.

        Raises:
            InvalidInputError: If the batch is wrong by itself.

            StorageError: If it failed, also after the server has found too often
                that it cannot be put in a row with what others do (40001, 40P01):
                that is no conflict, for it says nothing about a single order.
                Nothing of the batch was written.

            OutcomeUnknownError: If the connection was lost before the answer came.
        """
        return self._write(self._own.commit(changes))

    def migrate(self) -> None:
        """
        Bring the schema up to date; safe to call by several at once.

        Raises:
            StorageError: If the schema is newer than this release, or damaged.
        """
        self._check_open()
        self._prepare(migrate=True)

    def clock(self) -> int:
        """
        Return what time it is on the server, in microseconds since 1970.
        """
        return self._read(self._own.clock())

    def within(self, handle: Any) -> Storage:
        """
        Return the storage inside a transaction of the host's own.

        Args:
            handle: A SQLAlchemy `Session` or `Connection`, the alias of a Django
                database, or a `psycopg.Connection`.
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
                # Who is at work finishes it.
                if home.pool is not None:
                    home.pool.close()

    # --- below the verbs ----------------------------------------------------------

    def _read(self, asking: Asking[_T]) -> _T:
        return self._drive(asking, writes=False)

    def _write(self, asking: Asking[_T]) -> _T:
        return self._drive(asking, writes=True)

    def _drive(self, asking: Asking[_T], *, writes: bool) -> _T:
        try:
            sql, values = next(asking)
            while True:
                rows = self._ask(sql, values, writes=writes)
                sql, values = asking.send(rows)
        except StopIteration as stop:
            done: _T = stop.value
            return done

    def _ask(self, sql: str, values: Sequence[Any], *, writes: bool) -> Sequence[Row]:
        pool = self._pool()
        for pause in _pauses():
            link = _taken(pool)
            try:
                cursor = link.cursor(binary=True)
                return cursor.execute(_numbered(sql), values).fetchall()
            except _FOREIGN as error:
                if _unsaid(error, sql) and not link.closed:
                    return ()
                failure = _failure(error, link, writes=writes)
                if failure is not None:
                    raise failure from error
                last = error
            finally:
                pool.putconn(link)
            # Those that met must not meet again.
            time.sleep(pause)
        raise _tired(last) from last

    def _pool(self) -> _Pool:
        self._check_open()
        home = self._home
        if home.pid != os.getpid():
            _INHERITED.append(home)
            home = self._home = _Home()
        if home.pool is None:
            with home.lock:
                # Another thread may have been faster.
                home.pool = home.pool or self._opened()
        return home.pool

    def _opened(self) -> _Pool:
        self._prepare(migrate=False)
        return ConnectionPool(
            self.dsn,
            kwargs=self._named(psycopg.RawCursor),
            configure=self._know,
            min_size=0,
            max_size=self.connections,
            timeout=self.timeout,
            open=True,
        )

    def _know(self, link: _Link) -> None:
        """
        Look at a connection that was opened.
        """
        if self._looks:
            rows = link.execute(_WHO_ANSWERS).fetchall()
            link.prepare_threshold = _threshold(link, rows)

    def _prepare(self, *, migrate: bool) -> None:
        """
        See that the schema is there, on a connection of its own: who cannot open
        one is told why, which a pool does not say.
        """
        asking = _preparing(self._own, migrate=migrate, create=self.create)
        try:
            named = self._named(psycopg.RawCursor)
            with closing(psycopg.connect(self.dsn, **named)) as link:
                sql, values = next(asking)
                while True:
                    cursor = link.execute(_numbered(sql), values)
                    rows = cursor.fetchall() if cursor.description else []
                    sql, values = asking.send(rows)
        except StopIteration:
            return
        except psycopg.Error as error:
            raise _unreached(error) from error


def _taken(pool: _Pool) -> _Link:
    """
    Return a connection whose server is still there.
    """
    while True:
        try:
            link = pool.getconn()
        except psycopg.Error as error:
            raise _unreached(error) from error
        if not _is_stale(link):
            return link
        link.close()
        pool.putconn(link)


# --- the storage, awaited ---------------------------------------------------------


@final
class _AsyncHome:
    """
    What one event loop of one process has opened.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lock = asyncio.Lock()
        self.pool: _AsyncPool | None = None
        self.links: WeakSet[_AsyncLink] = WeakSet()

    def leave(self) -> None:
        """
        Close the connections of an event loop that is over.
        """
        for link in self.links:
            link.pgconn.finish()


@final
@attrs.define(eq=False, slots=False)
class AsyncPostgresStorage(_Settings, AsyncSqlStorage):
    """
    A `PostgresStorage` whose verbs are awaited, for any number of tasks.

    A verb that is cancelled has happened whole, or not at all.  It may be used by
    one event loop after another, not by two at once.

    Implements: `AsyncStorage`
    """

    _home: _AsyncHome = attrs.field(factory=_AsyncHome, init=False, repr=False)

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        See `PostgresStorage.commit`.
        """
        return await self._write(self._own.commit(changes))

    async def migrate(self) -> None:
        """
        See `PostgresStorage.migrate`.
        """
        self._check_open()
        await self._prepare(migrate=True)

    async def clock(self) -> int:
        """
        See `PostgresStorage.clock`.
        """
        return await self._read(self._own.clock())

    def within(self, handle: Any) -> AsyncStorage:
        """
        Return the storage inside a transaction of the host's own.

        Args:
            handle: A SQLAlchemy `AsyncSession` or `AsyncConnection`, or a
                `psycopg.AsyncConnection`.
        """
        from .hosts import joined_async

        return joined_async(self, handle)

    async def close(self) -> None:
        """
        See `PostgresStorage.close`.
        """
        self._closed = True
        home = self._home
        if home.pid != os.getpid():
            return
        if home.loop is asyncio.get_running_loop():
            async with home.lock:
                # Who is at work finishes it.
                if home.pool is not None:
                    await home.pool.close()
        else:
            home.leave()

    # --- below the verbs ----------------------------------------------------------

    async def _read(self, asking: Asking[_T]) -> _T:
        return await self._drive(asking, writes=False)

    async def _write(self, asking: Asking[_T]) -> _T:
        return await self._drive(asking, writes=True)

    async def _drive(self, asking: Asking[_T], *, writes: bool) -> _T:
        try:
            sql, values = next(asking)
            while True:
                rows = await self._ask(sql, values, writes=writes)
                sql, values = asking.send(rows)
        except StopIteration as stop:
            done: _T = stop.value
            return done

    async def _ask(
        self, sql: str, values: Sequence[Any], *, writes: bool
    ) -> Sequence[Row]:
        pool = await self._pool()
        for pause in _pauses():
            link = await _taken_async(pool)
            try:
                cursor = link.cursor(binary=True)
                await cursor.execute(_numbered(sql), values)
                return await cursor.fetchall()
            except _FOREIGN as error:
                if _unsaid(error, sql) and not link.closed:
                    return ()
                failure = _failure(error, link, writes=writes)
                if failure is not None:
                    raise failure from error
                last = error
            finally:
                # Whoever is cancelled gives it back all the same.
                await asyncio.shield(pool.putconn(link))
            await asyncio.sleep(pause)
        raise _tired(last) from last

    async def _pool(self) -> _AsyncPool:
        self._check_open()
        home = self._home
        loop = asyncio.get_running_loop()
        if home.pid != os.getpid():
            _INHERITED.append(home)
            home = self._home = _AsyncHome()
        elif home.loop not in (None, loop):
            home.leave()
            home = self._home = _AsyncHome()
        home.loop = loop
        if home.pool is None:
            async with home.lock:
                if home.pool is None:
                    await self._prepare(migrate=False)
                    home.pool = AsyncConnectionPool(
                        self.dsn,
                        kwargs=self._named(psycopg.AsyncRawCursor),
                        configure=self._know,
                        min_size=0,
                        max_size=self.connections,
                        timeout=self.timeout,
                        open=False,
                    )
                    await home.pool.open()
        return home.pool

    async def _know(self, link: _AsyncLink) -> None:
        """
        Remember a connection that was opened, and look at it.
        """
        self._home.links.add(link)
        if self._looks:
            rows = await (await link.execute(_WHO_ANSWERS)).fetchall()
            link.prepare_threshold = _threshold(link, rows)

    async def _prepare(self, *, migrate: bool) -> None:
        """
        See `PostgresStorage`.
        """
        asking = _preparing(self._own, migrate=migrate, create=self.create)
        try:
            named = self._named(psycopg.AsyncRawCursor)
            link = await psycopg.AsyncConnection.connect(self.dsn, **named)
            try:
                sql, values = next(asking)
                while True:
                    cursor = await link.execute(_numbered(sql), values)
                    rows = await cursor.fetchall() if cursor.description else []
                    sql, values = asking.send(rows)
            finally:
                await link.close()
        except StopIteration:
            return
        except psycopg.Error as error:
            raise _unreached(error) from error


async def _taken_async(pool: _AsyncPool) -> _AsyncLink:
    """
    See `_taken`.
    """
    while True:
        try:
            link = await pool.getconn()
        except psycopg.Error as error:
            raise _unreached(error) from error
        if not _is_stale(link):
            return link
        await link.close()
        await pool.putconn(link)
