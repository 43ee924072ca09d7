"""
The checker on what hosts add: it is walked like the rest, and what cannot be is said.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import pytest

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.checker import check
from escrowflow.checker.exploring import explored
from escrowflow.commands import Command
from escrowflow.decisions.case import Step, deadline, decides
from escrowflow.decisions.settlement import (
    cancelled,
    refund_parts,
    returned,
    to_platform,
)
from escrowflow.events import OrderMarkedLate, PartialRefundAccepted
from escrowflow.parties import Role
from escrowflow.processes import recommended
from escrowflow.states import BACK, STAY, DeadlineKind, Gap, Row, State, Urgency
from escrowflow.terms import FullRefund, Terms
from escrowflow.testing import Bed
from tests.given import COMEUP, an_order, eur

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = pytest.mark.proof

WEEK: Final = timedelta(days=7)

# Without the trap of the published rules.
SAFE: Final = COMEUP.with_policies(delivery={"deliver_during_cancel_request": True})


class Paused(enum.StrEnum):
    """
    A state of a host.
    """

    PAUSED = "paused"


@attrs.frozen(kw_only=True)
class Pause(Command):
    """
    Stop the clock.
    """


@attrs.frozen(kw_only=True)
class Look(Command):
    """
    Look again.
    """


@attrs.frozen(kw_only=True)
class TakeBack(Command):
    """
    Take all of it back, with a proof that no form tells.
    """

    proof: object


@attrs.frozen(kw_only=True)
class Withhold(Command):
    """
    End it, harshly or not.
    """

    harsh: bool


@decides(Pause, version="1")
def pause(case: Any, command: Pause) -> Iterable[Step]:
    """
    Wait a week.
    """
    yield Step(events=(OrderMarkedLate(),), arm=deadline("look", case.after(WEEK)))


@decides(Look, version="1")
def look(case: Any, command: Look) -> Iterable[Step]:
    """
    And another one, for ever.
    """
    again = deadline("look", case.after(WEEK))
    yield Step(events=(OrderMarkedLate(),), outcome="again", arm=again)


@decides(TakeBack, version="1")
def take_back(case: Any, command: TakeBack) -> Iterable[Step]:
    """
    Everything goes back.
    """
    yield cancelled(case, cause="by_consent", trigger=command.name)


@decides(Withhold, version="1")
def withhold(case: Any, command: Withhold) -> Iterable[Step]:
    """
    Everything goes back, or nothing does.
    """
    settlement = to_platform(case) if command.harsh else returned(case)
    yield cancelled(case, cause="ruled", trigger=command.name, settlement=settlement)


def waiting(*decisions: Any, **more: Any) -> Any:
    """
    Return a process with a state in which a deadline only arms itself again.
    """
    outcomes: Any = {"again": STAY, "done": State.COMPLETED}
    return SAFE.extend(
        name="pausing",
        states=Paused,
        rows=[
            Row(Pause, Role.BUYER, State.DELIVERED, "paused", away=True),
            Row(Look, Role.SYSTEM, "paused", outcomes, settles=True),
        ],
        deadlines=[DeadlineKind("look", Look, "paused", urgency=Urgency.COMPLETION)],
        decisions=[pause, look, *decisions],
        **more,
    )


STUCK = {(code, "paused") for code in ("no_exit", "no_timed_exit", "claim_unheard")}


def errors(process: Any, **arguments: Any) -> set[tuple[str, str]]:
    """
    Return the codes and places of what is wrong with a process.
    """
    return {(one.code, one.where) for one in check(process, **arguments).errors}


def test_a_wait_that_begins_anew_for_ever() -> None:
    """
    A deadline that only arms itself again is no way out, whatever its row says.
    """
    assert errors(waiting()) == STUCK


def test_a_command_that_no_form_tells() -> None:
    """
    What could not be tried is an error: nobody knows what it does.
    """
    row = Row(TakeBack, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)
    process = SAFE.extend(name="h", rows=[row], decisions=[take_back])

    assert errors(process) == {("unexplored_command", "take_back")}


def test_both_sides_of_a_flag() -> None:
    """
    A yes or no that a command asks for is tried both ways.
    """
    row = Row(Withhold, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)
    process = SAFE.extend(name="h", rows=[row], decisions=[withhold])

    assert errors(process) == {("money_to_platform", "cancelled"), ("trap", "seller")}


def test_a_message_that_does_more() -> None:
    """
    What moves nothing is left alone only as long as nobody else decides it.
    """

    @decides(c.SubmitBrief, version="1")
    def submitted(case: Any, command: c.SubmitBrief) -> Iterable[Step]:
        for step in SAFE.decider[c.SubmitBrief].act(case, command):
            yield attrs.evolve(step, drop=("acceptance",))

    process = SAFE.extend(name="h", decisions=[submitted])

    assert ("no_timed_exit", "pending") in errors(process)


def test_what_tells_orders_apart() -> None:
    """
    What only a host's own code asks of an order has to be said.
    """

    @decides(c.DeliverOrder, version="1")
    def delivered(case: Any, command: c.DeliverOrder) -> Iterable[Step]:
        third = len(case.order.deliveries) >= 2
        for step in SAFE.decider[c.DeliverOrder].act(case, command):
            yield attrs.evolve(step, arm=()) if third else step

    process = SAFE.extend(name="h", decisions=[delivered])

    found = errors(process, apart_by=lambda order: min(len(order.deliveries), 3))

    assert ("no_timed_exit", "delivered") in found


@pytest.mark.parametrize("agreed", [1, 13])
def test_limits_of_any_size(agreed: int) -> None:
    """
    However many revisions are agreed: once they are used up, the buyer is caught.
    """
    process = SAFE.with_policies(revision={"revision_limit_mode": "hard"})
    terms = Terms(delivery_window="P1D", revisions=agreed)

    order = an_order(payment=None, terms=terms)

    assert errors(process, order=order) == {("trap", "buyer")}


def test_charged_later() -> None:
    """
    Where the buyer's bank holds the money first, that is walked, too.
    """
    process = SAFE.with_policies(acceptance={"charge_at": "acceptance"})
    graph = explored(process, an_order(payment=None), 20_000)
    edges = [edge for node in graph.nodes for edge in node.edges]

    told = {
        (edge.command.name, getattr(edge.command, "status", ""))
        for edge in edges
        if edge.command is not None
    }

    assert {("report_charge", "paid"), ("report_charge", "failed")} <= told
    assert any("hold" in edge.ended for edge in edges)


def test_fees_that_the_buyer_bears() -> None:
    """
    A fee that the policy keeps is not what belongs to a side.
    """
    fees = {"buyer_fee": ef.Fee(bps=500), "buyer_bears": {"buyer_fee"}}

    assert errors(SAFE.with_policies(fees=fees)) == set()


def test_how_long_an_order_lives() -> None:
    """
    What only the longest life of an order ends takes that long.
    """
    process = SAFE.with_policies(
        lifetime={"order_cap": "P150D"},
        dispute={"ruling_window": "P10D", "default_ruling": FullRefund()},
    )

    @decides(c.FreezeOrder, version="never")
    def never(case: Any, command: c.FreezeOrder) -> Iterable[Step]:
        raise AssertionError("it is always refused")

    @never.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        # Staff would have all the time it wants.
        yield ef.Blocker(code="never_accepted")

    report = check(process.extend(name="quick", decisions=[never]))

    assert report.sound
    assert report.rests_within == timedelta(days=150)
    assert "within 150 days" in report.text()


# --- what must not be overlooked --------------------------------------------------


@attrs.frozen(kw_only=True)
class Claw(Command):
    """
    Take everything back, for a sum.
    """

    part: ef.Money


@attrs.frozen(kw_only=True)
class Choose(Command):
    """
    Two things at once.
    """

    colour: Literal["red", "green"]
    size: Literal["small", "large"]


@attrs.frozen(kw_only=True)
class Leave(Command):
    """
    Go.
    """


@attrs.frozen(kw_only=True)
class MoreTaken(ef.Event):
    """
    More time was taken, for the first time or again.
    """

    def fold_extra(self, extra: Any) -> Any:
        """
        Remember that, and not how often.
        """
        return {**extra, "taken": True}


def clawing(least: int) -> ef.Process[ef.Policies]:
    """
    Return a process in which the buyer takes everything back, if he names a sum that
    its form does not tell.
    """

    @decides(Claw, version="1")
    def claw(case: Any, command: Claw) -> Iterable[Step]:
        yield cancelled(case, cause="by_consent", trigger=command.name)

    @claw.given
    def _(case: Any) -> Iterable[Any]:
        yield "part", {"maximum": case.order.ledger.held}

    @claw.within
    def _(case: Any, command: Claw) -> Iterable[ef.Blocker]:
        if command.part.minor < least:
            yield ef.Blocker(code="too_little")

    row = Row(Claw, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)
    return SAFE.extend(name="clawing", rows=[row], decisions=[claw])


def test_a_payload_that_is_refused() -> None:
    """
    Where the least amount is refused the most is tried, so that the story is true.
    """
    (trap,) = check(clawing(5_000)).errors

    assert (trap.code, trap.where) == ("trap", "seller")
    assert trap.story is not None
    names: dict[str, Any] = {"Bed": Bed}
    exec(compile(trap.story.code(), "<story>", "exec"), names)
    names["test_story"](trap.story.process)


def test_no_payload_that_is_taken() -> None:
    """
    A command whose every payload is refused was not tried, whatever its options say.
    """
    assert errors(clawing(1_000_000)) == {("unexplored_command", "claw")}


def test_what_time_lets_somebody_do() -> None:
    """
    What is blocked at first, and not in the last second, is tried then, though the
    blocker does not say when it is lifted.
    """

    @decides(Leave, version="1")
    def leave(case: Any, command: Leave) -> Iterable[Step]:
        yield cancelled(case, cause="by_consent", trigger=command.name)

    @leave.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        if case.now < case.order.due_at - timedelta(days=1):
            yield ef.Blocker(code="too_early")

    row = Row(Leave, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)
    process = SAFE.extend(name="h", rows=[row], decisions=[leave])

    assert errors(process) == {("trap", "seller")}


def test_a_reminder_that_ends_an_order() -> None:
    """
    A deadline whose urgency is a reminder's, and which does more, is one that counts.
    """

    @decides(c.DeliverOrder, version="1")
    def delivered(case: Any, command: c.DeliverOrder) -> Iterable[Step]:
        more = deadline("look", case.after(timedelta(days=2)))
        for step in SAFE.decider[c.DeliverOrder].act(case, command):
            yield attrs.evolve(step, arm=(*step.arm, *more))

    @decides(Look, version="1")
    def ended(case: Any, command: Look) -> Iterable[Step]:
        yield cancelled(case, cause="by_consent", trigger=command.name)

    kind = DeadlineKind("look", Look, State.DELIVERED, urgency=Urgency.REMINDER)
    row = Row(Look, Role.SYSTEM, State.DELIVERED, State.CANCELLED, settles=True)
    process = SAFE.extend(
        name="h", rows=[row], deadlines=[kind], decisions=[ended, delivered]
    )

    assert errors(process) == {("trap", "seller")}


def test_what_only_fails_after_the_end() -> None:
    """
    A command that is possible before the end, too, is tried after it all the same.
    """

    @decides(Leave, version="1")
    def leave(case: Any, command: Leave) -> Iterable[Step]:
        if case.order.ending is not None:
            raise ZeroDivisionError("by zero")
        yield Step(events=(OrderMarkedLate(),))

    row = Row(Leave, Role.BUYER, (State.IN_PROGRESS, State.COMPLETED), STAY)
    process = SAFE.extend(name="h", rows=[row], decisions=[leave])

    assert errors(process) == {("decision_fails", "completed")}


def test_a_command_that_no_form_tells_after_the_end() -> None:
    """
    It is no failure of the options.
    """
    row = Row(TakeBack, Role.BUYER, State.COMPLETED, STAY)

    @decides(TakeBack, version="1")
    def said(case: Any, command: TakeBack) -> Iterable[Step]:
        yield Step(events=(OrderMarkedLate(),))

    process = SAFE.extend(name="h", rows=[row], decisions=[said])

    assert errors(process) == {("unexplored_command", "take_back")}


def test_what_comes_first_within_a_second() -> None:
    """
    Which of two deadlines ends the other is told apart to the microsecond.
    """

    @decides(Withhold, version="1")
    def armed(case: Any, command: Withhold) -> Iterable[Step]:
        early = timedelta(microseconds=1) if command.harsh else timedelta()
        yield Step(
            events=(OrderMarkedLate(),), arm=deadline("look", case.order.due_at - early)
        )

    @armed.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        if case.now > case.order.due_at - timedelta(days=1):
            yield ef.Blocker(code="too_late")

    @decides(Look, version="1")
    def ended(case: Any, command: Look) -> Iterable[Step]:
        yield cancelled(case, cause="by_consent", trigger=command.name)

    process = SAFE.extend(
        name="h",
        rows=[
            Row(Withhold, Role.BUYER, State.DELIVERED, STAY),
            Row(Look, Role.SYSTEM, State.DELIVERED, State.CANCELLED, settles=True),
        ],
        # At one instant the completion comes first, and nothing is lost.
        deadlines=[DeadlineKind("look", Look, State.DELIVERED, urgency=Urgency.RULING)],
        decisions=[armed, ended],
    )

    assert errors(process) == {("trap", "seller")}


def test_two_choices_at_once() -> None:
    """
    Of a command with two choices each pair is tried.
    """

    @decides(Choose, version="1")
    def choose(case: Any, command: Choose) -> Iterable[Step]:
        if (command.colour, command.size) == ("green", "large"):
            yield attrs.evolve(
                cancelled(case, cause="by_consent", trigger=command.name),
                outcome="over",
            )
        else:
            yield Step(events=(OrderMarkedLate(),), outcome="stays")

    outcomes: Any = {"stays": STAY, "over": State.CANCELLED}
    row = Row(Choose, Role.BUYER, State.DELIVERED, outcomes, settles=True)
    process = SAFE.extend(name="h", rows=[row], decisions=[choose])

    assert errors(process) == {("trap", "seller")}


def test_a_part_that_always_goes_back() -> None:
    """
    What a host's own code always brings about is no side matter: behind it the traps
    are looked for as anywhere.
    """

    @decides(c.AcceptOrder, version="1")
    def accepted(case: Any, command: c.AcceptOrder) -> Iterable[Step]:
        yield from COMEUP.decider[c.AcceptOrder].act(case, command)
        deposit = PartialRefundAccepted(to_buyer=refund_parts(case, eur(1)))
        yield Step(events=(deposit,), via=Leave)

    @decides(Leave, version="1")
    def leave(case: Any, command: Leave) -> Iterable[Step]:
        yield Step(events=(OrderMarkedLate(),))

    row = Row(Leave, Role.BUYER, State.IN_PROGRESS, STAY)
    process = COMEUP.extend(name="h", rows=[row], decisions=[accepted, leave])

    assert errors(process) == {("trap", "seller")}


def test_a_failure_that_is_declared() -> None:
    """
    It hides nothing of the rest.
    """

    @decides(c.RefuseOrder, version="broken")
    def broken(case: Any, command: c.RefuseOrder) -> Iterable[Step]:
        raise ZeroDivisionError("by zero")

    gap = Gap("decision_fails", "pending", "nobody refuses here")
    assert errors(waiting(broken, gaps=[gap])) == STUCK


def test_a_story_beyond_the_longest_life() -> None:
    """
    What comes after the end of the longest life is told, and not played: the months
    before it are left out.
    """

    @decides(Pause, version="1")
    def paused(case: Any, command: Pause) -> Iterable[Step]:
        yield Step(events=(OrderMarkedLate(),))

    @paused.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        if case.order.dispute.cause != "order_cap":
            yield ef.Blocker(code="not_yet")

    @decides(Leave, version="1")
    def leave(case: Any, command: Leave) -> Iterable[Step]:
        yield Step(events=(OrderMarkedLate(),))

    capped = SAFE.with_policies(
        lifetime={"order_cap": "P60D", "expiry_beneficiary": "mediator"},
        dispute={"ruling_window": "P10D", "default_ruling": FullRefund()},
    )
    process = capped.extend(
        name="h",
        states=Paused,
        rows=[
            Row(Pause, Role.BUYER, State.DISPUTED, "paused", away=True),
            Row(Leave, Role.BUYER, "paused", BACK),
        ],
        decisions=[paused, leave],
        gaps=[Gap("no_timed_exit", "paused", "to see it told")],
    )

    (story,) = (
        one.story
        for one in check(process).findings
        if one.code == "no_timed_exit" and one.where == "paused"
    )

    assert story is not None
    assert story.abridged
    before, after = story.code().splitlines()[-2:]
    assert before == "    # ... until the longest life of the order ends."
    assert after == "    # bed.buyer.pause()"
    names: dict[str, Any] = {"Bed": Bed}
    exec(compile(story.code(), "<story>", "exec"), names)
    names["test_story"](process)


# --- one side alone ---------------------------------------------------------------


def taking_time(*, often: bool, seller_ends: bool = False) -> ef.Process[ef.Policies]:
    """
    Return a process in which the buyer takes another week to look at what came.

    Args:
        often: Whether he may as often as he likes.

        seller_ends: Whether the seller may have his money meanwhile.
    """

    @decides(Leave, version="1")
    def more(case: Any, command: Leave) -> Iterable[Step]:
        again = deadline("verification", case.after(WEEK))
        yield Step(events=(MoreTaken(),), arm=again)

    @more.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        if not often and case.order.extra.get("taken"):
            yield ef.Blocker(code="taken")

    @decides(Pause, version="1")
    def enough(case: Any, command: Pause) -> Iterable[Step]:
        yield from SAFE.decider[c.CompleteSilently].act(case, c.CompleteSilently())

    rows = [Row(Leave, Role.BUYER, State.DELIVERED, STAY)]
    if seller_ends:
        rows.append(
            Row(Pause, Role.SELLER, State.DELIVERED, State.COMPLETED, settles=True)
        )
    decisions = [more, enough] if seller_ends else [more]
    return SAFE.extend(name="h", rows=rows, events=[MoreTaken], decisions=decisions)


def test_a_side_that_keeps_an_order_open() -> None:
    """
    A deadline that one side may always begin anew binds nobody: the other one waits for
    its money for as long as the first one likes.
    """
    (finding,) = check(taking_time(often=True)).errors

    assert (finding.code, finding.where) == ("kept_open", "buyer in delivered")
    assert "for as long as the buyer likes" in finding.message()
    assert finding.story is not None
    assert [step.command.name for step in finding.story.steps][-1] == "leave"


def test_a_side_that_keeps_an_order_open_once() -> None:
    """
    Once is no harm, nor where the other side may end it meanwhile, or time does.
    """
    capped = taking_time(often=True).with_policies(
        lifetime={"order_cap": "P150D"},
    )

    assert errors(taking_time(often=False)) == set()
    # He who may end it at once is a trap of another kind.
    ending = taking_time(often=True, seller_ends=True)
    assert errors(ending) == {("trap", "buyer")}
    assert "kept_open" not in {code for code, _ in errors(capped)}


# --- what a host's own code asks about --------------------------------------------


def leaving(
    may: Callable[[ef.Order], bool], *, for_good: bool = True
) -> ef.Process[ef.Policies]:
    """
    Return a process in which the buyer of what was delivered takes everything back, or
    nothing at all, where something is so.
    """

    @decides(Leave, version="1")
    def leave(case: Any, command: Leave) -> Iterable[Step]:
        if for_good:
            yield cancelled(case, cause="by_consent", trigger=command.name)
        else:
            yield Step(events=(OrderMarkedLate(),))

    @leave.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        if not may(case.order):
            yield ef.Blocker(code="not_so")

    to = State.CANCELLED if for_good else STAY
    row = Row(Leave, Role.BUYER, State.DELIVERED, to, settles=for_good)
    return SAFE.extend(name="h", rows=[row], decisions=[leave])


def played(process: Any, **arguments: Any) -> set[tuple[str, str]]:
    """
    Return the errors of a process, each with a story that runs as it is printed.
    """
    found = check(process, **arguments).errors
    for one in found:
        assert one.story is not None
        names: dict[str, Any] = {"Bed": Bed}
        exec(compile(one.story.code(), "<story>", "exec"), names)
        names["test_story"](process)
    return {(one.code, one.where) for one in found}


@pytest.mark.parametrize(
    "may",
    [
        lambda order: order.claim is not None,
        lambda order: order.partial_refund is not None,
        # An offer cannot be made there: it is taken along.
        lambda order: any(offer.status == "open" for offer in order.offers),
    ],
)
def test_a_side_matter_that_is_heeded(may: Callable[[ef.Order], bool]) -> None:
    """
    What only a side matter makes possible is the course of an order, if a host's own
    code does it.
    """
    assert played(leaving(may)) == {("trap", "seller")}


def test_a_side_matter_that_changes_nothing() -> None:
    """
    What is harmless is so with a claim, too.
    """
    assert errors(leaving(lambda order: bool(order.claim), for_good=False)) == set()


@pytest.mark.parametrize(
    "may",
    [
        lambda order: any(offer.status == "paid" for offer in order.offers),
        lambda order: any(payment.refunded for payment in order.payments),
    ],
)
def test_what_a_side_matter_leaves_behind(may: Callable[[ef.Order], bool]) -> None:
    """
    The traps that lie behind a side matter, which both sides are done with, are found.
    """
    assert played(leaving(may), apart_by=may) == {("trap", "seller")}


def test_a_claim_of_a_hosts_own() -> None:
    """
    Whoever decides it, a mediator gets at it as before: nobody is accused.
    """

    @decides(c.FileClaim, version="1")
    def filed(case: Any, command: c.FileClaim) -> Iterable[Step]:
        yield from SAFE.decider[c.FileClaim].act(case, command)

    filed.unless(SAFE.decider[c.FileClaim].blockers)

    assert errors(SAFE.extend(name="h", decisions=[filed])) == set()


@pytest.mark.parametrize(("opens", "found"), [(2, {("trap", "seller")}), (9, set())])
def test_what_is_possible_for_a_day(opens: int, found: set[tuple[str, str]]) -> None:
    """
    What is possible neither at once nor in the last second is tried when the blocker
    says that it is lifted.
    """
    day = timedelta(days=1)

    @decides(Leave, version="1")
    def leave(case: Any, command: Leave) -> Iterable[Step]:
        yield cancelled(case, cause="by_consent", trigger=command.name)

    @leave.unless
    def _(case: Any) -> Iterable[ef.Blocker]:
        since = case.order.delivered_at + opens * day
        if case.now < since:
            yield ef.Blocker(code="too_early", unblocked_at=since)
        elif case.now >= since + day:
            yield ef.Blocker(code="too_late")

    row = Row(Leave, Role.BUYER, State.DELIVERED, State.CANCELLED, settles=True)

    assert played(SAFE.extend(name="h", rows=[row], decisions=[leave])) == found


@pytest.mark.parametrize("again", [False, True])
def test_a_deadline_after_the_end(again: bool) -> None:
    """
    It is let end: a decision that raises there, or goes round in a circle, would be
    tried again for ever.
    """

    @decides(c.ApproveDelivery, version="1")
    def approved(case: Any, command: c.ApproveDelivery) -> Iterable[Step]:
        more = deadline("look", case.after(WEEK))
        for step in SAFE.decider[c.ApproveDelivery].act(case, command):
            yield attrs.evolve(step, arm=(*step.arm, *more))

    @decides(Look, version="1")
    def looked(case: Any, command: Look) -> Iterable[Step]:
        if not again:
            raise ZeroDivisionError("by zero")
        yield Step(events=(OrderMarkedLate(),), arm=deadline("look", case.now))

    process = SAFE.extend(
        name="h",
        rows=[Row(Look, Role.SYSTEM, State.COMPLETED, STAY)],
        deadlines=[
            DeadlineKind("look", Look, State.COMPLETED, urgency=Urgency.SIDE_OBJECT)
        ],
        decisions=[approved, looked],
    )

    assert errors(process) == {("decision_fails", "completed")}


@attrs.frozen(kw_only=True)
class Ask(Command):
    """
    Ask for more, or for less.
    """

    part: ef.Money
    extra: ef.Money | None = None
    hard: bool = False


@pytest.mark.parametrize(
    "fails",
    [
        lambda command: command.part > eur(50),
        lambda command: command.extra is not None,
        lambda command: command.hard,
    ],
)
def test_a_payload_that_fails(fails: Callable[[Ask], bool]) -> None:
    """
    What a host decides is tried with the most, and with what need not be given.
    """

    @decides(Ask, version="1")
    def asked(case: Any, command: Ask) -> Iterable[Step]:
        if fails(command):
            raise ZeroDivisionError("by zero")
        yield Step(events=(OrderMarkedLate(),))

    @asked.given
    def _(case: Any) -> Iterable[Any]:
        yield "part", {"maximum": case.order.ledger.held}

    row = Row(Ask, Role.BUYER, State.DELIVERED, STAY)
    process = SAFE.extend(name="h", rows=[row], decisions=[asked])

    assert errors(process) == {("decision_fails", "delivered")}


@pytest.mark.parametrize("offered", [False, True])
def test_what_a_provider_says(offered: bool) -> None:
    """
    A command of a host's own that programs send is tried, also where it is nobody's
    option.
    """

    @decides(Pause, version="1")
    def paused(case: Any, command: Pause) -> Iterable[Step]:
        yield Step(events=(OrderMarkedLate(),))

    process = SAFE.extend(
        name="h",
        states=Paused,
        rows=[
            Row(Pause, Role.PROVIDER, State.PENDING, "paused", offered=offered),
            Row(Leave, Role.BUYER, "paused", State.CANCELLED, settles=True),
        ],
        decisions=[paused, leaving(bool).decider[Leave]],
        gaps=[Gap("no_timed_exit", "paused", "the buyer waits for his bank")],
    )

    assert errors(process) == {("at_mercy", "seller in paused")}


def test_two_deadlines_at_one_instant() -> None:
    """
    Of two deadlines that end at once one keeps the other from ending.  If the other side
    takes the first away in the last second, the second one could still have been met:
    that is no trap.
    """
    extras = {"addon_deadline": "add_days"}

    assert errors(recommended().with_policies(extras=extras)) == set()


@pytest.mark.parametrize("beneficiary", ["seller", "mediator"])
def test_a_life_that_is_shorter_than_a_wait(beneficiary: str) -> None:
    """
    An order that is over before a deadline has no last second before it: nothing is tried
    there that its state does not know.
    """
    process = SAFE.with_policies(
        lifetime={"order_cap": "P1D", "expiry_beneficiary": beneficiary}
    )

    assert "decision_fails" not in {code for code, _ in errors(process)}
