"""The figures: one module per subject, all found by name in by_name."""
