"""
What is in the way of a command: no row here, or what the chapter that decides it says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..commands import (
    AnswerMediator,
    AskParties,
    AssignMediator,
    Command,
    RuleDispute,
)
from ..order import Order
from ..parties import Role
from ..refusals import Blocker, Way
from ..rules import Policies
from ..states import BACK, Process
from .case import Case, way

__all__ = ["absent", "blockers_of", "elsewhere", "ruled"]

# What only counts before the ruling (R77, R82).
_BEFORE_RULING: Final = frozenset({AnswerMediator, AskParties, RuleDispute})


def blockers_of(case: Case, command: type[Command]) -> tuple[Blocker, ...]:
    """
    Return what is in the way of a command that has a row here.
    """
    blockers = tuple(case.process.decider[command].blockers(case))
    if (
        case.by.role is Role.MEDIATOR
        and case.by.id != case.order.mediator_id
        and command is not AssignMediator
    ):
        # Who may look for a case may read it, and do nothing else yet (R76).
        assign = way(AssignMediator, Role.MEDIATOR | Role.OPERATOR)
        unassigned = Blocker(code="mediator_not_assigned", unblocked_by=assign)
        return (*blockers, unassigned)
    return blockers


def absent(case: Case, command: type[Command]) -> tuple[Blocker, ...]:
    """
    Return why this role may not send this command in this state.
    """
    process, order, role = case.process, case.order, case.by.role
    standing = order.standing
    blockers = elsewhere(process, standing.state, command.name, role._value_)
    if command in _BEFORE_RULING and process.places(command, role):
        blockers = (*ruled(order), *blockers)
    if standing.moved_by and standing.moved_from in process.places(command, role):
        # It was possible until a deadline passed: say so first.
        passed = Blocker(
            code="deadline_passed",
            params={
                "command": command.name,
                "deadline": standing.moved_by,
                "due_at": standing.moved_at,
            },
        )
        return (passed, *blockers)
    return blockers


def ruled(order: Order) -> tuple[Blocker, ...]:
    """
    Return that the dispute is decided, if it is: evidence comes too late.
    """
    dispute = order.dispute
    if dispute is None or dispute.ruling is None:
        return ()
    return (Blocker(code="dispute_ruled", params={"ruled_at": dispute.ruled_at}),)


# Asked for with every page a host shows, and a function of the table alone.
@lru_cache(maxsize=16_384)
def elsewhere(
    process: Process[Policies], state: str, name: str, role: int
) -> tuple[Blocker, ...]:
    """
    Return why a role may not send a command in a state, whatever the order.
    """
    command = process.commands.get(name)
    places = () if command is None else process.places(command, Role(role))
    if not places:
        return (
            Blocker(
                code="not_your_command",
                params={"command": name, "role": Role(role).text},
            ),
        )
    if process.ended(state):
        return (
            Blocker(
                code="order_ended",
                params={"command": name, "state": str(state)},
            ),
        )
    return (
        Blocker(
            code="not_in_this_state",
            params={
                "command": name,
                "state": str(state),
                "states": tuple(str(place) for place in places),
            },
            unblocked_by=_ways(process, state, places),
        ),
    )


def _ways(
    process: Process[Policies], state: str, places: tuple[str, ...]
) -> tuple[Way, ...]:
    """
    Return the commands that lead from a state straight to one of *places*.
    """
    ways: dict[str, Role] = {}
    remembered = process.remembered(state)
    for (here, command), rows in process.by_cell.items():
        if here != state:
            continue
        for row in rows:
            people = row.by & ~Role.SYSTEM
            leads = any(
                to in places
                or (to is BACK and any(left in places for left in remembered))
                for to in row.to.values()
            )
            if people and leads and row.offered and row.opened_by(process.policies):
                ways[command.name] = ways.get(command.name, Role(0)) | people
    return tuple(Way(command=name, by=by) for name, by in ways.items())
