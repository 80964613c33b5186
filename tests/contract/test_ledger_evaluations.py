"""Golden sets, feedback and evaluations in the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Connection, text

from sluice.adapters.postgres.feedback import _DOCUMENT
from sluice.adapters.postgres.golden import FORGET_DOCUMENTS
from sluice.errors import BadRequest, NotFound
from sluice.maintenance.evaluation import recorded_gate
from sluice.model.evaluation import FUSED, Comparison, Evaluation, RetrieverScores
from sluice.model.golden import GivenFeedback, Judgement, StoredQuery
from sluice.model.run import Run
from sluice.model.source import Source
from support.ledger_rows import LedgerDatabase, entry, loaded, opened, scanned, started

CALLERS = [bytes([number]) * 20 for number in range(1, 5)]


class Place:
    """A tenant's collection with the documents a and b, and its golden sets."""

    def __init__(self, db: LedgerDatabase) -> None:
        self.db = db
        self.source: Source = opened(db)
        self.generation, self.tenant = self.source.generation, self.source.spec.tenant
        self.collection = self.source.spec.collection
        self.run: Run = started(db, self.source)
        self.a, self.b = (each.document_id for each in self._loaded("a", "b"))
        self.golden, self.feedback, self.evaluations = db.ledger.golden, db.ledger.feedback, db.ledger.evaluations

    def _loaded(self, *names: str) -> list[Any]:
        items = scanned(self.db, self.run, *map(entry, names))
        for item in items:
            loaded(self.db, self.run, item, f"text of {item.entry.external_id}")
        return items

    def add(self, *queries: StoredQuery, name: str = "default", **options: bool) -> Any:
        return self.golden.add(self.generation, self.tenant, name, queries, **options)

    def queries(self, name: str = "default") -> dict[UUID, StoredQuery]:
        return {each.question_id: each for each in self.golden.queries(self.tenant, self.collection, name)}

    def give(self, question_id: UUID, document_id: UUID, caller: bytes, gain: float = 1.0) -> Any:
        given = GivenFeedback(question_id, b"\x01words", document_id, None, gain, caller)
        return self.feedback.give(self.generation, self.tenant, given)

    def evaluation(self, golden_set: str = "default", **changes: Any) -> Evaluation:
        values = np.array([[0.5, 1, 0.25, 0], [1, 1, 1, 1]], np.float32)
        scores = [
            RetrieverScores(name, values, {"ndcg@10": 0.75}, {"ndcg@10": [0.5, 1.0]}, 3.5, 8.0)
            for name in ("dense", FUSED)
        ]
        made = Evaluation(
            UUID(int=0), self.tenant, self.collection, golden_set, "abc", 1, self.generation.profile, self.run.run_id,
            "airflow:sluice_evaluate/x", datetime.now(UTC), 2, 30, 1.5, (b"q" * 16, b"r" * 16), tuple(scores),
        )  # fmt: skip
        return replace(made, **changes)

    def record(self, evaluation: Evaluation) -> Evaluation:
        return self.evaluations.record(self.generation, evaluation, recorded_gate(evaluation))


@pytest.fixture
def place(db: LedgerDatabase) -> Place:
    return Place(db)


def query(*judgements: Judgement, question_id: UUID | None = None) -> StoredQuery:
    return StoredQuery(question_id or uuid4(), b"\x01words", b"\x01name", "import", judgements)


def dropped(**changes: Any) -> Comparison:
    return replace(Comparison("flag", 0.02, uuid4(), 20, 9, 0.4, 0.001, dropped=True), **changes)


# --- golden sets


def test_a_question_is_added_once_and_a_judgement_of_a_document_replaces_the_earlier_one(place: Place) -> None:
    first = query(Judgement("a", 1.0, place.a), Judgement("nowhere", 1.0))
    made = place.add(first, query(Judgement("b", 1.0, place.b)))
    assert (made.queries, made.judgements, made.origins, made.name) == (2, 3, {"import": 2}, "default")
    again = query(Judgement("a", 2.0, place.a), Judgement("nowhere", 3.0), question_id=first.question_id)
    changed = place.add(again)
    assert (changed.queries, changed.judgements) == (2, 3) and changed.version != made.version
    assert {each.external_id: each.gain for each in place.queries()[first.question_id].judgements} == {
        "a": 2.0,
        "nowhere": 3.0,
    }
    assert place.add(again).version == changed.version, "a rerun adds nothing"
    (only,) = place.golden.sets(place.tenant, place.collection)
    assert only.version == changed.version
    replaced = place.add(query(Judgement("b", 1.0, place.b)), replace=True)
    assert replaced.queries == 1 and first.question_id not in place.queries()


