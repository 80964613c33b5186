"""From the ledger to Marquez: in order, nothing lost, nothing that blocks the rest. Marquez is a small HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest

from sluice.adapters import marquez
from sluice.adapters.postgres.lineage import PostgresLineage
from sluice.adapters.postgres.migrations import migrate
from sluice.airflow import transport
from sluice.airflow.forward import MAX_ATTEMPTS, forward, keep_forwarding
from sluice.errors import Unavailable
from support.engines import EngineStack
from support.ledger_rows import EVENTS_OF_DATASET, engine_of, lineage_events
from support.scratch_databases import scratch_databases


class Listener:
    """Answers each event with the status set for its job, else with `status`; keeps what it took, in order."""

    def __init__(self) -> None:
        self.status, self.by_job, self.took = 201, dict[str, int](), list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["job"]["name"]
                status = outer.by_job.get(job, outer.status)
                if status == 201:
                    outer.took.append(job)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def send(self) -> Any:
        return marquez.sender(f"http://127.0.0.1:{self.server.server_port}", timeout_s=5.0)


@pytest.fixture
def listener() -> Iterator[Listener]:
    built = Listener()
    yield built
    built.server.shutdown()
    built.server.server_close()


@pytest.fixture(scope="module")
def database(stack: EngineStack) -> Iterator[str]:
    with scratch_databases(stack) as scratch:
        migrate(scratch.owner_url, scratch.keys_url)
        yield scratch.app_url


@pytest.fixture
def stored(database: str) -> Iterator[PostgresLineage]:
    engine = engine_of(database)
    built = PostgresLineage(engine)
    built.prune(datetime.now(UTC) + timedelta(days=1))
    yield built
    engine.dispose()


def event(job: str) -> dict[str, Any]:
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": str(uuid4())},
        "job": {"namespace": "sluice", "name": job},
    }


def add(stored: PostgresLineage, *jobs: str) -> None:
    for job in jobs:
        stored.add(event(job), sluice_run_id=None, inputs=[], outputs=[])


def waiting(stored: PostgresLineage) -> list[str]:
    return [each.body["job"]["name"] for each in stored.unsent(100)]


def test_events_arrive_in_order_and_once(stored: PostgresLineage, listener: Listener) -> None:
    add(stored, "a", "b", "c")
    assert forward(stored, listener.send) == 3
    assert forward(stored, listener.send) == 0
    assert listener.took == ["a", "b", "c"]


@pytest.mark.parametrize("status", [502, 503, 429])
def test_while_marquez_is_down_all_waits_and_then_arrives(
    stored: PostgresLineage, listener: Listener, status: int
) -> None:
    add(stored, "a", "b")
    listener.status = status
    for _ in range(MAX_ATTEMPTS + 1):
        with pytest.raises(Unavailable):
            forward(stored, listener.send)
    assert waiting(stored) == ["a", "b"]
    listener.status = 201
    forward(stored, listener.send)
    assert listener.took == ["a", "b"]


def test_an_outage_in_the_middle_keeps_what_was_sent(stored: PostgresLineage, listener: Listener) -> None:
    add(stored, "a", "b", "c")
    listener.by_job["b"] = 503
    with pytest.raises(Unavailable):
        forward(stored, listener.send)
    assert (listener.took, waiting(stored)) == (["a"], ["b", "c"])


def test_what_marquez_refuses_is_parked_and_the_rest_goes_on(stored: PostgresLineage, listener: Listener) -> None:
    add(stored, "a", "poison", "c")
    listener.by_job["poison"] = 422
    forward(stored, listener.send)
    assert (listener.took, waiting(stored)) == (["a", "c"], [])


def test_what_marquez_fails_on_again_and_again_is_parked(stored: PostgresLineage, listener: Listener) -> None:
    add(stored, "poison", "b")
    listener.by_job["poison"] = 500
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(Unavailable):
            forward(stored, listener.send)
    assert waiting(stored) == ["poison", "b"]
    forward(stored, listener.send)
    assert (listener.took, waiting(stored)) == (["b"], [])


def test_one_forwarder_at_a_time(stored: PostgresLineage, listener: Listener, database: str) -> None:
    add(stored, "a")
    other = engine_of(database)
    with PostgresLineage(other).forwarding() as mine:
        assert mine and forward(stored, listener.send) == 0
    assert forward(stored, listener.send) == 1
    other.dispose()


def test_the_thread_survives_an_outage(stored: PostgresLineage, listener: Listener) -> None:
    add(stored, "a")
    stop, failures = threading.Event(), threading.Event()
    send = listener.send

    def first_down(body: dict[str, Any]) -> None:
        if not failures.is_set():
            failures.set()
            raise Unavailable("Marquez", "it is not there yet")
        send(body)
        stop.set()

    thread = threading.Thread(target=keep_forwarding, args=(stored, first_down, 90, stop, 0.01))
    thread.start()
    thread.join(timeout=30)
    assert (failures.is_set(), listener.took, waiting(stored)) == (True, ["a"], [])


def test_old_events_go(stored: PostgresLineage) -> None:
    add(stored, "a", "b")
    assert stored.prune(datetime.now(UTC) - timedelta(days=1)) == 0
    assert stored.prune(datetime.now(UTC) + timedelta(days=1)) == 2


def test_masked_names_never_reach_the_ledger(stack: EngineStack, stored: PostgresLineage, database: str) -> None:
    """Through the transport as the tasks use it; what the ledger has is what Marquez gets."""
    source = {"namespace": "file", "name": "/hr/dismissals-of-may", "facets": {}}
    settings = stack.settings(database_url=database, lineage_names="masked")
    transport.write({**event("a"), "inputs": [source]}, settings)
    [result] = stored.unsent(10)
    assert "dismissals" not in json.dumps(result.body)
    [masked] = result.body["inputs"]
    assert lineage_events(database, EVENTS_OF_DATASET, dataset=[f"file:{masked['name']}"]) == [result.body]
    assert lineage_events(database, EVENTS_OF_DATASET, dataset=["file:/hr/dismissals-of-may"]) == []


def test_an_event_without_a_job_is_kept_and_not_sent(
    stack: EngineStack, stored: PostgresLineage, database: str
) -> None:
    transport.write(event(""), stack.settings(database_url=database))
    assert waiting(stored) == []
