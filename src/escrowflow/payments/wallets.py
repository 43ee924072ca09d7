"""
Wallets: balances on the platform, and a payment gateway of our own.

Buyers pay from them, refunds and earnings come back to them at once, and their owners
withdraw what they like (R46, R91, R92).  They are kept in the storage of the orders.

    wallets = Wallets(storage, clock=clock)
    handlers = payments.handlers(
        cards, methods={"wallet": wallets}, payouts=wallets, withdrawals=bank
    )
"""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final, Self, TypeVar, final

from ..clock import Clock, as_window
from ..commands import ReportPayout
from ..effects import Movement, PayOut, Refund, Result
from ..engine import AsyncEngine, Engine, Outcome, Retries, SweepReport
from ..engine.core import Asking
from ..engine.driving import check_together, drive, drive_awaited, joined
from ..engine.wallets import WalletCore
from ..engine.withdrawals import report
from ..errors import InvalidInputError
from ..inputs import as_id, kind_of
from ..money import Money, Payment, as_amount
from ..parties import Actor, as_actor
from ..storage import AsyncStorage, Page, Storage
from ..storage.checks import check_limit
from ..wallet import (
    METHOD,
    PREFIX,
    Entry,
    Wallet,
    WalletChargedBack,
    WalletCredited,
    WithdrawalAsked,
)
from . import Capabilities

__all__ = ["AsyncWallets", "Entry", "Wallet", "Wallets"]

_T = TypeVar("_T")

# A request lives for minutes.  A debit that nobody spoke of for longer was left alone.
_WINDOW: Final = timedelta(minutes=15)


@final
class _Asked:
    """
    What both kinds of wallets are asked, checked: written once.
    """

    def __init__(
        self, clock: Clock | None, window: timedelta | str, retries: Retries | None
    ) -> None:
        if retries is not None and not isinstance(retries, Retries):
            raise InvalidInputError("retries", f"a Retries, not {kind_of(retries)}")
        self.core = WalletCore(clock, as_window(window, "window"), retries or Retries())

    def credit(self, user_id: str, amount: Money, key: str) -> Asking[Entry]:
        amount = as_amount(amount, "amount")
        key = as_id(key, "key")
        asked = WalletCredited(amount=amount, balance=amount, key=key)
        return self.core.entry(as_id(user_id, "user_id"), asked)

    def debit(
        self, user_id: str, amount: Money, key: str, order_id: str | None, item: str
    ) -> Asking[Payment]:
        return self.core.debit(
            as_id(user_id, "user_id"),
            as_amount(amount, "amount"),
            as_id(key, "key"),
            "" if order_id is None else _as_order_id(order_id),
            as_id(item, "item"),
        )

    def pay(
        self,
        engine: object,
        order_id: str,
        by: Actor,
        key: str,
        amount: Money | None,
        item: str,
    ) -> Asking[Outcome]:
        return self.core.pay(
            engine,
            _as_order_id(order_id),
            as_actor(by),
            as_id(key, "key"),
            None if amount is None else as_amount(amount, "amount"),
            as_id(item, "item"),
        )

    def give_back(
        self, payment: Payment, engine: object, order_id: str | None
    ) -> Asking[bool]:
        name = None if order_id is None else _as_order_id(order_id)
        return self.core.give_back(engine, payment, name)

    def withdraw(
        self, user_id: str, amount: Money, key: str, payee_id: str | None
    ) -> Asking[Entry]:
        user_id = as_id(user_id, "user_id")
        amount = as_amount(amount, "amount")
        asked = WithdrawalAsked(
            amount=amount,
            balance=amount,
            key=as_id(key, "key"),
            payee_id=user_id if payee_id is None else as_id(payee_id, "payee_id"),
        )
        return self.core.entry(user_id, asked)

    def charge_back(self, user_id: str, amount: Money, key: str) -> Asking[Entry]:
        amount = as_amount(amount, "amount")
        key = as_id(key, "key")
        asked = WalletChargedBack(amount=amount, balance=amount, key=key)
        return self.core.entry(as_id(user_id, "user_id"), asked)

    def report(self, wallet_id: str, command: ReportPayout) -> Asking[bool]:
        wallet_id = as_id(wallet_id, "wallet_id")
        return report(self.core.now(), wallet_id, command, None)

    def wallet(self, user_id: str) -> Asking[Wallet]:
        return self.core.wallet(as_id(user_id, "user_id"))

    def balance(self, user_id: str, currency: str) -> Asking[Money]:
        # No Money, no currency.
        none = Money.zero(currency)
        wallet = yield from self.wallet(user_id)
        return wallet.balance(none.currency)

    def statement(
        self, user_id: str, currency: str | None, after: str | None, limit: int
    ) -> Asking[Page[Entry]]:
        check_limit(limit)
        if currency is not None:
            currency = Money.zero(currency).currency
        user_id = as_id(user_id, "user_id")
        return self.core.statement(user_id, currency, after, limit)

    def run_due(self, engine: object, limit: int) -> Asking[SweepReport]:
        return self.core.run_due(engine, limit)


