"""
Write down what the schema is on PostgreSQL, as the server describes it: `MADE` in
storage/pgsql.py.  To be run after a change of the schema.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg

from escrowflow.storage.pgsql import PostgresVerbs
from tests.pg import Server

FILE = Path(__file__).parent.parent / "src" / "escrowflow" / "storage" / "pgsql.py"
TABLE = re.compile(
    r"(?<=MADE: Final\[Mapping\[str, str\]\] = \{\n).*?(?=^\}\n)", re.S | re.M
)


def parts(version: int) -> dict[str, str]:
    """
    Return the parts of a new schema on a server of this version.
    """
    verbs = PostgresVerbs()
    with Server(version) as server:
        dsn = server.dsn_of(server.database())
        with psycopg.connect(dsn, autocommit=True) as link:
            for statement in verbs.ddl():
                link.execute(statement.encode())
            asking: Any = verbs.parts()
            question, _ = next(asking)
            rows = link.execute(question).fetchall()
    try:
        asking.send(rows)
    except StopIteration as stop:
        return dict(stop.value)
    raise RuntimeError("one question, one answer")


def main() -> None:
    """
    Write the table anew; refuse if two versions disagree.
    """
    made = parts(18)
    assert made == parts(16), "the servers describe it differently"
    lines = "".join(f'    "{name}": "{made[name]}",\n' for name in sorted(made))
    FILE.write_text(TABLE.sub(lambda _: lines, FILE.read_text()))


if __name__ == "__main__":
    main()
