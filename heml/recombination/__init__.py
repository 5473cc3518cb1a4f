"""Recombination: what to edit (plan), how (compose), and what to refuse (gates)."""
