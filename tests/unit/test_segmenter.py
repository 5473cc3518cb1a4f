"""Checkpoints as segmenters: loading, class names, sizes, refusals; mean IoU by hand."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    BeitConfig,
    BeitForSemanticSegmentation,
    DPTConfig,
    DPTForSemanticSegmentation,
    MobileViTConfig,
    MobileViTForSemanticSegmentation,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)
from transformers.models.beit.image_processing_pil_beit import BeitImageProcessorPil
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from transformers.models.mobilevit.image_processing_pil_mobilevit import (
    MobileViTImageProcessorPil,
)
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from heml.compute.checkpoints import CheckpointError
from heml.compute.device import choose_device
from heml.segmentation.class_map import leaf_of_classes
from heml.segmentation.iou import confusion, iou, mean_iou
from heml.segmentation.network import NetworkSegmenter, load_segmenter
from heml.taxonomy import Taxonomy, TaxonomyError

SCENE = Taxonomy(
    "scene",
    {"sky": ("sky",), "building": ("wall", "building"), "road": ("road", "path")},
    {"scene": ("sky", "building", "road")},
    ignored=("void",),
)
LABELS = {0: "wall", 1: "building;edifice", 2: "Sky", 3: "void"}


def segformer():
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=16,
            id2label=LABELS,
        )
    ), SegformerImageProcessorPil(size={"height": 64, "width": 64})


def beit():
    return BeitForSemanticSegmentation(
        BeitConfig(
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=64,
            out_indices=[1, 2, 3, 4],
            pool_scales=(1, 2),
            use_auxiliary_head=False,
            id2label=LABELS,
        )
    ), BeitImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)


def mobilevit():
    return MobileViTForSemanticSegmentation(
        MobileViTConfig(
            image_size=64,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
            num_attention_heads=2,
            aspp_out_channels=16,
            atrous_rates=[2, 4, 6],
            id2label=LABELS,
        )
    ), MobileViTImageProcessorPil(size={"shortest_edge": 64}, do_center_crop=False)


def upernet():
    backbone = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=backbone,
            hidden_size=16,
            pool_scales=[1, 2],
            use_auxiliary_head=False,
            id2label=LABELS,
        )
    ), SegformerImageProcessorPil(size={"height": 64, "width": 64})


def dpt():
    return DPTForSemanticSegmentation(
        DPTConfig(
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=64,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=16,
            use_auxiliary_head=False,
            id2label=LABELS,
        )
    ), DPTImageProcessorPil(size={"height": 64, "width": 64})


@pytest.fixture(params=[segformer, upernet, beit, dpt, mobilevit], ids=lambda make: make.__name__)
def checkpoint(request, tmp_path):
    """A tiny model with random weights, saved as its library saves any."""
    torch.manual_seed(0)
    model, processor = request.param()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("---\nlicence: x\nlicense: cc-by-nc-4.0\n---\n")
    return tmp_path


def load(folder, **changes):
    options = {"overrides": {}, "licence": None, "allow_pickle": False, "device": "cpu"} | changes
    return load_segmenter(str(folder), SCENE, **options)


def test_any_architecture_gives_leaves_at_full_size(checkpoint):
    segmenter = load(checkpoint)
    assert segmenter.licence == "cc-by-nc-4.0"
    assert segmenter.name == checkpoint.name
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 70), (90, 33), (40, 70))]
    together = segmenter.predict(images)
    for image, prediction in zip(images, together, strict=True):
        assert prediction.ids.shape == image.shape[:2]
        present = set(np.unique(prediction.ids).tolist())
        assert present <= {0, 1, 2, 255}
        assert set(prediction.confidence) == present - {255}
        assert all(0 < value <= 1 for value in prediction.confidence.values())
        (alone,) = segmenter.predict([image])
        assert (alone.ids == prediction.ids).mean() > 0.99  # sums in another order


def test_probabilities_of_a_leafs_classes_add_up():
    """.4 wall and .3 building make a building, though sky has more than the second: .3."""

    class Fixed(torch.nn.Module):
        def forward(self, pixel_values):
            shares = torch.tensor([0.35, 0.25, 0.4, 0.0]).clamp(min=1e-9)
            logits = shares.log()[None, :, None, None].expand(len(pixel_values), 4, 8, 8)
            return type("Output", (), {"logits": logits})

    segmenter = NetworkSegmenter(
        Fixed(),
        SegformerImageProcessorPil(size={"height": 32, "width": 32}),
        leaf_of_classes(LABELS, SCENE, {}),
        list(SCENE.leaves),
        "fixed",
        None,
        torch.device("cpu"),
    )
    (prediction,) = segmenter.predict([np.zeros((2000, 1100, 3), np.uint8)])
    assert prediction.ids.shape == (2000, 1100)
    assert (prediction.ids == 1).all()
    assert prediction.confidence == {1: pytest.approx(0.6, abs=1e-5)}


def test_class_names_find_their_leaf():
    assert leaf_of_classes(LABELS, SCENE, {}) == {0: "building", 1: "building", 2: "sky", 3: None}
    odd = {0: "asphalt", 1: "sky", 2: "poster"}
    found = leaf_of_classes(odd, SCENE, {"asphalt": "path", "poster": None})
    assert found == {0: "road", 1: "sky", 2: None}


@pytest.mark.parametrize(
    ("labels", "overrides", "message"),
    [
        ({0: "sky", 1: "asphalt", 2: "poster"}, {}, "'asphalt', 'poster'.*segmentation.classes"),
        ({0: "sky"}, {"skye": None}, "no class 'skye'; did you mean 'sky'"),
        ({0: "sky"}, {"sky": "rode"}, "no 'rode'; did you mean 'road'"),
        ({0: "void"}, {}, "no class of the checkpoint"),
    ],
)
def test_unknown_class_names_are_refused(labels, overrides, message):
    with pytest.raises(TaxonomyError, match=message):
        leaf_of_classes(labels, SCENE, overrides)


def test_weights_that_can_run_code_are_refused(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin.*safetensors.*allow_pickle"):
        load(checkpoint)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="semantic-segmentation"):
        load(tmp_path)


def test_code_of_a_checkpoint_is_never_run(tmp_path):
    marker = tmp_path / "ran"
    folder = tmp_path / "weights"
    folder.mkdir()
    classes = "".join(
        f"class {name}:\n    def __init__(self, *a, **k): pass\n" for name in ("Config", "Model")
    )
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n{classes}")
    auto = {"AutoConfig": "evil.Config", "AutoModelForSemanticSegmentation": "evil.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto}))
    processor = {"image_processor_type": "Processor", "auto_map": {"AutoImageProcessor": "evil.P"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(CheckpointError, match=str(folder)):
        load(folder)
    SegformerImageProcessorPil().save_pretrained(folder)
    with pytest.raises(CheckpointError, match="code of its own, which HEML never runs"):
        load(folder)
    assert not marker.exists()


def test_a_device_that_is_not_there_is_refused():
    assert choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no cuda"):
            choose_device("cuda")


# --- intersection over union --------------------------------------------------------------------


def test_iou_by_hand():
    annotated = np.array([[0, 0, 1], [1, 255, 1]], np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 255]], np.uint8)
    matrix = confusion(annotated, predicted, 3)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(iou(matrix), [1 / 2, 2 / 4, np.nan])


def test_mean_iou_has_an_interval_over_images():
    good = confusion(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), 2)
    bad = confusion(np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8), 2)
    same = mean_iou(np.stack([good] * 5), ["a", "b"], seed=0)
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)
    assert same.by_class == {"a": 1.0, "b": None}
    mixed = mean_iou(np.stack([good] * 9 + [bad]), ["a", "b"], seed=0)
    assert mixed.value == pytest.approx(0.45)  # a: 9/10, b: 0/10
    assert mixed.low < mixed.value < mixed.high
    with pytest.raises(ValueError, match="at least one image"):
        mean_iou(np.zeros((0, 2, 3), int), ["a", "b"], seed=0)


def test_a_processor_that_crops_sees_the_whole_image(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model, _ = mobilevit()
    model.save_pretrained(tmp_path)
    MobileViTImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 32, "width": 32}, do_center_crop=True
    ).save_pretrained(tmp_path)
    segmenter = load(tmp_path)
    seen = []
    real = segmenter._probabilities
    monkeypatch.setattr(segmenter, "_probabilities", lambda x: seen.append(x) or real(x))
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :16] = 255  # what a crop of the center would not see
    (prediction,) = segmenter.predict([image])
    assert prediction.ids.shape == (64, 96)
    (pixels,) = seen
    assert pixels.shape[2:] == (64, 96)
    assert (pixels[0, 0, :, :14] > 0.9).all()
    assert (pixels[0, 0, :, 20:] < 0.1).all()


def test_weights_stay_as_they_are_whatever_the_device(checkpoint):
    segmenter = load(checkpoint)
    assert {p.dtype for p in segmenter._model.parameters()} == {torch.float32}
