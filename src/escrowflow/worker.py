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
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from threading import TIMEOUT_MAX, Lock
from typing import Final, final

import attrs

from .clock import as_window
from .effects import Withdraw
from .engine import AsyncEngine, Call, EffectReport, Engine, Handlers, SweepReport
from .engine.driving import check_together
from .errors import EscrowflowError, InvalidInputError
from .inputs import kind_of
from .logs import told
from .payments.wallets import AsyncWallets, Wallets

__all__ = ["AsyncWorker", "WorkReport", "Worker"]

_LOG: Final = logging.getLogger("escrowflow.worker")

# How many orders and effects in one round.
_SWEEP: Final = 500
_EFFECTS: Final = 100

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
    """

    sweep: SweepReport = attrs.field(factory=SweepReport)
    wallets: SweepReport = attrs.field(factory=SweepReport)
    effects: EffectReport = attrs.field(factory=EffectReport)

    @property
    def idle(self) -> bool:
        """
        Whether there was nothing to do for this worker.
        """
        mine = attrs.evolve(self.sweep, unknown=())
        return attrs.evolve(self, sweep=mine) == WorkReport()


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

        poll: How long to wait when there is nothing to do.

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
    ) -> None:
        if not isinstance(engine, Engine):
            raise InvalidInputError("engine", f"an Engine, not {kind_of(engine)}")
        if wallets is not None and not isinstance(wallets, Wallets):
            raise InvalidInputError("wallets", f"Wallets, not {kind_of(wallets)}")
        if wallets is not None:
            check_together(wallets, engine)
        self.engine = engine
        self._wallets = wallets
        self._handlers = handlers
        self._kinds = kinds
        self._poll = as_window(poll, "poll").total_seconds()
        self._named: set[str] = set()
        self._stopped = False
        # Whoever can take it is awake.  Not an `Event`: set by a signal while its own
        # thread is about to wait, it waits for itself.
        self._awake = Lock()
        self._awake.acquire()
        if handlers is not None:
            engine.check_handlers(handlers, kinds)
            _check_withdrawals(handlers, kinds, wallets)
        elif kinds is not None:
            raise InvalidInputError("kinds", "effects need handlers: pass some")

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
        with self.engine.watch(Call(name="round")) as told_of:
            report = self._round()
            told_of(report)
        return report

    def _round(self) -> WorkReport:
        failed: EscrowflowError | None = None
        sweep, looked, effects = SweepReport(), SweepReport(), EffectReport()
        try:
            sweep = self.engine.run_due(_SWEEP)
            if self._wallets is not None and not self._stopped:
                looked = self._wallets.run_due(self.engine, _SWEEP)
        except EscrowflowError as error:
            # What is to be paid does not wait for what cannot be settled.
            failed = error
        if self._handlers is not None and not self._stopped:
            effects = self.engine.run_effects(
                self._handlers, self._kinds, _EFFECTS, stop=lambda: self._stopped
            )
        report = _logged(
            WorkReport(sweep=sweep, wallets=looked, effects=effects), self._named
        )
        if failed is not None:
            raise failed
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
    ) -> None:
        if not isinstance(engine, AsyncEngine):
            raise InvalidInputError("engine", f"an AsyncEngine, not {kind_of(engine)}")
        if wallets is not None and not isinstance(wallets, AsyncWallets):
            raise InvalidInputError("wallets", f"AsyncWallets, not {kind_of(wallets)}")
        if wallets is not None:
            check_together(wallets, engine)
        self.engine = engine
        self._wallets = wallets
        self._handlers = handlers
        self._kinds = kinds
        self._poll = as_window(poll, "poll").total_seconds()
        self._named: set[str] = set()
        self._stopped = asyncio.Event()
        if handlers is not None:
            engine.check_handlers(handlers, kinds)
            _check_withdrawals(handlers, kinds, wallets)
        elif kinds is not None:
            raise InvalidInputError("kinds", "effects need handlers: pass some")

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
        with self.engine.watch(Call(name="round")) as told_of:
            report = await self._round()
            told_of(report)
        return report

    async def _round(self) -> WorkReport:
        failed: EscrowflowError | None = None
        sweep, looked, effects = SweepReport(), SweepReport(), EffectReport()
        try:
            sweep = await self.engine.run_due(_SWEEP)
            if self._wallets is not None and not self._stopped.is_set():
                looked = await self._wallets.run_due(self.engine, _SWEEP)
        except EscrowflowError as error:
            # What is to be paid does not wait for what cannot be settled.
            failed = error
        if self._handlers is not None and not self._stopped.is_set():
            effects = await self.engine.run_effects(
                self._handlers, self._kinds, _EFFECTS, stop=self._stopped.is_set
            )
        report = _logged(
            WorkReport(sweep=sweep, wallets=looked, effects=effects), self._named
        )
        if failed is not None:
            raise failed
        return report


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


def _logged(report: WorkReport, named: set[str]) -> WorkReport:
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
            "%d effects need a human: see stuck()",
            report.effects.parked,
            extra=told("effects_parked", parked=report.effects.parked),
        )
    if not report.idle:
        _LOG.info(
            "settled %d orders; effects: %d done, %d again, %d parked",
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
    return report
