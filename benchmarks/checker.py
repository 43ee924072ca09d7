"""
Checking whole processes: the built-in ones, and the eight of tests/tribe.py.

Each is built first, and checked on one core, stories included.  The limits are in
seconds: five for a process of ours, one for each of the others.
"""

from __future__ import annotations

import time
from typing import Any

import escrowflow as ef
from escrowflow.processes import comeup, recommended, vendor_consolidation
from tests.tribe import TRIBE, process_of

from .rounds import Figures, rounded

__all__ = ["measure"]


def measure(*, quick: bool) -> list[Figures]:
    """
    Return how long each takes, in seconds, and what was found.
    """
    ours: list[ef.Process[Any]] = [comeup(), vendor_consolidation(), recommended()]
    others: list[ef.Process[Any]] = [process_of(tribe) for tribe in TRIBE.values()]
    figures: list[Figures] = []
    for process in (*ours, *others):
        taken = []
        for _ in range(1 if quick else 3):
            begun = time.process_time()
            report = ef.check(process)
            taken.append(rounded(time.process_time() - begun))
        figures.append(
            {
                "process": process.name,
                "configurations": report.configurations,
                "moves": report.moves,
                "seconds": taken,
                "limit": 5 if process in ours else 1,
                "errors": [f"{one.code} {one.where}" for one in report.errors],
            }
        )
    return figures
