"""
The migrations: one for each version of the schema.
"""

from __future__ import annotations

__all__ = ()
