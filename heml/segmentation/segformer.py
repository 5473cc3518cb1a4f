"""A SegFormer fitted on the annotated train images of a dataset, kept in the store.

What is kept is an ordinary transformers checkpoint: config, processor and safetensors.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from heml.compute.batching import in_parts
from heml.compute.device import choose_device
from heml.compute.progress import Progress
from heml.compute.save_tensors import system_errors
from heml.compute.threads import seeded
from heml.images.images_table import decode_image, decode_mask
from heml.segmentation.fit import Fit, fit
from heml.segmentation.fitted_segmenter import Fitted
from heml.segmentation.iou import IGNORED, MeanIoU, confusion, mean_iou
from heml.segmentation.network import NetworkSegmenter, load_model
from heml.segmentation.pseudo_labels import Labeler, PseudoLabels, pseudo_labels
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.segmentation.training_images import annotated_examples, iterate_chosen, train_images
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

#: Steps where the settings say none: by images to fit on, annotated or pseudo-labeled, within
#: bounds. With 34 annotated photos of pets IoU still rose from 600 to 1000.
_STEPS_PER_IMAGE, _LEAST_STEPS, _MOST_STEPS = 7, 1500, 4000


def default_steps(images: int) -> int:
    """Steps of fitting on so many images where the settings say none."""
    return min(_MOST_STEPS, max(_LEAST_STEPS, _STEPS_PER_IMAGE * images))


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


def fitted_segmenter(
    store: Store,
    key: str,
    settings: TrainedSegmentation,
    leaf_of: Mapping[int, str],
    leaves: list[str],
    checkpoint: str | None,
    labeler: Labeler | None,
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
    labeler : Labeler, optional
        Another segmenter, for pseudo-labels of the train images without a mask.
    progress : Progress

    Raises
    ------
    TooFewAnnotated
    CheckpointError
    """
    folder = store.segmenter / key
    if (before := Fitted.read(folder)) is not None:
        progress("segmenter: fitted before, kept")
        return before
    lut = np.full(256, IGNORED, np.uint8)
    for i, leaf in leaf_of.items():
        lut[i] = leaves.index(leaf)
    images = train_images(store, settings)
    progress(
        f"segmenter: {len(images.fitted)} annotated images to fit on, {len(images.held_out)} held "
        f"out, {images.size[0]}×{images.size[1]} pixels"
    )
    with tempfile.TemporaryDirectory() as scratch:
        annotated = annotated_examples(store, images, lut, Path(scratch, "annotated"))
        guessed = PseudoLabels(None, {})
        if labeler is not None:
            guessed = pseudo_labels(
                store,
                labeler,
                settings.least_agreement,
                images,
                lut,
                Path(scratch, "pseudo_labeled"),
                progress,
            )
        examples = len(annotated) + len(guessed.examples or ())
        steps = settings.steps or default_steps(examples)
        processor = SegformerImageProcessorPil(
            size={"height": images.size[0], "width": images.size[1]}, do_reduce_labels=False
        )
        device = choose_device(settings.device)
        model = fit(
            new_model(settings, leaves, checkpoint),
            annotated,
            len(leaves),
            Fit(
                images.size,
                steps,
                settings.batch_size,
                settings.learning_rate or (_RATE_OF_CHECKPOINT if checkpoint else _RATE),
                settings.seed,
                str(device),
                settings.mirror,
            ),
            _normalization(processor),
            progress,
            guessed.examples,
        )
    segmenter = NetworkSegmenter(
        model, processor, dict(enumerate(leaves)), leaves, "trained", None, device
    )
    result = measure(store, segmenter, images.held_out, lut, settings)
    progress(
        f"segmenter: mean IoU {result.value:.3f} ({result.low:.3f} to {result.high:.3f}) on "
        f"{result.images} held-out images"
    )
    if guessed.facts.get("pseudo_labeler_held_out_iou", 0.0) > result.value:
        progress(
            f"segmenter: on the same images {guessed.facts['pseudo_labeler']} alone reaches "
            f"{guessed.facts['pseudo_labeler_held_out_iou']:.3f}: chance, with few images, or the "
            "better choice"
        )
    fitted = Fitted(folder, len(images.fitted), steps, result, guessed.facts)
    with write_aside(folder) as aside:
        with system_errors(aside):
            model.cpu().save_pretrained(aside)  # type: ignore[operator]
        processor.save_pretrained(aside)
        fitted.write(aside)
    return fitted


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
    rows = iterate_chosen(store, image_ids, ["image", "mask"])
    for part in in_parts(rows, settings.batch_size):
        predicted = segmenter.predict([decode_image(row["image"]["bytes"]) for row in part])
        found += [
            confusion(lut[decode_mask(row["mask"])], prediction.ids, classes)
            for row, prediction in zip(part, predicted, strict=True)
        ]
    return mean_iou(np.stack(found), segmenter.leaves, settings.seed)


def _normalization(processor: Any) -> Any:
    mean = torch.tensor(processor.image_mean)[:, None, None]
    std = torch.tensor(processor.image_std)[:, None, None]
    return lambda x: (x - mean.to(x.device)) / std.to(x.device)
