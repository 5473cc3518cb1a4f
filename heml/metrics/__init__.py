"""Metric learning per tree node: SNR distance, node views, networks, training, evaluation."""
