"""
The journal as evidence: it is proved, taken elsewhere, and texts are erased from it.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.effects import Notify, PayOut, Refund
from escrowflow.engine import Engine, Fault
from escrowflow.engine.core import summary
from escrowflow.errors import (
    CorruptJournalError,
    InvalidInputError,
    KeyReusedError,
    OrderExistsError,
    OrderNotFoundError,
    OrdersRunningError,
)
from escrowflow.processes import comeup
from escrowflow.storage import Change, CommitResult, open_storage
from escrowflow.storage.chain import first_broken
from escrowflow.storage.codec import commitment, content_hash
from escrowflow.terms import PaySeller
from tests.given import (
    ANA,
    LUC,
    MIA,
    OPS,
    T0,
    WAY,
    a_storage,
    an_engine,
    an_order,
    brought_to,
    terms,
)
from tests.test_states import pausing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from escrowflow.storage import Storage

# Words that stand nowhere else.
CANARY: Final = "zorgblatt-3141-ananas"


def damage(engine: Engine, order_id: str) -> None:
    """
    Make the snapshot of an order unreadable, behind the engine's back.
    """
    order = engine.order(order_id)
    loaded = engine.storage.load(order_id)
    change = Change(
        **summary(order, order),
        expected_version=loaded.version,
        snapshot=b"{}",
        due_at=loaded.due_at,
    )
    assert tuple(engine.storage.commit((change,))) == (CommitResult.DONE,)


def filled(storage: Storage) -> Engine:
    """
    Return an engine with an order in each state, some of them with keys and texts.
    """
    clock = FakeClock(T0)
    engine = an_engine(storage, clock=clock)
    for state in ("awaiting_payment", *WAY):
        brought_to(engine, state, state)
    engine.place(an_order(terms=terms(text=CANARY)), by=ANA, key="k", order_id="keyed")
    engine.execute("keyed", c.RefuseOrder(reason=CANARY), by=LUC, key="k")
    clock.advance(days=3)
    engine.run_due()
    return engine


class TestVerify:
    """
    What was changed behind the storage's back shows (I14, I15, I33).
    """

    def test_all_is_well(self, storage: Storage) -> None:
        """
        What nobody touched is proved, and counted.
        """
        engine = filled(storage)

        verified = engine.verify()

        assert verified.faults == ()
        assert verified.orders == len(WAY) + 2
        assert verified.events == sum(
            engine.order(order_id).version
            for order_id in ("awaiting_payment", "keyed", *WAY)
        ) - sum(
            # What is due by now is not written yet.
            engine.order(order_id).version - storage.load(order_id).version
            for order_id in ("awaiting_payment", "keyed", *WAY)
        )

    def test_one_order(self, storage: Storage) -> None:
        """
        One order may be proved alone; one that is not there proves nothing.
        """
        engine = filled(storage)

        assert engine.verify("keyed").orders == 1
        with pytest.raises(OrderNotFoundError) as caught:
            engine.verify("nobody")
        assert caught.value.order_id == "nobody"

    def test_erased_texts_are_no_fault(self, storage: Storage) -> None:
        """
        The chain holds after the words are gone (I32).
        """
        engine = an_engine(storage)
        engine.place(an_order(terms=terms(text=CANARY)), by=ANA, order_id="o1")
        engine.execute("o1", c.RefuseOrder(reason=CANARY), by=LUC)
        assert engine.erase("ana") + engine.erase("luc") == 2

        assert engine.verify().faults == ()

    def test_lacking_process_is_no_fault(self, storage: Storage) -> None:
        """
        A history proves itself without the rules of its day.
        """
        filled(storage)
        other = comeup().with_policies(extras={"offer_window": "P8D"})

        assert an_engine(storage, other).verify().faults == ()

    def test_hash_is_as_documented(self, storage: Storage) -> None:
        """
        Anybody can compute it: SHA-256 of the hash before, the fields, the body.
        """
        engine = an_engine(storage)
        brought_to(engine, "delivered")

        head = b""
        for event in storage.events("o1"):
            fields = [
                *("o1", str(event.seq), event.name, str(event.effective_at)),
                *(str(event.recorded_at), str(int(event.settles)), ""),
            ]
            text = "\x1f".join(fields).encode()
            head = hashlib.sha256(head + text + event.body).digest()
            assert event.hash == head
        assert storage.load("o1").head == head
        assert first_broken("o1", storage.events("o1")) is None
        assert first_broken("o2", storage.events("o1")) == 1


# What a person with the file and a free hand could do; each is found.
TAMPERED: Final[dict[str, tuple[str, int | None]]] = {
    "body": (
        "UPDATE escrowflow_event SET body = CAST(replace(CAST(body AS TEXT),"
        " '\"by\":', '\"by\" :') AS BLOB) WHERE order_id = 'completed' AND seq = 3",
        3,
    ),
    "name": (
        "UPDATE escrowflow_event SET name = 'order_marked_late'"
        " WHERE order_id = 'completed' AND seq = 3",
        3,
    ),
    "effective_at": (
        "UPDATE escrowflow_event SET effective_at = effective_at + 1"
        " WHERE order_id = 'completed' AND seq = 3",
        3,
    ),
    "recorded_at": (
        "UPDATE escrowflow_event SET recorded_at = recorded_at + 1"
        " WHERE order_id = 'completed' AND seq = 3",
        3,
    ),
    "settles": (
        "UPDATE escrowflow_event SET settles = 0"
        " WHERE order_id = 'completed' AND settles = 1",
        7,
    ),
    "hash": (
        "UPDATE escrowflow_event SET hash = zeroblob(32)"
        " WHERE order_id = 'completed' AND seq = 3",
        3,
    ),
    "deleted": (
        "DELETE FROM escrowflow_event WHERE order_id = 'completed' AND seq = 3",
        3,
    ),
    "cut": (
        "DELETE FROM escrowflow_event WHERE order_id = 'completed' AND seq ="
        " (SELECT max(seq) FROM escrowflow_event WHERE order_id = 'completed')",
        7,
    ),
    "moved": (
        "UPDATE escrowflow_event SET body = (SELECT body FROM escrowflow_event"
        " WHERE order_id = 'delivered' AND seq = 3)"
        " WHERE order_id = 'completed' AND seq = 4",
        4,
    ),
    "head": (
        "UPDATE escrowflow_order SET head = zeroblob(32) WHERE order_id = 'completed'",
        7,
    ),
    "version": (
        "UPDATE escrowflow_order SET version = version + 1"
        " WHERE order_id = 'completed'",
        8,
    ),
    "snapshot": (
        "UPDATE escrowflow_order SET snapshot = (SELECT snapshot FROM escrowflow_order"
        " WHERE order_id = 'delivered') WHERE order_id = 'completed'",
        None,
    ),
    "due_at": (
        "UPDATE escrowflow_order SET due_at = due_at + 1 WHERE order_id = 'completed'",
        None,
    ),
    "effect": (
        "UPDATE escrowflow_effect SET body = CAST(replace(CAST(body AS TEXT), '10000',"
        " '90000') AS BLOB) WHERE order_id = 'completed' AND kind = 'pay_out'",
        7,
    ),
    "effect gone": (
        "DELETE FROM escrowflow_effect WHERE order_id = 'completed'"
        " AND kind = 'pay_out'",
        None,
    ),
    "effect more": (
        "INSERT INTO escrowflow_effect SELECT order_id, 'x', seq, place, kind,"
        " moves_money, status, attempts, token, ready_at, body, result"
        " FROM escrowflow_effect WHERE order_id = 'completed' AND kind = 'pay_out'",
        None,
    ),
    "effect that moves nothing": (
        "UPDATE escrowflow_effect SET moves_money = 0 WHERE order_id = 'completed'"
        " AND kind = 'pay_out'",
        7,
    ),
    "result": (
        "UPDATE escrowflow_effect SET result = x'7b' WHERE order_id = 'completed'"
        " AND kind = 'pay_out'",
        7,
    ),
    "result of another shape": (
        'UPDATE escrowflow_effect SET result = CAST(\'{"at":5,"reason":7}\' AS BLOB)'
        " WHERE order_id = 'completed' AND kind = 'pay_out'",
        7,
    ),
    "message of nothing": (
        "INSERT INTO escrowflow_effect SELECT order_id, 'x', seq, place, 'publish',"
        " 0, status, attempts, token, ready_at, CAST('{\"nonsense\":1}' AS BLOB), result"
        " FROM escrowflow_effect WHERE order_id = 'completed' AND kind = 'pay_out'",
        None,
    ),
    "event more": (
        "INSERT INTO escrowflow_event SELECT order_id, seq + 1, name, effective_at,"
        " recorded_at, 0, body, hash FROM escrowflow_event"
        " WHERE order_id = 'completed' AND seq = 7",
        8,
    ),
    "event far behind the end": (
        "INSERT INTO escrowflow_event SELECT order_id, seq + 9, name, effective_at,"
        " recorded_at, 0, body, hash FROM escrowflow_event"
        " WHERE order_id = 'completed' AND seq = 7",
        8,
    ),
    "books": (
        "UPDATE escrowflow_order SET paid_in = 1, held = 1, released = 0, kept = 0"
        " WHERE order_id = 'completed'",
        None,
    ),
    **{
        column: (
            f"UPDATE escrowflow_order SET {column} = {value}"
            " WHERE order_id = 'completed'",
            None,
        )
        for column, value in {
            "process": "'other'",
            "fingerprint": "'other'",
            "state": "'delivered'",
            "late": "1",
            "currency": "'JPY'",
            "price_minor": "price_minor + 1",
            "unassigned": "1",
        }.items()
    },
    "parties gone": (
        "DELETE FROM escrowflow_party WHERE order_id = 'completed'",
        None,
    ),
    "party more": (
        "INSERT INTO escrowflow_party VALUES ('completed', 'buyer', 'eve')",
        None,
    ),
    "somebody else's text": (
        "UPDATE escrowflow_text SET subject_id = 'ana' WHERE order_id = 'completed'",
        None,
    ),
    "text": (
        "UPDATE escrowflow_text SET text = text || '!' WHERE order_id = 'completed'",
        None,
    ),
}


class TestTampering:
    """
    A file whose guards were taken off.
    """

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """
        A file with an order in each state.
        """
        with a_storage("sqlite", tmp_path) as storage:
            filled(storage)
        return tmp_path / "orders.db"

    def _tampered(self, path: Path, *statements: str) -> tuple[Fault, ...]:
        raw = sqlite3.connect(path, isolation_level=None)
        guards = [
            sql
            for (sql,) in raw.execute(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger'"
            )
        ]
        for sql in guards:
            raw.execute(f"DROP TRIGGER {sql.split()[2]}")
        for statement in statements:
            assert raw.execute(statement).rowcount > 0, statement
        for sql in guards:
            raw.execute(sql)
        raw.close()
        with open_storage(f"sqlite:///{path}") as storage:
            return an_engine(storage).verify().faults

    @pytest.mark.parametrize("what", TAMPERED)
    def test_is_found(self, path: Path, what: str) -> None:
        """
        The order is named, and the first event that is wrong.
        """
        statement, seq = TAMPERED[what]

        faults = self._tampered(path, statement)

        assert [(fault.order_id, fault.seq) for fault in faults] == [("completed", seq)]
        assert faults[0].problem
        assert str(faults[0]).startswith("order 'completed'")

    def test_a_forged_history(self, path: Path) -> None:
        """
        Who computes all hashes anew is caught by the order that no longer fits.
        """
        with open_storage(f"sqlite:///{path}") as storage:
            events = storage.events("completed")
        statements, head = [], b""
        for event in events:
            told = event.body.replace(b"seller:luc", b"seller:leo")
            fields = f"completed\x1f{event.seq}\x1f{event.name}\x1f{event.effective_at}"
            fields += f"\x1f{event.recorded_at}\x1f{int(event.settles)}\x1f"
            head = hashlib.sha256(head + fields.encode() + told).digest()
            statements.append(
                f"UPDATE escrowflow_event SET body = x'{told.hex()}',"
                f" hash = x'{head.hex()}' WHERE order_id = 'completed'"
                f" AND seq = {event.seq}"
            )

        faults = self._tampered(path, *statements)

        assert [fault.seq for fault in faults] == [len(events)]

    @pytest.mark.parametrize("seed", range(40))
    def test_any_byte_of_a_history(self, path: Path, seed: int) -> None:
        """
        Whatever byte of an event is flipped, it is found.
        """
        chance = random.Random(seed)
        with open_storage(f"sqlite:///{path}") as storage:
            order_id = chance.choice(["keyed", *WAY])
            event = chance.choice(storage.events(order_id))
        column = chance.choice(["body", "hash"])
        value = bytearray(getattr(event, column))
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)

        faults = self._tampered(
            path,
            f"UPDATE escrowflow_event SET {column} = x'{value.hex()}'"
            f" WHERE order_id = '{order_id}' AND seq = {event.seq}",
        )

        assert [(fault.order_id, fault.seq) for fault in faults] == [
            (order_id, event.seq)
        ]


class TestExport:
    """
    Taken elsewhere, an order is what it was, to the hash.
    """

    @pytest.mark.parametrize("target", ["memory", "sqlite"])
    def test_there_and_back(
        self, storage: Storage, target: str, tmp_path: Path
    ) -> None:
        """
        History, effects, receipts and texts arrive; nothing else changes.
        """
        engine = filled(storage)
        lines = [*engine.export()]
        folder = tmp_path / "elsewhere"
        folder.mkdir()

        with a_storage(target, folder) as other:
            there = an_engine(other, clock=engine.clock)  # type: ignore[arg-type]
            assert there.restore(lines) == len(lines) == len(WAY) + 2
            assert [*there.export()] == lines
            assert there.verify() == engine.verify()
            for order_id in ("keyed", "awaiting_payment", *WAY):
                assert other.events(order_id) == storage.events(order_id)
                assert there.order(order_id) == engine.order(order_id)
                assert there.effects(order_id) == engine.effects(order_id)
            again = there.execute(
                "keyed", c.RefuseOrder(reason=CANARY), by=LUC, key="k"
            )
            assert again.replayed
            assert there.next_due_at() == engine.next_due_at()

    def test_again_is_harmless(self, storage: Storage) -> None:
        """
        Orders that are there already are left alone.
        """
        engine = filled(storage)
        lines = [*engine.export()]

        assert engine.restore(lines) == 0
        assert [*engine.export()] == lines

    def test_more_than_a_page(self, storage: Storage) -> None:
        """
        However many there are, each is one line.
        """
        engine = an_engine(storage)
        for number in range(120):
            engine.place(an_order(), by=ANA, order_id=f"o{number:03}")

        lines = [*engine.export()]

        names = [json.loads(line)["order_id"] for line in lines]
        assert names == [f"o{number:03}" for number in range(120)]
        with open_storage("memory://") as other:
            assert an_engine(other).restore([*lines, "\n"]) == 120

    def test_claimed_effects_wait_again(self, storage: Storage) -> None:
        """
        Whoever had claimed one there will not answer here.
        """
        engine = an_engine(storage)
        brought_to(engine, "completed")
        storage.claim_effects(2**51, 2**52, 100)

        with open_storage("memory://") as other:
            there = an_engine(other)
            there.restore(engine.export())
            assert {effect.status for effect in there.effects("o1")} == {"waiting"}

    def test_another_history_is_there(self, storage: Storage) -> None:
        """
        An order is never overwritten by another of the same id.
        """
        engine = an_engine(storage)
        brought_to(engine, "in_progress")
        lines = [*engine.export()]

        with open_storage("memory://") as other:
            there = an_engine(other)
            brought_to(there, "cancelled")
            with pytest.raises(OrderExistsError) as caught:
                there.restore(lines)
            assert caught.value.order_id == "o1"
            assert there.order("o1").state == "cancelled"

    @pytest.mark.parametrize(
        "line",
        ["{}", "rubbish", "[1]", '{"escrowflow": 2}', '{"escrowflow": 1}', "null", "7"],
    )
    def test_no_export(self, storage: Storage, line: str) -> None:
        """
        What was not exported is refused, with its line.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_engine(storage).restore(["", line])

        assert caught.value.field.startswith("lines[2]")

    @pytest.mark.parametrize("change", ["first", "last", "key", "seq", "body"])
    def test_forged_message(self, storage: Storage, change: str) -> None:
        """
        What was told of events is what they say; nothing is told of others.
        """
        engine = an_engine(storage, publish=True)
        brought_to(engine, "completed")
        assert engine.verify().faults == ()
        (line,) = engine.export()
        plain = json.loads(line)
        told = [one for one in plain["effects"] if one["kind"] == "publish"][1]
        body = json.loads(told["body"])
        if change in ("first", "last"):
            body[change] += 1
            told["body"] = json.dumps(body, sort_keys=True, separators=(",", ":"))
        elif change == "body":
            told["body"] += " "
        else:
            told[change] = "x" if change == "key" else told[change] - 1

        with open_storage("memory://") as other:
            assert an_engine(other).restore([line]) == 1
        with open_storage("memory://") as other:
            with pytest.raises(CorruptJournalError):
                an_engine(other).restore([json.dumps(plain)])
            assert other.load("o1").version == 0

    def test_effect_twice(self, storage: Storage) -> None:
        """
        An effect is asked for once.
        """
        brought_to(an_engine(storage), "completed")
        (line,) = an_engine(storage).export()
        plain = json.loads(line)
        plain["effects"].append(plain["effects"][-1])

        with (
            open_storage("memory://") as other,
            pytest.raises(CorruptJournalError, match="twice"),
        ):
            an_engine(other).restore([json.dumps(plain)])

    def test_text_of_no_event(self, storage: Storage) -> None:
        """
        A text that no event names is nobody's, however well it is sealed.
        """
        engine = an_engine(storage)
        brought_to(engine, "completed")
        (line,) = engine.export()
        plain = json.loads(line)
        salt = b"0" * 16
        ref = commitment(salt, "t")
        plain["texts"].append(
            {"ref": ref, "subject_id": "ana", "salt": salt.hex(), "text": "t"}
        )

        with (
            open_storage("memory://") as other,
            pytest.raises(CorruptJournalError, match=ref),
        ):
            an_engine(other).restore([json.dumps(plain)])

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('\\"buyer:ana\\"', '\\"buyer:eva\\"'),
            ('"order_id":"keyed","due_at"', '"order_id":"other","due_at"'),
            (CANARY, "something else"),
            ('"settles":true', '"settles":false'),
            ('"moves_money":true', '"moves_money":false'),
            ('"subject_id":"luc"', '"subject_id":"eva"'),
        ],
    )
    def test_changed_since(self, storage: Storage, old: str, new: str) -> None:
        """
        A line that was changed is refused whole.
        """
        lines = [line for line in filled(storage).export() if CANARY in line]
        assert len(lines) == 1
        assert old in lines[0]

        with open_storage("memory://") as other:
            with pytest.raises(CorruptJournalError):
                an_engine(other).restore([lines[0].replace(old, new)])
            assert other.load("keyed").version == 0


