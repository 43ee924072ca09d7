"""
The app for Django, by Django's own test runner, and the shop in examples/ that uses it.

Settings of Django are those of a whole process: each site has one of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.pg import Server

PROJECT: Final = Path(__file__).parent.parent
SHOP: Final = PROJECT / "examples" / "django_shop"
NOTHING: Final[Mapping[str, str]] = {}

each_database = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


def started(
    *command: object, cwd: Path = PROJECT, env: Mapping[str, str] = NOTHING
) -> subprocess.Popen[str]:
    """
    Start Python in a process of its own; every warning is an error there.
    """
    return subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=cwd,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "src")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(
    *command: object, cwd: Path = PROJECT, env: Mapping[str, str] = NOTHING
) -> str:
    """
    Return what Python says in a process of its own, which must succeed.
    """
    with started(*command, cwd=cwd, env=env) as process:
        told, _ = process.communicate()
    assert process.returncode == 0, told
    return told


def place_of(
    database: str, variable: str, request: pytest.FixtureRequest
) -> dict[str, str]:
    """
    Return how a site is told where its database is; a server is only started if needed.
    """
    if database == "sqlite":
        return {}
    server: Server = request.getfixturevalue("postgres")
    return {variable: server.dsn}


@each_database
def test_app(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """
    What `tests/django_site/cases.py` says of transactions, model, admin, schema, checks
    and worker holds.
    """
    told = said(
        *("-m", "django", "test", "tests.django_site.cases", "--noinput"),
        *("--settings", "tests.django_site.settings"),
        env={"SITE_FOLDER": str(tmp_path), **place_of(database, "SITE_DB", request)},
    )

    assert "\nOK" in told


@each_database
def test_shop(database: str, request: pytest.FixtureRequest) -> None:
    """
    The tests of the shop pass, as they would in a project of yours.
    """
    where = place_of(database, "SHOP_DB", request)

    assert "\nOK" in said("manage.py", "test", "--noinput", cwd=SHOP, env=where)


def test_shop_opens(tmp_path: Path) -> None:
    """
    The commands of its README, one after the other; SIGTERM ends its worker in order.
    """
    where = {"SHOP_DB": f"sqlite:///{tmp_path / 'shop.db'}"}

    def manage(*command: str) -> str:
        return said("manage.py", *command, cwd=SHOP, env=where)

    assert "Applying escrowflow.0001_schema_1... OK" in manage("migrate")
    assert "can sign in" in manage("fill_shop")
    assert "no issues" in manage("check", "--database", "default")
    with started("manage.py", "escrow_worker", cwd=SHOP, env=where) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("working")
        worker.send_signal(signal.SIGTERM)
        told, _ = worker.communicate()
    assert (worker.returncode, told) == (0, "")


def test_library_does_without() -> None:
    """
    Whoever has no Django imports all the rest, and is told how to get it.
    """
    told = said(
        "-c",
        "import sys; sys.modules['django'] = None\n"
        "import escrowflow, escrowflow.contrib\n"
        "try: import escrowflow.contrib.django\n"
        "except ImportError as error: print(error)\n",
    )

    assert told == "this needs django: pip install 'escrowflow[django]'\n"
    assert (
        said("-c", "import sys, escrowflow; print('django' in sys.modules)")
        == "False\n"
    )
