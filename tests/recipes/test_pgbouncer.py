"""
PgBouncer in transaction mode before PostgreSQL: what every storage promises holds, and
workers work, with fewer connections to the server than there are clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from escrowflow.storage import AsyncStorage, Storage
from escrowflow.storage.postgres import AsyncPostgresStorage, PostgresStorage
from escrowflow.testing import AsyncStorageContract, StorageContract
from tests.pg import bouncer, wait_until
from tests.recipes.shops import Shop

if TYPE_CHECKING:
    from tests.pg import Server, Spare


@pytest.fixture(scope="session")
def pooled(postgres: Server) -> Iterator[str]:
    """
    How the server is reached through it.
    """
    with bouncer(postgres.dsn) as dsn:
        yield dsn


class _Behind:
    """
    Databases behind it.
    """

    spare: Spare
    pooled: str

    @pytest.fixture(autouse=True)
    def _with_databases(self, spare: Spare, pooled: str) -> Iterator[None]:
        type(self).spare = spare
        type(self).pooled = pooled
        yield
        spare.give_back()

    def taken(self) -> str:
        """
        Return how an empty database is reached.
        """
        name = conninfo_to_dict(self.spare.take())["dbname"]
        return make_conninfo(self.pooled, dbname=name)


class TestBehind(_Behind, StorageContract):
    """
    Threads and processes.
    """

    histories = 5
    overwrites = False

    def open(self, path: Path) -> Storage:
        return PostgresStorage(self.taken())

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, PostgresStorage)
        return PostgresStorage(storage.dsn)

    def empty(self, storage: Storage) -> bool:
        assert isinstance(storage, PostgresStorage)
        # What is closed says so.
        storage.load("o-1")
        self.spare.empty(storage.dsn)
        return True


class TestAsyncBehind(_Behind, AsyncStorageContract):
    """
    The same, awaited.
    """

    histories = 3
    crashes = 3
    overwrites = False

    def open(self, path: Path) -> AsyncStorage:
        return AsyncPostgresStorage(self.taken())

    def reopen(self, storage: Any) -> AsyncStorage:
        assert isinstance(storage, AsyncPostgresStorage)
        return AsyncPostgresStorage(storage.dsn)

    async def empty(self, storage: Any) -> bool:
        assert isinstance(storage, AsyncPostgresStorage)
        await storage.load("o-1")
        self.spare.empty(storage.dsn)
        return True


def test_workers(postgres: Server, pooled: str, tmp_path: Path) -> None:
    """
    Four workers behind it do everything, each thing once.
    """
    host = conninfo_to_dict(pooled)["host"]
    own = str(conninfo_to_dict(postgres.dsn)["host"])
    url = postgres.url_of(postgres.database()).replace(own, str(host))
    shop = Shop(url, tmp_path)
    shop.open(20)
    words = ("-m", "escrowflow", "worker", "--db", url, "--poll", "0.1")
    handlers = ("--handlers", "examples.recipes.shop:HANDLERS")
    with ExitStack() as stack:
        workers = [stack.enter_context(shop.start(*words, *handlers)) for _ in range(4)]
        assert set(shop.check().values()) == {1}
        wait_until(lambda: any("settled" in one.said for one in workers))
        assert all(one.runs and "Traceback" not in one.said for one in workers)
    shop.close()
