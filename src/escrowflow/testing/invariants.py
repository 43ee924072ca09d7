"""
Invariants: what must hold of every order, whatever happened to it (I1 to I34 of
docs/explanation/design.md).

    check_history(process, engine.history(order_id))
    check_effects(engine, order_id)

Everything is worked out from the history alone, and not by the code that it judges.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import Any, Final

import attrs

from ..engine import Engine
from ..events import MediatorAssigned, OrderPlaced, Recorded
from ..history import evolve
from ..ledger import ACCOUNTS
from ..money import AMOUNT_MAX, Money
from ..order import Order
from ..parties import Buyer, Role
from ..rules import Policies
from ..states import Process
from ..storage.codec import decode_order

__all__ = ["check_effects", "check_history", "check_money"]

# What may have become of money that is owed.
_STATUSES: Final = frozenset({"owed", "sent", "paid", "failed", "covered"})


def check_history(process: Process[Policies], history: tuple[Recorded, ...]) -> None:
    """
    Hold the invariants against the whole history of an order: what was recorded adds
    up, was allowed to whoever did it, and came before what was due.

    Raises:
        AssertionError: If one of them does not hold.
    """
    time = process.policies.time
    order: Order | None = None
    settled, currency = 0, ""
    for number, recorded in enumerate(history, 1):
        event = recorded.event
        # I13: numbers without a gap, instants that never decrease.
        assert recorded.seq == number
        assert recorded.effective_at <= recorded.recorded_at
        if order is None:
            assert isinstance(event, OrderPlaced)
            assert event.buyer_id != event.seller_id  # I20
            assert recorded.by == Buyer(event.buyer_id)
            currency = event.price.currency
        else:
            assert recorded.effective_at >= order.effective_at
            assert recorded.recorded_at >= order.recorded_at
            _check_actor(order, recorded)
            if recorded.by.role is not Role.SYSTEM:
                # I21: a person acts before whatever was running came due.
                for wait in order.deadlines:
                    assert recorded.effective_at < time.armed_at(wait.due_at)
        _check_amounts(event, currency)
        before = order
        order = evolve(order, recorded)
        check_money(order)
        if before is not None and before.ending is not None:
            assert order.ledger.escrow == 0
            assert order.state == before.state
        if event.settles:
            # I4: once, and exactly what was held.
            settled += 1
            assert before is not None
            settlement: Any = getattr(event, "settlement")  # noqa: B009
            parts = sum(part.amount.minor for part in settlement.to_buyer)
            parts += settlement.to_seller.minor + settlement.kept.minor
            assert parts == before.ledger.escrow
    assert order is not None
    assert settled == (1 if process.ended(order.state) else 0)
    assert (order.ending is not None) == bool(settled)
    if settled:
        assert not order.ledger.held
    assert order.mediator_id not in (order.buyer_id, order.seller_id)
    owed = Counter(payment.reference for payment in order.payments)
    assert not [reference for reference, times in owed.items() if times > 1]


def check_money(order: Order) -> None:
    """
    Hold the books of an order against everything that it owes and is missing.

    Raises:
        AssertionError: If they do not add up.
    """
    _check_books(order)
    # By payment: what banks have taken for good, and what is owed or paid back.
    gone: dict[str, int] = {}
    taken = back = missing = paid_back = paid_out = 0
    for one in order.chargebacks:
        left = one.amount if one.lost is None else one.lost
        covered = one.covered.minor
        assert one.covered <= left
        missing += left.minor - covered
        taken += covered
        reference = one.payment_reference
        gone[reference] = gone.get(reference, 0) + covered
    for refund in order.refunds:
        assert refund.status in _STATUSES
        amount = refund.amount.minor
        if refund.status != "covered":
            back += amount
            reference = refund.payment.reference
            gone[reference] = gone.get(reference, 0) + amount
        if refund.status == "paid":
            paid_back += amount
    for payout in order.payouts:
        assert payout.status in _STATUSES
        if payout.status == "paid":
            paid_out += payout.amount.minor
    # I34: what banks took is missing, until it is given back or somebody bears it; and
    # nobody gets a payment back twice.
    books = order.ledger
    assert books.receivable == -missing
    refunded = 0
    for payment in order.payments:
        returned = payment.refunded.minor
        assert gone.get(payment.reference, 0) == returned
        assert returned <= payment.amount.minor
        refunded += returned
    assert refunded == books.refundable + books.buyer
    assert refunded == taken + back
    assert books.seller == paid_out
    assert books.buyer == paid_back + taken


def _check_actor(order: Order, recorded: Recorded) -> None:
    """
    I19: whoever acted had that part in the order, at that moment.
    """
    by = recorded.by
    if by.role in Role.OPERATOR | Role.PROVIDER | Role.SYSTEM:
        return
    if isinstance(recorded.event, MediatorAssigned) and by.role is Role.MEDIATOR:
        assert order.mediator_id is None
        assert recorded.event.mediator_id == by.id
        assert not order.role_of(by.id)
        return
    assert by.role in order.role_of(by.id)


# All but those of the world outside.
_OWN_ACCOUNTS: Final = attrgetter(*ACCOUNTS[2:])


def _check_books(order: Order) -> None:
    """
    I1: the ledger adds up, no account is negative, and the four are what came in.
    """
    books = order.ledger
    assert books.adds_up()
    assert min(_OWN_ACCOUNTS(books)) >= 0
    assert books.external <= 0
    assert books.receivable <= 0
    back, out = books.refundable + books.buyer, books.payable + books.seller
    paid_in = sum(payment.amount.minor for payment in order.payments)
    assert books.escrow + back + out + books.fee == paid_in == books.paid_in.minor


def _check_amounts(value: Any, currency: str) -> None:
    """
    I25: whole minor units of one currency, in range, wherever money is.
    """
    if isinstance(value, Money):
        assert type(value.minor) is int
        assert 0 <= value.minor <= AMOUNT_MAX
        assert value.currency == currency
    elif isinstance(value, tuple):
        for item in value:
            _check_amounts(item, currency)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            _check_amounts(getattr(value, field.name), currency)


def check_effects(engine: Engine, order_id: str) -> None:
    """
    Hold the outbox against the order: what is owed was asked for, once.

    Raises:
        AssertionError: If something was not asked for, twice, or of another amount.
    """
    order = engine.order(order_id)
    effects = [status.effect for status in engine.effects(order_id)]
    assert len({effect.key for effect in effects}) == len(effects)
    recorded = decode_order(
        engine.storage.load(order_id).snapshot, engine.storage.load(order_id).texts
    )
    money: list[Any] = [effect for effect in effects if effect.moves_money]
    asked = {effect.key: effect.amount for effect in money}
    owing: list[Any] = [*recorded.refunds, *recorded.payouts]
    for owed in owing:
        assert asked[owed.key] == owed.amount
    assert len({owed.key for owed in owing}) == len(owing)
    assert order.ledger.paid_in == recorded.ledger.paid_in
