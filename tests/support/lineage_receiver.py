"""A receiver of OpenLineage events that behaves as Marquez does, its faults included.

    python -m support.lineage_receiver PORT

- A number that is no number, NUL or a time that is none is answered with 500.
- A name with letters that Marquez does not take, or none, is refused; but it stays, and the list of namespaces, jobs or
  datasets answers 500 from then on.
- A run's state is that of the event that came last, whatever its time.
- A facet that comes later takes the place of one of the same name, also where the later one is a reader's.
- A key of a facet whose value is null is dropped.

Stricter than Marquez: an event that does not keep to the OpenLineage schemas is refused, with the reason.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.openlineage_schemas import problems

_NAME = re.compile(r"[a-zA-Z0-9:;=/_.@+-]+")
_STATES = {"START": "RUNNING", "RUNNING": "RUNNING", "COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED"}

Event = dict[str, Any]
Name = tuple[str, str]  # namespace, name


class Refused(Exception):
    """Answered with `status`."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Dataset:
    facets: dict[str, Any] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Job:
    runs: dict[str, str] = field(default_factory=dict)  # run id → state
    inputs: set[str] = field(default_factory=set)  # node ids
    outputs: set[str] = field(default_factory=set)


class Received:
    """What events have made; not thread-safe."""

    def __init__(self) -> None:
        self.jobs: dict[Name, Job] = defaultdict(Job)
        self.datasets: dict[Name, Dataset] = defaultdict(Dataset)
        self.events: list[Event] = []

    def take(self, body: bytes) -> None:
        """Raises Refused."""
        event = _parsed(body)
        names = [self._name(event.get("job") or {}), *map(self._name, _datasets(event))]
        _ = self.jobs[names[0]]
        for name in names[1:]:
            _ = self.datasets[name]
        if bad := [name for name in names if not all(map(_NAME.fullmatch, name))]:
            raise Refused(422, f"names are not taken: {bad}")
        if result := problems(event):
            raise Refused(422, "; ".join(result))
        self.events.append(event)
        self._run(event, self.jobs[names[0]])

    def _run(self, event: Event, job: Job) -> None:
        run_id = event["run"]["runId"]
        job.runs[run_id] = _STATES.get(event["eventType"], job.runs.get(run_id, "NEW"))
        for side, nodes in (("inputs", job.inputs), ("outputs", job.outputs)):
            for each in event.get(side) or ():
                name = self._name(each)
                nodes.add(_node("dataset", name))
                for kind in ("facets", "inputFacets", "outputFacets"):
                    for key, facet in (each.get(kind) or {}).items():
                        self.datasets[name].facets[key] = {k: v for k, v in facet.items() if v is not None}
                if side == "outputs":
                    self.datasets[name].versions.append({"createdByRun": {"id": run_id}})

    def show(self, path: str) -> Any:
        """The answer to a GET. Raises Refused."""
        url = urlsplit(path)
        match [unquote(part) for part in url.path.removeprefix("/api/v1/").split("/")]:
            case ["namespaces"]:
                return {"namespaces": [{"name": name} for name in sorted({n for n, _ in self._listed(0)})]}
            case ["jobs"]:
                return {
                    "jobs": [{"namespace": n, "name": name} for n, name in self._listed(1) if (n, name) in self.jobs]
                }
            case ["lineage"]:
                asked = parse_qs(url.query)
                return {"graph": self._graph(asked["nodeId"][0], int(asked.get("depth", ["20"])[0]))}
            case ["namespaces", namespace, "jobs", name, "runs"] if (namespace, name) in self.jobs:
                runs = self.jobs[namespace, name].runs
                return {"runs": [{"id": run_id, "state": state} for run_id, state in runs.items()]}
            case ["namespaces", namespace, "datasets", name] if (namespace, name) in self.datasets:
                return {"name": name, "facets": self.datasets[namespace, name].facets}
            case ["namespaces", namespace, "datasets", name, "versions"] if (namespace, name) in self.datasets:
                return {"versions": self.datasets[namespace, name].versions}
        raise Refused(404, f"there is no {path}")

    def _listed(self, part: int) -> list[Name]:
        """All names; `part` (0: namespace, 1: name) is what the list shows, and what it breaks on."""
        names = sorted({*self.jobs, *self.datasets})
        if bad := [name for name in names if not _NAME.fullmatch(name[part])]:
            raise Refused(500, f"the list breaks on {bad}")
        return names

    def _graph(self, start: str, depth: int) -> list[dict[str, Any]]:
        """Nodes that are reached in `depth` steps over jobs, both ways."""
        ways = [edge for name, job in self.jobs.items() for edge in _edges(_node("job", name), job)]
        seen, ahead = {start}, {start}
        for _ in range(2 * depth):
            ahead = {b if a in ahead else a for a, b in ways if (a in ahead) != (b in ahead)} - seen
            seen |= ahead
        return [
            {
                "id": node,
                "inEdges": [{"origin": a, "destination": b} for a, b in ways if b == node],
                "outEdges": [{"origin": a, "destination": b} for a, b in ways if a == node],
            }
            for node in sorted(seen)
        ]

    @staticmethod
    def _name(part: Event) -> Name:
        return str(part.get("namespace") or ""), str(part.get("name") or "")


def serve(port: int = 0) -> ThreadingHTTPServer:
    """A server on 127.0.0.1, not yet running; its `received` is what it took."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.received, server.lock = Received(), Lock()  # type: ignore[attr-defined]
    return server


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, lambda received: received.take(body))

    def do_GET(self) -> None:
        self._answer(200, lambda received: received.show(self.path))

    def _answer(self, status: int, work: Any) -> None:
        server: Any = self.server
        try:
            with server.lock:
                answer = work(server.received)
        except Refused as error:
            status, answer = error.status, {"code": error.status, "message": str(error)}
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None: ...


def _parsed(body: bytes) -> Event:
    def no_number(text: str) -> None:
        raise Refused(500, f"{text} is no number")

    try:
        event: Event = json.loads(body, parse_constant=no_number)
        if "\\u0000" in json.dumps(event):
            raise Refused(500, "a text holds NUL")
        datetime.fromisoformat(event["eventTime"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(500, f"{type(error).__name__}: {error}") from error
    return event


def _datasets(event: Event) -> list[Event]:
    return [*(event.get("inputs") or ()), *(event.get("outputs") or ())]


def _edges(node: str, job: Job) -> list[tuple[str, str]]:
    return [(each, node) for each in sorted(job.inputs)] + [(node, each) for each in sorted(job.outputs)]


def _node(kind: str, name: Name) -> str:
    return f"{kind}:{name[0]}:{name[1]}"


if __name__ == "__main__":
    Thread(target=serve(int(sys.argv[1])).serve_forever, daemon=True).start()
    sys.stdin.read()  # until whoever started this is gone
