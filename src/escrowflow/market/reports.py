"""
What became of a market: a report, and two of them held against each other.

Everything is counted from the orders, in whole minor units and whole seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias, final

import attrs

from ..errors import InvalidInputError
from ..inputs import kind_of
from ..money import Money, Share
from ..telling import to_json
from ..timeline import Line
from ..words import (
    amount_text,
    cause_text,
    command_text,
    length_text,
    market_text,
    state_text,
)
from .living import Lived
from .people import People

__all__ = [
    "LOSSES",
    "Comparison",
    "End",
    "Held",
    "Loss",
    "MarketReport",
    "Where",
    "compare",
    "end_text",
    "percent",
    "report_of",
]

# A state, and why the order ended there; empty where it is still open.
Where: TypeAlias = tuple[str, str]

_THOUSAND: Final = 1_000
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def _seller_unpaid(one: Lived) -> int:
    return one.paid if one.in_time and one.cause and not one.released else 0


def _paid_for_nothing(one: Lived) -> int:
    return one.released + one.kept if one.cause and not one.usable else 0


# What nobody wishes for, with what it costs in an order; zero if it did not happen.
LOSSES: Final[Mapping[str, Callable[[Lived], int]]] = {
    "seller_unpaid": _seller_unpaid,
    "paid_for_nothing": _paid_for_nothing,
    "platform_keeps": lambda one: one.kept,
    "stuck": lambda one: one.held,
}


@final
@attrs.frozen(kw_only=True)
class End:
    """
    Where orders came to, and their money.

    Attributes:
        state: The state.

        cause: Why they ended; empty if they are still open.

        orders: How many.

        held, refunded, released, kept: Their money.
    """

    state: str
    cause: str
    orders: int
    held: Money
    refunded: Money
    released: Money
    kept: Money

    def name(self, locale: str = "en") -> str:
        """
        Return what it is called: the state and the cause, or the state it is still in.
        """
        return end_text((self.state, self.cause), locale)


@final
@attrs.frozen(kw_only=True)
class Held:
    """
    How long money was held, in orders that were paid and have ended.

    Attributes:
        orders: How many orders.

        median, p90, longest: Half of them took no longer, nine of ten, all of them.
    """

    orders: int
    median: timedelta
    p90: timedelta
    longest: timedelta


@final
@attrs.frozen(kw_only=True)
class Loss:
    """
    Something that nobody wishes for.

    Attributes:
        code: `seller_unpaid`: usable work was delivered in time, and the seller got
            nothing; `paid_for_nothing`: no usable work was ever delivered, and not all
            went back to the buyer; `platform_keeps`: the platform kept money, fees
            included; `stuck`: money is still held at the end.

        orders: In how many orders.

        amount: How much.
    """

    code: str
    orders: int
    amount: Money


@final
@attrs.frozen(kw_only=True)
class MarketReport:
    """
    What became of a market.

    Attributes:
        process: The name of the process.

        fingerprint: Its fingerprint.

        seed: What chance was seeded with.

        people: Who there was.

        orders: How many orders were placed.

        paid: What came in.

        ends: Where the orders came to, the most frequent first.

        held: How long money was held; `None` if no order that was paid has ended.

        disputes: In how many orders a mediator was called.

        late: How many orders were ever late.

        losses: What nobody wishes for, each code once.

        unused: Commands of the process that these people do not know.

        lives: What became of each order, in the order of their numbers.
    """

    process: str
    fingerprint: str
    seed: int
    people: People = attrs.field(repr=False)
    orders: int
    paid: Money
    ends: tuple[End, ...]
    held: Held | None
    disputes: int
    late: int
    losses: tuple[Loss, ...]
    unused: tuple[str, ...]
    lives: tuple[Lived, ...] = attrs.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """
        Return it as plain JSON data, but for the single orders.
        """
        told: dict[str, Any] = to_json(
            {
                field.name: getattr(self, field.name)
                for field in attrs.fields(MarketReport)
                if field.name not in ("people", "lives", "ends", "losses", "held")
            }
        )
        told["ends"] = [to_json(attrs.asdict(end, recurse=False)) for end in self.ends]
        told["losses"] = [
            to_json(attrs.asdict(loss, recurse=False)) for loss in self.losses
        ]
        told["held"] = None if self.held is None else to_json(attrs.asdict(self.held))
        return told

    def lines(self, *, locale: str = "en", width: int | None = None) -> list[Line]:
        """
        Return it for people, as a table.

        Args:
            locale: The language; English where it is unknown.

            width: The columns there are; `None` for as many as it takes.
        """

        def said(name: str, **parts: Any) -> str:
            return market_text(name, locale) % parts

        lines = [
            Line(
                "title",
                said("title", process=self.process, orders=self.orders, seed=self.seed),
            )
        ]
        heads = [said(name) for name in _HEADS]
        rows = [
            [
                end.name(locale),
                str(end.orders),
                percent(end.orders, self.orders, locale),
                *(
                    amount_text(getattr(end, name), locale)
                    for name in ("refunded", "released", "kept", "held")
                ),
            ]
            for end in self.ends
        ]
        lines += _table(heads, rows, width)
        lines.append(Line("moment", ""))
        if self.held is not None:
            lengths = {
                name: _length(getattr(self.held, name), locale)
                for name in ("median", "p90", "longest")
            }
            lines.append(Line("moment", said("escrow", **lengths)))
        for name, count in (("disputes", self.disputes), ("late", self.late)):
            share = percent(count, self.orders, locale)
            lines.append(Line("moment", said(name, orders=count, share=share)))
        for loss in self.losses:
            amount = amount_text(loss.amount, locale)
            lines.append(
                Line("moment", said(loss.code, orders=loss.orders, amount=amount))
            )
        if self.unused:
            names = ", ".join(command_text(name, locale) for name in self.unused)
            lines.append(Line("why", said("unused", names=names)))
        return lines


# How many ways that differ are told one by one.
_SHOWN: Final = 12

_HEADS: Final = ("ending", "orders", "share", "refunded", "released", "kept", "held")


# --- two of them ------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Comparison:
    """
    The same people under two processes.

    Attributes:
        first, second: The two reports.

        moved: Where orders came to under the first, where under the second, and how
            many; only those that differ, the most frequent first.

        spared: By code of a loss, in how many orders the second process spares it.

        added: By code of a loss, in how many orders only the second brings it.
    """

    first: MarketReport
    second: MarketReport
    moved: tuple[tuple[Where, Where, int], ...]
    spared: Mapping[str, int]
    added: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """
        Return it as plain JSON data.
        """
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "moved": [
                {
                    "from": {"state": before[0], "cause": before[1]},
                    "to": {"state": after[0], "cause": after[1]},
                    "orders": count,
                }
                for before, after, count in self.moved
            ],
            "spared": dict(self.spared),
            "added": dict(self.added),
        }

    def lines(self, *, locale: str = "en", width: int | None = None) -> list[Line]:
        """
        Return it for people: both reports, and what differs.
        """

        def said(name: str, **parts: Any) -> str:
            return market_text(name, locale) % parts

        lines = [
            *self.first.lines(locale=locale, width=width),
            Line("moment", ""),
            *self.second.lines(locale=locale, width=width),
            Line("moment", ""),
            Line(
                "title",
                said("against", first=self.first.process, second=self.second.process),
            ),
        ]
        rows = [
            [
                market_text(f"{code}_name", locale),
                str(self.spared[code]),
                str(self.added[code]),
            ]
            for code in LOSSES
        ]
        lines += _table(
            [said(name) for name in ("loss", "spared", "added")], rows, width
        )
        lines.append(Line("moment", ""))
        rows = [
            [end_text(before, locale), end_text(after, locale), str(count)]
            for before, after, count in self.moved[:_SHOWN]
        ]
        rest = sum(count for *_, count in self.moved[_SHOWN:])
        if rest:
            rows.append([said("more"), "", str(rest)])
        heads = [self.first.process, self.second.process, said("orders")]
        lines += _table(heads, rows, width, texts=2) if rows else []
        return lines


def compare(first: MarketReport, second: MarketReport) -> Comparison:
    """
    Hold two reports on the same people against each other, order by order.

    Raises:
        InvalidInputError: If they are not about the same people and orders.
    """
    for name, report in (("first", first), ("second", second)):
        if not isinstance(report, MarketReport):
            raise InvalidInputError(name, f"a MarketReport, not {kind_of(report)}")
    known = [(report.seed, report.orders, report.people) for report in (first, second)]
    if known[0] != known[1]:
        raise InvalidInputError(
            "second", "another market: the same seed, orders and people are needed"
        )
    moved: Counter[tuple[Where, Where]] = Counter()
    spared, added = dict.fromkeys(LOSSES, 0), dict.fromkeys(LOSSES, 0)
    for one, other in zip(first.lives, second.lives, strict=True):
        if (one.state, one.cause) != (other.state, other.cause):
            moved[(one.state, one.cause), (other.state, other.cause)] += 1
        for code, cost in LOSSES.items():
            spared[code] += bool(cost(one)) and not cost(other)
            added[code] += bool(cost(other)) and not cost(one)
    return Comparison(
        first=first,
        second=second,
        moved=tuple(
            (before, after, count)
            for (before, after), count in sorted(
                moved.items(), key=lambda item: (-item[1], item[0])
            )
        ),
        spared=spared,
        added=added,
    )


# --- making one -------------------------------------------------------------------


def report_of(
    lives: Sequence[Lived],
    *,
    process: str,
    fingerprint: str,
    seed: int,
    people: People,
    unused: Iterable[str],
) -> MarketReport:
    """
    Return the report on orders, given in the order of their numbers.
    """
    currency = people.goods.currency

    def money(amounts: Iterable[int]) -> Money:
        return Money(sum(amounts), currency)

    ends: dict[Where, list[Lived]] = {}
    for one in lives:
        ends.setdefault((one.state, one.cause), []).append(one)
    seconds = sorted(one.seconds for one in lives if one.seconds is not None)
    costs = {code: [cost(one) for one in lives] for code, cost in LOSSES.items()}
    return MarketReport(
        process=process,
        fingerprint=fingerprint,
        seed=seed,
        people=people,
        orders=len(lives),
        paid=money(one.paid for one in lives),
        ends=tuple(
            End(
                state=state,
                cause=cause,
                orders=len(found),
                held=money(one.held for one in found),
                refunded=money(one.refunded for one in found),
                released=money(one.released for one in found),
                kept=money(one.kept for one in found),
            )
            for (state, cause), found in sorted(
                ends.items(), key=lambda item: (-len(item[1]), item[0])
            )
        ),
        held=(
            Held(
                orders=len(seconds),
                median=_rank(seconds, 50),
                p90=_rank(seconds, 90),
                longest=timedelta(seconds=seconds[-1]),
            )
            if seconds
            else None
        ),
        disputes=sum(one.disputed for one in lives),
        late=sum(one.late for one in lives),
        losses=tuple(
            Loss(code=code, orders=sum(map(bool, found)), amount=money(found))
            for code, found in costs.items()
        ),
        unused=tuple(unused),
        lives=tuple(lives),
    )


def _rank(ordered: Sequence[int], percent: int) -> timedelta:
    """
    Return what so many of a hundred do not exceed: the nearest rank.
    """
    place = -(-len(ordered) * percent // 100)
    return timedelta(seconds=ordered[max(place - 1, 0)])


# --- as text ----------------------------------------------------------------------


def percent(count: int, whole: int, locale: str = "en") -> str:
    """
    Return a share in tenths of a percent, rounded half up.
    """
    if not whole:
        return amount_text(Share(0, 1), locale)
    tenths = (2 * _THOUSAND * count + whole) // (2 * whole)
    return amount_text(Share(tenths, _THOUSAND), locale)


def _length(window: timedelta, locale: str) -> str:
    """
    Return a length to whole days, or to whole hours if it is less than three.
    """
    unit = _DAY if window >= 3 * _DAY else _HOUR
    return length_text(max((window + unit / 2) // unit, 1) * unit, locale)


def end_text(where: Where, locale: str = "en") -> str:
    """
    Return what a way to end is called: the same cause may end orders in several states.
    """
    state, cause = where
    told = {"state": state_text(state, locale), "cause": cause_text(cause, locale)}
    return market_text("ended" if cause else "open", locale) % told


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    texts: int = 1,
) -> Iterator[Line]:
    """
    Yield rows in columns: texts to the left, numbers to the right.  Where they do not
    fit, the numbers go on a line of their own.
    """
    columns = [*zip(heads, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    broken = width is not None and sum(widths) + 2 * (len(widths) - 1) > width
    for number, row in enumerate([heads, *rows]):
        kind = "head" if number == 0 else "moment"
        cells = [
            cell.ljust(wide) if place < texts else cell.rjust(wide)
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        if not broken:
            yield Line(kind, "  ".join(cells).rstrip())
            continue
        for text in row[:texts]:
            yield Line(kind, text)
        yield Line(kind, ("    " + "  ".join(row[texts:])).rstrip())
