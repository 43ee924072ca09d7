"""
The rules of instants and windows, with the days on which clocks change.
"""

from __future__ import annotations

import datetime as stdlib
import pickle
from datetime import datetime, timedelta, timezone
from typing import assert_type
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pendulum import UTC, DateTime

from escrowflow.clock import (
    FAKE_START,
    Clock,
    FakeClock,
    Instant,
    Months,
    SystemClock,
    Window,
    as_utc,
    as_window,
    check_zone,
    end_of,
    from_micros,
    local_date,
    to_micros,
    to_zone,
    window_text,
)
from escrowflow.errors import InvalidInputError

PARIS = "Europe/Paris"
LORD_HOWE = "Australia/Lord_Howe"
DAY = timedelta(days=1)

LAST_MICROS = 253_402_300_799_999_999
MAX_WINDOW = timedelta(days=3660)

micros = st.integers(0, LAST_MICROS)
instants = micros.map(from_micros)
# Early enough that no window ends beyond the year 9999.
starts = st.integers(0, 4_000_000_000_000_000).map(from_micros)
elapsed = st.timedeltas(timedelta(microseconds=1), MAX_WINDOW)
whole_days = st.integers(1, 3660).map(lambda days: timedelta(days=days))
months = st.integers(1, 122).map(Months)
zones = st.sampled_from(
    [PARIS, LORD_HOWE, "UTC", "Pacific/Apia", "America/St_Johns", "Asia/Kathmandu"]
)


class NoOffset(stdlib.tzinfo):
    """
    A zone that does not know its offset.
    """

    def __repr__(self) -> str:
        # Part of a test's name, so it must not change from run to run.
        return "NoOffset()"

    def utcoffset(self, _moment: datetime | None) -> None:
        return None

    def dst(self, _moment: datetime | None) -> None:
        return None

    def tzname(self, _moment: datetime | None) -> None:
        return None


class TestAsUtc:
    def test_own_instant_comes_back(self) -> None:
        """
        An instant that is UTC already is returned itself.
        """
        instant = DateTime(2026, 5, 5, 8, tzinfo=UTC)

        assert as_utc(instant, "now") is instant

    @pytest.mark.parametrize(
        "value",
        [
            "2026-05-05T10:00:00+02:00",
            "2026-05-05T08:00:00Z",
            "2026-05-05 08:00+00:00",
            datetime(2026, 5, 5, 8, tzinfo=stdlib.UTC),
            datetime(2026, 5, 5, 8, tzinfo=UTC),
            datetime(2026, 5, 5, 10, tzinfo=timezone(timedelta(hours=2))),
            pendulum.datetime(2026, 5, 5, 8),
            pendulum.datetime(2026, 5, 5, 10, tz=PARIS),
        ],
        ids=repr,
    )
    def test_every_spelling(self, value: object) -> None:
        """
        Whatever way one instant is written, it is one value of one type in UTC.
        """
        instant = as_utc(value, "now")

        assert instant == DateTime(2026, 5, 5, 8, tzinfo=UTC)
        assert type(instant) is DateTime
        assert instant.tzinfo is UTC

    def test_microseconds_are_kept(self) -> None:
        """
        Microseconds are kept, and digits beyond them dropped.
        """
        assert as_utc("2026-05-05T08:00:00.1234569Z", "now").microsecond == 123456

    def test_fold_is_honoured(self) -> None:
        """
        Of two equal wall times, the one the caller meant is taken.
        """
        zone = pendulum.timezone(PARIS)
        first = datetime(2026, 10, 25, 2, 30, tzinfo=zone)

        assert as_utc(first, "now").hour == 0
        assert as_utc(first.replace(fold=1), "now").hour == 1

    @pytest.mark.parametrize(
        "value",
        [
            datetime(2026, 5, 5, 8),  # noqa: DTZ001
            pendulum.naive(2026, 5, 5, 8),
            datetime(2026, 5, 5, 8, tzinfo=NoOffset()),
            "2026-05-05T08:00:00",
            "2026-05-05",
        ],
        ids=repr,
    )
    def test_naive_is_refused(self, value: object) -> None:
        """
        What has no offset is refused, and told how to get one.
        """
        with pytest.raises(InvalidInputError, match="add an offset") as caught:
            as_utc(value, "terms.start")

        assert caught.value.field == "terms.start"

    @pytest.mark.parametrize(
        "value", ["", "tomorrow", "2026-02-30T00:00Z", "P7D", "\ud800", "9" * 999]
    )
    def test_other_text_is_refused(self, value: str) -> None:
        """
        Text that is no instant is refused, and not repeated at length.
        """
        with pytest.raises(InvalidInputError, match="ISO 8601 text such as") as caught:
            as_utc(value, "now")

        assert caught.value.field == "now"
        assert len(str(caught.value)) < 160

    @pytest.mark.parametrize(
        "value",
        [None, True, 1_777_968_000, 1.5, b"2026-05-05T08:00Z", stdlib.date(2026, 5, 5)],
        ids=repr,
    )
    def test_other_types_are_refused(self, value: object) -> None:
        """
        Numbers, bytes and dates are no instants; the message names the type.
        """
        name = type(value).__name__
        with pytest.raises(InvalidInputError, match=f"now: .*, not a {name}$"):
            as_utc(value, "now")

    @pytest.mark.parametrize(
        "value",
        [
            DateTime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            "1970-01-01T00:00:00+01:00",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-01:00",
        ],
        ids=str,
    )
    def test_other_years_are_refused(self, value: object) -> None:
        """
        An instant before 1970 or after 9999, seen from UTC, is refused.
        """
        with pytest.raises(InvalidInputError, match="now: outside the years 1970 to"):
            as_utc(value, "now")

    def test_first_and_last_instant(self) -> None:
        """
        The first microsecond of 1970 and the last of 9999 are instants.
        """
        assert to_micros(as_utc("1970-01-01T01:00:00+01:00", "now")) == 0
        assert to_micros(as_utc("9999-12-31T23:59:59.999999Z", "now")) == LAST_MICROS

    @given(moment=st.datetimes(datetime(1971, 1, 1), timezones=zones.map(ZoneInfo)))  # noqa: DTZ001
    def test_same_instant_from_any_zone(self, moment: datetime) -> None:
        """
        Going to UTC never changes the instant, whatever zone it comes from.
        """
        try:
            expected = moment.astimezone(stdlib.UTC)
        except OverflowError:
            with pytest.raises(InvalidInputError):
                as_utc(moment, "now")
        else:
            assert as_utc(moment, "now") == expected


