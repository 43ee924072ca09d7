"""
The command line: `escrowflow demo`, also `python -m escrowflow demo`.

What a host hands over on it is named `module:attribute`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO, final

from . import casefile, market, payments, timeline
from .caution import Caution
from .checker import check
from .demo import play, rendered, totals
from .diagram import FORMATS, Format, diagram
from .effects import Publish
from .engine import Engine, OrderPage, Retries
from .engine.core import OrderProcess
from .errors import EscrowflowError
from .events import Recorded
from .processes import comeup, recommended, vendor_consolidation
from .rulebook import rulebook
from .states import Process
from .storage import LIMIT_MAX, open_storage
from .telling import to_json
from .timeline import Line
from .words import LOCALES, story_text, total_text
from .worker import Worker

__all__ = ["main"]

_WIDE = 200

try:
    import click
except ModuleNotFoundError:
    sys.exit(
        "escrowflow: the command line needs an extra: pip install 'escrowflow[cli]'"
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="escrowflow")
def main() -> None:
    """The order workflow of a services marketplace."""


_LANG: Final = click.option(
    "--lang",
    type=click.Choice(LOCALES),
    default="en",
    show_default=True,
    help="The language to say it in.",
)
_PROCESS: Final = click.argument("process", metavar="PROCESS")


@main.command()
@_LANG
@click.option(
    "--db",
    type=click.Path(dir_okay=False),
    help="Keep the SQLite file; run again, it goes on without doubling anything.",
)
def demo(lang: str, db: str | None) -> None:
    """Play five orders from payment to the last cent."""
    if db is not None:
        # A URL, as every other command takes it, does as well.
        db = db.removeprefix("sqlite:///")
    with tempfile.TemporaryDirectory() as folder:
        database = db if db is not None else str(Path(folder) / "demo.db")
        with _clearly():
            played = play(database)
            for line in (*rendered(played, lang, _width()), *totals(played, lang)):
                _print(line)
    if db is not None:
        last = played[-1].order.id
        click.echo(f"\nescrowflow timeline {last} --db sqlite:///{db} --lang {lang}")


# --- a host's own storage ---------------------------------------------------------

# From the environment, too: a password on a command line is there for everybody who lists
# the processes of the machine.
_DB: Final = click.option(
    "--db",
    required=True,
    envvar="ESCROWFLOW_URL",
    show_envvar=True,
    metavar="URL",
    help="Such as sqlite:///orders.db.",
)
_PROCESSES: Final = click.option(
    "--process",
    "processes",
    multiple=True,
    metavar="MODULE:NAME",
    help="A process of yours, or what makes it; may be repeated.  The built-in ones "
    "are known.",
)


_LIMIT: Final = click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=100,
    show_default=True,
    help="How many at the most.",
)
_JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="As JSON, for programs."
)
_LEASE: Final = click.option(
    "--lease",
    "retries",
    type=click.FloatRange(min=0.001, max=86_400),
    callback=lambda _, __, seconds: _lease(seconds),
    default=Retries().lease.total_seconds(),
    show_default=True,
    help="Seconds within which a handler returns; after that others may try.  The same "
    "for all workers.",
)


@main.command(short_help="Settle deadlines and carry out effects.")
@_DB
@_PROCESSES
@click.option(
    "--handlers",
    metavar="MODULE:NAME",
    help="What carries effects out, plain functions: {Refund: send_refund, ...}.  "
    "Without, only deadlines are settled.",
)
@click.option(
    "--kinds",
    callback=lambda _, __, given: (
        None if given is None else _names(given, "names of effects", "refund,pay_out")
    ),
    metavar="NAME,...",
    help="Only effects of these names, such as refund,pay_out.",
)
@click.option(
    "--poll",
    type=click.FloatRange(min=0.001, max=86_400),
    callback=lambda _, __, seconds: _seconds(seconds),
    default=5.0,
    show_default=True,
    help="Seconds to wait when there is nothing to do.",
)
@_LEASE
@click.option("--once", is_flag=True, help="Do what there is to do now, and end.")
@click.option(
    "--caution",
    is_flag=True,
    help="Hold back what cannot be undone, deadlines and money: all of it while clocks "
    "quarrel, and what is much more than usual.",
)
def worker(
    db: str,
    processes: tuple[str, ...],
    handlers: str | None,
    kinds: tuple[str, ...] | None,
    poll: timedelta,
    retries: Retries,
    once: bool,
    caution: bool,
) -> None:
    """Settle deadlines and carry out effects, until SIGTERM or Ctrl-C."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    hands = None if handlers is None else _named(handlers)
    # Who passes events on passes on those of deadlines, too.
    publish = isinstance(hands, Mapping) and Publish in hands
    with _engine(db, processes, publish=publish, retries=retries) as engine:
        # What cannot be read now is more likely a mistake than a bad moment.
        engine.next_due_at()
        work = Worker(
            engine,
            hands,
            kinds=kinds,
            poll=poll,
            caution=Caution() if caution else None,
        )
        if once:
            while not (report := work.run_once()).idle:
                pass
            if report.held_back is not None:
                # Whoever runs it every minute looks at its status, not at its log.
                raise click.ClickException(str(report.held_back))
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: work.stop())
        click.echo("working; SIGTERM or Ctrl-C ends it", err=True)
        work.run()


