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
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeAlias, final

import attrs
import transitions
from typing_extensions import TypeVar

from .commands import Command, PlaceOrder, SendMessage
from .errors import InvalidInputError, ProcessError
from .events import EVENTS, Event
from .forms import parse
from .inputs import kind_of
from .parties import Actor, Role

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


@final
class _Stay(enum.Enum):
    STAY = "stay"


@final
class _Back(enum.Enum):
    BACK = "back"


# The state stays as it is.
STAY: Final = _Stay.STAY

# Back to the state the order was called away from.
BACK: Final = _Back.BACK

Destination: TypeAlias = str | _Stay | _Back


def _states(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _outcomes(
    value: Destination | Mapping[str, Destination],
) -> Mapping[str, Destination]:
    return dict(value) if isinstance(value, Mapping) else {"": value}


def _always(policies: Any) -> bool:
    return True


@final
@attrs.frozen
class Row:
    """
    A line of the table: who may send what, where, and where it leads.

    Attributes:
        command: The class of the command.

        by: The roles that may send it, here.

        states: Where; one state or several.

        to: Where it leads: a state, `STAY`, `BACK`, or a mapping of outcomes,
            of which the rules choose one.

        settles: Whether it divides everything that is held, as every step into
            an ending must.

        away: Whether the state that is left is remembered, for `BACK`.

        anywhere: Whether it holds in the states of an extension, too: what became of
            money is heard in any state.

        offered: Whether it is among somebody's options; what became of money is said
            by programs.

        opened_by: Asked of the policies: whether they ever open this row.  The
            table is the same under all of them; what is closed is refused with
            its own reason, and never offered as a way out.

        chosen_by: By outcome, asked of the policies: whether they ever choose it.
            An outcome that is not named may come up under any.
    """

    command: type[Command]
    by: Role
    states: tuple[str, ...] = attrs.field(converter=_states)
    to: Mapping[str, Destination] = attrs.field(converter=_outcomes)
    settles: bool = attrs.field(default=False, kw_only=True)
    away: bool = attrs.field(default=False, kw_only=True)
    anywhere: bool = attrs.field(default=False, kw_only=True)
    offered: bool = attrs.field(default=True, kw_only=True)
    opened_by: Callable[[Any], bool] = attrs.field(default=_always, kw_only=True)
    chosen_by: Mapping[str, Callable[[Any], bool]] = attrs.field(
        factory=dict, kw_only=True
    )

    def leads(self, policies: Any) -> Mapping[str, Destination]:
        """
        Return the outcomes that come up under these policies; none if they close it.
        """
        if not self.opened_by(policies):
            return {}
        return {
            outcome: to
            for outcome, to in self.to.items()
            if self.chosen_by.get(outcome, _always)(policies)
        }


class Urgency(enum.IntEnum):
    """
    Which of several deadlines due at one instant comes first (docs/reference/rules.md).
    """

    EXPIRY = 0
    CANCELLATION = 1
    COMPLETION = 2
    RULING = 3
    LATENESS = 4
    UNLOCKING = 5
    SIDE_OBJECT = 6
    REMINDER = 7


@final
@attrs.frozen
class DeadlineKind:
    """
    A kind of wait: what the system does at its end, and where it counts.

    In a state that is in neither *runs* nor *stops*, the wait is over for good.

    Attributes:
        name: Its name: `delivery`.

        command: What the system sends when it is due.

        runs: The states in which it runs.

        stops: The states in which it stands still, keeping the time left.

        sleeps: The states in which it runs on, but is not acted on.

        window_of: The states whose own window it is: what `order.due_at` shows.

        urgency: What comes first at one instant.

        awaits: Who has to act before it ends; nobody if it ends by itself.

        needs: The policy without which it is never armed: `lifetime.order_cap`.

        held_by: What of an order makes it stand still while it is there, by its name
            there: `claim`, while one is open.

        fixed: Whether nobody may move it: a bank does not wait for our checks.
    """

    name: str
    command: type[Command]
    runs: tuple[str, ...] = attrs.field(converter=_states)
    stops: tuple[str, ...] = attrs.field(default=(), converter=_states, kw_only=True)
    sleeps: tuple[str, ...] = attrs.field(default=(), converter=_states, kw_only=True)
    window_of: tuple[str, ...] = attrs.field(
        default=(), converter=_states, kw_only=True
    )
    urgency: Urgency = attrs.field(kw_only=True)
    awaits: Role = attrs.field(default=Role(0), kw_only=True)
    needs: str = attrs.field(default="", kw_only=True)
    held_by: str = attrs.field(default="", kw_only=True)
    fixed: bool = attrs.field(default=False, kw_only=True)


@final
@attrs.frozen
class Gap:
    """
    A weakness that a process knows of and accepts, with its reason.

    Attributes:
        code: What is weak: `no_timed_exit`.

        where: The state it is about, or another name of the place.

        reason: Why it is accepted.
    """

    code: str
    where: str
    reason: str


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
        if self.dest is not None:
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
    fingerprint: str = attrs.field(init=False)
    _machine: _Machine = attrs.field(init=False)

    OWN_FLOOR: ClassVar[str] = "escrowflow"

    def __attrs_post_init__(self) -> None:
        def set_(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for items, kind in ((self.rows, Row), (self.deadlines, DeadlineKind)):
            for item in items:
                if not isinstance(item, kind):
                    raise ProcessError(
                        str(self.name), [f"a {kind.__name__}, not {kind_of(item)}"]
                    )
        set_("members", {member.value: member for member in self.states})
        cells: dict[tuple[str, type[Command]], list[Row]] = {}
        for row in self.rows:
            for state in row.states:
                cells.setdefault((str(state), row.command), []).append(row)
        set_("by_cell", {cell: tuple(rows) for cell, rows in cells.items()})
        set_(
            "by_role",
            {
                # By the number of the role: an enum member is slow to hash.
                (str(state), row.command, role.value): row
                for row in self.rows
                for role in row.by
                for state in row.states
            },
        )
        set_("by_actor", {role.value: dict(_places(self, role)) for role in Role})
        set_(
            "talking",
            frozenset(state for state, command in cells if command is SendMessage),
        )
        set_("decider", {decision.command: decision for decision in self.decisions})
        set_("commands", {row.command.name: row.command for row in self.rows})
        set_("yields", frozenset((*EVENTS.values(), *self.events)))
        set_("kinds", {kind.name: kind for kind in self.deadlines})
        held_by = {kind.held_by for kind in self.deadlines}
        set_("held", frozenset(held_by - {""}))
        set_(
            "windows",
            {
                str(state): kind.name
                for kind in self.deadlines
                for state in kind.window_of
            },
        )
        findings = list(_findings(self))
        if findings:
            raise ProcessError(self.name, findings)
        set_("_machine", _machine_of(self))
        set_("fingerprint", _fingerprint(self))

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
            near = get_close_matches(str(name)[:100], self.commands, 1)
            meant = f": did you mean {near[0]!r}?" if near else ""
            raise InvalidInputError(
                "command", f"{self.name} has no command {str(name)[:100]!r}{meant}"
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
        return _armed(self, kind)

    def remembered(self, state: str) -> frozenset[str]:
        """
        Return the states an order in *state* may have been called away from.
        """
        return frozenset(
            str(source)
            for row in self.rows
            if row.away and state in row.to.values()
            for source in row.states
        )

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
        return attrs.evolve(self, policies=self.policies.replacing(**changes))

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


# --- how a process proves itself --------------------------------------------------


def _findings(process: Process[Any]) -> Iterable[str]:
    """
    Yield every contradiction of a process, as one sentence each.
    """
    unknown = list(_unknown_names(process))
    yield from unknown
    if unknown:
        # The other checks walk the table by its names.
        return
    yield from _shadowed(process)
    yield from _shapeless(process)
    yield from _undecided(process)
    yield from _unreachable(process)
    yield from _unheeded(process)
    yield from _endless(process)
    yield from _held(process)


def _unknown_names(process: Process[Any]) -> Iterable[str]:
    known = set(process.members)
    name = process.name
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        yield "a name has letters, digits and _, and no digit first"
    if process.initial not in known:
        yield f"unknown state {str(process.initial)!r}: it cannot be the initial one"
    for state in process.endings:
        if state not in known:
            yield f"unknown state {str(state)!r} among the endings"
    for row in process.rows:
        for place in (*row.states, *row.to.values()):
            if isinstance(place, str) and place not in known:
                yield f"{row.command.name}: unknown state {str(place)!r}"
        if not row.by or not row.states or not row.to:
            yield f"{row.command.name}: a row needs a role, a state and an outcome"
        elif unknown := sorted(set(row.chosen_by) - set(row.to)):
            yield f"{row.command.name}: no outcome {', '.join(unknown)} to choose"
    for kind in process.deadlines:
        for state in (*kind.runs, *kind.stops, *kind.sleeps, *kind.window_of):
            if state not in known:
                yield f"deadline {kind.name}: unknown state {str(state)!r}"
    if len(process.kinds) < len(process.deadlines):
        yield "two deadlines have the same name"
    commands = {row.command for row in process.rows} | set(process.decider)
    if len({command.name for command in commands}) < len(commands):
        yield "two commands have the same name"
    for subject, names in _state_names(process.policies.canonical):
        for name in sorted(names - known):
            yield f"policy {subject}: unknown state {name!r}"


def _state_names(canonical: Mapping[str, Any]) -> Iterable[tuple[str, set[str]]]:
    """
    Yield the fields of policies that name states, with what they name.
    """
    for subject, policy in canonical.items():
        for field, value in policy.items():
            if field.endswith("_states"):
                yield f"{subject}.{field}", set(value)


def _shadowed(process: Process[Any]) -> Iterable[str]:
    for (state, command), rows in process.by_cell.items():
        seen = rows[0].by
        for row in rows[1:]:
            if seen & row.by:
                yield (
                    f"{command.name} in {state}: two rows for "
                    f"{(seen & row.by).text}; the second would never be used"
                )
            seen |= row.by
            if dict(row.to) != dict(rows[0].to):
                yield f"{command.name} in {state}: rows with different outcomes"


def _shapeless(process: Process[Any]) -> Iterable[str]:
    """
    What is no attrs class has no fields that anybody could keep or compare.
    """
    kinds: list[type] = [row.command for row in process.rows]
    for kind in dict.fromkeys((*kinds, *process.events)):
        if "__attrs_attrs__" not in vars(kind):
            yield f"{kind.__name__}: decorate it with @attrs.frozen(kw_only=True)"


def _undecided(process: Process[Any]) -> Iterable[str]:
    for name, command in process.commands.items():
        if command not in process.decider:
            yield f"{name}: nothing decides it"
    for kind in process.deadlines:
        for state in kind.runs:
            if process.row(state, kind.command, Role.SYSTEM) is None:
                yield (
                    f"deadline {kind.name}: the system may not send "
                    f"{kind.command.name} in {state}"
                )
            if state in kind.stops or state in kind.sleeps:
                yield f"deadline {kind.name} both runs and stops in {state}"
    for row in process.rows:
        if Role.SYSTEM in row.by:
            for state in row.states:
                if not any(
                    kind.command is row.command and state in kind.runs
                    for kind in process.deadlines
                ):
                    yield f"{row.command.name}: no deadline sends it in {state}"
    for decision in process.decisions:
        own = type(decision).__module__.startswith(process.OWN_FLOOR)
        if not own and not getattr(decision, "version", ""):
            yield f"{decision.command.name}: a decision of your own needs `version`"


def _edges(process: Process[Any], row: Row) -> Iterable[tuple[str, str, str]]:
    """
    Yield (state, trigger, next state) for each step a row allows.
    """
    for state in row.states:
        for outcome, to in row.to.items():
            trigger = f"{row.command.name}.{outcome}" if outcome else row.command.name
            if to is BACK:
                for left in sorted(process.remembered(state)):
                    yield str(state), f"{trigger}@{left}", str(left)
            elif isinstance(to, str):
                yield str(state), trigger, str(to)
            else:
                yield str(state), trigger, str(state)


def _unreachable(process: Process[Any]) -> Iterable[str]:
    reached = {str(process.initial)}
    leaving: dict[str, set[str]] = {}
    for row in process.rows:
        for state, _, to in _edges(process, row):
            if to != state:
                leaving.setdefault(state, set()).add(to)
        for state in row.states:
            if BACK in row.to.values() and not process.remembered(state):
                yield f"{row.command.name} in {state}: nothing to go back to"
    todo = [str(process.initial)]
    while todo:
        for to in leaving.get(todo.pop(), ()):
            if to not in reached:
                reached.add(to)
                todo.append(to)
    for state in process.members:
        if state not in reached:
            yield f"nothing leads to {state}"
        if state in process.endings and leaving.get(state):
            yield f"{state} is an ending, and yet something leads out of it"
        if state not in process.endings and not leaving.get(state):
            yield f"{state} is a dead end: nothing leads out of it"


def _system_steps(process: Process[Any]) -> dict[str, set[str]]:
    """
    Return where deadlines that are armed move an order, by state.
    """
    steps: dict[str, set[str]] = {}
    for kind in process.deadlines:
        if not _armed(process, kind):
            continue
        for row in process.rows:
            if row.command is kind.command and Role.SYSTEM in row.by:
                for state, _, to in _edges(process, row):
                    if state in kind.runs and to != state:
                        steps.setdefault(state, set()).add(to)
    return steps


def _armed(process: Process[Any], kind: DeadlineKind) -> bool:
    return not kind.needs or _chosen(process, kind.needs)


def _chosen(process: Process[Any], needs: str) -> bool:
    value: Any = process.policies
    for part in needs.split("."):
        # A bundle of a host's own need not have every policy of ours.
        value = getattr(value, part, None)
    return value is not None


# What a policy arms, where a process has such a wait.
_ARMED_BY: Final = {
    "acceptance.brief_window": "brief",
    "delivery.late_window": "delay",
    "dispute.claim_window": "claim",
}


def _unheeded(process: Process[Any]) -> Iterable[str]:
    for needs, name in _ARMED_BY.items():
        if name not in process.kinds and _chosen(process, needs):
            yield f"{needs} needs a deadline {name!r}: `recommended` has one"


def _endless(process: Process[Any]) -> Iterable[str]:
    steps = _system_steps(process)
    for start in steps:
        reached = set(steps[start])
        while more := {to for at in reached for to in steps.get(at, ())} - reached:
            reached |= more
        if start in reached:
            yield f"deadlines lead from {start} round and back, for ever"


def _held(process: Process[Any]) -> Iterable[str]:
    """
    Money is held in every state that is no ending: each must end by itself, or
    the process declares that it does not.
    """
    for row in process.rows:
        into = sorted(str(to) for to in row.to.values() if to in process.endings)
        if into and not row.settles:
            yield f"{row.command.name} leads to {', '.join(into)} and leaves money held"
        if row.settles and not into:
            yield f"{row.command.name} settles, and yet the order goes on"
    steps = _system_steps(process)
    ends = set(process.endings)
    while True:
        more = {state for state, to in steps.items() if to & ends} - ends
        if not more:
            break
        ends |= more
    declared = {gap.where for gap in process.gaps if gap.code == "no_timed_exit"}
    for state in process.members:
        if state not in ends and state not in declared:
            yield (
                f"{state} holds money and nothing ends it by itself: add a "
                f"deadline, or declare Gap('no_timed_exit', {str(state)!r}, reason)"
            )
    for gap in process.gaps:
        if not gap.reason:
            yield f"gap {gap.code} at {gap.where}: give the reason"


# --- building ---------------------------------------------------------------------


def _machine_of(process: Process[Any], kind: Callable[..., Any] = _Machine) -> Any:
    """
    Build the shared machine: one trigger for each command and outcome.
    """
    steps: dict[tuple[str, str], str] = {}
    for row in process.rows:
        for state, trigger, to in _edges(process, row):
            steps[trigger, state] = to
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
        queued=False,
        transitions=[
            # Without a destination the state stays, and nothing is entered.
            {"trigger": trigger, "source": state, "dest": to if to != state else None}
            for (trigger, state), to in steps
        ],
    )


def _fingerprint(process: Process[Any]) -> str:
    """
    Return the name and the hash of everything that can change an outcome.
    """

    def destination(value: Destination) -> str:
        return value.value if isinstance(value, (_Stay, _Back)) else str(value)

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
