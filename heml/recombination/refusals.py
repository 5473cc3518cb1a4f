"""Why samples are not in the dataset, in words."""

from __future__ import annotations

from heml.recombination.gate import GATES

#: Reason of samples whose donor is their host: they test the operators.
IDENTITY_EDIT = "identity_edit"
#: Reason of samples that passed the gates where others of their group looked less edited.
SPARE = "spare"


def refusal_words(reason: str) -> str:
    """A sample's reason as reports say it; the reason itself where no part knows it."""
    if reason == IDENTITY_EDIT:
        return "identity edit, to test the operator"
    if reason == SPARE:
        return "others of its group look less edited"
    return GATES[reason].refusal if reason in GATES else reason
