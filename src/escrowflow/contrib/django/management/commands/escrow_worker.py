"""
`manage.py escrow_worker`: what has become due is settled, and effects are carried out.
"""

from __future__ import annotations

import argparse
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import current_thread, main_thread
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .....caution import Caution
from .....errors import EscrowflowError
from .....worker import Worker
from ...conf import configured

__all__ = ["Command"]

_POLL_MAX = 86_400


class Command(BaseCommand):
    """
    A worker with the engine and the handlers of the settings.
    """

    help = "Settle deadlines and carry out effects, until SIGTERM or Ctrl-C."
    requires_migrations_checks = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """
        Say what may be asked for.
        """
        parser.add_argument(
            "--once", action="store_true", help="Do what there is to do now, and end."
        )
        parser.add_argument(
            "--poll",
            type=_seconds,
            default=5.0,
            metavar="SECONDS",
            help="How long to wait when there is nothing to do; 5 by default.",
        )
        parser.add_argument(
            "--kinds",
            type=_names,
            metavar="NAME,...",
            help="Only effects of these names, such as refund,pay_out.",
        )
        parser.add_argument(
            "--deadlines-only",
            action="store_true",
            help="Leave effects to another worker.",
        )
        parser.add_argument(
            "--caution",
            action="store_true",
            help="Hold back what cannot be undone while clocks quarrel, or while there "
            "is far more of it than usual.",
        )

    def handle(self, *_: object, **options: Any) -> None:
        """
        Work.

        Raises:
            CommandError: If the settings or the options are wrong, or nothing can be
                read.
        """
        if options["deadlines_only"] and options["kinds"]:
            raise CommandError("--kinds and --deadlines-only do not go together")
        try:
            mine = configured()
            # What cannot be read now is more likely a mistake than a bad moment.
            mine.engine.next_due_at()
            worker = Worker(
                mine.engine,
                None if options["deadlines_only"] else mine.handlers,
                kinds=options["kinds"],
                poll=timedelta(seconds=options["poll"]),
                caution=Caution() if options["caution"] else None,
            )
            with _stopped_by_signals(worker):
                if options["once"]:
                    self._once(worker, options["verbosity"])
                else:
                    if options["verbosity"]:
                        self.stdout.write("working; SIGTERM or Ctrl-C ends it")
                        self.stdout.flush()
                    worker.run()
        except EscrowflowError as error:
            raise CommandError(str(error)) from error

    def _once(self, worker: Worker, verbosity: int) -> None:
        orders = handled = parked = 0
        while not (report := worker.run_once()).idle:
            orders += report.sweep.orders
            handled += report.effects.handled
            parked += report.effects.parked + len(report.sweep.parked)
        if verbosity:
            self.stdout.write(
                f"orders settled: {orders}, effects handled: {handled}, "
                f"in need of a human: {parked}"
            )
        if report.held_back is not None:
            # Whoever runs it every minute looks at its status, not at its log.
            raise CommandError(str(report.held_back))


def _seconds(text: str) -> float:
    """
    Read a number of seconds, as the library's own worker takes it.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0.001 <= seconds <= _POLL_MAX:
        return seconds
    raise argparse.ArgumentTypeError(f"seconds from 0.001 to {_POLL_MAX}, not {text!r}")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if all(names):
        return names
    raise argparse.ArgumentTypeError(
        f"names of effects between commas, such as refund,pay_out, not {text!r}"
    )


@contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    """
    Let SIGTERM and Ctrl-C end the work after what is being done.
    """
    if current_thread() is not main_thread():
        # Only the main thread hears signals; whoever started this one stops it.
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: worker.stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
