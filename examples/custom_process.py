"""
A process of your own: the seller shows a sample, and the clock stands still meanwhile.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs

import escrowflow as ef
from escrowflow.decisions import Case, Step, deadline, decides
from escrowflow.processes import recommended
from escrowflow.states import BACK, DeadlineKind, Gap, Row, State, Urgency
from escrowflow.testing import Bed


class Sampling(enum.StrEnum):
    SAMPLED = "sampled"


@attrs.frozen(kw_only=True)
class SendSample(ef.Command): ...


@attrs.frozen(kw_only=True)
class SampleSent(ef.Event): ...


@attrs.frozen(kw_only=True)
class ApproveSample(ef.Command): ...


@attrs.frozen(kw_only=True)
class SampleApproved(ef.Event): ...


@decides(SendSample, version="1")
def send_sample(case: Case, command: SendSample) -> Iterable[Step]:
    yield Step(events=(SampleSent(),), arm=deadline("sample", case.now.add(days=2)))


@decides(ApproveSample, version="1")
def approve_sample(case: Case, command: ApproveSample) -> Iterable[Step]:
    yield Step(events=(SampleApproved(),), resume=("sampled",))


base = recommended()
delivery, lifetime = base.kinds["delivery"], base.kinds["lifetime"]
[expiry] = base.by_cell[State.IN_PROGRESS, ef.ExpireOrder]
process = base.extend(
    name="sampling",
    states=Sampling,
    rows=[
        Row(SendSample, ef.Role.SELLER, State.IN_PROGRESS, "sampled", away=True),
        Row(ApproveSample, ef.Role.BUYER | ef.Role.SYSTEM, "sampled", BACK),
        attrs.evolve(expiry, states=("sampled",)),
    ],
    deadlines=[
        DeadlineKind("sample", ApproveSample, "sampled", urgency=Urgency.UNLOCKING),
        attrs.evolve(delivery, stops=(*delivery.stops, "sampled")),
        # Leave this out, with its row, and `check` tells of samples without an end.
        attrs.evolve(lifetime, runs=(*lifetime.runs, "sampled")),
    ],
    events=[SampleSent, SampleApproved],
    decisions=[send_sample, approve_sample],
    gaps=[Gap("no_timed_exit", "sampled", "it goes back to a state with one")],
)
report = ef.check(process)
assert report.sound, report.errors
print(f"nothing wrong with {report.process}\n")

bed = Bed(process)
bed.place(delivery_window="P5D")
bed.seller.accept_order()
bed.seller.send_sample()
bed.wait(days=3)  # The buyer is silent: after two days the work goes on.
print(bed.story())
bed.expect("in_progress")
