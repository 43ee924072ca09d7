"""
The declarative machine: states, rows, deadlines, and the process they make.

- A *row* says: in these states, these roles may send this command, and these are
  its outcomes.  Rows are data; policies choose among outcomes and block commands,
  they never add a row.
- A process checks itself when it is built: what is contradictory never runs.
- `transitions` moves every order from state to state, and it is used nowhere
  else.  Conditions, roles and clocks are not its business; it is shown one
  trigger for each command and outcome, and says where that leads.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, ClassVar, Generic, Protocol, Self, final

import attrs
import transitions
from typing_extensions import TypeVar

from . import soundness
from .commands import Command, PlaceOrder, SendMessage
from .errors import InvalidInputError, ProcessError
from .events import EVENTS, Event
from .forms import parse
from .inputs import kind_of
from .parties import Actor, Role
from .rows import (
    BACK,
    STAY,
    DeadlineKind,
    Destination,
    Gap,
    Row,
    Step,
    Urgency,
    remembered,
    steps_of,
)

__all__ = [
    "BACK",
    "STAY",
    "DeadlineKind",
    "Gap",
    "Process",
    "Row",
    "State",
    "Urgency",
]


class State(enum.StrEnum):
    """
    Where an order can be; the text is what is stored.

    Late is not a state but a flag, `order.late`.
    """

    AWAITING_PAYMENT = "awaiting_payment"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    CANCELLATION_REQUESTED = "cancellation_requested"
    DELIVERED = "delivered"
    REVISION_REQUESTED = "revision_requested"
    REVISION_REFUSED = "revision_refused"
    DISPUTED = "disputed"
    FROZEN = "frozen"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class PolicyBundle(Protocol):
    """
    What a process needs to know of its policies.
    """

    def replacing(self, **changes: Any) -> Self:
        """Return the bundle with some policies, or their fields, replaced."""
        ...

    @property
    def canonical(self) -> Mapping[str, Any]:
        """The bundle as plain data with one form."""
        ...


class Decider(Protocol):
    """
    What a process needs to know of the code that decides a command.
    """

    @property
    def command(self) -> type[Command]:
        """The command it decides."""
        ...

    @property
    def version(self) -> str:
        """Its version; empty for the library's own."""
        ...


P = TypeVar("P", bound=PolicyBundle, default=Any)


# --- driving transitions ----------------------------------------------------------


class _Cursor:
    """
    The thing `transitions` moves: made for one step, thrown away after it.
    """

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class _Step(transitions.Transition):
    """
    A transition without callbacks, as ours all are.

    The stock class runs through four empty lists of callbacks and as many log
    calls for each step: ten times the cost of the step itself.  `transition_cls`
    and `event_cls` are the documented places to leave them out; a test holds the
    stock machine and this one against each other on every cell of the table.
    """

    def execute(self, event_data: Any) -> bool:
        event_data.state = self.dest
        return True


class _Trigger(transitions.Event):
    """
    A trigger that moves a cursor straight along the one transition there is.
    """

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        found = self.transitions.get(model.state)
        if not found:
            raise transitions.MachineError(
                f"no {self.name!r} from state {model.state!r}"
            )
        return found[0].execute(model)


class _Machine(transitions.Machine):
    transition_cls = _Step
    event_cls = _Trigger


