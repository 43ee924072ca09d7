"""
What became of money: the effects that move it, beside what is recorded of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any, Final

import attrs
from pendulum import DateTime

from ..clock import to_micros
from ..commands import (
    Command,
    RedirectPayout,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
from ..decisions import Decided
from ..decisions.case import Case
from ..decisions.outbox import over_keys
from ..decisions.reports import moved, touched
from ..errors import CorruptJournalError
from ..events import (
    ChargebackClosed,
    ChargeFailed,
    PayoutFailed,
    Recorded,
    RefundFailed,
)
from ..order import Order
from ..parties import OUTBOX, Role
from ..rules import Policies
from ..states import Process
from ..storage import EffectResult, NewEffect, StoredEffect
from ..storage.codec import dump_result, encode_effect, load_result

__all__ = [
    "BEGUN",
    "COMMANDS",
    "FIRST",
    "HELD",
    "TRIES",
    "again_wait",
    "encoded",
    "movements",
    "noted",
    "noted_before",
    "settled",
]

# The commands that look at what has left, and change what will.
COMMANDS: Final = (
    ReportRefund,
    ReportPayout,
    ReportCharge,
    ReportChargeback,
    RedirectPayout,
)


# What is kept of the attempts at money: how many were counted, when the first was, and
# whether the last one began and nobody has heard of it since; and whether it is parked
# because a chargeback holds it back.
TRIES: Final = "tries"
FIRST: Final = "first"
BEGUN: Final = "begun"
HELD: Final = "held"


def noted_before(row: StoredEffect) -> Mapping[str, Any]:
    """
    Return what was noted of an effect last; nothing if it cannot be read.
    """
    try:
        return load_result(row.result)
    except CorruptJournalError:
        return {}


def movements(order_id: str) -> Generator[Any, Any, Mapping[str, StoredEffect]]:
    """
    Return the effects of an order that move money, by key.
    """
    effects: Iterable[StoredEffect] = yield "effects", (order_id,)
    return {row.key: row for row in effects if row.moves_money}


def noted(
    process: Process[Policies],
    due: Decided,
    command: Command,
    rows: Mapping[str, StoredEffect],
    result: EffectResult | None,
    now: DateTime,
) -> Decided:
    """
    Return an order with a record of all money that somebody began to send and nobody
    spoke of since: it is not taken for money that has not left.
    """
    if not due.order.chargebacks and not isinstance(
        command, (ReportChargeback, RedirectPayout)
    ):
        return due
    begun = [
        row.key
        for row in rows.values()
        if row.status != "done"
        and TRIES in noted_before(row)
        and (result is None or row.key != result.key)
    ]
    at = max(now, due.order.effective_at)
    case = Case(
        process=process,
        order=due.order,
        by=OUTBOX,
        now=at,
        recorded_at=max(at, due.order.recorded_at),
    )
    for event in touched(due.order, begun):
        case.record(event)
    return Decided(
        order=case.order,
        recorded=(*due.recorded, *case.recorded),
        effects=(*due.effects, *case.effects),
    )


def _over(done: Decided) -> frozenset[str]:
    """
    Return the keys under which nothing is to be sent any more.
    """
    return frozenset(
        key for recorded in done.recorded for key in over_keys(recorded.event)
    )


def settled(
    done: Decided, rows: Mapping[str, StoredEffect], result: EffectResult | None
) -> tuple[EffectResult, ...]:
    """
    Return what is written of the effects under whose keys nothing is to be sent any
    more, of those that a chargeback held back for too long and does no more, and of the
    one that was carried out.
    """
    over = _over(done)
    at = to_micros(done.order.recorded_at)
    closed = any(isinstance(one.event, ChargebackClosed) for one in done.recorded)
    written = [] if result is None else [result]
    for row in rows.values():
        if result is not None and row.key == result.key:
            continue
        same = EffectResult(
            key=row.key,
            token=row.token,
            status=row.status,
            attempts=row.attempts,
            ready_at=row.ready_at,
            body=row.result,
        )
        if row.key in over and row.status != "done":
            lapsed = dump_result(at=at, lapsed=True)
            written.append(attrs.evolve(same, status="done", body=lapsed))
        elif closed and row.status == "parked" and noted_before(row).get(HELD):
            written.append(attrs.evolve(same, status="waiting", ready_at=at))
    return tuple(written)


def _reasons(history: Iterable[Recorded]) -> Mapping[str, str]:
    """
    Return why money waits for a human, by its key; what people wrote is left out.
    """
    return {
        recorded.event.next_key: str(recorded.event.reason)
        for recorded in history
        if isinstance(recorded.event, (RefundFailed, PayoutFailed))
        and recorded.by.role is Role.PROVIDER
    }


# How long money that did not leave waits, in microseconds, if it did not leave before
# either; it doubles each time, up to the longest.
_AGAIN_WAIT: Final = 5 * 60_000_000
_AGAIN_LONGEST: Final = 60 * 60_000_000


def again_wait(epoch: int) -> int:
    """
    Return how long money waits, in microseconds, once it was proved so often that it
    did not leave: at first not at all.
    """
    if epoch < 2:
        return 0
    return min(_AGAIN_WAIT << (epoch - 2), _AGAIN_LONGEST)


def _waits(order: Order, history: Iterable[Recorded]) -> Mapping[str, int]:
    """
    Return how long money waits before it is sent under another key, by that key.
    """
    waits = {}
    for recorded in history:
        event = recorded.event
        if isinstance(event, (RefundFailed, PayoutFailed, ChargeFailed)) and (
            event.again
        ):
            owed = moved(order, event.next_key)
            waits[event.next_key] = again_wait(0 if owed is None else owed.epoch)
    return waits


def encoded(done: Decided, ready_at: int) -> list[NewEffect]:
    """
    Return the effects of what happened, as they are handed out.

    Args:
        ready_at: When they may first be carried out; money that did not leave before
            waits.
    """
    reasons, waits = _reasons(done.recorded), _waits(done.order, done.recorded)
    over = _over(done)
    lapsed = dump_result(at=ready_at, lapsed=True)
    effects = []
    for effect in done.effects:
        at = ready_at + waits.get(effect.key, 0)
        new = encode_effect(effect, at, reasons.get(effect.key, ""))
        if new.key in over:
            # It is over before anybody saw it.
            new = attrs.evolve(new, status="done", result=lapsed)
        effects.append(new)
    return effects
