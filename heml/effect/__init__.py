"""The effect: what training on the rebalanced dataset changes on held-out real images.

`measure` is the stage; `arms` are the ways to train that it compares; `accuracy` and `intervals`
are what is said of them.
"""

from heml.effect.effect_stage import VERSION, measure_effect

__all__ = ["VERSION", "measure_effect"]
