"""
A report drawn: how orders end, as bars, in SVG.

- One bar a process, of the same length; a piece for each way orders end, largest first.
- What a colour means stands below, with its numbers: nobody has to tell colours apart.
- The same reports give the same text, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias
from xml.sax.saxutils import escape

from ..errors import InvalidInputError
from ..words import language, market_text
from .reports import MarketReport, Where, end_text, percent

__all__ = ["picture"]

# Told apart by most who see colours otherwise (after Okabe and Ito, 2008); grey is
# whatever is left.
_COLOURS: Final = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"),
    *("#D55E00", "#F0E442", "#7A5C00", "#5B3A8C"),
)
_REST: Final = "#8C8C8C"

_INK: Final = "#1A1A1A"
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Arial, sans-serif"

# All in pixels.
_MARGIN: Final = 24
_BAR: Final = 880
_TALL: Final = 36
_LINE: Final = 24
_NAMES: Final = 540
_COLUMN: Final = 150

# About the width of a letter.
_LETTER: Final = 9

# Below so many hundredths of a bar no number fits into a piece.
_ROOM: Final = 7

_REPORTS_MAX: Final = 8

# A name, its colour, and the ways to end that it stands for.
_Entry: TypeAlias = tuple[str, str, tuple[Where, ...]]


def picture(*reports: MarketReport, locale: str = "en") -> str:
    """
    Return a picture of one report, or of several, as SVG.

    Raises:
        InvalidInputError: If there is none, or more than eight.
    """
    if not 1 <= len(reports) <= _REPORTS_MAX:
        raise InvalidInputError("reports", f"from 1 to {_REPORTS_MAX} reports")
    return "\n".join(_drawn(reports, locale)) + "\n"


def _drawn(reports: Sequence[MarketReport], locale: str) -> Iterator[str]:
    ways = _ways(reports)
    shown, rest = ways[: len(_COLOURS)], ways[len(_COLOURS) :]
    entries: list[_Entry] = [
        (end_text(where, locale), colour, (where,))
        for where, colour in zip(shown, _COLOURS, strict=False)
    ]
    if rest:
        entries.append((market_text("other", locale), _REST, tuple(rest)))
    title = market_text("picture", locale)
    top = _MARGIN + _LINE
    legend = top + len(reports) * (_TALL + _LINE + 12) + 16
    height = legend + (len(entries) + 1) * _LINE + _MARGIN
    width = _BAR + 2 * _MARGIN
    letters = max(len(report.process) for report in reports)
    column = max(_COLUMN, _LETTER * letters + 10)
    ends = [_MARGIN + _NAMES + column * (number + 1) for number in range(len(reports))]
    wide = max(width, ends[-1] + _MARGIN)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{height}" '
        f'viewBox="0 0 {wide} {height}" role="img" lang="{language(locale)}" '
        f'aria-labelledby="title desc" font-family="{_FONT}" font-size="14" '
        f'fill="{_INK}">'
    )
    yield f'<title id="title">{escape(title)}</title>'
    yield f'<desc id="desc">{escape(_described(reports, entries, locale))}</desc>'
    yield f'<rect width="{wide}" height="{height}" fill="#FFFFFF"/>'
    yield _text(_MARGIN, _MARGIN + 8, title, 'font-size="17" font-weight="600"')
    for number, report in enumerate(reports):
        y = top + number * (_TALL + _LINE + 12) + 8
        heading = market_text("title", locale) % {
            "process": report.process,
            "orders": report.orders,
            "seed": report.seed,
        }
        yield _text(_MARGIN, y + 12, heading)
        yield from _bar(report, entries, y + 20, locale)
    for x, report in zip(ends, reports, strict=True):
        yield _text(x, legend, report.process, 'text-anchor="end" font-weight="600"')
    for number, (name, colour, where) in enumerate(entries, 1):
        y = legend + number * _LINE
        yield (
            f'<rect x="{_MARGIN}" y="{y - 12}" width="14" height="14" fill="{colour}" '
            f'stroke="{_INK}" stroke-width="0.5"/>'
        )
        yield _text(_MARGIN + 24, y, name)
        for x, report in zip(ends, reports, strict=True):
            count = _count(report, where)
            share = percent(count, report.orders, locale)
            yield _text(x, y, f"{count} ({share})", 'text-anchor="end"')
    yield "</svg>"


def _bar(
    report: MarketReport, entries: Sequence[_Entry], y: int, locale: str
) -> Iterator[str]:
    done = 0
    for name, colour, where in entries:
        count = _count(report, where)
        if not count:
            continue
        # From the sums, so that pieces leave no gap and the bar is always full.
        left = _BAR * done // report.orders
        done += count
        right = _BAR * done // report.orders
        share = percent(count, report.orders, locale)
        told = f"{share} {name}"
        yield (
            f'<rect x="{_MARGIN + left}" y="{y}" width="{right - left}" '
            f'height="{_TALL}" fill="{colour}" stroke="#FFFFFF">'
            f"<title>{escape(told)}</title></rect>"
        )
        if 100 * count >= _ROOM * report.orders:
            middle = _MARGIN + (left + right) // 2
            ink = _INK if colour in _BRIGHT else "#FFFFFF"
            yield _text(
                middle,
                y + _TALL // 2 + 5,
                share,
                f'text-anchor="middle" font-size="13" style="fill:{ink}"',
            )


# Dark letters are read on these.
_BRIGHT: Final = frozenset({"#E69F00", "#56B4E9", "#F0E442", "#CC79A7"})


def _text(x: int, y: int, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{" " if more else ""}{more}>{escape(text)}</text>'


def _ways(reports: Sequence[MarketReport]) -> list[Where]:
    """
    Return the ways orders end in any of the reports, the most frequent first.
    """
    counts: dict[Where, int] = {}
    for report in reports:
        for end in report.ends:
            where = end.state, end.cause
            counts[where] = counts.get(where, 0) + end.orders
    return sorted(counts, key=lambda where: (-counts[where], where))


def _count(report: MarketReport, where: Sequence[Where]) -> int:
    return sum(end.orders for end in report.ends if (end.state, end.cause) in where)


def _described(
    reports: Sequence[MarketReport], entries: Sequence[_Entry], locale: str
) -> str:
    """
    Return what the picture shows, for those who do not see it.
    """
    said = []
    for report in reports:
        parts = [
            f"{percent(_count(report, where), report.orders, locale)} {name}"
            for name, _, where in entries
        ]
        said.append(
            market_text("described", locale)
            % {"process": report.process, "ends": "; ".join(parts)}
        )
    return ". ".join(said)
