"""An endpoint that computes nonsense for a while: nothing of that is served or kept, and the next run mends it."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.failing import Crash, Crashing
from support.swapping import swapped

MakeTools = Callable[..., Sluice]
DIM = 16


def sound(text: str) -> list[float]:
    return [float(each) for each in np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM)]


class Endpoint:
    """`confused`: what the endpoint does with a text instead; None: nothing."""

    def __init__(self) -> None:
        self.confused: Callable[[str], list[Any] | None] = lambda text: None
        self.texts = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.texts += len(request["input"])
                rows = [
                    {"index": n, "embedding": outer.confused(text) or sound(text)}
                    for n, text in enumerate(request["input"])
                ]
                body = json.dumps({"data": rows, "usage": {"total_tokens": 1}}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    built = Endpoint()
    yield built
    built.server.shutdown()
    built.server.server_close()


@pytest.fixture
def sluice(make_sluice: MakeTools, tmp_path: Path, endpoint: Endpoint) -> Sluice:
    settings = {"embedder": "openai:fake", "openai_base_url": endpoint.url, "chunker": "chars:200:0"}
    return make_sluice([tmp_path], graph="off", **settings)


@pytest.fixture
def spec(tmp_path: Path, name: str) -> SourceSpec:
    for number in range(6):
        (tmp_path / f"{number}.md").write_text(f"# Heron {number}\n\nThe heron numbered {name}x{number} waits here.\n")
    return SourceSpec(tmp_path.as_uri(), name, tenant=name)


def constant(text: str) -> list[Any]:
    return [float(n) for n in range(DIM)]


def served(sluice: Sluice, spec: SourceSpec) -> int:
    request = SearchRequest("heron", spec.collection, 20, retrievers=("sparse",))
    return len(sluice.search(request, Principal("t", spec.tenant, frozenset({ALL_GROUPS}))).passages)


def codes(sluice: Sluice, spec: SourceSpec) -> set[str]:
    who = Principal("t", spec.tenant, frozenset({ALL_GROUPS}))
    return {each.code for each in sluice.catalog.quarantine_records(who, spec.collection, limit=50)}


@pytest.mark.parametrize("way", ["incremental", "full", "replay"])
def test_one_vector_for_all_is_not_kept(sluice: Sluice, endpoint: Endpoint, spec: SourceSpec, way: Any) -> None:
    endpoint.confused = constant
    summary = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (summary["documents"]["new"], summary["documents"]["quarantined"]) == (0, 6)
    assert codes(sluice, spec) == {"shared_vector"} and served(sluice, spec) == 0
    endpoint.confused = lambda text: None
    mended = (
        sluice.ingestion.ingest(IngestRequest(spec, replay=())).to_json()
        if way == "replay"
        else sluice.ingestion.ingest(IngestRequest(spec, way)).to_json()
    )
    assert (mended["documents"]["new"], mended["documents"]["quarantined"]) == (6, 0)
    assert mended["embeddings"] == {"computed": 6, "cached": 0} and served(sluice, spec) == 6


@pytest.mark.parametrize("nonsense", [None, 0.0, float("nan")])
def test_a_text_without_a_vector_costs_its_document_only(
    sluice: Sluice, endpoint: Endpoint, spec: SourceSpec, nonsense: float | None
) -> None:
    endpoint.confused = lambda text: [nonsense] * DIM if "x2 waits" in text else None
    summary = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (summary["documents"]["new"], summary["documents"]["quarantined"]) == (5, 1)
    assert codes(sluice, spec) == {"wrong_length"} and served(sluice, spec) == 5
    endpoint.confused = lambda text: None
    mended = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (mended["documents"]["new"], mended["embeddings"]["computed"]) == (1, 1), "what was good is not paid again"
    assert served(sluice, spec) == 6


def test_what_a_crash_leaves_before_the_gate_is_judged_by_the_next_run(
    sluice: Sluice, endpoint: Endpoint, spec: SourceSpec
) -> None:
    """Paid for, stored, not judged: good vectors are used, refused ones leave the cache with the gate's verdict."""
    endpoint.confused = constant
    with pytest.raises(Crash):
        swapped(sluice, cache=Crashing(sluice.cache, "forget", after=False)).ingestion.ingest(IngestRequest(spec))
    first = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (first["embeddings"]["computed"], first["documents"]["quarantined"]) == (0, 6)
    endpoint.confused = lambda text: None
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.new == 6
