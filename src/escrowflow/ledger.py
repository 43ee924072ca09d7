"""
The books of one order: accounts, postings, entries, balances.

- Double entry: an entry is a set of postings that sums to zero.
- `external` is the world outside; every other account only ever holds what
  came in from there, and never less than nothing.
- `receivable` is what a bank took back and nobody has made good yet (I34).
- What is owed counts at once: money leaves `escrow` when somebody is entitled
  to it, not when a bank has moved it.

    paid in = held + refunded + released + kept

An entry that does not add up raises `LedgerError` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Final, final

import attrs

from .errors import LedgerError
from .money import Money

__all__ = ["ACCOUNTS", "Ledger"]

# What is held, what is owed to whom, and the outside.  Money that really left is
# booked from `refundable` to `buyer` and from `payable` to `seller`.
ACCOUNTS: Final = (
    "external",
    "receivable",
    "escrow",
    "refundable",
    "buyer",
    "payable",
    "seller",
    "fee",
)

# All of them, in that order.
_BALANCES: Final[Callable[[Ledger], tuple[int, ...]]] = attrgetter(*ACCOUNTS)

# What we were given, or are owed: these fall below zero, and never rise above it.
_OWED_TO_US: Final = ("external", "receivable")

# What a 64-bit integer column holds: no balance may ever exceed it.
_BALANCE_MAX: Final = 2**63 - 1


@final
@attrs.frozen
class Ledger:
    """
    The balances of one order, in minor units of one currency.

    Attributes:
        currency: The currency of the order.

        external: What came in, as a negative number: the world's account.

        receivable: What a bank took back by a chargeback, as a negative number, as
            long as nobody bears it: it is what the platform is owed.

        escrow: Held until both sides are done.

        refundable: Owed to the buyer.

        buyer: Paid back to the buyer.

        payable: Owed to the seller.

        seller: Paid to the seller.

        fee: The platform's own.
    """

    currency: str
    external: int = 0
    receivable: int = 0
    escrow: int = 0
    refundable: int = 0
    buyer: int = 0
    payable: int = 0
    seller: int = 0
    fee: int = 0

    @property
    def held(self) -> Money:
        """
        What is still in escrow.
        """
        return Money(self.escrow, self.currency)

    @property
    def refunded(self) -> Money:
        """
        What is owed or paid back to the buyer.
        """
        return Money(self.refundable + self.buyer, self.currency)

    @property
    def released(self) -> Money:
        """
        What is owed or paid to the seller.
        """
        return Money(self.payable + self.seller, self.currency)

    @property
    def kept(self) -> Money:
        """
        The platform's fees.
        """
        return Money(self.fee, self.currency)

    @property
    def paid_in(self) -> Money:
        """
        Everything that ever came in, returned payments included, and what a bank
        took back, too.
        """
        return Money(-self.external - self.receivable, self.currency)

    def post(self, postings: Mapping[str, int]) -> Ledger:
        """
        Return the books after one entry: signed minor units by account.

        Raises:
            LedgerError: If the postings do not sum to zero, an account is
                unknown, or a balance would fall below zero.  Nothing changed.
        """
        if sum(postings.values()) != 0:
            raise LedgerError(f"an entry must sum to zero: {dict(postings)}")
        balances = {}
        for account, amount in postings.items():
            if account not in ACCOUNTS or type(amount) is not int:
                raise LedgerError(f"cannot post {amount!r} to {account!r}")
            balance: int = getattr(self, account) + amount
            if (balance > 0) if account in _OWED_TO_US else (balance < 0):
                raise LedgerError(
                    f"{account} would be {balance} {self.currency}: {dict(postings)}"
                )
            if abs(balance) > _BALANCE_MAX:
                raise LedgerError(f"{account} would exceed what can be stored")
            balances[account] = balance
        current = dict(zip(ACCOUNTS, _BALANCES(self), strict=True))
        return Ledger(self.currency, **{**current, **balances})

    def adds_up(self) -> bool:
        """
        Whether all accounts together are zero, as they must be.
        """
        return sum(_BALANCES(self)) == 0
