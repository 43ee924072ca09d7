"""
The verbs in SQL, written once: for SQLite and PostgreSQL, blocking and awaited,
on connections of our own and inside a transaction of the host's.

A verb is a generator: it yields a statement and its values, and is sent the rows.
Whoever drives it has the connection and the transaction.  Placeholders are `?`;
no statement contains a question mark or a per cent sign otherwise.
"""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias, TypeVar, final

import attrs

from ..errors import StorageError
from ..wallet import FINGERPRINT
from . import (
    Books,
    Change,
    CommitResult,
    EffectResult,
    Page,
    Parked,
    Query,
    Receipt,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
    Summary,
)
from .checks import (
    MONEY,
    NEVER,
    after_text,
    check_ids,
    check_limit,
    check_result,
    check_values,
    effect_after,
    effect_place,
    lease_end,
    place_after,
)

__all__ = [
    "EFFECT_COLUMNS",
    "EVENT_COLUMNS",
    "MOVES_ON",
    "NOT_HERE",
    "ORDER_COLUMNS",
    "RECEIPT_COLUMNS",
    "RESULT_COLUMNS",
    "TEXT_COLUMNS",
    "Asking",
    "Dialect",
    "Migration",
    "Row",
    "SqlVerbs",
    "Statement",
    "effect_values",
    "event_values",
    "is_name",
    "order_values",
    "receipt_values",
    "result_values",
    "tables",
    "text_values",
]

_T = TypeVar("_T")

Row: TypeAlias = Sequence[Any]
Statement: TypeAlias = tuple[str, Sequence[Any]]
Asking: TypeAlias = Generator[Statement, Sequence[Row], _T]

# --- the schema -------------------------------------------------------------------

