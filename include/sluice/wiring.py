"""Builds all clients and gives each verb what it needs. No other module builds clients."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sluice.access.borrowing import borrowable
from sluice.access.connections import allowed_connections
from sluice.access.source_rules import parse_rules
from sluice.encryption import parse_master_key
from sluice.errors import BadRequest
from sluice.model.costs import Budget
from sluice.model.gates import GateRule
from sluice.model.generation import Profile
from sluice.model.grants import Principal
from sluice.model.retention import KeepDays
from sluice.model.search import SearchRequest
from sluice.model.source import SavedSource, SourceSpec
from sluice.ports.catalog import Catalog
from sluice.ports.content import Blobs, Embedder, EntityExtractor, Extractor, Keyring
from sluice.ports.ledger import Ledger
from sluice.ports.projections import GraphIndex, VectorIndex
from sluice.ports.readers import Connection, Connections, OpenSource, SourceReader
from sluice.ports.vector_cache import VectorCache
from sluice.settings import Settings, connection_uri

if TYPE_CHECKING:
    from sluice.adapters.embedders.openai import Endpoint
    from sluice.adapters.neo4j.graph import Neo4jGraph
    from sluice.adapters.postgres.lineage import PostgresLineage
    from sluice.adapters.qdrant.index import QdrantIndex
    from sluice.adapters.qdrant.on_demand import QdrantOnDemand
    from sluice.indexing.stores import Stores
    from sluice.maintenance.deletion import Deleting
    from sluice.maintenance.pruning import HistoryPruning
    from sluice.maintenance.purging import Purging
    from sluice.maintenance.reconciliation import Reconciling
    from sluice.pipeline.checkpoints import Checkpoints
    from sluice.pipeline.ingestion import Ingestion
    from sluice.pipeline.preview import DryRun
    from sluice.pipeline.quarantine import Quarantine
    from sluice.pipeline.recording import Recorder
    from sluice.pipeline.removed_documents import Removals
    from sluice.pipeline.saved_sources import SavedSources
    from sluice.pipeline.scanning import Listing
    from sluice.pipeline.stages import Pipeline
    from sluice.retrieval.searching import SearchOutcome


class Sluice:
    """What one process works with: the stores, built at once (a client connects on its first use), and the verbs,
    each built on first use with what it needs. The ways in take a verb from here; no verb gets this object."""

    def __init__(
        self, settings: Settings, root: Any = None, *, serving: bool = False, connections: Connections | None = None
    ) -> None:
        """Raises BadRequest for a missing or wrong setting.

        `root`: path-like folder of the artefacts (Airflow passes its ObjectStoragePath); default: from the settings.
        `serving`: for the query service; calls to stores end after `query_timeout_s`, because callers wait.
        `connections`: connections of sources (Airflow passes its own); default: `SLUICE_CONNECTION_<ID>`."""
        from sluice.adapters.objects import UPathBlobs
        from sluice.adapters.postgres.catalog import PostgresCatalog
        from sluice.adapters.postgres.engine import make_engine
        from sluice.adapters.postgres.keyring import PostgresKeyring
        from sluice.adapters.postgres.ledger import postgres_ledger
        from sluice.adapters.postgres.vector_cache import PostgresVectorCache
        from sluice.parsing.isolation.limits import close_proc

        close_proc()  # parsers run as the same user and must not read this process's memory, which holds secrets
        self.settings = settings
        pooled = {"pool_size": settings.pool_size, **_timeouts(settings, serving)}
        ledger = make_engine(_required(settings, "database_url"), **pooled)
        keys = make_engine(_required(settings, "keys_database_url"), **pooled)
        self.ledger: Ledger = postgres_ledger(ledger)
        self.catalog: Catalog = PostgresCatalog(ledger)
        self.cache: VectorCache = PostgresVectorCache(ledger)
        self.keyring: Keyring = PostgresKeyring(keys, parse_master_key(_required(settings, "master_key")))
        vectors, graph = _vectors(settings, serving), _graph(settings, serving)
        self.vectors: VectorIndex = vectors
        self.graph: GraphIndex | None = graph  # None: graph is off
        self.blobs: Blobs = UPathBlobs(root if root is not None else settings.artefacts)
        self.reader: OpenSource = partial(
            _reader,
            settings,
            connections or environment_connection,
            self.blobs,
            self.keyring,
            self.ledger.sources.saved,
        )
        self.embedder: Callable[[str], Embedder] = partial(_embedder, settings=settings, serving=serving)
        self.entities: Callable[[str], EntityExtractor | None] = _entities
        self.gate_rules = _gate_rules(settings)  # of all collections, by suite and code
        self._closing = [ledger.dispose, keys.dispose, vectors.close, *([graph.close] if graph else [])]

    def close(self) -> None:
        """Closes every connection."""
        for close in self._closing:
            close()

    @cached_property
    def pings(self) -> dict[str, Callable[[], str]]:
        """Returns engine → call that returns its version or raises Unavailable, for the engines that are on."""
        pings = {"ledger": self.catalog.ping, "keys": self.keyring.ping, "qdrant": self.vectors.ping}
        return pings | ({"neo4j": self.graph.ping} if self.graph else {}) | _optional_pings(self.settings)

    def profile(self) -> Profile:
        """Returns the profile of a new collection. May ask an endpoint."""
        settings = self.settings
        entities = settings.entities if settings.graph == "on" else "off"
        return Profile(settings.chunker, settings.embedder, entities, self.embedder(settings.embedder).dim)

    # --- a run

    @cached_property
    def ingestion(self) -> Ingestion:
        from sluice.pipeline.ingestion import Ingestion

        return Ingestion(
            runs=self.ledger.runs,
            renames=self.ledger.renames,
            pipeline=self.pipeline,
            stores=self.stores,
            recorder=self._recorder,
            removals=self._removals,
            batch_size=self.settings.batch_size,
        )

    @cached_property
    def checkpoints(self) -> Checkpoints:
        from sluice.pipeline.checkpoints import Checkpoints

        return Checkpoints(
            runs=self.ledger.runs,
            outbox=self.ledger.outbox,
            blobs=self.blobs,
            keyring=self.keyring,
            pipeline=self.pipeline,
            batch_size=self.settings.batch_size,
            task_slots=self.settings.task_slots,
        )

    @cached_property
    def dry_run(self) -> DryRun:
        from sluice.pipeline.preview import DryRun

        return DryRun(
            scans=self.ledger.scans,
            deletions=self.ledger.deletions,
            keyring=self.keyring,
            saved_sources=self.saved_sources,
            listing=self._listing,
            stores=self.stores,
            budget=_budget(self.settings),
            max_shrink=self.settings.max_shrink,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        from sluice.adapters.entities.naming import entity_id
        from sluice.pipeline.chunking import Chunking
        from sluice.pipeline.embedding import Embedding
        from sluice.pipeline.extraction import Extraction
        from sluice.pipeline.finishing import Finishing
        from sluice.pipeline.gating import Gating
        from sluice.pipeline.loading import Loading
        from sluice.pipeline.planning import Planning
        from sluice.pipeline.renames import RenameMatching
        from sluice.pipeline.stages import Pipeline
        from sluice.pipeline.validation import Validation

        ledger, keyring, stores = self.ledger, self.keyring, self.stores
        recorder, quarantine, removals = self._recorder, self._quarantine, self._removals
        gating = Gating(ledger.quality, quarantine, self.gate_rules)
        return Pipeline(
            planning=Planning(
                runs=ledger.runs,
                scans=ledger.scans,
                records=ledger.quarantine,
                keyring=keyring,
                saved_sources=self.saved_sources,
                listing=self._listing,
                stores=stores,
                recorder=recorder,
                removals=removals,
                budget=_budget(self.settings),
                max_shrink=self.settings.max_shrink,
            ),
            extraction=Extraction(
                versions=ledger.versions,
                costs=ledger.costs,
                quotas=ledger.quotas,
                keyring=keyring,
                extractor=partial(_extractor, self.settings),
                recorder=recorder,
                quarantine=quarantine,
                renames=RenameMatching(ledger.renames, ledger.deletions, keyring),
                removals=removals,
            ),
            validation=Validation(ledger.quality, keyring, recorder, gating, quarantine),
            chunking=Chunking(keyring, self.entities, entity_id, _tokenizer, recorder, gating, quarantine),
            embedding=Embedding(ledger.costs, self.cache, keyring, self.embedder, recorder, gating, quarantine),
            loading=Loading(ledger.versions, keyring, stores, recorder, quarantine, removals),
            finishing=Finishing(ledger, stores, recorder, quarantine, removals),
        )

    @cached_property
    def stores(self) -> Stores:
        from sluice.indexing.stores import Stores

        return Stores(self.ledger.outbox, self.vectors, self.graph)

    @cached_property
    def saved_sources(self) -> SavedSources:
        from sluice.pipeline.saved_sources import SavedSources

        ledger, fields = self.ledger, self.settings.declared_fields
        return SavedSources(ledger.sources, ledger.collections, self.reader, self.profile, fields)

    @cached_property
    def _listing(self) -> Listing:
        from sluice.pipeline.scanning import Listing

        return Listing(self.keyring, self.settings.max_source_documents)

    @cached_property
    def _recorder(self) -> Recorder:
        from sluice.pipeline.recording import Recorder

        return Recorder(self.ledger.runs, self.settings.lease_s)

    @cached_property
    def _quarantine(self) -> Quarantine:
        from sluice.pipeline.quarantine import Quarantine

        ledger = self.ledger
        return Quarantine(ledger.runs, ledger.versions, ledger.quarantine, self.blobs, self.keyring, self.reader)

    @cached_property
    def _removals(self) -> Removals:
        from sluice.pipeline.removed_documents import Removals

        ledger, has_graph = self.ledger, self.graph is not None
        max_shrink = self.settings.max_shrink
        return Removals(ledger.renames, ledger.runs, ledger.versions, ledger.outbox, has_graph, max_shrink)

    # --- maintenance

    @cached_property
    def deletion(self) -> Deleting:
        from sluice.maintenance.deletion import Deleting

        return Deleting(self.ledger, self.blobs, self.keyring, self.stores, self._recorder, self._quarantine)

    @cached_property
    def purging(self) -> Purging:
        from sluice.maintenance.purging import Purging

        ledger, stores = self.ledger, self.stores
        return Purging(ledger.runs, ledger.collections, ledger.retention, stores, self._recorder, self._quarantine)

    @cached_property
    def pruning(self) -> HistoryPruning:
        from sluice.maintenance.pruning import HistoryPruning

        settings, ledger = self.settings, self.ledger
        keep_days = KeepDays(
            versions=settings.versions_keep_days,
            embeddings=settings.embeddings_keep_days,
            keys=settings.keys_keep_days,
            runs=settings.runs_keep_days,
            quarantine=settings.quarantine_keep_days,
            mirrors=settings.git_keep_days,
            lineage=settings.lineage_days,
        )
        artefacts, mirrors = settings.artefacts_keep_days, _git_cache(settings)
        return HistoryPruning(ledger.pruning, ledger.retention, self.keyring, keep_days, artefacts, mirrors)

    @cached_property
    def reconciliation(self) -> Reconciling:
        from sluice.maintenance.objects import ObjectComparison
        from sluice.maintenance.rebuilding import Rebuilder
        from sluice.maintenance.reconciliation import Reconciling

        ledger, keep_days = self.ledger, self.settings.artefacts_keep_days
        return Reconciling(
            collections=ledger.collections,
            reconciliation=ledger.reconciliation,
            outbox=ledger.outbox,
            stores=self.stores,
            objects=ObjectComparison(ledger.reconciliation, self.blobs, self.keyring, keep_days),
            rebuilder=partial(
                Rebuilder, keyring=self.keyring, cache=self.cache, embedder=self.embedder, tokenizer=_tokenizer
            ),
        )

    # --- search

    @cached_property
    def search(self) -> Callable[[SearchRequest, Principal], SearchOutcome]:
        """The search function. It caches the vectors of recent questions for the life of the process."""
        from sluice.embedding.bm25 import sparse_query
        from sluice.retrieval.searching import QueryVectors, SearchPorts, search

        vectors = QueryVectors(self.embedder)
        return partial(search, SearchPorts(self.catalog, self.keyring, self.vectors, vectors, sparse_query))


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
    engine = make_engine(
        keys_url,
        pool_size=1,
        connect_timeout_s=settings.connect_timeout_s,
        call_timeout_s=settings.call_timeout_s,
    )
    try:
        keyring = PostgresKeyring(engine, parse_master_key(settings.master_key.get_secret_value()))
        return key_fingerprints(owner_url, keyring.index_key)
    finally:
        engine.dispose()


def _optional_pings(settings: Settings) -> dict[str, Callable[[], str]]:
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

    url = _required(settings, "database_url")
    limits = {"connect_timeout_s": settings.connect_timeout_s, "call_timeout_s": timeout_s}
    return PostgresLineage(make_engine(url, pool_size=2, **limits, name="sluice-lineage"))


def lineage_key(settings: Settings) -> bytes:
    """The key that masks names in lineage. It is derived from the master key, so all processes have the same one."""
    master = parse_master_key(_required(settings, "master_key"))
    return hmac.digest(master, b"sluice lineage names", "sha256")


def airflow_knows(user: str) -> bool | None:
    """Returns whether Airflow's database has this user. None: unknown, because the address of the database is not set,
    it does not exist yet, or another auth manager keeps the users."""
    from sluice.adapters.postgres.airflow_users import has_user

    names = ("SLUICE_AIRFLOW_DATABASE_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    url = next((value for name in names if (value := os.environ.get(name))), "")
    return has_user(url, user) if url.startswith("postgres") else None


def _timeouts(settings: Settings, serving: bool) -> dict[str, Any]:
    call_timeout_s = settings.query_timeout_s if serving else settings.call_timeout_s
    return {"connect_timeout_s": settings.connect_timeout_s, "call_timeout_s": call_timeout_s}


def _graph(settings: Settings, serving: bool) -> Neo4jGraph | None:
    if settings.graph != "on":
        return None
    from sluice.adapters.neo4j.graph import Neo4jGraph

    password = settings.neo4j_password.get_secret_value()
    return Neo4jGraph(settings.neo4j_uri, settings.neo4j_user, password, **_timeouts(settings, serving))


def _vectors(settings: Settings, serving: bool) -> QdrantIndex | QdrantOnDemand:
    """The Qdrant index. The query service imports the client at once, so that its first caller does not wait; other
    processes import it on first use."""
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    if serving:
        from sluice.adapters.qdrant.index import QdrantIndex

        return QdrantIndex(settings.qdrant_url, key, settings.qdrant_grpc_port, **_timeouts(settings, serving))
    from sluice.adapters.qdrant.on_demand import QdrantOnDemand

    return QdrantOnDemand(settings.qdrant_url, key, settings.qdrant_grpc_port, **_timeouts(settings, serving))


def _required(settings: Settings, name: str) -> str:
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


def _gate_rules(settings: Settings) -> dict[tuple[str, str], GateRule]:
    if not settings.gate_actions:
        return {}
    from sluice.quality.gate_rules import parse_actions

    return parse_actions(settings.gate_actions)


def _extractor(settings: Settings) -> AbstractContextManager[Extractor]:
    from sluice.parsing.extractor import IsolatedExtractor

    return IsolatedExtractor(
        workers=settings.extract_workers,
        timeout_s=settings.extract_timeout_s,
        memory_mb=settings.extract_memory_mb,
        max_text_chars=settings.max_text_chars,
        max_bytes=settings.max_document_bytes,
        ocr_languages=settings.ocr_languages if settings.ocr == "tesseract" else "",
    )


def _reader(
    settings: Settings,
    connections: Connections,
    blobs: Blobs,
    keyring: Keyring,
    saved_sources: Callable[[str], Sequence[SavedSource]],
    spec: SourceSpec,
    since: str | None = None,
    *,
    dry: bool = False,
) -> SourceReader:
    from sluice.adapters.postgres.source_rows import PostgresRows
    from sluice.sources.context import HttpPolicy, SourceContext
    from sluice.sources.readers import reader_for
    from sluice.sources.restricted import Restricted

    rules = parse_rules(settings.source_rules)
    rules.check(spec)
    context = SourceContext(
        max_bytes=settings.max_document_bytes,
        roots=rules.roots(spec, settings.roots),
        connections=allowed_connections(connections, spec),
        s3_default_credentials=settings.s3_default_credentials,
        admits=rules.admitting(spec),
        connect_timeout_s=settings.connect_timeout_s,
        call_timeout_s=settings.call_timeout_s,
        fetch_timeout_s=settings.fetch_timeout_s,
        web=HttpPolicy(
            hosts=settings.names(settings.http_hosts),
            trusted_hosts=settings.names(settings.http_trusted_hosts),
            delay_s=settings.http_delay_s,
            pace_folder=settings.home.absolute() / "pace",
        ),
        rows=partial(PostgresRows, connect_timeout_s=settings.connect_timeout_s, silence_s=settings.call_timeout_s),
        blobs=blobs,
        keyring=keyring,
        git_cache=_git_cache(settings),
        borrows=borrowable(spec, saved_sources, settings.roots),
        since=since,
        dry=dry,
    )
    reader = reader_for(spec, context)
    return reader if context.admits is None else Restricted(reader, context.admits)


def _budget(settings: Settings) -> Budget:
    """The default budget of a run."""
    return Budget(settings.max_tokens_per_run or None, settings.embedding_price or None)


def _git_cache(settings: Settings) -> Path:
    return settings.home.absolute() / "git"


def environment_connection(conn_id: str) -> Connection:
    """The connection in `SLUICE_CONNECTION_<ID>`, a URI in Airflow's form:
    `<kind>://login:password@host:port/schema?name=value`, each part percent-encoded. Extras are the query, or JSON in
    `__extra__`. Raises BadRequest."""
    uri = connection_uri(conn_id)
    if uri is None:
        raise BadRequest(
            f"There is no connection {conn_id!r}. Nothing was read. Under Airflow, add it (Admin, Connections); "
            "elsewhere set SLUICE_CONNECTION_<ID> to its URI, with the id in capitals."
        )
    try:
        return _parsed_connection(uri.get_secret_value())
    except ValueError:  # its message would repeat parts of the secret
        raise BadRequest(
            f"The URI of connection {conn_id!r} is not valid. Write <kind>://login:password@host:port/schema, "
            "each part percent-encoded."
        ) from None


def _parsed_connection(uri: str) -> Connection:
    """The connection in a URI. Raises ValueError."""
    parts = urlsplit(uri)
    extra: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    json_extra = json.loads(extra.pop("__extra__", "{}"))
    if "://" not in uri or not parts.scheme or parts.fragment or not isinstance(json_extra, dict):
        raise ValueError("not a connection's URI")
    return Connection(
        host=unquote(parts.hostname or ""),
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=unquote(parts.path.removeprefix("/")),
        extra={**extra, **json_extra},
    )


def _embedder(name: str, settings: Settings, serving: bool) -> Embedder:
    from sluice.adapters.embedders.factory import make_embedder

    return make_embedder(name, _endpoint(settings, serving))


def _endpoint(settings: Settings, serving: bool) -> Endpoint:
    """The embedding endpoint. For the query service it has a short timeout and no retries, because callers wait."""
    from sluice.adapters.embedders.openai import Endpoint

    endpoint = Endpoint(
        settings.openai_base_url,
        settings.openai_api_key.get_secret_value(),
        settings.connect_timeout_s,
        settings.openai_timeout_s,
    )
    return replace(endpoint, timeout_s=settings.query_timeout_s, attempts=1) if serving else endpoint


@lru_cache(maxsize=4)
def _entities(name: str) -> EntityExtractor | None:
    from sluice.adapters.entities.factory import make_entities

    return make_entities(name)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from sluice.adapters.embedders.minilm import minilm_tokenizer

    return minilm_tokenizer()
