"""Who may read what."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from sluice.errors import BadRequest, NotFound, Unavailable
from sluice.model.gates import GateResult, GateRow
from sluice.model.grants import Grant, Principal
from sluice.model.run import Run, StageStat
from sluice.model.scan import WorkItem
from sluice.model.source import Source
from support.ledger_rows import (
    LedgerDatabase,
    chunk_id,
    engine_of,
    entry,
    failure,
    loaded,
    name,
    opened,
    reader,
    resaved,
    scanned,
    shown,
    spec,
    started,
    version,
)


def filled(db: LedgerDatabase, *groups: str, collection: str | None = None) -> tuple[Source, Run, WorkItem]:
    """A source readable by `groups` with one document of the chunks "one" and "two"."""
    source = opened(db, spec(collection=collection, access_groups=groups))
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one", "two")
    return source, run, item


# --- hydration


def test_passages_come_in_the_order_asked_for(db: LedgerDatabase) -> None:
    source, run, item = filled(db)
    ids = [chunk_id(item.document_id, words) for words in ("two", "unknown", "one", "two")]
    hydrated = db.catalog.hydrate(source.generation, [*ids, uuid4()], reader(source))
    assert [each.chunk_id for each in hydrated] == [ids[0], ids[2], ids[3]]
    staged = version(run, item, "one", "two")
    two = hydrated[0]
    assert (two.external_id, two.uri, two.mime) == ("a", item.entry.uri, "text/plain")
    assert (two.version, two.generation, two.run_id) == (1, 1, run.run_id)
    assert (two.start, two.end, two.page) == (100, 150, 2)
    assert (two.sealed_text, two.sealed_headings) == (staged.chunks[1].sealed_text, staged.chunks[1].sealed_headings)
    assert (two.sealed_title, two.sealed_metadata) == (staged.sealed_title, staged.sealed_metadata)
    assert hydrated[1].page is None
    assert db.catalog.hydrate(source.generation, [], reader(source)) == []


def test_another_tenant_gets_nothing(db: LedgerDatabase) -> None:
    source, _, item = filled(db)
    stranger = replace(reader(source, "*"), tenant=name())
    assert shown(db, source, item, "one", who=stranger) == []
    with pytest.raises(NotFound):
        db.catalog.document(stranger, item.document_id)
    with pytest.raises(NotFound):
        db.catalog.live(source.spec.collection, stranger)
    with pytest.raises(NotFound):
        db.catalog.documents(stranger, source.spec.collection, 10)
    assert db.catalog.collections(stranger) == []


@pytest.mark.parametrize(
    ("held", "allowed"), [((), False), (("guests",), False), (("guests", "staff"), True), (("*",), True)]
)
def test_groups_decide_what_is_read(db: LedgerDatabase, held: tuple[str, ...], allowed: bool) -> None:
    source, _, item = filled(db, "staff", "board")
    who = reader(source, *held)
    assert bool(shown(db, source, item, "one", who=who)) is allowed
    if allowed:
        live = db.catalog.live(source.spec.collection, who)
        assert (live.generation, live.sources) == (source.generation, (source.source_id,))
        assert len(db.catalog.documents(who, source.spec.collection, 10)) == 1
        return
    with pytest.raises(NotFound):
        db.catalog.document(who, item.document_id)
    for call in (db.catalog.live, lambda collection, who: db.catalog.documents(who, collection, 10)):
        said = []
        for collection in (source.spec.collection, name()):
            with pytest.raises(NotFound) as refused:
                call(collection, who)
            said.append(str(refused.value).replace(collection, "<name>"))
        assert said[0] == said[1], "whether it exists is not told"


def test_a_source_named_with_a_star_is_no_ones_but_the_stars(db: LedgerDatabase) -> None:
    source, _, item = filled(db, "*")
    assert shown(db, source, item, "one", who=reader(source, "staff")) == []
    assert shown(db, source, item, "one", who=reader(source, "*"))


def test_a_documents_own_groups_replace_its_sources(db: LedgerDatabase) -> None:
    source, _, item = filled(db, "staff")
    db.set_own_groups(item.document_id, ["board"])
    assert shown(db, source, item, "one", who=reader(source, "staff")) == []
    assert shown(db, source, item, "one", who=reader(source, "board"))
    assert db.catalog.live(source.spec.collection, reader(source, "board")).sources == (source.source_id,)
    with pytest.raises(NotFound):
        db.catalog.live(source.spec.collection, reader(source, "guests"))
    db.set_own_groups(item.document_id, [])
    assert shown(db, source, item, "one", who=reader(source))


def test_new_groups_of_a_source_hold_at_once(db: LedgerDatabase) -> None:
    source, _, item = filled(db)
    before = db.epoch(source.generation.collection_id)
    resaved(db, replace(source.spec, access_groups=("staff",)))
    assert shown(db, source, item, "one") == []
    assert db.epoch(source.generation.collection_id) != before


def test_an_expired_document_is_not_read(db: LedgerDatabase) -> None:
    source, _, item = filled(db)
    db.expire(item.document_id)
    assert shown(db, source, item, "one", who=reader(source, "*")) == []
    assert db.catalog.documents(reader(source), source.spec.collection, 10) == []
    with pytest.raises(NotFound):
        db.catalog.document(reader(source), item.document_id)


def test_retention_gives_documents_an_end(db: LedgerDatabase) -> None:
    source = opened(db, spec(retention_days=30))
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    info = db.catalog.document(reader(source), item.document_id)
    assert info.expires_at is not None and info.activated_at is not None
    assert (info.expires_at - info.activated_at).days == 30


def test_another_collections_generation_serves_nothing(db: LedgerDatabase) -> None:
    source, _, item = filled(db)
    other = opened(db, spec(tenant=source.spec.tenant))
    assert shown(db, other, item, "one", who=reader(source)) == []


# --- lists


def test_collections_are_counted_by_tenant(db: LedgerDatabase) -> None:
    source, run, _ = filled(db)
    (bad,) = [item for item in scanned(db, run, entry("a"), entry("bad")) if item.new]
    db.ledger.quarantine.add(run, [failure(bad)])
    filled(db, collection=source.spec.collection)
    (info,) = db.catalog.collections(reader(source))
    assert (info.name, info.generation, info.profile) == (source.spec.collection, 1, source.generation.profile)
    assert (info.documents, info.chunks, info.quarantined) == (1, 2, 1)


def test_only_what_may_be_read_is_counted(db: LedgerDatabase) -> None:
    source, run, item = filled(db, "staff")
    (bad,) = [each for each in scanned(db, run, entry("a"), entry("bad")) if each.new]
    db.ledger.quarantine.add(run, [failure(bad)])
    assert db.catalog.collections(reader(source, "guests")) == []
    open_to_all = opened(db, replace(source.spec, uri="file:///open", access_groups=()))
    guest, staff = reader(source, "guests"), reader(source, "staff")

    def figures(who: Principal) -> tuple[int, int, int]:
        (info,) = db.catalog.collections(who)
        return info.documents, info.chunks, info.quarantined

    assert figures(guest) == (0, 0, 0)
    run = started(db, open_to_all)
    (public,) = scanned(db, run, entry("p"))
    loaded(db, run, public, "one")
    assert figures(guest) == (1, 1, 0)
    assert figures(staff) == (2, 3, 1)
    db.set_own_groups(item.document_id, ["guests"])
    assert (figures(guest), figures(staff)) == ((2, 3, 0), (1, 1, 1))
    db.expire(public.document_id)
    assert figures(guest) == (1, 2, 0)


def test_a_collection_is_listed_for_one_document_of_ones_own(db: LedgerDatabase) -> None:
    source, _, item = filled(db, "staff")
    db.set_own_groups(item.document_id, ["board"])
    (info,) = db.catalog.collections(reader(source, "board"))
    assert (info.documents, info.chunks) == (1, 2)


def test_documents_come_in_pages(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    items = scanned(db, run, *(entry(f"d{i:02}") for i in range(25)))
    db.ledger.versions.stage(run, [version(run, item, "one", "two") for item in items[:20]])
    db.ledger.versions.activate(run, [item.document_id for item in items[:20]])
    db.ledger.quarantine.add(run, [failure(items[20])])
    seen = []
    after = None
    while page := db.catalog.documents(reader(source), source.spec.collection, 10, after):
        assert len(page) <= 10
        seen += page
        after = page[-1].document_id
    assert {each.external_id for each in seen} == {f"d{i:02}" for i in range(25)} and len(seen) == 25
    by_name = {each.external_id: each for each in seen}
    served, refused, waiting = by_name["d00"], by_name["d20"], by_name["d24"]
    assert (served.version, served.generation, served.run_id, served.chunks) == (1, 1, run.run_id, 2)
    assert (served.mime, served.size_bytes, served.sealed_title) == ("text/plain", 10, b"\x01title")
    assert served.quarantine is None and served.activated_at is not None
    assert (refused.version, refused.chunks, refused.sealed_title) == (None, 0, None)
    assert refused.quarantine == failure(items[20]).reason
    assert (waiting.version, waiting.quarantine) == (None, None)
    assert db.catalog.document(reader(source), served.document_id) == served


def test_an_unknown_collection_is_not_found(db: LedgerDatabase) -> None:
    source, _, _ = filled(db)
    for call in (db.catalog.live, lambda collection, who: db.catalog.documents(who, collection, 1)):
        with pytest.raises(NotFound, match="no collection"):
            call(name(), reader(source))


# --- grants


def test_a_grant_can_be_replaced(db: LedgerDatabase) -> None:
    who, tenant, other = name(), name(), name()
    assert db.ledger.grants.of(who) == []
    db.ledger.grants.add(Grant(who, tenant, frozenset({"staff", "board"}), False))
    db.ledger.grants.add(Grant(who, tenant, frozenset({"*"}), True))
    db.ledger.grants.add(Grant(who, other, frozenset(), False))
    db.ledger.grants.add(Grant(name(), tenant, frozenset({"staff"}), True))
    expected = [Grant(who, tenant, frozenset({"*"}), True), Grant(who, other, frozenset(), False)]
    assert db.ledger.grants.of(who) == sorted(expected, key=lambda grant: grant.tenant)


def test_a_grant_can_be_taken_back(db: LedgerDatabase) -> None:
    who, tenant, other = name(), name(), name()
    stored = Grant(who, other, frozenset({"staff"}), True)
    db.ledger.grants.add(Grant(who, tenant, frozenset({"*"}), True))
    db.ledger.grants.add(stored)
    assert db.ledger.grants.revoke(who, tenant)
    assert not db.ledger.grants.revoke(who, tenant)
    assert not db.ledger.grants.revoke(name(), other)
    assert db.ledger.grants.of(who) == [stored]


def test_a_grant_for_a_nameless_tenant_is_refused(db: LedgerDatabase) -> None:
    with pytest.raises(BadRequest):
        db.ledger.grants.add(Grant(name(), "", frozenset(), False))


def test_ping_tells_the_version(db: LedgerDatabase) -> None:
    assert db.catalog.ping()


def test_ping_of_a_server_that_is_not_there_is_unavailable() -> None:
    engine = engine_of("postgresql+psycopg://nobody:secret@127.0.0.1:9/none")
    with pytest.raises(Unavailable, match="PostgreSQL") as caught:
        LedgerDatabase(engine).catalog.ping()
    assert "secret" not in str(caught.value)


# --- a passage's past


def test_a_passage_tells_its_versions_run_and_gates(db: LedgerDatabase) -> None:
    source, first, item = filled(db)
    second = started(db, source)
    (changed,) = scanned(db, second, entry("a", "2"))
    loaded(db, second, changed, "one", "three")
    passed = GateResult("texts", "not_empty", "text", True, True, 3, 0, {"code": "no_text"})
    db.ledger.quality.record_gates(second, 0, "validate", [passed, replace(passed, blocking=False)])
    of_document = GateRow(item.document_id, None, "texts", "no_title", "not_null")
    of_chunks = [GateRow(item.document_id, ordinal, "texts", "no_terms", "between", 1.0) for ordinal in (0, 1)]
    of_another = GateRow(uuid4(), None, "texts", "no_title", "not_null")
    rows = [of_document, *of_chunks, of_another]
    db.ledger.quality.record_gates(second, 1, "validate", [replace(passed, success=False, unexpected=2)], rows)
    db.ledger.runs.record_stage(second, StageStat(0, "embed", 1.0, {"computed": 4, "cached": 1}))
    db.ledger.runs.record_stage(second, StageStat(1, "embed", 1.0, {"computed": 2, "cached": 3}))
    output = db.catalog.lineage(reader(source), chunk_id(item.document_id, "one"))
    assert (output.external_id, output.source_uri, output.collection) == ("a", source.spec.uri, source.spec.collection)
    assert [(each.number, each.state, each.run_id) for each in output.history] == [
        (1, "superseded", first.run_id),
        (2, "active", second.run_id),
    ]
    assert (output.version, output.run_id, output.orchestrator, output.run_state) == (
        2,
        second.run_id,
        "tests",
        "running",
    )
    assert (output.backing_collection, output.profile) == (
        source.generation.backing_collection,
        source.generation.profile,
    )
    gates = [(each.expectation, each.success, each.blocking, each.evaluated, each.unexpected) for each in output.gates]
    assert {each.code for each in output.gates} == {"no_text"}
    assert gates == [("not_empty", False, True, 6, 2), ("not_empty", True, False, 3, 0)]
    assert (output.computed, output.cached) == (6, 4)
    assert (output.ordinal, output.rows) == (0, (of_document, of_chunks[0]))


def test_the_past_of_what_may_not_be_read_is_not_there(db: LedgerDatabase) -> None:
    source, _, item = filled(db, "staff")
    asked = chunk_id(item.document_id, "one")
    assert db.catalog.lineage(reader(source, "staff"), asked).document_id == item.document_id
    for who in (reader(source), reader(source, "guests"), Principal("x", "another", frozenset({"*"}))):
        with pytest.raises(NotFound):
            db.catalog.lineage(who, asked)
    with pytest.raises(NotFound):
        db.catalog.lineage(reader(source, "staff"), uuid4())
    db.expire(item.document_id)
    with pytest.raises(NotFound):
        db.catalog.lineage(reader(source, "staff"), asked)
