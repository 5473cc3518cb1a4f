"""Dagster around heml: recipes, assets, checks, jobs and the run command. No method in here."""
