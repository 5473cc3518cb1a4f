"""Public datasets in their original layouts, on small trees that the tests write."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import png
from PIL import Image
from pydantic import TypeAdapter

from heml.compute.progress import silent
from heml.images.images_table import decode_mask, iterate_images
from heml.sources.ingest import ingest, quarantined
from heml.sources.layout import AnySource, open_source
from heml.sources.raw import RawRecord, SourceError
from heml.taxonomy import Taxonomy, builtin
from pipelines.cli.app import main
from pipelines.recipe.model import load_recipe

_PARTS = (
    "skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat ear_r "
    "neck_l neck cloth"
)
PARTS = _PARTS.split()


def opened(**content):
    """The reader of a source as a recipe writes it."""
    return open_source(TypeAdapter(AnySource).validate_python(content), Path("/"))


def records(**content) -> list[RawRecord]:
    reader = opened(**content)
    reader.check()
    return list(reader.records())


def photo(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def jpeg(seed: int, width: int = 24, height: int = 16) -> bytes:
    buffer = io.BytesIO()
    photo(seed, width, height).save(buffer, "JPEG")
    return buffer.getvalue()


def put(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


# --- CelebAMask-HQ ------------------------------------------------------------------------------

#: Number of a face → its number in CelebA: around the ends of its splits.
ORIGINALS = {0: 1, 1: 162_770, 2: 162_771, 3: 182_637, 4: 182_638, 2000: 202_599, 5: 9, 6: 10}


@pytest.fixture
def celeba(tmp_path) -> Path:
    """Eight faces of 16 pixels with masks of 8."""
    root = tmp_path / "CelebAMask-HQ"
    names = ["Smiling", "Male", "Blond_Hair"]
    attributes = [str(len(ORIGINALS)), " ".join(names)]
    mapping = ["idx orig_idx orig_file"]
    for position, (number, original) in enumerate(ORIGINALS.items()):
        put(root / f"CelebA-HQ-img/{number}.jpg", jpeg(number, 16, 16))
        values = [1 if position >> bit & 1 else -1 for bit in range(3)]
        attributes.append(f"{number}.jpg  " + " ".join(f"{value:2d}" for value in values))
        mapping.append(f"{number:<11d}{original - 1:<11d}{original:06d}.jpg")
        skin, hair = np.zeros((2, 8, 8), np.uint8)
        skin[2:, :] = 255
        hair[:4, :] = 255
        for part, pixels in (("skin", skin), ("hair", hair)):
            folder = root / f"CelebAMask-HQ-mask-anno/{number // 2000}"
            # some copies of the set hold the masks in color
            shown = np.dstack([pixels] * 3) if number % 2 else pixels
            put(folder / f"{number:05d}_{part}.png", png(shown))
    put(root / "CelebAMask-HQ-attribute-anno.txt", "\n".join(attributes) + "\n")
    put(root / "CelebA-HQ-to-CelebA-mapping.txt", "\n".join(mapping) + "\n")
    return root


def faces(root: Path, **changes) -> dict[str, object]:
    content = {
        "kind": "celebamask_hq",
        "root": str(root),
        "label": "Smiling",
        "attributes": ["Male"],
    }
    return content | changes


def test_celebamask_attributes_are_columns(celeba):
    rows = records(**faces(celeba))
    assert [row.image_id for row in rows] == [str(number) for number in ORIGINALS]
    assert rows[1].columns == {"Smiling": "yes", "Male": "no", "Blond_Hair": "no"}
    assert rows[0].image == (celeba / "CelebA-HQ-img/0.jpg").read_bytes()


def test_celebamask_splits_are_those_of_celeba(celeba):
    splits = {int(row.image_id): row.split for row in records(**faces(celeba))}
    assert [splits[n] for n in (0, 1, 2, 3, 4, 2000)] == [
        *("train", "train", "validation", "validation", "test", "test")
    ]


@pytest.mark.parametrize("number", [0, 1, 2000])
def test_celebamask_parts_are_one_mask_of_the_images_size(celeba, number):
    """Hair is painted after skin, as in the dataset's own script."""
    row = next(r for r in records(**faces(celeba)) if r.image_id == str(number))
    ids = decode_mask(row.mask)
    expected = np.zeros((16, 16), np.uint8)
    expected[4:] = 1 + PARTS.index("skin")
    expected[:8] = 1 + PARTS.index("hair")
    np.testing.assert_array_equal(ids, expected)


