"""
Caution: what a worker holds back while clocks quarrel, or when it is too much at once;
and that nothing is lost by it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow.caution import Caution, HeldBack, Pace
from escrowflow.clock import FakeClock, SystemClock, as_utc, monotonic, to_micros
from escrowflow.effects import (
    Charge,
    Done,
    Effect,
    Notify,
    PayOut,
    Refund,
    ReleaseHold,
)
from escrowflow.engine import AsyncEngine, Engine
from escrowflow.errors import InvalidInputError, OutcomeUnknownError, StorageError
from escrowflow.money import Payment
from escrowflow.payments.wallets import Wallets
from escrowflow.storage import Capability, Storage, threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.worker import AsyncWorker, Worker, WorkReport
from tests.given import ANA, COMEUP, T0, an_order, brought_to, eur

if TYPE_CHECKING:
    from collections.abc import Callable

    from pendulum import DateTime

# The buyer is charged once the seller accepts; until then his bank holds the money.
LATER: Final = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})

MINUTE: Final = 60
# Up to a second too long, as the pace says.
NEXT: Final = MINUTE + 1

# How long a thread may take to end: only a test that fails waits for it.
PATIENCE: Final = 60

DAY: Final = timedelta(days=1)
YEARS: Final = timedelta(days=3652)

JUMPS: Final = (DAY, YEARS, timedelta(seconds=61), -DAY, -YEARS, timedelta(seconds=-61))

each_jump = pytest.mark.parametrize("jump", JUMPS, ids=str)


@attrs.define
class Wall:
    """
    A clock on the wall, that somebody may set.

    Args:
        clock: What passes whatever anybody sets.

        ahead: How far the wall is ahead of it.
    """

    clock: FakeClock
    ahead: timedelta = timedelta()

    def now(self) -> DateTime:
        """
        Return what the wall shows.
        """
        return self.clock.now() + self.ahead


@attrs.define
class Shop:
    """
    Orders, whoever works for them, and what left.

    Attributes:
        moved: The money that was sent, as `(key, when)` on the monotonic clock.

        told: The messages.

        then: Called with each effect that is carried out.
    """

    storage: Storage
    wall: Wall
    engine: Engine
    caution: Caution
    awaited: bool = False
    moved: list[tuple[str, float]] = attrs.field(factory=list)
    told: list[Effect] = attrs.field(factory=list)
    then: Callable[[Effect], object] = bool

    @property
    def handlers(self) -> dict[type[Effect], Any]:
        """
        What sends money and messages.
        """
        kinds = (Refund, PayOut, Charge, ReleaseHold)
        return {**dict.fromkeys(kinds, self.send), Notify: self.tell}

    def send(self, effect: Effect) -> Done:
        """
        Send money.
        """
        self.moved.append((effect.key, self.wall.clock.monotonic()))
        self.then(effect)
        return Done("re_1")

    def tell(self, effect: Effect) -> None:
        """
        Send a message.
        """
        self.told.append(effect)
        self.then(effect)

    def worker(self, clock: Any = None, **options: Any) -> Callable[[], WorkReport]:
        """
        Return one round of a cautious worker.

        Args:
            clock: That of its host; the wall's, if it has no other.
        """
        named = {"caution": self.caution, **options}
        clock = clock or self.wall
        if not self.awaited:
            engine = Engine(COMEUP, self.storage, clock=clock)
            return Worker(engine, self.handlers, **named).run_once
        slow = AsyncEngine(COMEUP, threaded(self.storage), clock=clock)
        worker = AsyncWorker(slow, self.handlers, **named)
        return lambda: asyncio.run(worker.run_once())

    def owes(self, count: int = 1, name: str = "owed") -> None:
        """
        Have orders whose buyers get their money back.
        """
        for number in range(count):
            brought_to(self.engine, "cancelled", f"{name}{number}")

    def waits(self, count: int = 1, name: str = "waits") -> None:
        """
        Have orders that nobody accepts.
        """
        for number in range(count):
            brought_to(self.engine, "pending", f"{name}{number}")

    def pass_(self, **windows: float) -> None:
        """
        Let time pass on every clock.
        """
        self.wall.clock.advance(**windows)

    def version(self, order_id: str) -> int:
        """
        Return how many events an order has.
        """
        return self.storage.load(order_id).version


def a_shop(**options: Any) -> Shop:
    """
    Return a shop in memory.
    """
    clock = FakeClock(T0)
    wall = Wall(clock)
    caution = {"monotonic": clock.monotonic, **options.pop("caution", {})}
    storage = options.pop("storage", None) or MemoryStorage()
    return Shop(
        storage=storage,
        wall=wall,
        engine=Engine(COMEUP, storage, clock=wall),
        caution=Caution(**caution),
        **options,
    )


@pytest.fixture(params=["blocking", "awaited"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """
    A shop whose workers block, or are awaited.
    """
    return a_shop(awaited=request.param == "awaited")


class TestClocks:
    """
    A clock that was set.
    """

    @each_jump
    def test_nothing_final_while_in_doubt(self, shop: Shop, jump: timedelta) -> None:
        """
        No order is settled and no money leaves as long as the clock is wrong by more
        than a minute; messages leave.  Once it is right again everything goes on.
        """
        shop.owes()
        # Whatever the clock is set to, it is owed by then.
        shop.pass_(days=3653)
        shop.waits()
        work = shop.worker()
        before = shop.version("waits0")
        shop.wall.ahead = jump

        first, second = work(), work()

        assert shop.moved == []
        assert shop.version("waits0") == before
        # Two of the cancelled order; of the other one, if the clock is not behind.
        assert first.effects.done == len(shop.told) == (3 if jump > timedelta() else 2)
        assert first.held_back == HeldBack(reason="clock", gap=jump)
        assert second == WorkReport(held_back=first.held_back)
        assert second.idle
        shop.wall.ahead = timedelta()
        third = work()
        assert third.held_back is None
        assert (len(shop.moved), len(shop.told)) == (1, 3)
        shop.pass_(hours=49)
        assert work().sweep.ended == 1
        assert len(shop.moved) == 2
        assert shop.engine.stuck() == ()

    def test_for_as_long_as_it_takes(self, shop: Shop) -> None:
        """
        A wrong clock is not believed because it is wrong for long.
        """
        shop.owes()
        work = shop.worker()
        shop.wall.ahead = DAY

        for _ in range(365):
            shop.pass_(days=1)
            assert work().held_back is not None

        assert shop.moved == []

    @pytest.mark.parametrize("seconds", [30, 60, -30, -60])
    def test_a_small_step(self, shop: Shop, seconds: int) -> None:
        """
        A clock that is put right by half a minute, or a minute, holds nothing back.
        """
        shop.owes()
        shop.pass_(minutes=2)
        work = shop.worker()
        shop.wall.ahead = timedelta(seconds=seconds)

        report = work()

        assert report.held_back is None
        assert len(shop.moved) == 1

    def test_small_steps_in_a_row(self, shop: Shop) -> None:
        """
        A clock that is set again and again by half a minute is not believed.
        """
        shop.owes()
        work = shop.worker()

        for step in range(1, 4):
            shop.wall.ahead = timedelta(seconds=30 * step)
            shop.pass_(seconds=5)
            report = work()
            assert (report.held_back is None) == (step < 3)

    def test_a_year_at_rest(self, shop: Shop) -> None:
        """
        Time that passes on all clocks is no jump, however much.
        """
        shop.waits()
        work = shop.worker()
        shop.pass_(days=365)

        report = work()

        assert report.held_back is None
        assert report.sweep.ended == 1

    @pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
    def test_summer_and_winter_time(self, day: str) -> None:
        """
        When the clocks of a country change, nothing has happened: instants are UTC.
        """
        clock = FakeClock(f"{day}T00:30:00+01:00")
        engine = Engine(COMEUP, MemoryStorage(), clock=clock)
        worker = Worker(engine, caution=Caution(monotonic=clock.monotonic))

        for _ in range(10):
            clock.advance(minutes=30)
            assert worker.run_once().held_back is None

    @pytest.mark.parametrize("sign", [1, -1])
    def test_slow_drift(self, shop: Shop, sign: int) -> None:
        """
        A clock that runs 40 seconds a day fast, or slow, is never doubted.
        """
        work = shop.worker()

        for hour in range(24 * 60):
            shop.wall.ahead = sign * timedelta(seconds=hour * 40 / 24)
            assert work().held_back is None
            shop.pass_(hours=1)

    def test_fast_drift(self, shop: Shop) -> None:
        """
        One that gains six seconds a minute is doubted before it has gained two minutes.
        """
        work = shop.worker()

        for minute in range(20):
            shop.wall.ahead = timedelta(seconds=6 * minute)
            if work().held_back is not None:
                break
            shop.pass_(minutes=1)

        assert minute == 11

    def test_one_worker_of_two(self, shop: Shop) -> None:
        """
        A host whose clock is wrong keeps its own hands still, and nobody else's.
        """
        shop.owes()
        shop.waits()
        theirs = Wall(shop.wall.clock)
        wrong, right = shop.worker(theirs), shop.worker()
        theirs.ahead = YEARS

        assert wrong().held_back is not None
        assert shop.moved == []
        assert right().held_back is None
        assert len(shop.moved) == 1
        assert shop.engine.order("waits0").state == "pending"

    def test_all_workers(self, shop: Shop) -> None:
        """
        If all clocks jump, nobody sends anything.
        """
        shop.owes(5)
        shop.waits(5)
        workers = [shop.worker() for _ in range(3)]
        before = shop.version("waits0")
        shop.wall.ahead = YEARS

        for work in workers:
            assert work().held_back is not None

        assert shop.moved == []
        assert {shop.version(f"waits{number}") for number in range(5)} == {before}

    def test_others_are_not_held_back(self, shop: Shop) -> None:
        """
        Commands and `run_due` settle what is due, whatever a worker thinks of clocks.
        """
        shop.waits(2)
        work = shop.worker()
        shop.wall.ahead = DAY * 3
        assert work().held_back is not None

        refused = shop.engine.attempt("waits0", c.AcceptOrder(), by=ANA)
        settled = shop.engine.run_due()

        assert refused is not None
        assert shop.engine.order("waits0").state == "cancelled"
        assert settled.ended == 1
        assert shop.engine.order("waits1").state == "cancelled"
        last = shop.engine.history("waits1")[-1]
        due_at = as_utc(T0, "start").add(days=2)
        ended = [one for one in shop.engine.history("waits1") if one.event.settles]
        assert [one.effective_at for one in ended] == [due_at]
        assert last.recorded_at >= due_at

    def test_in_the_middle_of_a_round(self, shop: Shop) -> None:
        """
        Clocks are looked at before each effect: what was taken on and not begun is
        handed back, and waits for no instant of the wrong clock.
        """
        shop.owes(8)
        work = shop.worker()
        shop.pass_(days=1)

        def jump(effect: Effect) -> None:
            if isinstance(effect, Refund):
                shop.wall.ahead = YEARS

        shop.then = jump

        report = work()

        assert len(shop.moved) == 1
        assert report.held_back == HeldBack(reason="clock", gap=YEARS)
        assert work().idle
        shop.then = bool
        shop.wall.ahead = timedelta()
        shop.pass_(minutes=1)
        work()
        assert len({key for key, _ in shop.moved}) == len(shop.moved) == 8

    def test_in_the_middle_of_a_sweep(self) -> None:
        """
        Clocks are looked at after each trip of a sweep.
        """
        storage: Any = Asked(MemoryStorage())
        shop = a_shop(storage=storage)
        shop.waits(120)
        work = shop.worker(caution=attrs.evolve(shop.caution, floor=1000))
        shop.pass_(days=3)

        def jump() -> None:
            shop.wall.ahead = YEARS

        storage.asked = jump

        report = work()

        assert report.sweep.ended == 50
        assert report.held_back is not None
        assert shop.moved == []

    def test_wallets_too(self) -> None:
        """
        A debit without an order goes back into its wallet, and not while clocks quarrel.
        """
        shop = a_shop()
        wallets = Wallets(shop.storage, clock=shop.wall)
        wallets.credit("ana", eur(100), "k1")
        wallets.debit("ana", eur(40), "k2", order_id="o1")
        worker = Worker(shop.engine, wallets=wallets, caution=shop.caution)
        shop.wall.ahead = DAY

        assert worker.run_once().wallets.moves == 0
        assert wallets.balance("ana", "EUR") == eur(60)
        shop.wall.ahead = timedelta()
        shop.pass_(days=1)
        assert worker.run_once().wallets.moves == 1
        assert wallets.balance("ana", "EUR") == eur(100)

    def test_only_money(self, shop: Shop) -> None:
        """
        A worker for some kinds only carries out no others, and holds back the same.
        """
        shop.owes()
        work = shop.worker(kinds=["refund"])
        talks = shop.worker(kinds=["notify"])
        shop.wall.ahead = DAY

        assert work().effects.handled == 0
        assert talks().effects.done == 2
        shop.wall.ahead = timedelta()
        assert work().effects.done == len(shop.moved) == 1

    def test_what_a_bank_has_let_go(self) -> None:
        """
        What a bank holds for us is let go for good, and not while clocks quarrel.
        """
        shop = a_shop()
        engine = Engine(LATER, shop.storage, clock=shop.wall)
        held = Payment("card", "pi_1", held_until="2026-05-12T10:00:00+02:00")
        engine.place(an_order(payment=held), by=ANA, order_id="o1")
        engine.execute("o1", c.CancelOrder(), by=ANA)
        worker = Worker(engine, shop.handlers, caution=shop.caution)
        shop.wall.ahead = DAY

        worker.run_once()
        assert shop.moved == []
        shop.wall.ahead = timedelta()
        worker.run_once()
        assert len(shop.moved) == 1


@attrs.define
class Asked:
    """
    A storage that says when it is asked what is due.
    """

    inner: Storage
    asked: Callable[[], object] = bool

    def claim_due(self, *values: Any) -> Any:
        """
        Say so, and do it.
        """
        self.asked()
        return self.inner.claim_due(*values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@attrs.define
class Told:
    """
    A storage with a clock of its own.
    """

    inner: Storage
    its: FakeClock

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What it can do.
        """
        return self.inner.capabilities | {Capability.CLOCK}

    def clock(self) -> int:
        """
        Return what time it is.
        """
        return to_micros(self.its.now())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class TestStorageClock:
    """
    The one clock that all hosts can ask.
    """

    @pytest.mark.parametrize("awaited", [False, True])
    @each_jump
    def test_wrong_from_the_start(self, jump: timedelta, awaited: bool) -> None:
        """
        A host that was started with a wrong clock is found out by that of the storage.
        """
        its: Any = Told(MemoryStorage(), FakeClock(T0))
        shop = a_shop(storage=its, awaited=awaited)
        its.its = shop.wall.clock
        shop.owes()
        shop.pass_(days=3653)
        shop.wall.ahead = jump

        report = shop.worker()()

        assert report.held_back == HeldBack(reason="storage_clock", gap=jump)
        assert shop.moved == []
        assert len(shop.told) == 2
        shop.wall.ahead = timedelta()
        assert shop.worker()().held_back is None
        assert len(shop.moved) == 1

    def test_the_host_is_asked_first(self) -> None:
        """
        A clock that was set is told as such, though that of the storage says the same.
        """
        its: Any = Told(MemoryStorage(), FakeClock(T0))
        shop = a_shop(storage=its)
        its.its = shop.wall.clock
        work = shop.worker()
        shop.wall.ahead = DAY

        assert work().held_back == HeldBack(reason="clock", gap=DAY)

    def test_a_small_difference(self) -> None:
        """
        A minute is no reason.
        """
        its: Any = Told(MemoryStorage(), FakeClock(T0))
        shop = a_shop(storage=its)
        its.its = shop.wall.clock
        shop.wall.ahead = timedelta(minutes=1)

        assert shop.worker()().held_back is None


