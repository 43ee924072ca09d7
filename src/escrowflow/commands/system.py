"""
The moves of the system: commands too, sent only when a deadline is due.
"""

from __future__ import annotations

from typing import final

import attrs

from .base import Command

__all__ = [
    "AlertMediator",
    "CloseConversation",
    "CompleteSilently",
    "DefaultRuling",
    "EscalateClaim",
    "ExpireAcceptance",
    "ExpireAnswer",
    "ExpireBrief",
    "ExpireDelivery",
    "ExpireHold",
    "ExpireOffer",
    "ExpireOrder",
    "ExpirePayment",
    "MarkLate",
    "RemindAcceptance",
    "RemindVerification",
    "UnlockDispute",
]


@final
@attrs.frozen(kw_only=True)
class ExpirePayment(Command):
    """
    The order was never paid in full.
    """


@final
@attrs.frozen(kw_only=True)
class RemindAcceptance(Command):
    """
    The acceptance window is about to end and there is no brief (R8).
    """


@final
@attrs.frozen(kw_only=True)
class ExpireAcceptance(Command):
    """
    The seller did not accept in time (R13).
    """


@final
@attrs.frozen(kw_only=True)
class ExpireHold(Command):
    """
    The buyer's bank holds a payment no longer, and it was not charged (F37).
    """


@final
@attrs.frozen(kw_only=True)
class MarkLate(Command):
    """
    The delivery deadline passed and nothing was delivered (R26).
    """


@final
@attrs.frozen(kw_only=True)
class UnlockDispute(Command):
    """
    A request stayed unanswered: the buyer may go to a mediator (R34, R65).
    """


@final
@attrs.frozen(kw_only=True)
class ExpireAnswer(Command):
    """
    A request stayed unanswered, and silence counts as a yes: `recommended`.
    """


@final
@attrs.frozen(kw_only=True)
class ExpireBrief(Command):
    """
    The brief that the buyer owes never came: `recommended`.
    """


@final
@attrs.frozen(kw_only=True)
class ExpireDelivery(Command):
    """
    Late, and still nothing was delivered: `recommended`.
    """


@final
@attrs.frozen(kw_only=True)
class EscalateClaim(Command):
    """
    Nobody decided on a claim that keeps an order from its end: `recommended`.
    """


@final
@attrs.frozen(kw_only=True)
class RemindVerification(Command):
    """
    The verification window is about to end (R54).
    """


@final
@attrs.frozen(kw_only=True)
class CompleteSilently(Command):
    """
    The buyer said nothing: the seller is paid (R54, R64).
    """


@final
@attrs.frozen(kw_only=True)
class ExpireOffer(Command):
    """
    An offer was not answered (R19).
    """

    offer_id: str


@final
@attrs.frozen(kw_only=True)
class AlertMediator(Command):
    """
    Nobody mediates yet; changes no state (C23).
    """


@final
@attrs.frozen(kw_only=True)
class DefaultRuling(Command):
    """
    Nobody ruled in time: the ruling that was agreed for that case.
    """


@final
@attrs.frozen(kw_only=True)
class CloseConversation(Command):
    """
    The days to talk after the end are over (R41, R95).
    """


@final
@attrs.frozen(kw_only=True)
class ExpireOrder(Command):
    """
    The order reached its longest life (R99).
    """
