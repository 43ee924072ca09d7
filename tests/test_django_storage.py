"""
What the storage on Django's connections promises: the contract, and where it is not that
of the other storages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.conninfo import conninfo_to_dict

from escrowflow.contrib.django import DjangoStorage
from escrowflow.errors import OutcomeUnknownError, StorageError
from escrowflow.storage import Storage
from escrowflow.testing import StorageContract
from escrowflow.testing.given import change
from tests.pg import OTHER, Proxy, Spare, say

pytestmark = pytest.mark.proof


def alias_of(**database: Any) -> str:
    """
    Return a name that Django has for a database from now on.
    """
    if not settings.configured:
        settings.configure(DATABASES={})
        apps.populate([])
    alias = f"orders_{uuid4().hex}"
    found = connections.configure_settings({"default": {}, "it": database})
    connections.settings[alias] = found["it"]
    return alias


class _Follows(StorageContract):
    """
    A database of Django's; each storage has a name of its own for it.
    """

    @pytest.fixture(autouse=True)
    def _with_connections(self) -> Iterator[None]:
        opened = []

        def note(*, connection: Any, **_: object) -> None:
            opened.append(connection)

        connection_created.connect(note)
        yield
        connection_created.disconnect(note)
        for connection in opened:
            # Django leaves those of a thread that has ended to the collector of garbage.
            connection.inc_thread_sharing()
            connection.close()

    def named(self, **database: Any) -> DjangoStorage:
        return DjangoStorage(alias_of(**database))

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, DjangoStorage)
        # A connection does not cross a fork.
        return self.named(**connections.settings[storage.alias])


class TestSqlite(_Follows):
    """
    A file.
    """

    histories = 10
    crashes = 2

    def open(self, path: Path) -> Storage:
        storage = self.named(
            ENGINE="django.db.backends.sqlite3",
            NAME=str(path / "shop.db"),
            OPTIONS={
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
                "timeout": 60,
            },
        )
        storage.migrate()
        return storage


class TestPostgres(_Follows):
    """
    A server.
    """

    histories = 5
    crashes = 2
    overwrites = False
    spare: Spare
    dsns: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _with_databases(self, spare: Spare) -> Iterator[None]:
        type(self).spare = spare
        yield
        spare.give_back()

    def open(self, path: Path) -> Storage:
        dsn = self.spare.take()
        there = conninfo_to_dict(dsn)
        storage = self.named(
            ENGINE="django.db.backends.postgresql",
            NAME=there["dbname"],
            USER=there["user"],
            HOST=there["host"],
            CONN_MAX_AGE=None,
        )
        storage.migrate()
        type(self).dsns[storage.alias] = dsn
        return storage

    def empty(self, storage: Storage) -> bool:
        assert isinstance(storage, DjangoStorage)
        # What is closed says so.
        storage.load("o-1")
        if storage.alias in self.dsns:
            self.spare.empty(self.dsns[storage.alias])
        return storage.alias in self.dsns


@pytest.fixture
def shop() -> Iterator[Callable[..., Any]]:
    """
    Make storages, on a server, whose connections are closed afterwards.
    """
    opened = []

    def made(there: str, **more: Any) -> DjangoStorage:
        parts = conninfo_to_dict(there)
        alias = alias_of(
            ENGINE="django.db.backends.postgresql",
            NAME=parts["dbname"],
            USER=parts["user"],
            HOST=parts["host"],
            **more,
        )
        opened.append(alias)
        return DjangoStorage(alias)

    yield made
    for alias in opened:
        connections[alias].close()


# Every connection for one request, as Django has it by default, or for good.
AGES: Final = pytest.mark.parametrize("age", [0, None])


@pytest.mark.skipif(bool(OTHER), reason="a server that is not ours")
@AGES
@pytest.mark.parametrize("fate", ["before", "after"])
def test_whoever_is_told_to_repeat_can(
    dsn: str, shop: Any, age: Any, fate: str
) -> None:
    """
    A connection that was lost while something was written leaves it unknown; the next
    verb has one that works.
    """
    with Proxy(dsn) as proxy:
        storage = shop(proxy.dsn, CONN_MAX_AGE=age)
        storage.migrate()
        storage.load("o-1")
        proxy.fate = fate

        with pytest.raises(OutcomeUnknownError):
            storage.commit([change()])

        assert storage.load("o-1").version == (fate == "after")


@AGES
def test_a_migration_is_one_transaction(fresh: str, shop: Any, age: Any) -> None:
    """
    A deadlock in it ends all of it: no statement is sent again by itself.
    """
    say(
        fresh,
        "CREATE SEQUENCE met",
        """
        CREATE FUNCTION meets() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('met') = 1 THEN
                RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
            ELSIF tg_tag = 'CREATE VIEW' THEN
                RAISE EXCEPTION 'no view today';
            END IF;
        END $$
        """,
        "CREATE EVENT TRIGGER meets ON ddl_command_start EXECUTE FUNCTION meets()",
    )
    storage = shop(fresh, CONN_MAX_AGE=age)

    for _ in range(2):
        with pytest.raises(StorageError):
            storage.migrate()
        assert storage.versions()[0] == 0
    say(fresh, "DROP EVENT TRIGGER meets")
    storage.migrate()

    assert storage.versions()[0] > 0
