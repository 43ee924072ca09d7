"""
The figures of a seller: pure folds over histories (R42, R43, R102 to R112).

- `Marks` are what one order counts for, a `Tally` is the sum of the marks of a
  seller's orders.  Both are plain values that you store: a new event of an order
  takes its old marks out of the tally and puts the new ones in, whatever the number
  of orders.
- What is counted does not depend on a policy.  `figures` asks one when it reads: the
  same tally gives the figures of several.
- Everything is counted by the day of the calendar, in the zone of the tally, so that
  figures move with the days, without a new event.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Self, TypeAlias, final

import attrs
from pendulum import DateTime

from .clock import Months, Window, as_utc, check_zone, local_date
from .decisions.figures import CLOCKS, FIGURES, RATES, Course, followed, items, touched
from .errors import InvalidInputError
from .events import Recorded
from .inputs import FrozenDict, Text, as_id, kind_of
from .money import Money
from .order import Order
from .parties import Role
from .policies import StatisticsPolicy, Verdict

__all__ = [
    "CLOCKS",
    "FIGURES",
    "DaySales",
    "Figures",
    "Marks",
    "PublicCancellation",
    "Rate",
    "Score",
    "Tally",
    "average_of",
    "figures",
    "fold",
    "public_cancellations",
    "recount",
    "sales_by_day",
    "touched",
]

# Shown as no less (R109).
SHOWN_MIN: Final = timedelta(hours=1)

# By month, by day, by what is counted: so that a step copies a month at most.
_Months: TypeAlias = Mapping[str, Mapping[str, Mapping[str, int]]]
_Change: TypeAlias = tuple[tuple[str, str], int]


def _seller_id(value: object) -> str:
    return as_id(value, "seller_id")


def _zone(value: object) -> str:
    return check_zone(value, "zone")


# --- what is stored ---------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Marks:
    """
    What one order counts for so far.

    Attributes:
        order_id: The order.

        seller_id: Its seller.

        version: How many of its events are in it: what makes counting idempotent.

        zone: In which zone its days are days.

        months: The counters, as in `Tally`.
    """

    order_id: str
    seller_id: str = attrs.field(converter=_seller_id)
    version: int
    zone: str = attrs.field(converter=_zone)
    months: _Months

    def to_json(self) -> dict[str, Any]:
        """
        Return it as plain JSON data.
        """
        return {**_plain(self), "order_id": self.order_id, "version": self.version}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """
        Return what `to_json` gave.

        Raises:
            InvalidInputError: If it is something else.
        """
        given = _read(data, "marks", "order_id", "version")
        version = given["version"]
        if type(version) is not int or version < 1:
            raise InvalidInputError("marks.version", "a whole number from 1")
        return cls(**{**given, "order_id": as_id(given["order_id"], "marks.order_id")})


@final
@attrs.frozen(kw_only=True)
class Tally:
    """
    What all orders of a seller count for.

    Attributes:
        seller_id: The seller.

        zone: In which zone days are days: that of `TimeRules`.

        months: The counters, by month (`2026-02`), day (`2026-02-05`), and what is
            counted, in words of our own.  No zeros, nothing empty.

    Raises:
        InvalidInputError: If the id or the zone is none.
    """

    seller_id: str = attrs.field(converter=_seller_id)
    zone: str = attrs.field(default="Europe/Paris", converter=_zone)
    months: _Months = attrs.field(factory=FrozenDict)

    def to_json(self) -> dict[str, Any]:
        """
        Return it as plain JSON data.
        """
        return _plain(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """
        Return what `to_json` gave.

        Raises:
            InvalidInputError: If it is something else.
        """
        return cls(**_read(data, "tally"))


def fold(
    tally: Tally, before: Marks | None, history: Iterable[Recorded]
) -> tuple[Tally, Marks]:
    """
    Return the tally after new events of one order, and the marks of that order.

    Store both in one transaction, and hand the marks in again next time.  A history
    that was counted before changes nothing, and neither does one that is shorter.

    Args:
        before: The marks of the order as they were last counted; `None` if it never
            was.

        history: The history of the order, from `order_placed` on.

    Raises:
        InvalidInputError: If the history does not begin at the beginning, or the
            three do not belong together.
        LedgerError: If the books of the order would not add up.
    """
    marks = _marks(history, tally.zone)
    if marks.seller_id != tally.seller_id:
        raise InvalidInputError(
            "history", f"an order of {marks.seller_id!r}, not of {tally.seller_id!r}"
        )
    if before is None:
        return _changed(tally, _counters(marks.months)), marks
    if (before.order_id, before.zone) != (marks.order_id, marks.zone):
        raise InvalidInputError(
            "before",
            f"marks of order {before.order_id!r} in {before.zone}, "
            f"not of {marks.order_id!r} in {marks.zone}",
        )
    if marks.version <= before.version:
        return tally, before
    old = (((day, name), -number) for (day, name), number in _counters(before.months))
    return _changed(tally, (*old, *_counters(marks.months))), marks


def recount(
    histories: Iterable[Iterable[Recorded]], zone: str = "Europe/Paris"
) -> dict[str, Tally]:
    """
    Return the tally of every seller, by id, counted from the beginning.

    Args:
        histories: The whole history of each order, each order once.

        zone: In which zone days are days.
    """
    tallies: dict[str, Tally] = {}
    for history in histories:
        marks = _marks(history, check_zone(zone, "zone"))
        tally = tallies.get(marks.seller_id)
        if tally is None:
            tally = Tally(seller_id=marks.seller_id, zone=zone)
        tallies[marks.seller_id] = _changed(tally, _counters(marks.months))
    return tallies


# --- what is read -----------------------------------------------------------------


@final
@attrs.frozen
class Rate:
    """
    So many of so many: `str()` gives `87.5 %`, rounded half up.

    Attributes:
        part: How many.

        whole: Of how many; never zero.
    """

    part: int
    whole: int

    @property
    def value(self) -> Fraction:
        """
        The rate itself, from 0 to 1.
        """
        return Fraction(self.part, self.whole)

    def __str__(self) -> str:
        tenths = (2000 * self.part + self.whole) // (2 * self.whole)
        whole, tenth = divmod(tenths, 10)
        return f"{whole}.{tenth} %" if tenth else f"{whole} %"


@final
@attrs.frozen(kw_only=True)
class Score:
    """
    The performance score (R110).

    Attributes:
        value: From 0 to 1.

        grade: From 1; a higher one is better.
    """

    value: Fraction
    grade: int


@final
@attrs.frozen(kw_only=True)
class Figures:
    """
    The figures of a seller on one day.

    Everything that judges him is `None` below the minimum of completed orders
    (R103), and where nothing happened yet that it could be made of.  What he sold
    and earned is always there, and so is what shows on his profile.

    Attributes:
        first: The first day that counts.

        last: The last one: the day of the reading.

        completed: How many orders were completed.

        acceptance_rate: Accepted among those that were accepted or cancelled before;
            what still waits is in neither (R104).

        completion_rate: Completed among those completed or cancelled after
            acceptance (R105).

        on_time_rate: Never late among those handed over or late (R106).

        cancellation_rate: Cancelled among those placed (R107).

        above_average: Whether that is more than the average that was given: then
            advise him to rework what he offers.  `None` if there was none.

        response_time: The mean of his answers, an hour at least (R109).

        performance_score: The score and its grade (R110).

        sales: Orders placed, cancelled ones too (R111).

        revenue_generated: Of all of them, extras included and tips left out; one
            amount a currency, by its code (R112).

        revenue_collected: Of those that were completed: what he was paid for work,
            before fees.

        public_cancellations: How many show on his profile (R43).
    """

    first: date
    last: date
    completed: int
    acceptance_rate: Rate | None
    completion_rate: Rate | None
    on_time_rate: Rate | None
    cancellation_rate: Rate | None
    above_average: bool | None
    response_time: timedelta | None
    performance_score: Score | None
    sales: int
    revenue_generated: tuple[Money, ...]
    revenue_collected: tuple[Money, ...]
    public_cancellations: int


def figures(
    policy: StatisticsPolicy,
    tally: Tally,
    *,
    now: datetime | str,
    average: Fraction | None = None,
) -> Figures:
    """
    Return the figures of a seller on the day of *now*.

    A window of six months ends with that day and begins with the day after the one
    of the same number six months before, or after the last of that month: on 1 June
    it is 2 December to 1 June.  A window of days is that many, the day itself
    included; a part of a day counts as one.

    Args:
        policy: What counts, such as `process.policies.statistics`.

        average: The average cancellation rate of other sellers: see `average_of`.

    Raises:
        InvalidInputError: If *now* is no instant, or *average* no whole number or
            fraction.
    """
    if average is not None and not isinstance(average, (Fraction, int)):
        raise InvalidInputError("average", f"a Fraction, not {kind_of(average)}")
    last = _day(as_utc(now, "now"), tally.zone)
    first = _first_day(last, policy.window)
    rates: dict[str, list[int]] = {name: [0, 0] for name in RATES}
    sums: dict[tuple[str, str], int] = {}
    completed = 0
    for (_, name), number in _counters(tally.months, first, last):
        figure, of = _counted(name)
        if isinstance(of, Verdict):
            if figure == "completion_rate" and of.good:
                completed += number
            if policy.counts(of):
                rates[figure][0] += number if of.good else 0
                rates[figure][1] += number
        else:
            sums[figure, of] = sums.get((figure, of), 0) + number
    judged = completed >= policy.minimum
    good = {
        name: Rate(part, whole)
        for name, (part, whole) in rates.items()
        if whole and judged
    }
    cancellation = good.get("cancellation_rate")
    if cancellation is not None:
        cancellation = Rate(cancellation.whole - cancellation.part, cancellation.whole)
    response_time = _mean(sums) if judged else None
    return Figures(
        first=first,
        last=last,
        completed=completed,
        acceptance_rate=good.get("acceptance_rate"),
        completion_rate=good.get("completion_rate"),
        on_time_rate=good.get("on_time_rate"),
        cancellation_rate=cancellation,
        above_average=None
        if cancellation is None or average is None
        else cancellation.value > average,
        response_time=response_time,
        performance_score=_score(policy, good, response_time) if judged else None,
        sales=sums.get(("sales", ""), 0),
        revenue_generated=_amounts(sums, "revenue_generated"),
        revenue_collected=_amounts(sums, "revenue_collected"),
        public_cancellations=sums.get(("public_cancellations", ""), 0),
    )


def average_of(rates: Iterable[Rate | None]) -> Fraction | None:
    """
    Return the mean of the rates of many sellers; `None` if nobody has one.

    Each seller weighs the same, however much he sells.
    """
    values = [rate.value for rate in rates if rate is not None]
    return sum(values, Fraction(0)) / len(values) if values else None


@final
@attrs.frozen(kw_only=True)
class DaySales:
    """
    What a seller sold and earned on one day (R111, R112).

    Attributes:
        day: The day.

        sales: Orders placed on it.

        generated: What they are worth by now, one amount a currency.

        collected: What was completed on it, one amount a currency.
    """

    day: date
    sales: int
    generated: tuple[Money, ...]
    collected: tuple[Money, ...]


def sales_by_day(tally: Tally) -> tuple[DaySales, ...]:
    """
    Return the curves of a seller's dashboard: a point for each day on which something
    was sold or earned, oldest first.
    """
    days: dict[str, dict[tuple[str, str], int]] = {}
    for (day, name), number in _counters(tally.months):
        figure, of = _counted(name)
        if isinstance(of, str) and figure in _SOLD:
            days.setdefault(day, {})[figure, of] = number
    return tuple(
        DaySales(
            day=date.fromisoformat(day),
            sales=sums.get(("sales", ""), 0),
            generated=_amounts(sums, "revenue_generated"),
            collected=_amounts(sums, "revenue_collected"),
        )
        for day, sums in sorted(days.items())
    )


_SOLD: Final = frozenset({"sales", "revenue_generated", "revenue_collected"})


@final
@attrs.frozen(kw_only=True)
class PublicCancellation:
    """
    A cancellation that shows on the seller's profile (R43).

    Attributes:
        order_id: The order.

        closed_at: When it was cancelled.

        cause: Why, as a code: see `cause_text`.

        reason: What the seller said about it; empty if nothing, or if it was erased.
    """

    order_id: str
    closed_at: DateTime
    cause: str
    reason: Text


def public_cancellations(orders: Iterable[Order]) -> tuple[PublicCancellation, ...]:
    """
    Return what shows on a seller's profile, newest first.

    The reasons are what somebody wrote: they are read from the orders each time, so
    that none outlives its erasure.

    Args:
        orders: The orders of the seller, such as those of
            `engine.orders(party="luc", role="seller", states={"cancelled"})`.
    """
    shown = [
        PublicCancellation(
            order_id=order.id,
            closed_at=order.closed_at,
            cause=order.ending.cause,
            reason=order.ending.reason,
        )
        for order in orders
        if order.ending is not None
        and order.ending.public
        and order.closed_at is not None
    ]
    return tuple(
        sorted(shown, key=lambda one: (one.closed_at, one.order_id), reverse=True)
    )


def _mean(sums: Mapping[tuple[str, str], int]) -> timedelta | None:
    answers = sum(sums.get(("answers", clock), 0) for clock in CLOCKS)
    if not answers:
        return None
    waited = sum(sums.get(("response_time", clock), 0) for clock in CLOCKS)
    # Half up to a whole microsecond, as everything here that is rounded.
    mean = timedelta(microseconds=(2 * waited + answers) // (2 * answers))
    return max(mean, SHOWN_MIN)


def _score(
    policy: StatisticsPolicy, rates: Mapping[str, Rate], response_time: timedelta | None
) -> Score | None:
    values = {name: rate.value for name, rate in rates.items()}
    value = policy.score(
        completion=values.get("completion_rate"),
        response_time=response_time,
        on_time=values.get("on_time_rate"),
        acceptance=values.get("acceptance_rate"),
    )
    return None if value is None else Score(value=value, grade=policy.grade(value))


def _amounts(sums: Mapping[tuple[str, str], int], figure: str) -> tuple[Money, ...]:
    return tuple(
        Money(number, currency)
        for (name, currency), number in sorted(sums.items())
        if name == figure
    )


# --- counting ---------------------------------------------------------------------


def _marks(history: Iterable[Recorded], zone: str) -> Marks:
    course: Course | None = None
    for number, recorded in enumerate(history, 1):
        if recorded.seq != number:
            raise InvalidInputError(
                "history",
                f"event {recorded.seq} where {number} belongs: give the history of the "
                "order from its first event on",
            )
        course = followed(course, recorded)
    if course is None:
        raise InvalidInputError("history", "an empty history is not an order")
    counters: dict[tuple[str, str], int] = {}
    for item in items(course):
        day = str(_day(item.at, zone))
        of = item.of if isinstance(item.of, str) else _told(item.of)
        names = [(f"{item.figure} {of}" if of else item.figure, item.number)]
        if item.figure == "response_time":
            names.append((f"answers {of}", 1))
        for name, number in names:
            counters[day, name] = counters.get((day, name), 0) + number
    order = course.order
    return Marks(
        order_id=order.id,
        seller_id=order.seller_id,
        version=order.version,
        zone=zone,
        months=_with({}, counters.items()),
    )


def _changed(tally: Tally, changes: Iterable[_Change]) -> Tally:
    return attrs.evolve(tally, months=_with(tally.months, changes))


def _with(months: _Months, changes: Iterable[_Change]) -> _Months:
    """
    Return counters after changes; what comes to zero is gone.

    Only the days that change are copied, and what they stand in.
    """
    net: dict[str, dict[str, int]] = {}
    for (day, name), number in changes:
        names = net.setdefault(day, {})
        names[name] = names.get(name, 0) + number
    new = dict(months)
    for day, names in net.items():
        if not any(names.values()):
            continue
        days = dict(new.get(day[:7], {}))
        counts = dict(days.pop(day, {}))
        for name, number in names.items():
            number += counts.pop(name, 0)
            if number:
                counts[name] = number
        if counts:
            days[day] = FrozenDict(counts)
        if days:
            new[day[:7]] = FrozenDict(days)
        else:
            del new[day[:7]]
    return FrozenDict(new)


def _counters(
    months: _Months, first: date = date.min, last: date = date.max
) -> Iterable[_Change]:
    """
    Yield every counter of the days from *first* to *last*, both included.
    """
    start, end = str(first), str(last)
    for month, days in months.items():
        if start[:7] <= month <= end[:7]:
            for day, counts in days.items():
                if start <= day <= end:
                    for name, number in counts.items():
                        yield (day, name), number


# Many orders are paid in a second, and one order names the same instants again.
@lru_cache(maxsize=8192)
def _day(instant: DateTime, zone: str) -> date:
    found = local_date(instant, zone)
    return date(found.year, found.month, found.day)


def _first_day(last: date, window: Window) -> date:
    """
    Return the first day of a window that ends with *last*.
    """
    if isinstance(window, Months):
        year, month = divmod(last.year * 12 + last.month - 1 - window.count, 12)
        month += 1
        day = min(last.day, monthrange(year, month)[1])
        return date(year, month, day) + _ONE_DAY
    return last - (window - timedelta(microseconds=1)) // _ONE_DAY * _ONE_DAY


_ONE_DAY: Final = timedelta(days=1)


# --- the words of a counter -------------------------------------------------------

# What is counted beside verdicts: nothing more said, a currency, or a clock.
_SUMS: Final = frozenset({*FIGURES, "answers"} - {*RATES})


def _told(verdict: Verdict) -> str:
    if verdict.good:
        return "good"
    whose = "nobody" if verdict.responsible is None else verdict.responsible.text
    return f"bad {whose} {verdict.cause}"


@lru_cache(maxsize=4096)
def _counted(name: str) -> tuple[str, Verdict | str]:
    """
    Return the figure of a counter, and what it counts in it.

    Raises:
        ValueError: If it is no name of a counter.
    """
    figure, _, of = name.partition(" ")
    if figure in _SUMS:
        return figure, of
    if figure not in RATES:
        raise ValueError(name)
    if of == "good":
        return figure, Verdict(figure=figure, good=True)
    bad, whose, cause = of.split(" ", 2)
    if bad != "bad":
        raise ValueError(name)
    responsible = None if whose == "nobody" else Role.of(whose)
    return figure, Verdict(
        figure=figure, good=False, responsible=responsible, cause=cause
    )


# --- plain data -------------------------------------------------------------------


def _plain(value: Marks | Tally) -> dict[str, Any]:
    return {
        "seller_id": value.seller_id,
        "zone": value.zone,
        "months": {
            month: {day: dict(counts) for day, counts in days.items()}
            for month, days in value.months.items()
        },
    }


def _read(data: Any, field: str, *more: str) -> dict[str, Any]:
    """
    Return the fields of what `to_json` gave, its counters checked.
    """
    names = {"seller_id", "zone", "months", *more}
    if not isinstance(data, Mapping) or set(data) != names:
        raise InvalidInputError(
            field, f"what to_json gave, a mapping of {', '.join(sorted(names))}"
        )
    counters: dict[tuple[str, str], int] = {}
    try:
        for month, days in data["months"].items():
            for day, counts in days.items():
                if str(date.fromisoformat(day)) != day or day[:7] != month:
                    raise ValueError(day)
                for name, number in counts.items():
                    _counted(name)
                    if type(number) is not int or number < 0:
                        raise ValueError(name)
                    counters[day, name] = number
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{field}.months", "counters by month and day, as to_json gave them"
        ) from error
    return {**data, "months": _with({}, counters.items())}
