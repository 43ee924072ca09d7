"""
Webhooks of yours: what was recorded, told to somebody else's program.

    endpoint = Endpoint(
        source="https://shop.example", prefix="com.example.shop", secrets=["whsec_..."]
    )
    handlers[ef.Publish] = handler(engine, endpoint, send)

- An event is a CloudEvent 1.0 in JSON; a message is signed as Standard Webhooks says.
- The library sends nothing: it makes bytes and headers, and *send* is yours.
- What people wrote is never told, nor are names of files and your own labels.  What
  else may be told is a list, `TOLD`; whose money it is decides which side hears of it.
- The same event has the same id and the same bytes, whenever it is told again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from inspect import isawaitable, iscoroutinefunction
from secrets import token_bytes
from typing import Any, Final, NoReturn, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import Clock, SystemClock, as_utc, as_window, from_micros, to_micros
from ..effects import Done, NotDone, Publish, Result, RetryAt, Unknown
from ..engine import AsyncEngine, Engine, Handler
from ..errors import InvalidInputError, NoticeRefusedError
from ..events import Recorded
from ..forms import plain
from ..inputs import FrozenDict, Text, as_id, has_all, kind_of
from ..money import Money, Payment
from ..parties import BUYER, SELLER, Role
from ..parts import Covered, Ending, RefundPart, Settlement, Standing
from ..terms import RULINGS

__all__ = [
    "TOLD",
    "Answer",
    "CloudEvent",
    "Endpoint",
    "Message",
    "Received",
    "Receiver",
    "handler",
    "new_secret",
    "result_of",
]

_SPEC_VERSION: Final = "1.0"
_CONTENT_TYPE: Final = "application/cloudevents+json"

# What the specification asks of a secret: 192 to 512 bits.
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
_SECRET: Final = "whsec_"
_SECRET_MIN: Final = 24
_SECRET_MAX: Final = 64
_SIGNATURE: Final = "v1,"

# Names beginning with a domain of the host's, as the specification of CloudEvents
# advises: `com.example.shop`.
_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+")
_URI: Final = re.compile(r"[!-~]{1,2048}")
# In seconds, up to the year 5138.
_STAMP: Final = re.compile(r"[0-9]{1,11}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")

# Lexicographic order is that of the numbers, as the extension `sequence` asks.
_DIGITS: Final = 10

# A message of ours is a few thousand bytes; nobody has to read more than this.
_BODY_MAX: Final = 1024 * 1024

_SECOND: Final = 1_000_000

# Whoever asks for more is asked again after this: a slip of the unit must not bury a
# message.
_LATER_MAX: Final = 86_400 * _SECOND


# --- what is told, and to whom ----------------------------------------------------

_BOTH: Final = BUYER | SELLER
_YOURS: Final = Role(0)

# What events carry -> which side is told; your own programs are told all of it, and
# what is not in the list nobody is told.  `event.field` goes before `field`.
TOLD: Final[Mapping[str, Role]] = FrozenDict(
    {
        # What was agreed, and what happened: both sides see it on their pages.
        "accepted": _BOTH,
        "add_on_id": _BOTH,
        "add_ons": _BOTH,
        "amount": _BOTH,
        "by_default": _BOTH,
        "cause": _BOTH,
        "consents": _BOTH,
        "delivery_window": _BOTH,
        "due_at": _BOTH,
        "ending": _BOTH,
        "ending.statistics": SELLER,
        "extra_window": _BOTH,
        "full_window": _BOTH,
        "item": _BOTH,
        "listing_id": _BOTH,
        "offer_id": _BOTH,
        "over_limit": _BOTH,
        "price": _BOTH,
        "process": _BOTH,
        "rating": _BOTH,
        "request": _BOTH,
        "ruling": _BOTH,
        "settlement": _BOTH,
        "terms": _BOTH,
        "tip": _BOTH,
        "window": _BOTH,
        # The buyer's money: what he paid, what a bank holds, what comes back to him.
        "amount_due": BUYER,
        "chargeback_opened.amount": BUYER,
        "coupon_requested.amount": BUYER,
        "fees": BUYER,
        "lost": BUYER,
        "payment": BUYER,
        "refund": BUYER,
        "refunds": BUYER,
        "settlement.to_buyer": BUYER,
        "to_buyer": BUYER,
        "why": BUYER,
        # The seller's: what he earned.
        "payouts": SELLER,
        "settlement.to_seller": SELLER,
        # Yours: people, names at the provider, what you keep.
        "again": _YOURS,
        "buyer_id": _YOURS,
        "caught_up": _YOURS,
        "chargeback_id": _YOURS,
        "fingerprint": _YOURS,
        "held": _YOURS,
        "key": _YOURS,
        "mediator_id": _YOURS,
        "next_key": _YOURS,
        "order_id": _YOURS,
        "payee_id": _YOURS,
        "payment.reference": _YOURS,
        "payment_reference": _YOURS,
        "reference": _YOURS,
        "seller_id": _YOURS,
        "settlement.kept": _YOURS,
    }
)


@final
@attrs.frozen
class _Reader:
    """
    Who is told.

    Attributes:
        role: A side of the order; `None` for your own programs.
    """

    role: Role | None

    def facts(self, recorded: Recorded) -> dict[str, Any]:
        """
        Return what this reader is told of an event.
        """
        event = recorded.event
        found = {}
        for field in attrs.fields(type(event)):
            name = field.name
            path = f"{recorded.name}.{name}"
            value = getattr(event, name)
            if not self._hears(path if path in TOLD else name) or value is None:
                continue
            # Whatever the list says: words of people are no facts.
            if not isinstance(value, Text):
                found[name] = self._told(value)
        return found

    def _hears(self, name: str) -> bool:
        if name not in TOLD:
            return False
        return self.role is None or self.role in TOLD[name]

    def _told(self, value: Any) -> Any:
        """
        Return a fact as plain JSON data.
        """
        if isinstance(value, Settlement):
            parts = {
                "to_buyer": _sum(value.to_buyer, value.to_seller.currency),
                "to_seller": value.to_seller,
                "kept": value.kept,
            }
            return plain(self._parts("settlement", parts))
        if isinstance(value, Payment):
            payment = {
                "method": value.method,
                "amount": value.amount,
                "reference": value.reference,
            }
            return plain(self._parts("payment", payment))
        if isinstance(value, Ending):
            ending = {
                "cause": value.cause,
                "trigger": value.trigger,
                "responsible": value.responsible,
                "public": value.public,
                "statistics": value.statistics,
            }
            return plain(self._parts("ending", ending))
        if isinstance(value, RefundPart):
            return plain(value.amount)
        if isinstance(value, tuple) and value and isinstance(value[0], _PARTS):
            return plain(_sum(value, value[0].amount.currency))
        return plain(value, texts=False, tell=_without_words)

    def _parts(self, name: str, parts: Mapping[str, Any]) -> dict[str, Any]:
        return {
            part: value
            for part, value in parts.items()
            if f"{name}.{part}" not in TOLD or self._hears(f"{name}.{part}")
        }


_PARTS: Final = (RefundPart, Covered)
_RULINGS: Final = frozenset(RULINGS.values())


def _sum(parts: Iterable[RefundPart | Covered], currency: str) -> Money:
    return Money(sum(part.amount.minor for part in parts), currency)


def _without_words(value: Any) -> Mapping[str, Any] | None:
    """
    Return the fields of a value without those that hold words of people.
    """
    kind = type(value)
    if kind in _RULINGS or not attrs.has(kind):
        return None
    fields = ((field.name, getattr(value, field.name)) for field in attrs.fields(kind))
    return {name: part for name, part in fields if not isinstance(part, Text)}


# --- secrets ----------------------------------------------------------------------


@final
class _Secret:
    """
    A signing secret, which is never shown.
    """

    __slots__ = ("_key",)

    def __init__(self, text: object, field: str) -> None:
        # What is wrong with it is told without it.
        wanted = f"{_SECRET} and {_SECRET_MIN} to {_SECRET_MAX} bytes in base64"
        if not isinstance(text, str) or not text.startswith(_SECRET):
            raise InvalidInputError(
                field,
                f"{wanted}: new_secret() makes one.  Keys whsk_ and whpk_ are of "
                "another scheme",
            )
        encoded = text.removeprefix(_SECRET)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not _SECRET_MIN <= len(key) <= _SECRET_MAX:
            raise InvalidInputError(field, f"{wanted}: new_secret() makes one")
        self._key = key

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied: make another one")

    def signature(self, message_id: str, stamp: str, body: bytes) -> str:
        """
        Return the signature of a message.
        """
        signed = b".".join((message_id.encode(), stamp.encode(), body))
        digest = hmac.new(self._key, signed, hashlib.sha256).digest()
        return _SIGNATURE + base64.b64encode(digest).decode()


def new_secret(random: Callable[[int], bytes] = token_bytes) -> str:
    """
    Return a fresh signing secret, `whsec_...`: one for each receiver.

    Args:
        random: Returns so many random bytes.
    """
    return _SECRET + base64.b64encode(random(32)).decode()


def _as_secrets(values: object, field: str = "secrets") -> tuple[_Secret, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidInputError(
            field, "a sequence: ['whsec_...'], two while you rotate"
        )
    found = tuple(_Secret(value, field) for value in values)
    if not found:
        raise InvalidInputError(field, "at least one, whsec_...")
    return found


# --- sending ----------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class CloudEvent:
    """
    An event, as it is told: a CloudEvent 1.0.

    Attributes:
        id: The same whenever it is told again, and no other event's.

        source: Who tells it: a URI of yours.

        type: What happened: `com.example.shop.order_accepted`.

        subject: The order.

        time: When it counts, in UTC.

        sequence: Its number among the events of its order, from 1.

        data: What is told of it: `by`, the role of whoever caused it; `state`, `late`
            and `due_at`, where it left the order; `recorded_at`; and its `facts`.

        dataschema: A URI of the schema of the data, if you have one.
    """

    id: str
    source: str
    type: str
    subject: str
    time: DateTime
    sequence: int
    data: Mapping[str, Any]
    dataschema: str = ""

    def as_json(self) -> dict[str, Any]:
        """
        Return it as plain JSON data.
        """
        schema = {"dataschema": self.dataschema} if self.dataschema else {}
        return {
            "specversion": _SPEC_VERSION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": _rfc3339(self.time),
            "datacontenttype": "application/json",
            **schema,
            "sequence": f"{self.sequence:0{_DIGITS}}",
            "data": dict(self.data),
        }

    @property
    def body(self) -> bytes:
        """
        The bytes that are sent.
        """
        return _as_bytes(self.as_json())


@final
@attrs.frozen(kw_only=True)
class Message:
    """
    What is to be sent by POST: these bytes, with these headers.

    Attributes:
        event: What it tells.

        body: Its bytes; what is sent must be exactly these.

        headers: Its content type and signature, by their names.
    """

    event: CloudEvent
    body: bytes
    headers: Mapping[str, str]


def _as_uri(value: object, field: str, like: str) -> str:
    if not isinstance(value, str) or not _URI.fullmatch(value):
        raise InvalidInputError(field, f"a URI of yours, such as {like!r}")
    return value


@final
class Endpoint:
    """
    Somebody's program that is told what happens.

    Args:
        source: Who tells it: a URI of yours, `https://shop.example`.

        prefix: How the types of your events begin: a domain of yours, backwards.

        secrets: What messages are signed with, `whsec_...`; two while you rotate, the
            new one beside the old one.

        to: `Role.BUYER` or `Role.SELLER` if it is a program of that side's, which is
            told nothing of the other's money, and nobody's id; `None` if it is yours.

        dataschema: A URI of the schema of the data, if you have one.

        more: Returns what else is told of an event, by name: facts of events of your
            own, say.  You vouch for it.

    Raises:
        InvalidInputError: If one of them is wrong by itself.
    """

    # Whoever logs why it could not be made shows it as far as it was.
    source = ""
    _secrets: tuple[_Secret, ...] = ()

    def __init__(
        self,
        *,
        source: str,
        prefix: str,
        secrets: Iterable[str],
        to: Role | None = None,
        dataschema: str = "",
        more: Callable[[Recorded], Mapping[str, Any]] | None = None,
    ) -> None:
        self.source = _as_uri(source, "source", "https://shop.example")
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise InvalidInputError(
                "prefix", "a domain of yours, backwards: 'com.example.shop'"
            )
        self.prefix = prefix
        self._secrets = _as_secrets(secrets)
        if to not in (None, BUYER, SELLER):
            raise InvalidInputError(
                "to", "Role.BUYER, Role.SELLER, or None for programs of yours"
            )
        self._reader = _Reader(to)
        self.dataschema = (
            _as_uri(dataschema, "dataschema", "https://shop.example/event.json")
            if dataschema
            else ""
        )
        if more is not None and not callable(more):
            raise InvalidInputError("more", "something to call with what was recorded")
        self._more = more

    def __repr__(self) -> str:
        return f"Endpoint({self.source!r}, <{len(self._secrets)} secrets>)"

    def events(
        self,
        order_id: str,
        history: Iterable[Recorded],
        first: int = 1,
        last: int | None = None,
    ) -> tuple[CloudEvent, ...]:
        """
        Return the events of an order as they are told, in their order.

        Args:
            history: All that was recorded up to the last of them, as
                `Engine.history` returns it.

            first: The number of the first that is told.

            last: The number of the last.
        """
        order_id = as_id(order_id, "order_id")
        standing: Standing | None = None
        found = []
        for recorded in history:
            standing = recorded.standing or standing
            if first <= recorded.seq and (last is None or recorded.seq <= last):
                found.append(self._event(order_id, recorded, standing))
        return tuple(found)

    def _event(
        self, order_id: str, recorded: Recorded, standing: Standing | None
    ) -> CloudEvent:
        facts = self._reader.facts(recorded)
        if self._more is not None:
            facts |= _as_facts(self._more(recorded))
        data: dict[str, Any] = {"by": recorded.by.role.text}
        if standing is not None:
            data |= {"state": str(standing.state), "late": standing.late}
            if standing.due_at is not None:
                data["due_at"] = _rfc3339(standing.due_at)
        data |= {"recorded_at": _rfc3339(recorded.recorded_at), "facts": facts}
        return CloudEvent(
            id=_event_id(order_id, recorded),
            source=self.source,
            type=f"{self.prefix}.{recorded.name}",
            subject=order_id,
            time=recorded.effective_at,
            sequence=recorded.seq,
            data=data,
            dataschema=self.dataschema,
        )

    def message(self, event: CloudEvent, now: DateTime) -> Message:
        """
        Return what is to be sent to tell an event, signed.

        Args:
            now: When it is sent: each attempt is signed anew.
        """
        body = event.body
        stamp = str(to_micros(as_utc(now, "now")) // _SECOND)
        signatures = (one.signature(event.id, stamp, body) for one in self._secrets)
        headers = {
            "content-type": _CONTENT_TYPE,
            "webhook-id": event.id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signatures),
        }
        return Message(event=event, body=body, headers=FrozenDict(headers))


def _as_facts(more: object) -> dict[str, Any]:
    """
    Return what a host tells besides, as plain JSON data.
    """
    if not isinstance(more, Mapping):
        raise InvalidInputError(
            "more", f"it returns a mapping of facts by name, not {kind_of(more)}"
        )
    facts = {str(name): plain(fact) for name, fact in more.items()}
    try:
        _as_bytes(facts)
    except ValueError as error:
        raise InvalidInputError(
            "more", "it returns half a character, or a number of thousands of digits"
        ) from error
    return facts


def _as_bytes(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _event_id(order_id: str, recorded: Recorded) -> str:
    """
    Return the id of an event: its order and number, and, because a backup that is put
    back takes numbers up again, what it is and when it was written.

    As a hash: it must not have a full stop in it, which separates what is signed, nor
    anything that a header cannot hold.
    """
    parts = (order_id, recorded.seq, recorded.name, to_micros(recorded.recorded_at))
    text = "\x1f".join(map(str, parts))
    return f"evt_{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _rfc3339(instant: DateTime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- what became of it ------------------------------------------------------------


@final
@attrs.frozen
class Answer:
    """
    What the other side answered.

    Attributes:
        status: The status of HTTP: 200.

        retry_after: Its header `Retry-After`, if there was one.
    """

    status: int
    retry_after: str | None = None


# Sends a message; an `AsyncEngine` awaits what it returns, if it can be.
Send: TypeAlias = Callable[[Message], Answer | Awaitable[Answer]]


def result_of(answer: object, now: DateTime) -> Result:
    """
    Return what an answer means for the effect.

    - 2xx: it is done.
    - 410: nobody is there any more, for good; it is parked for you.
    - 429 and 503 that say when: then again, at most a day later.
    - all else: it is tried again, as any effect.

    Args:
        now: When it was given.

    Raises:
        InvalidInputError: If it is no `Answer` with a status, or its header no text.
    """
    if not isinstance(answer, Answer) or type(answer.status) is not int:
        raise InvalidInputError(
            "send", f"it returns an Answer(status, retry_after), not {kind_of(answer)}"
        )
    if not isinstance(answer.retry_after, str | None):
        raise InvalidInputError(
            "send", f"retry_after is a header's text, not {kind_of(answer.retry_after)}"
        )
    status = answer.status
    if 200 <= status < 300:
        return Done()
    if status == 410:
        return NotDone("the receiver says that it is gone (410): take it off your list")
    if status in (429, 503):
        later = _later(answer.retry_after, now)
        if later is not None:
            return RetryAt(later)
    return Unknown(f"the receiver answered {status}")


def _later(header: str | None, now: DateTime) -> DateTime | None:
    """
    Return when somebody wants to be asked again: seconds, or a date of HTTP.
    """
    text = (header or "").strip()
    micros = to_micros(now)
    if _SECONDS.fullmatch(text):
        wanted = micros + int(text) * _SECOND
    else:
        try:
            wanted = to_micros(as_utc(parsedate_to_datetime(text), "retry_after"))
        except (ValueError, OverflowError):
            return None
    return from_micros(min(wanted, micros + _LATER_MAX))


def handler(engine: Engine | AsyncEngine, endpoint: Endpoint, send: Send) -> Handler:
    """
    Return a handler of `Publish`, which tells one endpoint.

    It sends one message an event, in their order, and stops at the first that is not
    taken; all of them come again then, under the same ids.

    Args:
        engine: Whose orders they are, made with `publish=True`.  With an `AsyncEngine`
            the handler is a coroutine function.

        send: Sends a message, and returns the `Answer`; it may be a coroutine function
            with an `AsyncEngine`.  What it raises counts as not known.

    Raises:
        InvalidInputError: If one of them is something else.
    """
    if not isinstance(engine, (Engine, AsyncEngine)):
        raise InvalidInputError("engine", f"an engine, not {kind_of(engine)}")
    if not isinstance(endpoint, Endpoint):
        raise InvalidInputError("endpoint", f"an Endpoint, not {kind_of(endpoint)}")
    if not callable(send):
        raise InvalidInputError("send", "something to call with a Message")
    if isinstance(engine, Engine) and iscoroutinefunction(send):
        raise InvalidInputError("send", "nobody would await it: an AsyncEngine does")

    def now() -> DateTime:
        return as_utc(engine.clock.now(), "clock")

    if isinstance(engine, Engine):

        def publish(effect: Publish) -> Result:
            history = engine.history(effect.order_id)
            for event in endpoint.events(
                effect.order_id, history, effect.first, effect.last
            ):
                try:
                    answer = send(endpoint.message(event, now()))
                except OSError as error:
                    return _unreached(error)
                result = result_of(answer, now())
                if not isinstance(result, Done):
                    return result
            return Done()

        return publish

    async def publish_awaited(effect: Publish) -> Result:
        history = await engine.history(effect.order_id)
        for event in endpoint.events(
            effect.order_id, history, effect.first, effect.last
        ):
            try:
                answer = send(endpoint.message(event, now()))
                answered = await answer if isawaitable(answer) else answer
            except OSError as error:
                return _unreached(error)
            result = result_of(answered, now())
            if not isinstance(result, Done):
                return result
        return Done()

    return publish_awaited


def _unreached(error: OSError) -> Unknown:
    # A receiver that is down is no fault of the program: no traceback is logged.
    return Unknown(f"the receiver was not reached: {kind_of(error)}")


# --- receiving --------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Received:
    """
    A message that can be believed.

    Attributes:
        id: The same when it comes again: keep those you have seen.

        sent_at: When it was signed.

        event: The CloudEvent, as plain JSON data.
    """

    id: str
    sent_at: DateTime
    event: Mapping[str, Any]


@final
class Receiver:
    """
    Reads messages: in a program of yours that is told what happens, and in tests.

    Args:
        secrets: What they may be signed with; two while the sender rotates.

        tolerance: How far the sender's clock and yours may be apart, the way included.

        clock: What time it is; the wall clock unless said.

    Raises:
        InvalidInputError: If one of them is wrong by itself.
    """

    _secrets: tuple[_Secret, ...] = ()

    def __init__(
        self,
        *,
        secrets: Iterable[str],
        tolerance: timedelta | str = "PT5M",
        clock: Clock | None = None,
    ) -> None:
        self._secrets = _as_secrets(secrets)
        self._tolerance = as_window(tolerance, "tolerance")
        self._clock: Clock = clock if clock is not None else SystemClock()
        if not has_all(self._clock, Clock):
            raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")

    def __repr__(self) -> str:
        return f"Receiver(<{len(self._secrets)} secrets>)"

    def read(self, body: bytes, headers: Mapping[str, str]) -> Received:
        """
        Return what a message says.

        Args:
            body: The bytes of the request, as they came: not parsed, not decoded.

            headers: Its headers, in any case.

        Raises:
            InvalidInputError: If the body is no bytes: what was parsed or decoded
                before has another signature.

            NoticeRefusedError: If it is not to be believed: `unsigned`,
                `wrong_signature`, `stale` (signed too long ago), `early` (signed in
                the future), `malformed` (it is no CloudEvent).
        """
        if not isinstance(body, bytes):
            raise InvalidInputError(
                "body",
                "the body of the request as bytes, as it came, neither parsed nor "
                f"decoded, not {kind_of(body)}",
            )
        if not isinstance(headers, Mapping):
            raise InvalidInputError("headers", f"a mapping, not {kind_of(headers)}")
        named = {str(name).lower(): headers[name] for name in headers}
        message_id, stamp, signatures = (
            str(named.get(f"webhook-{part}") or "")
            for part in ("id", "timestamp", "signature")
        )
        if not (message_id and signatures and _STAMP.fullmatch(stamp)):
            raise NoticeRefusedError(
                "unsigned",
                "it lacks webhook-id, webhook-timestamp (seconds) or webhook-signature: "
                "does a proxy drop them?",
            )
        if len(body) > _BODY_MAX:
            raise NoticeRefusedError("malformed", f"longer than {_BODY_MAX} bytes")
        if not self._signed(message_id, stamp, signatures, body):
            raise NoticeRefusedError(
                "wrong_signature",
                "no secret of ours signed these bytes: it was changed, or the secrets "
                "of sender and receiver differ",
            )
        sent_at = from_micros(int(stamp) * _SECOND)
        self._check_age(sent_at)
        return Received(id=message_id, sent_at=sent_at, event=_parsed(body))

    def _signed(
        self, message_id: str, stamp: str, signatures: str, body: bytes
    ) -> bool:
        try:
            given = [one.encode() for one in signatures.split(" ")]
            ours = [
                one.signature(message_id, stamp, body).encode() for one in self._secrets
            ]
        except UnicodeEncodeError:
            return False
        # Each is compared to its end: how long that takes tells nothing.
        same = [hmac.compare_digest(one, other) for one in ours for other in given]
        return any(same)

    def _check_age(self, sent_at: DateTime) -> None:
        now = as_utc(self._clock.now(), "clock")
        age = timedelta(microseconds=to_micros(now) - to_micros(sent_at))
        if age > self._tolerance:
            raise NoticeRefusedError(
                "stale",
                f"it was signed {age} ago: sent again by a stranger, or a clock is wrong",
            )
        if -age > self._tolerance:
            raise NoticeRefusedError(
                "early", f"it was signed {-age} from now: a clock is wrong"
            )


def _parsed(body: bytes) -> Mapping[str, Any]:
    """
    Return the CloudEvent that a body holds.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    needed = ("specversion", "id", "source", "type")
    if not isinstance(event, dict) or not all(
        isinstance(event.get(name), str) and event[name] for name in needed
    ):
        raise NoticeRefusedError(
            "malformed", f"it is no CloudEvent in JSON: {', '.join(needed)}"
        )
    return event
