"""
Aims: what has to happen next so that a command can be sent, or a state is reached, in
the end.

A way is found as a person would find it: by what is in the way of a command, by what
clears it (`Blocker.unblocked_by`), and by the table, which says what leads where.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ..commands import Command
from ..decisions import Option, options
from ..order import Order
from ..parties import Actor, Role
from ..rules import Policies
from ..states import BACK, DeadlineKind, Process, Row

__all__ = ["Move", "aims", "around", "moves", "moves_to", "reachable"]

_Process: TypeAlias = Process[Policies]
_Options: TypeAlias = Mapping[Actor, Mapping[type[Command], Option]]

_PARTIES: Final = Role.BUYER | Role.SELLER


@final
@attrs.frozen
class Move:
    """
    What can happen next to an order.

    Attributes:
        by: Who acts; `None`: time does.

        option: What he may send; `None` if time passes.

        until: The instant until which time passes.

        ends: What the system does then, if a deadline ends.
    """

    by: Actor | None = None
    option: Option | None = None
    until: DateTime | None = None
    ends: type[Command] | None = None


# --- what a process can come to ---------------------------------------------------


def reachable(process: _Process, roles: Role | None = None) -> frozenset[str]:
    """
    Return the states an order can come to, by the table and the policies.

    Args:
        roles: The parts that somebody plays; all of them unless said.
    """
    found = {str(process.initial)}
    todo = deque(found)
    while todo:
        state = todo.popleft()
        for _, to in _steps(process, state, roles):
            if to not in found:
                found.add(to)
                todo.append(to)
    return frozenset(found)


def aims(process: _Process, roles: Role | None = None) -> tuple[type[Command], ...]:
    """
    Return the commands that somebody, or a deadline, can ever send: those whose state
    can be reached.  What became of money is said by programs, and is none of them.
    """
    there = reachable(process, roles)
    found: dict[type[Command], None] = {}
    for row in process.rows:
        if not row.offered or not row.leads(process.policies):
            continue
        people = row.by if roles is None else row.by & roles
        sent = people & ~Role.SYSTEM or any(
            there.intersection(kind.runs) for kind in _kinds(process, row.command)
        )
        if sent and there.intersection(map(str, row.states)):
            found[row.command] = None
    return tuple(found)


def _kinds(process: _Process, command: type[Command]) -> Iterator[DeadlineKind]:
    for kind in process.deadlines:
        if kind.command is command and process.armed(kind):
            yield kind


def _steps(
    process: _Process, state: str, roles: Role | None
) -> Iterator[tuple[Row, str]]:
    """
    Yield each row that leads out of a state, and where to.
    """
    for (here, _), rows in process.by_cell.items():
        if here != state:
            continue
        for row in rows:
            by_system = Role.SYSTEM in row.by and any(
                state in kind.runs and process.armed(kind)
                for kind in process.deadlines
                if kind.command is row.command
            )
            people = row.by & ~Role.SYSTEM
            # An order that is paid when it is placed takes this step by itself.
            if roles is not None and state != str(process.initial):
                people &= roles
            if not (people and row.offered) and not by_system:
                continue
            for to in row.leads(process.policies).values():
                # Back is where the order has been.
                if isinstance(to, str) and str(to) != state:
                    yield row, str(to)


# --- what can happen to an order --------------------------------------------------


def around(order: Order, people: Iterable[Actor]) -> tuple[Actor, ...]:
    """
    Return those who may see an order: its parties, its mediator or, as long as there is
    none, any who is no party; staff and the provider.
    """
    return tuple(by for by in people if _sees(order, by))


def _sees(order: Order, by: Actor) -> bool:
    if by.role in _PARTIES:
        return by.role in order.role_of(by.id)
    if by.role is Role.MEDIATOR:
        open_ = order.claim is not None or str(order.state) == "disputed"
        mine = by.id == order.mediator_id
        free = order.mediator_id is None and open_
        return mine or (free and not order.role_of(by.id))
    return True


def moves(
    process: _Process, order: Order, people: Sequence[Actor], now: DateTime
) -> list[Move]:
    """
    Return everything somebody may send now.
    """
    return [
        Move(by=by, option=option)
        for by in around(order, people)
        for option in options(process, order, by=by, now=now)
        if option.allowed
    ]


def moves_to(
    process: _Process,
    order: Order,
    aim: type[Command] | str,
    people: Sequence[Actor],
    now: DateTime,
) -> list[Move]:
    """
    Return what can happen next on a way to a command, the nearest first; empty if
    nobody sees a way, or the order is there.

    Args:
        order: The order, everything that is due already settled.

        aim: The command, or the text of a state.
    """
    told: _Options = {
        by: {
            option.command: option for option in options(process, order, by=by, now=now)
        }
        for by in around(order, people)
    }
    roles = Role(0)
    for by in people:
        roles |= by.role
    found: dict[tuple[object, ...], Move] = {}
    first = (
        tuple(_nearer(process, order, {aim}, roles)) if isinstance(aim, str) else (aim,)
    )
    seen: set[type[Command]] = set()
    for move in (
        move
        for command in first
        for move in _towards(process, order, command, told, roles, seen)
    ):
        what = None if move.option is None else move.option.command
        found.setdefault((move.by, what, move.until), move)
    here = [one for one in first if (str(order.state), one) in process.by_cell]
    if found or not here or any(here[0] in mine for mine in told.values()):
        return list(found.values())
    # Here it is sent, by nobody who is there yet, or by a deadline that does not run
    # yet: what opens it is told nowhere, so anything may, and so may time.
    armed_at = process.policies.time.armed_at
    return [
        *(
            Move(by=by, option=option)
            for by, mine in told.items()
            for option in mine.values()
            if option.allowed
        ),
        *(
            Move(until=armed_at(wait.due_at), ends=process.kinds[wait.name].command)
            for wait in order.deadlines
        ),
    ]


def _towards(
    process: _Process,
    order: Order,
    aim: type[Command],
    told: _Options,
    roles: Role,
    seen: set[type[Command]],
) -> Iterator[Move]:
    if aim in seen:
        return
    seen.add(aim)
    offers = {by: mine[aim] for by, mine in told.items() if aim in mine}
    allowed = [Move(by=by, option=o) for by, o in offers.items() if o.allowed]
    waits = [
        Move(until=process.policies.time.armed_at(wait.due_at), ends=aim)
        for wait in order.deadlines
        if process.kinds[wait.name].command is aim
    ]
    if allowed or waits:
        yield from (*allowed, *waits)
        return
    blockers = [blocker for option in offers.values() for blocker in option.blockers]
    for blocker in blockers:
        for way in blocker.unblocked_by:
            command = process.commands.get(way.command)
            if command is not None:
                yield from _towards(process, order, command, told, roles, seen)
        if blocker.unblocked_at is not None:
            yield Move(until=blocker.unblocked_at)
    goal = {
        str(place)
        for row in process.rows
        if row.command is aim and row.leads(process.policies)
        for place in row.states
    }
    for command in _nearer(process, order, goal, roles):
        yield from _towards(process, order, command, told, roles, seen)


def _nearer(
    process: _Process, order: Order, goal: set[str], roles: Role
) -> Iterator[type[Command]]:
    """
    Yield the commands that begin a shortest way, by the table, to one of some states.
    """
    state = str(order.state)
    if state in goal:
        return
    # From each state, the commands with which the shortest ways to it began.
    first: dict[str, dict[type[Command], None]] = {state: {}}
    layer = [state]
    if order.standing.left:
        # Whoever was called away first goes back to where he was.
        back = dict.fromkeys(
            row.command
            for (here, _), rows in process.by_cell.items()
            if here == state
            for row in rows
            if BACK in row.leads(process.policies).values()
        )
        first[str(order.standing.left[-1])] = back
        layer.append(str(order.standing.left[-1]))
        if goal & first.keys():
            yield from back
            return
    while layer:
        after: dict[str, dict[type[Command], None]] = {}
        for here in layer:
            for row, to in _steps(process, here, roles):
                if to in first:
                    continue
                begun = {row.command: None} if here == state else first[here]
                after.setdefault(to, {}).update(begun)
        first |= after
        if reached := goal & after.keys():
            for place in sorted(reached):
                yield from first[place]
            return
        layer = list(after)
