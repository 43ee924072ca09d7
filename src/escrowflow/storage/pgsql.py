"""
The verbs as PostgreSQL says them, and its schema.  No driver is known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, final

import attrs

from ..errors import StorageError
from . import Change, CommitResult, EffectResult
from .checks import check_changes
from .sql import (
    EFFECT_COLUMNS,
    EVENT_COLUMNS,
    ORDER_COLUMNS,
    PARKED,
    RECEIPT_COLUMNS,
    RESULT_COLUMNS,
    TEXT_COLUMNS,
    Asking,
    Dialect,
    Migration,
    SqlVerbs,
    Statement,
    effect_values,
    event_values,
    is_name,
    order_values,
    receipt_values,
    result_values,
    tables,
    text_values,
)

__all__ = ["MIGRATION_LOCK", "PostgresVerbs"]

# Who migrates waits for whoever does: a number that nobody else takes.
MIGRATION_LOCK: Final[Statement] = (
    "SELECT pg_advisory_xact_lock(?)",
    (int.from_bytes(b"escrow01", "big"),),
)

# --- the schema -------------------------------------------------------------------

# Ids are compared byte by byte, as Python compares them, whatever the language of
# the database; an index of a language's order breaks when its rules are updated.
_WORDS: Final = {
    "text": 'text COLLATE "C"',
    "int": "bigint",
    "blob": "bytea",
    # A snapshot of a few kilobytes is kept in its row, as it is: packing it would
    # cost more than all of its indexes.
    "strict": " WITH (toast_tuple_target = 4080)",
    "clustered": "",
    # In the order of the query: of many that became ready at once, none is sorted.
    "ready": "ready_at, order_id, seq",
}

_DIALECT: Final = Dialect(
    pairs="CAST(json_object_agg({}) AS text)",
    greatest="greatest",
    # See `PostgresVerbs._among`.
    each="",
    # Who only refers to the row need not wait.
    lock=" FOR NO KEY UPDATE SKIP LOCKED",
    join="JOIN",
)


def _refusal(name: str, when: str, table: str, why: str, condition: str = "") -> str:
    """
    Return a trigger that refuses.

    One for each statement costs those that do something else nothing; one for each
    row, only its condition.
    """
    each = f"FOR EACH ROW WHEN ({condition})" if condition else "FOR EACH STATEMENT"
    return (
        f"CREATE TRIGGER escrowflow_{name}\n{when} ON escrowflow_{table}\n"
        f"{each} EXECUTE FUNCTION escrowflow_refuse('{why}')"
    )


_TRIGGERS: Final = (
    """\
CREATE FUNCTION escrowflow_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
        MESSAGE = TG_ARGV[0];
END $$""",
    # Once for all events of a statement.  Each looks up the one before it by its
    # key; a join could read the whole table instead.
    """\
CREATE FUNCTION escrowflow_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added WHERE added.seq > 1 AND NOT coalesce((
            SELECT e.effective_at <= added.effective_at FROM escrowflow_event e
            WHERE e.order_id = added.order_id AND e.seq = added.seq - 1
        ), FALSE)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'an event follows the last one, in number and time';
    END IF;
    RETURN NULL;
END $$""",
    """\
