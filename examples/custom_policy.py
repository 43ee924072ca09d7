"""
A policy of your own: at a photographer's, a buyer may always leave, and pays for the day.
"""

from __future__ import annotations

from datetime import timedelta

import escrowflow as ef
from escrowflow.money import Share
from escrowflow.policies import Alone, No, Right, Situation
from escrowflow.processes import comeup
from escrowflow.testing import Bed


class DayRate:
    """
    Before the work begins it is free; then half is due, and all once it is delivered.
    """

    version = "1"  # Part of what an order remembers of its rules.
    answer_window = timedelta(days=2)

    def cancel(self, situation: Situation) -> Right:
        if situation.state == "pending" or situation.role is ef.Role.SELLER:
            return Alone()
        if situation.late:
            return Alone()
        if situation.state == "in_progress" and not situation.delivered:
            return Alone(Share.percent(50))
        return No("no_cancellation_request_here")

    def request(self, situation: Situation) -> Right:
        return No("no_cancellation_request_here")  # Nobody needs to ask.

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        return refused >= 2


process = comeup().with_policies(cancellation=DayRate())
print(f"{comeup().fingerprint} -> {process.fingerprint}")

# What the buyer is told before he decides comes from the policy, too.
bed = Bed(process)
order = bed.place(price="800.00 EUR", delivery_window="P3D")
bed.seller.accept_order()
[leave] = [
    option
    for option in bed.engine.options(order.id, by=ef.Buyer("ana"))
    if option.name == "cancel_order"
]
assert leave.consequences is not None
for move in leave.consequences.moved:
    print(f"{leave.label()}: {move.least} to the {move.to}")

bed.buyer.cancel_order(reason="The wedding is off")
bed.expect("cancelled", refunded="400.00 EUR", released="400.00 EUR")
print(bed.story())

# The checker walks through your policy as through ours: the trap that comeup has for
# sellers is gone, since nobody waits for an answer any more.
report = ef.check(process)
assert report.sound, report.errors
print(f"nothing wrong in {report.configurations} configurations")
