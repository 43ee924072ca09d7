"""
Public holidays: which days they are, and that nothing else depends on them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

import escrowflow as ef
from escrowflow.calendars import BusinessCalendar, MondayToFriday, business_days_after
from escrowflow.calendars import holidays as public
from escrowflow.clock import as_utc, local_date
from escrowflow.errors import InvalidInputError
from escrowflow.processes import comeup
from tests.story import CANCEL, Story

SOURCE: Final = Path(__file__).parent.parent / "src"

WEEKDAYS: Final = MondayToFriday()
FRANCE: Final = public.france()
ALSACE: Final = public.alsace_moselle()
TARGET: Final = public.target()

# When a card payment is cancelled, and which calendar says the third business day and
# the fifth.
# fmt: off
SHOWN: Final = (
    # SC6, as the table of the rules has it
    ("2026-04-30T16:00:00+02:00", FRANCE,   ( 5,  6), ( 5, 11)),
    ("2026-04-02T16:00:00+02:00", FRANCE,   ( 4,  8), ( 4, 10)),
    ("2026-04-02T16:00:00+02:00", ALSACE,   ( 4,  9), ( 4, 13)),
    ("2026-05-13T16:00:00+02:00", FRANCE,   ( 5, 19), ( 5, 21)),
    ("2026-12-23T16:00:00+01:00", FRANCE,   (12, 29), (12, 31)),
    # The same days elsewhere
    ("2026-04-30T16:00:00+02:00", ALSACE,   ( 5,  6), ( 5, 11)),
    ("2026-04-30T16:00:00+02:00", TARGET,   ( 5,  6), ( 5,  8)),
    ("2026-04-30T16:00:00+02:00", WEEKDAYS, ( 5,  5), ( 5,  7)),
    ("2026-04-02T16:00:00+02:00", TARGET,   ( 4,  9), ( 4, 13)),
    ("2026-04-02T16:00:00+02:00", WEEKDAYS, ( 4,  7), ( 4,  9)),
    ("2026-05-13T16:00:00+02:00", ALSACE,   ( 5, 19), ( 5, 21)),
    ("2026-05-13T16:00:00+02:00", TARGET,   ( 5, 18), ( 5, 20)),
    ("2026-05-13T16:00:00+02:00", WEEKDAYS, ( 5, 18), ( 5, 20)),
    ("2026-12-23T16:00:00+01:00", ALSACE,   (12, 29), (12, 31)),
    ("2026-12-23T16:00:00+01:00", TARGET,   (12, 29), (12, 31)),
    ("2026-12-23T16:00:00+01:00", WEEKDAYS, (12, 28), (12, 30)),
)
# fmt: on


class TestShown:
    """
    When a refund shows (R47, C16, SC6).
    """

    @pytest.mark.parametrize(("cancelled_at", "calendar", "third", "fifth"), SHOWN)
    def test_card(
        self,
        cancelled_at: str,
        calendar: BusinessCalendar,
        third: tuple[int, int],
        fifth: tuple[int, int],
    ) -> None:
        """
        SC6: after three to five business days, at the same time of day.
        """
        timing = ef.RefundTiming(business_calendar=calendar)
        story = Story(cancelled_at, method="card", policies={"refund_timing": timing})

        story.buyer(CANCEL)

        (refund,) = story.order.refunds
        assert [local_date(instant, "Europe/Paris") for instant in refund.estimate] == [
            date(2026, *third),
            date(2026, *fifth),
        ]
        assert {
            instant.in_timezone("Europe/Paris").hour for instant in refund.estimate
        } == {16}

    @pytest.mark.parametrize("year", [1970, 1998, 2101, 9998])
    @pytest.mark.parametrize("calendar", [FRANCE, ALSACE, TARGET])
    def test_years_nobody_knows(
        self, calendar: public.HolidayCalendar, year: int
    ) -> None:
        """
        Far away there are weekends at least, and never an error of somebody else's.
        """
        at = as_utc(f"{year}-06-01T10:00:00Z", "at")

        shown = business_days_after(at, 5, calendar=calendar, zone="UTC")

        assert 7 <= (shown - at).days <= 11
        assert shown.weekday() < 5

    def test_end_of_the_calendar(self) -> None:
        """
        Where the years end there is no such day, and that is said.
        """
        at = as_utc("9999-12-29T10:00:00Z", "at")

        with pytest.raises(ef.InvalidInputError, match="9999"):
            business_days_after(at, 5, calendar=FRANCE, zone="UTC")


class TestCalendars:
    """
    Which ones there are.
    """

    @pytest.mark.parametrize(
        ("calendar", "closed"),
        [
            (FRANCE, "01-01 04-06 05-01 05-08 05-14 05-25 07-14 11-11 12-25"),
            (ALSACE, "01-01 04-03 04-06 05-01 05-08 05-14 05-25 07-14 11-11 12-25"),
            (TARGET, "01-01 04-03 04-06 05-01 12-25"),
        ],
        ids=["france", "alsace", "target"],
    )
    def test_days(self, calendar: public.HolidayCalendar, closed: str) -> None:
        """
        The weekdays of 2026 on which nobody works.
        """
        year = map(
            date.fromordinal,
            range(date(2026, 1, 1).toordinal(), date(2027, 1, 1).toordinal()),
        )

        assert [
            f"{day:%m-%d}"
            for day in year
            if day.weekday() < 5 and not calendar.is_business_day(day)
        ] == closed.split()

    def test_another_week(self) -> None:
        """
        A country has its own weekend.
        """
        israel = public.HolidayCalendar("IL")

        assert israel.is_business_day(date(2026, 6, 7))  # a Sunday
        assert not israel.is_business_day(date(2026, 6, 5))  # a Friday

    def test_is_a_calendar(self) -> None:
        """
        What is made is what the policy asks for.
        """
        assert isinstance(FRANCE, BusinessCalendar)
        assert public.france() == FRANCE == public.HolidayCalendar("FR")

    @pytest.mark.parametrize(
        ("code", "subdivision"),
        [
            ("XX", ""),
            ("FR", "nowhere"),
            ("XECB", "BY"),
            ("", ""),
            (None, ""),
            ("FR", 7),
        ],
    )
    def test_unknown(self, code: Any, subdivision: Any) -> None:
        """
        A calendar that nobody knows is refused at once.
        """
        with pytest.raises(ef.InvalidInputError):
            public.HolidayCalendar(code, subdivision)


# What a process of its own says: the fingerprint, and when a refund would show.
TELLS: Final = """
import escrowflow as ef
from escrowflow.calendars import holidays
from escrowflow.clock import as_utc
from escrowflow.processes import comeup

