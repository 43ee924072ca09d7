"""
Every field of every policy, with every value it has: what it changes.

The table below is the test: a point of the rules, a field, a value, a short
story told under it, and what can be seen at its end.  A new field needs a line here.
"""

from __future__ import annotations

import enum
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import pytest

import escrowflow as ef
from escrowflow.calendars.holidays import target
from escrowflow.clock import Months, as_utc
from escrowflow.fields import by, checked, count, limit
from escrowflow.policies import Alone, ByConsent, No, Right, Situation, Verdict
from escrowflow.processes import comeup, vendor_consolidation
from escrowflow.rules import CancellationRights, Policies, RevisionLimit, Statistics
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASK_CANCELLATION,
    ASK_REVISION,
    ASSIGN,
    CANCEL,
    CLAIM,
    DELIVER,
    DISPUTE,
    HELLO,
    IN,
    LUC,
    MIA,
    REFUSE_CANCELLATION,
    REFUSE_REVISION,
    REVIEW,
    Story,
    awaiting_payment,
    cancellation_requested,
    cancelled,
    completed,
    delivered,
    disputed,
    euros,
    in_progress,
    late,
    paris,
    pending,
    revision_refused,
    revision_requested,
    standard,
)

Changes = dict[str, Any]

RELAUNCH: Final = ef.RuleDispute(ruling=ef.Relaunch(), reason="go on")
ON_TIME: Final = "2026-06-06T12:00:00+02:00"


def seen(story: Story, actor: ef.Actor, *commands: ef.Command) -> str:
    """
    Send commands until one is refused: its first reason, or the state at the end.
    """
    for command in commands:
        answer = story.engine.attempt(story.id, command, by=actor)
        if isinstance(answer, ef.Refusal):
            return answer.blockers[0].code
    return story.state


# --- the stories, by subject ------------------------------------------------------


def approved_at_the_very_end(policies: Changes) -> Any:
    """
    At the end itself the deadline wins; `inclusive`, the end is still in time.
    """
    story = delivered(policies=policies)
    due_at = story.order.due_at
    assert due_at is not None
    story.clock.advance_to(due_at)
    first = seen(story, ANA, APPROVE)
    other = delivered(policies=policies)
    other.clock.advance_to(due_at.add(microseconds=1))
    return first, seen(other, ANA, APPROVE), other.ending[0], other.due


def armed_at(policies: Changes) -> Any:
    """
    `due_at` shows the end either way, a worker wakes a microsecond later.
    """
    story = delivered(
        policies={**policies, "completion": {"reminders": ()}},
    )
    return story.due, paris(story.engine.next_due_at())


def delivered_over_the_change(policies: Changes) -> Any:
    """
    Seven days over the change to summer time in Paris, on 2026-03-29.
    """
    story = Story("2026-03-26T10:00:00+01:00", policies=policies)
    story.seller(ACCEPT, DELIVER)
    return story.due


def in_new_york(policies: Changes) -> Any:
    """
    The same days under civil days: New York changed three weeks before.
    """
    time = {"day_arithmetic": "civil", **policies["time"]}
    return delivered_over_the_change({"time": time})


def acceptance_due(policies: Changes) -> Any:
    """
    The time a seller has to accept, where the terms do not say.
    """
    said = pending(policies=policies, terms={"acceptance_window": "PT1H"})
    return pending(policies=policies).due, said.due


def acceptance_reminders(policies: Changes) -> Any:
    """
    When the buyer is reminded of the brief.
    """
    waits = pending(policies=policies).waits
    return [instant for name, instant in waits if name == "acceptance_reminder"]


def without_a_brief(policies: Changes) -> Any:
    """
    Whether a brief is needed is shown, and never blocks the seller.
    """
    story = pending(policies=policies)
    lapsed = pending(policies=policies).after(hours=48)
    needed = story.order.terms.brief_required
    return needed, seen(story, LUC, ACCEPT), lapsed.ending[2]


def held_by_a_bank(policies: Changes) -> Any:
    """
    What a bank holds is told of an order that is not paid yet; the seller accepts.
    """
    story = awaiting_payment(policies=policies)
    hold = ef.Payment("card", "pi_1", held_until=story.clock.now().add(days=5))
    confirm = ef.ConfirmPayment(payment=hold)
    story.engine.attempt(story.id, confirm, by=ef.Provider("stripe"))
    return story.state, seen(story, LUC, ACCEPT)


def due_after_a_revision(policies: Changes) -> Any:
    """
    Delivered with four of five days left; the revision is accepted on 06-03 12:00.
    """
    story = revision_requested(policies=policies).at("06-03 12:00")
    return story.seller(ef.AcceptRevision()).due


def due_after_a_late_revision(policies: Changes) -> Any:
    """
    Delivered late; whether the order is late again at once.
    """
    story = late(policies=policies).seller(DELIVER).buyer(ASK_REVISION)
    return story.at("06-10 12:00").seller(ef.AcceptRevision()).row[:2]


def due_after_a_relaunch(policies: Changes) -> Any:
    """
    Disputed with four of five days left; relaunched on 06-20 12:00.
    """
    story = disputed(policies=policies).at("06-20 12:00")
    dated = ef.RuleDispute(
        ruling=ef.Relaunch(due_at="2026-06-30T12:00:00+02:00"), reason="go on"
    )
    state = seen(story, MIA, RELAUNCH)
    return (
        (state, story.due)
        if state == "in_progress"
        else (
            state,
            story.mediator(dated).due,
        )
    )


def due_after_a_late_relaunch(policies: Changes) -> Any:
    """
    Nothing was left of the delivery time when the order was disputed.
    """
    story = late(policies=policies).staff(DISPUTE).mediator(ASSIGN)
    return story.at("06-20 12:00").mediator(RELAUNCH).due


def delivered_during_a_request(policies: Changes) -> Any:
    """
    Delivering while the buyer asks to cancel.
    """
    story = cancellation_requested(policies=policies)
    answer = seen(story, LUC, DELIVER)
    return answer, story.order.cancellation is None


def seller_cancels(policies: Changes) -> Any:
    """
    Where the seller may cancel alone.
    """
    found = set()
    for state, begin in IN.items():
        changes = policies
        if state == "expired":
            changes = {**policies, "lifetime": {"order_cap": "P5M"}}
        if begin(policies=changes).option(LUC, ef.CancelOrder).allowed:
            found.add(state)
    return found


def buyer_leaves_late(policies: Changes) -> Any:
    """
    A late order: cancelled at once, or by asking, which is enough.
    """
    alone = late(policies=policies)
    asking = late(policies=policies)
    answers = seen(alone, ANA, CANCEL), seen(asking, ANA, ASK_CANCELLATION)
    return answers, alone.books, asking.books


def buyer_leaves_a_late_redelivery(policies: Changes) -> Any:
    """
    Late again after a revision.
    """
    story = revision_requested(policies=policies).seller(ef.AcceptRevision())
    return seen(story.after(days=6), ANA, CANCEL)


def asks_for_cancellation(policies: Changes) -> Any:
    """
    Where the buyer may ask.
    """
    return {
        state
        for state in ("pending", "in_progress", "delivered", "revision_refused")
        if seen(IN[state](policies=policies), ANA, ASK_CANCELLATION)
        == "cancellation_requested"
    }


def cancellation_answer_due(policies: Changes) -> Any:
    """
    How long an answer may take before a dispute is possible.
    """
    story = cancellation_requested(policies=policies)
    return story.due


def refused_cancellations(policies: Changes) -> Any:
    """
    Where four refused requests in a row lead, one after the other.
    """
    story = in_progress(policies=policies)
    states = []
    for _ in range(4):
        if story.state != "in_progress":
            break
        story.buyer(ASK_CANCELLATION).seller(REFUSE_CANCELLATION)
        states.append(story.state)
    return states


def second_revision(policies: Changes) -> Any:
    """
    A second request where the terms say nothing.
    """
    story = revision_requested(policies=policies).seller(ef.AcceptRevision(), DELIVER)
    answer = seen(story, ANA, ASK_REVISION)
    return answer, story.order.revisions[-1].over_limit


def revision_over_the_limit(policies: Changes) -> Any:
    """
    A request beyond the number in the terms.
    """
    story = delivered(policies=policies, terms={"revisions": 0})
    answer = seen(story, ANA, ASK_REVISION)
    return answer, [asked.over_limit for asked in story.order.revisions]


def asked_for_changes(policies: Changes) -> Any:
    """
    Whether the seller answers first, or the work begins again at once.
    """
    story = delivered(policies=policies).at("06-03 12:00").buyer(ASK_REVISION)
    return story.state, story.due, story.order.revisions_used


def revision_answer_due(policies: Changes) -> Any:
    """
    How long an answer may take before a dispute is possible.
    """
    return revision_requested(policies=policies).due


def choice_due(policies: Changes) -> Any:
    """
    How long the buyer may choose.
    """
    return revision_refused(policies=policies).due


