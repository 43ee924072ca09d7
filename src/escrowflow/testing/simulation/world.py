"""
The world of one seed: its clock and its machines, what it keeps, who is in the middle of
what, and what goes wrong.

Whoever does something is a task: a generator of the engine's, which asks for one call to
the storage, or to a handler, after the other.  Between any two of them anybody else may
act, time may pass, and the worker may die.  It is one thread, and always the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ...clock import from_micros
from ...commands import Command, ConfirmPayment, PlaceOrder, ReportPayout
from ...decisions import Refusal, as_of
from ...effects import Movement, NotDone, Notify
from ...engine import AsyncEngine, Engine, Outcome
from ...engine.driving import undriven
from ...engine.withdrawals import report
from ...errors import (
    CorruptJournalError,
    EscrowflowError,
    LedgerError,
    OrderNotFoundError,
    OutcomeUnknownError,
    ProcessError,
    StorageError,
    UnknownProcessError,
    WalletRefusedError,
)
from ...money import Money
from ...order import Order
from ...parties import Buyer, Role
from ...payments import handlers
from ...payments.wallets import Wallets
from ...states import Process
from ...storage import Storage, StoredOrder
from ...storage.codec import decode_order
from ...wallet import PREFIX, Entry
from .. import gateways
from ..gateways import Killed, Profile, SimulatedGateway
from .awaiting import AwaitedEngine, AwaitedStorage
from .coverage import Coverage
from .diary import Diary
from .faults import ARRIVES_LATE, STALE, FaultyStorage, may_go
from .oracles import CALLS_MAX, Auditor
from .personas import Persona, is_outsider
from .shadow import Said
from .tape import Tape

__all__ = [
    "ASTRAY_MAX",
    "DAY",
    "FAULTS",
    "HOUR",
    "LEASE",
    "MINUTE",
    "SECOND",
    "SKEW_MAX",
    "WORKLOADS",
    "Node",
    "Setting",
    "Task",
    "Without",
    "World",
]

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# Every simulation begins then: 5 May 2026, 8:00 UTC.
_START: Final = 1_777_968_000 * SECOND

# A worker has an effect for a minute, and an order: beyond that it is somebody else's.
LEASE: Final = MINUTE

# Each is on with a probability of six tenths, with a rate of its own: a swarm.  The last
# few are no faults: what else there may be.
FAULTS: Final = (
    "storage fails",
    "storage unknown",
    "storage lost",
    "storage arrives_late",
    "storage stale",
    "storage restored",
    "killed before",
    "killed after",
    "paused",
    "clock skew",
    "clock jump",
    "clock astray",
    "gateway lost",
    "gateway unanswered",
    "gateway late",
    "gateway error",
    "gateway in_flight",
    "gateway refused",
    "gateway pending",
    "gateway bounce",
    "gateway chargeback",
    "handler raises",
    "rules changed",
    "wallets",
    "withdrawals",
    "within",
    "webhook twice",
)
_RATES: Final = (5, 15, 40, 90)

# Of calls to a gateway there are few: what goes wrong there does so more often.
_OFTENER: Final = 4

# Who acts, and how fast time goes.
WORKLOADS: Final = ("aimed", "plain", "hostile", "slow", "crowd")

_TROUBLES: Final[Mapping[str, gateways.Trouble]] = {
    "gateway lost": gateways.LOST,
    "gateway unanswered": gateways.UNANSWERED,
    "gateway error": gateways.ERROR,
    "gateway in_flight": gateways.IN_FLIGHT,
    "gateway refused": gateways.REFUSED,
    "gateway pending": gateways.PENDING,
}

# No clock is wrong by more where money is sent: there more is an alarm, not a fault to
# live with, since the margins of a gateway's windows are minutes (F48).
SKEW_MAX: Final = MINUTE

# A machine that sends no money may be wrong by so much (F49, F50).
ASTRAY_MAX: Final = 2 * DAY

_RETRIES_MAX: Final = 5
_LAST: Final = 40


# Somebody who asks for one call after the other; awaited or not, it is stepped the same.
Asked: TypeAlias = "Generator[Any, Any, Any] | Coroutine[Any, Any, Any]"


@final
@attrs.frozen(kw_only=True)
class Setting:
    """
    What all seeds of a simulation have in common.

    Attributes:
        process: The process.

        also: Other rules, to which staff moves running orders.

        storage: Makes an empty storage.

        profiles: The gateways there may be.

        people: The people there may be.

        orders: How many orders at the most.

        steps: How many steps the storm has.

        workloads: The workloads there may be.

        faults: The faults there may be, each with its rate in a thousand; 0 for one
            that each seed draws.

        awaited: Whether people and workers use an `AsyncEngine`.
    """

    process: Process[Any]
    also: Sequence[Process[Any]]
    storage: Callable[[], Storage]
    profiles: Sequence[Profile]
    people: Sequence[Persona]
    orders: int
    steps: int
    workloads: Sequence[str] = WORKLOADS
    faults: Mapping[str, int] = attrs.field(factory=lambda: dict.fromkeys(FAULTS, 0))
    awaited: bool = False


@final
@attrs.frozen(kw_only=True)
class Without:
    """
    What is left out of a seed, to find the least that is still wrong.

    Attributes:
        orders: How many orders there are at the most; `None` for all.

        faults: The faults that never come up.

        steps: The steps that are made; `None` for all.
    """

    orders: int | None = None
    faults: frozenset[str] = frozenset()
    steps: frozenset[int] | None = None


@final
class Node:
    """
    A machine with a clock of its own, which may be wrong.

    Attributes:
        wrong: By how many microseconds.

        astray: Whether it is wrong by hours: then it must not send money.

        old: Whether it knows only the first of all processes.
    """

    def __init__(self, run: World, name: str) -> None:
        self._run = run
        self.name = name
        self.wrong = 0
        self.astray = False
        self.old = False

    def now(self) -> DateTime:
        """
        Return what its clock shows.
        """
        return from_micros(self._run.now + self.wrong)


@final
@attrs.define(eq=False)
class Task:
    """
    Somebody who is in the middle of something.
    """

    name: str
    node: Node
    asking: Asked
    asks: tuple[str, tuple[Any, ...]]
    said: Said | None = None
    wakes_at: int = 0
    calls: int = 0


@final
class World:
    """
    Everything there is in one seed.

    Attributes:
        now: What time it really is, in microseconds.

        storage: What keeps orders, failing; *inner* is what it keeps them in.

        nodes: The machines; each has an engine.

        tasks: Who is in the middle of something.

        mail: What the provider still has to tell: orders and commands; *unheard*, what
            was refused, so that it will say it again.

        payments: What really arrived at the gateway: its order and amount by reference.

        done: What somebody was told is done since the last backup was taken; *told*,
            what the provider has told since then.

        has_wallets: Whether people have wallets; *earned*, whether sellers are paid into
            them; *withdraws*, whether people have money paid out of them.

        restored_at: When a backup was put back last, if one was.

        refused: The keys of the effects that the gateway refused.

        focus: The order that everybody looks at, as long as it is *hot*, on the machine
            that is *pinned*.

        step: The number of the step.

        diary: What happened.

        storming: Whether anything goes wrong still; *healed*, once nobody is in doubt of
            what did, either.
    """

    def __init__(self, setting: Setting, tape: Tape, without: Without) -> None:
        self.setting = setting
        self.process = setting.process
        self.processes = (setting.process, *setting.also)
        self.tape = tape
        self.without = without
        self.now = _START
        self.coverage = Coverage()
        self.count = self.coverage.counts
        self._plan()
        self.inner = setting.storage()
        self.storage = FaultyStorage(self.inner, went=self._went, saw=self._saw)
        self.gateway = SimulatedGateway(self.profile, Node(self, "gateway"))
        self.restored_at: DateTime | None = None
        self.done: list[Said] = []
        self.told: list[tuple[str, Command]] = []
        self.auditor = Auditor(self.processes, self.gateway, self.coverage)
        self.nodes = [Node(self, f"node-{n}") for n in range(self.workers)]
        self._engines = {node.name: self._bare(node) for node in self.nodes}
        self.tasks: list[Task] = []
        self.mail: list[tuple[str, Command]] = []
        self.unheard: list[tuple[str, Command]] = []
        self.payments: dict[str, tuple[str, Money]] = {}
        self.refused: set[str] = set()
        self.focus = ""
        self.hot = 0
        self.pinned: Node | None = None
        self.step = 0
        self.storming = True
        self.healed = False
        self._pages: dict[str, tuple[int, Order]] = {}
        self._acting: Task | None = None
        self._on_its_way: list[Said | None] = []
        self._arriving: Said | None = None
        self._salts = 0
        self._digest = hashlib.sha256()
        self.diary = Diary()

    def _plan(self) -> None:
        tape, setting = self.tape, self.setting
        tape.section("plan")
        self.workload = tape.pick("workload", setting.workloads)
        self.profile = tape.pick("gateway", setting.profiles)
        self.workers = 1 + tape.weighted("workers", (3, 4, 3, 2, 1, 1, 1, 1))
        self.rates: dict[str, int] = {}
        for name in FAULTS:
            tape.section(f"fault {name}")
            on, rate = tape.chance("on", 600), tape.pick("rate", _RATES)
            if name.startswith(("gateway", "webhook", "within")):
                rate *= _OFTENER
            fixed = setting.faults.get(name)
            if fixed is None or name in self.without.faults:
                continue
            if fixed or on:
                self.rates[name] = fixed or rate
        most = setting.orders
        if self.workload == "crowd":
            most = min(most, 2)
        if self.without.orders is not None:
            most = min(most, self.without.orders)
        self.orders = most
        self.insiders = [one for one in setting.people if not is_outsider(one)]
        self.outsiders = [one for one in setting.people if is_outsider(one)]
        later = getattr(
            getattr(self.process.policies, "acceptance", None), "charge_at", ""
        )
        self.held = later == "acceptance"
        tape.section("wallets")
        # Holds are of banks, and a wallet pays at once.
        self.has_wallets = (
            "wallets" in self.rates
            and not self.held
            and ConfirmPayment in self.process.commands.values()
        )
        self.earned = tape.chance("earned", 400)
        self.withdraws = self.has_wallets and "withdrawals" in self.rates

    def engine(self, node: Node, storage: Storage | None = None) -> Engine:
        """
        Return an engine on a machine, with its clock.

        Args:
            storage: Another storage than that of the world.
        """
        return Engine(
            self.process,
            self.storage if storage is None else storage,
            clock=node,
            also=() if node.old else self.setting.also,
            new_id=lambda: self._salt().hex(),
            salt=self._salt,
        )

    def age(self, node: Node) -> None:
        """
        Have an old release run on a machine.
        """
        node.old = True
        self._engines[node.name] = self._bare(node)

    def put_back(self, at: DateTime) -> None:
        """
        Begin again with an empty storage, because a backup is put back.
        """
        self.restored_at = at
        self.inner.close()
        self.inner = self.setting.storage()
        self.storage = FaultyStorage(self.inner, went=self._went, saw=self._saw)
        self._engines = {node.name: self._bare(node) for node in self.nodes}
        self._pages.clear()
        self._on_its_way.clear()

    def _bare(self, node: Node) -> Any:
        """
        Return an engine of which somebody takes a step at a time.
        """
        if not self.setting.awaited:
            return undriven(self.engine(node))
        return AwaitedEngine(
            AsyncEngine(
                self.process,
                AwaitedStorage(self.storage),
                clock=node,
                also=() if node.old else self.setting.also,
                new_id=lambda: self._salt().hex(),
                salt=self._salt,
            )
        )

    def _salt(self) -> bytes:
        self._salts += 1
        text = f"{self.tape.seed}\x1f{self._salts}"
        return hashlib.sha256(text.encode()).digest()[:16]

    def handlers(self, node: Node) -> Mapping[Any, Any]:
        """
        Return what carries effects out on a machine.
        """
        if not self.has_wallets:
            found = handlers(self.gateway, clock=node, restored_at=self.restored_at)
            return {**found, Notify: self._notify}
        wallets = self.wallets(node)
        found = handlers(
            self.gateway,
            methods={"wallet": wallets},
            payouts=wallets if self.earned else None,
            withdrawals=self.gateway,
            clock=node,
            restored_at=self.restored_at,
        )
        return {**found, Notify: self._notify}

    def wallets(self, node: Node) -> Wallets:
        """
        Return the wallets, as a machine sees them.
        """
        return Wallets(self.storage, clock=node)

    def _notify(self, effect: Notify) -> None:
        if self.storming and self.goes("handler raises"):
            raise ConnectionError("simulated: no mail today")

    def goes(self, fault: str) -> bool:
        """
        Whether a fault comes up now.
        """
        rate = self.rates.get(fault)
        if rate is None or not self.tape.chance(fault, rate):
            return False
        self.count[fault] += 1
        return True

    def goes_wrong(self, fault: str, in_a_thousand: int) -> bool:
        """
        Whether a fault of this seed comes up, with a rate that is not its own.
        """
        if fault not in self.rates or not self.tape.chance(fault, in_a_thousand):
            return False
        self.count[fault] += 1
        return True

    def say(self, line: str) -> None:
        """
        Write down what happens; never what somebody wrote, or what pays (I31).
        """
        self._digest.update(line.encode())
        self.diary.say(self.step, self.now, line)

    def _went(self, verb: str) -> str:
        """
        Say what becomes of a call to the storage.
        """
        task = self._acting
        if not self.storming or task is None:
            return ""
        for fault in may_go(verb):
            if fault == STALE and not _may_be_old(task.said):
                continue
            name = fault.replace("_", " ") if "killed" in fault else f"storage {fault}"
            if self.goes(name):
                if fault == STALE:
                    assert task.said is not None
                    task.said.stale = True
                elif fault == ARRIVES_LATE:
                    self._on_its_way.append(task.said)
                self.say(f"{task.name}: {verb} {fault}")
                return fault
        return ""

    def _saw(self, verb: str, values: tuple[Any, ...], answer: Any) -> None:
        task = self._acting
        said = self._arriving if task is None else task.said
        self.auditor.wrote(verb, values, answer, said)

    def advance(self, task: Task) -> bool:
        """
        Carry out what a task asks for, and hear what it asks next; false if it is over.
        """
        verb, values = task.asks
        task.calls += 1
        if task.calls > CALLS_MAX:
            self.auditor.fail(
                "I28", f"{task.name}: it has no end", self._order_of(task)
            )
            return False
        self._acting = task
        try:
            try:
                answer = self._answered(task, verb, values)
            except Killed:
                task.asking.close()
                self.died(task)
                return False
            except Exception as error:
                task.asks = task.asking.throw(error)
            else:
                task.asks = task.asking.send(answer)
        except StopIteration as stop:
            self._finished(task, stop.value)
            return False
        except EscrowflowError as error:
            self._failed(task, error)
            return False
        except Exception as error:
            # Whatever is no error of ours must never reach a host.
            kind = type(error).__name__
            self.auditor.fail(
                "I35", f"{task.name}: {kind} leaked", self._order_of(task)
            )
            return False
        finally:
            self._acting = None
        return True

    def _answered(self, task: Task, verb: str, values: tuple[Any, ...]) -> Any:
        if verb != "call":
            return getattr(self.storage, verb)(*values)
        handler, effect = values
        if effect is None:
            # Wallets ask their orders.
            return handler(effect)
        self.auditor.moving.calls(effect)
        if isinstance(effect, Movement) and not self.gateway.troubles:
            self._trouble(task, effect)
        try:
            answer = handler(effect)
        finally:
            self.auditor.moving.moves()
        if isinstance(answer, NotDone) and not answer.again:
            self.refused.add(effect.key)
        self.say(f"{task.name}: {effect.name} {_kind_of(answer)}")
        return answer

    def _trouble(self, task: Task, effect: Movement) -> None:
        """
        Say what becomes of the next request to the gateway.
        """
        for name, trouble in _TROUBLES.items():
            if self.goes(name):
                self.gateway.next(trouble)
                self.say(f"{task.name}: {effect.name} meets {trouble}")
                return
        if self.goes("gateway late"):
            delay = 1 + self.tape.choose("delay", 119)
            self.gateway.next(gateways.late(f"PT{delay}S"))
            self.say(f"{task.name}: {effect.name} is {delay} s late")
        elif self.goes("killed before"):
            self.gateway.next(gateways.KILLED_BEFORE)
        elif self.goes("killed after"):
            self.gateway.next(gateways.KILLED_AFTER)

    def begin(
        self,
        name: str,
        node: Node,
        asking: Asked,
        *,
        said: Said | None = None,
    ) -> None:
        """
        Let somebody begin something: its first call is still to come.
        """
        task = Task(name, node, asking, ("", ()), said=said)
        try:
            task.asks = asking.send(None)
        except StopIteration as stop:
            self._finished(task, stop.value)
        except Killed:
            self.died(task)
        except EscrowflowError as error:
            self._failed(task, error)
        else:
            self.tasks.append(task)

    def bare(self, node: Node) -> Any:
        """
        Return the engine of a machine, its methods undriven.
        """
        return self._engines[node.name]

    def submit(self, said: Said, node: Node) -> None:
        """
        Let somebody send a command.
        """
        if said.purse:
            # Whoever pays asks wallets and orders in one go.
            asking = self.asked(said, node, self.engine(node), self.wallets(node))
        else:
            asking = self.asked(said, node, self.bare(node), self.wallets(node))
        self.begin(said.what, node, asking, said=said)

    def asked(self, said: Said, node: Node, engine: Any, wallets: Wallets) -> Asked:
        """
        Return what somebody asks who says something, one call after the other.

        Args:
            engine: An engine whose methods are undriven; of money from a wallet, one
                that answers by itself.
        """
        asks = undriven(wallets)
        asking: Asked
        if said.debits is not None:
            asking = _debited_first(said, said.debits, engine, asks)
        elif said.purse:
            asking = asks.pay(
                engine,
                said.order_id,
                by=Buyer(self.auditor.orders[said.order_id].buyer_id),
                key=said.purse,
            )
        elif said.withdraws is not None:
            asking = asks.withdraw(
                said.order_id.removeprefix(PREFIX),
                said.withdraws.amount,
                said.key,
                payee_id=said.withdraws.payee_id,
            )
        elif said.of_wallet and said.by.role is Role.PROVIDER:
            assert isinstance(said.command, ReportPayout)
            asking = report(node.now(), said.order_id, said.command, None)
        elif said.placing:
            asking = engine.place(
                said.command, by=said.by, key=said.key, order_id=said.order_id
            )
        else:
            asking = engine.attempt(
                said.order_id,
                said.command,
                by=said.by,
                key=said.key,
                if_version=said.if_version,
            )
        return asking

    def _finished(self, task: Task, answer: Any) -> None:
        said = task.said
        if said is None:
            return
        self.say(f"{task.name}: {_kind_of(answer)}")
        if said.of_wallet and said.by.role is Role.PROVIDER:
            return
        self.auditor.replied(said, answer)
        if isinstance(answer, (Outcome, Entry)) and not said.purse:
            self.done.append(said)
        if isinstance(answer, Refusal) and said.by.role is Role.PROVIDER:
            # A host says so, and the provider comes back with it some days later.
            self.unheard.append((said.order_id, said.command))

    def _failed(self, task: Task, error: EscrowflowError) -> None:
        kind = type(error).__name__
        self.say(f"{task.name}: {kind}")
        self.count[f"raised {kind}"] += 1
        if isinstance(error, (LedgerError, ProcessError, CorruptJournalError)):
            # Of these nobody but we can be the cause.
            self.auditor.fail("I15", f"{task.name}: {kind}", self._order_of(task))
        if isinstance(error, (OrderNotFoundError, UnknownProcessError)):
            self._unheard(task)
        said = task.said
        if (
            isinstance(error, WalletRefusedError)
            and said is not None
            and said.of_wallet
        ):
            self.count[f"withdrawal refused {error.code}"] += 1
            self._unheard(task)
        if "canary" in str(error):
            self.auditor.fail("I31", f"{kind} repeats what was written")
        if isinstance(error, StorageError):
            if self.healed:
                # Nothing goes wrong any more: it would for ever.
                self.auditor.fail("I11", f"{task.name}: {kind}", self._order_of(task))
                return
            if isinstance(error, OutcomeUnknownError):
                self.count["unknown to the sender"] += 1
            self._again(task)

    def _unheard(self, task: Task) -> None:
        """
        Note that an old release met an order that was moved to other rules; or that an
        order is not in the backup, and is placed again when whoever bought it repeats;
        or that a wallet does not know of what it is told.
        """
        said = task.said
        if said is not None and said.by.role is Role.PROVIDER and not said.purse:
            # It is told that nobody hears, and says so again.
            self.unheard.append((said.order_id, said.command))

    def died(self, task: Task) -> None:
        """
        Note that whoever was in the middle of something is gone.
        """
        self.say(f"{task.name}: killed")
        self._again(task)

    def _again(self, task: Task) -> None:
        """
        Let a sender repeat what he got no answer to, under the same key.
        """
        said = task.said
        if said is None:
            return
        if said.by.role is Role.PROVIDER and not said.purse:
            # It says so again, until it is heard.
            self.mail.append((said.order_id, said.command))
            return
        if not (said.key or said.purse) or said.tries >= _RETRIES_MAX:
            return
        if self.storming and self.tape.chance("gives up", 250):
            return
        said.tries += 1
        self.count["repeated"] += 1
        self.submit(said, task.node)

    def finish(self) -> None:
        """
        Let everybody who is in the middle of something get to the end.
        """
        while self.tasks:
            task = self.tasks.pop(0)
            while self.advance(task):
                pass

    def _order_of(self, task: Task) -> str:
        return "" if task.said is None else task.said.order_id

    def arrive(self) -> None:
        """
        Have a commit arrive that was on its way.
        """
        self._arriving = self._on_its_way.pop(0)
        with suppress(StorageError):
            # What contradicts what was written since is refused.
            self.storage.arrive()
        self._arriving = None

    def hear(self) -> None:
        """
        Take what the gateway has to tell, and look at what it did.
        """
        self.mail += self.gateway.reports()
        self.auditor.moving.moves()

    def shown(self, order_id: str, node: Node) -> Order | None:
        """
        Return an order as a page shows it.
        """
        loaded: StoredOrder = self.inner.load(order_id)
        if not loaded.version:
            return None
        page = self._pages.get(order_id)
        if page is None or page[0] != loaded.version:
            page = loaded.version, decode_order(loaded.snapshot, loaded.texts)
            self._pages[order_id] = page
        order = page[1]
        process = self.auditor.orders[order_id].process
        return as_of(process, order, max(node.now(), order.effective_at)).order

    def histories(self) -> str:
        """
        Return a hash of what all orders came to.
        """
        digest = hashlib.sha256()
        for order_id, shadow in sorted(self.auditor.orders.items()):
            digest.update(order_id.encode())
            for one in shadow.hashes:
                digest.update(one)
        return digest.hexdigest()

    def story(self, order_id: str) -> str:
        """
        Return the story of an order: who did what, and when; no words of anybody's.
        """
        lines = []
        after = 0
        with suppress(Exception):
            while page := self.inner.events(order_id, after, 500):
                for event in page:
                    recorded = self.auditor.read(event)
                    state = "" if recorded.standing is None else recorded.standing.state
                    lines.append(
                        f"{recorded.seq:4} {recorded.effective_at.isoformat()} "
                        f"{recorded.by.role.text:9} {recorded.name} {state}"
                    )
                after = page[-1].seq
        return "\n".join(lines)

    @property
    def trace(self) -> str:
        """
        A hash of everything that happened.
        """
        return self._digest.hexdigest()


def _debited_first(said: Said, amount: Money, engine: Any, asks: Any) -> Asked:
    """
    Take money out of a wallet, and place an order that is paid with it; if that is
    refused, give it back.

    Args:
        asks: The wallets, undriven.
    """
    payment = yield from asks.debit(
        said.by.id, amount, said.purse, order_id=said.order_id
    )
    assert isinstance(said.command, PlaceOrder)
    command = attrs.evolve(said.command, payment=(payment,))
    try:
        answer = yield from undriven(engine).place(
            command, by=said.by, key=said.key, order_id=said.order_id
        )
    except StorageError:
        # Nobody knows: it is repeated, or a worker asks the order.
        raise
    except EscrowflowError:
        yield from asks.give_back(payment, engine)
        raise
    if isinstance(answer, Refusal):
        yield from asks.give_back(payment, engine)
    return answer


def _may_be_old(said: Said | None) -> bool:
    """
    Whether the page may be old on which somebody decides: never where money has left,
    nor where the provider speaks.
    """
    return said is not None and not said.placing and said.by.role is not Role.PROVIDER


def _kind_of(answer: Any) -> str:
    kind = "done" if answer is None else type(answer).__name__.lower()
    blockers = getattr(answer, "blockers", ())
    return f"{kind} {blockers[0].code}" if blockers else kind
