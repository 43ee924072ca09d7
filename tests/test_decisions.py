"""
Deciding at its edges: what a host's own rules may get wrong, and rare meetings.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.clock import as_utc
from escrowflow.decisions import (
    Case,
    Decided,
    Step,
    decide,
    decides,
    forecast,
    place,
    settle,
)
from escrowflow.decisions.case import deadline
from escrowflow.decisions.settlement import refund_parts
from escrowflow.events import AcceptanceReminded, MessageSent, OrderAccepted
from escrowflow.parties import Role
from escrowflow.processes import comeup
from escrowflow.rules import ByConsent, CancellationRights, Situation
from escrowflow.states import STAY
from escrowflow.storage import open_storage
from tests.story import ACCEPT, ANA, DELIVER, LUC, OPS, Story, Why, euros, in_progress

NOW = as_utc("2026-05-05T10:00:00+02:00", "now")


def placed(process: Any) -> ef.Order:
    """
    Return a paid order of a process.
    """
    command = ef.PlaceOrder(
        seller_id="luc",
        price=euros("100"),
        payment=ef.Payment("card", "p"),
        terms=ef.Terms(delivery_window=timedelta(days=5)),
    )
    answer = place(process, command, by=ANA, order_id="o", now=NOW)
    assert isinstance(answer, Decided)
    return answer.order


class TestOwnDecisions:
    """
    A host's own decision that breaks a promise is caught, and nothing is written.
    """

    def test_a_deadline_that_arms_itself_for_ever(self) -> None:
        """
        Settling ends with an error where a rule would never let it end.
        """

        @decides(c.RemindAcceptance, version="1")
        def again(case: Case, command: c.RemindAcceptance) -> Iterable[Step]:
            wait = deadline("acceptance_reminder", case.now, "1")
            yield Step(events=(AcceptanceReminded(),), arm=wait)

        process = comeup().extend(name="mine", decisions=[again])
        order = placed(process)
        later = NOW.add(days=1, hours=12)

        with pytest.raises(ef.LedgerError, match="without an end"):
            settle(process, order, now=later, recorded_at=later)
        with pytest.raises(ef.LedgerError, match="without an end"):
            forecast(process, order)

    def test_an_ending_that_leaves_money(self) -> None:
        """
        An order cannot end while something is held.
        """

        @decides(c.RefuseOrder, version="1")
        def keeps(case: Case, command: c.RefuseOrder) -> Iterable[Step]:
            yield Step(events=(MessageSent(reference="sorry"),))

        process = comeup().extend(name="mine", decisions=[keeps])
        engine = ef.Engine(process, open_storage("memory://"), clock=ef.FakeClock())
        order_id = engine.place(
            ef.PlaceOrder(
                seller_id="luc",
                price=euros("100"),
                payment=ef.Payment("card", "p"),
                terms=ef.Terms(delivery_window="P5D"),
            ),
            by=ANA,
        ).order.id

        with pytest.raises(ef.LedgerError, match=r"100\.00 EUR still held"):
            engine.execute(order_id, ef.RefuseOrder(reason="no"), by=LUC)

        assert engine.order(order_id).state == "pending"

    def test_an_event_nobody_could_read_again(self) -> None:
        """
        An event that the process does not name is refused before it is written.
        """

        @attrs.frozen(kw_only=True)
        class Sneezed(ef.Event):
            pass

        @decides(c.AcceptOrder, version="1")
        def sneezes(case: Case, command: c.AcceptOrder) -> Iterable[Step]:
            yield Step(events=(Sneezed(),))

        unnamed = comeup().extend(name="mine", decisions=[sneezes])
        named = comeup().extend(name="mine", decisions=[sneezes], events=[Sneezed])
        order = placed(unnamed)

        with pytest.raises(ef.ProcessError, match="add it to extend"):
            decide(unnamed, order, ef.AcceptOrder(), by=LUC, now=NOW)

        assert isinstance(
            decide(named, placed(named), ef.AcceptOrder(), by=LUC, now=NOW), Decided
        )
        assert unnamed.fingerprint != named.fingerprint

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("siesta", "is no deadline of the process"),
            ("ruling", "arms 'ruling' in in_progress, where it does not run"),
        ],
    )
    def test_a_wait_that_nothing_would_end(self, name: str, told: str) -> None:
        """
        A deadline begins where the process says that it runs, and nowhere else.
        """

        @decides(c.AcceptOrder, version="1")
        def waits(case: Case, command: c.AcceptOrder) -> Iterable[Step]:
            yield Step(
                events=(OrderAccepted(),), arm=deadline(name, case.now.add(days=1))
            )

        process = comeup().extend(name="mine", decisions=[waits])

        with pytest.raises(ef.ProcessError, match=told):
            decide(process, placed(process), ef.AcceptOrder(), by=LUC, now=NOW)

    def test_a_command_that_would_lose_its_fields(self) -> None:
        """
        A class that attrs did not make has no fields anybody could keep.
        """

        class Nudge(ef.Command):
            pass

        @decides(Nudge, version="1")
        def nudge(case: Case, command: Nudge) -> Iterable[Step]:
            yield Step(events=(MessageSent(reference="nudge"),))

        row = ef.Row(Nudge, ef.BUYER, "pending", STAY)

        with pytest.raises(ef.ProcessError, match="Nudge: decorate it"):
            comeup().extend(name="mine", rows=[row], decisions=[nudge])

    def test_no_more_goes_back_than_came(self) -> None:
        """
        Dividing more than was paid in is a defect, never an answer.
        """
        process = comeup()
        case = Case(
            process=process,
            order=placed(process),
            by=OPS,
            now=NOW,
            recorded_at=NOW,
        )

        with pytest.raises(ef.LedgerError, match="nothing left to refund"):
            refund_parts(case, euros("100.01"))


class TestRareMeetings:
    """
    Rules that seldom meet.
    """

    def test_c24_a_cap_goes_on_from_a_freeze_into_a_dispute(self) -> None:
        """
        C24: what stood still while frozen runs on, unheeded, once it is disputed.
        """
        story = Story(policies={"lifetime": {"order_cap": "P30D"}}).seller(ACCEPT)
        story.after(days=10).staff(ef.FreezeOrder(reason="r")).after(days=100)
        story.staff(ef.OpenDispute(reason="r"))
        story.mediator(ef.AssignMediator(mediator_id="mia"))

        story.after(days=5).mediator(ef.RuleDispute(ruling=ef.Relaunch(), reason="r"))

        cap = [wait for wait in story.order.deadlines if wait.name == "lifetime"]
        # Twenty days were left, and five of them passed in the dispute.
        assert cap[0].due_at == story.clock.now().add(days=15)

    def test_c9_an_extra_where_there_is_no_deadline(self) -> None:
        """
        C9: with no deadline for a redelivery, an extra brings none.
        """
        policies = {
            "delivery": {"revision_deadline": "none"},
            "extras": {"addon_deadline": "add_days"},
        }
        story = in_progress(policies=policies).seller(DELIVER)
        story.buyer(ef.RequestRevision(reason="r")).seller(ef.AcceptRevision())

        story.buyer(_extra(2))

        assert story.order.due_at is None
        assert story.order.full_window == timedelta(days=7)

    def test_r17_an_extra_after_a_late_delivery(self) -> None:
        """
        R17: bought while the buyer chooses, it counts for the next delivery only.
        """
        policies = {"extras": {"addon_deadline": "add_days"}}
        story = in_progress(policies=policies).after(days=6).seller(DELIVER)
        story.buyer(ef.RequestRevision(reason="r"))

        story.buyer(_extra(20))

        assert story.order.late
        assert story.seller(ef.AcceptRevision()).order.due_at == story.clock.now().add(
            days=25
        )

    def test_extras_come_to_an_end(self) -> None:
        """
        After two hundred offers no more can be sent, and options say so.
        """
        story = in_progress()
        offer = ef.SendOffer(title="x", price=euros("1"))
        for number in range(1, 201):
            story.engine.execute(story.id, offer, by=LUC)
            story.engine.execute(
                story.id, ef.RefuseOffer(offer_id=f"offer-{number}"), by=ANA
            )

        full: list[Why] = [("too_many_extras", {"maximum": 200}, [])]
        assert story.why(LUC, offer) == full
        assert story.blocked(ANA, ef.BuyAddOn) == full

    def test_c12_no_request_where_none_is_allowed(self) -> None:
        """
        C12: where no request may be made, none is named as a way out.
        """
        nowhere: frozenset[str] = frozenset()
        story = in_progress(
            policies={"cancellation": {"cancel_request_states": nowhere}}
        )

        option = story.option(ANA, ef.CancelOrder)

        assert option.blockers[0].unblocked_by == ()

    def test_c10_lateness_frees_nobody_after_a_delivery(self) -> None:
        """
        C10: late or not, a delivered order is not the buyer's to cancel.
        """
        where = Situation(state="delivered", role=Role.BUYER, late=True, delivered=True)

        assert CancellationRights().cancel(where) == ByConsent()


class TestFields:
    """
    What a field of a policy may be.
    """

    def test_roles_count_as_their_names(self) -> None:
        """
        A set of roles is as good as a set of words.
        """
        assert (
            ef.DisputeRules(dispute_openers={Role.BUYER})  # type: ignore[arg-type]
            == ef.DisputeRules(dispute_openers={"buyer"})  # type: ignore[arg-type]
        )

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"dispute": {"dispute_entry": 5}}, "dispute_entry"),
            ({"cancellation": {"late_cancel": 5}}, "late_cancel"),
            ({"reviews": 5}, "reviews"),
            ({"completion": {"completion_triggers": []}}, "completion_triggers"),
        ],
    )
    def test_a_wrong_one_is_named(self, changes: Any, field: str) -> None:
        """
        The error names the field, or the policy.
        """
        with pytest.raises(ef.InvalidInputError) as error:
            comeup().with_policies(**changes)

        assert error.value.field == field

    def test_an_object_without_fields_is_replaced_whole(self) -> None:
        """
        Fields of a plain object of the host's cannot be changed from outside.
        """

        class Forever:
            version = "1"
            review_window = timedelta(days=3000)

        process = comeup().with_policies(reviews=Forever())

        with pytest.raises(ef.InvalidInputError, match="has no fields") as error:
            process.with_policies(reviews={"review_window": "P1D"})

        assert error.value.field == "reviews"

    def test_labels_equal_after_trimming_are_one_too_many(self) -> None:
        """
        Two labels of one name are refused, not merged.
        """
        with pytest.raises(ef.InvalidInputError, match="occurs twice"):
            ef.PlaceOrder(
                seller_id="luc",
                price=euros("1"),
                payment=None,
                terms=ef.Terms(delivery_window="P1D"),
                metadata={"a": "1", " a ": "2"},
            )


class TestUrls:
    """
    How a URL finds a storage.
    """

    @pytest.mark.parametrize("url", [None, "http://[::1", "nowhere://x", ""])
    def test_a_wrong_one_is_refused(self, url: Any) -> None:
        """
        What names no storage is an error of the caller's.
        """
        with pytest.raises(ef.InvalidInputError) as error:
            open_storage(url)

        assert error.value.field == "url"

    def test_a_plug_in_is_found_by_its_scheme(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        An installed distribution names a factory for its scheme.
        """
        (tmp_path / "attic_storage.py").write_text(
            "from escrowflow.storage.memory import MemoryStorage\n"
            "def open_attic(url):\n    return MemoryStorage()\n"
        )
        meta = tmp_path / "attic-1.0.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text("Name: attic\nVersion: 1.0\n")
        (meta / "entry_points.txt").write_text(
            "[escrowflow.storage]\nattic = attic_storage:open_attic\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

        with open_storage("attic://box") as storage:
            assert storage.load("o").version == 0


def _extra(days: int) -> ef.BuyAddOn:
    return ef.BuyAddOn(
        title="x",
        price=euros("1"),
        payment=ef.Payment("card", "extra"),
        extra_window=timedelta(days=days),
    )
