"""
What the storage in a SQLite file does beyond what every storage promises.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from escrowflow.clock import FakeClock
from escrowflow.effects import Notify, PayOut, Refund
from escrowflow.errors import InvalidInputError, OutcomeUnknownError, StorageError
from escrowflow.storage import Capability, Query, StoredOrder, open_storage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing.given import (
    CONFLICT,
    LAST,
    THREADS,
    at_once,
    change,
    effect,
    everything,
    put,
    receipt,
    result,
    text,
)
from tests.given import T0, an_engine, brought_to


def raw(path: Path, *statements: str) -> list[Any]:
    """
    Do what somebody else could do to the file.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        rows: list[Any] = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows
    finally:
        connection.close()


def asked(sql: str) -> Generator[Any, Any, Any]:
    """
    Return the rows of a statement, as a verb would.
    """
    return (yield sql, ())


def pragma(storage: SqliteStorage, name: str) -> Any:
    return storage._read(asked(f"PRAGMA {name}"))[0][0]


def failing(
    happens: Callable[[sqlite3.Cursor, str], str | None],
) -> type[sqlite3.Connection]:
    """
    Return a kind of connection whose statements can fail.

    Args:
        happens: Does something with the cursor before a statement, and returns
            what to execute; `None` to go wrong.
    """

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = ()) -> Any:
            instead = happens(self, sql)
            if instead is None:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(instead, parameters)

    class Connection(sqlite3.Connection):
        def cursor(self, _: Any = None) -> Any:
            return super().cursor(Cursor)

    return Connection


