"""How figures are drawn: style, trees, pairs of images, and images from the store."""
