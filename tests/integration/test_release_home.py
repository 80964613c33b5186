"""A data directory that an older release filled opens with this one: its keys, uploads, quarantined bytes, ledger, and
the artefacts of a run that was half done when the release was replaced.

The directories are made by `tests/support/release_home.py`, run by the release itself.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.engines import EngineStack
from support.release_doors import Said, command, go_on
from support.release_home import HALF_DONE, REFUSED, SERVED, SETTINGS, WAITING, collection_of
from support.release_recordings import FOLDER
from support.scratch_databases import libpq, scratch_databases

VERSIONS = sorted(path.parent.name for path in FOLDER.glob("*/home.tar.gz"))


@dataclass
class Home:
    """One release's directory beside databases of its own, brought to this release's schema."""

    version: str
    folder: Path
    environment: dict[str, str]

    @property
    def collection(self) -> str:
        return collection_of(self.version)

    @property
    def source(self) -> str:
        return f"uploads://default/{self.collection}"

    def run(self, *words: str) -> Said:
        return command(self.environment, words)

    def json(self, *words: str) -> Any:
        said = self.run(*words, "--json")
        assert said.code in (0, 3), said
        return json.loads(said.out)

    def passages(self, query: str) -> dict[str, str]:
        """Text by external id."""
        result = self.json("search", query, "-c", self.collection)["results"]
        return {each["external_id"]: each["text"] for each in result}

    def refused(self) -> list[Any]:
        result: list[Any] = self.json("quarantine", "list", "-c", self.collection)["quarantine"]
        return result


@pytest.fixture(params=VERSIONS)
def home(stack: EngineStack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    with tarfile.open(FOLDER / request.param / "home.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with scratch_databases(stack) as scratch:
        for url, name in ((scratch.owner_url, "ledger"), (scratch.keys_url, "keys")):
            with psycopg.connect(libpq(url)) as connection:
                connection.execute((tmp_path / f"{name}.sql").read_text())
        folder = tmp_path / "home"
        own = {"SLUICE_HOME": str(folder), "SLUICE_MASTER_KEY_FILE": str(folder / "master.key")}
        own["SLUICE_ARTEFACTS_KEEP_DAYS"] = "36500"  # of the half-done run, which grows older with the release
        opened = Home(request.param, folder, {**scratch.environment(stack), **SETTINGS, **own})
        assert opened.run("migrate").code == 0
        yield opened
        assert opened.run("collections", "delete", opened.collection, "--apply").code == 0


@pytest.fixture
def served(home: Home) -> Home:
    """With its points, which are not part of the directory: made again from the ledger and its vectors."""
    said = home.run("reconcile", "-c", home.collection, "--repair", "--json")
    assert said.out, said
    report = json.loads(said.out)["collections"][0]  # of objects, tests of their own speak
    assert (report["repaired"], report["embedded"]) == (len(SERVED), 0)
    return home


def test_what_it_serves_is_found_and_readable(served: Home) -> None:
    assert served.passages("barn owl voles")["owls.md"] in SERVED["owls.md"]
    assert served.passages("rye sourdough")["bread.md"] in SERVED["bread.md"]


def test_another_master_key_opens_nothing(served: Home, stack: EngineStack) -> None:
    """So the test before is one of the keys."""
    served.environment["SLUICE_MASTER_KEY_FILE"] = stack.environment["SLUICE_MASTER_KEY_FILE"]
    assert served.run("search", "barn owl voles", "-c", served.collection, "--json").code == 1


def test_a_run_that_was_half_done_goes_on_from_its_artefacts(served: Home) -> None:
    text = (served.folder.parent / "references.json").read_text()
    references = json.loads(text.replace("file:///home", served.folder.as_uri()))
    assert sorted(each["done"] for each in references) == [0, 2, 4]
    documents = go_on(served.environment, references)["documents"]
    assert (documents["new"], documents["quarantined"]) == (len(HALF_DONE), len(REFUSED)), "the letter is refused still"
    for name, text in HALF_DONE.items():
        assert served.passages(text)[name] in text
    assert served.json("reconcile", "-c", served.collection)["ok"]


def test_its_uploads_are_read_and_what_is_unchanged_is_not_read_again(served: Home) -> None:
    assert served.run("gates", "unset", "too_long", "-c", served.collection).code == 0
    summary = served.json("ingest", served.source, "-c", served.collection)
    documents = summary["documents"]
    waiting = len(HALF_DONE) + len(WAITING)
    assert documents["seen"] == len(SERVED) + len(REFUSED) + waiting
    assert (documents["unchanged"], documents["deleted"], documents["changed"]) == (len(SERVED), 0, 0)
    assert (documents["new"], documents["quarantined"]) == (waiting, len(REFUSED))
    assert served.passages("grey heron pike")["heron.md"] in WAITING["heron.md"]
    assert served.json("ingest", served.source, "-c", served.collection)["documents"]["new"] == 0
    again = served.json("ingest", served.source, "-c", served.collection, "--full")["documents"]
    assert again["quarantined"] == 0, "the bytes of every upload are read"


def test_the_bytes_in_quarantine_are_shown_and_replayed(served: Home) -> None:
    (refused,) = served.refused()
    content = REFUSED["letter.md"]
    output = (refused["external_id"], refused["code"], refused["kept_bytes"])
    assert output == ("letter.md", "too_long", len(content.encode()))
    shown = served.json("quarantine", "show", refused["document_id"])
    assert [row["code"] for row in shown["rows"]] == ["too_long"]
    assert served.json("quarantine", "replay", refused["document_id"])["served"] == 0, "its rule is kept, too"
    assert served.run("gates", "unset", "too_long", "-c", served.collection).code == 0
    assert served.json("quarantine", "replay", refused["document_id"])["served"] == 1
    assert served.passages("quagga ferryman")["letter.md"] in content
    assert served.refused() == []


def test_what_was_set_is_still_set(home: Home) -> None:
    (grant,) = home.json("access", "list")["grants"]
    assert (grant["principal"], grant["may_write"], grant["groups"]) == ("ann", True, ["*"])
    (retention,) = home.json("retention", "show")["retention"]
    assert (retention["collection"], retention["days"]) == (home.collection, 36500)
    (tenant,) = home.json("tenants", "list")["tenants"]
    assert (tenant["name"], tenant["documents"], tenant["max_documents"]) == ("default", len(SERVED), 50)
    (source,) = home.json("sources", "list")["sources"]
    assert source["uri"] == home.source
    own = [each for each in home.json("gates", "list", "-c", home.collection)["checks"] if each["own"]]
    assert [(each["code"], each["action"], each["limit"]) for each in own] == [("too_long", "block", 300)]


def test_its_objects_are_all_known(served: Home) -> None:
    """No upload of a served document is lost, and none is taken for one that nobody needs."""
    objects = served.json("reconcile", "--deep")["objects"]
    assert (objects["missing"], objects["stale"], objects["surplus"]) == (0, 0, 0)
