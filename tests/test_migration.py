"""
Moving a running order to other rules: on the record, and never to anybody's cost.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.decisions import migration, options
from escrowflow.errors import (
    CommandRefusedError,
    InvalidInputError,
    OrderNotFoundError,
    UnknownProcessError,
)
from escrowflow.money import Fee, Share
from escrowflow.parties import Role
from escrowflow.policies import Alone, No, Right, Situation
from escrowflow.processes import vendor_consolidation
from escrowflow.states import Process, State
from escrowflow.storage.memory import MemoryStorage
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    T0,
    WAY,
    an_engine,
    brought_to,
    terms,
)
from tests.lives import VARIANTS
from tests.test_states import PauseOrder, pausing
from tests.wander import Wanderer

if TYPE_CHECKING:
    from escrowflow.engine import Engine
    from escrowflow.rules import Policies

BOTH = (Role.BUYER, Role.SELLER)


def shop(*also: Process[Policies], storage: Any = None) -> Engine:
    """
    Return an engine that knows other rules, too.
    """
    return an_engine(
        MemoryStorage() if storage is None else storage,
        clock=FakeClock(T0),
        also=also,
    )


def codes(report: Any) -> list[str]:
    """
    Return what stands against a migration.
    """
    return [blocker.code for blocker in report.blockers]


KINDER = COMEUP.with_policies(revision={"choice_window": "P14D"})


@attrs.frozen
class Leaving:
    """
    Whoever likes leaves alone; the seller keeps a share if the buyer does.
    """

    kept: Share

    @property
    def version(self) -> str:
        return f"leaving {self.kept}"

    answer_window = timedelta(days=2)

    def cancel(self, situation: Situation) -> Right:
        return Alone(self.kept) if situation.role is Role.BUYER else Alone()

    def request(self, situation: Situation) -> Right:
        return No("no_cancellation_request_here")

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        return False


class TestMoving:
    """
    An order that may be moved.
    """

    @pytest.mark.parametrize("state", WAY)
    def test_to_kinder_rules(self, state: str) -> None:
        """
        Nobody loses anything: it is moved, and everything else is as it was.
        """
        engine = shop(KINDER)
        brought_to(engine, state)
        before = engine.order("o1")

        report = engine.migrate("o1", KINDER, by=OPS)

        after = engine.order("o1")
        assert report.allowed
        assert report.order == after
        assert (report.process, report.to) == (COMEUP.fingerprint, KINDER.fingerprint)
        assert after.fingerprint == KINDER.fingerprint
        assert after.standing == before.standing
        assert after.ledger == before.ledger
        assert after.version == before.version + 1
        assert engine.verify().faults == ()

    def test_the_other_rules_count(self) -> None:
        """
        The next step is taken under them.
        """
        engine = shop(KINDER)
        brought_to(engine, "revision_requested")
        engine.migrate("o1", KINDER, by=OPS)

        order = engine.execute("o1", c.RefuseRevision(reason="no"), by=LUC).order

        assert order.due_at == engine.clock.now().add(days=14)

    def test_it_is_on_the_record(self) -> None:
        """
        Who did it, and whose consent there was; both sides are told.
        """
        meaner = COMEUP.with_policies(revision={"choice_window": "P1D"})
        engine = shop(meaner)
        brought_to(engine, "in_progress")

        engine.migrate("o1", meaner, by=OPS, consents=BOTH)

        last = engine.history("o1")[-1]
        assert (last.name, last.by) == ("order_migrated", OPS)
        event: Any = last.event
        assert (event.process, event.fingerprint) == ("comeup", meaner.fingerprint)
        assert event.consents == ("buyer", "seller")
        told = {
            one.effect.to  # type: ignore[attr-defined]
            for one in engine.effects("o1")
            if getattr(one.effect, "kind", "") == "order_migrated"
        }
        assert told == {"buyer", "seller"}

    def test_what_is_due_comes_first(self) -> None:
        """
        A deadline that passed under the old rules is settled under them.
        """
        engine = shop(KINDER)
        brought_to(engine, "delivered")
        clock: Any = engine.clock
        clock.advance(days=8)

        engine.migrate("o1", KINDER, by=OPS)

        names = [recorded.name for recorded in engine.history("o1")]
        assert names.index("order_completed") < names.index("order_migrated")

    def test_back_again(self) -> None:
        """
        It may go back, if that costs nobody anything.
        """
        engine = shop(KINDER)
        brought_to(engine, "in_progress")
        engine.migrate("o1", KINDER, by=OPS)

        report = engine.migrate("o1", COMEUP, dry_run=True)

        assert codes(report) == ["window_shortened"]
        (blocker,) = report.blockers
        assert dict(blocker.params) == {
            "role": "buyer",
            "rule": "revision.choice_window",
            "before": "P14D",
            "after": "P7D",
        }

    def test_by_another_engine(self) -> None:
        """
        Whoever lacks the rules can read it, and no more.
        """
        storage = MemoryStorage()
        engine = shop(KINDER, storage=storage)
        brought_to(engine, "in_progress")
        engine.migrate("o1", KINDER, by=OPS)

        older = shop(storage=storage)

        assert older.order("o1").fingerprint == KINDER.fingerprint
        with pytest.raises(UnknownProcessError):
            older.execute("o1", c.CancelOrder(), by=LUC)


class TestReport:
    """
    What a dry run says.
    """

    def test_nothing_is_written(self) -> None:
        """
        To be told changes nothing.
        """
        engine = shop(KINDER)
        brought_to(engine, "in_progress")
        before = engine.order("o1")

        report = engine.migrate("o1", KINDER, dry_run=True)

        assert report.allowed
        assert engine.order("o1") == before

    def test_moved_and_kept(self) -> None:
        """
        The rules that change, and the deadlines that run on.
        """
        engine = shop(KINDER)
        brought_to(engine, "in_progress")

        report = engine.migrate("o1", KINDER, dry_run=True)

        (changed,) = report.moved
        assert (changed.rule, changed.before, changed.after) == (
            "revision.choice_window",
            "P7D",
            "P14D",
        )
        assert [wait.name for wait in report.kept] == ["delivery"]

    def test_another_table(self) -> None:
        """
        Rows that are there, or not, are told as well.
        """
        engine = shop(vendor_consolidation())
        brought_to(engine, "in_progress")

        report = engine.migrate("o1", vendor_consolidation(), dry_run=True)

        (rows,) = (one for one in report.moved if one.rule == "rows")
        assert "delivered cancel_order seller" in rows.after

    @pytest.mark.parametrize("name", VARIANTS)
    def test_any_rules(self, name: str) -> None:
        """
        Between any two of many rules there is an answer; with both consents it is done,
        wherever there is a place for it.
        """
        for other in VARIANTS.values():
            engine = an_engine(
                MemoryStorage(), VARIANTS[name], clock=FakeClock(T0), also=(other,)
            )
            brought_to(engine, "in_progress")

            report = engine.migrate("o1", other, dry_run=True)
            agreed = engine.migrate("o1", other, dry_run=True, consents=BOTH)

            assert set(codes(agreed)) <= {
                "same_rules",
                "state_unknown_there",
                "deadline_unknown_there",
            }
            if report.blockers:
                with pytest.raises(CommandRefusedError) as caught:
                    engine.migrate("o1", other, by=OPS)
                assert caught.value.blockers == report.blockers
            else:
                engine.migrate("o1", other, by=OPS)
                assert engine.order("o1").fingerprint == other.fingerprint
            for blocker in report.blockers:
                assert blocker.message("fr") != blocker.message("en")


# What is taken from whom -> the rules.
TAKEN: dict[str, tuple[str, str, Any]] = {
    "choice": (
        "buyer",
        "window_shortened",
        {"revision": {"choice_window": "P6D"}},
    ),
    "answer": (
        "seller",
        "window_shortened",
        {"revision": {"answer_window": "PT24H"}},
    ),
    "answer to a cancellation": (
        "seller",
        "window_shortened",
        {"cancellation": {"answer_window": "PT47H"}},
    ),
    "offer": ("buyer", "window_shortened", {"extras": {"offer_window": "P1D"}}),
    "review": ("buyer", "window_shortened", {"reviews": {"review_window": "P5M"}}),
    "cap": ("seller", "window_shortened", {"lifetime": {"order_cap": "P5M"}}),
    "chat": (
        "seller",
        "window_shortened",
        {"conversation": {"chat_after_cancelled": "P6D"}},
    ),
    "late cancellation": (
        "buyer",
        "way_out_closed",
        {"cancellation": {"late_cancel": "request_auto_accepted"}},
    ),
    "late cancellation after a delivery": (
        "buyer",
        "way_out_closed",
        {"cancellation": {"late_cancel_after_first_delivery": False}},
    ),
    "seller's cancellation": (
        "seller",
        "way_out_closed",
        {"cancellation": {"seller_cancel_states": {"pending", "in_progress"}}},
    ),
    "approval": (
        "buyer",
        "way_out_closed",
        {"completion": {"completion_triggers": {"review"}}},
    ),
    "mediator": (
        "seller",
        "way_out_closed",
        {"dispute": {"dispute_openers": {"buyer"}}},
    ),
    "direct dispute": (
        "buyer",
        "way_out_closed",
        {"dispute": {"dispute_entry": {"revision_refused": "claim_then_mediator"}}},
    ),
    "proposals": (
        "buyer",
        "way_out_closed",
        {"partial_refunds": {"partial_refund": "mediator_only"}},
    ),
    "second refusal": (
        "buyer",
        "way_out_closed",
        {"revision": {"dispute_after_revision_refusals": 2}},
    ),
    "revisions": (
        "buyer",
        "way_out_closed",
        {"revision": {"revision_limit_mode": "hard"}},
    ),
    "fee": (
        "seller",
        "money_lessened",
        {"fees": {"seller_fee": Fee(bps=100)}},
    ),
}


class TestLosing:
    """
    What is not taken from anybody who has not agreed.
    """

    @pytest.mark.parametrize(("role", "code", "changes"), TAKEN.values(), ids=TAKEN)
    def test_it_takes_consent(self, role: str, code: str, changes: Any) -> None:
        """
        Less time, a way out less, less money: only with the consent of whose it is.
        """
        meaner = COMEUP.with_policies(**changes)
        engine = shop(meaner)
        brought_to(engine, "in_progress", terms=terms(revisions=0))
        whose = Role.of(role)
        (other,) = (one for one in BOTH if one is not whose)

        report = engine.migrate("o1", meaner, dry_run=True, consents=[other])

        assert set(codes(report)) == {code}
        assert {blocker.params["role"] for blocker in report.blockers} == {role}
        with pytest.raises(CommandRefusedError):
            engine.migrate("o1", meaner, by=OPS, consents=[other])
        assert engine.order("o1").fingerprint == COMEUP.fingerprint
        engine.migrate("o1", meaner, by=OPS, consents=BOTH)
        assert engine.order("o1").fingerprint == meaner.fingerprint

    def test_what_cannot_happen_any_more(self) -> None:
        """
        What lies behind an order is nobody's loss.
        """
        meaner = COMEUP.with_policies(
            lifetime={"payment_window": "PT1H"},
            cancellation={
                "seller_cancel_states": {
                    "in_progress",
                    "cancellation_requested",
                    "revision_requested",
                    "revision_refused",
                }
            },
        )
        engine = shop(meaner)
        brought_to(engine, "pending")
        assert codes(engine.migrate("o1", meaner, dry_run=True)) == ["way_out_closed"]

        engine.execute("o1", c.AcceptOrder(), by=LUC)

        assert engine.migrate("o1", meaner, dry_run=True).allowed

    def test_time_to_pay(self) -> None:
        """
        Before it is paid, the time to pay is the buyer's.
        """
        meaner = COMEUP.with_policies(lifetime={"payment_window": "PT1H"})
        engine = shop(meaner)
        brought_to(engine, "awaiting_payment")

        report = engine.migrate("o1", meaner, dry_run=True)

        assert codes(report) == ["window_shortened"]

    def test_a_share_of_the_work(self) -> None:
        """
        Where the seller would keep a part of what goes back now, the buyer is asked;
        the other way round, the seller is not: the right is the buyer's.
        """
        first = COMEUP.with_policies(cancellation=Leaving(Share.percent(0)))
        second = COMEUP.with_policies(cancellation=Leaving(Share.percent(50)))
        engine = an_engine(MemoryStorage(), first, clock=FakeClock(T0), also=(second,))
        brought_to(engine, "in_progress")

        report = engine.migrate("o1", second, dry_run=True)

        assert {blocker.params["role"] for blocker in report.blockers} == {"buyer"}
        assert {blocker.params["command"] for blocker in report.blockers} == {
            "cancel_order"
        }
        engine.migrate("o1", second, by=OPS, consents=[Role.BUYER])
        assert engine.migrate("o1", first, by=OPS).allowed

    def test_the_beneficiary_of_the_end(self) -> None:
        """
        Once the longest life runs, whose the money is at its end is not changed.
        """
        first = COMEUP.with_policies(
            lifetime={"order_cap": "P5M", "expiry_beneficiary": "buyer"}
        )
        second = COMEUP.with_policies(lifetime={"order_cap": "P5M"})
        engine = an_engine(MemoryStorage(), first, clock=FakeClock(T0), also=(second,))
        brought_to(engine, "in_progress")

        report = engine.migrate("o1", second, dry_run=True)

        assert codes(report) == ["money_lessened"]
        assert report.blockers[0].params["role"] == "buyer"

    def test_options_never_shrink_without_consent(self) -> None:
        """
        Whatever two sets of rules there are: if a move is allowed, each party can still
        do all that it could (a check beside, by the options themselves).
        """
        rng = random.Random(7)
        checked = 0
        for before in VARIANTS.values():
            for after in VARIANTS.values():
                wanderer = Wanderer(before, rng)
                for _ in range(8):
                    wanderer.step()
                report = migration(before, wanderer.order, after)
                if not report.allowed:
                    continue
                for by in (ANA, LUC):
                    had = {
                        option.name for option in wanderer.options(by) if option.allowed
                    }
                    has = {
                        option.name
                        for option in options(
                            after, wanderer.order, by=by, now=wanderer.now
                        )
                        if option.allowed
                    }
                    assert had <= has, (before, after, wanderer.order.state)
                    checked += 1
        assert checked > 10


class TestBad:
    """
    What is refused before anything is looked at.
    """

    def test_who(self) -> None:
        """
        Only staff moves orders.
        """
        engine = shop(KINDER)
        brought_to(engine, "in_progress")

        for by in (ANA, LUC, MIA, None, "ops"):
            with pytest.raises(InvalidInputError) as caught:
                engine.migrate("o1", KINDER, by=by)  # type: ignore[arg-type]
            assert caught.value.field == "by"

    def test_which_order(self) -> None:
        """
        An unknown order is not found.
        """
        with pytest.raises(OrderNotFoundError):
            shop(KINDER).migrate("o7", KINDER, by=OPS)

    def test_which_rules(self) -> None:
        """
        The engine must know them; they must be others.
        """
        engine = shop()
        brought_to(engine, "in_progress")

        with pytest.raises(UnknownProcessError):
            engine.migrate("o1", KINDER, by=OPS)
        with pytest.raises(InvalidInputError):
            engine.migrate("o1", "comeup", by=OPS)  # type: ignore[arg-type]
        assert codes(engine.migrate("o1", COMEUP, dry_run=True)) == ["same_rules"]

    @pytest.mark.parametrize("consents", ["buyer", 7, [Role.OPERATOR], ["buyer"]])
    def test_whose_consent(self, consents: Any) -> None:
        """
        Only parties consent.
        """
        engine = shop(KINDER)
        brought_to(engine, "in_progress")

        with pytest.raises(InvalidInputError) as caught:
            engine.migrate("o1", KINDER, by=OPS, consents=consents)
        assert caught.value.field == "consents"

    def test_a_state_for_it(self) -> None:
        """
        Nor does one in a state of a host's own.
        """
        engine = an_engine(
            MemoryStorage(), pausing(), clock=FakeClock(T0), also=(COMEUP,)
        )
        brought_to(engine, "in_progress")
        engine.execute("o1", PauseOrder(reason="ill"), by=LUC)

        report = engine.migrate("o1", COMEUP, dry_run=True, consents=BOTH)

        assert set(codes(report)) == {"state_unknown_there", "deadline_unknown_there"}
        assert report.blockers[0].params["state"] == "paused"

    def test_a_place_for_it(self) -> None:
        """
        An order in a state, or with a deadline, that the other rules lack stays.
        """
        smaller = Process(
            name="smaller",
            states=State,
            initial=COMEUP.initial,
            endings=COMEUP.endings,
            rows=tuple(
                row for row in COMEUP.rows if row.command is not c.RemindAcceptance
            ),
            deadlines=tuple(
                kind for kind in COMEUP.deadlines if kind.name != "acceptance_reminder"
            ),
            decisions=COMEUP.decisions,
            policies=COMEUP.policies,
            gaps=COMEUP.gaps,
        )
        engine = shop(smaller)
        brought_to(engine, "pending")

        report = engine.migrate("o1", smaller, dry_run=True)

        assert codes(report) == ["deadline_unknown_there"]
        assert report.blockers[0].params["deadline"] == "acceptance_reminder"
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        assert engine.migrate("o1", smaller, by=OPS).allowed
