"""The dataset card: YAML that the Hugging Face libraries read, and measured facts in words."""

from __future__ import annotations

from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from data_contracts import Contract
from data_contracts.common import SPLITS
from heml.dataset.features import hugging_face_features
from heml.store import Store


def dataset_card(
    store: Store,
    name: str,
    label_name: str,
    groups: list[str],
    licence: str | None,
    contract: Contract,
    summary: dict[str, Any],
) -> str:
    """The content of the dataset's README.md.

    Parameters
    ----------
    contract : Contract
        Of the written rows, the input's columns included.
    summary : dict
        What the writer counted.
    """
    splits = [split for split in SPLITS if split in summary["rows_by_split"]]
    features = hugging_face_features(contract.schema())
    header = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": f"data/{s}-*.parquet"} for s in splits],
            }
        ],
        "dataset_info": {
            "features": [_card_feature(column, feature) for column, feature in features.items()],
            "splits": [{"name": s, "num_examples": summary["rows_by_split"][s]} for s in splits],
        },
        "license": "other" if licence else "unknown",
        **({"license_name": licence} if licence else {}),
        "tags": ["heml", "debiased"],
    }
    scores = pd.read_parquet(store.bias_scores)
    leading = scores[
        (scores["kind"] == "leaf") & (scores["rank"] == 1) & scores["group"].isin(groups)
    ]
    environment = Environment(
        loader=PackageLoader("heml", "dataset/templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.md.j2").render(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True),
        name=name,
        label=label_name,
        groups=groups,
        licence=licence,
        columns=contract.columns,
        summary=summary,
        leading=leading.to_dict("records"),
        samples=store.summary("recombined_samples"),
    )


def _card_feature(name: str, feature: dict[str, Any]) -> dict[str, Any]:
    """A feature in the card's notation."""
    return {"name": name, **_notation(feature)}


def _notation(feature: dict[str, Any]) -> dict[str, Any]:
    if feature.get("_type") == "Image":
        return {"dtype": "image"}
    if feature.get("_type") == "List":
        inner = _notation(feature["feature"])
        return {"list": inner.get("dtype", inner.get("struct"))}
    if feature.get("_type") == "Value":
        return {"dtype": feature["dtype"]}
    return {"struct": [{"name": n, **_notation(f)} for n, f in feature.items()]}
