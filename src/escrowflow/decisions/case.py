"""
How a decision is made: the case, the steps it takes, and what becomes of them.

- A chapter registers one function a command with `decides`.  It yields steps;
  each step names its outcome, and the table says where that leads.
- What does not depend on the payload is a blocker, so that `options` can say it
  beforehand; what does is a limit.
- Nothing here reads a clock, a storage or a source of randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar, final

import attrs
from pendulum import DateTime

from ..clock import end_of
from ..commands import CloseConversation, Command
from ..effects import Effect
from ..errors import LedgerError, ProcessError
from ..events import Event, Recorded
from ..forms import Narrowing
from ..history import evolve
from ..order import Order
from ..parties import Actor, Role
from ..parts import Deadline, Standing, Talk
from ..refusals import Blocker, Way
from ..rules import RESUMED_AT_LEAST, Policies
from ..states import BACK, DeadlineKind, Process
from .outbox import effects_of

__all__ = ["Case", "Decides", "Step", "deadline", "decides"]

_C = TypeVar("_C", bound=Command)


@final
@attrs.frozen(kw_only=True)
class Step:
    """
    One step of a decision.

    Attributes:
        events: What happens, in order; never empty.

        outcome: Which outcome of the row it is; empty if there is only one.

        via: The command whose row it takes, if not the one that was sent.

        arm: Deadlines that begin, or begin anew.

        drop: Names of deadlines that are over.

        dropped: Subjects of single deadlines that are over.

        resume: The states whose stopped deadlines go on with the time left, and what
            held deadlines up, if they get at least a day too.

        late: Whether the order is late from now on; `None`: as before.

        silences: Whether the conversation is closed from now on.
    """

    events: tuple[Event, ...]
    outcome: str = ""
    via: type[Command] | None = None
    arm: tuple[Deadline, ...] = ()
    drop: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    late: bool | None = None
    silences: bool = False

    @property
    def moves(self) -> bool:
        """
        Whether it changes where the order stands, even in the same state.
        """
        return bool(
            self.arm
            or self.drop
            or self.dropped
            or self.silences
            or self.late is not None
        )


Blockers: TypeAlias = Iterable[Blocker]
Steps: TypeAlias = Iterable[Step]


@attrs.define(kw_only=True, slots=True)
class Case:
    """
    What a decision is made on.  It follows the order from step to step.

    Attributes:
        process: The process the order is pinned to.

        order: The order, everything that is due already settled.

        by: Who asks.

        now: The one instant of this decision.

        recorded_at: When it is written down.

        due: The deadline the system acts on, if it does.

        recorded: What happened so far.
    """

    process: Process[Policies]
    order: Order
    by: Actor
    now: DateTime
    recorded_at: DateTime
    due: Deadline | None = None
    recorded: list[Recorded] = attrs.field(factory=list)
    effects: list[Effect] = attrs.field(factory=list)

    @property
    def policies(self) -> Policies:
        """
        What the marketplace chose.
        """
        return self.process.policies

    @property
    def delivered(self) -> bool:
        """
        Whether anything was ever delivered.
        """
        return bool(self.order.deliveries)

    @property
    def base(self) -> str:
        """
        Where the order stands; where it stood, while a request or a freeze called it
        away from there.
        """
        standing = self.order.standing
        return standing.left[0] if standing.left else standing.state

    @property
    def work_owed(self) -> bool:
        """
        Whether there is something to hand over: a request made after a delivery does
        not turn what was handed over late into what never was (C12).
        """
        return self.base in self.process.kinds["delivery"].runs

    def after(self, window: timedelta) -> DateTime:
        """
        Return the instant after so much elapsed time.
        """
        return end_of(self.now, window)

    def end(self, window: timedelta) -> DateTime:
        """
        Return the end of a window that may be counted in days of the calendar.
        """
        return self.policies.time.end(self.now, window)

    def time_left(self, name: str) -> timedelta:
        """
        Return what was left of a deadline when it was stopped; zero if it was over.
        """
        wait = self.order.deadline(name)
        left = None if wait is None else wait.left
        return timedelta() if left is None else left

    def act(self, command: Command) -> None:
        """
        Do what a command does, once nothing is in its way.
        """
        kind = type(command)
        for step in self.process.decider[kind].act(self, command):
            self.take(kind, step)

    def take(self, command: type[Command], step: Step) -> None:
        """
        Take one step: ask the table, record what happens, fold it in.

        Raises:
            LedgerError: If an ending would leave money held.
        """
        before = self.order.standing
        row_command = step.via or command
        state = self.process.step(
            before.state, row_command.name, step.outcome, before.left
        )
        standing: Standing | None = None
        moves = state != before.state or self.due is not None or step.moves
        if moves or self.process.held:
            standing = self._standing(before, state, row_command, step)
            if not moves and standing == before:
                standing = None
        last = len(step.events) - 1
        for number, event in enumerate(step.events):
            if type(event) not in self.process.yields:
                # Nobody could read it again.
                raise ProcessError(
                    self.process.name,
                    [
                        f"{command.name} yields {type(event).__name__}, which is not "
                        "in events=: add it to extend(events=...)"
                    ],
                )
            self.record(event, standing if number == last else None)
        if self.order.holds:
            self._check_holds(state)
        if self.process.ended(state) and self.order.ledger.escrow:
            raise LedgerError(
                f"order {self.order.id!r} ended in {state} with "
                f"{self.order.ledger.held} still held"
            )

    def _check_holds(self, state: str) -> None:
        """
        Raise if somebody would work, or be paid, for money that a bank still holds.
        """
        held = any(hold.open for hold in self.order.holds)
        if held and not self.process.ended(state):
            kind = self.process.kinds.get("hold")
            if kind is None or state not in kind.runs:
                raise LedgerError(
                    f"order {self.order.id!r} went to {state} with money that a bank "
                    "still holds, and nothing would end that"
                )

    def record(self, event: Event, standing: Standing | None = None) -> None:
        """
        Record one event, fold it in, and ask for what it makes the host do.
        """
        recorded = self.fold(event, standing)
        # Of the order after this event, not after the command: I5.
        self.effects += effects_of(self.order, recorded)

    def fold(self, event: Event, standing: Standing | None) -> Recorded:
        """
        Record one event and fold it in.
        """
        recorded = self._recorded(self.order, event, standing)
        self.order = evolve(self.order, recorded)
        self.recorded.append(recorded)
        return recorded

    def _recorded(
        self, order: Order, event: Event, standing: Standing | None
    ) -> Recorded:
        return Recorded(
            seq=order.version + 1,
            event=event,
            by=self.by,
            effective_at=self.now,
            recorded_at=self.recorded_at,
            standing=standing,
        )

    def _standing(
        self, before: Standing, state: str, command: type[Command], step: Step
    ) -> Standing:
        moved = state != before.state
        left = before.left
        if moved:
            row = self.process.by_cell[before.state, command][0]
            if row.away and not self.process.ended(state):
                left = (*left, before.state)
            elif row.to[step.outcome] is BACK:
                left = left[:-1]
            else:
                left = ()
        waits = self._waits(before, state, command, step)
        due_at = None
        window = self.process.windows.get(state)
        talk = before.conversation
        for wait in waits:
            if wait.name == window:
                # What is held up has no end that anybody could name.
                due_at = wait.due_at if wait.left is None else None
        if moved or step.silences:
            talk = self._talk(before, state, waits, step)
        moved_by, moved_from = before.moved_by, before.moved_from
        moved_at = before.moved_at
        if moved:
            due = self.due
            moved_by = "" if due is None else due.name
            moved_from = "" if due is None else before.state
            moved_at = None if due is None else due.due_at
        return Standing(
            state=state,
            left=left,
            late=before.late if step.late is None else step.late,
            due_at=due_at,
            deadlines=waits,
            conversation=talk,
            moved_by=moved_by,
            moved_from=moved_from,
            moved_at=moved_at,
        )

    def _talk(
        self, before: Standing, state: str, waits: tuple[Deadline, ...], step: Step
    ) -> Talk:
        closes_at = before.conversation.closes_at
        for wait in waits:
            if self.process.kinds[wait.name].command is CloseConversation:
                closes_at = wait.due_at
        open_ = state in self.process.talking and not step.silences
        return Talk(open=open_, closes_at=closes_at)

    def _waits(
        self, before: Standing, state: str, command: type[Command], step: Step
    ) -> tuple[Deadline, ...]:
        moved = state != before.state
        armed = {(wait.name, wait.subject) for wait in step.arm}
        kinds = self.process.kinds
        waits: list[Deadline] = []
        for wait in before.deadlines:
            if (
                (wait.name, wait.subject) in armed
                or wait.name in step.drop
                or (wait.subject and wait.subject in step.dropped)
            ):
                continue
            kind = kinds[wait.name]
            if wait is self.due:
                if not kind.window_of:
                    continue
                wait = attrs.evolve(wait, passed=True)
            if moved:
                if state in kind.runs:
                    asleep = wait.stopped_in and wait.left is None
                    if (asleep or wait.stopped_in in step.resume) and not wait.passed:
                        wait = self._resumed(wait)
                elif state in kind.stops:
                    if wait.runs:
                        wait = self._stopped(wait, state)
                elif state in kind.sleeps:
                    if wait.left is not None:
                        wait = attrs.evolve(
                            wait, due_at=self.after(wait.left), left=None
                        )
                    wait = attrs.evolve(wait, stopped_in=state)
                else:
                    continue
            waits.append(wait)
        for wait in step.arm:
            if wait.name not in kinds:
                # Nothing would ever end it.
                raise ProcessError(
                    self.process.name,
                    [
                        f"a decision arms {wait.name!r}, which is no deadline of the "
                        "process: name it in deadlines=..."
                    ],
                )
            kind = kinds[wait.name]
            if state in kind.sleeps:
                wait = attrs.evolve(wait, stopped_in=state)
            elif state in kind.stops:
                wait = self._stopped(wait, state) if wait.runs else wait
            elif state not in kind.runs:
                # It would be acted on where nothing may be done about it.
                raise ProcessError(
                    self.process.name,
                    [
                        f"{command.name} arms {wait.name!r} in {state}, where it does "
                        "not run: name the state in its runs"
                    ],
                )
            waits.append(wait)
        if any(kinds[wait.name].held_by for wait in waits):
            # Asked only where it matters: it folds the events of the step.
            holding = self._holding(step)
            waits = [
                self._held(wait, kinds[wait.name], state, step, holding)
                for wait in waits
            ]
        return tuple(waits)

    def _holding(self, step: Step) -> frozenset[str]:
        """
        Return what will be there, after a step, of what makes deadlines stand still.
        """
        order = self.order
        for event in step.events:
            order = evolve(order, self._recorded(order, event, None))
        return frozenset(name for name in self.process.held if getattr(order, name))

    def _held(
        self,
        wait: Deadline,
        kind: DeadlineKind,
        state: str,
        step: Step,
        holding: frozenset[str],
    ) -> Deadline:
        """
        Return a wait standing still as long as what holds it is there.
        """
        by = kind.held_by
        if not by or wait.passed:
            return wait
        if by in holding:
            return self._stopped(wait, by) if wait.runs else wait
        if wait.stopped_in != by or wait.left is None:
            return wait
        if state in kind.stops:
            return attrs.evolve(wait, stopped_in=state)
        if by in step.resume:
            return self._resumed(wait)
        # It has not begun yet.
        due_at = self.after(wait.left)
        return attrs.evolve(wait, due_at=due_at, left=None, stopped_in="")

    def _stopped(self, wait: Deadline, state: str) -> Deadline:
        # Written out: it happens with every delivery.
        return Deadline(
            name=wait.name,
            due_at=wait.due_at,
            subject=wait.subject,
            left=max(_minus(wait.due_at, self.now), timedelta()),
            stopped_in=state,
        )

    def _resumed(self, wait: Deadline) -> Deadline:
        if wait.left is None:
            return attrs.evolve(wait, stopped_in="")
        window = max(wait.left, RESUMED_AT_LEAST)
        return attrs.evolve(wait, due_at=self.after(window), left=None, stopped_in="")


def _plus(instant: DateTime, window: timedelta) -> DateTime:
    # `+` on a pendulum value is a hundred times slower; in UTC it is the same.
    return datetime.__add__(instant, window)


def _minus(later: DateTime, earlier: DateTime) -> timedelta:
    return datetime.__sub__(later, earlier)


def _nothing(*_: Any) -> Blockers:
    return ()


def _whole(case: Case) -> Iterable[Narrowing]:
    return ()


@final
@attrs.define
class Decides:
    """
    The code that decides one command.

    Attributes:
        command: The command.

        act: Yields the steps, once nothing is in the way.

        blockers: What is in the way whatever the payload.

        limits: What is in the way of this payload.

        asks: What the order leaves of the form: of each payload within it, nothing
            is in the way.

        version: A host's own decision says which it is; empty for ours.
    """

    command: type[Any]
    act: Callable[[Case, Any], Steps]
    blockers: Callable[[Case], Blockers] = _nothing
    limits: Callable[[Case, Any], Blockers] = _nothing
    asks: Callable[[Case], Iterable[Narrowing]] = _whole
    version: str = ""

    def unless(self, blockers: Callable[[Case], Blockers]) -> None:
        """
        Register what is in the way whatever the payload.
        """
        self.blockers = blockers

    def within(self, limits: Callable[[Case, Any], Blockers]) -> None:
        """
        Register what is in the way of one payload.
        """
        self.limits = limits

    def given(self, asks: Callable[[Case], Iterable[Narrowing]]) -> None:
        """
        Register what the order leaves of the form.
        """
        self.asks = asks


def decides(
    command: type[_C], *, version: str = ""
) -> Callable[[Callable[[Case, _C], Steps]], Decides]:
    """
    Register the function that decides a command.

    Args:
        command: The class of the command.

        version: Needed for a decision of your own: orders are pinned to it.
    """

    def register(act: Callable[[Case, _C], Steps]) -> Decides:
        return Decides(command, act, version=version)

    return register


def way(command: type[Command], by: Role) -> tuple[Way, ...]:
    """
    Return one way out of a blocker.
    """
    # Few there are, and asked for with every page a host shows.
    found = _WAYS.get((command, by._value_))
    if found is None:
        found = _WAYS[command, by._value_] = (Way(command=command.name, by=by),)
    return found


_WAYS: Final[dict[tuple[type[Command], int], tuple[Way, ...]]] = {}


def deadline(name: str, due_at: DateTime, subject: str = "") -> tuple[Deadline, ...]:
    """
    Return a wait to arm.
    """
    return (Deadline(name=name, due_at=due_at, subject=subject),)


def reminders(
    case: Case, name: str, before: Iterable[timedelta], ends: DateTime
) -> tuple[Deadline, ...]:
    """
    Return the reminders of a window that begins now, soonest first.

    One that would not fall after the window's start is not armed.
    """
    waits = []
    for number, window in enumerate(before, 1):
        due_at = _plus(ends, -window)
        if due_at > case.now:
            waits.append(Deadline(name=name, due_at=due_at, subject=str(number)))
    return tuple(waits)
