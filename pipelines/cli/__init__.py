"""The heml command: one module per subcommand."""
