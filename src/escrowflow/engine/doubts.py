"""
What may have been written although the storage could not say so (I35).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, Generic, TypeVar, final

import attrs

from ..errors import OutcomeUnknownError, StorageError
from ..storage import Change, StoredEvent, StoredOrder
from ..wallet import what_is

__all__ = ["DOUBTS_MAX", "Doubts"]

_T = TypeVar("_T")

# How often it may stay unknown whether something was written.
DOUBTS_MAX: Final = 5


@final
@attrs.define
class Doubts(Generic[_T]):
    """
    What may have been written although the storage could not say so.

    The order, or the key, tells: nothing is said before it was asked.
    """

    order_id: str
    changes: list[tuple[Change, _T]] = attrs.field(factory=list)

    def add(self, change: Change, answer: _T) -> None:
        """
        Remember a change, and what it would be the answer to.
        """
        self.changes.append((change, answer))
        if len(self.changes) >= DOUBTS_MAX:
            raise self.unknown()

    def unknown(self) -> OutcomeUnknownError:
        """
        Return what is left to say if the storage does not answer.
        """
        return OutcomeUnknownError(
            f"{what_is(self.order_id)} {self.order_id!r}: whether it was written is "
            "not known: repeat with the same key"
        )

    def load(self, key: str | None) -> Generator[Any, Any, StoredOrder]:
        """
        Load the order.
        """
        try:
            loaded: StoredOrder = yield "load", (self.order_id, key)
        except StorageError as error:
            if self.changes:
                raise self.unknown() from error
            raise
        return loaded

    def answer(
        self, loaded: StoredOrder, key: str | None = None
    ) -> Generator[Any, Any, _T | None]:
        """
        Return the answer of the change that was written after all; `None` if none was.

        Args:
            key: Whose receipt was loaded: what has one is there only with it.  The same
                person may have done the very same at the very same instant, under
                another key (I17).
        """
        for change, answer in self.changes:
            receipt = change.receipt
            if key is not None and receipt is not None and receipt != loaded.receipt:
                continue
            if change.events and loaded.version >= change.version:
                found: tuple[StoredEvent, ...] = yield (
                    "events",
                    (self.order_id, change.version - 1, 1),
                )
                # The hash covers everything before it.
                if found and found[0].hash == change.events[-1].hash:
                    return answer
        return None
