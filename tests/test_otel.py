"""
Traces and metrics: what was done and how it ended, in no more words than that.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from escrowflow import commands as c
from escrowflow.clock import as_utc
from escrowflow.contrib.otel import Telemetry, traceparent
from escrowflow.decisions import Refusal
from escrowflow.effects import (
    Done,
    Effect,
    NotDone,
    Notify,
    PayOut,
    Refund,
    RetryAt,
    Unknown,
    Withdraw,
)
from escrowflow.engine import AsyncEngine, Call, Engine
from escrowflow.errors import (
    CommandRefusedError,
    InvalidInputError,
    MissingExtraError,
    OrderNotFoundError,
    StorageError,
)
from escrowflow.money import Payment
from escrowflow.parties import Buyer
from escrowflow.payments.wallets import Wallets
from escrowflow.storage import open_async_storage, open_storage
from escrowflow.worker import AsyncWorker, Worker
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    OPS,
    STRIPE,
    an_engine,
    an_order,
    brought_to,
    eur,
    paid,
    terms,
)

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from escrowflow.clock import FakeClock

CANARY: Final = "zzcanaryzz"

# What metrics may be told apart by: few values each.
LABELS: Final = {
    "error.type",
    "escrowflow.command.name",
    "escrowflow.command.outcome",
    "escrowflow.effect.name",
    "escrowflow.effect.outcome",
    "escrowflow.outbox.outcome",
    "escrowflow.refusal.code",
    "escrowflow.stuck.kind",
    "escrowflow.sweep.outcome",
}


@attrs.frozen
class Taken:
    """
    A telemetry, and whatever it was told.
    """

    telemetry: Telemetry
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer: Any

    @classmethod
    def begun(cls) -> Taken:
        exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
        spans = TracerProvider(shutdown_on_exit=False)
        spans.add_span_processor(SimpleSpanProcessor(exporter))
        meters = MeterProvider([reader], shutdown_on_exit=False)
        ticks = count()
        telemetry = Telemetry(
            tracer_provider=spans,
            meter_provider=meters,
            timer=lambda: float(next(ticks)),
        )
        return cls(telemetry, exporter, reader, spans.get_tracer("host"))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """
        Return the last span of a name.
        """
        return [span for span in self.spans if span.name == name][-1]

    def points(self) -> Iterator[tuple[str, Any]]:
        """
        Yield what was measured: the name of the metric, and a point.
        """
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        yield metric.name, point

    def counts(self, name: str) -> dict[tuple[str, ...], Any]:
        """
        Return the values of a metric, by the values of its labels.
        """
        return {
            tuple(str(value) for _, value in sorted(point.attributes.items())): (
                point.value
            )
            for found, point in self.points()
            if found == name
        }


@pytest.fixture
def taken() -> Taken:
    return Taken.begun()


@pytest.fixture
def engine(taken: Taken, clock: FakeClock) -> Engine:
    plain = an_engine(open_storage("memory://"), clock=clock)
    return taken.telemetry.engine(plain)


def by_all(handler: Callable[[Any], Any]) -> dict[type[Effect], Callable[[Any], Any]]:
    return dict.fromkeys((Refund, PayOut, Notify), handler)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def place(span: ReadableSpan) -> tuple[int, int]:
    """
    Return a span's trace and its id.
    """
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> tuple[int, int]:
    """
    Return the trace and id of the span above.
    """
    assert span.parent is not None
    return span.parent.trace_id, span.parent.span_id


class TestCommands:
    """
    A span and a count each.
    """

    def test_one_that_is_done(self, engine: Engine, taken: Taken) -> None:
        """
        It says which command of whom did what to the order.
        """
        engine.place(an_order(), by=ANA, order_id="o1")
        engine.execute("o1", c.AcceptOrder(), by=LUC)

        span = taken.span("execute accept_order")
        assert attributes(span) == {
            "escrowflow.command.name": "accept_order",
            "escrowflow.command.outcome": "done",
            "escrowflow.actor.role": "seller",
            "escrowflow.order.id": "o1",
            "escrowflow.process.name": "comeup",
            "escrowflow.order.state.before": "pending",
            "escrowflow.order.state.after": "in_progress",
        }
        assert span.status.status_code is StatusCode.UNSET
        placed = attributes(taken.span("execute place_order"))
        assert placed["escrowflow.order.id"] == "o1"
        assert placed["escrowflow.order.state.before"] == ""
        assert taken.counts("escrowflow.commands") == {
            ("place_order", "done"): 1,
            ("accept_order", "done"): 1,
        }

    @pytest.mark.parametrize("verb", ["execute", "attempt"])
    def test_one_that_is_refused(self, engine: Engine, taken: Taken, verb: str) -> None:
        """
        The code of what is in the way, and no error: it is an answer.
        """
        brought_to(engine, "delivered")

        try:
            answer = getattr(engine, verb)("o1", c.AcceptOrder(), by=LUC)
        except CommandRefusedError as error:
            answer = Refusal(blockers=error.blockers, order=None)

        span = taken.span("execute accept_order")
        codes = [blocker.code for blocker in answer.blockers]
        assert attributes(span)["escrowflow.refusal.codes"] == tuple(codes)
        assert attributes(span)["escrowflow.order.state.before"] == "delivered"
        assert attributes(span)["escrowflow.order.state.after"] == "delivered"
        assert span.status.status_code is StatusCode.UNSET
        assert span.events == ()
        counted = taken.counts("escrowflow.commands")
        assert counted["accept_order", "refused", codes[0]] == 1

    def test_a_placing_that_is_refused(self, engine: Engine, taken: Taken) -> None:
        """
        There is no order then, and nothing to name; a preview is no command at all.
        """
        held = Payment(
            "card", "pi_1", eur(100), as_utc("2026-05-12T10:00:00Z", "until")
        )
        engine.preview(None, an_order(payment=held), by=ANA)
        with pytest.raises(CommandRefusedError):
            engine.place(an_order(payment=held), by=ANA, order_id="o1")

        (span,) = taken.spans
        assert attributes(span)["escrowflow.refusal.codes"] == ("holds_not_taken",)
        assert "escrowflow.order.id" not in attributes(span)

    def test_one_that_is_repeated(self, engine: Engine, taken: Taken) -> None:
        """
        The answer of an earlier call is told apart, with the state of then.
        """
        brought_to(engine, "pending")
        for _ in range(2):
            engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")

        first, second = (
            attributes(span)
            for span in taken.spans
            if span.name == "execute accept_order"
        )
        assert first["escrowflow.command.outcome"] == "done"
        assert second == first | {"escrowflow.command.outcome": "replayed"}

    def test_a_mistake_of_the_caller(self, engine: Engine, taken: Taken) -> None:
        """
        It has the kind of error, and is none of ours; what nobody found is not named.
        """
        with pytest.raises(OrderNotFoundError):
            engine.execute(CANARY, c.AcceptOrder(), by=LUC)
        with pytest.raises(InvalidInputError):
            engine.execute("o1", None, by=None)  # type: ignore[arg-type]

        found, wrong = taken.spans
        assert attributes(found)["error.type"] == "OrderNotFoundError"
        assert attributes(found)["escrowflow.command.outcome"] == "caller_error"
        assert found.status.status_code is StatusCode.UNSET
        assert wrong.name == "execute _OTHER"
        assert CANARY not in str([attributes(span) for span in taken.spans])

    def test_a_storage_that_fails(self, taken: Taken, clock: FakeClock) -> None:
        """
        That is an error: of the span, with its kind, and nothing of what it says.
        """
        storage = open_storage("sqlite:////nowhere/at/all.db")
        engine = taken.telemetry.engine(an_engine(storage, clock=clock))

        with pytest.raises(StorageError):
            engine.execute("o1", c.AcceptOrder(), by=LUC)

        (span,) = taken.spans
        assert span.status.status_code is StatusCode.ERROR
        assert (span.status.description, span.events) == (None, ())
        assert attributes(span)["error.type"] == "StorageError"
        assert attributes(span)["escrowflow.order.id"] == "o1"
        assert list(taken.counts("escrowflow.commands")) == [
            ("StorageError", "accept_order", "failed")
        ]

    def test_how_long_it_took(self, engine: Engine, taken: Taken) -> None:
        """
        In seconds, by command and outcome.
        """
        brought_to(engine, "in_progress")

        sums = {
            point.attributes["escrowflow.command.name"]: (point.count, point.sum)
            for name, point in taken.points()
            if name == "escrowflow.command.duration"
        }
        assert sums == {"place_order": (1, 1.0), "accept_order": (1, 1.0)}

    def test_inside_a_transaction_of_yours(
        self, taken: Taken, clock: FakeClock, tmp_path: Path
    ) -> None:
        """
        `within` keeps who is told, and writes where it should.
        """
        import sqlite3

        storage = open_storage(f"sqlite:///{tmp_path}/orders.db")
        engine = taken.telemetry.engine(an_engine(storage, clock=clock))
        storage.migrate()
        handle = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
        handle.execute("BEGIN IMMEDIATE")
        engine.within(handle).place(an_order(), by=ANA, order_id="o1")
        handle.execute("ROLLBACK")
        handle.close()

        with pytest.raises(OrderNotFoundError):
            engine.order("o1")
        assert [span.name for span in taken.spans] == ["execute place_order"]
        engine.close()


class TestWork:
    """
    Rounds, sweeps and effects.
    """

    def test_a_round_holds_what_is_done_in_it(
        self, engine: Engine, taken: Taken, clock: FakeClock
    ) -> None:
        """
        Sweep, effects, and each effect below them, in one trace.
        """
        brought_to(engine, "pending")
        clock.advance(days=3)
        worker = Worker(engine, taken.telemetry.handlers(by_all(lambda _: None)))
        taken.exporter.clear()

        worker.run_once()

        work = taken.span("escrowflow.round")
        sweep, effects = (
            taken.span("escrowflow.sweep"),
            taken.span("escrowflow.effects"),
        )
        each = [span for span in taken.spans if span.name.startswith("process ")]
        assert len({trace for trace, _ in map(place, taken.spans)}) == 1
        assert work.parent is None
        assert parent(sweep) == parent(effects) == place(work)
        assert {parent(span) for span in each} == {place(effects)}
        assert attributes(sweep)["escrowflow.sweep.settled"] == 1
        assert attributes(effects)["escrowflow.outbox.done"] == len(each)
        assert taken.counts("escrowflow.sweep.orders") == {("settled",): 1}
        assert taken.counts("escrowflow.outbox.settled")[("done",)] == len(each)

    @pytest.mark.parametrize(
        ("said", "outcome", "status"),
        [
            (None, "done", StatusCode.UNSET),
            (Done("re_1"), "done", StatusCode.UNSET),
            (NotDone(CANARY), "not_done", StatusCode.UNSET),
            (RetryAt("2026-05-06T10:00:00Z"), "retry_at", StatusCode.UNSET),
            (Unknown(CANARY), "unknown", StatusCode.ERROR),
            ("nonsense", "unknown", StatusCode.ERROR),
            (ValueError(CANARY), "raised", StatusCode.ERROR),
        ],
    )
    def test_what_a_handler_says(
        self, engine: Engine, taken: Taken, said: Any, outcome: str, status: StatusCode
    ) -> None:
        """
        It is counted by kind and outcome; an error is what is not known, or raised.
        """
        brought_to(engine, "cancelled")

        def carry_out(_: Effect) -> Any:
            if isinstance(said, Exception):
                raise said
            return said

        engine.run_effects(taken.telemetry.handlers({Refund: carry_out}), ["refund"])

        span = taken.span("process refund")
        keys = {one.effect.key for one in engine.effects("o1")}
        assert span.kind is SpanKind.CONSUMER
        assert span.status.status_code is status
        parts = attributes(span)
        assert parts["escrowflow.effect.outcome"] == outcome
        assert parts["escrowflow.order.id"] == "o1"
        assert parts["escrowflow.effect.key"] in keys
        assert taken.counts("escrowflow.effects") == {("refund", outcome): 1}
        assert CANARY not in str([parts, span.events, span.status.description])

    def test_an_effect_is_linked_to_where_it_began(
        self, engine: Engine, taken: Taken
    ) -> None:
        """
        What the host kept beside the order leads from what a worker does back to the
        request; what it cannot look up costs the link alone.
        """
        kept: dict[str, str] = {}
        with taken.tracer.start_as_current_span("request") as request:
            brought_to(engine, "cancelled")
            kept["o1"] = traceparent()
        handled = [0]

        def refund(_: Effect) -> Done:
            handled[0] += 1
            return Done()

        def broken(_: Effect) -> str:
            raise ConnectionError

        lookups: list[Any] = [
            lambda effect: kept[effect.order_id],
            lambda effect: None,
            lambda effect: "nonsense",
            broken,
            None,
        ]
        links = []
        for number, trace_of in enumerate(lookups):
            order_id = f"p{number}"
            kept[order_id] = kept["o1"]
            brought_to(engine, "cancelled", order_id)
            handlers = taken.telemetry.handlers({Refund: refund}, trace_of=trace_of)
            engine.run_effects(handlers, ["refund"])
            links.append([one.context for one in taken.span("process refund").links])

        assert [one.trace_id for one in links[0]] == [
            request.get_span_context().trace_id
        ]
        assert links[1:] == [[], [], [], []]
        assert handled == [6]
        assert traceparent() == ""

    def test_a_wallet_is_not_named(self, taken: Taken, clock: FakeClock) -> None:
        """
        It is called after its owner, so a withdrawal has its key alone.
        """
        storage = open_storage("memory://")
        engine = taken.telemetry.engine(an_engine(storage, clock=clock))
        wallets = Wallets(storage, clock=clock)
        wallets.credit(CANARY, eur(5), "in")
        wallets.withdraw(CANARY, eur(5), key="out")
        handlers = taken.telemetry.handlers({Withdraw: lambda _: Done("po_1")})

        assert engine.run_effects(handlers, ["withdraw"]).done == 1

        assert "escrowflow.order.id" not in attributes(taken.span("process withdraw"))
        assert CANARY not in str([attributes(span) for span in taken.spans])

    def test_a_round_that_fails(self, taken: Taken, clock: FakeClock) -> None:
        """
        The error is on the round and on the sweep in it.
        """
        storage = open_storage("sqlite:////nowhere/at/all.db")
        engine = taken.telemetry.engine(an_engine(storage, clock=clock))

        with pytest.raises(StorageError):
            Worker(engine).run_once()

        for name in ("escrowflow.round", "escrowflow.sweep"):
            assert taken.span(name).status.status_code is StatusCode.ERROR
            assert attributes(taken.span(name))["error.type"] == "StorageError"

    def test_a_round_of_effects_that_fails(
        self, taken: Taken, clock: FakeClock
    ) -> None:
        """
        There is nothing to count then.
        """
        storage = open_storage("sqlite:////nowhere/at/all.db")
        engine = taken.telemetry.engine(an_engine(storage, clock=clock))

        with pytest.raises(StorageError):
            engine.run_effects(by_all(lambda _: None))

        (span,) = taken.spans
        assert attributes(span) == {"error.type": "StorageError"}
        assert taken.counts("escrowflow.outbox.settled") == {}

    def test_awaited(self, taken: Taken, clock: FakeClock) -> None:
        """
        An `AsyncEngine` tells the same, and its handlers are awaited inside their spans,
        whether they are coroutine functions or return something to await.
        """

        async def send(_: Effect) -> Done:
            await asyncio.sleep(0)
            with taken.tracer.start_as_current_span("inside"):
                return Done()

        async def work() -> None:
            storage = open_async_storage("memory://")
            plain = AsyncEngine(COMEUP, storage, clock=clock)
            engine = taken.telemetry.engine(plain)
            await engine.place(an_order(), by=ANA, order_id="o1")
            await engine.execute("o1", c.AcceptOrder(), by=LUC)
            await engine.attempt("o1", c.CancelOrder(), by=LUC)
            handlers = taken.telemetry.handlers(
                by_all(send) | {Refund: lambda effect: send(effect)}
            )
            assert not (await AsyncWorker(engine, handlers).run_once()).idle
            await engine.close()

        asyncio.run(work())

        assert attributes(taken.span("execute cancel_order"))
        work_, effects = (
            taken.span("escrowflow.round"),
            taken.span("escrowflow.effects"),
        )
        assert parent(effects) == place(work_)
        each = {place(one) for one in taken.spans if one.name.startswith("process ")}
        inside = {parent(one) for one in taken.spans if one.name == "inside"}
        assert inside == each
        assert {name for name, _ in taken.counts("escrowflow.effects")} == {
            "refund",
            "notify",
        }

    def test_whoever_would_not_await_is_told(
        self, engine: Engine, taken: Taken
    ) -> None:
        """
        A coroutine function is one still, so an `Engine` refuses it as before.
        """

        async def send(_: Effect) -> Done:
            return Done()

        with pytest.raises(InvalidInputError, match="nobody would await"):
            Worker(engine, taken.telemetry.handlers(by_all(send)))


class TestGauges:
    """
    What an alarm looks at.
    """

    def test_lateness_and_stuck(
        self, engine: Engine, taken: Taken, clock: FakeClock
    ) -> None:
        """
        How long the oldest deadline has passed, and what waits for a human; zero once
        it is gone.
        """
        taken.telemetry.gauges(engine)
        assert taken.counts("escrowflow.deadline.lateness") == {(): 0}
        assert taken.counts("escrowflow.stuck") == {}

        brought_to(engine, "pending")
        assert taken.counts("escrowflow.deadline.lateness") == {(): 0}
        clock.advance(days=2, seconds=90)
        # Nobody has settled the reminder of the day before.
        assert taken.counts("escrowflow.deadline.lateness") == {(): 86_490}
        engine.run_due()
        assert taken.counts("escrowflow.deadline.lateness") == {(): 0}
        refused = by_all(lambda _: NotDone("no"))
        engine.run_effects(refused, ["refund"])
        assert taken.counts("escrowflow.stuck") == {("refund",): 1}

        engine.redrive("o1")
        engine.run_effects(by_all(lambda _: None))
        assert taken.counts("escrowflow.stuck") == {("refund",): 0}

    def test_only_who_may_be_waited_for(self, taken: Taken, clock: FakeClock) -> None:
        """
        Exports come from a thread: an `AsyncEngine` has nobody there to await it.
        """
        awaited = AsyncEngine(COMEUP, open_async_storage("memory://"), clock=clock)

        with pytest.raises(InvalidInputError, match="thread"):
            taken.telemetry.gauges(awaited)  # type: ignore[arg-type]


class TestRestraint:
    """
    What is not told, and what it costs.
    """

    def test_nobodys_words_and_few_labels(
        self, engine: Engine, taken: Taken, clock: FakeClock
    ) -> None:
        """
        Through a whole life nothing is told of what people wrote, who they are, or their
        money; and metrics are told apart by few things.
        """
        words = {"text": CANARY, "title": CANARY}
        buyer = Buyer(f"buyer-{CANARY}")
        engine.place(
            an_order(
                terms=terms(**words), seller_id=f"seller-{CANARY}", payment=paid(CANARY)
            ),
            by=buyer,
            order_id="o1",
        )
        engine.execute("o1", c.FreezeOrder(reason=CANARY), by=OPS)
        engine.attempt("o1", c.CancelOrder(reason=CANARY), by=buyer)
        engine.execute("o1", c.UnfreezeOrder(), by=OPS)
        engine.execute("o1", c.CancelOrder(reason=CANARY), by=buyer)
        taken.telemetry.gauges(engine)
        handlers = taken.telemetry.handlers(by_all(lambda _: NotDone(CANARY)))
        Worker(engine, handlers).run_once()

        told = [(one.name, attributes(one), one.events) for one in taken.spans]
        assert CANARY not in str(told)
        points = list(taken.points())
        assert CANARY not in str([point.attributes for _, point in points])
        assert {key for _, point in points for key in point.attributes} <= LABELS
        assert len({name for name, _ in points}) >= 8

    def test_without_a_provider_nothing_happens(self, clock: FakeClock) -> None:
        """
        With the API alone, and nobody who takes anything, all goes on as before.
        """
        telemetry = Telemetry()
        engine = telemetry.engine(an_engine(open_storage("memory://"), clock=clock))
        telemetry.gauges(engine)
        brought_to(engine, "cancelled")

        assert engine.run_effects(telemetry.handlers(by_all(lambda _: None))).done > 0

    def test_the_library_does_not_import_it(self) -> None:
        """
        Whoever does not ask for it does not need it installed.
        """
        code = (
            "import sys, escrowflow.worker, escrowflow.contrib;"
            "sys.exit('opentelemetry' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_without_the_package_it_says_so(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The way out is in the error.
        """
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        monkeypatch.delitem(sys.modules, "escrowflow.contrib.otel")

        with pytest.raises(
            MissingExtraError, match=r"pip install 'escrowflow\[otel\]'"
        ):
            import_module("escrowflow.contrib.otel")

    @pytest.mark.parametrize(
        ("verb", "value"),
        [("engine", None), ("handlers", None), ("gauges", None)],
    )
    def test_is_checked(self, taken: Taken, verb: str, value: Any) -> None:
        """
        What is something else is named at once.
        """
        with pytest.raises(InvalidInputError):
            getattr(taken.telemetry, verb)(value)
        with pytest.raises(InvalidInputError, match="trace_of"):
            taken.telemetry.handlers({}, trace_of=1)  # type: ignore[arg-type]


