"""
The log: every line has a code, and its parts as fields; and no words of people.
"""

from __future__ import annotations

import ast
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

import escrowflow
from escrowflow import commands as c
from escrowflow.effects import Done, Effect, NotDone, Notify, PayOut, Publish, Refund
from escrowflow.engine import Retries
from escrowflow.logs import FIELDS, LINES, told
from escrowflow.worker import Worker
from tests.given import COMEUP, OPS, an_engine, brought_to, terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from escrowflow.clock import FakeClock
    from escrowflow.storage import Storage

ROOT: Final = Path(escrowflow.__file__).parent
PAGE: Final = ROOT.parent.parent / "docs" / "how-to" / "logs.md"
CANARY: Final = "zzcanaryzz"

# What `_named` returns, in place of which its lines are written.
NAMED: Final = ("effect", "effect_key", "order_id")


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """
    Yield every call by which the library tells the log something.
    """
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("_LOG", "logging", "logger", "log")
                and node.func.attr
                in ("debug", "info", "warning", "error", "exception", "critical", "log")
            ):
                yield path, node


def extra_of(call: ast.Call) -> tuple[str, set[str]]:
    """
    Return the code that a call tells, and the names of its fields.
    """
    (extra,) = (word.value for word in call.keywords if word.arg == "extra")
    assert isinstance(extra, ast.Call)
    assert isinstance(extra.func, ast.Name)
    assert extra.func.id == "told"
    (code,) = (ast.literal_eval(one) for one in extra.args)
    fields: set[str] = set()
    for word in extra.keywords:
        fields |= set(NAMED) if word.arg is None else {word.arg}
    return code, fields


class TestLines:
    """
    What is said of them in `LINES` is what they are.
    """

    def test_every_line_has_its_code_and_fields(self) -> None:
        """
        No call goes without, and no code stands for two lines.
        """
        found = [extra_of(call) for _, call in calls()]

        assert Counter(code for code, _ in found) == Counter(list(LINES))
        for code, fields in found:
            # Of a wallet the effect is named by that.
            named = {f.replace("wallet_id", "order_id") for f in LINES[code]}
            assert {f.replace("wallet_id", "order_id") for f in fields} == named

    def test_every_line_is_a_sentence_of_ours(self) -> None:
        """
        It is a text that stands in the source: what comes from elsewhere is a part.
        """
        for path, call in calls():
            assert isinstance(call.args[0], ast.Constant), path

    def test_no_field_is_in_the_way_of_another(self) -> None:
        """
        `logging` refuses names of its own, and formatters have some, too.
        """
        record = logging.makeLogRecord({})
        theirs = {*vars(record), "message", "asctime", "taskName"}
        theirs |= {"event", "level", "logger", "timestamp", "exception", "stack"}

        assert not theirs & set(FIELDS)
        assert FIELDS[0] == "code"
        assert told("order_parked", order_id="o1") == {
            "code": "order_parked",
            "order_id": "o1",
        }

    def test_the_page_has_all_of_them(self) -> None:
        """
        Whoever sets an alarm on a code finds it.
        """
        page = PAGE.read_text("utf-8")
        rows = [row for row in page.splitlines() if row.startswith("| `")]

        for code, fields in LINES.items():
            (row,) = (row for row in rows if row.startswith(f"| `{code}` |"))
            assert all(f"`{field}`" in row for field in fields), row


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    return {name: vars(record)[name] for name in FIELDS if name in vars(record)}


@attrs.define
class Heard:
    """
    What the log was told.
    """

    records: list[logging.LogRecord]

    def of(self, code: str) -> dict[str, Any]:
        """
        Return the fields of the last line with a code.
        """
        return [
            fields_of(one) for one in self.records if fields_of(one)["code"] == code
        ][-1]


class TestRecords:
    """
    What a handler of logs gets.
    """

    def test_a_worker_that_has_trouble(
        self, storage: Storage, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Orders, effects and counts are fields, and what somebody wrote is in no part of
        any line.
        """
        caplog.set_level(logging.DEBUG)
        theirs = COMEUP.extend(name="theirs")
        brought_to(an_engine(storage, theirs, clock), "pending", "unknown")
        engine = an_engine(storage, clock=clock, retries=Retries(attempts=1))
        words = terms(title=CANARY, text=CANARY)
        brought_to(engine, "revision_refused", "known", terms=words)
        engine.execute("known", c.FreezeOrder(reason=CANARY), by=OPS)
        clock.advance(days=3)

        def breaks(effect: Effect) -> Done:
            raise ValueError(effect.key)

        handlers = dict.fromkeys((Refund, PayOut), lambda _: NotDone(CANARY))
        Worker(engine, {**handlers, Notify: breaks}).run_once()

        heard = Heard(caplog.records)
        assert heard.of("process_missing") == {
            "code": "process_missing",
            "order_id": "unknown",
            "fingerprint": theirs.fingerprint,
        }
        raised = heard.of("handler_raised")
        assert set(raised) == {"code", *LINES["handler_raised"]}
        assert (raised["order_id"], raised["effect"]) == ("known", "notify")
        assert (raised["attempt"], raised["error"]) == (1, "ValueError")
        assert raised["effect_key"] in {
            one.effect.key for one in engine.effects("known")
        }
        assert heard.of("round_done")["parked"] == heard.of("effects_parked")["parked"]
        assert set(heard.of("round_done")) == {"code", *LINES["round_done"]}
        for record in caplog.records:
            told_ = {k: v for k, v in vars(record).items() if not k.startswith("exc_")}
            assert CANARY not in f"{record.getMessage()} {told_}"

    def test_a_handler_that_goes_on_raising(
        self, clock: FakeClock, storage: Storage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The first line says where it was raised, those after it that it was again.
        """
        engine = an_engine(storage, clock=clock)
        brought_to(engine, "pending")

        def breaks(_: Effect) -> Done:
            raise ValueError

        for _ in range(3):
            engine.run_effects({Notify: breaks}, ["notify"], limit=1)
            clock.advance(hours=2)

        raised = [one for one in caplog.records if one.levelname == "WARNING"]
        assert [one.exc_info is not None for one in raised] == [True, False, False]

    def test_a_late_result(
        self, clock: FakeClock, storage: Storage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It is named by order, effect and key.
        """
        engine = an_engine(storage, clock=clock)
        brought_to(engine, "pending")

        def slow(_: Effect) -> Done:
            clock.advance(minutes=2)
            engine.run_effects({Notify: lambda _: None}, ["notify"])
            return Done()

        engine.run_effects({Notify: slow}, ["notify"])

        (record,) = caplog.records
        assert fields_of(record) == {
            "code": "result_late",
            "order_id": "o1",
            "effect": "notify",
            "effect_key": engine.effects("o1")[0].effect.key,
            "attempt": 1,
        }
        assert Publish not in {type(one.effect) for one in engine.effects("o1")}
