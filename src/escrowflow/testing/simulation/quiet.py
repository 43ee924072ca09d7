"""
The quiet: nothing goes wrong any more, and nobody acts but workers, time and, once these
have come to rest, the human who looks after what `stuck()` lists.

Everything has to come to rest: that is where money shows that is lost, doubled or stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from ...clock import to_micros
from ...commands import (
    Command,
    RedirectPayout,
    ReportCharge,
    ReportPayout,
    ReportRefund,
)
from ...effects import Charge, NotDone, PayOut, Refund, Withdraw
from ...errors import EscrowflowError
from ...history import evolve
from ...order import Order
from ...parties import Actor, Operator, Provider
from ...payments import reconcile
from ...payments.wallets import Wallets
from ...storage import StoredEvent
from ...wallet import FINGERPRINT, PREFIX
from ...worker import Worker
from .evidence import Evidence
from .hosting import Hosts
from .shadow import Said
from .world import LEASE, MINUTE, World

__all__ = ["Quiet"]

# More rounds than anything can need that comes to rest at all.
_ROUNDS_MAX: Final = 3000

# So often a human looks at what is stuck.
_LOOKS: Final = 4

# No request to a gateway is on its way for longer.
_ON_ITS_WAY: Final = 3 * MINUTE

_PAGE: Final = 500

# The lines of a statement that tell of withdrawals.
_SIGNS: Final[Mapping[str, int]] = {"withdrawn": 1, "withdrawal_failed": -1}

_REPORTS: Final[Mapping[str, Any]] = {
    Refund.name: ReportRefund,
    PayOut.name: ReportPayout,
    Withdraw.name: ReportPayout,
    Charge.name: ReportCharge,
}


@final
class Quiet:
    """
    What becomes of a world that is left alone.
    """

    def __init__(self, world: World, hosts: Hosts) -> None:
        self._world = world
        self._hosts = hosts
        self._auditor = world.auditor
        self._engine = world.engine(world.nodes[0])
        self._wallets = Wallets(world.storage, clock=world.nodes[0])
        self._worker = Worker(
            self._engine,
            self._watched(),
            wallets=self._wallets if world.has_wallets else None,
        )
        self._tried: set[str] = set()
        # How much had happened when the provider's letters were delivered last.
        self._told = -1

    def comes(self) -> int:
        """
        Let everything come to rest; return how many things still need a human.
        """
        world = self._world
        world.step = world.setting.steps + 1
        world.tape.section("quiet")
        if any(not one.ended for one in self._auditor.orders.values()):
            world.count["quiet with an order that runs"] += 1
        for node in world.nodes:
            node.wrong = 0
        if world.restored_at is not None:
            # A backup was put back, by a clock that was fast: its instant is over now.
            world.now = max(world.now, to_micros(world.restored_at) + 1)
        while world.storage.late:
            world.arrive()
        # Whoever was only slow gets to the end.
        world.finish()
        world.healed = True
        self._heal()
        for _ in range(_LOOKS):
            self._rests()
            self._is_listed()
            if self._auditor.found or not self._looked_after():
                break
        if not self._auditor.found:
            self._has_ended()
        scarred = self._auditor.moving.scarred()
        return sum(
            one.order_id not in scarred for one in self._engine.stuck(limit=1000)
        )

    def _watched(self) -> Mapping[Any, Any]:
        """
        Return what carries effects out, with the oracles beside it.
        """

        def watched(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def carry_out(effect: Any) -> Any:
                self._auditor.moving.calls(effect)
                answer = handler(effect)
                self._auditor.moving.moves()
                if isinstance(answer, NotDone) and not answer.again:
                    self._world.refused.add(effect.key)
                return answer

            return carry_out

        found = self._world.handlers(self._world.nodes[0])
        return {kind: watched(handler) for kind, handler in found.items()}

    def _heal(self) -> None:
        """
        Have the bank decide everything that is open, and the provider tell it.
        """
        gateway, tape = self._world.gateway, self._world.tape
        gateway.heal()
        for one in gateway.applied:
            if one.status == "pending":
                gateway.finish(one.reference, paid=tape.chance("paid", 800))
        for line in gateway.statement():
            if line.kind == "chargeback" and line.status == "opened":
                gateway.close_chargeback(line.reference, won=tape.chance("won", 500))
        self._world.hear()
        self._tell()

    def _tell(self) -> None:
        """
        Deliver all letters, and those that were refused once more as soon as anything
        has happened: each until it is heard, or makes no sense.
        """
        world = self._world
        while world.mail or self._versions() != self._told:
            self._told = self._versions()
            world.mail, world.unheard = [*world.unheard, *world.mail], []
            while world.mail:
                self._report(*world.mail.pop(0))

    def _report(self, order_id: str, command: Command, by: Actor | None = None) -> None:
        by = Provider("bank") if by is None else by
        self._world.submit(Said(order_id, by, command, None), self._world.nodes[0])
        self._world.finish()

    def _rests(self) -> None:
        """
        Let workers and time do what there is to do, until nothing is: I11.
        """
        world = self._world
        for _ in range(_ROUNDS_MAX):
            before = self._versions()
            try:
                report = self._worker.run_once()
            except EscrowflowError as error:
                kind = type(error).__name__
                self._auditor.fail("I11", f"a worker ends with {kind}")
                return
            world.hear()
            self._tell()
            if self._auditor.found:
                return
            if self._versions() > before or report.effects.handled:
                continue
            due = self._engine.next_due_at()
            ready = world.inner.next_effect(world.now, world.now + LEASE)
            coming = [] if due is None else [to_micros(due)]
            debit = world.inner.next_due(world.now, world.now + LEASE, (FINGERPRINT,))
            if debit is not None:
                coming.append(debit)
            if ready is not None:
                coming.append(ready)
            if not coming:
                return
            world.now = max(world.now + 1, min(coming))
            world.say("time goes by")
        self._auditor.fail("I11", "it does not come to rest")

    def _versions(self) -> int:
        orders = sum(shadow.version for shadow in self._auditor.orders.values())
        return orders + self._auditor.purses.versions

    def _is_listed(self) -> None:
        """
        I12: whatever is not done is listed, with a reason.
        """
        listed = {(one.order_id, one.key) for one in self._engine.stuck(limit=1000)}
        for order_id, outgoing in self._auditor.outgoing():
            rows = {row.key: row for row in self._world.inner.effects(order_id)}
            if set(rows) != set(outgoing.rows):
                self._auditor.fail("I12", "effects were dropped, or came up", order_id)
            for key, row in rows.items():
                if row.status != "done" and (order_id, key) not in listed:
                    self._auditor.fail(
                        "I12", f"{row.kind} is {row.status}, and nobody knows", order_id
                    )
            for owed in self._auditor.moving.unpaid(order_id):
                if (order_id, owed.key) not in listed:
                    self._auditor.fail(
                        "I12",
                        f"{owed.kind} of {owed.amount} is owed, and nobody knows",
                        order_id,
                    )

    def _looked_after(self) -> bool:
        """
        Do what a human does about what is stuck; false if there was nothing to do.
        """
        done = False
        stuck = self._engine.stuck(limit=1000)
        if stuck:
            # He looks at what is there once nothing is on its way any more (F30).
            self._world.now += _ON_ITS_WAY
            self._auditor.moving.moves()
        for one in stuck:
            report = _REPORTS.get(one.kind)
            first = one.key not in self._tried
            moved = self._auditor.moving.moved(one.order_id, one.key)
            self._tried.add(one.key)
            if report is None or (one.key in self._world.refused and first):
                if one.kind == PayOut.name and self._redirects(one.order_id, one.key):
                    done = True
                else:
                    # Its cause was removed: it is tried once more.
                    key = one.key or None
                    done |= self._engine.redrive(one.order_id, key) > 0
            elif moved is not None:
                # It is there: that is said, as the provider would have.
                said = report(key=one.key, status="paid", reference=moved)
                self._report(one.order_id, said)
                done = True
            elif one.key not in self._world.refused or self._doubts(one.reason):
                said = report(
                    key=one.key, status="failed", reason="not there", again=True
                )
                self._report(one.order_id, said)
                done = True
        return done

    @staticmethod
    def _doubts(reason: str) -> bool:
        """
        Whether nobody could say what became of it: then he is asked to look, also where
        it had been refused, and the answer was lost.
        """
        return reason.startswith(("nobody can say", "under way since"))

    def _redirects(self, order_id: str, key: str) -> bool:
        """
        Have somebody else paid, because the account is closed.
        """
        if RedirectPayout.name not in self._world.process.commands:
            return False
        command = RedirectPayout(key=key, payee_id="heir", reason="canary")
        self._report(order_id, command, Operator("ops"))
        return True

    # --- at the end ---------------------------------------------------------------

    def _has_ended(self) -> None:
        """
        Hold everything against what it must have come to.
        """
        scarred = self._auditor.moving.scarred()
        for order_id, shadow in self._auditor.orders.items():
            if not shadow.version:
                continue
            gaps = {
                str(gap.where)
                for gap in shadow.process.gaps
                if gap.code == "no_timed_exit"
            }
            if not (shadow.process.ended(shadow.state) or shadow.state in gaps):
                self._auditor.fail("I11", f"it rests in {shadow.state}", order_id)
            self._is_kept(order_id)
            if order_id in scarred:
                self._is_reported(order_id)
                continue
            for owed in self._auditor.moving.unpaid(order_id):
                if owed.key not in self._world.refused:
                    self._auditor.fail(
                        "I6", f"{owed.kind} of {owed.amount} is never paid", order_id
                    )
            self._auditor.moving.closes(order_id)
        self._hosts.holds()
        self._auditor.purses.closed()
        for wallet_id in self._auditor.purses.ids:
            self._has_settled(wallet_id, scarred=wallet_id in scarred)
        if not self._auditor.found:
            Evidence(self._world, self._engine).holds()

    def _has_settled(self, wallet_id: str, *, scarred: bool) -> None:
        """
        I11, I15, I30, I35: nothing of a wallet is on its way any more, it is what was
        committed, and what the gateway paid out of it is what its books say.
        """
        for fault in self._engine.verify(wallet_id).faults:
            self._auditor.fail("I15", fault.problem, wallet_id)
        loaded = self._world.inner.load(wallet_id)
        if (loaded.version, loaded.head) != self._auditor.purses.head(wallet_id):
            self._auditor.fail("I35", "a wallet is not what was committed", wallet_id)
        if not wallet_id.startswith(PREFIX):
            # The id of an order that is barred: it has no money, and no statement.
            if scarred:
                self._is_reported(wallet_id)
            return
        told = self._differs(wallet_id)
        if scarred:
            # What was paid for a reason that is lost is for whoever holds the report of
            # the gateway against the wallets.
            self._world.count["withdrawn for a reason that was lost"] += 1
            if any(self._auditor.moving.differences(wallet_id)) and not told:
                self._auditor.fail("I30", "nobody tells what differs", wallet_id)
            return
        if told:
            self._auditor.fail(
                "I30", f"the statement is {told} off that of the gateway", wallet_id
            )
        for owed in self._auditor.moving.unpaid(wallet_id):
            self._auditor.fail(
                "I11", f"{owed.amount} are withdrawn for ever", wallet_id
            )
        self._auditor.moving.agrees(wallet_id)

    def _differs(self, wallet_id: str) -> int:
        """
        Return by how much more a wallet says it has paid out than the gateway says, as a
        host finds it who holds one against the other.
        """
        user_id = wallet_id.removeprefix(PREFIX)
        ours, after = -self._wallets.wallet(user_id).leaving("EUR").minor, None
        while True:
            page = self._wallets.statement(user_id, "EUR", after=after, limit=_PAGE)
            for line in page.items:
                ours += _SIGNS.get(line.kind, 0) * line.amount.minor
            after = page.after
            if after is None:
                break
        return ours - sum(
            line.amount.minor
            for line in self._world.gateway.statement()
            if (line.kind, line.order_id, line.status)
            == (PayOut.name, wallet_id, "paid")
        )

    def _is_reported(self, order_id: str) -> None:
        """
        I30: what differs because its reason was lost is found by reconciling.
        """
        self._world.count["moved for a reason that was lost"] += 1
        report = self._world.gateway.statement()
        if any(self._auditor.moving.differences(order_id)) and not any(
            found.order_id == order_id for found in reconcile(report, self._engine)
        ):
            self._auditor.fail("I30", "nobody tells what differs", order_id)

    def _is_kept(self, order_id: str) -> None:
        """
        I13 to I15, I35: what is stored is what was committed, and adds up to itself.
        """
        shadow = self._auditor.orders[order_id]
        stored: list[StoredEvent] = []
        while page := self._world.inner.events(order_id, len(stored), _PAGE):
            stored += page
        if [event.hash for event in stored] != shadow.hashes:
            self._auditor.fail("I13", "the history is not what was committed", order_id)
        for fault in self._engine.verify(order_id).faults:
            self._auditor.fail("I15", fault.problem, order_id)
        order: Order | None = None
        for recorded in self._engine.history(order_id):
            order = evolve(order, recorded)
        assert order is not None
        accounts = ("escrow", "refundable", "buyer", "payable", "seller", "fee")
        ours, theirs = (
            tuple(getattr(books, name) for name in accounts)
            for books in (shadow, order.ledger)
        )
        if ours != theirs:
            self._auditor.fail("I1", f"the books say {theirs}, not {ours}", order_id)
