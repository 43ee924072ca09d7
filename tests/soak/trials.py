"""
The trials: what is done to a storage, and what must hold afterwards.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

import escrowflow as ef
from escrowflow.clock import Clock, FakeClock
from escrowflow.engine import Engine
from escrowflow.parties import Actor
from escrowflow.processes import comeup, recommended, vendor_consolidation
from escrowflow.states import Process
from escrowflow.storage import Storage, open_storage
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing import Simulation, StorageContract
from escrowflow.testing.gateways import (
    ERROR,
    FAILS_LATER,
    IN_FLIGHT,
    KILLED_AFTER,
    KILLED_BEFORE,
    LOST,
    PENDING,
    REFUSED,
    UNANSWERED,
    late,
)
from escrowflow.testing.invariants import check_effects
from tests.given import ANA, LUC, MIA, OPS, STRIPE, T0, WAY, brought_to
from tests.lives import VARIANTS, payload
from tests.sequences import led
from tests.soak.clients import Client, Confirmed, FastClock, an_engine, orders
from tests.test_mutants import ARMED, escapes, exits, is_noticed, shut_in, unnoticed
from tests.test_planted_bugs import SEEDS, SIBLINGS, caught, is_hidden
from tests.till import LIVES, Till
from tests.wander import PEOPLE as WANDERING
from tests.wander import held_against, wanderers

__all__ = [
    "Figures",
    "crashes",
    "gateways",
    "histories",
    "kills",
    "promises",
    "races",
    "sequences",
    "siblings",
    "simulated",
    "storm",
    "ways_out",
]

_PEOPLE: Final[tuple[Actor, ...]] = (ANA, LUC, MIA, OPS)


@attrs.define
class Figures:
    """
    What a trial did, and what went wrong in it: nothing, or it is a defect.

    Attributes:
        rounds: How often the storage was hurt.

        commands: How many commands were confirmed.

        refused: How many were refused.

        events: How many events were proved afterwards.

        answers: How many answers were held against those of the reference.

        lost: Commands that were confirmed and are not there.

        doubled: Commands that are there twice.

        faults: What does not add up: histories, orders, ledgers, effects.

        stuck: Orders that cannot be settled.

        seconds: How long it took.
    """

    rounds: int = 0
    commands: int = 0
    refused: int = 0
    events: int = 0
    answers: int = 0
    lost: int = 0
    doubled: int = 0
    faults: int = 0
    stuck: int = 0
    seconds: float = 0.0

    @property
    def violations(self) -> int:
        """
        How much went wrong.
        """
        return self.lost + self.doubled + self.faults + self.stuck


def _judged(
    figures: Figures, storage: Storage, clock: Clock, confirmed: list[Confirmed]
) -> None:
    """
    Hold what is stored against what everybody was told.
    """
    engine = an_engine(storage, clock)
    verified = engine.verify()
    figures.events += verified.events
    figures.faults += len(verified.faults)
    by_order: dict[str, dict[str, tuple[int, int]]] = {}
    for said in confirmed:
        receipts = by_order.get(said.order_id)
        if receipts is None:
            receipts = by_order[said.order_id] = {
                receipt.key: (receipt.first, receipt.last)
                for receipt in storage.receipts(said.order_id)
            }
            covered = [
                number
                for first, last in receipts.values()
                for number in range(first, last + 1)
            ]
            figures.doubled += len(covered) - len(set(covered))
        if f"{_PEOPLE[said.who]}\x1f{said.key}" not in receipts:
            figures.lost += 1
    figures.commands += len(confirmed)


def _drained(figures: Figures, storage: Storage, order_ids: list[str]) -> None:
    """
    Let time pass without anybody: nothing is stuck, and the books close.
    """
    clock = FakeClock("2040-01-01T00:00:00Z")
    engine = an_engine(storage, clock)
    while engine.run_due().orders:
        pass
    # That nobody carries effects out here is no fault of theirs.
    figures.stuck += sum(one.kind == "order" for one in engine.stuck(1000))
    figures.faults += len(engine.verify().faults)
    for order_id in order_ids:
        if storage.load(order_id).version:
            check_effects(engine, order_id)


def kills(
    url: str, rounds: int, *, clients: int = 2, count: int = 5, seed: int = 1
) -> Figures:
    """
    Kill processes in the middle of their commands, again and again.

    Args:
        rounds: How many processes are killed.

        clients: How many work at once.

        count: How many orders they work on.
    """
    began = time.monotonic()
    figures = Figures()
    rng = random.Random(seed)
    clock = FastClock()
    order_ids = orders(count)
    confirmed: list[Confirmed] = []
    storage = open_storage(url)
    storage.migrate()
    while figures.rounds < rounds:
        crowd = [
            Client(url, order_ids, clock, seed * 1_000_000 + figures.rounds + number)
            for number in range(clients)
        ]
        for client in crowd:
            client.wait_for(rng.randrange(1, 12))
            # Somewhere within a command; a command takes a few milliseconds.
            time.sleep(rng.random() * 0.004)
            client.kill()
            figures.rounds += 1
            figures.refused += client.refused
            confirmed += client.confirmed
        if url.startswith("sqlite"):
            figures.faults += _broken_files(url)
    _judged(figures, storage, clock, confirmed)
    _drained(figures, storage, order_ids)
    storage.close()
    figures.seconds = time.monotonic() - began
    return figures


def _broken_files(url: str) -> int:
    path = url.removeprefix("sqlite:///").partition("?")[0]
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA quick_check").fetchall() != [("ok",)])
    finally:
        connection.close()


def crashes(
    url: str, rounds: int, crash: Callable[[], None], *, clients: int = 4, seed: int = 2
) -> Figures:
    """
    Crash the server itself, under load.

    Args:
        crash: Ends it at once, as a power cut would, and starts it again.
    """
    began = time.monotonic()
    figures = Figures()
    clock = FastClock()
    order_ids = orders(20)
    with open_storage(url) as storage:
        storage.migrate()
    crowd = [
        Client(url, order_ids, clock, seed * 1_000_000 + number)
        for number in range(clients)
    ]
    for _ in range(rounds):
        for client in crowd:
            client.wait_for(len(client.confirmed) + client.refused + 5)
        crash()
        figures.rounds += 1
    for client in crowd:
        client.wait_for(len(client.confirmed) + client.refused + 5)
        client.kill()
        figures.refused += client.refused
    with open_storage(url) as storage:
        _judged(figures, storage, clock, [one for c in crowd for one in c.confirmed])
        _drained(figures, storage, order_ids)
    figures.seconds = time.monotonic() - began
    return figures


def storm(
    url: str, commands: int, *, clients: int = 16, count: int = 50, seed: int = 3
) -> Figures:
    """
    Let many processes loose on few orders.

    Args:
        commands: How many commands each of them gets answered.
    """
    began = time.monotonic()
    figures = Figures(rounds=clients)
    clock = FastClock()
    order_ids = orders(count)
    with open_storage(url) as storage:
        storage.migrate()
    crowd = [
        Client(url, order_ids, clock, seed * 1_000_000 + number)
        for number in range(clients)
    ]
    waits = [
        threading.Thread(target=client.wait_for, args=(commands,)) for client in crowd
    ]
    for wait in waits:
        wait.start()
    for wait in waits:
        wait.join()
    for client in crowd:
        client.kill()
        figures.refused += client.refused
    with open_storage(url) as storage:
        _judged(figures, storage, clock, [one for c in crowd for one in c.confirmed])
        _drained(figures, storage, order_ids)
    figures.seconds = time.monotonic() - began
    return figures


# --- races ------------------------------------------------------------------------


def races(
    opened: Callable[[], Storage], repeats: int, *, share: float = 1, seed: int = 4
) -> Figures:
    """
    Send every pair of commands that a state allows at the same moment.

    Whatever came of it must be what one of the two orders of sending gives.

    Args:
        opened: Returns a storage; all races are run in it, each on an order of its
            own.

        repeats: How often each pair races.

        share: How many of the pairs race: 1 for all of them.
    """
    began = time.monotonic()
    figures = Figures()
    rng = random.Random(seed)
    with opened() as storage:
        number = 0
        for state in ("awaiting_payment", *WAY):
            for first, second in _pairs(state, rng):
                if rng.random() >= share:
                    continue
                possible = [
                    _in_turn(state, first, second),
                    _in_turn(state, second, first),
                ]
                for _ in range(repeats):
                    number += 1
                    order_id = f"race-{seed}-{number}"
                    engine = an_engine(storage, FakeClock(T0))
                    brought_to(engine, state, order_id)
                    _at_once(engine, order_id, (first, second))
                    figures.rounds += 1
                    came = _came_to(engine, order_id)
                    figures.commands += len(came[1])
                    if came not in possible:
                        figures.faults += 1
        verified = an_engine(storage, FakeClock(T0)).verify()
        figures.events = verified.events
        figures.faults += len(verified.faults)
    figures.seconds = time.monotonic() - began
    return figures


_Send = tuple[Actor, ef.Command]


def _pairs(state: str, rng: random.Random) -> Iterator[tuple[_Send, _Send]]:
    with open_storage("memory://") as storage:
        engine = an_engine(storage, FakeClock(T0))
        brought_to(engine, state, "o")
        order = engine.order("o")
        sends: list[_Send] = []
        for by in (*_PEOPLE, STRIPE):
            try:
                options = engine.options("o", by=by)
            except ef.OrderNotFoundError:
                continue
            for option in options:
                if option.allowed:
                    sends.append((by, payload(rng, option.command, order, by)))
    for place, first in enumerate(sends):
        for second in sends[place:]:
            yield first, second


def _in_turn(state: str, *sends: _Send) -> Any:
    with open_storage("memory://") as storage:
        engine = an_engine(storage, FakeClock(T0))
        brought_to(engine, state, "o")
        for by, command in sends:
            _sent(engine, "o", by, command)
        return _came_to(engine, "o")


def _at_once(engine: Engine, order_id: str, sends: tuple[_Send, ...]) -> None:
    barrier = threading.Barrier(len(sends))

    def send(by: Actor, command: ef.Command) -> None:
        barrier.wait()
        _sent(engine, order_id, by, command)

    threads = [threading.Thread(target=send, args=one) for one in sends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sent(engine: Engine, order_id: str, by: Actor, command: ef.Command) -> None:
    # A mediator who lost the race for the order has no part in it.
    with suppress(ef.OrderNotFoundError):
        engine.attempt(order_id, command, by=by)


def _came_to(engine: Engine, order_id: str) -> Any:
    """
    Return where an order stands and what happened to it.
    """
    order = engine.order(order_id)
    ledger = order.ledger
    return (
        (str(order.state), ledger.held, ledger.refunded, ledger.released, ledger.kept),
        [(item.name, str(item.by)) for item in engine.history(order_id)],
    )


# --- whatever is asked --------------------------------------------------------------


class _Asked(StorageContract):
    """
    The storage contract, of which only the random histories are run.
    """

    def __init__(self, url_of: Callable[[Path], str], count: int) -> None:
        self._url_of = url_of
        self._url = ""
        self.histories = count  # type: ignore[misc]

    def open(self, path: Path) -> Storage:
        """
        Open an empty storage.
        """
        self._url = self._url_of(path)
        return open_storage(self._url)

    def reopen(self, _: Storage) -> Storage:
        """
        Open the one that was closed.
        """
        return open_storage(self._url)


def histories(url_of: Callable[[Path], str], count: int, folder: Path) -> Figures:
    """
    Ask a storage whatever can be asked, in any order, and the reference, too.

    Args:
        url_of: Returns the URL of an empty storage, which may lie in a folder.

        count: How many times it begins anew.
    """
    began = time.monotonic()
    folder.mkdir()
    figures = Figures(rounds=count)
    asked = _Asked(url_of, count)
    try:
        asked.test_random_histories(folder)
    except pytest.fail.Exception as failure:
        print(failure, file=sys.stderr)
        figures.faults = 1
    figures.answers = asked.answers
    figures.seconds = time.monotonic() - began
    return figures


# --- money that moves ---------------------------------------------------------------


def sequences(count: int, *, seed: int = 5) -> Figures:
    """
    Move money in any order, in several currencies: it adds up to the last unit.

    Args:
        count: How many sequences there are.
    """
    began = time.monotonic()
    figures = Figures(rounds=count)
    for number in range(count):
        try:
            figures.commands += led(seed, number)
        except (AssertionError, ef.LedgerError) as error:
            print(f"  sequence {number} of seed {seed}: {error!r}", file=sys.stderr)
            figures.faults += 1
    figures.seconds = time.monotonic() - began
    return figures


def _processes() -> tuple[Process[Any], ...]:
    """
    Return every process from which something is taken away.
    """
    ours = recommended()
    return (
        *(comeup(), vendor_consolidation(), ARMED, ours),
        ours.with_policies(acceptance={"brief_required": True}),
    )


def mutants(share: float) -> Figures:
    """
    Take every timed exit away from every built-in process, and see it reported.
    """
    began = time.monotonic()
    figures = Figures()
    cells = [(process, *cell) for process in _processes() for cell in exits(process)]
    for process, kind, state in cells[: max(1, round(len(cells) * share))]:
        figures.rounds += 1
        if not is_noticed(process, kind, state):
            figures.faults += 1
            print(f"  {process.name}: {kind.name} in {state}", file=sys.stderr)
    figures.seconds = time.monotonic() - began
    return figures


def ways_out(share: float) -> Figures:
    """
    Take every way out of a state with money away from everybody who has it, in every
    built-in process, and see it reported, with what is left.
    """
    began = time.monotonic()
    figures = Figures()
    cells = [(process, *cell) for process in _processes() for cell in escapes(process)]
    for process, row, state, role in cells[: max(1, round(len(cells) * share))]:
        figures.rounds += 1
        report = shut_in(process, row, state, role)
        wrong = unnoticed(report, process, row, state, role)
        if wrong:
            figures.faults += 1
            print(
                f"  {process.name}: {row.command.name} by the {role.text} in {state}: "
                f"{wrong}",
                file=sys.stderr,
            )
    figures.seconds = time.monotonic() - began
    return figures


def siblings(share: float) -> Figures:
    """
    Break each defence that has a second one beside it: with that one nothing happens,
    or it is noticed, as is written down; without it, it is noticed.
    """
    began = time.monotonic()
    figures = Figures()
    seeds = max(1, round(SEEDS * share))
    for name, sibling in SIBLINGS.items():
        figures.rounds += seeds
        if not caught(name)[0]:
            figures.faults += 1
            print(f"  nobody notices that {name}", file=sys.stderr)
        if is_hidden(name, seeds if sibling.hides else SEEDS) is not sibling.hides:
            figures.faults += 1
            print(f"  {name}, beside: {sibling.name}", file=sys.stderr)
    figures.seconds = time.monotonic() - began
    return figures


def promises(count: int, *, seed: int = 6) -> Figures:
    """
    Hold options against payloads: what they promise is kept.

    Args:
        count: How many payloads there are.
    """
    began = time.monotonic()
    figures = Figures()
    rng = random.Random(seed)
    for number in itertools.count():
        for wanderer in wanderers(f"{seed} {number}", len(VARIANTS)):
            for by in WANDERING:
                for option in wanderer.options(by):
                    try:
                        held_against(wanderer, option, by, rng)
                    except AssertionError as error:
                        print(f"  order {number}: {str(error)[:500]}", file=sys.stderr)
                        figures.faults += 1
                    figures.rounds += 1
        if figures.rounds >= count:
            break
    figures.seconds = time.monotonic() - began
    return figures


# --- money on its way ---------------------------------------------------------------

# What may become of a call; most go well.
_TROUBLES: Final = (
    *(LOST, UNANSWERED, ERROR, IN_FLIGHT, REFUSED, PENDING, FAILS_LATER),
    *(KILLED_BEFORE, KILLED_AFTER),
    *(late("PT5S"), late("PT1M"), late("PT1M59S"), late("PT3M")),
)


def gateways(profile: str, count: int, *, seed: int = 4) -> Figures:
    """
    Have money leave through gateways that do whatever such a gateway may do, with
    webhooks, chargebacks, backups and humans in between, in any order.

    Args:
        count: How many lives are lived.
    """
    began = time.monotonic()
    figures = Figures()
    for number in range(count):
        rng = random.Random(f"{profile} {seed} {number}")
        till = Till(profile, tuple(rng.choices([*LIVES], k=rng.choice((1, 1, 2)))))
        figures.rounds += 1
        try:
            _flown(till, rng)
        except AssertionError as error:
            print(
                f"  {profile}, life {number} of seed {seed}: {error}", file=sys.stderr
            )
            figures.stuck += "for ever" in str(error)
            figures.faults += "for ever" not in str(error)
        figures.doubled += sum(one - 1 for one in till.counts().values())
        figures.commands += sum(len(gateway.requests) for gateway in till.gateways)
        figures.events += till.engine.verify().events
    figures.seconds = time.monotonic() - began
    return figures


def _flown(till: Till, rng: random.Random) -> None:
    """
    Live one life: a storm, and then quiet.
    """
    told: list[tuple[str, ef.Command]] = []
    banks: list[tuple[Any, str]] = []
    backup = [*till.engine.export()]
    for _ in range(rng.randrange(2, 30)):
        gateway = rng.choice(till.gateways)
        chance = rng.random()
        if chance < 0.3:
            gateway.next(*rng.choices(_TROUBLES, k=rng.randrange(1, 4)))
        elif chance < 0.65:
            if till.next():
                till.round()
        elif chance < 0.72:
            till.clock.advance(minutes=rng.choice((1, 4, 20, 100, 3_000)))
            till.round()
        elif chance < 0.84:
            told += till.webhooks()
            till.tell(rng.choices(told, k=min(len(told), 5)))
        elif chance < 0.88:
            till.human()
        elif chance < 0.91:
            paid = [one for one in gateway.applied if one.status == "paid"]
            if paid:
                gateway.bounce(rng.choice(paid).reference)
        elif chance < 0.94:
            payment = rng.choice(gateway.statement())
            if payment.kind == "payment" and not banks:
                banks.append((gateway, gateway.charge_back(payment.reference)))
        elif chance < 0.97:
            backup = [*till.engine.export()]
        else:
            till.put_back(MemoryStorage(), backup)
            # What may have been sent is looked for before anybody is heard; then a
            # provider repeats what nobody remembers.
            for _ in range(40):
                if till.next():
                    till.round()
            till.tell(told)
    for gateway, name in banks:
        gateway.close_chargeback(name, won=rng.random() < 0.5)
    till.finish()
    till.tell([*told, *till.webhooks()])
    till.closed()


def simulated(opened: Callable[[], Storage] | str, seeds: int) -> Figures:
    """
    Run seeds of the simulator, all of them, whatever fails; elsewhere than in memory
    each has to come to the same history as there (I16).

    Args:
        opened: What makes an empty storage, or its name.
    """
    began = time.monotonic()
    figures = Figures()
    simulation = Simulation(storage=opened, orders=4, steps=300)
    reference = Simulation(orders=4, steps=300)
    for seed in range(1, seeds + 1):
        report = simulation.run(seed=seed)
        figures.rounds += 1
        figures.commands += report.coverage.counts["accepted"]
        figures.refused += report.coverage.counts["refused"]
        figures.faults += report.violations
        figures.stuck += report.stuck
        for failure in report.failures:
            print(failure, file=sys.stderr)
        if opened != "memory":
            figures.answers += 1
            figures.faults += report.histories != reference.run(seed=seed).histories
        if not seed % 1_000:
            # Half an hour without a word looks like an end.
            print(f"  seed {seed}: {figures.faults} violations", file=sys.stderr)
    figures.seconds = time.monotonic() - began
    return figures
