"""
Marketplaces with tables of their own, one for each kind of transaction that an
engine can join.

A `Shop` is one connection with one transaction.  Those that are awaited have an
event loop of their own, so that a test reads the same for all.
"""

from __future__ import annotations

import abc
import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from inspect import isawaitable
from pathlib import Path
from typing import Any, ClassVar, Final, Self, final
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from escrowflow import engine as e
from escrowflow.clock import Clock, FakeClock
from escrowflow.storage import (
    Books,
    Change,
    NewEvent,
    open_async_storage,
    open_storage,
)
from tests.given import COMEUP, T0
from tests.pg import Server

__all__ = ["KINDS", "PLACED", "Database", "Databases", "Shop", "change"]

# How many events it takes to place an order that is paid.
PLACED: Final = 3

_LISTING: Final = "CREATE TABLE shop_listing (order_id TEXT NOT NULL)"


class Database(abc.ABC):
    """
    A database with the tables of a shop; those of the orders are made at first use.

    Attributes:
        name: `"sqlite"` or `"postgresql"`.

        url: What `open_storage` takes.

        alias: What Django calls it.
    """

    name: str
    url: str

    def __init__(self) -> None:
        self.alias = f"shop_{uuid4().hex}"
        self.storage = open_storage(self.url)
        self.engine = e.Engine(COMEUP, self.storage, clock=FakeClock(T0))
        self.execute(_LISTING)
        if not settings.configured:
            settings.configure(DATABASES={})
            apps.populate([])
        known = connections.configure_settings({"default": {}, "it": self.django})
        connections.settings[self.alias] = known["it"]

    @abc.abstractmethod
    def execute(self, sql: str) -> list[Any]:
        """
        Say something on a connection of its own.
        """

    @property
    @abc.abstractmethod
    def django(self) -> dict[str, Any]:
        """
        What Django has to know.
        """

    @abc.abstractmethod
    def alchemy(self, driver: str) -> sa.URL:
        """
        What SQLAlchemy has to know.
        """

    def listed(self, order_id: str) -> int:
        """
        Return how many rows the shop has for an order, committed.
        """
        rows = self.execute("SELECT order_id FROM shop_listing")
        return [tuple(row) for row in rows].count((order_id,))

    def version(self, order_id: str) -> int:
        """
        Return the version of an order, committed; 0 if there is none.
        """
        return self.storage.load(order_id).version

    def both(self, order_id: str) -> tuple[int, int]:
        """
        Return the version of an order, and how many rows the shop has for it.
        """
        return self.version(order_id), self.listed(order_id)

    def close(self) -> None:
        """
        Let go of everything.
        """
        self.storage.close()


@final
class SqliteDatabase(Database):
    """
    A file.
    """

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.url = f"sqlite:///{path}?durability=relaxed"
        super().__init__()

    def execute(self, sql: str) -> list[Any]:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    @property
    def django(self) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": self.path}

    def alchemy(self, driver: str) -> sa.URL:
        return sa.URL.create(f"sqlite+{driver}", database=self.path)


@final
class PostgresDatabase(Database):
    """
    A database of a server.
    """

    name = "postgresql"

    def __init__(self, server: Server) -> None:
        name = server.database()
        self.dsn = server.dsn_of(name)
        self.url = server.url_of(name)
        super().__init__()

    def execute(self, sql: str) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def django(self) -> dict[str, Any]:
        parts = conninfo_to_dict(self.dsn)
        names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
        return {
            "ENGINE": "django.db.backends.postgresql",
            **{name: str(parts.get(key, "")) for name, key in names.items()},
            "PASSWORD": str(parts.get("password", "")),
        }

    def alchemy(self, driver: str) -> sa.URL:
        parts = conninfo_to_dict(self.dsn)
        return sa.URL.create(
            f"postgresql+{driver}",
            username=str(parts["user"]),
            password=str(parts.get("password") or "") or None,
            database=str(parts["dbname"]),
            query={"host": str(parts["host"])},
        )


