"""The taxonomy that a drafted recipe gets."""

from heml.taxonomy import from_mapping
from pipelines.recipe.draft.taxonomies import choose_taxonomy


def test_a_built_in_one_that_names_all_classes():
    choice = choose_taxonomy(["background", "hair", "skin", "cloth", "hat", "neck"])
    assert choice.value == "celebamask_hq"


def test_the_nearest_one_is_adapted():
    """CamVid's tree: fence alone is no street furniture, tram is new, void is nobody's."""
    classes = ["Sky", "Building", "Fence", "Road", "Car", "Pedestrian", "tram", "people", "Void"]
    choice = choose_taxonomy(classes)
    assert "camvid knows 6 of 8 classes" in choice.reason
    assert choice.value == {
        "leaves": {
            "sky": ["Sky"],
            "building": ["Building"],
            "fence": ["Fence"],
            "road": ["Road"],
            "car": ["Car"],
            "pedestrian": ["Pedestrian"],
            "tram": ["tram"],
            "class_people": ["people"],
        },
        "tree": {
            "surroundings": ["sky", "building", "fence"],
            "traffic": ["car", "pedestrian"],
            "image": ["surroundings", "road", "traffic", "tram", "class_people"],
        },
        "ignored": ["Void"],
    }
    from_mapping("drafted", choice.value).check_covers(classes)


def test_classes_of_a_leaf_stay_together():
    choice = choose_taxonomy(["Left-leg", "Right-leg", "Dress", "handle"])
    assert "atr knows 3 of 4" in choice.reason
    assert choice.value["leaves"]["legs"] == ["Left-leg", "Right-leg"]


def test_unknown_classes_are_leaves_below_one_root():
    choice = choose_taxonomy(["1st", "image", "rust", "unlabeled"])
    assert "none knows any" in choice.reason
    assert choice.value == {
        "leaves": {"class_1st": ["1st"], "class_image": ["image"], "rust": ["rust"]},
        "tree": {"image": ["class_1st", "class_image", "rust"]},
        "ignored": ["unlabeled"],
    }
    from_mapping("drafted", choice.value)
