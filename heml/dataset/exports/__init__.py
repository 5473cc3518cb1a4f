"""The dataset in other formats: one module per format, each a function of two folders."""