CREATE TRIGGER escrowflow_event_follows
AFTER INSERT ON escrowflow_event REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION escrowflow_follow()""",
    _refusal(
        *("event_fixed", "BEFORE UPDATE OR DELETE OR TRUNCATE", "event"),
        "an event is never changed, and never deleted",
    ),
    _refusal(
        *("order_grows", "AFTER UPDATE OF version", "order"),
        "the version of an order only grows",
        "NEW.version < OLD.version",
    ),
    _refusal(
        *("order_fixed", "BEFORE UPDATE OF order_id", "order"),
        "the id of an order is never changed",
    ),
    _refusal(
        *("order_stays", "BEFORE DELETE OR TRUNCATE", "order"),
        "an order is never deleted",
    ),
    _refusal(
        "effect_fixed",
        "BEFORE UPDATE OF order_id, key, seq, place, kind, moves_money, body",
        "effect",
        "what an effect asks for is never changed",
    ),
    _refusal(
        *("effect_fenced", "AFTER UPDATE OF status, token", "effect"),
        "an effect is done once, and its token only grows",
        "OLD.status = 'done' OR NEW.token < OLD.token",
    ),
    _refusal(
        *("effect_stays", "AFTER DELETE", "effect"),
        "an effect is never deleted before it is done",
        "OLD.status <> 'done'",
    ),
    _refusal(
        *("effect_kept", "BEFORE TRUNCATE", "effect"),
        "an effect is never deleted before it is done",
    ),
    _refusal(
        *("receipt_fixed", "BEFORE UPDATE OR DELETE OR TRUNCATE", "receipt"),
        "a receipt is never changed, and never deleted",
    ),
)

_MIGRATIONS: Final = (
    Migration(version=1, oldest=1, statements=(*tables(**_WORDS), *_TRIGGERS)),
)

# --- what goes into a statement ---------------------------------------------------

# Up to so many rows are written out, which is cheapest, for the driver and for the
# server; more go as arrays, one for each column, so that there are few statements,
# and each of them soon is a prepared one.
_FEW: Final = 4
_MANY: Final = _FEW + 1

# How many statements are remembered.
_STATEMENTS_MAX: Final = 1000

_BYTES: Final = frozenset({"body", "hash", "head", "result", "salt", "snapshot"})
_FLAGS: Final = frozenset({"late", "moves_money", "replaces", "settles", "unassigned"})
_WORDY: Final = frozenset(
    {"currency", "fingerprint", "id", "key", "kind", "name", "order_id"}
    | {"parked_reason", "process", "ref", "role", "state", "status", "subject_id"}
    | {"text"}
)


def _kind(column: str) -> type:
    if column in _BYTES:
        return bytes
    if column in _FLAGS:
        return bool
    return str if column in _WORDY else int


# A flag is a number in the table; whoever passes it in passes a truth value.
_TYPES: Final = {bytes: "bytea", bool: "boolean", str: "text", int: "bigint"}


@final
class _Input:
    """
    Rows that are passed to a statement, under a name.
    """

    def __init__(self, name: str, *columns: str) -> None:
        self.name = name
        self.columns = columns
        self._kinds = tuple(map(_kind, columns))
        self._good = {self._kinds}

    def cte(self, count: int) -> str:
        """
        Return what makes them a table of the statement.
        """
        names = ", ".join(self.columns)
        types = [_TYPES[kind] for kind in self._kinds]
        if count < _MANY:
            row = ", ".join(_as_number(f"CAST(? AS {type_})", type_) for type_ in types)
            source = f"VALUES {', '.join([f'({row})'] * count)}"
        else:
            arrays = ", ".join(f"CAST(? AS {type_}[])" for type_ in types)
            chosen = ", ".join(map(_as_number, self.columns, types))
            source = f"SELECT {chosen} FROM unnest({arrays}) AS given ({names})"
        return f"{self.name} ({names}) AS NOT MATERIALIZED ({source})"

    def values(self, rows: Sequence[tuple[Any, ...]]) -> Iterable[Any]:
        """
        Return the values of the rows.

        Raises:
            StorageError: If one is not of the type of its column: the database
                would make something of it.
        """
        for row in rows:
            if tuple(map(type, row)) not in self._good:
                self._look(row)
        if len(rows) < _MANY:
            return [value for row in rows for value in row]
        return map(list, zip(*rows, strict=True))

    def _look(self, row: tuple[Any, ...]) -> None:
        for name, kind, value in zip(self.columns, self._kinds, row, strict=True):
            if value is not None and (
                not isinstance(value, kind) or (type(value) is bool) > (kind is bool)
            ):
                raise StorageError(f"order {row[0]!r}: {name} is not {kind.__name__}")
        self._good.add(tuple(map(type, row)))


def _as_number(value: str, type_: str) -> str:
    return f"CAST({value} AS int)" if type_ == "boolean" else value


_CHANGES: Final = _Input(
    "changes", "order_id", "expected", "replaces", *ORDER_COLUMNS, "head"
)
_ORDERS: Final = _Input("orders", "order_id", *ORDER_COLUMNS, "head")
_PARTIES: Final = _Input("parties", "order_id", "role", "id")
_RECEIPTS: Final = _Input("receipts", "order_id", *RECEIPT_COLUMNS)
_RESULTS: Final = _Input("results", "order_id", "key", "token", *RESULT_COLUMNS)
_EVENTS: Final = _Input("events", "order_id", *EVENT_COLUMNS)
_EFFECTS: Final = _Input("effects", "order_id", "place", *EFFECT_COLUMNS)
_TEXTS: Final = _Input("texts", "order_id", *TEXT_COLUMNS)
_INPUTS: Final = (
    *(_CHANGES, _ORDERS, _PARTIES, _RECEIPTS, _RESULTS, _EVENTS, _EFFECTS, _TEXTS),
)


# --- a commit in one statement ----------------------------------------------------


@final
@attrs.frozen
class _Shape:
    """
    All that the text of a commit depends on.

    Attributes:
        counts: The number of rows of each input, `_MANY` for more than a few.

        replaces: Whether there are new parties for orders that had some.

        noted: Whether each order has a receipt.

        moves: Whether each change appends events.

        relaxed: Whether it may be lost when the power fails.
    """

    counts: tuple[int, ...]
    replaces: bool
    noted: bool
    moves: bool
    relaxed: bool


@lru_cache(_STATEMENTS_MAX)
def _commit(shape: _Shape) -> str:
    """
    Return the statement that writes changes, and returns the ids of those orders
    whose change it wrote.

    A statement sees what was there when it began.  Whoever waits for the lock of a
    row sees that row as it is afterwards, and no other.  So first the orders are
    locked at their expected version, then their effects at their token, and what is
    decided after that is decided by unique indexes, which know everything.  What is
    left to look up was written together with a version that was locked.

    Several orders are locked in the order of their ids: two batches never wait for
    one another.
    """
    counts = dict(zip((given.name for given in _INPUTS), shape.counts, strict=True))
    changes, orders, receipts = (
        counts["changes"],
        counts["orders"],
        counts["receipts"],
    )
    parts = [
        given.cte(count)
        for given, count in zip(_INPUTS, shape.counts, strict=True)
        if count
    ]
    passing = ""
    if changes:
        locks = changes > 1 or receipts or counts["results"] or shape.replaces
        if locks:
            passing, locked = _locks(shape, counts)
            parts += locked
    if orders:
        # New orders after old ones, for the sake of the order of locks.
        after = " WHERE (SELECT count(*) FROM held) >= 0" if passing else ""
        parts.append(
            _insert("added", _ORDERS, f"{_ORDERS.name} n{after}")
            + " ON CONFLICT (order_id) DO NOTHING RETURNING order_id)"
        )
    if receipts:
        # Whether a receipt exists is known to its index only: another change may
        # have written it since this statement began, and left the version as it is.
        sources = [
            name for name, there in ((passing, changes), ("added", orders)) if there
        ]
        chosen = " UNION ALL ".join(f"SELECT order_id FROM {name}" for name in sources)
        parts.append(
            _insert("noted", _RECEIPTS, f"receipts n WHERE n.order_id IN ({chosen})")
            + " ON CONFLICT (order_id, key) DO NOTHING RETURNING order_id)"
        )
        if passing:
            before, passing = passing, "noted"
            if not shape.noted:
                passing = "passing"
                parts.append(_passing(before))
    if changes:
        parts.append(_moved(passing, moves=shape.moves))
    written = "moved" if changes else "added"
    if changes and orders:
        written = "written"
        parts.append(
            "written AS MATERIALIZED (SELECT order_id FROM moved"
            " UNION ALL SELECT order_id FROM added)"
        )
    if shape.replaces:
        parts.append(_left(counts["parties"]))
    for name, given, rest in _CHILDREN:
        if counts[given.name]:
            source = f"{given.name} n JOIN {written} w ON w.order_id = n.order_id"
            parts.append(_insert(name, given, source) + f"{rest})")
    if counts["results"]:
        parts.append(_SETTLED)
    relaxed = ", set_config('synchronous_commit', 'off', TRUE)" if shape.relaxed else ""
    tables = ",\n".join(parts)
    return f"WITH {tables}\nSELECT order_id{relaxed} FROM {written}"


def _insert(name: str, given: _Input, source: str) -> str:
    columns = ", ".join(given.columns)
    chosen = ", ".join(f"n.{column}" for column in given.columns)
    table = _TABLE_OF[given.name]
    # The first token is that of the first claim.
    more, zero = (", token", ", 0") if given is _EFFECTS else ("", "")
    return (
        f"{name} AS (INSERT INTO {table} ({columns}{more})"
        f" SELECT {chosen}{zero} FROM {source}"
    )


_TABLE_OF: Final = {
    "orders": "escrowflow_order",
    "parties": "escrowflow_party",
    "receipts": "escrowflow_receipt",
    "events": "escrowflow_event",
    "effects": "escrowflow_effect",
    "texts": "escrowflow_text",
}

_CHILDREN: Final = (
    ("joined", _PARTIES, " ON CONFLICT (order_id, role, id) DO NOTHING"),
    ("appended", _EVENTS, ""),
    ("asked", _EFFECTS, ""),
    ("said", _TEXTS, " ON CONFLICT (order_id, ref) DO NOTHING"),
)


def _locks(shape: _Shape, counts: Mapping[str, int]) -> tuple[str, list[str]]:
    """
    Return what locks the orders at their version and leaves those whose results are
    of the latest claim; and its name.
    """
    held = f"""\
