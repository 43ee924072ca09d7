"""
What was aimed at, before anything was measured, and how far it was reached.

A goal is a ratio to somebody in the same run where that can be, since rates drift with
the machine and ratios do not: to the shortest code by hand, to what many write, to DBOS.
Where a figure has no goal, it is only told.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from . import dbos_orders, decision, durable, importing, server, sweep
from .rounds import Figures

__all__ = ["DURABLE_GOALS", "Line", "lines", "ratio", "span"]

# Shares of the shortest code by hand: goal and ambition.
DURABLE_GOALS: Final = {
    "NORMAL": (0.55, 0.70),
    "FULL": (0.70, 0.82),
    "off": (0.90, 1.2),
    "on": (0.85, 1.1),
}


@attrs.frozen(kw_only=True)
class Line:
    """
    One figure, and what it was to be.

    Attributes:
        what: What was measured.

        ours: What it takes us.

        beside: What it takes somebody else in the same run.

        ratio: How the two compare.

        measured: The figure that the goal is for; `None` where there is no goal, or
            where it could not be measured.

        goal: What it was to be.

        ambitious: What it would be at the best.

        unit: What follows the figure of the goal.

        least: Whether more is better.

        short: Whether the README tells it, too.
    """

    what: str
    ours: str
    beside: str = ""
    ratio: str = ""
    measured: float | None = None
    goal: float | None = None
    ambitious: float | None = None
    unit: str = ""
    least: bool = False
    short: bool = False

    def aim(self, figure: float | None) -> str:
        """
        Say a goal.
        """
        if figure is None:
            return "–"
        return f"{'≥' if self.least else '≤'} {figure:g}{self.unit}"

    @property
    def reached(self) -> str:
        """
        Say how far it was reached, as measured and not as printed.
        """
        if self.goal is None:
            return "–"
        if self.measured is None:
            return "not measured"
        if self._holds(self.ambitious):
            return "**yes**, the ambitious one too"
        return "**yes**" if self._holds(self.goal) else "no"

    def _holds(self, aim: float | None) -> bool:
        assert self.measured is not None
        if aim is None:
            return False
        return self.measured >= aim if self.least else self.measured <= aim


def ratio(rates: Figures, one: str, other: str) -> float | None:
    """
    Return how many steps one makes while the other makes one: the median of the rounds.
    """
    if other not in rates:
        return None
    pairs = zip(rates[one], rates[other], strict=True)
    return float(statistics.median(mine / its for mine, its in pairs))


def span(seconds: float) -> str:
    """
    Say a span of time, to two digits.
    """
    for size, unit in ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")):
        if seconds < 999.5 * size or unit == "s":
            figure = float(f"{seconds / size:.2g}")
            return f"{figure:.0f} {unit}" if figure >= 10 else f"{figure:.2g} {unit}"
    raise AssertionError("unreachable")


def _step(rates: Figures, name: str) -> str:
    return span(1 / statistics.median(rates[name]))


def lines(figures: Figures) -> list[Line]:
    """
    Return all lines that there are figures for.
    """
    makers: dict[str, Callable[[Any], list[Line]]] = {
        "decision": _decision,
        "durable": _sqlite,
        "server": _postgres,
        "sweep": _sweep,
        "importing": _importing,
        "memory": _memory,
        "checker": _checker,
        "simulator": _simulator,
    }
    return [
        line
        for name, made in makers.items()
        if name in figures
        for line in made(figures[name])
    ]


def _decision(rates: Figures) -> list[Line]:
    beside = f"{_step(rates, decision.BARE)}, a bare trigger of `transitions`"
    found = []
    for name, what in (
        (decision.DECIDE, "deciding a command, no I/O"),
        (decision.OPTIONS, "all options of one actor, with what is in the way"),
    ):
        times = ratio(rates, decision.BARE, name)
        assert times is not None
        goal = name == decision.DECIDE
        found.append(
            Line(
                what=what,
                ours=_step(rates, name),
                beside=beside,
                ratio=f"{times:.1f} triggers",
                measured=1e6 / statistics.median(rates[name]) if goal else None,
                goal=8 if goal else None,
                ambitious=4 if goal else None,
                unit=" µs",
                short=True,
            )
        )
    return found


def _share(what: str, rates: Figures, hand: str, goals: tuple[float, float]) -> Line:
    share = ratio(rates, durable.OURS, hand)
    assert share is not None
    return Line(
        what=what,
        ours=_step(rates, durable.OURS),
        beside=f"{_step(rates, hand)}, the shortest code by hand",
        ratio=f"{share:.2f} of its speed",
        measured=share,
        goal=goals[0],
        ambitious=goals[1],
        least=True,
        short=goals in (DURABLE_GOALS["FULL"], DURABLE_GOALS["on"]),
    )


def _against(
    what: str, rates: Figures, other: str, told: str, goals: tuple[float, float]
) -> Line:
    times = ratio(rates, durable.OURS, other)
    return Line(
        what=what,
        ours=_step(rates, durable.OURS),
        beside=f"{_step(rates, other)}, {told}" if other in rates else told,
        ratio="" if times is None else f"{times:.1f} times its speed",
        measured=times,
        goal=goals[0],
        ambitious=goals[1],
        unit=" times",
        least=True,
        short=True,
    )


_ORM: Final = "SQLAlchemy ORM with `transitions`"
_DBOS: Final = "DBOS, which writes checkpoints only"


def _sqlite(figures: Figures) -> list[Line]:
    relaxed = "one command on SQLite, `?durability=relaxed`"
    full = "one command on SQLite, every commit synced"
    hand = durable.BY_HAND
    return [
        _share(relaxed, figures["NORMAL"], hand, DURABLE_GOALS["NORMAL"]),
        _against(relaxed, figures["NORMAL"], durable.ORM, _ORM, (11, 14)),
        _share(full, figures["FULL"], hand, DURABLE_GOALS["FULL"]),
        _against(full, figures["FULL"], dbos_orders.DBOS, _DBOS, (17, 20)),
    ]


def _postgres(figures: Figures) -> list[Line]:
    one = "one command on PostgreSQL, one connection"
    relaxed = f"{one}, `synchronous_commit=off`"
    hand = server.BY_HAND
    off, on = figures["off"], figures["on"]
    return [
        _share(relaxed, off["1"], hand, DURABLE_GOALS["off"]),
        _against(relaxed, off["1"], durable.ORM, _ORM, (8, 11)),
        _against(
            f"{one}, every commit synced", on["1"], dbos_orders.DBOS, _DBOS, (10, 14)
        ),
        *(
            _share(
                f"one command on PostgreSQL, {count} connections at once",
                on[str(count)],
                hand,
                DURABLE_GOALS["on"],
            )
            for count in server.CONNECTIONS[1:]
            if str(count) in on
        ),
    ]


def _sweep(figures: Sequence[Figures]) -> list[Line]:
    found = []
    for database, growth in ((sweep.SQLITE, (4, 3.7)), (sweep.POSTGRES, (2, 1.5))):
        sizes = [one for one in figures if one["database"] == database]
        first, last = sizes[0], sizes[-1]
        hand, ours = (
            statistics.median(last[name]) / last["due"]
            for name in ("by hand", "escrowflow")
        )
        share = statistics.median(
            its / mine
            for its, mine in zip(last["by hand"], last["escrowflow"], strict=True)
        )
        grown = ours * first["due"] / statistics.median(first["escrowflow"])
        what = f"one of {last['due']:,} due orders settled, {database}"
        found += [
            Line(
                what=f"{what}, among {last['open']:,}",
                ours=span(ours),
                beside=f"{span(hand)}, by hand in batches",
                ratio=f"{share:.2f} of its speed",
                measured=share,
                goal=0.50,
                ambitious=0.65,
                least=True,
                short=True,
            ),
            Line(
                what=f"{what}, when {first['open']:,} open orders become "
                f"{last['open']:,}",
                ours=f"{grown:.1f} times as long",
                measured=grown,
                goal=growth[0],
                ambitious=growth[1],
                unit=" times",
            ),
        ]
        if sweep.TWO in last:
            found.append(_two(what, last))
    return found


def _two(what: str, figures: Figures) -> Line:
    faster = statistics.median(
        one / two
        for one, two in zip(figures["escrowflow"], figures[sweep.TWO], strict=True)
    )
    return Line(
        what=f"{what}, among {figures['open']:,}, by two workers",
        ours=span(statistics.median(figures[sweep.TWO]) / figures["due"]),
        beside="one worker",
        ratio=f"{faster:.1f} times its speed",
        measured=faster,
        goal=1.3,
        ambitious=1.6,
        unit=" times",
        least=True,
    )


def _importing(figures: Figures) -> list[Line]:
    taken = {
        name: statistics.median(spans)
        for name, spans in figures["milliseconds"].items()
    }
    dependencies = taken[importing.DEPENDENCIES]
    own = taken[importing.OURS] - dependencies
    first = taken[importing.FIRST_ORDER] - dependencies
    beside = f"{dependencies - taken[importing.EMPTY]:.0f} ms, its dependencies alone"
    return [
        Line(
            what="`import escrowflow`, beyond its dependencies",
            ours=f"{own:.0f} ms",
            beside=beside,
            measured=own,
            goal=60,
            unit=" ms",
            short=True,
        ),
        Line(
            what="the same, until the first order is placed in memory",
            ours=f"{first:.0f} ms",
            beside=beside,
            short=True,
        ),
    ]


def _memory(figures: Sequence[Figures]) -> list[Line]:
    few, many = figures[0], figures[-1]
    more = many["open"] - few["open"]
    held = max(0, round((many["python"] - few["python"]) / more))
    grown = round((many["process"] - few["process"]) / more)
    return [
        Line(
            what="memory of the process, for each open order in SQLite",
            ours=f"{held} B",
            beside=f"the process as a whole: {grown} B",
            measured=held,
            goal=0,
            unit=" B",
        ),
        Line(
            what="the file, for each open order in SQLite",
            ours=f"{(many['file'] - few['file']) / more / 1024:.1f} KiB",
        ),
    ]


def _checker(figures: Sequence[Figures]) -> list[Line]:
    found = []
    for limit, what in ((5, "of ours"), (1, "of other marketplaces")):
        some = [one for one in figures if one["limit"] == limit]
        slowest = max(some, key=lambda one: statistics.median(one["seconds"]))
        seconds = statistics.median(slowest["seconds"])
        found.append(
            Line(
                what=f"checking a process {what}, the slowest of {len(some)}",
                ours=span(seconds),
                beside=f"`{slowest['process']}`, {slowest['configurations']:,} "
                "configurations",
                measured=seconds,
                goal=limit,
                unit=" s",
                short=limit == 5,
            )
        )
    return found


def _simulator(figures: Figures) -> list[Line]:
    storm = statistics.median(figures["storm seconds"])
    market = statistics.median(figures["market seconds"])
    return [
        Line(
            what=f"simulated storms of {figures['steps']:,} steps",
            ours=f"{60 * figures['seeds'] / storm:.0f} seeds a minute",
            beside=f"{figures['commands'] / storm:.0f} commands a second",
        ),
        Line(
            what="orders lived in a simulated market",
            ours=f"{figures['orders'] / market:.0f} a second",
        ),
    ]
