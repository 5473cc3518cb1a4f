"""The plan: how many samples each group gets, and from which hosts and donors."""
