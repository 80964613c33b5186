"""Every index is there for a query, and every hot query uses its index, shown by the plans of the real statements."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, TextClause, text

from sluice.adapters.postgres import (
    catalog,
    collections,
    deletions,
    entities,
    evaluations,
    feedback,
    full_text,
    golden,
    grants,
    lineage,
    outbox,
    passage_lineage,
    pending_versions,
    pruning,
    quality,
    quarantine,
    quotas,
    reconciliation,
    retention,
    runs,
    scans,
    vector_cache,
    versions,
)
from sluice.adapters.postgres.migrations import migrate
from support.engines import EngineStack
from support.ledger_rows import EVENTS_OF_DATASET, EVENTS_OF_RUN, engine_of
from support.scratch_databases import libpq, scratch_databases

DOCUMENTS = 20_000
COLLECTIONS = 20

_ROWS = f"""
    INSERT INTO tenants SELECT 't' || i FROM generate_series(0, 9) i;
    INSERT INTO collections (collection_id, name, live_generation, filter_fields)
        SELECT md5('c' || i)::uuid, 'c' || i, 1, '{{}}' FROM generate_series(0, {COLLECTIONS - 1}) i;
    INSERT INTO generations SELECT collection_id, 1, 'x', 'e', 'off', 8, name || '__g1', 'live' FROM collections;
    INSERT INTO sources (source_id, tenant_id, collection_id, uri)
        SELECT md5('s' || i)::uuid, 't' || i % 10, md5('c' || i % {COLLECTIONS})::uuid, 'u' || i
        FROM generate_series(0, 199) i;
    INSERT INTO runs (run_id, source_id, collection_id, generation, mode)
        SELECT md5('r0')::uuid, source_id, collection_id, 1, 'full' FROM sources LIMIT 1;
    INSERT INTO grants SELECT 'p' || i, 't' || i % 10 FROM generate_series(0, 999) i;
    INSERT INTO documents (document_id, tenant_id, source_id, collection_id, external_id, uri, fingerprint,
                           access_groups)
        SELECT md5('d' || i)::uuid, tenant_id, source_id, collection_id, 'd' || i, 'u', 'f',
               CASE WHEN i % 500 = 0 THEN '{{staff}}'::text[] END
        FROM generate_series(0, {DOCUMENTS - 1}) i JOIN sources ON source_id = md5('s' || i % 200)::uuid;
    INSERT INTO versions (version_id, document_id, collection_id, generation, number, state, raw_hash, mime, size_bytes,
                          fingerprint, sealed_title, sealed_text, sealed_metadata, run_id, activated_at)
        SELECT md5(document_id::text || n)::uuid, document_id, collection_id, 1, n,
               CASE n WHEN 3 THEN 'active' ELSE 'superseded' END,
               '', 'm', 1, 'f', '', convert_to(repeat('x', 500), 'UTF8'), '', md5('r0')::uuid, now()
        FROM documents, generate_series(1, 3) n;
    INSERT INTO runs (run_id, source_id, collection_id, generation, mode, started_at, scanned_at, state, finished_at)
        SELECT md5('r' || source_id || i)::uuid, source_id, collection_id, 1, 'full', now() - make_interval(days => i),
               now(), 'succeeded', now()
        FROM sources, generate_series(1, 50) i;
    INSERT INTO versions (version_id, document_id, collection_id, generation, state, raw_hash, mime, size_bytes,
                          fingerprint, sealed_title, sealed_text, sealed_metadata, run_id)
        SELECT md5(document_id::text || 'p')::uuid, document_id, d.collection_id, 1, 'pending', '', 'm', 1, 'f', '',
               '', '', md5('r' || d.source_id || 1)::uuid
        FROM documents d WHERE external_id ~ '[05]0$';
    INSERT INTO documents (tenant_id, source_id, collection_id, external_id, uri, deleted_at, deleted_by)
        SELECT tenant_id, source_id, collection_id, 'gone', 'u', now(), md5('r' || source_id || i)::uuid
        FROM sources, generate_series(1, 50) i;
    INSERT INTO chunks SELECT version_id, o, md5(version_id::text || o)::uuid, document_id, collection_id, 1, o, o + 1,
                              NULL, decode(repeat('00', 20), 'hex'), convert_to(repeat('x', 300), 'UTF8'), '', ''
        FROM versions, generate_series(0, 2) o WHERE state = 'active';
    UPDATE documents SET served_since = now(), expires_at = now() - interval '1 day' WHERE external_id ~ '00$';
    INSERT INTO purged_documents SELECT md5('r0')::uuid, document_id, now(), 1 FROM documents;
    INSERT INTO entities SELECT md5('e' || i)::uuid, 't0', 'ORG' FROM generate_series(0, 999) i;
    INSERT INTO mentions SELECT version_id, ordinal, md5('e' || (random() * 999)::int)::uuid, 1, false FROM chunks;
    INSERT INTO chunk_terms SELECT version_id, ordinal, chunk_id, collection_id, generation, md5('s1')::uuid,
                                   ARRAY[ordinal, abs(hashtext(chunk_id::text)) % 9000], '{{1,1}}' FROM chunks;
    INSERT INTO relations SELECT version_id, ordinal, entity_id, 'located_in', md5('e')::uuid FROM mentions;
    INSERT INTO embeddings SELECT 'e' || i % 3, decode(md5(i::text), 'hex') || '\\x00000000', 2, '\\x0000000000000000'
        FROM generate_series(0, 29999) i;
    INSERT INTO quarantine (document_id, source_id, tenant_id, run_id, stage, code, reason, fingerprint, resolved_at,
                            kept_bytes)
        SELECT document_id, source_id, tenant_id, md5('r0')::uuid, 's', 'c', 'r', 'f', CASE WHEN n > 1 THEN now() END,
               CASE WHEN n = 1 OR n = 2 AND external_id ~ '00$' THEN 9 END
        FROM documents, generate_series(1, 4) n WHERE external_id ~ '[05]$';
    INSERT INTO run_stages SELECT md5('r0')::uuid, i, 's' || i % 7, 1, '{{}}' FROM generate_series(0, 4999) i;
    INSERT INTO gate_results SELECT md5('r0')::uuid, i / 10, 's', i % 10, 's', 'e', NULL, true, true, 1, 0
        FROM generate_series(0, 9999) i;
    INSERT INTO gate_overrides (collection_id, suite, code)
        SELECT collection_id, 's', 'c' || i FROM collections, generate_series(0, 99) i;
    INSERT INTO gate_rows SELECT md5('r0')::uuid, i / 10, 's', i % 10, md5('d' || i)::uuid, NULL, 's', 'c', 'e'
        FROM generate_series(0, 9999) i;
    INSERT INTO signatures SELECT document_id, md5('r0')::uuid, decode(repeat('00', 256), 'hex'),
                                  ARRAY(SELECT hashtextextended(document_id::text, n) FROM generate_series(0, 15) n)
        FROM documents WHERE external_id <> 'gone';
    INSERT INTO lineage_events (sluice_run_id, job_namespace, job_name, event_type, event_time, inputs, outputs, body,
                                sent_at)
        SELECT CASE WHEN i % 5 = 0 THEN md5('r' || i / 50)::uuid END, 'n', 'j', 'COMPLETE', now(),
               ARRAY['file:/f' || i % 500], ARRAY['db:t' || i % 400], '{{}}', CASE WHEN i < 19900 THEN now() END
        FROM generate_series(0, 19999) i;
    INSERT INTO outbox (collection_id, generation, document_id, chunk_ids, document_gone)
        SELECT collection_id, 1, document_id, ARRAY[document_id], false FROM documents;
    INSERT INTO golden_sets (golden_set_id, tenant_id, collection_id, name)
        SELECT md5('g' || i || collection_id)::uuid, 't3', collection_id, 'g' || i
        FROM collections, generate_series(0, 4) i;
    INSERT INTO questions (question_id, tenant_id, collection_id, sealed_text)
        SELECT document_id, tenant_id, collection_id, '' FROM documents;
    INSERT INTO golden_queries (golden_set_id, question_id, collection_id, sealed_name, origin)
        SELECT md5('g' || (hashtext(external_id) & 3) || collection_id)::uuid, document_id, collection_id, '', 'import'
        FROM documents;
    INSERT INTO golden_judgements (golden_set_id, question_id, collection_id, external_id, document_id, gain)
        SELECT golden_set_id, question_id, collection_id, 'd', question_id, 1 FROM golden_queries;
    INSERT INTO feedback (question_id, tenant_id, collection_id, document_id, gain, caller_hash)
        SELECT document_id, tenant_id, collection_id, document_id, 1, substr(sha256(external_id::bytea), 1, 20)
        FROM documents;
    INSERT INTO evaluations (tenant_id, collection_id, golden_set, golden_version, generation, chunker, embedder,
                             entities, dim, queries, top_k, seconds, hashes)
        SELECT 't' || i % 10, collection_id, 'g' || i % 4, 'v', 1, 'x', 'e', 'off', 8, 1, 30, 1,
               decode(repeat('00', 16), 'hex')
        FROM collections, generate_series(0, 399) i;
    INSERT INTO evaluation_scores SELECT evaluation_id, r, collection_id, '{{}}', '{{}}', 1, 1, ''
        FROM evaluations, unnest(ARRAY['fused', 'dense', 'sparse']) r;
