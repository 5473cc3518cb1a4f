"""Segmenters: from an image, or its annotation, to one mask per semantic class."""
