"""Recipes: what is wrong is said with file, key and the word to write instead."""

from pathlib import Path

import pytest

from pipelines.recipe.model import RecipeError, load_recipe, load_recipes

PORTRAITS = "name: faces\nsource: {kind: portraits}\n"
FOLDER = """\
name: faces
source:
  kind: folder
  root: data
  label: mouth
  attributes: [hair_tone]
taxonomy: celebamask_hq
"""


@pytest.fixture
def refused(tmp_path):
    """Loads a text that must be refused and gives the message."""

    def load(text: str | bytes) -> str:
        path = tmp_path / "faces.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(RecipeError) as error:
            load_recipe(path)
        message = str(error.value)
        assert message.startswith(str(path))
        return message.removeprefix(str(path))

    return load


@pytest.fixture
def write(tmp_path):
    def to_file(text: str, name: str = "faces.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return to_file


def test_short_recipe_has_every_default(write):
    recipe = load_recipe(write(PORTRAITS))
    assert (recipe.name, recipe.label, recipe.attributes) == ("faces", "mouth", ["hair_tone"])
    assert recipe.taxonomy.name == "portraits"
    assert recipe.settings.metric.epochs == 25
    assert recipe.settings.schedule is None
    assert not recipe.data_is_missing


def test_shipped_recipes_load():
    import pipelines.recipe.model

    folder = Path(pipelines.__file__).parent / "recipes"
    recipes = {recipe.name: recipe for recipe in load_recipes(folder)[0]}
    assert set(recipes) == {"demo", "celebamask_mouth", "ccp_trousers"}
    assert recipes["celebamask_mouth"].licence == "CelebAMask-HQ: non-commercial research only"


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("rebalance: {budgt: 1}", ", line 3: rebalance.budgt: unknown key; did you mean 'budget'?"),
        ("metrics: {}", ", line 3: metrics: unknown key; did you mean 'metric'?"),
        (
            "metric:\n  resolution:\n    leef: 16",
            ", line 5: metric.resolution.leef: unknown key; did you mean 'leaf'?",
        ),
        (
            "metric: {trunk: smal}",
            ", line 3: metric.trunk: 'smal' is unknown; did you mean 'small'?",
        ),
        (
            "rebalance: {operators: [insert, recolr]}",
            ", line 3: rebalance.operators[1]: 'recolr' is unknown; did you mean 'recolor'?",
        ),
        (
            "taxonomy: portrait",
            ", line 3: taxonomy: unknown taxonomy 'portrait'; did you mean 'portraits'?",
        ),
        ("taxonomy: 3", ", line 3: taxonomy: must be a built-in name, or a mapping"),
        (
            "metric: {resolution: {nodes: {mouht: 48}}}",
            ", line 3: metric.resolution.nodes.mouht: no such node; did you mean 'mouth'?",
        ),
        (
            "metric: {resolution: {nodes: {mouth: 4}}}",
            ", line 3: metric.resolution.nodes.mouth: must be 8 to 512 pixels, found 4",
        ),
        ("metric: {epochs: many}", ", line 3: metric.epochs: must be a whole number, found 'many'"),
        (
            "rebalance: {budget: -1}",
            ", line 3: rebalance.budget: must be greater than or equal to 0, found -1",
        ),
        (
            "rebalance: {target: eqal}",
            ", line 3: rebalance.target: 'eqal' is unknown; did you mean 'equal'?",
        ),
        (
            "rebalance:\n  target:\n    quotas:\n      smiling: 20",
            ", line 6: rebalance.target.quotas.smiling: a group is named by value of mouth → value "
            "of hair_tone, then its quota; found 1 value",
        ),
        (
            "rebalance: {target: {quotas: {smiling: {light: many}}}}",
            ", line 3: rebalance.target: quotas.smiling.light: must be a number of records",
        ),
        ("effect: {enabled: maybe}", ", line 3: effect.enabled: must be true or false"),
        ("effect: off", ", line 3: effect: must be a mapping of keys to values"),
        ("inpaint: {checkpoint: ./x}", ", line 3: inpaint.checkpoint: no such folder"),
        (
            "inpaint: {checkpont: x}",
            ", line 3: inpaint.checkpont: unknown key; did you mean 'checkpoint'?",
        ),
        (
            "segmentation: {kind: traned}",
            ", line 3: segmentation.kind: unknown kind 'traned'; did you mean 'trained'?",
        ),
        (
            "segmentation: {kind: trained, step: 9}",
            ", line 3: segmentation.step: unknown key; did you mean 'steps'?",
        ),
        ("schedule: '61 * * * *'", ", line 3: schedule.cron: '61 * * * *' is no cron line"),
    ],
)
def test_mistake_is_named_with_the_nearest_word(refused, addition, message):
    assert refused(PORTRAITS + addition).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: {kind: portraits}", ", line 1: name: is missing"),
        (
            "name: My faces\nsource: {kind: portraits}",
            ", line 1: name: 'My faces' must be lower-case letters, digits and _",
        ),
        ("name: 3\nsource: {kind: portraits}", ", line 1: name: must be text, found 3"),
        (
            "name: faces\nsource: {kind: foldr}",
            ", line 2: source.kind: unknown kind 'foldr'; did you mean 'folder'?",
        ),
        ("name: faces\nsource: {root: x}", ", line 2: source: needs the key 'kind'"),
        ("name: faces\nsource: portraits", ", line 2: source: must be a mapping"),
        (
            "name: faces\nsource: {kind: portraits, label: mouht}",
            ", line 2: source.label: portraits have no 'mouht'; did you mean 'mouth'?",
        ),
        (
            "name: faces\nsource: {kind: portraits, attributes: [mouth]}",
            ", line 2: source.attributes[0]: 'mouth' is the label; name another column",
        ),
        (
            FOLDER.replace("attributes: [hair_tone]", "attributes: hair_tone"),
            ", line 6: source.attributes: must be a list, such as [hair_tone]",
        ),
        (
            FOLDER.replace("label: mouth", "label: yes"),
            ", line 5: source.label: must be text, found True; put it in quotes",
        ),
        (FOLDER.replace("taxonomy: celebamask_hq\n", ""), ", line 1: taxonomy: is missing; use"),
        (
            FOLDER.replace("root: data", "root: $HEML_NO_SUCH/x"),
            ", line 4: source.root: the environment variable HEML_NO_SUCH is not set",
        ),
        ("name: faces\nname: other\n", ", line 2: name: given twice, first in line 1; keep one"),
        ("name: [faces\n", ", line 2: not valid YAML"),
        ("name: faces\n---\nname: b\n", ", line 2: not valid YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", ", line 1: not valid YAML"),
        (
            FOLDER.replace("label: mouth", "label: mouth\n  classes: {a: b}"),
            ", line 6: source.classes: must be a JSON file of class ids and names, a built-in list",
        ),
        (
            FOLDER.replace("label: mouth", "label: mouth\n  splitt: {dev: test}"),
            ", line 6: source.splitt: unknown key; did you mean 'split'?",
        ),
        (
            FOLDER.replace("kind: folder", "kind: parquet\n  splits: {dev: tset}"),
            ", line 4: source.splits.dev: 'tset' is unknown; did you mean 'test'?",
        ),
        ("", ": a recipe maps keys to values and needs at least name and source; this file is em"),
        ("- name\n", ": a recipe maps keys to values and needs at least name and source"),
        (b"name: \xff\n", ": not a text file in UTF-8 (byte 6)"),
    ],
)
def test_unusable_file_is_refused(refused, text, message):
    assert refused(text).startswith(message)


