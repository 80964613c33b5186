"""One policy: who may read and write which documents, and from which places."""
