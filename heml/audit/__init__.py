"""Audits of what was made: whether being recombined gives the label away."""
