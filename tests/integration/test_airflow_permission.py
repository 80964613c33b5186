"""Who may run an ingest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pygit2
import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from sluice.access import ingestion
from sluice.airflow import permission
from sluice.errors import BadRequest, Forbidden
from sluice.model.generation import Profile
from sluice.model.grants import Grant
from sluice.model.source import SourceSpec
from support.api_service import World
from support.ledger_rows import LedgerDatabase

NEW = SourceSpec("file:///in", "docs", "acme")
PROFILE = Profile("tokens:256:0", "hash:64", "off", 64)


def save(db: LedgerDatabase, *groups: str) -> None:
    db.ledger.sources.open(replace(NEW, access_groups=groups), PROFILE, ())


def grant(db: LedgerDatabase, *groups: str, tenant: str = "acme", may_write: bool = True) -> None:
    db.ledger.grants.add(Grant("ann", tenant, frozenset(groups), may_write))


def check(
    db: LedgerDatabase,
    spec: SourceSpec,
    user: str | None = "ann",
    run_type: Any = DagRunType.MANUAL,
    roots: Sequence[Path] = (Path("/"),),
) -> None:
    run = SimpleNamespace(triggering_user_name=user, run_type=run_type)
    _check(db, spec, run, roots=roots)


def _check(db: LedgerDatabase, spec: SourceSpec, run: Any, **given: Any) -> None:
    user, kind = permission.triggered_by(run), permission.run_kind(run)
    ingestion.check(db.ledger.grants, db.ledger.sources, spec, user=user, kind=kind, **given)


def may(db: LedgerDatabase, spec: SourceSpec, user: str | None = "ann", run_type: Any = DagRunType.MANUAL) -> bool:
    try:
        check(db, spec, user, run_type)
    except Forbidden:
        return False
    return True


# --- a run that a user triggered ----------------------------------------------------------------------------


def test_without_a_grant_nothing(db: LedgerDatabase) -> None:
    with pytest.raises(Forbidden, match=r"ann may not write to tenant acme.*sluice grant ann --tenant acme"):
        check(db, NEW)


def test_a_grant_to_read_is_not_enough(db: LedgerDatabase) -> None:
    grant(db, "*", may_write=False)
    with pytest.raises(Forbidden, match="may not write"):
        check(db, NEW)


def test_a_grant_elsewhere_is_none_here(db: LedgerDatabase) -> None:
    grant(db, "*", tenant="other")
    with pytest.raises(Forbidden, match="tenant acme"):
        check(db, NEW)


@pytest.mark.parametrize("asked", [None, (), ("birds",), ("birds", "fish")])
def test_a_new_source_takes_groups_that_the_writer_holds(db: LedgerDatabase, asked: tuple[str, ...] | None) -> None:
    asking = replace(NEW, access_groups=asked)
    assert not may(db, asking)
    grant(db, "birds", "fish")
    assert may(db, asking)


@pytest.mark.parametrize("asked", [("cats",), ("birds", "cats"), ("*",)])
def test_groups_that_the_writer_does_not_hold_are_refused_and_named(db: LedgerDatabase, asked: tuple[str, ...]) -> None:
    grant(db, "birds")
    with pytest.raises(Forbidden, match=r"for groups .*(cats|\*)"):
        check(db, replace(NEW, access_groups=asked))


@pytest.mark.parametrize("asked", [None, (), ("fish",), ("birds", "fish")])
def test_a_source_of_others_may_not_be_touched_and_its_groups_stay_unknown(
    db: LedgerDatabase, asked: tuple[str, ...] | None
) -> None:
    save(db, "birds", "secret")
    grant(db, "birds", "fish")
    with pytest.raises(Forbidden, match="groups that they do not hold") as caught:
        check(db, replace(NEW, access_groups=asked))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("asked", [None, ("birds",), ("fish",), ("birds", "fish")])
def test_who_holds_all_groups_of_before_and_after_may(db: LedgerDatabase, asked: tuple[str, ...] | None) -> None:
    save(db, "birds")
    asking = replace(NEW, access_groups=asked)
    grant(db, "fish")
    assert not may(db, asking)
    grant(db, "birds", "fish")
    assert may(db, asking)


def test_opening_to_the_whole_tenant_needs_all_groups(db: LedgerDatabase) -> None:
    save(db, "birds")
    opened = replace(NEW, access_groups=())
    grant(db, "birds")
    with pytest.raises(Forbidden, match="to the whole tenant"):
        check(db, opened)
    grant(db, "*")
    check(db, opened)


@pytest.mark.parametrize("asked", [None, (), ("birds",)])
def test_what_is_open_already_stays_open_to_writers(db: LedgerDatabase, asked: tuple[str, ...] | None) -> None:
    save(db)
    grant(db, "birds")
    assert may(db, replace(NEW, access_groups=asked))
    assert not may(db, replace(NEW, access_groups=("fish",)))


@pytest.mark.parametrize("asked", [None, (), ("cats",)])
def test_all_groups_may_all(db: LedgerDatabase, asked: tuple[str, ...] | None) -> None:
    save(db, "birds", "secret")
    asking = replace(NEW, access_groups=asked)
    grant(db, "birds")
    assert not may(db, asking)
    grant(db, "*")
    assert may(db, asking)


def test_another_tenants_source_of_the_same_uri_does_not_count(db: LedgerDatabase) -> None:
    db.ledger.sources.open(replace(NEW, tenant="other", access_groups=("secret",)), PROFILE, ())
    grant(db)
    assert may(db, NEW)
    save(db, "secret")
    assert not may(db, NEW), "one of this tenant counts"


def test_a_check_changes_nothing(db: LedgerDatabase) -> None:
    grant(db, "*")
    check(db, NEW)
    assert db.select("SELECT 1 FROM sources UNION ALL SELECT 1 FROM collections") == []


# --- a run that nobody triggered ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run_type", [DagRunType.SCHEDULED, DagRunType.ASSET_TRIGGERED, DagRunType.OPERATOR_TRIGGERED, "scheduled"]
)
def test_a_schedule_repeats_a_saved_source(db: LedgerDatabase, run_type: Any) -> None:
    assert not may(db, NEW, None, run_type), "nothing is saved yet"
    save(db, "birds")
    assert may(db, NEW, None, run_type)


@pytest.mark.parametrize(
    "run_type",
    [
        DagRunType.MANUAL,
        DagRunType.BACKFILL,
        DagRunType.ASSET_MATERIALIZATION,
        "manual",
        "",
        None,
    ],
)
def test_every_other_run_must_say_who_triggered_it(db: LedgerDatabase, run_type: Any) -> None:
    save(db)
    with pytest.raises(Forbidden, match="has no user who triggered it"):
        check(db, NEW, None, run_type)


def test_a_run_that_says_nothing_of_itself_is_refused(db: LedgerDatabase) -> None:
    save(db)
    with pytest.raises(Forbidden, match="has no user who triggered it"):
        _check(db, NEW, SimpleNamespace(), roots=())


def test_an_empty_user_is_no_user(db: LedgerDatabase) -> None:
    save(db)
    with pytest.raises(Forbidden):
        check(db, NEW, "")


def test_a_schedule_adds_no_source(db: LedgerDatabase) -> None:
    with pytest.raises(Forbidden, match="is not a saved source"):
        check(db, NEW, None, DagRunType.SCHEDULED)


@pytest.mark.parametrize(
    "change", [{"access_groups": ()}, {"retention_days": 0}, {"include": ("*.md",)}, {"exclude": ()}]
)
def test_a_schedule_changes_no_source(db: LedgerDatabase, change: dict[str, Any]) -> None:
    save(db, "birds")
    with pytest.raises(Forbidden, match="may not set"):
        check(db, replace(NEW, **change), None, DagRunType.SCHEDULED)


def test_a_run_that_another_triggered_is_its_users(db: LedgerDatabase) -> None:
    """Airflow hands the user of the run on to what its tasks trigger."""
    save(db, "birds")
    with pytest.raises(Forbidden, match="ann may not write"):
        check(db, NEW, "ann", DagRunType.OPERATOR_TRIGGERED)
    grant(db, "birds")
    check(db, NEW, "ann", DagRunType.OPERATOR_TRIGGERED)


@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.OPERATOR_TRIGGERED])
def test_nobody_approves_that_much_vanishes(db: LedgerDatabase, run_type: Any) -> None:
    save(db)
    run = SimpleNamespace(triggering_user_name=None, run_type=run_type)
    with pytest.raises(Forbidden, match="a user must check it"):
        _check(db, NEW, run, roots=(), approve_shrink=True)


# --- the same place by another way ----------------------------------------------------------------------------

BOARD = SourceSpec("file:///documents/board", "docs", "acme", ("board",))


@pytest.mark.parametrize(
    "uri",
    [
        "file:///documents",
        "file:///",
        "file:///documents/board/2026",
        "jsonl:///documents/board/minutes.jsonl",
        "git+file:///documents",
        "file:///documents/board",  # into another collection
    ],
)
def test_what_is_for_others_is_not_to_be_had_by_a_folder_above_or_below(db: LedgerDatabase, uri: str) -> None:
    db.ledger.sources.open(BOARD, PROFILE, ())
    grant(db, "staff")
    asked = SourceSpec(uri, "mine", "acme", ("staff",))
    with pytest.raises(Forbidden, match="overlaps a source that is for groups"):
        check(db, asked)
    grant(db, "staff", "board")
    check(db, asked)
    grant(db, "*")
    check(db, asked)


@pytest.mark.parametrize(
    "uri", ["file:///documents/boards", "file:///other", "https://documents/board", "uploads://acme/docs"]
)
def test_what_lies_beside_it_is_free(db: LedgerDatabase, uri: str) -> None:
    db.ledger.sources.open(BOARD, PROFILE, ())
    grant(db, "staff")
    assert may(db, SourceSpec(uri, "mine", "acme", ("staff",)))
    assert not may(db, SourceSpec(BOARD.uri, "mine", "acme", ("staff",)))


# --- what hides documents -------------------------------------------------------------------------------------


def test_a_run_that_hides_documents_needs_an_approval(world: World) -> None:
    spec = SourceSpec("file:///acme/docs/None/open", "docs", "acme", ("hr",))
    with pytest.raises(BadRequest, match=r"1 documents of .* would become unreadable.*approve_hiding"):
        ingestion.check_hiding(world.ledger.deletions, spec, approved=False)
    ingestion.check_hiding(world.ledger.deletions, spec, approved=True)
    ingestion.check_hiding(world.ledger.deletions, replace(spec, access_groups=None), approved=False)
    ingestion.check_hiding(world.ledger.deletions, replace(spec, uri="file:///new"), approved=False)


def _gitdir(secret: Path, mine: Path) -> None:
    mine.mkdir()
    (mine / ".git").write_text(f"gitdir: {secret}/.git\n")


def _link(secret: Path, mine: Path) -> None:
    mine.mkdir()
    (mine / ".git").symlink_to(secret / ".git")


def _alternates(secret: Path, mine: Path) -> None:
    pygit2.init_repository(str(mine))
    (mine / ".git/objects/info").mkdir(exist_ok=True)
    (mine / ".git/objects/info/alternates").write_text(f"{secret}/.git/objects\n")


def _packs(secret: Path, mine: Path) -> None:
    pygit2.init_repository(str(mine))
    (mine / ".git/objects/pack").rmdir()
    (mine / ".git/objects/pack").symlink_to(secret / ".git/objects/pack")


@pytest.mark.parametrize("borrow", [_gitdir, _link, _alternates, _packs])
@pytest.mark.parametrize("scheme", ["file", "git+file"])
def test_a_repository_is_judged_by_all_folders_that_it_reads(
    db: LedgerDatabase, tmp_path: Path, borrow: Callable[[Path, Path], None], scheme: str
) -> None:
    secret, mine, free = tmp_path / "secret", tmp_path / "mine", tmp_path / "free"
    for folder in (secret, free):
        pygit2.init_repository(str(folder))
    borrow(secret, mine)
    db.ledger.sources.open(SourceSpec(f"{scheme}://{secret}", "docs", "acme", ("board",)), PROFILE, ())
    grant(db, "staff")
    check(db, SourceSpec(f"git+file://{free}", "docs", "acme", ("staff",)))
    with pytest.raises(Forbidden, match="overlaps a source that is for groups"):
        check(db, SourceSpec(f"git+file://{mine}?ref=main", "docs", "acme", ("staff",)))
    grant(db, "staff", "board")
    check(db, SourceSpec(f"git+file://{mine}?ref=main", "docs", "acme", ("staff",)))


def test_what_a_repository_for_others_borrows_is_for_them_alone(db: LedgerDatabase, tmp_path: Path) -> None:
    store, secret = tmp_path / "store", tmp_path / "secret"
    pygit2.init_repository(str(store))
    _alternates(store, secret)
    db.ledger.sources.open(SourceSpec(f"git+file://{secret}", "docs", "acme", ("board",)), PROFILE, ())
    grant(db, "staff")
    with pytest.raises(Forbidden, match="overlaps a source that is for groups"):
        check(db, SourceSpec(f"file://{store}", "docs", "acme", ("staff",)))


def _borrow(folder: Path, objects: str) -> None:
    pygit2.init_repository(str(folder))
    (folder / ".git/objects/info").mkdir(exist_ok=True)
    (folder / ".git/objects/info/alternates").write_text(f"{objects}\n")


def test_a_repository_that_borrows_from_outside_the_roots_is_refused(db: LedgerDatabase, tmp_path: Path) -> None:
    db.ledger.sources.open(BOARD, PROFILE, ())
    grant(db, "staff")
    _borrow(tmp_path / "mine", "/usr")
    mine = SourceSpec(f"git+file://{tmp_path}/mine", "docs", "acme", ("staff",))
    with pytest.raises(BadRequest, match="outside the folders that may be read"):
        check(db, mine, roots=[tmp_path])


def test_a_saved_repository_that_borrows_from_outside_the_roots_stops_nobody(
    db: LedgerDatabase, tmp_path: Path
) -> None:
    _borrow(tmp_path / "theirs", "/usr")
    theirs = SourceSpec(f"git+file://{tmp_path}/theirs", "docs", "acme", ("board",))
    db.ledger.sources.open(theirs, PROFILE, ())
    grant(db, "staff")
    check(db, SourceSpec(f"file://{tmp_path}/mine", "docs", "acme", ("staff",)), roots=[tmp_path])
    with pytest.raises(Forbidden, match="overlaps"):
        check(db, SourceSpec(f"file://{tmp_path}", "docs", "acme", ("staff",)), roots=[tmp_path])


@pytest.mark.parametrize("saved", [False, True])
def test_what_a_repository_names_is_not_walked(
    db: LedgerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    for number in range(200):
        (tmp_path / "large" / str(number) / "deep").mkdir(parents=True)
    _borrow(tmp_path / "mine", f"{tmp_path}/large")
    mine = SourceSpec(f"git+file://{tmp_path}/mine", "docs", "acme", ("staff",))
    if saved:
        db.ledger.sources.open(replace(mine, access_groups=("board",)), PROFILE, ())
        mine = replace(mine, uri=f"file://{tmp_path}/other")
    db.ledger.sources.open(BOARD, PROFILE, ())
    grant(db, "staff")
    opened: list[object] = []
    scandir = os.scandir

    def counting(folder: int) -> object:
        opened.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", counting)
    check(db, mine, roots=[tmp_path])
    assert 0 < len(opened) < 10
