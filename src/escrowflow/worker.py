"""
Workers: what has become due is settled, and effects are carried out, for as long as
they run.

Orders do not need them to be right: what is due is settled before any command, and
any reading shows it.  Workers make it happen in time although nobody looks.  Any
number of them may run at once, in threads, processes and machines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Generator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import TIMEOUT_MAX, Lock
from typing import Any, Final, TypeAlias, TypeVar, final

import attrs

from .caution import Caution, HeldBack, Lookout
from .clock import as_window
from .effects import Effect, ReleaseHold, Withdraw
from .engine import AsyncEngine, Call, EffectReport, Engine, Handlers, SweepReport
from .engine.driving import check_together
from .engine.watching import telling
from .errors import EscrowflowError, InvalidInputError
from .inputs import kind_of
from .logs import told
from .payments.wallets import AsyncWallets, Wallets
from .storage import Capability

__all__ = ["AsyncWorker", "WorkReport", "Worker"]

_LOG: Final = logging.getLogger("escrowflow.worker")

_T = TypeVar("_T")

# What a round asks for: a call of the engine, of wallets or of a storage, and its
# answer.  Who blocks and who awaits answer it alike.
_Asking: TypeAlias = Generator[Callable[[], Any], Any, _T]

# How many orders and effects in one round.
_SWEEP: Final = 500
_EFFECTS: Final = 100

# How many orders a cautious worker settles between two looks at the clocks: what is
# written in one trip.
_LOOK: Final = 50

_POLL: Final = timedelta(seconds=5)


@final
@attrs.frozen(kw_only=True)
class WorkReport:
    """
    What a round of work came to.

    Attributes:
        sweep: What was settled.

        wallets: Whose debits were looked at.

        effects: What became of effects.

        held_back: Why a cautious worker does not do all that there may be.
    """

    sweep: SweepReport = attrs.field(factory=SweepReport)
    wallets: SweepReport = attrs.field(factory=SweepReport)
    effects: EffectReport = attrs.field(factory=EffectReport)
    held_back: HeldBack | None = None

    @property
    def idle(self) -> bool:
        """
        Whether there was nothing to do for this worker, or nothing that it may do now.
        """
        mine = attrs.evolve(self.sweep, unknown=())
        return attrs.evolve(self, sweep=mine, held_back=None) == WorkReport()


@final
class Worker:
    """
    Settles what is due and carries out effects, until it is told to stop.

    Args:
        engine: The engine.

        handlers: What carries out each class of effect, as for
            `Engine.run_effects`; without, effects are left to others.

        kinds: Only effects of these names.

        wallets: Those whose debits are looked at; without, they are left to others.

        poll: How long to wait when there is nothing to do; five seconds unless
            said.

        caution: When to hold back what cannot be undone; without, nothing ever is.

    Raises:
        InvalidInputError: If a kind of effect has no handler, with wallets also that of
            withdrawals; or if the wallets have another storage than the engine.
    """

    def __init__(
        self,
        engine: Engine,
        handlers: Handlers | None = None,
        *,
        kinds: Collection[str] | None = None,
        wallets: Wallets | None = None,
        poll: timedelta | str = _POLL,
        caution: Caution | None = None,
    ) -> None:
        if not isinstance(engine, Engine):
            raise InvalidInputError("engine", f"an Engine, not {kind_of(engine)}")
        if wallets is not None and not isinstance(wallets, Wallets):
            raise InvalidInputError("wallets", f"Wallets, not {kind_of(wallets)}")
        self.engine = engine
        self._poll = as_window(poll, "poll").total_seconds()
        self._rounds = _Rounds(engine, handlers, kinds, wallets, caution)
        self._stopped = False
        # Whoever can take it is awake.  Not an `Event`: set by a signal while its own
        # thread is about to wait, it waits for itself.
        self._awake = Lock()
        self._awake.acquire()

    def stop(self) -> None:
        """
        Stop after what is being done now, that is one effect or one sweep; may be
        called from a signal handler and from any thread.
        """
        self._stopped = True
        with suppress(RuntimeError):
            # Unless somebody has done so already.
            self._awake.release()

    def run(self) -> None:
        """
        Work until stopped.

        A storage that fails is tried again; any other error ends the work.
        """
        while not self._stopped:
            try:
                report = self.run_once()
            except EscrowflowError as error:
                _log_failed(error)
                report = WorkReport()
            if report.idle:
                self._awake.acquire(timeout=min(self._poll, TIMEOUT_MAX))

    def run_once(self) -> WorkReport:
        """
        Do one round of what there is to do now.
        """
        if self.engine.watch is None:
            return self._round()
        with telling(self.engine.watch, Call(name="round")) as told_of:
            report = self._round()
            told_of(report)
        return report

    def _round(self) -> WorkReport:
        asking = self._rounds.next(lambda: self._stopped)
        try:
            call = next(asking)
            while True:
                try:
                    answer = call()
                except Exception as error:
                    call = asking.throw(error)
                else:
                    call = asking.send(answer)
        except StopIteration as end:
            report: WorkReport = end.value
            return report


@final
class AsyncWorker:
    """
    A `Worker` on an event loop; its handlers may be coroutine functions.

    The arguments are those of `Worker`.  `run` may also be ended by cancelling it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        handlers: Handlers | None = None,
        *,
        kinds: Collection[str] | None = None,
        wallets: AsyncWallets | None = None,
        poll: timedelta | str = _POLL,
        caution: Caution | None = None,
    ) -> None:
        if not isinstance(engine, AsyncEngine):
            raise InvalidInputError("engine", f"an AsyncEngine, not {kind_of(engine)}")
        if wallets is not None and not isinstance(wallets, AsyncWallets):
            raise InvalidInputError("wallets", f"AsyncWallets, not {kind_of(wallets)}")
        self.engine = engine
        self._poll = as_window(poll, "poll").total_seconds()
        self._rounds = _Rounds(engine, handlers, kinds, wallets, caution)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """
        Stop after what is being done now; from the loop it runs on.
        """
        self._stopped.set()

    async def run(self) -> None:
        """
        See `Worker.run`.
        """
        while not self._stopped.is_set():
            try:
                report = await self.run_once()
            except EscrowflowError as error:
                _log_failed(error)
                report = WorkReport()
            if report.idle:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll):
                        await self._stopped.wait()

    async def run_once(self) -> WorkReport:
        """
        See `Worker.run_once`.
        """
        if self.engine.watch is None:
            return await self._round()
        with telling(self.engine.watch, Call(name="round")) as told_of:
            report = await self._round()
            told_of(report)
        return report

    async def _round(self) -> WorkReport:
        asking = self._rounds.next(self._stopped.is_set)
        try:
            call = next(asking)
            while True:
                try:
                    answer = await call()
                except Exception as error:
                    call = asking.throw(error)
                else:
                    call = asking.send(answer)
        except StopIteration as end:
            report: WorkReport = end.value
            return report


