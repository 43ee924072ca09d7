"""
Orders on the connections of Django.

- The connection is the one of the thread, as for every model: nothing is kept here.
- Inside a transaction of the host's a verb is in it, as with `Engine.within`.  It never
  begins, commits, rolls back or repeats that transaction.
- Outside of one, what is written is committed before a verb returns.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import Any, Final, TypeVar, final
from weakref import WeakSet

import attrs
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, connections, transaction

from ...errors import InvalidInputError, OutcomeUnknownError, StorageError
from ...inputs import kind_of
from ...storage import Capability, Storage, StoredEffect, StoredOrder
from ...storage.driven import SqlStorage
from ...storage.hosts import (
    DjangoHost,
    Joined,
    failure_of,
    joined,
    no_claims,
    no_migration,
    unsaid,
)
from ...storage.pgsql import MIGRATION_LOCK, PostgresVerbs
from ...storage.sql import Asking, Row, SqlVerbs
from ...storage.sqlite import SqliteVerbs

__all__ = ["VERBS", "DjangoStorage"]

_T = TypeVar("_T")

VERBS: Final[Mapping[str, SqlVerbs]] = {
    "sqlite": SqliteVerbs(),
    "postgresql": PostgresVerbs(),
}

# How a transaction of our own begins.  Whoever migrates on PostgreSQL and has waited for
# the lock must see what the other one has made.
_BEGIN: Final = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED",
}

# Outside of a transaction, a statement that could not be put in a row with others, or
# met somebody who waited for it, may simply be sent again.
_AGAIN: Final = frozenset({"40001", "40P01"})
_ATTEMPTS_MAX: Final = 20
# Seconds; doubled each time, up to the last.
_PAUSE: Final = 0.001
_PAUSE_MAX: Final = 0.1

# How many statements are remembered as Django writes them.
_STATEMENTS_MAX: Final = 1000

_FOREIGN: Final = (
    Error,
    SynchronousOnlyOperation,
    OSError,
    OverflowError,
    UnicodeError,
)

_NO_TABLES: Final = "no orders are kept in this database: run manage.py migrate"


def _as_alias(alias: str) -> str:
    if isinstance(alias, str) and alias:
        return alias
    raise InvalidInputError(
        "alias", f"the alias of a Django database, not {kind_of(alias)}"
    )


@lru_cache(_STATEMENTS_MAX)
def _as_format(sql: str) -> str:
    """
    Return a statement with `%s` for each value, as Django writes it.
    """
    return sql.replace("?", "%s")


@final
@attrs.define(eq=False, slots=False)
class DjangoStorage(SqlStorage):
    """
    Keeps orders in a database of Django's: SQLite or PostgreSQL.

    Inside `atomic()`, with `ATOMIC_REQUESTS`, and with autocommit switched off, what it
    writes is in your transaction and counts once that is committed.  Elsewhere it is
    committed at once.  It follows the alias: a test runner that swaps the database
    swaps this one.

    What claims work (`Engine.run_due`, `run_effects`, a worker) is refused inside a
    transaction of yours, but not inside that of a `TestCase`.  Before it, old
    connections are closed: who works for weeks keeps none that is too old or broken.

    Nothing is opened before it is used, so it may be built when settings are read.

    Implements: `Storage`

    Attributes:
        alias: Which of `DATABASES`.

    Raises:
        InvalidInputError: If the alias is no text.  Whether there is such a database,
            and of which kind, is looked at when it is used.
    """

    alias: str = attrs.field(default="default", converter=_as_alias)
    # The databases whose schema was looked at, and the connections whose settings were.
    _whole: set[str] = attrs.field(factory=set, init=False, repr=False)
    _sound: WeakSet[Any] = attrs.field(factory=WeakSet, init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False, repr=False)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs; in memory, nothing but to be in your
        transaction.  SQLite has no clock of its own.
        """
        if self._in_memory():
            return frozenset({Capability.WITHIN})
        if isinstance(self._verbs, PostgresVerbs):
            return frozenset(Capability)
        return frozenset(Capability) - {Capability.CLOCK}

    @property
    def _verbs(self) -> SqlVerbs:  # type: ignore[override]
        vendor = self._connection().vendor
        if vendor in VERBS:
            return VERBS[vendor]
        raise InvalidInputError(
            "alias",
            f"{self.alias!r} is a database of {vendor}: orders are kept in SQLite or "
            "PostgreSQL",
        )

    def within(self, handle: Any) -> Storage:
        """
        Return the storage inside a transaction of the host's own.

        Needed only to insist on one: where there is none, `NoTransactionError` is
        raised.

        Args:
            handle: The alias; or what else `Engine.within` takes, of this database.
        """
        return joined(self, handle)

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        See `Storage.claim_due`.

        Raises:
            InvalidInputError: Inside a transaction of yours.
        """
        return self._claim(self._verbs.claim_due(now, until, limit, known))

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

        Raises:
            InvalidInputError: Inside a transaction of yours.
        """
        return self._claim(self._verbs.claim_effects(now, until, limit, kinds, known))

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        Erase the texts of a person in these orders; return how many there were.

        On SQLite, outside of a transaction, the file is then written anew without them;
        see `SqliteStorage.erase_texts`.
        """
        if self._inside():
            return self._join(lambda inside: inside.erase_texts(subject_id, order_ids))
        erased = super().erase_texts(subject_id, order_ids)
        # Always: it may have been erased before a crash.
        if self._vendor() == "sqlite" and not self._in_memory():
            self._read(_written_anew())
        return erased

    def migrate(self) -> None:
        """
        Make the tables, or bring them up to date; safe to call by several at once.

        `manage.py migrate` does the same, and remembers that it did.

        Raises:
            StorageError: If the schema is newer than this release, or damaged.

            InvalidInputError: Inside a transaction of yours.
        """
        if self._inside():
            no_migration()
        self._look(migrate=True)

    def clock(self) -> int:
        """
        Return what time it is on the server, in microseconds since 1970.

        Raises:
            InvalidInputError: If it has no clock of its own: see `capabilities`.
        """
        verbs = self._verbs
        if not isinstance(verbs, PostgresVerbs):
            raise InvalidInputError("alias", "SQLite has no clock of its own")
        return self._read(verbs.clock())

    def versions(self) -> tuple[int, int]:
        """
        Return which version of the schema is there, 0 for none, and which one this
        release makes.

        Raises:
            StorageError: If it is newer than this release can live with, or damaged.
        """
        self._check_open()
        return self._drive(_versions(self._verbs), writes=False)

    def close(self) -> None:
        """
        Refuse everything from now on, and close the connection of this thread, unless a
        transaction is open on it: Django opens another one for whoever needs it.
        """
        if not self._closed:
            self._closed = True
            if (
                self.alias in connections
                and not connections[self.alias].in_atomic_block
            ):
                connections[self.alias].close()

    # --- below the verbs ----------------------------------------------------------

    def _read(self, asking: Asking[_T]) -> _T:
        if self._inside():
            return self._join(lambda inside: inside._read(asking))
        self._look()
        return self._drive(asking, writes=False)

    def _write(self, asking: Asking[_T]) -> _T:
        if self._inside():
            return self._join(lambda inside: inside._write(asking))
        self._look()
        if self._vendor() == "sqlite":
            return self._transact(asking)
        # Each verb is one statement, or several that may be repeated one by one.
        return self._drive(asking, writes=True)

    def _claim(self, asking: Asking[_T]) -> _T:
        """
        Drive a verb whose answer others must see at once.
        """
        if not self._inside():
            _close_old_connections()
            return self._write(asking)
        if not self._connection().in_atomic_block:
            no_claims()
        mine = transaction.atomic(using=self.alias, durable=True)
        try:
            # Django refuses it inside of any other than that of a `TestCase`.
            mine.__enter__()
        except RuntimeError:
            no_claims()
        with ExitStack() as stack:
            stack.push(mine)
            return self._join(lambda inside: inside._write(asking))

    def _inside(self) -> bool:
        """
        Whether there is a transaction of the host's.
        """
        self._check_open()
        connection = self._connection()
        try:
            return connection.in_atomic_block or not connection.get_autocommit()
        except _FOREIGN as error:
            raise self._failed(error) from None

    def _join(self, ask: Callable[[Joined], _T]) -> _T:
        """
        Ask a verb in the transaction of the host.
        """
        connection = self._connection()
        host = DjangoHost(self.alias)
        host.checked = connection.connection in self._sound
        try:
            return ask(Joined(self, host))
        finally:
            if host.checked:
                self._sounds(connection)

    def _drive(self, asking: Asking[_T], *, writes: bool) -> _T:
        try:
            step = next(asking)
            while True:
                step = asking.send(self._ask(*step, writes=writes))
        except StopIteration as stop:
            done: _T = stop.value
            return done

    def _ask(self, sql: str, values: Sequence[Any], *, writes: bool) -> Sequence[Row]:
        """
        Return the rows of a statement that is committed by itself.
        """
        connection = self._connection()
        rows = unsaid(connection.vendor, sql, values)
        if rows is not None:
            return rows
        pause = _PAUSE
        for attempt in range(_ATTEMPTS_MAX):
            if attempt:
                # Those that met must not meet again.
                time.sleep(random.uniform(0, pause))
                pause = min(2 * pause, _PAUSE_MAX)
            sent = False
            try:
                connection.ensure_connection()
                sent = True
                return _asked(connection, sql, values)
            except _FOREIGN as error:
                last = error
                lost = sent and getattr(connection.connection, "closed", False)
                # The next one who asks finds a connection that works: whoever is told
                # to repeat does it at once.
                with suppress(Error):
                    connection.close_if_unusable_or_obsolete()
                if lost and writes:
                    raise self._unknown(error) from None
                if failure_of(error).code not in _AGAIN:
                    break
        raise self._failed(last) from None

    def _transact(self, asking: Asking[_T]) -> _T:
        """
        Drive a verb in a transaction of our own.

        No statement of it is sent again, nor on another connection: what came before
        it would be gone, and what comes behind would be committed by itself.
        """
        connection = self._connection()
        self._ask(_BEGIN[connection.vendor], (), writes=False)
        begun = connection.connection
        try:
            done = self._drive_begun(connection, asking)
            try:
                with connection.cursor() as cursor:
                    cursor.execute("COMMIT")
            except _FOREIGN as error:
                if _is_open(begun):
                    raise self._failed(error) from None
                raise self._unknown(error) from None
            return done
        except BaseException:
            with suppress(Exception):
                if _is_open(begun):
                    begun.rollback()
            with suppress(Error):
                connection.close_if_unusable_or_obsolete()
            raise

    def _drive_begun(self, connection: Any, asking: Asking[_T]) -> _T:
        try:
            sql, values = next(asking)
            while True:
                rows = unsaid(connection.vendor, sql, values)
                if rows is None:
                    rows = _asked(connection, sql, values)
                sql, values = asking.send(rows)
        except StopIteration as stop:
            done: _T = stop.value
            return done
        except _FOREIGN as error:
            raise self._failed(error) from None

    def _look(self, *, migrate: bool = False) -> None:
        """
        See that the connection keeps what is promised, and that the schema is there.
        """
        connection = self._connection()
        verbs = self._verbs
        if connection.connection is None or connection.connection not in self._sound:
            self._drive(verbs.check_session(), writes=False)
            self._sounds(connection)
        name = str(connection.settings_dict["NAME"])
        if migrate:
            self._transact(_migrated(verbs))
        elif name in self._whole:
            return
        if not self._drive(verbs.inspect(), writes=False):
            raise StorageError(f"database {self.alias!r}: {_NO_TABLES}")
        self._whole.add(name)

    # --- the connection -----------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("this storage is closed: open another one")

    def _connection(self) -> Any:
        """
        Return Django's connection of this thread.
        """
        if self.alias in connections:
            return connections[self.alias]
        raise InvalidInputError(
            "alias",
            f"there is no {self.alias!r} in DATABASES, only "
            f"{', '.join(sorted(connections))}",
        )

    def _sounds(self, connection: Any) -> None:
        # SQLite has no settings that matter, and its connections cannot be remembered.
        if connection.vendor != "sqlite" and connection.connection is not None:
            self._sound.add(connection.connection)

    def _vendor(self) -> str:
        vendor: str = self._connection().vendor
        return vendor

    def _in_memory(self) -> bool:
        connection = self._connection()
        return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())

    def _failed(self, error: Exception) -> StorageError:
        # Only its first line: the others quote values, and what people wrote.
        failure = failure_of(error)
        if failure.code == "42P01":
            return StorageError(f"database {self.alias!r}: {_NO_TABLES}")
        return StorageError(
            f"database {self.alias!r}: {failure.said}", repeat=failure.repeat
        )

    def _unknown(self, error: Exception) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"database {self.alias!r}: {failure_of(error).said}; whether it was written "
            "is not known: repeat with the same key"
        )


def _asked(connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Row]:
    """
    Return the rows of a statement; empty if it has none.
    """
    with connection.cursor() as cursor:
        cursor.execute(_as_format(sql), values)
        rows: Sequence[Row] = cursor.fetchall() if cursor.description else ()
        return rows


def _close_old_connections() -> None:
    """
    Do for a worker what Django does at the ends of a request, and spare transactions
    that are open on other databases.
    """
    for connection in connections.all(initialized_only=True):
        if (
            connection.connection is not None
            and not connection.in_atomic_block
            and connection.autocommit == connection.settings_dict["AUTOCOMMIT"]
        ):
            connection.close_if_unusable_or_obsolete()


def _is_open(raw: Any) -> bool:
    """
    Whether a driver's connection is still in its transaction.
    """
    if hasattr(raw, "in_transaction"):
        return bool(raw.in_transaction)
    return not raw.closed and raw.info.transaction_status != 0


def _versions(verbs: SqlVerbs) -> Asking[tuple[int, int]]:
    newest = verbs.migrations[-1].version
    there = yield from verbs.parts()
    if not there:
        return 0, newest
    rows = yield "SELECT max(version) FROM escrowflow_schema", ()
    version: int = rows[0][0] or 0
    if version >= newest:
        yield from verbs.inspect()
    return version, newest


def _migrated(verbs: SqlVerbs) -> Asking[None]:
    if verbs.database == "postgresql":
        yield MIGRATION_LOCK
    yield from verbs.migrate()


def _written_anew() -> Asking[None]:
    """
    Write the whole file anew, without what was deleted; then write its log back, if it
    has one, and empty it.
    """
    yield "VACUUM", ()
    yield "PRAGMA wal_checkpoint(TRUNCATE)", ()