class TestWatched:
    """
    The seam below: whoever wants to be told, in any other way.
    """

    def test_the_engine_itself_stays_unwatched(self, clock: FakeClock) -> None:
        """
        `watched` returns another one for the same orders.
        """
        seen: list[Call] = []

        class Watching:
            def __init__(self, call: Call) -> None:
                seen.append(call)

            def __enter__(self) -> Callable[[Any], None]:
                return lambda answer: None

            def __exit__(self, *_: object) -> None:
                pass

        engine = an_engine(open_storage("memory://"), clock=clock)
        told = engine.watched(Watching)
        told.place(an_order(), by=ANA, order_id="o1")
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        told.run_due()

        assert engine.watch is None
        assert [call.name for call in seen] == ["place", "run_due"]
        assert (seen[0].order_id, seen[0].by) == ("o1", ANA)
        with pytest.raises(InvalidInputError, match="watch"):
            engine.watched(None)  # type: ignore[arg-type]

    def test_an_outcome_says_where_it_began(self, clock: FakeClock) -> None:
        """
        The state before a command is that after what was due; a preview says the same.
        """
        engine = an_engine(open_storage("memory://"), clock=clock)
        placed = engine.place(an_order(payment=None), by=ANA, order_id="o1")
        confirm = c.ConfirmPayment(payment=paid(amount=eur(100)))
        before = engine.preview("o1", confirm, by=STRIPE)
        booked = engine.execute("o1", confirm, by=STRIPE)

        assert placed.state_before == ""
        assert not isinstance(before, Refusal)
        assert before.state_before == booked.state_before == "awaiting_payment"
        assert booked.order.state == "pending"


