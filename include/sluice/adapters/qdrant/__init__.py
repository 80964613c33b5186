"""The vector index on a Qdrant server.

Importing Qdrant's client takes longer than most commands run. So the calls of an ingest use REST without the client
(`rest.py`). `index.py` and the modules that only it uses import the client; `on_demand.py` imports them when needed.
"""
