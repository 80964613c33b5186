"""Worker processes that can access nothing except their pipes."""
