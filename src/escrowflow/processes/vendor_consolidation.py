"""
Vendor Consolidation: the table of ComeUp, read as the sister site's page tells it.

seed004 is the older page: no partial refund by agreement, a seller who may cancel
until the very end, a review that completes the order, and a refused cancellation
that leads straight to a dispute.
"""

from __future__ import annotations

import attrs

from ..rules import Policies
from ..states import Process, State
from .comeup import comeup

__all__ = ["vendor_consolidation"]


def vendor_consolidation() -> Process[Policies]:
    """
    Return the process of Vendor Consolidation (seed004).
    """
    base = comeup()
    seller_cancels = {
        State.PENDING,
        State.IN_PROGRESS,
        State.CANCELLATION_REQUESTED,
        State.DELIVERED,
        State.REVISION_REQUESTED,
        State.REVISION_REFUSED,
    }
    return attrs.evolve(
        base,
        name="vendor_consolidation",
        policies=base.policies.replacing(
            partial_refunds={"partial_refund": "mediator_only"},
            cancellation={
                "seller_cancel_states": seller_cancels,
                "auto_dispute_after_cancel_refusals": 1,
            },
            completion={"completion_triggers": {"review"}},
        ),
    )
