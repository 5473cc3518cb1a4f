"""COCO: one JSON file, masks as compressed run lengths or polygons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pycocotools import mask as coco_mask

from heml.segmentation.exchange.form import FORMS, Annotated, FormError


class Coco:
    """Instances; FiftyOne, CVAT, Label Studio and others read and write them."""

    name: ClassVar[str] = "coco"
    rank: ClassVar[int] = 0
    description: ClassVar[str] = "COCO instances: instances.json, for any tool that reads it"

    def write(self, images: Iterable[Annotated], names: Sequence[str], folder: Path) -> Path:
        numbers = {name: n for n, name in enumerate(names, start=1)}
        entries: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, image in enumerate(images, start=1):
            height, width = image.size
            entries.append(
                {"id": number, "file_name": image.file_name, "width": width, "height": height}
            )
            for name, mask in image.masks:
                rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": numbers[name],
                        "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},
                        "area": int(coco_mask.area(rle)),
                        "bbox": [int(edge) for edge in coco_mask.toBbox(rle)],
                        "iscrowd": 0,
                    }
                )
        content = {
            "images": entries,
            "annotations": annotations,
            "categories": [{"id": n, "name": name} for name, n in numbers.items()],
        }
        path = folder / "instances.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def recognizes(self, head: str) -> bool:
        return head.lstrip().startswith("{") and any(
            f'"{key}"' in head for key in ("images", "annotations", "categories", "info")
        )

    def read(self, path: Path) -> Iterator[Annotated]:
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            names = {c["id"]: str(c["name"]) for c in content["categories"]}
            of_image: defaultdict[Any, list[Any]] = defaultdict(list)
            for annotation in content["annotations"]:
                of_image[annotation["image_id"]].append(annotation)
            for image in content["images"]:
                size = int(image["height"]), int(image["width"])
                masks = [
                    (names[a["category_id"]], _mask(a["segmentation"], size))
                    for a in of_image[image["id"]]
                    if a.get("segmentation")
                ]
                yield Annotated(str(image["file_name"]), size, masks)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, FormError):
                raise
            raise FormError(f"{path} is no COCO file of instances: {error!r}") from error


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    rle = segmentation
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, *size)
    found = np.asarray(coco_mask.decode(rle), bool)
    if found.shape != size:
        raise FormError(f"a segmentation is {found.shape}, its image {size}")
    return found


FORMS.register(Coco())
