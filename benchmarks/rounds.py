"""
Rounds: contestants in turn, medians, and ratios taken round by round.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

import escrowflow

__all__ = ["Contestants", "run", "where"]

# A contestant runs once and returns how many steps a second it made.
Contestants: TypeAlias = Mapping[str, Callable[[], float]]


def where() -> str:
    """
    Say on what this was measured.
    """
    return (
        f"escrowflow {escrowflow.__version__}, CPython {platform.python_version()}, "
        f"{platform.machine()}, {time.strftime('%Y-%m-%d')}, "
        f"{' '.join(sys.argv[1:]) or 'all'}"
    )


def run(contestants: Contestants, *, limit: str, rounds: int = 9) -> None:
    """
    Let contestants take turns and print a table: median, spread, ratio.

    Args:
        contestants: By name; one round is not counted.

        limit: The one the others are measured against.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            rate = contestant()
            if number:
                rates[name].append(rate)
    print(f"| contestant | µs a step | steps/s | of {limit} |")
    print("| --- | ---: | ---: | ---: |")
    for name, measured in rates.items():
        ratios = [mine / its for mine, its in zip(measured, rates[limit], strict=True)]
        rate = statistics.median(measured)
        print(
            f"| {name} | {1e6 / rate:.1f} | {rate:.0f} "
            f"[{min(measured):.0f}..{max(measured):.0f}] | "
            f"{statistics.median(ratios):.2f} "
            f"[{min(ratios):.2f}..{max(ratios):.2f}] |"
        )
    print(flush=True)


def timed(steps: int, work: Callable[[], object]) -> float:
    """
    Return steps a second.
    """
    begun = time.perf_counter()
    work()
    return steps / (time.perf_counter() - begun)
