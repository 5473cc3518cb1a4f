"""Label Studio: tasks in JSON, masks as brush strokes or polygons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import quoteattr

from heml.segmentation.exchange.brush_rle import decode_brush, encode_brush
from heml.segmentation.exchange.form import FORMS, Annotated, FormError, polygon_mask

#: Names of tags in the labeling interface that is written beside the tasks.
_IMAGE, _BRUSH = "image", "tag"


class LabelStudio:
    """Predictions to start from go out; annotations come back."""

    name: ClassVar[str] = "label_studio"
    rank: ClassVar[int] = 1
    description: ClassVar[str] = "Label Studio: import tasks.json, export JSON"

    def write(self, images: Iterable[Annotated], names: Sequence[str], folder: Path) -> Path:
        """Writes tasks.json, and interface.xml for the project's labeling interface."""
        labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in names)
        (folder / "interface.xml").write_text(
            f'<View>\n  <Image name="{_IMAGE}" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="{_BRUSH}" toName="{_IMAGE}">{labels}\n'
            "  </BrushLabels>\n</View>\n",
            encoding="utf-8",
        )
        path = folder / "tasks.json"
        with path.open("w", encoding="utf-8") as file:
            for number, image in enumerate(images):
                file.write(("[\n" if number == 0 else ",\n") + json.dumps(_task(image)))
            file.write("\n]\n")
        return path

    def recognizes(self, head: str) -> bool:
        return head.lstrip().startswith("[") and '"data"' in head

    def read(self, path: Path) -> Iterator[Annotated]:
        try:
            tasks = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise FormError(f"{path} is not JSON ({error})") from error
        if not isinstance(tasks, list):
            raise FormError(f"{path} must be a list of tasks: export JSON, not JSON-MIN")
        for number, task in enumerate(tasks):
            try:
                found = _annotated(task)
            except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
                raise FormError(f"{path}: task {number + 1}: {error}") from error
            if found is not None:
                yield found


def _task(image: Annotated) -> dict[str, Any]:
    height, width = image.size
    result = [
        {
            "id": f"{n}",
            "type": "brushlabels",
            "from_name": _BRUSH,
            "to_name": _IMAGE,
            "original_width": width,
            "original_height": height,
            "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": [name]},
        }
        for n, (name, mask) in enumerate(image.masks)
    ]
    return {
        "data": {"image": f"/data/local-files/?d=images/{image.file_name}"},
        "predictions": [{"model_version": "heml", "result": result}],
    }


def _annotated(task: dict[str, Any]) -> Annotated | None:
    """A task's newest annotation that was not cancelled; None if nobody annotated it."""
    done = [a for a in task.get("annotations", ()) if not a.get("was_cancelled")]
    if not done:
        return None
    result = max(done, key=lambda a: str(a.get("updated_at", "")))["result"]
    image = next(v for v in task["data"].values() if isinstance(v, str) and "." in v)
    size: tuple[int, int] | None = None
    masks = []
    for part in result:
        if part["type"] not in ("brushlabels", "polygonlabels", "brush", "polygon"):
            continue
        value = part["value"]
        size = int(part["original_height"]), int(part["original_width"])
        (label,) = value.get("brushlabels") or value.get("polygonlabels") or [""]
        if not label:
            raise ValueError("a region has no label")
        if "rle" in value:
            masks.append((label, decode_brush(value["rle"], size)))
        else:
            points = [(x / 100 * size[1], y / 100 * size[0]) for x, y in value["points"]]
            masks.append((label, polygon_mask(points, size)))
    return Annotated(image, size or (0, 0), masks)


FORMS.register(LabelStudio())
