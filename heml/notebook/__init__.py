"""What a notebook calls: a dataset folder with its provenance, its pictures and its metric tree."""
