"""
The schema of the orders, as a step of Django's migrations.

The statements are those of the library's own storages: there is one schema, whoever
makes it.  Each version of it is a migration of its own, so that `showmigrations` tells
which one is there, and a migration of yours can depend on it.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, final

from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.operations.base import Operation
from django.db.utils import NotSupportedError

from ...storage.pgsql import MIGRATION_LOCK
from ...storage.sql import Asking, SqlVerbs
from .conf import database
from .storage import VERBS

__all__ = ["MakeSchema"]

_T = TypeVar("_T")

# What a step has made, and what goes with it: indexes and triggers go with tables.
_MADE: Final = re.compile(r"CREATE (TABLE|VIEW|FUNCTION) (\w+)")


@final
class MakeSchema(Operation):
    """
    Brings the schema to a version, where it is not there yet: tables that the library
    has made by itself are kept as they are.

    It does nothing in databases other than that of the orders.  Undoing it is refused
    as long as there is an order.

    Args:
        version: That of the schema, as the library counts.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, version: int) -> None:
        self.version = version

    def state_forwards(self, app_label: str, state: Any) -> None:
        """
        Do nothing: the models are another operation's.
        """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """
        Apply the steps that are missing.

        Raises:
            NotSupportedError: If the database is neither SQLite nor PostgreSQL.

            StorageError: If what is there under our names is not ours.
        """
        if not _is_home(schema_editor):
            return
        verbs = _verbs(schema_editor)
        if verbs.database == "postgresql":
            _driven(schema_editor, _locked())
        _driven(schema_editor, verbs.migrate(self.version))

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """
        Drop what the step has made, if no order is lost by it.

        Raises:
            IrreversibleError: If there are orders, or wallets, or the step did more
                than to make things.
        """
        if not _is_home(schema_editor):
            return
        verbs = _verbs(schema_editor)
        if self.version > 1:
            raise IrreversibleError(
                f"version {self.version} of the schema cannot be undone: restore a "
                "backup, or go on with it"
            )
        there = _driven(schema_editor, verbs.parts())
        if not there:
            return
        if verbs.database == "postgresql":
            # Whoever is placing an order ends first, and it is seen; SQLite has one
            # writer, and refuses what was read before somebody else wrote.
            _driven(schema_editor, _held_still())
        if _driven(schema_editor, _any_order()):
            raise IrreversibleError(
                "there are orders in these tables, and their history is the proof of "
                "what became of the money: `escrowflow export` keeps them elsewhere; "
                "then drop the tables by hand"
            )
        (first, *_) = verbs.migrations
        made = [
            found.groups()
            for sql in first.statements
            for found in [_MADE.match(sql)]
            if found
        ]
        for kind, name in reversed(made):
            # With a function goes what calls it: the triggers of tables that are next.
            behind = "() CASCADE" if kind == "FUNCTION" else ""
            schema_editor.execute(f"DROP {kind} {name}{behind}", None)
        schema_editor.execute("DROP TABLE escrowflow_schema", None)

    def describe(self) -> str:
        """
        Return what `migrate --plan` says of it.
        """
        return f"Version {self.version} of the tables of orders"

    @property
    def migration_name_fragment(self) -> str:
        """
        What a migration that holds only this is called.
        """
        return f"schema_{self.version}"


def _is_home(schema_editor: Any) -> bool:
    alias: str = schema_editor.connection.alias
    return alias == database()


def _verbs(schema_editor: Any) -> SqlVerbs:
    vendor = schema_editor.connection.vendor
    if vendor in VERBS:
        return VERBS[vendor]
    raise NotSupportedError(
        f"orders are kept in SQLite or PostgreSQL, not in {vendor}: name another "
        "database in ESCROWFLOW['DATABASE']"
    )


def _locked() -> Asking[None]:
    yield MIGRATION_LOCK


def _held_still() -> Asking[None]:
    yield "LOCK TABLE escrowflow_order IN ACCESS EXCLUSIVE MODE", ()


def _any_order() -> Asking[bool]:
    rows = yield "SELECT 1 FROM escrowflow_order LIMIT 1", ()
    return bool(rows)


def _driven(schema_editor: Any, asking: Asking[_T]) -> _T:
    """
    Return what a verb returns: what it asks is asked at once, and what it changes goes
    through Django, so that `sqlmigrate` can show it.
    """
    try:
        sql, values = next(asking)
        while True:
            rows: list[Any] = []
            text = sql.replace("?", "%s")
            if sql.startswith(("SELECT", "WITH")):
                with schema_editor.connection.cursor() as cursor:
                    cursor.execute(text, values)
                    rows = cursor.fetchall()
            else:
                schema_editor.execute(text, values or None)
            sql, values = asking.send(rows)
    except StopIteration as stop:
        done: _T = stop.value
        return done
