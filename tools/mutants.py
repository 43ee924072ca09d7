"""
Change the core in small ways, one after the other, and see whether a test fails.

    make mutants                              all parts: hours
    make mutants MUTANTS_ARGS="money ledger"  some of them: minutes
    make mutants MUTANTS_ARGS="money --again" only those that survived last time

mutmut makes the mutants and runs the tests.  What it cannot do is done here:

- It leaves decorated functions alone, and most of what decides about an order is
  decorated.  So it is given a copy in which `@decides(X)` above a function is
  `f = decides(X)(f)` below it.
- It imports the package once for all mutants, so what runs then runs without any.  What
  survives is tried once more, in a process that begins with the mutant.
- A survivor that only says something else in an error is counted and set aside: the
  words of an error are read by people.  Its field, its code and its figures are not
  words.
- Any other survivor must stand in tests/mutants.toml, with the reason why it may live:
  `equivalent`, because nobody can tell it from the original, or `accepted`, because a
  test would cost more than it finds.  It is known by its function and its lines, not by
  its number.  What is in that file and was killed, or is gone, must leave it.

It takes whole functions: what is computed while a module is imported, such as the
tables of rows, is not mutated.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).resolve().parents[1]
TRIAGE: Final = ROOT / "tests" / "mutants.toml"
# Where the copies are made, one folder for each part; git does not look at it.
ROOM: Final = ROOT / "mutants"

VERDICTS: Final = ("equivalent", "accepted")

# What the tests of the core read beside the package.
_ALSO: Final = ("tests", "tools", "examples", "docs")

# Without what only costs time: a failure is not explained, it only has to happen.
_PYTEST: Final = (
    *("-p", "_hypothesis_pytestplugin", "-p", "pytest_timeout"),
    *("-p", "no:randomly", "-p", "no:cacheprovider"),
    *("-m", "not proof", "--tb=no", "--assert=plain"),
    "--hypothesis-profile=mutants",
)

# How mutmut tells the end of a run of the tests.
_SURVIVED: Final = 0
_UNREACHED: Final = (5, 33)
_TIMEOUTS: Final = (36, 24, -24, 152)
# The tests were not found: they are named by what the mutant writes.
_LOST: Final = 255
_KILLED: Final = (1, 3)

# How long a run of a part's tests may take, in seconds; and once it is known how long it
# takes without a mutant, how many times as long.
_PATIENCE: Final = 900.0
_PATIENCE_LEAST: Final = 60.0
_PATIENCE_TIMES: Final = 5

# Decorators that mutmut can see through, or that say nothing at run time.
_TRANSPARENT: Final = frozenset({"staticmethod", "classmethod", "overload"})


@attrs.frozen(kw_only=True)
class Part:
    """
    A piece of the core that is run by itself.

    Attributes:
        modules: Of the package, as paths without their ending.

        tests: Where these modules are spoken of.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]


# What speaks of every chapter.
_OF_ALL: Final = (
    "tests/rules/test_recommended.py",
    "tests/test_policies.py",
    "tests/test_options.py",
    "tests/test_grid.py",
)


def _chapter(name: str, *modules: str, tests: Sequence[str] = ()) -> Part:
    own = tests or (f"tests/rules/test_{name}.py",)
    return Part(
        modules=tuple(f"decisions/{one}" for one in modules or (name,)),
        tests=(*own, *(one for one in _OF_ALL if one not in own)),
    )


