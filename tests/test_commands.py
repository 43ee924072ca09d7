"""
Commands: what is wrong by itself is refused while the command is built.

The table below says for every field of every command what kind of thing it takes;
the kinds say what they do not take.
"""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import attrs
import pendulum
import pytest

from escrowflow import commands as c
from escrowflow.clock import Months
from escrowflow.commands import Command
from escrowflow.errors import InvalidInputError
from escrowflow.inputs import FILES_MAX, METADATA_MAX, TEXT_BYTES_MAX, snake_case
from escrowflow.money import AMOUNT_MAX, Money, Payment
from escrowflow.parties import Role
from escrowflow.processes import recommended
from escrowflow.processes.comeup import ROWS
from escrowflow.terms import AddOn, FullRefund, PaySeller, Relaunch, Split, Terms
from tests.cells import hold
from tests.given import eur, paid, terms

NAN: Final = float("nan")

SYSTEM_MOVES: Final = {
    row.command for row in (*ROWS, *recommended().rows) if Role.SYSTEM in row.by
}

# --- what a kind of field takes (first), and what it does not -----------------------

_NO_TEXT: Final[list[Any]] = [
    5,
    5.0,
    NAN,
    True,
    None,
    b"x",
    ["x"],
    "\ud800",
    "a\x00b",
    "a\x1bb",
    "x" * (TEXT_BYTES_MAX + 1),
    "\u00e9" * (TEXT_BYTES_MAX // 2 + 1),
]
_NO_WINDOW: Final[list[Any]] = [
    5,
    5.0,
    NAN,
    True,
    "",
    "48h",
    "P1M",
    "P1Y",
    Months(1),
    pendulum.duration(months=1),
    timedelta(),
    timedelta(days=-1),
    timedelta(days=3661),
    Decimal(5),
]
_NO_MONEY: Final[list[Any]] = [
    5,
    5.0,
    NAN,
    True,
    "5 EUR",
    Decimal(5),
    Decimal("1E+1000000"),
    (500, "EUR"),
    Money(0, "EUR"),
    Money(AMOUNT_MAX + 1, "EUR"),
    Money(2**63 - 1, "EUR"),
]
_NO_PAYMENTS: Final[list[Any]] = [
    "pi_1",
    5,
    5.0,
    NAN,
    True,
    {"method": "card"},
    [paid(), "pi_2"],
    [paid("pi_1"), paid("pi_2")],
    [paid("pi_1", eur(1)), paid("pi_1", eur(2))],
    [paid("\u00e9", eur(1)), paid(" e\u0301 ", eur(2))],
    [paid(f"pi_{i}", eur(1)) for i in range(11)],
    eur(5),
    Payment,
]

_NO_INSTANT: Final[list[Any]] = [
    None,
    5,
    5.0,
    NAN,
    True,
    "",
    "tomorrow",
    "2026-05-20T10:00:00",
    datetime(2026, 5, 20, 10),  # noqa: DTZ001
    b"2026-05-20T10:00:00Z",
]

KINDS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "id": (
        "x-1",
        [
            5.0,
            NAN,
            True,
            None,
            b"x",
            ["x"],
            "",
            "   ",
            "x" * 300,
            10**300,
            10**5000,
            "a\x00b",
            "a\nb",
            "a\x7fb",
            "a\u200bb",
            "a\u202eb",
            "\ufeffa",
            "\ud800",
        ],
    ),
    "reason": ("because", ["", "  \n ", *_NO_TEXT]),
    "text": ("", _NO_TEXT),
    "money": (eur(5), [None, *_NO_MONEY]),
    "maybe money": (None, _NO_MONEY),
    "window": ("PT48H", [None, *_NO_WINDOW]),
    "maybe window": (None, _NO_WINDOW),
    "instant": ("2026-05-20T10:00:00Z", _NO_INSTANT),
    "payments": (None, _NO_PAYMENTS),
    "payment": (
        paid(),
        [None, (paid("pi_1", eur(1)), paid("pi_2", eur(1))), [], *_NO_PAYMENTS],
    ),
    "files": (
        ("logo.svg",),
        [
            "logo.svg",
            b"logo.svg",
            5,
            NAN,
            None,
            [""],
            [5.0],
            [True],
            [None],
            ["a\u200bb"],
            ["\ud800"],
            ["x" * 300],
            ["x"] * (FILES_MAX + 1),
        ],
    ),
    "listing": ("", [5.0, True, None, "x" * 300, " ", "a\u200bb", "\ud800"]),
    "metadata": (
        {},
        [
            None,
            "x",
            5.0,
            [("a", "b")],
            {"a": 1},
            {"a": NAN},
            {"a": None},
            {1.5: "a"},
            {True: "a"},
            {"": "a"},
            {"a\x00": "b"},
            {"a": "\ud800"},
            {"a": "x" * (TEXT_BYTES_MAX + 1)},
            {str(i): "x" for i in range(METADATA_MAX + 1)},
        ],
    ),
    "add-ons": (
        (),
        [
            None,
            "x",
            5.0,
            {"title": "x"},
            [5],
            [{"titel": "x"}],
            [AddOn(title="x", price=eur(1))] * 51,
        ],
    ),
    "terms": (terms(), [None, {}, "P5D", timedelta(days=5), Terms, 5.0]),
    "ruling": (
        FullRefund(),
        [None, "full_refund", {}, FullRefund, PaySeller, eur(5), 5.0, NAN, True],
    ),
    "rating": (
        5,
        [
            0,
            6,
            -1,
            10**30,
            5.0,
            NAN,
            float("inf"),
            True,
            "5",
            None,
            Decimal(5),
            "\uff15",
        ],
    ),
    "cause": ("unlawful", ["", "spam", "UNLAWFUL", None, 5, NAN, True, ["unlawful"]]),
    "report": ("paid", ["", "opened", "PAID", None, 5, NAN, True, ["paid"]]),
    "chargeback": ("lost", ["", "paid", "LOST", None, 5, NAN, True, ["lost"]]),
    "flag": (True, ["", "yes", None, 1, 0, NAN, []]),
}

