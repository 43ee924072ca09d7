"""
The checker: what a process can never do, shown by walking all that it can.

    report = check(comeup())
    for finding in report.findings:
        print(finding.message())
        print(finding.story.text())

- Every configuration that people and time can bring about is explored, with the code
  that runs: each party acts at once, in the last microsecond before a deadline, or
  never.
- What is found is told with the shortest story that leads there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

import attrs

from ..commands import Command, PlaceOrder
from ..errors import EscrowflowError, InvalidInputError
from ..inputs import FrozenDict, kind_of
from ..money import Money
from ..order import Order
from ..parties import Role
from ..rules import Policies
from ..states import Process, Urgency
from ..terms import Terms
from . import traps, ways
from .configurations import Abstraction
from .exploring import OTHER, START, Edge, Graph, Node, explored
from .reports import Finding, Report
from .shrinking import shrunk
from .stories import Step, Story, told

__all__ = [
    "CONFIGURATIONS_MAX",
    "Finding",
    "Report",
    "Step",
    "Story",
    "check",
    "reported",
]

# Enough for any process of the size of the built-in ones, three times over.
CONFIGURATIONS_MAX: Final = 20_000

_PARTIES: Final = (Role.BUYER, Role.SELLER)


def check(
    process: Process[Policies],
    *,
    order: PlaceOrder | None = None,
    most: int = CONFIGURATIONS_MAX,
    apart_by: Callable[[Order], Hashable] | None = None,
    against: Process[Policies] | None = None,
) -> Report:
    """
    Return what is found about a process, by walking all that its orders can come to.

    Args:
        order: How an order begins; one of 100 euros, five days to deliver, if it is
            not said.  Terms decide: check those that you offer.

        most: How many configurations are explored at most.

        apart_by: What decisions or policies of yours ask of an order that no other
            process would: orders of which it says something else are told apart.

        against: Another process, such as the one before a change: each way out of a
            state with money that somebody has there, and has no more here, is told.

    Raises:
        InvalidInputError: If it is no process, or the order cannot be placed.
    """
    for name, one in (("process", process), ("against", against)):
        if not isinstance(one, Process) and (one is not None or name == "process"):
            raise InvalidInputError(name, f"a Process, not {kind_of(one)}")
    if type(most) is not int or most < 1:
        raise InvalidInputError("most", "a positive whole number")
    placed = _USUAL if order is None else order
    if not isinstance(placed, PlaceOrder):
        raise InvalidInputError("order", f"a PlaceOrder, not {kind_of(placed)}")
    before = None if against is None else explored(against, placed, most, apart_by)
    return reported(explored(process, placed, most, apart_by), before)


def reported(graph: Graph, before: Graph | None = None) -> Report:
    """
    Return what is read off all that was explored.

    Args:
        before: All that was explored of the process it is held against.
    """
    checker = _Checker(graph, before)
    findings = sorted(
        map(checker.weighed, checker.findings()),
        key=lambda one: (_SEVERITIES.index(one.severity), one.code, one.where),
    )
    return Report(
        process=graph.process.fingerprint,
        findings=tuple(findings),
        configurations=len(graph.nodes),
        moves=sum(len(node.edges) for node in graph.nodes),
        complete=graph.complete and (before is None or before.complete),
        rests_within=checker.rests_within(),
        lives_within=checker.lives_within(),
    )


_SEVERITIES: Final = ("error", "declared", "note")

_USUAL: Final = PlaceOrder(
    seller_id="luc",
    price=Money.of("100.00", "EUR"),
    payment=(),
    terms=Terms(delivery_window=timedelta(days=5)),
)


class _Checker:
    """
    What is read off a graph.
    """

    def __init__(self, graph: Graph, before: Graph | None) -> None:
        self.process = graph.process
        self.graph = graph
        self.before = before
        self.abstraction = Abstraction(graph.process)
        self.rests = _rests(graph, self.abstraction)

    def weighed(self, finding: Finding) -> Finding:
        """
        Return a finding as declared, if the process declares it.
        """
        for gap in self.process.gaps:
            if (gap.code, gap.where) == (finding.code, finding.where):
                params = FrozenDict(finding.params, reason=gap.reason)
                return attrs.evolve(finding, severity="declared", params=params)
        return finding

    def story(self, number: int, *more: Edge) -> Story:
        """
        Return the shortest story to a configuration, and on.
        """
        way = (*self.graph.path(number), *more)
        return told(self.process, self.graph.placed, way)

    def findings(self) -> Iterator[Finding]:
        """
        Yield everything that is found.
        """
        for graph in (self.graph, self.before):
            if graph is not None and not graph.complete:
                yield Finding(
                    code="too_large",
                    where=graph.process.name,
                    params={"count": len(graph.nodes)},
                )
        yield from self._faults()
        yield from self._trapped_money()
        yield from self._stuck()
        yield from self._forgotten()
        yield from self._mute()
        yield from self._at_mercy()
        yield from self._unheard()
        yield from self._lost_ways()
        yield from self._kept()
        yield from self._impossible()
        yield from self._unexplored()
        yield from self._rounds()
        yield from self._kept_open()
        yield from self._dying_claims()
        yield from self._to_the_platform()
        yield from self._trapped()
        yield from self._ruled()

    # --- money --------------------------------------------------------------------

    def _faults(self) -> Iterator[Finding]:
        """
        Yield decisions that raise: an ending that keeps money, deadlines in a circle.
        """
        seen = set()
        for fault in self.graph.faults:
            command = fault.edge.command
            name = "" if command is None else command.name
            state = self.graph.nodes[fault.node].configuration.state
            if (state, name) not in seen:
                seen.add((state, name))
                told = command is not None or fault.edge.when != "now"
                yield Finding(
                    code="decision_fails" if told else "options_fail",
                    where=state,
                    params={
                        "command": name or None,
                        "state": state,
                        "error": _said_by(fault.error),
                    },
                    story=self.story(fault.node),
                )

    def _trapped_money(self) -> Iterator[Finding]:
        """
        Yield the states in which money is held and that no ending can be reached from,
        whoever acts, and however long one waits.
        """
        if not self._is_whole():
            return
        into: dict[int, list[int]] = {}
        for node in self.graph.nodes:
            for edge in node.edges:
                into.setdefault(edge.to, []).append(node.number)
        over = (node.number for node in self.graph.nodes if node.over)
        ends = ways.leading_to(over, into)
        for node in _first(
            node
            for node in self.graph.nodes
            if node.configuration.held
            # With a side matter only what it makes possible was tried.
            and not node.configuration.matters
            and node.number not in ends
        ):
            yield Finding(
                code="no_exit",
                where=node.configuration.state,
                params={"state": node.configuration.state},
                story=self.story(node.number),
            )

    def _stuck(self) -> Iterator[Finding]:
        """
        Yield the states in which money is held, and from which nothing leads by
        itself.
        """
        broken = {fault.node for fault in self.graph.faults}
        for node in _first(
            node
            for node in self._holding()
            if node.number not in broken and self._rests_here(node)
        ):
            yield Finding(
                code="no_timed_exit",
                where=node.configuration.state,
                params={"state": node.configuration.state},
                story=self.story(node.number),
            )

    def _rests_here(self, node: Node) -> bool:
        """
        Whether an order stays in a configuration for ever, or comes back to it, if
        nobody acts.
        """
        if self.rests[node.number] is not None:
            return False
        seen: set[int] = set()
        number = node.number
        while number not in seen:
            seen.add(number)
            waits = [e.to for e in self.graph.nodes[number].edges if e.when == "wait"]
            if not waits:
                return number == node.number and number not in self.graph.cut
            number = waits[0]
        return number == node.number

    def _stays(self, number: int) -> bool:
        """
        Whether an order is known never to end from a configuration on, if nobody acts.
        """
        if self.rests[number] is not None:
            return False
        seen: set[int] = set()
        while number not in seen:
            seen.add(number)
            waits = [e.to for e in self.graph.nodes[number].edges if e.when == "wait"]
            if not waits:
                return number not in self.graph.cut
            number = waits[0]
        return True

    def _forgotten(self) -> Iterator[Finding]:
        """
        Yield the states of a paid order that its longest life does not reach, nor
        stands still in.
        """
        for kind in self.process.deadlines:
            if kind.urgency is not Urgency.EXPIRY or not self.process.armed(kind):
                continue
            kept = {str(at) for at in (*kind.runs, *kind.stops, *kind.sleeps)}
            for node in _first(
                node
                for node in self.graph.nodes
                if node.order.paid_at is not None
                and not node.over
                and node.configuration.state not in kept
            ):
                yield Finding(
                    code="life_forgotten",
                    where=node.configuration.state,
                    params={"state": node.configuration.state, "deadline": kind.name},
                    story=self.story(node.number),
                )

    def _mute(self) -> Iterator[Finding]:
        """
        Yield the states in which money is held, and time decides where it goes before
        either side can do anything again.
        """
        for node in _first(node for node in self._holding() if self._speechless(node)):
            way = self._waiting(node)
            yield Finding(
                code="mute_state",
                where=node.configuration.state,
                params={
                    "state": node.configuration.state,
                    "window": self.rests[node.number],
                    "cause": self.graph.nodes[way[-1].to].configuration.cause,
                },
                story=self.story(node.number, *way),
            )

    def _waiting(self, node: Node) -> list[Edge]:
        """
        Return what time does from a configuration on, if it ends the order.
        """
        way: list[Edge] = []
        while not node.over and self.rests[node.number] is not None:
            waits = [edge for edge in node.edges if edge.when == "wait"]
            if not waits:
                return []
            way += waits
            node = self.graph.nodes[waits[0].to]
        return way

    def _speechless(self, node: Node) -> bool:
        """
        Whether time ends an order, and neither side can do anything before.
        """
        on = [node, *(self.graph.nodes[edge.to] for edge in self._waiting(node))]
        return on[-1].over and not any(
            role in _PARTIES for one in on[:-1] for role, _ in one.allowed
        )

    # --- ways out -----------------------------------------------------------------

    def _at_mercy(self) -> Iterator[Finding]:
        """
        Yield the states in which money is held for as long as one side keeps silent,
        whatever the other one does.
        """
        if not self._is_whole():
            return
        left_by = ways.left_by(self.graph)
        for party in _PARTIES:
            out = ways.out_of(self.graph, party)
            for node in _first(
                node
                for node in self._holding()
                if node.number not in out
                # With a side matter only what it makes possible was tried.
                and not node.configuration.matters
                # Where neither side leads out, it is not up to the other one.
                and OTHER[party] in left_by.get(node.configuration.state, ())
            ):
                state = node.configuration.state
                yield Finding(
                    code="at_mercy",
                    where=f"{party.text} in {state}",
                    params={
                        "role": party.text,
                        "other": OTHER[party].text,
                        "state": state,
                    },
                    story=self.story(node.number),
                )

    def _unheard(self) -> Iterator[Finding]:
        """
        Yield the states in which a claim can be open, and no mediator can decide it.
        """
        if not self._is_whole():
            return
        out = ways.out_of(self.graph, Role.MEDIATOR)
        decided = ways.decided_in(self.graph)
        for node in _first(
            node
            for node in self._holding()
            if node.configuration.claim
            and node.number not in out
            # Beside another matter only what that one makes possible was tried.
            and not (node.configuration.matters and "claim" in node.configuration.main)
            # Staff decides there.
            and node.configuration.state not in decided
        ):
            yield Finding(
                code="claim_unheard",
                where=node.configuration.state,
                params={"state": node.configuration.state},
                story=self.story(node.number),
            )

    def _lost_ways(self) -> Iterator[Finding]:
        """
        Yield the ways out of states with money that somebody had in the process this
        one is held against, and has no more.

        It is an error if nothing else is left to him there, nor does time lead out.
        """
        if self.before is None or not self._is_whole():
            return
        present = ways.ways_out(self.graph)
        for (state, role), had in ways.ways_out(self.before).items():
            has = present.get((state, role))
            gone = [way for name, way in had.items() if name not in (has or ())]
            # An order that never gets there has nothing to leave.
            if has is None or not gone:
                continue
            names = tuple(way.name for way in gone)
            waits = tuple(present[state, None])
            who = "time" if role is None else role.text
            params = {"state": state, "waits": waits or None}
            if role is None:
                params["deadlines"] = names
            else:
                params |= {"role": who, "commands": names, "left": tuple(has) or None}
            story = told(
                self.before.process,
                self.before.placed,
                (*self.before.path(gone[0].node), gone[0].edge),
            )
            yield Finding(
                code="way_lost",
                where=f"{who} in {state}",
                severity="note" if has or waits else "error",
                params=params,
                story=story,
            )

    def _is_whole(self) -> bool:
        """
        Whether all that comes after anything is known: what fails, and is declared to,
        leads nowhere.
        """
        return self.graph.complete and all(
            self.weighed(fault).severity == "declared" for fault in self._faults()
        )

    def _holding(self) -> Iterator[Node]:
        """
        Yield the configurations in which money is held.
        """
        for node in self.graph.nodes:
            if node.configuration.held and not node.over:
                yield node

    # --- the books ----------------------------------------------------------------

    def _kept(self) -> Iterator[Finding]:
        for node in self.graph.nodes:
            if not node.order.ledger.adds_up():
                yield Finding(
                    code="books_do_not_add_up",
                    where=node.configuration.state,
                    params={"state": node.configuration.state},
                    story=self.story(node.number),
                )
            if node.over and node.order.ledger.escrow:
                yield Finding(
                    code="ending_keeps_money",
                    where=node.configuration.state,
                    params={"state": node.configuration.state},
                    story=self.story(node.number),
                )

    def _to_the_platform(self) -> Iterator[Finding]:
        for node in _first(
            node
            for node in self.graph.nodes
            if node.over
            and not traps.decided(node)
            # Beyond the fees that the buyer paid on top.
            and node.order.ledger.kept > node.order.fees
            and not node.order.ledger.released
        ):
            yield Finding(
                code="money_to_platform",
                where=node.configuration.state,
                params={
                    "amount": node.order.ledger.kept,
                    "state": node.configuration.state,
                },
                story=self.story(node.number),
            )

    # --- the table ----------------------------------------------------------------

    def _impossible(self) -> Iterator[Finding]:
        """
        Yield the commands that nobody can ever send, and the waits that never end.
        """
        if not self._is_whole():
            return
        reached = {node.configuration.state for node in self.graph.nodes}
        sendable = {command for _, command in self.graph.possible}
        shut = {
            command
            for role in (*_PARTIES, Role.MEDIATOR, Role.OPERATOR)
            for command in self.process.commands_of(role)
            if command not in sendable
            and reached & {str(at) for at in self.process.places(command, role)}
        }
        entered = set(_entered(self.process, shut))
        for role in (*_PARTIES, Role.MEDIATOR, Role.OPERATOR):
            for command in self.process.commands_of(role):
                if (role, command) in self.graph.possible:
                    continue
                places = {str(at) for at in self.process.places(command, role)}
                # What the policies close, here or on every way there, is their choice.
                closed = places & reached or not places & entered
                yield Finding(
                    code="closed_command" if closed else "impossible_command",
                    where=command.name,
                    severity="note" if closed else "error",
                    params={"command": command.name, "role": role.text},
                )
        ended = {
            name
            for node in self.graph.nodes
            for edge in node.edges
            for name in edge.ended
        }
        armed = {
            wait.name for node in self.graph.nodes for wait in node.configuration.waits
        }
        for name in sorted(armed - ended):
            yield Finding(code="idle_deadline", where=name, params={"deadline": name})

    def _unexplored(self) -> Iterator[Finding]:
        """
        Yield a host's own commands that could not be tried.
        """
        for command in sorted(self.graph.skipped, key=lambda one: one.name):
            yield Finding(
                code="unexplored_command",
                where=command.name,
                params={"command": command.name},
            )

    def _rounds(self) -> Iterator[Finding]:
        """
        Yield the states by which the two sides go round as long as they like, and
        leave a configuration from which the order would have ended by itself.
        """
        nodes = self.graph.nodes
        rounds = _circles(self.graph)
        seen = set()
        for node in nodes:
            if self.rests[node.number] is None or node.configuration.lives:
                continue
            for edge in node.edges:
                target = nodes[edge.to]
                if (
                    edge.by in _PARTIES
                    and rounds[edge.to] == rounds[node.number]
                    and self._stays(edge.to)
                    and target.configuration.state not in seen
                ):
                    seen.add(target.configuration.state)
                    yield Finding(
                        code="unbounded_rounds",
                        where=target.configuration.state,
                        params={"state": target.configuration.state},
                        story=self.story(node.number, edge),
                    )

    def _kept_open(self) -> Iterator[Finding]:
        """
        Yield the states by which one side alone goes round as long as it likes, and the
        other one can do nothing about it.
        """
        nodes = self.graph.nodes
        for party in _PARTIES:
            kept = ways.kept_open_by(self.graph, party)
            rounds = _circles(self.graph) if kept else []
            again = (
                (node, edge)
                for node in nodes
                if node.number in kept
                for edge in node.edges
                if edge.by is party
                and edge.to in kept
                and rounds[edge.to] == rounds[node.number]
                and (edge.when == "before" or edge.to != node.number)
            )
            for node, edge in again:
                state = nodes[edge.to].configuration.state
                yield Finding(
                    code="kept_open",
                    where=f"{party.text} in {state}",
                    params={
                        "role": party.text,
                        "other": OTHER[party].text,
                        "state": state,
                    },
                    story=self.story(node.number, edge),
                )
                break

    def _dying_claims(self) -> Iterator[Finding]:
        for node in self.graph.nodes:
            for edge in node.edges:
                after = self.graph.nodes[edge.to]
                if (
                    edge.by is None
                    and node.order.claim is not None
                    and after.over
                    and traps.lost(self.graph, after, node.order.claim.by)
                ):
                    yield Finding(
                        code="claim_dies",
                        where="claim",
                        story=self.story(node.number, edge),
                    )
                    return

    # --- the two sides ------------------------------------------------------------

    def _trapped(self) -> Iterator[Finding]:
        for party in _PARTIES:
            found = traps.losing(self.graph, party)
            shortest: dict[str, list[Edge]] = {}
            caught: dict[str, str] = {}
            for way in traps.trapped(self.graph, party, found):
                whole = [*way, *traps.way_down(self.graph, party, way[-1].to, found)]
                cause = self.graph.nodes[whole[-1].to].configuration.cause
                if cause not in shortest or len(whole) < len(shortest[cause]):
                    shortest[cause] = whole
                    caught[cause] = self._caught(party, whole, len(way) - 1)
            for cause, whole in shortest.items():
                yield Finding(
                    code="trap",
                    where=party.text,
                    params={
                        "role": party.text,
                        "state": caught[cause],
                        "cause": cause,
                    },
                    story=shrunk(told(self.process, self.graph.placed, whole), party),
                )

    def _caught(self, party: Role, way: list[Edge], since: int) -> str:
        """
        Return in which state a party is caught: where it can only watch any more what
        becomes of the money.

        Args:
            since: The move that was one too many.
        """
        since = max(n for n, e in enumerate(way) if n == since or e.by is party)
        nodes = [self.graph.nodes[edge.to] for edge in way[since:]]
        held = [node for node in nodes if node.configuration.held and not node.over]
        return (held or nodes)[0].configuration.state

    def _ruled(self) -> Iterator[Finding]:
        for node in self.graph.nodes:
            if node.over and traps.decided(node):
                yield Finding(
                    code="decided_by_mediator",
                    where=node.configuration.state,
                    severity="note",
                    story=self.story(node.number),
                )
                return

    # --- figures ------------------------------------------------------------------

    def rests_within(self) -> timedelta | None:
        """
        Return the longest it takes until an order has ended, if nobody acts any more.
        """
        held = [self.rests[node.number] for node in self._holding()]
        known = [rest for rest in held if rest is not None]
        return max(known, default=timedelta()) if len(known) == len(held) else None

    def lives_within(self) -> timedelta | None:
        """
        Return the longest an order can live, whatever people do.

        Its longest life runs, and cannot be lengthened, wherever it can be drawn out;
        where it does not run, before it begins or once it is over, nobody can make what
        is left any longer.
        """
        lifetime = self.process.policies.lifetime
        if lifetime.cap_grace is not None and lifetime.expiry_beneficiary != "mediator":
            # A ruling may give more time, again and again.
            return None
        lives: list[timedelta] = []
        before = after = timedelta()
        for node in self.graph.nodes:
            if node.over:
                continue
            life = _life(self.graph, self.abstraction, node, {})
            if life is not None:
                lives.append(life)
                continue
            rest = self.rests[node.number]
            if rest is None or self._lengthened(node, rest):
                return None
            if node.order.paid_at is None:
                before = max(before, rest)
            else:
                after = max(after, rest)
        return before + max(lives) if lives else before + after

    def _lengthened(self, node: Node, rest: timedelta) -> bool:
        """
        Whether somebody can make what is left of an order longer, where its longest
        life does not run.
        """
        nodes = self.graph.nodes
        return any(
            not nodes[edge.to].over
            and not nodes[edge.to].configuration.lives
            and nodes[edge.to].order.paid_at is not None
            and (self.rests[edge.to] or rest) > rest
            for edge in node.edges
            if edge.when != "expiry"
        )


def _entered(
    process: Process[Policies], shut: Iterable[type[Command]]
) -> Iterator[str]:
    """
    Yield the states into which a row leads that policies and terms leave open.

    Args:
        shut: The commands that they refuse wherever an order gets.
    """
    armed = {kind.command for kind in process.deadlines if process.armed(kind)}
    for row in process.rows:
        by_people = row.by & ~Role.SYSTEM
        if row.command in shut:
            continue
        if row.opened_by(process.policies) and (by_people or row.command in armed):
            for to in row.leads(process.policies).values():
                yield str(to)


def _said_by(error: Exception) -> str:
    """
    Return what an error says, as the part of a sentence.
    """
    said = str(error).removesuffix(".")
    if isinstance(error, EscrowflowError):
        return said
    return f"{type(error).__name__}: {said}"


def _first(nodes: Iterable[Node]) -> Iterator[Node]:
    """
    Yield the first of the configurations in each state: its story is the shortest.
    """
    seen = set()
    for node in nodes:
        if node.configuration.state not in seen:
            seen.add(node.configuration.state)
            yield node


def _rests(graph: Graph, abstraction: Abstraction) -> list[timedelta | None]:
    """
    Return how long each configuration takes to end if nobody acts; `None`: for ever.
    """
    found: dict[int, timedelta | None] = {}
    for node in graph.nodes:
        _rest(graph, abstraction, node.number, found)
    return [found[node.number] for node in graph.nodes]


def _rest(
    graph: Graph,
    abstraction: Abstraction,
    number: int,
    found: dict[int, timedelta | None],
) -> timedelta | None:
    way = []
    seen = set()
    start = number
    while number not in found and number not in seen:
        here = graph.nodes[number]
        seen.add(number)
        way.append(number)
        if here.over:
            found[number] = timedelta()
            break
        waits = [edge.to for edge in here.edges if edge.when == "wait"]
        if not waits:
            found[number] = _life(graph, abstraction, here, found)
            break
        number = waits[0]
    # A circle of waits never ends.
    found.setdefault(number, None)
    for before in reversed(way):
        if before in found:
            continue
        here = graph.nodes[before]
        (after,) = (edge.to for edge in here.edges if edge.when == "wait")
        rest = found[after]
        seconds = min(
            wait.seconds for wait in here.configuration.waits if wait.how == "runs"
        )
        if rest is not None:
            rest += timedelta(seconds=seconds)
            life = _life(graph, abstraction, here, found)
            rest = rest if life is None else min(rest, life)
        found[before] = rest
    return found[start]


def _life(
    graph: Graph,
    abstraction: Abstraction,
    node: Node,
    found: dict[int, timedelta | None],
) -> timedelta | None:
    """
    Return how long an order can still take that lives as long as it may: from its
    beginning, and what comes after; `None` if nothing ends its life.
    """
    life = abstraction.life(node.order)
    ends = [edge.to for edge in node.edges if edge.when == "expiry"]
    if life is None or not ends:
        return None
    # What follows does not live on: it cannot lead back here.
    after = _rest(graph, abstraction, ends[0], found)
    return None if after is None else datetime.__sub__(life.due_at, START) + after


def _circles(graph: Graph) -> list[int]:
    """
    Return for each configuration the number of its circle: those that lead to each
    other by what the two sides and time do.  (Tarjan's strongly connected components,
    without recursion.)
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    circle = [0] * len(graph.nodes)
    stack: list[int] = []
    waiting: set[int] = set()
    after = [
        [edge.to for edge in node.edges if edge.by is None or edge.by in _PARTIES]
        for node in graph.nodes
    ]
    for start in range(len(graph.nodes)):
        if start in index:
            continue
        work = [(start, 0)]
        while work:
            number, place = work.pop()
            if place == 0:
                index[number] = low[number] = len(index)
                stack.append(number)
                waiting.add(number)
            for position in range(place, len(after[number])):
                to = after[number][position]
                if to not in index:
                    work += [(number, position + 1), (to, 0)]
                    break
                if to in waiting:
                    low[number] = min(low[number], index[to])
            else:
                if low[number] == index[number]:
                    while True:
                        member = stack.pop()
                        waiting.discard(member)
                        circle[member] = number
                        if member == number:
                            break
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[number])
    return circle
