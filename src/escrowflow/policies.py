"""
What a policy must answer: one small protocol a subject.

A host may put an object of its own behind any of them.  It must be pure: the same
question gives the same answer, for ever; and it carries `version: str`, because
orders are pinned to the rules they were placed under.  The library's own answers
are in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Final, Literal, Protocol, TypeAlias, final, runtime_checkable

import attrs
from pendulum import DateTime

from .clock import Window
from .money import NOTHING, Money, Share
from .parties import Role
from .terms import Revisions, Ruling

__all__ = [
    "PROTOCOLS",
    "AcceptancePolicy",
    "Alone",
    "ByConsent",
    "CancellationPolicy",
    "CompletionPolicy",
    "ConversationPolicy",
    "DeliveryPolicy",
    "DisputePolicy",
    "ExtrasPolicy",
    "FeePolicy",
    "LifetimePolicy",
    "No",
    "PartialRefundPolicy",
    "RefundTimingPolicy",
    "ReviewPolicy",
    "RevisionPolicy",
    "Right",
    "Situation",
    "StatisticsPolicy",
    "TimePolicy",
    "Verdict",
]


@runtime_checkable
class TimePolicy(Protocol):
    """
    Say when a window ends, and whether its end belongs to it.
    """

    @property
    def zone(self) -> str:
        """The zone in which days, months and business days are counted."""
        ...

    def end(self, start: DateTime, window: Window) -> DateTime:
        """Return the end of a window that may be counted in days of the calendar."""
        ...

    def armed_at(self, due_at: DateTime) -> DateTime:
        """Return the instant from which a deadline counts as passed."""
        ...

    def over(self, due_at: DateTime, now: DateTime) -> bool:
        """Return whether a window that ends at *due_at* is over."""
        ...


@runtime_checkable
class AcceptancePolicy(Protocol):
    """
    Say how long a seller has to accept, where the terms do not.
    """

    @property
    def acceptance_window(self) -> timedelta:
        """Time from payment to acceptance; always elapsed time."""
        ...

    @property
    def reminders(self) -> tuple[timedelta, ...]:
        """How long before the end the buyer is reminded of the brief."""
        ...

    @property
    def brief_required(self) -> bool:
        """Whether a brief is asked for; shown, never a condition."""
        ...

    @property
    def charge_at(self) -> str:
        """When the buyer is charged: `"order"`, or `"acceptance"` if a bank holds."""
        ...

    @property
    def brief_window(self) -> timedelta | None:
        """Time for a brief that is owed after acceptance; `None` for no end."""
        ...


@runtime_checkable
class DeliveryPolicy(Protocol):
    """
    Say by when the work has to be handed over again.
    """

    @property
    def deliver_during_cancel_request(self) -> bool:
        """Whether the seller may deliver while the buyer asks to cancel."""
        ...

    @property
    def late_window(self) -> timedelta | None:
        """How late an order may be until it is cancelled; `None` for no end."""
        ...

    @property
    def relaunch_takes_date(self) -> bool:
        """Whether a mediator who relaunches an order names the new deadline."""
        ...

    def after_revision(
        self, *, full: timedelta, left: timedelta
    ) -> timedelta | Literal["resume"] | None:
        """
        Return the time to deliver again after an accepted revision.

        Args:
            full: The whole delivery time, windows of extras included.

            left: What was left of it at the last delivery; zero when late.

        Returns:
            A window that begins now; `"resume"` for what was left; `None` for
            no deadline.
        """
        ...

    def after_relaunch(
        self, *, now: DateTime, full: timedelta, left: timedelta, time: TimePolicy
    ) -> DateTime:
        """
        Return the new delivery deadline after a mediator's relaunch.
        """
        ...


@final
@attrs.frozen(kw_only=True)
class Situation:
    """
    What the right to cancel depends on.

    Attributes:
        state: The state of the order, as text.

        role: Who asks.

        late: Whether the delivery deadline passed undelivered.

        delivered: Whether anything was ever delivered.
    """

    state: str
    role: Role
    late: bool
    delivered: bool


@final
@attrs.frozen
class Alone:
    """
    May end the order alone.

    Attributes:
        to_seller: The share of the work that the seller keeps all the same;
            the rest goes back, fees included.
    """

    to_seller: Share = NOTHING


@final
@attrs.frozen
class ByConsent:
    """
    May end the order if the other side agrees.
    """


@final
@attrs.frozen
class No:
    """
    May not.

    Attributes:
        code: Why not: a code of the catalogue.
    """

    code: str


Right: TypeAlias = Alone | ByConsent | No


@runtime_checkable
class CancellationPolicy(Protocol):
    """
    Say who may end an order, alone or by consent.
    """

    @property
    def answer_window(self) -> timedelta:
        """Time to answer a request, after which a dispute is possible."""
        ...

    def cancel(self, situation: Situation) -> Right:
        """Return the right to cancel at once."""
        ...

    def request(self, situation: Situation) -> Right:
        """Return the right to ask for it; `Alone` means the asking is enough."""
        ...

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        """Return whether this many refused requests open a dispute by themselves."""
        ...


@runtime_checkable
class RevisionPolicy(Protocol):
    """
    Say how often a buyer may ask for changes, and what a refusal leads to.
    """

    @property
    def revisions(self) -> int | None:
        """The number of revisions where the terms give none; `None` for no limit."""
        ...

    @property
    def revision_needs_seller_answer(self) -> bool:
        """Whether the seller answers first, or the work begins again at once."""
        ...

    @property
    def answer_window(self) -> timedelta:
        """Time to answer a request, after which a dispute is possible."""
        ...

    @property
    def choice_window(self) -> timedelta:
        """Time the buyer has after a refusal."""
        ...

    def request(
        self, *, used: int, agreed: Revisions
    ) -> Literal["within", "over", "refused"]:
        """Return what one more request would be."""
        ...

    def disputes_after(self, refusals: int) -> bool:
        """Return whether this many refusals let the buyer go to a mediator."""
        ...


@runtime_checkable
class CompletionPolicy(Protocol):
    """
    Say what completes a delivered order.
    """

    @property
    def verification_window(self) -> timedelta:
        """Time the buyer has to look, where the terms do not say."""
        ...

    @property
    def reminders(self) -> tuple[timedelta, ...]:
        """How long before the end the buyer is reminded."""
        ...

    def completes(self, trigger: str) -> bool:
        """Return whether `"approve"` or `"review"` completes an order."""
        ...


@runtime_checkable
class DisputePolicy(Protocol):
    """
    Say who reaches a mediator, how, and what happens if the mediator is silent.
    """

    @property
    def dispute_chat(self) -> str:
        """`"mediator_thread_only"` or `"blocked"`."""
        ...

    @property
    def mediator_sla(self) -> timedelta:
        """Time after which a dispute without a mediator raises an alert."""
        ...

    @property
    def ruling_window(self) -> timedelta | None:
        """Time after which the default ruling is made; `None` for never."""
        ...

    @property
    def claim_window(self) -> timedelta | None:
        """Time after which a claim that holds an order up is a dispute, or `None`."""
        ...

    def may_open(self, role: Role) -> bool:
        """Return whether this side may call for a mediator."""
        ...

    def direct(self, route: str) -> bool:
        """Return whether this way leads to a dispute at once, or through a claim."""
        ...

    def by_default(self, *, delivered: bool) -> Ruling | None:
        """Return the ruling made when nobody rules."""
        ...


@runtime_checkable
class PartialRefundPolicy(Protocol):
    """
    Say who may divide the money, and how much of it.
    """

    @property
    def proposals(self) -> bool:
        """Whether the two sides may agree on a partial refund by themselves."""
        ...

    def cap(self, *, held: Money, fees: Money) -> Money:
        """Return the most that a partial refund may give back."""
        ...


@runtime_checkable
class RefundTimingPolicy(Protocol):
    """
    Estimate when a buyer sees his money.
    """

    def estimate(
        self, method: str, at: DateTime, *, zone: str
    ) -> tuple[DateTime, DateTime]:
        """Return the earliest and the latest instant; a display, never a state."""
        ...


@runtime_checkable
class ExtrasPolicy(Protocol):
    """
    Say what extras do to a running order.
    """

    @property
    def offer_window(self) -> timedelta:
        """How long an offer stands."""
        ...

    @property
    def tip_max(self) -> Share:
        """The most of price and add-ons that a tip may be."""
        ...

    def extended(self, window: timedelta, extra: timedelta) -> timedelta:
        """Return the whole delivery time after an extra with its own time."""
        ...

    def moved(
        self, due_at: DateTime, *, now: DateTime, extra: timedelta, time: TimePolicy
    ) -> DateTime | None:
        """Return the new delivery deadline, `None` if it stays."""
        ...


@runtime_checkable
class FeePolicy(Protocol):
    """
    Say what the platform takes.
    """

    def on_top(self, base: Money) -> Money:
        """
        Return what the buyer pays on top of *base*: price, add-ons, offers.  An extra
        costs what it adds to this, and nothing if that is less than before.
        """
        ...

    def of_seller(self, base: Money) -> Money:
        """
        Return what is taken from the seller's *base* when it is released: at most all
        of it, whatever this says.
        """
        ...

    def borne_by_buyer(self, base: Money) -> Money:
        """
        Return what of the fees on top does not go back when the order is cancelled
        by the buyer's doing.
        """
        ...

    def not_for_coupon(self, base: Money) -> Money:
        """Return what of the fees on top a coupon does not give back (R100)."""
        ...


@runtime_checkable
class ConversationPolicy(Protocol):
    """
    Say how long the two sides may talk after the end.
    """

    def closes_at(
        self,
        *,
        completed: bool,
        ended_at: DateTime,
        delivered_at: DateTime | None,
        time: TimePolicy,
    ) -> DateTime | None:
        """Return when the conversation closes; `None` if somebody has to leave it."""
        ...


@runtime_checkable
class ReviewPolicy(Protocol):
    """
    Say how long a review may follow.
    """

    @property
    def review_window(self) -> Window:
        """Time from completion; may be calendar months."""
        ...


@runtime_checkable
class LifetimePolicy(Protocol):
    """
    Say how long an order may live.
    """

    @property
    def payment_window(self) -> timedelta:
        """Time to pay an order that was placed without a payment."""
        ...

    @property
    def order_cap(self) -> Window | None:
        """The longest life of an order, from its payment; `None` for no limit."""
        ...

    @property
    def expiry_beneficiary(self) -> str:
        """Who gets what is held then: a side, `"platform"`, or who a `"mediator"` says."""
        ...

    @property
    def cap_grace(self) -> timedelta | None:
        """Time after a ruling if the cap passed in the dispute; `None` for none."""
        ...


@final
@attrs.frozen(kw_only=True)
class Verdict:
    """
    What became of one order, as one rate of its seller asks it.

    Attributes:
        figure: The rate: `"acceptance_rate"`, `"completion_rate"`, `"on_time_rate"`
            or `"cancellation_rate"`.

        good: Whether it speaks for the seller: accepted, completed, in time, not
            cancelled.

        responsible: Whose doing it was if it does not; `None` if nobody's, or if
            staff excused it (R43).

        cause: Why the order ended if that speaks against him, as in `Ending`; empty
            otherwise.
    """

    figure: str
    good: bool
    responsible: Role | None = None
    cause: str = ""


@runtime_checkable
class StatisticsPolicy(Protocol):
    """
    Say what counts in a seller's figures.

    It is asked when figures are read, never when events are counted: the same
    histories can be read under several policies.
    """

    @property
    def window(self) -> Window:
        """How far back the figures look."""
        ...

    @property
    def minimum(self) -> int:
        """Completed orders needed before there are figures at all."""
        ...

    def counts(self, verdict: Verdict) -> bool:
        """Return whether an order is part of a rate at all, on either side of it."""
        ...

    def score(
        self,
        *,
        completion: Fraction | None,
        response_time: timedelta | None,
        on_time: Fraction | None,
        acceptance: Fraction | None,
    ) -> Fraction | None:
        """
        Return the performance score, from 0 to 1; `None` if there is none.

        What is `None` has not happened yet.
        """
        ...

    def grade(self, score: Fraction) -> int:
        """Return the grade of a score; a higher one is better."""
        ...


# What stands behind each name of `Policies`.
PROTOCOLS: Final[Mapping[str, type]] = {
    "time": TimePolicy,
    "acceptance": AcceptancePolicy,
    "delivery": DeliveryPolicy,
    "cancellation": CancellationPolicy,
    "revision": RevisionPolicy,
    "completion": CompletionPolicy,
    "dispute": DisputePolicy,
    "partial_refunds": PartialRefundPolicy,
    "refund_timing": RefundTimingPolicy,
    "extras": ExtrasPolicy,
    "fees": FeePolicy,
    "conversation": ConversationPolicy,
    "reviews": ReviewPolicy,
    "lifetime": LifetimePolicy,
    "statistics": StatisticsPolicy,
}
