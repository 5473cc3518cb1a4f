"""Prompts from what a captioner says of a few images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heml.compute.checkpoints import CheckpointError
from heml.images.images_table import decode_image
from heml.sources.base import GivenSource
from heml.sources.raw import Unacceptable
from heml.sources.sample import sample
from heml.sources.validate import check_image
from pipelines.recipe.draft.caption_words import caption_words
from pipelines.recipe.draft.prompts import DraftedPrompts

#: Images that are captioned, captions that are shown, and their length.
_IMAGES, _SHOWN, _WIDE = 48, 3, 90


def add_captioned(
    prompts: DraftedPrompts,
    source: GivenSource,
    label: str,
    captioner: str,
    say: Callable[[str], None],
) -> None:
    """Adds what captions of up to 48 train images name; the hashes of their ids choose them.

    Parameters
    ----------
    prompts : DraftedPrompts
        What is there already stays, and is not named twice.
    source : GivenSource
        Of settings that name the label.
    label : str
        Column whose values show which words are of the label's things.
    captioner : str
        Folder, relative to the working directory, or name on the Hub.
    say : callable

    Raises
    ------
    CheckpointError
        If the captioner cannot be used, or no word is in several captions.
    """
    from heml.segmentation.prompting.captioner import load_captioner

    loaded = load_captioner(captioner, Path.cwd())
    images, labels = [], []
    for record in sample(source, _IMAGES, 0).records:
        if record.split != "train" or record.image is None:
            continue
        try:
            data = check_image(record.image, source.limits.max_pixels).data
        except Unacceptable:
            continue  # counted where the source is read
        images.append(decode_image(data))
        labels.append(record.columns.get(label))
    captions = list(loaded.captions(images))
    licence = f", licence {loaded.licence}" if loaded.licence else ""
    say(f"captions   {len(captions)} train images, by {loaded.name}{licence}; the first:")
    for caption in captions[:_SHOWN]:
        say(f"           {caption[:_WIDE]}")
    words = caption_words(captions, labels)
    if not words:
        raise CheckpointError(
            f"--captioner {captioner}: no word for a thing is in several of {len(captions)} "
            "captions; name another captioner, or write words yourself"
        )
    for found in words:
        reason = f"in {found.captions} of {len(captions)} captions"
        if found.of_label:
            reason += ", mainly of one label value"
        prompts.add_captioned(found.word, found.of_label, reason)