REPORT: Final = {
    "status": "report",
    "key": "id",
    "reference": "listing",
    "amount": "maybe money",
    "reason": "text",
    "again": "flag",
}

FIELDS: Final[dict[type[Command], dict[str, str]]] = {
    c.PlaceOrder: {
        "seller_id": "id",
        "price": "money",
        "payment": "payments",
        "terms": "terms",
        "tip": "maybe money",
        "add_ons": "add-ons",
        "listing_id": "listing",
        "metadata": "metadata",
    },
    c.ConfirmPayment: {"payment": "payment", "item": "id"},
    c.SubmitBrief: {"text": "text", "files": "files"},
    c.SendMessage: {"reference": "id"},
    c.AcceptOrder: {},
    c.RefuseOrder: {"reason": "reason"},
    c.CancelOrder: {"reason": "text"},
    c.RequestCancellation: {"reason": "reason"},
    c.WithdrawCancellation: {},
    c.AcceptCancellation: {},
    c.RefuseCancellation: {"reason": "reason"},
    c.ExcuseCancellation: {"reason": "reason"},
    c.DeliverOrder: {"files": "files", "note": "text"},
    c.ApproveDelivery: {},
    c.RequestExtension: {"due_at": "instant", "reason": "reason"},
    c.WithdrawExtension: {},
    c.AcceptExtension: {},
    c.RefuseExtension: {},
    c.RequestRevision: {"reason": "reason"},
    c.AcceptRevision: {},
    c.RefuseRevision: {"reason": "reason"},
    c.FileClaim: {"reason": "reason"},
    c.EditClaim: {"reason": "reason"},
    c.WithdrawClaim: {},
    c.RejectClaim: {"reason": "reason"},
    c.ConvertClaim: {},
    c.OpenDispute: {"reason": "reason"},
    c.AssignMediator: {"mediator_id": "id"},
    c.AskParties: {"text": "reason"},
    c.AnswerMediator: {"text": "reason", "files": "files"},
    c.RuleDispute: {"ruling": "ruling", "reason": "reason"},
    c.ProposePartialRefund: {"amount": "money", "reason": "reason"},
    c.WithdrawPartialRefund: {},
    c.AcceptPartialRefund: {},
    c.RefusePartialRefund: {"reason": "text"},
    c.BuyAddOn: {
        "title": "reason",
        "price": "money",
        "payment": "payments",
        "extra_window": "maybe window",
    },
    c.SendOffer: {
        "title": "reason",
        "price": "money",
        "delivery_window": "maybe window",
    },
    c.WithdrawOffer: {"offer_id": "id"},
    c.RefuseOffer: {"offer_id": "id"},
    c.PayOffer: {"offer_id": "id", "payment": "payments"},
    c.LeaveReview: {"rating": "rating", "text": "text"},
    c.ReplyToReview: {"text": "reason"},
    c.RemoveReview: {"cause": "cause"},
    c.LeaveConversation: {},
    c.FreezeOrder: {"reason": "reason"},
    c.UnfreezeOrder: {},
    c.ExtendDeadlines: {"window": "window", "reason": "reason"},
    c.RequestCoupon: {},
    c.ReportRefund: REPORT,
    c.ReportPayout: REPORT,
    c.ReportCharge: REPORT,
    c.ReportChargeback: {
        "chargeback_id": "id",
        "payment_reference": "id",
        "status": "chargeback",
        "amount": "maybe money",
    },
    c.RedirectPayout: {"key": "id", "payee_id": "id", "reason": "reason"},
}

