"""A query service over a ledger of its own and fakes of the other stores, for the tests of the HTTP surface.

Tenant acme has the collection docs: `open` and `hostile` for all, `legal` for the group legal. Tenant other has a
document of its own in docs (`neighbour`) and one in secret (`foreign`). ann holds all groups of acme, bob none, sam is
granted both tenants, nil nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from sluice.api.app import create_app
from sluice.embedding.bm25 import term_sequence
from sluice.errors import Unavailable
from sluice.indexing.loading import load
from sluice.indexing.stores import Stores
from sluice.model.chunk import Chunk, EmbeddedChunk, EmbeddedDocument, SparseVector
from sluice.model.document import Document
from sluice.model.generation import Generation, Profile
from sluice.model.grants import ALL_GROUPS, Grant
from sluice.model.run import Run
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.search import Candidate, VectorQuery
from sluice.model.source import SourceSpec
from sluice.retrieval.query_vectors import QueryVectors
from sluice.retrieval.search_ports import SearchPorts
from sluice.retrieval.searching import search
from sluice.testing.graph import MemoryGraph
from sluice.testing.keyring import MemoryKeyring
from sluice.testing.vectors import MemoryVectors
from support.ledger_copies import Copies
from support.ledger_rows import LedgerDatabase
from support.swapping import wired

PROFILE = Profile("chars:100:0", "hash:4", "spacy:en_core_web_sm", 4)
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
TOKENS = {"ann-token": "ann", "bob-token": "bob", "sam-token": "sam", "nil-token": "nil"}
FILTER_FIELDS = ("language", "year")


@dataclass(frozen=True)
class Text:
    """One document of one chunk."""

    name: str
    tenant: str
    collection: str
    text: str
    group: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


TEXTS = (
    Text("open", "acme", "docs", "Pumps are inspected every month.", metadata={"language": "en", "odd": float("nan")}),
    Text(
        "legal",
        "acme",
        "docs",
        "The contract with the pump maker ends in May.",
        group="legal",
        metadata={"gate_flags": ["personal_data"]},
    ),
    Text("hostile", "acme", "docs", HOSTILE),
    Text("foreign", "other", "secret", "Pumps of another tenant, kept apart."),
    Text("neighbour", "other", "docs", "Pumps of another tenant, in a collection of the same name."),
)


def named(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, name)


@dataclass
class Fakes:
    """All stores but the ledger, and the ids that documents were given."""

    keyring: MemoryKeyring = field(default_factory=MemoryKeyring)
    vectors: MemoryVectors = field(default_factory=MemoryVectors)
    graph: MemoryGraph = field(default_factory=MemoryGraph)
    ids: dict[str, UUID] = field(default_factory=dict)


@contextmanager
def worlds(ledgers: Copies) -> Iterator[MakeWorld]:
    """Each call makes a world of its own, filled with `TEXTS` in the order in which they are found (the first is the
    best)."""
    with ledgers.copy() as copy:
        first = World(copy.db, Fakes())
        first.fill()
        with ledgers.copies_of(copy) as filled:

            @contextmanager
            def world() -> Iterator[World]:
                with filled.copy() as own:
                    yield World(own.db, deepcopy(first.fakes))

            yield world


class World:
    """`down` names what does not answer, `erased` whose keys are gone; a `careless` index proposes every chunk there
    is."""

    def __init__(self, db: LedgerDatabase, fakes: Fakes) -> None:
        self.down: set[str] = set()
        self.erased: set[str] = set()
        self.careless = False
        self.feedback_per_hour = 60
        self.built = self.closed = 0
        self.db, self.fakes = db, fakes
        self.ledger, self.catalog = db.ledger, db.catalog
        self.keyring, self.vectors, self.graph, self.ids = fakes.keyring, fakes.vectors, fakes.graph, fakes.ids

    def fill(self) -> None:
        for rank, text in enumerate(TEXTS):
            self.publish(text, rank)
        for grant in (
            Grant("ann", "acme", frozenset({ALL_GROUPS}), True),
            Grant("bob", "acme", frozenset(), False),
            Grant("sam", "other", frozenset(), False),
            Grant("sam", "acme", frozenset({"legal"}), False),
        ):
            self.ledger.grants.add(grant)

    def publish(self, text: Text, rank: int) -> None:
        groups = (text.group,) if text.group else ()
        uri = f"file:///{text.tenant}/{text.collection}/{text.group}/{text.name}"
        spec = SourceSpec(uri, text.collection, text.tenant, groups)
        source = self.ledger.sources.open(spec, PROFILE, FILTER_FIELDS)
        run = self.ledger.runs.start(source, "incremental", named(f"run {text.name}"))
        entry = ListingEntry(f"{text.name}.md", f"file:///docs/{text.name}.md", "1", len(text.text))
        [item] = self.ledger.scans.record(run, [entry]).items
        self.ids[text.name] = item.document_id
        self.keyring.create([item.document_id])
        self.vectors.ensure(source.generation)
        load(
            run,
            [_embedded(text, item, rank)],
            versions=self.ledger.versions,
            keyring=self.keyring,
            stores=Stores(self.ledger.outbox, self.vectors, self.graph),
        )

    def finish_runs(self) -> None:
        for text in TEXTS:
            self.ledger.runs.finish(self.run(text.name), "succeeded", {})

    def delete(self, name: str) -> None:
        """In the ledger; the index still has it."""
        self.ledger.versions.remove(self.run(name), [self.ids[name]])

    def expire(self, name: str) -> None:
        self.db.expire(self.ids[name])

    def run(self, name: str) -> Run:
        return self.ledger.runs.get(named(f"run {name}"))

    def check(self, store: str) -> None:
        if store in self.down:
            raise Unavailable(store, "password=hunter2 at 10.0.0.7 refused")

    def sluice(self) -> Any:
        self.built += 1
        stores = {
            "catalog": Fragile(self, "ledger", self.catalog),
            "keyring": Fragile(self, "keys", _Keyring(self)),
            "vectors": Fragile(self, "qdrant", _Vectors(self)),
            "graph": Fragile(self, "neo4j", self.graph),
        }
        pings = {each.store: each.ping for each in stores.values()}
        ledger = replace(self.ledger, grants=Fragile(self, "ledger", self.ledger.grants))
        return wired(
            **stores,
            ledger=ledger,
            pings=pings,
            close=self._close,
            search=self.search_of(**{name: stores[name] for name in ("catalog", "keyring", "vectors")}),
            marquez_url="http://marquez.test",
            marquez_web_url="",
            feedback_callers=2,
            feedback_per_hour=self.feedback_per_hour,
        )

    def _close(self) -> None:
        self.closed += 1

    def search_of(self, **stores: Any) -> Any:
        embedder: Any = SimpleNamespace(embed=lambda texts: np.array([[1, 0, 0, 0]] * len(texts), np.float32))
        return partial(
            search,
            SearchPorts(
                **stores,
                embed_query=QueryVectors(lambda name: embedder),
                sparse_query=_terms,
                term_sequence=term_sequence,
            ),
        )


MakeWorld = Callable[[], AbstractContextManager[World]]


@dataclass
class Fragile:
    """A store that fails as a whole while the world says that it is down."""

    world: World
    store: str
    adapter: Any

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.world.check(self.store)
            return getattr(self.adapter, name)(*args, **options)

        return call


@dataclass
class _Keyring:
    world: World

    def index_key(self, tenant: str) -> bytes:
        return self.world.keyring.index_key(tenant)

    def ping(self) -> str:
        return self.world.keyring.ping()

    def get(self, document_ids: list[UUID]) -> dict[UUID, bytes]:
        erased = {self.world.ids[name] for name in self.world.erased}
        return self.world.keyring.get([each for each in document_ids if each not in erased])

    def create(self, document_ids: list[UUID]) -> dict[UUID, bytes]:
        return self.world.keyring.create(document_ids)

    def destroy(self, document_ids: list[UUID]) -> int:
        return self.world.keyring.destroy(document_ids)


@dataclass
class _Vectors:
    world: World

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        if self.world.careless:
            return [
                Candidate(named(f"chunk {text.name}"), dict.fromkeys(query.retrievers, 1 / (rank + 1)))
                for rank, text in enumerate(TEXTS)
            ]
        return self.world.vectors.search(generation, query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.vectors, name)


def _embedded(text: Text, item: WorkItem, rank: int) -> EmbeddedDocument:
    chunk = Chunk(
        chunk_id=named(f"chunk {text.name}"),
        document_id=item.document_id,
        ordinal=0,
        text=text.text,
        context="",
        start=0,
        end=len(text.text),
        page=2,
        headings=("Upkeep",),
        text_hash=text.name.encode().ljust(20, b"\0"),
    )
    document = Document(item, "text/markdown", f"Title of {text.name}", text.text, b"raw", text.metadata)
    angle = 0.1 * rank
    dense = np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32)
    sparse = replace(_terms("", b"", ()), values=np.array([1 - angle], np.float32))
    return EmbeddedDocument(document, (EmbeddedChunk(chunk, dense, sparse),))


def _terms(question: str, index_key: bytes, languages: Sequence[str]) -> SparseVector:
    return SparseVector(np.ones(1, np.uint32), np.ones(1, np.float32))


async def authenticate(request: Request) -> str | None:
    """As Airflow does: the bearer token, else the cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token if scheme.lower() == "bearer" and token else request.cookies.get("_token", "")
    if given == "database-down":
        raise Unavailable("Airflow's database", "it could not be asked who is calling")
    return TOKENS.get(given)


def service(world: World) -> FastAPI:
    """Mounted as Airflow mounts it: it enters a mounted app's lifespan, too."""
    app = create_app(world.sluice, authenticate)

    @asynccontextmanager
    async def lifespan(root: FastAPI) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    root = FastAPI(lifespan=lifespan)
    root.mount("/sluice", app)
    return root


@contextmanager
def client_of(world: World, token: str | None = "ann-token") -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with TestClient(service(world), base_url="http://sluice.test/sluice", headers=headers) as client:
        yield client


def as_caller(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def question(**changes: Any) -> dict[str, Any]:
    return {"query": "pumps", "collection": "docs"} | changes
