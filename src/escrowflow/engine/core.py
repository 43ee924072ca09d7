"""
What an engine asks of a storage, written once: generators that yield verbs and are
sent the answers.  `Engine` and `AsyncEngine` drive them.

It loads an order, settles what is due, lets the core decide, and commits; every
rule is below.  It holds no state of its own: any number of engines, threads and
processes may share a storage, and the version of the order decides who was first.
"""

from __future__ import annotations

import hashlib
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar, final

import attrs
from pendulum import DateTime

from .. import wallet
from ..clock import Clock, SystemClock, as_utc, to_micros
from ..commands import AssignMediator, Command, PlaceOrder
from ..decisions import (
    Decided,
    Refusal,
    as_of,
    check_placing,
    decide,
    next_due,
    place,
    settle,
)
from ..decisions.outbox import effects_of
from ..effects import (
    EFFECTS,
    Charge,
    Effect,
    Publish,
    ReleaseHold,
    effect_key,
)
from ..errors import (
    CorruptJournalError,
    InvalidInputError,
    KeyReusedError,
    OrderChangedError,
    OrderExistsError,
    OrderNotFoundError,
    OutcomeUnknownError,
    UnknownProcessError,
)
from ..events import (
    EVENTS,
    Recorded,
)
from ..history import evolve, fold
from ..inputs import as_id, as_key, has_all, kind_of
from ..order import Order, seen
from ..parties import OUTBOX, Actor, Role, as_actor
from ..refusals import Blocker
from ..rules import Policies
from ..states import Process
from ..storage import (
    Books,
    Change,
    CommitResult,
    EffectResult,
    Query,
    Receipt,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
    Summary,
)
from ..storage.codec import (
    content_hash,
    decode_event,
    decode_order,
    encode_effect,
    encode_event,
    encode_order,
    said,
    seal,
)
from . import money
from .answers import Outcome
from .doubts import DOUBTS_MAX, Doubts

__all__ = [
    "ROUNDS_MAX",
    "Asking",
    "Core",
    "OrderProcess",
    "as_query",
    "commit",
    "is_sound",
    "naming",
    "published",
    "settled_effect",
    "summarised",
    "summary",
]

_T = TypeVar("_T")

# What is asked of a storage: a verb and its arguments; the answer is sent back.
_Call: TypeAlias = tuple[str, tuple[Any, ...]]
Asking: TypeAlias = Generator[_Call, Any, _T]
OrderProcess: TypeAlias = Process[Policies]

# How often a command is decided anew when somebody else was faster.  Each round
# means that another command went through: a crowd on one order, not a fault.
ROUNDS_MAX: Final = 64

# How many texts one person writes on one order: whoever reads it carries all of them.
_TEXTS_MAX: Final = 500

# How many snapshots an engine remembers the meaning of: some two megabytes.
_READ_MAX: Final = 256
HISTORY_PAGE: Final = 500

# Too long to be guessed; not so long that a text could hide in it.
SALT_MIN: Final = 16
SALT_MAX: Final = 64