def _as_order_id(order_id: object) -> str:
    order_id = as_id(order_id, "order_id")
    if order_id.startswith(PREFIX):
        # Barred, it could never become a wallet.
        raise InvalidInputError("order_id", "this is the id of a wallet")
    return order_id


def _as_engine(engine: object, kind: type, wallets: object) -> object:
    if not isinstance(engine, kind):
        raise InvalidInputError("engine", f"{kind.__name__}, not {kind_of(engine)}")
    check_together(wallets, engine)
    return engine


@final
class Wallets:
    """
    The wallets of all users.

    `pay`, `give_back` and `run_due` take an engine with the very same storage, both
    plain or both `within` the same handle; any other one is an `InvalidInputError`.

    A user has one wallet, with a balance in each currency.  A key stands for one
    request of one user, for ever: repeated, it gives the same answer.

    Args:
        storage: The storage of the engine.

        clock: That of the engine.

        window: How long a debit waits before `run_due` looks whether its order has it.

        retries: When to look again at what could not be looked at.

    Implements: `PaymentGateway`
    """

    # The storage and the handle of a transaction that these are within.
    _within: tuple[Any, Any] | None = None

    name: Final = METHOD

    # Keys are kept with the balance, for ever.
    capabilities: Final = Capabilities(idempotency_window=None, look_up=True)

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock | None = None,
        window: timedelta | str = _WINDOW,
        retries: Retries | None = None,
    ) -> None:
        if not hasattr(storage, "load") or iscoroutinefunction(storage.load):
            raise InvalidInputError(
                "storage", f"a Storage whose verbs block, not {kind_of(storage)}"
            )
        self.storage = storage
        self._asked = _Asked(clock, window, retries)

    def __repr__(self) -> str:
        return f"Wallets({self.storage!r})"

    def _drive(self, asking: Asking[_T]) -> _T:
        return drive(self.storage, asking)

    # --- money --------------------------------------------------------------------

    def credit(self, user_id: str, amount: Money, key: str) -> Entry:
        """
        Add what came in from outside: a top-up, a gift.

        What the user owes is made good first.

        Args:
            user_id: A pseudonym the host can resolve, as that of an actor.

        Raises:
            InvalidInputError: If something is wrong by itself.

            KeyReusedError: If the key stands for something else.

            WalletRefusedError: If the balance would be more than can be kept.

        After any of these nothing was written.
        """
        return self._drive(self._asked.credit(user_id, amount, key))

    def debit(
        self,
        user_id: str,
        amount: Money,
        key: str,
        *,
        order_id: str | None = None,
        item: str = "order",
    ) -> Payment:
        """
        Take what an order is to be paid with; return the payment.

        Name the order: then nothing is lost, whatever fails before the order has the
        money, and `give_back` and `run_due` see to it.  `pay` does both.

        Args:
            order_id: The order that it is for, placed already or not.

            item: What it pays for there, as in `ConfirmPayment`.

        Raises:
            InvalidInputError: If something is wrong by itself.

            KeyReusedError: If the key stands for something else.

            WalletRefusedError: If the balance is too low, too many debits are under
                way, or the debit of this key was given back.

        After any of these nothing was written.
        """
        return self._drive(self._asked.debit(user_id, amount, key, order_id, item))

    def pay(
        self,
        engine: Engine,
        order_id: str,
        *,
        by: Actor,
        key: str,
        amount: Money | None = None,
        item: str = "order",
    ) -> Outcome:
        """
        Pay an order that waits for its payment, or a part of it, from the wallet of
        its buyer.

        What is not due is not taken.  If it fails in between, repeat it with the same
        key, or leave it to `run_due`: the order gets the money, or, if somebody else
        has paid it meanwhile, books it and gives it back.

        Args:
            by: The buyer of the order, from whose own wallet it is paid.

            amount: How much; `None` for all that is due.

            item: `"order"`, which may be paid in parts, or the id of an add-on or
                offer, which is paid whole.

        Raises:
            OrderNotFoundError: If this buyer has no such order.

            InvalidInputError: If something is wrong by itself; or if somebody else
                than a buyer pays.

            WalletRefusedError: If nothing is due (`nothing_due`), or less than this
                (`payment_exceeds_price`), or something else (`payment_differs`, of an
                add-on or offer); and as `debit`.

        After any of these nothing was written.
        """
        engine_ = _as_engine(engine, Engine, self)
        return self._drive(self._asked.pay(engine_, order_id, by, key, amount, item))

    def give_back(
        self, payment: Payment, engine: Engine, *, order_id: str | None = None
    ) -> bool:
        """
        Give a debit back, unless its order has it; return whether it is back.

        If there is no such order, its id is barred first: nobody can place it any
        more.  If there is one that did not count the payment, it is told of it: it
        holds the money, or gives it back itself.

        Args:
            order_id: The order it was for, if the debit names none.

        Raises:
            InvalidInputError: If it is no payment out of a wallet.

            WalletRefusedError: If nobody says which order it was for.
        """
        return self._drive(
            self._asked.give_back(payment, _as_engine(engine, Engine, self), order_id)
        )

    def withdraw(
        self, user_id: str, amount: Money, key: str, *, payee_id: str | None = None
    ) -> Entry:
        """
        Take money off the balance and have it sent to a bank, by a `Withdraw` effect
        (R92).

        What is refused there for sure comes back by itself.

        Args:
            payee_id: Who is paid, as the bank's gateway knows him; the user unless
                said.

        Raises:
            InvalidInputError: If something is wrong by itself.

            KeyReusedError: If the key stands for something else.

            WalletRefusedError: If the balance is too low, or too many withdrawals are
                on their way.

        After any of these nothing was written.
        """
        return self._drive(self._asked.withdraw(user_id, amount, key, payee_id))

    def charge_back(self, user_id: str, amount: Money, key: str) -> Entry:
        """
        Book that a bank took back what had come in.

        What the balance does not cover is a debt: whatever comes in next makes it good
        first.

        Raises:
            InvalidInputError: If something is wrong by itself.

            KeyReusedError: If the key stands for something else.

        After any of these nothing was written.
        """
        return self._drive(self._asked.charge_back(user_id, amount, key))

    def report(self, wallet_id: str, command: ReportPayout) -> None:
        """
        Say what became of a withdrawal: by webhook, or because a human has looked.

        Repeated, or known already, it changes nothing.  What failed comes back to the
        wallet, also after it was paid; with `again=True` it is sent anew instead.
        That something failed under a key that was given up for the next one is known.

        Args:
            wallet_id: `order_id` of the effect, or of what is stuck.

            command: With the `key` of the effect, or the `reference` that the gateway
                has given.

        Raises:
            CorruptJournalError: If the wallet cannot be read.

            WalletRefusedError: If there is no such wallet, or nothing was sent under
                this key, or another amount;
                or if it was paid, although it was said before that it was not: then
                it is in the wallet, or under another key, and a human must look.
        """
        self._drive(self._asked.report(wallet_id, command))

    # --- reading ------------------------------------------------------------------

    def balance(self, user_id: str, currency: str) -> Money:
        """
        Return what a user may spend or withdraw; zero for one that nobody knows.

        Raises:
            InvalidInputError: If there is no such currency.
        """
        return self._drive(self._asked.balance(user_id, currency))

    def wallet(self, user_id: str) -> Wallet:
        """
        Return a wallet: its accounts, and what is under way.  One that nobody knows is
        empty, at version 0.
        """
        return self._drive(self._asked.wallet(user_id))

    def statement(
        self,
        user_id: str,
        currency: str | None = None,
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Entry]:
        """
        Return what moved a balance, oldest first; empty for a user nobody knows.

        Args:
            currency: Only that of one currency.

            after: `Page.after` of the page before.

            limit: How many at the most, 1 to 1000.
        """
        return self._drive(self._asked.statement(user_id, currency, after, limit))

    # --- time ---------------------------------------------------------------------

    def run_due(self, engine: Engine, limit: int = 500) -> SweepReport:
        """
        Look at debits that nobody has spoken of for the window: as `give_back`.

        Safe on any number of hosts at once.  What needs a human is in
        `engine.stuck()`.  A `Worker` does it if it has the wallets.

        Args:
            limit: How many wallets at the most.
        """
        return self._drive(self._asked.run_due(_as_engine(engine, Engine, self), limit))

    # --- the gateway --------------------------------------------------------------

    def refund(self, effect: Refund) -> Result:
        """
        Give a debit back to its wallet, or a part of it, at once.
        """
        return self._drive(self._asked.core.refund(effect))

    def pay_out(self, effect: PayOut) -> Result:
        """
        Add what was earned with an order; it may be withdrawn at once (R91, R92).
        """
        return self._drive(self._asked.core.pay_out(effect))

    def look_up(self, effect: Movement) -> Result | None:
        """
        Return what was done under a key; `None` if nothing was.
        """
        return self._drive(self._asked.core.look_up(effect))

    # --- the storage --------------------------------------------------------------

    def within(self, handle: Any) -> Self:
        """
        Return these wallets inside a transaction of your own, as `Engine.within`: a
        debit and its order are there together, or not at all.
        """
        inside = copy(self)
        inside.storage = joined(self.storage, handle)
        inside._within = (self.storage, handle)
        return inside


