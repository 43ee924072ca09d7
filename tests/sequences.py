"""
Random sequences of everything that moves money, in several currencies: pure decisions,
one after the other, and what must hold after each.
"""

from __future__ import annotations

import random
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import attrs

from escrowflow import commands as c
from escrowflow.clock import as_utc, end_of
from escrowflow.decisions import decide, place, settle
from escrowflow.errors import InvalidInputError
from escrowflow.money import Fee, Money, Payment
from escrowflow.terms import AddOn, FullRefund, PaySeller, Split
from escrowflow.testing.invariants import check_money
from tests.given import ANA, COMEUP, LUC, MIA, OPS, STRIPE, T0, terms

if TYPE_CHECKING:
    from pendulum import DateTime

    from escrowflow.order import Order
    from escrowflow.parties import Actor
    from escrowflow.rules import Policies
    from escrowflow.states import Process

__all__ = ["CURRENCIES", "led"]

# Two decimals, none, three.
CURRENCIES: Final = ("EUR", "JPY", "KWD")


def _fees(currency: str, *borne: str) -> dict[str, Any]:
    return {
        "buyer_fee": Fee(bps=333),
        "seller_fee": Fee(flat=Money(7, currency), bps=1250),
        "bank_fee": Fee(flat=Money(31, currency)),
        "tax": Fee(bps=2000),
        "buyer_bears": frozenset(borne),
    }


_PROCESSES: Final[dict[str, tuple[Process[Policies], ...]]] = {
    currency: (
        COMEUP,
        COMEUP.with_policies(fees=_fees(currency)),
        COMEUP.with_policies(
            fees=_fees(currency, "bank_fee", "tax"),
            partial_refunds={"partial_refund_base": "all"},
            lifetime={"order_cap": "P20D", "expiry_beneficiary": "seller"},
        ),
        COMEUP.with_policies(
            fees=_fees(currency, "bank_fee"),
            acceptance={"charge_at": "acceptance", "acceptance_window": "P6D"},
        ),
    )
    for currency in CURRENCIES
}

# What moves an order on, and what moves money; some more often than others.
_ACTS: Final[tuple[tuple[Actor, type[c.Command]], ...]] = (
    (LUC, c.AcceptOrder),
    (LUC, c.AcceptOrder),
    (LUC, c.DeliverOrder),
    (ANA, c.ApproveDelivery),
    (ANA, c.CancelOrder),
    (LUC, c.CancelOrder),
    (ANA, c.RequestRevision),
    (LUC, c.RefuseRevision),
    (ANA, c.OpenDispute),
    (MIA, c.AssignMediator),
    (MIA, c.RuleDispute),
    (MIA, c.RuleDispute),
    (ANA, c.ProposePartialRefund),
    (LUC, c.AcceptPartialRefund),
    (LUC, c.AcceptPartialRefund),
    (ANA, c.BuyAddOn),
    (LUC, c.SendOffer),
    (ANA, c.PayOffer),
    (STRIPE, c.ConfirmPayment),
    (STRIPE, c.ConfirmPayment),
    (STRIPE, c.ReportRefund),
    (STRIPE, c.ReportRefund),
    (STRIPE, c.ReportPayout),
    (STRIPE, c.ReportPayout),
    (STRIPE, c.ReportChargeback),
    (OPS, c.RedirectPayout),
)

# Where the buyer is charged later, what became of that is told, too.
_ACTS_LATER: Final[tuple[tuple[Actor, type[c.Command]], ...]] = (
    *_ACTS,
    *(((STRIPE, c.ReportCharge),) * 5),
)


# How many sequences go on from one beginning, each in its own way.
_FORKS: Final = 4

_START: Final = as_utc(T0, "start")
_TERMS: Final = terms()


@attrs.frozen
class _Begun:
    """
    An order that is placed, and paid for in parts; a value, so many may go on from it.
    """

    process: Process[Policies]
    order: Order


