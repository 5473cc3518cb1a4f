"""From a recipe's source settings to the reader of that kind."""

from __future__ import annotations

from pathlib import Path

from heml.sources import source_settings as kinds
from heml.sources.raw import Source


def open_source(settings: kinds.Source, base: Path) -> Source:
    """The reader of a source.

    Parameters
    ----------
    settings : heml.sources.source_settings.Source
    base : pathlib.Path
        Folder that relative paths start from: the recipe's.

    Raises
    ------
    SourceError
        If the settings name something that does not exist here.
    """
    # imported where used: a run needs one of them, and some import large libraries
    if isinstance(settings, kinds.FolderSource):
        from heml.sources.folder import FolderSource

        return FolderSource(settings, base)
    if isinstance(settings, kinds.ParquetSource):
        from heml.sources.parquet import ParquetSource

        return ParquetSource(settings, base)
    if isinstance(settings, kinds.HuggingFaceSource):
        from heml.sources.huggingface import HuggingFaceSource

        return HuggingFaceSource(settings, base)
    if isinstance(settings, kinds.CelebAMaskHQSource):
        from heml.sources.celebamask_hq import CelebAMaskHQSource

        return CelebAMaskHQSource(settings, base)
    if isinstance(settings, kinds.AtrSource):
        from heml.sources.atr import open_atr

        return open_atr(settings, base)
    if isinstance(settings, kinds.Ade20kSource):
        from heml.sources.ade20k import Ade20kSource

        return Ade20kSource(settings, base)
    assert isinstance(settings, kinds.PortraitsSource)
    from heml.sources.portraits_source import PortraitsSource

    return PortraitsSource(settings)
