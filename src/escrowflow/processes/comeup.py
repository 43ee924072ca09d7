"""
ComeUp: the order of a services marketplace, as its help pages tell it.

The table is the grid of the rules, a row a line, in its order; what only
another policy opens has a row of its own, with the point it belongs to.  Read a row
aloud: *accept_order may be sent by the seller in pending, and leads to
in_progress*.
"""

from __future__ import annotations

from typing import Final

from .. import commands as c
from ..decisions import CHAPTERS
from ..parties import Role
from ..rules import Alone, No, Policies, Situation
from ..states import BACK, STAY, DeadlineKind, Gap, Process, Row, State, Urgency

__all__ = [
    "DEADLINES",
    "ENDINGS",
    "GAPS",
    "ROWS",
    "comeup",
    "expires",
    "is_ruled_on",
]

B, S, M = Role.BUYER, Role.SELLER, Role.MEDIATOR
O, P, Y = Role.OPERATOR, Role.PROVIDER, Role.SYSTEM  # noqa: E741

AW, PE, IP = State.AWAITING_PAYMENT, State.PENDING, State.IN_PROGRESS
CR, DE, RQ = State.CANCELLATION_REQUESTED, State.DELIVERED, State.REVISION_REQUESTED
RF, DI, FR = State.REVISION_REFUSED, State.DISPUTED, State.FROZEN
CO, CA, EX = State.COMPLETED, State.CANCELLED, State.EXPIRED

# From acceptance on; from payment on; where the seller may want more work paid.
ACCEPTED: Final = (IP, CR, DE, RQ, RF)
RUNNING: Final = (PE, *ACCEPTED)
AT_WORK: Final = (IP, RQ, RF)
# Where a bank may hold the money still, and nobody works.
HOLDING: Final = (AW, PE, FR)
UNCHARGED: Final = tuple(state for state in State if state not in (PE, FR))
AFTER_PAYMENT: Final = (*RUNNING, DI, FR, CO, CA, EX)

ENDINGS: Final = (CO, CA, EX)


# Rows that only other policies open; each is refused with its own reason.


def _delivered_is_cancelled(policies: Policies) -> bool:
    where = Situation(state=DE, role=S, late=False, delivered=True)
    return not isinstance(policies.cancellation.cancel(where), No)  # C2


def _asked_when_delivered(policies: Policies) -> bool:
    where = Situation(state=DE, role=B, late=False, delivered=True)
    return not isinstance(policies.cancellation.request(where), No)  # C12


def _asked_when_refused(policies: Policies) -> bool:
    where = Situation(state=RF, role=B, late=False, delivered=True)
    return not isinstance(policies.cancellation.request(where), No)  # C12


def _delivers_when_asked(policies: Policies) -> bool:
    return policies.delivery.deliver_during_cancel_request


def _asks_again(policies: Policies) -> bool:
    return not policies.revision.disputes_after(1)  # C4


# Outcomes that only other policies choose.


def _charged_later(policies: Policies) -> bool:
    return policies.acceptance.charge_at == "acceptance"


def expires(policies: Policies) -> bool:
    """
    Whether an order's longest life ends it by itself.
    """
    return policies.lifetime.expiry_beneficiary != "mediator"  # C24


def is_ruled_on(policies: Policies) -> bool:
    """
    Whether a mediator ends what reached its longest life.
    """
    return policies.lifetime.expiry_beneficiary == "mediator"  # C24


def _asking_is_enough(policies: Policies) -> bool:
    return any(  # C11
        isinstance(
            policies.cancellation.request(
                Situation(state=state, role=B, late=late, delivered=delivered)
            ),
            Alone,
        )
        for state in (IP, DE, RF)
        for late in (False, True)
        for delivered in (False, True)
    )


def _begins_at_once(policies: Policies) -> bool:
    return not policies.revision.revision_needs_seller_answer  # C8


def _answered(policies: Policies) -> bool:
    return policies.revision.revision_needs_seller_answer  # C8


