"""Reconciliation, deletion, purge, pruning."""
