"""
Traps: a party that does its part in time, and cannot keep the other side, or silence,
from costing it money.

A game on the graph of configurations, for each party by itself:

- *Lost* is an order that ended, without a mediator's ruling or the default one, with
  money gone that was the party's: the seller's once he accepted (where sellers do not,
  once it was paid), the buyer's always.
  Consent is no way out: who can only agree to lose has lost.
- A configuration is *losing* if the other side can act at once and the party loses; or
  if the party can do nothing at once that saves it, and the other side's last second,
  or the next deadline, loses.  Mediators and staff are not counted on, nor against.
- A *trap* is a losing configuration that the party came to in time: none of its own
  deadlines ended while it could have met them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from ..commands import Command, DefaultRuling, RuleDispute
from ..errors import LedgerError
from ..parties import Role
from .exploring import OTHER, Edge, Graph, Node

__all__ = ["decided", "losing", "lost", "trapped", "way_down"]

# What a mediator decides, or was agreed for the case that none does.
_RULINGS: Final = (RuleDispute.name, DefaultRuling.name)


def decided(node: Node) -> bool:
    """
    Whether an order was ended by a ruling.
    """
    ending = node.order.ending
    return ending is not None and ending.trigger in _RULINGS


def lost(graph: Graph, node: Node, party: Role) -> bool:
    """
    Whether an order ended with money gone that was the party's.
    """
    order = node.order
    if order.ending is None or decided(node) or node.via is None:
        return False
    ledger = order.ledger
    if party is Role.SELLER:
        bound_at = order.accepted_at if graph.accepts else order.paid_at
        return bound_at is not None and not ledger.released
    return bool(ledger.released) or bool(ledger.kept)


def _edges(graph: Graph, node: Node, *, aside: bool = False) -> Iterator[Edge]:
    """
    Yield what changes the course of an order: no longest life, and no side matters.

    Args:
        aside: Side matters, too.
    """
    waits = {edge.to for edge in node.edges if edge.when == "wait"}
    for edge in node.edges:
        if edge.when == "expiry":
            continue
        if graph.nodes[edge.to].configuration.matters and not aside:
            continue
        # In the last second, what changes nothing is as good as waiting.
        if edge.to != node.number and (edge.when != "before" or edge.to not in waits):
            yield edge


class _Game:
    """
    The configurations in which a party loses, whatever it does.
    """

    def __init__(self, graph: Graph, party: Role) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.party = party
        self.other = OTHER[party]
        self.into: dict[int, set[int]] = {}
        for node in graph.nodes:
            for edge in _edges(graph, node):
                self.into.setdefault(edge.to, set()).add(node.number)
        self.found: dict[int, int] = {}

    def solve(self) -> dict[int, int]:
        """
        Return the losing configurations, each with how far the loss is.
        """
        queue = deque(
            node.number for node in self.nodes if lost(self.graph, node, self.party)
        )
        self.found = dict.fromkeys(queue, 0)
        while queue:
            for before in self.into.get(queue.popleft(), ()):
                if before in self.found:
                    continue
                steps = self._loses(self.nodes[before])
                if steps is not None:
                    self.found[before] = steps
                    queue.append(before)
        return self.found

    def _loses(self, node: Node) -> int | None:
        """
        Return how far the loss is; `None` if the party can keep off it.
        """
        # What was left out might save it, or was tried without the side matter.
        if node.over or node.number in self.graph.cut or node.configuration.matters:
            return None
        edges = list(_edges(self.graph, node))
        mine = [edge for edge in edges if edge.by is self.party]
        saves = [edge for edge in mine if edge.to not in self.found]
        # What would still save it in the last second.
        last = {type(edge.command) for edge in saves if edge.when == "before"}
        # And before that.
        meanwhile = any(edge.when == "later" for edge in saves)
        loses: list[tuple[bool, int]] = []
        for edge in edges:
            if edge.by not in (None, self.other) or edge.to not in self.found:
                continue
            answered: object = edge.when == "wait" and (last or meanwhile)
            if edge.when == "before":
                answered = last & edge.leaves or meanwhile
            if not answered:
                loses.append((edge.when == "now", self.found[edge.to] + 1))
        if any(edge.when == "now" for edge in saves):
            loses = [one for one in loses if one[0]]
        return min((steps for _, steps in loses), default=None)


def losing(graph: Graph, party: Role) -> dict[int, int]:
    """
    Return the configurations in which a party loses whatever it does, each with how
    many steps the loss is away at least.
    """
    return _Game(graph, party).solve()


def trapped(graph: Graph, party: Role, found: dict[int, int]) -> Iterator[list[Edge]]:
    """
    Yield the shortest ways into traps: one for each state a party is caught in, and
    each thing that catches it.
    """
    seen = {0}
    queue: deque[tuple[int, tuple[Edge, ...]]] = deque([(0, ())])
    caught: set[tuple[str, str, str]] = set()
    while queue:
        number, way = queue.popleft()
        node = graph.nodes[number]
        if number in found and way:
            last = way[-1]
            name = "" if last.command is None else last.command.name
            kind = (node.configuration.state, name, last.when)
            if not node.over and kind not in caught:
                caught.add(kind)
                yield list(way)
            continue
        if number in graph.cut:
            # What was left out might have met a deadline.
            continue
        for edge in _in_time(graph, node, party):
            if edge.to not in seen:
                seen.add(edge.to)
                queue.append((edge.to, (*way, edge)))


def _in_time(graph: Graph, node: Node, party: Role) -> Iterator[Edge]:
    """
    Yield what leads away from a configuration without staff, without the party's
    consent to the end, and without that it lets a deadline of its own run out.

    The two sides may begin a side matter and be done with it: what it leaves behind,
    such as a later date, can catch somebody.
    """
    nodes = graph.nodes
    kinds = graph.process.kinds
    meets = _meets(graph, node, party)
    for edge in _edges(graph, node, aside=True):
        if edge.by in (Role.MEDIATOR, Role.OPERATOR):
            continue
        aside = node.configuration.matters or nodes[edge.to].configuration.matters
        if aside and (edge.when != "now" or edge.by is None):
            continue
        if edge.by is party and graph.nodes[edge.to].over:
            continue
        if any(
            party in kinds[name].awaits and _could_meet(meets, edge, name, party)
            for name in edge.ended
        ):
            continue
        yield edge


def _meets(graph: Graph, node: Node, party: Role) -> dict[str, set[type[Command]]]:
    """
    Return what a party could still do here in the last second, by the deadline it
    would meet.
    """
    # Of two that end at one instant, one may keep the other from it; what somebody does
    # in the last second need not.
    ends = {name for edge in node.edges if edge.when != "now" for name in edge.ended}
    found: dict[str, set[type[Command]]] = {name: set() for name in ends}
    for edge in node.edges:
        in_time = edge.when in ("before", "later")
        if edge.by is not party or not in_time or edge.command is None:
            continue
        # Who can only agree to lose cannot meet it.
        if not lost(graph, graph.nodes[edge.to], party):
            for name in ends - edge.ended:
                found[name].add(type(edge.command))
    return found


def _could_meet(
    meets: dict[str, set[type[Command]]], edge: Edge, name: str, party: Role
) -> bool:
    """
    Whether a party could still have met a deadline that ended.
    """
    found = meets.get(name, set())
    if edge.by is None or edge.by is party:
        return bool(found)
    return bool(found & edge.leaves)


def way_down(
    graph: Graph, party: Role, number: int, found: dict[int, int]
) -> list[Edge]:
    """
    Return how the party loses from a losing configuration on, the shortest way: one on
    which it meets all that it can meet, if there is one.
    """
    for edges in (_in_time, _against):
        seen = {number}
        queue: deque[tuple[int, tuple[Edge, ...]]] = deque([(number, ())])
        while queue:
            here, way = queue.popleft()
            if not found[here]:
                return list(way)
            for edge in edges(graph, graph.nodes[here], party):
                if edge.to in found and edge.to not in seen:
                    seen.add(edge.to)
                    queue.append((edge.to, (*way, edge)))
    raise LedgerError("a losing configuration leads to no loss")


def _against(graph: Graph, node: Node, party: Role) -> Iterator[Edge]:
    """
    Yield what the other side and time can do: they alone bring the loss about.
    """
    for edge in _edges(graph, node):
        if edge.by in (None, OTHER[party]):
            yield edge
