"""Search: candidates, hydration and passages. Qdrant fuses the lists of its retrievers (`adapters/qdrant/index.py`)."""