_REPORTS: Final = (c.ReportRefund, c.ReportPayout, c.ReportCharge)

# Without a key, the reference of the provider must do.
_SAID: Final = ("key", "reference", "amount", "reason", "again")

# What a host may leave out.
OPTIONAL: Final = {
    (c.PlaceOrder, "tip"),
    (c.PlaceOrder, "add_ons"),
    (c.PlaceOrder, "listing_id"),
    (c.PlaceOrder, "metadata"),
    (c.ConfirmPayment, "item"),
    (c.SubmitBrief, "text"),
    (c.SubmitBrief, "files"),
    (c.CancelOrder, "reason"),
    (c.DeliverOrder, "files"),
    (c.DeliverOrder, "note"),
    (c.AnswerMediator, "files"),
    (c.RefusePartialRefund, "reason"),
    (c.BuyAddOn, "extra_window"),
    (c.SendOffer, "delivery_window"),
    (c.LeaveReview, "text"),
    *((kind, name) for kind in _REPORTS for name in _SAID),
    (c.ReportChargeback, "amount"),
}


def shown(value: object) -> str:
    """
    Return a test id that is short and can be printed.
    """
    try:
        return ascii(value)[:40]
    except ValueError:
        return "a very long number"


@attrs.frozen
class Wrong:
    """
    What a field does not take, and how a failure calls it.
    """

    value: Any

    @property
    def text(self) -> str:
        """
        Its beginning.
        """
        return shown(self.value)


each_command = pytest.mark.parametrize(
    "command", FIELDS, ids=lambda command: command.name
)


def good(command: type[Command]) -> dict[str, Any]:
    """
    Return fields that a command takes.
    """
    return {field: KINDS[kind][0] for field, kind in FIELDS[command].items()}


