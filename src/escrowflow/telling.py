"""
Telling: any value of the library as JSON for a page, its words in one language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import attrs

from .casefile import CaseFile, Exhibit, Kept
from .decisions import Coming, Consequences, Option
from .decisions.moves import Move
from .effects import Notify
from .events import Recorded
from .forms import Field, plain
from .ledger import Ledger
from .order import Dispute, Order
from .parts import Deadline, Ending
from .refusals import Blocker, Way
from .timeline import Moment, actor_text
from .words import (
    cause_text,
    choice_text,
    command_text,
    deadline_text,
    event_text,
    figure_text,
    move_text,
    role_text,
    state_text,
    story_text,
)

__all__ = ["to_json"]


def to_json(
    value: Any, *, locale: str = "en", zone: str = "UTC", texts: bool = True
) -> Any:
    """
    Return any value of the library as plain JSON data, for people and programs.

    Money is `{"amount": "100.00", "currency": "EUR"}`, an instant ISO 8601 in UTC,
    a window ISO 8601, a text itself.  What has a name has a label beside it, and a
    blocker its sentence.  A command comes back through `process.parse`.

    Args:
        locale: The language of the words; English where it is unknown.

        zone: Whose wall clock the sentences show: a name of the IANA database.

        texts: Whether personal texts are told, or only whether there is one.

    Raises:
        InvalidInputError: If it is no value of the library, or the zone is unknown.
    """
    words = _Words(locale, zone)

    def tell(one: Any) -> Mapping[str, Any] | None:
        told = _TOLD.get(type(one))
        return None if told is None else told(one, words)

    return plain(value, texts=texts, tell=tell)


# --- what is told of each ---------------------------------------------------------


class _Words(NamedTuple):
    """
    In which language, and on whose wall clock.
    """

    locale: str
    zone: str


# Everything of an order but how it is kept.
_ORDER: Final = (
    *("id", "process", "version", "state", "late", "ever_late"),
    *("buyer_id", "seller_id", "mediator_id", "listing_id", "metadata"),
    *("price", "tip", "fees", "terms", "amount_due", "payments", "holds", "brief"),
    *("placed_at", "paid_at", "accepted_at", "due_at", "delivered_at", "closed_at"),
    *("deliveries", "revisions", "revisions_used", "ledger", "deadlines"),
    *("conversation", "claim", "dispute", "cancellation", "partial_refund"),
    *(
        "extension",
        "offers",
        "add_ons",
        "review",
        "refunds",
        "payouts",
        "chargebacks",
        "coupon",
    ),
    *("ending", "as_of", "extra"),
)


def _parts(value: object, *names: str) -> dict[str, Any]:
    """
    Return what is told of a value under its own name.
    """
    return {name: getattr(value, name) for name in names}


def _order(order: Order, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(order, *_ORDER),
        "state_label": state_text(str(order.state), words.locale),
    }


def _ledger(ledger: Ledger, words: _Words) -> Mapping[str, Any]:
    return _parts(ledger, "held", "refunded", "released", "kept")


def _deadline(wait: Deadline, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(wait, "name", "due_at", "subject", "runs", "left"),
        "label": deadline_text(wait.name, words.locale),
    }


def _blocker(blocker: Blocker, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(blocker, "code", "params", "unblocked_by", "unblocked_at"),
        "message": blocker.message(words.locale, words.zone),
    }


def _consequences(told: Consequences, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(told, "state", "moved", "deadlines", "statistics", "by_choice"),
        "state_label": state_text(told.state, words.locale) if told.state else "",
        "statistics_labels": [
            figure_text(name, words.locale) for name in told.statistics
        ],
    }


def _move(move: Move, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(move, "to", "least", "most", "shows"),
        "label": move_text(move.to, move.most, words.locale),
    }


def _ending(ending: Ending, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(ending, "cause", "trigger", "responsible", "public", "reason"),
        "statistics": ending.statistics,
        "label": cause_text(ending.cause, words.locale),
    }


def _dispute(dispute: Dispute, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(dispute, "cause", "by", "reason", "opened_at", "alerted"),
        **_parts(dispute, "ruling", "ruled_at", "by_default"),
        "label": cause_text(dispute.cause, words.locale),
    }


def _way(way: Way, words: _Words) -> Mapping[str, Any]:
    return {
        "command": way.command,
        "label": command_text(way.command, words.locale),
        "by": way.by,
        "by_label": role_text(way.by.text, words.locale),
    }


def _option(option: Option, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(option, "name", "allowed", "blockers", "fields", "consequences"),
        "label": option.label(words.locale),
    }


def _field(field: Field, words: _Words) -> Mapping[str, Any]:
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
            "vouched",
        ),
        "label": field.label(words.locale),
        "choices": [
            {"value": choice, "label": choice_text(choice, words.locale)}
            for choice in field.choices
        ],
    }


def _coming(coming: Coming, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(
            coming, "at", "deadline", "subject", "command", "state", "late", "moved"
        ),
        "label": deadline_text(coming.deadline, words.locale),
        "command_label": command_text(coming.command, words.locale),
        "state_label": state_text(coming.state, words.locale),
    }


def _recorded(recorded: Recorded, words: _Words) -> Mapping[str, Any]:
    return {
        **_parts(recorded, "seq", "name", "by", "effective_at", "recorded_at"),
        "label": event_text(recorded.name, words.locale),
        "data": recorded.event,
    }


def _moment(moment: Moment, words: _Words) -> Mapping[str, Any]:
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
        "label": event_text(moment.event, words.locale),
        "by_label": actor_text(moment.by, words.locale),
        "erased": moment.said.erased,
        "cause_label": cause_text(moment.cause, words.locale) if moment.cause else "",
        "state_label": state_text(moment.state, words.locale),
    }


def _exhibit(exhibit: Exhibit, words: _Words) -> Mapping[str, Any]:
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
        "topic_label": story_text(exhibit.topic, words.locale),
        "name": exhibit.event.name,
        "label": event_text(exhibit.event.name, words.locale),
        "data": exhibit.event,
    }


def _kept(kept: Kept, words: _Words) -> Mapping[str, Any]:
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
        "label": deadline_text(kept.name, words.locale),
        "outcome_label": story_text(kept.outcome, words.locale),
    }


def _notice(notice: Notify, words: _Words) -> Mapping[str, Any]:
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
        "subject": notice.subject(words.locale),
        "message": notice.message(words.locale, words.zone),
    }


def _case_file(case: CaseFile, words: _Words) -> Mapping[str, Any]:
    told = {field.name: getattr(case, field.name) for field in attrs.fields(CaseFile)}
    return {
        **told,
        "state_label": state_text(case.state, words.locale),
        "wrong": case.wrong,
    }


_TOLD: Final[Mapping[type, Callable[[Any, _Words], Mapping[str, Any]]]] = {
    Order: _order,
    Ledger: _ledger,
    Deadline: _deadline,
    Dispute: _dispute,
    Ending: _ending,
    Consequences: _consequences,
    Move: _move,
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
