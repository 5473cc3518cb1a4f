"""Captions are those of the library, and what they name becomes words."""

import numpy as np
import pytest
import tiny_captioners
import torch
from transformers import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    CLIPVisionConfig,
    CLIPVisionModel,
    GitForCausalLM,
    VisionEncoderDecoderModel,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from heml.compute.checkpoints import CheckpointError
from heml.segmentation.prompting.captioner import load_captioner
from pipelines.recipe.draft.caption_words import CaptionWord, caption_words

FAMILIES = {
    "blip": (tiny_captioners.blip, BlipForConditionalGeneration, BlipImageProcessorPil),
    "git": (tiny_captioners.git, GitForCausalLM, CLIPImageProcessorPil),
    "encoder_decoder": (
        tiny_captioners.encoder_decoder,
        VisionEncoderDecoderModel,
        ViTImageProcessorPil,
    ),
}


def pictures(count):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (30 + n, 50 - n, 3), np.uint8) for n in range(count)]


@pytest.fixture(params=FAMILIES)
def family(request, tmp_path):
    torch.manual_seed(1)
    make, model, pixels = FAMILIES[request.param]
    return make(tmp_path), model, pixels


def test_captions_are_those_of_the_library(family):
    folder, model, pixels = family
    captioner = load_captioner(str(folder), folder.parent, "cpu")
    assert (captioner.name, captioner.licence) == (folder.name, "apache-2.0")
    images = pictures(10)
    found = list(captioner.captions(images))
    network, processor = model.from_pretrained(folder).eval(), pixels.from_pretrained(folder)
    words = tiny_captioners.tokenizer()
    expected = []
    for image in images:
        inputs = processor(images=image, return_tensors="pt")["pixel_values"]
        tokens = network.generate(pixel_values=inputs, max_new_tokens=32, do_sample=False)
        expected.append(words.decode(tokens[0], skip_special_tokens=True))
    assert found == expected
    assert len(set(found)) > 1


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    config = CLIPVisionConfig(**tiny_captioners.PIXELS)
    CLIPVisionModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="'clip_vision_model' writes no captions; name one"):
        load_captioner(str(tmp_path), tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"there is no config\.json"):
        load_captioner(str(tmp_path), tmp_path)


def test_a_network_of_the_family_for_another_task_is_refused(tmp_path):
    torch.manual_seed(1)
    tiny_captioners.blip(tmp_path)
    config = BlipForConditionalGeneration.from_pretrained(tmp_path).config
    BlipForImageTextRetrieval(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights .* made for another task"):
        load_captioner(str(tmp_path), tmp_path)


def test_weights_that_can_run_code_are_refused(family):
    folder = family[0]
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin\) are no safetensors"):
        load_captioner(str(folder), folder)


def test_frequent_ends_of_runs_are_words():
    captions = [
        "a small dog sitting on a green sofa",
        "two dogs are lying on the grass.",
        "a close up of a dog with a red collar",
        "a white dog running through tall grass near a building",
        "a black and white cat looking at the camera, behind a building",
        "a cat that is very cute",
    ]
    found = caption_words(captions, [None] * 6)
    assert found == [
        CaptionWord("dog", 4, False),
        CaptionWord("building", 2, False),
        CaptionWord("cat", 2, False),
        CaptionWord("grass", 2, False),
    ]
    assert caption_words(["a photo of a"] * 5, [None] * 5) == []
    assert caption_words([], []) == []


def test_plurals_are_the_same_word_where_both_occur():
    captions = ["two buses", "a bus", "three berries", "a berry", "red glasses", "blue glasses"]
    found = {word.word: word.captions for word in caption_words(captions, [None] * 6)}
    assert found == {"bus": 2, "berry": 2, "glasses": 2}


def test_words_of_one_label_value_are_of_its_things():
    captions = ["a sparrow on a branch"] * 6 + ["a gull on a branch"] * 5 + ["a gull"]
    found = caption_words(captions, ["0"] * 6 + ["1"] * 6)
    assert {word.word: word.of_label for word in found} == {
        "branch": False,
        "gull": True,
        "sparrow": True,
    }


def test_at_most_eight_words_each_in_a_twentieth_of_the_captions():
    things = [f"thing{'abcdefghijkl'[n]}" for n in range(12)]
    captions = [f"a {thing} and a lamp" for thing in things for _ in range(5)]
    found = caption_words(captions, [None] * 60)
    assert len(found) == 8
    assert found[0] == CaptionWord("lamp", 60, False)
    assert caption_words([*captions, "a rare", "a rare"], [None] * 62)[1].captions == 5
