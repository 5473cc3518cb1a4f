"""Segments to annotation tools and back: forms by hand, round trips, and refusals."""

import json

import numpy as np
import pytest

from heml.segmentation.exchange.brush_rle import decode_brush, encode_brush
from heml.segmentation.exchange.form import FORMS, Annotated, FormError, form_of, polygon_mask


def blob(seed, height=9, width=13):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.3
    mask[2:6, 3:9] = True
    return mask


IMAGES = [
    Annotated("a b.png", (9, 13), [("hair", blob(0)), ("hat & cap", blob(1))]),
    Annotated("c.png", (5, 300), [("hair", blob(2, 5, 300))]),
    Annotated("none.png", (4, 4), []),
]
NAMES = ["hair", "hat & cap"]


def test_brush_strokes_by_hand():
    """Two pixels off, two on: 8 values 0 and 8 values 255."""
    mask = np.array([[0, 0, 1, 1]], bool)
    bits = (
        f"{16:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
        + "1" + "00" + "111" + "00000000"
        + "1" + "00" + "111" + "11111111"
    )  # fmt: skip
    bits += "0" * (-len(bits) % 8)
    expected = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert encode_brush(mask) == expected
    assert (decode_brush(expected, (1, 4)) == mask).all()


def test_brush_strokes_of_single_values_are_read():
    """The tool itself writes runs of different values, one by one."""
    header = f"{4:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    bits = header + "0" + "00" + "011" + "".join(f"{v:08b}" for v in (9, 8, 7, 200))
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert decode_brush(rle, (1, 1)).tolist() == [[True]]


@pytest.mark.parametrize("fill", [0, 1, 2])
def test_long_runs_come_back(fill):
    mask = np.zeros((300, 400), bool) if fill != 1 else np.ones((300, 400), bool)
    if fill == 2:
        mask[100:, :] = True
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()


def test_damaged_brush_strokes_are_refused():
    rle = encode_brush(blob(0))
    with pytest.raises(FormError, match="468 values, an image 13×8"):
        decode_brush(rle, (8, 13))
    for damaged in (rle[: len(rle) // 2], [], [300, 1], "x"):
        with pytest.raises(FormError, match="no run lengths"):
            decode_brush(damaged, (9, 13))


@pytest.mark.parametrize("name", FORMS.builtin_names())
def test_what_goes_out_comes_back(name, tmp_path):
    form = FORMS[name]
    path = form.write(iter(IMAGES), NAMES, tmp_path)
    if name == "label_studio":
        tasks = json.loads(path.read_text())
        assert "hat &amp; cap" in (tmp_path / "interface.xml").read_text()
        for task in tasks:  # what a person accepts
            task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
        path.write_text(json.dumps(tasks))
    assert form_of(path).name == name
    found = list(form.read(path))
    assert len(found) == 3
    for image, expected in zip(found, IMAGES, strict=True):
        assert image.file_name.endswith(expected.file_name)
        assert [label for label, _ in image.masks] == [label for label, _ in expected.masks]
        for (_, mask), (_, wanted) in zip(image.masks, expected.masks, strict=True):
            assert (mask == wanted).all()


def test_polygons_are_filled():
    mask = polygon_mask([(2, 1), (6, 1), (6, 4), (2, 4)], (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    assert (mask == expected).all()
    with pytest.raises(FormError, match="2 points"):
        polygon_mask([(0, 0), (1, 1)], (4, 4))


def test_polygons_of_both_tools_are_read(tmp_path):
    region = {
        "type": "polygonlabels",
        "original_width": 8,
        "original_height": 6,
        "value": {
            "points": [[25, 100 / 6], [75, 100 / 6], [75, 400 / 6], [25, 400 / 6]],
            "polygonlabels": ["hair"],
        },
    }
    old = {"result": [], "updated_at": "2024-01-01"}
    cancelled = {"result": [], "was_cancelled": True, "updated_at": "2026-01-01"}
    new = {"result": [region, {"type": "choices", "value": {}}], "updated_at": "2025-01-01"}
    tasks = [
        {"data": {"image": "/data/upload/1/a.png"}, "annotations": [new, old, cancelled]},
        {"data": {"image": "b.png"}, "annotations": []},
    ]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    (found,) = form_of(path).read(path)
    expected = polygon_mask([(2, 1), (6, 1), (6, 4), (2, 4)], (6, 8))
    assert (found.masks[0][1] == expected).all()
    path = tmp_path / "a.xml"
    path.write_text(
        '<annotations><image id="0" name="x/a.png" width="8" height="6">'
        '<polygon label="hair" points="2,1;6,1;6,4;2,4" z_order="1"/>'
        '<mask label="hat" rle="1, 2, 1" left="1" top="0" width="2" height="2" z_order="0"/>'
        "</image></annotations>"
    )
    (found,) = form_of(path).read(path)
    assert [name for name, _ in found.masks] == ["hat", "hair"]  # from the back to the front
    assert found.masks[0][1][:2, :4].tolist() == [
        [False, False, True, False],
        [False, True, False, False],
    ]
    assert (found.masks[1][1] == expected).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", "[{'a'", "is not JSON|of no known form"),
        ("x.json", '[{"data": {"image": 1}}]', None),
        ("x.json", '{"images": [], "annotations": [{}], "categories": []}', "no COCO file"),
        ("x.xml", "<annotations><image", "is not XML"),
        ("x.xml", '<annotations><image name="a"/></annotations>', "image a: 'height'"),
        ("x.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares entities"),
        (
            "x.xml",
            '<annotations><image name="a" width="4" height="4"><mask label="l" rle="1,x" left="0" '
            'top="0" width="2" height="2"/></image></annotations>',
            "image a: invalid literal",
        ),
        (
            "x.xml",
            '<annotations><image name="a" width="4" height="4"><mask label="l" rle="1,2" left="0" '
            'top="0" width="2" height="2"/></image></annotations>',
            "do not fill its box",
        ),
        ("x.txt", "hello", "of no known form"),
    ],
)
def test_odd_files_are_refused_or_empty(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    if message is None:
        assert list(form_of(path).read(path)) == []
        return
    with pytest.raises(FormError, match=message):
        list(form_of(path).read(path))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FormError, match="there is no file"):
        form_of(tmp_path / "x.json")
