"""
Forms: what each command is made of, read from JSON and told as JSON.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest
from jsonschema import Draft202012Validator
from pendulum import DateTime

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.clock import FakeClock, as_utc
from escrowflow.errors import InvalidInputError
from escrowflow.events import EVENTS
from escrowflow.forms import Field, form_of, json_schema, narrowed, parse, specimen
from escrowflow.inputs import Text
from escrowflow.money import Money, Payment
from escrowflow.storage.memory import MemoryStorage
from escrowflow.telling import to_json
from escrowflow.terms import Relaunch, Revisions, Split, Terms
from escrowflow.testing.payloads import by_chance, command_within
from escrowflow.words import choice_text
from escrowflow.words.names import LABELS
from tests.given import ANA, COMEUP, LUC, MIA, OPS, T0, an_engine, brought_to, eur
from tests.wander import PEOPLE, wanderers

if TYPE_CHECKING:
    from escrowflow.commands import Command

# All that people may ever send.
COMMANDS: list[type[Command]] = [
    c.PlaceOrder,
    *sorted(
        {command for by in PEOPLE for command in COMEUP.commands_of(by.role)},
        key=lambda command: command.name,
    ),
]

each_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)


def form(command: type[Command]) -> tuple[Field, ...]:
    """
    Return all that a command ever takes, in euros.
    """
    return narrowed(
        form_of(command), [("payment.held_until", {"left_out": True})], "EUR"
    )


@attrs.frozen(kw_only=True)
class PaintHouse(c.Command):
    """
    Paint it, in a colour.
    """

    colour: str = attrs.field()
    coats: int = attrs.field(default=2)
    quickly: bool = attrs.field(default=False)
    with_what: object = attrs.field(default=None)


def _as_said(value: Any) -> Any:
    return value


@attrs.frozen(kw_only=True)
class Bare(c.Command):
    """
    Nothing but types: what they say is all that is said.
    """

    who: str
    nickname: str = ""
    words: Text = attrs.field(factory=Text)
    floors: int = 1
    quickly: bool = False
    colour: Literal["red", "blue"] = "red"
    within: timedelta | None = None
    since: DateTime | None = None
    pictures: tuple[str, ...] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict)
    rooms: int = attrs.field(default=1, metadata={"minimum": 1, "maximum": 9})
    stars: Literal[1, 2] = 1
    again: Revisions = 0
    weight: int = attrs.field(default=1, converter=_as_said)


@attrs.frozen(kw_only=True)
class Either(c.Command):
    """
    Do one thing or another.
    """

    what: bytes | float = attrs.field()


@attrs.frozen(kw_only=True)
class Demolish(c.Command):
    """
    Take it down.
    """

    quickly: bool = attrs.field()
    floors: int = attrs.field()


class TestForm:
    """
    What is read off the class of a command.
    """

    @each_command
    def test_every_field_has_a_kind(self, command: type[Command]) -> None:
        """
        Nothing of the library is left as "something".
        """
        fields = form_of(command)

        assert [field.name for field in fields] == [
            field.name for field in attrs.fields(command)
        ]
        assert all(field.kind != "value" for field in fields)

    @each_command
    def test_what_is_required(self, command: type[Command]) -> None:
        """
        Without a field that is required there is no command; with all of them there is.
        """
        rng = random.Random(command.name)
        whole = command_within(by_chance(rng), command, form(command))
        for field in form(command):
            values = {f.name: getattr(whole, f.name) for f in attrs.fields(command)}
            if field.kind == "payment" and len(values[field.name]) == 1:
                values[field.name] = values[field.name][0]
            del values[field.name]
            if field.required:
                with pytest.raises(TypeError):
                    command(**values)

    @pytest.mark.parametrize(
        ("command", "group"),
        [
            (c.SubmitBrief, ("text", "files")),
            (c.DeliverOrder, ("files", "note")),
            (c.ReportRefund, ("key", "reference")),
            (c.ReportPayout, ("key", "reference")),
        ],
    )
    def test_one_of_several(
        self, command: type[Command], group: tuple[str, ...]
    ) -> None:
        """
        Where one of several fields must be given, each says so.
        """
        found = {field.name for field in form_of(command) if field.one_of == group}

        assert found == set(group)

    def test_a_hosts_own(self) -> None:
        """
        A command of a host is read off its class as well.
        """
        colour, coats, quickly, with_what = form_of(PaintHouse)

        assert (colour.kind, colour.required) == ("id", True)
        assert (coats.kind, coats.required) == ("integer", False)
        assert quickly.kind == "flag"
        assert with_what.kind == "value"

    def test_a_hosts_own_schema(self) -> None:
        """
        And told to other programs, as far as it says what it takes.
        """
        schema = json_schema(PaintHouse)

        Draft202012Validator.check_schema(schema)
        assert set(schema["properties"]) == {"colour", "coats", "quickly", "with_what"}
        assert schema["required"] == ["colour"]
        Draft202012Validator(schema).validate({"colour": "red", "with_what": [1, 2]})

    def test_what_no_form_tells(self) -> None:
        """
        Of what a host's own command takes, not everything can be made up.
        """
        assert specimen(PaintHouse, form_of(PaintHouse)) == PaintHouse(colour="-")
        with pytest.raises(InvalidInputError) as caught:
            specimen(Demolish, form_of(Demolish))
        assert caught.value.field == "floors"

    def test_a_specimen_is_never_one_that_is_excluded(self) -> None:
        """
        Whatever is known already is not made up again.
        """
        fields = [("mediator_id", {"excludes": ("-", "--")})]
        form = narrowed(form_of(c.AssignMediator), fields, "EUR")

        assert specimen(c.AssignMediator, form) == c.AssignMediator(mediator_id="---")

    def test_one_thing_or_another(self) -> None:
        """
        What may be several things is left to whoever made it.
        """
        (what,) = form_of(Either)

        assert (what.name, what.kind) == ("what", "value")

    def test_a_rating(self) -> None:
        """
        A rating is from 1 to 5, here as there.
        """
        rating, _ = form_of(c.LeaveReview)

        assert (rating.minimum, rating.maximum) == (1, 5)
        for bad in (0, 6):
            with pytest.raises(InvalidInputError):
                c.LeaveReview(rating=bad)


class TestLabels:
    """
    What stands beside a field.
    """

    @each_command
    def test_every_field_has_words(self, command: type[Command]) -> None:
        """
        Each field, each field of a field and each choice, in both languages.
        """
        todo = list(form_of(command))
        while todo:
            field = todo.pop()
            todo += field.fields
            assert field.name in LABELS["field"]
            assert field.label() == LABELS["field"][field.name]
            for choice in field.choices:
                assert choice_text(choice) == LABELS["choice"][choice]

    def test_what_nobody_named(self) -> None:
        """
        A host's own field is spelled, and an id is shown as it is.
        """
        colour, *_ = form_of(PaintHouse)

        assert colour.label("fr") == "colour"
        assert choice_text("offer_1", "fr") == "offer_1"
        assert choice_text("split", "fr") == "Partager la somme"


class TestParse:
    """
    One route for all commands.
    """

    @each_command
    def test_there_and_back(self, command: type[Command]) -> None:
        """
        What a command says as JSON is read as the same command.
        """
        rng = random.Random(command.name)
        for _ in range(20):
            said = command_within(by_chance(rng), command, form(command))

            text = json.dumps(to_json(said))

            assert COMEUP.parse(command.name, json.loads(text)) == said

    def test_by_hand(self) -> None:
        """
        A request as a browser would send it.
        """
        found = COMEUP.parse(
            "place_order",
            {
                "seller_id": 7,
                "price": {"amount": "100.00", "currency": "EUR"},
                "payment": {"method": "card", "reference": "pi_1"},
                "terms": {"delivery_window": "P5D", "revisions": "unlimited"},
                "add_ons": [
                    {
                        "title": "Logo",
                        "price": {"amount": 20, "currency": "EUR"},
                        "extra_window": "PT12H",
                    }
                ],
            },
        )

        assert found == c.PlaceOrder(
            seller_id=7,
            price=eur(100),
            payment=Payment("card", "pi_1"),
            terms=Terms(delivery_window=timedelta(days=5), revisions="unlimited"),
            add_ons=[ef.AddOn(title="Logo", price=eur(20), extra_window="PT12H")],
        )

    def test_rulings(self) -> None:
        """
        A ruling says which it is, with its fields.
        """
        to_buyer = {"amount": "9.90", "currency": "EUR"}
        split = {"kind": "split", "to_buyer": to_buyer}
        again = {"kind": "relaunch", "due_at": "2026-06-01T10:00:00+02:00"}

        first: Any = COMEUP.parse("rule_dispute", {"ruling": split, "reason": "x"})
        second: Any = COMEUP.parse("rule_dispute", {"ruling": again, "reason": "x"})

        assert first.ruling == Split(to_buyer=eur("9.90"))
        due_at = as_utc("2026-06-01T08:00:00+00:00", "due_at")
        assert second.ruling == Relaunch(due_at=due_at)

    def test_types_of_a_host_are_held(self) -> None:
        """
        What a class of a host leaves to the types of its fields is read as they say.
        """
        found: Any = parse(
            Bare,
            {
                "who": " zoe ",
                "nickname": "",
                "words": " she said ",
                "floors": -3,
                "quickly": True,
                "colour": "blue",
                "within": "P1D",
                "since": "2026-05-05T10:00:00+02:00",
                "pictures": ["a.png"],
                "labels": {"a": "b"},
                "rooms": 9,
                "stars": 2,
                "again": "unlimited",
                "weight": "as its converter says",
            },
        )

        assert found == Bare(
            who="zoe",
            words=Text("she said"),
            floors=-3,
            quickly=True,
            colour="blue",
            within=timedelta(days=1),
            since=as_utc("2026-05-05T08:00:00Z", "since"),
            pictures=("a.png",),
            labels={"a": "b"},
            rooms=9,
            stars=2,
            again="unlimited",
            weight="as its converter says",
        )
        assert isinstance(found.words, Text)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("who", {"a": 1}),
            ("who", ""),
            ("who", "x" * 256),
            ("nickname", ["x"]),
            ("words", 5),
            ("words", "x" * 20_000),
            ("floors", "3"),
            ("floors", True),
            ("quickly", "yes"),
            ("colour", "green"),
            ("colour", ["red"]),
            ("stars", 3),
            ("again", "never"),
            ("within", "a day"),
            ("since", "yesterday"),
            ("pictures", "a.png"),
            ("labels", ["a"]),
            ("rooms", 0),
            ("rooms", 10),
        ],
    )
    def test_types_that_are_not_held(self, field: str, value: object) -> None:
        """
        What a browser sends is refused where the type of the field says otherwise.
        """
        with pytest.raises(InvalidInputError) as refused:
            parse(Bare, {"who": "zoe", field: value})

        assert refused.value.field == field

    def test_values_pass(self) -> None:
        """
        What is a value already stays one.
        """
        payment = Payment("card", "pi_1")
        found: Any = parse(
            c.BuyAddOn, {"title": "x", "price": eur(3), "payment": [payment]}
        )

        assert (found.price, found.payment) == (eur(3), (payment,))

    @pytest.mark.parametrize(
        ("name", "data", "field"),
        [
            ("accept_order", None, "data"),
            ("accept_order", [], "data"),
            ("accept_order", {"reason": "x"}, "reason"),
            ("accept_order", {1: "x"}, "data"),
            ("refuse_order", {}, "reason"),
            ("refuse_order", {"reason": None}, "reason"),
            ("refuse_order", {"reason": 7}, "reason"),
            ("refuse_order", {"reason": " "}, "reason"),
            ("deliver_order", {}, "files"),
            ("deliver_order", {"files": "logo.svg"}, "files"),
            ("leave_review", {"rating": 4.0}, "rating"),
            ("leave_review", {"rating": "5"}, "rating"),
            ("leave_review", {"rating": True}, "rating"),
            ("propose_partial_refund", {"amount": 5, "reason": "x"}, "amount"),
            ("propose_partial_refund", {"amount": "5 EUR", "reason": "x"}, "amount"),
            (
                "propose_partial_refund",
                {"amount": {"amount": "5"}, "reason": "x"},
                "amount",
            ),
            (
                "propose_partial_refund",
                {"amount": {"amount": 5.5, "currency": "EUR"}, "reason": "x"},
                "amount.amount",
            ),
            (
                "propose_partial_refund",
                {"amount": {"amount": "5", "currency": "EURO"}, "reason": "x"},
                "amount.currency",
            ),
            (
                "propose_partial_refund",
                {"amount": {"amount": "0", "currency": "EUR"}, "reason": "x"},
                "amount",
            ),
            ("rule_dispute", {"ruling": "split", "reason": "x"}, "ruling"),
            ("rule_dispute", {"ruling": {}, "reason": "x"}, "ruling"),
            (
                "rule_dispute",
                {"ruling": {"kind": "fine"}, "reason": "x"},
                "ruling.kind",
            ),
            (
                "rule_dispute",
                {"ruling": {"kind": ["split"]}, "reason": "x"},
                "ruling.kind",
            ),
            (
                "rule_dispute",
                {"ruling": {"kind": "split"}, "reason": "x"},
                "ruling.to_buyer",
            ),
            (
                "rule_dispute",
                {"ruling": {"kind": "full_refund", "to_buyer": 1}, "reason": "x"},
                "ruling.to_buyer",
            ),
            (
                "rule_dispute",
                {"ruling": {"kind": "relaunch", "due_at": "soon"}, "reason": "x"},
                "ruling.due_at",
            ),
            ("pay_offer", {"offer_id": "o", "payment": 7}, "payment"),
            ("pay_offer", {"offer_id": "o", "payment": {}}, "payment.method"),
            (
                "pay_offer",
                {"offer_id": "o", "payment": [{"method": "card"}]},
                "payment[0].reference",
            ),
            (
                "pay_offer",
                {"offer_id": "o", "payment": {"method": 1.5, "reference": "x"}},
                "payment.method",
            ),
            ("extend_deadlines", {"window": "P1M", "reason": "x"}, "window"),
            ("extend_deadlines", {"window": 5, "reason": "x"}, "window"),
            ("remove_review", {"cause": "ugly"}, "cause"),
            ("expire_order", {}, "command"),
            ("mark_late", {}, "command"),
            ("paint_house", {}, "command"),
            (7, {}, "command"),
        ],
    )
    def test_bad(self, name: Any, data: Any, field: str) -> None:
        """
        What is wrong is named, and the system's own commands are nobody's.
        """
        with pytest.raises(InvalidInputError) as caught:
            COMEUP.parse(name, data)

        assert caught.value.field == field

    def test_a_name_without_an_end(self) -> None:
        """
        What is said of a field that there is not is short, whatever was sent.
        """
        with pytest.raises(InvalidInputError) as caught:
            COMEUP.parse("accept_order", {"x" * 1_000_000: 1})

        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({}, "terms.delivery_window"),
            ({"delivery_window": "P1M"}, "terms.delivery_window"),
            ({"delivery_window": "P1D", "colour": 1}, "terms.colour"),
            ({"delivery_window": "P1D", "revisions": "many"}, "terms.revisions"),
            (7, "terms"),
        ],
    )
    def test_bad_terms(self, terms: Any, field: str) -> None:
        """
        So it is in what has fields of its own.
        """
        data = {"seller_id": "luc", "price": eur(1), "payment": None, "terms": terms}

        with pytest.raises(InvalidInputError) as caught:
            COMEUP.parse("place_order", data)

        assert caught.value.field == field

    @pytest.mark.parametrize("add_ons", [7, "x", [7], [{}]])
    def test_bad_add_ons(self, add_ons: Any) -> None:
        """
        And in lists of those.
        """
        terms = {"delivery_window": "P1D"}
        data = {"seller_id": "luc", "price": eur(1), "payment": None, "terms": terms}

        with pytest.raises(InvalidInputError) as caught:
            COMEUP.parse("place_order", data | {"add_ons": add_ons})

        assert caught.value.field.startswith("add_ons")

    @pytest.mark.parametrize("by", [ANA, LUC], ids=str)
    @pytest.mark.parametrize(
        ("name", "data", "field"),
        [
            (
                "buy_add_on",
                {"payment": {"method": "card", "reference": "x"}},
                "payment",
            ),
            ("buy_add_on", {"price": {"amount": "0.01", "currency": "EUR"}}, "price"),
            ("buy_add_on", {"title": "Logo"}, "title"),
            ("buy_add_on", {"extra_window": "P99D"}, "extra_window"),
            ("pay_offer", {"offer_id": "offer-1", "payment": None}, "payment"),
            ("place_order", {"seller_id": "luc", "terms": {}}, "terms"),
            ("place_order", {"add_ons": []}, "add_ons"),
        ],
    )
    def test_what_no_browser_can_know(
        self, by: Any, name: str, data: Any, field: str
    ) -> None:
        """
        That money arrived, and what a platform's own things cost, is not taken from a
        buyer or a seller.
        """
        with pytest.raises(InvalidInputError) as caught:
            COMEUP.parse(name, data, by=by)

        assert caught.value.field == field
        assert "vouched" in caught.value.problem

    def test_what_the_server_vouches_for(self) -> None:
        """
        The server adds it; a provider and staff say it themselves.
        """
        payment = Payment("card", "pi_9")
        found: Any = COMEUP.parse(
            "pay_offer", {"offer_id": "offer-1"}, by=ANA, vouched={"payment": payment}
        )
        said = {"payment": {"method": "card", "reference": "pi_9"}}

        assert (found.offer_id, found.payment) == ("offer-1", (payment,))
        assert COMEUP.parse("confirm_payment", said, by=OPS) == c.ConfirmPayment(
            payment=payment
        )
        with pytest.raises(InvalidInputError, match="payment: it is required"):
            COMEUP.parse("pay_offer", {"offer_id": "offer-1"}, by=ANA)

    def test_a_schema_of_nothing(self) -> None:
        """
        There is a schema of a command only, by its class.
        """
        with pytest.raises(InvalidInputError, match="the class of a command"):
            json_schema("approve_delivery")  # type: ignore[arg-type]

    def test_forms_say_what_is_vouched_for(self) -> None:
        """
        A page leaves it out, and a schema says that it is the server's.
        """
        fields = {field.name: field.vouched for field in form(c.PayOffer)}
        schema = json_schema(c.PayOffer)["properties"]

        assert fields == {"offer_id": False, "payment": True}
        assert schema["payment"]["readOnly"] is True
        assert "readOnly" not in schema["offer_id"]

    def test_a_slip_of_the_pen(self) -> None:
        """
        Who mistypes a command is told which one he may have meant.
        """
        with pytest.raises(InvalidInputError, match="did you mean 'approve_delivery'"):
            COMEUP.parse("aprove_delivery", {})

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("zzz", "'zzz'"),
            (5, "'5'"),
            (["accept_order"], "\"['accept_order']\": did you mean 'accept_order'?"),
            ("z" * 101, repr("z" * 100)),
        ],
    )
    def test_no_such_command(self, name: Any, shown: str) -> None:
        """
        Whatever a request calls it: no command of this process.
        """
        with pytest.raises(InvalidInputError) as caught:
            COMEUP.parse(name, {})

        assert caught.value.field == "command"
        assert caught.value.problem == f"comeup has no command {shown}"

    def test_it_is_executed(self) -> None:
        """
        What was parsed is a command like any other.
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, "pending")

        command = engine.process.parse("accept_order", {})

        assert engine.execute("o1", command, by=LUC).order.state == "in_progress"


