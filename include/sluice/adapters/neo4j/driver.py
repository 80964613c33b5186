"""Neo4j's driver, imported before anything else of this package.

Where numpy, pandas and pyarrow are installed it imports them, to take their values as parameters: most of a second for
values that it is never handed here. It has no switch for that (release 6.4).
"""

from __future__ import annotations

from sluice.adapters.importing import without

with without("numpy", "pandas", "pyarrow"):
    import neo4j

__all__ = ["neo4j"]