@final
class AsyncWallets:
    """
    `Wallets` whose methods are awaited; each does what its namesake does.

    It is no payment gateway: `payments.handlers` calls those, and does not await them.

    Args:
        storage: The storage of an `AsyncEngine`.

    The other arguments are those of `Wallets`.
    """

    _within: tuple[Any, Any] | None = None

    def __init__(
        self,
        storage: AsyncStorage,
        *,
        clock: Clock | None = None,
        window: timedelta | str = _WINDOW,
        retries: Retries | None = None,
    ) -> None:
        if not iscoroutinefunction(getattr(storage, "load", None)):
            raise InvalidInputError(
                "storage", f"a storage whose verbs are awaited, not {kind_of(storage)}"
            )
        self.storage = storage
        self._asked = _Asked(clock, window, retries)

    def __repr__(self) -> str:
        return f"AsyncWallets({self.storage!r})"

    async def _drive(self, asking: Asking[_T]) -> _T:
        return await drive_awaited(self.storage, asking)

    async def credit(self, user_id: str, amount: Money, key: str) -> Entry:
        """
        See `Wallets.credit`.
        """
        return await self._drive(self._asked.credit(user_id, amount, key))

    async def debit(
        self,
        user_id: str,
        amount: Money,
        key: str,
        *,
        order_id: str | None = None,
        item: str = "order",
    ) -> Payment:
        """
        See `Wallets.debit`.
        """
        return await self._drive(
            self._asked.debit(user_id, amount, key, order_id, item)
        )

    async def pay(
        self,
        engine: AsyncEngine,
        order_id: str,
        *,
        by: Actor,
        key: str,
        amount: Money | None = None,
        item: str = "order",
    ) -> Outcome:
        """
        See `Wallets.pay`.
        """
        engine_ = _as_engine(engine, AsyncEngine, self)
        return await self._drive(
            self._asked.pay(engine_, order_id, by, key, amount, item)
        )

    async def give_back(
        self, payment: Payment, engine: AsyncEngine, *, order_id: str | None = None
    ) -> bool:
        """
        See `Wallets.give_back`.
        """
        return await self._drive(
            self._asked.give_back(
                payment, _as_engine(engine, AsyncEngine, self), order_id
            )
        )

    async def withdraw(
        self, user_id: str, amount: Money, key: str, *, payee_id: str | None = None
    ) -> Entry:
        """
        See `Wallets.withdraw`.
        """
        return await self._drive(self._asked.withdraw(user_id, amount, key, payee_id))

    async def charge_back(self, user_id: str, amount: Money, key: str) -> Entry:
        """
        See `Wallets.charge_back`.
        """
        return await self._drive(self._asked.charge_back(user_id, amount, key))

    async def report(self, wallet_id: str, command: ReportPayout) -> None:
        """
        See `Wallets.report`.
        """
        await self._drive(self._asked.report(wallet_id, command))

    async def balance(self, user_id: str, currency: str) -> Money:
        """
        See `Wallets.balance`.
        """
        return await self._drive(self._asked.balance(user_id, currency))

    async def wallet(self, user_id: str) -> Wallet:
        """
        See `Wallets.wallet`.
        """
        return await self._drive(self._asked.wallet(user_id))

    async def statement(
        self,
        user_id: str,
        currency: str | None = None,
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Entry]:
        """
        See `Wallets.statement`.
        """
        return await self._drive(self._asked.statement(user_id, currency, after, limit))

    async def run_due(self, engine: AsyncEngine, limit: int = 500) -> SweepReport:
        """
        See `Wallets.run_due`.
        """
        return await self._drive(
            self._asked.run_due(_as_engine(engine, AsyncEngine, self), limit)
        )

    def within(self, handle: Any) -> Self:
        """
        See `Wallets.within`.
        """
        inside = copy(self)
        inside.storage = joined(self.storage, handle)
        inside._within = (self.storage, handle)
        return inside