for calendar in (holidays.france(), holidays.alsace_moselle(), holidays.target()):
    timing = ef.RefundTiming(business_calendar=calendar)
    at = as_utc("2026-04-02T16:00:00+02:00", "at")
    print(comeup().with_policies(refund_timing=timing).fingerprint)
    print(*timing.estimate("card", at, zone="Europe/Paris"))
"""

# Another version of the package, which knows of Thursdays.
OTHER_VERSION: Final = """
__version__ = "9.9"

class Days:
    def is_working_day(self, day):
        return day.weekday() not in (3, 5, 6)

def list_supported_financial():
    return {"XECB": []}

def country_holidays(*_, **__):
    return Days()


def list_supported_countries():
    return {"FR": []}

financial_holidays = country_holidays
"""


def said(code: str, *words: str, path: Path | None = None, **variables: str) -> str:
    """
    Return what a process of its own says.
    """
    places = [str(place) for place in (path, SOURCE) if place is not None]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def here() -> str:
    """
    What is said with the variables that this process has.
    """
    return said(TELLS)


@pytest.fixture
def other_version(tmp_path: Path) -> Path:
    """
    Where another version of `holidays` is.
    """
    (tmp_path / "holidays.py").write_text(OTHER_VERSION)
    return tmp_path


class TestPinned:
    """
    What depends on the package, and what never does.
    """

    @pytest.mark.parametrize("language", ["C", "C.UTF-8", "fr_FR", "en_US", "th", "??"])
    def test_language(self, here: str, language: str) -> None:
        """
        The language of the machine changes nothing.
        """
        told = said(TELLS, LANG=language, LANGUAGE=language, LC_ALL=language)

        assert told == here

    def test_version(self, here: str, other_version: Path) -> None:
        """
        Another version of the package estimates otherwise; the process is the same.
        """
        before = here.splitlines()
        after = said(TELLS, path=other_version).splitlines()

        assert after[0::2] == before[0::2]
        assert not set(after[1::2]) & set(before[1::2])

    def test_history(self, tmp_path: Path, other_version: Path) -> None:
        """
        An estimate is that of its day: another version reads it, proves it, and
        repeats it, as it was written.
        """
        timing = ef.RefundTiming(business_calendar=FRANCE)
        story = Story(
            "2026-04-30T16:00:00+02:00",
            method="card",
            policies={"refund_timing": timing},
        )
        story.buyer(CANCEL)
        (refund,) = story.order.refunds
        file = tmp_path / "orders.jsonl"
        file.write_text("\n".join(story.engine.export()), encoding="utf-8")

        told = said(READS, str(file), path=other_version)

        assert told.split() == ["0", *(str(at.timestamp()) for at in refund.estimate)]

    def test_objects(self) -> None:
        """
        Two calendars with one name make one process; two names make two.
        """
        prints = [
            comeup().with_policies(refund_timing={"business_calendar": it}).fingerprint
            for it in (public.france(), public.france(), ALSACE, TARGET, WEEKDAYS)
        ]

        assert prints[0] == prints[1]
        assert len(set(prints)) == 4


# What another version of the package reads: an order that was written before it.
READS: Final = """
import sys
import escrowflow as ef
from escrowflow.calendars import holidays
from escrowflow.processes import comeup
from escrowflow.storage import open_storage

