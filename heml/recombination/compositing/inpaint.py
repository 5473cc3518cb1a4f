"""Optional inpainting: a diffusion model redraws the seam, or what was filled, and nothing else.

Any checkpoint of diffusers that can inpaint, by its name or as a folder. Safetensors only, and no
code that comes with a checkpoint is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from heml.compute.checkpoints import (
    CheckpointError,
    checkpoint_identity,
    checkpoint_licence,
    resolve_checkpoint,
)
from heml.images.bounding_box import bounding_box
from heml.parts.extras import missing_extra
from heml.recombination.compositing.inpaint_settings import InpaintSettings
from heml.recombination.imaging.segmented_image import Recombined
from heml.recombination.origins import Generator
from heml.taxonomy import Taxonomy

#: Room around the redrawn pixels that the model sees, as a share of their longer side.
CONTEXT = 0.5
#: Weight files that can execute code when they are loaded.
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def find_checkpoint(checkpoint: str, folder: Path | None = None) -> str:
    """The checkpoint's folder, or its name unchanged if there is no such folder.

    Parameters
    ----------
    checkpoint : str
        `inpaint.checkpoint` of the recipe.
    folder : pathlib.Path, optional
        Where relative paths start: the recipe's folder.

    Raises
    ------
    CheckpointError
        If it looks like a path and is none, or the folder holds no such pipeline.
    """
    try:
        found = resolve_checkpoint(checkpoint, folder)
    except CheckpointError as error:
        raise CheckpointError(f"inpaint.checkpoint: {error}") from error
    if Path(found).is_dir():
        _check_folder(Path(found))
    return found


def _check_folder(path: Path) -> None:
    try:
        content = json.loads((path / "model_index.json").read_text())
        kind = str(content["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"inpaint.checkpoint: {path} has no readable model_index.json; name a folder that "
            "save_pretrained of a diffusers pipeline wrote"
        ) from error
    for name, part in content.items():
        files = list((path / name).glob("*")) if isinstance(part, list) else []
        if any(f.suffix in _PICKLES for f in files) and not any(
            f.suffix == ".safetensors" for f in files
        ):
            raise CheckpointError(
                f"inpaint.checkpoint: {path / name} has weights that are no safetensors; save the "
                "pipeline again with safe_serialization=True"
            )
    if problem := missing_extra("diffusers", "inpaint"):
        raise CheckpointError(f"inpaint.checkpoint: {problem}")
    from diffusers.pipelines.auto_pipeline import (
        AUTO_INPAINT_PIPELINES_MAPPING,
        _get_task_class,
    )

    try:
        _get_task_class(AUTO_INPAINT_PIPELINES_MAPPING, kind)
    except ValueError as error:
        raise CheckpointError(
            f"inpaint.checkpoint: a {kind} cannot inpaint ({path}); choose a checkpoint of one of: "
            + ", ".join(AUTO_INPAINT_PIPELINES_MAPPING)
        ) from error


@dataclass(frozen=True)
class _Task:
    """A square piece of a sample, and what of it is redrawn."""

    place: int
    box: tuple[int, int, int, int]
    redrawn: np.ndarray
    image: Image.Image
    mask: Image.Image
    prompt: str
    seed: int


class Inpainter:
    """Redraws parts of recombined samples.

    Parameters
    ----------
    settings : InpaintSettings
    taxonomy : Taxonomy
        Its names make the prompts.
    folder : pathlib.Path, optional
        Where a relative checkpoint path starts.
    device : torch.device, optional
        By default the accelerator if there is one; half precision there.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded.
    """

    def __init__(
        self,
        settings: InpaintSettings,
        taxonomy: Taxonomy,
        folder: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        if problem := missing_extra("diffusers", "inpaint"):
            raise CheckpointError(f"inpaint.checkpoint: {problem}")
        from diffusers import AutoPipelineForInpainting

        self._settings = settings
        self._taxonomy = taxonomy
        device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        checkpoint = find_checkpoint(settings.checkpoint, folder)
        kind = torch.float16 if device.type == "cuda" else torch.float32
        try:
            pipeline = AutoPipelineForInpainting.from_pretrained(
                checkpoint, dtype=kind, use_safetensors=True, trust_remote_code=False
            )
        except Exception as error:  # whatever a broken checkpoint or an unknown name leads to
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(
                f"inpaint.checkpoint: cannot load '{checkpoint}' for inpainting: {reason}"
            ) from error
        #: The checkpoint in the samples' provenance.
        self.generator = Generator(
            Path(checkpoint).name if Path(checkpoint).is_dir() else checkpoint,
            checkpoint_identity(checkpoint).removeprefix(f"{checkpoint}@"),
            checkpoint_licence(checkpoint),
        )
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)

    def redraw(
        self, samples: Sequence[Recombined], nodes: Sequence[Sequence[str]], seeds: Sequence[int]
    ) -> list[Recombined]:
        """The samples with their seam or holes drawn anew, everything else bit-identical.

        Parameters
        ----------
        samples : sequence of Recombined
        nodes : sequence of sequence of str
            Leaves that were exchanged, for the prompts.
        seeds : sequence of int
            One for each sample: the same seed draws the same.
        """
        results = list(samples)
        tasks = [
            task
            for place, (sample, own, seed) in enumerate(zip(samples, nodes, seeds, strict=True))
            if (task := self._task(place, sample, own, seed)) is not None
        ]
        size = self._settings.batch_size
        for start in range(0, len(tasks), size):
            part = tasks[start : start + size]
            for task, drawn in zip(part, self._draw(part), strict=True):
                if drawn is not None:
                    results[task.place] = _pasted(samples[task.place], task, drawn)
        return results

    def _task(
        self, place: int, sample: Recombined, nodes: Sequence[str], seed: int
    ) -> _Task | None:
        mask = redrawn(sample, self._settings)
        inside = bounding_box(mask)
        if inside is None:
            return None
        box = _square(inside)
        side = self._side
        image = Image.fromarray(_cut(sample.image, box)).resize((side, side), _SMOOTH)
        small = Image.fromarray(_cut(mask.view(np.uint8) * np.uint8(255), box, edge=False))
        names = [c.replace("_", " ") for node in nodes for c in self._taxonomy.classes_of(node)]
        prompt = self._settings.prompt.replace("{segments}", ", ".join(names))
        # A redrawn pixel is drawn wholly: those that it only touches are taken along.
        return _Task(place, box, mask, image, small.resize((side, side), _SHARP), prompt, seed)

    @property
    def _side(self) -> int:
        """Side of what the model sees, in pixels: its own, unless the recipe says another."""
        pipeline: Any = self._pipeline
        factor = int(getattr(pipeline, "vae_scale_factor", 8))
        model = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
        latent = getattr(getattr(model, "config", None), "sample_size", None)
        side = self._settings.side or (latent * factor if isinstance(latent, int) else 512)
        return max(side // factor, 1) * factor

    @torch.inference_mode()
    def _draw(self, tasks: Sequence[_Task]) -> list[np.ndarray | None]:
        settings = self._settings
        output = self._pipeline(
            prompt=[task.prompt for task in tasks],
            image=[task.image for task in tasks],
            mask_image=[task.mask for task in tasks],
            height=self._side,
            width=self._side,
            strength=settings.strength,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            # On the processor: the same noise whatever the accelerator is.
            generator=[torch.Generator().manual_seed(task.seed) for task in tasks],
            output_type="pil",
        )
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(tasks)
        # A checkpoint's safety filter returns black images: such a sample stays as it was.
        return [
            None if bad else np.asarray(image.convert("RGB"))
            for image, bad in zip(output.images, flagged, strict=True)
        ]


_SMOOTH, _SHARP = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


def redrawn(sample: Recombined, settings: InpaintSettings) -> np.ndarray:
    """Pixels that are drawn anew, bool (H, W): a band along the seam, what was filled, or both."""
    mask = np.zeros(sample.size, bool)
    if settings.region in ("hole", "both") and sample.filled is not None:
        mask |= sample.filled
    if settings.region in ("seam", "both") and sample.pasted is not None and sample.pasted.any():
        width = max(round(settings.band * min(sample.size)), 1)
        wider = binary_dilation(sample.pasted, iterations=width)
        # Where the paste ends with the image there is no seam.
        mask |= wider & ~binary_erosion(sample.pasted, iterations=width, border_value=1)
    return mask


def _square(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A square around a box with room, which may reach beyond the image."""
    height, width = box[3] - box[1], box[2] - box[0]
    side = math.ceil(max(height, width) * (1 + CONTEXT))
    left, top = box[0] - (side - width) // 2, box[1] - (side - height) // 2
    return left, top, left + side, top + side


def _cut(array: np.ndarray, box: tuple[int, int, int, int], edge: bool = True) -> np.ndarray:
    """A piece of an array; beyond the border, pixels repeat, or are zero."""
    left, top, right, bottom = box
    height, width = array.shape[:2]
    before, after = (max(-top, 0), max(-left, 0)), (max(bottom - height, 0), max(right - width, 0))
    inside = array[max(top, 0) : bottom, max(left, 0) : right]
    room = [(before[0], after[0]), (before[1], after[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(inside, room, mode="edge") if edge else np.pad(inside, room)


def _pasted(sample: Recombined, task: _Task, drawn: np.ndarray) -> Recombined:
    left, top, right, bottom = task.box
    side = right - left
    piece = np.asarray(Image.fromarray(drawn).resize((side, side), _SMOOTH))
    height, width = sample.size
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    inner = piece[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    # The exact mask, not the one that was scaled for the model: nothing outside it may change.
    mask = task.redrawn[rows, columns]
    image = sample.image.copy()
    image[rows, columns][mask] = inner[mask]
    return replace(sample, image=image, generated=task.redrawn, _known={})
