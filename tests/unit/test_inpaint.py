"""Inpainting with a real, tiny, randomly initialized pipeline saved to a folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from heml.compute.checkpoints import CheckpointError
from heml.compute.threads import seeded
from heml.recombination.compositing.inpaint import Inpainter, find_checkpoint, redrawn
from heml.recombination.compositing.inpaint_settings import InpaintSettings
from heml.recombination.imaging.segmented_image import Recombined
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "toy",
    leaves={"background": ("background",), "mouth": ("u_lip", "l_lip")},
    tree={"image": ("background", "mouth")},
)


def save_tokenizer(folder: Path):
    from transformers import CLIPTokenizer

    folder.mkdir()
    letters = [chr(c) for c in range(97, 123)] + [",", "_"]
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    ), len(words)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A Stable Diffusion inpainting pipeline with a few thousand weights."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInpaintPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("inpaint")
    tokenizer, words = save_tokenizer(folder / "words")
    with seeded(0):
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=words, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, max_position_embeddings=16, projection_dim=16,
                bos_token_id=words - 2, eos_token_id=words - 1, pad_token_id=words - 1,
            )
        )  # fmt: skip
        unet = UNet2DConditionModel(
            sample_size=16, in_channels=9, out_channels=4, layers_per_block=1,
            block_out_channels=(8, 8), norm_num_groups=4, cross_attention_dim=16,
            attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        )  # fmt: skip
        vae = AutoencoderKL(
            block_out_channels=(8, 8), norm_num_groups=4, sample_size=32, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        )  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder / "tiny", safe_serialization=True)
    return folder / "tiny"


def settings(checkpoint: Path, **changes) -> InpaintSettings:
    return InpaintSettings(checkpoint=str(checkpoint), steps=2, strength=1.0, **changes)


def sample(seed: int, size: tuple[int, int] = (40, 52)) -> Recombined:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    pasted, filled = np.zeros(size, bool), np.zeros(size, bool)
    pasted[10:20, 12:30] = True
    filled[20:26, 12:30] = True
    masks = {"u_lip": pasted, "background": ~pasted}
    return Recombined(image, masks, pasted=pasted, filled=filled)


def test_only_the_band_and_the_hole_change(checkpoint):
    chosen = settings(checkpoint)
    samples = [sample(0), sample(1, (64, 33))]
    painter = Inpainter(chosen, TAXONOMY)
    assert painter.generator.name == checkpoint.name
    assert len(painter.generator.revision) == 64, "a folder is identified by its content"
    results = painter.redraw(samples, [["mouth"]] * 2, [1, 2])
    for before, after in zip(samples, results, strict=True):
        mask = redrawn(before, chosen)
        assert mask[22, 20]
        assert mask[10, 15]
        assert not mask[15, 20]
        np.testing.assert_array_equal(after.image[~mask], before.image[~mask])
        assert (after.image[mask] != before.image[mask]).any(axis=1).mean() > 0.9
        np.testing.assert_array_equal(after.generated, mask)
        assert after.masks is before.masks


def test_the_same_seed_draws_the_same(checkpoint):
    painter = Inpainter(settings(checkpoint, batch_size=2), TAXONOMY)
    samples, nodes = [sample(n) for n in range(3)], [["mouth"]] * 3
    first = painter.redraw(samples, nodes, [5, 6, 7])
    again = painter.redraw(samples, nodes, [5, 6, 7])
    other = painter.redraw(samples, nodes, [8, 9, 10])
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert (a.image != c.image).any()


def test_regions(checkpoint):
    plane = sample(0)
    hole = redrawn(plane, settings(checkpoint, region="hole"))
    np.testing.assert_array_equal(hole, plane.filled)
    seam = redrawn(plane, settings(checkpoint, region="seam", band=0.05))
    assert seam[8:12, 20].all()  # two pixels on either side of the paste's upper edge, row 10
    assert not seam[[7, 12], 20].any()
    untouched = Recombined(plane.image, plane.masks)
    painter = Inpainter(settings(checkpoint), TAXONOMY)
    assert painter.redraw([untouched], [["mouth"]], [0])[0] is untouched


def test_prompts_name_the_segments(checkpoint, monkeypatch):
    painter = Inpainter(settings(checkpoint, prompt="a face with {segments}"), TAXONOMY)
    seen = []
    draw = painter._draw
    monkeypatch.setattr(painter, "_draw", lambda tasks: seen.extend(tasks) or draw(tasks))
    painter.redraw([sample(0)], [["mouth"]], [0])
    assert seen[0].prompt == "a face with u lip, l lip"


def test_checkpoints_that_cannot_inpaint_are_refused_at_once(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        find_checkpoint("./nowhere", tmp_path)
    with pytest.raises(CheckpointError, match=r"no readable model_index\.json"):
        find_checkpoint(".", tmp_path)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    with pytest.raises(CheckpointError, match="DDPMPipeline cannot inpaint"):
        find_checkpoint(".", tmp_path)
    index = json.loads((checkpoint / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").touch()
    with pytest.raises(CheckpointError, match="safetensors"):
        find_checkpoint(".", tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match="cannot load"):
        Inpainter(InpaintSettings(checkpoint="."), TAXONOMY, tmp_path)
    assert find_checkpoint("owner/name", tmp_path) == "owner/name"
    assert find_checkpoint(str(checkpoint)) == str(checkpoint)


def test_relative_folders_start_at_the_recipe(checkpoint):
    assert find_checkpoint(checkpoint.name, checkpoint.parent) == str(checkpoint)
    painter = Inpainter(
        InpaintSettings(checkpoint=checkpoint.name),
        TAXONOMY,
        checkpoint.parent,
        torch.device("cpu"),
    )
    assert painter._pipeline.unet.dtype == torch.float32
