"""
The engine: what a host calls.

It loads an order, settles what is due, lets the core decide, and commits; every
rule is below.  It holds no state of its own: any number of engines, threads and
processes may share a storage, and the version of the order decides who was first.

What it asks of a storage is written once, as generators that yield calls; a
driver answers them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar, final

import attrs
from pendulum import DateTime

from .clock import Clock, SystemClock, as_utc, from_micros, to_micros
from .commands import AssignMediator, Command, PlaceOrder
from .decisions import (
    Decided,
    Option,
    Refusal,
    as_of,
    check_placing,
    decide,
    next_due,
    options,
    place,
    settle,
)
from .decisions.outbox import effects_of
from .effects import Effect, Notify, PayOut, Refund
from .errors import (
    CommandRefusedError,
    EscrowflowError,
    InvalidInputError,
    KeyReusedError,
    OrderChangedError,
    OrderExistsError,
    OrderNotFoundError,
    StorageError,
    UnknownProcessError,
)
from .events import EVENTS, ClaimFiled, ClaimRejected, Recorded
from .history import fold
from .inputs import Text, as_id, as_key, kind_of
from .order import Order, seen
from .parties import Actor, Role, as_actor
from .rules import Policies
from .states import Process
from .storage import (
    Change,
    CommitResult,
    Due,
    Loaded,
    NewText,
    Receipt,
    Storage,
    StoredEffect,
)
from .storage.codec import (
    content_hash,
    decode_effect,
    decode_event,
    decode_order,
    encode_effect,
    encode_event,
    encode_order,
    seal,
)

__all__ = ["EffectStatus", "Engine", "Outcome", "SweepReport"]

_T = TypeVar("_T")

# What is asked of a storage: a verb and its arguments; the answer is sent back.
_Call: TypeAlias = tuple[str, tuple[Any, ...]]
_Asking: TypeAlias = Generator[_Call, Any, _T]
_Process: TypeAlias = Process[Policies]

# How often a command is decided anew when somebody else was faster.  Each round
# means that another command went through: a crowd on one order, not a fault.
_ROUNDS_MAX: Final = 64

# How long a sweep keeps an order to itself.  It only spreads the load.
_LEASE_SECONDS: Final = 60

# How long an order that cannot be settled is left alone.
_PARKED_SECONDS: Final = 3600

_BATCH: Final = 50

# How many snapshots an engine remembers the meaning of: some two megabytes.
_READ_MAX: Final = 256
_HISTORY_PAGE: Final = 500
_SECOND: Final = 1_000_000

_EFFECTS: Final[Mapping[str, type[Effect]]] = {
    effect.name: effect for effect in (Refund, PayOut, Notify)
}


@final
@attrs.frozen(kw_only=True)
class Outcome:
    """
    What a command did.

    Attributes:
        order: The order after it.

        events: What the command made happen, oldest first; what was due before
            it is in the history only.

        effects: What the host must now do because of it.

        replayed: Whether this is the answer to an earlier call with this key.
    """

    order: Order
    events: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()
    replayed: bool = False


@final
@attrs.frozen(kw_only=True)
class EffectStatus:
    """
    An effect, and what became of it so far.

    Attributes:
        status: `"waiting"`, `"claimed"`, `"done"` or `"parked"`.

        attempts: How often it was tried.
    """

    effect: Effect
    status: str
    attempts: int


@final
@attrs.frozen(kw_only=True)
class SweepReport:
    """
    What a sweep did.

    Attributes:
        orders: How many orders it moved.

        moves: How many events it recorded.

        faster: How many orders somebody else had settled meanwhile.

        unknown: The orders whose process this engine lacks, with its fingerprint.

        parked: The orders that could not be settled, with the reason.
    """

    orders: int = 0
    moves: int = 0
    faster: int = 0
    unknown: tuple[tuple[str, str], ...] = ()
    parked: tuple[tuple[str, str], ...] = ()


@final
class Engine:
    """
    Orders of one storage, under one process or several.

    Args:
        process: What new orders are placed under.

        storage: Where orders are kept.

        clock: What time it is; the wall clock unless said.

        also: Older processes, for the orders that were placed under them.

        new_id: Names an order placed without an id and without a key.

        salt: Fresh bytes for the commitment of a text.

    Nothing is opened before it is used.
    """

    def __init__(
        self,
        process: _Process,
        storage: Storage,
        *,
        clock: Clock | None = None,
        also: Iterable[_Process] = (),
        new_id: Callable[[], str] = lambda: secrets.token_hex(12),
        salt: Callable[[], bytes] = lambda: secrets.token_bytes(16),
    ) -> None:
        if not isinstance(process, Process):
            raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
        also = tuple(also) if isinstance(also, Iterable) else (also,)
        for known in also:
            if not isinstance(known, Process):
                raise InvalidInputError("also", f"processes, not {kind_of(known)}")
        if not hasattr(storage, "load"):
            raise InvalidInputError("storage", f"a Storage, not {kind_of(storage)}")
        self.process = process
        self.storage = storage
        self.clock: Clock = clock if clock is not None else SystemClock()
        if not isinstance(self.clock, Clock):
            raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")
        self._processes = {known.fingerprint: known for known in (*also, process)}
        self._events = {
            **EVENTS,
            **{
                event.name: event
                for known in self._processes.values()
                for event in known.events
            },
        }
        self._new_id = new_id
        self._salt = salt
        self._read: dict[tuple[bytes, frozenset[str]], Order] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Let go of the storage.
        """
        self.storage.close()

    # --- commands -----------------------------------------------------------------

    def place(
        self,
        command: PlaceOrder,
        *,
        by: Actor,
        key: str | None = None,
        order_id: str | None = None,
    ) -> Outcome:
        """
        Place an order.

        Args:
            by: The buyer.

            key: Makes the call idempotent; the order's id is then derived from
                the process's name, the buyer and the key.  Repeat it with the same
                process name and the same *order_id*, if there is one.

            order_id: The order's id, if the host has one.

        Raises:
            InvalidInputError: If something is wrong by itself.

            CommandRefusedError: If the policies refuse it; `.order` is `None`.

            OrderExistsError: If the id is taken.

            KeyReusedError: If the key was used with other content.

        After any of these nothing was written.
        """
        answer = self._drive(self._place(command, by, key, order_id))
        return _or_raise(answer)

    def execute(
        self,
        order_id: str,
        command: Command,
        *,
        by: Actor,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Outcome:
        """
        Send a command, or raise why it may not be.

        What is due is settled first, whoever asks and whatever the answer.

        Args:
            key: Makes the command idempotent for this actor, for the order's life.

            if_version: The version the caller saw.

        Raises:
            InvalidInputError: If something is wrong by itself.  Nothing was
                written.

            OrderNotFoundError: If there is no such order for this actor.
                Nothing was written.

            CommandRefusedError: If the rules do not allow it.  A payment it
                carried was booked and is refunded whole.

            KeyReusedError: If the key was used with other content.

            OrderChangedError: If the order is not at *if_version*.

            UnknownProcessError: If the order's process is not in this engine.
        """
        return _or_raise(
            self.attempt(order_id, command, by=by, key=key, if_version=if_version)
        )

    def attempt(
        self,
        order_id: str,
        command: Command,
        *,
        by: Actor,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Outcome | Refusal:
        """
        Send a command, and return why if it may not be.

        As `execute`, but a refusal is returned, not raised.
        """
        return self._drive(self._execute(order_id, command, by, key, if_version))

    def preview(
        self, order_id: str | None, command: Command, *, by: Actor
    ) -> Outcome | Refusal:
        """
        Return what `attempt` would answer now; nothing is written.

        Args:
            order_id: The order; `None` to preview `PlaceOrder`.
        """
        return self._drive(self._preview(order_id, command, by))

    # --- reading ------------------------------------------------------------------

    def order(self, order_id: str, *, by: Actor | None = None) -> Order:
        """
        Return the order as it is now: what is due applied, nothing written.

        Args:
            by: Who asks; without, the host itself, who may read everything.

        Raises:
            OrderNotFoundError: If there is no such order for this actor.
        """
        return self._drive(self._order(order_id, by))

    def options(self, order_id: str, *, by: Actor) -> tuple[Option, ...]:
        """
        Return every command this actor's role could ever send: allowed now, or
        what is in the way.

        Raises:
            OrderNotFoundError: If there is no such order for this actor.
        """
        return self._drive(self._options(order_id, by))

    def history(
        self, order_id: str, *, by: Actor | None = None
    ) -> tuple[Recorded, ...]:
        """
        Return what was recorded, oldest first; never empty.

        Raises:
            OrderNotFoundError: If there is no such order for this actor.
        """
        return self._drive(self._history(order_id, by))

    def effects(self, order_id: str) -> tuple[EffectStatus, ...]:
        """
        Return what the order asked the host to do, in the order it was asked.

        Raises:
            OrderNotFoundError: If there is no such order.
        """
        return self._drive(self._effects(order_id))

    # --- time ---------------------------------------------------------------------

    def run_due(self, limit: int = 500) -> SweepReport:
        """
        Settle orders whose deadlines have passed, the most overdue first.

        Safe on any number of hosts at once.

        Args:
            limit: How many orders at the most.
        """
        if type(limit) is not int or limit < 1:
            raise InvalidInputError("limit", "a whole number, 1 or more")
        return self._drive(self._run_due(limit))

    def next_due_at(self) -> DateTime | None:
        """
        Return when a worker should wake; `None` if nothing is to come.
        """
        due = self._drive(self._next_due())
        return None if due is None else from_micros(due)

    def _now(self) -> DateTime:
        # A host's own clock may be in another zone, and is read only here.
        return as_utc(self.clock.now(), "clock")

    # --- the driver ---------------------------------------------------------------

    def _drive(self, asking: _Asking[_T]) -> _T:
        try:
            verb, arguments = next(asking)
            while True:
                try:
                    answer = getattr(self.storage, verb)(*arguments)
                except StorageError as error:
                    verb, arguments = asking.throw(error)
                else:
                    verb, arguments = asking.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result

    # --- what is asked, written once ----------------------------------------------

    def _place(
        self, command: PlaceOrder, by: Actor, key: str | None, order_id: str | None
    ) -> _Asking[Outcome | Refusal]:
        if not isinstance(command, PlaceOrder):
            raise InvalidInputError("command", f"a PlaceOrder, not {kind_of(command)}")
        by = as_actor(by)
        key = as_key(key)
        check_placing(command, by)
        if order_id is not None:
            order_id = as_id(order_id, "order_id")
        elif key is not None:
            order_id = _derived(self.process.name, by, key)
        else:
            order_id = self._new_id()
        sealed, texts = seal(command, by.id, self._salt)
        receipt = _Ask(by, key, command)
        for _ in range(2):
            if key is not None:
                loaded: Loaded = yield "load", (order_id, receipt.key)
                if loaded.receipt is not None:
                    return (yield from self._replayed(order_id, loaded, receipt))
                if loaded.version:
                    raise OrderExistsError(order_id)
            now = self._now()
            placed = place(self.process, sealed, by=by, order_id=order_id, now=now)
            if isinstance(placed, Refusal):
                return placed
            decided = self._settled_after(self.process, placed, now)
            if (
                yield from self._written(
                    self.process,
                    Loaded(),
                    decided,
                    receipt=receipt.receipt(decided),
                    texts=texts,
                )
            ):
                return _outcome(decided, now)
            # Taken meanwhile: by this very call, repeated, or by another.
            if key is None:
                break
        raise OrderExistsError(order_id)

    def _execute(
        self,
        order_id: str,
        command: Command,
        by: Actor,
        key: str | None,
        if_version: int | None,
    ) -> _Asking[Outcome | Refusal]:
        order_id = as_id(order_id, "order_id")
        by = as_actor(by)
        _known(command)
        if if_version is not None and type(if_version) is not int:
            raise InvalidInputError("if_version", "a whole number")
        receipt = _Ask(by, as_key(key), command)
        sealed, texts = seal(command, by.id, self._salt)
        for _ in range(_ROUNDS_MAX):
            loaded: Loaded = yield "load", (order_id, receipt.key)
            # Whoever has a receipt took part when he got it: a mediator who is done
            # no longer does, and may repeat his last command all the same.
            if loaded.receipt is not None:
                return (yield from self._replayed(order_id, loaded, receipt))
            now = self._now()
            process, due = self._opened(order_id, loaded, by, command, now)
            if if_version is not None and if_version != due.order.version:
                # What is due is written all the same; the command is not judged.
                if (yield from self._written(process, loaded, due)):
                    raise OrderChangedError(
                        order_id, expected=if_version, actual=due.order.version
                    )
                continue
            answer = decide(process, due.order, sealed, by=by, now=now)
            if isinstance(answer, Refusal):
                assert answer.order is not None
                if (yield from self._written(process, loaded, _joined(due, answer))):
                    return attrs.evolve(answer, order=seen(answer.order, now))
                continue
            answer = self._settled_after(process, answer, now)
            if (
                yield from self._written(
                    process,
                    loaded,
                    _joined(due, answer),
                    receipt=receipt.receipt(answer),
                    texts=texts,
                )
            ):
                return _outcome(answer, now)
        raise OrderChangedError(order_id, expected=loaded.version, actual=None)

    def _preview(
        self, order_id: str | None, command: Command, by: Actor
    ) -> _Asking[Outcome | Refusal]:
        by = as_actor(by)
        now = self._now()
        if isinstance(command, PlaceOrder) and order_id is None:
            placed = place(self.process, command, by=by, order_id="preview", now=now)
            if isinstance(placed, Refusal):
                return placed
            return _outcome(self._settled_after(self.process, placed, now), now)
        order_id = as_id(order_id, "order_id")
        _known(command)
        loaded: Loaded = yield "load", (order_id,)
        process, due = self._opened(order_id, loaded, by, command, now)
        answer = decide(process, due.order, command, by=by, now=now)
        if isinstance(answer, Refusal):
            assert answer.order is not None
            return attrs.evolve(answer, order=seen(answer.order, now))
        return _outcome(self._settled_after(process, answer, now), now)

    def _order(self, order_id: str, by: Actor | None) -> _Asking[Order]:
        order_id = as_id(order_id, "order_id")
        by = None if by is None else as_actor(by)
        loaded: Loaded = yield "load", (order_id,)
        return self._reading(order_id, loaded, by)

    def _reading(self, order_id: str, loaded: Loaded, by: Actor | None) -> Order:
        order = self._decoded(order_id, loaded)
        now = self._now()
        process = self._processes.get(order.fingerprint)
        # An order whose process is missing is readable all the same.
        current = seen(order, now) if process is None else as_of(process, order, now)
        if by is not None and not _may_read(current, by):
            raise OrderNotFoundError(order_id)
        return current

    def _options(self, order_id: str, by: Actor) -> _Asking[tuple[Option, ...]]:
        by = as_actor(by)
        order = yield from self._order(order_id, by)
        process = self._process_of(order)
        return options(process, order, by=by, now=self._now())

    def _history(
        self, order_id: str, by: Actor | None
    ) -> _Asking[tuple[Recorded, ...]]:
        order_id = as_id(order_id, "order_id")
        by = None if by is None else as_actor(by)
        loaded: Loaded = yield "load", (order_id,)
        self._reading(order_id, loaded, by)
        history = yield from self._recorded(order_id, loaded)
        return history if by is None else tuple(_for_reader(history, by))

    def _recorded(
        self, order_id: str, loaded: Loaded, until: int | None = None
    ) -> _Asking[tuple[Recorded, ...]]:
        found: list[Recorded] = []
        last = loaded.version if until is None else until
        while len(found) < last:
            page = yield "events", (order_id, len(found), _HISTORY_PAGE)
            found += (
                decode_event(stored, loaded.texts, self._events) for stored in page
            )
            if not page:
                break
        return tuple(found[:last])

    def _effects(self, order_id: str) -> _Asking[tuple[EffectStatus, ...]]:
        order_id = as_id(order_id, "order_id")
        loaded: Loaded = yield "load", (order_id,)
        if not loaded.version:
            raise OrderNotFoundError(order_id)
        stored: Iterable[StoredEffect] = yield "effects", (order_id,)
        return tuple(
            EffectStatus(
                effect=decode_effect(item.body, _EFFECTS[item.kind]),
                status=item.status,
                attempts=item.attempts,
            )
            for item in stored
        )

    def _next_due(self) -> _Asking[int | None]:
        due: int | None = yield "next_due", ()
        return due

    def _run_due(self, limit: int) -> _Asking[SweepReport]:
        report = SweepReport()
        while limit > 0:
            now = self._now()
            micros = to_micros(now)
            claimed: tuple[Due, ...] = tuple(
                (
                    yield (
                        "claim_due",
                        (micros, micros + _LEASE_SECONDS * _SECOND, min(limit, _BATCH)),
                    )
                )
            )
            if not claimed:
                break
            limit -= len(claimed)
            changes = []
            for due in claimed:
                loaded: Loaded = yield "load", (due.order_id,)
                change, report = self._swept(due.order_id, loaded, now, report)
                if change is not None:
                    changes.append(change)
            results = (yield "commit", (tuple(changes),)) if changes else ()
            for change, result in zip(changes, results, strict=True):
                if result is not CommitResult.DONE:
                    report = attrs.evolve(
                        report,
                        orders=report.orders - bool(change.events),
                        moves=report.moves - len(change.events),
                        faster=report.faster + 1,
                    )
        return report

    def _swept(
        self, order_id: str, loaded: Loaded, now: DateTime, report: SweepReport
    ) -> tuple[Change | None, SweepReport]:
        """
        Settle one order of a sweep; what cannot be settled is parked for a while.
        """
        try:
            order = self._decoded(order_id, loaded)
        except EscrowflowError as error:
            # Nothing can be written about it; its lease keeps it out of the way.
            return None, _not_settled(report, order_id, error)
        process = self._processes.get(order.fingerprint)
        if process is None:
            report = attrs.evolve(
                report, unknown=(*report.unknown, (order_id, order.fingerprint))
            )
            return _parked(order, loaded, now), report
        try:
            at = max(now, order.effective_at)
            recorded_at = max(at, order.recorded_at)
            due = settle(process, order, now=at, recorded_at=recorded_at)
        except Exception as error:
            # Whatever went wrong, a host's own rules included: the others go on.
            return _parked(order, loaded, now), _not_settled(report, order_id, error)
        if not due.recorded:
            return None, attrs.evolve(report, faster=report.faster + 1)
        report = attrs.evolve(
            report,
            orders=report.orders + 1,
            moves=report.moves + len(due.recorded),
        )
        change = self._change(process, due.order, loaded, due)
        return change, report

    # --- helpers of the core ------------------------------------------------------

    def _decoded(self, order_id: str, loaded: Loaded) -> Order:
        if not loaded.version:
            raise OrderNotFoundError(order_id)
        order = self._read.get((loaded.snapshot, frozenset(loaded.texts)))
        if order is None:
            order = decode_order(loaded.snapshot, loaded.texts)
            self._remember(loaded.snapshot, loaded.texts, order)
        return order

    def _remember(self, snapshot: bytes, refs: Iterable[str], order: Order) -> None:
        """
        Keep what some bytes mean, for the next reader of the very same bytes.

        It can never be out of date: the storage says which bytes are current, and
        which texts still exist.
        """
        if len(self._read) >= _READ_MAX:
            # Two threads may meet here, and then one more stays: cheaper than a lock.
            with suppress(RuntimeError, StopIteration):
                self._read.pop(next(iter(self._read)), None)
        self._read[snapshot, frozenset(refs)] = order

    def _process_of(self, order: Order) -> _Process:
        process = self._processes.get(order.fingerprint)
        if process is None:
            raise UnknownProcessError(order.fingerprint)
        return process

    def _opened(
        self,
        order_id: str,
        loaded: Loaded,
        by: Actor,
        command: Command,
        now: DateTime,
    ) -> tuple[_Process, Decided]:
        """
        Return the process, and the order with what is due by now.

        Raises:
            OrderNotFoundError: If this actor has no part in the order.
        """
        order = self._decoded(order_id, loaded)
        process = self._processes.get(order.fingerprint)
        if process is None:
            if not _takes_part(order, by):
                raise OrderNotFoundError(order_id)
            raise UnknownProcessError(order.fingerprint)
        at = max(now, order.effective_at)
        due = settle(process, order, now=at, recorded_at=max(at, order.recorded_at))
        mediates = isinstance(command, AssignMediator) and _may_read(due.order, by)
        if not mediates and not _takes_part(due.order, by):
            raise OrderNotFoundError(order_id)
        return process, due

    def _settled_after(
        self, process: _Process, decided: Decided, now: DateTime
    ) -> Decided:
        """
        Apply what a command itself made due at once.
        """
        order = decided.order
        at = max(now, order.effective_at)
        due = settle(process, order, now=at, recorded_at=max(at, order.recorded_at))
        return _joined(decided, due)

    def _written(
        self,
        process: _Process,
        loaded: Loaded,
        written: Decided,
        *,
        receipt: Receipt | None = None,
        texts: tuple[NewText, ...] = (),
    ) -> _Asking[bool]:
        """
        Commit what happened; false if somebody else was faster.
        """
        if not written.recorded and receipt is None:
            return True
        change = self._change(
            process, written.order, loaded, written, receipt=receipt, texts=texts
        )
        (result,) = yield "commit", ((change,),)
        return result is CommitResult.DONE

    def _change(
        self,
        process: _Process,
        order: Order,
        loaded: Loaded,
        written: Decided,
        *,
        receipt: Receipt | None = None,
        texts: tuple[NewText, ...] = (),
    ) -> Change:
        due = next_due(process, order)
        ready_at = to_micros(order.recorded_at)
        snapshot = encode_order(order)
        refs = (*loaded.texts, *(text.ref for text in texts))
        self._remember(snapshot, refs, order)
        return Change(
            order_id=order.id,
            expected_version=loaded.version,
            version=order.version,
            process=order.fingerprint,
            state=str(order.state),
            snapshot=snapshot,
            parties=_parties(order),
            due_at=None if due is None else to_micros(due[0]),
            unassigned=_unassigned(order),
            events=tuple(encode_event(recorded) for recorded in written.recorded),
            effects=tuple(
                encode_effect(effect, ready_at) for effect in written.effects
            ),
            receipt=receipt,
            texts=texts,
        )

    def _replayed(self, order_id: str, loaded: Loaded, ask: _Ask) -> _Asking[Outcome]:
        receipt = loaded.receipt
        assert receipt is not None
        if receipt.fingerprint != ask.fingerprint:
            raise KeyReusedError(ask.plain_key)
        history = yield from self._recorded(order_id, loaded, until=receipt.last)
        order = fold(history)
        events = history[receipt.first - 1 :]
        return Outcome(
            order=seen(order, order.recorded_at),
            events=events,
            effects=tuple(
                effect for recorded in events for effect in effects_of(order, recorded)
            ),
            replayed=True,
        )


# --- what the engine is made of ---------------------------------------------------


@final
class _Ask:
    """
    A command on its way in: who, under which key, saying what.
    """

    __slots__ = ("_fingerprint", "command", "key", "plain_key")

    def __init__(self, by: Actor, key: str | None, command: Command) -> None:
        self.plain_key = key or ""
        # A key is an actor's own: two people may use the same.
        self.key = None if key is None else f"{by}\x1f{key}"
        self.command = command
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """
        The hash of what the command says.
        """
        if not self._fingerprint:
            self._fingerprint = content_hash(self.command)
        return self._fingerprint

    def receipt(self, done: Decided) -> Receipt | None:
        """
        Return what the key stands for from now on; `None` without a key.
        """
        if self.key is None:
            return None
        last = done.order.version
        return Receipt(
            key=self.key,
            fingerprint=self.fingerprint,
            first=last - len(done.recorded) + 1,
            last=last,
        )


def _or_raise(answer: Outcome | Refusal) -> Outcome:
    if isinstance(answer, Refusal):
        raise CommandRefusedError(answer.blockers, answer.order)
    return answer


def _outcome(decided: Decided, now: DateTime) -> Outcome:
    return Outcome(
        order=seen(decided.order, max(now, decided.order.effective_at)),
        events=decided.recorded,
        effects=decided.effects,
    )


def _joined(first: Decided, then: Decided | Refusal) -> Decided:
    order = then.order
    assert order is not None
    return Decided(
        order=order,
        recorded=(*first.recorded, *then.recorded),
        effects=(*first.effects, *then.effects),
    )


def _known(command: Command) -> None:
    if not isinstance(command, Command) or isinstance(command, PlaceOrder):
        raise InvalidInputError(
            "command", f"a command for an order that exists, not {kind_of(command)}"
        )


def _derived(process: str, by: Actor, key: str) -> str:
    text = "\x1f".join((process, by.id, key))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _takes_part(order: Order, by: Actor) -> bool:
    if by.role in Role.OPERATOR | Role.PROVIDER:
        return True
    return by.role in order.role_of(by.id)


def _may_read(order: Order, by: Actor) -> bool:
    """
    Parties and staff; and any mediator who is neither party, as long as an order
    looks for one.
    """
    if _takes_part(order, by):
        return True
    return (
        by.role is Role.MEDIATOR
        and _unassigned(order)
        and not order.role_of(by.id) & (Role.BUYER | Role.SELLER)
    )


def _for_reader(history: Iterable[Recorded], by: Actor) -> Iterable[Recorded]:
    """
    Yield a history as a party may read it: why a mediator did not keep a claim is
    for its filer only (R71).
    """
    filer: Role | None = None
    for recorded in history:
        event = recorded.event
        if isinstance(event, ClaimFiled):
            filer = recorded.by.role
        party = by.role in Role.BUYER | Role.SELLER
        if isinstance(event, ClaimRejected) and party and by.role is not filer:
            recorded = attrs.evolve(recorded, event=ClaimRejected(reason=Text()))
        yield recorded


def _unassigned(order: Order) -> bool:
    """
    Whether the order looks for a mediator.
    """
    if order.mediator_id is not None or order.ending is not None:
        return False
    dispute = order.dispute
    return order.claim is not None or (dispute is not None and dispute.ruling is None)


def _parties(order: Order) -> tuple[tuple[str, str], ...]:
    parties = [(Role.BUYER.text, order.buyer_id), (Role.SELLER.text, order.seller_id)]
    if order.mediator_id is not None:
        parties.append((Role.MEDIATOR.text, order.mediator_id))
    return tuple(parties)


def _not_settled(report: SweepReport, order_id: str, error: Exception) -> SweepReport:
    why = str(error) if isinstance(error, EscrowflowError) else repr(error)
    return attrs.evolve(report, parked=(*report.parked, (order_id, why)))


def _parked(order: Order, loaded: Loaded, now: DateTime) -> Change:
    waits = [wait.due_at for wait in order.deadlines]
    return Change(
        order_id=order.id,
        expected_version=loaded.version,
        version=loaded.version,
        process=order.fingerprint,
        state=str(order.state),
        snapshot=loaded.snapshot,
        parties=_parties(order),
        due_at=to_micros(min(waits)) if waits else None,
        parked_until=to_micros(now) + _PARKED_SECONDS * _SECOND,
        unassigned=_unassigned(order),
    )
