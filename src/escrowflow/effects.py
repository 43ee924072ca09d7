"""
What the host must now do.

An effect is an imperative again, `PayOut`: the decision was made and the books
say so; somebody has to move the money or write the mail.  Effects are a function
of the event that caused them, and so are their keys: the same history asks for
the same things, for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, final

import attrs
from pendulum import DateTime

from .commands import snake_case
from .inputs import FrozenDict
from .money import Money, Payment

__all__ = ["Effect", "Notify", "PayOut", "Refund", "effect_key"]


def effect_key(order_id: str, seq: int, kind: str, part: str, epoch: int = 0) -> str:
    """
    Return the key under which an effect is carried out exactly once.

    Args:
        order_id: The order.

        seq: The number of the event that asks for it.

        kind: The kind of effect: `refund`.

        part: Which of several of that kind: a payment's reference.

        epoch: Raised only after a proof that nothing happened under the
            earlier key.
    """
    text = "\x1f".join((order_id, str(seq), kind, part, str(epoch)))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@attrs.frozen(kw_only=True)
class Effect:
    """
    Something the host must do; one of the classes below, or a host's own.

    Attributes:
        order_id: The order that asks for it.

        seq: The number of the event that asks for it.

        key: Unique for ever; hand it to the payment provider as the
            idempotency key.
    """

    order_id: str
    seq: int
    key: str

    name: ClassVar[str] = "effect"

    # Whether money moves: an outcome that is not known is then never guessed.
    moves_money: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = snake_case(cls.__name__)


@final
@attrs.frozen(kw_only=True)
class Refund(Effect):
    """
    Send money back to the payment it came with; one effect a payment.

    Attributes:
        payment: The payment.

        amount: How much of it goes back.

        expected_by: When the buyer should see it at the latest; an estimate.
    """

    moves_money: ClassVar[bool] = True

    payment: Payment
    amount: Money
    expected_by: DateTime


@final
@attrs.frozen(kw_only=True)
class PayOut(Effect):
    """
    Give the seller what he earned; available at once (R92).

    Attributes:
        seller_id: The seller.

        amount: What he gets, his fee already taken.
    """

    moves_money: ClassVar[bool] = True

    seller_id: str
    amount: Money


@final
@attrs.frozen(kw_only=True)
class Notify(Effect):
    """
    Tell somebody what happened.

    Attributes:
        kind: What happened: the name of the event.

        to: The role of who is told: `buyer`, `seller`, `mediator`, `operator`.

        recipient_id: Who is told; empty for staff.

        params: What the message is about.

        useless_after: The instant after which it is better not sent.
    """

    kind: str
    to: str
    recipient_id: str
    params: Mapping[str, Any] = attrs.field(factory=FrozenDict)
    useless_after: DateTime | None = None