@final
class Core:
    """
    What both engines are made of.
    """

    def __init__(
        self,
        process: OrderProcess,
        *,
        clock: Clock | None,
        also: Iterable[OrderProcess],
        new_id: Callable[[], str],
        salt: Callable[[], bytes],
        publish: bool,
    ) -> None:
        if not isinstance(process, Process):
            raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
        also = tuple(also) if isinstance(also, Iterable) else (also,)
        for known in also:
            if not isinstance(known, Process):
                raise InvalidInputError("also", f"processes, not {kind_of(known)}")
        self.process = process
        self.clock: Clock = clock if clock is not None else SystemClock()
        if not has_all(self.clock, Clock):
            raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")
        self.processes = {known.fingerprint: known for known in (*also, process)}
        # What a worker takes on: the rest is left to those who can do it.
        self.known: Final = (*self.processes,)
        self.events = {
            **EVENTS,
            **{
                event.name: event
                for known in self.processes.values()
                for event in known.events
            },
        }
        if not callable(new_id):
            raise InvalidInputError("new_id", "what makes ids, called without anything")
        if not callable(salt):
            raise InvalidInputError("salt", "what makes bytes, called without anything")
        if not isinstance(publish, bool):
            raise InvalidInputError("publish", "true or false")
        self._new_id = new_id
        self._new_salt = salt
        self.publish = publish
        self._read: dict[tuple[bytes, frozenset[str]], Order] = {}
        # What the last event of a history asks for, by its hash: keys and bodies.
        self.asked: Final[dict[bytes, frozenset[tuple[str, bytes]]]] = {}

    def _salt(self) -> bytes:
        salt = self._new_salt()
        if not isinstance(salt, bytes) or not SALT_MIN <= len(salt) <= SALT_MAX:
            raise InvalidInputError("salt", f"{SALT_MIN} to {SALT_MAX} bytes")
        return salt

    def now(self) -> DateTime:
        """
        Return what time it is, in UTC.
        """
        # A host's own clock may be in another zone, and is read only here.
        return as_utc(self.clock.now(), "clock")

    @property
    def asks(self) -> frozenset[str]:
        """
        The kinds of effects that this engine ever asks for.
        """
        never = set() if self.publish else {Publish.name}
        known = self.processes.values()
        if all(one.policies.acceptance.charge_at == "order" for one in known):
            never |= {Charge.name, ReleaseHold.name}
        return frozenset(EFFECTS) - never

    def forget(self) -> None:
        """
        Forget what snapshots meant, and the texts in them.
        """
        self._read.clear()

    # --- commands -----------------------------------------------------------------

    def place(
        self, command: PlaceOrder, by: Actor, key: str | None, order_id: str | None
    ) -> Asking[Outcome | Refusal]:
        """
        See `Engine.place`.
        """
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
            order_id = as_id(self._new_id(), "new_id")
        if order_id.startswith(wallet.PREFIX):
            raise InvalidInputError("order_id", "only wallets are called 'wallet:...'")
        sealed, texts = seal(command, by.id, self._salt)
        ask = _Ask(by, key, command, texts)
        doubts: Doubts[Outcome | Refusal] = Doubts(order_id)
        for _ in range(ROUNDS_MAX):
            if key is not None or doubts.changes:
                loaded = yield from doubts.load(ask.key)
                if loaded.receipt is not None:
                    return (yield from self._replayed(loaded, ask))
                answer = yield from doubts.answer(loaded, ask.key)
                if answer is not None:
                    return answer
                if loaded.version:
                    raise OrderExistsError(order_id)
            now = self.now()
            placed = place(self.process, sealed, by=by, order_id=order_id, now=now)
            if isinstance(placed, Refusal):
                return placed
            decided = self._settled_after(self.process, placed, now)
            change = self.change(
                self.process,
                StoredOrder(order_id=order_id),
                None,
                decided,
                now,
                receipt=ask.receipt(decided),
                texts=texts,
            )
            written = yield from commit(change)
            if written:
                return _outcome(decided, now)
            if written is None:
                doubts.add(change, _outcome(decided, now))
            # Taken meanwhile: by this very call, repeated, or by another.
            elif key is None and not doubts.changes:
                raise OrderExistsError(order_id)
        raise doubts.unknown()

    def execute(
        self,
        order_id: str,
        command: Command,
        by: Actor,
        key: str | None,
        if_version: int | None,
    ) -> Asking[Outcome | Refusal]:
        """
        See `Engine.attempt`.
        """
        answer = yield from self._executed(order_id, command, by, key, if_version)
        assert answer is not None
        return answer

    def report(
        self, order_id: str, command: Command, result: EffectResult
    ) -> Asking[bool]:
        """
        Write what became of an effect, and what it makes of the order, at once; false
        if its token is stale.
        """
        done = yield from self._executed(
            order_id, command, OUTBOX, None, None, result=result
        )
        return done is not None

    def _executed(
        self,
        order_id: str,
        command: Command,
        by: Actor,
        key: str | None,
        if_version: int | None,
        *,
        result: EffectResult | None = None,
    ) -> Asking[Outcome | Refusal | None]:
        """
        Execute a command.

        Args:
            result: What became of the effect that the command tells of; then the
                answer is `None` if its token is stale.
        """
        order_id = as_id(order_id, "order_id")
        by = as_actor(by)
        _known(command)
        if if_version is not None and type(if_version) is not int:
            raise InvalidInputError("if_version", "a whole number")
        sealed, texts = seal(command, by.id, self._salt)
        ask = _Ask(by, as_key(key), command, texts)
        doubts: Doubts[Outcome | Refusal] = Doubts(order_id)
        for _ in range(ROUNDS_MAX):
            loaded = yield from doubts.load(ask.key)
            # Whoever has a receipt took part when he got it: a mediator who is done
            # no longer does, and may repeat his last command all the same.
            if loaded.receipt is not None:
                return (yield from self._replayed(loaded, ask))
            doubted = yield from doubts.answer(loaded, ask.key)
            if doubted is not None:
                return doubted
            now = self.now()
            process, before, due = self._opened(loaded, by, command, now)
            if if_version is not None and if_version != due.order.version:
                # What is due is written all the same; the command is not judged.
                if (yield from self.written(process, loaded, before, due, now)):
                    raise OrderChangedError(
                        order_id, expected=if_version, actual=due.order.version
                    )
                continue
            rows: Mapping[str, StoredEffect] = {}
            if isinstance(command, money.COMMANDS) or due.order.holds:
                rows = yield from money.movements(order_id)
                if result is not None:
                    row = rows.get(result.key)
                    if row is None or row.token != result.token:
                        return None
                    if row.status != "claimed":
                        # Written already, though nobody could say so; or by somebody
                        # who reported what became of it.
                        mine = row.result == result.body
                        return _outcome(due, now) if mine else None
                due = money.noted(process, due, command, rows, result, now)
            besides = yield from self.flood(loaded, by, len(texts))
            judged = decide(process, due.order, sealed, by=by, now=now, besides=besides)
            answer: Outcome | Refusal
            if isinstance(judged, Refusal):
                assert judged.order is not None
                done = _joined(due, judged)
                answer = attrs.evolve(judged, order=seen(judged.order, now))
                change = self.change(
                    process,
                    loaded,
                    before,
                    done,
                    now,
                    results=money.settled(done, rows, result),
                )
            else:
                judged = self._settled_after(process, judged, now)
                done = _joined(due, judged)
                answer = _outcome(judged, now, due.order)
                change = self.change(
                    process,
                    loaded,
                    before,
                    done,
                    now,
                    receipt=ask.receipt(judged),
                    texts=texts,
                    results=money.settled(done, rows, result),
                )
            if not (change.events or change.receipt or change.results):
                if doubts.changes:
                    # What was sent may still arrive: then this is not the answer.
                    raise doubts.unknown()
                return answer
            written = yield from commit(change)
            if written:
                return answer
            if written is None:
                doubts.add(change, answer)
        if doubts.changes:
            raise doubts.unknown()
        raise OrderChangedError(order_id, expected=loaded.version, actual=None)

    def preview(
        self, order_id: str | None, command: Command, by: Actor
    ) -> Asking[Outcome | Refusal]:
        """
        See `Engine.preview`.
        """
        by = as_actor(by)
        now = self.now()
        if isinstance(command, PlaceOrder) and order_id is None:
            placed = place(self.process, command, by=by, order_id="preview", now=now)
            if isinstance(placed, Refusal):
                return placed
            return _outcome(self._settled_after(self.process, placed, now), now)
        order_id = as_id(order_id, "order_id")
        _known(command)
        loaded: StoredOrder = yield "load", (order_id,)
        process, _, due = self._opened(loaded, by, command, now)
        # Nothing is kept of it, so it needs no salt.
        _, texts = seal(command, by.id, bytes)
        besides = yield from self.flood(loaded, by, len(texts))
        answer = decide(process, due.order, command, by=by, now=now, besides=besides)
        if isinstance(answer, Refusal):
            assert answer.order is not None
            return attrs.evolve(answer, order=seen(answer.order, now))
        return _outcome(self._settled_after(process, answer, now), now, due.order)

    def flood(
        self, loaded: StoredOrder, by: Actor, texts: int
    ) -> Asking[tuple[Blocker, ...]]:
        """
        Return what is in the way of more texts: that this person has written enough.
        """
        if not texts or len(loaded.texts) + texts <= _TEXTS_MAX:
            return ()
        found: Iterable[StoredText] = yield "texts", (loaded.order_id,)
        mine = sum(text.subject_id == by.id for text in found)
        if mine + texts <= _TEXTS_MAX:
            return ()
        return (Blocker(code="too_many_texts", params={"maximum": _TEXTS_MAX}),)

    # --- reading ------------------------------------------------------------------

    def reading(self, loaded: StoredOrder, by: Actor | None) -> Decided:
        """
        Return an order as it is now, with what became due since it was written.

        Raises:
            OrderNotFoundError: If there is none, or *by* may not read it.
        """
        order = self.decoded(loaded)
        now = self.now()
        process = self.processes.get(order.fingerprint)
        # An order whose process is missing is readable all the same, as it was when
        # it was last written: what has become due since, nobody knows here.
        due = (
            Decided(order=seen(order, order.effective_at))
            if process is None
            else as_of(process, order, now)
        )
        if by is not None and not _may_read(due.order, by):
            raise OrderNotFoundError(loaded.order_id)
        return due

    def journal(self, order_id: str, until: int) -> Asking[list[StoredEvent]]:
        """
        Return the events of an order up to a number, as they are stored.
        """
        found: list[StoredEvent] = []
        while len(found) < until:
            page = yield "events", (order_id, len(found), HISTORY_PAGE)
            found += page
            if not page:
                break
        return found[:until]

    def recorded(
        self, loaded: StoredOrder, until: int | None = None
    ) -> Asking[tuple[Recorded, ...]]:
        """
        Return the history of an order, up to a number.
        """
        last = loaded.version if until is None else until
        found = yield from self.journal(loaded.order_id, last)
        with naming(loaded.order_id):
            return tuple(
                decode_event(stored, loaded.texts, self.events) for stored in found
            )

    # --- below the verbs ----------------------------------------------------------

    def decoded(self, loaded: StoredOrder) -> Order:
        """
        Return the order of what was loaded.

        Raises:
            OrderNotFoundError: If there is none.

            CorruptJournalError: If it cannot be read.
        """
        if not loaded.version or wallet.is_wallet(loaded.snapshot):
            raise OrderNotFoundError(loaded.order_id)
        order = self._read.get((loaded.snapshot, frozenset(loaded.texts)))
        if order is None:
            with naming(loaded.order_id):
                order = decode_order(loaded.snapshot, loaded.texts)
            self._remember(loaded.snapshot, loaded.texts, order)
        if (order.id, order.version) != (loaded.order_id, loaded.version):
            # Whatever is decided on it could not be written.
            raise CorruptJournalError(
                f"order {loaded.order_id!r}: its row is at version {loaded.version}, "
                f"and has order {order.id!r} at version {order.version} in it"
            )
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

    def process_of(self, order: Order) -> OrderProcess:
        """
        Return the process an order runs under.

        Raises:
            UnknownProcessError: If this engine lacks it.
        """
        process = self.processes.get(order.fingerprint)
        if process is None:
            raise UnknownProcessError(order.fingerprint)
        return process

    def settled(self, process: OrderProcess, order: Order, now: DateTime) -> Decided:
        """
        Return the order with what is due by now, each deadline at its own instant.
        """
        at = max(now, order.effective_at)
        return settle(process, order, now=at, recorded_at=max(at, order.recorded_at))

    def _opened(
        self, loaded: StoredOrder, by: Actor, command: Command, now: DateTime
    ) -> tuple[OrderProcess, Order, Decided]:
        """
        Return the process, the order, and the order with what is due by now.

        Raises:
            OrderNotFoundError: If this actor has no part in the order.
        """
        order = self.decoded(loaded)
        process = self.processes.get(order.fingerprint)
        if process is None:
            if not _takes_part(order, by):
                raise OrderNotFoundError(order.id)
            raise UnknownProcessError(order.fingerprint)
        due = self.settled(process, order, now)
        mediates = isinstance(command, AssignMediator) and _may_read(due.order, by)
        if not mediates and not _takes_part(due.order, by):
            raise OrderNotFoundError(order.id)
        return process, order, due

    def _settled_after(
        self, process: OrderProcess, decided: Decided, now: DateTime
    ) -> Decided:
        """
        Apply what a command itself made due at once.
        """
        due = self.settled(process, decided.order, now)
        return _joined(decided, due) if due.recorded else decided

    def written(
        self,
        process: OrderProcess,
        loaded: StoredOrder,
        before: Order,
        done: Decided,
        now: DateTime,
    ) -> Asking[bool]:
        """
        Commit what was due, if anything; false if it must be looked at again.
        """
        if not done.recorded:
            return True
        written = yield from commit(self.change(process, loaded, before, done, now))
        return written is True

    def change(
        self,
        process: OrderProcess,
        loaded: StoredOrder,
        before: Order | None,
        done: Decided,
        now: DateTime,
        *,
        receipt: Receipt | None = None,
        texts: tuple[StoredText, ...] = (),
        results: tuple[EffectResult, ...] = (),
    ) -> Change:
        """
        Return everything that is to be written.

        Args:
            before: The order that was loaded; `None` for a new one.

            now: When its effects are ready: not the instant of the last event, which
                may be that of a clock that was wrong.
        """
        order = done.order
        due = next_due(process, order)
        head = loaded.head
        events = []
        for recorded in done.recorded:
            event = encode_event(recorded, order.id, head)
            events.append(event)
            head = event.hash
        texts = said(texts, events)
        ready_at = to_micros(now)
        effects = money.encoded(done, ready_at)
        if self.publish and done.recorded:
            first, last = done.recorded[0].seq, done.recorded[-1].seq
            effects.append(encode_effect(published(order.id, first, last), ready_at))
        snapshot = loaded.snapshot
        if events:
            snapshot = encode_order(order)
            refs = (*loaded.texts, *(text.ref for text in texts))
            self._remember(snapshot, refs, order)
        return Change(
            **summary(order, before),
            expected_version=loaded.version,
            snapshot=snapshot,
            due_at=None if due is None else to_micros(due[0]),
            events=tuple(events),
            effects=tuple(effects),
            results=results,
            receipt=receipt,
            texts=texts,
        )

    def _replayed(self, loaded: StoredOrder, ask: _Ask) -> Asking[Outcome]:
        receipt = loaded.receipt
        assert receipt is not None
        if not ask.repeats(receipt, loaded.texts):
            raise KeyReusedError(ask.plain_key)
        history = yield from self.recorded(loaded, until=receipt.last)
        if not is_sound(receipt, len(history)):
            raise CorruptJournalError(
                f"order {loaded.order_id!r}: a key stands for events that are not there"
            )
        before, events = history[: receipt.first - 1], history[receipt.first - 1 :]
        order = found = fold(before) if before else None
        effects: list[Effect] = []
        for recorded in events:
            order = evolve(order, recorded)
            effects += effects_of(order, recorded)
        assert order is not None
        return Outcome(
            order=seen(order, order.recorded_at),
            events=events,
            effects=tuple(effects),
            replayed=True,
            state_before="" if found is None else found.state,
        )


