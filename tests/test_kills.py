"""
Every life of an order that the tests know, its money sent by a worker that is killed at
each of its calls, through every kind of gateway (I2, I3, I6, I12, I29).

Nothing is lost and nothing is doubled; a human is asked only where neither the
gateway's memory nor a question could tell whether it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from escrowflow.clock import FakeClock, from_micros
from escrowflow.effects import PayOut, Refund
from escrowflow.engine import Engine
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing.gateways import PROFILES
from tests import test_scenarios
from tests.given import COMEUP
from tests.soak.faults import LIVES, lived
from tests.story import ENGINE
from tests.till import MOMENTS, Till, begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from escrowflow.rules import Policies
    from escrowflow.states import Process

pytestmark = pytest.mark.proof


def killed_everywhere(
    lines: Iterable[str], process: Process[Policies], till_of: type[Till] = Till
) -> int:
    """
    Kill the worker of some orders at each of its calls, at each moment, on each kind
    of gateway; return how often it was killed.
    """
    orders = begun(lines, process)
    start = from_micros(max(one.events[-1].recorded_at for one in orders))
    kills = 0
    for profile in PROFILES:

        def new(profile: str = profile) -> Till:
            clock = FakeClock(start)
            return till_of(profile, orders=orders, process=process, clock=clock)

        unhurt = new()
        assert unhurt.closed() == 0
        calls = sum(len(gateway.requests) for gateway in unhurt.gateways)
        for call in range(1, calls + 1):
            for moment in MOMENTS:
                till = new()
                till.kill_at(call, moment)
                try:
                    asked = till.closed()
                    assert till.kills == 1
                    # One thing is in doubt, and nobody else can be asked.
                    assert asked == (profile == "bare" and moment != "written")
                    assert till.counts() == unhurt.counts()
                except AssertionError as error:
                    error.add_note(f"{profile}, call {call} of {calls}: {moment}")
                    raise
                kills += 1
    return kills


class Killed:
    """
    Whatever a story is told about, its money is sent by a worker that is killed.
    """

    @pytest.fixture(autouse=True)
    def kills(self) -> Iterator[None]:
        """
        Keep the engines of all stories of a test, and then kill their workers.
        """
        told: list[Engine] = []

        def kept(process: Any, storage: Any, **options: Any) -> Engine:
            told.append(Engine(process, storage, **options))
            return told[-1]

        token = ENGINE.set(kept)
        try:
            yield
        finally:
            ENGINE.reset(token)
        for engine in told:
            killed_everywhere(engine.export(), engine.process)


# Each class of scenarios once more, with its fixtures and parameters.
for _name, _class in list(vars(test_scenarios).items()):
    if _name.startswith("Test"):
        globals()[_name] = type(
            _name, (Killed, _class), {"__doc__": _class.__doc__, "__module__": __name__}
        )


class TestLives:
    """
    Each life in which a storage fails, too.
    """

    @pytest.mark.parametrize("life", LIVES)
    def test_each(self, life: str) -> None:
        """
        Whatever it owes in the end is paid once.
        """
        killed_everywhere(lived(life, MemoryStorage())[0], COMEUP)


class TestKilled:
    """
    Whether it would be noticed.
    """

    def test_all_scenarios_are_told(self) -> None:
        """
        No class of scenarios is left out.
        """
        scenarios = {name for name in vars(test_scenarios) if name.startswith("Test")}

        assert scenarios
        assert all(issubclass(globals()[name], Killed) for name in scenarios)

    def test_each_call_at_each_moment(self) -> None:
        """
        Two refunds, seven gateways, three moments.
        """
        lines, _ = lived("in_progress, 1", MemoryStorage())

        assert killed_everywhere(lines, COMEUP) == 2 * len(PROFILES) * len(MOMENTS)

    def test_what_is_simply_sent_again(self) -> None:
        """
        Handlers that never ask what became of a key are caught.
        """
        lines, _ = lived("in_progress, 1", MemoryStorage())

        with pytest.raises(AssertionError):
            killed_everywhere(lines, COMEUP, Careless)


class Careless(Till):
    """
    Whatever it is handed, it sends.
    """

    def handlers(self) -> Any:
        """
        Return what sends money without a thought.
        """
        card, paypal = self.wrapped or self.gateways

        def refund(effect: Refund) -> Any:
            gateway = paypal if effect.payment.method == "paypal" else card
            return gateway.refund(effect)

        return {Refund: refund, PayOut: card.pay_out}
