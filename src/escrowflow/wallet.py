"""
A wallet: what one user has on the platform, in each currency.

A wallet has a history of its own, beside those of the orders and like them: events,
and a fold that adds them up.

- Double entry: what an event books sums to zero, in one currency.
- A balance never falls below zero.  What a bank takes back beyond it is a debt, and
  whatever comes in next makes that good first.
- Only the history grows with the years: a wallet itself is its balances, and what is
  under way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, TypeAlias, final

import attrs
from pendulum import DateTime

from .effects import Withdraw, effect_key
from .errors import LedgerError, WalletRefusedError
from .events import Event, Recorded
from .money import MINOR_MAX, Money
from .parties import Actor, Provider
from .refusals import Blocker

__all__ = [
    "BY",
    "EVENTS",
    "FINGERPRINT",
    "MARK",
    "METHOD",
    "OPEN_MAX",
    "PREFIX",
    "Accounts",
    "DebitCounted",
    "DebitReturned",
    "Entry",
    "Keyed",
    "OpenDebit",
    "OpenWithdrawal",
    "OrderBarred",
    "Wallet",
    "WalletChargedBack",
    "WalletCredited",
    "WalletDebited",
    "WalletOpened",
    "WithdrawalAsked",
    "WithdrawalFailed",
    "WithdrawalPaid",
    "WithdrawalRepeated",
    "WithdrawalSent",
    "booked",
    "debit_key",
    "effects_of",
    "entry_of",
    "evolve_wallet",
    "is_wallet",
    "later_keys",
    "place_of",
    "reference_of",
    "stored_key",
    "wallet_id_of",
    "what_is",
    "withdrawal_key",
]

# What a payment out of a wallet is called, and the process of its history.
METHOD: Final = "wallet"

# Another one when a fold changes: who does not know it leaves these wallets alone.
FINGERPRINT: Final = "wallet-1"

# No order is called like that.
PREFIX: Final = "wallet:"

# How the snapshot of a wallet begins: that of an order is an object, in JSON.
MARK: Final = b"wallet "

# Who acts on a wallet, in its history: the host, for whom it speaks.
BY: Final[Actor] = Provider(METHOD)

# So many debits of a wallet, and as many withdrawals, are under way at a time.
OPEN_MAX: Final = 100

# So often a withdrawal is sent again by itself, under another key each time; whatever
# is in the way then, a human must look.  As with payouts.
_AGAIN_MAX: Final = 24

# So many keys ahead are looked at when a backup was restored.
_LATER: Final = 4

# A longer id, with a prefix and a number, is no id any more.
_NAME_MAX: Final = 200

# More than any wallet has entries.
_DIGITS_MAX: Final = 18


# --- ids, references, keys --------------------------------------------------------


def wallet_id_of(user_id: str) -> str:
    """
    Return the id of a user's wallet: `wallet:luc`.
    """
    name = user_id
    # Nothing plain begins like that.
    if len(name) > _NAME_MAX or name.startswith("#"):
        name = f"#{hashlib.sha256(user_id.encode()).hexdigest()}"
    return PREFIX + name


def reference_of(wallet_id: str, seq: int) -> str:
    """
    Return what an entry of a wallet is called: `luc:17`.
    """
    return f"{wallet_id.removeprefix(PREFIX)}:{seq}"


def place_of(reference: str) -> tuple[str, int] | None:
    """
    Return the wallet and the number that a reference names; `None` if it names none.
    """
    name, _, number = reference.rpartition(":")
    if not (
        0 < len(name) <= _NAME_MAX
        and number.isascii()
        and number.isdigit()
        and number[0] != "0"
        and len(number) <= _DIGITS_MAX
    ):
        return None
    return PREFIX + name, int(number)


# A key stands in one index beside the id of its wallet.
_KEY_MAX: Final = 100


def stored_key(key: str) -> str:
    """
    Return the key of a receipt, or a hash of it if it is long.
    """
    if len(key.encode()) <= _KEY_MAX:
        return key
    return f"#{hashlib.sha256(key.encode()).hexdigest()}"


def debit_key(seq: int, part: int) -> str:
    """
    Return the key of one of the parts in which a debit comes back, 1 and up.
    """
    return f"debit\x1f{seq}\x1f{part}"


def withdrawal_key(wallet_id: str, name: str, epoch: int) -> str:
    """
    Return the key under which a withdrawal is sent.

    It does not follow from a number: what a restored backup has forgotten is asked for
    under the same key again, and nothing else is.

    Args:
        name: The key of the call that asked for it.

        epoch: Raised only after a proof that nothing happened under the key before.
    """
    return effect_key(wallet_id, 0, Withdraw.name, name, epoch)


def later_keys(wallet_id: str, open_: OpenWithdrawal) -> tuple[str, ...]:
    """
    Return the keys under which a withdrawal would be sent next, and then.
    """
    return tuple(
        withdrawal_key(wallet_id, open_.name, open_.epoch + step)
        for step in range(1, _LATER + 1)
    )


def is_wallet(snapshot: bytes) -> bool:
    """
    Whether this is the snapshot of a wallet: then it is none of an order.
    """
    return snapshot.startswith(MARK)


def what_is(order_id: str) -> str:
    """
    Return what has an id like this, in a message: `order` or `wallet`.
    """
    return METHOD if order_id.startswith(PREFIX) else "order"


# --- what happened ----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Keyed(Event):
    """
    The balance changed, once for a key; one of the classes below.

    Attributes:
        amount: How much.

        balance: The balance after it.

        debt: What is owed after it, because a bank took it back; `None` for nothing.
    """

    amount: Money
    balance: Money
    debt: Money | None = None

    @property
    def receipt_key(self) -> str:
        """
        What must be there once in this wallet.
        """
        return f"key\x1f{getattr(self, 'key', '')}"


@final
@attrs.frozen(kw_only=True)
class WalletOpened(Event):
    """
    A wallet exists.
    """

    user_id: str


@final
@attrs.frozen(kw_only=True)
class WalletCredited(Keyed):
    """
    Money came in.

    Attributes:
        key: The key of the call, or of the effect that was carried out.

        order_id: The order that it was earned with; empty if it came from outside.
    """

    key: str
    order_id: str = ""

    @property
    def receipt_key(self) -> str:
        """
        A key of an effect is not one of the host's own.
        """
        return f"{'effect' if self.order_id else 'key'}\x1f{self.key}"


@final
@attrs.frozen(kw_only=True)
class WalletDebited(Keyed):
    """
    Money left for an order.

    Attributes:
        order_id: The order; empty if the host has not said.

        item: What it pays for there.

        due_at: When to look whether the order has it, if nobody has said so.
    """

    key: str
    order_id: str = ""
    item: str = "order"
    due_at: DateTime


@final
@attrs.frozen(kw_only=True)
class DebitCounted(Event):
    """
    The order has the money of a debit.

    Attributes:
        debit: The number of the debit.
    """

    debit: int


@final
@attrs.frozen(kw_only=True)
class DebitReturned(Keyed):
    """
    A debit came back, or a part of it.

    Attributes:
        debit: The number of the debit.

        part: 1 for the first part that comes back, then 2.

        returned: How much of it is back, this part included.

        key: The key of the refund; empty if no order ever had it.
    """

    debit: int
    part: int
    returned: Money
    order_id: str = ""
    key: str = ""

    @property
    def receipt_key(self) -> str:
        """
        One part after the other, each once.
        """
        return debit_key(self.debit, self.part)


@final
@attrs.frozen(kw_only=True)
class WithdrawalAsked(Keyed):
    """
    Money is to leave for a bank; it is off the balance at once.

    Attributes:
        payee_id: Who is paid.
    """

    key: str
    payee_id: str


@final
@attrs.frozen(kw_only=True)
class WithdrawalSent(Event):
    """
    It may have left.
    """

    withdrawal: int


@final
@attrs.frozen(kw_only=True)
class WithdrawalPaid(Event):
    """
    It has left.

    Attributes:
        withdrawal: The number of the event that asked for it.

        amount: How much.

        key: The key under which it was sent.

        reference: What the gateway calls it.
    """

    withdrawal: int
    amount: Money
    key: str
    reference: str = ""


@final
@attrs.frozen(kw_only=True)
class WithdrawalRepeated(Event):
    """
    It was proved that nothing left; it is sent again, under the next key.
    """

    withdrawal: int


@final
@attrs.frozen(kw_only=True)
class WithdrawalFailed(Keyed):
    """
    It did not leave, for sure, or it came back: it is in the wallet again.

    Attributes:
        withdrawal: The number of the event that asked for it.

        key: The key under which it was sent last.

        paid: Whether it had left before.
    """

    withdrawal: int
    key: str
    paid: bool = False

    @property
    def receipt_key(self) -> str:
        """
        A withdrawal comes back once.
        """
        return f"withdrawal\x1f{self.withdrawal}"


@final
@attrs.frozen(kw_only=True)
class WalletChargedBack(Keyed):
    """
    A bank took back what had come in.
    """

    key: str


@final
@attrs.frozen(kw_only=True)
class OrderBarred(Event):
    """
    No order will ever have this id: a debit for it went back.

    Attributes:
        order_id: The id.

        debit: The reference of the debit.
    """

    order_id: str
    debit: str


# Every event of a wallet, by the name a history calls it.
EVENTS: Final[Mapping[str, type[Event]]] = {
    event.name: event
    for event in (
        DebitCounted,
        DebitReturned,
        OrderBarred,
        WalletChargedBack,
        WalletCredited,
        WalletDebited,
        WalletOpened,
        WithdrawalAsked,
        WithdrawalFailed,
        WithdrawalPaid,
        WithdrawalRepeated,
        WithdrawalSent,
    )
}


# --- what it adds up to -----------------------------------------------------------

# What may be on either side of zero: the world's accounts.
_WORLD: Final = ("orders", "outside")


@final
@attrs.frozen(kw_only=True)
class Accounts:
    """
    The accounts of a wallet in one currency, in minor units; together they are zero.

    Attributes:
        balance: What the user may spend or withdraw.

        leaving: What is on its way to his bank.

        debt: What he owes, as a negative number: a bank took it back.

        orders: What orders got out of this wallet, less what came from them.

        outside: What left for the world outside, less what came from there.
    """

    currency: str
    balance: int = 0
    leaving: int = 0
    debt: int = 0
    orders: int = 0
    outside: int = 0

    def post(self, postings: Mapping[str, int]) -> Accounts:
        """
        Return the accounts after one entry.

        Raises:
            LedgerError: If it does not sum to zero, or an account would be on the
                wrong side of it, or more than can be stored.
        """
        if sum(postings.values()):
            raise LedgerError(f"an entry must sum to zero: {dict(postings)}")
        after = {name: getattr(self, name) + postings[name] for name in postings}
        for name, amount in after.items():
            wrong = amount > 0 if name == "debt" else amount < 0
            if (wrong and name not in _WORLD) or abs(amount) > MINOR_MAX:
                raise LedgerError(f"{name} would be {amount} {self.currency}")
        return attrs.evolve(self, **after)

    def adds_up(self) -> bool:
        """
        Whether all accounts together are zero, as they must be.
        """
        every = (self.balance, self.leaving, self.debt, self.orders, self.outside)
        return not sum(every)


@final
@attrs.frozen(kw_only=True)
class OpenDebit:
    """
    A debit of which nobody has said yet that an order has it.

    Attributes:
        seq: Its number.
    """

    seq: int
    amount: Money
    order_id: str
    item: str
    due_at: DateTime


@final
@attrs.frozen(kw_only=True)
class OpenWithdrawal:
    """
    A withdrawal on its way.

    Attributes:
        seq: The number of the event that asked for it first.

        asked_seq: The number of the event that asked for it last.

        asked_at: When.

        name: The key of the call that asked for it.

        key: The key under which it is sent.

        epoch: How often it was proved before that nothing happened.

        sent: Whether it may have left.
    """

    seq: int
    asked_seq: int
    asked_at: DateTime
    amount: Money
    payee_id: str
    name: str
    key: str
    epoch: int = 0
    sent: bool = False


@final
@attrs.frozen(kw_only=True)
class Wallet:
    """
    A wallet, after its last event.

    Attributes:
        id: The id of its history.

        user_id: Whose it is; empty for an order's id that is barred.

        version: How many events are recorded.

        accounts: By currency.

        currency: The one that moved last; empty if nothing did.

        debits: Those that no order has counted yet, oldest first.

        withdrawals: Those on their way, oldest first.
    """

    id: str
    user_id: str = ""
    version: int
    accounts: tuple[Accounts, ...] = ()
    currency: str = ""
    debits: tuple[OpenDebit, ...] = ()
    withdrawals: tuple[OpenWithdrawal, ...] = ()
    effective_at: DateTime
    recorded_at: DateTime

    def account(self, currency: str) -> Accounts:
        """
        Return the accounts in a currency; all zero if it never had any.
        """
        for one in self.accounts:
            if one.currency == currency:
                return one
        return Accounts(currency=currency)

    def balance(self, currency: str) -> Money:
        """
        Return what may be spent or withdrawn.
        """
        return Money(self.account(currency).balance, currency)

    def debt(self, currency: str) -> Money:
        """
        Return what is owed, because a bank took it back.
        """
        return Money(-self.account(currency).debt, currency)

    def leaving(self, currency: str) -> Money:
        """
        Return what is on its way to the bank.
        """
        return Money(self.account(currency).leaving, currency)

    def debit(self, seq: int) -> OpenDebit | None:
        """
        Return an open debit; `None` if there is none with this number.
        """
        return next((one for one in self.debits if one.seq == seq), None)

    def withdrawal(self, key: str) -> OpenWithdrawal | None:
        """
        Return the withdrawal that is sent under a key; `None` if there is none.
        """
        return next((one for one in self.withdrawals if one.key == key), None)

    @property
    def due_at(self) -> DateTime | None:
        """
        When to look at a debit that nobody has spoken of; `None` for never.
        """
        return min((one.due_at for one in self.debits), default=None)


_Postings: TypeAlias = Mapping[str, int]

_OF_WITHDRAWALS: Final = (
    WithdrawalSent,
    WithdrawalRepeated,
    WithdrawalPaid,
    WithdrawalFailed,
)


def _incoming(accounts: Accounts, amount: int, source: str) -> _Postings:
    # What is owed is made good first.
    recovered = min(amount, -accounts.debt)
    return {"debt": recovered, "balance": amount - recovered, source: -amount}


def _postings(accounts: Accounts, event: Keyed) -> _Postings:
    amount = event.amount.minor
    if isinstance(event, WalletCredited):
        return _incoming(accounts, amount, "orders" if event.order_id else "outside")
    if isinstance(event, DebitReturned):
        return _incoming(accounts, amount, "orders")
    if isinstance(event, WithdrawalFailed):
        return _incoming(accounts, amount, "outside" if event.paid else "leaving")
    if isinstance(event, WalletDebited):
        return {"balance": -amount, "orders": amount}
    if isinstance(event, WithdrawalAsked):
        return {"balance": -amount, "leaving": amount}
    assert isinstance(event, WalletChargedBack)
    covered = min(amount, accounts.balance)
    return {"balance": -covered, "debt": covered - amount, "outside": amount}


def booked(wallet: Wallet, event: Keyed) -> Keyed:
    """
    Return an event with the balance, and the debt, that it makes of this wallet.

    Raises:
        WalletRefusedError: If the balance is too low for it, or would be too high, or
            too much of its kind is under way.
    """
    currency = event.amount.currency
    accounts = wallet.account(currency)
    postings = _postings(accounts, event)
    after = accounts.balance + postings["balance"]
    if after < 0:
        raise WalletRefusedError(
            wallet.user_id,
            Blocker(
                code="balance_too_low",
                params={
                    "balance": wallet.balance(currency),
                    "amount": event.amount,
                },
            ),
        )
    if after > MINOR_MAX:
        most = Money(MINOR_MAX, currency)
        raise WalletRefusedError(
            wallet.user_id, Blocker(code="balance_too_high", params={"maximum": most})
        )
    under_way: tuple[object, ...] = ()
    if isinstance(event, WalletDebited):
        under_way = wallet.debits
    elif isinstance(event, WithdrawalAsked):
        under_way = wallet.withdrawals
    if len(under_way) >= OPEN_MAX:
        raise WalletRefusedError(
            wallet.user_id,
            Blocker(code="too_many_open", params={"open": len(under_way)}),
        )
    debt = -(accounts.debt + postings.get("debt", 0))
    return attrs.evolve(
        event,
        balance=Money(after, currency),
        debt=Money(debt, currency) if debt else None,
    )


def evolve_wallet(wallet: Wallet | None, recorded: Recorded, wallet_id: str) -> Wallet:
    """
    Return the wallet after an event.

    Args:
        wallet: `None` before the first one.

    Raises:
        LedgerError: If it contradicts the books.
    """
    event = recorded.event
    if wallet is None:
        if isinstance(event, OrderBarred):
            user_id, expected = "", event.order_id
        elif isinstance(event, WalletOpened):
            user_id, expected = event.user_id, wallet_id_of(event.user_id)
        else:
            raise LedgerError(f"a wallet does not begin with {event.name}")
        if expected != wallet_id:
            raise LedgerError(f"this is the history of {expected!r}")
        return Wallet(
            id=wallet_id,
            user_id=user_id,
            version=1,
            effective_at=recorded.effective_at,
            recorded_at=recorded.recorded_at,
        )
    if not wallet.user_id or isinstance(event, (OrderBarred, WalletOpened)):
        raise LedgerError(f"{event.name} does not follow")
    wallet = attrs.evolve(
        wallet,
        version=recorded.seq,
        effective_at=recorded.effective_at,
        recorded_at=recorded.recorded_at,
    )
    wallet = _under_way(wallet, event, recorded)
    if isinstance(event, Keyed):
        accounts = wallet.account(event.amount.currency)
        return _posted(wallet, accounts, _postings(accounts, event), event)
    if isinstance(event, WithdrawalPaid):
        amount = event.amount.minor
        accounts = wallet.account(event.amount.currency)
        return _posted(wallet, accounts, {"leaving": -amount, "outside": amount}, None)
    return wallet


def _posted(
    wallet: Wallet, before: Accounts, postings: _Postings, event: Keyed | None
) -> Wallet:
    after = before.post(postings)
    if event is not None:
        if event.balance != Money(after.balance, after.currency):
            raise LedgerError(f"the balance is {after.balance}, not {event.balance}")
        debt = Money(-after.debt, after.currency)
        if (event.debt or Money.zero(after.currency)) != debt:
            raise LedgerError(f"the debt is {debt}, not {event.debt}")
    others = (one for one in wallet.accounts if one.currency != after.currency)
    return attrs.evolve(
        wallet,
        accounts=tuple(sorted((*others, after), key=lambda one: one.currency)),
        currency=after.currency,
    )


def _under_way(wallet: Wallet, event: Event, recorded: Recorded) -> Wallet:
    """
    Return the wallet with what is under way after an event.
    """
    if isinstance(event, WalletDebited):
        debit = OpenDebit(
            seq=recorded.seq,
            amount=event.amount,
            order_id=event.order_id,
            item=event.item,
            due_at=event.due_at,
        )
        return attrs.evolve(wallet, debits=(*wallet.debits, debit))
    if isinstance(event, (DebitCounted, DebitReturned)):
        if wallet.debit(event.debit) is None and isinstance(event, DebitCounted):
            raise LedgerError(f"no debit {event.debit} is under way")
        rest = tuple(one for one in wallet.debits if one.seq != event.debit)
        return attrs.evolve(wallet, debits=rest)
    if isinstance(event, WithdrawalAsked):
        new = OpenWithdrawal(
            seq=recorded.seq,
            asked_seq=recorded.seq,
            asked_at=recorded.effective_at,
            amount=event.amount,
            payee_id=event.payee_id,
            name=event.key,
            key=withdrawal_key(wallet.id, event.key, 0),
        )
        return attrs.evolve(wallet, withdrawals=(*wallet.withdrawals, new))
    if isinstance(event, _OF_WITHDRAWALS):
        return attrs.evolve(wallet, withdrawals=_on_their_way(wallet, event, recorded))
    return wallet


def _on_their_way(
    wallet: Wallet,
    event: WithdrawalSent | WithdrawalRepeated | WithdrawalPaid | WithdrawalFailed,
    recorded: Recorded,
) -> tuple[OpenWithdrawal, ...]:
    mine = [one for one in wallet.withdrawals if one.seq == event.withdrawal]
    came_back = isinstance(event, WithdrawalFailed) and event.paid
    fits = isinstance(event, (WithdrawalSent, WithdrawalRepeated)) or all(
        (event.amount, event.key) == (one.amount, one.key) for one in mine
    )
    if came_back is bool(mine) or not fits:
        raise LedgerError(f"{event.name} of withdrawal {event.withdrawal} cannot be")
    found = []
    for one in wallet.withdrawals:
        if one not in mine:
            found.append(one)
        elif isinstance(event, WithdrawalSent):
            found.append(attrs.evolve(one, sent=True))
        elif isinstance(event, WithdrawalRepeated):
            again = attrs.evolve(
                one,
                asked_seq=recorded.seq,
                asked_at=recorded.effective_at,
                key=withdrawal_key(wallet.id, one.name, one.epoch + 1),
                epoch=one.epoch + 1,
                sent=False,
            )
            found.append(again)
    return tuple(found)


def effects_of(wallet: Wallet, recorded: Recorded) -> tuple[Withdraw, ...]:
    """
    Return what an event asks the host to do: a function of the history (I5).

    Args:
        wallet: The wallet after it.
    """
    if not isinstance(recorded.event, (WithdrawalAsked, WithdrawalRepeated)):
        return ()
    return tuple(
        Withdraw(
            order_id=wallet.id,
            seq=one.asked_seq,
            key=one.key,
            user_id=wallet.user_id,
            payee_id=one.payee_id,
            amount=one.amount,
            asked_at=one.asked_at,
            parked=one.epoch > _AGAIN_MAX,
        )
        for one in wallet.withdrawals
        if one.asked_seq == recorded.seq
    )


# --- what its owner reads ---------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Entry:
    """
    A line of a statement.

    Attributes:
        seq: Its number; numbers grow, with gaps.

        kind: What happened: `credited`, `earned`, `debited`, `refunded`,
            `given_back`, `withdrawn`, `withdrawal_failed`, `charged_back`.

        amount: How much.

        incoming: Whether it came in; what is owed was made good of it first.

        balance: The balance after it, in the same currency.

        debt: What is owed after it, in the same currency, because a bank took it back:
            zero for nothing.  From line to line of a currency, `balance` less `debt`
            moves by `amount`.

        at: When.

        key: The key of the call, or of the effect that was carried out.

        order_id: The order it belongs to; empty if to none.

        reference: What it is called: that of a debit is in the payment.
    """

    seq: int
    kind: str
    amount: Money
    incoming: bool
    balance: Money
    debt: Money
    at: DateTime
    key: str
    order_id: str
    reference: str


_OUTGOING: Final = ("debited", "withdrawn", "charged_back")


def _kind(event: Keyed) -> str:
    if isinstance(event, WalletCredited):
        return "earned" if event.order_id else "credited"
    if isinstance(event, DebitReturned):
        return "refunded" if event.key else "given_back"
    if isinstance(event, WalletDebited):
        return "debited"
    if isinstance(event, WithdrawalAsked):
        return "withdrawn"
    if isinstance(event, WithdrawalFailed):
        return "withdrawal_failed"
    return "charged_back"


def entry_of(recorded: Recorded, wallet_id: str) -> Entry | None:
    """
    Return the line of a statement that tells of an event; `None` if none does.
    """
    event = recorded.event
    if not isinstance(event, Keyed):
        return None
    kind = _kind(event)
    return Entry(
        seq=recorded.seq,
        kind=kind,
        amount=event.amount,
        incoming=kind not in _OUTGOING,
        balance=event.balance,
        debt=event.debt or Money.zero(event.amount.currency),
        at=recorded.effective_at,
        key=getattr(event, "key", ""),
        order_id=getattr(event, "order_id", ""),
        reference=reference_of(wallet_id, recorded.seq),
    )