@main.command(short_help="Name what needs a human.")
@_DB
@_PROCESSES
@_LEASE
@_LIMIT
@_JSON
def stuck(
    db: str, processes: tuple[str, ...], retries: Retries, limit: int, as_json: bool
) -> None:
    """
    Name what needs a human, with the reason; then the exit status is 1.

    Payments that soon cannot go back are known to an engine of yours, with its
    refund_windows.
    """
    with _engine(db, processes, retries=retries) as engine:
        found = engine.stuck(limit)
    if as_json:
        _print_json(to_json(found))
    else:
        for one in found:
            what = " ".join((one.order_id, one.kind, *one.key.split()))
            tried = _number(one.attempts, "attempt")
            reason = _speakable(" ".join(one.reason.split()))
            click.echo(f"{what}: {reason} (since {_second(one.since)}, {tried})")
        click.echo(f"{_number(len(found), 'thing')} stuck")
    if found:
        raise click.exceptions.Exit(1)


@main.command(short_help="Put back what was stuck, once its cause is gone.")
@_DB
@_PROCESSES
@_LEASE
@click.argument("order")
@click.argument("key", required=False)
def redrive(
    db: str, processes: tuple[str, ...], retries: Retries, order: str, key: str | None
) -> None:
    """
    Put back what was stuck in an order, or one effect by its KEY, once its cause is
    gone: workers try it at once, under the same key.
    """
    with _engine(db, processes, retries=retries) as engine:
        count = engine.redrive(order, key)
    if not count:
        what = f"order {order!r}" if key is None else f"{key!r} of order {order!r}"
        raise click.ClickException(
            f"nothing is stuck in {what}: 'escrowflow stuck' names what is, and where"
        )
    click.echo(f"{_number(count, 'thing')} put back")


@main.command(short_help="List orders, as they are now.")
@_DB
@_PROCESSES
@click.option("--party", metavar="ID", help="Those that this person takes part in.")
@click.option("--role", metavar="ROLE", help="As this: buyer, seller or mediator.")
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="NAME",
    help="Those that were written in this state; may be repeated.",
)
@click.option("--unassigned", is_flag=True, help="Those that look for a mediator.")
@click.option("--after", metavar="PLACE", help="Go on where the list before it ended.")
@_LIMIT
@_JSON
def orders(
    db: str,
    processes: tuple[str, ...],
    party: str | None,
    role: str | None,
    states: tuple[str, ...],
    unassigned: bool,
    after: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """
    List orders as they are now, by id: state, people, price, and when the state ends.
    """
    with _engine(db, processes) as engine:
        page = engine.orders(
            party=party,
            role=role,
            states=states or None,
            unassigned=unassigned,
            after=after,
            limit=limit,
        )
    if as_json:
        _print_json(to_json(page.items))
    else:
        for order in page.items:
            due_at = order.due_at
            ends = "" if due_at is None else f", until {_second(due_at)}"
            click.echo(
                f"{order.id} {order.state}{' late' if order.late else ''}: "
                f"buyer {order.buyer_id}, seller {order.seller_id}, {order.price}{ends}"
            )
        click.echo(_number(len(page.items), "order"))
    if page.after is not None:
        click.echo(f"there are more: --after {page.after}", err=True)
    for name in page.unreadable:
        click.echo(f"order {name!r} cannot be read: see 'escrowflow verify'", err=True)
    if page.unreadable:
        raise click.exceptions.Exit(1)


@main.command()
@_DB
@_PROCESSES
def verify(db: str, processes: tuple[str, ...]) -> None:
    """Prove every history, order and ledger; name what is wrong."""
    with _engine(db, processes) as engine:
        verified = engine.verify()
    for fault in verified.faults:
        click.echo(str(fault), err=True)
    wallets = f"{_number(verified.wallets, 'wallet')}, " if verified.wallets else ""
    click.echo(
        f"{_number(verified.orders, 'order')}, {wallets}"
        f"{_number(verified.events, 'event')}, "
        f"{_number(len(verified.faults), 'fault')}"
    )
    if verified.faults:
        raise click.exceptions.Exit(1)


_ZONE: Final = click.option(
    "--zone",
    default="UTC",
    show_default=True,
    metavar="NAME",
    help="Whose wall clock, such as Europe/Paris.",
)
_FORMAT: Final = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "json"]),
    default="text",
    show_default=True,
    help="For a terminal, a browser or a program.",
)


