"""Where documents come from: what is on disk, which of it counts, and hints that it changed."""
