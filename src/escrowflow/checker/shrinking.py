"""
Shrinking: the story of a trap, in whole days.

The checker moves at once, or in the last microsecond before a deadline.  Where that is
not what the trap is about, its story is told better: delivered on day 62, changes
requested on day 75.  Whatever is told is played again, with the code that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
from pendulum import DateTime

from ..decisions import Refusal, decide, next_due, options, place
from ..events import Recorded
from ..order import Order
from ..parties import Role
from .configurations import SAYINGS
from .exploring import START, people, settled
from .stories import Step, Story

__all__ = ["shrunk"]

_DAY: Final = timedelta(days=1)

# Later days are not tried.
_DAYS_MAX: Final = 400


def shrunk(story: Story, party: Role) -> Story:
    """
    Return the same loss with its moves on whole days: the latest first, each on the
    earliest day on which the party still loses the same way.

    A story stays as it is if the party could do anything after its own last move: then
    the last microsecond may be what the trap is about.
    """
    for number in reversed(range(len(story.steps))):
        before = story.steps[number - 1].at if number else START
        for at in _days(before, story.steps[number].at):
            moved = attrs.evolve(story.steps[number], at=at)
            steps = (*story.steps[:number], moved, *story.steps[number + 1 :])
            again = _Play(story, party).played(steps)
            if again is not None:
                story = again
                break
    return story


def _days(first: DateTime, last: DateTime) -> Sequence[DateTime]:
    """
    Return the whole days after the beginning from one instant on, and before another.
    """
    # Rounded up, both: a day that has begun is not whole any more.
    since, until = (
        -(datetime.__sub__(START, instant) // _DAY) for instant in (first, last)
    )
    until = min(until, _DAYS_MAX)
    return [datetime.__add__(START, number * _DAY) for number in range(since, until)]


class _Play:
    """
    A story played again at other instants.
    """

    def __init__(self, story: Story, party: Role) -> None:
        self.story = story
        self.process = story.process
        self.person = people(story.placed)[party]
        buyer = people(story.placed)[Role.BUYER]
        placed = place(self.process, story.placed, by=buyer, order_id="o1", now=START)
        assert placed.order is not None
        self.order: Order = placed.order
        self.history: list[Recorded] = list(placed.recorded)

    def played(self, steps: tuple[Step, ...]) -> Story | None:
        """
        Return the story with other steps; `None` if it is another one then.
        """
        mine = [n for n, step in enumerate(steps) if step.by == self.person]
        last = max(mine, default=-1)
        if last < 0 and not self._helpless():
            return None
        for number, step in enumerate(steps):
            if not self._waited(step.at, watching=number > last):
                return None
            answer = decide(
                self.process, self.order, step.command, by=step.by, now=step.at
            )
            if isinstance(answer, Refusal):
                return None
            self.order = answer.order
            self.history += answer.recorded
            self._settle(step.at)
            if number >= last and not self._helpless():
                return None
        if not self._waited(self.story.until, watching=True) or not self._same():
            return None
        assert self.order.closed_at is not None
        return attrs.evolve(
            self.story,
            steps=steps,
            until=max(steps[-1].at, self.order.closed_at),
            history=tuple(self.history),
            order=self.order,
        )

    def _waited(self, until: DateTime, *, watching: bool) -> bool:
        """
        Let time pass, but no further than the end of the order; return whether the
        party had nothing to do meanwhile, if it is watched.
        """
        while self.order.ending is None:
            due = next_due(self.process, self.order)
            if due is None or due[0] > until:
                break
            self._settle(due[0])
            if watching and not self._helpless():
                return False
        return True

    def _settle(self, now: DateTime) -> None:
        found = settled(self.process, self.order, now)
        self.order = found.order
        self.history += found.recorded

    def _helpless(self) -> bool:
        """
        Whether the party can do nothing here, and will not be able to by waiting.
        """
        if self.order.ending is not None:
            return True
        now = self.order.effective_at
        for option in options(self.process, self.order, by=self.person, now=now):
            if option.command in SAYINGS:
                continue
            if option.allowed or any(one.unblocked_at for one in option.blockers):
                return False
        return True

    def _same(self) -> bool:
        """
        Whether the same things happened, in the same order, to the same end: no other
        deadline ran out on anybody.
        """
        mine, its = self.order, self.story.order
        return (
            mine.ending == its.ending
            and mine.ledger == its.ledger
            and [one.event.name for one in self.history]
            == [one.event.name for one in self.story.history]
        )
