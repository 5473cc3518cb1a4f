"""Forms of annotation tools: one module each."""
