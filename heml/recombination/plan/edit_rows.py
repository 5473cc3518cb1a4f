"""Rows of the plan's table from assigned edits, with the segments that take the donor's colors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from heml.recombination.attribution.roles import Roles
from heml.recombination.plan.assignment import Assigned
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.train_split import TrainSplit
from heml.taxonomy import background_among

#: Directions in which the host gets the donor's colors. Where the label is moved the host keeps
#: its attribute, and with it the colors that go with it; an image's own colors are the same.
RECOLORING = ("swap_attribute", "within_group")


def leaves_to_recolor(
    roles: Roles, leaves: Sequence[str], members: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Leaves that may take a donor's colors.

    Left out are leaves that encode an attribute, which come from a donor of the right value or
    stay, the background, and leaves whose colors encode the label.

    Parameters
    ----------
    roles : Roles
    leaves : sequence of str
        All leaves.
    members : mapping of str to sequence of str
        Node → its leaves.
    """
    encoding = [node for nodes in roles.attribute_nodes.values() for node in nodes]
    fixed: set[str | None] = {leaf for node in encoding for leaf in members.get(node, (node,))}
    fixed |= {background_among(leaves), *roles.label_colors}
    return tuple(leaf for leaf in leaves if leaf not in fixed)


def edit_row(
    number: int,
    edit: Assigned,
    label: str,
    attributes: Sequence[str],
    split: TrainSplit,
    layouts: Layouts,
    recolorable: Sequence[str],
    worn: Collection[str] = (),
    tinted: Sequence[str] = (),
) -> dict[str, Any]:
    """A row of the `rebalance_plan` contract.

    Parameters
    ----------
    number : int
        Place in the plan.
    edit : Assigned
    label, attributes : str, sequence of str
        What the sample will be.
    recolorable : sequence of str
        Leaves that may take the donor's colors.
    worn : collection of str
        Leaves whose presence is an attribute. What is put on or taken off brings no colors along:
        the rest of the image stays as it is.
    tinted : sequence of str
        Leaves whose colors encode the label and change with the attribute: they are changed by what
        its value changes, since a donor would bring its label along.
    """
    candidate = edit.candidate
    recolors = candidate.direction in RECOLORING and not set(candidate.nodes) <= set(worn)
    recolored = [*recolorable] if recolors else []
    if recolors and candidate.direction == "swap_attribute":
        recolored += tinted
    return {
        "edit_id": f"edit-{number:06d}",
        "label": label,
        "attributes": list(attributes),
        "direction": candidate.direction,
        "operator": candidate.operator,
        "nodes": list(candidate.nodes),
        "recolored_nodes": [
            leaf
            for leaf in recolored
            if leaf not in candidate.nodes and layouts.present(leaf)[edit.host]
        ],
        "host_id": split.image_ids[edit.host],
        "donor_id": split.image_ids[edit.donor],
        "seed": edit.seed,
    }
