"""Gates: what every recombined sample must pass, and limits from real images."""
