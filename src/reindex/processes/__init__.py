"""Processes of our own that end with their parent: a parser, a model."""
