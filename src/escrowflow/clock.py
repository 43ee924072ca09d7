"""
Instants and windows: when something happens, and how long somebody may take.

- Every instant is a `pendulum.DateTime` in UTC, of the years 1970 to 9999; what
  is naive is refused at the door by `as_utc`.
- A window is a plain `timedelta`, or `Months` where calendar months are allowed.
- Only a wall time needs a zone, so only `end_of` (civil days, months) and the
  functions for display take one.
- This is the only module that may read a wall clock.  Everywhere else the current
  instant is an argument, `now`.

Arithmetic goes through `datetime.__add__` and `datetime.__sub__`, called on the
class: the result is a `pendulum.DateTime` all the same and comes some twenty times
sooner, and `+ timedelta` on a pendulum value in a local zone counts wall time,
which only `end_of` may do, and says so.
"""

from __future__ import annotations

import re
import time
from calendar import monthrange
from datetime import UTC as STDLIB_UTC
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import (
    Final,
    Literal,
    Protocol,
    TypeAlias,
    final,
    overload,
    runtime_checkable,
)

import attrs
import pendulum
from pendulum import UTC, DateTime

from .errors import InvalidInputError

__all__ = [
    "FAKE_START",
    "Clock",
    "FakeClock",
    "Instant",
    "Months",
    "SystemClock",
    "Window",
    "as_utc",
    "as_window",
    "check_zone",
    "end_of",
    "from_micros",
    "local_date",
    "monotonic",
    "to_micros",
    "to_zone",
    "window_text",
]

# Where a `FakeClock` begins when nobody says otherwise: years away from today and
# on no round minute, so that a stray reading of the wall clock, or an instant
# somebody rounded, shows at once.
FAKE_START: Final = DateTime(2031, 7, 19, 3, 47, 11, 271829, tzinfo=UTC)

# Ten years.  What is longer is a slip of the unit, milliseconds for seconds.
WINDOW_DAYS_MAX: Final = 3660
WINDOW_MONTHS_MAX: Final = 122

_EPOCH: Final = DateTime(1970, 1, 1, tzinfo=UTC)

# On Linux the monotonic clock stands still in a sleeping machine; this one does not.
#
# Source: clock_gettime(2), CLOCK_BOOTTIME.
_SLEPT: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)

# The same instant without pendulum: its zone answers sooner, and what is computed
# from it stays a plain `datetime`.
_PLAIN_EPOCH: Final = datetime(1970, 1, 1, tzinfo=STDLIB_UTC)

_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND

_ISO_WINDOW: Final = re.compile(
    r"P(?=[\dT])"
    r"(?:(?P<years>\d{1,18})Y)?(?:(?P<months>\d{1,18})M)?"
    r"(?:(?P<weeks>\d{1,18})W)?(?:(?P<days>\d{1,18})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,18})H)?(?:(?P<minutes>\d{1,18})M)?"
    r"(?:(?P<seconds>\d{1,18})(?:[.,](?P<fraction>\d{1,6}))?S)?)?",
    re.ASCII,
)

# The zone files of a system hold more than zones: what depends on the machine,
# and zones that count leap seconds, which no other clock here does.
_NO_ZONES: Final = ("localtime", "posixrules", "posix/", "right/")


@final
@attrs.frozen
class Months:
    """
    A window of calendar months.  How long it is depends on where it begins.

    That is why `Months(1)` is no number of days, and equals none.  `str()` gives
    the ISO 8601 text: `P5M`.

    Attributes:
        count: How many, 1 to 1200.

    Raises:
        InvalidInputError: If *count* is anything else.
    """

    count: int = attrs.field()

    @count.validator
    def _check_count(self, _attribute: object, count: object) -> None:
        if type(count) is not int or not 1 <= count <= 1200:
            raise InvalidInputError(
                "count", f"a whole number of months from 1 to 1200, not {_shown(count)}"
            )

    def __str__(self) -> str:
        return f"P{self.count}M"


Instant: TypeAlias = DateTime
Window: TypeAlias = timedelta | Months

# What a caller may pass where a window is wanted; `Duration` is a `timedelta`.
WindowLike: TypeAlias = timedelta | str


@runtime_checkable
class Clock(Protocol):
    """
    Say what time it is.
    """

    def now(self) -> DateTime:
        """
        Return the current instant, in UTC.

        Two answers may be equal, and a clock that somebody sets may go back.
        """
        ...


@final
@attrs.frozen
class SystemClock:
    """
    The clock on the wall: what time it is, as the operating system sees it.

    Implements: `Clock`
    """

    def now(self) -> DateTime:
        """
        Return the current instant, in UTC, to the microsecond.
        """
        return _utc(datetime.now(STDLIB_UTC))


