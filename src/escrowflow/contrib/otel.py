"""
OpenTelemetry: traces and metrics of an engine and its workers (extra `otel`).

    telemetry = Telemetry()
    engine = telemetry.engine(engine)
    worker = Worker(engine, telemetry.handlers(handlers))
    telemetry.gauges(engine)

- A refusal is an answer: it has a code, and is no error.  An error is what failed.
- Spans have ids of orders; metrics never do.  Nothing has ids of people, amounts of
  money, or words.
- What fails in tracing or measuring fails no command and no handler.
- An engine that nobody instruments asks whether somebody does, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from inspect import isawaitable, iscoroutinefunction
from time import perf_counter
from typing import Any, Final, TypeVar, final

from .. import __version__
from ..clock import to_micros
from ..decisions import Refusal
from ..effects import Done, Effect, NotDone, RetryAt, Unknown, Withdraw
from ..engine import AsyncEngine, Call, Engine, Handler, Handlers, Outcome
from ..engine.watching import Harmless
from ..errors import (
    InvalidInputError,
    KeyReusedError,
    MissingExtraError,
    OrderChangedError,
    OrderExistsError,
    OrderNotFoundError,
)
from ..inputs import kind_of

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import (
        TraceContextTextMapPropagator,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError("otel", str(error.name)) from error

__all__ = ["Telemetry", "traceparent"]

_E = TypeVar("_E", Engine, AsyncEngine)

_SCOPE: Final = "escrowflow"

# For what has no name of its own, as the semantic conventions say.
_OTHER: Final = "_OTHER"

# Whoever called is wrong, not what he called.
_CALLERS: Final = (
    InvalidInputError,
    OrderNotFoundError,
    OrderExistsError,
    KeyReusedError,
    OrderChangedError,
)

# How a handler's answer counts.
_RESULTS: Final[Mapping[type, str]] = {
    type(None): "done",
    Done: "done",
    NotDone: "not_done",
    RetryAt: "retry_at",
    Unknown: "unknown",
}

# What the spans of an engine's and a worker's calls are called, unless it is a command.
_SPANS: Final[Mapping[str, str]] = {
    "run_due": "escrowflow.sweep",
    "run_effects": "escrowflow.effects",
    "round": "escrowflow.round",
}

# As the semantic conventions advise for what takes milliseconds to seconds.
_BUCKETS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1, 2.5, 5, 10),
)

_STUCK_MAX: Final = 1000

_TRACE: Final = TraceContextTextMapPropagator()


def traceparent() -> str:
    """
    Return where the trace is that is being written, as W3C Trace Context says; empty if
    there is none.  Keep it beside what you place, and hand it to *trace_of*.
    """
    carrier: dict[str, str] = {}
    _TRACE.inject(carrier)
    return carrier.get("traceparent", "")


@final
class Telemetry:
    """
    Makes spans and metrics of what engines and workers do.

    Args:
        tracer_provider: Who takes the spans; the global one unless said.

        meter_provider: Who takes the metrics; the global one unless said.

        timer: Returns seconds that never go back.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._meter = meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._timer = timer
        self._commands = meter.create_counter(
            "escrowflow.commands", "{command}", "What was sent, and what came of it"
        )
        self._effects = meter.create_counter(
            "escrowflow.effects", "{effect}", "What handlers were given, and said"
        )
        self._settled = meter.create_counter(
            "escrowflow.outbox.settled", "{effect}", "What was written of effects"
        )
        self._swept = meter.create_counter(
            "escrowflow.sweep.orders", "{order}", "Orders whose deadlines had passed"
        )
        self._durations = {
            name: meter.create_histogram(
                f"escrowflow.{name}.duration",
                "s",
                text,
                explicit_bucket_boundaries_advisory=_BUCKETS,
            )
            for name, text in (
                ("command", "How long a command took"),
                ("effect", "How long a handler took"),
                ("sweep", "How long a sweep took"),
                ("round", "How long a round of a worker took"),
            )
        }

    # --- engines and workers ------------------------------------------------------

    def engine(self, engine: _E) -> _E:
        """
        Return the same engine, with a span and metrics for each command, sweep and
        round of effects; of a worker made with it, for each round.

        Raises:
            InvalidInputError: If it is no engine.
        """
        if not isinstance(engine, (Engine, AsyncEngine)):
            raise InvalidInputError("engine", f"an engine, not {kind_of(engine)}")
        return engine.watched(self._watch)

    @contextmanager
    def _watch(self, call: Call) -> Iterator[Callable[[Any], object]]:
        answers: list[Any] = []
        failed: BaseException | None = None
        began = self._timer()
        with self._span(_name_of(call)) as span:
            try:
                yield answers.append
            except BaseException as error:
                failed = error
                raise
            finally:
                seconds = self._timer() - began
                answer = answers[0] if answers else None
                if call.name in _SPANS:
                    self._told_work(span, call, answer, failed, seconds)
                else:
                    self._told_command(span, call, answer, failed, seconds)

    @contextmanager
    def _span(self, name: str, **options: Any) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            # What an error says may be what somebody wrote.
            record_exception=False,
            set_status_on_exception=False,
            **options,
        ) as span:
            yield span

    def _told_command(
        self,
        span: Span,
        call: Call,
        answer: Any,
        failed: BaseException | None,
        seconds: float,
    ) -> None:
        """
        Tell of a command.
        """
        kind = _OTHER if call.command is None else call.command.name
        labels = {"escrowflow.command.name": kind}
        parts: dict[str, Any] = {}
        if call.by is not None:
            parts["escrowflow.actor.role"] = call.by.role.text
        if isinstance(answer, Outcome):
            outcome = "replayed" if answer.replayed else "done"
            parts |= _order(answer.order, answer.state_before)
        elif isinstance(answer, Refusal):
            outcome = "refused"
            codes = [blocker.code for blocker in answer.blockers]
            labels["escrowflow.refusal.code"] = codes[0]
            parts["escrowflow.refusal.codes"] = codes
            if answer.order is not None:
                parts |= _order(answer.order, answer.order.state)
        else:
            outcome = "caller_error" if isinstance(failed, _CALLERS) else "failed"
            labels["error.type"] = _type_of(failed)
            if outcome == "failed":
                # What nobody found may be anything that somebody typed.
                parts["escrowflow.order.id"] = call.order_id
                span.set_status(StatusCode.ERROR)
        labels["escrowflow.command.outcome"] = outcome
        span.set_attributes({**labels, **parts})
        self._commands.add(1, labels)
        self._durations["command"].record(
            seconds,
            {
                "escrowflow.command.name": kind,
                "escrowflow.command.outcome": outcome,
            },
        )

    def _told_work(
        self,
        span: Span,
        call: Call,
        report: Any,
        failed: BaseException | None,
        seconds: float,
    ) -> None:
        """
        Tell of a sweep, a round of effects, or a round of a worker.
        """
        labels = {}
        if failed is not None:
            labels["error.type"] = _type_of(failed)
            span.set_attributes(labels)
            span.set_status(StatusCode.ERROR)
        if call.name == "round":
            self._durations["round"].record(seconds, labels)
        elif call.name == "run_due":
            self._durations["sweep"].record(seconds, labels)
            if report is not None:
                counts = {
                    "settled": report.orders,
                    "faster": report.faster,
                    "parked": len(report.parked),
                }
                self._counted(span, self._swept, "sweep", counts)
        elif report is not None:
            names = ("done", "lapsed", "again", "parked", "stale")
            counts = {name: getattr(report, name) for name in names}
            self._counted(span, self._settled, "outbox", counts)

    def _counted(
        self, span: Span, counter: Any, what: str, counts: Mapping[str, int]
    ) -> None:
        for name, count in counts.items():
            span.set_attribute(f"escrowflow.{what}.{name}", count)
            if count:
                counter.add(count, {f"escrowflow.{what}.outcome": name})

    # --- effects ------------------------------------------------------------------

    def handlers(
        self,
        handlers: Handlers,
        *,
        trace_of: Callable[[Effect], str | None] | None = None,
    ) -> dict[type[Effect], Handler]:
        """
        Return the same handlers, with a span and metrics for each effect.

        Args:
            trace_of: Returns the `traceparent` that you kept of an effect's order, so
                that the span is linked to it; `None` if there is none.  What it raises
                costs the link, and nothing else.
        """
        if trace_of is not None and not callable(trace_of):
            raise InvalidInputError("trace_of", "something to call with an effect")
        if not isinstance(handlers, Mapping):
            raise InvalidInputError("handlers", f"a mapping, not {kind_of(handlers)}")
        return {
            kind: self._handled(handler, trace_of) for kind, handler in handlers.items()
        }

    def _handled(
        self, handler: Handler, trace_of: Callable[[Effect], str | None] | None
    ) -> Handler:
        def carry_out(effect: Effect) -> Any:
            with ExitStack() as stack:
                told = stack.enter_context(
                    Harmless(lambda: self._effect(effect, trace_of))
                )
                result = handler(effect)
                if isawaitable(result):
                    return _awaited(result, told, stack.pop_all())
                told(result)
            return result

        async def carry_out_awaited(effect: Effect) -> Any:
            return await carry_out(effect)

        # Whoever would not await it must be able to see that.
        called = getattr(handler, "__call__", None)  # noqa: B004
        awaits = any(map(iscoroutinefunction, (handler, called)))
        return carry_out_awaited if awaits else carry_out

    @contextmanager
    def _effect(
        self, effect: Effect, trace_of: Callable[[Effect], str | None] | None
    ) -> Iterator[Callable[[Any], object]]:
        answers: list[Any] = []
        failed: BaseException | None = None
        labels = {"escrowflow.effect.name": effect.name}
        parts: dict[str, Any] = {
            "escrowflow.effect.key": effect.key,
            "escrowflow.effect.attempt": effect.attempt,
        }
        if not isinstance(effect, Withdraw):
            # A wallet is called after its owner.
            parts["escrowflow.order.id"] = effect.order_id
        began = self._timer()
        with self._span(
            f"process {effect.name}",
            kind=SpanKind.CONSUMER,
            links=_links(effect, trace_of),
            attributes={**labels, **parts},
        ) as span:
            try:
                yield answers.append
            except BaseException as error:
                failed = error
                raise
            finally:
                if failed is not None:
                    outcome = "raised"
                    span.set_attribute("error.type", _type_of(failed))
                else:
                    outcome = _RESULTS.get(type(answers[0]), "unknown")
                if outcome in ("raised", "unknown"):
                    span.set_status(StatusCode.ERROR)
                labels["escrowflow.effect.outcome"] = outcome
                span.set_attributes(labels)
                self._effects.add(1, labels)
                self._durations["effect"].record(self._timer() - began, labels)

    # --- gauges -------------------------------------------------------------------

    def gauges(self, engine: Engine) -> None:
        """
        Tell with each export how late the oldest deadline is that nobody has settled,
        and how many things wait for a human, by kind.

        Whoever exports metrics does so in a thread of his own, which waits for the
        storage; so with an `AsyncEngine`, make an `Engine` for it besides.

        Raises:
            InvalidInputError: If it is no `Engine`.
        """
        if not isinstance(engine, Engine):
            raise InvalidInputError(
                "engine",
                f"an Engine, which a thread may wait for, not {kind_of(engine)}",
            )
        kinds: set[str] = set()

        def lateness(_: CallbackOptions) -> Iterable[Observation]:
            due = engine.next_due_at()
            now = engine.clock.now()
            late = 0 if due is None else max(0, to_micros(now) - to_micros(due))
            return [Observation(late / 1_000_000)]

        def stuck(_: CallbackOptions) -> Iterable[Observation]:
            counts = dict.fromkeys(kinds, 0)
            for one in engine.stuck(_STUCK_MAX):
                counts[one.kind] = counts.get(one.kind, 0) + 1
            # What was there is told to be gone.
            kinds.update(counts)
            return [
                Observation(count, {"escrowflow.stuck.kind": kind})
                for kind, count in sorted(counts.items())
            ]

        self._meter.create_observable_gauge(
            "escrowflow.deadline.lateness",
            [lateness],
            "s",
            "How long the oldest deadline has passed that is not settled",
        )
        self._meter.create_observable_gauge(
            "escrowflow.stuck", [stuck], "{item}", "What waits for a human"
        )


