"""POST /feedback, and the routes of evaluations and golden sets: who may give and see what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from sluice.errors import BadRequest
from sluice.model.evaluation import FUSED, METRICS, Comparison, Evaluation, RetrieverScores
from sluice.model.golden import JudgedQuery, Judgement
from sluice.model.grants import Grant
from sluice.model.weights import LearnedWeights, Weights
from support.api_service import World, as_caller, client_of, named

FEEDBACK, EVALUATIONS = "/api/v1/feedback", "/api/v1/collections/docs/evaluations"
SETS = "/api/v1/collections/docs/golden-sets"


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with client_of(world) as client:
        yield client


def given(world: World, client: TestClient, token: str = "ann-token", **changes: Any) -> Any:
    body = {"query": "how often are pumps inspected", "collection": "docs", "relevant": True}
    body["chunk_id"] = str(named("chunk open"))
    sent = {name: value for name, value in {**body, **changes}.items() if value is not None}
    return client.post(FEEDBACK, json=sent, headers={**as_caller(token), "X-Sluice-Tenant": "acme"})


def sets(world: World) -> dict[str, Any]:
    return {each.name: each for each in world.ledger.golden.sets("acme", "docs")}


def evaluated(world: World, run: str = "open") -> Evaluation:
    generation = world.run(run).source.generation
    metrics, intervals = dict.fromkeys(METRICS, 0.5), {each: [0.25, 0.75] for each in METRICS}
    scores = tuple(
        RetrieverScores(name, np.ones((2, 4), np.float32), metrics, intervals, 3.0, 9.0) for name in (FUSED, "dense")
    )
    comparison = Comparison("flag", 0.02, uuid4(), 2, 1, 0.1, 0.01, dropped=True)
    made = Evaluation(
        UUID(int=0), "acme", "docs", "default", "v1", generation.number, generation.profile, world.run(run).run_id,
        "airflow:sluice_evaluate/manual__1", datetime.now(UTC), 2, 30, 1.0, (b"a" * 16, b"b" * 16), scores, comparison,
    )  # fmt: skip
    return world.ledger.evaluations.record(generation, made, None)


# --- feedback


def test_two_callers_who_agree_make_a_judgement_and_one_does_not(world: World, client: TestClient) -> None:
    answer = given(world, client)
    assert (answer.status_code, answer.json()) == (201, {"recorded": True})
    assert given(world, client).status_code == 201, "again, by the same caller"
    assert sets(world) == {}
    assert given(world, client, "bob-token", query=" how often  are pumps inspected").json() == {"recorded": True}
    made = sets(world)["feedback"]
    assert (made.queries, made.judgements, made.origins) == (1, 1, {"feedback": 1})
    (stored,) = world.ledger.golden.queries("acme", "docs", "feedback")
    assert [(each.document_id, each.external_id, each.gain) for each in stored.judgements] == [
        (world.ids["open"], "open.md", 1.0)
    ]
    assert world.ledger.feedback.open("acme", "docs", 9) == []


def test_who_says_not_relevant_outweighs_another(world: World, client: TestClient) -> None:
    assert given(world, client, relevant=False).status_code == 201
    assert given(world, client, "bob-token").status_code == 201
    assert given(world, client, "sam-token").status_code == 201
    assert sets(world) == {}, "two against one are not two more"
    assert given(world, client, relevant=None, gain=0.5).status_code == 201
    (judgement,) = world.ledger.golden.queries("acme", "docs", "feedback")[0].judgements
    assert judgement.gain == 0.5, "the lowest gain"


def feedback_of(world: World) -> Any:
    sluice = world.sluice()
    return sluice.feedback, world.run("open").source.generation


def test_a_rejected_opinion_does_not_help_another_to_be_promoted(world: World, client: TestClient) -> None:
    feedback, generation = feedback_of(world)
    assert given(world, client).status_code == 201
    (opened,) = world.ledger.feedback.open("acme", "docs", 9)
    assert feedback.reject(generation, "acme", opened.question_id) == 1
    for token in ("ann-token", "bob-token", "ann-token"):
        assert given(world, client, token).status_code == 201
    assert sets(world) == {}
    assert given(world, client, "sam-token").status_code == 201
    assert sets(world)["feedback"].queries == 1, "two who were not rejected"


def test_accepting_a_question_decides_all_opinions_on_it(world: World, client: TestClient) -> None:
    feedback, generation = feedback_of(world)
    assert given(world, client).status_code == 201
    assert given(world, client, chunk_id=str(named("chunk legal")), relevant=False).status_code == 201
    question_id = world.ledger.feedback.open("acme", "docs", 9)[0].question_id
    assert feedback.accept(generation, "acme", question_id).judgements == 1
    assert feedback.open("acme", "docs") == []


def test_a_question_without_its_key_is_not_accepted_silently(world: World, client: TestClient) -> None:
    feedback, generation = feedback_of(world)
    assert given(world, client).status_code == 201
    question_id = world.ledger.feedback.open("acme", "docs", 9)[0].question_id
    world.keyring.destroy([question_id])
    with pytest.raises(BadRequest, match="cannot be decrypted"):
        feedback.accept(generation, "acme", question_id)
    assert feedback.reject(generation, "acme", question_id) == 1


def test_what_is_judged_is_not_judged_again(world: World, client: TestClient) -> None:
    for token in ("ann-token", "bob-token"):
        assert given(world, client, token, relevant=None, gain=2.0).status_code == 201
    before = sets(world)["feedback"]
    assert given(world, client, "sam-token").status_code == 201
    assert sets(world)["feedback"] == before
    assert world.ledger.feedback.open("acme", "docs", 9) == []


def test_only_what_the_caller_may_read(world: World, client: TestClient) -> None:
    legal, foreign = str(named("chunk legal")), str(named("chunk neighbour"))
    assert given(world, client, chunk_id=legal).status_code == 201
    for token, changes in (
        ("bob-token", {"chunk_id": legal}),
        ("bob-token", {"chunk_id": None, "document_id": str(world.ids["legal"])}),
        ("ann-token", {"chunk_id": foreign}),
        ("ann-token", {"chunk_id": str(named("chunk foreign")), "collection": "secret"}),
        ("ann-token", {"chunk_id": str(uuid4())}),
        ("ann-token", {"document_id": str(world.ids["hostile"])}),
        ("ann-token", {"collection": "nowhere"}),
    ):
        assert given(world, client, token, **changes).status_code == 404, changes
    assert client.post(FEEDBACK, json={}, headers=as_caller("nobody")).status_code == 401
    assert given(world, client, "nil-token").status_code == 403
    world.delete("open")
    assert given(world, client).status_code == 404


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": "x" * 2001}, "query"),
        ({"query": "  "}, "query"),
        ({"query": "a\x00b"}, "NUL"),
        ({"relevant": None}, "give either relevant or gain"),
        ({"gain": 1}, "give either relevant or gain"),
        ({"relevant": None, "gain": 1001}, "gain"),
        ({"relevant": None, "gain": True}, "gain"),
        ({"relevant": None, "gain": "1"}, "gain"),
        ({"relevant": None, "gain": -1}, "gain"),
        ({"chunk_id": None}, "give chunk_id or document_id"),
        ({"chunk_id": "x"}, "chunk_id"),
        ({"more": 1}, "unknown field"),
    ],
)
def test_what_is_not_feedback(world: World, client: TestClient, changes: dict[str, Any], message: str) -> None:
    answer = given(world, client, **changes)
    assert answer.status_code == 422 and message in answer.json()["detail"]


def test_a_caller_gives_a_bounded_number_in_an_hour(world: World, client: TestClient) -> None:
    world.feedback_per_hour = 2
    with client_of(world) as bounded:
        for text in ("one", "two"):
            assert given(world, bounded, query=text).status_code == 201
        third = given(world, bounded, query="three")
        assert (
            third.status_code == 429 and third.headers["Retry-After"] and "2 times in an hour" in third.json()["detail"]
        )
        assert given(world, bounded, "bob-token", query="three").status_code == 201, "others are not affected"
        assert given(world, bounded, "bob-token", query="three").status_code == 201
        assert given(world, bounded, "bob-token", query="three").status_code == 429, "also the same opinion again"
    big = client.post(
        FEEDBACK, content=b'{"query": "' + b"x" * 70_000 + b'"}', headers={"Content-Type": "application/json"}
    )
    assert big.status_code == 413


# --- evaluations


def test_evaluations_of_the_tenant_page_by_page(world: World, client: TestClient) -> None:
    made = [evaluated(world) for _ in range(3)]
    first = client.get(EVALUATIONS, params={"limit": 2}).json()
    assert [each["evaluation_id"] for each in first["evaluations"]] == [str(each.evaluation_id) for each in made[:0:-1]]
    rest = client.get(EVALUATIONS, params={"limit": 2, "before": first["next"]}).json()
    assert [each["evaluation_id"] for each in rest["evaluations"]] == [str(made[0].evaluation_id)]
    assert rest["next"] is None
    one = rest["evaluations"][0]
    assert one["retrievers"]["fused"]["ndcg@10"] == 0.5
    assert one["retrievers"]["dense"]["intervals"]["mrr"] == [0.25, 0.75]
    assert one["retrievers"]["fused"]["latency_ms"] == {"p50": 3.0, "p95": 9.0}
    assert one["comparison"]["result"] == "warning" and one["embedder"] == "hash:4"
    assert one["airflow_path"] == "/dags/sluice_evaluate/runs/manual__1"
    assert client.get(EVALUATIONS, params={"golden_set": "other"}).json()["evaluations"] == []
    assert first["weights"] is None
    learned_weights = LearnedWeights(Weights(0.6, 0.4, 0.2, 0.1), 40, 0.02, 0.01)
    world.ledger.evaluations.learn_weights(world.run("open").source.generation, "acme", learned_weights)
    learned = client.get(EVALUATIONS).json()["weights"]
    assert learned.pop("learned_at") and learned == {
        **{"dense": 0.6, "pairs": 0.4, "resemblance": 0.2, "metadata": 0.1},
        **{"queries": 40, "gain": 0.02, "p": 0.01},
    }


def test_evaluations_are_for_holders_of_all_groups_of_the_tenant(world: World, client: TestClient) -> None:
    evaluated(world)
    world.ledger.grants.add(Grant("sam", "other", frozenset({"*"}), False))
    for path in (EVALUATIONS, SETS):
        assert client.get(path, headers=as_caller("bob-token")).status_code == 403
        assert client.get(path.replace("docs", "secret")).status_code == 404
        assert client.get(path.replace("docs", "nowhere")).status_code == 404
    others = client.get(EVALUATIONS, headers={**as_caller("sam-token"), "X-Sluice-Tenant": "other"})
    assert (others.status_code, others.json()["evaluations"]) == (200, [])


def test_golden_sets_and_their_questions(world: World, client: TestClient) -> None:
    sluice, generation = world.sluice(), world.run("open").source.generation
    queries = [
        JudgedQuery(f"{number}", f"question {number}", (Judgement("open.md", 1.0),), "import") for number in range(3)
    ]
    sluice.golden.add(generation, "acme", "mine", queries)
    (listed,) = client.get(SETS).json()["golden_sets"]
    assert (listed["name"], listed["queries"], listed["origins"]) == ("mine", 3, {"import": 3})
    first = client.get(f"{SETS}/mine", params={"limit": 2}).json()
    rest = client.get(f"{SETS}/mine", params={"limit": 2, "after": first["next"]}).json()
    shown = [each["query"] for each in first["questions"] + rest["questions"]]
    assert sorted(shown) == ["question 0", "question 1", "question 2"] and rest["next"] is None
    assert first["questions"][0]["judgements"] == [
        {"external_id": "open.md", "document_id": str(world.ids["open"]), "gain": 1.0}
    ]
    world.ledger.grants.add(Grant("bob", "acme", frozenset({"*"}), False))
    reader = as_caller("bob-token")
    assert client.get(SETS, headers=reader).status_code == 200
    assert client.get(f"{SETS}/mine", headers=reader).status_code == 403, "questions may be personal"
    assert client.get(f"{SETS}/absent").status_code == 404
