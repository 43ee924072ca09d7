"""
Recommended: the table of ComeUp, with an end to every wait.  What we would advise.

What the published rules leave open is decided here, so that nobody's money depends on
somebody who never comes back: a request that is not answered counts as agreed to, a
mediator who does not rule leaves a ruling that was agreed before, and no order is held
up for longer than a bank would wait.  `escrowflow check recommended` finds nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs

from .. import commands as c
from ..parties import Role
from ..rules import Policies
from ..states import STAY, DeadlineKind, Process, Row, State, Urgency
from .comeup import DEADLINES as PUBLISHED
from .comeup import ROWS as PUBLISHED_ROWS
from .comeup import RUNNING, comeup, expires, is_ruled_on

__all__ = ["DEADLINES", "ROWS", "recommended"]

B, S, M = Role.BUYER, Role.SELLER, Role.MEDIATOR
O, Y = Role.OPERATOR, Role.SYSTEM  # noqa: E741

IP, CR, DE = State.IN_PROGRESS, State.CANCELLATION_REQUESTED, State.DELIVERED
RQ, RF = State.REVISION_REQUESTED, State.REVISION_REFUSED
DI, FR = State.DISPUTED, State.FROZEN
CA, EX = State.CANCELLED, State.EXPIRED

# What an answer that never comes leads to is decided differently.
_ANSWERS: Final = (c.UnlockDispute, c.OpenDispute)

# fmt: off
ROWS: Final = (
    *(row for row in PUBLISHED_ROWS if row.command not in _ANSWERS),
    # The brief, where the seller began without it
    Row(c.SubmitBrief,            B,      IP,                STAY),
    # A later date, by agreement (R24)
    Row(c.RequestExtension,       S,      IP,                STAY),
    Row(c.WithdrawExtension,      S,      IP,                STAY),
    Row(c.AcceptExtension,        B,      IP,                STAY),
    Row(c.RefuseExtension,        B,      IP,                STAY),
    # Who waits for an answer has one after the window
    Row(c.OpenDispute,            B | O,  RF,                DI),
    Row(c.OpenDispute,            O,      (IP, CR, DE, RQ, FR), DI),
    # The system
    Row(c.ExpireBrief,            Y,      IP,
        {"cancelled": CA, "disputed": DI}, settles=True),
    Row(c.ExpireDelivery,         Y,      IP,
        {"cancelled": CA, "disputed": DI}, settles=True),
    Row(c.ExpireAnswer,           Y,      CR,
        {"cancelled": CA, "disputed": DI}, settles=True),
    Row(c.ExpireAnswer,           Y,      RQ,                IP),
    Row(c.EscalateClaim,          Y,      (DE, RF),          DI),
    Row(c.ExpireOrder,            Y,      FR,
        {"": EX, "cancelled": CA, "disputed": DI}, settles=True,
        chosen_by={"": expires, "cancelled": is_ruled_on, "disputed": is_ruled_on}),
)

_WAITS: Final = (
    #            it stands still while there is nothing to begin with
    DeadlineKind("delivery",              c.MarkLate,           (IP, CR),
                 stops=(DE, RQ, RF, DI, FR), window_of=IP, urgency=Urgency.LATENESS,
                 awaits=S, held_by="brief_owed"),
    DeadlineKind("brief",                 c.ExpireBrief,        IP,
                 stops=(CR, DI, FR), urgency=Urgency.CANCELLATION, awaits=B),
    DeadlineKind("delay",                 c.ExpireDelivery,     IP,
                 stops=(CR, FR), urgency=Urgency.CANCELLATION, awaits=S),
    DeadlineKind("answer",                c.ExpireAnswer,       (CR, RQ),
                 stops=FR, window_of=(CR, RQ), urgency=Urgency.CANCELLATION, awaits=S),
    #            and nobody is paid by silence while somebody has called for help
    DeadlineKind("verification",          c.CompleteSilently,   DE,
                 stops=(CR, FR), window_of=DE, urgency=Urgency.COMPLETION, awaits=B,
                 held_by="claim"),
    DeadlineKind("verification_reminder", c.RemindVerification, DE,
                 stops=(CR, FR), urgency=Urgency.REMINDER, held_by="claim"),
    DeadlineKind("choice",                c.CompleteSilently,   RF,
                 stops=(CR, RQ, FR), window_of=RF, urgency=Urgency.COMPLETION, awaits=B,
                 held_by="claim"),
    DeadlineKind("claim",                 c.EscalateClaim,      (DE, RF),
                 stops=FR, sleeps=(IP, CR, RQ), urgency=Urgency.RULING, awaits=M),
    #            a freeze does not stop it, nor does staff move it
    DeadlineKind("lifetime",              c.ExpireOrder,        (*RUNNING, FR),
                 sleeps=DI, urgency=Urgency.EXPIRY, fixed=True,
                 needs="lifetime.order_cap"),
)
# fmt: on

_OURS: Final = {kind.name: kind for kind in _WAITS}
_THEIRS: Final = {kind.name: kind for kind in PUBLISHED}
DEADLINES: Final = tuple({**_THEIRS, **_OURS}.values())

# The day to pay, the life of a paid order, and the mediator's time: 89 days, less than
# the 90 for which the common providers hold money, or give it back.
LIFETIME: Final = timedelta(days=74)
RULING: Final = timedelta(days=14)


def recommended() -> Process[Policies]:
    """
    Return the process we advise: ComeUp's, without its gaps.
    """
    base = comeup()
    return attrs.evolve(
        base,
        name="recommended",
        rows=ROWS,
        deadlines=DEADLINES,
        gaps=(),
        policies=base.policies.replacing(
            acceptance={"brief_window": timedelta(days=7)},
            delivery={
                # Who may still deliver cannot be made late by a request (R117).
                "deliver_during_cancel_request": True,
                "late_window": timedelta(days=7),
            },
            revision={"revisions": 2, "revision_limit_mode": "hard"},
            dispute={
                "ruling_window": RULING,
                "default_ruling": "by_delivery",
                "claim_window": timedelta(days=7),
            },
            lifetime={"order_cap": LIFETIME, "expiry_beneficiary": "mediator"},
            # A figure falls by what the seller did, and by nothing else.
            statistics={"acceptance_counts_buyer_cancel": False, "fault": "sellers"},
        ),
    )
