"""
What every storage promises, held against those of ours; and how a URL finds one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, assert_type

import pytest

from escrowflow.errors import InvalidInputError
from escrowflow.storage import (
    AsyncStorage,
    Page,
    Query,
    Storage,
    StoredOrder,
    open_async_storage,
    open_storage,
    threaded,
)
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.storage.threads import ThreadedStorage
from escrowflow.testing import AsyncStorageContract, StorageContract
from escrowflow.testing.given import LAST, change, effect, put


def sqlite(path: str | Path) -> SqliteStorage:
    return SqliteStorage(path, durability="relaxed", busy_timeout=60)


class TestMemory(StorageContract):
    """
    The reference keeps its own promises.
    """

    def open(self, path: Path) -> Storage:
        return MemoryStorage()


class TestSqlite(StorageContract):
    """
    A file that several threads and processes share.
    """

    def open(self, path: Path) -> Storage:
        return sqlite(path / "orders.db")

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, SqliteStorage)
        return sqlite(storage.path)


class TestSqliteInMemory(StorageContract):
    """
    A database that only one object sees.
    """

    histories = 30

    def open(self, path: Path) -> Storage:
        return sqlite(":memory:")


class TestThreadedSqlite(AsyncStorageContract):
    """
    A file, awaited.
    """

    histories = 15

    def open(self, path: Path) -> AsyncStorage:
        return threaded(sqlite(path / "orders.db"))

    async def reopen(self, storage: Any) -> AsyncStorage:
        assert isinstance(storage, ThreadedStorage)
        assert isinstance(storage.storage, SqliteStorage)
        return threaded(sqlite(storage.storage.path))


def test_protocol(tmp_path: Path) -> None:
    """
    What is tested here is what the engine asks for.
    """
    storages: list[Storage] = [MemoryStorage(), sqlite(tmp_path / "orders.db")]

    assert_type(storages[0], Storage)
    assert_type(threaded(storages[0]), AsyncStorage)


class TestPlaces:
    """
    How a page of ours says where it ended.
    """

    @pytest.mark.parametrize("by_due", [True, False])
    @pytest.mark.parametrize("after", ["o-1", "x:o-1", "-1:o-1", "\u00b2:o-1"])
    def test_after_nowhere(self, after: str, by_due: bool) -> None:
        """
        Only what a page gave leads to the next one.
        """
        with MemoryStorage() as storage, pytest.raises(InvalidInputError) as caught:
            storage.find(Query(by_due=by_due), after=after)
        assert caught.value.field == "after"

    @pytest.mark.parametrize("after", ["o-1", "{}", "[]", '["o-1"]', "[1, 2]", "1"])
    def test_effects_after_nowhere(self, after: str) -> None:
        """
        Only what a page of effects gave leads to the next one.
        """
        with MemoryStorage() as storage, pytest.raises(InvalidInputError) as caught:
            storage.stuck_effects(0, LAST, after=after)
        assert caught.value.field == "after"

    def test_after_an_instant_that_is_none(self, tmp_path: Path) -> None:
        """
        A number too great for an instant lies behind all of them.
        """
        for storage in (MemoryStorage(), sqlite(tmp_path / "orders.db")):
            with storage:
                put(storage, change())
                found = storage.find(Query(by_due=True), after="9" * 5000 + ":z")
                assert found == Page(items=())


class TestThreaded:
    """
    Verbs that are awaited, in threads.
    """

    def test_cancelled(self, tmp_path: Path) -> None:
        """
        A verb that is cancelled has happened whole, or not at all.
        """

        async def scenario() -> None:
            async with threaded(sqlite(tmp_path / "orders.db")) as storage:
                await storage.migrate()
                for number in range(20):
                    mine = change(f"o-{number}", appended=3, effects=(effect(),))
                    task = asyncio.create_task(storage.commit([mine]))
                    for _ in range(number % 4):
                        await asyncio.sleep(0)
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                # One writer: whoever comes last has waited for all of them.
                await storage.commit([change("last")])
                for number in range(20):
                    loaded = await storage.load(f"o-{number}")
                    events = await storage.events(f"o-{number}")
                    effects = await storage.effects(f"o-{number}")
                    assert (loaded.version, len(events), len(effects)) in (
                        (0, 0, 0),
                        (3, 3, 1),
                    )

        asyncio.run(scenario())

    def test_fork(self, tmp_path: Path) -> None:
        """
        A child has threads of its own: those of its parent are not there.
        """
        source = Path(sys.modules["escrowflow.storage"].__file__ or "").parents[2]
        script = """
            import asyncio, os, sys
            sys.path.insert(0, sys.argv[2])
            from escrowflow.storage import open_async_storage

            async def ask():
                async with asyncio.timeout(60):
                    assert (await storage.load("o-1")).version == 0

            storage = open_async_storage(f"sqlite:///{sys.argv[1]}")
            unused = open_async_storage(f"sqlite:///{sys.argv[1]}")
            asyncio.run(ask())
            pid = os.fork()
            if not pid:
                asyncio.run(ask())
                asyncio.run(storage.close())
                asyncio.run(unused.close())
                sys.exit()
            assert os.waitpid(pid, 0)[1] == 0
            asyncio.run(ask())
            asyncio.run(storage.close())
        """
        done = subprocess.run(
            [
                *(sys.executable, "-W", "ignore::DeprecationWarning", "-c"),
                *(textwrap.dedent(script), str(tmp_path / "orders.db"), str(source)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_after_a_fork(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        In another process everything begins anew, whether it was used before or not.
        """

        async def load() -> None:
            for storage in (used, unused):
                assert (await storage.load("o-1")).version == 0

        used, unused = threaded(MemoryStorage()), threaded(MemoryStorage())
        asyncio.run(used.migrate())
        pid = os.getpid()

        monkeypatch.setattr(os, "getpid", lambda: pid + 1)
        asyncio.run(load())

        for storage in (used, unused):
            asyncio.run(storage.close())

    def test_of_what_blocks_only(self) -> None:
        """
        What is no storage is refused at once.
        """
        with pytest.raises(InvalidInputError):
            threaded("sqlite:///orders.db")  # type: ignore[arg-type]

    def test_repr(self) -> None:
        """
        It says what is behind it.
        """
        assert repr(threaded(MemoryStorage())) == "threaded(MemoryStorage())"