@final
class _Rounds:
    """
    What a worker does, round by round, whoever answers.

    The arguments are those of `Worker`.
    """

    def __init__(
        self,
        engine: Any,
        handlers: Handlers | None,
        kinds: Collection[str] | None,
        wallets: Any,
        caution: Caution | None,
    ) -> None:
        if wallets is not None:
            check_together(wallets, engine)
        if handlers is not None:
            engine.check_handlers(handlers, kinds)
            _check_withdrawals(handlers, kinds, wallets)
        elif kinds is not None:
            raise InvalidInputError("kinds", "effects need handlers: pass some")
        if caution is not None and not isinstance(caution, Caution):
            raise InvalidInputError("caution", f"a Caution, not {kind_of(caution)}")
        self._engine = engine
        self._handlers = handlers
        self._kinds = kinds
        self._wallets = wallets
        self._watch = None if caution is None else Lookout(caution, engine.clock)
        self._named: set[str] = set()
        self._held: HeldBack | None = None

    def next(self, stopped: Callable[[], bool]) -> _Asking[WorkReport]:
        """
        Do one round.

        Args:
            stopped: Whether the worker was told to stop.
        """
        watch, failed = self._watch, None
        sweep, looked, effects = SweepReport(), SweepReport(), EffectReport()
        if watch is not None:
            yield from self._look(watch)
        try:
            if watch is None:
                sweep = yield partial(self._engine.run_due, _SWEEP)
            else:
                sweep = yield from self._settled(watch, stopped)
            if self._wallets is not None and not stopped() and _sure(watch):
                looked = yield partial(self._wallets.run_due, self._engine, _SWEEP)
        except EscrowflowError as error:
            # What is to be paid does not wait for what cannot be settled.
            failed = error
        if self._handlers is not None and not stopped():
            if watch is None:
                run = self._engine.run_effects
                effects = yield partial(
                    run, self._handlers, self._kinds, _EFFECTS, stop=stopped
                )
            else:
                effects = yield from self._carried_out(watch, self._handlers, stopped)
        held = None if watch is None else watch.held_back()
        report = WorkReport(
            sweep=sweep, wallets=looked, effects=effects, held_back=held
        )
        _log(report, self._named)
        _log_held(self._held, held)
        self._held = held
        if failed is not None:
            raise failed
        return report

    def _look(self, watch: Lookout) -> _Asking[None]:
        """
        Look at all clocks.
        """
        watch.begin()
        storage = self._engine.storage
        if Capability.CLOCK in storage.capabilities:
            there: int = yield storage.clock
            watch.compare(there)

    def _settled(
        self, watch: Lookout, stopped: Callable[[], bool]
    ) -> _Asking[SweepReport]:
        """
        Settle what is due, in small steps: as long as the clocks can be trusted, and no
        more orders are ended than may be.
        """
        report, left = SweepReport(), _SWEEP
        while left and not stopped() and watch.look():
            limit = min(left, _LOOK, watch.orders.left(watch.passed()))
            if not limit:
                break
            try:
                part: SweepReport = yield partial(self._engine.run_due, limit)
            except EscrowflowError:
                # What was written before it failed is not known.
                watch.orders.add(watch.passed(), limit)
                raise
            watch.orders.add(watch.passed(), part.ended)
            report = SweepReport(
                orders=report.orders + part.orders,
                moves=report.moves + part.moves,
                ended=report.ended + part.ended,
                faster=report.faster + part.faster,
                unknown=part.unknown,
                parked=(*report.parked, *part.parked),
            )
            left -= limit
            if part.orders + part.faster + len(part.parked) < limit:
                break
        return report

    def _carried_out(
        self, watch: Lookout, handlers: Handlers, stopped: Callable[[], bool]
    ) -> _Asking[EffectReport]:
        """
        Carry out what can be repeated or forgotten; then money, as long as the clocks
        can be trusted, and no more of it than may be.
        """
        wanted = [
            kind for kind in handlers if self._kinds is None or kind.name in self._kinds
        ]
        money = {kind.name for kind in wanted if _is_final(kind)}
        others = sorted({kind.name for kind in wanted} - money)
        report, run = EffectReport(), self._engine.run_effects
        if others:
            report = yield partial(run, handlers, others, _EFFECTS, stop=stopped)
        most = min(_EFFECTS, watch.money.left(watch.passed()))
        if not money or not most:
            return report
        counted = {
            kind: _counted(handler, watch) if _is_final(kind) else handler
            for kind, handler in handlers.items()
        }
        sent: EffectReport = yield partial(
            run,
            counted,
            sorted(money),
            most,
            stop=lambda: stopped() or not watch.look(),
        )
        return EffectReport(
            done=report.done + sent.done,
            lapsed=report.lapsed + sent.lapsed,
            again=report.again + sent.again,
            parked=report.parked + sent.parked,
            stale=report.stale + sent.stale,
        )


