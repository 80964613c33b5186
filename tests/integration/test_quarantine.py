"""Quarantine on real engines: what is kept, how it is replayed, and that a crash anywhere leaves nothing wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from sluice.cli import app
from sluice.encryption import Cipher
from sluice.errors import BadRequest, Busy, LostLease, NotFound
from sluice.model.costs import Quota
from sluice.model.document import FetchedDocument
from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.quarantine import QuarantineRecord
from sluice.model.run import Run
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline import (
    quarantine,
)
from sluice.pipeline.batching import Batch
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.agreement import Stores
from support.engines import EngineStack
from support.failing import Crash, Crashing
from support.recovery import Before
from support.swapping import port_of, swapped

MakeTools = Callable[..., Sluice]
SECRET = "The quagga ferryman keeps his timetable in a copper drawer"
LETTER = f"# Letter\n\n{SECRET}.\n\n" + "He crosses at nine, at noon and at dusk. " * 20
OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk.\n"


class Place:
    """A folder with owls, served, and a letter that the collection's rule finds too long."""

    def __init__(self, sluice: Sluice, tmp_path: Path, name: str, tenant: str = "default") -> None:
        self.sluice, self.name, self.folder = sluice, name, tmp_path / "in"
        self.who = replace(WHO, tenant=tenant)
        self.folder.mkdir()
        (self.folder / "owls.md").write_text(OWLS)
        self.spec = SourceSpec(self.folder.as_uri(), name, tenant)
        sluice.ingestion.ingest(IngestRequest(self.spec))
        self.limit(200)
        (self.folder / "letter.md").write_text(LETTER)

    @property
    def generation(self) -> Generation:
        return next(each for each in self.sluice.ledger.collections.generations() if each.collection == self.name)

    def limit(self, chars: float | None) -> None:
        rule = None if chars is None else GateRule("block", chars)
        self.sluice.ledger.quality.set_rule(self.generation, "documents", "too_long", rule)

    def refused(self) -> dict[str, QuarantineRecord]:
        result = self.sluice.catalog.quarantine_records(self.who, self.name, limit=100)
        return {each.external_id: each for each in result}

    def served(self) -> str:
        asked = SearchRequest("ferryman timetable barn owl", self.name, 50)
        return "\n".join(each.text for each in self.sluice.search(asked, self.who).passages)

    def objects(self, refusal: QuarantineRecord) -> list[str]:
        return [each for each in self.sluice.blobs.list("quarantine") if str(refusal.document_id) in each]


WHO = Principal("tester", "default", frozenset({ALL_GROUPS}))


@pytest.fixture
def place(make_sluice: MakeTools, tmp_path: Path, name: str) -> Place:
    return Place(make_sluice([tmp_path], graph="off"), tmp_path, name)


