"""
What events are made of: where an order stands, how it ends, what goes to whom.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias, final

import attrs
from pendulum import DateTime

from .inputs import Text
from .money import Money, Payment
from .parties import Role

__all__ = [
    "Covered",
    "Deadline",
    "Ending",
    "Estimate",
    "RefundPart",
    "Settlement",
    "Standing",
    "Talk",
]

Estimate: TypeAlias = tuple[DateTime, DateTime]


@final
@attrs.frozen(kw_only=True)
class Deadline:
    """
    One wait of one order.

    Attributes:
        name: The kind of deadline, as its process names it: `delivery`.

        due_at: The end of the wait.  The end itself counts as outside, unless
            the process says otherwise (`TimeRules.deadline_boundary`).

        subject: What it is about, where there can be several: an offer's id.

        left: The time that was left when the deadline was stopped; `None` while
            it runs, and while it runs on unheeded.

        stopped_in: The state in which it was stopped, or what of the order holds it
            (`claim`); empty while it runs.

        passed: Whether the end came and was settled.
    """

    name: str
    due_at: DateTime
    subject: str = ""
    left: timedelta | None = None
    stopped_in: str = ""
    passed: bool = False

    @property
    def runs(self) -> bool:
        """
        Whether the end is still to come.
        """
        return not self.stopped_in and not self.passed


@final
@attrs.frozen(kw_only=True)
class Talk:
    """
    Whether the two sides may write to each other.

    Attributes:
        open: Whether they may now.

        closes_at: When that ends; `None` if no end is set.
    """

    open: bool
    closes_at: DateTime | None = None


@final
@attrs.frozen(kw_only=True)
class Standing:
    """
    Where an event left the order.

    Attributes:
        state: The state.

        left: The states it was called away from, the latest last: where a
            refused request or an unfreezing goes back to.

        late: Whether the current delivery deadline passed undelivered.

        due_at: The end of this state's own window, also once it has passed.

        deadlines: All waits, running, stopped and passed; in no special order.

        conversation: Whether the two sides may write to each other.

        moved_by: The name of the deadline that led here, if it was one.

        moved_from: The state it led away from.

        moved_at: The end of that deadline.
    """

    state: str
    left: tuple[str, ...] = ()
    late: bool = False
    due_at: DateTime | None = None
    deadlines: tuple[Deadline, ...] = ()
    conversation: Talk
    moved_by: str = ""
    moved_from: str = ""
    moved_at: DateTime | None = None


@final
@attrs.frozen(kw_only=True)
class RefundPart:
    """
    What goes back on one payment.

    Attributes:
        payment: The payment it goes back to.

        amount: How much of it.

        estimate: When the buyer will see it: the earliest and the latest.
    """

    payment: Payment
    amount: Money
    estimate: Estimate


@final
@attrs.frozen(kw_only=True)
class Settlement:
    """
    A division of everything that was held; the parts add up to it.

    Attributes:
        to_buyer: What goes back, newest payment first; empty if nothing does.

        to_seller: What the seller is owed, his fee already taken.

        kept: What the platform keeps.
    """

    to_buyer: tuple[RefundPart, ...] = ()
    to_seller: Money
    kept: Money


@final
@attrs.frozen(kw_only=True)
class Ending:
    """
    Why an order ended.

    Attributes:
        cause: Why, as a stable code: `late`, `by_consent`, `silence`.

        trigger: The name of the command that ended it.

        responsible: Whose doing it was, if anybody's.

        public: Whether it shows on the seller's profile (R43).

        reason: What whoever ended it said about it.

        statistics: The figures of the seller that fall with it (R42, R116): see
            `escrowflow.statistics`.
    """

    cause: str
    trigger: str
    responsible: Role | None = None
    public: bool = False
    reason: Text = attrs.field(factory=Text)
    statistics: tuple[str, ...] = ()


@final
@attrs.frozen(kw_only=True)
class Covered:
    """
    What was owed and is owed no more, because a bank gave it to the buyer.

    Attributes:
        key: The key of the refund or payout that was owed.

        amount: How much of it is not owed any more.

        rest: How much is still owed.

        next_key: The key under which the rest is owed; empty if nothing is.
    """

    key: str
    amount: Money
    rest: Money
    next_key: str = ""
