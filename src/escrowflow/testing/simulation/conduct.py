"""
Who acts, and when: each at his place, and in time; the system only at a deadline.
"""

from __future__ import annotations

import unicodedata
from typing import Any, final

from ... import events as e
from ...clock import to_micros
from ...commands import Command, ConfirmPayment
from ...parties import OUTBOX, Actor, Role
from ...states import BACK, STAY, Process, Row
from ...storage import Change
from ...wallet import BY as WALLET
from .coverage import Coverage
from .shadow import Findings, Said, Shadow

__all__ = ["RETURNED", "Conduct"]

# What a payment leaves behind that came with a command that was refused (idea 8).
RETURNED = (e.PaymentReturned, e.HoldReleased)


@final
class Conduct:
    """
    Holds each event against who may bring it about, and when.
    """

    def __init__(self, findings: Findings, coverage: Coverage) -> None:
        self._fail = findings.fail
        self._coverage = coverage

    def fired(self, shadow: Shadow, recorded: Any, *, again: bool) -> None:
        """
        I21 to I23: the system moves only at a deadline, the earliest first, and as of
        its instant, however late.
        """
        at = to_micros(recorded.effective_at)
        if again and at == shadow.effective_at:
            # More of the same move.
            return
        waits = [(shadow.armed(wait), wait) for wait in shadow.waits()]
        if not waits:
            self._fail("I22", f"{recorded.name}: no deadline runs", shadow.order_id)
            return
        first = min(due for due, _ in waits)
        if at != max(first, shadow.effective_at):
            self._fail(
                "I23",
                f"{recorded.name} counts {at - first} microseconds after its deadline",
                shadow.order_id,
            )
        kinds = {wait.name for due, wait in waits if due == first}
        rows = [
            kind
            for kind in shadow.process.deadlines
            if kind.name in kinds and shadow.state in map(str, kind.runs)
        ]
        if not rows:
            self._fail(
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

    def looked_once(self, change: Change) -> None:
        """
        I24: whoever decides looks at the clock once; what he writes, he writes then.
        """
        if len({event.recorded_at for event in change.events}) > 1:
            self._fail("I24", "one decision, and two instants", change.order_id)

    def begun(self, shadow: Shadow, before: Any, recorded: Any) -> None:
        """
        I24: no wait is over before it begins; one that goes on may be.
        """
        at = to_micros(recorded.effective_at)
        old = set() if before is None else {wait.name for wait in before.deadlines}
        for wait in recorded.standing.deadlines:
            if wait.name not in old and not wait.passed and shadow.armed(wait) < at:
                self._fail(
                    "I24",
                    f"{recorded.name} begins the wait {wait.name}, which is over",
                    shadow.order_id,
                )

    def acted(self, shadow: Shadow, recorded: Any, said: Said | None) -> None:
        """
        I19, I21: whoever acts takes part, may do so here, and is in time.
        """
        by: Actor = recorded.by
        order_id = shadow.order_id
        if said is None and by not in (OUTBOX, WALLET):
            self._fail("I19", f"{recorded.name}: nobody had asked", order_id)
            return
        if said is not None and by != said.by:
            self._fail("I19", f"{recorded.name} is said to be {by.role.text}", order_id)
        if said is not None and not isinstance(recorded.event, RETURNED):
            said.commits += 1
            if said.commits > 1:
                self._fail("I17", f"{said.command.name} was done twice", order_id)
            if said.if_version not in (None, recorded.seq - 1):
                self._fail("I18", f"{said.command.name}: of another version", order_id)
        if isinstance(recorded.event, e.OrderPlaced):
            return
        if not self._takes_part(shadow, by, recorded.event):
            self._fail(
                "I19", f"{recorded.name}: the {by.role.text} is a stranger", order_id
            )
        if said is not None and not isinstance(recorded.event, RETURNED):
            edge = (shadow.state, said.command.name, by.role.text)
            if self._row(shadow.process, edge, said.command) is None:
                self._fail("I19", f"{' '.join(edge)}: there is no such row", order_id)
            self._coverage.edges[edge] += 1
            self._coverage.counts["accepted"] += 1
        elif said is not None and isinstance(said.command, ConfirmPayment):
            # What is not owed goes back: that is how it is accepted after the first.
            edge = (shadow.state, said.command.name, by.role.text)
            self._coverage.edges[edge] += 1
        at = to_micros(recorded.effective_at)
        for wait in shadow.waits():
            if shadow.armed(wait) <= at:
                self._fail(
                    "I21",
                    f"{recorded.name} came {at - shadow.armed(wait)} microseconds after "
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

    @staticmethod
    def _row(
        process: Process[Any], edge: tuple[str, str, str], command: Command
    ) -> Row | None:
        state, _, role = edge
        for row in process.rows:
            if (
                row.command is type(command)
                and state in map(str, row.states)
                and any(one.text == role for one in row.by)
            ):
                return row
        return None

    def led(self, shadow: Shadow, before: tuple[str, Any], said: Said) -> None:
        """
        I19: a command leads where its row says.
        """
        state, standing = before
        if said.placing:
            return
        row = self._row(
            shadow.process, (state, said.command.name, said.by.role.text), said.command
        )
        if row is None:
            return
        after = shadow.state
        leads = set(row.leads(shadow.process.policies).values())
        fine = (
            after == state
            or any(isinstance(to, str) and str(to) == after for to in leads)
            or (BACK in leads and standing is not None and after in standing.left)
        )
        if not fine or (after == state and state not in leads | {STAY} and not leads):
            self._fail(
                "I19",
                f"{said.command.name} led from {state} to {after}",
                shadow.order_id,
            )

    def told(self, shadow: Shadow, recorded: Any) -> None:
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
                self._fail("I20", "buyer and seller are one", order_id)
        elif isinstance(event, e.MediatorAssigned):
            shadow.mediator_id = event.mediator_id
            both = map(_one_spelling, (shadow.buyer_id, shadow.seller_id))
            if _one_spelling(event.mediator_id) in both:
                self._fail("I20", "the mediator is a party", order_id)
        elif isinstance(event, (e.ClaimWithdrawn, e.ClaimRejected, e.OrderRelaunched)):
            # The mediator is released with the case.
            shadow.mediator_id = None
        standing = recorded.standing or shadow.standing
        if shadow.ended and str(standing.state) != shadow.state:
            self._fail("I34", f"{recorded.name} after the end", order_id)


def _one_spelling(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