@final
class Databases:
    """
    The databases of the tests, each made when it is first asked for.
    """

    def __init__(self, folder: Path, server: Callable[[], Server]) -> None:
        self._folder = folder
        self._server = server
        self._stack = ExitStack()
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self.new(name)
            self._known[name].engine.storage.migrate()
        return self._known[name]

    def new(self, name: str) -> Any:
        """
        Return another one, without the tables of the orders.
        """
        made: Database
        if name == "sqlite":
            made = SqliteDatabase(self._folder / f"{uuid4().hex}.db")
        else:
            made = PostgresDatabase(self._server())
        self._stack.callback(made.close)
        return made

    def close(self) -> None:
        """
        Close all.
        """
        self._stack.close()


class Shop(abc.ABC):
    """
    One connection of a marketplace.

    Attributes:
        handle: What `within` takes.
    """

    # Which database, which driver; and whether its engine is awaited.
    database_name: ClassVar[str] = ""
    driver: ClassVar[str] = ""
    awaited: ClassVar[bool] = False

    handle: Any

    def __init__(self, database: Any, *, autocommit: bool = False) -> None:
        self.database = database
        self._runner = asyncio.Runner() if self.awaited else None
        self.open(autocommit=autocommit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._runner is not None:
            self._runner.close()

    def do(self, result: Any) -> Any:
        """
        Return a result, awaited if it has to be.
        """
        if not isawaitable(result):
            return result
        assert self._runner is not None
        assert isinstance(result, Coroutine)
        return self._runner.run(result)

    def call(self, function: Callable[[], Any]) -> Any:
        """
        Return what a function returns, called where there is an event loop if there
        has to be one.
        """
        if self._runner is None:
            return function()

        async def called() -> Any:
            result = function()
            return await result if isawaitable(result) else result

        return self._runner.run(called())

    def engine(self, clock: Clock | None = None) -> Any:
        """
        Return an engine that is not in the transaction yet.
        """
        clock = clock if clock is not None else FakeClock(T0)
        if self.awaited:
            return e.AsyncEngine(
                COMEUP, open_async_storage(self.database.url), clock=clock
            )
        return e.Engine(COMEUP, self.database.storage, clock=clock)

    def within(self, clock: Clock | None = None) -> Inside:
        """
        Return an engine in the transaction.
        """
        return Inside(self, self.engine(clock).within(self.handle))

    def list(self, order_id: str) -> None:
        """
        Write a row of the shop's own.
        """
        self.execute(f"INSERT INTO shop_listing VALUES ('{order_id}')")

    @abc.abstractmethod
    def open(self, *, autocommit: bool) -> None:
        """
        Open the connection, and set the handle.
        """

    @abc.abstractmethod
    def execute(self, sql: str) -> None:
        """
        Say something in the transaction, as the shop says it.
        """

    @abc.abstractmethod
    def savepoint(self) -> None:
        """
        Begin a savepoint.
        """

    @abc.abstractmethod
    def undo(self) -> None:
        """
        Roll back to the savepoint.
        """

    @abc.abstractmethod
    def commit(self) -> None:
        """
        Commit the transaction.
        """

    @abc.abstractmethod
    def rollback(self) -> None:
        """
        Roll the transaction back.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """
        Close the connection.
        """


@final
class Inside:
    """
    An engine in a transaction; what it has to await is awaited.
    """

    def __init__(self, shop: Shop, target: Any) -> None:
        self._shop = shop
        self.target = target

    @property
    def storage(self) -> Any:
        """
        Its storage.
        """
        return Inside(self._shop, self.target.storage)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.target, name)

        def called(*values: Any, **named: Any) -> Any:
            return self._shop.call(lambda: method(*values, **named))

        return called


# --- blocking ---------------------------------------------------------------------


class _Sqlite3Shop(Shop):
    database_name = "sqlite"

    def open(self, *, autocommit: bool) -> None:
        level: Any = None if autocommit else ""
        self.handle = sqlite3.connect(
            self.database.path, isolation_level=level, timeout=0
        )

    def execute(self, sql: str) -> None:
        self.handle.execute(sql)

    def savepoint(self) -> None:
        self.handle.execute("SAVEPOINT shop")

    def undo(self) -> None:
        self.handle.execute("ROLLBACK TO shop")

    def commit(self) -> None:
        self.handle.commit()

    def rollback(self) -> None:
        self.handle.rollback()

    def close(self) -> None:
        self.handle.close()


class _PsycopgShop(Shop):
    database_name = "postgresql"

    def open(self, *, autocommit: bool) -> None:
        self.handle = psycopg.connect(self.database.dsn, autocommit=autocommit)

    def execute(self, sql: str) -> None:
        self.handle.execute(sql)

    def savepoint(self) -> None:
        self.handle.execute("SAVEPOINT shop")

    def undo(self) -> None:
        self.handle.execute("ROLLBACK TO shop")

    def commit(self) -> None:
        self.handle.commit()

    def rollback(self) -> None:
        self.handle.rollback()

    def close(self) -> None:
        self.handle.close()


class _AlchemyShop(Shop):
    def open(self, *, autocommit: bool) -> None:
        self._engine = sa.create_engine(
            self.database.alchemy(self.driver), poolclass=NullPool
        )
        engine = self._engine
        if autocommit:
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.handle = self._opened(engine)

    @abc.abstractmethod
    def _opened(self, engine: sa.Engine) -> Session | sa.Connection: ...

    def execute(self, sql: str) -> None:
        self.handle.execute(sa.text(sql))

    def savepoint(self) -> None:
        self._nested = self.handle.begin_nested()

    def undo(self) -> None:
        self._nested.rollback()

    def commit(self) -> None:
        self.handle.commit()

    def rollback(self) -> None:
        self.handle.rollback()

    def close(self) -> None:
        self.handle.close()
        self._engine.dispose()


class _SqliteSession(_AlchemyShop):
    database_name = "sqlite"
    driver = "pysqlite"

    def _opened(self, engine: sa.Engine) -> Session:
        return Session(engine)


class _SqliteConnection(_AlchemyShop):
    database_name = "sqlite"
    driver = "pysqlite"

    def _opened(self, engine: sa.Engine) -> sa.Connection:
        return engine.connect()


class _PostgresSession(_SqliteSession):
    database_name = "postgresql"
    driver = "psycopg"


class _PostgresConnection(_SqliteConnection):
    database_name = "postgresql"
    driver = "psycopg"


class _DjangoShop(Shop):
    def open(self, *, autocommit: bool) -> None:
        self.handle = self.database.alias
        self._autocommit = autocommit
        self._begin()

    def _begin(self) -> None:
        self._block = None if self._autocommit else transaction.atomic(self.handle)
        if self._block is not None:
            self._block.__enter__()

    def _end(self) -> None:
        if self._block is not None:
            self._block.__exit__(None, None, None)
        self._block = None

    def execute(self, sql: str) -> None:
        with connections[self.handle].cursor() as cursor:
            cursor.execute(sql)

    def savepoint(self) -> None:
        self._nested = connections[self.handle].savepoint()

    def undo(self) -> None:
        connections[self.handle].savepoint_rollback(self._nested)

    def commit(self) -> None:
        self._end()
        self._begin()

    def rollback(self) -> None:
        if self._block is not None:
            transaction.set_rollback(True, self.handle)
        self._end()
        self._begin()

    def close(self) -> None:
        if self._block is not None:
            transaction.set_rollback(True, self.handle)
        self._end()
        connections[self.handle].close()


class _SqliteDjango(_DjangoShop):
    database_name = "sqlite"


class _PostgresDjango(_DjangoShop):
    database_name = "postgresql"


# --- awaited ----------------------------------------------------------------------


class _AsyncPsycopgShop(Shop):
    database_name = "postgresql"
    awaited = True

    def open(self, *, autocommit: bool) -> None:
        self.handle = self.do(
            psycopg.AsyncConnection.connect(self.database.dsn, autocommit=autocommit)
        )

    def execute(self, sql: str) -> None:
        self.do(self.handle.execute(sql))

    def savepoint(self) -> None:
        self.execute("SAVEPOINT shop")

    def undo(self) -> None:
        self.execute("ROLLBACK TO shop")

    def commit(self) -> None:
        self.do(self.handle.commit())

    def rollback(self) -> None:
        self.do(self.handle.rollback())

    def close(self) -> None:
        self.do(self.handle.close())


class _AsyncAlchemyShop(Shop):
    awaited = True

    def open(self, *, autocommit: bool) -> None:
        self._engine = create_async_engine(
            self.database.alchemy(self.driver), poolclass=NullPool
        )
        engine = self._engine
        if autocommit:
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.handle = self.do(self._opened(engine))

    @abc.abstractmethod
    async def _opened(self, engine: AsyncEngine) -> AsyncSession | AsyncConnection: ...

    def execute(self, sql: str) -> None:
        self.do(self.handle.execute(sa.text(sql)))

    def savepoint(self) -> None:
        async def nested() -> Any:
            return await self.handle.begin_nested()

        self._nested = self.do(nested())

    def undo(self) -> None:
        self.do(self._nested.rollback())

    def commit(self) -> None:
        self.do(self.handle.commit())

    def rollback(self) -> None:
        self.do(self.handle.rollback())

    def close(self) -> None:
        self.do(self.handle.close())
        self.do(self._engine.dispose())


class _AioSqliteSession(_AsyncAlchemyShop):
    database_name = "sqlite"
    driver = "aiosqlite"

    async def _opened(self, engine: AsyncEngine) -> AsyncSession:
        return AsyncSession(engine)


class _AioSqliteConnection(_AsyncAlchemyShop):
    database_name = "sqlite"
    driver = "aiosqlite"

    async def _opened(self, engine: AsyncEngine) -> AsyncConnection:
        return await engine.connect()


class _AsyncpgSession(_AioSqliteSession):
    database_name = "postgresql"
    driver = "asyncpg"


class _AsyncpgConnection(_AioSqliteConnection):
    database_name = "postgresql"
    driver = "asyncpg"


class _AsyncPsycopgSession(_AioSqliteSession):
    database_name = "postgresql"
    driver = "psycopg"


class _AsyncPsycopgConnection(_AioSqliteConnection):
    database_name = "postgresql"
    driver = "psycopg"


KINDS: Final[tuple[type[Shop], ...]] = (
    _Sqlite3Shop,
    _SqliteSession,
    _SqliteConnection,
    _SqliteDjango,
    _AioSqliteSession,
    _AioSqliteConnection,
    _PsycopgShop,
    _PostgresSession,
    _PostgresConnection,
    _PostgresDjango,
    _AsyncPsycopgShop,
    _AsyncpgSession,
    _AsyncpgConnection,
    _AsyncPsycopgSession,
    _AsyncPsycopgConnection,
)


def change(order_id: str, before: int = 0, after: int = 1, **fields: Any) -> Change:
    """
    Return a change as the storage sees it.
    """
    money = {"price": 100, "paid_in": 100, "held": 100}
    nothing = {"refunded": 0, "released": 0, "kept": 0}
    made: dict[str, Any] = {
        "order_id": order_id,
        "expected_version": before,
        "version": after,
        "process": "comeup",
        "fingerprint": "f",
        "state": "pending",
        "books": Books(currency="EUR", **money, **nothing),
        "snapshot": b"\x00snapshot\xff",
        "parties": None if before else (("buyer", "ana"), ("seller", "luc")),
        "events": tuple(
            NewEvent(
                seq=seq,
                name="happened",
                effective_at=seq,
                recorded_at=seq,
                settles=seq == 2,
                body=b"{}",
                hash=bytes([seq]) * 32,
            )
            for seq in range(before + 1, after + 1)
        ),
    }
    return Change(**{**made, **fields})
