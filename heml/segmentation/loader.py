"""Loading a network once in every process that needs it."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from heml.segmentation.prediction import Predictor


class Loader:
    """A network that travels to other processes as what it is loaded with.

    Parameters
    ----------
    load : str
        What loads it, as `module:function`, imported when it is needed.
    **options
        Of the function.
    """

    def __init__(self, load: str, **options: Any) -> None:
        self._load, self._options = load, options
        self._loaded: Predictor | None = None

    def __call__(self) -> Predictor:
        if self._loaded is None:
            self._loaded = resolve_name(self._load)(**self._options)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}