@main.command("timeline", short_help="Tell the story of one order.")
@_DB
@_PROCESSES
@_LANG
@_ZONE
@_FORMAT
@click.argument("order")
def timeline_(
    db: str, processes: tuple[str, ...], lang: str, zone: str, form: str, order: str
) -> None:
    """Tell the story of one order: who, what, when, why, and the money."""
    with _engine(db, processes) as engine:
        moments = engine.view(order).timeline
        if form == "json":
            _print_json(to_json(moments, locale=lang))
        elif form == "html":
            _print_page(
                story_text("timeline", lang),
                timeline.as_html(moments, locale=lang, zone=zone),
                lang,
            )
        else:
            (lines,) = timeline.as_lines(
                [moments], locale=lang, zone=zone, width=_width()
            )
            for line in lines:
                _print(Line(line.kind, _speakable(line.text)))


@main.command()
@_DB
@_PROCESSES
@_LANG
@_ZONE
@_FORMAT
@click.argument("order")
def case(
    db: str, processes: tuple[str, ...], lang: str, zone: str, form: str, order: str
) -> None:
    """Write a mediator's file of one order, which proves itself."""
    with _engine(db, processes) as engine:
        found = engine.case_file(order)
        if form == "json":
            _print_json(to_json(found, locale=lang))
        elif form == "html":
            _print_page(
                story_text("case_file", lang),
                casefile.as_html(found, locale=lang, zone=zone),
                lang,
            )
        else:
            text = casefile.as_text(found, locale=lang, zone=zone, width=_width())
            click.echo(_speakable(text), nl=False)
    if found.wrong is not None:
        raise click.exceptions.Exit(1)


@main.command(short_help="Write every order, one a line, as JSON.")
@_DB
@_PROCESSES
def export(db: str, processes: tuple[str, ...]) -> None:
    """Write every order to the standard output, one a line, as JSON."""
    with _engine(db, processes) as engine:
        for line in engine.export():
            # As bytes: an export is UTF-8, whatever the terminal speaks.
            click.echo(line.encode())


@main.command(
    "import", short_help="Read orders that were exported, with the same hashes."
)
@_DB
@_PROCESSES
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
def import_(db: str, processes: tuple[str, ...], file: TextIO) -> None:
    """Read orders that were exported, with the same hashes; again is harmless."""
    with _engine(db, processes, create=True) as engine:
        try:
            written = engine.restore(file)
        except UnicodeDecodeError as error:
            raise _no_text(error) from error
    click.echo(f"{_number(written, 'order')} written")