# --- the process ------------------------------------------------------------------


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@final
@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Process(Generic[P]):
    """
    A table, its deadlines, its policies and the code that decides: one process.

    Attributes:
        name: Its name, as orders keep it.

        states: The enum of its states.

        initial: Where an order begins.

        endings: Where it ends; nothing is held there.

        rows: The table.

        deadlines: The kinds of wait.

        decisions: The code that decides each command.

        policies: What the marketplace chose.

        events: A host's own events, beside the library's.

        gaps: Weaknesses that are known and accepted.

    Raises:
        ProcessError: If it contradicts itself; every contradiction is named.
    """

    name: str
    states: type[enum.StrEnum]
    initial: str
    endings: tuple[str, ...] = attrs.field(converter=_texts)
    rows: tuple[Row, ...]
    deadlines: tuple[DeadlineKind, ...]
    decisions: tuple[Any, ...]
    policies: P
    events: tuple[type[Event], ...] = ()
    gaps: tuple[Gap, ...] = ()

    # Worked out once from the data above.
    by_cell: Mapping[tuple[str, type[Command]], tuple[Row, ...]] = attrs.field(
        init=False
    )
    by_role: Mapping[tuple[str, type[Command], int], Row] = attrs.field(init=False)
    by_actor: Mapping[int, Mapping[type[Command], tuple[str, ...]]] = attrs.field(
        init=False
    )
    talking: frozenset[str] = attrs.field(init=False)
    decider: Mapping[type[Command], Any] = attrs.field(init=False)
    commands: Mapping[str, type[Command]] = attrs.field(init=False)
    yields: frozenset[type[Event]] = attrs.field(init=False)
    kinds: Mapping[str, DeadlineKind] = attrs.field(init=False)
    held: frozenset[str] = attrs.field(init=False)
    windows: Mapping[str, str] = attrs.field(init=False)
    members: Mapping[str, str] = attrs.field(init=False)
    steps: tuple[Step, ...] = attrs.field(init=False)
    fingerprint: str = attrs.field(init=False)
    _machine: _Machine = attrs.field(init=False)

    OWN_FLOOR: ClassVar[str] = "escrowflow"

    def __attrs_post_init__(self) -> None:
        for items, kind in ((self.rows, Row), (self.deadlines, DeadlineKind)):
            for item in items:
                if not isinstance(item, kind):
                    raise ProcessError(
                        str(self.name), [f"a {kind.__name__}, not {kind_of(item)}"]
                    )
        cells: dict[tuple[str, type[Command]], list[Row]] = {}
        for row in self.rows:
            for state in row.states:
                cells.setdefault((str(state), row.command), []).append(row)
        self._keep(
            members={member.value: member for member in self.states},
            steps=tuple(steps_of(self.rows)),
            by_cell={cell: tuple(rows) for cell, rows in cells.items()},
            by_role={
                # By the number of the role: an enum member is slow to hash.
                (str(state), row.command, role.value): row
                for row in self.rows
                for role in row.by
                for state in row.states
            },
            talking=frozenset(
                state for state, command in cells if command is SendMessage
            ),
            decider={decision.command: decision for decision in self.decisions},
            commands={row.command.name: row.command for row in self.rows},
            yields=frozenset((*EVENTS.values(), *self.events)),
            kinds={kind.name: kind for kind in self.deadlines},
            held=frozenset({kind.held_by for kind in self.deadlines} - {""}),
            windows={
                str(state): kind.name
                for kind in self.deadlines
                for state in kind.window_of
            },
        )
        unsound = list(soundness.of_table(self))
        if unsound:
            raise ProcessError(self.name, unsound)
        self._keep(_machine=_machine_of(self))
        self._under_policies()

    def _under_policies(self) -> None:
        """
        Work out what hangs on the policies, too.
        """
        self._keep(by_actor={role.value: dict(_places(self, role)) for role in Role})
        unsound = list(soundness.of_policies(self))
        if unsound:
            raise ProcessError(self.name, unsound)
        self._keep(fingerprint=_fingerprint(self))

    def _keep(self, **found: Any) -> None:
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<process {self.fingerprint}>"

    def state(self, text: str) -> str:
        """
        Return the member of the process's enum with this text.
        """
        return self.members.get(text, text)

    def parse(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        by: Actor | None = None,
        vouched: Mapping[str, Any] | None = None,
    ) -> Command:
        """
        Return a command of this process from plain data, such as the JSON of a
        request: one route serves all commands.

        Args:
            name: The name of the command: `deliver_order`.

            data: Its fields by name, as `Field` says.

            by: Whose request it is: of a buyer or a seller, nothing is taken that
                your server vouches for.  `None`: it is your own data.

            vouched: What your server says of it, by name: `{"payment": ...}`.

        Raises:
            InvalidInputError: If the process has no such command for people, or a
                field is missing, unknown, not to be said by *by*, or cannot be read.
        """
        commands = {**self.commands, PlaceOrder.name: PlaceOrder}
        command = commands.get(name) if isinstance(name, str) else None
        if command is not PlaceOrder and (
            command is None or not self._for_people(command)
        ):
            said = str(name)[:100]
            near = get_close_matches(said, self.commands)
            meant = f": did you mean {near[0]!r}?" if near else ""
            raise InvalidInputError(
                "command", f"{self.name} has no command {said!r}{meant}"
            )
        return parse(command, data, by, vouched)

    def _for_people(self, command: type[Command]) -> bool:
        return any(row.by & ~Role.SYSTEM for row in self.rows if row.command is command)

    def ended(self, state: str) -> bool:
        """
        Whether an order in this state is over.
        """
        return state in self.endings

    def row(self, state: str, command: type[Command], role: Role) -> Row | None:
        """
        Return the row that lets this role send this command here.
        """
        return self.by_role.get((state, command, role._value_))

    def roles(self, state: str, command: type[Command]) -> Role:
        """
        Return every role that may send this command here.
        """
        roles = Role(0)
        for row in self.by_cell.get((state, command), ()):
            roles |= row.by
        return roles

    def places(self, command: type[Command], role: Role) -> tuple[str, ...]:
        """
        Return where this role may send this command, in the order of the states.
        """
        return self.by_actor[role._value_].get(command, ())

    def commands_of(self, role: Role) -> Iterable[type[Command]]:
        """
        Return every command this role could ever send, in the order of the table.
        """
        return self.by_actor[role._value_]

    def armed(self, kind: DeadlineKind) -> bool:
        """
        Whether the policies ever arm this kind of deadline.
        """
        return soundness.armed(self, kind)

    def remembered(self, state: str) -> frozenset[str]:
        """
        Return the states an order in *state* may have been called away from.
        """
        return remembered(self.rows, state)

    def step(self, state: str, command: str, outcome: str, left: Sequence[str]) -> str:
        """
        Return the state that a command with this outcome leads to.

        Args:
            left: The states the order was called away from, the latest last.

        Raises:
            ProcessError: If the table has no such step.
        """
        trigger = f"{command}.{outcome}" if outcome else command
        events = self._machine.events
        found = events.get(trigger)
        if found is None and left:
            found = events.get(f"{trigger}@{left[-1]}")
        cursor = _Cursor(state)
        try:
            if found is None:
                raise transitions.MachineError(f"no trigger {trigger!r}")
            found.trigger(cursor)
        except transitions.MachineError as error:
            raise ProcessError(
                self.name, [f"a decision took a step the table lacks: {error}"]
            ) from error
        return self.members[cursor.state]

    def with_policies(self, **changes: Any) -> Process[P]:
        """
        Return the process under other policies.

        Args:
            changes: By subject: a policy object, or a mapping of fields of the
                present one: `revision={"revision_limit_mode": "hard"}`.

        Raises:
            InvalidInputError: If there is no such policy or field.

            ProcessError: If the table does not fit them.
        """
        other = copy(self)
        # The table is sound already; what policies make of it is looked at anew.
        other._keep(policies=self.policies.replacing(**changes))
        other._under_policies()
        return other

    def extend(
        self,
        *,
        name: str,
        states: type[enum.StrEnum] | None = None,
        rows: Iterable[Row] = (),
        deadlines: Iterable[DeadlineKind] = (),
        events: Iterable[type[Event]] = (),
        decisions: Iterable[Any] = (),
        endings: Iterable[str] = (),
        gaps: Iterable[Gap] = (),
        commands: Iterable[type[Command]] = (),
    ) -> Process[P]:
        """
        Return a process of your own: this one, and more.

        Args:
            name: Its name; another one, so that orders do not mix.

            states: Your states, as a text enum; the present ones stay.  A deadline
                that neither runs nor stops in a new state is over once the order
                gets there: name it again in *deadlines* with the states it keeps.

            endings: Those of your states that are endings.

            gaps: Weaknesses you know of: `Gap("no_timed_exit", state, reason)` for
                a state of yours that nothing ends by itself.

            rows: More rows.

            deadlines: More kinds of wait, or present ones with other states.

            events: Your events: every one that your decisions yield.

            decisions: Your decisions; one for a command that has one takes its
                place, and carries `version`.

            commands: Your commands; those of your rows need no mention.

        Raises:
            ProcessError: If the whole contradicts itself.
        """
        members = [*self.states, *(states or ())]
        named = [(member.name, member.value) for member in members]
        # The functional form: mypy cannot know the members, and need not.
        together: Any = enum.StrEnum
        merged = together("State", named) if states is not None else self.states
        mine = {decision.command: decision for decision in decisions}
        waits = {kind.name: kind for kind in (*self.deadlines, *deadlines)}
        process = attrs.evolve(
            self,
            name=name,
            states=merged,
            endings=(*self.endings, *endings),
            rows=(*(_spread(row, states or ()) for row in self.rows), *rows),
            deadlines=tuple(waits.values()),
            events=(*self.events, *events),
            decisions=(
                *(d for d in self.decisions if d.command not in mine),
                *mine.values(),
            ),
            gaps=(*self.gaps, *gaps),
        )
        unrowed = set(commands) - {row.command for row in process.rows}
        if unrowed:
            names = ", ".join(sorted(command.name for command in unrowed))
            raise ProcessError(name, [f"commands without a row: {names}"])
        return process