held AS MATERIALIZED (
    SELECT o.order_id{", o.ctid AS place, c.replaces" if shape.replaces else ""}
    FROM changes c JOIN escrowflow_order o
        ON o.order_id = c.order_id AND o.version = c.expected
    ORDER BY o.order_id FOR NO KEY UPDATE OF o
)"""
    where = [_ALL_FRESH] if counts["results"] else []
    if shape.replaces:
        where.append(_NOT_TOUCHED)
    if not where:
        return "held", [held]
    fresh = [_FRESH] if counts["results"] else []
    rest = " AND ".join(where)
    passing = f"open AS MATERIALIZED (SELECT h.order_id FROM held h WHERE {rest})"
    return "open", [held, *fresh, passing]


_FRESH: Final = """\
fresh AS MATERIALIZED (
    SELECT e.order_id, e.key FROM held h JOIN results r ON r.order_id = h.order_id
    JOIN escrowflow_effect e
        ON e.order_id = r.order_id AND e.key = r.key AND e.token = r.token
    WHERE e.status <> 'done'
    FOR NO KEY UPDATE OF e
)"""
_ALL_FRESH: Final = """NOT EXISTS (
    SELECT FROM results r WHERE r.order_id = h.order_id AND NOT EXISTS (
        SELECT FROM fresh f WHERE f.order_id = r.order_id AND f.key = r.key
    )
)"""
# The parties to replace are those that were there when this statement began.  If
# the order was written since, even without a new version, they may be others: the
# row that was locked then is not the row that was there.
_NOT_TOUCHED: Final = """(h.replaces = 0 OR EXISTS (
    SELECT FROM escrowflow_order s WHERE s.order_id = h.order_id AND s.ctid = h.place
))"""


def _passing(before: str) -> str:
    return f"""\
