"""Reading a recipe file as plain data, with the line of every key.

YAML only: what the keys mean, and which are valid, is said in `recipe.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: Where a value stands in the recipe: keys, and positions in lists.
Location = tuple[str | int, ...]


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the file, the key and what to write instead."""


@dataclass(frozen=True)
class RecipeText:
    """A recipe file as it was read.

    Parameters
    ----------
    path : pathlib.Path
    text : str
    content : dict
        Plain data, as `yaml.safe_load` gives it.
    lines : dict
        Location of every key and list item → line, counted from 1.
    """

    path: Path
    text: str
    content: dict[str, Any]
    lines: dict[Location, int]

    def error(self, location: Location, what: str) -> RecipeError:
        """An error about one key, in one line: file, line, dotted key, what is wrong."""
        return RecipeError(self.message(location, what))

    def message(self, location: Location, what: str) -> str:
        key = dotted(location)
        where = f"{self.path}, line {self.line(location)}"
        return f"{where}: {key}: {what}" if key else f"{where}: {what}"

    def line(self, location: Location) -> int:
        """Line of a key; of the nearest key around it, if it is not written."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def dotted(location: Location) -> str:
    """A location as people write it, such as `rebalance.operators[1]`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_recipe_text(path: Path) -> RecipeText:
    """Reads a YAML mapping.

    Raises
    ------
    RecipeError
        If the file cannot be read, is no UTF-8, no YAML, or no mapping, or has a key twice.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8 (byte {error.start})") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = _lines_of_keys(root, path)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise RecipeError(f"{path}: not valid YAML: {message}") from error
    except RecursionError as error:
        raise RecipeError(f"{path}: nested too deeply, or an alias that holds itself") from error
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {type(content).__name__}"
        raise RecipeError(
            f"{path}: a recipe maps keys to values and needs at least name and source; "
            f"this file is {found}"
        )
    for key in content:
        if not isinstance(key, str):
            raise RecipeError(f"{path}: {key!r}: keys must be text; put it in quotes")
    return RecipeText(path, text, content, lines)


def _lines_of_keys(root: yaml.Node | None, path: Path) -> dict[Location, int]:
    """Lines by location; `safe_load` keeps the last of two equal keys, which hides mistakes."""
    lines: dict[Location, int] = {}
    seen: set[int] = set()

    def walk(node: yaml.Node | None, location: Location) -> None:
        if node is None or id(node) in seen:
            return
        # An alias is the anchor's own node: once is enough, and ends cycles.
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                at = (*location, str(key.value))
                line = key.start_mark.line + 1
                if at in lines and key.tag != "tag:yaml.org,2002:merge":
                    raise RecipeError(
                        f"{path}, line {line}: {dotted(at)}: given twice, first in line "
                        f"{lines[at]}; keep one"
                    )
                lines[at] = line
                walk(value, at)
        elif isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                lines[(*location, position)] = item.start_mark.line + 1
                walk(item, (*location, position))

    walk(root, ())
    return lines
