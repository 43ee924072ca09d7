"""
A storage whose verbs block, in threads of its own: for an event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self, TypeVar, final

from ..errors import InvalidInputError
from . import (
    AsyncStorage,
    Capability,
    Change,
    CommitResult,
    EffectResult,
    Page,
    Parked,
    Query,
    Receipt,
    Storage,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
    Summary,
)

__all__ = ["ThreadedStorage"]

_T = TypeVar("_T")

# What was inherited from a parent process: its threads are not here, and whoever
# collected it as garbage could wait for a lock that one of them held.
_INHERITED: Final[list[ThreadPoolExecutor]] = []

# More would only wait for one another: a file has one writer.
_THREADS: Final = 4


@final
class ThreadedStorage:
    """
    An `AsyncStorage` from a `Storage`.

    A verb that is cancelled goes on in its thread to its end: it has happened
    whole, or it will, or it fails whole.

    Implements: `AsyncStorage`
    """

    def __init__(self, storage: Storage) -> None:
        if not hasattr(storage, "load"):
            raise InvalidInputError("storage", "a storage whose verbs block")
        self.storage = storage
        self._threads: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"threaded({self.storage!r})"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        See `Storage.capabilities`.
        """
        return self.storage.capabilities

    def within(self, handle: Any) -> AsyncStorage:
        """
        Return the storage inside a transaction of the host's own.

        Args:
            handle: An async session or connection.
        """
        from .driven import SqlStorage
        from .hosts import joined_async

        if not isinstance(self.storage, SqlStorage):
            raise InvalidInputError("handle", "this storage cannot join a transaction")
        return joined_async(self.storage, handle)

    async def clock(self) -> int:
        """
        Return what time it is where it is kept; see `Capability.CLOCK`.
        """
        storage: Any = self.storage
        told: int = await self._run(storage.clock)
        return told

    async def _run(self, verb: Callable[..., _T], *values: Any, **named: Any) -> _T:
        self._leave_inherited()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "escrowflow-storage")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: verb(*values, **named))

    def _leave_inherited(self) -> None:
        """
        In a process that was forked since, have no threads yet.
        """
        if self._pid != os.getpid():
            if self._threads is not None:
                _INHERITED.append(self._threads)
            self._threads, self._pid = None, os.getpid()

    async def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        See `Storage.load`.
        """
        return await self._run(self.storage.load, order_id, key)

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        See `Storage.commit`.
        """
        return await self._run(self.storage.commit, changes)

    async def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        See `Storage.events`.
        """
        return await self._run(self.storage.events, order_id, after, limit)

    async def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        See `Storage.effects`.
        """
        return await self._run(self.storage.effects, order_id)

    async def summary(self, order_id: str) -> Summary | None:
        """
        See `Storage.summary`.
        """
        return await self._run(self.storage.summary, order_id)

    async def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        See `Storage.receipts`.
        """
        return await self._run(self.storage.receipts, order_id)

    async def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        See `Storage.texts`.
        """
        return await self._run(self.storage.texts, order_id)

    async def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        See `Storage.claim_due`.
        """
        return await self._run(self.storage.claim_due, now, until, limit, known)

    async def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        See `Storage.park`.
        """
        return await self._run(self.storage.park, order_id, version, parked)

    async def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        See `Storage.next_due`.
        """
        return await self._run(self.storage.next_due, now, until, known)

    async def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredEffect]:
        """
        See `Storage.claim_effects`.
        """
        claim = self.storage.claim_effects
        return await self._run(claim, now, until, limit, kinds, known)

    async def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        See `Storage.settle_effect`.
        """
        return await self._run(self.storage.settle_effect, order_id, result)

    async def next_effect(
        self,
        now: int,
        until: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> int | None:
        """
        See `Storage.next_effect`.
        """
        return await self._run(self.storage.next_effect, now, until, kinds, known)

    async def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        See `Storage.stuck_effects`.
        """
        return await self._run(
            self.storage.stuck_effects, overdue, beyond, after, limit
        )

    async def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        See `Storage.find`.
        """
        return await self._run(self.storage.find, query, after, limit)

    async def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        return await self._run(self.storage.erase_texts, subject_id, order_ids)

    async def migrate(self) -> None:
        """
        See `Storage.migrate`.
        """
        return await self._run(self.storage.migrate)

    async def close(self) -> None:
        """
        See `Storage.close`.
        """
        self._leave_inherited()
        # Not in a thread: there may be none any more.
        self.storage.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
