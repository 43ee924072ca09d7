"""
What `manage.py check` says of the settings, and `check --database default` of the
database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ...errors import EscrowflowError, InvalidInputError, StorageError
from .conf import configured, database
from .storage import VERBS, DjangoStorage

__all__ = ["check_database", "check_settings"]

# What STRICT tables need.
_SQLITE_MIN: Final = (3, 37)


@register(Tags.compatibility)
def check_settings(**_: object) -> Sequence[CheckMessage]:
    """
    Look at `ESCROWFLOW`, and at the database it names, without asking it anything.
    """
    try:
        alias = database()
    except InvalidInputError as error:
        return [Error(str(error), id="escrowflow.E001")]
    if alias not in connections:
        return [
            Error(
                f"ESCROWFLOW['DATABASE'] is {alias!r}, and DATABASES has only "
                f"{', '.join(sorted(connections))}",
                id="escrowflow.E002",
            )
        ]
    return [*_unsupported(connections[alias]), *_unnamed()]


def _unsupported(connection: Any) -> Iterable[CheckMessage]:
    alias = connection.alias
    if connection.vendor not in VERBS:
        yield Error(
            f"the database {alias!r} is of {connection.vendor}, and orders are kept in "
            "SQLite or PostgreSQL",
            hint="name another one in ESCROWFLOW['DATABASE']",
            id="escrowflow.E003",
        )
    elif connection.vendor == "sqlite":
        if connection.Database.sqlite_version_info < _SQLITE_MIN:
            yield Error(
                f"SQLite {connection.Database.sqlite_version} is too old",
                hint="3.37 or newer comes with Python's installer, or your system's",
                id="escrowflow.E003",
            )
        mode = str(connection.settings_dict["OPTIONS"].get("transaction_mode"))
        if mode.upper() not in ("IMMEDIATE", "EXCLUSIVE"):
            yield Warning(
                f"transactions on {alias!r} begin without a lock: one that reads first "
                "may fail when the order is written, since somebody else wrote meanwhile",
                hint='add "OPTIONS": {"transaction_mode": "IMMEDIATE"} to the database',
                id="escrowflow.W003",
            )
    elif connection.Database.__name__ != "psycopg":
        yield Error(
            f"the driver of {alias!r} is {connection.Database.__name__}, and orders need "
            "psycopg 3",
            hint="pip install psycopg, and remove psycopg2",
            id="escrowflow.E003",
        )


def _unnamed() -> Iterable[CheckMessage]:
    try:
        mine = configured()
    except EscrowflowError as error:
        yield Error(str(error), id="escrowflow.E004")
        return
    if mine.handlers is not None:
        try:
            mine.engine.check_handlers(mine.handlers)
        except InvalidInputError as error:
            yield Warning(
                f"ESCROWFLOW['HANDLERS']: {error.problem}",
                hint="or name those that there are: escrow_worker --kinds",
                id="escrowflow.W002",
            )


@register(Tags.database)
def check_database(
    *, databases: Sequence[str] | None = None, **_: object
) -> Sequence[CheckMessage]:
    """
    Look at the schema.
    """
    try:
        alias = database()
    except InvalidInputError:
        # Said by the other one.
        return []
    if alias not in (databases or ()) or connections[alias].vendor not in VERBS:
        return []
    try:
        version, newest = DjangoStorage(alias).versions()
    except StorageError as error:
        return [Error(str(error), id="escrowflow.E005")]
    if version >= newest:
        return []
    return [
        Warning(
            f"the tables of orders in {alias!r} are at version {version}, and this "
            f"release needs version {newest}",
            hint=_way_out(connections[alias]),
            id="escrowflow.W001",
        )
    ]


def _way_out(connection: Any) -> str:
    done = MigrationRecorder(connection).applied_migrations()
    newest = MigrationLoader(None).graph.leaf_nodes("escrowflow")
    if all(node in done for node in newest):
        # Such as when another database was named, after all were migrated.
        return (
            "Django believes that it has made them: run "
            "escrowflow.contrib.django.engine().storage.migrate()"
        )
    return "run manage.py migrate"