def _sure(watch: Lookout | None) -> bool:
    """
    Whether the clocks can be trusted, as far as anybody looks.
    """
    return watch is None or watch.look()


def _is_final(kind: type[Effect]) -> bool:
    """
    Whether what is carried out cannot be undone: money that has left, or that a bank
    has let go.
    """
    return kind.moves_money or issubclass(kind, ReleaseHold)


def _counted(handler: Callable[[Any], Any], watch: Lookout) -> Callable[[Any], Any]:
    """
    Return a handler whose calls are counted.
    """

    def carry_out(effect: Any) -> Any:
        watch.money.add(watch.passed())
        return handler(effect)

    return carry_out


def _check_withdrawals(
    handlers: Handlers, kinds: Collection[str] | None, wallets: object
) -> None:
    """
    Raise if a worker for all that there is would leave withdrawals lying: they are off
    the balance, and nobody would notice.
    """
    if wallets is not None and kinds is None and Withdraw not in handlers:
        raise InvalidInputError(
            "handlers",
            f"nothing carries out {Withdraw.name}: pass withdrawals=... to "
            "payments.handlers, or leave it to another worker with `kinds`",
        )


def _log_failed(error: EscrowflowError) -> None:
    """
    Tell the log why a round of work failed, with the traceback.
    """
    _LOG.error(
        "a round of work failed; the next one may not",
        exc_info=error,
        extra=told("round_failed", error=kind_of(error)),
    )