PARTS: Final[Mapping[str, Part]] = {
    "money": Part(modules=("money",), tests=("tests/test_money.py",)),
    "ledger": Part(modules=("ledger",), tests=("tests/test_ledger.py",)),
    "settlement": _chapter(
        "settlement",
        *("settlement", "settling"),
        tests=(
            "tests/rules/test_settlement.py",
            "tests/rules/test_charging.py",
            "tests/rules/test_refunds.py",
            "tests/rules/test_cancellation.py",
            "tests/rules/test_dispute.py",
            "tests/rules/test_extras.py",
            "tests/rules/test_staff.py",
            "tests/rules/test_conversation.py",
            "tests/test_exact_instant.py",
        ),
    ),
    "refunds": _chapter("refunds"),
    "cancellation": _chapter("cancellation"),
    "rules": Part(
        modules=("rules",),
        tests=(
            *("tests/test_policies.py", "tests/test_decisions.py"),
            *("tests/test_statistics.py", "tests/rules/test_recommended.py"),
            *("tests/rules/test_extras.py", "tests/rules/test_refunds.py"),
        ),
    ),
    "policies": Part(
        # What the protocols of `policies` answer is with whoever implements them: the
        # rules, which are a part of their own, and the policies of money.
        modules=("policies", "fields", "charges"),
        tests=(
            *("tests/test_policies.py", "tests/test_rulebook.py"),
            *("tests/rules/test_extras.py", "tests/rules/test_refunds.py"),
        ),
    ),
    "states": Part(
        modules=("states", "rows", "soundness"),
        tests=("tests/test_states.py", "tests/test_grid.py", "tests/test_forms.py"),
    ),
    "acceptance": _chapter(
        "acceptance",
        tests=("tests/rules/test_acceptance.py", "tests/rules/test_charging.py"),
    ),
    "delivery": _chapter(
        "delivery",
        *("delivery", "extension"),
        tests=("tests/rules/test_delivery.py", "tests/rules/test_recommended.py"),
    ),
    "revision": _chapter("revision"),
    "dispute": _chapter(
        "dispute", tests=("tests/rules/test_dispute.py", "tests/rules/test_charging.py")
    ),
    "extras": _chapter(
        "extras", tests=("tests/rules/test_extras.py", "tests/test_decisions.py")
    ),
    "placing": _chapter(
        "placing",
        tests=(
            *("tests/rules/test_placing.py", "tests/rules/test_charging.py"),
            "tests/rules/test_extras.py",
        ),
    ),
    "charging": _chapter("charging"),
    "reports": _chapter("reports"),
    "reviews": _chapter("reviews"),
    "conversation": _chapter("conversation"),
    "staff": _chapter("staff"),
    "case": _chapter(
        "case",
        *("__init__", "case", "moves", "options", "blockers"),
        tests=("tests/rules", "tests/test_decisions.py", "tests/test_options.py"),
    ),
    "notices": _chapter("notices", tests=("tests/test_notices.py",)),
    "outbox": _chapter("outbox", tests=("tests/test_outbox.py",)),
    "migration": _chapter("migration", tests=("tests/test_migration.py",)),
    "forecast": _chapter(
        "forecast",
        *("forecast", "figures"),
        tests=("tests/test_forecast.py", "tests/test_statistics.py"),
    ),
    "checker": Part(
        modules=tuple(
            f"checker/{one}"
            for one in (
                *("__init__", "configurations", "exploring", "reports"),
                *("shrinking", "stories", "traps", "ways"),
            )
        ),
        tests=(
            *("tests/test_checker.py", "tests/test_checker_hosts.py"),
            "tests/test_checker_ways.py",
        ),
    ),
}


# ------------------------------------------------------------------ taking decorators off


def undecorated(source: str) -> str:
    """
    Return a module in which each decorator of a function is a call below it.

    What is named `_` is named after its decorator, `cancel_order_unless`: the mutants of
    one must not be taken for those of another.
    """
    lines = source.splitlines()
    seen: Counter[str] = Counter()
    # From the end, so that the numbers of the lines above stay true.
    for node in sorted(_decorated(ast.parse(source)), key=lambda one: -one.lineno):
        name = node.name
        if name == "_":
            seen[name] += 1
            belongs = ast.unparse(node.decorator_list[-1]).replace(".", "_")
            name = belongs if belongs.isidentifier() else f"_{seen[name]}"
        value = name
        for decorator in reversed(node.decorator_list):
            value = f"{ast.unparse(decorator)}({value})"
        indent = " " * node.col_offset
        assert node.end_lineno is not None
        first = node.lineno - 1
        lines[node.end_lineno : node.end_lineno] = [f"{indent}{node.name} = {value}"]
        lines[first] = lines[first].replace(f"def {node.name}(", f"def {name}(", 1)
        above = node.decorator_list[0].lineno - 1
        del lines[above:first]
    return "\n".join((*lines, ""))