# --- what the core is made of -----------------------------------------------------


@contextmanager
def naming(order_id: str) -> Iterator[None]:
    """
    Say of which order or wallet it is that something cannot be read.
    """
    try:
        yield
    except CorruptJournalError as error:
        what = wallet.what_is(order_id)
        raise CorruptJournalError(f"{what} {order_id!r}: {error}") from error


def commit(change: Change) -> Asking[bool | None]:
    """
    Write a change; false if somebody else was faster, `None` if nobody knows.
    """
    try:
        (result,) = yield "commit", ((change,),)
    except OutcomeUnknownError:
        return None
    return result is CommitResult.DONE


def settled_effect(order_id: str, result: EffectResult) -> Asking[bool]:
    """
    Write what became of an effect; false if its token is stale.
    """
    for _ in range(DOUBTS_MAX):
        try:
            current: bool = yield "settle_effect", (order_id, result)
        except OutcomeUnknownError:
            # Writing it twice is writing it once, until it is claimed again; but
            # what is done stays done.
            effects: tuple[StoredEffect, ...] = yield "effects", (order_id,)
            if any(
                (one.key, one.token, one.status, one.result)
                == (result.key, result.token, result.status, result.body)
                for one in effects
            ):
                return True
        else:
            return current
    raise OutcomeUnknownError(
        f"order {order_id!r}: what became of effect {result.key!r} may not have been "
        "written"
    )


