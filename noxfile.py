"""
What a release must pass, beside `make check`; `make release` runs all of it.

- every Python that we say we run on;
- the lowest versions of our dependencies that we say we can live with;
- the public names, held against the last release;
- the wheel: the same bytes twice, and at work in an environment of its own;
- a list of what the library brings along, for whoever must know (CycloneDX).
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True

PYTHONS = ("3.11", "3.12", "3.13")
DIST = Path("dist")
PYTEST = (
    *("pytest", "-n", "auto", "--dist", "worksteal"),
    *("--ignore=tests/browser", "--ignore=tests/recipes"),
)
# What a user's own test may look like.
SHOP = """
def test_order(escrow_bed):
    escrow_bed.place()
    escrow_bed.seller.accept_order()
    escrow_bed.expect("in_progress")
"""


def installed(session: nox.Session, lock: str) -> None:
    """
    Install a lock, by hash, and ourselves beside it.
    """
    session.install("--require-hashes", "--requirement", f"requirements/{lock}.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")


# With pip, as in any environment: a test installs the wheel.
@nox.session(python=PYTHONS, venv_params=["--seed"])
def tests(session: nox.Session) -> None:
    """
    The tests, with the locked versions.
    """
    installed(session, "test")
    session.run(*PYTEST, *session.posargs)


@nox.session(python=PYTHONS[0], venv_params=["--seed"])
def lowest(session: nox.Session) -> None:
    """
    The tests, with the lowest version of each direct dependency.
    """
    lowest = Path(session.create_tmp()) / "lowest.txt"
    session.run(
        *("uv", "pip", "compile", "pyproject.toml", "--quiet", "--no-config"),
        *("--all-extras", "--resolution", "lowest-direct", "--no-annotate"),
        *("--no-header", "--output-file", str(lowest)),
        external=True,
    )
    groups = ("--group", "test", "--group", "build")
    session.install("--constraint", str(lowest), *groups, "--editable", ".")
    session.run(*PYTEST, *session.posargs)


@nox.session(python=PYTHONS[0])
def api(session: nox.Session) -> None:
    """
    What was public in the last release still is, or the changelog says why not.
    """
    last = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not last:
        session.skip("nothing was released yet")
    installed(session, "release")
    session.run("griffe", "check", "escrowflow", "--search", "src", "--against", last)


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """
    The wheel, built twice, and at work where nothing else is.
    """
    folder = Path(session.create_tmp())
    digests = set()
    for number in (1, 2):
        out = folder / str(number)
        session.run(
            *("uv", "build", "--quiet", "--wheel", "--clear", "--out-dir", str(out)),
            external=True,
        )
        [built] = out.glob("*.whl")
        digests.add(hashlib.sha256(built.read_bytes()).hexdigest())
    if len(digests) != 1:
        session.error("two builds of the wheel differ")
    session.install(f"{built}[cli,testing]")
    # Elsewhere: here our own settings would be found, and our sources.
    with tempfile.TemporaryDirectory() as shop:
        session.chdir(shop)
        session.run("escrowflow", "demo", silent=True)
        session.run("escrowflow", "check", "recommended", silent=True)
        Path(shop, "test_shop.py").write_text(SHOP)
        session.run("pytest", "-q", "-W", "error")


@nox.session(python=PYTHONS[0])
def sbom(session: nox.Session) -> None:
    """
    What the library brings along: `dist/escrowflow.cdx.json`.
    """
    session.install("--constraint", "requirements/run.lock", ".[cli]")
    DIST.mkdir(exist_ok=True)
    # The tool stands outside: it is nothing that the library brings along.
    session.run(
        *("cyclonedx-py", "environment", str(Path(session.bin) / "python")),
        *("--pyproject", "pyproject.toml", "--mc-type", "library"),
        *("--output-reproducible", "--output-file", str(DIST / "escrowflow.cdx.json")),
        external=True,
    )
