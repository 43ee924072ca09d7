"""
What the house agreed on and a machine can see: floors, homes, sizes, sentences.

The rules are data at the top.  They hold for the files that are there; a module
that is still to come has its floor already.
"""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Ground floor first.  A module may import from the floors below its own,
# never from its own floor, never from above.
FLOORS = (
    {"errors"},
    {"inputs", "_iso4217", "logs"},
    {"clock"},
    {"money"},
    {"words"},
    {"ledger", "parties", "terms", "calendars"},
    {"refusals"},
    {"commands", "policies", "fields", "parts"},
    {"events", "effects", "forms"},
    {"rows"},
    {"soundness"},
    {"states"},
    {"order", "wallet"},
    {"history"},
    {"charges"},
    {"rules"},
    {"storage"},
    {"decisions"},
    {"processes", "timeline", "diagram", "statistics", "rulebook"},
    {"casefile"},
    {"telling"},
    {"engine", "checker", "market"},
    {"payments"},
    {"caution"},
    {"worker"},
    {"__init__"},  # The shop window; tests and the command line stand before it.
    {"testing"},
    {"demo"},
    {"__main__"},
    {"contrib"},
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

# What may be called or imported in one module only -> that module.
ONLY_IN = {
    "pendulum.now": "clock",
    "pendulum.today": "clock",
    "datetime.now": "clock",
    "datetime.utcnow": "clock",
    "datetime.today": "clock",
    "date.today": "clock",
    "DateTime.now": "clock",
    "DateTime.utcnow": "clock",
    "time.time": "clock",
    "time.time_ns": "clock",
    "time.monotonic": "clock",
    "time.clock_gettime": "clock",
    "import transitions": "states",
    "import sqlite3": "storage",
    "import psycopg": "storage",
    "import holidays": "calendars",
    "import stripe": "payments",
    "import django": "contrib",
}

# A simulated host has a connection of its own.
HOSTS_TOO = {"import sqlite3": "testing", "import psycopg": "testing"}

# A longer file says something twice, or is two files.
LINES_MAX = 1000

# Work that is left goes into the issue tracker, not into the package.  (XXX is
# also the ISO 4217 code for "no currency"; as such it may stay.)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|NotImplementedError)\b|#\s*XXX\b|\bXXX:")

PROJECT = Path(__file__).parent.parent
ROOT = PROJECT / "src" / "escrowflow"
SOURCES = sorted(ROOT.rglob("*.py"))
TESTS = sorted((PROJECT / "tests").rglob("*.py"))

each_source = pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: str(path.relative_to(ROOT))
)
each_test_file = pytest.mark.parametrize(
    "path", TESTS, ids=lambda path: str(path.relative_to(PROJECT))
)


class TestFloors:
    """
    The building: who may know whom.
    """

    @each_source
    def test_every_module_has_a_floor(self, path: Path) -> None:
        """
        A new module is given its floor before it is given an importer.
        """
        assert module_of(path) in FLOOR_OF

    @each_source
    def test_imports_point_down(self, path: Path) -> None:
        """
        No module imports from its own floor or from one above it, not even a type.
        """
        module = module_of(path)

        climbing = {
            name
            for name in read(path).imports
            if name != module
            and FLOOR_OF.get(name, len(FLOORS)) >= FLOOR_OF.get(module, 0)
        }

        assert not climbing, f"{module} may not know {sorted(climbing)}"

    def test_import_linter_knows_the_same_floors(self) -> None:
        """
        `make layers` looks at whole chains of imports, in the same building.
        """
        settings = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
        (contract,) = settings["tool"]["importlinter"]["contracts"]

        floors = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]

        assert floors[::-1] == [floor for floor in FLOORS if floor != {"__init__"}]


class TestHomes:
    """
    Wall clocks, databases and other people's machines live in one place each.
    """

    @pytest.mark.parametrize(("name", "home"), ONLY_IN.items())
    def test_kept_in_one_place(self, name: str, home: str) -> None:
        """
        What only one module may use is used by no other.
        """
        users = {module_of(path) for path in SOURCES if name in read(path).uses}

        assert users <= {home, HOSTS_TOO.get(name)}

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            ("import pendulum\npendulum.now()", "pendulum.now"),
            ("from pendulum import now as n\nn()", "pendulum.now"),
            ("import datetime as d\nd.datetime.now()", "datetime.now"),
            ("from datetime import datetime\ndatetime.now()", "datetime.now"),
            ("from time import time", "time.time"),
            ("def f():\n    import sqlite3.dbapi2", "import sqlite3"),
            ("from transitions.core import Machine", "import transitions"),
        ],
    )
    def test_another_spelling_does_not_help(self, code: str, name: str) -> None:
        """
        A name is recognised however it was imported.
        """
        assert name in set(uses_of(ast.parse(code)))

    def test_talking_about_it_is_allowed(self) -> None:
        """
        A docstring or a comment may name what the module must not use.
        """
        code = '"""Never `datetime.now`."""\n# nor time.time()\nx = "import sqlite3"'

        assert not set(uses_of(ast.parse(code))) & set(ONLY_IN)


