"""Chunks to vectors, dense and sparse."""