async def _awaited(result: Any, told: Callable[[Any], object], stack: ExitStack) -> Any:
    with stack:
        answer = await result
        told(answer)
    return answer


def _name_of(call: Call) -> str:
    """
    Return the name of a span: what is done, and never to which order.
    """
    if call.name in _SPANS:
        return _SPANS[call.name]
    return f"execute {_OTHER if call.command is None else call.command.name}"


def _order(order: Any, before: str) -> dict[str, Any]:
    return {
        "escrowflow.order.id": order.id,
        "escrowflow.process.name": order.process,
        "escrowflow.order.state.before": str(before),
        "escrowflow.order.state.after": str(order.state),
    }


def _type_of(error: BaseException | None) -> str:
    return _OTHER if error is None else type(error).__qualname__


def _links(
    effect: Effect, trace_of: Callable[[Effect], str | None] | None
) -> list[Link]:
    """
    Return the link to the trace in which the order was placed, if it is known.
    """
    kept = None
    # Money does not wait for what nobody could look up.
    with suppress(Exception):
        kept = None if trace_of is None else trace_of(effect)
    if not isinstance(kept, str):
        return []
    found = trace.get_current_span(_TRACE.extract({"traceparent": kept}))
    context = found.get_span_context()
    return [Link(context)] if context.is_valid else []
