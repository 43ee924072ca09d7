"""
A market: the same people under several processes, counted to the last cent.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

import attrs
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow.__main__ import main
from escrowflow.decisions import Step, deadline, decides
from escrowflow.errors import InvalidInputError, LedgerError
from escrowflow.events import VerificationReminded
from escrowflow.market import (
    DEFAULT,
    BuyerHabits,
    Goods,
    Market,
    MarketReport,
    MediatorHabits,
    People,
    SellerHabits,
    Span,
    StaffHabits,
    compare,
    picture,
)
from escrowflow.market.living import KNOWN
from escrowflow.market.people import drawn
from escrowflow.market.reports import LOSSES
from escrowflow.parties import Role
from escrowflow.processes import recommended, vendor_consolidation
from escrowflow.states import STAY, DeadlineKind, Row, State, Urgency
from escrowflow.testing import strategies
from tests.given import COMEUP, eur
from tests.lives import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VENDOR: Final = vendor_consolidation()

SOON: Final = Span(60, 3_600, 7_200)

SAINT: Final = BuyerHabits(
    leaves=0,
    asks_out=0,
    checks=100,
    checks_after=SOON,
    demands=0,
    fights=100,
    haggles=0,
    extras=0,
)
MASTER: Final = SellerHabits(
    accepts=100,
    accepts_after=SOON,
    refuses=0,
    in_time=100,
    late=0,
    good=100,
    offers=0,
)
JUDGE: Final = MediatorHabits(comes=100, rules=100, fair=100)


def people(
    buyer: BuyerHabits = SAINT,
    seller: SellerHabits = MASTER,
    mediator: MediatorHabits = JUDGE,
    **fields: Any,
) -> People:
    """
    Return a market of one kind of each.
    """
    return People(
        buyers={"b": buyer}, sellers={"s": seller}, mediators={"m": mediator}, **fields
    )


def ran(process: Any = COMEUP, orders: int = 120, **given_: Any) -> MarketReport:
    """
    Return a report, on one worker.
    """
    return Market(process, **given_).run(orders)


def losses(report: MarketReport) -> dict[str, int]:
    """
    Return in how many orders what nobody wishes for happened.
    """
    return {loss.code: loss.orders for loss in report.losses}


class TestReports:
    """
    What is counted, adds up.
    """

    @settings(max_examples=max(settings().max_examples // 10, 1))
    @given(
        st.sampled_from(sorted(VARIANTS)),
        strategies.fees(),
        st.integers(-5, 2**40),
    )
    def test_money_adds_up(self, name: str, fee: Any, seed: int) -> None:
        """
        What came in is held, went back, was paid out or kept, under any rules; and
        every order is counted once.
        """
        process = VARIANTS[name].with_policies(fees={"seller_fee": fee})
        report = ran(process, 25, seed=seed)

        parts = [eur(0), eur(0), eur(0), eur(0)]
        for end in report.ends:
            found = (end.held, end.refunded, end.released, end.kept)
            parts = [a + b for a, b in zip(parts, found, strict=True)]
        whole = parts[0] + parts[1] + parts[2] + parts[3]
        assert whole == report.paid
        assert sum(end.orders for end in report.ends) == report.orders == 25
        assert report.paid.minor == sum(one.paid for one in report.lives)
        assert all(not end.held for end in report.ends if end.cause)
        kept = {loss.code: loss.amount for loss in report.losses}
        assert kept["platform_keeps"] == parts[3]
        assert kept["stuck"] == parts[0]

    def test_ends_are_in_order(self) -> None:
        """
        The most frequent first.
        """
        counts = [end.orders for end in ran().ends]

        assert counts == sorted(counts, reverse=True)

    def test_how_long_money_was_held(self) -> None:
        """
        The nearest ranks of all orders that were paid and have ended.
        """
        report = ran(orders=101)

        seconds = sorted(s for one in report.lives if (s := one.seconds) is not None)
        held = report.held
        assert held is not None
        assert held.orders == len(seconds)
        assert held.longest.total_seconds() == seconds[-1]
        below = sum(one <= held.median.total_seconds() for one in seconds)
        assert below * 2 >= len(seconds)
        below = sum(one < held.p90.total_seconds() for one in seconds)
        assert below * 10 < len(seconds) * 9

    def test_in_another_currency(self) -> None:
        """
        Goods say what money there is.
        """
        goods = Goods(currency="JPY", least=500, usual=1_000, most=2_000)

        report = ran(people=people(goods=goods), orders=5)

        assert report.paid.currency == "JPY"
        assert 2_500 <= report.paid.minor <= 10_000

    def test_as_json(self) -> None:
        """
        All of it but the single orders, as plain data.
        """
        told = json.loads(json.dumps(ran(orders=20, seed=3).to_json()))

        assert (told["process"], told["orders"], told["seed"]) == ("comeup", 20, 3)
        assert {loss["code"] for loss in told["losses"]} == set(LOSSES)
        assert "lives" not in told


class TestPeople:
    """
    Who there is decides what becomes of a market.
    """

    def test_saints_lose_nothing(self) -> None:
        """
        Where everybody does what was agreed, every order is completed and paid.
        """
        report = ran(people=people())

        assert {(end.state, end.cause) for end in report.ends} == {
            ("completed", "approved")
        }
        assert set(losses(report).values()) == {0}
        assert (report.disputes, report.late) == (0, 0)

    def test_silent_buyers(self) -> None:
        """
        Who never says a word pays, good or bad.
        """
        silent = attrs.evolve(SAINT, checks=0, gives_up=0, brief=0)
        careless = attrs.evolve(MASTER, good=0)

        report = ran(people=people(silent, careless))

        assert [end.cause for end in report.ends] == ["silence"]
        assert losses(report)["paid_for_nothing"] == report.orders

    def test_vanishing_mediators(self) -> None:
        """
        A dispute that nobody decides is stuck under the published rules, and is not
        under a process with a ruling by default.
        """
        gone = attrs.evolve(JUDGE, comes=0)
        crooks = attrs.evolve(MASTER, good=0, agrees=0, answers=100, improves=0)
        crowd = people(SAINT, crooks, gone)

        stuck = ran(people=crowd)
        ruled = ran(VARIANTS["ruling window"], people=crowd)

        assert ("disputed", "") in {(end.state, end.cause) for end in stuck.ends}
        assert losses(stuck)["stuck"] > 0
        assert losses(ruled)["stuck"] == 0

    def test_vanishing_sellers(self) -> None:
        """
        Who waits for work that never comes and never cancels is stuck, as the gap of
        the process says.
        """
        patient = attrs.evolve(SAINT, gives_up=0)
        lazy = attrs.evolve(MASTER, in_time=0, late=0, abandons=0)

        report = ran(people=people(patient, lazy))

        assert [(end.state, end.cause) for end in report.ends] == [("in_progress", "")]
        assert report.late == report.orders

    def test_the_default_ones_do_everything(self) -> None:
        """
        In a market of some size every way is taken that people of ours know.
        """
        report = ran(orders=1_500)

        causes = {end.cause for end in report.ends}
        assert causes >= {
            *("approved", "silence", "late", "acceptance_expired", "refused"),
            *("buyer_withdrew", "by_consent", "ruled", "seller_cancelled", ""),
        }
        assert 0 < report.disputes < report.orders // 5

    def test_sellers_who_will_be_late(self) -> None:
        """
        Where a process lets them ask for a later date, they do; who gets it is not
        late, and who does not is.
        """
        slow = attrs.evolve(
            MASTER, in_time=0, late=100, late_by=SOON, extends=100, abandons=0
        )
        kind = attrs.evolve(SAINT, grants=100, grants_after=SOON, gives_up=0)
        stern = attrs.evolve(kind, grants=0)
        goods = Goods(window=Span(5 * 86_400, 6 * 86_400, 7 * 86_400))

        granted = ran(recommended(), people=people(kind, slow, goods=goods))
        refused = ran(recommended(), people=people(stern, slow, goods=goods))
        unknown = ran(people=people(kind, slow, goods=goods))

        assert granted.late == 0
        assert refused.late == refused.orders
        assert unknown.late == unknown.orders

    @pytest.mark.parametrize("agrees", [True, False])
    def test_a_part_of_the_money_back(self, agrees: bool) -> None:
        """
        Who haggles gets a part back and is content, if the seller agrees; otherwise he
        asks for changes as anybody does.
        """
        haggler = attrs.evolve(SAINT, haggles=100)
        poor = attrs.evolve(
            MASTER,
            good=0,
            improves=100,
            agrees=100,
            answers=100,
            answers_after=SOON,
            gives_in=100 if agrees else 0,
        )

        report = ran(people=people(haggler, poor, goods=Goods(revisions=0, part=25)))

        for one in report.lives:
            assert one.paid == one.refunded + one.released
            if agrees:
                assert one.cause == "approved"
                assert one.refunded == max(1, one.paid // 4)
        assert agrees or not any(0 < one.refunded < one.paid for one in report.lives)

    def test_where_no_part_goes_back(self) -> None:
        """
        Where only a mediator gives parts back, a haggler asks for changes at once.
        """
        haggler = attrs.evolve(SAINT, haggles=100)
        poor = attrs.evolve(MASTER, good=0, improves=100, agrees=100, answers=100)

        wanted = ran(VENDOR, people=people(haggler, poor)).lives
        asked = ran(VENDOR, people=people(SAINT, poor)).lives

        assert wanted == asked

    @pytest.mark.parametrize(
        ("buyer", "seller", "times"),
        [
            ({"extras": 100, "extras_after": SOON}, {}, 1),
            ({"takes": 100, "takes_after": SOON}, {"offers": 100}, 1),
            ({"takes": 0, "takes_after": SOON}, {"offers": 100}, 0),
        ],
    )
    def test_extra_work(
        self, buyer: dict[str, Any], seller: dict[str, Any], times: int
    ) -> None:
        """
        Options and extra work are paid on top, if they are wanted.
        """
        fields = {"offers_after": SOON, **seller} if seller else {}
        who = people(attrs.evolve(SAINT, **buyer), attrs.evolve(MASTER, **fields))

        report = ran(people=who)

        for number, one in enumerate(report.lives):
            plan = drawn(who, 0, number)
            assert one.paid == plan.price + times * plan.extra
            assert one.released == one.paid

    def test_staff_looks_at_an_order(self) -> None:
        """
        What staff stops goes on when it says so; what it forgets is stuck.
        """
        usual: dict[str, Any] = {
            "freezes": 100,
            "freezes_after": SOON,
            "thaws_after": SOON,
        }
        fine = StaffHabits(**usual, thaws=100)
        lost = StaffHabits(**usual, thaws=0)

        looked = ran(people=people(staff={"s": fine}))
        forgot = ran(people=people(staff={"s": lost}))

        assert {one.cause for one in looked.lives} == {"approved"}
        assert {one.state for one in forgot.lives} == {"frozen"}
        assert losses(forgot)["stuck"] == forgot.orders

    def test_nothing_is_stuck_where_every_wait_ends(self) -> None:
        """
        Under the process we advise every order of a year comes to its end.
        """
        report = ran(recommended(), orders=500)

        assert losses(report)["stuck"] == 0
        assert all(end.cause for end in report.ends)

    def test_who_wants_to_review(self) -> None:
        """
        Where an approval completes nothing, a review does.
        """
        report = ran(VENDOR, people=people())

        assert [end.cause for end in report.ends] == ["reviewed"]


class TestChance:
    """
    A seed is a market.
    """

    def test_the_same_people_everywhere(self) -> None:
        """
        Prices, tempers and intentions depend on the seed and the number alone.
        """
        first, second = ran(seed=5), ran(VENDOR, seed=5)

        assert [one.paid for one in first.lives] == [one.paid for one in second.lives]
        assert drawn(DEFAULT, 5, 17) == drawn(DEFAULT, 5, 17)
        assert drawn(DEFAULT, 5, 17) != drawn(DEFAULT, 6, 17)

    def test_more_orders_change_none(self) -> None:
        """
        The first orders of a large market are those of a small one.
        """
        assert ran(orders=30).lives == ran(orders=60).lives[:30]

    def test_another_habit_changes_nothing_else(self) -> None:
        """
        Whatever has nothing to do with a habit is drawn as before.
        """
        kind = attrs.evolve(SAINT, leaves=100)
        before = [drawn(people(), 1, number) for number in range(50)]
        after = [drawn(people(kind), 1, number) for number in range(50)]

        assert [attrs.evolve(plan, leaves=None) for plan in after] == before
        assert all(plan.leaves is not None for plan in after)

    def test_weights(self) -> None:
        """
        So many of each kind, about.
        """
        count = Counter(drawn(DEFAULT, 0, number).seller for number in range(2_000))

        assert set(count) == set(DEFAULT.sellers)
        assert 1_250 < count["reliable"] < 1_550

    def test_any_number_of_workers(self) -> None:
        """
        The report is the same, and progress is told.
        """
        done: list[int] = []

        alone = Market(COMEUP).run(1_200)
        shared = Market(COMEUP).run(1_200, workers=2, progress=done.append)

        assert alone == shared
        assert done == [500, 1_000, 1_200]

    def test_no_machine_changes_anything(self) -> None:
        """
        Neither the seed of hashes nor zone nor language.
        """
        said = {
            subprocess.run(
                [
                    *(sys.executable, "-m", "escrowflow", "simulate", "comeup"),
                    *("--orders", "60", "--compare", "vendor_consolidation"),
                    *("--json", "-"),
                ],
                env=os.environ | {"PYTHONHASHSEED": hashes, "TZ": zone, "LANG": lang},
                capture_output=True,
                check=True,
            ).stdout
            for hashes, zone, lang in (
                ("0", "UTC", "C"),
                ("7", "Asia/Kathmandu", "fr_FR.UTF-8"),
            )
        }

        assert len(said) == 1


class TestComparing:
    """
    Two reports on the same people.
    """

    def test_order_by_order(self) -> None:
        """
        What changed is counted, and what became better and worse.
        """
        first = ran(orders=300)
        second = ran(COMEUP.with_policies(lifetime={"order_cap": "P20D"}), 300)

        told = compare(first, second)

        assert sum(count for *_, count in told.moved) == sum(
            (one.state, one.cause) != (other.state, other.cause)
            for one, other in zip(first.lives, second.lives, strict=True)
        )
        for code in LOSSES:
            change = losses(second)[code] - losses(first)[code]
            assert change == told.added[code] - told.spared[code]
        assert told.spared["stuck"] == losses(first)["stuck"] > 0
        assert told.added["platform_keeps"] > 0
        assert json.dumps(told.to_json())

    def test_the_same_is_the_same(self) -> None:
        """
        Against itself nothing differs.
        """
        told = compare(ran(), ran())

        assert told.moved == ()
        assert set(told.spared.values()) | set(told.added.values()) == {0}

    @pytest.mark.parametrize(
        "other", [{"seed": 1}, {"orders": 3}, {"people": people()}], ids=str
    )
    def test_other_people(self, other: dict[str, Any]) -> None:
        """
        Markets that have nothing to do with each other cannot be compared.
        """
        with pytest.raises(InvalidInputError) as error:
            compare(ran(orders=2), ran(**{"orders": 2, **other}))

        assert error.value.field == "second"

    def test_no_report(self) -> None:
        """
        Two reports are needed.
        """
        with pytest.raises(InvalidInputError) as error:
            compare(ran(orders=2), "comeup")  # type: ignore[arg-type]

        assert error.value.field == "second"


@attrs.frozen(kw_only=True)
class Wave(c.Command):
    """
    Say hello.
    """


@decides(Wave, version="1")
def wave(case: Any, command: Wave) -> Iterable[Step]:
    """
    As a message.
    """
    yield from COMEUP.decider[c.SendMessage].act(case, c.SendMessage(reference="w"))


# Every wait has an end there.
SETTLED: Final = recommended()


@attrs.frozen(kw_only=True)
class Tick(c.Command):
    """
    The system looks, and looks again.
    """


def ticking(window: timedelta) -> Any:
    """
    Return a process in which something is due again and again, and changes nothing.
    """

    @decides(Tick, version="1")
    def tick(case: Any, command: Tick) -> Iterable[Step]:
        again = deadline("tick", case.after(window))
        yield Step(events=(VerificationReminded(),), arm=again)

    @decides(c.AcceptOrder, version="1")
    def accepted(case: Any, command: c.AcceptOrder) -> Iterable[Step]:
        first = deadline("tick", case.after(window))
        for step in SETTLED.decider[c.AcceptOrder].act(case, command):
            yield attrs.evolve(step, arm=(*step.arm, *first))

    runs = [state for state in SETTLED.members if state not in SETTLED.endings]
    return SETTLED.extend(
        name="recommended",
        rows=[Row(Tick, Role.SYSTEM, tuple(runs), STAY)],
        decisions=[tick, accepted],
        deadlines=[DeadlineKind("tick", Tick, tuple(runs), urgency=Urgency.REMINDER)],
    )


class TestProcessesOfYours:
    """
    What nobody in the market knows.
    """

    def test_is_said(self) -> None:
        """
        People use what they know; what they do not is named, and the process is called
        as you like.
        """
        row = Row(Wave, Role.BUYER, State.IN_PROGRESS, STAY)
        process = COMEUP.extend(name="waving", rows=[row], decisions=[wave])

        report = ran(process, 30, name="ours")

        assert report.process == "ours"
        assert report.unused == ("wave",)
        assert [one[1:] for one in report.lives] == [
            one[1:] for one in ran(orders=30).lives
        ]
        assert any("wave" in line.text for line in report.lines())
        assert ran(orders=1).unused == ()

    def test_deadlines_that_come_often(self) -> None:
        """
        However often time does something, each order is watched for a year.
        """
        report = ran(ticking(timedelta(minutes=30)), 30)

        assert [one[1:] for one in report.lives] == [
            one[1:] for one in ran(SETTLED, 30).lives
        ]
        assert losses(report)["stuck"] == 0

    def test_deadlines_without_an_end(self) -> None:
        """
        One that comes every second is told, rather than taken for money that is stuck.
        """
        with pytest.raises(LedgerError, match="tick comes again and again"):
            ran(ticking(timedelta(seconds=1)), 30)

    def test_known_by_name(self) -> None:
        """
        What people know are commands of the library.
        """
        assert set(recommended().commands) | set(COMEUP.commands) >= KNOWN

    @pytest.mark.parametrize(
        ("given_", "field"),
        [
            ({"process": "comeup"}, "process"),
            ({"seed": 1.5}, "seed"),
            ({"people": {}}, "people"),
            ({"orders": 0}, "orders"),
            ({"orders": True}, "orders"),
            ({"workers": 0}, "workers"),
        ],
        ids=str,
    )
    def test_what_cannot_be(self, given_: dict[str, Any], field: str) -> None:
        """
        A mistake is named.
        """
        run_ = {
            name: given_.pop(name) for name in ("orders", "workers") if name in given_
        }

        with pytest.raises(InvalidInputError) as error:
            Market(**{"process": COMEUP, **given_}).run(**{"orders": 1, **run_})

        assert error.value.field == field


class TestReading:
    """
    Habits from a file.
    """

    def test_what_is_said_is_so(self) -> None:
        """
        The rest is as the class says, a side that is not named as in the default.
        """
        read = People.read(
            {
                "buyers": {"slow": {"checks_after": ["P1D", "P2D", "P3D"]}},
                "goods": {"least": 1, "usual": 2, "most": 3},
            }
        )

        assert read.buyers == {
            "slow": BuyerHabits(checks_after=Span(86_400, 172_800, 259_200))
        }
        assert read.sellers == DEFAULT.sellers
        assert read.goods == Goods(least=1, usual=2, most=3)

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ([], "people"),
            ({"staff": {}}, "staff"),
            ({"buyers": []}, "buyers"),
            ({"buyers": {}}, "buyers"),
            ({"buyers": {"b": {"weight": 0}}}, "buyers"),
            ({"buyers": {"b": 1}}, "buyers.b"),
            ({"buyers": {"b": {"charm": 1}}}, "buyers.b.charm"),
            ({"buyers": {"b": {"brief": 101}}}, "buyers.b.brief"),
            ({"buyers": {"b": {"brief": 0.5}}}, "buyers.b.brief"),
            ({"buyers": {"b": {"weight": -1}}}, "buyers.b.weight"),
            ({"buyers": {"b": {"brief_after": "P1D"}}}, "buyers.b.brief_after"),
            (
                {"buyers": {"b": {"brief_after": ["P2D", "P1D", "P3D"]}}},
                "buyers.b.brief_after",
            ),
            (
                {"buyers": {"b": {"brief_after": ["soon", "P1D", "P3D"]}}},
                "buyers.b.brief_after",
            ),
            ({"sellers": {"s": {"accepts": 90, "refuses": 20}}}, "sellers.s.refuses"),
            ({"sellers": {"s": {"in_time": 90, "late": 20}}}, "sellers.s.late"),
            ({"goods": {"currency": "EURO"}}, "goods.currency"),
            ({"goods": {"currency": 978}}, "goods.currency"),
            ({"goods": {"least": 0}}, "goods.least"),
            ({"goods": {"least": 9_000}}, "goods.usual"),
        ],
        ids=str,
    )
    def test_what_cannot_be_read(self, data: Any, field: str) -> None:
        """
        The field is named, with the way to it.
        """
        with pytest.raises(InvalidInputError) as error:
            People.read(data)

        assert error.value.field == field

    def test_habits_of_the_other_side(self) -> None:
        """
        A seller is no buyer.
        """
        with pytest.raises(InvalidInputError) as error:
            attrs.evolve(DEFAULT, buyers=DEFAULT.sellers)

        assert error.value.field == "buyers"


class TestPictures:
    """
    The report as bars.
    """

    @pytest.mark.parametrize("locale", ["en", "fr"])
    def test_is_read_by_everybody(self, locale: str) -> None:
        """
        It is XML, has a title and tells in words what it shows; each bar is full.
        """
        reports = ran(seed=1), ran(VENDOR, seed=1)

        drawn_ = picture(*reports, locale=locale)

        root = ElementTree.fromstring(drawn_)
        space = "{http://www.w3.org/2000/svg}"
        assert root.get("role") == "img"
        assert root.get("lang") == locale
        assert root.findtext(f"{space}title")
        said = root.findtext(f"{space}desc") or ""
        assert all(report.process in said for report in reports)
        bars: dict[str, int] = {}
        for piece in root.iter(f"{space}rect"):
            if piece.find(f"{space}title") is not None:
                y, wide = str(piece.get("y")), int(str(piece.get("width")))
                bars[y] = bars.get(y, 0) + wide
        assert len(bars) == 2
        assert len(set(bars.values())) == 1
        assert drawn_ == picture(*reports, locale=locale)

    def test_how_many(self) -> None:
        """
        At least one, and no more than can be told apart.
        """
        with pytest.raises(InvalidInputError):
            picture()
        with pytest.raises(InvalidInputError):
            picture(*[ran(orders=1)] * 9)


def told(*arguments: str) -> Result:
    """
    Return what the command line says.
    """
    return CliRunner().invoke(main, ["simulate", *arguments, "--workers", "1"])


class TestCommandLine:
    """
    `escrowflow simulate`.
    """

    def test_a_table(self) -> None:
        """
        What became of the orders, and of the money.
        """
        result = told("comeup", "--orders", "80", "--seed", "7")

        assert result.exit_code == 0
        first, head, *rows = result.stdout.splitlines()
        assert first == "comeup: 80 orders, seed 7"
        assert head.split("  ")[0] == "How it ended"
        assert any(row.startswith("Completed: The buyer approved") for row in rows)
        assert any(row.startswith("Money was held: half") for row in rows)
        assert result.stderr == ""

    def test_in_french(self) -> None:
        """
        Every word of it.
        """
        result = told(
            *("comeup", "--orders", "80", "--lang", "fr"),
            *("--compare", "vendor_consolidation"),
        )

        assert result.exit_code == 0
        assert result.stdout.startswith("comeup\u00a0: 80 commandes, graine 0\n")
        assert "Ce que personne ne souhaite" in result.stdout
        for word in ("Orders", "seed", "Share", "Completed", "buyer", "Spared"):
            assert word not in result.stdout

    def test_how_far_it_is(self) -> None:
        """
        On a terminal a bar shows it, and the table is no part of that.
        """
        ours, theirs = pty.openpty()
        try:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "escrowflow", "simulate", "comeup"),
                    *("--orders", "40", "--workers", "1"),
                ],
                stdout=subprocess.PIPE,
                stderr=theirs,
                env={**os.environ, "TERM": "xterm"},
                check=True,
            )
            shown = os.read(ours, 65_536).decode()
        finally:
            os.close(theirs)
            os.close(ours)

        assert "comeup" in shown
        assert "100%" in shown
        assert done.stdout.startswith(b"comeup: 40 orders, seed 0")
        assert b"%\r" not in done.stdout

    def test_narrow(self) -> None:
        """
        On a narrow screen numbers get a line of their own.
        """
        lines = ran().lines(width=60)

        numbers = [line.text for line in lines if line.text.startswith("    ")]
        assert len(numbers) == len(ran().ends) + 1
        assert max(map(len, numbers)) <= 75

    def test_files(self, tmp_path: Path) -> None:
        """
        JSON and a picture, beside the table.
        """
        one, other = tmp_path / "report.json", tmp_path / "report.svg"

        result = told(
            "comeup", "--orders", "9", "--json", str(one), "--svg", str(other)
        )

        assert result.exit_code == 0
        assert json.loads(one.read_text("utf-8"))["orders"] == 9
        assert other.read_text("utf-8").startswith("<svg ")
        assert "comeup: 9 orders" in result.stdout

    def test_only_json(self) -> None:
        """
        On the standard output there is nothing else then.
        """
        result = told(
            *("comeup", "--orders", "9", "--json", "-"),
            *("--compare", "vendor_consolidation"),
        )

        assert set(json.loads(result.stdout)) == {
            *("first", "second", "moved", "spared", "added")
        }

    def test_only_a_picture(self) -> None:
        """
        So it is with a picture; both at once would be neither.
        """
        arguments = ("comeup", "--orders", "9", "--svg", "-")

        ElementTree.fromstring(told(*arguments).stdout)
        both = told(*arguments, "--json", "-")

        assert (both.exit_code, both.stdout) == (2, "")
        assert "not both" in both.stderr

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("people.toml", "[buyers.silent]\nchecks = 0\n"),
            ("people.json", '{"buyers": {"silent": {"checks": 0}}}'),
        ],
    )
    def test_people_of_yours(self, tmp_path: Path, name: str, text: str) -> None:
        """
        Habits are read from TOML or JSON.
        """
        path = tmp_path / name
        path.write_text(text, "utf-8")

        result = told("comeup", "--orders", "60", "--people", str(path), "--json", "-")

        causes = {end["cause"] for end in json.loads(result.stdout)["ends"]}
        assert "approved" not in causes
        assert "silence" in causes

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("p.toml", b"[buyers", "p.toml cannot be read"),
            ("p.json", b"{", "p.json cannot be read"),
            ("p.toml", b"x = '\xe9'", "no UTF-8"),
            ("p.toml", b"[buyers.b]\nbrief = 101", "buyers.b.brief"),
        ],
        ids=["toml", "json", "bytes", "habits"],
    )
    def test_people_that_cannot_be_read(
        self, tmp_path: Path, name: str, content: bytes, said: str
    ) -> None:
        """
        What is wrong is said, without a traceback.
        """
        path = tmp_path / name
        path.write_bytes(content)

        result = told("comeup", "--orders", "1", "--people", str(path))

        assert result.exit_code == 1
        assert said in result.stderr

    def test_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        """
        A folder that is not there is named.
        """
        path = tmp_path / "nowhere" / "report.svg"

        result = told("comeup", "--orders", "1", "--svg", str(path))

        assert result.exit_code == 1
        assert str(path) in result.stderr

    def test_an_unknown_process(self) -> None:
        """
        As for `escrowflow check`.
        """
        result = told("comup")

        assert result.exit_code == 1
        assert "no process 'comup'" in result.stderr
