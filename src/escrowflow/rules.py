"""
Policies: what a marketplace may decide for itself.

A policy chooses or blocks what the table of a process allows; it never adds a
row.  Each is a frozen value with the published default of its source.  What its
methods answer is said by the protocol it implements, in `policies.py`; a host may
put an object of its own in its place.

C1 to C26 are the points on which the published pages contradict each other; both
readings are values of one field, the default first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, Literal, final

import attrs
from pendulum import DateTime

from .calendars import BusinessCalendar, MondayToFriday
from .charges import Extras, Fees, PartialRefunds, RefundTiming
from .clock import Months, Window, as_window, check_zone, end_of
from .errors import InvalidInputError
from .fields import (
    by,
    checked,
    choice,
    choices,
    count,
    flag,
    instance,
    keyword_or_window,
    limit,
    names,
    names_but,
    plain,
    span,
    weights,
    windows,
)
from .inputs import lacking
from .parties import Role
from .policies import (
    PROTOCOLS,
    AcceptancePolicy,
    Alone,
    ByConsent,
    CancellationPolicy,
    CompletionPolicy,
    ConversationPolicy,
    DeliveryPolicy,
    DisputePolicy,
    ExtrasPolicy,
    FeePolicy,
    LifetimePolicy,
    No,
    PartialRefundPolicy,
    RefundTimingPolicy,
    ReviewPolicy,
    RevisionPolicy,
    Right,
    Situation,
    StatisticsPolicy,
    TimePolicy,
    Verdict,
)
from .terms import FullRefund, PaySeller, Revisions, Ruling

__all__ = [
    "AcceptancePolicy",
    "AcceptanceWindow",
    "Alone",
    "AutoCompletion",
    "BusinessCalendar",
    "ByConsent",
    "CancellationPolicy",
    "CancellationRights",
    "CompletionPolicy",
    "Conversation",
    "ConversationPolicy",
    "DeliveryDeadline",
    "DeliveryPolicy",
    "DisputePolicy",
    "DisputeRules",
    "Extras",
    "ExtrasPolicy",
    "FeePolicy",
    "Fees",
    "Lifetime",
    "LifetimePolicy",
    "MondayToFriday",
    "No",
    "PartialRefundPolicy",
    "PartialRefunds",
    "Policies",
    "RefundTiming",
    "RefundTimingPolicy",
    "ReviewPolicy",
    "Reviews",
    "RevisionLimit",
    "RevisionPolicy",
    "Right",
    "Situation",
    "Statistics",
    "StatisticsPolicy",
    "TimePolicy",
    "TimeRules",
    "Verdict",
]

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

# What resumes is never shorter: whoever was kept waiting has a day to notice.
RESUMED_AT_LEAST: Final = DAY


# --- time -------------------------------------------------------------------------

# How far after the end an inclusive deadline fires: the smallest step of time.
_STEP: Final = timedelta(microseconds=1)


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class TimeRules:
    """
    How days are counted, and to whom the last instant belongs.

    Implements: `TimePolicy`

    Attributes:
        deadline_boundary: `"exclusive"`: a person acts only before the end, at
            the end the deadline wins.  `"inclusive"`: the end itself is still in
            time.

        day_arithmetic: `"elapsed"`: a day is 24 hours.  `"civil"`: a window of
            whole days ends at the same time of day in *zone*.  Windows of 48
            hours and the like are always elapsed time.

        zone: The platform's zone.

    Source: no page says it; docs/reference/rules.md, "Gaps".
    """

    deadline_boundary: Literal["exclusive", "inclusive"] = attrs.field(
        default="exclusive",
        metadata=by(choice, "exclusive", "inclusive"),
    )
    day_arithmetic: Literal["elapsed", "civil"] = attrs.field(
        default="elapsed",
        metadata=by(choice, "elapsed", "civil"),
    )
    zone: str = attrs.field(default="Europe/Paris", metadata=by(check_zone))

    def end(self, start: DateTime, window: Window) -> DateTime:
        return end_of(
            start, window, civil=self.day_arithmetic == "civil", zone=self.zone
        )

    def armed_at(self, due_at: DateTime) -> DateTime:
        if self.deadline_boundary == "exclusive":
            return due_at
        return end_of(due_at, _STEP)

    def over(self, due_at: DateTime, now: DateTime) -> bool:
        return now >= self.armed_at(due_at)


# --- acceptance -------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class AcceptanceWindow:
    """
    The seller has 48 hours from the payment (R2, R13, C18).

    Implements: `AcceptancePolicy`

    Attributes:
        acceptance_window: 48 hours (seed000, seed002, seed004); "by default"
            (FR1579), so the terms of an order may say otherwise (R14).

        reminders: How long before the end the buyer is reminded, as long as
            there is no brief (R8).  The page gives no moment; ours is 24 hours.

        brief_required: Whether the service needs a brief (C17).

        charge_at: `"order"`: paid means that the money is here; `"acceptance"`: the
            buyer's bank may hold it until the seller accepts (F37; ours).

        brief_window: How long, once the seller accepted, the buyer has for a brief
            that the service needs; meanwhile the delivery time stands still.  `None`:
            it does not, as on the pages (R30).  `recommended` has it.
    """

    acceptance_window: timedelta = attrs.field(
        default=48 * HOUR, metadata=by(as_window)
    )
    reminders: tuple[timedelta, ...] = attrs.field(
        default=(24 * HOUR,), metadata=by(windows)
    )
    brief_required: bool = attrs.field(default=False, metadata=by(flag))
    charge_at: Literal["order", "acceptance"] = attrs.field(
        default="order", metadata=by(choice, "order", "acceptance")
    )
    brief_window: timedelta | None = attrs.field(
        default=None, metadata=by(as_window, none=True)
    )


# --- delivery ---------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class DeliveryDeadline:
    """
    When the work is due again.

    Implements: `DeliveryPolicy`

    Attributes:
        revision_deadline: After an accepted revision: `"restart_full"` gives the
            whole delivery time again, `"remaining"` what was left of it,
            `"none"` no deadline, a window itself (C9; seed001 says "within the
            delivery time that was set").

        relaunch_deadline: After a mediator's relaunch: `"remaining"`,
            `"restart_full"`, or `"mediator_sets"` (R80; not stated).

        relaunch_minimum: The least that `"remaining"` gives after a relaunch.

        deliver_during_cancel_request: Whether the seller may deliver while the
            buyer asks to cancel (not stated; no).

        late_window: How late an order may be until everything goes back by itself;
            `None`: the buyer decides (R27).  `recommended` has it.
    """

    revision_deadline: Literal["restart_full", "remaining", "none"] | timedelta = (
        attrs.field(
            default="restart_full",
            metadata=by(keyword_or_window, "restart_full", "remaining", "none"),
        )
    )
    relaunch_deadline: Literal["remaining", "restart_full", "mediator_sets"] = (
        attrs.field(
            default="remaining",
            metadata=by(choice, "remaining", "restart_full", "mediator_sets"),
        )
    )
    relaunch_minimum: timedelta = attrs.field(default=24 * HOUR, metadata=by(as_window))
    deliver_during_cancel_request: bool = attrs.field(default=False, metadata=by(flag))
    late_window: timedelta | None = attrs.field(
        default=None, metadata=by(as_window, none=True)
    )

    @property
    def relaunch_takes_date(self) -> bool:
        return self.relaunch_deadline == "mediator_sets"

    def after_revision(
        self, *, full: timedelta, left: timedelta
    ) -> timedelta | Literal["resume"] | None:
        if isinstance(self.revision_deadline, timedelta):
            return self.revision_deadline
        if self.revision_deadline == "restart_full":
            return full
        return "resume" if self.revision_deadline == "remaining" else None

    def after_relaunch(
        self, *, now: DateTime, full: timedelta, left: timedelta, time: TimePolicy
    ) -> DateTime:
        if self.relaunch_deadline == "restart_full":
            return time.end(now, full)
        # What is left of a window is elapsed time, and so is the least of it.
        return end_of(now, max(left, self.relaunch_minimum))


# --- cancellation -----------------------------------------------------------------


# Where nobody may end an order by himself, whatever a marketplace wishes (C2).
_NEVER: Final = ("disputed", "frozen", "completed", "cancelled", "expired")


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class CancellationRights:
    """
    Who may end an order.

        state                    buyer                      seller
        awaiting_payment         alone                      -
        pending                  alone (R12)                alone (R11)
        in_progress, on time     by consent (R16, R31)      alone (R36)
        in_progress, late        alone (R27, C10, C11)      alone
        cancellation_requested   as in_progress             alone
        delivered                not: ask for a revision    not: the buyer must
                                                            act first (R37, C2)
        revision_requested       not                        alone
        revision_refused         not                        alone (R38)
        disputed, frozen, ended  not                        not

    Implements: `CancellationPolicy`

    Attributes:
        seller_cancel_states: Where the seller may cancel alone (C2): seed004
            says anywhere before the end, and that the button is missing where
            the buyer must act first.  Add `"delivered"` for the first reading.

        late_cancel: `"immediate"`: the buyer cancels a late order;
            `"request_auto_accepted"`: he asks, and asking is enough (C11).

        late_cancel_after_first_delivery: Whether that also holds for a late
            redelivery (C10).

        cancel_request_states: Where the buyer may ask (C12); `"delivered"` and
            `"revision_refused"` may be added.

        answer_window: Time to answer a request, 48 hours (FR1790).

        auto_dispute_after_cancel_refusals: How many refused requests open a
            dispute by themselves, as long as nothing was delivered (C5, R35);
            `None` for never.
    """

    seller_cancel_states: frozenset[str] = attrs.field(
        default=frozenset(
            {
                "pending",
                "in_progress",
                "cancellation_requested",
                "revision_requested",
                "revision_refused",
            }
        ),
        metadata=by(names_but, *_NEVER),
    )
    late_cancel: Literal["immediate", "request_auto_accepted"] = attrs.field(
        default="immediate",
        metadata=by(choice, "immediate", "request_auto_accepted"),
    )
    late_cancel_after_first_delivery: bool = attrs.field(
        default=True, metadata=by(flag)
    )
    cancel_request_states: frozenset[str] = attrs.field(
        default=frozenset({"in_progress"}),
        metadata=by(names_but, *_NEVER),
    )
    answer_window: timedelta = attrs.field(default=48 * HOUR, metadata=by(as_window))
    auto_dispute_after_cancel_refusals: int | None = attrs.field(
        default=2,
        metadata=by(count, 1, none=True),
    )

    def cancel(self, situation: Situation) -> Right:
        if situation.role is Role.SELLER:
            if situation.state in self.seller_cancel_states:
                return Alone()
            if situation.state == "delivered":
                return No("buyer_must_act_first")
            return No("no_right_to_cancel")
        if situation.state in ("awaiting_payment", "pending"):
            return Alone()
        if not self._late(situation):
            return ByConsent()
        if self.late_cancel == "request_auto_accepted":
            return No("request_cancellation_instead")
        return Alone()

    def request(self, situation: Situation) -> Right:
        if situation.state not in self.cancel_request_states:
            return No("no_cancellation_request_here")
        if self.late_cancel == "request_auto_accepted" and self._late(situation):
            return Alone()
        return ByConsent()

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        limit = self.auto_dispute_after_cancel_refusals
        return limit is not None and refused >= limit and not delivered

    def _late(self, situation: Situation) -> bool:
        """
        Whether lateness gives the buyer the right to leave.
        """
        if situation.state not in ("in_progress", "cancellation_requested"):
            return False
        if situation.delivered and not self.late_cancel_after_first_delivery:
            return False
        return situation.late


# --- revision ---------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class RevisionLimit:
    """
    How often a buyer may ask for changes.

    Implements: `RevisionPolicy`

    Attributes:
        revisions: How often where the terms do not say; `None`: no limit (R58,
            seed004).

        revision_limit_mode: `"soft"`: a request beyond it is possible and
            marked, refusing it is always justified; `"hard"`: it is refused.

        revision_needs_seller_answer: Whether the seller answers first (C8).

        answer_window: Time to answer, 48 hours (FR1741).

        choice_window: Time the buyer has after a refusal, 7 days (FR1739).

        dispute_after_revision_refusals: How many refusals let the buyer go to a
            mediator; with 2, a refused cancellation counts too, and until then
            he may ask again (C4).
    """

    revisions: int | None = attrs.field(
        default=None,
        metadata=by(limit),
    )
    revision_limit_mode: Literal["soft", "hard"] = attrs.field(
        default="soft",
        metadata=by(choice, "soft", "hard"),
    )
    revision_needs_seller_answer: bool = attrs.field(default=True, metadata=by(flag))
    answer_window: timedelta = attrs.field(default=48 * HOUR, metadata=by(as_window))
    choice_window: timedelta = attrs.field(default=7 * DAY, metadata=by(as_window))
    dispute_after_revision_refusals: int = attrs.field(default=1, metadata=by(count, 1))

    def request(
        self, *, used: int, agreed: Revisions
    ) -> Literal["within", "over", "refused"]:
        if agreed == "unlimited" or used < agreed:
            return "within"
        return "over" if self.revision_limit_mode == "soft" else "refused"

    def disputes_after(self, refusals: int) -> bool:
        return refusals >= self.dispute_after_revision_refusals


# --- completion -------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class AutoCompletion:
    """
    What completes a delivered order; silence always does in the end.

    Implements: `CompletionPolicy`

    Attributes:
        verification_window: 7 days (seed004), fixed (R51).

        completion_triggers: `"approve"`, `"review"` or both (C13).

        reminders: How long before the end the buyer is reminded (EN1752:
            several, no moment given).
    """

    verification_window: timedelta = attrs.field(
        default=7 * DAY, metadata=by(as_window)
    )
    completion_triggers: frozenset[str] = attrs.field(
        default=frozenset({"approve", "review"}),
        metadata=by(names, "approve", "review"),
    )
    reminders: tuple[timedelta, ...] = attrs.field(
        default=(3 * DAY, DAY), metadata=by(windows)
    )

    def completes(self, trigger: str) -> bool:
        return trigger in self.completion_triggers


# --- dispute ----------------------------------------------------------------------

# The ways into a dispute that a buyer can take by himself (R73).
ROUTES: Final = ("cancellation_unanswered", "revision_unanswered", "revision_refused")


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class DisputeRules:
    """
    How a dispute begins, and what if nobody decides it.

    Implements: `DisputePolicy`

    Attributes:
        dispute_openers: Which sides may call for a mediator, by a dispute or a
            claim (C3).

        dispute_entry: For each way in, whether it is `"direct"` or leads through
            a claim, `"claim_then_mediator"` (C3, C6).

        dispute_chat: `"mediator_thread_only"`: both sides may write to the
            mediator; `"blocked"`: not even that (C7).

        mediator_sla: 48 hours, then an alert; changes no state (C23).

        ruling_window: Time for a ruling; `None`: no limit, which `comeup`
            declares as a gap.

        default_ruling: The ruling when that time is over; needed with it.
            `"by_delivery"`: everything goes back if nothing was ever delivered,
            otherwise the seller is paid.

        claim_window: How long a claim that keeps an order from its end may wait for
            a mediator until it is a dispute; `None`: it keeps nothing from its end
            (R69).  `recommended` has it.
    """

    dispute_openers: frozenset[str] = attrs.field(
        default=frozenset({"buyer", "seller"}),
        metadata=by(names, "buyer", "seller"),
    )
    dispute_entry: Mapping[str, str] = attrs.field(
        factory=dict, metadata=by(choices, ROUTES, "direct", "claim_then_mediator")
    )
    dispute_chat: Literal["mediator_thread_only", "blocked"] = attrs.field(
        default="mediator_thread_only",
        metadata=by(choice, "mediator_thread_only", "blocked"),
    )
    mediator_sla: timedelta = attrs.field(default=48 * HOUR, metadata=by(as_window))
    ruling_window: timedelta | None = attrs.field(
        default=None, metadata=by(as_window, none=True)
    )
    # An amount cannot be agreed before the price is, and a relaunch ends nothing.
    default_ruling: FullRefund | PaySeller | Literal["by_delivery"] | None = (
        attrs.field(
            default=None,
            metadata=by(instance, FullRefund, PaySeller, "by_delivery", none=True),
        )
    )
    claim_window: timedelta | None = attrs.field(
        default=None, metadata=by(as_window, none=True)
    )

    def __attrs_post_init__(self) -> None:
        if self.ruling_window is not None and self.default_ruling is None:
            raise InvalidInputError(
                "default_ruling", "a ruling_window needs the ruling it leads to"
            )

    def may_open(self, role: Role) -> bool:
        return role.text in self.dispute_openers

    def direct(self, route: str) -> bool:
        return self.dispute_entry.get(route) != "claim_then_mediator"

    def by_default(self, *, delivered: bool) -> Ruling | None:
        if self.default_ruling == "by_delivery":
            return PaySeller() if delivered else FullRefund()
        return self.default_ruling


# --- after the end ----------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Conversation:
    """
    How long the two sides may talk after the end.

    Implements: `ConversationPolicy`

    Attributes:
        chat_after_completed: 7 days, or `"until_left"` (C14).

        chat_after_cancelled: 7 days (seed003).

        chat_grace_from: Counted from the `"end"` or the last `"delivery"` (C15);
            an order that was never delivered counts from its end.
    """

    chat_after_completed: timedelta | Literal["until_left"] = attrs.field(
        default=7 * DAY,
        metadata=by(keyword_or_window, "until_left"),
    )
    chat_after_cancelled: timedelta = attrs.field(
        default=7 * DAY, metadata=by(as_window)
    )
    chat_grace_from: Literal["end", "delivery"] = attrs.field(
        default="end",
        metadata=by(choice, "end", "delivery"),
    )

    def closes_at(
        self,
        *,
        completed: bool,
        ended_at: DateTime,
        delivered_at: DateTime | None,
        time: TimePolicy,
    ) -> DateTime | None:
        window = self.chat_after_completed if completed else self.chat_after_cancelled
        if isinstance(window, str):
            return None
        start = ended_at
        if self.chat_grace_from == "delivery" and delivered_at is not None:
            start = delivered_at
        return time.end(start, window)


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Reviews:
    """
    How long a review may follow.

    Implements: `ReviewPolicy`

    Attributes:
        review_window: 6 calendar months from completion (R96).
    """

    review_window: Window = attrs.field(
        default=Months(6),
        metadata=by(span),
    )


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Lifetime:
    """
    How long an order may live.

    Implements: `LifetimePolicy`

    Attributes:
        payment_window: 24 hours to pay; not stated anywhere, ours.

        order_cap: `None`, or a window from the payment; five calendar months on
            the pages that have it (R99, C24).

        expiry_beneficiary: Who gets what is held then (C24); `"mediator"`: whoever a
            mediator says, or the default ruling.

        cap_after_dispute: If the cap passed during a dispute: `"grace"` gives
            *cap_grace* after the ruling, `"expire_now"` nothing.

        cap_grace: 7 days.
    """

    payment_window: timedelta = attrs.field(default=24 * HOUR, metadata=by(as_window))
    order_cap: Window | None = attrs.field(
        default=None,
        metadata=by(span, none=True),
    )
    expiry_beneficiary: Literal["platform", "buyer", "seller", "mediator"] = (
        attrs.field(
            default="platform",
            metadata=by(choice, "platform", "buyer", "seller", "mediator"),
        )
    )
    cap_after_dispute: Literal["grace", "expire_now"] = attrs.field(
        default="grace",
        metadata=by(choice, "grace", "expire_now"),
    )
    _cap_grace: timedelta = attrs.field(
        default=7 * DAY,
        metadata=by(as_window),
        alias="cap_grace",
    )

    @property
    def cap_grace(self) -> timedelta | None:
        return self._cap_grace if self.cap_after_dispute == "grace" else None


# --- figures ----------------------------------------------------------------------

# What a performance score is made of (R110).
_PARTS: Final = ("completion", "response_time", "on_time", "acceptance")

# R110 knows six grades.
_GRADES: Final = 6

# An answer within the hour is as good as it gets, one that takes the whole cap of
# R109 as bad.
_FASTEST: Final = HOUR
_SLOWEST: Final = 7 * DAY


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Statistics:
    """
    What counts in a seller's figures.

    Implements: `StatisticsPolicy`

    Attributes:
        acceptance_counts_buyer_cancel: Whether a buyer's change of mind lowers
            the seller's acceptance rate (C22).

        fault: Whose doing counts against the seller: `"any"`, whoever is at fault
            (R42, R106; seed003), or only his own, `"sellers"`: an order that was
            cancelled, not accepted or late by somebody else's doing, by consent, or
            excused by staff (R43) is then in no rate.

        score_weights: Weights of the performance score (R110, C26).

        window: 6 calendar months (R102).

        minimum: 5 completed orders (R103).

    Source: no page says how a score is made of its parts, nor where a grade begins.
        Ours is the weighted mean of those parts there are, rates as they are, and
        response time falling evenly from 1 within the hour to 0 at seven days; and
        six equal steps, 1 to 6.
    """

    acceptance_counts_buyer_cancel: bool = attrs.field(default=True, metadata=by(flag))
    fault: Literal["any", "sellers"] = attrs.field(
        default="any", metadata=by(choice, "any", "sellers")
    )
    score_weights: Mapping[str, int] = attrs.field(
        factory=lambda: {
            "completion": 5,
            "response_time": 4,
            "on_time": 3,
            "acceptance": 2,
        },
        metadata=by(weights, *_PARTS),
    )
    window: Window = attrs.field(default=Months(6), metadata=by(span))
    minimum: int = attrs.field(default=5, metadata=by(count, 0))

    def counts(self, verdict: Verdict) -> bool:
        if verdict.good:
            return True
        if (
            verdict.figure == "acceptance_rate"
            and verdict.cause == "buyer_withdrew"
            and not self.acceptance_counts_buyer_cancel
        ):
            return False
        return self.fault == "any" or verdict.responsible is Role.SELLER

    def score(
        self,
        *,
        completion: Fraction | None,
        response_time: timedelta | None,
        on_time: Fraction | None,
        acceptance: Fraction | None,
    ) -> Fraction | None:
        parts = {
            "completion": completion,
            "response_time": None if response_time is None else _speed(response_time),
            "on_time": on_time,
            "acceptance": acceptance,
        }
        total, weights = Fraction(0), 0
        for name, weight in self.score_weights.items():
            part = parts[name]
            if part is not None:
                total += weight * part
                weights += weight
        return total / weights if weights else None

    def grade(self, score: Fraction) -> int:
        return min(int(score * _GRADES), _GRADES - 1) + 1


def _speed(response_time: timedelta) -> Fraction:
    """
    Return how good a response time is, from 0 to 1.
    """
    waited = min(max(response_time, _FASTEST), _SLOWEST)
    return Fraction((_SLOWEST - waited) // _STEP, (_SLOWEST - _FASTEST) // _STEP)


# --- the bundle -------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True, slots=False)
class Policies:
    """
    All policies of a process, one a subject.
    """

    time: TimePolicy = attrs.field(factory=TimeRules)
    acceptance: AcceptancePolicy = attrs.field(factory=AcceptanceWindow)
    delivery: DeliveryPolicy = attrs.field(factory=DeliveryDeadline)
    cancellation: CancellationPolicy = attrs.field(factory=CancellationRights)
    revision: RevisionPolicy = attrs.field(factory=RevisionLimit)
    completion: CompletionPolicy = attrs.field(factory=AutoCompletion)
    dispute: DisputePolicy = attrs.field(factory=DisputeRules)
    partial_refunds: PartialRefundPolicy = attrs.field(factory=PartialRefunds)
    refund_timing: RefundTimingPolicy = attrs.field(factory=RefundTiming)
    extras: ExtrasPolicy = attrs.field(factory=Extras)
    fees: FeePolicy = attrs.field(factory=Fees)
    conversation: ConversationPolicy = attrs.field(factory=Conversation)
    reviews: ReviewPolicy = attrs.field(factory=Reviews)
    lifetime: LifetimePolicy = attrs.field(factory=Lifetime)
    statistics: StatisticsPolicy = attrs.field(factory=Statistics)

    def __attrs_post_init__(self) -> None:
        for subject, protocol in PROTOCOLS.items():
            policy = getattr(self, subject)
            # A class has what its objects have, and answers nothing.
            if isinstance(policy, type) or not isinstance(policy, protocol):
                raise InvalidInputError(subject, lacking(policy, protocol))

    def replacing(self, **changes: Any) -> Policies:
        """
        Return the bundle with some policies replaced, or some of their fields.

        Args:
            changes: By subject: a policy object, or a mapping of fields of the
                present one.

        Raises:
            InvalidInputError: If there is no such subject or field, or a value
                is not allowed.
        """
        known = {field.name for field in attrs.fields(Policies)}
        objects = {}
        for subject, change in changes.items():
            if subject not in known:
                raise InvalidInputError(
                    subject, f"no such policy: one of {', '.join(sorted(known))}"
                )
            if isinstance(change, Mapping):
                change = _with_fields(subject, getattr(self, subject), change)
            objects[subject] = change
        return attrs.evolve(self, **objects)

    @cached_property
    def canonical(self) -> Mapping[str, Any]:
        """
        The bundle as plain data: what a process's fingerprint covers.

        Raises:
            ProcessError: If a host's own object has no `version`.
        """
        return {
            field.name: plain(getattr(self, field.name))
            for field in attrs.fields(Policies)
        }


def _with_fields(subject: str, policy: Any, changes: Mapping[str, Any]) -> Any:
    if not attrs.has(type(policy)):
        raise InvalidInputError(
            subject, f"{type(policy).__name__} has no fields: replace the object"
        )
    # Named as the constructor names them, private ones too.
    fields = {field.alias: field.name for field in attrs.fields(type(policy))}
    for name in changes:
        if name not in fields:
            raise InvalidInputError(
                f"{subject}.{name}",
                f"no such field: one of {', '.join(sorted(map(str, fields)))}",
            )
    present = {alias: getattr(policy, name) for alias, name in fields.items()}
    return type(policy)(**{**present, **changes})