def as_query(
    party: str | None,
    role: Role | str | None,
    states: Collection[str] | None,
    unassigned: bool,
) -> Query:
    """
    Return what is looked for, checked.
    """
    if isinstance(role, str):
        role = Role.of(role)
    if role is not None and not isinstance(role, Role):
        raise InvalidInputError("role", f"a role such as 'buyer', not {kind_of(role)}")
    if states is not None:
        if isinstance(states, str) or not isinstance(states, Collection):
            raise InvalidInputError("states", "several states, not a single one")
        states = tuple(as_id(state, "states") for state in states)
    if not isinstance(unassigned, bool):
        raise InvalidInputError("unassigned", "true or false")
    return Query(
        party=None if party is None else as_id(party, "party"),
        role=None if role is None else role.text,
        states=states,
        unassigned=unassigned,
        unknown_to=(wallet.FINGERPRINT,),
    )


def is_sound(receipt: Receipt, version: int) -> bool:
    """
    Whether a receipt stands for events that are there, or for none.
    """
    return 1 <= receipt.first <= receipt.last + 1 <= version + 1


# A receipt's key stands in one index beside the id of its order.
_RECEIPT_KEY_MAX: Final = 100


def _receipt_key(by: Actor, key: str) -> str:
    """
    Return the key of a receipt: actor and key, or a hash of them if they are long.
    """
    # A key is an actor's own: two people may use the same.
    plain = f"{by}\x1f{key}".encode()
    if len(plain) <= _RECEIPT_KEY_MAX:
        return plain.decode()
    # Nothing plain begins like that: a role comes first.
    return f"#{hashlib.sha256(plain).hexdigest()}"


