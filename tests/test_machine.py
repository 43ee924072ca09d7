"""
Whole lives: any command by anybody at any time, and what holds all the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from escrowflow.processes import recommended
from tests.lives import (
    HOLDING,
    IMPOSSIBLE,
    LATER,
    STRANGERS,
    VARIANTS,
    WORKING,
    Cell,
    Life,
    cells,
    promises,
)

pytestmark = pytest.mark.proof

# Lives are led until each cell of the table was taken so often; a third of these
# is enough, if the walk is not a bad one.
LIVES = 1_000
STEPS = 45
FLOOR = 2

ROWS_COMMANDS = sorted(
    VARIANTS["recommended"].commands.values(), key=lambda command: command.name
)


class AnyLife(RuleBasedStateMachine):
    """
    An order of the ComeUp process, under any of several policies.
    """

    life: Life | None = None

    @initialize(variant=st.sampled_from(sorted(VARIANTS)), seed=st.integers(0, 2**32))
    def begin(self, variant: str, seed: int) -> None:
        """
        Place an order.
        """
        self.life = Life(rng=random.Random(seed), process=VARIANTS[variant])

    @rule(seed=st.integers(0, 2**32), likely=st.integers(0, 3))
    def act(self, seed: int, likely: int) -> None:
        """
        Somebody sends something: what options allow, three times of four.
        """
        assert self.life is not None
        self.life.rng.seed(seed)
        if likely:
            self.life.something_allowed()
        else:
            people = self.life.rng.choice([*WORKING, *STRANGERS])
            self.life.anything(people, self.life.rng.choice(ROWS_COMMANDS))

    @rule(
        by=st.sampled_from([*WORKING, *STRANGERS]),
        command=st.sampled_from(ROWS_COMMANDS),
        seed=st.integers(0, 99),
    )
    def try_anything(self, by: Any, command: Any, seed: int) -> None:
        """
        Somebody sends anything at all, the moves of the system too.
        """
        assert self.life is not None
        self.life.rng.seed(seed)
        self.life.anything(by, command)

    @rule(seed=st.integers(0, 2**32))
    def report(self, seed: int) -> None:
        """
        The provider, or staff, says what became of money.
        """
        assert self.life is not None
        self.life.rng.seed(seed)
        self.life.report()

    @rule(seed=st.integers(0, 2**32))
    def wait(self, seed: int) -> None:
        """
        Time passes.
        """
        assert self.life is not None
        self.life.rng.seed(seed)
        self.life.wait()

    @rule()
    def sweep(self) -> None:
        """
        A worker comes by.
        """
        assert self.life is not None
        self.life.sweep()

    @precondition(lambda self: self.life is not None)
    @invariant()
    def everything_holds(self) -> None:
        """
        I1, I4, I13, I15, I19, I21 and I25, after every step.
        """
        assert self.life is not None
        self.life.check()


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(
    max_examples=max(settings().max_examples // 4, 1),
    stateful_step_count=30,
)


def taken() -> Counter[Cell]:
    """
    Lead many lives, each of which prefers what was rarely done; count the cells.
    """
    # Not to be looked for: none of these policies chooses it.
    count = Counter(dict.fromkeys(RULED_ON, STEPS))
    missed = {name: Counter[tuple[str, ...]]() for name in VARIANTS}
    every = cells_of(PUBLISHED) - RULED_ON - {IMPOSSIBLE}
    for seed in range(LIVES):
        if all(count[cell] >= FLOOR for cell in HOLDING):
            break
        later = VARIANTS[LATER]
        Life(rng=random.Random(seed), process=later, taken=count).lead(STEPS)
    names = [name for name in PUBLISHED if name != LATER]
    for seed in range(LIVES):
        if all(count[cell] >= FLOOR for cell in every):
            break
        # Every other life knows nothing of the ones before, and tries again.
        fresh = seed % 2
        name = names[seed // 2 % len(names)]
        if not fresh:
            name = max(
                names,
                key=lambda name: promises(VARIANTS[name], count, missed[name])[
                    "pending"
                ],
            )
        Life(
            rng=random.Random(seed),
            process=VARIANTS[name],
            taken=count,
            missed=Counter() if fresh else missed[name],
            previewed=0.2,
        ).lead(STEPS)
    return count


def cells_of(names: Iterable[str]) -> set[Cell]:
    """
    Return every cell of some tables.
    """
    return {cell for name in names for cell in cells(TABLES[name])}


# The pages with their readings, and a table that only a life of its own comes to.
TABLES = {
    **VARIANTS,
    "recommended without a ruling": recommended().with_policies(
        lifetime={"order_cap": "P8D", "expiry_beneficiary": "buyer"},
    ),
}

# What the pages have, and what is ours.
OURS = (
    *("cap for whom a mediator says", "recommended"),
    *("recommended in haste", "recommended without a ruling"),
)
PUBLISHED = [name for name in VARIANTS if name not in OURS]
RULED_ON = {
    cell for cell in cells_of(PUBLISHED) if cell[1] == "expire_order" and cell[2]
}


def test_every_cell_is_taken_and_no_other() -> None:
    """
    No row of the table, and no outcome of a row, is there for show; and nothing
    happens that the table does not say.
    """
    count = taken()

    every = cells_of(PUBLISHED) - RULED_ON
    rare = {cell: count[cell] for cell in every if count[cell] < FLOOR}
    assert rare == {IMPOSSIBLE: 0}
    assert set(count) <= every | RULED_ON


def test_every_cell_of_ours() -> None:
    """
    So it is with what is beyond the pages, and with `recommended`.
    """
    known = Counter(dict.fromkeys(cells_of(PUBLISHED) - RULED_ON, STEPS))
    count = known.copy()
    ours = cells_of(OURS) - set(known)
    for seed in range(LIVES):
        if all(count[cell] >= FLOOR for cell in ours):
            break
        process = TABLES[OURS[seed % len(OURS)]]
        life = Life(rng=random.Random(seed), process=process, taken=count)
        life.lead(STEPS)

    assert not {cell for cell in ours if count[cell] < FLOOR}
    assert set(count) <= ours | set(known)
