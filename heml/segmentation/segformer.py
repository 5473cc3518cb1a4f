"""A SegFormer fitted on the annotated train images of a dataset, kept in the store.

What is kept is an ordinary transformers checkpoint: config, processor and safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from heml.compute.device import choose_device
from heml.compute.prefetch import map_ahead
from heml.compute.progress import Progress
from heml.compute.save_tensors import system_errors
from heml.compute.threads import seeded
from heml.images.images_table import decode_image, decode_mask, iterate_images
from heml.segmentation.fit import Fit, fit
from heml.segmentation.iou import IGNORED, MeanIoU, confusion, mean_iou
from heml.segmentation.network import NetworkSegmenter, load_model
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.storage.atomic_write import write_aside
from heml.storage.store import Store

#: Widths, depths and decoder width by size: b0 to b5 as published (Xie et al., NeurIPS 2021); small
#: is for training from nothing on a few cores.
_SIZES: dict[str, tuple[list[int], list[int], int]] = {
    "small": ([32, 64, 128, 192], [2, 2, 2, 2], 96),
    "b0": ([32, 64, 160, 256], [2, 2, 2, 2], 256),
    "b1": ([64, 128, 320, 512], [2, 2, 2, 2], 256),
    "b2": ([64, 128, 320, 512], [3, 4, 6, 3], 768),
    "b3": ([64, 128, 320, 512], [3, 4, 18, 3], 768),
    "b4": ([64, 128, 320, 512], [3, 8, 27, 3], 768),
    "b5": ([64, 128, 320, 512], [3, 6, 40, 3], 768),
}
#: Attention heads of the four stages; the widths of `small` need others.
_HEADS, _HEADS_OF_SMALL = [1, 2, 5, 8], [1, 2, 4, 6]

#: Learning rates from random weights, and from a checkpoint's, which are worth keeping.
_RATE, _RATE_OF_CHECKPOINT = 2e-3, 1e-4

_RESULT = "result.json"
_LEAST_FITTED = 8
#: SegFormer divides sides by 4 and looks at 8×8 of what is left.
_LEAST_SIDE = 64


class TooFewAnnotated(ValueError):
    """There are not enough annotated images to fit a segmenter."""


@dataclass(frozen=True)
class Fitted:
    """A fitted segmenter.

    Parameters
    ----------
    folder : pathlib.Path
        A transformers checkpoint whose labels are leaves.
    images : int
        Images that it was fitted on.
    held_out : MeanIoU
        On annotated train images that it was not fitted on, at their full size.
    """

    folder: Path
    images: int
    held_out: MeanIoU


def new_model(
    settings: TrainedSegmentation, leaves: list[str], checkpoint: str | None
) -> nn.Module:
    """A SegFormer with one output per leaf: random weights, or a checkpoint's with a new head.

    Raises
    ------
    CheckpointError
    """
    labels = dict(enumerate(leaves))
    names: dict[str, Any] = {"id2label": labels, "label2id": {n: i for i, n in labels.items()}}
    with seeded(settings.seed):
        if checkpoint is not None:
            return load_model(
                checkpoint, settings.allow_pickle, ignore_mismatched_sizes=True, **names
            )[0]
        widths, depths, decoder = _SIZES[settings.size]
        config = SegformerConfig(
            hidden_sizes=widths,
            depths=depths,
            num_attention_heads=_HEADS_OF_SMALL if settings.size == "small" else _HEADS,
            decoder_hidden_size=decoder,
            **names,
        )
        return _scaled_for_training(SegformerForSemanticSegmentation(config))


def _scaled_for_training(model: nn.Module) -> nn.Module:
    """Convolutions drawn as SegFormer's authors do (He et al., ICCV 2015, by outputs).

    transformers draws all weights with a deviation of 0.02, made to be overwritten by a checkpoint:
    almost nothing passes a depthwise convolution then, and training takes long to find out.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            outputs = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / outputs))
    return model


def training_size(shapes: np.ndarray, pixels: int) -> tuple[int, int]:
    """Height and width of training images: the median shape of the dataset, multiples of 32.

    Parameters
    ----------
    shapes : ndarray, shape (n, 2)
        Heights and widths.
    pixels : int
        About how many pixels.
    """
    ratio = float(np.median(shapes[:, 0] / shapes[:, 1]))
    height = max(_LEAST_SIDE, 32 * round(math.sqrt(pixels * ratio) / 32))
    return height, max(_LEAST_SIDE, 32 * round(pixels / height / 32))


