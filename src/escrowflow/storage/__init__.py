"""
Where orders are kept: the protocol, and how a URL finds a storage.

- Few verbs; bodies are opaque bytes, instants whole microseconds since 1970, UTC.
- No storage reads a clock: every instant is passed in.
- A change is all or nothing, by the version the order is expected to have.
- The journal of events is the truth; the snapshot equals what it adds up to.
- Each event carries the hash of everything before it: what was changed behind the
  storage's back shows.
- Personal texts lie apart, and only there: they can be erased for good.

A storage is right when it passes `escrowflow.testing.StorageContract`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar, final
from urllib.parse import urlsplit

import attrs

from ..errors import InvalidInputError

__all__ = [
    "AsyncStorage",
    "Books",
    "Capability",
    "Change",
    "CommitResult",
    "EffectResult",
    "NewEffect",
    "NewEvent",
    "Page",
    "Parked",
    "Query",
    "Receipt",
    "Storage",
    "StoredEffect",
    "StoredEvent",
    "StoredOrder",
    "StoredText",
    "Summary",
    "open_async_storage",
    "open_storage",
    "threaded",
]

_T = TypeVar("_T")

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
    # Has `within(handle)`: writes inside a transaction of the host's own.
    WITHIN = "within"
    # Has `clock()`: what time it is where it is kept, in microseconds since 1970.  One
    # clock for all hosts; no verb reads it, and nothing is decided by it.
    CLOCK = "clock"


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

        settles: Whether it divides everything that is held: one an order.

        body: The rest, opaque.

        hash: 32 bytes: of the event, and of the hash before it.
    """

    seq: int
    name: str
    effective_at: int
    recorded_at: int
    settles: bool = False
    body: bytes
    hash: bytes


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

        status: `"waiting"`; another one only for what comes from another storage.

        attempts: How often it was tried there.

        result: What became of it there, opaque.
    """

    key: str
    kind: str
    seq: int
    moves_money: bool
    ready_at: int
    body: bytes
    status: str = "waiting"
    attempts: int = 0
    result: bytes = b""


@final
@attrs.frozen(kw_only=True)
class EffectResult:
    """
    What became of a claimed effect.

    Attributes:
        token: The token of the claim; a stale one changes nothing.

        status: `"done"`, `"waiting"`, `"parked"`; `"claimed"` if it is only beginning.

        attempts: How often it was tried so far.

        ready_at: When to try again.

        body: The rest, opaque.
    """

    key: str
    token: int
    status: str
    attempts: int
    ready_at: int
    body: bytes = b""


@final
@attrs.frozen(kw_only=True)
class Receipt:
    """
    What an idempotency key stands for: one command of one actor.

    Attributes:
        key: Actor and key, as one text.

        fingerprint: What the command said, opaque.

        first: The number of the first event it caused.

        last: The number of the last; below *first* if it caused none.
    """

    key: str
    fingerprint: str
    first: int
    last: int


@final
@attrs.frozen(kw_only=True)
class StoredText:
    """
    A personal text, kept apart from the history.

    Attributes:
        ref: The commitment that stands for it in the history.

        subject_id: Whose text it is.

        salt: What was hashed with the text to make the commitment.
    """

    ref: str
    subject_id: str
    salt: bytes
    text: str


@final
@attrs.frozen(kw_only=True)
class Books:
    """
    The money of an order in minor units: paid in = held + refunded + released + kept.
    """

    currency: str
    price: int
    paid_in: int
    held: int
    refunded: int
    released: int
    kept: int


@final
@attrs.frozen(kw_only=True)
class Parked:
    """
    Why an order is left alone by sweeps for a while.

    Attributes:
        since: When it first could not be settled.

        until: When it is tried again.

        attempts: How often it was tried.

        reason: What was in the way, for a human.
    """

    since: int
    until: int
    attempts: int
    reason: str


@final
@attrs.frozen(kw_only=True)
class Change:
    """
    Everything one command changes; all of it is written, or none.

    Attributes:
        expected_version: The version the order must have; 0 for a new one.

        version: The version after it; the same if nothing was appended.

        process: The name of the process it runs under.

        fingerprint: The fingerprint of that process.

        late: Whether it is late, as of its last event.

        books: The money of the order, as a summary.

        snapshot: The order after it, opaque.

        parties: Who takes part: `(role, id)`; the roles as text.  `None`: who took
            part before.

        unassigned: Whether it looks for a mediator.

        due_at: When the order's next deadline is acted on.

    """

    order_id: str
    expected_version: int
    version: int
    process: str
    fingerprint: str
    state: str
    late: bool = False
    books: Books
    snapshot: bytes
    parties: tuple[tuple[str, str], ...] | None = None
    unassigned: bool = False
    due_at: int | None = None
    events: tuple[NewEvent, ...] = ()
    effects: tuple[NewEffect, ...] = ()
    results: tuple[EffectResult, ...] = ()
    receipt: Receipt | None = None
    texts: tuple[StoredText, ...] = ()


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
class StoredOrder:
    """
    An order as it is stored.

    Attributes:
        version: 0 if there is no such order.

        head: The hash of its last event.

        due_at: When its next deadline is acted on.

        parked: Why it is not swept, if it is not.

        receipt: What the key that was asked for stands for.

        texts: The texts of the order that still exist, by ref.
    """

    order_id: str
    version: int = 0
    snapshot: bytes = b""
    head: bytes = b""
    due_at: int | None = None
    parked: Parked | None = None
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
    settles: bool
    body: bytes
    hash: bytes


@final
@attrs.frozen(kw_only=True)
class StoredEffect:
    """
    An effect as it is stored.

    Attributes:
        status: `"waiting"`, `"claimed"`, `"done"`, `"parked"`.

        attempts: How often it was claimed.

        token: The fence: 0 before the first claim; a later claim has a higher one.

        ready_at: When it may be claimed, again if it is claimed now.

        result: What became of it last, opaque.
    """

    order_id: str
    key: str
    kind: str
    seq: int
    moves_money: bool
    status: str
    attempts: int
    token: int
    ready_at: int
    body: bytes
    result: bytes = b""


@final
@attrs.frozen(kw_only=True)
class Summary:
    """
    What a storage knows of an order without reading its snapshot: the same fields as
    in the last `Change`.

    Attributes:
        parties: Who takes part: `(role, id)`, sorted, each once.
    """

    process: str
    fingerprint: str
    state: str
    late: bool
    books: Books
    parties: tuple[tuple[str, str], ...]
    unassigned: bool


@final
@attrs.frozen
class Page(Generic[_T]):
    """
    Some of what was found.

    Attributes:
        items: At most as many as were asked for, in the order asked for.

        after: Pass it on to get the next page; `None` on the last one.
    """

    items: tuple[_T, ...]
    after: str | None = None


@final
@attrs.frozen(kw_only=True)
class Query:
    """
    Which orders are looked for; without anything, all of them.

    Attributes:
        party: Those that this id takes part in.

        role: Those that somebody takes part in as this; with *party*, that he does.

        states: Those in one of these states.

        unassigned: Those that look for a mediator.

        parked: Those that could not be settled.

        holding: Those that hold money (`Books.held`).

        subject: Those that keep a text of this person.

        due_by: Those whose next deadline is not after this instant; leased and parked
            ones, too.

        unknown_to: Those whose process has none of these fingerprints.

        by_due: Soonest due first, and those that wait for nothing last; otherwise
            by id.
    """

    party: str | None = None
    role: str | None = None
    states: Collection[str] | None = None
    unassigned: bool = False
    parked: bool = False
    holding: bool = False
    subject: str | None = None
    due_by: int | None = None
    unknown_to: Collection[str] | None = None
    by_due: bool = False


class Storage(Protocol):
    """
    A journal of events for each order, an outbox of effects, an index of
    deadlines.

    - Constructors do no I/O; the schema of an empty database is made at first use.
    - Any number of threads may use one storage, and so may a process that was forked
      after it was made or used.
    - A batch is judged whole before anything else: `escrowflow.storage.checks` has
      what every storage checks.  What conflicts is only that, whatever else is wrong
      with it.
    - Ids, roles, refs and keys have at most 255 characters, whichever they are: 1020
      bytes.  Two of them fit into one key of an index (2704 bytes in PostgreSQL).
    - After `close()` every verb but `close` raises `StorageError`.
    - Whatever cannot be a text of this storage (NUL, half a character) is not found
      by a question, and refused with `StorageError` when it is to be written.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs.
        """
        ...

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Return an order, and the receipt of a key, in one trip.

        An unknown order has version 0.
        """
        ...

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write changes, each all or nothing; the batch is not.

        A change conflicts if the order is not at its expected version, its receipt
        exists, or a result has a stale token.  A token is current if it is the one
        of the row and the effect is not done: also token 0 of an effect that nobody
        has claimed, and that of a parked one.  What conflicts writes nothing.  What
        appends events ends the order's lease, and its parking.

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
        Return all effects of an order, in the order they were asked for: by the
        number of their event, then as they were written.
        """
        ...

    def summary(self, order_id: str) -> Summary | None:
        """
        Return what is kept of an order beside its snapshot; `None` if unknown.
        """
        ...

    def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        Return what the keys of an order stand for, by key.
        """
        ...

    def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        Return the texts of an order that still exist, by ref.
        """
        ...

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredOrder]:
        """
        Return orders due by *now*, most overdue first, at most *limit*.

        They are not returned again before *until*, unless a commit moves them on:
        a lease that only spreads the load.  The version check is the safety.

        A lease that ends later than twice as far ahead as *until* does not count:
        whoever took it has a clock that is wrong.  (Twice: clocks differ a little,
        and some are slower to ask.)

        Args:
            known: Only orders whose process has one of these fingerprints.
        """
        ...

    def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        Keep an order from being swept for a while, or no longer; either way its
        lease ends.

        Returns:
            Whether the order is at this version; otherwise nothing was written.
        """
        ...

    def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        Return when `claim_due` would next return an order, asked for leases as long
        as from *now* to *until*; `None` for never.

        Leases and parking count: a worker that waits until then never spins.  Leases
        of a wrong clock do not: nor does it sleep for years.
        """
        ...

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Sequence[StoredEffect]:
        """
        Return effects that are ready by *now*, each with a new token.

        Those that have been ready longest, at most *limit*, in the order of order,
        event and key.  They are not returned again before *until*.

        A claim that ends later than twice as far ahead as *until* does not count, as
        with `claim_due`; such effects come after the others.

        Args:
            known: Only effects of orders whose process has one of these fingerprints.
        """
        ...

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        Write what became of a claimed effect, when no event comes of it; or, still
        claimed, that it begins.

        Returns:
            Whether the token was current, as for `commit`; otherwise nothing was
            written.

        Raises:
            OutcomeUnknownError: If it may or may not have been written.
        """
        ...

    def next_effect(
        self,
        now: int,
        until: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> int | None:
        """
        Return when `claim_effects` would next return one, asked for claims as long as
        from *now* to *until*; `None` for never.

        *now*, if there is one whose claim does not count.
        """
        ...

    def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        Return the effects that do not come back by themselves, of all orders, by
        order and key: those that are parked; those that wait or are claimed and are
        not ready by *beyond*; and money that has been ready since before *overdue*.
        """
        ...

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        Return the orders that fit a query.

        Args:
            after: `Page.after` of the page before, found in the same order.
        """
        ...

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        Erase the texts of a person in these orders, at most 1000, for good; return
        how many there were.

        What was erased before leaves nothing behind after it, whatever kept that
        from being done then.
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


class AsyncStorage(Protocol):
    """
    A `Storage` whose verbs are awaited; each does what its namesake does.

    A verb that is cancelled has happened whole, or not at all.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do beyond the verbs.
        """
        ...

    async def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        See `Storage.load`.
        """
        ...

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        See `Storage.commit`.
        """
        ...

    async def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        See `Storage.events`.
        """
        ...

    async def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        See `Storage.effects`.
        """
        ...

    async def summary(self, order_id: str) -> Summary | None:
        """
        See `Storage.summary`.
        """
        ...

    async def receipts(self, order_id: str) -> Sequence[Receipt]:
        """
        See `Storage.receipts`.
        """
        ...

    async def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        See `Storage.texts`.
        """
        ...

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
        ...

    async def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        """
        See `Storage.park`.
        """
        ...

    async def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> int | None:
        """
        See `Storage.next_due`.
        """
        ...

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
        ...

    async def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        """
        See `Storage.settle_effect`.
        """
        ...

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
        ...

    async def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Page[StoredEffect]:
        """
        See `Storage.stuck_effects`.
        """
        ...

    async def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        """
        See `Storage.find`.
        """
        ...

    async def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        """
        See `Storage.erase_texts`.
        """
        ...

    async def migrate(self) -> None:
        """
        See `Storage.migrate`.
        """
        ...

    async def close(self) -> None:
        """
        See `Storage.close`.
        """
        ...

    async def __aenter__(self) -> Self:
        """
        Begin an `async with` block.
        """
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Close it at the end of an `async with` block.
        """
        ...


# --- by URL -----------------------------------------------------------------------

_GROUP: Final = "escrowflow.storage"
_ASYNC_GROUP: Final = "escrowflow.async_storage"

# Which extra brings what a scheme needs.
_EXTRAS: Final = {"postgresql": "postgres"}

# Drivers are slow to import: only the one that is asked for.
_OURS: Final[Mapping[str, tuple[str, str]]] = {
    "memory": (".memory", "MemoryStorage"),
    "sqlite": (".sqlite", "SqliteStorage"),
    "postgresql": (".postgres", "PostgresStorage"),
}
_ASYNC: Final[Mapping[str, tuple[str, str]]] = {
    "postgresql": (".postgres", "AsyncPostgresStorage"),
}


def open_storage(url: str, *, create: bool = True) -> Storage:
    """
    Return the storage a URL names; nothing is opened before it is used.

    Args:
        url: `"memory://"`, `"sqlite:///orders.db"` (three slashes: relative, four:
            absolute), `"postgresql://user@host/database"`, or the scheme of an
            installed plug-in.

        create: Whether the tables, and the file, are made when they are first
            needed; otherwise only by `migrate()`.  A plug-in decides for itself.

    Raises:
        InvalidInputError: If no storage has this scheme.
    """
    opened = _opened(url, _OURS, _GROUP, create)
    if opened is None:
        raise _no_storage(url)
    storage: Storage = opened
    return storage


def open_async_storage(url: str, *, create: bool = True) -> AsyncStorage:
    """
    Return the storage a URL names, its verbs awaited.

    A storage that has no such form of its own runs in threads.

    Args:
        url: As for `open_storage`.

        create: As for `open_storage`.

    Raises:
        InvalidInputError: If no storage has this scheme.
    """
    opened = _opened(url, _ASYNC, _ASYNC_GROUP, create)
    if opened is None:
        return threaded(open_storage(url, create=create))
    storage: AsyncStorage = opened
    return storage


def threaded(storage: Storage) -> AsyncStorage:
    """
    Return a storage whose verbs are awaited, from one whose verbs block.

    They run in threads of their own, so that the event loop goes on.
    """
    from .threads import ThreadedStorage

    return ThreadedStorage(storage)


def _opened(
    url: str, ours: Mapping[str, tuple[str, str]], group: str, create: bool
) -> Any:
    """
    Return what a URL names; `None` if nobody knows its scheme.
    """
    scheme = _scheme(url)
    if scheme in ours:
        module, name = ours[scheme]
        try:
            found = getattr(import_module(module, __name__), name)
        except ImportError as error:
            needs, brings = error.name, f"escrowflow[{_EXTRAS.get(scheme, scheme)}]"
            if not isinstance(error, ModuleNotFoundError):
                needs, brings = "libpq", "psycopg[binary]"
            raise InvalidInputError(
                "url", f"a {scheme!r} storage needs {needs}: pip install {brings!r}"
            ) from error
        return found.from_url(url, create=create)
    # What reads the metadata of packages takes as long to load as a storage of ours.
    from importlib.metadata import entry_points

    for entry in entry_points(group=group, name=scheme):
        factory: Callable[[str], Any] = entry.load()
        return factory(url)
    return None


def _scheme(url: str) -> str:
    if not isinstance(url, str):
        raise InvalidInputError("url", "a text such as 'sqlite:///orders.db'")
    try:
        # `postgres://` is what many hosting providers hand out.
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise InvalidInputError("url", str(error)) from error
    return "postgresql" if scheme == "postgres" else scheme


def _no_storage(url: str) -> InvalidInputError:
    scheme = _scheme(url)
    if not scheme:
        return InvalidInputError("url", f"no URL: write 'sqlite:///{url}'")
    from importlib.metadata import entry_points

    known = sorted({*_OURS, *entry_points(group=_GROUP).names})
    return InvalidInputError(
        "url", f"no storage for {scheme!r}: one of {', '.join(known)}"
    )
