"""
The oracles: what must hold, after every commit and every movement, and at the end.

They believe nobody.  What they know of an order they have added up themselves, from the
events that were written; what they know of money, from the log of the gateway.  Each
finding names its invariant: I1 to I36, docs/how-to/simulate.md.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, final

import attrs

from ... import events as e
from ...clock import to_micros
from ...commands import Command, ConfirmPayment
from ...decisions import Refusal
from ...effects import Charge, PayOut, Refund
from ...engine import Outcome
from ...parties import OUTBOX, Actor, Role
from ...states import BACK, STAY, Process, Row
from ...storage import Change, CommitResult, NewEffect, NewEvent, StoredEvent
from ...storage.codec import decode_effect, decode_event
from ..gateways import SimulatedGateway
from .coverage import Coverage

__all__ = ["Auditor", "Owed", "Said", "Shadow", "Violation"]

_MOVEMENTS: Final[Mapping[str, type[Any]]] = {
    kind.name: kind for kind in (Refund, PayOut, Charge)
}

# What a payment leaves behind that came with a command that was refused (idea 8).
_RETURNED: Final = (e.PaymentReturned, e.HoldReleased)

# What an outbox writes down of money that may have left unnoticed.
_UNNOTICED: Final = (e.RefundSent, e.PayoutSent, e.ChargeSent)

# These end the money that was owed under one key, and owe it under the next.
_REKEYED: Final = (e.RefundFailed, e.PayoutFailed, e.PayoutRedirected, e.ChargeFailed)


@final
@attrs.frozen(kw_only=True)
class Violation:
    """
    Something that must hold, and did not.

    Attributes:
        invariant: Which: `"I6"`.

        text: What is wrong; never what somebody wrote.

        order_id: The order; empty if it is about none.
    """

    invariant: str
    text: str
    order_id: str = ""

    def __str__(self) -> str:
        where = f" (order {self.order_id})" if self.order_id else ""
        return f"{self.invariant}: {self.text}{where}"


@final
@attrs.define(eq=False)
class Said:
    """
    A command that somebody sent, however often.

    Attributes:
        stale: Whether an answer may be about a page that was old.

        commits: How often it was done: once.

        first: The first and last number of the events it was told to have made.
    """

    order_id: str
    by: Actor
    command: Command
    key: str | None
    if_version: int | None = None
    placing: bool = False
    tries: int = 0
    stale: bool = False
    commits: int = 0
    first: tuple[int, int] | None = None


@final
@attrs.define(eq=False)
class Owed:
    """
    Money that is to move, once.

    Attributes:
        root: The event it comes from, its kind and its part: what is paid once (I6).

        key: The key under which it is owed now.

        status: `"owed"`, `"paid"` or `"covered"`.
    """

    root: tuple[int, str, str]
    kind: str
    part: str
    amount: int
    key: str = ""
    status: str = "owed"


@final
@attrs.define(eq=False)
class Shadow:
    """
    An order, as its events add up to it here.

    Attributes:
        hashes: The hash of each event, as it was committed.

        names: The name of each event.

        rows: The effects that were asked for, by key: their kind.

        keys: What money was ever owed under a key, as it was then: kind, part, amount.

        failed: The keys under which nothing happened, it was said.

        tokens: The last token of each effect that was claimed.

        done: The effects that are done.
    """

    order_id: str
    version: int = 0
    head: bytes = b""
    buyer_id: str = ""
    seller_id: str = ""
    mediator_id: str | None = None
    standing: Any = None
    effective_at: int = 0
    recorded_at: int = 0
    ended: bool = False
    settled: int = 0
    # The books: what came in, and where it is.
    paid_in: int = 0
    escrow: int = 0
    refundable: int = 0
    buyer: int = 0
    payable: int = 0
    seller: int = 0
    fee: int = 0
    missing: int = 0
    hashes: list[bytes] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    receipts: set[str] = attrs.field(factory=set)
    rows: dict[str, str] = attrs.field(factory=dict)
    owed: list[Owed] = attrs.field(factory=list)
    keys: dict[str, tuple[Owed, str, str, int]] = attrs.field(factory=dict)
    failed: set[str] = attrs.field(factory=set)
    holds: dict[str, int] = attrs.field(factory=dict)
    asked: set[str] = attrs.field(factory=set)
    taken: dict[str, int] = attrs.field(factory=dict)
    tokens: dict[str, int] = attrs.field(factory=dict)
    done: set[str] = attrs.field(factory=set)

    @property
    def state(self) -> str:
        """
        The state.
        """
        return "" if self.standing is None else str(self.standing.state)

    def waits(self) -> Sequence[Any]:
        """
        Return the deadlines that run.
        """
        return [] if self.standing is None else _running(self.standing)

    def by_key(self, key: str) -> Owed | None:
        """
        Return what is owed under a key now.
        """
        return next((one for one in self.owed if one.key == key), None)


def _running(standing: Any) -> list[Any]:
    return [
        wait for wait in standing.deadlines if not wait.stopped_in and not wait.passed
    ]


@final
class Auditor:
    """
    Sees everything that is written and moved, and adds it up.

    Args:
        process: The process of all orders.

        gateway: Where money really moves.

        coverage: Where what came up is counted.

    Attributes:
        found: What did not hold, the first thing first.

        orders: Every order, as it adds up.
    """

    def __init__(
        self,
        process: Process[Any],
        gateway: SimulatedGateway,
        coverage: Coverage,
    ) -> None:
        self._process = process
        self._gateway = gateway
        self._coverage = coverage
        self._events = {**e.EVENTS, **{kind.name: kind for kind in process.events}}
        inclusive = getattr(
            getattr(process.policies, "time", None), "deadline_boundary", "exclusive"
        )
        self._late = 1 if inclusive == "inclusive" else 0
        self._requests = 0
        self._bodies: dict[str, Any] = {}
        self.found: list[Violation] = []
        self.orders: dict[str, Shadow] = {}

    def fail(self, invariant: str, text: str, order_id: str = "") -> None:
        """
        Note that something does not hold.
        """
        self.found.append(Violation(invariant=invariant, text=text, order_id=order_id))

    def armed(self, wait: Any) -> int:
        """
        Return the instant at which a deadline is acted on.
        """
        return to_micros(wait.due_at) + self._late

    # --- what is written ----------------------------------------------------------

    def wrote(
        self, verb: str, values: tuple[Any, ...], answer: Any, said: Said | None
    ) -> None:
        """
        Look at what a storage did.

        Args:
            said: The command on whose behalf it did so, if there is one.
        """
        if verb == "commit":
            for change, result in zip(values[0], answer, strict=True):
                if result is CommitResult.DONE:
                    self._committed(change, said)
                else:
                    self._coverage.counts["outrun"] += 1
        elif verb == "claim_effects":
            for effect in answer:
                self._claimed(effect)
        elif verb == "settle_effect" and answer:
            self._ended(values[0], values[1])

    def _claimed(self, effect: Any) -> None:
        shadow = self.orders.get(effect.order_id)
        if shadow is None or effect.key not in shadow.rows:
            self.fail("I7", f"{effect.kind} was never asked for", effect.order_id)
            return
        if effect.key in shadow.done:
            self.fail("I6", f"{effect.kind} is done, and claimed", effect.order_id)
        if effect.token <= shadow.tokens.get(effect.key, 0):
            self.fail("I27", f"{effect.kind}: an old token again", effect.order_id)
        shadow.tokens[effect.key] = effect.token

    def _ended(self, order_id: str, result: Any) -> None:
        shadow = self.orders[order_id]
        if result.token != shadow.tokens.get(result.key, 0):
            self.fail("I27", "an attempt was ended under an old token", order_id)
        if result.key in shadow.done:
            self.fail("I12", "what was done is not done any more", order_id)
        if result.status == "done":
            shadow.done.add(result.key)

    def _committed(self, change: Change, said: Said | None) -> None:
        order_id = change.order_id
        shadow = self.orders.get(order_id)
        if shadow is None:
            shadow = self.orders[order_id] = Shadow(order_id)
        if change.expected_version != shadow.version:
            self.fail("I18", "a change went through that saw another version", order_id)
        if change.version != shadow.version + len(change.events):
            self.fail("I18", "the versions are no chain", order_id)
        if change.fingerprint != self._process.fingerprint:
            self.fail("I26", "it runs under other rules than its own", order_id)
        if change.receipt is not None:
            if change.receipt.key in shadow.receipts:
                self.fail("I17", "one key was used twice", order_id)
            shadow.receipts.add(change.receipt.key)
        before = shadow.version
        self._events_of(shadow, change, said)
        for effect in change.effects:
            if effect.key in shadow.rows:
                self.fail("I5", f"{effect.kind} has the key of another", order_id)
            shadow.rows[effect.key] = effect.kind
            if effect.status == "done":
                shadow.done.add(effect.key)
        for result in change.results:
            self._ended(order_id, result)
        if shadow.version != before or change.effects:
            self._books(shadow, change)

    def _events_of(self, shadow: Shadow, change: Change, said: Said | None) -> None:
        """
        Add up the events of a change.
        """
        money = {
            effect.key: effect for effect in change.effects if effect.kind in _MOVEMENTS
        }
        acted: list[tuple[str, Any]] = []
        by_system = False
        for stored in change.events:
            self._chained(shadow, stored)
            recorded = self._read(stored)
            standing = shadow.standing
            role = recorded.by.role
            if role is Role.SYSTEM:
                self._fired(shadow, recorded, again=by_system)
            elif not isinstance(recorded.event, (*_UNNOTICED, *_RETURNED)) or (
                recorded.by != OUTBOX and said is not None
            ):
                if not acted:
                    self._acted(shadow, recorded, said)
                acted.append((shadow.state, standing))
            by_system = role is Role.SYSTEM
            self._told(shadow, recorded)
            self._moved(shadow, recorded, money)
            if recorded.standing is not None:
                shadow.standing = recorded.standing
            if acted and role is not Role.SYSTEM and said is not None:
                self._led(shadow, acted[0], said)
        for effect in money.values():
            self.fail(
                "I5",
                f"{effect.kind}: nobody is owed what is asked for",
                shadow.order_id,
            )

    def _read(self, stored: NewEvent) -> Any:
        return decode_event(
            StoredEvent(**attrs.asdict(stored, recurse=False)), {}, self._events
        )

    def _chained(self, shadow: Shadow, stored: NewEvent) -> None:
        """
        I13, I14: one after the other, each with the hash of all before it.
        """
        order_id = shadow.order_id
        if stored.seq != shadow.version + 1:
            self.fail("I13", f"event {stored.seq} follows {shadow.version}", order_id)
        if stored.effective_at < shadow.effective_at:
            self.fail("I13", f"{stored.name} counts before the one before", order_id)
        if stored.recorded_at < max(shadow.recorded_at, stored.effective_at):
            self.fail("I13", f"{stored.name} was written before it counts", order_id)
        if stored.hash != _hash_of(shadow.head, order_id, stored):
            self.fail("I14", f"{stored.name} has another hash", order_id)
        shadow.version = stored.seq
        shadow.head = stored.hash
        shadow.hashes.append(stored.hash)
        shadow.names.append(stored.name)

    # --- who, and when ------------------------------------------------------------

    def _fired(self, shadow: Shadow, recorded: Any, *, again: bool) -> None:
        """
        I21 to I23: the system moves only at a deadline, the earliest first, and as of
        its instant, however late.
        """
        at = to_micros(recorded.effective_at)
        if again and at == shadow.effective_at:
            # More of the same move.
            return
        waits = [(self.armed(wait), wait) for wait in shadow.waits()]
        if not waits:
            self.fail("I22", f"{recorded.name}: no deadline runs", shadow.order_id)
            return
        first = min(due for due, _ in waits)
        if at != max(first, shadow.effective_at):
            self.fail(
                "I23",
                f"{recorded.name} counts {at - first} microseconds after its deadline",
                shadow.order_id,
            )
        kinds = {wait.name for due, wait in waits if due == first}
        rows = [
            kind
            for kind in self._process.deadlines
            if kind.name in kinds and shadow.state in map(str, kind.runs)
        ]
        if not rows:
            self.fail(
                "I22", f"{recorded.name}: nothing is due in this state", shadow.order_id
            )
        self._coverage.counts["deadline"] += 1
        for kind in rows:
            self._coverage.counts[f"deadline {kind.name}"] += 1
            edge = (shadow.state, kind.command.name, Role.SYSTEM.text)
            self._coverage.edges[edge] += 1
        late = to_micros(recorded.recorded_at) - at
        if late > 60_000_000:
            self._coverage.counts["deadline settled late"] += 1

    def _acted(self, shadow: Shadow, recorded: Any, said: Said | None) -> None:
        """
        I19, I21: whoever acts takes part, may do so here, and is in time.
        """
        by: Actor = recorded.by
        order_id = shadow.order_id
        if said is None and by != OUTBOX:
            self.fail("I19", f"{recorded.name}: nobody had asked", order_id)
            return
        if said is not None and by != said.by:
            self.fail("I19", f"{recorded.name} is said to be {by.role.text}", order_id)
        if said is not None and not isinstance(recorded.event, _RETURNED):
            said.commits += 1
            if said.commits > 1:
                self.fail("I17", f"{said.command.name} was done twice", order_id)
            if said.if_version not in (None, recorded.seq - 1):
                self.fail("I18", f"{said.command.name}: of another version", order_id)
        if isinstance(recorded.event, e.OrderPlaced):
            return
        if not self._takes_part(shadow, by, recorded.event):
            self.fail(
                "I19", f"{recorded.name}: the {by.role.text} is a stranger", order_id
            )
        if said is not None and not isinstance(recorded.event, _RETURNED):
            edge = (shadow.state, said.command.name, by.role.text)
            if self._row(edge, said.command) is None:
                self.fail("I19", f"{' '.join(edge)}: there is no such row", order_id)
            self._coverage.edges[edge] += 1
            self._coverage.counts["accepted"] += 1
        elif said is not None and isinstance(said.command, ConfirmPayment):
            # What is not owed goes back: that is how it is accepted after the first.
            edge = (shadow.state, said.command.name, by.role.text)
            self._coverage.edges[edge] += 1
        at = to_micros(recorded.effective_at)
        for wait in shadow.waits():
            if self.armed(wait) <= at:
                self.fail(
                    "I21",
                    f"{recorded.name} came {at - self.armed(wait)} microseconds after "
                    f"the deadline {wait.name}, and was heard",
                    order_id,
                )

    @staticmethod
    def _takes_part(shadow: Shadow, by: Actor, event: Any) -> bool:
        if by.role in (Role.OPERATOR, Role.PROVIDER):
            return True
        if isinstance(event, e.MediatorAssigned) and by.role is Role.MEDIATOR:
            # I20: anybody but the two may take a case on that has nobody.
            return by.id == event.mediator_id and by.id not in (
                shadow.buyer_id,
                shadow.seller_id,
            )
        return by.id == {
            Role.BUYER: shadow.buyer_id,
            Role.SELLER: shadow.seller_id,
            Role.MEDIATOR: shadow.mediator_id,
        }.get(by.role)

    def _row(self, edge: tuple[str, str, str], command: Command) -> Row | None:
        state, _, role = edge
        for row in self._process.rows:
            if (
                row.command is type(command)
                and state in map(str, row.states)
                and any(one.text == role for one in row.by)
            ):
                return row
        return None

    def _led(self, shadow: Shadow, before: tuple[str, Any], said: Said) -> None:
        """
        I19: a command leads where its row says.
        """
        state, standing = before
        if said.placing:
            return
        row = self._row((state, said.command.name, said.by.role.text), said.command)
        if row is None:
            return
        after = shadow.state
        leads = set(row.leads(self._process.policies).values())
        fine = (
            after == state
            or any(isinstance(to, str) and str(to) == after for to in leads)
            or (BACK in leads and standing is not None and after in standing.left)
        )
        if not fine or (after == state and state not in leads | {STAY} and not leads):
            self.fail(
                "I19",
                f"{said.command.name} led from {state} to {after}",
                shadow.order_id,
            )

    def _told(self, shadow: Shadow, recorded: Any) -> None:
        """
        Keep who takes part, and when the last thing happened; I20, I34.
        """
        event = recorded.event
        order_id = shadow.order_id
        shadow.effective_at = to_micros(recorded.effective_at)
        shadow.recorded_at = to_micros(recorded.recorded_at)
        if isinstance(event, e.OrderPlaced):
            shadow.buyer_id, shadow.seller_id = event.buyer_id, event.seller_id
            if _one_spelling(event.buyer_id) == _one_spelling(event.seller_id):
                self.fail("I20", "buyer and seller are one", order_id)
        elif isinstance(event, e.MediatorAssigned):
            shadow.mediator_id = event.mediator_id
            both = map(_one_spelling, (shadow.buyer_id, shadow.seller_id))
            if _one_spelling(event.mediator_id) in both:
                self.fail("I20", "the mediator is a party", order_id)
        elif isinstance(event, (e.ClaimWithdrawn, e.ClaimRejected, e.OrderRelaunched)):
            # The mediator is released with the case.
            shadow.mediator_id = None
        standing = recorded.standing or shadow.standing
        if shadow.ended and str(standing.state) != shadow.state:
            self.fail("I34", f"{recorded.name} after the end", order_id)

    # --- the books ----------------------------------------------------------------

    def _moved(
        self, shadow: Shadow, recorded: Any, money: dict[str, NewEffect]
    ) -> None:
        """
        Book an event: where money came from, where it is, who is owed it.
        """
        event: Any = recorded.event
        seq: int = recorded.seq
        if isinstance(event, e.PaymentBooked):
            amount = _minor(event.payment.amount)
            shadow.paid_in += amount
            shadow.escrow += amount
        elif isinstance(event, e.PaymentReturned):
            shadow.paid_in += event.refund.amount.minor
            self._owes_refunds(shadow, seq, (event.refund,), money)
            if event.key:
                # It was charged when nobody wanted it any more: it came, and it goes.
                self._over(shadow, event.key, "paid")
        elif isinstance(event, e.PaymentHeld):
            shadow.holds[event.payment.reference] = _minor(event.payment.amount)
        elif isinstance(event, e.ChargeAsked):
            for reference, amount in shadow.holds.items():
                if reference not in shadow.asked:
                    shadow.asked.add(reference)
                    self._owes(shadow, (seq, Charge.name, reference), amount, money)
        elif isinstance(event, e.ChargePaid):
            amount = shadow.holds[event.payment_reference]
            shadow.paid_in += amount
            shadow.escrow += amount
            self._over(shadow, event.key, "paid")
        elif isinstance(event, e.PartialRefundAccepted):
            shadow.escrow -= sum(part.amount.minor for part in event.to_buyer)
            self._owes_refunds(shadow, seq, event.to_buyer, money)
        elif event.settles:
            self._settled(shadow, event, seq, money)
        elif isinstance(event, (e.RefundPaid, e.PayoutPaid)):
            self._over(shadow, event.key, "paid")
        elif isinstance(event, _REKEYED):
            self._again(shadow, event, money)
        elif isinstance(event, e.ChargebackOpened):
            shadow.missing += event.amount.minor
            shadow.taken[event.chargeback_id] = event.amount.minor
        elif isinstance(event, e.ChargebackClosed):
            back = shadow.taken[event.chargeback_id] - event.lost.minor
            shadow.missing -= back
        elif isinstance(event, e.ChargebackCovered):
            self._covered(shadow, event, money)
        if min(shadow.escrow, shadow.refundable, shadow.payable, shadow.missing) < 0:
            self.fail("I1", f"{recorded.name} overdraws the books", shadow.order_id)

    def _settled(
        self, shadow: Shadow, event: Any, seq: int, money: dict[str, NewEffect]
    ) -> None:
        """
        I4: once, and exactly what was held.
        """
        settlement = event.settlement
        to_seller, kept = settlement.to_seller.minor, settlement.kept.minor
        to_buyer = sum(part.amount.minor for part in settlement.to_buyer)
        shadow.settled += 1
        if shadow.settled > 1:
            self.fail("I4", "it is settled a second time", shadow.order_id)
        if to_buyer + to_seller + kept != shadow.escrow or min(to_seller, kept) < 0:
            self.fail(
                "I4",
                f"{shadow.escrow} were held, and {to_buyer} + {to_seller} + {kept} "
                "divided",
                shadow.order_id,
            )
        shadow.escrow -= to_buyer + to_seller + kept
        shadow.fee += kept
        shadow.ended = True
        self._owes_refunds(shadow, seq, settlement.to_buyer, money)
        if to_seller:
            shadow.payable += to_seller
            self._owes(shadow, (seq, PayOut.name, shadow.seller_id), to_seller, money)

    def _owes_refunds(
        self, shadow: Shadow, seq: int, parts: Iterable[Any], money: dict[str, Any]
    ) -> None:
        for part in parts:
            shadow.refundable += part.amount.minor
            root = (seq, Refund.name, part.payment.reference)
            self._owes(shadow, root, part.amount.minor, money)

    def _owes(
        self,
        shadow: Shadow,
        root: tuple[int, str, str],
        amount: int,
        money: dict[str, NewEffect],
    ) -> None:
        """
        Note that money is to move, and look for what asks the host to move it: I5.
        """
        _, kind, part = root
        owed = Owed(root=root, kind=kind, part=part, amount=amount)
        shadow.owed.append(owed)
        for key, effect in money.items():
            if effect.seq == root[0] and _says(effect) == (kind, part, amount):
                self._named(shadow, owed, key, money)
                return
        self.fail(
            "I5", f"{kind} of {amount} is owed, and not asked for", shadow.order_id
        )

    def _named(
        self, shadow: Shadow, owed: Owed, key: str, money: dict[str, NewEffect]
    ) -> None:
        owed.key = key
        shadow.keys[key] = (owed, owed.kind, owed.part, owed.amount)
        del money[key]

    def _over(self, shadow: Shadow, key: str, status: str) -> None:
        owed = shadow.by_key(key)
        if owed is None or owed.status != "owed":
            self.fail("I6", "it is paid twice, or was never owed", shadow.order_id)
            return
        owed.status = status
        if owed.kind == Refund.name:
            shadow.refundable -= owed.amount
            shadow.buyer += owed.amount
        elif owed.kind == PayOut.name:
            shadow.payable -= owed.amount
            shadow.seller += owed.amount

    def _again(self, shadow: Shadow, event: Any, money: dict[str, NewEffect]) -> None:
        """
        I29: what did not happen is owed under the next key; nothing happened under the
        old one.
        """
        key = getattr(event, "key", "")
        owed = shadow.by_key(key)
        if owed is None:
            # A bank that let a hold go, before anybody asked for it.
            if not isinstance(event, e.ChargeFailed) or key:
                self.fail("I29", "nothing was owed under this key", shadow.order_id)
            else:
                shadow.asked.add(event.payment_reference)
            return
        if owed.status == "paid":
            owed.status = "owed"
            if owed.kind == Refund.name:
                shadow.buyer -= owed.amount
                shadow.refundable += owed.amount
            elif owed.kind == PayOut.name:
                shadow.seller -= owed.amount
                shadow.payable += owed.amount
        shadow.failed.add(key)
        if isinstance(event, e.PayoutRedirected):
            owed.part = event.payee_id
        if isinstance(event, e.ChargeFailed) and not event.again:
            owed.status = "failed"
            return
        self._renamed(shadow, owed, event.next_key, money)

    def _renamed(
        self, shadow: Shadow, owed: Owed, key: str, money: dict[str, NewEffect]
    ) -> None:
        effect = money.get(key)
        if effect is None or _says(effect) != (owed.kind, owed.part, owed.amount):
            self.fail(
                "I5",
                f"{owed.kind} of {owed.amount} is owed again, and not asked for",
                shadow.order_id,
            )
            return
        self._named(shadow, owed, key, money)

    def _covered(self, shadow: Shadow, event: Any, money: dict[str, NewEffect]) -> None:
        covered = event.held.minor
        shadow.escrow -= event.held.minor
        for name, parts in (("refundable", event.refunds), ("payable", event.payouts)):
            for part in parts:
                covered += part.amount.minor
                setattr(shadow, name, getattr(shadow, name) - part.amount.minor)
                owed = shadow.by_key(part.key)
                if owed is None or owed.amount != part.amount.minor + part.rest.minor:
                    self.fail("I34", "what is covered was not owed", shadow.order_id)
                    continue
                shadow.failed.add(part.key)
                owed.amount = part.rest.minor
                if part.rest:
                    self._renamed(shadow, owed, part.next_key, money)
                else:
                    owed.status = "covered"
        shadow.buyer += covered
        shadow.missing -= covered

    def _books(self, shadow: Shadow, change: Change) -> None:
        """
        I1, I15, I25: what is kept beside the order is what its events add up to.
        """
        kept = change.books
        ours = (
            shadow.paid_in,
            shadow.escrow,
            shadow.refundable + shadow.buyer,
            shadow.payable + shadow.seller,
            shadow.fee,
        )
        theirs = (kept.paid_in, kept.held, kept.refunded, kept.released, kept.kept)
        if ours != theirs:
            self.fail("I1", f"the books say {theirs}, not {ours}", shadow.order_id)
        if ours[0] != sum(ours[1:]):
            self.fail("I1", f"the books do not balance: {ours}", shadow.order_id)
        if any(type(one) is not int or one < 0 for one in theirs):
            self.fail("I25", f"no amounts of money: {theirs}", shadow.order_id)
        if change.state != shadow.state:
            self.fail("I15", "it is kept in another state", shadow.order_id)
        if shadow.ended != self._process.ended(shadow.state):
            self.fail("I4", f"it is {shadow.state}, and not settled", shadow.order_id)
        waits = [self.armed(wait) for wait in shadow.waits()]
        if change.due_at != min(waits, default=None):
            self.fail("I22", "it waits for another instant", shadow.order_id)

    # --- what moves ---------------------------------------------------------------

    def calls(self, effect: Any) -> None:
        """
        I7: nothing is carried out that was not committed before.
        """
        shadow = self.orders.get(effect.order_id)
        if shadow is None or effect.key not in shadow.rows:
            self.fail(
                "I7",
                f"{effect.name} is carried out, and not committed",
                effect.order_id,
            )

    def moves(self) -> None:
        """
        I2, I5 to I9, I29: hold everything that really moved against what is owed.
        """
        for request in self._gateway.requests[self._requests :]:
            # I8: the same key says the same for ever.
            body = self._bodies.setdefault(request.key, request.body)
            if body != request.body:
                self.fail("I8", "one key, two requests", request.order_id)
        self._requests = len(self._gateway.requests)
        counted: Counter[tuple[str, tuple[int, str, str]]] = Counter()
        for applied in self._gateway.applied:
            shadow = self.orders.get(applied.order_id)
            known = None if shadow is None else shadow.keys.get(applied.key)
            if shadow is None or known is None:
                self.fail("I7", f"{applied.kind}: nobody owed it", applied.order_id)
                continue
            owed, kind, part, amount = known
            if (applied.kind, applied.part, applied.amount.minor) != (
                kind,
                part,
                amount,
            ):
                self.fail("I5", f"{applied.kind}: not what is owed", applied.order_id)
            if applied.status == "failed":
                continue
            if applied.key in shadow.failed:
                self.fail(
                    "I29",
                    f"{applied.kind} of {amount} happened, and is said not to have",
                    applied.order_id,
                )
            counted[applied.order_id, owed.root] += 1
            if counted[applied.order_id, owed.root] > 1:
                self.fail(
                    "I6", f"{applied.kind} of {amount} happened twice", applied.order_id
                )

    # --- what people are told -----------------------------------------------------

    def replied(self, said: Said, answer: Any) -> None:
        """
        I17, I35: what somebody is told is so, and is the same each time.
        """
        if isinstance(answer, Refusal):
            self._coverage.counts["refused"] += 1
            for blocker in answer.blockers:
                self._coverage.codes[blocker.code] += 1
            if said.key is not None and said.first is not None and not said.stale:
                self.fail("I17", "it was done, and is refused now", said.order_id)
            return
        assert isinstance(answer, Outcome)
        shadow = self.orders.get(said.order_id)
        for recorded in answer.events:
            if (
                shadow is None
                or recorded.seq > shadow.version
                or shadow.names[recorded.seq - 1] != recorded.name
            ):
                self.fail(
                    "I35", f"{recorded.name} is told, and not there", said.order_id
                )
                return
        if said.key is None:
            return
        if answer.replayed:
            self._coverage.counts["replayed"] += 1
        mine = [one for one in answer.events if one.by.role is not Role.SYSTEM]
        reply = (mine[0].seq, mine[-1].seq) if mine else (0, 0)
        if said.first is None:
            said.first = reply
        elif said.first != reply:
            self.fail(
                "I17",
                f"the same key got {said.first}, and gets {reply}",
                said.order_id,
            )

    # --- at the end ---------------------------------------------------------------

    def closes(self, order_id: str) -> None:
        """
        I3: of an order that is over, and whose money is done, nothing is left.
        """
        shadow = self.orders[order_id]
        paid: Counter[str] = Counter()
        for applied in self._gateway.applied:
            if applied.order_id == order_id and applied.status == "paid":
                paid[applied.kind] += applied.amount.minor
        sums = {
            kind: sum(
                amount
                for key, (owed, kind_, _, amount) in shadow.keys.items()
                if kind_ == kind and owed.status == "paid" and owed.key == key
            )
            for kind in (Refund.name, PayOut.name)
        }
        for kind, amount in sums.items():
            if paid[kind] != amount:
                self.fail(
                    "I30",
                    f"{kind}: the books say {amount}, the gateway {paid[kind]}",
                    order_id,
                )
        came = sum(
            line.amount.minor
            for line in self._gateway.statement()
            if line.kind == "payment" and line.order_id == order_id
        )
        if paid[Refund.name] + paid[PayOut.name] > came + paid[Charge.name]:
            self.fail("I2", "more went out than came in", order_id)
        if shadow.ended and shadow.escrow:
            self.fail("I3", f"{shadow.escrow} are still held", order_id)

    def unpaid(self, order_id: str) -> Iterator[Owed]:
        """
        Yield what is still owed.
        """
        for owed in self.orders[order_id].owed:
            if owed.status == "owed":
                yield owed


def _hash_of(head: bytes, order_id: str, event: NewEvent | StoredEvent) -> bytes:
    """
    Return the hash an event must have, written once more: SHA-256 of the hash before
    it, of what it is called and when, and of what it says.
    """
    digest = hashlib.sha256(head)
    for field in (
        order_id,
        event.seq,
        event.name,
        event.effective_at,
        event.recorded_at,
        int(event.settles),
    ):
        digest.update(f"{field}\x1f".encode())
    digest.update(event.body)
    return digest.digest()


def _minor(amount: Any) -> int:
    """
    Return an amount; nothing for one that is not told.
    """
    minor: int = 0 if amount is None else amount.minor
    return minor


def _says(effect: NewEffect) -> tuple[str, str, int]:
    """
    Return what an effect asks for: its kind, its part, how much.
    """
    said: Any = decode_effect(effect.body, _MOVEMENTS[effect.kind])
    part = said.payee_id if effect.kind == PayOut.name else said.payment.reference
    return effect.kind, part, said.amount.minor


def _one_spelling(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
