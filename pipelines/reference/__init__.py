"""Reference documentation, generated from the definitions that the code itself uses."""
