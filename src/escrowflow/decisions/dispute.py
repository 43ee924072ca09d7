"""
Dispute: claims, mediators and rulings (R69 to R82).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from pendulum import DateTime

from ..clock import WINDOW_DAYS_MAX
from ..commands import (
    AlertMediator,
    AnswerMediator,
    AskParties,
    AssignMediator,
    ConvertClaim,
    DefaultRuling,
    EditClaim,
    EscalateClaim,
    FileClaim,
    OpenDispute,
    RejectClaim,
    RequestRevision,
    RuleDispute,
    UnfreezeOrder,
    WithdrawClaim,
)
from ..errors import ProcessError
from ..events import (
    ClaimConverted,
    ClaimEdited,
    ClaimFiled,
    ClaimRejected,
    ClaimWithdrawn,
    DisputeOpened,
    DisputeRuled,
    Event,
    MediatorAlerted,
    MediatorAnswered,
    MediatorAssigned,
    OrderRelaunched,
    PartiesAsked,
)
from ..forms import Narrowing
from ..inputs import Text
from ..parties import Role
from ..parts import Deadline
from ..refusals import Blocker
from ..terms import FullRefund, Relaunch, Split
from .case import Case, Step, deadline, decides, way
from .charging import holds, not_charged
from .refunds import above_maximum, maximum
from .revision import refusals
from .settlement import ORDER_CAP, cancelled, completed, to_seller

__all__ = ["CHAPTER", "dispute", "returned_unless_claimed"]

PARTIES = Role.BUYER | Role.SELLER

_NO_CLAIM: Final = Blocker(code="no_claim", unblocked_by=way(FileClaim, PARTIES))


def dispute(
    case: Case, *earlier: Event, cause: str, reason: Text, outcome: str = ""
) -> Step:
    """
    Return the step into a dispute: everything stands still (R75).
    """
    rules = case.policies.dispute
    arm: tuple[Deadline, ...] = ()
    if case.order.mediator_id is None:
        # C23: somebody is alerted if nobody takes it up.
        arm = deadline("mediator", case.after(rules.mediator_sla))
    if rules.ruling_window is not None:
        arm += deadline("ruling", case.end(rules.ruling_window))
    return Step(
        events=(*earlier, DisputeOpened(cause=cause, reason=reason)),
        outcome=outcome,
        arm=arm,
    )


def returned_unless_claimed(
    case: Case, *earlier: Event, cause: str, trigger: str, responsible: Role
) -> Step:
    """
    Return the step by which silence gives everything back; into a dispute, if the
    seller has called for help.
    """
    claim = case.order.claim
    if claim is not None and claim.by is Role.SELLER:
        return dispute(
            case, cause="claim_unanswered", reason=claim.reason, outcome="disputed"
        )
    return cancelled(
        case,
        *earlier,
        cause=cause,
        trigger=trigger,
        responsible=responsible,
        outcome="cancelled",
    )


# --- the ways in ------------------------------------------------------------------


def _route(case: Case) -> str:
    order = case.order
    if order.cancellation is not None:
        return "cancellation_unanswered"
    if order.revisions and not order.revisions[-1].answer:
        return "revision_unanswered"
    return "revision_refused"


@decides(OpenDispute)
def open_dispute(case: Case, command: OpenDispute) -> Iterable[Step]:
    """
    By the buyer where the seller left him no other way, or by staff (R63, R73).
    """
    cause = _route(case) if case.by.role is Role.BUYER else "staff"
    yield dispute(case, cause=cause, reason=command.reason)


@open_dispute.unless
def _(case: Case) -> Iterable[Blocker]:
    order, rules = case.order, case.policies.dispute
    if case.by.role is Role.OPERATOR:
        if order.accepted_at is None:
            yield Blocker(code="never_accepted")
        return
    route = _route(case)
    if not rules.may_open(case.by.role):
        yield Blocker(code="may_not_call_mediator")
    if not rules.direct(route):
        yield Blocker(code="claim_first", unblocked_by=way(FileClaim, case.by.role))
    if route == "revision_refused":
        if not case.policies.revision.disputes_after(refusals(order)):
            yield Blocker(
                code="too_few_refusals", unblocked_by=way(RequestRevision, Role.BUYER)
            )
        return
    asked = order.cancellation if order.cancellation else order.revisions[-1]
    if not asked.unlocked:
        due_at = order.due_at
        yield Blocker(
            code="answer_still_due",
            unblocked_at=(
                None if due_at is None else case.policies.time.armed_at(due_at)
            ),
        )


@decides(FileClaim)
def file_claim(case: Case, command: FileClaim) -> Iterable[Step]:
    """
    The order goes on meanwhile (R69).
    """
    window = case.policies.dispute.claim_window
    yield Step(
        events=(ClaimFiled(reason=command.reason),),
        arm=() if window is None else deadline("claim", case.end(window)),
    )


@decides(EscalateClaim)
def escalate_claim(case: Case, command: EscalateClaim) -> Iterable[Step]:
    """
    Nobody decided on it in time: what it is about has to be ruled on.
    """
    claim = case.order.claim
    assert claim is not None
    yield dispute(case, cause="claim_unanswered", reason=claim.reason)


@file_claim.unless
def _(case: Case) -> Iterable[Blocker]:
    claim = case.order.claim
    if claim is not None:
        # The filer may take it back until somebody has looked at it (R70).
        looked_at = case.order.mediator_id is not None
        withdraw = () if looked_at else way(WithdrawClaim, claim.by)
        yield Blocker(code="claim_open", unblocked_by=withdraw)
    if not case.policies.dispute.may_open(case.by.role):
        yield Blocker(code="may_not_call_mediator")


@decides(EditClaim)
def edit_claim(case: Case, command: EditClaim) -> Iterable[Step]:
    """
    As long as no mediator has looked at it (R70).
    """
    yield Step(events=(ClaimEdited(reason=command.reason),))


@decides(WithdrawClaim)
def withdraw_claim(case: Case, command: WithdrawClaim) -> Iterable[Step]:
    """
    As long as no mediator has looked at it (R70).
    """
    yield Step(events=(ClaimWithdrawn(),), drop=("claim",), resume=("claim",))


def _not_the_filers(case: Case) -> Iterable[Blocker]:
    claim = case.order.claim
    if claim is None:
        yield _NO_CLAIM
        return
    if claim.by is not case.by.role:
        yield Blocker(code="not_the_filer", params={"filer": claim.by.text})
    if case.order.mediator_id is not None:
        yield Blocker(code="mediator_looked_at_it")


edit_claim.unless(_not_the_filers)
withdraw_claim.unless(_not_the_filers)


@decides(RejectClaim)
def reject_claim(case: Case, command: RejectClaim) -> Iterable[Step]:
    """
    The order goes on (R71).
    """
    yield Step(
        events=(ClaimRejected(reason=command.reason),),
        drop=("claim",),
        resume=("claim",),
    )


@decides(ConvertClaim)
def convert_claim(case: Case, command: ConvertClaim) -> Iterable[Step]:
    """
    Everything stands still (R72).
    """
    claim = case.order.claim
    assert claim is not None
    yield dispute(case, ClaimConverted(), cause="claim", reason=claim.reason)


def _no_claim(case: Case) -> Iterable[Blocker]:
    if case.order.claim is None:
        yield _NO_CLAIM


reject_claim.unless(_no_claim)
convert_claim.unless(_no_claim)


# --- the mediator -----------------------------------------------------------------


@decides(AssignMediator)
def assign_mediator(case: Case, command: AssignMediator) -> Iterable[Step]:
    """
    He has looked at it from now on (R76).
    """
    yield Step(
        events=(MediatorAssigned(mediator_id=command.mediator_id),),
        drop=("mediator",),
    )


@assign_mediator.unless
def _(case: Case) -> Iterable[Blocker]:
    order = case.order
    open_dispute = order.dispute is not None and order.dispute.ruling is None
    if order.claim is None and not open_dispute:
        yield _NO_CLAIM
    if case.by.role is Role.MEDIATOR and order.mediator_id is not None:
        yield Blocker(
            code="mediator_assigned", unblocked_by=way(AssignMediator, Role.OPERATOR)
        )


@assign_mediator.given
def _(case: Case) -> Iterable[Narrowing]:
    if case.by.role is Role.MEDIATOR:
        yield "mediator_id", {"choices": (case.by.id,)}
    else:
        parties = (case.order.buyer_id, case.order.seller_id)
        yield "mediator_id", {"excludes": parties}


@assign_mediator.within
def _(case: Case, command: AssignMediator) -> Iterable[Blocker]:
    if case.by.role is Role.MEDIATOR and command.mediator_id != case.by.id:
        yield Blocker(code="only_oneself")
    if case.order.role_of(command.mediator_id) & PARTIES:
        yield Blocker(code="mediator_is_a_party")


@decides(AlertMediator)
def alert_mediator(case: Case, command: AlertMediator) -> Iterable[Step]:
    """
    Nobody took it up in time; nothing else changes (C23).
    """
    yield Step(events=(MediatorAlerted(),))


@decides(AskParties)
def ask_parties(case: Case, command: AskParties) -> Iterable[Step]:
    """
    Both sides may be asked (R76).
    """
    yield Step(events=(PartiesAsked(text=command.text),))


@decides(AnswerMediator)
def answer_mediator(case: Case, command: AnswerMediator) -> Iterable[Step]:
    """
    What is said here counts as evidence (R77).
    """
    yield Step(events=(MediatorAnswered(text=command.text, files=command.files),))


def _thread_blocked(case: Case) -> Iterable[Blocker]:
    if case.policies.dispute.dispute_chat == "blocked":
        yield Blocker(code="conversation_blocked")


ask_parties.unless(_thread_blocked)
answer_mediator.unless(_thread_blocked)


# --- the ruling -------------------------------------------------------------------


@decides(RuleDispute)
def rule_dispute(case: Case, command: RuleDispute) -> Iterable[Step]:
    """
    Firm and final; staff closes a frozen order the same way (R78 to R82).
    """
    ruled = DisputeRuled(ruling=command.ruling, reason=command.reason)
    yield _ruled(case, ruled, command.name)


def _too_old(case: Case) -> bool:
    """
    Whether an order reached its longest life, and a mediator has to end it (C24).
    """
    policies, order = case.policies, case.order
    if policies.lifetime.expiry_beneficiary != "mediator":
        return False
    life = order.deadline("lifetime")
    if life is not None:
        return policies.time.over(life.due_at, case.now)
    return order.dispute is not None and order.dispute.cause == ORDER_CAP


def _latest(case: Case) -> DateTime:
    return case.after(timedelta(days=WINDOW_DAYS_MAX))


@rule_dispute.given
def _(case: Case) -> Iterable[Narrowing]:
    choices = ["full_refund"]
    most = maximum(case)
    if not holds(case.order):
        if most:
            choices.append("split")
            yield "ruling.to_buyer", {"maximum": most}
        if case.by.role is not Role.OPERATOR and not _too_old(case):
            choices.append("relaunch")
        choices.append("pay_seller")
    yield "ruling", {"choices": tuple(choices)}
    if case.policies.delivery.relaunch_takes_date:
        soonest = datetime.__add__(case.now, timedelta(microseconds=1))
        limits = {"required": True, "minimum": soonest, "maximum": _latest(case)}
        yield "ruling.due_at", limits
    else:
        yield "ruling.due_at", {"left_out": True}


@rule_dispute.within
def _(case: Case, command: RuleDispute) -> Iterable[Blocker]:
    ruling = command.ruling
    if not isinstance(ruling, FullRefund):
        yield from not_charged(case)
    if isinstance(ruling, Split):
        yield from above_maximum(case, ruling.to_buyer)
    if not isinstance(ruling, Relaunch):
        return
    if case.by.role is Role.OPERATOR:
        yield Blocker(
            code="unfreeze_instead", unblocked_by=way(UnfreezeOrder, Role.OPERATOR)
        )
    elif _too_old(case):
        yield Blocker(code="too_old_to_relaunch")
    if case.policies.delivery.relaunch_takes_date:
        if ruling.due_at is None:
            yield Blocker(code="due_at_required")
        elif ruling.due_at <= case.now:
            yield Blocker(code="due_at_passed")
        elif ruling.due_at > _latest(case):
            # A slip of the year, after which no deadline could be reckoned.
            yield Blocker(code="due_at_too_late", params={"latest": _latest(case)})
    elif ruling.due_at is not None:
        yield Blocker(code="due_at_not_taken")


@decides(DefaultRuling)
def default_ruling(case: Case, command: DefaultRuling) -> Iterable[Step]:
    """
    Nobody ruled in time: what was agreed for that case.
    """
    ruling = case.policies.dispute.by_default(delivered=case.delivered)
    if ruling is None or isinstance(ruling, Relaunch):
        raise ProcessError(
            case.process.name, ["a ruling_window needs a ruling that ends the order"]
        )
    ruled = DisputeRuled(ruling=ruling, reason=Text(), by_default=True)
    yield _ruled(case, ruled, command.name)


def _ruled(case: Case, ruled: DisputeRuled, trigger: str) -> Step:
    ruling = ruled.ruling
    if isinstance(ruling, FullRefund):
        return cancelled(
            case,
            ruled,
            cause="ruled",
            trigger=trigger,
            responsible=Role.SELLER,
            reason=ruled.reason,
            outcome="cancelled",
        )
    if isinstance(ruling, Relaunch):
        return _relaunched(case, ruled, ruling.due_at)
    to_buyer = ruling.to_buyer if isinstance(ruling, Split) else None
    return completed(
        case,
        ruled,
        cause="ruled",
        trigger=trigger,
        settlement=to_seller(case, to_buyer=to_buyer),
        outcome="completed",
    )


def _relaunched(case: Case, ruled: DisputeRuled, due_at: DateTime | None) -> Step:
    """
    Return the step back to work, with a deadline of its own (R80).
    """
    order, policies = case.order, case.policies
    left = case.time_left("delivery")
    if due_at is None:
        due_at = policies.delivery.after_relaunch(
            now=case.now, full=order.full_window, left=left, time=policies.time
        )
    arm = list(deadline("delivery", due_at))
    cap = order.deadline("lifetime")
    grace = policies.lifetime.cap_grace
    if (
        cap is not None
        and grace is not None
        and policies.time.over(cap.due_at, case.now)
    ):
        # The order's longest life ended while nobody could act (C24).
        arm += deadline("lifetime", case.end(grace))
    return Step(
        events=(ruled, OrderRelaunched()),
        outcome="relaunched",
        arm=tuple(arm),
        # Also what stood still already when staff turned a freeze into a dispute.
        resume=tuple({wait.stopped_in for wait in order.standing.deadlines} - {""}),
        late=False,
    )


CHAPTER = (
    open_dispute,
    file_claim,
    edit_claim,
    withdraw_claim,
    reject_claim,
    convert_claim,
    escalate_claim,
    assign_mediator,
    alert_mediator,
    ask_parties,
    answer_mediator,
    rule_dispute,
    default_ruling,
)
