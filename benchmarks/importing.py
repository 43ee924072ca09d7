"""
What `import escrowflow` costs a process that has just begun.

Whole processes, one after the other: an empty one, one that imports what we depend on and
nothing else, one that then imports us, and one that places its first order.  The last one
counts most: our names are loaded when they are first asked for, and it asks for most.  A
clock inside of them would not see what the interpreter does before and after.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Final

from .rounds import Figures, rounded

__all__ = ["DEPENDENCIES", "EMPTY", "FIRST_ORDER", "LEFT", "OURS", "measure"]

EMPTY: Final = "an empty process"
DEPENDENCIES: Final = "its dependencies, without it"
OURS: Final = "its dependencies, then import escrowflow"
FIRST_ORDER: Final = "import escrowflow, and place one order"

# Drivers, the command line, and what only some need.
LEFT: Final = (
    *("psycopg", "sqlite3", "asyncio"),
    *("click", "holidays", "hypothesis", "pytest", "sqlalchemy", "stripe"),
)

_OTHERS: Final = "import attrs, cattrs, pendulum, transitions, typing_extensions"
_PROGRAMS: Final = {
    EMPTY: "pass",
    DEPENDENCIES: _OTHERS,
    OURS: f"{_OTHERS}\nimport escrowflow",
    FIRST_ORDER: """
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
""",
}
_LISTED: Final = "import escrowflow, json, sys; print(json.dumps(sorted(sys.modules)))"


def measure(*, quick: bool) -> Figures:
    """
    Return milliseconds, and which of the things that may stay away have stayed away.
    """
    rounds = 1 if quick else 21
    taken: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        # Whatever the settings here, what was compiled is kept, as it is for everybody;
        # the round that does not count compiles.
        env = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(rounds + 1):
            for name, program in _PROGRAMS.items():
                begun = time.perf_counter()
                _ran(program, env)
                if number:
                    taken[name].append(rounded(1000 * (time.perf_counter() - begun)))
        loaded = {name.split(".")[0] for name in json.loads(_ran(_LISTED, env))}
    return {
        "milliseconds": taken,
        "not loaded": [name for name in LEFT if name not in loaded],
        "loaded": [name for name in LEFT if name in loaded],
    }


def _ran(program: str, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    return done.stdout
