"""Prompts as numbers: tokens within a network's limit, and embeddings that are computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from heml.compute.batching import in_parts
from heml.compute.checkpoints import CheckpointError

#: Prompts that are embedded together.
_TOGETHER = 64


def tokens(tokenizer: Any, prompts: Sequence[str], longest: int) -> Any:
    """Token ids and attention masks, padded to the network's limit.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    prompts : sequence of str
    longest : int
        Tokens that the network reads.

    Raises
    ------
    CheckpointError
        If a prompt is longer than that: what is cut off would say something else.
    """
    for prompt in prompts:
        count = len(tokenizer(prompt)["input_ids"])
        if count > longest:
            raise CheckpointError(
                f"segmentation.prompts: '{prompt[:60]}' is {count} tokens long, and the checkpoint "
                f"reads {longest}; write a shorter one"
            )
    return tokenizer(list(prompts), padding="max_length", max_length=longest, return_tensors="pt")


class WordEmbeddings:
    """Embeddings of prompts, kept from one batch of images to the next.

    Parameters
    ----------
    embed : callable
        From a list of prompts to a tensor whose rows are theirs.
    """

    def __init__(self, embed: Callable[[list[str]], torch.Tensor]) -> None:
        self._embed = embed
        self._prompts: list[str] = []
        self._known: torch.Tensor | None = None

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """Rows in the order of the prompts."""
        if self._known is None or self._prompts != list(prompts):
            rows = [self._embed(part).float() for part in in_parts(prompts, _TOGETHER)]
            self._prompts, self._known = list(prompts), torch.cat(rows)
        return self._known
