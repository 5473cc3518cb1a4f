"""Comparing what was found with the recipe's budget. Knows nothing of Dagster."""

from collections.abc import Mapping

from data_contracts import ContractError
from pipelines.recipe.operation_settings import Limits


class OverLimit(ContractError):
    """A value is above a limit; the message says which, and what to look at.

    Parameters
    ----------
    severe : bool
        True if it is the limit that stops what follows.
    counts : mapping
        The numbers that were compared.
    """

    def __init__(self, message: str, severe: bool, counts: Mapping[str, int | float]) -> None:
        super().__init__(message)
        self.severe = severe
        self.counts = counts


def exceeded(value: float, limits: Limits) -> str | None:
    """The limit that a value is above: "error", "warn" or None."""
    if limits.error is not None and value > limits.error:
        return "error"
    if limits.warn is not None and value > limits.warn:
        return "warn"
    return None
