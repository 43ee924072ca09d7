"""
The simulator bites: each planted bug is caught.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from escrowflow.testing import Simulation
from tests.bugs import BUGS

pytestmark = pytest.mark.proof

# None needs more seeds than that; what is caught is caught from the first seed on.
SEEDS = 300

# What a second defence hides is looked for in so many seeds at the least; in three hundred
# in the long run.
HIDDEN_SEEDS = 3


def simulation(bent: Mapping[str, Any]) -> Simulation:
    """
    Return a simulation that is bent on finding a bug.
    """
    with_: dict[str, Any] = {"orders": 3, "steps": 220, **bent}
    if "process" in with_:
        with_["process"] = with_["process"]()
    return Simulation(**with_)


@cache
def caught(name: str) -> tuple[int, str]:
    """
    Return the first seed in which a bug is caught without its sibling, and what is said
    of it; 0 if it is not.
    """
    with BUGS[name].unhidden() as bent:
        report = simulation(bent).run(seeds=SEEDS, shrink=False)
    for failure in report.failures:
        return failure.seed, str(failure.violations[0])
    return 0, ""


# Those in which nothing is wrong before the bug is planted.
SOUND = {
    repr(bent): bent
    for bent in (
        {**bug.with_, **({} if bug.sibling is None else bug.sibling.gone)}
        for bug in BUGS.values()
    )
    if bent and not {"storage", "process"} & bent.keys()
}


@pytest.mark.parametrize("bent", SOUND.values(), ids=range(len(SOUND)))
def test_nothing_is_found_where_nothing_is_wrong(bent: Mapping[str, Any]) -> None:
    """
    Bent on finding a bug, without it: every seed is well.
    """
    simulation(bent).run(seeds=6).require(violations=0)


@pytest.mark.parametrize("name", BUGS)
def test_caught(name: str) -> None:
    """
    With something wrong in it, some seed fails; and not because what was planted does
    not run.
    """
    seed, said = caught(name)

    assert seed, f"nobody notices that {name}"
    assert not said.partition(" leaked")[0].endswith(
        ("TypeError", "AttributeError", "NameError")
    )


SIBLINGS = {name: bug.sibling for name, bug in BUGS.items() if bug.sibling is not None}


def is_hidden(name: str, seeds: int) -> bool:
    """
    Whether a bug does no harm in so many seeds, beside its sibling.
    """
    with BUGS[name].beside_its_sibling() as bent:
        return not simulation(bent).run(seeds=seeds, shrink=False).failures


@pytest.mark.parametrize("name", SIBLINGS)
def test_beside_its_sibling(name: str) -> None:
    """
    With a second defence the seeds that fail without it are well, or some seed fails
    all the same: as is written down of each.
    """
    sibling = SIBLINGS[name]
    seeds = max(caught(name)[0], HIDDEN_SEEDS) if sibling.hides else SEEDS

    assert is_hidden(name, seeds) is sibling.hides, sibling.name