class TestMicros:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000001Z", 1),
            ("2026-05-05T08:00:00.000005Z", 1_777_968_000_000_005),
            ("9999-12-31T23:59:59.999999Z", LAST_MICROS),
        ],
    )
    def test_known_instants(self, text: str, number: int) -> None:
        """
        Known instants have the numbers one would compute on paper.
        """
        assert to_micros(as_utc(text, "now")) == number
        assert from_micros(number) == as_utc(text, "now")

    @given(number=micros)
    def test_round_trip_from_number(self, number: int) -> None:
        """
        A number comes back from its instant, which is a UTC one, exactly.
        """
        instant = from_micros(number)

        assert to_micros(instant) == number
        assert as_utc(instant, "now") is instant

    @given(
        moment=st.datetimes(
            datetime(1970, 1, 1),  # noqa: DTZ001
            timezones=st.just(stdlib.UTC),
        )
    )
    def test_round_trip_from_instant(self, moment: datetime) -> None:
        """
        An instant comes back from its number exactly.
        """
        assert from_micros(to_micros(as_utc(moment, "now"))) == moment

    @given(first=micros, second=micros)
    def test_order_is_kept(self, first: int, second: int) -> None:
        """
        Numbers order as their instants do, so an index of them is one of time.
        """
        assert (first < second) == (from_micros(first) < from_micros(second))

    def test_another_zone_is_the_same_number(self) -> None:
        """
        The number is that of the instant, not of its wall time.
        """
        instant = pendulum.datetime(2026, 5, 5, 10, tz=PARIS)

        assert to_micros(instant) == 1_777_968_000_000_000

    @pytest.mark.parametrize("number", [-1, LAST_MICROS + 1, 10**30])
    def test_out_of_range(self, number: int) -> None:
        """
        A number outside the years 1970 to 9999 is refused.
        """
        with pytest.raises(InvalidInputError, match="micros: outside the years"):
            from_micros(number)

    @given(instant=instants)
    def test_pickle(self, instant: Instant) -> None:
        """
        A pickled instant is still recognised as one of ours.
        """
        again = pickle.loads(pickle.dumps(instant))

        assert as_utc(again, "now") is again


