"""The doors to the models that turn text into vectors, and their tokenizers."""
