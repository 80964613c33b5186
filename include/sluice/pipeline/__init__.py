"""The stages in order, and what holds a run together."""
