"""Families of checkpoints that turn boxes into masks: one module each."""
