"""Explained pairs of images: three figures of each, and their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from heml.parts.wording import group_of
from heml.report.drawing.contribution_bars import draw_contributions
from heml.report.drawing.data_uris import Embedded, embed
from heml.report.drawing.encoding import photo_webp
from heml.report.drawing.pair_tree import draw_pair_tree
from heml.report.drawing.segment_strip import draw_segment_strip
from heml.report.drawing.style import NARROW
from heml.report.drawing.theme import DARK, LIGHT
from heml.report.figures.examples import ChosenPair, contrasting_pairs
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.image_records import Records
from heml.tree.metric_tree import MetricTree


@dataclass(frozen=True)
class ExplainedPair:
    """An explained pair.

    Parameters
    ----------
    title : str
    same_label : bool
    groups : tuple of str
        Groups of both images, by value.
    plain, debiased : float
        Probability of one label by each similarity.
    top_plain, top_debiased : str
        Node with the largest share of each total.
    similar, different : list of str
        Leaves by their verdict.
    tree, strip, shares : Embedded
    """

    title: str
    same_label: bool
    groups: tuple[str, str]
    plain: float
    debiased: float
    top_plain: str
    top_debiased: str
    similar: list[str]
    different: list[str]
    tree: Embedded
    strip: Embedded
    shares: Embedded


def explained_pairs(
    store: Store, taxonomy: Taxonomy, attributes: Sequence[str]
) -> list[ExplainedPair]:
    """The pairs that `contrasting_pairs` chooses, explained."""
    tree, records = MetricTree.load(store.metric_tree, taxonomy), Records(store.root)
    return [
        _explained(records, attributes, tree, pair) for pair in contrasting_pairs(tree, attributes)
    ]


def _explained(
    records: Records, attributes: Sequence[str], tree: MetricTree, pair: ChosenPair
) -> ExplainedPair:
    explanation = tree.explain(pair.first, pair.second)
    ids = pair.first, pair.second
    rows = [tree.index[tree.row(image_id)] for image_id in ids]
    groups = [group_of(row["label"], [row[g] for g in attributes]) for row in rows]
    leaves = [node for node in explanation.nodes if tree.taxonomy.kind(node.node) == "leaf"]
    totals = ", ".join(f"{which} {total:.2f}" for which, total in explanation.totals.items())

    def top(which: str) -> str:
        return max(explanation.nodes, key=lambda node: node.contributions[which]).node

    images = records[ids[0]], records[ids[1]]

    def drawn(draw: Callable[..., Figure], alt: str, phone: bool = True) -> Embedded:
        def embedded(narrow: Embedded | None, **size: float) -> Embedded:
            light, dark = (
                photo_webp(draw(tree, *images, explanation, theme, **size))
                for theme in (LIGHT, DARK)
            )
            return embed(light, alt, density=2, dark=dark, narrow=narrow)

        return embedded(embedded(None, width=NARROW) if phone else None)

    return ExplainedPair(
        title="Same label, different attribute"
        if pair.same_label
        else "Same attribute, different label",
        same_label=pair.same_label,
        groups=(groups[0], groups[1]),
        plain=explanation.probability_same["plain"],
        debiased=explanation.probability_same["debiased"],
        top_plain=top("plain"),
        top_debiased=top("debiased"),
        similar=[node.node for node in leaves if node.similar],
        different=[node.node for node in leaves if node.similar is False],
        tree=drawn(
            draw_pair_tree,
            f"The metric tree with what each node sees of {ids[0]} and {ids[1]}, and distances",
            # A tree is as wide as it is deep.
            phone=False,
        ),
        strip=drawn(
            draw_segment_strip, "Each segment of both images above each other, with distances"
        ),
        shares=drawn(
            draw_contributions, f"Bars of each node's share of the total distance: {totals}"
        ),
    )
