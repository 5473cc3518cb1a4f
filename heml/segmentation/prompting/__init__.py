"""Segments found by words: networks that take a text and an image, and what is made of them."""
