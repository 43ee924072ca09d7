"""
The time machine: a clock that ticks as the wall does, and can be sent ahead.
"""

from __future__ import annotations

from datetime import timedelta
from typing import final

from pendulum import DateTime

from escrowflow.clock import Clock


@final
class TimeMachine:
    """
    What time it is for the whole marketplace.  Like any clock, it never goes back.

    Implements: `escrowflow.clock.Clock`

    Args:
        wall: The clock that ticks: a `SystemClock`; in a test a `FakeClock`.

        ahead: How far before the wall it is; negative while the past is made up.
    """

    def __init__(self, wall: Clock, ahead: timedelta = timedelta()) -> None:
        self._wall = wall
        self.ahead = ahead

    def now(self) -> DateTime:
        """
        Return the current instant, in UTC.
        """
        return self._wall.now() + self.ahead

    def advance(self, window: timedelta) -> None:
        """
        Let time pass.
        """
        self.ahead += max(window, timedelta())

    def advance_to(self, instant: DateTime) -> None:
        """
        Let time pass until an instant; nothing happens if it has passed.
        """
        self.advance((instant - self.now()).as_timedelta())
