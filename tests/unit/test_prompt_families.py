"""Each family that takes words gives what the library's own processor and post-processing give.

Weights are random and tiny: what is compared is code, not quality.
"""

import json
import shutil

import numpy as np
import pytest
import tiny_prompted
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate
from transformers import (
    AutoModelForZeroShotObjectDetection,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    GroundingDinoProcessor,
    Owlv2Processor,
    OwlViTProcessor,
    Sam2Model,
    SamModel,
    SamProcessor,
)
from transformers.models.sam3.modeling_sam3 import Sam3Model

from heml.segmentation.prompting.checkpoint import find_prompt_checkpoint
from heml.segmentation.prompting.families.clipseg import ClipSeg
from heml.segmentation.prompting.families.grounding_dino import GroundingDino
from heml.segmentation.prompting.families.owlv2 import Owl
from heml.segmentation.prompting.families.sam3 import Sam3
from heml.segmentation.prompting.maskers.sam import Sam
from heml.segmentation.prompting.maskers.sam2 import Sam2

PROMPTS = ["bird", "beak of the bird", "water"]
CPU = torch.device("cpu")
SIZES = [(40, 70), (90, 33), (5, 7), (40, 70)]
IMAGES = [np.random.default_rng(n).integers(0, 256, (*s, 3), np.uint8) for n, s in enumerate(SIZES)]
CORNERS = torch.tensor([[2.0, 3.0, 30.0, 38.0], [0.0, 0.0, 69.0, 39.0], [10.5, 1.0, 20.0, 9.0]])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the checkpoint of a family, made when it is first asked for."""
    made = {}

    def of(family):
        if family not in made:
            torch.manual_seed(0)
            made[family] = getattr(tiny_prompted, family)(tmp_path_factory.mktemp(family))
        return made[family]

    return of


def loaded(network, folder):
    return network(find_prompt_checkpoint(str(folder), folder), CPU)


def scores(finder, images, threshold):
    found = finder.find(images, PROMPTS, threshold)
    return {(each.image, each.prompt): each.scores for each in found}


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_clipseg(place):
    folder = place("clipseg")
    mine = loaded(ClipSeg, folder)
    found = scores(mine, IMAGES, 0.5)
    processor = CLIPSegProcessor(mine._pixels, mine._tokenizer)
    model = CLIPSegForImageSegmentation.from_pretrained(folder)
    for number, image in enumerate(IMAGES):
        inputs = processor(
            text=PROMPTS, images=[image] * len(PROMPTS), padding=True, return_tensors="pt"
        )
        logits = model(**inputs).logits
        expected = interpolate(
            logits.sigmoid()[:, None], size=image.shape[:2], mode="bilinear", align_corners=False
        )
        for prompt in range(len(PROMPTS)):
            close(found[number, prompt], expected[prompt, 0])


@pytest.mark.parametrize(
    ("family", "threshold"), [("grounding_dino", 0.4), ("mm_grounding_dino", 0.001)]
)
@torch.inference_mode()
def test_grounding_dino(place, family, threshold):
    folder = place(family)
    mine = loaded(GroundingDino, folder)
    found = mine.boxes(IMAGES, PROMPTS, threshold)
    processor = GroundingDinoProcessor(mine._pixels, mine._tokenizer)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    assert any(len(boxes.scores) for boxes in found)
    for image, boxes in zip(IMAGES, found, strict=True):
        inputs = processor(images=image, text=[PROMPTS], return_tensors="pt")
        outputs = model(**inputs)
        (all_boxes,) = processor.post_process_grounded_object_detection(
            outputs, threshold=-1, target_sizes=[image.shape[:2]]
        )
        # [CLS] bird . beak of the bird . water . [SEP]
        probabilities = outputs.logits[0].sigmoid()
        of = torch.stack(
            [probabilities[:, places].amax(1) for places in ([1], [3, 4, 5, 6], [8])], 1
        )
        queries, prompts = (of > threshold).nonzero(as_tuple=True)
        close(boxes.corners, all_boxes["boxes"][queries])
        close(boxes.scores, of[queries, prompts])
        assert boxes.prompts.tolist() == prompts.tolist()


@pytest.mark.parametrize("family", ["owlv2", "owlvit"])
@torch.inference_mode()
def test_owls(place, family):
    folder = place(family)
    mine = loaded(Owl, folder)
    found = mine.boxes(IMAGES, PROMPTS, 0.3)
    kind = {"owlv2": Owlv2Processor, "owlvit": OwlViTProcessor}[family]
    processor = kind(mine._pixels, mine._tokenizer)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    assert any(len(boxes.scores) for boxes in found)
    for image, boxes in zip(IMAGES, found, strict=True):
        inputs = processor(text=[PROMPTS], images=[image], return_tensors="pt")
        (expected,) = processor.post_process_grounded_object_detection(
            model(**inputs), threshold=0.3, target_sizes=[image.shape[:2]]
        )
        close(boxes.corners, expected["boxes"])
        close(boxes.scores, expected["scores"])
        assert boxes.prompts.tolist() == expected["labels"].tolist()


@torch.inference_mode()
def test_sam(place):
    folder = place("sam")
    mine = loaded(Sam, folder)
    found = torch.cat(list(mine.masks(IMAGES[0], CORNERS)))
    processor = SamProcessor(mine._pixels)
    inputs = processor(IMAGES[0], input_boxes=[CORNERS.tolist()], return_tensors="pt")
    model = SamModel.from_pretrained(folder)
    made = model(
        pixel_values=inputs["pixel_values"],
        input_boxes=inputs["input_boxes"].float(),
        multimask_output=False,
    )
    (expected,) = processor.post_process_masks(
        made.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    assert found.shape == (3, 40, 70)
    assert 0 < found.float().mean() < 1
    assert (found == expected[:, 0]).all()


@torch.inference_mode()
def test_sam2(place):
    folder = place("sam2")
    mine = loaded(Sam2, folder)
    found = torch.cat(list(mine.masks(IMAGES[0], CORNERS)))
    pixels = mine._pixels(images=[IMAGES[0]], return_tensors="pt")["pixel_values"]
    boxes = CORNERS / torch.tensor([70, 40, 70, 40]) * 64
    made = Sam2Model.from_pretrained(folder)(
        pixel_values=pixels, input_boxes=boxes[None], multimask_output=False
    )
    expected = interpolate(made.pred_masks[0], (40, 70), mode="bilinear", align_corners=False) > 0
    assert 0 < found.float().mean() < 1
    assert (found == expected[:, 0]).all()


@torch.inference_mode()
def test_sam3(place):
    folder = place("sam3")
    mine = loaded(Sam3, folder)
    found = scores(mine, IMAGES, 0.2)
    model = Sam3Model.from_pretrained(folder)
    words = mine._tokenizer(PROMPTS, padding="max_length", max_length=32, return_tensors="pt")
    assert found
    for number, image in enumerate(IMAGES):
        pixels = mine._pixels(images=[image], return_tensors="pt")["pixel_values"]
        for prompt in range(len(PROMPTS)):
            outputs = model(
                pixel_values=pixels,
                input_ids=words["input_ids"][prompt : prompt + 1],
                attention_mask=words["attention_mask"][prompt : prompt + 1],
            )
            likely = outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid()
            kept = likely[0] > 0.2
            large = interpolate(
                outputs.pred_masks.sigmoid(), image.shape[:2], mode="bilinear", align_corners=False
            )
            expected = ((large[0, kept] > 0.5) * likely[0, kept, None, None]).amax(0)
            close(found[number, prompt], expected)


@torch.inference_mode()
def test_sam3_and_sam2_prepare_images_as_their_own_processors_do(place):
    pytest.importorskip("torchvision", exc_type=ImportError)
    from transformers import Sam2ImageProcessor, Sam2Processor, Sam3ImageProcessor, Sam3Processor

    second = loaded(Sam2, place("sam2"))
    processor = Sam2Processor(Sam2ImageProcessor.from_pretrained(place("sam2")))
    inputs = processor(IMAGES[0], input_boxes=[CORNERS.tolist()], return_tensors="pt")
    pixels = second._pixels(images=[IMAGES[0]], return_tensors="pt")["pixel_values"]
    assert (inputs["pixel_values"] - pixels).abs().max() < 0.02  # one step of 8 bits
    model = Sam2Model.from_pretrained(place("sam2"))
    made = model(pixels, input_boxes=inputs["input_boxes"], multimask_output=False)
    (expected,) = processor.post_process_masks(made.pred_masks, inputs["original_sizes"])
    assert (torch.cat(list(second.masks(IMAGES[0], CORNERS))) == expected[:, 0]).all()

    third = loaded(Sam3, place("sam3"))
    processor = Sam3Processor(Sam3ImageProcessor.from_pretrained(place("sam3")), third._tokenizer)
    model = Sam3Model.from_pretrained(place("sam3"))
    for number, prompt in enumerate(PROMPTS):
        inputs = processor(images=IMAGES[0], text=prompt, return_tensors="pt")
        pixels = third._pixels(images=[IMAGES[0]], return_tensors="pt")["pixel_values"]
        assert (inputs["pixel_values"] - pixels).abs().max() < 0.02
        outputs = model(
            pixel_values=pixels,
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
        )
        (result,) = processor.post_process_instance_segmentation(
            outputs, threshold=0.2, target_sizes=[IMAGES[0].shape[:2]]
        )
        expected = (result["masks"] * result["scores"][:, None, None]).amax(0)
        close(scores(third, IMAGES[:1], 0.2)[0, number], expected)


@pytest.mark.parametrize("family", ["clipseg", "sam3"])
def test_an_image_gets_the_same_alone_and_beside_others(place, family):
    network = {"clipseg": ClipSeg, "sam3": Sam3}[family]
    finder = loaded(network, place(family))
    together = scores(finder, IMAGES, 0.2)
    for number, image in enumerate(IMAGES):
        for (_, prompt), alone in scores(finder, [image], 0.2).items():
            close(together[number, prompt], alone)


@torch.inference_mode()
def test_sam3_and_sam2_are_published_as_parts_of_video_models(place, tmp_path):
    """facebook/sam3 and facebook/sam2.1-* have a video model's config and more weights."""
    folder = tmp_path / "sam3"
    shutil.copytree(place("sam3"), folder)
    weights = load_file(folder / "model.safetensors")
    renamed = {f"detector_model.{name}": tensor for name, tensor in weights.items()}
    save_file(
        renamed | {"tracker_model.a": torch.zeros(2)},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = json.loads((folder / "config.json").read_text())
    video = {"model_type": "sam3_video", "detector_config": config}
    (folder / "config.json").write_text(json.dumps(video))
    part, whole = loaded(Sam3, folder), loaded(Sam3, place("sam3"))
    expected = scores(whole, IMAGES[:1], 0.1)
    assert expected
    for key, found in scores(part, IMAGES[:1], 0.1).items():
        close(found, expected[key])

    folder = tmp_path / "sam2"
    shutil.copytree(place("sam2"), folder)
    pixels = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": pixels}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "sam2_video", "num_maskmem": 7})
    )
    found = torch.cat(list(loaded(Sam2, folder).masks(IMAGES[0], CORNERS)))
    expected = torch.cat(list(loaded(Sam2, place("sam2")).masks(IMAGES[0], CORNERS)))
    assert (found == expected).all()


