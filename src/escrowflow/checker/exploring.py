"""
Exploring: every configuration that people and time can bring about.

In each one, everybody tries everything he may do: at once, and in the last microsecond
before the next deadline, so that nobody can answer in time; and nobody does anything.
The code that decides is the one that runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import as_utc
from ..commands import (
    Command,
    ConfirmPayment,
    PlaceOrder,
    ReportCharge,
    SendOffer,
    SubmitBrief,
)
from ..decisions import Option, next_due, place
from ..decisions.blockers import blockers_of
from ..decisions.case import Case
from ..decisions.settling import due_move
from ..errors import InvalidInputError, LedgerError
from ..events import Event, Recorded
from ..order import Order
from ..parties import Actor, Buyer, Mediator, Operator, Provider, Role, Seller
from ..parts import Deadline, Standing
from ..rules import Policies
from ..states import Process
from .configurations import SAYINGS, Abstraction, Configuration
from .payloads import Payloads

__all__ = [
    "OTHER",
    "START",
    "Edge",
    "Fault",
    "Graph",
    "Node",
    "When",
    "acted",
    "explored",
    "next_end",
    "people",
    "settled",
]

START: Final = as_utc("2026-06-01T08:00:00Z", "start")
# The two sides.
OTHER: Final = {Role.BUYER: Role.SELLER, Role.SELLER: Role.BUYER}

_MICROSECOND: Final = timedelta(microseconds=1)

# At once; as soon as a host's own code lets somebody, before the next deadline; just
# before that, when nobody can answer any more; or nobody does anything until it.
When: TypeAlias = Literal["now", "later", "before", "wait", "expiry"]

_PROVIDERS: Final = (ConfirmPayment, ReportCharge)


@final
@attrs.frozen
class Edge:
    """
    What leads from one configuration to another.

    Attributes:
        by: Who acts; `None`: time does.

        command: What they do; `None` if nobody does anything.

        when: When: see `When`.

        to: The number of the configuration after it.

        ended: The deadlines that ended on the way.

        leaves: Of what is done in the last second: what the other side could still do
            at that very instant.

        after: Of what is done later: how long after one came here.
    """

    by: Role | None
    command: Command | None
    when: When
    to: int
    ended: frozenset[str] = frozenset()
    leaves: frozenset[type[Command]] = frozenset()
    after: timedelta = timedelta()


@final
@attrs.define(eq=False)
class Node:
    """
    A configuration, and an order that has it.

    Attributes:
        number: Its number; 0 is where an order begins.

        configuration: What it is.

        order: An order that has it, by the shortest story.

        now: The instant.

        parent: The number of the configuration before it; -1 at the beginning.

        via: What led here.

        edges: What leads away.

        allowed: What people may do here, by role.
    """

    number: int
    configuration: Configuration
    order: Order
    now: DateTime
    parent: int = -1
    via: Edge | None = None
    edges: list[Edge] = attrs.field(factory=list)
    allowed: frozenset[tuple[Role, type[Command]]] = frozenset()

    @property
    def over(self) -> bool:
        """
        Whether the order has ended.
        """
        return self.order.ending is not None


@final
@attrs.frozen
class Fault:
    """
    What a decision may never do, and did.

    Attributes:
        node: In which configuration.

        edge: By what; it leads nowhere.

        error: What it raised.
    """

    node: int
    edge: Edge
    error: Exception


@final
@attrs.define
class Graph:
    """
    All configurations there are.

    Attributes:
        nodes: By number; shorter stories come first.

        possible: The commands that somebody could send somewhere, by role.

        faults: What decisions may never do, and did.

        accepts: Whether sellers accept orders, at some point.

        skipped: A host's own commands of which no form tells what they take.

        complete: Whether there are no more.

        cut: The configurations that lead to one that was left out, there being too
            many: what can become of them is not known.
    """

    process: Process[Policies]
    placed: PlaceOrder
    nodes: list[Node] = attrs.field(factory=list)
    possible: set[tuple[Role, type[Command]]] = attrs.field(factory=set)
    faults: list[Fault] = attrs.field(factory=list)
    accepts: bool = False
    skipped: set[type[Command]] = attrs.field(factory=set)
    complete: bool = True
    cut: set[int] = attrs.field(factory=set)

    def path(self, number: int) -> list[Edge]:
        """
        Return the shortest way to a configuration.
        """
        found: list[Edge] = []
        node = self.nodes[number]
        while node.via is not None:
            found.append(node.via)
            node = self.nodes[node.parent]
        return found[::-1]


def people(placed: PlaceOrder) -> dict[Role, Actor]:
    """
    Return everybody there is around an order.
    """
    buyer = "buyer" if placed.seller_id == "ana" else "ana"
    everybody = (
        *(Buyer(buyer), Seller(placed.seller_id)),
        *(Mediator("mia"), Operator("ops"), Provider("bank")),
    )
    return {person.role: person for person in everybody}


class _Case(Case):
    """
    A case that asks nobody to do anything: no effects are made.
    """

    __slots__ = ()

    def record(self, event: Event, standing: Standing | None = None) -> None:
        self.fold(event, standing)


@final
@attrs.frozen
class Settled:
    """
    An order with everything settled that is due.

    Attributes:
        order: The order.

        ended: The names of the deadlines that ended.

        recorded: What happened.
    """

    order: Order
    ended: frozenset[str]
    recorded: tuple[Recorded, ...]


def acted(
    process: Process[Policies], order: Order, by: Actor, command: Command, now: DateTime
) -> Case:
    """
    Return what somebody does.
    """
    case = _Case(process=process, order=order, by=by, now=now, recorded_at=now)
    case.act(command)
    return case


def settled(process: Process[Policies], order: Order, now: DateTime) -> Settled:
    """
    Return an order with everything settled that is due by an instant.

    Raises:
        LedgerError: If deadlines go round in circles.
    """
    armed_at = process.policies.time.armed_at
    ended: set[str] = set()
    recorded: list[Recorded] = []
    for _ in range(_ENDS_MAX):
        wait = _first_due(process, order, now)
        if wait is None:
            return Settled(order, frozenset(ended), tuple(recorded))
        ended.add(wait.name)
        at = armed_at(wait.due_at)
        case = due_move(process, order, at, wait, recorded_at=max(at, now), kind=_Case)
        order = case.order
        recorded += case.recorded
    raise LedgerError("deadlines without an end")


def next_end(
    process: Process[Policies], abstraction: Abstraction, order: Order
) -> DateTime | None:
    """
    Return when the next deadline ends that can change the course of an order.
    """
    armed_at = process.policies.time.armed_at
    ends = [armed_at(wait.due_at) for wait in abstraction.waits(order) if wait.runs]
    return min(ends, default=None)


# More than can be due at once.
_ENDS_MAX: Final = 100


def explored(
    process: Process[Policies],
    placed: PlaceOrder,
    most: int,
    apart_by: Callable[[Order], object] | None = None,
) -> Graph:
    """
    Return every configuration an order can come to.

    Args:
        placed: How the order begins.

        most: How many configurations are explored at most.

        apart_by: What else tells orders apart.
    """
    main: frozenset[str] = frozenset()
    while True:
        explorer = _Explorer(process, placed, most, apart_by, main)
        explorer.run()
        if explorer.main == main:
            return explorer.graph
        main = explorer.main


_Offered: TypeAlias = list[tuple[Actor, Option]]

# What says what a move leaves to the other side, if anybody asks.
_Leaves: TypeAlias = Callable[[], frozenset[type[Command]]]


_NOTHING: Final[frozenset[tuple[Role, type[Command]]]] = frozenset()


def _allowed(offered: _Offered) -> frozenset[tuple[Role, type[Command]]]:
    return frozenset(
        (by.role, option.command) for by, option in offered if option.allowed
    )


def _nothing() -> frozenset[type[Command]]:
    return frozenset()


class _Explorer:
    def __init__(
        self,
        process: Process[Policies],
        placed: PlaceOrder,
        most: int,
        apart_by: Callable[[Order], object] | None,
        main: frozenset[str],
    ) -> None:
        self.process = process
        # The matters that a host's own code brings about, as far as is known.
        self.main = main
        self.graph = Graph(process, placed)
        self.people = people(placed)
        # Whether a host's own code decides anything.
        self.owns = any(decision.version for decision in process.decider.values())
        # Of them, what only programs say.
        self.said = tuple(
            dict.fromkeys(
                row.command
                for row in process.rows
                if not row.offered and not _is_ours(process, row.command)
            )
        )
        self.abstraction = Abstraction(process, apart_by, main)
        self.most = most
        self.known: dict[Configuration, int] = {}
        self.queue: deque[Node] = deque()
        # What tells orders apart where there is no side matter, by state.
        self.plain: set[tuple[str, tuple[object, ...]]] = set()
        # The commands that a role has a row for, by state.
        self.rows: dict[tuple[str, Role], list[type[Command]]] = {}

    def run(self) -> None:
        buyer = self.people[Role.BUYER]
        answer = place(
            self.process, self.graph.placed, by=buyer, order_id="o1", now=START
        )
        if answer.order is None:
            raise InvalidInputError(
                "order", "it cannot be placed: " + answer.blockers[0].message()
            )
        self.payloads = Payloads(self.process, answer.order.full_window)
        self._reached(answer.order, START, -1, None)
        self._brought(PlaceOrder, self.graph.nodes[0].configuration.has)
        main = self.main
        # What was explored as a side matter, and is none, is explored anew.
        while self.queue and self.main == main:
            node = self.queue.popleft()
            try:
                if node.over:
                    self._after_the_end(node)
                else:
                    self._tried(node)
            except Exception as error:
                # A host's own policies, or what he says is in the way.
                edge = Edge(None, None, "now", -1)
                self.graph.faults.append(Fault(node.number, edge, error))

    # --- configurations ---

    def _reached(
        self, order: Order, now: DateTime, parent: int, via: Edge | None
    ) -> int:
        """
        Return the number of a configuration; -1 if it is left out.
        """
        configuration = self.abstraction.of(order, now)
        key = configuration.key
        number = self.known.get(key)
        if number is not None:
            return number
        if configuration.matters > 1:
            return -1
        if len(self.graph.nodes) >= self.most:
            self.graph.complete = False
            self.graph.cut.add(parent)
            return -1
        self.graph.accepts |= order.accepted_at is not None
        number = self.known[key] = len(self.graph.nodes)
        node = Node(number, configuration, order, now, parent)
        self.graph.nodes.append(node)
        self.queue.append(node)
        if not configuration.matters and not node.over:
            self.plain.add((configuration.state, configuration.extra))
        return number

    def _tried(self, node: Node) -> None:
        """
        Try everything in a configuration.
        """
        end = next_end(self.process, self.abstraction, node.order)
        offered = self._offered(node.order, node.now)
        node.allowed = _allowed(offered)
        self.graph.possible |= node.allowed
        bare = self._without(node)
        known = _NOTHING if bare is None else bare.allowed
        # A host's own code may heed the matter, here or where it is taken along to.
        moves = list(self._moves(node, offered, _NOTHING if self.owns else known))
        for by, command in moves:
            self._act(node, node.order, by, command, "now", node.now, node.now)
        if not known and self.owns:
            self._later(node, offered, end)
        if end is not None:
            if not known:
                self._last_second(node, offered, moves, end)
            self._lead(node, None, None, "wait", node.order, end)
        life = self.abstraction.life(node.order)
        if life is not None:
            self._expire(node, life)
        if bare is not None and self.owns:
            self._heeded(node, bare)

    def _later(self, node: Node, offered: _Offered, end: DateTime | None) -> None:
        """
        Try what a host's own code says that it lets somebody do from some instant on.
        """
        instants = {
            blocker.unblocked_at
            for _, option in offered
            if self.process.decider[option.command].version
            for blocker in option.blockers
            if blocker.unblocked_at is not None
            and blocker.unblocked_at > node.now
            and (end is None or blocker.unblocked_at < end)
        }
        known = node.allowed
        for instant in sorted(instants):
            order = settled(self.process, node.order, instant).order
            if order.standing.state != node.order.standing.state:
                return
            offers = self._offered(order, instant)
            for by, command in self._moves(node, offers, known):
                self._act(node, order, by, command, "later", instant, instant)
            self.graph.possible |= (allowed := _allowed(offers))
            known |= allowed

    def _last_second(
        self,
        node: Node,
        offered: _Offered,
        moves: Iterable[tuple[Actor, Command]],
        end: DateTime,
    ) -> None:
        """
        Try everything just before a deadline, when nobody can answer any more.
        """
        instant = end - _MICROSECOND
        order = settled(self.process, node.order, instant).order
        if order.standing.state != node.order.standing.state:
            # Its longest life is over before.
            return
        lifted = (
            # A host's own code need not say when it lets somebody act.
            bool(self.process.decider[option.command].version)
            or (blocker.unblocked_at is not None and blocker.unblocked_at <= instant)
            for _, option in offered
            for blocker in option.blockers
        )
        if any(lifted):
            moves = self._moves(node, self._offered(order, instant), frozenset())
        for by, command in moves:
            case = _Case(
                process=self.process,
                order=order,
                by=by,
                now=instant,
                recorded_at=instant,
            )
            kind = type(command)
            if not blockers_of(case, kind) and not tuple(
                self.process.decider[kind].limits(case, command)
            ):
                self._act(node, order, by, command, "before", instant, end)

    def _offered(self, order: Order, now: DateTime) -> _Offered:
        """
        Return what people could do where an order stands, and whether they may now.
        """
        return [
            (by, option)
            for by in self.people.values()
            for option in self._here(order, by, now)
        ]

    def _here(self, order: Order, by: Actor, now: DateTime) -> Iterator[Option]:
        """
        Yield the options of somebody that have a row where an order stands: without one
        nothing is ever allowed, and time alone lifts nothing.
        """
        now = max(now, order.effective_at)
        case = Case(process=self.process, order=order, by=by, now=now, recorded_at=now)
        place = order.standing.state, by.role
        commands = self.rows.get(place)
        if commands is None:
            commands = self.rows[place] = [
                command
                for command in (*self.process.commands_of(by.role), *self.said)
                if self.process.row(place[0], command, by.role) is not None
            ]
        for command in commands:
            yield Option(
                command=command, blockers=blockers_of(case, command), case=case
            )

    def _without(self, node: Node) -> Node | None:
        """
        Return the configuration without the side matter there is, if that was tried:
        otherwise everything is tried anew.
        """
        if not node.configuration.matters:
            return None
        number = self.known.get(node.configuration.bare)
        place = node.configuration.state, node.configuration.extra
        if self.owns and place not in self.plain:
            # Told apart by the matter itself, it is never without it.
            self.main |= node.configuration.has
        if number is None or not self.graph.nodes[number].allowed:
            return None
        return self.graph.nodes[number]

    def _heeded(self, node: Node, bare: Node) -> None:
        """
        Note a side matter that a host's own code heeds: where it is there, somebody may
        do something else, or something else comes of it.  Then it is none.
        """
        if self._own_moves(node) != self._own_moves(bare):
            self.main |= node.configuration.has

    def _own_moves(self, node: Node) -> set[tuple[object, ...]]:
        """
        Return what a host's own code lets people and time do, and what comes of it.
        """
        decider, kinds = self.process.decider, self.process.kinds
        found: set[tuple[object, ...]] = {
            one for one in node.allowed if decider[one[1]].version
        }
        for edge in node.edges:
            done = {kinds[name].command for name in edge.ended}
            if edge.command is not None:
                done.add(type(edge.command))
            if edge.when in ("now", "wait") and any(decider[c].version for c in done):
                course = self.graph.nodes[edge.to].configuration.course
                found.add((edge.by, type(edge.command), course))
        return found

    def _moves(
        self,
        node: Node,
        offered: _Offered,
        known: frozenset[tuple[Role, type[Command]]],
    ) -> Iterator[tuple[Actor, Command]]:
        for by, option in offered:
            is_new = option.allowed and (by.role, option.command) not in known
            if is_new and self._is_explored(node, option.command, by):
                for command in self._taken(option, node.order, by, node.now):
                    yield by, command
        yield from self._charges(node)

    def _taken(
        self, option: Option, order: Order, by: Actor, now: DateTime
    ) -> list[Command]:
        """
        Return commands whose payload is taken; if none is, nobody knows what it does.
        """
        found = self.payloads.taken(option, order, by, now)
        if not found:
            self.graph.skipped.add(option.command)
        return found

    def _charges(self, node: Node) -> Iterator[tuple[Actor, Command]]:
        """
        Yield what a provider may say of what is being charged.
        """
        for hold in node.order.holds:
            if hold.under_way:
                for status in ("paid", "failed"):
                    said = ReportCharge(reference=hold.payment.reference, status=status)
                    yield self.people[Role.PROVIDER], said

    def _is_explored(self, node: Node, command: type[Command], by: Actor) -> bool:
        if by.role is Role.PROVIDER and command not in _PROVIDERS:
            return not _is_ours(self.process, command)
        if command is ConfirmPayment and (
            by.role is not Role.PROVIDER or node.order.paid_at is not None
        ):
            # Money that nobody owes goes back whole, anywhere.
            return False
        if self.owns and command is SendOffer and node.configuration.offered:
            # A second one is like the first, and there is no end of them.
            return False
        if command is SubmitBrief and "brief_owed" in self.process.held:
            # There, a deadline waits for it.
            return node.order.brief_owed
        # Decided by somebody else, even a message may do more.
        return command not in SAYINGS or bool(self.process.decider[command].version)

    def _act(
        self,
        node: Node,
        order: Order,
        by: Actor,
        command: Command,
        when: When,
        instant: DateTime,
        until: DateTime,
    ) -> None:
        try:
            after = acted(self.process, order, by, command, instant).order
        except Exception as error:
            self.graph.faults.append(
                Fault(node.number, Edge(by.role, command, when, -1), error)
            )
            return
        leaves: _Leaves = _nothing
        if when == "before" and by.role in OTHER:
            other = self.people[OTHER[by.role]]
            leaves = partial(self._left_to, other, after, instant)
        self._lead(node, by.role, command, when, after, until, leaves)

    def _left_to(
        self, by: Actor, order: Order, now: DateTime
    ) -> frozenset[type[Command]]:
        """
        Return what somebody can still do, once what is overdue has happened.
        """
        try:
            order = settled(self.process, order, now).order
        except Exception:
            # Told as a fault by whoever follows the move.
            return frozenset()
        return frozenset(
            option.command for option in self._here(order, by, now) if option.allowed
        )

    def _lead(
        self,
        node: Node,
        by: Role | None,
        command: Command | None,
        when: When,
        order: Order,
        until: DateTime,
        leaves: _Leaves = _nothing,
    ) -> None:
        try:
            after = settled(self.process, order, until)
        except Exception as error:
            self.graph.faults.append(
                Fault(node.number, Edge(by, command, when, -1), error)
            )
            return
        wait = datetime.__sub__(until, node.now) if when == "later" else timedelta()
        edge = Edge(by, command, when, -1, after.ended, after=wait)
        self._join(node, edge, after.order, until, leaves)

    def _note(self, node: Node, edge: Edge, order: Order, now: DateTime) -> None:
        """
        Note what a move brings about.
        """
        more = self.abstraction.of(order, now).has - node.configuration.has
        if more:
            if edge.command is not None:
                self._brought(type(edge.command), more)
            for name in edge.ended:
                self._brought(self.process.kinds[name].command, more)

    def _brought(self, command: type[Command], matters: frozenset[str]) -> None:
        """
        Note the matters that a command brings about, if a host's own code decides it:
        then they are no side matters, but the course of every order.
        """
        if matters - self.main and self.process.decider[command].version:
            self.main |= matters

    def _join(
        self,
        node: Node,
        edge: Edge,
        order: Order,
        now: DateTime,
        leaves: _Leaves = _nothing,
    ) -> None:
        count = len(self.graph.nodes)
        if self.owns:
            self._note(node, edge, order, now)
        to = self._reached(order, now, node.number, None)
        if to < 0:
            return
        # Of a side matter nobody asks what it leaves: it is no move of the game.
        left = frozenset() if self.graph.nodes[to].configuration.matters else leaves()
        # Written out: it happens for every edge there is.
        edge = Edge(edge.by, edge.command, edge.when, to, edge.ended, left, edge.after)
        node.edges.append(edge)
        if to == count:
            self.graph.nodes[to].via = edge

    def _expire(self, node: Node, life: Deadline) -> None:
        """
        Let the longest life of an order end, however old it is.
        """
        edge = Edge(None, None, "expiry", -1, frozenset({life.name}))
        try:
            after = due_move(
                self.process,
                node.order,
                node.now,
                life,
                recorded_at=node.now,
                kind=_Case,
            ).order
        except Exception as error:
            self.graph.faults.append(Fault(node.number, edge, error))
            return
        self._join(node, edge, after, node.now)

    # --- after the end ---

    def _after_the_end(self, node: Node) -> None:
        """
        See what people may still do; none of it moves what was held.
        """
        tried: set[tuple[Role, type[Command]]] = set()
        orders = [node.order]
        for order in orders:
            if self.owns:
                self._time_after(node, order)
            for by in self.people.values():
                for option in self._here(order, by, node.now):
                    key = by.role, option.command
                    if not option.allowed or key in tried:
                        continue
                    tried.add(key)
                    # What a host decides may be another matter here.
                    own = self.process.decider[option.command].version
                    if own or key not in self.graph.possible:
                        self.graph.possible.add(key)
                        orders += self._ended(node, order, by, option)

    def _time_after(self, node: Node, order: Order) -> None:
        """
        Let the deadlines end that an order has after its end.
        """
        for _ in range(_ENDS_MAX):
            due = next_due(self.process, order)
            if due is None:
                return
            try:
                order = settled(self.process, order, due[0]).order
            except Exception as error:
                edge = Edge(None, None, "wait", -1, frozenset({due[1].name}))
                self.graph.faults.append(Fault(node.number, edge, error))
                return

    def _ended(
        self, node: Node, order: Order, by: Actor, option: Option
    ) -> Iterator[Order]:
        """
        Yield what becomes of an order that has ended by what somebody may still do.
        """
        for command in self._taken(option, order, by, node.now):
            try:
                after = acted(self.process, order, by, command, node.now)
            except Exception as error:
                edge = Edge(by.role, command, "now", -1)
                self.graph.faults.append(Fault(node.number, edge, error))
            else:
                yield after.order


def _is_ours(process: Process[Policies], command: type[Command]) -> bool:
    """
    Whether a command is the library's, whoever decides it.
    """
    return command.__module__.startswith(f"{process.OWN_FLOOR}.")


def _first_due(
    process: Process[Policies], order: Order, now: datetime
) -> Deadline | None:
    """
    Return what is due first by an instant: the most urgent of the earliest.
    """
    armed_at = process.policies.time.armed_at
    due = [
        (armed_at(wait.due_at), process.kinds[wait.name].urgency, wait.name, wait)
        for wait in order.standing.deadlines
        if wait.runs and armed_at(wait.due_at) <= now
    ]
    return min(due, key=lambda one: one[:3])[3] if due else None
