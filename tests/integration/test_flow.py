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
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.engines import EngineStack

MakeTools = Callable[..., Sluice]

OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk.\n"
RAILWAYS = "# Railways\n\nThe night train from Vienna to Hamburg stops in Passau.\n"
BREAD = "# Bread\n\nRye sourdough wants a long, cool fermentation.\n\n## Crust\n\nSteam makes the crust shine.\n"


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text)


def stores(sluice: Sluice, collection: str) -> dict[str, int]:
    generation = next(each for each in sluice.ledger.collections.generations() if each.collection == collection)
    assert sluice.graph is not None
    return {
        "ledger": sluice.ledger.collections.counts(generation).chunks,
        "qdrant": sluice.vectors.count(generation),
        "neo4j": sluice.graph.count(generation),
    }


def titles(sluice: Sluice, query: str, collection: str, tenant: str = "default", groups: str = ALL_GROUPS) -> list[str]:
    """Of what is found; none where the caller may read nothing of the collection."""
    principal = Principal("tester", tenant, frozenset(groups.split()))
    try:
        return [each.title for each in sluice.search(SearchRequest(query, collection, 5), principal).passages]
    except NotFound:
        return []


def test_cold_warm_edit_delete(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, railways=RAILWAYS, bread=BREAD)
    # A tenant of its own: embeddings are cached by tenant, and other tests have the same texts.
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name, tenant=name)

    cold = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert cold["documents"] | {"seen": 3, "new": 3, "changed": 0, "unchanged": 0} == cold["documents"]
    assert cold["chunks"]["written"] == cold["chunks"]["total"] == cold["embeddings"]["computed"]
    assert set(stores(sluice, name).values()) == {cold["chunks"]["total"]}
    assert titles(sluice, "barn owl voles", name, name)[0] == "Owls"

    warm = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert warm["documents"]["unchanged"] == 3
    assert warm["embeddings"] == {"computed": 0, "cached": 0}
    assert warm["chunks"]["written"] == 0

    write(folder, bread=BREAD + "\n## Crumb\n\nAn open crumb needs strength and patience.\n")
    edit = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (edit["documents"]["changed"], edit["documents"]["unchanged"]) == (1, 2)
    assert edit["embeddings"]["computed"] == 1
    assert "Bread" in titles(sluice, "open crumb patience", name, name)
    assert set(stores(sluice, name).values()) == {edit["chunks"]["total"]}

    (folder / "railways.md").unlink()
    delete = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert delete["documents"]["deleted"] == 1
    assert "Railways" not in titles(sluice, "night train Vienna", name, name)
    assert set(stores(sluice, name).values()) == {delete["chunks"]["total"]}


def test_full_mode_reads_again_but_pays_nothing(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", owls=OWLS, bread=BREAD)
    sluice, spec = make_sluice([tmp_path]), SourceSpec((tmp_path / "in").as_uri(), name)
    cold, full = (
        sluice.ingestion.ingest(IngestRequest(spec)).to_json(),
        sluice.ingestion.ingest(IngestRequest(spec, "full")).to_json(),
    )
    assert full["documents"]["changed"] == 2
    assert full["embeddings"]["computed"] == 0
    assert full["chunks"]["total"] == cold["chunks"]["total"]
    assert set(stores(sluice, name).values()) == {cold["chunks"]["total"]}


def test_what_cannot_be_read_is_quarantined_and_the_rest_goes_on(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, empty="")
    (folder / "noise.bin").write_bytes(os.urandom(4096))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name)
    first = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (first["documents"]["seen"], first["documents"]["new"], first["documents"]["quarantined"]) == (4, 1, 3)
    again = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (again["documents"]["unchanged"], again["documents"]["quarantined"]) == (1, 3)

    write(folder, empty="# No longer empty\n\nThe kingfisher dives from a low branch.\n")
    mended = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (mended["documents"]["changed"] + mended["documents"]["new"], mended["documents"]["quarantined"]) == (1, 2)
    assert "No longer empty" in titles(sluice, "kingfisher branch", name)


