"""Whether the rebalanced dataset did harm, as far as the test split can tell. Knows nothing of
Dagster."""

import pandas as pd

from heml.storage.store import Store
from pipelines.checks.limits import OverLimit


def check_effect(store: Store) -> dict[str, float]:
    """Gains of the rebalanced dataset over the data as it is, mean over seeds.

    Raises
    ------
    OverLimit
        If worst-group or average accuracy is below the interval of the data as it is: less could
        be chance. It stops what follows where the two intervals are apart. It warns if nothing
        could be measured, with the stage's reason.
    """
    # Needs torch, which has no place where definitions load.
    from heml.effect.summary import arm_effects

    arms = {arm.arm: arm for arm in arm_effects(pd.read_parquet(store.debias_effect))}
    if not arms:
        reason = store.summary("debias_effect").get("not_measured", "the table has no rows")
        raise OverLimit(f"the effect is not known: {reason}", severe=False, counts={})
    before, after = arms["erm"], arms["rebalanced"]
    pairs = {
        "worst_group_accuracy": (before.worst, after.worst),
        "average_accuracy": (before.average, after.average),
    }
    gains = {f"{name}_gain": new.mean - old.mean for name, (old, new) in pairs.items()}
    worse = [
        f"{name.replace('_', ' ')} fell from {old.mean:.3f} ({old.low:.3f} to {old.high:.3f}) to "
        f"{new.mean:.3f}"
        for name, (old, new) in pairs.items()
        if new.mean < old.low
    ]
    if worse:
        raise OverLimit(
            "trained on the rebalanced dataset, " + " and ".join(worse) + ": look at the samples "
            "in recombined_samples, or make fewer (rebalance.budget)",
            any(new.high < old.low for old, new in pairs.values()),
            gains,
        )
    return gains
