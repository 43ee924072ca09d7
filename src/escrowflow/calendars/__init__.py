"""
Business days: on which days banks work, and when so many of them have passed.

Public holidays are in `calendars.holidays`, with the extra `calendars`.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, Protocol, final, runtime_checkable

import attrs
from pendulum import DateTime

from ..clock import end_of, to_zone
from ..errors import InvalidInputError

__all__ = ["BusinessCalendar", "MondayToFriday", "business_days_after"]

_DAY: Final = timedelta(days=1)

# Nothing is announced further ahead: a calendar without business days ends here.
_DAYS_AHEAD_MAX: Final = 3660


@runtime_checkable
class BusinessCalendar(Protocol):
    """
    Say on which days banks work.
    """

    def is_business_day(self, day: date) -> bool:
        """Return whether banks work on *day*."""
        ...


@final
@attrs.frozen
class MondayToFriday:
    """
    Every weekday, holidays not known.

    Implements: `BusinessCalendar`
    """

    def is_business_day(self, day: date) -> bool:
        return day.weekday() < 5


def business_days_after(
    at: DateTime, days: int, *, calendar: BusinessCalendar, zone: str
) -> DateTime:
    """
    Return the same time of day on the so-manieth business day after *at*.

    Day 0 is the day of *at* in *zone*.

    Raises:
        InvalidInputError: If it lies beyond the year 9999.
    """
    if not days:
        return at
    # A plain date: pendulum's own takes fifty times as long to add to.
    day = date.fromordinal(to_zone(at, zone).toordinal())
    ahead = 0
    while days and ahead < _DAYS_AHEAD_MAX:
        ahead += 1
        try:
            next_day = day + ahead * _DAY
        except OverflowError as error:
            raise InvalidInputError("days", "they end after the year 9999") from error
        if calendar.is_business_day(next_day):
            days -= 1
    return end_of(at, ahead * _DAY, civil=True, zone=zone)
