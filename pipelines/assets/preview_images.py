"""The one small picture that each asset shows in the UI; drawn by `heml.report.figures`.

Stage → function of store and recipe that gives PNG bytes, or None where there is nothing to show.
"""

import base64
import io
from collections.abc import Callable

import dagster as dg

from heml.storage.store import Store
from pipelines.recipe.model import LoadedRecipe

SegmentedImage = Callable[[Store, LoadedRecipe], bytes | None]

#: Pictures are part of the event log, which is no place for large ones.
MOST_BYTES = 200_000


def _images(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import images_figure

    return images_figure(store, recipe.label, recipe.attributes)


def _segments(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import segments_figure

    return segments_figure(store, recipe.taxonomy)


def _metric_tree(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import pair_figure
    from heml.report.figures.examples import contrasting_pairs
    from heml.tree.metric_tree import MetricTree

    tree = MetricTree.load(store.metric_tree, recipe.taxonomy)
    pairs = contrasting_pairs(tree, recipe.attributes_in(store))
    if not pairs:
        return None
    return pair_figure(store, recipe.taxonomy, pairs[0].first, pairs[0].second, tree)


def _report(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import tree_figure

    return tree_figure(store, recipe.taxonomy, recipe.attributes_in(store)[0])


def _bias_scores(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import bias_figure

    return bias_figure(store, recipe.attributes_in(store)[0])


def _rebalance_plan(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import plan_figure

    return plan_figure(store)


def _recombined_samples(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import samples_figure

    return samples_figure(store)


def _rebalanced_dataset(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import plan_figure

    return plan_figure(store, accepted=True)


def _dataset_card(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import effect_figure, plan_figure

    measured = store.summary("dataset_card")["effect"]
    return effect_figure(store) if measured else plan_figure(store, accepted=True)


def _debias_effect(store: Store, recipe: LoadedRecipe) -> bytes | None:
    from heml.report.figures.by_name import effect_figure

    return effect_figure(store)


PICTURES: dict[str, SegmentedImage] = {
    "images": _images,
    "segments": _segments,
    "metric_tree": _metric_tree,
    "bias_scores": _bias_scores,
    "rebalance_plan": _rebalance_plan,
    "recombined_samples": _recombined_samples,
    "rebalanced_dataset": _rebalanced_dataset,
    "dataset_card": _dataset_card,
    "debias_effect": _debias_effect,
    # The tree is drawn with its bias scores, so it is shown where they exist.
    "report": _report,
}


def _node_picture(node: str) -> SegmentedImage:
    def draw(store: Store, recipe: LoadedRecipe) -> bytes | None:
        from heml.report.figures.by_name import node_figure

        return node_figure(store, node, recipe.taxonomy)

    return draw


def picture(
    stage: str, store: Store, recipe: LoadedRecipe, log: dg.DagsterLogManager
) -> dict[str, dg.MarkdownMetadataValue]:
    """The stage's picture as metadata; none if it has none or cannot be drawn.

    Parameters
    ----------
    stage : str
        A stage's name, `metric/<node>` for a node.
    """
    kind, _, node = stage.partition("/")
    draw = _node_picture(node) if node else PICTURES.get(kind)
    if draw is None:
        return {}
    try:
        png = draw(store, recipe)
        if png is None:
            return {}
        encoded = base64.b64encode(_small(png)).decode()
    except Exception as error:
        # The table is made and true: a picture that fails to draw must not undo that.
        log.warning(f"{stage}: no picture: {type(error).__name__}: {error}")
        return {}
    return {"picture": dg.MetadataValue.md(f"![{stage}](data:image/png;base64,{encoded})")}


def _small(png: bytes) -> bytes:
    from PIL import Image

    while len(png) > MOST_BYTES:
        with Image.open(io.BytesIO(png)) as image:
            half = image.convert("RGB").resize((image.width // 2 or 1, image.height // 2 or 1))
        buffer = io.BytesIO()
        half.save(buffer, "PNG", optimize=True)
        png = buffer.getvalue()
    return png
