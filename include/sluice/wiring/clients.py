"""Builds the clients of Qdrant, Neo4j, models and other services from the settings: one function each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.encryption import derived_key, parse_master_key
from sluice.errors import BadRequest
from sluice.ports.content import Embedder, EntityExtractor, Extractor
from sluice.ports.reranking import Reranker
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.adapters.embedders.openai import Endpoint
    from sluice.adapters.neo4j.graph import Neo4jGraph
    from sluice.adapters.postgres.lineage import PostgresLineage
    from sluice.adapters.qdrant.index import QdrantIndex
    from sluice.adapters.qdrant.on_demand import QdrantOnDemand
    from sluice.adapters.statsd import Statsd
    from sluice.retrieval.encrypted_cache import EncryptedCache


def migrate(settings: Settings) -> int | None:
    """Migrates both databases to this release's schema, then replaces unkeyed fingerprints of releases up to 0.2.0 by
    keyed ones. Returns their number; None: they were not replaced, because the master key is not set. Safe to
    repeat."""
    from sluice.adapters.postgres.engine import make_engine
    from sluice.adapters.postgres.fingerprint_upgrade import key_fingerprints
    from sluice.adapters.postgres.keyring import PostgresKeyring
    from sluice.adapters.postgres.migrations import migrate as upgrade

    owner_url = settings.database_owner_url.get_secret_value() or settings.database_url.get_secret_value()
    keys_url = settings.keys_database_url.get_secret_value()
    upgrade(owner_url, keys_url)
    if settings.master_key is None or not settings.master_key.get_secret_value():
        return None
    engine = make_engine(keys_url, pool_size=1, **timeouts(settings))
    try:
        keyring = PostgresKeyring(engine, parse_master_key(settings.master_key.get_secret_value()))
        return key_fingerprints(owner_url, keyring.index_key)
    finally:
        engine.dispose()


def optional_pings(settings: Settings) -> dict[str, Callable[[], str]]:
    """Returns the pings of Redis and Marquez, by name, without those that have no address. A ping raises
    Unavailable."""
    pings: dict[str, Callable[[], str]] = {}
    if redis_url := settings.redis_url.get_secret_value():
        from sluice.adapters import redis

        pings["redis"] = partial(redis.ping, redis_url, settings.connect_timeout_s)
    if settings.marquez_url:
        from sluice.adapters import marquez

        pings["marquez"] = partial(marquez.ping, settings.marquez_url, settings.connect_timeout_s)
    return pings


def lineage_events(settings: Settings, *, timeout_s: float) -> PostgresLineage:
    """The ledger's store of lineage events, with at most two connections. The caller closes it."""
    from sluice.adapters.postgres.engine import make_engine
    from sluice.adapters.postgres.lineage import PostgresLineage

    url = required(settings, "database_url")
    limits = {"connect_timeout_s": settings.connect_timeout_s, "call_timeout_s": timeout_s}
    return PostgresLineage(make_engine(url, pool_size=2, **limits, name="sluice-lineage"))


def lineage_key(settings: Settings) -> bytes:
    """The key that masks names in lineage. It is derived from the master key, so all processes have the same one."""
    master = parse_master_key(required(settings, "master_key"))
    return derived_key(master, "sluice lineage names")


