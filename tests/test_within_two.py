"""
Inside a transaction of the host's own: whatever the host has set up, and two of them
at once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from django.db import connections, transaction
from psycopg.rows import dict_row
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from escrowflow import commands as c
from escrowflow import engine as e
from escrowflow.clock import FakeClock
from escrowflow.errors import NoTransactionError, OrderChangedError, StorageError
from escrowflow.storage import CommitResult, StoredText
from escrowflow.storage.postgres import PostgresStorage
from tests.given import ANA, COMEUP, LUC, T0, an_order
from tests.hosts import KINDS, PLACED, Databases, Shop, change

if TYPE_CHECKING:
    from pendulum import DateTime

# --- the host's own ways ----------------------------------------------------------


class Base(DeclarativeBase):
    """
    The shop's own models.
    """


class Listing(Base):
    """
    A row of the shop, as its mapper sees it.
    """

    __tablename__ = "shop_listing"

    order_id: Mapped[str] = mapped_column(primary_key=True)


class TestTheHostsOwnWays:
    """
    However the host has set up its connection.
    """

    def test_rows_of_another_shape(self, databases: Databases, order_id: str) -> None:
        """
        What the host's cursors make of a row is the host's business.
        """
        database = databases["sqlite"]
        with closing(sqlite3.connect(database.path)) as handle:
            handle.row_factory = sqlite3.Row
            handle.text_factory = bytes
            inside = database.engine.within(handle)

            inside.place(an_order(), by=ANA, order_id=order_id)
            handle.commit()

            assert inside.order(order_id).id == order_id
            assert handle.text_factory is bytes
        with psycopg.connect(databases["postgresql"].dsn, row_factory=dict_row) as link:
            inside = databases["postgresql"].engine.within(link)
            inside.place(an_order(), by=ANA, order_id=order_id)
            assert inside.order(order_id).id == order_id

    def test_a_text_that_is_none(self, databases: Databases, order_id: str) -> None:
        """
        A driver that cannot read a text does not make us print it.
        """
        database = databases["sqlite"]
        written = StoredText(ref="r", subject_id="ana", salt=b"", text="here")
        engine = sa.create_engine(database.alchemy("pysqlite"))
        with engine.connect() as handle:
            storage = database.engine.within(handle).storage
            storage.commit([change(order_id, texts=(written,))])
            handle.exec_driver_sql(
                "UPDATE escrowflow_text SET text = CAST(x'534543524554ff' AS TEXT)"
            )

            with pytest.raises(StorageError, match="UTF-8") as caught:
                storage.texts(order_id)

            assert "SECRET" not in "".join(traceback.format_exception(caught.value))
        engine.dispose()

    @pytest.mark.parametrize("name", ["sqlite", "postgresql"])
    def test_cursors_that_log(
        self, databases: Databases, order_id: str, name: str
    ) -> None:
        """
        Django's debugging cursors see our statements, too.
        """
        database = databases[name]
        connection = connections[database.alias]
        connection.force_debug_cursor = True
        try:
            with transaction.atomic(database.alias):
                inside = database.engine.within(database.alias)
                inside.place(an_order(), by=ANA, order_id=order_id)
            assert any("escrowflow" in query["sql"] for query in connection.queries)
        finally:
            connection.force_debug_cursor = False
            connection.close()
        assert database.version(order_id) == PLACED

    @pytest.mark.parametrize("name", ["sqlite", "postgresql"])
    def test_a_session_is_not_flushed_by_us(
        self, databases: Databases, order_id: str, name: str
    ) -> None:
        """
        The host's pending objects go out when the host says so.
        """
        database = databases[name]
        driver = {"sqlite": "pysqlite", "postgresql": "psycopg"}[name]
        engine = sa.create_engine(database.alchemy(driver))
        with Session(engine) as session:
            session.add(Listing(order_id=order_id))
            inside = database.engine.within(session)

            inside.place(an_order(), by=ANA, order_id=order_id)
            assert inside.history(order_id)

            assert session.new
            session.commit()
        engine.dispose()
        assert database.both(order_id) == (PLACED, 1)

    @pytest.mark.parametrize("option", ["stream_results", "yield_per"])
    def test_results_that_are_streamed(
        self, databases: Databases, order_id: str, option: str
    ) -> None:
        """
        What is streamed to the host is not streamed to us: a cursor in the server
        cannot write.
        """
        database = databases["postgresql"]
        engine = sa.create_engine(database.alchemy("psycopg"))
        with engine.connect().execution_options(**{option: True}) as handle:
            inside = database.engine.within(handle)

            inside.place(an_order(), by=ANA, order_id=order_id)

            assert inside.history(order_id)
            handle.commit()
        engine.dispose()
        assert database.version(order_id) == PLACED

    def test_a_session_that_begins_when_it_is_told(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        A session without autobegin has no transaction until the host begins one.
        """
        database = databases["sqlite"]
        engine = sa.create_engine(database.alchemy("pysqlite"))
        with Session(engine, autobegin=False) as session:
            inside = database.engine.within(session)

            with pytest.raises(NoTransactionError):
                inside.place(an_order(), by=ANA, order_id=order_id)
            with session.begin():
                inside.place(an_order(), by=ANA, order_id=order_id)

        engine.dispose()
        assert database.version(order_id) == PLACED

    def test_a_transaction_block_in_autocommit(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        In autocommit, psycopg's own block is a transaction all the same.
        """
        database = databases["postgresql"]
        with psycopg.connect(database.dsn, autocommit=True) as handle:
            inside = database.engine.within(handle)
            with handle.transaction():
                inside.place(an_order(), by=ANA, order_id=order_id)
            with handle.transaction(force_rollback=True):
                inside.execute(order_id, c.AcceptOrder(), by=LUC)

        assert database.version(order_id) == PLACED

    def test_a_server_that_may_forget(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        A connection whose commits may be lost is refused, unless the storage's may.
        """
        database = databases["postgresql"]
        full = e.Engine(COMEUP, PostgresStorage(database.dsn))
        relaxed = e.Engine(COMEUP, PostgresStorage(database.dsn, durability="relaxed"))
        with psycopg.connect(database.dsn) as handle:
            handle.execute("SET synchronous_commit = off")

            with pytest.raises(StorageError, match="synchronous_commit"):
                full.within(handle).place(an_order(), by=ANA, order_id=order_id)
            relaxed.within(handle).place(an_order(), by=ANA, order_id=order_id)

        assert database.version(order_id) == PLACED

    def test_a_pipeline(self, databases: Databases, order_id: str) -> None:
        """
        In a pipeline the answers come later: they are waited for.
        """
        database = databases["postgresql"]
        with psycopg.connect(database.dsn) as handle, handle.pipeline():
            handle.execute(f"INSERT INTO shop_listing VALUES ('{order_id}')")
            inside = database.engine.within(handle)
            inside.place(an_order(), by=ANA, order_id=order_id)
            assert inside.order(order_id).state == "pending"
        assert database.both(order_id) == (PLACED, 1)

    @pytest.mark.parametrize("name", ["sqlite", "postgresql"])
    def test_django_with_autocommit_switched_off(
        self, databases: Databases, order_id: str, name: str
    ) -> None:
        """
        There the host commits by hand; a block would be a savepoint, which SQLite
        commits.
        """
        database = databases[name]
        inside = database.engine.within(database.alias)
        transaction.set_autocommit(False, database.alias)
        try:
            inside.place(an_order(), by=ANA, order_id=order_id)
            transaction.commit(database.alias)
            if name == "sqlite":
                with (
                    transaction.atomic(database.alias),
                    pytest.raises(NoTransactionError, match="leave autocommit on"),
                ):
                    inside.order(order_id)
        finally:
            transaction.rollback(database.alias)
            connections[database.alias].close()
        assert database.version(order_id) == PLACED

    def test_django_in_an_event_loop(self, databases: Databases) -> None:
        """
        What Django says about event loops is translated.
        """
        database = databases["sqlite"]
        inside = database.engine.within(database.alias)

        async def tried() -> None:
            inside.order("nobody")

        with pytest.raises(StorageError, match="async context"):
            asyncio.run(tried())


class TestSettings:
    """
    Settings with which a confirmed commit could be lost, or nothing is guarded.
    """

    @pytest.mark.parametrize("kind", KINDS[6:])
    @pytest.mark.parametrize("asked", [False, True], ids=["first", "later"])
    @pytest.mark.parametrize(
        ("setting", "name"),
        [
            ("synchronous_commit = off", "synchronous_commit"),
            ("session_replication_role = replica", "session_replication_role"),
        ],
    )
    def test_each_handle_is_asked(
        self,
        databases: Databases,
        order_id: str,
        kind: type[Shop],
        asked: bool,
        setting: str,
        name: str,
    ) -> None:
        """
        Each handle is a session of its own: that another one was in order says
        nothing.
        """
        database = databases["postgresql"]
        if asked:
            with kind(database) as shop:
                shop.within().storage.load(order_id)
        with kind(database) as shop:
            shop.execute(f"SET LOCAL {setting}")
            with pytest.raises(StorageError, match=name):
                shop.within().place(an_order(), by=ANA, order_id=order_id)


class TestWithoutSchema:
    """
    A database without the tables of the orders.
    """

    @pytest.mark.parametrize("kind", [KINDS[0], KINDS[3], KINDS[6]])
    def test_it_says_what_to_do(
        self, databases: Databases, order_id: str, kind: type[Shop]
    ) -> None:
        """
        The host's transaction survives, and may go on.
        """
        database = databases.new(kind.database_name)
        with kind(database) as shop:
            inside = shop.within()

            with pytest.raises(StorageError, match="call storage"):
                inside.place(an_order(), by=ANA, order_id=order_id)

            shop.list(order_id)
            shop.commit()
            assert database.listed(order_id) == 1
            database.engine.storage.migrate()
            inside.place(an_order(), by=ANA, order_id=order_id)
            shop.commit()
        assert database.version(order_id) == PLACED

    @pytest.mark.parametrize("kind", KINDS[6:10])
    def test_another_database_than_that_of_the_orders(
        self, databases: Databases, order_id: str, kind: type[Shop]
    ) -> None:
        """
        The handle of another database is found out by what is not there.
        """
        storage = databases["postgresql"].storage
        with kind(databases["postgresql"]) as shop:
            shop.within().storage.load(order_id)
        with kind(databases.new("postgresql")) as shop:
            with pytest.raises(StorageError, match="call storage"):
                e.Engine(COMEUP, storage).within(shop.handle).order(order_id)
            # A statement failed: what is left is to roll back.
            with pytest.raises(StorageError, match="roll it back") as caught:
                e.Engine(COMEUP, storage).within(shop.handle).order(order_id)
            assert not caught.value.repeat


# --- two at once ------------------------------------------------------------------


class TestTwoOnSqlite:
    """
    A file has one writer; the lock is taken before anything is read.
    """

    def test_the_lock_is_taken_at_the_first_use(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        Whoever reads an order in a transaction can also write it: nobody else has
        written in between.
        """
        database = databases["sqlite"]
        database.engine.place(an_order(), by=ANA, order_id=order_id)
        with closing(sqlite3.connect(database.path)) as handle:
            inside = database.engine.within(handle)

            inside.order(order_id)

            with pytest.raises(sqlite3.OperationalError, match="locked"):
                database.execute("INSERT INTO shop_listing VALUES ('me first')")
            inside.execute(order_id, c.AcceptOrder(), by=LUC)
            handle.commit()

    def test_who_waits_in_vain_is_told(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        Another writer is a reason to come back, and no foreign error.
        """
        database = databases["sqlite"]
        with (
            closing(sqlite3.connect(database.path)) as first,
            closing(sqlite3.connect(database.path, timeout=0)) as second,
        ):
            first.execute("INSERT INTO shop_listing VALUES ('first')")
            inside = database.engine.within(second)

            with pytest.raises(
                StorageError, match="somebody else is writing"
            ) as caught:
                inside.place(an_order(), by=ANA, order_id=order_id)
            assert caught.value.repeat

            first.commit()
            inside.place(an_order(), by=ANA, order_id=order_id)
            second.commit()
        assert database.version(order_id) == PLACED

    def test_who_has_read_what_is_past_is_told(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        A transaction that began to read before somebody else wrote cannot write any
        more: the way out is said.
        """
        database = databases["sqlite"]
        with transaction.atomic(database.alias):
            with connections[database.alias].cursor() as cursor:
                cursor.execute("SELECT count(*) FROM shop_listing")
                cursor.fetchall()
            database.execute("INSERT INTO shop_listing VALUES ('meanwhile')")

            with pytest.raises(StorageError, match="BEGIN IMMEDIATE") as caught:
                database.engine.within(database.alias).order(order_id)
            assert caught.value.repeat
        connections[database.alias].close()

    @pytest.mark.parametrize("kind", [KINDS[1], KINDS[2], KINDS[4]])
    def test_a_savepoint_that_comes_first_is_refused(
        self, databases: Databases, order_id: str, kind: type[Shop]
    ) -> None:
        """
        SQLite would commit it at its end, and the host could not roll it back.
        """
        database = databases["sqlite"]
        with kind(database) as shop:
            inside = shop.within()
            shop.savepoint()
            with pytest.raises(NoTransactionError, match="savepoint that comes first"):
                inside.place(an_order(), by=ANA, order_id=order_id)
            shop.rollback()

            # By hand, or as SQLAlchemy's manual says, it is a transaction.
            shop.execute("BEGIN")
            inside.storage.load(order_id)
            shop.savepoint()
            inside.place(an_order(), by=ANA, order_id=order_id)
            shop.rollback()
        assert database.version(order_id) == 0

    def test_bytes_of_erased_texts_are_overwritten(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        Whatever the host's connection does to what it deletes, and does again after.
        """
        database = databases.new("sqlite")
        database.engine.storage.migrate()
        words = "nobody else's business"
        text = StoredText(ref="r", subject_id="ana", salt=b"", text=words)
        with closing(sqlite3.connect(database.path)) as handle:
            handle.execute("PRAGMA secure_delete = OFF").fetchall()
            storage = database.engine.within(handle).storage
            storage.commit([change(order_id, texts=(text,))])
            handle.commit()
            handle.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            assert words.encode() in Path(database.path).read_bytes()

            assert storage.erase_texts("ana", [order_id]) == 1

            handle.commit()
            handle.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            assert words.encode() not in Path(database.path).read_bytes()
            assert handle.execute("PRAGMA secure_delete").fetchall() == [(0,)]


class Interrupting:
    """
    A clock that lets somebody else act each time it is read.

    Implements: `Clock`
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self._clock = FakeClock(T0)
        self._act = act

    def now(self) -> DateTime:
        """
        Return the instant, once somebody else has acted.
        """
        self._act()
        return self._clock.now()


class TestTwoOnPostgres:
    """
    Two transactions on one order: the second waits, and then sees what became of it.
    """

    @pytest.mark.parametrize("kind", KINDS[6:])
    def test_somebody_was_faster(
        self, databases: Databases, order_id: str, kind: type[Shop]
    ) -> None:
        """
        Between reading and writing somebody else commits; the engine decides anew,
        in the same transaction.
        """
        database = databases["postgresql"]
        database.engine.place(an_order(), by=ANA, order_id=order_id)
        others = iter((c.AcceptOrder(),))

        def act() -> None:
            for command in others:
                database.engine.execute(order_id, command, by=LUC)
                break

        with kind(database) as shop:
            inside = shop.within(Interrupting(act))
            inside.execute(order_id, c.SendMessage(reference="when?"), by=ANA)
            shop.list(order_id)
            shop.commit()
        history = database.engine.history(order_id)
        assert [recorded.seq for recorded in history] == [*range(1, len(history) + 1)]
        assert history[-1].name == "message_sent"
        assert database.listed(order_id) == 1

    @pytest.mark.parametrize("kind", [KINDS[6], KINDS[11]])
    def test_somebody_is_always_faster(
        self, databases: Databases, order_id: str, kind: type[Shop]
    ) -> None:
        """
        After enough rounds it is given up; the host's transaction is as good as new.
        """
        database = databases["postgresql"]
        database.engine.place(an_order(), by=ANA, order_id=order_id)

        def act() -> None:
            database.engine.execute(order_id, c.SendMessage(reference="I!"), by=LUC)

        with kind(database) as shop:
            inside = shop.within(Interrupting(act))
            with pytest.raises(OrderChangedError):
                inside.execute(order_id, c.SendMessage(reference="when?"), by=ANA)
            shop.list(order_id)
            shop.commit()
        assert database.listed(order_id) == 1

    @pytest.mark.parametrize("first_commits", [True, False])
    @pytest.mark.parametrize("kind", [KINDS[6], KINDS[7], KINDS[9], KINDS[11]])
    def test_the_second_waits_for_the_first(
        self,
        databases: Databases,
        order_id: str,
        kind: type[Shop],
        first_commits: bool,
    ) -> None:
        """
        It writes if the first one is rolled back, and conflicts if it is committed;
        its transaction goes on in both cases.
        """
        database = databases["postgresql"]
        database.storage.commit([change(order_id)])
        results = []

        def second() -> None:
            with kind(database) as shop:
                storage = shop.within().storage
                results.append(storage.commit([change(order_id, 1, 2, state="second")]))
                results.append(storage.commit([change(f"{order_id}-2")]))
                shop.list(order_id)
                shop.commit()

        with kind(database) as shop:
            shop.within().storage.commit([change(order_id, 1, 2, state="first")])
            shop.within().storage.commit([change(f"{order_id}-2")])
            other = Thread(target=second)
            other.start()
            while not database.execute("SELECT pid FROM pg_locks WHERE NOT granted"):
                assert other.is_alive()
            if first_commits:
                shop.commit()
            else:
                shop.rollback()
            other.join()

        expected = CommitResult.CONFLICT if first_commits else CommitResult.DONE
        assert [tuple(result) for result in results] == [(expected,)] * 2
        assert database.both(order_id) == (2, 1)

    @pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
    @pytest.mark.parametrize("kind", [KINDS[6], KINDS[9], KINDS[10], KINDS[11]])
    def test_a_snapshot_that_is_past_ends_the_transaction(
        self, databases: Databases, order_id: str, kind: type[Shop], level: str
    ) -> None:
        """
        At these levels PostgreSQL has no second answer: the host is told to repeat
        its transaction, and the order is as the faster one left it.
        """
        database = databases["postgresql"]
        database.storage.commit([change(order_id)])
        with kind(database) as shop:
            shop.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            storage = shop.within().storage
            storage.load(order_id)
            database.storage.commit([change(order_id, 1, 2, state="faster")])

            with pytest.raises(StorageError, match="repeat all of it") as caught:
                storage.commit([change(order_id, 1, 2, state="slower")])
            assert caught.value.repeat

            shop.rollback()
            shop.list(order_id)
            results = storage.commit([change(order_id, 1, 2, state="slower")])
            assert tuple(results) == (CommitResult.CONFLICT,)
            shop.commit()
        assert database.both(order_id) == (2, 1)

    def test_a_connection_that_is_gone_fails_as_ours(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        Nothing is committed: that would have been for the host to do.
        """
        database = databases["postgresql"]
        handle = psycopg.connect(database.dsn)
        inside = database.engine.within(handle)
        inside.place(an_order(), by=ANA, order_id=order_id)
        handle.close()

        with pytest.raises(StorageError, match="closed") as caught:
            inside.order(order_id)
        assert caught.value.repeat
        assert database.version(order_id) == 0
