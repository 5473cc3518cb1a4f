"""The recipe: one YAML file that says where a dataset is and what to do with it.

The model, and loading it with everything checked that can be checked without opening the dataset.
Settings of single stages lie beside the stages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from heml.bias.bias_settings import BiasSettings
from heml.compute.progress import Progress, silent
from heml.dataset.dataset_settings import DatasetSettings
from heml.effect.effect_settings import EffectSettings
from heml.images.groups import TIMES, attributes_in_use
from heml.metrics.metric_settings import MetricSettings
from heml.parts.settings import Settings
from heml.recombination.compositing.inpaint_settings import InpaintSettings
from heml.recombination.rebalance_settings import Quotas, RebalanceSettings
from heml.segmentation.segmentation_settings import SegmentationSettings
from heml.segmentation.segmenter import SEGMENTERS, Segmenter
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.sources.files import is_url
from heml.sources.layout import AnySource, layout_of
from heml.sources.source_settings import SourceSettings
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage_names import stage_names
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, TaxonomyError, builtin, builtin_names, from_mapping, nearest
from pipelines.recipe.auto_taxonomy import AUTO, auto_file, auto_taxonomy
from pipelines.recipe.error_wording import problems
from pipelines.recipe.operation_settings import Alerts, BudgetSettings, Schedule, Watch
from pipelines.recipe.yaml_text import Location, RecipeError, RecipeText, read_recipe_text

__all__ = ["LoadedRecipe", "Recipe", "RecipeError", "load_recipe", "load_recipes"]

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_VIEW_SIDES = range(8, 513)


def _watch(value: Any) -> Any:
    if isinstance(value, bool):
        return Watch() if value else None
    if value is not None and not isinstance(value, dict | Watch):
        raise ValueError(f"must be true, false or {{every: seconds}}, found {value!r}")
    return value


def _schedule(value: Any) -> Any:
    return {"cron": value} if isinstance(value, str) else value


def _alerts(value: Any) -> Any:
    if isinstance(value, str):
        return {"to": [value]}
    return {"to": value} if isinstance(value, list) else value


class Recipe(Settings):
    """What a recipe file may say. Every key but `name` and `source` has a default."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=60,
        description="Prefix of the asset keys, folder in the store.",
    )
    source: AnySource = Field(description="Where the images are, and what their columns mean.")
    segmentation: SegmentationSettings = Field(
        AnnotatedSegmentation(), description="Where segments come from."
    )
    taxonomy: str | dict[str, Any] | None = Field(
        None,
        description="A built-in name, inline leaves, tree and ignored; or auto: leaves of the "
        "segmenter or the classes, branches from where segments lie, in a file beside the recipe.",
    )
    metric: MetricSettings = MetricSettings()
    bias: BiasSettings = BiasSettings()
    rebalance: RebalanceSettings = RebalanceSettings()
    inpaint: InpaintSettings | None = None
    dataset: DatasetSettings = DatasetSettings()
    effect: EffectSettings = EffectSettings()
    budget: BudgetSettings = BudgetSettings()
    schedule: Annotated[Schedule | None, BeforeValidator(_schedule)] = Field(
        None, description="A cron line, or {cron: ..., timezone: ...}; UTC by default."
    )
    watch: Annotated[Watch | None, BeforeValidator(_watch)] = Field(
        None, description="true, or {every: seconds}: run when the source has changed."
    )
    alerts: Annotated[Alerts | None, BeforeValidator(_alerts)] = Field(
        None,
        description="A URL, several, or {to: [...], events: [...]}: who is notified of what.",
    )
    owners: list[str] = Field(
        default=[],
        description="Of the recipe's assets in Dagster: mail addresses, or team:name.",
    )

    @field_validator("owners")
    @classmethod
    def _are_owners(cls, value: list[str]) -> list[str]:
        for owner in value:
            if not re.fullmatch(r"team:[\w./-]+|[^@\s]+@[^@\s]+\.[^@\s]+", owner):
                raise ValueError(f"'{owner}' is neither a mail address nor team:name")
        return value


