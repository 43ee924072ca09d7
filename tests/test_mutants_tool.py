"""
`make mutants`: what is wording, what is known, and that decorators come off.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from textwrap import dedent
from typing import Any

import pytest

from tests.test_house_style import PROJECT, ROOT
from tools.mutants import (
    PARTS,
    TRIAGE,
    Entry,
    Mutant,
    Result,
    changed,
    doubtful,
    functions,
    held,
    is_wording,
    judged,
    main,
    read,
    report,
    undecorated,
)

# As mutmut writes it, with two mutants.
MADE = """\
from x import _mutmut_mutated
d_of: MutantDict = {}


class Money:
    @_mutmut_mutated(d_of)
    def of(self, minor):
        if minor < 0:
            raise Refused("minor", "never less than nothing")

    def xǁMoneyǁof__mutmut_orig(self, minor):
        if minor < 0:
            raise Refused("minor", "never less than nothing")

    def xǁMoneyǁof__mutmut_1(self, minor):
        if minor <= 0:
            raise Refused("minor", "never less than nothing")

    def xǁMoneyǁof__mutmut_2(self, minor):
        if minor < 0:
            raise Refused("minor", "NEVER LESS THAN NOTHING")
"""
OF = "escrowflow.money.xǁMoneyǁof__mutmut_"

ZERO = Mutant(function="money.Money.of", was="if minor < 0:", now="if minor <= 0:")
KNOWN = """
[[survivor]]
part = "money"
function = "money.Money.of"
was = "if minor < 0:"
now = "if minor <= 0:"
verdict = "equivalent"
why = "Zero never comes here."
"""


class TestWording:
    """
    What only people read, and what programs do.
    """

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('raise E("field", "too large")', 'raise E("field", "XXtoo largeXX")'),
            ('raise E("field", "too large")', 'raise E("field", "TOO LARGE")'),
            ('raise E("field", "too large")', 'raise E("field", None)'),
            ('raise E("field", f"at most {n}")', 'raise E("field", None)'),
            ('raise E(f"at most {n + 1}")', 'raise E(f"at most {n - 1}")'),
            ('problem = "too large"', "problem = None"),
        ],
    )
    def test_sentences(self, old: str, new: str) -> None:
        """
        Another sentence, or none, or another figure in one.
        """
        assert is_wording(old, new)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("if a < 1: pass", "if a <= 1: pass"),
            ('raise E("field", "too large")', 'raise E("FIELD", "too large")'),
            ('raise E("field", "too large")', 'raise E(None, "too large")'),
            ('raise E("field", "too large")', 'raise E("too large")'),
            ('raise E("too large") if a else b', 'raise E("TOO LARGE") if b else b'),
            ('code = "late"', "code = None"),
            ('text = f"{a}:{b}"', 'text = f"{a}:{None}"'),
            ("same = 1", "same = 1"),
        ],
    )
    def test_what_is_not(self, old: str, new: str) -> None:
        """
        A name, a code, a figure, a choice; and nothing at all.
        """
        if " if " in old:
            old, new = (one.replace("raise ", "x = ") for one in (old, new))
        assert not is_wording(old, new)


class TestReadingMutants:
    """
    What mutmut leaves behind.
    """

    def test_judged(self) -> None:
        """
        Verdicts are counted; survivors are told by their lines.
        """
        result = judged("money", MADE, {f"{OF}1": 0, f"{OF}2": 0})

        assert result == Result(
            total=2, killed=0, timeouts=0, wording=1, survivors=Counter([ZERO])
        )

    def test_killed(self) -> None:
        """
        A failing test kills, and so does a test that never ends.
        """
        result = judged("money", MADE, {f"{OF}1": 1, f"{OF}2": -24})

        assert (result.killed, result.timeouts) == (1, 1)
        assert not result.survivors

    def test_not_reached(self) -> None:
        """
        Where no test comes by, that is said of the function.
        """
        result = judged("money", MADE, {f"{OF}1": 33, f"{OF}2": 33})

        assert result.survivors == {Mutant(function="money.Money.of"): 2}

    @pytest.mark.parametrize("verdict", [None, 2, -11])
    def test_not_tried(self, verdict: int | None) -> None:
        """
        A mutant that was not tried is not passed over in silence.
        """
        with pytest.raises(SystemExit, match="was not judged"):
            judged("money", MADE, {f"{OF}1": verdict})

    @pytest.mark.parametrize(
        ("verdict", "again"),
        [
            (0, [f"{OF}1"]),
            (33, [f"{OF}1", f"{OF}2"]),
            (36, [f"{OF}1", f"{OF}2"]),
            (1, []),
        ],
        ids=["survived", "not reached", "never ended", "killed"],
    )
    def test_doubtful(self, verdict: int, again: list[str]) -> None:
        """
        What was not killed is tried once more from the start; of what survived, not
        that which is only wording.
        """
        assert [*doubtful(MADE, {f"{OF}1": verdict, f"{OF}2": verdict})] == again

    def test_functions_bear_their_own_names(self) -> None:
        """
        So that a mutant differs from the original by the mutation alone.
        """
        made = functions(MADE)

        assert len(made) == 3
        assert all(text.startswith("def of(self, minor):") for text in made.values())

    def test_changed_lines(self) -> None:
        """
        Lines that became one, without their indentation.
        """
        old = "def f():\n    return g(\n        1,\n        2,\n    )"
        new = "def f():\n    return g(\n        2,\n    )"

        assert changed(old, new) == ("1,", "")


class TestTriage:
    """
    tests/mutants.toml.
    """

    def test_every_entry_is_understood(self) -> None:
        """
        The file as it is: its parts exist, and each entry says why.
        """
        entries = read(TRIAGE.read_text("utf-8"))

        assert [one for one in entries if len(one.why) < 10] == []

    def test_known(self) -> None:
        """
        What is in the file may survive.
        """
        found = held("money", Counter({ZERO: 2}), read(KNOWN))

        assert (found.verdicts, found.new, found.stale) == ({"equivalent": 2}, (), ())

    def test_new(self) -> None:
        """
        What is not in it, or stands there for another part, may not.
        """
        assert held("money", Counter([ZERO]), ()).new == (ZERO,)
        assert held("ledger", Counter([ZERO]), read(KNOWN)).new == (ZERO,)

    def test_stale(self) -> None:
        """
        What did not survive must leave the file.
        """
        (entry,) = read(KNOWN)

        assert held("money", Counter(), [entry]).stale == (entry,)
        assert held("ledger", Counter(), [entry]).stale == ()

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ('why = "Zero never comes here."', "", "lacks 'why'"),
            ('"equivalent"', '"harmless"', "not understood"),
            ('part = "money"', 'part = "gold"', "not understood"),
            ("why =", 'mood = "good"\nwhy =', "not understood"),
        ],
    )
    def test_odd_entries(self, old: str, new: str, told: str) -> None:
        """
        An entry without a reason is none.
        """
        with pytest.raises(SystemExit, match=told):
            read(KNOWN.replace(old, new))

    def test_twice(self) -> None:
        """
        One mutant has one verdict.
        """
        with pytest.raises(SystemExit, match="twice"):
            read(KNOWN + KNOWN)


class TestReport:
    """
    What is printed, and whether the target fails.
    """

    @pytest.mark.parametrize("entries", [(), read(KNOWN)], ids=["new", "known"])
    def test_new_ones_fail(self, entries: tuple[Entry, ...]) -> None:
        """
        A survivor that nobody has looked at is printed, and fails.
        """
        told: list[str] = []
        result = judged("money", MADE, {f"{OF}1": 0, f"{OF}2": 1})
        found = held("money", result.survivors, entries)

        fine = report("money", result, found, told.append)

        assert fine is bool(entries)
        assert ("  + if minor <= 0:" in "".join(told)) is not fine

    def test_stale_ones_fail(self) -> None:
        """
        An entry that says nothing any more is printed, and fails.
        """
        told: list[str] = []
        result = judged("money", MADE, {f"{OF}1": 1})

        assert not report("money", result, held("money", {}, read(KNOWN)), told.append)
        assert "stale" in told[-1]

    def test_unknown_part(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A part that does not exist is refused before anything is run.
        """
        with pytest.raises(SystemExit):
            main(["gold"])
        assert "no part 'gold'" in capsys.readouterr().err


