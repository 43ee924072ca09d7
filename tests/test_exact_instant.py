"""
The exact instant of every deadline, one microsecond before it, and one after.

Before it a person still acts in the old state.  At it, the deadline is applied
first, at its own instant, and the person meets the new state.  Under the inclusive
boundary the end itself still belongs to the person.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pendulum import DateTime

from escrowflow import commands as c
from escrowflow.clock import end_of
from escrowflow.decisions import Decided, Refusal, decide, next_due, settle
from escrowflow.events import Recorded
from escrowflow.order import Order
from escrowflow.parties import SYSTEM, Role
from escrowflow.parts import Deadline
from escrowflow.states import State
from escrowflow.terms import FullRefund, Relaunch
from tests.cells import hold
from tests.grid import (
    ACTORS,
    ENDINGS,
    GRID,
    LATE,
    MOVES,
    NAMES,
    P0,
    START,
    WAITS,
    WINDOWS,
    B,
    Life,
    O,
    Rules,
    S,
    Y,
    begin,
    check_books,
    check_refused,
    eur,
    life,
    lives,
    process_of,
    sample,
    traits_of,
)

AW, PE, IP = State.AWAITING_PAYMENT, State.PENDING, State.IN_PROGRESS
CR, DE, RQ = State.CANCELLATION_REQUESTED, State.DELIVERED, State.REVISION_REQUESTED
RF, DI, FR = State.REVISION_REFUSED, State.DISPUTED, State.FROZEN
CO, CA, EX = State.COMPLETED, State.CANCELLED, State.EXPIRED

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
INSTANT: Final = timedelta(microseconds=1)

# When the worker came to it: what is written, not what counts.
LAG: Final = timedelta(seconds=3)

# What each deadline is recorded as.
EVENTS: Final = {
    "expire_payment": "order_cancelled",
    "expire_acceptance": "order_cancelled",
    "expire_hold": "order_cancelled",
    "remind_acceptance": "acceptance_reminded",
    "mark_late": "order_marked_late",
    "unlock_dispute": "dispute_unlocked",
    "complete_silently": "order_completed",
    "remind_verification": "verification_reminded",
    "expire_offer": "offer_expired",
    "alert_mediator": "mediator_alerted",
    "default_ruling": "dispute_ruled",
    "close_conversation": "conversation_closed",
    "expire_order": "order_expired",
}

# Waits that always have a subject: the first of several.
SUBJECTS: Final = {
    "offer": "offer-1",
    "acceptance_reminder": "1",
    "verification_reminder": "1",
}

BOUNDARIES: Final = ("exclusive", "inclusive")
OFFSETS: Final = {"before": -INSTANT, "at": timedelta(), "after": INSTANT}


# How many there are at least, of all waits.
MEETINGS_MIN: Final = 4_086


def meetings(kind: str, state: State) -> list[tuple[str, State, str, Role, str, str]]:
    """
    Return a wait with each command that a person may send while it runs: before, at
    and after its end, under each boundary.
    """
    return [
        (kind, state, name, role, when, boundary)
        for name in NAMES
        for role in Role
        if role is not Y and role in GRID[name, state]
        for when in OFFSETS
        for boundary in BOUNDARIES
    ]


@cache
def eve(kind: str, state: State, traits: tuple[str, ...], boundary: str) -> Life:
    """
    Return an order one microsecond before the end of this wait.
    """
    if kind == "answer":
        traits = tuple(trait for trait in traits if trait != "unlocked")
    if kind == "mediator":
        # With a mediator there is nobody to be alerted for.
        traits = tuple(trait for trait in traits if trait != "mediator")
    if kind == "offer" and "offer" not in traits:
        traits = (*traits, "offer")
    begun = life(state, *traits, process=process_of(kind, boundary))
    wait = begun.order.deadline(kind, SUBJECTS.get(kind, ""))
    assert wait is not None
    assert wait.runs
    return begun.until(end_of(wait.due_at, -INSTANT))


def awaited(eve_: Life, kind: str) -> Deadline:
    """
    Return the wait an eve is the eve of.
    """
    wait = eve_.order.deadline(kind, SUBJECTS.get(kind, ""))
    assert wait is not None
    return wait


def expected(
    eve_: Life, kind: str, name: str, role: Role, now: DateTime, armed: DateTime
) -> tuple[str, ...]:
    """
    Return the codes a command is refused with at *now*; none if it happens.
    """
    order = eve_.order
    state = State(order.state)
    passed = now >= armed
    inclusive = armed != awaited(eve_, kind).due_at
    to = MOVES.get((WAITS[kind, state], state), (state,))[0] if passed else state
    if to is not state and role not in GRID[name, to]:
        if kind == "ruling" and name in (
            "ask_parties",
            "answer_mediator",
            "rule_dispute",
        ):
            # The ruling agreed in advance was made: what comes now is too late.
            return ("deadline_passed", "dispute_ruled", "order_ended")
        return ("deadline_passed", "order_ended")

    def over(start: DateTime, window: timedelta) -> bool:
        end = end_of(start, window)
        return now > end if inclusive else now >= end

    if name == "cancel_order" and role is B and state in (IP, CR):
        assert order.accepted_at is not None
        if to is state and not over(order.accepted_at, 5 * DAY):
            return ("consent_needed",)
    if name == "open_dispute" and role is B and state in (CR, RQ):
        asked = order.cancellation or order.revisions[-1]
        if not over(asked.requested_at, 2 * DAY):
            return ("answer_still_due",)
    if kind == "hold" and name == "open_dispute":
        # What a bank still holds, nobody has accepted.
        return ("never_accepted",)
    if kind == "offer" and passed and name.endswith("_offer") and name != "send_offer":
        return ("no_open_offer", "offer_closed")
    if kind == "mediator" and name in ("ask_parties", "rule_dispute"):
        # Nobody is assigned yet, and only the assigned mediator may.
        return ("mediator_not_assigned",)
    if kind == "conversation":
        if passed and name in ("send_message", "leave_conversation"):
            return ("conversation_closed",)
        if name == "leave_conversation":
            return ("conversation_closes_by_itself",)
    return ()


def meet(
    kind: str, state: State, name: str, role: Role, when: str, boundary: str
) -> None:
    """
    Before the end a person meets the old state, from the end on the new one.
    """
    process = process_of(kind, boundary)
    before = eve(kind, state, traits_of(name, state, role), boundary)
    assert before.order.state is state
    due_at = awaited(before, kind).due_at
    armed = due_at if boundary == "exclusive" else end_of(due_at, INSTANT)
    now = end_of(due_at, OFFSETS[when])

    settled = settle(process, before.order, now=now, recorded_at=end_of(now, LAG))
    command = sample(name, before.order)
    answer = decide(
        process,
        settled.order,
        command,
        by=ACTORS[role],
        now=now,
        recorded_at=end_of(now, LAG),
    )

    if now < armed:
        assert settled.recorded == ()
    else:
        first = settled.recorded[0]
        assert first.event.name == EVENTS[WAITS[kind, state]]
        assert {recorded.by for recorded in settled.recorded} == {SYSTEM}
        assert {r.effective_at for r in settled.recorded} == {armed}
        assert {r.recorded_at for r in settled.recorded} == {end_of(now, LAG)}
    check_books(settled.order)
    codes = expected(before, kind, name, role, now, armed)
    if isinstance(answer, Decided):
        assert codes == ()
        assert {r.effective_at for r in answer.recorded} == {now}
        check_books(answer.order)
    else:
        assert tuple(blocker.code for blocker in answer.blockers) == codes
        check_refused(settled.order, command, answer)


class TestPeopleAndDeadlines:
    """
    A person and a deadline, at the same instant.
    """

    @pytest.mark.parametrize(("kind", "state"), WAITS)
    def test_meet(self, kind: str, state: State) -> None:
        """
        Whoever sends whatever at the end of a wait: see `meet`.
        """
        hold(meet, meetings(kind, state))

    def test_there_are_thousands(self) -> None:
        """
        No meeting gets lost on the way.
        """
        assert sum(len(meetings(kind, state)) for kind, state in WAITS) >= MEETINGS_MIN

    @pytest.mark.parametrize(("kind", "state"), WAITS)
    @pytest.mark.parametrize("boundary", BOUNDARIES)
    def test_nobody(self, kind: str, state: State, boundary: str) -> None:
        """
        A deadline alone is one step of the grid, at its instant and no earlier.
        """
        before = eve(kind, state, (), boundary)
        due_at = awaited(before, kind).due_at
        armed = due_at if boundary == "exclusive" else end_of(due_at, INSTANT)

        after = before.until(armed)

        assert before.until(end_of(armed, -INSTANT)).order == before.order
        to = MOVES.get((WAITS[kind, state], state), (state,))[0]
        assert after.order.state is to
        assert len({r.effective_at for r in after.history[len(before.history) :]}) == 1
        check_books(after.order)
        if kind not in SUBJECTS:
            wait = after.order.deadline(kind)
            assert wait is None or wait.passed

    @pytest.mark.parametrize(("kind", "state"), WAITS)
    @pytest.mark.parametrize("boundary", BOUNDARIES)
    def test_what_is_shown(self, kind: str, state: State, boundary: str) -> None:
        """
        `due_at` and `deadlines` show the end; what is armed is the first instant
        after it that no longer belongs to a person.
        """
        before = eve(kind, state, (), boundary)
        wait = awaited(before, kind)
        armed = wait.due_at if boundary == "exclusive" else end_of(wait.due_at, INSTANT)

        assert next_due(before.process, before.order) == (armed, wait)
        assert before.order.deadlines[0] == wait
        if WINDOWS.get(state) == kind:
            assert before.order.due_at == wait.due_at
        after = before.until(armed)
        assert wait not in after.order.deadlines
        if after.order.state in ENDINGS:
            assert after.order.due_at is None
        elif WINDOWS.get(state) == kind:
            assert after.order.due_at == wait.due_at

    @pytest.mark.parametrize("boundary", BOUNDARIES)
    def test_the_last_instant_for_a_review(self, boundary: str) -> None:
        """
        The window of a review has no deadline, and the same boundary (R96).
        """
        ended = life(CO, process=process_of("conversation", boundary))
        ends = end_of(ended.now, P0.policies.reviews.review_window)
        instants = (end_of(ends, -INSTANT), ends, end_of(ends, INSTANT))

        in_time = [
            isinstance(ended.until(now).ask(c.LeaveReview(rating=4), B), Decided)
            for now in instants
        ]

        assert in_time == [True, boundary == "inclusive", False]

    @pytest.mark.parametrize("state", [FR, CO, CA, EX])
    def test_nothing_moves_what_stands_still(self, state: State) -> None:
        """
        A frozen order waits for staff, and an ending is final, however long it is.
        """
        found = life(state)

        after = found.wait(3000 * DAY)

        assert after.order.state is state
        assert after.order.ledger == found.order.ledger
        assert after.order.due_at is None


# --- standing still ---------------------------------------------------------------

# Where an order stands still, and what runs on meanwhile or never began.
FREEZABLE: Final = (PE, IP, CR, DE, RQ, RF)
C12: Final = P0.with_policies(
    cancellation={
        "cancel_request_states": {"in_progress", "delivered", "revision_refused"}
    }
)


def lefts(order: Order, now: DateTime) -> dict[tuple[str, str], timedelta]:
    """
    Return what is left of each running wait, by its name and subject.
    """
    return {
        (wait.name, wait.subject): (wait.due_at - now).as_timedelta()
        for wait in order.standing.deadlines
        if wait.runs
    }


class TestStandingStill:
    """
    A wait that is stopped keeps the time left, and goes on with a day at least.
    """

    @pytest.mark.parametrize("near", [False, True], ids=["early", "near_the_end"])
    @pytest.mark.parametrize("state", FREEZABLE)
    def test_frozen(self, state: State, near: bool) -> None:
        """
        However long staff takes, every wait goes on with its time left (R84).
        """
        process = capped("P5M")
        traits = () if state is PE else ("offer",)
        found = life(state, *traits, process=process)
        if near:
            # Within a day of the end of what ends first.
            found = found.until(end_of(found.order.deadlines[0].due_at, -HOUR))
        left = lefts(found.order, found.now)

        frozen = found.send(c.FreezeOrder(reason="checks"), O).wait(900 * DAY)
        thawed = frozen.send(c.UnfreezeOrder(), O)

        assert frozen.order.deadlines == ()
        assert thawed.order.state is state
        assert thawed.order.late is found.order.late
        assert lefts(thawed.order, thawed.now) == {
            wait: max(window, DAY) for wait, window in left.items()
        }
        own = thawed.order.deadline(WINDOWS[state])
        assert own is not None
        assert thawed.order.due_at == own.due_at

    @pytest.mark.parametrize("answer", ["withdraw_cancellation", "refuse_cancellation"])
    @pytest.mark.parametrize("state", [DE, RF])
    def test_asked_to_cancel_after_delivery(self, state: State, answer: str) -> None:
        """
        The buyer's window stands still while the request is open (C12).
        """
        found = life(state, process=C12).wait(DAY)
        assert found.order.due_at is not None
        left = found.order.due_at - found.now
        role = B if answer == "withdraw_cancellation" else S

        back = asked(found).wait(30 * DAY)
        back = back.send(sample(answer, back.order), role)

        assert back.order.state is state
        assert back.order.due_at == end_of(back.now, left)

    @pytest.mark.parametrize("answer", ["withdraw_cancellation", "refuse_cancellation"])
    def test_asked_to_cancel_at_work(self, answer: str) -> None:
        """
        The delivery time runs on while the request is open (R31).
        """
        found = life(IP)
        role = B if answer == "withdraw_cancellation" else S

        back = asked(found).wait(DAY)
        back = back.send(sample(answer, back.order), role)

        assert back.order.state is IP
        assert back.order.due_at == found.order.due_at

    @pytest.mark.parametrize("wait", [HOUR, 4 * DAY + 23 * HOUR], ids=["early", "near"])
    def test_relaunched(self, wait: timedelta) -> None:
        """
        A relaunch gives the delivery time left when the dispute began, a day at
        least; the offer goes on with its own (R80).
        """
        found = offered(accepted()).wait(wait)
        left = lefts(found.order, found.now)

        argued = disputed(found).wait(60 * DAY)
        back = argued.send(sample("assign_mediator", argued.order), Role.MEDIATOR).send(
            c.RuleDispute(ruling=Relaunch(), reason="a misunderstanding"), Role.MEDIATOR
        )

        assert back.order.state is IP
        assert lefts(back.order, back.now) == {
            name: max(window, DAY) for name, window in left.items()
        }

    def test_asking_again_does_not_begin_the_choice_anew(self) -> None:
        """
        The buyer who may ask once more has no longer to choose for it (C4).
        """
        process = P0.with_policies(revision={"dispute_after_revision_refusals": 2})
        found = life(RF, process=process).wait(DAY)
        assert found.order.due_at is not None
        left = found.order.due_at - found.now

        again = found.send(c.RequestRevision(reason="still"), B).wait(DAY)
        again = again.send(c.RefuseRevision(reason="no"), S)

        assert again.order.state is RF
        assert again.order.due_at == end_of(again.now, left)


# --- several at once --------------------------------------------------------------


def names(found: Life, since: Life) -> list[str]:
    """
    Return what happened since, without a word of when.
    """
    return [recorded.event.name for recorded in found.history[len(since.history) :]]


def capped(cap: str, **changes: Any) -> Rules:
    """
    Return the process with a longest life.
    """
    return P0.with_policies(lifetime={"order_cap": cap}, **changes)


def accepted(process: Rules = P0, **terms: Any) -> Life:
    """
    Return an order accepted at the instant it was paid.
    """
    return begin(process, **terms).send(c.AcceptOrder(), S)


def asked(order: Life) -> Life:
    """
    Return the order with a request for cancellation.
    """
    return order.send(c.RequestCancellation(reason="no need"), B)


def offered(order: Life) -> Life:
    """
    Return the order with an open offer.
    """
    return order.send(c.SendOffer(title="a banner", price=eur("30.00")), S)


def handed_over(order: Life) -> Life:
    """
    Return the order delivered.
    """
    return order.send(c.DeliverOrder(note="done"), S)


def refused(order: Life) -> Life:
    """
    Return the order delivered, with a revision refused.
    """
    order = handed_over(order).send(c.RequestRevision(reason="bolder"), B)
    return order.send(c.RefuseRevision(reason="no"), S)


def disputed(order: Life) -> Life:
    """
    Return the order in a dispute that nobody mediates yet.
    """
    return order.send(c.OpenDispute(reason="a report"), O)


RULED: Final = P0.with_policies(
    dispute={"ruling_window": "PT48H", "default_ruling": FullRefund()}
)
SILENT: Final = capped("P7D", completion={"reminders": ()})

# Waits that end at one instant: the order, how long until then, what happens.
TIES: Final[dict[str, tuple[Life, timedelta, list[str]]]] = {
    "the longest life before acceptance": (
        begin(capped("PT48H", acceptance={"reminders": ()})),
        2 * DAY,
        ["order_expired"],
    ),
    "the longest life before lateness": (
        accepted(capped("P5D")),
        5 * DAY,
        ["order_expired"],
    ),
    "the longest life before unlocking": (
        asked(accepted(capped("PT48H"))),
        2 * DAY,
        ["order_expired"],
    ),
    "the longest life before silence": (
        handed_over(accepted(SILENT)),
        7 * DAY,
        ["order_expired"],
    ),
    "the longest life before a choice": (
        refused(accepted(SILENT)),
        7 * DAY,
        ["order_expired"],
    ),
    "silence before an offer": (
        handed_over(offered(accepted(P0.with_policies(completion={"reminders": ()})))),
        7 * DAY,
        ["order_completed"],
    ),
    "a choice before an offer": (
        refused(offered(accepted())),
        7 * DAY,
        ["order_completed"],
    ),
    "the ruling before the alert": (
        disputed(accepted(RULED)),
        2 * DAY,
        ["dispute_ruled", "order_cancelled"],
    ),
    "lateness before unlocking": (
        asked(accepted().wait(3 * DAY)),
        2 * DAY,
        ["order_marked_late", "dispute_unlocked"],
    ),
    "lateness before an offer": (
        offered(accepted(P0, delivery_window=7 * DAY)),
        7 * DAY,
        ["order_marked_late", "offer_expired"],
    ),
    "lateness, unlocking, and an offer": (
        asked(offered(accepted(P0, delivery_window=7 * DAY)).wait(5 * DAY)),
        2 * DAY,
        ["order_marked_late", "dispute_unlocked", "offer_expired"],
    ),
    "an offer before a reminder": (
        handed_over(offered(accepted()).wait(3 * DAY)),
        4 * DAY,
        ["offer_expired", "verification_reminded"],
    ),
}


class TestSeveralAtOnce:
    """
    What is due together, or was left lying.
    """

    @pytest.mark.parametrize("tie", TIES)
    def test_ties_go_by_urgency(self, tie: str) -> None:
        """
        Endings first, then flags, then side objects, then reminders.
        """
        before, window, expected_names = TIES[tie]

        after = before.wait(window)

        assert names(before.wait(window - INSTANT), before) == []
        assert names(after, before) == expected_names

    def test_a_long_outage_is_told_in_order(self) -> None:
        """
        What was due first counts first, each at its own instant, however late it is
        written down.
        """
        before = handed_over(offered(accepted()).wait(DAY))
        much_later = end_of(before.now, 100 * DAY)

        after = before.until(much_later)

        told = after.history[len(before.history) :]
        assert [(r.event.name, r.effective_at) for r in told] == [
            ("verification_reminded", end_of(START, 5 * DAY)),
            ("offer_expired", end_of(START, 7 * DAY)),
            ("verification_reminded", end_of(START, 7 * DAY)),
            ("order_completed", end_of(START, 8 * DAY)),
            ("conversation_closed", end_of(START, 15 * DAY)),
        ]
        assert {r.recorded_at for r in told} == {much_later}

    def test_a_dispute_outlives_the_longest_life(self) -> None:
        """
        The cap passes unheeded in a dispute, and gives seven days after the ruling.
        """
        before = disputed(accepted(capped("P5M"))).wait(400 * DAY)
        ruling = c.AssignMediator(mediator_id="mia")
        assert before.order.state is DI

        relaunched = before.send(ruling, O).send(
            c.RuleDispute(ruling=Relaunch(), reason="a misunderstanding"), Role.MEDIATOR
        )

        assert relaunched.order.state is IP
        assert relaunched.wait(7 * DAY - INSTANT).order.state is IP
        assert relaunched.wait(7 * DAY).order.state is EX


# --- how late a worker is ---------------------------------------------------------

SEVERAL: Final = {
    "comeup": P0,
    "inclusive": P0.with_policies(time={"deadline_boundary": "inclusive"}),
    "civil days": P0.with_policies(time={"day_arithmetic": "civil"}),
    "capped": capped("P5M"),
    "capped soon": capped("P6D"),
    "ruled": RULED,
}


def stages() -> dict[str, Life]:
    """
    Return orders in every state, under every process of `SEVERAL`.
    """
    found = {f"comeup: {name}": order for name, order in lives().items()}
    for title, process in SEVERAL.items():
        for state in State:
            if state is EX:
                continue
            for traits in ((), ("offer",), ("late",), ("again",)):
                if "offer" in traits and not any(
                    kind == "offer" and place is state for kind, place in WAITS
                ):
                    continue
                if traits in (("late",), ("again",)) and (
                    state not in LATE or title == "capped soon"
                ):
                    continue
                found[f"{title}: {state} {' '.join(traits)}"] = life(
                    state, *traits, process=process
                )
    return found


STAGES: Final = stages()

windows: Final = st.one_of(
    st.timedeltas(timedelta(), 10 * DAY),
    st.timedeltas(timedelta(), 400 * DAY),
    # Whole days and hours, where the ends of windows are.
    st.integers(0, 30).map(lambda days: days * DAY),
    st.integers(0, 200).map(lambda hours: hours * HOUR),
)


def unwritten(order: Order) -> Order:
    """
    Return the order without when it was written down.
    """
    return attrs.evolve(order, recorded_at=START)


def unwritten_all(history: tuple[Recorded, ...]) -> list[Recorded]:
    """
    Return a history without when it was written down.
    """
    return [attrs.evolve(recorded, recorded_at=START) for recorded in history]


class TestLateWorkers:
    """
    An outcome never depends on how late a worker ran.
    """

    @given(
        stage=st.sampled_from(sorted(STAGES)),
        steps=st.lists(windows, min_size=1, max_size=6),
    )
    def test_sweeping_often_or_once(self, stage: str, steps: list[timedelta]) -> None:
        """
        Settling in any number of steps is settling once, but for when it was written.
        """
        begun = STAGES[stage]
        often = begun
        for step in steps:
            often = often.wait(step)

        once = begun.until(often.now)

        assert unwritten(often.order) == unwritten(once.order)
        assert unwritten_all(often.history) == unwritten_all(once.history)
        check_books(once.order)

    @given(
        stage=st.sampled_from(sorted(STAGES)),
        steps=st.lists(windows, min_size=1, max_size=4),
        name=st.sampled_from(NAMES),
        role=st.sampled_from([role for role in Role if role is not Y]),
    )
    def test_judged_the_same(
        self, stage: str, steps: list[timedelta], name: str, role: Role
    ) -> None:
        """
        A command gets the same answer however often the order was swept before.
        """
        begun = STAGES[stage]
        often = begun
        for step in steps:
            often = often.wait(step)
        once = begun.until(often.now)
        command = sample(name, once.order)

        first, second = often.ask(command, role), once.ask(command, role)

        assert type(first) is type(second)
        assert first.order is not None
        assert second.order is not None
        assert unwritten(first.order) == unwritten(second.order)
        assert first.effects == second.effects
        if isinstance(first, Refusal):
            assert isinstance(second, Refusal)
            assert first.blockers == second.blockers

    @given(stage=st.sampled_from(sorted(STAGES)), window=windows)
    def test_each_at_its_own_instant(self, stage: str, window: timedelta) -> None:
        """
        Due moves are in order, never before they are due, and never after now.
        """
        begun = STAGES[stage]

        after = begun.wait(window)

        told = after.history[len(begun.history) :]
        instants = [recorded.effective_at for recorded in told]
        assert instants == sorted(instants)
        assert all(begun.order.effective_at <= at <= after.now for at in instants)
        assert {recorded.by for recorded in told} <= {SYSTEM}
        found = next_due(after.process, after.order)
        assert found is None or found[0] > after.now