@dataclass(frozen=True)
class LoadedRecipe:
    """A valid recipe with its file and its taxonomy.

    Parameters
    ----------
    settings : Recipe
        The file's content, variables in `source.root` replaced.
    source_taxonomy : heml.taxonomy.Taxonomy
        From the classes of the source's masks to leaves.
    path : pathlib.Path
        The file, absolute.
    text : str
        The file as written, for the report.
    """

    settings: Recipe
    source_taxonomy: Taxonomy
    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.settings.name

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """From the classes of the stored segments to leaves: segmenters give whole leaves."""
        if self.segmenter.gives_leaves:
            return self.source_taxonomy.at_leaf_level()
        return self.source_taxonomy

    @property
    def segmenter(self) -> Segmenter:
        """How images get their segments."""
        return SEGMENTERS[self.settings.segmentation.kind]

    @property
    def folder(self) -> Path:
        """Folder of the file: relative paths in the recipe start here."""
        return self.path.parent

    @property
    def source(self) -> SourceSettings:
        return self.settings.source

    @property
    def label(self) -> str:
        return self.source.label

    @property
    def attributes(self) -> list[str]:
        """Attributes; empty if attributes are to be discovered."""
        return list(self.source.attributes)

    def attributes_in(self, store: Store) -> list[str]:
        """Attributes, or the attribute that a run discovered.

        Raises
        ------
        FileNotFoundError
            If attributes are to be discovered and were not yet.
        """
        return attributes_in_use(store, self.attributes)

    @property
    def stages(self) -> list[str]:
        """All stages, upstream first; a node's is `metric/<node>`."""
        nodes = (node for level in self.taxonomy.levels for node in level)
        effect = self.settings.effect.enabled
        upstream = stage_names(nodes, discovery=not self.attributes, effect=effect)
        return [*upstream, "dataset_card", "report"]

    def run(self, store: Store, progress: Progress = silent) -> RunContext:
        """What this recipe's stages run in, with the attributes that the recipe names."""
        return RunContext(store, self.taxonomy, tuple(self.attributes), progress)

    def in_use(self, run: RunContext) -> RunContext:
        """The same run with the attributes in use: the recipe's, or the discovered one.

        Raises
        ------
        FileNotFoundError
            If attributes are to be discovered and were not yet.
        """
        return run.with_attributes(tuple(self.attributes_in(run.store)))

    @property
    def licence(self) -> str | None:
        return getattr(self.source, "licence", None)

    @property
    def data(self) -> Path | None:
        """Folder or file of the dataset; None where it is not one of this machine."""
        root = getattr(self.source, "root", None)
        if root is None or is_url(root):
            return None
        return Path(self.folder / root).resolve()

    @property
    def data_is_missing(self) -> bool:
        return self.data is not None and not self.data.exists()

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that shapes the dataset; where it lies, where and when to run do not."""
        content = self.settings.model_dump(
            exclude={"alerts", "budget", "effect", "owners", "schedule", "taxonomy", "watch"}
        )
        content["source"].pop("root", None)
        for where in ("device", "parallel"):
            content["metric"].pop(where)
        content["dataset"].pop("exports")
        return fingerprint(content, self.source_taxonomy.describe())


def load_recipe(
    path: str | Path, automatic: Callable[[Recipe, Path], Taxonomy] | None = None
) -> LoadedRecipe:
    """Loads and checks one recipe file.

    Parameters
    ----------
    path : path
    automatic : callable, optional
        Gives the taxonomy of a recipe that says auto and whose file is not written yet, from its
        settings and folder, where the segmenter names no leaves.

    Raises
    ------
    RecipeError
        One line for each problem, with the file, the key and what to write instead.
    """
    source = read_recipe_text(Path(path).expanduser())
    content = _expand_root(source)
    try:
        settings = Recipe.model_validate(content, context={"folder": source.path.parent})
    except ValidationError as error:
        found = problems(error, Recipe)
        raise RecipeError("\n".join(source.message(*each) for each in found)) from error
    taxonomy, text = _taxonomy(settings, source, automatic)
    found = [*_inconsistencies(settings, taxonomy), *_unsuitable(settings, source.path.parent)]
    if found:
        raise RecipeError("\n".join(source.message(*each) for each in found))
    return LoadedRecipe(settings, taxonomy, source.path.absolute(), source.text + text)


@dataclass(frozen=True)
class InvalidRecipe:
    """A recipe file that cannot be used, and why."""

    path: Path
    problem: str


def load_recipes(folder: str | Path) -> tuple[list[LoadedRecipe], list[InvalidRecipe]]:
    """All recipes of a folder (`*.yaml`, `*.yml`), by file name: one bad file spoils no other.

    Returns
    -------
    list of LoadedRecipe
    list of InvalidRecipe
        Also files whose recipe has the name of an earlier one.

    Raises
    ------
    RecipeError
        If there is no such folder.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise RecipeError(f"{folder}: no such folder of recipes; set HEML_RECIPES to one")
    files = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())
    recipes: list[LoadedRecipe] = []
    invalid = []
    for path in files:
        try:
            recipe = load_recipe(path)
            refuse_same_names([*recipes, recipe])
        except RecipeError as error:
            invalid.append(InvalidRecipe(path, str(error)))
        else:
            recipes.append(recipe)
    return recipes, invalid


def refuse_same_names(recipes: list[LoadedRecipe]) -> None:
    """Refuses two recipes that would share asset keys and a folder in the store.

    Raises
    ------
    RecipeError
    """
    first: dict[str, LoadedRecipe] = {}
    for recipe in recipes:
        other = first.setdefault(recipe.name, recipe)
        if other is not recipe:
            raise RecipeError(
                f"{recipe.path}: name: '{recipe.name}' is already the name of {other.path}; "
                "choose another"
            )


