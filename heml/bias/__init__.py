"""Bias scores: coverage, association, leakage, reliance, and the score that joins them."""
