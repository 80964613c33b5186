"""What the query service prepares at its start, and that nothing of it can fail the start."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from sluice.api.app import create_app
from sluice.errors import BadRequest, CircuitOpen, Slow, Unavailable
from sluice.model.generation import Generation, Profile
from sluice.wiring.warming import follow_links, load_models, warm_up
from support.waiting import wait_until


def test_a_step_that_fails_is_one_line_and_the_others_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[str] = []

    def fail() -> None:
        raise Unavailable("neo4j", "connection refused")

    def break_down() -> None:
        raise ValueError("hunter2")

    warm_up({"neo4j": fail, "embedder": break_down, "qdrant": lambda: taken.append("qdrant")})
    assert taken == ["qdrant"]
    assert [each.getMessage().partition(" error=")[0] for each in caplog.records] == [
        "warm-up failed: dependency=neo4j",
        "warm-up failed: dependency=embedder",
    ]
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("with_passages", [True, False])
@pytest.mark.parametrize(
    ("answers", "asked", "raised"),
    [
        ([[], []], 2, None),
        ([Slow("neo4j", "cold"), [], []], 3, None),
        ([Slow("neo4j", "cold")] * 9, 5, Slow),
        ([CircuitOpen("neo4j", 5.0)], 1, CircuitOpen),
        ([Unavailable("neo4j", "refused")], 1, Unavailable),
    ],
)
def test_links_are_asked_for_until_they_come_in_time(
    answers: list[Any], asked: int, raised: type[Exception] | None, with_passages: bool
) -> None:
    calls = []

    def links(*call: Any) -> Any:
        calls.append(call)
        answer = answers[len(calls) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    generation = Generation(UUID(int=1), "docs", 1, Profile("chars:100:0", "hash:4", "phrases", 4), "docs__g1", ())
    rows = (
        [SimpleNamespace(chunk_id=UUID(int=2), document_id=UUID(int=3), mentions=((UUID(int=4), 1),))]
        if with_passages
        else []
    )
    ports: list[Any] = [
        SimpleNamespace(chunks=lambda *_: rows),
        SimpleNamespace(links=links),
        SimpleNamespace(generations=lambda: [generation]),
        SimpleNamespace(saved=lambda **_: [SimpleNamespace(source_id=UUID(int=5))]),
    ]
    with pytest.raises(raised) if raised else nullcontext():
        follow_links(*ports)
    assert len(calls) == asked
    used, readable, (question, passage, *_), _ = calls[0]
    assert readable == [UUID(int=5)]
    assert (question.chunk_id, len(question.names)) == (None, 1 if with_passages else 50)
    assert (used == generation, passage.chunk_id == UUID(int=2)) == (with_passages, with_passages)


def test_local_models_are_loaded_and_endpoints_are_not_called() -> None:
    names = ("hash:4", "openai:large", "hash:4")
    generations = [SimpleNamespace(profile=SimpleNamespace(embedder=name)) for name in names]
    collections: Any = SimpleNamespace(generations=lambda: generations)
    loaded: list[str] = []
    embedder: Any = lambda name: SimpleNamespace(embed=lambda texts: loaded.append(name))  # noqa: E731
    load_models(collections, embedder)
    assert loaded == ["hash:4"]


async def nobody(request: Any) -> str | None:
    return None


def test_the_service_starts_while_its_dependencies_are_being_built() -> None:
    release, warmed = threading.Event(), threading.Event()

    def build() -> Any:
        release.wait(30)
        return SimpleNamespace(warm_up=warmed.set, close=lambda: None)

    with TestClient(create_app(build, nobody, warm=True)) as client:
        assert client.get("/api/v1/health/live").status_code == 200
        assert not warmed.is_set()
        release.set()
        assert warmed.wait(30)


def test_a_service_that_cannot_be_built_starts_too(caplog: pytest.LogCaptureFixture) -> None:
    def build() -> Any:
        raise BadRequest("SLUICE_DATABASE_URL is not set.")

    with TestClient(create_app(build, nobody, warm=True)) as client:
        assert client.get("/api/v1/health/live").status_code == 200
        wait_until(lambda: "could not be prepared" in caplog.text, "the failure was not logged", 30)