# What both databases refuse, whoever asks, a faulty engine included: books that do
# not add up (I1), a second settlement (I4), an effect's key or an idempotency key
# used twice (I8, I17), amounts out of range (I25).  The rest (I13) is in triggers,
# which each of them writes in its own way.
_MONEY: Final = tuple(f"{name}_minor" if name == "price" else name for name in MONEY)
_TABLES: Final = (
    f"""\
CREATE TABLE escrowflow_order (
    order_id {{text}} NOT NULL PRIMARY KEY,
    version {{int}} NOT NULL CHECK (version >= 1),
    process {{text}} NOT NULL, fingerprint {{text}} NOT NULL,
    state {{text}} NOT NULL, late {{int}} NOT NULL CHECK (late IN (0, 1)),
    currency {{text}} NOT NULL,
    {", ".join(f"{name} {{int}} NOT NULL CHECK ({name} >= 0)" for name in _MONEY)},
    unassigned {{int}} NOT NULL CHECK (unassigned IN (0, 1)),
    due_at {{int}}, lease_until {{int}},
    parked_since {{int}}, parked_until {{int}}, parked_attempts {{int}},
    parked_reason {{text}},
    head {{blob}} NOT NULL CHECK (length(head) = 32), snapshot {{blob}} NOT NULL,
    CHECK (paid_in = held + refunded + released + kept)
){{strict}}""",
    """\
CREATE TABLE escrowflow_event (
    order_id {text} NOT NULL REFERENCES escrowflow_order,
    seq {int} NOT NULL CHECK (seq >= 1), name {text} NOT NULL,
    effective_at {int} NOT NULL CHECK (effective_at >= 0),
    recorded_at {int} NOT NULL CHECK (recorded_at >= 0),
    settles {int} NOT NULL CHECK (settles IN (0, 1)),
    body {blob} NOT NULL, hash {blob} NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (order_id, seq)
){strict}""",
    """\
CREATE TABLE escrowflow_effect (
    order_id {text} NOT NULL, key {text} NOT NULL,
    seq {int} NOT NULL, place {int} NOT NULL, kind {text} NOT NULL,
    moves_money {int} NOT NULL CHECK (moves_money IN (0, 1)),
    status {text} NOT NULL
        CHECK (status IN ('waiting', 'claimed', 'done', 'parked')),
    attempts {int} NOT NULL CHECK (attempts >= 0),
    token {int} NOT NULL CHECK (token >= 0), ready_at {int} NOT NULL,
    body {blob} NOT NULL, result {blob} NOT NULL,
    PRIMARY KEY (order_id, key),
    FOREIGN KEY (order_id, seq) REFERENCES escrowflow_event
){clustered}""",
    """\
CREATE TABLE escrowflow_receipt (
    order_id {text} NOT NULL REFERENCES escrowflow_order, key {text} NOT NULL,
    fingerprint {text} NOT NULL, first {int} NOT NULL, last {int} NOT NULL,
    PRIMARY KEY (order_id, key)
){clustered}""",
    """\
CREATE TABLE escrowflow_party (
    order_id {text} NOT NULL REFERENCES escrowflow_order,
    role {text} NOT NULL, id {text} NOT NULL,
    PRIMARY KEY (order_id, role, id)
){clustered}""",
    """\
CREATE TABLE escrowflow_text (
    order_id {text} NOT NULL REFERENCES escrowflow_order, ref {text} NOT NULL,
    subject_id {text} NOT NULL, salt {blob} NOT NULL, text {text} NOT NULL,
    PRIMARY KEY (order_id, ref)
){clustered}""",
    "CREATE INDEX escrowflow_order_due ON escrowflow_order (due_at, order_id)"
    " WHERE due_at IS NOT NULL",
    "CREATE INDEX escrowflow_order_held ON escrowflow_order (order_id)"
    " WHERE parked_until IS NOT NULL OR lease_until IS NOT NULL",
    "CREATE INDEX escrowflow_order_unassigned ON escrowflow_order (order_id)"
    " WHERE unassigned = 1",
    # Few hold money at a time, and an order enters and leaves it once.
    "CREATE INDEX escrowflow_order_holding ON escrowflow_order (order_id)"
    " WHERE held > 0",
    "CREATE UNIQUE INDEX escrowflow_event_settles ON escrowflow_event (order_id)"
    " WHERE settles = 1",
    "CREATE INDEX escrowflow_effect_ready ON escrowflow_effect ({ready})"
    " WHERE status IN ('waiting', 'claimed')",
    # Few are claimed at a time: those of a clock that is wrong are found at once.
    "CREATE INDEX escrowflow_effect_claimed ON escrowflow_effect ({ready})"
    " WHERE status = 'claimed'",
    "CREATE INDEX escrowflow_effect_parked ON escrowflow_effect (order_id, key)"
    " WHERE status = 'parked'",
    "CREATE UNIQUE INDEX escrowflow_party_order"
    " ON escrowflow_party (id, order_id, role)",
    "CREATE INDEX escrowflow_text_subject ON escrowflow_text (subject_id)",
    # For the host's own joins, admin pages and reports.
    """\
CREATE VIEW escrowflow_orders AS SELECT
    order_id, process, state, late,
    {parties},
    price_minor, currency, due_at, version
FROM escrowflow_order o WHERE o.fingerprint <> '{wallets}'""".replace(
        "{wallets}", FINGERPRINT
    ).replace(
        "{parties}",
        ",\n    ".join(
            f"(SELECT min(id) FROM escrowflow_party p WHERE p.order_id = o.order_id"
            f" AND p.role = '{role}') AS {role}_id"
            for role in ("buyer", "seller", "mediator")
        ),
    ),
)


def tables(**words: str) -> tuple[str, ...]:
    """
    Return the statements that make tables, indexes and the view.

    Args:
        words: What the database calls `text`, `int` and `blob`, and what it writes
            behind a table that is `strict`, and behind one whose rows lie in the
            order of its key, `clustered`; the columns of the index of effects that
            are `ready`.
    """
    return tuple(statement.format(**words) for statement in _TABLES)


# Of a database in which nothing is made unasked.
NOT_HERE: Final = (
    "no orders are kept in this database: name another one, or call storage.migrate() "
    "to make their tables"
)

SCHEMA_TABLE: Final = """\
CREATE TABLE escrowflow_schema (
    version {int} NOT NULL PRIMARY KEY, checksum {text} NOT NULL, oldest {int} NOT NULL
){strict}"""


