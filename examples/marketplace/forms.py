"""
A form for each command, read the way it was drawn: by the command's own fields.

`Option.fields` says what a command takes now, `templates/form.html` draws it, and `read`
turns what a browser posts, flat and all text, into what `Process.parse` takes.  What
does not fit its kind is passed on as it is: `parse` says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import escrowflow as ef


def read(
    fields: Iterable[ef.Field], posted: Mapping[str, str], zone: str, currency: str
) -> dict[str, Any]:
    """
    Return what somebody filled in, by field; what was left empty is not in it.

    Args:
        posted: What the browser sent; a field of a field is `ruling.to_buyer`.

        zone: Whose wall clock a date is meant on.

        currency: That of the order.
    """
    return _Reading(posted, ZoneInfo(zone), currency).fields(fields, "")


class _Reading:
    def __init__(
        self, posted: Mapping[str, str], zone: ZoneInfo, currency: str
    ) -> None:
        self._posted = posted
        self._zone = zone
        self._currency = currency

    def fields(self, fields: Iterable[ef.Field], within: str) -> dict[str, Any]:
        values = {
            field.name: self._value(field, f"{within}{field.name}")
            for field in fields
            if not field.vouched
        }
        return {name: value for name, value in values.items() if value is not None}

    def _value(self, field: ef.Field, name: str) -> Any:
        text = self._posted.get(name, "").strip()
        if field.kind == "flag":
            return bool(text)
        if field.kind == "ruling":
            chosen = [part for part in field.fields if part.choice == text]
            return {"kind": text, **self.fields(chosen, f"{name}.")} if text else None
        if field.fields:
            return self.fields(field.fields, f"{name}.") or None
        if not text:
            return None
        with suppress(ValueError):
            if field.kind == "integer" and text not in field.choices:
                return int(text)
            if field.kind == "instant":
                return datetime.fromisoformat(text).replace(tzinfo=self._zone)
        if field.kind == "money":
            return {"amount": text.replace(",", "."), "currency": self._currency}
        if field.kind == "window" and text.isdigit():
            return f"P{int(text)}D"
        if field.kind == "references":
            return text.split()
        return text