class TestSchema:
    """
    What other people's programs are told.
    """

    @each_command
    def test_it_is_a_schema(self, command: type[Command]) -> None:
        """
        It is one by the rules of the standard, and says which command it is of.
        """
        schema = json_schema(command)

        Draft202012Validator.check_schema(schema)
        assert schema["title"] == command.name
        assert schema["description"]
        assert json.loads(json.dumps(schema)) == schema

    @each_command
    def test_what_is_read_is_valid(self, command: type[Command]) -> None:
        """
        Whatever `parse` reads is valid; what is not valid it does not read: with a field
        too few or too many, or something else in its place.
        """
        rng = random.Random(command.name)
        schema = Draft202012Validator(json_schema(command))
        for _ in range(8):
            data = to_json(command_within(by_chance(rng), command, form(command)))
            schema.validate(data)

            assert not schema.is_valid({**data, "more": 1})
            for field in form(command):
                less = {name: one for name, one in data.items() if name != field.name}
                assert not (field.required and schema.is_valid(less))
                for changed in (less, {**data, field.name: {"no": "such"}}):
                    if not schema.is_valid(changed):
                        with pytest.raises(InvalidInputError):
                            parse(command, changed)

    def test_of_an_option(self) -> None:
        """
        What an order leaves of a form is told, too.
        """
        # Many orders leave the same of a form; to hold a schema against the standard
        # takes a hundred times what it takes to hold a payload against the schema.
        known: set[str] = set()
        for wanderer in wanderers("schema", 30):
            for by in PEOPLE:
                for option in wanderer.options(by):
                    if not option.allowed:
                        continue
                    schema = json_schema(option.command, option.fields)
                    told = json.dumps(schema)
                    if told not in known:
                        Draft202012Validator.check_schema(schema)
                        known.add(told)
                    command = command_within(
                        by_chance(wanderer.rng), option.command, option.fields
                    )
                    given = {
                        name: value
                        for name, value in to_json(command).items()
                        if name in {field.name for field in option.fields}
                    }
                    if "payment" not in given and "ruling" not in given:
                        Draft202012Validator(schema).validate(given)


