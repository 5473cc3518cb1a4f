"""The accepted images of a store: their table, their attributes, and which of them were revoked."""