@pytest.fixture
def command(stack: EngineStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for variable, value in stack.environment.items():
        monkeypatch.setenv(variable, value)
    return lambda *arguments: CliRunner().invoke(app, ("quarantine", *map(str, arguments)))


def test_refused_listed_shown_replayed_served(place: Place, stack: EngineStack, command: Callable[..., Any]) -> None:
    summary = place.sluice.ingestion.ingest(IngestRequest(place.spec)).to_json()
    letter = place.refused()["letter.md"]
    assert (letter.code, letter.stage, letter.retained_bytes) == ("too_long", "validate", len(LETTER))
    assert place.objects(letter) == [f"quarantine/{letter.document_id}.sealed"]
    assert stack.files_with(SECRET) == [], "its bytes are kept, and nobody can read them"

    (message,) = json.loads(command("list", "-c", place.name, "--json").stdout)["quarantine"]
    assert (message["document_id"], message["code"]) == (str(letter.document_id), "too_long")
    assert "0 in quarantine" in command("list", "-c", place.name, "--code", "empty").stdout
    shown = command("show", letter.document_id)
    assert summary["run_id"] in shown.stdout and f"retained: {len(LETTER)} bytes" in shown.stdout.replace(",", "")
    (row,) = json.loads(command("show", letter.document_id, "--json").stdout)["rows"]
    assert (row["code"], row["ordinal"], row["observed"] > 200) == ("too_long", None, True)

    again = command("replay", letter.document_id, "--json")
    assert (again.exit_code, json.loads(again.stdout)["served"]) == (3, 0), "the rule is as it was"
    assert place.refused()["letter.md"].run_id == UUID(json.loads(again.stdout)["runs"][0]["run_id"])

    place.limit(None)
    replayed = command("replay", "-c", place.name, "--code", "too_long", "--json")
    figures = json.loads(replayed.stdout)
    assert (replayed.exit_code, figures["served"], figures["quarantined"]) == (0, 1, 0), replayed.output
    assert SECRET in place.served() and place.refused() == {} and place.objects(letter) == []
    run = place.sluice.ledger.runs.get(UUID(figures["runs"][0]["run_id"]))
    assert (run.mode, figures["runs"][0]["documents"]["new"]) == ("replay", 1)
    then = place.sluice.ingestion.ingest(IngestRequest(place.spec)).to_json()
    assert (then["documents"]["unchanged"], then["embeddings"]["computed"]) == (2, 0)


def test_the_cli_says_what_cannot_be_replayed(place: Place, command: Callable[..., Any]) -> None:
    (place.folder / "nowhere.md").symlink_to(place.folder / "missing.md")
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    link = place.refused()["nowhere.md"]
    assert (link.code, link.retained_bytes, place.objects(link)) == ("broken_link", None, [])
    assert "not retained" in command("show", link.document_id).stdout
    refused = command("replay", link.document_id)
    assert isinstance(refused.exception, BadRequest) and "target of the link does not exist" in str(refused.exception)
    place.limit(None)
    both = json.loads(command("replay", "-c", place.name, "--json").stdout)
    assert (both["replayed"], both["served"], both["quarantined"], both["not_kept"]) == (1, 1, 1, 1)
    assert command("list", "-c", place.name, "--code", "empty").exit_code == 0, "a known code, without documents"
    for wrong in (
        ("replay",),
        ("replay", link.document_id, "-c", place.name),
        ("replay", "-c", place.name, "--code", "to_long"),
        ("list", "-c", place.name, "--code", "to_long"),
        ("list", "-c", "nowhere"),
    ):
        assert isinstance(command(*wrong).exception, BadRequest), wrong
    assert isinstance(command("show", uuid4()).exception, NotFound)


def test_the_source_may_be_gone(place: Place) -> None:
    (place.folder / "noise.bin").write_bytes(bytes(range(256)) * 20)
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    shutil.rmtree(place.folder)
    place.limit(None)
    summary = place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).to_json()
    assert (summary["documents"]["seen"], summary["documents"]["new"], summary["quarantine"]) == (2, 1, {"binary": 1})
    assert SECRET in place.served()
    noise = place.refused()["noise.bin"]
    assert (noise.retained_bytes, noise.run_id) == (256 * 20, UUID(summary["run_id"]))


def test_what_is_newer_or_gone_at_the_source_is_not_brought_back(place: Place) -> None:
    (place.folder / "other.md").write_text(LETTER.replace("Letter", "Other"))
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    letter, other = place.refused()["letter.md"], place.refused()["other.md"]
    (place.folder / "letter.md").write_text("# Letter\n\nThe ferryman has no timetable now.\n")
    (place.folder / "other.md").unlink()
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    assert place.refused() == {} and place.objects(letter) == place.objects(other) == []
    place.limit(None)
    summary = place.sluice.ingestion.ingest(
        IngestRequest(place.spec, replay=[letter.document_id, other.document_id])
    ).to_json()
    assert summary["documents"]["seen"] == 0
    assert "no timetable now" in place.served() and SECRET not in place.served()


