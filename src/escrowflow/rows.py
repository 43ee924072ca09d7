"""
What the table of a process is made of: rows, kinds of wait, and gaps it knows of.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, final

import attrs

from .commands import Command
from .parties import Role

__all__ = [
    "BACK",
    "STAY",
    "DeadlineKind",
    "Destination",
    "Gap",
    "Row",
    "Step",
    "Urgency",
    "remembered",
    "steps_of",
]


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

    @property
    def goes_back(self) -> bool:
        """
        Whether one of its outcomes is the state the order was called away from.
        """
        return BACK in self.to.values()

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


class Step(NamedTuple):
    """
    One way that a row can take: from a state to a state, which may be the same.

    Attributes:
        row: Whose step it is.

        state: Where it begins.

        trigger: What `transitions` knows it by: the name of the command, with its
            outcome, and with where it goes back to.

        to: Where it leads.
    """

    row: Row
    state: str
    trigger: str
    to: str


def remembered(rows: Iterable[Row], state: str) -> frozenset[str]:
    """
    Return the states an order in *state* may have been called away from.
    """
    return frozenset(
        str(source)
        for row in rows
        if row.away and state in row.to.values()
        for source in row.states
    )


def steps_of(rows: Collection[Row]) -> Iterator[Step]:
    """
    Yield every step that a table allows.
    """
    for row in rows:
        for state in map(str, row.states):
            for outcome, to in row.to.items():
                name = row.command.name
                trigger = f"{name}.{outcome}" if outcome else name
                if to is BACK:
                    for left in sorted(remembered(rows, state)):
                        yield Step(row, state, f"{trigger}@{left}", left)
                elif isinstance(to, str):
                    yield Step(row, state, trigger, str(to))
                else:
                    yield Step(row, state, trigger, state)


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
