"""Mounts Sluice's query service and search page at /sluice in the Airflow API server."""

from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from sluice.airflow.notes import RunNotes
from sluice.airflow.preload import Preload


class SluicePlugin(AirflowPlugin):
    name = "sluice"
    # Airflow reads them of the class, and declares them as of an instance.
    listeners: ClassVar[list[Any]] = [Preload(), RunNotes()]  # type: ignore[misc]
    external_views: ClassVar[list[dict[str, Any]]] = [  # type: ignore[misc]
        {"name": "Sluice", "href": "/sluice/", "destination": "nav", "url_route": "sluice-search"}
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        # Every Airflow process loads this file; only the API server reads this property, so it imports late.
        from sluice.airflow import forward
        from sluice.airflow.auth import authenticate
        from sluice.airflow.connections import settings_from_airflow
        from sluice.airflow.trigger import trigger_ingest
        from sluice.api.app import create_app
        from sluice.wiring.application import Sluice

        def factory() -> Sluice:
            return Sluice(settings_from_airflow(), serving=True)

        app = create_app(factory, authenticate, trigger=trigger_ingest, warm=True)
        forward.start(settings_from_airflow)
        return [{"app": app, "url_prefix": "/sluice", "name": "Sluice"}]
