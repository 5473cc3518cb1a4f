"""The report and its figures: complete, self-contained, true to the tables, safe, repeatable."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise, product
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
from data_contracts.recombined_samples import GATE_COLUMNS
from heml.bias.association import association
from heml.bias.attributes import measured_attributes
from heml.bias.coverage import coverage
from heml.bias.history import remember_scores
from heml.compute.progress import silent
from heml.effect.summary import arm_effects
from heml.metrics.node_network import new_network
from heml.parts.wording import chance, decimal, percent
from heml.report import report_stage
from heml.report.content.examples import sample_examples, spread, telling_pairs
from heml.report.content.findings import findings
from heml.report.content.report_facts import gather
from heml.report.drawing import style
from heml.report.drawing.style import SMALL, ink_on
from heml.report.drawing.tree_drawing import places
from heml.report.figures import by_name
from heml.report.report_stage import SECTIONS, render_report
from heml.segmentation.masks import encode
from heml.segmentation.segment_rows import segment_rows
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
                size = {"width": SIDE, "height": SIDE, "sha256": "0", "mask": None}
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

    def render(self, **changes: Any) -> str:
        """The report's HTML."""
        arguments = {"name": "test", "recipe_text": RECIPE} | changes
        render_report(
            self.store,
            taxonomy=TAXONOMY,
            label_name=self.label,
            attributes=self.attributes,
            progress=silent,
            **arguments,
        )
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ReportStore:
    return ReportStore(tmp_path_factory.mktemp("report") / "store")


@pytest.fixture(scope="module")
def page(made: ReportStore) -> Page:
    return Page(made.render())


