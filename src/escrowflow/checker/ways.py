"""
Ways out: how somebody, with nobody's help but that of time, gets an order on its way
that holds money.

- Somebody *gets out* of a configuration if he and time alone can bring the order to an
  ending; a side, or staff, does, too, if they bring it before those who decide.
- *Those who decide* are mediators and staff, in the states that they lead out of, and
  neither side does.
- A *way out* of a state is a command of his, or a deadline, that leads into another
  state, from which he still gets out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from ..commands import Command
from ..parties import Role
from ..states import STAY
from .exploring import OTHER, Edge, Graph, Node

__all__ = ["SOMEBODY", "Place", "Way", "decided_in", "left_by", "out_of", "ways_out"]

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
    todo = [
        node.number
        for node in graph.nodes
        if node.over or node.configuration.state in decided
    ]
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
