"""
A small shop in Django: its models stand beside orders whose money is held.
"""
