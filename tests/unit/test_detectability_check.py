"""When edit marks encode the label."""

import numpy as np
import pytest

from heml.audit import detectability_stage
from heml.audit.edit_detectability import EditDetectability
from heml.bias.family_bootstrap import Measured
from pipelines.checks.detectability_check import FEWEST, check_edit_detectability
from pipelines.checks.limits import OverLimit


@pytest.fixture
def check(store, monkeypatch):
    """Checks a dataset whose detector predicts the label with this accuracy, ± 3 points."""

    def checked(accuracy, recombined=100, within=0.5):
        summary = {"recombined": recombined, "label_column": "mouth", "attribute_columns": []}
        store.finish("rebalanced_dataset", f"{accuracy}", summary, [])
        told = (Measured(value, value - 0.03, value + 0.03, 200) for value in (accuracy, within))
        found = EditDetectability(Measured(0.9, 0.85, 0.95, 200), *told, 0.5, np.zeros(200))
        monkeypatch.setattr(detectability_stage, "read_train_images", lambda *_: (None,) * 6)
        monkeypatch.setattr(
            detectability_stage, "measure_edit_detectability", lambda *_, **__: found
        )
        return check_edit_detectability(store)

    return checked


def test_marks_that_encode_nothing_pass(check):
    assert check(0.54)["label_accuracy"] == 0.54


def test_a_dataset_is_measured_once(check, store, monkeypatch):
    found = check(0.54)
    monkeypatch.setattr(detectability_stage, "measure_edit_detectability", None)
    assert check_edit_detectability(store) == found


@pytest.mark.parametrize("accuracy", [0.56, 0.64, 0.9])
def test_marks_that_encode_the_label_warn_and_stop_nothing(check, accuracy):
    with pytest.raises(OverLimit, match=r"edit marks encode mouth: .* chance is 50%") as raised:
        check(accuracy)
    assert not raised.value.severe
    assert raised.value.counts["detector_auc"] == 0.9


def test_marks_that_encode_the_label_within_an_attribute_value_warn(check):
    with pytest.raises(OverLimit, match=r"predicts it within attribute values with accuracy 58%"):
        check(0.5, within=0.58)


def test_too_few_recombined_rows_tell_nothing(check):
    assert check(0.9, FEWEST - 1) == {"recombined": FEWEST - 1}
