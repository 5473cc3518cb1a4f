"""Folds and subsets that follow names alone: neither order nor what else is there changes them."""

from __future__ import annotations

import hashlib


def number_of(name: str) -> float:
    """A number in [0, 1), the same for the same name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def fold_of(family: str, folds: int) -> int:
    """The fold, from 0 on, of a host with all its samples."""
    return int(number_of(f"fold {family}") * folds)
