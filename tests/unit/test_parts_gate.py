"""A toy gate in a single file: fitted, asked, and known to contract and report."""

from __future__ import annotations

import numpy as np
import pytest
from toy_parts import install_toy

from data_contracts import REBALANCED_DATASET, RECOMBINED_SAMPLES
from heml.recombination.gate import GATES
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.judging.judge import Gates
from heml.recombination.refusals import refusal_words

TOY = """
import pyarrow as pa

from data_contracts import Column
from heml.recombination.gate import FittedGate, Gate, Judgment, Observer


class Brightest(Observer):
    def __init__(self, gate):
        self.gate, self.seen = gate, []

    def see(self, image, found):
        self.seen.append(int(image.image.max()))

    def close(self):
        self.gate.limits = max(self.seen)


class NotTooBright(FittedGate):
    real_images = 4

    def __init__(self, limits=None):
        self.limits = limits

    def observer(self, moved):
        return None if self.limits is not None else Brightest(self)

    def judge(self, batch):
        found = [int(s.image.max()) for s in batch.samples]
        return [Judgment({"gate_toy": float(v)}, v > self.limits) for v in found]

    def describe(self):
        return {"toy_bright": {"limit": self.limits}}


toy_bright = Gate(
    name="toy_bright",
    rank=35,
    question="Is it no brighter than real images?",
    refusal="too bright",
    columns=(Column("gate_toy", pa.float32(), "Brightest pixel.", nullable=True),),
    fit=lambda calibration, limits: NotTooBright(limits),
)
"""


@pytest.fixture(params=["registered", "installed"])
def toy(request, tmp_path, monkeypatch):
    """The toy's name, known in both ways."""
    if request.param == "installed":
        install_toy(tmp_path, monkeypatch, "heml.gates", "toy_bright", TOY)
    else:
        names: dict[str, object] = {}
        exec(TOY, names)
        GATES.register(names["toy_bright"])
    yield "toy_bright"
    GATES.unregister("toy_bright")


def flat(value: int) -> SegmentedImage:
    return SegmentedImage(np.full((6, 6, 3), value, np.uint8), {"shape": np.ones((6, 6), bool)})


def test_the_toy_is_fitted_to_real_images_and_asked(toy):
    real = [flat(value) for value in (10, 200, 90)]
    gates = Gates(
        {toy: GATES[toy].fit(None, None)}, lambda node: [node], lambda count: iter([real])
    )
    samples = [Recombined(flat(v).image, flat(v).masks) for v in (150, 201)]
    edit = {"nodes": ["shape"], "host_id": "a", "donor_id": "b", "direction": "swap_attribute"}
    verdicts = gates.judge(samples, real[:2], real[:2], [edit, edit])
    assert [verdict.reason for verdict in verdicts] == ["", "toy_bright"]
    assert verdicts[1].numbers["gate_toy"] == 201
    assert verdicts[1].numbers["gate_seam"] is None, "columns of gates that were not asked"
    assert gates.describe() == {"toy_bright": {"limit": 200}}
    assert gates.limits == {"toy_bright": 200}


def test_contracts_and_report_know_the_toy(toy):
    for contract in (RECOMBINED_SAMPLES, REBALANCED_DATASET):
        gates = [name for name in contract.column_names if name.startswith("gate_")]
        assert gates[2:5] == ["gate_distribution", "gate_toy", "gate_change"], "in the gates' order"
        assert "gate_toy" in contract.schema().names
    assert refusal_words(toy) == "too bright"


def test_without_it_nobody_knows_it():
    assert "gate_toy" not in RECOMBINED_SAMPLES.column_names
    assert refusal_words("toy_bright") == "toy_bright"