def test_celebamask_classes_are_those_of_the_taxonomy(celeba):
    reader = opened(**faces(celeba))
    assert list(reader.classes().values()) == ["background", *PARTS]
    builtin("celebamask_hq").check_covers(reader.classes().values())


def test_celebamask_rows_that_cannot_be_used_have_reasons(celeba):
    (celeba / "CelebA-HQ-img/1.jpg").unlink()
    put(celeba / "CelebAMask-HQ-mask-anno/0/00002_nose.png", b"no image")
    put(celeba / "CelebAMask-HQ-mask-anno/0/00003_nose.png", png(np.zeros((4, 4), np.uint8)))
    for part in ("skin", "hair"):
        (celeba / f"CelebAMask-HQ-mask-anno/0/00004_{part}.png").unlink()
    with (celeba / "CelebAMask-HQ-attribute-anno.txt").open("a") as file:
        file.write("7.jpg 1 1\n")
    rows = {row.image_id: row for row in records(**faces(celeba))}
    found = {number: row.refusal.reason for number, row in rows.items() if row.refusal}
    assert found == {
        "1": "missing_file",
        "2": "mask_unreadable",
        "3": "mask_size",
        "7": "malformed_row",
    }
    assert "00002_nose.png" in rows["2"].refusal.detail
    assert rows["4"].mask is None


def test_celebamask_names_out_of_the_root_are_refused(celeba):
    put(celeba.parent / "secret.jpg", jpeg(1))
    with (celeba / "CelebAMask-HQ-attribute-anno.txt").open("a") as file:
        file.write("../../secret.jpg -1 -1 -1\n")
    row = records(**faces(celeba, split=None))[-1]
    assert row.refusal.reason == "unsafe_path"
    assert row.image is None


def test_celebamask_runs_whole(celeba, store):
    source = TypeAdapter(AnySource).validate_python(faces(celeba))
    counts = ingest(store, source, Path("/"), builtin("celebamask_hq"), True, silent).summary
    assert (counts["read"], counts["accepted"]) == (8, 8)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CelebAMask-HQ-attribute-anno.txt", "write the folder that holds CelebA-HQ-img"),
        ("CelebA-HQ-to-CelebA-mapping.txt", "set source.split: null"),
    ],
)
def test_celebamask_without_its_files_is_refused(celeba, name, words):
    (celeba / name).unlink()
    with pytest.raises(SourceError, match=name) as error:
        opened(**faces(celeba)).check()
    assert words in str(error.value)


def test_celebamask_state_follows_parts_and_attributes(celeba):
    states = [opened(**faces(celeba)).state()]

    def changed() -> bool:
        states.append(opened(**faces(celeba)).state())
        return states[-1] != states[-2]

    assert not changed()
    put(celeba / "CelebAMask-HQ-mask-anno/0/00003_nose.png", b"other")
    assert changed()
    text = (celeba / "CelebAMask-HQ-attribute-anno.txt").read_text()
    put(celeba / "CelebAMask-HQ-attribute-anno.txt", text.replace("-1  1", " 1  1", 1))
    assert changed()


# --- ATR ----------------------------------------------------------------------------------------


def clothes(number: int) -> np.ndarray:
    """Every second photo has a dress (7), every third a bag (16)."""
    ids = np.zeros((16, 24), np.uint8)
    ids[4:12, 4:12] = 7 if number % 2 else 4
    ids[12:, 20:] = 0 if number % 3 else 16
    return ids


@pytest.fixture
def atr(tmp_path) -> Path:
    for number in range(12):
        name = f"dataset10k_{number}"
        put(tmp_path / f"humanparsing/JPEGImages/{name}.jpg", jpeg(number))
        mask = Image.fromarray(clothes(number))
        mask.putpalette([value for n in range(18) for value in (n, 0, 0)])
        buffer = io.BytesIO()
        mask.save(buffer, "PNG")
        put(tmp_path / f"humanparsing/SegmentationClassAug/{name}.png", buffer.getvalue())
    return tmp_path


