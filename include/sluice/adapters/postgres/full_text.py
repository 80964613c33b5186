"""Full text over keyed terms on PostgreSQL: BM25 of the chunks that have a rare word of the question.

The words with the fewest chunks select the candidates, by a GIN index; up to `_CANDIDATES` are scored with all words. A
word's number of chunks is counted among the candidates if it selects them, else estimated from a sample of the
generation. So the cost does not grow with the number of chunks that have a common word (docs/decisions/0054).
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from threading import Lock
from typing import Any
from uuid import UUID
from zlib import crc32

from sqlalchemy import Connection, Engine, Row, TextClause, text

from sluice.adapters.postgres.collections import values_of
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation
from sluice.model.search import Candidate, FullTextHits, VectorQuery

TERMS_COLUMNS = """
    version_id uuid, ordinal int4, chunk_id uuid, collection_id uuid, generation int4, source_id uuid, terms int4[],
    weights float4[]
"""
_CANDIDATES = 2000
_SAMPLE = 1000  # chunks; the share of a word that is in 1 % of the chunks is estimated within about a third
_SAMPLE_KEPT_S = 60.0  # a sample is read once for many searches, which come together while Qdrant is down
_MAX_SAMPLES = 16  # about 60,000 numbers each
_QUERY_TERMS = 32  # the rarest ones of a long question
_IDS = 2**128
_SIGN = 2**31

# The generic estimates for arrays make the planner prefer other scans; `LIMIT` makes them look cheap.
PLAN = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")
# Chunk ids are random, so the first ones are a sample.
SAMPLED = text("""
    WITH sample AS MATERIALIZED (
        SELECT chunk_id, terms FROM chunk_terms WHERE collection_id = :collection_id AND generation = :generation
        ORDER BY chunk_id LIMIT :limit)
    SELECT (SELECT count(*) FROM sample) AS chunks, (SELECT max(CAST(chunk_id AS text)) FROM sample) AS last_id,
           ARRAY(SELECT t.term FROM sample CROSS JOIN LATERAL unnest(terms) AS t (term)) AS terms
""")
# `OFFSET 0` keeps the condition on the terms alone, which only the GIN index answers.
_MATCHES = """
    (SELECT chunk_id, terms, weights FROM (SELECT * FROM chunk_terms WHERE {0} OFFSET 0) m
     WHERE collection_id = :collection_id AND generation = :generation AND source_id = ANY(CAST(:sources AS uuid[]))
     LIMIT {1})
"""
_ANY = "terms && CAST(:{0} AS int4[])"
_ALL = "terms @> CAST(:{0} AS int4[])"
_COMPLETE = text("""
    SELECT terms_complete FROM generations WHERE collection_id = :collection_id AND generation = :generation
""")
_WITHOUT = """
    SELECT k.chunk_id FROM chunks k
    CROSS JOIN LATERAL (SELECT state FROM versions WHERE version_id = k.version_id OFFSET 0) s
    WHERE k.collection_id = :collection_id AND k.generation = :generation AND s.state = 'active'
      AND NOT EXISTS (SELECT FROM chunk_terms t WHERE t.version_id = k.version_id AND t.ordinal = k.ordinal OFFSET 0)
"""
LACKING = text(f"""
    {_WITHOUT} AND k.chunk_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
    ORDER BY k.chunk_id LIMIT :limit
""")
# The lock keeps a version that is being replaced until the terms are written; then both are deleted.
_ADD = text("""
    INSERT INTO chunk_terms (version_id, ordinal, chunk_id, collection_id, generation, source_id, terms, weights)
    SELECT k.version_id, k.ordinal, k.chunk_id, k.collection_id, k.generation,
           (SELECT source_id FROM documents d WHERE d.document_id = k.document_id),
           CAST(:terms AS int4[]), CAST(:weights AS float4[])
    FROM chunks k
    WHERE k.chunk_id = :chunk_id AND k.collection_id = :collection_id AND k.generation = :generation
    FOR KEY SHARE OF k
    ON CONFLICT DO NOTHING
""")
_SET_COMPLETE = text(f"""
    UPDATE generations
    SET terms_complete = NOT EXISTS ({_WITHOUT} AND k.chunk_id <> ALL(CAST(:unreadable AS uuid[])))
    WHERE collection_id = :collection_id AND generation = :generation RETURNING terms_complete
