"""The graph index on Neo4j.

If numpy, pandas and pyarrow are installed, Neo4j's driver imports them to accept their values as parameters. That takes
most of a second, this project passes no such values, and the driver (release 6.4) has no option to skip it. So the
driver is imported here, before any module of this package.
"""

from __future__ import annotations

from sluice.adapters.importing import without

with without("numpy", "pandas", "pyarrow"):
    import neo4j

__all__ = ["neo4j"]
