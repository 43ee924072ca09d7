"""
Moves: what a step does to the money, told for people.
"""

from __future__ import annotations

from typing import Final, final

import attrs

from ..money import Money
from ..order import Order
from ..parts import Estimate

__all__ = ["Move", "moved"]


@final
@attrs.frozen(kw_only=True)
class Move:
    """
    Money that a command moves.

    Attributes:
        to: Where it goes: `"buyer"`, `"seller"`, `"platform"`, or `"escrow"` if it is
            held from then on.

        least: The least it can be.

        most: The most it can be; another amount than *least* if the payload decides.

        shows: When the buyer will see it: the earliest and the latest; `None` if it
            goes to nobody's bank account.
    """

    to: str
    least: Money
    most: Money
    shows: Estimate | None = None


# Whose money it is, as it stands in a ledger.
_SIDES: Final = {
    "escrow": "held",
    "buyer": "refunded",
    "seller": "released",
    "platform": "kept",
}


def moved(before: Order, *outcomes: Order) -> tuple[Move, ...]:
    """
    Return what each side has more than before.

    Args:
        outcomes: The order after the step; after several of them, if the amounts are
            not known.
    """
    found = []
    for side, name in _SIDES.items():
        old: Money = getattr(before.ledger, name)
        new: list[Money] = [getattr(one.ledger, name) for one in outcomes]
        if max(new) > old:
            found.append(
                Move(
                    to=side,
                    least=max(min(new), old) - old,
                    most=max(new) - old,
                    shows=_shows(before, outcomes) if side == "buyer" else None,
                )
            )
    return tuple(found)


def _shows(before: Order, outcomes: tuple[Order, ...]) -> Estimate | None:
    estimates = [
        refund.estimate
        for after in outcomes
        for refund in after.refunds[len(before.refunds) :]
    ]
    first = min((first for first, _ in estimates), default=None)
    last = max((last for _, last in estimates), default=None)
    return None if first is None or last is None else (first, last)
