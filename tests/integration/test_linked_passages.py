"""The graph retriever: passages that answer a question only together with another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sluice.errors import BadRequest, Unavailable
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.links import Link, Seed
from sluice.model.passage import Passage
from sluice.model.search import RETRIEVERS, GraphPath, SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.retrieval.search_json import search_result
from sluice.retrieval.searching import SearchOutcome
from sluice.wiring.application import Sluice
from support.swapping import swapped

QUESTION = "Where was the director of the film Star Harbour born?"
TREE = {
    "star.md": "# Star Harbour\n\nThe film about a lighthouse was made by the director Ida Brandt in 1981.\n",
    "ida.md": "# Ida Brandt\n\nShe grew up at a lake near Graz.\n",
    "graz.md": "# Graz\n\nA town in Styria.\n",
    **{
        f"film{number}.md": f"# Film {number}\n\nThis one shows a town in winter, number {number}.\n"
        for number in range(30)
    },
}


@pytest.fixture
def sluice(make_sluice: Callable[..., Sluice], tmp_path: Path) -> Sluice:
    return make_sluice([tmp_path], entities="phrases", embedder="wordllama")


@pytest.fixture
def spec(sluice: Sluice, tmp_path: Path, name: str) -> SourceSpec:
    for file, content in TREE.items():
        (tmp_path / file).write_text(content)
    spec = SourceSpec(tmp_path.as_uri(), name, tenant=name)
    sluice.ingestion.ingest(IngestRequest(spec))
    return spec


def reader(spec: SourceSpec, *groups: str) -> Principal:
    return Principal("reader", spec.tenant, frozenset(groups or {ALL_GROUPS}))


def asked(sluice: Sluice, spec: SourceSpec, question: str = QUESTION, **more: Any) -> SearchOutcome:
    principal = more.pop("principal", reader(spec))
    return sluice.search(SearchRequest(question, spec.collection, 5, explain=True, **more), principal)


def names(passages: Sequence[Passage]) -> list[str]:
    return [each.external_id for each in passages]


def found(outcome: SearchOutcome, name: str) -> Passage:
    return next(each for each in outcome.passages if each.external_id == name)


def test_the_second_passage_is_found_through_the_first(sluice: Sluice, spec: SourceSpec) -> None:
    without = asked(sluice, spec, retrievers=("dense", "sparse"))
    assert "ida.md" not in names(without.passages)
    outcome = asked(sluice, spec)
    assert outcome.retrievers == RETRIEVERS
    assert not outcome.degraded
    assert names(outcome.passages)[:2] == ["star.md", "ida.md"]
    star, ida = outcome.passages[:2]
    assert ida.path == GraphPath(star.chunk_id, "Ida Brandt", "about")
    explained = search_result(ida, explain=True)["explain"]
    assert explained["path"] == {"from_chunk_id": star.chunk_id, "entity": "Ida Brandt", "relation": "about"}
    assert star.path == GraphPath(None, "Star Harbour", "about")
    assert 0 < ida.scores["graph"] <= 1 / 60  # by rank alone: its strength would tell how many mention her


def test_the_question_names_what_a_passage_is_about_without_capitals(sluice: Sluice, spec: SourceSpec) -> None:
    alone = asked(sluice, spec, "who is ida brandt", retrievers=("graph",))
    assert names(alone.passages) == ["ida.md", "graz.md"]  # which she mentions
    assert alone.retrievers == ("graph",)


def test_links_keep_filters_tenants_and_the_lowest_similarity(sluice: Sluice, spec: SourceSpec) -> None:
    other = replace(spec, tenant=f"{spec.tenant}-2", collection=f"{spec.collection}-2")
    sluice.ingestion.ingest(IngestRequest(other))
    assert "ida.md" in names(asked(sluice, other).passages)
    ids = {each.document_id for each in asked(sluice, spec).passages}
    assert not ids & {each.document_id for each in asked(sluice, other).passages}
    assert asked(sluice, spec, filters={"mime": "text/plain"}).passages == ()
    assert "ida.md" not in names(asked(sluice, spec, min_score=0.9).passages)


def test_only_passages_that_the_caller_may_read_lead_to_others(
    sluice: Sluice, spec: SourceSpec, tmp_path: Path
) -> None:
    """The passage that names her is for directors; the passage about her is for all."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (tmp_path / "star.md").rename(secret / "star.md")
    sluice.ingestion.ingest(IngestRequest(replace(spec, exclude=("secret/*",))))
    closed = replace(spec, uri=secret.as_uri(), access_groups=("directors",))
    sluice.ingestion.ingest(IngestRequest(closed))
    assert names(asked(sluice, spec, principal=reader(spec, "directors")).passages)[:2] == ["star.md", "ida.md"]
    outside = asked(sluice, spec, principal=reader(spec, "visitors"))
    assert not {"star.md", "ida.md"} & set(names(outside.passages))
    assert not any(each.path for each in outside.passages)


def test_what_was_deleted_is_not_linked(sluice: Sluice, spec: SourceSpec, tmp_path: Path) -> None:
    (tmp_path / "ida.md").unlink()
    sluice.ingestion.ingest(IngestRequest(spec))
    outcome = asked(sluice, spec)
    assert "ida.md" not in names(outcome.passages)
    assert names(outcome.passages)[0] == "star.md"


class Down:
    def links(self, generation: Generation, sources: Sequence[UUID], seeds: Sequence[Seed], limit: int) -> list[Link]:
        raise Unavailable("neo4j", "stopped")


def test_without_the_graph_the_search_goes_on_and_says_so(sluice: Sluice, spec: SourceSpec) -> None:
    outcome = asked(swapped(sluice, links=Down()), spec)
    assert outcome.degraded == ("graph",)
    assert outcome.retrievers == ("dense", "sparse")
    plain = asked(sluice, spec, retrievers=("dense", "sparse"))
    assert names(outcome.passages) == names(plain.passages)
    off = swapped(sluice, links=None)
    assert asked(off, spec).retrievers == ("dense", "sparse")
    assert not asked(off, spec).degraded
    with pytest.raises(BadRequest, match="no graph"):
        asked(off, spec, retrievers=("graph",))
