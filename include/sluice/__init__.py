"""Sluice: documents flow in through gates, are governed and lineaged, and every store provably agrees."""

__version__ = "0.6.0"
