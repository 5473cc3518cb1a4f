"""From a recipe's checkpoints and prompts to a segmenter of leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from heml.compute.checkpoints import CheckpointError, checkpoint_licence
from heml.compute.device import choose_device
from heml.parts.registry import Registry
from heml.segmentation.prompting.boxes_to_masks import BoxesToMasks
from heml.segmentation.prompting.checkpoint import PromptCheckpoint, model_type
from heml.segmentation.prompting.family import FAMILIES, MASKERS, BoxFinder, Family, Finder
from heml.segmentation.prompting.predictor import PromptedSegmenter


def load_prompted(
    checkpoint: PromptCheckpoint,
    masks: PromptCheckpoint | None,
    prompts: Mapping[str, Sequence[str]],
    rest: str | None,
    leaves: Sequence[str],
    depths: Sequence[int],
    threshold: float | None,
    licence: str | None,
    device: str,
) -> PromptedSegmenter:
    """A checkpoint that takes words, its findings as leaves.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    masks : PromptCheckpoint or None
        Makes masks of boxes, where the first one gives boxes.
    prompts : mapping of str to sequence of str
        Leaf → words.
    rest : str or None
        Leaf of what no word finds.
    leaves : sequence of str
    depths : sequence of int
        Of the leaves in the tree.
    threshold : float or None
        Default: the family's own.
    licence : str or None
        Default: the model cards'.
    device : str
        auto, cpu, cuda or mps.

    Raises
    ------
    CheckpointError
        If a checkpoint is of no known family, is missing, or has no safetensors; if one that
        makes masks is missing, or is not needed.
    """
    where = choose_device(device)
    family = family_of(checkpoint)
    if family.gives_boxes:
        if masks is None:
            raise CheckpointError(
                f"checkpoint {checkpoint.place}: {family.name} gives boxes; name a checkpoint that "
                f"makes masks of them under segmentation.masks, of {_listed(MASKERS)}"
            )
        masker = _one_of(MASKERS, masks, "segmentation.masks").load(masks, where)
        boxes = cast(BoxFinder, family.load(checkpoint, where))
        finder: Finder = BoxesToMasks(boxes, masker)
    else:
        if masks is not None:
            raise CheckpointError(
                f"segmentation.masks: {family.name} gives masks itself; remove the key"
            )
        finder = cast(Finder, family.load(checkpoint, where))
    used = [each for each in (checkpoint, masks) if each is not None]
    return PromptedSegmenter(
        finder,
        prompts,
        rest,
        leaves,
        depths,
        family.threshold if threshold is None else threshold,
        " + ".join(each.name for each in used),
        licence or _licences(used),
        where,
    )


def family_of(checkpoint: PromptCheckpoint) -> Family:
    """The family of a checkpoint, by its configuration.

    Raises
    ------
    CheckpointError
        With the known families, if it is of none.
    """
    return cast(Family, _one_of(FAMILIES, checkpoint, "segmentation.checkpoint"))


def _one_of(registry: Registry[Any], checkpoint: PromptCheckpoint, key: str) -> Any:
    said = model_type(checkpoint)
    for family in registry:
        if said in family.model_types:
            return family
    raise CheckpointError(
        f"{key}: {checkpoint.place} is of the kind '{said}'; use a checkpoint of "
        f"{_listed(registry)}"
    )


def _listed(registry: Iterable[Any]) -> str:
    return ", ".join(f"{family.name} ({' or '.join(family.model_types)})" for family in registry)


def _licences(used: Sequence[PromptCheckpoint]) -> str | None:
    """What the model cards say; unknown where one says nothing."""
    said = [checkpoint_licence(each.place) for each in used]
    if any(licence is None for licence in said):
        return None
    return " + ".join(dict.fromkeys(map(str, said)))