class TestUndecorated:
    """
    mutmut does not look into decorated functions.
    """

    def test_same_meaning(self) -> None:
        """
        The decorators are called as before, the inner one first, and may be methods
        of what was made above.
        """
        code = dedent(
            '''
            made = []

            def noted(word):
                def note(function):
                    made.append((word, function.__name__))
                    note.more = noted(word + "+")
                    return note
                return note

            @noted("outer")
            @property
            def alone(): ...

            @noted("a")
            def first():
                """One."""

            @first.more
            def _(case):
                return 1

            class C:
                @property
                def kept(self):
                    return 3

                @staticmethod
                def other():
                    return 4
            '''
        ).replace("@property\ndef alone", "def alone")
        plain: dict[str, Any] = {}
        bare: dict[str, Any] = {}
        exec(code, plain)
        exec(undecorated(code), bare)

        assert [word for word, _ in bare["made"]] == ["outer", "a", "a+"]
        assert [word for word, _ in plain["made"]] == ["outer", "a", "a+"]
        assert bare["C"]().kept == 3
        assert bare["C"].other() == 4
        assert "@staticmethod" in undecorated(code)

    def test_of_the_package(self) -> None:
        """
        In no module of the core a decorated function is left, and no two functions
        share a name.
        """
        for part in PARTS.values():
            for module in part.modules:
                path = ROOT / f"{module}.py"
                tree = ast.parse(undecorated(path.read_text("utf-8")))
                names = [
                    node.name for node in tree.body if isinstance(node, ast.FunctionDef)
                ]
                left = [
                    node.name
                    for node in tree.body
                    if isinstance(node, ast.FunctionDef) and node.decorator_list
                ]

                assert left == []
                assert len(names) == len(set(names)), module


