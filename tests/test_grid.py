"""
The grid of the rules: every command, in every state, by every role.

What the grid allows happens, leads where it must, and the books add up.  What it
does not allow is refused with the code that says why, and changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any, Final

import pytest
import transitions
from pendulum import DateTime

from escrowflow import commands as c
from escrowflow.clock import end_of
from escrowflow.commands import Command
from escrowflow.decisions import Decided, Refusal, options
from escrowflow.errors import InvalidInputError, ProcessError
from escrowflow.history import fold
from escrowflow.money import Payment
from escrowflow.parties import SYSTEM, Role, as_actor
from escrowflow.processes.comeup import comeup
from escrowflow.processes.vendor_consolidation import vendor_consolidation
from escrowflow.refusals import Way
from escrowflow.states import State, _Cursor, _machine_of
from escrowflow.terms import FullRefund, PaySeller, Relaunch, Split
from tests.cells import hold
from tests.grid import (
    ACTORS,
    ENDINGS,
    GRID,
    LATE,
    MOVES,
    NAMES,
    P0,
    SUPERSET,
    WAITS,
    B,
    Life,
    M,
    O,
    P,
    Rules,
    S,
    Y,
    absent,
    begin,
    check_books,
    check_refused,
    command_class,
    eur,
    life,
    lives,
    sample,
    traits_of,
)

AW, PE, IP = State.AWAITING_PAYMENT, State.PENDING, State.IN_PROGRESS
CR, DE, RQ = State.CANCELLATION_REQUESTED, State.DELIVERED, State.REVISION_REQUESTED
RF, DI, FR = State.REVISION_REFUSED, State.DISPUTED, State.FROZEN
CO, CA, EX = State.COMPLETED, State.CANCELLED, State.EXPIRED

DAY: Final = timedelta(days=1)
INSTANT: Final = timedelta(microseconds=1)

PEOPLE: Final = (B, S, M, O, P)
LIVES: Final = lives()

# How many cells there are at least, of all commands, states and roles.
CELLS_MIN: Final = 7_342

UNTIL_LEFT: Final = P0.with_policies(
    conversation={"chat_after_completed": "until_left"}
)

each_life = pytest.mark.parametrize("name", LIVES)


def cells(name: str, state: State) -> list[tuple[str, State, Role, bool]]:
    """
    Return every cell of a command in a state: for every role, on time and late.

    A cell of the system is left to the tests of its deadlines.
    """
    return [
        (name, state, role, late)
        for role in Role
        if not (role is Y and role in GRID[name, state])
        for late in ((False, True) if state in LATE else (False,))
    ]


def in_cell(name: str, state: State, role: Role, late: bool) -> None:
    """
    What the grid allows happens and leads on; everything else changes nothing.
    """
    before = prepared(name, state, role, *(("late",) if late else ()))
    command = sample(name, before.order)
    expected: tuple[str, ...] = ()
    if role not in GRID[name, state]:
        expected = absent(before.order, name, role)
    elif name == "cancel_order" and role is B and state in (IP, CR) and not late:
        expected = ("consent_needed",)

    answer = before.ask(command, role)

    assert codes(answer) == expected
    if isinstance(answer, Refusal):
        check_refused(before.order, command, answer)
        return
    assert answer.order.state is MOVES.get((name, state), (state,))[0]
    assert answer.recorded
    assert {recorded.by for recorded in answer.recorded} == {ACTORS[role]}
    assert fold((*before.history, *answer.recorded)) == answer.order
    check_books(answer.order)


def prepared(name: str, state: State, role: Role, *traits: str) -> Life:
    """
    Return an order on which the condition of a cell is met, as far as it can be.
    """
    if role not in GRID[name, state]:
        return life(state, *traits)
    process = UNTIL_LEFT if name == "leave_conversation" else None
    return life(state, *traits_of(name, state, role), *traits, process=process)


def codes(answer: Decided | Refusal) -> tuple[str, ...]:
    """
    Return the codes of a refusal; none if it is no refusal.
    """
    return () if isinstance(answer, Decided) else tuple(b.code for b in answer.blockers)


class TestCells:
    """
    Every cell.
    """

    @pytest.mark.parametrize("name", NAMES)
    def test_cell(self, name: str) -> None:
        """
        Whoever sends a command in whatever state, early or late: see `in_cell`.
        """
        hold(in_cell, (cell for state in State for cell in cells(name, state)))

    def test_there_are_thousands(self) -> None:
        """
        No cell gets lost on the way.
        """
        assert sum(len(cells(name, state)) for name, state in GRID) >= CELLS_MIN

    @each_life
    def test_history_is_the_order(self, name: str) -> None:
        """
        However an order came where it is, its history adds up to it.
        """
        found = LIVES[name]

        assert fold(found.history) == found.order
        check_books(found.order)

    def test_hosts_cannot_act_as_the_system(self) -> None:
        """
        The system's actor is turned away at the door.
        """
        with pytest.raises(InvalidInputError, match="by"):
            as_actor(SYSTEM)

    def test_every_system_cell_is_a_deadline(self) -> None:
        """
        The cells of the system are exactly those where a wait can end.
        """
        waiting = {(command, state) for (_, state), command in WAITS.items()}

        assert waiting == {cell for cell, roles in GRID.items() if Y in roles}


# --- conditions -------------------------------------------------------------------

CLAIM, PROPOSAL = "claim by buyer", "proposal by buyer"
WITH_DATE: Final = P0.with_policies(delivery={"relaunch_deadline": "mediator_sets"})
TWO_REFUSALS: Final = P0.with_policies(revision={"dispute_after_revision_refusals": 2})
BLOCKED: Final = P0.with_policies(dispute={"dispute_chat": "blocked"})
THROUGH_CLAIMS: Final = P0.with_policies(
    dispute={
        "dispute_entry": dict.fromkeys(
            ("cancellation_unanswered", "revision_unanswered", "revision_refused"),
            "claim_then_mediator",
        )
    }
)
SELLER_CALLS: Final = P0.with_policies(dispute={"dispute_openers": {"seller"}})
LATE_ASKS: Final = P0.with_policies(
    cancellation={"late_cancel": "request_auto_accepted"}
)
NEVER_AGAIN: Final = P0.with_policies(
    cancellation={"late_cancel_after_first_delivery": False}
)
APPROVED: Final = P0.with_policies(completion={"completion_triggers": {"approve"}})
REVIEWED: Final = P0.with_policies(completion={"completion_triggers": {"review"}})
HARD: Final = P0.with_policies(revision={"revision_limit_mode": "hard", "revisions": 0})
SOFT: Final = P0.with_policies(revision={"revisions": 0})
REFUNDED_AT_CAP: Final = P0.with_policies(
    lifetime={"order_cap": "P5M", "expiry_beneficiary": "buyer"}
)


def delivered(**terms: Any) -> Life:
    """
    Return a delivered order under terms of its own.
    """
    return at_work(**terms).send(c.DeliverOrder(note="done"), S)


def at_work(**terms: Any) -> Life:
    """
    Return an accepted order under terms of its own.
    """
    return begin(P0, **terms).send(c.AcceptOrder(), S)


def two_offers() -> Life:
    """
    Return an order whose first offer is withdrawn, and whose second is open.
    """
    first = life(IP, "offer").send(c.WithdrawOffer(offer_id="offer-1"), S)
    return first.send(c.SendOffer(title="a flyer", price=eur("30.00")), S)


def relaunch(due_at: DateTime | None = None) -> Command:
    """
    Return the ruling that sends the order back to work.
    """
    return c.RuleDispute(ruling=Relaunch(due_at=due_at), reason="a misunderstanding")


def split(amount: str) -> Command:
    """
    Return the ruling that divides the money.
    """
    return c.RuleDispute(ruling=Split(to_buyer=eur(amount)), reason="half of it")


def add_on(reference: str, amount: str) -> Command:
    """
    Return the purchase of an option of 30 euros by this payment.
    """
    payment = Payment("card", reference, eur(amount))
    return c.BuyAddOn(title="a favicon", price=eur("30.00"), payment=payment)


# What is refused although the grid allows it, because its condition is not met:
# the order, the command (a name stands for its sample), the role, the codes.
UNMET: Final[dict[str, tuple[Life, str | Command, Role, tuple[str, ...]]]] = {
    # Cancellation
    "buyer cancels on time": (life(IP), "cancel_order", B, ("consent_needed",)),
    "buyer cancels on time while asking": (
        life(CR),
        "cancel_order",
        B,
        ("consent_needed",),
    ),
    "buyer cancels a new delivery time": (
        life(IP, "again"),
        "cancel_order",
        B,
        ("consent_needed",),
    ),
    "buyer cancels a late redelivery (C10)": (
        life(IP, "again", "late", process=NEVER_AGAIN),
        "cancel_order",
        B,
        ("consent_needed",),
    ),
    "buyer cancels where asking is enough (C11)": (
        life(IP, "late", process=LATE_ASKS),
        "cancel_order",
        B,
        ("request_cancellation_instead",),
    ),
    "seller cancels what is to be looked at": (
        life(DE),
        "cancel_order",
        S,
        ("buyer_must_act_first",),
    ),
    "excuse what never showed: before acceptance": (
        life(CA, "from pending"),
        "excuse_cancellation",
        O,
        ("nothing_to_excuse",),
    ),
    "excuse what never showed: by consent": (
        life(CA, "by consent"),
        "excuse_cancellation",
        O,
        ("nothing_to_excuse",),
    ),
    "excuse twice": (
        life(CA).send(c.ExcuseCancellation(reason="a flood"), O),
        "excuse_cancellation",
        O,
        ("nothing_to_excuse",),
    ),
    # Completion and revision
    "approve where reviews complete (C13)": (
        life(DE, process=REVIEWED),
        "approve_delivery",
        B,
        ("review_completes",),
    ),
    "finish where reviews complete (C13)": (
        life(RF, process=REVIEWED),
        "approve_delivery",
        B,
        ("review_completes",),
    ),
    "review where approval completes (C13)": (
        life(DE, process=APPROVED),
        "leave_review",
        B,
        ("approval_completes",),
    ),
    "finish by review where approval completes (C13)": (
        life(RF, process=APPROVED),
        "leave_review",
        B,
        ("approval_completes",),
    ),
    "more revisions than agreed, hard": (
        life(DE, process=HARD),
        "request_revision",
        B,
        ("revision_limit_reached",),
    ),
    # Claims
    "a second claim": (life(IP, CLAIM), "file_claim", B, ("claim_open",)),
    "a claim against a claim": (life(DE, CLAIM), "file_claim", S, ("claim_open",)),
    "claim where only sellers may": (
        life(IP, process=SELLER_CALLS),
        "file_claim",
        B,
        ("may_not_call_mediator",),
    ),
    "edit no claim": (life(IP), "edit_claim", B, ("no_claim",)),
    "withdraw no claim": (life(RQ), "withdraw_claim", S, ("no_claim",)),
    "edit the other side's claim": (
        life(IP, CLAIM),
        "edit_claim",
        S,
        ("not_the_filer",),
    ),
    "withdraw the other side's claim": (
        life(CR, "claim by seller"),
        "withdraw_claim",
        B,
        ("not_the_filer",),
    ),
    "edit after a mediator looked": (
        life(DE, CLAIM, "mediator"),
        "edit_claim",
        B,
        ("mediator_looked_at_it",),
    ),
    "withdraw after a mediator looked": (
        life(RF, "claim by seller", "mediator"),
        "withdraw_claim",
        S,
        ("mediator_looked_at_it",),
    ),
    "edit the other side's claim after a mediator looked": (
        life(RQ, CLAIM, "mediator"),
        "edit_claim",
        S,
        ("not_the_filer", "mediator_looked_at_it"),
    ),
    "reject no claim": (
        life(IP),
        "reject_claim",
        M,
        ("no_claim", "mediator_not_assigned"),
    ),
    "convert no claim": (
        life(DE),
        "convert_claim",
        M,
        ("no_claim", "mediator_not_assigned"),
    ),
    "reject a claim before taking it up": (
        life(RQ, CLAIM),
        "reject_claim",
        M,
        ("mediator_not_assigned",),
    ),
    "convert a claim before taking it up": (
        life(CR, CLAIM),
        "convert_claim",
        M,
        ("mediator_not_assigned",),
    ),
    "ask before taking it up": (
        life(DI),
        "ask_parties",
        M,
        ("mediator_not_assigned",),
    ),
    "rule before taking it up": (
        life(DI),
        "rule_dispute",
        M,
        ("mediator_not_assigned",),
    ),
    "rule after somebody else took it up": (
        life(DI).send(c.AssignMediator(mediator_id="max"), O),
        "rule_dispute",
        M,
        ("mediator_not_assigned",),
    ),
    # Disputes
    "dispute before 48 hours, cancellation": (
        life(CR),
        "open_dispute",
        B,
        ("answer_still_due",),
    ),
    "dispute before 48 hours, revision": (
        life(RQ),
        "open_dispute",
        B,
        ("answer_still_due",),
    ),
    "dispute an unanswered cancellation without a claim (C3)": (
        life(CR, "unlocked", process=THROUGH_CLAIMS),
        "open_dispute",
        B,
        ("claim_first",),
    ),
    "dispute an unanswered revision without a claim (C3)": (
        life(RQ, "unlocked", process=THROUGH_CLAIMS),
        "open_dispute",
        B,
        ("claim_first",),
    ),
    "dispute a refused revision without a claim (C3)": (
        life(RF, process=THROUGH_CLAIMS),
        "open_dispute",
        B,
        ("claim_first",),
    ),
    "dispute after too few refusals (C4)": (
        life(RF, process=TWO_REFUSALS),
        "open_dispute",
        B,
        ("too_few_refusals",),
    ),
    "dispute where only sellers may": (
        life(RF, process=SELLER_CALLS),
        "open_dispute",
        B,
        ("may_not_call_mediator",),
    ),
    "dispute a frozen order never accepted": (
        life(FR, "from pending"),
        "open_dispute",
        O,
        ("never_accepted",),
    ),
    "a mediator where one is assigned": (
        life(IP, CLAIM, "mediator"),
        "assign_mediator",
        M,
        ("mediator_assigned",),
    ),
    "a mediator where one is assigned, in a dispute": (
        life(DI, "mediator"),
        "assign_mediator",
        M,
        ("mediator_assigned",),
    ),
    "a mediator for nothing": (life(IP), "assign_mediator", M, ("no_claim",)),
    "a mediator for nothing, by staff": (
        life(RF),
        "assign_mediator",
        O,
        ("no_claim",),
    ),
    "a mediator names somebody else": (
        life(IP, CLAIM),
        c.AssignMediator(mediator_id="max"),
        M,
        ("only_oneself",),
    ),
    "staff names the buyer": (
        life(DI),
        c.AssignMediator(mediator_id="ana"),
        O,
        ("mediator_is_a_party",),
    ),
    "staff names the seller": (
        life(DE, CLAIM),
        c.AssignMediator(mediator_id="luc"),
        O,
        ("mediator_is_a_party",),
    ),
    "ask where the thread is blocked (C7)": (
        life(DI, "mediator", process=BLOCKED),
        "ask_parties",
        M,
        ("conversation_blocked",),
    ),
    "answer where the thread is blocked (C7)": (
        life(DI, "mediator", process=BLOCKED),
        "answer_mediator",
        S,
        ("conversation_blocked",),
    ),
    "split all of it": (
        life(DI, "mediator"),
        split("100.00"),
        M,
        ("amount_above_maximum",),
    ),
    "staff splits more than is held": (
        life(FR),
        split("100.01"),
        O,
        ("amount_above_maximum",),
    ),
    "staff relaunches a frozen order": (
        life(FR),
        relaunch(),
        O,
        ("unfreeze_instead",),
    ),
    "relaunch with a date nobody asked for": (
        life(DI, "mediator"),
        relaunch(end_of(life(DI).now, DAY)),
        M,
        ("due_at_not_taken",),
    ),
    "relaunch without the date that is asked for": (
        life(DI, "mediator", process=WITH_DATE),
        relaunch(),
        M,
        ("due_at_required",),
    ),
    "relaunch with a date of now": (
        life(DI, "mediator", process=WITH_DATE),
        relaunch(life(DI).now),
        M,
        ("due_at_passed",),
    ),
    # Partial refunds
    "propose while the own proposal is open": (
        life(IP, PROPOSAL),
        "propose_partial_refund",
        B,
        ("proposal_open",),
    ),
    "propose while the other's proposal is open": (
        life(PE, PROPOSAL),
        "propose_partial_refund",
        S,
        ("proposal_open",),
    ),
    "propose all of it": (
        life(DE),
        c.ProposePartialRefund(amount=eur("100.00"), reason="all"),
        B,
        ("amount_above_maximum",),
    ),
    "propose where only a mediator divides (C1)": (
        life(
            IP,
            process=P0.with_policies(
                partial_refunds={"partial_refund": "mediator_only"}
            ),
        ),
        "propose_partial_refund",
        S,
        ("mediator_only",),
    ),
    "withdraw no proposal": (
        life(IP),
        "withdraw_partial_refund",
        B,
        ("no_proposal",),
    ),
    "accept no proposal": (life(IP), "accept_partial_refund", B, ("no_proposal",)),
    "refuse no proposal": (life(PE), "refuse_partial_refund", S, ("no_proposal",)),
    "withdraw the other's proposal": (
        life(IP, PROPOSAL),
        "withdraw_partial_refund",
        S,
        ("not_the_proposer",),
    ),
    "accept the own proposal": (
        life(RF, PROPOSAL),
        "accept_partial_refund",
        B,
        ("own_proposal",),
    ),
    "refuse the own proposal": (
        life(RQ, "proposal by seller"),
        "refuse_partial_refund",
        S,
        ("own_proposal",),
    ),
    # Extras
    "buy an add-on that is not sold": (
        at_work(add_ons=False),
        "buy_add_on",
        B,
        ("add_ons_not_sold",),
    ),
    "pay an add-on with money that counts already": (
        life(IP),
        add_on("pi_1", "30.00"),
        B,
        ("payment_counted",),
    ),
    "pay an add-on in part": (
        life(IP),
        add_on("pi_2", "29.99"),
        B,
        ("payment_differs",),
    ),
    "send an offer that is not taken": (
        at_work(offers=False),
        "send_offer",
        S,
        ("offers_not_taken",),
    ),
    "withdraw no offer": (
        life(IP),
        "withdraw_offer",
        S,
        ("no_open_offer", "no_such_offer"),
    ),
    "pay no offer": (life(IP), "pay_offer", B, ("no_open_offer", "no_such_offer")),
    "refuse no offer": (
        life(DE),
        "refuse_offer",
        B,
        ("no_open_offer", "no_such_offer"),
    ),
    "pay an offer twice": (
        life(IP, "offer").send(sample("pay_offer", life(IP, "offer").order), B),
        c.PayOffer(offer_id="offer-1", payment=Payment("card", "pi_2", eur("30.00"))),
        B,
        ("no_open_offer", "offer_closed"),
    ),
    "pay a withdrawn offer": (
        two_offers(),
        c.PayOffer(offer_id="offer-1", payment=Payment("card", "pi_2", eur("30.00"))),
        B,
        ("offer_closed",),
    ),
    "refuse a withdrawn offer": (
        two_offers(),
        c.RefuseOffer(offer_id="offer-1"),
        B,
        ("offer_closed",),
    ),
    "withdraw an offer never sent": (
        two_offers(),
        c.WithdrawOffer(offer_id="offer-9"),
        S,
        ("no_such_offer",),
    ),
    # Reviews
    "a second review": (life(CO, "review"), "leave_review", B, ("review_left",)),
    "a review after one was removed": (
        life(CO, "review", "removed"),
        "leave_review",
        B,
        ("review_left",),
    ),
    "a review after six months": (
        life(CO).until(end_of(life(CO).now, 200 * DAY)),
        "leave_review",
        B,
        ("review_window_over",),
    ),
    "reply to no review": (life(CO), "reply_to_review", S, ("no_review",)),
    "reply twice": (
        life(CO, "review", "reply"),
        "reply_to_review",
        S,
        ("replied",),
    ),
    "reply to a removed review": (
        life(CO, "review", "removed"),
        "reply_to_review",
        S,
        ("review_removed",),
    ),
    "remove no review": (life(CO), "remove_review", O, ("no_review",)),
    "remove a review twice": (
        life(CO, "review", "removed"),
        "remove_review",
        O,
        ("review_removed",),
    ),
    # After the end
    "write eight days after the end": (
        life(CO).wait(8 * DAY),
        "send_message",
        B,
        ("conversation_closed",),
    ),
    "write eight days after a cancellation": (
        life(CA).wait(8 * DAY),
        "send_message",
        S,
        ("conversation_closed",),
    ),
    "leave what closes by itself": (
        life(CO),
        "leave_conversation",
        B,
        ("conversation_closes_by_itself",),
    ),
    "leave twice": (
        life(CO, process=UNTIL_LEFT).send(c.LeaveConversation(), B),
        "leave_conversation",
        S,
        ("conversation_closed",),
    ),
    "write after one side left": (
        life(CO, process=UNTIL_LEFT).send(c.LeaveConversation(), B),
        "send_message",
        S,
        ("conversation_closed",),
    ),
    "a second coupon": (
        life(EX).send(c.RequestCoupon(), B),
        "request_coupon",
        B,
        ("coupon_requested",),
    ),
    "a coupon for what was refunded": (
        life(EX, process=REFUNDED_AT_CAP),
        "request_coupon",
        B,
        ("nothing_kept",),
    ),
}


# The same cells with the condition just met, and where they lead then.
MET: Final[dict[str, tuple[Life, str | Command, Role, State]]] = {
    "seller cancels what is to be looked at (C2)": (
        life(DE, process=vendor_consolidation()),
        "cancel_order",
        S,
        CA,
    ),
    "asking is enough when late (C11)": (
        life(IP, "late", process=LATE_ASKS),
        "request_cancellation",
        B,
        CA,
    ),
    "asking is not enough on time (C11)": (
        life(IP, process=LATE_ASKS),
        "request_cancellation",
        B,
        CR,
    ),
    "buyer cancels a late redelivery": (
        life(IP, "again", "late"),
        "cancel_order",
        B,
        CA,
    ),
    "second refusal": (
        life(CR)
        .send(c.RefuseCancellation(reason="begun"), S)
        .send(c.RequestCancellation(reason="please"), B),
        "refuse_cancellation",
        S,
        DI,
    ),
    "first refusal (C5)": (
        life(CR, process=vendor_consolidation()),
        "refuse_cancellation",
        S,
        DI,
    ),
    "second refusal after a delivery": (
        life(CR, "again")
        .send(c.RefuseCancellation(reason="begun"), S)
        .send(c.RequestCancellation(reason="please"), B),
        "refuse_cancellation",
        S,
        IP,
    ),
    "deliver while asked to cancel": (
        life(
            CR,
            process=P0.with_policies(delivery={"deliver_during_cancel_request": True}),
        ),
        "deliver_order",
        S,
        DE,
    ),
    "more revisions than agreed, soft": (
        life(DE, process=SOFT),
        "request_revision",
        B,
        RQ,
    ),
    "a revision begins at once (C8)": (
        life(
            DE,
            process=P0.with_policies(revision={"revision_needs_seller_answer": False}),
        ),
        "request_revision",
        B,
        IP,
    ),
    "ask again after a refusal (C4)": (
        life(RF, process=TWO_REFUSALS),
        "request_revision",
        B,
        RQ,
    ),
    "dispute after two refusals (C4)": (
        life(RF, process=TWO_REFUSALS)
        .send(c.RequestRevision(reason="still"), B)
        .send(c.RefuseRevision(reason="no"), S),
        "open_dispute",
        B,
        DI,
    ),
    "staff names another mediator": (
        life(DI, "mediator"),
        c.AssignMediator(mediator_id="max"),
        O,
        DI,
    ),
    "rule a full refund": (
        life(DI, "mediator"),
        c.RuleDispute(ruling=FullRefund(), reason="x"),
        M,
        CA,
    ),
    "rule for the seller": (
        life(DI, "mediator"),
        c.RuleDispute(ruling=PaySeller(), reason="x"),
        M,
        CO,
    ),
    "split all but a cent": (life(DI, "mediator"), split("99.99"), M, CO),
    "relaunch": (life(DI, "mediator"), relaunch(), M, IP),
    "relaunch with a date": (
        life(DI, "mediator", process=WITH_DATE),
        relaunch(end_of(life(DI).now, DAY)),
        M,
        IP,
    ),
    "staff closes a frozen order for the seller": (
        life(FR),
        c.RuleDispute(ruling=PaySeller(), reason="x"),
        O,
        CO,
    ),
    "staff splits a frozen order": (life(FR), split("40.00"), O, CO),
    "unfreeze to pending": (life(FR, "from pending"), "unfreeze_order", O, PE),
    "propose all but a cent": (
        life(DE),
        c.ProposePartialRefund(amount=eur("99.99"), reason="all"),
        B,
        DE,
    ),
    "claim after a claim was withdrawn": (
        life(IP, CLAIM).send(c.WithdrawClaim(), B),
        "file_claim",
        S,
        IP,
    ),
    "propose after a refusal": (
        life(IP, PROPOSAL).send(c.RefusePartialRefund(), S),
        "propose_partial_refund",
        S,
        IP,
    ),
    "pay in part": (
        life(AW),
        c.ConfirmPayment(payment=Payment("card", "pi_2", eur("99.99"))),
        P,
        AW,
    ),
    "leave the conversation": (
        life(CO, process=UNTIL_LEFT),
        "leave_conversation",
        S,
        CO,
    ),
}


class TestConditions:
    """
    The last column of the grid.
    """

    @pytest.mark.parametrize("case", UNMET)
    def test_unmet(self, case: str) -> None:
        """
        A condition that is not met refuses with its own code, and changes nothing.
        """
        before, asked, role, expected = UNMET[case]
        command = sample(asked, before.order) if isinstance(asked, str) else asked

        answer = before.ask(command, role)

        assert codes(answer) == expected
        assert isinstance(answer, Refusal)
        if expected == ("payment_counted",):
            # Its money is booked already: nothing goes back a second time.
            assert answer.order == before.order
        else:
            check_refused(before.order, command, answer)

    @pytest.mark.parametrize("case", MET)
    def test_met(self, case: str) -> None:
        """
        A condition that is met leads where the rules say.
        """
        before, asked, role, expected = MET[case]
        command = sample(asked, before.order) if isinstance(asked, str) else asked

        answer = before.ask(command, role)

        assert codes(answer) == ()
        assert isinstance(answer, Decided)
        assert answer.order.state is expected
        check_books(answer.order)

    @pytest.mark.parametrize("state", [DE, RF])
    def test_request_cancellation_after_delivery(self, state: State) -> None:
        """
        C12 opens the request where something was delivered; withdrawn, it goes back.
        """
        process = P0.with_policies(
            cancellation={
                "cancel_request_states": {
                    "in_progress",
                    "delivered",
                    "revision_refused",
                }
            }
        )

        asked = life(state, process=process).send(
            c.RequestCancellation(reason="no need"), B
        )

        assert asked.order.state is CR
        assert asked.send(c.WithdrawCancellation(), B).order.state is state
        assert asked.send(c.AcceptCancellation(), S).order.state is CA

    def test_cancelling_on_time_shows_the_ways_out(self) -> None:
        """
        The buyer may ask, or wait until the order is late (R16, R27).
        """
        before = life(IP)
        assert before.order.accepted_at is not None

        answer = before.ask(c.CancelOrder(), B)

        assert isinstance(answer, Refusal)
        (blocker,) = answer.blockers
        assert blocker.unblocked_by == (Way(command="request_cancellation", by=B),)
        assert blocker.unblocked_at == end_of(before.order.accepted_at, 5 * DAY)

    @pytest.mark.parametrize("state", [CR, RQ])
    def test_disputing_too_early_shows_when(self, state: State) -> None:
        """
        The buyer is told from which instant he may open a dispute (R34, R65).
        """
        before = life(state)

        answer = before.ask(c.OpenDispute(reason="no word"), B)

        assert isinstance(answer, Refusal)
        (blocker,) = answer.blockers
        assert blocker.unblocked_at == end_of(before.now, 2 * DAY)
        assert blocker.unblocked_at == before.order.due_at

    def test_a_second_claim_shows_who_can_clear_it(self) -> None:
        """
        Only the filer can take the first claim back.
        """
        answer = life(IP, "claim by seller").ask(c.FileClaim(reason="me too"), B)

        assert isinstance(answer, Refusal)
        (blocker,) = answer.blockers
        assert blocker.unblocked_by == (Way(command="withdraw_claim", by=S),)

    def test_review_window_to_the_instant(self) -> None:
        """
        A review is in time until six months are over, and not at that instant (R96).
        """
        ended = life(CO)
        ends = end_of(ended.now, P0.policies.reviews.review_window)
        review = c.LeaveReview(rating=4)

        assert codes(ended.until(ends - INSTANT).ask(review, B)) == ()
        for now in (ends, ends + INSTANT):
            answer = ended.until(now).ask(review, B)
            assert isinstance(answer, Refusal)
            (blocker,) = answer.blockers
            assert blocker.code == "review_window_over"
            assert blocker.params == {"ended_at": ends}

    def test_a_soft_limit_marks_the_request(self) -> None:
        """
        A revision over the limit is possible, and marked as such (R58).
        """
        over = delivered(revisions=0).send(c.RequestRevision(reason="bolder"), B)
        within = delivered(revisions=1).send(c.RequestRevision(reason="bolder"), B)

        assert over.order.revisions[-1].over_limit
        assert not within.order.revisions[-1].over_limit

    @pytest.mark.parametrize("state", State)
    def test_a_repeated_confirmation_does_nothing(self, state: State) -> None:
        """
        The provider's word that comes twice counts once, in any state.
        """
        once = life(state).send(sample("confirm_payment", life(state).order), P)

        again = once.ask(sample("confirm_payment", once.order), P)

        assert isinstance(again, Decided)
        assert not again.recorded
        assert not again.effects
        assert again.order == once.order

    @pytest.mark.parametrize("state", [state for state in State if state is not AW])
    def test_money_that_is_not_owed_goes_back(self, state: State) -> None:
        """
        What is confirmed and not owed is booked and refunded whole, in any state.
        """
        before = life(state)

        after = before.send(sample("confirm_payment", before.order), P)

        old, new = before.order.ledger, after.order.ledger
        assert after.order.standing == before.order.standing
        assert (new.held, new.released, new.kept) == (old.held, old.released, old.kept)
        assert new.refunded == old.refunded + eur("100.00")
        assert after.order.payments[-1].returned


class TestOptions:
    """
    What is offered beforehand is what happens.
    """

    @each_life
    def test_agree_with_decide(self, name: str) -> None:
        """
        A command is allowed if and only if its sample executes, and no blocker of
        the option is missing from the refusal.
        """
        found = LIVES[name]

        def agree(role: Role) -> None:
            for option in options(
                found.process, found.order, by=ACTORS[role], now=found.now
            ):
                answer = found.ask(sample(option.name, found.order), role)
                assert option.allowed is isinstance(answer, Decided), option.name
                if isinstance(answer, Refusal):
                    missing = [b for b in option.blockers if b not in answer.blockers]
                    assert not missing, option.name

        hold(agree, ((role,) for role in PEOPLE))

    @pytest.mark.parametrize("role", Role, ids=lambda role: role.text)
    @pytest.mark.parametrize("state", State)
    def test_are_all_a_role_could_ever_send(self, state: State, role: Role) -> None:
        """
        The list is the rows of the grid that name the role, each once, everywhere.
        """
        found = life(state)

        names = [
            option.name
            for option in options(
                found.process, found.order, by=ACTORS[role], now=found.now
            )
        ]

        rows = {name for (name, _), roles in GRID.items() if role in roles}
        assert len(names) == len(set(names))
        assert set(names) == rows

    @each_life
    def test_allowed_only_inside_the_grid(self, name: str) -> None:
        """
        Nothing is ever allowed outside the grid.
        """
        found = LIVES[name]

        def inside(role: Role) -> None:
            allowed = {
                option.name
                for option in options(
                    found.process, found.order, by=ACTORS[role], now=found.now
                )
                if option.allowed
            }

            column = {n for n in NAMES if role in GRID[n, State(found.order.state)]}
            assert allowed <= column

        hold(inside, ((role,) for role in Role))

    def test_ways_out_are_open(self) -> None:
        """
        What a blocker names as its way out can be sent here, by the role it names.
        """
        closed = {
            (str(found.order.state), option.name, blocker.code, way.command)
            for found in LIVES.values()
            for role in PEOPLE
            for option in options(
                found.process, found.order, by=ACTORS[role], now=found.now
            )
            for blocker in option.blockers
            for way in blocker.unblocked_by
            if not any(
                sender in GRID[way.command, State(found.order.state)]
                for sender in way.by
            )
        }

        assert sorted(closed) == []


class TestMachine:
    """
    The machine that moves the orders knows the grid, and nothing else.
    """

    def test_triggers_are_the_table(self) -> None:
        """
        Each cell of the grid has its steps, and there is no other.
        """
        cells = {cell for cell, roles in GRID.items() if roles}
        cells |= {(name, state) for name, state, _ in SUPERSET}
        expected = {cell: set(MOVES.get(cell, (cell[1],))) for cell in cells}

        told = {row.command.name for row in P0.rows if not row.offered}
        steps = steps_of(P0)
        assert {cell: to for cell, to in steps.items() if cell[0] not in told} == (
            expected
        )
        # What became of money is heard in any state, and moves no order; only what a
        # bank holds is still to come.
        heard = {(name, state): {state} for name in told for state in State}
        heard["report_charge", State.PENDING] |= {State.IN_PROGRESS, State.CANCELLED}
        heard["report_charge", State.FROZEN] |= {State.CANCELLED}
        assert {cell: to for cell, to in steps.items() if cell[0] in told} == heard

    @pytest.mark.parametrize("make", [comeup, vendor_consolidation])
    @pytest.mark.parametrize("state", State)
    def test_agrees_with_the_stock_machine(self, make: Any, state: State) -> None:
        """
        On every trigger, ours and the one of `transitions` do the same.
        """
        process: Rules = make()
        lean, stock = process._machine, _machine_of(process, transitions.Machine)
        assert set(lean.events) == set(stock.events)

        for trigger in lean.events:
            results = []
            for machine in (lean, stock):
                cursor = _Cursor(str(state))
                try:
                    machine.events[trigger].trigger(cursor)
                except transitions.MachineError:
                    results.append("none")
                else:
                    results.append(str(cursor.state))
            assert results[0] == results[1], trigger

    @pytest.mark.parametrize("name", NAMES)
    def test_a_step_outside_the_table_is_a_defect(self, name: str) -> None:
        """
        A command takes no step where the table has none.
        """
        known = steps_of(P0)
        for state in State:
            if (name, state) not in known:
                with pytest.raises(ProcessError, match="the table lacks"):
                    P0.step(state, name, "", (State.IN_PROGRESS,))

    def test_nothing_leads_out_of_an_ending(self) -> None:
        """
        An order that is over stays what it is, also for staff (R39).
        """
        for (_, state), to in steps_of(P0).items():
            if state in ENDINGS:
                assert to == {state}

    def test_commands_are_the_rows(self) -> None:
        """
        The process knows the commands of the grid by their names.
        """
        told = {row.command.name for row in P0.rows if not row.offered}
        assert dict(P0.commands) == {
            name: command_class(name) for name in (*NAMES, *sorted(told))
        }


def steps_of(process: Rules) -> dict[tuple[str, State], set[State]]:
    """
    Return where each command leads from each state, as the machine has it.
    """
    found: dict[tuple[str, State], set[State]] = defaultdict(set)
    for trigger, event in process._machine.events.items():
        name = trigger.split("@")[0].split(".")[0]
        for source, moves in event.transitions.items():
            for move in moves:
                found[name, State(source)].add(State(move.dest or source))
    return dict(found)
