"""
Authorise first, charge later: what the buyer's bank holds until the seller accepts
(F37, I11).

- A hold pays for the order, so that the seller may accept; then it is charged, and
  he begins once the money is here.  Nobody works for money that is not.
- The end of a hold is a deadline of the order.
- Money that is charged all the same goes back whole.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..commands import ExpireHold, ReportCharge
from ..events import (
    ChargeFailed,
    ChargePaid,
    ChargeSent,
    HoldReleased,
    OrderAccepted,
    PaymentHeld,
    PaymentReturned,
)
from ..money import Money, Payment
from ..order import Hold, Order
from ..parties import Role
from ..parts import Deadline
from ..refusals import Blocker
from .case import Case, Step, deadline, decides
from .reports import (
    AGAIN_MAX,
    given_up,
    later_keys,
    next_key,
    reported_differs,
    reported_on,
)
from .settlement import cancelled, estimate

__all__ = [
    "CHAPTER",
    "arrived",
    "held",
    "holds",
    "not_charged",
    "not_takeable",
    "returned_payment",
    "takes_holds",
    "too_much",
    "under_way",
    "work_begins",
]


def holds(order: Order) -> tuple[Hold, ...]:
    """
    Return what a bank holds, and what of it is being charged.
    """
    return tuple(hold for hold in order.holds if hold.open)


def under_way(case: Case) -> Iterable[Blocker]:
    """
    Yield what is in the way of everything that must wait for a charge.
    """
    if any(hold.under_way for hold in case.order.holds):
        yield Blocker(code="charge_under_way")


def not_charged(case: Case) -> Iterable[Blocker]:
    """
    Yield what is in the way of dividing money that is not here.
    """
    if holds(case.order):
        yield Blocker(code="hold_not_charged")


def takes_holds(case: Case) -> bool:
    """
    Whether a bank may hold the money until the seller accepts.
    """
    return case.policies.acceptance.charge_at == "acceptance"


def not_takeable(case: Case, payment: Payment) -> Iterable[Blocker]:
    """
    Yield why a hold does not pay for this order.
    """
    if payment.held_until is None:
        return
    if not takes_holds(case):
        yield Blocker(code="holds_not_taken")
    elif payment.held_until <= case.now:
        yield Blocker(code="hold_over", params={"held_until": payment.held_until})


def held(case: Case, payment: Payment) -> tuple[PaymentHeld, tuple[Deadline, ...]]:
    """
    Return what happens when a hold pays for the order, and the wait for its end.
    """
    return PaymentHeld(payment=payment), _ends(
        (*(hold.payment for hold in holds(case.order)), payment)
    )


def _ends(payments: Iterable[Payment]) -> tuple[Deadline, ...]:
    """
    Return the wait for the first hold to end; none if there is none.
    """
    ends = [one.held_until for one in payments if one.held_until is not None]
    return deadline("hold", min(ends)) if ends else ()


def returned_payment(
    case: Case, payment: Payment, item: str, why: str
) -> PaymentReturned | HoldReleased:
    """
    Return how money goes back that was not owed: whole, or let go at once (idea 8).
    """
    if payment.held_until is not None:
        return HoldReleased(payment=payment, item=item, why=why)
    assert payment.amount is not None
    return PaymentReturned(
        refund=estimate(case, payment, payment.amount), item=item, why=why
    )


# --- charging ---------------------------------------------------------------------


def arrived(
    case: Case, hold: Hold, amount: Money | None, reference: str = ""
) -> Iterable[Step]:
    """
    Yield what happens when what the bank held has arrived, or a part of it.

    Args:
        amount: How much arrived; `None` for all of it.

        reference: What the provider calls the charge.
    """
    order = case.order
    if hold.status == "charged":
        return
    came = hold.amount if amount is None else min(amount, hold.amount)
    part = came < hold.amount
    rest = [one for one in holds(order) if one is not hold]
    if part or not hold.open or case.process.ended(order.state):
        # It was let go, or given up, or is not what was agreed (F44).
        payment = attrs.evolve(hold.payment, amount=came, held_until=None)
        back = PaymentReturned(
            refund=estimate(case, payment, came),
            item="order",
            why="amount_differs" if part else "not_owed",
            key=hold.key,
        )
        if not hold.open or case.process.ended(order.state):
            yield Step(events=(back,), via=ReportCharge)
        else:
            yield from _gone(case, back, rest)
        return
    paid = ChargePaid(
        payment_reference=hold.payment.reference, key=hold.key, reference=reference
    )
    if hold.under_way and not rest:
        yield Step(
            events=(paid, OrderAccepted()),
            outcome="accepted",
            via=ReportCharge,
            arm=work_begins(case),
        )
        return
    yield _without(case, paid, rest)


def work_begins(case: Case) -> tuple[Deadline, ...]:
    """
    Return the waits of an order that is accepted: the delivery, and the brief that the
    buyer owes, where that ends (R5, R9).
    """
    order = case.order
    waits = deadline("delivery", case.end(order.full_window))
    window = case.policies.acceptance.brief_window
    if window is None or not order.brief_owed:
        return waits
    return (*waits, *deadline("brief", case.end(window)))


def _gone(
    case: Case, event: ChargeFailed | PaymentReturned, rest: list[Hold]
) -> Iterable[Step]:
    """
    Yield what happens when a hold does not pay for the order any more.
    """
    if case.order.paid_at is None:
        # It may be paid in another way, for as long as there is time to pay.
        yield _without(case, event, rest)
        return
    step = cancelled(
        case,
        event,
        cause="charge_failed",
        trigger=ReportCharge.name,
        responsible=Role.BUYER,
        outcome="cancelled",
    )
    yield attrs.evolve(step, via=ReportCharge)


def _without(
    case: Case, event: ChargePaid | ChargeFailed | PaymentReturned, rest: list[Hold]
) -> Step:
    """
    Return the step after which the bank holds less; nothing else moves.
    """
    ends = _ends(hold.payment for hold in rest)
    drop = () if ends else ("hold",)
    return Step(events=(event,), via=ReportCharge, arm=ends, drop=drop)


def too_much(hold: Hold, amount: Money | None) -> Iterable[Blocker]:
    """
    Yield why so much cannot have arrived.
    """
    if amount is not None and amount > hold.amount:
        # Whatever is behind it, a human should see it (F44).
        yield Blocker(
            code="amount_differs", params={"amount": amount, "expected": hold.amount}
        )


@decides(ReportCharge)
def report_charge(case: Case, command: ReportCharge) -> Iterable[Step]:
    """
    The seller begins, or the order is over.
    """
    hold = _found(case, command)
    assert hold is not None
    if command.status == "paid":
        yield from arrived(case, hold, command.amount, command.reference)
    elif command.status == "failed":
        yield from _failed(case, hold, command)
    elif hold.status == "asked":
        yield Step(
            events=(
                ChargeSent(
                    payment_reference=hold.payment.reference,
                    key=hold.key,
                    reference=command.reference,
                ),
            )
        )


def _failed(case: Case, hold: Hold, command: ReportCharge) -> Iterable[Step]:
    order = case.order
    if not hold.open:
        return
    ended = case.process.ended(order.state)
    again = command.again and not ended and hold.under_way and hold.epoch < AGAIN_MAX
    failed = ChargeFailed(
        payment_reference=hold.payment.reference,
        key=hold.key,
        next_key=next_key(order, hold) if hold.key else "",
        reason=command.reason,
        again=again,
    )
    if again or ended:
        yield Step(events=(failed,))
    else:
        rest = [one for one in holds(order) if one is not hold]
        yield from _gone(case, failed, rest)


def _found(case: Case, command: ReportCharge) -> Hold | None:
    order = case.order
    found = reported_on(case, order.holds, command)
    if found is not None:
        return found
    if command.status != "paid" and (
        given_up(order, order.holds, command.key)
        or any(command.key in later_keys(order, hold) for hold in order.holds)
    ):
        # Of another key than ours.  What has come has come, under whatever key.
        return None
    return order.hold(command.reference)


@report_charge.unless
def _(case: Case) -> Iterable[Blocker]:
    if not case.order.holds:
        yield Blocker(code="no_hold")


@report_charge.within
def _(case: Case, command: ReportCharge) -> Iterable[Blocker]:
    hold = _found(case, command)
    if command.status == "paid" and hold is not None:
        yield from too_much(hold, command.amount)
    else:
        yield from reported_differs(hold, command)
    if hold is not None and hold.status == "charged" and command.status == "failed":
        # What the bank takes back after it was here is a chargeback.
        yield Blocker(code="charge_was_paid", params={"amount": hold.amount})


@decides(ExpireHold)
def expire_hold(case: Case, command: ExpireHold) -> Iterable[Step]:
    """
    The order is over; a charge that is under way goes back whole, if it was done.
    """
    yield cancelled(case, cause="hold_expired", trigger=command.name)


@expire_hold.unless
def _(case: Case) -> Iterable[Blocker]:
    if not holds(case.order):
        yield Blocker(code="no_hold")


CHAPTER = (report_charge, expire_hold)
