"""`taxonomy: auto`: leaves from the segmenter or the classes, branches from where segments lie.

A tree must be known before anything runs, and must not change between runs. So it is written once,
into a file beside the recipe, for review: `faces.yaml` has `faces.taxonomy.yaml`. Without that file
leaves that the segmenter names stand below one root, but for what their words say.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from heml.storage.atomic_write import write_aside
from heml.taxonomy import Taxonomy, TaxonomyError, from_mapping

AUTO = "auto"
#: Images that are looked at: masks are there, networks take their time.
IMAGES, ANNOTATED_IMAGES = 24, 200

Say = Callable[[str], None]


def auto_file(recipe: Path) -> Path:
    """The file with the tree of a recipe."""
    return recipe.with_name(f"{recipe.stem}.taxonomy.yaml")


def auto_taxonomy(
    recipe: Path, name: str, words: Mapping[str, Sequence[str]] | None, fresh: bool = False
) -> tuple[Taxonomy, str]:
    """The taxonomy of a recipe that says auto, and the text of its file; empty without one.

    Parameters
    ----------
    recipe : pathlib.Path
    name : str
        Of the recipe.
    words : mapping of str to sequence of str, optional
        Leaves that the segmenter itself names, with their words.
    fresh : bool, default False
        Whether a file that is there is not read: it is about to be replaced.

    Raises
    ------
    TaxonomyError
        If there is no file and no leaf is known; if the file is wrong, or is of other leaves.
    """
    path = auto_file(recipe)
    if path.is_file() and not fresh:
        text = path.read_text(encoding="utf-8")
        taxonomy = _read(path, name, text)
        if words is not None and set(words) != set(taxonomy.leaves):
            odd = ", ".join(sorted(set(words) ^ set(taxonomy.leaves)))
            raise TaxonomyError(
                f"{path} is of other leaves than the segmentation has now ({odd}); remove it, or "
                f"run heml taxonomy auto {recipe} --replace"
            )
        return taxonomy, text
    if words is None:
        raise TaxonomyError(
            f"auto needs the file {path}, and there is none; run heml taxonomy auto {recipe}"
        )
    return Taxonomy(name, {leaf: (leaf,) for leaf in words}, _said_tree(words)), ""


def write_auto_taxonomy(recipe: Path, images: int | None, replace: bool, say: Say) -> Path | None:
    """Segments some images, and writes the tree of a recipe that says auto.

    Parameters
    ----------
    recipe : pathlib.Path
    images : int or None
        None: 24; 200 where all have masks.
    replace : bool
        Whether an existing file is replaced.
    say : callable

    Returns
    -------
    pathlib.Path or None
        The file; None if it was there and stays.

    Raises
    ------
    RecipeError, SourceError, TaxonomyError, CheckpointError, NothingToTry
    """
    from heml.segmentation.segmenter import NotFitted
    from heml.segmentation.trial import try_segmenter
    from heml.sources.layout import open_source
    from heml.sources.sample import sample
    from heml.storage.store import open_store
    from heml.tree.part_geometry import geometry_tree, measure_geometry, said_parts
    from heml.tree.propose import leaf_map
    from pipelines.recipe.draft.taxonomies import one_leaf_each
    from pipelines.recipe.model import load_recipe

    path = auto_file(recipe)
    if path.is_file() and not replace:
        return None

    def of_classes(settings: Any, folder: Path) -> Taxonomy:
        """One leaf for each class of the source, where the segmenter names none."""
        classes = open_source(settings.source, folder).classes()
        if not classes:
            raise TaxonomyError("auto: the source has no class list; write leaves and tree")
        return from_mapping(settings.name, one_leaf_each(list(classes.values())))

    loaded = load_recipe(recipe, automatic=of_classes)
    words = loaded.segmenter.own_leaves(loaded.settings.segmentation) or {}
    source = open_source(loaded.source, loaded.folder)
    source.check(loaded.segmenter.needs_masks)
    masks = loaded.segmenter.needs_masks
    count = images or (ANNOTATED_IMAGES if masks else IMAGES)
    chosen = sample(source, count, seed=0, masked=masks)
    say(f"taxonomy: auto: looking at the segments of {len(chosen.records)} images")
    maps = []
    try:
        with tempfile.TemporaryDirectory(prefix="heml-auto-") as scratch:
            trial = try_segmenter(
                chosen.records, source.classes(), loaded.settings.segmentation,
                loaded.source_taxonomy, loaded.folder, open_store(loaded.name),
                Path(scratch) / loaded.name, source.limits.max_pixels, say,
            )  # fmt: skip
        maps = [leaf_map(image.masks, loaded.taxonomy) for image in trial.images]
    except NotFitted:
        say("taxonomy: auto: the segmenter is not fitted yet; leaves stand below one root")
    leaves = list(loaded.taxonomy.leaves)
    geometry = measure_geometry(maps, leaves)
    tree, reasons = geometry_tree(geometry, said_parts(words))
    found = Taxonomy(
        loaded.name, loaded.source_taxonomy.leaves, {b: tuple(c) for b, c in tree.items()},
        loaded.source_taxonomy.ignored,
    )  # fmt: skip
    with write_aside(path) as aside:
        aside.write_text(_text(found, reasons, geometry.images), encoding="utf-8")
    say(f"wrote {path}: review it; it is used from now on")
    return path


def _said_tree(words: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """One root, and branches for what words say."""
    from heml.tree.part_geometry import geometry_tree, measure_geometry, said_parts

    tree, _ = geometry_tree(measure_geometry([], list(words)), said_parts(words), tolerance=1.0)
    return {branch: tuple(children) for branch, children in tree.items()}


def _read(path: Path, name: str, text: str) -> Taxonomy:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TaxonomyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise TaxonomyError(f"{path}: must map leaves and tree")
    try:
        return from_mapping(name, content)
    except TaxonomyError as error:
        raise TaxonomyError(f"{path}: {error}") from error


def _text(taxonomy: Taxonomy, reasons: Mapping[str, str], images: int) -> str:
    content: dict[str, Any] = {
        "leaves": {leaf: list(of) for leaf, of in taxonomy.leaves.items()},
        "tree": {branch: list(children) for branch, children in taxonomy.tree.items()},
    }
    if taxonomy.ignored:
        content["ignored"] = list(taxonomy.ignored)
    lines = [
        f"Leaves and branches of the recipe {taxonomy.name}, which says taxonomy: auto.",
        f"Found in the segments of {images} images: a leaf most of whose border is with one larger "
        "leaf is",
        "a part of it, and what touches is joined. Rename, move or remove branches; this file is",
        "used as it is until it is removed. Why:",
        *(f"  {branch}: {reason}" for branch, reason in reasons.items()),
    ]
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=98)
    return "".join(f"# {line}\n" for line in lines) + body
