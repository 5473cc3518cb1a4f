"""Families of checkpoints that find what words name: one module each."""