def refused_once_and_twice(policies: Changes) -> Any:
    """
    How many refusals lead to a mediator; asking again does not restart the choice.
    """
    story = revision_refused(policies=policies)
    due = story.due
    once = seen(story, ANA, DISPUTE)
    if once == "disputed":
        return once
    again = seen(story, ANA, ASK_REVISION)
    story.seller(REFUSE_REVISION)
    kept = story.due == due
    last = seen(story, ANA, ASK_REVISION)
    return once, again, kept, last, seen(story, ANA, DISPUTE)


def refused_cancellation_counts(policies: Changes) -> Any:
    """
    A refused cancellation counts as one of the refusals.
    """
    story = cancellation_requested(policies=policies).seller(REFUSE_CANCELLATION)
    story.seller(DELIVER).buyer(ASK_REVISION).seller(REFUSE_REVISION)
    return seen(story, ANA, DISPUTE)


def verification_due(policies: Changes) -> Any:
    """
    The time a buyer has to look, where the terms do not say.
    """
    said = delivered(policies=policies, terms={"verification_window": "P1D"})
    return delivered(policies=policies).due, said.due


def completing(policies: Changes) -> Any:
    """
    What completes, delivered or refused; silence always does.
    """
    return (
        seen(delivered(policies=policies), ANA, APPROVE),
        seen(delivered(policies=policies), ANA, REVIEW),
        seen(revision_refused(policies=policies), ANA, APPROVE),
        seen(revision_refused(policies=policies), ANA, REVIEW),
        delivered(policies=policies).after(days=7).state,
        seen(delivered(policies=policies).after(days=7), ANA, REVIEW),
    )


def verification_reminders(policies: Changes) -> Any:
    """
    When the buyer is reminded to look.
    """
    waits = delivered(policies=policies).waits
    return [instant for name, instant in waits if name == "verification_reminder"]


def calling_a_mediator(policies: Changes) -> Any:
    """
    Which side may call: the buyer by a dispute or a claim, the seller by a claim.
    """
    story = revision_refused(policies=policies)
    return (
        seen(revision_refused(policies=policies), ANA, DISPUTE),
        story.option(ANA, ef.FileClaim).allowed,
        story.option(LUC, ef.FileClaim).allowed,
    )


def entering_a_dispute(policies: Changes) -> Any:
    """
    The three ways of the buyer; through a claim, nothing freezes before.
    """
    found = []
    for begin in (cancellation_requested, revision_requested, revision_refused):
        story = begin(policies=policies).after(hours=48)
        found.append(seen(story, ANA, DISPUTE))
        if found[-1] == "claim_first":
            standing = story.buyer(CLAIM).order.standing
            assert standing == story.mediator(ASSIGN).order.standing
            assert story.mediator(ef.ConvertClaim()).state == "disputed"
    return found


def talking_in_a_dispute(policies: Changes) -> Any:
    """
    Both talk to the mediator, or to nobody; never to each other.
    """
    return (
        seen(disputed(policies=policies), MIA, ef.AskParties(text="well?")),
        seen(disputed(policies=policies), LUC, ef.AnswerMediator(text="well")),
        seen(disputed(policies=policies), LUC, HELLO),
    )


def mediator_alarm(policies: Changes) -> Any:
    """
    When staff is alerted; no state changes.
    """
    story = revision_refused(policies=policies).buyer(DISPUTE)
    before = story.waits
    return before, story.after(days=10).state


def nobody_rules(policies: Changes) -> Any:
    """
    A dispute without a ruling, a year later.
    """
    return disputed(policies=policies).after(days=365).row


def proposing(policies: Changes) -> Any:
    """
    Whether the two sides may agree by themselves; a mediator always may divide.
    """
    proposal = ef.ProposePartialRefund(amount=euros("10"), reason="x")
    ruling = ef.RuleDispute(ruling=ef.Split(to_buyer=euros("10")), reason="x")
    return (
        seen(in_progress(policies=policies), ANA, proposal),
        seen(in_progress(policies=policies), LUC, proposal),
        disputed(policies=policies).mediator(ruling).books,
    )


def dividing_fees(policies: Changes) -> Any:
    """
    The most that may go back of 100.00 and 5.00 of fees: proposals and rulings.
    """
    policies = {**policies, "fees": {"buyer_fee": ef.Fee(bps=500)}}
    found = []
    for amount in ("100", "100.01", "104.99", "105"):
        proposal = ef.ProposePartialRefund(amount=euros(amount), reason="x")
        ruling = ef.RuleDispute(ruling=ef.Split(to_buyer=euros(amount)), reason="x")
        proposed = seen(in_progress(policies=policies), ANA, proposal) == "in_progress"
        ruled = seen(disputed(policies=policies), MIA, ruling) == "completed"
        assert proposed is ruled
        found.append(ruled)
    return found


def refund_shows(policies: Changes) -> Any:
    """
    When a refund shows, cancelled on Friday 2026-06-05; the state is the same.
    """
    found = []
    for method in ("card", "wallet", "cheque"):
        story = pending("2026-06-05T10:00:00+02:00", method=method, policies=policies)
        (refund,) = story.buyer(CANCEL).order.refunds
        found.append(tuple(paris(instant)[5:10] for instant in refund.estimate))
        assert story.row == ("cancelled", "", "0/100/0/0")
    return found


def offer_ends(policies: Changes) -> Any:
    """
    How long an offer stands.
    """
    story = in_progress(delivery="P60D", policies=policies)
    story.seller(ef.SendOffer(title="More", price=euros("5")))
    return story.waits[0]


def option_with_a_window(policies: Changes) -> Any:
    """
    Three days more, a day before the end.
    """
    story = in_progress(policies=policies).at("06-05 12:00")
    story.buyer(
        ef.BuyAddOn(
            title="More",
            price=euros("5"),
            payment=ef.Payment("card", "b"),
            extra_window="P3D",
        )
    )
    return story.due, story.order.full_window.days


def tipping(policies: Changes) -> Any:
    """
    The largest tip on 100.00.
    """
    found = []
    for tip in ("10", "10.01", "20", "20.01", "100"):
        try:
            found.append(Story(tip=euros(tip), policies=policies).state)
        except ef.CommandRefusedError as error:
            found.append(error.blockers[0].code)
    return found


def fees_of_a_life(policies: Changes) -> Any:
    """
    What is held of 100.00, and what it becomes, completed and cancelled.
    """
    return (
        pending(policies=policies).books,
        completed(policies=policies).books,
        cancelled(policies=policies).books,
    )


def fees_of_who_leaves(policies: Changes) -> Any:
    """
    What becomes of 100.00 with 0.35 of bank fee and 20.00 of tax on top, when the
    buyer leaves before the work begins, and when the seller does.
    """
    fees = {"bank_fee": ef.Fee(flat=euros("0.35")), "tax": ef.Fee(bps=2000)}
    policies = {**policies, "fees": {**fees, **policies["fees"]}}
    buyer = pending(policies=policies).buyer(CANCEL)
    return buyer.books, pending(policies=policies).seller(CANCEL).books


def chat_after_completion(policies: Changes) -> Any:
    """
    Delivered on 06-02 12:00, completed an hour later: when both stop talking.
    """
    story = completed(policies=policies)
    closes_at = paris(story.order.conversation.closes_at)
    story.after(days=300)
    leaving = seen(story, ANA, ef.LeaveConversation())
    return closes_at, leaving, seen(story, LUC, HELLO)


def chat_after_cancellation(policies: Changes) -> Any:
    """
    Cancelled on 06-01 13:00, nothing delivered: when both stop talking.
    """
    return paris(cancelled(policies=policies).order.conversation.closes_at)


def chat_grace(policies: Changes) -> Any:
    """
    Counted from the end or the delivery; without a delivery, from the end.
    """
    ends = [
        completed(policies=policies),
        revision_refused(policies=policies).seller(CANCEL),
        cancelled(policies=policies),
        # Silence at the end of seven days: from the delivery, they are over.
        delivered(policies=policies).after(days=7),
    ]
    return [paris(story.order.conversation.closes_at)[5:16] for story in ends]


def last_review(policies: Changes) -> Any:
    """
    Completed on 06-02 13:00: reviews after 29 and 31 days, and after 7 months.
    """
    return [
        seen(completed(policies=policies).after(days=days), ANA, REVIEW)
        for days in (29, 31, 182, 213)
    ]


def unpaid(policies: Changes) -> Any:
    """
    How long an order waits for its payment.
    """
    story = awaiting_payment(policies=policies)
    return story.due, story.after(days=1).state


def longest_life(policies: Changes) -> Any:
    """
    A late order, a year later.
    """
    story = late(policies=policies)
    caps = [instant for name, instant in story.waits if name == "lifetime"]
    return caps, story.after(days=365).row[0]