@pytest.mark.parametrize("family", ["clipseg", "sam3", "grounding_dino", "owlv2", "sam", "sam2"])
def test_networks_work_in_half_precision(place, family, monkeypatch):
    """As on CUDA: bfloat16 within, float32 in what comes out, and nearly the same."""
    network = {
        "clipseg": ClipSeg,
        "sam3": Sam3,
        "grounding_dino": GroundingDino,
        "owlv2": Owl,
        "sam": Sam,
        "sam2": Sam2,
    }[family]

    def result():
        mine = loaded(network, place(family))
        if family in ("sam", "sam2"):
            return torch.cat(list(mine.masks(IMAGES[0], CORNERS))).float()
        if family in ("grounding_dino", "owlv2"):
            (boxes,) = mine.boxes(IMAGES[:1], PROMPTS, 0.0)
            assert {boxes.corners.dtype, boxes.scores.dtype} == {torch.float32}
            return boxes.scores.sort(descending=True).values[:3]
        found = scores(mine, IMAGES[:1], 0.0)
        assert {each.dtype for each in found.values()} == {torch.float32}
        return torch.stack([found[key] for key in sorted(found)]).mean((1, 2))

    exact = result()
    monkeypatch.setattr(
        f"{network.__module__}.mixed_precision",
        lambda device: torch.autocast("cpu", torch.bfloat16),
    )
    half = result()
    assert half.dtype == torch.float32
    assert (half - exact).abs().mean() < 0.1
