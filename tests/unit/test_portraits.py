"""Portraits: reproducible, exact masks, attributes that stay in their segment, exact plans."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from heml.sources.layouts.portraits import PortraitsSource
from heml.sources.portraits import (
    ATTRIBUTES,
    CARRIERS,
    CLASSES,
    Portrait,
    draw,
    plan_attributes,
)
from heml.sources.portraits_source import PortraitsReader

seeds = st.integers(0, 2**40)
FLIPS = [
    (name, first, second)
    for name, values in ATTRIBUTES.items()
    if name != "hat"
    for first, second in pairwise(values)
]


def pixels(portrait: Portrait, *names: str) -> np.ndarray:
    return np.isin(portrait.mask, [CLASSES.index(name) for name in names])


def test_vocabulary_is_consistent() -> None:
    assert CLASSES[0] == "background"
    assert set(CARRIERS) == set(ATTRIBUTES)
    assert {name for names in CARRIERS.values() for name in names} <= set(CLASSES)
    assert ATTRIBUTES["mouth"] == ("smiling", "serious")
    assert ATTRIBUTES["hat"] == ("none", "worn")


@pytest.mark.parametrize("size", [32, 64, 97])
def test_shapes_and_types(size: int) -> None:
    portrait = draw({}, 5, size)
    assert portrait.image.shape == (size, size, 3)
    assert portrait.mask.shape == (size, size)
    assert portrait.image.dtype == portrait.mask.dtype == np.uint8
    assert set(portrait.attributes) == set(ATTRIBUTES)
    assert all(value in ATTRIBUTES[name] for name, value in portrait.attributes.items())


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_same_seed_same_bytes_other_seed_other_picture(seed: int) -> None:
    first, again, other = draw({}, seed, 64), draw({}, seed, 64), draw({}, seed + 1, 64)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.attributes == again.attributes
    assert first.image.tobytes() != other.image.tobytes()


def test_global_random_state_is_neither_used_nor_changed() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = draw({}, 3, 64).image
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(before, draw({}, 3, 64).image)
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@given(seed=seeds, hat=st.sampled_from(ATTRIBUTES["hat"]))
@settings(max_examples=40, deadline=None)
def test_every_class_is_visible_and_hat_only_when_worn(seed: int, hat: str) -> None:
    portrait = draw({"hat": hat}, seed, 64)
    assert portrait.mask.max() < len(CLASSES)
    share = {name: pixels(portrait, name).mean() for name in CLASSES}
    assert all(share[name] > 0 for name in CLASSES if name != "hat")
    assert (share["hat"] > 0) == (hat == "worn")
    assert share["hair"] >= 0.02
    assert share["mouth"] >= 0.003


@pytest.mark.parametrize(("name", "first", "second"), FLIPS)
def test_attribute_lives_in_its_segment(name: str, first: str, second: str) -> None:
    for seed in range(8):
        # A fixed hat state lets portraits with and without one be covered.
        hat = ATTRIBUTES["hat"][seed % 2]
        one = draw({name: first, "hat": hat}, seed, 96)
        two = draw({name: second, "hat": hat}, seed, 96)
        carriers = pixels(one, *CARRIERS[name]) | pixels(two, *CARRIERS[name])
        changed = (one.image != two.image).any(axis=2)
        outside = changed & ~binary_dilation(carriers, iterations=2)
        assert outside.sum() <= 20
        # Where three classes meet in a pixel, the one that wins may change beside the carrier.
        moved = (one.mask != two.mask) & ~carriers
        assert moved.sum() <= 4
        assert not (moved & ~binary_dilation(carriers)).any()
        assert changed.sum() >= 20
        assert {**one.attributes, name: second} == two.attributes


def test_hat_changes_nothing_below_the_hair() -> None:
    for seed in range(8):
        bare, worn = (draw({"hat": hat}, seed, 96) for hat in ATTRIBUTES["hat"])
        for name in ("mouth", "nose", "clothes"):
            both = pixels(bare, name) & pixels(worn, name)
            both &= ~binary_dilation(pixels(bare, "hair") | pixels(worn, "hair"), iterations=3)
            assert np.array_equal(bare.image[both], worn.image[both])


@pytest.mark.parametrize(
    ("attribute", "bright", "dark"),
    [
        ("hair_tone", "light", "dark"),
        ("clothes_tone", "light", "dark"),
        ("background", "bright", "dark"),
        ("skin_tone", "light", "medium"),
        ("skin_tone", "medium", "dark"),
    ],
)
def test_tones_are_ordered_in_every_pair(attribute: str, bright: str, dark: str) -> None:
    carrier = CARRIERS[attribute][0]
    for seed in range(20):
        one, two = (draw({attribute: value}, seed, 64) for value in (bright, dark))
        assert one.image[pixels(one, carrier)].mean() > two.image[pixels(two, carrier)].mean() + 10


@pytest.mark.parametrize(
    ("attribute", "more", "less"),
    [("eyes", "open", "narrow"), ("brows", "thick", "thin"), ("nose", "large", "small")],
)
def test_sizes_are_ordered_in_every_pair(attribute: str, more: str, less: str) -> None:
    carrier = CARRIERS[attribute][0]
    for seed in range(20):
        fixed = {"hat": "none"}
        one, two = (draw({**fixed, attribute: value}, seed, 96) for value in (more, less))
        assert pixels(one, carrier).sum() > 1.2 * pixels(two, carrier).sum()


def corner_rise(portrait: Portrait) -> float:
    """How far the mouth's ends are above its middle, as a share of its width."""
    y, x = np.nonzero(pixels(portrait, "mouth"))
    width = x.max() - x.min() + 1
    left, right = y[x <= x.min() + width // 8], y[x >= x.max() - width // 8]
    middle = y[np.abs(x - x.mean()) < width / 8]
    # The mean of both ends cancels the turn of the head.
    return float((middle.mean() - (left.mean() + right.mean()) / 2) / width)


def test_smile_turns_the_corners_up() -> None:
    rises = {
        value: [corner_rise(draw({"mouth": value, "hat": "none"}, seed)) for seed in range(25)]
        for value in ATTRIBUTES["mouth"]
    }
    assert min(rises["smiling"]) > max(rises["serious"])


@pytest.mark.parametrize(
    ("part", "fixed"),
    [
        ("clothes", {"background": "bright", "clothes_tone": "dark"}),
        ("hair", {"background": "bright", "hair_tone": "dark"}),
    ],
)
def test_mask_boundary_is_the_visible_boundary(part: str, fixed: dict[str, str]) -> None:
    # Dark on bright: brightness tells the two apart, so the mask has to agree with it.
    for seed in range(8):
        portrait = draw({**fixed, "hat": "none"}, seed, 96)
        dark, bright = pixels(portrait, part), pixels(portrait, "background")
        near = binary_dilation(dark, iterations=2) & binary_dilation(bright, iterations=2)
        near &= dark | bright
        inner = near & ~(binary_dilation(dark) & binary_dilation(bright))
        seen = portrait.image.mean(axis=2) < 128
        assert (seen == dark)[inner].mean() > 0.99
        assert (seen == dark)[near].mean() > 0.93


def test_given_attributes_are_kept_and_do_not_move_the_others() -> None:
    free = draw({}, 11, 32).attributes
    fixed = draw({"nose": "large", "hat": "worn"}, 11, 32).attributes
    assert fixed["nose"] == "large"
    assert fixed["hat"] == "worn"
    assert {k: v for k, v in fixed.items() if k not in ("nose", "hat")} == {
        k: v for k, v in free.items() if k not in ("nose", "hat")
    }


@pytest.mark.parametrize(
    ("attributes", "nearest"),
    [
        ({"mout": "smiling"}, "'mouth'"),
        ({"mouth": "smilling"}, "'smiling'"),
        ({"hair_tone": "drak"}, "'dark'"),
        ({"hat": "bowler"}, "did you mean"),
    ],
)
def test_unknown_words_name_the_nearest(attributes: dict[str, str], nearest: str) -> None:
    with pytest.raises(ValueError, match=nearest):
        draw(attributes, 0)


def test_other_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="seed"):
        draw({}, -1)
    with pytest.raises(ValueError, match="size"):
        draw({}, 0, 16)
    with pytest.raises(ValueError, match="hair_tone"):
        plan_attributes(10, "mouth", "hair-tone", 0.5, 0)
    with pytest.raises(ValueError, match="'nose'"):
        plan_attributes(10, "noze", "mouth", 0.5, 0)
    with pytest.raises(ValueError, match="two attributes"):
        plan_attributes(10, "mouth", "mouth", 0.5, 0)
    with pytest.raises(ValueError, match="association"):
        plan_attributes(10, "mouth", "hat", 1.5, 0)
    with pytest.raises(ValueError, match="association"):
        plan_attributes(10, "mouth", "hat", float("nan"), 0)
    with pytest.raises(ValueError, match="count"):
        plan_attributes(-1, "mouth", "hat", 0.5, 0)
    with pytest.raises(ValueError, match="seed"):
        plan_attributes(1, "mouth", "hat", 0.5, -1)


