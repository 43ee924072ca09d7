"""
What an engine answers.
"""

from __future__ import annotations

from typing import final

import attrs
from pendulum import DateTime

from ..decisions import Forecast, Option
from ..effects import Effect
from ..events import Recorded
from ..money import Payment
from ..order import Order
from ..timeline import Moment

__all__ = [
    "EffectReport",
    "EffectStatus",
    "OrderPage",
    "Outcome",
    "Stuck",
    "SweepReport",
    "View",
]


@final
@attrs.frozen(kw_only=True)
class Outcome:
    """
    What a command did.

    Attributes:
        order: The order after it.

        events: What the command made happen, oldest first; what was due before
            it is in the history only.

        effects: What the host must now do because of it.

        replayed: Whether this is the answer to an earlier call with this key.

        state_before: The state in which the command found the order, what was due
            settled; empty if it placed it.
    """

    order: Order
    events: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()
    replayed: bool = False
    state_before: str = ""


@final
@attrs.frozen(kw_only=True)
class View:
    """
    One reading of an order: everything in it belongs to one instant.

    Attributes:
        order: The order as it is now.

        options: What the reader can do, and why not; empty without a reader.

        forecast: What happens if nobody acts any more.

        timeline: Its story, oldest first, as far as the reader may know it.

        as_of: The instant.
    """

    order: Order
    options: tuple[Option, ...]
    forecast: Forecast
    timeline: tuple[Moment, ...]
    as_of: DateTime


@final
@attrs.frozen
class OrderPage:
    """
    Some of the orders that were found.

    Attributes:
        items: The orders as they are now.

        after: Pass it on to get the next page; `None` on the last one.

        unreadable: The ids of those that were found and cannot be read: damaged
            behind the engine's back.  `Engine.verify` says more.
    """

    items: tuple[Order, ...]
    after: str | None = None
    unreadable: tuple[str, ...] = ()


@final
@attrs.frozen(kw_only=True)
class EffectStatus:
    """
    An effect, and what became of it so far.

    Attributes:
        status: `"waiting"`, `"claimed"`, `"done"`, `"parked"` (a human must look),
            `"failed"` (it did not happen, and is owed under another key) or
            `"lapsed"` (nothing is to be sent any more: the message is too late, or
            nothing is owed under this key).

        attempts: How often it was tried.

        reference: What whoever carried it out calls it.

        reason: Why it was not carried out, when it was last tried.
    """

    effect: Effect
    status: str
    attempts: int
    reference: str = ""
    reason: str = ""


@final
@attrs.frozen(kw_only=True)
class SweepReport:
    """
    What a sweep did.

    Attributes:
        orders: How many orders it moved.

        moves: How many events it recorded.

        faster: How many orders somebody else had settled meanwhile.

        unknown: Orders that are due under a process that this engine lacks, with its
            fingerprint; the 100 most overdue.  They are left to those who have it.

        parked: The orders that could not be settled, with the reason.
    """

    orders: int = 0
    moves: int = 0
    faster: int = 0
    unknown: tuple[tuple[str, str], ...] = ()
    parked: tuple[tuple[str, str], ...] = ()


@final
@attrs.frozen(kw_only=True)
class EffectReport:
    """
    What a round of effects came to.

    Attributes:
        done: How many were carried out.

        lapsed: How many messages came too late and were not sent, and how many
            withdrawals were refused and went back into their wallets.

        again: How many will be tried again.

        parked: How many wait for a human from now on.

        stale: How many were taken over by somebody else meanwhile; what became of
            them here was not written.
    """

    done: int = 0
    lapsed: int = 0
    again: int = 0
    parked: int = 0
    stale: int = 0

    @property
    def handled(self) -> int:
        """
        How many there were.
        """
        return self.done + self.lapsed + self.again + self.parked + self.stale


@final
@attrs.frozen(kw_only=True)
class Stuck:
    """
    Something that a human must look at.

    Attributes:
        order_id: The order.

        key: The key of the effect; empty if it is the order itself.

        kind: `"order"`, `"wallet"`, the kind of effect: `"refund"`; or `"refund_window"`:
            a payment is still held that soon cannot go back.  What the order owes
            already is not held any more: it is listed once it is refused or given up.

        reason: What is in the way.

        since: Since when.

        attempts: How often it was tried.

        until: Until when the payment can go back, if that is known and has an end.

        payment: The payment that soon cannot go back, all of it, whatever is left of
            it; `None` for any other kind.
    """

    order_id: str
    key: str = ""
    kind: str = "order"
    reason: str
    since: DateTime
    attempts: int
    until: DateTime | None = None
    payment: Payment | None = None
