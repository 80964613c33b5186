"""Client of Airflow's and Sluice's REST APIs for the demo. Every call has a timeout; errors name the step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

_FINAL = {"success", "failed"}


class StepFailed(Exception):
    """A step of the demo failed; the message names the step and what to check."""


class Server:
    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=60.0)
        token = self._call("log in", "POST", "/auth/token", json={"username": user, "password": password})
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def set_variable(self, name: str, value: str) -> None:
        body = {"key": name, "value": value}
        if self._http.get(f"/api/v2/variables/{name}").status_code == 404:
            self._call("set a variable", "POST", "/api/v2/variables", json=body)
        else:
            self._call("set a variable", "PATCH", f"/api/v2/variables/{name}", json=body)

    def variable(self, name: str) -> str:
        answer = self._http.get(f"/api/v2/variables/{name}")
        return str(answer.json().get("value") or "") if answer.status_code == 200 else ""

    def wait_for_dag(self, dag_id: str, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while self._http.get(f"/api/v2/dags/{dag_id}").status_code != 200:
            if time.monotonic() > until:
                raise StepFailed(
                    f"The DAG {dag_id} did not appear in {timeout_s:.0f} s. See the log dag-processor.log."
                )
            time.sleep(1.0)

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        run = self._call(
            "trigger the ingest", "POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf}
        )
        return str(run["dag_run_id"])

    def wait(self, dag_id: str, run_id: str, timeout_s: float, tell: Callable[[str], None]) -> None:
        """Waits until the run ends, and reports the state of its tasks on each change. Raises StepFailed."""
        path, reported, until = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", "", time.monotonic() + timeout_s
        while True:
            state = self._call("watch the run", "GET", path)["state"]
            tasks = self.tasks(dag_id, run_id)
            line = self._line(state, tasks)
            if line != reported:
                tell(line)
                reported = line
            if state in _FINAL:
                break
            if time.monotonic() > until:
                raise StepFailed(f"The run {run_id} still runs after {timeout_s:.0f} s; watch it at {self.url}.")
            time.sleep(2.0)
        if state != "success":
            broken = sorted({task["task_id"] for task in tasks if task["state"] == "failed"})
            raise StepFailed(
                f"The run failed in {', '.join(broken)}; the log says why: {self.url}/dags/{dag_id}/runs/{run_id}"
            )

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The first 500 task instances of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=500"
        instances: list[dict[str, Any]] = self._call("watch the run", "GET", path)["task_instances"]
        return instances

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._call("read the summary", "GET", f"{path}?deserialize=false&stringify=false")["value"]

    def search(
        self, query: str, collection: str, top_k: int, legs: list[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """`legs`: the retrievers to use; None: all. `options`: further fields of the request."""
        body = {"query": query, "collection": collection, "top_k": top_k, **({"legs": legs} if legs else {}), **options}
        answer: dict[str, Any] = self._call("search", "POST", "/sluice/api/v1/search", json=body)
        return answer

    def titles(self, collection: str, count: int) -> list[str]:
        """The titles of the first `count` documents, as questions for an unknown collection."""
        path = f"/sluice/api/v1/documents?collection={collection}&limit=100"
        documents = self._call("list the documents", "GET", path)["documents"]
        return [document["title"] for document in documents if document.get("title") and document["version"]][:count]

    @staticmethod
    def _line(state: str, tasks: list[dict[str, Any]]) -> str:
        done: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for task in tasks:
            name = task["task_id"].rsplit(".", 1)[-1]
            total[name] += 1
            done[name] += task["state"] in ("success", "skipped")
        order = ["plan", "extract", "validate", "chunk", "embed", "load", "finish", "close"]
        return f"{state}: " + "  ".join(f"{name} {done[name]}/{total[name]}" for name in order if total[name])

    def _call(self, step: str, method: str, path: str, **kwargs: Any) -> Any:
        try:
            answer = self._http.request(method, path, **kwargs)
            answer.raise_for_status()
            return answer.json()
        except httpx.HTTPStatusError as error:
            raise StepFailed(f"Could not {step}: {error.response.status_code} {error.response.text[:500]}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise StepFailed(f"Could not {step}: {self.url} did not answer properly ({error!r}).") from error