def led(seed: object, number: int, steps: int = 14) -> int:
    """
    Lead one sequence; return how many of its steps moved something.

    Args:
        seed: Of which row of sequences it is.

        number: Which of them; the same one is the same for ever.
    """
    begun = _begun(seed, number // _FORKS)
    process, order = begun.process, begun.order
    rng = random.Random(f"{seed} {number}")
    later = process.policies.acceptance.charge_at == "acceptance"
    acts = _ACTS_LATER if later else _ACTS
    now = _START
    moved = 0
    for step in range(steps):
        if rng.random() < 0.15:
            now = end_of(now, rng.choice(_PAUSES))
            settled = settle(process, order, now=now, recorded_at=now).order
            if settled is not order:
                check_money(settled)
                order = settled
        by, kind = rng.choice(acts)
        version = order.version
        order = _after(process, order, by, _payload(rng, kind, order, step), now)
        moved += order.version > version
    # Whatever is owed in the end is paid, and nothing is left in between.
    for refund in order.refunds:
        report = c.ReportRefund(key=refund.key, status="paid")
        order = _after(process, order, STRIPE, report, now)
    for payout in order.payouts:
        paid = c.ReportPayout(key=payout.key, status="paid")
        order = _after(process, order, STRIPE, paid, now)
    assert not order.ledger.refundable
    assert not order.ledger.payable
    return moved


_PAUSES: Final = tuple(timedelta(hours=hours) for hours in (1, 30, 200))


@lru_cache(maxsize=1)
def _begun(seed: object, number: int) -> _Begun:
    """
    Place an order, and pay for it.
    """
    rng = random.Random(f"{seed} begins {number}")
    currency = rng.choice(CURRENCIES)
    process = rng.choice(_PROCESSES[currency])
    price = Money(rng.choice([rng.randint(1, 99), rng.randint(100, 10**7)]), currency)
    placed: Any = place(
        process,
        c.PlaceOrder(
            seller_id="luc",
            price=price,
            payment=None,
            tip=Money(price.minor // 6, currency) if price.minor > 6 else None,
            add_ons=(AddOn(title="More", price=Money(rng.randint(1, 500), currency)),)
            if rng.random() < 0.3
            else (),
            terms=_TERMS,
        ),
        by=ANA,
        order_id="o1",
        now=_START,
    )
    order: Order = placed.order
    later = process.policies.acceptance.charge_at == "acceptance"
    for place_, payment in enumerate(_parts(rng, order.charge)):
        until = None
        if later and rng.random() < 0.7:
            until = end_of(_START, timedelta(days=rng.choice([1, 4, 30])))
        confirm = c.ConfirmPayment(
            payment=attrs.evolve(payment, reference=f"p{place_}", held_until=until)
        )
        order = _after(process, order, STRIPE, confirm, _START)
    return _Begun(process, order)


def _after(
    process: Process[Policies],
    order: Order,
    by: Actor,
    command: c.Command | None,
    now: DateTime,
) -> Order:
    """
    Return an order after a command, or after its refusal; what must hold, holds.
    """
    if command is None:
        return order
    try:
        answer = decide(process, order, command, by=by, now=now)
    except InvalidInputError:
        # A payment of a thing that nobody knows must name its amount.
        return order
    assert answer.order is not None
    if answer.order is not order:
        check_money(answer.order)
    return answer.order


def _parts(rng: random.Random, whole: Money) -> list[Payment]:
    """
    Return payments that add up to what is owed.
    """
    methods = rng.choices(["card", "paypal", "wallet"], k=rng.choice([1, 1, 2, 3]))
    parts = []
    left = whole
    for method in methods[1:]:
        if left.minor > 1:
            part = Money(rng.randint(1, left.minor - 1), whole.currency)
            parts.append(Payment(method, "p", part))
            left = left - part
    return [*parts, Payment(methods[0], "p", left)]


def _payload(
    rng: random.Random, kind: type[c.Command], order: Order, step: int
) -> c.Command | None:
    """
    Return a command about the money there is; `None` if there is none.
    """
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain
    currency = order.currency
    reason = "because"
    if kind is c.SendOffer:
        return c.SendOffer(title="More", price=Money(rng.randint(1, 999), currency))
    if kind is c.ReportChargeback:
        taken = rng.choice(order.payments) if order.payments else None
        return taken and c.ReportChargeback(
            chargeback_id=f"d{rng.randrange(2)}",
            payment_reference=taken.reference,
            status=rng.choice(c.reports.CHARGEBACK_STATUSES),
            amount=rng.choice([None, Money(max(taken.amount.minor // 2, 1), currency)]),
        )
    if kind is c.ReportCharge:
        hold = rng.choice(order.holds) if order.holds else None
        return hold and c.ReportCharge(
            reference=hold.payment.reference,
            status=rng.choice(["paid", "paid", *c.reports.REPORT_STATUSES]),
            again=rng.random() < 0.3,
        )
    if kind in (c.ReportRefund, c.ReportPayout, c.RedirectPayout):
        owed: Any = order.refunds if kind is c.ReportRefund else order.payouts
        if not owed:
            return None
        key = rng.choice(owed).key
        if kind is c.RedirectPayout:
            return c.RedirectPayout(key=key, payee_id="heir", reason=reason)
        report: Any = kind
        said: c.Command = report(
            key=key,
            status=rng.choice(c.reports.REPORT_STATUSES),
            again=rng.random() < 0.5,
        )
        return said
    held = order.ledger.escrow
    amount = Money(rng.choice([1, max(held // 3, 1), max(held, 1)]), currency)
    if kind is c.RuleDispute:
        rulings: list[Any] = [FullRefund(), PaySeller(), Split(to_buyer=amount)]
        return c.RuleDispute(ruling=rng.choice(rulings), reason=reason)
    if kind is c.ProposePartialRefund:
        return c.ProposePartialRefund(amount=amount, reason=reason)
    method, reference = rng.choice(["card", "paypal"]), f"x{step}"
    if kind is c.ConfirmPayment:
        items = ["order", *(one.id for one in order.add_ons)]
        items += [one.id for one in order.offers]
        part = Payment(method, reference, rng.choice([None, amount]))
        return c.ConfirmPayment(payment=part, item=rng.choice(items))
    whole = Payment(method, reference)
    if kind is c.BuyAddOn:
        price = Money(rng.randint(1, 999), currency)
        return c.BuyAddOn(title="More", price=price, payment=whole)
    assert kind is c.PayOffer
    if not order.offers:
        return None
    return c.PayOffer(offer_id=order.offers[-1].id, payment=whole)


# What says the same each time.
_PLAIN: Final[dict[type[c.Command], c.Command]] = {
    c.AcceptOrder: c.AcceptOrder(),
    c.DeliverOrder: c.DeliverOrder(note="here"),
    c.ApproveDelivery: c.ApproveDelivery(),
    c.CancelOrder: c.CancelOrder(),
    c.RequestRevision: c.RequestRevision(reason="because"),
    c.RefuseRevision: c.RefuseRevision(reason="because"),
    c.OpenDispute: c.OpenDispute(reason="because"),
    c.AssignMediator: c.AssignMediator(mediator_id="mia"),
    c.AcceptPartialRefund: c.AcceptPartialRefund(),
}
