"""A document sent to the API server: queued in the sender's name, found by search, gone from nobody's disk in clear."""

from __future__ import annotations

import httpx
import pytest

from demo.server import Server
from support.engines import EngineStack

SENTENCE = "The hoopoe raises its crest above the orchard wall."


@pytest.fixture(scope="module")
def server(airflow_stack: EngineStack) -> Server:
    environment = airflow_stack.environment
    built = Server(
        environment["SLUICE_AIRFLOW_URL"], environment["SLUICE_ADMIN_USER"], environment["SLUICE_ADMIN_PASSWORD"]
    )
    built.wait_for_dag("sluice_ingest", timeout_s=120.0)
    return built


@pytest.mark.timeout(900)  # alone, it starts the whole stack
def test_a_document_that_is_sent_can_be_found(airflow_stack: EngineStack, server: Server, name: str) -> None:
    url, login = airflow_stack.environment["SLUICE_AIRFLOW_URL"], airflow_stack.environment
    body = {"username": login["SLUICE_ADMIN_USER"], "password": login["SLUICE_ADMIN_PASSWORD"]}
    form = {"collection": name, "title": "Hoopoe", "metadata": '{"language": "en"}'}
    files = {"file": ("birds/hoopoe.md", f"# Hoopoe\n\n{SENTENCE}\n".encode())}
    with httpx.Client(base_url=url, timeout=60.0) as client:
        assert client.post("/sluice/api/v1/documents", data=form, files=files).status_code == 401
        token = client.post("/auth/token", json=body).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        answer = client.post("/sluice/api/v1/documents", data=form, files=files)
        assert answer.status_code == 202, answer.text
        output = answer.json()
        server.wait("sluice_ingest", output["dag_run_id"], 600.0, print)
        run = client.get(f"/api/v2/dags/sluice_ingest/dagRuns/{output['dag_run_id']}").json()
    assert run["triggering_user_name"] == login["SLUICE_ADMIN_USER"]
    [result] = server.search("hoopoe crest", name, 1)["results"]
    assert (result["external_id"], result["title"]) == ("hoopoe.md", "Hoopoe")
    assert SENTENCE in result["text"] and result["uri"] == f"uploads://default/{name}#hoopoe.md"
    assert airflow_stack.files_with(SENTENCE) == []


@pytest.mark.timeout(900)
def test_uploads_in_a_row_wait_in_one_run(airflow_stack: EngineStack, server: Server, name: str) -> None:
    dag, texts = "/api/v2/dags/sluice_ingest", {f"{bird}.md": f"The {bird} nests here." for bird in ("wren", "siskin")}
    server._http.patch(dag, json={"is_paused": True}).raise_for_status()
    try:
        sent = [
            server._http.post(
                "/sluice/api/v1/documents", data={"collection": name}, files={"file": (file, f"{text}\n".encode())}
            )
            for file, text in texts.items()
        ]
    finally:
        server._http.patch(dag, json={"is_paused": False}).raise_for_status()
    [run_id] = {answer.json()["dag_run_id"] for answer in sent}
    server.wait("sluice_ingest", run_id, 600.0, print)
    for file, text in texts.items():
        assert server.search(text, name, 1)["results"][0]["external_id"] == file
    files = {"file": ("owl.md", b"Owls.")}
    later = server._http.post("/sluice/api/v1/documents", data={"collection": name}, files=files)
    assert later.json()["dag_run_id"] != run_id
    server.wait("sluice_ingest", later.json()["dag_run_id"], 600.0, print)
