"""
The wallets: what each has, as its events add up to it, and where its money went.

A wallet is a gateway, too, and its log is its own history: what came back to it was
refunded, what was earned into it was paid out.  What its owner withdraws is owed to him
by a gateway of others, as what a seller has earned.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final, final

import attrs

from ...effects import PayOut, Refund, Withdraw
from ...storage import Change, NewEffect, StoredEvent
from ...storage.codec import decode_effect, decode_event
from ...wallet import (
    EVENTS,
    PREFIX,
    DebitReturned,
    Entry,
    Keyed,
    WalletCredited,
    WalletDebited,
    WithdrawalAsked,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRepeated,
    WithdrawalSent,
    reference_of,
)
from ..gateways import Applied
from .coverage import Coverage
from .shadow import Findings, Outgoing, Owed, Said, hash_of

__all__ = ["Debit", "Purses"]

# What leaves a balance; everything else that moves one comes in.
_OUT: Final = (WalletDebited, WithdrawalAsked)

# What becomes of a withdrawal, once it was asked for.
_LATER: Final = (WithdrawalSent, WithdrawalRepeated, WithdrawalPaid, WithdrawalFailed)


@final
@attrs.define(eq=False)
class Debit:
    """
    Money that left a wallet for an order.

    Attributes:
        returned: How much of it came back.

        unclaimed: Whether it came back because its order never had it.
    """

    reference: str
    order_id: str
    amount: int
    returned: int = 0
    unclaimed: bool = False


@final
@attrs.define(eq=False)
class _Purse(Outgoing):
    """
    A wallet, as its events add up to it here.

    Attributes:
        funds: What came in, less what left for orders: so much may be paid out, ever.

        leaving: What is on its way to a bank.

        gone: What was paid out.

        receipts: What happened once, by what must be there once.

        asked: What was withdrawn, by the number of the event that asked for it.
    """

    version: int = 0
    head: bytes = b""
    recorded_at: int = 0
    balance: int = 0
    funds: int = 0
    leaving: int = 0
    gone: int = 0
    receipts: set[str] = attrs.field(factory=set)
    asked: dict[int, Owed] = attrs.field(factory=dict)
    debits: dict[int, Debit] = attrs.field(factory=dict)
    moved: list[Applied] = attrs.field(factory=list)


@final
class Purses:
    """
    Adds up what is written of wallets.
    """

    def __init__(self, findings: Findings, coverage: Coverage) -> None:
        self._count = coverage.counts
        self._fail = findings.fail
        self._findings = findings
        self._orders = findings.orders
        self._purses: dict[str, _Purse] = {}
        findings.wallets = self._purses
        self._kept: dict[str, _Purse] = {}

    def keep(self) -> None:
        """
        Remember what is known: a backup is taken.
        """
        self._kept = deepcopy(self._purses)

    def put_back(self) -> None:
        """
        Know what was known then: a wallet goes back with its orders.
        """
        self._purses = deepcopy(self._kept)
        self._findings.wallets = self._purses
        for purse in self._purses.values():
            # Whoever had claimed something is gone; it is claimed anew.
            purse.tokens.clear()

    @property
    def versions(self) -> int:
        """
        How many events there are.
        """
        return sum(purse.version for purse in self._purses.values())

    @property
    def ids(self) -> tuple[str, ...]:
        """
        The ids of all wallets.
        """
        return tuple(sorted(self._purses))

    @property
    def applied(self) -> tuple[Applied, ...]:
        """
        What wallets have paid out and back, oldest first in each.
        """
        return tuple(one for purse in self._purses.values() for one in purse.moved)

    def debits(self) -> Iterator[Debit]:
        """
        Yield what left for orders.
        """
        for purse in self._purses.values():
            yield from purse.debits.values()

    def balance(self, wallet_id: str) -> int:
        """
        Return what a wallet has.
        """
        purse = self._purses.get(wallet_id)
        return 0 if purse is None else purse.balance

    def funds(self, wallet_id: str) -> int:
        """
        Return what came into a wallet, less what left it for orders.
        """
        purse = self._purses.get(wallet_id)
        return 0 if purse is None else purse.funds

    def under_way(self, wallet_id: str) -> tuple[str, ...]:
        """
        Return the keys of what a wallet has on its way to a bank.
        """
        purse = self._purses.get(wallet_id)
        owed = () if purse is None else purse.owed
        return tuple(one.key for one in owed if one.status == "owed")

    def head(self, wallet_id: str) -> tuple[int, bytes]:
        """
        Return how many events a wallet has, and the hash of the last one.
        """
        purse = self._purses.get(wallet_id)
        return (0, b"") if purse is None else (purse.version, purse.head)

    def committed(self, change: Change, said: Said | None) -> None:
        """
        I1, I5, I13, I14, I17 to I19: each line follows from the one before, once for its
        key, no balance is below zero, and nothing leaves that its owner did not ask for.

        Args:
            said: On whose behalf it was written, if on anybody's.
        """
        wallet_id = change.order_id
        purse = self._purses.setdefault(wallet_id, _Purse())
        if change.expected_version != purse.version:
            self._fail(
                "I18", "a change of a wallet went through that saw another", wallet_id
            )
        money = {one.key: one for one in change.effects if one.kind == Withdraw.name}
        for effect in change.effects:
            if effect.key in purse.rows or effect.kind != Withdraw.name:
                self._fail("I5", f"{effect.kind} has the key of another", wallet_id)
            purse.rows[effect.key] = effect.kind
        for stored in change.events:
            if (
                stored.seq != purse.version + 1
                or stored.recorded_at < purse.recorded_at
            ):
                self._fail("I13", f"{stored.name} does not follow", wallet_id)
            if stored.hash != hash_of(purse.head, wallet_id, stored):
                self._fail("I14", f"{stored.name} has another hash", wallet_id)
            purse.version, purse.head = stored.seq, stored.hash
            purse.recorded_at = stored.recorded_at
            kept = StoredEvent(**attrs.asdict(stored, recurse=False))
            recorded = decode_event(kept, {}, EVENTS)
            if isinstance(recorded.event, WithdrawalAsked):
                self._asked(wallet_id, purse, recorded, money, said)
            elif isinstance(recorded.event, _LATER):
                self._told(wallet_id, purse, recorded, money)
            if isinstance(recorded.event, Keyed):
                self._booked(wallet_id, purse, recorded)
        for effect in money.values():
            self._fail("I5", f"{effect.kind}: nobody asked for it", wallet_id)
        self._adds_up(wallet_id, purse, change)

    def _adds_up(self, wallet_id: str, purse: _Purse, change: Change) -> None:
        """
        I1: what is in a wallet is what came, less what was spent, what is on its way and
        what was paid out; and that is what is kept of it.
        """
        if purse.balance != purse.funds - purse.leaving - purse.gone:
            self._fail("I1", "the books of a wallet do not balance", wallet_id)
        kept = change.books
        if (kept.held, kept.released) != (purse.balance, purse.leaving):
            self._fail(
                "I1",
                f"the books say {(kept.held, kept.released)}, not "
                f"{(purse.balance, purse.leaving)}",
                wallet_id,
            )

    def _asked(
        self,
        wallet_id: str,
        purse: _Purse,
        recorded: Any,
        money: dict[str, NewEffect],
        said: Said | None,
    ) -> None:
        """
        I5, I19: its owner asked for just this, and it is asked for once.
        """
        event: WithdrawalAsked = recorded.event
        wanted = None if said is None else said.withdraws
        if (
            said is None
            or wanted is None
            or (said.order_id, said.key) != (wallet_id, event.key)
            or (wanted.amount, wanted.payee_id) != (event.amount, event.payee_id)
        ):
            self._fail("I19", "its owner did not ask to withdraw this", wallet_id)
        self._count["withdrawal asked"] += 1
        if purse.leaving:
            self._count["withdrawal beside another"] += 1
        amount = event.amount.minor
        purse.leaving += amount
        owed = Owed(
            root=(recorded.seq, PayOut.name, event.payee_id),
            kind=PayOut.name,
            part=event.payee_id,
            amount=amount,
        )
        purse.owed.append(owed)
        purse.asked[recorded.seq] = owed
        self._named(wallet_id, purse, owed, recorded.seq, money)

    def _named(
        self,
        wallet_id: str,
        purse: _Purse,
        owed: Owed,
        seq: int,
        money: dict[str, NewEffect],
    ) -> None:
        """
        I5, I29: what is owed is to be sent, under a key that was never used before.
        """
        for key, effect in money.items():
            body = decode_effect(effect.body, Withdraw)
            if (effect.seq, body.payee_id, body.amount.minor) == (
                seq,
                owed.part,
                owed.amount,
            ):
                if key in purse.keys:
                    self._fail("I29", "a withdrawal has the key of another", wallet_id)
                purse.owe(owed, key)
                del money[key]
                return
        self._fail("I5", f"{owed.amount} are withdrawn, and not sent", wallet_id)

    def _told(
        self, wallet_id: str, purse: _Purse, recorded: Any, money: dict[str, NewEffect]
    ) -> None:
        """
        I6, I29: a withdrawal is paid once, or comes back once; only what is on its way
        is sent anew, and only what was paid comes back after it was.
        """
        event: Any = recorded.event
        owed = purse.asked.get(event.withdrawal)
        back = isinstance(event, WithdrawalFailed) and event.paid
        if owed is None or owed.status != ("paid" if back else "owed"):
            self._fail("I6", f"{event.name}: of nothing that is owed", wallet_id)
            return
        amount = owed.amount
        if isinstance(event, (WithdrawalPaid, WithdrawalFailed)) and (
            (event.key, event.amount.minor) != (owed.key, amount)
        ):
            self._fail("I5", f"{event.name}: not what was asked", wallet_id)
        if isinstance(event, WithdrawalPaid):
            self._count["withdrawal paid"] += 1
            owed.status = "paid"
            purse.leaving -= amount
            purse.gone += amount
        elif isinstance(event, WithdrawalRepeated):
            self._count["withdrawal under another key"] += 1
            purse.failed.add(owed.key)
            self._named(wallet_id, purse, owed, recorded.seq, money)
        elif isinstance(event, WithdrawalFailed):
            self._count["withdrawal back in its wallet"] += 1
            owed.status = "failed"
            purse.failed.add(owed.key)
            if back:
                purse.gone -= amount
            else:
                purse.leaving -= amount

    def _booked(self, wallet_id: str, purse: _Purse, recorded: Any) -> None:
        event: Any = recorded.event
        amount = event.amount.minor
        signed = -amount if isinstance(event, _OUT) else amount
        purse.balance += signed
        if not isinstance(event, (WithdrawalAsked, WithdrawalFailed)):
            purse.funds += signed
        if purse.balance != event.balance.minor or purse.balance < 0:
            self._fail("I1", f"{event.name}: the balance is another", wallet_id)
        if event.receipt_key in purse.receipts:
            self._fail("I17", f"{event.name} was done twice", wallet_id)
        purse.receipts.add(event.receipt_key)
        reference = reference_of(wallet_id, recorded.seq)
        if isinstance(event, WalletDebited):
            self._count["paid from a wallet"] += 1
            purse.debits[recorded.seq] = Debit(reference, event.order_id, amount)
        elif isinstance(event, DebitReturned):
            debit = purse.debits[event.debit]
            debit.returned += amount
            debit.unclaimed = not event.key
            self._count["back in a wallet"] += 1
            if debit.returned > debit.amount:
                self._fail("I2", "more came back than had left", wallet_id)
            if event.key:
                self._moved(purse, Refund.name, recorded, reference, debit.reference)
        elif isinstance(event, WalletCredited) and event.order_id:
            self._count["earned into a wallet"] += 1
            payee = wallet_id.removeprefix(PREFIX)
            self._moved(purse, PayOut.name, recorded, reference, payee)

    @staticmethod
    def _moved(
        purse: _Purse, kind: str, recorded: Any, reference: str, part: str
    ) -> None:
        event = recorded.event
        purse.moved.append(
            Applied(
                reference=reference,
                key=event.key,
                kind=kind,
                order_id=event.order_id,
                part=part,
                amount=event.amount,
                at=recorded.effective_at,
            )
        )

    def replied(self, said: Said, entry: Entry) -> None:
        """
        I17, I35: what its owner is told of a withdrawal is so, and is the same each time.
        """
        purse = self._purses.get(said.order_id)
        owed = None if purse is None else purse.asked.get(entry.seq)
        if owed is None or owed.amount != entry.amount.minor:
            self._fail("I35", "a withdrawal is told, and not there", said.order_id)
            return
        reply = entry.seq, entry.balance.minor
        if said.first is None:
            said.first = reply
            return
        self._count["replayed"] += 1
        if said.first != reply:
            self._fail("I17", "the same key gets another answer", said.order_id)

    def closed(self) -> None:
        """
        I6: what left a wallet for an order is counted there, or came back unclaimed;
        never both, never neither.
        """
        for debit in self.debits():
            shadow = self._orders.get(debit.order_id)
            counted = shadow is not None and debit.reference in shadow.counted
            if counted is debit.unclaimed:
                how = "in its order and back" if counted else "nowhere"
                self._fail(
                    "I6", f"{debit.amount} of a wallet are {how}", debit.order_id
                )
