"""
Effects: handing them to whoever carries them out, and noting what became of them.

- An effect is claimed with a token; whoever holds an older one writes nothing.
- That money is about to be sent is written down first: of a worker that dies, nothing
  else is in doubt (I29).
- It is carried out outside any transaction, and may be carried out again: always
  under the same key.
- Nothing is dropped: after the last attempt it is parked for a human.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final, TypeAlias, final

import attrs

from ..clock import from_micros, to_micros
from ..commands import Command, ReportCharge, ReportPayout, ReportRefund
from ..decisions import Refusal
from ..decisions.outbox import effects_of
from ..decisions.reports import UNSENT, held_by, later_keys, may_leave, moved
from ..effects import (
    EFFECTS,
    Charge,
    Done,
    Effect,
    Movement,
    NotDone,
    Notify,
    PayOut,
    Publish,
    Refund,
    Result,
    RetryAt,
    Unknown,
    Withdraw,
)
from ..errors import (
    CorruptJournalError,
    InvalidInputError,
    LedgerError,
    OrderNotFoundError,
    WalletRefusedError,
)
from ..history import evolve
from ..inputs import as_id, kind_of
from ..logs import told
from ..order import Chargeback, Order
from ..parties import OUTBOX
from ..storage import EffectResult, StoredEffect, StoredEvent, StoredOrder
from ..storage.chain import first_broken
from ..storage.codec import (
    decode_effect,
    decode_event,
    dump_result,
    encode_effect,
    load_result,
)
from ..wallet import FINGERPRINT, what_is
from ..wallet import later_keys as later_withdrawals
from .answers import EffectReport, EffectStatus
from .core import Asking, Core, naming, settled_effect
from .money import BEGUN, FIRST, HELD, TRIES, noted_before
from .sweep import Retries, as_limit, said_by
from .wallet_rows import asked_withdrawal
from .withdrawals import report as report_withdrawal

__all__ = ["Handler", "Handlers", "check_handlers", "effects", "run_effects"]

_LOG: Final = logging.getLogger("escrowflow.outbox")

# What carries an effect out.  An `AsyncEngine` awaits what it returns, if it can be.
Handler: TypeAlias = Callable[[Any], Any]
Handlers: TypeAlias = Mapping[type[Effect], Handler]

_MICROSECOND: Final = timedelta(microseconds=1)

# How many are claimed in one trip: few, so that the last of them need not wait for
# longer than its lease.
_BATCH: Final = 10


def check_handlers(
    handlers: object, kinds: object, *, asks: frozenset[str], awaits: bool
) -> None:
    """
    Raise unless effects can be carried out with these handlers.

    Args:
        kinds: The effects that will be asked for; `None` for all that there are.

        asks: The kinds that the engine ever asks for.

        awaits: Whether the engine awaits what a handler returns.

    Raises:
        InvalidInputError: If one of them has no handler: its effects would never
            be carried out, and nobody would notice.
    """
    if not isinstance(handlers, Mapping) or not all(
        isinstance(kind, type) and issubclass(kind, Effect) and callable(handler)
        for kind, handler in handlers.items()
    ):
        raise InvalidInputError(
            "handlers",
            "effect classes with what carries them out: {ef.Refund: send_refund}",
        )
    for handler in handlers.values():
        called = getattr(handler, "__call__", None)  # noqa: B004
        if not awaits and any(map(iscoroutinefunction, (handler, called))):
            raise InvalidInputError(
                "handlers",
                f"nobody would await {handler!r}: an AsyncEngine does; an Engine, and "
                "so the command line, takes plain functions",
            )
    if kinds is not None and (
        not isinstance(kinds, Collection)
        or isinstance(kinds, str)
        or not all(isinstance(kind, str) for kind in kinds)
    ):
        raise InvalidInputError("kinds", "names of effects, such as ['refund']")
    if Publish in handlers and Publish.name not in asks:
        raise InvalidInputError(
            "handlers",
            "this engine never asks for Publish, so what its sweeps record would be "
            "passed on by nobody: make it with publish=True, or leave Publish out",
        )
    known = {kind.name for kind in handlers}
    lacking = sorted((asks if kinds is None else set(kinds)) - known)
    if lacking:
        raise InvalidInputError(
            "handlers",
            f"nothing carries out {', '.join(lacking)}: pass a handler for each, or "
            "leave them to another worker with `kinds`",
        )


def run_effects(
    core: Core,
    handlers: Handlers,
    kinds: Collection[str] | None,
    limit: int,
    retries: Retries,
    stop: Callable[[], bool] | None,
) -> Asking[EffectReport]:
    """
    See `Engine.run_effects`.
    """
    limit = as_limit(limit)
    if stop is not None and not callable(stop):
        raise InvalidInputError("stop", f"something to call, not {kind_of(stop)}")
    stopped = False

    def stops() -> bool:
        nonlocal stopped
        stopped = stopped or (stop is not None and stop())
        return stopped

    by_name = {kind.name: (kind, handler) for kind, handler in handlers.items()}
    wanted = sorted(by_name if kinds is None else set(kinds))
    known = (*core.known, FINGERPRINT) if Withdraw.name in wanted else core.known
    report = EffectReport()
    lease = retries.lease // _MICROSECOND
    while limit > 0 and not stops():
        now = to_micros(core.now())
        claims: tuple[StoredEffect, ...] = yield (
            "claim_effects",
            (now, now + lease, min(limit, _BATCH), wanted, known),
        )
        if not claims:
            break
        limit -= len(claims)
        # Those that were tried before come last, in another order each time: one
        # that takes its worker down with it does not always stand before the others.
        for claim in sorted(
            claims,
            key=lambda one: (
                (one.attempts, retries.wait(one.attempts, one.key))
                if one.attempts > 1
                else (1, timedelta())
            ),
        ):
            kind, handler = by_name[claim.kind]
            effect = yield from _checked(core, claim, kind, retries)
            if not isinstance(effect, Effect):
                outcome = yield from _settled(core, claim, effect, retries)
            elif stops() or to_micros(core.now()) >= claim.ready_at:
                # Or whatever came before took so long that this one may be somebody
                # else's.
                outcome = yield from _handed_back(core, claim)
            elif not (yield from _begun(core, claim, effect, retries)):
                outcome = "stale"
            else:
                said = yield from _carried_out(core, claim, effect, handler, retries)
                outcome = yield from _settled(core, claim, said, retries, effect)
            report = attrs.evolve(report, **{outcome: getattr(report, outcome) + 1})
    return report


def effects(core: Core, order_id: str) -> Asking[tuple[EffectStatus, ...]]:
    """
    See `Engine.effects`.
    """
    order_id = as_id(order_id, "order_id")
    loaded: StoredOrder = yield "load", (order_id,)
    if not loaded.version:
        raise OrderNotFoundError(order_id)
    stored: Iterable[StoredEffect] = yield "effects", (order_id,)
    found = []
    for one in stored:
        with naming(order_id):
            said, effect = load_result(one.result), _decoded(one)
        found.append(
            EffectStatus(
                effect=effect,
                status=_status(one, said),
                attempts=one.attempts,
                reference=said.get("reference", ""),
                reason=said.get("reason", ""),
            )
        )
    return tuple(found)


def _status(stored: StoredEffect, said: Mapping[str, Any]) -> str:
    """
    Return how an effect stands, for those who read it.
    """
    if said.get("lapsed"):
        return "lapsed"
    # Money that was refused is owed under another key: this effect is over.
    return "failed" if stored.status == "done" and "reason" in said else stored.status


def _decoded(stored: StoredEffect) -> Effect:
    # What wallets ask for is no business of an order.
    kind = Withdraw if stored.kind == Withdraw.name else EFFECTS.get(stored.kind)
    if kind is None:
        raise CorruptJournalError(f"this release knows no effect {stored.kind!r}")
    return decode_effect(stored.body, kind)


# How often in a row somebody named an instant that was over.
_OVER: Final = "over"

# What is over: settled, and never sent.
_LAPSED: Final = Done("lapsed")

# Of so many histories an engine remembers what they ask for.
_ASKED_MAX: Final = 256

# How long money waits that must not leave yet, until somebody asks again.
_HELD_BACK: Final = timedelta(hours=1)


@final
@attrs.frozen
class _HeldBack:
    """
    Money that a chargeback has held back for too long: its end may have been missed.
    """

    by: Chargeback

    @property
    def reason(self) -> str:
        """
        What is told of it.
        """
        return (
            f"held back since {self.by.opened_at.isoformat()} by the chargeback "
            f"{self.by.id} of the payment {self.by.payment_reference}: look how the bank "
            "decided, and report it"
        )


def _checked(
    core: Core, claim: StoredEffect, kind: type[Effect], retries: Retries
) -> Asking[Effect | Result | _HeldBack]:
    """
    Return an effect that may be carried out now, or what is to be noted of it.
    """
    try:
        load_result(claim.result)
        effect = decode_effect(claim.body, kind)
        if isinstance(effect, Withdraw):
            asked = yield from asked_withdrawal(claim)
            if asked is None:
                return _LAPSED
            wallet, open_ = asked
            later = later_withdrawals(wallet.id, open_)
            return _handed_over(core, claim, effect, open_.sent, later)
        if effect.moves_money and claim.kind in EFFECTS:
            order = yield from _asked(core, claim)
            leaves = may_leave(order, effect)
            if leaves is None:
                return _LAPSED
            owed = moved(order, effect.key)
            assert owed is not None
            if not leaves:
                by = held_by(order, owed)
                if by is not None and core.now() - by.opened_at >= retries.held_back:
                    return _HeldBack(by)
                return RetryAt(core.now() + _HELD_BACK)
            if isinstance(effect, Charge):
                ended = core.process_of(order).ended(order.state)
                effect = attrs.evolve(effect, order_ended=ended)
            sent = owed.status not in UNSENT
            return _handed_over(core, claim, effect, sent, later_keys(order, owed))
    except (CorruptJournalError, LedgerError) as error:
        return NotDone(str(error))
    if (
        isinstance(effect, Notify)
        and effect.useless_after is not None
        and core.now() > effect.useless_after
    ):
        return _LAPSED
    return attrs.evolve(effect, attempt=claim.attempts)


def _handed_over(
    core: Core,
    claim: StoredEffect,
    effect: Effect,
    may_have_left: bool,
    later: tuple[str, ...],
) -> Effect:
    """
    Return money with what is known of the attempts before: a retry is not taken for a
    first attempt, though attempts are counted anew (I29).

    Args:
        later: The keys under which it would be sent next.
    """
    assert isinstance(effect, Movement)
    before = noted_before(claim)
    tries = before.get(TRIES)
    effect = attrs.evolve(effect, later_keys=later)
    if tries is None and not may_have_left:
        # Whoever had it died before he began.
        return attrs.evolve(effect, attempt=1)
    # Nobody has heard of the last attempt: it has called at the latest just now.
    unheard = tries is None or before.get(BEGUN, False)
    again = unheard or may_have_left
    return attrs.evolve(
        effect,
        attempt=max(2, claim.attempts)
        if again
        else min(claim.attempts, before.get(TRIES, 0) + 1),
        first_tried=effect.asked_at if tries is None else from_micros(before[FIRST]),
        last_tried=core.now() if unheard else from_micros(before["at"]),
    )


def _begun(
    core: Core, claim: StoredEffect, effect: Effect, retries: Retries
) -> Asking[bool]:
    """
    Write down that money is about to be sent; false if it is somebody else's by now.
    """
    if not isinstance(effect, Movement):
        return True
    said = {
        **load_result(claim.result),
        **_tried(claim, effect, claim.attempts, retries),
        "at": to_micros(core.now()),
        BEGUN: True,
    }
    result = EffectResult(
        key=claim.key,
        token=claim.token,
        status="claimed",
        attempts=claim.attempts,
        ready_at=claim.ready_at,
        body=dump_result(**said),
    )
    return (yield from settled_effect(claim.order_id, result))


def _tried(
    claim: StoredEffect, effect: Movement, attempts: int, retries: Retries
) -> dict[str, Any]:
    """
    Return what is kept of the attempts at money.
    """
    first = effect.first_tried
    # It was claimed a lease before the claim ends, and called later.
    claimed_at = claim.ready_at - retries.lease // _MICROSECOND
    return {
        TRIES: attempts,
        FIRST: claimed_at if first is None else to_micros(first),
    }


def _carried_out(
    core: Core,
    claim: StoredEffect,
    effect: Effect,
    handler: Handler,
    retries: Retries,
) -> Asking[Result]:
    """
    Have an effect carried out; return what is known about it.
    """
    if claim.attempts > retries.attempts:
        before = load_result(claim.result).get("reason")
        return Unknown(before or "every worker that tried it never came back in time")
    try:
        said = yield "call", (handler, effect)
    except Exception as error:
        # A message that was not sent is sent again; money may have moved.
        _LOG.warning(
            "effect %s of %s %s: its handler raised",
            claim.key,
            what_is(claim.order_id),
            claim.order_id,
            # Once says where; what is down for hours is tried many times.
            exc_info=error if claim.attempts <= 1 else None,
            extra=told(
                "handler_raised",
                **_named(claim),
                attempt=claim.attempts,
                error=kind_of(error),
            ),
        )
        return Unknown(said_by(error))
    if said is None:
        return Done()
    if isinstance(said, (Done, NotDone, Unknown, RetryAt)):
        return said
    return Unknown(f"the handler returned {kind_of(said)}, which is no result")


def _asked(core: Core, claim: StoredEffect) -> Asking[Order]:
    """
    Return the order, if its history asks for this: no money leaves because somebody
    wrote a row (I5).

    Raises:
        CorruptJournalError: If it does not.
    """
    loaded: StoredOrder = yield "load", (claim.order_id,)
    journal = yield from core.journal(claim.order_id, claim.seq)
    if journal and first_broken(claim.order_id, journal) is None:
        # The hash covers everything before it: what is tried again is read once.
        asked = core.asked.get(journal[-1].hash)
        if asked is None:
            asked = _asked_by(core, loaded, journal)
            if len(core.asked) >= _ASKED_MAX:
                core.asked.clear()
            core.asked[journal[-1].hash] = asked
        if (claim.key, claim.body) in asked:
            return core.decoded(loaded)
    raise CorruptJournalError("the history of its order does not ask for this effect")


def _asked_by(
    core: Core, loaded: StoredOrder, journal: Iterable[StoredEvent]
) -> frozenset[tuple[str, bytes]]:
    """
    Return the keys and bodies of the effects that the last event of a history asks
    for.
    """
    order: Order | None = None
    for stored in journal:
        recorded = decode_event(stored, loaded.texts, core.events)
        order = evolve(order, recorded)
    assert order is not None
    made = (encode_effect(effect, 0) for effect in effects_of(order, recorded))
    return frozenset((effect.key, effect.body) for effect in made)


def _handed_back(core: Core, claim: StoredEffect) -> Asking[str]:
    """
    Leave an effect as it was before it was claimed; return where it counts.
    """
    result = EffectResult(
        key=claim.key,
        token=claim.token,
        status="waiting",
        attempts=claim.attempts - 1,
        # A clock that was set ahead meanwhile would have it wait for years.
        ready_at=min(to_micros(core.now()), claim.ready_at),
        body=claim.result,
    )
    current = yield from settled_effect(claim.order_id, result)
    return "again" if current else "stale"


def _settled(
    core: Core,
    claim: StoredEffect,
    said: Result | _HeldBack,
    retries: Retries,
    effect: Effect | None = None,
) -> Asking[str]:
    """
    Note what became of an effect; return where it counts in the report.

    Args:
        effect: What was carried out; `None` if it was not.
    """
    now = to_micros(core.now())
    result, outcome = _noted(claim, said, retries, now, effect)
    report = (
        None if effect is None or isinstance(said, _HeldBack) else _report(effect, said)
    )
    if report is None:
        current = yield from settled_effect(claim.order_id, result)
    else:
        if isinstance(said, NotDone):
            # It is owed under another key from now on; this one is over.
            result = attrs.evolve(result, status="done")
            outcome = "again" if said.again else _refused(effect)
        if isinstance(report, ReportPayout) and isinstance(effect, Withdraw):
            current = yield from report_withdrawal(
                core.now(), claim.order_id, report, result
            )
        else:
            current = yield from core.report(claim.order_id, report, result)
    if current:
        return outcome
    if report is not None and isinstance(said, Done):
        # Whoever has it now must know: it is not sent again, whatever he finds.
        if not (isinstance(report, ReportPayout) and isinstance(effect, Withdraw)):
            answer = yield from core.execute(claim.order_id, report, OUTBOX, None, None)
            if not isinstance(answer, Refusal):
                return outcome
            _LOG.error(
                "effect %s of order %s was carried out (%s) after somebody reported "
                "that it was not (%s): the money may have moved twice",
                claim.key,
                claim.order_id,
                said.reference,
                answer.blockers[0].code,
                extra=told(
                    "paid_twice",
                    **_named(claim),
                    reference=said.reference,
                    refusal=answer.blockers[0].code,
                ),
            )
            return "stale"
        try:
            yield from report_withdrawal(core.now(), claim.order_id, report, None)
        except WalletRefusedError as error:
            _LOG.error(
                "effect %s of %s %s was paid, and is not in its books: %s",
                claim.key,
                what_is(claim.order_id),
                claim.order_id,
                error,
                extra=told(
                    "paid_unbooked",
                    **_named(claim),
                    reference=said.reference,
                    refusal=error.code,
                ),
            )
            return "stale"
        return outcome
    _LOG.warning(
        "effect %s of %s %s: its result came after its lease, when somebody else "
        "had taken it over, and was not written: set timeouts below `Retries.lease`",
        claim.key,
        what_is(claim.order_id),
        claim.order_id,
        extra=told("result_late", **_named(claim), attempt=claim.attempts),
    )
    return "stale"


def _named(claim: StoredEffect) -> dict[str, str]:
    """
    Return the fields by which the log names an effect.
    """
    return {
        f"{what_is(claim.order_id)}_id": claim.order_id,
        "effect": claim.kind,
        "effect_key": claim.key,
    }


def _noted(
    claim: StoredEffect,
    said: Result | _HeldBack,
    retries: Retries,
    now: int,
    effect: Effect | None,
) -> tuple[EffectResult, str]:
    """
    Return what is written of an effect, and where it counts in the report.

    Args:
        effect: What was carried out; `None` if it was not.
    """
    attempts = claim.attempts
    ready_at = now
    if isinstance(effect, Movement) and isinstance(said, RetryAt):
        first = effect.first_tried
        if first is not None and from_micros(now) - first >= retries.under_way:
            said = Unknown(
                f"under way since {first.isoformat()}: look there, and report what you "
                "find",
                give_up=True,
            )
    if isinstance(said, (RetryAt, _HeldBack)):
        # Told when to ask again, nobody has failed, however long it takes.
        attempts -= 1
    before = noted_before(claim)
    tried: dict[str, Any] = {}
    if isinstance(effect, Movement):
        tried = _tried(claim, effect, attempts, retries)
    elif TRIES in before:
        # Nobody called: what is known of the attempts before stays known.
        tried = {TRIES: attempts, FIRST: before[FIRST]}
    if isinstance(said, Done):
        status, outcome = "done", "lapsed" if said is _LAPSED else "done"
        body = dump_result(
            at=now,
            **({"lapsed": True} if said is _LAPSED else {"reference": said.reference}),
            **tried,
        )
    elif isinstance(said, RetryAt):
        status, outcome = "waiting", "again"
        ready_at = to_micros(said.instant)
        if ready_at <= now:
            # Whoever names an instant that is over is asked less and less often.
            over = before.get(_OVER, 0) + 1
            ready_at = now + retries.wait(over, claim.key) // _MICROSECOND
            tried[_OVER] = over
        body = dump_result(at=now, asked=True, reference=said.reference, **tried)
    elif isinstance(said, _HeldBack):
        status, outcome = "parked", "parked"
        body = dump_result(at=now, reason=said.reason, **{HELD: True}, **tried)
    else:
        unknown = isinstance(said, Unknown)
        last = isinstance(said, NotDone) or said.give_up or attempts >= retries.attempts
        status, outcome = ("parked", "parked") if last else ("waiting", "again")
        ready_at = now + retries.wait(attempts, claim.key) // _MICROSECOND
        body = dump_result(at=now, reason=said.reason, unknown=unknown, **tried)
    result = EffectResult(
        key=claim.key,
        token=claim.token,
        status=status,
        attempts=attempts,
        ready_at=ready_at,
        body=body,
    )
    return result, outcome


_REPORTS: Final[
    Mapping[type[Effect], type[ReportRefund | ReportPayout | ReportCharge]]
] = {
    Refund: ReportRefund,
    PayOut: ReportPayout,
    Withdraw: ReportPayout,
    Charge: ReportCharge,
}


def _refused(effect: Effect | None) -> str:
    """
    Return where money counts that was refused: a withdrawal is back in its wallet.
    """
    return "lapsed" if isinstance(effect, Withdraw) else "parked"


def _report(effect: Effect, said: Result) -> Command | None:
    """
    Return what is recorded of money that was sent; `None` if there is nothing to say.
    """
    command = _REPORTS.get(type(effect))
    if command is None:
        return None
    if isinstance(said, Done):
        return command(
            key=_under(effect, said), status="paid", reference=_name(said.reference)
        )
    if isinstance(said, NotDone):
        reason = said.reason or "no reason was given"
        return command(key=effect.key, status="failed", reason=reason, again=said.again)
    if isinstance(said, Unknown):
        # It may have left: from now on nobody takes it for money that has not.
        return command(key=effect.key, status="sent")
    if said.reference:
        return command(key=effect.key, status="sent", reference=_name(said.reference))
    return None


def _name(reference: str) -> str:
    """
    Return what the provider calls it, as far as that can be kept as a name.
    """
    try:
        return as_id(reference, "reference") if reference else ""
    except InvalidInputError:
        return ""


def _under(effect: Effect, said: Done) -> str:
    """
    Return the key under which money left.
    """
    if isinstance(effect, Withdraw) or not isinstance(effect, Movement):
        # A wallet knows its withdrawals by what the gateway calls them, too.
        return effect.key
    return said.key if said.key in effect.later_keys else effect.key
