"""As a user: trigger over Airflow's API, watch, search with the token; break things on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest

from demo.__main__ import allow
from demo.server import Server, StepFailed
from sluice.wiring.clients import lineage_events
from support import ledger_rows
from support.engines import EngineStack
from support.openlineage_schemas import problems
from support.scratch_databases import libpq
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk.\n"
BREAD = "# Bread\n\nRye sourdough wants a long, cool fermentation. Vienna bakers say so.\n"

pytestmark = pytest.mark.timeout(900)  # its first test waits for Airflow to start and for a whole ingest


@pytest.fixture(scope="module")
def server(airflow_stack: EngineStack) -> Server:
    environment = airflow_stack.environment
    built = Server(
        environment["SLUICE_AIRFLOW_URL"], environment["SLUICE_ADMIN_USER"], environment["SLUICE_ADMIN_PASSWORD"]
    )
    built.wait_for_dag("sluice_ingest", timeout_s=120.0)
    return built


@pytest.fixture(scope="module")
def anonymous(airflow_stack: EngineStack) -> httpx.Client:
    return httpx.Client(base_url=airflow_stack.environment["SLUICE_AIRFLOW_URL"], timeout=60.0)


def ingest(server: Server, folder: Path, collection: str, **conf: Any) -> dict[str, Any]:
    allow(server, folder.as_uri())
    asked = {"source": folder.as_uri(), "collection": collection, **conf}
    run_id = server.trigger("sluice_ingest", asked)
    server.wait("sluice_ingest", run_id, 600.0, print)
    summary: dict[str, Any] = server.result("sluice_ingest", run_id, "finish")
    return summary


@pytest.fixture(scope="module")
def ingested(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("in")
    (folder / "owls.md").write_text(OWLS)
    (folder / "bread.md").write_text(BREAD)
    (folder / "empty.txt").write_text("")
    return folder, ingest(server, folder, "e2e", batch_size=2)


def test_documents_in_cited_passages_out(server: Server, ingested: tuple[Path, dict[str, Any]]) -> None:
    _, summary = ingested
    assert (summary["documents"]["new"], summary["documents"]["quarantined"]) == (2, 1)
    # The API server prepares Neo4j in the background, and may not be done.
    wait_until(lambda: not server.search("barn owl voles", "e2e", 5)["degraded"], "a search uses all retrievers")
    outcome = server.search("barn owl voles", "e2e", 5)
    best = outcome["results"][0]
    assert (best["external_id"], best["title"], best["version"]) == ("owls.md", "Owls", 1)
    assert best["text"] in OWLS and OWLS[best["location"]["start"] : best["location"]["end"]] == best["text"]
    assert best["run_id"] == summary["run_id"]
    assert set(outcome["legs"]) == {"dense", "sparse", "graph"} and outcome["degraded"] == []


def test_no_file_of_the_stack_holds_a_sentence(
    airflow_stack: EngineStack, ingested: tuple[Path, dict[str, Any]]
) -> None:
    """Artefacts, XCom, task logs, lineage and Airflow's own database included."""
    assert airflow_stack.files_with("The barn owl hunts voles above wet meadows") == []


def test_a_second_run_adds_nothing(server: Server, ingested: tuple[Path, dict[str, Any]]) -> None:
    folder, first = ingested
    again = ingest(server, folder, "e2e")
    assert again["embeddings"] == {"computed": 0, "cached": 0}
    assert (again["chunks"]["written"], again["chunks"]["total"]) == (0, first["chunks"]["total"])
    assert (again["documents"]["unchanged"], again["documents"]["quarantined"]) == (2, 1)


def test_what_is_not_allowed_fails_at_once(server: Server, tmp_path: Path) -> None:
    for conf in ({"source": "file:///etc"}, {"source": "gopher://hole"}, {"source": "file:///etc", "tenant": "others"}):
        run_id = server.trigger("sluice_ingest", {"collection": "e2e", **conf})
        with pytest.raises(StepFailed, match="failed in plan"):
            server.wait("sluice_ingest", run_id, 300.0, print)
        plan = server._http.get(f"/api/v2/dags/sluice_ingest/dagRuns/{run_id}/taskInstances/plan").json()
        assert plan["try_number"] == 1, "it was tried again"


def test_bad_conf_is_refused_by_the_form(server: Server) -> None:
    for conf in ({}, {"source": "file:///x", "mode": "sideways"}, {"source": "file:///x", "batch_size": 0}):
        with pytest.raises(StepFailed, match="400"):
            server.trigger("sluice_ingest", conf)


