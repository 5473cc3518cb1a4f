"""The stage: real rows untouched, accepted samples beside them, weights that balance the groups."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from data_contracts.common import SPLITS
from heml.compute.throttled_progress import ThrottledProgress
from heml.dataset.dataset_audit import audit_dataset
from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.description import Description
from heml.dataset.documents import write_documents
from heml.dataset.group_reader import GroupReader
from heml.dataset.mark_balance import balance_marks, described
from heml.dataset.rows import Rows, Shape
from heml.dataset.selection import select_rows
from heml.dataset_folder.features import dataset_contract, output_names, with_features
from heml.dataset_folder.split_writer import SplitShards
from heml.images.groups import group_name, in_order
from heml.images.revoked import read_revoked
from heml.storage.atomic_write import write_aside
from heml.storage.code_version import code_fingerprint
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage
from heml.storage.verification import file_hash

VERSION = 9


def write_dataset(
    run: RunContext,
    about: Description,
    recipe_fingerprint: str,
    settings: DatasetSettings | None = None,
) -> Outcome:
    """Writes a candidate, audits it, and publishes it as `store.rebalanced_dataset`.

    `data/<split>-*.parquet`, the card in `README.md`, `croissant.json`, and last `manifest.json`.
    The same recipe, input and code give the same bytes in every folder. Where the audit fails, the
    version that was published before stays in place.

    Parameters
    ----------
    run : RunContext
        Its store has images, segments, bias scores and recombined samples finished.
    about : Description
    recipe_fingerprint : str
        Goes into every row.
    settings : DatasetSettings, optional

    Raises
    ------
    FileNotFoundError
        If a stage that it needs has not run.
    ContractError
        If the candidate fails the audit.
    """
    store, attributes = run.store, run.attributes
    settings = settings or DatasetSettings()
    revoked = read_revoked(store)
    key = fingerprint(
        VERSION,
        about.name,
        about.label,
        list(attributes),
        about.licence,
        recipe_fingerprint,
        about.split,
        settings.model_dump(exclude={"exports"}),
        store.fingerprint("recombined_samples"),
        store.summary("images")["content"],
        store.summary("images").get("orders", {}),
        store.summary("segments")["content"],
        *revoked.state(),
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        reader = GroupReader(store, attributes)
        selection = select_rows(store, reader, settings, revoked)
        balance = balance_marks(store, reader, selection, revoked)
        # Discovered attributes are no column of the input, but of the dataset.
        inputs = [*reader.inputs, *reader.discovered]
        orders = store.summary("images").get("orders", {})
        values = zip((about.label, *attributes), selection.values, strict=True)
        classes = {column: in_order(own, orders.get(column, ())) for column, own in values}
        names = output_names(inputs)
        contract = dataset_contract(inputs, classes)
        shape = Shape(
            label=about.label,
            attributes=list(attributes),
            names=names,
            codes={c: {v: code for code, v in enumerate(own)} for c, own in classes.items()},
            contract=contract,
            split=about.split,
            licence=about.licence,
            recipe=recipe_fingerprint,
            code=code_fingerprint(),
        )
        schema = with_features(contract.schema(), {names[c]: own for c, own in classes.items()})
        rows: Counter[str] = Counter()
        segmenters: dict[str, str | None] = {}
        generators: Counter[tuple[str, str | None, str | None]] = Counter()
        throttled = ThrottledProgress(run.progress)
        with write_aside(store.rebalanced_dataset) as folder:
            limit = settings.shard_mb * 1_000_000
            with SplitShards(folder / "data", contract, schema, limit) as shards:
                for split, row in Rows(store, shape, reader, selection, revoked, balance):
                    shards.write(split, row)
                    rows[split] += 1
                    segmenters[row["segmenter"]] = row["segmenter_licence"]
                    if row["generator"]:
                        model = row["generator"], row["generator_revision"]
                        generators[(*model, row["generator_licence"])] += 1
                    throttled.tell(f"rebalanced_dataset: {rows.total()} rows")
            hashes = {
                f"data/{file.name}": file_hash(file) for file in sorted((folder / "data").iterdir())
            }
            weights = {
                group: balance.weighed(group, own) for group, own in selection.weights().items()
            }
            recombined = selection.recombined.total()
            summary = {
                "rows": rows.total(),
                "real": rows.total() - recombined,
                "recombined": recombined,
                "surplus": len(selection.surplus),
                "revoked": len(revoked),
                "descendants": selection.descendants,
                "rows_by_split": {split: rows[split] for split in SPLITS if rows[split]},
                "label_column": names[about.label],
                "attribute_columns": [names[attribute] for attribute in attributes],
                "groups": {
                    group_name(about.label, group[0], attributes, group[1:]): {
                        "real": selection.real[group],
                        "recombined": selection.recombined[group],
                        "weight_real": round(weights[group].real, 6),
                        "weight_recombined": round(weights[group].recombined, 6),
                    }
                    for group in sorted(weights)
                },
                "mark_balance": described(balance),
                "segmenters": dict(sorted(segmenters.items())),
                "generators": [
                    {"name": name, "revision": revision, "licence": licence, "rows": count}
                    for (name, revision, licence), count in sorted(generators.items(), key=str)
                ],
                "recipe_fingerprint": recipe_fingerprint,
                "code_fingerprint": shape.code,
                "version": f"1.{revoked.times}.0",
                "files": hashes,
                "images_per_second": throttled.rate(rows.total()),
                "words": f"{rows.total()} rows, {recombined} of them recombined",
            }
            write_documents(folder, run, about, summary, False, hashes)
            audit_dataset(store, folder)
        run.progress(f"rebalanced_dataset: {summary['words']}")
        # The documents may be written again, with the effect: they are not this stage's files.
        return summary, [store.rebalanced_dataset / "data"]

    return run_stage(store, "rebalanced_dataset", key, compute, run.progress)
