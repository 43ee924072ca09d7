"""
What is handed out: a wheel that is the same whoever builds it, and that works alone.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import escrowflow

PROJECT = Path(__file__).parent.parent
# What a wheel is made of.
SOURCES = ("LICENSE", "README.md", "pyproject.toml")


def run(
    *command: object, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """
    Run a command that must succeed.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def built(folder: Path) -> Path:
    """
    Copy the sources, build a wheel of the copy, and return it.
    """
    tree = folder / "tree"
    shutil.copytree(
        PROJECT / "src",
        tree / "src",
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
    )
    for name in SOURCES:
        shutil.copy(PROJECT / name, tree / name)
    run(
        *(sys.executable, "-m", "hatchling", "build", "-t", "wheel"),
        *("-d", folder / "dist"),
        cwd=tree,
    )
    [wheel] = (folder / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A wheel of this tree.
    """
    return built(tmp_path_factory.mktemp("first", numbered=False))


class TestVersion:
    """
    Which version this is.
    """

    def test_said_everywhere(self) -> None:
        """
        The package, its metadata and the first release in the changelog say the same.
        """
        about = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
        changes = (PROJECT / "CHANGELOG.md").read_text("utf-8")
        released = re.findall(r"^## \[([^\]]+)\] - \d{4}-\d\d-\d\d$", changes, re.M)

        assert about["project"]["version"] == escrowflow.__version__ == released[0]


class TestWheel:
    """
    The file.
    """

    def test_built_twice(self, wheel: Path, tmp_path: Path) -> None:
        """
        Another folder, another time: the same bytes.
        """
        again = built(tmp_path / "again")

        assert again.name == wheel.name
        assert again.read_bytes() == wheel.read_bytes()

    def test_what_is_in_it(self, wheel: Path) -> None:
        """
        Each module, the words in French, the mark of typed code; no tests and no tools.
        """
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())

        package = PROJECT / "src" / "escrowflow"
        wanted = {
            f"escrowflow/{path.relative_to(package).as_posix()}"
            for path in package.rglob("*")
            if path.is_file() and path.parent.name != "__pycache__"
        }
        assert {name for name in names if name.startswith("escrowflow/")} == wanted
        assert "escrowflow/py.typed" in names
        assert "escrowflow/locale/fr/LC_MESSAGES/escrowflow.mo" in names
        others = {name.split("/")[0] for name in names - wanted}
        assert len(others) == 1, "one folder beside the package, of what is told of it"

    def test_alone(self, wheel: Path, tmp_path: Path) -> None:
        """
        In an environment of its own it tells its story, and pytest finds its plug-in.
        """
        home = tmp_path / "venv"
        venv.create(home, with_pip=False)
        paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
        purelib = Path(paths["purelib"])
        python = Path(paths["scripts"]) / "python"
        run(
            *(sys.executable, "-m", "pip", "--python", python, "--quiet", "install"),
            *("--disable-pip-version-check", "--no-compile", "--no-deps", wheel),
            cwd=tmp_path,
        )
        # What it depends on is beside us; the folder we are developed in is not.
        (purelib / "others.pth").write_text("\n".join(site.getsitepackages()))
        bare = {"PATH": os.environ["PATH"]}

        where = run(
            *(python, "-c", "import escrowflow; print(escrowflow.__file__)"),
            cwd=tmp_path,
            env=bare,
        ).stdout
        assert Path(where.strip()).is_relative_to(purelib)
        told = run(
            Path(paths["scripts"]) / "escrowflow", "demo", cwd=tmp_path, env=bare
        )
        assert "Completed" in told.stdout
        (tmp_path / "test_shop.py").write_text(
            "def test_order(escrow_bed):\n"
            "    escrow_bed.place()\n"
            "    escrow_bed.seller.accept_order()\n"
            "    escrow_bed.expect('in_progress')\n"
        )
        run(
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"),
            cwd=tmp_path,
            env=bare,
        )