def _expand_root(recipe: RecipeText) -> dict[str, Any]:
    """The content with `$VAR`, `${VAR}` and `${VAR:-default}` in `source.root` replaced."""
    source = recipe.content.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("root"), str):
        return recipe.content

    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(3)
        # As in a shell, `:-` also replaces an empty variable.
        found = os.environ.get(name) or match.group(2)
        if found is None:
            raise recipe.error(
                ("source", "root"),
                f"the environment variable {name} is not set; set it, or write a default: "
                f"${{{name}:-folder}}",
            )
        return found

    root = source["root"]
    if is_url(root):
        return {**recipe.content, "source": {**source, "root": _VARIABLE.sub(value, root)}}
    first = _VARIABLE.match(root)
    expanded = Path(_VARIABLE.sub(value, root)).expanduser()
    if first and os.environ.get(first.group(1) or first.group(3)):
        # Who sets a variable means a path from where they stand, not from the recipe's folder.
        expanded = expanded.absolute()
    return {**recipe.content, "source": {**source, "root": str(expanded)}}


def _taxonomy(
    settings: Recipe,
    recipe: RecipeText,
    automatic: Callable[[Recipe, Path], Taxonomy] | None,
) -> tuple[Taxonomy, str]:
    """The taxonomy, and what the report shows of it beside the recipe's own text."""
    chosen = settings.taxonomy
    if chosen is None:
        chosen = layout_of(settings.source).taxonomy
    if chosen is None:
        raise recipe.error(
            ("taxonomy",),
            f"is missing; use auto, or one of: {', '.join(builtin_names())}, or write leaves and "
            "tree",
        )
    try:
        if chosen == AUTO:
            return _automatic(settings, recipe.path, automatic)
        if isinstance(chosen, str):
            return builtin(chosen), ""
        return from_mapping(settings.name, chosen), ""
    except TaxonomyError as error:
        raise recipe.error(("taxonomy",), str(error)) from error


def _automatic(
    settings: Recipe, path: Path, automatic: Callable[[Recipe, Path], Taxonomy] | None
) -> tuple[Taxonomy, str]:
    words = SEGMENTERS[settings.segmentation.kind].own_leaves(settings.segmentation)
    if automatic is not None and words is None:
        return automatic(settings, path.parent), ""
    taxonomy, text = auto_taxonomy(path, settings.name, words, fresh=automatic is not None)
    return taxonomy, f"\n# {auto_file(path).name}\n{text}" if text else ""


def _inconsistencies(settings: Recipe, taxonomy: Taxonomy) -> Iterator[tuple[Location, str]]:
    """Problems between keys that each are well-formed."""
    source = settings.source
    for position, attribute in enumerate(source.attributes):
        if attribute == source.label:
            yield (
                ("source", "attributes", position),
                f"'{attribute}' is the label; name another column",
            )
        if attribute in source.attributes[:position]:
            yield ("source", "attributes", position), f"'{attribute}' is named twice; keep one"
    for keys, problem in layout_of(source).problems(source):
        yield ("source", *keys), problem
    segmentation = settings.segmentation
    for path, problem in SEGMENTERS[segmentation.kind].problems(segmentation, taxonomy):
        yield ("segmentation", *path), problem
    yield from _misplaced_quotas(settings)
    yield from _unknown_budgets(settings)
    for node, side in settings.metric.resolution.nodes.items():
        location = ("metric", "resolution", "nodes", node)
        if node not in taxonomy.nodes:
            yield location, f"no such node; {nearest(node, taxonomy.nodes)}"
        if side not in _VIEW_SIDES:
            yield location, f"must be {_VIEW_SIDES[0]} to {_VIEW_SIDES[-1]} pixels, found {side}"


def _misplaced_quotas(settings: Recipe) -> Iterator[tuple[Location, str]]:
    from heml.recombination.plan.quotas import quota_problems

    target, source = settings.rebalance.target, settings.source
    # Which values there are is known once the images are read; attributes may yet be discovered.
    if isinstance(target, Quotas) and source.attributes:
        for path, problem in quota_problems(target, source.label, source.attributes):
            yield ("rebalance", "target", "quotas", *path), problem


def _unsuitable(settings: Recipe, folder: Path) -> Iterator[tuple[Location, str]]:
    """A checkpoint for inpainting that is missing or cannot; published ones are asked later."""
    if settings.inpaint is None:
        return
    from heml.compute.checkpoints import CheckpointError
    from heml.recombination.compositing.inpaint import find_checkpoint

    try:
        find_checkpoint(settings.inpaint.checkpoint, folder)
    except CheckpointError as error:
        yield ("inpaint", "checkpoint"), str(error).removeprefix("inpaint.checkpoint: ")


def _unknown_budgets(settings: Recipe) -> Iterator[tuple[Location, str]]:
    columns = settings.source.attributes
    for name in settings.budget.attributes if columns else ():
        for part in name.split(TIMES):
            if part not in columns:
                yield ("budget", "attributes", name), f"no such attribute; {nearest(part, columns)}"