def is_held_out(image_id: str, settings: TrainedSegmentation) -> bool:
    """Whether an annotated train image is kept from fitting: by its id, whatever the order."""
    digest = hashlib.sha256(f"{settings.seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < settings.validation_share


def fitted_segmenter(
    store: Store,
    key: str,
    settings: TrainedSegmentation,
    leaf_of: Mapping[int, str],
    leaves: list[str],
    checkpoint: str | None,
    progress: Progress,
) -> Fitted:
    """The segmenter of a store, fitted if it is not there yet.

    Only train images are fitted on: segments of held-out splits must not be better than those of
    new images.

    Parameters
    ----------
    key : str
        Fingerprint under which it is kept.
    leaf_of : mapping of int to str
        Class id in the masks → leaf; others are ignored.
    checkpoint : str, optional
        Where to start from.

    Raises
    ------
    TooFewAnnotated
    CheckpointError
    """
    folder = store.segmenter / key
    if (folder / _RESULT).is_file():
        progress("segmenter: fitted before, kept")
        return _read(folder)
    lut = np.full(256, IGNORED, np.uint8)
    for i, leaf in leaf_of.items():
        lut[i] = leaves.index(leaf)
    with tempfile.TemporaryDirectory() as scratch:
        data = _Annotated(store, settings, lut, Path(scratch))
        progress(
            f"segmenter: {len(data.images)} images to fit on, {len(data.held_out)} held out, "
            f"{data.size[0]}×{data.size[1]} pixels"
        )
        count = len(data.images)
        model = new_model(settings, leaves, checkpoint)
        processor = SegformerImageProcessorPil(
            size={"height": data.size[0], "width": data.size[1]}, do_reduce_labels=False
        )
        model = fit(
            model,
            data.images,
            data.masks,
            len(leaves),
            Fit(
                data.size,
                settings.steps,
                settings.batch_size,
                settings.learning_rate or (_RATE_OF_CHECKPOINT if checkpoint else _RATE),
                settings.seed,
                str(choose_device(settings.device)),
                settings.mirror,
            ),
            _normalization(processor),
            progress,
        )
        device = choose_device(settings.device)
        segmenter = NetworkSegmenter(
            model, processor, dict(enumerate(leaves)), leaves, "trained", None, device
        )
        result = measure(store, segmenter, data.held_out, lut, settings)
    progress(f"segmenter: mean IoU {result.value:.3f} on {result.images} held-out images")
    with write_aside(folder) as aside:
        with system_errors(aside):
            model.cpu().save_pretrained(aside)  # type: ignore[operator]
        processor.save_pretrained(aside)
        content = {"images": count, "held_out": asdict(result)}
        (aside / _RESULT).write_text(json.dumps(content, indent=1))
    return Fitted(folder, count, result)


def measure(
    store: Store,
    segmenter: NetworkSegmenter,
    image_ids: set[str],
    lut: np.ndarray,
    settings: TrainedSegmentation,
) -> MeanIoU:
    """Mean IoU on some annotated images, at their full size."""
    classes = len(segmenter.leaves)
    found = []
    for batch in iterate_images(store, ["image_id", "image", "mask"], settings.batch_size):
        rows = [row for row in batch.to_pylist() if row["image_id"] in image_ids]
        if not rows:
            continue
        predicted = segmenter.predict([decode_image(row["image"]["bytes"]) for row in rows])
        found += [
            confusion(lut[decode_mask(row["mask"])], prediction.ids, classes)
            for row, prediction in zip(rows, predicted, strict=True)
        ]
    return mean_iou(np.stack(found), segmenter.leaves, settings.seed)


def _read(folder: Path) -> Fitted:
    content = json.loads((folder / _RESULT).read_text())
    return Fitted(folder, content["images"], MeanIoU(**content["held_out"]))


class _Annotated:
    """Annotated train images at training size, in memory-mapped files."""

    def __init__(
        self, store: Store, settings: TrainedSegmentation, lut: np.ndarray, scratch: Path
    ) -> None:
        fitted: dict[str, int] = {}
        self.held_out: set[str] = set()
        shapes = []
        columns = ["image_id", "split", "height", "width", "mask"]
        for batch in iterate_images(store, columns):
            for row in batch.to_pylist():
                if row["split"] != "train" or row["mask"] is None:
                    continue
                if is_held_out(row["image_id"], settings):
                    self.held_out.add(row["image_id"])
                else:
                    fitted[row["image_id"]] = len(fitted)
                    shapes.append((row["height"], row["width"]))
        if len(fitted) < _LEAST_FITTED or not self.held_out:
            raise TooFewAnnotated(
                f"segmentation: trained needs annotated train images, at least {_LEAST_FITTED} to "
                f"fit on and one held out; found {len(fitted)} and {len(self.held_out)}: annotate "
                "more, or use kind: pretrained"
            )
        self.size = training_size(np.array(shapes), settings.pixels)
        shape = (len(fitted), *self.size)
        open_file = np.lib.format.open_memmap
        self.images = open_file(scratch / "images.npy", "w+", np.uint8, (*shape, 3))
        self.masks = open_file(scratch / "masks.npy", "w+", np.uint8, shape)
        chosen = (
            row
            for batch in iterate_images(store, ["image_id", "image", "mask"])
            for row in batch.to_pylist()
            if row["image_id"] in fitted
        )
        for image_id, image, mask in map_ahead(lambda row: _resized(row, lut, self.size), chosen):
            self.images[fitted[image_id]], self.masks[fitted[image_id]] = image, mask


def _resized(
    row: Mapping[str, Any], lut: np.ndarray, size: tuple[int, int]
) -> tuple[str, np.ndarray, np.ndarray]:
    image = Image.fromarray(decode_image(row["image"]["bytes"]))
    mask = Image.fromarray(lut[decode_mask(row["mask"])])
    width_height = size[1], size[0]
    return (
        row["image_id"],
        np.asarray(image.resize(width_height, Image.Resampling.BILINEAR)),
        np.asarray(mask.resize(width_height, Image.Resampling.NEAREST)),
    )


def _normalization(processor: Any) -> Any:
    mean = torch.tensor(processor.image_mean)[:, None, None]
    std = torch.tensor(processor.image_std)[:, None, None]
    return lambda x: (x - mean.to(x.device)) / std.to(x.device)
