"""git+file:// and git+https:// sources: the tree of one commit, read from the object store."""