# fmt: off
ROWS: Final = (
    # Paying and the brief
    Row(c.ConfirmPayment,         P | O,  AW,                {"": STAY, "paid": PE}),
    Row(c.ConfirmPayment,         P | O,  AFTER_PAYMENT,     STAY),
    Row(c.SubmitBrief,            B,      (AW, PE),          STAY),
    Row(c.SendMessage,            B | S,  (AW, PE, IP, CR, RQ, RF, CO, CA), STAY),
    # Acceptance
    #                                     the buyer's bank may hold the money still
    Row(c.AcceptOrder,            S,      PE,                {"": IP, "charging": STAY},
        chosen_by={"charging": _charged_later}),
    Row(c.RefuseOrder,            S,      PE,                CA, settles=True),
    # Cancellation: CancellationRights says who may, and when (R16, R27, C2)
    Row(c.CancelOrder,            B,      AW,                CA, settles=True),
    Row(c.CancelOrder,            B | S,  (PE, IP, CR),      CA, settles=True),
    Row(c.CancelOrder,            S,      (RQ, RF),          CA, settles=True),
    Row(c.CancelOrder,            S,      DE,                CA, settles=True,
        opened_by=_delivered_is_cancelled),
    #                                     C11 chooses the outcome
    Row(c.RequestCancellation,    B,      IP,
        {"asked": CR, "cancelled": CA}, settles=True, away=True,
        chosen_by={"cancelled": _asking_is_enough}),
    Row(c.RequestCancellation,    B,      DE,
        {"asked": CR, "cancelled": CA}, settles=True, away=True,
        opened_by=_asked_when_delivered, chosen_by={"cancelled": _asking_is_enough}),
    Row(c.RequestCancellation,    B,      RF,
        {"asked": CR, "cancelled": CA}, settles=True, away=True,
        opened_by=_asked_when_refused, chosen_by={"cancelled": _asking_is_enough}),
    Row(c.WithdrawCancellation,   B,      CR,                BACK),
    Row(c.AcceptCancellation,     S,      CR,                CA, settles=True),
    Row(c.RefuseCancellation,     S,      CR,                {"go_on": BACK, "dispute": DI}),
    # Delivery
    Row(c.DeliverOrder,           S,      IP,                DE),
    Row(c.DeliverOrder,           S,      CR,                DE,
        opened_by=_delivers_when_asked),
    Row(c.ApproveDelivery,        B,      (DE, RF),          CO, settles=True),
    Row(c.LeaveReview,            B,      (DE, RF),          CO, settles=True),
    Row(c.LeaveReview,            B,      CO,                STAY),
    # Revision; C8 chooses the outcome
    Row(c.RequestRevision,        B,      DE,                {"asked": RQ, "begun": IP},
        chosen_by={"asked": _answered, "begun": _begins_at_once}),
    Row(c.RequestRevision,        B,      RF,                {"asked": RQ, "begun": IP},
        opened_by=_asks_again, chosen_by={"asked": _answered, "begun": _begins_at_once}),
    Row(c.AcceptRevision,         S,      RQ,                IP),
    Row(c.RefuseRevision,         S,      RQ,                RF),
    # Claims and disputes
    Row(c.FileClaim,              B | S,  ACCEPTED,          STAY),
    Row(c.EditClaim,              B | S,  ACCEPTED,          STAY),
    Row(c.WithdrawClaim,          B | S,  ACCEPTED,          STAY),
    Row(c.AssignMediator,         M | O,  (*ACCEPTED, DI),   STAY),
    Row(c.RejectClaim,            M,      ACCEPTED,          STAY),
    Row(c.ConvertClaim,           M,      ACCEPTED,          DI),
    Row(c.OpenDispute,            B | O,  (CR, RQ, RF),      DI),
    Row(c.OpenDispute,            O,      (IP, DE, FR),      DI),
    Row(c.AskParties,             M,      DI,                STAY),
    Row(c.AnswerMediator,         B | S,  DI,                STAY),
    Row(c.RuleDispute,            M,      DI,
        {"cancelled": CA, "completed": CO, "relaunched": IP}, settles=True),
    Row(c.RuleDispute,            O,      FR,
        {"cancelled": CA, "completed": CO}, settles=True),
    # Partial refunds
    Row(c.ProposePartialRefund,   B | S,  RUNNING,           STAY),
    Row(c.WithdrawPartialRefund,  B | S,  RUNNING,           STAY),
    Row(c.AcceptPartialRefund,    B | S,  RUNNING,           STAY),
    Row(c.RefusePartialRefund,    B | S,  RUNNING,           STAY),
    # Extras
    Row(c.BuyAddOn,               B,      AT_WORK,           STAY),
    Row(c.SendOffer,              S,      AT_WORK,           STAY),
    Row(c.WithdrawOffer,          S,      ACCEPTED,          STAY),
    Row(c.PayOffer,               B,      ACCEPTED,          STAY),
    Row(c.RefuseOffer,            B,      ACCEPTED,          STAY),
    # Reviews
    Row(c.ReplyToReview,          S,      CO,                STAY),
    Row(c.RemoveReview,           O,      CO,                STAY),
    # Staff
    Row(c.FreezeOrder,            O,      RUNNING,           FR, away=True),
    Row(c.UnfreezeOrder,          O,      FR,                BACK),
    Row(c.ExtendDeadlines,        O,      RUNNING,           STAY),
    Row(c.ExcuseCancellation,     O,      CA,                STAY),
    # After the end
    Row(c.LeaveConversation,      B | S,  CO,                STAY),
    Row(c.RequestCoupon,          B,      EX,                STAY),
    # What became of the money, in any state
    Row(c.ReportCharge,           P | O,  PE,
        {"": STAY, "accepted": IP, "cancelled": CA}, settles=True, offered=False,
        chosen_by={"accepted": _charged_later, "cancelled": _charged_later}),
    Row(c.ReportCharge,           P | O,  FR,
        {"": STAY, "cancelled": CA}, settles=True, offered=False,
        chosen_by={"cancelled": _charged_later}),
    Row(c.ReportCharge,           P | O,  UNCHARGED,         STAY,
        anywhere=True, offered=False),
    Row(c.ReportRefund,           P | O,  tuple(State),      STAY,
        anywhere=True, offered=False),
    Row(c.ReportPayout,           P | O,  tuple(State),      STAY,
        anywhere=True, offered=False),
    Row(c.ReportChargeback,       P | O,  tuple(State),      STAY,
        anywhere=True, offered=False),
    Row(c.RedirectPayout,         O,      tuple(State),      STAY,
        anywhere=True, offered=False),
    # The system, when a deadline is due
    Row(c.ExpirePayment,          Y,      AW,                CA, settles=True),
    Row(c.ExpireHold,             Y,      HOLDING,           CA, settles=True,
        chosen_by={"": _charged_later}),
    Row(c.RemindAcceptance,       Y,      PE,                STAY),
    Row(c.ExpireAcceptance,       Y,      PE,                CA, settles=True),
    Row(c.MarkLate,               Y,      (IP, CR),          STAY),
    Row(c.UnlockDispute,          Y,      (CR, RQ),          STAY),
    Row(c.RemindVerification,     Y,      DE,                STAY),
    Row(c.CompleteSilently,       Y,      (DE, RF),          CO, settles=True),
    Row(c.DefaultRuling,          Y,      DI,
        {"cancelled": CA, "completed": CO}, settles=True),
    Row(c.AlertMediator,          Y,      DI,                STAY),
    Row(c.ExpireOffer,            Y,      ACCEPTED,          STAY),
    Row(c.CloseConversation,      Y,      (CO, CA),          STAY),
    Row(c.ExpireOrder,            Y,      PE,                {"": EX, "cancelled": CA},
        settles=True, chosen_by={"": expires, "cancelled": is_ruled_on}),
    Row(c.ExpireOrder,            Y,      ACCEPTED,          {"": EX, "disputed": DI},
        settles=True, chosen_by={"": expires, "disputed": is_ruled_on}),
)

