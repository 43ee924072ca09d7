"""
The journal as evidence: proving it, taking it elsewhere, and erasing texts from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, final

import attrs

from ..clock import from_micros, to_micros
from ..decisions import next_due
from ..decisions.outbox import effects_of
from ..effects import Publish
from ..errors import (
    CorruptJournalError,
    EscrowflowError,
    InvalidInputError,
    KeyReusedError,
    OrderExistsError,
    OrderNotFoundError,
    OrdersRunningError,
    StorageError,
)
from ..history import evolve
from ..inputs import as_id
from ..order import Order
from ..storage import (
    LIMIT_MAX,
    Change,
    CommitResult,
    NewEffect,
    NewEvent,
    Page,
    Query,
    Receipt,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
    Summary,
)
from ..storage.chain import first_broken
from ..storage.checks import check_values
from ..storage.codec import (
    commitment,
    decode_effect,
    decode_event,
    decode_order,
    decode_wallet,
    encode_effect,
    encode_order,
    load_result,
    refs_in,
)
from ..wallet import is_wallet, what_is
from .core import Asking, Core, is_sound, published, summarised, summary
from .wallet_rows import faults as wallet_faults
from .wallet_rows import wallet_summary

__all__ = [
    "Fault",
    "Verified",
    "erase",
    "exported",
    "restore",
    "verify",
]

_PAGE: Final = 100
_BATCH: Final = 50

_Restored: TypeAlias = tuple[Change, tuple[Receipt, ...]]

# How often an order is read again because it moved on.
_READINGS_MAX: Final = 64

# The form of an exported line.
_FORM: Final = 1

# --- proving ----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Fault:
    """
    Something in a storage that is not as it was written.

    Attributes:
        order_id: The order, or the wallet.

        seq: The number of the first event that is wrong; `None` if it is not an
            event.

        problem: What is wrong.
    """

    order_id: str
    seq: int | None = None
    problem: str

    def __str__(self) -> str:
        where = f"{what_is(self.order_id)} {self.order_id!r}"
        if self.seq is not None:
            where += f", event {self.seq}"
        return f"{where}: {self.problem}"


@final
@attrs.frozen(kw_only=True)
class Verified:
    """
    What a proof has looked at, and found.

    Attributes:
        orders: How many orders.

        wallets: How many wallets, and ids of orders that are barred.

        events: How many events.

        faults: What is wrong, at most one each; empty if all is well.
    """

    orders: int = 0
    wallets: int = 0
    events: int = 0
    faults: tuple[Fault, ...] = ()


def verify(core: Core, order_id: str | None) -> Asking[Verified]:
    """
    See `Engine.verify`.
    """
    orders = wallets = events = 0
    faults: list[Fault] = []
    after: str | None = None
    while True:
        if order_id is not None:
            loaded: StoredOrder = yield "load", (as_id(order_id, "order_id"),)
            if not loaded.version:
                raise OrderNotFoundError(order_id)
            page = Page((loaded,))
        else:
            page = yield "find", (Query(), after, _PAGE)
        for found in page.items:
            whole = yield from _whole(core, found)
            is_one = is_wallet(found.snapshot)
            wallets += is_one
            orders += not is_one
            events += len(whole.events)
            fault = next(_faults(core, whole), None)
            if fault is not None:
                faults.append(fault)
        after = page.after
        if after is None:
            return Verified(
                orders=orders, wallets=wallets, events=events, faults=tuple(faults)
            )


@final
@attrs.frozen
class _Whole:
    """
    All that is stored of an order, as it was at one moment.
    """

    order: StoredOrder
    summary: Summary | None
    events: Sequence[StoredEvent]
    effects: Sequence[StoredEffect]
    receipts: Sequence[Receipt]
    texts: Sequence[StoredText]


def _whole(core: Core, loaded: StoredOrder) -> Asking[_Whole]:
    """
    Return all of an order; read again if it moved on meanwhile.
    """
    order_id = loaded.order_id
    for _ in range(_READINGS_MAX):
        whole = _Whole(
            order=loaded,
            summary=(yield "summary", (order_id,)),
            # One more than there are: nobody may have added one.
            events=(yield from core.journal(order_id, loaded.version + 1)),
            effects=(yield "effects", (order_id,)),
            receipts=(yield "receipts", (order_id,)),
            texts=(yield "texts", (order_id,)),
        )
        before, loaded = loaded, (yield "load", (order_id,))
        if (before.version, before.head) == (loaded.version, loaded.head):
            return whole
    raise StorageError(f"order {order_id!r} moves on faster than it can be read")


def _faults(core: Core, whole: _Whole) -> Iterator[Fault]:
    """
    Yield what is wrong with an order, the first thing first.
    """
    loaded, journal = whole.order, whole.events
    order_id = loaded.order_id

    def fault(problem: str, seq: int | None = None) -> Fault:
        return Fault(order_id=order_id, seq=seq, problem=problem)

    for expected, event in enumerate(journal, 1):
        if event.seq != expected:
            yield fault("the history has a gap", expected)
    if len(journal) > loaded.version:
        yield fault("the history goes on where the order ends", loaded.version + 1)
    if len(journal) < loaded.version:
        yield fault("the history has a gap", len(journal) + 1)
    broken = first_broken(order_id, journal)
    if broken is not None:
        yield fault("its hash is not that of what it says", broken)
    if journal and journal[-1].hash != loaded.head:
        yield fault("the history does not end where the order does", loaded.version)
    for text in whole.texts:
        if commitment(text.salt, text.text) != text.ref:
            yield fault(f"text {text.ref} is not the one that was written")
    for receipt in whole.receipts:
        if not is_sound(receipt, loaded.version):
            yield fault(f"key {receipt.key!r} stands for events that are not there")
    asked: dict[str, NewEffect] = {}
    if is_wallet(loaded.snapshot):
        if whole.texts:
            yield fault("a wallet keeps no texts")
        for problem, seq in wallet_faults(
            loaded, journal, whole.receipts, whole.summary, asked
        ):
            yield fault(problem, seq)
        for problem, seq in _effect_faults(whole, asked):
            yield fault(problem, seq)
        return
    order: Order | None = None
    whose: dict[str, str] = {}
    settled = 0
    for stored in journal:
        try:
            recorded = decode_event(stored, loaded.texts, core.events)
            order = evolve(order, recorded)
            for effect in effects_of(order, recorded):
                asked[effect.key] = encode_effect(effect, 0)
        except EscrowflowError as error:
            yield fault(str(error), stored.seq)
            return
        for ref in refs_in(stored.body):
            whose.setdefault(ref, recorded.by.id)
        settled += recorded.event.settles
        if not order.ledger.adds_up():
            yield fault("the books do not add up", stored.seq)
        if settled > 1:
            yield fault("the order is settled a second time", stored.seq)
    if order is None:
        return
    if order.id != order_id:
        yield fault(f"its history is that of {order.id!r}")
    if encode_order(order) != loaded.snapshot:
        yield fault("the stored order is not what its history adds up to")
    if whole.summary != summarised(summary(order, None)):
        yield fault("what is kept beside the stored order is not what it says")
    if loaded.due_at not in _waits(core, order):
        yield fault("it waits for another instant than its history says")
    for text in whole.texts:
        if whose.get(text.ref) != text.subject_id:
            yield fault(f"text {text.ref} is not of whom it says")
    for problem, seq in _effect_faults(whole, asked):
        yield fault(problem, seq)


def _effect_faults(
    whole: _Whole, asked: dict[str, NewEffect]
) -> Iterator[tuple[str, int | None]]:
    """
    Yield what is wrong with the effects, each with the number of its event.

    Args:
        asked: Those that the history asks for.
    """
    there = {effect.key: effect for effect in whole.effects}
    if len(there) < len(whole.effects):
        yield "an effect is there twice", None
    for stored_effect in whole.effects:
        key = stored_effect.key
        try:
            load_result(stored_effect.result)
        except CorruptJournalError as error:
            yield f"effect {key}: {error}", stored_effect.seq
        if stored_effect.kind == Publish.name:
            told = _told(stored_effect, whole.order.version)
            if told is not None:
                asked[key] = told
    for key in {**asked, **there}:
        new, old = asked.get(key), there.get(key)
        if new is None or old is None:
            verb = "was never asked for" if new is None else "is missing"
            yield f"effect {key} {verb}", None
        elif _asked(new) != _asked(old):
            yield f"effect {key} is not the one that was asked for", old.seq


def _asked(effect: NewEffect | StoredEffect) -> tuple[Any, ...]:
    return effect.kind, effect.seq, effect.moves_money, effect.body


def _told(stored: StoredEffect, version: int) -> NewEffect | None:
    """
    Return the effect that would tell of the same events; `None` if there are no such
    events, or it would have another key.
    """
    try:
        said = decode_effect(stored.body, Publish)
        if not 1 <= said.first <= said.last <= version:
            return None
        told = encode_effect(published(stored.order_id, said.first, said.last), 0)
    except Exception:
        # Whatever else it is, it tells of nothing.
        return None
    return told if told.key == stored.key else None


def _waits(core: Core, order: Order) -> Collection[int | None]:
    """
    Return the instants at which an order may be acted on next.
    """
    process = core.processes.get(order.fingerprint)
    if process is not None:
        due = next_due(process, order)
        return (None if due is None else to_micros(due[0]),)
    if not order.deadlines:
        return (None,)
    # Whether the end itself is inside is known to its process only.
    end = to_micros(order.deadlines[0].due_at)
    return (end, end + 1)


# --- taking it elsewhere ----------------------------------------------------------


def exported(core: Core, after: str | None) -> Asking[tuple[list[str], str | None]]:
    """
    Return some orders as lines of JSON, one each, and where the next ones begin.
    """
    page: Page[StoredOrder] = yield "find", (Query(), after, _PAGE)
    lines = []
    for found in page.items:
        whole = yield from _whole(core, found)
        line = {
            "escrowflow": _FORM,
            "order_id": whole.order.order_id,
            "due_at": whole.order.due_at,
            "snapshot": whole.order.snapshot.decode(),
            "events": [_plain(event) for event in whole.events],
            "effects": [_plain(effect) for effect in whole.effects],
            "receipts": [_plain(receipt) for receipt in whole.receipts],
            "texts": [_plain(text) for text in whole.texts],
        }
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
    return lines, page.after


_HEX: Final = frozenset({"hash", "salt"})


def _plain(value: Any) -> dict[str, Any]:
    plain = attrs.asdict(value, recurse=False)
    for name, item in plain.items():
        if isinstance(item, bytes):
            plain[name] = item.hex() if name in _HEX else item.decode()
    return plain


def _made(kind: Any, plain: Mapping[str, Any]) -> Any:
    fields = {}
    for field in attrs.fields(kind):
        if field.name in plain:
            item = plain[field.name]
            if field.type == "bytes":
                item = bytes.fromhex(item) if field.name in _HEX else item.encode()
            fields[field.name] = item
    return kind(**fields)


def restore(core: Core, lines: Iterable[str]) -> Asking[int]:
    """
    See `Engine.restore`.
    """
    if isinstance(lines, str) or not isinstance(lines, Iterable):
        raise InvalidInputError("lines", "the lines of an export, one by one")
    written = 0
    batch: dict[str, _Restored] = {}
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str):
            raise InvalidInputError(f"lines[{number}]", "not an exported order")
        if not line.strip():
            continue
        restored = _change(core, line, number)
        order_id = restored[0].order_id
        if len(batch) == _BATCH or order_id in batch:
            written += yield from _written([*batch.values()])
            batch = {}
        batch[order_id] = restored
    if batch:
        written += yield from _written([*batch.values()])
    return written


def _written(batch: list[_Restored]) -> Asking[int]:
    results = yield "commit", (tuple(change for change, _ in batch),)
    for (change, receipts), result in zip(batch, results, strict=True):
        if result is not CommitResult.DONE:
            # The same history, and perhaps more by now.
            there: Sequence[StoredEvent] = yield (
                "events",
                (change.order_id, change.version - 1, 1),
            )
            if not there or there[0].hash != change.events[-1].hash:
                raise OrderExistsError(change.order_id)
        for receipt in receipts:
            yield from _noted(change, receipt)
    return sum(result is CommitResult.DONE for result in results)


def _noted(change: Change, receipt: Receipt) -> Asking[None]:
    """
    Write a receipt of an order that is there, however it moves on meanwhile.
    """
    for _ in range(_READINGS_MAX):
        loaded: StoredOrder = yield "load", (change.order_id, receipt.key)
        if loaded.receipt is not None:
            if loaded.receipt != receipt:
                raise KeyReusedError(receipt.key)
            return
        # Nothing of the order is changed: its row is written as it is.
        same = Change(
            **{**_kept(loaded), "parties": None},
            expected_version=loaded.version,
            snapshot=loaded.snapshot,
            due_at=loaded.due_at,
            receipt=receipt,
        )
        (result,) = yield "commit", ((same,),)
        if result is CommitResult.DONE:
            return
    raise StorageError(f"order {change.order_id!r} moves on faster than it can be read")


def _change(core: Core, line: str, number: int) -> _Restored:
    """
    Return what writes one exported order, and its receipts.

    Raises:
        InvalidInputError: If the line was not exported.

        CorruptJournalError: If it was changed since.
    """
    try:
        plain = json.loads(line)
        if plain["escrowflow"] != _FORM:
            raise InvalidInputError(
                f"lines[{number}]", "exported by a newer release: use that one"
            )
        order_id = as_id(plain["order_id"], f"lines[{number}].order_id")
        events = tuple(_made(NewEvent, event) for event in plain["events"])
        effects = tuple(_effect(effect) for effect in plain["effects"])
        texts = tuple(_made(StoredText, text) for text in plain["texts"])
        receipts = tuple(_made(Receipt, receipt) for receipt in plain["receipts"])
        order = StoredOrder(
            order_id=order_id,
            version=len(events),
            snapshot=plain["snapshot"].encode(),
            head=events[-1].hash,
            due_at=plain["due_at"],
            texts={text.ref: text.text for text in texts},
        )
        fields = _kept(order)
        kept = summarised(fields)
        change = Change(
            **fields,
            expected_version=0,
            snapshot=order.snapshot,
            due_at=order.due_at,
            events=events,
            effects=effects,
            texts=texts,
        )
        check_values(order_id, change, change.books, *events, *effects, *texts)
        check_values(order_id, *receipts)
        for effect in effects:
            from_micros(effect.ready_at)
            load_result(effect.result)
    except InvalidInputError:
        raise
    except Exception as error:
        raise InvalidInputError(f"lines[{number}]", "not an exported order") from error
    whole = _Whole(
        order=order,
        summary=kept,
        events=[StoredEvent(**_fields(event)) for event in events],
        effects=[
            StoredEffect(order_id=order_id, token=0, **_fields(effect))
            for effect in effects
        ],
        receipts=receipts,
        texts=texts,
    )
    fault = next(_faults(core, whole), None)
    if fault is not None:
        raise CorruptJournalError(f"line {number}: {fault}")
    return change, receipts


def _kept(loaded: StoredOrder) -> dict[str, Any]:
    """
    Return what a storage may know of an order or a wallet without reading it.
    """
    if is_wallet(loaded.snapshot):
        return wallet_summary(decode_wallet(loaded.snapshot), new=True)
    return summary(decode_order(loaded.snapshot, loaded.texts), None)


def _fields(value: NewEvent | NewEffect) -> dict[str, Any]:
    return attrs.asdict(value, recurse=False)


def _effect(plain: Mapping[str, Any]) -> NewEffect:
    effect: NewEffect = _made(NewEffect, plain)
    # Whoever had claimed it there will not answer here.
    if effect.status == "claimed":
        effect = attrs.evolve(effect, status="waiting")
    return effect


# --- erasing ----------------------------------------------------------------------


def erase(core: Core, subject_id: str) -> Asking[int]:
    """
    See `Engine.erase`.
    """
    subject_id = as_id(subject_id, "subject_id")
    running = yield from _orders(core, Query(party=subject_id), ended=False)
    # Who no longer takes part, or never did, may have written something, too.
    running += yield from _orders(core, Query(subject=subject_id), ended=False)
    if running:
        raise OrdersRunningError(subject_id, sorted(set(running)))
    # Those that have ended, by name: the texts of one that begins meanwhile stay.
    ended = yield from _orders(core, Query(subject=subject_id), ended=True)
    erased = 0
    core.forget()
    for start in range(0, len(ended) or 1, LIMIT_MAX):
        some = ended[start : start + LIMIT_MAX]
        erased += yield "erase_texts", (subject_id, some)
    core.forget()
    return erased


def _orders(core: Core, query: Query, *, ended: bool) -> Asking[list[str]]:
    """
    Return the ids of the orders that fit a query, and have ended or still run.
    """
    found: list[str] = []
    after: str | None = None
    while True:
        page: Page[StoredOrder] = yield "find", (query, after, _PAGE)
        found += (
            loaded.order_id
            for loaded in page.items
            if _has_ended(core, loaded) is ended
        )
        after = page.after
        if after is None:
            return found


def _has_ended(core: Core, loaded: StoredOrder) -> bool:
    try:
        return core.decoded(loaded).ending is not None
    except CorruptJournalError:
        # Nobody can tell, so its texts may still be evidence.
        return False