class _Broken(SpanProcessor):
    """
    A processor of spans that fails.
    """

    def __init__(self, when: str) -> None:
        self._when = when

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._when == "start":
            raise RuntimeError(CANARY)

    def on_end(self, span: Any) -> None:
        if self._when == "end":
            raise RuntimeError(CANARY)


def _broken(when: str) -> Telemetry:
    """
    Return a telemetry that fails.
    """

    def timer() -> float:
        if when == "timer":
            raise RuntimeError(CANARY)
        return 0.0

    spans = TracerProvider(shutdown_on_exit=False)
    spans.add_span_processor(_Broken(when))
    return Telemetry(tracer_provider=spans, timer=timer)


BREAKS: Final = pytest.mark.parametrize("when", ["start", "end", "timer"])


class TestBroken:
    """
    What fails in telling fails nothing that is told of: the order is written by then,
    or the money sent, and it would be done again.
    """

    @BREAKS
    def test_a_command(
        self, clock: FakeClock, caplog: pytest.LogCaptureFixture, when: str
    ) -> None:
        """
        Its answer is returned, and its own error is raised; the log names the trouble.
        """
        plain = an_engine(open_storage("memory://"), clock=clock)
        engine = _broken(when).engine(plain)

        placed = engine.place(an_order(), by=ANA, order_id="o1")
        with pytest.raises(CommandRefusedError):
            engine.execute("o1", c.AcceptOrder(), by=ANA)

        assert plain.order("o1").version == placed.order.version
        lines = [one for one in caplog.records if one.name == "escrowflow.watch"]
        assert {getattr(one, "code", "") for one in lines} == {"watch_failed"}
        assert CANARY not in caplog.text

    @BREAKS
    def test_an_effect_is_carried_out_once(self, clock: FakeClock, when: str) -> None:
        """
        Its handler is called, and what it says is written.
        """
        telemetry = _broken(when)
        engine = telemetry.engine(an_engine(open_storage("memory://"), clock=clock))
        engine.place(an_order(), by=ANA, order_id="o1")
        called: list[Effect] = []
        hands = telemetry.handlers({Notify: called.append})
        worker = Worker(engine, hands, kinds=["notify"])

        done = worker.run_once().effects.done

        assert done == len(called) > 0
        assert worker.run_once().idle

    @BREAKS
    def test_awaited(self, clock: FakeClock, when: str) -> None:
        """
        The same on an event loop.
        """
        telemetry = _broken(when)
        called: list[Effect] = []

        async def notify(effect: Effect) -> Done:
            called.append(effect)
            return Done()

        async def live() -> int:
            plain = AsyncEngine(COMEUP, open_async_storage("memory://"), clock=clock)
            engine = telemetry.engine(plain)
            await engine.place(an_order(), by=ANA, order_id="o1")
            hands = telemetry.handlers({Notify: notify})
            worker = AsyncWorker(engine, hands, kinds=["notify"])
            done = (await worker.run_once()).effects.done
            assert (await worker.run_once()).idle
            return done

        assert asyncio.run(live()) == len(called) > 0

    def test_a_watch_keeps_no_error_back(self, clock: FakeClock) -> None:
        """
        Whoever is told of an error cannot swallow it, nor put another in its place.
        """

        class Swallowing:
            def __init__(self, call: Call) -> None:
                pass

            def __enter__(self) -> Callable[[Any], None]:
                return lambda answer: None

            def __exit__(self, *_: object) -> bool:
                return True

        plain = an_engine(open_storage("memory://"), clock=clock)

        with pytest.raises(OrderNotFoundError):
            plain.watched(Swallowing).execute("o1", c.AcceptOrder(), by=LUC)

    def test_a_watch_that_hears_nothing(self, clock: FakeClock) -> None:
        """
        One that fails at the answer is left all the same.
        """
        left: list[Any] = []

        class Deaf:
            def __init__(self, call: Call) -> None:
                pass

            def __enter__(self) -> Callable[[Any], None]:
                def told(answer: Any) -> None:
                    raise ValueError(answer)

                return told

            def __exit__(self, *error: object) -> None:
                left.append(error)
                raise ValueError(error)

        plain = an_engine(open_storage("memory://"), clock=clock)
        placed = plain.watched(Deaf).place(an_order(), by=ANA, order_id="o1")

        assert placed.order == plain.order("o1")
        assert left == [(None, None, None)]