def test_misspelt_required_key_is_one_mistake(refused):
    message = refused(FOLDER.replace("label: mouth", "lable: mouth"))
    assert message == ", line 5: source.lable: unknown key; did you mean 'label'?"


def test_every_mistake_is_told_at_once(refused):
    assert len(refused(PORTRAITS + "metric: {epochs: 0, loss: tripl}").splitlines()) == 2


def test_quotas_of_a_recipe(write):
    quotas = "rebalance: {target: {quotas: {smiling: {light: 200, dark: 25%}}}}"
    target = load_recipe(write(PORTRAITS + quotas)).settings.rebalance.target
    assert target.quotas == {"smiling": {"light": 200, "dark": 0.25}}


def test_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: cannot read the recipe: No such file"):
        load_recipe(tmp_path / "nowhere.yaml")


def test_inline_taxonomy(write):
    recipe = load_recipe(
        write(
            PORTRAITS
            + "taxonomy: {leaves: {hair: [hair], rest: [skin]}, tree: {image: [hair, rest]}}"
        )
    )
    assert recipe.taxonomy.nodes == ["hair", "rest", "image"]


def test_inline_taxonomy_with_an_unknown_child(refused):
    text = PORTRAITS + "taxonomy:\n  leaves: {hair: [hair]}\n  tree: {image: [hiar]}\n"
    assert "'image' has the unknown child 'hiar'; did you mean 'hair'?" in refused(text)