# A freeze stops every wait that runs; a dispute those that may begin again.
DEADLINES: Final = (
    DeadlineKind("payment",               c.ExpirePayment,      AW,
                 window_of=AW, urgency=Urgency.CANCELLATION, awaits=B),
    DeadlineKind("acceptance",            c.ExpireAcceptance,   PE,
                 stops=FR, window_of=PE, urgency=Urgency.CANCELLATION, awaits=S),
    #            a bank does not wait for our checks
    DeadlineKind("hold",                  c.ExpireHold,         HOLDING,
                 urgency=Urgency.CANCELLATION, fixed=True),
    DeadlineKind("acceptance_reminder",   c.RemindAcceptance,   PE,
                 stops=FR, urgency=Urgency.REMINDER),
    DeadlineKind("delivery",              c.MarkLate,           (IP, CR),
                 stops=(DE, RQ, RF, DI, FR), window_of=IP, urgency=Urgency.LATENESS, awaits=S),
    DeadlineKind("answer",                c.UnlockDispute,      (CR, RQ),
                 stops=FR, window_of=(CR, RQ), urgency=Urgency.UNLOCKING, awaits=S),
    #            CR stops what stood before a request from there (C12), RQ the
    #            choice of a buyer who asks once more (C4)
    DeadlineKind("verification",          c.CompleteSilently,   DE,
                 stops=(CR, FR), window_of=DE, urgency=Urgency.COMPLETION, awaits=B),
    DeadlineKind("verification_reminder", c.RemindVerification, DE,
                 stops=(CR, FR), urgency=Urgency.REMINDER),
    DeadlineKind("choice",                c.CompleteSilently,   RF,
                 stops=(CR, RQ, FR), window_of=RF, urgency=Urgency.COMPLETION, awaits=B),
    DeadlineKind("offer",                 c.ExpireOffer,        ACCEPTED,
                 stops=(DI, FR), urgency=Urgency.SIDE_OBJECT, awaits=B),
    DeadlineKind("mediator",              c.AlertMediator,      DI,
                 urgency=Urgency.REMINDER, awaits=M),
    DeadlineKind("ruling",                c.DefaultRuling,      DI,
                 window_of=DI, urgency=Urgency.RULING, awaits=M, needs="dispute.ruling_window"),
    DeadlineKind("conversation",          c.CloseConversation,  (CO, CA),
                 urgency=Urgency.SIDE_OBJECT),
    DeadlineKind("lifetime",              c.ExpireOrder,        RUNNING,
                 stops=FR, sleeps=DI, urgency=Urgency.EXPIRY,
                 needs="lifetime.order_cap"),
)
# fmt: on

# What the published rules leave open; `order_cap` closes all but the last two
# states.
GAPS: Final = (
    Gap("no_timed_exit", IP, "a late order waits for the buyer to cancel (R27)"),
    Gap("no_timed_exit", CR, "an unanswered request only unlocks a dispute (R34)"),
    Gap("no_timed_exit", RQ, "an unanswered request only unlocks a dispute (R65)"),
    Gap("no_timed_exit", DI, "no limit on a mediator's decision is published (R75)"),
    Gap("no_timed_exit", FR, "staff takes the time it needs for its checks (R84)"),
    Gap("unbounded_rounds", RQ, "revisions have no limit unless agreed (R58)"),
    Gap("claim_dies", "claim", "an open claim ends with the order (R69)"),
    Gap(
        "money_to_platform",
        EX,
        "with order_cap, what is held goes to the platform (R99)",
    ),
)


def comeup() -> Process[Policies]:
    """
    Return the process of ComeUp, with every default of the rules.
    """
    return Process(
        name="comeup",
        states=State,
        initial=AW,
        endings=ENDINGS,
        rows=ROWS,
        deadlines=DEADLINES,
        decisions=CHAPTERS,
        policies=Policies(),
        gaps=GAPS,
    )
