"""Networks that tell samples from real images around the edit, none judging what it was trained on.

Families (a host with all its samples) are split into folds; each fold's samples are scored by a
network trained on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from heml.bias.family_bootstrap import Measured, bootstrapped, resampled_auc
from heml.compute.batching import in_parts
from heml.compute.device import choose_device
from heml.compute.threads import worker_pool
from heml.recombination.critic.crops import PIECES, Crops
from heml.recombination.judging.detector import detector_scores, train_detector
from heml.recombination.judging.folds import fold_of, number_of

#: Samples that networks are trained on, folds, and the batch size.
TRAINED_ON, FOLDS, BATCH = 1500, 3, 32
#: How often a network sees each piece, and its steps at most.
EPOCHS, MOST_STEPS = 2, 120
#: With fewer samples there is no critic.
FEWEST = 60
#: Samples that are scored together.
_TOGETHER = 128


@dataclass(frozen=True)
class Candidate:
    """A sample that passed the gates.

    Parameters
    ----------
    edit_id, host_id : str
    crops : Crops
    """

    edit_id: str
    host_id: str
    crops: Crops


@dataclass
class Scores:
    """What the critic says.

    Parameters
    ----------
    samples : dict of str to float
        Edit → share of real images of its fold that look more edited, in [0, 1]; low for a sample
        that gives itself away.
    families : list of str
        Of every scored image, samples and real ones, with `edited` and `logits`.
    edited : list of bool
    logits : list of float
        Ranks within the fold.
    """

    samples: dict[str, float] = field(default_factory=dict)
    families: list[str] = field(default_factory=list)
    edited: list[bool] = field(default_factory=list)
    logits: list[float] = field(default_factory=list)

    def auc(self, seed: int = 0) -> Measured:
        """Area under the ROC curve of samples against the real images at their places."""
        edited, logits = np.array(self.edited, bool), np.array(self.logits)
        families = np.array(self.families)
        rng = np.random.default_rng(seed)
        return bootstrapped(lambda times: resampled_auc(times, edited, logits), families, rng)


def criticize(
    candidates: Callable[[], Iterable[Candidate]], count: int, seed: int
) -> Scores | None:
    """Cross-fitted scores of samples; None where they are too few.

    Parameters
    ----------
    candidates : callable
        Gives them, the same in every call: they are read twice and not kept.
    count : int
    seed : int
        Any integer; it draws the networks' weights and batches.
    """
    if count < FEWEST:
        return None
    share = min(1.0, TRAINED_ON / count)
    known = [c for c in candidates() if number_of(c.edit_id) < share]
    folds = np.array([fold_of(c.host_id, FOLDS) for c in known])
    if not known or min(np.bincount(folds, minlength=FOLDS)) == 0:
        return None
    device = choose_device("auto")
    seed %= 2**31
    steps = min(len(known) * 3 * PIECES * EPOCHS // BATCH, MOST_STEPS)
    images = np.concatenate([piece for c in known for piece in c.crops])
    edited = np.tile(np.repeat([True, False], [PIECES, 2 * PIECES]), len(known))
    owners = np.repeat(folds, 3 * PIECES)
    with worker_pool():
        networks = [
            train_detector(
                images, np.flatnonzero(owners != fold), edited, steps, BATCH, seed + fold, device
            )
            for fold in range(FOLDS)
        ]
        return _scored(candidates(), networks)


def _scored(candidates: Iterable[Candidate], networks: list[nn.Module]) -> Scores:
    device = choose_device("auto")
    rows: list[tuple[int, str, str, np.ndarray]] = []
    for part in in_parts(candidates, _TOGETHER):
        for fold, network in enumerate(networks):
            own = [c for c in part if fold_of(c.host_id, FOLDS) == fold]
            if own:
                pieces = np.concatenate([piece for c in own for piece in c.crops])
                logits = detector_scores(network, pieces, device).reshape(len(own), 3, PIECES)
                rows += [
                    (fold, c.edit_id, c.host_id, means)
                    for c, means in zip(own, logits.mean(axis=2), strict=True)
                ]
    scores = Scores()
    for fold in range(len(networks)):
        own_rows = [row for row in rows if row[0] == fold]
        values = np.array([means for *_, means in own_rows]).reshape(-1, 3)
        real = np.sort(values[:, 1:].ravel())
        above = 1 - np.searchsorted(real, values, side="left") / max(len(real), 1)
        for (_, edit, host, _means), (made, first, second) in zip(own_rows, above, strict=True):
            scores.samples[edit] = float(made)
            for kind, value in ((True, made), (False, first), (False, second)):
                scores.families.append(host)
                scores.edited.append(kind)
                # High for what looks edited.
                scores.logits.append(1 - float(value))
    return scores
