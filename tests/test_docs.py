"""
The pages: every Python block runs, every link leads somewhere, every page can be found,
and every public name has its place.

The pictures of the processes are drawn by hand of a maintainer who has Graphviz: run as
a script, this file draws them anew.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, Final

import pytest

import escrowflow
from escrowflow.diagram import diagram
from escrowflow.processes import comeup, recommended, vendor_consolidation

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
INDEX: Final = DOCS / "index.md"
SITE: Final = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
PAGES: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *SITE]
API: Final = DOCS / "reference" / "api"
PICTURES: Final = DOCS / "pictures"

# Settings of Django, and of the log, are those of a whole process: these pages have one
# of their own.
ALONE: Final = {DOCS / "how-to" / name for name in ("django.md", "logs.md")}

# A block, and what it prints, where that stands right below it.
BLOCK: Final = re.compile(
    r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
FENCED: Final = re.compile(r"^(```+|~~~+).*?^\1$", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`[^`\n]+`")
LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING: Final = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


# --- code, links, contents ------------------------------------------------------------


@cache
def text_of(page: Path) -> str:
    """
    Return what is written on a page, without its blocks of code.
    """
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links_of(page: Path) -> Iterator[tuple[Path, str]]:
    """
    Yield where the links of a page within the project lead: a file, and an anchor in it.
    """
    for target, anchor in LINK.findall(text_of(page)):
        yield ((page.parent / target).resolve() if target else page), anchor


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """
    Return the anchors that a forge and the site make of the headings of a page.
    """
    found: Counter[str] = Counter()
    anchors = set()
    for heading in HEADING.findall(text_of(page)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        anchors.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return frozenset(anchors)


def run_blocks(page: Path) -> None:
    """
    Run the blocks of a page, one after the other, in one namespace, as in the reader's
    head; hold what they print against what the page says.
    """
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": page.stem}

    # One for the whole page: a block may keep it, as a handler of log lines does.
    with redirect_stdout(StringIO()) as printed:
        for block in BLOCK.finditer(text):
            # Blank lines up to the block keep line numbers in tracebacks true.
            padding = "\n" * text.count("\n", 0, block.start(1))
            before = printed.tell()
            # With no future of this file: the reader has none either.
            code = compile(padding + block[1], str(page), "exec", dont_inherit=True)
            exec(code, namespace)
            assert block[2] is None or printed.getvalue()[before:] == block[2]
    with warnings.catch_warnings():
        # Pages close nothing: where they are followed, the process ends.
        warnings.simplefilter("ignore", ResourceWarning)
        namespace.clear()
        gc.collect()


@each_page
def test_its_code_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The blocks of one page share one namespace, and an empty folder; they print what the
    page says.
    """
    monkeypatch.chdir(tmp_path)
    if page not in ALONE:
        run_blocks(page)
        return
    ran = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c"),
            "import sys, pathlib\n"
            "from tests.test_docs import run_blocks\n"
            "run_blocks(pathlib.Path(sys.argv[1]))",
            str(page),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        },
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@each_page
def test_its_links_lead_somewhere(page: Path) -> None:
    """
    A link to another place of the project names a file that is there, and a heading
    in it.
    """
    dead = [
        f"{target}#{anchor}"
        for target, anchor in links_of(page)
        if not target.exists() or (anchor and anchor not in anchors_of(target))
    ]

    assert dead == []


@each_page
def test_has_one_title(page: Path) -> None:
    """
    A page begins with its title, and has no other.
    """
    lines = text_of(page).splitlines()

    assert [line for line in lines if line.startswith("# ")] == lines[:1]


def test_every_page_is_reached_from_the_index() -> None:
    """
    Whoever begins at the index and follows the indexes finds every page, and the
    site's contents are made of the same links.
    """
    seen, todo = {INDEX}, [INDEX]
    while todo:
        page = todo.pop()
        # Only an index lists pages for the site.
        for target, _ in links_of(page) if page.name == "index.md" else ():
            if target in SITE and target not in seen:
                seen.add(target)
                todo.append(target)

    assert sorted(seen) == SITE


# --- the reference of names -----------------------------------------------------------

