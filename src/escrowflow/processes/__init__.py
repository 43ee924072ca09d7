"""
The built-in processes: tables and policies, each a page that reads like the rules.
"""

from __future__ import annotations

from .comeup import comeup
from .recommended import recommended
from .vendor_consolidation import vendor_consolidation

__all__ = ["comeup", "recommended", "vendor_consolidation"]
