"""
Why something is not possible: for each code its sentences, the fullest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .sentences import Counted, Sentence

__all__ = ["BLOCKERS"]

BLOCKERS: Final[Mapping[str, tuple[Sentence, ...]]] = {
    # The table of the process
    "not_your_command": (
        "%(command)s belongs to another role than yours (%(role)s).",
        "This belongs to another role than yours.",
    ),
    "deadline_passed": (
        "%(command)s comes too late: %(deadline)s ended on %(due_at)s.",
        "This comes too late: the time for it is over.",
    ),
    "order_ended": (
        "The order is over (%(state)s): %(command)s is no longer possible.",
        "The order is over.",
    ),
    "not_in_this_state": (
        "%(command)s is not possible in the state %(state)s, only in %(states)s.",
        "This is not possible in the present state of the order.",
    ),
    # Placing and paying
    "tip_above_cap": (
        "The tip is too high: it can be at most %(maximum)s.",
        "The tip is too high.",
    ),
    "payment_exceeds_price": (
        "The payment is more than is owed for the order: at most %(maximum)s.",
        "The payment is more than is owed for the order.",
    ),
    # Cancellation
    "consent_needed": (
        "Cancelling the order now takes the seller’s agreement, by way of a "
        "cancellation request.",
    ),
    "order_worth_too_much": (
        "One order is worth at most %(maximum)s.",
        "One order cannot be worth that much.",
    ),
    "too_many_extras": (
        "One order has at most %(maximum)s options and offers.",
        "This order has as many options and offers as one order can have.",
    ),
    "no_right_to_cancel": (
        "On this platform, you cannot cancel alone at this stage of the order.",
    ),
    "buyer_must_act_first": (
        "It is the buyer’s turn, to approve the delivery or to request a revision: "
        "the seller cannot cancel now.",
    ),
    "request_cancellation_instead": (
        "A late order is cancelled by a request: request the cancellation, and it "
        "takes effect at once.",
    ),
    "no_cancellation_request_here": (
        "A cancellation cannot be requested at this stage of the order.",
    ),
    "nothing_to_excuse": (
        "No cancellation shows on the seller’s profile: there is nothing to excuse.",
    ),
    # Delivery and revision
    "cancellation_unanswered": (
        "The buyer’s cancellation request must be answered first: the order can be "
        "delivered once it is refused.",
    ),
    "brief_not_owed": (
        "The brief can no longer be changed once the seller has begun: send a message "
        "instead.",
    ),
    "brief_owed": (
        "The brief is missing, and the time to deliver stands still until it is there.",
    ),
    "extension_open": (
        "More time was asked for already: it must be granted, refused or withdrawn "
        "first.",
    ),
    "extension_passed": (
        "The date that was asked for has passed: refuse it, and another one can be "
        "asked for.",
    ),
    "no_extension": ("Nobody asks for more time at the moment.",),
    "no_later_date": (
        "There can be no later date: the order must be over by %(latest)s.",
        "There can be no later date: the order must be over by then.",
    ),
    "due_at_not_later": (
        "The new delivery date must be %(earliest)s or later.",
        "The new delivery date must be later than the one there is.",
    ),
    "review_completes": (
        "This order is not completed by approving the delivery, but by leaving a "
        "review.",
    ),
    "revision_limit_reached": (
        Counted(
            "limit",
            "This order includes %(limit)s revision and none is left (used: "
            "%(used)s): take the delivery as it is, or file a claim.",
            "This order includes %(limit)s revisions and none is left (used: "
            "%(used)s): take the delivery as it is, or file a claim.",
        ),
        "All the revisions of this order are used up: take the delivery as it is, or "
        "file a claim.",
    ),
    "revision_refused": (
        "The seller refused the revision: take the work as it is, or open a dispute.",
    ),
    # Claims and disputes
    "never_accepted": ("The order was never accepted: there is nothing to dispute.",),
    "dispute_ruled": (
        "The dispute was decided on %(ruled_at)s: what comes after that does not "
        "count.",
        "The dispute was decided already: what comes after that does not count.",
    ),
    "may_not_call_mediator": (
        "On this platform, your side of the order cannot call a mediator.",
    ),
    "claim_first": (
        "A dispute begins with a claim here: file one, and a mediator looks at it.",
    ),
    "too_few_refusals": (
        "The seller has not refused often enough for a dispute: request the "
        "revision once more.",
    ),
    "answer_still_due": (
        "The seller still has time to answer: a dispute can be opened once that "
        "time is over.",
    ),
    "claim_open": ("A claim is open already, and an order has only one at a time.",),
    "no_claim": ("No claim is open: the buyer or the seller must file one first.",),
    "not_the_filer": (
        "Only the side that filed the claim (%(filer)s) can edit or withdraw it.",
        "Only the side that filed the claim can edit or withdraw it.",
    ),
    "mediator_looked_at_it": (
        "A mediator has taken up the claim: it can no longer be edited or withdrawn.",
    ),
    "mediator_assigned": (
        "This order has a mediator already: only the platform’s staff can assign "
        "another one.",
    ),
    "mediator_not_assigned": (
        "You do not mediate this order: assign it to yourself first.",
    ),
    "only_oneself": (
        "Mediators can only assign themselves: staff assigns anybody else.",
    ),
    "mediator_is_a_party": (
        "The mediator can be neither the buyer nor the seller of the order.",
    ),
    "conversation_blocked": (
        "On this platform, the conversation is blocked as long as a dispute lasts.",
    ),
    "too_old_to_relaunch": (
        "The order has reached its longest life: the ruling must end it.",
    ),
    "unfreeze_instead": (
        "A frozen order is not relaunched by a ruling: unfreeze it instead.",
    ),
    "due_at_required": (
        "Relaunching the order takes a new delivery date: add it to the ruling.",
    ),
    "due_at_passed": (
        "The new delivery date has passed already: choose one in the future.",
    ),
    "due_at_not_taken": (
        "The delivery date of a relaunched order follows from the rules here: leave "
        "it out of the ruling.",
    ),
    # Partial refunds
    "amount_above_maximum": (
        "This is too much for a partial refund: at most %(maximum)s can go back.",
        "This is too much for a partial refund.",
    ),
    "mediator_only": (
        "On this platform, only a mediator makes a partial refund: file a claim.",
    ),
    "proposal_open": (
        "A partial refund is proposed already: it must be accepted, refused or "
        "withdrawn first.",
    ),
    "nothing_to_refund": ("Nothing is held that could go back in part.",),
    "no_proposal": ("No partial refund is proposed at the moment.",),
    "not_the_proposer": (
        "Only the side that proposed the partial refund can withdraw it; the other "
        "side accepts or refuses it.",
    ),
    "own_proposal": (
        "The other side answers your proposal; you can only withdraw it.",
    ),
    # Options and custom offers
    "payment_counted": (
        "This payment was counted already: an extra is paid with another one.",
    ),
    "payment_differs": (
        "The payment must be exactly %(amount)s, fees included.",
        "The payment must be exactly the price, fees included.",
    ),
    "add_ons_not_sold": ("No options are sold on this order.",),
    "offers_not_taken": ("Custom offers are not possible on this order.",),
    "no_open_offer": ("No custom offer is open: the seller must send one first.",),
    "no_such_offer": (
        "This order has no custom offer %(offer)s.",
        "This order has no such custom offer.",
    ),
    "offer_closed": (
        "The custom offer %(offer)s is no longer open (%(status)s).",
        "This custom offer is no longer open.",
    ),
    # Reviews
    "approval_completes": (
        "Approve the delivery first: the review comes once the order is completed.",
    ),
    "review_left": ("This order has its review already: there is only one.",),
    "review_window_over": (
        "The time for a review is over: it ended on %(ended_at)s.",
        "The time for a review is over.",
    ),
    "replied": (
        "This review has its reply already: there is only one right of reply.",
    ),
    "no_review": ("There is no review yet: the buyer must leave one first.",),
    "review_removed": (
        "The review was removed (%(cause)s).",
        "The review was removed.",
    ),
    # Conversation
    "conversation_closes_by_itself": (
        "There is no need to leave: the conversation closes by itself on "
        "%(closes_at)s.",
        "There is no need to leave: the conversation closes by itself.",
    ),
    "conversation_closed": (
        "The conversation closed on %(closed_at)s.",
        "The conversation is closed.",
    ),
    "due_at_too_late": (
        "The new deadline must not be after %(latest)s.",
        "The new deadline is too far away.",
    ),
    # Other rules
    "same_rules": ("The order is under these rules already.",),
    "state_unknown_there": (
        "The other rules know no state %(state)s: move the order once it has left it.",
        "The other rules do not know the state of this order.",
    ),
    "deadline_unknown_there": (
        "The other rules know no deadline %(deadline)s here: move the order once it is "
        "over.",
        "The other rules do not know a deadline of this order.",
    ),
    "events_unknown_there": (
        "The other rules do not know the event %(event)s: nobody could read the history "
        "of this order any more.",
        "The other rules do not know an event of this order.",
    ),
    "hold_unknown_there": (
        "The buyer’s bank holds money for this order still, and under the other rules "
        "nobody would charge it.",
    ),
    "rule_changed": (
        "Another rule (%(rule)s) could cost the %(role)s something: it takes the "
        "consent of the %(role)s.",
        "Another rule could cost one side something: it takes that side’s consent.",
    ),
    "window_shortened": (
        "The %(role)s would have less time (%(rule)s: %(after)s): it takes the consent "
        "of the %(role)s.",
        "One side would have less time: it takes that side’s consent.",
    ),
    # Texts
    "too_many_texts": (
        "You have written %(maximum)s texts on this order: nobody can write more on "
        "one order.",
        "You have written as much on this order as anybody can.",
    ),
    # Expired orders
    "coupon_requested": (
        "A coupon was requested already: there is only one for an order.",
    ),
    "nothing_kept": (
        "The platform kept nothing of this order: there is nothing to make a coupon "
        "of.",
    ),
    # What a bank holds
    "holds_not_taken": (
        "Here an order is paid at once: a payment that a bank only holds does not "
        "count.",
    ),
    "hold_over": (
        "The bank held this money until %(held_until)s: it must be held anew.",
        "The bank does not hold this money any longer: it must be held anew.",
    ),
    "charge_under_way": (
        "The seller accepted and the payment is being charged: wait until that is "
        "known.",
    ),
    "payment_taken_back": (
        "The buyer’s bank took a payment of this order back: it cannot be accepted as "
        "long as that money is missing.",
    ),
    "hold_not_charged": (
        "The buyer’s bank holds the money still: there is nothing to divide, it can "
        "only go back.",
    ),
    "no_hold": ("No bank ever held money for this order.",),
    "charge_was_paid": (
        "These %(amount)s were charged: what a bank takes back afterwards is a "
        "chargeback.",
        "This was charged: what a bank takes back afterwards is a chargeback.",
    ),
    # What became of the money
    "no_refund": ("Nothing of this order was ever to be refunded.",),
    "no_payout": ("Nothing of this order was ever to be paid out.",),
    "no_payment": ("Nothing was ever paid for this order.",),
    "nothing_owed_by_that_name": (
        "Nothing is owed under the name %(name)s: it may be an earlier attempt.",
        "Nothing is owed under this name: it may be an earlier attempt.",
    ),
    "amount_differs": (
        "The amount reported is %(amount)s, and not %(expected)s.",
        "The amount reported is not the one that is known here.",
    ),
    "refund_covered": (
        "The buyer’s bank paid these %(amount)s: nothing more was to be sent.",
        "The buyer’s bank paid this: nothing more was to be sent.",
    ),
    "reference_differs": (
        "What left under this key is called %(ours)s, and the report is about %(name)s: "
        "look whether the money left twice, and report the one that was booked.",
        "The report is about something else that was sent under this key.",
    ),
    "no_payout_to_redirect": (
        "There is no payout that has surely not left: nothing can be paid to "
        "somebody else.",
    ),
    "payout_may_have_left": (
        "This payout may have left already (%(ours)s): it cannot go to somebody else.",
        "This payout may have left already: it cannot go to somebody else.",
    ),
    "unknown_payment": (
        "This order has no payment %(payment)s.",
        "This order has no such payment.",
    ),
    "chargeback_differs": (
        "The chargeback %(name)s is known with another payment or amount.",
        "This chargeback is known with another payment or amount.",
    ),
    "chargeback_closed": (
        "The bank decided on this chargeback already: %(lost)s are lost.",
        "The bank decided on this chargeback already.",
    ),
    # Wallets
    "balance_too_low": (
        "The balance is %(balance)s, and this takes %(amount)s: take less, or top it "
        "up first.",
        "The balance is too low for this: take less, or top it up first.",
    ),
    "balance_too_high": (
        "The balance would be more than can be kept: at most %(maximum)s.",
        "The balance would be more than can be kept.",
    ),
    "too_many_open": (
        "In this wallet %(open)s like this are under way: wait until some of them are "
        "done.",
        "Too many like this are under way in this wallet: wait until some of them are "
        "done.",
    ),
    "nothing_due": ("Nothing is due for this: it is paid already, or over.",),
    "given_back": (
        "What was taken under the key %(key)s is back in the wallet: pay anew, under "
        "another key.",
        "This is back in the wallet already: pay anew, under another key.",
    ),
    "no_order": (
        "The payment %(payment)s names no order: say which one it was for.",
        "This payment names no order: say which one it was for.",
    ),
    "not_in_the_debit": (
        "Of the %(paid)s of the payment %(payment)s, %(returned)s came back already: "
        "no more than the rest can come back.",
        "More was to come back than is left of this payment.",
    ),
    "unknown_withdrawal": (
        "Nothing was ever sent from this wallet under the key %(key)s.",
        "Nothing was ever sent from such a wallet: name it as its effect does.",
    ),
    "other_key": (
        "Nothing happened under the key %(key)s, it was said, and it was sent under "
        "%(current)s since: a human must look at both.",
        "Nothing happened under this key, it was said, and it was sent under another "
        "one since: a human must look at both.",
    ),
    "was_given_back": (
        "Nothing happened under the key %(key)s, it was said, and %(amount)s went back "
        "into the wallet: if it was paid all the same, a human must look.",
        "Nothing happened under this key, it was said, and the money went back into "
        "the wallet: if it was paid all the same, a human must look.",
    ),
}
