"""A recipe's stages as plain calls of heml, without Dagster: what a script would do."""

from __future__ import annotations

from collections.abc import Callable

import heml
from heml.compute.progress import Progress
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from pipelines.assets.rebalanced_dataset import description_of
from pipelines.recipe.model import LoadedRecipe

Call = Callable[[Progress], object]


def stage_calls(recipe: LoadedRecipe, store: Store) -> dict[str, Call]:
    """Stages in the order in which they run; metrics by level, as `metric_0` and on."""
    settings, taxonomy = recipe.settings, recipe.taxonomy

    def images(progress: Progress) -> object:
        from heml.sources.ingest import ingest

        source, folder, classes = recipe.source, recipe.folder, recipe.source_taxonomy
        return ingest(store, source, folder, classes, recipe.segmenter.needs_masks, progress)

    def segments(progress: Progress) -> object:
        from heml.segmentation.segments_stage import segment

        chosen, classes = settings.segmentation, recipe.source_taxonomy
        return segment(RunContext(store, classes, progress=progress), chosen, base=recipe.folder)

    def level(number: int, nodes: list[str]) -> Call:
        def metric(progress: Progress) -> object:
            from heml.metrics.level import train_level

            later = [n for after in taxonomy.levels[number + 1 :] for n in after]
            return dict(train_level(recipe.run(store, progress), nodes, settings.metric, later))

        return metric

    def metric_tree(progress: Progress) -> object:
        from heml.tree.tree_stage import fit_tree

        return fit_tree(recipe.run(store, progress), settings.metric)

    def bias_scores(progress: Progress) -> object:
        from heml.bias.bias_stage import measure_bias

        return measure_bias(
            recipe.run(store, progress),
            recipe.label,
            settings.metric,
            settings.bias,
        )

    def rebalance_plan(progress: Progress) -> object:
        from heml.recombination.plan.plan_stage import make_plan

        return make_plan(recipe.run(store, progress), recipe.label, settings.rebalance)

    def recombined_samples(progress: Progress) -> object:
        from heml.recombination.recombination_stage import recombine

        return recombine(recipe.run(store, progress), settings.rebalance, settings.metric)

    def rebalanced_dataset(progress: Progress) -> object:
        from heml.dataset.dataset_stage import write_dataset

        inputs = store.summary("images")["content"]
        key = fingerprint(recipe.fingerprint, inputs, heml.__version__)
        return write_dataset(
            recipe.run(store, progress), description_of(recipe), key, settings.dataset
        )

    def debias_effect(progress: Progress) -> object:
        from heml.effect.effect_stage import measure_effect

        return measure_effect(recipe.run(store, progress), recipe.label, settings.effect)

    def dataset_card(progress: Progress) -> object:
        from heml.dataset.documents import complete_documents

        return complete_documents(
            recipe.run(store, progress), description_of(recipe), settings.effect.enabled
        )

    def report(progress: Progress) -> object:
        from heml.report.report_stage import render_report

        return render_report(
            recipe.run(store, progress), recipe.name, recipe.label, recipe.text,
            settings.effect.enabled,
        )  # fmt: skip

    levels = {f"metric_{n}": level(n, nodes) for n, nodes in enumerate(taxonomy.levels)}
    calls: list[Call] = [metric_tree, bias_scores, rebalance_plan, recombined_samples]
    calls += [rebalanced_dataset, *([debias_effect] if settings.effect.enabled else [])]
    calls += [dataset_card, report]
    return {
        "images": images,
        "segments": segments,
        **levels,
        **{call.__name__: call for call in calls},
    }
