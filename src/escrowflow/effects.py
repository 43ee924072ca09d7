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
from typing import Any, ClassVar, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from .clock import as_utc
from .commands import snake_case
from .errors import InvalidInputError
from .inputs import FrozenDict
from .money import Money, Payment

__all__ = [
    "Done",
    "Effect",
    "NotDone",
    "Notify",
    "PayOut",
    "Publish",
    "Refund",
    "Result",
    "RetryAt",
    "Unknown",
    "effect_key",
]


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
    text = f"{order_id}\x1f{seq}\x1f{kind}\x1f{part}\x1f{epoch}"
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


@final
@attrs.frozen(kw_only=True)
class Publish(Effect):
    """
    Pass on what was recorded: to a search index, a mailing, a webhook.

    Asked for only if the engine was told to (`Engine(publish=True)`); then once a
    commit, and carried out at least once.

    Attributes:
        first: The number of the first event.

        last: The number of the last one.
    """

    first: int
    last: int


# --- what became of it ------------------------------------------------------------

# What somebody else's program says: kept as far as it can be kept.
_SAID_MAX: Final = 2000


def _as_said(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputError("result", f"its words are a text, not {value!r}")
    kept = value[:_SAID_MAX].encode("utf-8", "replace").decode()
    return "".join(sign if sign.isprintable() else " " for sign in kept)


def _as_instant(value: object) -> DateTime:
    return as_utc(value, "instant")


@final
@attrs.frozen
class Done:
    """
    It was carried out.

    Attributes:
        reference: What whoever did it calls it: a refund's id at the provider.
    """

    reference: str = attrs.field(default="", converter=_as_said)


@final
@attrs.frozen
class NotDone:
    """
    It was refused, for good: nothing happened, and trying again would not help.

    Attributes:
        reason: Why, for the human who now has to look at it.
    """

    reason: str = attrs.field(converter=_as_said)


@final
@attrs.frozen
class Unknown:
    """
    It may have happened.  It is tried again under the same key.

    Attributes:
        reason: What is known, for a human.
    """

    reason: str = attrs.field(default="", converter=_as_said)


@final
@attrs.frozen
class RetryAt:
    """
    It has not happened yet; try again then, or a while later if that is over.  No
    attempt is counted.

    Attributes:
        instant: When.
    """

    instant: DateTime = attrs.field(converter=_as_instant)


Result: TypeAlias = Done | NotDone | Unknown | RetryAt
