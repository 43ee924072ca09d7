"""
An order's story for people: who did what, when, why, and what became of the money.

- A pure fold over the history: nothing is stored for it.
- Told as text for a terminal or a mail, and as HTML for a page; `to_json` tells it
  to programs.  Instants are those of the reader's zone.
- What people wrote can never pass for what we say: in a text it is set in, in HTML
  it is escaped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Final, TypeAlias, final

import attrs
from pendulum import DateTime

from .decisions.moves import Move, moved
from .events import PaymentReturned, Recorded
from .history import evolve
from .inputs import FrozenDict, Text
from .ledger import Ledger
from .order import Order
from .parties import OUTBOX, SYSTEM, Actor
from .parts import Ending
from .words import (
    cause_text,
    event_text,
    instant_text,
    language,
    move_text,
    number_text,
    role_text,
    state_text,
    story_text,
)

__all__ = [
    "NO_NAMES",
    "Line",
    "Moment",
    "Names",
    "actor_html",
    "actor_text",
    "as_html",
    "as_lines",
    "as_text",
    "called",
    "instant_html",
    "quoted",
    "quoted_html",
    "timeline",
]

# What people are called, by their id.
Names: TypeAlias = Mapping[str, str]

NO_NAMES: Final[Names] = FrozenDict()

# The fields in which an event carries what somebody said.
_WORDS: Final = ("reason", "text", "note")


@final
@attrs.frozen(kw_only=True)
class Moment:
    """
    One event of an order, as people tell it.

    Attributes:
        at: When it counts.

        recorded_at: When it was written down.

        by: Who caused it; the system for due deadlines.

        event: The name of the event: `order_accepted`.

        said: What somebody said with it; empty if nothing, or if it was erased.

        cause: Why it came about, as a code that `cause_text` tells; empty if the
            event says it all.

        state: The state after it.

        late: Whether the order was late after it.

        moved: The money it moved; empty if none.

        ledger: The books after it.
    """

    at: DateTime
    recorded_at: DateTime
    by: Actor
    event: str
    said: Text
    cause: str = ""
    state: str
    late: bool
    moved: tuple[Move, ...] = ()
    ledger: Ledger


def timeline(history: Iterable[Recorded]) -> tuple[Moment, ...]:
    """
    Return the story of an order, oldest first.

    Args:
        history: The whole history, from `order_placed` on.
    """
    order: Order | None = None
    moments = []
    for recorded in history:
        before, order = order, evolve(order, recorded)
        event = recorded.event
        ending = getattr(event, "ending", None)
        moments.append(
            Moment(
                at=recorded.effective_at,
                recorded_at=recorded.recorded_at,
                by=recorded.by,
                event=event.name,
                said=_said(event, ending),
                cause=_cause(event, ending),
                state=order.state,
                late=order.late,
                moved=() if before is None else moved(before, order),
                ledger=order.ledger,
            )
        )
    return tuple(moments)


def _said(*parts: object) -> Text:
    found = (getattr(part, name, "") for part in parts for name in _WORDS)
    said = next((one for one in found if one or getattr(one, "erased", False)), "")
    return said if isinstance(said, Text) else Text(str(said))


def _cause(event: object, ending: Ending | None) -> str:
    if ending is not None:
        return ending.cause
    if isinstance(event, PaymentReturned):
        return event.why
    return str(getattr(event, "cause", ""))


# --- as text ----------------------------------------------------------------------

_HEADS: Final = ("when", "who", "what", "state", "held", "refunded", "released", "kept")

# Where the columns of money begin; they are set to the right.
_MONEY: Final = 4

_INDENT: Final = "    "

# What would turn the rest of a line around on a terminal: embeddings and overrides.
_TURNING: Final = dict.fromkeys(
    (*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"
)


@final
@attrs.frozen
class Line:
    """
    A line to print, and what it is: `head`, `moment` or `why`; a page around it may
    have its own, such as `title`.
    """

    kind: str
    text: str


def as_text(
    moments: Iterable[Moment],
    *,
    locale: str = "en",
    zone: str = "UTC",
    width: int | None = None,
    names: Names = NO_NAMES,
) -> str:
    """
    Return a story as lines of text, with a line feed at the end of each.

    Args:
        locale: The language; English where it is unknown.

        zone: Whose wall clock: a name of the IANA database.

        width: The columns there are; `None` for as many as it takes.

        names: What people are called, by their id; whoever has no name in it is called
            by the id.

    Raises:
        InvalidInputError: If the zone is unknown.
    """
    (lines,) = as_lines(
        [tuple(moments)], locale=locale, zone=zone, width=width, names=names
    )
    return "".join(f"{line.text}\n" for line in lines)


def as_lines(
    stories: Sequence[Sequence[Moment]],
    *,
    locale: str = "en",
    zone: str = "UTC",
    width: int | None = None,
    names: Names = NO_NAMES,
) -> list[list[Line]]:
    """
    Return stories as aligned lines, the columns in one place from the first story to
    the last; the arguments are those of `as_text`.

    Under each moment stands why it came about and what money it moved.
    """
    heads = [story_text(name, locale) for name in _HEADS]
    tables = [
        [_cells(one, locale, zone, names) for one in moments] for moments in stories
    ]
    columns = zip(heads, *(row for rows in tables for row in rows), strict=True)
    widths = [max(map(len, column)) for column in columns]
    # What does not fit gets the state and the money on a line of their own.
    broken = width is not None and sum(widths) + 2 * (len(widths) - 1) > width
    found = []
    for moments, rows in zip(stories, tables, strict=True):
        lines = list(_row("head", heads, widths, broken))
        for moment, cells in zip(moments, rows, strict=True):
            lines += _row("moment", cells, widths, broken)
            lines += _why(moment, locale, width)
        found.append(lines)
    return found


def _cells(moment: Moment, locale: str, zone: str, names: Names) -> list[str]:
    state = state_text(moment.state, locale)
    late = f"{state} ({story_text('late', locale)})"
    ledger = moment.ledger
    money = (ledger.held, ledger.refunded, ledger.released, ledger.kept)
    return [
        instant_text(moment.at, locale, zone),
        actor_text(moment.by, locale, names),
        event_text(moment.event, locale),
        late if moment.late else state,
        *(number_text(amount, locale) for amount in money),
    ]


def _row(
    kind: str, cells: Sequence[str], widths: Sequence[int], broken: bool
) -> Iterator[Line]:
    padded = [
        cell.rjust(size) if number >= _MONEY else cell.ljust(size)
        for number, (cell, size) in enumerate(zip(cells, widths, strict=True))
    ]
    if broken:
        yield Line(kind, "  ".join(padded[:3]).rstrip())
        yield Line(kind, _INDENT + "  ".join(padded[3:]).rstrip())
    else:
        yield Line(kind, "  ".join(padded).rstrip())


def _why(moment: Moment, locale: str, width: int | None) -> Iterator[Line]:
    for text in quoted(moment.said, locale, width):
        yield Line("why", text)
    for text in _reasons(moment, locale):
        yield Line("why", _INDENT + text)


def _reasons(moment: Moment, locale: str) -> Iterator[str]:
    if moment.cause:
        yield cause_text(moment.cause, locale)
    for move in moment.moved:
        yield move_text(move.to, move.most, locale)


# Who has no name of their own.
_NOBODY: Final = (SYSTEM, OUTBOX)


def actor_text(actor: Actor, locale: str = "en", names: Names = NO_NAMES) -> str:
    """
    Return who somebody is: `buyer ana`, `system`.
    """
    role = role_text(actor.role.text, locale)
    return role if actor in _NOBODY else f"{role} {called(actor.id, names)}"


def called(person_id: str, names: Names) -> str:
    """
    Return what somebody is called, on one line that nothing turns around.
    """
    name = " ".join(names.get(person_id, "").split())
    return name.translate(_TURNING) or person_id


def quoted(said: Text, locale: str = "en", width: int | None = None) -> Iterator[str]:
    """
    Yield what somebody said as lines that are set in, each after a bar; that it was
    erased, if it was; nothing if nothing was said.
    """
    if said.erased:
        yield f"{_INDENT}({story_text('erased', locale)})"
    room = None if width is None else max(width - len(_INDENT) - 2, 20)
    for line in said.translate(_TURNING).splitlines():
        parts = [line] if room is None else textwrap.wrap(line, room) or [""]
        for part in parts:
            yield f"{_INDENT}| {part}".rstrip()


# --- as HTML ----------------------------------------------------------------------


def as_html(
    moments: Iterable[Moment],
    *,
    locale: str = "en",
    zone: str = "UTC",
    names: Names = NO_NAMES,
) -> str:
    """
    Return a story as an HTML list, to be put into a page of yours.

    Everything is escaped, nothing runs, and nothing is fetched.  The classes are
    `escrowflow-timeline`, and `who`, `what`, `state`, `why`, `money` inside it.

    Args:
        locale: The language; English where it is unknown.

        zone: Whose wall clock: a name of the IANA database.

        names: What people are called, by their id; whoever has no name in it is called
            by the id.

    Raises:
        InvalidInputError: If the zone is unknown.
    """
    label = escape(story_text("timeline", locale))
    items = "".join(_item(moment, locale, zone, names) for moment in moments)
    return (
        f'<ol class="escrowflow-timeline" lang="{language(locale)}" aria-label="{label}">\n'
        f"{items}</ol>\n"
    )


def _item(moment: Moment, locale: str, zone: str, names: Names) -> str:
    state = state_text(moment.state, locale)
    if moment.late:
        state = f"{state} ({story_text('late', locale)})"
    why = quoted_html(moment.said, locale)
    if moment.cause:
        why += f'<p class="why">{escape(cause_text(moment.cause, locale))}</p>\n'
    money = "".join(
        f'<p class="money">{escape(move_text(move.to, move.most, locale))}</p>\n'
        for move in moment.moved
    )
    return (
        "<li>\n"
        f"<p>{instant_html(moment.at, locale, zone)} "
        f'<span class="who">{actor_html(moment.by, locale, names)}</span> '
        f'<strong class="what">{escape(event_text(moment.event, locale))}</strong> '
        f'<span class="state">{escape(state)}</span></p>\n'
        f"{why}{money}</li>\n"
    )


def actor_html(actor: Actor, locale: str = "en", names: Names = NO_NAMES) -> str:
    """
    Return who somebody is, as HTML; the name cannot turn around what is beside it.
    """
    role = escape(role_text(actor.role.text, locale))
    if actor in _NOBODY:
        return role
    return f"{role} <bdi>{escape(called(actor.id, names))}</bdi>"


def instant_html(instant: DateTime, locale: str = "en", zone: str = "UTC") -> str:
    """
    Return an instant as an HTML `time`: to the millisecond for programs, on the
    reader's wall for people.
    """
    # HTML knows no more than three decimals of a second.
    exact = datetime.isoformat(instant, timespec="milliseconds")
    shown = escape(instant_text(instant, locale, zone))
    return f'<time datetime="{exact}">{shown}</time>'


def quoted_html(said: Text, locale: str = "en") -> str:
    """
    Return what somebody said as an HTML quotation; that it was erased, if it was;
    nothing if nothing was said.
    """
    if said.erased:
        return f'<p class="why">({escape(story_text("erased", locale))})</p>\n'
    if not said:
        return ""
    words = "<br>\n".join(escape(line) for line in said.splitlines())
    # The direction is that of the words, whatever the page's.
    return f'<blockquote class="why" dir="auto">{words}</blockquote>\n'
