"""GET /quarantine, POST /quarantine/{id}/replay and GET /runs/{id}/gates: who may see and do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sluice.api.app import create_app
from sluice.errors import Unavailable
from sluice.model.gates import GateResult, GateRow
from sluice.model.grants import Grant
from sluice.model.quarantine import QuarantineEntry
from sluice.model.scan import ListingEntry, WorkItem
from support.api_service import HOSTILE, World, as_caller, authenticate, named

PATH = "/api/v1/quarantine"


class Service:
    """`open` (with bytes), `hostile` (without) and `legal` (of the group legal, with bytes) are in quarantine."""

    def __init__(self, world: World, *, airflow: bool = True) -> None:
        self.world = world
        self.queued: list[tuple[dict[str, Any], str]] = []
        self.failing = False
        for name, kept_bytes in (("open", 7), ("hostile", None), ("legal", 9)):
            run, document_id = self.world.ledger.runs.get(named(f"run {name}")), self.world.ids[name]
            item = WorkItem(document_id, ListingEntry(f"{name}.md", f"file:///docs/{name}.md", "2", 7), new=False)
            row = GateRow(document_id, 2, "chunks", "blank_chunk", "between", {HOSTILE: [1, None]})
            result = GateResult("chunks", "between", "share", False, True, 3, 1)
            self.world.ledger.quality.record_gates(run, 0, "chunk", [result], [row])
            failure = QuarantineEntry(item, "chunk", "blank_chunk", "A chunk is blank.", retained_bytes=kept_bytes)
            self.world.ledger.quarantine.add(run, [failure])
        self.world.ledger.grants.add(Grant("sam", "acme", frozenset({"legal"}), True))
        app = create_app(self._sluice, authenticate, self._trigger if airflow else None)
        self.client = TestClient(app, base_url="http://sluice.test")

    def _sluice(self) -> Any:
        sluice = self.world.sluice()
        sluice.ledger = self.world.ledger
        return sluice

    def _trigger(self, conf: Any, caller: str) -> str:
        if self.failing:
            raise Unavailable("Airflow", "down")
        self.queued.append((dict(conf), caller))
        return f"run-{len(self.queued)}"

    def get(self, path: str, token: str = "ann-token", **params: Any) -> Any:
        headers = {**as_caller(token), "X-Sluice-Tenant": "acme"}
        return self.client.get(path, params=params, headers=headers)

    def listed(self, token: str = "ann-token", **params: Any) -> set[str]:
        return {each["external_id"] for each in self.get(PATH, token, **params).json()["quarantine"]}

    def replay(self, name: str, token: str = "ann-token", **changes: Any) -> Any:
        headers = {**as_caller(token), "X-Sluice-Tenant": "acme", **changes.pop("headers", {})}
        sent = {"json": {}, **changes}
        return self.client.post(f"{PATH}/{self.world.ids[name]}/replay", headers=headers, **sent)


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    built = Service(world)
    with built.client:
        yield built


def test_everyone_sees_what_they_may_read(service: Service) -> None:
    assert service.listed() == service.listed("sam-token") == {"open.md", "hostile.md", "legal.md"}
    assert service.listed("bob-token") == {"open.md", "hostile.md"}
    assert service.get(PATH, "nobody").status_code == 401
    assert service.listed(collection="docs", code="blank_chunk") == service.listed()
    assert service.listed(code="empty") == set()
    assert service.get(PATH, collection="secret").status_code == 404
    assert service.client.get(PATH, headers=as_caller("sam-token") | {"X-Sluice-Tenant": "other"}).json() == {
        "quarantine": [],
        "next": None,
    }


def test_the_list_is_paged(service: Service) -> None:
    first = service.get(PATH, limit=2).json()
    second = service.get(PATH, limit=2, after=first["next"]).json()
    assert ([len(page["quarantine"]) for page in (first, second)], second["next"]) == ([2, 1], None)
    assert service.get(PATH, limit=3).json()["next"] is None
    assert {each["kept_bytes"] for page in (first, second) for each in page["quarantine"]} == {7, None, 9}


def test_one_is_shown_with_what_its_gate_found(service: Service) -> None:
    output = service.get(f"{PATH}/{service.world.ids['legal']}", "sam-token").json()
    assert (output["code"], output["reason"], output["stage"]) == ("blank_chunk", "A chunk is blank.", "chunk")
    assert output["rows"] == [
        {
            "suite": "chunks",
            "code": "blank_chunk",
            "expectation": "between",
            "ordinal": 2,
            "observed": {HOSTILE: [1, None]},
            "label": "chunks are not blank",
            "observed_in_words": f"{HOSTILE}: [1, None]",
        }
    ]
    assert service.get(f"{PATH}/{service.world.ids['legal']}", "bob-token").status_code == 404
    assert service.get(f"{PATH}/{service.world.ids['neighbour']}").status_code == 404
    assert service.get(f"{PATH}/1").status_code == 422


def test_a_replay_is_queued_in_the_callers_name(service: Service) -> None:
    answer = service.replay("legal", "sam-token")
    document_id = str(service.world.ids["legal"])
    assert (answer.status_code, answer.json()) == (202, {"document_id": document_id, "dag_run_id": "run-1"})
    source = "file:///acme/docs/legal/legal"
    assert service.queued == [
        ({"source": source, "collection": "docs", "tenant": "acme", "replay": [document_id]}, "sam")
    ]


def test_who_may_not_replay_queues_nothing(service: Service) -> None:
    assert service.replay("open", "bob-token").status_code == 403
    assert service.replay("legal", "bob-token").status_code == 404
    assert service.replay("neighbour").status_code == 404
    output = service.replay("hostile")
    assert (output.status_code, "has no retained bytes" in output.json()["detail"]) == (422, True)
    assert service.replay("open", json={"document_id": 1}).status_code == 422
    service.world.ledger.grants.add(Grant("bob", "acme", frozenset({"sales"}), True))
    service.world.db.set_own_groups(service.world.ids["legal"], [])
    output = service.replay("legal", "bob-token")
    assert (output.status_code, "groups that they do not hold" in output.json()["detail"]) == (403, True)
    assert service.queued == []
    service.failing = True
    assert service.replay("open").status_code == 503


def test_no_foreign_page_can_replay(service: Service) -> None:
    service.client.cookies.set("_token", "ann-token")
    path = f"{PATH}/{service.world.ids['open']}/replay"

    def status(**sent: Any) -> int:
        return service.client.post(path, **sent).status_code

    assert status(data={"a": "b"}) == status(content=b"{}") == 415
    assert status(json={}, headers={"Sec-Fetch-Site": "cross-site"}) == 403
    assert status(json={}, headers={"Origin": "http://evil.test"}) == 403
    assert service.queued == []
    assert status(json={}, headers={"Sec-Fetch-Site": "same-origin"}) == 202


def test_without_airflow_there_are_no_replays(world: World) -> None:
    built = Service(world, airflow=False)
    with built.client:
        assert built.replay("open").status_code == 501


# --- the gates of a run


def test_the_gates_of_a_run(service: Service) -> None:
    output = service.get(f"/api/v1/runs/{named('run legal')}/gates", "sam-token").json()
    assert (output["collection"], output["source"]) == ("docs", "file:///acme/docs/legal/legal")
    assert (output["run"]["mode"], output["run"]["state"], output["run"]["airflow_path"]) == (
        "incremental",
        "running",
        None,
    )
    assert [(each["expectation"], each["blocking"], each["unexpected"]) for each in output["gates"]] == [
        ("between", True, 1)
    ]
    assert [(each["label"], each["result"]) for each in output["gates"]] == [("between", "failed")]
    assert [(each["external_id"], each["ordinal"]) for each in output["rows"]] == [("legal.md", 2)]
    assert [(each["code"], each["label"]) for each in output["rows"]] == [("blank_chunk", "chunks are not blank")]
    assert output["rows_total"] == 1
    past = service.get(f"/api/v1/runs/{named('run legal')}/gates", offset=1).json()
    assert (past["rows"], past["rows_total"]) == ([], 1)


@pytest.mark.parametrize("run", ["legal", "neighbour", "nowhere"])
def test_the_gates_of_a_run_that_may_not_be_seen(service: Service, run: str) -> None:
    answer = service.get(f"/api/v1/runs/{named(f'run {run}')}/gates", "bob-token")
    assert (answer.status_code, "rows" in answer.json()) == (404, False)
