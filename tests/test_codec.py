"""
The codec: orders and events become bytes and come back, and no text is in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pendulum
import pytest

from escrowflow import commands as c
from escrowflow import events as e
from escrowflow.effects import Notify, PayOut, Refund
from escrowflow.errors import CorruptJournalError, LedgerError
from escrowflow.events import EVENTS, Event, Recorded
from escrowflow.history import fold
from escrowflow.inputs import Text
from escrowflow.ledger import Ledger
from escrowflow.money import Money, Payment, Share
from escrowflow.order import Order
from escrowflow.parties import SYSTEM, Buyer, Operator, Role, Seller
from escrowflow.parts import (
    Covered,
    Deadline,
    Ending,
    RefundPart,
    Settlement,
    Standing,
    Talk,
)
from escrowflow.states import State
from escrowflow.storage import NewEvent, StoredEvent
from escrowflow.storage.codec import (
    content_hash,
    decode_effect,
    decode_event,
    decode_order,
    dump_result,
    encode_effect,
    encode_event,
    encode_order,
    load_result,
    seal,
)
from escrowflow.storage.memory import MemoryStorage
from escrowflow.telling import to_json
from escrowflow.terms import AddOn, FullRefund, PaySeller, Relaunch, Split, Terms
from tests.given import ANA, WAY, an_engine, an_order, brought_to, eur, paid
from tests.lives import VARIANTS, Life

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = pendulum.datetime(2026, 5, 5, 8, 0, 0, 1)
CANARY = "C\u00e4nary"
SECRET = Text(CANARY, commitment="c0ffee")
TEXTS = {"c0ffee": CANARY}
MORE = Path(__file__).parents[1]

RULINGS: list[Any] = [
    FullRefund(),
    Split(to_buyer=eur("45.01")),
    Relaunch(),
    Relaunch(due_at=NOW),
    PaySeller(),
]
PART = RefundPart(
    payment=paid("pi_1", eur(100)), amount=eur(5), estimate=(NOW, NOW.add(days=5))
)
SETTLEMENT = Settlement(to_buyer=(PART,), to_seller=eur(94), kept=eur(1))
ENDING = Ending(
    cause="late",
    trigger="cancel_order",
    responsible=Role.SELLER,
    public=True,
    reason=SECRET,
    statistics=("completion_rate",),
)
TERMS = Terms(
    delivery_window="P5D",
    revisions="unlimited",
    acceptance_window=timedelta(microseconds=1),
    verification_window="P7D",
    brief_required=False,
    offers=False,
    title=SECRET,
    text=SECRET,
)

# What a field holds, by its name; a `Text` wherever there can be one.
VALUES: dict[str, Any] = {
    "order_id": "o1",
    "buyer_id": "ana",
    "seller_id": "luc",
    "process": "comeup",
    "fingerprint": "comeup:1",
    "consents": ("buyer", "seller"),
    "price": eur(100),
    "tip": eur(0),
    "add_ons": (AddOn(title=SECRET, price=eur(1), extra_window="P1D"),),
    "fees": eur(1),
    "amount_due": eur(102),
    "terms": TERMS,
    "full_window": timedelta(days=5),
    "listing_id": "logo",
    "metadata": {"#": "x", "a": "\u00e9"},
    "payment": paid("pi_1", eur(100)),
    "item": "order",
    "refund": PART,
    "why": "not_owed",
    "text": SECRET,
    "files": ("a.svg", "\u00e9"),
    "note": SECRET,
    "reason": SECRET,
    "over_limit": True,
    "due_at": NOW.add(days=2),
    "accepted": True,
    "request": "revision",
    "mediator_id": "mia",
    "cause": "unlawful",
    "ruling": Split(to_buyer=eur(5)),
    "by_default": True,
    "amount": eur("0.01"),
    "to_buyer": (PART,),
    "add_on_id": "addon-1",
    "title": SECRET,
    "extra_window": timedelta(hours=6),
    "offer_id": "offer-1",
    "delivery_window": None,
    "rating": 5,
    "reference": "m-1",
    "window": timedelta(seconds=1),
    "ending": ENDING,
    "settlement": SETTLEMENT,
    "key": "k0",
    "next_key": "k1",
    "again": True,
    "caught_up": True,
    "payee_id": "heir",
    "chargeback_id": "dp_1",
    "payment_reference": "pi_1",
    "lost": eur(5),
    "held": eur(5),
    "refunds": (Covered(key="k0", amount=eur(5), rest=eur(1), next_key="k1"),),
    "payouts": (Covered(key="k0", amount=eur(5), rest=eur(0)),),
}

STANDING = Standing(
    state=State.CANCELLATION_REQUESTED,
    left=("in_progress",),
    late=True,
    due_at=NOW,
    deadlines=(
        Deadline(name="answer", due_at=NOW),
        Deadline(name="offer", due_at=NOW, subject="offer-1", passed=True),
        Deadline(
            name="delivery", due_at=NOW, left=timedelta(hours=3), stopped_in="delivered"
        ),
    ),
    conversation=Talk(open=True, closes_at=NOW),
    moved_by="answer",
    moved_from="in_progress",
)

LIBRARY = [kind for kind in EVENTS.values() if kind.__module__.startswith(e.__name__)]
each_event = pytest.mark.parametrize("kind", LIBRARY, ids=lambda kind: kind.name)


def an_event(kind: type[Event], **changes: Any) -> Event:
    """
    Return an event of a kind, every field filled.
    """
    fields = {field.name: VALUES[field.name] for field in attrs.fields(kind)}
    return kind(**{**fields, **changes})


def recorded(event: Event, standing: Standing | None = STANDING) -> Recorded:
    """
    Return an event as it is recorded.
    """
    return Recorded(
        seq=7,
        event=event,
        by=Operator("a:b"),
        effective_at=NOW,
        recorded_at=NOW.add(seconds=1),
        standing=standing,
    )


def encoded(before: Recorded) -> NewEvent:
    """
    Return an event as it is appended to the history of `o1`.
    """
    return encode_event(before, "o1", b"")


def stored(new: NewEvent, **changes: Any) -> StoredEvent:
    """
    Return an event as a storage gives it back.
    """
    fields = {name: getattr(new, name) for name in attrs.fields_dict(NewEvent)}
    return StoredEvent(**{**fields, **changes})


def texts_of(value: Any) -> list[Text]:
    """
    Return every text inside a value, with what is known of it.
    """
    if isinstance(value, Text):
        return [value]
    if isinstance(value, tuple):
        return [text for item in value for text in texts_of(item)]
    if attrs.has(type(value)):
        return [
            text
            for field in attrs.fields(type(value))
            for text in texts_of(getattr(value, field.name))
        ]
    return []


# --- events -------------------------------------------------------------------------


class TestEvents:
    """
    A journal is read back as it was written.
    """

    @each_event
    @pytest.mark.parametrize("standing", [None, STANDING])
    def test_round_trip(self, kind: type[Event], standing: Standing | None) -> None:
        """
        Every event of the library, with every field filled.
        """
        before = recorded(an_event(kind), standing)

        after = decode_event(stored(encoded(before)), TEXTS)

        assert after == before
        assert type(after.event) is kind
        marks = [(text, text.commitment, text.erased) for text in texts_of(after)]
        assert marks == [(CANARY, "c0ffee", False)] * len(texts_of(before))

    @each_event
    def test_no_text_in_the_bytes(self, kind: type[Event]) -> None:
        """
        What somebody wrote is not in the history: a canary is not found.
        """
        new = encoded(recorded(an_event(kind)))

        for spelled in (CANARY, json.dumps(CANARY).strip('"'), "nary"):
            assert spelled.encode() not in new.body

    @each_event
    def test_erased(self, kind: type[Event]) -> None:
        """
        Without the text the event is still read; its place is empty and says so.
        """
        before = recorded(an_event(kind))

        after = decode_event(stored(encoded(before)), {})

        marks = [(str(text), text.commitment, text.erased) for text in texts_of(after)]
        assert marks == [("", "c0ffee", True)] * len(texts_of(before))
        # And written again, it is the same history.
        assert encoded(after) == encoded(before)

    @pytest.mark.parametrize(
        "ruling", RULINGS, ids=lambda ruling: type(ruling).__name__
    )
    def test_rulings(self, ruling: Any) -> None:
        """
        A ruling comes back as the class it was.
        """
        before = recorded(an_event(e.DisputeRuled, ruling=ruling))

        after: Any = decode_event(stored(encoded(before)), TEXTS)

        assert after == before
        assert type(after.event.ruling) is type(ruling)

    @pytest.mark.parametrize("by", [SYSTEM, Buyer("system"), Seller("\u00e9:\u00e9")])
    def test_actors(self, by: Any) -> None:
        """
        Who did it, the system included, and nobody by his name.
        """
        before = attrs.evolve(recorded(e.OrderAccepted()), by=by)

        assert decode_event(stored(encoded(before)), {}).by == by

    def test_a_state_is_a_member_again(self) -> None:
        """
        The text of a state becomes the member of the enum.
        """
        after = decode_event(stored(encoded(recorded(e.OrderAccepted()))), {})

        assert after.standing is not None
        assert after.standing.state is State.CANCELLATION_REQUESTED

    def test_a_text_that_is_not_sealed(self) -> None:
        """
        A text that would be written for ever is refused.
        """
        with pytest.raises(LedgerError, match=r"not sealed.*as the command has it"):
            encoded(recorded(an_event(e.ClaimFiled, reason=Text(CANARY))))

    def test_an_empty_text(self) -> None:
        """
        Nothing said is nothing to seal.
        """
        before = recorded(an_event(e.ClaimFiled, reason=Text()))

        assert decode_event(stored(encoded(before)), {}) == before

    @pytest.mark.parametrize(
        "name", ["order_teleported", "", "os.system", "OrderPlaced"]
    )
    def test_unknown(self, name: str) -> None:
        """
        An event nobody knows is kept and named, never guessed (F84, F85).
        """
        new = encoded(recorded(e.OrderAccepted()))

        with pytest.raises(CorruptJournalError, match="event 7: nobody knows"):
            decode_event(stored(new, name=name), {})

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"5",
            b"{",
            b"{}",
            b"\xff\xfe",
            b'{"by":"seller:luc"}',
            b'{"by":"seller:luc","data":5}',
            b'{"by":"seller:luc","data":{"offer_id":{}},"standing":5}',
            b'{"by":"nobody:luc","data":{}}',
            b'{"by":5,"data":{}}',
            b'{"by":"seller:","data":{}}',
            b'{"by":"seller:luc","data":{},"standing":5}',
            b'{"by":"seller:luc","data":{},"standing":{}}',
            b'{"by":"seller:luc","data":{},"standing":{"state":[]}}',
            b"[" * 100_000,
        ],
        ids=lambda body: body[:20].decode("latin-1"),
    )
    def test_damaged(self, body: bytes) -> None:
        """
        Whatever the damage, it is one error that says which event.
        """
        new = encoded(recorded(an_event(e.OfferExpired)))

        with pytest.raises(CorruptJournalError, match="event 7 cannot be read"):
            decode_event(stored(new, body=body), {})

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": [-1, "EUR"]},
            {"amount": [1.5, "EUR"]},
            {"amount": [True, "EUR"]},
            {"amount": [1, "XXX"]},
            {"amount": 5},
            {"amount": None},
        ],
        ids=repr,
    )
    def test_money_that_is_none(self, changes: Mapping[str, Any]) -> None:
        """
        An amount that was tampered with is no money.
        """
        new = encoded(recorded(an_event(e.PartialRefundProposed)))
        body = json.loads(new.body)
        body["data"].update(changes)

        with pytest.raises(CorruptJournalError):
            decode_event(stored(new, body=json.dumps(body).encode()), TEXTS)

    @pytest.mark.parametrize("field", ["effective_at", "recorded_at"])
    @pytest.mark.parametrize("micros", [-1, 2**63 - 1])
    def test_an_instant_out_of_range(self, field: str, micros: int) -> None:
        """
        An instant beyond the year 9999 was never written.
        """
        new = encoded(recorded(e.OrderAccepted()))

        with pytest.raises(CorruptJournalError):
            decode_event(stored(new, **{field: micros}), {})


# --- orders -------------------------------------------------------------------------


class TestOrders:
    """
    A snapshot is read back as it was written.
    """

    @pytest.mark.parametrize("state", ["awaiting_payment", *WAY])
    def test_round_trip(self, state: str) -> None:
        """
        In every state; and the bytes are the same the second time.
        """
        order, texts = self._brought(state)
        body = encode_order(order)

        again = decode_order(body, texts)

        assert again == order
        assert encode_order(again) == body
        assert texts_of(again) == texts_of(order)

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_of_random_lives(self, variant: str) -> None:
        """
        Whatever an order has been through.
        """
        life = Life(rng=random.Random(7), process=VARIANTS[variant], previewed=0)
        for _ in range(30):
            life.step()
            loaded = life.engine.storage.load(life.order_id)
            order = decode_order(loaded.snapshot, loaded.texts)
            assert encode_order(order) == loaded.snapshot

    def test_no_text_in_the_bytes(self) -> None:
        """
        A canary in every text of a life is found in none of its bytes.
        """
        engine = an_engine(MemoryStorage())
        terms = Terms(delivery_window="P5D", title=CANARY, text=CANARY)
        option = AddOn(title=CANARY, price=eur(1))
        brought_to(engine, "delivered", terms=terms, add_ons=[option])
        engine.execute("o1", c.LeaveReview(rating=5, text=CANARY), by=ANA)
        loaded = engine.storage.load("o1")

        bodies = [loaded.snapshot]
        bodies += [event.body for event in engine.storage.events("o1")]
        bodies += [effect.body for effect in engine.storage.effects("o1")]

        assert not [body for body in bodies if b"nary" in body]
        assert list(loaded.texts.values()).count(CANARY) == 4
        review = engine.order("o1").review
        assert review is not None
        assert review.text == CANARY

    def test_erased(self) -> None:
        """
        An order whose texts are gone is the same order without words.
        """
        order, _ = self._brought("revision_refused")

        gone = decode_order(encode_order(order), {})

        assert {str(text) for text in texts_of(gone)} == {""}
        assert {text.erased for text in texts_of(gone) if text.commitment} == {True}
        assert encode_order(gone) == encode_order(order)
        assert gone.ledger == order.ledger

    @pytest.mark.parametrize(
        "metadata",
        [{"#": "x"}, {"#": "c0ffee"}, {"#": '["c0ffee"]'}, {"x": '{"#":["c0ffee"]}'}],
    )
    def test_labels_that_look_like_texts(self, metadata: dict[str, str]) -> None:
        """
        A label of the host is a label, whatever it looks like.
        """
        engine = an_engine(MemoryStorage())
        engine.place(an_order(metadata=metadata), by=ANA, order_id="o1")

        assert engine.order("o1").metadata == metadata
        assert fold(engine.history("o1")).metadata == metadata

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"{",
            b"\xff",
            b'{"standing":5}',
            b'{"standing":{"state":{}}}',
            b"[" * 100_000,
        ],
        ids=lambda body: body[:20].decode("latin-1"),
    )
    def test_damaged(self, body: bytes) -> None:
        """
        What was never written by us is no order.
        """
        with pytest.raises(CorruptJournalError, match="this is no order"):
            decode_order(body, {})

    def test_any_cut(self) -> None:
        """
        A snapshot that was cut anywhere is no order.
        """
        order, texts = self._brought("delivered")
        body = encode_order(order)

        for end in range(0, len(body), 7):
            with pytest.raises(CorruptJournalError):
                decode_order(body[:end], texts)

    @pytest.mark.parametrize(
        "changes",
        [
            {"price": [-1, "EUR"]},
            {"price": [1.5, "EUR"]},
            {"placed_at": "yesterday"},
            {"placed_at": -5},
            {"version": None},
        ],
        ids=repr,
    )
    def test_fields_that_cannot_be(self, changes: dict[str, Any]) -> None:
        """
        Values are checked on the way in again.
        """
        order, texts = self._brought("pending")
        body = {**json.loads(encode_order(order)), **changes}
        if changes == {"version": None}:
            del body["version"]

        with pytest.raises(CorruptJournalError):
            decode_order(json.dumps(body).encode(), texts)

    def test_what_equals_its_default_is_left_out(self) -> None:
        """
        A new order is short.
        """
        order, _ = self._brought("awaiting_payment")

        fields = set(json.loads(encode_order(order)))

        assert not fields & {"as_of", "offers", "dispute", "extra", "listing_id"}
        assert {"id", "standing", "ledger", "price"} <= fields

    def _brought(self, state: str) -> tuple[Order, Mapping[str, str]]:
        engine = an_engine(MemoryStorage())
        brought_to(engine, state)
        loaded = engine.storage.load("o1")
        return decode_order(loaded.snapshot, loaded.texts), loaded.texts


SCRIPT = """
import hashlib, random
from tests.lives import VARIANTS, Life
digest = hashlib.sha256()
for name in sorted(VARIANTS):
    life = Life(rng=random.Random(3), process=VARIANTS[name], previewed=0)
    for _ in range(20):
        life.step()
    storage = life.engine.storage
    digest.update(storage.load(life.order_id).snapshot)
    for event in storage.events(life.order_id):
        digest.update(event.body)
    for effect in storage.effects(life.order_id):
        digest.update(effect.key.encode() + effect.body)
    digest.update(life.process.fingerprint.encode())
