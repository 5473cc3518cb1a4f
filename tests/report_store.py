"""A store that is ready for the report, of invented content, and what a page is made of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

from data_contracts import (
    ASSOCIATION,
    BIAS_MEASURES,
    BIAS_SCORES,
    COVERAGE,
    DEBIAS_EFFECT,
    IMAGES,
    PLANNED_GROUPS,
    QUARANTINE,
    RECOMBINED_SAMPLES,
    SEGMENTS,
)
from data_contracts.common import INPUT_PREFIX, input_columns
from heml.bias.association import association
from heml.bias.attributes import measured_attributes
from heml.bias.coverage import coverage
from heml.metrics.node_network import new_network
from heml.recombination.gate import GATE_COLUMNS
from heml.report import report_stage
from heml.report.figures import by_name
from heml.report.report_stage import render_report
from heml.segmentation.masks import encode
from heml.segmentation.segment_rows import segment_rows
from heml.storage.run_context import RunContext
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.metric_tree import Embedded, MetricTree
from heml.tree.similarity import Similarity

TAXONOMY = Taxonomy(
    "test",
    {"background": ("background",), "shape": ("shape",), "hat": ("hat",)},
    {"thing": ("shape", "hat"), "image": ("background", "thing")},
)
CLASSES = {0: "background", 1: "shape", 2: "hat"}
EVIL = "<script>alert(1)</script>"
RECIPE = f"name: test\n# </code></pre>{EVIL}\nsource: {{kind: portraits}}\n"
SIDE = 24


class ReportStore:
    """A store with every stage "finished": real tables of invented content.

    Parameters
    ----------
    root : Path
    labels, tones : pairs of str
        Label and attribute values.
    attribute : str
        Name of the attribute.
    more : sequence of str
        Further attributes, which have nothing to do with the label.
    """

    def __init__(
        self,
        root: Path,
        labels: tuple[str, str] = ("round", "square"),
        tones: tuple[str, str] = ("dark", "light"),
        attribute: str = "tone",
        more: Sequence[str] = (),
    ) -> None:
        self.store = Store(root)
        self.label, self.attributes = "outline", [attribute, *more]
        self._rng = np.random.default_rng(0)
        # Aligned eight times, conflicting once, in train; every group twice in test.
        groups = [(label, tone) for label in labels for tone in tones]
        habit = {groups[0]: 8, groups[1]: 1, groups[2]: 1, groups[3]: 8}
        self.index = pd.DataFrame(
            [(*group, "train") for group, count in habit.items() for _ in range(count)]
            + [(*group, "test") for group in groups for _ in range(2)],
            columns=["label", attribute, "split"],
        )
        self.index["image_id"] = [f"image-{n:02d}" for n in range(len(self.index))]
        for name in more:
            self.index[name] = np.where(np.arange(len(self.index)) % 2, "odd", "even")
        self.train = self.index[self.index["split"] == "train"]
        self.masks = {i: self._mask(n) for n, i in enumerate(self.index["image_id"])}
        self._images()
        self._segments()
        self._nodes()
        self._tree()
        self._bias()
        self._plan()
        self._samples()
        self._dataset()
        self._effect()

    def _finish(self, stage: str, summary: dict[str, Any]) -> None:
        self.store.finish(stage, f"made-of-{stage}", summary, [])

    def _mask(self, number: int) -> np.ndarray:
        ids = np.zeros((SIDE, SIDE), np.uint8)
        ids[8:20, 4 : 12 + number % 8] = 1
        if number % 4 == 0:
            ids[2:8, 6:12] = 2
        return ids

    def _png(self) -> bytes:
        buffer = io.BytesIO()
        pixels = self._rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def _images(self) -> None:
        contract = IMAGES.with_columns(input_columns(self.attributes))
        with ShardWriter(self.store.images, contract) as writer:
            for row in self.index.to_dict("records"):
                image = {"bytes": self._png(), "path": f"{row['image_id']}.png"}
                known = {k: row[k] for k in ("image_id", "split", "label")}
                known |= {INPUT_PREFIX + g: row[g] for g in self.attributes}
                size = {
                    "width": SIDE,
                    "height": SIDE,
                    "sha256": "0",
                    "source_sha256": "0",
                    "mask": None,
                }
                writer.write([known | size | {"image": image}], 1000)
        refused = [{"row": 5, "file_name": f"{EVIL}.png", "reason": "missing_file", "detail": EVIL}]
        pq.write_table(QUARANTINE.table(refused), self.store.quarantine)
        self._finish(
            "images",
            {
                "read": len(self.index) + 4,
                "accepted": len(self.index),
                "quarantined": 1,
                "excluded": 3,
                "accepted_by_split": {"test": 8, "train": 18},
                "reasons": {"missing_file": 1},
                "content": "images",
            },
        )

    def _segments(self) -> None:
        with ShardWriter(self.store.segments, SEGMENTS) as writer:
            for image_id, ids in self.masks.items():
                writer.write(segment_rows(image_id, ids, CLASSES), 100)
        presence = {"background": 1.0, "shape": 1.0, "hat": 0.25}
        area = {"background": 0.75, "shape": 0.2, "hat": 0.06}
        summary = {"content": "segments", "presence": presence, "mean_area": area}
        self._finish("segments", summary)

    def _nodes(self) -> None:
        for node in TAXONOMY.nodes:
            trained = {
                "state": "trained",
                "resolution": 16,
                "train_images": 18,
                "precision_at_1": 0.75,
                "learning_curve": [0.3, 0.2, 0.1],
            }
            untrained = {"state": "only 4 train images", "resolution": 16, "train_images": 4}
            self._finish(f"metric/{node}", untrained if node == "hat" else trained)

    def _tree(self) -> None:
        nodes, count = TAXONOMY.nodes, len(self.train)
        weights = np.array([0.0, 2.0, 0.1, 1.0, 0.5])
        vectors = {n: self._rng.normal(size=(count, 8)).astype(np.float32) for n in nodes}
        hats = np.array([2 in self.masks[i] for i in self.train["image_id"]])
        present = {n: hats if n == "hat" else np.ones(count, bool) for n in nodes}
        tree = MetricTree(
            TAXONOMY,
            dict.fromkeys(nodes, 16),
            dict.fromkeys(nodes, 0.4),
            {n: new_network(8, 0) for n in nodes if n != "hat"},
            {
                "plain": Similarity(tuple(nodes), weights, weights / 10, 1.0),
                "debiased": Similarity(tuple(nodes), weights[::-1].copy(), weights / 10, 1.2),
            },
            Embedded(vectors, present),
            self.train[["image_id", "label", *self.attributes]].to_dict("records"),
            3,
        )
        tree.save(self.store.metric_tree)
        summary: dict[str, Any] = {
            "weights": {
                which: dict(zip(nodes, map(float, w), strict=True))
                for which, w in (("plain", weights), ("debiased", weights[::-1]))
            }
        }
        for which, accuracy in (("plain", 0.37), ("debiased", 0.83)):
            summary |= {
                f"{which}_worst_group_accuracy": accuracy,
                f"{which}_worst_group_accuracy_low": accuracy - 0.1,
                f"{which}_worst_group_accuracy_high": accuracy + 0.1,
                f"{which}_worst_group": "round · light",
                f"{which}_worst_group_n": 2,
                f"{which}_average_accuracy": accuracy + 0.05,
            }
        self._finish("metric_tree", summary)

    def _bias(self) -> None:
        rows = []
        known = {"shape": 0.91, "background": 0.33, "hat": None, "thing": 0.71, "image": 0.55}
        for attribute, (node, score) in product(self.attributes, known.items()):
            row: dict[str, Any] = dict.fromkeys(BIAS_SCORES.column_names)
            row |= {
                "node": node,
                "kind": TAXONOMY.kind(node),
                "attribute": attribute,
                "rank": {"shape": 1, "background": 2, "hat": 3}.get(node, 1),
                "n": 18,
                "n_conflicting": 2,
                "present": 0.25 if node == "hat" else 1.0,
                "attributes": [attribute],
                "n_missing": 0,
                "flagged": False,
                "note": "",
                "score": score or 0.0,
                "score_low": (score or 0.0) * 0.9,
                "score_high": (score or 0.0) * 1.05,
            }
            if score is not None:
                for name, value in (("attribute_auc", 0.87), ("accuracy_aligned", 0.94),
                                    ("accuracy_conflicting", 0.06)):  # fmt: skip
                    row |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
                row |= {"attribute_auc_p": 0.002, "attribute_auc_q": 0.004}
            rows.append(row)
        pq.write_table(BIAS_SCORES.table(rows), self.store.bias_scores)
        groups = coverage(self.train, self.label, self.attributes)
        pq.write_table(COVERAGE.table(groups), self.store.coverage)
        links = [
            {"attribute": attribute, "n": 18, "cramers_v": 0.77 / place,
             "cramers_v_low": 0.61 / place,
             "cramers_v_high": 0.89 / place, "p_value": 0.0001, "attributes": [attribute],
             "permutation_p": 0.001, "permutation_q": 0.001, "n_missing": 0, "note": ""}
            for place, attribute in enumerate(self.attributes, start=1)
        ]  # fmt: skip
        pq.write_table(ASSOCIATION.table(links), self.store.association)
        measured = measured_attributes(self.attributes)
        measures = association(self.train, measured, resamples=50, permutations=50, seed=0)[1]
        pq.write_table(BIAS_MEASURES.table(measures), self.store.bias_measures)
        uncovered = groups.loc[groups["n"] == 0, "group"].tolist()
        self._finish("bias_scores", {"uncovered": uncovered, "notes": {}})

    def _plan(self) -> None:
        groups = coverage(self.train, self.label, self.attributes).to_dict("records")
        planned = [
            {
                **{k: group[k] for k in ("group", "label", "attributes")},
                "n_real": group["n"],
                "n_target": 8,
                "n_wanted": 8 - group["n"],
                "n_planned": 2 * (8 - group["n"]),
                "note": "",
                "n_missing": 8 - group["n"],
                "n_balancing": 8 - group["n"],
                "n_within_group": 0,
                "n_reached": 8,
                "reason": "",
            }
            for group in groups
        ]
        pq.write_table(PLANNED_GROUPS.table(planned), self.store.planned_groups)
        summary = {"edits": 28, "wanted": 14,
                   "attribute_nodes": dict.fromkeys(self.attributes, "shape"),
                   "label_nodes": "hat", "notes": {}, "words": "planned",
                   "recolored": ["frame"], "roles": {"label_colors": ["hat"]},
                   "presence_attributes": {}, "remarks": ["<b> belongs to no group"],
                   "identity_edits": 3}  # fmt: skip
        self._finish("rebalance_plan", summary)

    def _samples(self) -> None:
        ids = self.train["image_id"].tolist()
        sizes = self.train.groupby(["label", self.attributes[0]])["split"].transform("size")
        rare = self.train[sizes == 1]
        rows = []
        for number in range(12):
            group = rare.iloc[number % 2]
            reason = ("", "", "label_kept", "in_distribution")[number % 4]
            rows.append(
                dict.fromkeys(column.name for column in GATE_COLUMNS)
                | {
                    "edit_id": f"edit-{number:06d}",
                    "label": group["label"],
                    "attributes": [group[g] for g in self.attributes],
                    "direction": ("swap_attribute", "within_group")[number % 3 == 0],
                    "operator": ("transplant", "recolor")[number % 2],
                    "nodes": ["shape"],
                    "recolored_nodes": ["frame"] if number % 2 else [],
                    "host_id": ids[number],
                    "donor_id": ids[-1 - number],
                    "seed": number,
                    "accepted": not reason,
                    "reason": reason,
                    "refused_by": [reason] if reason else [],
                    "misfit": None,
                    "critic": None,
                    "gate_label": 0.9,
                    "gate_attribute": 0.8,
                    "gate_distribution": None if reason else 0.7,
                    "gate_change": 0.1,
                    "gate_donor_distance": 0.4,
                    "gate_seam": 0.5,
                    "gate_cut_off": 0.0,
                    "gate_segment": None,
                    "image": {"bytes": self._png(), "path": "sample.png"},
                    "masks": [{"class_name": "shape", "rle": encode(self.masks[ids[0]] == 1)}],
                    "origins": [],
                    "generator": None,
                    "generator_revision": None,
                    "generator_licence": None,
                    "code_fingerprint": "0" * 16,
                    "width": SIDE,
                    "height": SIDE,
                }
            )
        self.store.recombined_samples.mkdir()
        path = self.store.recombined_samples / "part-00000.parquet"
        pq.write_table(RECOMBINED_SAMPLES.table(rows), path)
        summary = {"wanted": 14, "tried": 12, "accepted": 6, "refused": 6,
                   "accepted_by_operator": {"recolor": 3, "transplant": 3},
                   "refused_by_reason": {"label_kept": 3, "in_distribution": 3}}  # fmt: skip
        self._finish("recombined_samples", summary)

    def _dataset(self) -> None:
        groups = coverage(self.train, self.label, self.attributes)["group"]
        counts = {
            group: {"real": 1, "recombined": 1, "weight_real": 1.25, "weight_recombined": 0.75}
            for group in groups
        }
        summary = {"rows": 32, "real": 26, "recombined": 6, "groups": counts,
                   "recipe_fingerprint": "0123456789abcdef", "code_fingerprint": "fedcba9876543210",
                   "files": {"data/train-00000-of-00001.parquet": "5" * 64}}  # fmt: skip
        self._finish("rebalanced_dataset", summary)

    def _effect(self) -> None:
        worst = {"erm": (0.11, 0.15, 0.13), "group_balanced": (0.2, 0.3, 0.25),
                 "rebalanced": (0.71, 0.69, 0.73)}  # fmt: skip
        self.effect(worst, n=60)

    def effect(self, worst: dict[str, tuple[float, ...]], n: int, note: str = "") -> None:
        """Replaces the measured effect: worst-group accuracies by arm and seed.

        Intervals are those of the mean over n images.
        """
        ends = {a: proportion_confint(np.mean(v) * n, n) for a, v in worst.items()}
        averages = {a: proportion_confint((np.mean(v) + 1) / 2 * n, n) for a, v in worst.items()}
        rows = [
            {
                "arm": arm,
                "seed": seed,
                "worst_group_accuracy": value,
                "average_accuracy": (value + 1) / 2,
                "worst_group": "outline=round · tone=light",
                "n_worst_group": n,
                "n_test": 4 * n,
                "n_train": 18,
                "worst_group_low": ends[arm][0],
                "worst_group_high": ends[arm][1],
                "average_low": averages[arm][0],
                "average_high": averages[arm][1],
                "note": note,
            }
            for arm, values in worst.items()
            for seed, value in enumerate(values)
        ]
        pq.write_table(DEBIAS_EFFECT.table(rows), self.store.debias_effect)
        self._finish("debias_effect", {})

    def scores(self, **changes: float) -> None:
        """Changes columns of the best leaf's scores."""
        scores = pd.read_parquet(self.store.bias_scores)
        scores.loc[scores["node"] == "shape", list(changes)] = list(changes.values())
        pq.write_table(BIAS_SCORES.table(scores), self.store.bias_scores)

    @property
    def run(self) -> RunContext:
        return RunContext(self.store, TAXONOMY, tuple(self.attributes))

    def render(self, **changes: Any) -> str:
        """The report's HTML."""
        arguments = {"name": "test", "recipe_text": RECIPE} | changes
        render_report(self.run, label_name=self.label, **arguments)
        return self.store.report.read_text()


class Page(HTMLParser):
    """What a page is made of.

    Attributes
    ----------
    tags : list of (name, attributes)
    text : str
        Text outside `style`, white space collapsed.
    open_tags : list of str
        Tags still open at the end.
    """

    _VOID = frozenset({"meta", "img", "br", "source"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open_tags: list[str] = []
        self._parts: list[str] = []
        self.feed(html)
        self.text = " ".join("".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self._VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open_tags:
            self._parts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def leave_out_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renders in a fraction of the time: every chart is one blank image, pairs are left out."""
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "WEBP")
    for name in dir(by_name):
        if name in by_name.__all__ and hasattr(report_stage, name):
            monkeypatch.setattr(report_stage, name, lambda *_, **__: buffer.getvalue())
    monkeypatch.setattr(report_stage, "explained_pairs", lambda *_: [])
