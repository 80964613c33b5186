"""Writes embedded documents into ledger, vectors and graph."""