def _decorated(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    bodies = [
        tree.body,
        *(node.body for node in tree.body if isinstance(node, ast.ClassDef)),
    ]
    for body in bodies:
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                names = {ast.unparse(one) for one in node.decorator_list}
                if not names & _TRANSPARENT:
                    yield node


# --------------------------------------------------------------------------- the mutants


@attrs.frozen(kw_only=True)
class Mutant:
    """
    A change that was made, as it is known in the triage file.

    Attributes:
        function: Where: `money.Money.split`.

        was: The lines that were changed; none of a function that no test came by.

        now: What they were changed to.
    """

    function: str
    was: str = ""
    now: str = ""

    def __str__(self) -> str:
        if not self.was and not self.now:
            return f"{self.function}: no test of this part comes by"
        minus = textwrap.indent(self.was, "  - ")
        plus = textwrap.indent(self.now, "  + ")
        return f"{self.function}\n{minus}\n{plus}"


@attrs.frozen(kw_only=True)
class Result:
    """
    What came of the mutants of a part.

    Attributes:
        total: How many there were.

        killed: How many made a test fail; or ran for ever, as *timeouts* says.

        wording: How many only say something else in an error.

        survivors: The others, each as often as it was made.
    """

    total: int
    killed: int
    timeouts: int
    wording: int
    survivors: Counter[Mutant]


def changed(original: str, mutant: str) -> tuple[str, str]:
    """
    Return the lines of a function that were changed, and what they are now; without
    the indentation that they have in common.
    """
    was, now = [], []
    before, after = original.splitlines(), mutant.splitlines()
    for tag, a, b, c, d in difflib.SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if tag != "equal":
            was += before[a:b]
            now += after[c:d]
    return tuple(textwrap.dedent("\n".join(one)).strip() for one in (was, now))  # type: ignore[return-value]


def is_wording(original: str, mutant: str) -> bool:
    """
    Whether a mutant of a function only says something else to people: sentences, that
    is text with a space in it, are other sentences or gone.

    A word alone is a name, of a field or a code, and is read by programs.
    """
    before, after = ast.parse(original), ast.parse(mutant)
    found = list(_differences(before, after, told=False))
    return bool(found) and all(found)


def _differences(old: object, new: object, *, told: bool) -> Iterator[bool]:
    """
    Yield, for each difference between two trees, whether it is of words only.
    """
    if isinstance(old, ast.AST) and isinstance(new, ast.AST):
        if _is_sentence(old) and (_is_text(new) or _is_none(new)):
            if ast.dump(old) != ast.dump(new):
                yield True
        elif type(old) is not type(new):
            yield told
        else:
            inside = told or (isinstance(old, ast.JoinedStr) and _is_sentence(old))
            for field in old._fields:
                yield from _differences(
                    getattr(old, field), getattr(new, field), told=inside
                )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for one, other in zip(old, new, strict=True):
            yield from _differences(one, other, told=told)
    elif type(old) is not type(new) or old != new:
        yield told


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_sentence(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(_is_sentence(one) for one in node.values)
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " in node.value.strip()
    )


def functions(source: str) -> dict[str, str]:
    """
    Return the functions of a module that mutmut has made, and their mutants, by the
    names that it gave them; each under the name that it had, and not indented.
    """
    lines = source.splitlines()
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name:
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            plain = _plain(node.name).rpartition(".")[2]
            found[node.name] = textwrap.dedent(text).replace(node.name, plain, 1)
    return found


def _plain(name: str) -> str:
    """
    Return a function's name as its author wrote it: `Money.of`.
    """
    mangled = name.partition("__mutmut_")[0]
    if mangled.startswith("xǁ"):
        return mangled.removeprefix("xǁ").replace("ǁ", ".")
    return mangled.removeprefix("x_")


def judged(module: str, source: str, verdicts: Mapping[str, int | None]) -> Result:
    """
    Return what came of the mutants of one module.

    Args:
        module: Its name within the package: `decisions.refunds`.

        source: What mutmut made of it.

        verdicts: How the tests ended, by the mutant's full name.

    Raises:
        SystemExit: If a mutant was not tried, or the tests ended as they never should.
    """
    texts = functions(source)
    killed = timeouts = wording = 0
    survivors: Counter[Mutant] = Counter()
    for key, verdict in verdicts.items():
        name = key.rpartition(".")[2]
        function = f"{module}.{_plain(name)}"
        if verdict in _KILLED:
            killed += 1
        elif verdict in _TIMEOUTS:
            timeouts += 1
        elif verdict in _UNREACHED:
            survivors[Mutant(function=function)] += 1
        elif verdict == _SURVIVED:
            original = texts[f"{name.partition('__mutmut_')[0]}__mutmut_orig"]
            if is_wording(original, texts[name]):
                wording += 1
            else:
                was, now = changed(original, texts[name])
                survivors[Mutant(function=function, was=was, now=now)] += 1
        else:
            raise SystemExit(f"{key} was not judged: {verdict}")
    return Result(
        total=len(verdicts),
        killed=killed,
        timeouts=timeouts,
        wording=wording,
        survivors=survivors,
    )


def doubtful(source: str, verdicts: Mapping[str, int | None]) -> Iterator[str]:
    """
    Yield the mutants of one module whose verdict needs a second look; in the order they
    were made.

    What a module does while it is imported, such as the checks of fields, mutmut has done
    once for all mutants, and without any: such a mutant survives unseen.  And on a busy
    machine what is slow looks like what never ends.

    Args:
        source: What mutmut made of the module.

        verdicts: How the tests ended, by the mutant's full name.
    """
    texts = functions(source)
    for key, verdict in verdicts.items():
        name = key.rpartition(".")[2]
        original = texts[f"{name.partition('__mutmut_')[0]}__mutmut_orig"]
        if (
            verdict == _LOST
            or verdict in _TIMEOUTS
            or verdict in _UNREACHED
            or (verdict == _SURVIVED and not is_wording(original, texts[name]))
        ):
            yield key


# ---------------------------------------------------------------------------- the triage


@attrs.frozen(kw_only=True)
class Entry:
    """
    A survivor that may live, and why.
    """

    part: str
    mutant: Mutant
    verdict: str
    why: str


def read(text: str) -> tuple[Entry, ...]:
    """
    Read the triage file.

    Raises:
        SystemExit: If an entry lacks something, or is there twice.
    """
    entries = []
    for one in tomllib.loads(text).get("survivor", []):
        told = dict(one)
        try:
            entry = Entry(
                part=told.pop("part"),
                mutant=Mutant(
                    function=told.pop("function"),
                    was=told.pop("was", "").strip(),
                    now=told.pop("now", "").strip(),
                ),
                verdict=told.pop("verdict"),
                why=told.pop("why"),
            )
        except KeyError as missing:
            raise SystemExit(f"{TRIAGE.name}: {one} lacks {missing}") from None
        if told or entry.verdict not in VERDICTS or entry.part not in PARTS:
            raise SystemExit(f"{TRIAGE.name}: {one} is not understood")
        entries.append(entry)
    twice = [one for one, n in Counter(e.mutant for e in entries).items() if n > 1]
    if twice:
        raise SystemExit(f"{TRIAGE.name}: {twice[0]} is there twice")
    return tuple(entries)


@attrs.frozen(kw_only=True)
class Held:
    """
    The survivors of a part, held against the triage file.

    Attributes:
        verdicts: How many are known, by their verdict.

        new: Those that are not.

        stale: Entries whose mutant was killed, or is no longer made.
    """

    verdicts: Counter[str]
    new: tuple[Mutant, ...]
    stale: tuple[Entry, ...]


def held(part: str, survivors: Mapping[Mutant, int], entries: Iterable[Entry]) -> Held:
    """
    Hold what survived in a part against what is known to.
    """
    known = {entry.mutant: entry for entry in entries if entry.part == part}
    verdicts: Counter[str] = Counter()
    for mutant, times in survivors.items():
        if mutant in known:
            verdicts[known[mutant].verdict] += times
    return Held(
        verdicts=verdicts,
        new=tuple(mutant for mutant in survivors if mutant not in known),
        stale=tuple(entry for one, entry in known.items() if one not in survivors),
    )


# --------------------------------------------------------------------------- the running


def _settings(part: Part) -> str:
    """
    Return what mutmut is told: below the project's own settings, which pytest reads.
    """
    # In JSON, strings and lists of strings are written as in TOML.
    chosen = {
        "source_paths": ["src"],
        "only_mutate": [f"src/escrowflow/{module}.py" for module in part.modules],
        "also_copy": list(_ALSO),
        "pytest_add_cli_args": list(_PYTEST),
        "pytest_add_cli_args_test_selection": list(part.tests),
        # A process that has run the tests remembers what it computed then.
        "process_isolation": "forkserver",
        # Nor may it have collected them: what is collected twice in one process gets
        # other ids, where these have a backslash in them.
        "forkserver_warmup": "import",
        "preload_modules_file": "preload.txt",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in chosen.items()]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    return "\n".join((project, "[tool.mutmut]", *lines, ""))


def _preloaded(part: Part) -> Iterator[str]:
    """
    Yield what is imported once for all mutants of a part: its tests, and what runs them.
    """
    yield from ("_hypothesis_pytestplugin", "pytest_timeout", "tests.conftest")
    for test in part.tests:
        path = ROOT / test
        for one in sorted(path.rglob("test_*.py")) if path.is_dir() else [path]:
            yield ".".join(one.relative_to(ROOT).with_suffix("").parts)


def _written(path: Path, text: str) -> None:
    # What did not change keeps its time: mutmut goes by that.
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def _prepared(name: str, *, again: bool) -> Path:
    """
    Make the folder of a part; return it.
    """
    part = PARTS[name]
    room = ROOM / name
    if not again:
        shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True, exist_ok=True)
    _written(room / "pyproject.toml", _settings(part))
    _written(room / "preload.txt", "".join(f"{one}\n" for one in _preloaded(part)))
    for other in _ALSO:
        if not (room / other).exists():
            (room / other).symlink_to(ROOT / other)
    mutated = {Path("src", "escrowflow", f"{one}.py") for one in part.modules}
    for path in sorted((ROOT / "src").rglob("*")):
        inside = path.relative_to(ROOT)
        target = room / inside
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if inside in mutated:
            _written(target, undecorated(path.read_text("utf-8")))
        else:
            shutil.copy2(path, target)
    return room


