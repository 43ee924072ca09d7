"""
The command line: `escrowflow demo`, also `python -m escrowflow demo`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from .demo import Line, play, rendered, totals
from .errors import EscrowflowError
from .words import LOCALES

__all__ = ["main"]

_WIDE = 200

try:
    import click
except ModuleNotFoundError:
    sys.exit("escrowflow: the command line needs an extra: pip install escrowflow[cli]")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="escrowflow")
def main() -> None:
    """The order workflow of a services marketplace."""


@main.command()
@click.option(
    "--lang",
    type=click.Choice(LOCALES),
    default="en",
    show_default=True,
    help="The language of the story.",
)
@click.option(
    "--db",
    type=click.Path(dir_okay=False),
    help="Keep the SQLite file; run again, it goes on without doubling anything.",
)
def demo(lang: str, db: str | None) -> None:
    """Play five orders from payment to the last cent."""
    with tempfile.TemporaryDirectory() as folder:
        database = db if db is not None else str(Path(folder) / "demo.db")
        try:
            played = play(database)
            for line in (*rendered(played, lang, _width()), *totals(played, lang)):
                _print(line)
        except EscrowflowError as error:
            raise click.ClickException(str(error)) from error


def _width() -> int:
    # A pipe has no width: whatever reads it can scroll.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def _print(line: Line) -> None:
    # Colours only where a person looks: click drops them in a pipe.
    if line.kind == "title":
        click.secho(line.text, bold=True)
    elif line.kind == "head":
        click.secho(line.text, dim=True)
    else:
        click.echo(line.text)


if __name__ == "__main__":
    main()