class TestMonths:
    def test_text(self) -> None:
        """
        The text of months is ISO 8601.
        """
        assert str(Months(5)) == "P5M"

    def test_equality(self) -> None:
        """
        Months equal the same number of months and no number of days.
        """
        one: object = Months(1)

        assert one == Months(1)
        assert hash(one) == hash(Months(1))
        assert one != Months(2)
        assert one != timedelta(days=30)

    @pytest.mark.parametrize("count", [1, 1200])
    def test_limits_are_included(self, count: int) -> None:
        """
        One month and a hundred years are both possible.
        """
        assert Months(count).count == count

    @pytest.mark.parametrize("count", [0, -1, 1201, 1.0, True, "5", None])
    def test_other_counts_are_refused(self, count: object) -> None:
        """
        Anything but a whole number from 1 to 1200 is refused.
        """
        with pytest.raises(InvalidInputError, match="count: a whole number of months"):
            Months(count)  # type: ignore[arg-type]


class TestAsWindow:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (timedelta(hours=48), timedelta(hours=48)),
            (pendulum.duration(days=2, hours=12), timedelta(days=2, hours=12)),
            (pendulum.duration(weeks=1), timedelta(days=7)),
            (pendulum.duration(microseconds=1), timedelta(microseconds=1)),
            ("PT48H", timedelta(days=2)),
            ("P7D", timedelta(days=7)),
            ("P2W", timedelta(days=14)),
            ("P1W1D", timedelta(days=8)),
            ("P1DT12H", timedelta(hours=36)),
            ("PT1H30M15S", timedelta(hours=1, minutes=30, seconds=15)),
            ("PT90M", timedelta(minutes=90)),
            ("PT0.5S", timedelta(milliseconds=500)),
            ("PT1,000001S", timedelta(seconds=1, microseconds=1)),
            ("P0Y0M7D", timedelta(days=7)),
            ("P3660D", MAX_WINDOW),
        ],
        ids=str,
    )
    def test_every_spelling(self, value: object, expected: timedelta) -> None:
        """
        Whatever way a window is written, it becomes a plain timedelta.
        """
        window = as_window(value, "window")

        assert window == expected
        assert type(window) is timedelta

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("P5M", Months(5)),
            ("P1Y", Months(12)),
            ("P1Y2M", Months(14)),
            ("P122M", Months(122)),
            (Months(5), Months(5)),
            (pendulum.duration(months=5), Months(5)),
            (pendulum.duration(years=1, months=1), Months(13)),
            ("P7D", timedelta(days=7)),
            (pendulum.duration(days=150), timedelta(days=150)),
        ],
        ids=str,
    )
    def test_months_where_allowed(self, value: object, expected: Window) -> None:
        """
        Where months are allowed, they stay months, and days stay days.
        """
        window = as_window(value, "window", months=True)

        assert window == expected
        assert type(window) is type(expected)

    @pytest.mark.parametrize(
        "value",
        [
            "P5M",
            "P1Y",
            "P1M3D",
            Months(5),
            pendulum.duration(months=5),
            pendulum.duration(years=1),
            pendulum.duration(months=-1),
        ],
        ids=str,
    )
    def test_months_where_not_allowed(self, value: object) -> None:
        """
        Where they are not, no month is silently taken for 30 days.
        """
        with pytest.raises(InvalidInputError, match="give days or hours") as caught:
            as_window(value, "terms.delivery_window")

        assert caught.value.field == "terms.delivery_window"

    @pytest.mark.parametrize(
        "value",
        [
            "P1M1D",
            "P1MT1S",
            pendulum.duration(months=1, days=1),
            pendulum.duration(months=1, days=-30),
            pendulum.duration(years=1, microseconds=1),
        ],
        ids=str,
    )
    def test_months_and_days_do_not_mix(self, value: object) -> None:
        """
        Months and days together have no one meaning, and are refused.
        """
        with pytest.raises(
            InvalidInputError, match=r"window: whole months .* not both"
        ):
            as_window(value, "window", months=True)

    @pytest.mark.parametrize(
        "value",
        [Months(123), "P123M", "P11Y", "P99999999999M", pendulum.duration(months=-5)],
        ids=str,
    )
    def test_months_out_of_range(self, value: object) -> None:
        """
        More than 122 months are refused, and fewer than one.
        """
        with pytest.raises(InvalidInputError, match="window: 1 to 122 months, not"):
            as_window(value, "window", months=True)

    def test_interval_is_what_elapsed(self) -> None:
        """
        What two instants are apart is elapsed time, however many months it spans.
        """
        start = pendulum.datetime(2026, 2, 1, tz=PARIS)
        interval = start.add(months=5) - start

        window = as_window(interval, "window")

        assert interval.months == 5
        assert window == timedelta(days=149, hours=23)
        assert type(window) is timedelta
        assert as_window(interval, "window", months=True) == window

    @pytest.mark.parametrize(
        "value", [timedelta(0), pendulum.duration(), "PT0S", "P0D", "P0M"], ids=repr
    )
    def test_zero(self, value: object) -> None:
        """
        No time at all is a window only where that is asked for.
        """
        with pytest.raises(InvalidInputError, match="window: a window cannot be empty"):
            as_window(value, "window")

        assert as_window(value, "window", zero=True) == timedelta(0)

    @pytest.mark.parametrize(
        "value", [timedelta(microseconds=-1), pendulum.duration(days=-1)], ids=repr
    )
    def test_negative(self, value: object) -> None:
        """
        A window never runs backwards, not even where zero is allowed.
        """
        with pytest.raises(InvalidInputError, match=r"window: .* cannot be negative"):
            as_window(value, "window", zero=True)

    @pytest.mark.parametrize(
        "value",
        [
            MAX_WINDOW + timedelta(microseconds=1),
            timedelta.max,
            "P3661D",
            "PT999999999999999999H",
        ],
        ids=repr,
    )
    def test_too_long(self, value: object) -> None:
        """
        More than 3660 days are refused: the unit must have been another.
        """
        with pytest.raises(InvalidInputError, match=r"window: .* at most 3660 days"):
            as_window(value, "window")

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "P",
            "PT",
            "P1DT",
            "7D",
            "P7",
            "PT7D",
            "P1H",
            "p7d",
            " P7D",
            "P7D\n",
            "-P7D",
            "P1.5D",
            "PT0.1234567S",
            "PT.5S",
            "P1D1W",
            "P\u0667D",
            "P9999999999999999999D",
            "7 days",
        ],
    )
    def test_other_text_is_refused(self, value: str) -> None:
        """
        Text that is no ISO 8601 duration is refused with examples of what is.
        """
        with pytest.raises(InvalidInputError, match=r"window: .* such as 'PT48H'"):
            as_window(value, "window", months=True, zero=True)

    @pytest.mark.parametrize("value", [True, 7, 7.0, None, b"P7D", stdlib.time(7)])
    def test_other_types_are_refused(self, value: object) -> None:
        """
        A number has no unit, so it is no window; the message names the type.
        """
        name = type(value).__name__
        with pytest.raises(InvalidInputError, match=f"window: .*, not a {name}$"):
            as_window(value, "window", zero=True)

    def test_types(self) -> None:
        """
        A type checker knows that without months a window is a timedelta.
        """
        assert_type(as_window("P7D", "window"), timedelta)
        assert_type(as_window("P7D", "window", months=False, zero=True), timedelta)
        assert_type(as_window("P7D", "window", months=True), timedelta | Months)


