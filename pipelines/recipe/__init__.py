"""The recipe: its model, reading its YAML, and saying what is wrong with it."""