def _metas(room: Path, part: Part) -> Iterator[tuple[str, Path]]:
    for module in part.modules:
        path = room / "mutants" / "src" / "escrowflow" / f"{module}.py.meta"
        if path.exists():
            yield module.replace("/", ".").removesuffix(".__init__"), path


def run(name: str, *, again: bool, jobs: int) -> Result:
    """
    Run the mutants of a part; return what came of them.

    Raises:
        SystemExit: If mutmut failed, or made nothing; or if a test fails anyway.
    """
    part = PARTS[name]
    room = _prepared(name, again=again)
    if again:
        for _, path in _metas(room, part):
            meta = json.loads(path.read_text("utf-8"))
            for key, code in meta["exit_code_by_key"].items():
                if code == _SURVIVED or code in _UNREACHED:
                    meta["exit_code_by_key"][key] = None
            # The file's time is not looked at, only that of the source.
            path.write_text(json.dumps(meta), "utf-8")
    mutmut = Path(sys.executable).parent / "mutmut"
    # Every mutant is a run of pytest: what it need not load, it should not.
    environment = {**os.environ, "CI": "true", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # The package is to be imported from the copy.
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [mutmut, "run", "--max-children", str(jobs)],
        cwd=room,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{name}: mutmut failed\n{done.stdout[-4000:]}")
    began = time.monotonic()
    if _tried(room, part, "", environment) != _SURVIVED:
        raise SystemExit(f"{name}: a test fails without any mutant: no verdict counts")
    usual = time.monotonic() - began
    patience = max(_PATIENCE_LEAST, _PATIENCE_TIMES * usual)
    results = []
    for module, path in _metas(room, part):
        meta = json.loads(path.read_text("utf-8"))
        source = path.with_suffix("").read_text("utf-8")
        verdicts = meta["exit_code_by_key"]
        for key in [*doubtful(source, verdicts)]:
            code = _tried(room, part, key, environment, patience)
            # All tests pass where none comes by, too: that says more.
            if code != _SURVIVED or verdicts[key] not in _UNREACHED:
                verdicts[key] = code
        path.write_text(json.dumps(meta), "utf-8")
        results.append(judged(module, source, verdicts))
    if len(results) < len(part.modules):
        raise SystemExit(f"{name}: mutmut has not looked at every module")
    return Result(
        total=sum(one.total for one in results),
        killed=sum(one.killed for one in results),
        timeouts=sum(one.timeouts for one in results),
        wording=sum(one.wording for one in results),
        survivors=sum((one.survivors for one in results), Counter()),
    )


# As mutmut's workers do it: what is imported once is there when pytest begins.
_WORKER: Final = """
import importlib, pathlib, sys
import pytest
for name in pathlib.Path("../preload.txt").read_text().split():
    importlib.import_module(name)
sys.exit(pytest.main(sys.argv[1:]))
"""


def _tried(
    room: Path,
    part: Part,
    key: str,
    environment: Mapping[str, str],
    patience: float = _PATIENCE,
) -> int:
    """
    Run all tests of a part under one mutant, or none; return how they ended.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WORKER, "-x", "-q", *_PYTEST, *part.tests],
            cwd=room / "mutants",
            env={
                **environment,
                "PYTHONPATH": os.pathsep.join(("src", ".")),
                "MUTANT_UNDER_TEST": key,
            },
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        return _TIMEOUTS[0]
    return _SURVIVED if done.returncode == _SURVIVED else _KILLED[0]


def report(
    name: str, result: Result, found: Held, tell: Callable[[str], object] = print
) -> bool:
    """
    Tell what came of a part; return whether it may stay so.
    """
    known = ", ".join(f"{found.verdicts[one]} {one}" for one in VERDICTS)
    new = sum(result.survivors[one] for one in found.new)
    tell(
        f"{name}: {result.total} mutants, {result.killed} killed, "
        f"{result.timeouts} never ended, {result.wording} only wording, {known}, "
        f"{new} new"
    )
    for mutant in found.new:
        tell(f"\n{mutant}")
    for entry in found.stale:
        tell(f"\nstale, no longer survives: {entry.mutant}")
    return not found.new and not found.stale


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the parts that were asked for, or all; return 1 if one has a survivor that
    nobody has looked at, or an entry that is stale.
    """
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--again", action="store_true", help="only last survivors")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}: one of {', '.join(PARTS)}")
    entries = read(TRIAGE.read_text("utf-8"))
    fine = True
    for name in asked.parts or PARTS:
        result = run(name, again=asked.again, jobs=asked.jobs)
        fine &= report(name, result, held(name, result.survivors, entries))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