def expired_money(policies: Changes) -> Any:
    """
    Who gets what is held when the longest life is over.
    """
    lifetime = {"order_cap": "P30D", **policies["lifetime"]}
    story = late(policies={"lifetime": lifetime}).after(days=60)
    story.sweep()
    return story.row[0], story.books, [kind for kind, _ in story.money_moves()]


def cap_passed_in_dispute(policies: Changes) -> Any:
    """
    Relaunched after the longest life was over.
    """
    lifetime = {"order_cap": "P30D", **policies["lifetime"]}
    story = disputed(policies={"lifetime": lifetime}).at("08-01 12:00")
    story.mediator(RELAUNCH)
    cap = story.order.deadline("lifetime")
    return story.state, "" if cap is None else paris(cap.due_at)


def figures(policies: Changes) -> Any:
    """
    What only the figures read: an order's life is the same under every value.
    """
    cancelled_early = pending(policies=policies).buyer(CANCEL)
    ending = cancelled_early.order.ending
    assert ending is not None
    subject = cancelled_early.process.policies.statistics
    (name,) = policies["statistics"]
    value = getattr(subject, name)
    kept = dict(value) if name == "score_weights" else value
    return kept, ending.statistics, completed(policies=policies).books


@attrs.frozen
class Closed:
    """
    A calendar without Mondays.
    """

    version: ClassVar[str] = "1"

    def is_business_day(self, day: date) -> bool:
        """
        Return whether banks work on *day*.
        """
        return 1 <= day.weekday() <= 4


# --- the table --------------------------------------------------------------------

BEFORE: Final = ("acceptance_rate", "visibility")
SELLER_CANCELS: Final = {
    "pending",
    "in_progress",
    "cancellation_requested",
    "revision_requested",
    "revision_refused",
}
ROUTES: Final = ("cancellation_unanswered", "revision_unanswered", "revision_refused")
WEIGHTS: Final = {"completion": 5, "response_time": 4, "on_time": 3, "acceptance": 2}
ZERO: Final = ("100/0/0/0", "0/0/100/0", "0/100/0/0")
TEN: Final = ef.Fee(bps=1000)

_Told = Callable[[Changes], Any]
_Line = tuple[str, str, Any, _Told, Any]

