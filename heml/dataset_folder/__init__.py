"""What a dataset folder is: its manifest, its column types, its files, and reading it back."""
