"""
How much the two simulators try in a minute, on one core: storms in which everything goes
wrong, and a market of people with habits.
"""

from __future__ import annotations

import time
from typing import Final

from escrowflow.market import Market
from escrowflow.processes import comeup
from escrowflow.testing.simulation import Simulation

from .rounds import Figures, rounded

__all__ = ["measure"]

SEEDS: Final = 20
ORDERS: Final = 500
ROUNDS: Final = 3


def measure(*, quick: bool) -> Figures:
    """
    Return how many seeds, commands and orders, and the seconds that they took.
    """
    seeds, steps, orders = (1, 150, 20) if quick else (SEEDS, 1500, ORDERS)
    simulation = Simulation(steps=steps)
    market = Market(comeup(), seed=7)
    figures: Figures = {
        "seeds": seeds,
        "steps": steps,
        "commands": 0,
        "orders": orders,
        "storm seconds": [],
        "market seconds": [],
    }
    for _ in range(1 if quick else ROUNDS):
        begun = time.perf_counter()
        report = simulation.run(seeds)
        figures["storm seconds"].append(rounded(time.perf_counter() - begun))
        if report.violations:
            raise RuntimeError(str(report.failures[0]))
        counts = report.coverage.counts
        figures["commands"] = counts["accepted"] + counts["refused"]
        begun = time.perf_counter()
        market.run(orders)
        figures["market seconds"].append(rounded(time.perf_counter() - begun))
    return figures