def test_other_bytes_than_were_judged_are_not_kept(place: Place) -> None:
    """A gate stands after the bytes were let go of, so they are read again: the source may hold others by then."""
    edit = partial((place.folder / "letter.md").write_text, "# Letter\n\nThe ferryman has no timetable now.\n")
    quality = Before(place.sluice.ledger.quality, "record_gates", edit)
    swapped(place.sluice, quality=quality).ingestion.ingest(IngestRequest(place.spec))
    letter = place.refused()["letter.md"]
    assert (letter.code, letter.retained_bytes, place.objects(letter)) == ("too_long", None, [])
    assert "source changed after this check" in letter.reason
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).documents.seen == 0
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    assert "no timetable now" in place.served() and place.refused() == {}


def test_a_replay_counts_on_no_other_bytes_than_it_judged(place: Place) -> None:
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    letter = place.refused()["letter.md"]
    key = place.sluice.keyring.get([letter.document_id])[letter.document_id]

    def put_other_bytes() -> None:
        item = WorkItem(letter.document_id, ListingEntry("letter.md", "file:///letter.md", "2", 6), new=True)
        packed = quarantine._packed(FetchedDocument(item, b"# Else"))
        cipher = Cipher(key, place.spec.tenant, letter.document_id)
        place.sluice.blobs.write(quarantine.path(letter.document_id), cipher.encrypt("quarantine", packed))

    quality = Before(place.sluice.ledger.quality, "record_gates", put_other_bytes)
    swapped(place.sluice, quality=quality).ingestion.ingest(IngestRequest(place.spec, replay=()))
    after = place.refused()["letter.md"]
    assert (after.retained_bytes, "source changed" in after.reason) == (None, True)
    place.limit(None)
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    assert SECRET in place.served(), "the next run looks again"


def test_a_replay_keeps_the_last_good_version_until_it_serves(place: Place) -> None:
    (place.folder / "owls.md").write_text(OWLS + "They sleep by day. " * 30)
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=()))
    assert "voles above wet meadows" in place.served() and "sleep by day" not in place.served()
    place.limit(None)
    summary = place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).to_json()
    assert (summary["documents"]["new"], summary["documents"]["changed"]) == (1, 1)
    assert "sleep by day" in place.served()


def test_while_another_run_works_on_the_source_it_waits(place: Place) -> None:
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    ledger = place.sluice.ledger
    other = ledger.runs.start(
        ledger.sources.open(place.spec, place.sluice.profile(), ()), "incremental", uuid4(), "tests"
    )
    ledger.runs.claim(other, 60)
    with pytest.raises(Busy):
        place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=()))
    ledger.runs.finish(other, "failed", {})
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).documents.seen == 1


def test_without_its_key_or_its_bytes_it_is_left_to_the_next_run(place: Place) -> None:
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    letter = place.refused()["letter.md"]
    place.sluice.blobs.remove(quarantine.path(letter.document_id))
    place.limit(None)
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).quarantine == {"not_kept": 1}
    assert place.refused()["letter.md"].retained_bytes is None
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec)).documents.new == 1


def test_a_replay_that_is_repeated_after_its_end_changes_nothing(place: Place) -> None:
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    place.limit(None)
    plan = place.sluice.pipeline.planning.plan(
        IngestRequest(place.spec, replay=(), run_id=uuid4(), orchestrator="tests")
    )
    for _ in range(2):
        batch, pipeline = (plan.run, Batch(0, len(plan.items))), place.sluice.pipeline
        documents = pipeline.validation.validate(*batch, pipeline.extraction.extract(*batch, plan.items))
        pipeline.loading.load(*batch, pipeline.embedding.embed(*batch, pipeline.chunking.chunk(*batch, documents)))
        pipeline.finishing.finish(plan.run)
    assert place.refused() == {} and SECRET in place.served()
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec)).documents.unchanged == 2


def test_a_replay_that_meets_the_quota_keeps_the_bytes(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    place = Place(make_sluice([tmp_path], graph="off"), tmp_path, name, tenant=name)
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    place.limit(None)
    place.sluice.ledger.quotas.assign(name, Quota(max_documents=1))
    (place.folder / "letter.md").unlink()
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).quarantine == {"quota": 1}
    place.sluice.ledger.quotas.assign(name, Quota())
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).documents.new == 1
    assert SECRET in place.served()


