"""
Webhooks of ours: official readers believe them, strangers cannot forge them, and nobody
is told what is none of his business.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from escrowflow import commands as c
from escrowflow.clock import FakeClock, SystemClock, as_utc
from escrowflow.contrib.webhooks import (
    TOLD,
    Answer,
    Endpoint,
    Message,
    Receiver,
    handler,
    new_secret,
    result_of,
)
from escrowflow.effects import (
    Done,
    NotDone,
    Notify,
    PayOut,
    Publish,
    Refund,
    RetryAt,
    Unknown,
)
from escrowflow.engine import AsyncEngine
from escrowflow.errors import InvalidInputError, NoticeRefusedError
from escrowflow.events import EVENTS, Event
from escrowflow.inputs import Text
from escrowflow.parties import BUYER, OPERATOR, SELLER, Buyer
from escrowflow.processes import recommended
from escrowflow.storage import open_async_storage, open_storage
from escrowflow.storage.threads import ThreadedStorage
from escrowflow.terms import AddOn, Split
from escrowflow.testing import strategies
from escrowflow.worker import Worker
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    an_engine,
    an_order,
    any_text,
    brought_to,
    eur,
    paid,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from escrowflow.engine import Engine
    from escrowflow.events import Recorded
    from escrowflow.parties import Role

OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
NOW = as_utc("2026-05-05T10:00:00Z", "now")
CANARY = "zzcanaryzz"


def an_endpoint(to: Role | None = None, **changes: Any) -> Endpoint:
    fields: dict[str, Any] = {
        "source": "https://shop.example",
        "prefix": "com.example.shop",
        "secrets": [OLD],
        "to": to,
    }
    return Endpoint(**{**fields, **changes})


def a_receiver(now: Any = NOW, **changes: Any) -> Receiver:
    return Receiver(**{"secrets": [OLD], "clock": FakeClock(now), **changes})


def a_history() -> tuple[Recorded, ...]:
    engine = an_engine(open_storage("memory://"))
    brought_to(engine, "completed")
    return engine.history("o1")


HISTORY = a_history()


def a_message(endpoint: Endpoint | None = None, now: Any = NOW) -> Message:
    endpoint = endpoint or an_endpoint()
    return endpoint.message(endpoint.events("o1", HISTORY)[0], now)


def told(name: str, history: Iterable[Recorded], to: Role | None) -> Any:
    """
    Return the facts of the last event of a name, as a side is told them.
    """
    found = [
        event.data["facts"]
        for event in an_endpoint(to).events("o1", history)
        if event.type == f"com.example.shop.{name}"
    ]
    return found[-1]


def refused(receiver: Receiver, body: bytes, headers: Any) -> str:
    with pytest.raises(NoticeRefusedError) as caught:
        receiver.read(body, headers)
    return caught.value.code


class TestEnvelope:
    """
    An event is a CloudEvent, whoever reads it.
    """

    def test_the_official_reader_understands_it(self) -> None:
        """
        The SDK of CloudEvents finds every part where it belongs.
        """
        message = a_message(an_endpoint(dataschema="https://shop.example/event.json"))

        event = from_structured_event(HTTPMessage(dict(message.headers), message.body))

        assert event.get_specversion() == "1.0"
        assert event.get_id() == message.event.id
        assert event.get_source() == "https://shop.example"
        assert event.get_type() == "com.example.shop.order_placed"
        assert event.get_subject() == "o1"
        assert event.get_time() == HISTORY[0].effective_at
        assert event.get_datacontenttype() == "application/json"
        assert event.get_dataschema() == "https://shop.example/event.json"
        assert event.get_extension("sequence") == "0000000001"
        assert event.get_data() == message.event.data

    @settings(max_examples=max(settings().max_examples // 4, 1))
    @given(
        life=strategies.lives(recommended()), to=st.sampled_from([None, BUYER, SELLER])
    )
    def test_whatever_happens_can_be_told(self, life: Any, to: Role | None) -> None:
        """
        Every event of any life is read back by the official reader, in its order, and
        each has an id of its own.
        """
        endpoint = an_endpoint(to)
        events = endpoint.events(life.order.id, life.history)

        read = [
            from_structured_event(HTTPMessage(dict(one.headers), one.body))
            for one in (endpoint.message(event, NOW) for event in events)
        ]

        assert [one.get_data() for one in read] == [event.data for event in events]
        numbers = [one.get_extension("sequence") for one in read]
        assert numbers == sorted(numbers)
        assert len({one.get_id() for one in read}) == len(life.history)

    def test_says_where_it_left_the_order(self) -> None:
        """
        The state after it, also after an event that moved nothing; who caused it, by
        role.
        """
        data = [event.data for event in an_endpoint().events("o1", HISTORY)]

        assert [one["state"] for one in data][-2:] == ["delivered", "completed"]
        assert data[0]["by"] == "buyer"
        assert data[0]["recorded_at"] == "2026-05-05T08:00:00.000000Z"
        assert data[0]["facts"]["price"] == {"amount": "100.00", "currency": "EUR"}

    def test_is_the_same_whenever_it_is_told(self) -> None:
        """
        Repeated later, or after other events, it has the same id and the same bytes;
        only the signature is of the attempt.
        """
        first = a_message()
        later = an_endpoint().events("o1", HISTORY[:1])[0]
        again = an_endpoint().message(later, NOW.add(hours=3))

        assert (again.event.id, again.body) == (first.event.id, first.body)
        assert again.headers["webhook-timestamp"] != first.headers["webhook-timestamp"]

    def test_a_number_that_is_taken_up_again_is_another_event(self) -> None:
        """
        After a backup was put back, an event with the number of a lost one has an id of
        its own: a receiver does not take it for a repetition.
        """
        later = attrs.evolve(
            HISTORY[-1], recorded_at=HISTORY[-1].recorded_at.add(seconds=1)
        )

        (lost,), (new,) = (
            an_endpoint().events("o1", [*HISTORY[:-1], one], one.seq)
            for one in (HISTORY[-1], later)
        )

        assert lost.sequence == new.sequence
        assert lost.id != new.id

    @given(order_id=any_text(min_size=1))
    def test_an_id_separates_and_fits_a_header(self, order_id: str) -> None:
        """
        Whatever an order is called, the id has no full stop, which separates what is
        signed, and nothing that a header cannot hold.
        """
        try:
            (event, *_) = an_endpoint().events(order_id, HISTORY)
        except InvalidInputError:
            return

        assert event.id.isascii()
        assert event.id.replace("_", "").isalnum()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("source", ""),
            ("source", "two words"),
            ("source", None),
            ("prefix", "shop"),
            ("prefix", "com.Example"),
            ("prefix", "com.example."),
            ("prefix", 1),
            ("dataschema", "two words"),
            ("to", OPERATOR),
            ("to", BUYER | SELLER),
            ("more", "all"),
            ("secrets", OLD),
            ("secrets", []),
            ("secrets", 1),
        ],
    )
    def test_is_checked_when_it_is_made(self, field: str, value: Any) -> None:
        """
        What is wrong with an endpoint is said at once, and named.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_endpoint(**{field: value})

        assert caught.value.field == field


