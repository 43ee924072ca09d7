"""
What a history adds up to: `evolve` folds one recorded event into an order.

It works nothing out: instants, amounts and the state were written into the event
by the rules of its day, so an old history replays the same for ever (I15).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from . import events as e
from .effects import Charge, PayOut, Refund, effect_key
from .errors import LedgerError
from .events import Recorded
from .inputs import FrozenDict
from .ledger import Ledger
from .money import Money
from .order import (
    BookedPayment,
    BoughtAddOn,
    Brief,
    CancellationRequest,
    Chargeback,
    Claim,
    Delivery,
    Dispute,
    Extension,
    Hold,
    Offer,
    Order,
    OwedPayout,
    OwedRefund,
    PartialRefund,
    Review,
    Revision,
    changed,
)
from .parts import Covered, RefundPart, Settlement

__all__ = ["evolve", "fold"]

_T = TypeVar("_T")
_Changes: TypeAlias = dict[str, Any]


def evolve(order: Order | None, recorded: Recorded) -> Order:
    """
    Return the order after one more event.

    Args:
        order: The order so far; `None` before `OrderPlaced`.

    Raises:
        LedgerError: If the books would not add up.
    """
    event = recorded.event
    if order is None:
        return _placed(recorded)
    folded = _FOLDS.get(type(event))
    changes: _Changes
    if folded is None:
        changes = {"extra": FrozenDict(event.fold_extra(order.extra))}
    else:
        changes = folded(order, event, recorded)
    changes["version"] = recorded.seq
    changes["effective_at"] = recorded.effective_at
    changes["recorded_at"] = recorded.recorded_at
    standing = recorded.standing
    if standing is not None:
        changes["standing"] = standing
        if standing.late:
            changes["ever_late"] = True
    return changed(order, changes)


def fold(history: Iterable[Recorded]) -> Order:
    """
    Return the order a whole history adds up to; it begins with `OrderPlaced`.
    """
    order = reduce(evolve, history, None)
    if order is None:
        raise LedgerError("an empty history is not an order")
    return order


def _placed(recorded: Recorded) -> Order:
    event = recorded.event
    if not isinstance(event, e.OrderPlaced) or recorded.standing is None:
        raise LedgerError(f"a history begins with order_placed, not {event.name}")
    zero = Money.zero(event.price.currency)
    return Order(
        id=event.order_id,
        process=event.process,
        fingerprint=event.fingerprint,
        version=recorded.seq,
        standing=recorded.standing,
        buyer_id=event.buyer_id,
        seller_id=event.seller_id,
        listing_id=event.listing_id,
        metadata=event.metadata,
        price=event.price,
        tip=event.tip,
        terms=event.terms,
        charge=event.amount_due,
        fees=event.fees,
        ledger=Ledger(event.price.currency),
        placed_at=recorded.effective_at,
        effective_at=recorded.effective_at,
        recorded_at=recorded.recorded_at,
        full_window=event.full_window,
        add_ons=tuple(
            BoughtAddOn(
                id=f"addon-{number}",
                title=item.title,
                price=item.price,
                fees=zero,
                extra_window=item.extra_window,
                bought_at=recorded.effective_at,
                paid=True,
            )
            for number, item in enumerate(event.add_ons, 1)
        ),
    )


# One small function an event: it gets the order before, the event and its record,
# and returns what changes.

_Fold: TypeAlias = Callable[[Order, Any, Recorded], _Changes]
_FOLDS: Final[dict[type[e.Event], _Fold]] = {}


def _folds(*kinds: type[e.Event]) -> Callable[[_Fold], _Fold]:
    def register(function: _Fold) -> _Fold:
        _FOLDS.update(dict.fromkeys(kinds, function))
        return function

    return register


@_folds(
    e.AcceptanceReminded,
    e.VerificationReminded,
    e.OrderMarkedLate,
    e.DeliveryApproved,
    e.MessageSent,
    e.ConversationLeft,
    e.ConversationClosed,
    e.OrderUnfrozen,
    e.DeadlinesExtended,
    e.PartiesAsked,
    e.MediatorAnswered,
)
def _only_standing(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    # What these change, if anything, is where the order stands.
    return {}


@_folds(e.PaymentBooked)
def _booked(order: Order, event: e.PaymentBooked, recorded: Recorded) -> _Changes:
    amount = _given(event.payment.amount)
    booked = BookedPayment(
        method=event.payment.method,
        reference=event.payment.reference,
        amount=amount,
        item=event.item,
        booked_at=recorded.effective_at,
        refunded=Money.zero(order.currency),
    )
    changes: _Changes = {
        "payments": (*order.payments, booked),
        "ledger": order.ledger.post(
            {"external": -amount.minor, "escrow": amount.minor}
        ),
    }
    add_on = order.add_on(event.item)
    # An option is paid by one command, whole: its first payment makes it so.
    if add_on is not None and not add_on.paid:
        changes["add_ons"] = _replaced(order.add_ons, event.item, paid=True)
        changes["fees"] = order.fees + add_on.fees
    return changes


@_folds(e.PaymentReturned)
def _returned(order: Order, event: e.PaymentReturned, recorded: Recorded) -> _Changes:
    part = event.refund
    returned = BookedPayment(
        method=part.payment.method,
        reference=part.payment.reference,
        amount=part.amount,
        item=event.item,
        booked_at=recorded.effective_at,
        refunded=part.amount,
        returned=True,
    )
    return {
        "payments": (*order.payments, returned),
        "ledger": order.ledger.post(
            {"external": -part.amount.minor, "refundable": part.amount.minor}
        ),
        "refunds": (*order.refunds, _owed(order, part, recorded)),
        # A charge that was done too late: it came, and it goes.
        "holds": _held(order, part.payment.reference, status="charged"),
    }


@_folds(e.PaymentHeld)
def _payment_held(order: Order, event: e.PaymentHeld, recorded: Recorded) -> _Changes:
    return {"holds": (*order.holds, Hold(payment=event.payment))}


@_folds(e.HoldReleased)
def _hold_released(order: Order, event: e.HoldReleased, recorded: Recorded) -> _Changes:
    hold = Hold(payment=event.payment, status="released", seq=recorded.seq)
    return {"holds": (*order.holds, hold)}


@_folds(e.ChargeAsked)
def _charge_asked(order: Order, event: e.ChargeAsked, recorded: Recorded) -> _Changes:
    return {
        "holds": tuple(
            attrs.evolve(
                hold,
                status="asked",
                key=effect_key(
                    order.id, recorded.seq, Charge.name, hold.payment.reference
                ),
                seq=recorded.seq,
            )
            if hold.status == "held"
            else hold
            for hold in order.holds
        )
    }


@_folds(e.ChargeSent)
def _charge_sent(order: Order, event: e.ChargeSent, recorded: Recorded) -> _Changes:
    held, reference = event.payment_reference, event.reference
    return {"holds": _held(order, held, status="sent", reference=reference)}


@_folds(e.ChargePaid)
def _charged(order: Order, event: e.ChargePaid, recorded: Recorded) -> _Changes:
    hold = _given(order.hold(event.payment_reference))
    booked = BookedPayment(
        method=hold.payment.method,
        reference=hold.payment.reference,
        amount=hold.amount,
        item="order",
        booked_at=recorded.effective_at,
        refunded=Money.zero(order.currency),
    )
    return {
        "holds": _held(
            order,
            hold.payment.reference,
            status="charged",
            reference=event.reference or hold.reference,
        ),
        "payments": (*order.payments, booked),
        "ledger": order.ledger.post(
            {"external": -hold.amount.minor, "escrow": hold.amount.minor}
        ),
    }


@_folds(e.ChargeFailed)
def _charge_failed(order: Order, event: e.ChargeFailed, recorded: Recorded) -> _Changes:
    hold = _given(order.hold(event.payment_reference))
    return {
        "holds": _held(
            order,
            event.payment_reference,
            status="asked" if event.again else "failed",
            key=event.next_key,
            epoch=hold.epoch + 1,
            reference="",
        )
    }


def _held(order: Order, reference: str, /, **fields: Any) -> tuple[Hold, ...]:
    """
    Return what banks hold, one of it changed.
    """
    return tuple(
        attrs.evolve(hold, **fields) if hold.payment.reference == reference else hold
        for hold in order.holds
    )


@_folds(e.OrderPaid)
def _paid(order: Order, event: e.OrderPaid, recorded: Recorded) -> _Changes:
    return {"paid_at": recorded.effective_at}


@_folds(e.BriefSubmitted)
def _briefed(order: Order, event: e.BriefSubmitted, recorded: Recorded) -> _Changes:
    at = recorded.effective_at
    return {"brief": Brief(text=event.text, files=event.files, submitted_at=at)}


@_folds(e.OrderAccepted)
def _accepted(order: Order, event: e.OrderAccepted, recorded: Recorded) -> _Changes:
    return {"accepted_at": recorded.effective_at}


@_folds(e.OrderDelivered)
def _delivered(order: Order, event: e.OrderDelivered, recorded: Recorded) -> _Changes:
    delivery = Delivery(
        files=event.files,
        note=event.note,
        delivered_at=recorded.effective_at,
        late=order.late,
    )
    return {
        "delivered_at": recorded.effective_at,
        "deliveries": (*order.deliveries, delivery),
        # Whoever delivers meanwhile has answered an open request, and needs no time.
        "cancellation": None,
        "extension": None,
    }


@_folds(e.RevisionRequested)
def _revision_requested(
    order: Order, event: e.RevisionRequested, recorded: Recorded
) -> _Changes:
    at = recorded.effective_at
    revision = Revision(
        reason=event.reason,
        requested_at=at,
        over_limit=event.over_limit,
        answer="accepted" if event.accepted else "",
        answered_at=at if event.accepted else None,
    )
    return {
        "revisions": (*order.revisions, revision),
        "revisions_used": order.revisions_used + event.accepted,
    }


@_folds(e.RevisionAccepted)
def _revision_accepted(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    return {
        "revisions": _answered(order, "accepted", recorded),
        "revisions_used": order.revisions_used + 1,
    }


@_folds(e.RevisionRefused)
def _revision_refused(
    order: Order, event: e.RevisionRefused, recorded: Recorded
) -> _Changes:
    return {
        "revisions": _answered(order, "refused", recorded),
        "revisions_refused": order.revisions_refused + 1,
    }


@_folds(e.CancellationRequested)
def _cancellation_requested(
    order: Order, event: e.CancellationRequested, recorded: Recorded
) -> _Changes:
    at = recorded.effective_at
    return {"cancellation": CancellationRequest(reason=event.reason, requested_at=at)}


@_folds(e.CancellationWithdrawn, e.CancellationAccepted)
def _cancellation_closed(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    return {"cancellation": None}


@_folds(e.CancellationRefused)
def _cancellation_refused(
    order: Order, event: e.CancellationRefused, recorded: Recorded
) -> _Changes:
    return {
        "cancellation": None,
        "cancellations_refused": order.cancellations_refused + 1,
    }


@_folds(e.CancellationExcused)
def _excused(
    order: Order, event: e.CancellationExcused, recorded: Recorded
) -> _Changes:
    return {"ending": attrs.evolve(_given(order.ending), public=False)}


@_folds(e.DisputeUnlocked)
def _unlocked(order: Order, event: e.DisputeUnlocked, recorded: Recorded) -> _Changes:
    if event.request == "revision":
        *earlier, last = order.revisions
        return {"revisions": (*earlier, attrs.evolve(last, unlocked=True))}
    asked = _given(order.cancellation)
    return {"cancellation": attrs.evolve(asked, unlocked=True)}


@_folds(e.AnswerExpired)
def _agreed_silently(
    order: Order, event: e.AnswerExpired, recorded: Recorded
) -> _Changes:
    if event.request == "revision":
        return _revision_accepted(order, event, recorded)
    return {"cancellation": None}


@_folds(e.ExtensionRequested)
def _extension_requested(
    order: Order, event: e.ExtensionRequested, recorded: Recorded
) -> _Changes:
    extension = Extension(
        due_at=event.due_at,
        reason=event.reason,
        requested_at=recorded.effective_at,
    )
    return {"extension": extension}


@_folds(e.ExtensionWithdrawn, e.ExtensionAccepted, e.ExtensionRefused)
def _extension_closed(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    return {"extension": None}


@_folds(e.ClaimFiled)
def _claim_filed(order: Order, event: e.ClaimFiled, recorded: Recorded) -> _Changes:
    by, at = recorded.by.role, recorded.effective_at
    return {"claim": Claim(by=by, reason=event.reason, filed_at=at)}


@_folds(e.ClaimEdited)
def _claim_edited(order: Order, event: e.ClaimEdited, recorded: Recorded) -> _Changes:
    return {"claim": attrs.evolve(_given(order.claim), reason=event.reason)}


@_folds(e.ClaimWithdrawn, e.ClaimRejected)
def _claim_closed(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    # Whoever looked at it is done with it: a new claim begins with nobody.
    return {"claim": None, "mediator_id": None}


@_folds(e.ClaimConverted)
def _claim_converted(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    return {"claim": None}


@_folds(e.MediatorAssigned)
def _assigned(order: Order, event: e.MediatorAssigned, recorded: Recorded) -> _Changes:
    return {"mediator_id": event.mediator_id}


@_folds(e.MediatorAlerted)
def _alerted(order: Order, event: e.MediatorAlerted, recorded: Recorded) -> _Changes:
    return {"dispute": attrs.evolve(_given(order.dispute), alerted=True)}


@_folds(e.DisputeOpened)
def _disputed(order: Order, event: e.DisputeOpened, recorded: Recorded) -> _Changes:
    return {
        "dispute": Dispute(
            cause=event.cause,
            by=recorded.by.role,
            reason=event.reason,
            opened_at=recorded.effective_at,
        ),
        # It takes up whatever the two sides were still asking each other.
        "claim": None,
        "cancellation": None,
        "extension": None,
        "partial_refund": None,
    }


@_folds(e.DisputeRuled)
def _ruled(order: Order, event: e.DisputeRuled, recorded: Recorded) -> _Changes:
    if order.dispute is None:
        # Staff closed a frozen order that was never disputed.
        return {}
    return {
        "dispute": attrs.evolve(
            order.dispute,
            ruling=event.ruling,
            ruled_at=recorded.effective_at,
            by_default=event.by_default,
        )
    }


@_folds(e.OrderRelaunched)
def _relaunched(order: Order, event: e.OrderRelaunched, recorded: Recorded) -> _Changes:
    return {"mediator_id": None}


@_folds(e.OrderFrozen)
def _frozen(order: Order, event: e.OrderFrozen, recorded: Recorded) -> _Changes:
    return {"extension": None, "partial_refund": None}


@_folds(e.OrderMigrated)
def _migrated(order: Order, event: e.OrderMigrated, recorded: Recorded) -> _Changes:
    return {"process": event.process, "fingerprint": event.fingerprint}


@_folds(e.PartialRefundProposed)
def _proposed(
    order: Order, event: e.PartialRefundProposed, recorded: Recorded
) -> _Changes:
    proposal = PartialRefund(
        by=recorded.by.role,
        amount=event.amount,
        reason=event.reason,
        proposed_at=recorded.effective_at,
    )
    return {"partial_refund": proposal}


@_folds(e.PartialRefundWithdrawn, e.PartialRefundRefused)
def _proposal_closed(order: Order, event: e.Event, recorded: Recorded) -> _Changes:
    return {"partial_refund": None}


@_folds(e.PartialRefundAccepted)
def _agreed(
    order: Order, event: e.PartialRefundAccepted, recorded: Recorded
) -> _Changes:
    amount = sum(part.amount.minor for part in event.to_buyer)
    return {
        "partial_refund": None,
        "ledger": order.ledger.post({"escrow": -amount, "refundable": amount}),
        **_refunded(order, event.to_buyer, recorded),
    }


@_folds(e.AddOnBought)
def _add_on_bought(order: Order, event: e.AddOnBought, recorded: Recorded) -> _Changes:
    add_on = BoughtAddOn(
        id=event.add_on_id,
        title=event.title,
        price=event.price,
        fees=event.fees,
        extra_window=event.extra_window,
        bought_at=recorded.effective_at,
        paid=False,
    )
    return {"add_ons": (*order.add_ons, add_on)}


@_folds(e.DeliveryExtended)
def _extended(order: Order, event: e.DeliveryExtended, recorded: Recorded) -> _Changes:
    return {"full_window": event.full_window}


@_folds(e.OfferSent)
def _offer_sent(order: Order, event: e.OfferSent, recorded: Recorded) -> _Changes:
    offer = Offer(
        id=event.offer_id,
        title=event.title,
        price=event.price,
        delivery_window=event.delivery_window,
        sent_at=recorded.effective_at,
    )
    return {"offers": (*order.offers, offer)}


@_folds(e.OfferWithdrawn, e.OfferRefused, e.OfferExpired)
def _offer_closed(order: Order, event: Any, recorded: Recorded) -> _Changes:
    status = event.name.removeprefix("offer_")
    return {"offers": _replaced(order.offers, event.offer_id, status=status)}


@_folds(e.OfferPaid)
def _offer_paid(order: Order, event: e.OfferPaid, recorded: Recorded) -> _Changes:
    return {
        "offers": _replaced(order.offers, event.offer_id, status="paid"),
        "fees": order.fees + event.fees,
    }


@_folds(e.ReviewLeft)
def _reviewed(order: Order, event: e.ReviewLeft, recorded: Recorded) -> _Changes:
    at = recorded.effective_at
    return {"review": Review(rating=event.rating, text=event.text, left_at=at)}


@_folds(e.ReviewReplied)
def _replied(order: Order, event: e.ReviewReplied, recorded: Recorded) -> _Changes:
    review, at = _given(order.review), recorded.effective_at
    return {"review": attrs.evolve(review, reply=event.text, replied_at=at)}


@_folds(e.ReviewRemoved)
def _removed(order: Order, event: e.ReviewRemoved, recorded: Recorded) -> _Changes:
    return {"review": attrs.evolve(_given(order.review), removed=event.cause)}


@_folds(e.CouponRequested)
def _coupon(order: Order, event: e.CouponRequested, recorded: Recorded) -> _Changes:
    return {"coupon": event.amount}


@_folds(e.RefundSent, e.PayoutSent)
def _sent(order: Order, event: Any, recorded: Recorded) -> _Changes:
    return _reported(order, event, "sent")


@_folds(e.RefundPaid)
def _refund_paid(order: Order, event: e.RefundPaid, recorded: Recorded) -> _Changes:
    amount = _given(order.refund(event.key)).amount.minor
    return {
        **_reported(order, event, "paid"),
        "ledger": order.ledger.post({"refundable": -amount, "buyer": amount}),
    }


@_folds(e.PayoutPaid)
def _payout_paid(order: Order, event: e.PayoutPaid, recorded: Recorded) -> _Changes:
    amount = _given(order.payout(event.key)).amount.minor
    return {
        **_reported(order, event, "paid"),
        "ledger": order.ledger.post({"payable": -amount, "seller": amount}),
    }


def _reported(order: Order, event: Any, status: str) -> _Changes:
    """
    Return what changes when the provider says how far a refund or payout is.
    """
    name = "refunds" if isinstance(event, (e.RefundSent, e.RefundPaid)) else "payouts"
    owed = next((one for one in getattr(order, name) if one.key == event.key), None)
    reference = event.reference or _given(owed).reference
    return {name: _moved(order, name, event.key, status=status, reference=reference)}


@_folds(e.RefundFailed)
def _refund_failed(order: Order, event: e.RefundFailed, recorded: Recorded) -> _Changes:
    owed = _given(order.refund(event.key))
    changes: _Changes = {"refunds": _failed(order, "refunds", event, owed.epoch)}
    if owed.status == "paid":
        amount = owed.amount.minor
        changes["ledger"] = order.ledger.post({"buyer": -amount, "refundable": amount})
    return changes


@_folds(e.PayoutFailed)
def _payout_failed(order: Order, event: e.PayoutFailed, recorded: Recorded) -> _Changes:
    owed = _given(order.payout(event.key))
    changes: _Changes = {"payouts": _failed(order, "payouts", event, owed.epoch)}
    if owed.status == "paid":
        amount = owed.amount.minor
        changes["ledger"] = order.ledger.post({"seller": -amount, "payable": amount})
    return changes


def _failed(order: Order, name: str, event: Any, epoch: int) -> tuple[Any, ...]:
    return _moved(
        order,
        name,
        event.key,
        key=event.next_key,
        status="owed" if event.again else "failed",
        epoch=epoch + 1,
        reference="",
    )


@_folds(e.PayoutRedirected)
def _redirected(
    order: Order, event: e.PayoutRedirected, recorded: Recorded
) -> _Changes:
    owed = _given(order.payout(event.key))
    return {
        "payouts": _moved(
            order,
            "payouts",
            event.key,
            key=event.next_key,
            payee_id=event.payee_id,
            status="owed",
            epoch=owed.epoch + 1,
            reference="",
        )
    }


def _moved(order: Order, name: str, key: str, /, **fields: Any) -> tuple[Any, ...]:
    """
    Return the refunds or payouts of an order, one of them changed.
    """
    return tuple(
        attrs.evolve(owed, **fields) if owed.key == key else owed
        for owed in getattr(order, name)
    )


@_folds(e.ChargebackOpened)
def _charged_back(
    order: Order, event: e.ChargebackOpened, recorded: Recorded
) -> _Changes:
    amount = event.amount.minor
    opened = Chargeback(
        id=event.chargeback_id,
        payment_reference=event.payment_reference,
        amount=event.amount,
        opened_at=recorded.effective_at,
        covered=Money.zero(order.currency),
    )
    return {
        "chargebacks": (*order.chargebacks, opened),
        "ledger": order.ledger.post({"external": amount, "receivable": -amount}),
    }


@_folds(e.ChargebackClosed)
def _chargeback_closed(
    order: Order, event: e.ChargebackClosed, recorded: Recorded
) -> _Changes:
    opened = _given(order.chargeback(event.chargeback_id))
    back = (opened.amount - event.lost).minor
    return {
        "chargebacks": _replaced(
            order.chargebacks,
            event.chargeback_id,
            lost=event.lost,
            closed_at=recorded.effective_at,
        ),
        "ledger": order.ledger.post({"external": -back, "receivable": back}),
    }


@_folds(e.ChargebackCovered)
def _covered(order: Order, event: e.ChargebackCovered, recorded: Recorded) -> _Changes:
    chargeback = _given(order.chargeback(event.chargeback_id))
    refunds = sum(part.amount.minor for part in event.refunds)
    payouts = sum(part.amount.minor for part in event.payouts)
    taken = event.held.minor + payouts
    covered = taken + refunds
    changes: _Changes = {
        "chargebacks": _replaced(
            order.chargebacks,
            event.chargeback_id,
            covered=chargeback.covered + Money(covered, order.currency),
        ),
        # The buyer has it: what went out to the world by force was his refund.
        "ledger": order.ledger.post(
            {
                "escrow": -event.held.minor,
                "refundable": -refunds,
                "payable": -payouts,
                "buyer": covered,
                "external": -covered,
                "receivable": covered,
            }
        ),
        "payments": tuple(
            attrs.evolve(
                payment, refunded=payment.refunded + Money(taken, order.currency)
            )
            if payment.reference == chargeback.payment_reference
            else payment
            for payment in order.payments
        ),
    }
    for name, parts in (("refunds", event.refunds), ("payouts", event.payouts)):
        owed = getattr(order, name)
        for part in parts:
            owed = tuple(
                _less(one, part) if one.key == part.key else one for one in owed
            )
        changes[name] = owed
    return changes


def _less(owed: Any, part: Covered) -> Any:
    if not part.rest:
        return attrs.evolve(owed, status="covered")
    return attrs.evolve(owed, key=part.next_key, amount=part.rest, epoch=owed.epoch + 1)


@_folds(e.OrderCancelled, e.OrderCompleted, e.OrderExpired)
def _ended(order: Order, event: Any, recorded: Recorded) -> _Changes:
    # One settlement an order, and it divides exactly what is held (I4).
    if order.ending is not None:
        raise LedgerError(f"order {order.id!r} is settled already")
    settlement: Settlement = event.settlement
    seller = settlement.to_seller
    entry = {
        "escrow": -order.ledger.escrow,
        "refundable": sum(part.amount.minor for part in settlement.to_buyer),
        "payable": seller.minor,
        "fee": settlement.kept.minor,
    }
    payouts = order.payouts
    if seller:
        owed = OwedPayout(
            key=effect_key(order.id, recorded.seq, PayOut.name, order.seller_id),
            seller_id=order.seller_id,
            payee_id=order.seller_id,
            amount=seller,
            seq=recorded.seq,
        )
        payouts = (*payouts, owed)
    return {
        "ledger": order.ledger.post(entry),
        "payouts": payouts,
        "closed_at": recorded.effective_at,
        "ending": event.ending,
        "cancellation": None,
        "extension": None,
        "partial_refund": None,
        "claim": None,
        "holds": tuple(
            attrs.evolve(hold, status="released", seq=recorded.seq)
            if hold.status == "held"
            else hold
            for hold in order.holds
        ),
        **_refunded(order, settlement.to_buyer, recorded),
    }


def _refunded(
    order: Order, parts: tuple[RefundPart, ...], recorded: Recorded
) -> _Changes:
    if not parts:
        return {}
    back = {part.payment.reference: part.amount for part in parts}
    payments = []
    for payment in order.payments:
        amount = back.pop(payment.reference, None)
        if amount is not None:
            refunded = payment.refunded + amount
            if refunded > payment.amount:
                raise LedgerError(f"payment {payment.reference!r} refunded twice")
            payment = attrs.evolve(payment, refunded=refunded)
        payments.append(payment)
    if back:
        raise LedgerError(f"refunds without a payment: {sorted(back)}")
    owed = tuple(_owed(order, part, recorded) for part in parts)
    return {"payments": tuple(payments), "refunds": (*order.refunds, *owed)}


def _owed(order: Order, part: RefundPart, recorded: Recorded) -> OwedRefund:
    return OwedRefund(
        key=effect_key(order.id, recorded.seq, Refund.name, part.payment.reference),
        payment=part.payment,
        amount=part.amount,
        estimate=part.estimate,
        seq=recorded.seq,
    )


def _answered(order: Order, answer: str, recorded: Recorded) -> tuple[Revision, ...]:
    *earlier, last = order.revisions
    at = recorded.effective_at
    return (*earlier, attrs.evolve(last, answer=answer, answered_at=at))


def _replaced(items: tuple[Any, ...], item_id: str, **fields: Any) -> tuple[Any, ...]:
    return tuple(
        attrs.evolve(item, **fields) if item.id == item_id else item for item in items
    )


def _given(value: _T | None) -> _T:
    if value is None:
        raise LedgerError("the history names something that is not there")
    return value
