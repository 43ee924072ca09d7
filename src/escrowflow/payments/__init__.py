"""
Payment gateways: what they can do, and how money moves through them exactly once.

- A gateway says what it can do (`Capabilities`); nothing is assumed.
- What became of a request is done, not done, or unknown.  Unknown stays unknown: the
  same key again as long as the gateway remembers it, then a question, then a human.
- A new key is used only once it is proved that nothing happened under the old one.

    engine.run_effects({**payments.handlers(gateway), ef.Notify: send_mail})

An adapter is right when it passes `escrowflow.testing.GatewayContract`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias, final, runtime_checkable

import attrs
from pendulum import DateTime

from ..clock import Clock, Months, SystemClock, as_utc, as_window, window_text
from ..effects import (
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
    Withdraw,
    effect_key,
)
from ..errors import InvalidInputError
from ..inputs import as_id, has_all, kind_of, lacking
from ..money import Payment
from ..rules import Policies
from ..states import Process
from ..wallet import METHOD as WALLET
from .differences import Booked, Difference
from .lines import Line, lines_of_csv
from .reconciliation import reconcile, reconcile_async

__all__ = [
    "Booked",
    "Capabilities",
    "Difference",
    "HoldingGateway",
    "Line",
    "Misfit",
    "PaymentGateway",
    "fits",
    "handlers",
    "lines_of_csv",
    "reconcile",
    "reconcile_async",
    "refund_windows",
]

# A request that is still on its way may arrive this much later: within it of its end,
# a window counts as over (F30).
_MARGIN: Final = timedelta(minutes=5)

# So often a key that is known is sent, though a look-up finds nothing done under it:
# for half an hour, with the waits of `Retries`.
_SAME_KEY_MAX: Final = 8


def _as_life(value: object, field: str) -> timedelta | None:
    if value is None:
        return None
    # Nothing at all is a length here: such a gateway remembers no key.
    if isinstance(value, timedelta) and not value:
        return timedelta()
    return as_window(value, field)


def _as_window(value: object) -> timedelta | None:
    return _as_life(value, "idempotency_window")


def _as_hold(value: object) -> timedelta | None:
    return _as_life(value, "hold_life")


def _as_refund(value: object) -> timedelta | None:
    return _as_life(value, "refund_window")


def _is_truth(_: object, field: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidInputError(field.name, f"true or false, not {kind_of(value)}")


@final
@attrs.frozen(kw_only=True)
class Capabilities:
    """
    What a gateway can do, as its own documentation says.

    Attributes:
        idempotency_window: How long it remembers a key and answers it again; `None`
            for ever, `timedelta()` not at all.

        look_up: Whether it can be asked what became of a key.

        partial_refunds: Whether it gives back a part of a payment.

        refund_window: How long after a payment it gives it back; `None`: no limit.

        hold_life: How long an authorisation lasts; `None`: it cannot hold.

        asynchronous: Whether an answer may be "under way", the end told later.

    Raises:
        InvalidInputError: If one of them is no length, or neither true nor false.
    """

    idempotency_window: timedelta | None = attrs.field(converter=_as_window)
    look_up: bool = attrs.field(validator=_is_truth)
    partial_refunds: bool = attrs.field(default=True, validator=_is_truth)
    refund_window: timedelta | None = attrs.field(default=None, converter=_as_refund)
    hold_life: timedelta | None = attrs.field(default=None, converter=_as_hold)
    asynchronous: bool = attrs.field(default=False, validator=_is_truth)

    def remembers(self, age: timedelta) -> bool:
        """
        Whether a key of this age is answered again, for sure.
        """
        window = self.idempotency_window
        # A clock that was set back makes a key younger than it is, and never known to
        # whoever knows none (F48).
        age = max(age, timedelta())
        return window is None or age + min(_MARGIN, window / 2) < window


@runtime_checkable
class PaymentGateway(Protocol):
    """
    A payment provider, as escrowflow sees it.

    Each verb is called with an effect: its `key` is the idempotency key, and what it
    says is the whole request, the same for the same key for ever.  A verb returns

    - `Done(reference)`: it happened;
    - `NotDone(reason)`: it did not, for sure, and never will under this key;
    - `RetryAt(instant, reference)`: it is under way; ask again then;
    - `RetryAt(instant)`: nothing happened yet, or the same request is running;
    - `Unknown(reason)`, or any exception: it may have happened.
    """

    @property
    def name(self) -> str:
        """
        What it is called in histories: `"stripe"`.
        """
        ...

    @property
    def capabilities(self) -> Capabilities:
        """
        What it can do.
        """
        ...

    def refund(self, effect: Refund) -> Result:
        """
        Give a part of a payment back, or all of it.
        """
        ...

    def pay_out(self, effect: PayOut) -> Result:
        """
        Pay what was earned to `effect.payee_id`.
        """
        ...

    def look_up(self, effect: Movement) -> Result | None:
        """
        Return what became of a key; `None` if nothing was ever done under it.

        Only asked of a gateway whose capabilities say so.
        """
        ...


@runtime_checkable
class HoldingGateway(PaymentGateway, Protocol):
    """
    A payment provider that can authorise first and charge later.
    """

    def charge(self, effect: Charge) -> Result:
        """
        Take what the buyer's bank holds; all of it.
        """
        ...

    def release(self, effect: ReleaseHold) -> Result:
        """
        Have the buyer's bank let go what it holds.

        May be called again: what was let go already is `Done`, what was charged
        already is `NotDone`.
        """
        ...


def _as_gateway(value: Any, field: str) -> PaymentGateway:
    if isinstance(value, type) or not has_all(value, PaymentGateway):
        raise InvalidInputError(field, lacking(value, PaymentGateway))
    gateway: PaymentGateway = value
    return gateway


def _as_methods(value: object) -> dict[str, PaymentGateway]:
    """
    Return gateways by payment method, checked.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            "methods",
            f"gateways by method of payment, {{'wallet': ...}}, not {kind_of(value)}",
        )
    return {
        as_id(method, "methods"): _as_gateway(one, f"methods[{method!r}]")
        for method, one in value.items()
    }


