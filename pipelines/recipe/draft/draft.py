"""Drafting a recipe: what was found, what was chosen and why, line by line, and the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from data_contracts.common import SPLITS
from heml.sources.layout import LAYOUTS
from heml.sources.raw import SourceError
from heml.storage.atomic_write import write_aside
from heml.taxonomy import nearest
from pipelines.recipe.draft.captioned import add_captioned
from pipelines.recipe.draft.columns import Findings, associations, best_label, look
from pipelines.recipe.draft.find import Content, find_source, read
from pipelines.recipe.draft.one_line import one_line
from pipelines.recipe.draft.prompts import CHECKPOINTS, DraftedPrompts, draft_prompts
from pipelines.recipe.draft.taxonomies import Choice, choose_taxonomy
from pipelines.recipe.draft.write import recipe_name, recipe_text
from pipelines.recipe.json_schema import SCHEMA_FILE, recipe_schema
from pipelines.recipe.model import load_recipe

#: Takes one line of what is found and chosen.
Say = Callable[[str], None]

#: Images that are opened to see whether the paths are right.
_FIRST = 20
#: Masks that a segmenter can be learned from.
_ENOUGH_MASKS = 100
#: Refusals that a recipe allows without saying so, with room for broken files.
_USUAL_REFUSALS, _ROOM = 0.15, 0.05


def draft_recipe(
    given: str,
    label: str | None,
    attributes: list[str] | None,
    name: str | None,
    out: Path | None,
    say: Say,
    captioner: str | None = None,
) -> Path:
    """Looks at a dataset's metadata; writes a commented recipe, and the schema beside it.

    Images are looked at only where a captioner is named and the dataset has no masks.

    Parameters
    ----------
    given : str
        Folder, table, Parquet file, URL, or `owner/name` on the Hugging Face Hub.
    label, attributes, name
        Chosen by what is found where they are None.
    out : pathlib.Path or None
        File to write; must not exist. Default: `<name>.yaml` in the current folder.
    say : callable
        Takes each line of what is found and chosen.
    captioner : str, optional
        Checkpoint that writes captions, a folder or a name on the Hub: what they name is proposed
        as words to look for.

    Returns
    -------
    pathlib.Path
        The recipe.

    Raises
    ------
    SourceError
        If the dataset cannot be used, or a choice must be made.
    RecipeError
        If what was drafted would not load.
    CheckpointError
        If the captioner cannot be used, or its captions name nothing.
    """

    def tell(line: str) -> None:
        say(one_line(line, 1000))

    content = find_source(given)
    wanted = [label or "", *(attributes or [])]
    findings = look(content, off_masks=any(column.startswith("has_") for column in wanted))
    content = findings.content
    _check_readable(content)
    _say_found(findings, tell)
    label = _label(findings, label, attributes or [], tell)
    attributes = _attributes(findings, label, attributes, tell)
    taxonomy = _taxonomy(findings, tell)
    name = name or recipe_name(given, content)
    path = (out or Path(f"{name}.yaml")).absolute()
    if path.exists():
        raise SourceError(f"{path} already exists; remove it, or name another file with --out")
    trained = _worth_training(findings, label)
    if trained:
        tell("segments   trained: learned from the rows that have a mask, for those that have none")
    share = findings.columns[label].missing if trained else _expected_refusals(findings, label)
    limit = min(1.0, math.ceil((share + _ROOM) * 20) / 20) if share > _USUAL_REFUSALS else None
    if limit is not None:
        tell(f"refusals   about {share:.0%} of the rows: max_refused is {limit}")
    prompts = draft_prompts(findings, label, attributes)
    if taxonomy is None:
        if captioner is not None:
            add_captioned(prompts, read(content, label, attributes), label, captioner, tell)
        _say_without_masks(prompts, tell)
    elif captioner is not None:
        tell("captions   none: the masks say what is in the images")
    text = recipe_text(name, findings, label, attributes, taxonomy, limit, prompts, trained)
    read(content, label, attributes).check(annotated=taxonomy is not None)
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
        load_recipe(aside)
    with write_aside(path.with_name(SCHEMA_FILE)) as aside:
        aside.write_text(recipe_schema(), encoding="utf-8")
    say("")
    tell(f"wrote {path}")
    if taxonomy is None:
        tell(f"next: heml segments try {path}   (a picture of what it finds)")
    tell(f"next: heml run {path}")
    return path


def _say_found(findings: Findings, say: Say) -> None:
    content = findings.content
    place = content.get("root") or content.get("dataset")
    say(f"source     {content['kind']}: {place}")
    for key in ("metadata", "image", "mask"):
        if key in content:
            say(f"           {key}: {content[key]}")
    if "splits" in content:
        named = ", ".join(f"{number} is {split}" for number, split in content["splits"].items())
        say(f"           splits by number: {named}; check that, only the dataset's authors know")
    more = "" if findings.all_rows else " looked at, there are more"
    splits = ", ".join(f"{split} {count}" for split, count in findings.splits.most_common())
    say(f"rows       {findings.rows}{more}: {splits}")
    say(f"           splits: {findings.splits_come_from}")
    for table, form in findings.read_as.items():
        say(f"           {table}: {form}")
    for skipped, why in findings.skipped:
        say(f"           skipped: {skipped}: {why}")
    left_out = [split for split in findings.splits if split not in SPLITS]
    if left_out:
        say(f"           left out, being none of {', '.join(SPLITS)}: {', '.join(left_out)}")
    if not findings.splits["test"]:
        say("           no test split: the effect will not be measured")
    if findings.unmasked:
        say(f"           {findings.unmasked} name no mask")
    say("columns    of the train split")
    for column in findings.columns.values():
        verdict = f"  (neither label nor attribute: {column.unfit})" if column.unfit else ""
        say(f"  {column.name:20s} {column.shown()}{verdict}")


def _label(findings: Findings, wanted: str | None, attributes: list[str], say: Say) -> str:
    if wanted is not None:
        _check_column(findings, "--label", wanted)
        say(f"label      {wanted}: from --label")
        return wanted
    own = _own(findings, "label")
    if isinstance(own, str) and _fits(findings, own):
        say(f"label      {own}: what the set is for")
        return own
    best = best_label(findings, attributes)
    if best is None:
        raise SourceError(
            "no column has two or more values on enough rows; name one with --label, or add one"
        )
    say(f"label      {best.name}: {len(best.counts)} values, evenness {best.evenness:.2f}")
    return best.name


def _attributes(findings: Findings, label: str, wanted: list[str] | None, say: Say) -> list[str]:
    found = associations(findings, label)
    for attribute in wanted or ():
        _check_column(findings, "--attribute", attribute)
        if attribute == label:
            raise SourceError(f"--attribute: '{attribute}' is the label; name another column")
    own = [a for a in _own(findings, "attributes") or () if a != label and _fits(findings, a)]
    attributes = wanted or own or list(found)[:1]
    why = "from --attribute" if wanted else "goes with the label more than other columns"
    if own and not wanted:
        why = "what the set is known for"
    for attribute in attributes:
        say(f"attribute  {attribute}: {why} (Cramér's V {found.get(attribute, 0):.2f})")
    others = [f"{name} {value:.2f}" for name, value in found.items() if name not in attributes]
    if others:
        say(f"           others, by Cramér's V with the label: {', '.join(others)}")
    if not attributes:
        say("attribute  none: no other column has a few values")
    return attributes


def _own(findings: Findings, key: str) -> Any:
    """Label or attributes that the settings of a set's layout have where a recipe says nothing."""
    field = LAYOUTS[findings.content["kind"]].settings.model_fields[key]
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _fits(findings: Findings, name: str) -> bool:
    return name in findings.columns and findings.columns[name].unfit is None


