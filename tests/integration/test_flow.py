"""The flow on real engines: what is served is what the source holds, and a rerun adds nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from sluice.errors import BadRequest, Busy, NotFound, SluiceError, Terminal
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline import ingestion
from sluice.pipeline.requests import IngestRequest
from sluice.ports.tools import Tools
from sluice.wiring import searcher
from support.engines import EngineStack

MakeTools = Callable[..., Tools]

OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk.\n"
RAILWAYS = "# Railways\n\nThe night train from Vienna to Hamburg stops in Passau.\n"
BREAD = "# Bread\n\nRye sourdough wants a long, cool fermentation.\n\n## Crust\n\nSteam makes the crust shine.\n"


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text)


def stores(tools: Tools, collection: str) -> dict[str, int]:
    generation = next(each for each in tools.ledger.collections.generations() if each.collection == collection)
    assert tools.graph is not None
    return {
        "ledger": tools.ledger.collections.counts(generation).chunks,
        "qdrant": tools.vectors.count(generation),
        "neo4j": tools.graph.count(generation),
    }


def titles(tools: Tools, query: str, collection: str, tenant: str = "default", groups: str = ALL_GROUPS) -> list[str]:
    """Of what is found; none where the caller may read nothing of the collection."""
    principal = Principal("tester", tenant, frozenset(groups.split()))
    try:
        return [each.title for each in searcher(tools)(SearchRequest(query, collection, 5), principal).passages]
    except NotFound:
        return []


def test_cold_warm_edit_delete(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, railways=RAILWAYS, bread=BREAD)
    # A tenant of its own: embeddings are cached by tenant, and other tests have the same texts.
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name, tenant=name)

    cold = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert cold["documents"] | {"seen": 3, "new": 3, "changed": 0, "unchanged": 0} == cold["documents"]
    assert cold["chunks"]["written"] == cold["chunks"]["total"] == cold["embeddings"]["computed"]
    assert set(stores(tools, name).values()) == {cold["chunks"]["total"]}
    assert titles(tools, "barn owl voles", name, name)[0] == "Owls"

    warm = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert warm["documents"]["unchanged"] == 3
    assert warm["embeddings"] == {"computed": 0, "cached": 0}
    assert warm["chunks"]["written"] == 0

    write(folder, bread=BREAD + "\n## Crumb\n\nAn open crumb needs strength and patience.\n")
    edit = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert (edit["documents"]["changed"], edit["documents"]["unchanged"]) == (1, 2)
    assert edit["embeddings"]["computed"] == 1
    assert "Bread" in titles(tools, "open crumb patience", name, name)
    assert set(stores(tools, name).values()) == {edit["chunks"]["total"]}

    (folder / "railways.md").unlink()
    delete = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert delete["documents"]["deleted"] == 1
    assert "Railways" not in titles(tools, "night train Vienna", name, name)
    assert set(stores(tools, name).values()) == {delete["chunks"]["total"]}


def test_full_mode_reads_again_but_pays_nothing(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", owls=OWLS, bread=BREAD)
    tools, spec = make_tools([tmp_path]), SourceSpec((tmp_path / "in").as_uri(), name)
    cold, full = (
        ingestion.ingest(tools, IngestRequest(spec)).to_json(),
        ingestion.ingest(tools, IngestRequest(spec, "full")).to_json(),
    )
    assert full["documents"]["changed"] == 2
    assert full["embeddings"]["computed"] == 0
    assert full["chunks"]["total"] == cold["chunks"]["total"]
    assert set(stores(tools, name).values()) == {cold["chunks"]["total"]}


def test_what_cannot_be_read_is_quarantined_and_the_rest_goes_on(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, empty="")
    (folder / "noise.bin").write_bytes(os.urandom(4096))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name)
    first = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert (first["documents"]["seen"], first["documents"]["new"], first["documents"]["quarantined"]) == (4, 1, 3)
    again = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert (again["documents"]["unchanged"], again["documents"]["quarantined"]) == (1, 3)

    write(folder, empty="# No longer empty\n\nThe kingfisher dives from a low branch.\n")
    mended = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert (mended["documents"]["changed"] + mended["documents"]["new"], mended["documents"]["quarantined"]) == (1, 2)
    assert "No longer empty" in titles(tools, "kingfisher branch", name)


def test_a_document_that_turns_bad_keeps_its_last_good_version(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, bread=BREAD)
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name)
    ingestion.ingest(tools, IngestRequest(spec))
    (folder / "owls.md").write_bytes(os.urandom(2048))
    summary = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert summary["documents"]["quarantined"] == 1
    assert titles(tools, "barn owl voles", name)[0] == "Owls"
    assert set(stores(tools, name).values()) == {summary["chunks"]["total"]}


def test_tenants_and_groups_see_their_own(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    write(tmp_path / "a", owls=OWLS)
    write(tmp_path / "b", bread=BREAD)
    tools = make_tools([tmp_path])
    tenant_a, tenant_b = f"{name}a", f"{name}b"
    ingestion.ingest(
        tools, IngestRequest(SourceSpec((tmp_path / "a").as_uri(), name, tenant_a, access_groups=("birds",)))
    )
    ingestion.ingest(tools, IngestRequest(SourceSpec((tmp_path / "b").as_uri(), name, tenant_b)))
    assert titles(tools, "owl bread", name, tenant_a) == ["Owls"]
    assert titles(tools, "owl bread", name, tenant_a, groups="birds") == ["Owls"]
    assert titles(tools, "owl bread", name, tenant_a, groups="fish") == []
    assert set(titles(tools, "owl bread", name, tenant_b)) == {"Bread"}
    for tenant, groups in ((tenant_a, "fish"), ("nobody", ALL_GROUPS)):
        with pytest.raises(NotFound):
            searcher(tools)(SearchRequest("owl bread", name, 5), Principal("t", tenant, frozenset({groups})))


def test_no_store_holds_a_sentence(make_tools: MakeTools, stack: EngineStack, tmp_path: Path, name: str) -> None:
    secret = "Zanzibarian quokkas memorise improbable timetables"
    write(tmp_path / "in", quokkas=f"# Quokka notes\n\n{secret} every Thursday.\n", owls=OWLS)
    tools = make_tools([tmp_path])
    ingestion.ingest(tools, IngestRequest(SourceSpec((tmp_path / "in").as_uri(), name)))
    assert titles(tools, "quokkas memorise timetables", name)[0] == "Quokka notes"
    assert stack.files_with(secret) == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [("ftp://host/folder", "file://"), ("file:///etc", "SLUICE_FILE_ROOTS"), ("not a uri", "file://")],
)
def test_what_is_not_allowed_fails_at_once_and_says_what_is(
    make_tools: MakeTools, tmp_path: Path, name: str, uri: str, said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        ingestion.ingest(make_tools([tmp_path]), IngestRequest(SourceSpec(uri, name)))


def test_a_vanished_folder_deletes_nothing(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name)
    ingestion.ingest(tools, IngestRequest(spec))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SluiceError):
        ingestion.ingest(tools, IngestRequest(spec))
    assert titles(tools, "barn owl voles", name) == ["Owls"]


def test_what_is_not_given_again_is_kept(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    """Globs and groups are saved with the source: a later run that does not name them opens nothing."""
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    write(folder / "private", diary=BREAD)
    tools = make_tools([tmp_path])
    ingestion.ingest(
        tools, IngestRequest(SourceSpec(folder.as_uri(), name, access_groups=("birds",), exclude=("private/**",)))
    )
    again = ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name))).to_json()
    assert (again["documents"]["seen"], again["documents"]["unchanged"]) == (1, 1)
    assert titles(tools, "owl bread", name, groups="fish") == []
    opened = ingestion.ingest(
        tools, IngestRequest(SourceSpec(folder.as_uri(), name, access_groups=(), exclude=()))
    ).to_json()
    assert opened["documents"]["new"] == 1
    assert set(titles(tools, "owl bread", name, groups="fish")) == {"Owls", "Bread"}


def test_an_emptied_folder_is_not_taken_for_a_deletion(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name)
    ingestion.ingest(tools, IngestRequest(spec))
    (folder / "owls.md").unlink()
    with pytest.raises(SluiceError, match="unmounted"):
        ingestion.ingest(tools, IngestRequest(spec))
    assert titles(tools, "barn owl voles", name) == ["Owls"]
    assert ingestion.ingest(tools, IngestRequest(spec, approve_shrink=True)).documents.deleted == 1
    assert titles(tools, "barn owl voles", name) == []


def test_another_spelling_is_no_other_source(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in here"
    write(folder, owls=OWLS)
    tools = make_tools([tmp_path])
    first = ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name))).to_json()
    again = ingestion.ingest(tools, IngestRequest(SourceSpec(f"file://localhost{tmp_path}/in here/", name))).to_json()
    assert again["documents"]["unchanged"] == 1
    assert again["chunks"]["total"] == first["chunks"]["total"]


def test_a_renamed_file_keeps_its_document_and_costs_nothing(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, railways=RAILWAYS, bread=BREAD)
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name, tenant=name)
    ingestion.ingest(tools, IngestRequest(spec))
    before = documents(tools, name)
    (folder / "owls.md").rename(folder / "birds.md")
    (folder / "bread.md").unlink()
    write(folder, loaf=BREAD + "\nThe crumb is open.\n")
    moved = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    told = {key: moved["documents"][key] for key in ("new", "changed", "unchanged", "moved", "deleted")}
    assert told == {"new": 0, "changed": 0, "unchanged": 1, "moved": 2, "deleted": 0}
    assert moved["embeddings"]["computed"] == 1, "only the edited chunk is new"
    after = documents(tools, name)
    assert (after["birds.md"], after["loaf.md"]) == (before["owls.md"], before["bread.md"])
    assert set(stores(tools, name).values()) == {moved["chunks"]["total"]}
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.unchanged == 3


def documents(tools: Tools, name: str) -> dict[str, object]:
    found = tools.catalog.documents(Principal("tester", name, frozenset({ALL_GROUPS})), name, 100)
    return {each.external_id: each.document_id for each in found}


def test_a_source_that_shrank_suddenly_is_refused_until_somebody_approves(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(45)})
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name)
    ingestion.ingest(tools, IngestRequest(spec))
    for i in range(25):
        (folder / f"n{i}.md").unlink()
    with pytest.raises(SluiceError, match="25 documents fewer than the 45"):
        ingestion.ingest(tools, IngestRequest(spec))
    assert stores(tools, name)["ledger"] == 45
    with pytest.raises(SluiceError, match="globs that exclude everything"):
        ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name, include=("*.pdf",))))
    summary = ingestion.ingest(
        tools, IngestRequest(spec, approve_shrink=True)
    ).to_json()  # of all files: the globs went with the refused run
    assert (summary["documents"]["seen"], summary["documents"]["deleted"]) == (20, 25)
    assert set(stores(tools, name).values()) == {20}


def test_mode_full_is_guarded_as_well(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(45)})
    tools, spec = make_tools([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name)
    ingestion.ingest(tools, IngestRequest(spec))
    for path in list(folder.iterdir())[:25]:
        path.unlink()
    with pytest.raises(SluiceError, match="25 documents fewer than the 45"):
        ingestion.ingest(tools, IngestRequest(spec, "full"))
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(SluiceError, match="unmounted"):
        ingestion.ingest(tools, IngestRequest(spec, "full"))
    generation = next(each for each in tools.ledger.collections.generations() if each.collection == name)
    assert tools.ledger.collections.counts(generation).documents == 45
    assert ingestion.ingest(tools, IngestRequest(spec, "full", approve_shrink=True)).documents.deleted == 45


def test_a_run_that_does_not_come_to_own_its_source_changes_nothing_of_it(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    """Neither one that is refused as busy, nor one that fails before its scan was complete."""
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    tools = make_tools([tmp_path], graph="off")
    spec = SourceSpec(folder.as_uri(), name, access_groups=("birds",), retention_days=9, exclude=("x/**",))
    ingestion.ingest(tools, IngestRequest(spec))
    place = spec.tenant, spec.collection, spec.uri
    saved = tools.ledger.sources.spec(*place)
    opened = SourceSpec(spec.uri, name, access_groups=(), retention_days=0, include=("*.md",), exclude=())

    source = tools.ledger.sources.open(spec, tools.profile(), tools.filter_fields)
    other = tools.ledger.runs.start(source, "incremental", uuid4(), "tests")
    tools.ledger.runs.claim(other, 600)
    with pytest.raises(Busy, match="Nothing was changed"):
        ingestion.ingest(tools, IngestRequest(opened))
    tools.ledger.runs.finish(other, "failed", {})
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SluiceError):
        ingestion.ingest(tools, IngestRequest(opened))
    (tmp_path / "elsewhere").rename(folder)
    with pytest.raises(SluiceError, match="globs that exclude everything"):
        ingestion.ingest(tools, IngestRequest(replace(opened, include=("*.pdf",))))
    assert tools.ledger.sources.spec(*place) == saved == spec.over(None)
    assert titles(tools, "barn owl voles", name, groups="fish") == []

    ingestion.ingest(tools, IngestRequest(opened))
    assert tools.ledger.sources.spec(*place) == opened
    assert titles(tools, "barn owl voles", name, groups="fish") == ["Owls"]


def test_what_cannot_be_read_replaces_nothing(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    """A folder that was encrypted by somebody else: as many names as before, and nothing in them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThis is page {number} of the handbook.\n")
    tools, spec = make_tools([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name, name)
    ingestion.ingest(tools, IngestRequest(spec))
    for path in list(folder.iterdir()):
        path.write_bytes(bytes(range(256)) * 4 + path.name.encode())
        path.rename(path.with_suffix(".locked"))
    with pytest.raises(Terminal, match=r"30 documents .* vanished, and 30 that appeared cannot be used"):
        ingestion.ingest(tools, IngestRequest(spec))
    who = Principal("t", name, frozenset({ALL_GROUPS}))
    assert len(searcher(tools)(SearchRequest("handbook", name, 50), who).passages) == 30
    assert ingestion.ingest(tools, IngestRequest(spec, approve_shrink=True)).documents.deleted == 30


def test_what_only_moved_is_not_missing(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(40)})
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name)
    ingestion.ingest(tools, IngestRequest(spec))
    (folder / "moved").mkdir()
    for path in list(folder.glob("*.md")):
        path.rename(folder / "moved" / path.name)
    summary = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert (summary["documents"]["moved"], summary["documents"]["deleted"]) == (40, 0)
    assert summary["embeddings"]["computed"] == 0


def test_the_second_of_two_runs_of_a_source_says_who_is_at_work(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    """Two whole runs at once, again and again: one works, the other is told; the stores agree whatever the order."""
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(30)})
    spec = SourceSpec(folder.as_uri(), name)
    one, other = make_tools([tmp_path], batch_size=5), make_tools([tmp_path], batch_size=7)
    ingestion.ingest(one, IngestRequest(spec))
    for turn in range(3):
        write(folder, **{f"n{i}": f"# Note {i}\n\nIn turn {turn} the {i}th heron flies away.\n" for i in range(10)})
        with ThreadPoolExecutor(2) as pool:
            ended = [pool.submit(_outcome, tools, spec) for tools in (one, other)]
            outcomes = [each.result() for each in ended]
        assert "done" in outcomes
        assert set(outcomes) <= {"done", "busy"}
        assert set(stores(one, name).values()) == {30}
    assert ingestion.ingest(one, IngestRequest(spec)).documents.unchanged == 30


def _outcome(tools: Tools, spec: SourceSpec) -> str:
    try:
        ingestion.ingest(tools, IngestRequest(spec))
    except Busy as error:
        assert "works on" in str(error)
        return "busy"
    return "done"
