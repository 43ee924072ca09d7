"""
Money on its way: an engine, gateways that are not there, and what must hold whatever
they do.

A till lives an order to its end, runs its worker round by round with the clock moved
in between, and compares after each round what the gateways really did with what the
order asked for.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import attrs

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock, from_micros, to_micros
from escrowflow.engine import Engine, Retries
from escrowflow.events import EVENTS
from escrowflow.history import evolve
from escrowflow.money import Payment
from escrowflow.storage.codec import decode_event
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import Split
from escrowflow.testing.gateways import Applied, Killed, SimulatedGateway
from escrowflow.testing.given import LAST
from escrowflow.testing.invariants import check_money
from escrowflow.worker import Worker
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    T0,
    WAY,
    an_engine,
    an_order,
    eur,
    paid,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from pendulum import DateTime

    from escrowflow.events import Recorded
    from escrowflow.order import Order
    from escrowflow.rules import Policies
    from escrowflow.states import Process
    from escrowflow.storage import Change, Storage, StoredEvent

__all__ = ["KINDS", "LIVES", "MOMENTS", "Till", "begun"]

KINDS: Final = ("refund", "pay_out")


def payments_of(order_id: str) -> tuple[Payment, Payment]:
    """
    Return what an order was paid with: by card and by PayPal.
    """
    return paid(f"pi_{order_id}", eur(60)), Payment("paypal", f"pp_{order_id}", eur(40))


# What is due between two rounds is waited for; nothing takes longer than this many.
_ROUNDS_MAX: Final = 400

# What is under way ends well by itself, after so many rounds.
_UNDER_WAY: Final = 8

# What makes an order owe money, by name.
LIVES: Final[dict[str, tuple[tuple[Any, c.Command], ...]]] = {
    # 60 and 40 go back to two payments.
    "cancelled": ((ANA, c.CancelOrder()),),
    # 100 go to the seller.
    "completed": (
        (LUC, c.AcceptOrder()),
        (LUC, c.DeliverOrder(note="here")),
        (ANA, c.ApproveDelivery()),
    ),
    # 25 go back by agreement; then 15 and 60, when he gives up.
    "partial": (
        (LUC, c.AcceptOrder()),
        (LUC, c.ProposePartialRefund(amount=eur(25), reason="late")),
        (ANA, c.AcceptPartialRefund()),
        (LUC, c.CancelOrder(reason="ill")),
    ),
    # 40 and 30 go back, 30 to the seller.
    "split": (
        (LUC, c.AcceptOrder()),
        (LUC, c.DeliverOrder(note="here")),
        (ANA, c.RequestRevision(reason="blue")),
        (LUC, c.RefuseRevision(reason="no")),
        (ANA, c.OpenDispute(reason="not right")),
        (MIA, c.AssignMediator(mediator_id="mia")),
        (MIA, c.RuleDispute(ruling=Split(to_buyer=eur(70)), reason="half")),
    ),
}


class _Kept:
    """
    A storage that remembers what is written to it.
    """

    def __init__(self) -> None:
        self._inner = MemoryStorage()
        self.changes: list[Change] = []

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._inner, verb)

    def load(self, order_id: str, key: str | None = None) -> Any:
        """
        Load: an engine asks whether this is a coroutine function.
        """
        return self._inner.load(order_id, key)

    def commit(self, changes: Any) -> Any:
        """
        Write, and remember.
        """
        self.changes += changes
        return self._inner.commit(changes)


def begun(
    lines: Iterable[str], process: Process[Policies] = COMEUP
) -> tuple[Change, ...]:
    """
    Return what writes the orders of an export, one each; without their keys.
    """
    kept: Any = _Kept()
    an_engine(kept, process).restore(lines)
    return tuple(change for change in kept.changes if change.events)


@cache
def _lived(life: str, order_id: str) -> Change:
    """
    Return what writes an order that owes money.
    """
    engine = an_engine(MemoryStorage())
    order = an_order(payment=payments_of(order_id))
    engine.place(order, by=ANA, order_id=order_id)
    for by, command in LIVES[life] if life in LIVES else WAY[life]:
        engine.execute(order_id, command, by=by)
    (change,) = begun(engine.export())
    return change


# When a worker is killed at a call: before it is sent, once it is done and nobody has
# heard the answer, and once the answer is written.
MOMENTS: Final = ("sent", "heard", "written")


class _Knife:
    """
    Kills a worker at one of its calls to a gateway.
    """

    def __init__(self, inner: Any, at: int, moment: str) -> None:
        self._storage = inner
        self._at = at
        self._moment = moment
        self._calls = 0
        self._heard = False

    def __getattr__(self, verb: str) -> Any:
        asked = getattr(self._storage, verb)
        if verb not in ("commit", "settle_effect"):
            return asked

        def write(*values: Any) -> Any:
            said = asked(*values)
            if self._heard and self._moment == "written":
                raise Killed
            return said

        return write

    def load(self, order_id: str, key: str | None = None) -> Any:
        """
        Load: an engine asks whether this is a coroutine function.
        """
        return self._storage.load(order_id, key)

    def around(self, gateway: SimulatedGateway) -> Any:
        """
        Return a gateway at whose calls the worker may be killed.
        """
        return _Watched(gateway, self)

    def call(self, done: Callable[[Any], Any], effect: Any) -> Any:
        """
        Call, and perhaps never return.
        """
        self._calls += 1
        if self._calls != self._at:
            return done(effect)
        if self._moment == "sent":
            raise Killed
        said = done(effect)
        if self._moment == "heard":
            raise Killed
        self._heard = True
        return said


class _Watched:
    """
    A gateway whose every call may be the last one of its caller.
    """

    def __init__(self, inner: SimulatedGateway, knife: _Knife) -> None:
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities
        self.knife = knife

    def refund(self, effect: Any) -> Any:
        return self.knife.call(self.inner.refund, effect)

    def pay_out(self, effect: Any) -> Any:
        return self.knife.call(self.inner.pay_out, effect)

    def look_up(self, effect: Any) -> Any:
        return self.knife.call(self.inner.look_up, effect)


# Thousands of tills begin with the same few histories.
@lru_cache(maxsize=4096)
def _recorded(event: StoredEvent, texts: frozenset[tuple[str, str]]) -> Recorded:
    return decode_event(event, dict(texts), EVENTS)


@attrs.define
class Till:
    """
    An engine, its clock, and its gateways: one for cards and payouts, one for PayPal.

    Args:
        profile: How both gateways behave.

        lives: What makes its orders owe money, by name; they are `o1` and so on.

        orders: Others, in place of these.
    """

    profile: str
    lives: tuple[str, ...] = ("split",)
    orders: tuple[Change, ...] = ()
    process: Process[Policies] = COMEUP
    restored_at: datetime | None = None
    retries: Retries | None = None
    clock: FakeClock = attrs.field(factory=lambda: FakeClock(T0))
    storage: Storage = attrs.field(factory=MemoryStorage)
    card: SimulatedGateway = attrs.field(init=False)
    paypal: SimulatedGateway = attrs.field(init=False)
    engine: Engine = attrs.field(init=False)
    kills: int = 0
    wrapped: list[Any] = attrs.field(factory=list)
    # How many requests each gateway had had when the database was put back.
    forgotten: dict[str, int] = attrs.field(factory=dict)
    # What each key there ever was stands for, those that were lost included.
    ever: dict[str, tuple[str, int, str, str]] = attrs.field(factory=dict)
    # Since when it is owed, and the orders as far as their histories were read.
    began: dict[str, DateTime] = attrs.field(factory=dict)
    read: dict[str, Order] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.card = SimulatedGateway(self.profile, self.clock, name="card")
        self.paypal = SimulatedGateway(self.profile, self.clock, name="paypal")
        self.engine = self.an_engine()
        if not self.orders:
            self.orders = tuple(
                _lived(life, f"o{number}") for number, life in enumerate(self.lives, 1)
            )
        self.storage.commit(self.orders)
        for order_id in self.order_ids:
            for payment in self.engine.order(order_id).payments:
                through = self.card
                if payment.payment.method == "paypal":
                    through = self.paypal
                booked = attrs.evolve(payment.payment, amount=payment.amount)
                through.paid(booked, order_id)

    def an_engine(self, storage: Any = None) -> Engine:
        """
        Return another engine for the same orders.
        """
        return an_engine(
            storage or self.storage,
            self.process,
            clock=self.clock,
            retries=self.retries,
        )

    @property
    def order_ids(self) -> list[str]:
        """
        The orders.
        """
        return [change.order_id for change in self.orders]

    @property
    def gateways(self) -> tuple[SimulatedGateway, ...]:
        """
        Both gateways.
        """
        return self.card, self.paypal

    @property
    def order(self) -> Order:
        """
        The first order.
        """
        return self.engine.order("o1")

    # --- what a worker does -------------------------------------------------------

    def handlers(self) -> Any:
        """
        Return what carries out money here.
        """
        card, paypal = self.wrapped or self.gateways
        return payments.handlers(
            card,
            methods={"paypal": paypal, "wallet": card},
            clock=self.clock,
            restored_at=self.restored_at,
        )

    def round(self) -> None:
        """
        Do one round; a worker that is killed is replaced.
        """
        worker = Worker(self.engine, self.handlers(), kinds=KINDS)
        try:
            worker.run_once()
        except Killed:
            self.kills += 1
            self.engine = self.an_engine()
        self.check()

    def kill_at(self, call: int, moment: str) -> None:
        """
        Have the worker killed once.

        Args:
            call: At which call to a gateway, from 1.

            moment: One of `MOMENTS`.
        """
        knife = _Knife(self.storage, call, moment)
        self.wrap(knife.around)
        self.engine = self.an_engine(knife)

    def wrap(self, around: Callable[[SimulatedGateway], Any]) -> None:
        """
        Put something around both gateways.
        """
        self.wrapped = [around(gateway) for gateway in self.gateways]

    def put_back(self, storage: Storage, backup: list[str]) -> None:
        """
        Go on with what was stored earlier.
        """
        self.storage = storage
        self.read.clear()
        self.engine = self.an_engine()
        self.engine.restore(backup)
        self.restored_at = self.clock.now()
        for gateway in self.gateways:
            self.forgotten[gateway.name] = len(gateway.requests)

    def next(self) -> bool:
        """
        Let time pass until there is something to do; false if nothing is to come.
        """
        now = to_micros(self.clock.now())
        ready_at = self.storage.next_effect(now, LAST, KINDS)
        if ready_at is None:
            return False
        if ready_at > now:
            self.clock.advance(from_micros(ready_at) - self.clock.now())
        return True

    def settle(self) -> None:
        """
        Run rounds until nothing is to come.
        """
        for number in range(1, _ROUNDS_MAX):
            if not self.next():
                # What was on its way arrives.
                self.clock.advance(minutes=5)
                self.check()
                return
            self.round()
            if not number % _UNDER_WAY:
                self.finish()
        raise AssertionError(f"never quiet: {self.engine.effects('o1')}")

    # --- what other people do -----------------------------------------------------

    def tell(self, reports: Iterable[tuple[str, c.Command]]) -> None:
        """
        Deliver webhooks; what is refused is refused.
        """
        for order_id, command in reports:
            self.engine.attempt(order_id, command, by=STRIPE)
            self.check()

    def webhooks(self) -> list[tuple[str, c.Command]]:
        """
        Return what both gateways have to say.
        """
        return [said for gateway in self.gateways for said in gateway.reports()]

    def human(self) -> int:
        """
        Do what a human does with what is stuck: look at the gateway, and report what
        is there; return how much there was.
        """
        stuck = self.engine.stuck()
        causes = self.causes()
        for one in stuck:
            # Under whatever key: some were lost with what was restored.
            done = [
                applied
                for applied in self.applied()
                if causes[applied.key] == causes[one.key]
            ]
            owed = self.owed(one.order_id, one.key)
            if owed.status == "failed":
                # It is proved already that nothing happened: try again.
                self.engine.redrive(one.order_id, one.key)
                continue
            fields: dict[str, Any] = {"key": one.key, "status": "failed"}
            if done:
                self._finished(done[-1])
                fields |= {"status": "paid", "reference": done[-1].reference}
            else:
                fields |= {"again": True, "reason": "nothing there"}
            report = c.ReportRefund if one.kind == "refund" else c.ReportPayout
            self.engine.execute(one.order_id, report(**fields), by=OPS)
        self.check()
        return len(stuck)

    def finish(self) -> None:
        """
        Have what is under way end well.
        """
        for applied in self.applied():
            self._finished(applied)

    def _finished(self, applied: Applied) -> None:
        for gateway in self.gateways:
            if applied.status == "pending" and applied in gateway.applied:
                gateway.finish(applied.reference)

    def closed(self) -> int:
        """
        Bring everything to its end, with what humans have to do; return how much that
        was.
        """
        self.settle()
        asked = 0
        for _ in range(200):
            found = self.human()
            if not found:
                self.check_closed()
                return asked
            asked += found
            self.settle()
        raise AssertionError(f"stuck for ever: {self.engine.stuck()}")

    def owed(self, order_id: str, key: str) -> Any:
        """
        Return what is owed under a key.
        """
        order = self.engine.order(order_id)
        return order.refund(key) or order.payout(key)

    # --- what must hold -----------------------------------------------------------

    def applied(self) -> list[Applied]:
        """
        Return what really happened, whatever failed later left out.
        """
        return [
            one
            for gateway in self.gateways
            for one in gateway.applied
            if one.status != "failed"
        ]

    def counts(self) -> Counter[tuple[str, int, str, str]]:
        """
        Return how often each thing that is owed was done: by order, the event that
        owes it, kind, and part.
        """
        return Counter(self.causes()[one.key] for one in self.applied())

    def causes(self) -> dict[str, tuple[str, int, str, str]]:
        """
        Return what each key there ever was stands for.
        """
        for order_id in self.order_ids:
            self._read(order_id)
        return self.ever

    def _read(self, order_id: str) -> None:
        """
        Read what is new in the history of an order.
        """
        order = self.read.get(order_id)
        seen = 0 if order is None else order.version
        texts = frozenset(self.storage.load(order_id).texts.items())
        for event in self.storage.events(order_id, seen):
            recorded = _recorded(event, texts)
            self.read[order_id] = order = evolve(order, recorded)
            for refund in order.refunds:
                part = refund.payment.reference
                self.ever[refund.key] = (order_id, refund.seq, "refund", part)
                self.began.setdefault(refund.key, recorded.recorded_at)
            for payout in order.payouts:
                part = payout.seller_id
                self.ever[payout.key] = (order_id, payout.seq, "pay_out", part)
                self.began.setdefault(payout.key, recorded.recorded_at)

    def check(self) -> None:
        """
        Hold what the gateways did against what was asked of them.
        """
        causes = self.causes()
        applied = self.applied()
        # I6: nothing happens twice.
        counts = Counter(causes[one.key] for one in applied)
        assert all(count == 1 for count in counts.values()), counts
        # I8: a key says one thing.
        said: dict[str, Any] = {}
        for gateway in self.gateways:
            for request in gateway.requests:
                assert said.setdefault(request.key, request.body) == request.body
        for order_id in self.order_ids:
            self._check_order(order_id, applied)

    def _check_order(self, order_id: str, applied: list[Applied]) -> None:
        order = self.engine.order(order_id)
        # I2: no more leaves than came in, nor than the books say is owed or paid.
        back = sum(
            one.amount.minor
            for one in applied
            if (one.order_id, one.kind) == (order_id, "refund")
        )
        out = sum(
            one.amount.minor
            for one in applied
            if (one.order_id, one.kind) == (order_id, "pay_out")
        )
        books = order.ledger
        assert back <= books.refunded.minor
        assert out <= books.released.minor
        assert back + out <= books.paid_in.minor
        check_money(order)
        # I29: another key only after it was recorded that the old one did nothing.
        for gateway in self.gateways:
            for request in gateway.requests[self.forgotten.get(gateway.name, 0) :]:
                if request.order_id == order_id:
                    assert request.at >= self.began[request.key]

    def check_closed(self) -> None:
        """
        I3: nothing is owed any more, and everything happened once.
        """
        assert self.engine.stuck() == ()
        counts = self.counts()
        for order_id in self.order_ids:
            order = self.engine.order(order_id)
            books = order.ledger
            assert (books.refundable, books.payable) == (0, 0)
            owing: list[Any] = [*order.refunds, *order.payouts]
            assert {one.status for one in owing} <= {"paid", "covered"}
            paid_keys = {one.key for one in owing if one.status == "paid"}
            causes = {cause for key, cause in self.causes().items() if key in paid_keys}
            assert {cause for cause in counts if cause[0] == order.id} == causes
        assert self.engine.verify().faults == ()
