"""
The books: where money came from, where it is, and who is owed it, as events add up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, final

from ... import events as e
from ...effects import Charge, PayOut, Refund
from ...storage import Change, NewEffect
from ...storage.codec import decode_effect
from .shadow import Findings, Owed, Shadow

__all__ = ["MOVEMENTS", "Bookkeeping"]

MOVEMENTS: Final[Mapping[str, type[Any]]] = {
    kind.name: kind for kind in (Refund, PayOut, Charge)
}

# These end the money that was owed under one key, and owe it under the next.
_REKEYED: Final = (e.RefundFailed, e.PayoutFailed, e.PayoutRedirected, e.ChargeFailed)


@final
class Bookkeeping:
    """
    Books each event, and holds the books of the engine against it.
    """

    def __init__(self, findings: Findings) -> None:
        self._fail = findings.fail

    def booked(
        self, shadow: Shadow, recorded: Any, money: dict[str, NewEffect]
    ) -> None:
        """
        Book an event: where money came from, where it is, who is owed it.
        """
        event: Any = recorded.event
        seq: int = recorded.seq
        if isinstance(event, e.PaymentBooked):
            amount = _minor(event.payment.amount)
            shadow.paid_in += amount
            shadow.escrow += amount
            shadow.counted.add(event.payment.reference)
        elif isinstance(event, e.PaymentReturned):
            shadow.paid_in += event.refund.amount.minor
            shadow.counted.add(event.refund.payment.reference)
            self._owes_refunds(shadow, seq, (event.refund,), money)
            if event.key:
                # It was charged when nobody wanted it any more: it came, and it goes.
                self._over(shadow, event.key, "paid")
        elif isinstance(event, e.PaymentHeld):
            shadow.holds[event.payment.reference] = _minor(event.payment.amount)
        elif isinstance(event, e.ChargeAsked):
            for reference, amount in shadow.holds.items():
                if reference not in shadow.asked:
                    shadow.asked.add(reference)
                    self._owes(shadow, (seq, Charge.name, reference), amount, money)
        elif isinstance(event, e.ChargePaid):
            amount = shadow.holds[event.payment_reference]
            shadow.paid_in += amount
            shadow.escrow += amount
            self._over(shadow, event.key, "paid")
        elif isinstance(event, e.PartialRefundAccepted):
            shadow.escrow -= sum(part.amount.minor for part in event.to_buyer)
            self._owes_refunds(shadow, seq, event.to_buyer, money)
        elif event.settles:
            self._settled(shadow, event, seq, money)
        elif isinstance(event, (e.RefundPaid, e.PayoutPaid)):
            self._over(shadow, event.key, "paid")
        elif isinstance(event, _REKEYED):
            self._again(shadow, event, money)
        elif isinstance(event, e.ChargebackOpened):
            shadow.missing += event.amount.minor
            shadow.taken[event.chargeback_id] = event.amount.minor
        elif isinstance(event, e.ChargebackClosed):
            back = shadow.taken[event.chargeback_id] - event.lost.minor
            shadow.missing -= back
        elif isinstance(event, e.ChargebackCovered):
            self._covered(shadow, event, money)
        if min(shadow.escrow, shadow.refundable, shadow.payable, shadow.missing) < 0:
            self._fail("I1", f"{recorded.name} overdraws the books", shadow.order_id)

    def _settled(
        self, shadow: Shadow, event: Any, seq: int, money: dict[str, NewEffect]
    ) -> None:
        """
        I4: once, and exactly what was held.
        """
        settlement = event.settlement
        to_seller, kept = settlement.to_seller.minor, settlement.kept.minor
        to_buyer = sum(part.amount.minor for part in settlement.to_buyer)
        shadow.settled += 1
        if shadow.settled > 1:
            self._fail("I4", "it is settled a second time", shadow.order_id)
        if to_buyer + to_seller + kept != shadow.escrow or min(to_seller, kept) < 0:
            self._fail(
                "I4",
                f"{shadow.escrow} were held, and {to_buyer} + {to_seller} + {kept} "
                "divided",
                shadow.order_id,
            )
        shadow.escrow -= to_buyer + to_seller + kept
        shadow.fee += kept
        shadow.ended = True
        self._owes_refunds(shadow, seq, settlement.to_buyer, money)
        if to_seller:
            shadow.payable += to_seller
            self._owes(shadow, (seq, PayOut.name, shadow.seller_id), to_seller, money)

    def _owes_refunds(
        self, shadow: Shadow, seq: int, parts: Iterable[Any], money: dict[str, Any]
    ) -> None:
        for part in parts:
            shadow.refundable += part.amount.minor
            root = (seq, Refund.name, part.payment.reference)
            self._owes(shadow, root, part.amount.minor, money)

    def _owes(
        self,
        shadow: Shadow,
        root: tuple[int, str, str],
        amount: int,
        money: dict[str, NewEffect],
    ) -> None:
        """
        Note that money is to move, and look for what asks the host to move it: I5.
        """
        _, kind, part = root
        owed = Owed(root=root, kind=kind, part=part, amount=amount)
        shadow.owed.append(owed)
        for key, effect in money.items():
            if effect.seq == root[0] and _says(effect) == (kind, part, amount):
                self._named(shadow, owed, key, money)
                return
        self._fail(
            "I5", f"{kind} of {amount} is owed, and not asked for", shadow.order_id
        )

    def _named(
        self, shadow: Shadow, owed: Owed, key: str, money: dict[str, NewEffect]
    ) -> None:
        shadow.owe(owed, key)
        del money[key]

    def _over(self, shadow: Shadow, key: str, status: str) -> None:
        owed = shadow.by_key(key)
        if owed is None or owed.status != "owed":
            self._fail("I6", "it is paid twice, or was never owed", shadow.order_id)
            return
        owed.status = status
        if owed.kind == Refund.name:
            shadow.refundable -= owed.amount
            shadow.buyer += owed.amount
        elif owed.kind == PayOut.name:
            shadow.payable -= owed.amount
            shadow.seller += owed.amount

    def _again(self, shadow: Shadow, event: Any, money: dict[str, NewEffect]) -> None:
        """
        I29: what did not happen is owed under the next key; nothing happened under the
        old one.
        """
        key = getattr(event, "key", "")
        owed = shadow.by_key(key)
        if owed is None:
            # A bank that let a hold go, before anybody asked for it.
            if not isinstance(event, e.ChargeFailed) or key:
                self._fail("I29", "nothing was owed under this key", shadow.order_id)
            else:
                shadow.asked.add(event.payment_reference)
            return
        if owed.status == "paid":
            owed.status = "owed"
            if owed.kind == Refund.name:
                shadow.buyer -= owed.amount
                shadow.refundable += owed.amount
            elif owed.kind == PayOut.name:
                shadow.seller -= owed.amount
                shadow.payable += owed.amount
        shadow.failed.add(key)
        if isinstance(event, e.PayoutRedirected):
            owed.part = event.payee_id
        if isinstance(event, e.ChargeFailed) and not event.again:
            owed.status = "failed"
            return
        self._renamed(shadow, owed, event.next_key, money)

    def _renamed(
        self, shadow: Shadow, owed: Owed, key: str, money: dict[str, NewEffect]
    ) -> None:
        effect = money.get(key)
        if effect is None or _says(effect) != (owed.kind, owed.part, owed.amount):
            self._fail(
                "I5",
                f"{owed.kind} of {owed.amount} is owed again, and not asked for",
                shadow.order_id,
            )
            return
        self._named(shadow, owed, key, money)

    def _covered(self, shadow: Shadow, event: Any, money: dict[str, NewEffect]) -> None:
        covered = event.held.minor
        shadow.escrow -= event.held.minor
        for name, parts in (("refundable", event.refunds), ("payable", event.payouts)):
            for part in parts:
                covered += part.amount.minor
                setattr(shadow, name, getattr(shadow, name) - part.amount.minor)
                owed = shadow.by_key(part.key)
                if owed is None or owed.amount != part.amount.minor + part.rest.minor:
                    self._fail("I34", "what is covered was not owed", shadow.order_id)
                    continue
                shadow.failed.add(part.key)
                owed.amount = part.rest.minor
                if part.rest:
                    self._renamed(shadow, owed, part.next_key, money)
                else:
                    owed.status = "covered"
        shadow.buyer += covered
        shadow.missing -= covered

    def closed(self, shadow: Shadow, change: Change) -> None:
        """
        I1, I15, I25: what is kept beside the order is what its events add up to.
        """
        kept = change.books
        ours = (
            shadow.paid_in,
            shadow.escrow,
            shadow.refundable + shadow.buyer,
            shadow.payable + shadow.seller,
            shadow.fee,
        )
        theirs = (kept.paid_in, kept.held, kept.refunded, kept.released, kept.kept)
        if ours != theirs:
            self._fail("I1", f"the books say {theirs}, not {ours}", shadow.order_id)
        if ours[0] != sum(ours[1:]):
            self._fail("I1", f"the books do not balance: {ours}", shadow.order_id)
        if any(type(one) is not int or one < 0 for one in theirs):
            self._fail("I25", f"no amounts of money: {theirs}", shadow.order_id)
        if change.state != shadow.state:
            self._fail("I15", "it is kept in another state", shadow.order_id)
        if shadow.ended != shadow.process.ended(shadow.state):
            self._fail("I4", f"it is {shadow.state}, and not settled", shadow.order_id)
        waits = [shadow.armed(wait) for wait in shadow.waits()]
        if change.due_at != min(waits, default=None):
            self._fail("I22", "it waits for another instant", shadow.order_id)


def _minor(amount: Any) -> int:
    """
    Return an amount; nothing for one that is not told.
    """
    minor: int = 0 if amount is None else amount.minor
    return minor


def _says(effect: NewEffect) -> tuple[str, str, int]:
    """
    Return what an effect asks for: its kind, its part, how much.
    """
    said: Any = decode_effect(effect.body, MOVEMENTS[effect.kind])
    part = said.payee_id if effect.kind == PayOut.name else said.payment.reference
    return effect.kind, part, said.amount.minor