class TestParts:
    """
    What can be asked for.
    """

    def test_they_are_there(self) -> None:
        """
        Modules and tests exist; no module is in two parts.
        """
        modules = [one for part in PARTS.values() for one in part.modules]

        assert all((ROOT / f"{one}.py").exists() for one in modules)
        assert all(
            (PROJECT / one).exists() for part in PARTS.values() for one in part.tests
        )
        assert len(modules) == len(set(modules))

    def test_contributing_says_how_far_we_are(self) -> None:
        """
        Each part is in the table, with figures that add up, or is said not to have been
        run to its end yet.
        """
        page = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
        (section,) = re.findall(r"^## Mutants\n(.*?)^## ", page, re.M | re.S)
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in section.splitlines()
            if line.startswith("| ")
        ]
        table = {name: figures for name, *figures in rows[2:]}
        known = Counter(entry.part for entry in read(TRIAGE.read_text("utf-8")))

        assert list(table) == [*PARTS]
        for name, figures in table.items():
            if figures[0] == "not run yet":
                continue
            total, killed, wording, equivalent, accepted = map(int, figures)
            assert killed + wording + equivalent + accepted == total
            # Two mutants of equal lines are one entry.
            assert bool(known[name]) is bool(equivalent + accepted)
            assert known[name] <= equivalent + accepted

    def test_every_chapter_is_in_one(self) -> None:
        """
        A new chapter of decisions is mutated, too.
        """
        modules = {one for part in PARTS.values() for one in part.modules}
        chapters = {
            f"decisions/{path.stem}" for path in (ROOT / "decisions").glob("*.py")
        }

        assert chapters - modules == set()
