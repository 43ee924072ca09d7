"""
How long payments can go back: an alarm before the money of an order is trapped (F39).

A gateway gives a payment back for so long and no longer.  No order may be refused for
that, and no rule knows gateways; so somebody must look in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from pendulum import DateTime

from ..clock import as_window
from ..effects import Refund
from ..errors import CorruptJournalError, InvalidInputError, OrderNotFoundError
from ..inputs import as_id, kind_of
from ..order import BookedPayment, Order
from ..storage import Page, Query, StoredEffect, StoredOrder
from .answers import Stuck
from .core import Asking, Core

__all__ = ["AHEAD", "Windows", "as_windows", "closing", "ends_at"]

# By method of payment; `None`: for ever.
Windows: TypeAlias = Mapping[str, timedelta | None]

# Every method that is not named.
_OTHERS: Final = "*"

# How long before its end a window is spoken of: time for a mediator to rule, and for
# the provider's own days.
AHEAD: Final = timedelta(days=14)

_PAGE: Final = 100


def as_windows(value: object) -> Windows:
    """
    Return how long payments can go back, checked.

    Raises:
        InvalidInputError: If it is no mapping of methods to windows.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            "refund_windows",
            f"windows by method of payment, {{'card': 'P180D'}}, not {kind_of(value)}",
        )
    return {
        as_id(method, "refund_windows"): None
        if window is None
        else as_window(window, f"refund_windows[{method!r}]", zero=True)
        for method, window in value.items()
    }


def closing(core: Core, windows: Windows, ahead: timedelta) -> Asking[list[Stuck]]:
    """
    Return the payments that orders still hold and that soon cannot go back any more, or
    no longer can; those that end first come first.
    """
    if not _ends(windows):
        return []
    now = core.now()
    found: list[Stuck] = []
    after: str | None = None
    while True:
        page: Page[StoredOrder] = yield "find", (Query(holding=True), after, _PAGE)
        for loaded in page.items:
            try:
                order = _as_of(core, core.decoded(loaded), now)
            except CorruptJournalError:
                # Whoever reads it is told; here it must not hide the others.
                continue
            found += _alarms(order, windows, now, ahead)
        after = page.after
        if after is None:
            break
    return sorted(found, key=lambda one: (one.until or now, one.order_id))


def _as_of(core: Core, order: Order, now: DateTime) -> Order:
    """
    Return an order with what is due by now, as far as it can be settled here.
    """
    process = core.processes.get(order.fingerprint)
    if process is None:
        return order
    try:
        return core.settled(process, order, now).order
    except Exception:
        # A host's own rules may be wrong: `run_due` parks it, and it holds what it holds.
        return order


def _alarms(
    order: Order, windows: Windows, now: DateTime, ahead: timedelta
) -> Iterator[Stuck]:
    # What has become due by now may have settled it.
    if not order.ledger.escrow:
        return
    for payment in order.payments:
        left = payment.amount - payment.refunded
        until = _end(payment, windows)
        if not left or until is None:
            continue
        since = datetime.__sub__(until, ahead)
        if now < since:
            continue
        said = "can go back until" if now < until else "can no longer go back since"
        yield Stuck(
            order_id=order.id,
            kind="refund_window",
            reason=f"{left} of {payment.method} payment {payment.reference!r} {said} "
            f"{until.isoformat()}, and the order still holds it",
            since=max(since, payment.booked_at),
            attempts=0,
            until=until,
            payment=payment.payment,
        )


def ends_at(
    core: Core, effect: StoredEffect, windows: Windows
) -> Asking[DateTime | None]:
    """
    Return until when a refund can be made at all; `None` if there is no such end, or
    nobody knows.
    """
    if effect.kind != Refund.name or not _ends(windows):
        return None
    loaded: StoredOrder = yield "load", (effect.order_id,)
    try:
        order = core.decoded(loaded)
    except (CorruptJournalError, OrderNotFoundError):
        return None
    owed = order.refund(effect.key)
    payment = None if owed is None else order.payment(owed.payment.reference)
    return None if payment is None else _end(payment, windows)


def _ends(windows: Windows) -> bool:
    return any(window is not None for window in windows.values())


def _end(payment: BookedPayment, windows: Windows) -> DateTime | None:
    """
    Return the instant from which a payment cannot go back; `None` for never.
    """
    window = windows.get(payment.method, windows.get(_OTHERS))
    if window is None:
        return None
    try:
        return datetime.__add__(payment.booked_at, window)
    except OverflowError:
        # Beyond the year 9999.
        return None
