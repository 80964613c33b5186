"""From a task in Airflow's UI to the pages of its run, source and collection.

An address is made when the task ends and kept in XCom, so that the API server asks nobody. An empty one is no link.
The JSON of the HTTP API takes the tenant by a header, which a link cannot set: there is a link for the tenant that it
answers for without one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

_API = "/sluice/api/v1"
_TENANT = "default"  # whose documents the API shows where a request names none


class GateResults(BaseOperatorLink):
    """What the gates found in the run."""

    name = "Gate results"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """`ti_key`: the running task instance. Empty (no link) where the scan did not get to a run."""
        from sluice.airflow.ingest import RUN_KEY
        from sluice.pipeline.finishing import gates_page

        run_id = ti_key.xcom_pull(task_ids="plan", key=RUN_KEY)
        return address(gates_page(run_id, _params(ti_key)["tenant"])) if run_id else ""


class Quarantine(BaseOperatorLink):
    """What is in quarantine of the collection, and why."""

    name = "Quarantine"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return _api("quarantine", _params(ti_key))


class Search(BaseOperatorLink):
    """The search page with the run's collection chosen."""

    name = "Search"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return address(f"/sluice/#{urlencode({'c': _params(ti_key)['collection']})}")


class Source(BaseOperatorLink):
    """The source itself where a browser can open it; else the saved sources of the collection, with their schedules."""

    name = "Source"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        params = _params(ti_key)
        uri: str = (params["source"] or "").removeprefix("git+")
        if uri.startswith("https://"):
            return uri.partition("?")[0] if params["source"].startswith("git+") else uri
        return _api("sources", params)


class SavedSources(BaseOperatorLink):
    """Every saved source with its schedule, its last run and when it is due."""

    name = "Saved sources"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        params = _params(ti_key)
        return _api("sources", {"tenant": params["tenant"] or _TENANT, "collection": params["collection"]})


OF_INGEST = (GateResults(), Quarantine(), Search(), Source())


def address(path: str) -> str:
    from airflow.sdk.configuration import conf

    base: str = conf.get("api", "base_url", fallback="")
    return base.rstrip("/") + path


def _params(task_instance: Any) -> Any:
    return task_instance.get_template_context()["params"]


def _api(name: str, params: Any) -> str:
    if params["tenant"] != _TENANT:
        return ""
    query = urlencode({"collection": params["collection"]}) if params["collection"] else ""
    return address(f"{_API}/{name}" + (f"?{query}" if query else ""))
