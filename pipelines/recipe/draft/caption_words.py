"""What captions of a few images name: words to look for, as proposals for a person to read.

No parser of English is at hand. What captions are like makes up for it: "a small dog sitting on a
green sofa". Words that only hold a sentence together, numbers and forms in -ing and -ed end a run
of words; the last word of a run is what the others describe. What many captions end a run with is
taken for a noun.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: A word counts from so many captions on, and from this share of them; so many are proposed.
_LEAST, _LEAST_SHARE, _MOST = 2, 0.05, 8
#: A word is of the label's things if so much more of the captions of one value have it.
_OF_THE_LABEL = 0.5


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words that end a run: articles, prepositions, pronouns, conjunctions, verbs without an ending.
_BETWEEN = _set(
    "a an the this that these those some any each every no another other "
    "of in on at by with without from to into onto over under behind near next beside between "
    "above below around across along through against inside outside off up down out for about "
    "before after during while as and or but nor so than then if because when where which who "
    "what it its he him his she her they them their we our you your i my me there here "
    "is are was were be been being has have had do does did can could will would may might "
    "sit sits stand stands lie lies lay lays wear wears hold holds look looks walk walks run runs "
    "eat eats play plays fly flies ride rides show shows sat stood "
    "not very too also just only still all both either several many few more most much lot lots "
    "one two three four five six seven eight nine ten"
)
#: Words that end a run and are of the picture, its layout or its number, not of what is in it.
_OF_PICTURES = _set(
    "photo photos photograph photography picture pictures image images view shot close closeup "
    "background foreground front back top bottom side sides middle center left right part piece "
    "pair couple group bunch number set kind type way something someone thing things stock "
    "illustration drawing painting screen camera focus unk"
)
#: How things are; a run that ends so has lost its noun.
_HOW = _set(
    "red green blue yellow orange purple pink brown black white gray grey golden blonde blond dark "
    "light bright colorful small little big large long short tall old young new open closed empty "
    "full front other same different beautiful cute happy wooden"
)
#: Nouns that end like a form of a verb.
_NOUNS = _set(
    "building ceiling clothing wing wings ring rings king string painting earring earrings railing "
    "awning swing bed beds shed sled weed weeds seed seeds reed reeds sling wedding evening "
    "morning spring fencing feed hundred"
)


@dataclass(frozen=True)
class CaptionWord:
    """A word that captions name.

    Parameters
    ----------
    word : str
        The singular where captions have both.
    captions : int
        That name it.
    of_label : bool
        Whether mainly captions of one label value do: it is then, most likely, what the label
        names.
    """

    word: str
    captions: int
    of_label: bool


def caption_words(captions: Sequence[str], labels: Sequence[str | None]) -> list[CaptionWord]:
    """Words that many captions name, the most frequent first.

    Parameters
    ----------
    captions : sequence of str
    labels : sequence of str or None
        Of the same images.

    Returns
    -------
    list of CaptionWord
        At most eight, each in two captions and a 20th of them at least.
    """
    found = [set(_heads(caption)) for caption in captions]
    known = set().union(*found)
    named = [{_singular(word, known) for word in words} for words in found]
    counts = Counter(word for words in named for word in words)
    least = max(_LEAST, _LEAST_SHARE * len(captions))
    frequent = sorted((w for w in counts if counts[w] >= least), key=lambda w: (-counts[w], w))
    by_label: defaultdict[str, list[set[str]]] = defaultdict(list)
    for words, label in zip(named, labels, strict=True):
        if label:
            by_label[label].append(words)
    return [CaptionWord(w, counts[w], _of_label(w, by_label)) for w in frequent[:_MOST]]


def _heads(caption: str) -> Iterator[str]:
    """The last word of every run."""
    last = ""
    for word in [*re.findall(r"[a-z]+|\d+|[^\sa-z\d]", caption.lower()), "."]:
        if _ends_run(word):
            if last and last not in _HOW:
                yield last
            last = ""
        else:
            last = word


def _ends_run(word: str) -> bool:
    if word in _NOUNS:
        return False
    return (
        len(word) < 3
        or not word.isalpha()
        or word in _BETWEEN
        or word in _OF_PICTURES
        or word.endswith(("ing", "ed", "ly"))
    )


def _singular(word: str, known: set[str]) -> str:
    """The same word without an ending that others come without."""
    for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and word.removesuffix(ending) + instead in known:
            return word.removesuffix(ending) + instead
    return word


def _of_label(word: str, by_label: Mapping[str, Sequence[set[str]]]) -> bool:
    shares = [sum(word in words for words in of) / len(of) for of in by_label.values()]
    return len(shares) > 1 and max(shares) - min(shares) > _OF_THE_LABEL
