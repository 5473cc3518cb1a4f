"""A drafted recipe as commented YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pipelines.recipe.draft.columns import Findings
from pipelines.recipe.draft.one_line import one_line
from pipelines.recipe.draft.prompts import DraftedPrompts, prompted_lines
from pipelines.recipe.draft.taxonomies import Choice
from pipelines.recipe.json_schema import SCHEMA_FILE

_ORDER = ("kind", "root", "dataset", "config", "metadata", "image", "mask", "classes", "splits")


def recipe_name(given: str, content: dict[str, Any]) -> str:
    """A valid recipe name from where the data lies."""
    place = str(content.get("root") or content.get("dataset") or given).rstrip("/")
    parts = [re.sub(r"\.\w+$", "", place.rsplit("/", 1)[-1])]
    table = re.sub(r"\.\w+$", "", str(content.get("metadata", "metadata")).rsplit("/", 1)[-1])
    if table != "metadata":
        parts.append(table)
    name = re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")[:60]
    return name if re.match(r"[a-z]", name) else f"dataset_{name}"[:60]


def recipe_text(
    name: str,
    findings: Findings,
    label: str,
    attributes: Sequence[str],
    taxonomy: Choice | None,
    max_refused: float | None,
    prompts: DraftedPrompts,
    trained: bool = False,
) -> str:
    """The recipe.

    Parameters
    ----------
    taxonomy : Choice or None
        None where the dataset has no masks.
    max_refused : float or None
        None keeps the default.
    prompts : DraftedPrompts
        For a dataset without masks.
    trained : bool, default False
        Whether a segmenter is to be learned for rows without masks.
    """
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# Drafted by `heml init` from the data. Check label and attributes: only you know what",
        "# the dataset is for. Keys that are left out have defaults.",
        "",
        f"name: {_yaml(name)}   # prefix of the asset keys and folder in the store",
        "",
        "source:",
    ]
    content = findings.content
    lines += [f"  {key}: {_yaml(content[key])}" for key in _ORDER if key in content]
    lines.append(f"  label: {_yaml(label)}   # {findings.columns[label].shown()}")
    shown = "; ".join(
        f"{one_line(attribute)}: {findings.columns[attribute].shown()}" for attribute in attributes
    )
    lines.append("  # what the label should not rely on" + (f": {shown}" if shown else ""))
    lines.append(f"  attributes: {_yaml(list(attributes))}")
    if max_refused is not None:
        lines += [
            "  # rows without a mask or a label are refused; more than this stops the run",
            f"  max_refused: {max_refused}",
        ]
    lines += ["  licence: null   # what the images may be used for: carried to every row", ""]
    lines += _segmentation(findings, taxonomy, trained, prompts)
    lines += [
        "",
        "metric:",
        "  epochs: 25",
        "  resolution: {leaf: 32, branch: 48, root: 64}   # side of what each network sees, pixels",
        "  seed: 0",
        "",
        "effect:",
        f"  enabled: {'true' if findings.splits['test'] else 'false'}"
        "   # measured on the test split, before and after",
        "",
    ]
    return "\n".join(lines)


def _without_masks(prompts: DraftedPrompts) -> list[str]:
    lines = [
        "# No masks were found: an object and its background are found from the images alone,",
        "# coarsely, see docs/segmentation.md, unsupervised.",
        "segmentation: {kind: unsupervised}",
        "taxonomy:",
        "  leaves: {object: [object], background: [background]}",
        "  tree: {image: [object, background]}",
    ]
    if not prompts.prompts:
        return lines
    return [
        *lines,
        "# Better, and with parts that have names: a checkpoint that takes words, downloaded or",
        "# in a folder. Name one, check the words, and put this in place of the lines above.",
        *(f"# {line}" for line in prompted_lines(prompts)),
    ]


def _segmentation(
    findings: Findings, taxonomy: Choice | None, trained: bool, prompts: DraftedPrompts
) -> list[str]:
    if taxonomy is None:
        return _without_masks(prompts)
    lines = []
    if findings.unmasked:
        lines = [f"# {findings.unmasked} rows have no mask."]
    if trained:
        lines += [
            "# A segmenter is learned from the others first, see docs/segmentation.md;",
            "# {kind: annotated} leaves rows without a mask out.",
            "segmentation: {kind: trained}",
            "",
        ]
    else:
        lines += ["segmentation: {kind: annotated}", ""]
    if isinstance(taxonomy.value, str):
        return [*lines, f"taxonomy: {taxonomy.value}   # {one_line(taxonomy.reason)}"]
    lines += [
        f"# {one_line(taxonomy.reason)}.",
        "# Leaves are what gets a metric of its own; branches combine them. Classes that belong",
        "# together may share a leaf: eyes: [l_eye, r_eye].",
        "taxonomy:",
        "  leaves:",
    ]
    lines += [f"    {leaf}: {_yaml(of)}" for leaf, of in taxonomy.value["leaves"].items()]
    lines.append("  tree:")
    lines += [f"    {branch}: {_yaml(of)}" for branch, of in taxonomy.value["tree"].items()]
    if "ignored" in taxonomy.value:
        lines.append(f"  ignored: {_yaml(taxonomy.value['ignored'])}")
    return lines


def _yaml(value: object) -> str:
    """A value on one line: JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str):
        plain = re.fullmatch(r"([A-Za-z_/]|\.{1,2}/)[\w./ -]*", value) and not value.endswith(" ")
        words = ("yes", "no", "true", "false", "on", "off", "null", "y", "n")
        return value if plain and value.lower() not in words else json.dumps(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(k)}: {_yaml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)
