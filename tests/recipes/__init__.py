"""
Workers in processes of their own: on queues, on several hosts, behind PgBouncer.

`make recipes` brings the queues; what is not installed is skipped, and says so.
"""
