"""One module per document format: bytes in, blocks with their lines out."""