def _spread(row: Row, states: Iterable[enum.StrEnum]) -> Row:
    """
    Return a row that holds in more states, if it holds anywhere.
    """
    return attrs.evolve(row, states=(*row.states, *states)) if row.anywhere else row


def _places(
    process: Process[Any], role: Role
) -> Iterable[tuple[type[Command], tuple[str, ...]]]:
    """
    Yield each command a role could ever send, with where its policies let it.
    """
    places: dict[type[Command], set[str]] = {}
    for row in process.rows:
        if role in row.by and row.offered and row.opened_by(process.policies):
            places.setdefault(row.command, set()).update(row.states)
    for command, states in places.items():
        yield command, tuple(m for m in process.members.values() if m in states)


# --- building ---------------------------------------------------------------------


def _machine_of(process: Process[Any], kind: Callable[..., Any] = _Machine) -> Any:
    """
    Build the shared machine: one trigger for each command and outcome.
    """
    steps = {(step.trigger, step.state): step.to for step in process.steps}
    return _built(
        kind, tuple(process.members), str(process.initial), tuple(steps.items())
    )


# It has no state of its own, so processes that differ in their policies share it.
@lru_cache(maxsize=64)
def _built(
    kind: Callable[..., Any],
    states: tuple[str, ...],
    initial: str,
    steps: tuple[tuple[tuple[str, str], str], ...],
) -> Any:
    return kind(
        model=None,
        states=list(states),
        initial=initial,
        auto_transitions=False,
        transitions=[
            {"trigger": trigger, "source": state, "dest": to}
            for (trigger, state), to in steps
        ],
    )


def _fingerprint(process: Process[Any]) -> str:
    """
    Return the name and the hash of everything that can change an outcome.
    """

    def destination(value: Destination) -> str:
        return value.value if not isinstance(value, str) else str(value)

    content = {
        "states": list(process.members),
        "initial": str(process.initial),
        "endings": [str(state) for state in process.endings],
        "rows": [
            [
                row.command.name,
                row.by.text,
                [str(state) for state in row.states],
                {outcome: destination(to) for outcome, to in row.to.items()},
                row.settles,
                row.away,
            ]
            for row in process.rows
        ],
        "deadlines": [
            [
                kind.name,
                kind.command.name,
                [str(state) for state in kind.runs],
                [str(state) for state in kind.stops],
                [str(state) for state in kind.sleeps],
                [str(state) for state in kind.window_of],
                int(kind.urgency),
                kind.held_by,
                kind.fixed,
            ]
            for kind in process.deadlines
        ],
        "decisions": sorted(
            [decision.command.name, decision.version]
            for decision in process.decisions
            if decision.version
        ),
        "events": sorted(event.name for event in process.events),
        "policies": process.policies.canonical,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{process.name}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