@pytest.fixture
def atr_parquet(tmp_path) -> Path:
    """The Hub's form: columns image and mask, one split."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": jpeg(n), "path": None} for n in range(12)]
    masks = [{"bytes": png(clothes(n)), "path": None} for n in range(12)]
    table = pa.table({"image": pa.array(images, kind), "mask": pa.array(masks, kind)})
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data/train-00000-of-00001.parquet")
    return tmp_path


CLOTHES = Taxonomy(
    "clothes",
    {
        "background": ("Background",),
        "top": ("Upper-clothes", "Dress", "Skirt", "Pants", "Belt", "Scarf"),
        "bag": ("Bag",),
    },
    {"image": ("background", "top", "bag")},
    ignored=(
        *("Hat", "Hair", "Sunglasses", "Left-shoe", "Right-shoe", "Face", "Left-leg"),
        *("Right-leg", "Left-arm", "Right-arm"),
    ),
)


@pytest.mark.parametrize("form", ["atr", "atr_parquet"])
def test_atr_labels_are_read_off_the_masks(form, request, store):
    root = request.getfixturevalue(form)
    source = TypeAdapter(AnySource).validate_python(
        {"kind": "atr", "root": str(root), "label": "has_dress", "attributes": ["has_bag"]}
    )
    counts = ingest(store, source, Path("/"), CLOTHES, True, silent).summary
    assert (counts["accepted"], counts["quarantined"]) == (12, 0)
    assert counts["classes"]["4"] == "Upper-clothes"
    (batch,) = iterate_images(store, ["label", "input.has_bag", "image_id"])
    found = {row["image_id"]: (row["label"], row["input.has_bag"]) for row in batch.to_pylist()}
    words = ("no", "yes")
    assert list(found.values()).count(("yes", "yes")) == 2
    if form == "atr":
        for number in range(12):
            expected = (words[number % 2], words[number % 3 == 0])
            assert found[f"dataset10k_{number}"] == expected


def test_atr_without_its_folders_is_refused(tmp_path):
    with pytest.raises(SourceError, match="holds JPEGImages and SegmentationClassAug"):
        opened(kind="atr", root=str(tmp_path)).check()


def test_an_unreadable_mask_is_the_reason_where_it_would_give_the_label(atr, store):
    put(atr / "humanparsing/SegmentationClassAug/dataset10k_3.png", b"no image")
    (atr / "humanparsing/SegmentationClassAug/dataset10k_4.png").unlink()
    source = TypeAdapter(AnySource).validate_python({"kind": "atr", "root": str(atr)})
    ingest(store, source, Path("/"), CLOTHES, True, silent)
    found = {row["file_name"][-5]: row["reason"] for row in quarantined(store)}
    assert found == {"3": "mask_unreadable", "4": "missing_mask"}


# --- ADE20K -------------------------------------------------------------------------------------

OBJECTS = """\
Idx\tRatio\tTrain\tVal\tStuff\tName
1\t0.1576\t11664\t1172\t1\twall
2\t0.1072\t6046\t612\t1\tbuilding, edifice
3\t0.0878\t8265\t796\t1\tsky
4\t0.0621\t9336\t917\t1\tscreen, silver screen
5\t0.0480\t6678\t641\t0\tscreen, CRT screen
"""


@pytest.fixture
def ade20k(tmp_path) -> Path:
    scenes = []
    for folder, word, count in (("training", "train", 8), ("validation", "val", 4)):
        for number in range(1, count + 1):
            name = f"ADE_{word}_{number:08d}"
            put(tmp_path / f"images/{folder}/{name}.jpg", jpeg(number + 100 * len(word)))
            ids = np.full((16, 24), number % 4, np.uint8)
            put(tmp_path / f"annotations/{folder}/{name}.png", png(ids))
            scenes.append(f"{name} {'street' if number % 2 else 'airport_terminal'}")
    put(tmp_path / "sceneCategories.txt", "\n".join(scenes) + "\n")
    put(tmp_path / "objectInfo150.txt", OBJECTS)
    return tmp_path


@pytest.mark.parametrize(
    ("layout", "settings"),
    [
        ("celeba", {"kind": "celebamask_hq", "label": "Smiling"}),
        ("atr", {"kind": "atr", "label": "has_dress"}),
        ("atr_parquet", {"kind": "atr", "label": "has_dress"}),
        ("ade20k", {"kind": "ade20k", "label": "scene"}),
    ],
)
def test_files_that_no_layout_reads_are_named(layout, settings, request):
    root = request.getfixturevalue(layout)
    if layout == "celeba":
        root = root.parent / "CelebAMask-HQ"
    reader = opened(root=str(root), **settings)
    assert list(reader.skipped()) == []
    put(root / "more/extra.jpg", jpeg(0))
    put(root / "more/notes.txt", "read me")
    assert dict(reader.skipped()) == {
        "more/extra.jpg": "an image that no row names",
        "more/notes.txt": "no part of this layout",
    }


def test_ade20k_scenes_and_splits(ade20k):
    rows = records(kind="ade20k", root=str(ade20k), attributes=["has_sky"])
    assert len(rows) == 12
    assert rows[0].columns == {"scene": "street", "has_sky": None}
    assert [row.split for row in rows] == ["train"] * 8 + ["validation"] * 4
    assert rows[8].image_id == "ADE_val_00000001"
    assert decode_mask(rows[1].mask).tolist() == [[2] * 24] * 16
    rows = records(
        kind="ade20k", root=str(ade20k), splits={"training": "train", "validation": "test"}
    )
    assert rows[-1].split == "test"


def test_ade20k_objects_have_their_first_name_unless_shared(ade20k):
    assert opened(kind="ade20k", root=str(ade20k)).classes() == {
        0: "other",
        1: "wall",
        2: "building",
        3: "sky",
        4: "screen, silver screen",
        5: "screen, CRT screen",
    }


def test_ade20k_objects_of_the_official_repository_have_no_column_stuff(ade20k):
    def objects():
        return opened(kind="ade20k", root=str(ade20k), label="scene").classes()

    six = objects()
    lines = [line.split("\t") for line in OBJECTS.splitlines()]
    put(
        ade20k / "objectInfo150.txt",
        "".join("\t".join([*line[:4], line[5]]) + "\n" for line in lines),
    )
    assert objects() == six
    put(ade20k / "objectInfo150.txt", OBJECTS + "6\t0.1\tclock\n")
    with pytest.raises(SourceError, match=r"line 7 is '6\t0\.1\tclock'"):
        objects()


def test_ade20k_images_without_scene_or_mask_are_accounted_for(ade20k):
    put(ade20k / "images/training/ADE_train_00000009.jpg", jpeg(9))
    rows = records(kind="ade20k", root=str(ade20k))
    assert rows[8].columns["scene"] is None
    assert rows[8].refusal.reason == "missing_mask"


def test_ade20k_of_another_layout_is_refused(tmp_path):
    with pytest.raises(SourceError, match="images/training"):
        opened(kind="ade20k", root=str(tmp_path)).check()


# --- drafted recipes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "kind", "label", "attribute", "taxonomy"),
    [
        ("celeba", "celebamask_hq", "Male", "Smiling", "celebamask_hq"),
        ("atr", "atr", "has_dress", "has_bag", "atr"),
        ("ade20k", "ade20k", "scene", "has_sky", "sceneparse150"),
    ],
)
def test_an_original_layout_gives_a_recipe_that_runs(
    request, tmp_path, store, layout, kind, label, attribute, taxonomy
):
    root, out = request.getfixturevalue(layout), tmp_path / "drafted.yaml"
    if layout == "ade20k":
        put(root / "objectInfo150.txt", "".join(OBJECTS.splitlines(keepends=True)[:4]))
    assert (
        main(["init", str(root), "--label", label, "--attribute", attribute, "--out", str(out)])
        == 0
    )
    recipe = load_recipe(out)
    assert (recipe.source.kind, recipe.taxonomy.name) == (kind, taxonomy)
    counts = ingest(store, recipe.source, recipe.folder, recipe.taxonomy, True, silent).summary
    assert counts["read"] == counts["accepted"] == (8 if layout == "celeba" else 12)
