"""
Reports: what was found about a process, for people and for programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, final

import attrs

from ..inputs import FrozenDict
from ..telling import to_json
from ..timeline import Line, timeline
from ..words import finding_text, length_text, severity_text, story_text
from .stories import Story

__all__ = ["Finding", "Report"]


@final
@attrs.frozen(kw_only=True)
class Finding:
    """
    One thing that a process can do.

    Attributes:
        code: What it is, as a stable code: `no_timed_exit`, `trap` ...

        where: The state, command or party it is about, or a party in a state:
            `buyer in revision_requested`.

        severity: `"error"`; `"declared"`: the process knows of it and says why
            (`Gap`); `"note"`: nothing is wrong, but you should know.

        params: The parts of its sentence.

        story: The shortest way there; `None` where there is none to tell.
    """

    code: str
    where: str
    severity: str = "error"
    params: Mapping[str, Any] = attrs.field(factory=FrozenDict)
    story: Story | None = attrs.field(default=None, repr=False, eq=False)

    def message(self, locale: str = "en") -> str:
        """
        Return it as a sentence; English where a language is unknown.
        """
        return finding_text(self.code, self.params, locale)


@final
@attrs.frozen(kw_only=True)
class Report:
    """
    What was found about a process.

    Attributes:
        process: Its name and fingerprint.

        findings: What was found, errors first.

        configurations: How many configurations were explored.

        moves: How many ways lead from one to another.

        complete: Whether there are no more.

        rests_within: The longest it takes, if nobody acts any more, until an order
            has ended; `None` if some never does.

        lives_within: The longest an order can live, whatever people do, from the day
            it is placed; `None` if nothing bounds it.
    """

    process: str
    findings: tuple[Finding, ...]
    configurations: int
    moves: int
    complete: bool
    rests_within: timedelta | None
    lives_within: timedelta | None

    def lines(
        self, *, locale: str = "en", stories: bool = False, width: int | None = None
    ) -> list[Line]:
        """
        Return it for people: each finding, and the stories of what is wrong.

        Args:
            locale: The language; English where it is unknown.

            stories: Whether every story is told, and not only those of errors.

            width: The columns there are; `None` for as many as it takes.
        """

        def said(code: str, **params: Any) -> str:
            return finding_text(code, params, locale)

        name, _, _ = self.process.partition(":")
        lines = [
            Line(
                "title",
                said(
                    "explored",
                    process=name,
                    configurations=self.configurations,
                    moves=self.moves,
                ),
            )
        ]
        if self.rests_within is not None:
            window = length_text(self.rests_within, locale)
            lines.append(Line("moment", said("rests", window=window)))
        if self.lives_within is not None:
            window = length_text(self.lives_within, locale)
            lines.append(Line("moment", said("lives", window=window)))
        count = len(self.errors)
        told = "sound" if self.sound else "unsound"
        lines.append(Line("moment", said(told, count=count)))
        for finding in self.findings:
            title = story_text("fact", locale) % {
                "name": severity_text(finding.severity, locale),
                "fact": f"{finding.message(locale)} ({finding.code})",
            }
            lines += [Line("moment", ""), Line("title", title)]
            if "reason" in finding.params:
                reason = said("reason", reason=finding.params["reason"])
                lines.append(Line("why", f"    {reason}"))
            if finding.story is not None and (stories or finding.severity == "error"):
                lines += finding.story.lines(locale=locale, width=width)
        return lines

    def text(self, *, locale: str = "en", stories: bool = False) -> str:
        """
        Return its lines as one text; see `lines`.
        """
        found = self.lines(locale=locale, stories=stories)
        return "".join(f"{line.text}\n" for line in found)

    def to_json(self, *, locale: str = "en") -> dict[str, Any]:
        """
        Return it as plain JSON data.
        """
        return {
            "process": self.process,
            "sound": self.sound,
            "complete": self.complete,
            "configurations": self.configurations,
            "moves": self.moves,
            "rests_within": to_json(self.rests_within),
            "lives_within": to_json(self.lives_within),
            "findings": [
                {
                    "code": finding.code,
                    "where": finding.where,
                    "severity": finding.severity,
                    "message": finding.message(locale),
                    "params": to_json(finding.params),
                    "story": (
                        None
                        if finding.story is None
                        else to_json(timeline(finding.story.history), locale=locale)
                    ),
                }
                for finding in self.findings
            ],
        }

    @property
    def errors(self) -> tuple[Finding, ...]:
        """
        What is wrong, and not declared.
        """
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def sound(self) -> bool:
        """
        Whether nothing is wrong that is not declared, and everything was looked at.
        """
        return self.complete and not self.errors