class TestWindowText:
    @pytest.mark.parametrize(
        ("window", "text"),
        [
            (timedelta(days=7), "P7D"),
            (timedelta(hours=48), "P2D"),
            (timedelta(0), "P0D"),
            (timedelta(hours=36), "PT36H"),
            (timedelta(days=1, seconds=1), "PT24H1S"),
            (timedelta(hours=1, minutes=30), "PT1H30M"),
            (timedelta(minutes=1), "PT1M"),
            (timedelta(seconds=1), "PT1S"),
            (timedelta(milliseconds=250), "PT0.25S"),
            (timedelta(seconds=10, microseconds=1), "PT10.000001S"),
            (Months(5), "P5M"),
            (Months(12), "P12M"),
        ],
        ids=str,
    )
    def test_text(self, window: Window, text: str) -> None:
        """
        Every window has one text, the shortest of its kind.
        """
        assert window_text(window) == text

    @given(window=elapsed | whole_days | months)
    def test_round_trip(self, window: Window) -> None:
        """
        The text of a window is read back as the same window.
        """
        assert as_window(window_text(window), "window", months=True) == window

    def test_round_trip_of_nothing(self) -> None:
        """
        The text of no time at all is read back too.
        """
        assert as_window(window_text(timedelta(0)), "w", zero=True) == timedelta(0)