timing = ef.RefundTiming(business_calendar=holidays.france())
process = comeup().with_policies(refund_timing=timing)
engine = ef.Engine(process, open_storage("memory://"))
with open(sys.argv[1], encoding="utf-8") as file:
    engine.restore(file)
(order,) = engine.orders().items
print(len(engine.verify().faults))
print(*(at.timestamp() for at in order.refunds[0].estimate))
"""


class TestExtra:
    """
    What is only there if it is asked for.
    """

    def test_not_imported(self) -> None:
        """
        Whoever has no such calendar does not wait for `holidays`.
        """
        code = (
            "import sys, escrowflow, escrowflow.calendars.holidays\n"
            "print('holidays' in sys.modules)"
        )

        assert said(code).strip() == "False"

    def test_missing(self) -> None:
        """
        Without the extra the error names it, when the calendar is made.
        """
        code = (
            "import sys\n"
            "sys.modules['holidays'] = None\n"
            "from escrowflow.calendars import holidays\n"
            "from escrowflow.errors import InvalidInputError\n"
            "try:\n"
            "    holidays.france()\n"
            "except InvalidInputError as error:\n"
            "    print(error.field, error.problem)\n"
        )

        assert said(code).strip() == (
            "calendar public holidays need holidays: "
            "pip install 'escrowflow[calendars]'"
        )


def test_without_the_package_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who lacks the extra is told its name.
    """
    monkeypatch.setitem(sys.modules, "holidays", None)
    days = vars(import_module("escrowflow.calendars.holidays"))["_days"]

    with pytest.raises(InvalidInputError, match="calendars"):
        days("SE", "", (1971,))