def test_root_is_relative_to_the_recipe(write, tmp_path):
    recipe = load_recipe(write(FOLDER))
    assert recipe.data == tmp_path / "data"
    assert recipe.data_is_missing


@pytest.mark.parametrize("root", ["$HEML_TEST_DATA/x", "${HEML_TEST_DATA}/x"])
def test_variable_in_root(write, tmp_path, monkeypatch, root):
    monkeypatch.setenv("HEML_TEST_DATA", "/elsewhere")
    recipe = load_recipe(write(FOLDER.replace("root: data", f"root: {root}")))
    assert recipe.data == Path("/elsewhere/x")


@pytest.mark.parametrize("root", ["s3://bucket/$HEML_TEST_SET", "zip://faces::/data/faces.zip"])
def test_urls_stay_as_they_are(write, monkeypatch, root):
    monkeypatch.setenv("HEML_TEST_SET", "faces")
    recipe = load_recipe(write(FOLDER.replace("root: data", f"root: {root}")))
    assert recipe.source.root == root.replace("$HEML_TEST_SET", "faces")
    assert recipe.data is None
    assert not recipe.data_is_missing


def test_a_parquet_file_is_data(write, tmp_path):
    text = FOLDER.replace("kind: folder", "kind: parquet").replace("root: data", "root: a.parquet")
    assert load_recipe(write(text)).data_is_missing
    (tmp_path / "a.parquet").write_bytes(b"")
    assert not load_recipe(write(text)).data_is_missing


def test_default_of_a_variable_in_root(write, tmp_path, monkeypatch):
    monkeypatch.delenv("HEML_TEST_DATA", raising=False)
    text = FOLDER.replace("root: data", "root: ${HEML_TEST_DATA:-../own}/x")
    assert load_recipe(write(text)).data == tmp_path.parent / "own" / "x"


def test_fingerprint_ignores_where_the_data_lies_and_when_it_runs(write):
    first = load_recipe(write(FOLDER)).fingerprint
    moved = FOLDER.replace("root: data", "root: other") + "schedule: '0 3 * * 1'\n"
    assert load_recipe(write(moved)).fingerprint == first
    assert load_recipe(write(FOLDER + "rebalance: {budget: 2}\n")).fingerprint != first


def test_two_recipes_of_one_name_are_refused(write, tmp_path):
    write(PORTRAITS, "a.yaml")
    write(PORTRAITS, "b.yaml")
    recipes, (invalid,) = load_recipes(tmp_path)
    assert [recipe.path.name for recipe in recipes] == ["a.yaml"]
    assert "b.yaml: name: 'faces' is already the name of" in invalid.problem


def test_missing_folder_of_recipes_is_named(tmp_path):
    with pytest.raises(RecipeError, match="no such folder of recipes; set HEML_RECIPES"):
        load_recipes(tmp_path / "none")


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("{score: {warn: 0.6, error: 0.3}}", r"budget.score: warn \(0.6\) must not be above error"),
        ("{attributes: {hair_ton: {warn: 0.3}}}", "no such attribute; did you mean 'hair_tone'"),
        ("{attributes: {hair_tone: {wran: 0.3}}}", "unknown key; did you mean 'warn'"),
        ("{scores: {warn: 0.3}}", "unknown key; did you mean 'score'"),
        ("{quarantined: {warn: 5}}", "less than or equal to 1"),
    ],
)
def test_wrong_budget_is_refused_with_what_to_write(tmp_path, budget, message):
    path = tmp_path / "one.yaml"
    path.write_text(f"name: one\nsource: {{kind: portraits}}\nbudget: {budget}\n")
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_budget_does_not_make_the_dataset_another(tmp_path):
    path = tmp_path / "one.yaml"
    fingerprints = set()
    for budget in ("{}", "{score: {warn: 0.3}}"):
        path.write_text(f"name: one\nsource: {{kind: portraits}}\nbudget: {budget}\n")
        fingerprints.add(load_recipe(path).fingerprint)
    assert len(fingerprints) == 1
