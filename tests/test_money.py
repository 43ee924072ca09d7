"""
Money: what is taken for it, how it adds up, and how it is divided.
"""

from __future__ import annotations

import copy
import enum
import importlib.util
import operator
import pickle
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow.clock import as_utc
from escrowflow.errors import InvalidInputError, LedgerError
from escrowflow.money import (
    AMOUNT_MAX,
    CURRENCIES,
    EVERYTHING,
    MINOR_MAX,
    NOTHING,
    Fee,
    Money,
    Payment,
    Share,
    as_amount,
    as_share,
    digits,
)
from tests.given import any_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

TOOL = Path(__file__).parents[1] / "tools" / "make_iso4217.py"

# Codes that left the official list and stay in the table, so that old orders
# stay readable.
WITHDRAWN: dict[str, int] = {}

# `int()` would take all of these, and none is what a person means by an amount.
NOT_ASCII = ["\uff11\uff10", "\u0661\u0662", "1\u00a0000", "\u00bd", "\u00b2"]


class Grade(enum.IntEnum):
    """
    Numbers that are not quite `int`.
    """

    FIRST = 1


minors = st.integers(0, MINOR_MAX)
monies = st.builds(Money, minors, st.sampled_from(["EUR", "JPY", "KWD"]))
proportions = st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)).map(
    lambda pair: (min(pair), max(pair))
)


def eur(amount: str) -> Money:
    """
    Return euros.
    """
    return Money.of(amount, "EUR")


def refused(call: Callable[[], object]) -> str:
    """
    Return the field that the refusal of a call names.
    """
    with pytest.raises(InvalidInputError) as caught:
        call()
    return caught.value.field


def half_up(exact: Fraction) -> int:
    """
    Round with the standard library, as the judge of our own arithmetic.
    """
    with localcontext() as context:
        context.prec = 80
        quotient = Decimal(exact.numerator) / Decimal(exact.denominator)
        return int(quotient.quantize(Decimal(1), ROUND_HALF_UP))


class TestConstruction:
    """
    `Money(minor, currency)`.
    """

    def test_keeps_what_it_is_given(self) -> None:
        """
        Money knows its minor units and its currency.
        """
        money = Money(10000, "EUR")

        assert (money.minor, money.currency) == (10000, "EUR")

    def test_takes_keywords(self) -> None:
        """
        The two parts can be named, as decoders do.
        """
        assert Money(minor=1, currency="JPY") == Money(1, "JPY")

    @pytest.mark.parametrize("minor", [0, 1, AMOUNT_MAX, AMOUNT_MAX + 1, MINOR_MAX])
    def test_range(self, minor: int) -> None:
        """
        Everything from zero to what 64 bits hold is money.
        """
        assert Money(minor, "EUR").minor == minor

    @pytest.mark.parametrize(
        "minor",
        [-1, MINOR_MAX + 1, 10**5000, -(10**5000)],
        ids=["negative", "too large", "huge", "hugely negative"],
    )
    def test_out_of_range(self, minor: int) -> None:
        """
        Less than nothing and more than 64 bits are refused, however large.
        """
        assert refused(lambda: Money(minor, "EUR")) == "minor"

    @pytest.mark.parametrize(
        "minor",
        [
            True,
            False,
            1.0,
            Decimal(1),
            Fraction(1),
            "1",
            None,
            b"1",
            Grade.FIRST,
        ],
    )
    def test_minor_that_is_no_int(self, minor: Any) -> None:
        """
        Minor units are exactly an `int`, nothing that merely resembles one.
        """
        assert refused(lambda: Money(minor, "EUR")) == "minor"

    @pytest.mark.parametrize(
        "currency",
        [
            "eur",
            "Eur",
            "EU",
            "EURO",
            "",
            " EUR",
            "EUR ",
            "EUR\n",
            "ZZZ",
            "\uff25\uff35\uff32",
            "E" * 10**6,
            "\ud800",
        ],
        ids=lambda currency: ascii(currency[:5]),
    )
    def test_unknown_currency(self, currency: str) -> None:
        """
        A currency is a known code in capitals, with nothing around it.
        """
        assert refused(lambda: Money(1, currency)) == "currency"

    @pytest.mark.parametrize("currency", ["XAU", "XAG", "XDR", "XTS", "XXX"])
    def test_currency_without_minor_units(self, currency: str) -> None:
        """
        What has no minor unit cannot be charged: gold, tests, no currency.
        """
        assert refused(lambda: Money(1, currency)) == "currency"

    @pytest.mark.parametrize("currency", [None, 978, b"EUR", ["EUR"], {}])
    def test_currency_that_is_no_text(self, currency: Any) -> None:
        """
        A currency of another type is refused like any other mistake.
        """
        assert refused(lambda: Money(1, currency)) == "currency"

    def test_refusal_of_a_long_currency_is_short(self) -> None:
        """
        A refusal does not repeat a megabyte of what was wrong.
        """
        with pytest.raises(InvalidInputError) as caught:
            Money(1, "E" * 10**6)

        assert len(str(caught.value)) < 100

    def test_currency_from_an_enum(self) -> None:
        """
        A text enum counts as its text, and the money holds plain text.
        """

        # Not a `StrEnum`: this older kind hashes by its name.
        class Till(str, enum.Enum):  # noqa: UP042
            HOME = "EUR"

        money = Money(1, Till.HOME)

        assert money == Money(1, "EUR")
        assert type(money.currency) is str
        assert Money.of(1, Till.HOME).currency == "EUR"

    def test_frozen(self) -> None:
        """
        Money does not change and takes no other attributes.
        """
        money: Any = Money(1, "EUR")

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            money.minor = 2
        with pytest.raises(AttributeError):
            money.note = "mine"

    def test_equal_money_is_one_key(self) -> None:
        """
        Equal amounts of one currency are equal, hash alike, and nothing else is.
        """
        assert len({Money(1, "EUR"), Money(1, "EUR"), Money(1, "USD")}) == 2
        assert Money(1, "EUR") != Money(2, "EUR")
        assert Money(0, "EUR") != Money(0, "JPY")
        assert operator.ne(Money(1, "EUR"), 1)

    @given(monies)
    def test_copies(self, money: Money) -> None:
        """
        Copies and pickles are the same money.
        """
        assert copy.copy(money) == copy.deepcopy(money) == money
        assert pickle.loads(pickle.dumps(money)) == money
        assert attrs.evolve(money, minor=7) == Money(7, money.currency)

    def test_zero(self) -> None:
        """
        Zero is money, false, and checked like any other.
        """
        assert Money.zero("JPY") == Money(0, "JPY")
        assert Money.zero("JPY").is_zero
        assert not Money.zero("JPY")
        assert refused(lambda: Money.zero("XXX")) == "currency"

    def test_more_than_zero(self) -> None:
        """
        A single unit is enough to be true.
        """
        assert Money(1, "EUR")
        assert not Money(1, "EUR").is_zero


