"""A toy operator in a single file: planned, computed, named in tables and reports."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import pytest
from toy_parts import install_toy

from data_contracts import REBALANCE_PLAN, ContractError
from heml.recombination.compositing.compose import Edit, SegmentedImage, compose_batch
from heml.recombination.operator import OPERATORS, Move
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.taxonomy import from_mapping
from pipelines.recipe.model import RecipeError, load_recipe

TOY = """
from heml.recombination.imaging.segmented_image import Recombined
from heml.recombination.operator import OPERATORS, Fitting, Operator


class Prepared:
    def __init__(self, edit):
        self.edit = edit

    @property
    def key(self):
        return self.edit.host.size


def feasible(move):
    return Fitting(move.hosts & move.has, move.donors)


def compute(edits, taxonomy, device):
    return [Recombined(255 - e.edit.host.image, e.edit.host.masks) for e in edits]


toy_negative = Operator(
    name="toy_negative",
    rank=35,
    words="toy inversion",
    description="Inverts the host.",
    feasible=feasible,
    prepare=lambda edit, taxonomy: Prepared(edit),
    compute=compute,
)
"""


@pytest.fixture(params=["registered", "installed"])
def toy(request, tmp_path, monkeypatch):
    """The toy's name, known in both ways."""
    code = textwrap.dedent(TOY)
    if request.param == "installed":
        install_toy(tmp_path, monkeypatch, "heml.operators", "toy_negative", code)
    else:
        names: dict[str, object] = {}
        exec(code, names)
        OPERATORS.register(names["toy_negative"])
    yield "toy_negative"
    OPERATORS.unregister("toy_negative")


def recipe(folder, operators):
    path = folder / "faces.yaml"
    path.write_text(
        f"name: faces\nsource: {{kind: portraits}}\nrebalance: {{operators: {operators}}}\n"
    )
    return load_recipe(path)


def plan_row(operator):
    return pd.DataFrame(
        [{"edit_id": "e", "direction": "swap_attribute", "operator": operator, "seed": 0}]
    )


def test_recipe_contract_and_compositing_know_the_toy(toy, tmp_path):
    assert recipe(tmp_path, "[toy_negative]").settings.rebalance.operators == [toy]
    REBALANCE_PLAN.validate(plan_row(toy), columns=["edit_id", "direction", "operator", "seed"])
    assert OPERATORS[toy].words == "toy inversion"
    assert [operator.name for operator in OPERATORS][2:4] == ["background", "toy_negative"]
    assert toy not in RebalanceSettings().operators, "what is installed changes no default"

    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    segmented_image = SegmentedImage(image, {"shape": np.ones((8, 8), bool)})
    taxonomy = from_mapping("one", {"leaves": {"shape": ["shape"]}, "tree": {"image": ["shape"]}})
    (made,) = compose_batch([Edit(toy, segmented_image, segmented_image, ["shape"])], taxonomy)
    np.testing.assert_array_equal(made.image, 255 - image)
    everyone = np.ones(3, bool)
    move = Move("swap_attribute", ("shape",), everyone, everyone, np.array([True, False, True]))
    assert OPERATORS[toy].feasible(move).hosts.tolist() == [True, False, True]


def test_unknown_operators_are_refused_and_the_british_spelling_is_not(tmp_path):
    assert recipe(tmp_path, "[recolour]").settings.rebalance.operators == ["recolor"]
    with pytest.raises(RecipeError, match="'toy_negative' is unknown"):
        recipe(tmp_path, "[toy_negative]")
    columns = ["edit_id", "direction", "operator", "seed"]
    with pytest.raises(ContractError):
        REBALANCE_PLAN.validate(plan_row("toy_negative"), columns=columns)
