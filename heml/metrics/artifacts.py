"""A trained node on disk: weights, embeddings, evaluation. Safetensors, Parquet and JSON only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor

from data_contracts import EMBEDDINGS
from heml.compute.save_tensors import save_tensors
from heml.metrics.distance import DEFAULT_DISTANCE, DISTANCES, Distance
from heml.metrics.node_network import NodeNetwork, network_of
from heml.storage.store import Store

_FINAL = "final"
_REPORT = "node.json"
_ARCHITECTURE = "architecture.json"


@dataclass(frozen=True)
class NodeMetric:
    """What training a node leaves behind.

    Parameters
    ----------
    node : str
    index : DataFrame
        Columns image_id, split, fold, present; one row per measured image, in the order of the
        embeddings. Read back also made_from and learned.
    embeddings : float32 array (N, D)
        By the network that saw the whole train split.
    cross_fitted : float32 array (K, N, D)
        By the network of each fold, which never saw that fold's train rows.
    weights : list of dict of Tensor
        Final network, then one per fold; empty for an untrained node.
    report : dict
        Settings, learning curves, precision at 1, MAP@R, state.
    architecture : dict, optional
        What the networks are built like (`NodeNetwork.architecture`); the small trunk if missing.
    """

    node: str
    index: pd.DataFrame
    embeddings: np.ndarray
    cross_fitted: np.ndarray
    weights: list[dict[str, Tensor]]
    report: dict[str, Any]
    architecture: dict[str, Any] | None = None

    @property
    def present(self) -> np.ndarray:
        """bool array (N,)"""
        return self.index["present"].to_numpy(bool)

    @property
    def fold(self) -> np.ndarray:
        """int array (N,), -1 for rows outside the train split"""
        return self.index["fold"].to_numpy(int)

    @property
    def distance(self) -> Distance:
        """What its networks were trained with, and its embeddings are compared by."""
        return DISTANCES[self.report.get("distance", DEFAULT_DISTANCE)]

    @property
    def trained(self) -> bool:
        return bool(self.weights)

    def network(self) -> NodeNetwork:
        """The final network.

        Raises
        ------
        ValueError
            If the node is untrained.
        """
        if not self.weights:
            raise ValueError(f"node '{self.node}' is untrained: {self.report['state']}")
        return network_from(self.weights[0], self.architecture)


def network_from(
    weights: dict[str, Tensor], architecture: dict[str, Any] | None = None
) -> NodeNetwork:
    """A network in evaluation mode with the given weights.

    Parameters
    ----------
    weights : dict of Tensor
    architecture : dict, optional
        `NodeNetwork.architecture`; a small trunk and the SNR distance if not given.
    """
    if architecture is None:
        network = NodeNetwork(embedding=len(weights["embedder.2.bias"]))
    else:
        network = network_of(architecture)
    network.load_state_dict(weights)
    return network.eval()


def save_node(metric: NodeMetric, folder: Path) -> None:
    """Writes a node's artifacts into a folder that does not exist yet."""
    folder.mkdir(parents=True)
    rows = metric.index.assign(embedding=list(metric.embeddings))
    if "made_from" not in rows:
        rows["made_from"] = None
    if "learned" not in rows:
        rows["learned"] = rows["fold"] >= 0
    EMBEDDINGS.validate(rows, columns=["image_id", "split", "fold", "present"])
    pq.write_table(EMBEDDINGS.table(rows), folder / "embeddings.parquet", compression="zstd")
    tensors = {"cross_fitted": torch.from_numpy(np.ascontiguousarray(metric.cross_fitted))}
    save_tensors(tensors, folder / "cross_fitted.safetensors")
    named = {
        f"{_FINAL if number == 0 else number - 1}.{name}": tensor.contiguous()
        for number, state in enumerate(metric.weights)
        for name, tensor in state.items()
    }
    save_tensors(named, folder / "weights.safetensors")
    for name, content in ((_REPORT, metric.report), (_ARCHITECTURE, metric.architecture)):
        # Python would write NaN, which no other reader of JSON takes.
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
        (folder / name).write_text(text)


def node_folder(store: Store, node: str) -> Path:
    """Folder of the node's current artifacts: each fingerprint has its own.

    Raises
    ------
    FileNotFoundError
        If the node is not trained yet.
    """
    return store.node(node) / store.fingerprint(f"metric/{node}")


def measured_images(index: pd.DataFrame, metric: NodeMetric) -> pd.DataFrame:
    """Rows of an image index that the metric is about: all, or the recipe's sample of them."""
    if len(index) == len(metric.index):
        return index
    return index[index["image_id"].isin(set(metric.index["image_id"]))].reset_index(drop=True)


def load_node(store: Store, node: str) -> NodeMetric:
    """Reads a node's current artifacts, of the measured images.

    Raises
    ------
    FileNotFoundError
        If the node is not trained yet.
    ContractError
        If they were written under another contract.
    """
    return read_node(node_folder(store, node), node)


def read_node(folder: Path, node: str) -> NodeMetric:
    """Reads a node's artifacts from their folder; see `load_node`."""
    table = pq.read_table(folder / "embeddings.parquet")
    EMBEDDINGS.check_version(table.schema)
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    networks: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / "weights.safetensors").items():
        network, name = key.split(".", 1)
        networks.setdefault(network, {})[name] = tensor
    order = sorted(networks, key=lambda name: -1 if name == _FINAL else int(name))
    return NodeMetric(
        node=node,
        index=table.drop_columns(["embedding"]).to_pandas(),
        embeddings=flat.reshape(table.num_rows, -1),
        cross_fitted=load_file(folder / "cross_fitted.safetensors")["cross_fitted"].numpy(),
        weights=[networks[name] for name in order],
        report=json.loads((folder / _REPORT).read_text()),
        architecture=json.loads((folder / _ARCHITECTURE).read_text()),
    )
