"""
Policies of money: what may go back in part and when it shows, what may be added, and
what the platform takes.

They are `escrowflow.rules` like the others, and are imported from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, final

import attrs
from pendulum import DateTime

from .calendars import BusinessCalendar, MondayToFriday, business_days_after
from .clock import as_window
from .fields import by, checked, choice, day_spans, instance, some
from .money import Fee, Money, Share, as_share
from .policies import TimePolicy

__all__ = ["Extras", "Fees", "PartialRefunds", "RefundTiming"]


# --- partial refunds and their timing ---------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class PartialRefunds:
    """
    Whether and how much money may go back in part.

    Implements: `PartialRefundPolicy`

    Attributes:
        partial_refund: `"proposals"`: either side proposes, the other agrees;
            `"mediator_only"`: only a ruling does it (C1, R85).

        partial_refund_base: `"all_but_fees"`: the fees on top are not divided
            (EN1465); `"all"`: they are (FR1579; C20).
    """

    partial_refund: Literal["proposals", "mediator_only"] = attrs.field(
        default="proposals",
        metadata=by(choice, "proposals", "mediator_only"),
    )
    partial_refund_base: Literal["all_but_fees", "all"] = attrs.field(
        default="all_but_fees",
        metadata=by(choice, "all_but_fees", "all"),
    )

    @property
    def proposals(self) -> bool:
        return self.partial_refund == "proposals"

    def cap(self, *, held: Money, fees: Money) -> Money:
        if self.partial_refund_base == "all":
            return held
        return held - min(fees, held)


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class RefundTiming:
    """
    How long a refund takes to show.

    Implements: `RefundTimingPolicy`

    Attributes:
        refund_eta: For each method of payment the business days until it shows,
            one number or (earliest, latest).  Wallet and PayPal at once, card 3
            to 5 (seed002, seed003, C16).  A method that is not listed is
            estimated like the slowest that is.

        business_calendar: On which days banks work.  A host's own needs
            `version: str`.
    """

    refund_eta: Mapping[str, int | tuple[int, int]] = attrs.field(
        factory=lambda: {"wallet": 0, "paypal": 0, "card": (3, 5)},
        metadata=by(day_spans),
    )
    business_calendar: BusinessCalendar = attrs.field(
        factory=MondayToFriday, metadata=by(instance, BusinessCalendar)
    )

    def estimate(
        self, method: str, at: DateTime, *, zone: str
    ) -> tuple[DateTime, DateTime]:
        """
        Return the earliest and the latest instant, at the same time of day.
        """
        spans = {
            known: days if isinstance(days, tuple) else (days, days)
            for known, days in self.refund_eta.items()
        }
        earliest, latest = spans.get(method) or max(spans.values())
        calendar = self.business_calendar
        return (
            business_days_after(at, earliest, calendar=calendar, zone=zone),
            business_days_after(at, latest, calendar=calendar, zone=zone),
        )


# --- extras, fees -----------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Extras:
    """
    Tips, add-ons and custom offers.

    Implements: `ExtrasPolicy`

    Attributes:
        offer_window: 7 days, then an offer lapses (R19).

        addon_deadline: What an extra with its own delivery time does to the
            deadline: `"none"`; `"add_days"` adds it from the later of now and
            the deadline; `"max"` makes the deadline at least that far from now
            (R17, R18: not stated).

        tip_max: 20 % of price and add-ons (R4).
    """

    offer_window: timedelta = attrs.field(
        default=timedelta(days=7), metadata=by(as_window)
    )
    addon_deadline: Literal["none", "add_days", "max"] = attrs.field(
        default="none",
        metadata=by(choice, "none", "add_days", "max"),
    )
    tip_max: Share = attrs.field(default=Share.percent(20), metadata=by(as_share))

    def extended(self, window: timedelta, extra: timedelta) -> timedelta:
        if self.addon_deadline == "add_days":
            return window + extra
        return max(window, extra) if self.addon_deadline == "max" else window

    def moved(
        self, due_at: DateTime, *, now: DateTime, extra: timedelta, time: TimePolicy
    ) -> DateTime | None:
        if self.addon_deadline == "none":
            return None
        if self.addon_deadline == "add_days":
            return time.end(max(due_at, now), extra)
        moved = time.end(now, extra)
        return moved if moved > due_at else None


# The fees that the buyer pays on top of the price, by name.
_ON_TOP: Final = ("buyer_fee", "bank_fee", "tax")


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Fees:
    """
    What the platform takes; nothing by default (C19).

    Each fee is reckoned on price, add-ons and offers, rounded half up.

    Implements: `FeePolicy`

    Attributes:
        buyer_fee: On top of the price.

        seller_fee: Taken from the seller when he is paid.

        bank_fee: On top of the price.

        tax: On top of the price.

        buyer_bears: Which of the three on top do not go back when it is the buyer's
            doing that a paid order is cancelled; none by default: to cancel costs
            nothing, and fees go back with the rest (R45, R49).  When it is the
            seller's doing, or both agree, everything goes back, and the platform
            bears them: no money of the seller's is held.
    """

    buyer_fee: Fee = attrs.field(factory=Fee, metadata=by(instance, Fee))
    seller_fee: Fee = attrs.field(factory=Fee, metadata=by(instance, Fee))
    bank_fee: Fee = attrs.field(factory=Fee, metadata=by(instance, Fee))
    tax: Fee = attrs.field(factory=Fee, metadata=by(instance, Fee))
    buyer_bears: frozenset[str] = attrs.field(
        default=frozenset(), metadata=by(some, *_ON_TOP)
    )

    def on_top(self, base: Money) -> Money:
        return self.buyer_fee.of(base) + self.bank_fee.of(base) + self.tax.of(base)

    def of_seller(self, base: Money) -> Money:
        """
        Return what is taken from the seller's *base*, at most all of it.
        """
        return min(self.seller_fee.of(base), base)

    def borne_by_buyer(self, base: Money) -> Money:
        borne = Money.zero(base.currency)
        for name in self.buyer_bears:
            fee: Fee = getattr(self, name)
            borne = borne + fee.of(base)
        return borne

    def not_for_coupon(self, base: Money) -> Money:
        return self.bank_fee.of(base) + self.tax.of(base)
