"""Table contracts: one module per table. Imports neither heml nor pipelines."""

from data_contracts.association import ASSOCIATION, BIAS_MEASURES
from data_contracts.bias_history import BIAS_HISTORY
from data_contracts.bias_scores import BIAS_SCORES
from data_contracts.contract import Column, Contract, ContractError
from data_contracts.coverage import COVERAGE
from data_contracts.debias_effect import DEBIAS_EFFECT
from data_contracts.discovered_groups import DISCOVERED_GROUPS, DISCOVERED_NODES
from data_contracts.embeddings import EMBEDDINGS
from data_contracts.images import IMAGES
from data_contracts.quarantine import QUARANTINE
from data_contracts.rebalance_plan import PLANNED_GROUPS, REBALANCE_PLAN
from data_contracts.rebalanced_dataset import REBALANCED_DATASET
from data_contracts.recombined_samples import RECOMBINED_SAMPLES
from data_contracts.segment_stability import SEGMENT_STABILITY
from data_contracts.segments import SEGMENTS
from data_contracts.vocabulary import Vocabulary

__all__ = [
    "ASSOCIATION",
    "BIAS_HISTORY",
    "BIAS_MEASURES",
    "BIAS_SCORES",
    "COVERAGE",
    "DEBIAS_EFFECT",
    "DISCOVERED_GROUPS",
    "DISCOVERED_NODES",
    "EMBEDDINGS",
    "IMAGES",
    "PLANNED_GROUPS",
    "QUARANTINE",
    "REBALANCED_DATASET",
    "REBALANCE_PLAN",
    "RECOMBINED_SAMPLES",
    "SEGMENTS",
    "SEGMENT_STABILITY",
    "Column",
    "Contract",
    "ContractError",
    "Vocabulary",
]
