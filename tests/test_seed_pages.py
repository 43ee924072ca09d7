"""
The pages of the seeds: every rule that a help page states is restated there, with the
tests that show it.

Run as a script, this file writes the tests into the rows anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest

from tests.test_rules_page import CODE, HOSTS, PROJECT, cites, rows

FOLDER: Final = PROJECT / "docs" / "reference" / "seeds"
ROW: Final = re.compile(r"^\| (R\d+) \| (.+?) \| ([^|]*) \|$", re.MULTILINE)

# So many tests a row: the rest is in the same file.
SHOWN: Final = 3
NO_TEST: Final = "the host's business"

# The rules that each help page states, as docstrings cite it (`seed000`).
STATED: Final = {
    "seller-awaiting-acceptance": (2, 7, 8, 9, 10, 11, 12, 13, 42, 104, 115, 116),
    "seller-in-progress": (*(15, 16, 17, 18, 23, 25, 26, 27, 36, 50, 57, 66, 74, 85),),
    "buyer-awaiting-acceptance": (2, 7, 12, 13, 46, 47, 49, 113, 114, 115),
    "seller-cancelled": (39, 40, 41, 42, 46, 47, 105, 107),
    "questions-and-answers": (
        *(1, 2, 9, 10, 11, 13, 25, 28, 29, 30, 31, 33, 36, 37, 43, 50, 53, 54, 56),
        *(58, 60, 61, 62, 63, 83, 91, 92, 97, 98, 108, 115, 117),
    ),
}

each_page = pytest.mark.parametrize("name", STATED)


def page(name: str) -> str:
    """
    Return a page as it is.
    """
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


@cache
def cited_in(file: str) -> tuple[tuple[str, str], ...]:
    """
    Return the tests of a file, each with what it says of itself.
    """
    tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
    return tuple(_found(tree, file, ""))


def _found(node: ast.AST, path: str, said: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            group = ast.get_docstring(child) or ""
            yield from _found(child, f"{path}::{child.name}", group)
        elif isinstance(child, ast.FunctionDef) and child.name.startswith("test_"):
            own = ast.get_docstring(child) or ""
            yield f"{path}::{child.name}", f"{own}\n{said}"


def shown(number: str) -> str:
    """
    Return the tests that show a rule, those that name it themselves first.
    """
    if number in HOSTS:
        return NO_TEST
    files = [code.partition("::")[0] for code in CODE.findall(rows()[number][-1])]
    named = [
        (cites(said.partition("\n")[0], number), test)
        for file in files
        for test, said in cited_in(file)
        if cites(said, number)
    ]
    # A file that names a rule in its own words only stands for itself.
    found = [test for own, test in named if own] or [test for _, test in named] or files
    return "<br>".join(f"`{test.removeprefix('tests/')}`" for test in found[:SHOWN])


def refreshed(name: str) -> str:
    """
    Return a page with the tests as they are called now; its sentences stay.
    """
    return ROW.sub(lambda row: f"| {row[1]} | {row[2]} | {shown(row[1])} |", page(name))


@each_page
def test_states_every_rule_of_its_seed(name: str) -> None:
    """
    No rule that the help page states is left out; one may have several sentences.
    """
    found = {row[1] for row in ROW.finditer(page(name))}

    assert found == {f"R{number}" for number in STATED[name]}


@each_page
def test_rows_name_tests_that_are_there(name: str) -> None:
    """
    A test that is called otherwise now, or is gone, is noticed.
    """
    assert page(name) == refreshed(name), "refresh it: python tests/test_seed_pages.py"


@pytest.mark.parametrize(
    "number", sorted({number for numbers in STATED.values() for number in numbers})
)
def test_is_shown_by_a_test(number: int) -> None:
    """
    Each is shown by a test that names it, unless only a host can keep it.
    """
    text = shown(f"R{number}")

    assert "::test_" in text or (text == NO_TEST and f"R{number}" in HOSTS)


if __name__ == "__main__":
    for each in STATED:
        (FOLDER / f"{each}.md").write_text(refreshed(each), encoding="utf-8")
