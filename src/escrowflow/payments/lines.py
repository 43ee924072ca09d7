"""
What a gateway's own report says: lines, one for each movement, checked at the door.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, final

import attrs
from pendulum import DateTime

from ..clock import as_utc
from ..effects import Charge, PayOut, Refund
from ..errors import InvalidInputError
from ..inputs import as_id, kind_of
from ..money import Money

__all__ = ["CHARGEBACK", "KINDS", "PAYMENT", "Line", "checked", "lines_of_csv"]

PAYMENT: Final = "payment"
CHARGEBACK: Final = "chargeback"

# What a line can be about, and how each can stand.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    PAYMENT: ("paid", "pending", "failed"),
    Charge.name: ("paid", "pending", "failed"),
    Refund.name: ("paid", "pending", "failed"),
    PayOut.name: ("paid", "pending", "failed"),
    CHARGEBACK: ("opened", "won", "lost"),
}

# Other words for them.
_ALSO: Final = {"payout": PayOut.name}

_WHOLE: Final = re.compile(r"[0-9]{1,19}")


def _kind(value: object) -> str:
    kind = _ALSO.get(value, value) if isinstance(value, str) else value
    for known in KINDS:
        # The one text for all lines of a kind.
        if kind == known:
            return known
    raise InvalidInputError("kind", f"one of {', '.join(KINDS)}")


def _name(value: object, field: str) -> str:
    return "" if value is None or value == "" else as_id(value, field)


def _reference(value: object) -> str:
    return _name(value, "reference")


def _key(value: object) -> str:
    return _name(value, "key")


def _order_id(value: object) -> str:
    return _name(value, "order_id")


def _part(value: object) -> str:
    return _name(value, "part")


def _money(value: object) -> Money:
    if not isinstance(value, Money):
        raise InvalidInputError("amount", f"a Money, not {kind_of(value)}")
    return value


def _at(value: object) -> DateTime:
    return as_utc(value, "at")


@final
@attrs.frozen(kw_only=True)
class Line:
    """
    One line of a gateway's own report: a movement, as it stands.

    If a movement has several lines, one each time it changed, the latest counts.

    Attributes:
        kind: `"payment"`, `"charge"` (of what a bank held), `"refund"`, `"pay_out"` or
            `"chargeback"`.

        reference: What the gateway calls it.

        key: Our key; empty if it does not keep them.

        order_id: The order it was told; empty if it was told none.

        part: The reference of the payment that a charge, refund or chargeback is of,
            or who was paid; empty if it does not say, or names payees in its own way.

        amount: How much, without a sign.

        at: When it was made, or last changed.

        status: `"paid"`, `"pending"`, `"failed"`; of a chargeback `"opened"`,
            `"won"` or `"lost"`.

    Raises:
        InvalidInputError: If something is wrong, or it has neither key nor reference.
    """

    kind: str = attrs.field(converter=_kind)
    reference: str = attrs.field(default="", converter=_reference)
    key: str = attrs.field(default="", converter=_key)
    order_id: str = attrs.field(default="", converter=_order_id)
    part: str = attrs.field(default="", converter=_part)
    amount: Money = attrs.field(converter=_money)
    at: DateTime = attrs.field(converter=_at)
    status: str = "paid"

    def __attrs_post_init__(self) -> None:
        known = KINDS[self.kind]
        if self.status not in known:
            raise InvalidInputError("status", f"one of {', '.join(known)}")
        if not (self.key or self.reference):
            raise InvalidInputError("reference", "a line has a key or a reference")

    @property
    def name(self) -> str:
        """
        What it is called: by the gateway, or by us.
        """
        return self.reference or self.key

    @staticmethod
    def of(fields: Mapping[str, Any]) -> Line:
        """
        Return a line from its fields by name, such as a row of a CSV file.

        Args:
            fields: As the attributes; instead of a `Money`, `amount` may be major
                units as text, or `minor` whole minor units, both with `currency`.
                Empty ones count as not given.

        Raises:
            InvalidInputError: If a field is wrong, unknown, or missing.
        """
        given = {
            name: value for name, value in fields.items() if value not in (None, "")
        }
        unknown = sorted(map(str, given.keys() - _FIELDS))
        if unknown:
            raise InvalidInputError(
                unknown[0], f"no such field: one of {', '.join(sorted(_FIELDS))}"
            )
        currency, minor = given.pop("currency", None), given.pop("minor", None)
        if minor is not None:
            if "amount" in given:
                raise InvalidInputError("minor", "give this or `amount`, not both")
            if isinstance(minor, str) and _WHOLE.fullmatch(minor):
                minor = int(minor)
            given["amount"] = Money(minor, currency or "")
        elif currency is not None or not isinstance(given.get("amount"), Money):
            if "amount" not in given:
                raise InvalidInputError("amount", "missing")
            given["amount"] = Money.of(given["amount"], currency or "")
        for name in ("kind", "at"):
            if name not in given:
                raise InvalidInputError(name, "missing")
        return Line(**given)


_FIELDS: Final = frozenset({*attrs.fields_dict(Line), "currency", "minor"})


def lines_of_csv(rows: Iterable[str]) -> Iterator[Line]:
    """
    Yield the lines of a CSV file, one by one.

    Args:
        rows: The file, opened as text with `newline=""`; its first row names the
            columns, as `Line.of` names fields.

    Raises:
        InvalidInputError: If one is wrong; it names the line of the file.  Also if
            there is not even a first row, or its columns are not separated by commas.
    """
    reader = csv.DictReader(rows, restkey="more", restval="", strict=True)
    try:
        _check_columns(reader.fieldnames)
        for fields in reader:
            yield checked(fields, reader.line_num)
    except csv.Error as error:
        raise InvalidInputError(f"report[{reader.line_num}]", str(error)) from error


# What some programs write between columns.
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}


def _check_columns(names: Sequence[str] | None) -> None:
    """
    Refuse a file whose first row cannot be the names of columns.
    """
    if not names:
        raise InvalidInputError(
            "report",
            "it is empty: its first row names the columns, such as "
            "kind,reference,amount,currency,at,status",
        )
    if _FIELDS.isdisjoint(names):
        for sign, called in _SEPARATORS.items():
            if any(sign in name for name in names):
                raise InvalidInputError(
                    "report[1]",
                    f"its columns are separated by {called}: save it with commas",
                )


def checked(line: object, number: int) -> Line:
    """
    Return a line; what is wrong with it names its number, from 1.
    """
    if isinstance(line, Line):
        return line
    if not isinstance(line, Mapping):
        raise InvalidInputError(
            f"report[{number}]", f"a Line or its fields by name, not {kind_of(line)}"
        )
    try:
        return Line.of(line)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"report[{number}].{error.field}", error.problem
        ) from error
