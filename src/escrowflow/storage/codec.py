"""
How orders and events become bytes, and back.

One canonical form: JSON with sorted keys, UTF-8, instants and windows as whole
microseconds, money as whole minor units.  What equals its default is left out.

A personal text is never written here.  Its place is taken by its commitment, a
salted hash; the words travel beside, in the text table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from pendulum import DateTime

from ..clock import from_micros, to_micros
from ..commands import Command
from ..effects import Effect, Fact, Movement
from ..errors import CorruptJournalError, InvalidInputError, LedgerError
from ..events import EVENTS, Event, Recorded
from ..forms import plain
from ..inputs import FrozenDict, Text
from ..money import Money, Payment
from ..order import Order
from ..parties import Actor, Role, actor_from
from ..parts import Standing
from ..states import State
from ..terms import RULINGS, Ruling
from ..wallet import MARK, Keyed, Wallet, is_wallet
from . import NewEffect, NewEvent, StoredEvent, StoredText
from .chain import link

__all__ = [
    "commitment",
    "content_hash",
    "decode_effect",
    "decode_event",
    "decode_order",
    "decode_wallet",
    "dump_result",
    "encode_effect",
    "encode_event",
    "encode_order",
    "encode_wallet",
    "entry_hash",
    "load_result",
    "refs_in",
    "said",
    "seal",
]

_T = TypeVar("_T")

_MICROSECOND: Final = timedelta(microseconds=1)
_RULING_NAMES: Final = {kind: name for name, kind in RULINGS.items()}
_STATES: Final[Mapping[str, str]] = {state.value: state for state in State}

# How a commitment stands in for a text.
_SEALED: Final = "#"


def _build() -> Converter:
    converter = Converter(detailed_validation=False)

    # The last hook that fits is taken: what is true of all classes comes first.
    converter.register_unstructure_hook_factory(
        attrs.has, lambda kind: _writer(converter, kind)
    )
    converter.register_structure_hook_factory(
        attrs.has, lambda kind: _reader(converter, kind)
    )

    def leaf(kind: Any, out: Callable[[Any], Any], into: Callable[[Any], Any]) -> None:
        converter.register_unstructure_hook_func(lambda t: t == kind, out)
        converter.register_structure_hook_func(
            lambda t: t == kind, lambda value, _: into(value)
        )

    leaf(DateTime, to_micros, from_micros)
    leaf(timedelta, lambda w: w // _MICROSECOND, lambda v: timedelta(microseconds=v))
    leaf(Money, lambda m: [m.minor, m.currency], lambda v: Money(v[0], v[1]))
    leaf(Actor, str, actor_from)
    # By their classes: hooks for an enum and for `str`, which they are too, come before
    # all that are found by asking (in some versions), and would write the number, and
    # the words themselves.
    converter.register_unstructure_hook(Role, lambda role: role.text)
    converter.register_structure_hook(Role, lambda value, _: Role.of(value))
    converter.register_unstructure_hook(Text, _commitment)
    converter.register_structure_hook(Text, lambda value, _: _text(value))
    leaf(
        Payment,
        lambda p: [
            p.method,
            p.reference,
            None if p.amount is None else [p.amount.minor, p.amount.currency],
            *(() if p.held_until is None else (to_micros(p.held_until),)),
        ],
        lambda v: Payment(
            v[0],
            v[1],
            None if v[2] is None else Money(*v[2]),
            from_micros(v[3]) if len(v) > 3 else None,
        ),
    )
    # What JSON has already: a number of revisions or a word, a host's own data.
    leaf(int | str, lambda v: v, lambda v: v)

    def ruling_out(value: Any) -> dict[str, Any]:
        kind = type(value)
        fields = converter.unstructure(value, kind)
        return {"kind": _RULING_NAMES[kind], **fields}

    def ruling_in(value: dict[str, Any], _: Any) -> Any:
        fields = dict(value)
        return converter.structure(fields, RULINGS[fields.pop("kind")])

    converter.register_unstructure_hook_func(_is_ruling, ruling_out)
    converter.register_structure_hook_func(_is_ruling, ruling_in)
    converter.register_structure_hook_func(
        lambda t: t in (object, Any), lambda value, _: value
    )
    # Shared by every reader of an order: nobody may change what it holds.
    converter.register_structure_hook_func(
        lambda t: Mapping in (t, get_origin(t)), lambda value, _: FrozenDict(value)
    )
    leaf(
        Mapping[str, Fact],
        lambda facts: {name: _fact_out(facts[name]) for name in facts},
        lambda facts: FrozenDict({name: _fact_in(facts[name]) for name in facts}),
    )
    return converter


def _fact_out(fact: Any) -> Any:
    if isinstance(fact, Money):
        return [fact.minor, fact.currency]
    return {"at": to_micros(fact)} if isinstance(fact, DateTime) else fact


def _fact_in(said: Any) -> Any:
    if isinstance(said, list):
        return Money(*said)
    return from_micros(said["at"]) if isinstance(said, dict) else said


def _is_ruling(kind: Any) -> bool:
    return kind in (Ruling, Ruling | None)


# What is only known when an effect is handed over.
_OF_ONE_ATTEMPT: Final = (
    "attempt",
    "first_tried",
    "last_tried",
    "later_keys",
    "order_ended",
)


def _writer(converter: Converter, kind: Any) -> Any:
    # What is true of one reading, or one attempt, is no part of the record.
    fields: dict[str, Any] = {"as_of": override(omit=True)} if kind is Order else {}
    if issubclass(kind, Effect):
        for name in _OF_ONE_ATTEMPT:
            fields[name] = override(omit=True)
    for field in attrs.fields(kind):
        default: Any = field.default
        # A text that was erased equals an empty one, and has its commitment still.
        if isinstance(default, Text) or getattr(default, "factory", None) is Text:
            fields[field.name] = override(omit_if_default=False)
    return make_dict_unstructure_fn(
        kind, converter, _cattrs_omit_if_default=True, **fields
    )


def _reader(converter: Converter, kind: Any) -> Any:
    fields: dict[str, Any] = {}
    if kind is Standing:
        # A text becomes the member again; a host's own state stays text.
        fields["state"] = override(struct_hook=lambda v, _: _STATES.get(v, v))
    return make_dict_structure_fn(
        kind, converter, _cattrs_detailed_validation=False, **fields
    )


def _commitment(text: Any) -> Any:
    commitment = getattr(text, "commitment", "")
    if commitment:
        # In a list, which no label of a host's metadata can be.
        return {_SEALED: [commitment]}
    if text:
        raise LedgerError(
            "a text that is not sealed must not reach the history: an event carries a "
            "`Text` as the command has it, and a command converts it with `as_text`"
        )
    return ""


def _text(value: Any) -> Text:
    # Sealed texts were opened while the JSON was read.
    return value if isinstance(value, Text) else Text(value)


_CONVERTER: Final = _build()


# One encoder for all: making one takes as long as a small event does.
_ENCODE: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode


def _dump(value: Any) -> bytes:
    return _ENCODE(value).encode()


def _load(body: bytes, texts: Mapping[str, str]) -> Any:
    # Decoded here: of bytes, the parser first guesses which encoding they are in.
    said = body.decode()
    if '{"#":[' not in said:
        return json.loads(said)

    def opened(item: dict[str, Any]) -> Any:
        ref = item.get(_SEALED)
        if len(item) != 1 or not isinstance(ref, list):
            return item
        (ref,) = ref
        if ref in texts:
            return Text(texts[ref], commitment=ref)
        return Text(commitment=ref, erased=True)

    return json.loads(said, object_hook=opened)


# --- orders and events ------------------------------------------------------------


def encode_order(order: Order) -> bytes:
    """
    Return the snapshot of an order.
    """
    return _dump(_CONVERTER.unstructure(order, Order))


def decode_order(body: bytes, texts: Mapping[str, str]) -> Order:
    """
    Return the order of a snapshot.

    Args:
        texts: The texts that still exist, by ref; the others are gone.

    Raises:
        CorruptJournalError: If this was never written by `encode_order`.
    """
    return _read(body, texts, Order)


def encode_wallet(wallet: Wallet) -> bytes:
    """
    Return the snapshot of a wallet.
    """
    return MARK + _dump(_CONVERTER.unstructure(wallet, Wallet))


def decode_wallet(body: bytes) -> Wallet:
    """
    Return the wallet of a snapshot.

    Raises:
        CorruptJournalError: If this was never written by `encode_wallet`.
    """
    if not is_wallet(body):
        raise CorruptJournalError("this is no wallet")
    return _read(body.removeprefix(MARK), {}, Wallet)


# What follows from the wallet, or the clock, is no part of what was asked for.
_NOT_ASKED: Final = ("balance", "debt", "due_at")


def entry_hash(event: Keyed) -> str:
    """
    Return the hash of what somebody asked of a wallet.
    """
    fields = _CONVERTER.unstructure(event, type(event))
    asked = {name: fields[name] for name in fields if name not in _NOT_ASKED}
    return hashlib.sha256(_dump([event.name, asked])).hexdigest()[:40]


def encode_event(recorded: Recorded, order_id: str, head: bytes) -> NewEvent:
    """
    Return an event as it is appended.

    Args:
        head: The hash of the event before it.
    """
    event = recorded.event
    body = {
        "by": str(recorded.by),
        "data": _CONVERTER.unstructure(event, type(event)),
    }
    if recorded.standing is not None:
        body["standing"] = _CONVERTER.unstructure(recorded.standing, Standing)
    effective_at = to_micros(recorded.effective_at)
    recorded_at = to_micros(recorded.recorded_at)
    encoded = _dump(body)
    return NewEvent(
        seq=recorded.seq,
        name=recorded.name,
        effective_at=effective_at,
        recorded_at=recorded_at,
        settles=event.settles,
        body=encoded,
        hash=link(
            head,
            order_id,
            seq=recorded.seq,
            name=recorded.name,
            effective_at=effective_at,
            recorded_at=recorded_at,
            settles=event.settles,
            body=encoded,
        ),
    )


def decode_event(
    stored: StoredEvent,
    texts: Mapping[str, str],
    events: Mapping[str, type[Event]] = EVENTS,
) -> Recorded:
    """
    Return an event of the journal.

    Args:
        texts: The texts that still exist, by ref.

        events: The events there are, by name; a host's own included.

    Raises:
        CorruptJournalError: If it is none of them, or damaged.
    """
    kind = events.get(stored.name)
    if kind is None:
        raise CorruptJournalError(
            f"event {stored.seq}: nobody knows {stored.name!r}; "
            "pass its process to the engine, on the command line with --process"
        )
    try:
        body = _load(stored.body, texts)
        standing = body.get("standing")
        return Recorded(
            seq=stored.seq,
            event=_CONVERTER.structure(body["data"], kind),
            by=actor_from(body["by"]),
            effective_at=from_micros(stored.effective_at),
            recorded_at=from_micros(stored.recorded_at),
            standing=None
            if standing is None
            else _CONVERTER.structure(standing, Standing),
        )
    except Exception as error:
        raise CorruptJournalError(f"event {stored.seq} cannot be read") from error


def _read(body: bytes, texts: Mapping[str, str], kind: type[_T]) -> _T:
    try:
        return _CONVERTER.structure(_load(body, texts), kind)
    except Exception as error:
        raise CorruptJournalError(f"this is no {kind.__name__.lower()}") from error


def encode_effect(effect: Effect, ready_at: int, reason: str = "") -> NewEffect:
    """
    Return an effect as it is handed out.

    Args:
        reason: Why a human must look at it first, if one must.
    """
    parked = isinstance(effect, Movement) and effect.parked
    return NewEffect(
        key=effect.key,
        kind=effect.name,
        seq=effect.seq,
        moves_money=effect.moves_money,
        ready_at=ready_at,
        body=_dump(_CONVERTER.unstructure(effect, type(effect))),
        status="parked" if parked else "waiting",
        result=dump_result(at=ready_at, reason=reason) if parked else b"",
    )


def decode_effect(body: bytes, kind: type[_T]) -> _T:
    """
    Return an effect that was handed out.
    """
    return _read(body, {}, kind)


# What may be said of how an effect went: when; whether it is not known how, came too
# late or was asked for later, and how often in a row at an instant that was over.
_SAID: Final[Mapping[str, type]] = {
    "at": int,
    "reason": str,
    "reference": str,
    "unknown": bool,
    "lapsed": bool,
    "asked": bool,
    "over": int,
    "tries": int,
    "first": int,
    "begun": bool,
    "held": bool,
}


def dump_result(**said: Any) -> bytes:
    """
    Return what is kept of how an effect went, and *at* which instant.
    """
    return _dump(said)


def load_result(body: bytes) -> Mapping[str, Any]:
    """
    Return what was kept of how an effect went; empty if nothing was.

    Raises:
        CorruptJournalError: If this was never written by `dump_result`.
    """
    if not body:
        return {}
    try:
        said = json.loads(body)
        for name, value in said.items():
            # What a later release has to say besides is none of ours.
            if type(value) is not _SAID.get(name, type(value)):
                raise TypeError(name)
        from_micros(said["at"])
    except Exception as error:
        raise CorruptJournalError("what became of it cannot be read") from error
    result: Mapping[str, Any] = said
    return result


def refs_in(body: bytes) -> tuple[str, ...]:
    """
    Return the refs of the texts that an event names.

    Raises:
        ValueError: If it cannot be read.
    """
    found: list[str] = []

    def look(item: dict[str, Any]) -> None:
        ref = item.get(_SEALED)
        if len(item) == 1 and isinstance(ref, list):
            found.extend(ref)

    if b'{"#":[' in body:
        json.loads(body, object_hook=look)
    return tuple(found)


# --- texts ------------------------------------------------------------------------


def commitment(salt: bytes, text: str) -> str:
    """
    Return what stands for a text in the history.

    The length of the salt is hashed first: nothing can be moved from the one to the
    other.
    """
    length = len(salt).to_bytes(2, "big")
    return hashlib.sha256(length + salt + text.encode()).hexdigest()[:40]


def seal(
    command: _T, subject_id: str, salt: Callable[[], bytes]
) -> tuple[_T, tuple[StoredText, ...]]:
    """
    Return a command whose texts carry their commitments, and those texts.

    Args:
        subject_id: Whose texts they are.

        salt: Returns fresh bytes: without them a short text could be guessed from
            its hash.

    Raises:
        InvalidInputError: If a text was taken from where it has been erased.
    """
    texts: list[StoredText] = []

    def sealed(value: Any, field: str) -> Any:
        if isinstance(value, Text):
            if value.erased:
                raise InvalidInputError(field, "this text was erased: write it anew")
            if not value:
                return value
            # A text taken from another order is somebody's text here too, with a
            # commitment of its own.
            grain = salt()
            ref = commitment(grain, value)
            texts.append(
                StoredText(ref=ref, subject_id=subject_id, salt=grain, text=str(value))
            )
            return Text(value, commitment=ref)
        if isinstance(value, tuple):
            items = tuple(sealed(item, field) for item in value)
            # The same tuple if nothing in it changed: it is not converted again.
            changed = any(new is not old for new, old in zip(items, value, strict=True))
            return items if changed else value
        if attrs.has(type(value)) and not isinstance(value, (Money, Payment)):
            return inside(value)
        return value

    def inside(value: Any) -> Any:
        changed = {}
        for field in attrs.fields(type(value)):
            before = getattr(value, field.name)
            if isinstance(before, (Text, tuple)) or attrs.has(type(before)):
                after = sealed(before, field.name)
                if after is not before:
                    changed[field.name] = after
        return attrs.evolve(value, **changed) if changed else value

    return inside(command), tuple(texts)


def said(
    texts: tuple[StoredText, ...], events: Iterable[NewEvent]
) -> tuple[StoredText, ...]:
    """
    Return the texts that events say: what nothing was made of is kept by nobody.
    """
    if not texts:
        return texts
    refs = {ref for event in events for ref in refs_in(event.body)}
    return tuple(text for text in texts if text.ref in refs)


def content_hash(command: Command) -> str:
    """
    Return the hash of what a command says, but for its texts: a short text could be
    guessed from its hash.
    """
    body = _dump([command.name, plain(command, texts=False)])
    return hashlib.sha256(body).hexdigest()[:40]
