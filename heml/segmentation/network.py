"""A semantic-segmentation checkpoint as a segmenter of leaves: loading it and applying it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

from heml.compute.checkpoints import CheckpointError, checkpoint_licence
from heml.compute.device import choose_device, mixed_precision
from heml.segmentation.class_map import leaf_of_classes
from heml.segmentation.iou import IGNORED
from heml.segmentation.prediction import Prediction
from heml.taxonomy import Taxonomy

#: Probabilities of larger images are computed at this many pixels, and classes enlarged from there.
_MOST_PIXELS = 1 << 20


class NetworkSegmenter:
    """A checkpoint that gives one segment per leaf.

    Parameters
    ----------
    model : Module
        A transformers semantic-segmentation model.
    processor : transformers image processor
        Size and normalization that the model was made for.
    leaf_of : mapping of int to (str or None)
        The model's class → leaf, None for classes that are ignored.
    leaves : sequence of str
        All leaves; their order gives the indices of predictions.
    name : str
        Id that is written into every row.
    licence : str or None
    device : torch.device
    """

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        leaf_of: Mapping[int, str | None],
        leaves: Sequence[str],
        name: str,
        licence: str | None,
        device: torch.device,
    ) -> None:
        self.name, self.licence, self.leaves = name, licence, list(leaves)
        self._device = device
        self._model = model.to(device).eval()
        self._processor = whole_image(processor)
        # the last column is for classes without a leaf
        self._members = torch.zeros(len(leaf_of), len(self.leaves) + 1, device=device)
        for i, leaf in leaf_of.items():
            self._members[i, len(self.leaves) if leaf is None else self.leaves.index(leaf)] = 1

    @property
    def accelerated(self) -> bool:
        """Whether it works on another device than the processor."""
        return self._device.type != "cpu"

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Segments of a batch of images.

        Parameters
        ----------
        images : sequence of ndarray of uint8, shape (height, width, 3)
            RGB, of any sizes.

        Returns
        -------
        list of Prediction
        """
        inputs = [
            self._processor(images=[image], return_tensors="pt")["pixel_values"] for image in images
        ]
        results: list[Prediction | None] = [None] * len(images)
        for shape in dict.fromkeys(tuple(x.shape) for x in inputs):
            chosen = [i for i, x in enumerate(inputs) if tuple(x.shape) == shape]
            batch = torch.cat([inputs[i] for i in chosen]).to(self._device)
            for i, probabilities in zip(chosen, self._probabilities(batch), strict=True):
                height, width = images[i].shape[:2]
                results[i] = _decide(probabilities, height, width)
        return cast(list[Prediction], results)

    @torch.inference_mode()
    def _probabilities(self, batch: torch.Tensor) -> torch.Tensor:
        """(b, leaves + 1, h, w) at the model's own resolution."""
        with mixed_precision(self._device):
            logits = self._model(pixel_values=batch).logits.float()
        return torch.einsum("bchw,cl->blhw", logits.softmax(1), self._members)


def whole_image(processor: Any) -> Any:
    """A processor that neither crops nor pads: masks of a part would be stretched over the whole.

    MobileViT's, for example, cut out the center of an image.
    """
    processor = copy.deepcopy(processor)
    for name in ("do_center_crop", "do_pad"):
        if getattr(processor, name, None):
            setattr(processor, name, False)
    return processor


def _decide(probabilities: torch.Tensor, height: int, width: int) -> Prediction:
    shrink = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    best, ids = interpolate(probabilities[None], size=size, mode="bilinear")[0].max(0)
    none = len(probabilities) - 1
    confidence = {i: float(best[ids == i].mean()) for i in ids.unique().tolist() if i != none}
    ids = torch.where(ids == none, IGNORED, ids).to(torch.uint8)
    if size != (height, width):
        ids = interpolate(ids[None, None], size=(height, width), mode="nearest")[0, 0]
    return Prediction(ids.cpu().numpy(), confidence)


def load_model(checkpoint: str, allow_pickle: bool, **options: object) -> tuple[nn.Module, Any]:
    """Model and image processor of a checkpoint; its code is never run.

    Parameters
    ----------
    checkpoint : str
        Folder, or name on the Hub.
    allow_pickle : bool
        Accept weights that are not safetensors.
    **options
        For `from_pretrained`.

    Raises
    ------
    CheckpointError
        If it is missing, is no semantic-segmentation checkpoint, or has no safetensors.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(
            checkpoint, backend="pil", trust_remote_code=False
        )
        model = AutoModelForSemanticSegmentation.from_pretrained(
            checkpoint,
            use_safetensors=None if allow_pickle else True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise CheckpointError(_explained(checkpoint, error, allow_pickle)) from error
    return model, processor


def _explained(checkpoint: str, error: Exception, allow_pickle: bool) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    folder = Path(checkpoint)
    if "custom code" in first:
        return (
            f"checkpoint {checkpoint}: it comes with code of its own, which HEML never runs; name "
            "one of an architecture that transformers knows"
        )
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            return f"checkpoint {checkpoint}: there is no config.json; name a transformers folder"
        weights = [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth")]
        if weights and not allow_pickle and not list(folder.glob("*.safetensors")):
            return (
                f"checkpoint {checkpoint}: its weights ({', '.join(sorted(weights))}) are no "
                "safetensors, and such files can run code when loaded; convert them, or set "
                "segmentation.allow_pickle: true if you trust their author"
            )
    return (
        f"checkpoint {checkpoint}: {first}; name a folder with config.json, "
        "preprocessor_config.json and model.safetensors of a semantic-segmentation model, or "
        "such a model on the Hub"
    )


def load_segmenter(
    checkpoint: str,
    taxonomy: Taxonomy,
    overrides: Mapping[str, str | None],
    licence: str | None,
    allow_pickle: bool,
    device: str,
    name: str | None = None,
) -> NetworkSegmenter:
    """A checkpoint, its classes mapped to the leaves of a taxonomy.

    Parameters
    ----------
    checkpoint : str
        Folder, or name on the Hub.
    taxonomy : Taxonomy
    overrides : mapping
        See `leaf_of_classes`.
    licence : str, optional
        Default: the model card's.
    allow_pickle : bool
    device : str
        auto, cpu, cuda or mps.
    name : str, optional
        What rows say made them. Default: the checkpoint's name, a folder's last part.

    Raises
    ------
    CheckpointError
    TaxonomyError
    """
    model, processor = load_model(checkpoint, allow_pickle)
    config = cast(Any, model).config
    labels = {int(i): str(label) for i, label in config.id2label.items()}
    return NetworkSegmenter(
        model,
        processor,
        leaf_of_classes(labels, taxonomy, overrides),
        list(taxonomy.leaves),
        name or (Path(checkpoint).name if Path(checkpoint).is_dir() else checkpoint),
        licence or checkpoint_licence(checkpoint),
        choose_device(device),
    )