class TestSqlite:
    """
    What the one in a file does beyond the protocol.
    """

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "orders.db"

    @pytest.fixture
    def sqlite(self, path: Path) -> Iterator[SqliteStorage]:
        with SqliteStorage(path, durability="relaxed") as storage:
            yield storage

    def test_constructor_opens_nothing(self, path: Path) -> None:
        """
        Nothing is opened before it is used, nor by closing it.
        """
        with SqliteStorage(path) as storage:
            assert not path.exists()
            assert repr(storage) == (
                f"SqliteStorage(path={str(path)!r}, durability='full', "
                "busy_timeout=5.0)"
            )
        assert not path.exists()

    def test_no_folder(self, tmp_path: Path) -> None:
        """
        SQLite says only that it cannot open the file.
        """
        path = tmp_path / "nowhere" / "orders.db"

        with (
            SqliteStorage(path) as storage,
            pytest.raises(StorageError, match=r"unable to open.*is its folder there"),
        ):
            storage.load("o1")

    def test_nothing_is_made(self, path: Path) -> None:
        """
        Without `create` a file that is not there is not made, one that is somebody
        else's, or empty, is left as it is; and `migrate` makes it all the same.
        """
        with SqliteStorage(path, create=False) as storage:
            with pytest.raises(StorageError, match=re.escape(str(path))):
                storage.load("o1")
            assert not path.exists()
            path.touch()
            with pytest.raises(StorageError, match="no orders are kept in this"):
                storage.load("o1")
            assert path.read_bytes() == b""
            with closing(sqlite3.connect(path)) as theirs:
                theirs.execute("CREATE TABLE auth_user (id)")
            before = path.read_bytes()
            for _ in range(2):
                with pytest.raises(StorageError, match="no orders are kept in this"):
                    storage.load("o1")
            assert path.read_bytes() == before
            storage.migrate()
            assert storage.load("o1").version == 0
        with open_storage(f"sqlite:///{path}", create=False) as again:
            assert again.load("o1").version == 0

    @pytest.mark.parametrize("name", ["a b", "q?x=1", "h#1", "100%41", "é", "a'b"])
    def test_it_is_that_very_file(self, tmp_path: Path, name: str) -> None:
        """
        A file is found without `create` whatever its name has in it.
        """
        with SqliteStorage(tmp_path / name) as storage:
            storage.migrate()

        with SqliteStorage(tmp_path / name, create=False) as again:
            assert again.load("o1").version == 0

    def test_relative_path(self, tmp_path: Path, monkeypatch: Any) -> None:
        """
        A relative path is relative to where the storage was built.
        """
        monkeypatch.chdir(tmp_path)
        storage = SqliteStorage("orders.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")

        with storage:
            storage.migrate()

        assert (tmp_path / "orders.db").exists()

    @pytest.mark.parametrize(
        ("field", "arguments"),
        [
            ("path", {"path": ""}),
            ("path", {"path": "a\0b"}),
            ("path", {"path": "a\ud800b"}),
            ("path", {"path": b"orders.db"}),
            ("durability", {"durability": "none"}),
            ("busy_timeout", {"busy_timeout": -1}),
            ("busy_timeout", {"busy_timeout": float("nan")}),
            ("busy_timeout", {"busy_timeout": float("inf")}),
            ("busy_timeout", {"busy_timeout": True}),
            ("busy_timeout", {"busy_timeout": "5"}),
            ("busy_timeout", {"busy_timeout": timedelta(days=2)}),
        ],
        ids=str,
    )
    def test_arguments(self, field: str, arguments: dict[str, Any]) -> None:
        """
        What cannot be meant is refused at once.
        """
        with pytest.raises(InvalidInputError) as caught:
            SqliteStorage(**({"path": "orders.db"} | arguments))
        assert caught.value.field == field

    def test_capabilities(self, sqlite: SqliteStorage) -> None:
        """
        A file outlives the process, can be shared, and be part of a transaction
        of the host's; memory cannot.  Neither has a clock of its own.
        """
        assert sqlite.capabilities == frozenset(Capability) - {Capability.CLOCK}
        assert SqliteStorage(":memory:").capabilities == frozenset()

    @pytest.mark.parametrize(("durability", "level"), [("full", 2), ("relaxed", 1)])
    def test_pragmas(self, path: Path, durability: str, level: int) -> None:
        """
        Each connection is as durable and as strict as was promised.
        """
        with SqliteStorage(
            path, durability=durability, busy_timeout=timedelta(seconds=1.5)
        ) as storage:

            def check(_: int) -> None:
                assert pragma(storage, "journal_mode") == "wal"
                assert pragma(storage, "synchronous") == level
                assert pragma(storage, "foreign_keys") == 1
                assert pragma(storage, "secure_delete") == 1
                assert pragma(storage, "busy_timeout") == 1500

            check(0)
            at_once(check, 2)

    def test_full_is_the_default(self, path: Path) -> None:
        """
        Nobody gets less than full durability without asking.
        """
        with SqliteStorage(path) as storage:
            assert pragma(storage, "synchronous") == 2

    def test_tables_are_strict(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Every table is STRICT, and named as ours.
        """
        sqlite.migrate()
        tables = raw(
            path, "SELECT name, strict FROM pragma_table_list WHERE type = 'table'"
        )

        ours = {name: strict for name, strict in tables if "sqlite" not in name}

        assert all(name.startswith("escrowflow_") for name in ours)
        assert set(ours.values()) == {1}
        assert len(ours) == 7

    @pytest.mark.parametrize(
        ("statement", "complaint"),
        [
            ("UPDATE escrowflow_event SET body = x''", "never changed"),
            ("UPDATE escrowflow_event SET seq = 7", "never changed"),
            ("DELETE FROM escrowflow_event", "never deleted"),
            (
                "INSERT OR REPLACE INTO escrowflow_event"
                " SELECT order_id, 1, 'Forged', 500, 500, 0, x'', head FROM escrowflow_order",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 3, 'Gap', 500, 500, 0, x'', head FROM escrowflow_order",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 2, 'Early', 99, 500, 0, x'', head FROM escrowflow_order",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event VALUES ('new', 2, 'Gap', 1, 1, 0, x'', zeroblob(32))",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 2, 'Real', 500.5, 500, 0, x'', head FROM escrowflow_order",
                "REAL",
            ),
            (
                "INSERT INTO escrowflow_event VALUES ('none', 1, 'A', 1, 1, 0, x'', zeroblob(32))",
                "FOREIGN KEY",
            ),
            ("UPDATE escrowflow_order SET version = 0", "only grows"),
            ("UPDATE escrowflow_order SET order_id = 'x'", "only grows"),
            ("UPDATE escrowflow_order SET version = 'many'", "TEXT"),
            ("UPDATE escrowflow_order SET unassigned = 2", "CHECK"),
            ("DELETE FROM escrowflow_order", "never deleted"),
            ("UPDATE escrowflow_effect SET key = 'k'", "never changed"),
            ("UPDATE escrowflow_effect SET moves_money = 1", "never changed"),
            ("UPDATE escrowflow_effect SET body = x'00'", "never changed"),
            ("UPDATE escrowflow_effect SET token = 0", "only grows"),
            ("UPDATE escrowflow_effect SET status = 'gone'", "CHECK"),
            ("DELETE FROM escrowflow_effect", "before it is done"),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 2, 'Again', 500, 500, 1, x'', head"
                " FROM escrowflow_order",
                "UNIQUE",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 2, 'Short', 500, 500, 0, x'', x'00'"
                " FROM escrowflow_order",
                "CHECK",
            ),
            ("UPDATE escrowflow_order SET held = held + 1", "CHECK"),
            ("UPDATE escrowflow_order SET price_minor = -1", "CHECK"),
            ("UPDATE escrowflow_order SET head = x''", "CHECK"),
            ("UPDATE escrowflow_receipt SET last = 9", "never changed"),
            ("DELETE FROM escrowflow_receipt", "never deleted"),
        ],
    )
    def test_raw_sql_cannot_rewrite_history(
        self, sqlite: SqliteStorage, path: Path, statement: str, complaint: str
    ) -> None:
        """
        The schema refuses what must not happen, whoever asks for it.
        """
        put(sqlite, change(settles=True, effects=(effect(),), receipt=receipt()))
        sqlite.claim_effects(100, 200, 1)
        before = everything(sqlite)

        with pytest.raises(sqlite3.IntegrityError, match=complaint):
            raw(path, "PRAGMA foreign_keys = ON", statement)
        assert everything(sqlite) == before

    def test_done_effects(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Only an effect that is done can be cleared away; it cannot be undone.
        """
        put(sqlite, change(effects=(effect(),)))
        (claim,) = sqlite.claim_effects(100, 200, 1)
        put(sqlite, change(expected=1, results=(result(token=claim.token),)))

        with pytest.raises(sqlite3.IntegrityError, match="done once"):
            raw(path, "UPDATE escrowflow_effect SET status = 'waiting'")
        raw(path, "DELETE FROM escrowflow_effect")
        assert sqlite.effects("o-1") == ()

    def test_result_is_kept_beside_the_effect(
        self, sqlite: SqliteStorage, path: Path
    ) -> None:
        """
        What became of an effect does not overwrite what it asks for.
        """
        put(sqlite, change(effects=(effect(),)))
        (claim,) = sqlite.claim_effects(100, 200, 1)
        put(
            sqlite, change(expected=1, results=(result(token=claim.token, body=b"ok"),))
        )

        rows = raw(path, "SELECT body, result FROM escrowflow_effect")

        assert rows == [(b"body", b"ok")]

    def test_erased_for_good(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Not a byte of an erased text is left in the file or its log.
        """
        words = "canary-" * 900
        texts = tuple(text(f"r-{n}", f"{n}{words}") for n in range(9))
        put(sqlite, change(texts=texts))
        files = list(path.parent.iterdir())
        assert any(b"canary" in file.read_bytes() for file in files)

        assert sqlite.erase_texts("ana", ["o-1"]) == 9

        assert not any(b"canary" in file.read_bytes() for file in files)

    def test_erased_before_a_crash(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        What was deleted, and not written over, is gone when it is erased once more.
        """
        put(sqlite, *(change(f"o-{n}", texts=(text("r", "canary"),)) for n in range(9)))
        sqlite.close()
        # As somebody leaves it who is killed in between.
        raw(path, "PRAGMA secure_delete = OFF", "DELETE FROM escrowflow_text")
        assert b"canary" in path.read_bytes()

        with SqliteStorage(path) as again:
            assert again.erase_texts("ana", ["o-1"]) == 0
            assert b"canary" not in path.read_bytes()

    def test_indexes_are_used(self, sqlite: SqliteStorage) -> None:
        """
        No question that workers ask all day reads a whole table.
        """
        plans: list[str] = []
        sqlite._link().connection.set_trace_callback(plans.append)
        sqlite.load("o-1", "k")
        sqlite.claim_due(1, 2, 3)
        sqlite.claim_due(1, 2, 3, known=["f"])
        sqlite.next_due(0, LAST, known=["f"])
        sqlite.claim_effects(1, 2, 3)
        sqlite.claim_effects(1, 2, 3, ["refund"], ["f"])
        sqlite.next_effect(0, LAST, ["refund"], ["f"])
        sqlite.summary("o-1")
        sqlite.park("o-1", 1, None)
        sqlite.stuck_effects(0, LAST)
        sqlite.erase_texts("ana", ["o-1"])
        sqlite.find(Query(subject="ana"))
        sqlite.find(Query(due_by=1, unknown_to=["f"], by_due=True))
        sqlite.find(Query(party="ana"))
        sqlite.find(Query(party="ana", role="buyer"), after=":o")
        sqlite.find(Query(by_due=True))
        sqlite.find(Query(unassigned=True))
        sqlite.find(Query(parked=True), after=":o")
        sqlite._link().connection.set_trace_callback(None)

        for statement in plans:
            if statement.split()[0] in ("SELECT", "UPDATE"):
                steps = sqlite._read(asked(f"EXPLAIN QUERY PLAN {statement}"))
                assert [
                    step[3]
                    for step in steps
                    if step[3].startswith("SCAN escrowflow_") and "INDEX" not in step[3]
                ] == []

    def test_next_instant_reads_few_orders(self, sqlite: SqliteStorage) -> None:
        """
        When the next order is due is not worked out from all that are.
        """
        sql, values = next(sqlite._verbs.next_due(0, LAST))

        for value in values:
            sql = sql.replace("?", f"{value}", 1)
        steps = sqlite._read(asked(f"EXPLAIN QUERY PLAN {sql}"))

        used = [
            step[3].partition("INDEX ")[2].split()[0]
            for step in steps
            if "INDEX " in step[3]
        ]
        assert sorted(used) == ["escrowflow_order_due", "escrowflow_order_held"]

    def test_threads_have_their_own(self, sqlite: SqliteStorage) -> None:
        """
        Each thread has a connection, which is closed when the thread ends.
        """
        links = []

        def work(_: int) -> None:
            sqlite.migrate()
            links.append(id(sqlite._link()))
            assert sqlite._link() is sqlite._link()
            barrier.wait()

        barrier = threading.Barrier(3)
        at_once(work, 3)

        assert len(set(links)) == 3
        assert len(sqlite._home.links) == 0

    def test_threads_share_what_is_in_memory(self) -> None:
        """
        A database in memory is one, for all threads.
        """
        with SqliteStorage(":memory:") as storage:
            at_once(lambda number: put(storage, change(f"o-{number}")))

            assert len(storage.find(Query()).items) == THREADS
            assert len(storage._home.links) == 1

    def test_closed_under_other_threads(self, sqlite: SqliteStorage) -> None:
        """
        Closing closes the connections of all threads; who still had one hears it.
        """
        opened, closed = threading.Barrier(2), threading.Barrier(2)
        links = []

        def work() -> None:
            links.append(sqlite._link())
            opened.wait()
            closed.wait()

        thread = threading.Thread(target=work)
        thread.start()
        opened.wait()
        sqlite.close()
        closed.wait()
        thread.join()

        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            links[0].connection.execute("SELECT 1")

    def test_closed_in_between(self, sqlite: SqliteStorage) -> None:
        """
        A connection that somebody closed is an error of ours, not of SQLite.
        """
        sqlite._link().connection.close()

        with pytest.raises(StorageError, match="closed"):
            sqlite.load("o-1")
        with pytest.raises(StorageError, match="closed"):
            sqlite.commit([change()])

    def test_two_storages_on_one_file(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        What one has committed, the other sees.
        """
        with SqliteStorage(path, durability="relaxed") as other:
            put(sqlite, change())
            put(other, change(expected=1))

            assert sqlite.load("o-1") == other.load("o-1")
            assert sqlite.commit([change(expected=1)]) == (CONFLICT,)

    def test_threads_begin_at_once(self, path: Path) -> None:
        """
        Many may make the file and its schema at the same moment.
        """

        def work(_: int) -> None:
            with SqliteStorage(path, durability="relaxed", busy_timeout=60) as storage:
                storage.migrate()

        at_once(work)

    def test_fork(self, path: Path) -> None:
        """
        A child opens its own connections and leaves those of its parent alone.
        """
        source = Path(sys.modules["escrowflow.storage"].__file__ or "").parents[2]
        script = """
            import os, sys, threading
            sys.path.insert(0, sys.argv[2])
            from escrowflow.errors import StorageError
            from escrowflow.storage.sqlite import SqliteStorage
            storage = SqliteStorage(sys.argv[1], busy_timeout=60)
            memory = SqliteStorage(":memory:")
            unused = SqliteStorage(":memory:")
            storage.migrate()
            memory.migrate()
            parent = id(storage._link())
            storage._link().writer.acquire()
            pid = os.fork()
            if not pid:
                assert storage.erase_texts("ana", ["o-1"]) == 0
                unused.migrate()
                try:
                    memory.load("o-1")
                except StorageError as error:
                    assert "fork" in str(error)
                else:
                    raise AssertionError
                memory.close()
                storage.close()
                sys.exit()
            assert os.waitpid(pid, 0)[1] == 0
            storage._link().writer.release()
            assert id(storage._link()) == parent
            assert storage.erase_texts("ana", ["o-1"]) == 0
            storage.close()
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(path), str(source)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONDEVMODE": "1"},
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_after_a_fork(self, path: Path, monkeypatch: Any) -> None:
        """
        In another process everything begins anew; what was opened is let be.
        """
        file, memory = SqliteStorage(path), SqliteStorage(":memory:")
        put(file, change())
        put(memory, change())
        link = file._link()
        pid = os.getpid()

        monkeypatch.setattr(os, "getpid", lambda: pid + 1)
        assert file.load("o-1").version == 1
        assert file._link() is not link
        with pytest.raises(StorageError, match="does not survive a fork"):
            memory.load("o-1")
        connection = link.connection
        link.__del__()
        memory.close()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]

        monkeypatch.undo()
        connection.close()
        memory.close()
        file.close()

    def test_read_only_file(self, path: Path) -> None:
        """
        A file that cannot be written can be read, and says so.
        """
        with SqliteStorage(path) as storage:
            put(storage, change())

        with SqliteStorage(path) as storage:
            storage.migrate()
            # As root, every file can be written; this connection cannot.
            storage._read(asked("PRAGMA query_only = ON"))

            assert storage.load("o-1").version == 1
            with pytest.raises(StorageError, match="readonly") as caught:
                storage.commit([change(expected=1)])
            assert not caught.value.repeat

    @pytest.mark.parametrize("content", [b"no database" * 100, None])
    def test_no_database(self, path: Path, content: bytes | None) -> None:
        """
        What is not a database, or not a file, is not used.
        """
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)

        with SqliteStorage(path) as storage, pytest.raises(StorageError) as caught:
            storage.load("o-1")
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        assert content is None or path.read_bytes() == content

    def test_no_connection(self, path: Path) -> None:
        """
        Whatever the driver raises when it opens the file does not leave.
        """

        class Connection(sqlite3.Connection):
            def __init__(self, *values: Any, **named: Any) -> None:
                raise OverflowError("too large")

        with SqliteStorage(path) as storage:
            storage._connection = Connection
            with pytest.raises(StorageError, match="too large"):
                storage.load("o-1")

    def test_text_that_is_none(self, path: Path) -> None:
        """
        A text that is no UTF-8 stops no other order, and is found.
        """
        clock = FakeClock(T0)
        with SqliteStorage(path) as storage:
            engine = an_engine(storage, clock=clock)
            for order_id in ("o1", "o2", "o3"):
                brought_to(engine, "delivered", order_id)
            raw(
                path,
                "UPDATE escrowflow_text SET text = CAST(x'ffe2' AS TEXT)"
                " WHERE order_id = 'o2'",
            )
            clock.advance(timedelta(days=30))

            engine.run_due()
            carried_out = set()

            def carry_out(effect: Any) -> None:
                carried_out.add(effect.order_id)

            engine.run_effects(dict.fromkeys((Refund, PayOut, Notify), carry_out))

            assert [engine.order(name).state for name in ("o1", "o3")] == [
                "completed",
                "completed",
            ]
            assert {"o1", "o3"} <= carried_out
            assert len(engine.orders().items) == 3
            assert [fault.order_id for fault in engine.verify().faults] == ["o2"]

    @pytest.mark.parametrize(
        ("statement", "complaint"),
        [
            (
                "UPDATE escrowflow_schema SET version = 2, oldest = 2",
                "schema version 2, but",
            ),
            ("DELETE FROM escrowflow_schema", "already exists"),
            (
                "UPDATE escrowflow_schema SET checksum = ''",
                "schema version 1 is not what",
            ),
        ],
    )
    def test_unknown_schema(self, path: Path, statement: str, complaint: str) -> None:
        """
        A schema of another release is left alone.
        """
        with SqliteStorage(path) as storage:
            storage.migrate()
        raw(path, statement)

        with (
            SqliteStorage(path) as storage,
            pytest.raises(StorageError, match=complaint),
        ):
            storage.migrate()

    @pytest.mark.parametrize(
        "statement",
        [
            "DROP TRIGGER escrowflow_event_fixed",
            "DROP INDEX escrowflow_order_due",
            "ALTER TABLE escrowflow_order ADD COLUMN more TEXT",
            "DROP VIEW escrowflow_orders",
        ],
    )
    def test_damaged_schema(self, path: Path, statement: str) -> None:
        """
        Without one of its guards it does not begin to work.
        """
        with SqliteStorage(path) as storage:
            storage.migrate()
        raw(path, statement)

        with (
            SqliteStorage(path) as storage,
            pytest.raises(StorageError, match="the schema was changed: 1 parts"),
        ):
            storage.load("o-1")

    def test_tables_of_others(self, path: Path) -> None:
        """
        The host may keep its own tables in the file, before us and after us.
        """
        raw(path, "PRAGMA user_version = 7", "CREATE TABLE app (id)")
        with SqliteStorage(path) as storage:
            put(storage, change())
        raw(path, "CREATE TABLE more (id)")

        with SqliteStorage(path) as storage:
            assert storage.load("o-1").version == 1

    def test_other_writers_are_waited_for(self, path: Path) -> None:
        """
        Who cannot get the lock in time hears so, and nothing was written.
        """
        with SqliteStorage(path, busy_timeout=0) as storage:
            storage.migrate()
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")

            with pytest.raises(StorageError, match="locked") as caught:
                storage.commit([change()])
            assert caught.value.repeat
            other.close()
            put(storage, change())

            storage._link().writer.acquire()
            with pytest.raises(StorageError, match="other threads") as caught:
                storage.commit([change(expected=1)])
            assert caught.value.repeat
            storage._link().writer.release()
            put(storage, change(expected=1))

    def test_log_cannot_be_switched(self, path: Path) -> None:
        """
        Somebody who keeps reading in the old mode is waited for, but not for ever.
        """
        raw(path, "CREATE TABLE app (id)")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM app").fetchall()

        with SqliteStorage(path, busy_timeout=0) as storage:
            with pytest.raises(StorageError, match="locked"):
                storage.migrate()
            other.close()
            storage.migrate()

    @pytest.mark.parametrize(
        ("failures", "complaint"), [(1, None), (100, "somebody is always in the way")]
    )
    def test_log_is_switched_later(
        self, path: Path, failures: int, complaint: str | None
    ) -> None:
        """
        The switch is tried again, though not for ever.
        """
        left = [failures]

        def happens(_: sqlite3.Cursor, sql: str) -> str | None:
            if "journal_mode" in sql and left[0]:
                left[0] -= 1
                return None
            return sql

        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            if complaint is None:
                storage.migrate()
                assert pragma(storage, "journal_mode") == "wal"
            else:
                with pytest.raises(StorageError, match=complaint):
                    storage.migrate()

    def test_no_log_here(self, path: Path) -> None:
        """
        Without a write-ahead log it does not begin to work.
        """
        with SqliteStorage(path) as storage:
            storage._connection = failing(
                lambda _, sql: sql.replace("journal_mode = WAL", "journal_mode")
            )
            with pytest.raises(StorageError, match="no write-ahead log"):
                storage.migrate()

    def test_schema_by_somebody_faster(self, path: Path) -> None:
        """
        Who finds the schema made while it waited for the lock takes it.
        """

        def happens(_: sqlite3.Cursor, sql: str) -> str | None:
            if sql == "BEGIN IMMEDIATE" and not made:
                made.append(True)
                with SqliteStorage(path) as faster:
                    faster.migrate()
            return sql

        made: list[bool] = []
        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            put(storage, change())

        assert made == [True]

    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize(
        ("first", "expected"),
        [
            # Nothing happened: the transaction is still open.
            ("", StorageError),
            # It is over, in one way or the other.
            ("ROLLBACK", OutcomeUnknownError),
            ("COMMIT", OutcomeUnknownError),
            ("COMMIT; close", OutcomeUnknownError),
            ("close", OutcomeUnknownError),
        ],
    )
    def test_commit_that_fails(
        self,
        path: Path,
        count: int,
        first: str,
        expected: type[StorageError],
    ) -> None:
        """
        When COMMIT itself fails, what is said afterwards is true.
        """
        armed: list[bool] = []

        def happens(cursor: sqlite3.Cursor, sql: str) -> str | None:
            if sql != "COMMIT" or not armed:
                return sql
            armed.clear()
            for statement in filter(None, first.split("; ")):
                if statement == "close":
                    cursor.connection.close()
                else:
                    cursor.connection.execute(statement)
            return None

        changes = [change("o-1", 1), change("o-2")][:count]
        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            put(storage, change())
            armed.append(True)
            with pytest.raises(StorageError) as caught:
                storage.commit(changes)
            assert type(caught.value) is expected
        with SqliteStorage(path) as storage:
            written = storage.load("o-1").version
            assert written == (2 if first.startswith("COMMIT") else 1)

    @pytest.mark.parametrize("outcome", ["COMMIT", "ROLLBACK"])
    def test_commit_that_tells_nothing(self, path: Path, outcome: str) -> None:
        """
        A change that moves no version leaves nothing to tell by, and neither does
        one that conflicted.
        """
        armed: list[bool] = []

        def happens(cursor: sqlite3.Cursor, sql: str) -> str | None:
            if sql == "COMMIT" and armed:
                cursor.connection.execute(outcome)
                return None
            return sql

        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            put(storage, change())
            armed.append(True)

            with pytest.raises(OutcomeUnknownError, match="repeat with the same key"):
                storage.commit([change(expected=1, appended=0), change("o-2", 5)])

    def test_interrupted(self, path: Path) -> None:
        """
        Whatever interrupts a change, nothing of it is left, and the next one works.
        """

        def happens(_: sqlite3.Cursor, sql: str) -> str | None:
            if "escrowflow_event" in sql and interrupted:
                interrupted.pop()
                raise KeyboardInterrupt
            return sql

        interrupted: list[bool] = []
        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            storage.migrate()
            interrupted.append(True)
            with pytest.raises(KeyboardInterrupt):
                storage.commit([change(texts=(text(),))])

            assert storage.load("o-1") == StoredOrder(order_id="o-1")
            put(storage, change())
