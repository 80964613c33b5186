"""Direct connections to the session's stores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from neo4j import GraphDatabase
from qdrant_client import QdrantClient

from agreement import Stores
from ledger_rows import engine_of
from recovery import Cases


@pytest.fixture(scope="session")
def stores(stack: Any) -> Iterator[Stores]:
    given = stack.environment
    engine = engine_of(given["SLUICE_DATABASE_URL"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no TLS on the loopback
        qdrant = QdrantClient(
            url=given["SLUICE_QDRANT_URL"],
            api_key=given["SLUICE_QDRANT_API_KEY"],
            check_compatibility=False,
            timeout=60,
        )
    login = (given["SLUICE_NEO4J_USER"], given["SLUICE_NEO4J_PASSWORD"])
    with GraphDatabase.driver(given["SLUICE_NEO4J_URI"], auth=login) as driver:
        yield Stores(engine, qdrant, driver)
    engine.dispose()
    qdrant.close()


@pytest.fixture
def cases(stack: Any, stores: Stores, tmp_path: Path) -> Iterator[Cases]:
    cases = Cases(stack.settings, stores, tmp_path)
    yield cases
    cases.close()
