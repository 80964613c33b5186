"""Reconciliation, deletion, purging and pruning."""
