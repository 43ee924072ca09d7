"""
What the oracles know of an order: what its events add up to, and nothing the engine says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, final

import attrs

from ...clock import to_micros
from ...commands import Command
from ...money import Money
from ...parties import Actor
from ...states import Process
from ...storage import NewEvent, StoredEvent
from ...wallet import PREFIX, what_is

__all__ = [
    "Findings",
    "Outgoing",
    "Owed",
    "Said",
    "Shadow",
    "Violation",
    "Withdrawal",
    "hash_of",
]


@final
@attrs.frozen(kw_only=True)
class Violation:
    """
    Something that must hold, and did not.

    Attributes:
        invariant: Which: `"I6"`.

        text: What is wrong; never what somebody wrote.

        order_id: The order, or the wallet; empty if it is about none.
    """

    invariant: str
    text: str
    order_id: str = ""

    def __str__(self) -> str:
        if not self.order_id:
            return f"{self.invariant}: {self.text}"
        name = self.order_id.removeprefix(PREFIX)
        return f"{self.invariant}: {self.text} ({what_is(self.order_id)} {name})"


@final
@attrs.frozen(kw_only=True)
class Withdrawal:
    """
    What somebody wants to have paid out of a wallet.
    """

    amount: Money
    payee_id: str


@final
@attrs.define(eq=False)
class Said:
    """
    A command that somebody sent, however often.

    Attributes:
        stale: Whether an answer may be about a page that was old.

        commits: How often it was done: once.

        purse: The key under which it is paid from a wallet, if it is.

        debits: What is taken out of the wallet before the order is placed.

        withdraws: What is asked of a wallet instead of a command: `order_id` is its id.

        first: The first and last number of the events it was told to have made; of a
            withdrawal its number, and the balance after it.
    """

    order_id: str
    by: Actor
    command: Command
    key: str | None
    if_version: int | None = None
    placing: bool = False
    tries: int = 0
    stale: bool = False
    purse: str = ""
    debits: Money | None = None
    withdraws: Withdrawal | None = None
    commits: int = 0
    first: tuple[int, int] | None = None

    @property
    def verb(self) -> str:
        """
        What it is called.
        """
        return self.command.name if self.withdraws is None else "withdraw"

    @property
    def what(self) -> str:
        """
        Who says what of which order, or wallet.
        """
        return f"{self.by.role.text} {self.verb} {self.order_id}"

    @property
    def of_wallet(self) -> bool:
        """
        Whether it is said of a wallet.
        """
        return self.order_id.startswith(PREFIX)


@final
@attrs.define(eq=False)
class Owed:
    """
    Money that is to move, once.

    Attributes:
        root: The event it comes from, its kind and its part: what is paid once (I6).

        key: The key under which it is owed now.

        status: `"owed"`, `"paid"`, `"covered"`, or `"failed"`: nobody owes it any more.
    """

    root: tuple[int, str, str]
    kind: str
    part: str
    amount: int
    key: str = ""
    status: str = "owed"


@attrs.define(eq=False, kw_only=True)
class Outgoing:
    """
    What an order, or a wallet, asks others to carry out, and the money that it owes.

    Attributes:
        rows: The effects that were asked for, by key: their kind.

        keys: What money was ever owed under a key, as it was then: kind, part, amount.

        failed: The keys under which nothing happened, it was said.

        tokens: The last token of each effect that was claimed.

        done: The effects that are done.
    """

    rows: dict[str, str] = attrs.field(factory=dict)
    owed: list[Owed] = attrs.field(factory=list)
    keys: dict[str, tuple[Owed, str, str, int]] = attrs.field(factory=dict)
    failed: set[str] = attrs.field(factory=set)
    tokens: dict[str, int] = attrs.field(factory=dict)
    done: set[str] = attrs.field(factory=set)

    def by_key(self, key: str) -> Owed | None:
        """
        Return what is owed under a key now.
        """
        return next((one for one in self.owed if one.key == key), None)

    def owe(self, owed: Owed, key: str) -> None:
        """
        Note under which key something is owed from now on.
        """
        owed.key = key
        self.keys[key] = (owed, owed.kind, owed.part, owed.amount)


@final
@attrs.define(eq=False)
class Shadow(Outgoing):
    """
    An order, as its events add up to it here.

    Attributes:
        process: The rules it is under.

        hashes: The hash of each event, as it was committed.

        names: The name of each event.

        counted: The payments that it has, or had and gave back, by reference.
    """

    order_id: str
    process: Process[Any]
    version: int = 0
    head: bytes = b""
    buyer_id: str = ""
    seller_id: str = ""
    mediator_id: str | None = None
    standing: Any = None
    effective_at: int = 0
    recorded_at: int = 0
    ended: bool = False
    settled: int = 0
    # The books: what came in, and where it is.
    paid_in: int = 0
    escrow: int = 0
    refundable: int = 0
    buyer: int = 0
    payable: int = 0
    seller: int = 0
    fee: int = 0
    missing: int = 0
    hashes: list[bytes] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    receipts: set[str] = attrs.field(factory=set)
    holds: dict[str, int] = attrs.field(factory=dict)
    asked: set[str] = attrs.field(factory=set)
    taken: dict[str, int] = attrs.field(factory=dict)
    counted: set[str] = attrs.field(factory=set)

    @property
    def state(self) -> str:
        """
        The state.
        """
        return "" if self.standing is None else str(self.standing.state)

    def waits(self) -> Sequence[Any]:
        """
        Return the deadlines that run.
        """
        return [] if self.standing is None else _running(self.standing)

    def armed(self, wait: Any) -> int:
        """
        Return the instant at which a deadline is acted on.
        """
        time = getattr(self.process.policies, "time", None)
        boundary = getattr(time, "deadline_boundary", "exclusive")
        return to_micros(wait.due_at) + (1 if boundary == "inclusive" else 0)


def _running(standing: Any) -> list[Any]:
    return [
        wait for wait in standing.deadlines if not wait.stopped_in and not wait.passed
    ]


@final
class Findings:
    """
    What did not hold, and what the oracles have in common.

    Attributes:
        found: What did not hold, the first thing first.

        orders: Every order, as it adds up.

        wallets: Every wallet.
    """

    def __init__(self) -> None:
        self.found: list[Violation] = []
        self.orders: dict[str, Shadow] = {}
        self.wallets: Mapping[str, Outgoing] = {}
        self._kept: dict[str, Shadow] = {}

    def outgoing(self, order_id: str) -> Outgoing | None:
        """
        Return the order, or the wallet, with an id; `None` if there is none.
        """
        return self.orders.get(order_id) or self.wallets.get(order_id)

    def keep(self) -> None:
        """
        Remember what is known of each order: a backup is taken.
        """
        self._kept = _copied(self.orders)

    def put_back(self) -> None:
        """
        Know what was known when the backup was taken.
        """
        self.orders.clear()
        self.orders.update(_copied(self._kept))
        for shadow in self.orders.values():
            # Whoever had claimed something is gone; it is claimed anew.
            shadow.tokens.clear()

    def fail(self, invariant: str, text: str, order_id: str = "") -> None:
        """
        Note that something does not hold.
        """
        self.found.append(Violation(invariant=invariant, text=text, order_id=order_id))


def _copied(orders: dict[str, Shadow]) -> dict[str, Shadow]:
    # What stands, and the rules, are never changed, only replaced.
    known = {
        id(one): one
        for shadow in orders.values()
        for one in (shadow.standing, shadow.process)
        if one is not None
    }
    return deepcopy(orders, known)


def hash_of(head: bytes, order_id: str, event: NewEvent | StoredEvent) -> bytes:
    """
    Return the hash an event must have, written once more: SHA-256 of the hash before
    it, of what it is called and when, and of what it says.
    """
    digest = hashlib.sha256(head)
    for field in (
        order_id,
        event.seq,
        event.name,
        event.effective_at,
        event.recorded_at,
        int(event.settles),
    ):
        digest.update(f"{field}\x1f".encode())
    digest.update(event.body)
    return digest.digest()
