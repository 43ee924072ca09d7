"""
What is said of the speed is what was measured: the page, the picture and the README's
table are made of the kept figures.  `python -m benchmarks.page` writes them anew, and
`make bench BENCH_ARGS=--keep` measures first.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, Final
from xml.etree import ElementTree

import pytest

from benchmarks import page, sweep
from benchmarks.goals import Line, lines, ratio, span
from benchmarks.picture import described, picture

STALE: Final = "stale: run `python -m benchmarks.page`"
SVG: Final = "{http://www.w3.org/2000/svg}"


class TestFresh:
    """
    No figure is typed by hand.
    """

    def test_the_page(self) -> None:
        """
        The page says what the figures say.
        """
        assert page.PAGE.read_text("utf-8") == page.page(page.kept()), STALE

    def test_the_picture(self) -> None:
        """
        The picture shows what the figures say.
        """
        drawn = picture(page.kept()["figures"])

        assert page.PICTURE.read_text("utf-8") == drawn, STALE

    def test_the_readme(self) -> None:
        """
        The README has its table, and the table says what the figures say.
        """
        text = page.README.read_text("utf-8")

        assert "<!-- speed -->\n" in text
        assert text == page.readme(page.kept(), text), STALE


class TestTold:
    """
    What becomes of a figure.
    """

    def test_every_measure_has_its_line(self) -> None:
        """
        The kept figures are of a whole run, and each measure says something.
        """
        figures = page.kept()["figures"]

        for name in figures:
            assert lines({name: figures[name]}), name
        assert len(figures) == 8

    def test_a_worse_figure_is_told(self) -> None:
        """
        With ten times the time for a command, the page and the picture say so.
        """
        speed = page.kept()
        slower = copy.deepcopy(speed)
        for rates in slower["figures"]["durable"].values():
            rates["escrowflow, execute"] = [
                rate / 10 for rate in rates["escrowflow, execute"]
            ]

        assert page.page(slower) != page.page(speed)
        assert picture(slower["figures"]) != picture(speed["figures"])

    def test_ratios_are_taken_round_by_round(self) -> None:
        """
        A machine that gets slower from round to round slows both: the ratio stays.
        """
        rates = {"ours": [50.0, 5.0, 0.5], "hand": [100.0, 10.0, 1.0]}

        assert ratio(rates, "ours", "hand") == 0.5

    def test_two_workers(self) -> None:
        """
        They are held against one worker of the same round, where they were measured.
        """
        (*_, last) = sizes = copy.deepcopy(page.kept()["figures"]["sweep"])
        last[sweep.TWO] = [seconds / 1.5 for seconds in last["escrowflow"]]

        (line,) = (one for one in lines({"sweep": sizes}) if "two workers" in one.what)

        assert line.measured == pytest.approx(1.5)
        assert line.reached == "**yes**"

    def test_who_is_not_there(self) -> None:
        """
        Without DBOS its lines say that it was not measured, and nobody has won.
        """
        figures: Any = copy.deepcopy(page.kept()["figures"])
        for rates in (figures["durable"]["FULL"], figures["server"]["on"]["1"]):
            rates.pop("DBOS, steps of a workflow")

        told = [line for line in lines(figures) if "DBOS" in line.beside]

        assert [line.reached for line in told] == ["not measured"] * 2

    @pytest.mark.parametrize(
        ("measured", "told"),
        [
            (9.0, "no"),
            (8.0, "**yes**"),
            (4.0, "**yes**, the ambitious one too"),
        ],
    )
    def test_a_goal_at_the_most(self, measured: float, told: str) -> None:
        """
        A goal is reached where it is met, not before.
        """
        line = Line(what="", ours="", measured=measured, goal=8, ambitious=4)

        assert line.reached == told

    def test_a_goal_at_the_least(self) -> None:
        """
        What is printed as the goal and is a little below has not reached it.
        """
        line = Line(what="", ours="", measured=0.5499, goal=0.55, least=True)

        assert line.reached == "no"

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [
            (57.2e-6, "57 µs"),
            (1.04e-7, "0.1 µs"),
            (8.6e-4, "860 µs"),
            (0.0011, "1.1 ms"),
        ],
    )
    def test_a_span(self, seconds: float, told: str) -> None:
        """
        Two digits, in the unit that suits.
        """
        assert span(seconds) == told


class TestPicture:
    """
    Those who do not see it, and those who see it on a dark page.
    """

    def test_it_has_a_text(self) -> None:
        """
        Its title and description say what it shows, and the page says it too.
        """
        speed = page.kept()
        root = ElementTree.fromstring(picture(speed["figures"]))

        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == "title desc"
        description = root.findtext(f"{SVG}desc")
        assert description == described(speed["figures"])
        assert f"![{description}](" in page.page(speed)

    def test_it_has_its_own_ground(self) -> None:
        """
        The whole of it is white below everything else.
        """
        root = ElementTree.fromstring(picture(page.kept()["figures"]))
        ground = next(iter(root.iter(f"{SVG}rect")))

        assert ground.get("fill") == "#FFFFFF"
        assert ground.get("width") == root.get("width")
        assert ground.get("height") == root.get("height")

    def test_nothing_lies_on_something_else(self) -> None:
        """
        Bars stand below each other, inside of the picture.
        """
        root = ElementTree.fromstring(picture(page.kept()["figures"]))
        wide = int(str(root.get("width")))
        _, *drawn = root.iter(f"{SVG}rect")
        bars = [
            {name: int(str(bar.get(name))) for name in ("x", "y", "width", "height")}
            for bar in drawn
        ]

        assert bars
        assert all(bar["x"] + bar["width"] < wide for bar in bars)
        assert all(one["y"] + one["height"] < two["y"] for one, two in pairwise(bars))
