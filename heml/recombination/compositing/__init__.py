"""Compositing: what operators compute: aligning, blending and coloring segments, in batches."""
