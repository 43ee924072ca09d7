"""
What `import escrowflow` loads, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from inspect import isfunction
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, get_type_hints

import pytest

import escrowflow

SRC: Final = str(Path(__file__).parent.parent / "src")

# What only some need: drivers, the command line, calendars, other people's frameworks.
OF_SOME: Final = frozenset(
    {"asyncpg", "click", "django", "fastapi", "holidays", "hypothesis", "psycopg"}
    | {"psycopg_pool", "pytest", "sqlalchemy", "sqlite3", "stripe"}
)

PLACED: Final = """
import escrowflow as ef
from escrowflow.processes import comeup
from escrowflow.storage import open_storage
ef.Engine(comeup(), open_storage("memory://")).place(
    ef.PlaceOrder(
        seller_id="luc",
        price=ef.Money.of("100.00", "EUR"),
        payment=ef.Payment(method="card", reference="pi_123"),
        terms=ef.Terms(delivery_window="P5D", revisions=2),
    ),
    by=ef.Buyer("ana"),
)
"""


def told(program: str, answer: str) -> Any:
    """
    Return what an expression is at the end of a program, in a new process.
    """
    whole = f"import json, sys\n{program}\nprint(json.dumps({answer}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", whole],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SRC},
    )
    return json.loads(done.stdout)


def loaded_by(program: str) -> Collection[str]:
    """
    Return the names of the modules that a program has loaded.
    """
    found: list[str] = told(program, "sorted(sys.modules)")
    return found


class TestLoaded:
    """
    Nobody waits for what he does not use.
    """

    def test_a_bare_import(self) -> None:
        """
        Neither our modules nor what they depend on: a name is loaded when it is asked
        for.
        """
        loaded = loaded_by("import escrowflow; escrowflow.__version__")

        ours = [name for name in loaded if name.partition(".")[0] == "escrowflow"]
        assert ours == ["escrowflow"]
        assert not {"attrs", "pendulum", "transitions"} & set(loaded)

    def test_a_name_from_the_ground_floor(self) -> None:
        """
        Money needs neither commands nor an engine.
        """
        loaded = loaded_by("import escrowflow; escrowflow.Money.of('1.00', 'EUR')")

        assert "escrowflow.money" in loaded
        assert not {"escrowflow.commands", "escrowflow.engine"} & set(loaded)

    def test_an_order(self) -> None:
        """
        Who places an order in memory needs no driver, no command line, no event loop,
        and nothing that reads the metadata of packages.
        """
        # Old versions of pendulum bring pytest along, where it is installed.
        loaded = set(loaded_by(PLACED)) - set(loaded_by("import pendulum"))

        assert not OF_SOME & loaded
        assert not {"asyncio", "importlib.metadata"} & loaded
        assert "escrowflow.engine" in loaded


class TestWindow:
    """
    The names of `escrowflow`, whenever they are loaded.
    """

    @pytest.mark.parametrize("name", escrowflow.__all__)
    def test_each_name(self, name: str) -> None:
        """
        Every name that is listed is there, and stays the same object.
        """
        found = getattr(escrowflow, name)

        assert getattr(escrowflow, name) is found
        assert vars(escrowflow)[name] is found

    def test_all_of_them(self) -> None:
        """
        `from escrowflow import *` brings them all, and `dir` lists them before that.
        """
        listed = told("import escrowflow", "dir(escrowflow)")
        brought = told("from escrowflow import *", "sorted(globals())")

        assert set(escrowflow.__all__) <= set(listed)
        assert set(listed) <= set(dir(escrowflow))
        assert set(escrowflow.__all__) <= set(brought)

    @pytest.mark.parametrize(
        "name",
        ["money.Money", "processes.comeup", "storage.open_storage", "testing.Bed"],
    )
    def test_a_module(self, name: str) -> None:
        """
        A module can be reached through the package at once.
        """
        _, last = name.split(".")

        assert told("import escrowflow", f"escrowflow.{name}.__name__") == last

    def test_hints_can_be_read(self) -> None:
        """
        Frameworks read the hints of what they are handed, long after the type checker.
        """
        for name in escrowflow.__all__:
            found = getattr(escrowflow, name)
            if not isinstance(found, type):
                continue
            get_type_hints(found)
            for method in vars(found).values():
                # What attrs has made knows only the names of attrs.
                if isfunction(method) and "attrs" not in method.__code__.co_filename:
                    get_type_hints(method)

    def test_threads_that_ask_at_once(self) -> None:
        """
        Each finds every name, whichever it asks for first.
        """
        asking = """
        import random, sys, threading
        import escrowflow

        sys.setswitchinterval(1e-6)
        begin, missed = threading.Barrier(4), []

        def ask(seed):
            names = list(escrowflow.__all__)
            random.Random(seed).shuffle(names)
            begin.wait()
            for name in names:
                try:
                    getattr(escrowflow, name)
                except Exception as error:
                    missed.append(f"{name}: {error!r}")

        asking = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        """

        assert told(dedent(asking), "missed") == []

    def test_no_such_name(self) -> None:
        """
        A name that there is not is no attribute, as of any module.
        """
        with pytest.raises(AttributeError, match="has no attribute 'Monney'"):
            escrowflow.Monney  # type: ignore[attr-defined]  # noqa: B018

        assert not hasattr(escrowflow, "__wrapped__")
