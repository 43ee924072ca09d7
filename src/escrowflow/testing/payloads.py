"""
Payloads: any command within a form, filled in at random.

    option = engine.options(order_id, by=seller)[0]
    command = command_within(random.Random(7), option.command, option.fields)

What a field takes is read off the field alone (`Field`), so that a command of yours is
filled in like one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final

from pendulum import DateTime

from ..clock import as_utc
from ..commands import Command
from ..errors import InvalidInputError
from ..forms import Field, form_of, narrowed
from ..money import Money, Payment
from ..terms import RULINGS, AddOn, Terms

__all__ = ["command_within", "whole_form"]

# Where a form does not say from when on.
_FROM: Final = as_utc("2026-05-05T08:00:00+00:00", "from")

# How often something is left out that may be; chance that shrinks leaves out most.
_LEFT_OUT: Final = 0.5

_TEXTS: Final = ("x", "Trop sombre", "ÿ" * 20, "a\nb")

# What is near the least is more telling than what is far from it.
_NEAR: Final = 30_000

# What an integer of a host's own may be, where nothing says so.
_INTEGERS: Final = (0, 1_000)


def command_within(
    rng: Random, command: type[Command], fields: tuple[Field, ...]
) -> Command:
    """
    Return any command within a form: with all that is required, and some of the rest.

    Args:
        rng: Where chance comes from.

        fields: The form: `Option.fields`, or `whole_form(command, currency)`.

    Raises:
        InvalidInputError: If a host's own command takes something that no form tells,
            or if such a payload is malformed: that of a whole form may be, that of
            an allowed option never is.
    """
    given = {
        field.name: _drawn(rng, field)
        for field in fields
        if field.required or rng.random() >= _LEFT_OUT
    }
    for group in dict.fromkeys(field.one_of for field in fields if field.one_of):
        if not any(given.get(name) for name in group):
            field = rng.choice([field for field in fields if field.one_of == group])
            given[field.name] = _drawn(rng, field, filled=True)
    return command(**given)


def whole_form(command: type[Command], currency: str) -> tuple[Field, ...]:
    """
    Return all that a command ever takes, money in one currency.
    """
    kind: type = command
    return _whole_form(kind, currency)


@cache
def _whole_form(command: type, currency: str) -> tuple[Field, ...]:
    return narrowed(form_of(command), (), currency)


def _drawn(rng: Random, field: Field, *, filled: bool = False) -> Any:
    if field.kind == "text":
        return rng.choice(_TEXTS)
    if field.kind == "choice":
        return rng.choice(field.choices)
    if field.kind == "id":
        if field.choices:
            return rng.choice(field.choices)
        return _named(rng, field.excludes)
    if field.kind == "references":
        return tuple(f"f-{n}" for n in range(rng.randint(1 if filled else 0, 3)))
    if field.kind == "integer":
        if field.choices and rng.random() < 0.3:
            return rng.choice(field.choices)
        least, most = _INTEGERS
        return rng.randint(
            least if field.minimum is None else field.minimum,
            most if field.maximum is None else field.maximum,
        )
    if field.kind == "flag":
        return rng.random() < 0.5
    if field.kind == "money":
        low, high = field.minimum.minor, field.maximum.minor
        middle = rng.randint(low, min(high, low + _NEAR))
        return Money(
            rng.choice([low, high, middle, middle, middle]), field.maximum.currency
        )
    if field.kind == "window":
        return rng.choice(
            [
                field.minimum,
                timedelta(hours=5),
                timedelta(days=rng.randint(1, 9)),
                timedelta(days=400),
            ]
        )
    if field.kind == "instant":
        return _later(rng, field.minimum or _FROM)
    if field.kind == "payment":
        return _parts(rng, field, Payment, "")
    if field.kind == "ruling":
        kind = rng.choice(field.choices)
        return _parts(rng, field, RULINGS[kind], kind)
    if field.kind == "terms":
        return _parts(rng, field, Terms, "")
    if field.kind == "add_ons":
        return tuple(_parts(rng, field, AddOn, "") for _ in range(rng.randrange(3)))
    if field.kind == "labels":
        return _LABELS
    raise InvalidInputError(field.name, "nobody knows what it takes")


_LABELS: Final[Mapping[str, str]] = {"shop": "1"}


def _later(rng: Random, least: DateTime) -> DateTime:
    later = timedelta(seconds=rng.randint(0, 10**6))
    found: DateTime = datetime.__add__(least, later)
    return found


def _parts(rng: Random, field: Field, kind: type, choice: str) -> Any:
    return kind(
        **{
            part.name: _drawn(rng, part)
            for part in field.fields
            if part.choice == choice and (part.required or rng.random() >= _LEFT_OUT)
        }
    )


def _named(rng: Random, excluded: tuple[str, ...]) -> str:
    while True:
        name = f"n-{rng.randrange(10_000)}"
        if name not in excluded:
            return name
