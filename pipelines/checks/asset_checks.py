"""Checks: blocking ones, one per table from its contract and rules that join tables; and warnings.

What is compared is in `table_check.py` and the other `*_check.py`; here checks become Dagster's.
Checks of one step share an op, because every op is a process.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from data_contracts import (
    ASSOCIATION,
    BIAS_HISTORY,
    BIAS_MEASURES,
    BIAS_SCORES,
    COVERAGE,
    DEBIAS_EFFECT,
    DISCOVERED_GROUPS,
    DISCOVERED_NODES,
    EMBEDDINGS,
    IMAGES,
    PLANNED_GROUPS,
    QUARANTINE,
    REBALANCE_PLAN,
    REBALANCED_DATASET,
    RECOMBINED_SAMPLES,
    SEGMENT_STABILITY,
    SEGMENTS,
    Contract,
    ContractError,
)
from data_contracts.common import INPUT_PREFIX
from heml.dataset.dataset_audit import (
    check_dataset_is_whole,
    check_no_test_leakage,
    check_nothing_revoked,
)
from heml.storage.store import Store
from heml.storage.table_check import check_table, parquet_files
from pipelines.assets.stage_asset import asset_key
from pipelines.checks.budget_check import check_bias_budget, check_bias_rise, check_quarantined
from pipelines.checks.detectability_check import check_edit_detectability
from pipelines.checks.effect_check import check_effect
from pipelines.checks.limits import OverLimit
from pipelines.recipe.model import LoadedRecipe
from pipelines.recipe.operation_settings import Limits
from pipelines.resources import StoreResource
from pipelines.runtime.orphans import end_with_the_run
from pipelines.runtime.recovery import recovering


@dataclass(frozen=True)
class Rule:
    """One check of one stage.

    Parameters
    ----------
    stage : str
    name : str
    description : str
    examine : callable
        Gives counts for the UI, or raises ContractError; OverLimit says itself whether it stops
        what follows.
    blocking : bool, default True
        False for a finding that people should see, and that stops nothing.
    """

    stage: str
    name: str
    description: str
    examine: Callable[[Store], Mapping[str, int | float]]
    blocking: bool = True


def recipe_checks(recipe: LoadedRecipe) -> list[dg.AssetChecksDefinition]:
    """All checks of one recipe."""
    images = [
        contract_rule("images", IMAGES, lambda store: store.images, INPUT_PREFIX),
        contract_rule("quarantine", QUARANTINE, lambda store: store.quarantine),
        Rule(
            "images",
            "every_input_accounted_for",
            "Read = accepted + quarantined + excluded, and the tables have as many rows.",
            lambda store: _account(store),
        ),
    ]
    budget = recipe.settings.budget
    if budget.quarantined != Limits():
        images.append(
            Rule(
                "images",
                "quarantined_budget",
                "The share of quarantined rows is within the recipe's `budget.quarantined`.",
                lambda store: check_quarantined(store, budget.quarantined),
            )
        )
    scores = [
        Rule(
            "bias_scores",
            "bias_against_previous",
            "No leaf's score rose since the previous measurement: by no more than the recipe's "
            "`budget.rise`, or, without one, not beyond both intervals (a warning).",
            lambda store: check_bias_rise(store, budget.rise),
        )
    ]
    if budget.score != Limits() or budget.attributes:
        scores.append(
            Rule(
                "bias_scores",
                "bias_budget",
                "The highest score of a leaf is within the recipe's `budget`, for each attribute.",
                lambda store: check_bias_budget(store, budget),
            )
        )
    dataset = [
        contract_rule(
            "rebalanced_dataset",
            REBALANCED_DATASET,
            lambda store: store.rebalanced_dataset / "data",
            "",
        ),
        Rule(
            "rebalanced_dataset",
            "no_test_leakage",
            "No recombined row descends from a held-out image, and validation and test are the "
            "input's own.",
            lambda store: check_no_test_leakage(store, store.rebalanced_dataset),
        ),
        Rule(
            "rebalanced_dataset",
            "nothing_revoked",
            "No row is a revoked image or descends from one.",
            lambda store: check_nothing_revoked(store, store.rebalanced_dataset),
        ),
        Rule(
            "rebalanced_dataset",
            "edit_detectability",
            "A detector of recombined rows does not predict the label: 2 points above chance it "
            "warns, 10 points stop what follows.",
            lambda store: check_edit_detectability(store),
        ),
    ]
    card = [
        Rule(
            "dataset_card",
            "dataset_is_whole",
            "Every file of the dataset has the SHA-256 that its manifest lists.",
            lambda store: check_dataset_is_whole(store.rebalanced_dataset),
        )
    ]
    steps = {
        "images": images,
        "segments": [contract_rule("segments", SEGMENTS, lambda store: store.segments)],
        **{
            f"metric_level_{level}": [_node_rule(node) for node in nodes]
            for level, nodes in enumerate(recipe.taxonomy.levels)
        },
        "bias_scores": [
            contract_rule("bias_scores", BIAS_SCORES, lambda store: store.bias_scores),
            _beside("bias_scores", COVERAGE, lambda store: store.coverage),
            _beside("bias_scores", ASSOCIATION, lambda store: store.association),
            _beside("bias_scores", BIAS_MEASURES, lambda store: store.bias_measures),
            _beside("bias_scores", BIAS_HISTORY, lambda store: store.bias_history),
            *scores,
        ],
        "rebalance_plan": [
            contract_rule("rebalance_plan", REBALANCE_PLAN, lambda store: store.rebalance_plan),
            _beside("rebalance_plan", PLANNED_GROUPS, lambda store: store.planned_groups),
        ],
        "recombined_samples": [
            contract_rule(
                "recombined_samples", RECOMBINED_SAMPLES, lambda store: store.recombined_samples
            )
        ],
        "rebalanced_dataset": dataset,
        "dataset_card": card,
    }
    if not recipe.attributes:
        steps["discovered_groups"] = [
            contract_rule(
                "discovered_groups", DISCOVERED_NODES, lambda store: store.discovered_nodes
            ),
            _beside("discovered_groups", DISCOVERED_GROUPS, lambda store: store.discovered_groups),
        ]
    if getattr(recipe.settings.segmentation, "changes", ()):
        steps["segments"].append(
            _beside("segments", SEGMENT_STABILITY, lambda store: store.segment_stability)
        )
    if recipe.settings.effect.enabled:
        steps["debias_effect"] = [
            contract_rule("debias_effect", DEBIAS_EFFECT, lambda store: store.debias_effect),
            Rule(
                "debias_effect",
                "effect_not_worse",
                "Trained on the rebalanced dataset, neither the worst group nor the average is "
                "below the 95% interval of the data as it is (a warning); where both intervals "
                "are apart, what follows is stopped.",
                lambda store: check_effect(store),
            ),
        ]
    return [_check(recipe, step, rules) for step, rules in steps.items()]


def contract_rule(
    stage: str,
    contract: Contract,
    path: Callable[[Store], Path],
    extra_prefix: str | None = None,
) -> Rule:
    """The rule that a stored table keeps its contract.

    Parameters
    ----------
    path : callable
        File or folder of the table; asked when the check runs.
    extra_prefix : str, optional
        See `check_table`.
    """

    def examine(store: Store) -> Mapping[str, int]:
        files = parquet_files(path(store))
        return {"rows": check_table(files, contract, extra_prefix), "files": len(files)}

    version = ".".join(map(str, contract.version))
    return Rule(
        stage,
        "contract",
        f"The stored table keeps the contract '{contract.name}' {version}: columns, types, rules.",
        examine,
    )


def _beside(stage: str, contract: Contract, path: Callable[[Store], Path]) -> Rule:
    """The same rule for a table that a stage writes beside its main one."""
    return replace(contract_rule(stage, contract, path), name=f"contract_{contract.name}")


def _node_rule(node: str) -> Rule:
    stage = f"metric/{node}"

    def path(store: Store) -> Path:
        # Earlier fingerprints of the node stay in the store; this is the one in use.
        return store.node(node) / store.fingerprint(stage) / "embeddings.parquet"

    return contract_rule(stage, EMBEDDINGS, path)


def _account(store: Store) -> Mapping[str, int]:
    summary = store.summary("images")
    counts = {k: int(summary[k]) for k in ("read", "accepted", "quarantined", "excluded")}
    if counts["read"] != counts["accepted"] + counts["quarantined"] + counts["excluded"]:
        raise ContractError(
            f"{counts['read']} inputs read, but {counts['accepted']} accepted, "
            f"{counts['quarantined']} quarantined and {counts['excluded']} excluded"
        )
    for key, path in (("accepted", store.images), ("quarantined", store.quarantine)):
        rows = sum(pq.read_metadata(file).num_rows for file in parquet_files(path))
        if rows != counts[key]:
            raise ContractError(f"{counts[key]} inputs {key}, but {path.name} has {rows} rows")
    return counts


def _check(recipe: LoadedRecipe, step: str, rules: list[Rule]) -> dg.AssetChecksDefinition:
    keyed = {dg.AssetCheckKey(asset_key(recipe, rule.stage), rule.name): rule for rule in rules}
    specs = [
        dg.AssetCheckSpec(
            key.name, asset=key.asset_key, description=rule.description, blocking=rule.blocking
        )
        for key, rule in keyed.items()
    ]

    @dg.multi_asset_check(name=f"{recipe.name}__check_{step}", specs=specs, can_subset=True)
    def _examine(
        context: dg.AssetCheckExecutionContext, heml_store: StoreResource
    ) -> Iterator[dg.AssetCheckResult]:
        end_with_the_run()
        with recovering(context):
            store = heml_store.open(recipe.name)
            store.pull()
            for key, rule in keyed.items():
                if key in context.selected_asset_check_keys:
                    yield _result(key, rule, store)

    return _examine


def _result(key: dg.AssetCheckKey, rule: Rule, store: Store) -> dg.AssetCheckResult:
    passed, description, counts, severe = True, "", dict[str, Any](), rule.blocking
    try:
        counts = dict(rule.examine(store))
    except OverLimit as error:
        passed, description, counts, severe = False, str(error), dict(error.counts), error.severe
    except (ContractError, FileNotFoundError) as error:
        passed, description = False, str(error)
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        asset_key=key.asset_key,
        check_name=key.name,
        description=description or None,
        metadata=counts,
    )
