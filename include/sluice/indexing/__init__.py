"""Embedded documents into ledger, vectors and graph."""
