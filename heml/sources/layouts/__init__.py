"""Source layouts that come with HEML: one module each."""
