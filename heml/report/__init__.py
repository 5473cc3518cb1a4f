"""Images of what a run found and did, and the HTML report made of them.

Reads finished stages from the store; computes no measure that a table does not hold.
"""
