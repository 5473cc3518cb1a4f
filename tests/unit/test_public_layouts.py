"""VOC, Cityscapes, Oxford-IIIT Pet, Waterbirds and COCO in their own layouts, on small trees."""

import csv
import io
import json

import numpy as np
import pytest
from conftest import png
from PIL import Image
from pycocotools import mask as coco_mask
from test_layouts import jpeg, opened, photo, put, records

from heml.images.images_table import decode_mask
from heml.sources.class_list import class_list
from heml.sources.raw import SourceError
from heml.taxonomy import builtin
from pipelines.cli.app import main
from pipelines.recipe.model import load_recipe


def palette_png(ids: np.ndarray) -> bytes:
    """Ids with a palette to look at, as VOC writes them."""
    image = Image.fromarray(ids, "P")
    image.putpalette([value for n in range(256) for value in (n * 53 % 256, n * 97 % 256, n)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def drafted(root, tmp_path, *options):
    """The recipe that `heml init` writes for a folder."""
    out = tmp_path / "drafted.yaml"
    out.unlink(missing_ok=True)
    assert main(["init", str(root), "--out", str(out), *options]) == 0
    return load_recipe(out)


# --- Pascal VOC ---------------------------------------------------------------------------------


@pytest.fixture
def voc(tmp_path):
    """Twelve photographs with a mask and one without; persons (15) in every other one."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    names = [f"2007_{n:06d}" for n in range(12)]
    for number, name in enumerate(names):
        ids = np.zeros((16, 24), np.uint8)
        ids[4:12, 4:12] = 15 if number % 2 else 3
        ids[3, 4:12] = 255
        put(root / f"JPEGImages/{name}.jpg", jpeg(number))
        put(root / f"SegmentationClass/{name}.png", palette_png(ids))
    put(root / "JPEGImages/2009_000001.jpg", jpeg(99))
    lists = root / "ImageSets/Segmentation"
    put(lists / "train.txt", "\n".join(names[:8]) + "\n")
    put(lists / "val.txt", "\n".join(names[8:]) + "\n")
    put(lists / "trainval.txt", "\n".join(names) + "\n")
    return root


def test_voc_masks_are_palette_indices_with_a_void_border(voc):
    rows = records(kind="voc", root=str(voc))
    assert [row.split for row in rows] == ["train"] * 8 + ["validation"] * 4
    ids = decode_mask(rows[1].mask)
    assert sorted(np.unique(ids).tolist()) == [0, 15, 255]
    reader = opened(kind="voc", root=str(voc))
    classes = reader.classes()
    assert (classes[15], classes[255], len(classes)) == ("person", "void", 22)
    builtin("voc").check_covers(classes.values())
    assert [name for name, _ in reader.skipped()] == [
        "ImageSets/Segmentation/trainval.txt",
        "JPEGImages/2009_000001.jpg",
    ]


def test_voc_is_recognized_and_other_folders_are_refused(voc, tmp_path):
    recipe = drafted(voc, tmp_path, "--label", "has_person")
    assert recipe.source.kind == "voc"
    assert recipe.source.splits == {"train": "train", "val": "test"}
    assert set(recipe.source_taxonomy.leaves) == set(builtin("voc").leaves)
    with pytest.raises(SourceError, match=r"no folder .*JPEGImages.*is it VOC2012 in there"):
        records(kind="voc", root=str(voc.parent))
    with pytest.raises(SourceError, match=r"splits\.vall.*did you mean 'val'"):
        records(kind="voc", root=str(voc), splits={"train": "train", "vall": "test"})


# --- Cityscapes ---------------------------------------------------------------------------------


@pytest.fixture
def cityscapes(tmp_path):
    """Two cities to train on, one to validate and one to test, whose masks are empty."""
    root = tmp_path / "cityscapes"
    places = [("train", "aachen"), ("train", "bochum"), ("val", "lindau"), ("test", "bonn")]
    for seed, (split, city) in enumerate(places):
        for number in range(4):
            stem = f"{city}_{number:06d}_000019"
            ids = np.full((16, 24), 7, np.uint8)
            ids[:6] = 23
            if number % 2:
                ids[8:12, 4:8] = 25
            ids[15] = 1
            if split == "test":
                ids[:] = 0
            image = png(np.asarray(photo(10 * seed + number)))
            put(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", image)
            put(root / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", png(ids))
            put(root / f"gtFine/{split}/{city}/{stem}_gtFine_polygons.json", "{}")
    return root


def test_cityscapes_has_city_and_label_ids(cityscapes):
    rows = records(kind="cityscapes", root=str(cityscapes), attributes=["city"])
    splits = {row.image_id: row.split for row in rows}
    assert splits["aachen_000000_000019"] == "train"
    assert splits["lindau_000001_000019"] == "validation"
    assert splits["bonn_000001_000019"] == "test (left out)"
    row = next(r for r in rows if r.image_id == "bochum_000001_000019")
    assert row.columns["city"] == "bochum"
    ids = decode_mask(row.mask)
    classes = opened(kind="cityscapes", root=str(cityscapes)).classes()
    found = {classes[i] for i in np.unique(ids).tolist()}
    assert found == {"ego vehicle", "road", "sky", "rider"}
    builtin("cityscapes").check_covers(classes.values())


def test_cityscapes_is_recognized(cityscapes, tmp_path):
    recipe = drafted(cityscapes, tmp_path, "--label", "has_rider", "--attribute", "city")
    assert recipe.source.kind == "cityscapes"
    assert recipe.source.splits == {"train": "train", "val": "test"}
    with pytest.raises(SourceError, match=r"no folder .*gtCoarse"):
        records(kind="cityscapes", root=str(cityscapes), annotations="gtCoarse")


# --- Oxford-IIIT Pet ----------------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path):
    """Cats and dogs with trimaps; an image that no list names, and a line that is none."""
    root = tmp_path / "pets"
    lines = ["#Image CLASS-ID SPECIES BREED ID", "#ID: 1:37 class ids"]
    for number in range(24):
        name = f"Abyssinian_{number}" if number % 2 else f"american_bulldog_{number}"
        lines.append(f"{name} 1 {1 if number % 2 else 2} 1")
        ids = np.full((16, 24), 2, np.uint8)
        ids[4:12, 4:14] = 3
        ids[6:10, 6:12] = 1
        put(root / f"images/{name}.jpg", jpeg(number))
        put(root / f"annotations/trimaps/{name}.png", png(ids))
    put(root / "images/Abyssinian_100.mat", "no image")
    put(root / "annotations/list.txt", "\n".join([*lines, "odd line"]) + "\n")
    put(root / "annotations/trainval.txt", "\n".join(lines[2:18]) + "\n")
    put(root / "annotations/test.txt", "\n".join(lines[18:]) + "\n")
    return root


def test_pets_have_species_breed_and_trimaps(pets):
    rows = records(kind="oxford_pets", root=str(pets))
    assert rows[0].columns == {"species": "dog", "breed": "american bulldog"}
    assert rows[1].columns == {"species": "cat", "breed": "abyssinian"}
    assert [row.split for row in rows[:24]] == ["train"] * 16 + ["test"] * 8
    assert rows[24].refusal.reason == "malformed_row"
    classes = opened(kind="oxford_pets", root=str(pets)).classes()
    assert {classes[i] for i in np.unique(decode_mask(rows[0].mask)).tolist()} == {
        *("foreground", "background", "border")
    }
    builtin("oxford_pets").check_covers(classes.values())


def test_pets_are_recognized(pets, tmp_path):
    recipe = drafted(pets, tmp_path)
    assert (recipe.source.kind, recipe.source.label) == ("oxford_pets", "species")
    assert set(recipe.source_taxonomy.leaves) == {"pet", "background"}
    (pets / "annotations/test.txt").unlink()
    with pytest.raises(SourceError, match=r"no file .*test\.txt.*split: null"):
        records(kind="oxford_pets", root=str(pets))
    drawn = {row.split for row in records(kind="oxford_pets", root=str(pets), split=None)}
    assert drawn <= {"train", "validation", "test"}


# --- Waterbirds ---------------------------------------------------------------------------------


@pytest.fixture
def waterbirds(tmp_path):
    """Every group in every split."""
    root = tmp_path / "waterbird_complete95_forest2water2"
    rows = []
    for number in range(48):
        folder = "001.Black_footed_Albatross" if number % 2 else "002.Laysan_Albatross"
        name = f"{folder}/Bird_{number:04d}.jpg"
        put(root / name, jpeg(number))
        rows.append(
            {
                "img_id": str(number + 1),
                "img_filename": name,
                "y": str(number % 2),
                "split": str(number // 16),
                "place": str(number // 2 % 2),
                "place_filename": "/o/ocean/00001.jpg",
            }
        )
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def cub_masks(root):
    for path in sorted(root.glob("0*/*.jpg")):
        gray = np.zeros((16, 24), np.uint8)
        gray[4:12, 4:12] = 204
        gray[4] = 102
        put(root / "segmentations" / path.parent.name / f"{path.stem}.png", png(gray))


def test_waterbirds_have_names_for_numbers(waterbirds):
    reader = opened(kind="waterbirds", root=str(waterbirds))
    reader.check(annotated=False)
    rows = list(reader.records())
    assert rows[3].columns == {
        "y": "waterbird",
        "place": "water",
        "species": "Black footed Albatross",
    }
    assert rows[0].columns["y"] == "landbird"
    assert [rows[n].split for n in (0, 16, 32)] == ["train", "validation", "test"]
    assert rows[0].mask is None
    with pytest.raises(SourceError, match=r"Waterbirds has no masks.*needs no masks"):
        reader.check()
    text = (waterbirds / "metadata.csv").read_text()
    put(waterbirds / "metadata.csv", text + "49,a/b.jpg,7,0,0,x\n")
    assert list(reader.records())[-1].refusal.reason == "malformed_row"


def test_waterbirds_masks_are_cubs(waterbirds):
    cub_masks(waterbirds)
    rows = records(kind="waterbirds", root=str(waterbirds))
    expected = np.zeros((16, 24), np.uint8)
    expected[5:12, 4:12] = 1
    np.testing.assert_array_equal(decode_mask(rows[0].mask), expected)


def test_waterbirds_are_recognized_with_and_without_masks(waterbirds, tmp_path, capsys):
    recipe = drafted(waterbirds, tmp_path, "--label", "y", "--attribute", "place")
    assert recipe.source.kind == "waterbirds"
    assert not recipe.segmenter.needs_masks
    cub_masks(waterbirds)
    recipe = drafted(waterbirds, tmp_path)
    assert (recipe.source.label, recipe.source.attributes) == ("y", ["place"])
    assert "place: what the set is known for" in capsys.readouterr().out
    assert recipe.segmenter.needs_masks
    assert set(recipe.source_taxonomy.leaves) == {"background", "bird"}
    put(waterbirds / "metadata.csv", "img_filename,label\na,b\n")
    with pytest.raises(SourceError, match="waterbird_complete95_forest2water2"):
        records(kind="waterbirds", root=str(waterbirds))


# --- COCO ---------------------------------------------------------------------------------------

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
]


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def instances(folder_of, count=4, **more):
    """Images of 24×16: a person of 12×12, a dog on it of 4×4, a crowd behind."""
    images, annotations = [], []
    crowd = np.zeros((16, 24), np.uint8, order="F")
    crowd[:, 12:] = 1
    rle = coco_mask.encode(crowd)
    for number in range(count):
        images.append(
            {"id": 100 + number, "file_name": folder_of(number), "width": 24, "height": 16, **more}
        )
        parts = [(18, box(4, 4, 8, 8), 0), (1, box(2, 2, 14, 14), 0)]
        if number % 2:
            counts = {"size": [16, 24], "counts": rle["counts"].decode()}
            parts = [(1, counts, 1), *parts[1:]]
        annotations += [
            {"id": 1, "image_id": 100 + number, "category_id": c, "segmentation": s, "iscrowd": i}
            for c, s, i in parts
        ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


@pytest.fixture
def coco(tmp_path):
    root = tmp_path / "coco"
    for split, first in (("train2017", 0), ("val2017", 10)):
        content = instances(lambda n, first=first: f"{first + n:012d}.jpg")
        for number in range(4):
            put(root / split / f"{first + number:012d}.jpg", jpeg(first + number))
        put(root / f"annotations/instances_{split}.json", json.dumps(content))
        put(root / f"annotations/captions_{split}.json", "{}")
    return root


def test_coco_instances_are_painted_small_over_large(coco):
    rows = records(kind="coco", root=str(coco), label="has_dog")
    assert [row.split for row in rows] == ["train"] * 4 + ["validation"] * 4
    assert rows[0].image_id == "train2017/000000000000"
    ids = decode_mask(rows[0].mask)
    expected = np.zeros((16, 24), np.uint8)
    expected[2:14, 2:14] = 1
    expected[4:8, 4:8] = 18
    np.testing.assert_array_equal(ids, expected)
    crowded = decode_mask(rows[1].mask)
    assert (crowded[:, 14:] == 1).all()
    classes = opened(kind="coco", root=str(coco), label="has_dog").classes()
    assert classes == {0: "background", 1: "person", 18: "dog"}
    builtin("coco").check_covers(classes.values())


def test_coco_is_recognized(coco, tmp_path):
    recipe = drafted(coco, tmp_path, "--label", "has_dog")
    source = recipe.source
    assert source.kind == "coco"
    assert source.splits == {
        "annotations/instances_train2017.json": "train",
        "annotations/instances_val2017.json": "test",
    }
    assert "animal" in recipe.source_taxonomy.nodes


def test_coco_of_other_tools_lies_in_the_folders_of_splits(tmp_path):
    root = tmp_path / "tool"
    for split, first in (("train", 0), ("valid", 10)):
        content = instances(lambda n, first=first: f"{first + n}.jpg", extra={"site": split[0]})
        for number in range(4):
            put(root / split / f"{first + number}.jpg", jpeg(first + number))
        put(root / split / "_annotations.coco.json", json.dumps(content))
    rows = records(kind="coco", root=str(root), label="has_dog")
    assert [row.split for row in rows] == ["train"] * 4 + ["validation"] * 4
    assert rows[0].file_name == "train/0.jpg"
    assert rows[0].columns["site"] == "t"
    assert rows[0].image is not None


def test_coco_panoptic_segments_are_read_off_colors(tmp_path):
    root = tmp_path / "panoptic"
    numbers = np.zeros((16, 24), np.int64)
    numbers[:8], numbers[8:, :12] = 70_000, 300
    colors = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1)
    for split in ("train2017", "val2017"):
        images, annotations = [], []
        for n in range(4):
            put(root / f"images/{split}/{split}{n}.jpg", jpeg(n + 10 * len(split)))
            image = png(colors.astype(np.uint8))
            put(root / f"annotations/panoptic_{split}/{split}{n}.png", image)
            images.append({"id": n, "file_name": f"{split}{n}.jpg", "width": 24, "height": 16})
            info = [{"id": 70_000, "category_id": 187}, {"id": 300, "category_id": 1}]
            annotations.append(
                {"image_id": n, "file_name": f"{split}{n}.png", "segments_info": info}
            )
        categories = [*CATEGORIES, {"id": 187, "name": "sky-other-merged"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        put(root / f"annotations/panoptic_{split}.json", json.dumps(content))
    reader = opened(kind="coco", root=str(root), label="has_dog")
    rows = list(reader.records())
    ids = decode_mask(rows[0].mask)
    assert (ids[:8] == 187).all()
    assert (ids[8:, :12] == 1).all()
    assert (ids[8:, 12:] == 0).all()
    assert reader.classes()[0] == "unlabeled"
    builtin("coco_stuff").check_covers(reader.classes().values())


def test_coco_mistakes_are_told(coco):
    path = coco / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = [[1, 2]]
    content["annotations"][2]["category_id"] = 5
    content["annotations"][4]["segmentation"] = {"size": [4, 4], "counts": [16]}
    path.write_text(json.dumps(content))
    rows = list(opened(kind="coco", root=str(coco), label="has_dog").records())
    reasons = [row.refusal and row.refusal.reason for row in rows[:4]]
    assert reasons == ["mask_unreadable", "unknown_class", "mask_size", None]
    path.write_text("[]")
    with pytest.raises(SourceError, match="lists images, annotations and categories"):
        records(kind="coco", root=str(coco), label="has_dog")
    path.write_text(json.dumps({**content, "images": [{"id": 1}]}))
    with pytest.raises(SourceError, match=r"lacks 'file_name'"):
        records(kind="coco", root=str(coco), label="has_dog")
    with pytest.raises(SourceError, match=r"no file .*instances_x\.json"):
        records(kind="coco", root=str(coco), label="has_dog", annotations=["instances_x.json"])
    with pytest.raises(SourceError, match="no JSON file of instances"):
        records(kind="coco", root=str(coco / "val2017"), label="has_dog")


def test_coco_categories_above_8_bits_are_numbered_anew(coco):
    for split in ("train2017", "val2017"):
        path = coco / f"annotations/instances_{split}.json"
        content = json.loads(path.read_text())
        for entry in (*content["annotations"], *content["categories"]):
            key = "category_id" if "category_id" in entry else "id"
            entry[key] += 1000
        path.write_text(json.dumps(content))
    reader = opened(kind="coco", root=str(coco), label="has_dog")
    assert reader.classes() == {0: "background", 1: "person", 2: "dog"}
    assert set(np.unique(decode_mask(next(reader.records()).mask)).tolist()) == {0, 1, 2}


# --- class lists --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["voc", "cityscapes", "coco_stuff", "oxford_pets"])
def test_class_lists_are_covered_by_their_taxonomies(name):
    classes = class_list(name, None, required=True)
    builtin(name).check_covers(classes.values())
    assert len(set(classes.values())) == len(classes)


def test_coco_stuff_has_the_ids_of_its_maps():
    classes = class_list("coco_stuff", None, required=True)
    assert (classes[0], classes[90], classes[91], classes[181], classes[255]) == (
        *("person", "hair brush", "banner", "wood", "unlabeled"),
    )
    assert len(classes) == 183
