"""
How the fields of a policy are checked, and written in one form.

Every field names its check beside its default; the check is called with the value
and the field's own name, so that the error names it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

import attrs

from .clock import Months, Window, as_window, window_text
from .errors import InvalidInputError, ProcessError
from .inputs import FrozenDict, kind_of
from .money import Money, Share
from .parties import Role
from .terms import as_revisions

__all__ = [
    "by",
    "checked",
    "choice",
    "choices",
    "count",
    "day_spans",
    "flag",
    "instance",
    "keyword_or_window",
    "limit",
    "mapping",
    "names",
    "names_but",
    "plain",
    "some",
    "span",
    "weights",
    "windows",
]

_Check: TypeAlias = Callable[..., Any]

_OURS: Final = __name__.partition(".")[0]


def by(check: _Check, *args: Any, none: bool = False) -> dict[str, Any]:
    """
    Say how a field is checked: `check(value, name, *args)`; *none* lets None pass.
    """
    return {"check": (check, args, none)}


def checked(
    kind: type, fields: list[attrs.Attribute[Any]]
) -> list[attrs.Attribute[Any]]:
    """
    Let every field be checked as its metadata says, under its own name.
    """

    def convert(value: Any, field: attrs.Attribute[Any]) -> Any:
        check, args, none = field.metadata["check"]
        if none and value is None:
            return None
        return check(value, field.name.lstrip("_"), *args)

    converter: Any = attrs.Converter(convert, takes_field=True)
    return [
        field.evolve(converter=converter) if "check" in field.metadata else field
        for field in fields
    ]


def span(value: Any, field: str) -> Window:
    """
    A window that may be counted in calendar months.
    """
    return as_window(value, field, months=True)


def keyword_or_window(value: Any, field: str, *keywords: str) -> str | timedelta:
    return value if value in keywords else as_window(value, field)


def limit(value: Any, field: str) -> int | None:
    agreed = as_revisions(value, field)
    return None if agreed == "unlimited" else agreed


def mapping(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInputError(field, f"a mapping, not {kind_of(value)}")
    return {_name(name, field): item for name, item in value.items()}


def windows(values: Any, field: str) -> tuple[timedelta, ...]:
    if isinstance(values, (str, timedelta)) or not isinstance(values, Iterable):
        raise InvalidInputError(field, "a sequence of windows")
    # The longest first: the order in which they come due.
    return tuple(sorted((as_window(value, field) for value in values), reverse=True))


def choice(value: Any, field: str, *choices: str) -> Any:
    # The text of an enum member too, which prints its name instead.
    text = str.__str__(value) if isinstance(value, str) else None
    if text not in choices:
        raise InvalidInputError(field, f"one of {', '.join(map(repr, choices))}")
    return text


def flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError(field, f"True or False, not {kind_of(value)}")
    return value


def names(values: Any, field: str, *allowed: str) -> frozenset[str]:
    if isinstance(values, str) or not isinstance(values, Collection):
        raise InvalidInputError(field, "a set of names")
    found = frozenset(_name(value, field) for value in values)
    if not found and allowed:
        raise InvalidInputError(field, f"at least one of {', '.join(allowed)}")
    unknown = sorted(found - set(allowed)) if allowed else []
    if unknown:
        raise InvalidInputError(
            field, f"unknown: {', '.join(unknown)}; known: {', '.join(allowed)}"
        )
    return found


def some(values: Any, field: str, *allowed: str) -> frozenset[str]:
    """
    A set of names; none of them, too.
    """
    found = names(values, field)
    return names(found, field, *allowed) if found else found


def names_but(values: Any, field: str, *never: str) -> frozenset[str]:
    """
    A set of names that somebody else knows, but never these.
    """
    found = names(values, field)
    if wrong := sorted(found & frozenset(never)):
        raise InvalidInputError(field, f"never {', '.join(wrong)}")
    return found


def choices(
    value: Any, field: str, known: tuple[str, ...], *values: str
) -> FrozenDict[str, str]:
    """
    A choice for each name; the first where there is none.
    """
    given = mapping(value, field)
    if unknown := sorted(set(given) - set(known)):
        raise InvalidInputError(
            field, f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
        )
    return FrozenDict(
        (name, choice(given.get(name, values[0]), field, *values)) for name in known
    )


def weights(value: Any, field: str, *allowed: str) -> FrozenDict[str, int]:
    """
    A whole number for at least one of these names.
    """
    found = mapping(value, field)
    names(found, field, *allowed)
    if any(type(weight) is not int or weight < 0 for weight in found.values()):
        raise InvalidInputError(field, "whole numbers, zero or more")
    return FrozenDict(sorted(found.items()))


def day_spans(value: Any, field: str) -> FrozenDict[str, int | tuple[int, int]]:
    """
    Business days by method of payment: one number, or (earliest, latest).
    """
    etas = mapping(value, field)
    if not etas:
        raise InvalidInputError(field, "at least one method of payment")
    for method, days in etas.items():
        pair = days if isinstance(days, tuple) else (days, days)
        whole = len(pair) == 2 and all(type(day) is int for day in pair)
        if not whole or not 0 <= pair[0] <= pair[1] <= 100:
            raise InvalidInputError(
                field, f"{method}: business days, 0 to 100, or (earliest, latest)"
            )
    return FrozenDict(
        (method, days[0] if isinstance(days, tuple) and days[0] == days[1] else days)
        for method, days in sorted(etas.items())
    )


def instance(value: Any, field: str, *kinds: type | str) -> Any:
    """
    A value of one of these classes, or one of these words.
    """
    classes = tuple(kind for kind in kinds if isinstance(kind, type))
    if not isinstance(value, classes) and (value is None or value not in kinds):
        known = " or ".join(
            repr(kind) if isinstance(kind, str) else f"a {kind.__name__}"
            for kind in kinds
        )
        raise InvalidInputError(field, f"{known}, not {kind_of(value)}")
    return value


def _name(value: Any, field: str) -> str:
    if isinstance(value, Role):
        return value.text
    if not isinstance(value, str):
        raise InvalidInputError(field, f"names, not {kind_of(value)}")
    return str.__str__(value)


def count(value: Any, field: str, minimum: int) -> int:
    if type(value) is not int or not minimum <= value <= 1000:
        raise InvalidInputError(field, f"a whole number from {minimum} to 1000")
    return value


def plain(value: Any) -> Any:
    """
    Return a value of a policy as plain data with one canonical form.

    Raises:
        ProcessError: If it is a host's own object without `version: str`.
    """
    if isinstance(value, str):
        # The text of an enum member too, which prints its name instead.
        return str.__str__(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (timedelta, Months)):
        return window_text(value)
    if isinstance(value, (Money, Share)):
        return str(value)
    if isinstance(value, (frozenset, set)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in sorted(value.items())}
    kind = type(value)
    if kind.__module__.partition(".")[0] == _OURS:
        return {
            "kind": kind.__name__,
            **{
                str(field.alias): plain(getattr(value, field.name))
                for field in attrs.fields(kind)
            },
        }
    version = getattr(value, "version", None)
    if not isinstance(version, str) or not version:
        raise ProcessError(
            kind.__qualname__,
            [
                "an object of your own needs `version: str`: orders are pinned to "
                "the rules they were placed under"
            ],
        )
    return {"kind": f"{kind.__module__}.{kind.__qualname__}", "version": version}
