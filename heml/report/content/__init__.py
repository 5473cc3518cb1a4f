"""Content of the page: numbers, sentences, galleries and explained pairs."""
