"""
The people of a market: habits as data, and what chance makes of them in one order.

- A habit is a number of hundredths, or a length of time; nothing here does anything.
- What the people of an order will want is drawn before anything happens, from the seed
  and the number of the order alone.  So the same people, with the same intentions, meet
  under every process.

The habits are invented.  Nobody measured them: replace them by yours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final, TypeAlias, TypeVar, final

import attrs

from ..clock import as_window
from ..errors import InvalidInputError
from ..fields import by, checked
from ..inputs import FrozenDict, kind_of
from ..money import AMOUNT_MAX, Money

__all__ = [
    "DEFAULT",
    "ROUNDS",
    "BuyerHabits",
    "Goods",
    "MediatorHabits",
    "People",
    "Plan",
    "SellerHabits",
    "Span",
    "StaffHabits",
    "drawn",
]

# How many deliveries of one order are planned; those that follow are like the last.
ROUNDS: Final = 6

_SECOND: Final = timedelta(seconds=1)
_HUNDRED: Final = 100

_T = TypeVar("_T")


# --- habits -----------------------------------------------------------------------


@final
@attrs.frozen
class Span:
    """
    A length of time that differs: half of the time between the least and the usual,
    half of the time between the usual and the most.

    Attributes:
        least, usual, most: Seconds.
    """

    least: int
    usual: int
    most: int

    def drawn(self, rng: Random) -> int:
        """
        Return so many seconds.
        """
        if rng.randrange(2):
            return rng.randint(self.usual, self.most)
        return rng.randint(self.least, self.usual)


def _span(*texts: str) -> Span:
    seconds = [as_window(text, "span") // _SECOND for text in texts]
    return Span(*seconds)


def _as_span(value: Any, field: str) -> Span:
    if isinstance(value, Span):
        return value
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise InvalidInputError(
            field, 'three windows, the least, the usual, the most: ["PT1H", ...]'
        )
    seconds = [as_window(one, field) // _SECOND for one in value]
    if seconds != sorted(seconds):
        raise InvalidInputError(field, "the least, the usual and the most, in order")
    return Span(*seconds)


def _as_percent(value: Any, field: str) -> int:
    if type(value) is not int or not 0 <= value <= _HUNDRED:
        raise InvalidInputError(field, "a whole number from 0 to 100")
    return value


def _as_weight(value: Any, field: str) -> int:
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise InvalidInputError(field, "a whole number from 0 to 1000000")
    return value


_SPAN: Final = by(_as_span)


def _percent(default: int) -> Any:
    return attrs.field(default=default, metadata=by(_as_percent))


def _weight() -> Any:
    return attrs.field(default=1, metadata=by(_as_weight))


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class BuyerHabits:
    """
    How a buyer behaves.  Of 100 orders, so many; and after how long.

    Attributes:
        weight: How many such buyers there are, next to the others.

        brief, brief_after: He sends a brief.

        leaves, leaves_after: He changes his mind before the seller accepts.

        asks_out, asks_out_after: He asks to cancel while the seller works in time.

        gives_up, gives_up_after: He cancels an order that is late.

        checks, checks_after: He looks at a delivery, and says so; otherwise he is
            silent.

        demands: Of work that is good, he asks for changes all the same.

        fights, fights_after: He goes to a mediator if what he asked for is refused or
            not answered.

        grants, grants_after: He gives more time to a seller who asks for it.

        haggles: Of work that is not usable, he wants a part of the money back, not a
            revision.

        extras, extras_after: He buys an option while the seller works.

        takes, takes_after: He takes extra work that a seller offers him; the rest he
            refuses.
    """

    weight: int = _weight()
    brief: int = _percent(80)
    brief_after: Span = attrs.field(
        default=_span("PT10M", "PT4H", "P2D"), metadata=_SPAN
    )
    leaves: int = _percent(2)
    leaves_after: Span = attrs.field(
        default=_span("PT10M", "PT6H", "P2D"), metadata=_SPAN
    )
    asks_out: int = _percent(2)
    asks_out_after: Span = attrs.field(
        default=_span("PT1H", "P1D", "P4D"), metadata=_SPAN
    )
    gives_up: int = _percent(80)
    gives_up_after: Span = attrs.field(
        default=_span("PT1H", "P2D", "P10D"), metadata=_SPAN
    )
    checks: int = _percent(85)
    checks_after: Span = attrs.field(
        default=_span("PT30M", "P1D", "P10D"), metadata=_SPAN
    )
    demands: int = _percent(10)
    fights: int = _percent(70)
    fights_after: Span = attrs.field(
        default=_span("PT1H", "P1D", "P5D"), metadata=_SPAN
    )
    grants: int = _percent(80)
    grants_after: Span = attrs.field(
        default=_span("PT1H", "PT12H", "P3D"), metadata=_SPAN
    )
    haggles: int = _percent(15)
    extras: int = _percent(4)
    extras_after: Span = attrs.field(
        default=_span("PT1H", "P1D", "P5D"), metadata=_SPAN
    )
    takes: int = _percent(50)
    takes_after: Span = attrs.field(
        default=_span("PT1H", "PT12H", "P3D"), metadata=_SPAN
    )


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class SellerHabits:
    """
    How a seller behaves.  Of 100 orders, so many; and after how long.

    Attributes:
        weight: How many such sellers there are, next to the others.

        accepts, accepts_after: He accepts.

        refuses: He refuses, after the same time; the rest he leaves unanswered.

        in_time: He delivers before the deadline.

        late, late_by: He delivers after it; the rest he never delivers.

        abandons, abandons_after: He cancels what he will never deliver.

        extends: He asks for more time when he will be late, where the process has it.

        good: His work is usable.

        improves: Work that was not usable is so after a revision.

        agrees: He agrees to a revision of work that is not usable.

        yields: He agrees to a revision of work that is usable.

        answers, answers_after: He answers requests at all.

        lets_go: He agrees when a buyer asks to cancel.

        reworks_after: He delivers again.

        gives_in: He agrees when a buyer wants a part of the money back.

        offers, offers_after: He offers extra work while he works.
    """

    weight: int = _weight()
    accepts: int = _percent(92)
    accepts_after: Span = attrs.field(
        default=_span("PT10M", "PT6H", "PT52H"), metadata=_SPAN
    )
    refuses: int = _percent(4)
    in_time: int = _percent(85)
    late: int = _percent(11)
    late_by: Span = attrs.field(default=_span("PT1H", "P1D", "P10D"), metadata=_SPAN)
    abandons: int = _percent(40)
    abandons_after: Span = attrs.field(
        default=_span("PT12H", "P3D", "P10D"), metadata=_SPAN
    )
    extends: int = _percent(70)
    good: int = _percent(88)
    improves: int = _percent(70)
    agrees: int = _percent(90)
    yields: int = _percent(60)
    answers: int = _percent(93)
    answers_after: Span = attrs.field(
        default=_span("PT30M", "PT12H", "P4D"), metadata=_SPAN
    )
    lets_go: int = _percent(70)
    reworks_after: Span = attrs.field(
        default=_span("PT4H", "P1D", "P5D"), metadata=_SPAN
    )
    gives_in: int = _percent(60)
    offers: int = _percent(4)
    offers_after: Span = attrs.field(
        default=_span("PT1H", "P1D", "P4D"), metadata=_SPAN
    )

    def __attrs_post_init__(self) -> None:
        if self.accepts + self.refuses > _HUNDRED:
            raise InvalidInputError("refuses", "together with accepts at most 100")
        if self.in_time + self.late > _HUNDRED:
            raise InvalidInputError("late", "together with in_time at most 100")


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class MediatorHabits:
    """
    How a mediator behaves.

    Attributes:
        weight: How many such mediators there are, next to the others.

        comes, comes_after: He takes the case, of 100.

        rules, rules_after: He rules in a case that he took; the rest he forgets.

        fair: He gives the money to whom it is due: to the seller if usable work was
            delivered, otherwise to the buyer.  The rest of the time he halves it.
    """

    weight: int = _weight()
    comes: int = _percent(97)
    comes_after: Span = attrs.field(default=_span("PT1H", "P1D", "P4D"), metadata=_SPAN)
    rules: int = _percent(97)
    rules_after: Span = attrs.field(
        default=_span("PT12H", "P3D", "P14D"), metadata=_SPAN
    )
    fair: int = _percent(85)


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class StaffHabits:
    """
    How staff behaves.

    Attributes:
        weight: How many of them there are, next to the others.

        freezes, freezes_after: Of 100 orders, so many are stopped for checks.

        thaws, thaws_after: Of those, so many go on; the rest are forgotten.
    """

    weight: int = _weight()
    freezes: int = _percent(1)
    freezes_after: Span = attrs.field(
        default=_span("PT1H", "P2D", "P10D"), metadata=_SPAN
    )
    thaws: int = _percent(97)
    thaws_after: Span = attrs.field(default=_span("PT4H", "P1D", "P7D"), metadata=_SPAN)


def _as_minor(value: Any, field: str) -> int:
    if type(value) is not int or not 1 <= value <= AMOUNT_MAX // _HUNDRED:
        raise InvalidInputError(field, "a whole number of minor units, above zero")
    return value


def _as_currency(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(field, f"three letters, not {kind_of(value)}")
    return Money(1, value).currency


@final
@attrs.frozen(kw_only=True, field_transformer=checked)
class Goods:
    """
    What is ordered.

    Attributes:
        currency: ISO 4217.

        least, usual, most: What it costs, in minor units; half of it below the usual
            price.

        window: The time to deliver that is agreed on, to whole hours.

        revisions: The most revisions that are agreed on; from none to so many.

        part: What a buyer who haggles wants back, of 100 of the price.

        extra: What options and extra work cost, of 100 of the price.
    """

    currency: str = attrs.field(default="EUR", metadata=by(_as_currency))
    least: int = attrs.field(default=1_000, metadata=by(_as_minor))
    usual: int = attrs.field(default=8_000, metadata=by(_as_minor))
    most: int = attrs.field(default=60_000, metadata=by(_as_minor))
    window: Span = attrs.field(default=_span("P1D", "P4D", "P20D"), metadata=_SPAN)
    revisions: int = attrs.field(default=3, metadata=by(_as_percent))
    part: int = _percent(30)
    extra: int = _percent(20)

    def __attrs_post_init__(self) -> None:
        if not self.least <= self.usual <= self.most:
            raise InvalidInputError("usual", "from least to most")


Habits: TypeAlias = BuyerHabits | SellerHabits | MediatorHabits | StaffHabits

_KINDS: Final[Mapping[str, type[Any]]] = {
    "buyers": BuyerHabits,
    "sellers": SellerHabits,
    "mediators": MediatorHabits,
    "staff": StaffHabits,
}


def _named(value: Any) -> Mapping[str, Any]:
    return FrozenDict(value)


@final
@attrs.frozen(kw_only=True)
class People:
    """
    Who there is in a market: by name, with their habits and how many of them.

    Attributes:
        buyers, sellers, mediators, staff: Habits by the name of the kind of person;
            without, staff does nothing.

        goods: What is ordered.

    Raises:
        InvalidInputError: If there is nobody of one side.
    """

    buyers: Mapping[str, BuyerHabits] = attrs.field(converter=_named)
    sellers: Mapping[str, SellerHabits] = attrs.field(converter=_named)
    mediators: Mapping[str, MediatorHabits] = attrs.field(converter=_named)
    staff: Mapping[str, StaffHabits] = attrs.field(
        default={"absent": StaffHabits(freezes=0)}, converter=_named
    )
    goods: Goods = attrs.field(factory=Goods)

    def __attrs_post_init__(self) -> None:
        for name, kind in _KINDS.items():
            habits = getattr(self, name)
            if not all(isinstance(one, kind) for one in habits.values()):
                raise InvalidInputError(name, f"{kind.__name__} by name")
            if not sum(one.weight for one in habits.values()):
                raise InvalidInputError(name, "at least one, of some weight")

    @classmethod
    def read(cls, data: object) -> People:
        """
        Return people from plain data, as TOML or JSON bring it: `{"buyers": {"silent":
        {"weight": 3, "checks": 0}}}`.

        What is not said of somebody is as his class says; a side that is not named is
        as in `DEFAULT`.

        Raises:
            InvalidInputError: If it cannot be read; it names the field:
                `buyers.silent.checks`.
        """
        if not isinstance(data, Mapping):
            raise InvalidInputError("people", f"an object, not {kind_of(data)}")
        known = {**_KINDS, "goods": Goods}
        for name in data:
            if name not in known:
                raise InvalidInputError(
                    str(name)[:60], f"no such part; there are: {', '.join(known)}"
                )
        found: dict[str, Any] = {}
        for name, value in data.items():
            if name == "goods":
                found[name] = _read(Goods, value, name)
                continue
            if not isinstance(value, Mapping):
                raise InvalidInputError(name, f"habits by name, not {kind_of(value)}")
            found[name] = {
                str(person): _read(_KINDS[name], habits, f"{name}.{person}")
                for person, habits in value.items()
            }
        return attrs.evolve(DEFAULT, **found)


def _read(kind: type[_T], value: Any, where: str) -> _T:
    if not isinstance(value, Mapping):
        raise InvalidInputError(where, f"an object, not {kind_of(value)}")
    names = [field.name for field in attrs.fields(kind)]  # type: ignore[arg-type]
    for name in value:
        if name not in names:
            raise InvalidInputError(
                f"{where}.{name}"[:200], f"no such habit; there are: {', '.join(names)}"
            )
    try:
        return kind(**value)
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}.{error.field}", error.problem) from error


# Invented, and not measured.  What is said in docs/how-to/what-if.md is said of these.
DEFAULT: Final = People(
    buyers={
        "attentive": BuyerHabits(weight=60),
        "silent": BuyerHabits(
            weight=25, brief=40, checks=15, gives_up=25, fights=15, grants=50
        ),
        "undecided": BuyerHabits(weight=9, leaves=20, asks_out=20),
        "griefer": BuyerHabits(weight=6, demands=90, fights=95, grants=10),
    },
    sellers={
        "reliable": SellerHabits(weight=70, in_time=95, late=4, good=94),
        "overbooked": SellerHabits(
            weight=20, accepts=75, in_time=60, late=32, answers=80
        ),
        "careless": SellerHabits(weight=7, in_time=75, late=15, good=45, agrees=50),
        "vanishing": SellerHabits(
            weight=3, in_time=10, late=10, abandons=5, answers=10, extends=10
        ),
    },
    mediators={
        "diligent": MediatorHabits(weight=90),
        "vanishing": MediatorHabits(weight=10, comes=40, rules=30),
    },
    staff={"watchful": StaffHabits()},
)


# --- what chance makes of them ----------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Plan:
    """
    What the people of one order will want, and when; drawn before anything happens.
    Times are seconds from what they follow; `None` is never.

    Attributes:
        buyer, seller, mediator: What kind of person each of them is.

        placed: When the order is placed, in seconds of the market's year.

        price: In minor units.

        window: The time to deliver.

        revisions: The revisions agreed on.

        brief, leaves, asks_out, gives_up, fights, grants: Of the buyer.

        checks: Of the buyer, of each delivery.

        demands: Of the buyer, of each delivery that is good.

        accepts, refuses: Of the seller.

        delivers: Of the seller, from acceptance.

        abandons, extends, lets_go: Of the seller.

        good: Of the seller, of each delivery.

        reworks: Of the seller, after each accepted revision.

        answers: Of the seller, of each request.

        agrees: Of the seller, of each request for changes.

        comes, rules, fair: Of the mediator.

        haggles, extras, takes: Of the buyer.

        gives_in, offers: Of the seller.

        part, extra: In minor units.

        freezes, thaws: Of the staff.
    """

    buyer: str
    seller: str
    mediator: str
    placed: int
    price: int
    window: int
    revisions: int
    brief: int | None
    leaves: int | None
    asks_out: int | None
    gives_up: int | None
    checks: tuple[int | None, ...]
    demands: tuple[bool, ...]
    fights: int | None
    grants: int
    grants_it: bool
    accepts: int | None
    refuses: int | None
    delivers: int | None
    abandons: int | None
    extends: bool
    good: tuple[bool, ...]
    reworks: tuple[int, ...]
    answers: tuple[int | None, ...]
    agrees: tuple[bool, ...]
    lets_go: bool
    comes: int | None
    rules: int | None
    fair: bool
    haggles: bool
    gives_in: bool
    part: int
    extra: int
    extras: int | None
    offers: int | None
    takes: int | None
    refuses_offer: int
    freezes: int | None
    thaws: int | None


_YEAR: Final = 365 * 86_400
_HOUR: Final = 3_600


def drawn(people: People, seed: int, number: int) -> Plan:
    """
    Return what the people of one order of a market will want: the same for the same
    seed and number, whatever the process, the machine and the order of the orders.
    """
    # A text seeds by all of its bytes, and not by its hash.
    rng = Random(f"{seed}:{number}")
    buyer_name, buyer = _one(rng, people.buyers)
    seller_name, seller = _one(rng, people.sellers)
    mediator_name, mediator = _one(rng, people.mediators)
    goods = people.goods

    def chance(percent: int) -> bool:
        return rng.randrange(_HUNDRED) < percent

    def after(percent: int, span: Span) -> int | None:
        # Both are drawn in any case: what follows must not depend on the first.
        happens, seconds = chance(percent), span.drawn(rng)
        return seconds if happens else None

    window = max(goods.window.drawn(rng) // _HOUR, 1) * _HOUR
    answer, accepting = rng.randrange(_HUNDRED), seller.accepts_after.drawn(rng)
    comes_to = rng.randrange(_HUNDRED)
    early, late_by = rng.randint(20, 98) * window // _HUNDRED, seller.late_by.drawn(rng)
    delivers: int | None = early
    if comes_to >= seller.in_time:
        late = comes_to < seller.in_time + seller.late
        delivers = window + late_by if late else None
    abandoning = after(seller.abandons, seller.abandons_after)
    good = [chance(seller.good)]
    for _ in range(ROUNDS - 1):
        improved = chance(seller.improves)
        good.append(good[-1] or improved)
    placed = rng.randrange(_YEAR)
    price = Span(goods.least, goods.usual, goods.most).drawn(rng)
    return Plan(
        buyer=buyer_name,
        seller=seller_name,
        mediator=mediator_name,
        placed=placed,
        price=price,
        window=window,
        revisions=rng.randint(0, goods.revisions),
        brief=after(buyer.brief, buyer.brief_after),
        leaves=after(buyer.leaves, buyer.leaves_after),
        asks_out=after(buyer.asks_out, buyer.asks_out_after),
        gives_up=after(buyer.gives_up, buyer.gives_up_after),
        checks=tuple(after(buyer.checks, buyer.checks_after) for _ in range(ROUNDS)),
        demands=tuple(chance(buyer.demands) for _ in range(ROUNDS)),
        fights=after(buyer.fights, buyer.fights_after),
        grants=buyer.grants_after.drawn(rng),
        grants_it=chance(buyer.grants),
        accepts=accepting if answer < seller.accepts else None,
        refuses=(
            accepting
            if seller.accepts <= answer < seller.accepts + seller.refuses
            else None
        ),
        delivers=delivers,
        abandons=None if delivers is not None else abandoning,
        extends=chance(seller.extends),
        good=tuple(good),
        reworks=tuple(seller.reworks_after.drawn(rng) for _ in range(ROUNDS)),
        answers=tuple(
            after(seller.answers, seller.answers_after) for _ in range(ROUNDS)
        ),
        agrees=tuple(chance(seller.yields if one else seller.agrees) for one in good),
        lets_go=chance(seller.lets_go),
        comes=after(mediator.comes, mediator.comes_after),
        rules=after(mediator.rules, mediator.rules_after),
        fair=chance(mediator.fair),
        part=max(1, price * goods.part // _HUNDRED),
        extra=max(1, price * goods.extra // _HUNDRED),
        **_more(Random(f"{seed}:{number}:more"), buyer, seller, people.staff),
    )


def _more(
    rng: Random,
    buyer: BuyerHabits,
    seller: SellerHabits,
    all_staff: Mapping[str, StaffHabits],
) -> dict[str, Any]:
    """
    Return what people want beside the order itself, from a stream of its own: what is
    new here changes nothing of what was drawn before.
    """
    _, staff = _one(rng, all_staff)
    chances = {
        "haggles": rng.randrange(_HUNDRED) < buyer.haggles,
        "gives_in": rng.randrange(_HUNDRED) < seller.gives_in,
    }
    refuses_offer = buyer.takes_after.drawn(rng)
    found: dict[str, int | None] = {}
    for name, percent, span in (
        ("extras", buyer.extras, buyer.extras_after),
        ("offers", seller.offers, seller.offers_after),
        ("takes", buyer.takes, buyer.takes_after),
        ("freezes", staff.freezes, staff.freezes_after),
        ("thaws", staff.thaws, staff.thaws_after),
    ):
        happens, seconds = rng.randrange(_HUNDRED) < percent, span.drawn(rng)
        found[name] = seconds if happens else None
    return {**chances, **found, "refuses_offer": refuses_offer}


def _one(rng: Random, habits: Mapping[str, Any]) -> tuple[str, Any]:
    left = rng.randrange(sum(one.weight for one in habits.values()))
    for name, one in habits.items():
        if left < one.weight:
            return name, one
        left -= one.weight
    raise AssertionError("weights add up")
