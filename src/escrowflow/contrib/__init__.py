"""
What joins the library to other people's: a module each, imported by name.
"""

__all__ = ()
