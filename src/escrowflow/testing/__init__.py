"""
For those who write a storage or a payment gateway of their own: the contract it has to
keep, as tests; and a gateway that is not there (`escrowflow.testing.gateways`).

Needs pytest and Hypothesis, which the package itself does not.
"""

from __future__ import annotations

import pytest

# A check that fails is to show the values; that has to be said before it is imported.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in (
            *("awaited", "base", "contract", "gateway_contract", "given", "histories"),
            *("orders", "queues", "search", "strain", "values"),
        )
    )
)

from .contract import AsyncStorageContract, StorageContract  # noqa: E402
from .gateway_contract import GatewayContract  # noqa: E402
from .gateways import PROFILES, Profile, SimulatedGateway  # noqa: E402

__all__ = [
    "PROFILES",
    "AsyncStorageContract",
    "GatewayContract",
    "Profile",
    "SimulatedGateway",
    "StorageContract",
]
