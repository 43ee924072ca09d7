"""
Rounds: contestants in turn, so that what the machine does to one it does to all.

What was measured is kept raw, round by round.  Medians and ratios are made of it by who
shows it (`page`), and nobody types a figure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = ["CONTROL", "Contestants", "Figures", "fdatasync", "rounded", "run", "timed"]

# A contestant runs once and returns how many steps a second it made.
Contestants: TypeAlias = Mapping[str, Callable[[], float]]

# What a measure returns, as JSON has it.
Figures: TypeAlias = dict[str, Any]

# The disk itself has slow hours: whoever reads a durable figure looks at this one first.
CONTROL: Final = "control: 4 KiB and fdatasync"


def run(contestants: Contestants, *, rounds: int) -> dict[str, list[float]]:
    """
    Let contestants take turns, and return the steps a second of each, round by round.

    Args:
        contestants: By name.

        rounds: How many count; one before them does not.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            rate = contestant()
            if number:
                rates[name].append(rounded(rate))
    return rates


def timed(steps: int, work: Callable[[], object]) -> float:
    """
    Return steps a second.
    """
    begun = time.perf_counter()
    work()
    return steps / (time.perf_counter() - begun)


def rounded(figure: float) -> float:
    """
    Return a figure to four digits: more of them would say nothing.
    """
    return float(f"{figure:.4g}")


def fdatasync(folder: Path, times: int) -> float:
    """
    The disk itself: append 4 KiB and wait for it.
    """
    descriptor = os.open(folder / "disk", os.O_CREAT | os.O_RDWR | os.O_TRUNC)

    def work() -> None:
        for number in range(times):
            os.pwrite(descriptor, b"x" * 4096, 4096 * number)
            os.fdatasync(descriptor)

    try:
        return timed(times, work)
    finally:
        os.close(descriptor)
