"""
What the simulator is made of: its tape, its people, its faults, its payloads.
"""

from __future__ import annotations

import ast
import enum
import logging
import random
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.clock import as_utc
from escrowflow.decisions import decides
from escrowflow.decisions.case import Step
from escrowflow.errors import OutcomeUnknownError, StorageError
from escrowflow.forms import Field, form_of
from escrowflow.parties import Role
from escrowflow.processes import comeup
from escrowflow.states import Gap, Row
from escrowflow.storage import CommitResult
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing import Bed, Simulation, personas
from escrowflow.testing.gateways import Killed
from escrowflow.testing.payloads import UndrawableError, command_within
from escrowflow.testing.simulation import FaultyStorage, Tape
from escrowflow.testing.simulation.coverage import edges_of
from escrowflow.testing.simulation.diary import Diary
from escrowflow.testing.simulation.tape import GoneError


class TestTape:
    """
    The only source of choice.
    """

    def test_the_same_again(self) -> None:
        """
        The same seed makes the same choices, and another one others.
        """

        def chosen(seed: int) -> list[int]:
            tape = Tape(seed)
            return [tape.choose("any", 1000) for _ in range(50)]

        assert chosen(1) == chosen(1)
        assert chosen(1) != chosen(2)

    def test_a_section_is_its_own(self) -> None:
        """
        What one section chooses, and how often, is nothing to another.
        """
        long, short = Tape(7), Tape(7)
        long.section("one")
        for _ in range(9):
            long.choose("any", 6)

        for tape in (long, short):
            tape.section("two")

        assert long.choose("any", 10**9) == short.choose("any", 10**9)

    def test_every_side_comes_up(self) -> None:
        """
        A thousand throws of a die: each side, about as often.
        """
        tape = Tape(3)

        throws = [tape.choose("die", 6) for _ in range(1200)]

        assert set(throws) == set(range(6))
        assert all(150 < throws.count(side) < 250 for side in range(6))

    def test_weights(self) -> None:
        """
        What weighs nothing never comes up; what weighs more, more often.
        """
        tape = Tape(4)

        places = [tape.weighted("any", (0, 1, 9)) for _ in range(500)]

        assert 0 not in places
        assert places.count(2) > 5 * places.count(1)
        assert not any(tape.chance("never", 0) for _ in range(50))
        assert all(tape.chance("ever", 1000) for _ in range(50))

    def test_replayed(self) -> None:
        """
        What was recorded is chosen again; beyond it, the first there is.
        """
        first = Tape(5)
        first.section("step")
        chosen = [first.choose("any", 100), first.choose("any", 100)]

        again = Tape(6, replay=first.recorded)
        again.section("step")

        assert [again.choose("any", 100), again.choose("any", 100)] == chosen
        assert again.choose("any", 100) == 0
        assert again.recorded["step"][:2] == first.recorded["step"]

    def test_chosen_again_by_name(self) -> None:
        """
        What was chosen is chosen again wherever it stands now.
        """
        people = ["ana", "luc", "ana", "eve"]
        first = Tape(5)
        first.section("step")
        chosen = [first.pick("who", people) for _ in range(9)]
        what = first.weighted("what", (1, 5, 2), ("sell", "buy", "go"))

        again = Tape(6, replay=first.recorded)
        again.section("step")

        assert [again.pick("who", ["zoe", *people]) for _ in range(9)] == chosen
        named = ("go", "buy", "sell")
        assert (
            named[again.weighted("what", (1, 1, 1), named)]
            == ["sell", "buy", "go"][what]
        )

    def test_what_is_gone(self) -> None:
        """
        What was chosen and is not there, or weighs nothing, is not replaced by another;
        and nothing comes by chance that did not.
        """
        first = Tape(5)
        first.section("step")
        first.pick("who", ["ana"])
        first.weighted("what", (0, 1))

        again = Tape(5, replay=first.recorded)
        again.section("step")

        with pytest.raises(GoneError, match="who"):
            again.pick("who", ["luc"])
        with pytest.raises(GoneError, match="what"):
            again.weighted("what", (1, 0))
        assert not again.chance("lost", 1000)

    def test_nothing_to_choose_from(self) -> None:
        """
        That there is nothing is said, and of what.
        """
        with pytest.raises(ValueError, match="option: there is nothing"):
            Tape(1).choose("option", 0)


