"""
What a report and our books say differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .sentences import Counted, Sentence

__all__ = ["DIFFERENCES", "TOTALS"]

DIFFERENCES: Final[Mapping[str, tuple[Sentence, ...]]] = {
    "missing_at_gateway": (
        "%(movement)s %(name)s of %(amount)s: %(ours)s here, and not on the report. Ask "
        "the provider what became of it, then report what it says.",
        "Something that counts as moved here is not on the report: ask the provider.",
    ),
    "unknown_to_us": (
        "%(movement)s %(name)s of %(amount)s: %(theirs)s on the report, and no order "
        "knows of it. Find out what it was for; if it belongs to an order, report it.",
        "Something on the report is known to no order: find out what it was for.",
    ),
    "amount_differs": (
        "%(movement)s %(name)s: %(amount)s on the report, and %(expected)s here. Ask "
        "the provider which of them was moved.",
        "The report has another amount: ask the provider which was moved.",
    ),
    "currency_differs": (
        "%(movement)s %(name)s: %(amount)s on the report, and %(expected)s here, in "
        "another currency. Ask the provider what was moved.",
        "The report has another currency: ask the provider what was moved.",
    ),
    "part_differs": (
        "%(movement)s %(name)s of %(amount)s: %(part)s on the report, and "
        "%(expected_part)s here. Ask the provider whom it reached.",
        "The report names another payment or payee: ask the provider.",
    ),
    "order_differs": (
        "%(movement)s %(name)s of %(amount)s: order %(other_order)s on the report, and "
        "order %(order)s here. Find out which of them it belongs to.",
        "The report names another order: find out where it belongs.",
    ),
    "status_differs": (
        "%(movement)s %(name)s of %(amount)s: %(theirs)s on the report, and %(ours)s "
        "here. Look at the provider’s page, then report what it says.",
        "The report says otherwise how it stands: look at the provider’s page.",
    ),
    "twice": (
        "%(movement)s %(name)s of %(amount)s: twice on the report, and once here. Ask "
        "the provider whether it was moved twice.",
        "The report has something twice: ask the provider whether it was moved twice.",
    ),
    "in_transit": (
        "%(movement)s %(name)s of %(amount)s: only one side has heard of it so far. "
        "Wait for the next report.",
        "Only one side has heard of it so far: wait for the next report.",
    ),
    "unreadable": (
        "Order %(order)s cannot be read, so nobody knows: verify it.",
        "An order cannot be read, so nobody knows: verify it.",
    ),
}

# How many there were, without a full stop at the end.
TOTALS: Final[Mapping[str, Counted]] = {
    "differing": Counted(
        by="count", one="%(count)s difference", many="%(count)s differences"
    ),
    "in_transit": Counted(
        by="count", one="%(count)s in transit", many="%(count)s in transit"
    ),
}