def test_a_document_that_turns_bad_keeps_its_last_good_version(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, bread=BREAD)
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    (folder / "owls.md").write_bytes(os.urandom(2048))
    summary = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert summary["documents"]["quarantined"] == 1
    assert titles(sluice, "barn owl voles", name)[0] == "Owls"
    assert set(stores(sluice, name).values()) == {summary["chunks"]["total"]}


def test_tenants_and_groups_see_their_own(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    write(tmp_path / "a", owls=OWLS)
    write(tmp_path / "b", bread=BREAD)
    sluice = make_sluice([tmp_path])
    tenant_a, tenant_b = f"{name}a", f"{name}b"
    sluice.ingestion.ingest(
        IngestRequest(SourceSpec((tmp_path / "a").as_uri(), name, tenant_a, access_groups=("birds",)))
    )
    sluice.ingestion.ingest(IngestRequest(SourceSpec((tmp_path / "b").as_uri(), name, tenant_b)))
    assert titles(sluice, "owl bread", name, tenant_a) == ["Owls"]
    assert titles(sluice, "owl bread", name, tenant_a, groups="birds") == ["Owls"]
    assert titles(sluice, "owl bread", name, tenant_a, groups="fish") == []
    assert set(titles(sluice, "owl bread", name, tenant_b)) == {"Bread"}
    for tenant, groups in ((tenant_a, "fish"), ("nobody", ALL_GROUPS)):
        with pytest.raises(NotFound):
            sluice.search(SearchRequest("owl bread", name, 5), Principal("t", tenant, frozenset({groups})))


def test_no_store_holds_a_sentence(make_sluice: MakeTools, stack: EngineStack, tmp_path: Path, name: str) -> None:
    secret = "Zanzibarian quokkas memorise improbable timetables"
    write(tmp_path / "in", quokkas=f"# Quokka notes\n\n{secret} every Thursday.\n", owls=OWLS)
    sluice = make_sluice([tmp_path])
    sluice.ingestion.ingest(IngestRequest(SourceSpec((tmp_path / "in").as_uri(), name)))
    assert titles(sluice, "quokkas memorise timetables", name)[0] == "Quokka notes"
    assert stack.files_with(secret) == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [("ftp://host/folder", "file://"), ("file:///etc", "SLUICE_FILE_ROOTS"), ("not a uri", "file://")],
)
def test_what_is_not_allowed_fails_at_once_and_says_what_is(
    make_sluice: MakeTools, tmp_path: Path, name: str, uri: str, said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        make_sluice([tmp_path]).ingestion.ingest(IngestRequest(SourceSpec(uri, name)))


def test_a_vanished_folder_deletes_nothing(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SluiceError):
        sluice.ingestion.ingest(IngestRequest(spec))
    assert titles(sluice, "barn owl voles", name) == ["Owls"]


def test_what_is_not_given_again_is_kept(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    """Globs and groups are saved with the source: a later run that does not name them opens nothing."""
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    write(folder / "private", diary=BREAD)
    sluice = make_sluice([tmp_path])
    sluice.ingestion.ingest(
        IngestRequest(SourceSpec(folder.as_uri(), name, access_groups=("birds",), exclude=("private/**",)))
    )
    again = sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name))).to_json()
    assert (again["documents"]["seen"], again["documents"]["unchanged"]) == (1, 1)
    assert titles(sluice, "owl bread", name, groups="fish") == []
    opened = sluice.ingestion.ingest(
        IngestRequest(SourceSpec(folder.as_uri(), name, access_groups=(), exclude=()))
    ).to_json()
    assert opened["documents"]["new"] == 1
    assert set(titles(sluice, "owl bread", name, groups="fish")) == {"Owls", "Bread"}


