"""
Extras: add-ons and custom offers on a running order (R17 to R22).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import attrs

from ..commands import (
    BuyAddOn,
    ExpireOffer,
    PayOffer,
    RefuseOffer,
    SendOffer,
    WithdrawOffer,
)
from ..events import (
    AddOnBought,
    DeliveryExtended,
    Event,
    OfferExpired,
    OfferPaid,
    OfferRefused,
    OfferSent,
    OfferWithdrawn,
    PaymentBooked,
)
from ..forms import Narrowing
from ..money import AMOUNT_MAX, Money, Payment
from ..order import BoughtAddOn, Offer
from ..parties import Role
from ..parts import Deadline
from ..refusals import Blocker
from .case import Case, Step, deadline, decides, way

__all__ = ["CHAPTER", "fees_on", "offer_paid", "option_paid"]

# More than anybody reads; a limit on everything that grows.
EXTRAS_MAX = 200


def fees_on(case: Case, price: Money) -> Money:
    """
    Return the fees on top that one more price brings: those on the whole, less
    those on what was bought before.
    """
    fees, work = case.policies.fees, case.order.work
    before, after = fees.on_top(work), fees.on_top(work + price)
    # A host may take less of more: what was paid for already stays as it was.
    return after - min(before, after)


def _extended(
    case: Case, extra: timedelta | None
) -> tuple[tuple[Event, ...], tuple[Deadline, ...], bool | None]:
    """
    Return what the delivery time of an extra does: events, deadlines, lateness.
    """
    if extra is None:
        return (), (), None
    extras = case.policies.extras
    full = extras.extended(case.order.full_window, extra)
    events: tuple[Event, ...] = ()
    if full != case.order.full_window:
        events = (DeliveryExtended(full_window=full),)
    wait = case.order.deadline("delivery")
    if wait is None:
        return events, (), None
    if wait.left is not None:
        left = extras.extended(wait.left, extra)
        return events, (attrs.evolve(wait, left=left),), None
    due_at = extras.moved(
        wait.due_at, now=case.now, extra=extra, time=case.policies.time
    )
    if due_at is None or due_at <= case.now:
        return events, (), None
    if wait.passed and not case.work_owed:
        # Handed over late: the time is there for the next delivery.
        return events, (), None
    return events, deadline("delivery", due_at), False


def _ended(late: bool | None) -> tuple[str, ...]:
    """
    Return what is over for an order that is late no more.
    """
    return () if late is None else ("delay",)


def option_paid(case: Case, add_on: BoughtAddOn, payments: tuple[Payment, ...]) -> Step:
    """
    Return the step that holds the price of an option.
    """
    booked = tuple(
        PaymentBooked(payment=payment, item=add_on.id) for payment in payments
    )
    events, arm, late = _extended(case, add_on.extra_window)
    return Step(events=(*booked, *events), arm=arm, drop=_ended(late), late=late)


def offer_paid(case: Case, offer: Offer, payments: tuple[Payment, ...]) -> Step:
    """
    Return the step that holds the price of an offer; it is taken once (R21).
    """
    booked = tuple(
        PaymentBooked(payment=payment, item=offer.id) for payment in payments
    )
    paid = OfferPaid(offer_id=offer.id, fees=fees_on(case, offer.price))
    events, arm, late = _extended(case, offer.delivery_window)
    return Step(
        events=(*booked, paid, *events),
        arm=arm,
        drop=_ended(late),
        dropped=(offer.id,),
        late=late,
    )


# Room that a unit more, and its fees, never takes up.
_PLENTY: Final = AMOUNT_MAX // 2


def _room(case: Case) -> int:
    """
    Return what the order may still be worth more, in minor units.
    """
    order = case.order
    total = order.price.minor + order.tip.minor + order.fees.minor
    for add_on in order.add_ons:
        total += add_on.price.minor
        if not add_on.paid:
            total += add_on.fees.minor
    for offer in order.offers:
        # What was turned down is no part of it.
        if offer.status in ("open", "paid"):
            total += offer.price.minor
    return max(AMOUNT_MAX - total, 0)


def _too_much(case: Case, price: Money) -> Iterable[Blocker]:
    if (price + fees_on(case, price)).minor > _room(case):
        maximum = Money(AMOUNT_MAX, price.currency)
        yield Blocker(code="order_worth_too_much", params={"maximum": maximum})


def _price(case: Case) -> Iterable[Narrowing]:
    """
    Yield the highest price there may still be: with its fees it fits into the room.
    """
    room, currency = _room(case), case.order.currency
    lowest, highest = 1, room
    # All of it is tried first: without fees it fits.
    middle = highest
    while lowest < highest:
        price = Money(middle, currency)
        if (price + fees_on(case, price)).minor > room:
            highest = middle - 1
        else:
            lowest = middle
        middle = (lowest + highest + 1) // 2
    yield "price", {"maximum": Money(lowest, currency)}


def _payment(case: Case) -> Iterable[Narrowing]:
    """
    Yield which payments there may be: one, of the full price, not counted yet.
    """
    yield "payment", {"maximum": 1}
    yield "payment.amount", {"left_out": True}
    yield "payment.reference", {"excludes": case.order.references}


def _too_many(case: Case) -> Iterable[Blocker]:
    if len(case.order.add_ons) + len(case.order.offers) >= EXTRAS_MAX:
        yield Blocker(code="too_many_extras", params={"maximum": EXTRAS_MAX})


def _payments_fit(
    case: Case, payments: tuple[Payment, ...], due: Money
) -> Iterable[Blocker]:
    """
    Yield what is in the way: an extra is paid whole, by money not counted yet.
    """
    if not payments:
        return
    if any(case.order.counted(payment.reference) for payment in payments):
        yield Blocker(code="payment_counted")
    # A single payment without an amount is the full price.
    if all(payment.amount is not None for payment in payments):
        total = sum(payment.amount.minor for payment in payments if payment.amount)
        if total != due.minor:
            yield Blocker(code="payment_differs", params={"amount": due})


def _whole(payments: tuple[Payment, ...], due: Money) -> tuple[Payment, ...]:
    return tuple(
        payment if payment.amount is not None else attrs.evolve(payment, amount=due)
        for payment in payments
    )


# --- add-ons ----------------------------------------------------------------------


@decides(BuyAddOn)
def buy_add_on(case: Case, command: BuyAddOn) -> Iterable[Step]:
    """
    The price is held with the rest, now or once it is confirmed (R17).
    """
    bought = AddOnBought(
        add_on_id=f"addon-{len(case.order.add_ons) + 1}",
        title=command.title,
        price=command.price,
        fees=fees_on(case, command.price),
        extra_window=command.extra_window,
    )
    yield Step(events=(bought,))
    if command.payment:
        add_on = case.order.add_ons[-1]
        due = add_on.price + add_on.fees
        yield option_paid(case, add_on, _whole(command.payment, due))


@buy_add_on.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _too_many(case)
    if _room(case) < _PLENTY:
        yield from _too_much(case, Money(1, case.order.currency))
    if not case.order.terms.add_ons:
        yield Blocker(code="add_ons_not_sold")


@buy_add_on.given
def _(case: Case) -> Iterable[Narrowing]:
    yield from _price(case)
    yield from _payment(case)


@buy_add_on.within
def _(case: Case, command: BuyAddOn) -> Iterable[Blocker]:
    yield from _too_much(case, command.price)
    due = command.price + fees_on(case, command.price)
    yield from _payments_fit(case, command.payment, due)


# --- custom offers ----------------------------------------------------------------


@decides(SendOffer)
def send_offer(case: Case, command: SendOffer) -> Iterable[Step]:
    """
    It stands for a while (R18, R19).
    """
    offer_id = f"offer-{len(case.order.offers) + 1}"
    ends = case.end(case.policies.extras.offer_window)
    yield Step(
        events=(
            OfferSent(
                offer_id=offer_id,
                title=command.title,
                price=command.price,
                delivery_window=command.delivery_window,
            ),
        ),
        arm=deadline("offer", ends, offer_id),
    )


@send_offer.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _too_many(case)
    if _room(case) < _PLENTY:
        yield from _too_much(case, Money(1, case.order.currency))
    if not case.order.terms.offers:
        # R22: whether a seller may is the host's matter, said in the terms.
        yield Blocker(code="offers_not_taken")


@send_offer.given
def _(case: Case) -> Iterable[Narrowing]:
    yield from _price(case)


@send_offer.within
def _(case: Case, command: SendOffer) -> Iterable[Blocker]:
    yield from _too_much(case, command.price)


_NONE_EVER: Final = Blocker(code="no_open_offer")
_NO_OPEN_OFFER: Final = attrs.evolve(
    _NONE_EVER, unblocked_by=way(SendOffer, Role.SELLER)
)


def _no_open_offer(case: Case) -> Iterable[Blocker]:
    if not any(offer.status == "open" for offer in case.order.offers):
        # Offers outlive the states in which the seller may send one.
        here = case.process.row(case.order.state, SendOffer, Role.SELLER)
        yield _NO_OPEN_OFFER if here else _NONE_EVER


def _not_open(
    case: Case, command: PayOffer | RefuseOffer | WithdrawOffer
) -> Iterable[Blocker]:
    offer = case.order.offer(command.offer_id)
    if offer is None:
        yield Blocker(code="no_such_offer", params={"offer": command.offer_id})
    elif offer.status != "open":
        yield Blocker(
            code="offer_closed",
            params={"offer": offer.id, "status": offer.status},
        )


@decides(WithdrawOffer)
def withdraw_offer(case: Case, command: WithdrawOffer) -> Iterable[Step]:
    """
    Gone for good (R20).
    """
    yield Step(
        events=(OfferWithdrawn(offer_id=command.offer_id),),
        dropped=(command.offer_id,),
    )


@decides(RefuseOffer)
def refuse_offer(case: Case, command: RefuseOffer) -> Iterable[Step]:
    """
    Gone for good (R20).
    """
    yield Step(
        events=(OfferRefused(offer_id=command.offer_id),),
        dropped=(command.offer_id,),
    )


@decides(PayOffer)
def pay_offer(case: Case, command: PayOffer) -> Iterable[Step]:
    """
    Taken once it is paid, and only once (R21).
    """
    offer = case.order.offer(command.offer_id)
    if offer is not None and command.payment:
        due = offer.price + fees_on(case, offer.price)
        yield offer_paid(case, offer, _whole(command.payment, due))


def _open(case: Case) -> Iterable[Narrowing]:
    offers = (offer.id for offer in case.order.offers if offer.status == "open")
    yield "offer_id", {"choices": tuple(offers)}


@pay_offer.given
def _(case: Case) -> Iterable[Narrowing]:
    yield from _open(case)
    yield from _payment(case)


@pay_offer.within
def _(case: Case, command: PayOffer) -> Iterable[Blocker]:
    yield from _not_open(case, command)
    offer = case.order.offer(command.offer_id)
    if offer is not None:
        due = offer.price + fees_on(case, offer.price)
        yield from _payments_fit(case, command.payment, due)


for decision in (withdraw_offer, refuse_offer, pay_offer):
    decision.unless(_no_open_offer)
withdraw_offer.given(_open)
refuse_offer.given(_open)
withdraw_offer.within(_not_open)
refuse_offer.within(_not_open)


@decides(ExpireOffer)
def expire_offer(case: Case, command: ExpireOffer) -> Iterable[Step]:
    """
    Not answered (R19).
    """
    yield Step(events=(OfferExpired(offer_id=command.offer_id),))


CHAPTER = (
    buy_add_on,
    send_offer,
    withdraw_offer,
    refuse_offer,
    pay_offer,
    expire_offer,
)
