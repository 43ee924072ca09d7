"""
Webhooks: who is believed, and what an event means for an order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, final

import attrs
import stripe
from pendulum import DateTime

from ...clock import Clock, SystemClock, as_utc, as_window, from_micros
from ...commands import (
    Command,
    ConfirmPayment,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
from ...errors import InvalidInputError, NoticeRefusedError
from ...inputs import as_id, kind_of
from ...money import Payment
from .amounts import from_stripe
from .gateway import HOLD_LIFE
from .objects import ITEM, KEY, METHOD, ORDER, Made, Secret, became, mark

__all__ = ["Notice", "StripeWebhooks"]

# A notice of Stripe's is a few thousand characters.
_NOTICE_MAX: Final = 1024 * 1024

# How keys of the API begin, which are no signing secrets.
_KEYS: Final = ("sk_", "rk_", "pk_")

# What begins to be held after the year 5000 is nonsense.
_SECONDS_MAX: Final = 10**11


@final
@attrs.frozen(kw_only=True)
class Notice:
    """
    What a webhook says, and what to do with it.

        if notice.command is not None:
            engine.attempt(notice.order_id, notice.command, by=ef.Provider("stripe"))

    Attributes:
        id: Stripe's id of it: `"evt_..."`; the same when it comes again.

        type: What happened, as Stripe calls it: `"payment_intent.succeeded"`.

        order_id: The order it is about; empty if there is nothing to do.

        command: What to send as the provider; `None` if there is nothing to do.

        reason: Why there is nothing to do: `not_needed` (a type that says nothing of
            money that moved), `not_ours` (it is about nothing that escrowflow asked
            for), `not_taken` (a bank inquires, but took nothing), `other_account`
            (something on a seller's account that is not a payout).

        account: The seller's account at Stripe that it is about, if it is: whoever
            has a full account there can write such an object himself, so compare it
            with that of the payee.
    """

    id: str
    type: str
    order_id: str = ""
    command: Command | None = None
    reason: str = ""
    account: str = ""


@final
class StripeWebhooks:
    """
    Reads webhooks of Stripe's.

    Args:
        secrets: The signing secrets, `whsec_...`, one argument each; two while they
            are exchanged.

        order_of: Returns the order of a payment, by its reference; `None` if it is
            not ours: `gateway.order_of`, or a look into your own tables.  Chargebacks
            do not name their order.

        hold_life: How long a bank holds money for us, at least.

        tolerance: How old a webhook may be.  Stripe signs each attempt anew.

        clock: That of the machine; not one that was set for tests.

    Raises:
        InvalidInputError: If one of them is wrong by itself.
    """

    def __init__(
        self,
        *secrets: str,
        order_of: Callable[[str], str | None],
        hold_life: timedelta | str = HOLD_LIFE,
        tolerance: timedelta | str = "PT5M",
        clock: Clock | None = None,
    ) -> None:
        if not secrets:
            raise InvalidInputError("secrets", "at least one, whsec_...")
        if not callable(order_of):
            raise InvalidInputError("order_of", "something to call with a reference")
        if clock is not None and not isinstance(clock, Clock):
            raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")
        self._secrets = tuple(Secret(one, "secrets", "whsec_...") for one in secrets)
        if any(one.tell().startswith(_KEYS) for one in self._secrets):
            # With a key of the API every webhook would be refused.
            raise InvalidInputError("secrets", "signing secrets, whsec_..., not a key")
        self._order_of = order_of
        self._hold_life = as_window(hold_life, "hold_life")
        self._tolerance = as_window(tolerance, "tolerance")
        self._clock: Clock = clock if clock is not None else SystemClock()

    def __repr__(self) -> str:
        return f"StripeWebhooks(<{len(self._secrets)} secrets>)"

    def read(self, payload: bytes, signature: str | None) -> Notice:
        """
        Return what a webhook says.

        Args:
            payload: The body of the request, as it came: not parsed, not decoded.

            signature: Its header `Stripe-Signature`.

        Raises:
            InvalidInputError: If the payload is no bytes: what was parsed or decoded
                before has another signature, and would be refused for ever.

            NoticeRefusedError: If it is not from Stripe, too old, or makes no sense.

            GatewayError: If Stripe had to be asked for the order of a chargeback, and
                could not be.
        """
        if not isinstance(payload, bytes):
            raise InvalidInputError(
                "payload",
                "the body of the request as bytes, as it came (`await request.body()`, "
                f"`request.get_data()`), neither parsed nor decoded, not {kind_of(payload)}",
            )
        if not isinstance(signature, (str, type(None))):
            raise InvalidInputError(
                "signature", f"the header Stripe-Signature, not {kind_of(signature)}"
            )
        self._check(payload, signature)
        event = _parsed(payload)
        account = event.get("account")
        said = _Said(
            id=_named(event, "id"),
            type=_named(event, "type"),
            account=account if isinstance(account, str) else "",
            about=event["data"]["object"],
            created=event.get("created"),
            hold_life=self._hold_life,
        )
        try:
            notice = said.notice()
        except (InvalidInputError, KeyError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            return self._found(notice)
        raise NoticeRefusedError("unreadable", f"{said.type} {said.id}: {problem}")

    def _found(self, notice: Notice) -> Notice:
        """
        Return a notice with its order: a chargeback does not name it.
        """
        if not isinstance(notice.command, ReportChargeback):
            return notice
        order_id = self._order_of(notice.command.payment_reference)
        if not order_id:
            return attrs.evolve(notice, command=None, reason="not_ours")
        return attrs.evolve(notice, order_id=as_id(order_id, "order_of"))

    def _check(self, payload: bytes, signature: str | None) -> None:
        """
        Raise unless Stripe sent this, and lately.
        """
        if not signature:
            raise NoticeRefusedError("unsigned", "it has no Stripe-Signature")
        if len(payload) > _NOTICE_MAX:
            raise NoticeRefusedError("malformed", f"longer than {_NOTICE_MAX} bytes")
        if not any(_signed(payload, signature, secret) for secret in self._secrets):
            raise NoticeRefusedError(
                "wrong_signature", "no secret of ours signed this, or it was changed"
            )
        signed_at = _signed_at(signature)
        now = as_utc(self._clock.now(), "clock")
        if now.timestamp() - signed_at > self._tolerance.total_seconds():
            raise NoticeRefusedError("stale", "it was signed too long ago")


def _signed(payload: bytes, signature: str, secret: Secret) -> bool:
    """
    Whether a payload was signed with a secret.
    """
    try:
        # How old it is, is asked of our own clock.
        stripe.WebhookSignature.verify_header(
            payload, signature, secret.tell(), tolerance=None
        )
    except Exception:
        # Besides its own error it raises whatever a strange header makes it raise.
        return False
    return True


def _signed_at(signature: str) -> int:
    """
    Return when it was signed, in seconds: the first `t`, which is what was signed.
    """
    stamps = (part.split("=") for part in signature.split(","))
    return next(int(stamp[1]) for stamp in stamps if stamp[0] == "t")


def _parsed(payload: bytes) -> dict[str, Any]:
    """
    Return the event that a payload holds.
    """
    try:
        event = json.loads(payload)
        if isinstance(event["data"]["object"], dict) and event["object"] == "event":
            assert isinstance(event, dict)
            return event
        problem = "it holds no event"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"it holds no event: {type(error).__name__}"
    raise NoticeRefusedError("malformed", problem)


def _named(event: Made, name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


@final
@attrs.frozen(kw_only=True)
class _Said:
    """
    An event that Stripe vouches for.
    """

    id: str
    type: str
    account: str
    about: dict[str, Any]
    created: object
    hold_life: timedelta

    def notice(self) -> Notice:
        """
        Return what it means.
        """
        kind = self.about.get("object")
        read = _READ.get(kind) if isinstance(kind, str) else None
        if read is None or self.type in _NOT_NEEDED:
            return self._nothing("not_needed")
        if self.account and kind != "payout":
            # On his own account a seller writes what he likes.
            return self._nothing("other_account")
        return read(self)

    def payment_intent(self) -> Notice:
        """
        Money arrived, or a bank holds it, or does no longer.
        """
        about = self.about
        order_id = mark(about, ORDER)
        if not order_id:
            return self._nothing("not_ours")
        if self.type == "payment_intent.canceled" and _was_held(about):
            report = ReportCharge(
                reference=about["id"],
                status="failed",
                reason=f"Stripe: {about.get('cancellation_reason') or 'canceled'}",
            )
            return self._to(order_id, report)
        # What arrived, which need not be what was asked for (F44).
        minor, held_until = about.get("amount_received", about.get("amount")), None
        if self.type == "payment_intent.amount_capturable_updated":
            if about.get("status") != "requires_capture":
                return self._nothing("not_needed")
            minor, held_until = about.get("amount_capturable"), self._held_until()
        elif self.type != "payment_intent.succeeded":
            return self._nothing("not_needed")
        payment = Payment(
            mark(about, METHOD) or "card",
            about["id"],
            from_stripe(minor, about["currency"]),  # type: ignore[arg-type]
            held_until,
        )
        item = mark(about, ITEM) or "order"
        return self._to(order_id, ConfirmPayment(payment=payment, item=item))

    def _held_until(self) -> DateTime:
        """
        Return until when a bank holds what it began to hold when this happened.
        """
        if type(self.created) is not int or not 0 <= self.created < _SECONDS_MAX:
            raise InvalidInputError("created", "seconds since 1970")
        return from_micros(self.created * 1_000_000) + self.hold_life

    def moved(self) -> Notice:
        """
        Something became of money that we sent.
        """
        about = self.about
        order_id, key = mark(about, ORDER), mark(about, KEY)
        if not (order_id and key):
            return self._nothing("not_ours")
        status, reason = became(about)
        report = ReportRefund if about["object"] == "refund" else ReportPayout
        return self._to(
            order_id,
            report(
                key=key,
                status=status,
                reference=about["id"],
                amount=from_stripe(about["amount"], about["currency"]),
                reason=reason,
            ),
        )

    def dispute(self) -> Notice:
        """
        A bank takes a payment back, or has decided.
        """
        about = self.about
        status = _DISPUTES.get(about["status"])
        if status is None:
            return self._nothing("not_taken")
        reference = about.get("payment_intent") or about["charge"]
        amount = from_stripe(about["amount"], about["currency"])
        kept = None if status == "opened" else _kept(about)
        if kept is not None:
            # However the verdict is called, this is what it comes to.
            status = "lost" if kept > 0 else "won"
            amount = from_stripe(max(kept, 0), about["currency"])
        return self._to(
            "",
            ReportChargeback(
                chargeback_id=about["id"],
                payment_reference=reference,
                status=status,
                amount=None if status == "won" else amount,
            ),
        )

    def _to(self, order_id: str, command: Command) -> Notice:
        return Notice(
            id=self.id,
            type=self.type,
            order_id=order_id,
            command=command,
            account=self.account,
        )

    def _nothing(self, reason: str) -> Notice:
        return Notice(id=self.id, type=self.type, reason=reason, account=self.account)


# What an event is about, and who reads it.
_READ: Final[Mapping[str, Callable[[_Said], Notice]]] = {
    "payment_intent": _Said.payment_intent,
    "refund": _Said.moved,
    "transfer": _Said.moved,
    "payout": _Said.moved,
    "dispute": _Said.dispute,
}

# What is about one of these and tells nothing new of it.
_NOT_NEEDED: Final = ("payout.reconciliation_completed",)

# What a bank's verdict is, by the status of its dispute.  An inquiry (`warning_...`)
# and one that was prevented have taken nothing.
_DISPUTES: Final[Mapping[str, Literal["opened", "won", "lost"]]] = {
    "needs_response": "opened",
    "under_review": "opened",
    "appeal_needs_response": "opened",
    "appeal_under_review": "opened",
    "won": "won",
    "lost": "lost",
}


def _was_held(about: Made) -> bool:
    """
    Whether a bank held the money of a payment that is charged later.
    """
    return about.get("capture_method") == "manual" and bool(about.get("latest_charge"))


def _kept(about: Made) -> int | None:
    """
    Return how much of what a bank took it has kept, once it has given something back;
    `None` if that cannot be told.
    """
    moves = about.get("balance_transactions") or ()
    if any(move["currency"] != about["currency"] for move in moves):
        # It was taken from a balance in another currency.
        return None
    amounts = [move["amount"] for move in moves]
    return -sum(amounts) if any(amount > 0 for amount in amounts) else None
