"""Segmenters: one module each, registered under the module's name."""
