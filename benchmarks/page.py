"""
What was measured, told: the page, the picture and the README's table, all made of the
kept figures.  `python -m benchmarks.page` writes them anew, and measures nothing.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import decision, durable, server, sweep
from .goals import lines, ratio, span
from .picture import described, picture
from .rounds import CONTROL, Figures

__all__ = ["KEPT", "PAGE", "PICTURE", "README", "kept", "page", "readme", "write"]

_ROOT: Final = Path(__file__).parent.parent
KEPT: Final = _ROOT / "docs" / "reference" / "speed.json"
PAGE: Final = _ROOT / "docs" / "reference" / "speed.md"
PICTURE: Final = _ROOT / "docs" / "images" / "speed.svg"
README: Final = _ROOT / "README.md"

_BETWEEN: Final = re.compile(r"(?<=<!-- speed -->\n).*?(?=<!-- end of speed -->)", re.S)


def kept() -> Figures:
    """
    Return the figures that the documentation tells.
    """
    figures: Figures = json.loads(KEPT.read_text("utf-8"))
    return figures


def write() -> None:
    """
    Write everything that tells the kept figures.
    """
    speed = kept()
    PAGE.write_text(page(speed), encoding="utf-8")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(speed["figures"]), encoding="utf-8")
    README.write_text(readme(speed, README.read_text("utf-8")), encoding="utf-8")


# --- the page -------------------------------------------------------------------------


def page(speed: Figures) -> str:
    """
    Return the page; of a run of some measures, what there is.
    """
    return "\n".join(_page(speed)) + "\n"


def _page(speed: Figures) -> Iterator[str]:
    figures = speed["figures"]
    every = lines(figures)
    yield "# How fast it is"
    yield ""
    yield _where(speed)
    yield ""
    yield "Contestants take turns, round after round: a machine drifts by a factor of two"
    yield "within minutes, and a ratio of the same round does not.  Figures are medians."
    yield "The goals were set from what the others do, before anything of ours was"
    yield "measured; *ambitious* is what we would be proud of.  `make bench` measures it on"
    yield "your machine."
    yield ""
    yield "## Against the goals"
    yield ""
    aimed = [line for line in every if line.goal is not None]
    reached = sum("yes" in line.reached for line in aimed)
    yield f"{reached} of {len(aimed)} goals are reached."
    yield ""
    yield "| what | ours | beside it | ratio | goal | ambitious | reached |"
    yield "| --- | ---: | --- | ---: | ---: | ---: | --- |"
    for line in every:
        cells = (line.what, line.ours, line.beside, line.ratio)
        aims = (line.aim(line.goal), line.aim(line.ambitious), line.reached)
        yield f"| {' | '.join((*cells, *aims))} |"
    if {"durable", "server"} <= set(figures):
        yield ""
        yield f"![{described(figures)}](../images/speed.svg)"
    yield ""
    yield "Code by hand does far less: one row, one history line, one outbox line, no"
    yield "rules.  DBOS does less still: it writes its checkpoints, and no order.  Where"
    yield "nobody waits for a database, Python's work on rules, histories and hashes is"
    yield "what is measured."
    yield ""
    yield "The control below is the bare disk: 4 KiB appended and synced, on one"
    yield "connection.  Where it is slow, whoever syncs every commit waits for it, and"
    yield "their ratios come closer to 1: compare such figures with those of a disk alike."
    for title, rates, limit in _contests(figures):
        yield ""
        yield f"## {title}"
        yield ""
        yield f"| contestant | a step | steps a second | of {limit} |"
        yield "| --- | ---: | ---: | ---: |"
        for name in rates:
            yield _contestant(rates, name, limit)
    yield from _sweeps(figures)
    yield from _imports(figures)
    yield from _checks(figures)


def _where(speed: Figures) -> str:
    machine = speed["machine"]
    versions = dict(speed["versions"])
    if "server" in speed["figures"]:
        versions["PostgreSQL"] = speed["figures"]["server"]["version"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    quick = "**A quick run, to see that it works: the figures mean nothing.**\n\n"
    return (
        f"{quick if speed['quick'] else ''}"
        f"Measured on {speed['date']} in one run of {speed['seconds']} seconds: "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']} GiB, "
        f"{machine['system']}; {told}; databases and contestants on the same machine."
    )


def _contests(figures: Figures) -> Iterator[tuple[str, Figures, str]]:
    if "decision" in figures:
        yield "The decision step, no I/O", figures["decision"], decision.BARE
    for setting, rates in figures.get("durable", {}).items():
        yield (
            f"One command on SQLite, synchronous={setting}",
            rates,
            durable.BY_HAND,
        )
    for setting in ("off", "on"):
        for count, rates in figures.get("server", {}).get(setting, {}).items():
            yield (
                f"One command on PostgreSQL, synchronous_commit={setting}, "
                f"{count} connection{'' if count == '1' else 's'}",
                rates,
                server.BY_HAND,
            )


def _contestant(rates: Figures, name: str, limit: str) -> str:
    measured = rates[name]
    told = f"{statistics.median(measured):,.0f} [{min(measured):,.0f}..{max(measured):,.0f}]"
    share = ratio(rates, name, limit)
    assert share is not None
    shown = f"{share:.2f}"
    # The disk itself makes no steps of an order.
    a_step = "–" if name == CONTROL else span(1 / statistics.median(measured))
    return f"| {name} | {a_step} | {told} | {shown} |"


def _sweeps(figures: Figures) -> Iterator[str]:
    if "sweep" not in figures:
        return
    yield ""
    yield "## Sweeps"
    yield ""
    yield "Seconds until all that is due is settled, in batches, every commit synced."
    yield ""
    names = ("by hand", "escrowflow", sweep.TWO)
    yield f"| database | open orders | due | {' | '.join(names)} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for one in figures["sweep"]:
        taken = (_seconds(one[name]) if name in one else "–" for name in names)
        size = f"{one['open']:,} | {one['due']:,}"
        yield f"| {one['database']} | {size} | {' | '.join(taken)} |"


def _imports(figures: Figures) -> Iterator[str]:
    if "importing" not in figures:
        return
    found = figures["importing"]
    yield ""
    yield "## Importing"
    yield ""
    yield "Whole processes, from their start to their end.  A name of ours is loaded when"
    yield "it is first asked for: whoever places an order pays for most of them then."
    yield ""
    yield "| what | milliseconds |"
    yield "| --- | ---: |"
    for name, taken in found["milliseconds"].items():
        spread = f"[{min(taken):.0f}..{max(taken):.0f}]"
        yield f"| {name} | {statistics.median(taken):.0f} {spread} |"
    yield ""
    away = ", ".join(f"`{name}`" for name in found["not loaded"])
    yield f"Not loaded by `import escrowflow`: {away}."


def _checks(figures: Figures) -> Iterator[str]:
    if "checker" not in figures:
        return
    yield ""
    yield "## Checking a process"
    yield ""
    yield "Seconds of one core; some of the processes have planted errors, which it finds."
    yield ""
    yield "| process | configurations | moves | seconds | limit | errors |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for one in figures["checker"]:
        yield (
            f"| {one['process']} | {one['configurations']:,} | {one['moves']:,} "
            f"| {_seconds(one['seconds'])} | {one['limit']} | {len(one['errors'])} |"
        )


def _seconds(taken: list[float]) -> str:
    return f"{statistics.median(taken):.2f} [{min(taken):.2f}..{max(taken):.2f}]"


# --- the README -----------------------------------------------------------------------


def readme(speed: Figures, text: str) -> str:
    """
    Return the README with its table as it should be.
    """
    return _BETWEEN.sub(lambda _: "\n".join(_short(speed)) + "\n", text)


def _short(speed: Figures) -> Iterator[str]:
    machine = speed["machine"]
    if speed["quick"]:
        yield "**A quick run, to see that it works: the figures mean nothing.**"
        yield ""
    yield (
        f"Measured with `make bench` on {speed['date']}, {machine['cores']} cores, "
        "contestants in turn, medians:"
    )
    yield ""
    yield "| what | ours | beside it, in the same run | |"
    yield "| --- | ---: | --- | ---: |"
    every = lines(speed["figures"])
    for line in every:
        if line.short:
            yield f"| {line.what} | {line.ours} | {line.beside} | {line.ratio} |"
    aimed = [line for line in every if line.goal is not None]
    reached = sum("yes" in line.reached for line in aimed)
    yield ""
    yield (
        f"Of the {len(aimed)} goals that were set before anything was measured, {reached} "
        "are reached: [all of them, and every"
    )
    yield "contestant and round](docs/reference/speed.md)."
    yield ""


if __name__ == "__main__":
    write()
