"""
The rules of a process as text say what the policies say, to the last number.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import attrs
import pytest

from escrowflow.clock import Months
from escrowflow.errors import InvalidInputError
from escrowflow.money import Fee, Share
from escrowflow.parties import Role
from escrowflow.policies import Alone, No, Right, Situation
from escrowflow.processes import recommended, vendor_consolidation
from escrowflow.rulebook import rulebook
from escrowflow.terms import FullRefund
from escrowflow.words import LOCALES, length_text
from escrowflow.words.clauses import CHAPTERS, CLAUSES
from tests.given import COMEUP, eur
from tests.lives import VARIANTS


def told(process: Any, locale: str = "en") -> str:
    """
    Return all the rules of a process, one in a line.
    """
    return "\n".join(
        clause.text(locale)
        for chapter in rulebook(process)
        for clause in chapter.clauses
    )


# What stands before the decimals; with another sign, one number reads as two.
POINTS = {"en": ".", "fr": ","}


def numbers(text: str, locale: str) -> tuple[str, ...]:
    """
    Return the numbers of a text, as that language writes them.
    """
    point = POINTS[locale]
    found = re.findall(rf"[0-9]+(?:[{point}][0-9]+)?", text)
    return tuple(number.replace(point, ".") for number in found)


# A policy, changed -> the words that must be told, in English and French.
CHANGES: dict[str, tuple[dict[str, Any], str, str]] = {
    "payment": (
        {"lifetime": {"payment_window": "PT37H"}},
        "within 37 hours",
        "sous 37 heures",
    ),
    "acceptance": (
        {"acceptance": {"acceptance_window": "P11D"}},
        "11 days to accept",
        "11 jours pour accepter",
    ),
    "acceptance reminders": (
        {"acceptance": {"reminders": ["PT13H", "PT2H"]}},
        "reminded 13 hours before",
        "rappel 13 heures avant",
    ),
    "brief": (
        {"acceptance": {"brief_required": True}},
        "needs a brief",
        "exige un cahier des charges",
    ),
    "charged later": (
        {"acceptance": {"charge_at": "acceptance"}},
        "bank holds the money first",
        "réserve d’abord",
    ),
    "answer to a cancellation": (
        {"cancellation": {"answer_window": "PT17H"}},
        "17 hours to answer;",
        "17 heures pour répondre",
    ),
    "refused cancellations": (
        {"cancellation": {"auto_dispute_after_cancel_refusals": 9}},
        "refuses 9 requests",
        "refuse 9 demandes",
    ),
    "cancellation of a delivered order": (
        {"cancellation": {"seller_cancel_states": {"delivered"}}},
        "The seller may cancel alone while the order is “Delivered”.",
        "Le vendeur peut annuler seul tant que la commande est à l’étape «\xa0Livrée\xa0».",
    ),
    "verification": (
        {"completion": {"verification_window": "P19D"}},
        "19 days to look",
        "19 jours pour vérifier",
    ),
    "verification reminders": (
        {"completion": {"reminders": ["P2DT12H"]}},
        "reminded 60 hours before",
        "rappel 60 heures avant",
    ),
    "revisions": (
        {"revision": {"revisions": 23}},
        "changes 23 times",
        "23 retouches",
    ),
    "one revision": ({"revision": {"revisions": 1}}, "changes 1 time.", "1 retouche."),
    "hard limit": (
        {"revision": {"revision_limit_mode": "hard"}},
        "no more changes",
        "plus aucune retouche",
    ),
    "answer to a revision": (
        {"revision": {"answer_window": "PT29H"}},
        "29 hours to answer a request",
        "29 heures pour répondre",
    ),
    "choice": (
        {"revision": {"choice_window": "P31D"}},
        "31 days to take",
        "31 jours pour accepter",
    ),
    "refusals": (
        {"revision": {"dispute_after_revision_refusals": 2}},
        "after 2 refusals",
        "après 2 refus de retouche",
    ),
    "no answer needed": (
        {"revision": {"revision_needs_seller_answer": False}},
        "takes effect at once",
        "prend effet immédiatement",
    ),
    "mediator": (
        {"dispute": {"mediator_sla": "PT41H"}},
        "after 41 hours",
        "après 41 heures",
    ),
    "ruling": (
        {"dispute": {"ruling_window": "P43D", "default_ruling": FullRefund()}},
        "within 43 days; otherwise the buyer gets everything back.",
        "sous 43 jours\u202f; à défaut, l’acheteur est intégralement remboursé.",
    ),
    "partial refunds": (
        {"partial_refunds": {"partial_refund": "mediator_only"}},
        "Only a mediator",
        "Seul un médiateur",
    ),
    "refunds": (
        {"refund_timing": {"refund_eta": {"card": (6, 47)}}},
        "after 6 to 47 business days",
        "après 6 à 47 jours ouvrés",
    ),
    "offers": ({"extras": {"offer_window": "P53D"}}, "for 53 days", "valable 53 jours"),
    "tips": ({"extras": {"tip_max": "59 %"}}, "at most 59 %", "dépasser 59\xa0%"),
    "seller's fee": (
        {"fees": {"seller_fee": Fee(flat=eur("0.61"), bps=670)}},
        "0.61 EUR + 6.7 %",
        "0,61\xa0EUR + 6,7\xa0%",
    ),
    "buyer's fees": (
        {"fees": {"tax": Fee(bps=2000), "buyer_bears": {"tax"}}},
        "do not go back: tax",
        "ne lui sont pas remboursés",
    ),
    "conversation": (
        {"conversation": {"chat_after_completed": "P71D"}},
        "for 71 days",
        "pendant 71 jours",
    ),
    "conversation until left": (
        {"conversation": {"chat_after_completed": "until_left"}},
        "until one of them leaves",
        "jusqu’à ce que l’une d’elles quitte la conversation",
    ),
    "conversation of a cancelled one": (
        {"conversation": {"chat_after_cancelled": "P73D"}},
        "for 73 days",
        "pendant 73 jours",
    ),
    "reviews": (
        {"reviews": {"review_window": "P8M"}},
        "within 8 months",
        "pendant 8 mois",
    ),
    "cap": (
        {"lifetime": {"order_cap": "P5M", "cap_grace": "P79D"}},
        "at most 5 months",
        "au plus 5 mois",
    ),
    "grace": (
        {"lifetime": {"order_cap": "P5M", "cap_grace": "P79D"}},
        "79 days more",
        "il reste 79 jours",
    ),
    "cap for the buyer": (
        {"lifetime": {"order_cap": "P5M", "expiry_beneficiary": "buyer"}},
        "goes back to the buyer",
        "est remboursée à l’acheteur",
    ),
}


@attrs.frozen
class Halves:
    """
    Whoever leaves a running order leaves the seller a half.
    """

    version = "halves"
    answer_window = timedelta(days=2)

    def cancel(self, situation: Situation) -> Right:
        return Alone(Share.percent(50))

    def request(self, situation: Situation) -> Right:
        return No("no_cancellation_request_here")

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        return False


class TestRulebook:
    """
    What a buyer and a seller would read.
    """

    @pytest.mark.parametrize(
        ("changes", "english", "french"), CHANGES.values(), ids=CHANGES
    )
    def test_it_says_what_runs(
        self, changes: dict[str, Any], english: str, french: str
    ) -> None:
        """
        Change a policy, and its sentence changes; both languages tell the same numbers.
        """
        process = COMEUP.with_policies(**changes)

        assert english in told(process)
        assert english not in told(COMEUP)
        assert french.replace("'", "’") in told(process, "fr")

    @pytest.mark.parametrize("name", [*VARIANTS, "vendor_consolidation"])
    def test_the_same_numbers_in_every_language(self, name: str) -> None:
        """
        Sentence by sentence, under whatever rules.
        """
        process = {**VARIANTS, "vendor_consolidation": vendor_consolidation()}[name]

        for chapter in rulebook(process):
            for clause in chapter.clauses:
                told = {numbers(clause.text(locale), locale) for locale in LOCALES}
                assert len(told) == 1, clause
                assert "%(" not in clause.text("fr")

    def test_every_number_of_comeup(self) -> None:
        """
        The published windows, re-read from the text; and no other numbers.
        """
        text = told(COMEUP)

        found = re.findall(r"[0-9]+ to [0-9]+|[0-9]+ [a-z%]+", text)
        assert sorted(found) == sorted(
            [
                "24 hours",  # C: time to pay
                "48 hours",  # R2
                "24 hours",  # R8
                "48 hours",  # R31
                "2 requests",  # R35
                "7 days",  # R54
                "3 days",
                "24 hours",
                "48 hours",  # R56
                "7 days",  # R61
                "1 refusal",  # C4
                "48 hours",  # C23
                "3 to 5",  # R47
                "7 days",  # R19
                "20 %",  # R4
                "7 days",  # R95
                "7 days",  # R41
                "6 months",  # R96
            ]
        )

    def test_chapters(self) -> None:
        """
        In the order of an order's life, each with its title.
        """
        chapters = rulebook(COMEUP)

        assert [chapter.name for chapter in chapters] == list(CHAPTERS)
        assert chapters[1].title("fr") == "L’acceptation"

    def test_rights(self) -> None:
        """
        Who may leave alone, and once it is late (R27, C2).
        """
        text = told(COMEUP)

        assert (
            "The buyer may cancel alone while the order is “Awaiting payment” or "
            "“Pending”." in text
        )
        assert (
            "Once it is late, the buyer may also cancel alone while the order is “In "
            "progress” or “Cancellation requested”."
        ) in text

    def test_a_hosts_own_rights(self) -> None:
        """
        What a host's own object says through the protocol is told as well.
        """
        text = told(COMEUP.with_policies(cancellation=Halves()))

        assert "If the buyer leaves so, the seller keeps 50 % of the work." in text
        assert "If the seller leaves so, he keeps 50 % of the work." in text
        assert "may ask the seller to agree" not in text

    def test_every_sentence_is_used(self) -> None:
        """
        No sentence is there that no rules ever tell.
        """
        processes = [
            COMEUP,
            COMEUP.with_policies(cancellation=Halves()),
            COMEUP.with_policies(
                cancellation=Lazy(),
                lifetime={"order_cap": "P5M", "expiry_beneficiary": "seller"},
            ),
            COMEUP.with_policies(lifetime={"order_cap": "P5M"}),
            recommended(),
            *(COMEUP.with_policies(**changes) for changes, _, _ in CHANGES.values()),
        ]
        used = {
            clause.code
            for process in processes
            for chapter in rulebook(process)
            for clause in chapter.clauses
        }

        assert used == set(CLAUSES)

    def test_rules_that_are_not_there(self) -> None:
        """
        Who may call no mediator is not told that he may; nor is what a host's own
        object does not say.
        """
        buyers = COMEUP.with_policies(dispute={"dispute_openers": {"buyer"}})
        never = COMEUP.with_policies(
            cancellation={"auto_dispute_after_cancel_refusals": None},
            conversation=Quiet(),
        )

        assert "The buyer may ask for a mediator" in told(buyers)
        assert "The seller may ask for a mediator" not in told(buyers)
        assert "opens by itself" not in told(never)
        assert "write to each other" not in told(never)

    def test_no_process(self) -> None:
        """
        Only a process has rules.
        """
        with pytest.raises(InvalidInputError) as caught:
            rulebook("comeup")  # type: ignore[arg-type]

        assert caught.value.field == "process"


@attrs.frozen
class Quiet:
    """
    Nobody writes to anybody once it is over.
    """

    version = "quiet"

    def closes_at(self, *, ended_at: Any, **_: Any) -> Any:
        return ended_at


@attrs.frozen
class Lazy(Halves):
    """
    Only who waited leaves alone.
    """

    version = "lazy"

    def cancel(self, situation: Situation) -> Right:
        alone = situation.late or situation.state == "awaiting_payment"
        return Alone() if alone else No("order_ended")


class TestLengths:
    """
    A length of time, as people say it.
    """

    @pytest.mark.parametrize(
        ("window", "english", "french"),
        [
            (timedelta(hours=48), "48 hours", "48 heures"),
            (timedelta(hours=1), "1 hour", "1 heure"),
            (timedelta(days=3), "3 days", "3 jours"),
            (timedelta(days=7), "7 days", "7 jours"),
            (timedelta(days=4, hours=12), "4 days 12 hours", "4 jours 12 heures"),
            (timedelta(minutes=90), "1 hour 30 minutes", "1 heure 30 min"),
            (timedelta(seconds=61), "1 minute 1 second", "1 min 1 s"),
            (Months(1), "1 month", "1 mois"),
            (Months(6), "6 months", "6 mois"),
        ],
        ids=str,
    )
    def test_told(self, window: Any, english: str, french: str) -> None:
        """
        In hours where the hour matters, in days beyond.
        """
        assert length_text(window) == english
        assert length_text(window, "fr") == french


def test_roles() -> None:
    """
    There are rules for both sides.
    """
    text = told(COMEUP)
    assert all(role.text in text for role in (Role.BUYER, Role.SELLER))