def monotonic() -> float:
    """
    Return the seconds that have passed since some instant of this machine's own,
    whatever anybody sets its clock to.

    Where the system can tell (Linux), the time for which the machine slept counts.
    """
    return time.monotonic() if _SLEPT is None else time.clock_gettime(_SLEPT)


@final
@attrs.define(init=False, repr=False, eq=False)
class FakeClock:
    """
    A clock that stands still until it is moved, and only moves forward.

    Implements: `Clock`

    Args:
        start: Where it begins: whatever `as_utc` takes.  Without it, at
            `FAKE_START`, an odd moment in 2031.

    Raises:
        InvalidInputError: If *start* is no instant.
    """

    _now: DateTime

    def __init__(self, start: datetime | str | None = None) -> None:
        self._now = FAKE_START if start is None else as_utc(start, "start")

    def __repr__(self) -> str:
        return f"FakeClock({self._now.isoformat()!r})"

    def now(self) -> DateTime:
        """
        Return the instant the clock stands at, in UTC.
        """
        return self._now

    def monotonic(self) -> float:
        """
        Return the seconds that have passed, as the function of this name does for a
        `SystemClock`.
        """
        return to_micros(self._now) / _SECOND

    def advance(
        self,
        window: timedelta | str | None = None,
        /,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        microseconds: float = 0,
    ) -> DateTime:
        """
        Let time pass, and return the new instant.

        A day is 24 elapsed hours, whatever the clocks of a country do.

        Args:
            window: Whatever `as_window` takes, months excepted; added to the rest.

        Raises:
            InvalidInputError: If *window* is no window, or the sum is negative or
                leads beyond the year 9999.  The clock has not moved.
        """
        try:
            step = timedelta(
                weeks=weeks,
                days=days,
                hours=hours,
                minutes=minutes,
                seconds=seconds,
                milliseconds=milliseconds,
                microseconds=microseconds,
            )
            if window is not None:
                step += as_window(window, "window", zero=True)
            if step.days < 0:
                raise InvalidInputError(
                    "window", "a clock does not go back: begin with another FakeClock"
                )
            self._now = datetime.__add__(self._now, step)
        except OverflowError as error:
            raise _out_of_range("window") from error
        except (TypeError, ValueError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(
                "window", "days, hours and so on: numbers"
            ) from error
        return self._now

    def advance_to(self, instant: datetime | str) -> DateTime:
        """
        Let time pass until *instant*, and return it.  It may be the present one.

        Args:
            instant: Whatever `as_utc` takes.

        Raises:
            InvalidInputError: If *instant* is none, or has passed.  The clock has
                not moved.
        """
        later = as_utc(instant, "instant")
        if later < self._now:
            raise InvalidInputError(
                "instant",
                f"{later.isoformat()} has passed, it is {self._now.isoformat()}: "
                "begin with another FakeClock",
            )
        self._now = later
        return later


def as_utc(value: object, field: str) -> DateTime:
    """
    Return an instant in UTC.

    Args:
        value: An aware `datetime` or `pendulum.DateTime`, or ISO 8601 text with an
            offset, `2026-05-05T10:00:00+02:00` or `2026-05-05T08:00:00Z`.  Digits
            of a text beyond the microsecond are dropped.

    Raises:
        InvalidInputError: If it is of another type, has no offset, cannot be read,
            or lies outside the years 1970 to 9999 (UTC).
    """
    # The way almost every instant takes: it came from here.
    if type(value) is DateTime and value.tzinfo is UTC and value.year >= 1970:
        return value
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInputError(
                field,
                "an instant is ISO 8601 text such as '2026-05-05T10:00:00+02:00', "
                f"not {_shown(value)}",
            ) from error
    else:
        raise InvalidInputError(
            field,
            f"an instant is an aware datetime or ISO 8601 text, not {_kind(value)}",
        )
    if moment.utcoffset() is None:
        raise InvalidInputError(
            field,
            f"{moment.isoformat()} could be any of two dozen instants: "
            "add an offset ('+02:00', 'Z') or a tzinfo",
        )
    try:
        instant = _utc(moment)
    except OverflowError as error:
        raise _out_of_range(field) from error
    if instant.year < 1970:
        raise _out_of_range(field)
    return instant


def to_micros(instant: DateTime) -> int:
    """
    Return the whole microseconds since 1970 (UTC): how instants are stored.
    """
    # By hand, because `// timedelta(microseconds=1)` takes half as long again.
    past = datetime.__sub__(instant, _EPOCH)
    return (past.days * 86_400 + past.seconds) * _SECOND + past.microseconds


# An order names the same few instants again and again, and an instant never changes.
@lru_cache(maxsize=8192)
def from_micros(micros: int) -> DateTime:
    """
    Return the instant that *micros* microseconds after 1970 (UTC) are.

    Raises:
        InvalidInputError: If it lies outside the years 1970 to 9999.
    """
    if micros < 0:
        raise _out_of_range("micros")
    seconds, rest = divmod(micros, _SECOND)
    try:
        return datetime.__add__(_EPOCH, timedelta(0, seconds, rest))
    except OverflowError as error:
        raise _out_of_range("micros") from error


@overload
def as_window(
    value: object, field: str, *, months: Literal[False] = False, zero: bool = False
) -> timedelta: ...


@overload
def as_window(
    value: object, field: str, *, months: bool, zero: bool = False
) -> Window: ...


def as_window(
    value: object, field: str, *, months: bool = False, zero: bool = False
) -> Window:
    """
    Return a window as a plain `timedelta`, or as `Months`.

    Args:
        value: A `timedelta`, a `pendulum.Duration`, a `pendulum.Interval` (what two
            instants are apart), ISO 8601 text such as `PT48H`, `P7D`, `P1DT12H`, or
            `Months`.

        months: Whether calendar months (and years, of twelve) are allowed.

        zero: Whether no time at all is allowed.

    Raises:
        InvalidInputError: If it is of another type, cannot be read, is zero or
            negative, is longer than 3660 days or 122 months, has months where they
            are not allowed, or mixes them with days or hours.
    """
    if isinstance(value, Months):
        count, micros = value.count, 0
    elif isinstance(value, timedelta):
        count, micros = _split(value)
    elif isinstance(value, str):
        count, micros = _parsed(value, field)
    else:
        raise InvalidInputError(
            field,
            "a window is a timedelta or ISO 8601 text such as 'PT48H' or 'P7D', "
            f"not {_kind(value)}",
        )
    if count:
        if not months:
            # pendulum and timedelta would take a month for 30 days, silently.
            raise InvalidInputError(
                field,
                "a month has no fixed length: give days or hours, such as 'P30D' "
                "or timedelta(days=30)",
            )
        if micros:
            raise InvalidInputError(
                field, "whole months ('P5M') or days and hours ('P7D'), not both"
            )
        if not 1 <= count <= WINDOW_MONTHS_MAX:
            raise InvalidInputError(
                field, f"1 to {WINDOW_MONTHS_MAX} months, not {count}"
            )
        return Months(count)
    if micros < 0:
        raise InvalidInputError(field, "a window cannot be negative")
    if not micros and not zero:
        raise InvalidInputError(field, "a window cannot be empty")
    if micros > WINDOW_DAYS_MAX * _DAY:
        raise InvalidInputError(field, f"a window has at most {WINDOW_DAYS_MAX} days")
    return timedelta(microseconds=micros)


def window_text(window: Window) -> str:
    """
    Return the one ISO 8601 text of a window, which `as_window` reads back.

    Whole days are `P7D`, anything else has hours, minutes and seconds only:
    `PT36H`, `PT1H30M`, `PT0.25S`; months are `P5M`.
    """
    if isinstance(window, Months):
        return str(window)
    assert window.days >= 0
    if not window.seconds and not window.microseconds:
        return f"P{window.days}D"
    minutes, seconds = divmod(window.days * 86_400 + window.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = "PT"
    if hours:
        text += f"{hours}H"
    if minutes:
        text += f"{minutes}M"
    if window.microseconds:
        text += f"{seconds}.{window.microseconds:06}".rstrip("0") + "S"
    elif seconds:
        text += f"{seconds}S"
    return text


def end_of(
    start: DateTime, window: Window, *, civil: bool = False, zone: str = "Europe/Paris"
) -> DateTime:
    """
    Return the end of a window that begins at *start*, in UTC.

    Time simply elapses, unless the window is one of months, or of whole days and
    *civil*: then the end has the wall time of the start, so that a day may have 23
    or 25 hours.  A wall time that comes twice is the first of the two; one that is
    skipped is read with the offset before the gap, so 02:30 is 03:30.  Months end
    on the same day of the month, or on its last: 31 August and six are 28 February.

    Args:
        civil: Whether whole days are days of the calendar in *zone*.

        zone: Whose wall time; read only where wall time counts.

    Raises:
        InvalidInputError: If the end lies beyond the year 9999, or *zone* is read
            and unknown.

    Source: RFC 5545 section 3.3.5 has the same two rules for wall times, and PEP 495
        makes them the meaning of `fold=0`.
    """
    if start.tzinfo is not UTC:
        start = as_utc(start, "start")
    # An empty window ends where it begins, also in the second of two equal hours.
    if isinstance(window, timedelta) and not (
        civil and window.days and not window.seconds and not window.microseconds
    ):
        try:
            return datetime.__add__(start, window)
        except OverflowError as error:
            raise _out_of_range("window") from error
    local = _zone(zone)
    try:
        # A plain `datetime` counts wall time as long as it stays in its zone.
        wall = (_PLAIN_EPOCH + datetime.__sub__(start, _EPOCH)).astimezone(local)
        if isinstance(window, timedelta):
            wall += window
        else:
            year, month = divmod(wall.year * 12 + wall.month - 1 + window.count, 12)
            month += 1
            day = min(wall.day, monthrange(year, month)[1])
            wall = wall.replace(year=year, month=month, day=day)
        return _utc(wall.replace(fold=0))
    except (OverflowError, ValueError) as error:
        raise _out_of_range("window") from error


def check_zone(name: object, field: str) -> str:
    """
    Return the name of a time zone of the IANA database: `Europe/Paris`.

    Raises:
        InvalidInputError: If it is no text, or no such zone is known here.
    """
    if not isinstance(name, str):
        raise InvalidInputError(
            field, f"a zone is a name such as 'Europe/Paris', not {_kind(name)}"
        )
    return _zone(str(name), field).key


def to_zone(instant: DateTime, zone: str) -> DateTime:
    """
    Return the same instant with the wall time of *zone*; for display only.

    Never compare what comes out: in an hour that comes twice or is skipped, Python
    finds it unequal to every instant of another zone, itself in UTC included
    (PEP 495).

    Raises:
        InvalidInputError: If *zone* is unknown, or the wall time there is beyond
            the year 9999.
    """
    local = _zone(zone)
    try:
        return instant.astimezone(local)
    except (OverflowError, ValueError) as error:
        raise _out_of_range("instant") from error


def local_date(instant: DateTime, zone: str) -> pendulum.Date:
    """
    Return the date of the calendar on the wall in *zone*.

    Raises:
        InvalidInputError: As `to_zone`.
    """
    return to_zone(instant, zone).date()


@cache
def _zone(name: str, field: str = "zone") -> pendulum.Timezone:
    # Only zones that exist are remembered: what raises is not cached.
    try:
        if not name.startswith(_NO_ZONES):
            return pendulum.timezone(name)
    except (OSError, ValueError) as error:
        # OSError: "Europe" is a directory, and too long a name is no file name.
        raise _unknown_zone(name, field) from error
    raise _unknown_zone(name, field)


def _unknown_zone(name: str, field: str) -> InvalidInputError:
    return InvalidInputError(
        field,
        f"no time zone {_shown(name)}: give a name of the IANA database, "
        "such as 'Europe/Paris'",
    )


def _utc(moment: datetime) -> DateTime:
    """
    Return an aware datetime in UTC; an OverflowError leads beyond the year 9999.
    """
    return datetime.__add__(_EPOCH, datetime.__sub__(moment, _PLAIN_EPOCH))


def _split(window: timedelta) -> tuple[int, int]:
    """
    Return the months of a timedelta, of which only pendulum has any, and the rest
    in microseconds.
    """
    micros = timedelta.__floordiv__(window, _MICROSECOND)
    # An interval knows months too, but they describe what was measured exactly.
    if isinstance(window, pendulum.Duration) and not isinstance(
        window, pendulum.Interval
    ):
        count = window.years * 12 + window.months
        return count, micros - (window.years * 365 + window.months * 30) * _DAY
    return 0, micros


def _parsed(text: str, field: str) -> tuple[int, int]:
    """
    Return the months of an ISO 8601 text, and the rest in microseconds.
    """
    match = _ISO_WINDOW.fullmatch(text)
    if match is None:
        raise InvalidInputError(
            field,
            "a window is ISO 8601 text such as 'PT48H', 'P7D' or 'P1DT12H', "
            f"not {_shown(text)}",
        )
    fraction = match["fraction"] or ""
    number = {name: int(digits or 0) for name, digits in match.groupdict().items()}
    minutes = number["hours"] * 60 + number["minutes"]
    seconds = minutes * 60 + number["seconds"]
    return (
        number["years"] * 12 + number["months"],
        (number["weeks"] * 7 + number["days"]) * _DAY
        + seconds * _SECOND
        + int(fraction.ljust(6, "0")),
    )


def _out_of_range(field: str) -> InvalidInputError:
    return InvalidInputError(field, "outside the years 1970 to 9999 (UTC)")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
