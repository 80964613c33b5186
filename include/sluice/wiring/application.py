"""The stores and the operations of one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sluice.encryption import parse_master_key
from sluice.model.costs import Budget
from sluice.model.gates import GateRule
from sluice.model.generation import Profile
from sluice.model.retention import KeepDays
from sluice.ports.catalog import Catalog
from sluice.ports.content import Blobs, Embedder, EntityExtractor, Keyring
from sluice.ports.ledger import Ledger
from sluice.ports.projections import GraphIndex, PassageLinks, VectorIndex
from sluice.ports.readers import Connections, OpenSource
from sluice.ports.telemetry import Telemetry
from sluice.ports.vector_cache import VectorCache
from sluice.settings import Settings
from sluice.wiring.clients import (
    address,
    make_embedder,
    make_entities,
    make_extractor,
    make_graph,
    make_search_cache,
    make_telemetry,
    make_tokenizer,
    make_vectors,
    optional_pings,
    required,
    timeouts,
)
from sluice.wiring.readers import environment_connection, git_cache, make_reader

if TYPE_CHECKING:
    from sluice.indexing.stores import Stores
    from sluice.maintenance.deletion import Deleting
    from sluice.maintenance.evaluation import Evaluating
    from sluice.maintenance.history import HistoryPruning
    from sluice.maintenance.purging import Purging
    from sluice.maintenance.reconciliation import Reconciling
    from sluice.maintenance.tuning import Tuning
    from sluice.pipeline.checkpoints import Checkpoints
    from sluice.pipeline.ingestion import Ingestion
    from sluice.pipeline.preview import DryRun
    from sluice.pipeline.quarantine import Quarantine
    from sluice.pipeline.recording import Recorder
    from sluice.pipeline.saved_sources import SavedSources
    from sluice.pipeline.scanning import Listing
    from sluice.pipeline.stages import Pipeline
    from sluice.pipeline.vanished_documents import VanishedDocuments
    from sluice.resilience.guard import Guard
    from sluice.retrieval.encrypted_cache import EncryptedCache
    from sluice.retrieval.feedback import FeedbackRecording
    from sluice.retrieval.golden import Golden
    from sluice.retrieval.observed_search import Search
    from sluice.retrieval.search_ports import SearchPorts


DatasetLink = Callable[[str, str], str | None]
"""(namespace, name) → address of the dataset's lineage in Marquez; None: no Marquez is configured."""