class TestCap:
    """
    So many a minute, and no more.
    """

    def test_after_an_outage_of_a_week(self, shop: Shop) -> None:
        """
        Fifty in the first minute, then three times as many in each: orders and money
        alike, and all of it in the end.
        """
        shop.waits(260)
        work = shop.worker()
        shop.pass_(days=7)
        minutes: list[tuple[int, int]] = []

        while len(shop.moved) < 260 and len(minutes) < 10:
            ended, sent = 0, len(shop.moved)
            while not (report := work()).idle:
                ended += report.sweep.ended
            minutes.append((ended, len(shop.moved) - sent))
            shop.pass_(seconds=NEXT)

        assert minutes == [(50, 50), (150, 150), (60, 60)]
        assert len({key for key, _ in shop.moved}) == 260
        assert shop.engine.stuck() == ()

    def test_what_is_told_of_it(self, shop: Shop) -> None:
        """
        A worker that has reached the cap says so, waits, and goes on by itself.
        """
        shop.owes(60)
        work = shop.worker()

        first = work()
        while not (last := work()).idle:
            pass

        assert len(shop.moved) == 50
        assert len(shop.told) == 120
        assert first.held_back == HeldBack(reason="cap", orders=False, cap=50)
        assert last.held_back == first.held_back
        shop.pass_(seconds=NEXT)
        assert work().held_back is None
        assert len(shop.moved) == 60

    def test_of_orders_alone(self) -> None:
        """
        Orders and money are counted apart.
        """
        shop = a_shop()
        shop.waits(60)
        work = shop.worker(kinds=["notify"])
        shop.pass_(days=3)

        report = work()

        assert report.sweep.ended == 50
        assert report.held_back == HeldBack(reason="cap", money=False, cap=50)

    def test_what_ends_nothing_is_not_counted(self, shop: Shop) -> None:
        """
        Reminders and the like are no reason to wait.
        """
        shop.waits(120)
        work = shop.worker()
        # Half of the time to accept: the buyer is reminded of the brief.
        shop.pass_(hours=25)

        report = work()

        assert (report.sweep.orders, report.sweep.ended) == (120, 0)
        assert report.held_back is None

    def test_a_busy_hour(self) -> None:
        """
        Whoever had a hundred a minute may have three hundred for an hour to come.
        """
        caution = Caution()
        pace = Pace(caution)
        for second in range(0, 100 * MINUTE, 3):
            pace.add(second, 5)

        end = 100 * MINUTE
        assert pace.cap(end) == 300
        assert pace.cap(end + 3600 - NEXT) == 300
        assert pace.cap(end + 3600 + MINUTE) == 50

    def test_a_second_counts_whole(self) -> None:
        """
        What came at the end of a second is not forgotten with its beginning.
        """
        pace = Pace(Caution())
        pace.add(0.9, 50)

        assert [pace.left(at) for at in (0.9, 60.1, 60.9, 61)] == [0, 0, 0, 150]

    def test_commands_are_not_held_back(self, shop: Shop) -> None:
        """
        People and `run_due` settle as much as they like.
        """
        shop.waits(120)
        work = shop.worker()
        shop.pass_(days=3)
        work()

        assert shop.engine.run_due().ended == 70

    def test_a_sweep_that_fails_is_counted(self) -> None:
        """
        It may have written everything before it failed.
        """
        storage: Any = Lossy(MemoryStorage(), "find", StorageError("the disk is full"))
        shop = a_shop(storage=storage)
        shop.waits(120)
        work = shop.worker()
        shop.pass_(days=3)
        storage.fails = True

        with pytest.raises(StorageError):
            work()
        storage.fails = False

        report = work()
        assert report.sweep.orders == 0
        assert report.held_back == HeldBack(reason="cap", cap=50)

    def test_what_is_not_known_is_counted(self) -> None:
        """
        Orders of which the storage could not say whether they were written may have
        ended.
        """
        storage: Any = Lossy(
            MemoryStorage(), "commit", OutcomeUnknownError("nobody knows")
        )
        shop = a_shop(storage=storage)
        shop.waits(120)
        work = shop.worker(kinds=["notify"])
        shop.pass_(days=3)
        storage.fails = True

        report = work()

        assert (report.sweep.orders, report.sweep.ended) == (0, 50)
        assert report.sweep.faster == 50
        assert report.held_back == HeldBack(reason="cap", money=False, cap=50)

    @settings(max_examples=60, deadline=None)
    @given(
        floor=st.integers(1, 6),
        factor=st.integers(1, 4),
        story=st.lists(
            st.tuples(
                st.integers(0, 30),
                st.one_of(
                    st.floats(0, 2, allow_nan=False),
                    st.floats(0, 90, allow_nan=False),
                    st.floats(0, 4000, allow_nan=False),
                ),
            ),
            max_size=40,
        ),
    )
    def test_in_any_minute(
        self, floor: int, factor: int, story: list[tuple[int, float]]
    ) -> None:
        """
        Whenever a minute begins, no more come through in it than the floor, or so many
        times the busiest minute of the hour before; and what has to wait comes through.
        """
        pace = Pace(Caution(floor=floor, factor=factor))
        at, waiting, came = 0.25, 0, list[float]()
        for more, pause in story:
            waiting += more
            now = min(waiting, pace.left(at))
            pace.add(at, now)
            came += [at] * now
            waiting -= now
            at += pause
        for _ in range(waiting):
            at += NEXT
            waiting -= (now := min(waiting, pace.left(at)))
            pace.add(at, now)
            came += [at] * now

        assert waiting == 0
        for end in set(came):
            recent = within(came, end)
            before = [one for one in came if end - 3600 <= one <= end - MINUTE]
            busiest = max((within(before, one) for one in before), default=0)
            assert recent <= max(floor, factor * busiest)

    @settings(max_examples=15, deadline=None)
    @given(
        story=st.lists(
            st.tuples(st.integers(0, 12), st.integers(0, 90)), min_size=1, max_size=8
        )
    )
    def test_a_worker_in_any_minute(self, story: list[tuple[int, int]]) -> None:
        """
        The same of money that a worker sends; and every sum leaves once.
        """
        shop = a_shop(caution={"floor": 3, "factor": 2})
        work = shop.worker()
        total = 0
        for number, (more, pause) in enumerate(story):
            shop.owes(more, f"o{number}-")
            total += more
            work()
            shop.pass_(seconds=pause)
        for _ in range(total):
            work()
            shop.pass_(seconds=NEXT)

        assert len({key for key, _ in shop.moved}) == len(shop.moved) == total
        sent = [at for _, at in shop.moved]
        for end in sent:
            before = [one for one in sent if end - 3600 <= one <= end - MINUTE]
            busiest = max((within(before, one) for one in before), default=0)
            assert within(sent, end) <= max(3, 2 * busiest)


