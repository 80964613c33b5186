"""Direct connections to the session's stores, and ledgers of a test's own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j import GraphDatabase
from qdrant_client import QdrantClient

from support.agreement import Stores
from support.api_service import MakeWorld, World, worlds
from support.engines import EngineStack
from support.ledger_copies import Copies, ledger_copies
from support.ledger_rows import LedgerDatabase, engine_of
from support.recovery import Cases


@pytest.fixture(scope="session")
def stores(stack: EngineStack) -> Iterator[Stores]:
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
def cases(stack: EngineStack, stores: Stores, tmp_path: Path) -> Iterator[Cases]:
    cases = Cases(stack.settings, stores, tmp_path)
    yield cases
    cases.close()


@pytest.fixture(scope="session")
def ledgers(stack: EngineStack) -> Iterator[Copies]:
    with ledger_copies(stack) as copies:
        yield copies


@pytest.fixture
def db(ledgers: Copies) -> Iterator[LedgerDatabase]:
    """An empty ledger of the test's own."""
    with ledgers.copy() as copy:
        yield copy.db


@pytest.fixture(scope="session")
def make_world(ledgers: Copies) -> Iterator[MakeWorld]:
    with worlds(ledgers) as make:
        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> Iterator[World]:
    with make_world() as built:
        yield built
