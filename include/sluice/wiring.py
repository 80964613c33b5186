"""The only place that builds clients: settings in, `Tools` out. Nothing connects before it is used."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Any

from sluice.errors import BadRequest
from sluice.model import GateRule, Principal, Profile, SearchRequest, SourceSpec
from sluice.ports import Embedder, EntityExtractor, Extractor, SourceReader, Tools
from sluice.query import SearchOutcome, search, search_ports
from sluice.seal import parse_master_key
from sluice.settings import Settings


def build(settings: Settings, root: Any = None, *, serving: bool = False) -> Tools:
    """`root`: a path-like of the artefacts' folder (Airflow passes its ObjectStoragePath); default: by settings.
    `serving`: for the query service, whose callers wait: store calls end after `query_timeout_s`."""
    from upath import UPath

    from sluice.adapters.blobs import UPathBlobs
    from sluice.adapters.entities import entity_id
    from sluice.adapters.postgres import (
        PostgresCatalog,
        PostgresKeyring,
        PostgresLedger,
        PostgresVectorCache,
        make_engine,
    )
    from sluice.adapters.qdrant import QdrantIndex

    limits: dict[str, Any] = {
        "connect_timeout_s": settings.connect_timeout_s,
        "call_timeout_s": settings.query_timeout_s if serving else settings.call_timeout_s,
    }
    pooled = {**limits, "pool_size": settings.pool_size}
    ledger_engine = make_engine(_required(settings, "database_url"), **pooled)
    keys_engine = make_engine(_required(settings, "keys_database_url"), **pooled)
    vectors = QdrantIndex(
        settings.qdrant_url,
        settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None,
        grpc_port=settings.qdrant_grpc_port,
        **limits,
    )
    graph = None
    if settings.graph == "on":
        from sluice.adapters.neo4j import Neo4jGraph

        password = settings.neo4j_password.get_secret_value()
        graph = Neo4jGraph(settings.neo4j_uri, settings.neo4j_user, password, **limits)

    def close() -> None:
        ledger_engine.dispose()
        keys_engine.dispose()
        vectors.close()
        if graph is not None:
            graph.close()

    catalog = PostgresCatalog(ledger_engine)
    keyring = PostgresKeyring(keys_engine, parse_master_key(_required(settings, "master_key")))
    return Tools(
        ledger=PostgresLedger(ledger_engine),
        cache=PostgresVectorCache(ledger_engine),
        catalog=catalog,
        keyring=keyring,
        vectors=vectors,
        graph=graph,
        blobs=UPathBlobs(root if root is not None else UPath(settings.artefacts)),
        extractor=lambda: _extractor(settings),
        reader=lambda spec: _reader(settings, spec),
        embedder=_embedder,
        entities=_entities,
        entity_id=entity_id,
        tokenizer=_tokenizer,
        profile=profile(settings),
        filter_fields=settings.declared_fields,
        batch_size=settings.batch_size,
        pings={"ledger": catalog.ping, "keys": keyring.ping, "qdrant": vectors.ping}
        | ({"neo4j": graph.ping} if graph else {})
        | _optional_pings(settings),
        close=close,
        gate_rules=_gate_rules(settings),
    )


def _optional_pings(settings: Settings) -> dict[str, Callable[[], str]]:
    found: dict[str, Callable[[], str]] = {}
    if redis_url := settings.redis_url.get_secret_value():
        from sluice.adapters import redis

        found["redis"] = partial(redis.ping, redis_url, settings.connect_timeout_s)
    if settings.marquez_url:
        from sluice.adapters import marquez

        found["marquez"] = partial(marquez.ping, settings.marquez_url, settings.connect_timeout_s)
    return found


def searcher(tools: Tools) -> Callable[[SearchRequest, Principal], SearchOutcome]:
    """Keep it for the life of the process: it remembers the vectors of recent questions."""
    from sluice.embed import sparse_query

    return partial(search, search_ports(tools, sparse_query))


def profile(settings: Settings) -> Profile:
    """What a collection that does not exist yet is made with."""
    entities = settings.entities if settings.graph == "on" else "off"
    return Profile(settings.chunker, settings.embedder, entities, _embedder(settings.embedder).dim)


def _required(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    text = value.get_secret_value() if value is not None else ""
    if not text:
        raise BadRequest(
            f"SLUICE_{name.upper()} is not set. On one machine `make up` starts the engines, and "
            '`eval "$(.venv/bin/python -m devstack env --app --export)"` sets all that Sluice needs.'
        )
    return str(text)


def _gate_rules(settings: Settings) -> dict[tuple[str, str], GateRule]:
    if not settings.gate_actions:
        return {}
    from sluice.validate import parse_actions

    return parse_actions(settings.gate_actions)


def _extractor(settings: Settings) -> AbstractContextManager[Extractor]:
    from sluice.extract.formats import IsolatedExtractor

    return IsolatedExtractor(
        workers=settings.extract_workers,
        timeout_s=settings.extract_timeout_s,
        memory_mb=settings.extract_memory_mb,
        max_text_chars=settings.max_text_chars,
        max_bytes=settings.max_document_bytes,
    )


def _reader(settings: Settings, spec: SourceSpec) -> SourceReader:
    from sluice.extract import reader_for

    return reader_for(spec, roots=settings.roots, max_bytes=settings.max_document_bytes)


@lru_cache(maxsize=4)
def _embedder(name: str) -> Embedder:
    from sluice.adapters.embedders import make_embedder

    return make_embedder(name)


@lru_cache(maxsize=4)
def _entities(name: str) -> EntityExtractor | None:
    from sluice.adapters.entities import make_entities

    return make_entities(name)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from sluice.adapters.embedders import minilm_tokenizer

    return minilm_tokenizer()
