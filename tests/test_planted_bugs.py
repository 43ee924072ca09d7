"""
The simulator bites: each planted bug is caught.
"""

from __future__ import annotations

from typing import Any

import pytest

from escrowflow.testing import Simulation
from tests.bugs import BUGS, Bug

# None needs more seeds than that; what is caught is caught from the first seed on.
SEEDS = 300


def simulation(bug: Bug) -> Simulation:
    """
    Return a simulation that is bent on finding a bug.
    """
    with_: dict[str, Any] = {"orders": 3, "steps": 220, **bug.with_}
    if "process" in with_:
        with_["process"] = with_["process"]()
    return Simulation(**with_)


# Those in which nothing is wrong before the bug is planted.
SOUND = {
    repr(bug.with_): name
    for name, bug in BUGS.items()
    if bug.with_ and not {"storage", "process"} & bug.with_.keys()
}


@pytest.mark.parametrize("name", SOUND.values())
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    """
    Bent on finding a bug, without it: every seed is well.
    """
    simulation(BUGS[name]).run(seeds=6).require(violations=0)


@pytest.mark.parametrize("name", BUGS)
def test_caught(name: str) -> None:
    """
    With something wrong in it, some seed fails.
    """
    bug = BUGS[name]

    with bug.planted():
        report = simulation(bug).run(seeds=SEEDS, shrink=False)

    assert report.failures, f"nobody notices that {name}"
