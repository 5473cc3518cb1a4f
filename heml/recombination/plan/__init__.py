"""The plan: how many samples each attribute gets, and from which hosts and donors."""