@final
class _Ask:
    """
    A command on its way in: who, under which key, saying what.
    """

    __slots__ = ("_command", "_texts", "key", "plain_key")

    def __init__(
        self,
        by: Actor,
        key: str | None,
        command: Command,
        texts: tuple[StoredText, ...],
    ) -> None:
        self.plain_key = key or ""
        self.key = None if key is None else _receipt_key(by, key)
        self._command = command
        self._texts = texts

    def receipt(self, done: Decided) -> Receipt | None:
        """
        Return what the key stands for from now on; `None` without a key.

        The texts of the command are in it as their commitments: erased, they leave
        nothing behind that could be guessed.
        """
        if self.key is None:
            return None
        last = done.order.version
        refs = (text.ref for text in self._texts)
        return Receipt(
            key=self.key,
            fingerprint=" ".join((content_hash(self._command), *refs)),
            first=last - len(done.recorded) + 1,
            last=last,
        )

    def repeats(self, receipt: Receipt, texts: Mapping[str, str]) -> bool:
        """
        Whether this is the command of a receipt; a text that was erased is taken
        for the same.
        """
        said, *refs = receipt.fingerprint.split(" ")
        return (
            said == content_hash(self._command)
            and len(refs) == len(self._texts)
            and all(
                texts.get(ref, mine.text) == mine.text
                for ref, mine in zip(refs, self._texts, strict=True)
            )
        )


