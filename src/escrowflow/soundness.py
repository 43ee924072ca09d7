"""
What a process may not say: the contradictions for which it is not built.

Those of the table are looked for once; those that policies bring about, under each
bundle of policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from .parties import Role

if TYPE_CHECKING:
    from .rows import DeadlineKind

__all__ = ["armed", "of_policies", "of_table"]


def of_table(process: Any) -> Iterable[str]:
    """
    Yield every contradiction of a table, as one sentence each.

    Args:
        process: A process, as far as it follows from its table.
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
    yield from _unsettled(process)


def of_policies(process: Any) -> Iterable[str]:
    """
    Yield every contradiction between a sound table and the policies, as one sentence
    each.
    """
    known = set(process.members)
    unknown = [
        f"policy {subject}: unknown state {name!r}"
        for subject, names in _state_names(process.policies.canonical)
        for name in sorted(names - known)
    ]
    yield from unknown
    if unknown:
        return
    yield from _unheeded(process)
    steps = _system_steps(process)
    yield from _endless(steps)
    yield from _held(process, steps)


def armed(process: Any, kind: DeadlineKind) -> bool:
    """
    Whether the policies of a process ever arm this kind of deadline.
    """
    return not kind.needs or _chosen(process, kind.needs)


# --- the table --------------------------------------------------------------------


def _unknown_names(process: Any) -> Iterator[str]:
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


def _shadowed(process: Any) -> Iterator[str]:
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


def _shapeless(process: Any) -> Iterator[str]:
    """
    What is no attrs class has no fields that anybody could keep or compare.
    """
    kinds: list[type] = [row.command for row in process.rows]
    for kind in dict.fromkeys((*kinds, *process.events)):
        if "__attrs_attrs__" not in vars(kind):
            yield f"{kind.__name__}: decorate it with @attrs.frozen(kw_only=True)"


def _undecided(process: Any) -> Iterator[str]:
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
        if not own and not getattr(decision, "version", None):
            yield f"{decision.command.name}: a decision of your own needs `version`"


def _unreachable(process: Any) -> Iterator[str]:
    leaving: dict[str, set[str]] = {}
    for step in process.steps:
        if step.to != step.state:
            leaving.setdefault(step.state, set()).add(step.to)
    for row in process.rows:
        if row.goes_back:
            for state in row.states:
                if not process.remembered(state):
                    yield f"{row.command.name} in {state}: nothing to go back to"
    reached = {str(process.initial)}
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


def _unsettled(process: Any) -> Iterator[str]:
    """
    What leads into an ending divides what is held, and nothing else does.
    """
    for row in process.rows:
        into = sorted(str(to) for to in row.to.values() if to in process.endings)
        if into and not row.settles:
            yield f"{row.command.name} leads to {', '.join(into)} and leaves money held"
        if row.settles and not into:
            yield f"{row.command.name} settles, and yet the order goes on"
    for gap in process.gaps:
        if not gap.reason:
            yield f"gap {gap.code} at {gap.where}: give the reason"


# --- the table under its policies -------------------------------------------------


def _state_names(canonical: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """
    Yield the fields of policies that name states, with what they name.
    """
    for subject, policy in canonical.items():
        for field, value in policy.items():
            if field.endswith("_states"):
                yield f"{subject}.{field}", set(value)


def _chosen(process: Any, needs: str) -> bool:
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


def _unheeded(process: Any) -> Iterator[str]:
    for needs, name in _ARMED_BY.items():
        if name not in process.kinds and _chosen(process, needs):
            yield f"{needs} needs a deadline {name!r}: `recommended` has one"


def _system_steps(process: Any) -> dict[str, set[str]]:
    """
    Return where deadlines that are armed move an order, by state.
    """
    running = {
        (kind.command, state)
        for kind in process.deadlines
        if armed(process, kind)
        for state in map(str, kind.runs)
    }
    steps: dict[str, set[str]] = {}
    for step in process.steps:
        if (
            step.to != step.state
            and Role.SYSTEM in step.row.by
            and (step.row.command, step.state) in running
        ):
            steps.setdefault(step.state, set()).add(step.to)
    return steps


def _endless(steps: Mapping[str, set[str]]) -> Iterator[str]:
    for start in steps:
        reached = set(steps[start])
        while more := {to for at in reached for to in steps.get(at, ())} - reached:
            reached |= more
        if start in reached:
            yield f"deadlines lead from {start} round and back, for ever"


def _held(process: Any, steps: Mapping[str, set[str]]) -> Iterator[str]:
    """
    Money is held in every state that is no ending: each must end by itself, or
    the process declares that it does not.
    """
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
