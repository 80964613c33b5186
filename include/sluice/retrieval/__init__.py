"""Search: retrievers, fusion, hydration and passages."""
