"""Portraits drawn by the project: a demo to look at, and a bias whose truth is known.

Stylised people with exact segmentation masks and attributes that each live in the pixels of one
segment, reproducible from a seed. Reading portraits into image records does not belong here.
"""

from heml.sources.portraits.drawing import Portrait, draw
from heml.sources.portraits.vocabulary import ATTRIBUTES, CARRIERS, CLASSES, plan_attributes

__all__ = ["ATTRIBUTES", "CARRIERS", "CLASSES", "Portrait", "draw", "plan_attributes"]
