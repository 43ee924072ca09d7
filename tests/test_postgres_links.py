"""
The storage in PostgreSQL and its connections: how many, how lost, and how named.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from escrowflow.errors import InvalidInputError, OutcomeUnknownError, StorageError
from escrowflow.storage import (
    CommitResult,
    open_async_storage,
    open_storage,
    postgres,
)
from escrowflow.storage.postgres import AsyncPostgresStorage, PostgresStorage
from escrowflow.testing.given import (
    DONE,
    at_once,
    change,
    effect,
    ids,
    put,
    receipt,
    text,
)
from tests.pg import (
    OTHER,
    Proxy,
    Server,
    bouncer,
    say,
    wait_until,
    waits,
)
from tests.rush import Rush

ours_only = pytest.mark.skipif(bool(OTHER), reason="a server that is not ours")


@pytest.fixture
def storage(dsn: str) -> Iterator[PostgresStorage]:
    """
    A storage that nobody has written to.
    """
    with PostgresStorage(dsn) as storage:
        yield storage


# --- connections ------------------------------------------------------------------


@ours_only
class TestTrips:
    """
    How often the server is asked.
    """

    def test_two_for_a_command(self, dsn: str) -> None:
        """
        A load is one trip, and a commit is one, of however many orders.
        """
        with (
            Proxy(dsn) as proxy,
            PostgresStorage(proxy.dsn, prepare_threshold=None) as storage,
        ):
            put(storage, change("o-0"))
            for count in (1, 3, 50):
                names = [f"{count}-{number}" for number in range(count)]
                proxy.asked = 0
                put(storage, *(change(name) for name in names))
                storage.load(names[0], "ana:k")
                put(
                    storage,
                    *(
                        change(
                            name,
                            1,
                            receipt=receipt(),
                            effects=(effect(),),
                            parties=(("buyer", "eve"),),
                            texts=(text(),),
                        )
                        for name in names
                    ),
                )
                assert proxy.asked == 3

    @pytest.mark.parametrize("threshold", [None, "auto", 0, 1])
    def test_prepared_or_not(self, dsn: str, threshold: Any) -> None:
        """
        A statement is written for its kind of batch, prepared or not.
        """
        with PostgresStorage(dsn, prepare_threshold=threshold) as storage:
            for number in range(1, 13):
                names = [f"{number}-{other}" for other in range(number)]
                put(storage, *(change(name, due_at=number) for name in names))
                put(storage, *(change(name, 1, due_at=None) for name in names))
                assert storage.load(names[-1]).due_at is None

    @pytest.mark.parametrize(
        ("threshold", "poses", "prepares"),
        [
            ("auto", False, True),
            ("auto", True, False),
            (1, True, True),
            (None, False, False),
        ],
    )
    def test_shared_connections(
        self, dsn: str, threshold: Any, poses: bool, prepares: bool
    ) -> None:
        """
        Nothing is prepared on a connection to the server that others may have next,
        unless one says so.
        """

        async def awaited(proxy: Proxy) -> None:
            async with AsyncPostgresStorage(
                proxy.dsn, prepare_threshold=threshold
            ) as storage:
                for _ in range(8):
                    await storage.load("o-1")

        with (
            Proxy(dsn, poses=poses) as proxy,
            PostgresStorage(proxy.dsn, prepare_threshold=threshold) as storage,
        ):
            for _ in range(8):
                storage.load("o-1")
            assert bool(proxy.prepared) == prepares
            proxy.prepared = 0
            asyncio.run(awaited(proxy))
            assert bool(proxy.prepared) == prepares

    @pytest.mark.parametrize("poses", [False, True])
    def test_shared_since(self, dsn: str, poses: bool) -> None:
        """
        Each connection is looked at: somebody may stand in between who did not before,
        or no longer.
        """

        async def awaited(proxy: Proxy) -> None:
            async with AsyncPostgresStorage(proxy.dsn, connections=1) as storage:
                await storage.load("o-1")
                for now in (poses, not poses):
                    proxy.poses, proxy.fate = now, "before"
                    # Reads again, on another connection.
                    await storage.load("o-1")
                    proxy.prepared = 0
                    for _ in range(8):
                        await storage.load("o-1")
                    assert bool(proxy.prepared) != now

        with Proxy(dsn) as proxy, PostgresStorage(proxy.dsn, connections=1) as storage:
            storage.load("o-1")
            for now in (poses, not poses):
                proxy.poses, proxy.fate = now, "before"
                storage.load("o-1")
                proxy.prepared = 0
                for _ in range(8):
                    storage.load("o-1")
                assert bool(proxy.prepared) != now
            asyncio.run(awaited(proxy))


@ours_only
class TestLostConnections:
    """
    What is said when nobody answers.
    """

    @pytest.mark.parametrize("fate", ["before", "after"])
    def test_commit(self, dsn: str, fate: str) -> None:
        """
        Whoever does not hear of his commit is told that nobody knows; the next one
        finds out.
        """
        with Proxy(dsn) as proxy, PostgresStorage(proxy.dsn) as storage:
            put(storage, change())
            proxy.fate = fate
            with pytest.raises(OutcomeUnknownError):
                storage.commit([change(expected=1, receipt=receipt())])

            loaded = storage.load("o-1", "ana:k")
            assert loaded.version == (1 if fate == "before" else 2)
            assert (loaded.receipt is None) == (fate == "before")
            put(storage, change(expected=loaded.version))

    @pytest.mark.parametrize("fate", ["before", "after"])
    def test_awaited_commit(self, dsn: str, fate: str) -> None:
        """
        The same, awaited.
        """

        async def scenario(proxy: Proxy) -> None:
            async with AsyncPostgresStorage(proxy.dsn) as storage:
                await storage.commit([change()])
                proxy.fate = fate
                with pytest.raises(OutcomeUnknownError):
                    await storage.commit([change(expected=1)])
                loaded = await storage.load("o-1")
                assert loaded.version == (1 if fate == "before" else 2)
                proxy.fate = fate
                assert await storage.load("o-1") == loaded

        with Proxy(dsn) as proxy:
            asyncio.run(scenario(proxy))

    @pytest.mark.parametrize("fate", ["before", "after"])
    def test_read(self, dsn: str, fate: str) -> None:
        """
        Who only reads does not notice.
        """
        with Proxy(dsn) as proxy, PostgresStorage(proxy.dsn) as storage:
            put(storage, change())
            proxy.fate = fate
            assert storage.load("o-1").version == 1

    def test_hung_up_in_between(self, dsn: str) -> None:
        """
        A connection that ended while nobody used it is not used again.
        """
        with PostgresStorage(dsn) as storage:
            for version in range(3):
                put(storage, change(expected=version))
                self._hang_up(dsn)

    def test_hung_up_in_between_awaited(self, dsn: str) -> None:
        """
        The same, awaited.
        """

        async def scenario() -> None:
            async with AsyncPostgresStorage(dsn) as storage:
                for version in range(3):
                    assert list(await storage.commit([change(expected=version)])) == [
                        DONE
                    ]
                    self._hang_up(dsn)

        asyncio.run(scenario())

    def _hang_up(self, dsn: str) -> None:
        others = (
            " FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'escrowflow' AND pid <> pg_backend_pid()"
        )
        ended = {row[0] for row in say(dsn, f"SELECT pid{others}")}
        say(dsn, f"SELECT pg_terminate_backend(pid){others}")
        # A pool may open new ones at any time: those that were told to go are gone.
        wait_until(
            lambda: not ended & {row[0] for row in say(dsn, f"SELECT pid{others}")}
        )

    def test_terminated_while_writing(self, dsn: str) -> None:
        """
        Even a server that ends a connection in good order may have committed.
        """
        with PostgresStorage(dsn) as storage, psycopg.connect(dsn) as link:
            put(storage, change())
            link.execute("SELECT FROM escrowflow_order FOR UPDATE")
            errors: list[BaseException] = []

            def write() -> None:
                try:
                    storage.commit([change(expected=1)])
                except BaseException as error:
                    errors.append(error)

            late = threading.Thread(target=write)
            late.start()
            wait_until(lambda: waits(dsn))
            say(
                dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()",
            )
            late.join()
            link.rollback()

            assert [type(error) for error in errors] == [OutcomeUnknownError]
            put(storage, change(expected=1))

    def test_a_refusal_is_no_doubt(self, dsn: str) -> None:
        """
        What the server refuses was not written, and that is known.
        """
        with PostgresStorage(
            make_conninfo(dsn, options="-c lock_timeout=50")
        ) as storage:
            put(storage, change())
            with psycopg.connect(dsn) as link:
                link.execute("SELECT FROM escrowflow_order FOR UPDATE")
                with pytest.raises(StorageError, match="lock timeout") as caught:
                    storage.commit([change(expected=1)])
            assert type(caught.value) is StorageError
            assert caught.value.repeat
            put(storage, change(expected=1))


class TestConnections:
    """
    Opened late, counted, and never shared with a child.
    """

    def test_nothing_is_opened_at_once(self) -> None:
        """
        A storage can be built where there is no server; using it says why not.
        """
        storage = PostgresStorage("host=/nowhere dbname=orders password=secret")

        assert "secret" not in repr(storage)
        with storage, pytest.raises(StorageError, match="/nowhere") as caught:
            storage.load("o-1")
        assert caught.value.repeat
        assert "secret" not in str(caught.value)

    def test_nothing_is_opened_at_once_awaited(self) -> None:
        """
        The same, awaited.
        """

        async def scenario() -> None:
            async with AsyncPostgresStorage("host=/nowhere") as storage:
                with pytest.raises(StorageError, match="/nowhere"):
                    await storage.load("o-1")

        asyncio.run(scenario())

    def test_all_are_taken(self, dsn: str) -> None:
        """
        Who waits for a connection in vain is told.
        """
        with PostgresStorage(dsn, connections=1, timeout=0.05) as storage:
            put(storage, change())
            with psycopg.connect(dsn) as link:
                link.execute("SELECT FROM escrowflow_order FOR UPDATE")
                found: list[CommitResult] = []
                mine = [change(expected=1)]
                late = threading.Thread(
                    target=lambda: found.extend(storage.commit(mine))
                )
                late.start()
                wait_until(lambda: waits(dsn))
                with pytest.raises(StorageError) as caught:
                    storage.load("o-1")
                assert caught.value.repeat
            late.join()
            assert found == [DONE]

    def test_all_are_taken_awaited(self, dsn: str) -> None:
        """
        The same, awaited.
        """

        async def scenario() -> None:
            async with AsyncPostgresStorage(
                dsn, connections=1, timeout=0.05
            ) as storage:
                await storage.commit([change()])
                async with await psycopg.AsyncConnection.connect(dsn) as link:
                    await link.execute("SELECT FROM escrowflow_order FOR UPDATE")
                    task = asyncio.create_task(storage.commit([change(expected=1)]))
                    while not await asyncio.to_thread(waits, dsn):
                        pass
                    with pytest.raises(StorageError):
                        await storage.load("o-1")
                assert list(await task) == [DONE]

        asyncio.run(scenario())

    def test_fork(self, dsn: str) -> None:
        """
        A child of a process that uses a storage uses it, too, on connections of its
        own; the parent goes on.
        """
        with PostgresStorage(dsn) as storage:
            put(storage, change())
            with warnings.catch_warnings():
                # The child takes no lock that a thread of the parent could hold.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if not pid:  # pragma: no cover - it cannot tell
                code = 1
                with suppress(BaseException):
                    put(storage, change(expected=1))
                    storage.close()
                    code = 0
                os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0
            put(storage, change(expected=2))

    def test_after_a_fork(self, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        What a process has inherited it leaves alone, open as it is.
        """
        inherited = len(postgres._INHERITED)
        storage = PostgresStorage(dsn)
        put(storage, change())
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            put(storage, change(expected=1))
            storage.close()
            assert len(postgres._INHERITED) == inherited + 1
        # As the parent would.
        pool = postgres._INHERITED.pop().pool
        assert not pool.closed
        pool.close()
        storage.close()

    def test_after_a_fork_awaited(
        self, dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The same, awaited.
        """

        async def scenario() -> None:
            storage = AsyncPostgresStorage(dsn)
            await storage.commit([change()])
            with monkeypatch.context() as child:
                child.setattr(os, "getpid", lambda: -1)
                assert list(await storage.commit([change(expected=1)])) == [DONE]
                await storage.close()
            await storage.close()
            pool = postgres._INHERITED.pop().pool
            assert not pool.closed
            await pool.close()

        asyncio.run(scenario())

    def test_closed_before_it_was_opened(self) -> None:
        """
        What was never opened can be closed, and not used then.
        """
        storage = PostgresStorage("")
        storage.close()
        with pytest.raises(StorageError, match="closed"):
            storage.load("o-1")

    def test_one_loop_after_another(self, dsn: str) -> None:
        """
        An awaited storage outlives an event loop, and may be closed in another one.
        """
        storage = AsyncPostgresStorage(dsn)

        async def write(version: int) -> None:
            assert list(await storage.commit([change(expected=version)])) == [DONE]

        for version in range(3):
            asyncio.run(write(version))
        asyncio.run(storage.close())
        with pytest.raises(StorageError, match="closed"):
            asyncio.run(write(3))

    def test_cancelled(self, dsn: str) -> None:
        """
        A verb that is cancelled has happened whole, or not at all, and its
        connection serves the next one.
        """

        async def scenario() -> None:
            async with AsyncPostgresStorage(dsn, connections=2) as storage:
                await storage.commit([change("wait")])
                for number in range(40):
                    name = f"o-{number}"
                    mine = change(name, appended=3, effects=(effect(),))
                    task = asyncio.create_task(storage.commit([mine]))
                    for _ in range(number % 10):
                        await asyncio.sleep(0)
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                    loaded = await storage.load(name)
                    events = await storage.events(name)
                    effects = await storage.effects(name)
                    found = (loaded.version, len(events), len(effects))
                    assert found in ((0, 0, 0), (3, 3, 1))

        asyncio.run(scenario())

    def test_cancelled_while_it_waits(self, dsn: str) -> None:
        """
        Who is cancelled in a queue leaves the queue.
        """

        async def scenario() -> None:
            async with AsyncPostgresStorage(dsn, connections=1) as storage:
                await storage.commit([change()])
                async with await psycopg.AsyncConnection.connect(dsn) as link:
                    await link.execute("SELECT FROM escrowflow_order FOR UPDATE")
                    task = asyncio.create_task(storage.commit([change(expected=1)]))
                    while not await asyncio.to_thread(waits, dsn):
                        pass
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                assert (await storage.load("o-1")).version == 1
                assert list(await storage.commit([change(expected=1)])) == [DONE]

        asyncio.run(scenario())


# --- PgBouncer --------------------------------------------------------------------


class TestPgBouncer:
    """
    Nothing is left in a session.
    """

    def test_transaction_mode(self, fresh: str) -> None:
        """
        Many threads share few connections, from the empty database to races.
        """
        with bouncer(fresh) as dsn, PostgresStorage(dsn) as storage:
            put(storage, *(change(name) for name in ("o-1", "o-2", "o-3")))
            rush = Rush(storage, seed=1)
            rush.done += [change(name, texts=(), effects=()) for name in rush.orders]
            at_once(rush.run)
            rush.check()

            names = [f"d-{number}" for number in range(40)]
            put(storage, *(change(name, due_at=1) for name in names))
            due: list[str] = []
            at_once(lambda _: due.extend(ids(storage.claim_due(5, 9, 5))))
            assert sorted(due) == sorted(names)

    def test_awaited_and_relaxed(self, fresh: str) -> None:
        """
        Neither tasks nor relaxed commits need a session of their own.
        """

        async def scenario(dsn: str) -> None:
            async with AsyncPostgresStorage(dsn, durability="relaxed") as storage:
                for version in range(9):
                    results = await asyncio.gather(
                        *(storage.commit([change(f"o-{n}", version)]) for n in range(9))
                    )
                    assert [[*found] for found in results] == [[DONE]] * 9

        with bouncer(fresh) as dsn:
            asyncio.run(scenario(dsn))


# --- what is passed in ------------------------------------------------------------


class TestUrls:
    """
    How a URL names a database.
    """

    def test_used(self, postgres: Server) -> None:
        """
        A URL leads to a storage, blocking or awaited.
        """
        url = postgres.url_of(postgres.database(), "connections=2&timeout=5")

        async def load() -> int:
            async with open_async_storage(url) as storage:
                return (await storage.load("o-1")).version

        with open_storage(url) as storage:
            put(storage, change())
        assert asyncio.run(load()) == 1

    def test_options(self) -> None:
        """
        What is ours is taken out; the rest is for libpq.
        """
        storage = PostgresStorage.from_url(
            "postgres://ana:s%26t@db:5433/orders?sslmode=require&durability=relaxed"
            "&prepare_threshold=none&connections=3&timeout=1.5&connect_timeout=2"
        )

        assert storage.durability == "relaxed"
        assert storage.prepare_threshold is None
        assert (storage.connections, storage.timeout) == (3, 1.5)
        assert conninfo_to_dict(storage.dsn) == {
            "user": "ana",
            "password": "s&t",
            "host": "db",
            "port": "5433",
            "dbname": "orders",
            "sslmode": "require",
            "connect_timeout": "2",
        }
        assert "s&t" not in repr(storage)
        assert "s%26t" not in repr(storage)

    @pytest.mark.parametrize(
        "url",
        [
            "mysql://host/orders",
            "postgresql://[",
            "postgresql://host/orders#part",
            "postgresql://host/orders?unheard=of",
            "postgresql://host/orders?durability=none",
            "postgresql://host/orders?durability=full&durability=full",
            "postgresql://host/orders?prepare_threshold=-1",
            "postgresql://host/orders?prepare_threshold=often",
            "postgresql://host/orders?prepare_threshold=",
            "postgresql://host/orders?connections=0",
            "postgresql://host/orders?timeout=soon",
            "postgresql://host/orders?timeout=0",
        ],
    )
    def test_others(self, url: str) -> None:
        """
        Whatever else a URL says is refused, not guessed.
        """
        with pytest.raises(InvalidInputError):
            PostgresStorage.from_url(url)

    @pytest.mark.parametrize(
        "fields",
        [
            {"dsn": "no=thing"},
            {"dsn": 5},
            {"dsn": "", "durability": "some"},
            {"dsn": "", "prepare_threshold": True},
            {"dsn": "", "prepare_threshold": "none"},
            {"dsn": "", "connections": 1.5},
            {"dsn": "", "timeout": timedelta(days=2)},
        ],
    )
    def test_other_arguments(self, fields: dict[str, Any]) -> None:
        """
        An argument of another kind is refused at once.
        """
        with pytest.raises(InvalidInputError):
            PostgresStorage(**fields)

    def test_a_window(self) -> None:
        """
        A window may be a `timedelta`.
        """
        assert PostgresStorage("", timeout=timedelta(seconds=2)).timeout == 2

    def test_prepared(self) -> None:
        """
        Whether statements are prepared may be left to the storage, in words, too.
        """
        for url in ("postgresql://host", "postgresql://host?prepare_threshold=auto"):
            assert PostgresStorage.from_url(url).prepare_threshold == "auto"
