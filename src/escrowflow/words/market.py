"""
What a report on a market is told with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["MARKET"]

MARKET: Final[Mapping[str, str]] = {
    "title": "%(process)s: %(orders)s orders, seed %(seed)s",
    "open": "Still open: %(state)s",
    "ended": "%(state)s: %(cause)s",
    # Heads
    "ending": "How it ended",
    "orders": "Orders",
    "share": "Share",
    "refunded": "To buyers",
    "released": "To sellers",
    "kept": "To the platform",
    "held": "Still held",
    # What is said of all orders
    "escrow": (
        "Money was held: half of the time up to %(median)s, nine times of ten up to "
        "%(p90)s, at the most %(longest)s"
    ),
    "disputes": "Orders with a dispute: %(orders)s (%(share)s)",
    "late": "Orders that were late: %(orders)s (%(share)s)",
    "seller_unpaid": (
        "Sellers who delivered usable work in time and got nothing: %(orders)s, "
        "%(amount)s"
    ),
    "paid_for_nothing": (
        "Buyers who got nothing usable and paid for it: %(orders)s, %(amount)s"
    ),
    "platform_keeps": "Orders of which the platform keeps money: %(orders)s, %(amount)s",
    "stuck": "Orders whose money is stuck: %(orders)s, %(amount)s",
    "unused": "Nobody in this market knows how to use: %(names)s",
    # Two reports
    "against": "The same people, under %(first)s and under %(second)s",
    "loss": "What nobody wishes for",
    "spared": "Spared",
    "added": "New",
    "more": "Other ways, each of fewer orders",
    "seller_unpaid_name": "Delivered in time, not paid",
    "paid_for_nothing_name": "Paid for nothing usable",
    "platform_keeps_name": "Kept by the platform",
    "stuck_name": "Stuck",
    # The picture
    "picture": "How the orders of a market end",
    "other": "Anything else",
    "described": "%(process)s: %(ends)s",
}