def published(order_id: str, first: int, last: int) -> Publish:
    """
    Return the effect that tells of some events of one commit.
    """
    return Publish(
        order_id=order_id,
        seq=last,
        key=effect_key(order_id, last, Publish.name, str(first)),
        first=first,
        last=last,
    )


def summarised(fields: Mapping[str, Any]) -> Summary:
    """
    Return what a storage must have kept beside a snapshot.
    """
    kept = {name: fields[name] for name in attrs.fields_dict(Summary)}
    return Summary(**{**kept, "parties": tuple(sorted(set(kept["parties"])))})


def summary(order: Order, before: Order | None) -> dict[str, Any]:
    """
    Return what a storage may know of an order without reading it.
    """
    ledger = order.ledger
    parties = None
    if before is None or before.mediator_id != order.mediator_id:
        parties = _parties(order)
    return {
        "order_id": order.id,
        "version": order.version,
        "process": order.process,
        "fingerprint": order.fingerprint,
        "state": str(order.state),
        "late": order.late,
        "books": Books(
            currency=order.currency,
            price=order.price.minor,
            paid_in=ledger.paid_in.minor,
            held=ledger.escrow,
            refunded=ledger.refundable + ledger.buyer,
            released=ledger.payable + ledger.seller,
            kept=ledger.fee,
        ),
        "parties": parties,
        "unassigned": _unassigned(order),
    }


def _outcome(decided: Decided, now: DateTime, before: Order | None = None) -> Outcome:
    return Outcome(
        order=seen(decided.order, max(now, decided.order.effective_at)),
        events=decided.recorded,
        effects=decided.effects,
        state_before="" if before is None else before.state,
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
    if isinstance(command, PlaceOrder):
        raise InvalidInputError(
            "command", "an order is placed with `place`; this one exists already"
        )
    if not isinstance(command, Command):
        raise InvalidInputError("command", f"a command, not {kind_of(command)}")


def _derived(process: str, by: Actor, key: str) -> str:
    text = "\x1f".join((process, by.id, key))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _takes_part(order: Order, by: Actor) -> bool:
    if by.role is Role.OPERATOR or by.role is Role.PROVIDER:
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