passing AS MATERIALIZED (
    SELECT b.order_id FROM {before} b
    WHERE NOT EXISTS (SELECT FROM receipts r WHERE r.order_id = b.order_id)
        OR EXISTS (SELECT FROM noted n WHERE n.order_id = b.order_id)
)"""


def _moved(passing: str, *, moves: bool) -> str:
    columns = [f"{name} = c.{name}" for name in ORDER_COLUMNS]
    # What appends nothing leaves the lease alone, and the parking.
    columns += [
        f"{name} = NULL"
        if moves
        else f"{name} = CASE WHEN c.version = c.expected THEN o.{name} END"
        for name in ("lease_until", *PARKED)
    ]
    if passing:
        source, where = f"changes c JOIN {passing} p ON p.order_id = c.order_id", ""
    else:
        # One order, and nothing to decide but its version.
        source, where = "changes c", " AND o.version = c.expected"
    return f"""\
moved AS (
    UPDATE escrowflow_order o SET {", ".join(columns)}, head = coalesce(c.head, o.head)
    FROM {source} WHERE o.order_id = c.order_id{where} RETURNING o.order_id
)"""


def _left(parties: int) -> str:
    # Who stays is left alone: no row is deleted and inserted by one statement.
    stays = " AND NOT EXISTS (SELECT FROM parties n WHERE n.order_id = p.order_id AND n.role = p.role AND n.id = p.id)"
    return f"""\
