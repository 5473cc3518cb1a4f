"""Content of the report: facts from tables, examples and sentences. Nothing is drawn here."""