print(digest.hexdigest())
"""


class TestCanonical:
    """
    The same value is the same bytes, anywhere.
    """

    def test_sorted_and_tight(self) -> None:
        """
        One form: sorted keys, no spaces, UTF-8.
        """
        new = encoded(recorded(an_event(e.OrderPlaced)))

        again = json.dumps(
            json.loads(new.body),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )

        assert new.body == again.encode()

    def test_in_other_processes(self) -> None:
        """
        Whatever the hash seed, the zone and the language of the process (I15).
        """
        prints = set()
        for seed, zone, language in (
            ("0", "UTC", "C.UTF-8"),
            ("1", "Asia/Kathmandu", "C"),
        ):
            found = subprocess.run(
                [sys.executable, "-c", SCRIPT],
                cwd=MORE,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{MORE}:{MORE / 'src'}",
                    "PYTHONHASHSEED": seed,
                    "TZ": zone,
                    "LC_ALL": language,
                },
                capture_output=True,
                text=True,
                check=True,
            )
            prints.add(found.stdout.strip())

        assert len(prints) == 1


# --- effects ------------------------------------------------------------------------


class TestEffects:
    """
    What is handed out is read back.
    """

    @pytest.mark.parametrize(
        "effect",
        [
            Refund(
                order_id="o1",
                seq=3,
                key="k",
                payment=paid("pi_1", eur(100)),
                amount=eur(5),
                expected_by=NOW,
                asked_at=NOW,
                parked=True,
            ),
            PayOut(
                order_id="o1",
                seq=3,
                key="k",
                seller_id="luc",
                payee_id="heir",
                amount=eur(5),
                asked_at=NOW,
            ),
            Notify(
                order_id="o1",
                seq=3,
                key="k",
                kind="order_paid",
                to="seller",
                recipient_id="luc",
                params={
                    "state": "pending",
                    "rating": 5,
                    "price": eur(100),
                    "due_at": NOW,
                },
                useless_after=NOW,
            ),
        ],
        ids=lambda effect: effect.name,
    )
    def test_round_trip(self, effect: Any) -> None:
        """
        Each of the three, with all it says.
        """
        new = encode_effect(effect, 5)

        assert (new.key, new.kind, new.seq) == ("k", effect.name, 3)
        assert (new.ready_at, new.moves_money) == (5, effect.moves_money)
        assert decode_effect(new.body, type(effect)) == effect

    def test_damaged(self) -> None:
        """
        A damaged effect is not carried out.
        """
        with pytest.raises(CorruptJournalError, match="this is no refund"):
            decode_effect(b"{}", Refund)


# --- texts --------------------------------------------------------------------------


class TestSeal:
    """
    Before anything is recorded, texts are taken out and salted.
    """

    def test_a_commitment(self) -> None:
        """
        The hash of salt and text stands for the text.
        """
        sealed, texts = seal(c.RefuseOrder(reason=CANARY), "luc", lambda: b"salt")

        ref = hashlib.sha256(b"\0\4salt" + CANARY.encode()).hexdigest()[:40]
        assert sealed == c.RefuseOrder(reason=CANARY)
        assert sealed.reason.commitment == ref
        (text,) = texts
        assert (text.ref, text.subject_id, text.salt) == (ref, "luc", b"salt")
        assert text.text == CANARY

    def test_the_same_words_twice(self) -> None:
        """
        With fresh salt two equal texts cannot be told from each other.
        """
        salts = iter([b"1", b"2"])
        terms = Terms(delivery_window="P1D", title="x", text="x")

        sealed, texts = seal(an_order(terms=terms), "ana", lambda: next(salts))

        assert sealed.terms.title.commitment != sealed.terms.text.commitment
        assert len({text.ref for text in texts}) == 2

    def test_inside_of_parts(self) -> None:
        """
        Texts are found in the parts of a command, and nothing else is touched.
        """
        option = AddOn(title=CANARY, price=eur(1))
        command = an_order(add_ons=[option], metadata={"a": "b"})

        sealed, texts = seal(command, "ana", lambda: b"s")

        assert sealed.add_ons[0].title.commitment == texts[0].ref
        assert sealed == command

    def test_nothing_to_seal(self) -> None:
        """
        A command without words is itself.
        """
        for command in (c.AcceptOrder(), c.CancelOrder(), c.SendMessage(reference="m")):
            assert seal(command, "ana", lambda: b"s") == (command, ())

    def test_anew(self) -> None:
        """
        What was sealed elsewhere is sealed anew: it is this order's text now.
        """
        sealed, _ = seal(c.RefuseOrder(reason=CANARY), "luc", lambda: b"1")

        again, texts = seal(sealed, "luc", lambda: b"2")

        assert again == sealed
        assert again.reason.commitment == texts[0].ref != sealed.reason.commitment


class TestContent:
    """
    What makes two commands the same.
    """

    def test_the_same(self) -> None:
        """
        Built twice, sealed or not, in other spelling: the same.
        """
        one = c.RefuseOrder(reason="tr\u00e8s tard")
        sealed, _ = seal(one, "luc", lambda: b"s")

        assert content_hash(one) == content_hash(sealed)
        assert content_hash(one) == content_hash(
            c.RefuseOrder(reason="tre\u0300s tard")
        )
        assert content_hash(an_order()) == content_hash(an_order())

    @pytest.mark.parametrize(
        "changes",
        [
            {"seller_id": "lea"},
            {"price": eur("100.01")},
            {"price": Money.of(100, "USD")},
            {"payment": None},
            {"payment": paid("pi_2")},
            {"payment": paid("pi_1", eur(100))},
            {"payment": Payment("wallet", "pi_1")},
            {"payment": Payment("card", "pi_1", None, "2026-05-12T10:00:00Z")},
            {"terms": Terms(delivery_window="P6D")},
            {"terms": Terms(delivery_window="P5D", revisions=0)},
            {"terms": Terms(delivery_window="P5D", title="x")},
            {"tip": eur("0.01")},
            {"add_ons": [AddOn(title="x", price=eur(1))]},
            {"listing_id": "x"},
            {"metadata": {"a": "b"}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_each_field_counts(self, changes: dict[str, Any]) -> None:
        """
        Whatever differs makes another command.
        """
        assert content_hash(an_order(**changes)) != content_hash(an_order())

    def test_the_command_counts(self) -> None:
        """
        Two commands that say the same words are two.
        """
        hashes = {
            content_hash(command(reason="x"))
            for command in (c.RefuseOrder, c.FileClaim, c.RefuseRevision, c.FreezeOrder)
        }
        rulings = {
            content_hash(c.RuleDispute(ruling=ruling, reason="x")) for ruling in RULINGS
        }

        assert (len(hashes), len(rulings)) == (4, len(RULINGS))


class TestToJson:
    """
    Plain data, for people and programs.
    """

    @pytest.mark.parametrize(
        ("value", "plain"),
        [
            (None, None),
            (True, True),
            (7, 7),
            ("x", "x"),
            (State.PENDING, "pending"),
            (SECRET, CANARY),
            (eur("99.9"), {"amount": "99.90", "currency": "EUR"}),
            (Money(5, "JPY"), {"amount": "5", "currency": "JPY"}),
            (pendulum.datetime(2026, 5, 5, 8), "2026-05-05T08:00:00+00:00"),
            (timedelta(hours=48), "P2D"),
            (timedelta(minutes=90), "PT1H30M"),
            (Role.SELLER, "seller"),
            (Buyer("ana"), "buyer:ana"),
            (SYSTEM, "system"),
            (Share.percent(50), "50 %"),
            ({"a": (1, eur(1))}, {"a": [1, {"amount": "1.00", "currency": "EUR"}]}),
            (FullRefund(), {"kind": "full_refund"}),
            (
                Split(to_buyer=eur(5)),
                {
                    "kind": "split",
                    "to_buyer": {"amount": "5.00", "currency": "EUR"},
                },
            ),
            (
                paid("pi_1"),
                {
                    "method": "card",
                    "reference": "pi_1",
                    "amount": None,
                },
            ),
            (c.AcceptOrder(), {}),
            (
                c.LeaveReview(rating=4, text="fine"),
                {"rating": 4, "text": "fine"},
            ),
            (
                Ledger("EUR", external=-7, escrow=5, refundable=2),
                {
                    "held": {"amount": "0.05", "currency": "EUR"},
                    "refunded": {"amount": "0.02", "currency": "EUR"},
                    "released": {"amount": "0.00", "currency": "EUR"},
                    "kept": {"amount": "0.00", "currency": "EUR"},
                },
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_values(self, value: Any, plain: Any) -> None:
        """
        One form for each kind of value.
        """
        found = to_json(value)

        assert found == plain
        assert type(found) is type(plain)

    def test_a_whole_order(self) -> None:
        """
        An order, its options and its history can be sent as they are.
        """
        engine = an_engine(MemoryStorage())
        brought_to(engine, "disputed")

        for value in (
            engine.order("o1"),
            engine.history("o1"),
            engine.attempt("o1", c.AcceptOrder(), by=Seller("luc")),
        ):
            text = json.dumps(to_json(value), allow_nan=False)
            assert json.loads(text) == to_json(value)


class TestResults:
    """
    What is kept of how an effect went.
    """

    def test_there_and_back(self) -> None:
        """
        What was said is read again; of an effect that nobody tried, nothing.
        """
        assert load_result(dump_result(at=5, reason="x")) == {"at": 5, "reason": "x"}
        assert load_result(b"") == {}

    @pytest.mark.parametrize("body", [b"junk", b"[1]", b"\xff"])
    def test_damaged(self, body: bytes) -> None:
        """
        What was never written is noticed.
        """
        with pytest.raises(CorruptJournalError):
            load_result(body)
