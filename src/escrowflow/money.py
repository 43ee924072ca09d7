"""
Money: whole minor units of one ISO 4217 currency, and exact ways to divide them.

- There is no float anywhere, and nothing is rounded that was not asked to be.
- Money is never negative: who owes whom is said by the account it is booked on.
- Two currencies never meet: they are not added, not subtracted, not ordered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from types import MappingProxyType
from typing import Final, NoReturn, final

import attrs
from pendulum import DateTime

from ._iso4217 import EXPONENTS
from .clock import as_utc
from .errors import InvalidInputError, LedgerError
from .inputs import as_id

__all__ = [
    "AMOUNT_MAX",
    "CURRENCIES",
    "EVERYTHING",
    "MINOR_MAX",
    "NOTHING",
    "Fee",
    "Money",
    "Payment",
    "Share",
    "as_amount",
    "as_share",
    "digits",
]

# What a signed 64-bit column holds: the type of an amount in SQLite, PostgreSQL
# and every payment provider.  Only sums of a ledger come anywhere near it.
MINOR_MAX: Final = 2**63 - 1

# The most that one person can give in one piece, in minor units: ten thousand
# million euros.  Nine million of these still add up to less than MINOR_MAX.
AMOUNT_MAX: Final = 10**12

# A whole, in basis points.
BPS_MAX: Final = 10_000

# Every code that money can be in, with the number of its decimals.  Gold, test
# codes and the like (XAU, XTS) have no minor unit and are not in it.
CURRENCIES: Final[Mapping[str, int]] = MappingProxyType(EXPONENTS)

# More than MINOR_MAX needs, and short enough to be read at once.
_AMOUNT_LENGTH_MAX: Final = 30

# `re` and `int()` alike take the digits of every script for digits: we do not.
_AMOUNT: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_PERCENT_DECIMALS: Final = 6

# Of our own, because the decimal context of the host may round to two digits.
_EXACT: Final = Context(prec=_AMOUNT_LENGTH_MAX, traps=[Inexact, InvalidOperation])

_new: Final = object.__new__
_put: Final = object.__setattr__


@final
@attrs.frozen(init=False, repr=False)
class Money:
    """
    An amount of money, zero included: `Money(10000, "EUR")` is 100 euros.

    It is false when it is zero.  Equality compares currencies too; `+`, `-` and
    the comparisons refuse another one.  A sum that leaves 0 to `MINOR_MAX` is a
    `LedgerError`, because no book of ours may get there.

    Attributes:
        minor: Whole minor units (cents, yen, fils), 0 to `MINOR_MAX`.

        currency: The ISO 4217 code, in capitals.

    Raises:
        InvalidInputError: If *minor* is not exactly an `int` or out of range, or
            *currency* is no code of `CURRENCIES`.
    """

    minor: int
    currency: str

    def __init__(self, minor: int, currency: str) -> None:
        if type(minor) is not int or not 0 <= minor <= MINOR_MAX:
            _refuse_minor(minor)
        if type(currency) is not str or currency not in EXPONENTS:
            currency = _as_currency(currency)
        _put_minor(self, minor)
        _put_currency(self, currency)

    @staticmethod
    def of(amount: str | int | Decimal, currency: str) -> Money:
        """
        Return an amount given in major units: `Money.of("100.00", "EUR")`.

        Args:
            amount: Text of ASCII digits with at most one point (`"100"`,
                `"99.90"`; at most 30 characters), an `int` or a `Decimal`.

        Raises:
            InvalidInputError: If it is anything else, negative, above
                `MINOR_MAX`, or has more decimals than the currency: nothing is
                ever rounded here.
        """
        currency = _as_currency(currency)
        number = _as_decimal(amount)
        unit = Decimal((0, (1,), -EXPONENTS[currency]))
        try:
            # Fails before it works out a number of a million digits.
            minor = int(
                number.quantize(unit, context=_EXACT).scaleb(
                    EXPONENTS[currency], context=_EXACT
                )
            )
        except Inexact:
            raise InvalidInputError(
                "amount",
                f"{currency} has {EXPONENTS[currency]} decimals: round it first",
            ) from None
        except InvalidOperation:
            _refuse_amount("too large")
        if minor < 0:
            _refuse_amount("negative")
        if minor > MINOR_MAX:
            _refuse_amount("too large")
        return Money._of(minor, currency)

    @staticmethod
    def zero(currency: str) -> Money:
        """
        Return no money at all, of that currency.
        """
        return Money(0, currency)

    @staticmethod
    def _of(minor: int, currency: str) -> Money:
        # For numbers that are known to be right: it checks nothing.
        money = _new(Money)
        _put_minor(money, minor)
        _put_currency(money, currency)
        return money

    @property
    def amount(self) -> Decimal:
        """
        The major units, with all the decimals of the currency: `100.00`.
        """
        return Decimal(_point(self.minor, EXPONENTS[self.currency]))

    @property
    def is_zero(self) -> bool:
        """
        Whether there is nothing.
        """
        return not self.minor

    def share(self, numerator: int, denominator: int) -> Money:
        """
        Return that part of it, rounded half up to a whole minor unit.

        Of two parts that must add up, take one and subtract it; of more, use
        `split`.

        Raises:
            InvalidInputError: Unless 0 <= *numerator* <= *denominator* and
                *denominator* > 0, both exactly `int`.
        """
        _check_proportion(numerator, denominator)
        return self._part(numerator, denominator)

    def split(self, weights: Sequence[int]) -> tuple[Money, ...]:
        """
        Divide it all in proportion to *weights*; not a unit is lost or made.

        Each part is within one unit of its exact share: what rounding down leaves
        over goes, unit by unit, to the largest remainders, and among equal ones
        to the earlier part.

        Returns:
            One part for each weight, in their order; zero for a weight of zero.

        Raises:
            InvalidInputError: If *weights* is empty, all zero, or has anything
                but whole numbers from zero up.

        Source:
            The largest remainder method (Hamilton, 1792).
        """
        weights = tuple(weights)
        if any(type(weight) is not int or weight < 0 for weight in weights):
            raise InvalidInputError("weights", "whole numbers from zero up")
        whole = sum(weights)
        if not whole:
            raise InvalidInputError("weights", "at least one above zero")
        floors, remainders = [], []
        for weight in weights:
            floor, remainder = divmod(self.minor * weight, whole)
            floors.append(floor)
            remainders.append(remainder)
        # `sorted` is stable: equal remainders keep their order.
        favoured = sorted(range(len(weights)), key=lambda i: -remainders[i])
        for i in favoured[: self.minor - sum(floors)]:
            floors[i] += 1
        return tuple(Money._of(minor, self.currency) for minor in floors)

    def _part(self, numerator: int, denominator: int) -> Money:
        return Money._of(
            (2 * self.minor * numerator + denominator) // (2 * denominator),
            self.currency,
        )

    def _alike(self, other: Money) -> int:
        if type(other) is not Money:
            raise TypeError(f"money goes with Money only, not {_kind(other)}")
        if other.currency != self.currency:
            raise InvalidInputError(
                "currency", f"{self.currency} and {other.currency} cannot be mixed"
            )
        return other.minor

    def __add__(self, other: Money) -> Money:
        minor = self.minor + self._alike(other)
        if minor > MINOR_MAX:
            raise LedgerError(f"{self} + {other} is more than can be booked")
        return Money._of(minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        minor = self.minor - self._alike(other)
        if minor < 0:
            raise LedgerError(f"{self} - {other} is less than nothing")
        return Money._of(minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._alike(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._alike(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._alike(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._alike(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __str__(self) -> str:
        return f"{_point(self.minor, EXPONENTS[self.currency])} {self.currency}"

    def __repr__(self) -> str:
        amount = _point(self.minor, EXPONENTS[self.currency])
        return f"Money.of({amount!r}, {self.currency!r})"


# Past the guard of a frozen class, and faster than `object.__setattr__`: an
# order that is read from its history makes hundreds of these.
_put_minor: Final = vars(Money)["minor"].__set__
_put_currency: Final = vars(Money)["currency"].__set__


@final
@attrs.frozen
class Share:
    """
    A part of a whole, from `NOTHING` to `EVERYTHING`: `Share(1, 2)` is one half.

    It is kept in lowest terms, so `Share(50, 100) == Share(1, 2)`.

    Attributes:
        numerator: From zero to the denominator.

        denominator: Above zero.
    """

    numerator: int
    denominator: int

    def __attrs_post_init__(self) -> None:
        _check_proportion(self.numerator, self.denominator)
        common = math.gcd(self.numerator, self.denominator)
        _put(self, "numerator", self.numerator // common)
        _put(self, "denominator", self.denominator // common)

    @staticmethod
    def percent(percent: int) -> Share:
        """
        Return so many hundredths; a whole number from 0 to 100.
        """
        if type(percent) is not int or not 0 <= percent <= 100:
            raise InvalidInputError("percent", "a whole number from 0 to 100")
        return Share(percent, 100)

    def of(self, money: Money) -> Money:
        """
        Return this part of *money*, rounded half up to a whole minor unit.
        """
        return money._part(self.numerator, self.denominator)

    def __str__(self) -> str:
        for decimals in range(_PERCENT_DECIMALS + 1):
            scaled, rest = divmod(
                self.numerator * 10 ** (2 + decimals), self.denominator
            )
            if not rest:
                return f"{_point(scaled, decimals)} %"
        return f"{self.numerator}/{self.denominator}"


@final
@attrs.frozen
class Fee:
    """
    What the platform takes: a flat amount, a part of the price, or both.

    Attributes:
        flat: Taken whatever the price; `None` for nothing.

        bps: Basis points of the price, 0 to 10,000: 250 are 2.5 %.
    """

    flat: Money | None = None
    bps: int = 0

    def __attrs_post_init__(self) -> None:
        if self.flat is not None:
            _check_money(self.flat, "flat", at_least=0)
        if type(self.bps) is not int or not 0 <= self.bps <= BPS_MAX:
            raise InvalidInputError("bps", f"a whole number from 0 to {BPS_MAX}")

    def of(self, base: Money) -> Money:
        """
        Return the fee on *base*; the part of it is rounded half up.

        It may be more than *base*, if the flat amount is.

        Raises:
            InvalidInputError: If the flat amount is in another currency.
        """
        part = base._part(self.bps, BPS_MAX)
        return part if self.flat is None else part + self.flat


def _held_until(value: datetime | str | None) -> DateTime | None:
    return None if value is None else as_utc(value, "held_until")


@final
@attrs.frozen
class Payment:
    """
    Money that the buyer's side says has arrived, or that his bank holds for us, as
    the provider knows it.

    Attributes:
        method: How it was paid: `"card"`, `"paypal"`, `"wallet"` or a word of the
            host's own.

        reference: The provider's id of it, such as `"pi_123"`.

        amount: How much; `None` means the full price, fees included, of what the
            command pays for.

        held_until: Until when the bank holds it, if it was authorised only and is
            charged once the seller accepts; `None`: it has arrived.

    Raises:
        InvalidInputError: If a part of it cannot be read.
    """

    method: str
    reference: str
    amount: Money | None = None
    held_until: DateTime | None = attrs.field(default=None, converter=_held_until)

    def __attrs_post_init__(self) -> None:
        _put(self, "method", as_id(self.method, "method"))
        _put(self, "reference", as_id(self.reference, "reference"))
        if self.amount is not None:
            as_amount(self.amount, "amount")


def as_amount(value: object, field: str) -> Money:
    """
    Return an amount that a person gave: above zero, at most `AMOUNT_MAX`.

    Raises:
        InvalidInputError: If it is out of that range or no `Money`.
    """
    return _check_money(value, field, at_least=1)


def as_share(value: object, field: str) -> Share:
    """
    Return a share from any of the ways to write it.

    Args:
        value: A `Share`; text such as `"20 %"`, `"20%"` or `"12.5 %"` with at most
            six decimals; an `int`, which counts percent; or a `Fraction`, which
            does not.

    Raises:
        InvalidInputError: If it is of another type, or not from nothing to
            everything.
    """
    if isinstance(value, Share):
        return value
    if isinstance(value, Fraction):
        part = value
    elif type(value) is int:
        part = Fraction(value, 100)
    elif isinstance(value, str):
        found = _PERCENT.fullmatch(value)
        if found is None:
            raise InvalidInputError(field, "a share is written like '20 %'")
        part = Fraction(found[1]) / 100
    else:
        raise InvalidInputError(
            field, f"a Share, text like '20 %', or whole percent, not {_kind(value)}"
        )
    if not 0 <= part <= 1:
        raise InvalidInputError(field, "a share is from 0 % to 100 %")
    return Share(part.numerator, part.denominator)


def digits(currency: str) -> int:
    """
    Return the number of decimals of a currency: 2 for EUR, 0 for JPY, 3 for KWD.

    Raises:
        InvalidInputError: If it is no code of `CURRENCIES`.
    """
    return EXPONENTS[_as_currency(currency)]


def _as_currency(value: object) -> str:
    if isinstance(value, str):
        # An enum that is also text (Django's `TextChoices`) hashes by its name
        # and prints as it likes; this is the text itself.
        code = str.__str__(value)
        if code in EXPONENTS:
            return code
        raise InvalidInputError(
            "currency",
            f"an ISO 4217 code with minor units, like 'EUR', not {code[:8]!r}",
        )
    raise InvalidInputError("currency", f"a code like 'EUR', not {_kind(value)}")


def _as_decimal(value: object) -> Decimal:
    if isinstance(value, str):
        if len(value) > _AMOUNT_LENGTH_MAX or not _AMOUNT.fullmatch(value):
            _refuse_amount(
                f"digits like '99.90', at most {_AMOUNT_LENGTH_MAX} characters"
            )
        return Decimal(value)
    if type(value) is int:
        if abs(value) > MINOR_MAX:
            _refuse_amount("too large" if value > 0 else "negative")
        return Decimal(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            _refuse_amount("a finite number")
        return value
    _refuse_amount(f"text, a whole number or a Decimal, not {_kind(value)}")


def _check_money(value: object, field: str, *, at_least: int) -> Money:
    if not isinstance(value, Money):
        raise InvalidInputError(
            field, f"Money, like Money.of('99.90', 'EUR'), not {_kind(value)}"
        )
    if value.minor < at_least:
        raise InvalidInputError(field, "an amount is more than zero")
    if value.minor > AMOUNT_MAX:
        most = Money._of(AMOUNT_MAX, value.currency)
        raise InvalidInputError(field, f"at most {most}, not {value}")
    return value


def _check_proportion(numerator: int, denominator: int) -> None:
    # Of unbounded numbers, none is printed: Python refuses to beyond 4300 digits.
    if type(denominator) is not int or denominator <= 0:
        raise InvalidInputError("denominator", "a whole number above zero")
    if type(numerator) is not int or not 0 <= numerator <= denominator:
        raise InvalidInputError(
            "numerator", "a whole number from zero to the denominator"
        )


def _refuse_minor(minor: object) -> NoReturn:
    if type(minor) is not int:
        problem = f"whole minor units as an int, not {_kind(minor)}: see Money.of"
    elif minor < 0:
        problem = "money is never negative: swap who pays"
    else:
        problem = f"at most {MINOR_MAX}"
    raise InvalidInputError("minor", problem)


def _refuse_amount(problem: str) -> NoReturn:
    raise InvalidInputError("amount", problem)


def _point(units: int, decimals: int) -> str:
    if not decimals:
        return str(units)
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}}"


def _kind(value: object) -> str:
    return type(value).__name__


# Down here, because making them takes the helpers above.
NOTHING: Final = Share(0, 1)
EVERYTHING: Final = Share(1, 1)
