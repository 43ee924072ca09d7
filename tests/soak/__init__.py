"""
What takes too long for every run: real processes that are killed, a server that is
crashed, a crowd on a few orders.  `make soak` runs all of it and writes the figures
to `reliability.json`; `tests/test_soak.py` runs a little of each.
"""
