"""The pages of the HTTP API under uvicorn, without engines and without Airflow: the app with data that tests set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import uvicorn
from fastapi import FastAPI, Request

from sluice.api.app import create_app
from sluice.encryption import Cipher, new_key
from sluice.errors import NotFound, Unavailable
from sluice.model.catalog import CollectionInfo, Live
from sluice.model.evaluation import Evaluation
from sluice.model.gates import FailedRow, GateRow, GateTotal, RunGates
from sluice.model.generation import Generation, Profile
from sluice.model.grants import Grant, Principal
from sluice.model.passage import Passage, PassageLineage, VersionStep
from sluice.model.search import Hydrated, SearchRequest
from sluice.model.weights import LearnedWeights
from sluice.retrieval.searching import SearchOutcome
from support.swapping import wired

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
LONG = "The pump room is dry. " * 40 + "Pumps are inspected monthly. " + "Nothing else matters here. " * 40
PROFILE = Profile("chars:100:0", "hash:4", "off", 4)


def passage(number: int, title: str, text: str, **changes: Any) -> Passage:
    fields: dict[str, Any] = {
        "chunk_id": uuid5(NAMESPACE_URL, f"chunk {number}"),
        "document_id": uuid5(NAMESPACE_URL, f"document {number}"),
        "external_id": f"{number}.md",
        "title": title,
        "text": text,
        "score": 1 / (number + 1),
        "uri": f"file:///docs/{number}.md",
        "start": 1000,
        "end": 1000 + len(text),
        "page": None,
        "headings": (),
        "metadata": {},
        "version": 2,
        "generation": 3,
        "run_id": uuid5(NAMESPACE_URL, "run"),
    }
    return Passage(**{**fields, **changes})


PASSAGES = (
    passage(0, "Upkeep", LONG, page=7, headings=("Manual", "Upkeep of pumps"), metadata={"tags": ["a", "b"]}),
    passage(
        1,
        HOSTILE,
        f"{HOSTILE} pumps",
        headings=(HOSTILE, "Below"),
        metadata={HOSTILE: HOSTILE},
        uri=f"file:///{HOSTILE}",
    ),
    passage(2, "Short", "A pump."),
)

WHEN = datetime(2026, 5, 4, 12, tzinfo=UTC)
LINEAGE = PassageLineage(
    chunk_id=PASSAGES[1].chunk_id,
    document_id=PASSAGES[1].document_id,
    external_id=HOSTILE,
    uri=f"javascript:{HOSTILE}",
    source_uri="file:///docs",
    collection="handbook",
    first_seen_at=WHEN,
    expires_at=None,
    version=2,
    generation=3,
    backing_collection="handbook__g3",
    profile=PROFILE,
    run_id=PASSAGES[1].run_id,
    orchestrator="airflow:sluice_ingest/manual__1 & more",
    run_state="succeeded",
    started_at=WHEN,
    finished_at=WHEN,
    history=tuple(
        VersionStep(number, 3, state, PASSAGES[1].run_id, WHEN) for number, state in ((1, "superseded"), (2, "active"))
    ),
    gates=(
        GateTotal("validate", "documents", "unique", "document_id", True, True, 1200, 0, "duplicate_id"),
        GateTotal("validate", "texts", "not_empty", "text", True, False, 1200, 7),
        GateTotal("embed", "vectors", "between", "no_terms", False, False, 1200, 1, "no_terms"),
    ),
    computed=5,
    cached=1234,
    datasets=("file:/docs", "qdrant://db:6333:handbook__g3"),
    rows=(GateRow(PASSAGES[1].document_id, 0, "vectors", "no_terms", "between", 1.0),),
)
KEY = new_key()


def hydrated() -> Hydrated:
    """`PASSAGES[1]` as the ledger has it."""
    of, cipher = PASSAGES[1], Cipher(KEY, "default", PASSAGES[1].document_id)
    return Hydrated(
        of.chunk_id, of.document_id, of.external_id, of.uri, of.version, of.generation, of.run_id, of.start, of.end,
        of.page, "text/plain", cipher.encrypt_text("chunk", of.text, of.chunk_id),
        cipher.encrypt_json("headings", list(of.headings), of.chunk_id), cipher.encrypt_text("title", of.title),
        cipher.encrypt_json("metadata", {"gate_flags": ["personal_data", "no_terms"]}),
    )  # fmt: skip


FAILED = tuple(
    FailedRow(
        HOSTILE if number == 1 else f"letters/{number:03}.md",
        GateRow(
            LINEAGE.document_id, number or None, "documents", "personal_data", "between", {"kinds": {"EMAIL": number}}
        ),
    )
    for number in range(3)
)
GATES = RunGates(
    run_id=LINEAGE.run_id,
    collection="handbook",
    source_uri=f"file:///docs/{HOSTILE}",
    mode="replay",
    orchestrator=LINEAGE.orchestrator,
    state="succeeded",
    started_at=WHEN,
    finished_at=None,
    gates=(
        GateTotal("validate", "documents", "not_empty", "text", False, True, 1200, 0),
        GateTotal("validate", "documents", "expect_values_between", "chars", True, False, 1200, 7, "too_long"),
        GateTotal("validate", "documents", "personal_data", "personal_data", False, False, 1200, 3),
    ),
    rows=FAILED,
    rows_total=3,
)


@dataclass
class PageData:
    """What the API answers. Each test starts with a new one and changes it."""

    collections: list[str] = field(default_factory=lambda: ["handbook", "archive"])
    tenants: list[str] = field(default_factory=lambda: ["default"])
    passages: tuple[Passage, ...] = PASSAGES
    nothing_relevant: bool = False
    evaluations: tuple[Evaluation, ...] = ()
    weights: LearnedWeights | None = None
    down: bool = False
    signed_in: bool = True
    searches: list[SearchRequest] = field(default_factory=list)

    async def authenticate(self, request: Request) -> str | None:
        return "ann" if self.signed_in or not request.url.path.startswith("/sluice/api") else None

    def sluice(self) -> Any:
        grants = SimpleNamespace(
            of=lambda name: [Grant(name, tenant, frozenset({"*"}), False) for tenant in self.tenants]
        )
        catalog = SimpleNamespace(
            lineage=self.lineage,
            live=lambda collection, principal: Live(
                Generation(LINEAGE.run_id, collection, 3, PROFILE, "handbook__g3"), (), "", LINEAGE.started_at, None
            ),
            hydrate=lambda generation, chunk_ids, principal: [hydrated()],
            run_gates=self.run_gates,
            collections=lambda principal: [CollectionInfo(name, 3, PROFILE, 1, 3, 0) for name in self.collections],
        )
        keyring = SimpleNamespace(get=lambda document_ids: {PASSAGES[1].document_id: KEY})
        return wired(
            ledger=SimpleNamespace(
                grants=grants, evaluations=SimpleNamespace(history=self.history, weights=lambda *_: self.weights)
            ),
            catalog=catalog,
            keyring=keyring,
            close=lambda: None,
            search=self.search,
            marquez_web_url="http://marquez.test",
        )

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        if chunk_id != PASSAGES[1].chunk_id:
            raise NotFound("There is no such passage that you may read.")
        return LINEAGE

    def run_gates(self, principal: Principal, run_id: UUID, *, limit: int, offset: int) -> RunGates:
        if run_id != GATES.run_id:
            raise NotFound("There is no such run that you may read.")
        return replace(GATES, rows=FAILED[offset : offset + 2])  # pages of two

    def history(self, tenant: str, collection: str, **_: Any) -> list[Evaluation]:
        return list(reversed(self.evaluations)) if collection == "handbook" else []

    def search(self, request: SearchRequest, principal: Principal) -> SearchOutcome:
        if self.down:
            raise Unavailable("Qdrant", "no answer within 5 s")
        self.searches.append(request)
        return SearchOutcome(
            self.passages,
            tuple(each for each in request.retrievers if each != "graph"),
            (),
            3,
            12.0,
            self.nothing_relevant,
        )

    def reset(self) -> None:
        self.__dict__.update(PageData().__dict__)


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serve(data: PageData) -> Iterator[str]:
    """The address of the search page, below which all others are."""
    root = FastAPI()
    root.mount("/sluice", create_app(data.sluice, data.authenticate))
    server = _Server(root)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.listening.wait(30), "uvicorn did not start within 30 s"
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/sluice/"
    finally:
        server.should_exit = True
        thread.join(30)