# fmt: off
TABLE: Final[list[_Line]] = [
    # The gap or point, the field, its value, the story, what is seen.
    ("gap", "time.deadline_boundary", "exclusive", approved_at_the_very_end,
        ("deadline_passed", "deadline_passed", "silence", "")),
    ("gap", "time.deadline_boundary", "inclusive", approved_at_the_very_end,
        ("completed", "deadline_passed", "silence", "")),
    ("gap", "time.deadline_boundary", "exclusive", armed_at,
        ("2026-06-09T12:00:00+02:00", "2026-06-09T12:00:00+02:00")),
    ("gap", "time.deadline_boundary", "inclusive", armed_at,
        ("2026-06-09T12:00:00+02:00", "2026-06-09T12:00:00.000001+02:00")),
    ("gap", "time.day_arithmetic", "elapsed", delivered_over_the_change,
        "2026-04-02T11:00:00+02:00"),
    ("gap", "time.day_arithmetic", "civil", delivered_over_the_change,
        "2026-04-02T10:00:00+02:00"),
    ("gap", "time.zone", "Europe/Paris", in_new_york, "2026-04-02T10:00:00+02:00"),
    ("gap", "time.zone", "America/New_York", in_new_york, "2026-04-02T11:00:00+02:00"),

    ("C18", "acceptance.acceptance_window", "PT48H", acceptance_due,
        ("2026-06-03T10:00:00+02:00", "2026-06-01T11:00:00+02:00")),
    ("C18", "acceptance.acceptance_window", "PT10H", acceptance_due,
        ("2026-06-01T20:00:00+02:00", "2026-06-01T11:00:00+02:00")),
    ("gap", "acceptance.reminders", ("PT24H",), acceptance_reminders,
        ["2026-06-02T10:00:00+02:00"]),
    ("gap", "acceptance.reminders", (), acceptance_reminders, []),
    ("gap", "acceptance.reminders", ("PT6H", "PT12H", "PT72H"), acceptance_reminders,
        ["2026-06-02T22:00:00+02:00", "2026-06-03T04:00:00+02:00"]),
    ("C17", "acceptance.brief_required", False, without_a_brief,
        (False, "in_progress", "seller")),
    ("C17", "acceptance.brief_required", True, without_a_brief,
        (True, "in_progress", "buyer")),

    ("F37", "acceptance.charge_at", "order", held_by_a_bank,
        ("awaiting_payment", "not_in_this_state")),
    ("F37", "acceptance.charge_at", "acceptance", held_by_a_bank,
        ("pending", "pending")),

    ("C9", "delivery.revision_deadline", "restart_full", due_after_a_revision,
        "2026-06-08T12:00:00+02:00"),
    ("C9", "delivery.revision_deadline", "remaining", due_after_a_revision,
        "2026-06-07T12:00:00+02:00"),
    ("C9", "delivery.revision_deadline", "none", due_after_a_revision, ""),
    ("C9", "delivery.revision_deadline", "P2D", due_after_a_revision,
        "2026-06-05T12:00:00+02:00"),
    ("C9", "delivery.revision_deadline", "restart_full", due_after_a_late_revision,
        ("in_progress", "2026-06-15T12:00:00+02:00")),
    ("C9", "delivery.revision_deadline", "remaining", due_after_a_late_revision,
        ("in_progress + late", ON_TIME)),
    ("C9", "delivery.revision_deadline", "none", due_after_a_late_revision,
        ("in_progress", "")),
    ("gap", "delivery.relaunch_deadline", "remaining", due_after_a_relaunch,
        ("in_progress", "2026-06-24T12:00:00+02:00")),
    ("gap", "delivery.relaunch_deadline", "restart_full", due_after_a_relaunch,
        ("in_progress", "2026-06-25T12:00:00+02:00")),
    ("gap", "delivery.relaunch_deadline", "mediator_sets", due_after_a_relaunch,
        ("due_at_required", "2026-06-30T12:00:00+02:00")),
    ("gap", "delivery.relaunch_minimum", "PT24H", due_after_a_late_relaunch,
        "2026-06-21T12:00:00+02:00"),
    ("gap", "delivery.relaunch_minimum", "PT72H", due_after_a_late_relaunch,
        "2026-06-23T12:00:00+02:00"),
    ("gap", "delivery.deliver_during_cancel_request", False, delivered_during_a_request,
        ("cancellation_unanswered", False)),
    ("gap", "delivery.deliver_during_cancel_request", True, delivered_during_a_request,
        ("delivered", True)),

    ("C2", "cancellation.seller_cancel_states", SELLER_CANCELS, seller_cancels,
        SELLER_CANCELS),
    ("C2", "cancellation.seller_cancel_states", {*SELLER_CANCELS, "delivered"},
        seller_cancels, {*SELLER_CANCELS, "delivered"}),
    ("C2", "cancellation.seller_cancel_states", {"pending", "in_progress"},
        seller_cancels, {"pending", "in_progress"}),
    ("C11", "cancellation.late_cancel", "immediate", buyer_leaves_late,
        (("cancelled + late", "cancellation_requested + late"), "0/100/0/0", "100/0/0/0")),
    ("C11", "cancellation.late_cancel", "request_auto_accepted", buyer_leaves_late,
        (("request_cancellation_instead", "cancelled + late"), "100/0/0/0", "0/100/0/0")),
    ("C10", "cancellation.late_cancel_after_first_delivery", True,
        buyer_leaves_a_late_redelivery, "cancelled + late"),
    ("C10", "cancellation.late_cancel_after_first_delivery", False,
        buyer_leaves_a_late_redelivery, "consent_needed"),
    ("C12", "cancellation.cancel_request_states", {"in_progress"}, asks_for_cancellation,
        {"in_progress"}),
    ("C12", "cancellation.cancel_request_states",
        {"in_progress", "delivered", "revision_refused"}, asks_for_cancellation,
        {"in_progress", "delivered", "revision_refused"}),
    ("C12", "cancellation.cancel_request_states", set(), asks_for_cancellation, set()),
    ("gap", "cancellation.answer_window", "PT48H", cancellation_answer_due,
        "2026-06-03T13:00:00+02:00"),
    ("gap", "cancellation.answer_window", "PT12H", cancellation_answer_due,
        "2026-06-02T01:00:00+02:00"),
    ("C5", "cancellation.auto_dispute_after_cancel_refusals", 1, refused_cancellations,
        ["disputed"]),
    ("C5", "cancellation.auto_dispute_after_cancel_refusals", 2, refused_cancellations,
        ["in_progress", "disputed"]),
    ("C5", "cancellation.auto_dispute_after_cancel_refusals", 3, refused_cancellations,
        ["in_progress", "in_progress", "disputed"]),
    ("C5", "cancellation.auto_dispute_after_cancel_refusals", None, refused_cancellations,
        ["in_progress"] * 4),

    ("R58", "revision.revisions", None, second_revision, ("revision_requested", False)),
    ("R58", "revision.revisions", 1, second_revision, ("revision_requested", True)),
    ("gap", "revision.revision_limit_mode", "soft", revision_over_the_limit,
        ("revision_requested", [True])),
    ("gap", "revision.revision_limit_mode", "hard", revision_over_the_limit,
        ("revision_limit_reached", [])),
    ("C8", "revision.revision_needs_seller_answer", True, asked_for_changes,
        ("revision_requested", "2026-06-05T12:00:00+02:00", 0)),
    ("C8", "revision.revision_needs_seller_answer", False, asked_for_changes,
        ("in_progress", "2026-06-08T12:00:00+02:00", 1)),
    ("R65", "revision.answer_window", "PT48H", revision_answer_due,
        "2026-06-04T13:00:00+02:00"),
    ("R65", "revision.answer_window", "PT12H", revision_answer_due,
        "2026-06-03T01:00:00+02:00"),
    ("R61", "revision.choice_window", "P7D", choice_due, "2026-06-09T14:00:00+02:00"),
    ("R61", "revision.choice_window", "P2D", choice_due, "2026-06-04T14:00:00+02:00"),
    ("C4", "revision.dispute_after_revision_refusals", 1, refused_once_and_twice,
        "disputed"),
    ("C4", "revision.dispute_after_revision_refusals", 2, refused_once_and_twice,
        ("too_few_refusals", "revision_requested", True, "revision_refused", "disputed")),
    ("C4", "revision.dispute_after_revision_refusals", 2, refused_cancellation_counts,
        "disputed"),

    ("R54", "completion.verification_window", "P7D", verification_due,
        ("2026-06-09T12:00:00+02:00", "2026-06-03T12:00:00+02:00")),
    ("R54", "completion.verification_window", "P3D", verification_due,
        ("2026-06-05T12:00:00+02:00", "2026-06-03T12:00:00+02:00")),
    ("C13", "completion.completion_triggers", {"approve", "review"}, completing,
        ("completed", "completed", "completed", "completed", "completed", "completed")),
    ("C13", "completion.completion_triggers", {"approve"}, completing,
        ("completed", "approval_completes", "completed", "approval_completes",
         "completed", "completed")),
    ("C13", "completion.completion_triggers", {"review"}, completing,
        ("review_completes", "completed", "review_completes", "completed",
         "completed", "completed")),
    ("R54", "completion.reminders", ("P3D", "P1D"), verification_reminders,
        ["2026-06-06T12:00:00+02:00", "2026-06-08T12:00:00+02:00"]),
    ("R54", "completion.reminders", (), verification_reminders, []),
    ("R54", "completion.reminders", ("PT2H", "P9D"), verification_reminders,
        ["2026-06-09T10:00:00+02:00"]),

    ("C3", "dispute.dispute_openers", {"buyer", "seller"}, calling_a_mediator,
        ("disputed", True, True)),
    ("C3", "dispute.dispute_openers", {"buyer"}, calling_a_mediator,
        ("disputed", True, False)),
    ("C3", "dispute.dispute_openers", {"seller"}, calling_a_mediator,
        ("may_not_call_mediator", False, True)),
    ("C3", "dispute.dispute_entry", {}, entering_a_dispute, ["disputed"] * 3),
    ("C6", "dispute.dispute_entry", dict.fromkeys(ROUTES, "direct"), entering_a_dispute,
        ["disputed"] * 3),
    ("C6", "dispute.dispute_entry", dict.fromkeys(ROUTES, "claim_then_mediator"),
        entering_a_dispute, ["claim_first"] * 3),
    ("C6", "dispute.dispute_entry", {"revision_refused": "claim_then_mediator"},
        entering_a_dispute, ["disputed", "disputed", "claim_first"]),
    ("C7", "dispute.dispute_chat", "mediator_thread_only", talking_in_a_dispute,
        ("disputed", "disputed", "not_in_this_state")),
    ("C7", "dispute.dispute_chat", "blocked", talking_in_a_dispute,
        ("conversation_blocked", "conversation_blocked", "not_in_this_state")),
    ("C23", "dispute.mediator_sla", "PT48H", mediator_alarm,
        ([("mediator", "2026-06-04T14:00:00+02:00")], "disputed")),
    ("C23", "dispute.mediator_sla", "PT4H", mediator_alarm,
        ([("mediator", "2026-06-02T18:00:00+02:00")], "disputed")),
    ("gap", "dispute.ruling_window", None, nobody_rules, ("disputed", "", "100/0/0/0")),
    ("gap", "dispute.default_ruling", None, nobody_rules, ("disputed", "", "100/0/0/0")),

    ("C1", "partial_refunds.partial_refund", "proposals", proposing,
        ("in_progress", "in_progress", "0/10/90/0")),
    ("C1", "partial_refunds.partial_refund", "mediator_only", proposing,
        ("mediator_only", "mediator_only", "0/10/90/0")),
    ("C20", "partial_refunds.partial_refund_base", "all_but_fees", dividing_fees,
        [True, False, False, False]),
    ("C20", "partial_refunds.partial_refund_base", "all", dividing_fees,
        [True, True, True, False]),

    ("C16", "refund_timing.refund_eta", {"wallet": 0, "paypal": 0, "card": (3, 5)},
        refund_shows, [("06-10", "06-12"), ("06-05", "06-05"), ("06-10", "06-12")]),
    ("C16", "refund_timing.refund_eta", {"wallet": 1, "card": (2, 3)}, refund_shows,
        [("06-09", "06-10"), ("06-08", "06-08"), ("06-09", "06-10")]),
    ("C16", "refund_timing.business_calendar", Closed(), refund_shows,
        [("06-11", "06-16"), ("06-05", "06-05"), ("06-11", "06-16")]),

    ("R19", "extras.offer_window", "P7D", offer_ends,
        ("offer", "2026-06-08T12:00:00+02:00")),
    ("R19", "extras.offer_window", "P2D", offer_ends,
        ("offer", "2026-06-03T12:00:00+02:00")),
    ("gap", "extras.addon_deadline", "none", option_with_a_window, (ON_TIME, 5)),
    ("gap", "extras.addon_deadline", "add_days", option_with_a_window,
        ("2026-06-09T12:00:00+02:00", 8)),
    ("gap", "extras.addon_deadline", "max", option_with_a_window,
        ("2026-06-08T12:00:00+02:00", 5)),
    ("R4", "extras.tip_max", "20 %", tipping,
        ["pending", "pending", "pending", "tip_above_cap", "tip_above_cap"]),
    ("R4", "extras.tip_max", ef.Share.percent(10), tipping,
        ["pending", *["tip_above_cap"] * 4]),
    ("R4", "extras.tip_max", 100, tipping, ["pending"] * 5),

    ("C19", "fees.buyer_fee", ef.Fee(), fees_of_a_life, ZERO),
    ("C19", "fees.buyer_fee", TEN, fees_of_a_life,
        ("110/0/0/0", "0/0/100/10", "0/110/0/0")),
    ("C19", "fees.seller_fee", ef.Fee(), fees_of_a_life, ZERO),
    ("C19", "fees.seller_fee", TEN, fees_of_a_life,
        ("100/0/0/0", "0/0/90/10", "0/100/0/0")),
    ("C19", "fees.bank_fee", ef.Fee(), fees_of_a_life, ZERO),
    ("C19", "fees.bank_fee", ef.Fee(flat=euros("0.35"), bps=140), fees_of_a_life,
        ("101.75/0/0/0", "0/0/100/1.75", "0/101.75/0/0")),
    ("C19", "fees.tax", ef.Fee(), fees_of_a_life, ZERO),
    ("C19", "fees.tax", ef.Fee(bps=2000), fees_of_a_life,
        ("120/0/0/0", "0/0/100/20", "0/120/0/0")),
    ("C19", "fees.buyer_bears", frozenset(), fees_of_who_leaves,
        ("0/120.35/0/0", "0/120.35/0/0")),
    ("C19", "fees.buyer_bears", {"bank_fee"}, fees_of_who_leaves,
        ("0/120/0/0.35", "0/120.35/0/0")),
    ("C19", "fees.buyer_bears", {"bank_fee", "tax"}, fees_of_who_leaves,
        ("0/100/0/20.35", "0/120.35/0/0")),

    ("C14", "conversation.chat_after_completed", "P7D", chat_after_completion,
        ("2026-06-09T13:00:00+02:00", "conversation_closed", "conversation_closed")),
    ("C14", "conversation.chat_after_completed", "P30D", chat_after_completion,
        ("2026-07-02T13:00:00+02:00", "conversation_closed", "conversation_closed")),
    ("C14", "conversation.chat_after_completed", "until_left", chat_after_completion,
        ("", "completed", "conversation_closed")),
    ("C14", "conversation.chat_after_cancelled", "P7D", chat_after_cancellation,
        "2026-06-08T13:00:00+02:00"),
    ("C14", "conversation.chat_after_cancelled", "P1D", chat_after_cancellation,
        "2026-06-02T13:00:00+02:00"),
    ("C15", "conversation.chat_grace_from", "end", chat_grace,
        ["06-09T13:00", "06-09T14:00", "06-08T13:00", "06-16T12:00"]),
    ("C15", "conversation.chat_grace_from", "delivery", chat_grace,
        ["06-09T12:00", "06-09T12:00", "06-08T13:00", "06-09T12:00"]),

    ("R96", "reviews.review_window", "P6M", last_review,
        ["completed", "completed", "completed", "review_window_over"]),
    ("R96", "reviews.review_window", "P30D", last_review,
        ["completed", *["review_window_over"] * 3]),

    ("gap", "lifetime.payment_window", "PT24H", unpaid,
        ("2026-06-02T10:00:00+02:00", "cancelled")),
    ("gap", "lifetime.payment_window", "P2D", unpaid,
        ("2026-06-03T10:00:00+02:00", "awaiting_payment")),
    ("C24", "lifetime.order_cap", None, longest_life, ([], "in_progress + late")),
    ("C24", "lifetime.order_cap", "P5M", longest_life,
        (["2026-11-01T10:00:00+01:00"], "expired + late")),
    ("C24", "lifetime.order_cap", "P30D", longest_life,
        (["2026-07-01T10:00:00+02:00"], "expired + late")),
    ("C24", "lifetime.expiry_beneficiary", "platform", expired_money,
        ("expired + late", "0/0/0/100", [])),
    ("C24", "lifetime.expiry_beneficiary", "buyer", expired_money,
        ("expired + late", "0/100/0/0", ["refund"])),
    ("C24", "lifetime.expiry_beneficiary", "seller", expired_money,
        ("expired + late", "0/0/100/0", ["pay_out"])),
    ("C24", "lifetime.expiry_beneficiary", "mediator", expired_money,
        ("disputed + late", "100/0/0/0", [])),
    ("gap", "lifetime.cap_after_dispute", "grace", cap_passed_in_dispute,
        ("in_progress", "2026-08-08T12:00:00+02:00")),
    ("gap", "lifetime.cap_after_dispute", "expire_now", cap_passed_in_dispute,
        ("expired", "")),
    ("gap", "lifetime.cap_grace", "P7D", cap_passed_in_dispute,
        ("in_progress", "2026-08-08T12:00:00+02:00")),
    ("gap", "lifetime.cap_grace", "P2D", cap_passed_in_dispute,
        ("in_progress", "2026-08-03T12:00:00+02:00")),

    ("C22", "statistics.acceptance_counts_buyer_cancel", True, figures,
        (True, BEFORE, "0/0/100/0")),
    ("C22", "statistics.acceptance_counts_buyer_cancel", False, figures,
        (False, BEFORE, "0/0/100/0")),
    ("R42", "statistics.fault", "any", figures, ("any", BEFORE, "0/0/100/0")),
    ("R42", "statistics.fault", "sellers", figures, ("sellers", BEFORE, "0/0/100/0")),
    ("C26", "statistics.score_weights", WEIGHTS, figures, (WEIGHTS, BEFORE, "0/0/100/0")),
    ("C26", "statistics.score_weights", {**WEIGHTS, "on_time": 1}, figures,
        ({**WEIGHTS, "on_time": 1}, BEFORE, "0/0/100/0")),
    ("R102", "statistics.window", "P6M", figures, (Months(6), BEFORE, "0/0/100/0")),
    ("R102", "statistics.window", "P90D", figures,
        (timedelta(days=90), BEFORE, "0/0/100/0")),
    ("R103", "statistics.minimum", 5, figures, (5, BEFORE, "0/0/100/0")),
    ("R103", "statistics.minimum", 0, figures, (0, BEFORE, "0/0/100/0")),
]
# fmt: on

