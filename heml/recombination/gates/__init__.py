"""Gates that come with HEML: one module each, registered in `heml.recombination.gate`."""
