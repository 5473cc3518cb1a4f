"""Trunks from transformers checkpoints: any `AutoBackbone` (ResNet, ConvNeXt, DINOv2, ...).

By the name of a hub repository or a local folder. Safetensors weights only, no remote code. A
trained trunk is rebuilt from its configuration, so a stored tree needs no checkpoint.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from heml.compute.checkpoints import CheckpointError

#: Where a checkpoint does not say how its images were normalized: the range of the views.
_MEAN = _STD = (0.5, 0.5, 0.5)


class BackboneTrunk(nn.Module):
    """The last feature map of a transformers backbone, averaged over its positions.

    The backbone sees the colors of a view, normalized as its checkpoint was; outside the node
    they are neutral gray. Coverage, the fourth channel, has no place in pretrained weights.

    Parameters
    ----------
    config : dict
        The backbone's configuration as plain data, with `model_type`.
    mean, std : sequence of float
        Per color, for values in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.backbone = _backbone_of(config)
        self.channels = int(self.backbone.channels[-1])
        self.description = {"config": config, "mean": list(mean), "std": list(std)}
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(shape), persistent=False)

    def forward(self, views: Tensor) -> Tensor:
        """Features of views (B, 4, R, R) as `scale_views` gives them, shape (B, channels)."""
        colors = (views[:, :3] + 1) / 2
        features = self.backbone((colors - self.mean) / self.std).feature_maps[-1]
        pooled: Tensor = features.mean(dim=(2, 3))
        return pooled


def pretrained_trunk(checkpoint: str) -> BackboneTrunk:
    """A trunk with a checkpoint's weights.

    Parameters
    ----------
    checkpoint : str
        Name on the hub, or a folder.

    Raises
    ------
    CheckpointError
        If there is none, it holds no safetensors, its architecture is no backbone, or its weights
        do not fit.
    """
    return copy.deepcopy(_loaded(checkpoint))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise CheckpointError(
            "metric.trunk: a checkpoint as trunk needs the package transformers; "
            "install it, or use small"
        ) from error
    return transformers


def _config(checkpoint: str) -> Any:
    try:
        return _transformers().AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"metric.trunk: '{checkpoint}' is neither small, nor a folder with config.json, nor a "
            f"checkpoint that can be fetched: {_first_line(error)}"
        ) from error


def _backbone_of(config: dict[str, Any]) -> Any:
    transformers = _transformers()
    content = dict(config)
    restored = transformers.AutoConfig.for_model(content.pop("model_type"), **content)
    return transformers.AutoBackbone.from_config(restored)


@cache
def _loaded(checkpoint: str) -> BackboneTrunk:
    from transformers.image_processing_base import ImageProcessingMixin

    config = _config(checkpoint)
    plain = json.loads(json.dumps({**config.to_diff_dict(), "model_type": config.model_type}))
    plain.pop("architectures", None)
    try:
        model_class = type(_transformers().AutoBackbone.from_config(config))
    except ValueError as error:
        raise CheckpointError(
            f"metric.trunk: '{checkpoint}' is a {config.model_type}, which is no image backbone"
        ) from error
    try:
        with _quiet():
            model, info = model_class.from_pretrained(
                checkpoint, config=config, use_safetensors=True, output_loading_info=True
            )
    except OSError as error:
        raise CheckpointError(
            f"metric.trunk: '{checkpoint}' has no safetensors weights: {_first_line(error)}"
        ) from error
    own = set(model.state_dict())
    # Backbones add norms that classification checkpoints do not have; they start as identity.
    missing = {name for name in info["missing_keys"] if "hidden_states_norms" not in name}
    if missing & own:
        raise CheckpointError(
            f"metric.trunk: '{checkpoint}' lacks {len(missing & own)} of {len(own)} weights of a "
            f"{config.model_type} backbone, such as {min(missing & own)}"
        )
    try:
        processor = ImageProcessingMixin.get_image_processor_dict(checkpoint)[0]
    except OSError:
        processor = {}
    trunk = BackboneTrunk(
        plain,
        tuple(processor.get("image_mean") or _MEAN),
        tuple(processor.get("image_std") or _STD),
    )
    trunk.backbone.load_state_dict(model.state_dict())
    return trunk


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a report of classifier weights that a trunk does not need, and progress bars."""
    logging = _transformers().utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