# A window needs the ruling it leads to: these two go together.
DEFAULT_RULINGS: Final = [
    ("P14D", ef.FullRefund(), ("cancelled", "", "0/100/0/0")),
    ("P14D", ef.PaySeller(), ("completed", "", "0/0/100/0")),
    (None, ef.PaySeller(), ("disputed", "", "100/0/0/0")),
]


def _id(line: _Line) -> str:
    point, field, value, story, _ = line
    shown = sorted(value) if isinstance(value, set) else value
    return f"{point} {field}={shown} {story.__name__}"


def _shown(value: object) -> str:
    """
    Return the name of a case: the members of a set have an order of their own in each
    process, and the tests of all of them must be called the same.
    """
    text = re.sub(
        r"\{([^:{}]*)\}",
        lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}",
        str(value),
    )
    return text[:60]


@pytest.mark.parametrize("line", TABLE, ids=_id)
def test_value(line: _Line) -> None:
    """
    A value of a field decides how a story ends, as the rules say.
    """
    _, path, value, told, expected = line
    subject, _, field = path.partition(".")

    actual = told({subject: {field: value}})

    assert actual == expected


@pytest.mark.parametrize(
    ("window", "ruling", "row"), DEFAULT_RULINGS, ids=lambda value: str(value)[:24]
)
def test_dispute_ruling_window_and_default_ruling(
    window: str | None, ruling: Any, row: tuple[str, str, str]
) -> None:
    """
    Gap "an order nobody rules": the default ruling is made at the window's end.
    """
    policies = {"dispute": {"ruling_window": window, "default_ruling": ruling}}

    assert nobody_rules(policies) == row


# What only `recommended` heeds: tests/rules/test_recommended.py.
RECOMMENDED: Final = {
    "acceptance.brief_window",
    "delivery.late_window",
    "dispute.claim_window",
}


def fields_of(policies: Policies) -> set[str]:
    """
    Return every field of every policy, as `subject.field`.
    """
    return {
        f"{subject.name}.{field.alias}"
        for subject in attrs.fields(Policies)
        for field in attrs.fields(type(getattr(policies, subject.name)))
    }


def test_every_field_is_covered() -> None:
    """
    A field without a line in the table is not shown to do anything.
    """
    covered = {path for _, path, *_ in TABLE}

    assert covered | RECOMMENDED == fields_of(Policies())


@pytest.mark.parametrize("path", sorted(fields_of(Policies()) - RECOMMENDED))
def test_default_stands_in_the_table(path: str) -> None:
    """
    Among the values of a field is its default, so that the defaults are shown, too.
    """
    subject, _, field = path.partition(".")
    default = standard()

    values = [
        default.with_policies(**{subject: {field: value}})
        for _, other, value, *_ in TABLE
        if other == path
    ]

    if path != "refund_timing.business_calendar":
        assert default.fingerprint in {process.fingerprint for process in values}


# --- vendor_consolidation ---------------------------------------------------------


class TestVendorConsolidation:
    """
    the readings of seed004, beside the defaults.
    """

    def test_only_these_differ(self) -> None:
        """
        The defaults with four readings of seed004, and nothing else.
        """
        mine = vendor_consolidation().policies.canonical
        theirs = comeup().policies.canonical

        different = {
            f"{subject}.{field}"
            for subject in theirs
            for field in theirs[subject]
            if mine[subject][field] != theirs[subject][field]
        }

        assert different == {
            "partial_refunds.partial_refund",
            "cancellation.seller_cancel_states",
            "cancellation.auto_dispute_after_cancel_refusals",
            "completion.completion_triggers",
        }

    def test_no_partial_refund(self) -> None:
        """
        C1: a partial refund goes through a mediator.
        """
        story = in_progress(process=vendor_consolidation())
        proposal = ef.ProposePartialRefund(amount=euros("10"), reason="x")

        assert story.refused(ANA, proposal) == ("mediator_only",)

    def test_seller_cancels_when_delivered(self) -> None:
        """
        C2: the seller may cancel until the very end.
        """
        story = delivered(process=vendor_consolidation()).seller(CANCEL)

        assert story.books == "0/100/0/0"

    def test_review_completes(self) -> None:
        """
        C13: a review completes, an approval does not; the timer does.
        """
        story = delivered(process=vendor_consolidation())

        assert story.refused(ANA, APPROVE) == ("review_completes",)
        assert story.buyer(REVIEW).books == "0/0/100/0"
        other = delivered(process=vendor_consolidation()).after(days=7)
        assert other.books == "0/0/100/0"

    def test_first_refusal_opens_a_dispute(self) -> None:
        """
        C5: the first refused request is a dispute.
        """
        story = cancellation_requested(process=vendor_consolidation())

        story.seller(REFUSE_CANCELLATION)

        assert story.state == "disputed"


# --- a host's own policy ----------------------------------------------------------


