"""Audits of a written dataset: whether edit marks encode the label."""