class TestOpenStorage:
    """
    A URL names a storage.
    """

    def test_memory(self) -> None:
        """
        `memory://` is a new storage each time, which can do nothing special.
        """
        with pytest.raises(InvalidInputError, match="always made anew"):
            open_storage("memory://", create=False)
        with open_storage("memory://") as storage, open_storage("memory://") as other:
            put(storage, change())

            assert other.load("o-1") == StoredOrder(order_id="o-1")
            assert storage.capabilities == frozenset()
            assert repr(storage) == "MemoryStorage()"

    def test_sqlite(self, tmp_path: Path) -> None:
        """
        `sqlite:///` names a file.
        """
        with open_storage(f"sqlite:///{tmp_path}/orders.db") as storage:
            put(storage, change())

        assert (tmp_path / "orders.db").exists()

    @pytest.mark.parametrize(
        ("url", "path", "durability"),
        [
            ("sqlite:///orders.db", "orders.db", "full"),
            ("sqlite:///data/orders.db?durability=full", "data/orders.db", "full"),
            ("sqlite:////var/orders.db", "/var/orders.db", "full"),
            ("sqlite:////a%20b/100%25%3F.db", "/a b/100%?.db", "full"),
            ("sqlite:////x.db?durability=relaxed", "/x.db", "relaxed"),
            ("sqlite://", ":memory:", "full"),
            ("sqlite:///:memory:?durability=relaxed", ":memory:", "relaxed"),
        ],
    )
    def test_forms(self, url: str, path: str, durability: str) -> None:
        """
        Three slashes are relative, four absolute, two are in memory.
        """
        storage = SqliteStorage.from_url(url)

        expected = path if path == ":memory:" else str(Path(path).absolute())
        assert (storage.path, storage.durability) == (expected, durability)

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite://orders.db",
            "sqlite://host/orders.db",
            "sqlite:///",
            "sqlite:///a.db?mode=ro",
            "sqlite:///a.db?durability=full&durability=relaxed",
            "sqlite:///a.db?durability=",
            "sqlite:///a.db?durability=none",
            "sqlite:///a.db#part",
            "sqlite:///a%00.db",
            "sqlite://[",
            "postgresql:///orders",
        ],
    )
    def test_other_forms(self, url: str) -> None:
        """
        Whatever else a URL says is refused, not guessed.
        """
        with pytest.raises(InvalidInputError):
            SqliteStorage.from_url(url)

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite:orders.db",
            "sqlite:/tmp/orders.db",
            "SQLITE:///orders.db",
            " sqlite:///orders.db",
            "sqlite:///or\tders.db",
            "sqlite:///orders.db\n",
            "sqlite:///orders\x7f.db",
            "sqlite:///orders\x85.db",
        ],
    )
    def test_nothing_is_made_of_another_form(self, url: str) -> None:
        """
        A URL that would lead to another file than it seems to is refused.
        """
        with pytest.raises(InvalidInputError, match=r"^url: "):
            SqliteStorage.from_url(url)

    @pytest.mark.parametrize("url", ["sqlite:///\ud800.db", "sqlite:///%ff.db"])
    def test_half_a_character(self, url: str) -> None:
        """
        A path that is no text is refused.
        """
        with pytest.raises(InvalidInputError, match=r"^path: "):
            SqliteStorage.from_url(url)


