"""Who is told of failures: a webhook that listens gets the message, one that is down costs nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.airflow.notify import RunFailed, deadline_missed


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SLUICE_NOTIFY_URL", f"http://127.0.0.1:{server.server_port}/")
    yield heard
    server.shutdown()
    server.server_close()


def test_a_failed_run_is_told(webhook: list[dict[str, Any]]) -> None:
    run = SimpleNamespace(dag_id="sluice_ingest", run_id="manual__1")
    RunFailed().notify({"dag_run": run, "reason": "task_failure"})
    assert [(each["event"], each["dag_id"], each["run_id"]) for each in webhook] == [
        ("run_failed", "sluice_ingest", "manual__1")
    ]


def test_a_late_run_is_told(webhook: list[dict[str, Any]]) -> None:
    ended = {"dag_id": "sluice_ingest", "dag_run_id": "manual__1", "state": "failed"}
    asyncio.run(deadline_missed(context={"dag_run": ended}))
    asyncio.run(deadline_missed(context={"dag_run": {"dag_id": "sluice_ingest", "dag_run_id": "manual__2"}}))
    assert [(each["event"], each["run_id"]) for each in webhook] == [("deadline_missed", "manual__2")]


def test_a_webhook_that_is_down_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLUICE_NOTIFY_URL", "http://127.0.0.1:9/")
    with caplog.at_level("WARNING", logger="sluice.airflow.notify"):
        RunFailed().notify({"dag_run": SimpleNamespace(dag_id="d", run_id="r")})
    failed, lost = [each.getMessage() for each in caplog.records if each.name == "sluice.airflow.notify"]
    assert failed.startswith("sluice run_failed: d r failed")
    assert lost == "sluice: the webhook did not accept the message (ConnectError)"
