"""The HTML report of a run, and its figures.

Reads finished stages from the store; computes no measure that a table does not hold.
"""
