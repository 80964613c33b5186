"""The domain model: Source → ListingEntry → Document → Chunk → EmbeddedChunk → Passage.

All classes are frozen values. Their text is plain; it is encrypted where it is stored (ledger, artefacts), see
`encryption.py`. Hashes are keyed with the tenant's index key, so that a hash in a store cannot be looked up in a
dictionary.
"""
