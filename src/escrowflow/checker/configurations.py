"""
Configurations: what of an order decides what can still become of it.

Two orders with one configuration have the same futures, so that only one of them is
explored.  What is left out changes nothing but what is shown: who wrote what, how it
was reviewed, what became of money that had left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from ..commands import (
    AnswerMediator,
    AskParties,
    CloseConversation,
    Command,
    EditClaim,
    ExcuseCancellation,
    ExtendDeadlines,
    LeaveConversation,
    RedirectPayout,
    RemoveReview,
    ReplyToReview,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
    RequestCoupon,
    SendMessage,
    SubmitBrief,
)
from ..decisions.settlement import ORDER_CAP
from ..errors import InvalidInputError
from ..order import Order
from ..parties import Role
from ..parts import Deadline
from ..rules import Policies
from ..states import STAY, DeadlineKind, Process, Urgency
from ..terms import REVISIONS_MAX

__all__ = ["SAYINGS", "Abstraction", "Configuration", "Wait"]

# Commands that move neither money nor state, nor set a deadline earlier: they are
# asked for, and never explored.
SAYINGS: Final[frozenset[type[Command]]] = frozenset(
    {
        *(SendMessage, LeaveConversation, SubmitBrief, EditClaim),
        *(AskParties, AnswerMediator, ReplyToReview, RemoveReview),
        *(ReportRefund, ReportPayout, ReportChargeback, RedirectPayout),
        *(RequestCoupon, ExcuseCancellation, ExtendDeadlines),
    }
)

# How far ahead the policies are asked what one more refusal, or revision, would do:
# orders that get the same answers, as far as any number goes, are told apart no further.
_AHEAD: Final = REVISIONS_MAX + 1

# How a wait is that stands still.
_STILL: Final = ("stopped", "held")


class Wait(NamedTuple):
    """
    One wait of a configuration.

    Attributes:
        name: The kind of deadline.

        seconds: The time until its end, or that is left of it; zero once it passed, or
            where it stands still and neither side can set it going.

        how: `runs`, `asleep` (it runs on, unheeded), `stopped`, `held` (by something
            of the order: an open claim) or `passed`.

        aside: Whether it is that of a side matter: an offer's.

        after: Of those that run and end within one second: how many instants come
            before its own.
    """

    name: str
    seconds: int
    how: str
    aside: bool = False
    after: int = 0


class Configuration(NamedTuple):
    """
    What of an order decides what can still become of it.

    Attributes:
        state: The state.

        left: The states it was called away from.

        late: Whether it is late.

        waits: All waits, but those that only remind, and the order's longest life:
            that may be over at any time.

        lives: Whether its longest life runs.

        accepted: Whether the seller accepted it.

        delivered: Whether anything was ever delivered.

        asked: Of an open request, whether it stayed unanswered.

        answers: What more refusals, and more revisions, would do; at the end, what
            ended it, and who got money.

        claim: Who filed the open claim, if there is one.

        mediated: Whether somebody mediates what is open.

        proposal: Who proposed the open partial refund, if there is one.

        extending: Whether the seller asked for a later date.

        spent: Whether its longest life is over, and it is to be ruled on.

        offered: Whether an offer is open.

        owing: Whether an option is not paid yet.

        held: Whether money is held.

        returned: Whether a part went back.

        banks: How what banks hold stands.

        cause: Why it ended; empty while it runs.

        extra: A host's own data, and what he says tells his orders apart.

        main: The matters that are none on the side: a host's own code brings them
            about, as a part of the course of an order.
    """

    state: str
    left: tuple[str, ...] = ()
    late: bool = False
    waits: tuple[Wait, ...] = ()
    lives: bool = False
    accepted: bool = False
    delivered: bool = False
    asked: tuple[bool, ...] = ()
    answers: tuple[Any, ...] = ()
    claim: str = ""
    mediated: bool = False
    proposal: str = ""
    extending: bool = False
    spent: bool = False
    offered: bool = False
    owing: bool = False
    held: bool = False
    returned: bool = False
    banks: tuple[str, ...] = ()
    cause: str = ""
    extra: tuple[object, ...] = ()
    main: tuple[str, ...] = ()

    @property
    def matters(self) -> int:
        """
        How many side matters there are: claims, proposals, extras, refunds in part.
        """
        # A claim that holds a deadline up is what the order is about.
        count = (
            (bool(self.claim) and not self._is_held)
            + bool(self.proposal)
            + self.extending
            + self.offered
            + self.owing
            + (self.returned and not self.cause)
        )
        return count - self._mains if count and self.main else count

    @property
    def _mains(self) -> int:
        held = self._is_held
        return sum(name != "claim" or not held for name in self.has & {*self.main})

    @property
    def has(self) -> frozenset[str]:
        """
        The names of all matters there are, on the side or not.
        """
        there = (
            ("claim", bool(self.claim)),
            ("proposal", bool(self.proposal)),
            ("extending", self.extending),
            ("offered", self.offered),
            ("owing", self.owing),
            ("returned", self.returned and not self.cause),
        )
        return frozenset(name for name, is_there in there if is_there)

    @property
    def _is_held(self) -> bool:
        return any(wait.how == "held" for wait in self.waits)

    @property
    def key(self) -> Configuration:
        """
        What it is known by: with a side matter, how long the waits still take is not
        told apart, since it changes nothing about the matter.
        """
        if not self.matters:
            return self
        waits = {wait._replace(seconds=0, after=0) for wait in self.waits}
        return self._replace(waits=tuple(sorted(waits)), answers=())

    @property
    def course(self) -> tuple[object, ...]:
        """
        What of it is no side matter, nor how long anything takes: what a matter that
        changes nothing leaves as it is.
        """
        waits = sorted((wait.name, wait.how) for wait in self.waits if not wait.aside)
        # What went back in part is in the books of an order that has ended.
        ended = self.answers[:1] + self.answers[2:] if self.cause else ()
        where = (self.state, self.left, self.late, self.cause, self.held)
        return (*where, tuple(waits), ended, self.extra)

    @property
    def bare(self) -> Configuration:
        """
        The configuration without its side matters.
        """
        changes: dict[str, Any] = {
            name: value for name, value in _BARE.items() if name not in self.main
        }
        if "claim" in changes:
            changes["mediated"] = self.mediated and not self.claim
        if "offered" in changes:
            changes["waits"] = tuple(wait for wait in self.waits if not wait.aside)
        return self._replace(**changes)


# How a configuration is without each matter.
_BARE: Final[dict[str, Any]] = {
    "claim": "",
    "proposal": "",
    "extending": False,
    "offered": False,
    "owing": False,
    "returned": False,
}


class Abstraction:
    """
    How the orders of one process are told apart.
    """

    def __init__(
        self,
        process: Process[Policies],
        apart_by: Callable[[Order], object] | None = None,
        main: Iterable[str] = (),
    ) -> None:
        self.process = process
        self.apart_by = apart_by
        self.main = tuple(sorted(main))
        self._quiet = frozenset(
            kind.name for kind in process.deadlines if _is_quiet(process, kind)
        )
        self.lives = frozenset(
            kind.name
            for kind in process.deadlines
            if kind.urgency is Urgency.EXPIRY and process.armed(kind)
        )
        self._out_of_their_hands = frozenset(_out_of_their_hands(process))
        self._answers: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def waits(self, order: Order) -> Iterator[Deadline]:
        """
        Yield the waits of an order that can change its course, running or not.
        """
        for wait in order.standing.deadlines:
            if wait.name not in self._quiet and wait.name not in self.lives:
                yield wait

    def life(self, order: Order) -> Deadline | None:
        """
        Return the order's longest life, where it is acted on.
        """
        state = str(order.state)
        for wait in order.standing.deadlines:
            runs = wait.name in self.lives and wait.runs
            if runs and state in self.process.kinds[wait.name].runs:
                return wait
        return None

    def of(self, order: Order, now: datetime) -> Configuration:
        """
        Return the configuration of an order at an instant, all that is due settled.
        """
        ledger, standing = order.ledger, order.standing
        # What was never owed went straight back, and changes nothing.
        returned = any(
            payment.refunded and not payment.returned for payment in order.payments
        )
        if order.ending is not None:
            return Configuration(
                state=str(standing.state),
                late=standing.late,
                accepted=order.accepted_at is not None,
                delivered=bool(order.deliveries),
                answers=(
                    order.ending.trigger,
                    *map(bool, (ledger.refunded, ledger.released, ledger.kept)),
                ),
                claim="" if order.claim is None else order.claim.by.text,
                returned=returned,
                held=ledger.escrow > 0,
                cause=order.ending.cause,
                extra=self._apart(order),
                main=self.main,
            )
        at = now.timestamp()
        request = order.cancellation
        revision = order.revisions[-1] if order.revisions else None
        asked: tuple[bool, ...] = () if request is None else (request.unlocked,)
        if revision is not None and not revision.answer:
            asked += (True, revision.unlocked)
        open_ = order.claim is not None or order.dispute is not None
        return Configuration(
            state=str(standing.state),
            left=tuple(map(str, standing.left)),
            late=standing.late,
            waits=self._waits_of(order, at),
            lives=self.life(order) is not None,
            accepted=order.accepted_at is not None,
            delivered=bool(order.deliveries),
            asked=asked,
            answers=self._told(order),
            claim="" if order.claim is None else order.claim.by.text,
            mediated=open_ and order.mediator_id is not None,
            proposal=(
                "" if order.partial_refund is None else order.partial_refund.by.text
            ),
            extending=order.extension is not None,
            spent=order.dispute is not None
            and order.dispute.ruling is None
            and order.dispute.cause == ORDER_CAP,
            offered=any(offer.status == "open" for offer in order.offers),
            owing=any(not add_on.paid for add_on in order.add_ons),
            held=ledger.escrow > 0,
            returned=returned,
            banks=tuple(sorted(hold.status for hold in order.holds)),
            extra=self._apart(order),
            main=self.main,
        )

    def _waits_of(self, order: Order, at: float) -> tuple[Wait, ...]:
        pending = list(self.waits(order))
        waits = _ranked([self._wait(wait, at) for wait in pending], pending)
        held = any(wait.how == "held" for wait in waits)
        if held or str(order.state) in self._out_of_their_hands:
            # Whoever decides there gives at least a day.
            waits = [
                wait._replace(seconds=0) if wait.how in _STILL else wait
                for wait in waits
            ]
        return tuple(sorted(waits))

    def _wait(self, wait: Deadline, at: float) -> Wait:
        aside = bool(wait.subject)
        if wait.passed:
            return Wait(wait.name, 0, "passed", aside)
        if wait.left is not None:
            left = -int(-wait.left.total_seconds() // 1)
            by = self.process.kinds[wait.name].held_by
            held = bool(by) and wait.stopped_in == by
            return Wait(wait.name, left, "held" if held else "stopped", aside)
        # To the second: what happens a microsecond before a deadline is no other case.
        # What runs on unheeded may be overdue, and for how long matters to nobody.
        seconds = max(round(wait.due_at.timestamp() - at), 0)
        return Wait(wait.name, seconds, "asleep" if wait.stopped_in else "runs", aside)

    def _apart(self, order: Order) -> tuple[object, ...]:
        """
        Return what a host's own code may ask of an order.
        """
        own = tuple(sorted((str(k), repr(v)) for k, v in order.extra.items()))
        if self.apart_by is None:
            return own
        try:
            said = self.apart_by(order)
            hash(said)
        except Exception as error:
            raise InvalidInputError(
                "apart_by",
                f"a function of an order, whose answer can be hashed: {error}",
            ) from error
        return (*own, said)

    def _told(self, order: Order) -> tuple[Any, ...]:
        """
        Return what the policies would answer to one more refusal, or revision.
        """
        known = (
            order.revisions_used,
            order.revisions_refused,
            order.cancellations_refused,
            bool(order.deliveries),
            order.terms.revisions,
        )
        found = self._answers.get(known)
        if found is None:
            used, revisions, cancellations, delivered, agreed = known
            policies = self.process.policies
            cancellation, revision = policies.cancellation, policies.revision
            refused = revisions + cancellations
            found = self._answers[known] = (
                _turns(
                    lambda more: cancellation.disputes_after(
                        cancellations + more, delivered=delivered
                    )
                ),
                _turns(lambda more: revision.disputes_after(refused + more)),
                agreed is None
                or _turns(
                    lambda more: revision.request(used=used + more, agreed=agreed)
                ),
            )
        return found


def _turns(asked: Callable[[int], object]) -> tuple[tuple[int, object], ...]:
    """
    Return where an answer changes, counted from here.
    """
    found: list[tuple[int, object]] = []
    for more in range(_AHEAD):
        answer = asked(more)
        if not found or found[-1][1] != answer:
            found.append((more, answer))
    return tuple(found)


def _ranked(waits: list[Wait], pending: list[Deadline]) -> list[Wait]:
    """
    Return waits with what comes first within one second: it may end the others.
    """
    ends: dict[int, set[datetime]] = {}
    for wait, deadline in zip(waits, pending, strict=True):
        if wait.how == "runs":
            ends.setdefault(wait.seconds, set()).add(deadline.due_at)
    if all(len(instants) == 1 for instants in ends.values()):
        return waits
    return [
        wait._replace(after=sorted(ends[wait.seconds]).index(deadline.due_at))
        if wait.how == "runs"
        else wait
        for wait, deadline in zip(waits, pending, strict=True)
    ]


def _is_quiet(process: Process[Policies], kind: DeadlineKind) -> bool:
    """
    Whether a deadline only reminds, or closes a conversation: it moves nothing, and
    none of what it does is decided by a host's own code.
    """
    reminds = kind.urgency is Urgency.REMINDER or kind.command is CloseConversation
    return (
        reminds
        and not process.decider[kind.command].version
        and all(
            to is STAY
            for row in process.rows
            if row.command is kind.command
            for to in row.to.values()
        )
    )


def _out_of_their_hands(process: Process[Policies]) -> Iterator[str]:
    """
    Yield the states that neither side leads out of: what a mediator or staff decides.
    """
    parties = Role.BUYER | Role.SELLER
    led = {
        str(state)
        for row in process.rows
        if row.by & parties and any(to is not STAY for to in row.to.values())
        for state in row.states
    }
    for state in process.members:
        if state not in led:
            yield state
