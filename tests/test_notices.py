"""
Notices: who is told what happened, in their language, with nothing left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.decisions.notices import NOTICES, notices
from escrowflow.effects import (
    Charge,
    Done,
    NotDone,
    Notify,
    PayOut,
    Refund,
    ReleaseHold,
)
from escrowflow.engine import Engine
from escrowflow.errors import InvalidInputError
from escrowflow.history import evolve
from escrowflow.money import Money, Payment
from escrowflow.processes import recommended
from escrowflow.storage import open_storage
from escrowflow.telling import to_json
from escrowflow.terms import Relaunch, Split
from escrowflow.words import (
    LOCALES,
    cause_text,
    day_text,
    instant_text,
    notice_text,
    parts,
    ruling_text,
)
from escrowflow.words import notices as words
from tests.given import ANA, COMEUP, LUC, MIA, OPS, STRIPE, T0, an_order, eur, paid
from tests.lives import VARIANTS
from tests.wander import wanderers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from escrowflow.order import Order
    from escrowflow.parties import Actor

PARIS = "Europe/Paris"

# What random lives seldom come to: the test of failures tells of all but the last.
ELSEWHERE = {
    *(("charge_failed", role) for role in ("buyer", "operator")),
    *(("chargeback_opened", role) for role in ("seller", "operator")),
    *(("chargeback_closed", role) for role in ("seller", "operator")),
    *(("payout_failed", role) for role in ("seller", "operator")),
    *(("refund_failed", role) for role in ("buyer", "operator")),
    ("hold_released", "buyer"),
    # Few lives of few ask for more time.
    *(("extension_accepted", "seller"), ("extension_refused", "seller")),
    ("extension_withdrawn", "buyer"),
    *(("order_migrated", role) for role in ("buyer", "seller")),
}


def wandered(count: int) -> Iterator[Notify]:
    """
    Yield what is told in random lives.
    """
    lives = {id(wanderer): wanderer for wanderer in wanderers("notices", count)}
    for life in lives.values():
        order: Order | None = None
        for recorded in life.history:
            order = evolve(order, recorded)
            yield from notices(order, recorded)


def shown(name: str, value: Any, locale: str) -> str:
    """
    Return how a part of a message reads.
    """
    if name == "cause":
        return cause_text(value, locale)
    if name in ("ruling", "default_ruling"):
        return ruling_text(value, locale)
    if name == "refund_by":
        return day_text(value, locale, PARIS)
    if hasattr(value, "tzinfo"):
        return instant_text(value, locale, PARIS)
    text = str(value)
    if isinstance(value, Money) and locale == "fr":
        text = text.replace(".", ",").replace(" ", "\N{NO-BREAK SPACE}")
    return text


def by_event() -> set[tuple[str, str]]:
    """
    Return who is told of what: event and role.
    """
    return {
        (event.name, role.text) for event, roles in NOTICES.items() for role in roles
    }


class TestWords:
    """
    Whoever is told of something has a sentence for it, and no sentence is idle.
    """

    def test_every_notice(self) -> None:
        """
        Each event that somebody is told of has words for each role that is told.
        """
        assert by_event() == {
            (event, role) for event, roles in words.NOTICES.items() for role in roles
        }

    def test_subjects_are_of_notices(self) -> None:
        """
        Only what is told has a subject of its own.
        """
        assert set(words.SUBJECTS) <= {event.name for event in NOTICES}

    def test_the_last_sentence_needs_nothing(self) -> None:
        """
        Of what happened there is always something to say.
        """
        for roles in words.NOTICES.values():
            for sentences in roles.values():
                assert not parts(sentences[-1])
                assert all(map(parts, sentences[:-1]))

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_what_is_foretold_is_what_the_table_does(self, variant: str) -> None:
        """
        Where a message says how a wait ends, the table of the process says the same.
        """
        kinds = VARIANTS[variant].kinds
        ends = {
            "acceptance": c.ExpireAcceptance,
            "verification": c.CompleteSilently,
            "choice": c.CompleteSilently,
            "brief": c.ExpireBrief,
            "delay": c.ExpireDelivery,
        }

        known = set(words.RUNNING) & set(kinds)
        assert known == set(words.RUNNING) - (
            set() if "brief" in kinds else {"brief", "delay", "claim"}
        )
        for name in known & set(ends):
            assert kinds[name].command is ends[name]
        foretold = {
            name
            for name, roles in words.RUNNING.items()
            if any(
                "then" in sentence or "after that" in sentence
                for sentences in roles.values()
                for sentence in sentences
            )
        }
        assert foretold == set(ends)


class TestTold:
    """
    What a message says.
    """

    def test_a_story(self) -> None:
        """
        A whole order, as the two sides are told of it.
        """
        clock = FakeClock(T0)
        engine = Engine(COMEUP, open_storage("memory://"), clock=clock)
        order = engine.place(an_order(), by=ANA).order.id
        for command, by in (
            (c.AcceptOrder(), LUC),
            (c.DeliverOrder(files=("logo.svg",)), LUC),
            (c.RequestRevision(reason="Trop sombre"), ANA),
            (c.RefuseRevision(reason="Non"), LUC),
            (c.OpenDispute(reason="Trop sombre"), ANA),
            (c.AssignMediator(mediator_id="mia"), OPS),
            (c.RuleDispute(ruling=Split(to_buyer=eur(30)), reason="Partage"), MIA),
        ):
            engine.execute(order, command, by=by)

        effects = [status.effect for status in engine.effects(order)]
        told = [
            (one.to, one.subject(), one.message(zone=PARIS))
            for one in effects
            if isinstance(one, Notify) and one.to in ("buyer", "seller")
        ]

        assert told == [
            (
                "seller",
                "New order",
                "You have a new order: 100.00 EUR, paid and held until both sides are "
                "done. Accept the order or refuse it before Thu 7 May 2026, 10:00 "
                "(+02:00); after that it is cancelled.",
            ),
            (
                "buyer",
                "Order accepted",
                "The seller has accepted your order. The delivery is due on Sun 10 May "
                "2026, 10:00 (+02:00).",
            ),
            (
                "buyer",
                "Order delivered",
                "The seller has delivered your order. Verify it before Tue 12 May 2026, "
                "10:00 (+02:00): without a word from you it then counts as right, and "
                "the seller is paid.",
            ),
            (
                "seller",
                "Revision requested",
                "The buyer requests a revision. Answer before Thu 7 May 2026, 10:00 "
                "(+02:00).",
            ),
            (
                "buyer",
                "Revision refused",
                "The seller refuses the revision. Choose before Tue 12 May 2026, 10:00 "
                "(+02:00) how it goes on: without a word from you the order is then "
                "completed, and the seller is paid.",
            ),
            (
                "seller",
                "Dispute opened",
                "The order is in dispute. Reason: “The seller refused the revision”. "
                "Everything stands still until it is decided.",
            ),
            ("buyer", "Mediator assigned", "A mediator looks after your order."),
            ("seller", "Mediator assigned", "A mediator looks after your order."),
            (
                "buyer",
                "Dispute ruled",
                "The dispute is decided: the money is divided between buyer and "
                "seller.",
            ),
            (
                "seller",
                "Dispute ruled",
                "The dispute is decided: the money is divided between buyer and "
                "seller.",
            ),
            (
                "buyer",
                "Order completed",
                "The order is completed. Reason: “The dispute was decided”. 30.00 EUR "
                "goes back to you: you should have it by Tue 12 May 2026.",
            ),
            (
                "seller",
                "Order completed",
                "The order is completed. Reason: “The dispute was decided”. You earn "
                "70.00 EUR.",
            ),
        ]

    def test_in_french(self) -> None:
        """
        In French with French dates, and the subject too.
        """
        clock = FakeClock(T0)
        engine = Engine(COMEUP, open_storage("memory://"), clock=clock)
        order = engine.place(an_order(), by=ANA).order.id
        clock.advance(hours=25)
        engine.run_due()

        reminder = engine.effects(order)[-1].effect

        assert isinstance(reminder, Notify)
        space, thin = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"
        assert reminder.subject("fr_CA") == (
            f"Rappel{space}: votre cahier des charges est attendu"
        )
        assert reminder.message("fr_CA", PARIS) == (
            f"Le vendeur n’a pas encore votre cahier des charges{space}: merci de le "
            f"transmettre. Le vendeur peut accepter la commande avant le jeudi 7{space}"
            f"mai 2026 à 10:00 (+02:00){thin}; à défaut, vous serez remboursé."
        )

    def test_nothing_is_left_out_or_invented(self) -> None:
        """
        Whatever befalls an order, each message tells every fact it carries, in both
        languages, and is made of finished sentences.
        """
        seen: set[tuple[str, str]] = set()
        for notice in wandered(600):
            seen.add((notice.kind, notice.to))
            facts = {
                name: value
                for name, value in notice.params.items()
                if name not in ("state", "deadline")
            }
            for locale in LOCALES:
                text = notice.message(locale, PARIS)
                subject = notice.subject(locale)
                assert text.endswith(".")
                assert subject
                assert "%" not in text + subject
                for name, value in facts.items():
                    assert shown(name, value, locale) in text, (name, notice)
                # Whatever the sign and the space: one that is wrong is found, too.
                assert set(re.findall(r"[\d.,]+\sEUR", text)) == {
                    shown(name, value, locale)
                    for name, value in facts.items()
                    if isinstance(value, Money)
                }

        assert by_event() - seen <= ELSEWHERE

    def test_more_time(self) -> None:
        """
        Who asks for a later date, and what the other side said.
        """
        engine = Engine(recommended(), open_storage("memory://"), clock=FakeClock(T0))
        order = engine.place(an_order(), by=ANA).order.id
        asking = c.RequestExtension(due_at="2026-05-20T10:00:00Z", reason="snow")
        for command, by in (
            (c.AcceptOrder(), LUC),
            *((asking, LUC), (c.WithdrawExtension(), LUC)),
            *((asking, LUC), (c.RefuseExtension(), ANA)),
            *((asking, LUC), (c.AcceptExtension(), ANA)),
        ):
            engine.execute(order, command, by=by)

        effects = [status.effect for status in engine.effects(order)]
        told = {
            (one.to, one.message(zone=PARIS))
            for one in effects
            if isinstance(one, Notify) and one.kind.startswith("extension")
        }

        assert told == {
            (
                "buyer",
                "The seller asks for more time, until Wed 20 May 2026, 12:00 (+02:00).",
            ),
            ("buyer", "The seller no longer asks for more time."),
            (
                "seller",
                "The buyer does not grant you more time. Deliver before Sun 10 May "
                "2026, 10:00 (+02:00).",
            ),
            (
                "seller",
                "The buyer has granted you more time. Deliver before Wed 20 May 2026, "
                "12:00 (+02:00).",
            ),
        }

    def test_money_that_goes_wrong(self) -> None:
        """
        Of money that did not arrive, or that a bank took, its owner and staff are
        told, and what becomes of it: whether it is sent again by itself, or somebody
        has to look.
        """
        process = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})
        engine = Engine(process, open_storage("memory://"), clock=FakeClock(T0))
        held = [
            Payment("card", f"pi_{n}", eur(100), "2026-05-12T10:00:00Z")
            for n in range(4)
        ]
        orders = [
            engine.place(an_order(payment=card), by=ANA).order.id for card in held
        ]
        sent: list[Notify] = []
        handlers: dict[type[Any], Any] = {
            Charge: lambda charge: (
                NotDone("declined")
                if charge.payment.reference == "pi_0"
                else Done(charge.payment.reference)
            ),
            ReleaseHold: lambda _: None,
            PayOut: lambda _: NotDone("account closed"),
            Refund: lambda _: NotDone("bank is down", again=True),
            Notify: sent.append,
        }

        def do(order: str, command: c.Command, by: Actor) -> None:
            engine.execute(order, command, by=by)
            engine.run_effects(handlers)

        for order in orders:
            do(order, c.AcceptOrder(), LUC)
        do(orders[1], c.DeliverOrder(files=("logo.svg",)), LUC)
        do(orders[1], c.ApproveDelivery(), ANA)
        do(orders[2], c.CancelOrder(), LUC)
        do(
            orders[2],
            c.ConfirmPayment(payment=attrs.evolve(held[0], reference="pi_9")),
            STRIPE,
        )
        ends: tuple[tuple[Any, str], ...] = (("won", orders[1]), ("lost", orders[3]))
        for end, order in ends:
            for status in ("opened", end):
                taken = c.ReportChargeback(
                    chargeback_id="dp_1",
                    payment_reference=f"pi_{orders.index(order)}",
                    status=status,
                )
                do(order, taken, STRIPE)
        engine.run_effects(handlers)

        troubles = {
            (one.kind, one.to, one.message())
            for one in sent
            if (one.kind, one.to) in ELSEWHERE
        }
        closed = "The bank has decided, and"
        assert sorted(troubles) == [
            (
                "charge_failed",
                "buyer",
                "Your payment of 100.00 EUR could not be charged.",
            ),
            (
                "charge_failed",
                "operator",
                "A payment of 100.00 EUR could not be charged: look at the order.",
            ),
            ("chargeback_closed", "operator", f"{closed} gives 100.00 EUR back."),
            (
                "chargeback_closed",
                "operator",
                f"{closed} keeps 100.00 EUR of the payment.",
            ),
            ("chargeback_closed", "seller", f"{closed} gives 100.00 EUR back."),
            (
                "chargeback_closed",
                "seller",
                f"{closed} keeps 100.00 EUR of the payment.",
            ),
            (
                "chargeback_opened",
                "operator",
                "A bank has taken 100.00 EUR back: contest it in time, or let it be.",
            ),
            (
                "chargeback_opened",
                "seller",
                "The buyer’s bank has taken 100.00 EUR back; the platform can contest "
                "it.",
            ),
            (
                "hold_released",
                "buyer",
                "The 100.00 EUR that your bank holds is not owed: the bank lets it go.",
            ),
            (
                "payout_failed",
                "operator",
                "A payout of 100.00 EUR did not happen: look at it.",
            ),
            (
                "payout_failed",
                "seller",
                "Your payout of 100.00 EUR did not happen: the platform looks at it.",
            ),
            (
                "refund_failed",
                "buyer",
                "Your refund of 100.00 EUR is delayed: it is sent again.",
            ),
            (
                "refund_failed",
                "operator",
                "A refund of 100.00 EUR did not happen: it is sent again by itself.",
            ),
        ]

    def test_whom_it_is_no_news_to(self) -> None:
        """
        Who did it is not told, but who opened a dispute without asking for one (R35);
        nor the seller of an order that was never paid, nor staff of a dispute that has
        its mediator.
        """
        engine = Engine(COMEUP, open_storage("memory://"), clock=FakeClock(T0))

        def told(order: str, *steps: tuple[c.Command, Actor]) -> list[str]:
            for command, by in steps:
                engine.execute(order, command, by=by)
            found = (status.effect for status in engine.effects(order))
            last = engine.history(order)[-1].seq
            return [
                f"{one.kind} {one.to}"
                for one in found
                if isinstance(one, Notify) and one.seq > last - 2
            ]

        ask = c.RequestCancellation(reason="x"), ANA
        refuse = c.RefuseCancellation(reason="x"), LUC
        refused, claimed, unpaid = (
            engine.place(an_order(**given), by=ANA).order.id
            for given in ({}, {"payment": paid("pi_2")}, {"payment": None})
        )
        assert told(refused, (c.AcceptOrder(), LUC), ask, refuse, ask, refuse) == [
            "cancellation_refused buyer",
            "dispute_opened buyer",
            "dispute_opened seller",
            "dispute_opened operator",
        ]
        assert told(
            claimed,
            (c.AcceptOrder(), LUC),
            (c.FileClaim(reason="x"), ANA),
            (c.AssignMediator(mediator_id="mia"), OPS),
            (c.ConvertClaim(), MIA),
        )[-2:] == ["dispute_opened buyer", "dispute_opened seller"]
        assert told(unpaid, (c.CancelOrder(), ANA)) == []

    def test_back_to_work(self) -> None:
        """
        Both sides hear until when, once a mediator sends the order back to work (R80).
        """
        engine = Engine(COMEUP, open_storage("memory://"), clock=FakeClock(T0))
        order = engine.place(an_order(), by=ANA).order.id
        for command, by in (
            (c.AcceptOrder(), LUC),
            (c.OpenDispute(reason="x"), OPS),
            (c.AssignMediator(mediator_id="mia"), OPS),
            (c.RuleDispute(ruling=Relaunch(), reason="x"), MIA),
        ):
            engine.execute(order, command, by=by)

        found = [status.effect for status in engine.effects(order)][-2:]

        assert [one.message() for one in found if isinstance(one, Notify)] == [
            "The order goes back to work. The delivery is due on Sun 10 May 2026, 08:00 "
            "(UTC).",
            "The order goes back to work. Deliver before Sun 10 May 2026, 08:00 (UTC).",
        ]

    def test_own_money_only(self) -> None:
        """
        What one side gets is no business of the other's, nor what anybody wrote.
        """
        for notice in wandered(60):
            assert notice.to == "buyer" or "refund" not in notice.params
            assert notice.to == "seller" or "payout" not in notice.params
            assert "sombre" not in f"{notice.params}{notice.message()}"

    @pytest.mark.parametrize("locale", LOCALES)
    def test_without_parts(self, locale: str) -> None:
        """
        A message that carries nothing still says what happened.
        """
        for event, role in by_event():
            notice = Notify(
                order_id="o1", seq=1, key="k", kind=event, to=role, recipient_id="ana"
            )
            assert notice.message(locale).endswith(".")
            assert "%" not in notice.message(locale)

    def test_of_a_host(self) -> None:
        """
        An event that the library does not know is told as it is spelled.
        """
        assert notice_text("parcel_lost", "buyer", {}) == "parcel lost."

    def test_unknown_zone(self) -> None:
        """
        A wrong zone is one typed error; an unknown language is English.
        """
        engine = Engine(COMEUP, open_storage("memory://"), clock=FakeClock(T0))
        order = engine.place(an_order(), by=ANA).order.id
        (notice,) = (status.effect for status in engine.effects(order))
        assert isinstance(notice, Notify)

        with pytest.raises(InvalidInputError) as caught:
            notice.message(zone="Paris")
        assert caught.value.field == "zone"
        assert notice.message("tlh") == notice.message("en")

    def test_as_json(self) -> None:
        """
        A page is told the subject and the message beside the facts.
        """
        engine = Engine(COMEUP, open_storage("memory://"), clock=FakeClock(T0))
        outcome = engine.place(an_order(), by=ANA)
        (notice,) = outcome.effects
        assert isinstance(notice, Notify)

        said = to_json(notice, locale="fr")

        assert said["subject"] == notice.subject("fr")
        assert said["message"] == notice.message("fr")
        assert said["params"]["price"] == {"amount": "100.00", "currency": "EUR"}
        assert said["params"]["due_at"] == "2026-05-07T08:00:00+00:00"
