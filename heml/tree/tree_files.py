"""A metric tree on disk: safetensors, Parquet and JSON. Needs nothing else of the store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from heml.compute.save_tensors import save_tensors
from heml.metrics.artifacts import network_from
from heml.taxonomy import Taxonomy, from_mapping
from heml.tree.embedded import Embedded
from heml.tree.similarity import Calibration, Similarity
from heml.tree.tree_error import TreeError

if TYPE_CHECKING:
    from heml.tree.metric_tree import MetricTree

#: Of the files on disk; raised when they change.
FORMAT = 2
_TREE = "tree.json"


def read_taxonomy(folder: str | Path) -> Taxonomy:
    """The taxonomy of a saved tree.

    Parameters
    ----------
    folder : path
        As `MetricTree.load` takes it.

    Raises
    ------
    FileNotFoundError
        If the folder holds no tree.
    TreeError
        If the tree was saved by another version of HEML.
    """
    content = _read(_folder_of(folder))
    return from_mapping(content["taxonomy"]["name"], content["taxonomy"])


def _folder_of(folder: str | Path) -> Path:
    """The folder of a tree, also if its store's folder is given."""
    folder = Path(folder)
    inside = folder / "metric_tree"
    if not (folder / _TREE).exists() and (inside / _TREE).exists():
        folder = inside
    if not (folder / _TREE).exists():
        raise FileNotFoundError(f"no metric tree in {folder}: run the metric_tree stage first")
    return folder


def _read(folder: Path) -> dict[str, Any]:
    content = dict(json.loads((folder / _TREE).read_text()))
    if content.get("format") != FORMAT:
        raise TreeError(
            f"{folder / _TREE} has the format {content.get('format', 1)}, this version of HEML "
            f"reads {FORMAT}: run the metric_tree stage again"
        )
    return content


def write_tree(tree: MetricTree, folder: Path) -> None:
    """Writes a tree into a new folder: safetensors, Parquet and JSON."""
    folder.mkdir(parents=True)
    save_tensors(
        {
            f"{node}.{name}": tensor.contiguous()
            for node, network in tree.networks.items()
            for name, tensor in network.state_dict().items()
        },
        folder / "networks.safetensors",
    )
    tensors = {
        f"{node}.vectors": torch.from_numpy(np.ascontiguousarray(vectors))
        for node, vectors in tree.references.vectors.items()
    }
    tensors |= {
        f"{node}.present": torch.from_numpy(np.ascontiguousarray(present))
        for node, present in tree.references.present.items()
    }
    save_tensors(tensors, folder / "references.safetensors")
    pq.write_table(pa.Table.from_pylist(tree.index), folder / "references.parquet")
    content = {
        "format": FORMAT,
        "classes": {str(number): name for number, name in tree.classes.items()},
        "calibration": {node: asdict(c) for node, c in tree.calibration.items()},
        "taxonomy": tree.taxonomy.describe(),
        "resolutions": tree.resolutions,
        "thresholds": tree.thresholds,
        "similarities": {k: s.to_dict() for k, s in tree.similarities.items()},
        "neighbors": tree.neighbors,
        "architectures": {n: network.architecture for n, network in tree.networks.items()},
    }
    (folder / _TREE).write_text(json.dumps(content, indent=1, allow_nan=False))


def read_tree(folder: str | Path, taxonomy: Taxonomy | None = None) -> dict[str, Any]:
    """A saved tree, as the arguments of `MetricTree`; see `MetricTree.load`."""
    folder = _folder_of(folder)
    content = _read(folder)
    wanted, taxonomy = taxonomy, from_mapping(content["taxonomy"]["name"], content["taxonomy"])
    if wanted is not None and wanted != taxonomy:
        odd = sorted(set(wanted.nodes) ^ set(taxonomy.nodes))
        raise TreeError(
            f"the tree in {folder} has the taxonomy '{taxonomy.name}', not '{wanted.name}' "
            f"({'nodes of one alone: ' + ', '.join(odd) if odd else 'classes or tree differ'})"
            ": run the metric_tree stage again"
        )
    states: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / "networks.safetensors").items():
        node, name = key.split(".", 1)
        states.setdefault(node, {})[name] = tensor
    tensors = load_file(folder / "references.safetensors")
    return {
        "taxonomy": taxonomy,
        "resolutions": content["resolutions"],
        "thresholds": content["thresholds"],
        "networks": {
            node: network_from(state, content["architectures"][node])
            for node, state in states.items()
        },
        "similarities": {k: Similarity.from_dict(s) for k, s in content["similarities"].items()},
        "references": Embedded(
            {n: tensors[f"{n}.vectors"].numpy() for n in taxonomy.nodes},
            {n: tensors[f"{n}.present"].numpy() for n in taxonomy.nodes},
        ),
        "index": pq.read_table(folder / "references.parquet").to_pylist(),
        "neighbors": content["neighbors"],
        "classes": {int(number): name for number, name in content["classes"].items()},
        "calibration": {node: Calibration(**c) for node, c in content["calibration"].items()},
    }
