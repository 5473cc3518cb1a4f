"""The stage: real rows untouched, accepted samples beside them, weights that balance the groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_contracts.common import SPLITS
from heml.compute.progress import Progress
from heml.compute.throttled_progress import ThrottledProgress
from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.documents import write_documents
from heml.dataset.group_reader import GroupReader
from heml.dataset.rows import Rows, Shape
from heml.dataset.selection import select_rows
from heml.dataset_folder.features import dataset_contract, output_names, with_features
from heml.dataset_folder.manifest_file import sha256_of
from heml.dataset_folder.split_writer import SplitShards
from heml.images.groups import group_name
from heml.images.revoked import read_revoked
from heml.storage.atomic_write import write_aside
from heml.storage.code_version import code_fingerprint
from heml.storage.fingerprint import fingerprint
from heml.storage.stage import Outcome, run_stage
from heml.storage.store import Store

VERSION = 6


def write_dataset(
    store: Store,
    name: str,
    label_name: str,
    attributes: Sequence[str],
    licence: str | None,
    recipe_fingerprint: str,
    progress: Progress,
    settings: DatasetSettings | None = None,
    split_name: str | None = None,
) -> Outcome:
    """Writes `store.rebalanced_dataset`.

    `data/<split>-*.parquet`, the card in `README.md`, `croissant.json`, and last `manifest.json`.
    The same recipe, input and code give the same bytes in every folder.

    Parameters
    ----------
    store : Store
        With images, segments, bias scores and recombined samples finished.
    name : str
        Of the dataset.
    label_name : str
        The input's column of the label.
    attributes : sequence of str
        The input's columns of the attributes, or discovered attributes.
    licence : str or None
        Of the images.
    recipe_fingerprint : str
        Goes into every row.
    progress : Progress
    settings : DatasetSettings, optional
    split_name : str, optional
        The input's column of the split, if it has one.

    Raises
    ------
    FileNotFoundError
        If an earlier stage has not run.
    """
    settings = settings or DatasetSettings()
    revoked = read_revoked(store)
    key = fingerprint(
        VERSION,
        name,
        label_name,
        list(attributes),
        licence,
        recipe_fingerprint,
        split_name,
        settings.model_dump(exclude={"exports"}),
        store.fingerprint("recombined_samples"),
        store.summary("images")["content"],
        store.summary("segments")["content"],
        *revoked.state(),
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        reader = GroupReader(store, attributes)
        selection = select_rows(store, reader, settings, revoked)
        # Discovered attributes are no column of the input, but of the dataset.
        inputs = [*reader.inputs, *reader.discovered]
        values = zip((label_name, *attributes), map(sorted, selection.values), strict=True)
        classes = dict(values)
        names = output_names(inputs)
        contract = dataset_contract(inputs, classes)
        shape = Shape(
            label=label_name,
            attributes=list(attributes),
            names=names,
            codes={c: {v: code for code, v in enumerate(own)} for c, own in classes.items()},
            contract=contract,
            split=split_name,
            licence=licence,
            recipe=recipe_fingerprint,
            code=code_fingerprint(),
        )
        schema = with_features(contract.schema(), {names[c]: own for c, own in classes.items()})
        rows: Counter[str] = Counter()
        segmenters: dict[str, str | None] = {}
        throttled = ThrottledProgress(progress)
        with write_aside(store.rebalanced_dataset) as folder:
            limit = settings.shard_mb * 1_000_000
            with SplitShards(folder / "data", contract, schema, limit) as shards:
                for split, row in Rows(store, shape, reader, selection, revoked):
                    shards.write(split, row)
                    rows[split] += 1
                    segmenters[row["segmenter"]] = row["segmenter_licence"]
                    throttled.tell(f"rebalanced_dataset: {rows.total()} rows")
            hashes = {
                f"data/{file.name}": sha256_of(file) for file in sorted((folder / "data").iterdir())
            }
            weights = selection.weights()
            recombined = selection.recombined.total()
            summary = {
                "rows": rows.total(),
                "real": rows.total() - recombined,
                "recombined": recombined,
                "surplus": len(selection.surplus),
                "revoked": len(revoked),
                "descendants": selection.descendants,
                "rows_by_split": {split: rows[split] for split in SPLITS if rows[split]},
                "label_column": names[label_name],
                "attribute_columns": [names[attribute] for attribute in attributes],
                "groups": {
                    group_name(label_name, group[0], attributes, group[1:]): {
                        "real": selection.real[group],
                        "recombined": selection.recombined[group],
                        "weight_real": round(weights[group].real, 6),
                        "weight_recombined": round(weights[group].recombined, 6),
                    }
                    for group in sorted(weights)
                },
                "segmenters": dict(sorted(segmenters.items())),
                "recipe_fingerprint": recipe_fingerprint,
                "code_fingerprint": shape.code,
                "version": f"1.{revoked.times}.0",
                "files": hashes,
                "images_per_second": throttled.rate(rows.total()),
                "words": f"{rows.total()} rows, {recombined} of them recombined",
            }
            write_documents(
                folder, store, name, label_name, attributes, licence, summary, False, hashes
            )
        progress(f"rebalanced_dataset: {summary['words']}")
        # The documents may be written again, with the effect: they are not this stage's files.
        return summary, [store.rebalanced_dataset / "data"]

    return run_stage(store, "rebalanced_dataset", key, compute, progress)