def _check_column(findings: Findings, option: str, name: str) -> None:
    if name not in findings.columns:
        raise SourceError(
            f"{option}: there is no column '{name}'; " + nearest(name, findings.columns)
        )
    column = findings.columns[name]
    if len(column.counts) < 2:
        raise SourceError(f"{option}: '{name}' has fewer than two values in the train split")


def _taxonomy(findings: Findings, say: Say) -> Choice | None:
    if not findings.classes or not _has_masks(findings):
        say("masks      none found, or no class list (classes.json)")
        say("segments   unsupervised: object and background from the images alone, coarse")
        return None
    choice = choose_taxonomy(list(findings.classes.values()))
    shown = choice.value if isinstance(choice.value, str) else "written out"
    say(f"taxonomy   {shown}: {choice.reason}")
    return choice


def _say_without_masks(prompts: DraftedPrompts, say: Say) -> None:
    for leaf, words in prompts.prompts.items():
        say(f"prompt     {leaf}: {', '.join(words)} ({prompts.reasons[leaf]})")
    if not prompts.prompts:
        say("prompt     none: no column says what is in the images")
    say("           words need a checkpoint that takes them, from the Hub or a folder:")
    for name, masks in CHECKPOINTS:
        say(f"           {name}" + (f" with {masks}" if masks else ""))


def _check_readable(content: Content) -> None:
    """Refuses a dataset none of whose first images can be read: its paths are wrong, most likely.

    Raises
    ------
    SourceError
    """
    used = (record for record in read(content).records() if record.split in SPLITS)
    first = list(islice(used, _FIRST))
    refusals = [record.refusal for record in first if record.refusal is not None]
    if refusals and len(refusals) == len(first):
        raise SourceError(
            f"none of the first {len(first)} images can be read; the first: {refusals[0].detail}. "
            "Names must be relative to the folder, with / between folders"
        )


def _has_masks(findings: Findings) -> bool:
    reader = read(findings.content)
    record = next((r for r in reader.records() if r.split in SPLITS and r.mask is not None), None)
    return record is not None


def _worth_training(findings: Findings, label: str) -> bool:
    """Whether many rows have the label but no mask, and enough others have one."""
    used = sum(findings.splits[split] for split in SPLITS)
    unmasked = findings.unmasked or 0
    off_masks = label.startswith("has_")
    only_mask_lacks = unmasked / max(used, 1) - findings.columns[label].missing
    return not off_masks and used - unmasked >= _ENOUGH_MASKS and only_mask_lacks > _USUAL_REFUSALS


def _expected_refusals(findings: Findings, label: str) -> float:
    """Share of rows that lack a mask or the label."""
    used = sum(findings.splits[split] for split in SPLITS)
    unmasked = (findings.unmasked or 0) / max(used, 1)
    return max(unmasked, findings.columns[label].missing)