class TestEndOf:
    def test_elapsed(self) -> None:
        """
        Seven days are 168 hours, also over a change of the clocks.
        """
        start = as_utc("2026-03-28T02:30:00+01:00", "start")

        end = end_of(start, timedelta(days=7))

        assert end == as_utc("2026-04-04T03:30:00+02:00", "end")
        assert type(end) is DateTime
        assert end.tzinfo is UTC

    def test_completion_and_reviews(self) -> None:
        """
        Completed on 16 May at 09:30 in summer time, reviews end on 16 November at
        09:30 in winter time (SC2).
        """
        delivered = as_utc("2026-05-09T09:30:00+02:00", "start")

        completed = end_of(delivered, timedelta(days=7))
        reviewed = end_of(completed, Months(6))

        assert completed == as_utc("2026-05-16T09:30:00+02:00", "end")
        assert reviewed == as_utc("2026-11-16T09:30:00+01:00", "end")
        assert type(reviewed) is DateTime
        assert reviewed.tzinfo is UTC

    @pytest.mark.parametrize(
        ("start", "days", "end"),
        [
            # Clocks go forward on 29 March 2026, 02:00 to 03:00.
            ("2026-03-28T12:00:00+01:00", 1, "2026-03-29T12:00:00+02:00"),
            ("2026-03-28T02:30:00+01:00", 1, "2026-03-29T03:30:00+02:00"),
            ("2026-03-28T02:00:00+01:00", 1, "2026-03-29T03:00:00+02:00"),
            ("2026-03-28T01:59:59+01:00", 1, "2026-03-29T01:59:59+01:00"),
            ("2026-03-28T02:30:00+01:00", 2, "2026-03-30T02:30:00+02:00"),
            # Clocks go back on 25 October 2026, 03:00 to 02:00.
            ("2026-10-24T12:00:00+02:00", 1, "2026-10-25T12:00:00+01:00"),
            ("2026-10-24T02:30:00+02:00", 1, "2026-10-25T02:30:00+02:00"),
            ("2026-10-24T03:00:00+02:00", 1, "2026-10-25T03:00:00+01:00"),
            ("2026-10-25T02:30:00+02:00", 1, "2026-10-26T02:30:00+01:00"),
            ("2026-10-25T02:30:00+01:00", 1, "2026-10-26T02:30:00+01:00"),
            ("2026-06-01T08:15:00.000001+02:00", 7, "2026-06-08T08:15:00.000001+02:00"),
        ],
    )
    def test_civil_days(self, start: str, days: int, end: str) -> None:
        """
        Civil days end at the wall time they began at: the first of two, or moved
        by the gap if it is skipped.
        """
        window = timedelta(days=days)

        actual = end_of(as_utc(start, "start"), window, civil=True, zone=PARIS)

        assert actual == as_utc(end, "end")
        assert type(actual) is DateTime
        assert actual.tzinfo is UTC

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            # Forward on 4 October 2026, 02:00 to 02:30.
            ("2026-10-03T02:15:00+10:30", "2026-10-04T02:45:00+11:00"),
            ("2026-10-03T02:30:00+10:30", "2026-10-04T02:30:00+11:00"),
            # Back on 5 April 2026, 02:00 to 01:30.
            ("2026-04-04T01:45:00+11:00", "2026-04-05T01:45:00+11:00"),
            ("2026-04-04T02:00:00+11:00", "2026-04-05T02:00:00+10:30"),
        ],
    )
    def test_half_an_hour(self, start: str, end: str) -> None:
        """
        On Lord Howe Island the clocks change by half an hour, by the same rules.
        """
        actual = end_of(as_utc(start, "start"), DAY, civil=True, zone=LORD_HOWE)

        assert actual == as_utc(end, "end")

    @pytest.mark.parametrize(
        "window",
        [timedelta(hours=36), timedelta(hours=2), timedelta(days=1, microseconds=1)],
        ids=str,
    )
    def test_parts_of_a_day_elapse(self, window: timedelta) -> None:
        """
        A window that is no whole number of days elapses, civil or not.
        """
        start = as_utc("2026-03-28T12:00:00+01:00", "start")

        assert end_of(start, window, civil=True) == end_of(start, window)

    def test_empty_window(self) -> None:
        """
        An empty window ends where it begins, also in the second of two hours.
        """
        start = as_utc("2026-10-25T02:30:00+01:00", "start")

        assert end_of(start, timedelta(0), civil=True) == start

    @pytest.mark.parametrize(
        ("start", "count", "end"),
        [
            ("2026-08-31T12:00:00+02:00", 6, "2027-02-28T12:00:00+01:00"),
            ("2027-08-31T12:00:00+02:00", 6, "2028-02-29T12:00:00+01:00"),
            ("2026-01-31T12:00:00+01:00", 1, "2026-02-28T12:00:00+01:00"),
            ("2026-02-28T12:00:00+01:00", 1, "2026-03-28T12:00:00+01:00"),
            ("2026-05-15T12:00:00+02:00", 7, "2026-12-15T12:00:00+01:00"),
            ("2026-05-15T12:00:00+02:00", 8, "2027-01-15T12:00:00+01:00"),
            ("2026-05-15T12:00:00+02:00", 122, "2036-07-15T12:00:00+02:00"),
            # The day counts in the zone: it is 30 June in UTC.
            ("2026-07-01T00:30:00+02:00", 1, "2026-08-01T00:30:00+02:00"),
            # Twice, skipped, and begun in the second of two hours.
            ("2026-09-25T02:30:00+02:00", 1, "2026-10-25T02:30:00+02:00"),
            ("2026-01-29T02:30:00+01:00", 2, "2026-03-29T03:30:00+02:00"),
            ("2026-10-25T02:30:00+01:00", 1, "2026-11-25T02:30:00+01:00"),
        ],
    )
    def test_months(self, start: str, count: int, end: str) -> None:
        """
        Months end on the same day and wall time in the zone, or on the last day.
        """
        actual = end_of(as_utc(start, "start"), Months(count), zone=PARIS)

        assert actual == as_utc(end, "end")

    @pytest.mark.parametrize("civil", [False, True])
    def test_start_in_another_zone(self, civil: bool) -> None:
        """
        A start that is not in UTC yet is the same instant.
        """
        start = pendulum.datetime(2026, 3, 28, 12, tz=PARIS)

        end = end_of(start, DAY, civil=civil)

        assert end == end_of(as_utc(start, "start"), DAY, civil=civil)
        assert end.tzinfo is UTC

    @pytest.mark.parametrize(
        ("start", "window", "civil", "zone"),
        [
            pytest.param("9999-12-31T12:00Z", DAY, False, PARIS, id="elapsed"),
            pytest.param("9999-12-31T12:00Z", DAY, True, PARIS, id="civil"),
            pytest.param("9999-12-31T12:00Z", Months(1), False, PARIS, id="months"),
            # 31 December in New York, and 10000 in UTC.
            pytest.param(
                "9999-12-31T01:00Z", DAY, True, "America/New_York", id="end-in-utc"
            ),
            # On Kiritimati it is 10000 already.
            pytest.param(
                "9999-12-31T12:00Z", DAY, True, "Pacific/Kiritimati", id="start-in-zone"
            ),
        ],
    )
    def test_beyond_the_last_year(
        self, start: str, window: Window, civil: bool, zone: str
    ) -> None:
        """
        A window that ends beyond the year 9999 is refused, however it is counted.
        """
        begun = as_utc(start, "start")

        with pytest.raises(InvalidInputError, match="window: outside the years"):
            end_of(begun, window, civil=civil, zone=zone)

    def test_unknown_zone(self) -> None:
        """
        A zone that is needed must exist; one that is not is not looked up.
        """
        start = as_utc("2026-05-05T08:00:00Z", "start")

        with pytest.raises(InvalidInputError, match="zone: no time zone 'Nowhere'"):
            end_of(start, DAY, civil=True, zone="Nowhere")

        assert end_of(start, DAY, zone="Nowhere") == start.add(days=1)

    @given(start=starts, window=elapsed)
    def test_elapsed_is_exact(self, start: Instant, window: timedelta) -> None:
        """
        An elapsed window is exactly as long as it says, to the microsecond.
        """
        end = end_of(start, window)

        assert to_micros(end) - to_micros(start) == window // timedelta(microseconds=1)

    @given(start=starts, first=elapsed, second=elapsed)
    def test_longer_elapsed_window_ends_later(
        self, start: Instant, first: timedelta, second: timedelta
    ) -> None:
        """
        Of two windows begun together, the longer one ends later.
        """
        assert (first < second) == (end_of(start, first) < end_of(start, second))

    @given(start=starts, days=st.integers(1, 3659), zone=zones)
    def test_civil_days_are_monotone(
        self, start: Instant, days: int, zone: str
    ) -> None:
        """
        A civil day more never ends a window earlier, and every one ends later than
        it began.
        """
        shorter = end_of(start, timedelta(days=days), civil=True, zone=zone)
        longer = end_of(start, timedelta(days=days + 1), civil=True, zone=zone)

        assert start < shorter <= longer

    @given(start=starts, count=st.integers(1, 121), zone=zones)
    def test_months_are_monotone(self, start: Instant, count: int, zone: str) -> None:
        """
        A month more ends a window later, and every one ends later than it began.
        """
        shorter = end_of(start, Months(count), zone=zone)
        longer = end_of(start, Months(count + 1), zone=zone)

        assert start < shorter < longer

    @given(start=starts, window=whole_days)
    def test_civil_days_in_utc_elapse(self, start: Instant, window: timedelta) -> None:
        """
        Where clocks never change, civil days are elapsed days.
        """
        assert end_of(start, window, civil=True, zone="UTC") == end_of(start, window)

    @given(start=starts, window=whole_days | months, zone=zones)
    def test_wall_time_is_kept(self, start: Instant, window: Window, zone: str) -> None:
        """
        The end has the wall time of the start, or lies in the hours after a gap.
        """
        begin = to_zone(start, zone)
        end = to_zone(end_of(start, window, civil=True, zone=zone), zone)

        gap = end.utcoffset() != to_zone(end.subtract(days=1), zone).utcoffset()
        assert begin.time() == end.time() or gap
        assert end.fold == 0


