"""
Terms, add-ons, payments and rulings: values that are checked once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pendulum
import pytest

from escrowflow.clock import Months
from escrowflow.errors import InvalidInputError
from escrowflow.money import AMOUNT_MAX, Money
from escrowflow.terms import (
    ADD_ONS_MAX,
    PAYMENTS_MAX,
    AddOn,
    FullRefund,
    PaySeller,
    Relaunch,
    Split,
    Terms,
    as_add_ons,
    as_payments,
    as_revisions,
)
from tests.given import eur, paid, terms

NAN = float("nan")

BAD_WINDOWS: list[Any] = [
    5,
    5.0,
    NAN,
    True,
    "",
    "48h",
    "P1M",
    "P1Y",
    "P1M2D",
    Months(1),
    pendulum.duration(months=1),
    timedelta(),
    timedelta(microseconds=-1),
    timedelta(days=3661),
    Decimal(5),
]
BAD_AMOUNTS: list[Any] = [
    5,
    5.0,
    NAN,
    True,
    "5",
    Decimal(5),
    None,
    Money(0, "EUR"),
    Money(AMOUNT_MAX + 1, "EUR"),
    Money(2**63 - 1, "EUR"),
]
BAD_TEXTS: list[Any] = [5, 5.0, None, b"x", "\ud800", "a\x00b", "x" * 16_385]


class TestTerms:
    """
    What was agreed about one order.
    """

    def test_defaults(self) -> None:
        """
        What is not said is left to the process, offers and add-ons excepted.
        """
        found = Terms(delivery_window="P5D")

        assert found.delivery_window == timedelta(days=5)
        assert (found.revisions, found.acceptance_window) == (None, None)
        assert (found.verification_window, found.brief_required) == (None, None)
        assert (found.offers, found.add_ons) == (True, True)
        assert (found.title, found.text) == ("", "")

    @pytest.mark.parametrize(
        "field", ["delivery_window", "acceptance_window", "verification_window"]
    )
    @pytest.mark.parametrize("value", BAD_WINDOWS, ids=repr)
    def test_windows(self, field: str, value: Any) -> None:
        """
        A window is a length above zero, without months.
        """
        with pytest.raises(InvalidInputError) as caught:
            terms(**{field: value})

        assert caught.value.field == field

    def test_the_delivery_window_is_needed(self) -> None:
        """
        No process can guess how long the work takes.
        """
        with pytest.raises(InvalidInputError, match="delivery_window: a window is"):
            terms(delivery_window=None)

    @pytest.mark.parametrize("field", ["offers", "add_ons", "brief_required"])
    @pytest.mark.parametrize("value", [1, 0, "yes", 1.0, b"", []])
    def test_flags(self, field: str, value: Any) -> None:
        """
        A flag is `True` or `False`, and nothing that only looks like it.
        """
        with pytest.raises(InvalidInputError, match="True or False, not") as caught:
            terms(**{field: value})

        assert caught.value.field == field

    @pytest.mark.parametrize("field", ["offers", "add_ons"])
    def test_a_flag_is_needed(self, field: str) -> None:
        """
        These two are not left to the process.
        """
        with pytest.raises(InvalidInputError):
            terms(**{field: None})

    @pytest.mark.parametrize("field", ["title", "text"])
    @pytest.mark.parametrize("value", BAD_TEXTS)
    def test_texts(self, field: str, value: Any) -> None:
        """
        Title and text are prose.
        """
        with pytest.raises(InvalidInputError) as caught:
            terms(**{field: value})

        assert caught.value.field == field

    @pytest.mark.parametrize("value", [None, "unlimited", 0, 1000])
    def test_revisions(self, value: Any) -> None:
        """
        No number, no limit, or a number that somebody could use up.
        """
        assert as_revisions(value) == value
        assert terms(revisions=value).revisions == value

    @pytest.mark.parametrize(
        "value", [-1, 1001, 2.0, NAN, True, False, "2", "none", [], Decimal(2)]
    )
    def test_bad_revisions(self, value: Any) -> None:
        """
        Anything else is refused.
        """
        with pytest.raises(InvalidInputError) as caught:
            terms(revisions=value)

        assert caught.value.field == "revisions"

    def test_frozen(self) -> None:
        """
        What was agreed does not change.
        """
        agreed: Any = terms()

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            agreed.revisions = 3


class TestAddOns:
    """
    Options bought with the order.
    """

    def test_ways_to_write_them(self) -> None:
        """
        One, several, or the mappings a form gives.
        """
        option = AddOn(title="Logo", price=eur(20))

        assert as_add_ons(option) == (option,)
        assert as_add_ons([option, option]) == (option, option)
        assert as_add_ons([{"title": "Logo", "price": eur(20)}]) == (option,)
        assert as_add_ons(()) == ()

    @pytest.mark.parametrize(
        "value",
        [
            "logo",
            b"",
            5,
            None,
            {"title": "Logo"},
            [5],
            [None],
            [{"titel": "Logo"}],
            [{}],
        ],
    )
    def test_something_else(self, value: Any) -> None:
        """
        Anything else is refused as `add_ons`.
        """
        with pytest.raises(InvalidInputError) as caught:
            as_add_ons(value)

        assert caught.value.field == "add_ons"

    def test_too_many(self) -> None:
        """
        No catalogue offers so much.
        """
        option = AddOn(title="Logo", price=eur(20))

        assert len(as_add_ons([option] * ADD_ONS_MAX)) == ADD_ONS_MAX
        with pytest.raises(InvalidInputError, match="add_ons: at most 50"):
            as_add_ons([option] * (ADD_ONS_MAX + 1))

    @pytest.mark.parametrize("value", BAD_AMOUNTS, ids=repr)
    def test_prices(self, value: Any) -> None:
        """
        An option costs something.
        """
        with pytest.raises(InvalidInputError) as caught:
            AddOn(title="Logo", price=value)

        assert caught.value.field == "price"

    @pytest.mark.parametrize("value", ["", "  ", *BAD_TEXTS])
    def test_titles(self, value: Any) -> None:
        """
        An option has a name.
        """
        with pytest.raises(InvalidInputError) as caught:
            AddOn(title=value, price=eur(20))

        assert caught.value.field == "title"

    @pytest.mark.parametrize("value", BAD_WINDOWS, ids=repr)
    def test_windows(self, value: Any) -> None:
        """
        Its delivery time is a window like any other.
        """
        with pytest.raises(InvalidInputError) as caught:
            AddOn(title="Logo", price=eur(20), extra_window=value)

        assert caught.value.field == "extra_window"


class TestPayments:
    """
    What a command carries.
    """

    def test_ways_to_write_them(self) -> None:
        """
        None, one with an open amount, or several with theirs.
        """
        first, second = paid("pi_1", eur(60)), paid("pi_2", eur(40))

        assert as_payments(None) == ()
        assert as_payments(paid()) == (paid(),)
        assert as_payments([first, second]) == (first, second)

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("pi_1", "a Payment, several, or None"),
            (b"pi_1", "a Payment, several, or None"),
            (5, "a Payment, several, or None"),
            ({"method": "card", "reference": "pi_1"}, "a Payment, several, or None"),
            ([paid(), "pi_2"], "a Payment, several, or None"),
            ([paid("pi_1", eur(1)), paid("pi_2")], "each of several payments needs"),
            ([paid("pi_1", eur(1))] * 2, "a reference counts once per order"),
            (
                [paid(f"pi_{i}", eur(1)) for i in range(PAYMENTS_MAX + 1)],
                "at most 10",
            ),
        ],
    )
    def test_something_else(self, value: Any, problem: str) -> None:
        """
        Anything else is refused as `payment`.
        """
        with pytest.raises(InvalidInputError, match=problem) as caught:
            as_payments(value)

        assert caught.value.field == "payment"


class TestRulings:
    """
    What a mediator may say.
    """

    def test_values(self) -> None:
        """
        Two rulings that say the same are the same.
        """
        rulings: set[object] = {FullRefund(), FullRefund(), PaySeller()}

        assert len(rulings) == 2
        assert Split(to_buyer=eur(5)) == Split(to_buyer=eur("5.00"))
        assert Relaunch() != Relaunch(due_at="2026-06-01T00:00:00Z")

    @pytest.mark.parametrize("value", BAD_AMOUNTS, ids=repr)
    def test_a_split_of_nothing(self, value: Any) -> None:
        """
        A split gives the buyer some money.
        """
        with pytest.raises(InvalidInputError) as caught:
            Split(to_buyer=value)

        assert caught.value.field == "to_buyer"

    @pytest.mark.parametrize(
        "value",
        [
            datetime(2026, 6, 1),  # noqa: DTZ001
            "2026-06-01T00:00:00",
            "2026-06-01",
            "1969-12-31T23:59:59Z",
            "2026-06-01T00:00:60Z",
            "tomorrow",
            1_780_000_000,
            1.5,
            NAN,
            True,
        ],
    )
    def test_a_deadline_without_offset(self, value: Any) -> None:
        """
        An instant says where on Earth it is read.
        """
        with pytest.raises(InvalidInputError) as caught:
            Relaunch(due_at=value)

        assert caught.value.field == "due_at"

    def test_a_deadline_in_utc(self) -> None:
        """
        An instant is kept in UTC.
        """
        ruling = Relaunch(due_at="2026-06-01T02:00:00+02:00")

        assert ruling.due_at == pendulum.datetime(2026, 6, 1)
        assert ruling.due_at.timezone_name == "UTC"
