"""The plan as a stage: on ingested and segmented portraits, with scores made by hand."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_contracts import BIAS_SCORES, PLANNED_GROUPS, REBALANCE_PLAN
from heml.compute.progress import silent
from heml.images.images_table import image_index
from heml.recombination.plan.layout import read_layouts
from heml.recombination.plan.plan_stage import make_plan
from heml.recombination.plan.quotas import QuotaError
from heml.recombination.plan.train_roles import planned_roles
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.report.figures.by_name import plan_figure
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import builtin
from pipelines.cli.plan_summary import plan_lines

TAXONOMY = builtin("portraits")
LABEL, ATTRIBUTES = "mouth", ["hair_tone"]
SOURCE = PortraitsSource(kind="portraits", count=120, size=32, association=0.9)


def run_of(store: Store) -> RunContext:
    return RunContext(store, TAXONOMY, tuple(ATTRIBUTES))


def _nothing(of: pa.DataType):
    """An empty value of a type."""
    if pa.types.is_list(of):
        return []
    return "" if pa.types.is_string(of) else pa.scalar(0).cast(of).as_py()


def write_scores(store: Store, attribute_leaf: str | None, label_leaf: str | None) -> None:
    rows = []
    for node in TAXONOMY.nodes:
        carries, tells = node == attribute_leaf, node == label_leaf
        row = {c.name: None if c.nullable else _nothing(c.type) for c in BIAS_SCORES.columns}
        row |= {"node": node, "kind": TAXONOMY.kind(node), "attribute": ATTRIBUTES[0], "rank": 1}
        row |= {
            "n": 84,
            "n_conflicting": 8,
            "present": 1.0,
            "attribute_auc": 0.99 if carries else 0.5,
        }
        row |= {"score": 0.9 * carries, "score_low": 0.8 * carries, "score_high": 0.9 * carries}
        row |= {"attribute_auc_q": 0.01 if carries else 0.6}
        right = (0.9, 0.1) if carries else (0.9, 0.9) if tells else (0.5, 0.5)
        for name, value in zip(("aligned", "conflicting"), right, strict=True):
            row |= {f"accuracy_{name}": value, f"accuracy_{name}_low": max(value - 0.1, 0)}
        rows.append(row)
    # Attributes of several columns are scored too, and are no plan's.
    rows.append({**rows[0], "attribute": "hair_tone × hat", "score": 1.0})
    pq.write_table(BIAS_SCORES.table(rows), store.bias_scores)
    store.finish("bias_scores", f"{attribute_leaf} {label_leaf}", {}, [store.bias_scores])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("plan") / "small")
    ingest(store, SOURCE, store.root, TAXONOMY, True, silent)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    return store


def plan(store, attribute_leaf="hair", label_leaf="mouth", **settings):
    write_scores(store, attribute_leaf, label_leaf)
    return make_plan(run_of(store), LABEL, RebalanceSettings(**settings))


def test_plan_keeps_its_contracts_and_the_train_split(store):
    summary = plan(store).summary
    edits, groups = pd.read_parquet(store.rebalance_plan), pd.read_parquet(store.planned_groups)
    lists = ("attributes", "nodes", "recolored_nodes")
    plain = [c.name for c in REBALANCE_PLAN.columns if c.name not in lists]
    REBALANCE_PLAN.validate(edits, plain)
    PLANNED_GROUPS.validate(groups, [c for c in PLANNED_GROUPS.column_names if c != "attributes"])
    train = set(image_index(store, ATTRIBUTES).query("split == 'train'")["image_id"])
    assert set(edits["host_id"]) | set(edits["donor_id"]) <= train
    assert groups["n_real"].sum() == len(train)
    assert summary["would_make"] == groups["n_wanted"].sum() > 0
    assert planned_roles(store).attribute_nodes == {"hair_tone": ("hair",)}
    assert planned_roles(store).label_nodes == ("mouth",)


def test_donors_fit_better_than_any(store):
    plan(store)
    edits = pd.read_parquet(store.rebalance_plan).query("direction == 'swap_label'")
    index = image_index(store, ATTRIBUTES).query("split == 'train'").reset_index(drop=True)
    layouts = read_layouts(run_of(store), index["image_id"].tolist())
    row_of = {image_id: row for row, image_id in enumerate(layouts.image_ids)}
    kept = [leaf for leaf in layouts.leaves if leaf not in ("mouth", "background")]
    labels = index["label"].to_numpy()
    chosen, usual = [], []
    for edit in edits.to_dict("records"):
        host = row_of[edit["host_id"]]
        donors = np.flatnonzero(labels == edit["label"])
        chosen.append(layouts.mismatch(host, np.array([row_of[edit["donor_id"]]]), kept)[0])
        usual.append(np.median(layouts.mismatch(host, donors, kept)))
    assert np.mean(chosen) < 0.8 * np.mean(usual)


def test_same_plan_is_kept_and_made_again_byte_for_byte(store, tmp_path):
    plan(store, seed=1)
    first = [path.read_bytes() for path in (store.rebalance_plan, store.planned_groups)]
    assert plan(store, seed=1).reused
    assert not plan(store, seed=2).reused
    plan(store, seed=1)
    assert [p.read_bytes() for p in (store.rebalance_plan, store.planned_groups)] == first


def test_quotas_of_unknown_values_are_refused_and_nothing_is_written(store):
    plan(store)
    before = store.planned_groups.read_bytes()
    with pytest.raises(QuotaError, match="mouth 'smilng'; did you mean 'smiling'"):
        plan(store, target={"quotas": {"smilng": {"dark": 3}}})
    assert store.planned_groups.read_bytes() == before


@pytest.mark.parametrize(
    ("leaves", "settings", "line"),
    [
        (("hair", "mouth"), {}, "hair_tone is moved with hair"),
        (("hair", "mouth"), {"target": "independent"}, "the label is moved with mouth"),
        (("hair", None), {}, "the label is moved with no segment"),
        ((None, None), {}, "no node encodes what would have to be moved"),
        (("hair", "mouth"), {"budget": 0}, "note: the budget is 0: nothing is planned"),
        (("background", None), {"operators": ["transplant"]}, "no donor"),
        (
            ("hair", "mouth"),
            {"target": {"quotas": {"smiling": {"light": 1}}}},
            "more real records than the target; none is removed",
        ),
    ],
)
def test_terminal_and_picture_tell_what_would_be_made(store, leaves, settings, line):
    plan(store, *leaves, **settings)
    text = "\n".join(plan_lines(store))
    assert line in text
    for group in pd.read_parquet(store.planned_groups)["group"]:
        assert group in text
    png = plan_figure(store)
    assert png.startswith(b"\x89PNG")


def test_no_record_with_a_attribute_still_gives_tables_and_a_picture(store, tmp_path):
    from heml.recombination.attribution.roles import Roles
    from heml.recombination.plan.planner import Planner

    index = image_index(store, ATTRIBUTES).query("split == 'train'").assign(hair_tone=None)
    layouts = read_layouts(run_of(store), index["image_id"].tolist())
    made = Planner(index, ATTRIBUTES, Roles({}, ()), layouts, RebalanceSettings(), LABEL).plan()
    empty = Store(tmp_path / "empty")
    empty.root.mkdir()
    pq.write_table(PLANNED_GROUPS.table(made.groups), empty.planned_groups)
    assert Image.open(io.BytesIO(plan_figure(empty))).width > 100
