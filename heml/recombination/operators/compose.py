"""The operators: recombined images from hosts and donors with their segments, in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import torch

from heml.recombination.imaging.segmented_image import Picture, Recombined
from heml.recombination.imaging.windows import BATCH_PIXELS
from heml.recombination.operators import background, color_transfer, recolor, transplant
from heml.taxonomy import Taxonomy

__all__ = ["Edit", "Picture", "compose", "compose_batch", "compute_device"]


@dataclass(frozen=True)
class Edit:
    """What is to be recombined.

    Parameters
    ----------
    operator : str
        transplant, insert, remove, recolor or background.
    host, donor : Picture
    nodes : sequence of str
        Leaves that are exchanged. What a removal uncovers is taken from the donor, as far as it
        shows something else there.
    protected : sequence of str
        Leaves of the host that nothing may cover.
    recolored : sequence of str
        Leaves of the host that get the donor's colors too. Protected ones that are not among them
        only stand in another light.
    """

    operator: str
    host: Picture
    donor: Picture
    nodes: Sequence[str]
    protected: Sequence[str] = ()
    recolored: Sequence[str] = ()


def compute_device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compose_batch(
    edits: Sequence[Edit],
    taxonomy: Taxonomy,
    device: torch.device | None = None,
    pool: Executor | None = None,
) -> list[Recombined]:
    """Recombined pictures, each of its host's size, in the order of the edits.

    Edits of one operator and one window size are computed together. A picture does not depend on
    what else is in the batch, to the last bit. An edit with nothing to move gives its host.

    Parameters
    ----------
    edits : sequence of Edit
    taxonomy : Taxonomy
    device : torch.device, optional
        By default the accelerator if there is one.
    pool : concurrent.futures.Executor, optional
        Threads that share the work.

    Raises
    ------
    ValueError
        For an unknown operator.
    """
    run = _Batches(taxonomy, device or compute_device(), pool)
    made = [Recombined(edit.host.image, edit.host.masks) for edit in edits]
    made = run([_prepare(edit, taxonomy) for edit in edits], made)
    every = map if pool is None else pool.map
    return run(list(every(_prepare_colors, edits, made, [taxonomy] * len(edits))), made)


#: Kind of computation, and what its module prepared; None for nothing to do.
_Prepared = tuple[str, Any]


@dataclass(frozen=True)
class _Batches:
    """Computes what is prepared, together where kind and size are the same."""

    taxonomy: Taxonomy
    device: torch.device
    pool: Executor | None

    def __call__(
        self, prepared: Sequence[_Prepared], pictures: Sequence[Recombined]
    ) -> list[Recombined]:
        """Pictures, those with something to do replaced."""
        attributes: dict[tuple[Any, ...], list[tuple[int, Any]]] = defaultdict(list)
        for place, (kind, edit) in enumerate(prepared):
            if edit is not None:
                attributes[kind, *edit.key].append((place, edit))
        jobs = []
        for (kind, height, width, *_), members in attributes.items():
            size = max(BATCH_PIXELS // (height * width), 1)
            jobs += [(kind, members[at : at + size]) for at in range(0, len(members), size)]
        done = map(self._run, jobs) if self.pool is None else self.pool.map(self._run, jobs)
        results = list(pictures)
        for (_, members), made in zip(jobs, done, strict=True):
            for (place, _), picture in zip(members, made, strict=True):
                results[place] = picture
        return results

    @torch.inference_mode()
    def _run(self, job: tuple[str, list[tuple[int, Any]]]) -> list[Recombined]:
        kind, members = job
        return _RUN[kind]([edit for _, edit in members], self.taxonomy, self.device)


def compose(
    operator: str,
    host: Picture,
    donor: Picture,
    nodes: Sequence[str],
    taxonomy: Taxonomy,
    protected: Sequence[str] = (),
) -> Recombined:
    """One recombined picture; see `compose_batch`."""
    return compose_batch([Edit(operator, host, donor, nodes, protected)], taxonomy)[0]


def _prepare(edit: Edit, taxonomy: Taxonomy) -> _Prepared:
    if edit.operator in ("transplant", "insert", "remove"):
        return "transplant", transplant.prepare(
            edit.host,
            edit.donor,
            edit.nodes,
            taxonomy,
            edit.protected,
            edit.operator == "remove",
        )
    if edit.operator == "recolor":
        return "recolor", recolor.prepare(edit.host, edit.donor, edit.nodes, taxonomy)
    if edit.operator == "background":
        return "background", background.prepare(edit.host, edit.donor, edit.nodes, taxonomy)
    raise ValueError(f"unknown operator '{edit.operator}'")


def _prepare_colors(edit: Edit, made: Recombined, taxonomy: Taxonomy) -> _Prepared:
    if not edit.recolored:
        return "colors", None
    lit = [leaf for leaf in edit.protected if leaf not in edit.recolored]
    return "colors", color_transfer.prepare(made, edit.donor, edit.recolored, lit, taxonomy)


_RUN: dict[str, Callable[[list[Any], Taxonomy, torch.device], list[Recombined]]] = {
    "transplant": transplant.transplant,
    "recolor": lambda edits, _, device: recolor.recolor(edits, device),
    "background": lambda edits, _, device: background.exchange_background(edits, device),
    "colors": lambda edits, _, device: color_transfer.transfer_colors(edits, device),
}
