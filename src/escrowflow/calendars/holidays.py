"""
Public holidays: the business days of a country, or of the banks of the euro.

    comeup().with_policies(refund_timing={"business_calendar": holidays.target()})

- The days come from the package `holidays`, which the extra `calendars` brings.
- A calendar is its name.  Processes are pinned to that, and to nothing of the package:
  another version of it, which knows of other days, leaves every process what it is.
- What a version says is asked once, when money goes back: the estimate is written into
  the event, and no history changes with the package.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, final

import attrs

from ..errors import InvalidInputError
from ..inputs import as_id

__all__ = ["HolidayCalendar", "alsace_moselle", "france", "target"]

# Nobody reads the names of the days; without a language the package looks at LANG.
_LANGUAGE: Final = "en_US"

# What is called so here, whatever `holidays` calls it: such names are in fingerprints.
# Alsace and Moselle have the same days.
_SUBDIVISIONS: Final = {("FR", "Alsace-Moselle"): "57"}


def _as_code(value: object) -> str:
    return as_id(value, "code")


def _as_subdivision(value: object) -> str:
    return "" if value == "" else as_id(value, "subdivision")


@final
@attrs.frozen
class HolidayCalendar:
    """
    Every day but weekends and public holidays.

    In a year that the package does not know only weekends are left out: no estimate may
    keep money from going back.

    Implements: `BusinessCalendar`

    Attributes:
        code: A country (`"FR"`, ISO 3166-1), or a market (`"XECB"`, ISO 10383).

        subdivision: A part of the country, as `holidays` names it: `"BY"`.

    Raises:
        InvalidInputError: If `holidays` is missing, or knows no such calendar.
    """

    code: str = attrs.field(converter=_as_code)
    subdivision: str = attrs.field(default="", converter=_as_subdivision)

    def __attrs_post_init__(self) -> None:
        # While a process is built, not when the first refund is made.
        _days(self.code, self.subdivision, ())

    def is_business_day(self, day: date) -> bool:
        """
        Return whether banks work on *day*.
        """
        return day not in _closed(self.code, self.subdivision, day.year)


def france() -> HolidayCalendar:
    """
    Return the calendar of France: eleven public holidays.
    """
    return HolidayCalendar("FR")


def alsace_moselle() -> HolidayCalendar:
    """
    Return the calendar of Alsace and Moselle: Good Friday and 26 December, too.
    """
    return HolidayCalendar("FR", "Alsace-Moselle")


def target() -> HolidayCalendar:
    """
    Return the days on which euros move between banks: TARGET, of the ECB.

    Source: the ECB's closing days since 2000: 1 January, Good Friday, Easter Monday,
        1 May, 25 and 26 December.
    """
    return HolidayCalendar("XECB")


# Two years are enough for whoever lives now; tests and forecasts look further.
@lru_cache(maxsize=256)
def _closed(code: str, subdivision: str, year: int) -> frozenset[date]:
    """
    Return the days of a year on which nobody works.

    A value, worked out whole: what `holidays` hands out fills itself while it is read,
    and is not for several threads.
    """
    days = _days(code, subdivision, (year,))
    first = date(year, 1, 1).toordinal()
    last = date(year, 12, 31).toordinal()
    return frozenset(
        day
        for day in map(date.fromordinal, range(first, last + 1))
        if not days.is_working_day(day)
    )


def _days(code: str, subdivision: str, years: tuple[int, ...]) -> Any:
    """
    Return what `holidays` knows of some years.
    """
    try:
        package = import_module("holidays")
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            "calendar",
            f"public holidays need {error.name}: pip install 'escrowflow[calendars]'",
        ) from error
    if code in package.list_supported_financial():
        make = package.financial_holidays
    elif code in package.list_supported_countries():
        make = package.country_holidays
    else:
        raise _unknown(package, code)
    try:
        return make(
            code,
            subdiv=_SUBDIVISIONS.get((code, subdivision), subdivision) or None,
            years=years,
            expand=False,
            language=_LANGUAGE,
        )
    except RuntimeError as error:
        # So it says that it has no such part of a country.
        raise _unknown(package, f"{code} {subdivision}") from error


def _unknown(package: Any, name: str) -> InvalidInputError:
    return InvalidInputError(
        "calendar", f"holidays {package.__version__} knows no calendar {name!r}"
    )
