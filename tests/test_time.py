"""
Time: clocks that change, months that are short, and clocks that go back.

In 2026 Paris went from 02:00 to 03:00 on 29 March, and from 03:00 back to 02:00 on
25 October.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from pendulum import DateTime

import escrowflow as ef
from escrowflow.clock import as_utc
from escrowflow.order import Order
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASK_CANCELLATION,
    ASK_REVISION,
    ASSIGN,
    CANCEL,
    DELIVER,
    DISPUTE,
    HELLO,
    LUC,
    REFUSE_REVISION,
    REVIEW,
    Story,
    cancellation_requested,
    in_progress,
    paris,
    pending,
)

SPRING: Final = "2026-03-26T10:00:00+01:00"
AUTUMN: Final = "2026-10-22T10:00:00+02:00"
CIVIL: Final[dict[str, Any]] = {"time": {"day_arithmetic": "civil"}}

# --- windows of whole days --------------------------------------------------------


def delivery(start: str, policies: dict[str, Any]) -> str:
    """
    Five days to deliver.
    """
    return Story(start, policies=policies).seller(ACCEPT).due


def verification(start: str, policies: dict[str, Any]) -> str:
    """
    Seven days to look.
    """
    return Story(start, policies=policies).seller(ACCEPT, DELIVER).due


def choice(start: str, policies: dict[str, Any]) -> str:
    """
    Seven days to choose after a refusal.
    """
    story = Story(start, policies=policies).seller(ACCEPT, DELIVER)
    return story.buyer(ASK_REVISION).seller(REFUSE_REVISION).due


def redelivery(start: str, policies: dict[str, Any]) -> str:
    """
    Five days to deliver again.
    """
    story = Story(start, policies=policies).seller(ACCEPT, DELIVER)
    return story.buyer(ASK_REVISION).seller(ef.AcceptRevision()).due


def after_completed(start: str, policies: dict[str, Any]) -> str:
    """
    Seven days to talk after a completion.
    """
    story = Story(start, policies=policies).seller(ACCEPT, DELIVER).buyer(APPROVE)
    return paris(story.order.conversation.closes_at)


def after_cancelled(start: str, policies: dict[str, Any]) -> str:
    """
    Seven days to talk after a cancellation.
    """
    story = Story(start, policies=policies).buyer(CANCEL)
    return paris(story.order.conversation.closes_at)


def offer(start: str, policies: dict[str, Any]) -> str:
    """
    Seven days to answer an offer.
    """
    story = Story(start, policies=policies).seller(ACCEPT)
    story.seller(ef.SendOffer(title="More", price=ef.Money.of("5", "EUR")))
    (wait,) = [wait for wait in story.order.deadlines if wait.name == "offer"]
    return paris(wait.due_at)


def ruling(start: str, policies: dict[str, Any]) -> str:
    """
    A week for the mediator.
    """
    rules = {"ruling_window": "P7D", "default_ruling": ef.PaySeller()}
    story = Story(start, policies={**policies, "dispute": rules}).seller(ACCEPT)
    return story.staff(DISPUTE).due


def cap(start: str, policies: dict[str, Any]) -> str:
    """
    A longest life in days.
    """
    story = Story(start, policies={**policies, "lifetime": {"order_cap": "P30D"}})
    return dict(story.waits)["lifetime"]


def verification_of_168_hours(start: str, policies: dict[str, Any]) -> str:
    """
    Seven days, written as hours.
    """
    story = Story(start, policies=policies, terms={"verification_window": "PT168H"})
    return story.seller(ACCEPT, DELIVER).due


WHOLE_DAYS: Final = [
    delivery,
    verification,
    verification_of_168_hours,
    choice,
    redelivery,
    after_completed,
    after_cancelled,
    offer,
    ruling,
    cap,
]


@pytest.mark.parametrize("window", WHOLE_DAYS, ids=lambda window: window.__name__)
@pytest.mark.parametrize(
    ("start", "policies", "ends"),
    [
        (SPRING, {}, "T11:00:00+02:00"),
        (SPRING, CIVIL, "T10:00:00+02:00"),
        (AUTUMN, {}, "T09:00:00+01:00"),
        (AUTUMN, CIVIL, "T10:00:00+01:00"),
    ],
    ids=["spring elapsed", "spring civil", "autumn elapsed", "autumn civil"],
)
def test_gap_whole_days(
    window: Callable[[str, dict[str, Any]], str],
    start: str,
    policies: dict[str, Any],
    ends: str,
) -> None:
    """
    Gap: whole days are 24 hours each, or end at the same wall time.
    """
    assert window(start, policies).endswith(ends)


# --- always elapsed ---------------------------------------------------------------


def acceptance(start: str, policies: dict[str, Any]) -> str:
    """
    48 hours to accept.
    """
    return Story(start, policies=policies).due


def acceptance_of_two_days(start: str, policies: dict[str, Any]) -> str:
    """
    48 hours to accept, written as two days.
    """
    return Story(start, policies=policies, terms={"acceptance_window": "P2D"}).due


def cancellation_answer(start: str, policies: dict[str, Any]) -> str:
    """
    48 hours to answer a request for cancellation.
    """
    return Story(start, policies=policies).seller(ACCEPT).buyer(ASK_CANCELLATION).due


def revision_answer(start: str, policies: dict[str, Any]) -> str:
    """
    48 hours to answer a request for changes.
    """
    story = Story(start, policies=policies).seller(ACCEPT, DELIVER)
    return story.buyer(ASK_REVISION).due


def mediator_sla(start: str, policies: dict[str, Any]) -> str:
    """
    48 hours to find a mediator.
    """
    story = Story(start, policies=policies).seller(ACCEPT).staff(DISPUTE)
    return dict(story.waits)["mediator"]


def payment(start: str, policies: dict[str, Any]) -> str:
    """
    Two days to pay.
    """
    policies = {**policies, "lifetime": {"payment_window": "P2D"}}
    return Story(start, policies=policies, payment=None).due


def relaunch_minimum(start: str, policies: dict[str, Any]) -> str:
    """
    The least after a relaunch, two days here.
    """
    delivery = {"relaunch_minimum": "P2D"}
    story = Story(
        start, policies={**policies, "delivery": delivery}, delivery="PT1H"
    ).seller(ACCEPT)
    story.staff(DISPUTE).mediator(ASSIGN)
    return story.mediator(ef.RuleDispute(ruling=ef.Relaunch(), reason="go on")).due


ELAPSED: Final = [
    acceptance,
    acceptance_of_two_days,
    cancellation_answer,
    revision_answer,
    mediator_sla,
    payment,
    relaunch_minimum,
]


@pytest.mark.parametrize("window", ELAPSED, ids=lambda window: window.__name__)
@pytest.mark.parametrize("policies", [{}, CIVIL], ids=["elapsed", "civil"])
@pytest.mark.parametrize(
    ("start", "ends"),
    [
        ("2026-03-28T10:00:00+01:00", "2026-03-30T11:00:00+02:00"),
        ("2026-10-24T10:00:00+02:00", "2026-10-26T09:00:00+01:00"),
    ],
    ids=["spring", "autumn"],
)
def test_gap_48_hours(
    window: Callable[[str, dict[str, Any]], str],
    policies: dict[str, Any],
    start: str,
    ends: str,
) -> None:
    """
    Gap: 48 hours are 172,800 seconds, whatever the clocks do.
    """
    assert window(start, policies) == ends


def test_gap_reminders_are_elapsed() -> None:
    """
    Gap: a reminder comes so many hours before the end, not at a wall time.
    """
    story = Story(SPRING, policies=CIVIL).seller(ACCEPT)

    story.at("2026-03-28T12:00:00+01:00").seller(DELIVER)
    (first, second, last) = story.waits

    assert last == ("verification", "2026-04-04T12:00:00+02:00")
    assert first == ("verification_reminder", "2026-04-01T12:00:00+02:00")
    assert second == ("verification_reminder", "2026-04-03T12:00:00+02:00")


@pytest.mark.parametrize(
    ("start", "ends"),
    [
        # 25 October 02:30 comes twice: the first of the two.
        ("2026-10-18T02:30:00+02:00", "2026-10-25T02:30:00+02:00"),
        # 29 March 02:30 does not exist: 03:30.
        ("2026-03-22T02:30:00+01:00", "2026-03-29T03:30:00+02:00"),
        # Begun in the second 02:30 of the night.
        ("2026-10-25T02:30:00+01:00", "2026-11-01T02:30:00+01:00"),
    ],
    ids=["twice", "never", "from the second"],
)
def test_gap_odd_wall_times(start: str, ends: str) -> None:
    """
    Gap: a wall time that comes twice is the first, one that is skipped is later.
    """
    assert verification(start, CIVIL) == ends


def test_gap_act_in_the_second_hour() -> None:
    """
    Gap: between the two equal wall times the window is over already.
    """
    story = Story("2026-10-18T02:30:00+02:00", policies=CIVIL).seller(ACCEPT, DELIVER)

    story.at("2026-10-25T02:29:59+02:00")
    assert story.state == "delivered"
    story.at("2026-10-25T02:29:59+01:00")

    assert story.refused(ANA, ASK_REVISION)[0] == "deadline_passed"


# --- months -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "months", "ends"),
    [
        ("2026-09-30T10:00:00+02:00", "P5M", "2027-02-28T10:00:00+01:00"),
        ("2027-09-30T10:00:00+02:00", "P5M", "2028-02-29T10:00:00+01:00"),
        ("2026-03-31T10:00:00+02:00", "P1M", "2026-04-30T10:00:00+02:00"),
        ("2026-06-01T10:00:00+02:00", "P5M", "2026-11-01T10:00:00+01:00"),
        # 23:30 UTC is the next month in Paris.
        ("2026-08-31T23:30:00+00:00", "P5M", "2027-02-01T01:30:00+01:00"),
    ],
)
def test_gap_order_cap_in_months(start: str, months: str, ends: str) -> None:
    """
    Gap: calendar months in the platform's zone, on the month's last day at most.
    """
    story = Story(start, policies={"lifetime": {"order_cap": months}})

    assert dict(story.waits)["lifetime"] == ends


@pytest.mark.parametrize(
    ("start", "last"),
    [
        ("2026-08-31T10:00:00+02:00", "2027-02-28T10:00:00+01:00"),
        ("2026-08-29T10:00:00+02:00", "2027-02-28T10:00:00+01:00"),
        ("2026-12-31T10:00:00+01:00", "2027-06-30T10:00:00+02:00"),
    ],
)
def test_gap_review_window_in_months(start: str, last: str) -> None:
    """
    Gap: six months from the completion, clamped, exclusive.
    """
    story = Story(start).seller(ACCEPT, DELIVER).buyer(APPROVE)
    ends = as_utc(last, "last")

    story.clock.advance_to(ends.subtract(microseconds=1))
    assert story.option(ANA, ef.LeaveReview).allowed
    story.clock.advance_to(ends)

    assert story.refused(ANA, REVIEW) == ("review_window_over",)


@pytest.mark.parametrize("boundary", ["exclusive", "inclusive"])
@pytest.mark.parametrize(
    ("begin", "command"),
    [(in_progress, CANCEL), (cancellation_requested, DISPUTE)],
    ids=["consent_needed", "answer_still_due"],
)
def test_told_from_when_on(
    begin: Callable[..., Story], command: ef.Command, boundary: str
) -> None:
    """
    What a refusal says about when it ends is true to the microsecond.
    """
    story = begin(policies={"time": {"deadline_boundary": boundary}}, delivery="P1D")
    (blocker,) = story.option(ANA, type(command)).blockers
    assert blocker.unblocked_at is not None

    story.clock.advance_to(blocker.unblocked_at.subtract(microseconds=1))
    before = story.option(ANA, type(command)).allowed
    story.clock.advance_to(blocker.unblocked_at)

    assert not before
    assert story.option(ANA, type(command)).allowed


# --- whoever comes late -----------------------------------------------------------


def life_of(story: Story, days: int, step: int) -> Order:
    """
    Let days pass with a sweep every so many of them; return the order.
    """
    for _ in range(0, days, step):
        story.after(days=step).sweep()
    return story.engine.order(story.id)


@pytest.mark.parametrize(
    "begin",
    [
        lambda: pending(policies={"lifetime": {"order_cap": "P30D"}}),
        lambda: in_progress(policies={"lifetime": {"order_cap": "P30D"}}),
        lambda: in_progress().seller(DELIVER),
        lambda: in_progress().seller(DELIVER).buyer(ASK_REVISION),
    ],
    ids=["pending", "in_progress", "delivered", "revision_requested"],
)
def test_no_matter_how_late_a_worker_ran(begin: Callable[[], Story]) -> None:
    """
    Every worker, prompt or asleep for months, finds the same history.
    """
    prompt, sleepy = begin(), begin()

    one = life_of(prompt, 60, 1)
    other = life_of(sleepy, 60, 60)

    assert one.standing == other.standing
    assert one.ledger == other.ledger
    assert [
        (recorded.name, recorded.effective_at)
        for recorded in prompt.engine.history(prompt.id)
    ] == [
        (recorded.name, recorded.effective_at)
        for recorded in sleepy.engine.history(sleepy.id)
    ]


# --- clocks that go back ----------------------------------------------------------


class Watch:
    """
    A clock that somebody sets, back as well.
    """

    def __init__(self, instant: str) -> None:
        self.instant = as_utc(instant, "instant")

    def now(self) -> DateTime:
        """
        Return what it shows.
        """
        return self.instant

    def set(self, instant: str) -> None:
        """
        Set it.
        """
        self.instant = as_utc(instant, "instant")


def on_a_watch(story: Story) -> Watch:
    """
    Give the engine of a story a clock that can go back.
    """
    watch = Watch(str(story.clock.now()))
    story.engine = ef.Engine(story.process, story.storage, clock=watch)
    return watch


class TestGoingBack:
    """
    What is recorded stays in order.  `Story` checks the history at every step.
    """

    def test_acts_while_the_clock_is_back(self) -> None:
        """
        An act never counts before what happened earlier.
        """
        story = in_progress("2026-06-01T10:00:00+02:00")
        watch = on_a_watch(story)

        watch.set("2026-06-01T11:00:00+02:00")
        story.seller(HELLO, DELIVER)

        last = story.engine.history(story.id)[-1]
        assert paris(last.effective_at) == "2026-06-01T12:00:00+02:00"
        assert paris(last.recorded_at) == "2026-06-01T12:00:00+02:00"
        assert story.due == "2026-06-08T12:00:00+02:00"

    def test_years_back(self) -> None:
        """
        A dead battery, and the clock in 1970: nothing is undone, nothing is early.
        """
        story = in_progress("2026-06-01T10:00:00+02:00")
        watch = on_a_watch(story)

        watch.set("1970-01-01T00:00:00+00:00")
        assert story.sweep().orders == 0
        story.seller(DELIVER).buyer(ASK_REVISION).seller(REFUSE_REVISION)

        assert story.row == (
            "revision_refused",
            "2026-06-08T12:00:00+02:00",
            "100/0/0/0",
        )

    def test_a_year_ahead_and_back(self) -> None:
        """
        What was settled under a clock that ran ahead stays settled.
        """
        story = in_progress("2026-06-01T10:00:00+02:00")
        watch = on_a_watch(story)

        watch.set("2027-06-01T10:00:00+02:00")
        story.sweep()
        watch.set("2026-06-02T10:00:00+02:00")

        assert story.state == "in_progress + late"
        assert story.buyer(CANCEL).books == "0/100/0/0"
        first, *_, last = story.engine.history(story.id)
        assert first.recorded_at < last.recorded_at
        assert paris(last.recorded_at) == "2027-06-01T10:00:00+02:00"
        assert paris(last.effective_at) == "2026-06-06T12:00:00+02:00"

    def test_back_at_the_very_end(self) -> None:
        """
        Back by a second at the end of a window: completed stays completed.
        """
        story = in_progress("2026-06-01T10:00:00+02:00").seller(DELIVER)
        watch = on_a_watch(story)

        watch.set("2026-06-08T12:00:00+02:00")
        refusal = story.refused(ANA, ASK_REVISION)
        watch.set("2026-06-08T11:59:59+02:00")

        assert refusal[0] == "deadline_passed"
        assert story.refused(ANA, ASK_REVISION)[0] == "deadline_passed"
        assert story.row == ("completed", "", "0/0/100/0")
        assert story.money_moves() == [("pay_out", "100")]

    def test_reading_while_it_is_back(self) -> None:
        """
        A reading is never of an instant before the last event.
        """
        story = in_progress("2026-06-01T10:00:00+02:00")
        watch = on_a_watch(story)

        watch.set("2026-06-01T00:00:00+02:00")

        order = story.order
        assert order.as_of is not None
        assert order.as_of >= order.effective_at
        assert story.option(LUC, ef.DeliverOrder).allowed

    def test_two_hosts_apart(self) -> None:
        """
        Two hosts whose clocks differ by minutes write one ordered history.
        """
        story = pending("2026-06-01T10:00:00+02:00")
        ahead = on_a_watch(story)
        ahead.set("2026-06-01T10:07:00+02:00")
        behind = ef.Engine(
            story.process, story.storage, clock=Watch("2026-06-01T10:01:00+02:00")
        )

        story.seller(ACCEPT)
        behind.execute(story.id, HELLO, by=ANA)
        story.seller(DELIVER)
        behind.execute(story.id, APPROVE, by=ANA)

        assert story.row == ("completed", "", "0/0/100/0")
        instants = [
            recorded.effective_at for recorded in story.engine.history(story.id)
        ]
        assert instants == sorted(instants)
