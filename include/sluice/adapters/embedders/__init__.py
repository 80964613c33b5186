"""Embedders: texts to dense vectors."""
