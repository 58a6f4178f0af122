"""A stand-in for OpenAI's embeddings, files and batches: for trying things offline, and for tests.

It speaks the shapes, limits and error bodies of the real API on a loopback address, keeps a bill of what
would have been paid, and fails in the ways that are asked of it. It knows nothing of this
product.
"""
