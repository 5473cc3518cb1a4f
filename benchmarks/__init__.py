"""Comparisons with other methods: they print tables and assert nothing about time."""