def test_a_name_alone_replaces_no_judgement_that_has_an_id(place: Place) -> None:
    """The name may be that of several documents. An id replaces the name alone, which stood for the document."""
    first = query(Judgement("a", 1.0, place.a))
    place.add(first)
    place.add(query(Judgement("a", 2.0), question_id=first.question_id))
    judged = place.queries()[first.question_id].judgements
    assert [(each.document_id, each.gain) for each in judged] == [(place.a, 1.0), (None, 2.0)]
    place.add(query(Judgement("a", 3.0, place.a), question_id=first.question_id))
    judged = place.queries()[first.question_id].judgements
    assert [(each.document_id, each.gain) for each in judged] == [(place.a, 3.0)]


def test_documents_are_found_by_a_name_that_only_one_has(place: Place, db: LedgerDatabase) -> None:
    assert place.golden.documents(place.generation, place.tenant, ["a", "b", "c"]) == {"a": place.a, "b": place.b}
    spec = replace(place.source.spec, uri="file:///second")
    run = started(db, opened(db, spec))
    (twin,) = scanned(db, run, entry("a"))
    loaded(db, run, twin, "twin")
    assert place.golden.documents(place.generation, place.tenant, ["a", "b"]) == {"b": place.b}
    assert place.golden.names_of(place.generation, place.tenant, [place.a, twin.document_id, uuid4()]) == {
        place.a: "a",
        twin.document_id: "a",
    }
    assert place.golden.documents(place.generation, "another", ["a", "b"]) == {}


def test_a_removed_question_is_forgotten_unless_something_uses_it(place: Place) -> None:
    shared, own = query(Judgement("a", 1.0, place.a)), query(Judgement("b", 1.0, place.b))
    place.add(shared, own)
    place.add(shared, name="other")
    place.give(own.question_id, place.a, CALLERS[0])
    golden_set = next(each for each in place.golden.sets(place.tenant) if each.name == "default")
    assert place.golden.remove(golden_set, [own.question_id]) == [], "feedback uses it"
    assert place.golden.remove(golden_set) == [], "the other set uses the rest"
    with pytest.raises(NotFound, match="no golden set 'default'"):
        place.queries()
    other = next(each for each in place.golden.sets(place.tenant))
    assert place.golden.remove(other) == [shared.question_id]
    destroyed: list[UUID] = []
    assert place.golden.forget([shared.question_id, own.question_id], destroyed.extend) == 1
    assert destroyed == [shared.question_id], "feedback uses the other one"
    assert place.golden.of_tenant(place.generation, place.tenant) == [own.question_id]