Handlers: TypeAlias = dict[type[Any], Callable[[Any], Result]]


def handlers(
    gateway: PaymentGateway,
    *,
    methods: Mapping[str, PaymentGateway] | None = None,
    payouts: PaymentGateway | None = None,
    withdrawals: PaymentGateway | None = None,
    clock: Clock | None = None,
    restored_at: datetime | str | None = None,
) -> Handlers:
    """
    Return what carries out refunds, payouts, charges and withdrawals, for
    `run_effects` and workers.

    Args:
        gateway: The one that is used unless another one is named.

        methods: Gateways by payment method: `{"wallet": wallets}`; a refund or a
            charge goes through the gateway of its payment.  What was paid by
            `"wallet"` never goes through *gateway* unless that is `Wallets`: without
            one of its own it waits, and is in `stuck()`.

        payouts: The one that pays sellers.

        withdrawals: The one that pays banks out of wallets, so not the `Wallets`;
            without, withdrawals are left to another worker.

        clock: That of the engine.

        restored_at: When the database was restored from a backup, if it was: what was
            asked for before may have been sent already.  It is looked up first, and
            so is everything that is asked for since, for as long as you pass this:
            what was lost may be asked for anew, under the same key.

    Raises:
        InvalidInputError: If one of them is no gateway, no clock, or no instant.
    """
    gateway = _as_gateway(gateway, "gateway")
    routes = _as_methods(methods)
    payer = gateway if payouts is None else _as_gateway(payouts, "payouts")
    if clock is not None and not has_all(clock, Clock):
        raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")
    mover = _Mover(
        clock=clock if clock is not None else SystemClock(),
        restored_at=None if restored_at is None else as_utc(restored_at, "restored_at"),
    )

    def route(payment: Payment) -> PaymentGateway | None:
        through = routes.get(payment.method)
        if through is None and (payment.method != WALLET or _has_wallets(gateway)):
            through = gateway
        return through

    def refund(effect: Refund) -> Result:
        through = route(effect.payment)
        if through is None:
            return mover.unroutable(effect)
        return mover.move(through, through.refund, effect)

    def pay_out(effect: PayOut) -> Result:
        return mover.move(payer, payer.pay_out, effect)

    def charge(effect: Charge) -> Result:
        through = route(effect.payment)
        if through is None:
            return Unknown(_UNROUTABLE, give_up=True)
        if not isinstance(through, HoldingGateway):
            return cannot_hold(through)
        return mover.move(through, through.charge, effect)

    def release(effect: ReleaseHold) -> Result:
        through = route(effect.payment)
        if through is None:
            return Unknown(_UNROUTABLE, give_up=True)
        if not isinstance(through, HoldingGateway):
            return cannot_hold(through)
        return through.release(effect)

    found: Handlers = {
        Refund: refund,
        PayOut: pay_out,
        Charge: charge,
        ReleaseHold: release,
    }
    if withdrawals is not None:
        bank = _as_gateway(withdrawals, "withdrawals")
        if _has_wallets(bank):
            raise InvalidInputError(
                "withdrawals",
                f"the gateway that pays banks, not {kind_of(bank)}: money that is "
                "withdrawn would only come back to a wallet",
            )

        def withdraw(effect: Withdraw) -> Result:
            return mover.move(bank, bank.pay_out, effect.as_payout)

        found[Withdraw] = withdraw
    return found


