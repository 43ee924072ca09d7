"""
The schema over the years: steps that are applied once, releases side by side, and
the view that hosts read.
"""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock, from_micros
from escrowflow.errors import StorageError
from escrowflow.storage import postgres, sqlite
from escrowflow.storage.pgsql import PostgresVerbs
from escrowflow.storage.postgres import PostgresStorage
from escrowflow.storage.sql import Migration
from escrowflow.storage.sqlite import SqliteStorage, SqliteVerbs
from tests.given import ANA, LUC, MIA, T0, an_engine, an_order, brought_to, terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.pg import Server

CANARY: Final = "zorgblatt-2718-ananas"

MORE: Final = ("CREATE TABLE escrowflow_more (more INTEGER)",)
HALF: Final = (*MORE, "CREATE RUBBISH")


class Database:
    """
    A database, and releases of the library that use it.
    """

    def __init__(self, kind: str, place: str, patch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self._place = place
        self._patch = patch

    def release(self, *steps: Migration) -> None:
        """
        Have all storages opened from now on be of a release with these steps, too.
        """
        if self.kind == "sqlite":
            verbs = SqliteVerbs()
            verbs.migrations += steps
            field = attrs.fields_dict(SqliteStorage)["_verbs"]
            assert field.default is sqlite._VERBS
            self._newer: Any = verbs
        else:
            newer = PostgresVerbs()
            newer.migrations += steps
            self._patch.setattr(postgres, "_VERBS", newer)
            self._newer = newer

    def open(self) -> Any:
        """
        Return a storage of the release of the day.
        """
        if self.kind == "sqlite":
            storage = SqliteStorage(self._place)
            storage._verbs = getattr(self, "_newer", storage._verbs)
            return storage
        return PostgresStorage(self._place)

    def ask(self, sql: str) -> list[Any]:
        """
        Ask the database itself.
        """
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self._place, isolation_level=None)) as link:
                return link.execute(sql).fetchall()
        import psycopg

        with psycopg.connect(self._place, autocommit=True) as session:
            cursor = session.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """
    An empty database of each kind.
    """
    if request.param == "sqlite":
        yield Database("sqlite", str(tmp_path / "orders.db"), monkeypatch)
    else:
        # Its schema is changed: nobody else can have it afterwards.
        dsn = request.getfixturevalue("fresh")
        yield Database("postgresql", dsn, monkeypatch)


