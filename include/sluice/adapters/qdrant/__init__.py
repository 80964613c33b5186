"""The vector index on a Qdrant server.

Qdrant's client takes longer to import than most commands run. What an ingest asks goes over REST without it
(`rest.py`); `index.py` and what only it uses import the client, and `on_demand.py` imports them when they are needed.
"""
