"""
Partial refunds: one side proposes, the other agrees, the order goes on (R85 to
R90).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..commands import (
    AcceptPartialRefund,
    FileClaim,
    ProposePartialRefund,
    RefusePartialRefund,
    WithdrawPartialRefund,
)
from ..events import (
    PartialRefundAccepted,
    PartialRefundProposed,
    PartialRefundRefused,
    PartialRefundWithdrawn,
)
from ..forms import Narrowing
from ..money import Money
from ..parties import Role
from ..refusals import Blocker
from .case import Case, Step, decides, way
from .settlement import refund_parts

__all__ = ["CHAPTER", "above_maximum", "maximum"]

PARTIES = Role.BUYER | Role.SELLER

_NO_PROPOSAL: Final = Blocker(
    code="no_proposal", unblocked_by=way(ProposePartialRefund, PARTIES)
)


def maximum(case: Case) -> Money:
    """
    Return the most that may go back in part: giving back all is a cancellation
    (R90), and fees may be left out (C20).
    """
    held = case.order.ledger.held
    cap = case.policies.partial_refunds.cap(held=held, fees=case.order.fees)
    if cap < held:
        return cap
    return Money(max(held.minor - 1, 0), held.currency)


def above_maximum(case: Case, amount: Money) -> Iterable[Blocker]:
    """
    Yield what is in the way of giving so much back.
    """
    most = maximum(case)
    if amount > most:
        yield Blocker(code="amount_above_maximum", params={"maximum": most})


@decides(ProposePartialRefund)
def propose_partial_refund(case: Case, command: ProposePartialRefund) -> Iterable[Step]:
    """
    Nothing moves until the other side agrees (R86).
    """
    yield Step(
        events=(PartialRefundProposed(amount=command.amount, reason=command.reason),)
    )


@propose_partial_refund.unless
def _(case: Case) -> Iterable[Blocker]:
    if not case.policies.partial_refunds.proposals:
        # R85: there, the way is a claim, once the order was accepted.
        role = case.by.role
        claim = case.process.row(case.order.state, FileClaim, role)
        yield Blocker(
            code="mediator_only",
            unblocked_by=() if claim is None else way(FileClaim, PARTIES),
        )
    proposal = case.order.partial_refund
    if proposal is not None:
        yield Blocker(
            code="proposal_open",
            unblocked_by=way(WithdrawPartialRefund, proposal.by),
        )
    if not maximum(case):
        yield Blocker(code="nothing_to_refund")


@propose_partial_refund.given
def _(case: Case) -> Iterable[Narrowing]:
    yield "amount", {"maximum": maximum(case)}


@propose_partial_refund.within
def _(case: Case, command: ProposePartialRefund) -> Iterable[Blocker]:
    yield from above_maximum(case, command.amount)


@decides(WithdrawPartialRefund)
def withdraw_partial_refund(
    case: Case, command: WithdrawPartialRefund
) -> Iterable[Step]:
    """
    The proposal is gone (R87).
    """
    yield Step(events=(PartialRefundWithdrawn(),))


@withdraw_partial_refund.unless
def _(case: Case) -> Iterable[Blocker]:
    proposal = case.order.partial_refund
    if proposal is None:
        yield _NO_PROPOSAL
    elif proposal.by is not case.by.role:
        yield Blocker(
            code="not_the_proposer",
            unblocked_by=way(RefusePartialRefund, case.by.role),
        )


@decides(AcceptPartialRefund)
def accept_partial_refund(case: Case, command: AcceptPartialRefund) -> Iterable[Step]:
    """
    It goes back at once, free of charge; the order goes on (R88).
    """
    proposal = case.order.partial_refund
    assert proposal is not None
    yield Step(
        events=(PartialRefundAccepted(to_buyer=refund_parts(case, proposal.amount)),)
    )


@accept_partial_refund.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _not_the_other(case)
    proposal = case.order.partial_refund
    if proposal is not None:
        # Tested again: less may be held than when it was proposed.
        yield from above_maximum(case, proposal.amount)


@decides(RefusePartialRefund)
def refuse_partial_refund(case: Case, command: RefusePartialRefund) -> Iterable[Step]:
    """
    The proposal is closed (R89).
    """
    yield Step(events=(PartialRefundRefused(reason=command.reason),))


@refuse_partial_refund.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _not_the_other(case)


def _not_the_other(case: Case) -> Iterable[Blocker]:
    proposal = case.order.partial_refund
    if proposal is None:
        yield _NO_PROPOSAL
    elif proposal.by is case.by.role:
        yield Blocker(
            code="own_proposal", unblocked_by=way(WithdrawPartialRefund, proposal.by)
        )


CHAPTER = (
    propose_partial_refund,
    withdraw_partial_refund,
    accept_partial_refund,
    refuse_partial_refund,
)