class TestTable:
    """
    The table of this file is the whole truth about commands.
    """

    def test_every_command_is_here(self) -> None:
        """
        What a person can send, and nothing else.
        """
        rows = (*ROWS, *recommended().rows)
        mine = {row.command for row in rows} - SYSTEM_MOVES | {c.PlaceOrder}

        assert set(FIELDS) == mine
        assert {kind.name for kind in mine | SYSTEM_MOVES} == {
            snake_case(name)
            for name in c.__all__
            if name not in ("Blocker", "Command", "Way")
        }

    @each_command
    def test_every_field_is_here(self, command: type[Command]) -> None:
        """
        No field comes in unchecked.
        """
        names = [field.name for field in attrs.fields(command)]

        assert names == list(FIELDS[command])
        assert all(field.kw_only for field in attrs.fields(command))

    @each_command
    def test_what_may_be_left_out(self, command: type[Command]) -> None:
        """
        A field without a default is needed, and only those are.
        """
        needed = {
            field.name
            for field in attrs.fields(command)
            if field.default is attrs.NOTHING
        }

        assert needed == {
            field for field in FIELDS[command] if (command, field) not in OPTIONAL
        }

    def test_system_moves_take_nothing(self) -> None:
        """
        What the system sends is asked for by a deadline, not by a person.
        """
        fields = {
            command.name: [field.name for field in attrs.fields(command)]
            for command in SYSTEM_MOVES
        }

        assert fields.pop("expire_offer") == ["offer_id"]
        assert set(map(tuple, fields.values())) == {()}


class TestGood:
    """
    What a command takes.
    """

    @each_command
    def test_is_built_and_equal(self, command: type[Command]) -> None:
        """
        Two commands that say the same are the same, and cannot be changed.
        """
        one: Any = command(**good(command))

        assert one == command(**good(command))
        assert one.name == snake_case(command.__name__)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            one.reason = "other"

    @each_command
    def test_a_field_nobody_knows(self, command: type[Command]) -> None:
        """
        An unknown field is a mistake of the program (F76).
        """
        fields = {**good(command), "amount_due": eur(1)}

        with pytest.raises(TypeError, match="amount_due"):
            command(**fields)

    def test_texts_are_cleaned(self) -> None:
        """
        Spaces at the ends and spellings of one letter are not content.
        """
        assert c.RefuseOrder(reason=" tr\u00e8s tard\n") == c.RefuseOrder(
            reason="tre\u0300s tard"
        )
        assert c.AssignMediator(mediator_id=" mia ").mediator_id == "mia"

    @pytest.mark.parametrize("rating", [1, 2, 3, 4, 5])
    def test_ratings(self, rating: int) -> None:
        """
        One to five.
        """
        assert c.LeaveReview(rating=rating).rating == rating

    @pytest.mark.parametrize("cause", ["unlawful", "sensitive", "buyer_wish"])
    def test_causes(self, cause: Any) -> None:
        """
        A review goes for one of three causes; the seller's wish is none (R98).
        """
        assert c.RemoveReview(cause=cause).cause == cause

    @pytest.mark.parametrize(
        "ruling",
        [FullRefund(), Split(to_buyer=eur(1)), Relaunch(), PaySeller()],
    )
    def test_rulings(self, ruling: Any) -> None:
        """
        Four rulings.
        """
        assert c.RuleDispute(ruling=ruling, reason="so").ruling == ruling

    @pytest.mark.parametrize(
        "window",
        ["P1D", "PT24H", timedelta(days=1), pendulum.duration(days=1)],
    )
    def test_windows(self, window: Any) -> None:
        """
        Three ways to write a day, one day.
        """
        command = c.ExtendDeadlines(window=window, reason="outage")

        assert command.window == timedelta(days=1)
        assert type(command.window) is timedelta