@pytest.fixture
def own(tmp_path: Path) -> ReportStore:
    """A store that a test may change."""
    return ReportStore(tmp_path / "store")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages whose words alone matter: charts are blank, pairs are left out."""
    monkeypatch.setattr(style, "pixels", lambda figure, scale=1.0: Image.new("RGB", (20, 20)))
    monkeypatch.setattr(report_stage, "pair_stories", lambda *arguments: [])


FIGURES = {
    "images": lambda m: by_name.images_figure(m.store, m.label, m.attributes),
    "segments": lambda m: by_name.segments_figure(m.store, TAXONOMY),
    "segments_alone": lambda m: by_name.segments_alone_figure(m.store, TAXONOMY),
    "node": lambda m: by_name.node_figure(m.store, "shape", TAXONOMY),
    "node_without_views": lambda m: by_name.node_figure(m.store, "shape"),
    "untrained_node": lambda m: by_name.node_figure(m.store, "hat", TAXONOMY),
    "tree": lambda m: by_name.tree_figure(m.store, TAXONOMY, m.attributes[0]),
    "bias": lambda m: by_name.bias_figure(m.store, m.attributes[0]),
    "coverage": lambda m: by_name.coverage_figure(m.store),
    "plan": lambda m: by_name.plan_figure(m.store),
    "plan_accepted": lambda m: by_name.plan_figure(m.store, accepted=True),
    "samples": lambda m: by_name.samples_figure(m.store),
    "rejected": lambda m: by_name.rejected_figure(m.store),
    "effect": lambda m: by_name.effect_figure(m.store),
    "pair": lambda m: by_name.pair_figure(m.store, TAXONOMY, "image-00", "image-01"),
    "strip": lambda m: by_name.segment_strip_figure(m.store, TAXONOMY, "image-00", "image-01"),
    "shares": lambda m: by_name.contribution_figure(m.store, TAXONOMY, "image-00", "image-09"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_small_png(made: ReportStore, name: str) -> None:
    data = FIGURES[name](made)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] <= 900
    assert len(data) <= SMALL
    assert pixels.std() > 1, "the picture is not blank"


def test_images_are_shown_before_they_are_segmented(own: ReportStore) -> None:
    (own.store.root / "manifests" / "segments.json").unlink()
    shutil.rmtree(own.store.segments)
    assert FIGURES["images"](own)


@pytest.mark.parametrize("name", ["samples", "pair", "tree"])
def test_same_figure_same_bytes(made: ReportStore, name: str) -> None:
    assert FIGURES[name](made) == FIGURES[name](made)


def test_report_has_every_section_and_the_contents_lead_there(page: Page) -> None:
    sections = [tag["id"] for tag in page.named("section")]
    assert sections == [name for name, _ in SECTIONS]
    links = [str(tag["href"]) for tag in page.named("a")]
    assert links[0] == "#main", "the skip link comes first"
    ids = {tag.get("id") for _, tag in page.tags}
    assert {link.removeprefix("#") for link in links} <= ids
    assert set(sections) <= {link.removeprefix("#") for link in links}
    assert not page.open_tags
    assert page.named("html")[0]["lang"] == "en"


def test_report_needs_nothing_else(page: Page, made: ReportStore) -> None:
    sources = [v for _, tag in page.tags for k, v in tag.items() if k in ("src", "href", "srcset")]
    assert sources
    assert all(str(s).startswith(("data:image/", "#")) for s in sources)
    assert not page.named("script")
    assert not page.named("link")
    assert not re.search(r"url\(|@import", made.store.report.read_text())
    assert not re.search(r"\son\w+=", re.sub(r'"[^"]*"', '""', made.store.report.read_text()))


def test_every_picture_decodes_and_says_what_it_shows(page: Page) -> None:
    from base64 import b64decode

    pictures = page.named("img")
    assert len(pictures) > 20
    for picture in pictures:
        data = b64decode(str(picture["src"]).split(",", 1)[1])
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            ratio = image.width / image.height
        assert len(str(picture["alt"])) > 5
        assert int(str(picture["width"])) / int(str(picture["height"])) == pytest.approx(ratio, 0.1)


def test_headings_lead_step_by_step_and_tables_have_named_columns(
    page: Page, made: ReportStore
) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert not re.search(r"<th[^>]*>\s*</th>", made.store.report.read_text())


def test_charts_have_pictures_that_fit_a_phone(page: Page) -> None:
    sources = [s for s in page.named("source") if "max-width" in str(s["media"])]
    # Segments twice, coverage, scores, plan twice, effect, and two of every pair; some dark too.
    assert len([s for s in sources if "dark" not in str(s["media"])]) >= 9
    assert {int(str(s["width"])) for s in sources} == {360}
    assert all(str(s["media"]).startswith("screen and ") for s in page.named("source"))


def test_pairs_and_segments_have_pictures_for_dark_pages(page: Page) -> None:
    from base64 import b64decode

    sources = [s for s in page.named("source") if "dark" in str(s["media"])]
    assert len(sources) >= 4
    for source in sources:
        data = b64decode(str(source["srcset"]).split(",", 1)[1])
        with Image.open(io.BytesIO(data)) as image:
            assert image.convert("L").getpixel((2, image.height - 3)) < 40


def test_numbers_are_those_of_the_tables(page: Page) -> None:
    assert "30 records were read: 26 accepted, 1 quarantined, 3 excluded" in page.text
    assert "Cramér’s V 0.77 (95% interval 0.61 to 0.89" in page.text
    assert "Of 3 segments of the images, shape carries the attribute tone most" in page.text
    assert "on 94% of the aligned images and on 6% of the conflicting" in page.text
    assert "frame of the host, where they are not moved, get the colors" in page.text
    assert "Those of hat stay: they tell outline" in page.text
    assert "0.82 to 0.96; 0 is harmless, 1 the worst; 18 images, 2 of them" in page.text
    assert "6 images were recombined" in page.text
    assert "6 tries were refused" in page.text
    assert "right on 71% of its worst group, trained on the data as it is on 13%" in page.text
    low, high = proportion_confint(0.71 * 60, 60)
    assert f"{low:.0%}–{high:.0%}" in page.text
    assert "37% [27%, 47%]" in page.text, "plain similarity on test"
    assert "outline=round · tone=dark: 8 images (44.4% of train, ratio 1.78)" in page.text


def test_few_conflicting_records_and_missing_samples_are_owned_up_to(page: Page) -> None:
    assert "2 conflicting images are few" in page.text
    assert "8 of 14 wanted samples could not be made" in page.text


@pytest.mark.usefixtures("undrawn")
def test_values_that_look_like_markup_stay_text(tmp_path: Path) -> None:
    hostile = ReportStore(tmp_path / "s", ("round", EVIL), ("dark", '"><b>'), "tone<i>")
    page = Page(hostile.render(name=EVIL))
    assert not page.named("script")
    assert page.text.count(EVIL) >= 5, "name, label, recipe, quarantine: shown, not run"
    assert not page.open_tags


@pytest.mark.usefixtures("undrawn")
def test_every_attribute_has_its_figures_and_its_table(tmp_path: Path) -> None:
    page = Page(ReportStore(tmp_path / "s", more=["camera"]).render())
    for attribute in ("tone", "camera"):
        assert f"All nodes for {attribute}, most biased first" in page.text
        assert any(f"bias score for {attribute}" in str(tag["alt"]) for tag in page.named("img"))
    assert "Also measured: camera (V 0.39)" in page.text


def test_same_input_gives_the_same_bytes_in_another_folder(
    own: ReportStore, made: ReportStore, page: Page
) -> None:
    assert own.render() == made.store.report.read_text()


@pytest.mark.usefixtures("undrawn")
def test_an_unchanged_report_is_kept_and_a_changed_recipe_renders_again(own: ReportStore) -> None:
    arguments = (own.store, "test", TAXONOMY, own.label, own.attributes)
    first = render_report(*arguments, RECIPE, silent)
    assert not first.reused
    assert set(first.summary) >= {"bytes", "pictures", "sections", "words"}
    assert first.summary["bytes"] == own.store.report.stat().st_size < 15e6
    assert render_report(*arguments, RECIPE, silent).reused
    assert not render_report(*arguments, RECIPE + "# more", silent).reused


@pytest.mark.parametrize("how", ["never measured", "left out"])
@pytest.mark.usefixtures("undrawn")
def test_without_an_effect_the_report_says_so(own: ReportStore, how: str) -> None:
    if how == "never measured":
        own.store.debias_effect.unlink()
    text = Page(own.render(effect=how != "left out")).text
    assert "The effect on a held-out test split was not measured." in text
    assert "71%" not in text


def test_a_stage_that_is_missing_is_named(own: ReportStore) -> None:
    (own.store.root / "manifests" / "recombined_samples.json").unlink()
    with pytest.raises(FileNotFoundError, match="recombined_samples"):
        own.render()


@pytest.mark.usefixtures("undrawn")
def test_no_samples_at_all_is_no_error(own: ReportStore) -> None:
    path = own.store.recombined_samples / "part-00000.parquet"
    pq.write_table(RECOMBINED_SAMPLES.schema().empty_table(), path)
    summary = {"wanted": 14, "tried": 0, "accepted": 0, "refused": 0, "refused_by_reason": {}}
    own.store.finish("recombined_samples", "none", summary, [])
    text = Page(own.render()).text
    assert "0 images were recombined" in text
    assert "No sample was refused." in text
    for name in ("samples", "rejected"):
        assert FIGURES[name](own)


def doubts(made: ReportStore) -> list[str]:
    facts = gather(made.store, made.label, made.attributes, effect=True)
    return [doubt for finding in findings(facts) for doubt in finding.doubts]


def test_a_score_whose_interval_touches_0_is_doubted(own: ReportStore) -> None:
    assert not any("touches 0" in doubt for doubt in doubts(own))
    own.scores(score_low=0.0)
    assert any("touches 0" in doubt for doubt in doubts(own))


def test_a_rival_within_the_interval_is_named(own: ReportStore) -> None:
    own.scores(score_low=0.2)
    assert any("overlaps that of background" in doubt for doubt in doubts(own))


def test_no_node_is_said_and_not_turned_into_a_finding(own: ReportStore) -> None:
    scores = pd.read_parquet(own.store.bias_scores).assign(score=0.0, score_low=0.0)
    pq.write_table(BIAS_SCORES.table(scores), own.store.bias_scores)
    facts = gather(own.store, own.label, own.attributes, effect=True)
    assert "No segment was found" in findings(facts)[1].text


@pytest.mark.parametrize(
    ("after", "n", "expected"),
    [
        ((0.71, 0.69, 0.73), 60, None),
        ((0.30, 0.31, 0.32), 20, "intervals overlap"),
        ((0.10, 0.09, 0.11), 60, "did not gain"),
        ((0.70,), 60, "One seed"),
        ((0.41, 0.40, 0.42), 400, "still below guessing, 50%"),
        ((0.15, 0.16, 0.17), 4000, "hardly tells the label"),
    ],
)
def test_an_effect_is_doubted_where_it_should_be(
    own: ReportStore, after: tuple[float, ...], n: int, expected: str | None
) -> None:
    before = (0.11, 0.15, 0.13)[: len(after)]
    own.effect({"erm": before, "rebalanced": after}, n)
    found = [d for d in doubts(own) if "wanted" not in d and "few" not in d]
    assert (expected is None) == (not found)
    assert expected is None or any(expected in doubt for doubt in found)


@pytest.mark.usefixtures("undrawn")
def test_arms_are_read_in_the_contracts_order(own: ReportStore) -> None:
    own.effect({"rebalanced": (0.7,), "cutmix": (0.2,), "erm": (0.1,)}, 60, "no test image of x")
    arms = arm_effects(pd.read_parquet(own.store.debias_effect))
    assert [arm.arm for arm in arms] == ["erm", "cutmix", "rebalanced"]
    assert arms[2].n_worst == 60
    assert arms[2].worst.low == proportion_confint(42, 60)[0]
    text = Page(own.render()).text
    assert "CutMix" in text
    assert "no test image of x: that part is not judged" in text


@pytest.mark.usefixtures("undrawn")
def test_the_report_says_why_the_effect_was_not_measured(own: ReportStore) -> None:
    pq.write_table(DEBIAS_EFFECT.schema().empty_table(), own.store.debias_effect)
    own.store.finish("debias_effect", "none", {"not_measured": "no image is in split 'test'"}, [])
    text = Page(own.render()).text
    assert text.count("no image is in split 'test'") == 2, "in the findings and in the section"
    assert by_name.effect_figure(own.store) is None


def test_pairs_share_the_label_or_the_attribute_but_not_both(made: ReportStore) -> None:
    tree = MetricTree.load(made.store.metric_tree)
    pairs = telling_pairs(tree, made.attributes)
    assert [pair.same_label for pair in pairs] == [True, False]
    known = made.train.set_index("image_id")
    for pair in pairs:
        first, second = known.loc[pair.first], known.loc[pair.second]
        assert (first["label"] == second["label"]) == pair.same_label
        assert (first["tone"] == second["tone"]) != pair.same_label


def test_examples_of_samples_cover_every_kind(made: ReportStore) -> None:
    accepted = sample_examples(made.store, accepted=True)
    kinds = list(zip(accepted["direction"], accepted["operator"], strict=True))
    assert len(set(kinds)) == len(kinds) == 4
    assert kinds[0][0] == "swap_attribute", "controls come last"
    refused = sample_examples(made.store, accepted=False, per_kind=2)
    assert sorted(refused["reason"]) == ["in_distribution"] * 2 + ["label_kept"] * 2


def test_tree_places_leaves_on_lines_of_their_own_and_branches_amid_children() -> None:
    where = places(TAXONOMY)
    assert sorted(where[leaf][1] for leaf in TAXONOMY.leaves) == [0, 1, 2]
    assert where["thing"] == (1, pytest.approx((where["shape"][1] + where["hat"][1]) / 2))
    assert where["image"][0] == 0


def test_spread_keeps_both_ends() -> None:
    assert spread(3, 5) == [0, 1, 2]
    assert spread(100, 3) == [0, 50, 99]
    assert spread(0, 3) == []


def test_numbers_in_words() -> None:
    assert (percent(0.876), percent(None), percent(float("nan"))) == ("88%", "–", "–")
    assert (decimal(0.126), decimal(None)) == ("0.13", "–")
    assert (chance(0.0004), chance(0.04), chance(None)) == ("< 0.001", "0.040", "–")


def test_text_contrasts_with_its_background() -> None:
    assert ink_on("#ffffff") != "#ffffff"
    assert ink_on("#c04a00") == "#ffffff"


def luminance(color: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = color.removeprefix("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    channels = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_words_stand_out_from_the_page_in_light_dark_and_print():
    css = (Path(report_stage.__file__).parent / "templates" / "report.css").read_text()
    schemes = [dict(re.findall(r"--([\w-]+): (#\w+)", root)) for root in css.split(":root {")[1:]]
    assert len(schemes) == 3
    for scheme in schemes:
        for ground in ("paper", "soft", "doubt"):
            for ink in ("ink", "muted", "accent", "doubt-line"):
                if ground == "doubt" and ink != "ink":
                    continue
                light, dark = sorted(map(luminance, (scheme[ink], scheme[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground, scheme[ink])


@pytest.mark.usefixtures("undrawn")
def test_scores_of_earlier_measurements_are_shown_once_there_are_some(own: ReportStore) -> None:
    assert "Earlier measurements" not in Page(own.render()).text
    scores = pd.read_parquet(own.store.bias_scores)
    for times, images in ((0.5, "a"), (1.0, "b")):
        earlier = scores.assign(score=scores["score"] * times)
        remember_scores(own.store, earlier, own.label, images, images)
    (own.store.root / "manifests" / "report.json").unlink()
    page = Page(own.render())
    assert "Earlier measurements" in page.text
    assert "NodeAttribute#1#2" in page.text
    assert not page.open_tags
