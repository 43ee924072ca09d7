"""
Checking whole processes: the built-in ones, and the eight of tests/tribe.py.

Each is built first, and checked on one core, stories included.  The limits are in
seconds: five for a process of ours, one for each of the others.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

import escrowflow as ef
from escrowflow.processes import comeup, recommended, vendor_consolidation
from tests.tribe import TRIBE, process_of

__all__ = ["measure"]

ROUNDS: Final = 3


def measure() -> None:
    """
    Print how long each takes, and what was found.
    """
    ours: list[ef.Process[Any]] = [comeup(), vendor_consolidation(), recommended()]
    others: list[ef.Process[Any]] = [process_of(tribe) for tribe in TRIBE.values()]
    print("## Checking a process\n")
    print("| process | configurations | moves | seconds | limit | errors |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    for process in (*ours, *others):
        limit = 5 if process in ours else 1
        taken = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            report = ef.check(process)
            taken.append(time.process_time() - begun)
        seconds = statistics.median(taken)
        errors = ", ".join(f"{one.code} {one.where}" for one in report.errors)
        print(
            f"| {process.name} | {report.configurations} | {report.moves} | "
            f"{seconds:.2f} [{min(taken):.2f}..{max(taken):.2f}] | {limit} | "
            f"{errors or 'none'} |"
        )
    print(flush=True)
