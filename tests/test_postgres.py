"""
What the storage in PostgreSQL promises beyond the contract: on a real server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from escrowflow.caution import Caution, HeldBack
from escrowflow.clock import Clock, FakeClock, SystemClock
from escrowflow.engine import AsyncEngine, Engine
from escrowflow.errors import StorageError
from escrowflow.storage import (
    AsyncStorage,
    Capability,
    Change,
    CommitResult,
    Storage,
)
from escrowflow.storage.postgres import AsyncPostgresStorage, PostgresStorage
from escrowflow.testing import AsyncStorageContract, Simulation, StorageContract
from escrowflow.testing.given import (
    CONFLICT,
    DONE,
    at_once,
    change,
    effect,
    everything,
    ids,
    put,
    receipt,
    result,
    text,
)
from escrowflow.worker import AsyncWorker, Worker
from tests.given import COMEUP
from tests.pg import (
    LEVELS,
    OTHER,
    Proxy,
    Server,
    Spare,
    at_level,
    say,
    wait_until,
    waits,
)
from tests.rush import Rush

each_level = pytest.mark.parametrize("level", LEVELS)
ours_only = pytest.mark.skipif(bool(OTHER), reason="a server that is not ours")


@pytest.fixture
def storage(dsn: str) -> Iterator[PostgresStorage]:
    """
    A storage that nobody has written to.
    """
    with PostgresStorage(dsn) as storage:
        yield storage


# --- an empty database ------------------------------------------------------------


def test_nothing_is_made(fresh: str) -> None:
    """
    Without `create` an empty database stays empty; `migrate` makes the tables.
    """
    with PostgresStorage(fresh, create=False) as storage:
        for _ in range(2):
            with pytest.raises(StorageError, match="no orders are kept in this"):
                storage.load("o1")
        with psycopg.connect(fresh) as raw:
            found = raw.execute(
                "SELECT FROM pg_class WHERE relname LIKE 'escrowflow%'"
            ).fetchall()
        assert found == []

        async def ask() -> None:
            async with AsyncPostgresStorage(fresh, create=False) as awaited:
                with pytest.raises(StorageError, match="no orders are kept in this"):
                    await awaited.load("o1")

        asyncio.run(ask())
        storage.migrate()
        assert storage.load("o1").version == 0


# --- the contract -----------------------------------------------------------------


class _Spare:
    """
    Gives each check a database of its own.
    """

    spare: Spare

    @pytest.fixture(autouse=True)
    def _with_databases(self, spare: Spare) -> Iterator[None]:
        type(self).spare = spare
        yield
        spare.give_back()


class TestPostgres(_Spare, StorageContract):
    """
    A server that any number of machines share.
    """

    histories = 15
    overwrites = False

    def open(self, path: Path) -> Storage:
        return PostgresStorage(self.spare.take())

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, PostgresStorage)
        return PostgresStorage(storage.dsn)

    def empty(self, storage: Storage) -> bool:
        assert isinstance(storage, PostgresStorage)
        # What is closed says so.
        storage.load("o-1")
        self.spare.empty(storage.dsn)
        return True


class TestAsyncPostgres(_Spare, AsyncStorageContract):
    """
    The same, awaited.
    """

    histories = 5
    crashes = 3
    overwrites = False

    def open(self, path: Path) -> AsyncStorage:
        return AsyncPostgresStorage(self.spare.take())

    def reopen(self, storage: Any) -> AsyncStorage:
        assert isinstance(storage, AsyncPostgresStorage)
        return AsyncPostgresStorage(storage.dsn)

    async def empty(self, storage: Any) -> bool:
        assert isinstance(storage, AsyncPostgresStorage)
        await storage.load("o-1")
        self.spare.empty(storage.dsn)
        return True


# --- who is faster ----------------------------------------------------------------


class TestRaces:
    """
    What holds by locks, whatever the level of isolation.
    """

    @each_level
    def test_nothing_is_half_written(self, dsn: str, level: str) -> None:
        """
        Many who change the same orders at once, with events and without, with the
        same keys and other parties, leave what one after the other would have left.
        """
        with PostgresStorage(at_level(dsn, level)) as storage:
            put(storage, *(change(name) for name in ("o-1", "o-2", "o-3")))
            rush = Rush(storage, seed=len(level))
            rush.done += [change(name, texts=(), effects=()) for name in rush.orders]
            at_once(rush.run)

            rush.check()
            rush.parties(dsn)
            assert 0 < len(rush.done) < rush.answers

    @each_level
    def test_one_receipt_without_events(self, dsn: str, level: str) -> None:
        """
        A change that appends nothing conflicts with the one that has just written
        its receipt, although the version is what it was.
        """
        mine = change(
            expected=1,
            appended=0,
            receipt=receipt(last=0),
            texts=(text("r-2"),),
            effects=(effect(),),
        )
        with PostgresStorage(at_level(dsn, level)) as storage:
            put(storage, change())
            found = self._second(dsn, storage, receipt=receipt(last=0), then=mine)

            assert found == [CONFLICT]
            assert not storage.load("o-1").texts
            assert not storage.effects("o-1")

    @each_level
    def test_other_parties_without_events(self, dsn: str, level: str) -> None:
        """
        Who replaces parties that somebody else has just replaced conflicts, or
        replaces those; nobody is left who took part before.
        """
        mine = change(expected=1, parties=(("buyer", "eve"),))
        with PostgresStorage(at_level(dsn, level)) as storage:
            put(storage, change())
            found = self._second(dsn, storage, parties=(("buyer", "bob"),), then=mine)

            if found == [CONFLICT]:
                assert say(dsn, "SELECT id FROM escrowflow_party") == [("bob",)]
                put(storage, mine)
            assert say(dsn, "SELECT id FROM escrowflow_party") == [("eve",)]

    def _second(
        self, dsn: str, storage: PostgresStorage, *, then: Change, **first: Any
    ) -> list[CommitResult]:
        """
        Return what becomes of a change that waits for another one, without events.
        """
        found: list[CommitResult] = []
        with psycopg.connect(dsn) as link:
            ahead = storage.within(link)
            assert list(ahead.commit([change(expected=1, appended=0, **first)])) == [
                DONE
            ]
            late = threading.Thread(target=lambda: found.extend(storage.commit([then])))
            late.start()
            wait_until(lambda: waits(dsn))
            link.commit()
            late.join()
        return found

    def test_a_token_that_is_taken_meanwhile(
        self, dsn: str, storage: PostgresStorage
    ) -> None:
        """
        A result waits for a claim that is on its way, and is too late then.
        """
        put(storage, change(effects=(effect(),)))
        found: list[CommitResult] = []
        with psycopg.connect(dsn) as link:
            link.execute("UPDATE escrowflow_effect SET token = 1, status = 'claimed'")
            mine = change(expected=1, results=(result(token=0),), texts=(text(),))
            late = threading.Thread(target=lambda: found.extend(storage.commit([mine])))
            late.start()
            wait_until(lambda: waits(dsn))
            link.commit()
            late.join()

        assert found == [CONFLICT]
        assert (storage.load("o-1").version, storage.load("o-1").texts) == (1, {})

    def test_nobody_waits_for_a_claim(self, dsn: str, storage: PostgresStorage) -> None:
        """
        What somebody is claiming is passed over; the next ones are claimed.
        """
        names = [f"o-{number}" for number in range(6)]
        put(storage, *(change(n, due_at=5, effects=(effect(),)) for n in names))
        with psycopg.connect(dsn) as link:
            for table in ("order", "effect"):
                link.execute(
                    f"SELECT FROM escrowflow_{table} WHERE order_id < 'o-3'"
                    " FOR NO KEY UPDATE".encode()
                )
            assert ids(storage.claim_due(10, 20, 2)) == names[3:5]
            assert ids(storage.claim_due(10, 20, 2)) == names[5:]
            assert len(storage.claim_effects(100, 200, 9)) == 3
        assert ids(storage.claim_due(10, 20, 9)) == names[:3]

    @each_level
    def test_many_claim(self, dsn: str, level: str) -> None:
        """
        No order and no effect is handed out twice, however many ask at once.
        """
        with PostgresStorage(at_level(dsn, level)) as storage:
            names = [f"o-{number:02}" for number in range(40)]
            put(storage, *(change(n, due_at=5, effects=(effect(),)) for n in names))
            due: list[str] = []
            ready: list[str] = []

            def claim(_: int) -> None:
                while found := storage.claim_due(10, 20, 3):
                    due.extend(ids(found))
                while effects := storage.claim_effects(100, 200, 3):
                    ready.extend(effect.order_id for effect in effects)

            at_once(claim)
            # Who found everything locked has gone home too early.
            claim(0)

            assert sorted(due) == sorted(ready) == names


class TestRefusals:
    """
    A server that asks to try again.
    """

    @pytest.fixture
    def refusing(self, fresh: str) -> str:
        """
        A database that refuses the first commits: a sequence counts on.
        """
        with PostgresStorage(fresh) as storage:
            storage.migrate()
        say(
            fresh,
            "CREATE SEQUENCE refusals",
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('refusals') <= CAST(TG_ARGV[0] AS int) THEN RAISE EXCEPTION"
            " USING ERRCODE = TG_ARGV[1], MESSAGE = 'not now'; END IF;"
            " RETURN NEW; END $$",
        )
        return fresh

    @pytest.mark.parametrize("code", ["40001", "40P01"])
    def test_for_a_while(self, refusing: str, code: str) -> None:
        """
        What could not be put in a row with others, or waited in a circle, is said
        again.
        """
        self._refuse(refusing, 3, code)

        with PostgresStorage(refusing) as storage:
            put(storage, change())
        assert say(refusing, "SELECT last_value FROM refusals") == [(4,)]

    def test_for_ever(self, refusing: str) -> None:
        """
        Some time it is an error; nothing was written, and that is known.
        """
        self._refuse(refusing, 1000, "40001")

        with PostgresStorage(refusing) as storage:
            with pytest.raises(StorageError, match="not now") as caught:
                storage.commit([change()])
            assert type(caught.value) is StorageError
            assert caught.value.repeat
            assert storage.load("o-1").version == 0

    def test_awaited(self, refusing: str) -> None:
        """
        The same, awaited.
        """

        async def scenario() -> None:
            async with AsyncPostgresStorage(refusing) as storage:
                self._refuse(refusing, 3, "40001")
                assert list(await storage.commit([change()])) == [DONE]
                self._refuse(refusing, 1000, "40P01")
                with pytest.raises(StorageError, match="not now") as caught:
                    await storage.commit([change("o-2")])
                assert caught.value.repeat

        asyncio.run(scenario())

    def _refuse(self, dsn: str, times: int, code: str) -> None:
        say(
            dsn,
            "CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON escrowflow_order"
            f" FOR EACH ROW EXECUTE FUNCTION refuse({times}, '{code}')",
        )


# --- what raw SQL cannot do -------------------------------------------------------

REFUSED: Final = (
    "UPDATE escrowflow_order SET version = version - 1 WHERE order_id = 'o-1'",
    "UPDATE escrowflow_order SET order_id = 'x' WHERE order_id = 'o-3'",
    "DELETE FROM escrowflow_order WHERE order_id = 'o-3'",
    "TRUNCATE escrowflow_order CASCADE",
    "UPDATE escrowflow_order SET held = 0",
    "UPDATE escrowflow_order SET paid_in = -1, held = -1",
    "UPDATE escrowflow_order SET head = ''",
    "UPDATE escrowflow_event SET body = ''",
    "DELETE FROM escrowflow_event WHERE order_id = 'o-3'",
    "TRUNCATE escrowflow_event CASCADE",
    "INSERT INTO escrowflow_event SELECT order_id, seq + 2, name, effective_at,"
    " recorded_at, settles, body, hash FROM escrowflow_event WHERE seq = 2",
    "INSERT INTO escrowflow_event SELECT order_id, 3, name, effective_at - 1,"
    " recorded_at, settles, body, hash FROM escrowflow_event WHERE seq = 2",
    "INSERT INTO escrowflow_event SELECT order_id, 2, name, effective_at,"
    " recorded_at, settles, body, hash FROM escrowflow_event WHERE order_id = 'o-3'"
    " UNION ALL SELECT order_id, 3, name, effective_at - 1,"
    " recorded_at, settles, body, hash FROM escrowflow_event WHERE order_id = 'o-3'",
    "INSERT INTO escrowflow_event SELECT 'none', 1, name, effective_at,"
    " recorded_at, settles, body, hash FROM escrowflow_event WHERE seq = 2",
    "INSERT INTO escrowflow_event SELECT order_id, 3, name, effective_at,"
    " recorded_at, 1, body, hash FROM escrowflow_event WHERE seq = 2 UNION ALL"
    " SELECT order_id, 4, name, effective_at,"
    " recorded_at, 1, body, hash FROM escrowflow_event WHERE seq = 2",
    "UPDATE escrowflow_effect SET body = '' WHERE FALSE",
    "UPDATE escrowflow_effect SET key = 'other'",
    "UPDATE escrowflow_effect SET status = 'lost'",
    "UPDATE escrowflow_effect SET status = 'waiting' WHERE key = 'e-1'",
    "UPDATE escrowflow_effect SET token = token - 1 WHERE key = 'e-2'",
    "DELETE FROM escrowflow_effect WHERE key = 'e-2'",
    "TRUNCATE escrowflow_effect",
    "UPDATE escrowflow_receipt SET first = 2",
    "DELETE FROM escrowflow_receipt",
    "TRUNCATE escrowflow_receipt",
)

ALLOWED: Final = (
    "DELETE FROM escrowflow_effect WHERE status = 'done'",
    "UPDATE escrowflow_effect SET status = 'waiting' WHERE key = 'e-2'",
    "UPDATE escrowflow_order SET version = version",
    "DELETE FROM escrowflow_text",
)


class TestGuards:
    """
    The schema keeps history, whoever asks.
    """

    @pytest.fixture
    def history(self, dsn: str, storage: PostgresStorage) -> str:
        """
        A database with two orders; one has effects and a receipt.
        """
        put(
            storage,
            change(
                appended=2,
                effects=(effect(), effect("e-2")),
                receipt=receipt(),
                texts=(text(),),
            ),
            change("o-3"),
        )
        storage.claim_effects(100, 200, 9)
        put(storage, change("o-1", 2, appended=0, results=(result(),)))
        return dsn

    @pytest.mark.parametrize("statement", REFUSED)
    def test_refused(
        self, history: str, storage: PostgresStorage, statement: str
    ) -> None:
        """
        What would make another history is refused, and changes nothing.
        """
        before = everything(storage, ("o-1", "o-3"))

        with pytest.raises(psycopg.IntegrityError):
            say(history, statement)
        assert everything(storage, ("o-1", "o-3")) == before

    @pytest.mark.parametrize("statement", ALLOWED)
    def test_allowed(self, history: str, statement: str) -> None:
        """
        What is no history may go.
        """
        say(history, statement)


# --- the schema -------------------------------------------------------------------

DAMAGE: Final = (
    "DROP INDEX escrowflow_order_due",
    "DROP INDEX escrowflow_event_settles",
    "DROP TRIGGER escrowflow_event_follows ON escrowflow_event",
    "ALTER TABLE escrowflow_event DISABLE TRIGGER escrowflow_event_fixed",
    "ALTER TABLE escrowflow_effect DISABLE TRIGGER ALL",
    "ALTER TABLE escrowflow_order DROP CONSTRAINT escrowflow_order_check",
    "ALTER TABLE escrowflow_event DROP CONSTRAINT escrowflow_event_order_id_fkey",
    "ALTER TABLE escrowflow_party DROP CONSTRAINT escrowflow_party_pkey",
    "ALTER TABLE escrowflow_order ALTER snapshot DROP NOT NULL",
    "ALTER TABLE escrowflow_receipt ALTER first TYPE int",
    "ALTER TABLE escrowflow_text ADD COLUMN more text",
    'ALTER TABLE escrowflow_text ALTER ref TYPE text COLLATE "default"',
    "DROP VIEW escrowflow_orders",
    "ALTER TABLE escrowflow_effect SET UNLOGGED",
    "ALTER TABLE escrowflow_text ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE escrowflow_party FORCE ROW LEVEL SECURITY",
    "ALTER TABLE escrowflow_effect ALTER status SET DEFAULT 'done'",
    "CREATE RULE lost AS ON INSERT TO escrowflow_effect DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION escrowflow_refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NULL; END'",
    "UPDATE escrowflow_schema SET checksum = 'other'",
    "UPDATE escrowflow_schema SET version = 99, oldest = 99",
    "DELETE FROM escrowflow_schema",
    "DROP TABLE escrowflow_schema",
)


class TestSchema:
    """
    Made once, by whoever comes first; refused when it is not what was made.
    """

    @ours_only
    @pytest.mark.parametrize("version", [16, 18])
    def test_versions_of_the_server(self, version: int) -> None:
        """
        A schema is recognised, and used, on each version of the server.
        """
        with Server(version) as server:
            dsn = server.dsn_of(server.database())
            for number in range(3):
                with PostgresStorage(dsn) as storage:
                    put(
                        storage,
                        change(expected=number, receipt=receipt(f"k-{number}")),
                        *(change(f"{number}-{other}") for other in range(9)),
                    )
            say(dsn, DAMAGE[3])
            with PostgresStorage(dsn) as storage, pytest.raises(StorageError):
                storage.load("o-1")

    @pytest.mark.parametrize("statement", DAMAGE)
    def test_damaged(self, fresh: str, statement: str) -> None:
        """
        What is missing, changed, switched off or unknown stops it at the start.
        """
        with PostgresStorage(fresh) as storage:
            put(storage, change())
        say(fresh, statement)

        with PostgresStorage(fresh) as storage:
            with pytest.raises(StorageError, match=r"schema|tables"):
                storage.load("o-1")
            with pytest.raises(StorageError, match=r"schema|tables"):
                storage.commit([change("o-2")])

    def test_a_newer_one_that_gets_on(self, fresh: str) -> None:
        """
        A release goes on beside the next one, if that one says so.
        """
        with PostgresStorage(fresh) as storage:
            storage.migrate()
        say(
            fresh,
            "INSERT INTO escrowflow_schema VALUES (2, 'new', 1)",
            "ALTER TABLE escrowflow_text ADD COLUMN more text",
        )

        with PostgresStorage(fresh) as storage:
            put(storage, change())

    def test_another_schema(self, fresh: str) -> None:
        """
        The tables lie where the search path leads.
        """
        say(fresh, "CREATE SCHEMA o")
        there = make_conninfo(fresh, options="-c search_path=o")
        for version in range(2):
            with PostgresStorage(there) as storage:
                put(storage, change(expected=version))

        assert say(fresh, "SELECT version FROM o.escrowflow_order") == [(2,)]
        assert not say(fresh, "SELECT FROM pg_tables WHERE schemaname = 'public'")

    @each_level
    def test_two_migrators(self, fresh: str, level: str) -> None:
        """
        Several who find an empty database make one schema.
        """

        def begin(number: int) -> None:
            with PostgresStorage(at_level(fresh, level)) as storage:
                if number % 2:
                    storage.migrate()
                put(storage, change(f"o-{number}"))

        at_once(begin)

        assert say(fresh, "SELECT count(*) FROM escrowflow_schema") == [(1,)]
        assert say(fresh, "SELECT count(*) FROM escrowflow_order") == [(8,)]

    @ours_only
    def test_killed_half_way(self, fresh: str) -> None:
        """
        A migration that is cut off at any statement leaves nothing.
        """
        for spared in range(2, 36, 3):
            with Proxy(fresh) as proxy, PostgresStorage(proxy.dsn) as storage:
                proxy.fate, proxy.spared = "before", spared
                with pytest.raises(StorageError):
                    storage.load("o-1")
            assert not say(fresh, "SELECT FROM pg_class WHERE relname ^@ 'escrowflow'")
        with PostgresStorage(fresh) as storage:
            put(storage, change())

    def test_ddl(self, fresh: str) -> None:
        """
        What it would say can be said by somebody else.
        """
        storage = PostgresStorage(fresh)
        say(fresh, *storage.ddl())

        with storage:
            put(storage, change())

    def test_another_encoding(self, postgres: Server) -> None:
        """
        A database that cannot keep every text is refused.
        """
        name = postgres.database().replace("escrowflow_test", "escrowflow_latin")
        postgres.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
        )
        try:
            with (
                PostgresStorage(postgres.dsn_of(name)) as storage,
                pytest.raises(StorageError, match="LATIN1"),
            ):
                storage.load("o-1")
        finally:
            postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def configured(server: Server, name: str, value: str) -> Iterator[None]:
    """
    A server with another setting.
    """
    (before,) = say(server.dsn, f"SHOW {name}")
    server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.execute("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: say(server.dsn, f"SHOW {name}") == [(value,)])
        yield
    finally:
        server.execute(f"ALTER SYSTEM RESET {name}")
        server.execute("SELECT pg_reload_conf()")
        wait_until(lambda: say(server.dsn, f"SHOW {name}") == [before])


class TestDurability:
    """
    What is confirmed is kept.
    """

    @ours_only
    @pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
    def test_a_server_that_forgets(self, postgres: Server, dsn: str, name: str) -> None:
        """
        A server that loses its data with the power is refused, whatever is asked.
        """
        with configured(postgres, name, "off"):
            for durability in ("full", "relaxed"):
                with (
                    PostgresStorage(dsn, durability=durability) as storage,
                    pytest.raises(StorageError, match=name),
                ):
                    storage.load("o-1")

    def test_commits_that_do_not_wait(self, fresh: str) -> None:
        """
        A database that does not wait for the disk is used only by who asks for it.
        """
        database = conninfo_to_dict(fresh)["dbname"]
        say(fresh, f"ALTER DATABASE {database} SET synchronous_commit = off")

        with (
            PostgresStorage(fresh) as storage,
            pytest.raises(StorageError, match="relaxed"),
        ):
            storage.load("o-1")
        with PostgresStorage(fresh, durability="relaxed") as storage:
            put(storage, change())
            with psycopg.connect(fresh) as link:
                put(storage.within(link), change("o-2"))
            assert storage.load("o-2").version == 1

    def test_guards_that_are_off(self, fresh: str) -> None:
        """
        A session in which no guard is heard is refused.
        """
        database = conninfo_to_dict(fresh)["dbname"]
        say(fresh, f"ALTER DATABASE {database} SET session_replication_role = replica")

        with (
            PostgresStorage(fresh) as storage,
            pytest.raises(StorageError, match="session_replication_role"),
        ):
            storage.load("o-1")

    def test_relaxed_inside(self, dsn: str) -> None:
        """
        The transaction of a host waits for the disk all the same.
        """
        with (
            PostgresStorage(dsn, durability="relaxed") as storage,
            psycopg.connect(dsn) as link,
        ):
            storage.migrate()
            put(storage.within(link), change())
            assert link.execute("SHOW synchronous_commit").fetchone() == ("on",)

    @ours_only
    def test_relaxed(self, postgres: Server, dsn: str) -> None:
        """
        Who relaxes waits for nobody, not even for a second server that never comes;
        the session is as it was afterwards.
        """
        with PostgresStorage(dsn, durability="relaxed", connections=1) as storage:
            put(storage, change())
            with configured(postgres, "synchronous_standby_names", "nobody"):
                put(storage, change(expected=1), change("o-2"))
                done = threading.Thread(target=storage.claim_due, args=(1, 2, 1))
                done.start()
            done.join()
            assert storage.load("o-1").version == 2


# --- the clock of the server ------------------------------------------------------


def test_its_clock_is_asked(dsn: str) -> None:
    """
    A cautious worker believes its clock as far as the server says the same, blocking
    or awaited; who asks inside a transaction of a host does not ask the clock.
    """
    for clock, reason in ((SystemClock(), None), (FakeClock(), "storage_clock")):
        caution = Caution(tolerance="PT1H")
        with PostgresStorage(dsn) as blocking:
            worker = Worker(Engine(COMEUP, blocking, clock=clock), caution=caution)
            said = worker.run_once().held_back
            with psycopg.connect(dsn) as raw:
                assert Capability.CLOCK in blocking.capabilities
                joined = Engine(COMEUP, blocking, clock=clock).within(raw).storage
                assert Capability.CLOCK not in joined.capabilities

        async def ask(clock: Clock, caution: Caution) -> HeldBack | None:
            async with AsyncPostgresStorage(dsn) as storage:
                engine = AsyncEngine(COMEUP, storage, clock=clock)
                return (await AsyncWorker(engine, caution=caution).run_once()).held_back

        for held in (said, asyncio.run(ask(clock, caution))):
            assert (held and held.reason) == reason


def test_a_host_in_a_storm(spare: Spare) -> None:
    """
    Storms in which commands are given in a host's transaction come to the same as in
    memory, where his transactions are kept back for him (I16, I35).
    """

    def emptied() -> PostgresStorage:
        spare.give_back()
        return PostgresStorage(spare.take(), durability="relaxed")

    faults = {"within": 300, "storage restored": 20, "wallets": 1, "withdrawals": 1}
    memory = Simulation(orders=2, steps=100, faults=faults).run(seeds=3)

    report = Simulation(storage=emptied, orders=2, steps=100, faults=faults).run(
        seeds=3
    )

    goals = {"a host commits": 3, "a host rolls back": 2}
    report.require(violations=0, stuck=0, goals=goals)
    assert report.histories == memory.histories
    assert report.traces == memory.traces
