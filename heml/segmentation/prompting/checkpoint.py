"""Checkpoints of networks that take words: what config.json says of them, and loading their parts.

Everything is loaded from one revision, weights from safetensors alone, and no code that comes with
a checkpoint is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heml.compute.checkpoints import CheckpointError, checkpoint_revision, resolve_checkpoint


@dataclass(frozen=True)
class PromptCheckpoint:
    """A folder, or a name on the Hub with its revision.

    Parameters
    ----------
    place : str
        As `resolve_checkpoint` gives it.
    revision : str or None
        None for a folder.
    """

    place: str
    revision: str | None

    @property
    def name(self) -> str:
        """For tables: a folder's last part, or the name with the start of its revision."""
        if self.revision is None:
            return Path(self.place).name
        return f"{self.place}@{self.revision[:12]}"

    def options(self) -> dict[str, Any]:
        """Of `from_pretrained`."""
        return {"revision": self.revision or "main", "trust_remote_code": False}

    def model(self, cls: Any) -> Any:
        """The network, in float32, of a transformers model class."""
        import torch

        with self._explained():
            return cls.from_pretrained(
                self.place, use_safetensors=True, dtype=torch.float32, **self.options()
            ).eval()

    def whole_model(self, cls: Any) -> Any:
        """The same for an automatic class, which also takes networks of other tasks.

        Raises
        ------
        CheckpointError
            If weights of the network are not in the checkpoint: they would be random.
        """
        import torch

        with self._explained():
            model, loaded = cls.from_pretrained(
                self.place,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **self.options(),
            )
        if missing := sorted(loaded["missing_keys"]):
            raise CheckpointError(
                f"checkpoint {self.place}: it lacks {len(missing)} weights of a "
                f"{type(model).__name__}, {missing[0]} for example; it was made for another task"
            )
        return model.eval()

    def tokenizer(self) -> Any:
        """What splits words."""
        from transformers import AutoTokenizer

        with self._explained():
            return AutoTokenizer.from_pretrained(self.place, **self.options())

    def pixels(self) -> Any:
        """What prepares images, without torchvision."""
        from transformers import AutoImageProcessor

        with self._explained():
            return AutoImageProcessor.from_pretrained(self.place, backend="pil", **self.options())

    def square_pixels(self) -> Any:
        """Likewise for processors that merely scale to a square; transformers has none without
        torchvision for them."""
        from transformers.image_processing_backends import PilBackend

        with self._explained():
            return PilBackend.from_pretrained(self.place, revision=self.revision or "main")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
            raise CheckpointError(_why(self.place, error)) from error


def find_prompt_checkpoint(checkpoint: str, base: Path) -> PromptCheckpoint:
    """The checkpoint that a recipe names.

    Parameters
    ----------
    checkpoint : str
        Folder, or name on the Hub.
    base : pathlib.Path
        Where relative paths start.

    Raises
    ------
    CheckpointError
        If there is none, or the Hub cannot be asked for its revision and no copy is cached.
    """
    place = resolve_checkpoint(checkpoint, base)
    return PromptCheckpoint(place, None if Path(place).is_dir() else checkpoint_revision(place))


def model_type(checkpoint: PromptCheckpoint) -> str:
    """What config.json says that a checkpoint is.

    Raises
    ------
    CheckpointError
        If there is no config.json, or it says nothing.
    """
    place, revision = checkpoint.place, checkpoint.revision
    if revision is None:
        path = Path(place) / "config.json"
    else:
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(place, "config.json", revision=revision))
        except Exception as error:  # of whichever HTTP library the Hub's client uses
            raise CheckpointError(_why(place, error)) from error
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint {place}: there is no config.json; name a transformers folder"
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(
            f"checkpoint {place}: config.json is no JSON object ({error})"
        ) from error
    if not isinstance(said, str):
        raise CheckpointError(
            f"checkpoint {place}: its config.json names no model_type; name one of transformers"
        )
    return said


def _why(place: str, error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    folder = Path(place)
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        weights = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
        if weights:
            return (
                f"checkpoint {place}: its weights ({', '.join(weights)}) are no safetensors, and "
                "such files can run code when loaded; convert them to safetensors"
            )
    return (
        f"checkpoint {place}: {first}; name a folder with config.json, model.safetensors and the "
        "files of its tokenizer and image processor, or such a checkpoint on the Hub"
    )
