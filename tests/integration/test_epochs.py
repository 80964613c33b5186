"""The epoch of a collection differs after every write that a search may show, and triggers see to it, not the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from sluice.adapters.postgres import catalog
from sluice.model.grants import Grant
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.model.source import Schedule, Source
from sluice.model.weights import LearnedWeights, Weights
from support.engines import EngineStack
from support.ledger_rows import (
    LedgerDatabase,
    carried_out,
    engine_of,
    entry,
    failure,
    loaded,
    opened,
    reader,
    resaved,
    scanned,
    spec,
    started,
    version,
)

SOON = datetime.now(UTC) + timedelta(days=1)


@dataclass
class Ground:
    """A source with one document of two chunks that is served, and one that is not yet."""

    db: LedgerDatabase
    owner: Engine
    source: Source
    run: Run
    item: WorkItem
    other: WorkItem

    @property
    def collection_id(self) -> UUID:
        return self.source.generation.collection_id

    def epoch(self) -> str:
        return self.db.catalog.live(self.source.spec.collection, reader(self.source, "*")).epoch

    def sql(self, statement: str) -> None:
        ids = {"d": self.item.document_id, "o": self.other.document_id, "c": self.collection_id}
        ids |= {"s": self.source.source_id, "r": self.run.run_id}
        used = {name: each for name, each in ids.items() if re.search(rf":{name}\b", statement)}
        with self.owner.begin() as connection:
            assert connection.execute(text(statement), used).rowcount == 1, "the write writes nothing"

    def scan(self, *entries: object, **settings: object) -> Run:
        """By a later run."""
        self.db.ledger.runs.finish(self.run, "succeeded", {})
        run = started(self.db, self.source)
        wanted = replace(self.source.spec, **settings) if settings else None  # type: ignore[arg-type]
        self.db.ledger.scans.record(run, list(entries), wanted)  # type: ignore[arg-type]
        return run

    def delete_by_hand(self) -> None:
        run = started(self.db, self.source, "purge")
        self.db.ledger.deletions.delete(run, [self.item.document_id], still_listed=True, actor="ann")

    def assign(self, **level: object) -> None:
        scope = RetentionScope(self.source.spec.collection, self.source.spec.tenant, **level)  # type: ignore[arg-type]
        self.db.ledger.retention.assign(scope, Retention(until=SOON))


@pytest.fixture
def ground(db: LedgerDatabase, stack: EngineStack) -> Iterator[Ground]:
    url = make_url(stack.environment["SLUICE_DATABASE_OWNER_URL"]).set(database=db.engine.url.database)
    owner = engine_of(url.render_as_string(hide_password=False))
    source = opened(db, spec(access_groups=("staff",)))
    run = started(db, source)
    item, other = scanned(db, run, entry("a"), entry("b"))
    loaded(db, run, item, "one", "two")
    yield Ground(db, owner, source, run, item, other)
    owner.dispose()


# --- by the ledger's own operations


def edit(ground: Ground) -> None:
    run = ground.scan(entry("a", "2"), entry("b"))
    loaded(ground.db, run, ground.item, "one", "three")


def purge(ground: Ground) -> None:
    ground.db.expire(ground.item.document_id)
    run = started(ground.db, ground.source, "purge")
    as_of = ground.db.ledger.retention.clock()
    assert ground.db.ledger.retention.purge(run, [ground.item.document_id], as_of)


def restore(ground: Ground) -> None:
    ground.delete_by_hand()
    before = ground.epoch()
    ground.db.ledger.deletions.restore(ground.item.document_id)
    assert ground.epoch() != before


def drain(ground: Ground) -> None:
    edit(ground)
    before = ground.epoch()
    assert carried_out(ground.db.ledger, ground.collection_id)
    assert ground.epoch() != before


def reconcile(ground: Ground) -> None:
    assert ground.db.ledger.reconciliation.record(ground.source.generation, datetime.now(UTC), True, {})


def learn(ground: Ground, weights: Weights = Weights(0.3)) -> None:
    learned = LearnedWeights(weights, 40, 0.02, 0.01)
    ground.db.ledger.evaluations.learn_weights(ground.source.generation, ground.source.spec.tenant, learned)


def relearn(ground: Ground) -> None:
    learn(ground)
    before = ground.epoch()
    learn(ground, Weights(0.7))
    assert ground.epoch() != before


def forget(ground: Ground) -> None:
    learn(ground)
    before = ground.epoch()
    ground.db.ledger.evaluations.forget_weights(ground.source.generation, ground.source.spec.tenant)
    assert ground.epoch() != before


def rename(ground: Ground) -> None:
    ground.scan(replace(entry("z"), previous_name="a"), entry("b"))


OPERATIONS: dict[str, Callable[[Ground], object]] = {
    "first version": lambda g: loaded(g.db, g.run, g.other, "words"),
    "edit": edit,
    "deletion at the source": lambda g: g.db.ledger.versions.remove(g.run, [g.item.document_id]),
    "deletion by hand": Ground.delete_by_hand,
    "restore": restore,
    "purge": purge,
    "rename": rename,
    "another address": lambda g: g.scan(replace(entry("a"), uri="file:///elsewhere"), entry("b")),
    "groups of the source, saved": lambda g: resaved(g.db, replace(g.source.spec, access_groups=("board",))),
    "groups of the source, by a run": lambda g: g.scan(entry("a"), entry("b"), access_groups=("board",)),
    "groups of a document": lambda g: g.db.set_own_groups(g.item.document_id, ["board"]),
    "retention of the collection": lambda g: g.assign(),
    "retention of the source": lambda g: g.assign(source=g.source.spec.uri),
    "retention of a document": lambda g: g.assign(document_id=g.item.document_id),
    "removal of the source": lambda g: g.db.ledger.sources.remove(started(g.db, g.source, "purge")),
    "points deleted": drain,
    "points repaired": reconcile,
    "learned weights": lambda g: learn(g),
    "other weights": lambda g: relearn(g),
    "the default weights again": lambda g: forget(g),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_operation_that_a_search_may_show(ground: Ground, operation: Callable[[Ground], object]) -> None:
    before = ground.epoch()
    operation(ground)
    assert ground.epoch() != before


def test_without_triggers_no_operation_is_noticed(ground: Ground) -> None:
    """So there is no second mechanism, which could be forgotten."""
    for trigger, table in triggers(ground.owner).items():
        switch(ground, table, trigger, on=False)
    before = ground.epoch()
    for operation in (edit, Ground.delete_by_hand, reconcile):
        operation(ground)
    assert ground.epoch() == before


HARMLESS: dict[str, Callable[[Ground], object]] = {
    "an unchanged scan": lambda g: g.scan(entry("a"), entry("b")),
    "another fingerprint": lambda g: g.sql("UPDATE documents SET fingerprint = 'x' WHERE document_id = :d"),
    "a new document": lambda g: g.scan(entry("a"), entry("b"), entry("c")),
    "a staged version": lambda g: g.db.ledger.versions.stage(g.run, [version(g.run, g.other, "words")]),
    "quarantine": lambda g: g.db.ledger.quarantine.add(g.run, [failure(g.other)]),
    "a schedule": lambda g: g.db.ledger.sources.set_schedule(
        g.source.spec.tenant, g.source.spec.collection, g.source.spec.uri, Schedule(paused=True)
    ),
    "a grant, which is in the key": lambda g: g.db.ledger.grants.add(
        Grant("ann", g.source.spec.tenant, frozenset({"staff"}), False)
    ),
    "a comparison that repairs nothing": lambda g: g.db.ledger.reconciliation.record(
        g.source.generation, datetime.now(UTC), False, {}
    ),
    "another collection": lambda g: loaded_elsewhere(g.db),
}


def loaded_elsewhere(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "words")


@pytest.mark.parametrize("operation", HARMLESS.values(), ids=HARMLESS)
def test_what_no_search_shows_changes_nothing(ground: Ground, operation: Callable[[Ground], object]) -> None:
    before = ground.epoch()
    operation(ground)
    assert ground.epoch() == before


# --- by any statement at all

_COPY = """
    INSERT INTO versions (version_id, document_id, collection_id, generation, number, state, raw_hash, mime, size_bytes,
                          fingerprint, sealed_title, sealed_text, sealed_metadata, run_id, activated_at)
    SELECT gen_random_uuid(), :o, collection_id, 1, 1, 'active', '', 'm', 1, 'f', '', '', '', run_id, now()
    FROM versions WHERE document_id = :d AND state = 'active'
