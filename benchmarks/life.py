"""
The life that every contestant leads: paid, accepted, delivered, revised,
delivered again, approved.  Six steps after the order exists.
"""

from __future__ import annotations

import itertools
from datetime import timedelta

import escrowflow as ef

__all__ = ["BUYER", "SELLER", "STEPS", "TABLE", "placing"]

BUYER = ef.Buyer("u-1001")
SELLER = ef.Seller("u-2002")

# What happens, and who does it.
STEPS: tuple[tuple[ef.Command, ef.Buyer | ef.Seller], ...] = (
    (ef.AcceptOrder(), SELLER),
    (ef.DeliverOrder(files=("work.zip",)), SELLER),
    (ef.RequestRevision(reason="A little more red"), BUYER),
    (ef.AcceptRevision(), SELLER),
    (ef.DeliverOrder(files=("work-2.zip",)), SELLER),
    (ef.ApproveDelivery(), BUYER),
)

# The same as a bare table: event, from, to.
TABLE = (
    ("accept", "pending", "in_progress"),
    ("deliver", "in_progress", "delivered"),
    ("revise", "delivered", "revision_requested"),
    ("begin", "revision_requested", "in_progress"),
    ("deliver", "in_progress", "delivered"),
    ("approve", "delivered", "completed"),
)

_NUMBERS = itertools.count(1)


def placing() -> ef.PlaceOrder:
    """
    Return the order that is placed, each with a payment of its own.
    """
    return ef.PlaceOrder(
        seller_id=SELLER.id,
        price=ef.Money.of("1250.00", "EUR"),
        payment=ef.Payment(method="card", reference=f"pi-{next(_NUMBERS)}"),
        terms=ef.Terms(delivery_window=timedelta(days=5), revisions=2),
    )
