"""Golden sets on PostgreSQL. Questions are rows of their own, which golden sets and feedback share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.collections import check_not_dropping
from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import BadRequest, NotFound
from sluice.model.generation import Generation
from sluice.model.golden import MAX_QUERIES, GoldenSet, Judgement, StoredQuery, version_of

_SETS = text("""
    SELECT s.golden_set_id, s.tenant_id AS tenant, c.name AS collection, s.name, s.changed_at
    FROM golden_sets s JOIN collections c USING (collection_id)
    WHERE (CAST(:tenant AS text) IS NULL OR s.tenant_id = :tenant)
      AND (CAST(:collection AS text) IS NULL OR c.name = :collection)
      AND (CAST(:name AS text) IS NULL OR s.name = :name)
    ORDER BY s.tenant_id COLLATE "C", c.name COLLATE "C", s.name COLLATE "C"
""")
_JUDGED = text("""
    SELECT j.golden_set_id, j.question_id, q.origin, j.external_id, j.gain
    FROM golden_judgements j JOIN golden_queries q USING (golden_set_id, question_id)
    WHERE j.golden_set_id = ANY(CAST(:ids AS uuid[])) ORDER BY j.golden_set_id, j.question_id
""")
_QUERIES = text("""
    SELECT q.question_id, x.sealed_text, q.sealed_name, q.origin, j.external_id, j.gain, j.document_id
    FROM golden_queries q JOIN questions x USING (question_id)
    JOIN golden_judgements j USING (golden_set_id, question_id)
    WHERE q.golden_set_id = :golden_set_id ORDER BY q.question_id, j.judgement_id
""")
_DOCUMENTS = text("""
    SELECT external_id, (array_agg(document_id))[1] AS document_id FROM documents
    WHERE collection_id = :collection_id AND tenant_id = :tenant AND deleted_at IS NULL AND removed_at IS NULL
      AND external_id = ANY(CAST(:names AS text[]))
    GROUP BY external_id HAVING count(*) = 1
""")
_NAMES = text("""
    SELECT document_id, external_id FROM documents
    WHERE collection_id = :collection_id AND tenant_id = :tenant AND deleted_at IS NULL AND removed_at IS NULL
      AND document_id = ANY(CAST(:ids AS uuid[]))
""")
_TENANT = text("SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = :tenant)")
_SET = text("""
    INSERT INTO golden_sets (tenant_id, collection_id, name) VALUES (:tenant, :collection_id, :name)
    ON CONFLICT (tenant_id, collection_id, name) DO UPDATE SET changed_at = now() RETURNING golden_set_id
""")
QUESTION = text("""
    INSERT INTO questions (question_id, tenant_id, collection_id, sealed_text)
    VALUES (:question_id, :tenant, :collection_id, :sealed_text)
    ON CONFLICT (question_id) DO UPDATE SET sealed_text = excluded.sealed_text, used_at = now()
""")
_QUERY = text("""
    INSERT INTO golden_queries (golden_set_id, question_id, collection_id, sealed_name, origin)
    VALUES (:golden_set_id, :question_id, :collection_id, :sealed_name, :origin)
    ON CONFLICT (golden_set_id, question_id) DO UPDATE SET sealed_name = excluded.sealed_name
""")
# The earlier judgement of the same document, by its id; and one by the same name alone. A name without an id may
# be that of several documents, so it replaces no judgement that has an id.
_OLD_JUDGEMENT = text("""
    DELETE FROM golden_judgements WHERE golden_set_id = :golden_set_id AND question_id = :question_id
      AND (document_id = CAST(:document_id AS uuid)
           OR (external_id = :external_id AND document_id IS NULL))
""")
_JUDGEMENT = text("""
    INSERT INTO golden_judgements (golden_set_id, question_id, collection_id, external_id, document_id, gain)
    VALUES (:golden_set_id, :question_id, :collection_id, :external_id, :document_id, :gain)
""")
_COUNT = text("SELECT count(*) FROM golden_queries WHERE golden_set_id = :golden_set_id")
_OF_SET = text("SELECT question_id FROM golden_queries WHERE golden_set_id = :golden_set_id")
_DROP_JUDGEMENTS = text("""
    DELETE FROM golden_judgements
    WHERE golden_set_id = :golden_set_id AND question_id = ANY(CAST(:ids AS uuid[]))
""")
_DROP_QUERIES = text("""
    DELETE FROM golden_queries WHERE golden_set_id = :golden_set_id AND question_id = ANY(CAST(:ids AS uuid[]))
""")
_DROP_SET = text("DELETE FROM golden_sets WHERE golden_set_id = :golden_set_id")
UNUSED = """
    NOT EXISTS (SELECT FROM golden_queries g WHERE g.question_id = x.question_id)
    AND NOT EXISTS (SELECT FROM feedback f WHERE f.question_id = x.question_id)
