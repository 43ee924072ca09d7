"""
Planted bugs: one thing of ours done wrong, from outside, for as long as a block lasts.

Each is a mistake that somebody could make.  Where a second defence stands beside the
one that is broken, it is named, its *sibling*: without it the bug is caught, and with it
the bug does no harm, or is caught all the same.  So each of the two is shown to work.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from typing import Any, Final

import attrs

from escrowflow import decisions, inputs, payments, wallet
from escrowflow.commands import AssignMediator, RefuseOrder
from escrowflow.decisions import (
    case,
    decides,
    placing,
    reports,
    settlement,
    settling,
)
from escrowflow.decisions import (
    outbox as asked,
)
from escrowflow.effects import (
    Done,
    NotDone,
    PayOut,
    Refund,
    RetryAt,
    effect_key,
)
from escrowflow.engine import (
    SweepReport,
    core,
    doubts,
    journal,
    money,
    outbox,
    sweep,
    wallets,
    withdrawals,
)
from escrowflow.errors import InvalidInputError, OutcomeUnknownError, StorageError
from escrowflow.events import MediatorAssigned, PaymentBooked, Recorded, RefundPaid
from escrowflow.history import evolve
from escrowflow.ledger import Ledger
from escrowflow.money import Money
from escrowflow.parties import Role
from escrowflow.payments import reconciliation
from escrowflow.processes import comeup
from escrowflow.states import Process
from escrowflow.storage import CommitResult, EffectResult, hosts, memory
from escrowflow.storage.chain import link
from escrowflow.storage.codec import decode_effect, dump_result, encode_event
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing import personas
from escrowflow.wallet import PREFIX, WithdrawalAsked, WithdrawalFailed

__all__ = ["BUGS", "Bug"]

Planted = Callable[[], AbstractContextManager[Any]]


@attrs.frozen(kw_only=True)
class Sibling:
    """
    A second defence against the same mistake.

    Attributes:
        name: What it is.

        hides: Whether the bug does no harm beside it; otherwise it is caught there,
            too.

        off: Turns it off, for as long as a block lasts.

        kept: What of the simulation has it.

        gone: What of the simulation lacks it.
    """

    name: str
    hides: bool
    off: Planted = ExitStack
    kept: Mapping[str, Any] = attrs.field(factory=dict)
    gone: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Bug:
    """
    Something that is wrong.

    Attributes:
        planted: Makes it wrong, for as long as a block lasts.

        with_: What of the simulation is bent on finding it.

        sibling: The second defence against it, if there is one.
    """

    planted: Planted
    with_: Mapping[str, Any] = attrs.field(factory=dict)
    sibling: Sibling | None = None

    @contextmanager
    def unhidden(self) -> Iterator[Mapping[str, Any]]:
        """
        Make it wrong, without its sibling; and give what of the simulation finds it.
        """
        with self.planted():
            if self.sibling is None:
                yield self.with_
            else:
                with self.sibling.off():
                    yield {**self.with_, **self.sibling.gone}

    @contextmanager
    def beside_its_sibling(self) -> Iterator[Mapping[str, Any]]:
        """
        Make it wrong, and leave its sibling as it is; and give the simulation.
        """
        assert self.sibling is not None
        with self.planted():
            yield {**self.with_, **self.sibling.kept}


BUGS: Final[dict[str, Bug]] = {}


def bug(
    name: str, sibling: Sibling | None = None, **with_: Any
) -> Callable[[Planted], Planted]:
    """
    Register a bug.
    """

    def register(planted: Planted) -> Planted:
        BUGS[name] = Bug(planted=planted, with_=with_, sibling=sibling)
        return planted

    return register


@contextmanager
def swapped(owner: Any, name: str, other: Any) -> Iterator[None]:
    """
    Have something be something else.
    """
    before = owner.__dict__[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def all_of(*blocks: AbstractContextManager[Any]) -> Iterator[None]:
    """
    Enter several blocks.
    """
    with ExitStack() as stack:
        for block in blocks:
            stack.enter_context(block)
        yield


@attrs.frozen
class Sender:
    """
    Somebody who sends whatever can be sent: always with a key, or never.
    """

    role: Role
    keyed: bool
    name: str = "sender"

    def act(self, scene: personas.Scene) -> personas.Act | None:
        """
        Do what can be done.
        """
        # Of those who send once some leave the key out.
        return scene.send(keyed=self.keyed, times=2 if self.keyed else 1)


def senders(*, keyed: bool) -> list[personas.Persona]:
    """
    Return both sides, with keys or without.
    """
    return [Sender(Role.BUYER, keyed), Sender(Role.SELLER, keyed)]


# What a storage holds against each change, beside the version.
def _any_history() -> AbstractContextManager[Any]:
    return swapped(memory, "check_history", lambda change, **more: None)


# What hides that a movement is asked for twice; most gateways forget keys.
def _keys(*, hides: bool) -> Sibling:
    return Sibling(
        name="the keys of a gateway that never forgets them",
        hides=hides,
        kept={"gateway": "perfect"},
        gone={"gateway": "key_ignored"},
    )


@attrs.frozen
class LongWinded:
    """
    Somebody who would write more than anybody reads.
    """

    role: Role
    name: str = "long-winded"

    def act(self, scene: personas.Scene) -> personas.Act | None:
        """
        Refuse, and say why, at length.
        """
        try:
            command = RefuseOrder(reason="canary " * 10_000)
        except InvalidInputError:
            return scene.send()
        return personas.Act(command=command, by=scene.me)


# --- a storage that is wrong ------------------------------------------------------


class Broken:
    """
    A storage in memory, of which a part is wrong.
    """

    def __init__(self) -> None:
        self.inner = MemoryStorage()

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.inner, verb)

    def load(self, *values: Any) -> Any:
        """
        Load an order.
        """
        return self.inner.load(*values)


def storage_bug(
    name: str, sibling: Sibling | None = None
) -> Callable[[type[Broken]], type[Broken]]:
    """
    Register a storage that is wrong.
    """

    def register(kind: type[Broken]) -> type[Broken]:
        BUGS[name] = Bug(planted=ExitStack, with_={"storage": kind}, sibling=sibling)
        return kind

    return register


@storage_bug("commit saves nothing, and says it did")
class Liar(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.count = itertools.count(1)

    def commit(self, changes: Any) -> Any:
        if next(self.count) % 7:
            return self.inner.commit(changes)
        return (CommitResult.DONE,) * len(changes)


@storage_bug("no receipts")
class Forgetful(Broken):
    def load(self, order_id: str, key: str | None = None) -> Any:
        return self.inner.load(order_id)

    def commit(self, changes: Any) -> Any:
        return self.inner.commit(
            tuple(attrs.evolve(change, receipt=None) for change in changes)
        )


@storage_bug("due orders are kept in memory only, and forgotten")
class Sleepy(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.asked = itertools.count()

    def claim_due(self, *values: Any) -> Any:
        return self.inner.claim_due(*values) if next(self.asked) < 3 else ()

    def next_due(self, *values: Any) -> Any:
        return None


@storage_bug("a lease never ends")
class Possessive(Broken):
    def claim_effects(
        self, now: int, until: int, limit: int, kinds: Any, known: Any
    ) -> Any:
        beyond = until + 10**6 * 86_400 * 365
        claims = self.inner.claim_effects(now, beyond, limit, kinds, known)
        return tuple(attrs.evolve(one, ready_at=until) for one in claims)

    def next_effect(self, *values: Any) -> Any:
        return None


@storage_bug("an outbox read by its last position")
class Cursor(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.last = 0

    def claim_effects(
        self, now: int, until: int, limit: int, kinds: Any, known: Any
    ) -> Any:
        rows = sorted(
            (row.ready_at, row.order_id, row.seq, row.key)
            for order in self.inner._orders.values()
            for row in order.effects.values()
            if self.last < row.ready_at <= now and row.status in ("waiting", "claimed")
        )
        if not rows:
            return ()
        self.last = rows[min(limit, len(rows)) - 1][0]
        return self.inner.claim_effects(now, until, limit, kinds, known)

    def next_effect(self, *values: Any) -> Any:
        return None


@storage_bug("dead letters after three tries, and nobody is told")
class Undertaker(Broken):
    def claim_effects(self, *values: Any) -> Any:
        for order in self.inner._orders.values():
            for key, row in [*order.effects.items()]:
                if row.attempts >= 3 and row.status != "done":
                    order.effects[key] = attrs.evolve(row, status="done")
        return self.inner.claim_effects(*values)


@storage_bug("an old token ends an attempt", _keys(hides=False))
class Fenceless(Broken):
    def settle_effect(self, order_id: str, result: Any) -> bool:
        row = self.inner._orders[order_id].effects[result.key]
        return self.inner.settle_effect(order_id, attrs.evolve(result, token=row.token))


@storage_bug("tokens begin anew", _keys(hides=False))
class Amnesiac(Broken):
    def claim_effects(self, *values: Any) -> Any:
        claims = self.inner.claim_effects(*values)
        for one in claims:
            row = attrs.evolve(one, token=1)
            self.inner._orders[one.order_id].effects[one.key] = row
        return tuple(attrs.evolve(one, token=1) for one in claims)


@storage_bug(
    "no version is checked",
    Sibling(
        name="the journal takes no event under a number that is taken",
        hides=False,
        off=_any_history,
    ),
)
class Careless(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.inner._result_of = (  # type: ignore[method-assign]
            lambda change: CommitResult.DONE
        )


@storage_bug("half of a change is written")
class Halved(Broken):
    def commit(self, changes: Any) -> Any:
        return self.inner.commit(
            tuple(
                attrs.evolve(change, effects=change.effects[:1]) for change in changes
            )
        )


@storage_bug("a deadline is not kept")
class Dateless(Broken):
    def commit(self, changes: Any) -> Any:
        return self.inner.commit(
            tuple(
                attrs.evolve(change, due_at=None)
                if change.state == "delivered"
                else change
                for change in changes
            )
        )


@storage_bug("what is erased stays in all orders but the first")
class Nostalgic(Broken):
    def erase_texts(self, subject_id: str, order_ids: Any) -> Any:
        return self.inner.erase_texts(subject_id, [*order_ids][:1])


# --- an engine that is wrong ------------------------------------------------------


@bug("whether a commit went through is not looked at")
def unlooked() -> AbstractContextManager[Any]:
    def commit(change: Any) -> Any:
        try:
            yield "commit", ((change,),)
        except OutcomeUnknownError:
            return None
        return True

    return swapped(core, "commit", commit)


@bug("unknown is taken for done")
def hopeful() -> AbstractContextManager[Any]:
    def commit(change: Any) -> Any:
        try:
            (result,) = yield "commit", ((change,),)
        except OutcomeUnknownError:
            return True
        return result is CommitResult.DONE

    return swapped(core, "commit", commit)


@bug(
    "unknown is taken for not done: sent again, unread",
    Sibling(
        name="the receipt of a command with a key",
        hides=True,
        kept={"people": senders(keyed=True)},
        gone={"people": senders(keyed=False)},
    ),
    faults=["storage unknown"],
)
def doubtless() -> AbstractContextManager[Any]:
    def answer(self: Any, loaded: Any, key: Any = None) -> Any:
        return None
        yield

    return swapped(doubts.Doubts, "answer", answer)


@bug("an effect is carried out before the commit")
def dual_write() -> AbstractContextManager[Any]:
    before = core.commit

    def commit(change: Any) -> Any:
        for new in change.effects:
            if new.kind == Refund.name:
                effect = asked_of(new)
                yield "call", ((lambda effect: None), effect)
        return (yield from before(change))

    def asked_of(new: Any) -> Any:
        return decode_effect(new.body, Refund)

    return swapped(core, "commit", commit)


@bug("done is written before the call")
def too_soon() -> AbstractContextManager[Any]:
    def begun(core_: Any, claim: Any, effect: Any, retries: Any) -> Any:
        result = EffectResult(
            key=claim.key,
            token=claim.token,
            status="done",
            attempts=claim.attempts,
            ready_at=claim.ready_at,
            body=dump_result(at=0),
        )
        return (yield from core.settled_effect(claim.order_id, result))

    return swapped(outbox, "_begun", begun)


def _unreported() -> AbstractContextManager[Any]:
    return swapped(outbox, "_report", lambda effect, said: None)


@bug(
    "what is parked is dropped",
    # A human would put it back.
    Sibling(name="what failed is owed under another key", hides=False, off=_unreported),
)
def dropped() -> AbstractContextManager[Any]:
    before = outbox._noted

    def noted(*values: Any) -> Any:
        result, outcome = before(*values)
        if result.status == "parked":
            result = attrs.evolve(result, status="done")
        return result, outcome

    return swapped(outbox, "_noted", noted)


@bug("the first deadline is heeded a microsecond late")
def late_by_one() -> AbstractContextManager[Any]:
    before = settling.settle

    def settle(process: Any, order: Any, *, now: Any, recorded_at: Any) -> Any:
        earlier = max(order.effective_at, now - timedelta(microseconds=1))
        return before(process, order, now=earlier, recorded_at=recorded_at)

    return swapped(core, "settle", settle)


@bug("deadlines are heeded half a minute early")
def early() -> AbstractContextManager[Any]:
    before = settling.settle

    def settle(process: Any, order: Any, *, now: Any, recorded_at: Any) -> Any:
        return before(
            process, order, now=now + timedelta(seconds=30), recorded_at=recorded_at
        )

    return swapped(core, "settle", settle)


@bug("a deadline counts when a worker comes to it")
def as_it_comes() -> AbstractContextManager[Any]:
    before = settling.due_move

    def due_move(
        process: Any, order: Any, armed_at: Any, wait: Any, *, recorded_at: Any
    ) -> Any:
        return before(process, order, recorded_at, wait, recorded_at=recorded_at)

    return swapped(settling, "due_move", due_move)


@bug("deadlines that are over are caught up with in the wrong order")
def backwards() -> AbstractContextManager[Any]:
    before = settling.next_due

    def next_due(process: Any, order: Any) -> Any:
        waits = [
            (process.policies.time.armed_at(wait.due_at), wait)
            for wait in order.standing.deadlines
            if not wait.stopped_in and not wait.passed
        ]
        if len(waits) < 2:
            return before(process, order)
        return max(waits, key=lambda one: (one[0], one[1].name))

    return swapped(settling, "next_due", next_due)


@bug("people are heard before what is due is settled")
def unsettled() -> AbstractContextManager[Any]:
    def settled(self: Any, process: Any, order: Any, now: Any) -> Any:
        return settling.Decided(order=order)

    return swapped(core.Core, "settled", settled)


@bug(
    "a clock that goes back is believed",
    Sibling(
        name="a journal takes nothing that counts earlier",
        hides=False,
        off=_any_history,
    ),
)
def back_in_time() -> AbstractContextManager[Any]:
    def fold(self: Any, event: Any, standing: Any) -> Any:
        recorded = Recorded(
            seq=self.order.version + 1,
            event=event,
            by=self.by,
            effective_at=self.now - slow,
            recorded_at=self.now,
            standing=standing,
        )
        self.order = evolve(self.order, recorded)
        self.recorded.append(recorded)
        return recorded

    slow = timedelta(minutes=1)
    return swapped(case.Case, "fold", fold)


@bug("strangers may act", workloads=["hostile"])
def open_door() -> AbstractContextManager[Any]:
    return swapped(core, "_takes_part", lambda order, by: True)


@bug("roles are mixed up", workloads=["hostile"])
def any_role() -> AbstractContextManager[Any]:
    before = Process.row

    def row(self: Any, state: str, command: Any, role: Role) -> Any:
        found = before(self, state, command, role)
        rows = self.by_cell.get((state, command), ())
        return found or (rows[0] if rows and role is not Role.SYSTEM else None)

    return swapped(Process, "row", row)


def _self_dealing() -> Process[Any]:
    """
    Return a process in which a party may rule on his own order.
    """

    @decides(AssignMediator, version="1")
    def assign(case_: case.Case, command: AssignMediator) -> Any:
        yield case.Step(
            events=(MediatorAssigned(mediator_id=command.mediator_id),),
            drop=("mediator",),
        )

    return comeup().extend(name="self_dealing", decisions=[assign])


def _open_door() -> AbstractContextManager[Any]:
    return swapped(core, "_takes_part", lambda order, by: True)


@bug(
    "a party may be the mediator",
    Sibling(name="a mediator who is a party is a stranger", hides=True, off=_open_door),
    process=_self_dealing,
    people=[
        personas.prompt("buyer"),
        personas.prompt("seller"),
        personas.self_dealer(),
    ],
    workloads=["hostile"],
)
def self_dealing() -> AbstractContextManager[Any]:
    return ExitStack()


def _unchecked(owner: Any) -> AbstractContextManager[Any]:
    return swapped(owner, "check_placing", lambda command, by: None)


@bug(
    "one may buy from oneself",
    Sibling(
        name="the decision looks, too", hides=True, off=lambda: _unchecked(decisions)
    ),
    workloads=["hostile"],
)
def with_oneself() -> AbstractContextManager[Any]:
    return _unchecked(core)


@bug("the version a page was of does not matter", workloads=["hostile"])
def any_version() -> AbstractContextManager[Any]:
    before = core.Core.execute

    def execute(
        self: Any, order_id: str, command: Any, by: Any, key: Any, if_version: Any
    ) -> Any:
        return before(self, order_id, command, by, key, None)

    return swapped(core.Core, "execute", execute)


@bug("a repeated command gets what came after it, too")
def long_answer() -> AbstractContextManager[Any]:
    before = core.Core._replayed

    def replayed(self: Any, loaded: Any, ask: Any) -> Any:
        receipt = attrs.evolve(loaded.receipt, last=loaded.version)
        loaded = attrs.evolve(loaded, receipt=receipt)
        return (yield from before(self, loaded, ask))

    return swapped(core.Core, "_replayed", replayed)


@bug("what became due asks for nothing")
def quiet_deadlines() -> AbstractContextManager[Any]:
    before = core._joined

    def joined(first: Any, then: Any) -> Any:
        return before(attrs.evolve(first, effects=()), then)

    return swapped(core, "_joined", joined)


@bug("the stored order is not renewed")
def stale_snapshot() -> AbstractContextManager[Any]:
    before = core.Core.change

    def change(self: Any, process: Any, loaded: Any, *values: Any, **more: Any) -> Any:
        made = before(self, process, loaded, *values, **more)
        if made.state == "cancelled" and loaded.snapshot:
            made = attrs.evolve(made, due_at=loaded.due_at)
        return made

    return swapped(core.Core, "change", change)


@bug("an event forgets what was before it")
def broken_chain() -> AbstractContextManager[Any]:
    before = encode_event
    return swapped(
        core,
        "encode_event",
        lambda recorded, order_id, head: before(recorded, order_id, b""),
    )


@bug("an order runs under the rules of the day")
def live_rules() -> AbstractContextManager[Any]:
    before = core.summary

    def summary(order: Any, known: Any) -> Any:
        return {**before(order, known), "fingerprint": "today"}

    return all_of(
        swapped(core, "summary", summary), swapped(journal, "summary", summary)
    )


@bug("the clock is read for each event anew")
def restless() -> AbstractContextManager[Any]:
    before = case.Case._recorded

    def recorded(self: Any, order: Any, event: Any, standing: Any) -> Any:
        made = before(self, order, event, standing)
        later = timedelta(microseconds=len(self.recorded))
        return attrs.evolve(made, recorded_at=made.recorded_at + later)

    # A storage would not take what was written before it counts: that is the sibling.
    return all_of(
        swapped(case.Case, "_recorded", recorded),
        swapped(memory, "check_history", lambda change, **more: None),
    )


@bug("whoever was outrun runs on, and does not look")
def stubborn() -> AbstractContextManager[Any]:
    def commit(change: Any) -> Any:
        while True:
            try:
                (result,) = yield "commit", ((change,),)
            except OutcomeUnknownError:
                return None
            if result is CommitResult.DONE:
                return True

    return swapped(core, "commit", commit)


@bug(
    "a text may be of any length",
    people=[personas.prompt("buyer"), LongWinded(Role.SELLER)],
)
def verbose() -> AbstractContextManager[Any]:
    return swapped(inputs, "TEXT_BYTES_MAX", 10**9)


@bug("words are kept in the history itself")
def indiscreet() -> AbstractContextManager[Any]:
    before = encode_event

    def encoded(recorded: Any, order_id: str, head: bytes) -> Any:
        made = before(recorded, order_id, head)
        reason = getattr(recorded.event, "reason", "")
        body = made.body[:-1] + f',"was":"{reason!s}"}}'.encode()
        linked = link(
            head,
            order_id,
            seq=made.seq,
            name=made.name,
            effective_at=made.effective_at,
            recorded_at=made.recorded_at,
            settles=made.settles,
            body=body,
        )
        return attrs.evolve(made, body=body, hash=linked)

    return swapped(core, "encode_event", encoded)


@bug("no hash is looked at")
def gullible() -> AbstractContextManager[Any]:
    return swapped(journal, "first_broken", lambda order_id, events: None)


@bug("whoever moves an order to other rules writes by his own clock alone")
def by_hand() -> AbstractContextManager[Any]:
    def case_(**fields: Any) -> Any:
        return case.Case(**{**fields, "recorded_at": fields["now"]})

    moving = sys.modules["escrowflow.decisions.migration"]
    # A storage would not take it: that is the sibling.
    return all_of(
        swapped(moving, "Case", case_),
        swapped(memory, "check_history", lambda change, **more: None),
    )


# --- money that is wrong ----------------------------------------------------------


@bug("a new key for each attempt")
def new_keys() -> AbstractContextManager[Any]:
    before = payments._Mover.move

    def move(self: Any, gateway: Any, send: Any, effect: Any) -> Any:
        key = f"{effect.key}-{effect.attempt}"
        return before(self, gateway, send, attrs.evolve(effect, key=key))

    return swapped(payments._Mover, "move", move)


@bug(
    "nobody looks whether it was done",
    _keys(hides=True),
    faults={"gateway unanswered": 300},
)
def no_look_up() -> AbstractContextManager[Any]:
    def move(self: Any, gateway: Any, send: Any, effect: Any) -> Any:
        return send(effect)

    return swapped(payments._Mover, "move", move)


@bug("an error is taken for a refusal")
def pessimist() -> AbstractContextManager[Any]:
    before = payments._Mover.move

    def move(self: Any, gateway: Any, send: Any, effect: Any) -> Any:
        try:
            return before(self, gateway, send, effect)
        except Exception:
            return NotDone("it failed", again=True)

    return swapped(payments._Mover, "move", move)


@bug("what is under way is taken for a refusal")
def impatient() -> AbstractContextManager[Any]:
    before = payments._Mover.move

    def move(self: Any, gateway: Any, send: Any, effect: Any) -> Any:
        said = before(self, gateway, send, effect)
        if isinstance(said, RetryAt) and said.reference:
            return NotDone("it takes too long", again=True)
        return said

    return swapped(payments._Mover, "move", move)


@bug("an error is taken for done")
def optimist() -> AbstractContextManager[Any]:
    before = payments._Mover.move

    def move(self: Any, gateway: Any, send: Any, effect: Any) -> Any:
        try:
            return before(self, gateway, send, effect)
        except Exception:
            return Done("surely")

    return swapped(payments._Mover, "move", move)


@bug(
    "what is on its way is not waited for",
    _keys(hides=True),
    faults={"gateway late": 700},
)
def no_margin() -> AbstractContextManager[Any]:
    return swapped(payments, "_MARGIN", timedelta())


@bug(
    "that a backup was put back is nothing to whoever sends money",
    gateway="key_ignored",
    faults=["storage restored"],
)
def unaware() -> AbstractContextManager[Any]:
    before = payments._Mover._last_tried

    def last_tried(self: Any, can: Any, effect: Any) -> Any:
        return before(attrs.evolve(self, restored_at=None), can, effect)

    return swapped(payments._Mover, "_last_tried", last_tried)


@bug("what our books do not know is reconciled", faults=["storage restored"])
def discreet() -> AbstractContextManager[Any]:
    return swapped(reconciliation._Report, "rest", lambda self: ())


# Whoever pays from a wallet dies often, and comes back seldom.
WALLETS: Final = {"wallets": 1, "killed after": 120, "killed before": 60}


@bug("a debit comes back, and nobody asks its order", faults=WALLETS)
def open_handed() -> AbstractContextManager[Any]:
    def resolved(
        self: Any, engine: Any, wallet_id: str, seq: int, order_id: Any
    ) -> Any:
        wallet = yield from self._wallet(wallet_id)
        debit = wallet.debit(seq)
        if debit is not None:
            yield from self._returned(wallet_id, debit)
        return True

    return swapped(wallets.WalletCore, "_resolved", resolved)


@bug("nobody looks after debits whose sender died", faults=WALLETS)
def widowed() -> AbstractContextManager[Any]:
    def run_due(self: Any, engine: Any, limit: int) -> Any:
        yield from ()
        return SweepReport()

    return swapped(wallets.WalletCore, "run_due", run_due)


# Whoever withdraws meets a bank that often does not answer, refuses, or is slow.
WITHDRAWALS: Final = {
    "wallets": 1,
    "withdrawals": 1,
    "gateway unanswered": 200,
    "gateway refused": 200,
    "gateway pending": 200,
}


@bug(
    "a withdrawal is sent again, and nobody looks",
    _keys(hides=True),
    faults=WITHDRAWALS,
)
def withdrawn_twice() -> AbstractContextManager[Any]:
    before = payments._Mover.move

    def move(self: Any, gateway: Any, send: Any, effect: Any) -> Any:
        if effect.order_id.startswith(PREFIX):
            return send(effect)
        return before(self, gateway, send, effect)

    return swapped(payments._Mover, "move", move)


@bug("a withdrawal that failed is not given back", faults=WITHDRAWALS)
def pocketed() -> AbstractContextManager[Any]:
    before = withdrawals._under_way

    def under_way(wallet_: Any, command: Any) -> Any:
        event = before(wallet_, command)
        return None if isinstance(event, WithdrawalFailed) else event

    return swapped(withdrawals, "_under_way", under_way)


def _lax_accounts() -> AbstractContextManager[Any]:
    post = wallet.Accounts.post

    def lax(self: Any, postings: Mapping[str, int]) -> Any:
        lacking = max(0, -(self.balance + postings.get("balance", 0)))
        if lacking:
            postings = {
                **postings,
                "balance": postings["balance"] + lacking,
                "outside": postings.get("outside", 0) - lacking,
            }
        return post(self, postings)

    return swapped(wallet.Accounts, "post", lax)


@bug(
    "a withdrawal does not look at the balance",
    Sibling(name="books take no more than there is", hides=False, off=_lax_accounts),
    faults=WITHDRAWALS,
)
def overdrawn() -> AbstractContextManager[Any]:
    before = wallet.booked

    def booked(wallet_: Any, event: Any) -> Any:
        if isinstance(event, WithdrawalAsked):
            has = wallet_.balance(event.amount.currency)
            if event.amount > has:
                return attrs.evolve(event, balance=has - has)
        return before(wallet_, event)

    return swapped(wallets, "booked", booked)


# Whoever gives commands does so in transactions of his own, and often rolls them back.
WITHIN: Final = {"within": 300, "storage fails": 20}


@bug(
    "what is written in a host's transaction is committed at once",
    storage="sqlite",
    faults=WITHIN,
)
def hasty() -> AbstractContextManager[Any]:
    before = hosts.Joined._write

    def write(self: Any, asking: Any) -> Any:
        done = before(self, asking)
        self._host._connection.commit()
        return done

    return swapped(hosts.Joined, "_write", write)


@bug(
    "what is written in a host's transaction is written beside it",
    storage="sqlite",
    faults=WITHIN,
)
def beside() -> AbstractContextManager[Any]:
    def within(self: Any, handle: Any) -> Any:
        # The host's lock would keep everybody else from writing.
        handle.rollback()
        return self

    return swapped(SqliteStorage, "within", within)


@bug("a cent too much is sent back")
def generous() -> AbstractContextManager[Any]:
    before = asked._movements

    def movements(order: Any, recorded: Any) -> Any:
        for effect in before(order, recorded):
            if isinstance(effect, Refund) and effect.amount.minor > 1:
                cent = Money(1, effect.amount.currency)
                effect = attrs.evolve(effect, amount=effect.amount - cent)
            yield effect

    return swapped(asked, "_movements", movements)


@bug("money goes back to another payment")
def astray() -> AbstractContextManager[Any]:
    before = asked._movements

    def movements(order: Any, recorded: Any) -> Any:
        for effect in before(order, recorded):
            if isinstance(effect, Refund):
                other = attrs.evolve(effect.payment, reference="pay-0")
                effect = attrs.evolve(effect, payment=other)
            yield effect

    return swapped(asked, "_movements", movements)


@bug("the seller is paid twice")
def paid_twice() -> AbstractContextManager[Any]:
    before = asked._movements

    def movements(order: Any, recorded: Any) -> Any:
        for effect in before(order, recorded):
            yield effect
            if isinstance(effect, PayOut):
                yield attrs.evolve(effect, key=f"{effect.key[:-1]}x")

    return swapped(asked, "_movements", movements)


def _lax_ledger() -> AbstractContextManager[Any]:
    post = Ledger.post

    def lax(self: Any, postings: Mapping[str, int]) -> Any:
        postings = {**postings}
        postings["external"] = postings.get("external", 0) - sum(postings.values())
        return post(self, postings)

    return swapped(Ledger, "post", lax)


@bug(
    "a division loses a cent",
    Sibling(name="books take what adds up", hides=False, off=_lax_ledger),
)
def rounding() -> AbstractContextManager[Any]:
    before = settlement.to_seller

    def to_seller(case_: Any, **more: Any) -> Any:
        whole = before(case_, **more)
        cent = Money(1, whole.kept.currency)
        less = whole.to_seller - cent if whole.to_seller.minor > 1 else whole.to_seller
        return attrs.evolve(whole, to_seller=less)

    from escrowflow.decisions import delivery, dispute, revision

    return all_of(
        *(
            swapped(module, "to_seller", to_seller)
            for module in (delivery, dispute, revision)
            if "to_seller" in vars(module)
        )
    )


@bug(
    "a key stays the same when it is owed again",
    Sibling(
        name="a storage takes each key of an order once", hides=False, off=_any_history
    ),
)
def no_epochs() -> AbstractContextManager[Any]:
    before = effect_key
    return swapped(
        reports,
        "effect_key",
        lambda order_id, seq, kind, part, epoch=0: before(order_id, seq, kind, part),
    )


@bug("a report that comes twice is booked twice")
def booked_twice() -> AbstractContextManager[Any]:
    before = reports._reported

    def reported(case_: Any, owed: Any, command: Any, kinds: Any) -> Any:
        if command.status == "paid" and owed.status == "paid":
            yield case.Step(events=(RefundPaid(key=owed.key),))
        yield from before(case_, owed, command, kinds)

    return swapped(reports, "_reported", reported)


@bug(
    "money waits for ever where a bank took a payment back",
    faults={"gateway chargeback": 700, "gateway pending": 300},
)
def lapsing() -> AbstractContextManager[Any]:
    before = reports.may_leave
    return swapped(outbox, "may_leave", lambda *values: before(*values) or None)


def _on_hold() -> Process[Any]:
    """
    Return a process in which a bank holds the money until the seller accepts.
    """
    return comeup().with_policies(acceptance={"charge_at": "acceptance"})


@bug("what a bank only holds is taken for paid", process=_on_hold)
def too_rich() -> AbstractContextManager[Any]:
    def held(case_: Any, payment: Any) -> Any:
        return PaymentBooked(payment=payment, item="order"), ()

    return swapped(placing, "held", held)


@bug("a poison order stops the sweep")
def poisoned() -> AbstractContextManager[Any]:
    before = sweep._Sweep.settled

    def settled(self: Any, loaded: Any, now: Any) -> Any:
        if b"order-1" in loaded.snapshot:
            raise StorageError("poison")
        return before(self, loaded, now)

    return swapped(sweep._Sweep, "settled", settled)


@bug("what people write is repeated in an error")
def loose_tongue() -> AbstractContextManager[Any]:
    before = core._known

    def known(command: Any) -> None:
        before(command)
        if getattr(command, "reason", ""):
            raise InvalidInputError("reason", f"what is {command.reason!r}?")

    return swapped(core, "_known", known)


@bug("a token of a claim is not looked at", _keys(hides=False))
def tokenless() -> AbstractContextManager[Any]:
    def is_current(self: Any, result: Any) -> bool:
        return result.key in self.effects

    return swapped(memory._Order, "is_current", is_current)


@bug("money that was told to have failed is closed")
def forgiven() -> AbstractContextManager[Any]:
    before = money.encoded

    def encoded(done: Any, ready_at: int) -> Any:
        return [
            attrs.evolve(new, status="done") if new.status == "parked" else new
            for new in before(done, ready_at)
        ]

    return swapped(money, "encoded", encoded)
