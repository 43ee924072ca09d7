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
from escrowflow.money import Fee, Payment, Share
from escrowflow.parties import Role
from escrowflow.policies import Alone, No, Right, Situation
from escrowflow.processes import recommended, vendor_consolidation
from escrowflow.states import Process, State
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import FullRefund
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    T0,
    WAY,
    an_engine,
    an_order,
    brought_to,
    eur,
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


def placed_order() -> Any:
    """
    Return an order that nobody has paid for yet.
    """
    engine = shop()
    engine.place(an_order(payment=None), by=ANA, order_id="o1")
    return engine.order("o1")


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

    def test_by_a_clock_that_is_behind(self) -> None:
        """
        It is never written before what was written last.
        """
        storage = MemoryStorage()
        ahead = shop(KINDER, storage=storage)
        brought_to(ahead, "delivered")
        clock: Any = ahead.clock
        clock.advance(days=8)
        ahead.run_due()
        earlier = FakeClock(clock.now().subtract(hours=1))
        behind = an_engine(storage, clock=earlier, also=(KINDER,))

        behind.migrate("o1", KINDER, by=OPS)

        *_, before, moved = behind.history("o1")
        assert moved.name == "order_migrated"
        assert moved.recorded_at == before.recorded_at

    def test_back_again(self) -> None:
        """
        It may go back, if that costs nobody anything.
        """
        engine = shop(KINDER)
        brought_to(engine, "in_progress")
        engine.migrate("o1", KINDER, by=OPS)

        report = engine.migrate("o1", COMEUP, dry_run=True)

        assert codes(report) == ["window_shortened", "rule_changed"]
        blocker, _ = report.blockers
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
                "hold_unknown_there",
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


# Whose window would be shorter -> the rules.
SHORTER: dict[str, tuple[set[str], dict[str, Any]]] = {
    "choice": ({"buyer"}, {"revision": {"choice_window": "P6D"}}),
    "answer": ({"seller"}, {"revision": {"answer_window": "PT24H"}}),
    "cancellation": ({"seller"}, {"cancellation": {"answer_window": "PT47H"}}),
    "offer": ({"buyer"}, {"extras": {"offer_window": "P1D"}}),
    "review": ({"buyer"}, {"reviews": {"review_window": "P5M"}}),
    "chat": ({"buyer", "seller"}, {"conversation": {"chat_after_cancelled": "P6D"}}),
}

# What may cost one side something or other, and by which it is told.
OTHERWISE: dict[str, dict[str, Any]] = {
    "cap": {"lifetime": {"order_cap": "P5M"}},
    "late cancellation": {"cancellation": {"late_cancel": "request_auto_accepted"}},
    "after a delivery": {"cancellation": {"late_cancel_after_first_delivery": False}},
    "seller's cancellation": {
        "cancellation": {"seller_cancel_states": {"pending", "in_progress"}}
    },
    "requests": {
        "cancellation": {"cancel_request_states": {"in_progress", "delivered"}}
    },
    "refused requests": {"cancellation": {"auto_dispute_after_cancel_refusals": None}},
    "approval": {"completion": {"completion_triggers": {"review"}}},
    "mediator": {"dispute": {"dispute_openers": {"buyer"}}},
    "direct": {
        "dispute": {"dispute_entry": {"revision_refused": "claim_then_mediator"}}
    },
    "thread": {"dispute": {"dispute_chat": "blocked"}},
    "ruling": {"dispute": {"ruling_window": "P9D", "default_ruling": FullRefund()}},
    "proposals": {"partial_refunds": {"partial_refund": "mediator_only"}},
    "base": {"partial_refunds": {"partial_refund_base": "all"}},
    "second refusal": {"revision": {"dispute_after_revision_refusals": 2}},
    "limit": {"revision": {"revision_limit_mode": "hard"}},
    "no answer": {"revision": {"revision_needs_seller_answer": False}},
    "redelivery": {"delivery": {"revision_deadline": "PT1H"}},
    "relaunch": {"delivery": {"relaunch_minimum": "PT1H"}},
    "delivering": {"delivery": {"deliver_during_cancel_request": True}},
    "options": {"extras": {"addon_deadline": "add_days"}},
    "fee": {"fees": {"seller_fee": Fee(bps=100)}},
    "fee on top": {"fees": {"buyer_fee": Fee(bps=100)}},
    "boundary": {"time": {"deadline_boundary": "inclusive"}},
    "zone": {"time": {"zone": "Asia/Tokyo"}},
    "grace from": {"conversation": {"chat_grace_from": "delivery"}},
    "until left": {"conversation": {"chat_after_completed": "until_left"}},
    "months and days": {"reviews": {"review_window": "P180D"}},
    "grace": {"lifetime": {"cap_after_dispute": "expire_now"}},
    "rights of a host": {"cancellation": Leaving(Share.percent(50))},
}