gone AS (
    DELETE FROM escrowflow_party p
    USING moved m JOIN changes c ON c.order_id = m.order_id AND c.replaces = 1
    WHERE p.order_id = m.order_id{stays if parties else ""}
)"""


_SETTLED: Final = f"""\
settled AS (
    UPDATE escrowflow_effect e SET {", ".join(f"{n} = r.{n}" for n in RESULT_COLUMNS)}
    FROM results r JOIN moved m ON m.order_id = r.order_id
    WHERE e.order_id = r.order_id AND e.key = r.key
)"""


# --- the verbs --------------------------------------------------------------------


@final
class PostgresVerbs(SqlVerbs):
    """
    The verbs, as PostgreSQL says them.  Each is one statement.

    Attributes:
        relaxed: Whether commits are made not to wait for the disk.

        lenient: Whether a server that makes no commit wait for it is good enough.
    """

    database = "postgresql"
    words = _WORDS

    def __init__(self, *, relaxed: bool = False, lenient: bool = False) -> None:
        super().__init__(_DIALECT, _MIGRATIONS)
        self.relaxed = relaxed
        self.lenient = lenient

    def commit(self, changes: Sequence[Change]) -> Asking[Sequence[CommitResult]]:
        """
        See `Storage.commit`.
        """
        check_changes(changes)
        rows: tuple[list[tuple[Any, ...]], ...] = tuple([] for _ in _INPUTS)
        replaces = False
        noted = moves = True
        # Locks are taken in the order of ids, by everybody.
        for change in changes if len(changes) < 2 else sorted(changes, key=_by_id):
            if _is_lost(change):
                continue
            replaces |= _put(change, rows)
            noted &= change.receipt is not None
            moves &= bool(change.events)
        if not (rows[0] or rows[1]):
            return (CommitResult.CONFLICT,) * len(changes)
        shape = _Shape(
            tuple([min(len(some), _MANY) for some in rows]),
            replaces,
            noted,
            moves,
            self.relaxed,
        )
        values: list[Any] = []
        for given, some in zip(_INPUTS, rows, strict=True):
            if some:
                values += given.values(some)
        written = {row[0] for row in (yield _commit(shape), values)}
        return tuple(
            CommitResult.DONE if change.order_id in written else CommitResult.CONFLICT
            for change in changes
        )

    def settle_effect(self, order_id: str, result: EffectResult) -> Asking[bool]:
        """
        See `Storage.settle_effect`.
        """
        row = (order_id, result.key, result.token, *result_values(result))
        _RESULTS.values([row])
        return (yield from super().settle_effect(order_id, result))

    def _among(
        self, column: str, values: Collection[str] | None, *, no: str = ""
    ) -> tuple[str, tuple[Any, ...]]:
        # One condition on a row of an index; a query with a row for each value would
        # be joined, and the order of the index be lost.
        if values is None:
            return "", ()
        return f" AND {no}({column} = ANY(CAST(? AS text[])))", (
            [name for name in values if is_name(name)],
        )

    def clock(self) -> Asking[int]:
        """
        Return what time it is on the server, in microseconds since 1970.
        """
        # Not `now()`: inside a transaction that stands still.
        sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        ((micros,),) = yield sql, ()
        return int(micros)

    def parts(self) -> Asking[Mapping[str, str]]:
        """
        Return what is there of ours: its name, and a hash of what it is; an empty
        one on a server whose words are not known yet.
        """
        rows = yield _PARTS, ()
        return {
            name: hashlib.sha256(made.encode()).hexdigest()[:12]
            if version // 10_000 in _SERVERS
            else ""
            for name, made, version in rows
        }

    def lacking(self, there: Mapping[str, str], *, exact: bool) -> Sequence[str]:
        """
        Return the parts that are not as they were made.
        """
        return [
            name
            for name, made in MADE.items()
            if name not in there or (exact and there[name] not in (made, ""))
        ]

    def check_session(self) -> Asking[None]:
        """
        Raise unless what is confirmed in this session is not forgotten.

        Raises:
            StorageError: If it may be, or nothing would guard the history.
        """
        ((encoding, fsync, pages, commit, role),) = yield _SETTINGS, ()
        if encoding != "UTF8":
            raise StorageError(f"the database is kept in {encoding}, not in UTF8")
        for name, value in (("fsync", fsync), ("full_page_writes", pages)):
            if value != "on":
                raise StorageError(
                    f"the server runs with {name} = {value}: after a loss of power "
                    "nothing in it can be trusted; switch it on"
                )
        if commit == "off" and not self.lenient:
            raise StorageError(
                "synchronous_commit = off: the last commits may be lost after they "
                "were confirmed; switch it on, or ask for durability='relaxed'"
            )
        if role == "replica":
            raise StorageError(
                "session_replication_role = replica: no trigger and no foreign key "
                "guards the history; set it to origin"
            )


def _by_id(change: Change) -> str:
    return change.order_id


def _is_lost(change: Change) -> bool:
    """
    Whether a change conflicts with whatever is stored.
    """
    results = change.results
    if not results:
        return False
    # An order that does not exist has no effect to speak of, and an effect has one
    # token at a time.
    tokens = {(result.key, result.token) for result in results}
    keys = {result.key for result in results}
    return not change.expected_version or len(tokens) > len(keys)


def _put(change: Change, rows: Sequence[list[tuple[Any, ...]]]) -> bool:
    """
    Put the rows of a change to the others; return whether it replaces parties.
    """
    changes, orders, parties, receipts, results, events, effects, texts = rows
    order_id = change.order_id
    head = change.events[-1].hash if change.events else None
    order = (*order_values(change), head)
    replaces = False
    if change.expected_version:
        replaces = change.parties is not None
        changes.append((order_id, change.expected_version, replaces, *order))
    else:
        orders.append((order_id, *order))
    if change.parties is not None:
        parties += [(order_id, *party) for party in change.parties]
    if change.receipt is not None:
        receipts.append((order_id, *receipt_values(change.receipt)))
    for key, result in {result.key: result for result in change.results}.items():
        results.append((order_id, key, result.token, *result_values(result)))
    events += [(order_id, *event_values(event)) for event in change.events]
    for place, effect in enumerate(change.effects):
        effects.append((order_id, place, *effect_values(effect)))
    # The first of each ref: rows of one statement are written in any order.
    kept = {text.ref: text for text in reversed(change.texts)}
    texts += [(order_id, *text_values(text)) for text in kept.values()]
    return replaces


# --- what is there ----------------------------------------------------------------

_SETTINGS: Final = """\
SELECT current_setting('server_encoding'), current_setting('fsync'),
    current_setting('full_page_writes'), current_setting('synchronous_commit'),
    current_setting('session_replication_role')
