"""A toy effect arm in a single file: registered here, or installed beside HEML."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pandas as pd
import pytest
from test_effect import problem
from toy_parts import install_toy

from data_contracts import DEBIAS_EFFECT, ContractError
from heml.effect.arm import ARMS, Arm
from heml.effect.effect_settings import EffectSettings
from heml.effect.problem import Problem, Tell
from heml.effect.summary import arm_effects
from heml.effect.training_loop import Trained, train_network
from heml.parts.registry import RegistryError
from pipelines.recipe.model import RecipeError, load_recipe

TOY = """
from heml.effect.arm import Arm
from heml.effect.training_loop import train_network


def train(problem, seed, tell):
    return train_network(problem.train, problem.classes, problem.settings, seed, tell)


toy_arm = Arm(name="toy_arm", rank=55, words="toy training", description="A toy.", train=train)
"""


@pytest.fixture(params=["registered", "installed"])
def toy(request, tmp_path, monkeypatch):
    """The toy's name, known in both ways."""
    if request.param == "installed":
        install_toy(tmp_path, monkeypatch, "heml.arms", "toy_arm", textwrap.dedent(TOY))
    else:

        def train(problem: Problem, seed: int, tell: Tell) -> Trained:
            return train_network(problem.train, problem.classes, problem.settings, seed, tell)

        ARMS.register(
            Arm(name="toy_arm", rank=55, words="toy training", description="A toy.", train=train)
        )
    yield "toy_arm"
    ARMS.unregister("toy_arm")


def effect_row(arm: str) -> dict[str, object]:
    shares = ("worst_group_accuracy", "average_accuracy", "worst_group_low", "worst_group_high",
              "average_low", "average_high")  # fmt: skip
    counts = {"seed": 0, "n_worst_group": 9, "n_test": 9, "n_train": 9}
    return {"arm": arm, "worst_group": "x", "note": "", **counts, **dict.fromkeys(shares, 0.5)}


def test_everything_that_lists_arms_knows_the_toy(toy, tmp_path):
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\neffect: {arms: [toy_arm]}\n")
    loaded = load_recipe(recipe)
    arms = loaded.settings.effect.all_arms
    assert arms == ("erm", "group_balanced", "toy_arm", "rebalanced"), "by rank"
    frame = pd.DataFrame([effect_row(toy)])
    DEBIAS_EFFECT.validate(frame)
    assert [arm.words for arm in arm_effects(frame)] == ["toy training"]
    assert "toy_arm" in EffectSettings.model_json_schema()["properties"]["arms"]["items"]["enum"]
    trained = ARMS[toy].train(problem(), 0, lambda step: None)
    assert trained.n_train == 45


def test_without_it_nobody_knows_it(tmp_path):
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\neffect: {arms: [subgg]}\n")
    with pytest.raises(RecipeError, match="'subgg' is unknown; did you mean 'subg'"):
        load_recipe(recipe)
    with pytest.raises(ContractError):
        DEBIAS_EFFECT.validate(pd.DataFrame([effect_row("toy_arm")]))
    with pytest.raises(RegistryError, match="no effect arm"):
        ARMS["toy_arm"]


def test_an_installed_part_that_is_not_one_says_so(tmp_path, monkeypatch):
    install_toy(tmp_path, monkeypatch, "heml.arms", "toy_arm", "toy_arm = 3")
    assert "toy_arm" in ARMS
    with pytest.raises(RegistryError, match="registers no effect arm of the name 'toy_arm'"):
        ARMS["toy_arm"]


def test_arms_are_known_without_torch():
    program = (
        "import sys; from heml.effect.arm import ARMS; "
        "print([arm.words for arm in ARMS] and 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "False\n", said.stderr