@attrs.frozen
class HalfBack:
    """
    The usual rights, but leaving a late order leaves half of the work to the seller.
    """

    version: ClassVar[str] = "1"

    usual: ef.CancellationRights = attrs.field(factory=ef.CancellationRights)

    @property
    def answer_window(self) -> timedelta:
        """
        Time to answer a request.
        """
        return self.usual.answer_window

    def cancel(self, situation: Situation) -> Right:
        """
        Return the right to cancel at once.
        """
        right = self.usual.cancel(situation)
        if isinstance(right, ef.Alone) and situation.late:
            return ef.Alone(to_seller=ef.Share(1, 2))
        return right

    def request(self, situation: Situation) -> Right:
        """
        Return the right to ask for it.
        """
        return self.usual.request(situation)

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        """
        Return whether this many refused requests open a dispute.
        """
        return self.usual.disputes_after(refused, delivered=delivered)


class Unversioned:
    """
    A policy nobody could pin an order to.
    """

    review_window = timedelta(days=1)

    def is_business_day(self, day: date) -> bool:
        """
        Banks never work.
        """
        return False


class TestOwnPolicy:
    """
    An object of the host's in the place of one of ours.
    """

    @pytest.mark.parametrize(
        ("policies", "problem"),
        [
            (
                {"cancellation": object()},
                "cancellation: a CancellationPolicy, and object has no answer_window, "
                "cancel, disputes_after, request",
            ),
            (
                {"acceptance": ef.Fees()},
                "acceptance: an AcceptancePolicy, and Fees has no acceptance_window, "
                "brief_required, brief_window, charge_at, reminders",
            ),
            (
                {"fees": ef.Fees},
                "fees: a FeePolicy, not the class Fees: make one of it, Fees()",
            ),
        ],
        ids=["all of it", "another policy", "the class"],
    )
    def test_what_it_lacks(self, policies: dict[str, object], problem: str) -> None:
        """
        What is no policy is told what it lacks.
        """
        with pytest.raises(ef.InvalidInputError) as refused:
            comeup().with_policies(**policies)

        assert str(refused.value) == problem

    @pytest.mark.parametrize(
        ("fees", "books"),
        [
            ({}, "0/50/50/0"),
            ({"buyer_fee": ef.Fee(bps=500)}, "0/55/50/0"),
            ({"seller_fee": ef.Fee(bps=1000)}, "0/50/45/5"),
        ],
        ids=["no fees", "buyer fee", "seller fee"],
    )
    def test_half_back(self, fees: dict[str, ef.Fee], books: str) -> None:
        """
        Half of the work stays with the seller; fees on top go back.
        """
        story = late(policies={"cancellation": HalfBack(), "fees": fees})

        story.buyer(CANCEL)

        assert story.row == ("cancelled + late", "", books)
        assert story.ending[0] == "late"

    def test_half_of_an_odd_amount(self) -> None:
        """
        Half a cent is the seller's; nothing is lost.
        """
        story = late(price="0.01", policies={"cancellation": HalfBack()})

        story.buyer(CANCEL)

        assert story.books == "0/0/0.01/0"

    def test_elsewhere_as_usual(self) -> None:
        """
        What the host's object leaves alone is as usual.
        """
        policies = {"cancellation": HalfBack()}

        assert pending(policies=policies).buyer(CANCEL).books == "0/100/0/0"
        assert in_progress(policies=policies).refused(ANA, CANCEL) == (
            "consent_needed",
        )

    def test_version_is_part_of_the_fingerprint(self) -> None:
        """
        Another version of the host's object is another process.
        """

        @attrs.frozen
        class Newer(Closed):
            version: ClassVar[str] = "2"

        older, newer = (
            comeup().with_policies(refund_timing={"business_calendar": calendar})
            for calendar in (Closed(), Newer())
        )

        assert older.fingerprint != newer.fingerprint

    @pytest.mark.parametrize(
        "changes",
        [
            {"reviews": Unversioned()},
            {"refund_timing": {"business_calendar": Unversioned()}},
        ],
        ids=["policy", "calendar"],
    )
    def test_needs_a_version(self, changes: Changes) -> None:
        """
        An object without `version` is refused when the process is built.
        """
        with pytest.raises(ef.ProcessError) as caught:
            comeup().with_policies(**changes)

        assert caught.value.process == "Unversioned"
        assert "version" in str(caught.value)

    @pytest.mark.parametrize("version", ["", 5, None])
    def test_a_version_is_text(self, version: object) -> None:
        """
        What is empty, or no text, is no version.
        """
        odd: Any = Unversioned()
        odd.version = version

        with pytest.raises(ef.ProcessError):
            comeup().with_policies(reviews=odd)

    def test_has_no_fields_to_change(self) -> None:
        """
        A host's object has only the fields that he gave it.
        """
        process = comeup().with_policies(cancellation=HalfBack())

        with pytest.raises(ef.InvalidInputError) as caught:
            process.with_policies(cancellation={"late_cancel": "immediate"})

        assert caught.value.field == "cancellation.late_cancel"


# --- with_policies ----------------------------------------------------------------


class TestAnswers:
    """
    What the policies answer, whoever asks.
    """

    @pytest.mark.parametrize("how", ["immediate", "request_auto_accepted"])
    @pytest.mark.parametrize(
        "state", ["delivered", "revision_requested", "revision_refused", "disputed"]
    )
    def test_lateness_counts_at_work(self, how: Any, state: str) -> None:
        """
        C11: where no work is owed, lateness gives the buyer no right to leave.
        """
        rights = CancellationRights(
            late_cancel=how, cancel_request_states=frozenset({"delivered"})
        )
        situation = Situation(
            state=state, role=ANA.role, late=True, delivered=state != "in_progress"
        )

        assert rights.cancel(situation) == ByConsent()
        assert rights.request(attrs.evolve(situation, state="delivered")) == ByConsent()

    @pytest.mark.parametrize("state", ["in_progress", "cancellation_requested"])
    @pytest.mark.parametrize("late", [True, False])
    def test_r27_late_at_work(self, state: str, late: bool) -> None:
        """
        R16, R27: late, the buyer leaves alone, a request of his open or not; on time he
        needs a consent.
        """
        situation = Situation(state=state, role=ANA.role, late=late, delivered=False)

        right = CancellationRights().cancel(situation)

        assert right == (Alone() if late else ByConsent())

    @pytest.mark.parametrize("state", ["awaiting_payment", "pending"])
    def test_r12_before_acceptance(self, state: str) -> None:
        """
        R12: the buyer leaves alone.
        """
        situation = Situation(state=state, role=ANA.role, late=False, delivered=False)

        assert CancellationRights().cancel(situation) == Alone()

    @pytest.mark.parametrize(
        ("state", "right"),
        [
            ("in_progress", Alone()),
            ("revision_refused", Alone()),
            ("delivered", No("buyer_must_act_first")),
            ("disputed", No("no_right_to_cancel")),
            ("awaiting_payment", No("no_right_to_cancel")),
        ],
    )
    def test_r36_r37_the_seller(self, state: str, right: Right) -> None:
        """
        R36, R37: alone, or not at all; and why not.
        """
        situation = Situation(state=state, role=LUC.role, late=True, delivered=True)

        assert CancellationRights().cancel(situation) == right

    @pytest.mark.parametrize("state", ["pending", "delivered", "revision_refused"])
    def test_c12_nothing_to_ask_for(self, state: str) -> None:
        """
        C12: by default a cancellation is asked for at work only, late or not.
        """
        rights = CancellationRights(late_cancel="request_auto_accepted")
        situation = Situation(state=state, role=ANA.role, late=True, delivered=False)

        assert rights.request(situation) == No("no_cancellation_request_here")

    @pytest.mark.parametrize(
        ("figure", "cause", "responsible", "policy", "counts"),
        [
            ("acceptance_rate", "buyer_withdrew", ANA, {}, True),
            ("acceptance_rate", "refused", LUC, {}, True),
            ("acceptance_rate", "buyer_withdrew", ANA, {"counting": False}, False),
            ("acceptance_rate", "refused", LUC, {"counting": False}, True),
            ("completion_rate", "buyer_withdrew", ANA, {"counting": False}, True),
            ("completion_rate", "by_consent", ANA, {"fault": "sellers"}, False),
            ("completion_rate", "late", LUC, {"fault": "sellers"}, True),
        ],
    )
    def test_r42_what_speaks_against_a_seller(
        self,
        figure: str,
        cause: str,
        responsible: ef.Actor,
        policy: dict[str, Any],
        counts: bool,
    ) -> None:
        """
        R12, R42: whatever went wrong; without what buyers withdrew from, or only what
        was his doing, where the policy says so.
        """
        counting = policy.get("counting", True)
        statistics = Statistics(
            fault=policy.get("fault", "any"), acceptance_counts_buyer_cancel=counting
        )
        verdict = Verdict(
            figure=figure, good=False, responsible=responsible.role, cause=cause
        )

        assert statistics.counts(verdict) is counts
        assert statistics.counts(attrs.evolve(verdict, good=True))

    @pytest.mark.parametrize(
        ("how", "extra", "moved"),
        [
            ("none", 9, None),
            ("add_days", 1, 4),
            ("max", 2, None),
            ("max", 3, None),
            ("max", 4, 4),
        ],
    )
    def test_r17_r18_what_an_extra_does_to_the_deadline(
        self, how: Any, extra: int, moved: int | None
    ) -> None:
        """
        R17, R18: three days before the deadline: it moves, or is said to stay.
        """
        now = as_utc("2026-06-01T12:00:00Z", "now")
        day = timedelta(days=1)

        found = ef.Extras(addon_deadline=how).moved(
            now + 3 * day, now=now, extra=extra * day, time=Policies().time
        )

        assert found == (None if moved is None else now + moved * day)

    def test_r100_what_a_coupon_does_not_give_back(self) -> None:
        """
        R100: the fee of the bank, and the tax.
        """
        fees = ef.Fees(
            buyer_fee=ef.Fee(bps=100), bank_fee=ef.Fee(bps=200), tax=ef.Fee(bps=2000)
        )

        assert fees.not_for_coupon(euros("10.00")) == euros("2.20")

    @pytest.mark.parametrize(
        ("mode", "used", "agreed", "answer"),
        [
            ("soft", 0, 1, "within"),
            ("soft", 1, 1, "over"),
            ("soft", 0, 0, "over"),
            ("hard", 1, 2, "within"),
            ("hard", 2, 2, "refused"),
            ("hard", 99, "unlimited", "within"),
        ],
    )
    def test_r58_another_revision(
        self, mode: Any, used: int, agreed: Any, answer: str
    ) -> None:
        """
        R58: within what was agreed; beyond it, marked or refused.
        """
        limit = RevisionLimit(revision_limit_mode=mode)

        assert limit.request(used=used, agreed=agreed) == answer