def test_an_emptied_folder_is_not_taken_for_a_deletion(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    (folder / "owls.md").unlink()
    with pytest.raises(SluiceError, match="unmounted"):
        sluice.ingestion.ingest(IngestRequest(spec))
    assert titles(sluice, "barn owl voles", name) == ["Owls"]
    assert sluice.ingestion.ingest(IngestRequest(spec, approve_shrink=True)).documents.deleted == 1
    assert titles(sluice, "barn owl voles", name) == []


def test_another_spelling_is_no_other_source(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in here"
    write(folder, owls=OWLS)
    sluice = make_sluice([tmp_path])
    first = sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name))).to_json()
    again = sluice.ingestion.ingest(IngestRequest(SourceSpec(f"file://localhost{tmp_path}/in here/", name))).to_json()
    assert again["documents"]["unchanged"] == 1
    assert again["chunks"]["total"] == first["chunks"]["total"]


def test_a_renamed_file_keeps_its_document_and_costs_nothing(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, owls=OWLS, railways=RAILWAYS, bread=BREAD)
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name, tenant=name)
    sluice.ingestion.ingest(IngestRequest(spec))
    before = documents(sluice, name)
    (folder / "owls.md").rename(folder / "birds.md")
    (folder / "bread.md").unlink()
    write(folder, loaf=BREAD + "\nThe crumb is open.\n")
    moved = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    output = {key: moved["documents"][key] for key in ("new", "changed", "unchanged", "moved", "deleted")}
    assert output == {"new": 0, "changed": 0, "unchanged": 1, "moved": 2, "deleted": 0}
    assert moved["embeddings"]["computed"] == 1, "only the edited chunk is new"
    after = documents(sluice, name)
    assert (after["birds.md"], after["loaf.md"]) == (before["owls.md"], before["bread.md"])
    assert set(stores(sluice, name).values()) == {moved["chunks"]["total"]}
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.unchanged == 3


def documents(sluice: Sluice, name: str) -> dict[str, object]:
    outcome = sluice.catalog.documents(Principal("tester", name, frozenset({ALL_GROUPS})), name, 100)
    return {each.external_id: each.document_id for each in outcome}


def test_a_source_that_shrank_suddenly_is_refused_until_somebody_approves(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(45)})
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    for i in range(25):
        (folder / f"n{i}.md").unlink()
    with pytest.raises(SluiceError, match="25 documents fewer than the 45"):
        sluice.ingestion.ingest(IngestRequest(spec))
    assert stores(sluice, name)["ledger"] == 45
    with pytest.raises(SluiceError, match="globs that exclude everything"):
        sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name, include=("*.pdf",))))
    summary = sluice.ingestion.ingest(
        IngestRequest(spec, approve_shrink=True)
    ).to_json()  # of all files: the globs went with the refused run
    assert (summary["documents"]["seen"], summary["documents"]["deleted"]) == (20, 25)
    assert set(stores(sluice, name).values()) == {20}


