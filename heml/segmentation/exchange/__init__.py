"""Segments to and from annotation tools, and the corrections that come back."""
