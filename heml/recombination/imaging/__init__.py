"""Image arithmetic for operators and gates: color, filters, masks, windows, blending, filling."""
