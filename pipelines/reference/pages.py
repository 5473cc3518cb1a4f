"""All generated pages. A page is a function without parameters that gives its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipelines.recipe.json_schema import recipe_schema
from pipelines.reference.commands import command_reference
from pipelines.reference.parts import part_reference
from pipelines.reference.recipe import recipe_reference
from pipelines.reference.tables import table_reference

#: File name in docs/ → what is in it.
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_reference,
    "parts.md": part_reference,
    "recipe.md": recipe_reference,
    "recipe.schema.json": recipe_schema,
    "tables.md": table_reference,
}


def write_pages(folder: Path) -> list[Path]:
    """Writes every page into a folder, and gives the paths."""
    paths = []
    for name, text in PAGES.items():
        path = folder / name
        path.write_text(text(), encoding="utf-8")
        paths.append(path)
    return paths