def _log(report: WorkReport, named: set[str]) -> None:
    """
    Tell the log what a human should know; ids only, never what anybody wrote.

    Args:
        named: The orders of unknown processes that it was told of last time; now
            those of this time.
    """
    for order_id, fingerprint in report.sweep.unknown:
        if order_id not in named:
            _LOG.warning(
                "order %s: no process %s in this worker: pass it to the engine in "
                "`also`, on the command line with --process",
                order_id,
                fingerprint,
                extra=told(
                    "process_missing", order_id=order_id, fingerprint=fingerprint
                ),
            )
    named.clear()
    named.update(order_id for order_id, _ in report.sweep.unknown)
    for order_id, _ in report.sweep.parked:
        _LOG.warning(
            "order %s cannot be settled: see engine.stuck()",
            order_id,
            extra=told("order_parked", order_id=order_id),
        )
    for wallet_id, _ in report.wallets.parked:
        _LOG.warning(
            "%s has a debit without an order: see engine.stuck()",
            wallet_id,
            extra=told("wallet_parked", wallet_id=wallet_id),
        )
    if report.effects.parked:
        _LOG.warning(
            "effects that need a human: %d; see engine.stuck()",
            report.effects.parked,
            extra=told("effects_parked", parked=report.effects.parked),
        )
    if not report.idle:
        _LOG.info(
            "orders settled: %d; effects: %d done, %d again, %d parked",
            report.sweep.orders,
            report.effects.done,
            report.effects.again,
            report.effects.parked,
            extra=told(
                "round_done",
                orders=report.sweep.orders,
                done=report.effects.done,
                again=report.effects.again,
                parked=report.effects.parked,
            ),
        )


def _log_held(before: HeldBack | None, held: HeldBack | None) -> None:
    """
    Tell the log when a worker begins to hold back what cannot be undone, for another
    reason than before, and when it goes on.
    """
    if held is None:
        if before is not None:
            _LOG.info("nothing is held back any more", extra=told("held_back_over"))
    elif before is None or (before.reason, before.orders, before.money) != (
        held.reason,
        held.orders,
        held.money,
    ):
        _LOG.warning(
            "held back (%s): %s",
            held.reason,
            held,
            extra=told(
                "held_back",
                reason=held.reason,
                gap=None if held.gap is None else held.gap.total_seconds(),
                cap=held.cap,
            ),
        )
