"""
Where orders are kept: the protocol, and how a URL finds a storage.

- Few verbs; bodies are opaque bytes, instants whole microseconds since 1970, UTC.
- No storage reads a clock: every instant is passed in.
- A change is all or nothing, by the version the order is expected to have.
- The journal of events is the truth; the snapshot equals what it adds up to.

A storage is right when it passes `escrowflow.testing.StorageContract`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import entry_points
from types import TracebackType
from typing import Final, Protocol, Self, final
from urllib.parse import urlsplit

import attrs

from ..errors import InvalidInputError

__all__ = [
    "Capability",
    "Change",
    "Claim",
    "CommitResult",
    "Due",
    "EffectResult",
    "Found",
    "Loaded",
    "NewEffect",
    "NewEvent",
    "NewText",
    "Page",
    "Receipt",
    "Storage",
    "StoredEffect",
    "StoredEvent",
    "open_storage",
]

# One trip, one page, one batch: a limit on everything.
CHANGES_MAX: Final = 50
LIMIT_MAX: Final = 1000


class Capability(enum.StrEnum):
    """
    What a storage can do beyond the verbs.
    """

    # Survives the end of the process.
    DURABLE = "durable"
    # May be used by several processes at once.
    SHARED = "shared"


# --- what goes in -----------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class NewEvent:
    """
    An event to append.

    Attributes:
        seq: Its number: one more than the one before.

        name: Its name.

        effective_at: When it counts; never before the event before it.

        recorded_at: When it is written.

        body: The rest, opaque.
    """

    seq: int
    name: str
    effective_at: int
    recorded_at: int
    body: bytes


@final
@attrs.frozen(kw_only=True)
class NewEffect:
    """
    An effect to hand out.

    Attributes:
        key: Unique for ever.

        kind: Its name: `refund`.

        seq: The event that asks for it.

        moves_money: Whether money moves.

        ready_at: When it may first be carried out.
    """

    key: str
    kind: str
    seq: int
    moves_money: bool
    ready_at: int
    body: bytes


@final
@attrs.frozen(kw_only=True)
class EffectResult:
    """
    What became of a claimed effect.

    Attributes:
        token: The token of the claim; a stale one changes nothing.

        status: `"done"`, `"waiting"`, `"parked"`.

        ready_at: When to try again.
    """

    key: str
    token: int
    status: str
    ready_at: int
    body: bytes = b""


@final
@attrs.frozen(kw_only=True)
class Receipt:
    """
    What an idempotency key stands for: one command of one actor.

    Attributes:
        key: Actor and key, as one text.

        fingerprint: The hash of the command's content.

        first: The number of the first event it caused.

        last: The number of the last; below *first* if it caused none.
    """

    key: str
    fingerprint: str
    first: int
    last: int


@final
@attrs.frozen(kw_only=True)
class NewText:
    """
    A personal text, kept apart from the history.

    Attributes:
        ref: The commitment that stands for it in the history.

        subject_id: Whose text it is.
    """

    ref: str
    subject_id: str
    salt: bytes
    text: str


@final
@attrs.frozen(kw_only=True)
class Change:
    """
    Everything one command changes; all of it is written, or none.

    Attributes:
        expected_version: The version the order must have; 0 for a new one.

        snapshot: The order after it, opaque.

        version: The version after it; the same if nothing was appended.

        parties: Who takes part: `(role, id)`; the roles as text.

        due_at: When the order's next deadline is acted on.

        parked_until: Not to be swept before; `None` for an order in order.
    """

    order_id: str
    expected_version: int
    version: int
    process: str
    state: str
    snapshot: bytes
    parties: tuple[tuple[str, str], ...]
    due_at: int | None = None
    parked_until: int | None = None
    unassigned: bool = False
    events: tuple[NewEvent, ...] = ()
    effects: tuple[NewEffect, ...] = ()
    results: tuple[EffectResult, ...] = ()
    receipt: Receipt | None = None
    texts: tuple[NewText, ...] = ()


# --- what comes out ---------------------------------------------------------------


class CommitResult(enum.Enum):
    """
    What became of a change.
    """

    # Written, whole.
    DONE = "done"
    # Somebody else was faster, or the order exists already; nothing was written.
    CONFLICT = "conflict"


@final
@attrs.frozen(kw_only=True)
class Loaded:
    """
    An order as it is stored.

    Attributes:
        version: 0 if there is no such order.

        texts: The texts of the order that still exist, by ref.
    """

    version: int = 0
    snapshot: bytes = b""
    receipt: Receipt | None = None
    texts: Mapping[str, str] = attrs.field(factory=dict)


@final
@attrs.frozen(kw_only=True)
class StoredEvent:
    """
    An event as it is stored.
    """

    seq: int
    name: str
    effective_at: int
    recorded_at: int
    body: bytes


@final
@attrs.frozen(kw_only=True)
class StoredEffect:
    """
    An effect as it is stored.

    Attributes:
        status: `"waiting"`, `"claimed"`, `"done"`, `"parked"`.

        attempts: How often it was claimed.
    """

    order_id: str
    key: str
    kind: str
    seq: int
    moves_money: bool
    status: str
    attempts: int
    ready_at: int
    body: bytes


@final
@attrs.frozen(kw_only=True)
class Due:
    """
    An order whose next deadline has passed.
    """

    order_id: str
    version: int
    due_at: int


@final
@attrs.frozen(kw_only=True)
class Claim:
    """
    An effect handed to one worker for a while.

    Attributes:
        token: The fence: a later claim has a higher one.
    """

    effect: StoredEffect
    token: int


@final
@attrs.frozen(kw_only=True)
class Found:
    """
    An order found by a query: its snapshot, to be read as any other.
    """

    order_id: str
    version: int
    snapshot: bytes
    texts: Mapping[str, str] = attrs.field(factory=dict)


@final
@attrs.frozen(kw_only=True)
class Page:
    """
    Some of what was found.

    Attributes:
        items: At most *limit*, in the order asked for.

        after: Pass it on to get the next page; `None` on the last one.
    """

    items: tuple[Found, ...]
    after: str | None = None


class Storage(Protocol):
    """
    A journal of events for each order, an outbox of effects, an index of
    deadlines.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs.
        """
        ...

    def load(self, order_id: str, key: str | None = None) -> Loaded:
        """
        Return an order, and the receipt of a key, in one trip.

        An unknown order has version 0.
        """
        ...

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write changes, each all or nothing; the batch is not.

        A change conflicts if the order is not at its expected version.  What
        conflicts writes nothing.

        Args:
            changes: At most 50, each of another order.

        Raises:
            InvalidInputError: If the batch is wrong by itself.

            StorageError: If it failed.  Nothing of the batch was written.

            OutcomeUnknownError: If it may or may not have been written.
        """
        ...

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        Return the journal after number *after*, oldest first; empty if unknown.
        """
        ...

    def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        Return all effects of an order, in the order they were asked for.
        """
        ...

    def claim_due(self, now: int, until: int, limit: int) -> Sequence[Due]:
        """
        Return orders due by *now*, most overdue first, at most *limit*.

        They are not returned again before *until*, unless a commit moves them:
        a lease that only spreads the load.  The version check is the safety.
        """
        ...

    def next_due(self) -> int | None:
        """
        Return when `claim_due` would next return an order; `None` for never.

        Leases and parking count: a worker that waits until then never spins.
        """
        ...

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
    ) -> Sequence[Claim]:
        """
        Return effects that are ready by *now*, each with a fencing token.

        They are not returned again before *until*.
        """
        ...

    def find(
        self,
        *,
        party: str | None = None,
        role: str | None = None,
        states: Collection[str] | None = None,
        unassigned: bool = False,
        parked: bool = False,
        by_due: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        """
        Return orders by id, or soonest due first and those that wait for nothing
        last.

        Args:
            after: `Page.after` of the page before, found in the same order.
        """
        ...

    def texts(self, refs: Sequence[str]) -> Mapping[str, str]:
        """
        Return the texts that still exist, by ref.
        """
        ...

    def erase_texts(self, refs: Sequence[str]) -> int:
        """
        Erase texts for good; return how many there were.
        """
        ...

    def migrate(self) -> None:
        """
        Bring the schema up to date; safe to call by several at once.
        """
        ...

    def close(self) -> None:
        """
        Let go of everything.  Harmless when done twice.
        """
        ...

    def __enter__(self) -> Self:
        """
        Begin a `with` block.
        """
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Close it at the end of a `with` block.
        """
        ...


# --- by URL -----------------------------------------------------------------------

_GROUP: Final = "escrowflow.storage"


def open_storage(url: str) -> Storage:
    """
    Return the storage a URL names; nothing is opened before it is used.

    Args:
        url: `"memory://"`, `"sqlite:///orders.db"` (three slashes: relative, four:
            absolute), or the scheme of an installed plug-in.

    Raises:
        InvalidInputError: If no storage has this scheme.
    """
    if not isinstance(url, str):
        raise InvalidInputError("url", "a text such as 'sqlite:///orders.db'")
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise InvalidInputError("url", str(error)) from error
    # Drivers are slow to import: only the one that is asked for.
    if scheme == "memory":
        from .memory import MemoryStorage

        return MemoryStorage()
    if scheme == "sqlite":
        from .sqlite import SqliteStorage

        return SqliteStorage.from_url(url)
    for entry in entry_points(group=_GROUP, name=scheme):
        factory: Callable[[str], Storage] = entry.load()
        return factory(url)
    if not scheme:
        raise InvalidInputError("url", f"no URL: write 'sqlite:///{url}'")
    known = sorted({"memory", "sqlite", *entry_points(group=_GROUP).names})
    raise InvalidInputError(
        "url", f"no storage for {scheme!r}: one of {', '.join(known)}"
    )
