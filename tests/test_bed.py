"""
The test bed and the pytest plugin: what users write their own tests with.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import escrowflow as ef
from escrowflow.engine import Engine
from escrowflow.errors import InvalidInputError
from escrowflow.processes import vendor_consolidation
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing import Bed
from tests.given import ANA, COMEUP, eur

if TYPE_CHECKING:
    from pathlib import Path


def told(bed: Bed) -> list[str]:
    """
    Return the events of a bed's order.
    """
    return [one.name for one in bed.engine.history(bed.order_id)]


class TestStories:
    """
    A life reads as it is told.
    """

    def test_a_whole_one(self) -> None:
        """
        Placed, delivered, revised, delivered again, and silence.
        """
        bed = Bed()
        bed.place(price="120.00 EUR", delivery_window="P3D", revisions=1)
        bed.seller.accept_order()
        bed.wait(days=1)
        bed.seller.deliver_order(files=("logo.svg",))
        bed.buyer.request_revision(reason="a little more red")
        bed.seller.accept_revision()
        bed.seller.deliver_order()
        bed.expect("delivered", late=False, held="120.00 EUR")

        done = bed.next_deadline("verification")

        assert done.command == "complete_silently"
        order = bed.expect("completed", held=eur(0), released="120.00 EUR")
        assert order.revisions_used == 1
        (payout,) = bed.effects(ef.PayOut)
        assert payout.amount == eur(120)

    def test_deadline_by_deadline(self) -> None:
        """
        The next deadline may be a reminder; without a name it is the next of all.
        """
        bed = Bed()
        bed.place()

        assert bed.next_deadline().command == "remind_acceptance"
        assert bed.next_deadline().command == "expire_acceptance"
        bed.expect("cancelled", refunded="100.00 EUR", released="0 EUR", kept="0 EUR")

    @pytest.mark.parametrize("window", ["P5D", "PT120H", None])
    def test_waiting(self, window: str | None) -> None:
        """
        Time passes by a window or by lengths, and what is due is settled.
        """
        bed = Bed()
        bed.place()
        bed.seller.accept_order()

        bed.wait(window) if window else bed.wait(days=5)

        bed.expect("in_progress", late=True)
        assert told(bed)[-1] == "order_marked_late"

    def test_another_process_and_storage(self, tmp_path: Path) -> None:
        """
        On any process, on any storage.
        """
        with SqliteStorage(str(tmp_path / "bed.db")) as storage:
            storage.migrate()
            bed = Bed(vendor_consolidation(), storage=storage)
            bed.place()
            bed.seller.accept_order()
            bed.seller.deliver_order()
            bed.buyer.approve_delivery()
            bed.expect_refused("review_completes")
            bed.buyer.leave_review(rating=5)
            bed.expect("completed")
            assert storage.load(bed.order_id).version == len(told(bed))

    def test_unpaid(self) -> None:
        """
        What is said counts, and the rest is filled in.
        """
        bed = Bed()
        order = bed.place(payment=None, seller_id="luc", title="A logo")

        assert order.state == "awaiting_payment"
        assert order.terms.title == "A logo"
        bed.provider.confirm_payment(payment=ef.Payment("card", "pi_9"))
        bed.expect("pending")

    def test_everybody(self) -> None:
        """
        Mediator and staff are there, too.
        """
        bed = Bed()
        bed.place()
        bed.seller.accept_order()
        bed.staff.open_dispute(reason="a complaint")
        bed.staff.assign_mediator(mediator_id="mia")
        bed.mediator.rule_dispute(ruling=ef.Split(to_buyer=eur(40)), reason="half done")

        bed.expect("completed", refunded="40.00 EUR", released="60.00 EUR")
        assert "rule_dispute" in dir(bed.mediator)
        assert "rule_dispute" not in dir(bed.buyer)


class TestRefusals:
    """
    What is refused must be expected.
    """

    def test_expected(self) -> None:
        """
        By its codes; the refusal is there to look at.
        """
        bed = Bed()
        bed.place(revisions=0)
        bed.seller.deliver_order()

        refusal = bed.expect_refused("not_in_this_state")

        assert refusal.blockers[0].params["state"] == "pending"
        bed.expect("pending")

    @pytest.mark.parametrize(
        "act",
        [
            lambda bed: bed.wait(days=1),
            lambda bed: bed.seller.accept_order(),
            lambda bed: bed.expect("pending"),
            lambda bed: bed.effects(ef.Refund),
            lambda bed: bed.next_deadline(),
            lambda bed: bed.close(),
        ],
    )
    def test_not_expected(self, act: Any) -> None:
        """
        Whatever comes next says so, with the reason and the story.
        """
        bed = Bed()
        bed.place()
        bed.seller.deliver_order()

        with pytest.raises(AssertionError, match="deliver_order was refused") as caught:
            act(bed)

        assert "only in “In progress”" in str(caught.value)
        assert "Order placed" in str(caught.value)

    def test_another_reason(self) -> None:
        """
        A wrong guess is told with what it was.
        """
        bed = Bed()
        bed.place()
        bed.seller.deliver_order()

        with pytest.raises(
            AssertionError, match="with not_in_this_state, not with order_ended"
        ):
            bed.expect_refused("order_ended")

    def test_nothing_refused(self) -> None:
        """
        What was taken was not refused.
        """
        bed = Bed()
        bed.place()
        bed.seller.accept_order()

        with pytest.raises(AssertionError, match="nothing was refused"):
            bed.expect_refused("order_ended")


class TestMistakes:
    """
    A mistake of the test itself is told as one.
    """

    def test_not_as_expected(self) -> None:
        """
        Everything that differs, and the story.
        """
        bed = Bed()
        bed.place()

        with pytest.raises(AssertionError) as caught:
            bed.expect("completed", late=True, held="1.00 EUR")

        says, _, story = str(caught.value).partition("\n\n")
        assert says == (
            "state is pending, not completed; late is False, not True; "
            "held is 100.00 EUR, not 1.00 EUR"
        )
        assert story.count("\n") >= 3
        assert bed.story("fr") != bed.story()

    def test_nothing_placed(self) -> None:
        """
        Whoever forgot to place an order is told so.
        """
        with pytest.raises(AssertionError, match="no order is placed yet"):
            Bed().expect("pending")
        assert Bed().story() == ""

    def test_no_such_deadline(self) -> None:
        """
        Nor is there a deadline that is not to come.
        """
        bed = Bed()
        bed.place()

        with pytest.raises(AssertionError, match="no deadline 'verification'"):
            bed.next_deadline("verification")
        bed.buyer.cancel_order()
        bed.next_deadline("conversation")
        with pytest.raises(AssertionError, match="no deadline is to come"):
            bed.next_deadline()

    def test_no_such_command(self) -> None:
        """
        A mistyped command is an attribute that there is not.
        """
        with pytest.raises(AttributeError, match="no command 'accept'"):
            Bed().seller.accept()

    def test_bad_field(self) -> None:
        """
        A bad field is the library's own error.
        """
        with pytest.raises(InvalidInputError):
            Bed().place(price="100")

    def test_a_wall_clock(self) -> None:
        """
        An engine with a real clock cannot wait for a week.
        """
        engine = Engine(COMEUP, ef.storage.open_storage("memory://"))

        with pytest.raises(TypeError, match="turns a FakeClock, not SystemClock"):
            Bed(engine=engine)

    def test_who_is_who(self) -> None:
        """
        People are shown by role and name.
        """
        assert repr(Bed().buyer) == f"<{ANA}>"


# What a user writes.
SUITE = """
import pytest