def airflow_knows(user: str) -> bool | None:
    """Returns whether Airflow's database has this user. None: unknown, because the address of the database is not set,
    it does not exist yet, or another auth manager keeps the users."""
    from sluice.adapters.postgres.airflow_users import has_user

    names = ("SLUICE_AIRFLOW_DATABASE_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    url = next((value for name in names if (value := os.environ.get(name))), "")
    return has_user(url, user) if url.startswith("postgres") else None


def timeouts(settings: Settings, serving: bool = False) -> dict[str, Any]:
    """Returns the time limits of a store's client. `serving`: callers wait for its answers."""
    call_timeout_s = settings.query_timeout_s if serving else settings.call_timeout_s
    return {"connect_timeout_s": settings.connect_timeout_s, "call_timeout_s": call_timeout_s}


def make_graph(settings: Settings, serving: bool) -> Neo4jGraph | None:
    """Returns the Neo4j graph; None where the graph is off. `serving`: with the short time limit of searches."""
    if settings.graph != "on":
        return None
    from sluice.adapters.neo4j.graph import Neo4jGraph

    password = settings.neo4j_password.get_secret_value()
    with address("neo4j_uri", "bolt://host:7687 or neo4j://host:7687"):
        return Neo4jGraph(settings.neo4j_uri, settings.neo4j_user, password, **timeouts(settings, serving))


def make_vectors(settings: Settings, serving: bool) -> QdrantIndex | QdrantOnDemand:
    """The Qdrant index. The query service imports the client at once, so that its first caller does not wait; other
    processes import it on first use."""
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    if serving:
        from sluice.adapters.qdrant.index import QdrantIndex

        with address("qdrant_url", "http://host:6333 or https://host:6333"):
            return QdrantIndex(settings.qdrant_url, key, settings.qdrant_grpc_port, **timeouts(settings, serving))
    from sluice.adapters.qdrant.on_demand import QdrantOnDemand

    return QdrantOnDemand(settings.qdrant_url, key, settings.qdrant_grpc_port, **timeouts(settings, serving))


def make_telemetry(settings: Settings) -> Statsd | None:
    """The telemetry of the query service; None where no StatsD server is named, or its name is not known."""
    if not settings.statsd_host:
        return None
    from sluice.adapters.statsd import connected

    return connected(settings.statsd_host, settings.statsd_port)


# Servers that differ only in these share cached answers. A setting that is not named here separates them: nobody has to
# remember that a new one may change answers.
NO_ANSWER_DEPENDS_ON = {
    "home",
    "pool_size",
    "connect_timeout_s",
    "statsd_host",
    "statsd_port",
    "models",
    "maven_mirror",
    "notify_url",
    "marquez_url",
    "marquez_web_url",
    "lineage_names",
    "lineage_days",
    "artefacts_uri",
    "artefacts_keep_days",
    "batch_size",
    "task_slots",
    "extract_workers",
}


def make_search_cache(settings: Settings) -> EncryptedCache | None:
    """The cache of searches in Redis; None where it is off, or Redis has no address."""
    url = settings.redis_url.get_secret_value()
    if settings.search_cache == "off" or not url:
        return None
    from sluice.adapters.redis_cache import RedisCache
    from sluice.retrieval.encrypted_cache import EncryptedCache

    secret = derived_key(parse_master_key(required(settings, "master_key")), "sluice search cache")
    setup = settings.model_dump_json(exclude=NO_ANSWER_DEPENDS_ON)  # secrets are masked
    with address("redis_url", "redis://host:6379/0, or rediss:// with TLS"):
        store = RedisCache(url, settings.search_cache_timeout_s)
    return EncryptedCache(store, secret, setup)


@contextmanager
def address(setting: str, form: str) -> Iterator[None]:
    """Raises BadRequest where the body, which builds a client of the address in `setting`, raises an error. `form`: how
    to write the address. The client's own message is not shown, because it may contain a password."""
    try:
        yield
    except BadRequest:
        raise
    except Exception:
        raise BadRequest(f"SLUICE_{setting.upper()} is no valid address. Write {form}.") from None


def required(settings: Settings, name: str) -> str:
    """Returns the text of a secret setting. Raises BadRequest where it is not set."""
    value = getattr(settings, name)
    text = value.get_secret_value() if value is not None else ""
    if not text:
        home = f" in SLUICE_HOME ({settings.home})" if "home" in settings.model_fields_set else ""
        raise BadRequest(
            f"SLUICE_{name.upper()} is not set, and no local stack was found{home}. Set it, or start the engines on "
            "this machine with `make up`; `sluice` finds them from their checkout, or if SLUICE_HOME is their data "
            "folder."
        )
    return str(text)


def make_extractor(settings: Settings) -> AbstractContextManager[Extractor]:
    """Returns the extractor with the limits of the settings; its subprocesses end with the context."""
    from sluice.parsing.extractor import IsolatedExtractor

    return IsolatedExtractor(
        workers=settings.extract_workers,
        timeout_s=settings.extract_timeout_s,
        memory_mb=settings.extract_memory_mb,
        max_text_chars=settings.max_text_chars,
        max_bytes=settings.max_document_bytes,
        ocr_languages=settings.ocr_languages if settings.ocr == "tesseract" else "",
    )


def make_embedder(name: str, settings: Settings, serving: bool) -> Embedder:
    """Returns the embedder of this name. Raises BadRequest for an unknown one."""
    from sluice.adapters.embedders import factory

    return factory.make_embedder(name, _endpoint(settings, serving), settings.models_folder)


def fetch_model(settings: Settings, name: str, jar: Path | None, on_start: Callable[[str], object]) -> bool | None:
    """Installs the model of this embedder (`adapters/embedders/models.py`). Returns whether it was installed now; None
    if the embedder needs no fetched model. Raises BadRequest, Terminal, Unavailable."""
    from sluice.adapters.embedders import models

    if name not in models.MODELS:
        return None
    return models.fetch(models.MODELS[name], settings.models_folder, settings.maven_mirror, jar, on_start)


def _endpoint(settings: Settings, serving: bool) -> Endpoint:
    """The embedding endpoint. For the query service it has a short timeout and no retries, because callers wait."""
    from sluice.adapters.embedders.openai import Endpoint

    key = settings.openai_api_key.get_secret_value()
    endpoint = Endpoint(settings.openai_base_url, key, settings.connect_timeout_s, settings.openai_timeout_s)
    return replace(endpoint, timeout_s=settings.query_timeout_s, attempts=1) if serving else endpoint


def make_reranker(settings: Settings) -> Reranker | None:
    """Returns the reranker; None where it is off. Raises BadRequest for a wrong setting."""
    if settings.reranker == "off":
        return None
    from sluice.adapters.rerankers import endpoint, factory

    key = settings.reranker_api_key.get_secret_value()
    return factory.make_reranker(
        settings.reranker, endpoint.Endpoint(settings.reranker_url, key, settings.connect_timeout_s)
    )


@lru_cache(maxsize=4)
def make_entities(name: str) -> EntityExtractor | None:
    """Returns the entity extractor of this name; None for `off`. Raises BadRequest for an unknown one."""
    from sluice.adapters.entities import factory

    return factory.make_entities(name)


@lru_cache(maxsize=1)
def make_tokenizer() -> Any:
    """Returns the tokenizer in whose tokens chunks are measured. It is loaded once."""
    from sluice.adapters.embedders.minilm import minilm_tokenizer

    return minilm_tokenizer()