@main.command(short_help="Hold a gateway's report against the books.")
@_DB
@_PROCESSES
@click.option(
    "--since",
    metavar="INSTANT",
    help="When the report begins, with the offset: 2026-05-01T00:00Z, or "
    "2026-05-01T00:00+02:00.",
)
@click.option(
    "--until", metavar="INSTANT", help="When it ends, likewise; without, now."
)
@click.option(
    "--margin",
    default="P3D",
    show_default=True,
    metavar="WINDOW",
    help="How much later one side may hear of what the other did: P3D is three days, "
    "PT12H twelve hours.",
)
@click.option(
    "--methods",
    callback=lambda _, __, given: (
        None if given is None else _names(given, "methods of payment", "card,paypal")
    ),
    metavar="NAME,...",
    help="The methods of payment that this gateway has, such as card,paypal; without, "
    "all of them.",
)
@click.option("--no-payouts", is_flag=True, help="This gateway pays no sellers.")
@_LANG
@click.argument("file", type=click.File(encoding="utf-8-sig"), default="-")
def reconcile(
    db: str,
    processes: tuple[str, ...],
    since: str | None,
    until: str | None,
    margin: str,
    methods: tuple[str, ...] | None,
    no_payouts: bool,
    lang: str,
    file: TextIO,
) -> None:
    """Hold a gateway's report, a CSV file, against the books; name what differs."""
    differing = waiting = 0
    with _engine(db, processes) as engine:
        noting = _Noting(engine)
        try:
            for one in payments.reconcile(
                payments.lines_of_csv(file),
                noting,
                since=since,
                until=until,
                margin=margin,
                methods=methods,
                payouts=not no_payouts,
            ):
                differing += not one.in_transit
                waiting += one.in_transit
                click.echo(f"{one.code} {one.order_id or '-'}: {one.message(lang)}")
        except UnicodeDecodeError as error:
            raise _no_text(error) from error
    click.echo(total_text(differing, waiting, lang))
    noting.check(methods)
    if differing:
        raise click.exceptions.Exit(1)


# --- pictures ---------------------------------------------------------------------

_BUILT_IN: Final[Mapping[str, Callable[[], OrderProcess]]] = {
    "comeup": comeup,
    "vendor_consolidation": vendor_consolidation,
    "recommended": recommended,
}


@main.command()
@_PROCESS
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="mermaid",
    show_default=True,
    help="For Mermaid, or for Graphviz.",
)
@_LANG
@click.option("--order", "order_id", metavar="ID", help="Draw the way of this order.")
@click.option("--db", metavar="URL", help="Where that order is.")
def graph(
    process: str, format_: Format, lang: str, order_id: str | None, db: str | None
) -> None:
    """
    Draw a process, or the way of one order, as text.

    PROCESS is comeup, recommended, vendor_consolidation, or MODULE:NAME, a process of
    yours or what makes it.
    """
    if (order_id is None) is not (db is None):
        raise click.UsageError("--order and --db go together")
    drawn = _process_of(process)
    with _clearly():
        path = None
        if order_id is not None and db is not None:
            with _engine(db, () if process in _BUILT_IN else (process,)) as engine:
                path = engine.history(order_id)
        text = diagram(drawn, format_, locale=lang, path=path)
    # As bytes: a picture is UTF-8, whatever the terminal speaks.
    click.echo(text.encode(), nl=False)


@main.command(short_help="Write the rules of a process as its people read them.")
@_PROCESS
@_LANG
def terms(process: str, lang: str) -> None:
    """
    Write the rules of a process as its buyers and sellers would read them.

    Of states and commands of yours there is no word: add your sentences.

    PROCESS is comeup, recommended, vendor_consolidation, or MODULE:NAME, a process of
    yours or what makes it.
    """
    for number, chapter in enumerate(rulebook(_process_of(process)), 1):
        click.echo(f"{number}. {chapter.title(lang)}".encode())
        for clause in chapter.clauses:
            click.echo(f"   - {clause.text(lang)}".encode())


@main.command("check", short_help="Prove a process, or tell what is wrong with it.")
@_PROCESS
@_LANG
@_JSON
@click.option("--stories", is_flag=True, help="Tell every story, not only of errors.")
@click.option(
    "--against",
    metavar="PROCESS",
    help="Tell which ways out are lost that this process has.",
)
def check_(
    process: str, lang: str, as_json: bool, stories: bool, against: str | None
) -> None:
    """
    Prove a process, or tell what is wrong with it; then the exit status is 1.

    PROCESS is comeup, recommended, vendor_consolidation, or MODULE:NAME, a process of
    yours or what makes it.
    """
    checked = _process_of(process)
    before = None if against is None else _process_of(against)
    with _clearly():
        report = check(checked, against=before)
    if as_json:
        _print_json(report.to_json(locale=lang))
    else:
        for line in report.lines(locale=lang, stories=stories, width=_width()):
            _print(line)
    if not report.sound:
        sys.exit(1)


