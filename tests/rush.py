"""
Many who change the same orders at once, and what must have come of it.
"""

from __future__ import annotations

import random
import threading
from typing import Any

from escrowflow.storage import Change, Storage
from escrowflow.testing.given import DONE, change, effect, receipt, result, text
from tests.pg import say

__all__ = ["Rush"]


class Rush:
    """
    Changes by many at once, of few orders; and what must have come of them.
    """

    def __init__(self, storage: Storage, seed: int) -> None:
        self.storage = storage
        self.random = random.Random(seed)
        self.orders = ("o-1", "o-2", "o-3")
        self.done: list[Change] = []
        self.answers = 0

    def change(self, order_id: str, number: int) -> Change:
        """
        Return a change of an order as it is now; its parts bear its name.
        """
        loaded = self.storage.load(order_id)
        name = f"{threading.get_ident()} {number} {order_id}"
        fields: dict[str, Any] = {
            "snapshot": name.encode(),
            "effects": (effect(name, seq=loaded.version),),
            "texts": (text(name),),
        }
        if self.random.random() < 0.7:
            fields["receipt"] = receipt(f"{loaded.version}/{number % 3}")
        if self.random.random() < 0.4:
            fields["parties"] = (("buyer", name), ("seller", "luc"))
        if self.random.random() < 0.3:
            claimed = [e for e in self.storage.effects(order_id) if e.status != "done"]
            fields["results"] = tuple(result(e.key, e.token) for e in claimed[:2])
        return change(
            order_id, loaded.version, appended=number % 3 and 1 + number % 2, **fields
        )

    def run(self, _: int) -> None:
        """
        Change what others are changing.
        """
        for number in range(12):
            count = self.random.randint(1, 3)
            changes = [
                self.change(name, number)
                for name in self.random.sample(self.orders, count)
            ]
            answers = self.storage.commit(changes)
            self.answers += len(answers)
            self.done += [
                change
                for change, answer in zip(changes, answers, strict=True)
                if answer is DONE
            ]

    def check(self) -> None:
        """
        Nothing is lost, doubled or half written.
        """
        for name in self.orders:
            done = [change for change in self.done if change.order_id == name]
            stored = self.storage.load(name)
            events = self.storage.events(name)
            assert [event.seq for event in events] == [*range(1, stored.version + 1)]
            assert sum(len(change.events) for change in done) == stored.version
            assert len({c.expected_version for c in done if c.events}) == sum(
                bool(change.events) for change in done
            )
            keys = [change.receipt.key for change in done if change.receipt]
            assert sorted(keys) == [r.key for r in self.storage.receipts(name)]
            written = [text.ref for change in done for text in change.texts]
            assert sorted(written) == sorted(stored.texts)
            effects = self.storage.effects(name)
            asked = [effect.key for change in done for effect in change.effects]
            assert sorted(asked) == sorted(effect.key for effect in effects)
            settled = [result.key for change in done for result in change.results]
            assert sorted(settled) == sorted(
                effect.key for effect in effects if effect.status == "done"
            )
            assert stored.snapshot in {change.snapshot for change in done}

    def parties(self, dsn: str) -> None:
        """
        Who takes part is who took part in one of the changes, and nobody besides.
        """
        for name in self.orders:
            rows = say(
                dsn, f"SELECT role, id FROM escrowflow_party WHERE order_id = '{name}'"
            )
            sets = [
                set(c.parties) for c in self.done if c.order_id == name and c.parties
            ]
            assert set(rows) in sets
