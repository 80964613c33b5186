"""Worker processes that can reach nothing but their pipes."""
