"""
A payment gateway that is not there: it behaves as a profile says, fails when it is
told to, and remembers what it really did.

    gateway = SimulatedGateway(PROFILES["stripe_v1"], clock)
    gateway.next(UNANSWERED)
    engine.run_effects(payments.handlers(gateway, clock=clock), kinds=["refund"])

It has no randomness and no clock of its own: the same calls make the same movements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from threading import RLock
from types import MappingProxyType
from typing import Final, Literal, NoReturn, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import Clock, as_utc, as_window
from ..commands import (
    Command,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
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
)
from ..errors import InvalidInputError
from ..money import Money, Payment
from ..payments import Capabilities, Line

__all__ = [
    "ERROR",
    "FAILS_LATER",
    "IN_FLIGHT",
    "KILLED_AFTER",
    "KILLED_BEFORE",
    "LOST",
    "PENDING",
    "PROFILES",
    "REFUSED",
    "UNANSWERED",
    "Applied",
    "GatewayFailedError",
    "GatewayTimeoutError",
    "Killed",
    "Profile",
    "Request",
    "SimulatedGateway",
    "Trouble",
    "late",
]

# How long something that is under way is given until somebody asks again.
_ASK_AGAIN: Final = timedelta(hours=1)

# How long a request that is being worked on keeps others waiting.
_IN_FLIGHT: Final = timedelta(seconds=30)


# --- what goes wrong --------------------------------------------------------------


class GatewayTimeoutError(Exception):
    """
    There was no answer: it may have happened.
    """


class GatewayFailedError(Exception):
    """
    The gateway answered that it failed, or that it was asked for nonsense.
    """


class Killed(BaseException):
    """
    The worker that called is gone: no program catches this.
    """


@final
@attrs.frozen
class Trouble:
    """
    What becomes of one call.

    Attributes:
        name: What happens; one of the constants below.

        delay: How much later a `late` request arrives.
    """

    name: str
    delay: timedelta = timedelta()

    def __str__(self) -> str:
        return self.name


# It never arrives; no answer.
LOST: Final = Trouble("lost")

# It is done; no answer.
UNANSWERED: Final = Trouble("unanswered")

# It fails: nothing is done.  Some store the failure, and give it again.
ERROR: Final = Trouble("error")

# The same request is being worked on: come back later.
IN_FLIGHT: Final = Trouble("in_flight")

# It is refused for good: nothing is done.
REFUSED: Final = Trouble("refused")

# It is under way; `SimulatedGateway.finish` says how it ends.
PENDING: Final = Trouble("pending")

# It is done, and comes back later: `SimulatedGateway.bounce`.
FAILS_LATER: Final = Trouble("fails_later")

# The worker dies before it has called, or after, having heard nothing.
KILLED_BEFORE: Final = Trouble("killed_before")
KILLED_AFTER: Final = Trouble("killed_after")

# What may become of a question, too; everything else waits for the next movement.
_OF_QUESTIONS: Final = (LOST, UNANSWERED, ERROR, KILLED_BEFORE, KILLED_AFTER)


def late(delay: timedelta | str) -> Trouble:
    """
    Return the trouble that a request arrives this much later, after its sender gave
    it up; or never, if that is after its own expiry.
    """
    return Trouble("late", as_window(delay, "delay"))


# --- who behaves how --------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Profile:
    """
    How a gateway behaves, and what it says of itself.

    Attributes:
        name: What it is called.

        capabilities: What it promises.

        window: How long it really remembers a key: `None` for ever, `timedelta()`
            not at all.

        other_body: What it makes of a key that it knows with another request:
            `"error"`, or the old reply as if nothing were wrong.

        stores_errors: Whether a failure is remembered and given again.

        names_keys: Whether its reports name our key; otherwise only what it calls
            the movement itself.

        expiry: How long a request may be on its way; later it is dropped.
    """

    name: str
    capabilities: Capabilities
    window: timedelta | None
    other_body: Literal["error", "old_reply"] = "old_reply"
    stores_errors: bool = False
    names_keys: bool = True
    expiry: timedelta = timedelta(minutes=2)


def _can(window: timedelta | None, *, look_up: bool) -> Capabilities:
    return Capabilities(
        idempotency_window=window,
        look_up=look_up,
        asynchronous=True,
        hold_life=timedelta(days=7),
    )


_DAY: Final = timedelta(days=1)
_HALF_AN_HOUR: Final = timedelta(minutes=30)
_NONE: Final = timedelta()

# Seven ways in which gateways differ, each after one that there is.
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            # A day; a key with another request is an error; a 500 is stored.
            Profile(
                name="stripe_v1",
                capabilities=_can(_DAY, look_up=True),
                window=_DAY,
                other_body="error",
                stores_errors=True,
            ),
            # A day; only what succeeded is stored, and nobody can ask.
            Profile(
                name="checkout",
                capabilities=_can(_DAY, look_up=False),
                window=_DAY,
            ),
            # Half an hour; another request under a key gets the old reply.
            Profile(
                name="qonto30m",
                capabilities=_can(_HALF_AN_HOUR, look_up=False),
                window=_HALF_AN_HOUR,
            ),
            # It does remember keys, but does not say for how long.
            Profile(
                name="square_unpublished",
                capabilities=_can(_NONE, look_up=True),
                window=_DAY,
            ),
            # A second request makes a second movement, whatever its key.
            Profile(
                name="key_ignored",
                capabilities=_can(_NONE, look_up=True),
                window=_NONE,
            ),
            # No keys, no questions.
            Profile(
                name="bare",
                capabilities=_can(_NONE, look_up=False),
                window=_NONE,
                names_keys=False,
            ),
            # What everybody would like to have.
            Profile(
                name="perfect",
                capabilities=_can(None, look_up=True),
                window=None,
                other_body="error",
            ),
        )
    }
)


# --- what it did ------------------------------------------------------------------

_Body: TypeAlias = tuple[str, str, str, Money]


@final
@attrs.frozen(kw_only=True)
class Request:
    """
    A request for a movement that arrived.

    Attributes:
        key: Its idempotency key.

        kind: `refund`, `pay_out` or `charge`.

        order_id: The order it names.

        part: The reference of the payment, or who is paid.

        amount: How much.

        at: When it arrived.
    """

    key: str
    kind: str
    order_id: str
    part: str
    amount: Money
    at: DateTime

    @property
    def body(self) -> _Body:
        """
        What it says: the same for one key for ever (I8).
        """
        return self.kind, self.order_id, self.part, self.amount


@final
@attrs.frozen(kw_only=True)
class Applied:
    """
    A movement that was made.

    Attributes: as those of `Request`, and

        reference: What the gateway calls it.

        status: `"paid"`, `"pending"`, or `"failed"`: it did not happen in the end.
    """

    reference: str
    key: str
    kind: str
    order_id: str
    part: str
    amount: Money
    at: DateTime
    status: str = "paid"


@attrs.frozen
class _Money:
    """
    A payment that came in.
    """

    amount: Money
    order_id: str
    at: DateTime
    told: bool


@attrs.frozen
class _Held:
    """
    A payment that a bank holds.
    """

    amount: Money
    until: DateTime | None
    status: str = "held"


@attrs.frozen
class _Taken:
    """
    A payment that a bank took back.
    """

    id: str
    reference: str
    amount: Money
    at: DateTime
    status: str = "opened"


@attrs.frozen
class _Remembered:
    body: _Body
    said: Result | Exception
    at: DateTime


@attrs.frozen
class _Waiting:
    """
    A request that is on its way.
    """

    due: DateTime
    effect: Movement


@final
class SimulatedGateway:
    """
    A payment gateway without money, for tests.

    Implements: `HoldingGateway`

    A payment that it was not told of (`paid`) is taken at its face value, as of the
    first request that names it.

    Args:
        profile: How it behaves: one of `PROFILES`, or its name.

        clock: That of the engine.

        name: What it is called; the profile's name.

        face_value: Whether it takes payments that it was not told of; otherwise it
            refuses to refund them.

        refund_window: How long after a payment it gives it back; `None`: no limit.

    Attributes:
        requests: All requests for movements that arrived, oldest first.
    """

    def __init__(
        self,
        profile: Profile | str,
        clock: Clock,
        *,
        name: str = "",
        face_value: bool = True,
        refund_window: timedelta | str | None = None,
    ) -> None:
        if isinstance(profile, str):
            if profile not in PROFILES:
                raise InvalidInputError("profile", f"one of {', '.join(PROFILES)}")
            profile = PROFILES[profile]
        self.profile = profile
        self.name = name or profile.name
        self.requests: list[Request] = []
        self.capabilities = profile.capabilities
        if refund_window is not None:
            self.capabilities = attrs.evolve(
                profile.capabilities,
                refund_window=as_window(refund_window, "refund_window"),
            )
        self._clock = clock
        self._face_value = face_value
        self._payments: dict[str, _Money] = {}
        self._held: dict[str, _Held] = {}
        self._taken: dict[str, _Taken] = {}
        self._applied: dict[str, Applied] = {}
        self._memory: dict[str, _Remembered] = {}
        self._waiting: list[_Waiting] = []
        self._troubles: list[Trouble] = []
        self._reports: list[tuple[str, Command]] = []
        self._numbers: Counter[str] = Counter()
        self._lock = RLock()

    def __repr__(self) -> str:
        return f"SimulatedGateway({self.name!r})"

    # --- what a test says and asks --------------------------------------------------

    def next(self, *troubles: Trouble) -> None:
        """
        Say what becomes of the next calls, one each; those after go well.

        A question (`look_up`) can be lost, unanswered, fail, or find its worker
        killed; any other trouble waits for the next movement.
        """
        with self._lock:
            self._troubles += troubles

    def heal(self) -> None:
        """
        Say that nothing goes wrong any more: what was to come does not.
        """
        with self._lock:
            self._troubles.clear()

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """
        What is still to go wrong.
        """
        return tuple(self._troubles)

    @property
    def applied(self) -> tuple[Applied, ...]:
        """
        What was really done, oldest first.
        """
        with self._lock:
            self._arrive()
            return tuple(self._applied.values())

    def paid(self, payment: Payment, order_id: str = "") -> None:
        """
        Tell it of money that came in.

        Args:
            payment: The payment, with its amount.

            order_id: The order it pays; without, no bank can take it back.
        """
        if payment.amount is None:
            raise InvalidInputError("payment", "a payment with its amount")
        with self._lock:
            self._payments[payment.reference] = _Money(
                payment.amount, order_id, self._now(), told=True
            )

    def holds(self, payment: Payment) -> None:
        """
        Tell it of money that a bank holds since now.

        Args:
            payment: The payment, with its amount and until when it is held.
        """
        if payment.amount is None or payment.held_until is None:
            raise InvalidInputError("payment", "a payment with its amount, held until")
        with self._lock:
            self._held[payment.reference] = _Held(payment.amount, payment.held_until)

    def held(self, payment_reference: str) -> str:
        """
        Return what became of a hold: `"held"`, `"charged"`, `"released"` or `"over"`.
        """
        with self._lock:
            self._arrive()
            held = self._held.get(payment_reference)
            if held is None:
                raise InvalidInputError("payment_reference", "a payment that is held")
            return self._status(held, self._now())

    def finish(self, reference: str, *, paid: bool = True) -> None:
        """
        Say how something that was under way ended.
        """
        self._ends(reference, "pending", "paid" if paid else "failed")

    def bounce(self, reference: str) -> None:
        """
        Have money come back that was paid: the account it went to is closed.
        """
        self._ends(reference, "paid", "failed")

    def charge_back(self, payment_reference: str, amount: Money | None = None) -> str:
        """
        Have a bank take a payment back; return what the gateway calls that.

        Args:
            amount: How much; without, all of it.
        """
        with self._lock:
            came = self._payments.get(payment_reference)
            if came is None or not came.order_id:
                raise InvalidInputError(
                    "payment_reference", "a payment that was told of, with its order"
                )
            taken = _Taken(
                self._new("dp"),
                payment_reference,
                came.amount if amount is None else amount,
                self._now(),
            )
            self._taken[taken.id] = taken
            self._tell_taken(taken, came.order_id)
            return taken.id

    def close_chargeback(self, chargeback_id: str, *, won: bool) -> None:
        """
        Say what the bank decided.
        """
        with self._lock:
            taken = attrs.evolve(
                self._taken[chargeback_id], status="won" if won else "lost"
            )
            self._taken[taken.id] = taken
            self._tell_taken(taken, self._payments[taken.reference].order_id)

    def reports(self) -> list[tuple[str, Command]]:
        """
        Return what it would say in webhooks since this was last asked: orders, and
        the commands to send as their provider.
        """
        with self._lock:
            self._arrive()
            told, self._reports = self._reports, []
            return told

    def statement(self) -> tuple[Line, ...]:
        """
        Return its own report of everything that was moved, oldest first.
        """
        with self._lock:
            self._arrive()
            lines = [
                Line(
                    kind="payment",
                    reference=reference,
                    order_id=came.order_id,
                    part=reference,
                    amount=came.amount,
                    at=came.at,
                    status="paid",
                )
                for reference, came in self._payments.items()
                if came.told
            ]
            lines += (
                Line(
                    kind=one.kind,
                    reference=one.reference,
                    key=one.key if self.profile.names_keys else "",
                    order_id=one.order_id,
                    part=one.part,
                    amount=one.amount,
                    at=one.at,
                    status=one.status,
                )
                for one in self._applied.values()
            )
            lines += (
                Line(
                    kind="chargeback",
                    reference=one.id,
                    order_id=self._payments[one.reference].order_id,
                    part=one.reference,
                    amount=one.amount,
                    at=one.at,
                    status=one.status,
                )
                for one in self._taken.values()
            )
            return tuple(sorted(lines, key=lambda line: line.at))

    # --- what a gateway is asked ----------------------------------------------------

    def refund(self, effect: Refund) -> Result:
        """
        Give a part of a payment back, or all of it.
        """
        return self._called(effect)

    def pay_out(self, effect: PayOut) -> Result:
        """
        Pay what was earned.
        """
        return self._called(effect)

    def charge(self, effect: Charge) -> Result:
        """
        Take what a bank holds.
        """
        return self._called(effect)

    def release(self, effect: ReleaseHold) -> Result:
        """
        Have a bank let go what it holds.
        """
        with self._lock:
            self._arrive()
            trouble = self._trouble()
            if trouble in (LOST, KILLED_BEFORE, ERROR):
                assert trouble is not None
                self._fails(trouble)
            held = self._known(effect.payment, effect.payment.amount)
            status = self._status(held, self._now())
            if status == "held":
                released = attrs.evolve(held, status="released")
                self._held[effect.payment.reference] = released
            if trouble in (UNANSWERED, KILLED_AFTER):
                assert trouble is not None
                self._fails(trouble)
            if status == "charged":
                return NotDone("it was charged already")
            return Done()

    def look_up(self, effect: Movement) -> Result | None:
        """
        Return what became of a key; `None` if nothing was ever done under it.
        """
        with self._lock:
            self._arrive()
            if not self.capabilities.look_up:
                raise GatewayFailedError(f"{self.name} cannot be asked")
            trouble = self._trouble(of_question=True)
            if trouble is KILLED_BEFORE:
                raise Killed
            found = next(
                (
                    one
                    for one in reversed(self._applied.values())
                    if one.key == effect.key
                ),
                None,
            )
            if trouble is not None:
                self._fails(trouble)
            if found is None:
                return None
            asked = _request(effect, found.at)
            if asked.body != (found.kind, found.order_id, found.part, found.amount):
                raise GatewayFailedError("this key was used for another request")
            return self._said_of(found)

    # --- how it does it -------------------------------------------------------------

    def _now(self) -> DateTime:
        return as_utc(self._clock.now(), "clock")

    def _new(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}_{self.name}_{self._numbers[kind]}"

    def _trouble(self, *, of_question: bool = False) -> Trouble | None:
        if not self._troubles:
            return None
        if of_question and self._troubles[0] not in _OF_QUESTIONS:
            return None
        return self._troubles.pop(0)

    def _fails(self, trouble: Trouble) -> NoReturn:
        if trouble in (KILLED_BEFORE, KILLED_AFTER):
            raise Killed
        if trouble is ERROR:
            raise GatewayFailedError("500: something went wrong")
        raise GatewayTimeoutError("no answer")

    def _arrive(self) -> None:
        """
        Have requests that were on their way arrive, each at its instant.
        """
        now = self._now()
        while self._waiting and self._waiting[0].due <= now:
            arriving = self._waiting.pop(0)
            # Whoever sent it has gone: nobody hears what is said.
            self._served(arriving.effect, arriving.due, None)

    def _called(self, effect: Movement) -> Result:
        with self._lock:
            self._arrive()
            now, trouble = self._now(), self._trouble()
            if trouble is not None and trouble.name == "late":
                if trouble.delay <= self.profile.expiry:
                    self._waiting.append(_Waiting(now + trouble.delay, effect))
                    self._waiting.sort(key=lambda one: one.due)
                raise GatewayTimeoutError("no answer")
            if trouble in (LOST, KILLED_BEFORE):
                assert trouble is not None
                self._fails(trouble)
            said = self._served(effect, now, trouble)
            if trouble in (UNANSWERED, KILLED_AFTER):
                assert trouble is not None
                self._fails(trouble)
            if isinstance(said, Exception):
                raise said
            return said

    def _served(
        self, effect: Movement, at: DateTime, trouble: Trouble | None
    ) -> Result | Exception:
        """
        Answer a request: from memory, or by doing something.
        """
        request = _request(effect, at)
        self.requests.append(request)
        known = self._memory.get(request.key)
        if known is not None and not self._forgotten(known, at):
            if known.body != request.body and self.profile.other_body == "error":
                return GatewayFailedError("this key was used for another request")
            if isinstance(known.said, RetryAt):
                return RetryAt(at + _ASK_AGAIN, known.said.reference)
            return known.said
        if trouble is IN_FLIGHT:
            return RetryAt(at + _IN_FLIGHT)
        said: Result | Exception
        if trouble is ERROR:
            said = GatewayFailedError("500: something went wrong")
            stored = self.profile.stores_errors
        else:
            said = self._done(effect, request, trouble)
            stored = not isinstance(said, NotDone)
        if stored and self.profile.window != _NONE:
            self._memory[request.key] = _Remembered(request.body, said, at)
        return said

    def _forgotten(self, known: _Remembered, at: DateTime) -> bool:
        window = self.profile.window
        return window is not None and at >= known.at + window

    def _done(
        self, effect: Movement, request: Request, trouble: Trouble | None
    ) -> Result:
        if trouble is REFUSED:
            return NotDone("the account is closed")
        refused = None
        if isinstance(effect, Refund):
            refused = self._refused(effect, request.at)
        elif isinstance(effect, Charge):
            refused = self._uncharged(effect, request.at)
        if refused is not None:
            return refused
        applied = Applied(
            reference=self._new(_NAMES[request.kind]),
            key=request.key,
            kind=request.kind,
            order_id=request.order_id,
            part=request.part,
            amount=request.amount,
            at=request.at,
            status="pending" if trouble is PENDING else "paid",
        )
        self._applied[applied.reference] = applied
        self._came(applied)
        self._tell(applied)
        return self._said_of(applied)

    def _known(self, payment: Payment, amount: Money | None) -> _Held:
        """
        Return what a bank holds; taken at its face value, if nobody told of it.
        """
        held = self._held.get(payment.reference)
        if held is None:
            assert amount is not None
            until = payment.held_until if self._face_value else self._now()
            held = _Held(amount, until)
            self._held[payment.reference] = held
        return held

    def _status(self, held: _Held, at: DateTime) -> str:
        over = held.until is not None and at >= held.until
        return "over" if held.status == "held" and over else held.status

    def _uncharged(self, effect: Charge, at: DateTime) -> NotDone | None:
        """
        Return why what a bank holds is not charged.
        """
        held = self._known(effect.payment, effect.amount)
        status = self._status(held, at)
        if status != "held":
            return NotDone(f"the bank does not hold it: {status}")
        if effect.amount != held.amount:
            return NotDone("another amount is held")
        self._held[effect.payment.reference] = attrs.evolve(held, status="charged")
        return None

    def _came(self, applied: Applied) -> None:
        """
        Count what was charged among the payments, once it is here.
        """
        if applied.kind != Charge.name:
            return
        if applied.status == "failed":
            self._held[applied.part] = attrs.evolve(
                self._held[applied.part], status="released"
            )
        elif applied.status == "paid":
            self._payments[applied.part] = _Money(
                applied.amount, applied.order_id, applied.at, told=False
            )

    def _refused(self, effect: Refund, at: DateTime) -> NotDone | None:
        """
        Return why a payment is not given back.
        """
        payment = effect.payment
        came = self._payments.get(payment.reference)
        if came is None:
            if not self._face_value:
                return NotDone("there is no such payment")
            amount = effect.amount if payment.amount is None else payment.amount
            came = _Money(amount, effect.order_id, at, told=False)
            self._payments[payment.reference] = came
        if effect.amount.currency != came.amount.currency:
            return NotDone("the payment was in another currency")
        window = self.capabilities.refund_window
        if window is not None and at >= came.at + window:
            return NotDone("the payment is too old")
        gone = sum(
            one.amount.minor
            for one in self._applied.values()
            if (one.kind, one.part) == (Refund.name, payment.reference)
            and one.status != "failed"
        )
        gone += sum(
            one.amount.minor
            for one in self._taken.values()
            if one.reference == payment.reference and one.status != "won"
        )
        if gone + effect.amount.minor > came.amount.minor:
            return NotDone("more than is left of the payment")
        if not self.capabilities.partial_refunds and effect.amount != came.amount:
            return NotDone("it gives back whole payments only")
        return None

    def _said_of(self, applied: Applied) -> Result:
        if applied.status == "pending":
            return RetryAt(self._now() + _ASK_AGAIN, applied.reference)
        if applied.status == "failed":
            return NotDone("it came back")
        return Done(applied.reference)

    def _ends(self, reference: str, before: str, after: str) -> None:
        with self._lock:
            applied = self._applied.get(reference)
            if applied is None or applied.status != before:
                raise InvalidInputError("reference", f"something that is {before}")
            self._applied[reference] = attrs.evolve(applied, status=after)
            self._came(self._applied[reference])
            self._tell(self._applied[reference])

    def _tell(self, applied: Applied) -> None:
        status: Literal["sent", "paid", "failed"] = "paid"
        if applied.status != "paid":
            status = "sent" if applied.status == "pending" else "failed"
        said = _REPORTS[applied.kind](
            key=applied.key if self.profile.names_keys else "",
            status=status,
            reference=applied.reference,
            amount=applied.amount,
            reason="it came back" if status == "failed" else "",
        )
        self._reports.append((applied.order_id, said))

    def _tell_taken(self, taken: _Taken, order_id: str) -> None:
        said = ReportChargeback(
            chargeback_id=taken.id,
            payment_reference=taken.reference,
            status=taken.status,  # type: ignore[arg-type]
            amount=None if taken.status == "won" else taken.amount,
        )
        self._reports.append((order_id, said))


# What each movement is called by, and what is reported of it.
_NAMES: Final = {Refund.name: "re", PayOut.name: "po", Charge.name: "ch"}
_REPORTS: Final[Mapping[str, type[ReportRefund | ReportPayout | ReportCharge]]] = {
    Refund.name: ReportRefund,
    PayOut.name: ReportPayout,
    Charge.name: ReportCharge,
}


def _request(effect: Movement, at: DateTime) -> Request:
    part = ""
    if isinstance(effect, (Refund, Charge)):
        part = effect.payment.reference
    elif isinstance(effect, PayOut):
        part = effect.payee_id
    return Request(
        key=effect.key,
        kind=effect.name,
        order_id=effect.order_id,
        part=part,
        amount=effect.amount,
        at=at,
    )