class TestZones:
    @pytest.mark.parametrize(
        "name", ["Europe/Paris", "UTC", "Australia/Lord_Howe", "Asia/Calcutta"]
    )
    def test_known(self, name: str) -> None:
        """
        A name of the IANA database comes back as it is.
        """
        assert check_zone(name, "zone") == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "Nowhere",
            "+02:00",
            "Europe",
            "../Paris",
            "/etc/localtime",
            "Europe/Paris\0",
            "\ud800",
            "x" * 5000,
            "localtime",
            "posixrules",
            "posix/Europe/Paris",
            "right/Europe/Paris",
        ],
    )
    def test_unknown(self, name: str) -> None:
        """
        Any other text is refused, also what only this machine could understand.
        """
        with pytest.raises(InvalidInputError, match=r"no time zone .* IANA") as caught:
            check_zone(name, "time.zone")

        assert caught.value.field == "time.zone"
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize("name", [None, 3600, b"UTC", UTC], ids=repr)
    def test_other_types_are_refused(self, name: object) -> None:
        """
        A zone is given by name; the message names the type it got.
        """
        kind = type(name).__name__
        with pytest.raises(InvalidInputError, match=f"zone: .*, not a {kind}$"):
            check_zone(name, "zone")

    def test_to_zone(self) -> None:
        """
        For display, an instant gets the wall time of a zone and stays the same.
        """
        instant = as_utc("2026-10-25T01:30:00Z", "now")

        local = to_zone(instant, PARIS)

        assert type(local) is DateTime
        assert local.isoformat() == "2026-10-25T02:30:00+01:00"
        assert as_utc(local, "now") == instant
        # Not our rule but Python's: see the docstring of `to_zone`.
        assert local != instant

    @given(instant=starts, zone=zones)
    def test_to_zone_and_back(self, instant: Instant, zone: str) -> None:
        """
        From any zone the way back leads to the same instant.
        """
        assert as_utc(to_zone(instant, zone), "now") == instant

    def test_local_date(self) -> None:
        """
        Around midnight, the date depends on the zone.
        """
        instant = as_utc("2026-04-30T22:30:00Z", "now")

        assert local_date(instant, "UTC") == pendulum.date(2026, 4, 30)
        assert local_date(instant, PARIS) == pendulum.date(2026, 5, 1)
        assert type(local_date(instant, PARIS)) is pendulum.Date

    def test_no_wall_time_beyond_the_last_year(self) -> None:
        """
        The last hours of 9999 have no wall time east of Greenwich.
        """
        instant = from_micros(LAST_MICROS)

        with pytest.raises(InvalidInputError, match="instant: outside the years"):
            to_zone(instant, PARIS)


