"""
A mediator's file of an order: everything that counts as evidence, with its proof.

Only what is on the platform counts (R77): the service text, the brief, messages,
deliveries, requests and their answers, what each side told the mediator, and which
deadlines were kept.

- An exhibit is one event of the history with its hash: what was hashed is in it.
- A text is in it with its salt, and with the commitment that the hashed event has in
  its place.  What was erased is said to be erased; its commitment stays.
- So a file proves itself, without the database it came from: `CaseFile.wrong`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any, Final, final

import attrs
from pendulum import DateTime

from . import events as e
from .clock import to_micros
from .errors import CorruptJournalError
from .events import Event, Recorded
from .forms import plain
from .inputs import Text
from .ledger import Ledger
from .money import Money
from .order import Order
from .parties import SYSTEM, Actor, Role
from .parts import Deadline, Standing
from .storage import StoredEvent, StoredText
from .storage.chain import HEAD, link
from .storage.codec import commitment, decode_event
from .terms import Terms
from .timeline import (
    NO_NAMES,
    Names,
    actor_html,
    actor_text,
    called,
    instant_html,
    quoted,
    quoted_html,
)
from .words import (
    amount_text,
    choice_text,
    deadline_text,
    event_text,
    instant_text,
    language,
    length_text,
    role_text,
    state_text,
    story_text,
)

__all__ = [
    "TOPICS",
    "CaseFile",
    "Exhibit",
    "Kept",
    "Said",
    "as_html",
    "as_text",
    "case_file",
    "deadlines_kept",
]

# What each chapter of a file holds, in the order in which it is read; what is in none
# of them, a host's own events too, is the course of the order.
TOPICS: Final[Mapping[str, tuple[type[Event], ...]]] = {
    "service": (e.OrderPlaced,),
    "brief": (e.BriefSubmitted,),
    "messages": (e.MessageSent, e.ConversationLeft, e.ConversationClosed),
    "deliveries": (e.OrderDelivered, e.OrderMarkedLate, e.DeliveryApproved),
    "requests": (
        *(e.RevisionRequested, e.RevisionAccepted, e.RevisionRefused),
        *(e.CancellationRequested, e.CancellationWithdrawn),
        *(e.CancellationAccepted, e.CancellationRefused, e.DisputeUnlocked),
        e.AnswerExpired,
        *(e.ExtensionRequested, e.ExtensionWithdrawn),
        *(e.ExtensionAccepted, e.ExtensionRefused),
    ),
    "claims": (
        *(e.ClaimFiled, e.ClaimEdited, e.ClaimWithdrawn),
        *(e.ClaimRejected, e.ClaimConverted),
    ),
    "proposals": (
        *(e.PartialRefundProposed, e.PartialRefundWithdrawn),
        *(e.PartialRefundAccepted, e.PartialRefundRefused),
    ),
    "extras": (
        *(e.AddOnBought, e.DeliveryExtended),
        *(e.OfferSent, e.OfferWithdrawn, e.OfferRefused, e.OfferExpired, e.OfferPaid),
    ),
    "dispute": (
        *(e.DisputeOpened, e.MediatorAssigned, e.MediatorAlerted),
        *(e.PartiesAsked, e.MediatorAnswered, e.DisputeRuled, e.OrderRelaunched),
    ),
    "course": (),
}
_TOPIC_OF: Final = {kind: topic for topic, kinds in TOPICS.items() for kind in kinds}


@final
@attrs.frozen(kw_only=True)
class Said:
    """
    A text of an exhibit, and what proves it.

    Attributes:
        field: Where it stands in the event: `reason`, `terms.text`.

        text: The words; empty if they were erased.

        commitment: What the hashed event has in place of the words.

        salt: What was hashed with them, in hex; empty if they were erased.

        erased: Whether the words are gone for good.
    """

    field: str
    text: Text
    commitment: str
    salt: str = ""
    erased: bool = False

    def sound(self) -> bool:
        """
        Return whether these are the words that were written; so is what was erased.
        """
        return self.erased or self.commitment == commitment(
            bytes.fromhex(self.salt), self.text
        )


@final
@attrs.frozen(kw_only=True)
class Exhibit:
    """
    One event of the history, and what proves it.

    Attributes:
        seq: Its number, from 1, without gaps.

        topic: The chapter it belongs to: one of `TOPICS`.

        event: What happened.

        by: Who caused it; the system for due deadlines.

        effective_at: When it counts.

        recorded_at: When it was written down.

        texts: What was said with it; empty if nothing.

        body: Exactly what was hashed of it, as JSON; texts by their commitments.

        settles: Whether it was hashed as one that divides what is held.

        hash: Its hash, in hex, as it is stored.
    """

    seq: int
    topic: str
    event: Event
    by: Actor
    effective_at: DateTime
    recorded_at: DateTime
    texts: tuple[Said, ...] = ()
    body: str
    settles: bool
    hash: str

    def hashed(self, order_id: str, head: bytes) -> bytes:
        """
        Return the hash this event must have.

        Args:
            head: The hash of the event before it.
        """
        return link(
            head,
            order_id,
            seq=self.seq,
            name=self.event.name,
            effective_at=to_micros(self.effective_at),
            recorded_at=to_micros(self.recorded_at),
            settles=self.settles,
            body=self.body.encode(),
        )

    def sound(self) -> bool:
        """
        Return whether what is told of this event is what was hashed, and each text is
        the one that was written.
        """
        stored = StoredEvent(
            seq=self.seq,
            name=self.event.name,
            effective_at=to_micros(self.effective_at),
            recorded_at=to_micros(self.recorded_at),
            settles=self.settles,
            body=self.body.encode(),
            hash=bytes.fromhex(self.hash),
        )
        words = {one.commitment: one.text for one in self.texts if not one.erased}
        try:
            told = decode_event(stored, words, {self.event.name: type(self.event)})
        except CorruptJournalError:
            return False
        same = (told.event, told.by) == (self.event, self.by)
        return same and all(one.sound() for one in self.texts)


@final
@attrs.frozen(kw_only=True)
class Kept:
    """
    A deadline of somebody, and whether it was kept.

    Attributes:
        name: The kind of deadline: `delivery`.

        subject: What it is about, where there can be several: an offer's id.

        due_at: Its end; the last one, if it was moved.

        role: Who had to act; `None` if it is a host's own kind.

        outcome: `"met"`: what it waited for came in time; `"missed"`: its end came
            first; `"lifted"`: it ended otherwise, before its time; `"running"`; or
            `"stopped"`: it stands still.

        seq: The number of the event that met it, in time or late, or lifted it;
            `None` if there is none.

        by: Who that was.

        at: When.

        margin: How long before the end; after it if it was missed; `None` if nobody
            acted, or it stood still then.
    """

    name: str
    subject: str = ""
    due_at: DateTime
    role: Role | None
    outcome: str = "running"
    seq: int | None = None
    by: Actor | None = None
    at: DateTime | None = None
    margin: timedelta | None = None


@final
@attrs.frozen(kw_only=True)
class CaseFile:
    """
    What a mediator reads of an order, and can prove.

    Attributes:
        order_id: The order.

        as_of: The instant it is true for.

        process: The name of the rules it runs on.

        fingerprint: Their exact version.

        buyer_id, seller_id, mediator_id: The people.

        state: Where it stands; what is due counts.

        late: Whether it is late.

        price: The price of the order.

        terms: What was agreed, the text of the service with it.

        ledger: The books.

        exhibits: The whole recorded history, oldest first; `about` picks a chapter.

        deadlines: Which deadlines were met and missed, in the order in which they
            began; what has become due counts, though nobody has written it down.

        head: The hash that the order itself remembers as its last one, in hex.
    """

    order_id: str
    as_of: DateTime
    process: str
    fingerprint: str
    buyer_id: str
    seller_id: str
    mediator_id: str | None
    state: str
    late: bool
    price: Money
    terms: Terms
    ledger: Ledger
    exhibits: tuple[Exhibit, ...]
    deadlines: tuple[Kept, ...]
    head: str

    def about(self, topic: str) -> tuple[Exhibit, ...]:
        """
        Return one chapter, oldest first: `"deliveries"`; see `TOPICS`.
        """
        return tuple(one for one in self.exhibits if one.topic == topic)

    @property
    def wrong(self) -> int | None:
        """
        The number of the first event that is not as it was written; `None` if each
        hash follows from the one before, up to the last, and each text is its own.
        """
        head = HEAD
        for number, exhibit in enumerate(self.exhibits, 1):
            expected = exhibit.hashed(self.order_id, head)
            if (
                exhibit.seq != number
                or exhibit.hash != expected.hex()
                or not exhibit.sound()
            ):
                return number
            head = expected
        return None if head.hex() == self.head else len(self.exhibits) + 1


def case_file(
    order: Order,
    history: Sequence[Recorded],
    journal: Sequence[StoredEvent],
    texts: Iterable[StoredText],
    *,
    due: Sequence[Recorded] = (),
    head: bytes,
) -> CaseFile:
    """
    Return the file of an order.

    Args:
        order: The order as it is now.

        history: What was recorded.

        journal: The same, as it is stored.

        texts: The texts that still exist.

        due: What has become due since, and is not recorded yet.

        head: The last hash, as the order remembers it.
    """
    assert order.as_of is not None
    salts = {text.ref: text.salt.hex() for text in texts}
    return CaseFile(
        order_id=order.id,
        as_of=order.as_of,
        process=order.process,
        fingerprint=order.fingerprint,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        mediator_id=order.mediator_id,
        state=str(order.state),
        late=order.late,
        price=order.price,
        terms=order.terms,
        ledger=order.ledger,
        exhibits=tuple(
            Exhibit(
                seq=stored.seq,
                topic=_TOPIC_OF.get(type(recorded.event), "course"),
                event=recorded.event,
                by=recorded.by,
                effective_at=recorded.effective_at,
                recorded_at=recorded.recorded_at,
                texts=tuple(_texts(recorded.event, salts)),
                body=stored.body.decode(),
                settles=stored.settles,
                hash=stored.hash.hex(),
            )
            for recorded, stored in zip(history, journal, strict=True)
        ),
        deadlines=deadlines_kept((*history, *due)),
        head=head.hex(),
    )


def _texts(value: Any, salts: Mapping[str, str], within: str = "") -> Iterator[Said]:
    """
    Yield every text of a value, with where it stands.
    """
    for field in attrs.fields(type(value)):
        item = getattr(value, field.name)
        name = f"{within}{field.name}"
        if isinstance(item, Text):
            if item.commitment:
                yield Said(
                    field=name,
                    text=item,
                    commitment=item.commitment,
                    salt=salts.get(item.commitment, ""),
                    erased=item.erased,
                )
        elif isinstance(item, tuple):
            for number, part in enumerate(item):
                if attrs.has(type(part)):
                    yield from _texts(part, salts, f"{name}[{number}].")
        elif attrs.has(type(item)):
            yield from _texts(item, salts, f"{name}.")


# --- deadlines --------------------------------------------------------------------

# Who has to act, and what meets it.
_AWAITED: Final[Mapping[str, tuple[Role, tuple[type[Event], ...]]]] = {
    "payment": (Role.BUYER, (e.OrderPaid,)),
    "acceptance": (Role.SELLER, (e.OrderAccepted, e.ChargeAsked)),
    "brief": (Role.BUYER, (e.BriefSubmitted,)),
    "delivery": (Role.SELLER, (e.OrderDelivered,)),
    "delay": (Role.SELLER, (e.OrderDelivered,)),
    "answer": (
        Role.SELLER,
        (
            *(e.RevisionAccepted, e.RevisionRefused, e.OrderDelivered),
            *(e.CancellationAccepted, e.CancellationRefused),
        ),
    ),
    "verification": (
        Role.BUYER,
        (e.DeliveryApproved, e.ReviewLeft, e.RevisionRequested),
    ),
    "choice": (
        Role.BUYER,
        (e.DeliveryApproved, e.ReviewLeft, e.RevisionRequested, e.DisputeOpened),
    ),
    "offer": (Role.BUYER, (e.OfferPaid, e.OfferRefused)),
    "claim": (Role.MEDIATOR, (e.ClaimRejected, e.ClaimConverted)),
    "mediator": (Role.MEDIATOR, (e.MediatorAssigned,)),
    "ruling": (Role.MEDIATOR, (e.DisputeRuled,)),
}

# Nobody has to act before these: reminders, and ends that come by themselves.
_NOBODYS: Final = frozenset(
    {
        *("acceptance_reminder", "verification_reminder"),
        *("hold", "conversation", "lifetime"),
    }
)


def deadlines_kept(history: Iterable[Recorded]) -> tuple[Kept, ...]:
    """
    Return which deadlines of people were met and missed, in the order in which they
    began; empty if there were none.

    Args:
        history: The whole history, from `order_placed` on.
    """
    reckoning = _Reckoning()
    for recorded in history:
        reckoning.heed(recorded)
    return tuple(reckoning.found)


@final
@attrs.define
class _Reckoning:
    """
    What became of each deadline so far.
    """

    found: list[Kept] = attrs.field(factory=list)
    # Where in `found` a deadline stands, by name and subject, that nobody has met.
    awaited: dict[tuple[str, str], int] = attrs.field(factory=dict)

    def heed(self, recorded: Recorded) -> None:
        """
        Go on with one more event.
        """
        for key, place in tuple(self.awaited.items()):
            if _meets(self.found[place], recorded):
                late = self.found[place].outcome == "missed"
                self._acted(key, recorded, "missed" if late else "met")
        if recorded.standing is not None:
            self._stand(recorded, recorded.standing)

    def _stand(self, recorded: Recorded, standing: Standing) -> None:
        waits = {
            (wait.name, wait.subject): wait
            for wait in standing.deadlines
            if wait.name not in _NOBODYS
        }
        for key, place in tuple(self.awaited.items()):
            kept, wait = self.found[place], waits.get(key)
            if kept.outcome == "missed":
                # Begun anew, it is another one.
                if wait is not None and wait.runs:
                    del self.awaited[key]
            elif wait is not None and not wait.passed:
                self.found[place] = attrs.evolve(
                    kept,
                    due_at=wait.due_at,
                    outcome="running" if wait.runs else "stopped",
                )
            elif recorded.by is SYSTEM and kept.due_at <= recorded.effective_at:
                self.found[place] = attrs.evolve(kept, outcome="missed")
            else:
                self._acted(key, recorded, "lifted")
        for key, wait in waits.items():
            if wait.runs and key not in self.awaited:
                self.awaited[key] = len(self.found)
                self.found.append(_begun(wait))

    def _acted(self, key: tuple[str, str], recorded: Recorded, outcome: str) -> None:
        place = self.awaited.pop(key)
        kept = self.found[place]
        margin: timedelta | None = None
        if kept.outcome != "stopped":
            margin = abs(datetime.__sub__(kept.due_at, recorded.effective_at))
        self.found[place] = attrs.evolve(
            kept,
            outcome=outcome,
            seq=recorded.seq,
            by=recorded.by,
            at=recorded.effective_at,
            margin=margin,
        )


def _begun(wait: Deadline) -> Kept:
    role, _ = _AWAITED.get(wait.name, (None, ()))
    return Kept(name=wait.name, subject=wait.subject, due_at=wait.due_at, role=role)


def _meets(kept: Kept, recorded: Recorded) -> bool:
    event, by = recorded.event, recorded.by
    if by is SYSTEM:
        return False
    if isinstance(event, e.DisputeOpened) and by.role is not Role.BUYER:
        # Staff or a mediator took the choice from him.
        return False
    _, kinds = _AWAITED.get(kept.name, (None, ()))
    if isinstance(event, kinds):
        return getattr(event, "offer_id", kept.subject) == kept.subject
    # Whoever refuses the order has answered.
    return (
        kept.name == "acceptance"
        and isinstance(event, e.OrderCancelled)
        and event.ending.cause == "refused"
    )


# --- for people -------------------------------------------------------------------

_INDENT: Final = "    "


def _fact(name: str, fact: str, locale: str) -> str:
    return story_text("fact", locale) % {"name": name, "fact": fact}


def _facts(event: Event, locale: str, names: Names) -> Iterator[tuple[str, str]]:
    """
    Yield what an event says beside its texts: the name of a fact, and the fact.
    """
    for name in ("price", "tip", "amount", "rating", "reference"):
        value = getattr(event, name, None)
        if value is not None and value != "":
            fact = amount_text(value, locale) if isinstance(value, Money) else value
            yield story_text(name, locale), str(fact)
    mediator_id = getattr(event, "mediator_id", None)
    if mediator_id is not None:
        yield story_text("mediator_id", locale), called(mediator_id, names)
    files = getattr(event, "files", ())
    if files:
        yield story_text("files", locale), ", ".join(files)
    window = getattr(event, "delivery_window", None)
    terms = getattr(event, "terms", None)
    if isinstance(terms, Terms):
        window = terms.delivery_window
    if window is not None:
        yield story_text("delivery_window", locale), length_text(window, locale)
    if isinstance(terms, Terms) and terms.revisions is not None:
        agreed = terms.revisions
        shown = choice_text(agreed, locale) if isinstance(agreed, str) else str(agreed)
        yield story_text("revisions", locale), shown
    ruling = getattr(event, "ruling", None)
    if ruling is not None:
        told = choice_text(plain(ruling)["kind"], locale)
        to_buyer = getattr(ruling, "to_buyer", None)
        yield (
            story_text("ruling", locale),
            told if to_buyer is None else f"{told} ({amount_text(to_buyer, locale)})",
        )


def _people(
    case: CaseFile, locale: str, zone: str, names: Names
) -> Iterator[tuple[str, str]]:
    """
    Yield what stands at the top of a file.
    """
    yield story_text("as_of", locale), instant_text(case.as_of, locale, zone)
    state = state_text(case.state, locale)
    if case.late:
        state = f"{state} ({story_text('late', locale)})"
    yield story_text("state", locale), state
    for role, person in (
        (Role.BUYER, case.buyer_id),
        (Role.SELLER, case.seller_id),
        (Role.MEDIATOR, case.mediator_id),
    ):
        if person is not None:
            name = called(person, names)
            # What was hashed has only the id.
            known = person if name == person else f"{name} ({person})"
            yield role_text(role.text, locale), known
    for part in ("held", "refunded", "released", "kept"):
        yield story_text(part, locale), amount_text(getattr(case.ledger, part), locale)


def _kept_text(kept: Kept, locale: str, zone: str, names: Names) -> str:
    """
    Return how it went with a deadline, as one line.
    """
    told = deadline_text(kept.name, locale)
    if kept.subject:
        told += f" ({kept.subject})"
    told += f", {instant_text(kept.due_at, locale, zone)}"
    told = _fact(told, story_text(kept.outcome, locale), locale)
    if kept.by is None:
        return told
    told += f", {actor_text(kept.by, locale, names)} (#{kept.seq})"
    margin = _rounded(kept.margin)
    if not margin:
        return told
    side = "after" if kept.outcome == "missed" else "early"
    apart = story_text(side, locale) % {"time": length_text(margin, locale)}
    return f"{told}, {apart}"


def _rounded(margin: timedelta | None) -> timedelta:
    """
    Return a margin as people tell it: in whole minutes, in seconds if it has no more.
    """
    if margin is None:
        return timedelta()
    unit = timedelta(minutes=1) if margin >= timedelta(minutes=1) else timedelta(0, 1)
    return margin // unit * unit


def _verdict(case: CaseFile, locale: str) -> str:
    wrong = case.wrong
    if wrong is None:
        return story_text("sound", locale)
    return story_text("unsound", locale) % {"seq": wrong}


def as_text(
    case: CaseFile,
    *,
    locale: str = "en",
    zone: str = "UTC",
    width: int | None = None,
    names: Names = NO_NAMES,
) -> str:
    """
    Return a file as lines of text, with a line feed at the end of each.

    Args:
        locale: The language; English where it is unknown.

        zone: Whose wall clock: a name of the IANA database.

        width: The columns that texts are broken at; `None` for no breaks.

        names: What people are called, by their id; whoever has no name in it is called
            by the id.

    Raises:
        InvalidInputError: If the zone is unknown.
    """
    lines = [f"{story_text('case_file', locale)} {case.order_id}", ""]
    lines += [_fact(*named, locale) for named in _people(case, locale, zone, names)]
    for topic in TOPICS:
        exhibits = case.about(topic)
        if exhibits:
            lines += ["", story_text(topic, locale)]
        for exhibit in exhibits:
            lines += _exhibit_lines(exhibit, locale, zone, width, names)
    lines += ["", story_text("deadlines", locale)]
    lines += [_kept_text(kept, locale, zone, names) for kept in case.deadlines]
    lines += ["", story_text("proof", locale), _verdict(case, locale)]
    lines += [_fact(story_text("hash", locale), case.head, locale)]
    return "".join(f"{line}\n" for line in lines)


def _exhibit_lines(
    exhibit: Exhibit, locale: str, zone: str, width: int | None, names: Names
) -> Iterator[str]:
    yield (
        f"#{exhibit.seq}  {instant_text(exhibit.effective_at, locale, zone)}  "
        f"{actor_text(exhibit.by, locale, names)}  {event_text(exhibit.event.name, locale)}"
    )
    if exhibit.recorded_at != exhibit.effective_at:
        at = instant_text(exhibit.recorded_at, locale, zone)
        yield _INDENT + _fact(story_text("recorded", locale), at, locale)
    for name, fact in _facts(exhibit.event, locale, names):
        yield _INDENT + _fact(name, fact, locale)
    for said in exhibit.texts:
        yield from quoted(said.text, locale, width)
        yield _INDENT + _fact(story_text("text", locale), said.commitment, locale)
    yield _INDENT + _fact(story_text("hash", locale), exhibit.hash, locale)


def as_html(
    case: CaseFile,
    *,
    locale: str = "en",
    zone: str = "UTC",
    names: Names = NO_NAMES,
) -> str:
    """
    Return a file as an HTML article, to be put into a page of yours.

    Everything is escaped, nothing runs, and nothing is fetched.  The classes are
    `escrowflow-case`, and one for each of `TOPICS`, `deadlines` and `proof` inside it.

    Args:
        locale: The language; English where it is unknown.

        zone: Whose wall clock: a name of the IANA database.

        names: What people are called, by their id; whoever has no name in it is called
            by the id.

    Raises:
        InvalidInputError: If the zone is unknown.
    """
    title = f"{story_text('case_file', locale)} <bdi>{escape(case.order_id)}</bdi>"
    chapters = []
    for topic in TOPICS:
        exhibits = case.about(topic)
        if exhibits:
            items = "".join(_exhibit_html(one, locale, zone, names) for one in exhibits)
            chapters.append(_chapter(topic, f"<ol>\n{items}</ol>\n", locale))
    items = "".join(
        f"<li>{escape(_kept_text(kept, locale, zone, names))}</li>\n"
        for kept in case.deadlines
    )
    chapters.append(_chapter("deadlines", f"<ul>\n{items}</ul>\n", locale))
    proof = (
        f"<p>{escape(_verdict(case, locale))}</p>\n{_code('hash', case.head, locale)}"
    )
    chapters.append(_chapter("proof", proof, locale))
    return (
        f'<article class="escrowflow-case" lang="{language(locale)}">\n'
        f"<h2>{title}</h2>\n"
        f"{_list(_people(case, locale, zone, names))}"
        f"{''.join(chapters)}</article>\n"
    )


def _chapter(name: str, content: str, locale: str) -> str:
    head = escape(story_text(name, locale))
    return f'<section class="{name}">\n<h3>{head}</h3>\n{content}</section>\n'


def _code(name: str, code: str, locale: str) -> str:
    told = _fact(escape(story_text(name, locale)), f"<code>{code}</code>", locale)
    return f"<p>{told}</p>\n"


def _list(facts: Iterable[tuple[str, str]]) -> str:
    items = "".join(
        f"<dt>{escape(name)}</dt><dd><bdi>{escape(fact)}</bdi></dd>\n"
        for name, fact in facts
    )
    return f"<dl>\n{items}</dl>\n" if items else ""


def _exhibit_html(exhibit: Exhibit, locale: str, zone: str, names: Names) -> str:
    written = ""
    if exhibit.recorded_at != exhibit.effective_at:
        at = instant_html(exhibit.recorded_at, locale, zone)
        name = escape(story_text("recorded", locale))
        written = f"<p>{_fact(name, at, locale)}</p>\n"
    texts = "".join(
        f"{quoted_html(said.text, locale)}{_code('text', said.commitment, locale)}"
        for said in exhibit.texts
    )
    return (
        f'<li value="{exhibit.seq}">\n'
        f"<p>{instant_html(exhibit.effective_at, locale, zone)} "
        f"{actor_html(exhibit.by, locale, names)} "
        f"<strong>{escape(event_text(exhibit.event.name, locale))}</strong></p>\n"
        f"{written}{_list(_facts(exhibit.event, locale, names))}{texts}"
        f"{_code('hash', exhibit.hash, locale)}</li>\n"
    )
