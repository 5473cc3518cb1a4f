"""Making a stage not finished although nothing has changed, so that it is made again."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from heml.storage.store import Store
from heml.taxonomy import nearest

#: Folder of what was asked for last, in the store's.
_ASKED = ".forced"
#: All nodes of the metric tree.
METRIC = "metric"
#: Stages that are made together with another one, and go with it.
_WITH: dict[str, tuple[str, ...]] = {"rebalanced_dataset": ("edit_detectability",)}
#: Prefixes of such stages.
_WITH_PREFIX: dict[str, str] = {"rebalanced_dataset": "export_"}
#: Tables that one stage writes under another's name.
_WRITTEN_BY = {"quarantine": "images"}


class UnknownStage(ValueError):
    """A stage that a recipe does not have, or that a run does not make."""


def named_stages(words: Iterable[str], stages: Collection[str]) -> set[str]:
    """Stages that words name; `metric` names all nodes.

    Parameters
    ----------
    words : iterable of str
        Spaces around them are no part of them; empty ones are left out.
    stages : collection of str
        All stages of the recipe, `metric/<node>` for nodes.

    Raises
    ------
    UnknownStage
        With the nearest valid word.
    """
    found: set[str] = set()
    for word in filter(None, (word.strip() for word in words)):
        stage = _WRITTEN_BY.get(word, word)
        own = [s for s in stages if s == stage or s.partition("/")[0] == stage == METRIC]
        if not own:
            raise UnknownStage(f"force: '{word}' is no stage; {nearest(word, {*stages, METRIC})}")
        found.update(own)
    return found


def force(store: Store, stage: str, request: str, earlier: Collection[str] = ()) -> bool:
    """Makes a stage not finished, once for each request.

    What the stage could take over goes too: a node's trained artifacts, and with the segments'
    table that images keep theirs and fitted segmenters. What it wrote stays until it is replaced.

    Parameters
    ----------
    store : Store
        The caller holds the stage's lock.
    stage : str
    request : str
        Names the request, such as a run. A step that is tried again asks twice.
    earlier : collection of str
        Requests that this one goes on from, such as the runs that were resumed.

    Returns
    -------
    bool
        Whether it was; False if the request was heeded before.
    """
    asked = store.root / _ASKED / stage
    if asked.exists() and asked.read_text(encoding="utf-8") in {request, *earlier}:
        return False
    also = [*_WITH.get(stage, ())]
    if prefix := _WITH_PREFIX.get(stage):
        also += [name for name in store.stages() if name.startswith(prefix)]
    for name in (stage, *also):
        store.forget(name)
    for folder in _reusable(store, stage):
        shutil.rmtree(folder, ignore_errors=True)
    asked.parent.mkdir(parents=True, exist_ok=True)
    asked.write_text(request, encoding="utf-8")
    return True


def _reusable(store: Store, stage: str) -> list[Path]:
    """Folders of what a stage would take over instead of making it."""
    if stage == "segments":
        return [store.segmenter]
    kind, _, node = stage.partition("/")
    return [store.node(node)] if kind == METRIC else []