@main.command(short_help="Let a market of people order under a process.")
@_PROCESS
@click.option(
    "--compare",
    "other",
    metavar="PROCESS",
    help="The same people under this process, too.",
)
@click.option(
    "--orders",
    type=click.IntRange(1, market.ORDERS_MAX),
    default=10_000,
    show_default=True,
    help="How many orders they place.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="What chance is seeded with."
)
@click.option(
    "--people",
    "habits",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Habits of yours, as TOML or JSON; the built-in ones are invented.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=lambda: min(os.cpu_count() or 1, 64),
    show_default="one a core",
    help="How many processes of the system share the work; the report is the same.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True),
    help="Write the report as JSON to this file; - for the standard output.",
)
@click.option(
    "--svg",
    "svg_file",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True),
    help="Draw the report into this file; - for the standard output.",
)
@_LANG
def simulate(
    process: str,
    other: str | None,
    orders: int,
    seed: int,
    habits: Path | None,
    workers: int,
    json_file: str | None,
    svg_file: str | None,
    lang: str,
) -> None:
    """
    Let a market of people order under a process, and tell what becomes of it.

    PROCESS is comeup, recommended, vendor_consolidation, or MODULE:NAME, a process of
    yours or what makes it.
    """
    if json_file == svg_file == "-":
        raise click.UsageError(
            "the standard output takes --json - or --svg -, not both"
        )
    names = [process] if other is None else [process, other]
    processes = {name: _process_of(name) for name in names}
    with _clearly():
        people = market.DEFAULT if habits is None else market.People.read(_data(habits))
        reports = []
        for name in names:
            held = market.Market(processes[name], people=people, seed=seed, name=name)
            with _progress(name, orders) as progress:
                reports.append(held.run(orders, workers=workers, progress=progress))
        told = reports[0] if other is None else market.compare(*reports)
    if svg_file is not None:
        _write(svg_file, market.picture(*reports, locale=lang))
    if json_file is not None:
        text = json.dumps(told.to_json(), ensure_ascii=False, indent=2)
        _write(json_file, f"{text}\n")
    if "-" not in (json_file, svg_file):
        for line in told.lines(locale=lang, width=_width()):
            _print(line)


@contextmanager
def _progress(name: str, orders: int) -> Iterator[Callable[[int], object] | None]:
    """
    Show how far it is, where a person looks.
    """
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=orders, label=name, file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


def _data(path: Path) -> object:
    """
    Return what a TOML or JSON file holds.
    """
    try:
        text = path.read_text("utf-8")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise _no_text(error) from error
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error


def _write(path: str, text: str) -> None:
    # As bytes: what is written is UTF-8, whatever the terminal speaks.
    try:
        with click.open_file(path, "wb") as file:
            file.write(text.encode())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error


def _process_of(process: str) -> OrderProcess:
    """
    Return a process of the library, or of a host.
    """
    if process in _BUILT_IN:
        return _BUILT_IN[process]()
    if ":" not in process:
        names = ", ".join(_BUILT_IN)
        raise click.ClickException(
            f"no process {process!r}: {names}, or one of yours as module:attribute"
        )
    return _process(process)


@contextmanager
def _clearly() -> Iterator[None]:
    """
    Say what is wrong in one line.
    """
    try:
        yield
    except EscrowflowError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _engine(
    db: str,
    processes: tuple[str, ...],
    *,
    create: bool = False,
    publish: bool = False,
    retries: Retries | None = None,
) -> Iterator[Engine]:
    """
    Open an engine.

    Args:
        create: Whether a database without orders will do: whoever only asks has
            mistyped its name, and would be told that all is well.

        publish: As for `Engine`.

        retries: As for `Engine`.
    """
    with _clearly():
        mine = [_process(name) for name in processes]
        known = (*mine, comeup(), vendor_consolidation(), recommended())
        storage = open_storage(db, create=create)
        path = getattr(storage, "path", None)
        if not create and path is not None and not Path(path).exists():
            raise click.ClickException(f"there is no file {path}")
        engine = Engine(
            known[0], storage, also=known[1:], publish=publish, retries=retries
        )
        with engine:
            yield engine


