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
from .errors import InvalidInputError
from .inputs import FrozenDict, snake_case
from .money import Money, Payment
from .words import notice_text, subject_text

__all__ = [
    "EFFECTS",
    "Charge",
    "Done",
    "Effect",
    "Fact",
    "Movement",
    "NotDone",
    "Notify",
    "PayOut",
    "Publish",
    "Refund",
    "ReleaseHold",
    "Result",
    "RetryAt",
    "Unknown",
    "Withdraw",
    "effect_key",
]

# What a message may tell.
Fact: TypeAlias = str | int | Money | DateTime


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

        attempt: Which attempt this is, when it is handed over: 1 for the first, and
            never 1 for money that may have left.  Not part of the record.
    """

    order_id: str
    seq: int
    key: str
    attempt: int = attrs.field(default=1, eq=False)

    name: ClassVar[str] = "effect"

    # Whether money moves: an outcome that is not known is then never guessed.
    moves_money: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = snake_case(cls.__name__)


@attrs.frozen(kw_only=True)
class Movement(Effect):
    """
    Money moves: one of the classes below.

    Attributes:
        amount: How much.

        asked_at: When it was asked for: the provider never saw its key before.

        parked: Whether a human must look before it is carried out.

        first_tried: When somebody tried it first, or earlier; `None` if nobody did.
            Known when it is handed over; not part of the record, nor is the next one.

        last_tried: When the attempt before this one was over, or later; `None` if
            there was none.

        later_keys: The keys under which it would be sent next, if it were proved
            each time that nothing happened under the one before.
    """

    moves_money: ClassVar[bool] = True

    amount: Money
    asked_at: DateTime
    parked: bool = False
    first_tried: DateTime | None = attrs.field(default=None, eq=False)
    last_tried: DateTime | None = attrs.field(default=None, eq=False)
    later_keys: tuple[str, ...] = attrs.field(default=(), eq=False)


@final
@attrs.frozen(kw_only=True)
class Charge(Movement):
    """
    Take what the buyer's bank holds for us.

    Attributes:
        payment: The payment that was authorised.

        amount: All of it.

        order_ended: Whether the order ended meanwhile: do not charge it, but say what
            became of it; what was charged all the same goes back whole.  Known when it
            is handed over; not part of the record.
    """

    payment: Payment
    order_ended: bool = attrs.field(default=False, eq=False)


@final
@attrs.frozen(kw_only=True)
class ReleaseHold(Effect):
    """
    Have the buyer's bank let go what it holds; it would by itself, later.

    Attributes:
        payment: The payment that was authorised.
    """

    payment: Payment


@final
@attrs.frozen(kw_only=True)
class Refund(Movement):
    """
    Send money back to the payment it came with; one effect a payment.

    Attributes:
        payment: The payment.

        amount: How much of it goes back.

        expected_by: When the buyer should see it at the latest; an estimate.
    """

    payment: Payment
    expected_by: DateTime


@final
@attrs.frozen(kw_only=True)
class PayOut(Movement):
    """
    Give the seller what he earned; available at once (R92).

    Attributes:
        seller_id: The seller.

        payee_id: Who is paid: the seller, or whom staff named in his place.

        amount: What he gets, his fee already taken.
    """

    seller_id: str
    payee_id: str


@final
@attrs.frozen(kw_only=True)
class Withdraw(Movement):
    """
    Send a part of a wallet to its owner's bank (R92).

    Asked for by wallets, not by orders: `order_id` is the id of the wallet.

    Attributes:
        user_id: Whose wallet.

        payee_id: Who is paid: the user, or what he named in his place.
    """

    user_id: str
    payee_id: str

    @property
    def as_payout(self) -> PayOut:
        """
        What a payment gateway is asked to do, under the same key.
        """
        return PayOut(
            order_id=self.order_id,
            seq=self.seq,
            key=self.key,
            attempt=self.attempt,
            amount=self.amount,
            asked_at=self.asked_at,
            parked=self.parked,
            first_tried=self.first_tried,
            last_tried=self.last_tried,
            later_keys=self.later_keys,
            seller_id=self.user_id,
            payee_id=self.payee_id,
        )


@final
@attrs.frozen(kw_only=True)
class Notify(Effect):
    """
    Tell somebody what happened.

    Attributes:
        kind: What happened: the name of the event.

        to: The role of who is told: `buyer`, `seller`, `mediator`, `operator`.

        recipient_id: Who is told; empty for staff.

        params: What the message is about, by name: `state`, `cause`, `amount`,
            `due_at`.  Never what somebody wrote.

        useless_after: The instant after which it is better not sent.
    """

    kind: str
    to: str
    recipient_id: str
    params: Mapping[str, Fact] = attrs.field(factory=FrozenDict)
    useless_after: DateTime | None = None

    def subject(self, locale: str = "en") -> str:
        """
        Return what stands above the message: `Order delivered`.
        """
        return subject_text(self.kind, locale)

    def message(self, locale: str = "en", zone: str = "UTC") -> str:
        """
        Return what its reader is told: what happened, what money of theirs moves,
        and what runs now.

        Args:
            locale: The language; English where it is unknown.

            zone: Whose wall clock: a name of the IANA database.

        Raises:
            InvalidInputError: If the zone is unknown.
        """
        return notice_text(self.kind, self.to, self.params, locale, zone)


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


# What orders ask for, by the name that is stored.
EFFECTS: Final[Mapping[str, type[Effect]]] = {
    effect.name: effect
    for effect in (Charge, ReleaseHold, Refund, PayOut, Notify, Publish)
}


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

        key: Under which of the effect's `later_keys` it was done, if a restored backup
            has forgotten that it was sent under one; empty for its own key.
    """

    reference: str = attrs.field(default="", converter=_as_said)
    key: str = attrs.field(default="", converter=_as_said, kw_only=True)


@final
@attrs.frozen
class NotDone:
    """
    It was refused, for good: nothing happened, and trying again would not help.

    Attributes:
        reason: Why, for the human who now has to look at it.

        again: Whether it was proved that nothing happened, and it is sent again by
            itself, under another key.  Of money only.
    """

    reason: str = attrs.field(converter=_as_said)
    again: bool = attrs.field(default=False, kw_only=True)


@final
@attrs.frozen
class Unknown:
    """
    It may have happened.  It is tried again under the same key.

    Attributes:
        reason: What is known, for a human.

        give_up: Whether trying again would tell nothing: a human must look.
    """

    reason: str = attrs.field(default="", converter=_as_said)
    give_up: bool = attrs.field(default=False, kw_only=True)


@final
@attrs.frozen
class RetryAt:
    """
    It has not happened yet; try again then.

    No attempt is counted, however often.  An instant that is over is taken for a
    while from now, longer each time in a row.

    Attributes:
        instant: When.

        reference: What whoever does it calls it: then it is under way, and next time
            it is asked how it ended.
    """

    instant: DateTime = attrs.field(converter=_as_instant)
    reference: str = attrs.field(default="", converter=_as_said)


Result: TypeAlias = Done | NotDone | Unknown | RetryAt
