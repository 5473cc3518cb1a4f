"""The metric tree in use: distances, explanations, nearest images and labels of any image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

from heml.metrics.artifacts import network_from
from heml.metrics.distances import NodeDistances, node_distances
from heml.metrics.knn import knn_votes
from heml.metrics.network import NodeNetwork
from heml.metrics.snr import snr_distance
from heml.metrics.training import embed
from heml.metrics.views import node_view, union
from heml.taxonomy import Taxonomy, from_mapping
from heml.tree.similarity import Similarity, calibrate

Which = Literal["plain", "debiased"]
#: An image with its segments: uint8 (H, W, 3) and class name → bool (H, W).
Segmented = tuple[np.ndarray, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Embedded:
    """Images as the tree sees them.

    Parameters
    ----------
    vectors : mapping of node to float32 array (B, D)
    present : mapping of node to bool array (B,)
    """

    vectors: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    def rows(self, rows: np.ndarray | Sequence[int]) -> Embedded:
        """A choice of images."""
        return Embedded(
            {node: vectors[rows] for node, vectors in self.vectors.items()},
            {node: present[rows] for node, present in self.present.items()},
        )


@dataclass(frozen=True)
class NodeExplanation:
    """What one node says of a pair.

    Parameters
    ----------
    node : str
    state : str
        "compared", "absent in both", "absent in the first" or "absent in the second".
    snr_forward, snr_backward : float or None
        d_SNR(a, b) and d_SNR(b, a), in [0, inf).
    distance : float or None
        Bounded symmetric form, in [0, 1].
    threshold : float
        Equal error rate threshold of `distance`.
    similar : bool or None
        Whether the node calls the pair similar.
    contributions : dict
        Its share of the total of each similarity ("plain", "debiased").
    """

    node: str
    state: str
    snr_forward: float | None
    snr_backward: float | None
    distance: float | None
    threshold: float
    similar: bool | None
    contributions: dict[str, float]


@dataclass(frozen=True)
class PairExplanation:
    """A pair, node by node.

    Parameters
    ----------
    nodes : list of NodeExplanation
    totals : dict
        Sum of the contributions, per similarity.
    probability_same : dict
        Probability that the pair is of one label, per similarity.
    """

    nodes: list[NodeExplanation]
    totals: dict[str, float]
    probability_same: dict[str, float]


class MetricTree:
    """All node metrics of a dataset, calibrated and joined.

    Parameters
    ----------
    taxonomy : Taxonomy
    resolutions : mapping of node to int
    thresholds : mapping of node to float
    networks : mapping of node to NodeNetwork
        Untrained nodes are missing; they measure presence only.
    similarities : mapping of "plain" and "debiased" to Similarity
    references : Embedded
        The train images.
    index : list of dict
        Per reference: image_id, label and group values.
    neighbours : int
        k of every vote.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        resolutions: Mapping[str, int],
        thresholds: Mapping[str, float],
        networks: Mapping[str, NodeNetwork],
        similarities: Mapping[str, Similarity],
        references: Embedded,
        index: list[dict[str, str]],
        neighbours: int,
    ) -> None:
        self.taxonomy = taxonomy
        self.resolutions = dict(resolutions)
        self.thresholds = dict(thresholds)
        self.networks = dict(networks)
        self.similarities = dict(similarities)
        self.references = references
        self.index = index
        self.neighbours = neighbours
        self._row = {record["image_id"]: row for row, record in enumerate(index)}

    @property
    def labels(self) -> list[str]:
        """Label values, sorted."""
        return sorted({record["label"] for record in self.index})

    def column(self, name: str) -> np.ndarray:
        """Label or group values of the references, as an object array (N,)."""
        return np.array([record[name] for record in self.index], dtype=object)

    def row(self, image_id: str) -> int:
        """Position of a train image among the references.

        Raises
        ------
        KeyError
            If the id is not of a train image.
        """
        if image_id not in self._row:
            raise KeyError(f"'{image_id}' is not a train image of this tree")
        return self._row[image_id]

    def embed(self, images: Sequence[Segmented], nodes: Sequence[str] | None = None) -> Embedded:
        """Embeds images with their segments.

        Parameters
        ----------
        images : sequence of (uint8 array (H, W, 3), mapping of class name to bool array (H, W))
        nodes : sequence of str, optional
            Only these nodes; all by default.
        """
        vectors: dict[str, np.ndarray] = {}
        present: dict[str, np.ndarray] = {}
        dimensions = next(iter(self.references.vectors.values())).shape[1]
        for node in nodes or self.taxonomy.nodes:
            classes = self.taxonomy.classes_of(node)
            masks = [union(segments, classes) for _, segments in images]
            side = self.resolutions[node]
            views = np.zeros((len(images), 4, side, side), np.uint8)
            for row, ((image, _), mask) in enumerate(zip(images, masks, strict=True)):
                views[row] = node_view(image, mask, side)
            has = np.asarray(views[:, 3].any(axis=(1, 2)))
            if node in self.networks and len(images):
                vectors[node] = embed(self.networks[node], views)
                vectors[node][~has] = 0
            else:
                vectors[node] = np.zeros((len(images), dimensions), np.float32)
            present[node] = has
        return Embedded(vectors, present)

    def _embedded(self, images: Embedded | Sequence[str] | Sequence[Segmented]) -> Embedded:
        if isinstance(images, Embedded):
            return images
        rows = [self.row(image) for image in images if isinstance(image, str)]
        if rows:
            return self.references.rows(rows)
        return self.embed([image for image in images if not isinstance(image, str)])

    def _one(self, image: str | Segmented) -> Embedded:
        return self._embedded([image]) if isinstance(image, str) else self.embed([image])

    def node_distances(self, node: str, a: Embedded, b: Embedded) -> NodeDistances:
        """Distances of all images of `a` to all of `b` at one node."""
        return node_distances(a.vectors[node], b.vectors[node], a.present[node], b.present[node])

    def total_distances(self, a: Embedded, b: Embedded, which: Which = "debiased") -> np.ndarray:
        """Total distances of all images of `a` to all of `b`, float array (A, B)."""
        similarity = self.similarities[which]
        total = np.zeros((len(a), len(b)))
        for node, weight, absence in zip(
            similarity.nodes, similarity.distance, similarity.absence, strict=True
        ):
            if weight == 0 and absence == 0:
                continue
            measured = self.node_distances(node, a, b)
            total += weight * calibrate(measured.distance, self.thresholds[node])
            total += absence * measured.one_absent
        return total

    def distance(self, a: str | Segmented, b: str | Segmented, which: Which = "debiased") -> float:
        """Total distance of two images, given as train image ids or with their segments."""
        first, second = self._one(a), self._one(b)
        return float(self.total_distances(first, second, which)[0, 0])

    def explain(self, a: str | Segmented, b: str | Segmented) -> PairExplanation:
        """Distances of a pair over every node, with contributions that sum to the totals."""
        first, second = self._one(a), self._one(b)
        nodes = [self._explain_node(node, first, second) for node in self.taxonomy.nodes]
        totals = {
            which: sum(node.contributions[which] for node in nodes) for which in self.similarities
        }
        probabilities = {
            which: float(1 / (1 + np.exp(totals[which] - similarity.offset)))
            for which, similarity in self.similarities.items()
        }
        return PairExplanation(nodes, totals, probabilities)

    def _explain_node(self, node: str, a: Embedded, b: Embedded) -> NodeExplanation:
        in_a, in_b = bool(a.present[node][0]), bool(b.present[node][0])
        measured = self.node_distances(node, a, b)
        contributions = {}
        for which, similarity in self.similarities.items():
            place = similarity.nodes.index(node)
            calibrated = float(calibrate(measured.distance, self.thresholds[node])[0, 0])
            contributions[which] = float(
                similarity.distance[place] * calibrated + similarity.absence[place] * (in_a != in_b)
            )
        if not (in_a and in_b) or node not in self.networks:
            state = {
                (True, True): "not trained",
                (False, False): "absent in both",
                (False, True): "absent in the first",
                (True, False): "absent in the second",
            }[in_a, in_b]
            return NodeExplanation(
                node, state, None, None, None, self.thresholds[node], None, contributions
            )
        va, vb = (torch.from_numpy(x.vectors[node]) for x in (a, b))
        distance = float(measured.distance[0, 0])
        return NodeExplanation(
            node,
            "compared",
            float(snr_distance(va, vb)),
            float(snr_distance(vb, va)),
            distance,
            self.thresholds[node],
            distance < self.thresholds[node],
            contributions,
        )

    def votes(
        self,
        images: Embedded | Sequence[str] | Sequence[Segmented],
        column: str = "label",
        which: Which = "debiased",
        node: str | None = None,
        without: Sequence[Sequence[str]] | None = None,
    ) -> tuple[list[str], np.ndarray]:
        """kNN votes for the values of a column.

        Parameters
        ----------
        images : Embedded, train image ids, or images with their segments
        column : str
            "label" or a group attribute.
        which : str
            The similarity to use.
        node : str, optional
            Use this node's distance alone.
        without : sequence of sequences of image ids, optional
            Per image, references that may not vote (itself, its host, its donor).

        Returns
        -------
        values, votes
            Sorted values, and a float array (B, values) whose rows sum to 1.
        """
        queries = self._embedded(images)
        distances = (
            self.total_distances(queries, self.references, which)
            if node is None
            else self.node_distances(node, queries, self.references).total()
        )
        for row, ids in enumerate(without or []):
            distances[row, [self._row[i] for i in ids if i in self._row]] = np.inf
        values, codes = np.unique(self.column(column).astype(str), return_inverse=True)
        return values.tolist(), knn_votes(distances, codes, len(values), self.neighbours)

    def classify(
        self,
        images: Embedded | Sequence[Segmented],
        which: Which = "debiased",
        node: str | None = None,
    ) -> list[str]:
        """Labels by kNN vote."""
        values, votes = self.votes(images, "label", which, node)
        return [values[i] for i in votes.argmax(axis=1)]

    def nearest(
        self, image: str | Segmented, k: int, node: str | None = None, which: Which = "debiased"
    ) -> list[tuple[str, float]]:
        """The k nearest train images, itself left out, with their distances."""
        query = self._one(image)
        distances = (
            self.total_distances(query, self.references, which)
            if node is None
            else self.node_distances(node, query, self.references).total()
        )[0]
        if isinstance(image, str):
            distances[self.row(image)] = np.inf
        order = np.argsort(distances, kind="stable")[:k]
        return [(self.index[i]["image_id"], float(distances[i])) for i in order]

    def save(self, folder: Path) -> None:
        """Writes the tree into a new folder: safetensors, Parquet and JSON."""
        folder.mkdir(parents=True)
        save_file(
            {
                f"{node}.{name}": tensor.contiguous()
                for node, network in self.networks.items()
                for name, tensor in network.state_dict().items()
            },
            folder / "networks.safetensors",
        )
        tensors = {
            f"{node}.vectors": torch.from_numpy(np.ascontiguousarray(vectors))
            for node, vectors in self.references.vectors.items()
        }
        tensors |= {
            f"{node}.present": torch.from_numpy(np.ascontiguousarray(present))
            for node, present in self.references.present.items()
        }
        save_file(tensors, folder / "references.safetensors")
        pq.write_table(pa.Table.from_pylist(self.index), folder / "references.parquet")
        content = {
            "taxonomy": self.taxonomy.describe(),
            "resolutions": self.resolutions,
            "thresholds": self.thresholds,
            "similarities": {k: s.to_dict() for k, s in self.similarities.items()},
            "neighbours": self.neighbours,
            "architectures": {n: network.architecture for n, network in self.networks.items()},
        }
        (folder / "tree.json").write_text(json.dumps(content, indent=1))

    @classmethod
    def load(cls, folder: str | Path) -> MetricTree:
        """Reads a saved tree; needs nothing else of the store.

        Raises
        ------
        FileNotFoundError
            If the folder holds no tree.
        """
        folder = Path(folder)
        if not (folder / "tree.json").exists():
            raise FileNotFoundError(f"no metric tree in {folder}: run the metric_tree stage first")
        content = json.loads((folder / "tree.json").read_text())
        taxonomy = from_mapping(content["taxonomy"]["name"], content["taxonomy"])
        states: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in load_file(folder / "networks.safetensors").items():
            node, name = key.split(".", 1)
            states.setdefault(node, {})[name] = tensor
        tensors = load_file(folder / "references.safetensors")
        return cls(
            taxonomy,
            content["resolutions"],
            content["thresholds"],
            {
                node: network_from(state, content["architectures"][node])
                for node, state in states.items()
            },
            {k: Similarity.from_dict(s) for k, s in content["similarities"].items()},
            Embedded(
                {n: tensors[f"{n}.vectors"].numpy() for n in taxonomy.nodes},
                {n: tensors[f"{n}.present"].numpy() for n in taxonomy.nodes},
            ),
            pq.read_table(folder / "references.parquet").to_pylist(),
            content["neighbours"],
        )
