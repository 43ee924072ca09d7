"""
The gateway: what Stripe is asked for, and what is made of its answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NoReturn,
    TypeVar,
    cast,
    final,
)
from urllib.parse import urlsplit

import attrs
import stripe
from pendulum import DateTime

from ...clock import Clock, SystemClock, as_utc, as_window
from ...effects import (
    Charge,
    Done,
    Movement,
    NotDone,
    PayOut,
    Refund,
    ReleaseHold,
    Result,
    RetryAt,
    Unknown,
    effect_key,
)
from ...errors import GatewayError, InvalidInputError
from ...inputs import as_id, kind_of
from ...logs import told
from ...money import Money, Payment, as_amount
from .. import Capabilities
from .amounts import from_stripe, to_stripe
from .objects import ITEM, KEY, METHOD, ORDER, Made, Secret, became, mark

if TYPE_CHECKING:
    from stripe.params import (
        PaymentIntentCreateParams,
        RefundCreateParams,
        RefundListParams,
    )

__all__ = ["HOLD_LIFE", "Checkout", "StripeGateway"]

_LOG: Final = logging.getLogger("escrowflow.payments.stripe")

_T = TypeVar("_T")

# Keys are kept for at least a day (docs.stripe.com/api/idempotent_requests).
_KEYS_LIVE: Final = timedelta(hours=24)

# The shortest time for which a card is held online: that of Visa, where the buyer is
# not there (docs.stripe.com/payments/place-a-hold-on-a-payment-method).
HOLD_LIFE: Final = timedelta(days=4, hours=18)

# How long until somebody asks again: while another request is being worked on, while
# our own key is not accepted, and while money is under way, which webhooks tell sooner.
_BUSY: Final = timedelta(minutes=1)
_LOCKED_OUT: Final = timedelta(minutes=10)
_UNDER_WAY: Final = timedelta(hours=12)

# So many objects are looked through for a key, and so many come with one answer.
_LOOKED_MAX: Final = 1000
_PAGE: Final = 100


@final
@attrs.frozen(kw_only=True)
class Checkout:
    """
    A payment that a buyer is about to make.

    Attributes:
        reference: Stripe's id of it: `"pi_..."`.

        client_secret: What the page of the buyer needs to finish it; show it to
            nobody else.

        status: How it stands, as Stripe says: `"requires_payment_method"`.

        payment: The same, for an order that is placed when it is paid, or held,
            already.
    """

    reference: str
    client_secret: str = attrs.field(repr=False)
    status: str
    payment: Payment


@final
class StripeGateway:
    """
    Payments, holds, refunds and payouts by Stripe.

    Implements: `HoldingGateway`

    Each key is sent as Stripe's idempotency key, and is kept in the metadata of what
    was made: `look_up` reads the list of what was made for that payment or order,
    which shows at once what was written (docs.stripe.com/search, "Data freshness").

    Never give it the key of another account, or of the other mode, while money is on
    its way: what was made there would not be found.

    Args:
        api_key: A secret or restricted key: `sk_...` or `rk_...`.

        payouts: `"transfer"`: from the platform's balance to the seller's account at
            Stripe, which pays his bank in its own rhythm.  `"payout"`: from that
            account to his bank, for platforms whose charges arrive there.

        account_of: Returns a payee's account at Stripe, `"acct_..."`, by his id; empty
            if there is none yet.  It must not change while money is on its way.
            Without, the payee's id is taken for that of the account: right only if
            your sellers' ids are `acct_...`.

        reverse_transfers: Whether a refund takes back from the seller's account what
            was passed on with the payment (destination charges).

        refund_window: How long after a payment it can be given back, if you take
            payment methods that have such a limit; `None`: no limit, as with cards.

        hold_life: How long a bank holds money for us, at least.

        timeout: How long an answer may take; well below half of `Retries.lease`.

        name: What it is called in histories.

        base_address: Where Stripe is, if not at its own address: a mock.

        http_client: An HTTP client of the SDK, for proxies and tests; *timeout* is
            then its own affair.

        clock: That of the engine.

    Raises:
        InvalidInputError: If one of them is wrong by itself.
    """

    def __init__(
        self,
        api_key: str,
        *,
        payouts: Literal["transfer", "payout"] = "transfer",
        account_of: Callable[[str], str | None] | None = None,
        reverse_transfers: bool = False,
        refund_window: timedelta | str | None = None,
        hold_life: timedelta | str = HOLD_LIFE,
        timeout: timedelta | str = "PT20S",
        name: str = "stripe",
        base_address: str | None = None,
        http_client: stripe.HTTPClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        secret = Secret(api_key, "api_key", "sk_...")
        if secret.tell().startswith(("pk_", "whsec_")):
            raise InvalidInputError("api_key", "a secret key, sk_... or rk_...")
        if payouts not in ("transfer", "payout"):
            raise InvalidInputError("payouts", "'transfer' or 'payout'")
        if account_of is not None and not callable(account_of):
            raise InvalidInputError("account_of", "something to call with a payee's id")
        if clock is not None and not isinstance(clock, Clock):
            raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")
        self.name = as_id(name, "name")
        self.capabilities = Capabilities(
            idempotency_window=_KEYS_LIVE,
            look_up=True,
            refund_window=refund_window,
            hold_life=hold_life,
            asynchronous=True,
        )
        self._secret = secret
        self._hold_life = as_window(hold_life, "hold_life")
        self._payouts = payouts
        self._account_of = account_of
        self._reverse_transfers = reverse_transfers
        self._clock: Clock = clock if clock is not None else SystemClock()
        if http_client is None:
            seconds = as_window(timeout, "timeout").total_seconds()
            http_client = stripe.RequestsClient(timeout=(min(5.0, seconds), seconds))
        self._client = stripe.StripeClient(
            secret.tell(),
            http_client=http_client,
            # The engine tries again, under the same key; it alone knows the lease.
            max_network_retries=0,
            **_addresses(base_address),
        )

    def __repr__(self) -> str:
        return f"StripeGateway({self.name!r}, payouts={self._payouts!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a StripeGateway holds a key and is not pickled or copied: "
            "make it where it is used"
        )

    # --- for the host -------------------------------------------------------------

    def checkout(
        self,
        order_id: str,
        amount: Money,
        *,
        key: str,
        item: str = "order",
        method: str = "card",
        capture: Literal["automatic", "manual"] = "automatic",
        params: Mapping[str, Any] | None = None,
    ) -> Checkout:
        """
        Begin a payment: a PaymentIntent that names the order.

        Once it is paid, a webhook says so, and `StripeWebhooks` makes a
        `ConfirmPayment` of it.

        Args:
            order_id: The order, placed with `payment=None`.

            amount: What is to be paid: `order.amount_due`.

            key: The same key begins the same payment, for a day.

            item: What it is for: `"order"`, or the id of an add-on or offer.

            method: What this way to pay is called in the order.

            capture: `"manual"` has the bank hold the money: it is charged once the
                seller accepts, if the rules say so (`charge_at="acceptance"`).

            params: More of what Stripe's `PaymentIntent.create` takes, such as
                `customer`, `payment_method` or `transfer_data`.

        Raises:
            InvalidInputError: If something is wrong by itself.  Nothing was sent.

            GatewayError: If Stripe refused, or did not answer.
        """
        order_id, item = as_id(order_id, "order_id"), as_id(item, "item")
        method, key = as_id(method, "method"), as_id(key, "key")
        minor = to_stripe(as_amount(amount, "amount"))
        if capture not in ("automatic", "manual"):
            raise InvalidInputError("capture", "'automatic' or 'manual'")
        more = _more(params)
        marks = {ORDER: order_id, ITEM: item, METHOD: method}
        sent = {
            **more,
            "amount": minor,
            "currency": amount.currency.lower(),
            "metadata": {**more.get("metadata", {}), **marks},
        }
        held_until = None
        if capture == "manual":
            sent["capture_method"] = "manual"
            held_until = self._after(self._hold_life)
        made = self._asked(
            lambda: self._client.v1.payment_intents.create(
                cast("PaymentIntentCreateParams", sent),
                # Keys are one space at Stripe: ours, and those of two orders, differ.
                {"idempotency_key": effect_key(order_id, 0, "checkout", key)},
            )
        )
        return Checkout(
            reference=made.id,
            client_secret=made.client_secret or "",
            status=made.status,
            payment=Payment(method, made.id, amount, held_until),
        )

    def order_of(self, reference: str) -> str | None:
        """
        Return the order that a payment of Stripe's was made for; `None` if it is not
        ours.

        Args:
            reference: `"pi_..."` or `"ch_..."`.

        Raises:
            GatewayError: If Stripe cannot be asked now.
        """
        reference = as_id(reference, "reference")
        try:
            made = self._asked(
                lambda: (
                    self._client.v1.charges.retrieve(reference)
                    if _is_charge(reference)
                    else self._client.v1.payment_intents.retrieve(reference)
                ).to_dict()
            )
        except GatewayError as error:
            if error.code == "resource_missing":
                return None
            raise
        return mark(made, ORDER) or None

    # --- for the engine -----------------------------------------------------------

    def refund(self, effect: Refund) -> Result:
        """
        Give a part of a payment back, or all of it: a Refund of Stripe's.
        """
        params: RefundCreateParams = {"metadata": _marks(effect)}
        params[_paid_by(effect)] = effect.payment.reference
        if self._reverse_transfers:
            params["reverse_transfer"] = True
        return self._moved(
            effect,
            to_bank=False,
            send=lambda minor: self._client.v1.refunds.create(
                {**params, "amount": minor}, {"idempotency_key": effect.key}
            ),
        )

    def pay_out(self, effect: PayOut) -> Result:
        """
        Pay what was earned: a Transfer to the payee's account, or a Payout from there
        to his bank.
        """
        account = self._account(effect)
        if not account:
            return NotDone(
                f"{effect.payee_id} has no account at {self.name} yet: "
                "put it back when there is one"
            )
        currency = effect.amount.currency.lower()
        if self._payouts == "payout":
            return self._moved(
                effect,
                to_bank=True,
                send=lambda minor: self._client.v1.payouts.create(
                    {
                        "amount": minor,
                        "currency": currency,
                        "metadata": _marks(effect),
                    },
                    {"idempotency_key": effect.key, "stripe_account": account},
                ),
            )
        return self._moved(
            effect,
            to_bank=False,
            send=lambda minor: self._client.v1.transfers.create(
                {
                    "amount": minor,
                    "currency": currency,
                    "destination": account,
                    "transfer_group": effect.order_id,
                    "metadata": _marks(effect),
                },
                {"idempotency_key": effect.key},
            ),
        )

    def charge(self, effect: Charge) -> Result:
        """
        Take what the buyer's bank holds: capture a PaymentIntent.
        """
        return self._moved(
            effect,
            to_bank=False,
            send=lambda minor: self._client.v1.payment_intents.capture(
                effect.payment.reference,
                {"amount_to_capture": minor, "metadata": _marks(effect)},
                {"idempotency_key": effect.key},
            ),
        )

    def release(self, effect: ReleaseHold) -> Result:
        """
        Have the buyer's bank let go what it holds: cancel a PaymentIntent.
        """
        reference = effect.payment.reference
        try:
            self._client.v1.payment_intents.cancel(
                reference, {}, {"idempotency_key": effect.key}
            )
        except Exception as error:
            said = self._failed(error)
            if _code(error) != _ANOTHER_STATE:
                return said
        else:
            return Done(reference)
        # It was let go before, or by the bank; or it was charged.
        try:
            status = self._client.v1.payment_intents.retrieve(reference).status
        except Exception as error:
            return self._failed(error)
        return Done(reference) if status == "canceled" else said

    def look_up(self, effect: Movement) -> Result | None:
        """
        Return what became of a key; `None` if nothing was ever done under it.
        """
        if isinstance(effect, Charge):
            return self._charged(effect)
        account = self._account(effect) if isinstance(effect, PayOut) else ""
        if isinstance(effect, PayOut) and self._payouts == "payout" and not account:
            # Without one Stripe would show the platform's own payouts.
            return Unknown(f"{effect.payee_id} has no account at {self.name} any more")
        found = None
        try:
            for looked, one in enumerate(self._made_for(effect, account)):
                if looked >= _LOOKED_MAX:
                    return Unknown(
                        f"more than {_LOOKED_MAX} at {self.name} to look through",
                        give_up=True,
                    )
                made = one.to_dict()
                if mark(made, KEY) != effect.key:
                    continue
                found = made
                if became(made)[0] != "failed":
                    break
        except Exception as error:
            said = self._failed(error)
            # That a list cannot be read proves nothing about what would be in it.
            return Unknown(said.reason) if isinstance(said, NotDone) else said
        return None if found is None else self._said(effect, found)

    def _charged(self, effect: Charge) -> Result | None:
        """
        Return what became of a hold: it can be charged once only.
        """
        try:
            made = self._client.v1.payment_intents.retrieve(
                effect.payment.reference
            ).to_dict()
        except Exception as error:
            said = self._failed(error)
            return Unknown(said.reason) if isinstance(said, NotDone) else said
        if became(made)[0] != "paid":
            return None
        whose = mark(made, ORDER)
        if whose not in ("", effect.order_id):
            return Unknown(
                f"{self.name} charged {made.get('id')} for the order {whose!r}",
                give_up=True,
            )
        # Under whatever key, or by hand: the money is here (I29).
        return self._said(effect, made)

    # --- how it does it -----------------------------------------------------------

    def _moved(
        self,
        effect: Movement,
        *,
        to_bank: bool,
        send: Callable[[int], stripe.StripeObject],
    ) -> Result:
        """
        Have money moved, and return what became of it.
        """
        if isinstance(effect, (Refund, Charge)):
            came = effect.payment.amount
            if came is not None and came.currency != effect.amount.currency:
                # Stripe is told an amount, and takes the currency from the payment.
                return NotDone(f"the payment came in {came.currency}")
        try:
            minor = to_stripe(effect.amount, to_bank=to_bank)
        except InvalidInputError as error:
            # Before anything was sent, so it is sure.
            return NotDone(error.problem)
        try:
            made = send(minor).to_dict()
        except Exception as error:
            return self._failed(error)
        return self._said(effect, made)

    def _said(self, effect: Movement, made: Made) -> Result:
        """
        Return what became of an effect, by what was made for it.
        """
        reference = str(made.get("id") or "")
        # Of a payment, what was charged of it.
        minor = made.get("amount_received", made.get("amount"))
        try:
            amount = from_stripe(minor, made.get("currency"))  # type: ignore[arg-type]
        except InvalidInputError as error:
            return Unknown(f"{reference}: {error}", give_up=True)
        if amount != effect.amount or not reference:
            return Unknown(
                f"{self.name} made {reference} of {amount}, not of {effect.amount}",
                give_up=True,
            )
        status, reason = became(made)
        if status == "paid":
            return Done(reference)
        if status == "sent":
            return RetryAt(self._after(_UNDER_WAY), reference)
        return NotDone(f"{reference}: {reason}")

    def _made_for(
        self, effect: Movement, account: str
    ) -> Iterator[stripe.StripeObject]:
        """
        Return what was made for the same payment or order, newest first.
        """
        if isinstance(effect, Refund):
            params: RefundListParams = {"limit": _PAGE}
            params[_paid_by(effect)] = effect.payment.reference
            return iter(self._client.v1.refunds.list(params).auto_paging_iter())
        if self._payouts == "transfer":
            return iter(
                self._client.v1.transfers.list(
                    {"transfer_group": effect.order_id, "limit": _PAGE}
                ).auto_paging_iter()
            )
        return iter(
            self._client.v1.payouts.list(
                {"limit": _PAGE}, {"stripe_account": account}
            ).auto_paging_iter()
        )

    def _account(self, effect: PayOut) -> str:
        """
        Return the account of whoever is paid; empty if there is none yet.
        """
        if self._account_of is None:
            return effect.payee_id
        return self._account_of(effect.payee_id) or ""

    def _after(self, window: timedelta) -> DateTime:
        return as_utc(self._clock.now(), "clock") + window

    def _asked(self, ask: Callable[[], _T]) -> _T:
        """
        Return what Stripe answers to a host.
        """
        try:
            return ask()
        except Exception as error:
            code = _code(error)
            later = isinstance(self._failed(error), RetryAt)
            repeat = later or not isinstance(error, _NEVER)
            words = self._words(error, code)
        # Outside of the handler: what the SDK raised holds the request, with our key.
        raise GatewayError(self.name, words, code=code, repeat=repeat)

    def _failed(self, error: Exception) -> Result:
        """
        Return what is known when the SDK raised instead of answering.

        Source: docs.stripe.com/error-low-level, docs.stripe.com/error-codes.
        """
        code, status = _code(error), getattr(error, "http_status", None)
        if status == 401 or code in _OURS:
            _LOG.error(
                "%s does not accept this installation (%s): money waits until that is "
                "repaired",
                self.name,
                code or status,
                extra=told("locked_out", gateway=self.name, error=str(code or status)),
            )
            return RetryAt(self._after(_LOCKED_OUT))
        if status in (409, 429) or code in _LOCKS:
            # It was turned away before it began (F35).
            return RetryAt(self._after(_BUSY))
        words = self._words(error, code)
        if code == "resource_missing":
            # A payment that came, or an account that was connected, is not gone: this
            # key is of another account or of the other mode, perhaps (as for a 401).
            return Unknown(words)
        if isinstance(error, (stripe.CardError, stripe.InvalidRequestError)):
            # The answer is stored: it takes another key to be heard again.
            return NotDone(words, again=code == "balance_insufficient")
        # Nobody was reached, nobody answered, a 500, a 403 of one account; or the key
        # was sent with something else, by an older release perhaps, and what came of
        # that is not this request's to say (F32); or what nobody thought of.
        return Unknown(words)

    def _words(self, error: Exception, code: str) -> str:
        """
        Return what went wrong, for a human.
        """
        if not isinstance(error, stripe.StripeError):
            return f"no answer could be read: {type(error).__name__}"
        if error.http_status == 401:
            # What is said then may be the key itself.
            return "the key is not accepted"
        said = " ".join((error.user_message or type(error).__name__).split())
        said = said.rstrip(".")
        parts = [part for part in (code, error.request_id) if part]
        told = f" ({', '.join(parts)})" if parts else ""
        return self._secret.kept_from(f"{said}{told}")


# What a host asks in vain, however often it asks the same.
_NEVER: Final = (
    stripe.CardError,
    stripe.IdempotencyError,
    stripe.InvalidRequestError,
)

# What was asked for cannot be done to it any more.
_ANOTHER_STATE: Final = "payment_intent_unexpected_state"

# The same object or key is being worked on.
_LOCKS: Final = ("idempotency_key_in_use", "lock_timeout", "rate_limit")

# What is wrong with our key, our mode or our version, and so with every request.
_OURS: Final = (
    "api_key_expired",
    "livemode_mismatch",
    "platform_api_key_expired",
    "secret_key_required",
    "testmode_charges_only",
    "tls_version_unsupported",
)


def _code(error: Exception) -> str:
    """
    Return Stripe's code of an error; empty if it has none.
    """
    body = getattr(error, "json_body", None)
    told = body.get("error") if isinstance(body, Mapping) else None
    code = told.get("code") if isinstance(told, Mapping) else None
    return code if isinstance(code, str) else ""


def _is_charge(reference: str) -> bool:
    return reference.startswith(("ch_", "py_"))


def _paid_by(effect: Refund) -> Literal["charge", "payment_intent"]:
    """
    Return the parameter by which Stripe is told which payment is meant.
    """
    return "charge" if _is_charge(effect.payment.reference) else "payment_intent"


def _marks(effect: Movement) -> dict[str, str]:
    return {ORDER: effect.order_id, KEY: effect.key}


# What a host may not say itself of a payment.
_TAKEN: Final = ("amount", "capture_method", "currency")


def _more(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return what a host says of a payment beside what we say.
    """
    if not isinstance(params, (Mapping, type(None))):
        raise InvalidInputError("params", f"a mapping, not {kind_of(params)}")
    more = dict(params or {})
    metadata = more.get("metadata", {})
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(
            "params.metadata", f"a mapping, not {kind_of(metadata)}"
        )
    for name in (*more, *metadata):
        if name in _TAKEN or str(name).startswith("escrowflow_"):
            raise InvalidInputError("params", f"{name!r} is said by the order")
    return more


def _addresses(base_address: str | None) -> dict[str, Any]:
    """
    Return where Stripe is, as its SDK wants to know it.
    """
    if base_address is None:
        return {}
    if not isinstance(base_address, str):
        raise InvalidInputError("base_address", f"text, not {kind_of(base_address)}")
    parts = urlsplit(base_address)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        # The key goes there with every request.
        raise InvalidInputError("base_address", "https://..., or this very machine")
    return {"base_addresses": {"api": base_address.rstrip("/")}}
