"""Missing libraries are named with the extra that brings them."""

import pytest

from heml.parts import extras
from heml.parts.extras import missing_extra
from heml.sources.layout import open_source
from heml.sources.layouts.huggingface import HuggingFaceSource
from heml.sources.raw import SourceError


def test_installed_library_needs_nothing():
    assert missing_extra("numpy", "hub") is None


def test_missing_library_names_the_extra():
    assert missing_extra("no_such_library", "hub") == (
        "no_such_library is not installed; run pip install 'heml[hub]'"
    )


def test_dataset_of_the_hub_without_the_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    (tmp_path / "faces").mkdir()
    settings = HuggingFaceSource(kind="huggingface", dataset="./faces", label="mouth")
    with pytest.raises(SourceError, match=r"pip install 'heml\[hub\]'"):
        list(open_source(settings, tmp_path).records())
