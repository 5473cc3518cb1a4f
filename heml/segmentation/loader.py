"""Loading a network once in every process that needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heml.segmentation.network import NetworkSegmenter


class Loader:
    """A network that travels to other processes as what it is loaded with.

    Parameters
    ----------
    **options
        Of `load_segmenter`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._loaded: NetworkSegmenter | None = None

    def __call__(self) -> NetworkSegmenter:
        from heml.segmentation.network import load_segmenter

        if self._loaded is None:
            self._loaded = load_segmenter(**self._options)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}
