"""The accepted images of a store: their table, their groups, and which of them were revoked."""
