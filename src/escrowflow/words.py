"""
What people read: a sentence, in English and French, for every code and name.

- The English words stand here and nowhere else.  Those of other languages are in
  `locale/`, made from these by `tools/make_catalogue.py`.
- A sentence is told with the parts that are there: each blocker has its sentences,
  the fullest first, and the last one needs no parts.
- Nothing here raises for want of words.  What the library does not know, a host's
  own command or code, is shown as it is spelled.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, final
from zoneinfo import ZoneInfo

from .errors import InvalidInputError

__all__ = [
    "LOCALES",
    "blocker_text",
    "cause_text",
    "command_text",
    "deadline_text",
    "difference_text",
    "event_text",
    "figure_text",
    "instant_text",
    "role_text",
    "state_text",
]

# The languages there are; the first one is spoken where another is asked for.
LOCALES: Final = ("en", "fr")

_CATALOGUES: Final = Path(__file__).with_name("locale")
_END_OF_LANGUAGE: Final = re.compile(r"[-_.@]")
_PART: Final = re.compile(r"%\((\w+)\)s")


@final
class Counted(NamedTuple):
    """
    A sentence that changes with a number.

    Attributes:
        by: Which part is the number.

        one: The sentence for one.

        many: The sentence for any other number, in English.
    """

    by: str
    one: str
    many: str


Sentence: TypeAlias = str | Counted


# --- asking for words -------------------------------------------------------------


def blocker_text(code: str, params: Mapping[str, Any], locale: str = "en") -> str:
    """
    Return why something is not possible, as one sentence.

    Args:
        code: The code of a blocker.

        params: The parts of the sentence, by name; those that are missing or
            `None` are not spoken of.

        locale: `"fr"`, `"fr_CA"`, `"fr-FR"`; English where it is unknown.
    """
    for sentence in BLOCKERS.get(code, ()):
        if _fits(sentence, params):
            return _told(sentence, params, locale)
    return _form("unknown", locale) % {"code": _spelled(code)}


def difference_text(code: str, params: Mapping[str, Any], locale: str = "en") -> str:
    """
    Return what a report and our books say differently, and the way out.

    Args:
        code: The code of a difference.

        params: The parts of the sentence, by name; those that are missing or
            `None` are not spoken of.

        locale: As for `blocker_text`.
    """
    for sentence in DIFFERENCES.get(code, ()):
        if _fits(sentence, params):
            return _told(sentence, params, locale, "difference")
    return _spelled(code)


def command_text(name: str, locale: str = "en") -> str:
    """
    Return what a button for this command says: `Accept the order`.
    """
    return _label("command", name, locale)


def state_text(name: str, locale: str = "en") -> str:
    """
    Return what a state is called: `In progress`.
    """
    return _label("state", name, locale)


def event_text(name: str, locale: str = "en") -> str:
    """
    Return what happened, in the past tense: `Order accepted`.
    """
    return _label("event", name, locale)


def deadline_text(name: str, locale: str = "en") -> str:
    """
    Return what a wait is called: `Time to accept`.
    """
    return _label("deadline", name, locale)


def cause_text(name: str, locale: str = "en") -> str:
    """
    Return why something came about, without a full stop at the end.

    Args:
        name: Why an order ended, a dispute began, a review was removed or money
            went back: a cause, or the code of a blocker.
    """
    if name in BLOCKERS and name not in CAUSES:
        return blocker_text(name, {}, locale).removesuffix(".")
    return _label("cause", name, locale)


def figure_text(name: str, locale: str = "en") -> str:
    """
    Return what a figure of a seller is called: `Acceptance rate`.
    """
    return _label("figure", name, locale)


def role_text(name: str, locale: str = "en") -> str:
    """
    Return what a role is called: `buyer`; several are given joined by commas.
    """
    roles = [_label("role", role, locale) for role in name.split(", ")]
    return _one_of(roles, locale)


def instant_text(instant: datetime, locale: str = "en", zone: str = "UTC") -> str:
    """
    Return an instant as a wall shows it: `Tue 5 May 2026, 10:00 (+02:00)`.

    Args:
        instant: An aware one.  What it has below the minute is not shown.

        zone: Whose wall: a name of the IANA database.

    Raises:
        InvalidInputError: If the zone is unknown, or its calendar ends before
            the instant.
    """
    try:
        # A plain one: a pendulum value comes out of `ZoneInfo` as it went in.
        local = datetime.fromtimestamp(instant.timestamp(), ZoneInfo(zone))
    except (KeyError, OSError, OverflowError, ValueError) as error:
        # OSError: "Europe" is a directory, and too long a name is no file name.
        raise InvalidInputError(
            "zone",
            f"no time zone {zone!r} that has this instant: give a name of the "
            "IANA database, such as 'Europe/Paris'",
        ) from error
    offset = f"{local:%z}"
    return _form("instant", locale) % {
        "weekday": _form("weekdays", locale).split()[local.weekday()],
        "day": local.day if local.day > 1 else _form("first", locale),
        "month": _form("months", locale).split()[local.month - 1],
        "year": local.year,
        "time": f"{local:%H:%M}",
        "offset": f"{offset[:3]}:{offset[3:5]}" if local.utcoffset() else "UTC",
    }


# --- finding them -----------------------------------------------------------------


def _label(kind: str, name: str, locale: str) -> str:
    text = LABELS[kind].get(name)
    if text is None:
        return _spelled(name)
    return _catalogue(locale).pgettext(kind, text)


def _form(name: str, locale: str) -> str:
    return _label("form", name, locale)


def _spelled(name: str) -> str:
    return name.replace("_", " ")


def parts(sentence: Sentence) -> frozenset[str]:
    """
    Return the names of the parts a sentence is told with; empty if it needs none.
    """
    text = sentence if isinstance(sentence, str) else sentence.many
    return frozenset(_PART.findall(text))


def _fits(sentence: Sentence, params: Mapping[str, Any]) -> bool:
    if isinstance(sentence, Counted) and type(params.get(sentence.by)) is not int:
        return False
    return all(params.get(name) is not None for name in parts(sentence))


def _told(
    sentence: Sentence, params: Mapping[str, Any], locale: str, kind: str = "blocker"
) -> str:
    catalogue = _catalogue(locale)
    if isinstance(sentence, str):
        text = catalogue.pgettext(kind, sentence)
    else:
        text = catalogue.npgettext(
            kind, sentence.one, sentence.many, params[sentence.by]
        )
    return text % {name: _shown(name, params[name], locale) for name in parts(sentence)}


def _shown(name: str, value: Any, locale: str) -> str:
    if isinstance(value, datetime):
        return instant_text(value, locale)
    if isinstance(value, (list, tuple)):
        return _one_of([_shown(name, item, locale) for item in value], locale)
    if name in ROLES_OF:
        return role_text(str(value), locale)
    if name == "movement":
        return _label("movement", str(value), locale)
    kind = KINDS_OF.get(name)
    if kind is None:
        return str(value)
    return _form("quote", locale) % {"name": _label(kind, str(value), locale)}


def _one_of(names: list[str], locale: str) -> str:
    *others, last = names or [""]
    if not others:
        return last
    return _form("or", locale) % {"others": ", ".join(others), "last": last}


def _catalogue(locale: str) -> gettext.NullTranslations:
    language, *_ = _END_OF_LANGUAGE.split(str(locale).lower())
    return _loaded(language if language in LOCALES else LOCALES[0])


@cache
def _loaded(language: str) -> gettext.NullTranslations:
    # There is no catalogue of English: its words are here.
    return gettext.translation("escrowflow", _CATALOGUES, [language], fallback=True)


# --- names ------------------------------------------------------------------------

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
    "answer": "Time to answer",
    "verification": "Time to verify",
    "verification_reminder": "Reminder to verify",
    "choice": "Time to choose",
    "offer": "Time to take the custom offer",
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
    "approved": "The buyer approved the delivery",
    "reviewed": "The buyer left a review",
    "silence": "The buyer did not react to the delivery in time",
    "choice_expired": "The buyer did not react to the refused revision in time",
    "ruled": "The dispute was decided",
    "order_cap": "The order reached its longest life",
    # Why a dispute began
    "claim": "The mediator turned a claim into a dispute",
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

# What words are put together with.
FORMS: Final[Mapping[str, str]] = {
    "unknown": "This is not possible now: %(code)s.",
    "quote": "“%(name)s”",
    "or": "%(others)s or %(last)s",
    "instant": "%(weekday)s %(day)s %(month)s %(year)s, %(time)s (%(offset)s)",
    "weekdays": "Mon Tue Wed Thu Fri Sat Sun",
    "months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    # The day of the month: French counts it, and only it.
    "first": "1",
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
    "standing": STANDINGS,
    "form": FORMS,
}

# The parts of a sentence that are names themselves, and of what.
KINDS_OF: Final[Mapping[str, str]] = {
    "cause": "cause",
    "command": "command",
    "deadline": "deadline",
    "state": "state",
    "states": "state",
    "status": "offer",
    "ours": "standing",
    "theirs": "standing",
}
ROLES_OF: Final = frozenset({"filer", "role"})


# --- why not ----------------------------------------------------------------------

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
        "The payment is more than the order costs: at most %(maximum)s is owed.",
        "The payment is more than the order costs.",
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
    "no_payout_to_redirect": (
        "There is no payout that has surely not left: nothing can be paid to "
        "somebody else.",
    ),
    "payout_may_have_left": (
        "This payout may have left already (%(status)s): it cannot go to somebody "
        "else.",
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
}


# --- what a report says otherwise -------------------------------------------------

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
