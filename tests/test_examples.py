"""
Every example runs, and prints what stands beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_it_prints_what_it_promises(example: Path) -> None:
    """
    Its output is the text of the `.out` file of the same name.
    """
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        check=False,
        # Whatever keys somebody has at hand, nothing here is sent anywhere.
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "src")},
    )

    assert ran.stderr == ""
    assert ran.stdout == example.with_suffix(".out").read_text(encoding="utf-8")


PAGE = PROJECT / "docs" / "how-to" / "queues.md"
RECIPES = sorted((PROJECT / "examples" / "recipes").glob("*.py"))


@pytest.mark.parametrize(
    "shown", re.findall(r"^```py\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
)
def test_a_recipe_is_shown_as_it_runs(shown: str) -> None:
    """
    What the page shows of a queue is, line by line, in a recipe that the tests start.
    """
    assert [one for one in RECIPES if shown in one.read_text(encoding="utf-8")]
