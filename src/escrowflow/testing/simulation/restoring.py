"""
A backup is put back: the orders are what they were, and the gateway is not (F10).

What the host is told to do is done: nobody is let in, the workers run with the instant of
it (`restored_at`), and then the provider says everything again.  Some people repeat what
was lost, under the same keys.
"""

from __future__ import annotations

from typing import Final, final

import attrs

from ...clock import from_micros
from ...parties import Role
from .hosting import Hosts
from .world import MINUTE, World

__all__ = ["Keeper"]

# What was on its way to the gateway has arrived, or never will.
_OUTAGE: Final = 10 * MINUTE

_ROUNDS_MAX: Final = 100


@final
class Keeper:
    """
    Whoever keeps backups of a world.
    """

    def __init__(self, world: World, hosts: Hosts) -> None:
        self._world = world
        self._hosts = hosts
        self._kept: list[str] | None = None

    def acts(self) -> None:
        """
        Take a backup; or put the last one back.
        """
        world = self._world
        if self._kept is None or world.tape.chance("keep", 400):
            self._kept = [*world.engine(world.nodes[0], world.inner).export()]
            world.auditor.keep()
            self._hosts.keep()
            world.done.clear()
            # What is being told just now is not in it.
            world.told = [
                (said.order_id, said.command)
                for said in (task.said for task in world.tasks)
                if said is not None and said.by.role is Role.PROVIDER and not said.purse
            ]
            world.say("a backup is taken")
        elif world.goes_wrong("storage restored", 700):
            self._put_back(self._kept)

    def _put_back(self, kept: list[str]) -> None:
        world = self._world
        for task in world.tasks:
            task.asking.close()
            if task.said is not None:
                world.done.append(task.said)
        world.tasks.clear()
        world.now += _OUTAGE
        world.auditor.moving.moves()
        self._hosts.close()
        # What was asked for under a clock that is fast was asked for before, too.
        fastest = max(0, *(node.wrong for node in world.nodes))
        world.put_back(from_micros(world.now + fastest))
        node = world.nodes[0]
        world.engine(node, world.inner).restore(kept)
        world.auditor.put_back()
        self._hosts.put_back()
        world.say("a backup is put back")
        self._work_alone()
        world.mail += world.told
        world.told.clear()
        lost, world.done = world.done, []
        for said in lost:
            # Whoever sends a repeated command does not know that it is one.
            again = said.key is not None and world.tape.chance("repeats", 500)
            if again and not world.auditor.found:
                world.count["repeated what was lost"] += 1
                anew = attrs.evolve(said, commits=0, first=None, tries=0)
                world.submit(anew, world.tape.pick("node", world.nodes))

    def _work_alone(self) -> None:
        """
        Let a worker do what there is to do, before anybody else is let in.
        """
        world = self._world
        node = world.nodes[0]
        engine, handlers = world.engine(node), world.handlers(node)
        world.gateway.heal()
        storming, world.storming = world.storming, False
        for _ in range(_ROUNDS_MAX):
            if not engine.run_effects(handlers).handled:
                break
            world.auditor.moving.moves()
        world.storming = storming
