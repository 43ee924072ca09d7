"""
What options promise is kept: blocked means blocked, allowed means done, as was told.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.decisions import Case, Step, decides
from escrowflow.events import MessageSent
from escrowflow.parties import Role
from escrowflow.states import STAY, Row, State
from escrowflow.storage.memory import MemoryStorage
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    T0,
    an_engine,
    brought_to,
    eur,
)
from tests.lives import VARIANTS
from tests.test_states import pausing
from tests.wander import PEOPLE, held_against, wanderers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from escrowflow.decisions import Option
    from escrowflow.engine import Engine

# 100,000 payloads in all; a million in `make soak`.
PARTS = 10
LIVES = 36
EACH = 6


@pytest.mark.proof
class TestLaw:
    """
    Whatever state an order is in, whoever asks, and whatever he sends.
    """

    @pytest.mark.parametrize("part", range(PARTS))
    def test_promises_are_kept(self, part: int) -> None:
        """
        Blocked: every payload is refused, with at least these blockers.  Allowed: every
        payload within the fields is taken, and does what was told.
        """
        rng = random.Random(part)
        seen: Counter[str] = Counter()
        allowed: set[str] = set()
        for wanderer in wanderers(f"options {part}", LIVES):
            for by in PEOPLE:
                options = wanderer.options(by)
                for option in rng.sample(options, min(EACH, len(options))):
                    well_formed = held_against(wanderer, option, by, rng)
                    seen["well formed" if well_formed else "malformed"] += 1
                    if option.allowed:
                        allowed.add(option.name)

        assert seen["well formed"] > 10_000
        assert seen["malformed"] < seen["well formed"] / 20
        # Each part sees most of them, all together all (below).
        assert len(allowed) > 30

    def test_every_command_is_wandered_through(self) -> None:
        """
        The walks reach every command that people have, allowed and blocked.
        """
        allowed: set[tuple[str, str]] = set()
        blocked: set[tuple[str, str]] = set()
        for wanderer in wanderers("all of them", 220):
            for by in PEOPLE:
                for option in wanderer.options(by):
                    found = allowed if option.allowed else blocked
                    found.add((by.role.text, option.name))
        everything = {
            (by.role.text, command.name)
            for by in PEOPLE
            for process in VARIANTS.values()
            for command in process.commands_of(by.role)
        }

        assert allowed == everything
        # Money that arrived is heard of in any state.
        assert everything - blocked == {
            ("provider", "confirm_payment"),
            ("operator", "confirm_payment"),
        }


@attrs.frozen(kw_only=True)
class Whenever(c.Command):
    """
    Do it at some tide.
    """

    tide: int = attrs.field()


def of(engine: Engine, by: Any, name: str) -> Option:
    """
    Return one option of somebody on the only order.
    """
    (found,) = (o for o in engine.options("o1", by=by) if o.name == name)
    return found


@pytest.fixture
def engine() -> Engine:
    """
    An engine in memory.
    """
    return an_engine(MemoryStorage(), clock=FakeClock(T0))


class TestFields:
    """
    Enough to draw the form, and no more than will be taken.
    """

    def test_amounts(self, engine: Engine) -> None:
        """
        What may be proposed is more than nothing and less than what is held (R90).
        """
        brought_to(engine, "in_progress")

        amount, reason = of(engine, ANA, "propose_partial_refund").fields

        assert (amount.name, amount.kind, amount.required) == ("amount", "money", True)
        assert (amount.minimum, amount.maximum) == (eur("0.01"), eur("99.99"))
        assert (reason.name, reason.kind, reason.required) == ("reason", "text", True)
        assert (reason.minimum, reason.maximum) == (1, 16 * 1024)

    def test_blocked_shows_the_whole_form(self, engine: Engine) -> None:
        """
        A blocked command says what it takes at all.
        """
        brought_to(engine, "pending")

        fields = of(engine, LUC, "deliver_order").fields

        assert [field.name for field in fields] == ["files", "note"]
        assert {field.one_of for field in fields} == {("files", "note")}

    def test_rulings(self, engine: Engine) -> None:
        """
        What may be ruled: no more than can be divided, no date unless one is taken;
        staff closes a frozen order, and does not relaunch it.
        """
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)

        ruling, _ = of(engine, MIA, "rule_dispute").fields

        assert ruling.choices == ("full_refund", "split", "relaunch", "pay_seller")
        (to_buyer,) = ruling.fields
        assert (to_buyer.choice, to_buyer.maximum) == ("split", eur("99.99"))

    def test_rulings_of_staff(self, engine: Engine) -> None:
        """
        Staff closes a frozen order, and does not relaunch it.
        """
        brought_to(engine, "frozen")

        ruling, _ = of(engine, OPS, "rule_dispute").fields

        assert ruling.choices == ("full_refund", "split", "pay_seller")

    def test_a_date_where_the_mediator_sets_it(self) -> None:
        """
        A relaunch takes a date exactly where the process says so.
        """
        process = COMEUP.with_policies(delivery={"relaunch_deadline": "mediator_sets"})
        engine = an_engine(MemoryStorage(), process, clock=FakeClock(T0))
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)

        ruling, _ = of(engine, MIA, "rule_dispute").fields

        (due_at,) = (field for field in ruling.fields if field.choice == "relaunch")
        assert (due_at.name, due_at.required) == ("due_at", True)
        assert due_at.minimum == engine.clock.now() + timedelta(microseconds=1)
        said = of(engine, MIA, "rule_dispute").consequences
        assert said is not None
        assert said.by_choice["relaunch"].state == "in_progress"

    def test_offers(self, engine: Engine) -> None:
        """
        Only open offers can be paid or turned down.
        """
        brought_to(engine, "in_progress")
        for _ in range(3):
            engine.execute("o1", c.SendOffer(title="More", price=eur(5)), by=LUC)
        engine.execute("o1", c.WithdrawOffer(offer_id="offer-2"), by=LUC)

        offer_id, payment = of(engine, ANA, "pay_offer").fields

        assert offer_id.choices == ("offer-1", "offer-3")
        assert [part.name for part in payment.fields] == ["method", "reference"]
        assert payment.fields[1].excludes == ("pi_1",)

    def test_mediators(self, engine: Engine) -> None:
        """
        A mediator takes a case himself; staff names anybody but the parties.
        """
        brought_to(engine, "disputed")

        (himself,) = of(engine, MIA, "assign_mediator").fields
        (anybody,) = of(engine, OPS, "assign_mediator").fields

        assert himself.choices == ("mia",)
        assert anybody.excludes == ("ana", "luc")

    def test_who_has_written_enough(self, engine: Engine) -> None:
        """
        Who may write nothing more is told so beforehand; what needs no text stays.
        """
        brought_to(engine, "in_progress")
        for _ in range(250):
            proposal = c.ProposePartialRefund(amount=eur(1), reason="x")
            engine.execute("o1", proposal, by=ANA)
            engine.execute("o1", c.RefusePartialRefund(reason="no"), by=LUC)
        for _ in range(250):
            proposal = c.ProposePartialRefund(amount=eur(1), reason="x")
            engine.execute("o1", proposal, by=ANA)
            engine.execute("o1", c.WithdrawPartialRefund(), by=ANA)

        claim = of(engine, ANA, "file_claim")
        cancel = of(engine, ANA, "send_message")

        assert [blocker.code for blocker in claim.blockers] == ["too_many_texts"]
        refusal: Any = engine.attempt("o1", c.FileClaim(reason="x"), by=ANA)
        assert refusal.blockers == claim.blockers
        assert cancel.allowed
        # The other side may still write.
        assert of(engine, LUC, "file_claim").allowed
        engine.execute("o1", c.ProposePartialRefund(amount=eur(1), reason="x"), by=LUC)
        refuse = of(engine, ANA, "refuse_partial_refund")
        assert (refuse.allowed, refuse.fields) == (True, ())


class TestConsequences:
    """
    What would come of it.
    """

    def test_of_a_blocked_command(self, engine: Engine) -> None:
        """
        Nothing comes of what is blocked.
        """
        brought_to(engine, "pending")

        assert of(engine, LUC, "deliver_order").consequences is None

    def test_of_acceptance(self, engine: Engine) -> None:
        """
        The state, and the deadline that begins.
        """
        brought_to(engine, "pending")

        said = of(engine, LUC, "accept_order").consequences

        assert said is not None
        assert (said.state, said.moved) == ("in_progress", ())
        assert [wait.name for wait in said.deadlines] == ["delivery"]
        assert said.deadlines[0].due_at == engine.clock.now().add(days=5)

    def test_of_a_cancellation(self, engine: Engine) -> None:
        """
        Whose money moves, when it shows, and the figures it touches (R116).
        """
        brought_to(engine, "pending")

        said = of(engine, ANA, "cancel_order").consequences

        assert said is not None
        (back,) = said.moved
        assert (back.to, back.least, back.most) == ("buyer", eur(100), eur(100))
        order = engine.execute("o1", c.CancelOrder(), by=ANA).order
        assert back.shows == order.refunds[0].estimate
        assert {"acceptance_rate", "visibility"} <= set(said.statistics)

    def test_of_a_ruling(self, engine: Engine) -> None:
        """
        Each ruling has its own, and where the payload decides its least and most.
        """
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)

        said = of(engine, MIA, "rule_dispute").consequences

        assert said is not None
        assert said.state == ""
        assert {name: one.state for name, one in said.by_choice.items()} == {
            "full_refund": "cancelled",
            "split": "completed",
            "relaunch": "in_progress",
            "pay_seller": "completed",
        }
        to = {move.to: move for move in said.by_choice["split"].moved}
        assert (to["buyer"].least, to["buyer"].most) == (eur("0.01"), eur("99.99"))
        assert (to["seller"].least, to["seller"].most) == (eur("0.01"), eur("99.99"))

    def test_of_a_hosts_own_command(self) -> None:
        """
        A host's own command has its fields and consequences like any other.
        """
        engine = an_engine(MemoryStorage(), pausing(), clock=FakeClock(T0))
        brought_to(engine, "in_progress")

        option = of(engine, LUC, "pause_order")

        assert [field.name for field in option.fields] == ["reason"]
        assert option.consequences is not None
        assert option.consequences.state == "paused"
        assert [wait.name for wait in option.consequences.deadlines] == ["pause"]
        assert option.label("fr") == "pause order"

    def test_of_what_no_form_tells(self) -> None:
        """
        Of a command that takes something nobody knows, nothing is told beforehand.
        """

        @decides(Whenever, version="1")
        def whenever(case: Case, command: Whenever) -> Iterable[Step]:
            yield Step(events=(MessageSent(reference=str(command.tide)),))

        process = COMEUP.extend(
            name="tidal",
            commands=[Whenever],
            rows=[Row(Whenever, Role.SELLER, State.IN_PROGRESS, STAY)],
            decisions=[whenever],
        )
        engine = an_engine(MemoryStorage(), process, clock=FakeClock(T0))
        brought_to(engine, "in_progress")

        option = of(engine, LUC, "whenever")

        assert option.allowed
        assert [field.kind for field in option.fields] == ["integer"]
        assert option.consequences is None

    def test_nothing_is_written(self, engine: Engine) -> None:
        """
        To be told changes nothing.
        """
        brought_to(engine, "delivered")
        before = engine.order("o1")

        for by in (ANA, LUC, OPS, STRIPE):
            for option in engine.options("o1", by=by):
                assert option.consequences is None or option.allowed

        assert engine.order("o1") == before
        assert engine.history("o1")[-1].seq == before.version


class TestWords:
    """
    What a page shows of an option.
    """

    def test_labels(self, engine: Engine) -> None:
        """
        Each has a label in each language.
        """
        brought_to(engine, "pending")

        option = of(engine, LUC, "accept_order")

        assert (option.label(), option.label("fr")) == (
            "Accept the order",
            "Accepter la commande",
        )

    @pytest.mark.parametrize("role", list(Role)[:5])
    def test_every_label(self, role: Role) -> None:
        """
        No command of the library is spelled out for want of words.
        """
        for command in COMEUP.commands_of(role):
            option = of_class(command)
            assert option.label("fr") != option.label("en") != command.name


def of_class(command: type[c.Command]) -> Option:
    """
    Return an option nobody asked an order for.
    """
    from escrowflow.decisions import Option

    return Option(command=command)
