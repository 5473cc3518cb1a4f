"""What the report says: facts read from tables, the examples it shows, and its sentences."""
