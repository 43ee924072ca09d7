"""
Strategies for Hypothesis: money, terms, people, policies, payloads, orders that stand
anywhere, and a machine that leads whole lives through an engine.

    from escrowflow.testing import strategies

    @given(strategies.orders(my_process()))
    def test_my_page(order): ...

    TestMyProcess = strategies.state_machine(my_process()).TestCase

- They work on any process, also on yours: commands are filled in by their fields,
  policies by the declarations of theirs.
- What is drawn is legal: an order that can be, a payload that is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, TypeAlias

import attrs
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .. import fields
from ..calendars import BusinessCalendar, MondayToFriday
from ..clock import Months, as_utc, as_window, check_zone
from ..commands import Command, PlaceOrder
from ..decisions import Option
from ..errors import InvalidInputError, ProcessError
from ..forms import Field
from ..money import AMOUNT_MAX, Fee, Money, Share, as_share
from ..order import Order
from ..parties import (
    Actor,
    Buyer,
    Mediator,
    Operator,
    Provider,
    Role,
    Seller,
)
from ..rules import Policies
from ..states import Process, State
from ..terms import FullRefund, PaySeller, Terms
from .aims import aims, reachable
from .bed import START
from .leading import PEOPLE, Life, begun, check_people, placing
from .machines import state_machine
from .payloads import by_chance, command_within, whole_form

__all__ = [
    "PEOPLE",
    "Life",
    "actors",
    "commands",
    "fees",
    "lives",
    "money",
    "orders",
    "payloads",
    "placings",
    "policies",
    "shares",
    "state_machine",
    "terms",
    "variants",
    "windows",
]

_Process: TypeAlias = Process[Policies]

_ROLES: Final[Mapping[Role, type[Actor]]] = {
    kind.role: kind for kind in (Buyer, Seller, Mediator, Operator, Provider)
}

_HOUR: Final = timedelta(hours=1)
_MICROSECOND: Final = timedelta(microseconds=1)

# Half an hour off, a day that lasts 25 hours, a change of half an hour, none at all.
_ZONES: Final = (
    *("Europe/Paris", "UTC", "America/New_York"),
    *("Asia/Kathmandu", "Australia/Lord_Howe"),
)

# What is counted, and how far it is told apart.
_COUNT_MAX: Final = 6


# --- values -----------------------------------------------------------------------


def money(
    currency: str = "EUR", *, minimum: int = 1, maximum: int = AMOUNT_MAX
) -> SearchStrategy[Money]:
    """
    Return amounts of one currency, in minor units.
    """
    near = min(maximum, minimum + 30_000)
    minor = st.integers(minimum, near) | st.integers(minimum, maximum)
    return minor.map(lambda amount: Money(amount, currency))


def shares() -> SearchStrategy[Share]:
    """
    Return parts of a whole, nothing and everything included.
    """
    percent = st.integers(0, 100).map(Share.percent)
    parts = st.tuples(st.integers(0, 7), st.integers(1, 7)).filter(
        lambda parts: parts[0] <= parts[1]
    )
    return percent | parts.map(lambda parts: Share(*parts))


def fees(currency: str = "EUR") -> SearchStrategy[Fee]:
    """
    Return fees: flat, a part of the price, both or none.
    """
    return st.builds(
        Fee,
        flat=st.none() | money(currency, minimum=0, maximum=1_000),
        bps=st.just(0) | st.integers(0, 10_000),
    )


def windows() -> SearchStrategy[timedelta]:
    """
    Return windows: some hours or days, a microsecond, more than a year.
    """
    return (
        st.integers(1, 240).map(lambda hours: hours * _HOUR)
        | st.integers(1, 30).map(lambda days: timedelta(days=days))
        | st.sampled_from((_MICROSECOND, timedelta(days=400)))
    )


def terms() -> SearchStrategy[Terms]:
    """
    Return what two sides may agree on.
    """
    return st.builds(
        Terms,
        delivery_window=windows(),
        revisions=st.none() | st.integers(0, _COUNT_MAX) | st.just("unlimited"),
        acceptance_window=st.none() | windows(),
        verification_window=st.none() | windows(),
        brief_required=st.none() | st.booleans(),
        offers=st.booleans(),
        add_ons=st.booleans(),
    )


def actors(*roles: Role) -> SearchStrategy[Actor]:
    """
    Return people; with *roles*, only in these.
    """
    kinds = [_ROLES[role] for role in roles] if roles else [*_ROLES.values()]
    ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8)
    return st.builds(lambda kind, name: kind(name), st.sampled_from(kinds), ids)


# --- policies ---------------------------------------------------------------------

_Made: TypeAlias = Callable[..., SearchStrategy[Any]]


def policies(
    process: _Process | None = None, *, currency: str = "EUR"
) -> SearchStrategy[Policies]:
    """
    Return bundles that are legal: any field of any policy of the library may differ
    from its default, as far as its declaration allows.

    Args:
        process: Whose policies, and whose states, they are; without, the defaults.
            An object of your own in a policy's place stays.  A bundle that does not fit
            its table is left out.

        currency: That of flat fees.
    """
    bundle = Policies() if process is None else process.policies
    states = tuple(map(str, State)) if process is None else tuple(process.members)
    changes = {
        subject.name: st.fixed_dictionaries(
            {},
            optional={
                str(field.alias): _declared(field.metadata["check"], states, currency)
                for field in _fields(getattr(bundle, subject.name))
                if "check" in field.metadata
            },
        )
        for subject in attrs.fields(Policies)
    }
    bundles = st.fixed_dictionaries({}, optional=changes).map(
        lambda drawn: _changed(bundle, drawn)
    )
    if process is None:
        return bundles
    return bundles.map(lambda drawn: _fitting(process, drawn).policies)


def variants(process: _Process, *, currency: str = "EUR") -> SearchStrategy[_Process]:
    """
    Return a process under other policies, each of them legal.
    """
    return policies(process, currency=currency).map(
        lambda bundle: _fitting(process, bundle)
    )


def _fitting(process: _Process, bundle: Policies) -> _Process:
    try:
        return attrs.evolve(process, policies=bundle)
    except ProcessError:
        # Some policies need a deadline that not every table has.
        assume(False)
        raise


def _fields(policy: Any) -> tuple[attrs.Attribute[Any], ...]:
    return tuple(attrs.fields(type(policy))) if attrs.has(type(policy)) else ()


def _changed(bundle: Policies, drawn: Mapping[str, Mapping[str, Any]]) -> Policies:
    try:
        return bundle.replacing(**drawn)
    except InvalidInputError:
        # Two fields of one policy exclude each other; alone, each is legal.
        assume(False)
        raise


def _declared(
    declared: tuple[Callable[..., Any], tuple[Any, ...], bool],
    states: tuple[str, ...],
    currency: str,
) -> SearchStrategy[Any]:
    """
    Return the values a field may have, by how it is checked (`escrowflow.fields`).
    """
    check, args, none = declared
    made: Mapping[Callable[..., Any], _Made] = {
        **_BY_CHECK,
        fields.names_but: lambda *never: _sets(
            [state for state in states if state not in never], least=0
        ),
        fields.instance: lambda *kinds: st.one_of(
            [
                fees(currency) if kind is Fee else _INSTANCES.get(kind, st.just(kind))
                for kind in kinds
            ]
        ),
    }
    values = made[check](*args)
    return st.none() | values if none else values


def _sets(names: Sequence[str], least: int = 1) -> SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(names), min_size=least)


_DAYS: Final = st.integers(0, 10)
_DAY_SPANS: Final = _DAYS | st.tuples(_DAYS, _DAYS).map(lambda two: tuple(sorted(two)))

# Of a class; a word stands for itself.
_INSTANCES: Final[Mapping[type | str, SearchStrategy[Any]]] = {
    FullRefund: st.just(FullRefund()),
    PaySeller: st.just(PaySeller()),
    BusinessCalendar: st.just(MondayToFriday()),
}

# What a check lets through; that of states and of instances depends on more.
_BY_CHECK: Final[Mapping[Callable[..., Any], _Made]] = {
    as_share: shares,
    as_window: windows,
    check_zone: lambda: st.sampled_from(_ZONES),
    fields.choice: lambda *names: st.sampled_from(names),
    fields.choices: lambda known, *values: st.dictionaries(
        st.sampled_from(known), st.sampled_from(values)
    ),
    fields.count: lambda least: st.integers(least, _COUNT_MAX),
    fields.day_spans: lambda: st.dictionaries(
        st.sampled_from(["card", "paypal", "wallet"]), _DAY_SPANS, min_size=1
    ),
    fields.flag: st.booleans,
    fields.keyword_or_window: lambda *names: st.sampled_from(names) | windows(),
    fields.limit: lambda: st.none() | st.integers(0, _COUNT_MAX),
    fields.names: lambda *names: _sets(names),
    fields.some: lambda *names: _sets(names, least=0),
    fields.span: lambda: windows() | st.integers(1, 24).map(Months),
    fields.weights: lambda *names: st.dictionaries(
        st.sampled_from(names), st.integers(0, 9), min_size=1
    ),
    fields.windows: lambda: st.lists(windows(), max_size=3).map(tuple),
}


# --- payloads ---------------------------------------------------------------------


def payloads(
    command: type[Command],
    form: tuple[Field, ...] | None = None,
    *,
    currency: str = "EUR",
) -> SearchStrategy[Command]:
    """
    Return a command, filled in within a form; a payload that is malformed all the same
    is left out.

    Args:
        form: What an order leaves of it: `Option.fields`; without, all that it ever
            takes.

        currency: That of its money, without a form.
    """
    whole = whole_form(command, currency) if form is None else form
    return _chance().map(lambda rng: _filled(rng, command, whole))


def commands(option: Option, *, currency: str = "EUR") -> SearchStrategy[Command]:
    """
    Return what an option takes.  If it is allowed, each of them is executed; if it is
    blocked, each is refused, with at least its blockers.
    """
    kind = option.command
    if not option.allowed:
        return payloads(kind, currency=currency)
    # What is offered is never malformed: that would be an error worth seeing.
    return _chance().map(
        lambda rng: command_within(by_chance(rng), kind, option.fields)
    )


def placings(
    process: _Process,
    *,
    seller_id: str = "luc",
    currency: str = "EUR",
    now: datetime | str = START,
) -> SearchStrategy[PlaceOrder]:
    """
    Return what a buyer may order: paid, held by a bank where the process takes that,
    or not paid yet.
    """
    at = as_utc(now, "now")
    return _chance().map(
        lambda rng: placing(
            rng, process, seller_id=seller_id, currency=currency, now=at
        )
    )


def _filled(rng: Random, command: type[Command], form: tuple[Field, ...]) -> Command:
    try:
        return command_within(by_chance(rng), command, form)
    except InvalidInputError:
        assume(False)
        raise


def _chance() -> SearchStrategy[Random]:
    return st.randoms(use_true_random=False, note_method_calls=False)


# --- orders -----------------------------------------------------------------------


def lives(
    process: _Process, *, people: Sequence[Actor] = PEOPLE, currency: str = "EUR"
) -> SearchStrategy[Life]:
    """
    Return whole lives: an order that anything may have happened to, its history, the
    instant, and the people around it.

    Args:
        process: Any process.

        people: Who is there: at least a buyer and a seller.
    """
    check_people(people)
    goals: list[Any] = [*aims(process, _roles(people))]
    return _lives(process, tuple(people), currency, goals, 4)


def orders(
    process: _Process, *, people: Sequence[Actor] = PEOPLE, currency: str = "EUR"
) -> SearchStrategy[Order]:
    """
    Return orders in any state that they can come to.

    Args:
        process: Any process.

        people: Who is there: at least a buyer and a seller.
    """
    check_people(people)
    goals: list[Any] = sorted(reachable(process, _roles(people)))
    return _lives(process, tuple(people), currency, goals, 1).map(
        lambda life: life.order
    )


@st.composite
def _lives(
    draw: st.DrawFn,
    process: _Process,
    people: tuple[Actor, ...],
    currency: str,
    goals: list[Any],
    many: int,
) -> Life:
    chosen = draw(st.lists(st.sampled_from(goals), min_size=1, max_size=many))
    steps = draw(st.integers(0, 3))
    # A life takes too many choices to be shrunk one by one: it gets shorter.
    rng = Random(draw(st.integers(0, 2**32 - 1)))
    life = begun(rng, process, people=people, currency=currency)
    for _ in range(steps):
        life = life.stepped(rng)
    for aim in chosen:
        life = life.led(rng, aim)
    return life


def _roles(people: Iterable[Actor]) -> Role:
    roles = Role(0)
    for by in people:
        roles |= by.role
    return roles
