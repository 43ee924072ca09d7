"""
Ways out: how somebody, with nobody's help but that of time, gets an order on its way
that holds money.

- Somebody *gets out* of a configuration if he and time alone can bring the order to an
  ending; a side, or staff, does, too, if they bring it before those who decide.
- *Those who decide* are mediators and staff, in the states that they lead out of, and
  neither side does.
- A *way out* of a state is a command of his, or a deadline, that leads into another
  state, from which he still gets out.
- A side *keeps an order open* if it can let time pass for ever, by what it does again
  and again, and the other side, whenever it acts, does not get out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from ..commands import Command
from ..parties import Role
from ..states import STAY
from .exploring import OTHER, Edge, Graph, Node

__all__ = [
    "SOMEBODY",
    "Place",
    "Way",
    "decided_in",
    "kept_open_by",
    "leading_to",
    "left_by",
    "out_of",
    "ways_out",
]

# Who may have a way out; `None`: time.
SOMEBODY: Final = (Role.BUYER, Role.SELLER, Role.MEDIATOR, Role.OPERATOR, None)

# A state in which money is held, and who gets out of it; `None`: time.
Place: TypeAlias = tuple[str, Role | None]


class Way(NamedTuple):
    """
    A way out of a state.

    Attributes:
        name: What it is: the name of a command, or of a deadline.

        node: The first configuration that it leads out of.

        edge: How.
    """

    name: str
    node: int
    edge: Edge


def _leaves(graph: Graph, node: Node, edge: Edge) -> bool:
    return graph.nodes[edge.to].configuration.state != node.configuration.state


def left_by(graph: Graph) -> dict[str, set[Role | None]]:
    """
    Return who leads out of each state that anything leads out of.
    """
    found: dict[str, set[Role | None]] = {}
    for node in graph.nodes:
        for edge in node.edges:
            if _leaves(graph, node, edge):
                found.setdefault(node.configuration.state, set()).add(edge.by)
    return found


def decided_in(graph: Graph) -> frozenset[str]:
    """
    Return the states in which a mediator or staff decides, and neither side can.
    """
    return frozenset(
        state
        for state, roles in left_by(graph).items()
        if roles & {Role.MEDIATOR, Role.OPERATOR} and not roles & OTHER.keys()
    )


def out_of(graph: Graph, role: Role | None) -> frozenset[int]:
    """
    Return the configurations that somebody gets out of.

    Args:
        role: Who; `None`: time, and nobody.
    """
    alone = role is None or role is Role.MEDIATOR
    decided = frozenset() if alone else decided_in(graph)
    before: dict[int, list[int]] = {}
    for node in graph.nodes:
        for edge in node.edges:
            if edge.by is None or edge.by is role:
                before.setdefault(edge.to, []).append(node.number)
    out = (
        node.number
        for node in graph.nodes
        if node.over or node.configuration.state in decided
    )
    return leading_to(out, before)


def leading_to(
    ends: Iterable[int], before: Mapping[int, Collection[int]]
) -> frozenset[int]:
    """
    Return the configurations from which one of some is come to, and these.

    Args:
        before: From where each is come to at once.
    """
    todo = list(ends)
    found = set(todo)
    while todo:
        for number in before.get(todo.pop(), ()):
            if number not in found:
                found.add(number)
                todo.append(number)
    return frozenset(found)


def ways_out(graph: Graph) -> dict[Place, dict[str, Way]]:
    """
    Return the ways out of each state in which money is held, by their names.
    """
    found: dict[Place, dict[str, Way]] = {}
    for role in SOMEBODY:
        out = out_of(graph, role)
        for node in graph.nodes:
            if node.over or not node.configuration.held:
                continue
            ways = found.setdefault((node.configuration.state, role), {})
            for edge in node.edges:
                leads = edge.by is role and edge.to in out
                if leads and _leaves(graph, node, edge):
                    for name in _names(graph, node, edge):
                        ways.setdefault(name, Way(name, node.number, edge))
    return found


def _names(graph: Graph, node: Node, edge: Edge) -> Iterator[str]:
    """
    Yield what leads out, by its name: what is done in the last second need not be it.
    """
    process, state = graph.process, node.configuration.state
    done: list[tuple[str, type[Command], Role]] = []
    if edge.by is not None and edge.command is not None:
        done.append((edge.command.name, type(edge.command), edge.by))
    else:
        done += (
            (name, process.kinds[name].command, Role.SYSTEM)
            for name in sorted(edge.ended)
        )
    for name, command, role in done:
        row = process.row(state, command, role)
        if row is not None and any(
            to is not STAY for to in row.leads(process.policies).values()
        ):
            yield name


# --- keeping an order open --------------------------------------------------------


def kept_open_by(graph: Graph, party: Role) -> frozenset[int]:
    """
    Return the configurations with money in which a side keeps an order open: whatever
    the other one does, and in spite of every deadline.

    What is left out, or raises, might end it: those are not counted.
    """
    decided = decided_in(graph)
    unknown = graph.cut | {fault.node for fault in graph.faults}
    kept = frozenset(
        node.number
        for node in graph.nodes
        if node.configuration.held
        and not node.over
        and not node.configuration.lives
        and not node.configuration.matters
        and node.configuration.state not in decided
        and node.number not in unknown
    )
    while (still := _lasting(graph, party, kept)) != kept:
        kept = still
    return kept


def _lasting(graph: Graph, party: Role, kept: frozenset[int]) -> frozenset[int]:
    """
    Return those of some configurations from which a side can let time pass once more,
    and come to one of them.
    """
    todo: list[int] = []
    # From where the side comes at once to where time passes.
    before: dict[int, set[int]] = {}
    for number in kept:
        node = graph.nodes[number]
        waits = {edge.to for edge in node.edges if edge.when == "wait"}
        out = [
            edge
            for edge in node.edges
            if edge.by is OTHER[party]
            and edge.to not in kept
            # In the last second, what changes nothing is as good as waiting.
            and (edge.when == "now" or edge.to not in waits)
            and not graph.nodes[edge.to].configuration.matters
        ]
        if any(edge.when == "now" for edge in out):
            continue
        # What the other side could still do in the last second.
        last = {type(edge.command) for edge in out}
        for edge in node.edges:
            if edge.to not in kept:
                continue
            if edge.by is party and edge.when == "now":
                before.setdefault(edge.to, set()).add(number)
            elif (edge.when == "wait" and not last) or (
                edge.by is party and edge.when == "before" and not last & edge.leaves
            ):
                todo.append(number)
    return leading_to(todo, before)
