"""The OpenAPI document says what the service does, and the service answers by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from support.api_service import MakeWorld, World, client_of, named, question


@pytest.fixture(scope="module")
def world(make_world: MakeWorld) -> Iterator[World]:
    with make_world() as built:
        yield built


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with client_of(world) as client:
        yield client


@pytest.fixture(scope="module")
def schema(client: TestClient) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/api/v1/openapi.json").json()
    return document


def test_every_route_of_this_release_is_described(schema: dict[str, Any]) -> None:
    assert {(method, path) for path, methods in schema["paths"].items() for method in methods} == {
        ("post", "/api/v1/search"),
        ("get", "/api/v1/access"),
        ("delete", "/api/v1/grants/{principal}"),
        ("delete", "/api/v1/collections/{collection}"),
        ("delete", "/api/v1/sources"),
        ("delete", "/api/v1/documents/{document_id}"),
        ("post", "/api/v1/documents/{document_id}/restore"),
        ("get", "/api/v1/collections"),
        ("get", "/api/v1/collections/{collection}"),
        ("get", "/api/v1/sources"),
        ("get", "/api/v1/documents"),
        ("post", "/api/v1/documents"),
        ("get", "/api/v1/documents/{document_id}"),
        ("get", "/api/v1/passages/{chunk_id}"),
        ("get", "/api/v1/passages/{chunk_id}/lineage"),
        ("get", "/api/v1/quarantine"),
        ("get", "/api/v1/quarantine/{document_id}"),
        ("post", "/api/v1/quarantine/{document_id}/replay"),
        ("get", "/api/v1/runs/{run_id}/gates"),
        ("post", "/api/v1/feedback"),
        ("get", "/api/v1/collections/{collection}/evaluations"),
        ("get", "/api/v1/collections/{collection}/golden-sets"),
        ("get", "/api/v1/collections/{collection}/golden-sets/{name}"),
        ("get", "/api/v1/health"),
        ("get", "/api/v1/health/live"),
        ("get", "/api/v1/health/ready"),
    }
    assert schema["servers"] == [{"url": "/sluice"}]
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "cookie"}


def test_search_takes_and_gives_what_is_promised(schema: dict[str, Any]) -> None:
    models = schema["components"]["schemas"]
    asked = models["SearchBody"]
    assert set(asked["properties"]) == {
        "query", "collection", "top_k", "filters", "legs", "rerank", "explain", "min_score",
        "duplicates", "diversity", "context",
    }  # fmt: skip
    assert asked["required"] == ["query", "collection"]
    assert asked["additionalProperties"] is False
    limits = asked["properties"]
    assert (limits["query"]["minLength"], limits["query"]["maxLength"]) == (1, 2000)
    assert (limits["top_k"]["minimum"], limits["top_k"]["maximum"], limits["top_k"]["default"]) == (1, 100, 10)
    assert set(models["SearchAnswer"]["properties"]) == {
        "results", "legs", "degraded", "nothing_relevant", "generation", "took_ms", "request_id", "cached",
        "reason",
    }  # fmt: skip
    assert set(models["SearchResult"]["properties"]) == {
        "chunk_id", "document_id", "external_id", "title", "text", "score", "uri", "location", "metadata",
        "version", "generation", "run_id", "similarity", "explain", "duplicates", "context",
    }  # fmt: skip
    assert set(models["Location"]["properties"]) == {"start", "end", "page", "headings"}


def test_errors_are_described_as_problems(schema: dict[str, Any]) -> None:
    assert "ValidationError" not in json.dumps(schema), "no route answers with the framework's own errors"
    responses = schema["paths"]["/api/v1/search"]["post"]["responses"]
    for status in ("401", "403", "404", "413", "422", "503"):
        assert list(responses[status]["content"]) == ["application/problem+json"]
    required = schema["components"]["schemas"]["Problem"]["required"]
    assert required == ["type", "title", "status", "detail", "request_id"]


CALLS = [
    ("post", "/api/v1/search", "/api/v1/search", question(explain=True)),
    ("post", "/api/v1/search", "/api/v1/search", question(min_score=0.5)),
    ("post", "/api/v1/search", "/api/v1/search", question(surprise=1)),
    ("post", "/api/v1/search", "/api/v1/search", question(collection="nowhere")),
    ("get", "/api/v1/collections", "/api/v1/collections", None),
    ("get", "/api/v1/collections/{collection}", "/api/v1/collections/docs", None),
    ("get", "/api/v1/sources", "/api/v1/sources?collection=docs", None),
    ("get", "/api/v1/sources", "/api/v1/sources?collection=%20", None),
    ("get", "/api/v1/documents", "/api/v1/documents?collection=docs&limit=1", None),
    ("get", "/api/v1/documents/{document_id}", "/api/v1/documents/{open}", None),
    ("get", "/api/v1/documents/{document_id}", f"/api/v1/documents/{named('missing')}", None),
    ("get", "/api/v1/passages/{chunk_id}", f"/api/v1/passages/{named('chunk open')}", None),
    ("get", "/api/v1/passages/{chunk_id}", f"/api/v1/passages/{named('missing')}", None),
    ("get", "/api/v1/passages/{chunk_id}/lineage", f"/api/v1/passages/{named('chunk open')}/lineage", None),
    ("get", "/api/v1/quarantine", "/api/v1/quarantine", None),
    ("get", "/api/v1/quarantine/{document_id}", "/api/v1/quarantine/{open}", None),
    ("post", "/api/v1/quarantine/{document_id}/replay", "/api/v1/quarantine/{open}/replay", {}),
    ("get", "/api/v1/runs/{run_id}/gates", f"/api/v1/runs/{named('run open')}/gates", None),
    ("get", "/api/v1/health", "/api/v1/health", None),
    ("get", "/api/v1/health/live", "/api/v1/health/live", None),
    ("get", "/api/v1/health/ready", "/api/v1/health/ready", None),
]


@pytest.mark.parametrize(("method", "path", "address", "body"), CALLS)
def test_answers_are_as_described(
    world: World,
    client: TestClient,
    schema: dict[str, Any],
    method: str,
    path: str,
    address: str,
    body: dict[str, Any] | None,
) -> None:
    answer = client.request(method, address.replace("{open}", str(world.ids["open"])), json=body)
    media_type = answer.headers["content-type"]
    described = schema["paths"][path][method]["responses"][str(answer.status_code)]["content"][media_type]["schema"]
    validator = Draft202012Validator({"components": schema["components"], **described})
    assert [error.message for error in validator.iter_errors(answer.json())] == []


def test_the_example_of_a_search_is_one(client: TestClient, schema: dict[str, Any]) -> None:
    [example] = schema["components"]["schemas"]["SearchBody"]["examples"]
    assert client.post("/api/v1/search", json={**example, "collection": "docs"}).status_code == 200


def test_every_route_says_what_it_is_for(schema: dict[str, Any]) -> None:
    """The page of the API shows it."""
    operations = [(path, each) for path, methods in schema["paths"].items() for each in methods.values()]
    assert [path for path, each in operations if not each.get("description") or not each.get("tags")] == []


def test_the_page_of_the_api_needs_a_login(world: World) -> None:
    with client_of(world, token=None) as stranger:
        assert stranger.get("/api/v1/docs").status_code == 401