class TestWithPolicies:
    """
    Changing fields, and what is refused.
    """

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"revisions": {}}, "revisions"),
            ({"cancellation": 5}, "cancellation"),
            ({"fees": ef.Fee()}, "fees"),
            ({"revision": {"limit": 1}}, "revision.limit"),
            ({"lifetime": {"_cap_grace": "P1D"}}, "lifetime._cap_grace"),
            ({"time": {"deadline_boundary": "open"}}, "deadline_boundary"),
            ({"time": {"day_arithmetic": None}}, "day_arithmetic"),
            ({"time": {"zone": "Europe/Nowhere"}}, "zone"),
            ({"acceptance": {"acceptance_window": "P1M"}}, "acceptance_window"),
            ({"acceptance": {"reminders": "PT1H"}}, "reminders"),
            ({"acceptance": {"brief_required": 1}}, "brief_required"),
            ({"delivery": {"revision_deadline": "soon"}}, "revision_deadline"),
            ({"delivery": {"relaunch_minimum": "PT0S"}}, "relaunch_minimum"),
            ({"cancellation": {"late_cancel": True}}, "late_cancel"),
            (
                {"cancellation": {"seller_cancel_states": "pending"}},
                "seller_cancel_states",
            ),
            (
                {"cancellation": {"auto_dispute_after_cancel_refusals": 0}},
                "auto_dispute_after_cancel_refusals",
            ),
            ({"revision": {"revisions": -1}}, "revisions"),
            ({"revision": {"revision_limit_mode": "firm"}}, "revision_limit_mode"),
            (
                {"revision": {"dispute_after_revision_refusals": None}},
                "dispute_after_revision_refusals",
            ),
            ({"completion": {"completion_triggers": {"wait"}}}, "completion_triggers"),
            ({"dispute": {"dispute_openers": {"mediator"}}}, "dispute_openers"),
            ({"dispute": {"dispute_entry": {"claim": "direct"}}}, "dispute_entry"),
            (
                {"dispute": {"dispute_entry": {"revision_refused": "never"}}},
                "dispute_entry",
            ),
            ({"dispute": {"dispute_chat": "open"}}, "dispute_chat"),
            ({"dispute": {"ruling_window": "P1D"}}, "default_ruling"),
            ({"dispute": {"default_ruling": ef.Relaunch()}}, "default_ruling"),
            ({"partial_refunds": {"partial_refund": "yes"}}, "partial_refund"),
            (
                {"partial_refunds": {"partial_refund_base": "half"}},
                "partial_refund_base",
            ),
            ({"refund_timing": {"refund_eta": {"card": (5, 3)}}}, "refund_eta"),
            ({"refund_timing": {"refund_eta": {}}}, "refund_eta"),
            ({"extras": {"addon_deadline": "add"}}, "addon_deadline"),
            ({"extras": {"tip_max": 101}}, "tip_max"),
            ({"extras": {"tip_max": 0.2}}, "tip_max"),
            ({"fees": {"tax": 20}}, "tax"),
            (
                {"conversation": {"chat_after_completed": "for ever"}},
                "chat_after_completed",
            ),
            ({"conversation": {"chat_grace_from": "start"}}, "chat_grace_from"),
            ({"reviews": {"review_window": 6}}, "review_window"),
            ({"lifetime": {"order_cap": "P5M3D"}}, "order_cap"),
            ({"lifetime": {"expiry_beneficiary": "nobody"}}, "expiry_beneficiary"),
            ({"lifetime": {"cap_after_dispute": "later"}}, "cap_after_dispute"),
            ({"lifetime": {"cap_grace": "P1M"}}, "cap_grace"),
            ({"statistics": {"score_weights": {"on_time": -1}}}, "score_weights"),
            ({"statistics": {"minimum": -1}}, "minimum"),
            ({"statistics": {"minimum": 1001}}, "minimum"),
            ({"acceptance": {"reminders": 5}}, "reminders"),
            ({"acceptance": {"reminders": timedelta(hours=1)}}, "reminders"),
            ({"acceptance": {"reminders": ("soon",)}}, "reminders"),
            (
                {"cancellation": {"seller_cancel_states": {"pending", 5}}},
                "seller_cancel_states",
            ),
            (
                {"cancellation": {"seller_cancel_states": {"disputed"}}},
                "seller_cancel_states",
            ),
            ({"completion": {"completion_triggers": set()}}, "completion_triggers"),
            ({"dispute": {"dispute_entry": 5}}, "dispute_entry"),
            ({"dispute": {"dispute_entry": {5: "direct"}}}, "dispute_entry"),
            ({"refund_timing": {"refund_eta": 5}}, "refund_eta"),
            ({"refund_timing": {"refund_eta": {5: 5}}}, "refund_eta"),
            ({"refund_timing": {"refund_eta": {"card": 101}}}, "refund_eta"),
            ({"refund_timing": {"refund_eta": {"card": (1, 2, 3)}}}, "refund_eta"),
            ({"refund_timing": {"refund_eta": {"card": (1, 2.5)}}}, "refund_eta"),
            ({"fees": {"buyer_bears": {"seller_fee"}}}, "buyer_bears"),
            ({"fees": {"buyer_bears": 5}}, "buyer_bears"),
            ({"statistics": {"score_weights": 5}}, "score_weights"),
            ({"statistics": {"score_weights": {}}}, "score_weights"),
            ({"statistics": {"score_weights": {"charm": 1}}}, "score_weights"),
        ],
        ids=_shown,
    )
    def test_refused(self, changes: Changes, field: str) -> None:
        """
        An unknown subject, field or value is refused, and the error names it.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            comeup().with_policies(**changes)

        assert caught.value.field == field

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"fees": {"tax": 20}}, "a Fee, not int"),
            (
                {"dispute": {"default_ruling": ef.Relaunch(), "ruling_window": "P1D"}},
                "a FullRefund or a PaySeller or 'by_delivery', not Relaunch",
            ),
            ({"refund_timing": {"refund_eta": "card"}}, "a mapping, not str"),
            (
                {"completion": {"completion_triggers": set()}},
                "at least one of approve, review",
            ),
            (
                {"cancellation": {"cancel_request_states": {"frozen", "disputed"}}},
                "never disputed, frozen",
            ),
            ({"cancellation": {"cancel_request_states": {5}}}, "names, not int"),
        ],
        ids=_shown,
    )
    def test_what_would_be_right(self, changes: Changes, problem: str) -> None:
        """
        Beside the field, the error says what may stand there.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            comeup().with_policies(**changes)

        assert caught.value.problem == problem

    @pytest.mark.parametrize(
        ("subject", "field", "value", "kept"),
        [
            ("statistics", "minimum", 1000, 1000),
            ("statistics", "score_weights", {"on_time": 0}, {"on_time": 0}),
            ("revision", "revisions", "unlimited", None),
            ("revision", "revisions", 1000, 1000),
            ("refund_timing", "refund_eta", {"card": (0, 100)}, {"card": (0, 100)}),
            ("refund_timing", "refund_eta", {"card": (3, 3)}, {"card": 3}),
            (
                "completion",
                "reminders",
                ["P1D", timedelta(days=3)],
                (timedelta(days=3), timedelta(days=1)),
            ),
            ("fees", "buyer_bears", (), frozenset()),
            ("fees", "buyer_bears", ["tax", "tax"], frozenset({"tax"})),
            ("dispute", "dispute_openers", [ef.Role.BUYER], frozenset({"buyer"})),
        ],
    )
    def test_kept(self, subject: str, field: str, value: Any, kept: Any) -> None:
        """
        Up to the very ends, and however it is written, a value is kept in one form.
        """
        process = comeup().with_policies(**{subject: {field: value}})

        assert getattr(getattr(process.policies, subject), field) == kept

    def test_every_field_under_its_own_name(self) -> None:
        """
        A check says no under the name of the field that it stands beside; a field
        without one takes anything.
        """

        @attrs.frozen(kw_only=True, field_transformer=checked)
        class Rules:
            _rounds: int | None = attrs.field(default=1, metadata=by(limit))
            pauses: int | None = attrs.field(
                default=None, metadata=by(count, 1, none=True)
            )
            title: object = None

        loose: Any = Rules
        with pytest.raises(ef.InvalidInputError) as caught:
            loose(rounds=-1)

        assert caught.value.field == "rounds"
        with pytest.raises(ef.InvalidInputError) as caught:
            loose(pauses=0)

        assert caught.value.field == "pauses"
        assert loose(rounds="unlimited", title=5) == loose(rounds=None, title=5)

    def test_unknown_state(self) -> None:
        """
        A policy that names a state the table lacks is refused by the process.
        """
        with pytest.raises(ef.ProcessError) as caught:
            comeup().with_policies(cancellation={"seller_cancel_states": {"nowhere"}})

        assert "nowhere" in str(caught.value)

    def test_fields_change_the_present_object(self) -> None:
        """
        A mapping changes fields one after the other; an object replaces them all.
        """
        process = comeup().with_policies(revision={"revision_limit_mode": "hard"})

        both = process.with_policies(revision={"revisions": 2}).policies.revision
        anew = process.with_policies(revision=ef.RevisionLimit(revisions=2))

        assert both == ef.RevisionLimit(revisions=2, revision_limit_mode="hard")
        assert anew.policies.revision == ef.RevisionLimit(revisions=2)

    def test_the_process_itself_stays(self) -> None:
        """
        Nothing is changed in place.
        """
        process = comeup()

        process.with_policies(revision={"revisions": 2})

        assert process.policies == Policies()