"""
_UNUSED = text(f"SELECT question_id FROM questions x WHERE question_id = ANY(CAST(:ids AS uuid[])) AND {UNUSED}")
LOCK_QUESTIONS = text("""
    SELECT question_id FROM questions WHERE question_id = ANY(CAST(:ids AS uuid[])) ORDER BY question_id FOR UPDATE
""")
FORGET = text(f"DELETE FROM questions x WHERE question_id = ANY(CAST(:ids AS uuid[])) AND {UNUSED}")
_OF_TENANT = text("""
    SELECT question_id FROM questions WHERE collection_id = :collection_id
      AND (CAST(:tenant AS text) IS NULL OR tenant_id = :tenant) ORDER BY question_id
""")
_IN_SETS = "(SELECT golden_set_id FROM golden_sets WHERE collection_id = :collection_id AND tenant_id = :tenant)"
_IN_EVALUATIONS = "(SELECT evaluation_id FROM evaluations WHERE collection_id = :collection_id AND tenant_id = :tenant)"
_OWN = "collection_id = :collection_id AND tenant_id = :tenant"
_DROP_TENANT = tuple(
    text(f"DELETE FROM {table} WHERE {condition}")
    for table, condition in (
        ("golden_judgements", f"golden_set_id IN {_IN_SETS}"),
        ("golden_queries", f"golden_set_id IN {_IN_SETS}"),
        ("golden_sets", _OWN),
        ("feedback", _OWN),
        ("questions", _OWN),
        ("search_weights", _OWN),
        ("evaluation_scores", f"evaluation_id IN {_IN_EVALUATIONS}"),
        ("evaluations", _OWN),
    )
)
# Of documents that are deleted: their judgements, questions of golden sets that have no other one, their feedback. The
# lock: of two that delete the last two judgements of a question, the second waits, and sees that none is left.
FORGET_DOCUMENTS = (
    text("""
        SELECT q.question_id FROM golden_queries q WHERE (q.golden_set_id, q.question_id) IN (
            SELECT golden_set_id, question_id FROM golden_judgements WHERE document_id = ANY(CAST(:ids AS uuid[])))
        ORDER BY q.golden_set_id, q.question_id FOR UPDATE
    """),
    text("""
        WITH gone AS (
            DELETE FROM golden_judgements WHERE document_id = ANY(CAST(:ids AS uuid[]))
            RETURNING golden_set_id, question_id)
        DELETE FROM golden_queries q USING gone g
        WHERE q.golden_set_id = g.golden_set_id AND q.question_id = g.question_id
          AND NOT EXISTS (SELECT FROM golden_judgements j WHERE j.golden_set_id = q.golden_set_id
                            AND j.question_id = q.question_id
                            AND (j.document_id IS NULL OR j.document_id <> ALL(CAST(:ids AS uuid[]))))
    """),
    text("DELETE FROM feedback WHERE document_id = ANY(CAST(:ids AS uuid[]))"),
)


class PostgresGoldenSets(Transactions):
    """`sluice.ports.golden.GoldenSets`."""

    def sets(self, tenant: str | None = None, collection: str | None = None) -> list[GoldenSet]:
        with self._transaction() as connection:
            return _sets(connection, tenant, collection)

    def queries(self, tenant: str, collection: str, name: str) -> list[StoredQuery]:
        with self._transaction() as connection:
            found = connection.execute(_SETS, {"tenant": tenant, "collection": collection, "name": name}).one_or_none()
            if found is None:
                raise NotFound(
                    f"Tenant {tenant!r} has no golden set {name!r} in collection {collection!r}. Make it with "
                    "`sluice golden import` or `sluice golden add`; `sluice golden list` shows those that exist."
                )
            rows = connection.execute(_QUERIES, {"golden_set_id": found.golden_set_id}).all()
        return _stored(rows)

    def documents(self, generation: Generation, tenant: str, external_ids: Sequence[str]) -> dict[str, UUID]:
        values = {"collection_id": generation.collection_id, "tenant": tenant, "names": list(external_ids)}
        return {row.external_id: row.document_id for row in self._rows(_DOCUMENTS, values)}

    def names_of(self, generation: Generation, tenant: str, document_ids: Sequence[UUID]) -> dict[UUID, str]:
        values = {"collection_id": generation.collection_id, "tenant": tenant, "ids": list(document_ids)}
        return {row.document_id: row.external_id for row in self._rows(_NAMES, values)}

    def add(
        self, generation: Generation, tenant: str, name: str, queries: Sequence[StoredQuery], *, replace: bool = False
    ) -> GoldenSet:
        with self._transaction() as connection:
            check_not_dropping(connection, generation)
            if not connection.execute(_TENANT, {"tenant": tenant}).scalar():
                raise NotFound(f"There is no tenant {tenant!r}. An ingest or `sluice grant` creates it.")
            place = {"tenant": tenant, "collection_id": generation.collection_id}
            # The row stays locked until the commit, so that two imports cannot both stay below the limit.
            of_set = {"golden_set_id": connection.execute(_SET, {**place, "name": name}).scalar_one()}
            if replace:
                _remove(connection, of_set, list(connection.execute(_OF_SET, of_set).scalars()))
            _add_queries(connection, place, of_set, queries)
            if (count := connection.execute(_COUNT, of_set).scalar_one()) > MAX_QUERIES:
                raise BadRequest(
                    f"Golden set {name!r} would hold {count} questions; at most {MAX_QUERIES} are possible. Nothing "
                    "was changed. Use fewer questions or a second golden set."
                )
            (stored,) = _sets(connection, tenant, generation.collection, name)
            return stored

    def remove(self, golden_set: GoldenSet, question_ids: Sequence[UUID] | None = None) -> list[UUID]:
        with self._transaction() as connection:
            of_set = {"golden_set_id": golden_set.golden_set_id}
            every = list(connection.execute(_OF_SET, of_set).scalars())
            ids = every if question_ids is None else [each for each in every if each in set(question_ids)]
            _remove(connection, of_set, ids)
            if question_ids is None:
                connection.execute(_DROP_SET, of_set)
            return list(connection.execute(_UNUSED, {"ids": ids}).scalars())

    def of_tenant(self, generation: Generation, tenant: str | None) -> list[UUID]:
        return list(self._scalars(_OF_TENANT, {"collection_id": generation.collection_id, "tenant": tenant}))

    def remove_tenant(self, generation: Generation, tenant: str) -> None:
        with self._at_length() as connection:
            for statement in _DROP_TENANT:
                connection.execute(statement, {"collection_id": generation.collection_id, "tenant": tenant})

    def forget(self, question_ids: Sequence[UUID], destroy: Callable[[Sequence[UUID]], object]) -> int:
        if not question_ids:
            return 0
        with self._at_length() as connection:
            connection.execute(LOCK_QUESTIONS, {"ids": list(question_ids)})
            unused = list(connection.execute(_UNUSED, {"ids": list(question_ids)}).scalars())
            destroy(unused)  # before the rows, so that a repetition after a crash still finds them by prune
            connection.execute(FORGET, {"ids": unused})
            return len(unused)


def _add_queries(
    connection: Connection, place: Mapping[str, Any], of_set: Mapping[str, Any], queries: Sequence[StoredQuery]
) -> None:
    # In the order of ids, so that two imports of the same questions cannot deadlock.
    ordered = sorted(queries, key=lambda query: query.question_id)
    questions = [
        {
            **place,
            **of_set,
            **{name: getattr(each, name) for name in ("question_id", "sealed_text", "sealed_name", "origin")},
        }
        for each in ordered
    ]
    judgements = [
        {
            **place,
            **of_set,
            "question_id": each.question_id,
            **{name: getattr(judgement, name) for name in ("external_id", "document_id", "gain")},
        }
        for each in ordered
        for judgement in each.judgements
    ]
    for statement, rows in (
        (QUESTION, questions),
        (_QUERY, questions),
        (_OLD_JUDGEMENT, judgements),
        (_JUDGEMENT, judgements),
    ):
        if rows:
            connection.execute(statement, rows)


def _remove(connection: Connection, of_set: Mapping[str, Any], ids: Sequence[UUID]) -> None:
    for statement in (_DROP_JUDGEMENTS, _DROP_QUERIES):
        connection.execute(statement, {**of_set, "ids": list(ids)})


def _sets(
    connection: Connection, tenant: str | None, collection: str | None, name: str | None = None
) -> list[GoldenSet]:
    found = connection.execute(_SETS, {"tenant": tenant, "collection": collection, "name": name}).all()
    judged: dict[UUID, dict[UUID, list[Judgement]]] = defaultdict(lambda: defaultdict(list))
    origins: dict[UUID, dict[UUID, str]] = defaultdict(dict)
    for row in connection.execute(_JUDGED, {"ids": [each.golden_set_id for each in found]}):
        judged[row.golden_set_id][row.question_id].append(Judgement(row.external_id, row.gain))
        origins[row.golden_set_id][row.question_id] = row.origin
    return [
        GoldenSet(
            **each._mapping,
            version=version_of(judged[each.golden_set_id].items()),
            queries=len(judged[each.golden_set_id]),
            judgements=sum(map(len, judged[each.golden_set_id].values())),
            origins=_counted(origins[each.golden_set_id].values()),
        )
        for each in found
    ]


def _counted(values: Any) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return dict(sorted(counts.items()))


def _stored(rows: Sequence[Row[Any]]) -> list[StoredQuery]:
    by_question: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_question[row.question_id].append(row)
    return [
        StoredQuery(
            **{name: getattr(of[0], name) for name in ("question_id", "sealed_text", "sealed_name", "origin")},
            judgements=tuple(Judgement(each.external_id, each.gain, each.document_id) for each in of),
        )
        for of in by_question.values()
    ]
