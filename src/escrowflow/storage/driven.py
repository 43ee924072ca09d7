"""
The verbs in SQL, driven: on a connection of our own, or inside a transaction of
the host's; blocking, or awaited.

The two classes say the same, one word after the other: there is no rule in them.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from typing import Self, TypeVar

from . import (
    Capability,
    Change,
    CommitResult,
    EffectResult,
    Page,
    Parked,
    Query,
    Receipt,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
    Summary,
)
from .sql import Asking, SqlVerbs

__all__ = ["AsyncSqlStorage", "SqlStorage"]

_T = TypeVar("_T")


class SqlStorage(abc.ABC):
    """
    A `Storage` whose verbs are SQL.
    """

    _verbs: SqlVerbs

    @property
    @abc.abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs.
        """

    @abc.abstractmethod
    def _read(self, asking: Asking[_T]) -> _T:
        """
        Drive a verb that writes nothing.
        """

    @abc.abstractmethod
    def _write(self, asking: Asking[_T]) -> _T:
        """
        Drive a verb in one transaction: all of it, or nothing if it raises.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """
        See `Storage.close`.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        See `Storage.load`.
        """
        return self._read(self._verbs.load(order_id, key))

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        See `Storage.commit`.
        """
        return self._write(self._verbs.commit(changes))

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        See `Storage.events`.
        """
        return self._read(self._verbs.events(order_id, after, limit))

    def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        See `Storage.effects`.
        """
        return self._read(self._verbs.effects(order_id))

    def summary(self, order_id: str) -> Summary | None:
        """
        See `Storage.summary`.
        """
        return self._read(self._verbs.summary(order_id))

    def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        See `Storage.receipts`.
        """
        return self._read(self._verbs.receipts(order_id))

    def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        See `Storage.texts`.
        """
        return self._read(self._verbs.texts(order_id))

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        See `Storage.claim_due`.
        """
        return self._write(self._verbs.claim_due(now, until, limit, known))

    def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        See `Storage.park`.
        """
        return self._write(self._verbs.park(order_id, version, parked))

    def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        See `Storage.next_due`.
        """
        return self._read(self._verbs.next_due(now, until, known))

    def claim_effects(
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
        asking = self._verbs.claim_effects(now, until, limit, kinds, known)
        return self._write(asking)

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        See `Storage.settle_effect`.
        """
        return self._write(self._verbs.settle_effect(order_id, result))

    def next_effect(
        self,
        now: int,
        until: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> int | None:
        """
        See `Storage.next_effect`.
        """
        return self._read(self._verbs.next_effect(now, until, kinds, known))

    def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        See `Storage.stuck_effects`.
        """
        return self._read(self._verbs.stuck_effects(overdue, beyond, after, limit))

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        See `Storage.find`.
        """
        return self._read(self._verbs.find(query, after, limit))

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        return self._write(self._verbs.erase_texts(subject_id, order_ids))


class AsyncSqlStorage(abc.ABC):
    """
    An `AsyncStorage` whose verbs are SQL.
    """

    _verbs: SqlVerbs

    @property
    @abc.abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs.
        """

    @abc.abstractmethod
    async def _read(self, asking: Asking[_T]) -> _T:
        """
        Drive a verb that writes nothing.
        """

    @abc.abstractmethod
    async def _write(self, asking: Asking[_T]) -> _T:
        """
        Drive a verb in one transaction: all of it, or nothing if it raises.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """
        See `Storage.close`.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        See `Storage.load`.
        """
        return await self._read(self._verbs.load(order_id, key))

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        See `Storage.commit`.
        """
        return await self._write(self._verbs.commit(changes))

    async def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        See `Storage.events`.
        """
        return await self._read(self._verbs.events(order_id, after, limit))

    async def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        See `Storage.effects`.
        """
        return await self._read(self._verbs.effects(order_id))

    async def summary(self, order_id: str) -> Summary | None:
        """
        See `Storage.summary`.
        """
        return await self._read(self._verbs.summary(order_id))

    async def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        See `Storage.receipts`.
        """
        return await self._read(self._verbs.receipts(order_id))

    async def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        See `Storage.texts`.
        """
        return await self._read(self._verbs.texts(order_id))

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
        return await self._write(self._verbs.claim_due(now, until, limit, known))

    async def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        See `Storage.park`.
        """
        return await self._write(self._verbs.park(order_id, version, parked))

    async def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        See `Storage.next_due`.
        """
        return await self._read(self._verbs.next_due(now, until, known))

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
        asking = self._verbs.claim_effects(now, until, limit, kinds, known)
        return await self._write(asking)

    async def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        See `Storage.settle_effect`.
        """
        return await self._write(self._verbs.settle_effect(order_id, result))

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
        return await self._read(self._verbs.next_effect(now, until, kinds, known))

    async def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        See `Storage.stuck_effects`.
        """
        return await self._read(
            self._verbs.stuck_effects(overdue, beyond, after, limit)
        )

    async def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        See `Storage.find`.
        """
        return await self._read(self._verbs.find(query, after, limit))

    async def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        return await self._write(self._verbs.erase_texts(subject_id, order_ids))