class TestErase:
    """
    Texts go for good; everything else stays (I32).
    """

    def _with_canaries(self, engine: Engine, order_id: str = "o1") -> None:
        """
        Have every text of an order carry the canary, and end it.
        """
        by_ana = f"{CANARY} of ana"
        by_luc = f"{CANARY} of luc"
        engine.place(
            an_order(terms=terms(title=by_ana, text=by_ana)),
            by=ANA,
            order_id=order_id,
            key=f"{order_id}-1",
        )
        for by, command in (
            (ANA, c.SubmitBrief(text=by_ana)),
            (LUC, c.AcceptOrder()),
            (LUC, c.DeliverOrder(note=by_luc)),
            (ANA, c.RequestRevision(reason=by_ana)),
            (LUC, c.RefuseRevision(reason=by_luc)),
            (ANA, c.OpenDispute(reason=by_ana)),
            (MIA, c.AssignMediator(mediator_id="mia")),
            (MIA, c.AskParties(text=f"{CANARY} of mia")),
            (LUC, c.AnswerMediator(text=by_luc)),
            (MIA, c.RuleDispute(ruling=PaySeller(), reason=f"{CANARY} of mia")),
            (ANA, c.LeaveReview(rating=1, text=by_ana)),
            (LUC, c.ReplyToReview(text=by_luc)),
        ):
            engine.execute(order_id, command, by=by, key=f"{order_id}-{command.name}")

    def test_one_person(self, storage: Storage) -> None:
        """
        The words of one person go, those of the others stay.
        """
        engine = an_engine(storage)
        self._with_canaries(engine)
        before = engine.order("o1")

        erased = engine.erase("ana")

        after = engine.order("o1")
        assert erased >= 6
        assert after.review is not None
        assert (after.review.text, after.review.text.erased) == ("", True)
        assert after.review.reply == f"{CANARY} of luc"
        assert (after.ledger, after.version) == (before.ledger, before.version)
        assert engine.erase("ana") == 0

    def test_nothing_is_left(self, tmp_path: Path) -> None:
        """
        No byte of it is in the file, nor in its log; the history proves itself.
        """
        with a_storage("sqlite", tmp_path) as storage:
            engine = an_engine(storage)
            for number in range(20):
                self._with_canaries(engine, f"o{number}")
            found = self._found(tmp_path)
            assert found > 0
            for name in ("ana", "luc", "mia"):
                engine.erase(name)

            assert self._found(tmp_path) == 0
            assert engine.verify().faults == ()
            assert not any(CANARY in line for line in engine.export())
            assert CANARY not in repr(engine.order("o1"))
        assert self._found(tmp_path) == 0

    def test_one_that_cannot_be_read(self, storage: Storage) -> None:
        """
        Nobody knows whether it still runs: it is named, and nothing is erased.
        """
        engine = an_engine(storage)
        for name in ("o1", "o2"):
            self._with_canaries(engine, name)
        damage(engine, "o2")

        for name in ("ana", "mia"):
            with pytest.raises(OrdersRunningError) as caught:
                engine.erase(name)
            assert caught.value.order_ids == ("o2",)

        review = engine.order("o1").review
        assert review is not None
        assert review.text == f"{CANARY} of ana"

    def _found(self, folder: Path) -> int:
        return sum(
            path.read_bytes().count(CANARY.encode()) for path in folder.iterdir()
        )

    def test_its_key_still_counts(self, storage: Storage) -> None:
        """
        A repeated command is answered as before; words that are gone are not
        compared, everything else is.
        """
        engine = an_engine(storage)
        self._with_canaries(engine)
        engine.erase("ana")
        reason = "whatever he says now"

        again = engine.execute(
            "o1", c.OpenDispute(reason=reason), by=ANA, key="o1-open_dispute"
        )

        assert again.replayed
        with pytest.raises(KeyReusedError):
            engine.execute(
                "o1",
                c.LeaveReview(rating=2, text=reason),
                by=ANA,
                key="o1-leave_review",
            )
        with pytest.raises(KeyReusedError):
            engine.execute(
                "o1", c.LeaveReview(rating=1, text=""), by=ANA, key="o1-leave_review"
            )

    def test_words_that_are_there_are_compared(self, storage: Storage) -> None:
        """
        As long as they are known, other words are another command.
        """
        engine = an_engine(storage)
        engine.place(an_order(), by=ANA, order_id="o1")
        engine.execute("o1", c.RefuseOrder(reason="one"), by=LUC, key="k")

        with pytest.raises(KeyReusedError):
            engine.execute("o1", c.RefuseOrder(reason="two"), by=LUC, key="k")
        assert engine.execute(
            "o1", c.RefuseOrder(reason="one"), by=LUC, key="k"
        ).replayed

    def test_no_guess_is_possible(self, storage: Storage) -> None:
        """
        What is left of a short text does not tell whether it was "yes".
        """
        left: list[str] = []
        for reason in ("yes", "yes", "no"):
            engine = an_engine(storage)
            order_id = f"o{len(left)}"
            engine.place(an_order(), by=ANA, order_id=order_id)
            engine.execute(order_id, c.RefuseOrder(reason=reason), by=LUC, key="k")
            engine.erase("luc")
            (receipt,) = storage.receipts(order_id)
            left.append(receipt.fingerprint)

        assert len({fingerprint.split()[0] for fingerprint in left}) == 1
        assert len(set(left)) == 3

    @pytest.mark.parametrize("subject", ["ana", "luc", "mia"])
    def test_while_an_order_runs(self, storage: Storage, subject: str) -> None:
        """
        Whoever has an order that runs is not erased: it is evidence still.
        """
        engine = an_engine(storage)
        brought_to(engine, "disputed")
        engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)

        with pytest.raises(OrdersRunningError) as caught:
            engine.erase(subject)

        assert caught.value.order_ids == ("o1",)
        order = engine.order("o1")
        assert order.dispute is not None
        assert order.dispute.reason == "not right"

    def test_texts_of_who_takes_no_part(self, storage: Storage) -> None:
        """
        What somebody wrote on an order that runs is kept, though he never was, or no
        longer is, one of its parties.
        """
        engine = an_engine(storage)
        brought_to(engine, "in_progress")
        engine.execute("o1", c.FreezeOrder(reason=CANARY), by=OPS)

        with pytest.raises(OrdersRunningError) as caught:
            engine.erase(OPS.id)

        assert caught.value.order_ids == ("o1",)

    def test_what_is_due_by_now_has_not_ended_it(self, storage: Storage) -> None:
        """
        An order that would have ended by now counts as ended once it was settled.
        """
        clock = FakeClock(T0)
        engine = an_engine(storage, clock=clock)
        engine.place(an_order(terms=terms(text=CANARY)), by=ANA, order_id="o1")
        clock.advance(timedelta(days=3))

        with pytest.raises(OrdersRunningError):
            engine.erase("ana")
        engine.run_due()
        assert engine.erase("ana") == 1

    @pytest.mark.parametrize("subject", ["", None, 1.5, "\x00"])
    def test_bad_subject(self, storage: Storage, subject: Any) -> None:
        """
        Who is to be erased must have an id.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_engine(storage).erase(subject)

        assert caught.value.field == "subject_id"


class TestOrders:
    """
    `engine.orders`: what a list page shows.
    """

    def test_as_they_are_now(self, storage: Storage) -> None:
        """
        What is due is applied, page by page, by id.
        """
        engine = filled(storage)
        names = sorted(["awaiting_payment", "keyed", *WAY])

        first = engine.orders(limit=5)
        found = [*first.items]
        after = first.after
        while after is not None:
            page = engine.orders(after=after, limit=5)
            found += page.items
            after = page.after

        assert [order.id for order in found] == names
        assert found == [engine.order(name) for name in names]

    def test_one_that_cannot_be_read(self, storage: Storage) -> None:
        """
        It is named, and the others are listed; asked for by itself it is named, too.
        """
        engine = an_engine(storage)
        for name in ("o1", "o2", "o3"):
            brought_to(engine, "pending", name)
        damage(engine, "o2")

        page = engine.orders()

        assert [order.id for order in page.items] == ["o1", "o3"]
        assert (page.unreadable, page.after) == (("o2",), None)
        first = engine.orders(limit=2)
        assert (len(first.items), first.unreadable) == (1, ("o2",))
        second = engine.orders(limit=2, after=first.after)
        assert ([order.id for order in second.items], second.unreadable) == (["o3"], ())
        for ask in (
            lambda: engine.order("o2"),
            lambda: engine.execute("o2", c.AcceptOrder(), by=LUC),
        ):
            with pytest.raises(CorruptJournalError, match="order 'o2': "):
                ask()

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ({}, 3),
            ({"party": "ana"}, 3),
            ({"party": "luc", "role": "seller"}, 3),
            ({"party": "luc", "role": "buyer"}, 0),
            ({"party": "mia"}, 1),
            ({"role": "mediator"}, 1),
            ({"states": ["disputed"]}, 2),
            ({"states": ["pending", "disputed"], "party": "ana"}, 3),
            ({"states": []}, 0),
            ({"unassigned": True}, 1),
            ({"party": "nobody"}, 0),
        ],
    )
    def test_query(self, storage: Storage, query: dict[str, Any], count: int) -> None:
        """
        By who takes part, as what, by state, by whether a mediator is looked for.
        """
        engine = an_engine(storage)
        brought_to(engine, "pending", "o1")
        brought_to(engine, "disputed", "o2")
        brought_to(engine, "disputed", "o3")
        engine.execute("o3", c.AssignMediator(mediator_id="mia"), by=MIA)

        assert len(engine.orders(**query).items) == count

    @pytest.mark.parametrize(
        ("field", "query"),
        [
            ("party", {"party": ""}),
            ("party", {"party": 1.5}),
            ("role", {"role": "butcher"}),
            ("role", {"role": 7}),
            ("states", {"states": "pending"}),
            ("states", {"states": 7}),
            ("states", {"states": [None]}),
            ("states", {"states": ["foo"]}),
            ("states", {"states": ["pending", "Pending"]}),
            ("unassigned", {"unassigned": "yes"}),
            ("limit", {"limit": 0}),
            ("limit", {"limit": 1001}),
            ("limit", {"limit": True}),
            ("limit", {"limit": 1.5}),
            ("after", {"after": "nonsense"}),
            ("after", {"after": 7}),
        ],
    )
    def test_bad_query(
        self, storage: Storage, field: str, query: dict[str, Any]
    ) -> None:
        """
        What cannot be looked for is named.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_engine(storage).orders(**query)

        assert caught.value.field == field

    def test_states_there_are(self, storage: Storage) -> None:
        """
        A state that no process of the engine has is a mistake; which ones there are
        is said.
        """
        engine = an_engine(storage, also=[pausing()])

        with pytest.raises(InvalidInputError) as caught:
            engine.orders(states=["paused", "foo"])

        assert "'foo'" in caught.value.problem
        for name in ("pending", "in_progress", "paused", "cancelled"):
            assert name in caught.value.problem
        assert engine.orders(states=["paused"]).items == ()


