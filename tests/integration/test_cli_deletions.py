"""`sluice grant`, `access`, `documents`, `sources remove`, `collections` and what asks first, on adapters in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli import access, app, collections, retention, sources
from sluice.errors import BadRequest, NotFound
from sluice.model.grants import Grant, Principal
from sluice.testing.blobs import MemoryBlobs
from sluice.wiring import clients
from support.api_service import MakeWorld, Text, World
from support.swapping import wired


@pytest.fixture
def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with make_world() as built:
        yield _commanded(built, monkeypatch)


def _commanded(built: World, monkeypatch: pytest.MonkeyPatch) -> World:
    built.finish_runs()

    @contextmanager
    def sluice() -> Iterator[Any]:
        yield wired(
            ledger=built.ledger,
            catalog=built.catalog,
            vectors=built.vectors,
            graph=built.graph,
            blobs=MemoryBlobs(),
            keyring=built.keyring,
            lease_s=60.0,
        )

    for module in (access, collections, retention, sources):
        monkeypatch.setattr(module, "opened", sluice)
    monkeypatch.setattr(clients, "airflow_knows", lambda user: {"ann": True, "bob": True, "nil": False}.get(user))
    return built


def sluice(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    message: dict[str, Any] = json.loads(result.output)
    return message


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def served(world: World, tenant: str = "acme") -> set[str]:
    who = Principal("op", tenant, frozenset({"*"}))
    names = [each.name for each in world.catalog.collections(who)]
    return {each.external_id for name in names for each in world.catalog.documents(who, name, 100)}


# --- grants -----------------------------------------------------------------------------------------------------


def test_a_grant_says_what_was_given_and_what_was_before(world: World) -> None:
    assert said("grant", "bob", "--tenant", "acme", "--group", "legal", "--write") == (
        "bob may, in tenant acme, read and write (groups legal). Before: read (only documents for everyone).\n"
    )
    message = sluice("grant", "sam", "--tenant", "default", "--group", "b", "--group", "a")
    assert message["groups"] == ["a", "b"] and message["before"] is None and message["user_checked"] is False


def test_a_grant_for_an_unknown_tenant_or_user_is_refused(world: World) -> None:
    with pytest.raises(BadRequest, match=r"no tenant 'acmee'; there are acme, default, other.*--create-tenant"):
        said("grant", "bob", "--tenant", "acmee")
    with pytest.raises(BadRequest, match=r"no user 'nil'.*--unknown-user"):
        said("grant", "nil", "--tenant", "acme")
    assert world.ledger.grants.of("nil") == []
    message = said("grant", "nil", "--tenant", "acmee", "--create-tenant", "--unknown-user")
    assert "Airflow has no user nil; the grant was saved nevertheless." in message
    assert world.ledger.grants.of("nil") == [Grant("nil", "acmee", frozenset(), False)]


def test_a_grant_that_takes_groups_away_asks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match=r"1 documents of tenant acme become unreadable for ann.*--yes"):
        said("grant", "ann", "--tenant", "acme")
    assert world.ledger.grants.of("ann")[0].groups == {"*"}
    monkeypatch.setattr(sys, "stdin", None)
    said("grant", "ann", "--tenant", "acme", "--yes")
    assert world.ledger.grants.of("ann")[0].groups == frozenset()


def test_a_grant_that_opens_as_much_as_it_hides_asks(world: World) -> None:
    world.publish(Text("pay", "acme", "docs", "What everyone is paid.", group="hr"), 0)
    said("grant", "bob", "--tenant", "acme", "--group", "legal")
    with pytest.raises(BadRequest, match=r"1 documents of tenant acme become unreadable for bob .*legal"):
        said("grant", "bob", "--tenant", "acme", "--group", "hr")
    said("grant", "bob", "--tenant", "acme", "--group", "hr", "--group", "legal")  # hides nothing


def test_a_grant_is_taken_back_and_on_record(world: World) -> None:
    for command in (("revoke", "ann"), ("grant", "ann", "--remove")):
        with pytest.raises(NotFound, match="did you mean 'acme'"):
            said(*command, "--tenant", "acmee")
        with pytest.raises(BadRequest, match=r"3 documents of tenant acme become unreadable for ann .*--yes"):
            said(*command, "--tenant", "acme")
    assert world.ledger.grants.of("ann") != [] and world.db.deletions() == []
    assert "3 documents are unreadable for them now" in said("revoke", "ann", "--tenant", "acme", "--yes")
    assert world.ledger.grants.of("ann") == []
    assert [(each.kind, each.name, each.tenant) for each in world.db.deletions()] == [("grant", "ann", "acme")]
    assert "had no grant" in said("grant", "ann", "--tenant", "acme", "--remove")


def test_who_can_read_this(world: World) -> None:
    message = sluice("access", "list", "--tenant", "acme", "--source", "file:///acme/docs/legal/legal")
    assert {each["principal"] for each in message["grants"]} == {"ann", "bob", "sam"}
    assert [(each["access_groups"], each["readers"]) for each in message["sources"]] == [(["legal"], ["ann", "sam"])]
    for unknown in (("--tenant", "acmee"), ("--collection", "dosc"), ("--source", "file:///nowhere")):
        with pytest.raises(NotFound, match=r"There is no|No source"):
            said("access", "list", *unknown)
    lines = said("access", "list", "--tenant", "acme", "--collection", "docs")
    assert (
        "for legal; readable by ann, sam" in lines and "for everyone in the tenant; readable by ann, bob, sam" in lines
    )


# --- deletions --------------------------------------------------------------------------------------------------


def test_one_document_goes_at_once_and_more_only_when_asked_twice(world: World) -> None:
    one, two, three = (str(world.ids[name]) for name in ("open", "legal", "hostile"))
    assert sluice("documents", "delete", one) == {
        **{"apply": True, "documents": 1, "chunks": 1, "quarantined": 0, "sources": 1, "left": []}
    }
    assert served(world) == {"legal.md", "hostile.md"}
    message = sluice("documents", "delete", two, three)
    assert (message["apply"], message["documents"], message["sources"]) == (False, 2, 2)
    assert served(world) == {"legal.md", "hostile.md"}
    sluice("documents", "delete", two, three, "--apply")
    assert served(world) == set()
    assert {(each.kind, each.documents, each.chunks) for each in world.db.deletions()} == {("document", 1, 1)}
    with pytest.raises(NotFound):
        said("documents", "delete", one)
    assert "ingests 1 documents again" in said("documents", "restore", one)


def test_a_source_goes_with_or_without_its_documents(world: World) -> None:
    place = ("--collection", "docs", "--tenant", "acme")
    uri = "file:///acme/docs/legal/legal"
    with pytest.raises(BadRequest, match="--with-documents"):
        said("sources", "remove", uri, *place)
    assert sluice("sources", "remove", uri, *place, "--with-documents")["documents"] == 1
    assert "legal.md" in served(world), "only listed"
    assert sluice("sources", "remove", uri, *place, "--keep-documents", "--apply")["kept"] == 1
    assert "legal.md" in served(world)
    assert "removed, its documents are kept" in said("sources", "list")
    assert sluice("sources", "remove", uri, *place, "--with-documents", "--apply")["documents"] == 1
    assert "legal.md" not in served(world) and uri not in said("sources", "list")


def test_a_collection_goes_whole(world: World) -> None:
    message = sluice("collections", "delete", "docs")
    assert (message["apply"], message["documents"], message["tenants"]) == (False, 4, ["acme", "other"])
    assert sluice("collections", "delete", "docs", "--tenant", "acme", "--apply")["dropped"] is False
    assert served(world) == set() and served(world, "other") == {"neighbour.md", "foreign.md"}
    assert sluice("collections", "delete", "docs", "--apply")["dropped"] is True
    assert [each["name"] for each in sluice("collections", "list")["collections"]] == ["secret"]
    assert "docs__g1" not in world.vectors._collections
    with pytest.raises(NotFound):
        said("collections", "delete", "docs")


def test_a_source_at_work_is_left_and_said(world: World) -> None:
    uri = "file:///acme/docs/legal/legal"
    source = world.ledger.sources.at("acme", "docs", uri)
    from uuid import uuid4

    world.ledger.runs.claim(world.ledger.runs.start(source, "incremental", uuid4(), "somebody"), 60)
    arguments = ["sources", "remove", uri, "-c", "docs", "--tenant", "acme", "--with-documents", "--apply"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and "somebody" in result.output
    assert "legal.md" in served(world)


# --- what hides documents -----------------------------------------------------------------------------------------


def test_an_end_that_is_past_asks(world: World) -> None:
    with pytest.raises(BadRequest, match=r"4 documents become unreadable at once.*--yes"):
        said("retention", "set", "--collection", "docs", "--until", "2020-01-01")
    assert len(served(world)) == 3
    said("retention", "set", "--collection", "docs", "--until", "2020-01-01", "--yes")
    assert served(world) == set()
    said("retention", "set", "--collection", "docs", "--days", "30")
    assert len(served(world)) == 3, "what shows documents again needs no question"