# What costs nobody anything.
HARMLESS: dict[str, dict[str, Any]] = {
    "longer choice": {"revision": {"choice_window": "P8D"}},
    "longer answer": {"revision": {"answer_window": "PT49H"}},
    "longer offer": {"extras": {"offer_window": "P8D"}},
    "longer review": {"reviews": {"review_window": "P7M"}},
    "longer chat": {"conversation": {"chat_after_completed": "P8D"}},
    "acceptance": {"acceptance": {"acceptance_window": "PT1H", "reminders": ["PT1M"]}},
    "brief": {"acceptance": {"brief_required": True}},
    "verification": {"completion": {"verification_window": "P1D", "reminders": []}},
    "alert": {"dispute": {"mediator_sla": "PT1H"}},
    "tip": {"extras": {"tip_max": "5 %"}},
    "refunds": {"refund_timing": {"refund_eta": {"card": (9, 10)}}},
    "number": {"revision": {"revisions": 1}},
    "figures": {"statistics": {"minimum": 9, "window": "P1M"}},
    "payment, behind it": {"lifetime": {"payment_window": "PT1H"}},
}


class TestLosing:
    """
    What is not taken from anybody who has not agreed.
    """

    @pytest.mark.parametrize(("whose", "changes"), SHORTER.values(), ids=SHORTER)
    def test_less_time(self, whose: set[str], changes: Any) -> None:
        """
        Less time is told to whose it is; it takes the consent of both.
        """
        meaner = COMEUP.with_policies(**changes)
        engine = shop(meaner)
        brought_to(engine, "in_progress")

        report = engine.migrate("o1", meaner, dry_run=True)

        assert {
            blocker.params["role"]
            for blocker in report.blockers
            if blocker.code == "window_shortened"
        } == whose
        assert {blocker.params["role"] for blocker in report.blockers} == {
            "buyer",
            "seller",
        }

    @pytest.mark.parametrize("changes", OTHERWISE.values(), ids=OTHERWISE)
    def test_it_takes_consent(self, changes: Any) -> None:
        """
        Whatever is not known to be harmless takes the consent of both, either way.
        """
        other = COMEUP.with_policies(**changes)
        for first, second in ((COMEUP, other), (other, COMEUP)):
            engine = an_engine(
                MemoryStorage(), first, clock=FakeClock(T0), also=(second,)
            )
            brought_to(engine, "in_progress")

            for consents in ((), BOTH[:1], BOTH[1:]):
                report = engine.migrate("o1", second, dry_run=True, consents=consents)
                assert set(codes(report)) == {"rule_changed"}
                lacking = {role.text for role in BOTH if role not in consents}
                assert {one.params["role"] for one in report.blockers} == lacking
                with pytest.raises(CommandRefusedError):
                    engine.migrate("o1", second, by=OPS, consents=consents)
            assert engine.order("o1").fingerprint == first.fingerprint
            engine.migrate("o1", second, by=OPS, consents=BOTH)
            assert engine.order("o1").fingerprint == second.fingerprint

    @pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
    def test_it_takes_none(self, changes: Any) -> None:
        """
        What only grows, or counts no more, takes nobody's consent.
        """
        other = COMEUP.with_policies(**changes)
        engine = shop(other)
        brought_to(engine, "in_progress")

        assert engine.migrate("o1", other, by=OPS).moved

    def test_every_rule_is_one_of_these(self) -> None:
        """
        A policy that somebody adds takes consent, until it is known to be harmless.
        """
        rules = {
            changed.rule
            for changes in (*OTHERWISE.values(), *HARMLESS.values())
            for changed in migration(
                COMEUP,
                placed_order(),
                COMEUP.with_policies(**changes),
            ).moved
        }
        known = {
            f"{subject}.{name}"
            for subject, policy in COMEUP.policies.canonical.items()
            for name in policy
            if name != "kind"
        }
        told = {".".join(rule.split(".")[:2]) for rule in rules}
        # The platform's own: how windows of days are counted, and whose money is
        # whose at the end, go by the same test.
        assert known - told <= {
            *("acceptance.brief_window", "acceptance.charge_at"),
            *("delivery.late_window", "dispute.claim_window"),
            "conversation.chat_after_cancelled",
            "delivery.relaunch_deadline",
            "dispute.default_ruling",
            "fees.bank_fee",
            "fees.buyer_bears",
            "fees.tax",
            "lifetime.cap_grace",
            "lifetime.expiry_beneficiary",
            "refund_timing.business_calendar",
            "statistics.acceptance_counts_buyer_cancel",
            "statistics.fault",
            "statistics.score_weights",
            "time.day_arithmetic",
        }

    def test_another_table(self) -> None:
        """
        A row more or less takes the consent of both: what one may, the other suffers.
        """
        odd = attrs.evolve(
            COMEUP,
            name="odd",
            rows=tuple(
                attrs.evolve(row, by=Role.BUYER | Role.SELLER)
                if row.command is c.ApproveDelivery
                else row
                for row in COMEUP.rows
            ),
        )
        engine = shop(odd)
        brought_to(engine, "delivered")

        report = engine.migrate("o1", odd, dry_run=True)

        assert set(codes(report)) == {"rule_changed"}
        assert {blocker.params["rule"] for blocker in report.blockers} == {"rows"}

    def test_time_to_pay(self) -> None:
        """
        Before it is paid, the time to pay is the buyer's.
        """
        meaner = COMEUP.with_policies(lifetime={"payment_window": "PT1H"})
        engine = shop(meaner)
        engine.place(an_order(payment=None), by=ANA, order_id="o1")

        report = engine.migrate("o1", meaner, dry_run=True)

        assert codes(report) == ["window_shortened", "rule_changed"]

    def test_what_a_bank_holds(self) -> None:
        """
        As long as a bank holds the money, only rules that charge it will do.
        """
        later = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})
        engine = an_engine(MemoryStorage(), later, clock=FakeClock(T0), also=(COMEUP,))
        until = engine.clock.now().add(days=5)
        held = Payment("card", "h1", eur(100), held_until=until)
        engine.place(an_order(payment=held), by=ANA, order_id="o1")

        report = engine.migrate("o1", COMEUP, dry_run=True, consents=BOTH)

        assert codes(report) == ["hold_unknown_there"]

    def test_what_is_due_is_written_all_the_same(self) -> None:
        """
        A refusal adds nothing to what was due, and takes nothing from it.
        """
        meaner = COMEUP.with_policies(revision={"choice_window": "P1D"})
        engine = shop(meaner)
        brought_to(engine, "delivered")
        clock: Any = engine.clock
        clock.advance(days=8)

        with pytest.raises(CommandRefusedError) as caught:
            engine.migrate("o1", meaner, by=OPS)

        assert caught.value.order is not None
        assert caught.value.order.state == "completed"
        assert engine.history("o1")[-1].name == "order_completed"

    def test_options_never_shrink_without_consent(self) -> None:
        """
        After a move that takes nobody's consent each party can still do all that it
        could: a check beside, by the options themselves.
        """
        checked = 0
        for number, changes in enumerate(HARMLESS.values()):
            after = COMEUP.with_policies(**changes)
            wanderer = Wanderer(COMEUP, random.Random(number))
            for _ in range(25):
                wanderer.step()
                if not migration(COMEUP, wanderer.order, after).allowed:
                    continue
                for by in (ANA, LUC):
                    had, has = (
                        {
                            option.name
                            for option in options(
                                process, wanderer.order, by=by, now=wanderer.now
                            )
                            if option.allowed
                        }
                        for process in (COMEUP, after)
                    )
                    assert had <= has, (changes, wanderer.order.state)
                    checked += 1
        assert checked > 300


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

        assert set(codes(report)) == {
            "state_unknown_there",
            "deadline_unknown_there",
            "events_unknown_there",
        }
        assert report.blockers[0].params["state"] == "paused"

    def test_events_that_both_know(self) -> None:
        """
        A host's own events are no hindrance where the other rules know them.
        """
        first = pausing()
        second = first.with_policies(extras={"offer_window": "P9D"})
        engine = an_engine(MemoryStorage(), first, clock=FakeClock(T0), also=(second,))
        brought_to(engine, "in_progress")
        engine.execute("o1", PauseOrder(reason="ill"), by=LUC)

        assert engine.migrate("o1", second, by=OPS).allowed

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

        report = engine.migrate("o1", smaller, dry_run=True, consents=BOTH)

        assert codes(report) == ["deadline_unknown_there"]
        assert report.blockers[0].params["deadline"] == "acceptance_reminder"
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        assert engine.migrate("o1", smaller, by=OPS, consents=BOTH).allowed

    @pytest.mark.parametrize("there", [True, False], ids=["there", "back"])
    def test_a_wait_that_a_claim_holds_up(self, there: bool) -> None:
        """
        Where a claim holds up silence under one of the rules only, an order stays as
        long as it is open: silence would pay too soon, or never.
        """
        ours = recommended()
        first, other = (COMEUP, ours) if there else (ours, COMEUP)
        engine = an_engine(MemoryStorage(), first, clock=FakeClock(T0), also=(other,))
        brought_to(engine, "delivered")
        engine.execute("o1", c.FileClaim(reason="Trop sombre"), by=ANA)

        def in_the_way() -> set[str]:
            report = engine.migrate("o1", other, dry_run=True, consents=BOTH)
            return {one.params.get("deadline", "") for one in report.blockers}

        assert "verification" in in_the_way()

        engine.execute("o1", c.WithdrawClaim(), by=ANA)
        assert "verification" not in in_the_way()
