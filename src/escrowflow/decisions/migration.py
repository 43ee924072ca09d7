"""
Migration: moving a running order to other rules, and what stands against it.

An order stays on the rules it was placed under.  Whoever moves it must not take from a
party what that party relied on, so every rule that differs needs the consent of both,
unless it is known to cost neither anything: time that only grows, and what counts when
an order is placed and never again.  What is not known to be harmless is not.

What was agreed on the order itself stays as it is: its terms, what was charged, and
every deadline that runs.  Other rules count from the next step on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import Months, Window, as_window
from ..errors import InvalidInputError
from ..events import OrderMigrated
from ..order import Order
from ..parties import Actor, Role
from ..parts import Deadline
from ..refusals import Blocker
from ..rules import Policies
from ..states import DeadlineKind, Process
from .case import Case
from .settling import Decided

__all__ = ["Changed", "Migration", "migrated", "migration"]

_Process: TypeAlias = Process[Policies]

_PARTIES: Final = (Role.BUYER, Role.SELLER)
_NOBODY: Final = Role(0)


@final
@attrs.frozen(kw_only=True)
class Changed:
    """
    A rule that is another one under the other process.

    Attributes:
        rule: Which, dotted: `revision.answer_window`; or `rows` for the table.

        before: Its value now, as plain data.

        after: Its value there.
    """

    rule: str
    before: Any
    after: Any


@final
@attrs.frozen(kw_only=True)
class Migration:
    """
    What moving an order to other rules would do.

    Attributes:
        order: The order: as it is, or as it was moved.

        process: The fingerprint of the rules it is moved from.

        to: The fingerprint of those it is moved to.

        moved: The rules that are others from then on.

        kept: The deadlines that run on as they are.

        blockers: What stands against it; empty if nothing does.
    """

    order: Order
    process: str
    to: str
    moved: tuple[Changed, ...]
    kept: tuple[Deadline, ...]
    blockers: tuple[Blocker, ...]

    @property
    def allowed(self) -> bool:
        """
        Whether nothing stands against it.
        """
        return not self.blockers


def migration(
    process: _Process, order: Order, to: _Process, consents: Role = _NOBODY
) -> Migration:
    """
    Return what moving an order would do, and what stands against it.

    Args:
        process: The rules the order is under.

        order: The order, everything that is due already settled.

        to: The rules it is to be under.

        consents: The parties that have agreed.
    """
    return Migration(
        order=order,
        process=process.fingerprint,
        to=to.fingerprint,
        moved=tuple(_changed(process, to)),
        kept=tuple(wait for wait in order.standing.deadlines if not wait.passed),
        blockers=(
            *_unfit(process, order, to),
            *_lost(process, to, order, consents),
        ),
    )


def migrated(
    process: _Process,
    order: Order,
    to: _Process,
    *,
    consents: Role,
    by: Actor,
    now: DateTime,
) -> Decided:
    """
    Return the order under the other rules.
    """
    now = max(now, order.effective_at)
    # A clock that is behind writes nothing before what was written last (I13).
    written = max(now, order.recorded_at)
    case = Case(process=process, order=order, by=by, now=now, recorded_at=written)
    case.record(_event(to, consents))
    return Decided(
        order=case.order, recorded=tuple(case.recorded), effects=tuple(case.effects)
    )


def _event(to: _Process, consents: Role) -> OrderMigrated:
    return OrderMigrated(
        process=to.name,
        fingerprint=to.fingerprint,
        consents=tuple(role.text for role in consents),
    )


# --- what is different ------------------------------------------------------------


def _changed(process: _Process, to: _Process) -> Iterator[Changed]:
    yield from _differences("", process.policies.canonical, to.policies.canonical)
    before, after = _cells(process), _cells(to)
    if before != after:
        yield Changed(
            rule="rows", before=sorted(before - after), after=sorted(after - before)
        )


def _differences(within: str, before: Any, after: Any) -> Iterator[Changed]:
    if before == after:
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield Changed(rule=within, before=before, after=after)
        return
    for name in sorted({*before, *after}):
        rule = f"{within}.{name}" if within else str(name)
        yield from _differences(rule, before.get(name), after.get(name))


# Asked for each order that moves, and the same for all of them.
@lru_cache(maxsize=64)
def _cells(process: _Process) -> frozenset[str]:
    """
    Return who may send what where, of the rows that the policies open.
    """
    return frozenset(
        f"{state} {row.command.name} {role.text}"
        for row in process.rows
        if row.opened_by(process.policies)
        for role in row.by
        for state in row.states
    )


# --- what does not fit ------------------------------------------------------------


def _unfit(process: _Process, order: Order, to: _Process) -> Iterator[Blocker]:
    """
    Yield what the other process has no place for.
    """
    if process.fingerprint == to.fingerprint:
        yield Blocker(code="same_rules")
        return
    standing = order.standing
    for state in (standing.state, *standing.left):
        if state not in to.members:
            yield Blocker(code="state_unknown_there", params={"state": str(state)})
    for wait in standing.deadlines:
        kind = to.kinds.get(wait.name)
        here = kind is not None and standing.state in (
            *kind.runs,
            *kind.stops,
            *kind.sleeps,
        )
        if kind is None or not here or _held_otherwise(process, order, wait, kind):
            yield Blocker(code="deadline_unknown_there", params={"deadline": wait.name})
    known = {event.name for event in to.events}
    for event in process.events:
        if event.name not in known:
            # Nobody could read its history any more.
            yield Blocker(code="events_unknown_there", params={"event": event.name})
    held = any(hold.open or hold.under_way for hold in order.holds)
    if held and to.policies.acceptance.charge_at != "acceptance":
        # Nobody would charge what a bank holds.
        yield Blocker(code="hold_unknown_there")


def _held_otherwise(
    process: _Process, order: Order, wait: Deadline, kind: DeadlineKind
) -> bool:
    """
    Whether something of the order holds a wait up under one of the processes and not
    under the other: it would end too soon, or never.
    """
    before, after = process.kinds[wait.name].held_by, kind.held_by
    return before != after and any(getattr(order, by) for by in (before, after) if by)


# --- what somebody would lose -----------------------------------------------------


def _lost(
    process: _Process, to: _Process, order: Order, consents: Role
) -> Iterator[Blocker]:
    """
    Yield what a party could lose that has not consented.
    """
    for changed in _changed(process, to):
        if _is_harmless(changed, order):
            continue
        for role in _PARTIES:
            if role not in consents:
                yield _loss(changed, role)


def _loss(changed: Changed, role: Role) -> Blocker:
    if role in _GROWS.get(changed.rule, _NOBODY):
        before, after = _window(changed.before), _window(changed.after)
        if before is not None and after is not None and _is_longer(before, after):
            return Blocker(
                code="window_shortened",
                params={
                    "role": role.text,
                    "rule": changed.rule,
                    "before": changed.before,
                    "after": changed.after,
                },
            )
    return Blocker(
        code="rule_changed", params={"role": role.text, "rule": changed.rule}
    )


# Windows, with whose they are: longer, they cost nobody anything but patience.
_GROWS: Final[Mapping[str, Role]] = {
    "cancellation.answer_window": Role.SELLER,
    "revision.answer_window": Role.SELLER,
    "revision.choice_window": Role.BUYER,
    "extras.offer_window": Role.BUYER,
    "reviews.review_window": Role.BUYER,
    "conversation.chat_after_completed": Role.BUYER | Role.SELLER,
    "conversation.chat_after_cancelled": Role.BUYER | Role.SELLER,
    "lifetime.payment_window": Role.BUYER,
}

# What counts when an order is placed, or is only shown.  The windows of acceptance and
# of the verification stand in the terms of the order.
_HARMLESS: Final = frozenset(
    {
        "acceptance.acceptance_window",
        "acceptance.brief_required",
        "acceptance.reminders",
        "completion.verification_window",
        "completion.reminders",
        "dispute.mediator_sla",
        "extras.tip_max",
        "revision.revisions",
    }
)


def _is_harmless(changed: Changed, order: Order) -> bool:
    """
    Whether a rule that is another one is known to cost neither party anything.
    """
    rule = changed.rule
    if rule in _HARMLESS or rule.startswith(("statistics.", "refund_timing.")):
        return True
    if rule == "lifetime.payment_window" and order.paid_at is not None:
        # That lies behind it.
        return True
    if rule not in _GROWS:
        return False
    before, after = _window(changed.before), _window(changed.after)
    return after is not None and _is_longer(after, before)


def _window(value: Any) -> Window | None:
    """
    Return a window from plain data; `None` if it is a word.
    """
    try:
        return as_window(value, "window", months=True)
    except InvalidInputError:
        return None


def _is_longer(window: Window, other: Window | None) -> bool:
    """
    Whether a window is longer than another for sure: months are only compared with
    months.
    """
    if isinstance(window, Months) and isinstance(other, Months):
        return window.count > other.count
    if isinstance(window, timedelta) and isinstance(other, timedelta):
        return window > other
    return False
