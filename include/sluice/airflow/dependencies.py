"""The dependencies of a task, built from Airflow's connections and variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.wiring.application import Sluice


@contextmanager
def opened(least_lease_s: float = 0.0) -> Iterator[Sluice]:
    """Yields what the task works with. `least_lease_s`: the lease of its run is at least as long."""
    from airflow.sdk import ObjectStoragePath

    from sluice.airflow.connections import settings_from_airflow, source_connection
    from sluice.wiring.application import Sluice

    settings = settings_from_airflow()
    settings = settings.model_copy(update={"lease_s": max(settings.lease_s, least_lease_s)})
    sluice = Sluice(settings, root=ObjectStoragePath(settings.artefacts), connections=source_connection)
    try:
        yield sluice
    finally:
        sluice.close()
