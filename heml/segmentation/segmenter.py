"""What a segmenter is, and which there are: how images get their segments.

Recipes load this module, so it and the parts import what works on pixels only when it is needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from heml.compute.progress import Progress
from heml.parts.registry import Registry
from heml.segmentation.prediction import Predictor
from heml.segmentation.segmenter_settings import PredictorSettings, SegmenterSettings
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

if TYPE_CHECKING:
    from heml.segmentation.row_group_job import Found, Shard


class NotFitted(ValueError):
    """A segmenter is asked for segments before it was fitted; the message says what to do."""


@dataclass(frozen=True)
class SegmentationContext:
    """What a segmenter works with.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
        From the source's classes to leaves.
    classes : mapping of int to str
        Ids in the masks that are not ignored.
    base : pathlib.Path
        Where relative paths start: the recipe's folder.
    key : str
        Fingerprint of everything but the images that rows are made with.
    progress : Progress
    """

    store: Store
    taxonomy: Taxonomy
    classes: Mapping[int, str]
    base: Path
    key: str
    progress: Progress

    def leaf_of_class(self) -> dict[int, str]:
        """Leaf of each class id."""
        leaf_of = {c: leaf for leaf, names in self.taxonomy.leaves.items() for c in names}
        return {i: leaf_of[name] for i, name in self.classes.items()}


@dataclass(frozen=True)
class SegmentationJob:
    """How the images of a store are segmented.

    Parameters
    ----------
    make : callable
        Gives the function that segments one shard, in every process that needs it; picklable.
    names : list of str
        Names that segments can have.
    facts : mapping
        What the stage's summary says of the segmenter.
    noticed : callable
        Sentences about the images that were segmented in this process: words that find the same,
        for example.
    predictor : Predictor, optional
        What finds the segments, for a look at how stable they are. None where nothing is found.
    keeps_masks : bool
        Whether images with a mask keep it, and are not given to the predictor.
    """

    make: Callable[[], Callable[[Shard], Found]]
    names: list[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    noticed: Callable[[], list[str]] = list
    predictor: Predictor | None = None
    keeps_masks: bool = False


class Segmenter(ABC):
    """A way to get segments.

    Attributes
    ----------
    name : str
        The recipe's `segmentation.kind`.
    rank : int
    description : str
        One line for the documentation of recipes.
    settings : type of SegmenterSettings
    needs_masks : bool
        Whether an image without a mask is refused.
    learns_from_masks : bool
        Whether it is fitted on masks of the dataset.
    gives_leaves : bool
        Whether segments are named by leaf; by the classes of the masks otherwise.
    exclusive : bool
        Whether it wants the accelerator to itself.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    description: ClassVar[str]
    settings: ClassVar[type[SegmenterSettings]]
    needs_masks: ClassVar[bool] = False
    learns_from_masks: ClassVar[bool] = False
    gives_leaves: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False

    def problems(self, settings: Any, taxonomy: Taxonomy) -> Iterable[tuple[tuple[str, ...], str]]:
        """What is wrong with its settings beyond types, before anything is computed.

        Returns
        -------
        iterable of (tuple of str, str)
            A path of keys below `segmentation`, and a sentence that says what to write instead.
        """
        return ()

    def own_leaves(self, settings: Any) -> dict[str, list[str]] | None:
        """Leaves that its settings name, each with the words that find it; None if they name none:
        `taxonomy: auto` takes the source's classes then.
        """
        return None

    def state(self, settings: Any, taxonomy: Taxonomy, base: Path) -> list[object]:
        """What its segments depend on beside settings and images, JSON-like: its weights."""
        return []

    def learned_from(self, settings: Any, store: Store) -> str | None:
        """Content of the images that it is fitted on; None if it is not fitted on any."""
        return None

    @abstractmethod
    def job(self, settings: Any, context: SegmentationContext) -> SegmentationJob:
        """How the images of a store are segmented; fits or loads what that needs."""

    def trial(self, settings: Any, context: SegmentationContext, store: Store) -> SegmentationJob:
        """How a few images are segmented to look at, before the segments stage runs.

        Parameters
        ----------
        settings : SegmenterSettings
        context : SegmentationContext
            With a store of these images alone.
        store : Store
            The recipe's, where a segmenter may have been fitted before; it is only read.

        Raises
        ------
        NotFitted
            If it must be fitted first.
        """
        return self.job(settings, context)

    def finished(
        self, settings: Any, store: Store, taxonomy: Taxonomy, base: Path
    ) -> Predictor | None:
        """What made the store's segments, to segment other images; None if there is no such thing.

        Parameters
        ----------
        settings : SegmenterSettings
        store : Store
            Its segments stage is finished.
        taxonomy : Taxonomy
            From the source's classes to leaves.
        base : pathlib.Path
            Where relative paths start.
        """
        return None


class PredictorSegmenter(Segmenter):
    """A segmenter that finds leaves in pixels."""

    exclusive: ClassVar[bool] = True
    settings: ClassVar[type[PredictorSettings]]

    def state(self, settings: Any, taxonomy: Taxonomy, base: Path) -> list[object]:
        """Leaves: their order gives the indices of predictions."""
        return [taxonomy.describe()["leaves"]]

    def keeps_masks(self, settings: Any) -> bool:
        """Whether images with a mask keep it."""
        return False

    @abstractmethod
    def prepare(
        self, settings: Any, context: SegmentationContext
    ) -> tuple[Callable[[], Predictor], Mapping[str, Any]]:
        """What loads the predictor, picklable, and facts for the summary."""

    def job(self, settings: Any, context: SegmentationContext) -> SegmentationJob:
        """Every image without a mask that it keeps goes through the predictor."""
        return self._job(settings, context, *self.prepare(settings, context))

    def _job(
        self,
        settings: Any,
        context: SegmentationContext,
        load: Callable[[], Predictor],
        facts: Mapping[str, Any],
    ) -> SegmentationJob:
        from heml.segmentation.row_group_job import FromPredictor

        predictor = load()
        make = partial(
            FromPredictor,
            context.store,
            load,
            list(context.taxonomy.leaves),
            context.leaf_of_class(),
            self.keeps_masks(settings),
            settings.batch_size,
        )
        facts = {
            "segmenter": predictor.name,
            "segmenter_licence": predictor.licence,
            **facts,
        }
        noticed = getattr(predictor, "noticed", list)
        return SegmentationJob(
            make,
            list(context.taxonomy.leaves),
            facts,
            noticed,
            predictor,
            self.keeps_masks(settings),
        )


SEGMENTERS: Registry[Segmenter] = Registry(
    "segmenter", "heml.segmentation.segmenters", "heml.segmenters"
)