@pytest.fixture
def engine():
    return "the host's own"

def test_good(escrow_bed, engine):
    escrow_bed.place()
    escrow_bed.seller.accept_order()
    escrow_bed.wait(days=5)
    escrow_bed.expect("in_progress", late=True)
    assert engine == "the host's own"

def test_same_clock(escrow_bed, escrow_engine, escrow_clock):
    assert escrow_engine.clock is escrow_clock is escrow_bed.clock

def test_bad(escrow_bed):
    escrow_bed.place()
    assert escrow_bed.order.state == "completed"

def test_forgotten(escrow_bed):
    escrow_bed.place()
    escrow_bed.seller.deliver_order()
"""

CONFTEST = """
import pytest
from escrowflow.processes import comeup

@pytest.fixture
def escrow_process():
    return comeup().with_policies(acceptance={"acceptance_window": "P9D"})
"""

THEIRS = """
def test_own_process(escrow_bed):
    escrow_bed.place()
    escrow_bed.wait(days=8)
    escrow_bed.expect("pending")
"""


# What others have that is abstract is none of the plugin's business.
CONTRACT = """
import abc

from escrowflow.testing import GatewayContract, StorageContract


class TestMine(GatewayContract):
    def open(self):
        raise AssertionError("nothing of it is run")


class Shared(StorageContract):
    pass