def test_damaged_bytes_spoil_nobody_elses_replay(place: Place) -> None:
    (place.folder / "card.md").write_text(LETTER.replace("ferryman", "postman"))
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    letter = place.refused()["letter.md"]
    place.sluice.blobs.write(quarantine.path(letter.document_id), b"torn")
    place.limit(None)
    replayed = place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).to_json()
    assert (replayed["documents"]["new"], replayed["quarantine"]) == (1, {"not_kept": 1})
    assert place.objects(letter) != [], "a key that comes back may open it yet"


def test_an_unknown_source_is_not_made(place: Place) -> None:
    with pytest.raises(NotFound):
        place.sluice.ingestion.ingest(IngestRequest(SourceSpec("file:///never/seen", place.name), replay=()))
    assert place.sluice.ledger.sources.spec("default", place.name, "file:///never/seen") is None


# --- a crash anywhere


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "method"), [("blobs", "write"), ("quarantine", "add")])
def test_a_crash_while_it_is_refused(place: Place, port: str, method: str, after: bool) -> None:
    broken = Crashing(port_of(place.sluice, port), method, after)
    with pytest.raises(Crash):
        swapped(place.sluice, **{port: broken}).ingestion.ingest(IngestRequest(place.spec))
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    letter = place.refused()["letter.md"]
    assert len(place.objects(letter)) == 1 and letter.retained_bytes == len(LETTER)
    shutil.rmtree(place.folder)
    place.limit(None)
    assert place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).documents.new == 1
    assert SECRET in place.served()


REPLAY = [
    ("cache", "store"),
    ("versions", "stage"),
    ("vectors", "upsert"),
    ("versions", "activate"),
    ("blobs", "remove"),
    ("quarantine", "delete_retained"),
    ("runs", "finish"),
]


def test_a_run_that_lost_its_source_leaves_no_bytes(place: Place, stores: Stores) -> None:
    class Losing:
        """Another run takes the source over when the first document is about to be refused."""

        def __getattr__(self, called: str) -> object:
            return getattr(place.sluice.ledger.versions, called)

        def superseded(self, run: Run, ids: list[UUID]) -> set[UUID]:
            with stores.engine.begin() as connection:
                connection.execute(
                    text("UPDATE claims SET lapses_at = now() - interval '1 s' WHERE source_id = :id"),
                    {"id": run.source.source_id},
                )
            other = place.sluice.ledger.runs.start(run.source, "incremental", uuid4(), "tests")
            place.sluice.ledger.runs.claim(other, 60)
            return set()

    before = place.sluice.blobs.list("quarantine")
    with pytest.raises(LostLease):
        swapped(place.sluice, versions=Losing()).ingestion.ingest(IngestRequest(place.spec))
    assert place.sluice.blobs.list("quarantine") == before and place.refused() == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "method"), REPLAY)
def test_a_crash_while_it_is_replayed(place: Place, port: str, method: str, after: bool) -> None:
    (place.folder / "letter.md").write_text(f"{LETTER}\n\nHis ferry is called {place.name}.\n")  # never embedded before
    place.sluice.ingestion.ingest(IngestRequest(place.spec))
    letter = place.refused()["letter.md"]
    shutil.rmtree(place.folder)
    place.limit(None)
    broken = Crashing(port_of(place.sluice, port), method, after)
    with pytest.raises(Crash):
        swapped(place.sluice, **{port: broken}).ingestion.ingest(IngestRequest(place.spec, replay=()))
    assert broken.died
    summary = place.sluice.ingestion.ingest(IngestRequest(place.spec, replay=())).to_json()
    assert summary["embeddings"]["computed"] == 0 or (port, method, after) == ("cache", "store", False)
    assert SECRET in place.served() and place.refused() == {} and place.objects(letter) == []
    assert (
        place.sluice.vectors.count(place.generation) == place.sluice.ledger.collections.counts(place.generation).chunks
    )