# --- fingerprints -----------------------------------------------------------------


def changed(process: Any, line: _Line) -> str:
    """
    Return the fingerprint of a process with the value of a line.
    """
    _, path, value, *_ = line
    subject, _, field = path.partition(".")
    fingerprint: str = process.with_policies(**{subject: {field: value}}).fingerprint
    return fingerprint


class TestFingerprint:
    """
    What an order is pinned to.
    """

    def test_two_builds(self) -> None:
        """
        The same process built twice is one process.
        """
        assert comeup().fingerprint == comeup().fingerprint
        assert vendor_consolidation().fingerprint == vendor_consolidation().fingerprint
        assert comeup().fingerprint != vendor_consolidation().fingerprint

    def test_every_value_counts(self) -> None:
        """
        Each value of a field gives another fingerprint, and the same one twice.
        """
        process = comeup()
        by_path: dict[str, dict[str, str]] = {}
        for line in TABLE:
            prints = by_path.setdefault(line[1], {})
            value = line[2]
            shown = str(sorted(value) if isinstance(value, set) else value)
            assert prints.setdefault(shown, changed(process, line)) == changed(
                process, line
            )

        same: Mapping[str, int] = {
            path: len(prints) - len(set(prints.values()))
            for path, prints in by_path.items()
        }

        # An entry that is left out is direct.
        assert {path for path, count in same.items() if count} == {
            "dispute.dispute_entry"
        }

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"acceptance": {"acceptance_window": "P2D"}},
             {"acceptance": {"acceptance_window": timedelta(hours=48)}}),
            ({"extras": {"tip_max": "15 %"}}, {"extras": {"tip_max": 15}}),
            ({"completion": {"reminders": ("P1D", "P3D")}},
             {"completion": {"reminders": ("P3D", "P1D")}}),
            ({"refund_timing": {"refund_eta": {"wallet": 0, "card": 3}}},
             {"refund_timing": {"refund_eta": {"card": (3, 3), "wallet": (0, 0)}}}),
        ],
        ids=["window", "share", "order", "mapping"],
    )  # fmt: skip
    def test_spelling_does_not_count(self, one: Changes, other: Changes) -> None:
        """
        However a value is written, it is the same rule.
        """
        assert (
            comeup().with_policies(**one).fingerprint
            == comeup().with_policies(**other).fingerprint
        )

    def test_plain_data(self) -> None:
        """
        What the hash is made of: whole policies, also ours from deeper down, and a
        host's object by its name and version.
        """
        bundle = Policies().replacing(
            refund_timing={
                "business_calendar": target(),
                "refund_eta": {"card": (1, 2)},
            },
            fees={"seller_fee": ef.Fee(bps=1000), "buyer_bears": {"tax", "bank_fee"}},
            extras={"tip_max": 15},
            cancellation=HalfBack(),
        )

        found = {
            subject: bundle.canonical[subject]
            for subject in ("refund_timing", "fees", "extras", "cancellation")
        }

        nothing = {"kind": "Fee", "flat": None, "bps": 0}
        assert found == {
            "refund_timing": {
                "kind": "RefundTiming",
                "refund_eta": {"card": [1, 2]},
                "business_calendar": {
                    "kind": "HolidayCalendar",
                    "code": "XECB",
                    "subdivision": "",
                },
            },
            "fees": {
                "kind": "Fees",
                "buyer_fee": nothing,
                "seller_fee": {**nothing, "bps": 1000},
                "bank_fee": nothing,
                "tax": nothing,
                "buyer_bears": ["bank_fee", "tax"],
            },
            "extras": {
                "kind": "Extras",
                "offer_window": "P7D",
                "addon_deadline": "none",
                "tip_max": "15 %",
            },
            "cancellation": {"kind": f"{__name__}.HalfBack", "version": "1"},
        }

    @pytest.mark.parametrize(
        ("subject", "field", "text", "other"),
        [
            ("time", "day_arithmetic", "civil", {}),
            ("delivery", "revision_deadline", "remaining", {}),
            ("dispute", "default_ruling", "by_delivery", {"ruling_window": "P1D"}),
        ],
    )
    def test_a_member_is_its_text(
        self, subject: str, field: str, text: str, other: Changes
    ) -> None:
        """
        A member of a host's enum of texts is the same rule as its text, whatever it
        prints.
        """
        kind = enum.Enum("kind", {"ONE": text}, type=str)

        policies = Policies().replacing(**{subject: {**other, field: kind(text)}})
        plain = Policies().replacing(**{subject: {**other, field: text}})

        assert policies.canonical == plain.canonical
        assert type(policies.canonical[subject][field]) is str

    @pytest.mark.parametrize("seed", ["1", "4711"])
    def test_in_another_process(self, seed: str) -> None:
        """
        Another process of the machine, with other hashes, finds the same.
        """
        root = Path(ef.__file__).parent.parent
        code = (
            "from escrowflow.processes import comeup, vendor_consolidation as v;"
            "p = comeup().with_policies(completion={'completion_triggers': {'review'}},"
            " cancellation={'cancel_request_states': {'delivered', 'in_progress'}});"
            "print(comeup().fingerprint, v().fingerprint, p.fingerprint)"
        )
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}

        found = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

        here = comeup().with_policies(
            completion={"completion_triggers": {"review"}},
            cancellation={"cancel_request_states": {"in_progress", "delivered"}},
        )
        assert found.stdout.split() == [
            comeup().fingerprint,
            vendor_consolidation().fingerprint,
            here.fingerprint,
        ]

    def test_orders_keep_theirs(self) -> None:
        """
        An order runs under the rules it was placed under, beside newer ones.
        """
        story = delivered(policies={"completion": {"completion_triggers": {"review"}}})
        newer = ef.Engine(
            comeup(), story.storage, clock=story.clock, also=[story.process]
        )

        answer = newer.attempt(story.id, APPROVE, by=ANA)

        assert isinstance(answer, ef.Refusal)
        assert answer.blockers[0].code == "review_completes"

    def test_unknown_rules(self) -> None:
        """
        Without its process an order can be read, and nothing else.
        """
        story = delivered(policies={"completion": {"completion_triggers": {"review"}}})
        stranger = ef.Engine(comeup(), story.storage, clock=story.clock)

        with pytest.raises(ef.UnknownProcessError):
            stranger.execute(story.id, REVIEW, by=ANA)

        assert stranger.order(story.id).state == "delivered"