"""
STATEMENTS = [
    *(
        ("documents_update_epoch", f"UPDATE documents SET {change} WHERE document_id = :d")
        for change in (
            *("deleted_at = now()", "removed_at = now()", "expires_at = now()", "purged_hash = ''"),
            *("access_groups = '{}'", "uri = 'x'", "external_id = 'x'"),
        )
    ),
    ("sources_update_epoch", "UPDATE sources SET access_groups = '{}' WHERE source_id = :s"),
    ("sources_update_epoch", "UPDATE sources SET removed_at = now() WHERE source_id = :s"),
    ("collections_update_epoch", "UPDATE collections SET filter_fields = '{}' WHERE collection_id = :c"),
    ("versions_insert_epoch", _COPY),
    ("versions_update_epoch", "UPDATE versions SET sealed_title = 'x' WHERE document_id = :d AND state = 'active'"),
    ("versions_update_epoch", "UPDATE versions SET state = 'superseded' WHERE document_id = :d AND state = 'active'"),
    ("versions_delete_epoch", "DELETE FROM versions WHERE document_id = :d AND state = 'active'"),
    ("chunks_update_epoch", "UPDATE chunks SET sealed_text = 'x' WHERE document_id = :d AND ordinal = 0"),
    (
        "reconciliations_insert_epoch",
        "INSERT INTO reconciliations (collection_id, generation, started_at, repair, found) "
        "VALUES (:c, 1, now(), true, '{}')",
    ),
    ("outbox_delete_epoch", "DELETE FROM outbox WHERE document_id = :d"),
    (
        "search_weights_insert_epoch",
        "INSERT INTO search_weights"
        " (collection_id, generation, tenant_id, dense, pairs, resemblance, metadata, queries, gain, p)"
        " SELECT :c, 2, tenant_id, 0.5, 0.2, 0, 0.3, 30, 0.1, 0.01 FROM sources WHERE source_id = :s",
    ),
    ("search_weights_update_epoch", "UPDATE search_weights SET dense = 0.4 WHERE collection_id = :c"),
    ("search_weights_delete_epoch", "DELETE FROM search_weights WHERE collection_id = :c"),
]


@pytest.mark.parametrize(("trigger", "statement"), STATEMENTS, ids=lambda each: " ".join(each.split()[:4]))
def test_each_trigger_alone_notices_its_statement(ground: Ground, trigger: str, statement: str) -> None:
    if trigger == "outbox_delete_epoch":
        edit(ground)
    if trigger in ("search_weights_update_epoch", "search_weights_delete_epoch"):
        learn(ground)
    before = ground.epoch()
    tables = triggers(ground.owner)
    with ground.owner.connect() as connection, connection.begin() as transaction:  # rolled back
        connection.execute(text(f"ALTER TABLE {tables[trigger]} DISABLE TRIGGER {trigger}"))
        ids = {"d": ground.item.document_id, "o": ground.other.document_id, "c": ground.collection_id}
        ids["s"] = ground.source.source_id
        used = {name: each for name, each in ids.items() if re.search(rf":{name}\b", statement)}
        assert connection.execute(text(statement), used).rowcount >= 1
        tokens = connection.execute(text("SELECT token FROM collection_epochs WHERE collection_id = :c"), ids)
        assert " ".join(map(str, tokens.scalars())) == before, "without its trigger nothing notices it"
        transaction.rollback()
    assert ground.epoch() == before, "a rollback changes nothing"
    ground.sql(statement)
    assert ground.epoch() != before


def test_every_trigger_has_a_statement(ground: Ground) -> None:
    assert triggers(ground.owner).keys() == {trigger for trigger, _ in STATEMENTS} | {"collections_delete_epoch"}


def test_every_table_that_a_search_reads_has_a_trigger_or_is_in_the_key(ground: Ground) -> None:
    """Adding a table to one of these statements needs a trigger (a migration like 0022), or a part of the cache key."""
    values = {"tenant": "t", "groups": [], "all_groups": False, "name": "c", "ids": [], "generation": 1}
    read: set[str] = set()
    with ground.db.engine.connect() as connection:
        for statement in (catalog.LIVE, catalog.SOURCES, catalog.HYDRATE):
            plan = connection.execute(
                text(f"EXPLAIN (FORMAT JSON) {statement}"), {**values, "collection_id": ground.collection_id}
            ).scalar_one()
            read |= set(re.findall(r'"Relation Name": "([^"]+)"', json.dumps(plan)))
    assert read == {*triggers(ground.owner).values()} - {"outbox", "reconciliations"} | {
        "generations",  # a part of the key
        "collection_epochs",
    }


def triggers(owner: Engine) -> dict[str, str]:
    """Trigger → its table."""
    query = "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%\\_epoch' AND NOT tgisinternal"
    with owner.connect() as connection:
        return {name: table for name, table in connection.execute(text(query))}


def switch(ground: Ground, table: str, trigger: str, *, on: bool) -> None:
    with ground.owner.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} {'ENABLE' if on else 'DISABLE'} TRIGGER {trigger}"))


# --- at the same time

_WRITE = text("UPDATE documents SET uri = :uri WHERE document_id = :d")


def test_commits_in_any_order_are_noticed_one_by_one(ground: Ground) -> None:
    loaded(ground.db, ground.run, ground.other, "words")
    epochs = [ground.epoch()]
    with ground.db.engine.connect() as first, ground.db.engine.connect() as second:
        first.execute(text("SET LOCAL lock_timeout = '1ms'"))
        first.execute(_WRITE, {"uri": "1", "d": ground.item.document_id})
        second.execute(text("SET LOCAL lock_timeout = '1ms'"))  # neither waits for the other
        second.execute(_WRITE, {"uri": "2", "d": ground.other.document_id})
        epochs.append(ground.epoch())
        second.commit()
        epochs.append(ground.epoch())
        first.commit()
        epochs.append(ground.epoch())
    assert epochs[0] == epochs[1], "what is not committed is not noticed"
    assert len(set(epochs)) == 3


def test_many_writers_of_one_collection_do_not_wait_and_leave_few_rows(ground: Ground) -> None:
    db = ground.db
    run = started(db, ground.source)
    items = scanned(db, run, entry("a"), entry("b"), *(entry(f"d{number}") for number in range(4)))
    ids = [item.document_id for item in items] or [ground.other.document_id]
    with ThreadPoolExecutor(4) as pool:

        def write(number: int) -> set[UUID]:
            with db.engine.begin() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '1ms'"))
                own = ids[number % len(ids)]
                try:
                    connection.execute(_WRITE, {"uri": str(uuid4()), "d": own})
                except DBAPIError:
                    return set()  # another thread has this document
            return db.epoch(ground.collection_id)

        seen = [each for each in pool.map(write, range(200)) if each]
    assert len(seen) > 50
    assert len({frozenset(each) for each in seen}) > 25, "epochs do not come back"
    assert len(db.epoch(ground.collection_id)) <= 5, "rows are used again"


def test_a_dropped_collection_leaves_no_epoch(ground: Ground) -> None:
    db = ground.db
    db.ledger.versions.remove(ground.run, [ground.item.document_id, ground.other.document_id])
    carried_out(db.ledger, ground.collection_id)
    db.ledger.runs.finish(ground.run, "succeeded", {})
    db.ledger.sources.remove(started(db, ground.source, "purge"))
    assert db.epoch(ground.collection_id)
    db.ledger.collections.begin_drop(ground.source.generation)
    db.ledger.collections.drop(ground.source.generation)
    assert db.epoch(ground.collection_id) == set()


# --- the nearest expiry


def test_the_nearest_expiry_is_that_of_any_document_of_a_readable_source(ground: Ground) -> None:
    db, collection = ground.db, ground.source.spec.collection
    staff, nobody = reader(ground.source, "staff"), reader(ground.source)
    foreign = opened(db, spec(ground.source.spec.tenant, collection, access_groups=("board",)))
    open_to_all = opened(db, spec(ground.source.spec.tenant, collection))
    assert db.catalog.live(collection, staff).next_expiry is None
    for source, days in ((foreign, 1), (ground.source, 2), (open_to_all, 3)):
        run = started(db, source)
        items = scanned(db, run, *(entry(f"n{number}") for number in range(3)))
        for number in range(3):
            item = items[number]
            loaded(db, run, item, "words")
            db.execute(
                "UPDATE documents SET expires_at = now() + make_interval(days => :days) WHERE document_id = :d",
                days=days + 10 * number,
                d=item.document_id,
            )
    now = db.ledger.retention.clock()
    left = {who: db.catalog.live(collection, who).next_expiry for who in (staff, nobody)}
    assert [each and round((each - now) / timedelta(days=1)) for each in left.values()] == [2, 3]
    db.execute(
        "UPDATE documents SET expires_at = now() - interval '1 s' WHERE expires_at < now() + interval '2.5 days'"
    )
    again = db.catalog.live(collection, staff)
    assert again.next_expiry and round((again.next_expiry - again.read_at) / timedelta(days=1)) == 3
