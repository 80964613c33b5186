"""A document sent to the API server: queued in the sender's name, found by search, gone from nobody's disk in clear."""

from __future__ import annotations

import httpx
import pytest

from demo.server import Server

SENTENCE = "The hoopoe raises its crest above the orchard wall."


@pytest.fixture(scope="module")
def server(airflow_stack) -> Server:
    environment = airflow_stack.environment
    made = Server(
        environment["SLUICE_AIRFLOW_URL"], environment["SLUICE_ADMIN_USER"], environment["SLUICE_ADMIN_PASSWORD"]
    )
    made.wait_for_dag("sluice_ingest", timeout_s=120.0)
    return made


@pytest.mark.timeout(900)  # alone, it starts the whole stack
def test_a_document_that_is_sent_can_be_found(airflow_stack, server: Server, name: str) -> None:
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
        told = answer.json()
        server.wait("sluice_ingest", told["dag_run_id"], 600.0, print)
        run = client.get(f"/api/v2/dags/sluice_ingest/dagRuns/{told['dag_run_id']}").json()
    assert run["triggering_user_name"] == login["SLUICE_ADMIN_USER"]
    [found] = server.search("hoopoe crest", name, 1)["results"]
    assert (found["external_id"], found["title"]) == ("hoopoe.md", "Hoopoe")
    assert SENTENCE in found["text"] and found["uri"] == f"uploads://default/{name}#hoopoe.md"
    assert airflow_stack.files_with(SENTENCE) == []