class TestBase(abc.ABC):
    @abc.abstractmethod
    def made(self):
        pass


def test_another():
    pass
"""


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """
    Run pytest on a folder, as a user would: it finds the plugin by itself.
    """
    command = [sys.executable, "-m", "pytest"]
    quiet = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
    return subprocess.run(
        [
            *command,
            *quiet,
            "--rootdir",
            str(folder),
            "-W",
            "error",
            *words,
            str(folder),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


class TestPlugin:
    """
    Fixtures, and the story beside what failed.
    """

    def test_fixtures(self, tmp_path: Path) -> None:
        """
        They work together, collide with nobody's, and tell the story of a failure.
        """
        (tmp_path / "test_shop.py").write_text(SUITE)

        done = ran(tmp_path)

        assert "1 failed, 3 passed, 1 error" in done.stdout
        assert "story of the order" in done.stdout
        assert "deliver_order was refused" in done.stdout

    def test_a_contract_that_lacks_something(self, tmp_path: Path) -> None:
        """
        Pytest leaves out what is abstract, and says nothing: the plugin says it.
        """
        (tmp_path / "test_mine.py").write_text(CONTRACT)

        done = ran(tmp_path)

        assert done.returncode != 0
        assert "TestMine lacks payee, payment of GatewayContract" in done.stdout
        assert "Traceback" not in done.stdout

    def test_what_cannot_be_looked_at(self, tmp_path: Path) -> None:
        """
        A module may hold a proxy that nobody may ask what it is: pytest lets it be, and
        so does the plugin.
        """
        (tmp_path / "test_shop.py").write_text(
            "class Unbound:\n"
            "    @property\n"
            "    def __class__(self):\n"
            "        raise RuntimeError('nobody is signed in')\n"
            "Test_user = Unbound()\n"
            "def test_good(escrow_bed):\n"
            "    escrow_bed.place()\n"
        )

        done = ran(tmp_path)

        assert done.returncode == 0, done.stdout

    def test_a_story_is_told_once(self, tmp_path: Path) -> None:
        """
        Where the bed itself says what is wrong, the story stands there already.
        """
        (tmp_path / "test_shop.py").write_text(
            "def test_bad(escrow_bed):\n"
            "    escrow_bed.place()\n"
            "    escrow_bed.expect('completed')\n"
        )

        done = ran(tmp_path)

        assert "state is pending, not completed" in done.stdout
        # Where `CI` is set, the summary of pytest has the whole message once more.
        told, _, _ = done.stdout.partition("short test summary")
        assert told.count("Order placed") == 1

    def test_a_process_of_ones_own(self, tmp_path: Path) -> None:
        """
        A conftest says which process the fixtures are about.
        """
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_shop.py").write_text(THEIRS)

        done = ran(tmp_path, "-q")

        assert "1 passed" in done.stdout

    def test_hypothesis_is_not_needed(self, tmp_path: Path) -> None:
        """
        A suite without Hypothesis does not pay for its import.
        """
        (tmp_path / "test_shop.py").write_text(
            "import sys\n\n"
            "def test_lazy(escrow_bed):\n"
            "    assert 'hypothesis' not in sys.modules\n"
        )

        done = ran(tmp_path, "-q", "-p", "no:hypothesispytest")

        assert "1 passed" in done.stdout

    def test_seeds(self, tmp_path: Path) -> None:
        """
        How many seeds a simulation has, or which, is said on the command line.
        """
        (tmp_path / "test_shop.py").write_text(
            "def test_seeds(escrow_seeds):\n    print(f'{escrow_seeds} are run')\n"
        )

        told = {
            words: ran(tmp_path, "-q", "-s", *words)
            for words in (
                (),
                ("--escrow-seeds=200",),
                ("--escrow-seeds=17-18",),
                ("--escrow-seeds=many",),
                ("--escrow-seeds=0",),
            )
        }

        outputs = [done.stdout for done in told.values()]
        assert "range(1, 21) are run" in outputs[0]
        assert "range(1, 201) are run" in outputs[1]
        assert "range(17, 19) are run" in outputs[2]
        assert "--escrow-seeds=many: say 200, or 17-17" in outputs[3]
        assert "--escrow-seeds=0: say 200, or 17-17" in outputs[4]
