"""Effect arms that come with HEML: one module each, registered in `heml.effect.arm`."""
