"""Settings of plan and recombination: what balance to reach, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from heml.parts.registered_name import RegisteredName
from heml.parts.settings import Settings
from heml.recombination.operator import OPERATORS
from heml.taxonomy import nearest

TARGETS = ("equal", "independent")


class Quotas(Settings):
    """Records of single groups: label value → value of each attribute → count or share."""

    quotas: dict[str, Any]


def _target(value: object) -> object:
    """A named target, or quotas with keys as text, counts as int and shares as float."""
    if isinstance(value, Quotas):
        return value
    if isinstance(value, str):
        if value not in TARGETS:
            raise ValueError(f"'{value}' is unknown; {nearest(value, [*TARGETS, 'quotas'])}")
        return value
    if not isinstance(value, Mapping) or set(value) != {"quotas"}:
        raise ValueError("must be equal, independent or a mapping with the one key 'quotas'")
    quotas = value["quotas"]
    if not isinstance(quotas, Mapping) or not quotas:
        raise ValueError(
            "quotas must map label values to attribute values to counts or shares, such as "
            "{open: {light: 200, dark: 25%}}"
        )
    return Quotas(quotas=_quota_tree(quotas, ()))


def _quota_tree(tree: Mapping[Any, Any], above: tuple[str, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(key, bool) or not isinstance(key, str | int | float):
            raise ValueError(f"quotas.{'.'.join([*above, str(key)])}: put the value in quotes")
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            result[path[-1]] = _quota_tree(value, path)
        else:
            result[path[-1]] = _quota(value, path)
    return result


def _quota(value: object, path: tuple[str, ...]) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    if percent and float(percent.group(1)) <= 100:
        return float(percent.group(1)) / 100
    if isinstance(value, float) and 0 <= value <= 1:
        return value  # as written back from a model
    raise ValueError(
        f"quotas.{'.'.join(path)}: must be a number of records, such as 200, or a share, such as "
        f"25%; found {value!r}"
    )


class RebalanceSettings(Settings):
    """What balance to reach, and how."""

    target: Annotated[Literal["equal", "independent"] | Quotas, BeforeValidator(_target)] = Field(
        "equal",
        description="equal: every group as many records. independent: label and attributes "
        "independent, with the shares that each has now. Or quotas: records or shares of single "
        "groups.",
    )
    budget: float | None = Field(
        None,
        ge=0,
        le=20,
        description="At most this many recombined samples per real train record, of all "
        "kinds. null: 1.5, and up to 5 in a dataset so small that `min_synthetic` "
        "needs it.",
    )
    min_synthetic: int = Field(
        2000,
        ge=0,
        description="Beyond what the target asks, samples are added to all groups until there are "
        "this many, as far as the budget goes: in a small dataset, more combinations of hosts and "
        "donors help more than the target alone.",
    )
    operators: list[
        Annotated[str, RegisteredName(OPERATORS, aliases=(("recolour", "recolor"),))]
    ] = Field(
        default_factory=lambda: list(OPERATORS.builtin_names()),
        min_length=1,
        description="Operators that may be used; by default all that come with HEML.",
    )
    within_group: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Same-group recombinations of a group that needs few others, as a share of "
        "what the neediest group gets, so that edit marks do not encode the group.",
    )
    identity_edits: int = Field(
        48,
        ge=0,
        description="Edits whose donor is their host: they show what the operators leave "
        "behind, and never enter the dataset.",
    )
    donor_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="No image gives to more than this share of a group's samples, neither as donor "
        "nor as host.",
    )
    donor_colors: bool = Field(
        True,
        description="The host's other segments get the donor's colors, which correlate with the "
        "attribute too. Segments whose colors encode the label keep them.",
    )
    seed: int = Field(0, ge=0)
