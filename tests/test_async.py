"""
The engine that is awaited: it says what the other one says, whole or not at all.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import pytest

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.effects import Done, Effect, Notify, PayOut, Refund
from escrowflow.engine import AsyncEngine, Engine
from escrowflow.errors import (
    EscrowflowError,
    InvalidInputError,
    OrderChangedError,
    StorageError,
)
from escrowflow.events import MessageSent
from escrowflow.storage import Query, Storage, threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing.given import LAST
from tests import test_scenarios
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    OPS,
    T0,
    a_storage,
    an_engine,
    an_order,
    brought_to,
)
from tests.story import ENGINE, IN

if TYPE_CHECKING:
    from pathlib import Path

_T = TypeVar("_T")

VERBS: Final = frozenset(
    {
        *("load", "commit", "events", "effects", "summary", "receipts", "texts"),
        *("claim_due", "park", "next_due"),
        *("claim_effects", "settle_effect", "next_effect"),
        *("stuck_effects", "find", "erase_texts", "migrate", "close"),
    }
)


class Slow:
    """
    An `AsyncStorage` from a `Storage`, which lets others go first before each verb
    and after it.
    """

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.calls = 0

    @property
    def capabilities(self) -> frozenset[Any]:
        """
        See `Storage.capabilities`.
        """
        return self.inner.capabilities

    async def done(self, name: str, values: Sequence[Any]) -> Any:
        """
        Do what a verb does.
        """
        self.calls += 1
        await self.pause("before")
        answer = getattr(self.inner, name)(*values)
        await self.pause("after")
        return answer

    async def pause(self, when: str) -> None:
        """
        Let others go first.
        """
        await asyncio.sleep(0)


def _verb(name: str) -> Any:
    async def verb(self: Slow, *values: Any) -> Any:
        return await self.done(name, values)

    return verb


for _name in VERBS:
    setattr(Slow, _name, _verb(_name))


class Cancelling(Slow):
    """
    A storage that cancels the task that calls it, once.

    Args:
        call: In which call.

        when: Whether `"before"` or `"after"` the verb was done.
    """

    def __init__(self, inner: Storage, call: int, when: str) -> None:
        super().__init__(inner)
        self.call = call
        self.when = when
        self.cancelled = False

    async def pause(self, when: str) -> None:
        """
        Let others go first, or be cancelled.
        """
        if (self.calls, when) == (self.call, self.when) and not self.cancelled:
            self.cancelled = True
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        await asyncio.sleep(0)


def numbered() -> Callable[[], bytes]:
    """
    Return what hands out salts, the same in each run.
    """
    numbers = count()
    return lambda: next(numbers).to_bytes(16, "big")


def awaited(storage: Any, clock: Any = None, **options: Any) -> AsyncEngine:
    """
    Return an engine whose methods are awaited, its clock at `T0`.
    """
    return AsyncEngine(
        options.pop("process", COMEUP),
        storage,
        clock=clock if clock is not None else FakeClock(T0),
        **options,
    )


def everything(storage: Storage) -> Any:
    """
    Return all that a storage holds.
    """
    page = storage.find(Query(), limit=1000)
    return [
        (
            loaded,
            tuple(storage.events(loaded.order_id)),
            tuple(storage.effects(loaded.order_id)),
            tuple(storage.receipts(loaded.order_id)),
            tuple(storage.texts(loaded.order_id)),
        )
        for loaded in page.items
    ] + [
        storage.next_due(0, LAST),
        storage.next_effect(0, LAST),
        storage.stuck_effects(0, LAST),
    ]


def run(answer: Awaitable[_T]) -> _T:
    """
    Wait for something on a loop of its own.
    """

    async def main() -> _T:
        async with asyncio.timeout(60):
            return await answer

    return asyncio.run(main())


# --- the same, word for word --------------------------------------------------------


class Both:
    """
    Two engines as one: whatever it is asked, both are, and they must say the same.

    Each has its own storage, which at the end must hold the same, to the byte.
    """

    def __init__(
        self, runner: asyncio.Runner, process: Any, storage: Storage, **options: Any
    ) -> None:
        self._runner = runner
        self._blocking = Engine(process, storage, salt=numbered(), **options)
        self._twin = MemoryStorage()
        slow: Any = Slow(self._twin)
        self._awaited = AsyncEngine(process, slow, salt=numbered(), **options)
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        mine, other = getattr(self._blocking, name), getattr(self._awaited, name)

        def ask(*values: Any, **named: Any) -> Any:
            self.asked += 1
            answer, error = said(lambda: mine(*values, **named))
            second = said(lambda: self._runner.run(_waited(other(*values, **named))))
            assert (answer, _told(error)) == (second[0], _told(second[1])), name
            if error is not None:
                raise error
            return answer

        return ask

    def compare(self) -> None:
        """
        Compare what both have written.
        """
        blocking: Any = self._blocking.storage
        assert everything(blocking) == everything(self._twin)

        async def exported() -> list[str]:
            return [line async for line in self._awaited.export()]

        assert [*self._blocking.export()] == self._runner.run(exported())
        assert self._blocking.verify() == self._runner.run(self._awaited.verify())


def said(ask: Callable[[], Any]) -> tuple[Any, EscrowflowError | None]:
    """
    Return what was answered, and what was raised.
    """
    try:
        return ask(), None
    except EscrowflowError as error:
        return None, error


def _told(error: EscrowflowError | None) -> tuple[type, str]:
    return type(error), str(error)


async def _waited(answer: Any) -> Any:
    return await answer


class Twice:
    """
    Everything a class of scenarios tells is told to both engines.
    """

    @pytest.fixture(autouse=True)
    def _told_to_both(self) -> Iterator[None]:
        told: list[Both] = []
        with asyncio.Runner() as runner:

            def both(process: Any, storage: Storage, **options: Any) -> Any:
                told.append(Both(runner, process, storage, **options))
                return told[-1]

            token = ENGINE.set(both)
            try:
                yield
            finally:
                ENGINE.reset(token)
            for one in told:
                assert one.asked
                one.compare()


# Each class of scenarios once more, with its fixtures and parameters.
for _name, _class in list(vars(test_scenarios).items()):
    if _name.startswith("Test"):
        globals()[_name] = type(
            _name, (Twice, _class), {"__doc__": _class.__doc__, "__module__": __name__}
        )


class TestStates(Twice):
    """
    The way into each state, told to both engines.
    """

    @pytest.mark.parametrize("state", IN)
    def test_every_state(self, state: str) -> None:
        """
        Both engines bring an order into each state, and allow the same in it.
        """
        story = IN[state]()

        assert story.order.state == state
        assert story.allowed
        story.after(days=30).sweep()


class TestTwice:
    """
    Whether `Twice` would notice.
    """

    def test_all_scenarios_are_told(self) -> None:
        """
        No class of scenarios is left out.
        """
        scenarios = {name for name in vars(test_scenarios) if name.startswith("Test")}

        assert len(scenarios) >= 12
        assert all(issubclass(globals()[name], Twice) for name in scenarios)

    def test_a_difference_is_noticed(self) -> None:
        """
        An answer that differs, and a byte that differs, are seen.
        """
        with asyncio.Runner() as runner:
            both = Both(runner, COMEUP, MemoryStorage(), clock=FakeClock(T0))
            engine: Any = both
            engine.place(an_order(), by=ANA, order_id="o1")
            both.compare()
            # Somebody writes to one of them only.
            brought_to(both._blocking, "pending", "o2")

            with pytest.raises(AssertionError):
                both.compare()
            with pytest.raises(AssertionError, match="order"):
                engine.order("o2")


class TestSameFace:
    """
    Both engines are called alike.
    """

    def test_same_methods(self) -> None:
        """
        Every public method of the one is one of the other, with the same arguments
        and defaults.
        """

        def face(kind: type) -> dict[str, Any]:
            return {
                name: inspect.signature(member).parameters
                if callable(member)
                else "property"
                for name, member in vars(kind).items()
                if not name.startswith("_")
            }

        assert face(AsyncEngine) == face(Engine)
        made = [inspect.signature(kind).parameters for kind in (Engine, AsyncEngine)]
        assert list(made[0]) == list(made[1])
        assert [one.default for one in made[0].values()] == [
            one.default for one in made[1].values()
        ]

    def test_what_is_awaited(self) -> None:
        """
        All that asks the storage is awaited; nothing else is.
        """
        plain = {
            name
            for name, member in vars(AsyncEngine).items()
            if callable(member)
            and not name.startswith("_")
            and not inspect.iscoroutinefunction(member)
            and not inspect.isasyncgenfunction(member)
        }

        assert plain == {"check_handlers", "watched", "within"}

    def test_every_verb_of_a_storage(self) -> None:
        """
        The storages of these tests can do all that a storage can.
        """
        public = {
            name
            for name, member in vars(Storage).items()
            if callable(member) and not name.startswith("_")
        }

        assert public == VERBS

    def test_everything_else_too(self, tmp_path: Path) -> None:
        """
        Workers, humans and archivists get the same answers from both.
        """
        process = COMEUP
        clock = FakeClock(T0)
        answers = iter([ef.Done("x"), ef.Unknown("y"), ef.NotDone("z"), None] * 99)
        told: dict[str, Any] = {}

        def carry_out(effect: Effect) -> Any:
            # The first engine that asks decides; the other gets the same.
            place = f"{effect.key} {clock.now()}"
            return told.setdefault(place, next(answers))

        handlers = {Refund: carry_out, PayOut: carry_out, Notify: carry_out}
        with asyncio.Runner() as runner:
            both = Both(runner, process, MemoryStorage(), clock=clock)
            engine: Any = both
            for number in range(6):
                engine.place(
                    an_order(), by=ANA, key=f"k{number}", order_id=f"o{number}"
                )
            engine.place(an_order(), by=ANA, key="k0", order_id="o0")
            engine.preview(None, an_order(), by=ANA)
            engine.preview("o1", c.AcceptOrder(), by=LUC)
            engine.attempt("o1", c.ApproveDelivery(), by=ANA)
            engine.execute("o1", c.AcceptOrder(), by=LUC, key="k", if_version=3)
            for wrong in ({"if_version": 1}, {"key": "k"}):
                with pytest.raises(EscrowflowError):
                    engine.execute("o1", c.CancelOrder(), by=LUC, **wrong)
            engine.execute("o2", c.SubmitBrief(text="a blue logo"), by=ANA)
            engine.run_effects(handlers, limit=7)
            engine.next_due_at()
            clock.advance(days=3)
            engine.run_due(2)
            engine.run_due()
            engine.run_effects(handlers)
            (stuck, *_) = engine.stuck()
            assert engine.redrive(stuck.order_id, stuck.key) == 1
            engine.orders(party="ana", role="buyer", limit=2)
            engine.options("o1", by=ANA)
            engine.history("o1", by=LUC)
            engine.effects("o2")
            engine.verify("o2")
            with pytest.raises(ef.OrdersRunningError):
                engine.erase("ana")
            clock.advance(days=3000)
            engine.run_due()
            engine.execute("o1", c.CancelOrder(), by=ANA)
            clock.advance(days=3000)
            engine.run_due()
            engine.erase("ana")
            both.compare()
            lines = [*both._blocking.export()]
            empty: Any = Both(runner, process, MemoryStorage(), clock=clock)
            assert empty.restore(lines) == 6
            assert empty.restore(lines) == 0
            empty.compare()


# --- wrong storages -----------------------------------------------------------------


class TestWrongStorage:
    """
    An engine is given its own kind of storage.
    """

    @pytest.mark.parametrize(
        "make", [MemoryStorage, lambda: SqliteStorage(":memory:"), lambda: None, dict]
    )
    def test_blocking_where_it_is_awaited(self, make: Callable[[], Any]) -> None:
        """
        A storage that blocks would stop the event loop: what to do is said.
        """
        with pytest.raises(InvalidInputError, match=r"threaded\(storage\)") as caught:
            awaited(make())

        assert caught.value.field == "storage"

    @pytest.mark.parametrize(
        "make",
        [lambda: threaded(MemoryStorage()), lambda: None, dict, lambda: "memory"],
    )
    def test_awaited_where_it_blocks(self, make: Callable[[], Any]) -> None:
        """
        Nobody would await the storage of an engine that blocks.
        """
        with pytest.raises(InvalidInputError, match="verbs block") as caught:
            an_engine(make())

        assert caught.value.field == "storage"


# --- cancelled ----------------------------------------------------------------------

HOUR: Final = timedelta(hours=1)


@attrs.frozen
class Deed:
    """
    A call, what was there before it, and how long ago.
    """

    state: str
    ask: Callable[[AsyncEngine], Awaitable[Any]]
    later: timedelta = HOUR


DEEDS: Final[dict[str, Deed]] = {
    "place": Deed(
        "", lambda engine: engine.place(an_order(), by=ANA, key="k", order_id="o1")
    ),
    "accept": Deed(
        "pending", lambda engine: engine.execute("o1", c.AcceptOrder(), by=LUC)
    ),
    "cancel": Deed(
        "in_progress",
        lambda engine: engine.execute("o1", c.CancelOrder(), by=LUC, key="k"),
    ),
    "text": Deed(
        "pending",
        lambda engine: engine.execute("o1", c.SubmitBrief(text="blue"), by=ANA),
    ),
    "refused, and something due": Deed(
        "delivered",
        lambda engine: engine.attempt("o1", c.AcceptOrder(), by=LUC),
        timedelta(days=40),
    ),
    "at a version": Deed(
        "delivered",
        lambda engine: engine.execute("o1", c.CancelOrder(), by=OPS, if_version=1),
        timedelta(days=40),
    ),
    "sweep": Deed("pending", lambda engine: engine.run_due(), timedelta(days=3)),
}


class TestCancelled:
    """
    A call that is cancelled, wherever it stands.
    """

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    def test_whole_or_not_at_all(
        self, deed: Deed, when: str, kind: str, tmp_path: Path
    ) -> None:
        """
        Cancelled in any of its calls of the storage, it leaves the order as it was,
        or as the whole command left it; the same call then works.
        """

        def begun(name: str) -> tuple[Storage, FakeClock]:
            (tmp_path / name).mkdir()
            storage, clock = a_storage(kind, tmp_path / name), FakeClock(T0)
            if deed.state:
                engine = Engine(COMEUP, storage, clock=clock, salt=numbered())
                brought_to(engine, deed.state)
            clock.advance(deed.later)
            return storage, clock

        def contents(storage: Storage) -> Any:
            # A lease is no part of an order.
            return everything(storage)[:-3]

        async def undisturbed(storage: Storage, clock: FakeClock) -> int:
            slow = Slow(storage)
            engine = awaited(slow, clock, salt=numbered())
            await self._asked(deed, engine)
            return slow.calls

        storage, clock = begun("whole")
        before = contents(storage)
        calls = run(undisturbed(storage, clock))
        after = contents(storage)
        (whole,) = an_engine(storage, clock=clock).orders().items
        storage.close()
        assert before != after

        seen = set()
        for call in range(1, calls + 1):
            storage, clock = begun(f"{call}")
            cancelling = Cancelling(storage, call, when)
            engine = awaited(cancelling, clock, salt=numbered())

            async def disturbed(engine: AsyncEngine = engine) -> None:
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.create_task(self._asked(deed, engine))

            run(disturbed())

            assert cancelling.cancelled
            left = contents(storage)
            assert left in (before, after)
            seen.add("before" if left == before else "after")
            # Again, as somebody does who did not get an answer.
            clock.advance(minutes=1)
            run(self._asked(deed, engine))
            (order,) = an_engine(storage, clock=clock).orders().items
            assert order.state == whole.state
            assert an_engine(storage, clock=clock).verify().faults == ()
            storage.close()
        assert "before" in seen or when == "after"
        assert "after" in seen or when == "before"

    @staticmethod
    async def _asked(deed: Deed, engine: AsyncEngine) -> Any:
        try:
            return await deed.ask(engine)
        except (OrderChangedError, ef.CommandRefusedError):
            return None

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_effects(self, when: str) -> None:
        """
        Cancelled anywhere, a worker leaves no effect undone for ever: what it did
        not finish is handed out again, under the same key.
        """

        def begun() -> tuple[Storage, FakeClock]:
            storage, clock = MemoryStorage(), FakeClock(T0)
            brought_to(an_engine(storage, clock=clock), "cancelled")
            return storage, clock

        storage, clock = begun()
        slow = Slow(storage)
        run(awaited(slow, clock).run_effects(by_all(nothing)))

        for call in range(1, slow.calls + 1):
            storage, clock = begun()
            engine = awaited(Cancelling(storage, call, when), clock)
            keys: list[str] = []

            async def carry_out(effect: Effect, keys: list[str] = keys) -> Done:
                await asyncio.sleep(0)
                keys.append(effect.key)
                return Done(f"done {effect.key}")

            async def disturbed(
                engine: AsyncEngine = engine, carry_out: Any = carry_out
            ) -> None:
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.create_task(engine.run_effects(by_all(carry_out)))

            run(disturbed())
            clock.advance(minutes=1)
            run(engine.run_effects(by_all(carry_out)))

            statuses = run(engine.effects("o1"))
            assert {one.status for one in statuses} == {"done"}
            assert {one.effect.key for one in statuses} == set(keys)
            assert len(keys) in (3, 4)

    def test_in_a_handler(self) -> None:
        """
        A handler that is cancelled while it waits is called again after its lease.
        """
        storage, clock = MemoryStorage(), FakeClock(T0)
        brought_to(an_engine(storage, clock=clock), "pending")
        engine = awaited(Slow(storage), clock)

        async def work() -> None:
            begun = asyncio.Event()

            async def for_ever(_: Effect) -> None:
                begun.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(engine.run_effects(by_all(for_ever)))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await engine.run_effects(by_all(nothing))).handled == 0
            clock.advance(minutes=1)
            assert (await engine.run_effects(by_all(nothing))).done == 1

        run(work())

    def test_a_handler_that_is_cancelled_by_others(self) -> None:
        """
        A handler whose own work was cancelled does not take its worker down: it is
        tried again, like one that failed.
        """
        storage = MemoryStorage()
        brought_to(an_engine(storage), "cancelled")
        engine = awaited(Slow(storage))

        async def carry_out(effect: Effect) -> None:
            if isinstance(effect, Refund):
                inner = asyncio.create_task(asyncio.sleep(60))
                inner.cancel()
                await inner

        report = run(engine.run_effects(by_all(carry_out)))

        assert (report.done, report.again) == (2, 1)
        assert run(engine.effects("o1"))[1].reason == "RuntimeError"

    def test_in_a_thread(self, tmp_path: Path) -> None:
        """
        A commit that has gone to a thread goes on to its end although nobody waits
        for it any more.
        """
        begun, gate = threading.Event(), threading.Event()

        class Gated:
            """
            A storage whose next commit waits.
            """

            def __init__(self, inner: Storage) -> None:
                self.inner = inner

            def commit(self, changes: Any) -> Any:
                begun.set()
                assert gate.wait(60)
                return self.inner.commit(changes)

            def __getattr__(self, name: str) -> Any:
                return getattr(self.inner, name)

        storage = a_storage("sqlite", tmp_path)
        gated: Any = Gated(storage)

        async def work() -> None:
            engine = awaited(threaded(gated))
            task = asyncio.create_task(
                engine.place(an_order(), by=ANA, key="k", order_id="o1")
            )
            await asyncio.to_thread(begun.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(ef.OrderNotFoundError):
                await engine.order("o1")
            gate.set()
            # The same call again: one of the two has placed the order.
            outcome = await engine.place(an_order(), by=ANA, key="k", order_id="o1")
            assert (outcome.order.state, outcome.order.version) == ("pending", 3)
            assert (await engine.verify()).orders == 1
            await engine.close()

        run(work())


# --- many at once -------------------------------------------------------------------


def by_all(handler: Callable[[Any], Any]) -> dict[type[Effect], Any]:
    """
    Return one handler for every kind of effect.
    """
    return {Refund: handler, PayOut: handler, Notify: handler}


def nothing(_: Any) -> None:
    """
    Carry an effect out.
    """


class TestAtOnce:
    """
    Many tasks on one loop.
    """

    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    @pytest.mark.parametrize("slow", [True, False], ids=["slow", "threads"])
    def test_on_one_order(self, kind: str, slow: bool, tmp_path: Path) -> None:
        """
        Tasks that write to one order at the same time lose nothing, and each of
        them sees its own.
        """
        storage = a_storage(kind, tmp_path)

        async def work() -> None:
            engine = awaited(Slow(storage) if slow else threaded(storage))
            await engine.place(an_order(), by=ANA, order_id="o1")

            async def send(number: int) -> ef.Outcome:
                return await engine.execute(
                    "o1",
                    c.SendMessage(reference=f"message {number}"),
                    by=(ANA, LUC)[number % 2],
                    key=f"k{number}",
                )

            outcomes = await asyncio.gather(*map(send, range(20)))

            history = await engine.history("o1")
            sent = {
                recorded.event.reference
                for recorded in history
                if isinstance(recorded.event, MessageSent)
            }
            assert sent == {f"message {number}" for number in range(20)}
            assert len(history) == 3 + 20
            assert {outcome.order.version for outcome in outcomes} == {*range(4, 24)}
            again = await asyncio.gather(*map(send, range(20)))
            assert all(outcome.replayed for outcome in again)
            assert (await engine.verify()).faults == ()
            await engine.close()

        run(work())

    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    def test_only_one_of_many(self, kind: str, tmp_path: Path) -> None:
        """
        Of many tasks that decide the same order in different ways one does.
        """
        storage = a_storage(kind, tmp_path)

        async def work() -> None:
            engine = awaited(Slow(storage))
            await engine.place(an_order(), by=ANA, order_id="o1")
            answers = await asyncio.gather(
                *(
                    engine.attempt("o1", command, by=by)
                    for command, by in [
                        (c.CancelOrder(), ANA),
                        (c.RefuseOrder(reason="no time"), LUC),
                    ]
                    * 5
                )
            )
            assert sum(isinstance(one, ef.Outcome) for one in answers) == 1
            order = await engine.order("o1")
            assert order.ledger.held.is_zero
            assert len(order.refunds) == 1
            await engine.close()

        run(work())

    def test_a_shop(self, tmp_path: Path) -> None:
        """
        A web application on one loop: many requests at once over a SQLite file in
        threads, a worker beside them; every order comes to its end.
        """
        storage = a_storage("sqlite", tmp_path)
        clock = FakeClock(T0)

        async def request(engine: AsyncEngine, number: int) -> None:
            order_id = f"o{number}"
            await engine.place(an_order(), by=ANA, order_id=order_id, key=order_id)
            await engine.options(order_id, by=LUC)
            await engine.execute(order_id, c.AcceptOrder(), by=LUC)
            await engine.execute(order_id, c.DeliverOrder(note="here"), by=LUC)
            if number % 2:
                await engine.execute(order_id, c.ApproveDelivery(), by=ANA)

        async def work() -> None:
            async with awaited(threaded(storage), clock) as engine:
                await engine.storage.migrate()
                keys: list[str] = []

                async def carry_out(effect: Effect) -> None:
                    await asyncio.sleep(0)
                    keys.append(effect.key)

                worker = ef.AsyncWorker(
                    engine, by_all(carry_out), poll=timedelta(milliseconds=1)
                )
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(worker.run())
                    async with asyncio.TaskGroup() as requests:
                        for number in range(30):
                            requests.create_task(request(engine, number))
                    clock.advance(days=100)
                    while await engine.next_due_at() is not None:
                        await asyncio.sleep(0)
                    worker.stop()
                await engine.run_effects(by_all(carry_out), limit=1000)

                page = await engine.orders(limit=100)
                assert len(page.items) == 30
                assert {order.state for order in page.items} == {"completed"}
                assert len(keys) == len(set(keys))
                for order in page.items:
                    statuses = await engine.effects(order.id)
                    assert {one.status for one in statuses} <= {"done", "lapsed"}
                assert (await engine.verify()).faults == ()

        run(work())
        with pytest.raises(StorageError):
            storage.load("o1")
