"""A proposed hierarchy from end to end: leaves in a store, the command, a recipe that loads."""

import subprocess
import sys

import numpy as np
import pytest
import yaml

from heml.bias.simulation import simulated_node
from heml.compute.progress import silent
from heml.images.images_table import image_index
from heml.metrics.artifacts import save_node
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.views import union
from heml.segmentation.masks import SegmentReader
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, builtin
from heml.tree.image_records import Records
from heml.tree.metric_tree import MetricTree
from heml.tree.tree_error import TreeError
from heml.tree.tree_stage import build_tree, fit_tree
from pipelines.cli.app import main
from pipelines.recipe.model import load_recipe

PORTRAITS = builtin("portraits")
FLAT = Taxonomy("flat", PORTRAITS.leaves, {"image": tuple(PORTRAITS.leaves)})
SETTINGS = MetricSettings(neighbors=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Portraits whose nodes hold the label, or nothing, without any training."""
    store = Store(tmp_path_factory.mktemp("flat") / "flat")
    source = PortraitsSource(kind="portraits", count=80, size=48, test_share=0.25)
    ingest(store, source, store.root, FLAT, True, silent)
    segment(RunContext(store, FLAT), AnnotatedSegmentation())
    index = image_index(store, ["hair_tone"])
    for number, name in enumerate(FLAT.nodes):
        node = simulated_node(index, {"label": 6.0} if name in ("mouth", "skin") else {},
                              seed=number, node=name)  # fmt: skip
        fold = np.where(index["split"] == "train", np.arange(len(index)) % 3, -1)
        reader = SegmentReader(store)
        node.index["present"] = [
            union(reader.masks(i), FLAT.classes_of(name)) is not None for i in index["image_id"]
        ]
        node.index["fold"] = fold.astype(np.int8)
        node.report["resolution"] = 16
        save_node(node, store.node(name) / "made")
        store.finish(f"metric/{name}", "made", {}, [store.node(name) / "made"])
    fit_tree(RunContext(store, FLAT, ("hair_tone",)), SETTINGS)
    return store


def test_the_proposal_loads_as_a_recipe(store, tmp_path, capsys):
    assert main(["taxonomy", "propose", str(store.root)]) == 0
    fragment = capsys.readouterr().out
    path = tmp_path / "faces.yaml"
    path.write_text("name: faces\nsource: {kind: portraits}\n" + fragment)
    proposed = load_recipe(path).taxonomy
    assert dict(proposed.leaves) == dict(FLAT.leaves)
    assert proposed.root == "image"
    assert "background" in proposed.children("image")
    assert len(proposed.tree) > 1


def test_leaves_that_agree_and_touch_come_together(store, capsys):
    main(["taxonomy", "propose", str(store.root), "--adjacency", "0.3"])
    tree = yaml.safe_load(capsys.readouterr().out)["taxonomy"]["tree"]
    together = next(children for children in tree.values() if "mouth" in children)
    assert "skin" in together


def test_the_command_runs_as_a_module_and_explains_itself():
    command = [sys.executable, "-m", "pipelines.cli", "taxonomy", "propose", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "STORE_FOLDER" in said
    assert "--tolerance" in said


def test_records_of_every_split_are_read_by_id(store):
    records, index = Records(store.root), image_index(store, [])
    assert list(records) == index["image_id"].tolist()
    test = index.loc[index["split"] == "test", "image_id"].iloc[0]
    assert test in records
    pixels, masks = records[test]
    assert pixels.shape == (48, 48, 3)
    assert set(masks) <= set(FLAT.class_names)
    with pytest.raises(TreeError, match="no image 'portrait-9'"):
        records["portrait-9"]
    with pytest.raises(TreeError, match=r"not a train image.*Records"):
        MetricTree.load(store.root).row(test)


def test_untrained_nodes_contribute_by_presence_alone(store):
    # The simulated nodes have no networks, as nodes that few images have.
    tree, records = MetricTree.load(store.metric_tree, FLAT), Records(store.root)
    ids = [record["image_id"] for record in tree.index]
    for a, b in zip(ids[:10], ids[10:20], strict=True):
        for node in tree.explain(records[a], records[b]).nodes:
            assert node.state in ("not trained", "absent in both", "absent in the first",
                                  "absent in the second")  # fmt: skip
            assert node.distance is None


def test_nodes_of_other_images_are_refused(store):
    index = image_index(store, ["hair_tone"])
    nodes = [simulated_node(index, {}, seed=0, node=name) for name in FLAT.nodes]
    other = index.assign(image_id=index["image_id"] + "x")
    with pytest.raises(TreeError, match=r"'background' was trained on other images.*run the stage"):
        build_tree(FLAT, nodes, other, ["hair_tone"], SETTINGS)
