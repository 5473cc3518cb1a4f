"""What every part of the method is made of: settings, registries, and words for the report."""
