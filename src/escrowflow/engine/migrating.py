"""
Migrating: moving one order to other rules, on the record.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..decisions import Migration, migrated, migration
from ..errors import (
    CommandRefusedError,
    InvalidInputError,
    OrderChangedError,
    UnknownProcessError,
)
from ..inputs import as_id, kind_of
from ..order import seen
from ..parties import Actor, Operator, Role, as_actor
from ..states import Process
from .core import ROUNDS_MAX, Asking, Core, OrderProcess, commit
from .doubts import Doubts

__all__ = ["migrate_order"]


def migrate_order(
    core: Core,
    order_id: str,
    to: OrderProcess,
    by: Actor | None,
    consents: Iterable[Role],
    dry_run: bool,
) -> Asking[Migration]:
    """
    See `Engine.migrate`.
    """
    order_id = as_id(order_id, "order_id")
    there = _known(core, to)
    agreed = _as_consents(consents)
    staff = None if by is None and dry_run else _as_staff(by)
    doubts: Doubts[Migration] = Doubts(order_id)
    for _ in range(ROUNDS_MAX):
        loaded = yield from doubts.load(None)
        done = yield from doubts.answer(loaded)
        if done is not None:
            return done
        now = core.now()
        before = core.decoded(loaded)
        process = core.process_of(before)
        due = core.settled(process, before, now)
        report = migration(process, due.order, there, agreed)
        report = attrs.evolve(report, order=seen(due.order, now))
        if dry_run:
            return report
        if report.blockers:
            # What is due is written all the same, as with any refusal.
            if not (yield from core.written(process, loaded, before, due, now)):
                continue
            raise CommandRefusedError(report.blockers, report.order)
        assert staff is not None
        moved = migrated(process, due.order, there, consents=agreed, by=staff, now=now)
        moved = attrs.evolve(
            moved,
            recorded=(*due.recorded, *moved.recorded),
            effects=(*due.effects, *moved.effects),
        )
        report = attrs.evolve(report, order=seen(moved.order, now))
        change = core.change(there, loaded, before, moved, now)
        written = yield from commit(change)
        if written:
            return report
        if written is None:
            doubts.add(change, report)
    if doubts.changes:
        raise doubts.unknown()
    raise OrderChangedError(order_id, expected=loaded.version, actual=None)


def _known(core: Core, to: object) -> OrderProcess:
    if not isinstance(to, Process):
        raise InvalidInputError("to_process", f"a Process, not {kind_of(to)}")
    known = core.processes.get(to.fingerprint)
    if known is None:
        # Whoever reads it next must know the rules, too.
        raise UnknownProcessError(to.fingerprint)
    return known


def _as_consents(consents: object) -> Role:
    parties = Role.BUYER | Role.SELLER
    found = Role(0)
    if isinstance(consents, Role):
        consents = tuple(consents)
    if isinstance(consents, str) or not isinstance(consents, Iterable):
        raise InvalidInputError("consents", f"roles, not {kind_of(consents)}")
    for role in consents:
        if not isinstance(role, Role) or role not in parties:
            raise InvalidInputError("consents", "Role.BUYER, Role.SELLER or both")
        found |= role
    return found


def _as_staff(by: object) -> Actor:
    actor = as_actor(by)
    if not isinstance(actor, Operator):
        raise InvalidInputError("by", "only an Operator moves orders to other rules")
    return actor