""")


class PostgresFullText(Transactions):
    """`sluice.ports.full_text.FullText`. Keeps samples of the generations that were searched."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._samples: OrderedDict[tuple[UUID, int], tuple[float, _Sample]] = OrderedDict()
        self._lock = Lock()

    def search(self, generation: Generation, query: VectorQuery) -> FullTextHits:
        candidates: list[Candidate] = []
        with self._transaction() as connection:
            complete = bool(connection.execute(_COMPLETE, values_of(generation)).scalar())
            if query.sparse is not None and len(query.sparse.indices) and query.sources:
                connection.execute(PLAN)
                sample = self._sample(connection, generation)
                selection = _selection(sample, _mixed(generation, query.sparse), query.sparse)
                rows = _scored(connection, generation, query, selection)
                candidates = [Candidate(row.chunk_id, {"sparse": row.score}) for row in rows]
        return FullTextHits(candidates, len(candidates) < query.limit, complete)

    def _sample(self, connection: Connection, generation: Generation) -> _Sample:
        key, now_s = (generation.collection_id, generation.number), time.monotonic()
        with self._lock:
            read_s, sample = self._samples.get(key, (-math.inf, _EMPTY))
        if now_s - read_s < _SAMPLE_KEPT_S and sample.share < 1:
            return sample
        sample = _sample_of(connection.execute(SAMPLED, {**values_of(generation), "limit": _SAMPLE}).one())
        with self._lock:
            self._samples[key] = (now_s, sample)
            self._samples.move_to_end(key)
            while len(self._samples) > _MAX_SAMPLES:
                self._samples.popitem(last=False)
        return sample

    def is_complete(self, generation: Generation) -> bool:
        return bool(self._value(_COMPLETE, values_of(generation)))

    def lacking(self, generation: Generation, after: UUID | None, limit: int) -> list[UUID]:
        return list(self._scalars(LACKING, {**values_of(generation), "after": after, "limit": limit}))

    def add(self, generation: Generation, terms: Mapping[UUID, SparseVector]) -> int:
        added = 0
        with self._transaction() as connection:
            for chunk_id, vector in sorted(terms.items()):
                numbers, weights = stored_terms(generation, vector)
                values = {**values_of(generation), "chunk_id": chunk_id, "terms": numbers, "weights": weights}
                added += connection.execute(_ADD, values).rowcount > 0
        return added

    def set_complete(self, generation: Generation, unreadable: Sequence[UUID]) -> bool:
        with self._at_length() as connection:
            values = {**values_of(generation), "unreadable": list(unreadable)}
            return bool(connection.execute(_SET_COMPLETE, values).scalar())


def stored_terms(generation: Generation, vector: SparseVector) -> tuple[list[int], list[float]]:
    """Returns the terms and weights of a chunk as they are stored."""
    return _mixed(generation, vector), vector.values.tolist()


def _mixed(generation: Generation, vector: SparseVector) -> list[int]:
    """Returns the terms as int32. Each generation has its own numbers for the same words, so that the index has a list
    of chunks for each word and generation."""
    salt = crc32(generation.collection_id.bytes + generation.number.to_bytes(4, "big"))
    # Without numpy, which commands that only count need not import. From uint32 to int32: less 2^32 from 2^31 on.
    return [(mixed ^ _SIGN) - _SIGN for mixed in (term ^ salt for term in vector.indices.tolist())]


@dataclass(frozen=True, slots=True)
class _Term:
    number: int
    weight: float  # in the question
    count: float  # chunks of the generation that have it, estimated


@dataclass(frozen=True, slots=True)
class _Selection:
    """How the candidates are selected. `rare`: all chunks with one of these are candidates. `common`: the other terms,
    the rarest first; their chunks are too many."""

    chunks: float  # of the generation, estimated
    rare: list[_Term]
    common: list[_Term]

    @property
    def together(self) -> list[int] | None:
        """Returns common terms that few chunks have all together, if the terms are independent; None: there are not
        two."""
        if len(self.common) < 2:
            return None
        chosen, expected = [self.common[0].number], self.common[0].count
        for term in self.common[1:]:
            chosen.append(term.number)
            expected *= term.count / self.chunks
            if expected <= _CANDIDATES:
                break
        return chosen


