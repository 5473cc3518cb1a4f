"""Base of the method's parts: settings, registries, and wording."""
