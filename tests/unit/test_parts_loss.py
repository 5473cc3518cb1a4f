"""A loss of one file is what networks minimize, and recipes know it."""

import numpy as np
import pytest
from pydantic import ValidationError
from toy_registration import HOWS, toy_part

from heml.metrics.loss import LOSSES
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import train_network

TOY = '''
"""The mean distance of pairs of one label, minus that of pairs of two."""

from heml.metrics.loss import Loss


class Gap(Loss):
    name = "toy"
    rank = 9
    description = "mean distance within labels minus that between them"
    mines = False
    only_distance = "cosine"

    def objective(self, context):
        from torch import nn

        class Objective(nn.Module):
            def forward(self, embeddings, labels):
                distances = context.distance.pairwise(embeddings, embeddings)
                same = labels[:, None] == labels[None, :]
                value = distances[same].mean() - distances[~same].mean()
                return value, value.detach()

        return Objective()


PART = Gap()
'''
CHOSEN = {"loss": "toy", "distance": "cosine", "epochs": 5, "batch_size": 16, "embedding": 8}


@pytest.mark.parametrize("how", HOWS)
def test_a_toy_loss_is_minimized(how, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    views = rng.integers(0, 60, (40, 4, 8, 8), np.uint8)
    views[labels == 1, 0] += 150
    with toy_part(LOSSES, "toy", TOY, how, tmp_path, monkeypatch):
        assert "toy" in MetricSettings.model_json_schema()["properties"]["loss"]["enum"]
        settings = MetricSettings.model_validate(CHOSEN)
        _, curve = train_network(views, np.arange(40), labels, settings, None, seed=0)
        # 0 - 2 at best: one direction per label.
        assert curve[0] > curve[-1] > -2
        assert curve[-1] < -1
        with pytest.raises(ValidationError, match="or distance cosine"):
            MetricSettings.model_validate({**CHOSEN, "distance": "snr"})
        with pytest.raises(ValidationError, match="use miner default"):
            MetricSettings.model_validate({**CHOSEN, "miner": "hard"})
    with pytest.raises(ValidationError, match="'toy' is unknown"):
        MetricSettings.model_validate(CHOSEN)


def test_an_unknown_loss_is_answered_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'triplet'"):
        MetricSettings.model_validate({"loss": "tripet"})
