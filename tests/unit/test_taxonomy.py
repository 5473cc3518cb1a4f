"""Taxonomies: what they refuse, and how they order their nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heml.sources.ade20k import OTHER
from heml.sources.class_list import ATR
from heml.taxonomy import Taxonomy, TaxonomyError, builtin, builtin_names, from_mapping, nearest

LEAVES = {"eyes": ("l_eye", "r_eye"), "mouth": ("mouth",), "hair": ("hair",)}
TREE = {"face": ("eyes", "mouth"), "image": ("face", "hair")}


def taxonomy(leaves=None, tree=None, ignored=()) -> Taxonomy:
    return Taxonomy("test", LEAVES if leaves is None else leaves, tree or TREE, ignored)


@st.composite
def taxonomies(draw) -> Taxonomy:
    """Random trees: leaves and branches are joined until one branch is left."""
    count = draw(st.integers(1, 12))
    leaves = {f"leaf_{n}": (f"class_{n}",) for n in range(count)}
    open_nodes, tree = list(leaves), {}
    while len(open_nodes) > 1 or not tree:
        size = draw(st.integers(1 if not tree else 2, len(open_nodes)))
        chosen = draw(st.permutations(open_nodes))[:size]
        branch = f"branch_{len(tree)}"
        tree[branch] = tuple(chosen)
        open_nodes = [n for n in open_nodes if n not in chosen] + [branch]
    branches = draw(st.permutations(list(tree)))
    return Taxonomy("random", leaves, {branch: tree[branch] for branch in branches})


@given(taxonomies())
def test_levels_hold_every_node_once_and_children_below_their_parent(tree):
    levels = tree.levels
    height = {node: n for n, level in enumerate(levels) for node in level}
    assert sorted(node for level in levels for node in level) == sorted(tree.nodes)
    assert set(levels[0]) == set(tree.leaves)
    assert levels[-1] == [tree.root]
    for branch, children in tree.tree.items():
        assert height[branch] == 1 + max(height[child] for child in children)


@given(taxonomies())
def test_every_node_sees_its_childrens_classes_and_the_root_all(tree):
    assert sorted(tree.classes_of(tree.root)) == sorted(tree.class_names)
    assert sorted(tree.leaves_of(tree.root)) == sorted(tree.leaves)
    for branch, children in tree.tree.items():
        seen = [c for child in children for c in tree.classes_of(child)]
        assert sorted(tree.classes_of(branch)) == sorted(seen)


@given(taxonomies())
def test_description_makes_the_same_taxonomy(tree):
    description = tree.describe()
    assert from_mapping(tree.name, description) == tree


def test_a_small_tree_answers():
    tree = taxonomy(ignored=("void",))
    assert tree.root == "image"
    assert tree.levels == [["eyes", "mouth", "hair"], ["face"], ["image"]]
    assert [tree.kind(node) for node in ("eyes", "face", "image")] == ["leaf", "branch", "root"]
    assert tree.children("face") == ("eyes", "mouth")
    assert tree.children("eyes") == ()
    assert tree.leaves_of("eyes") == ("eyes",)
    assert tree.classes_of("face") == ("l_eye", "r_eye", "mouth")


@pytest.mark.parametrize(
    ("leaves", "tree", "words"),
    [
        ({**LEAVES, "Nose": ("nose",)}, None, "'Nose' must be lower-case"),
        ({**LEAVES, "face": ("skin",)}, None, r"both leaf and branch: \['face'\]"),
        ({**LEAVES, "nose": ()}, None, "'nose' names no class"),
        ({**LEAVES, "nose": ("mouth",)}, None, "'mouth' is in the leaves 'mouth' and 'nose'"),
        (None, {**TREE, "face": ("eyes", "moth")}, "unknown child 'moth'; did you mean 'mouth'"),
        (None, {**TREE, "image": ("face", "hair", "eyes")}, "'eyes' has two parents"),
        (None, {"face": ("eyes", "mouth")}, r"one branch above all others, found \['face', 'hair'"),
        (None, {**TREE, "face": ()}, "'face' has no children"),
        (None, {**TREE, "a": ("b",), "b": ("a",)}, "cycle"),
        (None, {"face": ("eyes", "mouth", "image"), "image": ("face", "hair")}, "one branch above"),
    ],
)
def test_inconsistent_trees_are_refused(leaves, tree, words):
    with pytest.raises(TaxonomyError, match=words):
        taxonomy(leaves, tree)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"leaves": LEAVES, "tree": TREE, "leafs": {}}, "unknown key 'leafs'; .*'leaves'"),
        ({"leaves": LEAVES}, "'tree' must map"),
        ({"leaves": [], "tree": TREE}, "'leaves' must map"),
        ({"leaves": {"eyes": "l_eye"}, "tree": TREE}, r"'leaves\.eyes' must be a list"),
        ({"leaves": LEAVES, "tree": TREE, "ignored": "void"}, "'ignored' must be a list"),
        ({"leaves": LEAVES, "tree": TREE, "ignored": ["hair"]}, "'hair' is ignored and in the"),
        ({"leaves": LEAVES, "tree": TREE, "classes": ["hair", "hair"]}, "names a class twice"),
        ({"leaves": LEAVES, "tree": TREE, "classes": ["hair"]}, "'l_eye' must be both among"),
    ],
)
def test_malformed_content_is_refused(content, words):
    with pytest.raises(TaxonomyError, match=words):
        from_mapping("test", content)


def test_classes_must_be_covered_or_ignored():
    tree = taxonomy(ignored=("void",))
    tree.check_covers(["l_eye", "hair", "void"])
    with pytest.raises(TaxonomyError, match="class 'hairs'; did you mean 'hair'"):
        tree.check_covers(["hair", "hairs"])


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_taxonomies_load(name):
    tree = builtin(name)
    assert tree.name == name
    assert tree.root == "image"


def test_class_ids_of_public_sets():
    # Spot checks against the published lists: ATR's label list, ADE20K's objectInfo150.txt, SegNet.
    atr, scenes = builtin("atr").class_list, builtin("sceneparse150").class_list
    assert (len(atr), atr[0], atr[4], atr[11], atr[17]) == (
        18, "Background", "Upper-clothes", "Face", "Scarf",
    )  # fmt: skip
    known = {1: "wall", 3: "sky", 21: "car", 76: "swivel chair", 100: "buffet", 127: "animal",
             142: "crt screen", 150: "flag"}  # fmt: skip
    assert len(scenes) == 151
    assert {number: scenes[number] for number in known} == known
    assert dict(enumerate(atr)) == ATR
    assert scenes[0] == OTHER
    assert builtin("camvid").class_list[8:] == ("car", "pedestrian", "bicyclist", "void")


def test_no_built_in_branch_is_a_flat_list():
    for name in builtin_names():
        tree = builtin(name)
        assert max(len(children) for children in tree.tree.values()) <= 6
        assert len(tree.levels) >= min(4, len(tree.leaves))


def test_an_unknown_built_in_name_gets_a_hint():
    with pytest.raises(TaxonomyError, match="did you mean 'celebamask_hq'"):
        builtin("celebamask")


def test_hints_name_one_word_or_all():
    assert nearest("hiar", ["hair", "mouth"]) == "did you mean 'hair'?"
    assert nearest("xyz", ["mouth", "hair"]) == "use one of: hair, mouth"
