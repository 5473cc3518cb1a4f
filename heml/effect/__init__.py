"""The effect: what training on the rebalanced dataset changes on held-out real images."""
