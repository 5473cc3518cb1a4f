"""Bias scores: coverage, association, attribute AUC, accuracy gap, and the score."""
