"""The metric tree: calibrated distances of its nodes, joined into explainable similarities."""