@pytest.mark.parametrize(
    "path", ["", "api/v1/openapi.json", "api/v1/collections", "api/v1/health", "api/v1/nothing/here", "docs"]
)
def test_without_a_token_nothing(server: Server, anonymous: httpx.Client, path: str) -> None:
    assert anonymous.get(f"/sluice/{path}").status_code == 401
    garbage = anonymous.get(f"/sluice/{path}", headers={"Authorization": "Bearer garbage"})
    assert garbage.status_code == 401


def test_search_needs_a_token_and_probes_do_not(server: Server, anonymous: httpx.Client) -> None:
    body = {"query": "owls", "collection": "e2e"}
    assert anonymous.post("/sluice/api/v1/search", json=body).status_code == 401
    assert anonymous.get("/sluice/api/v1/health/live").status_code == 200
    assert anonymous.get("/sluice/api/v1/health/ready").status_code == 200


def test_a_user_without_a_grant_gets_none_of_it(
    airflow_stack: EngineStack, server: Server, ingested: object, anonymous: httpx.Client
) -> None:
    """Made through Airflow's own API, as an administrator would."""
    user = {
        "username": "guest",
        "password": "a-long-password-1",
        "email": "guest@example.org",
        "first_name": "G",
        "last_name": "Uest",
        "roles": [{"name": "Viewer"}],
    }
    built = server._http.post("/auth/fab/v1/users", json=user)
    assert built.status_code in (200, 201, 409), built.text
    token = anonymous.post("/auth/token", json={"username": "guest", "password": "a-long-password-1"})
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
    body = {"query": "owls", "collection": "e2e"}
    refused = anonymous.post("/sluice/api/v1/search", json=body, headers=headers)
    assert refused.status_code == 403 and "sluice grant" in refused.text
    granted = run_cli(airflow_stack.environment, "grant", "guest", "--tenant", "others", "--create-tenant")
    assert granted.returncode == 0, granted.stderr
    hidden = anonymous.post("/sluice/api/v1/search", json=body, headers=headers)
    assert hidden.status_code == 404 and "vole" not in hidden.text


