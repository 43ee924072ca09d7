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
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..clock import Months, Window
from ..errors import InvalidInputError
from ..money import BPS_MAX, Fee, Money, Share
from .blockers import BLOCKERS
from .clauses import CLAUSES, LENGTHS
from .differences import DIFFERENCES, TOTALS
from .findings import FINDINGS
from .names import CAUSES, DAYS, KINDS_OF, LABELS, ROLES, ROLES_OF
from .notices import MONEY, NOTICES, RUNNING, SUBJECTS
from .sentences import Counted, Sentence

__all__ = [
    "LOCALES",
    "amount_text",
    "blocker_text",
    "cause_text",
    "chapter_text",
    "choice_text",
    "clause_text",
    "command_text",
    "day_text",
    "deadline_text",
    "diagram_text",
    "difference_text",
    "event_text",
    "field_text",
    "figure_text",
    "finding_text",
    "instant_text",
    "language",
    "length_text",
    "letter_text",
    "market_text",
    "move_text",
    "notice_text",
    "number_text",
    "role_text",
    "ruling_text",
    "severity_text",
    "state_text",
    "story_text",
    "subject_text",
    "total_text",
]

# The languages there are; the first one is spoken where another is asked for.
LOCALES: Final = ("en", "fr")

_CATALOGUES: Final = Path(__file__).parents[1] / "locale"
_FEW_DAYS: Final = timedelta(days=3)
_HOUR: Final = 3600

_END_OF_LANGUAGE: Final = re.compile(r"[-_.@]")
_PART: Final = re.compile(r"%\((\w+)\)s")


# --- asking for words -------------------------------------------------------------


def blocker_text(
    code: str, params: Mapping[str, Any], locale: str = "en", zone: str = "UTC"
) -> str:
    """
    Return why something is not possible, as one sentence.

    Args:
        code: The code of a blocker.

        params: The parts of the sentence, by name; those that are missing or
            `None` are not spoken of.

        locale: `"fr"`, `"fr_CA"`, `"fr-FR"`; English where it is unknown.

        zone: Whose wall clock: a name of the IANA database.

    Raises:
        InvalidInputError: If the zone is unknown.
    """
    for sentence in BLOCKERS.get(code, ()):
        if _fits(sentence, params):
            return _told(sentence, params, locale, zone=zone)
    return _form("unknown", locale) % {"code": _spelled(code)}


def notice_text(
    kind: str,
    role: str,
    params: Mapping[str, Any],
    locale: str = "en",
    zone: str = "UTC",
) -> str:
    """
    Return what somebody is told of an event, as one to three sentences.

    Args:
        kind: The name of the event.

        role: The role of the reader.

        params: The parts of the sentences, by name; those that are missing or
            `None` are not spoken of.

        locale: As for `blocker_text`.

        zone: Whose wall clock: a name of the IANA database.

    Raises:
        InvalidInputError: If the zone is unknown.
    """
    running = RUNNING.get(str(params.get("deadline")), {})
    found = (
        next((one for one in sentences if _fits(one, params)), None)
        for sentences in (
            NOTICES.get(kind, {}).get(role, ()),
            MONEY.get(role, ()),
            running.get(role, ()),
        )
    )
    told = [
        _told(sentence, params, locale, "notice", zone)
        for sentence in found
        if sentence is not None
    ]
    if kind not in NOTICES:
        told.insert(0, f"{event_text(kind, locale)}.")
    return " ".join(told)


def subject_text(kind: str, locale: str = "en") -> str:
    """
    Return what stands above the message of an event: `Order delivered`.
    """
    known = kind in SUBJECTS
    return _label("subject", kind, locale) if known else event_text(kind, locale)


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


def finding_text(code: str, params: Mapping[str, Any], locale: str = "en") -> str:
    """
    Return what a checker found, as a sentence.

    Args:
        code: The code of a finding.

        params: The parts of the sentence, by name.

        locale: As for `blocker_text`.
    """
    for sentence in FINDINGS.get(code, ()):
        if _fits(sentence, params):
            return _told(sentence, params, locale, "finding")
    return _spelled(code)


def severity_text(name: str, locale: str = "en") -> str:
    """
    Return how bad it is: `Error`, `Declared`, `Note`.
    """
    return _label("severity", name, locale)