"""

# Only what an unqualified name finds is ours; its schema is not a part of it.  What is
# switched off is not there.
_PARTS: Final = """\
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, quote_ident(n.nspname) || '.' AS home,
        concat_ws(' ', c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
            (SELECT string_agg(r.rulename, ' ' ORDER BY r.rulename) FROM pg_rewrite r
            WHERE r.ev_class = c.oid)) AS kept
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE starts_with(c.relname, 'escrowflow_') AND pg_table_is_visible(c.oid)
),
made AS (
    SELECT o.relname AS name, home, kept || ': ' || string_agg(
        concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), l.collname,
            CASE WHEN a.attnotnull THEN 'NOT NULL' END,
            pg_get_expr(d.adbin, d.adrelid)),
        ', ' ORDER BY a.attnum
    ) AS made
    FROM ours o JOIN pg_attribute a
        ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE o.relkind IN ('r', 'p', 'v') GROUP BY o.relname, home, kept
    UNION ALL
    SELECT o.relname, home, pg_get_indexdef(o.oid)
    FROM ours o JOIN pg_index i ON i.indexrelid = o.oid WHERE i.indisvalid
    UNION ALL
    SELECT o.relname || '.' || c.conname, home, pg_get_constraintdef(c.oid)
    FROM ours o JOIN pg_constraint c ON c.conrelid = o.oid
    WHERE c.contype IN ('c', 'f') AND NOT EXISTS (
        SELECT FROM pg_trigger t
        WHERE t.tgconstraint = c.oid AND t.tgenabled NOT IN ('O', 'A')
    )
    UNION ALL
    SELECT o.relname || '.' || t.tgname, home, pg_get_triggerdef(t.oid)
    FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
    UNION ALL
    SELECT p.proname || '()', quote_ident(n.nspname) || '.', p.prosrc
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE starts_with(p.proname, 'escrowflow_') AND pg_function_is_visible(p.oid)
)
SELECT CAST(name AS text), replace(made, ' ON ' || home, ' ON '),
    CAST(current_setting('server_version_num') AS int)