def run_cli(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sluice.cli", *arguments],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_cli_speaks_json(airflow_stack: EngineStack, ingested: tuple[Path, dict[str, Any]]) -> None:
    environment = {**airflow_stack.environment, "SLUICE_FILE_ROOTS": str(ingested[0])}
    status = json.loads(run_cli(environment, "status", "--json").stdout)
    mine = next(each for each in status["collections"] if each["name"] == "e2e")
    assert len(set(mine["chunks"].values())) == 1 and set(mine["chunks"]) == {"ledger", "qdrant", "neo4j"}
    assert all(engine["ok"] for engine in status["engines"])
    again = run_cli(environment, "ingest", ingested[0].as_uri(), "--collection", "e2e", "--json")
    assert again.returncode == 3, again.stderr  # the empty file is in quarantine
    assert json.loads(again.stdout)["embeddings"] == {"computed": 0, "cached": 0}
    outcome = run_cli(environment, "search", "barn owl voles", "--collection", "e2e", "--json")
    assert json.loads(outcome.stdout)["results"][0]["external_id"] == "owls.md"
    assert run_cli(environment, "search", "x", "--collection", "no-such").returncode == 2


@pytest.fixture
def events(airflow_stack: EngineStack, ingested: tuple[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """Lineage events of the first run, from the ledger."""
    database = airflow_stack.settings().database_url.get_secret_value()
    return ledger_rows.lineage_events(database, ledger_rows.EVENTS_OF_RUN, run_id=UUID(ingested[1]["run_id"]))


def test_lineage_is_in_the_ledger(events: list[dict[str, Any]], ingested: tuple[Path, dict[str, Any]]) -> None:
    """Source → ledger → collection and graph, with gates."""
    names = {f"{each['namespace']}|{each['name']}" for event in events for each in event.get("outputs", [])}
    sources = {each["name"] for event in events for each in event.get("inputs", [])}
    assert any(name.startswith("qdrant://") and name.endswith("|e2e__g1") for name in names), names
    assert any(name.startswith("neo4j://") for name in names)
    assert any(name.endswith("public.chunks") for name in names)
    assert str(ingested[0]) in sources
    gates = [each["inputFacets"] for event in events for each in event.get("inputs", []) if each.get("inputFacets")]
    assert any("dataQualityAssertions" in each for each in gates)


def test_lineage_keeps_to_the_schemas(airflow_stack: EngineStack, events: list[dict[str, Any]]) -> None:
    """OpenLineage's and, for facets of ours, those in docs/facets; Airflow's own events of these tasks too."""
    seen = {key for event in events for each in [*event["inputs"], *event["outputs"]] for key in each["facets"]}
    assert {path.stem for path in (ROOT / "docs" / "facets").glob("*.json")} <= seen
    every = events_of_tasks(airflow_stack)
    assert [output for event in every for output in problems(event)] == []


def events_of_tasks(airflow_stack: EngineStack) -> list[dict[str, Any]]:
    """All events of `sluice_ingest`, once a task's end is among them: it is told after the task has ended."""
    asked = "SELECT body FROM lineage_events WHERE body->'job'->>'name' LIKE 'sluice_ingest.%'"
    deadline = time.monotonic() + 120
    while True:
        with psycopg.connect(libpq(airflow_stack.settings().database_url.get_secret_value())) as ledger:
            every = [body for (body,) in ledger.execute(asked)]
        if {"START", "RUNNING", "COMPLETE"} <= {event["eventType"] for event in every}:
            return every
        assert time.monotonic() < deadline, "no task's end was told"
        time.sleep(1)


def test_a_passage_tells_its_past(server: Server, ingested: tuple[Path, dict[str, Any]]) -> None:
    outcome = server.search("barn owl voles", "e2e", 5)["results"][0]
    output = server._http.get(f"/sluice/api/v1/passages/{outcome['chunk_id']}/lineage").json()
    assert output["source"] == ingested[0].as_uri()
    assert (output["document"]["external_id"], output["document"]["version"]) == ("owls.md", 1)
    assert output["run"]["run_id"] == ingested[1]["run_id"]
    assert output["run"]["airflow_path"].startswith("/dags/sluice_ingest/runs/")
    assert server._http.get(output["run"]["airflow_path"]).status_code == 200
    assert {gate["stage"] for gate in output["gates"]} >= {"validate"}
    assert output["embedding"]["computed"] >= 1
    assert any(each["name"] == "e2e__g1" for each in output["datasets"])


def test_a_run_in_airflow_leads_to_its_gate_results(server: Server, ingested: tuple[Path, dict[str, Any]]) -> None:
    summary = ingested[1]
    output = server._http.get(f"/sluice/api/v1/runs/{summary['run_id']}/gates").json()
    assert {gate["suite"] for gate in output["gates"]} == {"documents", "chunks", "vectors"}
    dag_run = output["run"]["airflow_path"].rsplit("/", 1)[-1]
    task = f"/api/v2/dags/sluice_ingest/dagRuns/{dag_run}/taskInstances/finish"
    links = server._http.get(f"{task}/links").json()["extra_links"]
    assert set(links) == {"Gate results", "Quarantine", "Search", "Source"}
    assert links["Gate results"].endswith(summary["gates"])
    for name in ("Quarantine", "Source"):
        assert server._http.get(links[name]).status_code == 200, links[name]
    assert "<title>Sluice gates</title>" in server._http.get(summary["gates"]).text


def test_a_run_is_recognised(server: Server, ingested: tuple[Path, dict[str, Any]]) -> None:
    output = server._http.get(f"/sluice/api/v1/runs/{ingested[1]['run_id']}/gates").json()
    run = f"/api/v2/dags/sluice_ingest/dagRuns/{output['run']['airflow_path'].rsplit('/', 1)[-1]}"
    place, counts = server._http.get(run).json()["note"].split(" → ")
    assert place == f"e2e: {ingested[0].as_uri()}" and " documents seen: " in counts
    batches = server._http.get(f"{run}/taskInstances").json()["task_instances"]
    names = {each["rendered_map_index"] for each in batches if each["task_id"] == "batch.extract"}
    assert names and all(name.startswith("batch ") and "document" in name for name in names)


@pytest.fixture
def marquez(airflow_stack: EngineStack) -> httpx.Client:
    """A real one where it is given, else the receiver of tests/support/lineage_receiver.py."""
    return httpx.Client(base_url=airflow_stack.environment["SLUICE_MARQUEZ_URL"], timeout=30.0)


def waits(airflow_stack: EngineStack) -> list[str]:
    """Names of jobs whose lineage events are not in Marquez yet."""
    stored = lineage_events(airflow_stack.settings(), timeout_s=10.0)
    try:
        return [each.body["job"]["name"] for each in stored.unsent(100)]
    finally:
        stored.close()


def until_sent(airflow_stack: EngineStack, timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while waiting := waits(airflow_stack):
        assert time.monotonic() < deadline_s, f"not sent to Marquez: {waiting}"
        time.sleep(1)


def test_marquez_leads_from_the_chunks_to_the_source(
    airflow_stack: EngineStack,
    events: list[dict[str, Any]],
    ingested: tuple[Path, dict[str, Any]],
    marquez: httpx.Client,
) -> None:
    until_sent(airflow_stack)
    chunks = next(o for event in events for o in event["outputs"] if o["name"].endswith("public.chunks"))
    start = f"dataset:{chunks['namespace']}:{chunks['name']}"
    graph = marquez.get("/api/v1/lineage", params={"nodeId": start, "depth": 20}).json()["graph"]
    nodes = {node["id"]: node for node in graph}
    seen, ahead = set(), [start]
    while ahead:
        node = ahead.pop()
        if node not in seen:
            seen.add(node)
            ahead += [edge["origin"] for edge in nodes[node]["inEdges"]]
    assert f"dataset:file:{ingested[0]}" in seen, sorted(seen)
    assert {
        f"job:sluice:sluice_ingest.batch.{task}" for task in ("extract", "validate", "chunk", "embed", "load")
    } <= seen
    for stage, suite in (("1-extracted", "documents"), ("3-chunked", "chunks"), ("4-embedded", "vectors")):
        evaluated = marquez.get(f"/api/v1/namespaces/sluice/datasets/{quote(f'artefacts/e2e/{stage}', safe='')}").json()
        assert evaluated["facets"]["sluice_suite"]["suites"] == [suite], evaluated["facets"]
        assert evaluated["facets"]["dataQualityAssertions"]["assertions"]
    place = f"{quote(chunks['namespace'], safe='')}/datasets/{quote(chunks['name'], safe='')}"
    versions = marquez.get(f"/api/v1/namespaces/{place}/versions").json()["versions"]
    assert any(each["createdByRun"] for each in versions)
    assert marquez.get("/api/v1/namespaces").status_code == marquez.get("/api/v1/jobs").status_code == 200


def test_every_event_is_taken_and_every_run_has_its_final_state(
    airflow_stack: EngineStack, events: list[dict[str, Any]], marquez: httpx.Client
) -> None:
    """All events of all DAGs of this session: none is parked, for a receiver refuses what keeps to no schema."""
    until_sent(airflow_stack)
    with psycopg.connect(libpq(airflow_stack.environment["SLUICE_DATABASE_OWNER_URL"])) as connection:
        assert (
            connection.execute("SELECT job_name, parked FROM lineage_events WHERE parked IS NOT NULL").fetchall() == []
        )
    for job in {event["job"]["name"] for event in events}:
        runs = marquez.get(f"/api/v1/namespaces/sluice/jobs/{job}/runs").json()["runs"]
        assert {each["state"] for each in runs} <= {"COMPLETED", "FAILED", "ABORTED"}, (job, runs)


def test_marquez_that_hangs_holds_nobody_up_and_gets_it_all_later(
    airflow_stack: EngineStack, server: Server, ingested: tuple[Path, dict[str, Any]], marquez: httpx.Client
) -> None:
    """Its process is stopped where it stands: it takes connections and never answers."""
    until_sent(airflow_stack)
    pid = marquez_pid(airflow_stack)
    os.kill(pid, signal.SIGSTOP)
    try:
        ingest(server, ingested[0], "e2e")
        waiting = waits(airflow_stack)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {"sluice_ingest.plan", "sluice_ingest.finish"} <= {*waiting}
    until_sent(airflow_stack)
    runs = marquez.get("/api/v1/namespaces/sluice/jobs/sluice_ingest.finish/runs").json()["runs"]
    assert {each["state"] for each in runs} == {"COMPLETED"}


def marquez_pid(airflow_stack: EngineStack) -> int:
    """The process that listens on Marquez's port."""
    port = urlsplit(airflow_stack.environment["SLUICE_MARQUEZ_URL"]).port
    listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port == port]
    if not listening:
        pytest.skip("Marquez runs on another machine: its process cannot be stopped here")
    return int(listening[0].pid)
