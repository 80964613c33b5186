"""The nouns of the flow: Source → Entry → Document → Chunk → EmbeddedChunk → Passage.

All are frozen values. Text in them is plain; it is sealed at the edge (ledger, artefacts), see `seal.py`.
Hashes are keyed with the tenant's index key (`seal.py`), so that a hash in a store cannot be looked up in a dictionary.
"""
