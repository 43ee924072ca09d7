"""
What an order counts for in its seller's figures (R42, R102 to R112, R116).

- A `Course` follows one order, event by event, and keeps what figures ask and the
  order does not say.
- `items` is all that an order counts for so far.  An event touches a figure if it
  changes the items of it: what is counted and what is said to be touched cannot
  differ.
- What was never paid counts nowhere; nor does what the seller accepted, and was not
  charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from typing import Final, final

import attrs
from pendulum import DateTime

from .. import events as e
from ..events import Recorded
from ..history import evolve
from ..inputs import FrozenDict
from ..money import Money
from ..order import Order
from ..parties import Role
from ..policies import StatisticsPolicy, Verdict

__all__ = [
    "ANSWER_MAX",
    "CLOCKS",
    "FIGURES",
    "RATES",
    "Answer",
    "Course",
    "Item",
    "followed",
    "items",
    "of_cancellation",
    "touched",
]

# Every figure of a seller, in the order in which they are shown.  Visibility is the
# host's to work out (R116), and the score follows from four others.
FIGURES: Final = (
    "acceptance_rate",
    "visibility",
    "completion_rate",
    "on_time_rate",
    "cancellation_rate",
    "response_time",
    "performance_score",
    "sales",
    "revenue_generated",
    "revenue_collected",
    "public_cancellations",
)

# Those that are made of verdicts.
RATES: Final = (
    "acceptance_rate",
    "completion_rate",
    "on_time_rate",
    "cancellation_rate",
)

# What the performance score is made of (R110).
_SCORED: Final = frozenset(
    {"acceptance_rate", "completion_rate", "on_time_rate", "response_time"}
)

# The five clocks of the response time (R109).
CLOCKS: Final = (
    "first_message",
    "acceptance",
    "acceptance_with_brief",
    "cancellation",
    "revision",
)

# No answer counts for more (R109).
ANSWER_MAX: Final = timedelta(days=7)

# What the two sides of a figure are called (R42, R116).
BEFORE_ACCEPTANCE: Final = ("acceptance_rate", "visibility")
AFTER_ACCEPTANCE: Final = ("completion_rate",)


def of_cancellation(order: Order) -> tuple[str, ...]:
    """
    Return the figures that fall if this order is cancelled now, as its ending will
    say (R42, R116); empty if it is in no statistics.
    """
    if order.paid_at is None or any(hold.under_way for hold in order.holds):
        return ()
    return BEFORE_ACCEPTANCE if order.accepted_at is None else AFTER_ACCEPTANCE


# --- what counts ------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Answer:
    """
    One clock that has stopped.

    Attributes:
        clock: Which of `CLOCKS`.

        at: When it stopped.

        waited: How long it ran, at most `ANSWER_MAX`.
    """

    clock: str
    at: DateTime
    waited: timedelta


@final
@attrs.frozen(kw_only=True)
class Course:
    """
    One order, and what figures ask beyond it.

    Attributes:
        order: The order so far.

        judged_at: When it was first handed over, or late, whichever came first.

        ended: The name of the event that ended it; empty while it runs.

        excused: Whether staff excused its cancellation.

        collected: What the seller was paid for work, before fees; `None` until then.

        wrote: Whether anybody has written to the other side since it was paid.

        running: Since when each clock runs.

        answers: The clocks that have stopped, oldest first.
    """

    order: Order
    judged_at: DateTime | None = None
    ended: str = ""
    excused: bool = False
    collected: Money | None = None
    wrote: bool = False
    running: Mapping[str, DateTime] = attrs.field(factory=FrozenDict)
    answers: tuple[Answer, ...] = ()


@final
@attrs.frozen(kw_only=True)
class Item:
    """
    One thing that an order counts for.

    Attributes:
        figure: The figure it belongs to.

        at: The instant it is counted under.

        of: What it is, in that figure: a verdict, a currency, or a clock.

        number: How many, how many minor units, or how many microseconds.
    """

    figure: str
    at: DateTime
    of: Verdict | str = ""
    number: int = 1


def items(course: Course) -> Iterable[Item]:
    """
    Yield everything an order counts for.

    Sales, generated revenue, acceptance and cancellation belong to the day of the
    order, which is that of its payment; lateness to the day the order was judged by;
    the rest to the day it happened.
    """
    order = course.order
    paid_at, ending = order.paid_at, order.ending
    cancelled = course.ended == e.OrderCancelled.name
    # A cancellation that names no statistics is in none.
    if paid_at is None or (cancelled and ending is not None and not ending.statistics):
        return
    accepted = order.accepted_at is not None
    why = "" if ending is None else ending.cause
    responsible = None if ending is None or course.excused else ending.responsible
    yield Item(figure="sales", at=paid_at)
    yield Item(
        figure="revenue_generated",
        at=paid_at,
        of=order.currency,
        number=order.work.minor,
    )
    yield _rated("cancellation_rate", paid_at, not cancelled, responsible, why)
    if accepted or cancelled:
        yield _rated("acceptance_rate", paid_at, accepted, responsible, why)
    if course.judged_at is not None:
        # Late whoever is at fault (R26, R106).  The history shows that it was somebody
        # else's doing only where the ending says so.
        others = course.excused or responsible is Role.BUYER
        whose = responsible if others else Role.SELLER
        yield _rated(
            "on_time_rate", course.judged_at, not order.ever_late, whose, "late"
        )
    for answer in course.answers:
        yield Item(
            figure="response_time",
            at=answer.at,
            of=answer.clock,
            number=answer.waited // _MICROSECOND,
        )
    closed_at = order.closed_at
    if closed_at is None or ending is None:
        return
    if course.ended == e.OrderCompleted.name or (cancelled and accepted):
        yield _rated("completion_rate", closed_at, not cancelled, responsible, why)
    if course.collected:
        yield Item(
            figure="revenue_collected",
            at=closed_at,
            of=order.currency,
            number=course.collected.minor,
        )
    if ending.public:
        yield Item(figure="public_cancellations", at=closed_at)


_MICROSECOND: Final = timedelta(microseconds=1)


def _rated(
    figure: str, at: DateTime, good: bool, responsible: Role | None, cause: str
) -> Item:
    # Whose doing it was, and why, is asked only of what speaks against the seller.
    verdict = (
        Verdict(figure=figure, good=True)
        if good
        else Verdict(figure=figure, good=False, responsible=responsible, cause=cause)
    )
    return Item(figure=figure, at=at, of=verdict)


# --- what is touched --------------------------------------------------------------


def touched(
    order: Order | None,
    *history: Recorded,
    policy: StatisticsPolicy | None = None,
) -> tuple[str, ...]:
    """
    Return the figures of the seller that events touch, in the order of `FIGURES`.

    Args:
        order: The order before them; `None` before `OrderPlaced`.

        history: What happens to it: one event, or all those of a command.

        policy: Whose rates are meant; without, those of any policy.

    Returns:
        Every figure that they change.  Also `response_time` for what could be an
        answer: an order does not say whether a message was answered before.  Not
        named is that an order may be the one by which a seller has figures at all
        (R103).
    """
    before = None if order is None else _seen(order)
    after = reduce(followed, history, before)
    if after is None:
        return ()
    earlier = {} if before is None else _by_figure(before, policy)
    later = _by_figure(after, policy)
    changed = {name for name in FIGURES if earlier.get(name) != later.get(name)}
    if earlier and not later:
        # It leaves, with the answers that were counted.
        changed.add("response_time")
    if changed & _SCORED:
        changed.add("performance_score")
    ending = after.order.ending
    ends = ending is not None and (order is None or order.ending is None)
    if ends and ending is not None and "visibility" in ending.statistics:
        changed.add("visibility")
    return tuple(name for name in FIGURES if name in changed)


def _by_figure(
    course: Course, policy: StatisticsPolicy | None
) -> Mapping[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items(course):
        if policy is not None and isinstance(item.of, Verdict):
            if not policy.counts(item.of):
                continue
            # Why is the policy's concern: a rate is made of how many.
            item = attrs.evolve(item, of="good" if item.of.good else "bad")
        found.setdefault(item.figure, []).append(item)
    return found


def _seen(order: Order) -> Course:
    """
    Return the course of an order of which only the order is known.

    Every clock that may run is taken to run.
    """
    paid_at, at = order.paid_at, order.effective_at
    running: list[str] = []
    ended = ""
    judged_at = order.delivered_at
    if order.ever_late and judged_at is None:
        judged_at = at
    if order.ending is not None:
        # Of one that is over, only a cancellation can change: by being excused.
        cancelled = bool(order.ending.statistics)
        ended = e.OrderCancelled.name if cancelled else e.OrderCompleted.name
    elif paid_at is not None:
        running.append("first_message")
        if order.accepted_at is None:
            running += ("acceptance", "acceptance_with_brief")
        if order.cancellation is not None:
            running.append("cancellation")
        if order.revisions and not order.revisions[-1].answer:
            running.append("revision")
    return Course(
        order=order,
        judged_at=judged_at,
        ended=ended,
        running=FrozenDict(dict.fromkeys(running, at)),
    )


# --- following an order -----------------------------------------------------------


def followed(course: Course | None, recorded: Recorded) -> Course:
    """
    Return the course of an order after one more event.

    Args:
        course: Its course so far; `None` before `OrderPlaced`.

    Raises:
        LedgerError: If the books would not add up.
    """
    order = evolve(None if course is None else course.order, recorded)
    if course is None:
        return Course(order=order)
    event, at = recorded.event, recorded.effective_at
    running, answers = _stopped(course, recorded)
    started = _started(course, recorded, order)
    judged_at = course.judged_at
    if judged_at is None and (order.deliveries or order.ever_late):
        judged_at = at
    collected = course.collected
    if isinstance(event, e.OrderCompleted):
        collected = _collected(course.order, event)
    return Course(
        order=order,
        judged_at=judged_at,
        ended=event.name if event.settles else course.ended,
        excused=course.excused or isinstance(event, e.CancellationExcused),
        collected=collected,
        wrote=course.wrote
        or (isinstance(event, e.MessageSent) and order.paid_at is not None),
        running=FrozenDict({**running, **dict.fromkeys(started, at)}),
        answers=answers,
    )


def _collected(order: Order, event: e.OrderCompleted) -> Money:
    """
    Return what a completion pays for work: no tip, and no fees on top.
    """
    settlement = event.settlement
    rest = settlement.to_seller + settlement.kept
    gross = rest - min(order.fees, rest)
    return min(gross - min(order.tip, gross), order.work)


def _started(course: Course, recorded: Recorded, order: Order) -> Iterable[str]:
    """
    Yield the clocks that begin with an event.
    """
    event, before = recorded.event, course.order
    if order.paid_at is None or order.ending is not None:
        return
    if isinstance(event, e.OrderPaid):
        if not order.terms.brief_required:
            yield "acceptance"
        elif order.brief is not None:
            yield "acceptance_with_brief"
    elif isinstance(event, e.BriefSubmitted):
        # The first one: what is added to it later begins nothing anew.
        if order.terms.brief_required and before.brief is None:
            yield "acceptance_with_brief"
    elif isinstance(event, e.MessageSent):
        # Whoever is written to first has nothing to answer yet.
        if recorded.by.role is Role.BUYER and not course.wrote:
            yield "first_message"
    elif isinstance(event, e.CancellationRequested):
        yield "cancellation"
    elif isinstance(event, e.RevisionRequested) and not event.accepted:
        yield "revision"


# What stops which clocks: the seller's message all but that for which he must accept;
# what hands the work over, or stops everything, all of them.
_ACCEPTS: Final = ("acceptance", "acceptance_with_brief")
_STOPS: Final[Mapping[type[e.Event], tuple[str, ...]]] = {
    e.OrderAccepted: _ACCEPTS,
    e.ChargeAsked: _ACCEPTS,
    e.CancellationAccepted: ("cancellation",),
    e.CancellationRefused: ("cancellation",),
    e.CancellationWithdrawn: ("cancellation",),
    e.RevisionAccepted: ("revision",),
    e.RevisionRefused: ("revision",),
    e.OrderDelivered: CLOCKS,
    e.DisputeOpened: CLOCKS,
    e.OrderFrozen: CLOCKS,
}
_ANSWERED: Final = tuple(clock for clock in CLOCKS if clock != "acceptance")


def _stopped(
    course: Course, recorded: Recorded
) -> tuple[Mapping[str, DateTime], tuple[Answer, ...]]:
    """
    Return the clocks that still run after an event, and those that have stopped.

    What the seller does is an answer.  So is what the system does in his stead, and
    whatever comes after a request has waited for too long: it counts for the time he
    let pass.  What somebody else ends before counts for nothing.
    """
    event, by = recorded.event, recorded.by.role
    running, answers = course.running, course.answers
    if not running:
        return running, answers
    stops = CLOCKS if event.settles else _STOPS.get(type(event), ())
    if isinstance(event, e.MessageSent) and by is Role.SELLER:
        stops = _ANSWERED
    for clock in stops:
        since = running.get(clock)
        if since is None:
            continue
        running = {name: at for name, at in running.items() if name != clock}
        if by in (Role.SELLER, Role.SYSTEM) or _overdue(course.order, clock):
            # `-` on pendulum values is a hundred times slower.
            waited = datetime.__sub__(recorded.effective_at, since)
            answer = Answer(
                clock=clock,
                at=recorded.effective_at,
                waited=min(waited, ANSWER_MAX),
            )
            answers = (*answers, answer)
    return running, answers


def _overdue(order: Order, clock: str) -> bool:
    """
    Whether a request has waited for so long that a dispute is possible.
    """
    if clock == "cancellation":
        return order.cancellation is not None and order.cancellation.unlocked
    return clock == "revision" and order.revisions[-1].unlocked
