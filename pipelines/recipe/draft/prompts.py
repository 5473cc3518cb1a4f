"""Prompts for images without masks, from what columns and class folders are called.

A leaf is what has a name in the metadata: a part ("hair_tone" is of the hair), or the object that
the label's values name (cat, dog). Objects of all values share one leaf: a leaf for each value
would be there or not as the label is, and tell it by that alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heml.taxonomy import BACKGROUND
from pipelines.recipe.draft.columns import Column, Findings

#: Checkpoints to try first, with what makes masks of boxes where they give boxes.
CHECKPOINTS = (
    ("facebook/sam3", None),
    ("IDEA-Research/grounding-dino-tiny", "facebook/sam2.1-hiera-small"),
    ("google/owlv2-base-patch16-ensemble", "facebook/sam-vit-base"),
    ("CIDAS/clipseg-rd64-refined", None),
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words of column names that say how something is, not what.
_HOW = _set(
    "tone color colour type kind style size shape length count number state status level present "
    "visible has is with wearing any texture tercile quality pose name id lum std"
)
#: Columns that name a kind of thing: their values name the thing.
_KINDS = _set("label labels class category target object species breed animal y group item subject")
#: Columns of the surroundings or of the whole image, and of people: no part of the image.
_WHOLE = _set(
    "background bg fg foreground scene place location environment setting habitat weather light "
    "lighting time season camera sensor sex gender age race ethnicity domain source site hospital "
    "scanner brightness contrast split"
)
#: Values that say how, or whether, and not what.
_STATES = _set(
    "yes no true false none other unknown na nan open closed light dark bright dull small large "
    "big tall short long male female young old happy sad neutral left right front back high low "
    "many few some clear blurred positive negative normal abnormal good bad day night in out on "
    "off mixed plain warm cool smooth rough red green blue black white yellow brown gray grey same "
    "different single multiple real fake train test"
)
#: Leaf of the things that a label's values name.
_OBJECT = "object"


@dataclass
class DraftedPrompts:
    """Prompts, and where each comes from.

    Parameters
    ----------
    prompts : dict of str to list of str
        Leaf → words, the rest left out.
    reasons : dict of str to str
    """

    prompts: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def named(self) -> set[str]:
        """All words that are there, and single ones of several, lower-case."""
        words = {word.lower() for of in self.prompts.values() for word in of}
        return words | {each for word in words for each in word.split()} | set(self.prompts)

    def add_captioned(self, word: str, of_label: bool, reason: str) -> None:
        """Adds a word that captions name; of the label's things, to the leaf that they share."""
        if word in self.named():
            return
        if not of_label:
            self.add(_leaf(word), [word], reason)
        elif _OBJECT in self.prompts:
            self.prompts[_OBJECT].append(word)
            self.reasons[_OBJECT] += f"; {word}: {reason}"
        else:
            self.add(_OBJECT, [word], f"{word}: {reason}")

    def add(self, leaf: str, words: Sequence[str], reason: str) -> None:
        """Adds a leaf, once."""
        if leaf not in self.prompts:
            self.prompts[leaf], self.reasons[leaf] = list(words), reason


def draft_prompts(findings: Findings, label: str, attributes: Sequence[str]) -> DraftedPrompts:
    """Prompts from the label's values and from names of columns.

    Parameters
    ----------
    findings : Findings
    label : str
    attributes : sequence of str

    Returns
    -------
    DraftedPrompts
        Empty where no name says what is in the images.
    """
    drafted = DraftedPrompts()
    first = [label, *attributes]
    others = [n for n, c in findings.columns.items() if c.unfit is None and n not in first]
    for name in [*first, *others]:
        words = _name_words(name)
        if set(words) & _WHOLE:
            continue
        noun = " ".join(word for word in words if word not in _HOW)
        if not noun or set(words) & _KINDS:
            if named := list(_named_things(findings.columns[name])):
                drafted.add(_OBJECT, named, f"values of the column {name}")
        elif re.search("[a-z]{3}", noun):
            drafted.add(_leaf(noun), [noun], f"the column {name}")
    return drafted


def prompted_lines(drafted: DraftedPrompts) -> Iterator[str]:
    """Segmentation by the prompts, and a taxonomy of their leaves, as lines of a recipe.

    Parameters
    ----------
    drafted : DraftedPrompts
        With at least one prompt.
    """
    leaves = [*drafted.prompts, BACKGROUND]
    yield "segmentation:"
    yield "  kind: prompted"
    name, _ = CHECKPOINTS[0]
    yield f"  checkpoint: CHANGE-ME   # {name}, or a folder with such a checkpoint; or"
    for name, masks in CHECKPOINTS[1:]:
        second = f" with masks: {masks}" if masks else ""
        yield f"  #   {name}{second}"
    yield "  prompts:   # leaf: what finds it, one or several; look with heml segments try"
    for leaf, words in drafted.prompts.items():
        quoted = [_quoted(each) for each in words]
        shown = quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"
        yield f"    {leaf}: {shown}   # {drafted.reasons[leaf]}"
    yield f"    {BACKGROUND}: rest   # what no other finds"
    yield "taxonomy:"
    yield "  leaves: {" + ", ".join(f"{leaf}: [{leaf}]" for leaf in leaves) + "}"
    yield "  tree: {image: [" + ", ".join(leaves) + "]}"


def _named_things(column: Column) -> Iterator[str]:
    """Values that name things, in words."""
    for value in sorted(column.counts):
        words = _name_words(value)
        if words and not set(words) <= _STATES and re.search("[a-z]{3}", " ".join(words)):
            yield " ".join(words)


def _name_words(name: str) -> list[str]:
    """Lower-case words of a name such as hair_tone, HairTone or n01440764."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+", spaced.lower())


def _leaf(noun: str) -> str:
    name = noun.replace(" ", "_")
    return name if name not in (BACKGROUND, "image") else f"{name}_part"


def _quoted(words: str) -> str:
    """Words of letters and spaces, quoted where YAML or a recipe would take them for others."""
    taken = ("rest", "yes", "no", "on", "off", "true", "false", "null", "y", "n")
    return f'"{words}"' if words in taken else words
