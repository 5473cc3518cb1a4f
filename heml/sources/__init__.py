"""Readers that turn datasets into image records, and the `images` stage that stores them.

One module per kind of source; `raw` says what a source is, `validate` what an acceptable image is,
`ingest` runs the stage. Nothing here knows of segments' meaning, networks or scores.
"""

from heml.sources.raw import Limits, RawRecord, Refusal, Source, SourceError

__all__ = ["Limits", "RawRecord", "Refusal", "Source", "SourceError"]