def a_scene(
    bed: Bed, by: ef.parties.Actor, seed: int = 1, deadlines: tuple[Any, ...] = ()
) -> personas.Scene:
    """
    Return what somebody sees of the order of a bed.
    """
    return personas.Scene(
        process=bed.process,
        order=bed.order,
        me=by,
        now=as_utc(bed.clock.now(), "now"),
        tape=Tape(seed),
        deadlines=tuple(wait.due_at for wait in deadlines),
        parties=("ana", "luc"),
    )


@pytest.fixture
def bed() -> Bed:
    """
    An order that waits for its seller.
    """
    bed = Bed()
    bed.place()
    return bed


class TestPeople:
    """
    What somebody does who is shown an order.
    """

    def test_prompt(self, bed: Bed) -> None:
        """
        Mostly what is allowed: it is done.
        """
        act = a_scene(bed, bed.seller.actor).send("accept_order")

        assert act is not None
        assert isinstance(act.command, c.AcceptOrder)
        assert bed.engine.execute(bed.order_id, act.command, by=act.by).events

    def test_only_what_is_allowed(self, bed: Bed) -> None:
        """
        Of commands that are not allowed, none is sent.
        """
        assert a_scene(bed, bed.seller.actor).send("deliver_order") is None

    def test_silent(self, bed: Bed) -> None:
        """
        Never a word.
        """
        silent = personas.silent("seller")

        scenes = [a_scene(bed, bed.seller.actor, seed) for seed in range(30)]

        assert {silent.act(scene) for scene in scenes} == {None}

    def test_double_clicker(self, bed: Bed) -> None:
        """
        Several times at once.
        """
        clicker = personas.double_clicker("seller")

        acts = [clicker.act(a_scene(bed, bed.seller.actor, n)) for n in range(30)]

        assert {act.times for act in acts if act} >= {1, 2, 8}

    def test_last_second(self, bed: Bed) -> None:
        """
        Aims at a deadline.
        """
        last = personas.last_second("seller")
        waits = bed.order.deadlines
        bed.clock.advance_to(waits[0].due_at)

        acts = [last.act(a_scene(bed, bed.seller.actor, n, waits)) for n in range(30)]

        assert None not in acts

    def test_attacker(self, bed: Bed) -> None:
        """
        As strangers, as others, of other versions, with nonsense.
        """
        attacker = personas.attacker()

        acts = [attacker.act(a_scene(bed, bed.buyer.actor, n)) for n in range(200)]

        sent = [act for act in acts if act]
        assert {act.by.id for act in sent} >= {"ana", "luc", "eve-0", "eve-1"}
        assert any(act.if_version is not None for act in sent)

    @pytest.mark.parametrize("persona", personas.default(), ids=lambda one: one.name)
    def test_everybody_acts_or_keeps_silent(
        self, bed: Bed, persona: personas.Persona
    ) -> None:
        """
        Whatever somebody sees, an act or none comes of it.
        """
        for state in range(3):
            if state == 1:
                bed.seller.accept_order()
            if state == 2:
                bed.seller.deliver_order()
            for seed in range(10):
                act = persona.act(a_scene(bed, bed.buyer.actor, seed))
                assert act is None or isinstance(act.command, ef.commands.Command)

    def test_names(self) -> None:
        """
        Each has a name of its own.
        """
        names = [one.name for one in personas.default()]

        assert len(set(names)) == len(names)
        assert "griefer seller" in names


class TestFaultyStorage:
    """
    Any storage, failing: never otherwise than it may.
    """

    @pytest.mark.parametrize(
        ("went", "raised", "written"),
        [
            ("", None, True),
            ("fails", StorageError, False),
            ("unknown", OutcomeUnknownError, True),
            ("lost", OutcomeUnknownError, False),
            ("arrives_late", OutcomeUnknownError, False),
            ("killed_before", Killed, False),
            ("killed_after", Killed, True),
        ],
    )
    def test_a_commit(
        self, went: str, raised: type[BaseException] | None, written: bool
    ) -> None:
        """
        It is written or not, and that is said or not.
        """
        inner = MemoryStorage()
        fates = [went]
        storage = FaultyStorage(
            inner, went=lambda verb: fates.pop() if verb == "commit" and fates else ""
        )
        change = a_change()

        if raised is None:
            assert storage.commit((change,)) == (CommitResult.DONE,)
        else:
            with pytest.raises(raised):
                storage.commit((change,))

        assert bool(inner.load("order-1").version) is written
        if went == "arrives_late":
            storage.arrive()
            assert inner.load("order-1").version == change.version

    def test_an_old_page(self) -> None:
        """
        What is read was true a moment ago; a receipt that came later is not in it.
        """
        inner = MemoryStorage()
        fates: list[str] = []
        storage = FaultyStorage(
            inner, went=lambda verb: fates.pop() if verb == "load" and fates else ""
        )
        engine = ef.Engine(comeup(), storage, clock=Bed().clock)
        placed = engine.place(an_order(), by=ef.Buyer("ana"), order_id="order-1")
        storage.load("order-1")
        done = engine.execute(
            "order-1", c.AcceptOrder(), by=ef.Seller("luc"), key="key"
        )
        (receipt,) = inner.receipts("order-1")
        storage.load("order-1")

        fates.append("stale")
        old = storage.load("order-1", receipt.key)

        assert old.version == placed.order.version < done.order.version
        assert old.receipt is None
        assert storage.load("order-1", receipt.key).receipt == receipt

    def test_what_really_happened_is_seen(self) -> None:
        """
        Whoever watches is told of what was carried out, and of nothing else.
        """
        seen: list[str] = []
        fates = ["lost", ""]
        storage = FaultyStorage(
            MemoryStorage(),
            went=lambda verb: fates.pop(0),
            saw=lambda verb, values, answer: seen.append(verb),
        )

        with pytest.raises(OutcomeUnknownError):
            storage.commit((a_change(),))
        storage.load("order-1")

        assert seen == ["load"]


