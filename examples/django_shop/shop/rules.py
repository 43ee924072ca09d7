"""
What orders are placed under: the rules we advise, with a fee of this shop's own.
"""

import escrowflow as ef
from escrowflow.processes import recommended

__all__ = ["PROCESS"]

PROCESS = recommended().with_policies(fees={"seller_fee": ef.Fee(bps=1000)})
