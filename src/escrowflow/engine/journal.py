"""
The journal as evidence: proving it, taking it elsewhere, and erasing texts from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, final

import attrs

from ..clock import to_micros
from ..decisions import next_due
from ..decisions.outbox import effects_of
from ..effects import Publish
from ..errors import (
    CorruptJournalError,
    EscrowflowError,
    InvalidInputError,
    OrderExistsError,
    OrdersRunningError,
)
from ..history import evolve
from ..inputs import as_id
from ..order import Order
from ..storage import (
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
)
from ..storage.chain import first_broken
from ..storage.codec import decode_event, decode_order, encode_effect, encode_order
from .core import Asking, Core, summary

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

# The form of an exported line.
_FORM: Final = 1

# --- proving ----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Fault:
    """
    Something in a storage that is not as it was written.

    Attributes:
        order_id: The order.

        seq: The number of the first event that is wrong; `None` if it is not an
            event.

        problem: What is wrong.
    """

    order_id: str
    seq: int | None = None
    problem: str

    def __str__(self) -> str:
        where = f"order {self.order_id!r}"
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

        events: How many events.

        faults: What is wrong, at most one an order; empty if all is well.
    """

    orders: int = 0
    events: int = 0
    faults: tuple[Fault, ...] = ()


def verify(core: Core, order_id: str | None) -> Asking[Verified]:
    """
    See `Engine.verify`.
    """
    orders = events = 0
    faults: list[Fault] = []
    after: str | None = None
    while True:
        if order_id is not None:
            loaded: StoredOrder = yield "load", (as_id(order_id, "order_id"),)
            page = Page((loaded,) if loaded.version else ())
        else:
            page = yield "find", (Query(), after, _PAGE)
        for loaded in page.items:
            journal = yield from core.journal(loaded.order_id, loaded.version)
            effects: tuple[StoredEffect, ...] = yield "effects", (loaded.order_id,)
            texts: tuple[StoredText, ...] = yield "texts", (loaded.order_id,)
            orders += 1
            events += len(journal)
            fault = next(_faults(core, loaded, journal, effects, texts), None)
            if fault is not None:
                faults.append(fault)
        after = page.after
        if after is None:
            return Verified(orders=orders, events=events, faults=tuple(faults))


def _faults(
    core: Core,
    loaded: StoredOrder,
    journal: list[StoredEvent],
    effects: Iterable[StoredEffect],
    texts: Iterable[StoredText],
) -> Iterator[Fault]:
    """
    Yield what is wrong with an order, the first thing first.
    """
    order_id = loaded.order_id

    def fault(problem: str, seq: int | None = None) -> Fault:
        return Fault(order_id=order_id, seq=seq, problem=problem)

    numbers = [event.seq for event in journal]
    expected = [*range(1, loaded.version + 1)]
    if numbers != expected:
        missing = next(
            (seq for seq in expected if seq not in set(numbers)), loaded.version
        )
        yield fault("the history has a gap", missing)
    broken = first_broken(order_id, journal)
    if broken is not None:
        yield fault("its hash is not that of what it says", broken)
    if journal and journal[-1].hash != loaded.head:
        yield fault("the history does not end where the order does", loaded.version)
    for text in texts:
        if hashlib.sha256(text.salt + text.text.encode()).hexdigest()[:40] != text.ref:
            yield fault(f"text {text.ref} is not the one that was written")
    order: Order | None = None
    asked: dict[str, NewEffect] = {}
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
        settled += recorded.event.settles
        if not order.ledger.adds_up():
            yield fault("the books do not add up", stored.seq)
        if settled > 1:
            yield fault("the order is settled a second time", stored.seq)
    if order is None:
        return
    if encode_order(order) != loaded.snapshot:
        yield fault("the stored order is not what its history adds up to")
    process = core.processes.get(order.fingerprint)
    if process is not None:
        due = next_due(process, order)
        if loaded.due_at != (None if due is None else to_micros(due[0])):
            yield fault("it waits for another instant than its history says")
    there = {effect.key: effect for effect in effects if effect.kind != Publish.name}
    for key in {**asked, **there}:
        new, old = asked.get(key), there.get(key)
        if new is None or old is None:
            verb = "was never asked for" if new is None else "is missing"
            yield fault(f"effect {key} {verb}")
        elif (new.kind, new.seq, new.body) != (old.kind, old.seq, old.body):
            yield fault(f"effect {key} is not the one that was asked for", old.seq)