class TestOf:
    """
    `Money.of(amount, currency)`, from major units.
    """

    @pytest.mark.parametrize(
        ("amount", "currency", "minor"),
        [
            ("100.00", "EUR", 10000),
            ("100", "EUR", 10000),
            ("100.0", "EUR", 10000),
            ("100.000", "EUR", 10000),
            ("0.01", "EUR", 1),
            ("0", "EUR", 0),
            ("-0.00", "EUR", 0),
            ("007", "EUR", 700),
            ("100", "JPY", 100),
            ("100.0", "JPY", 100),
            ("1.234", "KWD", 1234),
            ("0.0001", "CLF", 1),
            ("92233720368547758.07", "EUR", MINOR_MAX),
            ("0000000000000000000000000000.1", "EUR", 10),
            (100, "EUR", 10000),
            (0, "EUR", 0),
            (MINOR_MAX, "JPY", MINOR_MAX),
            (Decimal("1.234"), "KWD", 1234),
            (Decimal("1E+2"), "EUR", 10000),
            (Decimal("-0"), "EUR", 0),
            (Decimal("0E+1000000"), "EUR", 0),
            (Decimal("0E-1000000"), "EUR", 0),
            (Decimal("1." + "0" * 10_000), "EUR", 100),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_exact(self, amount: Any, currency: str, minor: int) -> None:
        """
        What the currency can express is taken as it is.
        """
        assert Money.of(amount, currency) == Money(minor, currency)

    @pytest.mark.parametrize(
        ("amount", "currency"),
        [
            ("0.001", "EUR"),
            ("99.999", "EUR"),
            ("0.5", "JPY"),
            ("1.2345", "KWD"),
            (Decimal("0.001"), "EUR"),
            (Decimal("1E-1000000"), "EUR"),
            (Decimal("1E-999999999999999999"), "JPY"),
        ],
        ids=str,
    )
    def test_nothing_is_rounded(self, amount: Any, currency: str) -> None:
        """
        More decimals than the currency has are refused, not rounded.
        """
        assert refused(lambda: Money.of(amount, currency)) == "amount"

    @pytest.mark.parametrize(
        "amount",
        [
            "",
            " ",
            ".",
            "-",
            "1.",
            ".5",
            "+1",
            "--1",
            "1,5",
            "1.2.3",
            "1 000",
            " 1",
            "1 ",
            "1\n",
            "1\x00",
            "1_000",
            "1e2",
            "1E2",
            "0x10",
            "NaN",
            "nan",
            "Infinity",
            "inf",
            "EUR 1",
            "1" * 31,
            "0" * 31,
            "1" * 10**6,
            *NOT_ASCII,
        ],
        ids=lambda amount: ascii(amount[:12]),
    )
    def test_odd_text(self, amount: str) -> None:
        """
        Text is plain ASCII digits with at most one point, and not too long.
        """
        assert refused(lambda: Money.of(amount, "EUR")) == "amount"

    @pytest.mark.parametrize(
        "amount",
        [1.0, 0.1, float("nan"), True, False, None, b"1", Fraction(1), (1,)],
        ids=repr,
    )
    def test_odd_type(self, amount: Any) -> None:
        """
        A float is never exact enough, and a truth value is no amount.
        """
        assert refused(lambda: Money.of(amount, "EUR")) == "amount"

    @pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
    def test_decimal_that_is_no_number(self, amount: str) -> None:
        """
        The special values of `Decimal` are refused.
        """
        assert refused(lambda: Money.of(Decimal(amount), "EUR")) == "amount"

    @pytest.mark.parametrize(
        "amount",
        [
            "92233720368547758.08",
            "9" * 30,
            MINOR_MAX,
            MINOR_MAX + 1,
            10**100_000,
            Decimal("1E+20"),
            Decimal("1E+1000000"),
            # Written out, this one would not fit into any memory.
            Decimal("1E+999999999999999999"),
            Decimal("9" * 10_000),
        ],
        ids=["text", "long text", "int", "large int", "huge int", *"abcd"],
    )
    def test_too_large(self, amount: Any) -> None:
        """
        More than 64 bits of minor units is refused at once, however it is written.
        """
        assert refused(lambda: Money.of(amount, "EUR")) == "amount"

    @pytest.mark.parametrize(
        "amount",
        ["-0.01", "-1", -1, -(10**5000), Decimal("-0.01"), Decimal("-1E+1000000")],
        ids=["text", "whole text", "int", "huge int", "decimal", "huge decimal"],
    )
    def test_negative(self, amount: Any) -> None:
        """
        Money is never less than nothing.
        """
        assert refused(lambda: Money.of(amount, "EUR")) == "amount"

    @pytest.mark.parametrize("currency", ["eur", "XXX", None])
    def test_currency(self, currency: Any) -> None:
        """
        The currency is judged first.
        """
        assert refused(lambda: Money.of("odd", currency)) == "currency"

    def test_decimal_context_of_the_host(self) -> None:
        """
        A host that rounds its decimals to two digits still gets exact money.
        """
        with localcontext() as context:
            context.prec = 2

            assert Money.of(Decimal("12345.67"), "EUR") == Money(1234567, "EUR")
            assert Money(1234567, "EUR").amount == Decimal("12345.67")

    @given(monies)
    def test_round_trip(self, money: Money) -> None:
        """
        Its major units, as a decimal or as text, give the same money again.
        """
        number, currency = str(money).split(" ")

        assert Money.of(money.amount, money.currency) == money
        assert Money.of(number, currency) == money

    @given(monies)
    def test_repr_can_be_evaluated(self, money: Money) -> None:
        """
        What a console shows can be pasted back.
        """
        assert eval(repr(money)) == money

    @given(st.one_of(any_text(max_size=40), st.decimals(), st.integers()))
    def test_money_or_a_refusal(self, amount: Any) -> None:
        """
        Whatever comes in, the answer is exact money or a refusal of the amount.
        """
        try:
            money = Money.of(amount, "KWD")
        except InvalidInputError as error:
            field = error.field
        else:
            field = "amount"
            assert Fraction(money.minor, 1000) == Fraction(amount)

        assert field == "amount"


class TestRefusals:
    """
    What somebody reads who did it wrong.
    """

    @pytest.mark.parametrize(
        ("call", "told"),
        [
            (lambda: Money(1.5, "EUR"), "whole minor units as an int, not float:"),  # type: ignore[arg-type]
            (lambda: Money(-1, "EUR"), "never negative:"),
            (lambda: Money(MINOR_MAX + 1, "EUR"), f"at most {MINOR_MAX}"),
            (lambda: Money(1, "eur"), "not 'eur'"),
            (lambda: Money(1, None), "not NoneType"),  # type: ignore[arg-type]
            (lambda: Money.of("1,5", "EUR"), "digits like '99.90', at most 30"),
            (lambda: Money.of("0.001", "EUR"), "EUR has 2 decimals:"),
            (lambda: Money.of("0.5", "JPY"), "JPY has 0 decimals:"),
            (lambda: Money.of("-1", "EUR"), "negative"),
            (lambda: Money.of(-(10**30), "EUR"), "negative"),
            (lambda: Money.of(10**30, "EUR"), "too large"),
            (lambda: Money.of("9" * 20, "EUR"), "too large"),
            (lambda: Money.of(Decimal("1E+40"), "EUR"), "too large"),
            (lambda: Money.of(Decimal("NaN"), "EUR"), "a finite number"),
            (lambda: Money.of(None, "EUR"), "not NoneType"),  # type: ignore[arg-type]
            (lambda: as_amount(1, "price"), "not int"),
            (lambda: as_amount(Money.zero("EUR"), "price"), "more than zero"),
            (lambda: as_share(0.5, "share"), "not float"),
        ],
    )
    def test_says_what_was_wrong(self, call: Callable[[], object], told: str) -> None:
        """
        Each mistake has a sentence of its own, with what was found in its place.
        """
        with pytest.raises(InvalidInputError) as caught:
            call()

        assert f" {told} " in f" {caught.value.problem} "

    def test_other_types_and_currencies(self) -> None:
        """
        What cannot be added is named, both sides of it.
        """
        odd: Any = 1

        with pytest.raises(TypeError, match="not int"):
            eur("1") + odd
        with pytest.raises(InvalidInputError, match="EUR and JPY cannot be mixed"):
            eur("1") + Money(1, "JPY")


class TestDisplay:
    """
    How money reads.
    """

    @pytest.mark.parametrize(
        ("money", "text", "code"),
        [
            (Money(10000, "EUR"), "100.00 EUR", "Money.of('100.00', 'EUR')"),
            (Money(5, "EUR"), "0.05 EUR", "Money.of('0.05', 'EUR')"),
            (Money(0, "EUR"), "0.00 EUR", "Money.of('0.00', 'EUR')"),
            (Money(100, "JPY"), "100 JPY", "Money.of('100', 'JPY')"),
            (Money(1234, "KWD"), "1.234 KWD", "Money.of('1.234', 'KWD')"),
            (Money(1, "CLF"), "0.0001 CLF", "Money.of('0.0001', 'CLF')"),
        ],
    )
    def test_text(self, money: Money, text: str, code: str) -> None:
        """
        Money reads as its major units and its code, with all decimals.
        """
        assert str(money) == f"{money}" == text
        assert repr(money) == code

    @pytest.mark.parametrize(
        ("money", "amount"),
        [
            (Money(10000, "EUR"), "100.00"),
            (Money(100, "JPY"), "100"),
            (Money(1230, "KWD"), "1.230"),
        ],
    )
    def test_amount(self, money: Money, amount: str) -> None:
        """
        The amount is a decimal with all the decimals of the currency.
        """
        assert isinstance(money.amount, Decimal)
        assert str(money.amount) == amount


class TestArithmetic:
    """
    Adding, subtracting and comparing.
    """

    def test_sum_and_difference(self) -> None:
        """
        Money of one currency adds and subtracts.
        """
        assert eur("1.10") + eur("2.20") == eur("3.30")
        assert eur("3.30") - eur("2.20") == eur("1.10")
        assert eur("1.00") - eur("1.00") == Money.zero("EUR")
        assert sum([eur("1"), eur("2")], Money.zero("EUR")) == eur("3")

    @given(minors, minors)
    def test_adds_like_integers(self, one: int, other: int) -> None:
        """
        Sums, differences and order are those of the minor units, or an error.
        """
        a, b = Money(one, "EUR"), Money(other, "EUR")

        for compare in (operator.lt, operator.le, operator.gt, operator.ge):
            assert compare(a, b) is compare(one, other)
        for work in (operator.add, operator.sub):
            if 0 <= work(one, other) <= MINOR_MAX:
                assert work(a, b) == Money(work(one, other), "EUR")
            else:
                with pytest.raises(LedgerError):
                    work(a, b)

    def test_less_than_nothing(self) -> None:
        """
        Taking away more than there is breaks the books, and says both amounts.
        """
        with pytest.raises(LedgerError, match=r"1\.00 EUR - 1\.01 EUR"):
            eur("1.00") - eur("1.01")

    def test_more_than_can_be_booked(self) -> None:
        """
        A sum beyond 64 bits breaks the books; one that just fits does not.
        """
        assert Money(MINOR_MAX - 1, "EUR") + Money(1, "EUR") == Money(MINOR_MAX, "EUR")
        with pytest.raises(LedgerError, match="more than can be booked"):
            Money(MINOR_MAX, "EUR") + Money(1, "EUR")

    @pytest.mark.parametrize("name", ["add", "sub", "lt", "le", "gt", "ge"])
    def test_two_currencies(self, name: str) -> None:
        """
        Euros and yen are neither added nor compared, not even nothing of them.
        """
        work = getattr(operator, name)

        assert refused(lambda: work(Money(1, "EUR"), Money(1, "JPY"))) == "currency"
        assert refused(lambda: work(Money(0, "EUR"), Money(0, "JPY"))) == "currency"

    @pytest.mark.parametrize(
        ("name", "other"),
        list(product(["add", "sub", "lt", "le", "gt", "ge"], [1, 1.0, "1", None])),
    )
    def test_something_else(self, name: str, other: Any) -> None:
        """
        Money goes with nothing but money, on either side.
        """
        work = getattr(operator, name)

        with pytest.raises(TypeError):
            work(Money(1, "EUR"), other)
        with pytest.raises(TypeError):
            work(other, Money(1, "EUR"))

    @pytest.mark.parametrize("name", ["mul", "truediv", "floordiv", "mod", "pow"])
    def test_no_multiplying_no_dividing(self, name: str) -> None:
        """
        There is no operator that would have to round: that is `share` and `split`.
        """
        with pytest.raises(TypeError):
            getattr(operator, name)(Money(100, "EUR"), 2)

    def test_order(self) -> None:
        """
        Money of one currency can be sorted.
        """
        assert sorted([eur("2"), eur("0"), eur("1")]) == [eur("0"), eur("1"), eur("2")]


class TestShareOfMoney:
    """
    `Money.share(numerator, denominator)`.
    """

    @pytest.mark.parametrize(
        ("minor", "numerator", "denominator", "part"),
        [
            (1000, 1, 2, 500),
            (1001, 1, 2, 501),
            (1, 1, 2, 1),
            (1, 1, 3, 0),
            (1, 2, 3, 1),
            (100, 0, 7, 0),
            (100, 7, 7, 100),
            (0, 1, 2, 0),
            (MINOR_MAX, 1, 1, MINOR_MAX),
            (MINOR_MAX, 10**30 - 1, 10**30, MINOR_MAX),
        ],
    )
    def test_half_up(
        self, minor: int, numerator: int, denominator: int, part: int
    ) -> None:
        """
        A half is rounded up, less than a half down.
        """
        assert Money(minor, "EUR").share(numerator, denominator) == Money(part, "EUR")

    @given(monies, proportions)
    def test_agrees_with_decimal(self, money: Money, pair: tuple[int, int]) -> None:
        """
        The rounding is that of ROUND_HALF_UP, for amounts of any size.
        """
        numerator, denominator = pair

        share = money.share(numerator, denominator)

        assert share.minor == half_up(Fraction(money.minor * numerator, denominator))
        assert share <= money
        assert share == Share(numerator, denominator).of(money)

    @pytest.mark.parametrize(
        ("numerator", "denominator", "field"),
        [
            (-1, 2, "numerator"),
            (3, 2, "numerator"),
            (True, 2, "numerator"),
            (0.5, 2, "numerator"),
            ("1", 2, "numerator"),
            (10**5000, 2, "numerator"),
            (1, 0, "denominator"),
            (0, 0, "denominator"),
            (-1, -2, "denominator"),
            (1, True, "denominator"),
            (1, 2.0, "denominator"),
            (1, None, "denominator"),
        ],
        ids=lambda value: str(value)[:5] if type(value) is not int else "int",
    )
    def test_no_proportion(self, numerator: Any, denominator: Any, field: str) -> None:
        """
        A part is not less than nothing and not more than all, in whole numbers.
        """
        assert refused(lambda: eur("1").share(numerator, denominator)) == field
        assert refused(lambda: Share(numerator, denominator)) == field


class TestSplit:
    """
    `Money.split(weights)`.
    """

    @pytest.mark.parametrize(
        ("minor", "weights", "parts"),
        [
            (10000, (1, 1, 1), (3334, 3333, 3333)),
            (1, (50, 50), (1, 0)),
            (2, (1, 1, 1), (1, 1, 0)),
            (100, (1, 2), (33, 67)),
            (5, (3, 7), (2, 3)),
            (0, (1, 2), (0, 0)),
            (7, (0, 1, 0), (0, 7, 0)),
            (1, (0, 1, 1), (0, 1, 0)),
            (9, (1,), (9,)),
            (MINOR_MAX, (10**30, 10**30), (MINOR_MAX // 2 + 1, MINOR_MAX // 2)),
        ],
    )
    def test_examples(
        self, minor: int, weights: tuple[int, ...], parts: tuple[int, ...]
    ) -> None:
        """
        What is left over goes to the largest remainder, then to the earlier part.
        """
        split = Money(minor, "EUR").split(weights)

        assert split == tuple(Money(part, "EUR") for part in parts)

    @given(monies, st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(any))
    def test_nothing_is_lost(self, money: Money, weights: list[int]) -> None:
        """
        Parts add up, are within a unit of exact, and zero weight gets nothing.
        """
        whole = sum(weights)

        parts = money.split(weights)

        assert len(parts) == len(weights)
        assert sum(part.minor for part in parts) == money.minor
        for part, weight in zip(parts, weights, strict=True):
            assert part.currency == money.currency
            assert abs(part.minor - Fraction(money.minor * weight, whole)) < 1
            assert weight or part.is_zero

    @given(monies, st.lists(st.integers(0, 100), min_size=2, max_size=10).filter(any))
    def test_fair(self, money: Money, weights: list[int]) -> None:
        """
        A larger weight never gets less, and of equal ones the earlier not less.
        """
        parts = money.split(weights)

        ranked = sorted(range(len(weights)), key=lambda i: -weights[i])
        assert [parts[i] for i in ranked] == sorted(parts, reverse=True)

    def test_exhaustive_for_small_amounts(self) -> None:
        """
        Each amount to 1,000 in 1 to 12 equal parts adds up, the larger ones first.
        """
        for minor, count in product(range(1001), range(1, 13)):
            parts = [part.minor for part in Money(minor, "JPY").split([1] * count)]

            assert sum(parts) == minor
            assert parts == sorted(parts, reverse=True)
            assert parts[0] - parts[-1] <= 1

    @pytest.mark.parametrize(
        "weights",
        [
            (),
            (0,),
            (0, 0),
            (1, -1),
            (2, -1),
            (True, 1),
            (0.5, 0.5),
            ("1",),
            "12",
            (None,),
        ],
        ids=repr,
    )
    def test_no_weights(self, weights: Any) -> None:
        """
        Weights are whole numbers from zero up, and one at least is above zero.
        """
        assert refused(lambda: eur("1").split(weights)) == "weights"


class TestShare:
    """
    `Share` and the ways to write it.
    """

    def test_lowest_terms(self) -> None:
        """
        Two ways to write one share are one share.
        """
        share = Share(50, 100)

        assert share == Share(1, 2) == Share.percent(50)
        assert (share.numerator, share.denominator) == (1, 2)
        assert hash(share) == hash(Share(1, 2))
        assert Share(1, 2) != Share(1, 3)

    def test_ends(self) -> None:
        """
        Nothing and everything are shares like the others.
        """
        assert Share(0, 7) == Share.percent(0) == NOTHING
        assert Share(7, 7) == Share.percent(100) == EVERYTHING
        assert NOTHING.of(eur("9.99")) == Money.zero("EUR")
        assert EVERYTHING.of(eur("9.99")) == eur("9.99")

    def test_of(self) -> None:
        """
        A share of money is rounded half up.
        """
        assert Share.percent(20).of(eur("100.00")) == eur("20.00")
        assert Share(1, 2).of(eur("0.01")) == eur("0.01")
        assert Share(1, 3).of(eur("0.01")) == eur("0.00")

    def test_frozen(self) -> None:
        """
        A share does not change.
        """
        share: Any = Share(1, 2)

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            share.numerator = 0

    @pytest.mark.parametrize("percent", [-1, 101, 20.0, True, "20", None])
    def test_no_percent(self, percent: Any) -> None:
        """
        Percent are whole numbers from 0 to 100.
        """
        assert refused(lambda: Share.percent(percent)) == "percent"

    @pytest.mark.parametrize(
        ("share", "text"),
        [
            (NOTHING, "0 %"),
            (EVERYTHING, "100 %"),
            (Share.percent(20), "20 %"),
            (Share(1, 8), "12.5 %"),
            (Share(1, 10**8), "0.000001 %"),
            (Share(1, 3), "1/3"),
            (Share(1, 10**9), "1/1000000000"),
        ],
    )
    def test_text(self, share: Share, text: str) -> None:
        """
        A share reads as percent where that is exact, as a fraction elsewhere.
        """
        assert str(share) == text

    @pytest.mark.parametrize(
        ("value", "share"),
        [
            (Share(1, 3), Share(1, 3)),
            ("20 %", Share(1, 5)),
            ("20%", Share(1, 5)),
            ("12.5 %", Share(1, 8)),
            ("0%", NOTHING),
            ("100.000000 %", EVERYTHING),
            (20, Share(1, 5)),
            (1, Share(1, 100)),
            (0, NOTHING),
            (100, EVERYTHING),
            (Fraction(1, 3), Share(1, 3)),
            (Fraction(1), EVERYTHING),
        ],
        ids=str,
    )
    def test_as_share(self, value: object, share: Share) -> None:
        """
        A share is given as a share, as percent, or as a fraction.
        """
        assert as_share(value, "tip_max") == share

    @pytest.mark.parametrize(
        "value",
        [
            "20",
            "%",
            "",
            "-1 %",
            "101 %",
            "100.1 %",
            "1e1 %",
            "20  %",
            " 20 %",
            "20 %\n",
            ".5 %",
            "1. %",
            "0.0000001 %",
            "9" * 10**5 + "%",
            "\u0662\u0660 %",
            "1/3",
            -1,
            101,
            10**5000,
            0.2,
            True,
            False,
            None,
            Decimal("0.2"),
            Fraction(-1, 3),
            Fraction(4, 3),
            [20],
        ],
        ids=lambda value: ascii(value)[:12] if type(value) is not int else "int",
    )
    def test_no_share(self, value: object) -> None:
        """
        Anything else is refused, and the refusal names the field.
        """
        assert refused(lambda: as_share(value, "tip_max")) == "tip_max"

    @given(st.integers(0, 10**8))
    def test_round_trip(self, numerator: int) -> None:
        """
        Text in percent gives the same share again.
        """
        share = Share(numerator, 10**8)

        assert as_share(str(share), "share") == share


class TestFee:
    """
    `Fee(flat, bps)`.
    """

    @pytest.mark.parametrize(
        ("fee", "base", "taken"),
        [
            (Fee(), "100.00", "0.00"),
            (Fee(eur("0.25")), "100.00", "0.25"),
            (Fee(eur("0.00")), "100.00", "0.00"),
            (Fee(bps=250), "100.00", "2.50"),
            (Fee(eur("0.25"), 250), "100.00", "2.75"),
            (Fee(flat=eur("0.25"), bps=10_000), "1.00", "1.25"),
            (Fee(bps=250), "0.20", "0.01"),
            (Fee(bps=250), "0.19", "0.00"),
            (Fee(eur("0.25"), 250), "0.00", "0.25"),
        ],
        ids=str,
    )
    def test_of(self, fee: Fee, base: str, taken: str) -> None:
        """
        A fee is its flat amount plus its part of the price, rounded half up.
        """
        assert fee.of(eur(base)) == eur(taken)

    @given(minors.filter(lambda minor: minor <= AMOUNT_MAX), st.integers(0, 10_000))
    def test_part_agrees_with_decimal(self, minor: int, bps: int) -> None:
        """
        The part is exact to the half unit, for every amount and rate.
        """
        fee = Fee(bps=bps).of(Money(minor, "EUR"))

        assert fee.minor == half_up(Fraction(minor * bps, 10_000))

    def test_flat_in_another_currency(self) -> None:
        """
        A flat amount in euros cannot be charged on yen.
        """
        assert refused(lambda: Fee(eur("1")).of(Money(100, "JPY"))) == "currency"

    @pytest.mark.parametrize("bps", [0, 1, 10_000])
    def test_limits(self, bps: int) -> None:
        """
        From nothing to all of the price, both included; and so is a flat amount of
        nothing.
        """
        fee = Fee(Money.zero("EUR"), bps)

        assert fee.of(Money(10_000, "EUR")) == Money(bps, "EUR")

    @pytest.mark.parametrize("bps", [-1, 10_001, 2.5, True, "250", None])
    def test_no_rate(self, bps: Any) -> None:
        """
        A rate is a whole number of basis points from 0 to 10,000.
        """
        assert refused(lambda: Fee(bps=bps)) == "bps"

    @pytest.mark.parametrize(
        "flat", [0, 25, "0.25", 0.25, False, Money(AMOUNT_MAX + 1, "EUR")], ids=repr
    )
    def test_no_flat_amount(self, flat: Any) -> None:
        """
        A flat amount is money that a person could pay.
        """
        assert refused(lambda: Fee(flat)) == "flat"


class TestPayment:
    """
    `Payment(method, reference, amount)`.
    """

    def test_parts(self) -> None:
        """
        A payment is given by position or by name; the amount can be left out.
        """
        assert Payment("card", "pi_1") == Payment(method="card", reference="pi_1")
        assert Payment("card", "pi_1").amount is None
        assert Payment("card", "pi_1", eur("1")).amount == eur("1")

    def test_ids_are_cleaned(self) -> None:
        """
        Method and reference are ids: trimmed, NFC, numbers and UUIDs as text.
        """
        number: Any = 7
        uuid: Any = UUID(int=0)

        assert Payment(" card ", "e\u0301") == Payment("card", "\u00e9")
        assert Payment("card", number).reference == "7"
        assert Payment("card", uuid).reference == str(UUID(int=0))

    @pytest.mark.parametrize("odd", ["", " ", "a\x00", "x" * 256, None, 1.5, True])
    def test_odd_ids(self, odd: Any) -> None:
        """
        What is no id is refused, by its name.
        """
        assert refused(lambda: Payment(odd, "pi_1")) == "method"
        assert refused(lambda: Payment("card", odd)) == "reference"

    @pytest.mark.parametrize(
        "amount", [Money(0, "EUR"), Money(AMOUNT_MAX + 1, "EUR"), 100, "1.00", False]
    )
    def test_odd_amount(self, amount: Any) -> None:
        """
        An amount is money, above zero and within the limit.
        """
        assert refused(lambda: Payment("card", "pi_1", amount)) == "amount"

    @pytest.mark.parametrize(
        "held_until",
        ["2026-05-12T10:00:00+02:00", as_utc("2026-05-12T08:00:00Z", "held_until")],
    )
    def test_held_until(self, held_until: Any) -> None:
        """
        Until when a bank holds it is an instant, kept in UTC; without one it is here.
        """
        held = Payment("card", "pi_1", held_until=held_until).held_until

        assert held is not None
        assert held.isoformat() == "2026-05-12T08:00:00+00:00"
        assert Payment("card", "pi_1").held_until is None

    @pytest.mark.parametrize("odd", ["tomorrow", "2026-05-12T10:00:00", "", 0, False])
    def test_odd_held_until(self, odd: Any) -> None:
        """
        What is no instant is refused; nothing given is `None` and nothing else.
        """
        assert refused(lambda: Payment("card", "a", held_until=odd)) == "held_until"

    def test_frozen_and_hashable(self) -> None:
        """
        A payment does not change and can be a key.
        """
        payment: Any = Payment("card", "pi_1")

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            payment.method = "wallet"
        assert len({payment, Payment("card", "pi_1")}) == 1


class TestAsAmount:
    """
    What a person can give.
    """

    @pytest.mark.parametrize("minor", [1, AMOUNT_MAX])
    def test_within(self, minor: int) -> None:
        """
        From one unit to the limit, both included.
        """
        money = Money(minor, "EUR")

        assert as_amount(money, "price") is money

    @pytest.mark.parametrize("value", [Money(0, "EUR"), Money(AMOUNT_MAX + 1, "EUR")])
    def test_outside(self, value: Money) -> None:
        """
        Nothing, and more than the limit, are refused.
        """
        assert refused(lambda: as_amount(value, "price")) == "price"

    @pytest.mark.parametrize("value", [None, 1, 1.0, "1.00", Decimal(1), (1, "EUR")])
    def test_no_money(self, value: object) -> None:
        """
        A bare number is no amount: nobody knows of what.
        """
        assert refused(lambda: as_amount(value, "price")) == "price"

    def test_refusal_says_the_limit(self) -> None:
        """
        Whoever gives too much reads how much he may give.
        """
        with pytest.raises(InvalidInputError, match=r"at most 10000000000\.00 EUR"):
            as_amount(Money(AMOUNT_MAX + 1, "EUR"), "price")


class TestCurrencies:
    """
    The table, and the script that makes it.
    """

    @pytest.mark.parametrize(
        ("currency", "decimals"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)]
    )
    def test_digits(self, currency: str, decimals: int) -> None:
        """
        Each currency has its own number of decimals.
        """
        assert digits(currency) == CURRENCIES[currency] == decimals

    @pytest.mark.parametrize("currency", ["XXX", "eur", "", None, ["EUR"]])
    def test_no_digits(self, currency: Any) -> None:
        """
        What is no currency has no decimals.
        """
        assert refused(lambda: digits(currency)) == "currency"

    def test_table_is_read_only(self) -> None:
        """
        Nobody adds a currency by accident.
        """
        table: Any = CURRENCIES

        with pytest.raises(TypeError):
            table["ABC"] = 2

    def test_table_is_sorted(self) -> None:
        """
        The table is in the order of its codes.
        """
        assert list(CURRENCIES) == sorted(CURRENCIES)

    def test_table_is_the_official_one(self) -> None:
        """
        The table is that of the installed `iso4217`, and what it once was.
        """
        iso4217 = pytest.importorskip("iso4217")

        official = {
            currency.code: currency.exponent
            for currency in iso4217.Currency
            if currency.exponent is not None
        }

        assert official | WITHDRAWN == CURRENCIES

    def test_script_writes_what_it_reads(self, tool: ModuleType) -> None:
        """
        The table survives the script, withdrawn codes included.
        """
        table = {"EUR": 2, "OLD": 0, "JPY": 0}

        assert tool.kept(tool.render(table)) == table
        assert tool.merged(table, {"EUR": 2, "NEW": 3}) == {**table, "NEW": 3}
        assert tool.kept(tool.TARGET.read_text(encoding="utf-8")) == CURRENCIES

    def test_script_stops_at_a_new_exponent(self, tool: ModuleType) -> None:
        """
        A changed exponent would change stored money: a person has to decide.
        """
        with pytest.raises(SystemExit, match="EUR"):
            tool.merged({"EUR": 2}, {"EUR": 3})

    @pytest.fixture
    def tool(self) -> ModuleType:
        """
        The script, loaded as a module.
        """
        pytest.importorskip("iso4217")
        spec = importlib.util.spec_from_file_location("make_iso4217", TOOL)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
