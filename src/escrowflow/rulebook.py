"""
The rules of a process as text: what a buyer and a seller would read.

Every sentence is made from the table and the policies that run; change a policy, and
its sentence changes.  What a host's own policy object does beyond the published
protocols is not told, nor are a host's own states and commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, Final, TypeAlias, final

import attrs

from .commands import (
    CancelOrder,
    ExpireAnswer,
    FileClaim,
    RequestCancellation,
    RequestExtension,
)
from .errors import InvalidInputError
from .inputs import FrozenDict, kind_of
from .money import NOTHING, Fee, Share
from .parties import Role
from .policies import Alone, No, Situation
from .rules import Policies
from .states import Process
from .terms import RULINGS
from .words import chapter_text, clause_text

__all__ = ["Chapter", "Clause", "rulebook"]

_Process: TypeAlias = Process[Policies]

_PARTIES: Final = (Role.BUYER, Role.SELLER)

# More than any rule counts to.
_MANY: Final = 100


@final
@attrs.frozen(kw_only=True)
class Clause:
    """
    One rule, as people read it.

    Attributes:
        code: Which sentence it is.

        params: Its parts, by name.
    """

    code: str
    params: Mapping[str, Any] = attrs.field(factory=FrozenDict)

    def text(self, locale: str = "en") -> str:
        """
        Return it as a sentence.
        """
        return clause_text(self.code, self.params, locale)


@final
@attrs.frozen(kw_only=True)
class Chapter:
    """
    The rules of one chapter of an order's life.

    Attributes:
        name: Which chapter: `acceptance`.

        clauses: Its rules.
    """

    name: str
    clauses: tuple[Clause, ...]

    def title(self, locale: str = "en") -> str:
        """
        Return its title.
        """
        return chapter_text(self.name, locale)


def rulebook(process: _Process) -> tuple[Chapter, ...]:
    """
    Return the rules of a process, chapter by chapter.

    Raises:
        InvalidInputError: If it is no process.
    """
    if not isinstance(process, Process):
        raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
    chapters = (
        Chapter(name=name, clauses=tuple(tell(process)))
        for name, tell in _CHAPTERS.items()
    )
    return tuple(chapter for chapter in chapters if chapter.clauses)


def _clause(code: str, **params: Any) -> Clause:
    return Clause(code=code, params=FrozenDict(params))


def _first(ends: Callable[[int], bool]) -> Iterator[int]:
    """
    Return the first number at which something ends, if it ever does.
    """
    return islice((count for count in range(1, _MANY) if ends(count)), 1)


# --- the chapters -----------------------------------------------------------------


def _payment(process: _Process) -> Iterator[Clause]:
    policies = process.policies
    yield _clause("held")
    yield _clause("pay_within", window=policies.lifetime.payment_window)
    if policies.acceptance.charge_at == "acceptance":
        yield _clause("charged_at_acceptance")


def _acceptance(process: _Process) -> Iterator[Clause]:
    rules = process.policies.acceptance
    yield _clause("accept_within", window=rules.acceptance_window)
    for window in rules.reminders:
        yield _clause("accept_reminder", window=window)
    if rules.brief_required:
        yield _clause("brief_required")
    if rules.brief_window is not None:
        yield _clause("brief_within", window=rules.brief_window)


def _delivery(process: _Process) -> Iterator[Clause]:
    yield _clause("deliver_within")
    yield _clause("late")
    late_window = process.policies.delivery.late_window
    if late_window is not None:
        yield _clause("late_until", window=late_window)
    if process.places(RequestExtension, Role.SELLER):
        yield _clause("later_date")


def _cancellation(process: _Process) -> Iterator[Clause]:
    rules = process.policies.cancellation
    for role in _PARTIES:
        on_time = _alone(process, role, late=False)
        late = _alone(process, role, late=True)
        if on_time:
            yield _clause(f"{role.text}_leaves_alone", states=tuple(on_time))
        more = tuple(state for state in late if state not in on_time)
        if more:
            yield _clause(f"{role.text}_leaves_late", states=more)
        for share in sorted({*on_time.values(), *late.values()}, key=str):
            if share != NOTHING:
                yield _clause(f"{role.text}_leaves_share", share=share)
    yield _clause("all_back")
    asked = tuple(
        state
        for state in process.places(RequestCancellation, Role.BUYER)
        if not isinstance(rules.request(_situation(state, Role.BUYER)), No)
    )
    if asked:
        yield _clause("asks", states=asked)
        code = "silence_cancels" if _silence_agrees(process) else "answer_cancellation"
        yield _clause(code, window=rules.answer_window)
        for count in _first(partial(rules.disputes_after, delivered=False)):
            yield _clause("refused_cancellations", count=count)


def _silence_agrees(process: _Process) -> bool:
    """
    Whether a request that is not answered counts as agreed to.
    """
    kind = process.kinds.get("answer")
    return kind is not None and kind.command is ExpireAnswer


def _alone(process: _Process, role: Role, *, late: bool) -> dict[str, Share]:
    """
    Return where a party may leave alone, with what the seller keeps then.
    """
    found = {}
    for state in process.places(CancelOrder, role):
        right = process.policies.cancellation.cancel(_situation(state, role, late))
        row = process.row(state, CancelOrder, role)
        if isinstance(right, Alone) and row and row.opened_by(process.policies):
            found[str(state)] = right.to_seller
    return found


def _situation(state: str, role: Role, late: bool = False) -> Situation:
    return Situation(state=str(state), role=role, late=late, delivered=False)


def _verification(process: _Process) -> Iterator[Clause]:
    rules = process.policies.completion
    yield _clause("verify_within", window=rules.verification_window)
    for window in rules.reminders:
        yield _clause("verify_reminder", window=window)
    for trigger in ("approve", "review"):
        if rules.completes(trigger):
            yield _clause(f"{trigger}_completes")


def _revision(process: _Process) -> Iterator[Clause]:
    rules = process.policies.revision
    if rules.revisions is None:
        yield _clause("revisions_agreed")
    else:
        yield _clause("revisions_of_process", count=rules.revisions)
    beyond = rules.request(used=1, agreed=1)
    yield _clause("beyond_is_refused" if beyond == "refused" else "beyond_is_marked")
    if rules.revision_needs_seller_answer:
        code = "silence_revises" if _silence_agrees(process) else "answer_revision"
        yield _clause(code, window=rules.answer_window)
        yield _clause("choose_within", window=rules.choice_window)
        for count in _first(rules.disputes_after):
            yield _clause("refused_revisions", count=count)
    else:
        yield _clause("no_answer_needed")


def _dispute(process: _Process) -> Iterator[Clause]:
    rules = process.policies.dispute
    for role in _PARTIES:
        if rules.may_open(role) and process.places(FileClaim, role):
            yield _clause(f"{role.text}_claims")
    if rules.claim_window is not None:
        yield _clause("claim_holds", window=rules.claim_window)
    yield _clause("dispute_stops")
    yield _clause("mediator_within", window=rules.mediator_sla)
    ruling = rules.by_default(delivered=True)
    if rules.ruling_window is None or ruling is None:
        yield _clause("no_ruling_limit")
    elif ruling != rules.by_default(delivered=False):
        yield _clause("rule_within_by_delivery", window=rules.ruling_window)
    else:
        (name,) = (name for name, kind in RULINGS.items() if kind is type(ruling))
        yield _clause("rule_within", window=rules.ruling_window, ruling=name)
    yield _clause("ruling_final")


def _refunds(process: _Process) -> Iterator[Clause]:
    policies = process.policies
    proposals = policies.partial_refunds.proposals
    yield _clause("proposals" if proposals else "mediator_only")
    for method, days in getattr(policies.refund_timing, "refund_eta", {}).items():
        first, last = days if isinstance(days, tuple) else (days, days)
        if last == 0:
            yield _clause("refund_at_once", method=method)
        else:
            yield _clause("refund_days", method=method, first=first, last=last)


def _extras(process: _Process) -> Iterator[Clause]:
    rules = process.policies.extras
    yield _clause("offer_within", window=rules.offer_window)
    yield _clause("tip_max", share=rules.tip_max)


def _fees(process: _Process) -> Iterator[Clause]:
    rules = process.policies.fees
    told = False
    for name in ("buyer_fee", "bank_fee", "tax"):
        fee = getattr(rules, name, Fee())
        if fee != Fee():
            told = True
            yield _clause("fee_on_top", fee=fee, name=name)
    fee = getattr(rules, "seller_fee", Fee())
    if fee != Fee():
        told = True
        yield _clause("fee_of_seller", fee=fee)
    borne: frozenset[str] = getattr(rules, "buyer_bears", frozenset())
    if borne:
        yield _clause("fees_borne", names=tuple(sorted(borne)))
    if not told:
        yield _clause("no_fees")


def _end(process: _Process) -> Iterator[Clause]:
    policies = process.policies
    talk = policies.conversation
    completed = getattr(talk, "chat_after_completed", None)
    if isinstance(completed, timedelta):
        yield _clause("talk_completed", window=completed)
    elif completed is not None:
        yield _clause("talk_until_left")
    cancelled = getattr(talk, "chat_after_cancelled", None)
    if cancelled is not None:
        yield _clause("talk_cancelled", window=cancelled)
    yield _clause("review_within", window=policies.reviews.review_window)
    lifetime = policies.lifetime
    if lifetime.order_cap is not None:
        yield _clause(
            f"cap_for_{lifetime.expiry_beneficiary}", window=lifetime.order_cap
        )
        ruled_on = lifetime.expiry_beneficiary == "mediator"
        if lifetime.cap_grace is not None and not ruled_on:
            yield _clause("cap_grace", window=lifetime.cap_grace)


_CHAPTERS: Final[Mapping[str, Callable[[_Process], Iterator[Clause]]]] = {
    "payment": _payment,
    "acceptance": _acceptance,
    "delivery": _delivery,
    "cancellation": _cancellation,
    "verification": _verification,
    "revision": _revision,
    "dispute": _dispute,
    "refunds": _refunds,
    "extras": _extras,
    "fees": _fees,
    "end": _end,
}
