"""
Leading orders: who orders what, and what happens next, chosen by chance.

Chance is a `random.Random`, so that a seed is a life; Hypothesis brings one whose
choices it can shrink.  Nothing is kept anywhere: the pure functions of
`escrowflow.decisions` do it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Self, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import as_utc
from ..commands import Command, PlaceOrder
from ..commands.reports import REPORT_STATUSES, ReportCharge, ReportPayout, ReportRefund
from ..decisions import (
    Decided,
    Option,
    Refusal,
    decide,
    next_due,
    options,
    place,
    settle,
)
from ..errors import InvalidInputError
from ..events import Recorded
from ..forms import form_of, narrowed
from ..inputs import kind_of
from ..money import Money
from ..order import Order
from ..parties import Actor, Buyer, Mediator, Operator, Provider, Role, Seller
from ..rules import Policies
from ..states import Process
from ..timeline import as_text, timeline
from .aims import Move, moves, moves_to
from .bed import START
from .payloads import by_chance, command_within

__all__ = [
    "PEOPLE",
    "Life",
    "begun",
    "check_people",
    "instant_near",
    "placing",
    "report",
]

_Process: TypeAlias = Process[Policies]

# The people around an order, as in a test bed.
PEOPLE: Final[tuple[Actor, ...]] = (
    Buyer("ana"),
    Seller("luc"),
    Mediator("mia"),
    Operator("ops"),
    Provider("bank"),
)

# What an order costs at most; there is room for extras.
_PRICE_MAX: Final = 1_000_000

_MICROSECOND: Final = timedelta(microseconds=1)
_HOURS: Final = (1, 5, 30, 100)

# How many steps lead somewhere before another aim is taken.
_PATIENCE: Final = 12


def check_people(people: Sequence[Actor]) -> None:
    """
    Refuse people among whom nobody could order anything.

    Raises:
        InvalidInputError: If there is no buyer, no seller, or somebody who is both.
    """
    ids: dict[type[Actor], set[str]] = {Buyer: set(), Seller: set()}
    for by in people:
        if not isinstance(by, Actor):
            raise InvalidInputError("people", f"actors, not {kind_of(by)}")
        ids.get(type(by), set()).add(by.id)
    if not ids[Buyer] or not ids[Seller] or ids[Buyer] & ids[Seller]:
        raise InvalidInputError(
            "people", "at least a Buyer and a Seller; nobody is both"
        )


def placing(
    rng: Random,
    process: _Process,
    *,
    seller_id: str = "luc",
    currency: str = "EUR",
    now: DateTime,
) -> PlaceOrder:
    """
    Return what somebody may order: paid, held by a bank where the process takes that,
    or not paid yet.
    """
    made: Any = command_within(
        by_chance(rng),
        PlaceOrder,
        narrowed(
            form_of(PlaceOrder),
            [
                ("seller_id", {"choices": (seller_id,)}),
                ("price", {"maximum": Money(_PRICE_MAX, currency)}),
                ("add_ons.price", {"maximum": Money(_PRICE_MAX, currency)}),
                ("payment.amount", {"left_out": True}),
                ("payment.held_until", {"left_out": True}),
                # What a tip may be depends on the price.
                ("tip", {"left_out": True}),
            ],
            currency,
        ),
    )
    command: PlaceOrder = made
    base = command.price
    for add_on in command.add_ons:
        base = base + add_on.price
    share = process.policies.extras.tip_max
    # Rounded down: a cap is never exceeded (R4).
    most = base.minor * share.numerator // share.denominator
    if most and rng.random() >= 0.8:
        command = attrs.evolve(command, tip=Money(rng.randint(1, most), currency))
    how = rng.randrange(4)
    if how == 2:
        return attrs.evolve(command, payment=None)
    if how == 3 and process.policies.acceptance.charge_at == "acceptance":
        until = datetime.__add__(now, timedelta(days=rng.choice([1, 4, 30])))
        held = [attrs.evolve(one, held_until=until) for one in command.payment]
        return attrs.evolve(command, payment=held)
    return command


def instant_near(rng: Random, due: Iterable[DateTime], now: DateTime) -> DateTime:
    """
    Return an instant to wait until: a microsecond before a deadline, at it, one after
    it, or some hours from now; never in the past.
    """
    ends = list(due)
    if ends and rng.random() < 0.8:
        to = datetime.__add__(rng.choice(ends), _MICROSECOND * rng.randint(-1, 1))
    else:
        to = datetime.__add__(now, timedelta(hours=rng.choice(_HOURS)))
    return max(now, to)


def report(
    rng: Random, process: _Process, order: Order, people: Sequence[Actor]
) -> tuple[Actor, Command] | None:
    """
    Return what the provider may say of the money of an order; `None` if nothing.
    """
    banks = [by for by in people if by.role is Role.PROVIDER]
    waiting: list[tuple[type[Command], str]] = [
        *((ReportCharge, hold.key) for hold in order.holds if hold.open and hold.key),
        *((ReportRefund, one.key) for one in order.refunds if one.status != "paid"),
        *((ReportPayout, one.key) for one in order.payouts if one.status != "paid"),
    ]
    heard = [
        (kind, key)
        for kind, key in waiting
        if process.row(str(order.state), kind, Role.PROVIDER)
    ]
    if not banks or not heard:
        return None
    kind, key = rng.choice(heard)
    status = rng.choice(["paid", *REPORT_STATUSES])
    return rng.choice(banks), kind(status=status, key=key)  # type: ignore[call-arg]


@final
@attrs.frozen(kw_only=True, repr=False)
class Life:
    """
    An order, how it came to be what it is, and the people around it.

    Attributes:
        process: The process.

        order: The order, everything that is due settled.

        history: All that was recorded, oldest first.

        now: The instant.

        people: The people around it.
    """

    process: _Process
    order: Order
    history: tuple[Recorded, ...]
    now: DateTime
    people: tuple[Actor, ...] = PEOPLE

    def __repr__(self) -> str:
        said = self.story().rstrip().replace("\n", "\n    ")
        return f"<order of {self.process.name}, {self.order.state}, {self.now}>\n    {said}"

    def story(self, locale: str = "en") -> str:
        """
        Return everything that happened, a line each.
        """
        return as_text(timeline(self.history), locale=locale)

    def options(self, by: Actor) -> tuple[Option, ...]:
        """
        Return every command this actor's role could ever send, and whether it may now.
        """
        return options(self.process, self.order, by=by, now=self.now)

    def decide(self, command: Command, *, by: Actor) -> Decided | Refusal:
        """
        Return what a command does to the order, or everything that is in its way.
        """
        return decide(self.process, self.order, command, by=by, now=self.now)

    def sent(self, command: Command, *, by: Actor) -> Self:
        """
        Return the life after a command; after a refused one, with what went back.
        """
        answer = self.decide(command, by=by)
        assert answer.order is not None
        return attrs.evolve(
            self, order=answer.order, history=(*self.history, *answer.recorded)
        )

    def waited(self, until: DateTime) -> Self:
        """
        Return the life at a later instant, everything that was due until then settled.
        """
        now = max(self.now, until)
        settled = settle(self.process, self.order, now=now, recorded_at=now)
        return attrs.evolve(
            self,
            order=settled.order,
            history=(*self.history, *settled.recorded),
            now=now,
        )

    def stepped(self, rng: Random) -> Self:
        """
        Return the life after something happened to it.
        """
        chance = rng.random()
        if chance < 0.7:
            ways = moves(self.process, self.order, self.people, self.now)
            if ways:
                return self._moved(rng, rng.choice(ways))
        said = report(rng, self.process, self.order, self.people)
        if said is not None and chance < 0.85:
            return self.sent(said[1], by=said[0])
        due = next_due(self.process, self.order)
        return self.waited(instant_near(rng, due[:1] if due else (), self.now))

    def led(self, rng: Random, aim: type[Command] | str) -> Self:
        """
        Return the life after some steps towards a command or a state: it gets there, if
        there is a way and chance does not lead too far away from it.
        """
        life: Self = self
        for _ in range(_PATIENCE):
            ways = moves_to(life.process, life.order, aim, life.people, life.now)
            if not ways:
                break
            move = rng.choice(ways)
            life = life._moved(rng, move)
            sent = move.ends if move.option is None else move.option.command
            if sent is aim:
                break
        return life

    def _moved(self, rng: Random, move: Move) -> Self:
        if move.option is None or move.by is None:
            assert move.until is not None
            return self.waited(move.until)
        command = command_within(
            by_chance(rng), move.option.command, move.option.fields
        )
        return self.sent(command, by=move.by)


def begun(
    rng: Random,
    process: _Process,
    *,
    people: Sequence[Actor] = PEOPLE,
    currency: str = "EUR",
    now: DateTime | None = None,
) -> Life:
    """
    Return the life of an order that was just placed.
    """
    at = as_utc(START, "start") if now is None else now
    buyers = [by for by in people if isinstance(by, Buyer)]
    by = rng.choice(buyers)
    seller = rng.choice([one for one in people if isinstance(one, Seller)])
    command = placing(rng, process, seller_id=seller.id, currency=currency, now=at)
    placed = place(process, command, by=by, order_id="o1", now=at)
    if isinstance(placed, Refusal):
        # Some processes begin with a command of their own that pays.
        unpaid = attrs.evolve(command, payment=None)
        placed = place(process, unpaid, by=by, order_id="o1", now=at)
    assert isinstance(placed, Decided)
    return Life(
        process=process,
        order=placed.order,
        history=placed.recorded,
        now=at,
        people=tuple(people),
    )
