"""Running edits: recombined images from hosts and donors with their segments, in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import torch

from heml.recombination.compositing import color_transfer
from heml.recombination.edit import Edit
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.imaging.windows import BATCH_PIXELS
from heml.recombination.operator import OPERATORS
from heml.taxonomy import Taxonomy

__all__ = ["Edit", "SegmentedImage", "compose", "compose_batch", "compute_device"]


def compute_device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compose_batch(
    edits: Sequence[Edit],
    taxonomy: Taxonomy,
    device: torch.device | None = None,
    pool: Executor | None = None,
) -> list[Recombined]:
    """Recombined images, each of its host's size, in the order of the edits.

    Edits of one operator and one window size are computed together. An image does not depend on
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
    RegistryError
        For an unknown operator.
    """
    run = _Batches(taxonomy, device or compute_device(), pool)
    images = [Recombined(edit.host.image, edit.host.masks) for edit in edits]
    images = run([_prepare(edit, taxonomy) for edit in edits], images)
    every = map if pool is None else pool.map
    return run(list(every(_prepare_colors, edits, images, [taxonomy] * len(edits))), images)


#: Computes a batch of prepared edits of one key.
_Run = Callable[[list[Any], Taxonomy, torch.device], list[Recombined]]
#: What computes an edit, and what was prepared for it; None for nothing to do.
_Prepared = tuple[_Run, Any]


@dataclass(frozen=True)
class _Batches:
    """Computes what is prepared, together where kind and size are the same."""

    taxonomy: Taxonomy
    device: torch.device
    pool: Executor | None

    def __call__(
        self, prepared: Sequence[_Prepared], segmented_images: Sequence[Recombined]
    ) -> list[Recombined]:
        """Images, those with something to do replaced."""
        batches: dict[tuple[Any, ...], list[tuple[int, Any]]] = defaultdict(list)
        for place, (compute, edit) in enumerate(prepared):
            if edit is not None:
                batches[compute, *edit.key].append((place, edit))
        jobs = []
        for (compute, height, width, *_), members in batches.items():
            size = max(BATCH_PIXELS // (height * width), 1)
            jobs += [(compute, members[at : at + size]) for at in range(0, len(members), size)]
        done = map(self._run, jobs) if self.pool is None else self.pool.map(self._run, jobs)
        results = list(segmented_images)
        for (_, members), images in zip(jobs, done, strict=True):
            for (place, _), segmented_image in zip(members, images, strict=True):
                results[place] = segmented_image
        return results

    @torch.inference_mode()
    def _run(self, job: tuple[_Run, list[tuple[int, Any]]]) -> list[Recombined]:
        compute, members = job
        return compute([edit for _, edit in members], self.taxonomy, self.device)


def compose(
    operator: str,
    host: SegmentedImage,
    donor: SegmentedImage,
    nodes: Sequence[str],
    taxonomy: Taxonomy,
    protected: Sequence[str] = (),
) -> Recombined:
    """One recombined image; see `compose_batch`."""
    return compose_batch([Edit(operator, host, donor, nodes, protected)], taxonomy)[0]


def _prepare(edit: Edit, taxonomy: Taxonomy) -> _Prepared:
    operator = OPERATORS[edit.operator]
    return operator.compute, operator.prepare(edit, taxonomy)


def _prepare_colors(edit: Edit, image: Recombined, taxonomy: Taxonomy) -> _Prepared:
    if not edit.recolored:
        return _transfer_colors, None
    lit = [leaf for leaf in edit.protected if leaf not in edit.recolored]
    prepared = color_transfer.prepare(image, edit.donor, edit.recolored, lit, taxonomy, edit.tints)
    return _transfer_colors, prepared


def _transfer_colors(
    edits: list[Any], taxonomy: Taxonomy, device: torch.device
) -> list[Recombined]:
    return color_transfer.transfer_colors(edits, device)
