"""
How patient Hypothesis is: three profiles, chosen by name.

`fast` is the default, `ci` is the default where the variable `CI` is set, and
`--hypothesis-profile=long` is for the night.  No profile has a deadline: how
busy the machine is must not decide whether a test passes.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fast",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
# The same examples in every run: a red build is about the change it belongs to.
settings.register_profile(
    "ci",
    settings.get_profile("fast"),
    derandomize=True,
    print_blob=True,
)
settings.register_profile(
    "long",
    settings.get_profile("fast"),
    max_examples=2_000,
    stateful_step_count=100,
    print_blob=True,
)
settings.load_profile("ci" if os.environ.get("CI") else "fast")
