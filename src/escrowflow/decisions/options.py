"""
Options: what an actor can do now, why not, and what would come of it.

- Blocked means: every payload is refused, with at least these blockers.  Allowed means:
  every payload within the fields is taken.
- What nobody reads is not worked out: fields and consequences are made when they are
  asked for, on the same order and at the same instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import final

import attrs
from pendulum import DateTime

from ..commands import Command
from ..errors import InvalidInputError
from ..forms import Field, Narrowing, form_of, narrowed, specimen
from ..history import evolve
from ..order import Order
from ..parties import Actor, Role
from ..parts import Deadline
from ..refusals import Blocker
from ..rules import Policies
from ..states import Process
from .blockers import absent, blockers_of, elsewhere, ruled
from .case import Case
from .figures import FIGURES, touched
from .moves import Move, moved

__all__ = ["Consequences", "Option", "options"]


@final
@attrs.frozen(kw_only=True)
class Consequences:
    """
    What a command does, as far as it is known before its payload.

    Attributes:
        state: The state after it; empty if the payload decides.

        moved: The money it moves.

        deadlines: The deadlines it sets or moves, soonest first.

        statistics: The figures of the seller that it touches, or may touch if the
            payload decides (R42, R116).

        by_choice: What each choice does, where one must be made: of a ruling, an offer.
    """

    state: str = ""
    moved: tuple[Move, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    statistics: tuple[str, ...] = ()
    by_choice: Mapping[str, Consequences] = attrs.field(factory=dict)


@final
@attrs.frozen(kw_only=True)
class Option:
    """
    A command that an actor's role could send, and whether it may now.

    Attributes:
        command: The class of the command.

        blockers: Everything in the way whatever the payload; empty if nothing is.
    """

    command: type[Command]
    blockers: tuple[Blocker, ...] = ()
    _case: Case | None = attrs.field(default=None, eq=False, repr=False)
    _mute: bool = attrs.field(default=False, eq=False, repr=False)

    @property
    def name(self) -> str:
        """
        The name of the command.
        """
        return self.command.name

    @property
    def allowed(self) -> bool:
        """
        Whether nothing is in the way.
        """
        return not self.blockers

    def label(self, locale: str = "en") -> str:
        """
        Return what a button says: `Accept the order`.
        """
        from ..words import command_text

        return command_text(self.name, locale)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """
        What it is made of; if it is allowed, what of it is taken now.
        """
        form, case = form_of(self.command), self._case
        if case is None or not self.allowed:
            return form
        narrowings: list[Narrowing] = list(
            case.process.decider[self.command].asks(case)
        )
        if self._mute:
            narrowings += [
                (field.name, {"left_out": True})
                for field in form
                if field.kind == "text" and not field.required
            ]
        return narrowed(form, narrowings, case.order.currency)

    @cached_property
    def consequences(self) -> Consequences | None:
        """
        What it does; `None` if it is blocked, or if it is a host's own and takes
        something that no form tells.
        """
        if self._case is None or self.blockers:
            return None
        try:
            return self._told(self._case)
        except InvalidInputError:
            return None

    def _told(self, case: Case) -> Consequences:
        chosen = [field for field in self.fields if field.required and field.choices]
        if not chosen:
            return _consequences(case, self.command, self.fields)
        by_choice = {
            choice: _consequences(case, self.command, self.fields, choice)
            for choice in chosen[0].choices
        }
        states = {one.state for one in by_choice.values()}
        return Consequences(
            state=states.pop() if len(states) == 1 else "", by_choice=by_choice
        )


def _consequences(
    case: Case, command: type[Command], fields: tuple[Field, ...], choice: str = ""
) -> Consequences:
    """
    Return what a command does, tried with the least and the most of what it takes.
    """
    least, most = (
        _tried(case, specimen(command, fields, most=most, choice=choice))
        for most in (False, True)
    )
    before, after = case.order, least.order
    known = set(before.deadlines)
    return Consequences(
        state=str(after.state),
        moved=moved(before, after, most.order),
        deadlines=tuple(wait for wait in after.deadlines if wait not in known),
        statistics=_touched(before, least, most),
    )


def _tried(case: Case, command: Command) -> Case:
    again = Case(
        process=case.process,
        order=case.order,
        by=case.by,
        now=case.now,
        recorded_at=case.recorded_at,
    )
    again.act(command)
    return again


def _touched(before: Order, *outcomes: Case) -> tuple[str, ...]:
    """
    Return the figures of the seller that what happens touches, or may touch.
    """
    found: set[str] = set()
    for case in outcomes:
        order = before
        for recorded in case.recorded:
            found.update(touched(order, recorded, policy=case.policies.statistics))
            order = evolve(order, recorded)
    return tuple(name for name in FIGURES if name in found)


# --- asking for them --------------------------------------------------------------


@lru_cache(maxsize=4096)
def _frame(
    process: Process[Policies], state: str, role: int
) -> tuple[tuple[type[Command], Option | None], ...]:
    """
    Return the commands of a role, each with the answer if it has no row in a state:
    that is the same for every order there.
    """
    return tuple(
        (
            command,
            None
            if process.row(state, command, Role(role))
            else Option(
                command=command,
                blockers=elsewhere(process, state, command.name, role),
            ),
        )
        for command in process.commands_of(Role(role))
    )


def options(
    process: Process[Policies],
    order: Order,
    *,
    by: Actor,
    now: DateTime,
    unwritable: tuple[Blocker, ...] = (),
) -> tuple[Option, ...]:
    """
    Return every command this actor's role could ever send, in the table's order.

    Args:
        unwritable: What is in the way of texts of this person, known to whoever has
            seen more than the order.
    """
    now = max(now, order.effective_at)
    case = Case(process=process, order=order, by=by, now=now, recorded_at=now)
    return tuple(_options(case, unwritable))


def _options(case: Case, unwritable: tuple[Blocker, ...]) -> Iterator[Option]:
    standing = case.order.standing
    plain = not (unwritable or standing.moved_by or ruled(case.order))
    for command, absence in _frame(case.process, standing.state, case.by.role._value_):
        if absence is not None and plain:
            yield absence
            continue
        blockers = (
            blockers_of(case, command) if absence is None else absent(case, command)
        )
        if unwritable and _needs_text(command):
            blockers += unwritable
        yield Option(
            command=command, blockers=blockers, case=case, mute=bool(unwritable)
        )


def _needs_text(command: type[Command]) -> bool:
    return any(field.kind == "text" and field.required for field in form_of(command))
