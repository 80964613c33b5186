"""A Qdrant that is not there, or does not answer, costs a bounded time and says so."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator

import pytest

from sluice.adapters.qdrant import QdrantIndex
from sluice.errors import Unavailable
from sluice.model import Generation, Profile

GENERATION = Generation(uuid.uuid4(), "c", 1, Profile("tokens:256:0", "hash:8", "off", 8), "c__g1")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("grpc", [False, True])
@pytest.mark.parametrize("silent", [False, True])
def test_every_call_ends_in_time_as_unavailable(silent_port: int, grpc: bool, silent: bool) -> None:
    port = silent_port if silent else _closed_port()
    index = QdrantIndex(f"http://127.0.0.1:{port}", "key", port if grpc else None, call_timeout_s=1.0)
    for call in (lambda: index.ensure(GENERATION), lambda: index.count(GENERATION)):
        start = time.monotonic()
        with pytest.raises(Unavailable, match="qdrant is not available"):
            call()
        assert time.monotonic() - start < 4
    index.close()
