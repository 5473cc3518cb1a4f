"""What a run found and made, in a few lines for the terminal. Everything is read from the store."""

from collections.abc import Iterator, Mapping

import pandas as pd

from heml.effect.summary import arm_effects
from heml.storage.store import Store
from pipelines.cli.tables import text_table
from pipelines.recipe.model import LoadedRecipe

#: Leaves shown per attribute; the report shows all.
MOST_LEAVES = 5


def summary_lines(recipe: LoadedRecipe, store: Store, reused: Mapping[str, bool]) -> Iterator[str]:
    """Bias ranking, effect, what was kept, and where the results are.

    Parameters
    ----------
    reused : mapping of str to bool
        Stage → whether an earlier result was kept.
    """
    scores = pd.read_parquet(store.bias_scores)
    for attribute in recipe.attributes_in(store):
        yield ""
        yield from _ranking(recipe.label, attribute, scores[scores["attribute"] == attribute])
    if recipe.settings.effect.enabled:
        yield ""
        reason = store.summary("debias_effect").get("not_measured", "")
        yield from _effect(pd.read_parquet(store.debias_effect), reason)
    yield ""
    yield _kept(reused)
    yield f"Dataset  {store.rebalanced_dataset}"
    yield f"Report   {store.report}"


def _ranking(label: str, attribute: str, scores: pd.DataFrame) -> Iterator[str]:
    leaves = scores[scores["kind"] == "leaf"].sort_values("rank")
    shown = leaves.head(MOST_LEAVES)
    yield (
        f"Bias: leaves that encode {attribute} and rely on it to predict {label} "
        f"({len(shown)} of {len(leaves)}; n = {leaves['n'].max()}, "
        f"{leaves['n_conflicting'].max()} conflicting)"
    )
    yield from text_table(
        ["node", "score", "95% interval", "accuracy aligned", "conflicting"],
        [
            [
                str(row.node),
                _share(row.score),
                f"{_share(row.score_low)} to {_share(row.score_high)}",
                _share(row.accuracy_aligned),
                _share(row.accuracy_conflicting),
            ]
            for row in shown.itertuples()
        ],
    )


def _effect(effect: pd.DataFrame, not_measured: str) -> Iterator[str]:
    arms = arm_effects(effect)
    if not arms:
        yield f"Effect: not measured: {not_measured}"
        return
    seeds = effect["seed"].nunique()
    times = "one seed" if seeds == 1 else f"mean of {seeds} seeds"
    yield (
        f"Effect: accuracy on {effect['n_test'].max()} held-out real images, {times}; "
        f"95% interval over seeds and the {min(arm.n_worst for arm in arms)} images of the worst "
        "group"
    )
    yield from text_table(
        ["trained on", "worst group", "95% interval", "average"],
        [
            [
                arm.words,
                _share(arm.worst.mean),
                f"{_share(arm.worst.low)} to {_share(arm.worst.high)}",
                _share(arm.average.mean),
            ]
            for arm in arms
        ],
    )


def _kept(reused: Mapping[str, bool]) -> str:
    metrics = {s: kept for s, kept in reused.items() if s.startswith("metric/")}
    trained = [stage.removeprefix("metric/") for stage, kept in metrics.items() if not kept]
    kept = len(metrics) - len(trained)
    if not trained:
        return f"Kept     {kept} of {len(metrics)} metrics, nothing retrained"
    if not kept:
        return f"Trained  {len(trained)} metrics"
    return f"Trained  {len(trained)} of {len(metrics)} metrics ({', '.join(trained)}), {kept} kept"


def _share(value: object) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"  # type: ignore[call-overload]
