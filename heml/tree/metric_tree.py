"""The metric tree in use: distances, explanations, nearest images and labels of any image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import expit

from heml.metrics.distance import Distance
from heml.metrics.knn import knn_votes
from heml.metrics.node_distances import NodeDistances, node_distances
from heml.metrics.node_network import NodeNetwork
from heml.taxonomy import Taxonomy, nearest
from heml.tree.embedded import Embedded, embed_node
from heml.tree.explanation import PairExplanation, explain_node
from heml.tree.inputs import Segmented, read_segmented
from heml.tree.similarity import Calibration, Similarity, calibrate
from heml.tree.tree_error import TreeError, id_hint
from heml.tree.tree_files import read_taxonomy, read_tree, write_tree

__all__ = ["Embedded", "MetricTree", "PairExplanation", "Which", "read_taxonomy"]

Which = Literal["plain", "debiased"]
#: Distances that are held at once.
_DISTANCES = 2_000_000


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
        Per reference: image_id, label and attribute values.
    neighbors : int
        k of every vote.
    classes : mapping of int to str
        Names of class ids in masks, for images that come with one.
    calibration : mapping of node to Calibration
        How well each threshold tells same from different labels, where it was measured.
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
        neighbors: int,
        classes: Mapping[int, str] | None = None,
        calibration: Mapping[str, Calibration] | None = None,
    ) -> None:
        self.taxonomy = taxonomy
        self.resolutions = dict(resolutions)
        self.thresholds = dict(thresholds)
        self.networks = dict(networks)
        self.similarities = dict(similarities)
        self.references = references
        self.index = index
        self.neighbors = neighbors
        self.classes = dict(classes or {})
        self.calibration = dict(calibration or {})
        self._row = {record["image_id"]: row for row, record in enumerate(index)}

    @property
    def labels(self) -> list[str]:
        """Label values, sorted."""
        return sorted({record["label"] for record in self.index})

    def column(self, name: str) -> np.ndarray:
        """Label or attribute values of the references, as an object array (N,).

        Raises
        ------
        TreeError
            If the tree has no such column.
        """
        known = [key for key in self.index[0] if key != "image_id"]
        if name not in known:
            raise TreeError(f"the tree has no column '{name}'; {nearest(name, known)}")
        return np.array([record[name] for record in self.index], dtype=object)

    def row(self, image_id: str) -> int:
        """Position of a train image among the references.

        Raises
        ------
        TreeError
            If the id is not of a train image.
        """
        if image_id not in self._row:
            raise TreeError(
                f"'{image_id}' is not a train image of this tree; "
                f"{id_hint(image_id, self._row)}. Images of other splits: "
                "heml.tree.image_records.Records(store)[id]; new ones: (image, segments)"
            )
        return self._row[image_id]

    def known_rows(self, image_ids: Sequence[str]) -> list[int]:
        """Rows of the images that are references; a tree may have a sample of the train images."""
        return [self._row[image_id] for image_id in image_ids if image_id in self._row]

    def _check_node(self, node: str) -> None:
        if node not in self.taxonomy.nodes:
            raise TreeError(
                f"taxonomy '{self.taxonomy.name}' has no node '{node}'; "
                + nearest(node, self.taxonomy.nodes)
            )

    def _similarity(self, which: str) -> Similarity:
        if which not in self.similarities:
            raise TreeError(
                f"there is no similarity '{which}'; {nearest(which, self.similarities)}"
            )
        return self.similarities[which]

    def embed(self, images: Sequence[Segmented], nodes: Sequence[str] | None = None) -> Embedded:
        """Embeds images with their segments.

        Parameters
        ----------
        images : sequence of (image, segments)
            The image as uint8 array (H, W, 3) or PIL image; the segments as mapping of class name
            to bool array (H, W), or as a mask of class ids (H, W).
        nodes : sequence of str, optional
            Only these nodes; all by default.

        Raises
        ------
        TreeError
            For an unknown node, or an image that is no such thing.
        """
        for node in nodes or ():
            self._check_node(node)
        dimensions = next(iter(self.references.vectors.values())).shape[1]
        read = [read_segmented(image, self.taxonomy, self.classes) for image in images]
        found = {
            node: embed_node(
                read,
                self.taxonomy.classes_of(node),
                self.resolutions[node],
                self.networks.get(node),
                dimensions,
            )
            for node in nodes or self.taxonomy.nodes
        }
        return Embedded(
            {node: vectors for node, (vectors, _) in found.items()},
            {node: present for node, (_, present) in found.items()},
        )

    def _embedded(self, images: Embedded | Sequence[str | Segmented]) -> Embedded:
        if isinstance(images, Embedded):
            return images
        if isinstance(images, str):
            raise TreeError(f"expected a list of images, found the text '{images}'")
        rows = [self.row(image) for image in images if isinstance(image, str)]
        known = self.references.rows(rows)
        if len(rows) == len(images):
            return known
        new = self.embed([image for image in images if not isinstance(image, str)])
        # References stand first in what is joined, new images after them.
        known_places, new_places = iter(range(len(rows))), iter(range(len(rows), len(images)))
        order = [next(known_places if isinstance(i, str) else new_places) for i in images]
        return Embedded(
            {n: np.concatenate([v, new.vectors[n]]) for n, v in known.vectors.items()},
            {n: np.concatenate([p, new.present[n]]) for n, p in known.present.items()},
        ).rows(order)

    def node_distances(self, node: str, a: Embedded, b: Embedded) -> NodeDistances:
        """Distances of all images of `a` to all of `b` at one node."""
        self._check_node(node)
        return node_distances(
            self.distance_of(node),
            a.vectors[node],
            b.vectors[node],
            a.present[node],
            b.present[node],
        )

    def distance_of(self, node: str) -> Distance | None:
        """What a node compares embeddings by; None if it is untrained."""
        network = self.networks.get(node)
        return None if network is None else network.distance

    def total_distances(self, a: Embedded, b: Embedded, which: Which = "debiased") -> np.ndarray:
        """Total distances of all images of `a` to all of `b`, float array (A, B)."""
        similarity = self._similarity(which)
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
        """Total distance of two images, given as train image ids or with their segments.

        The same number as `explain(a, b).totals[which]`.

        Raises
        ------
        TreeError
            For an unknown id or similarity, or an image that is none.
        """
        self._similarity(which)
        return self.explain(a, b).totals[which]

    def explain(self, a: str | Segmented, b: str | Segmented) -> PairExplanation:
        """Distances of a pair over every node, with contributions that sum to the totals.

        Raises
        ------
        TreeError
            For an unknown id, or an image that is none.
        """
        pair = self._embedded([a, b])
        nodes = [
            explain_node(
                node,
                pair.vectors[node],
                pair.present[node],
                self.distance_of(node),
                self.thresholds[node],
                {which: s.weights_of(node) for which, s in self.similarities.items()},
            )
            for node in self.taxonomy.nodes
        ]
        totals = {
            which: sum(node.contributions[which] for node in nodes) for which in self.similarities
        }
        offsets = {which: similarity.offset for which, similarity in self.similarities.items()}
        probabilities = {w: float(expit(offsets[w] - total)) for w, total in totals.items()}
        return PairExplanation(nodes, totals, offsets, probabilities)

    def votes(
        self,
        images: Embedded | Sequence[str | Segmented],
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
            "label" or an attribute.
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
        values, codes = np.unique(self.column(column).astype(str), return_inverse=True)
        left_out = list(without or [[]] * len(queries))
        votes = np.empty((len(queries), len(values)))
        # Part by part: all distances of many images at once would not fit in memory.
        step = max(_DISTANCES // max(len(self.references), 1), 1)
        for start in range(0, len(queries), step):
            part = queries.rows(np.arange(start, min(start + step, len(queries))))
            distances = (
                self.total_distances(part, self.references, which)
                if node is None
                else self.node_distances(node, part, self.references).total()
            )
            for row, ids in enumerate(left_out[start : start + step]):
                distances[row, self.known_rows(ids)] = np.inf
            votes[start : start + step] = knn_votes(distances, codes, len(values), self.neighbors)
        return values.tolist(), votes

    def classify(
        self,
        images: Embedded | Sequence[str | Segmented],
        which: Which = "debiased",
        node: str | None = None,
    ) -> list[str]:
        """Labels by kNN vote; a train image given by its id has no vote on itself.

        Parameters
        ----------
        images : Embedded, or sequence of train image ids and (image, segments)
        which : str
            The similarity to use.
        node : str, optional
            Use this node's distance alone. Images without it get the label of the train images
            without it.

        Raises
        ------
        TreeError
            For an unknown node, id or similarity, or an image that is none.
        """
        itself = [] if isinstance(images, Embedded) else images
        without = [[image] if isinstance(image, str) else [] for image in itself]
        values, votes = self.votes(images, "label", which, node, without)
        return [values[i] for i in votes.argmax(axis=1)]

    def nearest(
        self, image: str | Segmented, k: int, node: str | None = None, which: Which = "debiased"
    ) -> list[tuple[str, float]]:
        """The k nearest train images, itself left out, with their distances.

        Parameters
        ----------
        image : train image id, or (image, segments)
        k : int
            At least 1; fewer are returned if there are not so many.
        node : str, optional
            Use this node's bounded distance alone; only images that have the node are returned.
        which : str
            The similarity to use without a node.

        Raises
        ------
        TreeError
            For an unknown node, id or similarity, a node that is untrained or that the image does
            not have, or an image that is none.
        """
        if k < 1:
            raise TreeError(f"k must be at least 1, got {k}")
        query = self._embedded([image])
        if node is None:
            distances = self.total_distances(query, self.references, which)[0]
        else:
            distances = self._from_node(node, query)
        if isinstance(image, str):
            distances[self.row(image)] = np.inf
        order = np.argsort(distances, kind="stable")[:k]
        found = [i for i in order if np.isfinite(distances[i])]
        return [(self.index[i]["image_id"], float(distances[i])) for i in found]

    def _from_node(self, node: str, query: Embedded) -> np.ndarray:
        """Distances of one image to all train images at a node, inf where they lack it."""
        measured = self.node_distances(node, query, self.references)
        if node not in self.networks:
            raise TreeError(f"node '{node}' is not trained, so nothing is nearest there")
        if not query.present[node][0]:
            raise TreeError(f"the image has no '{node}', so nothing is nearest there")
        return np.where(self.references.present[node], measured.distance[0], np.inf)

    def save(self, folder: Path) -> None:
        """Writes the tree into a new folder: safetensors, Parquet and JSON."""
        write_tree(self, folder)

    @classmethod
    def load(cls, folder: str | Path, taxonomy: Taxonomy | None = None) -> MetricTree:
        """Reads a saved tree; needs nothing else of the store.

        Parameters
        ----------
        folder : path
            The tree's folder, or the store's that holds it.
        taxonomy : Taxonomy, optional
            The one that the tree must have; whatever it has by default.

        Raises
        ------
        FileNotFoundError
            If the folder holds no tree.
        TreeError
            If the tree was saved by another version of HEML or has another taxonomy.
        """
        return cls(**read_tree(folder, taxonomy))