class TestSignature:
    """
    Only who has the secret can say it.
    """

    def test_the_official_reader_believes_it(self) -> None:
        """
        The library of Standard Webhooks verifies what we sign.  It asks the wall clock,
        so this message is of now.
        """
        message = a_message(now=SystemClock().now())

        read = Webhook(OLD).verify(message.body, dict(message.headers))

        assert read == message.event.as_json()

    @given(
        key=st.binary(min_size=24, max_size=64),
        body=any_text(),
        seconds=st.integers(0, 10**10),
    )
    def test_is_that_of_the_official_library(
        self, key: bytes, body: str, seconds: int
    ) -> None:
        """
        For any secret, time and content it signs the very same.
        """
        secret = f"whsec_{base64.b64encode(key).decode()}"
        now = as_utc("1970-01-01T00:00:00Z", "now").add(seconds=seconds)
        endpoint = an_endpoint(secrets=[secret], more=lambda _: {"said": body})
        message = a_message(endpoint, now)

        theirs = Webhook(secret).sign(message.event.id, now, message.body.decode())

        assert message.headers["webhook-signature"] == theirs

    def test_we_believe_the_official_sender(self) -> None:
        """
        What the library of Standard Webhooks signs, our receiver reads.
        """
        body = a_message().body
        headers = {
            "Webhook-Id": "msg_1",
            "Webhook-Timestamp": str(int(NOW.timestamp())),
            "Webhook-Signature": Webhook(OLD).sign("msg_1", NOW, body.decode()),
        }

        read = a_receiver().read(body, headers)

        assert (read.id, read.sent_at) == ("msg_1", NOW)
        assert read.event == json.loads(body)

    def test_while_secrets_are_exchanged(self) -> None:
        """
        Signed with both, it is believed by who has either; and who has both believes
        either.
        """
        both = a_message(an_endpoint(secrets=[NEW, OLD]))

        assert len(both.headers["webhook-signature"].split(" ")) == 2
        for secrets in ([OLD], [NEW], [NEW, OLD]):
            a_receiver(secrets=secrets).read(both.body, both.headers)
        for secret in (OLD, NEW):
            one = a_message(an_endpoint(secrets=[secret]))
            a_receiver(secrets=[NEW, OLD]).read(one.body, one.headers)

    def test_the_official_reader_takes_either(self) -> None:
        """
        So does the library of Standard Webhooks, with one secret at a time.
        """
        both = a_message(an_endpoint(secrets=[NEW, OLD]), SystemClock().now())

        for secret in (OLD, NEW):
            Webhook(secret).verify(both.body, dict(both.headers))
        with pytest.raises(WebhookVerificationError):
            Webhook(new_secret()).verify(both.body, dict(both.headers))

    @given(place=st.integers(0, 10**6), sign=st.integers(1, 255))
    def test_one_changed_byte_is_noticed(self, place: int, sign: int) -> None:
        """
        Wherever the body was changed.
        """
        message = a_message()
        body = bytearray(message.body)
        body[place % len(body)] ^= sign

        assert refused(a_receiver(), bytes(body), message.headers) == "wrong_signature"

    @pytest.mark.parametrize(
        ("header", "value", "code"),
        [
            ("webhook-id", "evt_other", "wrong_signature"),
            ("webhook-id", "evt_é\ud800", "wrong_signature"),
            ("webhook-id", "", "unsigned"),
            ("webhook-timestamp", "1777975201", "wrong_signature"),
            ("webhook-timestamp", "now", "unsigned"),
            ("webhook-timestamp", "9" * 30, "unsigned"),
            ("webhook-timestamp", "99999999999", "wrong_signature"),
            ("webhook-signature", "", "unsigned"),
            ("webhook-signature", "v1,", "wrong_signature"),
            ("webhook-signature", "v1a,c2ln v2,é", "wrong_signature"),
            ("webhook-signature", "v1,\ud800", "wrong_signature"),
            ("webhook-id", "evt_\ud800", "wrong_signature"),
            ("webhook-signature", None, "unsigned"),
        ],
    )
    def test_a_changed_header_is_noticed(
        self, header: str, value: Any, code: str
    ) -> None:
        """
        Id, time and signature hold each other.
        """
        message = a_message()

        headers = {**message.headers, header: value}

        assert refused(a_receiver(), message.body, headers) == code

    @pytest.mark.parametrize(
        ("seconds", "code"), [(-301, "early"), (-300, ""), (300, ""), (301, "stale")]
    )
    def test_an_old_message_is_not_believed(self, seconds: int, code: str) -> None:
        """
        Whoever sends a message again later than the tolerance is turned away, and so is
        one from the future.
        """
        message = a_message()
        receiver = a_receiver(NOW.add(seconds=seconds))

        if code:
            assert refused(receiver, message.body, message.headers) == code
        else:
            assert receiver.read(message.body, message.headers).id == message.event.id

    def test_a_message_sent_again_at_once_has_its_id(self) -> None:
        """
        A replay within the tolerance is recognised by its id.
        """
        message = a_message()
        receiver = a_receiver(NOW.add(minutes=2))

        ids = {receiver.read(message.body, message.headers).id for _ in range(2)}

        assert ids == {message.event.id}

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"\xff", b"{}", b'{"specversion": "1.0", "id": 1}', b"[" * 9999],
    )
    def test_what_is_no_event_is_malformed(self, body: bytes) -> None:
        """
        Signed nonsense is nonsense.
        """
        stamp = str(int(NOW.timestamp()))
        signed = b"msg_1." + stamp.encode() + b"." + body
        digest = hmac.digest(base64.b64decode(OLD[6:]), signed, "sha256")
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

        assert refused(a_receiver(), body, headers) == "malformed"

    def test_a_huge_body_is_not_looked_at(self) -> None:
        """
        Nobody makes us add up megabytes.
        """
        assert refused(a_receiver(), b" " * 1024**2 + b" ", a_message().headers) == (
            "malformed"
        )

    def test_what_was_parsed_before_is_named(self) -> None:
        """
        The usual mistake is told as such, not as a wrong signature.
        """
        message = a_message()

        bodies: list[Any] = [message.body.decode(), json.loads(message.body)]
        for body in bodies:
            with pytest.raises(InvalidInputError, match="as bytes, as it came"):
                a_receiver().read(body, message.headers)
        with pytest.raises(InvalidInputError, match="headers"):
            a_receiver().read(message.body, [("webhook-id", "1")])  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="clock"):
            Receiver(secrets=[OLD], clock=3)  # type: ignore[arg-type]


