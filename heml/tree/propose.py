"""A hierarchy proposed from trained leaves: which segments say the same, and which touch.

Two leaves are alike if their distances rank pairs of images alike (representational similarity
analysis, Kriegeskorte et al., 2008) and if their segments are adjacent. Agglomerative clustering
of the two makes a tree, as a fragment of a recipe for a person to review.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import yaml
from scipy.cluster.hierarchy import ClusterNode, linkage, to_tree
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from heml.metrics.artifacts import load_node
from heml.metrics.views import union
from heml.report_free import spread
from heml.segmentation.masks import SegmentReader
from heml.store import Store
from heml.taxonomy import BACKGROUND, Taxonomy
from heml.tree.fit import MAX_PAIRS
from heml.tree.pairs import Pairs, held_out_pairs