FROM made
"""

# The versions that say it in these words.
_SERVERS: Final = range(15, 19)

# Each part, and the first half of a hash of what it is.
MADE: Final[Mapping[str, str]] = {
    "escrowflow_effect": "3f49a78a9d38",
    "escrowflow_effect.escrowflow_effect_attempts_check": "0a1ed9042c25",
    "escrowflow_effect.escrowflow_effect_fenced": "69c8a2a587f0",
    "escrowflow_effect.escrowflow_effect_fixed": "f353ff27879e",
    "escrowflow_effect.escrowflow_effect_kept": "f000d11a98d6",
    "escrowflow_effect.escrowflow_effect_moves_money_check": "e70713f4a460",
    "escrowflow_effect.escrowflow_effect_order_id_seq_fkey": "d0b000878ca9",
    "escrowflow_effect.escrowflow_effect_status_check": "64a17774a609",
    "escrowflow_effect.escrowflow_effect_stays": "facbf54b7696",
    "escrowflow_effect.escrowflow_effect_token_check": "df56971422f6",
    "escrowflow_effect_claimed": "a00122014c12",
    "escrowflow_effect_parked": "8c1d5e11908f",
    "escrowflow_effect_pkey": "f09d39a39dca",
    "escrowflow_effect_ready": "11596231a334",
    "escrowflow_event": "63c8531ffcf7",
    "escrowflow_event.escrowflow_event_effective_at_check": "bcb3a3a5c359",
    "escrowflow_event.escrowflow_event_fixed": "b0347f239003",
    "escrowflow_event.escrowflow_event_follows": "d236d8e17b35",
    "escrowflow_event.escrowflow_event_hash_check": "e48fa67c9c38",
    "escrowflow_event.escrowflow_event_order_id_fkey": "a59596f9843d",
    "escrowflow_event.escrowflow_event_recorded_at_check": "e71aba11d7af",
    "escrowflow_event.escrowflow_event_seq_check": "980f87d6cc8f",
    "escrowflow_event.escrowflow_event_settles_check": "2e4734af8062",
    "escrowflow_event_pkey": "c7a97f884ca1",
    "escrowflow_event_settles": "8d7c23e37cba",
    "escrowflow_follow()": "4dc494322961",
    "escrowflow_order": "1983ea36c09a",
    "escrowflow_order.escrowflow_order_check": "9933dddcc969",
    "escrowflow_order.escrowflow_order_fixed": "d611e91589e6",
    "escrowflow_order.escrowflow_order_grows": "0ab0882eaa51",
    "escrowflow_order.escrowflow_order_head_check": "3c0d6e6c433d",
    "escrowflow_order.escrowflow_order_held_check": "aa8909235c27",
    "escrowflow_order.escrowflow_order_kept_check": "4583f52a65c7",
    "escrowflow_order.escrowflow_order_late_check": "3634311a9838",
    "escrowflow_order.escrowflow_order_paid_in_check": "8b3f4c2d2dc2",
    "escrowflow_order.escrowflow_order_price_minor_check": "f5ade972e492",
    "escrowflow_order.escrowflow_order_refunded_check": "f76934504ddc",
    "escrowflow_order.escrowflow_order_released_check": "39fb6eb5feca",
    "escrowflow_order.escrowflow_order_stays": "f4889d79f2f3",
    "escrowflow_order.escrowflow_order_unassigned_check": "44553d1b9ca2",
    "escrowflow_order.escrowflow_order_version_check": "073a21bed5ad",
    "escrowflow_order_due": "75e8c8dafe5b",
    "escrowflow_order_held": "af23766b05d4",
    "escrowflow_order_holding": "acaedcd74041",
    "escrowflow_order_pkey": "fc00aad34717",
    "escrowflow_order_unassigned": "ba7a6311c530",
    "escrowflow_orders": "b751450ca819",
    "escrowflow_party": "74e80024d1dc",
    "escrowflow_party.escrowflow_party_order_id_fkey": "a59596f9843d",
    "escrowflow_party_order": "c88ffe1f7c0c",
    "escrowflow_party_pkey": "0b380a7971d8",
    "escrowflow_receipt": "b26509593702",
    "escrowflow_receipt.escrowflow_receipt_fixed": "401dc60b88fa",
    "escrowflow_receipt.escrowflow_receipt_order_id_fkey": "a59596f9843d",
    "escrowflow_receipt_pkey": "4f236a7b0a22",
    "escrowflow_refuse()": "e63af1dfe3c0",
    "escrowflow_schema": "e11ddd4e77ac",
    "escrowflow_schema_pkey": "db95f5b1d269",
    "escrowflow_text": "c59ca7563dcb",
    "escrowflow_text.escrowflow_text_order_id_fkey": "a59596f9843d",
    "escrowflow_text_pkey": "25ab3385f7f8",
    "escrowflow_text_subject": "08084fe60181",
}
