"""
What needs a human: what does not come back by itself, and putting it back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs
from pendulum import DateTime

from .. import wallet
from ..clock import as_window, from_micros, to_micros
from ..errors import (
    CorruptJournalError,
    OrderNotFoundError,
)
from ..inputs import as_id
from ..storage import (
    EffectResult,
    Page,
    Query,
    StoredEffect,
    StoredOrder,
)
from ..storage.codec import load_result
from .answers import Stuck
from .core import Asking, Core, settled_effect
from .sweep import Retries, as_limit, unknown_due
from .windows import Windows, closing, ends_at

__all__ = ["OVERDUE", "redrive", "stuck"]

_MICROSECOND: Final = timedelta(microseconds=1)

# How long money may be ready before somebody should ask why no worker takes it: all
# that wait after a failure have been tried again by then.
OVERDUE: Final = timedelta(days=1)

_PAGE: Final = 100


def stuck(
    core: Core,
    limit: int,
    retries: Retries,
    windows: Windows,
    ahead: timedelta | str,
    overdue: timedelta | str,
) -> Asking[tuple[Stuck, ...]]:
    """
    See `Engine.stuck`.
    """
    limit = as_limit(limit)
    late = _Late(
        windows=windows,
        ahead=as_window(ahead, "ahead", zero=True),
        overdue=as_window(overdue, "overdue"),
    )
    found: list[Stuck] = []
    after: str | None = None
    while len(found) < limit:
        page: Page[StoredOrder] = yield "find", (Query(parked=True), after, _PAGE)
        found += (
            Stuck(
                order_id=loaded.order_id,
                kind="wallet" if wallet.is_wallet(loaded.snapshot) else "order",
                reason=loaded.parked.reason,
                since=from_micros(loaded.parked.since),
                attempts=loaded.parked.attempts,
            )
            for loaded in page.items
            if loaded.parked is not None
        )
        after = page.after
        if after is None:
            break
    unknown = (yield from unknown_due(core, limit)) if len(found) < limit else []
    found += (
        Stuck(
            order_id=loaded.order_id,
            reason=f"no process with fingerprint {fingerprint}",
            since=from_micros(loaded.due_at or 0),
            attempts=0,
        )
        for loaded, fingerprint in unknown
        # Those that are parked are listed already.
        if loaded.parked is None
    )
    if len(found) < limit:
        found += yield from _effects(core, limit - len(found), retries, late)
    if len(found) < limit:
        found += yield from closing(core, windows, late.ahead)
    return tuple(found[:limit])


@attrs.frozen(kw_only=True)
class _Late:
    """
    When money that could be sent at once has lain for too long.
    """

    windows: Windows
    ahead: timedelta
    overdue: timedelta

    def before(self, now: int, retries: Retries) -> int:
        """
        Return the instant before which it must have become ready to be looked at: a
        refund that soon cannot be made waits no longer than after a failure.
        """
        longest = min(self.overdue, retries.longest) if self.windows else self.overdue
        # Nothing is late before the first of all days.
        return max(0, now - longest // _MICROSECOND)

    def __call__(self, ready_at: int, until: DateTime | None, now: int) -> bool:
        """
        Whether it is too late, by when it became ready and until when it can be made.
        """
        if now - ready_at > self.overdue // _MICROSECOND:
            return True
        return until is not None and until - from_micros(now) <= self.ahead


def _effects(
    core: Core, limit: int, retries: Retries, late: _Late
) -> Asking[list[Stuck]]:
    """
    Return the effects that do not come back by themselves.
    """
    now = to_micros(core.now())
    before, beyond = late.before(now, retries), _beyond(now, retries)
    found: list[Stuck] = []
    after: str | None = None
    while len(found) < limit:
        page: Page[StoredEffect] = yield (
            "stuck_effects",
            (before, beyond, after, _PAGE),
        )
        for effect in page.items:
            given_up = _is_stuck(effect, now, retries)
            if not given_up and effect.ready_at >= before:
                continue
            until = yield from ends_at(core, effect, late.windows)
            if given_up:
                reason, since = _given_up(effect, now)
            elif late(effect.ready_at, until, now):
                since = from_micros(effect.ready_at)
                reason = (
                    f"no worker has taken it since {since.isoformat()}: is there one "
                    f"with a handler for {effect.kind}?"
                )
            else:
                continue
            found.append(
                Stuck(
                    order_id=effect.order_id,
                    key=effect.key,
                    kind=effect.kind,
                    reason=reason,
                    since=since,
                    attempts=effect.attempts,
                    until=until,
                )
            )
        after = page.after
        if after is None:
            break
    return found


def _beyond(now: int, retries: Retries) -> int:
    """
    Return the instant after which nothing waits or is claimed by a right clock.
    """
    return now + max(retries.longest, retries.lease) // _MICROSECOND


def _is_stuck(effect: StoredEffect, now: int, retries: Retries) -> bool:
    """
    Whether an effect does not come back by itself.
    """
    beyond = _beyond(now, retries)
    if effect.status == "parked":
        return True
    if effect.status == "claimed":
        # Longer than anybody takes one for.
        return effect.ready_at > now + retries.lease // _MICROSECOND
    if effect.status == "done" or effect.ready_at <= beyond:
        return False
    try:
        said = load_result(effect.result)
    except CorruptJournalError:
        return True
    # Whoever carries it out may ask for any instant; a clock that is ahead may not.
    return not (said.get("asked", False) and said["at"] <= beyond)


def _given_up(effect: StoredEffect, now: int) -> tuple[str, DateTime]:
    """
    Return why an effect does not come back by itself, and since when.
    """
    try:
        result = load_result(effect.result)
    except CorruptJournalError:
        # It is a human who must look, and this is why.
        return "what became of it cannot be read", from_micros(0)
    since = from_micros(min(result.get("at", now), now))
    if effect.status == "parked":
        return result.get("reason", ""), since
    ready_at = from_micros(effect.ready_at).isoformat()
    return f"it waits until {ready_at}: some clock was wrong", since


def redrive(
    core: Core, order_id: str, key: str | None, retries: Retries
) -> Asking[int]:
    """
    See `Engine.redrive`.
    """
    order_id = as_id(order_id, "order_id")
    if key is not None:
        key = as_id(key, "key")
    put_back = 0
    loaded: StoredOrder = yield "load", (order_id,)
    if not loaded.version:
        raise OrderNotFoundError(order_id)
    if loaded.parked is not None and key is None:
        put_back += yield "park", (order_id, loaded.version, None)
    effects: tuple[StoredEffect, ...] = yield "effects", (order_id,)
    now = to_micros(core.now())
    for effect in effects:
        if key in (None, effect.key) and _is_stuck(effect, now, retries):
            result = EffectResult(
                key=effect.key,
                token=effect.token,
                status="waiting",
                attempts=0,
                ready_at=now,
                body=effect.result,
            )
            put_back += yield from settled_effect(order_id, result)
    return put_back