class TestSteps:
    """
    A step is applied once, whole, and never edited.
    """

    def test_an_older_database_asks_for_it(self, database: Database) -> None:
        """
        A newer release does not start before the steps it needs were taken.
        """
        with database.open() as old:
            brought_to(an_engine(old), "delivered")
        database.release(Migration(2, MORE, oldest=1))

        with database.open() as new:
            with pytest.raises(StorageError, match=r"call storage\.migrate\(\)"):
                new.load("o1")
            engine = an_engine(new)
            engine.storage.migrate()
            assert engine.order("o1").state == "delivered"
            assert engine.verify().faults == ()
        assert database.ask("SELECT count(*) FROM escrowflow_more") == [(0,)]

    def test_again_is_harmless(self, database: Database) -> None:
        """
        Whoever migrates twice changes nothing.
        """
        database.release(Migration(2, MORE, oldest=1))
        for _ in range(2):
            with database.open() as storage:
                storage.migrate()
                storage.migrate()

        rows = database.ask("SELECT version FROM escrowflow_schema ORDER BY version")
        assert rows == [(1,), (2,)]

    def test_several_at_once(self, database: Database) -> None:
        """
        However many hosts start with the new release, it is applied once.
        """
        with database.open() as old:
            old.migrate()
        database.release(Migration(2, MORE, oldest=1))
        barrier = Barrier(6)
        failed: list[Exception] = []

        def migrate() -> None:
            with database.open() as storage:
                barrier.wait()
                try:
                    storage.migrate()
                    storage.load("o1")
                except Exception as error:
                    failed.append(error)

        threads = [Thread(target=migrate) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failed == []
        rows = database.ask("SELECT version FROM escrowflow_schema ORDER BY version")
        assert rows == [(1,), (2,)]

    def test_one_that_fails_leaves_nothing(self, database: Database) -> None:
        """
        Half a step is no step, and the release before it works on.
        """
        with database.open() as old:
            brought_to(an_engine(old), "delivered")
        database.release(Migration(2, HALF, oldest=1))
        with database.open() as new, pytest.raises(StorageError):
            new.migrate()

        database.release()
        with database.open() as old:
            assert an_engine(old).order("o1").state == "delivered"
        with pytest.raises(Exception, match="escrowflow_more"):
            database.ask("SELECT * FROM escrowflow_more")

    def test_side_by_side(self, database: Database) -> None:
        """
        A release that is said to run beside a step does, until it is no longer said.
        """
        database.release(Migration(2, MORE, oldest=1))
        with database.open() as new:
            brought_to(an_engine(new), "in_progress")
        database.release()

        with database.open() as old:
            engine = an_engine(old)
            engine.execute("o1", c.DeliverOrder(note="here"), by=LUC)
            assert engine.verify().faults == ()

        database.ask("UPDATE escrowflow_schema SET oldest = 2 WHERE version = 2")
        with database.open() as old, pytest.raises(StorageError, match="version 2"):
            old.load("o1")

    def test_edited_after_its_release(self, database: Database) -> None:
        """
        A step that is not what was applied under its number is noticed.
        """
        database.release(Migration(2, MORE, oldest=1))
        with database.open() as storage:
            storage.migrate()
        database.release(
            Migration(2, ("CREATE TABLE escrowflow_more (less INTEGER)",), oldest=1)
        )

        with database.open() as edited, pytest.raises(StorageError, match="version 2"):
            edited.load("o1")

    def test_by_hand(self, database: Database) -> None:
        """
        `storage.ddl()` is all that a host's own migrations need.
        """
        with database.open() as storage:
            statements = storage.ddl()
        for statement in statements:
            database.ask(statement)

        with database.open() as storage:
            brought_to(an_engine(storage), "completed")
            assert an_engine(storage).verify().orders == 1


class TestView:
    """
    `escrowflow_orders`: what a host's own SQL may read.
    """

    def test_says_what_the_engine_says(self, database: Database) -> None:
        """
        One row an order, every column as the engine has it.
        """
        with database.open() as storage:
            clock = FakeClock(T0)
            engine = an_engine(storage, clock=clock)
            for state in ("pending", "in_progress", "delivered", "completed"):
                brought_to(engine, state, state)
            brought_to(engine, "disputed", "disputed")
            engine.execute("disputed", c.AssignMediator(mediator_id="mia"), by=MIA)
            clock.advance(days=6)
            engine.run_due()
            orders = engine.orders().items

        rows = database.ask(
            "SELECT order_id, process, state, late, buyer_id, seller_id, mediator_id,"
            " price_minor, currency, due_at, version FROM escrowflow_orders"
            " ORDER BY order_id"
        )

        assert [(row[0], row[2], bool(row[3]), row[10]) for row in rows] == [
            (order.id, order.state, order.late, order.version) for order in orders
        ]
        for row, order in zip(rows, orders, strict=True):
            assert row[1] == "comeup"
            assert row[4:7] == (order.buyer_id, order.seller_id, order.mediator_id)
            assert row[7:9] == (order.price.minor, order.currency)
            waits = order.deadlines
            assert row[9] is None or from_micros(row[9]) == waits[0].due_at
        assert [row[3] for row in rows if row[0] == "in_progress"] == [1]

    def test_a_mediator_who_left_is_gone(self, database: Database) -> None:
        """
        Whoever takes part no longer is no longer in it.
        """
        with database.open() as storage:
            engine = an_engine(storage)
            brought_to(engine, "in_progress")
            engine.execute("o1", c.FileClaim(reason="rude"), by=ANA)
            engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
            with_mia = database.ask("SELECT mediator_id FROM escrowflow_orders")
            engine.execute("o1", c.RejectClaim(reason="no"), by=MIA)
            without = database.ask("SELECT mediator_id FROM escrowflow_orders")

        assert (with_mia, without) == ([("mia",)], [(None,)])


class TestErased:
    """
    What was erased is not in the files of the database (I32).
    """

    def test_postgresql(self, postgres: Server, fresh: str) -> None:
        """
        Once its table was written anew, no byte of it is in a table or an index;
        what somebody else wrote beside it is.
        """
        if postgres.folder is None:
            pytest.skip("the files of somebody else's server are not read")
        with PostgresStorage(fresh) as storage:
            engine = an_engine(storage)
            for number in range(30):
                order_id = f"o{number}"
                engine.place(
                    an_order(terms=terms(text=f"{CANARY} {number}")),
                    by=ANA,
                    order_id=order_id,
                    key=order_id,
                )
                engine.execute(order_id, c.RefuseOrder(reason="no time"), by=LUC)
            assert self._found(postgres, fresh, CANARY) > 0
            assert engine.erase("ana") == 30
            import psycopg

            with psycopg.connect(fresh, autocommit=True) as link:
                link.execute("VACUUM FULL escrowflow_text")
            assert engine.verify().faults == ()

        assert self._found(postgres, fresh, CANARY) == 0
        assert self._found(postgres, fresh, "no time") > 0

    def _found(self, server: Server, dsn: str, words: str) -> int:
        import psycopg

        with psycopg.connect(dsn, autocommit=True) as link:
            link.execute("CHECKPOINT")
            row = link.execute(
                "SELECT oid FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        assert server.folder is not None
        folder = server.folder / "data" / "base" / str(row[0])
        found = subprocess.run(
            ["grep", "-rac", words, str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        return sum(int(line.rpartition(":")[2]) for line in found.stdout.splitlines())
