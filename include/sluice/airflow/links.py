"""Links from a task in Airflow's UI to the pages of its run, source and collection.

Airflow computes the address when the task ends and stores it in XCom. An empty address is no link. The HTTP API takes
the tenant from a header, which a link cannot set. So links to the API exist only for the default tenant.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

from sluice.airflow import xcom

_API = "/sluice/api/v1"
_TENANT = "default"  # the tenant that the API uses if a request names none


class GateResults(BaseOperatorLink):
    """The gate results of the run."""

    name = "Gate results"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """`ti_key`: the running task instance. Empty (no link) if `plan` did not create a run."""
        from sluice.pipeline.finishing import gates_page

        run_id = ti_key.xcom_pull(task_ids="plan", key=xcom.RUN)
        return address(gates_page(run_id, _params(ti_key)["tenant"])) if run_id else ""


class Quarantine(BaseOperatorLink):
    """The collection's quarantined documents, with the reasons."""

    name = "Quarantine"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return _api("quarantine", _params(ti_key))


class Search(BaseOperatorLink):
    """The search page with the run's collection chosen."""

    name = "Search"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return address(f"/sluice/#{urlencode({'c': _params(ti_key)['collection']})}")


class Source(BaseOperatorLink):
    """The source itself if a browser can open it; else the collection's saved sources, with their schedules."""

    name = "Source"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        params = _params(ti_key)
        uri: str = (params["source"] or "").removeprefix("git+")
        if uri.startswith("https://"):
            return uri.partition("?")[0] if params["source"].startswith("git+") else uri
        return _api("sources", params)


class Evaluations(BaseOperatorLink):
    """The history of the evaluations of the collection that the params name, else the page with a choice of
    collections."""

    name = "Evaluations"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        params = _params(ti_key)
        return evaluations(params["collection"], params["tenant"])


class SavedSources(BaseOperatorLink):
    """The saved sources with their schedules, last runs and due times."""

    name = "Saved sources"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        params = _params(ti_key)
        return _api("sources", {"tenant": params["tenant"] or _TENANT, "collection": params["collection"]})


OF_INGEST = (GateResults(), Quarantine(), Search(), Source())
OF_BATCH = (GateResults(), Quarantine())


def evaluations(collection: str | None, tenant: str | None) -> str:
    """Returns the full URL of the page with the evaluations of a collection."""
    query = urlencode({name: value for name, value in (("collection", collection), ("tenant", tenant)) if value})
    return address("/sluice/evaluations" + (f"?{query}" if query else ""))


def address(path: str) -> str:
    """Returns the full URL of a path of Airflow's API server; only the path where `[api] base_url` is not set."""
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
