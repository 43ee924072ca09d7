"""
The storm: people act, workers work, time passes, and everything goes wrong that may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, final

from ...engine.driving import undriven
from ...parties import Provider
from .crowd import Crowd
from .hosting import Hosts
from .restoring import Keeper
from .shadow import Said
from .tape import GoneError
from .withdrawing import Owners
from .world import ASTRAY_MAX, DAY, HOUR, LEASE, MINUTE, SECOND, SKEW_MAX, Task, World

__all__ = ["Storm"]

_TASKS_MAX: Final = 12

_FREEZE: Final = 60 * DAY

# By workload, how time passes: by seconds, beyond a lease, by hours, to a deadline, by
# days, by two months.
_PACES: Final[Mapping[str, tuple[int, ...]]] = {
    "aimed": (25, 14, 10, 45, 3, 1),
    "plain": (30, 20, 30, 10, 5, 1),
    "hostile": (40, 20, 20, 15, 3, 1),
    "slow": (60, 25, 10, 5, 0, 0),
    "crowd": (25, 20, 12, 38, 3, 1),
}


@final
class Storm:
    """
    What happens to a world, step by step.
    """

    def __init__(self, world: World, hosts: Hosts) -> None:
        self._world = world
        self._crowd = Crowd(world, hosts)
        self._keeper = Keeper(world, hosts)
        self._owners = Owners(world, hosts)

    def passes(self) -> None:
        """
        Let the storm pass; it ends with the first thing that does not hold.
        """
        for node in self._world.nodes:
            self._world.tape.section(f"clock {node.name}")
            if self._world.goes_wrong("clock skew", 1000):
                node.wrong = self._world.tape.choose("skew", 2 * SKEW_MAX) - SKEW_MAX
        for node in self._world.nodes[1:]:
            self._world.tape.section(f"old {node.name}")
            if self._world.goes_wrong("rules changed", 300):
                # An old worker beside new ones: it knows only what there was.
                self._world.age(node)
            self._world.tape.section(f"astray {node.name}")
            if self._world.goes_wrong("clock astray", 200):
                aside = self._world.tape.choose("astray", 2 * ASTRAY_MAX) - ASTRAY_MAX
                node.wrong, node.astray = aside, True
        for number in range(1, self._world.setting.steps + 1):
            if (
                self._world.without.steps is not None
                and number not in self._world.without.steps
            ):
                continue
            self._world.step = number
            self._world.tape.section(f"step {self._world.step}")
            with suppress(GoneError):
                self._one()
            if self._world.auditor.found:
                return
        self._world.storming = False

    def _one(self) -> None:
        """
        Take one step of the storm.
        """
        ready = [task for task in self._world.tasks if task.wakes_at <= self._world.now]
        crowded = len(self._world.tasks) >= _TASKS_MAX
        hot = self._world.hot > 0
        if hot:
            self._world.hot -= 1
        slow = self._world.workload == "slow"
        weights = (
            (30 + 6 * len(ready)) if ready else 0,
            0 if crowded else (60 if hot else 20),
            0 if crowded else 9,
            1 if hot else (12 if slow else 5),
            3 if self._world.auditor.orders else 0,
            6 if self._world.mail else 0,
            2 if self._world.storage.late else 0,
            2 if ready else 0,
            2 if "storage restored" in self._world.rates else 0,
            2 if self._moves_rules() else 0,
            self._wallets_used(),
            6 if self._world.withdraws and self._owners.are_there else 0,
        )
        what = self._world.tape.weighted("what", (*weights, 1))
        if what == 0:
            self._go_on(ready)
        elif what == 1:
            self._crowd.acts()
        elif what == 2:
            self._work()
        elif what == 3:
            self._pass_time()
        elif what == 4:
            self._bank()
        elif what == 5:
            self._post()
        elif what == 6:
            self._world.say("a commit arrives")
            self._world.arrive()
        elif what == 7:
            self._hinder(ready)
        elif what == 8:
            self._keeper.acts()
        elif what == 9:
            self._crowd.migrates()
        elif what == 10:
            self._crowd.uses_wallet()
        elif what == 11:
            self._owners.act()
        else:
            self._jump()

    def _wallets_used(self) -> int:
        """
        Return how often wallets are used, next to all the rest: as long as an order
        waits for its payment, often.
        """
        world = self._world
        if not world.has_wallets:
            return 0
        orders = world.auditor.orders.values()
        return 15 if any(one.state == "awaiting_payment" for one in orders) else 1

    def _moves_rules(self) -> bool:
        world = self._world
        return "rules changed" in world.rates and bool(world.auditor.orders)

    def _go_on(self, ready: Sequence[Task]) -> None:
        """
        Let somebody go on: one call further, or several in a row.
        """
        task = self._world.tape.pick("task", ready)
        for _ in range((1, 2, 4, 64, 64)[self._world.tape.choose("calls", 5)]):
            if not self._world.advance(task):
                self._world.tasks.remove(task)
                return
            if self._world.auditor.found:
                return

    def _work(self) -> None:
        """
        Let a worker begin a round of what there is to do.
        """
        node = self._world.tape.pick("node", self._world.nodes)
        bare = self._world.bare(node)
        limit = self._world.tape.pick("limit", (1, 3, 50))
        if self._world.has_wallets and self._world.tape.chance("debits", 200):
            wallets = undriven(self._world.wallets(node))
            asking = wallets.run_due(self._world.engine(node), limit)
            self._world.begin(f"debits {node.name}", node, asking)
        elif self._world.tape.choose("which", 3) == 0 or node.astray:
            self._world.begin(f"timer {node.name}", node, bare.run_due(limit))
        else:
            asking = bare.run_effects(self._world.handlers(node), limit=limit)
            self._world.begin(f"outbox {node.name}", node, asking)

    def _pass_time(self) -> None:
        tape = self._world.tape
        how = tape.weighted("how", _PACES[self._world.workload])
        if how == 3 and self._to_deadline():
            return
        passed = (
            1 + tape.choose("seconds", 30 * SECOND),
            LEASE + 1 + tape.choose("lease", 3 * MINUTE),
            (1 + tape.choose("hours", 12)) * HOUR,
            (1 + tape.choose("minutes", 50)) * MINUTE,
            (1 + tape.choose("days", 6)) * DAY,
            _FREEZE,
        )[how]
        self._world.now += passed
        if how == 5:
            self._world.count["frozen for 60 days"] += 1
        self._world.say(f"{passed} microseconds pass")
        self._world.auditor.moving.moves()

    def _to_deadline(self) -> bool:
        """
        Go to the next deadline of an order, a microsecond more or less.
        """
        tape = self._world.tape
        coming = [
            (shadow.armed(wait), order_id, wait.name)
            for order_id, shadow in self._world.auditor.orders.items()
            for wait in shadow.waits()
            if shadow.armed(wait) > self._world.now + 1
        ]
        if not coming:
            return False
        order = tape.pick("order", sorted({order_id for _, order_id, _ in coming}))
        first = min(one for one in coming if one[1] == order)
        aside = tape.choose("aside", 3) - 1
        # What counts is the clock of the node that is asked.
        node = self._world.pinned = tape.pick("node", self._world.nodes)
        self._world.now = max(self._world.now, first[0] + aside - node.wrong)
        self._world.focus, self._world.hot = order, 4
        self._world.say(f"it is {aside} microseconds to {first[2]} of {order}")
        return True

    def _jump(self) -> None:
        """
        Let a clock be set, wrongly.

        Not for long: where money is sent a clock that is wrong by hours is an alarm, not
        a fault to live with (the margins of a gateway's windows are minutes).
        """
        if self._world.goes_wrong("clock jump", 700):
            right = [node for node in self._world.nodes if not node.astray]
            node = self._world.tape.pick("node", right)
            aside = self._world.tape.choose("jump", 2 * SKEW_MAX) - SKEW_MAX
            node.wrong = aside
            self._world.say(f"the clock of {node.name} is set to be {aside} wrong")

    def _hinder(self, ready: Sequence[Task]) -> None:
        """
        Stop somebody between two calls: for longer than his lease, or for good.
        """
        task = self._world.tape.pick("task", ready)
        if self._world.goes_wrong("paused", 600):
            task.wakes_at = (
                self._world.now + LEASE + 1 + self._world.tape.choose("pause", HOUR)
            )
            self._world.count["paused past its lease"] += 1
            self._world.say(f"{task.name}: paused")
            if self._world.tape.chance("until then", 700):
                self._world.now = task.wakes_at
                self._world.auditor.moving.moves()
        elif self._world.goes_wrong("killed before", 400):
            self._world.tasks.remove(task)
            task.asking.close()
            self._world.died(task)

    def _bank(self) -> None:
        """
        Let the gateway end what is under way, have money come back, take a payment back.
        """
        tape, gateway = self._world.tape, self._world.gateway
        applied = gateway.applied
        pending = [one for one in applied if one.status == "pending"]
        paid = [one for one in applied if one.status == "paid" and one.kind != "charge"]
        if pending and tape.chance("finish", 600):
            one = tape.pick("which", pending)
            gateway.finish(one.reference, paid=tape.chance("paid", 700))
            self._world.say(f"{one.kind} is finished")
        elif paid and self._world.goes("gateway bounce"):
            gateway.bounce(tape.pick("which", paid).reference)
            self._world.say("money comes back")
        elif self._world.payments and self._world.goes("gateway chargeback"):
            self._take_back()
        self._world.hear()

    def _take_back(self) -> None:
        tape = self._world.tape
        taken = {
            line.part: line.reference
            for line in self._world.gateway.statement()
            if line.kind == "chargeback" and line.status == "opened"
        }
        gone = {
            line.part
            for line in self._world.gateway.statement()
            if line.kind != "payment"
        }
        free = [one for one in sorted(self._world.payments) if one not in gone]
        if taken and tape.chance("decide", 500):
            reference = tape.pick("which", sorted(taken.values()))
            self._world.gateway.close_chargeback(reference, won=tape.chance("won", 400))
            self._world.say("a bank decides")
        elif free:
            payment = tape.pick("payment", free)
            self._world.gateway.charge_back(payment)
            shadow = self._world.auditor.orders.get(self._world.payments[payment][0])
            state = "" if shadow is None else shadow.state
            self._world.count[f"chargeback {state}".rstrip()] += 1
            self._world.say("a bank takes a payment back")

    def _post(self) -> None:
        """
        Deliver something the provider says: in any order, and perhaps again.
        """
        order_id, command = self._world.mail[
            self._world.tape.choose("letter", len(self._world.mail))
        ]
        if not self._world.goes("webhook twice"):
            self._world.mail.remove((order_id, command))
        self._world.told.append((order_id, command))
        node = self._world.tape.pick("node", self._world.nodes)
        # A webhook is sent again until it is heard, so it needs no key; ours has one
        # so that whoever delivers it may die.
        said = Said(order_id, Provider("bank"), command, f"mail-{self._world.step}")
        self._world.say(f"provider says {command.name} of {order_id}")
        self._world.submit(said, node)
