"""
What really moves: the log of the gateway, held against what is owed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, final

from ...effects import Charge, PayOut, Refund
from ...wallet import PREFIX
from ..gateways import Applied, SimulatedGateway
from .purses import Purses
from .shadow import Findings, Owed

# What is owed under a key: what, its kind, its part, how much.
Known: TypeAlias = tuple[Owed, str, str, int]

__all__ = ["Moving"]


@final
class Moving:
    """
    Reads the log of a gateway.

    Args:
        gateway: Where money really moves.
    """

    def __init__(
        self, gateway: SimulatedGateway, purses: Purses, findings: Findings
    ) -> None:
        self._gateway = gateway
        self._purses = purses
        self._orders = findings.orders
        self._outgoing = findings.outgoing
        self._fail = findings.fail
        self._requests = 0
        self._seen = 0
        self._bodies: dict[str, Any] = {}
        # What was moved for reasons that a backup has forgotten, by its reference.
        self._lost: set[str] = set()
        # The keys of these, if nobody can ask: what is sent again under one of them is
        # taken for the first, whatever the provider says of either.
        self._doubted: set[str] = set()

    def calls(self, effect: Any) -> None:
        """
        I7: nothing is carried out that was not committed before.
        """
        shadow = self._outgoing(effect.order_id)
        if shadow is None or effect.key not in shadow.rows:
            self._fail(
                "I7",
                f"{effect.name} is carried out, and not committed",
                effect.order_id,
            )

    def moves(self) -> None:
        """
        I2, I5 to I9, I29: hold everything that really moved against what is owed.
        """
        for request in self._gateway.requests[self._requests :]:
            # I8: the same key says the same for ever.
            body = self._bodies.setdefault(request.key, request.body)
            if body != request.body:
                self._fail("I8", "one key, two requests", request.order_id)
        self._requests = len(self._gateway.requests)
        counted: Counter[tuple[str, tuple[int, str, str]]] = Counter()
        everything = self._everything()
        if len(everything) != self._seen:
            self._seen = len(everything)
            self._follow(everything)
        for applied in everything:
            shadow = self._outgoing(applied.order_id)
            known = None if shadow is None else shadow.keys.get(applied.key)
            if applied.reference in self._lost and (
                known is None or not self._is_asked_for(applied, known)
            ):
                continue
            if shadow is None or known is None:
                self._fail("I7", f"{applied.kind}: nobody owed it", applied.order_id)
                continue
            if _body(applied) != known[1:]:
                self._fail("I5", f"{applied.kind}: not what is owed", applied.order_id)
            if applied.status == "failed":
                continue
            owed, _, _, amount = known
            if applied.key in shadow.failed and applied.key not in self._doubted:
                self._fail(
                    "I29",
                    f"{applied.kind} of {amount} happened, and is said not to have",
                    applied.order_id,
                )
            counted[applied.order_id, owed.root] += 1
            if counted[applied.order_id, owed.root] > 1:
                self._fail(
                    "I6", f"{applied.kind} of {amount} happened twice", applied.order_id
                )

    def _everything(self) -> tuple[Applied, ...]:
        return (*self._gateway.applied, *self._purses.applied)

    def _payments(self) -> Iterator[tuple[str, str, int]]:
        """
        Yield what came in, from outside and out of wallets: for which order, what it is
        called, how much it is.
        """
        for line in self._gateway.statement():
            if line.kind == "payment":
                yield line.order_id, line.part, line.amount.minor
        for debit in self._purses.debits():
            if not debit.unclaimed:
                yield debit.order_id, debit.reference, debit.amount

    def forget(self) -> None:
        """
        Note what was moved for reasons that nobody knows any more: a backup was put
        back.
        """
        for applied in self._gateway.applied:
            shadow = self._outgoing(applied.order_id)
            if shadow is None or applied.key not in shadow.keys:
                self._lost.add(applied.reference)
                if not self._gateway.capabilities.look_up:
                    self._doubted.add(applied.key)
        found = self._gateway.capabilities.look_up
        moved = {applied.key for applied in self._gateway.applied if found}
        for request in self._gateway.requests:
            shadow = self._outgoing(request.order_id)
            if request.key not in moved and (
                shadow is None or request.key not in shadow.keys
            ):
                # Nobody can find out what was said under this key: people may decide
                # otherwise than before, and it is said then.
                self._bodies.pop(request.key, None)

    def _is_asked_for(self, applied: Applied, known: Known) -> bool:
        """
        Whether something that was moved for a reason that was lost is what is owed under
        its key now, and can be found there.
        """
        return self._gateway.capabilities.look_up and _body(applied) == known[1:]

    def scarred(self) -> set[str]:
        """
        Return the orders, and wallets, of which money moved that nobody owes any more:
        what comes after is for a human who has the report of the gateway (I30).
        """
        return {
            applied.order_id
            for applied in self._gateway.applied
            if applied.reference in self._lost
            and not self._is_known(applied)
            and (applied.status != "failed" or self._is_sent_again(applied))
        }

    def _is_sent_again(self, applied: Applied) -> bool:
        outgoing = self._outgoing(applied.order_id)
        return (
            applied.key in self._doubted
            and outgoing is not None
            and applied.key in outgoing.keys
        )

    def _is_known(self, applied: Applied) -> bool:
        shadow = self._outgoing(applied.order_id)
        known = None if shadow is None else shadow.keys.get(applied.key)
        return known is not None and self._is_asked_for(applied, known)

    def moved(self, order_id: str, key: str) -> str | None:
        """
        Return what the gateway calls what moved under a key, or for a reason that was
        lost just like it; `None` if nothing did, or something else did.
        """
        shadow = self._outgoing(order_id)
        known = None if shadow is None else shadow.keys.get(key)
        for one in self._gateway.applied:
            same = one.key == key or (
                one.reference in self._lost
                and one.order_id == order_id
                and not self._is_known(one)
            )
            if (
                same
                and one.status != "failed"
                and known is not None
                and _body(one) == known[1:]
            ):
                return one.reference
        return None

    def _follow(self, everything: Iterable[Applied]) -> None:
        """
        I2, I9: nothing goes back before it came, and nobody is paid before anything
        did; at no time has more gone than came.
        """
        came: Counter[tuple[str, str]] = Counter()
        for order_id, part, amount in self._payments():
            came[order_id, part] += amount
        whole: Counter[str] = Counter()
        left: Counter[str] = Counter()
        for (order_id, _), amount in came.items():
            whole[order_id] += amount
        scarred = self.scarred() if self._lost else ()
        for one in everything:
            if one.status == "failed" or one.order_id in scarred:
                continue
            amount = one.amount.minor
            if one.order_id.startswith(PREFIX):
                left[one.order_id] += amount
                if left[one.order_id] > self._purses.funds(one.order_id):
                    self._fail("I2", "more was paid out than was in it", one.order_id)
                continue
            if one.kind == Charge.name:
                came[one.order_id, one.part] += amount
                whole[one.order_id] += amount
                continue
            refunded = one.kind == Refund.name
            if not (came[one.order_id, one.part] if refunded else whole[one.order_id]):
                self._fail("I9", f"{one.kind}, and nothing had come", one.order_id)
                continue
            whole[one.order_id] -= amount
            if whole[one.order_id] < 0:
                self._fail("I2", f"{one.kind}: more goes than came", one.order_id)

    def closes(self, order_id: str) -> None:
        """
        I2, I3, I30: of an order that is over, and whose money is done, nothing is left,
        and the gateway says the same.
        """
        shadow = self._orders[order_id]
        self.agrees(order_id)
        paid_out = sum(
            paid for kind, paid in self._paid(order_id).items() if kind != Charge.name
        )
        came = sum(amount for name, _, amount in self._payments() if name == order_id)
        if paid_out > came + self._paid(order_id)[Charge.name]:
            self._fail("I2", "more went out than came in", order_id)
        if shadow.ended and shadow.escrow:
            self._fail("I3", f"{shadow.escrow} are still held", order_id)

    def agrees(self, order_id: str) -> None:
        """
        I30: the books of an order, or of a wallet, are those of the gateway.
        """
        for kind, booked, paid in self.differences(order_id):
            self._fail(
                "I30", f"{kind}: the books say {booked}, the gateway {paid}", order_id
            )

    def _paid(self, order_id: str) -> Counter[str]:
        paid: Counter[str] = Counter()
        for applied in self._everything():
            if applied.order_id == order_id and applied.status == "paid":
                paid[applied.kind] += applied.amount.minor
        return paid

    def differences(self, order_id: str) -> Iterator[tuple[str, int, int]]:
        """
        Yield what is not the same in the books and at the gateway: of which kind, how
        much it is in the books, and how much at the gateway.
        """
        paid = self._paid(order_id)
        outgoing = self._outgoing(order_id)
        assert outgoing is not None
        for kind in (Refund.name, PayOut.name):
            booked = sum(
                amount
                for key, (owed, kind_, _, amount) in outgoing.keys.items()
                if kind_ == kind and owed.status == "paid" and owed.key == key
            )
            if paid[kind] != booked:
                yield kind, booked, paid[kind]

    def unpaid(self, order_id: str) -> Iterator[Owed]:
        """
        Yield what is still owed.
        """
        outgoing = self._outgoing(order_id)
        for owed in () if outgoing is None else outgoing.owed:
            if owed.status == "owed":
                yield owed


def _body(applied: Applied) -> tuple[str, str, int]:
    return applied.kind, applied.part, applied.amount.minor