def groups(plan: list[dict[str, str]], label: str, attribute: str) -> dict[tuple[str, str], int]:
    return dict(Counter((row[label], row[attribute]) for row in plan))


def test_planned_groups_by_hand() -> None:
    assert groups(plan_attributes(200, "mouth", "hair_tone", 0.95, 3), "mouth", "hair_tone") == {
        ("smiling", "light"): 95,
        ("smiling", "dark"): 5,
        ("serious", "dark"): 95,
        ("serious", "light"): 5,
    }
    # Three attribute values, two of them aligned: 0.8 of 50, and 10 shared by two.
    assert groups(plan_attributes(100, "mouth", "skin_tone", 0.8, 3), "mouth", "skin_tone") == {
        ("smiling", "light"): 40,
        ("smiling", "medium"): 5,
        ("smiling", "dark"): 5,
        ("serious", "light"): 5,
        ("serious", "medium"): 40,
        ("serious", "dark"): 5,
    }
    # Three label values: the third is aligned with the first attribute value again.
    assert groups(plan_attributes(30, "skin_tone", "hat", 1.0, 3), "skin_tone", "hat") == {
        ("light", "none"): 10,
        ("medium", "worn"): 10,
        ("dark", "none"): 10,
    }
    # Rounding: 4 and 3 records; 0.5 of 3 rounds up to 2.
    assert groups(plan_attributes(7, "mouth", "eyes", 0.5, 3), "mouth", "eyes") == {
        ("smiling", "open"): 2,
        ("smiling", "narrow"): 2,
        ("serious", "narrow"): 2,
        ("serious", "open"): 1,
    }
    # 0.35 of 10 is 3.5 on paper and less in binary.
    assert groups(plan_attributes(20, "mouth", "eyes", 0.35, 3), "mouth", "eyes") == {
        ("smiling", "open"): 4,
        ("smiling", "narrow"): 6,
        ("serious", "narrow"): 4,
        ("serious", "open"): 6,
    }


