"""The embedded Qdrant server answers what a real one answered: recorded histories are sent to it again."""

import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from http.client import HTTPConnection
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from contract.qdrant_comparison import assert_same
from contract.qdrant_pair import API_KEY, Server, embedded

Exchange = dict[str, Any]
HISTORIES = range(40)
_FAST = Path("/dev/shm")  # nothing here has to outlive the server, and indexes cost an fsync each


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    where = _FAST if os.access(_FAST, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sluice-qdrant-", dir=where) as folder:
        started = embedded(Path(folder)).start()
        yield started
        started.kill()


@pytest.mark.parametrize("seed", HISTORIES)
def test_a_recorded_history_gives_the_same_answers(test_data: Path, server: Server, seed: int) -> None:
    _empty(server)
    history = _recorded(test_data / "qdrant" / "exchanges-1.18.3.jsonl.gz")[seed]
    assert len(history) > 200
    for exchange in history:
        status, answer = _send(server, exchange["method"], exchange["path"], exchange["body"])
        where = f"seed {seed} step {exchange['step']}: {exchange['method']} {exchange['path']} {exchange['body']}"
        assert status == exchange["status"], f"{where}: {answer} != {exchange['answer']}"
        assert_same(_timeless(answer), _timeless(exchange["answer"]), where)


@cache
def _recorded(path: Path) -> dict[int, list[Exchange]]:
    if not path.is_file():
        pytest.skip(f"no recorded exchanges: there is no qdrant/{path.name} in SLUICE_TEST_DATA")
    with gzip.open(path, "rt") as lines:
        return {seed: list(own) for seed, own in groupby(map(json.loads, lines), lambda each: each["seed"])}


def _empty(server: Server) -> None:
    for collection in _send(server, "GET", "/collections", None)[1]["result"]["collections"]:
        assert _send(server, "DELETE", f"/collections/{collection['name']}", None)[0] == 200


def _send(server: Server, method: str, path: str, body: Any) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body)
    # A connection a call: one that is kept is closed by the server after an idle time, which a slow machine reaches.
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request(method, path, content, {"api-key": API_KEY, "content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def _timeless(answer: Exchange) -> Exchange:
    return {key: value for key, value in answer.items() if key != "time"}
