"""Rerankers: a local cross-encoder, and HTTP endpoints."""
