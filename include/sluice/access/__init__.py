"""One policy: who may read and write what, and from where."""
