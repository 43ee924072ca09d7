"""
What somebody is told: what happened, what money of theirs moves, what runs now.

A message is made of up to three parts, and each is the first sentence of which all
the parts are known.  The reader is addressed: each role has its own sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["MONEY", "NOTICES", "RUNNING", "SUBJECTS"]

_Sentences = Mapping[str, tuple[str, ...]]


def _alike(sentences: tuple[str, ...]) -> _Sentences:
    return {"buyer": sentences, "seller": sentences}


_CANCELLED: Final = (
    "The order is cancelled. Reason: %(cause)s.",
    "The order is cancelled.",
)
_COMPLETED: Final = (
    "The order is completed. Reason: %(cause)s.",
    "The order is completed.",
)
_EXPIRED: Final = ("The order has ended. Reason: %(cause)s.", "The order has ended.")
_FROZEN: Final = (
    "The platform has frozen the order: everything stands still until it has been "
    "looked at.",
)
_RULED: Final = (
    "Nobody ruled on the dispute in time; as was agreed for that case, "
    "%(default_ruling)s.",
    "The dispute is decided: %(ruling)s.",
    "The dispute is decided.",
)
_DISPUTED: Final = (
    "The order is in dispute. Reason: %(cause)s. Everything stands still until it is "
    "decided.",
    "The order is in dispute. Everything stands still until it is decided.",
)

# What happened: by the event, and by the role of who is told.
NOTICES: Final[Mapping[str, _Sentences]] = {
    "order_paid": {
        "seller": (
            "You have a new order: %(price)s, paid and held until both sides are done.",
            "You have a new order: it is paid.",
        )
    },
    "brief_submitted": {"seller": ("The buyer has submitted the brief.",)},
    "message_sent": _alike(("You have a new message.",)),
    "acceptance_reminded": {
        "buyer": ("The seller has not had your brief yet: please submit it.",)
    },
    "order_accepted": {"buyer": ("The seller has accepted your order.",)},
    "charge_failed": {
        "buyer": (
            "Your payment of %(amount)s could not be charged.",
            "Your payment could not be charged.",
        ),
        "operator": (
            "A payment of %(amount)s could not be charged: look at the order.",
            "A payment could not be charged: look at the order.",
        ),
    },
    "hold_released": {
        "buyer": (
            "The %(amount)s that your bank holds is not owed: the bank lets it go.",
            "What your bank holds is not owed: the bank lets it go.",
        )
    },
    "order_marked_late": {
        "buyer": ("The order is late: the seller has not delivered yet.",),
        "seller": ("The order is late: you have not delivered yet.",),
    },
    "order_delivered": {"buyer": ("The seller has delivered your order.",)},
    "verification_reminded": {
        "buyer": ("You have not said yet whether the delivery is right.",)
    },
    "extension_requested": {
        "buyer": (
            "The seller asks for more time, until %(asked_for)s.",
            "The seller asks for more time.",
        )
    },
    "extension_withdrawn": {
        "buyer": ("The seller no longer asks for more time.",),
    },
    "extension_accepted": {"seller": ("The buyer has granted you more time.",)},
    "extension_refused": {"seller": ("The buyer does not grant you more time.",)},
    "revision_requested": {"seller": ("The buyer requests a revision.",)},
    "revision_accepted": {"buyer": ("The seller will make the revision.",)},
    "revision_refused": {"buyer": ("The seller refuses the revision.",)},
    "cancellation_requested": {
        "seller": ("The buyer requests the cancellation of the order.",)
    },
    "cancellation_withdrawn": {
        "seller": ("The buyer has withdrawn the request for cancellation.",)
    },
    "cancellation_refused": {
        "buyer": ("The seller refuses to cancel the order.",),
    },
    "dispute_unlocked": {
        "buyer": (
            "The seller has not answered you in time: a dispute is possible now.",
        ),
        "seller": (
            "You have not answered the buyer in time: a dispute is possible now.",
        ),
    },
    "answer_expired": {
        "buyer": (
            "The seller has not answered you in time: that counts as a yes to your "
            "revision.",
        ),
        "seller": (
            "You have not answered the buyer in time: that counts as a yes to the "
            "revision.",
        ),
    },
    "claim_filed": {
        "buyer": ("The seller has filed a claim: a mediator will look at it.",),
        "seller": ("The buyer has filed a claim: a mediator will look at it.",),
        "operator": ("A claim was filed: it needs a mediator.",),
    },
    "claim_withdrawn": {
        "buyer": ("The seller has withdrawn the claim.",),
        "seller": ("The buyer has withdrawn the claim.",),
    },
    "claim_rejected": _alike(("The claim was looked at and rejected.",)),
    "dispute_opened": {
        **_alike(_DISPUTED),
        "operator": (
            "A dispute was opened. Reason: %(cause)s. It needs a mediator.",
            "A dispute was opened: it needs a mediator.",
        ),
    },
    "mediator_assigned": {
        **_alike(("A mediator looks after your order.",)),
        "mediator": ("You are the mediator of this order.",),
    },
    "mediator_alerted": {
        "operator": ("A dispute still has no mediator: please assign one.",)
    },
    "parties_asked": _alike(("The mediator has a question for you.",)),
    "mediator_answered": {"mediator": ("One side has answered you.",)},
    "dispute_ruled": _alike(_RULED),
    "order_relaunched": _alike(("The order goes back to work.",)),
    "partial_refund_proposed": {
        "buyer": (
            "The seller proposes to give you %(amount)s back.",
            "The seller proposes a partial refund.",
        ),
        "seller": (
            "The buyer proposes that you give %(amount)s back.",
            "The buyer proposes a partial refund.",
        ),
    },
    "partial_refund_withdrawn": {
        "buyer": ("The seller has withdrawn the proposal of a partial refund.",),
        "seller": ("The buyer has withdrawn the proposal of a partial refund.",),
    },
    "partial_refund_accepted": {
        "buyer": ("The seller has accepted the partial refund.",),
        "seller": (
            "The buyer has accepted the partial refund: %(amount)s goes back.",
            "The buyer has accepted the partial refund.",
        ),
    },
    "partial_refund_refused": {
        "buyer": ("The seller has refused the partial refund.",),
        "seller": ("The buyer has refused the partial refund.",),
    },
    "add_on_bought": {
        "seller": (
            "The buyer has bought an option: %(price)s.",
            "The buyer has bought an option.",
        )
    },
    "offer_sent": {
        "buyer": (
            "The seller sends you a custom offer: %(price)s.",
            "The seller sends you a custom offer.",
        )
    },
    "offer_withdrawn": {"buyer": ("The seller has withdrawn the custom offer.",)},
    "offer_refused": {"seller": ("The buyer has refused your custom offer.",)},
    "offer_expired": {"seller": ("Your custom offer was not taken in time.",)},
    "offer_paid": {
        "seller": (
            "Your custom offer is taken: %(price)s, paid and held.",
            "Your custom offer is taken and paid.",
        )
    },
    "order_frozen": _alike(_FROZEN),
    "order_unfrozen": _alike(("The order is no longer frozen: it goes on.",)),
    "order_migrated": _alike(("The order follows other rules from now on.",)),
    "deadlines_extended": _alike(("There is more time: the deadlines were moved.",)),
    "review_left": {"seller": ("The buyer has left a review.",)},
    "review_replied": {"buyer": ("The seller has replied to your review.",)},
    "review_removed": {
        "buyer": (
            "Your review was removed. Reason: %(cause)s.",
            "Your review was removed.",
        )
    },
    "cancellation_excused": {
        "seller": ("The cancellation no longer shows on your profile.",)
    },
    "payment_returned": {
        "buyer": (
            "A payment of yours goes back to you. Reason: %(cause)s.",
            "A payment of yours goes back to you.",
        )
    },
    "order_cancelled": _alike(_CANCELLED),
    "order_completed": _alike(_COMPLETED),
    "order_expired": _alike(_EXPIRED),
    "coupon_requested": {
        "operator": (
            "A buyer requests a coupon of %(amount)s.",
            "A buyer requests a coupon.",
        )
    },
    "refund_failed": {
        "buyer": (
            "Your refund of %(resent)s is delayed: it is sent again.",
            "Your refund of %(amount)s is delayed: the platform looks at it.",
            "Your refund is delayed: the platform looks at it.",
        ),
        "operator": (
            "A refund of %(resent)s did not happen: it is sent again by itself.",
            "A refund of %(amount)s did not happen: look at it.",
            "A refund did not happen: look at it.",
        ),
    },
    "payout_failed": {
        "seller": (
            "Your payout of %(resent)s did not happen: it is sent again.",
            "Your payout of %(amount)s did not happen: the platform looks at it.",
            "Your payout did not happen: the platform looks at it.",
        ),
        "operator": (
            "A payout of %(resent)s did not happen: it is sent again by itself.",
            "A payout of %(amount)s did not happen: look at it.",
            "A payout did not happen: look at it.",
        ),
    },
    "chargeback_opened": {
        "seller": (
            "The buyer’s bank has taken %(amount)s back; the platform can contest it.",
            "The buyer’s bank has taken money back; the platform can contest it.",
        ),
        "operator": (
            "A bank has taken %(amount)s back: contest it in time, or let it be.",
            "A bank has taken money back: contest it in time, or let it be.",
        ),
    },
    "chargeback_closed": dict.fromkeys(
        ("seller", "operator"),
        (
            "The bank has decided, and keeps %(lost)s of the payment.",
            "The bank has decided, and gives %(won)s back.",
            "The bank has decided.",
        ),
    ),
}

# What moves, by whose it is.
MONEY: Final[_Sentences] = {
    "buyer": (
        "%(refund)s goes back to you: you should have it by %(refund_by)s.",
        "%(refund)s goes back to you.",
    ),
    "seller": ("You earn %(payout)s.",),
}

# What runs now: by the deadline, and by the role of who is told.
RUNNING: Final[Mapping[str, _Sentences]] = {
    "acceptance": {
        "buyer": (
            "The seller can accept the order before %(due_at)s; after that your money "
            "goes back.",
        ),
        "seller": (
            "Accept the order or refuse it before %(due_at)s; after that it is cancelled.",
        ),
    },
    "delivery": {
        "buyer": ("The delivery is due on %(due_at)s.",),
        "seller": ("Deliver before %(due_at)s.",),
    },
    "brief": {
        "buyer": (
            "Submit your brief before %(due_at)s: the seller waits for it, and after "
            "that the order is cancelled.",
        ),
        "seller": (
            "The buyer can submit the brief before %(due_at)s; until then your time to "
            "deliver stands still.",
        ),
    },
    "delay": {
        "buyer": (
            "If nothing is delivered before %(due_at)s, the order is cancelled and your "
            "money goes back.",
        ),
        "seller": ("Deliver before %(due_at)s; after that the order is cancelled.",),
    },
    "claim": {
        "buyer": ("If nobody decides on it before %(due_at)s, it becomes a dispute.",),
        "seller": ("If nobody decides on it before %(due_at)s, it becomes a dispute.",),
        "operator": (
            "If nobody decides on it before %(due_at)s, it becomes a dispute.",
        ),
    },
    "answer": {
        "buyer": ("The seller can answer before %(due_at)s.",),
        "seller": ("Answer before %(due_at)s.",),
    },
    "verification": {
        "buyer": (
            "Verify it before %(due_at)s: without a word from you it then counts as "
            "right, and the seller is paid.",
        ),
        "seller": ("The buyer can verify it before %(due_at)s.",),
    },
    "choice": {
        "buyer": (
            "Choose before %(due_at)s how it goes on: without a word from you the "
            "order is then completed, and the seller is paid.",
        ),
        "seller": ("The buyer can choose before %(due_at)s how it goes on.",),
    },
    "offer": {"buyer": ("It stands until %(due_at)s.",)},
    "ruling": {
        "buyer": ("It is decided by %(due_at)s.",),
        "seller": ("It is decided by %(due_at)s.",),
        "mediator": ("Rule on the dispute before %(due_at)s.",),
        "operator": ("It is to be decided before %(due_at)s.",),
    },
}

# What stands above a message, where the name of the event is not for its reader.
SUBJECTS: Final[Mapping[str, str]] = {
    "order_paid": "New order",
    "message_sent": "New message",
    "review_left": "New review",
    "review_replied": "Reply to your review",
    "acceptance_reminded": "Reminder: your brief is awaited",
    "verification_reminded": "Reminder: verify the delivery",
    "mediator_alerted": "A dispute has no mediator",
    "parties_asked": "Question from the mediator",
    "mediator_answered": "Answer to the mediator",
}