def _has_wallets(gateway: PaymentGateway) -> bool:
    """
    Whether a gateway pays into wallets and nowhere else: `Wallets` is called so.
    """
    return gateway.name == WALLET


_UNROUTABLE: Final = (
    f"no gateway for payments by {WALLET!r} in this worker: name it, "
    f"payments.handlers(..., methods={{{WALLET!r}: wallets}}), and put this back"
)

_TOO_LATE: Final = NotDone("the order ended before it was charged")


def _is_over(effect: Movement) -> bool:
    """
    Whether nobody wants it any more.
    """
    return isinstance(effect, Charge) and effect.order_ended


def cannot_hold(gateway: PaymentGateway) -> Result:
    """
    Return what is said of a hold that was given to a gateway without the verbs for it:
    a human must look.
    """
    return Unknown(
        f"{gateway.name} is no HoldingGateway: it neither charges nor releases holds",
        give_up=True,
    )


@final
@attrs.frozen(kw_only=True)
class _Mover:
    """
    Sends each request once, as far as a gateway lets anybody know.
    """

    clock: Clock
    restored_at: DateTime | None

    def move(
        self,
        gateway: PaymentGateway,
        send: Callable[[Any], Result],
        effect: Movement,
    ) -> Result:
        """
        Return what became of an effect, having sent it if that was safe.
        """
        can = gateway.capabilities
        now = as_utc(self.clock.now(), "clock")
        tried = self._last_tried(can, effect)
        if tried is None:
            # Nobody wants it any more.
            return _TOO_LATE if _is_over(effect) else send(effect)
        restored = self._restored(effect)
        # A request that is on its way still may make anything untrue that is said now.
        settled = now - tried >= _MARGIN
        first = effect.first_tried or effect.asked_at
        remembered = can.remembers(now - first)
        if can.look_up:
            found = self._found(gateway, effect)
            if found is not None:
                return found
            if not (remembered or settled):
                return RetryAt(now + _MARGIN)
            if settled and effect.attempt > (_SAME_KEY_MAX if remembered else 1):
                # Proved: under another key nothing can happen twice (I29).  Some give
                # the failure that they stored for as long as they know the key (F33).
                return NotDone("looked up: nothing was done under this key", again=True)
            if _is_over(effect):
                # It is not sent again to find out.
                return _TOO_LATE if settled else RetryAt(now + _MARGIN)
        elif isinstance(effect, Charge) and effect.order_ended:
            return self._let_go(gateway, effect) if settled else RetryAt(now + _MARGIN)
        elif restored or not remembered:
            what = "knows what was lost" if restored else "still knows this key"
            return Unknown(
                f"nobody can say whether {gateway.name} {what}: look there, and report "
                "what you find",
                give_up=True,
            )
        said = send(effect)
        if isinstance(said, NotDone) and not settled:
            return RetryAt(now + _MARGIN)
        return said

    def unroutable(self, effect: Refund) -> Result:
        """
        Return what is said of a refund that has no gateway here: nothing is sent.
        """
        if (
            effect.attempt > 1
            or effect.last_tried is not None
            or self.restored_at is not None
        ):
            # Another worker, that has the gateway, may have sent it.
            return Unknown(_UNROUTABLE, give_up=True)
        return NotDone(_UNROUTABLE)

    def _let_go(self, gateway: PaymentGateway, effect: Charge) -> Result:
        """
        Return what became of a charge that nobody wants any more and that cannot be
        looked up: what can be let go was not charged, and will not be.
        """
        # Others are turned away before.
        assert isinstance(gateway, HoldingGateway)
        key = effect_key(effect.order_id, effect.seq, ReleaseHold.name, effect.key)
        said = gateway.release(
            ReleaseHold(
                order_id=effect.order_id,
                seq=effect.seq,
                key=key,
                payment=effect.payment,
            )
        )
        if isinstance(said, Done):
            return _TOO_LATE
        return Done() if isinstance(said, NotDone) else said

    def _last_tried(self, can: Capabilities, effect: Movement) -> DateTime | None:
        """
        Return until when it may have been sent before; `None` if it never was.
        """
        tried: DateTime | None = None
        if effect.attempt > 1:
            # Handed over by somebody who does not know: it may be on its way.
            tried = effect.last_tried or as_utc(self.clock.now(), "clock")
        elif can.idempotency_window != timedelta():
            # "The same request is running": only who knows keys can say that.
            tried = effect.last_tried
        restored = self.restored_at
        if restored is not None and (can.look_up or self._restored(effect)):
            return restored if tried is None else max(tried, restored)
        return tried

    def _restored(self, effect: Movement) -> bool:
        """
        Whether it may have been sent by what was lost when a backup was restored.
        """
        return self.restored_at is not None and effect.asked_at <= self.restored_at

    def _found(self, gateway: PaymentGateway, effect: Movement) -> Result | None:
        """
        Return what became of a key; after a restored backup also of those under which
        it may have been sent next, by what was lost.
        """
        found = gateway.look_up(effect)
        if self.restored_at is None or isinstance(found, (Done, RetryAt)):
            return found
        for key in effect.later_keys:
            later = gateway.look_up(attrs.evolve(effect, key=key))
            if isinstance(later, Done):
                # Once more under a key that was used would be no new request.
                return attrs.evolve(later, key=key)
            if isinstance(later, RetryAt):
                return later
        return found


