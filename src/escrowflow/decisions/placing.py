"""
Placing an order, paying for it, and the brief (R2 to R8).

Money that arrived is never refused into nowhere: what is owed is held, and
anything else is booked and goes back whole, in any state.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..commands import (
    Command,
    ConfirmPayment,
    ExpirePayment,
    PayOffer,
    PlaceOrder,
    SendMessage,
    SubmitBrief,
)
from ..errors import InvalidInputError
from ..events import BriefSubmitted, Event, OrderPaid, PaymentBooked
from ..forms import Narrowing
from ..money import Money, Payment
from ..order import Order
from ..parts import Deadline
from ..refusals import Blocker
from .case import Case, Step, deadline, decides, reminders, way
from .charging import (
    arrived,
    held,
    not_takeable,
    returned_payment,
    takes_holds,
    too_much,
)
from .extras import fees_on, offer_paid, option_paid
from .settlement import cancelled

__all__ = ["CHAPTER", "owed", "resolved", "return_payments"]


def owed(case: Case, command: Command) -> Money | None:
    """
    Return the full price, fees included, of what a command pays for.

    `None` if nobody can know, because there is no such thing.
    """
    order = case.order
    if isinstance(command, PlaceOrder):
        return order.charge
    if isinstance(command, ConfirmPayment):
        if command.item == "order":
            return order.charge
        add_on = order.add_on(command.item)
        if add_on is not None:
            return add_on.price + add_on.fees
        return _offered(case, command.item)
    if isinstance(command, PayOffer):
        return _offered(case, command.offer_id)
    price = getattr(command, "price", None)
    return price + fees_on(case, price) if isinstance(price, Money) else None


def _offered(case: Case, offer_id: str) -> Money | None:
    offer = case.order.offer(offer_id)
    if offer is None:
        return None
    if offer.status == "paid":
        # Fees follow what was bought since: this is what they were.
        paid = (one for one in case.order.payments if one.item == offer.id)
        return total(one.payment for one in paid if not one.returned)
    return offer.price + fees_on(case, offer.price)


def resolved(case: Case, command: Command) -> tuple[Payment, ...]:
    """
    Return the payments of a command, each with its amount.

    Raises:
        InvalidInputError: If an amount is open and nobody can know it.
    """
    payments: tuple[Payment, ...] = getattr(command, "payment", ())
    if len(payments) != 1 or payments[0].amount is not None:
        return payments
    amount = owed(case, command)
    if amount is None:
        raise InvalidInputError(
            "payment.amount", "there is nothing with this id to take the price from"
        )
    return (attrs.evolve(payments[0], amount=amount),)


def total(payments: Iterable[Payment]) -> Money | None:
    """
    Return what several payments add up to; `None` for none.
    """
    found: Money | None = None
    for payment in payments:
        assert payment.amount is not None
        found = payment.amount if found is None else found + payment.amount
    return found


def return_payments(case: Case, command: Command, why: str) -> None:
    """
    Book the payments of a refused command and give them back whole (idea 8).
    """
    item = getattr(command, "item", "") or getattr(command, "offer_id", "")
    for payment in resolved(case, command):
        if payment.held_until is not None and not takes_holds(case):
            continue
        if not case.order.counted(payment.reference):
            case.record(returned_payment(case, payment, str(item) or command.name, why))


# --- the order itself -------------------------------------------------------------


@decides(PlaceOrder)
def place_order(case: Case, command: PlaceOrder) -> Iterable[Step]:
    """
    The order exists already, unpaid: book what came with the command (R2).
    """
    for payment in resolved(case, command):
        yield from _book(case, payment)


@place_order.within
def _(case: Case, command: PlaceOrder) -> Iterable[Blocker]:
    base = command.price
    for add_on in command.add_ons:
        base = base + add_on.price
    share = case.policies.extras.tip_max
    # Rounded down: a cap is never exceeded.
    cap = Money(base.minor * share.numerator // share.denominator, base.currency)
    if command.tip is not None and command.tip > cap:
        # R4: at most so much of service and options.
        yield Blocker(code="tip_above_cap", params={"maximum": cap})
    payments = resolved(case, command)
    for payment in payments:
        yield from not_takeable(case, payment)
    paid = total(payments)
    if paid is not None and paid > case.order.charge:
        yield Blocker(
            code="payment_exceeds_price", params={"maximum": case.order.charge}
        )


@decides(ConfirmPayment)
def confirm_payment(case: Case, command: ConfirmPayment) -> Iterable[Step]:
    """
    Hold what is owed; give anything else back whole.
    """
    (payment,) = resolved(case, command)
    order = case.order
    hold = order.hold(payment.reference)
    amount = payment.amount
    assert amount is not None
    if hold is not None and payment.held_until is None:
        # What the bank held is here: whoever charged it.
        yield from arrived(case, hold, amount)
        return
    if order.counted(payment.reference):
        # A webhook that came twice.  The money came once.
        return
    ended = case.process.ended(order.state)
    why = next((one.code for one in not_takeable(case, payment)), "")
    if command.item == "order":
        if (
            not ended
            and order.paid_at is None
            and amount <= order.amount_due
            and not why
        ):
            yield from _book(case, payment)
            return
    elif not ended:
        add_on = order.add_on(command.item)
        if add_on is not None and not add_on.paid and amount == owed(case, command):
            yield option_paid(case, add_on, (payment,))
            return
        offer = order.offer(command.item)
        payable = case.process.roles(order.state, PayOffer)
        if (
            offer is not None
            and offer.status == "open"
            and payable
            and amount == owed(case, command)
        ):
            yield offer_paid(case, offer, (payment,))
            return
    yield Step(
        events=(returned_payment(case, payment, command.item, why or "not_owed"),)
    )


@confirm_payment.given
def _(case: Case) -> Iterable[Narrowing]:
    order = case.order
    items = ("order", *(a.id for a in order.add_ons), *(o.id for o in order.offers))
    yield "item", {"choices": items}
    yield "payment.reference", {"excludes": order.references}
    yield "payment.held_until", {"left_out": True}


@confirm_payment.within
def _(case: Case, command: ConfirmPayment) -> Iterable[Blocker]:
    (payment,) = resolved(case, command)
    hold = case.order.hold(payment.reference)
    if payment.held_until is not None and not takes_holds(case):
        # It is no money, and nobody asked for it: whoever has it held lets it go.
        yield Blocker(code="holds_not_taken")
    elif hold is not None and hold.status != "charged" and payment.held_until is None:
        # Of what is held a part may be charged.
        yield from too_much(hold, payment.amount)
    else:
        yield from _differs(case.order, payment)


def _differs(order: Order, payment: Payment) -> Iterable[Blocker]:
    """
    Yield that another amount came under this reference: a reference counts once, so
    what is said of it later must be the same (F43, F44).
    """
    known = order.payment(payment.reference) or order.hold(payment.reference)
    if known is not None and payment.amount != known.amount:
        yield Blocker(
            code="amount_differs",
            params={"amount": payment.amount, "expected": known.amount},
        )


def _book(case: Case, payment: Payment) -> Iterable[Step]:
    """
    Hold a payment for the order; once all is held, the seller may accept.
    """
    amount = payment.amount
    assert amount is not None
    booked: Event = PaymentBooked(payment=payment, item="order")
    ends: tuple[Deadline, ...] = ()
    if payment.held_until is not None:
        booked, ends = held(case, payment)
    if amount < case.order.amount_due:
        yield Step(events=(booked,), via=ConfirmPayment, arm=ends)
        return
    yield Step(
        events=(booked, OrderPaid()),
        outcome="paid",
        via=ConfirmPayment,
        arm=(*_pending(case, case.order), *ends),
    )


def _pending(case: Case, order: Order) -> tuple[Deadline, ...]:
    """
    Return the waits of a paid order: acceptance, its reminders, the order's cap.
    """
    policies = case.policies
    window = order.terms.acceptance_window
    assert window is not None
    ends = case.after(window)
    waits = list(deadline("acceptance", ends))
    if order.brief is None:
        waits += reminders(
            case, "acceptance_reminder", policies.acceptance.reminders, ends
        )
    cap = policies.lifetime.order_cap
    if cap is not None:
        # Months and days of a lifetime are counted from the payment (R3).
        waits += deadline("lifetime", policies.time.end(case.now, cap))
    return tuple(waits)


@decides(ExpirePayment)
def expire_payment(case: Case, command: ExpirePayment) -> Iterable[Step]:
    """
    Not paid in time: whatever was held goes back.
    """
    yield cancelled(case, cause="payment_expired", trigger=command.name)


@decides(SubmitBrief)
def submit_brief(case: Case, command: SubmitBrief) -> Iterable[Step]:
    """
    The window keeps running; reminders of the brief are over (R7, R8).
    """
    yield Step(
        events=(BriefSubmitted(text=command.text, files=command.files),),
        drop=("acceptance_reminder", "brief"),
    )


@submit_brief.unless
def _(case: Case) -> Iterable[Blocker]:
    order = case.order
    if order.accepted_at is not None and not order.brief_owed:
        # What is agreed on is not exchanged for something else.
        yield Blocker(
            code="brief_not_owed", unblocked_by=way(SendMessage, case.by.role)
        )


CHAPTER = (place_order, confirm_payment, expire_payment, submit_brief)
