"""
Every example runs, and prints what stands beside it.
"""

from __future__ import annotations

import os
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
