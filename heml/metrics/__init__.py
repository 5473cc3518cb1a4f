"""Metric learning per tree node: distances, losses, node views, networks, training, evaluation."""
