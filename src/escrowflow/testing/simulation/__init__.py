"""
The simulator: a marketplace in which everything goes wrong, at the speed of a test.

    report = Simulation(my_process).run(seeds=200)
    report.require(violations=0, stuck=0)

Each seed is a story: people who act, click twice, forge and vanish, workers that die,
storages that fail, a payment provider that does not answer, and clocks that are wrong;
and then the quiet, in which everything has to come to rest.  After every commit and
every movement of money the oracles hold what happened against what must hold.  The same
seed is the same story, for ever.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, final

import attrs

from ...errors import InvalidInputError
from ...inputs import kind_of
from ...processes import comeup
from ...states import Process
from ...storage import Storage, open_storage
from ...storage.memory import MemoryStorage
from ..gateways import PROFILES, Profile
from . import personas
from .coverage import GOALS, Coverage, edges_of
from .faults import FaultyStorage
from .personas import Persona, as_people
from .running import Ran, run
from .shadow import Violation
from .shrinking import shrunk
from .tape import Choice, Tape
from .world import FAULTS, WORKLOADS, Setting, Without

__all__ = [
    "FAULTS",
    "GOALS",
    "WORKLOADS",
    "Choice",
    "Coverage",
    "Failure",
    "FaultyStorage",
    "Persona",
    "Report",
    "Simulation",
    "SimulationError",
    "Tape",
    "Violation",
    "Without",
    "personas",
]

# What makes an empty storage, for each seed; or the name of one that there is.
AnyStorage: TypeAlias = "Callable[[], Storage] | str | None"
AnyGateway: TypeAlias = "Profile | str | Iterable[Profile | str] | None"

# So many steps the figures of `GOALS` are for, each of a hundred times.
_GOAL_STEPS: Final = 300

_SHOWN: Final = 30


class SimulationError(AssertionError):
    """
    What was required of a simulation is not so; the message tells the whole story.
    """


@final
@attrs.frozen(kw_only=True)
class Failure:
    """
    A seed in which something did not hold.

    Attributes:
        seed: The seed.

        violations: What did not hold, the first thing first.

        last: The last steps before it, a line each.

        script: The least of the seed that is wrong in the same way, a line a step.

        story: What happened to the order, a line an event.

        faults: The faults that were needed.

        again: A line that repeats it.
    """

    seed: int
    violations: tuple[Violation, ...]
    last: tuple[str, ...]
    script: tuple[str, ...]
    story: str
    faults: tuple[str, ...]
    again: str
    process: str

    def __str__(self) -> str:
        parts = [
            f"seed {self.seed}: {self.violations[0]}",
            f"process {self.process}",
            f"again: {self.again}",
            f"       pytest --escrow-seeds={self.seed}-{self.seed}",
            "",
            "the last steps:",
            *(f"  {line}" for line in self.last),
            "",
            f"the least that is still wrong (faults: {', '.join(self.faults) or 'none'}):",
            *(f"  {line}" for line in self.script),
        ]
        if self.story:
            parts += [
                "",
                "the order:",
                *(f"  {line}" for line in self.story.split("\n")),
            ]
        return "\n".join(parts)


@final
@attrs.frozen(kw_only=True)
class Report:
    """
    What became of a simulation.

    Attributes:
        seeds: The seeds that were run; it ends with the first that failed.

        failures: The seeds in which something did not hold.

        stuck: How many things still needed a human, after one had looked after them.

        coverage: What came up.

        edges: The part of the edges of the table that somebody went along: 0 to 1.

        missed: The edges nobody went along: state, command, role.

        traces: Of each seed, a hash of everything that happened: the same for ever.

        histories: Of each seed, a hash of what all orders came to: the same on every
            storage.
    """

    seeds: tuple[int, ...]
    failures: tuple[Failure, ...]
    stuck: int
    coverage: Coverage
    edges: float
    missed: tuple[tuple[str, str, str], ...]
    traces: Mapping[int, str]
    histories: Mapping[int, str]
    _goals: Mapping[str, int]

    @property
    def violations(self) -> int:
        """
        How many seeds failed.
        """
        return len(self.failures)

    def require(
        self,
        *,
        violations: int = 0,
        stuck: int | None = None,
        edges: float = 0,
        goals: Mapping[str, int] | None = None,
    ) -> None:
        """
        Raise unless it is so.

        Args:
            violations: How many seeds may fail.

            stuck: How many things may still need a human in the end.

            edges: The part of the edges that somebody must have gone along.

            goals: How often something must have come up at the least, by its name in
                the table of the report; without, what is certain of so many seeds with
                the usual people.

        Raises:
            SimulationError: If it is not; with the whole story.
        """
        __tracebackhide__ = True
        wrong = [str(failure) for failure in self.failures[violations:]]
        if stuck is not None and self.stuck > stuck:
            wrong.append(f"{self.stuck} things need a human, not {stuck}")
        if self.edges < edges and not self.failures:
            some = "; ".join(" ".join(edge) for edge in self.missed[:_SHOWN])
            wrong.append(
                f"{self.edges:.1%} of the edges came up, not {edges:.1%}: more seeds, or "
                f"other people.  Not: {some}"
            )
        if not self.failures:
            for name, goal in (self._goals if goals is None else goals).items():
                if self.coverage.counts[name] < goal:
                    wrong.append(
                        f"{name} came up {self.coverage.counts[name]} times, not {goal}: "
                        "what did not come up was not tried"
                    )
        if wrong:
            raise SimulationError("\n\n".join(wrong))

    def __str__(self) -> str:
        counts = self.coverage.counts
        lines = [
            f"{len(self.seeds)} seeds, {self.violations} failed, {self.stuck} stuck, "
            f"{self.edges:.1%} of the edges, {len(self.coverage.codes)} reasons to refuse",
            *(f"{counts[name]:8}  {name}" for name in sorted(counts)),
        ]
        return "\n".join(lines)


@final
class Simulation:
    """
    A marketplace in a storm.

    Args:
        process: The process, yours too; `comeup()` unless said.

        storage: What makes an empty storage for each seed, yours too: called without
            anything.  `"memory"` unless said; `"sqlite"` for files in a temporary
            folder.

        gateway: How the payment provider behaves: a `Profile` or its name, or several;
            all of `PROFILES` unless said.  Each seed has one of them.

        people: Who takes part; `personas.default()` unless said.

        orders: How many orders a seed has at the most.

        steps: How many steps the storm of a seed has: somebody acts, goes on by a few
            calls, or time passes.

        workloads: Some of `WORKLOADS`; each seed has one of them.

        faults: Some of `FAULTS`: each seed has most of them, at rates of its own.  With
            a rate each, so many times in a thousand, every seed has all of them:
            `{"gateway late": 300}`.

        also: Other rules, to which staff moves running orders while some workers know
            only *process*; unless said, *process* with longer windows, if it has these.

        awaited: Whether everybody uses an `AsyncEngine`; the histories are the same.

    Raises:
        InvalidInputError: If one of them cannot be used.
    """

    def __init__(
        self,
        process: Process[Any] | None = None,
        storage: AnyStorage = None,
        gateway: AnyGateway = None,
        people: Collection[Persona] | None = None,
        orders: int = 20,
        steps: int = 1500,
        *,
        also: Collection[Process[Any]] | None = None,
        workloads: Collection[str] | None = None,
        faults: Collection[str] | Mapping[str, int] | None = None,
        awaited: bool = False,
    ) -> None:
        if process is not None and not isinstance(process, Process):
            raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
        for name, number in (("orders", orders), ("steps", steps)):
            if type(number) is not int or number < 1:
                raise InvalidInputError(name, "a whole number, 1 or more")
        if not (storage in (None, "memory", "sqlite") or callable(storage)):
            raise InvalidInputError(
                "storage",
                "'memory', 'sqlite', or what makes an empty storage each time it is "
                "called: one of a URL is not empty twice",
            )
        self._process = process if process is not None else comeup()
        if also is not None and not all(isinstance(one, Process) for one in also):
            raise InvalidInputError("also", "processes")
        self._also = _kinder(self._process) if also is None else tuple(also)
        self._storage = storage
        self._profiles = _as_profiles(gateway)
        self._people = as_people(people)
        self._usual = people is None and workloads is None and faults is None
        self._orders = orders
        self._steps = steps
        self._workloads = _as_some(workloads, WORKLOADS, "workloads")
        if not self._workloads:
            raise InvalidInputError("workloads", f"some of {', '.join(WORKLOADS)}")
        rates = faults if isinstance(faults, Mapping) else {}
        if not all(type(rate) is int and 1 <= rate <= 1000 for rate in rates.values()):
            raise InvalidInputError("faults", "rates from 1 to 1000")
        if type(awaited) is not bool:
            raise InvalidInputError("awaited", "True or False")
        self._awaited = awaited
        self._faults = {
            name: rates.get(name, 0) for name in _as_some(faults, FAULTS, "faults")
        }

    def __repr__(self) -> str:
        profiles = [profile.name for profile in self._profiles]
        awaited = ", awaited=True" if self._awaited else ""
        return (
            f"Simulation({self._process.name}, storage={self._storage!r}, "
            f"gateway={profiles}, orders={self._orders}, steps={self._steps}{awaited})"
        )

    def run(
        self,
        seeds: int | Iterable[int] | None = None,
        *,
        seed: int | None = None,
        shrink: bool = True,
    ) -> Report:
        """
        Run some seeds; stop at the first in which something does not hold.

        Args:
            seeds: How many, from 1 on; or which.

            seed: Only this one, again.

            shrink: Whether to look for the least that is still wrong.
        """
        numbers = _as_seeds(seeds, seed)
        coverage = Coverage()
        done: list[Ran] = []
        failures: list[Failure] = []
        with self._setting() as setting:
            for number in numbers:
                ran = run(setting, number)
                coverage.add(ran.coverage)
                done.append(ran)
                if ran.violations:
                    failures.append(self._failure(setting, ran, shrink=shrink))
                    break
        return self._report(done, failures, coverage)

    def _report(
        self, done: Sequence[Ran], failures: Sequence[Failure], coverage: Coverage
    ) -> Report:
        edges = edges_of(self._process)
        missed = tuple(sorted(edges - set(coverage.edges)))
        part = len(done) * min(self._steps, _GOAL_STEPS) / (100 * _GOAL_STEPS)
        # A fault comes in swarms: of few seeds little is certain.
        asked = part if part > 1 else part**2
        goals = {name: int(goal * asked) for name, goal in GOALS.items()}
        return Report(
            seeds=tuple(ran.seed for ran in done),
            failures=tuple(failures),
            stuck=sum(ran.stuck for ran in done),
            coverage=coverage,
            edges=1 - len(missed) / len(edges),
            missed=missed,
            traces={ran.seed: ran.trace for ran in done},
            histories={ran.seed: ran.histories for ran in done},
            goals=goals if self._usual else {},
        )

    def _failure(self, setting: Setting, ran: Ran, *, shrink: bool) -> Failure:
        least = ran
        if shrink:
            _, least = shrunk(setting, ran)
        about = least.violations[0].order_id
        return Failure(
            seed=ran.seed,
            violations=ran.violations,
            last=ran.last[-_SHOWN:],
            script=tuple(f"{step:5} {line}" for step, line in least.script.items()),
            story=least.told.get(about, ""),
            faults=tuple(sorted(least.faults)),
            again=f"{self!r}.run(seed={ran.seed})",
            process=self._process.fingerprint,
        )

    @contextmanager
    def _setting(self) -> Iterator[Setting]:
        with tempfile.TemporaryDirectory(prefix="escrowflow-") as folder:
            yield Setting(
                process=self._process,
                also=self._also,
                storage=self._opener(Path(folder)),
                profiles=self._profiles,
                people=self._people,
                orders=self._orders,
                steps=self._steps,
                workloads=self._workloads,
                faults=self._faults,
                awaited=self._awaited,
            )

    def _opener(self, folder: Path) -> Callable[[], Storage]:
        if callable(self._storage):
            return self._storage
        if self._storage != "sqlite":
            return MemoryStorage
        made = iter(range(10**9))

        def opened() -> Storage:
            # Nobody cuts the power: what a crash leaves of a file is tried elsewhere.
            name = folder / f"{next(made)}.db"
            return open_storage(f"sqlite:///{name}?durability=relaxed")

        return opened


def _kinder(process: Process[Any]) -> tuple[Process[Any], ...]:
    """
    Return the same process with longer windows; nothing if it has none of these.
    """
    try:
        return (
            process.with_policies(
                revision={"choice_window": "P21D"}, extras={"offer_window": "P21D"}
            ),
        )
    except InvalidInputError:
        return ()


def _as_some(
    some: Collection[str] | None, known: Sequence[str], field: str
) -> tuple[str, ...]:
    """
    Return some of what there is, in its order; all of it for `None`.
    """
    if some is None:
        return tuple(known)
    if isinstance(some, str) or not set(some) <= set(known):
        raise InvalidInputError(field, f"some of {', '.join(known)}")
    return tuple(one for one in known if one in some)


def _as_profiles(gateway: AnyGateway) -> tuple[Profile, ...]:
    if gateway is None:
        return tuple(PROFILES.values())
    some = [gateway] if isinstance(gateway, (str, Profile)) else [*gateway]
    found = []
    for one in some:
        profile = PROFILES.get(one) if isinstance(one, str) else one
        if not isinstance(profile, Profile):
            _refuse(one)
        found.append(profile)
    if not found:
        _refuse(gateway)
    return tuple(found)


def _refuse(gateway: object) -> NoReturn:
    raise InvalidInputError(
        "gateway",
        f"a Profile, or one of {', '.join(PROFILES)}; not {kind_of(gateway)}",
    )


def _as_seeds(seeds: int | Iterable[int] | None, seed: int | None) -> Sequence[int]:
    if (seeds is None) is (seed is None):
        raise InvalidInputError("seeds", "how many, or which; or one `seed`")
    if seed is not None:
        seeds = (seed,)
    found = range(1, seeds + 1) if type(seeds) is int else tuple(seeds)  # type: ignore[arg-type]
    if not found or not all(type(one) is int for one in found):
        raise InvalidInputError("seeds", "whole numbers, at least one")
    return found