@given(
    count=st.integers(0, 120),
    words=st.permutations(list(ATTRIBUTES)),
    association=st.floats(0, 1),
    seed=seeds,
)
@settings(max_examples=60, deadline=None)
def test_planned_counts_are_exact(
    count: int, words: list[str], association: float, seed: int
) -> None:
    label, attribute = words[:2]
    plan = plan_attributes(count, label, attribute, association, seed)
    assert plan == plan_attributes(count, label, attribute, association, seed)
    assert len(plan) == count
    found = groups(plan, label, attribute)
    values, attributes = ATTRIBUTES[label], ATTRIBUTES[attribute]
    totals = [sum(found.get((value, g), 0) for g in attributes) for value in values]
    assert max(totals) - min(totals) <= 1
    for index, (value, total) in enumerate(zip(values, totals, strict=True)):
        aligned = index % len(attributes)
        assert abs(found.get((value, attributes[aligned]), 0) - association * total) <= 0.5 + 1e-6
        rest = [found.get((value, g), 0) for i, g in enumerate(attributes) if i != aligned]
        assert max(rest) - min(rest) <= 1
    assert all(row[name] in ATTRIBUTES[name] for row in plan for name in ATTRIBUTES)


def test_independent_when_association_is_one_over_attributes() -> None:
    found = groups(plan_attributes(180, "mouth", "skin_tone", 1 / 3, 0), "mouth", "skin_tone")
    assert set(found.values()) == {30}


def test_other_attributes_are_independent_and_hats_are_rare() -> None:
    plan = plan_attributes(3000, "mouth", "hair_tone", 0.95, 1)
    assert np.mean([row["hat"] == "worn" for row in plan]) == pytest.approx(0.2, abs=0.03)
    smiling = np.array([row["mouth"] == "smiling" for row in plan])
    for name, values in ATTRIBUTES.items():
        if name in ("mouth", "hair_tone"):
            continue
        for value in values:
            has = np.array([row[name] == value for row in plan])
            assert has[smiling].mean() == pytest.approx(has[~smiling].mean(), abs=0.06)
            if name != "hat":
                assert has.mean() == pytest.approx(1 / len(values), abs=0.04)


def test_order_is_shuffled_by_the_seed() -> None:
    one = [row["mouth"] for row in plan_attributes(100, "mouth", "eyes", 0.9, 1)]
    two = [row["mouth"] for row in plan_attributes(100, "mouth", "eyes", 0.9, 2)]
    assert one != two
    assert one != sorted(one)
    assert one != sorted(one, reverse=True)


def test_processes_draw_the_same_portraits(monkeypatch):
    reader = PortraitsReader(PortraitsSource(kind="portraits", count=40, size=32))
    monkeypatch.setenv("HEML_PROCESSES", "2")
    alone = list(reader.records())
    monkeypatch.setattr("heml.sources.portraits_source.WORTH_PROCESSES", 0)
    assert list(reader.records()) == alone
