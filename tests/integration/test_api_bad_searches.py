"""Searches that nobody should send: each gets a clear 4xx, or an empty result that says why, and never a 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.api_service import MakeWorld, Text, World, client_of, named, question


@pytest.fixture(scope="module")
def world(make_world: MakeWorld) -> Iterator[World]:
    with make_world() as built:
        yield built


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with client_of(world) as client:
        yield client


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"any": [value]}
    return value


def ask(client: TestClient, **changes: Any) -> Any:
    body = json.dumps(question(**changes)).encode()
    return client.post("/api/v1/search", content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "query",
    [
        "a",
        "?",
        "the of and",
        "\U0001f600" * 500,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
        "مرحبا بالعالم",
        "\u202eabc\u202c \u200f",
        "\x01\x02\x7f\x1b[31m",
        "泵" * 2000,
        "e\u0301" * 1000,
        "' OR 1=1; --",
        "<script>alert(1)</script>",
        "\ufffd\ufffe\uffff",
        '{"$ne": null}',
    ],
)
def test_odd_questions_are_questions(client: TestClient, query: str) -> None:
    answer = ask(client, query=query, filters={"language": {"exists": True}}, diversity=0.5, context=2, explain=True)
    assert answer.status_code == 200, answer.text
    assert [each["external_id"] for each in answer.json()["results"]] == ["open.md"]


@pytest.mark.parametrize(
    ("query", "status"), [("", 422), (" \u00a0\t", 422), ("word " * 10_000, 422), ("x" * 70_000, 413), ("a\x00", 422)]
)
def test_questions_that_are_none(client: TestClient, query: str, status: int) -> None:
    answer = ask(client, query=query)
    assert answer.status_code == status
    assert "query" in answer.json()["detail"] or status == 413


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"year": list(range(9_000))}, "9,000 values"),
        ({"year": {"none": [0] * 20_000}}, "20,000 values"),
        ({"year": {"any": 1}}, "list"),
        ({"year": {"none": {"any": [1]}}}, "list"),
        ({"year": {"exists": 1}}, "true or false"),
        ({"year": {"exists": None}}, "true or false"),
        ({"year": {"$gt": 1}}, "any, none, exists, gt"),
        ({"year": {}}, "any, none, exists, gt"),
        ({"year": None}, "cannot be compared: null"),
        ({"year": [None]}, "cannot be compared"),
        ({"year": {"gte": "soon"}}, "dates such as"),
        ({"year": {"gte": 1, "lt": "2026-01-01"}}, "not a mix"),
        ({"year": {"gte": True}}, "true, which is neither a number nor a date"),
        ({"year": {"gte": "2026-13-45"}}, '"2026-13-45", which is neither'),
        ({"year": {"any": {"any": [1]}}}, 'e.g. {"any": [1]}'),
        ({"year": {"gte": [1]}}, "cannot be compared"),
        ({"year": "x" * 600}, "500 characters"),
        ({"year": 2**64}, "64-bit"),
        ({"year": deep(30)}, "cannot be compared"),
        ({"year": deep(90)}, "cannot be compared"),
        ({"nothing": 1}, "language, year"),
        ({"x" * 5000: 1}, "language, year"),
        ({"meta.year": 1, "tenant": "other"}, "language, year"),
        ({f"f{n}": n for n in range(21)}, "20"),
    ],
)
def test_filters_that_cannot_be_are_named(client: TestClient, filters: dict[str, Any], says: str) -> None:
    answer = ask(client, filters=filters)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 600


def test_filters_nested_beyond_what_json_allows(client: TestClient) -> None:
    content = b'{"query": "a", "collection": "docs", "filters": {"year": ' + b'{"any": [' * 5000 + b"]}" * 5000 + b"}}"
    answer = client.post("/api/v1/search", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"filters": {"year": []}}, "filters_contradict"),
        ({"filters": {"year": {"gte": 5, "lt": 1}}}, "filters_contradict"),
        ({"filters": {"language": {"any": ["en"], "none": ["en"]}}}, "filters_contradict"),
        ({"filters": {"language": {"exists": False, "any": ["en"]}}}, "filters_contradict"),
        ({"filters": {"language": "xx"}}, "filters_match_nothing"),
        ({"filters": {"language": {"none": ["en"], "exists": True}}}, "filters_match_nothing"),
        ({"filters": {"year": {"gte": 1}}, "min_score": 1}, "below_min_score"),
    ],
)
def test_an_empty_result_says_why(client: TestClient, changes: dict[str, Any], code: str) -> None:
    answer = ask(client, **changes)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["results"], body["nothing_relevant"]) == ([], True)
    assert body["reason"]["code"] == code
    assert body["reason"]["detail"].endswith(".")


def test_filters_over_http(client: TestClient) -> None:
    def names(filters: dict[str, Any]) -> list[str]:
        return [each["external_id"] for each in ask(client, filters=filters).json()["results"]]

    everything = ["open.md", "legal.md", "hostile.md"]
    assert names({"language": {"none": []}}) == names({"year": {"none": [1]}}) == everything
    assert names({"language": {"none": ["en"]}}) == names({"language": {"exists": False}}) == everything[1:]
    assert names({"language": {"any": ["en", "de"], "none": ["de"], "exists": True}}) == ["open.md"]


def test_an_unknown_collection_is_404_whatever_else_is_asked(client: TestClient) -> None:
    cases: list[dict[str, Any]] = [{}, {"filters": {"year": []}}, {"filters": {"nothing": 1}}, {"context": 5}]
    for changes in cases:
        bodies = [ask(client, collection=name, **changes).json() for name in ("nowhere", "secret")]
        assert [each["status"] for each in bodies] == [404, 404]
        assert bodies[0]["detail"].replace("nowhere", "") == bodies[1]["detail"].replace("secret", "")


def test_near_duplicates_name_only_what_the_caller_may_read(make_world: MakeWorld) -> None:
    """The same text in a document of a group that bob does not hold."""
    text = (
        "The seals of all pumps are replaced by two engineers before the winter begins, because frost makes old rubber "
        "brittle and a leaking valve in January cannot be reached under snow. They write each number into a log, which "
        "the foreman signs, and send what is left of the stock back to our depot in spring."
    )
    with make_world() as world:
        for rank, (name, group) in enumerate([("north", None), ("south", "legal")], start=5):
            world.publish(Text(name, "acme", "docs", text, group), rank)
        for token, duplicates in (("ann-token", [(str(named("chunk south")), "south.md")]), ("bob-token", [])):
            with client_of(world, token) as client:
                results = {each["external_id"]: each for each in ask(client).json()["results"]}
                assert "south.md" not in results
                named_too = results["north.md"].get("duplicates", [])
                assert [(each["chunk_id"], each["external_id"]) for each in named_too] == duplicates
                both = {each["external_id"] for each in ask(client, duplicates=True).json()["results"]}
                assert ("south.md" in both) == (token == "ann-token")
