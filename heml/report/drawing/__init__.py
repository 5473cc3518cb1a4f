"""How figures are drawn and encoded, from values in memory. Nothing here reads a store."""