class Sluice:
    """What one process works with: the stores, built on construction (a client connects on its first use), and the
    operations (ingest, delete, search, …), each built on first use with what it needs.

    The command line, the API and Airflow call operations. No operation gets this object."""

    guards: Mapping[str, Guard] = MappingProxyType({})  # by dependency; only while serving
    telemetry: Telemetry | None = None  # only while serving
    search_cache: EncryptedCache | None = None  # only of the query service: a command reads the stores as they are

    def __init__(
        self, settings: Settings, root: Any = None, *, serving: bool = False, connections: Connections | None = None
    ) -> None:
        """Raises BadRequest for a missing or wrong setting.

        `root`: path-like folder of the artefacts (Airflow passes its ObjectStoragePath); default: from the settings.
        `serving`: for the query service; calls to stores end after `query_timeout_s`, because callers wait, and a guard
        limits what a dependency that fails costs them.
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
        telemetry = make_telemetry(settings) if serving else None
        self.telemetry: Telemetry | None = telemetry
        self.guards = _guards(settings, serving, telemetry)
        pooled = {"pool_size": settings.pool_size, **timeouts(settings, serving)}
        form = "postgresql+psycopg://user:password@host:5432/database"
        with address("database_url", form):
            ledger = make_engine(required(settings, "database_url"), **pooled)
        with address("keys_database_url", form):
            keys = make_engine(required(settings, "keys_database_url"), **pooled)
        self.ledger: Ledger = postgres_ledger(ledger)
        self.catalog: Catalog = PostgresCatalog(ledger)
        self.cache: VectorCache = PostgresVectorCache(ledger)
        self.keyring: Keyring = PostgresKeyring(keys, parse_master_key(required(settings, "master_key")))
        vectors, graph = make_vectors(settings, serving), make_graph(settings, serving)
        self.vectors: VectorIndex = vectors
        self.graph: GraphIndex | None = graph  # None: graph is off
        self.links: PassageLinks | None = graph
        self.blobs: Blobs = UPathBlobs(root if root is not None else settings.artefacts)
        connections, saved = connections or environment_connection, self.ledger.sources.saved
        self.reader: OpenSource = partial(make_reader, settings, connections, self.blobs, self.keyring, saved)
        self.embedder: Callable[[str], Embedder] = partial(make_embedder, settings=settings, serving=serving)
        self.entities: Callable[[str], EntityExtractor | None] = make_entities
        self.gate_rules = _gate_rules(settings)  # of all collections, by suite and code
        self._closing = [ledger.dispose, keys.dispose, vectors.close]
        self._closing += [each.close for each in (graph, telemetry) if each is not None]
        if serving:
            self.search_cache = make_search_cache(settings)
            self._guard_ports()
            _ = self.search  # built before the first callers come: several may come at once

    def _guard_ports(self) -> None:
        """Puts every port whose calls callers wait for behind the guard of its dependency."""
        from sluice.resilience.guarded import guarded
        from sluice.wiring import guards

        own = self.guards
        self.ledger = guards.guarded_ledger(self.ledger, own["ledger"])
        self.catalog = guarded(self.catalog, own["ledger"])
        self.keyring = guards.guarded_keyring(self.keyring, own["keys"])
        self.vectors = guarded(self.vectors, own["qdrant"], writes=guards.VECTOR_WRITES)
        if self.graph is not None:
            self.graph = guarded(self.graph, own["neo4j"], writes=guards.GRAPH_WRITES)
            self.links = guarded(self.links, own["neo4j"])
        self.embedder = guards.guarded_embedder(self.embedder, own[guards.EMBEDDING])
        self._closing += [guard.close for guard in own.values()]
        if self.search_cache is not None:
            self._closing.append(self.search_cache.store.close)
            self.search_cache = replace(self.search_cache, store=guarded(self.search_cache.store, own["redis"]))

    def warm_up(self) -> None:
        """Calls what the first searches need, so that they do not wait for it. Raises nothing."""
        from sluice.wiring import warming

        cache = self.search_cache
        steps: dict[str, Callable[[], object]] = {
            "ledger": self.catalog.ping,
            "keys": self.keyring.ping,
            "qdrant": self.vectors.ping,
        }
        if cache is not None:
            steps["redis"] = partial(cache.store.get, "sluice:warm-up")
        if self.graph is not None and self.links is not None:
            collections, sources = self.ledger.collections, self.ledger.sources
            steps["neo4j"] = partial(warming.follow_links, self.graph, self.links, collections, sources)
        steps["embedder"] = partial(warming.load_models, self.ledger.collections, self.embedder)
        warming.warm_up(steps)

    def close(self) -> None:
        """Closes every connection."""
        for close in self._closing:
            close()

    @cached_property
    def pings(self) -> dict[str, Callable[[], str]]:
        """Returns engine → call that returns its version or raises Unavailable, for the engines that are on."""
        pings = {"ledger": self.catalog.ping, "keys": self.keyring.ping, "qdrant": self.vectors.ping}
        return pings | ({"neo4j": self.graph.ping} if self.graph else {}) | optional_pings(self.settings)

    @cached_property
    def dataset_link(self) -> DatasetLink:
        from sluice.adapters.marquez import dataset_link

        return partial(dataset_link, self.settings.marquez_web_url, self.settings.marquez_url)

    def profile(self) -> Profile:
        """Returns the profile of a new collection. May ask an endpoint."""
        settings = self.settings
        entities = settings.entities if settings.graph == "on" else "off"
        return Profile(settings.chunker, settings.embedder, entities, self.embedder(settings.embedder).dim)

    # --- a run

    @cached_property
    def ingestion(self) -> Ingestion:
        from sluice.pipeline.ingestion import Ingestion

        ledger, vanished, batch_size = self.ledger, self._vanished_documents, self.settings.batch_size
        return Ingestion(ledger.runs, ledger.renames, self.pipeline, self.stores, self._recorder, vanished, batch_size)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        from sluice.pipeline.checkpoints import Checkpoints

        ledger, sizes = self.ledger, (self.settings.batch_size, self.settings.task_slots)
        return Checkpoints(ledger.runs, ledger.outbox, self.blobs, self.keyring, self.pipeline, *sizes)

    @cached_property
    def dry_run(self) -> DryRun:
        from sluice.pipeline.preview import DryRun

        scans, deletions, sources = self.ledger.scans, self.ledger.deletions, self.saved_sources
        budget, max_shrink = _budget(self.settings), self.settings.max_shrink
        return DryRun(scans, deletions, self.keyring, sources, self._listing, self.stores, budget, max_shrink)

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
        recorder, quarantine, vanished_documents = self._recorder, self._quarantine, self._vanished_documents
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
                vanished_documents=vanished_documents,
                budget=_budget(self.settings),
                max_shrink=self.settings.max_shrink,
            ),
            extraction=Extraction(
                versions=ledger.versions,
                costs=ledger.costs,
                quotas=ledger.quotas,
                keyring=keyring,
                extractor=partial(make_extractor, self.settings),
                recorder=recorder,
                quarantine=quarantine,
                renames=RenameMatching(ledger.renames, ledger.deletions, keyring),
                vanished_documents=vanished_documents,
            ),
            validation=Validation(ledger.quality, keyring, recorder, gating),
            chunking=Chunking(keyring, self.entities, entity_id, make_tokenizer, recorder, gating),
            embedding=Embedding(ledger.costs, self.cache, keyring, self.embedder, recorder, gating),
            loading=Loading(ledger.versions, keyring, stores, recorder, quarantine, vanished_documents),
            finishing=Finishing(
                runs=ledger.runs,
                versions=ledger.versions,
                renames=ledger.renames,
                collections=ledger.collections,
                records=ledger.quarantine,
                costs=ledger.costs,
                stores=stores,
                recorder=recorder,
                quarantine=quarantine,
                vanished_documents=vanished_documents,
            ),
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
    def _vanished_documents(self) -> VanishedDocuments:
        from sluice.pipeline.vanished_documents import VanishedDocuments

        ledger, has_graph = self.ledger, self.graph is not None
        max_shrink = self.settings.max_shrink
        return VanishedDocuments(ledger.renames, ledger.runs, ledger.versions, ledger.outbox, has_graph, max_shrink)

    # --- maintenance

    @cached_property
    def deletion(self) -> Deleting:
        from sluice.maintenance.deletion import Deleting

        ledger = self.ledger
        return Deleting(
            deletions=ledger.deletions,
            sources=ledger.sources,
            runs=ledger.runs,
            collections=ledger.collections,
            pruning=ledger.pruning,
            blobs=self.blobs,
            keyring=self.keyring,
            stores=self.stores,
            recorder=self._recorder,
            quarantine=self._quarantine,
            golden=self.golden,
        )

    @cached_property
    def purging(self) -> Purging:
        from sluice.maintenance.purging import Purging

        ledger, stores = self.ledger, self.stores
        return Purging(ledger.runs, ledger.collections, ledger.retention, stores, self._recorder, self._quarantine)

    @cached_property
    def pruning(self) -> HistoryPruning:
        from sluice.maintenance.history import HistoryPruning

        settings, ledger = self.settings, self.ledger
        keep_days = KeepDays(
            versions=settings.versions_keep_days,
            embeddings=settings.embeddings_keep_days,
            keys=settings.keys_keep_days,
            runs=settings.runs_keep_days,
            quarantine=settings.quarantine_keep_days,
            mirrors=settings.git_keep_days,
            lineage=settings.lineage_days,
            evaluations=settings.evaluations_keep_days,
            feedback=settings.feedback_keep_days,
        )
        artefacts, mirrors = settings.artefacts_keep_days, git_cache(settings)
        return HistoryPruning(ledger.pruning, ledger.retention, self.keyring, keep_days, artefacts, mirrors)

    @cached_property
    def reconciliation(self) -> Reconciling:
        from sluice.maintenance.objects import ObjectComparison
        from sluice.maintenance.rebuilding import Rebuilder
        from sluice.maintenance.reconciliation import Reconciling

        ledger, keyring, keep_days = self.ledger, self.keyring, self.settings.artefacts_keep_days
        objects = ObjectComparison(ledger.reconciliation, self.blobs, keyring, keep_days)
        rebuilder = partial(
            Rebuilder, keyring=keyring, cache=self.cache, embedder=self.embedder, tokenizer=make_tokenizer
        )
        return Reconciling(
            collections=ledger.collections,
            reconciliation=ledger.reconciliation,
            full_text=ledger.full_text,
            outbox=ledger.outbox,
            stores=self.stores,
            objects=objects,
            rebuilder=rebuilder,
        )

    # --- evaluation

    @cached_property
    def golden(self) -> Golden:
        from sluice.retrieval.golden import Golden

        return Golden(self.ledger.golden, self.keyring)

    @cached_property
    def evaluation(self) -> Evaluating:
        from sluice.maintenance.evaluation import Evaluating

        ledger = self.ledger
        parts = (ledger.collections, self.golden, ledger.evaluations, ledger.quality)
        return Evaluating(*parts, self.search, self.gate_rules)

    @cached_property
    def tuning(self) -> Tuning:
        from sluice.maintenance.tuning import Tuning
        from sluice.retrieval.judged_candidates import judged_candidates

        judge = partial(judged_candidates, self._search_ports)
        return Tuning(self.catalog, self.golden, self.ledger.evaluations, judge)

    @cached_property
    def feedback(self) -> FeedbackRecording:
        from sluice.retrieval.feedback import FeedbackRecording, FeedbackRules

        rules = FeedbackRules(self.settings.feedback_callers, self.settings.feedback_per_hour)
        return FeedbackRecording(self.catalog, self.ledger.feedback, self.golden, rules)

    # --- search

    @cached_property
    def search(self) -> Search:
        from sluice.wiring.searching import make_search

        return make_search(self.settings, self._search_ports, self.search_cache, self.guards, self.telemetry)

    @cached_property
    def _search_ports(self) -> SearchPorts:
        """The dependencies of searches. They cache the vectors of recent questions for the life of the process."""
        from sluice.embedding.bm25 import sparse_query, term_sequence
        from sluice.retrieval.query_vectors import QueryVectors
        from sluice.retrieval.search_ports import SearchPorts
        from sluice.wiring.searching import make_graph_retriever, make_reranking

        return SearchPorts(
            catalog=self.catalog,
            keyring=self.keyring,
            vectors=self.vectors,
            embed_query=QueryVectors(self.embedder, shared=self.search_cache, ttl_s=self.settings.search_cache_ttl_s),
            sparse_query=sparse_query,
            term_sequence=term_sequence,
            graph=make_graph_retriever(self.links),
            full_text=self.ledger.full_text,
            reranking=make_reranking(self.settings, self.guards),
        )


def _guards(settings: Settings, serving: bool, telemetry: Telemetry | None) -> dict[str, Guard]:
    if not serving:
        return {}
    from sluice.wiring.guards import make_guards

    return make_guards(settings, telemetry)


def _gate_rules(settings: Settings) -> dict[tuple[str, str], GateRule]:
    if not settings.gate_actions:
        return {}
    from sluice.quality.gate_rules import parse_actions

    return parse_actions(settings.gate_actions)


def _budget(settings: Settings) -> Budget:
    """The default budget of a run."""
    return Budget(settings.max_tokens_per_run or None, settings.embedding_price or None)
