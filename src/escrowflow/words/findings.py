"""
What a checker found about a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["FINDINGS", "SEVERITIES"]

FINDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    # What is said of the whole
    "explored": (
        "%(process)s: %(configurations)s configurations and %(moves)s moves explored.",
    ),
    "rests": (
        "If nobody acts any more, every order that holds money ends within %(window)s.",
    ),
    "lives": (
        "Whatever people do, an order is over within %(window)s after it was placed.",
    ),
    "sound": ("Nothing was found that is not declared.",),
    "unsound": ("Not declared: %(count)s.",),
    "reason": ("Declared, because %(reason)s.",),
    # What was found
    "too_large": (
        "There is more than could be explored: %(count)s configurations were, and "
        "nothing is said of the others.",
    ),
    "decision_fails": (
        "%(command)s raises an error in the state %(state)s: %(error)s.",
        "A deadline raises an error in the state %(state)s: %(error)s.",
    ),
    "options_fail": (
        "What people may do in the state %(state)s cannot be told: %(error)s.",
    ),
    "no_exit": ("Money is held in the state %(state)s, and nobody can ever end that.",),
    "no_timed_exit": (
        "Money is held in the state %(state)s for as long as nobody acts.",
    ),
    "life_forgotten": (
        "The deadline %(deadline)s is over in the state %(state)s, and nothing begins it "
        "again.",
    ),
    "mute_state": (
        "Money is held in the state %(state)s, and neither side can do anything there. "
        "If nobody else acts, it ends after %(window)s: %(cause)s.",
    ),
    "at_mercy": (
        "Money is held in the state %(state)s for as long as the %(other)s does nothing, "
        "whatever the %(role)s does.",
    ),
    "claim_unheard": (
        "A claim can be open in the state %(state)s, and nothing leads a mediator from "
        "there to a decision.",
    ),
    "way_lost": (
        "In the state %(state)s the %(role)s had a way out that is gone: %(commands)s. "
        "What is left: %(left)s.",
        "In the state %(state)s the %(role)s had a way out that is gone: %(commands)s. "
        "Only time is left: %(waits)s.",
        "In the state %(state)s the %(role)s had a way out that is gone: %(commands)s. "
        "Nothing is left.",
        "In the state %(state)s time had a way out that is gone: %(deadlines)s. What is "
        "left: %(waits)s.",
        "In the state %(state)s time had a way out that is gone: %(deadlines)s. No wait "
        "is left.",
    ),
    "books_do_not_add_up": ("The books do not add up in the state %(state)s.",),
    "ending_keeps_money": ("Money is still held in the ending %(state)s.",),
    "money_to_platform": (
        "The platform keeps %(amount)s in the ending %(state)s, and no mediator said so.",
    ),
    "impossible_command": (
        "%(command)s is in the table for the role %(role)s, and is possible nowhere.",
    ),
    "closed_command": (
        "%(command)s is in the table for the role %(role)s, and these policies leave no "
        "place for it.",
    ),
    "unexplored_command": (
        "%(command)s could not be tried: no form tells what it takes.",
    ),
    "idle_deadline": ("The deadline %(deadline)s never ends.",),
    "unbounded_rounds": (
        "Both sides can come to the state %(state)s again and again, and the order never "
        "ends.",
    ),
    "kept_open": (
        "Money is held in the state %(state)s for as long as the %(role)s likes, who "
        "comes there again and again, whatever the %(other)s does.",
    ),
    "claim_dies": ("An open claim ends with its order, and nobody has looked at it.",),
    "trap": (
        "Trap for the %(role)s: whoever does everything in time can lose the money all "
        "the same, caught in the state %(state)s. It ends so: %(cause)s.",
    ),
    "decided_by_mediator": (
        "A mediator’s ruling, or the default one, can move money.",
    ),
}

SEVERITIES: Final[Mapping[str, str]] = {
    "error": "Error",
    "declared": "Declared",
    "note": "Note",
}
