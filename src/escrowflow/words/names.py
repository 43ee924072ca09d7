"""
The names of things: states, commands, events, roles, and the forms of a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .clauses import CHAPTERS
from .findings import SEVERITIES
from .market import MARKET
from .notices import SUBJECTS
from .stories import MOVES, STORY

__all__ = [
    "CAUSES",
    "COMMANDS",
    "DAYS",
    "DEADLINES",
    "EVENTS",
    "FIGURES",
    "FORMS",
    "KINDS_OF",
    "LABELS",
    "MOVEMENTS",
    "OFFERS",
    "ROLES",
    "ROLES_OF",
    "RULINGS",
    "STANDINGS",
    "STATES",
]

STATES: Final[Mapping[str, str]] = {
    "awaiting_payment": "Awaiting payment",
    "pending": "Pending",
    "in_progress": "In progress",
    "cancellation_requested": "Cancellation requested",
    "delivered": "Delivered",
    "revision_requested": "Revision requested",
    "revision_refused": "Revision refused",
    "disputed": "In dispute",
    "frozen": "Frozen",
    "completed": "Completed",
    "cancelled": "Cancelled",
    "expired": "Expired",
}

COMMANDS: Final[Mapping[str, str]] = {
    "place_order": "Place the order",
    "confirm_payment": "Confirm the payment",
    "submit_brief": "Submit the brief",
    "accept_order": "Accept the order",
    "refuse_order": "Refuse the order",
    "cancel_order": "Cancel the order",
    "request_cancellation": "Request the cancellation",
    "withdraw_cancellation": "Withdraw the cancellation request",
    "accept_cancellation": "Accept the cancellation",
    "refuse_cancellation": "Refuse the cancellation",
    "excuse_cancellation": "Excuse the cancellation",
    "deliver_order": "Deliver the order",
    "approve_delivery": "Approve the delivery",
    "request_extension": "Ask for more time",
    "withdraw_extension": "Withdraw the request for more time",
    "accept_extension": "Grant more time",
    "refuse_extension": "Refuse more time",
    "request_revision": "Request a revision",
    "accept_revision": "Accept the revision",
    "refuse_revision": "Refuse the revision",
    "file_claim": "File a claim",
    "edit_claim": "Edit the claim",
    "withdraw_claim": "Withdraw the claim",
    "reject_claim": "Reject the claim",
    "convert_claim": "Turn the claim into a dispute",
    "open_dispute": "Open a dispute",
    "assign_mediator": "Assign a mediator",
    "ask_parties": "Question both sides",
    "answer_mediator": "Answer the mediator",
    "rule_dispute": "Rule on the dispute",
    "propose_partial_refund": "Propose a partial refund",
    "withdraw_partial_refund": "Withdraw the partial refund proposal",
    "accept_partial_refund": "Accept the partial refund",
    "refuse_partial_refund": "Refuse the partial refund",
    "buy_add_on": "Buy an option",
    "send_offer": "Send a custom offer",
    "withdraw_offer": "Withdraw the custom offer",
    "refuse_offer": "Refuse the custom offer",
    "pay_offer": "Pay for the custom offer",
    "leave_review": "Leave a review",
    "reply_to_review": "Reply to the review",
    "remove_review": "Remove the review",
    "send_message": "Send a message",
    "leave_conversation": "Leave the conversation",
    "freeze_order": "Freeze the order",
    "unfreeze_order": "Unfreeze the order",
    "extend_deadlines": "Extend the deadlines",
    "request_coupon": "Request a coupon",
    "report_refund": "Report a refund",
    "report_payout": "Report a payout",
    "report_chargeback": "Report a chargeback",
    "report_charge": "Report a charge",
    "redirect_payout": "Pay somebody else in the seller’s place",
    "expire_payment": "Let the payment lapse",
    "remind_acceptance": "Remind the buyer of the brief",
    "expire_acceptance": "Let the acceptance lapse",
    "expire_hold": "Let the bank’s hold lapse",
    "mark_late": "Mark the order as late",
    "unlock_dispute": "Make a dispute possible",
    "expire_answer": "Take silence for a yes",
    "expire_brief": "Let the order lapse without a brief",
    "expire_delivery": "Let the late order lapse",
    "escalate_claim": "Turn the undecided claim into a dispute",
    "remind_verification": "Remind the buyer to verify",
    "complete_silently": "Complete the order without an answer",
    "expire_offer": "Let the custom offer lapse",
    "alert_mediator": "Raise the alarm: no mediator",
    "default_ruling": "Rule as agreed in advance",
    "close_conversation": "Close the conversation",
    "expire_order": "Let the order expire",
}

EVENTS: Final[Mapping[str, str]] = {
    "order_placed": "Order placed",
    "payment_booked": "Payment received in escrow",
    "payment_returned": "Payment returned",
    "order_paid": "Order paid",
    "payment_held": "Payment held by the buyer’s bank",
    "hold_released": "Bank’s hold released",
    "charge_asked": "Order accepted, payment being charged",
    "charge_sent": "Charge on its way",
    "charge_paid": "Payment charged",
    "charge_failed": "Charge failed",
    "brief_submitted": "Brief submitted",
    "acceptance_reminded": "Buyer reminded of the brief",
    "order_accepted": "Order accepted",
    "order_marked_late": "Order late",
    "order_delivered": "Order delivered",
    "extension_requested": "More time asked for",
    "extension_withdrawn": "Request for more time withdrawn",
    "extension_accepted": "More time granted",
    "extension_refused": "More time refused",
    "verification_reminded": "Buyer reminded to verify",
    "delivery_approved": "Delivery approved",
    "revision_requested": "Revision requested",
    "revision_accepted": "Revision accepted",
    "revision_refused": "Revision refused",
    "cancellation_requested": "Cancellation requested",
    "cancellation_withdrawn": "Cancellation request withdrawn",
    "cancellation_accepted": "Cancellation accepted",
    "cancellation_refused": "Cancellation refused",
    "cancellation_excused": "Cancellation excused",
    "dispute_unlocked": "Dispute made possible",
    "answer_expired": "Silence taken for a yes",
    "claim_filed": "Claim filed",
    "claim_edited": "Claim edited",
    "claim_withdrawn": "Claim withdrawn",
    "claim_rejected": "Claim rejected",
    "claim_converted": "Claim turned into a dispute",
    "mediator_assigned": "Mediator assigned",
    "mediator_alerted": "Alarm raised: no mediator",
    "dispute_opened": "Dispute opened",
    "parties_asked": "Both sides questioned",
    "mediator_answered": "Mediator answered",
    "dispute_ruled": "Dispute ruled",
    "order_relaunched": "Order relaunched",
    "partial_refund_proposed": "Partial refund proposed",
    "partial_refund_withdrawn": "Partial refund proposal withdrawn",
    "partial_refund_accepted": "Partial refund accepted",
    "partial_refund_refused": "Partial refund refused",
    "add_on_bought": "Option bought",
    "delivery_extended": "Delivery time extended",
    "offer_sent": "Custom offer sent",
    "offer_withdrawn": "Custom offer withdrawn",
    "offer_refused": "Custom offer refused",
    "offer_expired": "Custom offer expired",
    "offer_paid": "Custom offer paid",
    "review_left": "Review left",
    "review_replied": "Review replied to",
    "review_removed": "Review removed",
    "message_sent": "Message sent",
    "conversation_left": "Conversation left",
    "conversation_closed": "Conversation closed",
    "order_frozen": "Order frozen",
    "order_migrated": "Order moved to other rules",
    "order_unfrozen": "Order unfrozen",
    "deadlines_extended": "Deadlines extended",
    "coupon_requested": "Coupon requested",
    "refund_sent": "Refund on its way",
    "refund_paid": "Refund paid",
    "refund_failed": "Refund failed",
    "payout_sent": "Payout on its way",
    "payout_paid": "Payout paid",
    "payout_failed": "Payout failed",
    "payout_redirected": "Payout goes to somebody else",
    "chargeback_opened": "Payment taken back by the bank",
    "chargeback_closed": "Bank decided on the payment it took back",
    "chargeback_covered": "Payment taken back by the bank made good",
    "order_cancelled": "Order cancelled",
    "order_completed": "Order completed",
    "order_expired": "Order expired",
}

DEADLINES: Final[Mapping[str, str]] = {
    "payment": "Time to pay",
    "acceptance": "Time to accept",
    "hold": "Time for which the bank holds the money",
    "acceptance_reminder": "Reminder of the brief",
    "delivery": "Time to deliver",
    "brief": "Time to submit the brief",
    "delay": "Longest delay",
    "answer": "Time to answer",
    "verification": "Time to verify",
    "verification_reminder": "Reminder to verify",
    "choice": "Time to choose",
    "offer": "Time to take the custom offer",
    "claim": "Time to decide on the claim",
    "mediator": "Time to find a mediator",
    "ruling": "Time to rule",
    "conversation": "Time to talk",
    "lifetime": "Longest life of the order",
}

CAUSES: Final[Mapping[str, str]] = {
    # Why an order ended
    "payment_expired": "The order was not paid in time",
    "refused": "The seller refused the order",
    "buyer_withdrew": "The buyer withdrew before the order was accepted",
    "acceptance_expired": "The order was not accepted in time",
    "hold_expired": "The buyer’s bank holds the money no longer",
    "charge_failed": "The buyer’s payment could not be charged",
    "buyer_cancelled": "The buyer cancelled the order",
    "seller_cancelled": "The seller cancelled the order",
    "by_consent": "Buyer and seller agreed to cancel",
    "late": "The order was late and the buyer cancelled it",
    "brief_missing": "The brief was not submitted in time",
    "not_delivered": "The order was late and nothing was delivered",
    "approved": "The buyer approved the delivery",
    "reviewed": "The buyer left a review",
    "silence": "The buyer did not react to the delivery in time",
    "choice_expired": "The buyer did not react to the refused revision in time",
    "ruled": "The dispute was decided",
    "order_cap": "The order reached its longest life",
    # Why a dispute began
    "claim": "The mediator turned a claim into a dispute",
    "claim_unanswered": "Nobody decided on the claim in time",
    "staff": "The platform’s staff opened the dispute",
    "revision_refused": "The seller refused the revision",
    "revision_unanswered": "The seller did not answer the revision request in time",
    "cancellations_refused": "The seller refused to cancel the order",
    "cancellation_unanswered": (
        "The seller did not answer the cancellation request in time"
    ),
    # Why a review was removed
    "unlawful": "Unlawful content",
    "sensitive": "Sensitive information",
    "buyer_wish": "At the buyer’s wish",
    # Why a payment went back, where no blocker says it
    "not_owed": "Nothing was owed for this payment",
}

ROLES: Final[Mapping[str, str]] = {
    "buyer": "buyer",
    "seller": "seller",
    "mediator": "mediator",
    "operator": "platform staff",
    "provider": "payment provider",
    "system": "system",
}

# What a gateway's report is about; a sentence may begin with it.
MOVEMENTS: Final[Mapping[str, str]] = {
    "payment": "Payment",
    "charge": "Charge",
    "refund": "Refund",
    "pay_out": "Payout",
    "chargeback": "Chargeback",
}

# How money stands, here or at the gateway.
STANDINGS: Final[Mapping[str, str]] = {
    "owed": "owed",
    "sent": "sent",
    "pending": "under way",
    "paid": "paid",
    "failed": "failed",
    "released": "released",
    "covered": "paid by the bank",
    "opened": "taken back by the bank",
    "won": "given back by the bank",
    "lost": "lost to the bank",
}

OFFERS: Final[Mapping[str, str]] = {
    "open": "Open",
    "paid": "Paid",
    "refused": "Refused",
    "withdrawn": "Withdrawn",
    "expired": "Expired",
}

# The figures of a seller.
FIGURES: Final[Mapping[str, str]] = {
    "acceptance_rate": "Acceptance rate",
    "visibility": "Visibility",
    "completion_rate": "Completion rate",
    "on_time_rate": "On-time rate",
    "cancellation_rate": "Cancellation rate",
    "response_time": "Response time",
    "performance_score": "Performance score",
    "sales": "Sales",
    "revenue_generated": "Revenue generated",
    "revenue_collected": "Revenue collected",
    "public_cancellations": "Public cancellations",
}

# What a picture of a process says.
DIAGRAMS: Final[Mapping[str, str]] = {
    "legend": "Legend",
    "back": "back to where it was",
    "usual": "thick: the shortest way",
    "path": "thick: the way of this order",
    "dashed": "dashed: by itself, when the time is over",
    "list": "dotted: from each of these",
}

# What words are put together with.
FORMS: Final[Mapping[str, str]] = {
    "unknown": "This is not possible now: %(code)s.",
    "quote": "“%(name)s”",
    "or": "%(others)s or %(last)s",
    "instant": "%(date)s, %(time)s (%(offset)s)",
    "day": "%(weekday)s %(day)s %(month)s %(year)s",
    "weekdays": "Mon Tue Wed Thu Fri Sat Sun",
    "months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    # The day of the month: French counts it, and only it.
    "first": "1",
    "amount": "%(number)s %(unit)s",
    "point": ".",
    # The roles in a picture, in the order of `ROLES`; no two are alike.
    "letters": "B S M O P Y",
}

# What a form asks for, and what may be chosen in it.
FIELDS: Final[Mapping[str, str]] = {
    "acceptance_window": "Time to accept",
    "add_ons": "Options",
    "again": "Send it again",
    "amount": "Amount",
    "brief_required": "Brief required",
    "cause": "Cause",
    "chargeback_id": "Chargeback",
    "delivery_window": "Delivery time",
    "due_at": "New deadline",
    "extra_window": "Extra delivery time",
    "files": "Files",
    "held_until": "Held until",
    "item": "What it is for",
    "key": "Key",
    "listing_id": "Service",
    "mediator_id": "Mediator",
    "metadata": "Labels",
    "method": "Method of payment",
    "note": "Note",
    "offer_id": "Custom offer",
    "offers": "Custom offers",
    "payee_id": "Payee",
    "payment": "Payment",
    "payment_reference": "Reference of the payment",
    "price": "Price",
    "rating": "Rating",
    "reason": "Reason",
    "reference": "Reference",
    "revisions": "Revisions",
    "ruling": "Ruling",
    "seller_id": "Seller",
    "status": "Status",
    "terms": "Terms",
    "text": "Text",
    "tip": "Tip",
    "title": "Title",
    "to_buyer": "To the buyer",
    "verification_window": "Time to look at the delivery",
    "window": "Length",
}

CHOICES: Final[Mapping[str, str]] = {
    "full_refund": "Give everything back",
    "split": "Divide",
    "relaunch": "Send it back to work",
    "pay_seller": "Pay the seller",
    "unlawful": "Unlawful",
    "sensitive": "Sensitive information",
    "buyer_wish": "At the buyer’s own wish",
    "unlimited": "Unlimited",
    "opened": "Opened",
    "won": "Won",
    "lost": "Lost",
    "sent": "Under way",
    "paid": "Done",
    "failed": "Failed",
    "order": "The order",
}

# What they bring, in the middle of a sentence.
RULINGS: Final[Mapping[str, str]] = {
    "full_refund": "the buyer gets everything back",
    "split": "the money is divided between buyer and seller",
    "relaunch": "the order goes back to work",
    "pay_seller": "the seller is paid",
}

METHODS: Final[Mapping[str, str]] = {
    "card": "a card",
    "paypal": "PayPal",
    "wallet": "the wallet",
}

FEES: Final[Mapping[str, str]] = {
    "buyer_fee": "service fee",
    "seller_fee": "commission",
    "bank_fee": "bank fee",
    "tax": "tax",
}

# Every table, by what it names; the name is the context in the catalogues.
LABELS: Final[Mapping[str, Mapping[str, str]]] = {
    "state": STATES,
    "command": COMMANDS,
    "event": EVENTS,
    "deadline": DEADLINES,
    "cause": CAUSES,
    "role": ROLES,
    "offer": OFFERS,
    "movement": MOVEMENTS,
    "figure": FIGURES,
    "diagram": DIAGRAMS,
    "standing": STANDINGS,
    "move": MOVES,
    "story": STORY,
    "form": FORMS,
    "field": FIELDS,
    "choice": CHOICES,
    "ruling": RULINGS,
    "chapter": CHAPTERS,
    "method": METHODS,
    "fee": FEES,
    "subject": SUBJECTS,
    "severity": SEVERITIES,
    "market": MARKET,
}

# The parts of a sentence that are names themselves, and of what.
KINDS_OF: Final[Mapping[str, str]] = {
    "cause": "cause",
    "command": "command",
    "commands": "command",
    "deadline": "deadline",
    "deadlines": "deadline",
    "default_ruling": "ruling",
    "ruling": "ruling",
    "left": "command",
    "movement": "movement",
    "state": "state",
    "states": "state",
    "status": "offer",
    "ours": "standing",
    "theirs": "standing",
    "waits": "deadline",
}
ROLES_OF: Final = frozenset({"filer", "other", "role"})

# Nobody knows the hour of what is an estimate.
DAYS: Final = frozenset({"refund_by"})
