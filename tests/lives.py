"""
Lives of orders, led at random: what people send, what time does, what must hold.

A life is led through the engine alone, as a host would.  Whatever is chosen is
taken from a `random.Random`, so that a seed is a life.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from escrowflow import commands as c
from escrowflow.clock import FakeClock, as_utc
from escrowflow.decisions import Refusal, next_due, options
from escrowflow.engine import Engine, Outcome
from escrowflow.errors import InvalidInputError, OrderNotFoundError
from escrowflow.history import fold
from escrowflow.money import NOTHING, Fee, Money, Payment, Share
from escrowflow.order import Order
from escrowflow.parties import Actor, Buyer, Mediator, Role, Seller
from escrowflow.processes import recommended
from escrowflow.rules import Alone, ByConsent, No, Right, Situation
from escrowflow.states import BACK, STAY, Process
from escrowflow.storage.codec import decode_order, encode_order
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import AddOn, FullRefund, PaySeller, Relaunch, Split
from escrowflow.testing.invariants import check_effects, check_history
from tests.given import ANA, COMEUP, LUC, OPS, STRIPE, T0, eur, terms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from escrowflow.rules import Policies

MICRO: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)

PARTS: Final = Role.BUYER | Role.SELLER | Role.MEDIATOR
MEDIATORS: Final = (Mediator("mia"), Mediator("max"))
STRANGERS: Final = (Buyer("eve"), Seller("eve"), Mediator("ana"), Mediator("luc"))
WORKING: Final[tuple[Actor, ...]] = (ANA, LUC, *MEDIATORS, OPS, STRIPE)


class Lenient:
    """
    Rights of a host's own: some requests to cancel need no answer.
    """

    version = "1"
    answer_window = timedelta(hours=12)

    def cancel(self, situation: Situation) -> Right:
        """
        The seller may, anywhere; the buyer before the work began.
        """
        if situation.role is Role.SELLER or situation.state in ("pending",):
            return Alone(Share.percent(10) if situation.late else NOTHING)
        return No("no_cancellation_request_here")

    def request(self, situation: Situation) -> Right:
        """
        Of work that is late or was handed over: asking is enough.
        """
        if situation.late or situation.delivered:
            return Alone(Share.percent(50))
        return ByConsent()

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        """
        Never by itself.
        """
        return False


LATER: Final = "charged later"

FEES: Final = {
    "buyer_fee": Fee(bps=500),
    "seller_fee": Fee(flat=eur(1), bps=1000),
    "bank_fee": Fee(flat=eur("0.30")),
    "tax": Fee(bps=2000),
}

# Each opens rows or outcomes that the others keep shut; C4 and so on are the
# points of the rules.
VARIANTS: Final[dict[str, Process[Policies]]] = {
    "defaults": COMEUP,
    "C4": COMEUP.with_policies(
        revision={"dispute_after_revision_refusals": 2}, fees=FEES
    ),
    "C8": COMEUP.with_policies(
        revision={"revision_needs_seller_answer": False},
        delivery={"revision_deadline": "remaining"},
    ),
    "C4 thrice": COMEUP.with_policies(
        revision={
            "dispute_after_revision_refusals": 3,
        },
        conversation={"chat_after_completed": "until_left"},
    ),
    "C11": COMEUP.with_policies(
        cancellation={"late_cancel": "request_auto_accepted"},
        completion={"completion_triggers": {"approve"}},
    ),
    "C12": COMEUP.with_policies(
        cancellation={
            "cancel_request_states": {"in_progress", "delivered", "revision_refused"},
            "seller_cancel_states": {
                "pending",
                "in_progress",
                "cancellation_requested",
                "delivered",
                "revision_requested",
                "revision_refused",
            },
            "auto_dispute_after_cancel_refusals": 1,
        },
        delivery={"deliver_during_cancel_request": True},
        extras={"addon_deadline": "add_days"},
    ),
    "rights of a host": COMEUP.with_policies(cancellation=Lenient()),
    "ruling window": COMEUP.with_policies(
        dispute={"ruling_window": "P10D", "default_ruling": FullRefund()},
        delivery={"relaunch_deadline": "mediator_sets"},
        time={"deadline_boundary": "inclusive"},
    ),
    "ruling window for the seller": COMEUP.with_policies(
        dispute={"ruling_window": "P3D", "default_ruling": PaySeller()},
        fees={**FEES, "buyer_bears": {"bank_fee"}},
        extras={"addon_deadline": "max"},
    ),
    "cap": COMEUP.with_policies(
        lifetime={"order_cap": "PT30H"}, fees=FEES, time={"day_arithmetic": "civil"}
    ),
    "cap without grace": COMEUP.with_policies(
        lifetime={
            "order_cap": "P4D",
            "cap_after_dispute": "expire_now",
            "expiry_beneficiary": "buyer",
        },
        conversation={"chat_grace_from": "delivery"},
    ),
    LATER: COMEUP.with_policies(
        acceptance={"charge_at": "acceptance", "acceptance_window": "P6D"},
    ),
    "cap for the seller": COMEUP.with_policies(
        lifetime={"order_cap": "P1M", "expiry_beneficiary": "seller"},
        dispute={"dispute_entry": {"revision_refused": "claim_then_mediator"}},
        partial_refunds={"partial_refund_base": "all"},
        fees=FEES,
    ),
    "cap for whom a mediator says": COMEUP.with_policies(
        lifetime={"order_cap": "PT30H", "expiry_beneficiary": "mediator"},
        dispute={"ruling_window": "P2D", "default_ruling": "by_delivery"},
    ),
    "recommended": recommended(),
    "recommended in haste": recommended().with_policies(
        acceptance={"brief_required": True},
        delivery={"late_window": "PT30H"},
        lifetime={"order_cap": "P8D"},
    ),
}

# What the system did where it moved nothing, as its event tells.
SYSTEM_EVENTS: Final = {
    "acceptance_reminded": "remind_acceptance",
    "order_marked_late": "mark_late",
    "dispute_unlocked": "unlock_dispute",
    "verification_reminded": "remind_verification",
    "offer_expired": "expire_offer",
    "mediator_alerted": "alert_mediator",
    "conversation_closed": "close_conversation",
}

Cell = tuple[str, str, str]

# A revision that needs no answer is never refused, so that no order gets there.
# The row is for both states, and the outcome is taken in the other one.
IMPOSSIBLE: Cell = ("revision_refused", "request_revision", "begun")

# Taken only where the buyer is charged later, which little else depends on.
HOLDING: Final = frozenset(
    (str(state), row.command.name, outcome)
    for row in COMEUP.rows
    if row.command in (c.ExpireHold, c.ReportCharge, c.AcceptOrder) and not row.anywhere
    for state in row.states
    for outcome in row.to
    if row.command is not c.AcceptOrder or outcome
)

# What has to be there before something else can be done about it.
_OPENS: Final[dict[type[c.Command], tuple[type[c.Command], ...]]] = {
    c.FileClaim: (
        c.EditClaim,
        c.WithdrawClaim,
        c.AssignMediator,
        c.RejectClaim,
        c.ConvertClaim,
        c.EscalateClaim,
        *(c.ExpireBrief, c.ExpireDelivery, c.ExpireAnswer),
    ),
    c.AssignMediator: (c.RejectClaim, c.ConvertClaim, c.AskParties, c.RuleDispute),
    c.ProposePartialRefund: (
        c.WithdrawPartialRefund,
        c.AcceptPartialRefund,
        c.RefusePartialRefund,
    ),
    c.SendOffer: (c.PayOffer, c.RefuseOffer, c.WithdrawOffer, c.ExpireOffer),
    c.MarkLate: (c.RequestCancellation,),
    c.RequestExtension: (
        c.WithdrawExtension,
        c.AcceptExtension,
        c.RefuseExtension,
    ),
}
OPENS: Final = {
    command: tuple(
        (str(state), row.command.name, outcome)
        for row in (*COMEUP.rows, *VARIANTS["recommended"].rows)
        if row.command in opened
        for state in row.states
        for outcome in row.to
    )
    for command, opened in _OPENS.items()
}


def cells(process: Process[Policies]) -> Iterable[Cell]:
    """
    Yield each (state, command, outcome) of a table.
    """
    for row in process.rows:
        # What became of money has no place in the table: it is told anywhere.
        for state in () if row.anywhere else row.states:
            for outcome in row.to:
                yield str(state), row.command.name, outcome


def outcome_of(
    process: Process[Policies], before: str, command: type[c.Command], after: str
) -> str:
    """
    Return the outcome of a row that leads from one state to another.
    """
    row = process.by_cell[before, command][0]
    back = ""
    for outcome, to in row.to.items():
        if to is BACK:
            back = outcome
        elif (before if to is STAY else to) == after:
            return outcome
    return back


# --- what people send ---------------------------------------------------------------


def held(rng: random.Random, payment: Payment) -> Payment:
    """
    Return a payment that a bank may only hold, for some days.
    """
    if rng.random() < 0.1:
        return payment
    until = as_utc(T0, "now").add(days=rng.choice([1, 4, 30]))
    return attrs.evolve(payment, held_until=until)


def order_command(rng: random.Random, later: bool = False) -> c.PlaceOrder:
    """
    Return an order somebody might place: paid, paid in parts, or not yet.

    Args:
        later: Whether a bank may hold the money still.
    """
    price = Money(rng.randint(100, 20_000), "EUR")
    payment: Any = Payment("card", "pi_0")
    how = rng.randrange(5)
    if how == 0:
        payment = None
    elif how == 1:
        payment = (
            Payment("wallet", "pi_0", Money(30, "EUR")),
            Payment("paypal", "pi_00", Money(40, "EUR")),
        )
    if later and payment is not None:
        several = (payment,) if isinstance(payment, Payment) else payment
        payment = [held(rng, one) for one in several]
    add_ons: tuple[AddOn, ...] = ()
    if rng.random() < 0.2:
        add_ons = (AddOn(title="Logo", price=eur(20), extra_window="P1D"),)
    return c.PlaceOrder(
        seller_id="luc",
        price=price,
        payment=payment,
        tip=Money(max(price.minor // 10, 1), "EUR") if rng.random() < 0.2 else None,
        add_ons=add_ons,
        terms=terms(revisions=rng.choice([None, 0, 1, "unlimited"])),
        metadata={"#": "not a text"} if rng.random() < 0.1 else {},
    )


def payload(
    rng: random.Random, command: type[c.Command], order: Order, by: Actor
) -> c.Command:
    """
    Return a command with fields that fit most of the time.
    """
    process_takes_date = rng.random() < 0.5
    reason = {"reason": f"because {rng.randrange(9)}"}
    some = Money(rng.choice([1, 50, 99, max(order.ledger.escrow // 2, 1)]), "EUR")
    reference = f"pi_{order.version}" if rng.random() < 0.9 else "pi_0"
    open_offers = [offer.id for offer in order.offers if offer.status == "open"]
    offer_id = open_offers[-1] if open_offers and rng.random() < 0.9 else "offer-9"
    window = rng.choice([None, "PT6H", "P2D"])
    fields: dict[str, Any] = {}
    if command is c.ConfirmPayment:
        unpaid = [item.id for item in order.add_ons if not item.paid]
        item = rng.choice(["order", *unpaid, *open_offers])
        amount: Money | None = None
        if item == "order" and order.amount_due and rng.random() < 0.8:
            amount = order.amount_due
            if rng.random() < 0.4:
                amount = Money(max(amount.minor // 2, 1), "EUR")
        came = Payment("card", reference, amount)
        waiting = [hold for hold in order.holds if hold.open]
        if waiting and rng.random() < 0.3:
            known = rng.choice(waiting).payment
            came = attrs.evolve(known, held_until=None)
        elif item == "order" and rng.random() < 0.3:
            came = held(rng, came)
        fields = {"payment": came, "item": item}
    elif command is c.SubmitBrief:
        fields = {"text": "blue, please"}
    elif command is c.SendMessage:
        fields = {"reference": f"m-{order.version}"}
    elif command is c.DeliverOrder:
        fields = {"files": ("logo.svg",), "note": "here"}
    elif command is c.AssignMediator:
        own = by.role is Role.MEDIATOR and rng.random() < 0.9
        fields = {"mediator_id": by.id if own else rng.choice(["mia", "max", "ana"])}
    elif command is c.AskParties or command is c.ReplyToReview:
        fields = {"text": "why?"}
    elif command is c.AnswerMediator:
        fields = {"text": "so", "files": ("proof.png",)}
    elif command is c.RuleDispute:
        due_at = order.effective_at.add(days=3) if process_takes_date else None
        rulings = [FullRefund(), Split(to_buyer=some), Relaunch(due_at=due_at)]
        fields = {"ruling": rng.choice([*rulings, PaySeller()]), **reason}
    elif command is c.ProposePartialRefund:
        fields = {"amount": some, **reason}
    elif command is c.RequestExtension:
        later = max(order.due_at or order.effective_at, order.effective_at)
        fields = {"due_at": later.add(days=rng.choice([0, 1, 3])), **reason}
    elif command is c.BuyAddOn:
        payment = Payment("paypal", reference) if rng.random() < 0.7 else None
        fields = {
            "title": "More",
            "price": Money(rng.randint(1, 999), "EUR"),
            "payment": payment,
            "extra_window": window,
        }
    elif command is c.SendOffer:
        fields = {
            "title": "More",
            "price": Money(rng.randint(1, 999), "EUR"),
            "delivery_window": window,
        }
    elif command in (c.WithdrawOffer, c.RefuseOffer):
        fields = {"offer_id": offer_id}
    elif command is c.PayOffer:
        paid = Payment("card", reference) if offer_id != "offer-9" else None
        fields = {"offer_id": offer_id, "payment": paid}
    elif command is c.LeaveReview:
        fields = {"rating": rng.randint(1, 5), "text": "fine"}
    elif command is c.RemoveReview:
        fields = {"cause": "unlawful"}
    elif command is c.ExtendDeadlines:
        fields = {"window": "PT5H", **reason}
    elif command is c.ExpireOffer:
        fields = {"offer_id": offer_id}
    elif command is c.ReportCharge:
        still = [one for one in order.holds if one.open]
        hold = rng.choice([*order.holds, *(3 * still), None])
        fields = {
            # Nobody charges what staff stopped; the bank may let it go.
            "status": rng.choice(
                [
                    "failed" if order.state == "frozen" else "paid",
                    *c.reports.REPORT_STATUSES,
                ]
            ),
            "key": hold.key if hold and rng.random() < 0.5 else "",
            "reference": hold.payment.reference if hold else "nobody's",
            "amount": rng.choice([None, None, hold.amount if hold else some]),
            "again": rng.random() < 0.3,
            **reason,
        }
    elif command in (c.ReportRefund, c.ReportPayout):
        refunds = command is c.ReportRefund
        owed: Any = rng.choice([*(order.refunds if refunds else order.payouts), None])
        fields = {
            "status": rng.choice(c.reports.REPORT_STATUSES),
            "key": owed.key if owed and rng.random() < 0.8 else "nobody's",
            "reference": rng.choice(["", f"re_{rng.randrange(3)}"]),
            "amount": rng.choice([None, owed.amount if owed else some]),
            "again": rng.random() < 0.3,
            **reason,
        }
        if fields["reference"] and owed and rng.random() < 0.1:
            fields["key"] = ""
    elif command is c.ReportChargeback:
        booked = rng.choice([*order.payments, None])
        fields = {
            "chargeback_id": f"dp_{rng.randrange(3)}",
            "payment_reference": booked.reference if booked else "nobody's",
            "status": rng.choice(c.reports.CHARGEBACK_STATUSES),
            "amount": rng.choice([None, None, some]),
        }
    elif command is c.RedirectPayout:
        owed = rng.choice([*order.payouts, None])
        fields = {"key": owed.key if owed else "nobody's", "payee_id": "heir", **reason}
    elif "reason" in {field.name for field in attrs.fields(command)}:
        fields = reason
    return command(**fields)


# What is told of money, and by whom.
REPORTS: Final[tuple[tuple[Actor, type[c.Command]], ...]] = (
    (STRIPE, c.ReportRefund),
    (OPS, c.ReportRefund),
    (STRIPE, c.ReportPayout),
    (STRIPE, c.ReportCharge),
    (STRIPE, c.ReportChargeback),
    (OPS, c.RedirectPayout),
)


# --- where to go ---------------------------------------------------------------------

# How much there is to do for a cell that was taken never, once, twice, or more often.
_NEEDS: Final = (1.0, 0.8, 0.05, 0.02)

# How far ahead is looked.
_AHEAD: Final = 5

# A cell, under what it is missed, and whether there is ever anything to do for it.
_Wanted = tuple[Cell, tuple[str, ...], tuple[str, ...], bool]
_Steps = tuple[tuple[str, tuple[tuple[_Wanted, str], ...]], ...]
_STEPS: Final[dict[str, _Steps]] = {}


def _steps(process: Process[Policies]) -> _Steps:
    """
    Return for each state the cells that lead out of it, and where to.
    """
    found = _STEPS.get(process.fingerprint)
    if found is None:
        steps: dict[str, list[tuple[_Wanted, str]]] = {
            str(state): [] for state in process.members
        }
        for row in process.rows:
            for state in () if row.anywhere else row.states:
                for outcome, to in row.to.items():
                    after = str(to) if isinstance(to, str) else str(state)
                    cell = (str(state), row.command.name, outcome)
                    steps[str(state)].append((_wanted(process, cell, True), after))
        found = tuple((state, tuple(ways)) for state, ways in steps.items())
        _STEPS[process.fingerprint] = found
    return found


def _wanted(process: Process[Policies], cell: Cell, late: bool) -> _Wanted:
    needless = cell == IMPOSSIBLE or (cell in HOLDING and not charges_later(process))
    return cell, cell[:2], (*cell, str(late)), not needless


def charges_later(process: Process[Policies]) -> bool:
    """
    Whether the buyer is charged once the seller accepts.
    """
    return process.policies.acceptance.charge_at == "acceptance"


def need(
    taken: Counter[Cell], missed: Counter[tuple[str, ...]], wanted: _Wanted
) -> float:
    """
    Return how much there is still to do for a cell.
    """
    cell, here, there, ever = wanted
    if not ever:
        return 0.0
    done = taken.get(cell, 0)
    worth = _NEEDS[done if done < 3 else 3]
    if not missed:
        return worth
    # What was never possible here is not worth the way.
    misses = missed.get(here, 0) / 4 + missed.get(there, 0) / 2
    return worth / (1 + misses)


def promises(
    process: Process[Policies], taken: Counter[Cell], missed: Counter[tuple[str, ...]]
) -> dict[str, float]:
    """
    Return for each state how much there is still to do from there.
    """
    steps = [
        (state, [(need(taken, missed, wanted), to) for wanted, to in ways])
        for state, ways in _steps(process)
    ]
    values = dict.fromkeys((state for state, _ in steps), 0.0)
    for _ in range(_AHEAD):
        values = {
            state: max([here + 0.9 * values[to] for here, to in ways])
            for state, ways in steps
        }
    return values


# --- a life -------------------------------------------------------------------------


@attrs.define(kw_only=True, slots=False)
class Life:
    """
    One order, and everybody around it.

    Attributes:
        rng: What decides whatever has to be decided.

        process: What it runs on.

        taken: How often each cell of the table was taken, over all lives.

        previewed: How many of the commands are previewed first, 0 to 1.

        missed: How often a command was not possible in a state, under this
            process, or had another outcome.
    """

    rng: random.Random
    process: Process[Policies]
    taken: Counter[Cell] = attrs.field(factory=Counter)
    missed: Counter[tuple[str, ...]] = attrs.field(factory=Counter)
    engine: Engine = attrs.field(init=False)
    clock: FakeClock = attrs.field(init=False)
    order_id: str = "o1"
    previewed: float = 1.0
    counted: int = 0

    def __attrs_post_init__(self) -> None:
        self.clock = FakeClock(T0)
        self.engine = Engine(
            self.process,
            MemoryStorage(),
            clock=self.clock,
            salt=lambda: self.rng.getrandbits(128).to_bytes(16, "big"),
        )
        command = order_command(self.rng, self.later)
        self.engine.place(command, by=ANA, order_id=self.order_id)

    @property
    def later(self) -> bool:
        """
        Whether the buyer is charged once the seller accepts.
        """
        return charges_later(self.process)

    @property
    def order(self) -> Order:
        """
        The order as of now.
        """
        return self.engine.order(self.order_id)

    def stored(self) -> Order:
        """
        The order as it is stored.
        """
        loaded = self.engine.storage.load(self.order_id)
        return decode_order(loaded.snapshot, loaded.texts)

    # --- acting ---

    def send(self, by: Actor, command: c.Command) -> Outcome | Refusal | None:
        """
        Send a command, and hold the answer against what was said beforehand.

        Returns `None` if the actor or the command was turned away at the door.
        """
        engine, order_id = self.engine, self.order_id
        before = self.order
        version = engine.storage.load(order_id).version
        try:
            said = None
            if self.rng.random() < self.previewed:
                said = engine.preview(order_id, command, by=by)
            answer = engine.attempt(order_id, command, by=by)
        except (OrderNotFoundError, InvalidInputError):
            assert engine.storage.load(order_id).version == version
            return None
        if said is not None:
            self._as_said(said, answer)
        row = self.process.row(before.state, type(command), by.role)
        if isinstance(answer, Refusal):
            for option in engine_options(before, self, by):
                if option.command is type(command):
                    assert all(said in answer.blockers for said in option.blockers)
            assert answer.order == self.order
            assert {r.name for r in answer.recorded} <= {
                "payment_returned",
                "hold_released",
            }
            return answer
        assert row is not None
        assert answer.order == self.order
        mine = [r for r in answer.events if r.by == by]
        after = before.state
        for recorded in mine:
            if recorded.standing is not None:
                after = recorded.standing.state
        if mine and not row.anywhere:
            outcome = outcome_of(self.process, before.state, type(command), after)
            self.taken[str(before.state), command.name, outcome] += 1
        return answer

    def _as_said(self, said: Outcome | Refusal, answer: Outcome | Refusal) -> None:
        assert type(said) is type(answer)
        assert said.order == answer.order
        assert said.effects == answer.effects
        if isinstance(said, Outcome):
            assert isinstance(answer, Outcome)
            assert said.events == answer.events
        else:
            assert isinstance(answer, Refusal)
            assert said.blockers == answer.blockers

    def anything(self, by: Actor, command: type[c.Command]) -> None:
        """
        Send any command as anybody.
        """
        self.send(by, payload(self.rng, command, self.order, by))

    def something_allowed(self) -> None:
        """
        Send something that options allow.
        """
        order = self.order
        by, command = self.rng.choice(self._allowed(order))
        self.send(by, payload(self.rng, command, order, by))

    def report(self) -> None:
        """
        Say something of the money of the order.
        """
        self.anything(*self.rng.choice(REPORTS))

    def something_rare(self) -> None:
        """
        Send or wait for what leads to cells of the table that were rarely taken.
        """
        order = self.order
        state = str(order.state)
        values = promises(self.process, self.taken, self.missed)
        wanted: list[tuple[float, float, type[c.Command], Any]] = []
        allowed = self._allowed(order)
        found = {command for _, command in allowed}
        sooner = False
        for by, command in allowed:
            value = self._value(order, state, command, values)
            wanted.append((value, self.rng.random(), command, by))
        for wait in order.deadlines:
            command = self.process.kinds[wait.name].command
            found.add(command)
            if wait.name == "lifetime" and sooner:
                # Before that the order is another one.
                continue
            sooner |= wait.name in self.process.windows.values()
            value = self._value(order, state, command, values)
            wanted.append((value, self.rng.random(), command, wait.due_at))
        for here, command in self.process.by_cell:
            # Whether a bank holds something depends on the order, not on the state.
            if here == state and command not in found and command is not c.ExpireHold:
                self.missed[state, command.name] += 1
        _, _, command, what = max(wanted, key=lambda item: item[:2])
        before = Counter(self.taken)
        if isinstance(what, Actor):
            self.send(what, payload(self.rng, command, order, what))
        else:
            after = datetime.__add__(what, MICRO)
            self.clock.advance_to(max(after, self.clock.now()))
            self.sweep()
            self.count_system_moves()
        for outcome in self.process.by_cell[state, command][0].to:
            cell = (state, command.name, outcome)
            if self.taken[cell] == before[cell]:
                self.missed[(*cell, str(order.late))] += 1

    def _allowed(self, order: Order) -> list[tuple[Actor, type[c.Command]]]:
        now = self.clock.now()
        charges = [(STRIPE, c.ReportCharge)] if any(h.open for h in order.holds) else []
        return (
            charges
            + [
                (by, option.command)
                for by in WORKING
                if by.role not in PARTS or by.role in order.role_of(by.id)
                for option in options(self.process, order, by=by, now=now)
                if option.allowed
            ]
            + [
                (by, c.AssignMediator)
                for by in MEDIATORS
                if order.mediator_id is None
                and (str(order.state), c.AssignMediator) in self.process.by_cell
                and (order.claim is not None or order.state == "disputed")
            ]
        )

    def _need(self, cell: Cell, late: bool = True) -> float:
        return need(self.taken, self.missed, _wanted(self.process, cell, late))

    def _value(
        self,
        order: Order,
        state: str,
        command: type[c.Command],
        values: dict[str, float],
    ) -> float:
        row = self.process.by_cell[state, command][0]
        left = order.standing.left
        best = 0.0
        for outcome, to in row.to.items():
            after = state
            if to is BACK:
                after = left[-1] if left else state
            elif isinstance(to, str):
                after = str(to)
            need = self._need((state, command.name, outcome), order.late)
            best = max(best, need + 0.9 * values[after])
        if command is c.SendOffer and any(o.status == "open" for o in order.offers):
            return best
        if command is c.AssignMediator and order.mediator_id is not None:
            return best
        opened = OPENS.get(command, ())
        anywhere = command in (c.SendOffer, c.MarkLate)
        needs = [self._need(cell) for cell in opened if anywhere or cell[0] == state]
        return best + 0.8 * max(needs, default=0)

    # --- waiting ---

    def wait(self) -> None:
        """
        Let time pass: to just before, at or just after a deadline, or anywhere.
        """
        waits = [wait.due_at for wait in self.stored().deadlines]
        if waits and self.rng.random() < 0.7:
            to = datetime.__add__(
                self.rng.choice(waits), MICRO * self.rng.randint(-1, 1)
            )
            if to > self.clock.now():
                self.clock.advance_to(to)
        else:
            self.clock.advance(hours=self.rng.choice([0.1, 3, 30, 100]))

    def sweep(self) -> None:
        """
        Settle what is due, as a worker does.
        """
        report = self.engine.run_due()

        assert (report.unknown, report.parked, report.faster) == ((), (), 0)
        due = self.engine.next_due_at()
        assert due is None or due > self.clock.now()

    def step(self) -> None:
        """
        Let something happen.
        """
        chance = self.rng.random()
        if chance < 0.84:
            self.something_rare()
        elif chance < 0.89:
            self.something_allowed()
        elif chance < 0.9:
            self.report()
        elif chance < 0.95:
            by = self.rng.choice([*WORKING, *STRANGERS])
            command = self.rng.choice(list(self.process.commands.values()))
            self.anything(by, command)
        else:
            self.wait()
            if self.rng.random() < 0.5:
                self.sweep()

    def lead(self, steps: int) -> None:
        """
        Lead the life, and a little beyond its end.
        """
        after = 0
        for _ in range(steps):
            self.step()
            after += self.process.ended(self.stored().state)
            if after > 5:
                break
        self.count_system_moves()
        self.check()

    # --- what must hold ---

    def check(self) -> None:
        """
        Hold every invariant against the whole history.
        """
        engine, order_id = self.engine, self.order_id
        loaded = engine.storage.load(order_id)
        history = engine.history(order_id)
        order = fold(history)
        # I15: the history is the truth, the snapshot equals what it adds up to.
        assert encode_order(order) == loaded.snapshot
        assert loaded.version == order.version == len(history)
        due = next_due(self.process, order)
        assert engine.next_due_at() == (None if due is None else due[0])
        check_history(self.process, history)
        check_effects(engine, order_id)

    def count_system_moves(self) -> None:
        """
        Add to the cells taken those that the system took since the last time.
        """
        state = ""
        for recorded in self.engine.history(self.order_id):
            after = recorded.standing.state if recorded.standing else state
            if recorded.by.role is Role.SYSTEM and recorded.seq > self.counted:
                standing = recorded.standing
                name = SYSTEM_EVENTS.get(recorded.name, "")
                if standing is not None and standing.state != state:
                    name = self.process.kinds[standing.moved_by].command.name
                if name:
                    command = self.process.commands[name]
                    outcome = outcome_of(self.process, state, command, after)
                    self.taken[state, name, outcome] += 1
            state = str(after)
            self.counted = max(self.counted, recorded.seq)


def engine_options(order: Order, life: Life, by: Actor) -> tuple[Any, ...]:
    """
    Return what an actor could send; nothing if the order is not his.
    """
    try:
        return life.engine.options(order.id, by=by)
    except OrderNotFoundError:
        return ()
