"""
What came up in a simulation: counted, so that a run that tried nothing shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from ...parties import Role
from ...states import Process, Row

__all__ = ["GOALS", "Coverage", "Edge", "edges_of"]

# State, command, role: all as text.
Edge = tuple[str, str, str]

# What must have come up, and how often in a hundred seeds of 300 steps: less than half of
# what usually does.  Of fewer seeds, or shorter ones, much less is asked.
GOALS: Final[Mapping[str, int]] = {
    "accepted": 1000,
    "refused": 300,
    "deadline": 100,
    "at the deadline": 25,
    "just before a deadline": 60,
    "just after a deadline": 30,
    "repeated": 250,
    "replayed": 500,
    "outrun": 150,
    "storage fails": 80,
    "storage unknown": 25,
    "storage lost": 20,
    "storage arrives_late": 10,
    "storage restored": 20,
    "repeated what was lost": 40,
    "moved to other rules": 15,
    "paid from a wallet": 15,
    "back in a wallet": 8,
    "debited first": 5,
    "withdrawal asked": 80,
    "withdrawal beside another": 40,
    "withdrawal paid": 70,
    "withdrawal back in its wallet": 3,
    "withdrawal under another key": 7,
    "withdrawal refused balance_too_low": 80,
    "a host commits": 90,
    "a host rolls back": 30,
    "a host dies before": 20,
    "a host dies after": 20,
    "killed before": 200,
    "killed after": 200,
    "paused past its lease": 50,
    "clock skew": 80,
    "clock jump": 40,
    "clock astray": 10,
    "gateway lost": 2,
    "gateway unanswered": 2,
    "gateway late": 2,
    "gateway error": 2,
    "gateway refused": 2,
    "gateway pending": 2,
    "quiet with an order that runs": 30,
    "altered": 40,
    "erased": 5,
}


class Coverage:
    """
    Counters, by name.

    Attributes:
        counts: How often something came up.

        edges: How often somebody went along an edge of the table.

        codes: How often a refusal gave a reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.edges: Counter[Edge] = Counter()
        self.codes: Counter[str] = Counter()

    def add(self, other: Coverage) -> None:
        """
        Count what another one counted.
        """
        self.counts.update(other.counts)
        self.edges.update(other.edges)
        self.codes.update(other.codes)


def edges_of(process: Process[Any]) -> frozenset[Edge]:
    """
    Return every edge that somebody may go along: of the states that orders get to under
    the policies, what is offered to people there, what the provider may say, and the
    deadlines that are ever armed.
    """
    edges: set[Edge] = set()
    reached, todo = {str(process.initial)}, [str(process.initial)]
    while todo:
        state = todo.pop()
        for row in process.rows:
            if state not in map(str, row.states):
                continue
            roles = [
                role for role in Role if role in row.by and _goes(process, row, role)
            ]
            leads = row.leads(process.policies) if roles else {}
            if not leads:
                continue
            edges.update((state, row.command.name, role.text) for role in roles)
            new = {str(to) for to in leads.values() if isinstance(to, str)} - reached
            reached |= new
            todo += sorted(new)
    return frozenset(edges)


def _goes(process: Process[Any], row: Row, role: Role) -> bool:
    """
    Whether somebody in this role ever goes along a row.
    """
    if role is Role.SYSTEM:
        return any(
            kind.command is row.command and process.armed(kind)
            for kind in process.deadlines
        )
    return row.offered or role is Role.PROVIDER
