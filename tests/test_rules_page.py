"""
The page of the rules: every number is on it, and what it points at is there.

Run as a script, this file writes the grid of the running process into the page.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

import attrs
import pytest

from escrowflow.parties import Role
from escrowflow.processes.comeup import comeup
from escrowflow.rules import Policies
from escrowflow.states import State

PROJECT: Final = Path(__file__).parent.parent
PACKAGE: Final = PROJECT / "src" / "escrowflow"
PAGE: Final = PROJECT / "docs" / "reference" / "rules.md"

SCENARIOS: Final = (1, 2, 6, 7, 8, 9, 11, 12, 14, 15, 17, 20)
NUMBERS: Final = (
    *(f"R{number}" for number in range(1, 118)),
    *(f"C{number}" for number in range(1, 27)),
    *(f"SC{number}" for number in SCENARIOS),
)

# Rules that no machine can enforce: the page advises the host instead.
HOSTS: Final = {
    *("R1", "R6", "R25", "R29", "R30", "R48", "R59", "R60", "R66"),
    *("R83", "R93", "R94", "R108", "R113", "R114", "R115"),
}

# What *Shown by* may say where no test can show it.
WITHOUT_TEST: Final = {"the host's business", "not there yet", "a comparison"}

ROW: Final = re.compile(r"^\| ((?:R|C|SC)\d+) \| (.+) \|$", re.MULTILINE)
CODE: Final = re.compile(r"`([^`\n]+)`")
GRID: Final = re.compile(
    r"(?<=<!-- grid: generated -->\n).*?(?=<!-- /grid -->)", re.DOTALL
)

COLUMNS: Final = {
    State.AWAITING_PAYMENT: "aw",
    State.PENDING: "pe",
    State.IN_PROGRESS: "ip",
    State.CANCELLATION_REQUESTED: "cr",
    State.DELIVERED: "de",
    State.REVISION_REQUESTED: "rq",
    State.REVISION_REFUSED: "rf",
    State.DISPUTED: "di",
    State.FROZEN: "fr",
    State.COMPLETED: "co",
    State.CANCELLED: "ca",
    State.EXPIRED: "ex",
}
LETTERS: Final = {
    Role.BUYER: "B",
    Role.SELLER: "S",
    Role.MEDIATOR: "M",
    Role.OPERATOR: "O",
    Role.PROVIDER: "P",
    Role.SYSTEM: "Y",
}

# Cells of the table that stay shut under `comeup()`, and the policy that opens them.
ELSEWHERE: Final = {
    ("cancel_order", State.DELIVERED): "cancellation.seller_cancel_states",
    ("request_cancellation", State.DELIVERED): "cancellation.cancel_request_states",
    (
        "request_cancellation",
        State.REVISION_REFUSED,
    ): "cancellation.cancel_request_states",
    ("deliver_order", State.CANCELLATION_REQUESTED): (
        "delivery.deliver_during_cancel_request"
    ),
    ("request_revision", State.REVISION_REFUSED): (
        "revision.dispute_after_revision_refusals"
    ),
}


def page() -> str:
    """
    Return the page as it is.
    """
    return PAGE.read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """
    Return the cells after the number, by number, in the order of the page.
    """
    return {number: rest.split(" | ") for number, rest in ROW.findall(page())}


def grid() -> str:
    """
    Return the grid of the running process, as it stands on the page.

    A cell in parentheses is one that only another policy opens.
    """
    process = comeup()
    lines = [
        ", ".join(f"`{short}` {state}" for state, short in COLUMNS.items()) + ".",
        "",
        "| command | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for name, command in process.commands.items():
        cells = []
        for state in COLUMNS:
            roles = process.roles(state, command)
            who = "".join(letter for role, letter in LETTERS.items() if role in roles)
            cells.append(f"({who})" if (name, state) in ELSEWHERE else who)
        lines.append("| " + " | ".join([f"`{name}`", *cells]) + " |")
    lines += ["", "In parentheses, what only another policy opens:", ""]
    lines += [
        f"- `{name}` in {state}: `{field}`"
        for (name, state), field in ELSEWHERE.items()
    ]
    return "\n".join(lines) + "\n"


def refreshed() -> str:
    """
    Return the page with the grid of the running process.
    """
    return GRID.sub(lambda _: grid(), page())


def cites(text: str, number: str) -> bool:
    """
    Return whether a text names a number: `R3` is not in `R36`, nor `C1` in `SC1`.
    """
    return re.search(rf"(?<![A-Za-z0-9_]){number}(?!\d)", text) is not None


class TestNumbers:
    """
    R1 to R117, C1 to C26, and the scenarios.
    """

    def test_each_is_a_row_once(self) -> None:
        """
        No number is missing, none is there twice, and none is invented.
        """
        found = Counter(number for number, _ in ROW.findall(page()))

        assert found == Counter(NUMBERS)

    def test_come_in_order(self) -> None:
        """
        The chapters follow the life of an order, and so do the numbers.
        """
        kinds: dict[str, list[int]] = {"R": [], "C": [], "SC": []}
        for number in rows():
            kind = number.rstrip("0123456789")
            kinds[kind].append(int(number.removeprefix(kind)))

        assert all(numbers == sorted(numbers) for numbers in kinds.values())

    def test_the_hosts_are_marked(self) -> None:
        """
        What is the host's to do says so, and nothing else does.
        """
        marked = {number for number, cells in rows().items() if cells[1] == "the host"}

        assert marked == HOSTS

    @pytest.mark.parametrize("number", NUMBERS)
    def test_is_shown_by_a_test_that_cites_it(self, number: str) -> None:
        """
        The test a row points at is there, and names the number.
        """
        shown = rows()[number][-1]
        paths = CODE.findall(shown)

        assert paths or shown in WITHOUT_TEST
        for path in paths:
            file, _, group = path.partition("::")
            text = (PROJECT / file).read_text(encoding="utf-8")
            assert cites(text, number), f"{file} does not cite {number}"
            assert not group or f"class {group}:" in text, f"{file} has no {group}"


class TestNames:
    """
    What the page names is what the project has.
    """

    def test_files_are_there(self) -> None:
        """
        Every file on the page exists, gaps and sources included.
        """
        named = {code for code in CODE.findall(page()) if code.endswith(".py")}

        missing = {
            name
            for name in named
            if not ((PROJECT if name.startswith("tests/") else PACKAGE) / name).exists()
        }

        assert named
        assert missing == set()

    def test_policy_fields_are_there(self) -> None:
        """
        Every `subject.field` on the page is a field of that policy.
        """
        policies = Policies()
        subjects = {field.name for field in attrs.fields(Policies)}
        named = {
            (subject, field)
            for subject, dot, field in (
                code.partition(".") for code in CODE.findall(page())
            )
            # A module may be called as a policy is.
            if dot and subject in subjects and field != "py"
        }

        unknown = {
            f"{subject}.{field}"
            for subject, field in named
            if not hasattr(getattr(policies, subject), field)
        }

        assert named
        assert unknown == set()

    def test_every_contradiction_has_its_field(self) -> None:
        """
        Both readings of a point can be had, but for text and printed numbers.
        """
        without = {
            number
            for number, cells in rows().items()
            if number.startswith("C") and "`" not in cells[2]
        }

        assert without == {"C21", "C25"}


class TestGrid:
    """
    Who may send what, and where: generated, never written by hand.
    """

    def test_is_fresh(self) -> None:
        """
        The grid on the page is that of the running process.
        """
        (found,) = GRID.findall(page())

        assert found == grid(), "refresh it: python tests/test_rules_page.py"

    def test_every_state_has_a_column(self) -> None:
        """
        A new state is given its column before the grid is written again.
        """
        assert list(COLUMNS) == list(State)

    def test_every_role_has_a_letter(self) -> None:
        """
        So is a new role its letter.
        """
        assert list(LETTERS) == list(Role)

    @pytest.mark.parametrize(("name", "state"), ELSEWHERE)
    def test_cells_of_other_policies_are_rows(self, name: str, state: State) -> None:
        """
        A policy opens what the table allows; it never adds a row.
        """
        process = comeup()

        assert process.roles(state, process.commands[name])


if __name__ == "__main__":
    PAGE.write_text(refreshed(), encoding="utf-8")
