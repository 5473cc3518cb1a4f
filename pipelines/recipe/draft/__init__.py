"""Drafting a recipe from what lies in a dataset: find, describe, choose, write; a module each."""
