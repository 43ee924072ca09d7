"""
A machine for Hypothesis that leads orders of any process through a real engine, and
holds everything that must hold against what it did.

It does what people do: order, send what they may and what they may not, wait, and let
a worker come by.  So that it gets everywhere, it always heads for some command of the
process; when it went everywhere it should, is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import wraps
from random import Random
from typing import Any, ClassVar, Final, NoReturn, TypeAlias
from unittest import TestCase

from hypothesis import currently_in_test_context, settings
from hypothesis import note as _note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ..clock import FakeClock
from ..commands import Command, PlaceOrder
from ..decisions import Refusal
from ..engine import Engine
from ..errors import (
    CommandRefusedError,
    EscrowflowError,
    InvalidInputError,
    OrderNotFoundError,
)
from ..forms import form_of
from ..inputs import kind_of
from ..order import Order
from ..parties import Actor, Buyer, Role, Seller
from ..rules import Policies
from ..states import Process
from ..storage import Storage
from ..storage.memory import MemoryStorage
from ..timeline import as_text, timeline
from .aims import Move, aims, around, moves, moves_to, reachable
from .bed import START
from .invariants import check_effects, check_history
from .leading import PEOPLE, check_people, instant_near, placing, report
from .payloads import by_chance, command_within, whole_form

__all__ = ["Machine", "state_machine"]


def note(what: str) -> None:
    # Nobody takes notes of what is done outside of a run.
    if currently_in_test_context():
        _note(what)


_Process: TypeAlias = Process[Policies]

# A step is a seed: so steps are left out when a failure is made short, and all that is
# drawn in one stays as it was.
_SEEDS: Final = st.integers(0, 2**32 - 1)

# How often somebody tries what he may not, and how often the provider is heard.
_BLOCKED: Final = 0.4
_HEARD: Final = 0.2

# What is headed for, by its name: what people read.
_AIMS: Final = st.runner().flatmap(
    lambda machine: st.sampled_from([command.name for command in machine.goals])
)

# How many steps it heads for one aim, and how many orders are looked at for a way.
_PATIENCE: Final = 12
_LOOKED_AT: Final = 3

# How often something is headed for on purpose that chance did not reach.
_TRIES: Final = 30

# How many orders there are, unless something leads to no other.
_ORDERS: Final = 4


class Machine(RuleBasedStateMachine):
    """
    Orders, the people around them, a clock and an engine: what `state_machine` makes.

    Attributes:
        process: The process.

        people: Who is there.

        floors: How often a state or a command has to be reached in a whole run.

        reached: How often each was, in the runs so far.
    """

    process: ClassVar[_Process]
    people: ClassVar[tuple[Actor, ...]]
    opens: ClassVar[Callable[[], Storage]]
    made: ClassVar[Mapping[type[Command], Callable[[Random], Command]]]
    floors: ClassVar[Mapping[str, int]]
    reached: ClassVar[Counter[str]]
    currency: ClassVar[str]
    goals: ClassVar[tuple[type[Command], ...]]

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(START)
        self.engine = Engine(self.process, type(self).opens(), clock=self.clock)
        # The ids of the orders, and those to which something happened since the last
        # check.
        self.placed: list[str] = []
        self.stirred: set[str] = set()
        self.versions: dict[str, int] = {}

    def teardown(self) -> None:
        """
        Close the storage.
        """
        self.close()

    def close(self) -> None:
        """
        Close the storage.
        """
        self.engine.close()

    # --- what happens -------------------------------------------------------------

    @initialize(seed=_SEEDS)
    def begin(self, seed: int) -> None:
        """
        Somebody orders.
        """
        self._place(Random(seed))

    @rule(aim=_AIMS, seed=_SEEDS)
    def head_for(self, aim: str, seed: int) -> None:
        """
        People do what leads to a command, step by step, until it is sent.
        """
        self._head_for(Random(seed), self.process.commands[aim])

    def _head_for(self, rng: Random, aim: type[Command] | str) -> None:
        for _ in range(_PATIENCE):
            order, ways = self._ways(aim)
            if order is None:
                self._place(rng)
                continue
            if str(order.state) == aim:
                return
            if not ways:
                assert not isinstance(aim, str)
                self._try(rng, order, aim)
                return
            move = rng.choice(ways)
            self._move(rng, order, move)
            sent = move.ends if move.option is None else move.option.command
            if sent is aim:
                return

    def _ways(self, aim: type[Command] | str) -> tuple[Order | None, list[Move]]:
        """
        Return the latest order from which a way leads to a command or a state, and its
        first steps; none, if it is there, or if nothing clears what is in the way of
        the command there.  `None` if there is no such order.
        """
        now = self.clock.now()
        for order_id in self.placed[: -_LOOKED_AT - 1 : -1]:
            order = self.engine.order(order_id)
            ways = moves_to(self.process, order, aim, self.people, now)
            state = str(order.state)
            if ways or state == aim or (state, aim) in self.process.by_cell:
                return order, ways
        return None, []

    @rule(seed=_SEEDS)
    def place(self, seed: int) -> None:
        """
        Somebody orders, unless there are many orders.
        """
        if len(self.placed) < _ORDERS:
            self._place(Random(seed))

    @rule(seed=_SEEDS)
    def act(self, seed: int) -> None:
        """
        Somebody sends what he may, or what he may not, or the provider says what became
        of money.
        """
        rng = Random(seed)
        order = self.engine.order(rng.choice(self.placed))
        how = rng.random()
        if how < _BLOCKED:
            self._try(rng, order, None)
            return
        said = report(rng, self.process, order, self.people)
        if said is not None and how < _BLOCKED + _HEARD:
            by, command = said
            note(f"{by} sends {command}")
            self.engine.attempt(order.id, command, by=by)
            self.stirred.add(order.id)
            return
        ways = moves(self.process, order, self.people, self.clock.now())
        if ways:
            self._move(rng, order, rng.choice(ways))

    @rule(seed=_SEEDS)
    def wait(self, seed: int) -> None:
        """
        Time passes: to just before, at or just after what is due, or anywhere.
        """
        rng = Random(seed)
        due = self.engine.next_due_at()
        ends = () if due is None else (due,)
        self._wait(instant_near(rng, ends, self.clock.now()))

    @rule()
    def work(self) -> None:
        """
        A worker comes by, and settles what is due.
        """
        note("a worker comes by")
        swept = self.engine.run_due()
        assert (swept.unknown, swept.parked, swept.faster) == ((), (), 0), swept
        due = self.engine.next_due_at()
        assert due is None or due > self.clock.now(), due
        self.stirred.update(
            order_id
            for order_id in self.placed
            if self.engine.storage.load(order_id).version != self.versions[order_id]
        )

    # --- what must hold -----------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        """
        Books add up, histories prove themselves, what was asked for was asked once, and
        endings hold nothing (I1 to I34).
        """
        for order_id in sorted(self.stirred):
            verified = self.engine.verify(order_id)
            if verified.faults:
                self._fail(order_id, "; ".join(map(str, verified.faults)))
            history = self.engine.history(order_id)
            self.versions[order_id] = len(history)
            try:
                check_history(self.process, history)
                check_effects(self.engine, order_id)
            except AssertionError as error:
                self._fail(order_id, str(error) or "an invariant does not hold", error)
        self.stirred.clear()

    @classmethod
    def catch_up(cls) -> None:
        """
        Head, on purpose, for what chance has reached too seldom so far.
        """
        for name, least in cls.floors.items():
            aim: Any = (
                name if name in cls.process.members else cls.process.commands[name]
            )
            for seed in range(_TRIES):
                if cls.reached[name] >= least:
                    break
                with closing(cls()) as machine:
                    machine._head_for(Random(seed), aim)
                    machine.everything_holds()
            if not cls.reached[name] and cls._is_shut(aim):
                cls.reached[name] += 1

    @classmethod
    def _is_shut(cls, aim: type[Command] | str) -> bool:
        """
        Whether a decision of the library says, where a command has its row, why it may
        not be: under some policies, some never may.  What a decision of a host's own
        keeps shut, he wants to know.
        """
        if isinstance(aim, str) or cls.process.decider[aim].version:
            return False
        for state in sorted(reachable(cls.process)):
            if (state, aim) in cls.process.by_cell:
                for seed in range(_TRIES):
                    with closing(cls()) as machine:
                        machine._head_for(Random(seed), state)
                        order = machine.engine.order(machine.placed[-1])
                        if order.state == state and machine._try(
                            Random(seed), order, aim
                        ):
                            return True
        return False

    @classmethod
    def check_floors(cls) -> None:
        """
        Fail if something was reached too seldom in the runs so far.

        Raises:
            AssertionError: With all that was missed.
        """
        missed = [
            f"{name} ({cls.reached[name]} of {least})"
            for name, least in cls.floors.items()
            if cls.reached[name] < least
        ]
        if missed:
            raise AssertionError(
                f"{cls.process.name}: reached too seldom: {', '.join(missed)}.  "
                "Nothing leads there; or, if it was reached sometimes, the run was too "
                "short: raise max_examples, or give other `floors`"
            )

    # --- how it is done -----------------------------------------------------------

    def _place(self, rng: Random) -> None:
        buyer = rng.choice([by for by in self.people if isinstance(by, Buyer)])
        seller = rng.choice([by for by in self.people if isinstance(by, Seller)])
        command = placing(
            rng,
            self.process,
            seller_id=seller.id,
            currency=self.currency,
            now=self.clock.now(),
        )
        order_id = f"o{len(self.placed) + 1}"
        note(f"{buyer} places {order_id}: {command}")
        placed = self.engine.place(command, by=buyer, order_id=order_id)
        self.placed.append(order_id)
        self._reach(order_id, PlaceOrder.name, str(placed.order.state))

    def _move(self, rng: Random, order: Order, move: Move) -> None:
        if move.option is None or move.by is None:
            assert move.until is not None
            self._wait(move.until)
            return
        by, option = move.by, move.option
        make = self.made.get(option.command)
        try:
            command = (
                command_within(by_chance(rng), option.command, option.fields)
                if make is None
                else make(rng)
            )
            note(f"{by} sends {order.id}: {command}")
            done = self.engine.execute(order.id, command, by=by)
        except CommandRefusedError as error:
            codes = ", ".join(blocker.code for blocker in error.blockers)
            self._fail(
                order.id,
                f"{option.name} of {by} is allowed, and was refused with {codes}",
                error,
            )
        except EscrowflowError as error:
            self._fail(
                order.id, f"{option.name} of {by} is allowed, and fails: {error}", error
            )
        self._reach(order.id, option.name, str(done.order.state))

    def _try(self, rng: Random, order: Order, aim: type[Command] | None) -> bool:
        """
        Let somebody send what options do not allow: it is refused, for these reasons.
        Return whether there was such an option.
        """
        blocked = [
            (by, option)
            for by in around(order, self.people)
            for option in self.engine.options(order.id, by=by)
            if not option.allowed and option.command not in self.made
            if aim is None or option.command is aim
        ]
        if not blocked:
            return False
        by, option = rng.choice(blocked)
        form = whole_form(option.command, order.currency)
        try:
            command = command_within(by_chance(rng), option.command, form)
            note(f"{by} tries {order.id}: {command}")
            answer = self.engine.attempt(order.id, command, by=by)
        except (InvalidInputError, OrderNotFoundError):
            # Beyond what is offered, a payload may be malformed; and whoever may only
            # look at a case learns nothing more of it (R76).
            return False
        self.stirred.add(order.id)
        if not isinstance(answer, Refusal):
            self._fail(order.id, f"{option.name} of {by} is blocked, and was executed")
        missing = [b.code for b in option.blockers if b not in answer.blockers]
        if missing:
            found = ", ".join(blocker.code for blocker in answer.blockers)
            self._fail(
                order.id,
                f"{option.name} of {by} is blocked by {', '.join(missing)}, "
                f"and was refused with {found}",
            )
        return True

    def _wait(self, until: datetime) -> None:
        note(f"it is {until}")
        until = max(until, self.clock.now())
        for order_id in self.placed:
            for step in self.engine.forecast(order_id).steps:
                if step.at <= until:
                    self._reach(order_id, step.command, step.state)
        self.clock.advance_to(until)

    def _reach(self, order_id: str, *names: str) -> None:
        self.stirred.add(order_id)
        self.reached.update(names)

    def _fail(
        self, order_id: str, problem: str, error: Exception | None = None
    ) -> NoReturn:
        story = as_text(timeline(self.engine.history(order_id)))
        raise AssertionError(f"{order_id}: {problem}\n\n{story}") from error


def state_machine(
    process: _Process,
    *,
    storage: Callable[[], Storage] = MemoryStorage,
    people: Sequence[Actor] = PEOPLE,
    floors: Mapping[str, int] | None = None,
    payloads: Mapping[type[Command], Callable[[Random], Command]] | None = None,
    currency: str = "EUR",
) -> type[Machine]:
    """
    Return a machine that leads orders of a process through an engine: a
    `RuleBasedStateMachine`, whose `TestCase` pytest collects.

    - What options allow is executed, whatever is sent within the fields; what they
      block is refused, at least for the reasons told.
    - After every step, history, books and outbox hold everything that must hold, and
      are proved as `Engine.verify` does it.

    Args:
        process: Any process.

        storage: What opens an empty storage, for each run.

        people: Who is there: at least a buyer and a seller.

        floors: By the name of a state or of a command, how often it has to be reached
            in all the runs of the `TestCase` together.  Without: each state once that
            the table leads to under the policies, and each command once that people
            or deadlines can send there.  `{}` for none.

        payloads: What fills in a command of yours that takes something no form tells,
            from a `random.Random`.

        currency: That of the orders.

    Raises:
        InvalidInputError: If there is no buyer or no seller, a floor is of nothing
            that the process has, or nobody knows how to fill in a command.
    """
    if not isinstance(process, Process):
        raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
    if not callable(storage):
        raise InvalidInputError(
            "storage", f"what opens an empty storage, not {kind_of(storage)}"
        )
    check_people(people)
    roles = Role(0)
    for by in people:
        roles |= by.role
    goals = aims(process, roles)
    made = dict(payloads or {})
    for command in goals:
        for field in form_of(command):
            if field.kind == "value" and field.required and command not in made:
                raise InvalidInputError(
                    "payloads",
                    f"nobody knows what {field.name} of {command.name} takes: give "
                    f"{{{command.__name__}: lambda rng: {command.__name__}(...)}}",
                )
    there = sorted(reachable(process, roles))
    names = [*there, *(command.name for command in goals)]
    known = {*process.members, *process.commands, PlaceOrder.name}
    for name in floors or ():
        if name not in known:
            raise InvalidInputError(
                "floors", f"{process.name} has no state and no command {name!r}"
            )
    machine: Any = type(
        f"{process.name.title().replace('_', '')}Machine",
        (Machine,),
        {
            "__doc__": Machine.__doc__,
            "process": process,
            "people": tuple(people),
            "opens": staticmethod(storage),
            "made": made,
            "floors": dict.fromkeys(names, 1) if floors is None else dict(floors),
            "reached": Counter(),
            "currency": currency,
            "goals": goals,
        },
    )
    machine.TestCase = _counted(machine)
    made_machine: type[Machine] = machine
    return made_machine


def _counted(machine: type[Machine]) -> type[TestCase]:
    """
    Return the test case of a machine that looks at the floors when all runs are over.
    """
    inner: Any = machine.TestCase

    class Counted(inner):  # type: ignore[misc]
        @wraps(inner.runTest)
        def runTest(self) -> None:  # noqa: N802
            machine.reached.clear()
            # What is wrong in one place shows in many: each would be made short by
            # itself, for minutes, and all would be told at once.
            case: Any = self
            case.settings = settings(case.settings, report_multiple_bugs=False)
            super().runTest()
            machine.catch_up()
            machine.check_floors()

    Counted.__name__ = Counted.__qualname__ = machine.__name__
    return Counted