class TestBad:
    """
    What a command does not take.
    """

    @each_command
    def test_the_field_is_named(self, command: type[Command]) -> None:
        """
        It is a `ValueError`, and says which field is wrong and why.
        """

        def is_named(field: str, wrong: Wrong) -> None:
            with pytest.raises(InvalidInputError) as caught:
                command(**{**good(command), field: wrong.value})

            error = caught.value
            assert isinstance(error, ValueError)
            assert error.field.partition("[")[0] == field
            assert error.problem
            assert str(error) == f"{error.field}: {error.problem}"
            str(error).encode()

        hold(
            is_named,
            (
                (field, Wrong(value))
                for field, kind in FIELDS[command].items()
                for value in KINDS[kind][1]
            ),
        )

    def test_an_empty_brief(self) -> None:
        """
        A brief is a text, files, or both.
        """
        with pytest.raises(
            InvalidInputError, match="text: at least one of text, files"
        ):
            c.SubmitBrief()

    def test_an_empty_delivery(self) -> None:
        """
        A delivery has files, a note, or both.
        """
        with pytest.raises(
            InvalidInputError, match="files: at least one of files, note"
        ):
            c.DeliverOrder(note="  ")

    @pytest.mark.parametrize(
        ("amount", "field"),
        [
            (-1, "amount"),
            ("-1", "amount"),
            ("-0.01", "amount"),
            (1.5, "amount"),
            (NAN, "amount"),
            (float("inf"), "amount"),
            (True, "amount"),
            (None, "amount"),
            ("", "amount"),
            ("1.005", "amount"),
            ("1e3", "amount"),
            ("\uff11\uff12", "amount"),
            ("9" * 5000, "amount"),
            (10**5000, "amount"),
            (Decimal("NaN"), "amount"),
            (Decimal("Infinity"), "amount"),
            (Decimal("1E+1000000"), "amount"),
            (Decimal("1E-1000000"), "amount"),
            (2**63, "amount"),
        ],
        ids=shown,
    )
    def test_money_that_never_is(self, amount: Any, field: str) -> None:
        """
        An amount that is none does not even become money.
        """
        with pytest.raises(InvalidInputError) as caught:
            c.ProposePartialRefund(amount=Money.of(amount, "EUR"), reason="so")

        assert caught.value.field == field

    @pytest.mark.parametrize("minor", [-1, 1.0, NAN, True, "5", None, 2**63])
    def test_minor_units_that_are_none(self, minor: Any) -> None:
        """
        Minor units are whole and zero or more.
        """
        with pytest.raises(InvalidInputError) as caught:
            c.ProposePartialRefund(amount=Money(minor, "EUR"), reason="so")

        assert caught.value.field == "minor"

    @pytest.mark.parametrize("field", ["method", "reference"])
    @pytest.mark.parametrize("value", KINDS["id"][1], ids=shown)
    def test_payments_without_names(self, field: str, value: Any) -> None:
        """
        A payment has a method and a reference.
        """
        with pytest.raises(InvalidInputError) as caught:
            Payment(**{"method": "card", "reference": "pi_1", field: value})

        assert caught.value.field == field

    @pytest.mark.parametrize("value", _NO_MONEY, ids=shown)
    def test_payments_of_no_money(self, value: Any) -> None:
        """
        A payment is of some money, or of the price.
        """
        with pytest.raises(InvalidInputError) as caught:
            Payment("card", "pi_1", value)

        assert caught.value.field == "amount"


class TestNames:
    """
    What a command is called.
    """

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("AcceptOrder", "accept_order"),
            ("BuyAddOn", "buy_add_on"),
            ("Go", "go"),
            ("RuleDispute", "rule_dispute"),
        ],
    )
    def test_snake_case(self, name: str, told: str) -> None:
        """
        The class in words.
        """
        assert snake_case(name) == told

    def test_of_a_host(self) -> None:
        """
        A host's own command has its name by itself.
        """

        @attrs.frozen(kw_only=True)
        class PauseOrder(Command):
            """
            Wait a little.
            """

        assert PauseOrder.name == "pause_order"

    def test_no_two_alike(self) -> None:
        """
        A name says one thing.
        """
        everything = [*FIELDS, *SYSTEM_MOVES]

        pairs = itertools.combinations([command.name for command in everything], 2)

        assert not [pair for pair in pairs if pair[0] == pair[1]]
