"""
Workers on queues that you may have already: docs/how-to/queues.md.
"""
