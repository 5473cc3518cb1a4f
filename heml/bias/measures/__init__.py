"""Bias measures that come with HEML: one module each."""
