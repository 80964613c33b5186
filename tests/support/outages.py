"""Engines of a devstack that are stopped, hang or are slow; the embedding endpoint of a test's own."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from devstack import Stack, catalogue, credentials, processes, runner, stopping
from sluice.adapters.embedders.hashed import HashEmbedder

_STOPPED_S, _RUNNING_S = 0.09, 0.01  # of a slow engine: a tenth of the time


def members(engines: Stack, part: str) -> list[int]:
    record = runner.record(engines.config, part)
    assert record is not None
    return processes.members(record, runner.marker(engines.config, part))


def send(engines: Stack, part: str, number: signal.Signals) -> None:
    for pid in members(engines, part):
        with suppress(ProcessLookupError):  # a backend of PostgreSQL that has ended meanwhile
            os.kill(pid, number)


def end(engines: Stack, name: str) -> None:
    known = credentials.load_if_made(engines.config)
    assert known is not None
    (service,) = (each for each in catalogue.services(engines.config, known) if each.name == name)
    stopping.stop(engines.config, [service], lambda line: None)


@contextmanager
def stopped(engines: Stack, part: str) -> Iterator[None]:
    end(engines, part)
    try:
        yield
    finally:
        engines.up([part], lambda line: None)


@contextmanager
def hung(engines: Stack, part: str) -> Iterator[None]:
    """Its connections stay open, and nothing is answered."""
    send(engines, part, signal.SIGSTOP)
    try:
        yield
    finally:
        send(engines, part, signal.SIGCONT)


@contextmanager
def slow(engines: Stack, part: str) -> Iterator[None]:
    """It runs a tenth of the time only."""
    ended = threading.Event()

    def pulse() -> None:
        while not ended.is_set():
            for number, pause_s in ((signal.SIGSTOP, _STOPPED_S), (signal.SIGCONT, _RUNNING_S)):
                send(engines, part, number)
                time.sleep(pause_s)

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        send(engines, part, signal.SIGCONT)


OUTAGES: dict[str, Callable[[Stack, str], Any]] = {"stopped": stopped, "hung": hung, "slow": slow}


class EmbeddingEndpoint:
    """An endpoint of OpenAI's form with the vectors of `hash:<dim>`. `mode`: ok, stopped (503), hung or slow."""

    def __init__(self, dim: int = 64) -> None:
        self.mode = "ok"
        self.delay_s = 0.3
        self._released = threading.Event()
        embedder, endpoint = HashEmbedder(dim), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
                if endpoint.mode == "hung":
                    endpoint._released.wait(60)
                if endpoint.mode == "slow":
                    time.sleep(endpoint.delay_s)
                status = 503 if endpoint.mode == "stopped" else 200
                vectors = np.asarray(embedder.embed(texts)).tolist()
                body = json.dumps(
                    {"data": [{"index": i, "embedding": each} for i, each in enumerate(vectors)]}
                ).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the caller has left
                    return

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @contextmanager
    def failing(self, mode: str) -> Iterator[None]:
        self._released.clear()
        self.mode = mode
        try:
            yield
        finally:
            self.mode = "ok"
            self._released.set()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
