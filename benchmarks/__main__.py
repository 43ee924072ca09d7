"""
`python -m benchmarks [NAME...] [--quick] [--keep]`: all measures unless some are named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import escrowflow

from . import (
    checker,
    decision,
    durable,
    importing,
    memory,
    page,
    server,
    simulator,
    sweep,
)
from .rounds import Figures

MEASURES: Final = {
    "decision": decision.measure,
    "durable": durable.measure,
    "server": server.measure,
    "sweep": sweep.measure,
    "importing": importing.measure,
    "memory": memory.measure,
    "checker": checker.measure,
    "simulator": simulator.measure,
}

# Whose versions change the figures.
PACKAGES: Final = (
    *("attrs", "cattrs", "dbos", "pendulum", "psycopg", "sqlalchemy", "transitions"),
)


def main() -> None:
    """
    Measure what was asked for, and show it; or keep it for the documentation.
    """
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="How fast it is, beside other libraries."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument(
        "--quick", action="store_true", help="so few rounds that it only shows it works"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="write the figures, their page, their picture and the README's table",
    )
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(MEASURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if asked.keep and asked.names:
        parser.error("--keep keeps one whole run: name no measure beside it")
    begun = time.perf_counter()
    figures: Figures = {}
    for name in asked.names or MEASURES:
        since = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        figures[name] = MEASURES[name](quick=asked.quick)
        print(f"{time.perf_counter() - since:.0f} s", file=sys.stderr, flush=True)
    speed = {
        "date": time.strftime("%Y-%m-%d"),
        "quick": asked.quick,
        "seconds": round(time.perf_counter() - begun),
        "machine": machine(),
        "versions": versions(),
        "figures": figures,
    }
    if asked.keep:
        page.KEPT.write_text(json.dumps(speed, indent=1) + "\n", encoding="utf-8")
        page.write()
    else:
        print(page.page(speed))


def machine() -> Figures:
    """
    Say on what was measured.
    """
    kinds = [platform.machine()]
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        lines = cpus.read_text("utf-8", "replace").splitlines()
        kinds += [
            line.partition(":")[2].strip()
            for line in lines
            if line.startswith("model name")
        ]
    memory_size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": kinds[-1],
        "cores": os.cpu_count(),
        "memory": round(memory_size / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def versions() -> dict[str, str]:
    """
    Say what was measured; what is not installed is left out.
    """
    found = {
        platform.python_implementation(): platform.python_version(),
        "escrowflow": escrowflow.__version__,
        "SQLite": sqlite3.sqlite_version,
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
