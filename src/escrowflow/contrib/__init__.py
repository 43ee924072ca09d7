"""
Bridges into frameworks.  Each needs its framework installed, and nothing in the library
needs a bridge: import the one of yours.
"""

from __future__ import annotations

__all__ = ()
