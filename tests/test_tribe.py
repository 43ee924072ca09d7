"""
The checker on processes that are not ours: the weaknesses of eight published ones.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from escrowflow.checker import Finding, Report, Story, check
from escrowflow.checker.exploring import START
from tests.given import eur
from tests.test_checker import played
from tests.tribe import STARTED, TRIBE, process_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def report(name: str) -> Report:
    """
    Return what is found about one of them; once for all tests.
    """
    return check(process_of(TRIBE[name]))


def errors(name: str) -> set[tuple[str, str]]:
    """
    Return the codes and places of what is wrong.
    """
    return {(finding.code, finding.where) for finding in report(name).errors}


def the(name: str, code: str, where: str) -> Finding:
    """
    Return the one finding of a code at a place.
    """
    (finding,) = (
        one for one in report(name).findings if (one.code, one.where) == (code, where)
    )
    return finding


def stories(name: str) -> Iterator[Story]:
    """
    Yield the stories there are.
    """
    for finding in report(name).findings:
        if finding.story is not None:
            yield finding.story


def told(story: Story | None) -> list[tuple[float, str, str]]:
    """
    Return who did what, on which day after the beginning.
    """
    assert story is not None
    return [
        (
            (step.at - START).total_seconds() / 86_400,
            step.by.role.text,
            step.command.name,
        )
        for step in story.steps
    ]


class TestFacts:
    """
    What was written down is what is published.
    """

    @pytest.mark.parametrize(
        ("name", "counts"),
        [
            ("default_negotiation", (17, 47, 7)),
            ("default_purchase", (12, 25, 8)),
            ("default_download", (8, 14, 4)),
            ("default_booking", (12, 20, 6)),
            ("instant_booking", (9, 16, 5)),
            ("negotiated_booking", (13, 24, 8)),
            ("automatic_off_session_payment", (12, 20, 7)),
            ("default_inquiry", (1, 1, 0)),
        ],
    )
    def test_counts(self, name: str, counts: tuple[int, int, int]) -> None:
        """
        As many states, transitions, and automatic transitions among them.
        """
        tribe = TRIBE[name]

        found = len(tribe.states), len(tribe.transitions), len(tribe.automatic)
        assert found == counts

    @pytest.mark.parametrize("name", TRIBE)
    def test_commands_are_named_as_they_are(self, name: str) -> None:
        """
        A command has the name of its transition, and begins an order of ours nowhere.
        """
        process = process_of(TRIBE[name])

        assert set(process.commands) == {one.name for one in TRIBE[name].transitions}
        assert process.initial == STARTED

    @pytest.mark.parametrize("name", TRIBE)
    def test_they_are_explored_whole(self, name: str) -> None:
        """
        Every configuration; and no money waits for ever: that was never their fault.
        """
        assert report(name).complete
        assert report(name).rests_within is not None
        assert not [one for one in report(name).findings if one.severity == "declared"]


class TestNegotiation:
    """
    Work that is delivered, changed, and paid.
    """

    def test_a_trap_for_the_seller(self) -> None:
        """
        Whoever asks for changes when the automatic cancellation is already overdue gets
        everything back, and the seller has no move left.
        """
        assert errors("default_negotiation") == {("trap", "seller")}
        trap = the("default_negotiation", "trap", "seller")
        story = trap.story
        assert story is not None

        assert [(who, what) for _, who, what in told(story)][-2:] == [
            ("seller", "deliver"),
            ("buyer", "request_changes"),
        ]
        assert trap.params["state"] == "delivered"
        assert trap.params["cause"] == "auto_cancel_from_changes_requested"
        assert story.order.ledger.refunded == eur(100)


class TestStories:
    """
    Every story is true: played through an engine, it ends as it is told.
    """

    @pytest.mark.parametrize("name", TRIBE)
    def test_they_happen(self, name: str) -> None:
        """
        The same events, at the same instants, and the same order at the end.
        """
        for story in stories(name):
            engine = played(story)
            history = engine.history("o1")
            assert [one.name for one in history] == [one.name for one in story.history]
            assert [one.effective_at for one in history] == [
                one.effective_at for one in story.history
            ]
            assert engine.order("o1").ledger == story.order.ledger
