"""
What every storage checks of its arguments, and how a page says where it ended.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Mapping, Sequence
from functools import cache
from typing import Final

import attrs

from ..errors import InvalidInputError, StorageError
from . import (
    CHANGES_MAX,
    LIMIT_MAX,
    Books,
    Change,
    EffectResult,
    NewEffect,
    NewEvent,
    Parked,
    Receipt,
    StoredEffect,
    StoredText,
)

__all__ = [
    "MONEY",
    "NEVER",
    "RESULTS",
    "after_text",
    "check_changes",
    "check_history",
    "check_ids",
    "check_limit",
    "check_result",
    "check_values",
    "effect_after",
    "effect_place",
    "lease_end",
    "place_after",
]

# Later than every instant: the place of an order that waits for nothing.
NEVER: Final = 2**63 - 1

# The amounts in the books of an order: none is ever below zero.
MONEY: Final = tuple(
    field.name for field in attrs.fields(Books) if field.name != "currency"
)

# What an attempt at an effect can end with.
RESULTS: Final = frozenset({"claimed", "done", "waiting", "parked"})

# What an effect can be.
_STATUSES: Final = RESULTS | {"claimed"}

# What a field of these types may hold.
_KINDS: Final[Mapping[object, tuple[type, ...]]] = {
    "str": (str,),
    "bytes": (bytes,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
}
_NATURAL: Final = frozenset({*MONEY, "effective_at", "recorded_at", "attempts"})
_HASH: Final = 32


def check_changes(changes: Sequence[Change]) -> None:
    """
    Raise if a batch is wrong by itself, whatever is stored.

    Raises:
        InvalidInputError: If it is too long, names an order twice, the events of a
            change do not lead from its expected version to its version, or a new
            order has no parties.

        StorageError: If the money of a change does not add up, or a result is none.
    """
    if len(changes) > 1:
        if len(changes) > CHANGES_MAX:
            raise InvalidInputError("changes", f"at most {CHANGES_MAX} at once")
        if len({change.order_id for change in changes}) < len(changes):
            raise InvalidInputError("changes", "each of another order")
    for change in changes:
        numbers = [event.seq for event in change.events]
        if (
            change.version < 1
            or change.version < change.expected_version
            or numbers != [*range(change.expected_version + 1, change.version + 1)]
        ):
            raise InvalidInputError(
                "changes",
                f"order {change.order_id!r}: events {numbers} do not lead from "
                f"version {change.expected_version} to {change.version}",
            )
        if change.parties is None and not change.expected_version:
            raise InvalidInputError(
                "changes", f"order {change.order_id!r}: a new order has parties"
            )
        for result in change.results:
            check_result(change.order_id, result)
        books = change.books
        if books.paid_in != books.held + books.refunded + books.released + books.kept:
            # A schema would say the same; this names the order.
            raise StorageError(f"order {change.order_id!r}: {books} do not add up")


def check_result(order_id: str, result: EffectResult) -> None:
    """
    Raise if an effect cannot come to this.

    Raises:
        StorageError: If its status is no result.
    """
    if result.status not in RESULTS:
        raise StorageError(
            f"order {order_id!r}: {result.status!r} is no result of an effect"
        )


def check_values(
    order_id: str,
    *parts: Change
    | Books
    | NewEvent
    | NewEffect
    | EffectResult
    | Receipt
    | StoredText
    | Parked,
) -> None:
    """
    Raise if something cannot be kept as what it says it is: as a schema would.

    Raises:
        StorageError: If a field is of another type, a text is no Unicode, a number
            has more than 64 bits or is below zero where none is, a hash has not 32
            bytes, or an effect has an unknown status.
    """
    for part in parts:
        part_of: type = type(part)
        for name, kind, kinds in _fields(part_of):
            value = getattr(part, name)
            if not isinstance(value, kinds):
                raise _refused(order_id, f"{name} is not {kind}")
            # Of almost all values this is known at a glance.
            if type(value) is str and value.isascii():
                continue
            if type(value) is int and 0 <= value <= NEVER:
                continue
            _check_value(order_id, name, value)
        if isinstance(part, NewEffect) and part.status not in _STATUSES:
            raise _refused(order_id, f"{part.status!r} is no status of an effect")
        if isinstance(part, Change):
            for party in part.parties or ():
                for name in party:
                    _check_value(order_id, "parties", name)


@cache
def _fields(part: type) -> tuple[tuple[str, object, tuple[type, ...]], ...]:
    """
    Return the fields of a part: name, type, and what that may hold.
    """
    return tuple(
        (field.name, field.type, _KINDS.get(field.type, (object,)))
        for field in attrs.fields(part)
    )


def _check_value(order_id: str, name: str, value: object) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _refused(order_id, f"{name} is not Unicode") from error
    if isinstance(value, int) and not -NEVER <= value <= NEVER:
        raise _refused(order_id, f"{name} has more than 64 bits")
    if name in _NATURAL and isinstance(value, int) and value < 0:
        raise _refused(order_id, f"{name} is below zero")
    if name == "hash" and isinstance(value, bytes) and len(value) != _HASH:
        raise _refused(order_id, "a hash has 32 bytes")


def check_history(
    change: Change, *, last_at: int, settled: bool, keys: Container[str]
) -> None:
    """
    Raise if a change that does not conflict must not become part of the history.

    Args:
        last_at: When the last event of the order counts; 0 if there is none.

        settled: Whether an event of the order settles it.

        keys: The keys of the effects of the order.

    Raises:
        StorageError: If the order is settled twice, time runs back, the key of an
            effect is taken, or an effect has no event.
    """
    if settled + sum(event.settles for event in change.events) > 1:
        raise _refused(change.order_id, "an order is settled once")
    for event in change.events:
        if event.effective_at < last_at:
            raise _refused(
                change.order_id, f"event {event.seq} is before the one before it"
            )
        last_at = event.effective_at
    asked = set[str]()
    for effect in change.effects:
        if effect.key in keys or effect.key in asked:
            raise _refused(
                change.order_id, f"the key of effect {effect.key!r} is taken"
            )
        if not 1 <= effect.seq <= change.version:
            raise _refused(change.order_id, f"effect {effect.key!r} has no event")
        asked.add(effect.key)


def _refused(order_id: str, problem: str) -> StorageError:
    return StorageError(f"order {order_id!r}: {problem}")


def check_limit(limit: int) -> None:
    """
    Raise if so many cannot be asked for at once.

    Raises:
        InvalidInputError: If it is not between 1 and 1000.
    """
    if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
        raise InvalidInputError("limit", f"1 to {LIMIT_MAX}, not {limit!r}")


def lease_end(now: int, until: int) -> int:
    """
    Return the end of the longest lease that counts, for somebody who takes one from
    *now* to *until*: what ends later was taken by a clock that is wrong.

    Twice as far ahead: no clock is quite right, and whoever reads his own first may
    ask last.
    """
    return min(until + max(until - now, 0), NEVER)


def check_ids(order_ids: Collection[str]) -> None:
    """
    Raise if so many orders cannot be named at once.

    Raises:
        InvalidInputError: If they are more than 1000.
    """
    if len(order_ids) > LIMIT_MAX:
        raise InvalidInputError("order_ids", f"at most {LIMIT_MAX} at once")


def after_text(due_at: int, order_id: str, *, by_due: bool) -> str:
    """
    Return where a page ended, as the text that asks for the next one.

    Args:
        due_at: When the last order is due; `NEVER` if it waits for nothing.
    """
    return f"{due_at if by_due else ''}:{order_id}"


def place_after(after: str | None, *, by_due: bool) -> tuple[int, str] | None:
    """
    Return where a page begins: behind that instant and that id; `None` for the
    first page.

    Raises:
        InvalidInputError: If no page of this ordering ended there.
    """
    if after is None:
        return None
    if not isinstance(after, str):
        raise InvalidInputError("after", f"a text, not {after!r}")
    due_at, colon, order_id = after.partition(":")
    if by_due and colon and due_at.isascii() and due_at.isdigit():
        return min(int(due_at[:20]), NEVER), order_id
    if not by_due and colon and not due_at:
        return NEVER, order_id
    raise InvalidInputError(
        "after", "the `after` of a page that was found in the same order"
    )


def effect_after(last: StoredEffect) -> str:
    """
    Return where a page of effects ended, as the text that asks for the next one.
    """
    return json.dumps([last.order_id, last.key])


def effect_place(after: str) -> tuple[str, str]:
    """
    Return where a page of effects begins: behind that order and that key.

    Raises:
        InvalidInputError: If no page of effects ended there.
    """
    try:
        order_id, key = json.loads(after)
        if isinstance(order_id, str) and isinstance(key, str):
            return order_id, key
    except (TypeError, ValueError):
        pass
    raise InvalidInputError("after", "the `after` of a page of effects")