def an_order() -> c.PlaceOrder:
    """
    Return a command that places an order.
    """
    return c.PlaceOrder(
        seller_id="luc",
        price=ef.Money.of("10", "EUR"),
        payment=ef.Payment("card", "pi_1"),
        terms=ef.Terms(delivery_window="P5D"),
    )


def a_change() -> Any:
    """
    Return the change that writes a new order.
    """
    seen: list[Any] = []
    storage = FaultyStorage(
        MemoryStorage(),
        saw=lambda verb, values, answer: seen.append((verb, values)),
    )
    engine = ef.Engine(comeup(), storage, clock=Bed().clock)
    engine.place(an_order(), by=ef.Buyer("ana"), order_id="order-1")
    return next(values[0][0] for verb, values in seen if verb == "commit")


class TestPayloads:
    """
    Any command within a form.
    """

    @pytest.mark.parametrize(
        "command",
        # What a bank holds pays for an order, and no form of a command says so.
        [one for one in comeup().commands.values() if one is not c.ConfirmPayment],
        ids=lambda command: command.name,
    )
    def test_every_command(self, command: type[ef.commands.Command]) -> None:
        """
        Whatever the form takes is drawn, and taken.
        """
        rng = random.Random(command.name)
        form = ef.forms.narrowed(form_of(command), (), "EUR")

        for _ in range(20):
            drawn = command_within(lambda _, n: rng.randrange(n), command, form)

            assert type(drawn) is command

    def test_a_value_of_ones_own(self) -> None:
        """
        What only a host can make is made by the host, or refused.
        """
        field = Field(name="reason", kind="value", required=True)

        def first(label: str, n: int) -> int:
            return 0

        made = command_within(
            first, c.RefuseOrder, (field,), own={"value": lambda field: "full up"}
        )

        assert made == c.RefuseOrder(reason="full up")
        with pytest.raises(UndrawableError, match="reason: a value of your own"):
            command_within(first, c.RefuseOrder, (field,))


# --- a process of somebody's own --------------------------------------------------


class Shop(enum.StrEnum):
    """
    A state more.
    """

    ON_HOLD = "on_hold"


@attrs.frozen(kw_only=True)
class PauseOrder(ef.commands.Command):
    """
    Seller: a break.
    """


@attrs.frozen(kw_only=True)
class ResumeOrder(ef.commands.Command):
    """
    Seller: go on.
    """


@attrs.frozen(kw_only=True)
class OrderPaused(ef.events.Event):
    """
    A break began.
    """


@attrs.frozen(kw_only=True)
class OrderResumed(ef.events.Event):
    """
    It is over.
    """


@decides(PauseOrder, version="1")
def pause(case: Any, command: PauseOrder) -> Any:
    """
    Stop.
    """
    yield Step(events=(OrderPaused(),))


@decides(ResumeOrder, version="1")
def resume(case: Any, command: ResumeOrder) -> Any:
    """
    Go on.
    """
    yield Step(events=(OrderResumed(),))


def with_breaks() -> Any:
    """
    Return a process in which the seller may have a break.
    """
    return comeup().extend(
        name="breaks",
        states=Shop,
        rows=[
            Row(PauseOrder, Role.SELLER, "in_progress", "on_hold"),
            Row(ResumeOrder, Role.SELLER, "on_hold", "in_progress"),
        ],
        decisions=[pause, resume],
        events=[OrderPaused, OrderResumed],
        gaps=[Gap("no_timed_exit", "on_hold", "it is the seller's break")],
    )


