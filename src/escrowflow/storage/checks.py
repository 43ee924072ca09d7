"""
What every storage checks of its arguments, and how a page says where it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import InvalidInputError
from . import CHANGES_MAX, LIMIT_MAX, Change

__all__ = [
    "NEVER",
    "RESULTS",
    "after_text",
    "check_changes",
    "check_limit",
    "place_after",
]

# Later than every instant: the place of an order that waits for nothing.
NEVER: Final = 2**63 - 1

# What an attempt at an effect can end with.
RESULTS: Final = frozenset({"done", "waiting", "parked"})


def check_changes(changes: Sequence[Change]) -> None:
    """
    Raise if a batch is wrong by itself, whatever is stored.

    Raises:
        InvalidInputError: If it is too long, names an order twice, or the events
            of a change do not lead from its expected version to its version.
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


def check_limit(limit: int) -> None:
    """
    Raise if so many cannot be asked for at once.

    Raises:
        InvalidInputError: If it is not between 1 and 1000.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInputError("limit", f"1 to {LIMIT_MAX}, not {limit}")


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
    due_at, colon, order_id = after.partition(":")
    if by_due and colon and due_at.isascii() and due_at.isdigit():
        return min(int(due_at[:20]), NEVER), order_id
    if not by_due and colon and not due_at:
        return NEVER, order_id
    raise InvalidInputError(
        "after", "the `after` of a page that was found in the same order"
    )
