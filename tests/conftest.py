"""Small datasets in temporary folders, for tests of every kind."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread per process: pytest-xdist keeps the cores busy. Read when NumPy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

from heml.sources.layouts.folder import FolderSource
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

    from report_store import ReportStore

#: Files whose tests take longest, longest first: started first, they do not keep one core waiting
#: at the end.
LONGEST = (
    "test_whole_run",
    "test_chain",
    "test_ray",
    "test_kills",
    "test_report",
    "test_segmentation",
    "test_growth",
    "test_dataset",
    "test_edit_detectability",
    "test_metric_levels",
    "test_plan",
)

CLASSES = {0: "background", 1: "shape", 2: "void"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders files by duration."""
    items.sort(key=lambda item: _place(item.path.stem))


def _place(file: str) -> int:
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Processes forked from one that has imported what stages need, for tests that kill them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["heml.metrics.level", "heml.dataset.dataset_stage", "heml.report.report_stage"]
    )
    return context


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a TCP port of 127.0.0.1 that nothing listens on."""

    def find() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return int(free.getsockname()[1])

    return find


def png(pixels: np.ndarray) -> bytes:
    """An array as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class DatasetFolder:
    """A dataset in the format of `kind: folder`, made row by row.

    Every image has noise of its own; every mask a rectangle of class 1 on class 0.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[dict[str, str]] = []
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        self.classes(CLASSES)

    def classes(self, classes: Mapping[int, str]) -> None:
        content = {str(key): name for key, name in classes.items()}
        (self.root / "classes.json").write_text(json.dumps(content))

    def put(self, name: str, content: bytes) -> None:
        """Writes a file, whatever it holds."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def pixels(self, width: int = 24, height: int = 16) -> np.ndarray:
        """Noise that no other row has."""
        rng = np.random.default_rng(len(self.rows))
        return rng.integers(0, 256, (height, width, 3), np.uint8)

    def ids(self, width: int = 24, height: int = 16) -> np.ndarray:
        ids = np.zeros((height, width), np.uint8)
        ids[2 : 6 + len(self.rows) % 8, 3:9] = 1
        return ids

    def row(
        self,
        image: bytes | None = None,
        mask: bytes | None = None,
        **fields: str,
    ) -> str:
        """Adds a row and its files; fields replace what it would say.

        Files are not written where `file_name` or `mask_name` is given without their content.
        """
        number = len(self.rows)
        row = {
            "file_name": f"images/{number:04d}.png",
            "mask_name": f"masks/{number:04d}.png",
            "split": "train" if number % 4 < 2 else "test",
            "label": "round" if number % 2 else "square",
            "tone": "light" if number % 8 < 4 else "dark",
        } | fields
        if image is not None or "file_name" not in fields:
            self.put(row["file_name"], image if image is not None else png(self.pixels()))
        if mask is not None or "mask_name" not in fields:
            self.put(row["mask_name"], mask if mask is not None else png(self.ids()))
        self.rows.append(row)
        return row["file_name"]

    def good(self, count: int = 16) -> None:
        """Adds rows that are all accepted, with every label and attribute in every split."""
        for _ in range(count):
            self.row()

    def write(self, name: str = "metadata.csv") -> None:
        """Writes the metadata."""
        with (self.root / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)

    def settings(self, **changes: Any) -> FolderSource:
        content = {
            "kind": "folder",
            "root": str(self.root),
            "label": "label",
            "attributes": ["tone"],
        }
        return FolderSource.model_validate(content | changes)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFolder:
    """An empty dataset folder with a class list."""
    return DatasetFolder(tmp_path / "data")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store" / "test")


@pytest.fixture
def taxonomy() -> Taxonomy:
    """Names the classes of `dataset`, and ignores one."""
    return Taxonomy(
        "test",
        {"background": ("background",), "shape": ("shape",)},
        {"image": ("background", "shape")},
        ignored=("void",),
    )


@pytest.fixture(scope="session")
def rendered_report(tmp_path_factory: pytest.TempPathFactory) -> ReportStore:
    """A finished store of invented content with its report; tests must not change it.

    Rendered once for the tests of the group `report`.
    """
    from report_store import ReportStore

    made = ReportStore(tmp_path_factory.mktemp("report") / "store")
    made.render()
    return made
