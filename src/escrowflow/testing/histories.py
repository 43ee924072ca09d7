"""
Random histories: the same questions to a storage and to the reference.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import attrs
import pytest

from ..errors import InvalidInputError, StorageError
from ..storage import Capability, Change, EffectResult, NewEffect, Query, Storage
from ..storage.memory import MemoryStorage
from .base import Checks
from .given import books, change, everything, pages, parked, receipt, text

__all__ = ["Histories"]

# Few of each, so that they meet.
_ORDERS: Final = ("o-1", "o-2", "\u00e9")
_PARTIES: Final = ("ana", "luc", "eve")
_ROLES: Final = ("buyer", "seller", "mediator")
_STATES: Final = ("pending", "disputed", "completed")
_PROCESSES: Final = ("f1", "f2", "f3")
_KINDS: Final = ("notify", "refund", "charge")
_KEYS: Final = ("ana:1", "ana:2", "ana:3", "luc:1", "luc:2")

# How often each is asked, of a hundred.
_VERBS: Final = {
    "commit": 36,
    "park": 6,
    "claim_due": 8,
    "claim_effects": 8,
    "settle_effect": 6,
    "next_effect": 3,
    "find": 12,
    "events": 4,
    "load": 4,
    "next_due": 3,
    "stuck_effects": 3,
    "erase_texts": 4,
    "everything": 4,
    "reopen": 2,
}

# The name of what is asked, and in words that do not depend on what is stored, what
# is asked for: so that a step may be left out, and those after it make sense.
_Step: TypeAlias = tuple[str, Any]

# How they differ, put in words only for whoever reads it.
_Complaint: TypeAlias = Callable[[], str]


def _history(choice: Random) -> list[_Step]:
    """
    Return a history: first some orders, then anything.
    """
    verbs = choice.choices(
        list(_VERBS), list(_VERBS.values()), k=choice.randrange(15, 40)
    )
    return [
        *(("commit", {name: _new_words(choice, 0)}) for name in _ORDERS),
        *((verb, _words(choice, verb)) for verb in verbs),
    ]


def _words(choice: Random, verb: str) -> Any:
    order, instant, limit = choice.choice(_ORDERS), choice.randrange(45), _limit(choice)
    if verb == "commit":
        names = choice.sample(_ORDERS, choice.choice((1, 1, 2)))
        return {name: _new_words(choice, _drift(choice)) for name in names}
    if verb == "park":
        return order, _drift(choice), choice.choice((None, choice.randrange(45)))
    if verb == "claim_due":
        lease = choice.randrange(25)
        return instant, lease, limit, _some(choice, _PROCESSES)
    if verb == "claim_effects":
        some = _some(choice, _KINDS), _some(choice, _PROCESSES)
        return instant, choice.randrange(25), limit, *some
    if verb == "settle_effect":
        return order, _result_words(choice)
    if verb == "next_due":
        return instant, instant + choice.randrange(25), _some(choice, _PROCESSES)
    if verb == "next_effect":
        some = _some(choice, _KINDS), _some(choice, _PROCESSES)
        return instant, instant + choice.randrange(25), *some
    if verb == "find":
        query = Query(
            party=_perhaps(choice, _PARTIES),
            role=_perhaps(choice, _ROLES),
            states=_some(choice, _STATES),
            unassigned=choice.random() < 0.2,
            parked=choice.random() < 0.2,
            subject=_perhaps(choice, _PARTIES),
            due_by=instant if choice.random() < 0.2 else None,
            unknown_to=_some(choice, _PROCESSES),
            by_due=choice.random() < 0.5,
        )
        return query, limit
    if verb == "events":
        return order, choice.randrange(5), limit
    if verb == "load":
        return order, choice.choice(_KEYS)
    if verb == "stuck_effects":
        return choice.randrange(60), choice.randrange(60), limit
    if verb == "erase_texts":
        return choice.choice(_PARTIES), choice.sample(_ORDERS, choice.randrange(3))
    return ()


def _limit(choice: Random) -> int:
    return choice.choice((1, 1, 2, 3, 50))


def _drift(choice: Random) -> int:
    # Mostly the version that the order has.
    return choice.choice((0,) * 10 + (-1, 1))


def _perhaps(choice: Random, values: Sequence[str]) -> str | None:
    return choice.choice(values) if choice.random() < 0.3 else None


def _some(choice: Random, values: Sequence[str]) -> list[str] | None:
    few = choice.sample(values, choice.randrange(3))
    return few if choice.random() < 0.3 else None


def _result_words(choice: Random) -> tuple[int, int, str, int]:
    """
    Return which effect, how far from its token, what became of it, and when next.
    """
    status = choice.choice(
        ("done", "done", "waiting", "waiting", "parked", "parked", "claimed")
    )
    return choice.randrange(9), _drift(choice), status, choice.randrange(45)


def _new_words(choice: Random, drift: int) -> dict[str, Any]:
    """
    Return a change: how far from the version, how many events, ...; see `_change`.
    """
    rare = choice.random
    return {
        "drift": drift,
        "appended": choice.choice(
            (1, 1, 1, 2, 3, 0) if drift or rare() < 0.7 else (1,)
        ),
        "later": choice.choice((0, 1, 2, 5)) if rare() < 0.95 else -1,
        "settles": rare() < 0.05,
        "fingerprint": choice.choice(_PROCESSES),
        "state": choice.choice(_STATES),
        "due": choice.randrange(45) if rare() < 0.7 else None,
        "unassigned": rare() < 0.3,
        "parties": None
        if rare() < 0.5
        else tuple(
            (choice.choice(_ROLES), choice.choice(_PARTIES))
            for _ in range(choice.randrange(4))
        ),
        "effects": [
            (choice.choice(_KINDS), choice.randrange(45), rare() < 0.5)
            for _ in range(choice.randrange(3))
        ],
        "results": [_result_words(choice)] if rare() < 0.2 else [],
        "receipt": choice.choice(_KEYS) if rare() < 0.4 else None,
        "texts": [
            (choice.randrange(4), choice.choice(_PARTIES))
            for _ in range(choice.randrange(3))
        ],
        "wrong": rare() < 0.04,
    }


def _change(reference: Storage, order_id: str, words: Any) -> Change:
    """
    Return the change that some words mean for an order as it is.
    """
    loaded = reference.load(order_id)
    expected = max(0, loaded.version + words["drift"])
    appended = words["appended"]
    journal = reference.events(order_id, max(0, loaded.version - 1))
    at = max(0, (journal[-1].effective_at if journal else 0) + words["later"])
    number = expected + appended
    effects = tuple(
        NewEffect(
            key=f"e-{number}-{place}",
            kind=kind,
            # One an event: which of two that are ready at one instant comes first
            # is left open.
            seq=number - place,
            moves_money=moves_money,
            ready_at=ready_at,
            body=b"body",
        )
        for place, (kind, ready_at, moves_money) in enumerate(
            words["effects"][:appended]
        )
    )
    parties = words["parties"]
    if not expected:
        parties = parties or ()
    return change(
        order_id,
        expected,
        appended,
        at=at,
        settles=words["settles"],
        snapshot=b"%d %d" % (number, at),
        fingerprint=words["fingerprint"],
        state=words["state"],
        due_at=words["due"],
        unassigned=words["unassigned"],
        parties=parties,
        effects=effects,
        results=tuple(_result(reference, order_id, some) for some in words["results"]),
        receipt=None
        if words["receipt"] is None
        else receipt(words["receipt"], fingerprint=f"{at}", first=number, last=number),
        texts=tuple(
            text(f"r-{ref}", f"{ref} {number}", subject_id=subject)
            for ref, subject in words["texts"]
        ),
        books=books(held=1) if words["wrong"] else books(),
    )


def _result(
    reference: Storage, order_id: str, words: tuple[int, int, str, int]
) -> EffectResult:
    """
    Return the result that some words mean for the effects of an order as they are.
    """
    which, drift, status, ready_at = words
    known = reference.effects(order_id)
    chosen = known[which % len(known)] if known else None
    return EffectResult(
        key="unknown" if chosen is None else chosen.key,
        token=drift if chosen is None else chosen.token + drift,
        status=status,
        attempts=0 if chosen is None else chosen.attempts,
        ready_at=ready_at,
        body=status.encode(),
    )


def _asked(ask: Callable[[Storage], Any], storage: Storage) -> Any:
    """
    Return what a storage answers, or which kind of complaint it has.
    """
    try:
        return ask(storage)
    except InvalidInputError:
        return InvalidInputError
    except StorageError:
        return StorageError


def _question(reference: Storage, verb: str, words: Any) -> Callable[[Storage], Any]:
    """
    Return the question that a step asks.
    """
    if verb == "commit":
        changes = [_change(reference, name, some) for name, some in words.items()]
        return lambda storage: list(storage.commit(changes))
    if verb == "settle_effect":
        name, some = words
        settled = _result(reference, name, some)
        return lambda storage: storage.settle_effect(name, settled)
    if verb == "park":
        name, drift, until = words
        version = reference.load(name).version + drift
        why = None if until is None else parked(until)
        return lambda storage: storage.park(name, version, why)
    if verb == "everything":
        return lambda storage: everything(storage, _ORDERS, _KEYS)
    if verb == "find":
        query, limit = words
        return lambda storage: [
            list(page)
            for page in pages(
                lambda after, limit: storage.find(query, after=after, limit=limit),
                limit,
            )
        ]
    if verb == "stuck_effects":
        overdue, beyond, limit = words
        return lambda storage: [
            list(page)
            for page in pages(
                lambda after, limit: storage.stuck_effects(
                    overdue, beyond, after, limit
                ),
                limit,
            )
        ]
    if verb == "claim_due":
        now, lease, *rest = words
        return lambda storage: list(storage.claim_due(now, now + lease, *rest))
    if verb == "claim_effects":
        now, lease, *rest = words
        return lambda storage: _by_key(storage.claim_effects(now, now + lease, *rest))
    if verb == "events":
        return lambda storage: list(storage.events(*words))
    return lambda storage: getattr(storage, verb)(*words)


def _difference(verb: str, found: Any, expected: Any) -> str:
    """
    Return how an answer differs from that of the reference: the first of the parts
    that do.
    """
    yours, theirs = _parts(verb, found), _parts(verb, expected)
    differ = [
        name
        for name in {**yours, **theirs}
        if yours.get(name, _NOTHING) != theirs.get(name, _NOTHING)
    ]
    lines = []
    for name in differ[:_SHOWN]:
        lines += [
            f"{name}:",
            f"  yours:     {yours.get(name, _NOTHING)!r}",
            f"  reference: {theirs.get(name, _NOTHING)!r}",
        ]
    if len(differ) > _SHOWN:
        lines.append(f"and {len(differ) - _SHOWN} more")
    return "\n".join(lines)


# One flaw shows in many places.
_SHOWN: Final = 3

# Where there is no such part.
_NOTHING: Final = "nothing"


def _parts(name: str, answer: Any) -> dict[str, Any]:
    """
    Return the parts of an answer, by name: of many, each; of a value, its fields.
    """
    inner: dict[str, Any] = {}
    if isinstance(answer, Mapping):
        # What was asked has names of its own.
        within = "" if name == "everything" else f"{name} "
        inner = {f"{within}{key}": item for key, item in answer.items()}
    elif isinstance(answer, (list, tuple)):
        inner = {f"{name}: how many": len(answer)}
        inner |= {f"{name} [{number}]": item for number, item in enumerate(answer)}
    elif attrs.has(type(answer)):
        inner = {
            f"{name} .{field.name}": getattr(answer, field.name)
            for field in attrs.fields(type(answer))
        }
    else:
        return {name: answer}
    return {
        part: value
        for key, item in inner.items()
        for part, value in _parts(key, item).items()
    }


def _by_key(effects: Any) -> list[Any]:
    return sorted(effects, key=lambda effect: (effect.order_id, effect.key))


class Histories(Checks):
    """
    Thousands of answers that nobody thought of.
    """

    def test_random_histories(self, tmp_path: Path) -> None:
        """
        Whatever is asked in whatever order, the answers are those of the reference.
        """
        folders = (tmp_path / f"{number}" for number in count())
        for seed in range(self.histories):
            steps = _history(Random(seed))
            complaint = self._complaint(steps, folders)
            if complaint is not None:
                steps, complaint = self._shortest(steps, complaint, folders)
                said = (f"{verb}: {words}" for verb, words in steps)
                pytest.fail("\n".join((f"history {seed}", *said, complaint())))
        assert self.answers >= self.histories * self.answers_min

    def _complaint(
        self, steps: Sequence[_Step], folders: Iterator[Path]
    ) -> _Complaint | None:
        """
        Return where the storage and the reference differ; `None` if nowhere.
        """
        path = next(folders)
        path.mkdir()
        storage = self.opened(path)
        try:
            with MemoryStorage() as reference:
                for verb, words in [*steps, ("everything", ())]:
                    if verb == "reopen":
                        if Capability.DURABLE in storage.capabilities:
                            storage.close()
                            storage = self.reopened(storage)
                        continue
                    ask = _question(reference, verb, words)
                    expected, found = _asked(ask, reference), _asked(ask, storage)
                    if found != expected:
                        return partial(_difference, verb, found, expected)
                    self.answers += len(expected) if isinstance(expected, dict) else 1
        finally:
            storage.close()
            shutil.rmtree(path)
        return None

    def _shortest(
        self, steps: list[_Step], complaint: _Complaint, folders: Iterator[Path]
    ) -> tuple[list[_Step], _Complaint]:
        """
        Leave out whatever the complaint does not need.
        """
        for place in reversed(range(len(steps))):
            fewer = steps[:place] + steps[place + 1 :]
            said = self._complaint(fewer, folders)
            if said is not None:
                steps, complaint = fewer, said
        return steps, complaint
