"""
One seed, from the first order to the last: first the storm, then the quiet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

import attrs

from .coverage import Coverage
from .hosting import Hosts
from .quiet import Quiet
from .shadow import Violation
from .storm import Storm
from .tape import Choice, Tape
from .world import Setting, Without, World

__all__ = ["Ran", "run"]


@final
@attrs.frozen(kw_only=True)
class Ran:
    """
    What became of one seed.

    Attributes:
        violations: What did not hold; the run ends at the first.

        stuck: How many things still needed a human after one had looked after them.

        trace: A hash of everything that happened: the same for ever.

        histories: A hash of what all orders came to: the same on every storage.

        last: The last steps, a line each.

        script: Every step that did something, a line each, by its number.

        coverage: What came up.

        told: The story of an order by its id.

        faults: The faults that were on.

        choices: Every choice that was made, by section.
    """

    seed: int
    violations: tuple[Violation, ...]
    stuck: int
    trace: str
    histories: str
    last: tuple[str, ...]
    script: Mapping[int, str]
    coverage: Coverage
    told: Mapping[str, str]
    faults: frozenset[str]
    choices: Mapping[str, Sequence[Choice]]


def run(
    setting: Setting,
    seed: int,
    without: Without | None = None,
    replay: Mapping[str, Sequence[Choice]] | None = None,
) -> Ran:
    """
    Run one seed.

    Args:
        replay: The choices of an earlier run, made again.
    """
    world = World(setting, Tape(seed, replay=replay), without or Without())
    hosts = Hosts(world)
    stuck = 0
    with _quietly():
        try:
            Storm(world, hosts).passes()
            if not world.auditor.found:
                stuck = Quiet(world, hosts).comes()
            told = {
                found.order_id: world.story(found.order_id)
                for found in world.auditor.found
            }
            histories = world.histories()
        finally:
            hosts.close()
            world.inner.close()
    return Ran(
        seed=seed,
        violations=tuple(world.auditor.found),
        stuck=stuck,
        trace=world.trace,
        histories=histories,
        last=world.diary.last,
        script=world.diary.script,
        coverage=world.coverage,
        told=told,
        faults=frozenset(world.rates),
        choices=world.tape.recorded,
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """
    Keep to ourselves what the engine logs of faults that we made.
    """
    logger = logging.getLogger("escrowflow")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        # Said, not written: the loggers below remember what they were told.
        logger.setLevel(before)
