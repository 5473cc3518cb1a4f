"""The class list of a dataset: class id in the masks → class name."""

from __future__ import annotations

import json
import re
from pathlib import Path

from heml.sources.raw import SourceError


def read_classes(path: Path) -> dict[int, str]:
    """Class id → name from a JSON object.

    Raises
    ------
    SourceError
        If the file is missing or is not an object of ids 0 to 255 and distinct names.
    """
    form = '{"0": "background", "1": "skin", ...}'
    if not path.is_file():
        raise SourceError(f"source.classes: there is no file {path}; write {form} there")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise SourceError(f"{path} is not JSON ({error}); write {form}") from error
    if not isinstance(content, dict) or not content:
        raise SourceError(f"{path} must be an object of class ids and names, like {form}")
    classes: dict[int, str] = {}
    for key, name in content.items():
        # masks are stored with 8 bits
        if not re.fullmatch(r"\d{1,3}", key) or int(key) > 255:
            raise SourceError(f"{path}: class id '{key}' must be a whole number from 0 to 255")
        if not isinstance(name, str) or not name.strip():
            raise SourceError(f"{path}: the name of class {key} must be text, found {name!r}")
        if int(key) in classes or name in classes.values():
            raise SourceError(f"{path}: class {key} '{name}' is there twice; rename or remove one")
        classes[int(key)] = name
    return dict(sorted(classes.items()))