class TestJson:
    """
    Everything the library answers can be told as JSON.
    """

    @pytest.mark.parametrize(
        "state", ["pending", "in_progress", "delivered", "disputed", "completed"]
    )
    @pytest.mark.parametrize("by", [ANA, LUC, OPS], ids=lambda by: by.role.text)
    @pytest.mark.parametrize("locale", ["en", "fr"])
    def test_a_view(self, state: str, by: Any, locale: str) -> None:
        """
        One reading, as a page would fetch it: words and all.
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, state)

        view = engine.view("o1", by=by)
        told = json.loads(json.dumps(to_json(view, locale=locale)))

        assert set(told) == {"order", "options", "forecast", "timeline", "as_of"}
        assert told["order"]["state"] == state
        for option, said in zip(view.options, told["options"], strict=True):
            assert said["name"] == option.name
            assert said["label"] == option.label(locale)
            assert said["allowed"] is option.allowed
            assert [b["message"] for b in said["blockers"]] == [
                blocker.message(locale) for blocker in option.blockers
            ]
            assert [field["label"] for field in said["fields"]] == [
                field.label(locale) for field in option.fields
            ]
            assert (said["consequences"] is None) is not option.allowed

    def test_outcomes_and_refusals(self) -> None:
        """
        So can what a command came to.
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, "pending")

        done = to_json(engine.attempt("o1", c.AcceptOrder(), by=LUC))
        refused = to_json(engine.attempt("o1", c.AcceptOrder(), by=LUC), locale="fr")

        assert done["order"]["state"] == "in_progress"
        assert done["events"][0]["name"] == "order_accepted"
        assert refused["blockers"][0]["code"] == "not_in_this_state"
        assert "«" in refused["blockers"][0]["message"]
        assert json.loads(json.dumps([done, refused])) == [done, refused]

    def test_texts_are_told_or_not(self) -> None:
        """
        What somebody wrote can be left out.
        """
        said = c.RefuseOrder(reason="I am ill")

        assert to_json(said) == {"reason": "I am ill"}
        assert to_json(said, texts=False) == {"reason": True}

    def test_labels_of_what_has_a_name(self) -> None:
        """
        What is told by a code has its words beside it, on the reader's wall clock.
        """
        engine = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=OPS)
        view = engine.view("o1", by=MIA)

        told = to_json(view, locale="fr", zone="Europe/Paris")
        (rule,) = (o for o in told["options"] if o["name"] == "rule_dispute")
        full = rule["consequences"]["by_choice"]["full_refund"]

        assert full["state_label"] == "Annulée"
        assert full["moved"][0]["label"] == "Pour l’acheteur\xa0: 100,00\xa0EUR"
        assert full["statistics_labels"]
        assert told["order"]["dispute"]["label"]
        assert told["timeline"][0]["by_label"] == "acheteur ana"

    def test_whose_wall_clock(self) -> None:
        """
        Sentences show the instants of the reader's zone.
        """
        clock = FakeClock(T0)
        engine = an_engine(MemoryStorage(), clock=clock)
        brought_to(engine, "pending")
        clock.advance(days=3)
        refused = engine.attempt("o1", c.AcceptOrder(), by=LUC)

        assert isinstance(refused, ef.Refusal)
        paris = to_json(refused, zone="Europe/Paris")["blockers"][0]["message"]

        assert "10:00 (+02:00)" in paris
        assert "08:00 (UTC)" in to_json(refused)["blockers"][0]["message"]
        assert refused.blockers[0].message("en", "Europe/Paris") == paris
        with pytest.raises(InvalidInputError) as caught:
            to_json(refused, zone=None)  # type: ignore[arg-type]
        assert caught.value.field == "zone"

    def test_days_of_a_curve(self) -> None:
        """
        A day is ISO 8601, too; what is no value of the library is refused.
        """
        assert to_json({"2026-05-05": date(2026, 5, 5)}) == {"2026-05-05": "2026-05-05"}
        with pytest.raises(InvalidInputError, match="a value of the library"):
            to_json(object())

    def test_no_time_left(self) -> None:
        """
        A window of nothing is one, too.
        """
        assert to_json(timedelta()) == "PT0S"

    def test_every_event_has_a_home(self) -> None:
        """
        There are events, so that the tests above see some.
        """
        assert EVENTS
        assert to_json(Money(5, "JPY")) == {"amount": "5", "currency": "JPY"}