class TestSecret:
    """
    A secret is told to nobody.
    """

    @pytest.mark.parametrize(
        "wrong",
        [
            None,
            b"whsec_",
            "sk_live_zzcanaryzz",
            "whpk_" + "b2xk" * 8,
            "whsec_zzcanaryzz",
            "whsec_" + "b2xk" * 7 + "zzcanary!zz=",
            "whsec_" + "b2xk" * 30,
            "whsec_é",
        ],
    )
    def test_a_wrong_one_is_refused_unseen(self, wrong: Any) -> None:
        """
        What is wrong with it is told, and it is not.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_endpoint(secrets=[wrong])

        assert caught.value.field == "secrets"
        assert CANARY[:8] not in str(caught.value)

    def test_is_not_shown(self) -> None:
        """
        Not when somebody prints what holds it, and not as a pickle.
        """
        for one in (an_endpoint(), a_receiver()):
            (secret,) = vars(one)["_secrets"]
            assert "1 secrets" in repr(one)
            assert OLD[6:] not in repr((one, vars(one)))
            with pytest.raises(TypeError, match="not pickled"):
                secret.__reduce__()

    @pytest.mark.parametrize("kind", [Endpoint, Receiver])
    def test_what_could_not_be_made_is_shown(self, kind: Any) -> None:
        """
        Whoever logs the variables of a traceback sees why, and no error of ours.
        """
        assert "<0 secrets>" in repr(kind.__new__(kind))

    def test_a_fresh_one_is_as_asked_for(self) -> None:
        """
        The official library takes it; two are not the same.
        """
        message = a_message(
            an_endpoint(secrets=[new := new_secret()]), SystemClock().now()
        )

        Webhook(new).verify(message.body, dict(message.headers))
        assert new_secret() != new
        assert new_secret(lambda size: b"x" * size) == "whsec_" + "eHh4" * 10 + "eHg="


def canaried(value: Any) -> Any:
    """
    Return a value with a canary in place of everything that a person may have written.
    """
    if isinstance(value, Text):
        return Text(CANARY)
    if isinstance(value, tuple):
        return tuple(canaried(one) for one in value)
    if isinstance(value, (c.Command, Event)) or attrs.has(type(value)):
        changes = {
            field.alias: canaried(getattr(value, field.name))
            for field in attrs.fields(type(value))
        }
        for name in ("files", "metadata"):
            if name in changes:
                changes[name] = (CANARY,) if name == "files" else {CANARY: CANARY}
        return attrs.evolve(value, **changes)
    return value


class TestPrivacy:
    """
    Who is told what.
    """

    def test_every_field_was_thought_of(self) -> None:
        """
        What an event carries is on the list, or is known to be words: a new field is
        told to nobody before somebody has decided.
        """
        words = {"text", "files", "note", "reason", "title", "metadata"}
        fields = {
            field.name for event in EVENTS.values() for field in attrs.fields(event)
        }
        nested = {"settlement", "payment", "ending"}

        assert fields - set(TOLD) - words == set()
        assert not words & set(TOLD)
        for path in TOLD:
            head, _, rest = path.partition(".")
            if rest and head not in nested:
                assert rest in {field.name for field in attrs.fields(EVENTS[head])}
            else:
                assert head in fields

    @settings(max_examples=max(settings().max_examples // 2, 1))
    @given(
        life=strategies.lives(recommended()), to=st.sampled_from([None, BUYER, SELLER])
    )
    def test_nobodys_words_leave(self, life: Any, to: Role | None) -> None:
        """
        Whatever people wrote, whatever their files are called, and your labels: no
        message has it, not even those to you.
        """
        history = [attrs.evolve(one, event=canaried(one.event)) for one in life.history]

        bodies = [one.body.decode() for one in an_endpoint(to).events("o1", history)]

        assert CANARY in repr(history)
        assert CANARY not in "".join(bodies)

    def test_after_an_erasure_nothing_differs(self, engine: Engine) -> None:
        """
        An event told before somebody's words were erased, and after, is the same bytes:
        the words were never in it.
        """
        brought_to(engine, "completed", terms=terms(title=CANARY, text=CANARY))
        before = an_endpoint().events("o1", engine.history("o1"))

        assert engine.erase("ana") + engine.erase("luc") > 0
        after = an_endpoint().events("o1", engine.history("o1"))

        assert [one.body for one in after] == [one.body for one in before]

    def test_the_end_tells_each_side_its_own_money(self) -> None:
        """
        What comes back is the buyer's business, what is paid out the seller's, what you
        keep yours.
        """
        engine = an_engine(open_storage("memory://"))
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
        engine.execute(
            "o1", c.RuleDispute(ruling=Split(to_buyer=eur(30)), reason="so"), by=MIA
        )
        history = engine.history("o1")

        ended = {
            to: told("order_completed", history, to)["settlement"]
            for to in (None, BUYER, SELLER)
        }

        assert ended[BUYER] == {"to_buyer": {"amount": "30.00", "currency": "EUR"}}
        assert set(ended[SELLER]) == {"to_seller"}
        assert set(ended[None]) == {"to_buyer", "to_seller", "kept"}
        ruling = {"kind": "split", "to_buyer": {"amount": "30.00", "currency": "EUR"}}
        for to in (None, BUYER, SELLER):
            assert told("dispute_ruled", history, to)["ruling"] == ruling

    def test_names_at_the_bank_are_yours(self) -> None:
        """
        References of payments, keys and ids of people go to your own programs only; what
        was paid to the buyer, too.
        """
        booked = {
            to: told("payment_booked", HISTORY, to) for to in (None, BUYER, SELLER)
        }
        placed = {to: told("order_placed", HISTORY, to) for to in (None, BUYER, SELLER)}

        assert booked[None]["payment"]["reference"] == "pi_1"
        assert set(booked[BUYER]["payment"]) == {"method", "amount"}
        assert booked[SELLER] == {"item": "order"}
        assert {"buyer_id", "seller_id", "amount_due"} <= set(placed[None])
        assert {"buyer_id", "seller_id"}.isdisjoint(placed[BUYER])
        assert {"buyer_id", "seller_id", "amount_due", "fees"}.isdisjoint(
            placed[SELLER]
        )

    def test_what_was_agreed_is_told_without_its_words(self) -> None:
        """
        Windows and prices of terms and add-ons, and neither titles nor texts.
        """
        engine = an_engine(open_storage("memory://"))
        command = an_order(
            terms=terms(title=CANARY),
            add_ons=[AddOn(title=CANARY, price=eur(5))],
            payment=paid(amount=eur(105)),
        )
        engine.place(command, by=ANA, order_id="o1")

        facts = told("order_placed", engine.history("o1"), SELLER)

        assert facts["terms"]["delivery_window"] == "P5D"
        assert {"title", "text"}.isdisjoint(facts["terms"])
        assert facts["add_ons"] == [
            {"price": {"amount": "5.00", "currency": "EUR"}, "extra_window": None}
        ]

    def test_words_are_no_facts_whatever_they_are_called(self) -> None:
        """
        An event of a host's may have words in a field that has a name on the list: they
        are not told, and neither is what is not there.
        """

        @attrs.frozen(kw_only=True)
        class LogoApproved(Event):
            cause: Text
            request: str
            item: str | None
            colours: int

        event = LogoApproved(cause=Text(CANARY), request="logo", item=None, colours=3)
        recorded = attrs.evolve(HISTORY[0], event=event)

        (found,) = an_endpoint().events("o1", [recorded])

        assert found.type == "com.example.shop.logo_approved"
        assert found.data["facts"] == {"request": "logo"}

    def test_money_that_goes_back_whole_is_the_buyers(self) -> None:
        """
        The amount, and no name of the payment.
        """
        engine = an_engine(open_storage("memory://"))
        brought_to(engine, "completed")
        twice = c.ConfirmPayment(payment=paid("pi_2", eur(100)))
        engine.attempt("o1", twice, by=STRIPE)
        history = engine.history("o1")

        facts = {
            to: told("payment_returned", history, to) for to in (None, BUYER, SELLER)
        }

        back = {"amount": "100.00", "currency": "EUR"}
        assert facts[None]["refund"] == facts[BUYER]["refund"] == back
        assert set(facts[SELLER]) == {"item"}

    def test_a_part_of_a_history_is_told_as_it_is(self) -> None:
        """
        Without the events before, what an event did not say of the order is left out.
        """
        (alone,) = an_endpoint().events("o1", [attrs.evolve(HISTORY[1], standing=None)])

        assert set(alone.data) == {"by", "recorded_at", "facts"}

    def test_more_is_yours_to_vouch_for(self) -> None:
        """
        A host may add facts of its own, such as those of its own events.
        """
        endpoint = an_endpoint(more=lambda one: {"number": one.seq, "price": eur(1)})

        facts = endpoint.events("o1", HISTORY)[1].data["facts"]

        assert facts["number"] == 2
        assert facts["price"] == {"amount": "1.00", "currency": "EUR"}

    @pytest.mark.parametrize(
        "more", [None, ["fact"], {"name": "\ud800"}, {"\ud800": 1}, {"id": 10**5000}]
    )
    def test_more_that_cannot_be_told_is_named(self, more: Any) -> None:
        """
        What would be no JSON is refused before anything is sent.
        """
        with pytest.raises(InvalidInputError, match="more"):
            an_endpoint(more=lambda _: more).events("o1", HISTORY)


class TestAnswers:
    """
    What the other side says, as a result.
    """

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_taken(self, status: int) -> None:
        """
        Any 2xx is a yes.
        """
        assert result_of(Answer(status), NOW) == Done()

    def test_gone(self) -> None:
        """
        410 is for good.
        """
        assert isinstance(result_of(Answer(410), NOW), NotDone)

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("header", "later"),
        [
            ("120", 120),
            (" 0 ", 0),
            ("Tue, 05 May 2026 10:01:00 GMT", 60),
            ("Tue, 05 May 2026 09:59:00 GMT", -60),
            ("999999999", 86_400),
            ("Tue, 05 May 2099 10:00:00 GMT", 86_400),
        ],
    )
    def test_later(self, status: int, header: str, later: int) -> None:
        """
        Who says when is asked then, and within a day: a slip of the unit buries nothing.
        """
        assert result_of(Answer(status, header), NOW) == RetryAt(NOW.add(seconds=later))

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(429),
            Answer(503, ""),
            Answer(503, "soon"),
            Answer(503, "-1"),
            Answer(503, "9" * 40),
            Answer(503, "Tue, 05 May 2026 10:00:00 -0000"),
            Answer(503, "Tue, 05 May 1900 10:00:00 GMT"),
            Answer(500, "120"),
            Answer(404),
            Answer(301),
            Answer(100),
            Answer(0),
        ],
    )
    def test_not_known(self, answer: Answer) -> None:
        """
        All else is tried again as any effect, and the status is told.
        """
        result = result_of(answer, NOW)

        assert isinstance(result, Unknown)
        assert str(answer.status) in result.reason

    @given(header=any_text(), status=st.sampled_from([429, 503]))
    def test_any_header_is_survived(self, header: str, status: int) -> None:
        """
        Whatever stands in `Retry-After`.
        """
        result = result_of(Answer(status, header), NOW)

        assert isinstance(result, (RetryAt, Unknown))

    @pytest.mark.parametrize("answer", [None, 200, "200", Answer("200"), Answer(True)])  # type: ignore[arg-type]
    def test_what_is_no_answer_is_named(self, answer: Any) -> None:
        """
        A `send` that returns something else is told what it should.
        """
        with pytest.raises(InvalidInputError, match="Answer"):
            result_of(answer, NOW)

    @pytest.mark.parametrize("header", [120, b"120"])
    def test_a_header_is_text(self, header: Any) -> None:
        """
        So is one that was read as something else.
        """
        with pytest.raises(InvalidInputError, match="retry_after"):
            result_of(Answer(429, header), NOW)


def quiet(publish: Any) -> dict[Any, Callable[[Any], Any]]:
    """
    Return handlers that do nothing but publish.
    """
    return {
        Publish: publish,
        **dict.fromkeys((Notify, Refund, PayOut), lambda _: None),
    }


class TestHandler:
    """
    A worker that passes on what was recorded.
    """

    def engine(self, clock: FakeClock) -> Engine:
        return an_engine(open_storage("memory://"), clock=clock, publish=True)

    def test_everything_arrives_once_in_its_order(self, clock: FakeClock) -> None:
        """
        The receiver believes all of it, and has the whole history.
        """
        engine, seen = self.engine(clock), []
        receiver = Receiver(secrets=[OLD], clock=clock)

        def send(message: Message) -> Answer:
            seen.append(receiver.read(message.body, message.headers).event)
            return Answer(204)

        brought_to(engine, "completed")
        Worker(engine, quiet(handler(engine, an_endpoint(), send))).run_once()

        names = [one.name for one in engine.history("o1")]
        assert [one["type"].rpartition(".")[2] for one in seen] == names
        assert all(one.status == "done" for one in engine.effects("o1"))

    def test_what_was_not_taken_comes_again(self, clock: FakeClock) -> None:
        """
        The first event that is not taken stops those after it; next time all of them
        come, and those that had arrived have the ids they had.
        """
        engine = self.engine(clock)
        answers = [Answer(200), Answer(500)]
        seen: list[str] = []

        def send(message: Message) -> Answer:
            seen.append(message.event.id)
            return answers.pop(0) if answers else Answer(200)

        engine.place(an_order(), by=ANA, order_id="o1")
        handlers = quiet(handler(engine, an_endpoint(), send))
        engine.run_effects(handlers)
        assert len(seen) == 2
        clock.advance(minutes=1)
        engine.run_effects(handlers)

        expected = [e.id for e in an_endpoint().events("o1", engine.history("o1"))]
        assert seen == expected[:2] + expected

    def test_later_counts_no_attempt(self, clock: FakeClock) -> None:
        """
        Somebody who is busy is asked again when he said, as often as he says so.
        """
        engine = self.engine(clock)
        answers = [Answer(503, "600"), Answer(429, "600"), Answer(200)]
        handlers = quiet(handler(engine, an_endpoint(), lambda _: answers.pop(0)))
        engine.place(an_order(payment=None), by=ANA, order_id="o1")

        for _ in range(3):
            engine.run_effects(handlers, ["publish"], limit=1)
            clock.advance(minutes=10)

        (published,) = [
            one for one in engine.effects("o1") if isinstance(one.effect, Publish)
        ]
        assert (published.status, published.attempts) == ("done", 1)

    def test_who_is_gone_is_parked_for_you(self, clock: FakeClock) -> None:
        """
        It stands in `stuck` with the reason.
        """
        engine = self.engine(clock)
        engine.place(an_order(payment=None), by=ANA, order_id="o1")

        engine.run_effects(quiet(handler(engine, an_endpoint(), lambda _: Answer(410))))

        assert [(one.kind, "410" in one.reason) for one in engine.stuck()] == [
            ("publish", True)
        ]

    def test_who_is_down_leaves_one_line(
        self, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It is tried again, its reason stands in `effects`, and the log has no traceback.
        """
        engine = self.engine(clock)
        engine.place(an_order(payment=None), by=ANA, order_id="o1")

        def send(message: Message) -> Answer:
            raise ConnectionRefusedError(111, "Connection refused")

        async def send_awaited(message: Message) -> Answer:
            return send(message)

        async def awaited() -> None:
            storage = ThreadedStorage(engine.storage)
            other = AsyncEngine(COMEUP, storage, clock=clock, publish=True)
            publish = handler(other, an_endpoint(), send_awaited)
            await other.run_effects(quiet(publish), ["publish"])

        engine.run_effects(quiet(handler(engine, an_endpoint(), send)), ["publish"])
        clock.advance(hours=1)
        asyncio.run(awaited())

        (one,) = (
            one for one in engine.effects("o1") if isinstance(one.effect, Publish)
        )
        assert (one.status, one.attempts) == ("waiting", 2)
        assert one.reason == "the receiver was not reached: ConnectionRefusedError"
        assert not any(record.exc_info for record in caplog.records)

    def test_awaited(self, clock: FakeClock) -> None:
        """
        An `AsyncEngine` takes a coroutine function, and a plain one.
        """
        seen: list[str] = []

        def plain(message: Message) -> Answer:
            seen.append(message.event.type)
            return Answer(200)

        async def send(message: Message) -> Answer:
            return plain(message)

        async def run() -> None:
            storage = open_async_storage("memory://")
            async with AsyncEngine(
                COMEUP, storage, clock=clock, publish=True
            ) as engine:
                for one in (send, plain):
                    await engine.place(an_order(payment=None), by=Buyer("ana"))
                    publish = handler(engine, an_endpoint(), one)
                    report = await engine.run_effects(quiet(publish), ["publish"])
                    assert report.done == 1
                await engine.place(an_order(payment=None), by=Buyer("ana"))
                refusing = handler(engine, an_endpoint(), lambda _: Answer(500))
                report = await engine.run_effects(quiet(refusing), ["publish"])
                assert report.again == 1

        asyncio.run(run())
        assert seen == ["com.example.shop.order_placed"] * 2

    def test_is_checked_when_it_is_made(self, clock: FakeClock) -> None:
        """
        Each argument is named that is something else.
        """
        engine = self.engine(clock)

        async def send(message: Message) -> Answer:
            return Answer(200)

        wrong: list[tuple[str, tuple[Any, ...]]] = [
            ("engine", (None, an_endpoint(), print)),
            ("endpoint", (engine, "https://x", print)),
            ("send", (engine, an_endpoint(), None)),
            ("send", (engine, an_endpoint(), send)),
        ]
        for field, given_ in wrong:
            with pytest.raises(InvalidInputError) as caught:
                handler(*given_)
            assert caught.value.field == field

    def test_staff_and_banks_are_told_of_by_role(self, clock: FakeClock) -> None:
        """
        Nobody who acted is named.
        """
        engine = self.engine(clock)
        brought_to(engine, "frozen")

        events = an_endpoint().events("o1", engine.history("o1"))

        assert [event.data["by"] for event in events[-2:]] == ["seller", "operator"]
        assert f'"{OPS.id}"' not in events[-1].body.decode()
        assert f'"{LUC.id}"' not in events[-2].body.decode()
