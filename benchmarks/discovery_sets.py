"""The sets on which discovery is judged: what misleads is known for each, and no stage is told.

Portraits have a bias planted in an attribute that the seed draws. Tables of real images are given,
or drawn here from a table of attributes as the given ones were: a train split with few conflicting
records and all others aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.effect_pipeline import inside_root
from benchmarks.effect_tasks import Task
from heml.compute.progress import Progress
from heml.metrics.level import train_levels
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

#: Conflicting train records of each label, as in the given tables.
CONFLICTING = 6
#: No label has more aligned train records than this many times another's.
MOST_IMBALANCED = 2
#: An object before a background; its rim is of both.
PETS = Taxonomy(
    "pets",
    {"background": ("background",), "pet": ("pet",)},
    {"image": ("background", "pet")},
    ("border",),
)


@dataclass(frozen=True)
class DiscoverySet:
    """A set whose attribute is known to the benchmark alone.

    Parameters
    ----------
    name : str
    source : FolderSource or PortraitsSource
        Without attributes.
    taxonomy : Taxonomy
    attribute : str
        Column of what was planted or selected, or is independent of the label in a clean set.
    carriers : tuple of str
        Leaves that show the attribute.
    biased : bool
    settings : MetricSettings
    """

    name: str
    source: FolderSource | PortraitsSource
    taxonomy: Taxonomy
    attribute: str
    carriers: tuple[str, ...]
    biased: bool
    settings: MetricSettings


def portraits(seed: int) -> DiscoverySet:
    """Portraits with label and planted attribute drawn from the seed."""
    label, attribute = _drawn_pair(seed)
    return DiscoverySet(
        f"portraits-{seed}",
        PortraitsSource(
            kind="portraits",
            count=400,
            size=64,
            label=label,
            attributes=[],
            planted=attribute,
            association=0.97,
            seed=seed,
            test_share=0.2,
        ),
        builtin("portraits"),
        attribute,
        CARRIERS[attribute],
        True,
        MetricSettings(
            epochs=6, resolution=Resolution(leaf=24, branch=24, root=32), seed=seed, device="cpu"
        ),
    )


def clean_portraits(seed: int) -> DiscoverySet:
    """Portraits whose label goes with nothing; few and small, and without branches, so that there
    can be many sets."""
    label, attribute = _drawn_pair(seed)
    tree = builtin("portraits")
    return DiscoverySet(
        f"clean-{seed}",
        PortraitsSource(
            kind="portraits",
            count=260,
            size=48,
            label=label,
            attributes=[],
            planted=attribute,
            association=1 / len(ATTRIBUTES[attribute]),
            seed=1000 + seed,
            test_share=0.1,
        ),
        Taxonomy("leaves", tree.leaves, {"image": tuple(tree.leaves)}, tree.ignored),
        attribute,
        CARRIERS[attribute],
        False,
        MetricSettings(
            epochs=5, resolution=Resolution(leaf=20, branch=20, root=24), seed=seed, device="cpu"
        ),
    )


def _drawn_pair(seed: int) -> tuple[str, str]:
    rng = np.random.default_rng([seed, 11])
    label, attribute = rng.permutation(LABELS_AND_ATTRIBUTES)[:2]
    return str(label), str(attribute)


#: A hat is worn by a fifth of portraits only, and no label can be had of three skin tones.
LABELS_AND_ATTRIBUTES = sorted(set(ATTRIBUTES) - {"hat", "skin_tone"})


def table(
    task: Task, taxonomy: Taxonomy, carriers: tuple[str, ...], work: Path, split: str = "train"
) -> DiscoverySet:
    """A table's set.

    Parameters
    ----------
    split : str
        `oracle` takes the unbiased train split that some tables hold.
    """
    name = f"{task.root.name}-{task.name}"
    if split != "train":
        rows = pd.read_csv(task.table, dtype=str, keep_default_na=False)
        rows = rows[rows["split"] != "train"].replace({"split": {split: "train"}})
        task = _written(rows, f"{name}-clean", task, work)
        name = f"{name}-clean"
    root, metadata = inside_root(task, work)
    return DiscoverySet(
        name,
        FolderSource(
            kind="folder", root=str(root), metadata=metadata, label=task.label, attributes=[]
        ),
        taxonomy,
        task.attribute,
        carriers,
        split == "train",
        MetricSettings(device="cpu"),
    )


def drawn_table(
    root: Path, label: str, attribute: str, seed: int, work: Path, values: tuple[str, ...] = ()
) -> Task:
    """A biased table from `metadata.csv`: the label that an attribute value is more frequent with
    than elsewhere is aligned with it.

    Parameters
    ----------
    values : tuple of str
        Attribute values in use, two; default: those that there are.

    Raises
    ------
    ValueError
        If label or attribute have not two values.
    """
    rows = pd.read_csv(root / "metadata.csv", dtype=str, keep_default_na=False)
    rows = rows[(rows[label] != "") & (rows[attribute] != "") & (rows["mask_name"] != "")]
    if values:
        rows = rows[rows[attribute].isin(values)]
    rows = rows[rows[label].isin(rows[label].value_counts().index[:2])]
    counts = pd.crosstab(rows[label], rows[attribute])
    if counts.shape != (2, 2):
        raise ValueError(f"{label} × {attribute} is {counts.shape}: two values of each are needed")
    straight = counts.iloc[0, 0] * counts.iloc[1, 1] >= counts.iloc[0, 1] * counts.iloc[1, 0]
    aligned = dict(zip(counts.index, counts.columns[:: 1 if straight else -1], strict=True))
    rows = rows.sample(frac=1, random_state=seed)
    same = rows[attribute] == rows[label].map(aligned)
    parts = {
        (value, kind): rows[(rows[label] == value) & (same == kind)]
        for value in aligned
        for kind in (True, False)
    }
    few = min(CONFLICTING, *(len(part) // 2 for part in parts.values()))
    test = min(30, *((len(part) - few) // 3 for part in parts.values()))
    most = MOST_IMBALANCED * min(len(parts[value, True]) - test for value in aligned)
    chosen = []
    for (_, kind), part in parts.items():
        chosen.append(part[:test].assign(split="test"))
        chosen.append(part[test : test + (most if kind else few)].assign(split="train"))
    columns = ["file_name", "mask_name", "split", label, attribute]
    name = f"{label}-{attribute}-{seed}"
    drawn = Task(name, Path(), root, label, attribute)
    return _written(pd.concat(chosen)[columns], name, drawn, work)


def _written(rows: pd.DataFrame, name: str, task: Task, work: Path) -> Task:
    path = work / "tables" / task.root.name / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(path, index=False)
    return Task(name, path, task.root, task.label, task.attribute)


def trained(chosen: DiscoverySet, work: Path, progress: Progress) -> Store:
    """The set's store with all nodes trained, kept from an earlier run."""
    store = Store(work / "stores" / chosen.name)
    ingest(store, chosen.source, work, chosen.taxonomy, True, progress)
    run = RunContext(store, chosen.taxonomy, progress=progress)
    segment(run, AnnotatedSegmentation())
    for _ in train_levels(run, chosen.settings):
        pass
    return store
