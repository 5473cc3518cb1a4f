"""Figures of a store, one module per subject; `by_name` has them all."""
