"""
How fast it is, always beside a peer in the same run: `make bench`.

A machine drifts by a factor of two within minutes.  Contestants therefore take
turns, round after round, and what counts is the ratio to the limit in the same
round, not the rate.
"""
