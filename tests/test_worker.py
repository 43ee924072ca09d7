"""
Workers: what they do in a round, when they wait, how they end, and what they
survive.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from escrowflow import commands as c
from escrowflow.caution import Caution
from escrowflow.clock import FakeClock
from escrowflow.decisions import Decides, Step
from escrowflow.effects import Done, Effect, NotDone, Notify, PayOut, Publish, Refund
from escrowflow.engine import AsyncEngine, EffectReport, Engine, Retries, SweepReport
from escrowflow.errors import InvalidInputError, StorageError
from escrowflow.storage import Storage, threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing.given import LAST
from escrowflow.worker import AsyncWorker, Worker, WorkReport
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    an_engine,
    an_order,
    brought_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# Nobody waits for as long: whoever wakes was woken.
LONG: Final = timedelta(days=3660)
SHORT: Final = timedelta(milliseconds=1)

# How long a thread may take to end: only a test that fails waits for it.
PATIENCE: Final = 60


@pytest.fixture
def awaited(storage: Storage, clock: FakeClock) -> AsyncEngine:
    """
    An engine whose methods are awaited, on the same storage.
    """
    return AsyncEngine(COMEUP, threaded(storage), clock=clock)


def by_all(handler: Callable[[Any], Any]) -> dict[type[Effect], Any]:
    """
    Return one handler for every kind of effect that is asked for without more.
    """
    return {Refund: handler, PayOut: handler, Notify: handler}


def nothing(_: Any) -> None:
    """
    Carry an effect out.
    """


def breaks(case: Any, command: Any) -> list[Step]:
    """
    Decide nothing: a mistake in a host's own rules.
    """
    raise ZeroDivisionError


class Failing:
    """
    A storage that fails so many times when it is asked what is due.

    Args:
        asked: Called each time.
    """

    def __init__(
        self, inner: Storage, times: int, asked: Callable[[], object] = bool
    ) -> None:
        self.inner = inner
        self.times = times
        self.asked = asked

    @property
    def storage(self) -> Any:
        """
        Itself, as the storage it stands for.
        """
        return self

    def claim_due(self, *values: Any) -> Any:
        """
        Fail, or do it.
        """
        self.asked()
        if self.times:
            self.times -= 1
            raise StorageError("the disk is full")
        return self.inner.claim_due(*values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def started(worker: Worker) -> threading.Thread:
    """
    Run a worker in a thread of its own.
    """
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    return thread


def ends(thread: threading.Thread) -> bool:
    """
    Wait for the end of a thread; return whether it came.
    """
    thread.join(PATIENCE)
    return not thread.is_alive()


class TestRound:
    """
    One round of work.
    """

    def test_sweep_then_effects(self, engine: Engine, clock: FakeClock) -> None:
        """
        A round settles what is due and carries out what that asks for.
        """
        brought_to(engine, "pending")
        engine.run_effects(by_all(nothing))
        clock.advance(hours=49)
        seen: list[Effect] = []
        worker = Worker(engine, by_all(seen.append))

        report = worker.run_once()

        assert report == WorkReport(
            sweep=SweepReport(orders=1, moves=2, ended=1),
            effects=EffectReport(done=3, lapsed=1),
        )
        assert not report.idle
        assert sorted(effect.name for effect in seen) == ["notify", "notify", "refund"]
        assert worker.run_once().idle
        assert worker.run_once() == WorkReport()

    def test_without_handlers(self, engine: Engine, clock: FakeClock) -> None:
        """
        A worker without handlers settles what is due, and leaves effects to others.
        """
        brought_to(engine, "pending")
        clock.advance(days=2)

        report = Worker(engine).run_once()

        assert report == WorkReport(sweep=SweepReport(orders=1, moves=2, ended=1))
        assert {one.status for one in engine.effects("o1")} == {"waiting"}

    def test_only_some_kinds(self, engine: Engine) -> None:
        """
        A worker may carry out some kinds only.
        """
        brought_to(engine, "cancelled")

        report = Worker(engine, {Refund: nothing}, kinds=["refund"]).run_once()

        assert report.effects == EffectReport(done=1)

    def test_a_new_one_is_idle(self) -> None:
        """
        Nothing done is idle; whatever was done is not.
        """
        assert WorkReport().idle
        assert not WorkReport(sweep=SweepReport(faster=1)).idle
        assert not WorkReport(effects=EffectReport(stale=1)).idle

    def test_of_coroutines(self, awaited: AsyncEngine, clock: FakeClock) -> None:
        """
        On an event loop handlers may be coroutine functions, or not.
        """
        seen: list[Effect] = []

        async def refund(effect: Refund) -> Done:
            await asyncio.sleep(0)
            seen.append(effect)
            return Done("re_1")

        async def work() -> WorkReport:
            await awaited.place(an_order(), by=ANA, order_id="o1")
            await awaited.execute("o1", c.CancelOrder(), by=ANA)
            worker = AsyncWorker(awaited, {**by_all(seen.append), Refund: refund})
            report = await worker.run_once()
            (status,) = [
                one
                for one in await awaited.effects("o1")
                if isinstance(one.effect, Refund)
            ]
            assert (status.status, status.reference) == ("done", "re_1")
            assert (await worker.run_once()).idle
            assert (await AsyncWorker(awaited).run_once()).idle
            await awaited.close()
            return report

        report = asyncio.run(work())

        assert report == WorkReport(effects=EffectReport(done=3))
        assert len(seen) == 3


class TestMalformed:
    """
    What a worker is not started with.
    """

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"engine": None}, "engine"),
            ({"engine": COMEUP}, "engine"),
            ({"handlers": "refund"}, "handlers"),
            ({"handlers": {Refund: nothing}}, "handlers"),
            ({"handlers": {}}, "handlers"),
            ({"handlers": {7: nothing}}, "handlers"),
            ({"kinds": 7}, "kinds"),
            ({"kinds": "notify"}, "kinds"),
            ({"kinds": ["notify", "teleport"]}, "kinds"),
            ({"handlers": {Refund: nothing}, "kinds": ["notify"]}, "handlers"),
            ({"poll": 0}, "poll"),
            ({"poll": timedelta()}, "poll"),
            ({"poll": "soon"}, "poll"),
            ({"poll": "P1M"}, "poll"),
            ({"caution": True}, "caution"),
            ({"caution": Caution}, "caution"),
        ],
    )
    def test_either_worker(self, changes: dict[str, Any], field: str) -> None:
        """
        What is wrong is said before anything is done.
        """
        for kind, engine in (
            (Worker, an_engine(MemoryStorage())),
            (AsyncWorker, AsyncEngine(COMEUP, threaded(MemoryStorage()))),
        ):
            named = {"engine": engine, "handlers": by_all(nothing), **changes}
            make: Any = kind

            with pytest.raises(InvalidInputError) as caught:
                make(named.pop("engine"), named.pop("handlers"), **named)

            assert caught.value.field == field

    def test_the_other_engine(self) -> None:
        """
        Each worker has its own kind of engine.
        """
        blocking: Any = an_engine(MemoryStorage())
        awaited: Any = AsyncEngine(COMEUP, threaded(MemoryStorage()))

        with pytest.raises(InvalidInputError, match="an Engine, not AsyncEngine"):
            Worker(awaited)
        with pytest.raises(InvalidInputError, match="an AsyncEngine, not Engine"):
            AsyncWorker(blocking)

    def test_publish_without_a_handler(self) -> None:
        """
        An engine that publishes needs somebody who passes it on, and nobody passes
        on what an engine does not publish.
        """
        handlers: dict[type[Effect], Any] = by_all(nothing)
        plain = an_engine(MemoryStorage())
        telling = an_engine(MemoryStorage(), publish=True)
        awaited = AsyncEngine(COMEUP, threaded(MemoryStorage()), publish=True)

        Worker(plain, handlers)
        Worker(telling, handlers, kinds=["notify"])
        Worker(telling)
        with pytest.raises(InvalidInputError, match="publish"):
            Worker(telling, handlers)
        with pytest.raises(InvalidInputError, match="publish"):
            AsyncWorker(awaited, handlers)
        handlers[Publish] = nothing
        Worker(telling, handlers)
        AsyncWorker(awaited, handlers)
        with pytest.raises(InvalidInputError, match="publish=True"):
            Worker(plain, handlers)

    def test_coroutines_without_a_loop(self) -> None:
        """
        A blocking worker does not take what nobody would await.
        """

        async def later(_: Any) -> None:
            raise AssertionError("nobody awaits this")

        with pytest.raises(InvalidInputError, match="nobody would await"):
            Worker(an_engine(MemoryStorage()), by_all(later))
        AsyncWorker(AsyncEngine(COMEUP, threaded(MemoryStorage())), by_all(later))


class TestRun:
    """
    Working until told to stop.
    """

    def test_stopped_from_another_thread(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        A worker works, then waits for a long time, and ends at once when told to.
        """
        brought_to(engine, "cancelled")
        done = threading.Semaphore(0)
        worker = Worker(engine, by_all(lambda _: done.release()), poll=LONG)

        thread = started(worker)

        for _ in range(3):
            assert done.acquire(timeout=PATIENCE)
        worker.stop()
        assert ends(thread)
        assert {one.status for one in engine.effects("o1")} == {"done"}

    def test_it_looks_again(self, engine: Engine) -> None:
        """
        What is asked for while a worker waits is carried out after the wait.
        """
        done = threading.Semaphore(0)
        worker = Worker(engine, by_all(lambda _: done.release()), poll="PT0.001S")
        thread = started(worker)

        for number in range(3):
            brought_to(engine, "pending", f"o{number}")
            assert done.acquire(timeout=PATIENCE)

        worker.stop()
        assert ends(thread)

    def test_stopped_before_it_began(self, engine: Engine) -> None:
        """
        A worker that was stopped does not begin.
        """
        brought_to(engine, "pending")
        worker = Worker(engine, by_all(nothing), poll=LONG)
        worker.stop()
        worker.stop()

        worker.run()

        assert {one.status for one in engine.effects("o1")} == {"waiting"}

    def test_stopped_by_a_handler(self, engine: Engine) -> None:
        """
        Told to stop while it carries something out, a worker begins nothing else,
        and what it had taken on may be done by others at once.
        """
        for number in range(20):
            brought_to(engine, "pending", f"o{number}")
        seen: list[Effect] = []

        def carry_out(effect: Effect) -> None:
            seen.append(effect)
            worker.stop()

        worker = Worker(engine, by_all(carry_out), poll=LONG)

        worker.run()

        assert len(seen) == 1
        assert engine.run_effects(by_all(nothing)) == EffectReport(done=19)

    def test_stopped_in_the_middle_of_a_round(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        Told to stop while it settles what is due, a worker begins no effect.
        """
        engine = an_engine(
            Failing(storage, 0, lambda: worker.stop()).storage, clock=clock
        )
        brought_to(engine, "pending")
        clock.advance(days=2)
        worker = Worker(engine, by_all(nothing), poll=LONG)

        worker.run()

        assert storage.load("o1").version == 5
        assert {one.status for one in engine.effects("o1")} == {"waiting"}

    def test_it_goes_on_without_a_wait(self, engine: Engine, clock: FakeClock) -> None:
        """
        As long as there is something to do a worker does not wait.
        """
        for number in range(60):
            engine.place(an_order(), by=ANA, order_id=f"o{number}")
        clock.advance(hours=49)
        seen: list[Effect] = []

        def carry_out(effect: Effect) -> None:
            seen.append(effect)
            # Four for each order; its reminder comes too late.
            if len(seen) == 240:
                worker.stop()

        worker = Worker(engine, by_all(carry_out), poll=LONG)

        worker.run()

        assert len(seen) == 240
        assert engine.storage.next_effect(0, LAST) is None

    @pytest.mark.parametrize("times", [1, 3])
    def test_a_storage_that_fails(
        self,
        storage: Storage,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
        times: int,
    ) -> None:
        """
        A storage that fails is told to the log and tried again after a while.
        """
        brought_to(an_engine(storage, clock=clock), "pending")
        engine = an_engine(Failing(storage, times).storage, clock=clock)
        worker = Worker(engine, by_all(lambda _: worker.stop()), poll=SHORT)

        worker.run()

        assert engine.effects("o1")[0].status == "done"
        errors = [one for one in caplog.records if one.levelno == logging.ERROR]
        # What is to be sent does not wait for what cannot be settled.
        assert len(errors) == 1
        assert {one.name for one in errors} == {"escrowflow.worker"}
        assert "the disk is full" in caplog.text

    def test_a_sweep_that_fails(self, storage: Storage, clock: FakeClock) -> None:
        """
        It is told in the end, round by round, until it works again.
        """
        brought_to(an_engine(storage, clock=clock), "pending")
        engine = an_engine(Failing(storage, 2).storage, clock=clock)
        worker = Worker(engine, by_all(lambda _: None))

        for _ in range(2):
            with pytest.raises(StorageError):
                worker.run_once()
            assert engine.effects("o1")[0].status == "done"
        assert worker.run_once().idle

    def test_any_other_error_ends_it(self, engine: Engine) -> None:
        """
        What is not the storage's fault is not hidden.
        """

        class Broken:
            def now(self) -> Any:
                raise ZeroDivisionError

        broken = an_engine(engine.storage, clock=Broken())  # type: ignore[arg-type]

        with pytest.raises(ZeroDivisionError):
            Worker(broken, poll=LONG).run()

    def test_what_it_tells_the_log(
        self,
        storage: Storage,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The log says what a human must know: ids, and never what anybody wrote.
        """
        theirs = COMEUP.extend(name="theirs")
        brought_to(an_engine(storage, theirs, clock), "pending", "unknown")
        engine = an_engine(storage, clock=clock, retries=Retries(attempts=1))
        brought_to(engine, "delivered", "known")
        broken = COMEUP.extend(
            name="broken", decisions=[Decides(c.ExpireAcceptance, breaks, version="1")]
        )
        brought_to(an_engine(storage, broken, clock), "pending", "bad")
        engine = an_engine(
            storage, clock=clock, retries=Retries(attempts=1), also=[broken]
        )
        clock.advance(days=2)
        caplog.set_level(logging.DEBUG)

        Worker(engine, by_all(lambda _: NotDone("a secret")), poll=LONG).run_once()

        warnings = [
            one.getMessage() for one in caplog.records if one.levelno == logging.WARNING
        ]
        assert warnings == [
            f"order unknown: no process {theirs.fingerprint} in this worker: pass it to "
            "the engine in `also`, on the command line with --process",
            "order bad cannot be settled: see engine.stuck()",
            "effects that need a human: 4; see engine.stuck()",
        ]
        assert "secret" not in caplog.text
        assert "here it is" not in caplog.text

    def test_what_others_settle_is_told_once(
        self, storage: Storage, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An order of an unknown process is nothing to do: who finds it waits, and says
        so again only after it was gone.
        """
        theirs = an_engine(storage, COMEUP.extend(name="theirs"), clock)
        brought_to(theirs, "pending")
        worker = Worker(an_engine(storage, clock=clock), poll=LONG)
        clock.advance(days=2)

        for _ in range(3):
            assert worker.run_once().idle
        assert [one.levelno for one in caplog.records] == [logging.WARNING]
        assert theirs.run_due().orders == 1
        worker.run_once()
        brought_to(theirs, "pending", "o2")
        clock.advance(days=2)
        worker.run_once()

        said = [one.getMessage().partition(":")[0] for one in caplog.records]
        assert said == ["order o1", "order o2"]

    def test_an_idle_one_is_silent(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A round with nothing to do leaves no trace in the log.
        """
        caplog.set_level(logging.DEBUG)

        Worker(engine, by_all(nothing)).run_once()

        assert caplog.records == []


class TestAsyncRun:
    """
    Working on an event loop.
    """

    def test_stopped_from_another_task(
        self, awaited: AsyncEngine, clock: FakeClock
    ) -> None:
        """
        A worker works, then waits for a long time, and ends at once when told to.
        """

        async def work() -> None:
            await awaited.place(an_order(), by=ANA, order_id="o1")
            done = asyncio.Event()
            worker = AsyncWorker(awaited, by_all(lambda _: done.set()), poll=LONG)
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(worker.run())
                await done.wait()
                worker.stop()
                await running
            (status,) = await awaited.effects("o1")
            assert status.status == "done"
            await awaited.close()

        asyncio.run(work())

    def test_it_looks_again(self, awaited: AsyncEngine) -> None:
        """
        What is asked for while a worker waits is carried out after the wait.
        """

        async def work() -> None:
            done = asyncio.Semaphore(0)
            worker = AsyncWorker(awaited, by_all(lambda _: done.release()), poll=SHORT)
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.run())
                for number in range(3):
                    await awaited.place(an_order(), by=ANA, order_id=f"o{number}")
                    await done.acquire()
                worker.stop()
            await awaited.close()

        asyncio.run(work())

    def test_stopped_by_a_handler(self, awaited: AsyncEngine) -> None:
        """
        Told to stop while it carries something out, a worker begins nothing else.
        """

        async def work() -> int:
            for number in range(20):
                await awaited.place(an_order(), by=ANA, order_id=f"o{number}")
            seen: list[Effect] = []

            async def carry_out(effect: Effect) -> None:
                seen.append(effect)
                worker.stop()

            worker = AsyncWorker(awaited, by_all(carry_out), poll=LONG)
            async with asyncio.timeout(PATIENCE):
                await worker.run()
                await worker.run()
            await awaited.close()
            return len(seen)

        assert asyncio.run(work()) == 1

    def test_cancelled_while_it_waits(self, awaited: AsyncEngine) -> None:
        """
        Cancelling ends a worker that has nothing to do.
        """

        async def work() -> None:
            await awaited.place(an_order(), by=ANA, order_id="o1")
            done = asyncio.Event()
            worker = AsyncWorker(awaited, by_all(lambda _: done.set()), poll=LONG)
            running = asyncio.create_task(worker.run())
            async with asyncio.timeout(PATIENCE):
                await done.wait()
                while (await awaited.effects("o1"))[0].status != "done":
                    await asyncio.sleep(0)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
            await awaited.close()

        asyncio.run(work())

    def test_cancelled_in_a_handler(
        self, awaited: AsyncEngine, clock: FakeClock
    ) -> None:
        """
        Cancelling ends a worker in the middle of a handler, too; what it was doing
        is handed out again after its lease.
        """

        async def work() -> None:
            await awaited.place(an_order(), by=ANA, order_id="o1")
            begun = asyncio.Event()

            async def for_ever(_: Effect) -> None:
                begun.set()
                await asyncio.Event().wait()

            running = asyncio.create_task(
                AsyncWorker(awaited, by_all(for_ever), poll=LONG).run()
            )
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
            assert (await awaited.effects("o1"))[0].status == "claimed"
            again = AsyncWorker(awaited, by_all(nothing))
            assert (await again.run_once()).idle
            clock.advance(minutes=1)
            assert (await again.run_once()).effects == EffectReport(done=1)
            await awaited.close()

        asyncio.run(work())

    def test_a_storage_that_fails(
        self, storage: Storage, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A storage that fails is told to the log and tried again after a while.
        """
        failing = threaded(Failing(storage, 2).storage)
        awaited = AsyncEngine(COMEUP, failing, clock=clock)

        async def work() -> None:
            await awaited.place(an_order(), by=ANA, order_id="o1")
            worker = AsyncWorker(awaited, by_all(lambda _: worker.stop()), poll=SHORT)
            async with asyncio.timeout(PATIENCE):
                await worker.run()
            assert (await awaited.effects("o1"))[0].status == "done"
            await awaited.close()

        asyncio.run(work())

        # What is to be sent does not wait for what cannot be settled.
        assert caplog.text.count("StorageError: the disk is full") == 1

    def test_many_at_once(self, storage: Storage, clock: FakeClock) -> None:
        """
        Workers of both kinds, in threads and tasks, share one storage: everything
        is carried out once.
        """
        engine = an_engine(storage, clock=clock)
        for number in range(30):
            brought_to(engine, "in_progress", f"o{number}")
            engine.execute(f"o{number}", c.CancelOrder(), by=LUC)
        expected = sum(len(engine.effects(f"o{number}")) for number in range(30))
        keys: list[str] = []
        everything = threading.Event()

        def carry_out(effect: Effect) -> None:
            keys.append(effect.key)
            if len(keys) == expected:
                everything.set()

        threads = [Worker(engine, by_all(carry_out), poll=SHORT) for _ in range(2)]
        running = [started(worker) for worker in threads]

        async def work() -> None:
            awaited = AsyncEngine(COMEUP, threaded(storage), clock=clock)
            tasks = [
                AsyncWorker(awaited, by_all(carry_out), poll=SHORT) for _ in range(2)
            ]
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for worker in tasks:
                    group.create_task(worker.run())
                await asyncio.to_thread(everything.wait, PATIENCE)
                for worker in tasks:
                    worker.stop()

        asyncio.run(work())
        for worker in threads:
            worker.stop()

        assert all(map(ends, running))
        assert len(keys) == len(set(keys)) == expected
