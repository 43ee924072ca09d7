"""
What became of the money: the provider's reports, chargebacks, and payouts that staff
sends elsewhere (I3, I34).

- What is owed stays owed until somebody says that it was paid.
- What did not happen, for sure, is owed under another key; under the old one nothing
  is ever sent again.
- Nobody is paid twice: while a bank may take a payment back, nothing of it leaves;
  what the bank gave the buyer for good is not owed to him any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, TypeVar

from ..commands import (
    RedirectPayout,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
from ..effects import Charge, Effect, Movement, PayOut, Refund, effect_key
from ..events import (
    ChargebackClosed,
    ChargebackCovered,
    ChargebackOpened,
    Event,
    PayoutFailed,
    PayoutPaid,
    PayoutRedirected,
    PayoutSent,
    RefundFailed,
    RefundPaid,
    RefundSent,
)
from ..inputs import Text
from ..money import Money
from ..order import Chargeback, Hold, Order, OwedPayout, OwedRefund
from ..parties import OUTBOX
from ..parts import Covered
from ..refusals import Blocker
from .case import Case, Step, decides

__all__ = [
    "AGAIN_MAX",
    "CHAPTER",
    "UNSENT",
    "given_up",
    "held_by",
    "later_keys",
    "may_leave",
    "moved",
    "next_key",
    "reported_differs",
    "reported_on",
    "touched",
]

# Money that moves under a key.
Moved: TypeAlias = OwedRefund | OwedPayout | Hold
_Moved = TypeVar("_Moved", OwedRefund, OwedPayout, Hold)

# Nothing of it has moved, for sure.
UNSENT: Final = ("owed", "asked", "failed")

# So often something is sent again by itself, under another key each time; whatever is
# in the way then, a human must look.
AGAIN_MAX: Final = 24

# So many keys ahead are looked at when a backup was restored.
_LATER: Final = 4


# Nothing is to be moved any more.
_OVER: Final = ("paid", "covered", "charged", "released")


def moved(order: Order, key: str) -> Moved | None:
    """
    Return the money that moves under a key, as it is now.
    """
    return order.refund(key) or order.payout(key) or order.charged(key)


def may_leave(order: Order, effect: Effect) -> bool | None:
    """
    Return whether an effect may be carried out now; `None` if it never must, because
    nothing is owed under its key any more.

    Args:
        order: The order as it is now.
    """
    if not isinstance(effect, Movement):
        return True
    owed = moved(order, effect.key)
    if owed is None or owed.status in _OVER:
        return None
    return held_by(order, owed) is None


def held_by(order: Order, owed: Moved) -> Chargeback | None:
    """
    Return the chargeback that holds money back, the oldest of several; `None` if
    nothing does.
    """
    return next(
        (
            one
            for one in order.chargebacks
            if one.open
            and (
                isinstance(owed, OwedPayout)
                or one.payment_reference == owed.payment.reference
            )
        ),
        None,
    )


def touched(order: Order, keys: Iterable[str]) -> tuple[Event, ...]:
    """
    Return what is to be recorded of money that may have left unnoticed.

    Args:
        keys: The keys of effects that somebody began to carry out.
    """
    events: list[Event] = []
    for key in keys:
        refund, payout = order.refund(key), order.payout(key)
        if refund is not None and refund.status in UNSENT:
            events.append(RefundSent(key=key))
        elif payout is not None and payout.status in UNSENT:
            events.append(PayoutSent(key=key))
    return tuple(events)


def later_keys(order: Order, owed: Moved) -> tuple[str, ...]:
    """
    Return the keys under which money would be owed next, and then.
    """
    return tuple(next_key(order, owed, step) for step in range(1, _LATER + 1))


def next_key(order: Order, owed: Moved, step: int = 1) -> str:
    """
    Return the key under which money moves once it did not happen under this one.
    """
    if isinstance(owed, OwedPayout):
        kind: type[Movement] = PayOut
        part = owed.seller_id
    else:
        kind = Charge if isinstance(owed, Hold) else Refund
        part = owed.payment.reference
    return effect_key(order.id, owed.seq, kind.name, part, owed.epoch + step)


# --- refunds and payouts ----------------------------------------------------------


def reported_on(
    case: Case,
    owed: tuple[_Moved, ...],
    command: ReportRefund | ReportPayout | ReportCharge,
) -> _Moved | None:
    """
    Return what a report is about: by its key, or by what the provider calls it.

    Many may be called the same, such as all of one batch: what a key says comes first.
    """
    for one in owed:
        if command.key and one.key == command.key:
            return one
    named = [
        one for one in owed if one.reference and one.reference == command.reference
    ]
    for one in owed:
        if command.key in later_keys(case.order, one):
            # A restored backup has forgotten that it was sent under this one.  Ours may
            # be under way: it is given up by whoever has asked about it first.
            asked = case.by == OUTBOX and one.status not in _OVER
            return one if asked or one in named else None
    if given_up(case.order, owed, command.key):
        return None
    return named[0] if named else None


def given_up(order: Order, owed: Iterable[Moved], key: str) -> bool:
    """
    Return whether it is known of a key that nothing happened under it: whatever else is
    called the same, a report of it comes late, or once more.
    """
    return any(
        key == next_key(order, one, -step)
        for one in owed
        for step in range(1, one.epoch + 1)
    )


def _reported(
    case: Case,
    owed: OwedRefund | OwedPayout,
    command: ReportRefund | ReportPayout,
    kinds: tuple[Any, Any, Any],
) -> Iterable[Step]:
    """
    Record a report, unless it says nothing new.
    """
    sent, paid, failed = kinds
    if command.key != owed.key and (
        command.status == "failed" or owed.status not in _OVER
    ):
        yield from _catches_up(case, owed, command.key, failed)
        owed = case.order.refund(command.key) or case.order.payout(command.key) or owed
    if command.status == "failed":
        event = failed(
            key=owed.key,
            next_key=next_key(case.order, owed),
            reason=command.reason,
            again=command.again and owed.epoch < AGAIN_MAX,
        )
        yield Step(events=(event,))
        yield from _covers(case)
    elif command.status == "paid":
        if owed.status != "paid":
            yield Step(events=(paid(key=owed.key, reference=command.reference),))
    elif owed.status in UNSENT:
        yield Step(events=(sent(key=owed.key, reference=command.reference),))


def _catches_up(
    case: Case, owed: OwedRefund | OwedPayout, key: str, failed: Any
) -> Iterable[Step]:
    """
    Give up all keys before one under which something was sent: under a key that is used
    up nothing is ever sent again (I29).
    """
    keys = later_keys(case.order, owed)
    if key not in keys:
        return
    before = owed.key
    for later in keys[: keys.index(key) + 1]:
        event = failed(
            key=before, next_key=later, reason=Text(), again=True, caught_up=True
        )
        yield Step(events=(event,))
        before = later


def reported_differs(
    owed: Moved | None, command: ReportRefund | ReportPayout | ReportCharge
) -> Iterable[Blocker]:
    """
    Yield why a report cannot be about this.
    """
    if owed is None:
        name = command.key or command.reference
        yield Blocker(code="nothing_owed_by_that_name", params={"name": name})
        return
    if command.amount is not None and command.amount != owed.amount:
        yield Blocker(
            code="amount_differs",
            params={"amount": command.amount, "expected": owed.amount},
        )
    if owed.status == "covered":
        yield Blocker(code="refund_covered", params={"amount": owed.amount})
    if _is_another(owed, command):
        # After a restored backup it may have left twice under one key.
        yield Blocker(
            code="reference_differs",
            params={"name": command.reference, "ours": owed.reference},
        )


def _is_another(
    owed: Moved, command: ReportRefund | ReportPayout | ReportCharge
) -> bool:
    """
    Whether a report tells the end of something else that was sent under the same key.
    """
    return (
        command.key == owed.key
        and "" not in (command.reference, owed.reference)
        and command.reference != owed.reference
        and (command.status == "failed" or command.status == owed.status == "paid")
    )


@decides(ReportRefund)
def report_refund(case: Case, command: ReportRefund) -> Iterable[Step]:
    """
    What is owed is paid, or owed again.
    """
    owed = reported_on(case, case.order.refunds, command)
    assert owed is not None
    yield from _reported(case, owed, command, (RefundSent, RefundPaid, RefundFailed))


@report_refund.unless
def _(case: Case) -> Iterable[Blocker]:
    if not case.order.refunds:
        yield Blocker(code="no_refund")


@report_refund.within
def _(case: Case, command: ReportRefund) -> Iterable[Blocker]:
    owed = reported_on(case, case.order.refunds, command)
    yield from reported_differs(owed, command)


@decides(ReportPayout)
def report_payout(case: Case, command: ReportPayout) -> Iterable[Step]:
    """
    What the seller earned is paid, or owed again.
    """
    owed = reported_on(case, case.order.payouts, command)
    assert owed is not None
    yield from _reported(case, owed, command, (PayoutSent, PayoutPaid, PayoutFailed))


@report_payout.unless
def _(case: Case) -> Iterable[Blocker]:
    if not case.order.payouts:
        yield Blocker(code="no_payout")


@report_payout.within
def _(case: Case, command: ReportPayout) -> Iterable[Blocker]:
    owed = reported_on(case, case.order.payouts, command)
    yield from reported_differs(owed, command)


@decides(RedirectPayout)
def redirect_payout(case: Case, command: RedirectPayout) -> Iterable[Step]:
    """
    Another payee, under another key; audited.
    """
    owed = case.order.payout(command.key)
    assert owed is not None
    yield Step(
        events=(
            PayoutRedirected(
                key=owed.key,
                next_key=next_key(case.order, owed),
                payee_id=command.payee_id,
                reason=command.reason,
            ),
        )
    )


@redirect_payout.unless
def _(case: Case) -> Iterable[Blocker]:
    if not any(owed.status in UNSENT for owed in case.order.payouts):
        yield Blocker(code="no_payout_to_redirect")


@redirect_payout.within
def _(case: Case, command: RedirectPayout) -> Iterable[Blocker]:
    owed = case.order.payout(command.key)
    if owed is None:
        yield Blocker(code="nothing_owed_by_that_name", params={"name": command.key})
    elif owed.status not in UNSENT:
        yield Blocker(code="payout_may_have_left", params={"ours": owed.status})


# --- chargebacks ------------------------------------------------------------------


def _takeable(order: Order, reference: str) -> Money | None:
    """
    Return how much of a payment no chargeback has taken yet; `None` if there is no
    such payment.
    """
    payment = order.payment(reference)
    if payment is None:
        return None
    left = payment.amount
    for one in order.chargebacks:
        if one.payment_reference == reference:
            left = left - (one.amount if one.lost is None else one.lost)
    return left


@decides(ReportChargeback)
def report_chargeback(case: Case, command: ReportChargeback) -> Iterable[Step]:
    """
    What a bank took is missing until it gives it back, or somebody bears it.
    """
    known = case.order.chargeback(command.chargeback_id)
    if known is None:
        amount = command.amount if command.status == "opened" else None
        if amount is None:
            amount = _takeable(case.order, command.payment_reference)
        assert amount is not None
        yield Step(
            events=(
                ChargebackOpened(
                    chargeback_id=command.chargeback_id,
                    payment_reference=command.payment_reference,
                    amount=amount,
                ),
            )
        )
        known = case.order.chargeback(command.chargeback_id)
        assert known is not None
    if command.status == "opened" or not known.open:
        return
    yield Step(
        events=(ChargebackClosed(chargeback_id=known.id, lost=_lost(known, command)),)
    )
    yield from _covers(case)


def _lost(known: Chargeback, command: ReportChargeback) -> Money:
    if command.status == "won":
        return Money.zero(known.amount.currency)
    return command.amount or known.amount


@report_chargeback.unless
def _(case: Case) -> Iterable[Blocker]:
    if not case.order.payments:
        yield Blocker(code="no_payment")


@report_chargeback.within
def _(case: Case, command: ReportChargeback) -> Iterable[Blocker]:
    order = case.order
    takeable = _takeable(order, command.payment_reference)
    known = order.chargeback(command.chargeback_id)
    if takeable is None:
        yield Blocker(
            code="unknown_payment", params={"payment": command.payment_reference}
        )
    elif known is None:
        if not takeable or (command.amount or takeable) > takeable:
            yield Blocker(
                code="amount_differs",
                params={"amount": command.amount or takeable, "expected": takeable},
            )
    elif known.payment_reference != command.payment_reference or (
        command.status == "opened" and command.amount not in (None, known.amount)
    ):
        yield Blocker(code="chargeback_differs", params={"name": known.id})
    elif known.open:
        if _lost(known, command) > known.amount:
            yield Blocker(
                code="amount_differs",
                params={"amount": command.amount, "expected": known.amount},
            )
    elif command.status != "opened" and _lost(known, command) != known.lost:
        yield Blocker(code="chargeback_closed", params={"lost": known.lost})


def _covers(case: Case) -> Iterable[Step]:
    """
    Make good what banks took for good by what has not left yet: first what is owed
    to the buyer on that payment, then what is held of it, then what is owed to the
    seller.
    """
    for number in range(len(case.order.chargebacks)):
        event = _covered(case.order, case.order.chargebacks[number])
        if event is not None:
            yield Step(events=(event,))


def _covered(order: Order, lost: Chargeback) -> ChargebackCovered | None:
    missing = lost.missing
    payment = order.payment(lost.payment_reference)
    if not missing or payment is None:
        return None
    refunds, missing = _parts(
        order,
        [
            owed
            for owed in order.refunds
            if owed.payment.reference == lost.payment_reference
        ],
        missing,
    )
    # Other payments are not touched: what is left of this one, and no more.
    left = payment.amount - payment.refunded
    held = min(missing, left, order.ledger.held)
    missing = min(missing, left) - held
    payouts, _ = _parts(order, order.payouts, missing)
    if not (refunds or held or payouts):
        return None
    return ChargebackCovered(
        chargeback_id=lost.id, held=held, refunds=refunds, payouts=payouts
    )


def _parts(
    order: Order, owed: Iterable[OwedRefund | OwedPayout], missing: Money
) -> tuple[tuple[Covered, ...], Money]:
    """
    Return how much of what is owed makes something good, and what is missing still.
    """
    parts = []
    for one in owed:
        amount = min(missing, one.amount)
        if amount and one.status in UNSENT:
            rest = one.amount - amount
            missing = missing - amount
            parts.append(
                Covered(
                    key=one.key,
                    amount=amount,
                    rest=rest,
                    next_key=next_key(order, one) if rest else "",
                )
            )
    return tuple(parts), missing


CHAPTER = (report_refund, report_payout, redirect_payout, report_chargeback)
