"""What runs may spend and have spent, and what tenants may hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from sluice.errors import BadRequest
from sluice.model.costs import Budget, Quota, Spent
from sluice.model.run import Run
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import Source
from support.ledger_rows import (
    LedgerDatabase,
    entry,
    failure,
    loaded,
    name,
    opened,
    outbox,
    reader,
    scanned,
    shown,
    spec,
    started,
    version,
)


def limited(db: LedgerDatabase, max_tokens: int | None, price: float | None = None) -> Run:
    return db.ledger.runs.start(opened(db), "incremental", uuid4(), "tests", Budget(max_tokens, price))


def sized(external_id: str, size_bytes: int) -> ListingEntry:
    return replace(entry(external_id), size_bytes=size_bytes)


def served(db: LedgerDatabase, source: Source, *entries: ListingEntry) -> list[WorkItem]:
    """Every one of them, new or changed, is loaded by one run."""
    run = started(db, source)
    items = scanned(db, run, *entries)
    for item in items:
        loaded(db, run, item, f"{item.entry.external_id} {item.entry.fingerprint}")
    db.ledger.runs.finish(run, "succeeded", {})
    return items


def refused(db: LedgerDatabase, source: Source, *entries: ListingEntry) -> list[str]:
    """Names of those that `activate` refuses when they come in one batch."""
    run = started(db, source)
    items = scanned(db, run, *entries)
    db.ledger.versions.stage(
        run, [version(run, item, f"{item.entry.external_id} {item.entry.fingerprint}") for item in items]
    )
    names = {item.document_id: item.entry.external_id for item in items}
    result = [names[each] for each in db.ledger.versions.activate(run, [item.document_id for item in items])]
    db.ledger.runs.finish(run, "succeeded", {})
    return result


# --- budgets


def test_the_budget_of_a_run_is_its_first(db: LedgerDatabase) -> None:
    run = limited(db, 10, 0.02)
    again = db.ledger.runs.start(run.source, "incremental", run.run_id, "tests", Budget(99, 1.0))
    assert run.budget == again.budget == db.ledger.runs.get(run.run_id).budget == Budget(10, 0.02)
    assert started(db, opened(db)).budget == Budget()


def test_what_is_reserved_is_not_there_for_others(db: LedgerDatabase) -> None:
    run = limited(db, 100)
    assert db.ledger.costs.reserve(run, 0, 70) == 70
    assert db.ledger.costs.reserve(run, 1, 70) == 30
    assert db.ledger.costs.reserve(run, 2, 1) == 0
    db.ledger.costs.settle(run, 0, Spent(3, 20, 0.5))
    assert db.ledger.costs.reserve(run, 2, 70) == 50
    assert db.ledger.costs.spent(run) == Spent(3, 20, 0.5)


def test_a_retry_takes_the_place_of_its_own_reservation(db: LedgerDatabase) -> None:
    run = limited(db, 100)
    assert db.ledger.costs.reserve(run, 0, 90) == 90  # and its process dies
    assert db.ledger.costs.reserve(run, 1, 90) == 10
    assert db.ledger.costs.reserve(run, 0, 95) == 90
    db.ledger.costs.settle(run, 0, Spent(1, 90, 0.0))
    assert db.ledger.costs.reserve(run, 1, 95) == 10


def test_what_is_paid_twice_counts_twice(db: LedgerDatabase) -> None:
    run = limited(db, None)
    for _ in range(2):
        db.ledger.costs.settle(run, 0, Spent(2, 5, 0.25))
    db.ledger.costs.settle(run, 7, Spent(1, 1, 1.0))
    assert db.ledger.costs.spent(run) == Spent(5, 11, 1.5)
    assert db.ledger.costs.spent(limited(db, None)) == Spent()
    assert db.ledger.costs.reserve(run, 0, 10**12) == 10**12, "no limit"


def test_more_than_was_reserved_leaves_nothing(db: LedgerDatabase) -> None:
    run = limited(db, 10)
    assert db.ledger.costs.reserve(run, 0, 8) == 8
    db.ledger.costs.settle(run, 0, Spent(1, 25, 0.0))
    assert db.ledger.costs.reserve(run, 0, 1) == db.ledger.costs.reserve(run, 1, 1) == 0


def test_parallel_batches_never_get_more_than_there_is(db: LedgerDatabase) -> None:
    run = limited(db, 1000)

    def spend(batch: int) -> int:
        taken = 0
        while granted := db.ledger.costs.reserve(run, batch, 37):
            db.ledger.costs.settle(run, batch, Spent(1, granted, 0.0))
            taken += granted
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(8))) == 1000
    assert db.ledger.costs.spent(run).tokens == 1000


def test_a_run_is_stopped_once_and_for_all(db: LedgerDatabase) -> None:
    run = limited(db, 0)
    assert db.ledger.costs.exceeded(run) is None
    db.ledger.costs.record_exceeded(run, "budget")
    assert db.ledger.costs.exceeded(run) == "budget"
    assert db.ledger.costs.exceeded(limited(db, 0)) is None


# --- quotas


def test_use_is_what_is_served_in_all_collections(db: LedgerDatabase) -> None:
    tenant = name()
    one, other = opened(db, spec(tenant)), opened(db, spec(tenant))
    assert db.ledger.quotas.use(tenant).quota == Quota()
    a, b = served(db, one, sized("a", 100), sized("b", 20))
    served(db, other, sized("a", 3))
    served(db, opened(db), sized("a", 5000))
    use = db.ledger.quotas.use(tenant)
    assert (use.documents, use.size_bytes) == (3, 123)
    assert use in db.ledger.quotas.uses()
    served(db, one, sized("a", 100), replace(sized("b", 50), fingerprint="2"))
    assert db.ledger.quotas.use(tenant).size_bytes == 153, "a former version is not served"
    db.ledger.versions.remove(started(db, one), [a.document_id])
    use = db.ledger.quotas.use(tenant)
    assert (use.documents, use.size_bytes) == (2, 53)
    db.expire(b.document_id)
    assert db.ledger.quotas.use(tenant).documents == 2, "until it is removed"


def test_a_quota_is_kept_and_taken_back(db: LedgerDatabase) -> None:
    tenant = name()
    db.ledger.quotas.assign(tenant, Quota(7, 0))
    assert db.ledger.quotas.use(tenant).quota == Quota(7, 0)
    assert [each.quota for each in db.ledger.quotas.uses() if each.tenant == tenant] == [Quota(7, 0)]
    db.ledger.quotas.assign(tenant, Quota(None, 9))
    assert db.ledger.quotas.use(tenant).quota == Quota(None, 9)
    for wrong in (Quota(-1), Quota(None, -1), Quota(2**63)):
        with pytest.raises(BadRequest):
            db.ledger.quotas.assign(tenant, wrong)
    unknown = db.ledger.quotas.use(name())
    assert (unknown.documents, unknown.quota) == (0, Quota())


def test_documents_beyond_the_quota_are_refused_and_leave_nothing(db: LedgerDatabase) -> None:
    source = opened(db)
    db.ledger.quotas.assign(source.spec.tenant, Quota(2))
    assert refused(db, source, entry("a"), entry("b"), entry("c")) == ["c"]
    assert db.ledger.quotas.use(source.spec.tenant).documents == 2
    assert db.ledger.collections.counts(source.generation).chunks == 2
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"), entry("b"), entry("c"))
    assert item.entry.external_id == "c", "it is tried again"
    assert shown(db, source, item, "c 1") == []
    queued = [each for removal in outbox(db.ledger, source.generation.collection_id, 9) for each in removal.chunk_ids]
    assert len(queued) == 1, "what was written of it goes"


def test_bytes_are_shared_by_the_collections_of_a_tenant(db: LedgerDatabase) -> None:
    tenant = name()
    one, other = opened(db, spec(tenant)), opened(db, spec(tenant))
    db.ledger.quotas.assign(tenant, Quota(None, 100))
    assert refused(db, one, sized("a", 60)) == []
    assert refused(db, other, sized("big", 41), sized("small", 40), sized("none", 0)) == ["big"]
    assert refused(db, one, sized("a", 60), sized("b", 1)) == ["b"]
    assert db.ledger.quotas.use(tenant).size_bytes == 100


def test_an_edit_that_does_not_grow_is_always_allowed(db: LedgerDatabase) -> None:
    source = opened(db)
    (item,) = served(db, source, sized("a", 80))
    db.ledger.quotas.assign(source.spec.tenant, Quota(0, 10))
    assert refused(db, source, replace(sized("a", 80), fingerprint="2")) == []
    assert refused(db, source, replace(sized("a", 79), fingerprint="3")) == []
    assert refused(db, source, replace(sized("a", 80), fingerprint="4")) == ["a"]
    assert shown(db, source, item, "a 3", "a 4") == [b"\x01\x00texta 3"], "what was served stays"
    assert db.catalog.document(reader(source), item.document_id).version == 3


def test_what_does_not_fit_now_is_told_before_anything_is_paid(db: LedgerDatabase) -> None:
    source = opened(db)
    (a,) = served(db, source, sized("a", 10))
    run = started(db, source)
    b, c = scanned(db, run, sized("a", 10), sized("b", 10), sized("c", 10))
    sizes = {each.document_id: 10 for each in (a, b, c)}
    assert db.ledger.quotas.beyond(run, sizes) == set()
    db.ledger.quotas.assign(source.spec.tenant, Quota(2))
    assert db.ledger.quotas.beyond(run, sizes) == {c.document_id}
    assert db.ledger.quotas.beyond(run, {}) == set()
    db.ledger.quarantine.add(run, [replace(failure(c), code="quota", retry=True)])
    db.ledger.quotas.assign(source.spec.tenant, Quota())
    again = started(db, source)
    assert c in scanned(db, again, sized("a", 10), sized("b", 10), sized("c", 10)), "there is room now"


def test_runs_side_by_side_do_not_exceed_it_together(db: LedgerDatabase) -> None:
    tenant = name()
    db.ledger.quotas.assign(tenant, Quota(10, 95))
    sources = [opened(db, spec(tenant)) for _ in range(6)]

    def load(source: Source) -> int:
        run = started(db, source)
        items = scanned(db, run, *[sized(f"{n}", 10) for n in range(4)])
        went = 0
        for item in items:
            db.ledger.versions.stage(run, [version(run, item, item.entry.external_id)])
            went += len(db.ledger.versions.activate(run, [item.document_id]))
        return went

    with ThreadPoolExecutor(6) as pool:
        went = sum(pool.map(load, sources))
    use = db.ledger.quotas.use(tenant)
    assert (use.documents, use.size_bytes, went) == (9, 90, 15)
