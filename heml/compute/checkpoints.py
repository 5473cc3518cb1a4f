"""Checkpoints of networks: where a recipe's path leads, and what identifies a checkpoint.

One rule for trunks, segmenters and inpainters: a folder, absolute or relative to the recipe's file,
or else a name on the Hub. A folder is identified by its content, a name by its revision.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""


def resolve_checkpoint(checkpoint: str, base: Path | None = None) -> str:
    """A checkpoint's folder, or its name on the Hub unchanged if there is no such folder.

    Parameters
    ----------
    checkpoint : str
    base : pathlib.Path, optional
        Where relative paths start: the recipe's folder. Default: the working directory.

    Raises
    ------
    CheckpointError
        If it looks like a path and there is no such folder.
    """
    folder = (base or Path()) / Path(checkpoint).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if checkpoint.startswith((".", "/", "~")) or checkpoint.count("/") > 1:
        raise CheckpointError(
            f"no such folder '{folder}'; name one, or a published checkpoint such as owner/name"
        )
    return checkpoint


def checkpoint_identity(checkpoint: str) -> str:
    """What decides everything that a checkpoint gives, for fingerprints.

    Parameters
    ----------
    checkpoint : str
        As `resolve_checkpoint` gives it.

    Returns
    -------
    str
        SHA-256 of a folder's files and their names, hexadecimal, wherever it lies; or name@revision
        of a checkpoint on the Hub.

    Raises
    ------
    CheckpointError
        If the Hub does not know it or cannot be reached, and no copy of it is cached.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        return f"{checkpoint}@{checkpoint_revision(checkpoint)}"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            state = path.stat()
            # Weights that were replaced by others of the same size and time have another inode or
            # another time of change.
            content = _digest(
                path.resolve(), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
            )
            digest.update(name.as_posix().encode() + b"\0" + content)
    return digest.hexdigest()


def checkpoint_licence(checkpoint: str) -> str | None:
    """The licence that the checkpoint's model card states; None if it has no card."""
    from huggingface_hub import ModelCard, hf_hub_download

    with suppress(Exception):  # a missing card, no network: the licence stays unknown
        folder = Path(checkpoint)
        path = folder / "README.md" if folder.is_dir() else hf_hub_download(checkpoint, "README.md")
        licence = ModelCard.load(path).data.get("license")
        return None if licence is None else str(licence)
    return None


@cache
def _digest(path: Path, *state: int) -> bytes:
    """SHA-256 of a file in some state: every node of a tree asks for that of the same weights."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@cache
def checkpoint_revision(name: str) -> str:
    """Commit of a checkpoint on the Hub, or of its cached copy where there is no network.

    Raises
    ------
    CheckpointError
        If the Hub does not know it or cannot be reached, and no copy of it is cached.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        return str(HfApi().model_info(name, timeout=10).sha)
    except Exception as error:  # of whichever HTTP library the Hub's client uses
        for file in ("config.json", "model_index.json"):
            cached = try_to_load_from_cache(name, file)
            if isinstance(cached, str):
                return Path(cached).parent.name
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"'{name}' is no folder, and no checkpoint that can be fetched from the Hub: {first}"
        ) from error