@final
@attrs.frozen
class Migration:
    """
    One step of the schema.  Once released it is never edited: its checksum is kept
    where it was applied.

    Attributes:
        version: The version of the schema after it, from 1.

        statements: What it does.

        oldest: The version whose release may still run beside it.
    """

    version: int
    statements: tuple[str, ...]
    oldest: int

    @property
    def checksum(self) -> str:
        """
        The hash of its statements.
        """
        return hashlib.sha256(";\n".join(self.statements).encode()).hexdigest()


# --- rows -------------------------------------------------------------------------


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))


_EVENT: Final = _names(StoredEvent)
_EFFECT: Final = _names(StoredEffect)
_RECEIPT: Final = _names(Receipt)
_TEXT: Final = _names(StoredText)
PARKED: Final = tuple(f"parked_{name}" for name in _names(Parked))
_of_parked: Final = attrgetter(*_names(Parked))
_NOT_PARKED: Final = (None,) * len(PARKED)

# What an order loses when it moves on.
MOVES_ON: Final = "".join(f", {name} = NULL" for name in ("lease_until", *PARKED))

# The columns of an order that change with it, and their values.
ORDER_COLUMNS: Final = (
    *("version", "process", "fingerprint", "state", "late", "currency"),
    *_MONEY,
    *("unassigned", "due_at", "snapshot"),
)
order_values: Final = attrgetter(
    *("version", "process", "fingerprint", "state", "late", "books.currency"),
    *(f"books.{name}" for name in MONEY),
    *("unassigned", "due_at", "snapshot"),
)
_BOOKS: Final = ("currency", *MONEY)
_SUMMARY: Final = (
    *("process", "fingerprint", "state", "late", "unassigned", "currency"),
    *_MONEY,
)
RECEIPT_COLUMNS: Final = _RECEIPT
receipt_values: Final = attrgetter(*_RECEIPT)
TEXT_COLUMNS: Final = _TEXT
text_values: Final = attrgetter(*_TEXT)
RESULT_COLUMNS: Final = ("status", "attempts", "ready_at", "result")
result_values: Final = attrgetter("status", "attempts", "ready_at", "body")
EVENT_COLUMNS: Final = _EVENT
event_values: Final = attrgetter(*_EVENT)
EFFECT_COLUMNS: Final = (
    *("seq", "key", "kind", "moves_money", "ready_at", "body", "status", "attempts"),
    "result",
)
effect_values: Final = attrgetter(*EFFECT_COLUMNS)


def _event(row: Row) -> StoredEvent:
    seq, name, effective_at, recorded_at, settles, body, digest = row
    return StoredEvent(
        seq=seq,
        name=name,
        effective_at=effective_at,
        recorded_at=recorded_at,
        settles=bool(settles),
        body=bytes(body),
        hash=bytes(digest),
    )


def _effect(row: Row) -> StoredEffect:
    fields = dict(zip(_EFFECT, row, strict=True))
    fields["moves_money"] = bool(fields["moves_money"])
    fields["body"] = bytes(fields["body"])
    fields["result"] = bytes(fields["result"])
    return StoredEffect(**fields)


def _order(row: Row, key: str | None = None) -> StoredOrder:
    order_id, version, snapshot, head, due_at, since, until, attempts, reason = row[:9]
    receipt = None
    if key is not None and row[10] is not None:
        receipt = Receipt(key=key, fingerprint=row[10], first=row[11], last=row[12])
    return StoredOrder(
        order_id=order_id,
        version=version,
        snapshot=bytes(snapshot),
        head=bytes(head),
        due_at=due_at,
        parked=None
        if until is None
        else Parked(since=since, until=until, attempts=attempts, reason=reason),
        receipt=receipt,
        texts=json.loads(row[9]) if row[9] else {},
    )


_ORDER: Final = (
    *("order_id", "version", "snapshot", "head", "due_at"),
    *PARKED,
)


# --- the verbs --------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Dialect:
    """
    What one database says differently.

    Attributes:
        pairs: The function that makes one JSON text of many pairs.

        greatest: The function that returns the greatest of several values.

        each: A query with one row for each item of a JSON list that is passed in.

        lock: What stands behind a query whose rows are about to be written.

        join: From a party to its orders, and not the other way round.
    """

    pairs: str
    greatest: str
    each: str
    lock: str
    join: str