# --- whether a gateway fits -------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Misfit:
    """
    Something that a process asks and a gateway cannot do.

    Attributes:
        code: What: `holds`, `hold_life`, `refund_window`, `partial_refunds`.

        asked: What the process asks.

        offered: What the gateway can do.

        refused: Whether it must not be used so; otherwise it is a warning.
    """

    code: str
    asked: str
    offered: str
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.code}: asked {self.asked}, offered {self.offered}"


def fits(process: Process[Policies], gateway: PaymentGateway) -> tuple[Misfit, ...]:
    """
    Return what a process asks and a gateway cannot do; empty if it fits.

    Raises:
        InvalidInputError: If one of them is no process, or no gateway.
    """
    if not isinstance(process, Process):
        raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
    can = _as_gateway(gateway, "gateway").capabilities
    found: list[Misfit] = []
    if process.policies.acceptance.charge_at == "acceptance":
        found += _holds(process.policies, gateway)
    if can.refund_window is not None:
        longest = _longest(process.policies)
        if longest is None or longest > can.refund_window:
            found.append(
                Misfit(
                    code="refund_window",
                    asked=_asked(process.policies),
                    offered=f"refund_window={window_text(can.refund_window)}",
                )
            )
    if not can.partial_refunds:
        found.append(
            Misfit(
                code="partial_refunds",
                asked="partial refunds by agreement, and rulings that split",
                offered="whole payments only",
            )
        )
    return tuple(found)


def _holds(policies: Policies, gateway: PaymentGateway) -> Iterable[Misfit]:
    """
    Yield what is asked of holds and not offered: nobody may wait for longer than the
    bank does.
    """
    life = gateway.capabilities.hold_life
    asked = "charge_at='acceptance'"
    if life is None or not isinstance(gateway, HoldingGateway):
        offered = "no charge of what was authorised"
        yield Misfit(code="holds", asked=asked, offered=offered, refused=True)
        return
    # Paid in parts, the first one waits for the last one.
    pay_by = policies.lifetime.payment_window
    accept_by = policies.acceptance.acceptance_window
    if pay_by + accept_by > life:
        yield Misfit(
            code="hold_life",
            asked=f"payment_window={window_text(pay_by)} + "
            f"acceptance_window={window_text(accept_by)}",
            offered=f"hold_life={window_text(life)}",
            refused=True,
        )


def refund_windows(
    gateway: PaymentGateway, *, methods: Mapping[str, PaymentGateway] | None = None
) -> dict[str, timedelta | None]:
    """
    Return how long payments can go back, by method: for `Engine(refund_windows=...)`,
    whose `stuck()` then names those that are held for too long.

    The arguments are those of `handlers`.

    Raises:
        InvalidInputError: If one of them is no gateway.
    """
    return {
        "*": _as_gateway(gateway, "gateway").capabilities.refund_window,
        **{
            method: one.capabilities.refund_window
            for method, one in _as_methods(methods).items()
        },
    }


# No month is longer, and no twelve of them.
_MONTH_MAX: Final = timedelta(days=31)
_YEAR_MAX: Final = timedelta(days=366)


def _longest(policies: Policies) -> timedelta | None:
    """
    Return how long after its first payment an order may still give it back, disputes
    and the platform's own checks left aside; `None` for ever.
    """
    lifetime = policies.lifetime
    cap = lifetime.order_cap
    if cap is None:
        return None
    if isinstance(cap, Months):
        years, months = divmod(cap.count, 12)
        cap = years * _YEAR_MAX + months * _MONTH_MAX
    # Paid in parts, the first one waits for the last one.
    return lifetime.payment_window + cap + (lifetime.cap_grace or timedelta())


def _asked(policies: Policies) -> str:
    lifetime = policies.lifetime
    if lifetime.order_cap is None:
        return "order_cap=None: an order may live for ever"
    parts = [
        f"payment_window={window_text(lifetime.payment_window)}",
        f"order_cap={window_text(lifetime.order_cap)}",
    ]
    if lifetime.cap_grace is not None:
        parts.append(f"cap_grace={window_text(lifetime.cap_grace)}")
    return " + ".join(parts)
