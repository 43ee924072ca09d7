"""
People in a hurry: processes that send commands until they are killed.

Each keeps its own account of what the engine confirmed to it.  What was confirmed
must be there afterwards; what was not may be there, whole, or not at all.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Final, NamedTuple, final

from pendulum import DateTime

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.clock import Clock, as_utc
from escrowflow.engine import Engine
from escrowflow.errors import (
    EscrowflowError,
    OrderExistsError,
    OrderNotFoundError,
)
from escrowflow.parties import Actor
from escrowflow.storage import Storage, open_storage
from tests.given import ANA, COMEUP, LUC, MIA, OPS, T0
from tests.lives import order_command, payload

__all__ = ["Client", "Confirmed", "FastClock", "an_engine", "orders"]

_PEOPLE: Final[tuple[Actor, ...]] = (ANA, LUC, MIA, OPS)

# One real second is as many: a life of an order takes half a minute.
_SPEED: Final = 86_400

# Forked, not spawned: a process is there in a hundredth of a second.
_PROCESSES: Final = multiprocessing.get_context("fork")


class Confirmed(NamedTuple):
    """
    A command that somebody was told is done.
    """

    order_id: str
    who: int
    key: str
    version: int


@final
class FastClock:
    """
    A clock that all processes of this machine share, and that runs a day a second.
    """

    def __init__(self) -> None:
        self._start: DateTime = as_utc(T0, "start")
        self._began = time.monotonic()

    def now(self) -> DateTime:
        """
        Return the instant.
        """
        passed = (time.monotonic() - self._began) * _SPEED
        later: DateTime = self._start + timedelta(seconds=passed)
        return later


def an_engine(storage: Storage, clock: Clock) -> Engine:
    """
    Return an engine of the standard process.
    """
    return Engine(COMEUP, storage, clock=clock)


def orders(count: int) -> list[str]:
    """
    Return the ids of the orders that everybody works on.
    """
    return [f"order-{number:03}" for number in range(count)]


@final
class Client:
    """
    One process that sends commands.

    Args:
        url: The storage.

        order_ids: What it works on.

        seed: What decides which commands it sends.
    """

    def __init__(
        self, url: str, order_ids: Sequence[str], clock: Clock, seed: int
    ) -> None:
        self._pipe, theirs = _PROCESSES.Pipe(duplex=False)
        self._process = _PROCESSES.Process(
            target=_work, args=(url, tuple(order_ids), clock, seed, theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        self.confirmed: list[Confirmed] = []
        self.refused = 0

    def wait_for(self, count: int) -> None:
        """
        Wait until so many commands were confirmed or refused.
        """
        while len(self.confirmed) + self.refused < count:
            if not self._read():
                raise RuntimeError("a client ended by itself")

    def kill(self) -> None:
        """
        End it as a power cut would, and hear the last it said.
        """
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        while self._read():
            pass
        self._pipe.close()

    def _read(self) -> bool:
        try:
            said = self._pipe.recv()
        except (EOFError, OSError):
            return False
        if isinstance(said, Exception):
            raise RuntimeError("a client failed") from said
        if said is None:
            self.refused += 1
        else:
            self.confirmed.append(Confirmed(*said))
        return True


def _work(
    url: str, order_ids: tuple[str, ...], clock: Clock, seed: int, pipe: Connection
) -> None:
    rng = random.Random(seed)
    engine = an_engine(open_storage(url), clock)
    try:
        for number, confirmed in enumerate(_sent(engine, order_ids, rng, seed)):
            pipe.send(confirmed)
            if number % 10 == 0:
                # A server that is down sweeps nothing.
                with suppress(ef.StorageError):
                    engine.run_due(10)
    except BrokenPipeError:
        pass
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _sent(
    engine: Engine, order_ids: tuple[str, ...], rng: random.Random, seed: int
) -> Iterator[Confirmed | None]:
    """
    Send commands for ever; yield what was confirmed, `None` for a refusal.
    """
    number = 0
    while True:
        number += 1
        order_id = rng.choice(order_ids)
        who = rng.randrange(len(_PEOPLE))
        key = f"{seed}-{number}"
        try:
            answer = _one(engine, order_id, _PEOPLE[who], key, rng)
        except (OrderNotFoundError, OrderExistsError):
            # No part in it, or somebody else placed it first.
            continue
        except ef.StorageError:
            # Nothing was confirmed, so nothing is owed.
            _wait_for(engine, order_id)
            continue
        if answer is None:
            continue
        if isinstance(answer, ef.Outcome):
            yield Confirmed(order_id, who, key, answer.order.version)
        else:
            yield None


def _one(
    engine: Engine, order_id: str, by: Actor, key: str, rng: random.Random
) -> ef.Outcome | ef.Refusal | None:
    try:
        allowed = [
            option.command
            for option in engine.options(order_id, by=by)
            if option.allowed
        ]
    except OrderNotFoundError:
        if by is not ANA:
            raise
        return engine.place(order_command(rng), by=by, order_id=order_id, key=key)
    # What is not allowed is tried as well.
    kind = rng.choice([*allowed, c.AcceptOrder, c.ApproveDelivery])
    if kind in (c.ExpireOffer,):
        return None
    try:
        command = payload(rng, kind, engine.order(order_id), by)
        return engine.attempt(order_id, command, by=by, key=key)
    except ef.InvalidInputError:
        return None


def _wait_for(engine: Engine, order_id: str) -> None:
    """
    Wait until the storage is back.
    """
    while True:
        try:
            engine.order(order_id)
        except OrderNotFoundError:
            return
        except EscrowflowError:
            time.sleep(0.01)
        else:
            return
