"""
What may come in: texts and identifiers, cleaned once, at the door.

- Everything is normalised to NFC, so that two spellings of one name are one.
- Behind this door nothing is checked again.
- What is refused is refused with `InvalidInputError`, which names the field.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn, Protocol, Self, TypeVar, final
from uuid import UUID

from .errors import InvalidInputError

__all__ = [
    "FrozenDict",
    "Text",
    "as_id",
    "as_ids",
    "as_key",
    "as_metadata",
    "as_text",
    "has_all",
    "kind_of",
    "lacking",
    "snake_case",
]

# Long enough for a UUID, a ULID or a URN; short enough for every index.
ID_LENGTH_MAX: Final = 255
_NUMBER_MAX: Final = 10 ** (ID_LENGTH_MAX - 1)

# A brief is a page or two.  What is longer is a file, and files are references.
TEXT_BYTES_MAX: Final = 16 * 1024

FILES_MAX: Final = 100
METADATA_MAX: Final = 50

# Line breaks and tabs belong to prose, the other control characters do not.
_PROSE: Final = frozenset("\t\n\r")


@final
class Text(str):
    """
    A piece of prose somebody wrote, kept apart from the history it belongs to.

    It is an ordinary `str`.  The history keeps only *commitment*, a salted hash;
    the words live in the text table of the storage, where they can be erased.

    Attributes:
        commitment: The hash that stands for the text in the history; empty as
            long as the text was not recorded.

        erased: Whether the words are gone for good.  The text is then empty.
    """

    __slots__ = ("commitment", "erased")

    commitment: str
    erased: bool

    def __new__(
        cls, value: str = "", *, commitment: str = "", erased: bool = False
    ) -> Self:
        text = super().__new__(cls, value)
        text.commitment = commitment
        text.erased = erased
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (str(self), self.commitment, self.erased)


def _restored(value: str, commitment: str, erased: bool) -> Text:
    return Text(value, commitment=commitment, erased=erased)


_K = TypeVar("_K")
_V = TypeVar("_V")


@final
class FrozenDict(dict[_K, _V]):
    """
    A mapping that stays as it is: what a value may hold and share.

    It is a `dict` in every other way: it prints, compares, pickles and goes to JSON
    like one, and it can be hashed if its values can.
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this mapping cannot be changed: make another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def as_id(value: object, field: str) -> str:
    """
    Return an identifier as the text that is stored: trimmed and NFC.

    Args:
        value: `str`, `int` or `UUID`; not `bool`.

    Raises:
        InvalidInputError: If it is of another type, empty, longer than 255
            characters, or has control characters, lone surrogates or characters
            that cannot be seen.
    """
    if type(value) is str:
        # The way almost every identifier takes: plain ASCII, nothing to do.
        if (
            value.isascii()
            and value.isprintable()
            and 0 < len(value) <= ID_LENGTH_MAX
            and value[0] != " " != value[-1]
        ):
            return value
        text = value
    elif isinstance(value, str):
        # The text of an enum member too, which prints its name instead.
        text = str.__str__(value)
    elif isinstance(value, UUID):
        return str(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to print a number of more than 4300 digits.
        if abs(value) >= _NUMBER_MAX:
            raise InvalidInputError(
                field, f"an id has at most {ID_LENGTH_MAX} characters"
            )
        return str(value)
    else:
        raise InvalidInputError(
            field, f"an id is text, a whole number or a UUID, not {kind_of(value)}"
        )
    text = unicodedata.normalize("NFC", _encodable(text, field)).strip()
    if not text:
        raise InvalidInputError(field, "an id cannot be empty")
    if len(text) > ID_LENGTH_MAX:
        raise InvalidInputError(
            field, f"an id has at most {ID_LENGTH_MAX} characters, not {len(text)}"
        )
    for character in text:
        # Cc: control, Cf: invisible (zero-width, bidi), Z*: odd spaces and breaks.
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Zl", "Zp"):
            raise InvalidInputError(
                field, f"an id cannot contain U+{ord(character):04X}"
            )
    return text


def as_key(value: object, field: str = "key") -> str | None:
    """
    Return an idempotency key, or `None` if there is none.
    """
    return None if value is None else as_id(value, field)


def as_ids(values: object, field: str) -> tuple[str, ...]:
    """
    Return references to files and the like, in their order; at most 100.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidInputError(
            field, f"a sequence of references, not {kind_of(values)}"
        )
    found = tuple(as_id(item, f"{field}[{i}]") for i, item in enumerate(values))
    if len(found) > FILES_MAX:
        raise InvalidInputError(field, f"at most {FILES_MAX}, not {len(found)}")
    return found


def as_text(value: object, field: str, *, required: bool = False) -> Text:
    """
    Return prose, NFC, ends trimmed.

    Args:
        required: Whether an empty text is refused.

    Raises:
        InvalidInputError: If it is no text, longer than 16 KiB in UTF-8, or has
            control characters other than line breaks and tabs.
    """
    if isinstance(value, Text) and (value.commitment or value.erased):
        return value
    if not isinstance(value, str):
        raise InvalidInputError(field, f"a text, not {kind_of(value)}")
    plain = str.__str__(value)
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", _encodable(plain, field))
    text = plain.strip()
    if required and not text:
        raise InvalidInputError(field, "a text is required: say why")
    if len(text) * 4 > TEXT_BYTES_MAX:
        size = len(text.encode())
        if size > TEXT_BYTES_MAX:
            raise InvalidInputError(
                field, f"at most {TEXT_BYTES_MAX} bytes, not {size}: attach a file"
            )
    if not text.isprintable():
        for character in text:
            if unicodedata.category(character) == "Cc" and character not in _PROSE:
                raise InvalidInputError(
                    field, f"a text cannot contain U+{ord(character):04X}"
                )
    return Text(text)


def as_metadata(value: object, field: str) -> FrozenDict[str, str]:
    """
    Return the host's own labels, sorted by name: text to text, at most 50.
    """
    if not isinstance(value, Mapping):
        raise InvalidInputError(field, f"a mapping, not {kind_of(value)}")
    if len(value) > METADATA_MAX:
        raise InvalidInputError(field, f"at most {METADATA_MAX}, not {len(value)}")
    found: dict[str, str] = {}
    for name, label in value.items():
        key = as_id(name, field)
        if key in found:
            raise InvalidInputError(field, f"{key!r} occurs twice")
        found[key] = str(as_text(label, f"{field}[{key!r}]"))
    return FrozenDict(sorted(found.items()))


def _encodable(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            field, "half of a surrogate pair: this text cannot be stored"
        ) from None
    return text


def has_all(value: object, protocol: type) -> bool:
    """
    Whether something has all that a protocol names, as `isinstance` would say: that
    one looks through the whole protocol each time, this once for each class.
    """
    kind: type = type(value)
    return _has_all(kind, protocol) or isinstance(value, protocol)


def lacking(value: object, protocol: type) -> str:
    """
    Return what something is not, and what it lacks for that.
    """
    wanted = protocol.__name__
    said = f"{'an' if wanted[0] in 'AEIOU' else 'a'} {wanted}"
    if isinstance(value, type):
        name = value.__name__
        return f"{said}, not the class {name}: make one of it, {name}()"
    names = [
        name
        for name in dir(protocol)
        if not name.startswith("_") and not hasattr(value, name)
    ]
    return f"{said}, and {kind_of(value)} has no {', '.join(names)}"


@lru_cache(maxsize=256)
def _has_all(kind: type, protocol: type) -> bool:
    names = [
        name
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False) and base is not Protocol
        for name in vars(base)
        if not name.startswith("_")
    ]
    return all(getattr(kind, name, None) is not None for name in names)


def kind_of(value: object) -> str:
    """
    Return what a value is, for a message: never what it says, which may be long.
    """
    return type(value).__name__


_HUMP: Final = re.compile(r"(?<!^)(?=[A-Z])")


def snake_case(name: str) -> str:
    """
    Return `accept_order` for `AcceptOrder`.
    """
    return _HUMP.sub("_", name).lower()
