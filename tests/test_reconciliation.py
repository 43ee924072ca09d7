"""
A gateway's report against our books: everything that differs is found, nothing else is,
and nothing is moved (I30, F45).

The report is what a simulated gateway really did over many lives; wrong lines are
planted in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.effects import effect_key
from escrowflow.engine import AsyncEngine, Engine, OrderPage
from escrowflow.errors import InvalidInputError
from escrowflow.money import Money, Payment
from escrowflow.parties import Role
from escrowflow.payments import Difference, Line
from escrowflow.payments.wallets import Wallets
from escrowflow.storage import threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing.gateways import (
    FAILS_LATER,
    PENDING,
    REFUSED,
    UNANSWERED,
    SimulatedGateway,
)
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    STRIPE,
    T0,
    an_engine,
    an_order,
    brought_to,
    eur,
)
from tests.till import LIVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pendulum import DateTime

    from escrowflow.events import Recorded
    from escrowflow.order import Order

KINDS: Final = ("refund", "pay_out")
MARGIN: Final = timedelta(days=3)

# Before anything was ever moved.
BEFORE: Final = FakeClock(T0).now().subtract(hours=1)

# How many orders there are, how many of them begin at once, and of how many one is lived
# through; the others are only paid, each in five parts.
ORDERS: Final = 2100
BATCH: Final = 100
LIVED: Final = 5
FEW: Final = 4 * BATCH

# What a wrong line can be, and how many there are of each: one in a thousand.
WRONG: Final = (
    "missing_at_gateway",
    "unknown_to_us",
    "amount_differs",
    "currency_differs",
    "part_differs",
    "order_differs",
    "status_differs",
    "twice",
)


class World(NamedTuple):
    """
    Orders that were lived through, and what their gateway did.
    """

    engine: Engine
    clock: FakeClock
    began: DateTime
    lines: tuple[Line, ...]


def lived_through(profile: str, orders: int) -> World:
    """
    Live many orders through, with the troubles that gateways have.
    """
    clock = FakeClock(T0)
    began = clock.now()
    engine = an_engine(MemoryStorage(), clock=clock)
    gateway = SimulatedGateway(profile, clock, name="mypay")
    handlers = payments.handlers(gateway, clock=clock)
    rng = random.Random(profile)
    lives = tuple(LIVES)

    def hear() -> None:
        for told, command in gateway.reports():
            engine.attempt(told, command, by=STRIPE)

    def work() -> None:
        for _ in range(4):
            engine.run_effects(handlers, KINDS, 1000)
            hear()
            clock.advance(minutes=20)

    for number in range(orders):
        order_id = f"o{number}"
        parts = (60, 40) if number % LIVED == 0 else (20,) * 5
        paid = tuple(
            Payment("card", f"pi_{part}_{order_id}", eur(amount))
            for part, amount in enumerate(parts)
        )
        engine.place(an_order(payment=paid), by=ANA, order_id=order_id)
        for payment in paid:
            gateway.paid(payment, order_id)
        if number % 12 == 0:
            taken = gateway.charge_back(paid[0].reference)
            if number % 5:
                gateway.close_chargeback(taken, won=number % 24 == 0)
            hear()
        if number % LIVED == 0:
            for by, command in LIVES[lives[number // LIVED % len(lives)]]:
                engine.attempt(order_id, command, by=by)
        if number % BATCH == BATCH - 1:
            gateway.next(
                *rng.choices((PENDING, FAILS_LATER, UNANSWERED, REFUSED), k=BATCH // 5)
            )
            work()
            for one in gateway.applied[-BATCH:]:
                if one.status == "pending":
                    gateway.finish(one.reference, paid=rng.random() < 0.7)
                elif one.status == "paid" and rng.random() < 0.05:
                    gateway.bounce(one.reference)
            hear()
            for stuck in engine.stuck():
                if rng.random() < 0.7:
                    engine.redrive(stuck.order_id, stuck.key)
            work()
            clock.advance(hours=36)
    clock.advance(days=4)
    work()
    return World(engine, clock, began, gateway.statement())


@attrs.frozen
class Read:
    """
    The orders of an engine, read once: an engine that only reads will do.
    """

    clock: FakeClock
    all: tuple[Order, ...]
    histories: dict[str, tuple[Recorded, ...]] = attrs.field(factory=dict)
    engine: Engine | None = None

    @staticmethod
    def of(engine: Engine, clock: FakeClock) -> Read:
        """
        Read all that there is.
        """
        found: list[Order] = []
        after = None
        while True:
            page = engine.orders(after=after, limit=1000)
            found += page.items
            after = page.after
            if after is None:
                return Read(clock, tuple(found), engine=engine)

    def orders(self, *, after: str | None = None, limit: int = 50) -> OrderPage:
        """
        Return a page of them.
        """
        begin = int(after or 0)
        page = self.all[begin : begin + limit]
        more = begin + limit < len(self.all)
        return OrderPage(page, str(begin + limit) if more else None)

    def history(self, order_id: str) -> tuple[Recorded, ...]:
        """
        Return one history.
        """
        if order_id not in self.histories:
            assert self.engine is not None
            self.histories[order_id] = self.engine.history(order_id)
        return self.histories[order_id]


@cache
def world(orders: int = ORDERS) -> World:
    """
    Return the orders that all tests of this page read; fewer, where they say the same.
    """
    return lived_through("perfect", orders)


@cache
def read(orders: int = ORDERS) -> Read:
    """
    Return the orders of a world, read once.
    """
    lived = world(orders)
    return Read.of(lived.engine, lived.clock)


def serious(differences: Iterable[Difference]) -> Counter[tuple[str, str]]:
    """
    Return what does not come right by itself: code and name.
    """
    return Counter(
        (one.code, (one.line or one.booked or one).name)  # type: ignore[union-attr]
        for one in differences
        if not one.in_transit
    )


# --- planting ---------------------------------------------------------------------


def planted(
    rng: random.Random, lines: Sequence[Line], each: int, before: DateTime
) -> tuple[list[Line | dict[str, Any]], Counter[tuple[str, str]]]:
    """
    Return a report with so many wrong lines of each kind, and what is wrong.

    Args:
        before: Only what was moved before; the rest may be on its way.
    """
    report = list(lines)
    live = [
        number
        for number, line in enumerate(report)
        if line.status != "failed" and line.at < before
    ]
    # Payments are many: of the others more are chosen.
    live.sort(key=lambda at: rng.random() * (1 if lines[at].kind == "payment" else 4))
    expected: Counter[tuple[str, str]] = Counter()
    added: list[Line] = []
    gone: set[int] = set()
    # One wrong line an order: of two it could not be told which is meant.
    touched: set[str] = set()
    for code in WRONG:
        for count in range(each):
            while report[live[-1]].order_id in touched:
                live.pop()
            number = live.pop()
            line = report[number]
            touched.add(line.order_id)
            expected[code, line.name] += 1
            if code == "missing_at_gateway":
                gone.add(number)
            elif code == "unknown_to_us":
                del expected[code, line.name]
                odd = attrs.evolve(line, reference=f"odd_{count}", key="")
                expected[code, odd.name] += 1
                added.append(odd)
            elif code == "twice":
                added.append(line)
            else:
                report[number] = WRONGED[code](line)
    kept = [line for number, line in enumerate(report) if number not in gone] + added
    rng.shuffle(kept)
    return [line if rng.random() < 0.5 else plain(line) for line in kept], expected


OTHER: Final = {
    "paid": "failed",
    "pending": "paid",
    "opened": "lost",
    "won": "lost",
    "lost": "opened",
}
WRONGED: Final[dict[str, Callable[[Line], Line]]] = {
    "amount_differs": lambda line: attrs.evolve(
        line, amount=Money(line.amount.minor + 1, "EUR")
    ),
    "currency_differs": lambda line: attrs.evolve(
        line, amount=Money(line.amount.minor, "USD")
    ),
    "part_differs": lambda line: attrs.evolve(line, part="somebody"),
    "order_differs": lambda line: attrs.evolve(line, order_id="another"),
    "status_differs": lambda line: attrs.evolve(line, status=OTHER[line.status]),
}


def plain(line: Line) -> dict[str, Any]:
    """
    Return a line as a CSV file has it.
    """
    fields = attrs.asdict(line, recurse=False)
    fields["amount"] = str(line.amount.amount)
    fields["currency"] = line.amount.currency
    fields["at"] = line.at.isoformat()
    return fields


@pytest.mark.proof
class TestReconcile:
    """
    Ten thousand lines.
    """

    def test_what_the_gateway_did(self) -> None:
        """
        Our books and the report agree, whatever went wrong on the way.
        """
        lived = world()

        assert len(lived.lines) >= 10_000
        assert {line.kind for line in lived.lines} == {*KINDS, "payment", "chargeback"}
        assert {line.status for line in lived.lines} >= {"failed", "opened", "won"}
        assert serious(payments.reconcile(lived.lines, lived.engine)) == Counter()

    @settings(max_examples=8)
    @given(seed=st.integers(0, 2**32))
    def test_one_in_a_thousand(self, seed: int) -> None:
        """
        F45: with one wrong line of each kind in a thousand all are found, and no other
        one is.
        """
        lived = world()
        each = len(lived.lines) // 1000
        before = lived.clock.now() - timedelta(days=10)
        report, expected = planted(random.Random(seed), lived.lines, each, before)

        found = serious(payments.reconcile(report, read()))

        assert found == expected
        assert expected.total() == each * len(WRONG)

    @settings(max_examples=8)
    @given(st.integers(0, 8 * 24), st.integers(1, 12 * 24), st.integers(0, 96))
    def test_any_period(self, begins: int, hours: int, margin: int) -> None:
        """
        A report of a part of the time agrees, wherever it begins and ends: what was
        moved at its edges is on its way.
        """
        lived = world(FEW)
        since = lived.began + timedelta(hours=begins)
        until = min(since + timedelta(hours=hours), lived.clock.now())
        report = [line for line in lived.lines if since <= line.at < until]

        found = payments.reconcile(
            report,
            read(FEW),
            since=since,
            until=until,
            margin=timedelta(hours=margin),
        )

        assert serious(found) == Counter()

    @settings(max_examples=3)
    @given(st.integers(0, 2**32), st.integers(10, 20))
    def test_periods_that_overlap(self, seed: int, days: int) -> None:
        """
        What is missing is found by one of two reports that overlap by twice the margin.
        """
        lived = world(FEW)
        rng = random.Random(seed)
        ends = lived.clock.now() - 2 * MARGIN
        lines = [line for line in lived.lines if line.status != "failed"]
        gone = {id(line) for line in rng.sample(lines, 10) if line.at < ends}
        missing = {line.name for line in lines if id(line) in gone}
        report = [line for line in lived.lines if id(line) not in gone]
        found: set[str] = set()

        since = lived.began - MARGIN
        while since < lived.clock.now():
            until = min(since + timedelta(days=days), lived.clock.now())
            part = [line for line in report if since <= line.at < until]
            for code, name in serious(
                payments.reconcile(part, read(FEW), since=since, until=until)
            ):
                assert code == "missing_at_gateway"
                found.add(name)
            since += timedelta(days=days) - 2 * MARGIN

        assert found == missing

    def test_nothing_is_written(self) -> None:
        """
        I30: no difference moves anything by itself.
        """
        lived = world(FEW)
        before = digest(lived.engine)

        found = list(payments.reconcile((), lived.engine))

        assert len(found) > 1000 * FEW // ORDERS
        assert digest(lived.engine) == before

    def test_awaited(self) -> None:
        """
        The same, awaited.
        """
        lived = world(FEW)
        lines = lived.lines[::2]

        async def compared() -> list[Difference]:
            engine = AsyncEngine(
                COMEUP, threaded(lived.engine.storage), clock=lived.clock
            )
            found = payments.reconcile_async(lines, engine)
            return [one async for one in found]

        assert asyncio.run(compared()) == list(payments.reconcile(lines, read(FEW)))

    @pytest.mark.parametrize("profile", ["bare", "stripe_v1"])
    def test_other_gateways(self, profile: str) -> None:
        """
        Also where a report does not name our keys: what nobody heard of is found by what
        it is, and its command ends it.
        """
        lived = lived_through(profile, FEW)
        unheard = [
            one
            for one in payments.reconcile(lived.lines, lived.engine)
            if not one.in_transit
        ]

        assert bool(unheard) == (profile == "bare")
        for one in unheard:
            assert one.code == "status_differs"
            assert one.booked is not None
            assert one.command is not None
            assert (one.booked.status, one.booked.reference) == ("sent", "")
            lived.engine.execute(one.order_id, one.command, by=STRIPE)

        lived.clock.advance(days=5)
        before = lived.clock.now() - timedelta(days=9)
        report, expected = planted(random.Random(1), lived.lines, 2, before)
        assert serious(payments.reconcile(lived.lines, lived.engine)) == Counter()
        assert serious(payments.reconcile(report, lived.engine)) == expected


def digest(engine: Engine) -> str:
    """
    Return what stands for everything that is stored.
    """
    found = hashlib.sha256()
    for line in engine.export():
        found.update(line.encode())
    return found.hexdigest()


# --- one order --------------------------------------------------------------------


class Shop:
    """
    One order, a gateway, and the lines of a report.
    """

    def __init__(self, state: str = "cancelled") -> None:
        self.clock = FakeClock(T0)
        self.engine = an_engine(MemoryStorage(), clock=self.clock)
        self.gateway = SimulatedGateway("perfect", self.clock, name="mypay")
        self.gateway.paid(Payment("card", "pi_1", eur(100)), "o1")
        brought_to(self.engine, state)

    def run(self) -> None:
        """
        Carry out what is asked for.
        """
        handlers = payments.handlers(self.gateway, clock=self.clock)
        self.engine.run_effects(handlers, KINDS)

    def found(self, **options: Any) -> list[Difference]:
        """
        Return what the gateway's report says otherwise.
        """
        report = self.gateway.statement()
        return list(payments.reconcile(report, self.engine, **options))

    def codes(self, **options: Any) -> list[tuple[str, str]]:
        """
        Return the codes, with what they will be called.
        """
        return [(one.code, one.otherwise) for one in self.found(**options)]


class TestTime:
    """
    What is on its way is no difference yet, and stays none for the margin only.
    """

    def test_we_have_not_heard_yet(self) -> None:
        """
        What the gateway did a moment ago may be news to us; after the margin it is not.
        """
        shop = Shop()
        shop.gateway.next(PENDING)
        shop.run()
        (applied,) = shop.gateway.applied
        shop.gateway.finish(applied.reference)

        before = shop.codes()
        shop.clock.advance(days=3)

        assert before == [("in_transit", "status_differs")]
        assert shop.codes() == [("status_differs", "status_differs")]

    def test_the_report_has_not_heard_yet(self) -> None:
        """
        What we did a moment before the report ends may be on the next one.
        """
        shop = Shop()
        shop.clock.advance(days=1)
        shop.run()
        report = [line for line in shop.gateway.statement() if line.kind == "payment"]
        until = shop.clock.now() + timedelta(hours=1)
        shop.clock.advance(days=30)

        def codes(**options: Any) -> list[str]:
            found = payments.reconcile(report, shop.engine, **options)
            return [one.code for one in found]

        assert codes(until=until) == ["in_transit"]
        assert codes(until=until, margin=timedelta(minutes=59)) == [
            "missing_at_gateway"
        ]
        assert codes() == ["missing_at_gateway"]
        assert codes(until=shop.clock.now() - timedelta(days=30)) == []
        assert codes(until=until, methods=["paypal"], margin="PT0S") == []

    def test_another_report_has_it(self) -> None:
        """
        What was moved before the report begins is on an earlier one.
        """
        shop = Shop()
        shop.run()
        shop.clock.advance(days=60)

        for hours, codes in ((1, []), (0, ["in_transit"] * 2)):
            since = FakeClock(T0).now() + timedelta(hours=hours)
            found = payments.reconcile((), shop.engine, since=since)
            assert [one.code for one in found] == codes

    def test_owed(self) -> None:
        """
        What has surely not left is not missed.
        """
        shop = Shop()
        shop.clock.advance(days=60)

        assert shop.codes() == []


class TestWays:
    """
    Each difference says what can be done, and by whom.
    """

    @pytest.mark.parametrize("state", ["cancelled", "completed"])
    def test_a_command_ends_it(self, state: str) -> None:
        """
        What came back unheard of is reported with the command of the difference.
        """
        shop = Shop(state)
        shop.run()
        (applied,) = shop.gateway.applied
        shop.gateway.bounce(applied.reference)
        shop.clock.advance(days=30)

        (one,) = shop.found()

        assert one.code == "status_differs"
        assert one.command is not None
        assert [(way.command, way.by) for way in one.ways] == [
            (one.command.name, Role.PROVIDER | Role.OPERATOR)
        ]
        shop.engine.execute("o1", one.command, by=STRIPE)
        assert shop.found() == []

    @pytest.mark.parametrize("won", [True, False, None])
    def test_a_chargeback_nobody_told_of(self, won: bool | None) -> None:
        """
        An unknown chargeback has the command that books it.
        """
        shop = Shop("in_progress")
        taken = shop.gateway.charge_back("pi_1")
        if won is not None:
            shop.gateway.close_chargeback(taken, won=won)
        shop.clock.advance(days=30)

        (one,) = shop.found()

        assert (one.code, one.kind, one.order_id) == (
            "unknown_to_us",
            "chargeback",
            "o1",
        )
        assert one.command is not None
        shop.engine.execute("o1", one.command, by=STRIPE)
        assert shop.found() == []

    def test_paid_twice(self) -> None:
        """
        Two movements under one key are the same money twice, and no command mends it.
        """
        shop = Shop()
        shop.run()
        shop.clock.advance(days=30)
        report = shop.gateway.statement()
        (line,) = (line for line in report if line.kind == "refund")

        again = attrs.evolve(line, reference="re_2")
        (one,) = payments.reconcile((*report, again), shop.engine)

        assert (one.code, one.line, one.ways, one.command) == ("twice", again, (), None)

    def test_under_an_earlier_key(self) -> None:
        """
        What was moved under a key that counts as failed is reported as what it is.
        """
        shop = Shop()
        shop.gateway.next(REFUSED)
        shop.run()
        (refund,) = shop.engine.order("o1").refunds
        shop.clock.advance(days=30)
        line = Line(
            kind="refund",
            key=effect_key("o1", refund.seq, "refund", "pi_1"),
            reference="re_9",
            amount=eur(100),
            at=T0,
        )
        report = (*shop.gateway.statement(), line)

        (one,) = payments.reconcile(report, shop.engine)

        assert one.code == "status_differs"
        assert one.booked is not None
        assert (one.booked.status, one.booked.key) == ("failed", refund.key)
        assert one.command is not None
        shop.engine.execute("o1", one.command, by=STRIPE)
        assert list(payments.reconcile(report, shop.engine)) == []
        assert shop.engine.stuck() == ()

    def test_sentences(self) -> None:
        """
        A difference speaks in English and in French.
        """
        shop = Shop("in_progress")
        shop.clock.advance(days=30)

        (one,) = payments.reconcile((), shop.engine)

        assert str(one) == (
            "missing_at_gateway: Payment pi_1 of 100.00 EUR: “paid” here, and not on "
            "the report. Ask the provider what became of it, then report what it says."
        )
        assert one.message("fr").startswith("Paiement pi_1 de 100,00\xa0EUR")

    def test_declined(self) -> None:
        """
        A card that was declined moved nothing, and is nobody's business.
        """
        line = Line(
            kind="payment", reference="pi_9", amount=eur(5), at=T0, status="failed"
        )
        shop = Shop("in_progress")

        assert (
            list(payments.reconcile((*shop.gateway.statement(), line), shop.engine))
            == []
        )

    def test_latest_counts(self) -> None:
        """
        Of several lines that tell how one movement went on, the latest counts.
        """
        shop = Shop()
        shop.run()
        shop.clock.advance(days=30)
        report = shop.gateway.statement()
        early = [attrs.evolve(line, status="pending", at=BEFORE) for line in report]

        assert list(payments.reconcile([*early, *report], shop.engine)) == []
        assert list(payments.reconcile([*report, *early], shop.engine)) == []

    def test_by_its_key_alone(self) -> None:
        """
        A line that has no reference is known by its key.
        """
        shop = Shop()
        shop.run()
        shop.clock.advance(days=30)
        report = [
            attrs.evolve(line, reference="") if line.key else line
            for line in shop.gateway.statement()
        ]

        assert any(line.key for line in report)
        assert list(payments.reconcile(report, shop.engine)) == []

    def test_there_it_is_still_under_way(self) -> None:
        """
        What is paid here and only under way there is looked at by a human.
        """
        shop = Shop()
        shop.run()
        shop.clock.advance(days=30)
        report = [
            attrs.evolve(line, status="pending") if line.kind == "refund" else line
            for line in shop.gateway.statement()
        ]

        (one,) = payments.reconcile(report, shop.engine)

        assert (one.code, one.command) == ("status_differs", None)

    def test_another_attempt_may_have_moved_it(self) -> None:
        """
        Under way here, and paid there under an earlier key: it may move twice, and no
        command settles that.
        """
        shop = Shop()
        shop.gateway.next(REFUSED)
        shop.run()
        (failed,) = shop.engine.order("o1").refunds
        shop.gateway.next(PENDING)
        assert shop.engine.redrive("o1", failed.key) == 1
        shop.run()
        (sent,) = shop.engine.order("o1").refunds
        shop.clock.advance(days=30)
        line = Line(
            kind="refund",
            key=effect_key("o1", sent.seq, "refund", "pi_1"),
            reference="re_9",
            amount=eur(100),
            at=T0,
        )
        payment, *_ = shop.gateway.statement()

        (one,) = payments.reconcile((payment, line), shop.engine)

        assert (sent.status, one.code, one.command) == ("sent", "status_differs", None)

    def test_unreadable(self) -> None:
        """
        Of an order that cannot be read nobody knows, and its lines are not blamed.
        """
        shop = Shop("in_progress")
        report = shop.gateway.statement()
        shop.clock.advance(days=30)
        spoilt = Read(shop.clock, ())
        page = OrderPage((), None, ("o1",))

        class Spoilt:
            clock = shop.clock
            history = spoilt.history

            def orders(self, *, after: str | None = None, limit: int = 50) -> OrderPage:
                return page

        (one,) = payments.reconcile(report, Spoilt())

        assert (one.code, one.order_id, one.kind) == ("unreadable", "o1", "")
        assert one.message() == "Order o1 cannot be read, so nobody knows: verify it."


class TestCharges:
    """
    What a bank only holds at first comes in as a charge.
    """

    @pytest.fixture
    def shop(self) -> Shop:
        """
        An order whose payment is held, and accepted.
        """
        shop = Shop("pending")
        process = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})
        shop.engine = an_engine(MemoryStorage(), process, shop.clock)
        held_until = shop.clock.now() + timedelta(days=6)
        payment = Payment("card", "pi_2", eur(100), held_until=held_until)
        shop.gateway = SimulatedGateway("perfect", shop.clock, name="mypay")
        shop.gateway.holds(payment)
        shop.engine.place(an_order(payment=payment), by=ANA, order_id="o1")
        return shop

    def charge(self, shop: Shop) -> None:
        """
        Have the seller accept, and the payment charged.
        """
        shop.engine.execute("o1", c.AcceptOrder(), by=LUC)
        handlers = payments.handlers(shop.gateway, clock=shop.clock)
        shop.engine.run_effects(handlers, ["charge"])

    def test_held(self, shop: Shop) -> None:
        """
        What is held is on no report.
        """
        assert shop.found() == []

    def test_charged(self, shop: Shop) -> None:
        """
        A charge is on the report, as a charge or as the payment that it makes.
        """
        self.charge(shop)
        shop.clock.advance(days=30)
        report = shop.gateway.statement()
        (line,) = report
        as_payment = attrs.evolve(line, kind="payment", reference="pi_2", key="")

        assert line.kind == "charge"
        assert list(payments.reconcile(report, shop.engine)) == []
        assert list(payments.reconcile([as_payment], shop.engine)) == []
        assert list(payments.reconcile([line, as_payment], shop.engine)) == []
        (missing,) = payments.reconcile((), shop.engine)
        assert (missing.code, missing.kind) == ("missing_at_gateway", "charge")
        assert [way.command for way in missing.ways] == ["report_charge"]

    def test_unheard(self, shop: Shop) -> None:
        """
        A charge that nobody told of is reported with the command of the difference.
        """
        shop.gateway.next(PENDING)
        self.charge(shop)
        (applied,) = shop.gateway.applied
        shop.gateway.finish(applied.reference)
        shop.clock.advance(days=4)

        (one,) = shop.found()

        assert (one.code, one.kind) == ("status_differs", "charge")
        assert one.command is not None
        shop.engine.execute("o1", one.command, by=STRIPE)
        assert shop.engine.order("o1").state == "in_progress"
        assert not [one for one in shop.found() if not one.in_transit]

    def taken(self, shop: Shop, status: str = "paid") -> dict[str, Any]:
        """
        Return a line that says how the payment that was held stands.
        """
        return {
            **{"kind": "charge", "reference": "pi_2", "part": "pi_2"},
            **{"order_id": "o1", "amount": "100.00", "currency": "EUR"},
            **{"at": shop.clock.now().isoformat(), "status": status},
        }

    def test_taken_unasked(self, shop: Shop) -> None:
        """
        What was charged before anybody asked is reported by its payment: there is no
        key to name.
        """
        line = self.taken(shop)
        shop.clock.advance(hours=1)

        (one,) = payments.reconcile([line], shop.engine, margin="PT0S")

        assert (one.code, one.kind) == ("status_differs", "charge")
        assert one.command is not None
        order = shop.engine.execute("o1", one.command, by=STRIPE).order
        assert order.ledger.held == eur(100)
        assert list(payments.reconcile([line], shop.engine, margin="PT0S")) == []

    def test_let_go_unasked(self, shop: Shop) -> None:
        """
        So is what a bank let go before anybody asked for it.
        """
        line = self.taken(shop, "failed")
        shop.clock.advance(hours=1)

        (one,) = payments.reconcile([line], shop.engine, margin="PT0S")

        assert one.command is not None
        shop.engine.execute("o1", one.command, by=STRIPE)
        assert shop.engine.order("o1").state == "cancelled"
        assert list(payments.reconcile([line], shop.engine, margin="PT0S")) == []

    def test_under_way_unasked(self, shop: Shop) -> None:
        """
        What is only under way there moves nothing here: there is no command for it.
        """
        line = self.taken(shop, "pending")
        shop.clock.advance(hours=1)

        (one,) = payments.reconcile([line], shop.engine, margin="PT0S")

        assert (one.code, one.command) == ("status_differs", None)

    def test_taken_though_released(self, shop: Shop) -> None:
        """
        What was charged though it was to be let go is called by what it was, and goes
        back whole.
        """
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        line = self.taken(shop)
        shop.clock.advance(days=30)

        assert list(payments.reconcile((), shop.engine)) == []
        (one,) = payments.reconcile([line], shop.engine)

        assert one.booked is not None
        assert one.booked.status == "released"
        assert "“released” here" in one.message()
        assert one.command is not None
        order = shop.engine.execute("o1", one.command, by=STRIPE).order
        assert order.ledger.refunded == eur(100)
        assert list(payments.reconcile([line], shop.engine)) == []

    def test_taken_in_part(self, shop: Shop) -> None:
        """
        What would be refused is no command: a human asks the provider.
        """
        line = {**self.taken(shop), "amount": "90.00"}
        shop.clock.advance(hours=1)

        found = payments.reconcile([line], shop.engine, margin="PT0S")

        assert [(one.code, one.command) for one in found] == [
            ("amount_differs", None),
            ("status_differs", None),
        ]

    def test_released(self, shop: Shop) -> None:
        """
        What was let go, and is on the report as failed, agrees.
        """
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        line = self.taken(shop, "failed")
        shop.clock.advance(days=30)

        assert list(payments.reconcile([line], shop.engine)) == []


class TestWallets:
    """
    Withdrawals of wallets are on the report of the same bank.
    """

    @pytest.mark.parametrize("status", ["paid", "pending", "failed"])
    def test_left_out(self, status: str) -> None:
        """
        They belong to no order, so no order is asked for them; other payouts that
        nobody knows are named all the same.
        """
        shop = Shop()
        line = {
            **{"kind": "pay_out", "reference": "tr_1", "part": "luc"},
            **{"amount": "70.00", "currency": "EUR", "at": T0, "status": status},
        }
        report = [
            {**line, "order_id": "wallet:luc"},
            {**line, "reference": "tr_2", "order_id": "wallets", "status": "paid"},
            {**line, "reference": "tr_3", "status": "paid"},
        ]
        shop.clock.advance(days=30)

        found = payments.reconcile(report, shop.engine, methods=(), payouts=True)

        names = [(one.code, one.line and one.line.name) for one in found]
        assert names == [("unknown_to_us", "tr_2"), ("unknown_to_us", "tr_3")]

    def test_of_a_wallet(self) -> None:
        """
        A withdrawal that a bank paid is no difference.
        """
        shop = Shop()
        wallets = Wallets(shop.engine.storage, clock=shop.clock)
        wallets.credit("luc", eur(100), key="c")
        wallets.withdraw("luc", eur(70), key="w")
        bank = SimulatedGateway("perfect", shop.clock, name="mybank")
        handlers = payments.handlers(bank, withdrawals=bank, clock=shop.clock)
        shop.engine.run_effects(handlers, ["withdraw"])
        shop.clock.advance(days=30)
        report = bank.statement()

        assert [line.kind for line in report] == ["pay_out"]
        assert list(payments.reconcile(report, shop.engine, methods=())) == []


# --- the door ---------------------------------------------------------------------

GOOD: Final = {
    "kind": "payment",
    "reference": "pi_1",
    "amount": "100.00",
    "currency": "EUR",
    "at": T0,
}


class TestLines:
    """
    What a report may say.
    """

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"kind": "fee"}, "kind"),
            ({"kind": None}, "kind"),
            ({"reference": ""}, "reference"),
            ({"reference": "\0"}, "reference"),
            ({"key": 1.5}, "key"),
            ({"order_id": "x" * 256}, "order_id"),
            ({"part": True}, "part"),
            ({"amount": "-1"}, "amount"),
            ({"amount": "1e5"}, "amount"),
            ({"amount": 1.5}, "amount"),
            ({"amount": "1.005"}, "amount"),
            ({"amount": ""}, "amount"),
            ({"amount": "", "currency": ""}, "amount"),
            ({"currency": ""}, "currency"),
            ({"currency": "XXX"}, "currency"),
            ({"minor": "100"}, "minor"),
            ({"amount": "", "minor": "١٢"}, "minor"),
            ({"amount": "", "minor": "9" * 20}, "minor"),
            ({"amount": "", "minor": True}, "minor"),
            ({"at": "yesterday"}, "at"),
            ({"at": "2026-05-05T10:00:00"}, "at"),
            ({"at": None}, "at"),
            ({"status": "opened"}, "status"),
            ({"status": 7}, "status"),
            ({"colour": "red"}, "colour"),
            ({7: "red"}, "7"),
        ],
    )
    def test_malformed(self, changes: dict[Any, Any], field: str) -> None:
        """
        One clear error, which names the field and the number of the line.
        """
        shop = Shop("in_progress")

        with pytest.raises(InvalidInputError) as caught:
            list(payments.reconcile([GOOD, {**GOOD, **changes}], shop.engine))

        assert caught.value.field == f"report[2].{field}"

    @pytest.mark.parametrize("report", [None, 7, "kind", b"kind", GOOD, [None], ["x"]])
    def test_no_report(self, report: Any) -> None:
        """
        What is no report at all is refused.
        """
        shop = Shop("in_progress")

        with pytest.raises(InvalidInputError, match="report"):
            list(payments.reconcile(report, shop.engine))

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"amount": None, "minor": "10000"},
            {"amount": None, "minor": 10000},
            {"amount": 100},
            {"amount": eur(100), "currency": None},
            {"at": FakeClock(T0).now(), "key": "", "part": None},
        ],
    )
    def test_ways_to_write_it(self, fields: dict[str, Any]) -> None:
        """
        Major units or minor ones, text or values.
        """
        assert Line.of({**GOOD, **fields}) == Line(
            kind="payment", reference="pi_1", amount=eur(100), at=T0
        )

    def test_csv(self) -> None:
        """
        A file says in which of its lines something is wrong.
        """
        head = "kind,reference,amount,currency,at\n"
        good = f"payment,pi_1,100.00,EUR,{T0}\n"

        assert list(payments.lines_of_csv([head, good])) == [Line.of(GOOD)]
        with pytest.raises(InvalidInputError) as caught:
            list(payments.lines_of_csv([head, good, good.replace("100", "ten")]))
        assert caught.value.field == "report[3].amount"

    @pytest.mark.parametrize(
        "options",
        [
            {"since": "2026"},
            {"until": 7},
            {"since": T0, "until": T0},
            {"margin": "-P1D"},
            {"methods": "card"},
            {"methods": [""]},
            {"methods": 7},
            {"payouts": "no"},
        ],
    )
    def test_wrong_options(self, options: dict[str, Any]) -> None:
        """
        What cannot be asked for is refused at once.
        """
        (field,) = (name for name in options if name != "since" or len(options) == 1)

        with pytest.raises(InvalidInputError, match=field):
            payments.reconcile((), Shop("pending").engine, **options)

    def test_engines(self) -> None:
        """
        Either function takes its own kind of engine.
        """
        shop = Shop("pending")
        awaited = AsyncEngine(COMEUP, threaded(shop.engine.storage), clock=shop.clock)
        wrong: Any = awaited

        with pytest.raises(InvalidInputError, match="reconcile_async"):
            payments.reconcile((), wrong)
        wrong = shop.engine
        with pytest.raises(InvalidInputError, match="AsyncEngine"):
            payments.reconcile_async((), wrong)
        wrong = object()
        with pytest.raises(InvalidInputError, match="engine"):
            payments.reconcile((), wrong)


@pytest.mark.parametrize("reference", ["", "re_1"])
def test_what_may_have_left(reference: str) -> None:
    """
    The gateway must have it only if it said so itself.
    """
    booked = payments.Booked(
        kind="refund",
        order_id="o1",
        key="k1",
        reference=reference,
        part="pi_1",
        amount=eur(5),
        status="sent",
    )

    assert booked.expected == bool(reference)


@pytest.mark.parametrize("amount", [5, "5.00", None])
def test_an_amount_of_a_line(amount: Any) -> None:
    """
    A line says how much, in a currency.
    """
    with pytest.raises(InvalidInputError, match="amount"):
        Line(kind="refund", reference="re_1", amount=amount, at=T0)
