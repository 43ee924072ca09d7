"""
The long run: `make soak`, or `python -m tests.soak --share 0.1` for a tenth of it.

Writes `reliability.json`, anew after every trial; ends with status 1 if anything was
lost, doubled, stuck or did not add up.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from psycopg.conninfo import conninfo_to_dict

from escrowflow.storage import open_storage
from escrowflow.testing import PROFILES
from tests.pg import Server, Spare
from tests.sequences import CURRENCIES
from tests.soak.faults import LIVES, points
from tests.soak.trials import (
    Figures,
    crashes,
    gateways,
    histories,
    kills,
    mutants,
    promises,
    races,
    sequences,
    siblings,
    simulated,
    storm,
    ways_out,
)

_Trial = Callable[[], Figures]


def _trials(
    folder: Path, server: Server, spare: Spare, share: float
) -> Iterator[tuple[str, _Trial]]:
    """
    Yield every trial and its name.

    Args:
        spare: Databases of the server.

        share: How much of each is run: 1 for all of it.
    """

    def some(count: int) -> int:
        return max(1, round(count * share))

    def sqlite(name: str) -> str:
        return f"sqlite:///{folder}/{name}.db"

    def postgres() -> str:
        return server.url_of(server.database())

    def emptied(_: Path) -> str:
        spare.give_back()
        return server.url_of(str(conninfo_to_dict(spare.take())["dbname"]))

    yield "kill -9, SQLite", lambda: kills(sqlite("kills"), some(300))
    yield "kill -9, PostgreSQL", lambda: kills(postgres(), some(100))
    yield (
        "crash of the server, PostgreSQL",
        lambda: crashes(postgres(), some(30), server.crash),
    )
    for name, url in (("SQLite", sqlite("storm")), ("PostgreSQL", "")):
        yield (
            f"16 processes on 50 orders, {name}",
            lambda url=url: storm(url or postgres(), some(600)),  # type: ignore[misc]
        )
    for name, url in (
        ("memory", "memory://"),
        ("SQLite", sqlite("races")),
        ("PostgreSQL", ""),
    ):
        yield (
            f"races of every pair of commands, {name}",
            lambda url=url: races(  # type: ignore[misc]
                lambda: open_storage(url or postgres()), some(4)
            ),
        )
    for name, url in (
        ("memory", "memory://"),
        ("SQLite", "sqlite://"),
        ("PostgreSQL", ""),
    ):
        yield (
            f"every fault point of {len(LIVES)} lives, {name}",
            # Thousands of databases, one after the other, fill a disk.
            lambda url=url: _all_points(  # type: ignore[misc]
                lambda: open_storage(url or emptied(folder)), share
            ),
        )
    yield (
        f"random sequences of money in {', '.join(CURRENCIES)}",
        lambda: sequences(some(1_000_000)),
    )
    yield ("payloads held against options", lambda: promises(some(1_000_000)))
    yield "timed exits taken away", lambda: mutants(share)
    yield "ways out taken away", lambda: ways_out(share)
    yield "planted bugs beside their siblings", lambda: siblings(share)
    for profile in PROFILES:
        yield (
            f"money through gateways, {profile}",
            lambda profile=profile: gateways(profile, some(5_000)),  # type: ignore[misc]
        )
    yield "simulated storms, memory", lambda: simulated("memory", some(20_000))
    yield "simulated storms, SQLite", lambda: simulated("sqlite", some(1_000))
    yield (
        "simulated storms, PostgreSQL",
        lambda: simulated(lambda: open_storage(emptied(folder)), some(300)),
    )
    yield (
        "random histories, SQLite",
        lambda: histories(
            lambda path: f"sqlite:///{path}/orders.db?durability=relaxed",
            some(10_000),
            folder / "histories",
        ),
    )
    yield (
        "random histories, PostgreSQL",
        lambda: histories(emptied, some(10_000), folder / "more histories"),
    )


def _all_points(opened: Callable[[], Any], share: float) -> Figures:
    began = time.monotonic()
    figures = Figures()
    for life in [*LIVES][: max(1, round(len(LIVES) * share))]:
        runs, different = points(life, opened)
        figures.rounds += runs
        figures.faults += len(different)
        for name in different:
            print(f"  {name}", file=sys.stderr)
    figures.seconds = time.monotonic() - began
    return figures


def main() -> int:
    """
    Run what was asked for; return the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--share", type=float, default=1.0, metavar="PART")
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--to", type=Path, default=Path("reliability.json"))
    chosen = parser.parse_args()
    # That connections break is what is tried here.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    logging.getLogger("escrowflow").setLevel(logging.CRITICAL)
    found: dict[str, dict[str, Any]] = {}
    server = Server()
    spare = Spare(server)
    try:
        with tempfile.TemporaryDirectory() as name:
            for title, trial in _trials(Path(name), server, spare, chosen.share):
                if chosen.only not in title:
                    continue
                figures = trial()
                found[title] = {
                    **attrs.asdict(figures),
                    "violations": figures.violations,
                }
                print(
                    f"{title}: {figures.rounds} rounds, {figures.commands} commands, "
                    f"{figures.answers} answers, "
                    f"{figures.violations} violations, {figures.seconds:.0f} s",
                    flush=True,
                )
                _write(chosen.to, chosen.share, found)
    finally:
        spare.close()
        server.stop()
    if not found:
        parser.error(f"no trial has {chosen.only!r} in its name")
    return int(any(one["violations"] for one in found.values()))


def _write(path: Path, share: float, found: dict[str, dict[str, Any]]) -> None:
    # After every trial: a run of hours that is stopped keeps what it has shown.
    report = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "share": share,
        "trials": found,
        "violations": sum(one["violations"] for one in found.values()),
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