def within(came: list[float], end: float) -> int:
    """
    Return how many came in the minute that ends then.
    """
    return sum(end - MINUTE < one <= end for one in came)


@attrs.define
class Lossy:
    """
    A storage that fails after it has done something.
    """

    inner: Storage
    verb: str
    error: Exception
    fails: bool = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.inner, name)
        if name != self.verb or not self.fails:
            return verb

        def called(*values: Any) -> Any:
            verb(*values)
            raise self.error

        return called


class TestRun:
    """
    Working on, while something is held back.
    """

    def test_it_goes_on_by_itself(self) -> None:
        """
        A worker that holds back polls, and goes on once the clock is right.
        """
        shop = a_shop()
        shop.owes()
        looked, done = threading.Semaphore(0), threading.Event()

        def then(effect: Effect) -> None:
            if isinstance(effect, Refund):
                done.set()

        shop.then = then

        def passed() -> float:
            looked.release()
            return shop.wall.clock.monotonic()

        caution = attrs.evolve(shop.caution, monotonic=passed)
        worker = Worker(shop.engine, shop.handlers, poll="PT0.001S", caution=caution)
        shop.wall.ahead = DAY
        thread = threading.Thread(target=worker.run, daemon=True)

        thread.start()
        for _ in range(20):
            assert looked.acquire(timeout=PATIENCE)
        assert shop.moved == []
        shop.wall.ahead = timedelta()

        assert done.wait(PATIENCE)
        worker.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_it_is_stopped(self) -> None:
        """
        Told to stop by a message, a cautious worker sends no money.
        """
        shop = a_shop()
        shop.owes(3)
        worker = Worker(shop.engine, shop.handlers, caution=shop.caution)
        shop.then = lambda _: worker.stop()

        worker.run()

        assert shop.moved == []
        assert len(shop.told) == 1

    def test_the_log(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log is told when something begins to be held back, and when no more, with
        the reason as a part of its own.
        """
        caplog.set_level(logging.INFO, "escrowflow.worker")
        work = shop.worker()
        shop.wall.ahead = DAY
        for _ in range(3):
            work()
        shop.wall.ahead = timedelta()
        for _ in range(3):
            work()

        said, again = caplog.records
        assert said.levelno == logging.WARNING
        assert said.args == ("clock", HeldBack(reason="clock", gap=DAY))
        assert said.getMessage() == (
            "held back (clock): no order is settled and no money is sent: the clock is "
            "86400 s ahead of where it would be since this worker began: set it right, "
            "or, if it is right now, start the worker anew"
        )
        assert again.levelno == logging.INFO
        assert again.getMessage() == "nothing is held back any more"

    def test_another_reason_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A new reason is told although there was one before.
        """
        shop = a_shop()
        shop.waits(60)
        work = shop.worker()
        shop.wall.ahead = DAY
        work()
        shop.wall.ahead = timedelta()
        shop.pass_(days=3)
        work()

        assert [one.args for one in caplog.records] == [
            ("clock", HeldBack(reason="clock", gap=DAY)),
            ("cap", HeldBack(reason="cap", cap=50)),
        ]

    @pytest.mark.parametrize(
        ("held", "words"),
        [
            (
                HeldBack(reason="storage_clock", gap=-DAY),
                "no order is settled and no money is sent: the clock is 86400 s behind "
                "that of the storage: set it right",
            ),
            (
                HeldBack(reason="cap", orders=False, cap=50),
                "no money is sent until the minute is over: there were 50 in it",
            ),
            (
                HeldBack(reason="cap", money=False, cap=150),
                "no order is settled until the minute is over: there were 150 in it",
            ),
        ],
    )
    def test_in_words(self, held: HeldBack, words: str) -> None:
        """
        A reason says what is held back, why, and what to do.
        """
        assert str(held) == words


class TestMalformed:
    """
    What caution is not made of.
    """

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("floor", 0),
            ("floor", True),
            ("floor", 1.5),
            ("factor", 0),
            ("factor", "3"),
            ("look_back", "PT1M"),
            ("look_back", "P2D"),
            ("look_back", "P1M"),
            ("look_back", 60),
            ("tolerance", "PT0S"),
            ("tolerance", 60),
            ("monotonic", 7),
        ],
    )
    def test_a_field(self, field: str, value: object) -> None:
        """
        What is wrong is named.
        """
        named: dict[str, Any] = {field: value}

        with pytest.raises(InvalidInputError) as caught:
            Caution(**named)

        assert caught.value.field == field

    @pytest.mark.parametrize("value", [None, "now", math.nan, math.inf])
    def test_a_clock_that_gives_no_seconds(self, value: Any) -> None:
        """
        It is found out before the worker begins.
        """
        engine = Engine(COMEUP, MemoryStorage())

        with pytest.raises(InvalidInputError) as caught:
            Worker(engine, caution=Caution(monotonic=lambda: value))

        assert caught.value.field == "monotonic"

    def test_what_is_enough(self) -> None:
        """
        Without more it has the published figures, and time as it passes.
        """
        assert Caution() == Caution(
            floor=50, factor=3, look_back="PT1H", tolerance="PT1M", monotonic=monotonic
        )
        worker = Worker(
            Engine(COMEUP, MemoryStorage(), clock=SystemClock()), caution=Caution()
        )
        assert worker.run_once() == WorkReport()
        assert 0 < monotonic() <= monotonic()
