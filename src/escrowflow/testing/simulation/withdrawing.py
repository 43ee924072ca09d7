"""
The owners of wallets: what they have paid out to them, and what others try with it.

A wallet has no roles: whoever asks it for something is the host, who vouches for whom he
speaks.  What others can try is to take a wallet for an order, to use somebody's key in a
wallet of their own, and to tell a wallet of what another one sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, final

from ...commands import CancelOrder, ReportPayout
from ...money import Money
from ...parties import Actor, Buyer, Operator, Provider, Seller
from ...wallet import PREFIX
from .hosting import Hosts
from .shadow import Said, Withdrawal
from .world import Node, World

__all__ = ["Owners"]

# What a withdrawal is instead of a command: it is never sent.
_NOTHING: Final = ReportPayout(key="-", status="sent")

_STRANGER: Final = "eve"

_ROLES: Final[tuple[type[Actor], ...]] = (Buyer, Seller, Operator)

_STATUSES: Final[tuple[Literal["paid", "failed"], ...]] = ("paid", "failed")


@final
class Owners:
    """
    Those who have wallets, in a world.
    """

    def __init__(self, world: World, hosts: Hosts) -> None:
        self._world = world
        self._hosts = hosts
        # What was asked for under which key: the key, and the wallet.
        self._asked: list[tuple[str, str]] = []

    @property
    def are_there(self) -> bool:
        """
        Whether anybody has a wallet.
        """
        return bool(self._wallets())

    def act(self) -> None:
        """
        Let somebody withdraw, or somebody else try to.
        """
        tape, world = self._world.tape, self._world
        node = tape.pick("node", world.nodes)
        full = [one for one in self._wallets() if self._has(one)]
        if tape.chance("attack", 120):
            self._attacks(node)
            return
        # Whoever has nothing may ask as well.
        among = full if full and tape.chance("full", 900) else self._wallets()
        wallet_id = tape.pick("wallet", among)
        has = self._has(wallet_id)
        how = tape.weighted("how", (50, 30, 15, 5))
        if how == 0 and has:
            amount = 1 + tape.choose("share", has)
        elif how <= 1 and has:
            amount = has
        elif how == 3 and has:
            # All of it, twice at once, and not under the same key.
            self._asks(wallet_id, has, f"withdraw-{world.step}-b", node)
            amount = has
        else:
            amount = has + 1 + tape.choose("more", 1000)
        key = f"withdraw-{world.step}"
        if self._asked and tape.chance("key again", 60):
            # The same key, perhaps for something else.
            key, wallet_id = tape.pick("asked", self._asked)
        for _ in range(1 + (tape.choose("clicks", 3) == 0)):
            self._asks(wallet_id, amount, key, node)

    def _wallets(self) -> Sequence[str]:
        """
        Return the ids of all wallets; one that bars an order's id is nobody's.
        """
        ids = self._world.auditor.purses.ids
        return [one for one in ids if one.startswith(PREFIX)]

    def _has(self, wallet_id: str) -> int:
        return self._world.auditor.purses.balance(wallet_id)

    def _asks(self, wallet_id: str, amount: int, key: str, node: Node) -> None:
        owner = wallet_id.removeprefix(PREFIX)
        wanted = Withdrawal(amount=Money(amount, "EUR"), payee_id=f"bank-{owner}")
        self._asked.append((key, wallet_id))
        self._world.say(f"{owner} withdraws")
        said = Said(wallet_id, Buyer(owner), _NOTHING, key, withdraws=wanted)
        self._hosts.gives(said, node)

    def _attacks(self, node: Node) -> None:
        """
        Let somebody try what is none of his business.
        """
        tape, world = self._world.tape, self._world
        victim = tape.pick("victim", self._wallets())
        others = [one for one in self._wallets() if one != victim]
        others.append(f"{PREFIX}{_STRANGER}")
        other = tape.pick("other", others)
        how = tape.choose("attack", 4)
        sent = world.auditor.purses.under_way(victim)
        if how == 0:
            # He takes it for an order.
            name = tape.pick("as", (victim.removeprefix(PREFIX), _STRANGER))
            kind = tape.pick("role", _ROLES)
            world.say(f"{kind.role.text} takes a wallet for an order")
            world.submit(Said(victim, kind(name), CancelOrder(), None), node)
        elif how == 1 and sent:
            # He tells his own of what another one has sent.
            status = tape.pick("status", _STATUSES)
            told = ReportPayout(key=tape.pick("key", sent), status=status)
            world.say("a wallet is told of what another one sent")
            world.submit(Said(other, Provider("bank"), told, None), node)
        elif how == 2 and self._asked:
            # He uses a key that somebody else has used.
            key, _ = tape.pick("asked", self._asked)
            self._asks(other, max(1, self._has(other)), key, node)
        else:
            self._asks(f"{PREFIX}{_STRANGER}", 1, f"withdraw-{world.step}", node)
