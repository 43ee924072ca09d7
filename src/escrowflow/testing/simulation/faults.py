"""
What goes wrong with a storage, at the calls an engine makes to it.

Everything here is what a storage may do by its contract.  It may fail, it may not know,
its caller may die; it never lies.  Only a page that somebody looks at may be old.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, final

import attrs

from ...errors import OutcomeUnknownError, StorageError
from ...storage import Capability, Change, Storage, StoredOrder
from ..gateways import Killed

__all__ = [
    "ARRIVES_LATE",
    "FAILS",
    "KILLED_AFTER",
    "KILLED_BEFORE",
    "LOST",
    "STALE",
    "UNKNOWN",
    "FaultyStorage",
    "Saw",
    "Went",
    "may_go",
]

# Nothing was done, and that is said.
FAILS: Final = "fails"

# It was done, and nobody was told.
UNKNOWN: Final = "unknown"

# It was not done, and nobody was told.
LOST: Final = "lost"

# It is done later, and nobody is told.
ARRIVES_LATE: Final = "arrives_late"

# Whoever called is gone, before or after it was done.
KILLED_BEFORE: Final = "killed_before"
KILLED_AFTER: Final = "killed_after"

# What is read was true a moment ago.
STALE: Final = "stale"

# Of these a storage may say that it does not know.
_DOUBTFUL: Final = frozenset({"commit", "settle_effect"})

# These change something.
_WRITES: Final = _DOUBTFUL | {"claim_due", "claim_effects", "park", "erase_texts"}

# So many readings of an order are remembered, to be read again.
_READINGS: Final = 4

# What becomes of a call: the name of a fault, or nothing.
Went: TypeAlias = Callable[[str], str]

# Told of every call that was really carried out: its verb, its values, its answer.
Saw: TypeAlias = Callable[[str, tuple[Any, ...], Any], None]


def may_go(verb: str) -> tuple[str, ...]:
    """
    Return what may go wrong with a call of this verb.
    """
    usual = (FAILS, KILLED_BEFORE, KILLED_AFTER)
    if verb == "commit":
        return (*usual, UNKNOWN, LOST, ARRIVES_LATE)
    if verb in _DOUBTFUL:
        return (*usual, UNKNOWN, LOST)
    if verb in _WRITES:
        return (*usual, UNKNOWN)
    return (*usual, STALE) if verb == "load" else usual


def _well(verb: str) -> str:
    return ""


def _unseen(verb: str, values: tuple[Any, ...], answer: Any) -> None:
    pass


@final
class FaultyStorage:
    """
    Any storage, failing.

    Implements: `Storage`

    Args:
        inner: The storage, yours too.

        went: Says what becomes of each call.

        saw: Told of each call that was carried out.

    Attributes:
        late: What is still on its way; `arrive` has it arrive.
    """

    def __init__(
        self, inner: Storage, *, went: Went = _well, saw: Saw = _unseen
    ) -> None:
        self._inner = inner
        self._went = went
        self._saw = saw
        self._read: dict[str, deque[StoredOrder]] = defaultdict(
            lambda: deque(maxlen=_READINGS)
        )
        self.late: list[Sequence[Change]] = []

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What the storage inside can do beyond the verbs.
        """
        return self._inner.capabilities

    def __getattr__(self, verb: str) -> Any:
        # The verbs of a storage, whichever they are: a fault is about none of them.
        return partial(self._called, verb)

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Return an order, or what it was a moment ago.
        """
        loaded: StoredOrder = self._called("load", order_id, key)
        return loaded

    def close(self) -> None:
        """
        Close the storage inside: that always works.
        """
        self._inner.close()

    def arrive(self) -> None:
        """
        Have what is on its way arrive: the oldest of it.
        """
        self._really("commit", (self.late.pop(0),))

    def _called(self, verb: str, *values: Any) -> Any:
        went = self._went(verb)
        if went == FAILS:
            raise StorageError(f"{verb}: simulated failure")
        if went == KILLED_BEFORE:
            raise Killed
        if went == LOST:
            raise OutcomeUnknownError(f"{verb}: simulated loss")
        if went == ARRIVES_LATE:
            self.late.append(values[0])
            raise OutcomeUnknownError(f"{verb}: simulated delay")
        if went == STALE:
            old = self._older(*values)
            if old is not None:
                return old
        answer = self._really(verb, values)
        if went == KILLED_AFTER:
            raise Killed
        if went == UNKNOWN:
            error = OutcomeUnknownError if verb in _DOUBTFUL else StorageError
            raise error(f"{verb}: simulated silence")
        return answer

    def _really(self, verb: str, values: tuple[Any, ...]) -> Any:
        answer = getattr(self._inner, verb)(*values)
        if verb == "load":
            self._remember(answer)
        self._saw(verb, values, answer)
        return answer

    def _remember(self, loaded: StoredOrder) -> None:
        read = self._read[loaded.order_id]
        if not read or read[-1].version != loaded.version:
            read.append(loaded)

    def _older(self, order_id: str, key: str | None = None) -> StoredOrder | None:
        """
        Return an earlier reading of an order, if there is one, with the receipt of a
        key if it was there by then.
        """
        read = self._read.get(order_id)
        if read is None or len(read) < 2:
            return None
        old = read[-2]
        receipt = self._inner.load(order_id, key).receipt
        if receipt is not None and receipt.last > old.version:
            receipt = None
        return attrs.evolve(old, receipt=receipt)