def test_mode_full_is_guarded_as_well(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(45)})
    sluice, spec = make_sluice([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    for path in list(folder.iterdir())[:25]:
        path.unlink()
    with pytest.raises(SluiceError, match="25 documents fewer than the 45"):
        sluice.ingestion.ingest(IngestRequest(spec, "full"))
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(SluiceError, match="unmounted"):
        sluice.ingestion.ingest(IngestRequest(spec, "full"))
    generation = next(each for each in sluice.ledger.collections.generations() if each.collection == name)
    assert sluice.ledger.collections.counts(generation).documents == 45
    assert sluice.ingestion.ingest(IngestRequest(spec, "full", approve_shrink=True)).documents.deleted == 45


def test_a_run_that_does_not_come_to_own_its_source_changes_nothing_of_it(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    """Neither one that is refused as busy, nor one that fails before its scan was complete."""
    folder = tmp_path / "in"
    write(folder, owls=OWLS)
    sluice = make_sluice([tmp_path], graph="off")
    spec = SourceSpec(folder.as_uri(), name, access_groups=("birds",), retention_days=9, exclude=("x/**",))
    sluice.ingestion.ingest(IngestRequest(spec))
    place = spec.tenant, spec.collection, spec.uri
    saved = sluice.ledger.sources.spec(*place)
    opened = SourceSpec(spec.uri, name, access_groups=(), retention_days=0, include=("*.md",), exclude=())

    source = sluice.ledger.sources.open(spec, sluice.profile(), sluice.settings.declared_fields)
    other = sluice.ledger.runs.start(source, "incremental", uuid4(), "tests")
    sluice.ledger.runs.claim(other, 600)
    with pytest.raises(Busy, match="Nothing was changed"):
        sluice.ingestion.ingest(IngestRequest(opened))
    sluice.ledger.runs.finish(other, "failed", {})
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SluiceError):
        sluice.ingestion.ingest(IngestRequest(opened))
    (tmp_path / "elsewhere").rename(folder)
    with pytest.raises(SluiceError, match="globs that exclude everything"):
        sluice.ingestion.ingest(IngestRequest(replace(opened, include=("*.pdf",))))
    assert sluice.ledger.sources.spec(*place) == saved == spec.over(None)
    assert titles(sluice, "barn owl voles", name, groups="fish") == []

    sluice.ingestion.ingest(IngestRequest(opened))
    assert sluice.ledger.sources.spec(*place) == opened
    assert titles(sluice, "barn owl voles", name, groups="fish") == ["Owls"]


def test_what_cannot_be_read_replaces_nothing(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    """A folder that was encrypted by somebody else: as many names as before, and nothing in them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThis is page {number} of the handbook.\n")
    sluice, spec = make_sluice([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))
    for path in list(folder.iterdir()):
        path.write_bytes(bytes(range(256)) * 4 + path.name.encode())
        path.rename(path.with_suffix(".locked"))
    with pytest.raises(Terminal, match=r"30 documents .* vanished, and 30 that appeared cannot be used"):
        sluice.ingestion.ingest(IngestRequest(spec))
    who = Principal("t", name, frozenset({ALL_GROUPS}))
    assert len(sluice.search(SearchRequest("handbook", name, 50), who).passages) == 30
    assert sluice.ingestion.ingest(IngestRequest(spec, approve_shrink=True)).documents.deleted == 30


def test_what_only_moved_is_not_missing(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(40)})
    sluice, spec = make_sluice([tmp_path]), SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    (folder / "moved").mkdir()
    for path in list(folder.glob("*.md")):
        path.rename(folder / "moved" / path.name)
    summary = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (summary["documents"]["moved"], summary["documents"]["deleted"]) == (40, 0)
    assert summary["embeddings"]["computed"] == 0


def test_the_second_of_two_runs_of_a_source_says_who_is_at_work(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    """Two whole runs at once, again and again: one works, the other is told; the stores agree whatever the order."""
    folder = tmp_path / "in"
    write(folder, **{f"n{i}": f"# Note {i}\n\nThe {i}th heron stands in the reeds.\n" for i in range(30)})
    spec = SourceSpec(folder.as_uri(), name)
    one, other = make_sluice([tmp_path], batch_size=5), make_sluice([tmp_path], batch_size=7)
    one.ingestion.ingest(IngestRequest(spec))
    for turn in range(3):
        write(folder, **{f"n{i}": f"# Note {i}\n\nIn turn {turn} the {i}th heron flies away.\n" for i in range(10)})
        with ThreadPoolExecutor(2) as pool:
            ended = [pool.submit(_outcome, sluice, spec) for sluice in (one, other)]
            outcomes = [each.result() for each in ended]
        assert "done" in outcomes
        assert set(outcomes) <= {"done", "busy"}
        assert set(stores(one, name).values()) == {30}
    assert one.ingestion.ingest(IngestRequest(spec)).documents.unchanged == 30


def _outcome(sluice: Sluice, spec: SourceSpec) -> str:
    try:
        sluice.ingestion.ingest(IngestRequest(spec))
    except Busy as error:
        assert "works on" in str(error)
        return "busy"
    return "done"
