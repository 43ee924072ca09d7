"""
The demo: five stories on a file, told in two languages, and never twice.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from escrowflow.__main__ import main
from escrowflow.demo import STORIES, play, rendered, totals
from escrowflow.timeline import Line

ENDINGS = {
    "reviewed": ("completed", "0.00", "0.00", "100.00"),
    "unanswered": ("cancelled", "0.00", "100.00", "0.00"),
    "late": ("cancelled", "0.00", "100.00", "0.00"),
    "disputed": ("completed", "0.00", "30.00", "70.00"),
    "silent": ("completed", "0.00", "0.00", "100.00"),
}


class TestStories:
    """
    What is played.
    """

    def test_each_ends_as_the_pages_say(self, tmp_path: Path) -> None:
        """
        State and money at the end of each story are those of the help pages.
        """
        played = play(str(tmp_path / "demo.db"))

        assert {
            one.story.key: (
                one.order.state,
                str(one.order.ledger.held.amount),
                str(one.order.ledger.refunded.amount),
                str(one.order.ledger.released.amount),
            )
            for one in played
        } == ENDINGS

    def test_played_again_nothing_doubles(self, tmp_path: Path) -> None:
        """
        A second run on the same file leaves every history as it was.
        """
        database = str(tmp_path / "demo.db")
        first = [(one.order, one.moments) for one in play(database)]

        second = [(one.order, one.moments) for one in play(database)]

        assert [moments for _, moments in second] == [moments for _, moments in first]
        assert [order.version for order, _ in second] == [
            order.version for order, _ in first
        ]

    def test_the_third_revision_is_over_the_limit(self, tmp_path: Path) -> None:
        """
        The story of the dispute has two revisions used and the third refused.
        """
        disputed = next(
            one
            for one in play(str(tmp_path / "demo.db"))
            if one.story.key == "disputed"
        )

        assert [revision.answer for revision in disputed.order.revisions] == [
            "accepted",
            "accepted",
            "refused",
        ]
        assert disputed.order.revisions[-1].over_limit


class TestText:
    """
    What is printed.
    """

    @pytest.mark.parametrize("locale", ["en", "fr"])
    def test_a_wide_table_is_aligned(self, tmp_path: Path, locale: str) -> None:
        """
        Every line of every story ends in the column where the heads do.
        """
        lines = rendered(play(str(tmp_path / "demo.db")), locale, 200)

        table = ("head", "moment")
        widths = {len(line.text) for line in lines if line.kind in table} - {0}

        assert len(widths) == 1

    def test_a_narrow_window_gets_two_lines_a_moment(self, tmp_path: Path) -> None:
        """
        What does not fit is broken once, between what happened and the money.
        """
        played = play(str(tmp_path / "demo.db"))

        wide = [one for one in rendered(played, "en", 200) if one.kind == "head"]
        narrow = [one for one in rendered(played, "en", 80) if one.kind == "head"]

        assert len(narrow) == 2 * len(wide)
        assert max(len(one.text) for one in rendered(played, "en", 80)) <= 80

    def test_the_sum_is_what_was_paid_in(self, tmp_path: Path) -> None:
        """
        The last line adds up five payments of a hundred euros.
        """
        played = play(str(tmp_path / "demo.db"))

        last, french = (list(totals(played, one))[-1] for one in ("en", "fr"))

        assert french.text.startswith("Bloqué 0,00 + Remboursé 230,00 + ")
        assert last == Line(
            "total",
            "Held 0.00 + Refunded 230.00 + Released 270.00 + Kept 0.00 "
            "= paid in 500.00 EUR",
        )


class TestCommandLine:
    """
    `escrowflow demo`.
    """

    @pytest.mark.parametrize(("locale", "title"), [("en", 0), ("fr", 1)])
    def test_it_speaks_both_languages(self, locale: str, title: int) -> None:
        """
        Every story has its title in the language that was asked for.
        """
        result = CliRunner().invoke(main, ["demo", "--lang", locale])

        assert result.exit_code == 0
        for story in STORIES:
            assert story.title[title] in result.output

    def test_a_pipe_gets_no_colours(self) -> None:
        """
        Without a terminal there are no escape sequences.
        """
        result = CliRunner().invoke(main, ["demo"])

        assert "\x1b" not in result.output

    def test_it_keeps_the_file(self, tmp_path: Path) -> None:
        """
        With `--db` the file stays, and a second run prints the same.
        """
        database = tmp_path / "kept.db"

        first = CliRunner().invoke(main, ["demo", "--db", str(database)])
        second = CliRunner().invoke(main, ["demo", "--db", str(database)])

        assert database.exists()
        assert second.output == first.output

    def test_a_file_that_is_no_database_is_one_clear_line(self, tmp_path: Path) -> None:
        """
        A wrong file ends in a message, not in a traceback.
        """
        wrong = tmp_path / "notes.txt"
        wrong.write_text("these are notes, and a good many of them " * 50)

        result = CliRunner().invoke(main, ["demo", "--db", str(wrong)])

        assert result.exit_code == 1
        assert re.match(r"Error: .+\n$", result.output)
