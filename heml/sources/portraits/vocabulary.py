"""Words of the portrait source: classes, attributes, and planning of attribute values.

What a portrait looks like does not belong here.
"""

import difflib
import math
from collections.abc import Iterable, Mapping

import numpy as np

CLASSES: tuple[str, ...] = (
    "background",
    "skin",
    "hair",
    "eyes",
    "brows",
    "nose",
    "mouth",
    "neck",
    "clothes",
    "hat",
)

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "mouth": ("smiling", "serious"),
    "hair_tone": ("light", "dark"),
    "background": ("bright", "dark"),
    "hat": ("none", "worn"),
    "clothes_tone": ("light", "dark"),
    "eyes": ("open", "narrow"),
    "brows": ("thin", "thick"),
    "nose": ("small", "large"),
    "skin_tone": ("light", "medium", "dark"),
}

CARRIERS: dict[str, tuple[str, ...]] = {
    "mouth": ("mouth",),
    "hair_tone": ("hair",),
    "background": ("background",),
    "hat": ("hat", "hair"),
    "clothes_tone": ("clothes",),
    "eyes": ("eyes",),
    "brows": ("brows",),
    "nose": ("nose",),
    # A neck or nose of another color than the face would be no portrait of a person.
    "skin_tone": ("skin", "nose", "neck"),
}

HAT_SHARE = 0.2


def check_word(kind: str, word: str, valid: Iterable[str]) -> None:
    """Refuse a word that is not in a vocabulary.

    Parameters
    ----------
    kind
        What the word names, for the message.
    word
        The word to look up.
    valid
        The words that exist.

    Raises
    ------
    ValueError
        If `word` is not valid; the message names the nearest valid word.
    """
    words = tuple(valid)
    if word not in words:
        nearest = difflib.get_close_matches(str(word), words, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown {kind} {word!r}; did you mean {nearest!r}? (valid: {', '.join(words)})"
        )


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse unknown attributes and values.

    Parameters
    ----------
    attributes
        Attribute name to value.

    Raises
    ------
    ValueError
        If a name is not in `ATTRIBUTES`, or a value is not one of its values.
    """
    for name, value in attributes.items():
        check_word("attribute", name, ATTRIBUTES)
        check_word(f"value of attribute {name!r}:", value, ATTRIBUTES[name])


def random_value(attribute: str, rng: np.random.Generator) -> str:
    """Draw one value of an attribute, uniformly but for "hat" (worn in `HAT_SHARE`).

    Parameters
    ----------
    attribute
        A key of `ATTRIBUTES`.
    rng
        Source of randomness; exactly one number is taken from it.

    Returns
    -------
    str
        One of `ATTRIBUTES[attribute]`.
    """
    values = ATTRIBUTES[attribute]
    number = rng.random()
    if attribute == "hat":
        return "worn" if number < HAT_SHARE else "none"
    return values[int(number * len(values))]


def plan_attributes(
    count: int, label: str, attribute: str, association: float, seed: int
) -> list[dict[str, str]]:
    """Plan the attribute values of a dataset with a known bias.

    The group counts are exact, not drawn. Label values are equally frequent: where `count` does
    not divide evenly, the first values get one more. Given the i-th label value, its aligned
    attribute value, the (i mod number of attribute values)-th, has `association` of the portraits,
    rounded half up; the other attribute values share the rest as evenly as possible, those that
    follow the aligned one first.

    Parameters
    ----------
    count
        Number of portraits, 0 or more.
    label
        The attribute that users of the dataset train for.
    attribute
        The attribute that the label is associated with; another one than `label`.
    association
        Share of aligned portraits within each label value, in [0, 1]. One divided by the number
        of attribute values makes the two independent.
    seed
        Non-negative seed of the order and of all other attributes.

    Returns
    -------
    list of dict
        `count` mappings with a value for every attribute. Attributes other than label and attribute
        are independent and uniform, but "hat" is worn in about 20 percent.

    Raises
    ------
    ValueError
        For an unknown attribute (naming the nearest), `label` equal to `attribute`, or a negative
        `count` or `seed`, or an `association` outside [0, 1].
    """
    check_word("attribute", label, ATTRIBUTES)
    check_word("attribute", attribute, ATTRIBUTES)
    if label == attribute:
        raise ValueError(f"label and attribute are both {label!r}; a bias needs two attributes")
    if count < 0:
        raise ValueError(f"count must be 0 or more, got {count}")
    if not 0.0 <= association <= 1.0:
        raise ValueError(f"association must be within [0, 1], got {association}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    rng = np.random.default_rng([seed, 0])
    groups: list[tuple[str, str]] = []
    label_values, attribute_values = ATTRIBUTES[label], ATTRIBUTES[attribute]
    for index, (value, members) in enumerate(
        zip(label_values, _even_shares(count, len(label_values)), strict=True)
    ):
        counts = _attribute_counts(
            members, index % len(attribute_values), len(attribute_values), association
        )
        for attribute_value, group_count in zip(attribute_values, counts, strict=True):
            groups += [(value, attribute_value)] * group_count
    plan = []
    for position in rng.permutation(count):
        row = {name: random_value(name, rng) for name in ATTRIBUTES}
        row[label], row[attribute] = groups[position]
        plan.append(row)
    return plan


def _even_shares(total: int, parts: int) -> list[int]:
    return [total // parts + (1 if part < total % parts else 0) for part in range(parts)]


def _attribute_counts(members: int, aligned: int, values: int, association: float) -> list[int]:
    # The small term keeps products such as 0.35 * 10 = 3.4999… on the side that a reader expects.
    aligned_count = min(members, math.floor(association * members + 0.5 + 1e-9))
    counts = [0] * values
    counts[aligned] = aligned_count
    shares = _even_shares(members - aligned_count, values - 1)
    for step, share in enumerate(shares, start=1):
        counts[(aligned + step) % values] = share
    return counts
