"""
The rules of a process as its buyers and sellers read them: a sentence for each rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .sentences import Counted

__all__ = ["CHAPTERS", "CLAUSES", "LENGTHS"]

# What a length of time is told in.
LENGTHS: Final[Mapping[str, Counted]] = {
    "months": Counted("count", "%(count)s month", "%(count)s months"),
    "days": Counted("count", "%(count)s day", "%(count)s days"),
    "hours": Counted("count", "%(count)s hour", "%(count)s hours"),
    "minutes": Counted("count", "%(count)s minute", "%(count)s minutes"),
    "seconds": Counted("count", "%(count)s second", "%(count)s seconds"),
}

CHAPTERS: Final[Mapping[str, str]] = {
    "payment": "Payment",
    "acceptance": "Acceptance",
    "delivery": "Delivery",
    "cancellation": "Cancellation",
    "verification": "Looking at the work",
    "revision": "Revisions",
    "dispute": "Disputes",
    "refunds": "Partial refunds and refunds",
    "extras": "Options, custom offers and tips",
    "fees": "Fees",
    "end": "After the end",
}

CLAUSES: Final[Mapping[str, str | Counted]] = {
    # Payment
    "held": "What the buyer pays is held until the order is done; before that the "
    "seller cannot touch it.",
    "pay_within": "An order that is placed without a payment is paid within "
    "%(window)s; otherwise it is cancelled.",
    "charged_at_acceptance": "The buyer’s bank holds the money first; it is charged "
    "when the seller accepts.",
    # Acceptance
    "accept_within": "From payment the seller has %(window)s to accept the order, "
    "unless the service says otherwise. Otherwise it is cancelled and everything goes "
    "back.",
    "accept_reminder": "If the brief is still missing, the buyer is reminded "
    "%(window)s before the end of that time.",
    "brief_required": "The order needs a brief from the buyer.",
    "brief_within": "If the seller begins without a brief that is needed, the time to "
    "deliver stands still until it is there. Without it after %(window)s, and with "
    "nothing delivered, the order is cancelled and everything goes back.",
    # Delivery
    "deliver_within": "The delivery time is agreed with the order and begins when the "
    "seller accepts.",
    "late": "An order that is not delivered in time is late, and stays marked as late.",
    "late_until": "If nothing is delivered within %(window)s after that either, the "
    "order is cancelled and everything goes back.",
    "later_date": "The seller may ask for a later date; if the buyer agrees, the work "
    "is due then.",
    # Cancellation
    "buyer_leaves_alone": "The buyer may cancel alone while the order is %(states)s.",
    "seller_leaves_alone": "The seller may cancel alone while the order is %(states)s.",
    "buyer_leaves_late": "Once it is late, the buyer may also cancel alone while the "
    "order is %(states)s.",
    "seller_leaves_late": "Once it is late, the seller may also cancel alone while the "
    "order is %(states)s.",
    "all_back": "When an order is cancelled, everything goes back to the way it was "
    "paid.",
    "buyer_leaves_share": "If the buyer leaves so, the seller keeps %(share)s of the "
    "work.",
    "seller_leaves_share": "If the seller leaves so, he keeps %(share)s of the work.",
    "asks": "The buyer may ask the seller to agree to a cancellation while the order "
    "is %(states)s.",
    "answer_cancellation": "The seller has %(window)s to answer; after that the buyer "
    "may open a dispute.",
    "silence_cancels": "The seller has %(window)s to answer; without a word the order "
    "is cancelled and everything goes back.",
    "refused_cancellations": Counted(
        "count",
        "If the seller refuses %(count)s request, a dispute opens by itself.",
        "If the seller refuses %(count)s requests, a dispute opens by itself.",
    ),
    # Looking at the work
    "verify_within": "From delivery the buyer has %(window)s to look at the work, "
    "unless the service says otherwise. Without a word the order is completed and the "
    "seller is paid.",
    "verify_reminder": "The buyer is reminded %(window)s before the end of that time.",
    "approve_completes": "Approving the delivery completes the order.",
    "review_completes": "Leaving a review completes the order.",
    # Revisions
    "revisions_agreed": "The buyer may ask for changes as often as was agreed; without "
    "an agreement there is no limit.",
    "revisions_of_process": Counted(
        "count",
        "Unless something else was agreed, the buyer may ask for changes %(count)s "
        "time.",
        "Unless something else was agreed, the buyer may ask for changes %(count)s "
        "times.",
    ),
    "beyond_is_refused": "Beyond what was agreed no more changes can be asked for.",
    "beyond_is_marked": "Beyond what was agreed the seller may always turn changes "
    "down.",
    "answer_revision": "The seller has %(window)s to answer a request for changes; "
    "after that the buyer may open a dispute.",
    "silence_revises": "The seller has %(window)s to answer a request for changes; "
    "without a word he has agreed to them.",
    "no_answer_needed": "A request for changes takes effect at once.",
    "choose_within": "If the seller turns changes down, the buyer has %(window)s to "
    "take the work as it is or to open a dispute. Without a word the order is completed "
    "and the seller is paid.",
    "refused_revisions": Counted(
        "count",
        "A dispute is possible after %(count)s refusal.",
        "A dispute is possible after %(count)s refusals.",
    ),
    # Disputes
    "buyer_claims": "The buyer may ask for a mediator by a claim; the order goes on "
    "meanwhile.",
    "seller_claims": "The seller may ask for a mediator by a claim; the order goes on "
    "meanwhile.",
    "claim_holds": "As long as a claim is open, silence pays nobody; if nobody decides "
    "on it within %(window)s, it becomes a dispute.",
    "dispute_stops": "In a dispute everything stands still until the mediator rules.",
    "mediator_within": "If nobody has taken a dispute up after %(window)s, staff is "
    "alerted.",
    "rule_within": "The mediator rules within %(window)s; otherwise %(ruling)s.",
    "rule_within_by_delivery": "The mediator rules within %(window)s; otherwise the "
    "buyer gets everything back if nothing was ever delivered, and the seller is paid if "
    "something was.",
    "no_ruling_limit": "There is no limit on the time a mediator takes.",
    "ruling_final": "A ruling is firm and final.",
    # Refunds
    "proposals": "Until the order is completed either side may propose that a part "
    "goes back; if the other side agrees, it does so at once.",
    "mediator_only": "Only a mediator can give a part back.",
    "refund_at_once": "What goes back to %(method)s shows at once.",
    "refund_days": "What goes back to %(method)s shows after %(first)s to %(last)s "
    "business days.",
    # Extras
    "offer_within": "A custom offer stands for %(window)s.",
    "tip_max": "A tip is at most %(share)s of the price and its options.",
    # Fees
    "no_fees": "No fees are taken.",
    "fee_on_top": "On top of the price: %(fee)s (%(name)s).",
    "fee_of_seller": "Of what the seller earns: %(fee)s.",
    "fees_borne": "If the buyer leaves a paid order, these do not go back: %(names)s.",
    # After the end
    "talk_completed": "After an order is completed both sides may write to each other "
    "for %(window)s.",
    "talk_until_left": "After an order is completed both sides may write to each other "
    "until one of them leaves.",
    "talk_cancelled": "After an order is cancelled both sides may write to each other "
    "for %(window)s.",
    "review_within": "A review can be left within %(window)s after an order is "
    "completed; the seller may reply once.",
    "cap_for_platform": "An order lives for at most %(window)s from its payment; then "
    "it expires, and the platform keeps what is held.",
    "cap_for_buyer": "An order lives for at most %(window)s from its payment; then it "
    "expires, and what is held goes back to the buyer.",
    "cap_for_seller": "An order lives for at most %(window)s from its payment; then it "
    "expires, and the seller is paid.",
    "cap_for_mediator": "An order lives for at most %(window)s from its payment; then a "
    "mediator ends it.",
    "cap_grace": "If a dispute goes on beyond that, there are %(window)s more after the "
    "ruling.",
}
