"""
The command line of a host: `escrowflow worker`, `verify`, `export`, `import`,
`reconcile`, `graph`, `timeline` and `case`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import attrs
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import conninfo_to_dict

from escrowflow import commands as c
from escrowflow.__main__ import main
from escrowflow.clock import FakeClock, SystemClock
from escrowflow.decisions import Decides, Step
from escrowflow.diagram import diagram
from escrowflow.effects import Done, Effect, Notify, PayOut, Refund
from escrowflow.engine import Engine, Retries
from escrowflow.events import Event
from escrowflow.parties import Role
from escrowflow.processes import vendor_consolidation
from escrowflow.rulebook import rulebook
from escrowflow.states import Row
from escrowflow.storage import Query
from escrowflow.storage.sqlite import SqliteStorage
from tests.given import ANA, COMEUP, LUC, an_engine, an_order, brought_to
from tests.markup import read_html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from escrowflow.rules import Policies
    from escrowflow.states import Process

# Long ago, for the wall clock of a real process.
LONG_AGO: Final = "2020-03-02T10:00:00+01:00"

# What a host writes.
SHOP: Final = """
import escrowflow as ef
from escrowflow.processes import comeup


def tell(effect):
    print(effect.name, effect.order_id, effect.key, flush=True)


async def later(effect):
    pass


handlers = {ef.Refund: tell, ef.PayOut: tell, ef.Notify: tell}
publishing = {**handlers, ef.Publish: tell}
some = {ef.Refund: tell}
coroutines = {ef.Refund: later, ef.PayOut: later, ef.Notify: later}
number = 7
safe = comeup().with_policies(delivery={"deliver_during_cancel_request": True})
theirs = comeup().extend(name="theirs")


def made():
    return theirs


def wrong():
    return 7


def refused(effect):
    return ef.NotDone("closed")