class TestPlugins:
    """
    Storages of other people, found by their scheme.
    """

    def test_unknown_scheme(self) -> None:
        """
        Whoever names a storage that nobody has hears which ones there are.
        """
        with pytest.raises(InvalidInputError, match="memory, postgresql, sqlite"):
            open_storage("oracle://host/orders")

    @pytest.mark.parametrize("url", ["orders.db", "", "sqlite://["])
    def test_no_url(self, url: str) -> None:
        """
        A path is no URL.
        """
        with pytest.raises(InvalidInputError):
            open_storage(url)

    def test_awaited(self) -> None:
        """
        What has no awaited form of its own runs in threads.
        """
        storage = open_async_storage("memory://")

        assert repr(storage) == "threaded(MemoryStorage())"


class TestWithoutItsDriver:
    """
    A storage whose driver is not installed.
    """

    @pytest.mark.parametrize("opened", [open_storage, open_async_storage])
    def test_says_what_to_install(
        self, opened: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The way out is in the message.
        """
        monkeypatch.setitem(sys.modules, "psycopg", None)
        monkeypatch.delitem(sys.modules, "escrowflow.storage.postgres", raising=False)

        with pytest.raises(
            InvalidInputError, match=r"escrowflow\[postgres\]"
        ) as caught:
            opened("postgresql://localhost/shop")

        assert caught.value.field == "url"

    def test_whose_own_library_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        psycopg alone is not enough: it wants a libpq, and how to get one is said too.
        """
        # It says the same, in many lines.
        (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper')\n")
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("psycopg", "escrowflow.storage.postgres"):
            monkeypatch.delitem(sys.modules, name, raising=False)

        with pytest.raises(InvalidInputError) as caught:
            open_storage("postgresql://localhost/shop")

        assert str(caught.value) == (
            "url: a 'postgresql' storage needs libpq: pip install 'psycopg[binary]'"
        )


def test_threads_join_nothing() -> None:
    """
    What cannot join a transaction cannot in threads either.
    """
    storage: Any = threaded(open_storage("memory://"))

    with pytest.raises(InvalidInputError, match="cannot join"):
        storage.within(object())
