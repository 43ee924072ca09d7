"""
What every storage promises, as tests.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from ..storage import AsyncStorage, Storage
from .awaited import Awaited, awaited
from .base import Checks
from .histories import Histories
from .orders import Orders
from .queues import Queues
from .search import Search
from .strain import Strain
from .values import Values

__all__ = ["AsyncStorageContract", "StorageContract"]


class _Counted(Checks):
    """
    Whether all of them are there.
    """

    def test_nothing_is_left_out(self, request: pytest.FixtureRequest) -> None:
        """
        No check is overridden, and as many run as there are.
        """
        self._nothing_left_out(_Contract, request)


class _Contract(Histories, _Counted, Strain, Values, Search, Queues, Orders):
    """
    All of them; pytest begins with the last ones, and with what is random it ends.
    """


class StorageContract(_Contract):
    """
    What a `Storage` promises: a subclass says how it is opened.

        class TestMine(StorageContract):
            def open(self, path):
                return MyStorage(path / "orders")

            def reopen(self, storage):
                return MyStorage(storage.path)
    """

    @abc.abstractmethod
    def open(self, path: Path) -> Storage:
        """
        Return a storage that nobody has written to.

        Args:
            path: An empty folder of its own.
        """

    def reopen(self, storage: Storage) -> Storage:
        """
        Return a storage of the same data, in this process or in a forked one.

        Only asked for if it is `Capability.DURABLE`.

        Args:
            storage: One that was opened before; it may be closed already.
        """
        raise AssertionError("what is durable can be opened again: say how")

    def empty(self, storage: Storage) -> bool:
        """
        Take everything out of a storage; return whether that was done.

        For storages that take long to open, and do not lie in the folder that they are
        given, which is gone after the check: the next one is then given the same
        storage.  Otherwise, or if it is closed or a check has failed, another one is
        opened.

        Args:
            storage: One that was opened before.

        Raises:
            StorageError: If it is closed.
        """
        return False

    def opened(self, path: Path) -> Storage:
        return self.open(path)

    def reopened(self, storage: Storage) -> Storage:
        return self.reopen(storage)

    def emptied(self, storage: Storage) -> bool:
        return self.empty(storage)


class AsyncStorageContract(_Contract):
    """
    What an `AsyncStorage` promises: as `StorageContract`, and `open` and `reopen`
    may be awaitable.

    All verbs of a process are awaited on one event loop.
    """

    @abc.abstractmethod
    def open(self, path: Path) -> AsyncStorage | Awaitable[AsyncStorage]:
        """
        Return a storage that nobody has written to.

        Args:
            path: An empty folder of its own.
        """

    def reopen(self, storage: Any) -> AsyncStorage | Awaitable[AsyncStorage]:
        """
        Return a storage of the same data, in this process or in a forked one.

        Only asked for if it is `Capability.DURABLE`.

        Args:
            storage: One that was opened before; it may be closed already.
        """
        raise AssertionError("what is durable can be opened again: say how")

    def empty(self, storage: Any) -> bool | Awaitable[bool]:
        """
        Take everything out of a storage; return whether that was done.

        For storages that take long to open, and do not lie in the folder that they are
        given, which is gone after the check: the next one is then given the same
        storage.  Otherwise, or if it is closed or a check has failed, another one is
        opened.

        Args:
            storage: One that was opened before.

        Raises:
            StorageError: If it is closed.
        """
        return False

    def opened(self, path: Path) -> Storage:
        return Awaited(awaited(self.open(path)))

    def reopened(self, storage: Storage) -> Storage:
        assert isinstance(storage, Awaited)
        return Awaited(awaited(self.reopen(storage.inner)))

    def emptied(self, storage: Storage) -> bool:
        assert isinstance(storage, Awaited)
        return bool(awaited(self.empty(storage.inner)))