@attrs.frozen
class _Page:
    """
    The parts of what is found, each in the order of an index: which orders, in
    which order, and which of them lie behind the last page.
    """

    where: str
    order: str
    behind: str


_BY_ID: Final = (
    _Page("TRUE", "escrowflow_order.order_id", "escrowflow_order.order_id > ?"),
)
_BY_DUE: Final = (
    _Page(
        "due_at IS NOT NULL",
        "due_at, escrowflow_order.order_id",
        "(due_at, escrowflow_order.order_id) > (?, ?)",
    ),
    _Page(
        "due_at IS NULL",
        "escrowflow_order.order_id",
        f"({NEVER}, escrowflow_order.order_id) > (?, ?)",
    ),
)


class SqlVerbs(abc.ABC):
    """
    The verbs of a storage, as generators; see `Storage`.

    Left to those who know one database: `commit`, `parts`, `lacking`.

    Attributes:
        migrations: The steps of the schema, oldest first.

        database: `"sqlite"` or `"postgresql"`.

        words: What the database calls things; see `tables`.
    """

    database: str
    words: Mapping[str, str]

    def __init__(self, dialect: Dialect, migrations: Sequence[Migration]) -> None:
        self.migrations = tuple(migrations)
        # No aliases: SQLite does not know them behind RETURNING.
        columns = ", ".join(f"escrowflow_order.{name}" for name in _ORDER)
        columns += f"""
, (SELECT {dialect.pairs.format("t.ref, t.text")} FROM escrowflow_text t
    WHERE t.order_id = escrowflow_order.order_id)"""
        effects = ", ".join(f"escrowflow_effect.{name}" for name in _EFFECT)
        self._dialect = dialect
        self._load = f"SELECT {columns} FROM escrowflow_order WHERE order_id = ?"
        self._load_key = (
            f"SELECT {columns}, r.fingerprint, r.first, r.last"
            " FROM escrowflow_order LEFT JOIN escrowflow_receipt r"
            " ON r.order_id = escrowflow_order.order_id AND r.key = ?"
            " WHERE escrowflow_order.order_id = ?"
        )
        self._find = f"SELECT {columns} FROM "
        self._events = (
            f"SELECT {', '.join(_EVENT)} FROM escrowflow_event"
            " WHERE order_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        self._effects = (
            f"SELECT {effects} FROM escrowflow_effect"
            " WHERE order_id = ? ORDER BY seq, place"
        )
        # What is ready too late, or was long ago, has an index by instant: it is read
        # before it is sorted.
        behind = "(order_id, key) {beyond} (?, ?) ORDER BY order_id, key LIMIT ?"
        self._stuck_effects = f"""
SELECT * FROM (
    SELECT {effects} FROM escrowflow_effect WHERE status = 'parked' AND {behind}
) AS parked
UNION ALL
SELECT * FROM (
    WITH late AS MATERIALIZED (
        SELECT {effects} FROM escrowflow_effect
        WHERE status IN ('waiting', 'claimed') AND ready_at > ?
        UNION ALL
        SELECT {effects} FROM escrowflow_effect
        WHERE status IN ('waiting', 'claimed') AND ready_at < ? AND ready_at <= ?
            AND moves_money = 1
    )
    SELECT * FROM late WHERE {behind}
) AS later
""".lstrip()
        self._summary = (
            f"SELECT {', '.join(f'o.{name}' for name in _SUMMARY)}, p.role, p.id"
            " FROM escrowflow_order o LEFT JOIN escrowflow_party p"
            " ON p.order_id = o.order_id WHERE o.order_id = ?"
        )
        self._receipts = (
            f"SELECT {', '.join(_RECEIPT)} FROM escrowflow_receipt"
            " WHERE order_id = ? ORDER BY key"
        )
        self._texts = (
            f"SELECT {', '.join(_TEXT)} FROM escrowflow_text"
            " WHERE order_id = ? ORDER BY ref"
        )
        # The rows to write are chosen first, and locked: whoever else wants some
        # takes the next ones.
        self._claim_due = f"""
WITH due AS MATERIALIZED (
    SELECT order_id FROM escrowflow_order
    WHERE due_at <= ?
        AND (lease_until IS NULL OR lease_until <= ? OR lease_until > ?)
        AND (parked_until IS NULL OR parked_until <= ?){{wanted}}
    ORDER BY due_at, order_id LIMIT ?{dialect.lock}
)
UPDATE escrowflow_order SET lease_until = ?
FROM due WHERE escrowflow_order.order_id = due.order_id RETURNING {columns}
"""
        self._claim_effects = f"""
WITH ready AS MATERIALIZED (
    SELECT order_id, key FROM escrowflow_effect
    WHERE status IN ('waiting', 'claimed') AND ready_at <= ?{{wanted}}
    ORDER BY ready_at, order_id, seq, key LIMIT ?{dialect.lock}
),
wrong AS MATERIALIZED (
    SELECT order_id, key FROM escrowflow_effect
    WHERE status = 'claimed' AND ready_at > ?{{wanted}}
    ORDER BY ready_at, order_id, seq, key LIMIT ? - (SELECT count(*) FROM ready){dialect.lock}
)
UPDATE escrowflow_effect SET status = 'claimed', attempts = attempts + 1, token = token + 1, ready_at = ?
FROM (SELECT * FROM ready UNION ALL SELECT * FROM wrong) AS chosen
WHERE escrowflow_effect.order_id = chosen.order_id
    AND escrowflow_effect.key = chosen.key
RETURNING {effects}
"""
        self._park = (
            f"UPDATE escrowflow_order SET {', '.join(f'{name} = ?' for name in PARKED)}"
            ", lease_until = NULL WHERE order_id = ? AND version = ? RETURNING 1"
        )
        # Few orders are held back, and have an index of their own: `+ 0` keeps SQLite
        # from reading all that are due instead.  Of the others the index knows the
        # first.
        self._next_due = f"""
SELECT min(instant) FROM (
    SELECT * FROM (
        SELECT due_at AS instant FROM escrowflow_order
        WHERE due_at IS NOT NULL AND parked_until IS NULL AND lease_until IS NULL{{wanted}}
        ORDER BY due_at LIMIT 1
    ) AS free
    UNION ALL
    SELECT {dialect.greatest}(
        due_at, coalesce(parked_until, 0), CASE WHEN
            lease_until - ? > {dialect.greatest}(due_at, coalesce(parked_until, 0), ?)
        THEN 0 ELSE coalesce(lease_until, 0) END
    ) FROM escrowflow_order
    WHERE due_at + 0 IS NOT NULL
        AND (parked_until IS NOT NULL OR lease_until IS NOT NULL){{wanted}}
) AS waits
"""
        self._settle_effect = (
            "UPDATE escrowflow_effect SET "
            + ", ".join(f"{name} = ?" for name in RESULT_COLUMNS)
            + " WHERE order_id = ? AND key = ? AND token = ? AND status <> 'done'"
            " RETURNING 1"
        )
        self._next_effect = """
SELECT min(instant) FROM (
    SELECT * FROM (
        SELECT ready_at AS instant FROM escrowflow_effect
        WHERE status IN ('waiting', 'claimed')
            AND (status = 'waiting' OR ready_at <= ?){wanted}
        ORDER BY ready_at LIMIT 1
    ) AS others
    UNION ALL
    SELECT * FROM (
        SELECT CAST(? AS bigint) FROM escrowflow_effect
        WHERE status = 'claimed' AND ready_at > ?{wanted} LIMIT 1
    ) AS wrong
) AS waits
""".lstrip()

    # --- one order ----------------------------------------------------------------

    def load(self, order_id: str, key: str | None = None) -> Asking[StoredOrder]:
        if key is None:
            rows = yield self._load, (order_id,)
        else:
            rows = yield self._load_key, (key, order_id)
        return _order(rows[0], key) if rows else StoredOrder(order_id=order_id)

    @abc.abstractmethod
    def commit(self, changes: Sequence[Change]) -> Asking[Sequence[CommitResult]]: ...

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Asking[Sequence[StoredEvent]]:
        check_limit(limit)
        rows = yield self._events, (order_id, after, limit)
        return tuple(map(_event, rows))

    def effects(self, order_id: str) -> Asking[Sequence[StoredEffect]]:
        rows = yield self._effects, (order_id,)
        return tuple(map(_effect, rows))

    def summary(self, order_id: str) -> Asking[Summary | None]:
        rows = yield self._summary, (order_id,)
        if not rows:
            return None
        process, fingerprint, state, late, unassigned, *books = rows[0][:-2]
        parties = sorted((role, id_) for *_, role, id_ in rows if role is not None)
        return Summary(
            process=process,
            fingerprint=fingerprint,
            state=state,
            late=bool(late),
            books=_made(Books, _BOOKS, books),
            parties=tuple(parties),
            unassigned=bool(unassigned),
        )

    def receipts(self, order_id: str) -> Asking[Sequence[Receipt]]:
        rows = yield self._receipts, (order_id,)
        return tuple(_made(Receipt, _RECEIPT, row) for row in rows)

    def texts(self, order_id: str) -> Asking[Sequence[StoredText]]:
        rows = yield self._texts, (order_id,)
        return tuple(
            attrs.evolve(text, salt=bytes(text.salt))
            for text in (_made(StoredText, _TEXT, row) for row in rows)
        )

    # --- what is next -------------------------------------------------------------

    def claim_due(
        self,
        now: int,
        until: int,
        limit: int,
        known: Collection[str] | None = None,
    ) -> Asking[Sequence[StoredOrder]]:
        check_limit(limit)
        wanted, values = self._among("fingerprint", known)
        sql = self._claim_due.format(wanted=wanted)
        end = lease_end(now, until)
        rows = yield sql, (now, now, end, now, *values, limit, until)
        found = map(_order, rows)
        return tuple(sorted(found, key=lambda order: (order.due_at, order.order_id)))

    def park(self, order_id: str, version: int, parked: Parked | None) -> Asking[bool]:
        if parked is not None:
            check_values(order_id, parked)
        values = _NOT_PARKED if parked is None else _of_parked(parked)
        rows = yield self._park, (*values, order_id, version)
        return bool(rows)

    def next_due(
        self, now: int, until: int, known: Collection[str] | None = None
    ) -> Asking[int | None]:
        wanted, values = self._among("fingerprint", known)
        lease = lease_end(now, until) - now
        sql = self._next_due.format(wanted=wanted)
        rows = yield sql, (*values, lease, now, *values)
        instant: int | None = rows[0][0]
        return instant

    def claim_effects(
        self,
        now: int,
        until: int,
        limit: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Asking[Sequence[StoredEffect]]:
        check_limit(limit)
        wanted, values = self._wanted(kinds, known)
        sql = self._claim_effects.format(wanted=wanted)
        end = lease_end(now, until)
        rows = yield sql, (now, *values, limit, end, *values, limit, until)
        # The claim has overwritten since when each was ready.
        return tuple(
            sorted(map(_effect, rows), key=attrgetter("order_id", "seq", "key"))
        )

    def settle_effect(self, order_id: str, result: EffectResult) -> Asking[bool]:
        check_result(order_id, result)
        rows = yield (
            self._settle_effect,
            (*result_values(result), order_id, result.key, result.token),
        )
        return bool(rows)

    def next_effect(
        self,
        now: int,
        until: int,
        kinds: Collection[str] | None = None,
        known: Collection[str] | None = None,
    ) -> Asking[int | None]:
        wanted, values = self._wanted(kinds, known)
        sql = self._next_effect.format(wanted=wanted)
        end = lease_end(now, until)
        rows = yield sql, (end, *values, now, end, *values)
        instant: int | None = rows[0][0]
        return instant

    def _wanted(
        self, kinds: Collection[str] | None, known: Collection[str] | None
    ) -> tuple[str, tuple[Any, ...]]:
        """
        Return what narrows effects, and its values.
        """
        wanted, values = self._among("kind", kinds)
        # Looked up for each effect: a join could read all orders instead.
        process = (
            "(SELECT o.fingerprint FROM escrowflow_order o"
            " WHERE o.order_id = escrowflow_effect.order_id)"
        )
        ours, prints = self._among(process, known)
        return wanted + ours, (*values, *prints)

    # --- many orders --------------------------------------------------------------

    def stuck_effects(
        self, overdue: int, beyond: int, after: str | None = None, limit: int = 50
    ) -> Asking[Page[StoredEffect]]:
        check_limit(limit)
        place = ("", "") if after is None else effect_place(after)
        behind = (*place, limit + 1)
        # Nothing is before the least of texts, which may itself be a key.
        sql = self._stuck_effects.format(beyond=">=" if after is None else ">")
        rows = yield sql, (*behind, beyond, overdue, beyond, *behind)
        items = tuple(sorted(map(_effect, rows), key=attrgetter("order_id", "key")))
        if len(items) <= limit:
            return Page(items)
        last = items[limit - 1]
        return Page(items[:limit], effect_after(last))

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Asking[Page[StoredOrder]]:
        check_limit(limit)
        place = place_after(after, by_due=query.by_due)
        source, values = self._source(query)
        sql, places = [], []
        parts = _BY_DUE if query.by_due else _BY_ID
        # What is due by some instant is in the first part.
        for part in parts if query.due_by is None else parts[:1]:
            behind, at = "TRUE", tuple[Any, ...]()
            if place is not None:
                behind = part.behind
                at = place if query.by_due else place[1:]
            sql.append(
                f"SELECT * FROM ({self._find}{source} AND {part.where} AND {behind}"
                f" ORDER BY {part.order} LIMIT ?) AS part"
            )
            places += [*values, *at, limit + 1]
        rows = yield " UNION ALL ".join(sql), places
        found = sorted(map(_order, rows), key=_by_due if query.by_due else _by_id)
        items = tuple(found[:limit])
        if len(found) <= limit:
            return Page(items)
        last = items[-1]
        due_at = NEVER if last.due_at is None else last.due_at
        return Page(items, after_text(due_at, last.order_id, by_due=query.by_due))

    def _source(self, query: Query) -> tuple[str, list[Any]]:
        wanted, values = self._among("state", query.states)
        if query.subject is not None:
            wanted += (
                " AND escrowflow_order.order_id IN"
                " (SELECT order_id FROM escrowflow_text WHERE subject_id = ?)"
            )
            values += (query.subject,)
        if query.due_by is not None:
            wanted += " AND due_at <= ?"
            values += (query.due_by,)
        if query.unknown_to is not None:
            ours, prints = self._among("fingerprint", query.unknown_to, no="NOT ")
            wanted += ours
            values += prints
        flags = (
            (" AND unassigned = 1" if query.unassigned else "")
            + (" AND parked_until IS NOT NULL" if query.parked else "")
            + (" AND held > 0" if query.holding else "")
        )
        other = "EXISTS (SELECT 1 FROM escrowflow_party q WHERE q.order_id = escrowflow_order.order_id"
        if query.party is not None:
            # From the party to its orders; each of them once, whatever the number
            # of roles.
            source = (
                f"escrowflow_party p {self._dialect.join} escrowflow_order"
                " ON escrowflow_order.order_id = p.order_id WHERE p.id = ?"
            )
            if query.role is not None:
                return f"{source} AND p.role = ?{wanted}{flags}", [
                    *(query.party, query.role),
                    *values,
                ]
            once = f"NOT {other} AND q.id = p.id AND q.role < p.role)"
            return f"{source} AND {once}{wanted}{flags}", [query.party, *values]
        source = "escrowflow_order WHERE "
        if query.role is not None:
            return f"{source}{other} AND q.role = ?){wanted}{flags}", [
                query.role,
                *values,
            ]
        return f"{source}TRUE{wanted}{flags}", list(values)

    def _among(
        self, column: str, values: Collection[str] | None, *, no: str = ""
    ) -> tuple[str, tuple[Any, ...]]:
        if values is None:
            return "", ()
        # What a list in JSON cannot carry is the name of nothing.
        names = json.dumps([name for name in values if is_name(name)])
        return f" AND {no}({column} IN ({self._dialect.each}))", (names,)

    # --- personal texts -----------------------------------------------------------

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> Asking[int]:
        check_ids(order_ids)
        erased = 0
        for order_id in order_ids:
            rows = yield (
                "DELETE FROM escrowflow_text WHERE order_id = ? AND subject_id = ?"
                " RETURNING ref",
                (order_id, subject_id),
            )
            erased += len(rows)
        return erased

    # --- the schema ---------------------------------------------------------------

    @abc.abstractmethod
    def parts(self) -> Asking[Mapping[str, str]]:
        """
        Return what is there of ours: its name, and what it is.
        """

    def check_session(self) -> Asking[None]:
        """
        Raise unless the settings of a session can hold what is promised.
        """
        # Unless a database has some that matter.
        yield from ()

    def inspect(self) -> Asking[bool]:
        """
        Return whether the schema is there, whole and known to this release.

        Raises:
            StorageError: If it is there and is not.
        """
        there = yield from self.parts()
        if not there:
            return False
        applied = yield from self._applied(there)
        newest = self.migrations[-1].version
        last = max(applied, default=0)
        if last < newest:
            raise StorageError(
                f"schema version {last}, and this release needs version {newest}: "
                "call storage.migrate()"
            )
        if last > newest and applied[last][1] > newest:
            raise StorageError(
                f"schema version {last}, but this release knows version {newest}: "
                "use the release that wrote it"
            )
        for step in self.migrations:
            checksum, _ = applied.get(step.version, ("", 0))
            if checksum != step.checksum:
                raise StorageError(
                    f"schema version {step.version} is not what this release knows "
                    "under that number: use the release that wrote it"
                )
        lacking = self.lacking(there, exact=last == newest)
        if lacking:
            raise StorageError(
                f"the schema was changed: {len(lacking)} parts are not as they were "
                f"made, such as {lacking[0]}"
            )
        return True

    @abc.abstractmethod
    def lacking(self, there: Mapping[str, str], *, exact: bool) -> Sequence[str]:
        """
        Return the parts that are not as they were made.

        Args:
            exact: Whether no newer release may have changed them.
        """

    def migrate(self, upto: int | None = None) -> Asking[None]:
        """
        Apply the steps that are missing; inside a transaction that nobody else is
        in.

        Args:
            upto: The last of them; without, the newest.
        """
        newest = self.migrations[-1].version if upto is None else upto
        there = yield from self.parts()
        if there:
            applied = yield from self._applied(there)
        else:
            applied = {}
            yield SCHEMA_TABLE.format(**self.words), ()
        for step in self.migrations:
            if max(applied, default=0) < step.version <= newest:
                for statement in step.statements:
                    yield statement, ()
                yield (
                    "INSERT INTO escrowflow_schema VALUES (?, ?, ?)",
                    (step.version, step.checksum, step.oldest),
                )

    def _applied(
        self, there: Mapping[str, str]
    ) -> Asking[Mapping[int, tuple[str, int]]]:
        if "escrowflow_schema" not in there:
            raise StorageError("tables of that name are there, but not made by us")
        rows = yield "SELECT version, checksum, oldest FROM escrowflow_schema", ()
        return {version: (checksum, oldest) for version, checksum, oldest in rows}

    def ddl(self) -> tuple[str, ...]:
        """
        Return every statement that makes the schema in an empty database.
        """
        return (
            SCHEMA_TABLE.format(**self.words),
            *(statement for step in self.migrations for statement in step.statements),
            *(
                "INSERT INTO escrowflow_schema VALUES "
                f"({step.version}, '{step.checksum}', {step.oldest})"
                for step in self.migrations
            ),
        )


def _made(kind: Callable[..., _T], names: Sequence[str], row: Row) -> _T:
    return kind(**dict(zip(names, row, strict=True)))


def is_name(text: str) -> bool:
    """
    Whether a text can be the name of anything, in every database.
    """
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _by_id(order: StoredOrder) -> Any:
    return order.order_id


def _by_due(order: StoredOrder) -> Any:
    return (NEVER if order.due_at is None else order.due_at, order.order_id)
