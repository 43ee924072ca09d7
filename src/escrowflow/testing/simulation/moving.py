"""
What really moves: the log of the gateway, held against what is owed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, final

from ...effects import Charge, PayOut, Refund
from ..gateways import Applied, SimulatedGateway
from .shadow import Findings, Owed

__all__ = ["Moving"]


@final
class Moving:
    """
    Reads the log of a gateway.

    Args:
        gateway: Where money really moves.
    """

    def __init__(self, gateway: SimulatedGateway, findings: Findings) -> None:
        self._gateway = gateway
        self._orders = findings.orders
        self._fail = findings.fail
        self._requests = 0
        self._seen = 0
        self._bodies: dict[str, Any] = {}

    def calls(self, effect: Any) -> None:
        """
        I7: nothing is carried out that was not committed before.
        """
        shadow = self._orders.get(effect.order_id)
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
        everything = self._gateway.applied
        if len(everything) > self._seen:
            self._seen = len(everything)
            self._follow(everything)
        for applied in everything:
            shadow = self._orders.get(applied.order_id)
            known = None if shadow is None else shadow.keys.get(applied.key)
            if shadow is None or known is None:
                self._fail("I7", f"{applied.kind}: nobody owed it", applied.order_id)
                continue
            owed, kind, part, amount = known
            if (applied.kind, applied.part, applied.amount.minor) != (
                kind,
                part,
                amount,
            ):
                self._fail("I5", f"{applied.kind}: not what is owed", applied.order_id)
            if applied.status == "failed":
                continue
            if applied.key in shadow.failed:
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

    def _follow(self, everything: Iterable[Applied]) -> None:
        """
        I2, I9: nothing goes back before it came, and nobody is paid before anything
        did; at no time has more gone than came.
        """
        came: Counter[tuple[str, str]] = Counter()
        for line in self._gateway.statement():
            if line.kind == "payment":
                came[line.order_id, line.part] += line.amount.minor
        whole: Counter[str] = Counter()
        for (order_id, _), amount in came.items():
            whole[order_id] += amount
        for one in everything:
            if one.status == "failed":
                continue
            amount = one.amount.minor
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
        I3: of an order that is over, and whose money is done, nothing is left.
        """
        shadow = self._orders[order_id]
        paid: Counter[str] = Counter()
        for applied in self._gateway.applied:
            if applied.order_id == order_id and applied.status == "paid":
                paid[applied.kind] += applied.amount.minor
        sums = {
            kind: sum(
                amount
                for key, (owed, kind_, _, amount) in shadow.keys.items()
                if kind_ == kind and owed.status == "paid" and owed.key == key
            )
            for kind in (Refund.name, PayOut.name)
        }
        for kind, amount in sums.items():
            if paid[kind] != amount:
                self._fail(
                    "I30",
                    f"{kind}: the books say {amount}, the gateway {paid[kind]}",
                    order_id,
                )
        came = sum(
            line.amount.minor
            for line in self._gateway.statement()
            if line.kind == "payment" and line.order_id == order_id
        )
        if paid[Refund.name] + paid[PayOut.name] > came + paid[Charge.name]:
            self._fail("I2", "more went out than came in", order_id)
        if shadow.ended and shadow.escrow:
            self._fail("I3", f"{shadow.escrow} are still held", order_id)

    def unpaid(self, order_id: str) -> Iterator[Owed]:
        """
        Yield what is still owed.
        """
        for owed in self._orders[order_id].owed:
            if owed.status == "owed":
                yield owed
