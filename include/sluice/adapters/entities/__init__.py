"""Entity extractors, and the ids of entities."""
