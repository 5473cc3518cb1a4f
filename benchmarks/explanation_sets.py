"""The biased sets whose explanations are judged: what carries the attribute is known for each.

Portraits have a bias planted in a node that the seed chooses; the two real sets have one that was
selected into their training split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heml.bias.attributes import measured_attributes
from heml.bias.bias_settings import BiasSettings
from heml.bias.bias_stage import score_node
from heml.bias.node_scores import AttributeScorer, rank_scores
from heml.compute.progress import Progress
from heml.images.images_table import image_index
from heml.metrics.artifacts import load_node
from heml.metrics.level import train_level
from heml.metrics.metric_settings import MetricSettings, Resolution
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.folder import FolderSource
from heml.sources.layouts.portraits import PortraitsSource
from heml.sources.portraits import ATTRIBUTES
from heml.sources.portraits.vocabulary import CARRIERS
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, builtin
from heml.tree.metric_tree import MetricTree
from heml.tree.tree_stage import fit_tree

#: What portraits are labeled with; the bias is planted in another attribute.
LABEL = "mouth"


@dataclass(frozen=True)
class BiasedSet:
    """A set with a known bias.

    Parameters
    ----------
    name : str
    source : FolderSource or PortraitsSource
    taxonomy : Taxonomy
    carriers : tuple of str
        Leaves that carry the attribute.
    settings : MetricSettings
    """

    name: str
    source: FolderSource | PortraitsSource
    taxonomy: Taxonomy
    carriers: tuple[str, ...]
    settings: MetricSettings

    @property
    def attribute(self) -> str:
        return self.source.attributes[0]


def planted(seed: int, count: int, size: int, test_share: float, quick: bool) -> BiasedSet:
    """Portraits with the bias planted in a node that is drawn from the seed."""
    rng = np.random.default_rng([seed, 5])
    attribute = str(rng.choice([name for name in ATTRIBUTES if name != LABEL]))
    return BiasedSet(
        f"portraits-{seed}",
        PortraitsSource(
            kind="portraits", count=count, size=size, label=LABEL, attributes=[attribute],
            seed=seed, test_share=test_share,
        ),
        builtin("portraits"),
        CARRIERS[attribute],
        MetricSettings(
            epochs=3 if quick else 6, resolution=Resolution(leaf=24, branch=32, root=48), seed=seed,
            device="cpu",
        ),
    )  # fmt: skip


def real(name: str, root: Path, quick: bool) -> BiasedSet:
    """`celebamask` or `ccp`, the first of their biased tasks."""
    label, attribute, taxonomy, carrier = {
        "celebamask": ("mouth", "hair_tone", "celebamask_hq", "hair"),
        "ccp": ("lower_body", "background", "ccp", "background"),
    }[name]
    return BiasedSet(
        name,
        FolderSource(
            kind="folder", root=str(root.resolve()), metadata=f"tasks/{label}-{attribute}-0.csv",
            label=label, attributes=[attribute],
        ),
        builtin(taxonomy),
        (carrier,),
        MetricSettings(epochs=2, device="cpu") if quick else MetricSettings(device="cpu"),
    )  # fmt: skip


def prepare(chosen: BiasedSet, folder: Path, progress: Progress) -> Store:
    """The set's store with images and segments, kept from an earlier run."""
    store = Store(folder / chosen.name)
    ingest(store, chosen.source, folder, chosen.taxonomy, True, progress)
    segment(RunContext(store, chosen.taxonomy, progress=progress), AnnotatedSegmentation())
    return store


def trained_tree(chosen: BiasedSet, folder: Path, progress: Progress) -> tuple[Store, MetricTree]:
    """The set's store and its tree, kept from an earlier run."""
    store = prepare(chosen, folder, progress)
    _train(store, chosen, chosen.taxonomy.levels, progress)
    fit_tree(RunContext(store, chosen.taxonomy, (chosen.attribute,), progress), chosen.settings)
    return store, MetricTree.load(store.metric_tree, chosen.taxonomy)


def ranked_leaves(chosen: BiasedSet, folder: Path, progress: Progress) -> pd.DataFrame:
    """Leaves with bias score and attribute AUC, most biased first.

    Ranks are within leaves, so no branch needs to be trained; few resamples, because the rank needs
    no interval.
    """
    store = prepare(chosen, folder, progress)
    leaves = chosen.taxonomy.levels[0]
    _train(store, chosen, [leaves], progress)
    index = image_index(store, [chosen.attribute])
    bias = BiasSettings(resamples=50, permutations=50)
    (attribute,) = measured_attributes([chosen.attribute])
    rows = []
    for leaf in leaves:
        metric = load_node(store, leaf)
        scorer = AttributeScorer(index, attribute, metric.fold, bias)
        rows += [
            {"node": leaf, "kind": "leaf", **row}
            for row in score_node(metric, index, [scorer], chosen.settings.neighbors)
        ]
    return rank_scores(pd.DataFrame(rows)).sort_values("rank")


def _train(
    store: Store, chosen: BiasedSet, levels: Sequence[Sequence[str]], progress: Progress
) -> None:
    run = RunContext(store, chosen.taxonomy, (chosen.attribute,), progress)
    for level in levels:
        for _ in train_level(run, level, chosen.settings):
            pass


def test_pairs(
    index: pd.DataFrame, attribute: str, count: int, seed: int, conflicting: bool
) -> list[tuple[str, str]]:
    """Pairs of test images that were never trained on, drawn without replacement.

    Parameters
    ----------
    index : DataFrame
        Columns image_id, split, label and the attribute.
    conflicting : bool
        Pairs of one label and different attributes alone: there it is known that a metric which
        holds them for different has looked at what carries the attribute. Otherwise any two images.
    """
    test = index[index["split"] == "test"].reset_index(drop=True)
    first, second = np.triu_indices(len(test), 1)
    if conflicting:
        labels, attributes = test["label"].to_numpy(), test[attribute].to_numpy()
        wanted = (labels[first] == labels[second]) & (attributes[first] != attributes[second])
        first, second = first[wanted], second[wanted]
    rng = np.random.default_rng([seed, 7])
    chosen = rng.choice(len(first), min(count, len(first)), replace=False)
    ids = test["image_id"].tolist()
    return [(ids[first[i]], ids[second[i]]) for i in chosen]
