"""
A site for `tests/test_django.py`: settings, and what Django's own runner tries.
"""
