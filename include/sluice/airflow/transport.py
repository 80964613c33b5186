"""OpenLineage's way out of tasks: into the ledger and nowhere else.

Named in `AIRFLOW__OPENLINEAGE__TRANSPORT` as `{"type": "sluice.airflow.transport.LedgerTransport"}`. A task never calls
Marquez: what it writes here is sent later, by the API server (`sluice.airflow.forward`).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from openlineage.client.serde import Serde
from openlineage.client.transport.transport import Config, Transport

from sluice.airflow import events

if TYPE_CHECKING:
    from openlineage.client.client import Event

    from sluice.settings import Settings

TIMEOUT_S = 2.0  # the ledger is near: longer means that it is down, and then the task has other worries


class LedgerTransport(Transport):
    kind = "sluice"
    config_class = Config

    def __init__(self, config: Config) -> None:
        self._config = config

    def emit(self, event: Event) -> None:
        """One row of `lineage_events`. Raises Transient or Terminal, which the caller logs."""
        write(json.loads(Serde.to_json(event)), _settings())


def write(event: dict[str, Any], settings: Settings) -> None:
    """Clean it, mask it where that is set, keep it. A connection of its own: the provider emits from forked processes,
    in which an inherited connection would be two processes' at once."""
    from sluice.wiring import lineage_events, lineage_key

    run_id = events.sluice_run(event)
    if settings.lineage_names == "masked":
        event = events.masked(event, lineage_key(settings))
    event = events.cleaned(event)
    kept = lineage_events(settings, timeout_s=TIMEOUT_S)
    try:
        kept.add(
            event,
            sluice_run_id=run_id,
            inputs=events.datasets(event, "inputs"),
            outputs=events.datasets(event, "outputs"),
            parked=events.unfit(event),
        )
    finally:
        kept.close()


@lru_cache(maxsize=1)
def _settings() -> Settings:
    """From the environment where it names the ledger. Asking Airflow for a connection from a forked process would mix
    its question with the task's own on one socket; it is the fallback."""
    from sluice.settings import Settings

    settings = Settings()
    if settings.database_url.get_secret_value():
        return settings
    from sluice.airflow.connections import settings_from_airflow

    return settings_from_airflow()
