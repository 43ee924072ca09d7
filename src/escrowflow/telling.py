"""
Telling: any value of the library as JSON for a page, its words in one language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from .casefile import CaseFile, Exhibit, Kept
from .decisions import Coming, Option
from .events import Recorded
from .forms import Field, plain
from .ledger import Ledger
from .order import Order
from .parts import Deadline
from .refusals import Blocker, Way
from .timeline import Moment
from .words import (
    cause_text,
    choice_text,
    command_text,
    deadline_text,
    event_text,
    state_text,
    story_text,
)

__all__ = ["to_json"]


def to_json(value: Any, *, locale: str = "en", texts: bool = True) -> Any:
    """
    Return any value of the library as plain JSON data, for people and programs.

    Money is `{"amount": "100.00", "currency": "EUR"}`, an instant ISO 8601 in UTC,
    a window ISO 8601, a text itself.  What has a name has a label beside it, and a
    blocker its sentence.  A command comes back through `process.parse`.

    Args:
        locale: The language of the words; English where it is unknown.

        texts: Whether personal texts are told, or only whether there is one.
    """

    def tell(one: Any) -> Mapping[str, Any] | None:
        told = _TOLD.get(type(one))
        return None if told is None else told(one, locale)

    return plain(value, texts=texts, tell=tell)


# --- what is told of each ---------------------------------------------------------

# Everything of an order but how it is kept.
_ORDER: Final = (
    *("id", "process", "version", "state", "late", "ever_late"),
    *("buyer_id", "seller_id", "mediator_id", "listing_id", "metadata"),
    *("price", "tip", "fees", "terms", "amount_due", "payments", "holds", "brief"),
    *("placed_at", "paid_at", "accepted_at", "due_at", "delivered_at", "closed_at"),
    *("deliveries", "revisions", "revisions_used", "ledger", "deadlines"),
    *("conversation", "claim", "dispute", "cancellation", "partial_refund"),
    *("offers", "add_ons", "review", "refunds", "payouts", "chargebacks", "coupon"),
    *("ending", "as_of", "extra"),
)


def _order(order: Order, locale: str) -> Mapping[str, Any]:
    told = {name: getattr(order, name) for name in _ORDER}
    return {**told, "state_label": state_text(str(order.state), locale)}


def _ledger(ledger: Ledger, locale: str) -> Mapping[str, Any]:
    return {
        "held": ledger.held,
        "refunded": ledger.refunded,
        "released": ledger.released,
        "kept": ledger.kept,
    }


def _deadline(wait: Deadline, locale: str) -> Mapping[str, Any]:
    return {
        "name": wait.name,
        "label": deadline_text(wait.name, locale),
        "due_at": wait.due_at,
        "subject": wait.subject,
        "runs": wait.runs,
        "left": wait.left,
    }


def _blocker(blocker: Blocker, locale: str) -> Mapping[str, Any]:
    return {
        "code": blocker.code,
        "message": blocker.message(locale),
        "params": blocker.params,
        "unblocked_by": blocker.unblocked_by,
        "unblocked_at": blocker.unblocked_at,
    }


def _way(way: Way, locale: str) -> Mapping[str, Any]:
    return {
        "command": way.command,
        "label": command_text(way.command, locale),
        "by": way.by,
    }


def _option(option: Option, locale: str) -> Mapping[str, Any]:
    return {
        "name": option.name,
        "label": option.label(locale),
        "allowed": option.allowed,
        "blockers": option.blockers,
        "fields": option.fields,
        "consequences": option.consequences,
    }


def _field(field: Field, locale: str) -> Mapping[str, Any]:
    return {
        "name": field.name,
        "label": field.label(locale),
        "kind": field.kind,
        "required": field.required,
        "choices": [
            {"value": choice, "label": choice_text(choice, locale)}
            for choice in field.choices
        ],
        "minimum": field.minimum,
        "maximum": field.maximum,
        "excludes": field.excludes,
        "one_of": field.one_of,
        "fields": field.fields,
        "choice": field.choice,
    }


def _coming(coming: Coming, locale: str) -> Mapping[str, Any]:
    return {
        "at": coming.at,
        "deadline": coming.deadline,
        "label": deadline_text(coming.deadline, locale),
        "subject": coming.subject,
        "command": coming.command,
        "command_label": command_text(coming.command, locale),
        "state": coming.state,
        "state_label": state_text(coming.state, locale),
        "late": coming.late,
        "moved": coming.moved,
    }


def _recorded(recorded: Recorded, locale: str) -> Mapping[str, Any]:
    return {
        "seq": recorded.seq,
        "name": recorded.name,
        "label": event_text(recorded.name, locale),
        "by": recorded.by,
        "effective_at": recorded.effective_at,
        "recorded_at": recorded.recorded_at,
        "data": recorded.event,
    }


def _moment(moment: Moment, locale: str) -> Mapping[str, Any]:
    return {
        "at": moment.at,
        "recorded_at": moment.recorded_at,
        "by": moment.by,
        "event": moment.event,
        "label": event_text(moment.event, locale),
        "said": moment.said,
        "erased": moment.said.erased,
        "cause": moment.cause,
        "cause_label": cause_text(moment.cause, locale) if moment.cause else "",
        "state": moment.state,
        "state_label": state_text(moment.state, locale),
        "late": moment.late,
        "moved": moment.moved,
        "ledger": moment.ledger,
    }


def _exhibit(exhibit: Exhibit, locale: str) -> Mapping[str, Any]:
    return {
        "seq": exhibit.seq,
        "topic": exhibit.topic,
        "topic_label": story_text(exhibit.topic, locale),
        "name": exhibit.event.name,
        "label": event_text(exhibit.event.name, locale),
        "by": exhibit.by,
        "effective_at": exhibit.effective_at,
        "recorded_at": exhibit.recorded_at,
        "data": exhibit.event,
        "texts": exhibit.texts,
        "body": exhibit.body,
        "settles": exhibit.settles,
        "hash": exhibit.hash,
    }


def _kept(kept: Kept, locale: str) -> Mapping[str, Any]:
    return {
        "name": kept.name,
        "label": deadline_text(kept.name, locale),
        "subject": kept.subject,
        "due_at": kept.due_at,
        "role": kept.role,
        "outcome": kept.outcome,
        "outcome_label": story_text(kept.outcome, locale),
        "seq": kept.seq,
        "by": kept.by,
        "at": kept.at,
        "margin": kept.margin,
    }


def _case_file(case: CaseFile, locale: str) -> Mapping[str, Any]:
    told = {field.name: getattr(case, field.name) for field in attrs.fields(CaseFile)}
    return {
        **told,
        "state_label": state_text(case.state, locale),
        "wrong": case.wrong,
    }


_TOLD: Final[Mapping[type, Callable[[Any, str], Mapping[str, Any]]]] = {
    Order: _order,
    Ledger: _ledger,
    Deadline: _deadline,
    Blocker: _blocker,
    Way: _way,
    Option: _option,
    Field: _field,
    Coming: _coming,
    Recorded: _recorded,
    Moment: _moment,
    Exhibit: _exhibit,
    Kept: _kept,
    CaseFile: _case_file,
}
