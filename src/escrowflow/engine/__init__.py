"""
The engine: what a host calls.

`Engine` and `AsyncEngine` say the same; what they do is written once, in the rooms
of this package, as generators that both drive.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import timedelta
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Self, TypeVar, cast, final

from pendulum import DateTime

from ..casefile import CaseFile
from ..clock import Clock
from ..commands import Command, PlaceOrder
from ..decisions import Forecast, Migration, Option, Refusal
from ..errors import InvalidInputError
from ..events import Recorded
from ..inputs import kind_of
from ..order import Order
from ..parties import Actor, Role
from ..storage import AsyncStorage, Storage
from .answers import (
    EffectReport,
    EffectStatus,
    OrderPage,
    Outcome,
    Stuck,
    SweepReport,
    View,
)
from .core import Asking, Core, OrderProcess, as_query
from .driving import check_kinds, drive, drive_awaited, joining
from .given import as_retries, new_id, or_raise, salt
from .journal import Fault, Verified, erase, exported, restore, verify
from .migrating import migrate_order
from .outbox import Handler, Handlers, check_handlers, effects, run_effects
from .reading import (
    read_case_file,
    read_forecast,
    read_history,
    read_options,
    read_order,
    read_orders,
    read_view,
)
from .stuck import OVERDUE, redrive, stuck
from .sweep import Retries, next_due_at, run_due
from .watching import Call, Watch, as_call, telling, watched
from .windows import AHEAD, as_windows

__all__ = [
    "AsyncEngine",
    "Call",
    "EffectReport",
    "EffectStatus",
    "Engine",
    "Fault",
    "Handler",
    "Handlers",
    "OrderPage",
    "Outcome",
    "Retries",
    "Stuck",
    "SweepReport",
    "Verified",
    "View",
    "Watch",
]

_T = TypeVar("_T")


@final
class Engine:
    """
    Orders of one storage, under one process or several.

    Args:
        process: What new orders are placed under.

        storage: Where orders are kept.

        clock: What time it is; the wall clock unless said.

        also: Older processes, for the orders that were placed under them.

        retries: When to try again what did not work.

        publish: Whether each commit asks for a `Publish` of what it recorded.

        refund_windows: How long payments can go back, by method, `"*"` for all others
            and `None` for ever: what `payments.refund_windows(gateway)` says.  Then
            `stuck` names those that are held for too long.

        new_id: Names an order placed without an id and without a key.

        salt: Fresh bytes for the commitment of a text.

    Nothing is opened before it is used.
    """

    # The storage and the handle of a transaction that it is within.
    _within: tuple[Any, Any] | None = None

    # Who is told of each call; `None` if nobody is.
    watch: Watch | None = None

    def __init__(
        self,
        process: OrderProcess,
        storage: Storage,
        *,
        clock: Clock | None = None,
        also: Iterable[OrderProcess] = (),
        retries: Retries | None = None,
        publish: bool = False,
        refund_windows: Mapping[str, timedelta | str | None] | None = None,
        new_id: Callable[[], str] = new_id,
        salt: Callable[[], bytes] = salt,
    ) -> None:
        self._core = Core(
            process, clock=clock, also=also, new_id=new_id, salt=salt, publish=publish
        )
        if not hasattr(storage, "load") or iscoroutinefunction(storage.load):
            raise InvalidInputError(
                "storage", f"a Storage whose verbs block, not {kind_of(storage)}"
            )
        self.storage = storage
        self._retries = as_retries(retries)
        self._windows = as_windows(refund_windows)

    @property
    def process(self) -> OrderProcess:
        """
        What new orders are placed under.
        """
        return self._core.process

    @property
    def clock(self) -> Clock:
        """
        What says what time it is.
        """
        return self._core.clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Let go of the storage.
        """
        self.storage.close()

    def _drive(self, asking: Asking[_T], *call: Any) -> _T:
        if self.watch is None or not call:
            return drive(self.storage, asking)
        with telling(self.watch, as_call(*call)) as told:
            answer = drive(self.storage, asking)
            told(answer)
        return answer

    # --- commands -----------------------------------------------------------------

    def place(
        self,
        command: PlaceOrder,
        *,
        by: Actor,
        key: str | None = None,
        order_id: str | None = None,
    ) -> Outcome:
        """
        Place an order.

        Args:
            by: The buyer.

            key: Makes the call idempotent; the order's id is then derived from
                the process's name, the buyer and the key.  Repeat it with the same
                process name and the same *order_id*, if there is one.

            order_id: The order's id, if the host has one.

        Raises:
            InvalidInputError: If something is wrong by itself.

            CommandRefusedError: If the policies refuse it; `.order` is `None`.

            OrderExistsError: If the id is taken.

            KeyReusedError: If the key was used with other content.

        After any of these nothing was written.
        """
        asking = self._core.place(command, by, key, order_id)
        return or_raise(self._drive(asking, "place", order_id, command, by))

    def execute(
        self,
        order_id: str,
        command: Command,
        *,
        by: Actor,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Outcome:
        """
        Send a command, or raise why it may not be.

        What is due is settled first, whoever asks and whatever the answer.

        Args:
            key: Makes the command idempotent for this actor, for the order's life.

            if_version: The version the caller saw.

        Raises:
            InvalidInputError: If something is wrong by itself.  Nothing was
                written.

            OrderNotFoundError: If there is no such order for this actor.
                Nothing was written.

            CommandRefusedError: If the rules do not allow it.  A payment it
                carried was booked and is refunded whole.

            KeyReusedError: If the key was used with other content.

            OrderChangedError: If the order is not at *if_version*.

            UnknownProcessError: If the order's process is not in this engine.

            OutcomeUnknownError: If the storage failed so that it may or may not have
                been written.
        """
        asking = self._core.execute(order_id, command, by, key, if_version)
        return or_raise(self._drive(asking, "execute", order_id, command, by))

    def attempt(
        self,
        order_id: str,
        command: Command,
        *,
        by: Actor,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Outcome | Refusal:
        """
        Send a command, and return why if it may not be.

        As `execute`, but a refusal is returned, not raised.
        """
        asking = self._core.execute(order_id, command, by, key, if_version)
        return self._drive(asking, "execute", order_id, command, by)

    def preview(
        self, order_id: str | None, command: Command, *, by: Actor
    ) -> Outcome | Refusal:
        """
        Return what `attempt` would answer now, or raise it; nothing is written.

        Args:
            order_id: The order; `None` to preview `PlaceOrder`.
        """
        return self._drive(self._core.preview(order_id, command, by))

    # --- reading ------------------------------------------------------------------

    def order(self, order_id: str, *, by: Actor | None = None) -> Order:
        """
        Return the order as it is now: what is due applied, nothing written.

        If its process is not in this engine, nothing can be applied: it is as it was
        when it was last written, and `Order.as_of` is the instant of its last event.

        Args:
            by: Who asks; without, the host itself, who may read everything.

        Raises:
            OrderNotFoundError: If there is no such order for this actor.
        """
        return self._drive(read_order(self._core, order_id, by))

    def options(self, order_id: str, *, by: Actor) -> tuple[Option, ...]:
        """
        Return every command this actor's role could ever send: allowed now, or
        what is in the way.

        Raises:
            OrderNotFoundError: If there is no such order for this actor.

            UnknownProcessError: If the process of the order is not known here.
        """
        return self._drive(read_options(self._core, order_id, by))

    def forecast(self, order_id: str, *, by: Actor | None = None) -> Forecast:
        """
        Return what happens to an order if nobody acts any more: each coming instant,
        what the system will do, to whose money, and the end.

        Raises:
            OrderNotFoundError: If there is none, or *by* may not read it.

            UnknownProcessError: If the process of the order is not known here.
        """
        return self._drive(read_forecast(self._core, order_id, by))

    def view(self, order_id: str, *, by: Actor | None = None) -> View:
        """
        Return an order with what *by* can do, what happens if nobody acts, and its
        story: one reading, of one instant.

        Args:
            by: Who reads; without, there are no options, and all is told.

        Raises:
            OrderNotFoundError: If there is none, or *by* may not read it.

            UnknownProcessError: If the process of the order is not known here.
        """
        return self._drive(read_view(self._core, order_id, by))

    def history(
        self, order_id: str, *, by: Actor | None = None
    ) -> tuple[Recorded, ...]:
        """
        Return what was recorded, oldest first; never empty.

        Raises:
            OrderNotFoundError: If there is no such order for this actor.
        """
        return self._drive(read_history(self._core, order_id, by))

    def case_file(self, order_id: str, *, by: Actor | None = None) -> CaseFile:
        """
        Return a mediator's file of an order: all that counts as evidence, each with its
        hash and its instants, and which deadlines were kept (R77).

        Args:
            by: Who reads: the mediator of the order, any one while it looks for one,
                or staff; without, the host itself.

        Raises:
            InvalidInputError: If *by* is another: a party reads `view`.

            OrderNotFoundError: If there is no such order for this mediator.

            CorruptJournalError: If an event cannot be read.  One that was changed
                is named by `CaseFile.wrong`.
        """
        return self._drive(read_case_file(self._core, order_id, by))

    def effects(self, order_id: str) -> tuple[EffectStatus, ...]:
        """
        Return what the order asked the host to do, in the order it was asked.

        Raises:
            OrderNotFoundError: If there is no such order.
        """
        return self._drive(effects(self._core, order_id))

    def orders(
        self,
        *,
        party: str | None = None,
        role: Role | str | None = None,
        states: Collection[str] | None = None,
        unassigned: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> OrderPage:
        """
        Return orders as they are now, by id; one whose process is not in this engine
        as it was at its `as_of`, see `order`.  Those that cannot be read are only
        named: `OrderPage.unreadable`.

        Args:
            party: Those that this id takes part in.

            role: Those that somebody takes part in as this; with *party*, that he
                does.

            states: Those that were in one of these states when they were last
                written: what has become due since is applied to what is returned,
                but not searched.

            unassigned: Those that look for a mediator.

            after: `OrderPage.after` of the page before.

            limit: How many at the most, 1 to 1000.

        Raises:
            InvalidInputError: If it cannot be asked for, such as a state that no
                process of this engine has.
        """
        query = as_query(party, role, states, unassigned)
        return self._drive(read_orders(self._core, query, after, limit))

    # --- time ---------------------------------------------------------------------

    def run_due(self, limit: int = 500) -> SweepReport:
        """
        Settle orders whose deadlines have passed, the most overdue first.

        Safe on any number of hosts at once.

        Args:
            limit: How many orders at the most.
        """
        return self._drive(run_due(self._core, limit, self._retries), "run_due")

    def next_due_at(self) -> DateTime | None:
        """
        Return when a worker should wake; `None` if nothing is to come under the
        processes of this engine.
        """
        return self._drive(next_due_at(self._core))

    # --- effects ------------------------------------------------------------------

    def run_effects(
        self,
        handlers: Handlers,
        kinds: Collection[str] | None = None,
        limit: int = 100,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> EffectReport:
        """
        Carry out effects from the outbox, those that have been ready longest.

        Safe on any number of hosts at once.  A handler may be called again for what
        it has done already, with the same `effect.key`: hand the key on to whoever
        moves the money.

        Args:
            handlers: What carries out each class of effect.  It returns `Done`,
                `NotDone`, `Unknown`, `RetryAt`, or `None` for done; what it raises
                is logged as unknown and tried again.

            kinds: Only effects of these names: `["notify"]`.

            limit: How many at the most.

            stop: Asked before each effect; once it says yes, no other one is begun,
                and what was taken on is left to whoever comes next.

        Raises:
            InvalidInputError: If a kind of effect that is asked for has no handler,
                or the engine never asks for a `Publish` that is to be carried out.
        """
        self.check_handlers(handlers, kinds)
        asking = run_effects(self._core, handlers, kinds, limit, self._retries, stop)
        return self._drive(asking, "run_effects")

    def check_handlers(
        self, handlers: Handlers, kinds: Collection[str] | None = None
    ) -> None:
        """
        Raise unless every kind of effect that would be asked for is one, and has a
        handler, and `Publish` only if it is asked for.

        Raises:
            InvalidInputError: If it is not so.
        """
        asks = self._core.asks
        check_kinds(handlers, kinds, asks)
        check_handlers(handlers, kinds, asks=asks, awaits=False)

    def stuck(
        self,
        limit: int = 100,
        *,
        ahead: timedelta | str = AHEAD,
        overdue: timedelta | str = OVERDUE,
    ) -> tuple[Stuck, ...]:
        """
        Return what a human must look at: orders that cannot be settled, or are due
        under a process that this engine lacks; effects that were given up, or wait
        for longer than they ever should, because some clock was wrong; money that no
        worker takes; and, if the engine has *refund_windows*, payments that are still
        held and soon cannot go back, or no longer can, with the instant.

        Args:
            limit: How many at the most.

            ahead: How long before it ends a refund window is spoken of.

            overdue: How long money may be ready before somebody should ask why no
                worker takes it.  `redrive` does not help there: a worker does, with
                handlers for its kind.
        """
        return self._drive(
            stuck(self._core, limit, self._retries, self._windows, ahead, overdue)
        )

    def redrive(self, order_id: str, key: str | None = None) -> int:
        """
        Put back what is stuck, after its cause was removed: it is tried at once,
        with all of its attempts before it.

        Args:
            key: Only the effect with this key; without, all that is stuck in the
                order.

        Returns:
            How many things were put back.

        Raises:
            OrderNotFoundError: If there is no such order.
        """
        return self._drive(redrive(self._core, order_id, key, self._retries))

    def migrate(
        self,
        order_id: str,
        to_process: OrderProcess,
        *,
        by: Actor | None = None,
        consents: Iterable[Role] = (),
        dry_run: bool = False,
    ) -> Migration:
        """
        Move a running order to other rules, or say what that would do.

        An order stays on the rules it was placed under, unless staff moves it: that is
        recorded, and both sides are told.  What was agreed on the order itself stays:
        its terms, its charges, every deadline that runs.

        Args:
            to_process: The other rules; one of the engine's processes (`also`).

            by: The `Operator` who does it; may be missing in a dry run.

            consents: The parties that have agreed: `[Role.BUYER]`.  You vouch for it.

            dry_run: Whether to write nothing, and only say what would be.

        Raises:
            InvalidInputError: If somebody else than staff does it.

            OrderNotFoundError: If there is no such order.

            UnknownProcessError: If the engine lacks one of the processes.

            CommandRefusedError: If a party that has not agreed would have less time, a
                way out less, or less money, or the order does not fit the other rules;
                then nothing is written.
        """
        return self._drive(
            migrate_order(self._core, order_id, to_process, by, consents, dry_run)
        )

    # --- the journal --------------------------------------------------------------

    def verify(self, order_id: str | None = None) -> Verified:
        """
        Prove what is stored: every hash follows from the one before, every history
        adds up to its order, every ledger balances, every effect was asked for.

        A history whose end was cut off together with its order is only noticed by
        whoever keeps its last hash elsewhere.

        Args:
            order_id: Only this order.

        Raises:
            OrderNotFoundError: If there is no such order.
        """
        return self._drive(verify(self._core, order_id))

    def export(self) -> Iterator[str]:
        """
        Yield every order as one line of JSON, with its history, effects, receipts
        and texts.

        Each order is read as it is at one moment; together they are not.
        """
        after: str | None = None
        while True:
            lines, after = self._drive(exported(self._core, after))
            yield from lines
            if after is None:
                return

    def restore(self, lines: Iterable[str]) -> int:
        """
        Write orders that were exported, with the same hashes; those that are there
        already are left alone.

        Returns:
            How many were written.

        Raises:
            InvalidInputError: If a line was not exported.

            CorruptJournalError: If it was changed since.

            OrderExistsError: If an order is there with another history.

        Lines before the one that is refused may have been written.
        """
        return self._drive(restore(self._core, lines))

    def erase(self, subject_id: str) -> int:
        """
        Erase every text that a person wrote; return how many there were.

        The histories stay, and still prove themselves: in place of the words they
        have a salted hash, and the salt goes with the words.

        Raises:
            OrdersRunningError: If an order of this person still runs, or cannot be
                read, so that nobody knows.
        """
        return self._drive(erase(self._core, subject_id))

    # --- the storage --------------------------------------------------------------

    def within(self, handle: Any) -> Self:
        """
        Return this engine inside a transaction of your own: what you write and what
        it writes are committed together, by you, or not at all.

        It never begins, commits or rolls back.  What it returns counts once you
        have committed.

        Args:
            handle: A SQLAlchemy `Session` or `Connection`, the alias of a Django
                database, a `psycopg` or `sqlite3` connection.

        Raises:
            InvalidInputError: If the storage cannot join this handle.

            NoTransactionError: Later, if there is no transaction to join.
        """
        return cast(Self, joining(self, handle))

    # --- who is told --------------------------------------------------------------

    def watched(self, watch: Watch) -> Self:
        """
        Return this engine with somebody who is told of each command, sweep and round of
        effects, and what came of it: see `Watch`.  Readings are not told.
        """
        return cast(Self, watched(self, watch))


@final
class AsyncEngine:
    """
    An `Engine` whose methods are awaited; each does what its namesake does.

    A call that is cancelled leaves the order as it was, or as the whole command
    left it; never in between.

    Args:
        storage: Where orders are kept: an `AsyncStorage`, such as
            `open_async_storage(url)` returns.

    The other arguments are those of `Engine`.
    """

    _within: tuple[Any, Any] | None = None
    watch: Watch | None = None

    def __init__(
        self,
        process: OrderProcess,
        storage: AsyncStorage,
        *,
        clock: Clock | None = None,
        also: Iterable[OrderProcess] = (),
        retries: Retries | None = None,
        publish: bool = False,
        refund_windows: Mapping[str, timedelta | str | None] | None = None,
        new_id: Callable[[], str] = new_id,
        salt: Callable[[], bytes] = salt,
    ) -> None:
        self._core = Core(
            process, clock=clock, also=also, new_id=new_id, salt=salt, publish=publish
        )
        if not iscoroutinefunction(getattr(storage, "load", None)):
            raise InvalidInputError(
                "storage",
                f"a storage whose verbs are awaited, not {kind_of(storage)}: "
                "open_async_storage(url), or threaded(storage)",
            )
        self.storage = storage
        self._retries = as_retries(retries)
        self._windows = as_windows(refund_windows)

    @property
    def process(self) -> OrderProcess:
        """
        What new orders are placed under.
        """
        return self._core.process

    @property
    def clock(self) -> Clock:
        """
        What says what time it is.
        """
        return self._core.clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """
        See `Engine.close`.
        """
        await self.storage.close()

    async def _drive(self, asking: Asking[_T], *call: Any) -> _T:
        if self.watch is None or not call:
            return await drive_awaited(self.storage, asking)
        with telling(self.watch, as_call(*call)) as told:
            answer = await drive_awaited(self.storage, asking)
            told(answer)
        return answer

    # --- commands -----------------------------------------------------------------

    async def place(
        self,
        command: PlaceOrder,
        *,
        by: Actor,
        key: str | None = None,
        order_id: str | None = None,
    ) -> Outcome:
        """
        See `Engine.place`.
        """
        asking = self._core.place(command, by, key, order_id)
        return or_raise(await self._drive(asking, "place", order_id, command, by))

    async def execute(
        self,
        order_id: str,
        command: Command,
        *,
        by: Actor,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Outcome:
        """
        See `Engine.execute`.
        """
        asking = self._core.execute(order_id, command, by, key, if_version)
        return or_raise(await self._drive(asking, "execute", order_id, command, by))

    async def attempt(
        self,
        order_id: str,
        command: Command,
        *,
        by: Actor,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Outcome | Refusal:
        """
        See `Engine.attempt`.
        """
        asking = self._core.execute(order_id, command, by, key, if_version)
        return await self._drive(asking, "execute", order_id, command, by)

    async def preview(
        self, order_id: str | None, command: Command, *, by: Actor
    ) -> Outcome | Refusal:
        """
        See `Engine.preview`.
        """
        return await self._drive(self._core.preview(order_id, command, by))

    # --- reading ------------------------------------------------------------------

    async def order(self, order_id: str, *, by: Actor | None = None) -> Order:
        """
        See `Engine.order`.
        """
        return await self._drive(read_order(self._core, order_id, by))

    async def options(self, order_id: str, *, by: Actor) -> tuple[Option, ...]:
        """
        See `Engine.options`.
        """
        return await self._drive(read_options(self._core, order_id, by))

    async def forecast(self, order_id: str, *, by: Actor | None = None) -> Forecast:
        """
        See `Engine.forecast`.
        """
        return await self._drive(read_forecast(self._core, order_id, by))

    async def view(self, order_id: str, *, by: Actor | None = None) -> View:
        """
        See `Engine.view`.
        """
        return await self._drive(read_view(self._core, order_id, by))

    async def history(
        self, order_id: str, *, by: Actor | None = None
    ) -> tuple[Recorded, ...]:
        """
        See `Engine.history`.
        """
        return await self._drive(read_history(self._core, order_id, by))

    async def case_file(self, order_id: str, *, by: Actor | None = None) -> CaseFile:
        """
        See `Engine.case_file`.
        """
        return await self._drive(read_case_file(self._core, order_id, by))

    async def effects(self, order_id: str) -> tuple[EffectStatus, ...]:
        """
        See `Engine.effects`.
        """
        return await self._drive(effects(self._core, order_id))

    async def orders(
        self,
        *,
        party: str | None = None,
        role: Role | str | None = None,
        states: Collection[str] | None = None,
        unassigned: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> OrderPage:
        """
        See `Engine.orders`.
        """
        query = as_query(party, role, states, unassigned)
        return await self._drive(read_orders(self._core, query, after, limit))

    # --- time ---------------------------------------------------------------------

    async def run_due(self, limit: int = 500) -> SweepReport:
        """
        See `Engine.run_due`.
        """
        return await self._drive(run_due(self._core, limit, self._retries), "run_due")

    async def next_due_at(self) -> DateTime | None:
        """
        See `Engine.next_due_at`.
        """
        return await self._drive(next_due_at(self._core))

    # --- effects ------------------------------------------------------------------

    async def run_effects(
        self,
        handlers: Handlers,
        kinds: Collection[str] | None = None,
        limit: int = 100,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> EffectReport:
        """
        See `Engine.run_effects`.
        """
        self.check_handlers(handlers, kinds)
        asking = run_effects(self._core, handlers, kinds, limit, self._retries, stop)
        return await self._drive(asking, "run_effects")

    def check_handlers(
        self, handlers: Handlers, kinds: Collection[str] | None = None
    ) -> None:
        """
        See `Engine.check_handlers`.
        """
        asks = self._core.asks
        check_kinds(handlers, kinds, asks)
        check_handlers(handlers, kinds, asks=asks, awaits=True)

    async def stuck(
        self,
        limit: int = 100,
        *,
        ahead: timedelta | str = AHEAD,
        overdue: timedelta | str = OVERDUE,
    ) -> tuple[Stuck, ...]:
        """
        See `Engine.stuck`.
        """
        return await self._drive(
            stuck(self._core, limit, self._retries, self._windows, ahead, overdue)
        )

    async def redrive(self, order_id: str, key: str | None = None) -> int:
        """
        See `Engine.redrive`.
        """
        return await self._drive(redrive(self._core, order_id, key, self._retries))

    async def migrate(
        self,
        order_id: str,
        to_process: OrderProcess,
        *,
        by: Actor | None = None,
        consents: Iterable[Role] = (),
        dry_run: bool = False,
    ) -> Migration:
        """
        See `Engine.migrate`.
        """
        return await self._drive(
            migrate_order(self._core, order_id, to_process, by, consents, dry_run)
        )

    # --- the journal --------------------------------------------------------------

    async def verify(self, order_id: str | None = None) -> Verified:
        """
        See `Engine.verify`.
        """
        return await self._drive(verify(self._core, order_id))

    async def export(self) -> AsyncIterator[str]:
        """
        See `Engine.export`.
        """
        after: str | None = None
        while True:
            lines, after = await self._drive(exported(self._core, after))
            for line in lines:
                yield line
            if after is None:
                return

    async def restore(self, lines: Iterable[str]) -> int:
        """
        See `Engine.restore`.
        """
        return await self._drive(restore(self._core, lines))

    async def erase(self, subject_id: str) -> int:
        """
        See `Engine.erase`.
        """
        return await self._drive(erase(self._core, subject_id))

    # --- the storage --------------------------------------------------------------

    def within(self, handle: Any) -> Self:
        """
        See `Engine.within`.
        """
        return cast(Self, joining(self, handle))

    # --- who is told --------------------------------------------------------------

    def watched(self, watch: Watch) -> Self:
        """
        See `Engine.watched`.
        """
        return cast(Self, watched(self, watch))
