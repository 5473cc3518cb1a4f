"""Segments that words find, with a checkpoint that takes words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from heml.segmentation.loader import Loader
from heml.segmentation.prediction import Predictor
from heml.segmentation.segmenter import SEGMENTERS, PredictorSegmenter, SegmentationContext
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, nearest

#: The prompt of the leaf that gets what no other finds.
REST = "rest"
#: Indices of leaves are stored with 8 bits, and one of them says that there is none.
MOST_LEAVES = 255


def _words(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; write what the leaf is, or rest")
    return value.strip()


Words = Annotated[str, AfterValidator(_words)]


class PromptedSegmentation(PredictorSettings):
    """Segments that words find, with a checkpoint that takes words."""

    kind: Literal["prompted"]
    checkpoint: str = Field(
        min_length=1,
        description="Name on the Hub, or a folder relative to the recipe file: SAM 3, Grounding "
        "DINO, CLIPSeg or OWLv2.",
    )
    masks: str | None = Field(
        None,
        min_length=1,
        description="Checkpoint that makes masks of boxes, for Grounding DINO and OWLv2: SAM or "
        "SAM 2.",
    )
    prompts: dict[str, Words | list[Words]] = Field(
        min_length=1,
        description="Leaf → the words that find it, or several; rest: what no other leaf finds.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Scores above it count; default: what the checkpoint's family uses.",
    )
    licence: str | None = Field(
        None, description="License of the checkpoints; default: what their model cards say."
    )
    least_confidence: float = Field(
        0.0, ge=0, le=1, description="Segments below this mean score are doubted as unsure."
    )

    @cached_property
    def rest(self) -> str | None:
        """Leaf of what no other finds."""
        return next((leaf for leaf, words in self.prompts.items() if words == REST), None)

    @cached_property
    def words(self) -> dict[str, list[str]]:
        """Words of the other leaves."""
        return {
            leaf: [words] if isinstance(words, str) else words
            for leaf, words in self.prompts.items()
            if words != REST
        }


class Prompted(PredictorSegmenter):
    """A published or local checkpoint that finds what words name."""

    name: ClassVar[str] = "prompted"
    rank: ClassVar[int] = 3
    description: ClassVar[str] = "what words find, by SAM 3, Grounding DINO, CLIPSeg or OWLv2"
    settings: ClassVar[type[PredictorSettings]] = PromptedSegmentation

    def own_leaves(self, settings: PromptedSegmentation) -> dict[str, list[str]]:
        """The prompts' leaves; the rest has no words."""
        return {leaf: settings.words.get(leaf, []) for leaf in settings.prompts}

    def problems(
        self, settings: PromptedSegmentation, taxonomy: Taxonomy
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """Leaves and prompts that do not go together."""
        for leaf in settings.prompts:
            if leaf not in taxonomy.leaves:
                yield ("prompts", leaf), f"no such leaf; {nearest(leaf, taxonomy.leaves)}"
        for leaf in taxonomy.leaves:
            if leaf not in settings.prompts:
                yield ("prompts",), f"leaf '{leaf}' has no words; write some, or rest"
        if len(taxonomy.leaves) > MOST_LEAVES:
            yield (
                ("prompts",),
                f"{len(taxonomy.leaves)} leaves, at most {MOST_LEAVES} are possible; give a leaf "
                "several words: bird: [sparrow, finch]",
            )
        rests = [leaf for leaf, words in settings.prompts.items() if words == REST]
        if len(rests) > 1:
            yield ("prompts", rests[1]), f"'{rests[0]}' is the rest already; write words"
        if not settings.words:
            yield ("prompts",), "no leaf has words to look for; write some beside rest"

    def state(self, settings: PromptedSegmentation, taxonomy: Taxonomy, base: Path) -> list[object]:
        """Leaves and their depths, and the checkpoints' content or revision."""
        from heml.compute.checkpoints import checkpoint_identity, resolve_checkpoint

        names = [n for n in (settings.checkpoint, settings.masks) if n is not None]
        identities = [checkpoint_identity(resolve_checkpoint(name, base)) for name in names]
        return [*super().state(settings, taxonomy, base), leaf_depths(taxonomy), *identities]

    def prepare(
        self, settings: PromptedSegmentation, context: SegmentationContext
    ) -> tuple[Callable[[], Predictor], Mapping[str, Any]]:
        """Nothing is fitted."""
        return self._loader(settings, context.taxonomy, context.base), {}

    def finished(
        self, settings: PromptedSegmentation, store: Store, taxonomy: Taxonomy, base: Path
    ) -> Predictor | None:
        """The checkpoint."""
        return self._loader(settings, taxonomy, base)()

    @staticmethod
    def _loader(settings: PromptedSegmentation, taxonomy: Taxonomy, base: Path) -> Loader:
        from heml.segmentation.prompting.checkpoint import find_prompt_checkpoint

        return Loader(
            "heml.segmentation.prompting.load:load_prompted",
            checkpoint=find_prompt_checkpoint(settings.checkpoint, base),
            masks=settings.masks and find_prompt_checkpoint(settings.masks, base),
            prompts=settings.words,
            rest=settings.rest,
            leaves=list(taxonomy.leaves),
            depths=leaf_depths(taxonomy),
            threshold=settings.threshold,
            licence=settings.licence,
            device=settings.device,
        )


def leaf_depths(taxonomy: Taxonomy) -> list[int]:
    """Branches above each leaf, in the order of the leaves."""
    depth = {taxonomy.root: 0}
    nodes = [taxonomy.root]
    for node in nodes:
        for child in taxonomy.children(node):
            depth[child] = depth[node] + 1
            nodes.append(child)
    return [depth[leaf] for leaf in taxonomy.leaves]


SEGMENTERS.register(Prompted())
