"""
For your own tests: a test bed (`Bed`), pytest fixtures, a gateway that is not there
(`escrowflow.testing.gateways`), and a whole marketplace in a storm (`Simulation`).

For those who write a storage or a payment gateway of their own: the contract it has to
keep, as tests.  The contracts need pytest and Hypothesis (extra `testing`); the bed, the
gateway and the simulator do not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .bed import Bed
from .gateways import PROFILES, Profile, SimulatedGateway
from .simulation import Simulation, personas

if TYPE_CHECKING:
    from .contract import AsyncStorageContract, StorageContract
    from .gateway_contract import GatewayContract

__all__ = [
    "PROFILES",
    "AsyncStorageContract",
    "Bed",
    "GatewayContract",
    "Profile",
    "SimulatedGateway",
    "Simulation",
    "StorageContract",
    "personas",
]

_CONTRACTS: Final = {
    "AsyncStorageContract": "contract",
    "GatewayContract": "gateway_contract",
    "StorageContract": "contract",
}

# A check that fails is to show the values; that has to be said before it is imported.
_REWRITTEN: Final = (
    *("awaited", "base", "contract", "gateway_contract", "given", "histories"),
    *("invariants", "machines", "orders", "queues", "search", "strain", "values"),
)

if sys.modules.get("pytest") is not None:
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{name}" for name in _REWRITTEN)
    )


def __getattr__(name: str) -> Any:
    if name not in _CONTRACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_CONTRACTS[name]}", __name__), name)
