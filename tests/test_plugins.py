"""
A storage that somebody else wrote is found, and shown to be right.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

PROJECT = Path(__file__).parent.parent
PLUGIN = PROJECT / "examples" / "plugins" / "escrowflow-lmdb"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """
    What a process needs to see the plug-in as if it were installed.
    """
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]
    site = tmp_path / "site"
    info = site / f"escrowflow_lmdb-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\n"
        f"Version: {project['version']}\n"
    )
    (info / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n"
            + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )
    paths = (site, PLUGIN / "src", PROJECT / "src")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTEST_ADDOPTS": "",
    }


def run(
    *arguments: str, cwd: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_found_by_its_scheme(tmp_path: Path, environment: dict[str, str]) -> None:
    """
    A URL whose scheme a plug-in has names its storage; an engine works on it.
    """
    script = """
        import escrowflow as ef
        from escrowflow.processes import comeup
        from escrowflow.storage import open_storage

        with open_storage("lmdb:///orders") as storage:
            engine = ef.Engine(comeup(), storage)
            order = ef.PlaceOrder(
                seller_id="luc",
                price=ef.Money.of("100.00", "EUR"),
                payment=ef.Payment(method="card", reference="pi_123"),
                terms=ef.Terms(delivery_window="P5D"),
            )
            placed = engine.place(order, by=ef.Buyer("ana"), key="k")
            again = engine.place(order, by=ef.Buyer("ana"), key="k")
            assert again.order.id == placed.order.id
            engine.execute(placed.order.id, ef.AcceptOrder(), by=ef.Seller("luc"))
            print(repr(storage), engine.order(placed.order.id).state)
    """
    lines = [line[8:] for line in script.splitlines()]

    done = run("-c", "\n".join(lines), cwd=tmp_path, env=environment)

    assert done.stderr == ""
    assert done.stdout == f"LmdbStorage({str(tmp_path / 'orders')!r}) in_progress\n"


def test_keeps_the_contract(tmp_path: Path, environment: dict[str, str]) -> None:
    """
    The plug-in's own tests pass, among them the whole contract.
    """
    done = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"),
        *(f"--rootdir={PLUGIN}", f"--basetemp={tmp_path / 'tests'}"),
        str(PLUGIN / "tests"),
        cwd=tmp_path,
        env=environment,
    )

    assert done.returncode == 0, done.stdout
    assert "checks of the storage contract ran, 0 were not needed" in done.stdout