class TestSystemClock:
    def test_now(self) -> None:
        """
        The system clock gives the present instant, as one of ours.
        """
        clock: Clock = SystemClock()

        before = datetime.now(stdlib.UTC)
        now = clock.now()
        after = datetime.now(stdlib.UTC)

        assert before <= now <= after
        assert as_utc(now, "now") is now


class TestFakeClock:
    def test_starts_where_told(self) -> None:
        """
        A fake clock begins where it is told to, in UTC, and stands still.
        """
        clock: Clock = FakeClock("2026-05-05T10:00:00+02:00")

        assert clock.now() == DateTime(2026, 5, 5, 8, tzinfo=UTC)
        assert clock.now() is clock.now()
        assert clock.now().tzinfo is UTC

    def test_starts_at_an_odd_moment(self) -> None:
        """
        Without a start it begins years from now, on no round second.
        """
        assert FakeClock().now() == FAKE_START
        assert FAKE_START.isoformat() == "2031-07-19T03:47:11.271829+00:00"

    def test_refuses_a_naive_start(self) -> None:
        """
        A start without an offset is refused.
        """
        with pytest.raises(InvalidInputError, match=r"start: .* add an offset"):
            FakeClock(datetime(2026, 5, 5))  # noqa: DTZ001

    def test_advance(self) -> None:
        """
        Time passes by the sum of what is given, and the new instant is returned.
        """
        clock = FakeClock("2026-05-05T08:00:00Z")

        now = clock.advance(
            weeks=1,
            days=1,
            hours=1,
            minutes=1,
            seconds=1,
            milliseconds=1,
            microseconds=1,
        )

        assert now == as_utc("2026-05-13T09:01:01.001001Z", "now")
        assert clock.now() is now
        assert as_utc(now, "now") is now

    @pytest.mark.parametrize("window", [timedelta(hours=48), "PT48H", "P2D"], ids=str)
    def test_advance_by_a_window(self, window: timedelta | str) -> None:
        """
        A window is added to the rest.
        """
        clock = FakeClock("2026-05-05T08:00:00Z")

        clock.advance(window, microseconds=1)

        assert clock.now() == as_utc("2026-05-07T08:00:00.000001Z", "now")

    def test_days_are_elapsed(self) -> None:
        """
        A day of a fake clock has 24 hours, also when the clocks change.
        """
        clock = FakeClock("2026-03-28T12:00:00+01:00")

        clock.advance(days=1)

        assert clock.now() == as_utc("2026-03-29T13:00:00+02:00", "now")

    def test_advance_by_nothing(self) -> None:
        """
        No time at all may pass.
        """
        clock = FakeClock()

        assert clock.advance() == FAKE_START
        assert clock.advance("PT0S", days=0) == FAKE_START

    def test_advance_does_not_go_back(self) -> None:
        """
        A negative sum is refused, as a ValueError, and the clock has not moved.
        """
        clock = FakeClock()

        with pytest.raises(ValueError, match="window: a clock does not go back"):
            clock.advance(hours=1, microseconds=-3_600_000_001)
        with pytest.raises(InvalidInputError, match=r"window: .* cannot be negative"):
            clock.advance(timedelta(-1), days=2)

        assert clock.now() == FAKE_START

    @pytest.mark.parametrize("days", [3_000_000, 10**12])
    def test_advance_beyond_the_last_year(self, days: int) -> None:
        """
        A fake clock stays within the years of instants.
        """
        clock = FakeClock()

        with pytest.raises(InvalidInputError, match="window: outside the years"):
            clock.advance(days=days)

        assert clock.now() == FAKE_START

    def test_advance_by_months(self) -> None:
        """
        Months are refused: how long they are depends on a zone.
        """
        with pytest.raises(InvalidInputError, match=r"window: .* give days or hours"):
            FakeClock().advance("P6M")

    def test_advance_to(self) -> None:
        """
        Time passes until an instant, which may be the present one.
        """
        clock = FakeClock("2026-05-05T08:00:00Z")

        now = clock.advance_to("2026-05-05T10:00:00.000001+02:00")

        assert clock.now() is now
        assert clock.advance_to(now) is now
        assert now == as_utc("2026-05-05T08:00:00.000001Z", "now")

    def test_advance_to_does_not_go_back(self) -> None:
        """
        An instant that has passed is refused, and the clock has not moved.
        """
        clock = FakeClock("2026-05-05T08:00:00Z")

        with pytest.raises(
            ValueError, match=r"instant: .* has passed, it is"
        ) as caught:
            clock.advance_to("2026-05-05T07:59:59.999999Z")

        assert isinstance(caught.value, InvalidInputError)
        assert clock.now() == as_utc("2026-05-05T08:00:00Z", "now")

    @given(instant=instants)
    def test_repr(self, instant: Instant) -> None:
        """
        The representation shows the instant, and makes the same clock.
        """
        clock = FakeClock(instant)

        assert instant.isoformat() in repr(clock)
        assert eval(repr(clock)).now() == instant

    def test_two_clocks_are_two(self) -> None:
        """
        Two clocks that agree for now are still two.
        """
        one: object = FakeClock()

        assert one != FakeClock()
        assert one == one
