"""
Wandering: random lives led by nothing but the options.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from escrowflow.clock import as_utc
from escrowflow.commands import ConfirmPayment, PlaceOrder
from escrowflow.decisions import (
    Decided,
    Refusal,
    decide,
    next_due,
    options,
    place,
    settle,
)
from escrowflow.decisions.figures import touched
from escrowflow.decisions.moves import moved
from escrowflow.errors import InvalidInputError
from escrowflow.history import evolve
from escrowflow.money import AMOUNT_MAX
from escrowflow.terms import RULINGS
from escrowflow.testing.payloads import by_chance, command_within, whole_form
from tests.given import ANA, LUC, MIA, OPS, STRIPE, T0
from tests.lives import VARIANTS, charges_later, order_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from escrowflow.commands import Command
    from escrowflow.decisions import Consequences, Option
    from escrowflow.order import Order
    from escrowflow.parties import Actor
    from escrowflow.rules import Policies
    from escrowflow.states import Process

__all__ = ["PEOPLE", "Wanderer", "held_against", "wanderers"]

PEOPLE: Final[tuple[Actor, ...]] = (ANA, LUC, MIA, OPS, STRIPE)

# The parties do most of what is done; how often each of `PEOPLE` acts.
_OFTEN: Final = (5, 5, 2, 2, 1)

# What ends an order, or stops it, is done less often: else few get far.
_SELDOM: Final = {
    "accept_cancellation": 0.2,
    "approve_delivery": 0.2,
    "cancel_order": 0.1,
    "extend_deadlines": 0.2,
    "freeze_order": 0.1,
    "leave_conversation": 0.3,
    "leave_review": 0.2,
    "refuse_order": 0.1,
}

# Of how many payloads that are taken what was told of them is checked, too.
_HELD_TO_ITS_WORD: Final = 0.3

# What may still happen after the end.
_AFTER_THE_END: Final = 5


# --- lives ------------------------------------------------------------------------


class Wanderer:
    """
    An order that is led from option to option.
    """

    def __init__(
        self,
        process: Process[Policies],
        rng: random.Random,
        command: PlaceOrder | None = None,
    ) -> None:
        self.process = process
        self.rng = rng
        self.now = as_utc(T0, "T0")
        given = command
        while True:
            command = given or order_command(rng, charges_later(process))
            placed: Any = place(process, command, by=ANA, order_id="o1", now=self.now)
            if hasattr(placed, "recorded") and placed.order is not None:
                break
        self.order: Order = placed.order
        self.history = list(placed.recorded)
        self.effects = list(placed.effects)

    def options(self, by: Actor) -> tuple[Option, ...]:
        """
        Return what somebody can do now.
        """
        return options(self.process, self.order, by=by, now=self.now)

    def step(self) -> None:
        """
        Let somebody act, or let time pass.
        """
        rng = self.rng
        due = next_due(self.process, self.order)
        how = rng.random()
        if how < 0.12 and due is not None:
            # At its end, or just before it.
            self._until(datetime.__add__(due[0], -timedelta(rng.randrange(2))))
        elif how < 0.3:
            self._until(self.now.add(hours=rng.randint(1, 60)))
        by = rng.choices(PEOPLE, _OFTEN)[0]
        allowed = [option for option in self.options(by) if option.allowed]
        if not allowed:
            return
        often = [_SELDOM.get(option.name, 1.0) for option in allowed]
        (option,) = rng.choices(allowed, often)
        command = command_within(by_chance(rng), option.command, option.fields)
        done: Any = decide(self.process, self.order, command, by=by, now=self.now)
        self.order = done.order
        self.history += done.recorded

    def _until(self, now: Any) -> None:
        self.now = max(self.now, now)
        settled = settle(self.process, self.order, now=self.now, recorded_at=self.now)
        self.order = settled.order
        self.history += settled.recorded


def wanderers(seed: str, count: int, steps: int = 24) -> Iterator[Wanderer]:
    """
    Yield orders after each of their steps.
    """
    rng = random.Random(seed)
    for process in islice(cycle(VARIANTS.values()), count):
        wanderer = Wanderer(process, rng)
        yield wanderer
        left = steps
        while left > 0:
            wanderer.step()
            # What nobody would ever pay is refused for its own sake.
            if wanderer.order.charge.minor > AMOUNT_MAX // 2:
                break
            if wanderer.order.ending is not None:
                left = min(left, _AFTER_THE_END)
            left -= 1
            yield wanderer


# --- what is promised -------------------------------------------------------------


def held_against(
    wanderer: Wanderer, option: Option, by: Actor, rng: random.Random
) -> bool:
    """
    Hold one option against one payload; return whether that was well-formed.
    """
    order, process, now = wanderer.order, wanderer.process, wanderer.now
    fields = (
        option.fields if option.allowed else whole_form(option.command, order.currency)
    )
    try:
        command = command_within(by_chance(rng), option.command, fields)
        answer = decide(process, order, command, by=by, now=now)
    except InvalidInputError:
        # Only beyond what is offered is anything malformed.
        assert not option.allowed, f"{option.name} of {by} in {order.state}"
        return False

    def told() -> str:
        # An answer holds a whole order: it is only written out where it is wrong.
        return f"{by} {command} in {order.state}: {answer}"

    if not option.allowed:
        assert isinstance(answer, Refusal), told()
        assert set(option.blockers) <= set(answer.blockers), told()
        return True
    assert isinstance(answer, Decided), told()
    if rng.random() > _HELD_TO_ITS_WORD:
        return True
    said = option.consequences
    assert said is not None, told()
    chosen = [field for field in option.fields if field.required and field.choices]
    if chosen:
        assert tuple(said.by_choice) == chosen[0].choices, told()
        value = getattr(command, chosen[0].name)
        names: dict[Any, str] = {kind: name for name, kind in RULINGS.items()}
        said = said.by_choice[names.get(type(value), value)]
    _check(said, wanderer, answer, command, told)
    return True


def _check(
    said: Consequences,
    wanderer: Wanderer,
    answer: Decided,
    command: Command,
    told: Callable[[], str],
) -> None:
    """
    Hold what was said beforehand against what happened.
    """
    before, after = wanderer.order, answer.order
    # Of a payment that may be of any amount, the full price is told.
    if not isinstance(command, ConfirmPayment):
        assert said.state == after.state, told()
        real = {move.to: move for move in moved(before, after)}
        promised = {move.to: move for move in said.moved}
        assert set(real) <= set(promised), told()
        assert not any(promised[side].least for side in set(promised) - set(real))
        for side, move in real.items():
            assert promised[side].least <= move.least <= promised[side].most, told()
            if move.shows is not None:
                shows = promised[side].shows
                assert shows is not None, told()
                assert shows[0] <= move.shows[0] <= move.shows[1] <= shows[1], told()
    policy = wanderer.process.policies.statistics
    figures: set[str] = set()
    order = before
    for recorded in answer.recorded:
        figures.update(touched(order, recorded, policy=policy))
        order = evolve(order, recorded)
    # Of a payment that pays only a part, nothing is touched.
    if not isinstance(command, ConfirmPayment):
        assert figures <= set(said.statistics), told()
