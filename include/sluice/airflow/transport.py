"""OpenLineage transport of tasks: writes events to the ledger.

Set in `AIRFLOW__OPENLINEAGE__TRANSPORT` as `{"type": "sluice.airflow.transport.LedgerTransport"}`. A task never calls
Marquez: the API server sends the events later (`sluice.airflow.forward`).
"""

from __future__ import annotations

import json
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from openlineage.client.serde import Serde
from openlineage.client.transport.transport import Config, Transport

from sluice.airflow import events

if TYPE_CHECKING:
    from openlineage.client.client import Event

    from sluice.settings import Settings

TIMEOUT_S = 2.0  # the ledger answers faster unless it is down, and then the task fails for other reasons


class LedgerTransport(Transport):
    kind = "sluice"
    config_class = Config

    def __init__(self, config: Config) -> None:
        self._config = config

    def emit(self, event: Event) -> None:
        """Writes one row of `lineage_events`. Raises Transient or Terminal, which the caller logs."""
        write(json.loads(Serde.to_json(event)), _settings())


def write(event: dict[str, Any], settings: Settings) -> None:
    """Cleans the event, masks it if set, and stores it. It opens its own connection, because the provider emits from
    forked processes, and two processes must not share an inherited connection."""
    from sluice.wiring.clients import lineage_events, lineage_key

    run_id = events.sluice_run(event)
    if settings.lineage_names == "masked":
        event = events.masked(event, lineage_key(settings))
    event = events.cleaned(event)
    inputs, outputs = events.datasets(event, "inputs"), events.datasets(event, "outputs")
    with closing(lineage_events(settings, timeout_s=TIMEOUT_S)) as store:
        store.add(event, sluice_run_id=run_id, inputs=inputs, outputs=outputs, parked=events.unfit(event))


@lru_cache(maxsize=1)
def _settings() -> Settings:
    """Settings from the environment if it names the ledger, else from Airflow. Airflow is only the fallback: in a
    forked process a request for a connection would mix with the task's own requests on one socket."""
    from sluice.settings import Settings

    settings = Settings()
    if settings.database_url.get_secret_value():
        return settings
    from sluice.airflow.connections import settings_from_airflow

    return settings_from_airflow()
