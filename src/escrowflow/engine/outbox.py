"""
Effects: handing them to whoever carries them out, and noting what became of them.

- An effect is claimed with a token; whoever holds an older one writes nothing.
- It is carried out outside any transaction, and may be carried out again: always
  under the same key.
- Nothing is dropped: after the last attempt it is parked for a human.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final, TypeAlias

import attrs

from ..clock import to_micros
from ..decisions.outbox import effects_of
from ..effects import Done, Effect, NotDone, Notify, Publish, Result, RetryAt, Unknown
from ..errors import (
    CorruptJournalError,
    InvalidInputError,
    LedgerError,
    OrderNotFoundError,
)
from ..history import evolve
from ..inputs import as_id, kind_of
from ..order import Order
from ..storage import EffectResult, StoredEffect, StoredOrder
from ..storage.chain import first_broken
from ..storage.codec import (
    decode_effect,
    decode_event,
    dump_result,
    encode_effect,
    load_result,
)
from .answers import EffectReport, EffectStatus
from .core import EFFECTS, Asking, Core, naming, settled_effect
from .sweep import Retries, as_limit, said_by

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
    handlers: object, kinds: object, *, publish: bool, awaits: bool
) -> None:
    """
    Raise unless effects can be carried out with these handlers.

    Args:
        kinds: The effects that will be asked for; `None` for all that there are.

        publish: Whether the engine asks for `Publish`.

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
    if Publish in handlers and not publish:
        raise InvalidInputError(
            "handlers",
            "this engine never asks for Publish, so what its sweeps record would be "
            "passed on by nobody: make it with publish=True, or leave Publish out",
        )
    known = {kind.name for kind in handlers}
    expected = {name for name in EFFECTS if publish or name != Publish.name}
    lacking = sorted((expected if kinds is None else set(kinds)) - known)
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
    report = EffectReport()
    lease = retries.lease // _MICROSECOND
    while limit > 0 and not stops():
        now = to_micros(core.now())
        claims: tuple[StoredEffect, ...] = yield (
            "claim_effects",
            (now, now + lease, min(limit, _BATCH), wanted, core.known),
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
            if stops() or to_micros(core.now()) >= claim.ready_at:
                # Or the ones before took so long that this one may be somebody
                # else's.
                outcome = yield from _handed_back(core, claim)
            else:
                said = yield from _carried_out(core, claim, kind, handler, retries)
                outcome = yield from _settled(core, claim, said, retries)
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
                status="lapsed" if said.get("lapsed") else one.status,
                attempts=one.attempts,
                reference=said.get("reference", ""),
                reason=said.get("reason", ""),
            )
        )
    return tuple(found)


def _decoded(stored: StoredEffect) -> Effect:
    kind = EFFECTS.get(stored.kind)
    if kind is None:
        raise CorruptJournalError(f"this release knows no effect {stored.kind!r}")
    return decode_effect(stored.body, kind)


# A message whose time is over: settled, and never sent.
_LAPSED: Final = Done("lapsed")


def _carried_out(
    core: Core,
    claim: StoredEffect,
    kind: type[Effect],
    handler: Handler,
    retries: Retries,
) -> Asking[Result]:
    """
    Have an effect carried out; return what is known about it.
    """
    try:
        before = load_result(claim.result)
        effect = decode_effect(claim.body, kind)
        if effect.moves_money and claim.kind in EFFECTS:
            yield from _check_asked(core, claim)
    except (CorruptJournalError, LedgerError) as error:
        return NotDone(str(error))
    useless_after = effect.useless_after if isinstance(effect, Notify) else None
    if useless_after is not None and core.now() > useless_after:
        return _LAPSED
    if claim.attempts > retries.attempts:
        reason = before.get("reason")
        return Unknown(reason or "every worker that tried it never came back in time")
    try:
        said = yield "call", (handler, effect)
    except Exception as error:
        # A message that was not sent is sent again; money may have moved.
        _LOG.warning(
            "effect %s of order %s: its handler raised",
            claim.key,
            claim.order_id,
            exc_info=error,
        )
        return Unknown(said_by(error))
    if said is None:
        return Done()
    if isinstance(said, (Done, NotDone, Unknown, RetryAt)):
        return said
    return Unknown(f"the handler returned {kind_of(said)}, which is no result")


def _check_asked(core: Core, claim: StoredEffect) -> Asking[None]:
    """
    Raise unless the history asks for this: no money leaves because somebody wrote a
    row (I5).

    Raises:
        CorruptJournalError: If it does not.
    """
    loaded: StoredOrder = yield "load", (claim.order_id,)
    journal = yield from core.journal(claim.order_id, claim.seq)
    broken = first_broken(claim.order_id, journal)
    order: Order | None = None
    for stored in journal:
        recorded = decode_event(stored, loaded.texts, core.events)
        order = evolve(order, recorded)
        if stored.seq == claim.seq and broken is None:
            for effect in effects_of(order, recorded):
                made = encode_effect(effect, 0)
                if (made.key, made.body) == (claim.key, claim.body):
                    return
    raise CorruptJournalError("the history of its order does not ask for this effect")


def _handed_back(core: Core, claim: StoredEffect) -> Asking[str]:
    """
    Leave an effect as it was before it was claimed; return where it counts.
    """
    result = EffectResult(
        key=claim.key,
        token=claim.token,
        status="waiting",
        attempts=claim.attempts - 1,
        ready_at=to_micros(core.now()),
        body=claim.result,
    )
    current = yield from settled_effect(claim.order_id, result)
    return "again" if current else "stale"


def _settled(
    core: Core, claim: StoredEffect, said: Result, retries: Retries
) -> Asking[str]:
    """
    Note what became of an effect; return where it counts in the report.
    """
    now = to_micros(core.now())
    attempts = claim.attempts
    ready_at = now
    if isinstance(said, Done):
        status, outcome = "done", "lapsed" if said is _LAPSED else "done"
        body = dump_result(
            at=now,
            **({"lapsed": True} if said is _LAPSED else {"reference": said.reference}),
        )
    elif isinstance(said, RetryAt):
        status, outcome = "waiting", "again"
        attempts -= 1
        ready_at = to_micros(said.instant)
        if ready_at <= now:
            # Somebody whose clock goes wrong is not asked again and again.
            ready_at = now + retries.wait(1, claim.key) // _MICROSECOND
        body = dump_result(at=now, asked=True)
    else:
        last = isinstance(said, NotDone) or attempts >= retries.attempts
        status, outcome = ("parked", "parked") if last else ("waiting", "again")
        ready_at = now + retries.wait(attempts, claim.key) // _MICROSECOND
        body = dump_result(
            at=now, reason=said.reason, unknown=isinstance(said, Unknown)
        )
    result = EffectResult(
        key=claim.key,
        token=claim.token,
        status=status,
        attempts=attempts,
        ready_at=ready_at,
        body=body,
    )
    current = yield from settled_effect(claim.order_id, result)
    if current:
        return outcome
    _LOG.warning(
        "effect %s of order %s: its result came after its lease, when somebody else "
        "had taken it over, and was not written: set timeouts below `Retries.lease`",
        claim.key,
        claim.order_id,
    )
    return "stale"
