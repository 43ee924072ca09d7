"""
Migration: moving a running order to other rules, and what stands against it.

An order stays on the rules it was placed under.  Whoever moves it must not take from a
party what that party relied on: no window may become shorter, no way out may close and
no part of the money may shrink, unless the party whose it is has consented.

What was agreed on the order itself stays as it is: its terms, what was charged, and
every deadline that runs.  Other rules count from the next step on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import Months, Window, window_text
from ..events import OrderMigrated
from ..money import Share
from ..order import Order
from ..parties import Actor, Role
from ..parts import Deadline
from ..policies import Alone, ByConsent, Right, Situation
from ..refusals import Blocker
from ..rules import Policies
from ..states import BACK, STAY, Process
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
            *_lost(process, order, to, consents),
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
    case = Case(process=process, order=order, by=by, now=now, recorded_at=now)
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


def _cells(process: _Process) -> frozenset[str]:
    """
    Return who may send what where, of the rows that the policies open.
    """
    return frozenset(
        f"{state} {command.name} {role.text}"
        for (state, command), rows in process.by_cell.items()
        for row in rows
        if row.opened_by(process.policies)
        for role in row.by
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
        if not here:
            yield Blocker(code="deadline_unknown_there", params={"deadline": wait.name})


# --- what somebody would lose -----------------------------------------------------


def _lost(
    process: _Process, order: Order, to: _Process, consents: Role
) -> Iterator[Blocker]:
    """
    Yield what a party would lose that has not consented.
    """
    found: dict[Blocker, None] = {}
    reached = _reached(process, order)
    for role in _PARTIES:
        if role in consents:
            continue
        losses = (
            *_ways(process, to, role, reached),
            *_rights(process, to, role, reached),
            *_revisions(process.policies, to.policies, role, order),
            *_windows(process.policies, to.policies, role, order),
            *_shares(process.policies, to.policies, role, order),
        )
        found.update(dict.fromkeys(losses))
    yield from found


def _reached(process: _Process, order: Order) -> frozenset[str]:
    """
    Return the states that an order may still come to, its own included.
    """
    state = str(order.state)
    left = {str(one) for one in order.standing.left}
    seen, todo = {state}, [state]
    while todo:
        here = todo.pop()
        for (source, _), rows in process.by_cell.items():
            if source != here:
                continue
            for row in rows:
                for to in row.to.values():
                    if to is STAY:
                        continue
                    # Back is where it was called away from: now, or on its way.
                    places = left if to is BACK else {str(to)}
                    new = places - seen
                    seen |= new
                    todo += new
    return frozenset(seen)


def _ways(
    process: _Process, to: _Process, role: Role, reached: frozenset[str]
) -> Iterator[Blocker]:
    """
    Yield what a party could send, and could not any more.
    """
    for (state, command), rows in process.by_cell.items():
        if state not in reached:
            continue
        open_ = any(role in row.by and row.opened_by(process.policies) for row in rows)
        there = to.row(state, command, role) if state in to.members else None
        if open_ and (there is None or not there.opened_by(to.policies)):
            yield _closed(role, command.name, state)


def _closed(role: Role, command: str, state: str) -> Blocker:
    return Blocker(
        code="way_out_closed",
        params={"role": role.text, "command": command, "state": state},
    )


def _rights(
    process: _Process, to: _Process, role: Role, reached: frozenset[str]
) -> Iterator[Blocker]:
    """
    Yield the rights that a party would have no more.
    """
    before, after = process.policies, to.policies
    for state in sorted(reached):
        for late in (False, True):
            for delivered in (False, True):
                asked = Situation(
                    state=state, role=role, late=late, delivered=delivered
                )
                if process.row(state, _command(process, "cancel_order"), role):
                    old = before.cancellation.cancel(asked)
                    new = after.cancellation.cancel(asked)
                    if _less(old, new, role):
                        yield _closed(role, "cancel_order", state)
                if process.row(state, _command(process, "request_cancellation"), role):
                    old = before.cancellation.request(asked)
                    new = after.cancellation.request(asked)
                    if _less(old, new, role):
                        yield _closed(role, "request_cancellation", state)
    if role is Role.BUYER:
        for trigger, command in _COMPLETES.items():
            if before.completion.completes(trigger) and not after.completion.completes(
                trigger
            ):
                yield _closed(role, command, "delivered")
        for route in _ROUTES:
            if before.dispute.direct(route) and not after.dispute.direct(route):
                yield _closed(role, "open_dispute", _ROUTES[route])
    if before.dispute.may_open(role) and not after.dispute.may_open(role):
        yield _closed(role, "open_dispute", "in_progress")
    if before.partial_refunds.proposals and not after.partial_refunds.proposals:
        yield _closed(role, "propose_partial_refund", "in_progress")


def _revisions(
    before: Policies, after: Policies, role: Role, order: Order
) -> Iterator[Blocker]:
    """
    Yield whether the buyer could ask for changes less often, or call a mediator later.
    """
    agreed = order.terms.revisions
    if role is not Role.BUYER or agreed is None:
        return
    worth = {"within": 2, "over": 1, "refused": 0}
    last = order.revisions_used + 1 if agreed == "unlimited" else agreed
    for used in range(order.revisions_used, last + 1):
        old, new = (
            p.revision.request(used=used, agreed=agreed) for p in (before, after)
        )
        if worth[new] < worth[old]:
            yield _closed(role, "request_revision", "delivered")
            break
    refusals = range(1, 1 + _REFUSALS)
    if any(
        before.revision.disputes_after(n) and not after.revision.disputes_after(n)
        for n in refusals
    ):
        yield _closed(role, "open_dispute", "revision_refused")


# More refusals than any rule waits for.
_REFUSALS: Final = 10

# What completes an order, and the ways into a dispute, with where each begins.
_COMPLETES: Final = {"approve": "approve_delivery", "review": "leave_review"}
_ROUTES: Final = {
    "cancellation_unanswered": "cancellation_requested",
    "revision_unanswered": "revision_requested",
    "revision_refused": "revision_refused",
}


def _command(process: _Process, name: str) -> Any:
    return process.commands.get(name)


def _less(old: Right, new: Right, role: Role) -> bool:
    """
    Whether a right is worth less to the one who has it.
    """
    worth = {Alone: 2, ByConsent: 1}
    before, after = worth.get(type(old), 0), worth.get(type(new), 0)
    if isinstance(old, Alone) and isinstance(new, Alone):
        # What the seller keeps of the work, the buyer does not get back.
        kept_before, kept_after = map(_part, (old.to_seller, new.to_seller))
        if role is Role.BUYER:
            return kept_after > kept_before
        return kept_after < kept_before
    return after < before


def _part(share: Share) -> Fraction:
    return Fraction(share.numerator, share.denominator)


# Whose window it is, by its name.
_WINDOWS: Final[Mapping[str, Role]] = {
    "cancellation.answer_window": Role.SELLER,
    "revision.answer_window": Role.SELLER,
    "revision.choice_window": Role.BUYER,
    "extras.offer_window": Role.BUYER,
    "reviews.review_window": Role.BUYER,
    "lifetime.order_cap": Role.BUYER | Role.SELLER,
    "lifetime.cap_grace": Role.BUYER | Role.SELLER,
}


def _windows(
    before: Policies, after: Policies, role: Role, order: Order
) -> Iterator[Blocker]:
    """
    Yield the windows that would be shorter.
    """
    for rule, owners in _WINDOWS.items():
        if role not in owners:
            continue
        subject, name = rule.split(".")
        old = getattr(getattr(before, subject), name, None)
        new = getattr(getattr(after, subject), name, None)
        if new is not None and (old is None or _length(new) < _length(old)):
            yield _shorter(role, rule, old, new)
    if order.paid_at is None:
        old, new = before.lifetime.payment_window, after.lifetime.payment_window
        if role is Role.BUYER and new < old:
            yield _shorter(role, "lifetime.payment_window", old, new)
    yield from _talks(before, after, role, order)


def _talks(
    before: Policies, after: Policies, role: Role, order: Order
) -> Iterator[Blocker]:
    """
    Yield whether the conversation would close earlier, once the order has ended.
    """
    ended_at = order.closed_at or order.effective_at
    for completed in (False, True):
        closes = [
            policies.conversation.closes_at(
                completed=completed,
                ended_at=ended_at,
                delivered_at=order.delivered_at,
                time=policies.time,
            )
            for policies in (before, after)
        ]
        old, new = closes
        if new is not None and (old is None or new < old):
            ending = "completed" if completed else "cancelled"
            yield Blocker(
                code="window_shortened",
                params={"role": role.text, "rule": f"conversation.chat_after_{ending}"},
            )


def _shorter(role: Role, rule: str, old: Window | None, new: Window) -> Blocker:
    return Blocker(
        code="window_shortened",
        params={
            "role": role.text,
            "rule": rule,
            "before": None if old is None else window_text(old),
            "after": window_text(new),
        },
    )


def _length(window: Window) -> timedelta:
    # Only to compare: no month is shorter than another by more than it counts here.
    return timedelta(days=30) * window.count if isinstance(window, Months) else window


def _shares(
    before: Policies, after: Policies, role: Role, order: Order
) -> Iterator[Blocker]:
    """
    Yield the money that would be less.
    """
    work = order.work
    if role is Role.SELLER and after.fees.of_seller(work) > before.fees.of_seller(work):
        yield _dearer(role, "fees.seller_fee")
    if role is Role.BUYER:
        if after.fees.borne_by_buyer(work) > before.fees.borne_by_buyer(work):
            yield _dearer(role, "fees.buyer_bears")
        held, fees = order.ledger.held, order.fees
        caps = [
            policies.partial_refunds.cap(held=held, fees=fees)
            for policies in (before, after)
        ]
        if caps[1] < caps[0]:
            yield _dearer(role, "partial_refunds.partial_refund_base")
    if order.deadline("lifetime") is not None:
        old, new = (p.lifetime.expiry_beneficiary for p in (before, after))
        if old == role.text != new:
            yield _dearer(role, "lifetime.expiry_beneficiary")


def _dearer(role: Role, rule: str) -> Blocker:
    return Blocker(code="money_lessened", params={"role": role.text, "rule": rule})
