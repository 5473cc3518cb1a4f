"""Segments without checkpoints and without masks, from plain images: a module each for regions of
an image, what stands out of it, what the whole set agrees on, and what is found with that."""
