"""
Telling: any value of the library as JSON for a page, its words in one language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from .casefile import CaseFile, Exhibit, Kept
from .decisions import Coming, Option
from .effects import Notify
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


def _parts(value: object, *names: str) -> dict[str, Any]:
    """
    Return what is told of a value under its own name.
    """
    return {name: getattr(value, name) for name in names}


def _order(order: Order, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(order, *_ORDER),
        "state_label": state_text(str(order.state), locale),
    }


def _ledger(ledger: Ledger, locale: str) -> Mapping[str, Any]:
    return _parts(ledger, "held", "refunded", "released", "kept")


def _deadline(wait: Deadline, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(wait, "name", "due_at", "subject", "runs", "left"),
        "label": deadline_text(wait.name, locale),
    }


def _blocker(blocker: Blocker, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(blocker, "code", "params", "unblocked_by", "unblocked_at"),
        "message": blocker.message(locale),
    }


def _way(way: Way, locale: str) -> Mapping[str, Any]:
    return {
        "command": way.command,
        "label": command_text(way.command, locale),
        "by": way.by,
    }


def _option(option: Option, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(option, "name", "allowed", "blockers", "fields", "consequences"),
        "label": option.label(locale),
    }


def _field(field: Field, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(
            field,
            "name",
            "kind",
            "required",
            "minimum",
            "maximum",
            "excludes",
            "one_of",
            "fields",
            "choice",
        ),
        "label": field.label(locale),
        "choices": [
            {"value": choice, "label": choice_text(choice, locale)}
            for choice in field.choices
        ],
    }


def _coming(coming: Coming, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(
            coming, "at", "deadline", "subject", "command", "state", "late", "moved"
        ),
        "label": deadline_text(coming.deadline, locale),
        "command_label": command_text(coming.command, locale),
        "state_label": state_text(coming.state, locale),
    }


def _recorded(recorded: Recorded, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(recorded, "seq", "name", "by", "effective_at", "recorded_at"),
        "label": event_text(recorded.name, locale),
        "data": recorded.event,
    }


def _moment(moment: Moment, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(
            moment,
            "at",
            "recorded_at",
            "by",
            "event",
            "said",
            "cause",
            "state",
            "late",
            "moved",
            "ledger",
        ),
        "label": event_text(moment.event, locale),
        "erased": moment.said.erased,
        "cause_label": cause_text(moment.cause, locale) if moment.cause else "",
        "state_label": state_text(moment.state, locale),
    }


def _exhibit(exhibit: Exhibit, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(
            exhibit,
            "seq",
            "topic",
            "by",
            "effective_at",
            "recorded_at",
            "texts",
            "body",
            "settles",
            "hash",
        ),
        "topic_label": story_text(exhibit.topic, locale),
        "name": exhibit.event.name,
        "label": event_text(exhibit.event.name, locale),
        "data": exhibit.event,
    }


def _kept(kept: Kept, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(
            kept,
            "name",
            "subject",
            "due_at",
            "role",
            "outcome",
            "seq",
            "by",
            "at",
            "margin",
        ),
        "label": deadline_text(kept.name, locale),
        "outcome_label": story_text(kept.outcome, locale),
    }


def _notice(notice: Notify, locale: str) -> Mapping[str, Any]:
    return {
        **_parts(
            notice,
            "order_id",
            "seq",
            "key",
            "kind",
            "to",
            "recipient_id",
            "params",
            "useless_after",
        ),
        "subject": notice.subject(locale),
        "message": notice.message(locale),
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
    Notify: _notice,
    CaseFile: _case_file,
}
