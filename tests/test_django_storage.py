"""
What the storage on Django's connections promises: the contract, and where it is not that
of the other storages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.conninfo import conninfo_to_dict

from escrowflow.contrib.django import DjangoStorage
from escrowflow.storage import Storage
from escrowflow.testing import StorageContract
from tests.pg import Spare

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
