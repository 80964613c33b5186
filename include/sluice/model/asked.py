"""What is asked for: a source into a collection, made in one way, by one run."""

from __future__ import annotations