def total_text(differing: int, in_transit: int, locale: str = "en") -> str:
    """
    Return how many differences there are: `1 difference, 0 in transit`.
    """
    counts = {"differing": differing, "in_transit": in_transit}
    return ", ".join(
        _told(TOTALS[name], {"count": count}, locale, "total")
        for name, count in counts.items()
    )


def clause_text(code: str, params: Mapping[str, Any], locale: str = "en") -> str:
    """
    Return a rule of a process as one sentence.

    Args:
        code: The code of a clause.

        params: The parts of the sentence, by name.
    """
    sentence = CLAUSES[code]
    text = _chosen(sentence, params, locale, "clause")
    return text % {name: _told_in_rule(name, params[name], locale) for name in params}


def chapter_text(name: str, locale: str = "en") -> str:
    """
    Return the title of a chapter of the rules: `Acceptance`.
    """
    return _label("chapter", name, locale)


def length_text(window: Window, locale: str = "en") -> str:
    """
    Return a length of time as people say it: `48 hours`, `7 days`, `5 months`.
    """
    if isinstance(window, Months):
        counts = {"months": window.count}
    else:
        days, rest = window.days, window.seconds
        if window < _FEW_DAYS and rest + window.days and not rest % _HOUR:
            # Nobody says "two days" where the hour matters.
            days, rest = 0, int(window.total_seconds())
        hours, rest = divmod(rest, _HOUR)
        counts = {
            "days": days,
            "hours": hours,
            "minutes": rest // 60,
            "seconds": rest % 60,
        }
    told = [
        _chosen(LENGTHS[unit], {"count": count}, locale, "length") % {"count": count}
        for unit, count in counts.items()
        if count
    ]
    return " ".join(told)


def command_text(name: str, locale: str = "en") -> str:
    """
    Return what a button for this command says: `Accept the order`.
    """
    return _label("command", name, locale)


def field_text(name: str, locale: str = "en") -> str:
    """
    Return what a form calls a field: `Reason`.
    """
    return _label("field", name, locale)


def choice_text(name: str, locale: str = "en") -> str:
    """
    Return what a form calls a choice: `Divide`; an id is shown as it is.
    """
    known = name in LABELS["choice"]
    return _label("choice", name, locale) if known else name


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


def diagram_text(name: str, locale: str = "en") -> str:
    """
    Return what a picture of a process says beside its names: `Legend`.
    """
    return _label("diagram", name, locale)


def letter_text(role: str, locale: str = "en") -> str:
    """
    Return the letter that a picture calls a role: `B` for the buyer.
    """
    letters = _form("letters", locale).split()
    return dict(zip(ROLES, letters, strict=True))[role]


def role_text(name: str, locale: str = "en") -> str:
    """
    Return what a role is called: `buyer`; several are given joined by commas.
    """
    roles = [_label("role", role, locale) for role in name.split(", ")]
    return _one_of(roles, locale)


def ruling_text(name: str, locale: str = "en") -> str:
    """
    Return what a ruling brings, as a sentence without a full stop at the end.
    """
    return _label("ruling", name, locale)


def story_text(name: str, locale: str = "en") -> str:
    """
    Return what a part of a story or of a case file is called: `Who`, `Deliveries`.
    """
    return _label("story", name, locale)


def market_text(name: str, locale: str = "en") -> str:
    """
    Return what a report on a market is told with, parts as `%(orders)s`.
    """
    return _label("market", name, locale)


def move_text(to: str, amount: Money, locale: str = "en") -> str:
    """
    Return where money went: `30.00 EUR to the buyer`.
    """
    return _label("move", to, locale) % {"amount": amount_text(amount, locale)}


def amount_text(amount: Money | Share | Fee, locale: str = "en") -> str:
    """
    Return an amount, or a part of one, as people write it: `30.00 EUR`, `6.7 %`.
    """
    if isinstance(amount, Fee):
        rate = Share(amount.bps, BPS_MAX) if amount.bps else None
        told = (part for part in (amount.flat, rate) if part is not None)
        return " + ".join(amount_text(part, locale) for part in told)
    number, _, unit = str(amount).partition(" ")
    number = number.replace(".", _form("point", locale))
    if not unit:
        # A third is no number of hundredths.
        return number
    return _form("amount", locale) % {"number": number, "unit": unit}


