"""
Payloads: any command within a form, by whatever chooses.

What is drawn lies within what the form takes, its ends included: an option that is
allowed takes all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final, TypeAlias

from pendulum import DateTime

from ..clock import as_utc
from ..commands import Command
from ..errors import InvalidInputError
from ..forms import Field, form_of, narrowed
from ..money import Money, Payment
from ..terms import RULINGS, AddOn, Terms

__all__ = [
    "TEXTS",
    "Choose",
    "UndrawableError",
    "by_chance",
    "command_within",
    "whole_form",
]

# One of so many, counted from 0: `choose("refund", 3)`.  The label says what it is for.
Choose: TypeAlias = Callable[[str, int], int]

# What people write, as far as it matters here.
TEXTS: Final = ("x", "Trop sombre", "ÿ" * 20, "a\nb")

# Where an instant has no least.
_EARLIEST: Final = as_utc("2026-05-05T08:00:00Z", "earliest")

_LATER_MAX: Final = 10**6

# A middling amount is so much above the least, in minor units.
_MIDDLING: Final = 30_000

_NAMES: Final = 10_000

# What an integer of a host's own may be, where nothing says so.
_INTEGERS: Final = (0, 1_000)


class UndrawableError(InvalidInputError):
    """
    A form asks for a value of a host's own: nobody else can say what it may be.
    """


def command_within(
    choose: Choose,
    command: type[Command],
    fields: tuple[Field, ...],
    *,
    own: Mapping[str, Callable[[Field], Any]] | None = None,
) -> Command:
    """
    Return any command within a form, such as that of an option.

    Args:
        choose: What decides: a `Tape`'s, or `by_chance(random.Random(7))`.

        own: What fills fields of a kind instead: `{"payment": ...}`.

    Raises:
        UndrawableError: If it takes a value of a host's own, and *own* has none.
    """
    draw = _Draw(choose, own or {})
    given = {
        field.name: draw(field) for field in fields if field.required or draw.maybe()
    }
    groups = dict.fromkeys(field.one_of for field in fields if field.one_of)
    for group in groups:
        if not any(given.get(name) for name in group):
            some = [field for field in fields if field.one_of == group]
            field = some[choose("which", len(some))]
            given[field.name] = draw(field, filled=True)
    return command(**given)


def by_chance(rng: Random) -> Choose:
    """
    Return what decides by chance.
    """

    def choose(label: str, count: int) -> int:
        return rng.randrange(count)

    return choose


def whole_form(command: type[Command], currency: str) -> tuple[Field, ...]:
    """
    Return all that a command ever takes, money in one currency.
    """
    kind: type = command
    return _whole_form(kind, currency)


@cache
def _whole_form(command: type, currency: str) -> tuple[Field, ...]:
    return narrowed(form_of(command), (), currency)


class _Draw:
    """
    Draws values for fields.
    """

    def __init__(
        self, choose: Choose, own: Mapping[str, Callable[[Field], Any]]
    ) -> None:
        self._choose = choose
        self._own = own

    def maybe(self) -> bool:
        """
        Whether something that may be left out is said.
        """
        return bool(self._choose("said", 2))

    def __call__(self, field: Field, *, filled: bool = False) -> Any:
        own = self._own.get(field.kind)
        if own is not None:
            return own(field)
        drawn = _KINDS.get(field.kind)
        if drawn is None:
            raise UndrawableError(
                field.name,
                f"a value of your own: fill it with own={{{field.kind!r}: ...}}",
            )
        if filled and field.kind == "references":
            return self.references(field, least=1)
        return drawn(self, field)

    def _one(self, label: str, values: Any) -> Any:
        return values[self._choose(label, len(values))]

    def text(self, field: Field) -> str:
        return str(self._one(field.name, TEXTS))

    def choice(self, field: Field) -> str:
        return str(self._one(field.name, field.choices))

    def id(self, field: Field) -> str:
        if field.choices:
            return self.choice(field)
        while True:
            name = f"n-{self._choose(field.name, _NAMES)}"
            if name not in field.excludes:
                return name

    def references(self, field: Field, *, least: int = 0) -> tuple[str, ...]:
        count = least + self._choose(field.name, 4 - least)
        return tuple(f"f-{number}" for number in range(count))

    def integer(self, field: Field) -> int | str:
        if field.choices and not self._choose("word", 3):
            return self.choice(field)
        least = _INTEGERS[0] if field.minimum is None else int(field.minimum)
        most = _INTEGERS[1] if field.maximum is None else int(field.maximum)
        return least + self._choose(field.name, most - least + 1)

    def flag(self, field: Field) -> bool:
        return bool(self._choose(field.name, 2))

    def money(self, field: Field) -> Money:
        low, high = field.minimum.minor, field.maximum.minor
        middling = min(high, low + _MIDDLING) - low
        # The ends, and three times as often something in between.
        end = self._choose("end", 5)
        if end > 1:
            amount = low + self._choose(field.name, middling + 1)
        else:
            amount = high if end else low
        return Money(amount, field.maximum.currency)

    def window(self, field: Field) -> timedelta:
        days = timedelta(days=1 + self._choose("days", 9))
        windows = (field.minimum, timedelta(hours=5), days, timedelta(days=400))
        found: timedelta = self._one(field.name, windows)
        return found

    def instant(self, field: Field) -> DateTime:
        later = timedelta(seconds=self._choose(field.name, _LATER_MAX + 1))
        found: Any = datetime.__add__(field.minimum or _EARLIEST, later)
        if field.maximum is not None:
            found = min(found, field.maximum)
        return as_utc(found, field.name)

    def payment(self, field: Field) -> Any:
        return self._parts(field, Payment)

    def ruling(self, field: Field) -> Any:
        kind = self.choice(field)
        return self._parts(field, RULINGS[kind], kind)

    def terms(self, field: Field) -> Any:
        return self._parts(field, Terms)

    def add_ons(self, field: Field) -> tuple[Any, ...]:
        count = self._choose(field.name, 3)
        return tuple(self._parts(field, AddOn) for _ in range(count))

    def labels(self, field: Field) -> dict[str, str]:
        return {"shop": "1"}

    def _parts(self, field: Field, kind: type, choice: str = "") -> Any:
        return kind(
            **{
                part.name: self(part)
                for part in field.fields
                if part.choice == choice and (part.required or self.maybe())
            }
        )


_KINDS: Final[Mapping[str, Callable[[_Draw, Field], Any]]] = {
    "add_ons": _Draw.add_ons,
    "choice": _Draw.choice,
    "flag": _Draw.flag,
    "id": _Draw.id,
    "instant": _Draw.instant,
    "integer": _Draw.integer,
    "labels": _Draw.labels,
    "money": _Draw.money,
    "payment": _Draw.payment,
    "references": _Draw.references,
    "ruling": _Draw.ruling,
    "terms": _Draw.terms,
    "text": _Draw.text,
    "window": _Draw.window,
}
