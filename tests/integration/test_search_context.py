"""Text around passages: exact, once in a result, of one version, and only what the caller may read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from sluice.indexing.loading import load
from sluice.indexing.stores import Stores
from sluice.model.chunk import Chunk, EmbeddedChunk, EmbeddedDocument, SparseVector
from sluice.model.document import Document
from sluice.model.grants import Principal
from sluice.model.scan import ListingEntry
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.retrieval import neighbours
from support.api_service import FILTER_FIELDS, PROFILE, World, client_of, question

ANN = Principal("ann", "acme", frozenset({"*"}))
PIECES = ["First part.", "Second part.", "Third part.", "Fourth part.", "Fifth part.", "Sixth part."]
STORY = PIECES[0] + "\n\n" + PIECES[1] + "\n" + PIECES[2] + "\n\n" + PIECES[3] + "\n\n" + PIECES[4] + "\n\n" + PIECES[5]
STARTS = [STORY.index(piece) for piece in PIECES]


def published(
    world: World, cuts: list[tuple[int, int]], nearest: int, text: str = STORY, name: str = "story", mark: str = "1"
) -> list[UUID]:
    """Loads a version with these chunks of `text`; chunk `nearest` is the most similar to any question. Returns the
    ids of the chunks."""
    spec = SourceSpec(f"file:///{name}", "stories", "acme", ())
    source = world.ledger.sources.open(spec, PROFILE, FILTER_FIELDS)
    run = world.ledger.runs.start(source, "incremental", uuid4())
    entry = ListingEntry(f"{name}.md", f"file:///{name}.md", mark, len(text))
    [item] = world.ledger.scans.record(run, [entry]).items
    world.ids[name] = item.document_id
    world.keyring.create([item.document_id])
    world.vectors.ensure(source.generation)
    identity = item.document_id
    chunks = [embedded(identity, place, text, cut, abs(place - nearest)) for place, cut in enumerate(cuts)]
    document = Document(item, "text/markdown", "A story", text, f"{text}{mark}".encode(), {})
    stores = Stores(world.ledger.outbox, world.vectors, world.graph)
    versions, keyring = world.ledger.versions, world.keyring
    load(run, [EmbeddedDocument(document, tuple(chunks))], versions=versions, keyring=keyring, stores=stores)
    world.ledger.runs.finish(run, "succeeded", {})
    return [each.chunk.chunk_id for each in chunks]


def embedded(document_id: UUID, ordinal: int, text: str, cut: tuple[int, int], far: int) -> EmbeddedChunk:
    start, end = cut
    angle = 0.1 * far + 0.01 * ordinal
    chunk_id = UUID(int=document_id.int ^ ordinal ^ (start << 20) ^ (end << 40))
    text_hash = ordinal.to_bytes(20, "big")
    chunk = Chunk(chunk_id, document_id, ordinal, text[start:end], "", start, end, None, (), text_hash)
    sparse = SparseVector(np.ones(1, np.uint32), np.array([1 - angle], np.float32))
    return EmbeddedChunk(chunk, np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32), sparse)


def cuts(overlap: int = 0) -> list[tuple[int, int]]:
    return [
        (max(0, start - (overlap if place else 0)), start + len(piece))
        for place, (start, piece) in enumerate(zip(STARTS, PIECES, strict=True))
    ]


def ask(world: World, catalog: Any = None, **changes: Any) -> Any:
    asked = world.search_of(catalog=catalog or world.catalog, keyring=world.keyring, vectors=world.vectors)
    return asked(replace(SearchRequest("anything", "stories", 1, context=1), **changes), ANN)


@pytest.mark.parametrize("overlap", [0, 4, 14])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("nearest", [0, 2, 5])
def test_passage_and_context_are_the_documents_text(world: World, overlap: int, count: int, nearest: int) -> None:
    published(world, cuts(overlap), nearest)
    (passage,) = ask(world, context=count).passages
    around = passage.context
    assert (passage.start, passage.end) == cuts(overlap)[nearest]
    assert passage.text == STORY[passage.start : passage.end]
    assert around.start == min(cuts(overlap)[max(0, nearest - count)][0], passage.start)
    assert around.end == cuts(overlap)[min(5, nearest + count)][1]
    parts = [part for part in (around.before, passage.text, around.after) if part]
    whole = STORY[around.start : around.end]
    assert "".join("".join(parts).split()) == "".join(whole.split())
    assert whole.startswith(parts[0]) and whole.endswith(parts[-1])


def test_a_text_appears_once_in_a_result(world: World) -> None:
    published(world, cuts(), 2)
    outcome = ask(world, top_k=3, context=5)
    assert [STORY[each.start : each.end] for each in outcome.passages] == [PIECES[2], PIECES[1], PIECES[3]]
    shown = [part for each in outcome.passages for part in (each.context.before, each.text, each.context.after)]
    assert sorted("".join(shown).replace("\n", "")) == sorted(STORY.replace("\n", ""))
    assert (outcome.passages[0].context.before, outcome.passages[0].context.after) == ("", "")
    assert outcome.passages[1].context.before == PIECES[0]
    assert outcome.passages[2].context.after == f"{PIECES[4]}\n\n{PIECES[5]}"


def test_a_long_neighbour_is_cut_at_its_far_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_SIDE_CHARS", 17)
    published(world, cuts(), 3)
    (passage,) = ask(world, context=5).passages
    assert passage.context.before == f" part.\n{PIECES[2]}"
    assert passage.context.after == f"{PIECES[4]}\n\nSixth "
    for side, place in ((passage.context.before, slice(passage.context.start, passage.start)),
                        (passage.context.after, slice(passage.end, passage.context.end))):  # fmt: skip
        assert side.split() == STORY[place].split()
        assert len("".join(side.split("\n"))) == 17


class Switching:
    """Something happens after the passages were read and before their neighbours are."""

    def __init__(self, world: World, event: Any) -> None:
        self._world, self._event = world, event

    def __getattr__(self, name: str) -> Any:
        if name == "neighbours":
            self._event()
        return getattr(self._world.catalog, name)


def test_versions_never_mix(world: World) -> None:
    """The chunk of the passage is in both versions; its neighbours differ."""
    published(world, cuts(), 2)
    other = STORY.replace("Second", "2nd___").replace("Fourth", "4th___")
    catalog = Switching(world, lambda: published(world, cuts(), 2, other, mark="2"))
    outcome = ask(world, catalog)
    assert [each.version for each in outcome.passages] == [1]
    assert (outcome.passages[0].context, outcome.degraded) == (None, ("context",))
    again = ask(world)
    assert (again.passages[0].version, again.passages[0].context.before, again.degraded) == (2, "2nd___ part.", ())


@pytest.mark.parametrize("event", ["delete", "expire", "groups"])
def test_nothing_is_added_that_may_not_be_read_any_more(world: World, event: str) -> None:
    published(world, cuts(), 2)
    document_id = world.ids["story"]
    reader = Principal("bob", "acme", frozenset())
    events = {
        "delete": lambda: world.db.execute(
            "UPDATE documents SET deleted_at = now() WHERE document_id = :id", id=document_id
        ),
        "expire": lambda: world.db.expire(document_id),
        "groups": lambda: world.db.set_own_groups(document_id, ["legal"]),
    }
    asked = world.search_of(catalog=Switching(world, events[event]), keyring=world.keyring, vectors=world.vectors)
    (passage,) = asked(SearchRequest("anything", "stories", 1, context=2), reader).passages
    assert (passage.context.before, passage.context.after) == ("", "")
    assert (passage.context.start, passage.context.end) == (passage.start, passage.end)
    assert (
        world.search_of(catalog=world.catalog, keyring=world.keyring, vectors=world.vectors)(
            SearchRequest("anything", "stories", 1, context=2), reader
        ).passages
        == ()
    )


def test_over_http(world: World) -> None:
    published(world, cuts(), 2)
    with client_of(world) as client:
        answer = client.post("/api/v1/search", json=question(collection="stories", top_k=1, context=1)).json()
        (result,) = answer["results"]
        start, end = STARTS[1], STARTS[3] + len(PIECES[3])
        assert result["context"] == {"before": PIECES[1], "after": PIECES[3], "start": start, "end": end}
        assert result["location"]["start"] == STARTS[2]
        plain = client.post("/api/v1/search", json=question(collection="stories", top_k=1)).json()
        assert "context" not in plain["results"][0]
