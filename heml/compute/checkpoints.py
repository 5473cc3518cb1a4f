"""What all loaders of pretrained checkpoints share."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""
