"""The stage that writes the report: facts and images into one page of HTML."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from data_contracts.quarantine import REASONS
from heml.bias.history import read_history, scores_over_measurements
from heml.parts.wording import chance, decimal, percent, plural
from heml.recombination.gate import GATES
from heml.report.content.bias_facts import discovered, measures_by_attribute
from heml.report.content.findings import effect_caveats, findings
from heml.report.content.found_segments import found_segments
from heml.report.content.galleries import group_gallery, sample_gallery
from heml.report.content.glossary import GLOSSARY
from heml.report.content.pair_explanation import explained_pairs
from heml.report.content.report_facts import Facts, fingerprints, gather, versions
from heml.report.drawing.data_uris import Embedded, embed
from heml.report.drawing.encoding import photo_webp, sharp_webp
from heml.report.drawing.style import NARROW, WIDTH
from heml.report.drawing.theme import DARK, LIGHT
from heml.report.figures.by_name import (
    bias_figure,
    coverage_figure,
    effect_figure,
    plan_figure,
    segments_alone_figure,
    segments_figure,
    tree_figure,
)
from heml.report.figures.store_images import StoreImages
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VERSION = 8

SECTIONS = (
    ("short", "Summary"),
    ("data", "Data"),
    ("where", "Where the bias is"),
    ("why", "Explained pairs"),
    ("done", "Rebalancing"),
    ("effect", "Effect"),
    ("reproduce", "Reproduction"),
    ("words", "Glossary"),
)


def render_report(
    run: RunContext, name: str, label_name: str, recipe_text: str, effect: bool = True
) -> Outcome:
    """Writes the report of a run: one HTML file without outside files, network or scripts.

    Parameters
    ----------
    run : RunContext
        Its store has every stage finished; `debias_effect` may be missing.
    name : str
        The recipe's.
    label_name : str
        What the label is called in the input.
    recipe_text : str
        The recipe file as written.
    effect : bool, default True
        False leaves out the effect, even if a previous run measured one.

    Returns
    -------
    Outcome
        Counts `bytes`, `images` and `sections`.

    Raises
    ------
    FileNotFoundError
        If a stage has not run.
    RevokedImagesError
        If images were revoked and the stages have not run since.
    """
    store, taxonomy, attributes = run.store, run.taxonomy, run.attributes
    effect = effect and store.debias_effect.exists()
    inputs = fingerprints(store, taxonomy, effect)
    key = fingerprint(
        VERSION, name, label_name, list(attributes), recipe_text, taxonomy.describe(), inputs,
        versions(),
    )  # fmt: skip

    def compute() -> tuple[dict[str, Any], list[Path]]:
        facts = gather(store, label_name, attributes, effect)
        html = _page(run, name, facts, recipe_text, inputs)
        # File names and JSON may hold surrogates, which UTF-8 cannot.
        page = html.encode("utf-8", "backslashreplace")
        with write_aside(store.report) as aside:
            aside.write_bytes(page)
        size, images = len(page), html.count('src="data:image/')
        words = f"{len(SECTIONS)} sections, {images} images, {size / 1e6:.1f} MB"
        run.progress(f"report: {words}: {store.report}")
        summary = {"bytes": size, "images": images, "sections": len(SECTIONS), "words": words}
        return summary, [store.report]

    return run_stage(store, "report", key, compute, run.progress)


def _page(
    run: RunContext, name: str, facts: Facts, recipe_text: str, inputs: dict[str, str]
) -> str:
    store, taxonomy = run.store, run.taxonomy
    images = StoreImages(store)
    run.progress("report: figures")
    figures = _figures(store, taxonomy, facts)
    run.progress("report: pairs")
    pairs = explained_pairs(store, taxonomy, facts.attributes)
    run.progress("report: galleries")
    before, after = facts.arm("erm"), facts.arm("rebalanced")
    return _environment().get_template("report.html.j2").render(
        name=name,
        sections=SECTIONS,
        facts=facts,
        findings=findings(facts),
        figures=figures,
        pairs=pairs,
        measures=measures_by_attribute(store),
        history=scores_over_measurements(read_history(store)),
        discovered=discovered(store, images, facts.attributes),
        found=found_segments(store, images, taxonomy),
        groups=[(group, group_gallery(images, group)) for group in facts.groups],
        accepted=sample_gallery(store, images, accepted=True),
        refused=sample_gallery(store, images, accepted=False),
        gates=[(gate, facts.samples["refused_by_reason"].get(gate.name, 0)) for gate in GATES],
        quarantine_words=REASONS,
        effect_caveats=effect_caveats(before, after, facts.labels) if before and after else [],
        recipe_text=recipe_text,
        fingerprints=inputs,
        versions=versions(),
        glossary=GLOSSARY,
    )  # fmt: skip


def _figures(store: Store, taxonomy: Taxonomy, facts: Facts) -> dict[str, Any]:
    """The charts; `trees` and `scores` have one per attribute."""
    trees, scores = {}, {}
    for attribute in facts.attributes:
        best = facts.nodes(attribute)[:3]
        top = ", ".join(f"{row['node']} {decimal(row['score'])}" for row in best)
        trees[attribute] = embed(
            tree_figure(store, taxonomy, attribute, encode=sharp_webp),
            f"Tree of {len(taxonomy.nodes)} nodes colored by bias score for {attribute}. "
            f"Highest: {top}.",
            density=2,
        )
        scores[attribute] = _chart(
            partial(bias_figure, store, attribute),
            f"Bars of the leaves' bias scores for {attribute} with intervals, and their accuracy "
            "on aligned and conflicting records. The numbers are in the table below.",
        )
    figures: dict[str, Any] = {
        "trees": trees,
        "scores": scores,
        "coverage": _chart(
            partial(coverage_figure, store),
            "Heat map of train records per group against independence. The numbers are above; "
            "groups without records are listed below.",
        ),
        "segments": _photos(
            partial(segments_figure, store, taxonomy),
            "Train images beside the same images with every segment tinted, and bars of how many "
            "images have each class.",
        ),
        "planned": _chart(
            partial(plan_figure, store),
            "Stacked bars of real train records, and of planned samples from records of other "
            "groups and of the same group. The numbers are in the table.",
        ),
        "segments_alone": _photos(
            partial(segments_alone_figure, store, taxonomy),
            "Train images, each followed by every one of its segments alone, at its place.",
        ),
        "plan": _chart(
            partial(plan_figure, store, accepted=True),
            "Bars of real and recombined train records per group. The numbers are in the table.",
        ),
        "effect": None,
    }
    if facts.arms:
        words = "; ".join(
            f"{arm.words} {percent(arm.worst.mean)} and {percent(arm.average.mean)}"
            for arm in facts.arms
        )
        figures["effect"] = _chart(
            partial(effect_figure, store),
            f"Worst-group and average accuracy by training data: {words}.",
        )
    return figures


def _chart(draw: Callable[..., bytes | None], alt: str) -> Embedded:
    """A figure at both widths; without one for phones where it cannot be drawn so narrow."""
    wide, narrow = (draw(encode=sharp_webp, width=width) for width in (WIDTH, NARROW))
    assert wide is not None, "only called where there is something to show"
    phone = None if narrow is None else embed(narrow, alt, density=2)
    return embed(wide, alt, density=2, narrow=phone)


def _photos(draw: Callable[..., bytes], alt: str) -> Embedded:
    """A figure that holds photographs, at both widths and on both papers."""

    def embedded(width: float, narrow: Embedded | None = None) -> Embedded:
        light, dark = (draw(encode=photo_webp, theme=t, width=width) for t in (LIGHT, DARK))
        return embed(light, alt, density=2, dark=dark, narrow=narrow)

    return embedded(WIDTH, embedded(NARROW))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("heml", "report/templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "decimal": decimal,
        "chance": chance,
        "plural": plural,
    }
    return environment