class Between:
    """
    A storage in which something happens after a verb, or a later call of it.
    """

    def __init__(
        self, storage: Storage, *, skip: int = 0, **after: Callable[[], object]
    ) -> None:
        self._storage = storage
        self._skip = skip
        self._after = after

    def __getattr__(self, verb: str) -> Any:
        def call(*values: Any) -> Any:
            answer = getattr(self._storage, verb)(*values)
            if verb in self._after:
                self._skip -= 1
                if self._skip < 0:
                    self._after.pop(verb)()
            return answer

        return call

    def load(self, *values: Any) -> Any:
        """
        Load, and let something happen.
        """
        return self.__getattr__("load")(*values)


class TestBusy:
    """
    Orders go on while they are read, proved, taken elsewhere, restored and erased.
    """

    @pytest.mark.parametrize("looks", range(3))
    def test_placed_while_erasing(self, storage: Storage, looks: int) -> None:
        """
        An order that is placed while texts are erased keeps its own.
        """
        sure = an_engine(storage)

        def place(order_id: str) -> None:
            sure.place(an_order(terms=terms(text=CANARY)), by=ANA, order_id=order_id)

        place("o1")
        sure.execute("o1", c.RefuseOrder(reason="no"), by=LUC)
        busy: Any = Between(storage, find=lambda: place("o2"), skip=looks)
        engine = an_engine(busy)

        with pytest.raises(OrdersRunningError) if not looks else nullcontext():
            assert engine.erase("ana") == 1

        assert sure.order("o1").terms.text == ("" if looks else CANARY)
        assert sure.order("o2").terms.text == CANARY

    @pytest.mark.parametrize("verb", ["find", "events", "effects", "receipts", "texts"])
    def test_read_at_one_moment(self, storage: Storage, verb: str) -> None:
        """
        What is proved and exported of an order is of one moment.
        """
        sure = an_engine(storage)
        sure.place(an_order(terms=terms(text=CANARY)), by=ANA, order_id="o1", key="k")
        for read in ("verify", "export"):
            on = {"verify": c.AcceptOrder(), "export": c.DeliverOrder(note="here")}

            def goes_on(command: Any = on[read]) -> None:
                sure.execute("o1", command, by=LUC, key=command.name)

            hooks: Any = {verb: goes_on}
            busy: Any = Between(storage, **hooks)
            engine = an_engine(busy)
            if read == "verify":
                assert engine.verify().faults == ()
            else:
                with open_storage("memory://") as other:
                    there = an_engine(other)
                    assert there.restore([*engine.export()]) == 1
                    assert there.verify().faults == ()
                    for receipt in other.receipts("o1"):
                        assert receipt.last <= there.order("o1").version

    def test_restored_while_it_moves_on(self, storage: Storage) -> None:
        """
        A sweep between an order and its receipts loses none; again is harmless.
        """
        source = an_engine(storage)
        brought_to(source, "in_progress")
        note = c.ExtendDeadlines(window="P3D", reason="storm")
        source.execute("o1", note, by=OPS, key="ticket-7")
        lines = [*source.export()]

        with open_storage("memory://") as other:
            clock = FakeClock(T0)
            clock.advance(days=60)
            late = an_engine(other, clock=clock)
            busy: Any = Between(other, commit=late.run_due)
            assert an_engine(busy).restore(lines) == 1
            assert an_engine(other).restore(lines) == 0
            assert late.execute("o1", note, by=OPS, key="ticket-7").replayed
            assert late.verify().faults == ()

    def test_one_that_is_there_is_left_alone(self, storage: Storage) -> None:
        """
        A line changes nothing of an order that is there.
        """
        engine = an_engine(storage)
        brought_to(engine, "in_progress")
        before = [*engine.export()]
        forged = json.loads(before[0])
        forged["due_at"] = None

        with pytest.raises(CorruptJournalError):
            engine.restore([json.dumps(forged)])
        other = an_engine(storage, comeup().with_policies(extras={"tip_max": "10 %"}))
        with pytest.raises(CorruptJournalError):
            other.restore([json.dumps(forged)])
        forged = json.loads(before[0])
        receipt = {"key": "buyer:ana\x1fx", "fingerprint": "x", "first": 1, "last": 9}
        forged["receipts"].append(receipt)
        with pytest.raises(CorruptJournalError):
            engine.restore([json.dumps(forged)])
        assert [*engine.export()] == before

    def test_a_key_of_something_else(self, storage: Storage) -> None:
        """
        A receipt that is there stands for what it stands for.
        """
        engine = an_engine(storage)
        engine.place(an_order(), by=ANA, order_id="o1", key="k")
        (line,) = engine.export()
        other = json.loads(line)
        other["receipts"][0]["fingerprint"] = "something else"

        with pytest.raises(KeyReusedError):
            engine.restore([json.dumps(other)])

    def test_the_same_line_twice(self, storage: Storage) -> None:
        """
        It is written once.
        """
        engine = an_engine(storage)
        brought_to(engine, "in_progress")
        lines = [*engine.export()]

        with open_storage("memory://") as other:
            assert an_engine(other).restore(lines * 3) == 1

    @pytest.mark.parametrize("lines", [5, None, "x", [None], [5], [b"{}"]])
    def test_no_lines(self, storage: Storage, lines: Any) -> None:
        """
        What is no sequence of lines is refused.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_engine(storage).restore(lines)

        assert caught.value.field.startswith("lines")

    @pytest.mark.parametrize(
        ("table", "field", "value"),
        [
            ("texts", "text", 5),
            ("texts", "salt", "zz"),
            ("receipts", "first", "1"),
            ("effects", "ready_at", 10**18),
            ("effects", "result", '{"at":"x"}'),
            ("effects", "result", "junk"),
            ("effects", "status", 7),
            ("events", "recorded_at", None),
        ],
    )
    def test_rubbish_in_a_line(
        self, storage: Storage, table: str, field: str, value: Any
    ) -> None:
        """
        A line with a value that cannot be one is refused, and nothing is written.
        """
        source = an_engine(storage)
        source.place(an_order(terms=terms(text="x")), by=ANA, order_id="o1", key="k")
        plain = json.loads(next(iter(source.export())))
        plain[table][0][field] = value

        with open_storage("memory://") as other:
            with pytest.raises(InvalidInputError):
                an_engine(other).restore([json.dumps(plain)])
            assert other.load("o1").version == 0

    def test_another_order_under_its_id(self, storage: Storage) -> None:
        """
        A history is that of its order.
        """
        source = an_engine(storage)
        source.place(an_order(), by=ANA, order_id="o1")
        plain = json.loads(next(iter(source.export())))
        plain["order_id"] = "o2"
        head = b""
        for event in plain["events"]:
            fields = f"o2\x1f{event['seq']}\x1f{event['name']}"
            fields += f"\x1f{event['effective_at']}\x1f{event['recorded_at']}"
            fields += f"\x1f{int(event['settles'])}\x1f"
            text = fields.encode() + event["body"].encode()
            head = hashlib.sha256(head + text).digest()
            event["hash"] = head.hex()

        with open_storage("memory://") as other, pytest.raises(CorruptJournalError):
            an_engine(other).restore([json.dumps(plain)])


class TestDamaged:
    """
    Whatever cannot be read, the error says of which order it is.
    """

    @pytest.mark.parametrize(
        ("statement", "ask"),
        [
            ("escrowflow_event SET body = x'37'", "history"),
            ("escrowflow_event SET name = 'x'", "history"),
            ("escrowflow_effect SET body = x'37'", "effects"),
            ("escrowflow_effect SET kind = 'x'", "effects"),
            ("escrowflow_effect SET result = x'37'", "effects"),
        ],
    )
    def test_it_is_named(self, tmp_path: Path, statement: str, ask: str) -> None:
        """
        An event or an effect that was damaged is that of an order.
        """
        with a_storage("sqlite", tmp_path) as storage:
            engine = an_engine(storage)
            brought_to(engine, "completed")
            raw = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
            for trigger in ("event_fixed", "effect_fixed"):
                raw.execute(f"DROP TRIGGER escrowflow_{trigger}")
            raw.execute(f"UPDATE {statement}")
            raw.close()

            with pytest.raises(CorruptJournalError, match="order 'o1': "):
                getattr(engine, ask)("o1")


class TestForged:
    """
    Money does not leave because somebody wrote a row.
    """

    def test_a_pay_out_of_nobody(self, tmp_path: Path) -> None:
        """
        An effect that was changed is parked, never carried out; one of an order that
        is not there is not even touched.
        """
        with a_storage("sqlite", tmp_path) as storage:
            engine = an_engine(storage)
            brought_to(engine, "completed")
            raw = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
            for trigger in ("escrowflow_effect_fixed",):
                raw.execute(f"DROP TRIGGER {trigger}")
            raw.execute(
                "INSERT INTO escrowflow_effect SELECT 'ghost', 'x', 1, place, kind,"
                " moves_money, status, attempts, token, ready_at, body, result"
                " FROM escrowflow_effect WHERE kind = 'pay_out'"
            )
            raw.execute(
                "UPDATE escrowflow_effect SET body = CAST(replace(CAST(body AS TEXT),"
                " '10000', '90000') AS BLOB) WHERE kind = 'pay_out'"
            )
            raw.close()
            paid: list[Any] = []

            report = engine.run_effects(
                {Refund: paid.append, PayOut: paid.append, Notify: lambda _: None}
            )

            assert paid == []
            assert report.parked == 1
            assert [stuck.order_id for stuck in engine.stuck()] == ["o1"]
            assert storage.effects("ghost")[0].status == "waiting"

    def test_text_that_moved_into_its_salt(self, tmp_path: Path) -> None:
        """
        Where the salt ends and the text begins is part of the proof.
        """
        with a_storage("sqlite", tmp_path) as storage:
            engine = an_engine(storage)
            brought_to(engine, "disputed")
            (text,) = [text for text in storage.texts("o1") if text.text == "not right"]
            raw = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
            raw.execute(
                "UPDATE escrowflow_text SET salt = ?, text = 'right' WHERE ref = ?",
                (text.salt + b"not ", text.ref),
            )
            raw.close()

            assert len(engine.verify().faults) == 1

    def test_an_endless_history(self, tmp_path: Path) -> None:
        """
        A version that nobody can count to is a gap, not the end of the memory.
        """
        with a_storage("sqlite", tmp_path) as storage:
            engine = an_engine(storage)
            brought_to(engine, "pending")
            raw = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
            raw.execute("UPDATE escrowflow_order SET version = 9000000000000000000")
            raw.close()

            (fault,) = engine.verify().faults
            assert fault.problem == "the history has a gap"

    def test_a_receipt_of_nothing(self, tmp_path: Path) -> None:
        """
        A key that stands for events that are not there is a fault, and no answer.
        """
        with a_storage("sqlite", tmp_path) as storage:
            engine = an_engine(storage)
            brought_to(engine, "pending")
            raw = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
            for first, last in ((9, 10), (1, -5)):
                raw.execute("DROP TRIGGER IF EXISTS escrowflow_receipt_stays")
                raw.execute("DELETE FROM escrowflow_receipt")
                raw.execute(
                    "INSERT INTO escrowflow_receipt VALUES ('o1', ?, ?, ?, ?)",
                    ("seller:luc\x1fk", content_hash(c.AcceptOrder()), first, last),
                )
                with pytest.raises(CorruptJournalError):
                    engine.execute("o1", c.AcceptOrder(), by=LUC, key="k")
                assert len(engine.verify().faults) == 1
            raw.close()
