"""
The oracles: what must hold, after every commit and every movement, and at the end.

They believe nobody.  What they know of an order they have added up themselves, from the
events that were written; what they know of money, from the log of the gateway.  Each
finding names its invariant: I1 to I36, docs/how-to/simulate.md.

- `conduct`: who acts, and when.
- `bookkeeping`: what is held, and owed.
- `moving`: what the gateway really did.
- here: what is written, and what people are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, final

import attrs

from ... import events as e
from ...decisions import Refusal
from ...engine import Outcome
from ...inputs import TEXT_BYTES_MAX
from ...parties import OUTBOX, Role
from ...states import Process
from ...storage import Change, CommitResult, NewEvent, StoredEvent
from ...storage.codec import decode_event
from ...wallet import EVENTS as WALLETS
from ...wallet import Entry, is_wallet
from ..gateways import SimulatedGateway
from .bookkeeping import MOVEMENTS, Bookkeeping
from .conduct import RETURNED, Conduct
from .coverage import Coverage
from .moving import Moving
from .purses import Purses
from .shadow import Findings, Outgoing, Said, Shadow, Violation, hash_of

__all__ = ["CALLS_MAX", "Auditor"]

# What everybody writes, somewhere in it: it must turn up among the texts only.
CANARY: Final = b"canary"

# More than anybody calls who comes to an end: so many rounds of losing against others.
CALLS_MAX: Final = 1000

# What an outbox writes down of money that may have left unnoticed.
_UNNOTICED: Final = (e.RefundSent, e.PayoutSent, e.ChargeSent)


@final
class Auditor:
    """
    Sees everything that is written and moved, and adds it up.

    Args:
        processes: Those that orders may be under, that of new ones first.

        gateway: Where money really moves.

        coverage: Where what came up is counted.

    Attributes:
        moving: What the gateway really did.

        purses: What is in wallets.
    """

    def __init__(
        self,
        processes: Sequence[Process[Any]],
        gateway: SimulatedGateway,
        coverage: Coverage,
    ) -> None:
        self._process = processes[0]
        self._known = {process.fingerprint: process for process in processes}
        # Which order staff asked to move to which rules.
        self._moves: set[tuple[str, str]] = set()
        self._coverage = coverage
        self._events = {
            **e.EVENTS,
            **{kind.name: kind for one in processes for kind in one.events},
            **WALLETS,
        }
        self._findings = Findings()
        self._conduct = Conduct(self._findings, coverage)
        self._books = Bookkeeping(self._findings)
        self.purses = Purses(self._findings, coverage)
        self.moving = Moving(gateway, self.purses, self._findings)
        self.fail = self._findings.fail

    @property
    def found(self) -> list[Violation]:
        """
        What did not hold, the first thing first.
        """
        return self._findings.found

    @property
    def orders(self) -> dict[str, Shadow]:
        """
        Every order, as it adds up.
        """
        return self._findings.orders

    def rows(self, order_id: str) -> set[str]:
        """
        Return the keys of what an order, or a wallet, has asked others to carry out.
        """
        outgoing = self._findings.outgoing(order_id)
        return set() if outgoing is None else set(outgoing.rows)

    def outgoing(self) -> Iterator[tuple[str, Outgoing]]:
        """
        Yield every order and every wallet, by its id.
        """
        yield from self.orders.items()
        yield from self._findings.wallets.items()

    def keep(self) -> None:
        """
        Remember what is known: a backup is taken.
        """
        self._findings.keep()
        self.purses.keep()

    def put_back(self) -> None:
        """
        Know what was known then; what was moved since is what it is.
        """
        self._findings.put_back()
        self.purses.put_back()
        self.moving.forget()

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
        shadow = self._findings.outgoing(effect.order_id)
        if shadow is None or effect.key not in shadow.rows:
            self.fail("I7", f"{effect.kind} was never asked for", effect.order_id)
            return
        if effect.key in shadow.done:
            self.fail("I6", f"{effect.kind} is done, and claimed", effect.order_id)
        if effect.token <= shadow.tokens.get(effect.key, 0):
            self.fail("I27", f"{effect.kind}: an old token again", effect.order_id)
        shadow.tokens[effect.key] = effect.token

    def _ended(self, order_id: str, result: Any) -> None:
        shadow = self._findings.outgoing(order_id)
        assert shadow is not None
        if result.token != shadow.tokens.get(result.key, 0):
            self.fail("I27", "an attempt was ended under an old token", order_id)
        if result.key in shadow.done:
            self.fail("I12", "what was done is not done any more", order_id)
        if result.status == "done":
            shadow.done.add(result.key)

    def _committed(self, change: Change, said: Said | None) -> None:
        order_id = change.order_id
        if is_wallet(change.snapshot):
            self.purses.committed(change, said)
            for result in change.results:
                self._ended(order_id, result)
            return
        shadow = self.orders.get(order_id)
        if shadow is None:
            shadow = self.orders[order_id] = Shadow(order_id, self._process)
        if change.expected_version != shadow.version:
            self.fail("I18", "a change went through that saw another version", order_id)
        if change.version != shadow.version + len(change.events):
            self.fail("I18", "the versions are no chain", order_id)
        if change.receipt is not None:
            if change.receipt.key in shadow.receipts:
                self.fail("I17", "one key was used twice", order_id)
            shadow.receipts.add(change.receipt.key)
        before = shadow.version
        self._quotes_nobody(change)
        self._conduct.looked_once(change)
        self._events_of(shadow, change, said)
        if change.fingerprint != shadow.process.fingerprint:
            self.fail("I26", "it runs under other rules than its own", order_id)
        for effect in change.effects:
            if effect.key in shadow.rows:
                self.fail("I5", f"{effect.kind} has the key of another", order_id)
            shadow.rows[effect.key] = effect.kind
            if effect.status == "done":
                shadow.done.add(effect.key)
        for result in change.results:
            self._ended(order_id, result)
        if shadow.version != before or change.effects:
            self._books.closed(shadow, change)

    def _quotes_nobody(self, change: Change) -> None:
        """
        I28, I32: what somebody wrote is among the texts, not too long, and nowhere else.
        """
        bodies = (change.snapshot, *(event.body for event in change.events))
        bodies += tuple(effect.body for effect in change.effects)
        if any(CANARY in body for body in bodies):
            self.fail(
                "I32", "what somebody wrote stays when it is erased", change.order_id
            )
        for text in change.texts:
            if len(text.text.encode()) > TEXT_BYTES_MAX:
                self.fail("I28", "a text is longer than any may be", change.order_id)

    def _events_of(self, shadow: Shadow, change: Change, said: Said | None) -> None:
        """
        Add up the events of a change.
        """
        money = {
            effect.key: effect for effect in change.effects if effect.kind in MOVEMENTS
        }
        acted: list[tuple[str, Any]] = []
        by_system = False
        for stored in change.events:
            self._chained(shadow, stored)
            recorded = self.read(stored)
            standing = shadow.standing
            role = recorded.by.role
            if role is Role.SYSTEM:
                self._conduct.fired(shadow, recorded, again=by_system)
            elif isinstance(recorded.event, e.OrderMigrated):
                self._moved(shadow, recorded)
            elif not isinstance(recorded.event, (*_UNNOTICED, *RETURNED)) or (
                recorded.by != OUTBOX and said is not None
            ):
                if not acted:
                    self._conduct.acted(shadow, recorded, said)
                acted.append((shadow.state, standing))
            by_system = role is Role.SYSTEM
            self._conduct.told(shadow, recorded)
            self._books.booked(shadow, recorded, money)
            if recorded.standing is not None:
                self._conduct.begun(shadow, standing, recorded)
                shadow.standing = recorded.standing
            if acted and role is not Role.SYSTEM and said is not None:
                self._conduct.led(shadow, acted[0], said)
        for effect in money.values():
            self.fail(
                "I5",
                f"{effect.kind}: nobody is owed what is asked for",
                shadow.order_id,
            )

    def moves(self, order_id: str, process: Process[Any]) -> None:
        """
        Note that staff asks to move an order to other rules.
        """
        self._moves.add((order_id, process.fingerprint))

    def _moved(self, shadow: Shadow, recorded: Any) -> None:
        """
        I19, I26: an order changes its rules if staff asked for it.
        """
        to = recorded.event.fingerprint
        if (shadow.order_id, to) not in self._moves:
            self.fail("I26", "nobody asked for these rules", shadow.order_id)
        if recorded.by.role is not Role.OPERATOR:
            self.fail("I19", "its rules are not for its parties", shadow.order_id)
        shadow.process = self._known[to]
        self._coverage.counts["moved to other rules"] += 1

    def read(self, stored: NewEvent | StoredEvent) -> Any:
        """
        Return what an event says.
        """
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
        if stored.hash != hash_of(shadow.head, order_id, stored):
            self.fail("I14", f"{stored.name} has another hash", order_id)
        shadow.version = stored.seq
        shadow.head = stored.hash
        shadow.hashes.append(stored.hash)
        shadow.names.append(stored.name)

    # --- what people are told -----------------------------------------------------

    def replied(self, said: Said, answer: Any) -> None:
        """
        I17, I35: what somebody is told is so, and is the same each time.
        """
        if isinstance(answer, Entry):
            self.purses.replied(said, answer)
            return
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
