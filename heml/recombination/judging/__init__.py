"""Judging samples: what gates measure, their limits from real images, and the verdicts."""
