"""Neo4j's driver, imported before anything else of this package.

If numpy, pandas and pyarrow are installed, the driver imports them to accept their values as parameters. That takes
most of a second, this project passes no such values, and the driver (release 6.4) has no option to skip it.
"""

from __future__ import annotations

from sluice.adapters.importing import without

with without("numpy", "pandas", "pyarrow"):
    import neo4j

__all__ = ["neo4j"]