def _process(name: str) -> OrderProcess:
    found = _named(name)
    try:
        process: OrderProcess = found() if callable(found) else found
    except Exception as error:
        raise click.ClickException(f"{name!r} fails: {error!r}") from error
    if not isinstance(process, Process):
        raise click.ClickException(f"{name!r} is no process, nor does it make one")
    return process


def _names(given: str, what: str, like: str) -> tuple[str, ...]:
    """
    Return what stands between commas.
    """
    names = tuple(name.strip() for name in given.split(","))
    if not all(names):
        raise click.BadParameter(f"{what} between commas, such as {like}")
    return names


def _seconds(seconds: float) -> timedelta:
    if math.isnan(seconds):
        raise click.BadParameter("not a number of seconds")
    return timedelta(seconds=seconds)


def _lease(seconds: float) -> Retries:
    return Retries(lease=_seconds(seconds))


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _second(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _no_text(error: UnicodeDecodeError) -> click.ClickException:
    sign = error.object[error.start]
    return click.ClickException(
        f"the file is no UTF-8 text: there is a byte 0x{sign:02X} in it.  Save it as "
        "UTF-8; from Latin-1: iconv -f LATIN1 -t UTF-8"
    )


@final
class _Noting:
    """
    An engine that is only read, and notes how its orders were paid.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.clock = engine.clock
        self.methods: set[str] = set()

    def orders(self, *, after: str | None = None, limit: int = 50) -> OrderPage:
        page = self._engine.orders(after=after, limit=limit)
        for order in page.items:
            self.methods.update(one.method for one in order.payments)
            self.methods.update(one.payment.method for one in order.holds)
        return page

    def history(self, order_id: str) -> tuple[Recorded, ...]:
        return self._engine.history(order_id)

    def check(self, methods: tuple[str, ...] | None) -> None:
        """
        Refuse methods by which no order was ever paid: mistyped, they would have kept
        payments from being looked for, and all would seem well.
        """
        never = sorted(set(methods or ()) - self.methods)
        if never:
            there = ", ".join(sorted(self.methods)) or "none"
            raise click.ClickException(
                f"--methods: no order was ever paid by {', '.join(never)}; the methods "
                f"there are: {there}"
            )


def _named(name: str) -> Any:
    """
    Return what `module:attribute` names.
    """
    module, _, attribute = name.partition(":")
    if not module or module.startswith(".") or not attribute:
        raise click.ClickException(f"{name!r} is not written module:attribute")
    # As with `python -m`: what lies where one stands can be imported, by handlers also
    # later, as they run.
    if "" not in sys.path:
        sys.path.insert(0, "")
        whole = click.get_current_context().find_root()
        whole.call_on_close(lambda: sys.path.remove(""))
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        missing = getattr(error, "name", None)
        way = ""
        if isinstance(error, ModuleNotFoundError) and missing in _above(module):
            way = f"; run it where {missing} lies, or install that"
        raise click.ClickException(f"{name!r} cannot be found: {error}{way}") from error
    except Exception as error:
        raise click.ClickException(f"{name!r} fails: {error!r}") from error


def _above(module: str) -> set[str]:
    """
    Return a module and the packages that it lies in, by name.
    """
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}


def _width() -> int:
    # A pipe has no width: whatever reads it can scroll.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def _speakable(text: str) -> str:
    """
    Return a text with what the terminal cannot show spelled out: people write what
    they like.
    """
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _print_json(told: Any) -> None:
    # As bytes: JSON is UTF-8, whatever the terminal speaks.
    click.echo(json.dumps(told, ensure_ascii=False, indent=2).encode())


def _print_page(title: str, fragment: str, lang: str) -> None:
    """
    Print a whole page around a piece of HTML: a browser shows a file as it is.
    """
    click.echo(
        f'<!doctype html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n</head>\n<body>\n{fragment}</body>\n"
        "</html>".encode()
    )


def _print(line: Line) -> None:
    # Colours only where a person looks: click drops them in a pipe.
    if line.kind == "title":
        click.secho(line.text, bold=True)
    elif line.kind in ("head", "why"):
        click.secho(line.text, dim=True)
    else:
        click.echo(line.text)


if __name__ == "__main__":
    main()