@dataclass(frozen=True, slots=True)
class _Sample:
    """The first chunks of a generation. `share`: the part of the generation that they are; 1: all."""

    chunks: int
    share: float
    counts: Mapping[int, int]  # term → sampled chunks that have it


_EMPTY = _Sample(0, 1.0, {})


def _sample_of(row: Row[Any]) -> _Sample:
    # Ids are spread evenly, so the part of all ids up to the last one is the part of all chunks.
    share = 1.0 if row.chunks < _SAMPLE else (UUID(row.last_id).int + 1) / _IDS
    return _Sample(row.chunks, share, Counter(row.terms))


def _selection(sample: _Sample, numbers: Sequence[int], query: SparseVector) -> _Selection:
    # A term that is not in the sample has, on average, fewer chunks than one sampled chunk stands for.
    unseen = 0.5 if sample.share < 1 else 0.0
    weights = zip(numbers, query.values.tolist(), strict=True)
    terms = [_Term(number, weight, sample.counts.get(number, unseen) / sample.share) for number, weight in weights]
    terms = sorted(terms, key=lambda each: (each.count, each.number))[:_QUERY_TERMS]
    rare = bisect_right(list(accumulate(each.count for each in terms)), _CANDIDATES)
    return _Selection(max(sample.chunks / sample.share, 1.0), terms[:rare], terms[rare:])


def _scored(
    connection: Connection, generation: Generation, query: VectorQuery, selection: _Selection
) -> Sequence[Row[Any]]:
    terms = [*selection.rare, *selection.common]
    values: dict[str, Any] = {
        **values_of(generation),
        "sources": list(query.sources),
        "rare": [each.number for each in selection.rare],
        "common": [each.number for each in selection.common],
        "together": selection.together,
        "most": max(_CANDIDATES, query.limit),
        "limit": query.limit,
        "chunks": selection.chunks,
        "half": 0.5,  # as a number of 64 bits; a literal would be a slow decimal
    }
    for place, term in enumerate(terms):
        values[f"t{place}"] = term.number
        values[f"q{place}"] = term.weight
        if place >= len(selection.rare):
            values[f"i{place}"] = term.weight * _idf(selection.chunks, term.count)
    return connection.execute(scored(len(selection.rare), len(terms)), values).all()


def _idf(chunks: float, count: float) -> float:
    """Returns ln((N − n + ½)/(n + ½) + 1), as Qdrant computes it."""
    return math.log((max(chunks - count, 0.0) + 0.5) / (count + 0.5) + 1)


@lru_cache(maxsize=128)
def scored(rare: int, terms: int) -> TextClause:
    """Returns the statement for a number of terms, the rare ones first."""
    weights = ", ".join(
        f"coalesce(weights[array_position(terms, CAST(:t{i} AS int4))], 0) AS w{i}" for i in range(terms)
    )
    counts = ", ".join(f"CAST(count(*) FILTER (WHERE w{i} > 0) AS float8) AS n{i}" for i in range(rare))
    idfs = ", ".join(
        f":q{i} * ln((greatest(:chunks - n{i}, 0) + :half) / (n{i} + :half) + 1) AS i{i}" for i in range(rare)
    )
    score = " + ".join([*(f"w{i} * i{i}" for i in range(rare)), *(f"w{i} * :i{i}" for i in range(rare, terms))])
    others = f"NOT {_ANY.format('rare')}"
    return text(f"""
        WITH found AS MATERIALIZED (
            {_MATCHES.format(_ANY.format("rare"), ":most")}
            UNION ALL {_MATCHES.format(f"{_ALL.format('together')} AND {others}", ":most")}
            UNION ALL {_MATCHES.format(f"{_ANY.format('common')} AND {others}", ":limit")}),
        weighed AS MATERIALIZED (SELECT DISTINCT ON (chunk_id) chunk_id, {weights} FROM found ORDER BY chunk_id),
        counted AS MATERIALIZED (SELECT {idfs or 1} FROM (SELECT {counts or 1} FROM weighed) c)
        SELECT chunk_id, CAST({score} AS float8) AS score FROM weighed CROSS JOIN counted
        ORDER BY score DESC, chunk_id LIMIT :limit
    """)
