"""
The quiet: nothing goes wrong any more, and nobody acts but workers, time and, once these
have come to rest, the human who looks after what `stuck()` lists.

Everything has to come to rest: that is where money shows that is lost, doubled or stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from ...clock import to_micros
from ...commands import Command, RedirectPayout, ReportPayout, ReportRefund
from ...effects import NotDone, PayOut, Refund
from ...engine import Engine
from ...history import evolve
from ...order import Order
from ...parties import Actor, Operator, Provider
from ...worker import Worker
from .oracles import Said
from .world import LEASE, World

__all__ = ["Quiet"]

# More rounds than anything can need that comes to rest at all.
_ROUNDS_MAX: Final = 3000

# So often a human looks at what is stuck.
_LOOKS: Final = 4


@final
class Quiet:
    """
    What becomes of a world that is left alone.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._tried: set[str] = set()

    def comes(self) -> int:
        """
        Let everything come to rest; return what still needs a human.
        """
        self._world.step = self._world.setting.steps + 1
        self._world.tape.section("quiet")
        if any(not one.ended for one in self._world.auditor.orders.values()):
            self._world.count["quiet with an order that runs"] += 1
        for node in self._world.nodes:
            node.wrong = 0
        while self._world.storage.late:
            self._world.arrive()
        while self._world.tasks:
            # Whoever was only slow gets to the end.
            task = self._world.tasks.pop(0)
            while self._world.advance(task):
                pass
        self._heal()
        engine = self._world.engine(self._world.nodes[0])
        worker = Worker(engine, self._watched())
        for _ in range(4):
            self._rest(engine, worker)
            self._listed(engine)
            if self._world.auditor.found or not self._look_after(engine):
                break
        stuck = engine.stuck(limit=1000)
        if not self._world.auditor.found:
            self._ended(engine, {(one.order_id, one.key) for one in stuck})
        return len(stuck)

    def _watched(self) -> Mapping[Any, Any]:
        def watched(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def carry_out(effect: Any) -> Any:
                self._world.auditor.calls(effect)
                answer = handler(effect)
                self._world.auditor.moves()
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
        self._told()

    def _told(self) -> None:
        """
        Deliver all letters: each until it is heard.
        """
        while self._world.mail:
            order_id, command = self._world.mail.pop(0)
            said = Said(order_id, Provider("bank"), command, None)
            self._world.submit(said, self._world.nodes[0])
            while self._world.tasks:
                task = self._world.tasks.pop()
                while self._world.advance(task):
                    pass

    def _rest(self, engine: Engine, worker: Worker) -> None:
        """
        Let workers and time do what there is to do, until nothing is.
        """
        for _ in range(_ROUNDS_MAX):
            before = sum(
                shadow.version for shadow in self._world.auditor.orders.values()
            )
            report = worker.run_once()
            self._world.hear()
            self._told()
            if self._world.auditor.found:
                return
            after = sum(
                shadow.version for shadow in self._world.auditor.orders.values()
            )
            if not report.idle and (after > before or report.effects.handled):
                continue
            due = engine.next_due_at()
            now = self._world.now
            ready = self._world.inner.next_effect(now, now + LEASE)
            coming = [
                one for one in (ready, None if due is None else to_micros(due)) if one
            ]
            if not coming:
                return
            self._world.now = max(now + 1, *[min(coming)])
            self._world.say("time goes by")
        self._world.auditor.fail("I11", "it does not come to rest")

    def _listed(self, engine: Engine) -> None:
        """
        I12: whatever is not done is listed, with a reason.
        """
        listed = {(one.order_id, one.key) for one in engine.stuck(limit=1000)}
        for order_id, shadow in self._world.auditor.orders.items():
            rows = {row.key: row for row in self._world.inner.effects(order_id)}
            if set(rows) != set(shadow.rows):
                self._world.auditor.fail(
                    "I12", "effects were dropped, or came up", order_id
                )
            for key, row in rows.items():
                if row.status != "done" and (order_id, key) not in listed:
                    self._world.auditor.fail(
                        "I12", f"{row.kind} is {row.status}, and nobody knows", order_id
                    )
            for owed in self._world.auditor.unpaid(order_id):
                if (order_id, owed.key) not in listed:
                    self._world.auditor.fail(
                        "I12",
                        f"{owed.kind} of {owed.amount} is owed, and nobody knows",
                        order_id,
                    )

    def _look_after(self, engine: Engine) -> bool:
        """
        Do what a human does about what is stuck: look at the gateway, and say what is
        there; false if there is nothing to do.
        """
        done = False
        by_key = {
            one.key: one
            for one in self._world.gateway.applied
            if one.status != "failed"
        }
        for one in engine.stuck(limit=1000):
            if one.kind == "order":
                done |= engine.redrive(one.order_id) > 0
                continue
            report = {Refund.name: ReportRefund, PayOut.name: ReportPayout}.get(
                one.kind
            )
            moved = by_key.get(one.key)
            if report is None:
                done |= engine.redrive(one.order_id, one.key) > 0
            elif moved is not None:
                command: Any = report(
                    key=one.key, status="paid", reference=moved.reference
                )
                self._reported(engine, one.order_id, command)
                done = True
            elif one.key in self._world.refused:
                if one.kind == PayOut.name and self._redirects(engine, one):
                    done = True
                elif one.key not in self._tried:
                    self._tried.add(one.key)
                    done |= engine.redrive(one.order_id, one.key) > 0
            else:
                command = report(
                    key=one.key, status="failed", reason="not there", again=True
                )
                self._reported(engine, one.order_id, command)
                done = True
        return done

    def _redirects(self, engine: Engine, one: Any) -> bool:
        if (
            RedirectPayout.name not in self._world.process.commands
            or one.key in self._tried
        ):
            return False
        self._tried.add(one.key)
        command = RedirectPayout(key=one.key, payee_id="heir", reason="canary")
        self._reported(engine, one.order_id, command, by=Operator("ops"))
        return True

    def _reported(
        self, engine: Engine, order_id: str, command: Command, by: Actor | None = None
    ) -> None:
        by = Provider("staff") if by is None else by
        said = Said(order_id, by, command, None)
        self._world.submit(said, self._world.nodes[0])
        while self._world.tasks:
            task = self._world.tasks.pop()
            while self._world.advance(task):
                pass

    def _ended(self, engine: Engine, listed: set[tuple[str, str]]) -> None:
        """
        Hold everything against what it must have come to.
        """
        gaps = {
            str(gap.where)
            for gap in self._world.process.gaps
            if gap.code == "no_timed_exit"
        }
        for order_id, shadow in self._world.auditor.orders.items():
            if not shadow.version:
                continue
            if not (self._world.process.ended(shadow.state) or shadow.state in gaps):
                self._world.auditor.fail("I11", f"it rests in {shadow.state}", order_id)
            self._kept(engine, order_id)
            for owed in self._world.auditor.unpaid(order_id):
                if owed.key not in self._world.refused:
                    self._world.auditor.fail(
                        "I6",
                        f"{owed.kind} of {owed.amount} is never paid",
                        order_id,
                    )
            self._world.auditor.closes(order_id)

    def _kept(self, engine: Engine, order_id: str) -> None:
        """
        I13 to I15, I35: what is stored is what was committed, and adds up to itself.
        """
        shadow = self._world.auditor.orders[order_id]
        stored = [*self._world.inner.events(order_id, 0, 500)]
        while len(stored) % 500 == 0 and stored:
            more = self._world.inner.events(order_id, stored[-1].seq, 500)
            if not more:
                break
            stored += more
        if [event.hash for event in stored] != shadow.hashes:
            self._world.auditor.fail(
                "I13", "the history is not what was committed", order_id
            )
        for fault in engine.verify(order_id).faults:
            self._world.auditor.fail("I15", fault.problem, order_id)
        order: Order | None = None
        for recorded in engine.history(order_id):
            order = evolve(order, recorded)
        if order is None:
            return
        ledger = order.ledger
        accounts = ("escrow", "refundable", "buyer", "payable", "seller", "fee")
        ours, theirs = (
            tuple(getattr(books, name) for name in accounts)
            for books in (shadow, ledger)
        )
        if ours != theirs:
            self._world.auditor.fail(
                "I1", f"the books say {theirs}, not {ours}", order_id
            )