class TestModules:
    """
    How every file of the package begins, and what it may not hold.
    """

    @each_source
    def test_begins_with_a_docstring(self, path: Path) -> None:
        """
        The first thing a reader learns is what lives here.
        """
        assert read(path).docstring

    @each_source
    def test_public_names_are_listed_in_order(self, path: Path) -> None:
        """
        `__all__` is there, once: CONSTANTS, Classes, functions, each alphabetical.
        """
        lists = read(path).lists

        assert len(lists) == 1, "one `__all__`, please"
        assert list(lists[0]) == sorted(set(lists[0]), key=as_ruff_sorts)

    @each_source
    def test_is_finished(self, path: Path) -> None:
        """
        What is in the package works; what is not yet there is not mentioned.
        """
        assert UNFINISHED.findall(path.read_text("utf-8")) == []

    @each_source
    def test_is_not_too_long(self, path: Path) -> None:
        """
        A file can be read in one sitting.
        """
        lines = path.read_text("utf-8").count("\n")

        assert lines <= LINES_MAX


class TestTests:
    """
    The tests are read, too.
    """

    @each_test_file
    def test_says_what_it_shows(self, path: Path) -> None:
        """
        Every test has a sentence of behaviour as its docstring.
        """
        silent = [
            f"{node.name}, line {node.lineno}"
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ]

        assert silent == []


def module_of(path: Path) -> str:
    """
    Return the top-level module a source file belongs to; a package counts as one.
    """
    return path.relative_to(ROOT).with_suffix("").parts[0]


def as_ruff_sorts(name: str) -> tuple[bool, bool, str]:
    """
    Return the key that puts CONSTANTS before Classes before functions.

    It is the order of imports, too, and `make format` brings it about.
    """
    return not name.isupper(), not name[:1].isupper(), name


def tree_of(path: Path) -> ast.Module:
    """
    Return what Python reads in a file.
    """
    return ast.parse(path.read_text("utf-8"), str(path))


@attrs.frozen(kw_only=True)
class Source:
    """
    What a source file says of itself.

    Attributes:
        lists: Every `__all__` in it.

        imports: See `imports_of`.

        uses: See `uses_of`.
    """

    docstring: str | None
    lists: tuple[list[str], ...]
    imports: frozenset[str]
    uses: frozenset[str]


@cache
def read(path: Path) -> Source:
    """
    Read a source file: once, for all that is asked of it.
    """
    tree = tree_of(path)
    return Source(
        docstring=ast.get_docstring(tree),
        lists=tuple(
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        ),
        imports=frozenset(imports_of(tree, path)),
        uses=frozenset(uses_of(tree)),
    )


def imports_of(tree: ast.Module, path: Path) -> Iterator[str]:
    """
    Yield the top-level modules of ours that a source file imports, in its order.

    `import escrowflow` itself, and any name taken from it that is no module, counts
    as the shop window: "__init__".
    """
    package = ("escrowflow", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *(node.module or "").split("."))).rstrip(".")
            targets = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            first, _, rest = target.partition(".")
            if first == "escrowflow":
                name = rest.partition(".")[0]
                yield name if name in FLOOR_OF or is_module(name) else "__init__"


def is_module(name: str) -> bool:
    """
    Say whether the package holds a module or a package of that name.
    """
    return (ROOT / f"{name}.py").exists() or (ROOT / name / "__init__.py").exists()


def uses_of(tree: ast.Module) -> Iterator[str]:
    """
    Yield what a file uses, as `ONLY_IN` spells it, however it was imported.

    An import is "import sqlite3"; a dotted name is given by its last two parts,
    "datetime.now", with local names translated back.
    """
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield f"import {alias.name.partition('.')[0]}"
                if alias.asname:
                    origin[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield f"import {node.module.partition('.')[0]}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                origin[alias.asname or alias.name] = full
                yield last_two(full)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base, dot, rest = ast.unparse(node).partition(".")
            yield last_two(f"{origin.get(base, base)}{dot}{rest}")


def last_two(dotted: str) -> str:
    """
    Return the end of a dotted name: `now` and whose it is.
    """
    return ".".join(dotted.split(".")[-2:])