"""
_COLLECTION = "(SELECT collection_id FROM collections WHERE name = 'c3')"
_VALUES: dict[str, object] = {
    "tenant": "t3",
    "generation": 1,
    "replay": False,
    "before": datetime(2020, 1, 1, tzinfo=UTC),
    "full": False,
    "groups": ["staff"],
    "all_groups": False,
    "limit": 50,
    "batch": 3,
    "bands": list(range(3200)),
    "after": None,
    "started_at": datetime(2026, 1, 1, tzinfo=UTC),
    "as_of": datetime(2090, 1, 1, tzinfo=UTC),
    "since": None,
    "collection": None,
    # of a full text search with a rare and a common term
    **{"sources": [uuid4()], "rare": [4711], "common": [1], "together": [1, 2], "most": 2000, "chunks": 9000.0},
    **{"half": 0.5, "t0": 4711, "q0": 1.0, "t1": 1, "i1": 0.5},
    "caller_hash": bytes(20),
    "seconds": 3600,
    "golden_set": "g1",
    "embedder": "e",
    "top_k": 30,
}


@pytest.fixture(scope="module")
def engine(stack: EngineStack) -> Iterator[Engine]:
    """Many collections of many documents, with statistics."""
    with scratch_databases(stack) as scratch:
        migrate(scratch.owner_url, scratch.keys_url)
        with psycopg.connect(libpq(scratch.owner_url), autocommit=True) as connection:
            connection.execute(_ROWS)
            connection.execute("VACUUM ANALYZE")
        built = engine_of(scratch.owner_url)
        yield built
        built.dispose()


@pytest.fixture(scope="module")
def values(engine: Engine) -> dict[str, object]:
    """Values of one tenant, collection and source, and ids of 30 of its documents, versions and chunks."""

    def ids(statement: str) -> list[UUID]:
        with engine.begin() as connection:
            return list(connection.execute(text(statement)).scalars())

    (collection_id,) = ids("SELECT collection_id FROM collections WHERE name = 'c3'")
    source_id = ids(f"SELECT source_id FROM sources WHERE tenant_id = 't3' AND collection_id = {_COLLECTION}")[0]
    result = ids(f"SELECT document_id FROM documents WHERE collection_id = {_COLLECTION} AND tenant_id = 't3' LIMIT 30")
    return {
        **_VALUES,
        "collection_id": collection_id,
        "source_id": source_id,
        "document_ids": result,
        "chunk_ids": ids(f"SELECT chunk_id FROM chunks WHERE collection_id = {_COLLECTION} LIMIT 30"),
        "run_id": uuid4(),
        "count": 2,
    }


def used_indexes(engine: Engine, statement: str, values: dict[str, object], *before: str) -> set[str]:
    """Names of indexes in the plan; the statement itself is not carried out."""
    with engine.connect() as connection:
        for each in before:
            connection.execute(text(each))
        (plan,) = connection.execute(text(f"EXPLAIN (FORMAT JSON) {statement}"), values).scalars()
        connection.rollback()
    return set(re.findall(r'"Index Name": "([^"]+)"', json.dumps(plan)))


_SCAN_TABLE = (
    "CREATE TEMPORARY TABLE scan ON COMMIT DROP AS SELECT i AS place, 'd' || i AS external_id, 'u' AS uri, "
    "'f' AS fingerprint, 1::bigint AS size_bytes, 0::bigint AS start_byte "
    "FROM generate_series(0, 499) i"
)
_COMPARED_TABLE = "CREATE TEMPORARY TABLE compared ON COMMIT DROP AS SELECT document_id FROM documents LIMIT 100"
_CACHED = vector_cache.CACHED.replace("%s", "'e1'").replace("%b", "CAST(:hashes AS bytea[])")

# What is asked for often or of much, the statement, which of `values` its ids are, and the indexes it must use.
QUERIES: dict[str, tuple[TextClause | str, str, set[str]]] = {
    "scan: register": (scans.REGISTER, "", {"uq_documents_living"}),
    "scan: compare": (scans.COMPARE, "", {"uq_documents_living", "uq_quarantine_open", "uq_versions_active"}),
    "scan: vanished": (scans.VANISHED, "", {"uq_documents_living"}),
    "neighbours": (
        catalog.NEIGHBOURS,
        "chunk_ids",
        {"uq_chunks_chunk_id_version_id", "pk_chunks", "pk_versions", "pk_documents", "pk_sources"},
    ),
    "hydrate": (
        catalog.HYDRATE,
        "chunk_ids",
        {"uq_chunks_chunk_id_version_id", "pk_versions", "pk_documents", "pk_sources"},
    ),
    "full text: candidates": (full_text.scored(rare=1, terms=2), "", {"ix_chunk_terms_terms"}),
    "full text: sample": (full_text.SAMPLED, "", {"ix_chunk_terms_sample"}),
    "readable sources and their next expiry": (
        catalog.SOURCES,
        "",
        {"uq_sources_tenant_id_collection_id_uri", "ix_documents_own_groups", "ix_documents_expiring"},
    ),
    "page of documents": (
        catalog.PAGE,
        "",
        {"ix_documents_page", "uq_versions_active", "uq_quarantine_open", "pk_chunks"},
    ),
    "count a collection": (collections.SERVED, "", {"ix_versions_served", "pk_documents", "pk_chunks"}),
    "count a tenant": (collections.SERVED_OF_TENANT, "", {"ix_versions_served", "pk_documents", "pk_chunks"}),
    "count a source": (runs.SERVED_OF_SOURCE, "", {"uq_documents_living", "uq_versions_active", "pk_chunks"}),
    "what a tenant holds": (quotas.USE_OF, "", {"uq_versions_active"}),
    "open quarantine of a tenant": (collections.OPEN_OF_TENANT, "", {"ix_quarantine_open_by_source"}),
    "open quarantine of a source": (runs.OPEN_OF_SOURCE, "", {"ix_quarantine_open_by_source"}),
    "kept bytes to replay": (quarantine.ITEMS, "document_ids", {"ix_quarantine_open_by_source", "pk_documents"}),
    "kept bytes to let go of": (quarantine.RESOLVED_WITH_BYTES, "", {"ix_quarantine_released", "uq_quarantine_open"}),
    "readable documents of a collection": (
        catalog.READABLE_SERVED,
        "",
        {"ix_documents_page", "uq_versions_active", "pk_chunks"},
    ),
    "readable quarantine of a collection": (
        catalog.READABLE_OPEN,
        "",
        {"uq_sources_tenant_id_collection_id_uri", "ix_quarantine_open_by_source", "pk_documents"},
    ),
    "pending versions": (versions.PENDING, "document_ids", {"uq_versions_document_id_generation_number"}),
    "pending versions of any run": (
        pending_versions.PENDING_OF,
        "document_ids",
        {"uq_versions_document_id_generation_number"},
    ),
    "superseded documents": (
        pending_versions.SUPERSEDED,
        "document_ids",
        {"uq_versions_document_id_generation_number", "pk_runs", "ix_runs_source", "pk_purged_documents"},
    ),
    "superseded text": (pruning.VERSIONS, "", {"ix_versions_superseded", "pk_versions"}),
    "resolved records": (pruning.QUARANTINE, "", {"ix_quarantine_resolved"}),
    "runs that nothing refers to": (
        pruning.DROP_RUNS,
        "document_ids",
        {
            *("pk_runs", "ix_versions_run", "ix_quarantine_run", "ix_signatures_run", "pk_moves"),
            "ix_documents_deleted_by",
        },
    ),
    "keys that open nothing": (pruning.KEYED, "", {"ix_documents_keyed", "ix_questions_used"}),
    "keys of what is gone": (deletions.KEYED_IN, "", {"ix_documents_keyed"}),
    "unused vectors": (pruning.EMBEDDINGS, "", {"pk_embeddings"}),
    "later scans": (versions.LATER_SCAN, "", {"ix_runs_source"}),
    "leftovers": (versions.LEFTOVERS, "", {"ix_runs_source", "ix_versions_pending"}),
    "deleted by a run": (versions.DELETED_BY, "", {"ix_documents_deleted_by"}),
    "others running": (runs.OTHERS, "", {"ix_runs_source"}),
    "entities of versions": (entities.MENTIONED, "document_ids", {"pk_mentions"}),
    "orphans among entities": (entities.ORPHANS, "document_ids", {"pk_entities", "ix_mentions_entity"}),
    "supersede": (versions.SUPERSEDE, "document_ids", {"uq_versions_active"}),
    "drop pending": (pending_versions.DROP_PENDING, "document_ids", {"pk_versions", "uq_chunks_chunk_id_version_id"}),
    "outbox": (outbox.TAKE, "", {"ix_outbox_work"}),
    "outbox, waited for": (outbox.TAKE_ALL, "", {"ix_outbox_work"}),
    "work of the outbox": (outbox.WORK, "outbox_ids", {"pk_outbox", "ix_chunks_pages"}),
    "strike off the outbox": (outbox.DONE, "outbox_ids", {"pk_outbox"}),
    "chunks of a generation, by page": (
        reconciliation.FIRST,
        "",
        {
            "ix_chunks_pages",
            "pk_versions",
            "pk_documents",
            "uq_versions_document_id_generation_number",
            "pk_mentions",
            "pk_relations",
        },
    ),
    "chunks by id": (reconciliation.OF, "chunk_ids", {"ix_chunks_pages", "pk_versions", "pk_documents"}),
    "claimed chunks": (reconciliation.CLAIMED, "chunk_ids", {"ix_chunks_pages", "ix_outbox_work"}),
    "cached vectors": (_CACHED, "", {"pk_embeddings"}),
    "lineage events to send": (lineage.UNSENT, "", {"ix_lineage_events_unsent"}),
    "lineage events that were sent": (lineage.SENT, "outbox_ids", {"pk_lineage_events"}),
    "lineage events of a run": (EVENTS_OF_RUN, "", {"ix_lineage_events_sluice_run"}),
    "lineage events of a dataset": (EVENTS_OF_DATASET, "", {"ix_lineage_events_datasets"}),
    "datasets of a run": (passage_lineage.DATASETS, "", {"ix_lineage_events_sluice_run"}),
    "past of a passage": (
        catalog.LINEAGE,
        "",
        {"uq_chunks_chunk_id_version_id", "pk_versions", "pk_documents", "pk_sources"},
    ),
    "stages of a run": ("SELECT * FROM run_stages WHERE run_id = :run_id", "", {"pk_run_stages"}),
    "gates of a batch": (
        "SELECT * FROM gate_results WHERE run_id = :run_id AND batch = 3 AND stage = 's'",
        "",
        {"pk_gate_results"},
    ),
    "rows of a gate": (
        "SELECT * FROM gate_rows WHERE run_id = :run_id AND batch = 3 AND stage = 's'",
        "",
        {"pk_gate_rows"},
    ),
    "rules of a collection": (quality.RULES, "", {"pk_gate_overrides"}),
    "similar documents": (quality.SIMILAR, "", {"ix_signatures_bands", "uq_versions_active"}),
    "signatures of documents that go": (quality.FORGET, "document_ids", {"pk_signatures"}),
    "expired documents of a source": (
        retention.EXPIRED,
        "",
        {"ix_documents_expiring", "uq_versions_active", "pk_chunks", "uq_versions_document_id_generation_number"},
    ),
    "sources with expired documents": (retention.EXPIRED_SOURCES, "", {"ix_documents_expiring"}),
    "questions of documents that go": (golden.FORGET_DOCUMENTS[0], "document_ids", {"ix_golden_judgements_document"}),
    "judgements of documents that go": (
        golden.FORGET_DOCUMENTS[1],
        "document_ids",
        {"ix_golden_judgements_document", "ix_golden_judgements_query"},
    ),
    "feedback on documents that go": (golden.FORGET_DOCUMENTS[2], "document_ids", {"ix_feedback_document"}),
    "questions that nothing uses": (golden.FORGET, "document_ids", {"pk_questions", "ix_golden_queries_question"}),
    "judgements of a question": (
        "SELECT * FROM golden_judgements WHERE golden_set_id = :run_id AND question_id = :source_id",
        "",
        {"ix_golden_judgements_query"},
    ),
    "feedback of a caller": (feedback.GIVEN_SINCE, "", {"ix_feedback_caller"}),
    "old feedback": ("SELECT feedback_id FROM feedback WHERE given_at < :before", "", {"ix_feedback_given"}),
    "evaluation to compare with": (evaluations.BASELINE, "", {"ix_evaluations_history"}),
    "scores of evaluations": (
        "SELECT * FROM evaluation_scores WHERE evaluation_id = ANY(CAST(:ids AS uuid[]))",
        "document_ids",
        {"pk_evaluation_scores"},
    ),
    "grants of a caller": (grants.GRANTS, "", {"pk_grants"}),
    "a document's mentions go with its chunks": (
        "DELETE FROM mentions WHERE version_id = :run_id AND ordinal = 0",
        "",
        {"pk_mentions"},
    ),
    "a chunk's terms go with it": (
        "DELETE FROM chunk_terms WHERE version_id = :run_id AND ordinal = 0",
        "",
        {"pk_chunk_terms"},
    ),
    "a document's relations go with its chunks": (
        "DELETE FROM relations WHERE version_id = :run_id AND ordinal = 0",
        "",
        {"pk_relations"},
    ),
}

# Indexes that no query needs: each enforces a rule that must hold in the storage.
GUARDS = {
    "pk_collections": "foreign keys refer to it",
    "uq_collections_name": "names are global; also finds a collection by name",
    "pk_collection_epochs": "one token a slot; a table of a few rows a collection",
    "pk_generations": "foreign keys refer to it",
    "uq_generations_live": "one live generation a collection",
    "uq_generations_physical": "no two generations share a physical collection",
    "pk_tenants": "foreign keys refer to it",
    "uq_sources_source_id_tenant_id_collection_id": "a document's tenant and collection are its source's",
    "pk_quarantine": "identity of a record",
    "pk_deletions": "identity of a record",
    "pk_unused_embeddings": "a vector is noted once",
    "pk_claims": "one claim a source; found by it",
    "pk_vanished": "a document vanishes once a run; found by the run",
    "uq_moves_placeholder_id": "a new name is taken over once",
    "pk_reconciliations": "identity of a record",
    "pk_run_costs": "one account a batch of a run; found by the run",
    "pk_golden_sets": "foreign keys refer to it",
    "uq_golden_sets_tenant_id_collection_id_name": "one golden set of a name in a tenant's collection",
    "pk_golden_queries": "a question is in a golden set once; found by the set",
    "pk_golden_judgements": "identity of a judgement",
    "pk_feedback": "identity of an opinion",
    "uq_feedback_question_id_document_id_caller_hash": "one opinion of a caller; found by the question",
    "pk_search_weights": "one set of weights of a tenant in a generation",
    "pk_evaluations": "identity of an evaluation",
    "alembic_version_pkc": "Alembic's own",
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_hot_query_uses_its_indexes(engine: Engine, values: dict[str, object], query: str) -> None:
    statement, ids, expected = QUERIES[query]
    given = {**values, "p": "p7", "dataset": ["file:/f7"], "chunk_id": uuid4(), "hashes": [bytes(20)] * 200}
    given["ids"] = [1, 2, 3] if ids == "outbox_ids" else given.get(ids, [])
    before = [_SCAN_TABLE] if query == "scan: compare" else [_SCAN_TABLE, _COMPARED_TABLE]
    if query == "full text: candidates":
        before = [str(full_text.PLAN)]
    if statement in (quality.SIMILAR, pruning.DROP_RUNS):
        before = [str(quality.BY_INDEX)]
    used = used_indexes(engine, str(statement), given, *before)
    assert expected <= used, f"{query} used {sorted(used)}"


def test_no_index_is_there_for_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        result = connection.execute(
            text(
                "SELECT c.relname, i.indisunique FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "WHERE c.relnamespace = 'public'::regnamespace"
            )
        ).all()
    claimed = {index for _, _, indexes in QUERIES.values() for index in indexes}
    assert {row.relname for row in result} == claimed | set(GUARDS)
    assert not claimed & set(GUARDS)
    assert [row.relname for row in result if row.relname in GUARDS and not row.indisunique] == []


def test_a_missing_index_would_be_noticed(engine: Engine, values: dict[str, object]) -> None:
    statement, _, expected = QUERIES["open quarantine of a source"]
    used = used_indexes(engine, str(statement), values, "DROP INDEX ix_quarantine_open_by_source")
    assert not expected <= used


@pytest.mark.parametrize("query", ["hydrate", "scan: compare", "count a collection", "count a source"])
def test_rows_are_looked_up_by_key_before_there_are_statistics(
    engine: Engine, values: dict[str, object], query: str
) -> None:
    """Right after a first load nothing is analysed, and then come the next scan and the first searches."""
    statement, ids, expected = QUERIES[query]
    given = {**values, "ids": values.get(ids, [])}
    used = used_indexes(engine, str(statement), given, _SCAN_TABLE, *_forget("chunks", "versions", "documents"))
    assert expected <= used
    assert query == "count a collection" or "ix_versions_served" not in used


def _forget(*tables: str) -> list[str]:
    columns = "SELECT attrelid::regclass::text AS t, attname::text AS a FROM pg_attribute WHERE attnum > 0"
    return [
        statement
        for table in tables
        for statement in (
            f"SELECT pg_clear_relation_stats('public', '{table}')",
            f"SELECT pg_clear_attribute_stats('public', t, a, false) FROM ({columns}) WHERE t = '{table}'",
        )
    ]


# --- new tables -----------------------------------------------------------------------------------------------

FRESH = 10_000


@pytest.fixture(scope="module")
def fresh(stack: EngineStack) -> Iterator[Engine]:
    """One source just taken in: nobody has made statistics of any table yet."""
    with scratch_databases(stack) as scratch:
        migrate(scratch.owner_url, scratch.keys_url)
        with psycopg.connect(libpq(scratch.owner_url), autocommit=True) as connection:
            connection.execute(_ROWS[: _ROWS.index("INSERT INTO grants")].replace("(0, 199)", "(0, 0)"))
            connection.execute(
                "INSERT INTO documents (tenant_id, source_id, collection_id, external_id, uri, fingerprint) SELECT "
                f"tenant_id, source_id, collection_id, 'd' || i, 'u', 'f' FROM sources, generate_series(1, {FRESH}) i"
            )
            connection.execute(
                "INSERT INTO versions (version_id, document_id, collection_id, generation, number, state, raw_hash, "
                "mime, size_bytes, fingerprint, sealed_title, sealed_text, sealed_metadata, run_id, activated_at) "
                "SELECT uuidv7(), document_id, collection_id, 1, 1, 'active', '', 'm', 1, 'f', '', '', '', "
                "md5('r0')::uuid, now() FROM documents"
            )
        built = engine_of(scratch.owner_url)
        yield built
        built.dispose()


@pytest.mark.parametrize("statement", ["REPORTED", "REGISTER", "COMPARE", "VANISHED", "PREVIEW", "RENAMED", "MISSING"])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_scan_looks_at_no_row_again_and_again(fresh: Engine, statement: str, renamed: bool) -> None:
    """Where the planner takes a table for empty, a join may compare every document with every other."""
    listed = (
        f"INSERT INTO scan SELECT i, CASE WHEN {renamed} THEN 'n' ELSE 'd' END || i, 'u', 'f', 1, 0, "
        f"CASE WHEN {renamed} THEN 'd' || i END FROM generate_series(1, {FRESH}) i"
    )
    with fresh.connect() as connection:
        (source,) = connection.execute(text("SELECT source_id, tenant_id, collection_id FROM sources")).all()
        values = {"tenant": source.tenant_id, "source_id": source.source_id, "collection_id": source.collection_id}
        values |= {
            "generation": 1,
            "replay": False,
            "before": datetime(2020, 1, 1, tzinfo=UTC),
            "full": False,
            "run_id": connection.execute(text("SELECT run_id FROM runs")).scalar_one(),
        }
        for each in (scans.TABLE, listed, "ANALYZE scan", _COMPARED_TABLE if statement == "VANISHED" else "SELECT"):
            connection.execute(text(each))
        explained = text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {getattr(scans, statement)}")
        (plan,) = connection.execute(explained, values).scalars()
        connection.rollback()
    assert rows_looked_at(plan[0]["Plan"]) < 40 * FRESH


def rows_looked_at(node: dict[str, Any]) -> float:
    """Rows that each node gave or threw away, in all its loops."""
    thrown = sum(count for name, count in node.items() if name.startswith("Rows Removed"))
    own = (node["Actual Rows"] + thrown) * node["Actual Loops"]
    return float(own + sum(rows_looked_at(each) for each in node.get("Plans", ())))