def test_a_golden_set_is_bounded_and_belongs_to_a_known_tenant(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.adapters.postgres import golden

    monkeypatch.setattr(golden, "MAX_QUERIES", 2)
    with pytest.raises(BadRequest, match="would hold 3 questions"):
        place.add(*(query(Judgement("a", 1.0, place.a)) for _ in range(3)))
    assert place.golden.sets(place.tenant) == [], "nothing of it is stored"
    with pytest.raises(NotFound, match="no tenant"):
        place.golden.add(place.generation, f"{place.tenant}x", "default", [query(Judgement("a", 1.0))])


def test_deleting_a_document_removes_what_names_it(place: Place, db: LedgerDatabase) -> None:
    only_a = query(Judgement("a", 1.0, place.a))
    both = query(Judgement("a", 1.0, place.a), Judgement("b", 1.0, place.b))
    unknown = query(Judgement("a", 1.0, place.a), Judgement("elsewhere", 1.0))
    before = place.add(only_a, both, unknown)
    place.give(both.question_id, place.a, CALLERS[0])
    place.give(both.question_id, place.b, CALLERS[0])
    db.ledger.versions.remove(place.run, [place.a])
    left = place.queries()
    assert set(left) == {both.question_id, unknown.question_id}
    assert [each.document_id for each in left[both.question_id].judgements] == [place.b]
    assert [each.document_id for each in place.feedback.open(place.tenant, place.collection, 10)] == [place.b]
    (after,) = place.golden.sets(place.tenant)
    assert after.version != before.version and after.queries == 2
    later = db.ledger.retention.clock() + timedelta(days=1)
    assert only_a.question_id in db.ledger.pruning.keyed(later, 100_000), "its key is destroyed by prune"
    db.ledger.pruning.key_destroyed([only_a.question_id, both.question_id])
    assert set(place.golden.of_tenant(place.generation, place.tenant)) == {both.question_id, unknown.question_id}


def test_a_question_goes_when_its_last_two_documents_are_deleted_at_once(place: Place, db: LedgerDatabase) -> None:
    place.add(query(Judgement("a", 1.0, place.a), Judgement("b", 1.0, place.b)))

    def forget(connection: Connection, document_id: UUID) -> None:
        for statement in FORGET_DOCUMENTS:
            connection.execute(statement, {"ids": [document_id]})

    db.overlapping(lambda connection: forget(connection, place.a), lambda connection: forget(connection, place.b))
    assert place.queries() == {}


def test_the_key_of_a_question_that_is_added_again_stays(place: Place, db: LedgerDatabase) -> None:
    """Prune has found it unused, and somebody adds it before prune destroys the key."""
    again, unused = query(Judgement("a", 1.0, place.a)), query(Judgement("b", 1.0, place.b))
    place.golden.remove(place.add(again, unused))
    kept = place.add(query(Judgement("a", 1.0, place.a)))
    later = db.ledger.retention.clock() + timedelta(days=1)
    assert {again.question_id, unused.question_id} <= set(db.ledger.pruning.keyed(later, 100_000))
    destroyed: list[UUID] = []

    def add_again(connection: Connection) -> None:
        row = "SELECT golden_set_id, :id, collection_id, sealed_name, origin FROM golden_queries"
        statement = f"INSERT INTO golden_queries {row} WHERE golden_set_id = :golden_set_id"
        connection.execute(text(statement), {"id": again.question_id, "golden_set_id": kept.golden_set_id})

    db.overlapping(add_again, lambda _: db.ledger.pruning.destroy_keys(later, 100_000, destroyed.extend))
    assert unused.question_id in destroyed and again.question_id not in destroyed
    assert again.question_id in place.golden.of_tenant(place.generation, place.tenant)
    assert unused.question_id not in place.golden.of_tenant(place.generation, place.tenant)


def test_nothing_of_a_tenant_stays_and_nothing_of_another_goes(place: Place, db: LedgerDatabase) -> None:
    spec = replace(place.source.spec, tenant=f"{place.tenant}b", uri="file:///b")
    opened(db, spec)
    for tenant in (place.tenant, spec.tenant):
        place.golden.add(place.generation, tenant, "default", [query(Judgement("x", 1.0))])
    place.give(uuid4(), place.a, CALLERS[0])
    place.record(place.evaluation())
    assert len(place.golden.of_tenant(place.generation, None)) == 3
    place.golden.remove_tenant(place.generation, place.tenant)
    assert place.golden.of_tenant(place.generation, place.tenant) == []
    assert [each.tenant for each in place.golden.sets(collection=place.collection)] == [spec.tenant]
    assert place.evaluations.history(place.tenant, place.collection, limit=9) == []
    assert place.feedback.open(place.tenant, place.collection, 9) == []


# --- feedback


def test_callers_are_counted_once_each(place: Place) -> None:
    question = uuid4()
    assert place.give(question, place.a, CALLERS[0]).balance == 1
    assert place.give(question, place.a, CALLERS[0], 3.0).relevant == 1, "the same caller's replaces the earlier one"
    assert place.give(question, place.a, CALLERS[1], 2.0).gain == 2.0, "the lowest of those who say relevant"
    told = place.give(question, place.a, CALLERS[2], 0.0)
    assert (told.relevant, told.irrelevant, told.balance, told.external_id) == (2, 1, 1, "a")
    assert place.give(question, place.b, CALLERS[0]).relevant == 1
    assert [each.document_id for each in place.feedback.open(place.tenant, place.collection, 9)] == [place.b, place.a]
    assert place.feedback.given_since(place.tenant, CALLERS[0], 3600) == 2
    assert place.feedback.given_since(place.tenant, CALLERS[3], 3600) == 0
    assert place.feedback.decide(place.generation, place.tenant, question, place.a, "accepted") == 3
    assert [each.document_id for each in place.feedback.open(place.tenant, place.collection, 9)] == [place.b]
    assert place.feedback.open(place.tenant, place.collection, 9, [uuid4()]) == []
    assert place.feedback.open(f"{place.tenant}x", place.collection, 9) == []


def test_rejected_opinions_do_not_count_and_are_not_opened_again(place: Place) -> None:
    question = uuid4()
    place.give(question, place.a, CALLERS[0])
    assert place.feedback.decide(place.generation, place.tenant, question, place.a, "rejected") == 1
    told = place.give(question, place.a, CALLERS[1], 2.0)
    assert (told.relevant, told.gain) == (1, 2.0)
    told = place.give(question, place.a, CALLERS[0], 0.5)
    assert (told.relevant, told.irrelevant, told.gain) == (1, 0, 2.0), "the same caller again, after the rejection"
    (listed,) = place.feedback.open(place.tenant, place.collection, 9)
    assert listed == told
    place.feedback.decide(place.generation, place.tenant, question, place.a, "rejected")
    assert place.feedback.open(place.tenant, place.collection, 9) == []


def test_an_accepted_opinion_is_open_again_if_its_caller_says_the_opposite(place: Place) -> None:
    question = uuid4()
    for caller in CALLERS[:2]:
        place.give(question, place.a, caller)
    place.feedback.decide(place.generation, place.tenant, question, place.a, "accepted")
    place.give(question, place.a, CALLERS[0], 3.0)
    assert place.feedback.open(place.tenant, place.collection, 9) == [], "more relevant is no contradiction"
    told = place.give(question, place.a, CALLERS[1], 0.0)
    assert (told.relevant, told.irrelevant) == (1, 1)
    assert place.feedback.open(place.tenant, place.collection, 9) == [told]


def test_feedback_says_whether_the_document_is_judged(place: Place) -> None:
    asked = query(Judgement("a", 1.0, place.a))
    assert not place.give(asked.question_id, place.a, CALLERS[0]).judged
    place.add(asked)
    assert not place.give(asked.question_id, place.a, CALLERS[0]).judged, "in another golden set"
    place.add(asked, name="feedback")
    assert place.give(asked.question_id, place.a, CALLERS[0]).judged
    assert not place.give(asked.question_id, place.b, CALLERS[0]).judged


def test_feedback_on_a_document_that_is_deleted_meanwhile_leaves_nothing(place: Place, db: LedgerDatabase) -> None:
    db.ledger.versions.remove(place.run, [place.a])
    with pytest.raises(NotFound, match="was deleted"):
        place.give(uuid4(), place.a, CALLERS[0])
    assert place.golden.of_tenant(place.generation, place.tenant) == []


def test_a_deletion_waits_for_feedback_that_is_being_given(place: Place, db: LedgerDatabase) -> None:
    place_of = {"collection_id": place.generation.collection_id, "tenant": place.tenant}
    db.overlapping(
        lambda connection: connection.execute(_DOCUMENT, {**place_of, "document_id": place.a}),
        lambda connection: connection.execute(
            text("UPDATE documents SET deleted_at = now() WHERE document_id = :id"), {"id": place.a}
        ),
    )


# --- evaluations


def test_an_evaluation_is_read_as_it_was_recorded(place: Place) -> None:
    made = place.record(place.evaluation(comparison=dropped()))
    assert made.evaluation_id.int and made.evaluated_at.tzinfo
    (read,) = place.evaluations.history(place.tenant, place.collection, limit=9)
    assert read.to_json() == made.to_json()
    assert [each.retriever for each in read.scores] == ["dense", FUSED] and read.hashes == ()
    assert read.comparison == made.comparison
    assert place.evaluations.history(place.tenant, place.collection, golden_set="other", limit=9) == []
    assert place.evaluations.history(f"{place.tenant}x", place.collection, limit=9) == []


def test_history_is_paged_from_the_last(place: Place) -> None:
    made = [place.record(place.evaluation()).evaluation_id for _ in range(3)]
    first = place.evaluations.history(place.tenant, place.collection, limit=2)
    assert [each.evaluation_id for each in first] == made[:0:-1]
    rest = place.evaluations.history(place.tenant, place.collection, limit=2, before=first[-1].evaluation_id)
    assert [each.evaluation_id for each in rest] == made[:1]


def test_the_baseline_is_the_last_that_passed(place: Place) -> None:
    def baseline() -> UUID | None:
        found = place.evaluations.baseline(place.generation, place.tenant, "default", 30)
        return found.evaluation_id if found else None

    assert baseline() is None
    good = place.record(place.evaluation())
    place.record(place.evaluation(comparison=dropped()))
    place.record(place.evaluation("other"))
    place.record(place.evaluation(top_k=50))
    other_embedder = replace(place.generation.profile, embedder="hash:16")
    place.record(place.evaluation(profile=other_embedder))
    found = place.evaluations.baseline(place.generation, place.tenant, "default", 30)
    assert found is not None and found.evaluation_id == good.evaluation_id
    assert found.hashes == good.hashes
    np.testing.assert_array_equal(found.of(FUSED).values, good.of(FUSED).values)
    accepted = place.record(place.evaluation(comparison=dropped(accepted=True)))
    assert baseline() == accepted.evaluation_id


def test_the_gate_is_a_result_of_the_run_and_is_replaced(place: Place, db: LedgerDatabase) -> None:
    for golden_set in ("default", "default", "other"):
        place.record(place.evaluation(golden_set, comparison=dropped()))
    results = db.ledger.quality.gates(place.run, -1)
    assert [(each.suite, each.success, each.observed["golden_set"]) for each in results] == [
        ("retrieval", False, "default"),
        ("retrieval", False, "other"),
    ]
    place.record(place.evaluation(comparison=dropped(dropped=False)))
    assert {each.observed["golden_set"]: each.success for each in db.ledger.quality.gates(place.run, -1)} == {
        "default": True,
        "other": False,
    }
    place.record(place.evaluation(comparison=dropped(), run_id=uuid4()))  # a run that was pruned


def test_the_last_run_is_the_last_that_changed_the_collection(place: Place, db: LedgerDatabase) -> None:
    def last_run() -> UUID | None:
        return place.evaluations.last_run(place.generation, place.tenant)

    def finished(documents: Any, state: str = "succeeded") -> UUID:
        run = started(db, place.source)
        db.ledger.runs.finish(run, state, {"documents": documents})
        return run.run_id

    assert last_run() is None
    unchanged = {"seen": 9, "new": 0, "changed": 0, "moved": 0, "deleted": 0, "unchanged": 9, "quarantined": 1}
    db.ledger.runs.finish(place.run, "succeeded", {"documents": {**unchanged, "new": 2}})
    assert last_run() == place.run.run_id
    finished({**unchanged, "new": 1}, "failed")
    finished(unchanged)
    finished(0)
    db.ledger.runs.finish(started(db, place.source), "succeeded", {})
    assert last_run() == place.run.run_id
    for name in ("changed", "moved", "deleted"):
        run_id = finished({**unchanged, name: 1})
        assert last_run() == run_id, name
    purge = finished(3)
    assert last_run() == purge, "a purge has one number"
    assert place.evaluations.last_run(place.generation, f"{place.tenant}x") is None


def test_old_history_goes_but_not_the_last_nor_the_baseline(place: Place, db: LedgerDatabase) -> None:
    later = db.ledger.retention.clock() + timedelta(days=1)
    while db.ledger.pruning.prune("evaluations", later, 1000):
        pass
    place.record(place.evaluation())
    baseline = place.record(place.evaluation())
    place.record(place.evaluation(comparison=dropped()))
    last = place.record(place.evaluation(comparison=dropped()))
    other = place.record(place.evaluation("other"))
    assert db.ledger.pruning.prunable("evaluations", later) == 2
    assert [db.ledger.pruning.prune("evaluations", later, 1) for _ in range(3)] == [1, 1, 0]
    left = place.evaluations.history(place.tenant, place.collection, limit=9)
    assert [each.evaluation_id for each in left] == [other.evaluation_id, last.evaluation_id, baseline.evaluation_id]
    place.give(uuid4(), place.a, CALLERS[0])
    assert db.ledger.pruning.prunable("feedback", db.ledger.retention.clock() - timedelta(days=1)) == 0
    assert db.ledger.pruning.prune("feedback", later, 100_000) >= 1
    assert place.feedback.open(place.tenant, place.collection, 9) == []
