"""Operators: how a sample is composed from a host and a donor."""
