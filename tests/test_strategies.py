"""
Strategies: what they draw is legal and reaches everywhere, and the machine finds what is
wrong with a process or a storage.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from escrowflow import commands as c
from escrowflow.decisions import Decided, Refusal, Step, decides, forecast
from escrowflow.decisions.settlement import completed, to_seller
from escrowflow.errors import InvalidInputError
from escrowflow.history import fold
from escrowflow.parties import Buyer, Mediator, Role, Seller
from escrowflow.processes import recommended, vendor_consolidation
from escrowflow.refusals import Blocker
from escrowflow.rules import Policies
from escrowflow.states import STAY, Row, State
from escrowflow.storage import open_storage
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import Terms
from escrowflow.testing import strategies
from escrowflow.testing.aims import reachable
from escrowflow.testing.invariants import check_history
from escrowflow.testing.machines import Machine
from tests.bugs import BUGS
from tests.given import COMEUP
from tests.lives import VARIANTS
from tests.test_states import pausing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from escrowflow.decisions import Case

# Whole lives take longer than amounts do.
FEW = settings(max_examples=max(settings().max_examples // 4, 1))

PAUSING = pausing()


def drawn(strategy: st.SearchStrategy[Any], count: int = 300) -> list[Any]:
    """
    Return so many examples, the same in every run.
    """
    found: list[Any] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


class TestValues:
    """
    Money, shares, fees, windows, terms and people.
    """

    @given(st.data())
    def test_money_stays_within(self, data: st.DataObject) -> None:
        """
        Whole minor units of one currency, between its ends.
        """
        amount = data.draw(strategies.money("JPY", minimum=5, maximum=70_000))

        assert amount.currency == "JPY"
        assert 5 <= amount.minor <= 70_000

    def test_actors_of_some_roles(self) -> None:
        """
        Anybody, or only those who are asked for.
        """
        everybody = {by.role for by in drawn(strategies.actors())}
        parties = {by.role for by in drawn(strategies.actors(Role.BUYER, Role.SELLER))}

        assert everybody == set(Role) - {Role.SYSTEM}
        assert parties == {Role.BUYER, Role.SELLER}

    def test_terms_differ_in_everything(self) -> None:
        """
        Each field of the terms that a rule looks at takes several values.
        """
        found = drawn(strategies.terms())

        for field in attrs.fields(Terms):
            if field.name not in ("title", "text"):
                assert len({getattr(one, field.name) for one in found}) > 1


class TestPolicies:
    """
    Bundles, made of what each field of a policy declares.
    """

    def test_every_field_differs(self) -> None:
        """
        No field of any policy keeps its default for ever; only of business calendars
        there is but one in the library.
        """
        found = drawn(strategies.policies(), 400)

        same = {
            f"{subject.name}.{field.alias}"
            for subject in attrs.fields(Policies)
            for field in attrs.fields(type(getattr(Policies(), subject.name)))
            if all(
                getattr(getattr(one, subject.name), field.name)
                == getattr(getattr(Policies(), subject.name), field.name)
                for one in found
            )
        }
        assert same == {"refund_timing.business_calendar"}

    @FEW
    @given(st.data())
    def test_they_run(self, data: st.DataObject) -> None:
        """
        A process under any legal bundle is built, and an order on it gets somewhere.
        """
        process = data.draw(strategies.variants(COMEUP))
        life = data.draw(strategies.lives(process))

        check_history(process, life.history)

    def test_those_of_a_process_of_your_own(self) -> None:
        """
        States are those of the process; an object of your own stays.
        """
        own = VARIANTS["rights of a host"].policies.cancellation
        bundles = drawn(strategies.policies(VARIANTS["rights of a host"]), 50)
        states = {
            state
            for bundle in drawn(strategies.policies(PAUSING), 100)
            for state in bundle.cancellation.cancel_request_states
        }

        assert all(bundle.cancellation is own for bundle in bundles)
        assert "paused" in states


class TestPayloads:
    """
    Commands, filled in.
    """

    @given(strategies.payloads(c.RuleDispute))
    def test_of_a_whole_form(self, command: c.Command) -> None:
        """
        Whatever a command ever takes; what is malformed is left out.
        """
        assert isinstance(command, c.RuleDispute)

    @FEW
    @given(st.data())
    def test_the_law_of_options(self, data: st.DataObject) -> None:
        """
        What an allowed option takes is decided, what a blocked one takes is refused
        with at least its blockers.
        """
        life = data.draw(strategies.lives(COMEUP))
        by = data.draw(st.sampled_from(life.people))
        option = data.draw(st.sampled_from(life.options(by)))
        command = data.draw(strategies.commands(option, currency=life.order.currency))
        try:
            answer = life.decide(command, by=by)
        except InvalidInputError:
            assert not option.allowed
            return

        assert isinstance(answer, Decided if option.allowed else Refusal)
        if isinstance(answer, Refusal):
            assert set(option.blockers) <= set(answer.blockers)

    def test_what_is_ordered(self) -> None:
        """
        Paid, not paid yet and, where the buyer is charged later, held by a bank.
        """
        later = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})

        def ways(process: Any) -> set[str]:
            return {
                "unpaid"
                if not one.payment
                else ("held" if one.payment[0].held_until else "paid")
                for one in drawn(strategies.placings(process), 100)
            }

        assert ways(COMEUP) == {"paid", "unpaid"}
        assert ways(later) == {"paid", "unpaid", "held"}


class TestOrders:
    """
    Orders that stand anywhere.
    """

    @pytest.mark.parametrize(
        ("process", "missing"),
        [
            (COMEUP, {"expired"}),
            (VARIANTS["cap"], set()),
            (PAUSING, {"expired"}),
            (vendor_consolidation(), None),
        ],
        ids=["comeup", "cap", "own", "vendor_consolidation"],
    )
    def test_every_state_comes_up(self, process: Any, missing: set[str] | None) -> None:
        """
        All that the table leads to; what only a deadline leads to that the policies do
        not arm is no such state.
        """
        states = {str(order.state) for order in drawn(strategies.orders(process), 250)}

        if missing is None:
            # That process has an end of its own for each.
            missing = set(process.members) - reachable(process)
        assert states == set(process.members) - missing

    @FEW
    @given(strategies.lives(VARIANTS["C12"]))
    def test_a_life_adds_up(self, life: strategies.Life) -> None:
        """
        The history leads to the order, holds every invariant, and can be gone on with.
        """
        assert fold(life.history) == life.order
        check_history(life.process, life.history)
        assert forecast(life.process, life.order).state in life.process.members

    def test_a_life_shows_its_story(self) -> None:
        """
        What is printed when a test fails is what happened.
        """
        life = drawn(strategies.lives(COMEUP), 5)[-1]

        assert f"<order of comeup, {life.order.state}, " in repr(life)
        assert len(repr(life).splitlines()) > len(life.story("fr").splitlines())

    def test_people_of_your_own(self) -> None:
        """
        Whoever is there takes part; without staff nothing is frozen.
        """
        people = (Buyer("b1"), Buyer("b2"), Seller("s1"), Mediator("m1"))
        found = drawn(strategies.orders(COMEUP, people=people), 200)

        assert {order.buyer_id for order in found} == {"b1", "b2"}
        assert "frozen" not in {str(order.state) for order in found}
        assert "disputed" in {str(order.state) for order in found}

    @pytest.mark.parametrize(
        "people",
        [(), (Buyer("ana"),), (Buyer("ana"), Seller("ana")), ("ana", "luc")],
        ids=["nobody", "no seller", "one for both", "no actors"],
    )
    def test_people_who_could_order_nothing(self, people: Any) -> None:
        """
        Without a buyer and a seller there is no order.
        """
        with pytest.raises(InvalidInputError) as error:
            strategies.orders(COMEUP, people=people)

        assert error.value.field == "people"


# --- the machine --------------------------------------------------------------------


def run(machine: type[Machine], examples: int = 4, steps: int = 20) -> Any:
    """
    Run a machine, the same in every run.
    """
    case: Any = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # To find that something is wrong; how short it is told is Hypothesis's part.
        phases=[Phase.generate],
    )
    case().runTest()


@decides(c.ApproveDelivery, version="1")
def approve_but_a_cent(case: Any, command: c.ApproveDelivery) -> Iterable[Step]:
    """
    A cent of what is held goes to nobody.
    """
    whole = to_seller(case)
    less = attrs.evolve(whole, to_seller=whole.to_seller - type(whole.kept)(1, "EUR"))
    yield completed(case, cause="approved", trigger=command.name, settlement=less)


@decides(c.SubmitBrief, version="1")
def submit_a_long_brief(case: Any, command: c.SubmitBrief) -> Iterable[Step]:
    """
    As ours.
    """
    yield from COMEUP.decider[c.SubmitBrief].act(case, command)


@submit_a_long_brief.within
def _(case: Case, command: c.SubmitBrief) -> Iterable[Blocker]:
    if len(command.text) < 15:
        yield Blocker(code="claim_open")


@decides(c.EditClaim, version="1")
def edit_what_is_shut(case: Any, command: c.EditClaim) -> Iterable[Step]:
    """
    As ours.
    """
    yield from COMEUP.decider[c.EditClaim].act(case, command)


@edit_what_is_shut.unless
def _(case: Case) -> Iterable[Blocker]:
    yield Blocker(code="claim_open")


@decides(c.RefuseRevision, version="1")
def refuse_and_fail(case: Any, command: c.RefuseRevision) -> Iterable[Step]:
    """
    A mistake of whoever wrote it.
    """
    yield Step(events=(), outcome="nowhere")


@attrs.frozen(kw_only=True)
class Weigh(c.Command):
    """
    Weigh the parcel.
    """

    scale: object


@decides(Weigh, version="1")
def weigh(case: Any, command: Weigh) -> Iterable[Step]:
    """
    Nothing moves.
    """
    yield from COMEUP.decider[c.SendMessage].act(case, c.SendMessage(reference="w"))


class Forgetful:
    """
    A storage that loses what the host should have been asked for.
    """

    def __init__(self) -> None:
        self._kept = MemoryStorage()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)

    def commit(self, changes: Any) -> Any:
        return self._kept.commit([attrs.evolve(one, effects=()) for one in changes])


def forgetful() -> Any:
    """
    Return a storage that keeps the contract of types, and no more.
    """
    return Forgetful()


@pytest.mark.proof
class TestMachine:
    """
    Whole lives through an engine.
    """

    @pytest.mark.parametrize(
        "process",
        [
            COMEUP,
            PAUSING,
            vendor_consolidation(),
            recommended(),
            VARIANTS["cap without grace"].with_policies(extras={"offer_window": "P1D"}),
            VARIANTS["ruling window"],
            VARIANTS["charged later"],
        ],
        ids=[
            *("comeup", "own", "vendor_consolidation", "recommended"),
            *("cap", "ruling", "later"),
        ],
    )
    def test_all_is_well(self, process: Any) -> None:
        """
        Ours hold what they promise, and every state and command comes up.
        """
        machine = strategies.state_machine(process)

        run(machine)

        assert issubclass(machine, RuleBasedStateMachine)
        assert machine.floors
        assert all(machine.reached[name] for name in machine.floors)

    def test_one_failure_is_told(self) -> None:
        """
        What is wrong in one place shows in many: one of them is made short and told.
        """
        machine: Any = strategies.state_machine(COMEUP, floors={})
        machine.TestCase.settings = settings(
            max_examples=100,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )

        with (
            BUGS["the stored order is not renewed"].planted(),
            pytest.raises(AssertionError) as caught,
        ):
            machine.TestCase().runTest()

        told = "\n".join(caught.value.__notes__)
        assert told.count("state.") < 12

    def test_on_a_storage_of_yours(self, tmp_path: Path) -> None:
        """
        Every run has an empty storage, whatever it is.
        """
        names = (tmp_path / f"{number}.db" for number in range(1_000_000))
        machine = strategies.state_machine(
            COMEUP,
            storage=lambda: open_storage(f"sqlite:///{next(names)}"),
            floors={"delivered": 1},
        )

        run(machine, examples=2, steps=10)

        assert machine.reached["delivered"]

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            ({"decisions": [approve_but_a_cent]}, "approve_delivery of buyer:ana"),
            (
                {"decisions": [submit_a_long_brief]},
                "submit_brief of buyer:ana is allowed, and was refused with claim_open",
            ),
            (
                {"decisions": [refuse_and_fail]},
                "refuse_revision of seller:luc is allowed, and fails",
            ),
            (
                {"decisions": [edit_what_is_shut]},
                "reached too seldom: edit_claim (0 of 1)",
            ),
        ],
        ids=["a cent is lost", "an option lies", "a step is missing", "a row is shut"],
    )
    def test_a_fault_of_a_process_is_found(
        self, fault: dict[str, Any], told: str
    ) -> None:
        """
        With what is wrong, and the story of the order.
        """
        machine = strategies.state_machine(COMEUP.extend(name="faulty", **fault))

        with pytest.raises(AssertionError) as error:
            run(machine)

        assert told in str(error.value)

    def test_a_fault_of_a_storage_is_found(self) -> None:
        """
        What was not asked for is missed.
        """
        machine = strategies.state_machine(COMEUP, storage=forgetful)

        with pytest.raises(AssertionError) as error:
            run(machine)

        assert "order" in str(error.value)

    def test_floors_of_your_own(self) -> None:
        """
        What is reached too seldom is named, with how often it was.
        """
        machine = strategies.state_machine(COMEUP, floors={"expired": 1, "pending": 1})

        with pytest.raises(AssertionError) as error:
            run(machine, examples=1, steps=5)

        assert "comeup: reached too seldom: expired (0 of 1).  " in str(error.value)

    def test_a_command_that_no_form_tells(self) -> None:
        """
        Whoever knows what it takes says so; otherwise nobody knows.
        """
        row = Row(Weigh, Role.SELLER, State.IN_PROGRESS, STAY)
        process = COMEUP.extend(name="weighed", rows=[row], decisions=[weigh])
        machine = strategies.state_machine(
            process, payloads={Weigh: lambda rng: Weigh(scale=rng)}, floors={"weigh": 1}
        )

        run(machine, examples=1, steps=5)

        assert machine.reached["weigh"]
        with pytest.raises(InvalidInputError) as error:
            strategies.state_machine(process)
        assert error.value.field == "payloads"

    @pytest.mark.parametrize(
        ("given_", "field"),
        [
            ({"process": "comeup"}, "process"),
            ({"process": COMEUP, "storage": "memory://"}, "storage"),
            ({"process": COMEUP, "people": [Buyer("ana")]}, "people"),
            ({"process": COMEUP, "floors": {"shipped": 1}}, "floors"),
        ],
    )
    def test_what_cannot_be(self, given_: dict[str, Any], field: str) -> None:
        """
        A mistake is told when the machine is made, not when it runs.
        """
        with pytest.raises(InvalidInputError) as error:
            strategies.state_machine(**given_)

        assert error.value.field == field


def test_only_whoever_asks_for_them_needs_hypothesis() -> None:
    """
    The test bed works without it.
    """
    code = "import sys, escrowflow.testing as t; t.Bed(); print('hypothesis' in sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert said.stdout == "False\n"
