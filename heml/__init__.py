"""HEML: find the segment that carries a bias, recombine segments, rebalance the dataset.

The method, in plain Python. Knows nothing of Dagster.
"""

__version__ = "0.1.0"
