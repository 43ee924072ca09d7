"""
The wallets: what each has, as its events add up to it, and where its money went.

A wallet is a gateway, too, and its log is its own history: what came back to it was
refunded, what was earned into it was paid out.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, final

import attrs

from ...effects import PayOut, Refund
from ...storage import Change, StoredEvent
from ...storage.codec import decode_event
from ...wallet import (
    EVENTS,
    DebitReturned,
    Keyed,
    WalletCredited,
    WalletDebited,
    reference_of,
)
from ..gateways import Applied
from .coverage import Coverage
from .shadow import Findings, hash_of

__all__ = ["Debit", "Purses"]


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
class _Purse:
    """
    A wallet, as its events add up to it here.
    """

    version: int = 0
    head: bytes = b""
    recorded_at: int = 0
    balance: int = 0
    keys: set[str] = attrs.field(factory=set)
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
        self._orders = findings.orders
        self._purses: dict[str, _Purse] = {}
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

    def committed(self, change: Change) -> None:
        """
        I1, I13, I14, I17, I18: each line follows from the one before, once for its key,
        and no balance is below zero.
        """
        wallet_id = change.order_id
        purse = self._purses.setdefault(wallet_id, _Purse())
        if change.expected_version != purse.version:
            self._fail(
                "I18", "a change of a wallet went through that saw another", wallet_id
            )
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
            if isinstance(recorded.event, Keyed):
                self._booked(wallet_id, purse, recorded)

    def _booked(self, wallet_id: str, purse: _Purse, recorded: Any) -> None:
        event: Any = recorded.event
        amount = event.amount.minor
        purse.balance += -amount if isinstance(event, WalletDebited) else amount
        if purse.balance != event.balance.minor or purse.balance < 0:
            self._fail("I1", f"{event.name}: the balance is another", wallet_id)
        if event.receipt_key in purse.keys:
            self._fail("I17", f"{event.name} was done twice", wallet_id)
        purse.keys.add(event.receipt_key)
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
            payee = wallet_id.removeprefix("wallet:")
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