# Modules below a package that have names of their own for you.
BELOW: Final = {
    "escrowflow.calendars.holidays",
    "escrowflow.contrib.django",
    "escrowflow.contrib.otel",
    "escrowflow.contrib.webhooks",
    "escrowflow.payments.stripe",
    "escrowflow.payments.wallets",
    "escrowflow.storage.checks",
    "escrowflow.storage.memory",
    "escrowflow.storage.postgres",
    "escrowflow.storage.sqlite",
    "escrowflow.testing.gateways",
    "escrowflow.testing.plugin",
    "escrowflow.testing.simulation",
    "escrowflow.testing.simulation.personas",
    "escrowflow.testing.strategies",
}
# Rooms of the house that nobody but the house enters: what they have for you is
# handed out by another module.
OURS: Final = {
    *("escrowflow.caution", "escrowflow.charges", "escrowflow.demo"),
    *("escrowflow.fields", "escrowflow.forms"),
    *("escrowflow.inputs", "escrowflow.rows", "escrowflow.soundness"),
    "escrowflow.wallet",
}
# Hooks that pytest calls by their names.
HOOKS: Final = {
    *("pytest_addoption", "pytest_pycollect_makeitem"),
    "pytest_runtest_makereport",
}


def public_modules() -> Iterator[str]:
    """
    Yield the modules whose names are for you.
    """
    yield "escrowflow"
    for module in walk_packages(escrowflow.__path__, "escrowflow."):
        top = module.name.count(".") == 1
        if module.name in OURS or module.name.rpartition(".")[2].startswith("_"):
            continue
        if top or module.name in BELOW:
            yield module.name


def listed() -> Iterator[str]:
    """
    Yield the names on the pages of the reference, as they are written there.
    """
    for page in sorted(API.glob("*.md")):
        for block in re.findall(
            r"^```\{names\}\n(.*?)^```$",
            page.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        ):
            yield from block.split()


def object_of(name: str) -> Any:
    """
    Return what a name stands for.
    """
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def test_public_modules_are_there() -> None:
    """
    The lists above name modules that exist.
    """
    there = {
        module.name for module in walk_packages(escrowflow.__path__, "escrowflow.")
    }

    assert there >= BELOW | OURS


def test_no_name_is_listed_twice() -> None:
    """
    Each has one place; what is the same under two names has one, too.
    """
    names = list(listed())

    assert [name for name, times in Counter(names).items() if times > 1] == []
    # Numbers and texts are the same without being one.
    twice = Counter(
        id(object_of(name)) for name in names if hasattr(object_of(name), "__module__")
    )
    assert [times for times in twice.values() if times > 1] == []


@pytest.mark.parametrize("module", [*public_modules()])
def test_every_public_name_has_its_place(module: str) -> None:
    """
    What a module offers stands in the reference: there, or where it is handed out.
    """
    names = set(listed())
    things = [object_of(name) for name in names]

    offered = {
        name: getattr(import_module(module), name)
        for name in import_module(module).__all__
        if name not in HOOKS
    }
    missing = [
        name
        for name, thing in offered.items()
        if f"{module}.{name}" not in names
        and getattr(thing, "__name__", "") not in BELOW
        and not any(thing is one for one in things)
    ]

    assert missing == []


# --- pictures -------------------------------------------------------------------------

PROCESSES: Final[Mapping[str, Any]] = {
    "comeup": comeup,
    "vendor_consolidation": vendor_consolidation,
    "recommended": recommended,
}


def mark(name: str) -> str:
    """
    Return what a picture says of the text that it was drawn from.
    """
    text = diagram(PROCESSES[name](), "dot")
    return f"<!-- drawn from {hashlib.sha256(text.encode()).hexdigest()} -->"


@pytest.mark.parametrize("name", PROCESSES)
def test_picture_is_fresh(name: str) -> None:
    """
    The picture on the site is of the table that runs.
    """
    picture = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")

    assert mark(name) in picture, "draw it anew: python tests/test_docs.py"


def drawn(name: str) -> str:
    """
    Return a picture: what Graphviz draws, and the mark.
    """
    text = diagram(PROCESSES[name](), "dot")
    svg = subprocess.run(
        ["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True
    ).stdout
    return f"{svg}{mark(name)}\n"


if __name__ == "__main__":
    for process in PROCESSES:
        (PICTURES / f"{process}.svg").write_text(drawn(process), encoding="utf-8")
