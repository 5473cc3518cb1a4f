"""The report's rows of small images: images of a group, and samples as host, donor and result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heml.images.images_table import decode_image
from heml.parts.wording import DIRECTION_WORDS, group_of, moved_words
from heml.recombination.gate import GATES
from heml.recombination.operator import OPERATORS
from heml.recombination.refusals import refusal_words
from heml.report.content.report_facts import Group
from heml.report.drawing.data_uris import Embedded, embed
from heml.report.drawing.thumbnails import encoded
from heml.report.figures.examples import sample_examples
from heml.report.figures.store_images import StoreImages
from heml.storage.store import Store

#: Box of a small image in pixels, and its pixels per CSS pixel.
BOX, DENSITY = 256, 1.6
#: Samples of every kind, and of all kinds together.
PER_KIND, MOST = 2, 12


@dataclass(frozen=True)
class Sample:
    """One recombined sample as the page shows it.

    Parameters
    ----------
    operator, nodes, direction, group, reason : str
        In words; `reason` is empty for accepted samples.
    refused : bool
        Whether a gate refused it; other samples are left out for what they are.
    gates : list of tuple of str and float or None
        What each gate measured.
    host, donor, result : Embedded
    """

    operator: str
    nodes: str
    direction: str
    group: str
    reason: str
    refused: bool
    gates: list[tuple[str, float | None]]
    host: Embedded
    donor: Embedded
    result: Embedded


def group_gallery(images: StoreImages, group: Group) -> list[Embedded]:
    """Example images of a group."""
    return [
        _small(images.image(image_id), f"Train image {image_id}, {group.name}")
        for image_id in group.examples
    ]


def sample_gallery(store: Store, images: StoreImages, accepted: bool) -> list[Sample]:
    """Examples of accepted or refused samples, chosen by `sample_examples`."""
    rows = sample_examples(store, accepted, PER_KIND).head(MOST)
    return [_sample(images, row) for row in rows.to_dict("records")]


def _sample(images: StoreImages, row: dict[Any, Any]) -> Sample:
    nodes = moved_words(row["nodes"], row["recolored_nodes"])
    operator = OPERATORS[row["operator"]].words
    group = group_of(row["label"], row["attributes"])
    return Sample(
        operator=operator,
        nodes=nodes,
        direction=DIRECTION_WORDS[row["direction"]],
        group=group,
        reason=refusal_words(row["reason"]),
        refused=row["reason"] in GATES,
        gates=[
            ("Label vote", row["gate_label"]),
            ("attribute vote", row["gate_attribute"]),
            ("distance", row["gate_distribution"]),
            ("seam", row["gate_seam"]),
        ],
        host=_small(images.image(row["host_id"]), f"Host {row['host_id']}"),
        donor=_small(images.image(row["donor_id"]), f"Donor {row['donor_id']}"),
        result=_small(decode_image(row["image"]), f"Result: {operator} of {nodes}, as {group}"),
    )


def _small(image: Any, alt: str) -> Embedded:
    return embed(encoded(image, BOX, BOX), alt, DENSITY)