refusing = {ef.Refund: refused, ef.PayOut: refused, ef.Notify: refused}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Where the host stands, with a module and a database of its own.
    """
    # One module a test: they are imported once a process.
    (tmp_path / f"{shop_of(tmp_path)}.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    filled(tmp_path / "orders.db").close()
    return tmp_path


def shop_of(folder: Path) -> str:
    """
    Return the name of a folder's module.
    """
    return "shop_" + re.sub(r"\W", "_", str(folder))


def filled(path: Path, process: Process[Policies] = COMEUP) -> Engine:
    """
    Return an engine with an order that is long overdue and one that is completed.
    """
    engine = an_engine(SqliteStorage(str(path)), process, FakeClock(LONG_AGO))
    brought_to(engine, "pending", "late")
    brought_to(engine, "completed", "good")
    return engine


def invoked(*words: str, **options: Any) -> Result:
    """
    Run the command line in this process.
    """
    return CliRunner().invoke(main, words, **options)


def one_line(result: Result) -> str:
    """
    Return the one clear line a command failed with.
    """
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert len(line) > len("Error: ...")
    return line.removeprefix("Error: ")


def forge(change: str, value: object) -> None:
    """
    Change the second event of an order behind everybody's back.
    """
    with sqlite3.connect("orders.db") as raw:
        # Somebody who knows what he does, and leaves the schema as it was.
        ((fixed,),) = raw.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'escrowflow_event_fixed'"
        )
        raw.execute("DROP TRIGGER escrowflow_event_fixed")
        raw.execute(
            f"UPDATE escrowflow_event SET {change} WHERE order_id = 'good' AND seq = 2",
            (value,),
        )
        raw.execute(fixed)
    raw.close()


DB: Final = ("--db", "sqlite:///orders.db")


class TestVerify:
    """
    `escrowflow verify`.
    """

    def test_all_is_well(self, folder: Path) -> None:
        """
        It counts what it has looked at.
        """
        result = invoked("verify", *DB)

        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "2 orders, 10 events, 0 faults\n"

    def test_a_forged_event(self, folder: Path) -> None:
        """
        What was changed behind its back is named, and the status is 1.
        """
        forge("body = ?", b"{}")

        result = invoked("verify", *DB)

        assert result.exit_code == 1
        assert result.stderr.startswith("order 'good', event 2: ")
        assert result.stdout == "2 orders, 10 events, 1 fault\n"

    def test_a_process_of_ones_own(self, folder: Path) -> None:
        """
        Orders of a host's own process are proven like the others.
        """
        name = f"{shop_of(folder)}:made"

        result = invoked("verify", *DB, "--process", name)

        assert result.exit_code == 0

    def test_an_event_of_a_process_that_was_not_named(self, folder: Path) -> None:
        """
        Who knows an event only by its process is told how to name it.
        """

        @attrs.frozen(kw_only=True)
        class ColourChosen(Event):
            """
            An event of somebody's own.
            """

        @attrs.frozen(kw_only=True)
        class ChooseColour(c.Command):
            """
            A command of somebody's own.
            """

        chooses = Decides(
            ChooseColour,
            lambda case, command: [Step(events=(ColourChosen(),))],
            version="1",
        )
        painter = COMEUP.extend(
            name="painter",
            rows=[Row(ChooseColour, Role.BUYER, "in_progress", "in_progress")],
            decisions=[chooses],
            events=[ColourChosen],
        )
        with filled(folder / "paint.db", painter) as engine:
            brought_to(engine, "in_progress", "o1")
            engine.execute("o1", ChooseColour(), by=ANA)

        result = invoked("verify", "--db", "sqlite:///paint.db")

        assert result.exit_code == 1
        assert "--process" in result.stderr


class TestStories:
    """
    `escrowflow timeline` and `escrowflow case`.
    """

    @pytest.mark.parametrize(
        ("lang", "zone", "line"),
        [
            ("en", "UTC", "Mon 2 Mar 2020, 09:00 (UTC)  buyer ana   Order placed"),
            (
                "fr",
                "Europe/Paris",
                "lundi 2\xa0mars 2020 à 10:00 (+01:00)  acheteur ana  Commande passée",
            ),
        ],
    )
    def test_a_timeline(self, folder: Path, lang: str, zone: str, line: str) -> None:
        """
        The story of an order, in the language and the zone of whoever reads it.
        """
        result = invoked("timeline", "good", *DB, "--lang", lang, "--zone", zone)

        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.splitlines()[1].startswith(line)

    @pytest.mark.parametrize(
        ("lang", "last"),
        [("en", "Nothing was changed"), ("fr", "Rien n’a été modifié")],
    )
    def test_a_case(self, folder: Path, lang: str, last: str) -> None:
        """
        The file of an order ends with its proof.
        """
        result = invoked("case", "good", *DB, "--lang", lang)

        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.splitlines()[-2].startswith(last)

    @pytest.mark.parametrize(
        ("command", "title"), [("timeline", "Ce qui s’est passé"), ("case", "Dossier")]
    )
    def test_a_page(self, folder: Path, command: str, title: str) -> None:
        """
        As HTML it is a whole page, which a browser shows as it is.
        """
        result = invoked(command, "good", *DB, "--format", "html", "--lang", "fr")

        assert result.exit_code == 0
        head, _, rest = result.stdout.partition("<body>\n")
        assert head == (
            '<!doctype html>\n<html lang="fr">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{title}</title>\n</head>\n"
        )
        fragment, _, end = rest.partition("</body>")
        assert end == "\n</html>\n"
        assert "ana" in read_html(fragment).text

    def test_as_json(self, folder: Path) -> None:
        """
        For programs it is JSON.
        """
        moments = json.loads(
            invoked("timeline", "good", *DB, "--format", "json").stdout
        )
        case = json.loads(invoked("case", "good", *DB, "--format", "json").stdout)

        assert moments[0]["event"] == "order_placed"
        assert (case["order_id"], case["wrong"]) == ("good", None)
        assert case["head"] == case["exhibits"][-1]["hash"]

    def test_a_forged_event_in_a_case(self, folder: Path) -> None:
        """
        A file that does not prove itself says so, and the status is 1.
        """
        forge("recorded_at = recorded_at + ?", 1)

        result = invoked("case", "good", *DB)

        assert result.exit_code == 1
        assert "event 2 is not as it was written" in result.stdout

    @pytest.mark.parametrize("command", ["timeline", "case"])
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("nowhere",), "nowhere"),
            (("good", "--zone", "Mars"), "no time zone 'Mars'"),
        ],
    )
    def test_what_cannot_be_told(
        self, folder: Path, command: str, words: tuple[str, ...], says: str
    ) -> None:
        """
        An order that is not there, or a zone nobody knows, is one clear line.
        """
        assert says in one_line(invoked(command, *words, *DB))

    @pytest.mark.parametrize("command", ["timeline", "case"])
    def test_whatever_the_terminal_speaks(self, folder: Path, command: str) -> None:
        """
        What a terminal cannot show is spelled out.
        """
        with filled(folder / "words.db") as engine:
            brought_to(engine, "in_progress", "o1")
            engine.execute("o1", c.DeliverOrder(note="voilà"), by=LUC)

        told = subprocess.run(
            [
                *(sys.executable, "-m", "escrowflow"),
                *(command, "o1", "--db", "sqlite:///words.db"),
            ],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=True,
        )

        assert rb"    | voil\xe0" in told.stdout


class TestExport:
    """
    `escrowflow export` and `escrowflow import`.
    """

    @pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-16"])
    def test_whatever_the_terminal_speaks(self, folder: Path, encoding: str) -> None:
        """
        An export is UTF-8, and so is read again, whatever is set for the terminal.
        """
        with filled(folder / "words.db") as engine:
            brought_to(engine, "in_progress", "o1")
            engine.execute("o1", c.DeliverOrder(note="voilà 日本"), by=LUC)
        program = [sys.executable, "-m", "escrowflow"]
        there = {**os.environ, "PYTHONIOENCODING": encoding}

        exported = subprocess.run(
            [*program, "export", "--db", "sqlite:///words.db"],
            env=there,
            capture_output=True,
            check=True,
        )
        imported = subprocess.run(
            [*program, "import", "--db", "sqlite:///copy.db"],
            env=there,
            input=exported.stdout,
            capture_output=True,
            check=False,
        )

        assert "voilà 日本" in exported.stdout.decode("utf-8")
        assert imported.returncode == 0, imported.stderr
        with an_engine(SqliteStorage("copy.db"), clock=FakeClock(LONG_AGO)) as copy:
            assert copy.order("o1").deliveries[-1].note == "voilà 日本"

    def test_there_and_back(self, folder: Path) -> None:
        """
        What was exported is imported elsewhere with the same hashes; again, it is
        harmless.
        """
        exported = invoked("export", *DB)
        assert exported.exit_code == 0
        (folder / "orders.jsonl").write_text(exported.stdout, "utf-8")
        there = ("--db", "sqlite:///there.db")

        first = invoked("import", *there, "orders.jsonl")
        second = invoked("import", *there, input=exported.stdout)

        assert (first.exit_code, first.output) == (0, "2 orders written\n")
        assert (second.exit_code, second.output) == (0, "0 orders written\n")
        assert invoked("export", *there).stdout == exported.stdout
        assert invoked("verify", *there).stdout == "2 orders, 10 events, 0 faults\n"
        assert invoked("export", *DB).stdout == exported.stdout

    def test_it_is_json(self, folder: Path) -> None:
        """
        One order is one line.
        """
        lines = invoked("export", *DB).stdout.splitlines()

        assert len(lines) == 2
        assert all(isinstance(json.loads(line), dict) for line in lines)

    @pytest.mark.parametrize(
        "text", ["these are notes\n", "{}\n", "7\n", "[" * 100_000, "\0\n"]
    )
    def test_what_was_not_exported(self, folder: Path, text: str) -> None:
        """
        Anything else is refused, and nothing is written.
        """
        result = invoked("import", "--db", "sqlite:///there.db", input=text)

        one_line(result)
        assert invoked("export", "--db", "sqlite:///there.db").stdout == ""

    def test_what_was_changed_since(self, folder: Path) -> None:
        """
        An order somebody has improved is refused.
        """
        text = invoked("export", *DB).stdout
        assert text.count("luc") > 9

        result = invoked(
            "import", "--db", "sqlite:///there.db", input=text.replace("luc", "eve")
        )

        assert "good" in one_line(result)
        assert invoked("export", "--db", "sqlite:///there.db").stdout == ""

    def test_what_is_no_text(self, folder: Path) -> None:
        """
        Bytes that are no text are refused in a sentence, too.
        """
        (folder / "orders.jsonl").write_bytes(b"\xff\xfe\x00")

        one_line(invoked("import", "--db", "sqlite:///there.db", "orders.jsonl"))

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        """
        A file that is not there is a mistake in the call.
        """
        result = invoked("import", *DB, "nowhere.jsonl")

        assert result.exit_code == 2
        assert "nowhere.jsonl" in result.stderr


class TestWorkerOnce:
    """
    `escrowflow worker --once`.
    """

    def test_only_deadlines(self, folder: Path) -> None:
        """
        Without handlers it settles what is due, and leaves effects to others.
        """
        result = invoked("worker", *DB, "--once")

        assert result.exit_code == 0
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            assert engine.next_due_at() is None
            assert engine.history("late")[-1].name == "conversation_closed"
            effects = engine.effects("late")
            assert {one.status for one in effects} == {"waiting"}

    def test_effects_too(self, folder: Path) -> None:
        """
        With handlers it carries out what is asked for, each once.
        """
        handlers = f"{shop_of(folder)}:handlers"

        first = invoked("worker", *DB, "--once", "--handlers", handlers)
        second = invoked("worker", *DB, "--once", "--handlers", handlers)

        assert (first.exit_code, second.exit_code) == (0, 0)
        assert second.stdout == ""
        lines = first.stdout.splitlines()
        assert {"refund late", "pay_out good"} <= {
            line.rpartition(" ")[0] for line in lines
        }
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            statuses = [*engine.effects("late"), *engine.effects("good")]
            done = [one.effect.key for one in statuses if one.status == "done"]
            assert sorted(done) == sorted(line.rpartition(" ")[2] for line in lines)
            assert {one.status for one in statuses} == {"done", "lapsed"}

    def test_with_caution(self, folder: Path) -> None:
        """
        A cautious worker does the same as any other, as long as clocks agree and it is
        not too much.
        """
        handlers = f"{shop_of(folder)}:handlers"

        result = invoked("worker", *DB, "--once", "--caution", "--handlers", handlers)

        assert result.exit_code == 0
        told = {line.rpartition(" ")[0] for line in result.stdout.splitlines()}
        assert {"refund late", "pay_out good"} <= told

    def test_with_caution_it_is_too_much(self, folder: Path) -> None:
        """
        What is held back is said, by the status too; what may be done is done.
        """
        engine = an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO))
        with engine:
            for number in range(60):
                brought_to(engine, "pending", f"late{number}")
        handlers = f"{shop_of(folder)}:handlers"

        result = invoked("worker", *DB, "--once", "--caution", "--handlers", handlers)

        assert "until the minute is over" in one_line(result)
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            states = [engine.order(f"late{n}").state for n in range(60)]
        assert 0 < states.count("pending") < 60

    def test_only_some_kinds(self, folder: Path) -> None:
        """
        A worker may carry out some kinds only, and leaves the others.
        """
        handlers = ("--handlers", f"{shop_of(folder)}:handlers")

        result = invoked(
            "worker", *DB, "--once", *handlers, "--kinds", "refund, pay_out"
        )

        assert result.exit_code == 0
        told = {line.partition(" ")[0] for line in result.stdout.splitlines()}
        assert told == {"refund", "pay_out"}
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            waiting = [
                one.effect.name
                for one in (*engine.effects("late"), *engine.effects("good"))
                if one.status == "waiting"
            ]
        assert set(waiting) == {"notify"}

    def test_what_handlers_import_as_they_run(self, folder: Path) -> None:
        """
        What lies beside the module of the handlers is found whenever they ask for it,
        and no longer than the command runs.
        """
        shop = shop_of(folder)
        (folder / f"{shop}_mailer.py").write_text("def mail(effect): ...")
        (folder / f"{shop}_late.py").write_text(
            "import escrowflow as ef\n"
            "def send(effect):\n"
            f"    from {shop}_mailer import mail\n"
            "    return mail(effect)\n"
            "handlers = dict.fromkeys((ef.Refund, ef.PayOut, ef.Notify), send)\n"
        )
        before = list(sys.path)

        result = invoked("worker", *DB, "--once", "--handlers", f"{shop}_late:handlers")

        assert (result.exit_code, sys.path) == (0, before)
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            assert {one.status for one in engine.effects("good")} == {"done"}

    def test_what_deadlines_record_is_published(self, folder: Path) -> None:
        """
        A worker that carries out `Publish` asks for it, too: what its sweep records
        is passed on.
        """
        handlers = f"{shop_of(folder)}:publishing"

        result = invoked("worker", *DB, "--once", "--handlers", handlers)

        assert result.exit_code == 0
        published = [
            line for line in result.stdout.splitlines() if line.startswith("publish ")
        ]
        assert {line.split()[1] for line in published} == {"late", "good"}
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            assert engine.verify().faults == ()

    def test_a_process_of_ones_own(self, folder: Path) -> None:
        """
        Orders of a host's own process are settled by whoever is told of it.
        """
        theirs = COMEUP.extend(name="theirs")
        filled(folder / "theirs.db", theirs).close()
        there = ("--db", "sqlite:///theirs.db", "--once")

        without = invoked("worker", *there)
        assert without.exit_code == 0
        # Who was not told of it has left them alone.
        with an_engine(SqliteStorage("theirs.db"), theirs) as engine:
            assert engine.storage.load("late").parked is None
            assert engine.storage.load("late").version == 3
        name = shop_of(folder)
        for process in (f"{name}:theirs", f"{name}:made"):
            assert invoked("worker", *there, "--process", process).exit_code == 0

        with an_engine(SqliteStorage("theirs.db"), theirs) as engine:
            assert engine.storage.find(Query(parked=True)).items == ()
            assert engine.order("late").state == "cancelled"


# Those that look at what is there already.
READERS: Final = (
    *(("worker", "--once"), ("verify",), ("export",)),
    *(("stuck",), ("redrive", "good"), ("orders",)),
)

each_reader = pytest.mark.parametrize("command", READERS, ids=lambda words: words[0])


COMMANDS: Final = ("worker", "verify", "export", "import", "stuck", "orders")


class TestStuck:
    """
    `escrowflow stuck` and `escrowflow redrive`.
    """

    def test_nothing(self, folder: Path) -> None:
        """
        As long as all is well nothing is named, and nothing put back.
        """
        invoked("worker", *DB, "--once", "--handlers", f"{shop_of(folder)}:handlers")

        result = invoked("stuck", *DB)

        assert (result.exit_code, result.stdout) == (0, "0 things stuck\n")
        assert json.loads(invoked("stuck", *DB, "--json").stdout) == []
        assert "nothing is stuck in order 'good'" in one_line(
            invoked("redrive", *DB, "good")
        )
        assert "'nobody'" in one_line(invoked("redrive", *DB, "nobody"))

    def test_there_and_back(self, folder: Path) -> None:
        """
        What a handler refused is named with the reason, by the status too; once it is
        put back, workers try it at once.
        """
        shop = shop_of(folder)
        invoked("worker", *DB, "--once", "--handlers", f"{shop}:refusing")

        result = invoked("stuck", *DB)

        assert result.exit_code == 1
        *lines, last = result.stdout.splitlines()
        assert last == f"{len(lines)} things stuck"
        told = json.loads(invoked("stuck", *DB, "--json").stdout)
        keys = {one["kind"]: one["key"] for one in told if one["order_id"] == "late"}
        line = next(line for line in lines if line.startswith("late refund"))
        assert line.startswith(f"late refund {keys['refund']}: closed (since 20")
        assert len(told) == len(lines)
        (first,) = json.loads(invoked("stuck", *DB, "--json", "--limit", "1").stdout)
        assert first == told[0]

        one = invoked("redrive", *DB, "late", keys["refund"])
        again = invoked("redrive", *DB, "late", keys["refund"])
        whole = invoked("redrive", *DB, "good")

        assert (one.exit_code, one.stdout) == (0, "1 thing put back\n")
        assert keys["refund"] in one_line(again)
        of_good = sum(one["order_id"] == "good" for one in told)
        assert whole.stdout.startswith(f"{of_good} thing")
        work = invoked("worker", *DB, "--once", "--handlers", f"{shop}:handlers")
        assert f"refund late {keys['refund']}" in work.stdout.splitlines()
        rest = json.loads(invoked("stuck", *DB, "--json").stdout)
        assert {one["order_id"] for one in rest} == {"late"}
        assert "refund" not in {one["kind"] for one in rest}

    def test_what_is_being_carried_out(self, folder: Path) -> None:
        """
        Within the lease of the workers nothing of theirs is stuck, or put back under
        their hands; a lease that is too short for it is taken for a wrong clock.
        """
        told: list[tuple[bool, int]] = []

        def slow(effect: Refund) -> Done:
            for lease in ("7200", "60"):
                named = invoked("stuck", *DB, "--lease", lease, "--json").stdout
                is_named = effect.key in {one["key"] for one in json.loads(named)}
                put = invoked("redrive", *DB, "--lease", lease, "late", effect.key)
                told.append((is_named, put.exit_code))
            return Done()

        retries = Retries(lease=timedelta(hours=2))
        with Engine(COMEUP, SqliteStorage("orders.db"), retries=retries) as engine:
            engine.run_due()
            engine.run_effects({Refund: slow}, kinds=["refund"], limit=1)

        assert told == [(False, 1), (True, 0)]


class TestOrders:
    """
    `escrowflow orders`.
    """

    def test_all(self, folder: Path) -> None:
        """
        Each is one line: what it is by now, whose it is, and its price.
        """
        result = invoked("orders", *DB)

        assert result.exit_code == 0
        good, late, last = result.stdout.splitlines()
        assert good.startswith("good completed: buyer ana, seller luc, 100.00 EUR")
        # What is due is told, and not written.
        assert late.startswith("late cancelled: buyer ana")
        assert last == "2 orders"
        assert json.loads(invoked("export", *DB).stdout.splitlines()[1])["due_at"]

    def test_some(self, folder: Path) -> None:
        """
        Those of one person, in one state, behind another one.
        """
        states = invoked("orders", *DB, "--state", "completed", "--json")
        (found,) = json.loads(states.stdout)
        assert found["id"] == "good"
        assert invoked("orders", *DB, "--party", "eve").stdout == "0 orders\n"
        both = invoked("orders", *DB, "--party", "ana", "--role", "buyer")
        assert both.stdout.endswith("2 orders\n")
        first = invoked("orders", *DB, "--limit", "1")
        place = first.stderr.removeprefix("there are more: --after ").strip()
        second = invoked("orders", *DB, "--limit", "1", "--after", place)
        assert second.stdout.startswith("late ")
        assert second.stderr == ""
        assert invoked("orders", *DB, "--unassigned").stdout == "0 orders\n"
        assert "one of" in one_line(invoked("orders", *DB, "--state", "lost"))

    def test_damaged(self, folder: Path) -> None:
        """
        One that cannot be read does not hide the others.
        """
        with sqlite3.connect("orders.db") as raw:
            raw.execute(
                "UPDATE escrowflow_order SET snapshot = ? WHERE order_id = 'good'",
                (b"{}",),
            )
        raw.close()

        result = invoked("orders", *DB)

        assert result.exit_code == 1
        assert result.stdout.startswith("late ")
        assert "order 'good' cannot be read" in result.stderr


class TestMistakes:
    """
    A mistake in the call is one clear line, and no traceback.
    """

    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("orders.db", "write 'sqlite:///orders.db'"),
            ("teleport://here", "no storage for 'teleport'"),
            ("sqlite://host/orders.db", "sqlite:///orders.db"),
            ("sqlite:///notes.db", "notes.db"),
            ("sqlite:///no/such/folder/orders.db", "orders.db"),
        ],
    )
    def test_no_such_storage(
        self, folder: Path, command: str, url: str, words: str
    ) -> None:
        """
        A storage that cannot be opened is named.
        """
        (folder / "notes.db").write_text("these are notes, and many of them " * 99)
        line = invoked("export", *DB).stdout

        result = invoked(command, "--db", url, input=line)

        assert words in one_line(result)

    @each_reader
    def test_a_file_that_is_not_there(
        self, folder: Path, command: tuple[str, ...]
    ) -> None:
        """
        Nothing is proven, saved or done by looking at a file that is not there; it is
        not made, either.
        """
        result = invoked(*command, "--db", "sqlite:///typo.db")

        assert "typo.db" in one_line(result)
        assert not (folder / "typo.db").exists()

    @each_reader
    def test_a_file_of_somebody_else(
        self, folder: Path, command: tuple[str, ...]
    ) -> None:
        """
        A database without orders is another one than was meant: it is left as it
        is, and not reported as all well.  The same goes for an empty file.
        """
        with closing(sqlite3.connect("theirs.db")) as theirs:
            theirs.execute("CREATE TABLE auth_user (id)")
        (folder / "empty.db").touch()

        for name in ("theirs.db", "empty.db"):
            before = (folder / name).read_bytes()
            result = invoked(*command, "--db", f"sqlite:///{name}")

            assert "no orders are kept in this database" in one_line(result)
            assert (folder / name).read_bytes() == before

    def test_an_empty_database(self, fresh: str) -> None:
        """
        An empty PostgreSQL database stays empty.
        """
        url = "postgresql:///?" + urlencode(conninfo_to_dict(fresh))

        for command in READERS:
            result = invoked(*command, "--db", url)
            assert "no orders are kept in this database" in one_line(result)

        with psycopg.connect(fresh) as raw:
            ours = "SELECT FROM pg_class WHERE relname LIKE 'escrowflow%'"
            assert raw.execute(ours).fetchall() == []

    @each_reader
    def test_a_storage_in_memory(self, command: tuple[str, ...]) -> None:
        """
        Nothing is ever there in memory.
        """
        assert "always made anew" in one_line(invoked(*command, "--db", "memory://"))

    def test_a_storage_of_the_environment(self) -> None:
        """
        A password on a command line could be read by everybody on the machine.
        """
        there = {"ESCROWFLOW_URL": "sqlite:///typo.db"}

        assert one_line(invoked("verify", env=there)).endswith("typo.db")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_without_a_storage(self, command: str) -> None:
        """
        Which storage has to be said.
        """
        result = invoked(command)

        assert result.exit_code == 2
        assert "--db" in result.stderr

    @pytest.mark.parametrize(
        "name",
        [
            *("nonsense", "", ":", ":theirs", "SHOP:", ".SHOP:theirs", "SHOP.:theirs"),
            *("no_such_module:theirs", "SHOP:no_such_name", "SHOP:number"),
            *("SHOP:wrong", "SHOP:handlers", "SHOP.theirs", "os:sep", "json:loads"),
        ],
    )
    def test_no_such_process(self, folder: Path, name: str) -> None:
        """
        A process that cannot be found, or is none, is named.
        """
        name = name.replace("SHOP", shop_of(folder))

        result = invoked("verify", *DB, "--process", name)

        assert name in one_line(result)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("nonsense", "module:attribute"),
            ("no_such_module:handlers", "run it where no_such_module lies"),
            ("SHOP:no_such_name", "no_such_name"),
            ("SHOP:number", "handlers"),
            ("SHOP:some", "nothing carries out notify, pay_out"),
            ("SHOP:coroutines", "so the command line, takes plain functions"),
        ],
    )
    def test_no_such_handlers(self, folder: Path, name: str, words: str) -> None:
        """
        Handlers that cannot be found, or do not do, are named before anything is
        carried out.
        """
        name = name.replace("SHOP", shop_of(folder))

        result = invoked("worker", *DB, "--once", "--handlers", name)

        assert words in one_line(result)
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            assert engine.order("late").version == 3

    @pytest.mark.parametrize("source", ["def (:", "1 / 0"])
    def test_a_module_that_fails(self, folder: Path, source: str) -> None:
        """
        A mistake in a host's own module is one line, too.
        """
        name = f"{shop_of(folder)}_{len(source)}"
        (folder / f"{name}.py").write_text(source)

        result = invoked("verify", *DB, "--process", f"{name}:x")

        assert f"{name}:x" in one_line(result)

    @pytest.mark.parametrize(
        ("kinds", "status", "words"),
        [
            ("teleport", 1, "teleport"),
            ("refund,,notify", 2, "--kinds"),
            ("", 2, "--kinds"),
        ],
    )
    def test_bad_kinds(self, folder: Path, kinds: str, status: int, words: str) -> None:
        """
        Kinds that nobody carries out, or that are none, are named.
        """
        handlers = ("--handlers", f"{shop_of(folder)}:handlers")

        result = invoked("worker", *DB, "--once", *handlers, "--kinds", kinds)

        assert result.exit_code == status
        assert words in result.stderr

    def test_kinds_without_handlers(self, folder: Path) -> None:
        """
        Who names kinds says who carries them out.
        """
        assert "handlers" in one_line(invoked("worker", *DB, "--kinds", "refund"))

    @pytest.mark.parametrize("option", ["--poll", "--lease"])
    @pytest.mark.parametrize("seconds", ["0", "-1", "soon", "inf", "nan", "1e9"])
    def test_a_bad_wait(self, folder: Path, option: str, seconds: str) -> None:
        """
        A wait is longer than nothing.
        """
        result = invoked("worker", *DB, option, seconds)

        assert result.exit_code == 2
        assert option in result.stderr

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help(self, command: str) -> None:
        """
        Each command says in a sentence what it does.
        """
        result = invoked(command, "--help")

        assert result.exit_code == 0
        assert "--db" in result.output
        assert "may be repeated" in " ".join(result.output.split())
        assert command in invoked("--help").output

    def test_what_there_is(self) -> None:
        """
        No line of the list of commands breaks off.
        """
        result = invoked("--help")

        assert "  worker " in result.output
        assert "..." not in result.output.partition("Commands:")[2]


class TestProcess:
    """
    A worker as a process of its own.
    """

    @pytest.fixture
    def worker(self, folder: Path) -> Iterator[subprocess.Popen[str]]:
        """
        A worker that waits for an hour where there is nothing to do.
        """
        words = [sys.executable, "-W", "error", "-m", "escrowflow", "worker", *DB]
        words += ["--handlers", f"{shop_of(folder)}:handlers", "--poll", "3600"]
        with subprocess.Popen(
            words,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            yield process
            process.kill()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_until_it_is_told_to_stop(
        self, worker: subprocess.Popen[str], folder: Path, number: signal.Signals
    ) -> None:
        """
        It settles what is due, carries out what is asked for, and ends with status
        0 when it is told to; what it has not begun is left to others at once.
        """
        with an_engine(SqliteStorage("orders.db"), clock=FakeClock(LONG_AGO)) as engine:
            expected = {"refund late", "pay_out good"}
            seen: set[str] = set()
            while expected - seen:
                seen.add(read(worker.stdout).rpartition(" ")[0])

            worker.send_signal(number)
            _, log = worker.communicate(timeout=60)

            assert worker.returncode == 0
            assert "Traceback" not in log
            assert "orders settled: 2" in log
            assert log.startswith("working; SIGTERM or Ctrl-C ends it\n")
            assert engine.order("late").state == "cancelled"
            statuses = [*engine.effects("late"), *engine.effects("good")]
            assert "claimed" not in {one.status for one in statuses}
            money = {one.status for one in statuses if one.effect.moves_money}
            assert money == {"done"}
        # What it asked for waits from today on: nothing of it is stuck today.
        with Engine(COMEUP, SqliteStorage("orders.db"), clock=SystemClock()) as today:
            assert today.stuck() == ()
            assert today.verify().faults == ()

    def test_a_host_writes_meanwhile(
        self, worker: subprocess.Popen[str], folder: Path
    ) -> None:
        """
        A worker and the host's own process share one file.
        """
        with Engine(COMEUP, SqliteStorage("orders.db"), clock=SystemClock()) as engine:
            read(worker.stdout)
            for number in range(10):
                engine.place(an_order(), by=ANA, order_id=f"new{number}")
                engine.execute(f"new{number}", c.AcceptOrder(), by=LUC)

            worker.terminate()
            worker.communicate(timeout=60)

            assert worker.returncode == 0
            assert engine.verify().faults == ()
            states = {engine.order(f"new{n}").state for n in range(10)}
            assert states == {"in_progress"}

    def test_killed(self, worker: subprocess.Popen[str], folder: Path) -> None:
        """
        A worker that is killed leaves nothing that another one cannot finish.
        """
        read(worker.stdout)
        worker.kill()
        worker.communicate(timeout=60)
        clock = FakeClock(SystemClock().now().add(minutes=2))
        handlers = {Refund: nothing, PayOut: nothing, Notify: nothing}

        with an_engine(SqliteStorage("orders.db"), clock=clock) as engine:
            engine.run_due()
            engine.run_effects(handlers)
            statuses = [*engine.effects("late"), *engine.effects("good")]
            assert {one.status for one in statuses} == {"done", "lapsed"}
            assert engine.verify().faults == ()


def nothing(_: Effect) -> None:
    """
    Carry an effect out.
    """


def read(stream: IO[str] | None) -> str:
    """
    Wait for the next line of a process.
    """
    assert stream is not None
    line = stream.readline()
    assert line.endswith("\n"), "the process has ended"
    return line.rstrip("\n")


class TestReconcile:
    """
    `escrowflow reconcile`.
    """

    PAID: Final = (
        "kind,reference,order_id,amount,currency,at,status\n"
        f"payment,pi_1,late,100.00,EUR,{LONG_AGO},paid\n"
    )

    def test_agrees(self, folder: Path) -> None:
        """
        A report that says what the books say ends well; as does one from a pipe.
        """
        filled_once = engine_of(folder)
        report = self.PAID
        (folder / "report.csv").write_text(report)

        done = invoked("reconcile", "--db", filled_once, "report.csv")
        piped = invoked("reconcile", "--db", filled_once, input=report)

        assert (done.exit_code, piped.exit_code) == (0, 0), done.output
        assert done.output == piped.output == "0 differences, 0 in transit\n"

    def test_differs(self, folder: Path) -> None:
        """
        What differs is named, in either language, and the exit status says so.
        """
        report = self.PAID.replace("100.00", "90.00")

        done = invoked("reconcile", "--db", engine_of(folder), input=report)
        french = invoked(
            *("reconcile", "--lang", "fr", "--db", engine_of(folder)), input=report
        )

        assert done.exit_code == french.exit_code == 1
        assert "amount_differs late: Payment pi_1: 90.00 EUR on" in done.output
        assert done.output.endswith("\n1 difference, 0 in transit\n")
        assert "Paiement pi_1\xa0: 90,00\xa0EUR d’après" in french.output
        assert french.output.endswith("\n1 écart, 0 en transit\n")

    def test_period(self, folder: Path) -> None:
        """
        Only what was moved in the period has to be on the report.
        """
        words = ("reconcile", "--db", engine_of(folder), "--since", "2021-01-01T00:00Z")

        assert invoked(*words, input="kind\n").exit_code == 0
        assert invoked(*words[:3], "--no-payouts", input="kind\n").exit_code == 1

    def test_methods(self, folder: Path) -> None:
        """
        Only payments by these methods have to be on the report; by one that no order
        was ever paid by, nothing was looked for, and that is no good end.
        """
        words = ("reconcile", "--db", engine_of(folder), "--methods")

        assert invoked(*words, "card", input=self.PAID).exit_code == 0
        assert "missing_at_gateway" in invoked(*words, "card", input="kind\n").output
        typed = invoked(*words, "card,crad", input=self.PAID)
        assert typed.stdout == "0 differences, 0 in transit\n"
        assert one_line(typed) == (
            "--methods: no order was ever paid by crad; the methods there are: card"
        )
        empty = invoked(*words, "card,", input=self.PAID)
        assert empty.exit_code == 2
        assert "methods of payment between commas, such as card,paypal" in empty.stderr

    @pytest.mark.parametrize("option", ["--since", "--until"])
    def test_instants(self, folder: Path, option: str) -> None:
        """
        How an instant is written stands in the help, and in what is said of another.
        """
        words = ("reconcile", "--db", engine_of(folder), option)

        assert "2026-05-01T00:00Z" in invoked("reconcile", "--help").output
        for wrong in ("yesterday", "2026-05-01"):
            said = one_line(invoked(*words, wrong, input=self.PAID))
            assert said.startswith(f"{option[2:]}: ")
            assert "+02:00" in said

    @pytest.mark.parametrize(
        ("report", "says"),
        [
            ("kind,amount\npayment,1,2,3\n", "report[2].more"),
            ("kind,amount,currency\npayment,1e5,EUR\n", "report[2].amount"),
            ("colour\nred\n", "colour"),
            ('kind\n"pay', "unexpected end of data"),
            ("", "it is empty: its first row names the columns, such as kind,"),
            (PAID.replace(",", ";"), "separated by semicolons: save it with commas"),
            (PAID.replace(",", "\t"), "separated by tabs: save it with commas"),
            (PAID.replace("pi_1", "pi_é").encode("latin-1"), "a byte 0xE9 in it"),
            (PAID.encode("utf-16"), "no UTF-8 text: there is a byte 0xFF in it"),
        ],
    )
    def test_wrong(self, folder: Path, report: str | bytes, says: str) -> None:
        """
        What is no report is refused, in one line; it is said where, and why.
        """
        done = invoked("reconcile", "--db", engine_of(folder), input=report)

        assert says in one_line(done)
        assert done.stdout == ""


def engine_of(folder: Path) -> str:
    """
    Return the address of a database with one order, paid long ago.
    """
    path = folder / "one.db"
    if not path.exists():
        engine = an_engine(SqliteStorage(str(path)), COMEUP, FakeClock(LONG_AGO))
        brought_to(engine, "pending", "late")
        engine.close()
    return f"sqlite:///{path}"


class TestTerms:
    """
    `escrowflow terms`.
    """

    @pytest.mark.parametrize("lang", ["en", "fr"])
    def test_every_rule_once(self, lang: str) -> None:
        """
        Chapter by chapter, each rule on a line.
        """
        result = invoked("terms", "comeup", "--lang", lang)

        assert (result.exit_code, result.stderr) == (0, "")
        lines = []
        for number, chapter in enumerate(rulebook(COMEUP), 1):
            lines.append(f"{number}. {chapter.title(lang)}")
            lines += [f"   - {clause.text(lang)}" for clause in chapter.clauses]
        assert result.stdout_bytes.decode().splitlines() == lines

    def test_a_process_of_ones_own(self, folder: Path) -> None:
        """
        A process of a host has rules, too.
        """
        result = invoked("terms", f"{shop_of(folder)}:theirs")

        assert result.exit_code == 0
        assert "1. Payment" in result.stdout

    def test_no_such_process(self) -> None:
        """
        What there is is named.
        """
        result = invoked("terms", "etsy")

        assert result.exit_code == 1
        assert "comeup, vendor_consolidation, recommended" in result.stderr


class TestCheck:
    """
    `escrowflow check`.
    """

    def test_a_trap(self) -> None:
        """
        What is wrong is told with its story, and the exit status says so.
        """
        result = invoked("check", "comeup", "--lang", "fr")

        assert (result.exit_code, result.stderr) == (1, "")
        assert "Piège pour le rôle vendeur" in result.stdout
        assert "Commande annulée" in result.stdout

    def test_for_programs(self) -> None:
        """
        As JSON, the same.
        """
        result = invoked(
            "check", "vendor_consolidation", "--json", "--against", "comeup"
        )
        told = json.loads(result.stdout_bytes)

        assert (result.exit_code, told["sound"]) == (1, False)
        assert told["findings"][0]["code"] == "trap"
        lost = {
            one["where"]: (one["severity"], one["params"]["commands"])
            for one in told["findings"]
            if one["code"] == "way_lost"
        }
        # Its page knows no approval: a review completes the order.
        assert lost["buyer in delivered"] == ("note", ["approve_delivery"])

    def test_a_process_of_ones_own(self, folder: Path) -> None:
        """
        One whose weaknesses are declared is sound.
        """
        result = invoked("check", f"{shop_of(folder)}:safe", "--stories")

        assert (result.exit_code, result.stderr) == (0, "")
        assert "Nothing was found that is not declared." in result.stdout
        assert "Order placed" in result.stdout

    def test_no_such_process(self) -> None:
        """
        What there is is named.
        """
        result = invoked("check", "nothing")

        assert result.exit_code == 1
        assert "no process 'nothing'" in result.stderr


class TestGraph:
    """
    `escrowflow graph`.
    """

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (("comeup",), diagram(COMEUP)),
            (("comeup", "--format", "dot"), diagram(COMEUP, "dot")),
            (("comeup", "--lang", "fr"), diagram(COMEUP, locale="fr")),
            (("vendor_consolidation",), diagram(vendor_consolidation())),
        ],
    )
    def test_built_in(self, words: tuple[str, ...], text: str) -> None:
        """
        It writes the text of the picture, and nothing else.
        """
        result = invoked("graph", *words)

        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout_bytes == text.encode()

    @pytest.mark.parametrize("name", ["theirs", "made"])
    def test_a_process_of_ones_own(self, folder: Path, name: str) -> None:
        """
        A process, or what makes one, is named as it is imported.
        """
        result = invoked("graph", f"{shop_of(folder)}:{name}")

        assert result.exit_code == 0
        assert "accTitle: theirs" in result.stdout

    def test_the_way_of_an_order(self, folder: Path) -> None:
        """
        With an order its way is drawn, from its history.
        """
        result = invoked("graph", "comeup", "--order", "good", *DB)

        assert (result.exit_code, result.stderr) == (0, "")
        with an_engine(SqliteStorage("orders.db")) as engine:
            path = engine.history("good")
        assert result.stdout == diagram(COMEUP, path=path)
        assert "5. B Order completed" in result.stdout

    def test_the_way_of_an_order_of_ones_own(self, folder: Path) -> None:
        """
        The process that is drawn is known when the order is read.
        """
        theirs = COMEUP.extend(name="theirs")
        with filled(folder / "theirs.db", theirs):
            pass

        result = invoked(
            "graph",
            f"{shop_of(folder)}:theirs",
            *("--order", "good", "--db", "sqlite:///theirs.db"),
        )

        assert result.exit_code == 0
        assert "5. B Order completed" in result.stdout

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (
                ("nothing",),
                "no process 'nothing': comeup, vendor_consolidation, recommended, or one "
                "of yours as module:attribute",
            ),
            (
                ("vendor_consolidation", "--order", "good", *DB),
                "path: the history of an order of vendor_consolidation, not of comeup, "
                "from its beginning",
            ),
            (("comeup", "--order", "bad", *DB), "no order 'bad'"),
            (
                ("comeup", "--order", "good", "--db", "sqlite:///nowhere.db"),
                "there is no file",
            ),
        ],
    )
    def test_mistakes(self, folder: Path, words: tuple[str, ...], says: str) -> None:
        """
        What cannot be drawn is one clear line.
        """
        assert says in one_line(invoked("graph", *words))

    @pytest.mark.parametrize("words", [("--order", "good"), DB])
    def test_one_without_the_other(self, words: tuple[str, ...]) -> None:
        """
        An order is in a database, and a database has more than one.
        """
        result = invoked("graph", "comeup", *words)

        assert result.exit_code == 2
        assert "--order and --db go together" in result.output

    def test_help(self) -> None:
        """
        It says in a sentence what it does.
        """
        assert "as text" in invoked("graph", "--help").output
        assert "graph" in invoked("--help").output
