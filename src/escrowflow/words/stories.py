"""
What stories and case files are told with: heads, chapters, facts, and where money went.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["MOVES", "STORY"]

# Where money went.
MOVES: Final[Mapping[str, str]] = {
    "escrow": "%(amount)s into escrow",
    "buyer": "%(amount)s to the buyer",
    "seller": "%(amount)s to the seller",
    "platform": "%(amount)s to the platform",
}

# What stories and case files are made of.
STORY: Final[Mapping[str, str]] = {
    "timeline": "What happened",
    "when": "When",
    "who": "Who",
    "what": "What",
    "state": "State",
    "held": "Held",
    "refunded": "Refunded",
    "released": "Released",
    "kept": "Kept",
    "late": "late",
    "erased": "this text was erased",
    # Chapters of a case file
    "case_file": "Case file",
    "service": "What was ordered",
    "brief": "The brief",
    "messages": "Messages sent",
    "deliveries": "Deliveries",
    "requests": "Requests and answers",
    "claims": "Claims",
    "proposals": "Proposals of partial refunds",
    "extras": "Options and offers",
    "dispute": "Dispute and mediator",
    "course": "The course of the order",
    "deadlines": "Deadlines",
    "proof": "Proof",
    # How it went with a deadline
    "met": "met",
    "missed": "missed",
    "lifted": "ended before its time",
    "running": "still runs",
    "stopped": "stands still",
    "early": "%(time)s before the end",
    "after": "%(time)s after the end",
    # Facts
    "as_of": "As of",
    "recorded": "Written down",
    "fact": "%(name)s: %(fact)s",
    "text": "Hash of the text",
    "price": "Price",
    "tip": "Tip",
    "amount": "Amount",
    "delivery_window": "Time to deliver",
    "revisions": "Revisions agreed",
    "files": "Files",
    "reference": "Reference",
    "rating": "Rating",
    "mediator_id": "Mediator",
    "ruling": "Ruling",
    "hash": "Hash",
    "sound": "Nothing was changed: every hash and every text is as it was written",
    "unsound": "Something was changed: event %(seq)s is not as it was written",
}
