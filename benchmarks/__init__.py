"""Comparisons with other methods. They print tables and assert nothing about time."""