# --- taking it elsewhere ----------------------------------------------------------


def exported(core: Core, after: str | None) -> Asking[tuple[list[str], str | None]]:
    """
    Return some orders as lines of JSON, one each, and where the next ones begin.
    """
    page: Page[StoredOrder] = yield "find", (Query(), after, _PAGE)
    lines = []
    for loaded in page.items:
        order_id = loaded.order_id
        events = yield from core.journal(order_id, loaded.version)
        effects: tuple[StoredEffect, ...] = yield "effects", (order_id,)
        receipts: tuple[Receipt, ...] = yield "receipts", (order_id,)
        texts: tuple[StoredText, ...] = yield "texts", (order_id,)
        line = {
            "escrowflow": _FORM,
            "order_id": order_id,
            "due_at": loaded.due_at,
            "snapshot": loaded.snapshot.decode(),
            "events": [_plain(event) for event in events],
            "effects": [_plain(effect) for effect in effects],
            "receipts": [_plain(receipt) for receipt in receipts],
            "texts": [_plain(text) for text in texts],
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
    written = 0
    changes: list[_Restored] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            changes.append(_change(core, line, number))
        if len(changes) == _BATCH:
            written += yield from _restored(changes)
            changes = []
    if changes:
        written += yield from _restored(changes)
    return written


def _restored(changes: list[_Restored]) -> Asking[int]:
    results = yield "commit", (tuple(change for change, _ in changes),)
    for (change, receipts), result in zip(changes, results, strict=True):
        if result is not CommitResult.DONE:
            loaded: StoredOrder = yield "load", (change.order_id,)
            if loaded.head != change.events[-1].hash:
                raise OrderExistsError(change.order_id)
        # A change has one receipt at most; one that is there already conflicts.
        for receipt in receipts:
            more = attrs.evolve(
                change,
                expected_version=change.version,
                events=(),
                effects=(),
                texts=(),
                receipt=receipt,
            )
            yield "commit", ((more,),)
    return sum(result is CommitResult.DONE for result in results)


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
        texts = tuple(_made(StoredText, text) for text in plain["texts"])
        effects = tuple(_effect(effect) for effect in plain["effects"])
        receipts = tuple(_made(Receipt, receipt) for receipt in plain["receipts"])
        snapshot = plain["snapshot"].encode()
        due_at = plain["due_at"]
        loaded = StoredOrder(
            order_id=order_id,
            version=len(events),
            snapshot=snapshot,
            head=events[-1].hash,
            due_at=due_at,
            texts={text.ref: text.text for text in texts},
        )
    except InvalidInputError:
        raise
    except Exception as error:
        raise InvalidInputError(f"lines[{number}]", "not an exported order") from error
    journal = [StoredEvent(**attrs.asdict(event, recurse=False)) for event in events]
    stored = [
        StoredEffect(order_id=order_id, token=0, **attrs.asdict(effect, recurse=False))
        for effect in effects
    ]
    fault = next(_faults(core, loaded, journal, stored, texts), None)
    if fault is not None:
        raise CorruptJournalError(f"line {number}: {fault}")
    change = Change(
        **summary(decode_order(snapshot, loaded.texts), None),
        expected_version=0,
        snapshot=snapshot,
        due_at=due_at,
        events=events,
        effects=effects,
        texts=texts,
    )
    return change, receipts


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
    running: list[str] = []
    after: str | None = None
    while True:
        page: Page[StoredOrder] = yield "find", (Query(party=subject_id), after, _PAGE)
        running += (
            loaded.order_id
            for loaded in page.items
            if core.decoded(loaded).ending is None
        )
        after = page.after
        if after is None:
            break
    if running:
        raise OrdersRunningError(subject_id, running)
    core.forget()
    erased: int = yield "erase_texts", (subject_id,)
    core.forget()
    return erased
