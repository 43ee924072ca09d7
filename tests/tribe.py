"""
The eight example processes of a well-known marketplace builder, as processes of ours.

States, transitions, actors, times and what becomes of the money are facts, written down
anew from `*/process.edn` of https://github.com/sharetribe/example-processes, commit
ab5b66add49c53ee0a43cf8f335680e9b33d54ad (20 July 2026); words, mails and everything
about listings are left out.  *Customer* is our buyer, *provider* our seller.

- An order of ours is placed before it is anything, so there is one state more,
  `started`: what begins a transaction of theirs leads out of it.
- Money is held from the transition on that captures the payment.
- A booking begins and ends so many days after the order was placed.
- An automatic transition that counts from an earlier state runs on, unheeded, wherever
  the order may still come back: then it may be overdue, and happens at once.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import attrs

from escrowflow.commands import Command, PlaceOrder
from escrowflow.decisions import CHAPTERS, Case, Decides, Step
from escrowflow.decisions.settlement import cancelled, completed
from escrowflow.events import Event, OrderPaid, PaymentBooked
from escrowflow.money import Payment
from escrowflow.parties import Role
from escrowflow.parts import Deadline
from escrowflow.rules import CancellationRights, Policies
from escrowflow.states import DeadlineKind, Gap, Process, Row, Urgency

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pendulum import DateTime

__all__ = [
    "BOOKINGS",
    "NEGOTIATION",
    "STARTED",
    "TRIBE",
    "Transition",
    "Tribe",
    "last",
    "process_of",
]

CUSTOMER, PROVIDER = Role.BUYER, Role.SELLER
OPERATOR, SYSTEM = Role.OPERATOR, Role.SYSTEM

# What becomes of the money.
CAPTURE, REFUND, PAYOUT = "capture", "refund", "payout"

STARTED: Final = "started"

# How long after the order was placed a booking begins, and ends.
BEGINS: Final = timedelta(days=10)
ENDS: Final = timedelta(days=12)


@attrs.frozen
class At:
    """
    When an automatic transition happens: at the earliest of some moments.

    Attributes:
        since: The state whose entry it counts from; empty if it does not.

        window: How long after that.

        again: Whether it counts anew from each entry, and not from the first.

        fixed: How long after the order was placed.
    """

    since: str = ""
    window: timedelta = timedelta()
    again: bool = False
    fixed: tuple[timedelta, ...] = ()

    def due_at(self, case: Case) -> DateTime:
        """
        Return the instant, for an order that just entered the state it counts from.
        """
        moments = [datetime.__add__(case.order.placed_at, one) for one in self.fixed]
        if self.since:
            moments.append(case.after(self.window))
        return min(moments)


def first(state: str, **window: int) -> At:
    """
    Return so long after a state was first entered.
    """
    return At(state, timedelta(**window))


def last(state: str, **window: int) -> At:
    """
    Return so long after a state was last entered.
    """
    return At(state, timedelta(**window), again=True)


def fixed(moment: timedelta, **window: int) -> At:
    """
    Return so long after a booking begins or ends; before it, if it is negative.
    """
    return At(fixed=(moment + timedelta(**window),))


def earliest(one: At, *others: At) -> At:
    """
    Return the earliest of some; only the first may count from a state.
    """
    return attrs.evolve(one, fixed=tuple(at.fixed[0] for at in others))


@attrs.frozen
class Transition:
    """
    One transition: its name, where it leads, who makes it, what becomes of the money.
    """

    name: str
    source: str
    to: str
    by: Role
    effect: str = ""
    at: At | None = None


T = Transition


@attrs.frozen
class Tribe:
    """
    One of their processes.

    Attributes:
        endings: Where nothing leads on.

        timeless: Where nobody has paid yet, and nothing happens by itself.
    """

    name: str
    endings: tuple[str, ...]
    timeless: tuple[str, ...]
    transitions: tuple[Transition, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """
        Their states, in order.
        """
        names = (s for one in self.transitions for s in (one.source, one.to))
        return tuple(s for s in dict.fromkeys(names) if s != STARTED)

    @property
    def automatic(self) -> tuple[Transition, ...]:
        """
        The transitions that nobody makes.
        """
        return tuple(one for one in self.transitions if one.by is SYSTEM)

    def reached(self, state: str) -> set[str]:
        """
        Return the states an order may come to from a state, itself included.
        """
        found, todo = {state}, [state]
        while todo:
            here = todo.pop()
            for one in self.transitions:
                if one.source == here and one.to not in found:
                    found.add(one.to)
                    todo.append(one.to)
        return found


# --- the facts --------------------------------------------------------------------

# fmt: off


def _paying(to: str, effect: str = CAPTURE, **window: int) -> tuple[Transition, ...]:
    """
    Return what leads to a payment, and away from it if it does not come.
    """
    waits = window or {"minutes": 15}
    return (
        T("inquire",                       STARTED,   "inquiry",         CUSTOMER),
        T("request_payment",               STARTED,   "pending_payment", CUSTOMER),
        T("request_payment_after_inquiry", "inquiry", "pending_payment", CUSTOMER),
        T("confirm_payment",     "pending_payment",   to,                CUSTOMER, effect),
        T("expire_payment",      "pending_payment",   "payment_expired", SYSTEM, REFUND,
          first("pending_payment", **waits)),
    )


def _reviews(done: str, at: At) -> tuple[Transition, ...]:
    """
    Return how both sides review each other once the work is done.
    """
    mine, theirs = "reviewed_by_provider", "reviewed_by_customer"
    return (
        T("review_1_by_provider",          done,   mine,       PROVIDER),
        T("review_2_by_provider",          theirs, "reviewed", PROVIDER),
        T("review_1_by_customer",          done,   theirs,     CUSTOMER),
        T("review_2_by_customer",          mine,   "reviewed", CUSTOMER),
        T("expire_review_period",          done,   "reviewed", SYSTEM, "", at),
        T("expire_provider_review_period", theirs, "reviewed", SYSTEM, "", at),
        T("expire_customer_review_period", mine,   "reviewed", SYSTEM, "", at),
    )


_DAY_75: Final = first("offer_accepted", days=75)

NEGOTIATION: Final = Tribe(
    "default_negotiation",
    ("request_rejected", "offer_rejected", "payment_expired", "canceled", "reviewed"),
    (STARTED, "inquiry", "quote_requested", "offer_pending", "update_pending",
     "customer_offer_pending"),
    (
        # Until an offer is accepted
        T("make_offer",               STARTED,           "offer_pending",    PROVIDER),
        T("inquire",                  STARTED,           "inquiry",          PROVIDER),
        T("request_quote",            STARTED,           "quote_requested",  CUSTOMER),
        T("make_offer_from_request",  "quote_requested", "offer_pending",    PROVIDER),
        T("reject_request",           "quote_requested", "request_rejected", PROVIDER),
        T("withdraw_request",         "quote_requested", "request_rejected", CUSTOMER),
        T("operator_reject_request",  "quote_requested", "request_rejected", OPERATOR),
        T("make_offer_after_inquiry", "inquiry",         "offer_pending",    PROVIDER),
        T("update_offer",             "offer_pending",   "update_pending",   PROVIDER),
        T("update_from_update_pending",
                                      "update_pending",  "update_pending",   PROVIDER),
        T("provider_withdraw_from_update_pending",
                                      "update_pending",  "offer_rejected",   PROVIDER),
        T("customer_reject_from_update_pending",
                                      "update_pending",  "offer_rejected",   CUSTOMER),
        T("accept_update",            "update_pending",  "offer_pending",    CUSTOMER),
        T("operator_accept_update",   "update_pending",  "offer_pending",    OPERATOR),
        T("customer_make_counter_offer",
                                      "offer_pending",   "customer_offer_pending", CUSTOMER),
        T("operator_reject_offer",    "offer_pending",   "offer_rejected",   OPERATOR),
        T("customer_reject_offer",    "offer_pending",   "offer_rejected",   CUSTOMER),
        T("provider_withdraw_offer",  "offer_pending",   "offer_rejected",   PROVIDER),
        T("provider_make_counter_offer",
                               "customer_offer_pending", "offer_pending",    PROVIDER),
        T("provider_accept_counter_offer",
                               "customer_offer_pending", "offer_pending",    PROVIDER),
        T("provider_reject_counter_offer",
                               "customer_offer_pending", "offer_pending",    PROVIDER),
        T("customer_withdraw_counter_offer",
                               "customer_offer_pending", "offer_pending",    CUSTOMER),
        T("operator_reject_from_customer_counter_offer",
                               "customer_offer_pending", "offer_rejected",   OPERATOR),
        # Paying
        T("request_payment_to_accept_offer",
                                      "offer_pending",   "pending_payment",  CUSTOMER),
        T("confirm_payment",          "pending_payment", "offer_accepted",   CUSTOMER, CAPTURE),
        T("expire_payment",           "pending_payment", "payment_expired",  SYSTEM, REFUND,
          first("pending_payment", minutes=15)),
        # The work
        T("deliver",                  "offer_accepted",  "delivered",        PROVIDER),
        T("operator_mark_delivered",  "offer_accepted",  "delivered",        OPERATOR),
        T("auto_cancel",              "offer_accepted",  "canceled",         SYSTEM, REFUND,
          _DAY_75),
        T("operator_cancel",          "offer_accepted",  "canceled",         OPERATOR, REFUND),
        T("request_changes",          "delivered",       "changes_requested", CUSTOMER),
        T("operator_request_changes", "delivered",       "changes_requested", OPERATOR),
        T("deliver_changes",         "changes_requested", "delivered",       PROVIDER),
        T("operator_mark_changes_delivered",
                                     "changes_requested", "delivered",       OPERATOR),
        T("auto_cancel_from_changes_requested",
                                     "changes_requested", "canceled",        SYSTEM, REFUND,
          _DAY_75),
        T("operator_cancel_from_changes_requested",
                                     "changes_requested", "canceled",        OPERATOR, REFUND),
        T("operator_cancel_from_delivered",
                                      "delivered",       "canceled",         OPERATOR, REFUND),
        T("accept_deliverable",       "delivered",       "completed",        CUSTOMER, PAYOUT),
        T("operator_accept_deliverable",
                                      "delivered",       "completed",        OPERATOR, PAYOUT),
        T("auto_accept_deliverable",  "delivered",       "completed",        SYSTEM, PAYOUT,
          last("delivered", days=14)),
        *_reviews("completed", first("completed", days=7)),
    ),
)

PURCHASE: Final = Tribe(
    "default_purchase",
    ("payment_expired", "canceled", "reviewed"),
    (STARTED, "inquiry"),
    (
        *_paying("purchased"),
        T("mark_received_from_purchased", "purchased", "received",  CUSTOMER, PAYOUT),
        T("mark_delivered",               "purchased", "delivered", PROVIDER),
        T("operator_mark_delivered",      "purchased", "delivered", OPERATOR),
        T("cancel",                       "purchased", "canceled",  OPERATOR, REFUND),
        T("auto_cancel",                  "purchased", "canceled",  SYSTEM, REFUND,
          first("purchased", days=14)),
        T("mark_received",                "delivered", "received",  CUSTOMER, PAYOUT),
        T("auto_mark_received",           "delivered", "received",  SYSTEM, PAYOUT,
          first("delivered", days=14)),
        T("dispute",                      "delivered", "disputed",  CUSTOMER),
        T("operator_dispute",             "delivered", "disputed",  OPERATOR),
        T("mark_received_from_disputed",  "disputed",  "received",  OPERATOR, PAYOUT),
        T("cancel_from_disputed",         "disputed",  "canceled",  OPERATOR, REFUND),
        T("auto_cancel_from_disputed",    "disputed",  "canceled",  SYSTEM, REFUND,
          first("disputed", days=60)),
        T("auto_complete",                "received",  "completed", SYSTEM, "",
          first("received")),
        *_reviews("completed", first("received", days=7)),
    ),
)

DOWNLOAD: Final = Tribe(
    "default_download",
    ("payment_expired", "canceled", "reviewed"),
    (STARTED, "inquiry"),
    (
        *_paying("purchased", days=1),
        T("auto_complete",                   "purchased", "completed", SYSTEM, PAYOUT,
          first("purchased", days=7)),
        T("operator_complete",               "purchased", "completed", OPERATOR, PAYOUT),
        T("operator_report",                 "purchased", "reported",  OPERATOR),
        T("report",                          "purchased", "reported",  CUSTOMER),
        T("operator_cancel",                 "reported",  "canceled",  OPERATOR, REFUND),
        T("auto_cancel",                     "reported",  "canceled",  SYSTEM, REFUND,
          first("reported", days=60)),
        T("operator_complete_from_reported", "reported",  "completed", OPERATOR, PAYOUT),
        T("review",                          "completed", "reviewed",  CUSTOMER),
        T("expire_review_period",            "completed", "reviewed",  SYSTEM, "",
          first("completed", days=7)),
    ),
)

BOOKING: Final = Tribe(
    "default_booking",
    ("payment_expired", "declined", "expired", "cancelled", "reviewed"),
    (STARTED, "inquiry"),
    (
        # The bank only holds the money until the provider accepts.
        *_paying("preauthorized", ""),
        T("accept",            "preauthorized", "accepted",  PROVIDER, CAPTURE),
        T("operator_accept",   "preauthorized", "accepted",  OPERATOR, CAPTURE),
        T("decline",           "preauthorized", "declined",  PROVIDER, REFUND),
        T("operator_decline",  "preauthorized", "declined",  OPERATOR, REFUND),
        T("expire",            "preauthorized", "expired",   SYSTEM, REFUND,
          earliest(first("preauthorized", days=6), fixed(BEGINS, days=1), fixed(ENDS))),
        T("complete",          "accepted",      "delivered", SYSTEM, PAYOUT,
          fixed(ENDS, days=2)),
        T("operator_complete", "accepted",      "delivered", OPERATOR, PAYOUT),
        T("cancel",            "accepted",      "cancelled", OPERATOR, REFUND),
        *_reviews("delivered", fixed(ENDS, days=7)),
    ),
)

INSTANT: Final = Tribe(
    "instant_booking",
    ("payment_expired", "cancelled", "reviewed"),
    (STARTED, "inquiry"),
    (
        *_paying("booked"),
        T("request_push_payment", STARTED,   "pending_payment", CUSTOMER),
        T("request_push_payment_after_inquiry",
                                  "inquiry", "pending_payment", CUSTOMER),
        T("complete",             "booked",  "delivered", SYSTEM, PAYOUT, fixed(ENDS)),
        T("cancel",               "booked",  "cancelled", OPERATOR, REFUND),
        *_reviews("delivered", fixed(ENDS, days=7)),
    ),
)

_OFFER_ENDS: Final = earliest(
    first("customer_made_offer", days=6), fixed(ENDS, days=1)
)

NEGOTIATED: Final = Tribe(
    "negotiated_booking",
    ("declined", "payment_expired", "cancelled", "reviewed"),
    (STARTED, "inquiry"),
    (
        T("inquire",               STARTED,   "inquiry",             CUSTOMER),
        T("request",               STARTED,   "customer_made_offer", CUSTOMER),
        T("request_after_inquiry", "inquiry", "customer_made_offer", CUSTOMER),
        T("provider_accept",  "customer_made_offer", "pending_payment",     PROVIDER),
        T("provider_offer",   "customer_made_offer", "provider_made_offer", PROVIDER),
        T("provider_decline", "customer_made_offer", "declined",            PROVIDER, REFUND),
        T("customer_offer_expired",
                              "customer_made_offer", "declined",            SYSTEM, REFUND,
          _OFFER_ENDS),
        T("customer_accept",  "provider_made_offer", "pending_payment",     CUSTOMER),
        T("customer_offer",   "provider_made_offer", "customer_made_offer", CUSTOMER),
        T("customer_decline", "provider_made_offer", "declined",            CUSTOMER, REFUND),
        T("provider_offer_expired",
                              "provider_made_offer", "declined",            SYSTEM, REFUND,
          _OFFER_ENDS),
        T("pay",                 "pending_payment",      "pending_confirmation", CUSTOMER),
        T("expire",              "pending_payment",      "declined",  SYSTEM, REFUND,
          earliest(first("pending_payment", days=6), fixed(ENDS, days=1))),
        T("confirm_capture_payment",
                                 "pending_confirmation", "accepted",  CUSTOMER, CAPTURE),
        T("expire_payment",      "pending_confirmation", "payment_expired", SYSTEM, REFUND,
          first("pending_confirmation", minutes=15)),
        T("complete",            "accepted",             "delivered", SYSTEM, PAYOUT,
          fixed(ENDS)),
        T("cancel",              "accepted",             "cancelled", OPERATOR, REFUND),
        *_reviews("delivered", fixed(ENDS, days=7)),
    ),
)

OFF_SESSION: Final = Tribe(
    "automatic_off_session_payment",
    ("declined", "cancelled", "reviewed"),
    (STARTED, "inquiry", "pending_confirmation"),
    (
        T("inquire",                       STARTED,   "inquiry", CUSTOMER),
        T("request_booking",               STARTED,   "pending", CUSTOMER),
        T("request_booking_after_inquiry", "inquiry", "pending", CUSTOMER),
        T("accept",               "pending",  "accepted",        PROVIDER),
        T("decline",              "pending",  "declined",        PROVIDER, REFUND),
        T("expire",               "pending",  "declined",        SYSTEM, REFUND,
          earliest(first("pending", days=6), fixed(ENDS, days=-1))),
        T("mark_pending_payment", "accepted", "pending_payment", SYSTEM, "",
          fixed(BEGINS, days=-1)),
        T("auto_payment",                  "pending_payment", "paid",    SYSTEM, CAPTURE,
          first("pending_payment", minutes=5)),
        T("initiate_manual_payment",       "pending_payment", "pending_confirmation",
          CUSTOMER),
        T("confirm_manual_payment",   "pending_confirmation", "paid",    CUSTOMER, CAPTURE),
        T("cancel_from_pending_confirmation",
                                      "pending_confirmation", "cancelled", OPERATOR, REFUND),
        T("complete",             "paid",     "delivered",       SYSTEM, PAYOUT, fixed(ENDS)),
        T("cancel",               "paid",     "cancelled",       OPERATOR, REFUND),
        *_reviews("delivered", fixed(ENDS, days=7)),
    ),
)

INQUIRY: Final = Tribe(
    "default_inquiry",
    ("free_inquiry",),
    (STARTED,),
    (T("inquire_without_payment", STARTED, "free_inquiry", CUSTOMER),),
)
# fmt: on

TRIBE: Final = {
    one.name: one
    for one in (
        *(NEGOTIATION, PURCHASE, DOWNLOAD, BOOKING),
        *(INSTANT, NEGOTIATED, OFF_SESSION, INQUIRY),
    )
}

# The four that are about a booking.
BOOKINGS: Final = (
    *("default_booking", "instant_booking"),
    *("negotiated_booking", "automatic_off_session_payment"),
)


# --- the builder ------------------------------------------------------------------


def _named(name: str, kind: type, about: str) -> Any:
    """
    Return a class of commands or events: `OperatorCancel` for `operator_cancel`.
    """
    title = "".join(word.capitalize() for word in name.split("_"))
    made = type(title, (kind,), {"__doc__": about, "__module__": __name__})
    found: Any = attrs.frozen(kw_only=True)(made)
    # With its numbers set off: `review_1_by_customer`.
    found.name = name
    return found


@cache
def process_of(tribe: Tribe) -> Process[Policies]:
    """
    Return one of their processes as a process of ours; once for all tests.
    """
    return _Builder(tribe).process()


class _Builder:
    """
    What is made of the facts of one process.
    """

    def __init__(self, tribe: Tribe) -> None:
        self.tribe = tribe
        self.commands: dict[str, type[Command]] = {
            one.name: _named(one.name, Command, f"To {one.to}.")
            for one in tribe.transitions
        }
        self.entered: dict[str, type[Event]] = {
            state: _named(state, Event, "The order came here.")
            for state in tribe.states
        }
        self.kinds = {one.name: self.kind(one) for one in tribe.automatic}

    def process(self) -> Process[Policies]:
        """
        Return it whole.
        """
        tribe = self.tribe
        members = [(state.upper(), state) for state in (STARTED, *tribe.states)]
        # The functional form: mypy cannot know the members, and need not.
        enumerated: Any = enum.StrEnum
        rights = CancellationRights(
            seller_cancel_states=frozenset(), cancel_request_states=frozenset()
        )
        return Process(
            name=tribe.name,
            states=enumerated("State", members),
            initial=STARTED,
            endings=tribe.endings,
            rows=tuple(
                Row(
                    self.commands[one.name],
                    one.by,
                    one.source,
                    one.to,
                    settles=one.to in tribe.endings,
                )
                for one in tribe.transitions
            ),
            deadlines=tuple(self.kinds.values()),
            decisions=(
                *(one for one in CHAPTERS if one.command is PlaceOrder),
                *(self.decision(one) for one in tribe.transitions),
            ),
            policies=Policies(cancellation=rights),
            events=tuple(self.entered.values()),
            gaps=tuple(
                Gap("no_timed_exit", state, "nobody has paid yet")
                for state in tribe.timeless
            ),
        )

    def kind(self, one: Transition) -> DeadlineKind:
        """
        Return the wait of an automatic transition.

        It runs on in the states on the way from where it counts to where it is made.
        """
        assert one.at is not None
        tribe = self.tribe
        begun = tribe.reached(one.at.since) if one.at.since else set()
        sleeps = {s for s in begun if one.source in tribe.reached(s)} - {one.source}
        awaits = Role(0)
        for other in tribe.transitions:
            if other.source == one.source and other.by in (CUSTOMER, PROVIDER):
                awaits |= other.by
        return DeadlineKind(
            one.name,
            self.commands[one.name],
            one.source,
            sleeps=tuple(sorted(sleeps)),
            urgency=Urgency.COMPLETION,
            awaits=awaits,
        )

    def decision(self, one: Transition) -> Decides:
        """
        Return what decides a transition.
        """

        def act(case: Case, command: Command) -> Iterable[Step]:
            yield Step(
                events=self.money(one, case) or (self.entered[one.to](),),
                arm=tuple(self.waits(one, case)),
                resume=(one.source,),
            )

        return Decides(self.commands[one.name], act, version="1")

    def money(self, one: Transition, case: Case) -> tuple[Event, ...]:
        """
        Return what becomes of the money: of what ended, nothing more.
        """
        order = case.order
        if one.effect == CAPTURE:
            payment = Payment("card", "pi_1", order.charge)
            return (PaymentBooked(payment=payment, item="order"), OrderPaid())
        if one.effect == PAYOUT:
            return completed(case, cause=one.name, trigger=one.name).events
        if one.to in self.tribe.endings and order.ending is None:
            return cancelled(case, cause=one.name, trigger=one.name).events
        return ()

    def waits(self, one: Transition, case: Case) -> Iterator[Deadline]:
        """
        Yield the waits that begin where a transition leads.
        """
        for other in self.tribe.automatic:
            at = other.at
            assert at is not None
            known = case.order.deadline(other.name) is not None
            if one.to == (at.since or other.source) and (at.again or not known):
                asleep = "" if one.to == other.source else one.to
                yield Deadline(
                    name=other.name, due_at=at.due_at(case), stopped_in=asleep
                )
