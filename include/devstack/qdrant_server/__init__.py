"""An embedded replacement for a Qdrant server: Qdrant's own engine (`qdrant_edge`) behind the part of its REST API
that `qdrant-client` uses here. Start it with `python -m devstack.qdrant_server --help`."""
