"""
The page of precedents: every default has its row, its value is the one that runs, and
the row says where it comes from.

Run as a script, this file writes the values into the rows anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from escrowflow.clock import Months
from escrowflow.fields import plain
from escrowflow.processes import comeup, recommended, vendor_consolidation
from escrowflow.rules import Policies
from escrowflow.words import length_text

PAGE: Final = Path(__file__).parent.parent / "docs" / "explanation" / "precedents.md"
ROW: Final = re.compile(
    r"^\| `(\w+)\.(\w+)` \| (.*?) \| (.*?) \| (.+) \|$", re.MULTILINE
)
OTHERS: Final = {
    "vendor_consolidation": vendor_consolidation().policies,
    "recommended": recommended().policies,
}


def text_of(value: Any) -> str:
    """
    Return a value as a reader has it.
    """
    if isinstance(value, timedelta | Months):
        return length_text(value)
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        said = [f"{key}: {text_of(one)}" for key, one in value.items()]
        return "; ".join(said) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Collection) and not isinstance(value, str):
        if all(type(one) is int for one in value) and value:
            return " to ".join(map(str, value))
        listed = sorted(value) if isinstance(value, frozenset) else value
        return ", ".join(text_of(one) for one in listed) or "none"
    if isinstance(value, str | int):
        return f"`{value}`" if isinstance(value, str) else str(value)
    data = plain(value)
    return data if isinstance(data, str) else f"`{type(value).__name__}()`"


def differing(value: Any, other: Any) -> str:
    """
    Return another value, the short way: of a set, what is more and what is less.
    """
    if not isinstance(value, frozenset):
        return text_of(other)
    more, less = other - value, value - other
    said = [f"with {text_of(more)}"] if more else []
    return " and ".join([*said, f"without {text_of(less)}"] if less else said)


def defaults() -> Iterator[tuple[str, str, str, str]]:
    """
    Yield each field of each policy: its subject and name, what it is in `comeup`, and
    where another built-in process has something else.
    """
    policies = comeup().policies
    for subject in attrs.fields(Policies):
        policy = getattr(policies, subject.name)
        for field in attrs.fields(type(policy)):
            value = getattr(policy, field.name)
            others = {
                name: getattr(getattr(other, subject.name), field.name)
                for name, other in OTHERS.items()
            }
            yield (
                subject.name,
                str(field.alias),
                text_of(value),
                ", ".join(
                    f"{name}: {differing(value, other)}"
                    for name, other in others.items()
                    if other != value
                ),
            )


def page() -> str:
    """
    Return the page as it is.
    """
    return PAGE.read_text(encoding="utf-8")


def refreshed() -> str:
    """
    Return the page with the values that run; what is written of them stays.
    """
    known = {
        (subject, field): (value, others)
        for subject, field, value, others in defaults()
    }

    def row(found: re.Match[str]) -> str:
        value, others = known[found[1], found[2]]
        return f"| `{found[1]}.{found[2]}` | {value} | {others} | {found[5]} |"

    return ROW.sub(row, page())


def test_every_field_has_its_row_once() -> None:
    """
    No default is without its source, in the order of the policies.
    """
    rows = [(found[1], found[2]) for found in ROW.finditer(page())]

    assert rows == [(subject, field) for subject, field, _, _ in defaults()]


@pytest.mark.parametrize(
    ("subject", "field", "value", "others"),
    list(defaults()),
    ids=[f"{subject}.{field}" for subject, field, _, _ in defaults()],
)
def test_row_is_what_runs(subject: str, field: str, value: str, others: str) -> None:
    """
    The values on the page are those of the code; a source is a link, or it is ours and
    says why.
    """
    (row,) = (
        found for found in ROW.finditer(page()) if found.group(1, 2) == (subject, field)
    )

    assert row.group(3, 4) == (value, others), (
        "refresh it: python tests/test_precedents_page.py"
    )
    assert "](" in row[5] or re.search(r"\bOurs, because \w+", row[5])


if __name__ == "__main__":
    PAGE.write_text(refreshed(), encoding="utf-8")
