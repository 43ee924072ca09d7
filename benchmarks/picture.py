"""
The commands drawn, as bars in SVG: each contestant beside the shortest code by hand,
which is the full bar, and a mark where the goal is.

It has its own white ground, so it reads on a dark page too; every bar has its number and
its name, so nobody has to tell colours apart.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from . import dbos_orders, durable, server
from .goals import DURABLE_GOALS, ratio
from .rounds import Figures

__all__ = ["described", "picture"]

_TITLE: Final = "One command, beside the shortest code by hand"

# By whom, what the bar is called, its colour (after Okabe and Ito, 2008).
_BARS: Final = (
    ((durable.BY_HAND, server.BY_HAND), "by hand", "#8C8C8C"),
    ((durable.OURS,), "escrowflow", "#0072B2"),
    ((durable.ORM,), "SQLAlchemy ORM", "#E69F00"),
    ((dbos_orders.DBOS,), "DBOS", "#CC79A7"),
)

_INK: Final = "#1A1A1A"
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Arial, sans-serif"

# All in pixels; a bar is full where one is as fast as the code by hand.
_WIDE: Final = 760
_MARGIN: Final = 24
_NAMES: Final = 130
_FULL: Final = 340
_TALL: Final = 18
_LINE: Final = 24
_GAP: Final = 18


def _panels(figures: Figures) -> Iterator[tuple[str, Figures, float]]:
    """
    Yield what is drawn, its rates, and the goal.
    """
    sqlite, postgres = figures["durable"], figures["server"]
    most = max(postgres["on"], key=int)
    yield "SQLite, relaxed", sqlite["NORMAL"], DURABLE_GOALS["NORMAL"][0]
    yield "SQLite, every commit synced", sqlite["FULL"], DURABLE_GOALS["FULL"][0]
    one = "PostgreSQL, one connection"
    yield (
        f"{one}, synchronous_commit=off",
        postgres["off"]["1"],
        DURABLE_GOALS["off"][0],
    )
    yield (
        f"PostgreSQL, {most} connections, every commit synced",
        postgres["on"][most],
        DURABLE_GOALS["on"][0],
    )


def _bars(rates: Figures) -> Iterator[tuple[str, str, float, float]]:
    """
    Yield name, colour, share of the code by hand, and steps a second.
    """
    (hand,) = {durable.BY_HAND, server.BY_HAND} & set(rates)
    for names, called, colour in _BARS:
        for name in names:
            share = ratio(rates, name, hand) if name in rates else None
            if share is not None:
                yield called, colour, share, statistics.median(rates[name])


def described(figures: Figures) -> str:
    """
    Return what the picture shows, for those who do not see it.
    """
    return ". ".join(
        f"{title}: "
        + ", ".join(f"{called} {share:.2f}" for called, _, share, _ in _bars(rates))
        + f"; the goal is {goal:.2f}"
        for title, rates, goal in _panels(figures)
    )


def picture(figures: Figures) -> str:
    """
    Return the picture, the same text for the same figures.
    """
    drawn: list[str] = []
    y = _MARGIN + _LINE + _GAP
    for title, rates, goal in _panels(figures):
        drawn.append(_text(_MARGIN, y, title, 'font-weight="600"'))
        y += _LINE // 2
        top = y
        for called, colour, share, rate in _bars(rates):
            middle = y + _TALL - 4
            drawn.append(_text(_MARGIN, middle, called))
            # One that is much faster must not leave the picture.
            long = max(1, round(min(share, 1.3) * _FULL))
            left = _MARGIN + _NAMES
            drawn.append(
                f'<rect x="{left}" y="{y}" width="{long}" height="{_TALL}" '
                f'fill="{colour}"/>'
            )
            told = f"{share:.2f}  ({rate:,.0f} a second)"
            right = max(left + long, left + round(goal * _FULL)) + 10
            drawn.append(_text(right, middle, told))
            y += _LINE
        mark = _MARGIN + _NAMES + round(goal * _FULL)
        drawn.append(
            f'<path d="M{mark} {top - 4}V{y}" stroke="{_INK}" stroke-width="2" '
            f'stroke-dasharray="5 3"/>'
        )
        drawn.append(
            _text(
                mark, y + 12, f"goal {goal:.2f}", 'text-anchor="middle" font-size="12"'
            )
        )
        y += _LINE + _GAP
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{y}" '
            f'viewBox="0 0 {_WIDE} {y}" role="img" lang="en" '
            f'aria-labelledby="title desc" font-family="{_FONT}" font-size="14" '
            f'fill="{_INK}">',
            f'<title id="title">{_TITLE}</title>',
            f'<desc id="desc">{escape(described(figures))}</desc>',
            f'<rect width="{_WIDE}" height="{y}" fill="#FFFFFF"/>',
            _text(_MARGIN, _MARGIN + 8, _TITLE, 'font-size="17" font-weight="600"'),
            *drawn,
            "</svg>\n",
        )
    )


def _text(x: int, y: int, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{" " if more else ""}{more}>{escape(text)}</text>'
