"""
A market that is not there: people with habits order, deliver, quarrel and keep silent,
in virtual time, under the rules that you try.

    report = Market(comeup(), seed=7).run(orders=10_000)
    other = Market(my_process(), seed=7).run(orders=10_000)
    for line in compare(report, other).lines():
        print(line.text)

- The same seed brings the same people with the same intentions, whatever the process: so
  what differs between two reports is the rules.
- The code that decides is the one that runs; only people and time are made up.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, final

import attrs

from ..errors import InvalidInputError
from ..inputs import kind_of
from ..parties import Role
from ..rules import Policies
from ..states import Process
from .living import KNOWN, Lived, live
from .people import (
    DEFAULT,
    BuyerHabits,
    Goods,
    MediatorHabits,
    People,
    SellerHabits,
    Span,
    StaffHabits,
    drawn,
)
from .pictures import picture
from .reports import Comparison, End, Held, Loss, MarketReport, compare, report_of

__all__ = [
    "DEFAULT",
    "ORDERS_MAX",
    "BuyerHabits",
    "Comparison",
    "End",
    "Goods",
    "Held",
    "Loss",
    "Market",
    "MarketReport",
    "MediatorHabits",
    "People",
    "SellerHabits",
    "Span",
    "StaffHabits",
    "compare",
    "picture",
]

ORDERS_MAX: Final = 10_000_000

# How many orders are handed out, and told of, at once.
_CHUNK: Final = 500

_Process: TypeAlias = Process[Policies]

_PEOPLE: Final = Role.BUYER | Role.SELLER | Role.MEDIATOR

# Nobody waits for this.
_Progress: TypeAlias = Callable[[int], object]


def _people(value: Any) -> People:
    if not isinstance(value, People):
        raise InvalidInputError("people", f"People, not {kind_of(value)}")
    return value


def _process(value: Any) -> _Process:
    if not isinstance(value, Process):
        raise InvalidInputError("process", f"a Process, not {kind_of(value)}")
    return value


def _seed(value: Any) -> int:
    if type(value) is not int:
        raise InvalidInputError("seed", f"a whole number, not {kind_of(value)}")
    return value


@final
@attrs.frozen
class Market:
    """
    A process, the people who use it, and a seed.

    Attributes:
        process: The process.

        people: Who there is: `DEFAULT`, which is invented, unless said.

        seed: What chance is seeded with.

        name: What its report calls the process; the name of the process unless said.

    Raises:
        InvalidInputError: If one of them is something else.
    """

    process: _Process = attrs.field(converter=_process)
    people: People = attrs.field(default=DEFAULT, kw_only=True, converter=_people)
    seed: int = attrs.field(default=0, kw_only=True, converter=_seed)
    name: str = attrs.field(default="", kw_only=True, converter=str)

    def run(
        self, orders: int, *, workers: int = 1, progress: _Progress | None = None
    ) -> MarketReport:
        """
        Return what becomes of so many orders; each is watched for a year.

        The report is the same whatever the number of workers.

        Args:
            orders: How many, 1 to 10,000,000.

            workers: How many processes of the operating system share the work.  Where
                it cannot make copies of a running one, there is one.

            progress: Told how many orders are done, now and then.

        Raises:
            InvalidInputError: If a number is out of range, or nobody can order
                anything under this process.

            LedgerError: If a deadline begins anew without an end, or nearly so.
        """
        for name, count, most in (
            ("orders", orders, ORDERS_MAX),
            ("workers", workers, 64),
        ):
            if type(count) is not int or not 1 <= count <= most:
                raise InvalidInputError(name, f"a whole number from 1 to {most}")
        lives: list[Lived] = []
        for found in self._chunks(orders, workers):
            lives += found
            if progress is not None:
                progress(len(lives))
        return report_of(
            lives,
            process=self.name or self.process.name,
            fingerprint=self.process.fingerprint,
            seed=self.seed,
            people=self.people,
            unused=self._unused(),
        )

    def _chunks(self, orders: int, workers: int) -> Iterator[list[Lived]]:
        chunks = [
            (first, min(first + _CHUNK, orders)) for first in range(0, orders, _CHUNK)
        ]
        # A process may hold functions of a host's, which cannot be sent: a copy of
        # this one has them already.
        forks = "fork" in multiprocessing.get_all_start_methods()
        if workers == 1 or len(chunks) == 1 or not forks:
            for first, last in chunks:
                yield self._lived(first, last)
            return
        context = multiprocessing.get_context("fork")
        with context.Pool(workers, _begin, (self,)) as pool:
            yield from pool.imap(_go_on, chunks)

    def _lived(self, first: int, last: int) -> list[Lived]:
        currency = self.people.goods.currency
        return [
            live(self.process, drawn(self.people, self.seed, number), currency, number)
            for number in range(first, last)
        ]

    def _unused(self) -> Iterator[str]:
        """
        Yield a host's own commands that these people could send, and do not know.
        """
        own = {
            row.command.name: None
            for row in self.process.rows
            if row.by & _PEOPLE and self.process.decider[row.command].version
        }
        yield from (name for name in own if name not in KNOWN)


# The market of a worker: what it was begun with.
_WORKING: Final[list[Market]] = []


def _begin(market: Market) -> None:
    _WORKING[:] = [market]


def _go_on(chunk: tuple[int, int]) -> list[Lived]:
    return _WORKING[0]._lived(*chunk)
