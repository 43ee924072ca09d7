"""
Ways out: who can end that money is held, and what a change took away.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import pytest

from escrowflow.checker import Finding, Report, check
from escrowflow.errors import InvalidInputError
from escrowflow.states import Gap, Process
from tests.test_checker import check_story
from tests.tribe import TRIBE, process_of

PURCHASE: Final = process_of(TRIBE["default_purchase"])

# Nothing else is declared here.
WAITS: Final = Gap("no_timed_exit", "purchased", "we look at what is not delivered")


def without(*names: str, gaps: tuple[Gap, ...] = ()) -> Process[Any]:
    """
    Return the purchase without some transitions.
    """
    facts = TRIBE["default_purchase"]
    left = tuple(one for one in facts.transitions if one.name not in names)
    # What is declared, first: without, it would not be built.
    timeless = tuple(gap.where for gap in gaps if gap.code == "no_timed_exit")
    mine = process_of(
        attrs.evolve(
            facts,
            name="mine",
            transitions=left,
            timeless=(*facts.timeless, *timeless),
        )
    )
    return attrs.evolve(mine, gaps=(*mine.gaps, *gaps))


def found(report: Report, code: str) -> dict[str, Finding]:
    """
    Return what is found under a code, by where.
    """
    return {one.where: one for one in report.findings if one.code == code}


class TestLost:
    """
    What somebody could do in another process, and cannot in this one.
    """

    def test_nothing(self) -> None:
        """
        A process has lost nothing against itself.
        """
        report = check(PURCHASE, against=PURCHASE)

        assert not found(report, "way_lost")
        assert report == check(PURCHASE)

    def test_with_another_left(self) -> None:
        """
        Whoever can still end it otherwise is told how; nothing is wrong.
        """
        report = check(without("dispute"), against=PURCHASE)

        (lost,) = found(report, "way_lost").values()
        assert (lost.where, lost.severity) == ("buyer in delivered", "note")
        assert lost.message() == (
            "In the state “Delivered” the buyer had a way out that is gone: “dispute”. "
            "What is left: “mark received”."
        )
        french = lost.message("fr")
        assert french.startswith(
            "À l’étape «\u00a0Livrée\u00a0», le rôle acheteur avait une issue"
        )
        assert french.endswith("Il lui reste\u00a0: «\u00a0mark received\u00a0».")

    def test_with_time_left(self) -> None:
        """
        Several are told as one; time is named where it is all there is.
        """
        mine = without("dispute", "mark_received")

        (lost,) = found(check(mine, against=PURCHASE), "way_lost").values()

        assert lost.severity == "note"
        assert lost.message() == (
            "In the state “Delivered” the buyer had a way out that is gone: "
            "“mark received” or “dispute”. Only time is left: “auto mark received”."
        )

    def test_with_nothing_left(self) -> None:
        """
        Whoever has nothing left, and no deadline, has lost it: that is an error.
        """
        mine = without("auto_cancel", "mark_received_from_purchased", gaps=(WAITS,))

        lost = found(check(mine, against=PURCHASE), "way_lost")

        assert lost.keys() == {"buyer in purchased", "time in purchased"}
        assert {one.severity for one in lost.values()} == {"error"}
        assert lost["buyer in purchased"].message() == (
            "In the state “purchased” the buyer had a way out that is gone: “mark "
            "received from purchased”. Nothing is left."
        )
        assert lost["time in purchased"].message() == (
            "In the state “purchased” time had a way out that is gone: “auto cancel”. "
            "No wait is left."
        )

    def test_its_story(self) -> None:
        """
        It is told what worked before: the story is one of the other process, and true.
        """
        (lost,) = found(
            check(without("dispute"), against=PURCHASE), "way_lost"
        ).values()

        assert lost.story is not None
        assert lost.story.process is PURCHASE
        assert lost.story.steps[-1].command.name == "dispute"
        check_story(lost.story)

    def test_where_nobody_comes_any_more(self) -> None:
        """
        In a state that there is not, nobody lost anything.
        """
        download = process_of(TRIBE["default_download"])
        assert "delivered" not in download.members

        lost = found(check(download, against=PURCHASE), "way_lost")

        assert {where.partition(" in ")[2] for where in lost} == {"purchased"}

    def test_more_than_could_be_explored(self) -> None:
        """
        What the other process had is not known: the report says that it is not whole.
        """
        report = check(without("dispute"), against=PURCHASE, most=1)

        assert not report.complete
        assert found(report, "too_large").keys() == {"mine", "default_purchase"}

    def test_no_process(self) -> None:
        """
        A process is held against a process.
        """
        wrong: Any = "comeup"

        with pytest.raises(InvalidInputError) as caught:
            check(PURCHASE, against=wrong)

        assert caught.value.field == "against"


class TestAtMercy:
    """
    Who can only wait for the other side, for ever.
    """

    def test_a_buyer(self) -> None:
        """
        Without a deadline, and without anything of the buyer's own, it is the seller's
        to end it; staff is not counted on.
        """
        mine = without("auto_cancel", "mark_received_from_purchased", gaps=(WAITS,))

        (one,) = found(check(mine), "at_mercy").values()

        assert (one.where, one.severity) == ("buyer in purchased", "error")
        assert one.message() == (
            "Money is held in the state “purchased” for as long as the seller does "
            "nothing, whatever the buyer does."
        )
        assert "vendeur" in one.message("fr")
        assert one.story is not None
        check_story(one.story)

    @pytest.mark.parametrize("left", ["auto_cancel", "mark_received_from_purchased"])
    def test_with_a_deadline_or_a_command(self, left: str) -> None:
        """
        One of the two is enough.
        """
        taken = {"auto_cancel", "mark_received_from_purchased"} - {left}

        assert not found(check(without(*taken, gaps=(WAITS,))), "at_mercy")

    def test_where_neither_side_decides(self) -> None:
        """
        It is not up to the other side where staff decides.
        """
        gap = Gap("no_timed_exit", "disputed", "staff takes its time")
        mine = without("auto_cancel_from_disputed", gaps=(gap,))

        assert not found(check(mine), "at_mercy")

    def test_declared(self) -> None:
        """
        It can be accepted, for that side.
        """
        taken = ("auto_cancel", "mark_received_from_purchased")
        reports = [
            found(check(without(*taken, gaps=(WAITS, gap))), "at_mercy")
            for gap in (
                Gap("at_mercy", f"{role} in purchased", "sellers here deliver")
                for role in ("seller", "buyer")
            )
        ]

        assert [one["buyer in purchased"].severity for one in reports] == [
            "error",
            "declared",
        ]
