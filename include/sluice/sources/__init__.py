"""Sources of documents: one module or package for each URI scheme."""