class TestOnesOwn:
    """
    States, commands, events and decisions of a host's.
    """

    def test_a_process(self) -> None:
        """
        It is simulated as ours is: its rows are gone along, its gaps are rest.
        """
        report = Simulation(with_breaks(), orders=3, steps=150).run(seeds=24)

        report.require(violations=0, stuck=0)
        assert ("in_progress", "pause_order", "seller") in report.coverage.edges
        assert ("on_hold", "resume_order", "seller") in report.coverage.edges

    def test_edges(self) -> None:
        """
        What no policy opens, and no deadline that is never armed, is no edge.
        """
        usual = edges_of(comeup())
        capped = edges_of(comeup().with_policies(lifetime={"order_cap": "P5M"}))

        assert ("pending", "accept_order", "seller") in usual
        assert ("delivered", "cancel_order", "seller") not in usual
        assert ("pending", "expire_order", "system") not in usual
        assert ("pending", "expire_order", "system") in capped
        assert ("expired", "request_coupon", "buyer") in capped - usual


ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (I\d+) \| .+ \| (.+) \|$", re.MULTILINE)
SHOWN = re.compile(r"`(tests/\w+\.py)`: ((?:`\w+`(?:, )?)+)")


def held_by_oracles() -> set[str]:
    """
    Return the invariants that some oracle of the simulator can find broken.
    """
    folder = ROOT / "src" / "escrowflow" / "testing" / "simulation"
    return {
        str(node.args[0].value)
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.strip("_") == "fail"
        and isinstance(node.args[0], ast.Constant)
    }


class TestWhatMustHold:
    """
    The table of invariants in the how-to is true.
    """

    @pytest.fixture
    def rows(self) -> dict[str, str]:
        """
        What shows each invariant.
        """
        page = ROOT / "docs" / "how-to" / "simulate.md"
        return dict(ROW.findall(page.read_text(encoding="utf-8")))

    def test_all_of_them(self, rows: dict[str, str]) -> None:
        """
        I1 to I36, in order.
        """
        assert [*rows] == [f"I{number}" for number in range(1, 37)]

    def test_oracles(self, rows: dict[str, str]) -> None:
        """
        Those that an oracle shows are those that an oracle can find broken.
        """
        told = {name for name, shown in rows.items() if shown == "oracle"}

        assert told == held_by_oracles()

    def test_others(self, rows: dict[str, str]) -> None:
        """
        What shows the others is there.
        """
        others = {n: shown for n, shown in rows.items() if shown != "oracle"}

        for shown in others.values():
            named = SHOWN.findall(shown)
            assert named
            for path, tests in named:
                text = (ROOT / path).read_text(encoding="utf-8")
                for test in tests.split(", "):
                    assert f"def {test.strip('`')}(" in text


def test_the_log_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """
    What the engine logs of faults that were made is kept back, and nothing after that.
    """
    below = logging.getLogger("escrowflow.engine.outbox")

    class Talker:
        name = "talker"
        role = Role.BUYER

        def act(self, scene: personas.Scene) -> personas.Act | None:
            below.warning("kept back")
            return None

    others = [one for one in personas.default() if one.role is not Role.BUYER]
    Simulation(people=[*others, Talker()], orders=2, steps=60).run(seeds=2)
    below.warning("heard")

    assert [record.getMessage() for record in caplog.records] == ["heard"]


class TestDiary:
    """
    What is shown of a seed that fails.
    """

    def test_the_same_twice_is_one_line(self) -> None:
        """
        What happens again and again is told once, with how often.
        """
        diary = Diary()
        diary.say(1, 0, "buyer places order-0")
        for number in range(3000):
            diary.say(2, number * 3_600_000_000, "time goes by")

        assert diary.last == (
            "    1 1970-01-01T00:00:00+00:00 buyer places order-0",
            "    2 1970-05-05T23:00:00+00:00 time goes by (3000 times)",
        )
        assert diary.script == {
            1: "buyer places order-0",
            2: "time goes by (3000 times)",
        }

    def test_of_much_the_end(self) -> None:
        """
        A step in which a great deal happens is one line of it.
        """
        diary = Diary()
        for number in range(50):
            diary.say(7, 0, f"letter {number}")

        assert diary.script == {
            7: "(44 more); letter 44; letter 45; letter 46; letter 47; letter 48; letter 49"
        }
        assert len(diary.last) == 40
