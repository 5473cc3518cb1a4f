"""The code location that Dagster loads: every recipe of `$HEML_RECIPES` or `$HEML_RECIPE_FILES`."""

from pipelines.build import build_defs

defs = build_defs()
