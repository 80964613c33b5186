"""s3:// and https:// through the whole flow: wired from settings, and nothing is read that did not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pygit2
import pytest
import sqlalchemy

from contract.source_servers import S3Server, WebServer
from integration.web_sites import html, sitemap
from sluice.errors import BadRequest, Forbidden
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.engines import EngineStack

MakeTools = Callable[..., Sluice]
OWLS = "The barn owl hunts voles above wet meadows at dusk."
TRAINS = "The night train from Vienna to Hamburg stops in Passau."


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


def uris(sluice: Sluice, query: str, collection: str) -> list[str]:
    principal = Principal("tester", collection, frozenset({ALL_GROUPS}))
    return [each.uri for each in sluice.search(SearchRequest(query, collection, 5), principal).passages]


def counts(summary: dict) -> tuple[int, ...]:
    return tuple(summary["documents"][each] for each in ("new", "changed", "unchanged", "deleted", "quarantined"))


def test_a_bucket(make_sluice: MakeTools, s3: S3Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.new_bucket()
    monkeypatch.setenv("SLUICE_CONNECTION_LOCAL_S3", f"aws://key:secret@/?endpoint_url={quote(s3.endpoint, safe='')}")
    for key, text in (("in/owls.md", OWLS), ("in/trains.md", TRAINS), ("out/x.md", "beside")):
        s3.client.put_object(Bucket=bucket, Key=key, Body=text.encode())
    sluice, spec = make_sluice([]), SourceSpec(f"s3://{bucket}/in?connection=local-s3", name, tenant=name)
    assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == (2, 0, 0, 0, 0)
    assert uris(sluice, "barn owl voles", name)[0] == f"s3://{bucket}/in/owls.md"
    s3.client.put_object(Bucket=bucket, Key="in/owls.md", Body=b"Owls are birds of the night.")
    s3.client.delete_object(Bucket=bucket, Key="in/trains.md")
    assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == (0, 1, 0, 1, 0)
    assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == (0, 0, 1, 0, 0)
    with pytest.raises(Forbidden, match="used by Sluice itself"):
        sluice.ingestion.ingest(
            IngestRequest(SourceSpec(f"s3://{bucket}/in?connection=sluice_ledger", name, tenant=name))
        )


def test_a_site(make_sluice: MakeTools, name: str) -> None:
    with WebServer() as web:
        sluice = make_sluice([], http_trusted_hosts=web.host, http_delay_s=0.0)
        web.pages["/robots.txt"] = html("no rules")
        web.pages["/sitemap.xml"] = sitemap(web, "/owls", "/trains", "/gone")
        web.pages["/owls"], web.pages["/trains"] = html(OWLS, {"ETag": '"1"'}), html(TRAINS, {"ETag": '"1"'})
        spec = SourceSpec(web.url("/sitemap.xml"), name, tenant=name)
        assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == (2, 0, 0, 0, 1)
        assert uris(sluice, "night train Vienna", name)[0] == web.url("/trains")
        web.asked.clear()
        web.pages["/sitemap.xml"] = sitemap(web, "/owls", "/trains")
        assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == (0, 0, 2, 1, 0)
        assert web.paths("GET") == ["/sitemap.xml"]
        with pytest.raises(BadRequest, match="SLUICE_HTTP_TRUSTED_HOSTS"):
            make_sluice([]).ingestion.ingest(IngestRequest(spec))


def commit(repository: pygit2.Repository, files: dict[str, str]) -> None:
    folder = Path(repository.workdir)
    for path in folder.glob("*.md"):
        path.unlink()
    for file, content in files.items():
        (folder / file).write_text(content)
    repository.index.clear()
    repository.index.add_all()
    who = pygit2.Signature("Ann", "ann@example.org")
    parents = [] if repository.head_is_unborn else [repository.head.target]
    repository.create_commit("HEAD", who, who, "a change", repository.index.write_tree(), parents)


def test_a_rename_is_gits_own_since_the_commit_of_the_last_run(
    make_sluice: MakeTools, stack: EngineStack, name: str, tmp_path: Path
) -> None:
    repository = pygit2.init_repository(tmp_path / "repo")
    sluice, spec = (
        make_sluice([tmp_path]),
        SourceSpec((tmp_path / "repo").as_uri().replace("file", "git+file"), name, name),
    )
    commit(repository, {"owls.md": f"{OWLS}\n" * 20, "trains.md": TRAINS})
    assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == (2, 0, 0, 0, 0)
    commit(repository, {"birds.md": f"{OWLS}\n" * 18 + "And so does the little owl.\n", "trains.md": TRAINS})
    documents = sluice.ingestion.ingest(IngestRequest(spec)).to_json()["documents"]
    assert (documents["moved"], documents["new"], documents["deleted"], documents["unchanged"]) == (1, 0, 0, 1)
    engine = sqlalchemy.create_engine(stack.environment["SLUICE_DATABASE_URL"])
    output = sqlalchemy.text(
        "SELECT m.how FROM moves m JOIN documents d USING (document_id) WHERE d.tenant_id = :tenant"
    )
    with engine.begin() as connection:
        assert connection.execute(output, {"tenant": name}).scalars().all() == ["source"]
    engine.dispose()