def number_text(amount: Money, locale: str = "en") -> str:
    """
    Return an amount without its currency, for a column of a table: `30.00`.
    """
    return str(amount.amount).replace(".", _form("point", locale))


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
    local = _on_the_wall(instant, zone)
    offset = f"{local:%z}"
    return _form("instant", locale) % {
        "date": _day(local, locale),
        "time": f"{local:%H:%M}",
        "offset": f"{offset[:3]}:{offset[3:5]}" if local.utcoffset() else "UTC",
    }


def day_text(instant: datetime, locale: str = "en", zone: str = "UTC") -> str:
    """
    Return the day of an instant: `Tue 5 May 2026`; the arguments are those of
    `instant_text`.
    """
    return _day(_on_the_wall(instant, zone), locale)


# --- finding them -----------------------------------------------------------------


def _on_the_wall(instant: datetime, zone: str) -> datetime:
    try:
        # A plain one: a pendulum value comes out of `ZoneInfo` as it went in.
        return datetime.fromtimestamp(instant.timestamp(), ZoneInfo(zone))
    except (KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        # OSError: "Europe" is a directory, and too long a name is no file name;
        # TypeError: a user without a zone.
        raise InvalidInputError(
            "zone",
            f"no time zone {zone!r} that has this instant: give a name of the "
            "IANA database, such as 'Europe/Paris'",
        ) from error


def _day(local: datetime, locale: str) -> str:
    return _form("day", locale) % {
        "weekday": _form("weekdays", locale).split()[local.weekday()],
        "day": local.day if local.day > 1 else _form("first", locale),
        "month": _form("months", locale).split()[local.month - 1],
        "year": local.year,
    }


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
    sentence: Sentence,
    params: Mapping[str, Any],
    locale: str,
    kind: str = "blocker",
    zone: str = "UTC",
) -> str:
    text = _chosen(sentence, params, locale, kind)
    return text % {
        name: _shown(name, params[name], locale, zone) for name in parts(sentence)
    }


def _chosen(
    sentence: Sentence, params: Mapping[str, Any], locale: str, kind: str
) -> str:
    """
    Return a sentence in a language, in the form that its number asks for.
    """
    catalogue = _catalogue(locale)
    if isinstance(sentence, str):
        return catalogue.pgettext(kind, sentence)
    return catalogue.npgettext(kind, sentence.one, sentence.many, params[sentence.by])


def _shown(name: str, value: Any, locale: str, zone: str) -> str:
    if isinstance(value, datetime):
        told = day_text if name in DAYS else instant_text
        return told(value, locale, zone)
    if isinstance(value, (Money, Share, Fee)):
        return amount_text(value, locale)
    if isinstance(value, timedelta):
        return length_text(value, locale)
    if isinstance(value, (list, tuple)):
        return _one_of([_shown(name, item, locale, zone) for item in value], locale)
    if name in ROLES_OF:
        return role_text(str(value), locale)
    kind = KINDS_OF.get(name)
    if kind is None:
        return str(value)
    if kind in ("movement", "ruling"):
        return _label(kind, str(value), locale)
    label = cause_text(str(value), locale)
    if kind != "cause":
        label = _label(kind, str(value), locale)
    return _form("quote", locale) % {"name": label}


def _told_in_rule(name: str, value: Any, locale: str) -> str:
    if name == "window":
        return length_text(value, locale)
    if name == "method":
        return _label("method", value, locale)
    if name == "name":
        return _label("fee", value, locale)
    if name == "names":
        return ", ".join(_label("fee", one, locale) for one in value)
    return _shown(name, value, locale, "UTC")


def _one_of(names: list[str], locale: str) -> str:
    *others, last = names or [""]
    if not others:
        return last
    return _form("or", locale) % {"others": ", ".join(others), "last": last}


def language(locale: str) -> str:
    """
    Return the language that is spoken where one is asked for: one of `LOCALES`.
    """
    spoken, *_ = _END_OF_LANGUAGE.split(str(locale).lower())
    return spoken if spoken in LOCALES else LOCALES[0]


def _catalogue(locale: str) -> gettext.NullTranslations:
    return _loaded(language(locale))


@cache
def _loaded(spoken: str) -> gettext.NullTranslations:
    # There is no catalogue of English: its words are here.
    return gettext.translation("escrowflow", _CATALOGUES, [spoken], fallback=True)
